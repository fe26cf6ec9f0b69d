"""`replay`: validates a day's quarantine again with today's rules and loads what is good now; the source is not asked.

A replay is a run of its own in the ledger. Days to which it brought something are reported again, as `report` does.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import daily_stats
from app_types import Counts, Mode, RunStatus
from console import summary
from console.tables import Column, table
from exceptions import DatabaseError, DayLockedError, EtlError, SourceError
from operations.report import report_day
from pipeline.days import run_days
from pipeline.job import DayRun, ExitCode, Terminated
from source.decoding import decode
from source.validation import judge
from source.windows import day_of
from warehouse import ledger, quarantine
from warehouse.adoption import AdoptionRules
from warehouse.migrations import migrate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from app_types import Event, Rejected, Window
    from pipeline.job import Job
    from warehouse.connection import Database
    from warehouse.quarantine import Judge

log = logging.getLogger(__name__)

_NOTHING: Final = Counts(0, 0, 0, 0, 0, 0, 0)


def run(job: Job, days: Sequence[date]) -> int:
    """Replay the days, oldest first; a failing one does not stop the others, an interruption does."""
    runs: list[DayRun] = []
    for day in days:
        runs.append(_replay_day(job, day))
        if job.options.json:
            job.terminal.machine(summary.json_line(runs[-1].outcome(), job.messages))
        if runs[-1].interruption:
            break
    _show(job, runs, len(days))
    changed = [each for each in runs if _has_changed(each)]
    if not changed:
        return _exit_code(runs)
    if not runs[-1].interruption:
        run_days(job, [each.day.date for each in changed], report_day)
    _close(job, changed)
    return _exit_code(runs)


def _replay_day(job: Job, date_: date) -> DayRun:
    """Replay one day, under its lock and with its row in the ledger, unless nothing of it is in quarantine."""
    day = day_of(date_, job.settings.zone, Mode.FULL, datetime.now(UTC))
    run = DayRun(replace(day, mode=Mode.REPLAY))
    rules = todays_rules(day.window, job.settings.api.user_id_length)
    log.info("replay: start, day %s", date_.isoformat())
    try:
        with job.server.connected() as database:
            migrate(database, rules=AdoptionRules.of(job.settings))
            try:
                with database.locked_day(date_):
                    ledger.interrupt_stale_runs(database)
                    _replay_held_day(database, run, rules)
            except DayLockedError as error:
                run.run_id, run.error = ledger.begin(database, run.day), error
                _finish(database, run)
                raise
    except BaseException as error:  # noqa: BLE001  (noted, told, and turned into the exit code)
        run.stop(error)
    return run


def _replay_held_day(database: Database, run: DayRun, rules: Judge) -> None:
    """Do the work, and write in the ledger how it ended; one that changed something is partial until it is reported."""
    day = run.day.date
    if not quarantine.count(database, day):
        run.statistics = daily_stats.compute(database, run.day.window)
        run.counts = _NOTHING
        return
    run.run_id = ledger.begin(database, run.day)
    try:
        run.counts = quarantine.replay(database, run.run_id, day, rules)
        run.statistics = daily_stats.compute(database, run.day.window)
    except BaseException as error:  # noqa: BLE001  (noted, told, and turned into the exit code)
        if run.counts is None:
            # The interruption may have come while the commit went through; the ledger knows.
            with suppress(DatabaseError):
                run.counts = ledger.committed_counts(database, run.run_id)
        run.stop(error)
    if not _has_changed(run):
        _finish(database, run)


def _has_changed(run: DayRun) -> bool:
    return run.counts is not None and run.counts.loaded + run.counts.updated > 0


def todays_rules(window: Window, user_id_length: int) -> Judge:
    """Return today's rules for events of a day."""

    def judged(raw: str) -> Event | Rejected | None:
        try:
            answer = decode(b"[" + raw.encode("ascii", "replace") + b"]")
        except SourceError:
            return None  # nothing that this program ever wrote
        return judge(answer, 0, window, user_id_length) if len(answer.items) == 1 else None

    return judged


