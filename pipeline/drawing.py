"""Draws the days of a range in the Google Sheet, all at once at its end, in as few calls as one day takes.

What is drawn is read from the database while nobody else draws: figures that another run corrected in the meantime are
not overwritten, and days that an earlier, broken-off range loaded but never drew are made up for.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from app_types import Figures, Mode, PublishedDay, SheetOutcome
from exceptions import EtlError, SheetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from config import SheetSettings
    from pipeline.job import DayRun, Job
    from report.content import DayContent
    from warehouse.connection import Database

log = logging.getLogger(__name__)

_DAYS_AT_ONCE: Final = 200
"""About a megabyte of changes: Google recommends no more than two."""


def draw_days(job: Job, database: Database, last: DayRun) -> None:
    """Draw every day of the command that the sheet lacks, and note with each run what became of it.

    Args:
        job: the command, with its earlier days.
        database: where the figures are.
        last: the run of the last day, not among those of `job` yet; it takes what is told of the whole.
    """
    if last.interruption:
        return
    job.terminal.speak()
    if job.settings.sheet is None or not job.options.sheet or not job.draws_at_the_end:
        return
    runs = {run.day.date: run for run in (*job.runs, last)}
    due = [run for run in runs.values() if run.is_sheet_due]
    try:
        drawn = _draw(job, database, job.settings.sheet, runs)
    except BaseException as error:  # noqa: BLE001  (noted with every day, told, and turned into the exit code)
        _not_drawn(job, due, error if isinstance(error, EtlError) else None)
        if isinstance(error, EtlError):
            if last not in due:
                last.trouble(error)
        else:
            last.stop(error)
    else:
        for run in due:
            outcome = SheetOutcome.UPDATED if run.day.date in drawn else SheetOutcome.UNCHANGED
            run.settle_sheet(outcome, url=job.sheet_url)
    _write_down(database, [run for run in due if run is not last], last)


def draw_left_out(job: Job) -> EtlError | None:
    """Draw what the sheet lacks of days that were left out because they are loaded already; return what failed."""
    if job.settings.sheet is None or not job.options.sheet:
        return None
    with job.server.connected() as database:
        try:
            _draw(job, database, job.settings.sheet, {})
        except SheetError as error:
            return error
    return None


def leave_undrawn(job: Job) -> None:
    """Note that the days that wait for the sheet were not drawn: the command did not get there."""
    job.terminal.speak()
    _not_drawn(job, [run for run in job.runs if run.is_sheet_due], None)


def _not_drawn(job: Job, due: Sequence[DayRun], error: EtlError | None) -> None:
    if not due:
        return
    first, last = job.asked[0], job.asked[-1]
    error = error or EtlError(
        "The command ended before its days were drawn in the Google Sheet.",
        remedy="To draw them: %(command)s",
        command=job.options.further(f"report --from {first} --to {last} --sheet"),
    )
    log.error("failed: %s", error)
    for run in due:
        run.settle_sheet(SheetOutcome.FAILED, trouble=error)


def _draw(job: Job, database: Database, settings: SheetSettings, runs: Mapping[date, DayRun]) -> set[date]:
    """Draw the days that the sheet lacks, and those that are reported again; return which they were."""
    import google_sheets
    from warehouse import publications, revisions
    from warehouse.publications import Target

    first, end = job.asked[0], job.asked[-1] + timedelta(days=1)
    again = {day for day, run in runs.items() if run.from_database and run.is_sheet_due}
    target = (Target.SHEET, settings.spreadsheet_id)
    with publications.turn(database, settings.spreadsheet_id):
        asked = set(job.asked)
        known = [day for day in revisions.past_days(database, first, end) if day.date in asked]
        there = publications.published(database, first, end, *target)
        lacking = [day for day in known if day.date in again or there.get(day.date) != _figures(day).fingerprint()]
        if not lacking:
            log.info("sheet: no change, left alone")
            return set()
        job.terminal.step(job.messages.text("Drawing the Google Sheet"))
        newest = known[-1]
        card = _content(job, database, newest, runs.get(newest.date), is_card=True)
        others = [day for day in lacking if day is not newest]
        for start in range(0, max(len(others), 1), _DAYS_AT_ONCE):
            some = others[start : start + _DAYS_AT_ONCE]
            rows = [_content(job, database, day, runs.get(day.date)) for day in some]
            job.sheet_url = google_sheets.publish(settings, [*rows, card])
            for day in (*some, newest):
                run_id = runs[day.date].run_id if day.date in runs else None
                publications.record(database, day.date, _figures(day), target[0], destination=target[1], run_id=run_id)
    return {day.date for day in lacking}


def _content(
    job: Job, database: Database, known: PublishedDay, run: DayRun | None, *, is_card: bool = False
) -> DayContent:
    """Word a day: all of it for the card, no more than its row in the history for the others."""
    import daily_stats
    from pipeline.publishing import LOOK_BACK, covered
    from report.content import Background, day_content
    from source.windows import day_of
    from warehouse import ledger, revisions

    now = datetime.now(UTC)
    day = day_of(known.date, job.settings.zone, Mode.FULL, now)
    background = Background(revision=known.revision)
    if is_card:
        day = covered(day, ledger.last_full_run(database, known.date))
        background = Background(
            details=daily_stats.in_full(database, day.window, events=known.counts.valid if known.counts else 0)[1],
            past=revisions.past_days(database, known.date - LOOK_BACK, known.date),
            revision=known.revision,
            course_names={key: titles[job.messages.language] for key, titles in job.settings.course_names.items()},
        )
    is_same = run is not None and run.figures == _figures(known)
    return day_content(
        replace(day, complete=known.complete),
        known.statistics,
        run.counts if run and is_same else known.counts,
        prepared_at=run.prepared_at if run and is_same else now,
        messages=job.messages,
        background=background,
    )


def _figures(known: PublishedDay) -> Figures:
    return Figures(Mode.FULL, known.complete, known.statistics)


def _write_down(database: Database, runs: Iterable[DayRun], last: DayRun) -> None:
    """Bring the ledger up to date for the days whose runs have ended already."""
    from warehouse import ledger

    for run in runs:
        if run.run_id is None:
            continue
        status, error = run.ending()
        try:
            ledger.settle(database, run.run_id, status, run.sheet, error)
        except EtlError as failure:
            last.trouble(failure)
            return
