"""The statistics of a day, computed by PostgreSQL in one scan of the day's range."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from app_types import DailyStatistics
from warehouse.queries import query

if TYPE_CHECKING:
    from app_types import Window
    from warehouse.connection import Database

log = logging.getLogger(__name__)


def compute(database: Database, window: Window) -> DailyStatistics:
    """Return the figures of a stretch of time: all of its events, those with defects too.

    The bounds are moments, not dates, so that the session's time zone does not matter.

    Raises:
        DatabaseError: PostgreSQL could not be asked.
    """
    started = time.monotonic()
    rows = database.rows(query("statistics/day"), start=window.start, end=window.end)
    statistics = DailyStatistics(*rows[0])
    log.info("statistics: done, seconds: %.2f", time.monotonic() - started)
    return statistics
