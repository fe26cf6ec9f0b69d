"""The statistics of a day, computed by PostgreSQL in one scan of the day's range."""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from app_types import CourseFigures, DailyStatistics, DayDetails, HourFigures, TaskFigures
from exceptions import DatabaseError
from warehouse.interruptible import Background, interruptible
from warehouse.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from psycopg2 import extensions

    from app_types import Window
    from warehouse.connection import Database

log = logging.getLogger(__name__)

STUCK_AFTER: Final = 5
"""A student is stuck on a task after so many failed submits of a day without success."""
MANY_EVENTS: Final = 200_000
"""From so many events on, two connections count half of the students each: that saves more than opening one costs."""

_HOUR: Final = timedelta(hours=1)

_Row = tuple[Any, ...]


def compute(database: Database, window: Window, *, limit: float = math.inf) -> DailyStatistics:
    """Return the figures of a stretch of time: all of its events, those with defects too.

    The bounds are moments, not dates, so that the session's time zone does not matter.

    Raises:
        DatabaseError: PostgreSQL could not be asked.
        TimeoutError: it took longer than so many seconds.
    """
    started = time.monotonic()
    bounds = {"start": window.start, "end": window.end}
    with _planned(database):
        rows = interruptible(database, lambda: database.rows(query("statistics/day"), **bounds), limit)
    statistics = DailyStatistics(*rows[0])
    log.info("statistics: done, seconds: %.2f", time.monotonic() - started)
    return statistics


def in_full(database: Database, window: Window, *, events: int = 0) -> tuple[DailyStatistics, DayDetails]:
    """Return the figures and what lies behind them: hours, courses and tasks, and how many students are stuck.

    Args:
        database: where the events are.
        window: what to count.
        events: about how many there are; of many, a second connection counts half, where it can be had.

    Raises:
        DatabaseError: PostgreSQL could not be asked.
    """
    started = time.monotonic()
    count = _counted_by_two if events >= MANY_EVENTS else _counted
    rows = count(database, window)
    of_day = next(row for row in rows if row[0] == "day")
    statistics = DailyStatistics(*of_day[4:8])
    details = DayDetails(
        hours=_every_hour(window, {row[3]: row[5:8] for row in rows if row[0] == "hour"}),
        courses=tuple(CourseFigures(row[1], *row[4:10]) for row in rows if row[0] == "course"),
        tasks=tuple(TaskFigures(*(*row[1:3], *row[4:8], row[10])) for row in rows if row[0] == "task"),
        stuck_students=of_day[10],
    )
    log.info("statistics: done, seconds: %.2f", time.monotonic() - started)
    return statistics, details


def _counted_by_two(database: Database, window: Window) -> list[_Row]:
    """Count one half of the students here, the other half on a second connection, and both in one state of the table.

    Where that cannot be had, one connection counts them all.
    """
    with ExitStack() as stack:
        try:
            other = stack.enter_context(database.another())
            here, name = stack.enter_context(database.snapshot())
            there, _ = stack.enter_context(other.snapshot(name))
        except DatabaseError:
            log.info("statistics: no second connection is to be had, one counts everything")
        else:
            second = Background(other, lambda: _half(there, window, 1))
            second.start()
            try:
                first = interruptible(database, lambda: _half(here, window, 0))
                return _added_up([*first, *second.result()])
            finally:
                second.end()
    return _counted(database, window)


def _half(cursor: extensions.cursor, window: Window, part: int) -> list[_Row]:
    cursor.execute(query("statistics/plan"))
    cursor.execute(query("statistics/plan_of_half"))
    cursor.execute(query("statistics/in_full"), _values(window, part, 2))
    rows = cursor.fetchall()
    cursor.execute(query("statistics/plan_as_usual"))
    return rows


def _counted(database: Database, window: Window) -> list[_Row]:
    with _planned(database):
        return interruptible(database, lambda: database.rows(query("statistics/in_full"), **_values(window, 0, 1)))


def _values(window: Window, part: int, parts: int) -> dict[str, Any]:
    return {"start": window.start, "end": window.end, "stuck_after": STUCK_AFTER, "part": part, "parts": parts}


def _added_up(rows: Iterable[_Row]) -> list[_Row]:
    """Add up what was counted of each part of the students; in the order of the query."""
    counts: defaultdict[_Row, list[_Row]] = defaultdict(list)
    for row in rows:
        counts[row[:4]].append(row[4:])
    in_order = sorted(counts, key=lambda names: [(name is None, name) for name in names])
    return [(*names, *map(sum, zip(*counts[names], strict=True))) for names in in_order]


@contextmanager
def _planned(database: Database) -> Iterator[None]:
    """Have PostgreSQL read a day the way that suits one; a connection that is lost meanwhile begins anew anyway."""
    database.rows(query("statistics/plan"))
    try:
        yield
    finally:
        if not database.connection.closed:
            with suppress(DatabaseError):
                database.rows(query("statistics/plan_as_usual"))


def _every_hour(window: Window, known: dict[Any, _Row]) -> tuple[HourFigures, ...]:
    """Return an entry for each hour that the window touches, empty ones too."""
    hours = [window.start + number * _HOUR for number in range(-((window.start - window.end) // _HOUR))]
    return tuple(HourFigures(start, *known.get(start, (0, 0, 0))) for start in hours)
