"""Days and windows: what part of the calendar is asked for, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from app_types import Day, Mode, Window

if TYPE_CHECKING:
    from datetime import date
    from zoneinfo import ZoneInfo

_TEST_LENGTH = timedelta(hours=1)


def day_of(day: date, zone: ZoneInfo, mode: Mode, now: datetime) -> Day:
    """Return what a run of a calendar day covers.

    A day that is not over is covered up to `now`; on a day when the clocks change it has 23 or 25 hours.

    Args:
        day: the calendar day.
        zone: what a calendar day means to the operator.
        mode: the whole day, or its first hour.
        now: the present, aware; a day that has not begun has an empty window.
    """
    start, end = _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
    present = now.astimezone(UTC)
    reach = min(end, start + _TEST_LENGTH) if mode is Mode.TEST else end
    window = Window(start, max(start, min(reach, present)))
    return Day(date=day, zone=zone, mode=mode, window=window, complete=mode is Mode.FULL and end <= present)


def split(window: Window, length: timedelta) -> list[Window]:
    """Cut a window into touching ones of a length; the last may be shorter."""
    windows = []
    start = window.start
    while start < window.end:
        end = start + min(length, window.end - start)
        windows.append(Window(start, end))
        start = end
    return windows


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)
