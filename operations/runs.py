"""`runs`: what became of every day, as a calendar; every run of one day; the ledger for scripts."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from console import runs
from console.calendar import calendar_of, show_calendar
from warehouse import calendar, ledger, quarantine, revisions
from warehouse.migrations import applied_versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.job import Job
    from warehouse.calendar import KnownDay
    from warehouse.connection import Database

_LAST_RUNS: Final = 30
_LAST_RUNS_BELOW_THE_CALENDAR: Final = 10
_MONTHS: Final = 3


def run(job: Job, days: Sequence[date]) -> int:
    """Show the calendar, or the runs of one day; with `--json`, runs, the newest first.

    Raises:
        DatabaseError: it cannot be reached.
    """
    job.terminal.hush()
    with job.server.connected() as database:
        if not applied_versions(database):
            if not job.options.json:
                job.terminal.line(job.messages.text("There were no runs yet."))
        elif job.options.json:
            for row in _rows(database, days, _LAST_RUNS):
                job.terminal.machine(runs.json_line(row, job.messages))
        elif job.options.date:
            _show_day(job, database, days[0])
        else:
            _show_calendar(job, database, days)
    return 0


def _rows(database: Database, days: Sequence[date], most: int) -> list[ledger.LedgerRow]:
    """Return the runs of the days, else the last ones; the newest first."""
    if days:
        return ledger.runs_of(database, days[0], days[-1] + timedelta(days=1))
    return ledger.recent_runs(database, most)


def _show_day(job: Job, database: Database, day: date) -> None:
    rows = list(reversed(_rows(database, [day], _LAST_RUNS)))
    recorded = revisions.of_day(database, day)
    if not rows and not recorded:
        job.terminal.line(job.messages.text("%(date)s was never run.", date=day))
        return
    quarantined = quarantine.count(database, day), job.options.further(f"rejected --date {day}")
    runs.show_day(job.terminal, day, rows, recorded, quarantined, job.settings.zone, job.messages)


def _show_calendar(job: Job, database: Database, days: Sequence[date]) -> None:
    """Show the days asked for, else the last months that anything is known of, and below them the last runs."""
    today = datetime.now(job.settings.zone).date()
    known = calendar.days(database, date.min, date.max)
    rows = list(reversed(ledger.recent_runs(database, _LAST_RUNS_BELOW_THE_CALENDAR)))
    if not known and not rows:
        job.terminal.line(job.messages.text("There were no runs yet."))
        return
    if known or days:
        first, last = _extent(known, days, today)
        shown = calendar_of(known, first, last, today)
        show_calendar(job.terminal, shown, job.messages)
        _say_what_is_missing(job, shown.lacking)
        if not days:
            _say_how_long_ago(job, known[-1].date, today)
    if not days:
        job.terminal.line("")
        runs.show_runs(job.terminal, rows, job.settings.zone, job.messages)


def _extent(known: Sequence[KnownDay], days: Sequence[date], today: date) -> tuple[date, date]:
    if days:
        return days[0], days[-1]
    last = known[-1].date
    if (today - last).days <= 31:
        last = today
    first = last.replace(day=1)
    for _ in range(_MONTHS - 1):
        first = (first - timedelta(days=1)).replace(day=1)
    return max(first, known[0].date), last


def _say_what_is_missing(job: Job, lacking: Sequence[date]) -> None:
    if lacking:
        days = f"--from {lacking[0]} --to {lacking[-1]}" if len(lacking) > 1 else f"--date {lacking[0]}"
        command = job.options.further(f"{days}{' --missing-only' if len(lacking) > 1 else ''}")
        job.terminal.line("")
        job.terminal.line(job.messages.text("To run what is missing:"))
        job.terminal.line(f"  {command}")


def _say_how_long_ago(job: Job, last: date, today: date) -> None:
    """Tell of the days after the last one that is shown, if they are many."""
    if (today - last).days > 31:
        number = (today - last).days - 1
        job.terminal.line(
            job.messages.plural(
                "%(n)s day after %(date)s was never run.",
                "%(n)s days after %(date)s, up to yesterday, were never run.",
                number,
                date=last,
            )
        )
