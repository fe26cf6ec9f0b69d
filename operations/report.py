"""`report`: figures, report, sheet and letter of a day again from the database, without fetching."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import daily_stats
from app_types import Mode, Window
from exceptions import DatabaseError
from pipeline.job import DayRun
from pipeline.letters import send_letter
from pipeline.publishing import publish
from source.windows import day_of
from warehouse import ledger
from warehouse.migrations import migrate

if TYPE_CHECKING:
    from datetime import date

    from app_types import Day
    from pipeline.job import Job
    from warehouse.ledger import FullRun


def report_day(job: Job, date_: date, *, last: bool) -> DayRun:
    """Make figures, report, sheet and letter of a day again from the database; always publish them."""
    run = DayRun(day_of(date_, job.settings.zone, job.mode, datetime.now(UTC)))
    try:
        with job.server.connected() as database:
            migrate(database)
            if not ledger.anything_loaded(database):
                raise DatabaseError(
                    "Nothing was ever loaded, so there is nothing to report.", remedy="Run a day first."
                )
            with database.locked_day(date_):
                counts = None
                if job.mode is Mode.FULL:
                    full = ledger.last_full_run(database, date_)
                    run.day = _covered(run.day, full)
                    counts = full.counts if full else None
                run.statistics = daily_stats.compute(database, run.day.window)
                run.counts, run.from_database = counts, True
                publish(job, database, run)
                if last:
                    send_letter(job, database, run)
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
