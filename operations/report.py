"""`report`: figures, report, sheet and letter of a day again from the database, without fetching."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import daily_stats
from app_types import Mode
from exceptions import DatabaseError
from pipeline.days import run_days
from pipeline.drawing import draw_days
from pipeline.job import DayRun
from pipeline.letters import send_letter
from pipeline.publishing import covered, publish
from source.windows import day_of
from warehouse import ledger
from warehouse.adoption import AdoptionRules
from warehouse.migrations import migrate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from pipeline.job import Job


def run(job: Job, days: Sequence[date]) -> int:
    """Report the days again, oldest first."""
    return run_days(job, days, report_day)


def report_day(job: Job, date_: date, *, last: bool) -> DayRun:
    """Make figures, report, sheet and letter of a day again from the database; always publish them."""
    run = DayRun(day_of(date_, job.settings.zone, job.mode, datetime.now(UTC)))
    try:
        with job.server.connected() as database:
            migrate(database, rules=AdoptionRules.of(job.settings))
            if not ledger.anything_loaded(database):
                raise DatabaseError(
                    "Nothing was ever loaded, so there is nothing to report.", remedy="Run a day first."
                )
            with database.locked_day(date_):
                counts = None
                if job.mode is Mode.FULL:
                    full = ledger.last_full_run(database, date_)
                    run.day = covered(run.day, full)
                    counts = full.counts if full else None
                run.statistics, run.details = daily_stats.in_full(
                    database, run.day.window, events=counts.valid if counts else 0
                )
                run.counts, run.from_database = counts, True
                publish(job, database, run)
                if last:
                    draw_days(job, database, run)
                    send_letter(job, database, run)
    except BaseException as error:  # noqa: BLE001  (noted, told, and turned into the exit code)
        run.stop(error)
    return run
