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
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))

import gc

if __name__ == "__main__":
    # Hardly anything that is made from here on is garbage: to look through it every 700 objects takes a twentieth of
    # the start, and later time from PostgreSQL.
    gc.set_threshold(50_000)

import logging
import sys
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Final

from app_types import MailOutcome, Mode, RunStatus
from config import HOME, load_settings, read_env_file
from console import streams, summary
from console.arguments import Command, language_option, read_arguments
from console.contradictions import refuse_contradictions
from console.dates import days_of
from console.early import early_messages, say_faults
from console.prompt import ask_date
from console.streams import say
from console.terminal import Terminal
from exceptions import ConfigError, DatabaseError, DayLockedError, EtlError, UsageError
from messages import Messages
from pipeline.alarming import watched
from pipeline.interruption import listen, stop_listening
from pipeline.job import DayRun, ExitCode, Job, Terminated, unexpected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import date

    from app_types import Batch
    from config import Settings
    from console.arguments import Options
    from demo.environment import DemoEnvironment
    from warehouse.connection import Database

log = logging.getLogger(__name__)

_LAST_COUNT: Final = 10.0
"""Seconds for the figures of a day that was broken off."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code; every expected failure becomes a line of text."""
    arguments = sys.argv[1:] if arguments is None else arguments
    streams.prepare()
    logging.getLogger().addHandler(logging.NullHandler())  # until the log is open, nothing is printed past us
    code: int = ExitCode.OK
    listen()
    try:
        code = _start(arguments)
    except SystemExit:
        pass  # the help was asked for
    except KeyboardInterrupt:
        say(early_messages(arguments).text("Interrupted; nothing was changed."))
        code = ExitCode.INTERRUPTED
    except Terminated:
        code = ExitCode.TERMINATED
    except Exception as error:
        if os.environ.get("LOG_LEVEL", "").upper() == "DEBUG":
            raise
        say(f"✗ {early_messages(arguments).error(unexpected(error))}")
        code = ExitCode.FAILED
    streams.flush()
    return code


def _start(arguments: Sequence[str]) -> int:
    """Read command line and settings, then hand over to the command."""
    messages = early_messages(arguments)
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
        say_faults(error, arguments)
    except UsageError as error:
        say(f"✗ {messages.error(error)}")
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
    refuse_contradictions(settings, options, mode)
    days = _days(settings, options, terminal, messages)
    if days is None:
        return ExitCode.OK

    from logger import logging_to
    from warehouse.connection import Server

    now = datetime.now().astimezone()
    with logging_to(
        settings.logs, messages, secrets=settings.secrets(), write_line=terminal.log_line, now=now
    ) as log_file:
        for warning in settings.warnings:
            log.warning("%s", warning)
        with Server(settings.database) as server:
            job = Job(settings, options, messages, terminal, server, mode, _process_day, settings.database.reset)
            if demo and options.command in {Command.RUN, Command.REPORT}:
                _give_demo_a_past(job, days[0])
            code = _perform(job, days)
        letters = demo.letters if demo else ()
        if job.runs:
            summary.show_places(
                terminal, messages, pages=job.pages, sheet_url=job.sheet_url, letters=letters, log=log_file
            )
        return code


def _perform(job: Job, days: Sequence[date]) -> int:
    """Do what was asked for; the module of the command is loaded only now."""
    with watched(job, days) as command:
        try:
            command.code = import_module(f"operations.{job.options.command}").run(job, days)
        except DatabaseError as error:
            job.terminal.problem(job.messages.error(error))
            command.error = error
    return command.code


def _give_demo_a_past(job: Job, day: date) -> None:
    """Load the demo's earlier days, once, so that its report has something to compare with."""
    from demo import history

    with suppress(EtlError):  # the run itself meets and tells the same trouble
        if missing := history.missing_days(job.server, day):
            title = job.messages.text("Filling the demo with earlier days")
            with job.terminal.progress(title, job.messages) as on_progress:
                history.fill(job.server, missing, job.settings, on_progress)


