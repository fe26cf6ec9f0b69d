"""Contents for the tests of the Google Sheet: days with hours, courses, tasks, earlier days, and their corrections."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from app_types import (
    Counts,
    CourseFigures,
    DailyStatistics,
    Day,
    DayDetails,
    HourFigures,
    Language,
    Mode,
    PublishedDay,
    TaskFigures,
    Window,
)
from exceptions import SheetError
from google_sheets import publish
from messages import Messages
from report.content import Background, DayContent, day_content

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.google import GoogleStandIn

APRIL = date(2023, 4, 1)
STATISTICS = DailyStatistics(unique_users=1204, runs=3855, submits=2000, successful_submits=694)
EMPTY = DailyStatistics(unique_users=0, runs=0, submits=0, successful_submits=0)
COUNTS = Counts(
    received=5931, loaded=5874, updated=1, already_present=0, rejected=56, defective=410, missing_at_source=12
)
PREPARED = datetime(2023, 4, 2, 6, 30, tzinfo=UTC)
AT_ONCE = {"Retry-After": "0"}


def course(number: int = 1, **changes: Any) -> CourseFigures:
    """Return the figures of a course."""
    key = f"course-v1:School+C{number}+2023"
    figures: dict[str, Any] = {"students": 50, "runs": 500 - number, "submits": 200, "successful_submits": 80}
    figures |= {"key": key, "first_submits": 60, "successful_first_submits": 30}
    return CourseFigures(**(figures | changes))


def task(number: int = 1, **changes: Any) -> TaskFigures:
    """Return the figures of a task that was solved."""
    names = {"course": "course-v1:School+C1+2023", "block": f"{number:032x}"}
    figures: dict[str, Any] = {"students": 20, "runs": 90, "submits": 60 + number, "successful_submits": 5}
    return TaskFigures(**(names | figures | {"stuck_students": 2} | changes))


def earlier_days(day: date, number: int = 56, statistics: DailyStatistics = STATISTICS) -> tuple[PublishedDay, ...]:
    """Return the days before one, as published."""
    dates = [day - timedelta(days=back) for back in range(number, 0, -1)]
    return tuple(PublishedDay(each, 1, complete=True, statistics=statistics, counts=COUNTS) for each in dates)


def sheet_content(
    day: date = APRIL,
    *,
    language: Language = Language.ENGLISH,
    mode: Mode = Mode.FULL,
    complete: bool = True,
    statistics: DailyStatistics = STATISTICS,
    counts: Counts | None = COUNTS,
    zone: str = "UTC",
    courses: Sequence[CourseFigures] = (),
    tasks: Sequence[TaskFigures] = (),
    past: Sequence[PublishedDay] = (),
    **background: Any,
) -> DayContent:
    """Word a day as the pipeline does; an unfinished one ends after 14 hours."""
    start = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    end = (start.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=start.tzinfo).astimezone(UTC)
    start = start.astimezone(UTC)
    end = start + timedelta(hours=1) if mode is Mode.TEST else end if complete else start + timedelta(hours=14)
    covered = Day(day, ZoneInfo(zone), mode, Window(start, end), complete and mode is Mode.FULL)
    number = round((end - start) / timedelta(hours=1))
    hours = tuple(
        HourFigures(start + timedelta(hours=hour), 100 + hour, 50 + hour, 20 + hour) for hour in range(number)
    )
    details = DayDetails(hours=hours, courses=tuple(courses), tasks=tuple(tasks), stuck_students=7)
    behind = Background(details=details, past=tuple(past), **background)
    return day_content(
        covered, statistics, counts, prepared_at=PREPARED, messages=Messages(language), background=behind
    )


def rich_content(day: date = APRIL, **changes: Any) -> DayContent:
    """Word a day that has everything: courses, hard and unsolved tasks, eight weeks before it."""
    tasks = [*(task(number) for number in range(12)), *(task(100 + n, successful_submits=0) for n in range(12))]
    full: dict[str, Any] = {
        "courses": [course(number) for number in range(30)],
        "tasks": tasks,
        "past": earlier_days(day),
    }
    return sheet_content(day, **(full | changes))


def sheet_state(google: GoogleStandIn) -> Any:
    """Return everything the spreadsheet holds, to compare it."""
    return deepcopy(google.spreadsheet.sheets)


def sheet_refusal(google: GoogleStandIn, *, deadline: float = 180.0) -> SheetError:
    """Publish in vain and return the error."""
    with pytest.raises(SheetError) as caught:
        publish(google.settings, [sheet_content()], deadline=deadline)
    return caught.value


def serial(moment: datetime) -> float:
    """Return a moment as a spreadsheet counts it: days since 30 December 1899."""
    return (moment - datetime(1899, 12, 30)) / timedelta(days=1)  # noqa: DTZ001


def history_rows(google: GoogleStandIn) -> list[list[Any]]:
    """Return the history without its header."""
    return google.spreadsheet.sheet("History").grid()[1:]
