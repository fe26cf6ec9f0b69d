"""Writes the calendar of days beside the pages, from what the ledger and the revisions know."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from app_types import Mode, PublishedDay, RunStatus
from exceptions import DatabaseError, ReportError
from pipeline.plan import FAILURES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.job import Job
    from report.calendar import DayState, Trend
    from warehouse.calendar import KnownDay
    from warehouse.connection import Database

log = logging.getLogger(__name__)


def write_calendar(job: Job, database: Database) -> Path:
    """Write the calendar of every day that is known.

    Raises:
        ReportError: it could not be written; an older one is whole.
    """
    from report.calendar import CalendarDay, write_index
    from warehouse import calendar

    known = calendar.days(database, date.min, date.max)
    days = [CalendarDay(day.date, state_of(day), day.statistics, _failed_since(day)) for day in known]
    now = datetime.now(UTC)
    return write_index(
        days,
        _trend(job, known, now),
        job.settings.reports_path,
        messages=job.messages,
        prepared_at=now.astimezone(job.settings.zone),
    )


def refresh_calendar(job: Job, database: Database) -> None:
    """Bring a calendar that is there already up to date after a run that failed; what keeps it from that is logged."""
    from report.page import CALENDAR

    if not (job.settings.reports_path / CALENDAR).is_file():
        return
    try:
        write_calendar(job, database)
    except (ReportError, DatabaseError) as error:
        log.warning("calendar: not brought up to date: %s", error)


def state_of(day: KnownDay) -> DayState:
    """Say what became of a day.

    Its last load decides: a later run that failed changed nothing, and a letter that did not arrive says nothing
    against the figures. Only a day that was never loaded is called failed or interrupted.
    """
    from report.calendar import DayState

    if not day.loaded and day.last_run in FAILURES:
        return DayState.INTERRUPTED if day.last_run is RunStatus.INTERRUPTED else DayState.FAILED
    if not day.is_complete:
        return DayState.PARTIAL
    if day.revision > 1:
        return DayState.CORRECTED
    return DayState.EMPTY if day.is_empty else DayState.DONE


def _failed_since(day: KnownDay) -> bool:
    return day.loaded and day.last_run in FAILURES


def _trend(job: Job, known: Sequence[KnownDay], now: datetime) -> Trend | None:
    """Return the 28 days up to the last one that has figures."""
    from report import tables
    from report.calendar import Trend
    from source.windows import day_of

    published = [
        PublishedDay(day.date, day.revision, day.is_complete, day.statistics, counts=None)
        for day in known
        if day.statistics
    ]
    if not published:
        return None
    *past, last = published
    day = replace(day_of(last.date, job.settings.zone, Mode.FULL, now), complete=last.complete)
    volume, success = tables.trend_charts(day, last.statistics, past, job.messages)
    return Trend(volume, success, tables.trend_table(day, last.statistics, past, job.messages))