def _close(job: Job, runs: Sequence[DayRun]) -> None:
    """Write in the ledger how the replays ended that changed something: with them belongs that the day is reported."""
    reported = {each.day.date: each for each in job.runs}
    try:
        with job.server.connected() as database:
            for run in runs:
                again = reported.get(run.day.date)
                if again and again.error is None and again.interruption is None:
                    run.sheet, run.mail = again.sheet, again.mail
                    run.troubles += again.troubles
                else:
                    _note_unreported(job, run)
                _finish(database, run)
    except DatabaseError as error:
        runs[-1].trouble(error)
        job.terminal.problem(job.messages.error(error))


def _note_unreported(job: Job, run: DayRun) -> None:
    error = EtlError(
        "Events of %(date)s were loaded, but the day was not reported again.",
        remedy="To report it: %(command)s",
        date=run.day.date,
        command=job.options.further(f"report --date {run.day.date.isoformat()}"),
    )
    run.trouble(error)
    job.terminal.problem(job.messages.error(error))


def _finish(database: Database, run: DayRun) -> None:
    assert run.run_id is not None  # noqa: S101  (for the type checker)
    error = run.error or (run.troubles[0] if run.troubles else None)
    ledger.finish(database, run.run_id, run.status, sheet=run.sheet, mail=run.mail, error=error)


def _show(job: Job, runs: Sequence[DayRun], asked: int) -> None:
    text, number = job.messages.text, job.messages.number
    rows = [
        (
            each.day.date.isoformat(),
            summary.status_text(each.status, job.messages),
            *map(number, (counts.received, counts.loaded, counts.updated, counts.already_present, counts.rejected)),
        )
        if (counts := each.counts)
        else (each.day.date.isoformat(), summary.status_text(each.status, job.messages))
        for each in runs
        if each.counts != _NOTHING
    ]
    if rows:
        columns = [
            Column(text("Date"), is_short=True),
            Column(text("Result")),
            Column(text("Validated again"), is_number=True),
            Column(text("Loaded"), is_number=True),
            Column(text("Corrected"), is_number=True),
            Column(text("Already present"), is_number=True),
            Column(text("Still rejected"), is_number=True),
        ]
        job.terminal.show(table(text("Replay of the quarantine"), columns, rows))
    elif asked == 1:
        job.terminal.line(text("No event of %(date)s lies in quarantine.", date=runs[0].day.date))
    else:
        job.terminal.line(text("Of none of these days does an event lie in quarantine."))
    for each in runs:
        day = each.day.date.isoformat()
        if each.error:
            job.terminal.problem(job.messages.error(each.error))
        if not each.counts:
            command = job.options.further(f"replay --date {day}")
            job.terminal.line(text("Nothing of %(date)s was changed in the database.", date=each.day.date))
            job.terminal.line(text("To repeat: %(command)s", command=command))
    if left := [each.day.date.isoformat() for each in runs if each.counts and each.counts.rejected]:
        dates = f"--date {left[0]}" if len(left) == 1 else f"--from {left[0]} --to {left[-1]}"
        command = job.options.further(f"rejected {dates}")
        job.terminal.line(text("Why the others are still rejected: %(command)s", command=command))
    done = [each for each in runs if each.counts and each.counts != _NOTHING]
    if done and not any(map(_has_changed, done)):
        job.terminal.line(text("Nothing new was loaded, so the report stays as it is."))


def _exit_code(runs: Sequence[DayRun]) -> int:
    """Return the worst code: interrupted, then 1, then 3, then 0."""
    statuses = {each.status for each in runs}
    for each in runs:
        if each.interruption and each.status is RunStatus.INTERRUPTED:
            return ExitCode.TERMINATED if isinstance(each.interruption, Terminated) else ExitCode.INTERRUPTED
    if RunStatus.FAILED in statuses:
        return ExitCode.FAILED
    return ExitCode.PARTIAL if RunStatus.PARTIAL in statuses else ExitCode.OK