def _days(settings: Settings, options: Options, terminal: Terminal, messages: Messages) -> Sequence[date] | None:
    """Return the days that the command line means, asking where it must; None where the operator leaves."""
    today = datetime.now(settings.zone).date()
    days = days_of(options, today)
    if days or options.command not in {Command.RUN, Command.REPORT, Command.REPLAY}:
        return days
    asked = ask_date(today, source=sys.stdin, terminal=terminal, messages=messages)
    return [asked] if asked else None


def _process_day(job: Job, date_: date, *, last: bool) -> DayRun:
    """Run the pipeline for one day, under its lock and with its row in the ledger."""
    from pipeline.drawing import draw_days, leave_undrawn
    from pipeline.letters import send_letter
    from source.windows import day_of
    from warehouse import ledger
    from warehouse.adoption import AdoptionRules
    from warehouse.migrations import migrate

    run = DayRun(day_of(date_, job.settings.zone, job.mode, datetime.now(UTC)))
    log.info("run: start, day %s, mode %s", date_.isoformat(), str(job.mode))
    try:
        with job.server.connected() as database:
            migrate(database, rules=AdoptionRules.of(job.settings))
            try:
                with database.locked_day(date_):
                    ledger.interrupt_stale_runs(database)
                    run.run_id = ledger.begin(database, run.day)
                    _run_held_day(job, database, run, last=last)
            except DayLockedError as error:
                run.run_id, run.error = ledger.begin(database, run.day), error
                if last:
                    draw_days(job, database, run)
                _finish(database, run)
                raise
    except BaseException as error:  # noqa: BLE001  (noted, told, and turned into the exit code)
        run.stop(error)
        if last and run.mail is MailOutcome.SKIPPED:
            leave_undrawn(job)
            send_letter(job, None, run)
    log.info("run: end, day %s, status %s", date_.isoformat(), str(run.status))
    return run


def _run_held_day(job: Job, database: Database, run: DayRun, *, last: bool) -> None:
    """Do the work of a day and write in the ledger how it ended, whatever happens."""
    import daily_stats
    from pipeline.calendar import refresh_calendar
    from pipeline.drawing import draw_days
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
        if run.counts is not None and run.statistics is None:
            # Broken off before all was counted: what is loaded has its figures, unless they take long.
            with suppress(DatabaseError, TimeoutError, KeyboardInterrupt, Terminated):
                run.statistics = daily_stats.compute(database, run.day.window, limit=_LAST_COUNT)
    if last:
        draw_days(job, database, run)
        send_letter(job, database, run)
    _finish(database, run)
    if run.status is RunStatus.FAILED:
        refresh_calendar(job, database)


def _finish(database: Database, run: DayRun) -> None:
    from warehouse import ledger

    if run.run_id is not None:
        status, error = run.ending()
        ledger.finish(database, run.run_id, status, sheet=run.sheet, mail=run.mail, error=error)
        run.is_recorded = True


def _fetch_and_load(job: Job, database: Database, run: DayRun) -> None:
    """Fetch the day and load it meanwhile, all or nothing; compute its statistics from the table."""
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
                run_id=run.run_id,
                on_progress=on_progress,
                log_every_event=settings.logs.every_event,
            )
        ) as batches,
    ):
        run.counts = put_data.load(database, run.run_id, run.day, _then_ready(batches), reset=job.reset_pending)
    job.reset_pending = False
    run.statistics, run.details = daily_stats.in_full(database, run.day.window, events=run.counts.valid)


def _then_ready(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Have the report made ready once all is fetched: from then on, there is only PostgreSQL at work for a while."""
    from report import readiness

    yield from batches
    readiness.prepare()


if __name__ == "__main__":
    exit_code = main()
    stop_listening()
    gc.freeze()  # what is in memory goes with the process; to look through it for garbage takes longer than to leave
    sys.exit(exit_code)
