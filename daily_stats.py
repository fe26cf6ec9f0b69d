"""The statistics of a day, computed by PostgreSQL in one scan of the day's range."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from app_types import CourseFigures, DailyStatistics, DayDetails, HourFigures, TaskFigures
from warehouse.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app_types import Window
    from warehouse.connection import Database

log = logging.getLogger(__name__)

STUCK_AFTER: Final = 5
"""A student is stuck on a task after so many failed submits of a day without success."""

_HOUR: Final = timedelta(hours=1)
_OF_TASK, _OF_COURSE = 0, 1  # the values of SQL's grouping(course, task)


def compute(database: Database, window: Window) -> DailyStatistics:
    """Return the figures of a stretch of time: all of its events, those with defects too.

    The bounds are moments, not dates, so that the session's time zone does not matter.

    Raises:
        DatabaseError: PostgreSQL could not be asked.
    """
    started = time.monotonic()
    with _planned(database):
        rows = database.rows(query("statistics/day"), start=window.start, end=window.end)
    statistics = DailyStatistics(*rows[0])
    log.info("statistics: done, seconds: %.2f", time.monotonic() - started)
    return statistics


def details(database: Database, window: Window) -> DayDetails:
    """Return what lies behind the figures: hours, courses and tasks, and how many students are stuck.

    Raises:
        DatabaseError: PostgreSQL could not be asked.
    """
    started = time.monotonic()
    bounds = {"start": window.start, "end": window.end}
    with _planned(database):
        hours = database.rows(query("statistics/hours"), **bounds)
        groups = database.rows(query("statistics/courses_and_tasks"), **bounds, stuck_after=STUCK_AFTER)
    courses = tuple(CourseFigures(row[1], *row[3:9]) for row in groups if row[0] == _OF_COURSE)
    tasks = tuple(TaskFigures(*(*row[1:7], row[9])) for row in groups if row[0] == _OF_TASK and row[2])
    log.info("statistics of hours, courses and tasks: done, seconds: %.2f", time.monotonic() - started)
    return DayDetails(_every_hour(window, hours), courses, tasks, stuck_students=groups[-1][9])


@contextmanager
def _planned(database: Database) -> Iterator[None]:
    """Have PostgreSQL read a day the way that suits one."""
    database.rows(query("statistics/plan"))
    yield
    database.rows(query("statistics/plan_as_usual"))


def _every_hour(window: Window, rows: list[tuple[Any, ...]]) -> tuple[HourFigures, ...]:
    """Return an entry for each hour that the window touches, empty ones too."""
    known = {start: counts for start, *counts in rows}
    hours = [window.start + number * _HOUR for number in range(-((window.start - window.end) // _HOUR))]
    return tuple(HourFigures(start, *known.get(start, (0, 0, 0))) for start in hours)
