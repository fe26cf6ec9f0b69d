"""The daily ETL of learning events: asks for a date, then fetch, load, statistics, report, letter.

Run it by `python data_processor.py`; `--help` tells the rest. Exit codes: 0 all done; 1 the run failed and the events
table is as it was; 2 wrong usage or settings; 3 loaded, but the sheet or the letter failed; 130 interrupted.
"""

from __future__ import annotations

import os
import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Nothing is begun before `main` listens: until then Ctrl-C is no occasion for a traceback.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))

import logging
import sys
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from enum import IntEnum
from typing import TYPE_CHECKING, TextIO

from app_types import Language, MailOutcome, Mode, RunStatus
from config import HOME, chosen_language, load_settings, read_env_file
from console import summary
from console.arguments import Command, language_option, read_arguments
from console.dates import days_of
from console.prompt import ask_date
from console.terminal import Terminal
from exceptions import ConfigError, DatabaseError, DayLockedError, EtlError, UsageError
from messages import Messages
from pipeline.interruption import listen, stop_listening
from pipeline.job import DayRun, Job, Terminated, unexpected

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from app_types import DayOutcome
    from config import Settings
    from console.arguments import Options
    from demo.environment import DemoEnvironment
    from warehouse.connection import Database

log = logging.getLogger(__name__)


class ExitCode(IntEnum):
    """What the program tells cron lines and scripts."""

    OK = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    INTERRUPTED = 130
    TERMINATED = 143


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code; every expected failure becomes a line of text."""
    arguments = sys.argv[1:] if arguments is None else arguments
    _replace_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # Cyrillic on any terminal
    logging.getLogger().addHandler(logging.NullHandler())  # until the log is open, nothing is printed past us
    code: int = ExitCode.OK
    listen()
    try:
        code = _start(arguments)
    except SystemExit:
        pass  # the help was asked for
    except KeyboardInterrupt:
        _say(_early_messages(arguments).text("Interrupted; nothing was changed."))
        code = ExitCode.INTERRUPTED
    except Terminated:
        code = ExitCode.TERMINATED
    except Exception as error:
        if os.environ.get("LOG_LEVEL", "").upper() == "DEBUG":
            raise
        _say(f"✗ {_early_messages(arguments).error(unexpected(error))}")
        code = ExitCode.FAILED
    for stream in (sys.stdout, sys.stderr):
        _flush(stream)
    return code


def _start(arguments: Sequence[str]) -> int:
    """Read command line and settings, then hand over to the command."""
    messages = _early_messages(arguments)
    try:
        options = read_arguments(arguments, messages)
        with ExitStack() as stack:
            settings, demo = _settings(options, stack)
            messages = Messages(language_option(arguments) or settings.language)
            code = _run_command(settings, options, messages, demo)
            if demo and code in {ExitCode.FAILED, ExitCode.INTERRUPTED, ExitCode.TERMINATED}:
                demo.forget_fetch()
            return code
    except ConfigError as error:
        _say_faults(error, arguments)
    except UsageError as error:
        _say(f"✗ {messages.error(error)}")
    return ExitCode.USAGE


def _settings(options: Options, stack: ExitStack) -> tuple[Settings, DemoEnvironment | None]:
    """Return the settings: those of the environment and `.env`, or those of the demo."""
    if not options.demo:
        path = HOME / ".env"
        return load_settings(os.environ, read_env_file(path), env_path=path), None
    from demo.environment import demo_environment

    own: dict[str, str] = {}
    with suppress(ConfigError):  # the demo needs no settings, so wrong ones do not matter to it
        own = read_env_file(HOME / ".env")
    demo = stack.enter_context(demo_environment(HOME / ".demo", {**own, **os.environ}))
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]  # libpq would read them by itself, and the demo is not to touch a real server
    settings = load_settings(demo.environ)
    database = replace(settings.database, embedded=demo.database_folder)
    return replace(settings, database=database), demo


def _run_command(settings: Settings, options: Options, messages: Messages, demo: DemoEnvironment | None) -> int:
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
            log.warning("%s", warning)
        if options.command is Command.CHECK:
            from operations import check

            return check.run(settings, terminal, messages, as_json=options.json)

        from warehouse.connection import Server

        with Server(settings.database) as server:
            if options.command is Command.RUNS:
                from operations import runs

                return runs.run(server, terminal, messages, as_json=options.json)
            job = Job(settings, options, messages, terminal, server, mode, reset_pending=settings.database.reset)
            if demo:
                _give_demo_a_past(job, days[0])
            code = _run_days(job, days)
        letters = demo.letters if demo else ()
        summary.show_places(terminal, messages, pages=job.pages, sheet_url=job.sheet_url, letters=letters, log=log_file)
        return code


def _give_demo_a_past(job: Job, day: date) -> None:
    """Load the demo's earlier days, once, so that its report has something to compare with."""
    from demo import history

    with suppress(EtlError):  # the run itself meets and tells the same trouble
        if missing := history.missing_days(job.server, day):
            title = job.messages.text("Filling the demo with earlier days")
            with job.terminal.progress(title, job.messages) as on_progress:
                history.fill(job.server, missing, job.settings, on_progress)


