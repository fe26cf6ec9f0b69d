"""The daily ETL of learning events: asks for a date, then fetch, load, statistics, report, letter.

Run it by `python data_processor.py`; `--help` tells the rest. Exit codes: 0 all done; 1 the run failed and the events
table is as it was; 2 wrong usage or settings; 3 loaded, but the sheet or the letter failed; 130 interrupted.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, NoReturn

from app_types import DayOutcome, Figures, Language, MailOutcome, Mode, RunStatus, SheetOutcome, Window
from config import HOME, chosen_language, load_settings, read_env_file
from console import summary
from console.arguments import Command, language_option, read_arguments
from console.dates import days_of
from console.prompt import ask_date
from console.terminal import Terminal
from exceptions import (
    ConfigError,
    DatabaseError,
    DayLockedError,
    EtlError,
    MailError,
    ReportError,
    SheetError,
    UsageError,
)
from messages import Messages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from app_types import Counts, DailyStatistics, Day
    from config import Settings
    from console.arguments import Options
    from report.content import DayContent
    from warehouse.connection import Database, Server
    from warehouse.ledger import FullRun

log = logging.getLogger(__name__)

_SHOWN_RUNS = 30


class ExitCode(IntEnum):
    """What the program tells cron lines and scripts."""

    OK = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    INTERRUPTED = 130
    TERMINATED = 143


class Terminated(BaseException):
    """The system asked the program to end (SIGTERM)."""


@dataclass
class _Job:
    """What one command works with, and what it has come to so far."""

    settings: Settings
    options: Options
    messages: Messages
    terminal: Terminal
    server: Server
    mode: Mode
    reset_pending: bool
    outcomes: list[DayOutcome] = field(default_factory=list)
    contents: list[DayContent | None] = field(default_factory=list)
    pages: list[Path] = field(default_factory=list)
    sheet_url: str | None = None


@dataclass
class _DayRun:
    """One day's run while it is under way. The events are committed as soon as `counts` is known."""

    day: Day
    started: float = field(default_factory=time.monotonic)
    run_id: int | None = None
    counts: Counts | None = None
    statistics: DailyStatistics | None = None
    content: DayContent | None = None
    sheet: SheetOutcome = SheetOutcome.SKIPPED
    mail: MailOutcome = MailOutcome.SKIPPED
    error: EtlError | None = None
    troubles: list[EtlError] = field(default_factory=list)
    interruption: BaseException | None = None
    sheet_url: str | None = None
    from_database: bool = False

    @property
    def loaded(self) -> bool:
        """Whether the day's events are in the table."""
        return self.counts is not None or self.from_database

    @property
    def status(self) -> RunStatus:
        """What the run has come to."""
        if not self.loaded:
            return RunStatus.INTERRUPTED if self.interruption else RunStatus.FAILED
        return RunStatus.PARTIAL if self.error or self.troubles else RunStatus.OK

    def stop(self, error: BaseException) -> None:
        """Note what ended the run before its end."""
        if isinstance(error, (KeyboardInterrupt, Terminated)):
            self.interruption = error
            self.error = EtlError("The run was interrupted after the events were loaded.") if self.loaded else None
        elif isinstance(error, EtlError):
            self.error = error
            log.error("failed: %s", error)
        else:
            self.error = _unexpected(error)

    def outcome(self) -> DayOutcome:
        """Return the run as the summary, the JSON object and the letter tell it."""
        return DayOutcome(
            date=self.day.date,
            mode=self.day.mode,
            complete=self.day.complete,
            status=self.status,
            counts=self.counts if self.loaded else None,
            statistics=self.statistics if self.loaded else None,
            sheet=self.sheet,
            mail=self.mail,
            error=self.error,
            troubles=tuple(self.troubles),
            sheet_url=self.sheet_url,
            duration=timedelta(seconds=time.monotonic() - self.started),
            from_database=self.from_database,
            run_id=self.run_id,
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code; every expected failure becomes a line of text."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # Cyrillic on any terminal
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = _start(arguments)
    except KeyboardInterrupt:
        _say(_early_messages(arguments).text("Interrupted; nothing was changed."))
        code = ExitCode.INTERRUPTED
    except Terminated:
        code = ExitCode.TERMINATED
    with suppress(BrokenPipeError, ValueError):
        sys.stdout.flush()
        return code
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on; say so to nobody
    return code


def _start(arguments: Sequence[str]) -> int:
    """Read command line and settings, then hand over to the command."""
    messages = _early_messages(arguments)
    try:
        options = read_arguments(arguments, messages)
        with ExitStack() as stack:
            settings, letters = _settings(options, stack)
            messages = Messages(language_option(arguments) or settings.language)
            return _run_command(settings, options, messages, letters)
    except ConfigError as error:
        _say_faults(error, arguments)
    except UsageError as error:
        _say(f"✗ {messages.error(error)}")
    return ExitCode.USAGE


def _settings(options: Options, stack: ExitStack) -> tuple[Settings, Path | None]:
    """Return the settings: those of the environment and `.env`, or those of the demo with the folder of its letters."""
    if not options.demo:
        path = HOME / ".env"
        return load_settings(os.environ, read_env_file(path), env_path=path), None
    from demo.environment import demo_environment

    demo = stack.enter_context(demo_environment(HOME / ".demo", os.environ))
    settings = load_settings(demo.environ)
    database = replace(settings.database, embedded=demo.database_folder)
    return replace(settings, database=database), demo.letters_folder


def _run_command(settings: Settings, options: Options, messages: Messages, letters: Path | None) -> int:
    """Ask for what is missing, open the log and do what was asked for."""
    terminal = Terminal(sys.stderr if options.json else sys.stdout)
    mode = Mode.TEST if options.test or settings.test_mode else Mode.FULL
    if mode is Mode.TEST and settings.database.reset:
        raise UsageError(
            "A test run does not empty the events table.", remedy="Set DB_MAIN_TABLE_OPEN_RESET=false for it."
        )
    days: Sequence[date] = []
    if options.command in {Command.RUN, Command.REPORT}:
        days = _days(settings, options, terminal, messages)
        if not days:
            return ExitCode.OK

    from logger import logging_to

    now = datetime.now().astimezone()
    with logging_to(settings.logs, messages, secrets=settings.secrets(), write_line=terminal.line, now=now) as log_file:
        for warning in settings.warnings:
            log.warning("%s", EtlError(warning.template, **warning.fields))
        if options.command is Command.CHECK:
            from operations import check

            return check.run(settings, terminal, messages, as_json=options.json)

        from warehouse.connection import Server

        with Server(settings.database) as server:
            if options.command is Command.RUNS:
                return _show_ledger(server, options, terminal, messages)
            job = _Job(settings, options, messages, terminal, server, mode, reset_pending=settings.database.reset)
            known = set(letters.glob("*.eml")) if letters else set()
            code = _run_days(job, days)
            summary.show_places(
                terminal,
                messages,
                pages=job.pages,
                sheet_url=job.sheet_url,
                letters=sorted(set(letters.glob("*.eml")) - known) if letters else [],
                log=log_file,
            )
            return code


def _days(settings: Settings, options: Options, terminal: Terminal, messages: Messages) -> Sequence[date]:
    """Return the days to process, asking for one where none is named; empty where the operator leaves."""
    today = datetime.now(settings.zone).date()
    if days := days_of(options, today):
        return days
    asked = ask_date(today, source=sys.stdin, terminal=terminal, messages=messages)
    return [asked] if asked else []


def _run_days(job: _Job, days: Sequence[date]) -> int:
    """Process the days, oldest first; a failing one does not stop the others, an interruption does."""
    process = _report_day if job.options.command is Command.REPORT else _process_day
    run: _DayRun | None = None
    for day in days:
        run = process(job, day, last=day == days[-1])
        outcome = run.outcome()
        job.outcomes.append(outcome)
        job.contents.append(run.content)
        summary.show_day(job.terminal, outcome, run.content, job.messages)
        if job.options.json:
            _print(summary.json_line(outcome, job.messages))
        if run.interruption:
            break
    if len(job.outcomes) > 1:
        summary.show_range(job.terminal, job.outcomes, job.messages)
    return _exit_code(job.outcomes, run.interruption if run else None)


def _exit_code(outcomes: Sequence[DayOutcome], interruption: BaseException | None) -> int:
    """Return the worst code: interrupted, then 1, then 3, then 0."""
    statuses = {outcome.status for outcome in outcomes}
    if RunStatus.INTERRUPTED in statuses:
        return ExitCode.TERMINATED if isinstance(interruption, Terminated) else ExitCode.INTERRUPTED
    if RunStatus.FAILED in statuses:
        return ExitCode.FAILED
    return ExitCode.PARTIAL if RunStatus.PARTIAL in statuses else ExitCode.OK


def _process_day(job: _Job, date_: date, *, last: bool) -> _DayRun:
    """Run the pipeline for one day, under its lock and with its row in the ledger."""
    from source.windows import day_of
    from warehouse import ledger
    from warehouse.migrations import migrate

    run = _DayRun(day_of(date_, job.settings.zone, job.mode, datetime.now(UTC)))
    log.info("run: start, day %s, mode %s", date_.isoformat(), str(job.mode))
    try:
        with job.server.connected() as database:
            migrate(database)
            try:
                with database.locked_day(date_):
                    ledger.interrupt_stale_runs(database)
                    run.run_id = ledger.begin(database, run.day)
                    _run_held_day(job, database, run, last=last)
            except DayLockedError as error:
                run.run_id = ledger.begin(database, run.day)
                run.stop(error)
                _finish(database, run)
                raise
    except BaseException as error:  # noqa: BLE001  (noted, told, and turned into the exit code)
        run.stop(error)
        if last and run.mail is MailOutcome.SKIPPED:
            _send_letter(job, None, run)
    log.info("run: end, day %s, status %s", date_.isoformat(), str(run.status))
    return run


def _run_held_day(job: _Job, database: Database, run: _DayRun, *, last: bool) -> None:
    """Do the work of a day and write in the ledger how it ended, whatever happens."""
    from warehouse import ledger

    try:
        _fetch_and_load(job, database, run)
        _publish(job, database, run)
    except BaseException as error:  # noqa: BLE001  (noted, told, and turned into the exit code)
        if run.counts is None and run.run_id is not None:
            # The interruption may have come while the commit went through; the ledger knows.
            with suppress(DatabaseError):
                run.counts = ledger.committed_counts(database, run.run_id)
        run.stop(error)
    if last:
        _send_letter(job, database, run)
    _finish(database, run)


def _finish(database: Database, run: _DayRun) -> None:
    from warehouse import ledger

    if run.run_id is not None:
        error = run.error or (run.troubles[0] if run.troubles else None)
        ledger.finish(database, run.run_id, run.status, sheet=run.sheet, mail=run.mail, error=error)


def _fetch_and_load(job: _Job, database: Database, run: _DayRun) -> None:
    """Fetch the whole day first, then load it; compute its figures from the table."""
    import daily_stats
    import get_data
    import put_data
    from warehouse.spool import Spool

    assert run.run_id is not None  # noqa: S101  (for the type checker)
    settings = job.settings
    title = job.messages.text("Fetching %(date)s", date=run.day.date)
    with Spool() as spool:
        with job.terminal.progress(title, job.messages) as on_progress:
            for batch in get_data.fetch(
                settings.api,
                run.day.window,
                on_progress=on_progress,
                log_every_event=settings.logs.every_event,
            ):
                spool.add(batch)
        run.counts = put_data.load(database, run.run_id, run.day, spool, reset=job.reset_pending)
    job.reset_pending = False
    run.statistics = daily_stats.compute(database, run.day.window)


def _publish(job: _Job, database: Database, run: _DayRun) -> None:
    """Make the local report and bring the sheet up to date; a failure of the one does not stop the other."""
    from report.content import day_content
    from report.page import write_page

    if run.statistics is None:
        return
    run.content = day_content(run.day, run.statistics, run.counts, prepared_at=datetime.now(UTC), messages=job.messages)
    try:
        job.pages.append(write_page(run.content, job.settings.reports_path))
    except ReportError as error:
        _trouble(run, error)
    run.sheet = _publish_sheet(job, database, run, run.content, _figures(run.outcome()))


def _publish_sheet(
    job: _Job, database: Database, run: _DayRun, content: DayContent, figures: Figures | None
) -> SheetOutcome:
    """Draw the day in the Google Sheet, unless these figures stand there already."""
    from warehouse import publications
    from warehouse.publications import Target

    settings = job.settings.sheet
    if settings is None or not job.options.sheet or figures is None:
        log.info("sheet: %s", "not configured" if settings is None else "left out as asked")
        return SheetOutcome.SKIPPED
    day, destination = run.day.date, settings.spreadsheet_id
    if not run.from_database and publications.is_published(database, day, figures, Target.SHEET, destination):
        log.info("sheet: no change, left alone")
        return SheetOutcome.UNCHANGED

    import google_sheets

    try:
        run.sheet_url = job.sheet_url = google_sheets.publish(settings, [content])
    except SheetError as error:
        _trouble(run, error)
        return SheetOutcome.FAILED
    publications.record(database, day, figures, Target.SHEET, destination=destination, run_id=run.run_id)
    return SheetOutcome.UPDATED


def _send_letter(job: _Job, database: Database | None, run: _DayRun) -> None:
    """Send the one letter of the command, unless there is nothing new to tell or the operator broke off."""
    if job.settings.mail is None or not job.options.mail or run.interruption:
        log.info("letter: %s", "not configured" if job.settings.mail is None else "left out as asked")
        return
    try:
        run.mail = _deliver_letter(job, database, run)
    except (EtlError, OSError) as error:
        _trouble(run, error if isinstance(error, EtlError) else _unexpected(error))
        run.mail = MailOutcome.FAILED
    except (KeyboardInterrupt, Terminated) as error:
        run.stop(error)


def _deliver_letter(job: _Job, database: Database | None, run: _DayRun) -> MailOutcome:
    """Compose the letter, deliver it, and remember which figures it told."""
    import email_notifications
    from report.content import letter_content
    from warehouse import publications
    from warehouse.publications import Target

    settings = job.settings.mail
    assert settings is not None  # noqa: S101  (for the type checker)
    outcomes = [*job.outcomes, run.outcome()]
    told = [(outcome.date, figures) for outcome in outcomes if (figures := _figures(outcome))]
    nothing_new = database is not None and all(
        publications.is_published(database, day, figures, Target.MAIL) for day, figures in told
    )
    if nothing_new and len(told) == len(outcomes) and not run.from_database:
        log.info("letter: no change, none is sent")
        return MailOutcome.UNCHANGED
    now = datetime.now(job.settings.zone)
    letter = letter_content(outcomes, [*job.contents, run.content], prepared_at=now, messages=job.messages)
    recipients = (settings.sender,) if job.mode is Mode.TEST else settings.recipients
    message = email_notifications.compose(
        letter,
        sender=settings.sender,
        recipients=recipients,
        message_id=email_notifications.message_id(
            run.day.date,
            job.mode,
            "".join(figures.fingerprint() for _, figures in told) or now.isoformat(),
            settings.sender,
        ),
        sent_at=now,
    )
    delivery = email_notifications.deliver(settings, message, recipients=recipients)
    for day, figures in told:
        if database is not None:
            publications.record(database, day, figures, Target.MAIL, run_id=run.run_id)
    if delivery.refused:
        refused = ", ".join(f"{recipient.address} ({recipient.code})" for recipient in delivery.refused)
        _trouble(run, MailError("The mail server refused recipients: %(refused)s.", refused=refused))
    return MailOutcome.SENT


def _report_day(job: _Job, date_: date, *, last: bool) -> _DayRun:
    """Make figures, report, sheet and letter of a day again from the database; always publish them."""
    import daily_stats
    from source.windows import day_of
    from warehouse import ledger
    from warehouse.migrations import migrate

    run = _DayRun(day_of(date_, job.settings.zone, job.mode, datetime.now(UTC)))
    try:
        with job.server.connected() as database:
            migrate(database)
            if not ledger.anything_loaded(database):
                raise DatabaseError(
                    "Nothing was ever loaded, so there is nothing to report.", remedy="Run a day first."
                )
            with database.locked_day(date_):
                if job.mode is Mode.FULL:
                    full = ledger.last_full_run(database, date_)
                    run.day = _covered(run.day, full)
                    run.counts = full.counts if full else None
                run.statistics = daily_stats.compute(database, run.day.window)
                run.from_database = True
                _publish(job, database, run)
                if last:
                    _send_letter(job, database, run)
    except BaseException as error:  # noqa: BLE001  (noted, told, and turned into the exit code)
        run.stop(error)
    return run


def _covered(day: Day, full: FullRun | None) -> Day:
    """Return what the table holds of a day: the part that its last full run asked for."""
    if full is None:
        return replace(day, complete=False)
    if full.complete:
        return day
    start, end = day.window.start, min(day.window.end, full.covered_until)
    return replace(day, window=Window(start, max(start, end)), complete=False)


def _figures(outcome: DayOutcome) -> Figures | None:
    """Return what is published of a day; None where there is nothing to publish."""
    if outcome.statistics is None:
        return None
    return Figures(outcome.mode, outcome.complete, outcome.statistics)


def _trouble(run: _DayRun, error: EtlError) -> None:
    """Note a failure that does not end the run."""
    run.troubles.append(error)
    log.error("failed: %s", error)


def _unexpected(error: BaseException) -> EtlError:
    """Return the error that tells people of a fault in this program; the log file gets the traceback."""
    log.error("unexpected error", exc_info=error)
    return EtlError(
        "Something unexpected happened (%(kind)s).",
        remedy="The log file tells more; please report it.",
        kind=type(error).__name__,
    )


def _show_ledger(server: Server, options: Options, terminal: Terminal, messages: Messages) -> int:
    """Show the last runs."""
    from warehouse import ledger
    from warehouse.migrations import applied_versions

    try:
        with server.connected() as database:
            rows = ledger.recent_runs(database, _SHOWN_RUNS) if applied_versions(database) else []
    except DatabaseError as error:
        terminal.problem(messages.error(error))
        return ExitCode.FAILED
    if options.json:
        for row in rows:
            _print(summary.runs_json_line(row, messages))
    elif rows:
        summary.show_runs(terminal, rows, messages)
    else:
        terminal.line(messages.text("There were no runs yet."))
    return ExitCode.OK


def _early_messages(arguments: Sequence[str]) -> Messages:
    """Return the language before the settings are known: of the command line, the environment, or `.env`."""
    if language := language_option(arguments):
        return Messages(language)
    values = dict(os.environ)
    if "CURR_LANG" not in values:
        with suppress(ConfigError):
            values = read_env_file(HOME / ".env")
    return Messages(chosen_language(values))


def _say_faults(error: ConfigError, arguments: Sequence[str]) -> None:
    """Tell every fault of the settings and the way out; in both languages where the language is among them."""
    languages: list[Language] = [_early_messages(arguments).language]
    if any(fault.fields.get("name") == "CURR_LANG" for fault in error.faults):
        languages = list(Language)
    for language in languages:
        messages = Messages(language)
        _say(messages.text("The settings are not usable; nothing was started:"))
        for fault in messages.faults(error):
            _say(f"  ✗ {fault}")
        _say(
            messages.text(
                "Set them in the environment or in the file %(file)s (see .env.example).", file=str(HOME / ".env")
            )
        )
        _say(messages.text("To see everything work without any settings: python data_processor.py --demo"))


def _say(text: str) -> None:
    with suppress(BrokenPipeError, ValueError):
        print(text, file=sys.stderr, flush=True)  # noqa: T201  (before there is a log, and for the last word)


def _print(text: str) -> None:
    with suppress(BrokenPipeError, ValueError):
        print(text, flush=True)  # noqa: T201  (the machine's output)


def _terminate(_signal: int, _frame: object) -> NoReturn:
    raise Terminated


if __name__ == "__main__":
    sys.exit(main())
