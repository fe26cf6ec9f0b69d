"""Which days still need a run: those that no run has brought in whole, or whose last run did not end well."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from app_types import RunStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from pipeline.job import Job
    from warehouse.calendar import KnownDay

FAILURES: Final = frozenset({RunStatus.FAILED, RunStatus.INTERRUPTED})


def is_settled(day: KnownDay) -> bool:
    """Tell whether a day needs no further run: its events are in as a whole, and its last run came to a good end.

    A run that was killed behind its load has not counted the day, nor told anybody of it.
    """
    return day.loaded and day.is_complete and day.is_ended and day.last_run not in FAILURES


def lacking(job: Job, days: Sequence[date]) -> list[date]:
    """Return the days among these, which follow each other, that still need a run.

    Raises:
        DatabaseError: it cannot be found out.
    """
    from warehouse import calendar, ledger
    from warehouse.adoption import AdoptionRules
    from warehouse.migrations import migrate

    with job.server.connected() as database:
        migrate(database, rules=AdoptionRules.of(job.settings))
        ledger.interrupt_stale_runs(database)
        known = calendar.days(database, days[0], days[-1] + timedelta(days=1))
    settled = {day.date for day in known if is_settled(day)}
    return [day for day in days if day not in settled]