def _days(settings: Settings, options: Options, terminal: Terminal, messages: Messages) -> Sequence[date]:
    """Return the days to process, asking for one where none is named; empty where the operator leaves."""
    today = datetime.now(settings.zone).date()
    if days := days_of(options, today):
        return days
    asked = ask_date(today, source=sys.stdin, terminal=terminal, messages=messages)
    return [asked] if asked else []


def _run_days(job: Job, days: Sequence[date]) -> int:
    """Process the days, oldest first; a failing one does not stop the others, an interruption does."""
    from operations.report import report_day

    process = report_day if job.options.command is Command.REPORT else _process_day
    outcomes: list[DayOutcome] = []
    interruption: BaseException | None = None
    for day in days:
        run = process(job, day, last=day == days[-1])
        outcome, interruption = run.outcome(), run.interruption
        outcomes.append(outcome)
        job.runs.append(run)
        try:
            if job.options.json:
                job.terminal.machine(summary.json_line(outcome, job.messages))
            summary.show_day(job.terminal, outcome, run.content, job.messages, brief=len(days) > 1)
        except (KeyboardInterrupt, Terminated) as error:
            interruption = error  # the day is done and stays so; the days after it are not begun
        if interruption:
            break
    if len(days) > 1:
        summary.show_range(job.terminal, outcomes, job.messages)
    code = _exit_code(outcomes, interruption)
    return ExitCode.PARTIAL if code == ExitCode.OK and len(outcomes) < len(days) else code


def _exit_code(outcomes: Sequence[DayOutcome], interruption: BaseException | None) -> int:
    """Return the worst code: interrupted, then 1, then 3, then 0."""
    statuses = {outcome.status for outcome in outcomes}
    if RunStatus.INTERRUPTED in statuses:
        return ExitCode.TERMINATED if isinstance(interruption, Terminated) else ExitCode.INTERRUPTED
    if RunStatus.FAILED in statuses:
        return ExitCode.FAILED
    return ExitCode.PARTIAL if RunStatus.PARTIAL in statuses else ExitCode.OK


def _process_day(job: Job, date_: date, *, last: bool) -> DayRun:
    """Run the pipeline for one day, under its lock and with its row in the ledger."""
    from pipeline.letters import send_letter
    from source.windows import day_of
    from warehouse import ledger
    from warehouse.migrations import migrate

    run = DayRun(day_of(date_, job.settings.zone, job.mode, datetime.now(UTC)))
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
                run.run_id, run.error = ledger.begin(database, run.day), error
                _finish(database, run)
                raise
    except BaseException as error:  # noqa: BLE001  (noted, told, and turned into the exit code)
        run.stop(error)
        if last and run.mail is MailOutcome.SKIPPED:
            send_letter(job, None, run)
    log.info("run: end, day %s, status %s", date_.isoformat(), str(run.status))
    return run


def _run_held_day(job: Job, database: Database, run: DayRun, *, last: bool) -> None:
    """Do the work of a day and write in the ledger how it ended, whatever happens."""
    from pipeline.calendar import refresh_calendar
    from pipeline.letters import send_letter
    from pipeline.publishing import publish
    from warehouse import ledger

    try:
        _fetch_and_load(job, database, run)
        publish(job, database, run)
    except BaseException as error:  # noqa: BLE001  (noted, told, and turned into the exit code)
        if run.counts is None and run.run_id is not None:
            # The interruption may have come while the commit went through; the ledger knows.
            with suppress(DatabaseError):
                run.counts = ledger.committed_counts(database, run.run_id)
        run.stop(error)
    if last:
        send_letter(job, database, run)
    _finish(database, run)
    if run.status is RunStatus.FAILED:
        refresh_calendar(job, database)


def _finish(database: Database, run: DayRun) -> None:
    from warehouse import ledger

    if run.run_id is not None:
        error = run.error or (run.troubles[0] if run.troubles else None)
        ledger.finish(database, run.run_id, run.status, sheet=run.sheet, mail=run.mail, error=error)


def _fetch_and_load(job: Job, database: Database, run: DayRun) -> None:
    """Fetch the whole day first, then load it; compute its figures from the table."""
    import daily_stats
    import get_data
    import put_data

    assert run.run_id is not None  # noqa: S101  (for the type checker)
    settings = job.settings
    title = job.messages.text("Fetching %(date)s", date=run.day.date)
    with (
        job.terminal.progress(title, job.messages) as on_progress,
        closing(
            get_data.fetch(
                settings.api,
                run.day.window,
                on_progress=on_progress,
                log_every_event=settings.logs.every_event,
            )
        ) as batches,
    ):
        run.counts = put_data.load(database, run.run_id, run.day, batches, reset=job.reset_pending)
    job.reset_pending = False
    run.statistics = daily_stats.compute(database, run.day.window)


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
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)  # noqa: T201  (before there is a log, and for the last word)


def _replace_closed_streams() -> None:
    """Stand in for standard streams that are closed: no file or connection may get their numbers, and our output."""
    if None not in {sys.stdin, sys.stdout, sys.stderr}:
        return
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < 3:
        pass
    os.close(descriptor)
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def _flush(stream: TextIO) -> None:
    """Write out what is left; where nobody reads on, Python's own attempt at the end is to find no fault either."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    exit_code = main()
    stop_listening()
    sys.exit(exit_code)
