"""Days to report on: whole, partial, empty, of 23 to 25 hours, with a past and with corrections."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

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
from messages import Messages
from report.content import Background, DayContent, day_content

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

A_SATURDAY = date(2023, 4, 1)
PREPARED_AT = datetime(2023, 4, 2, 5, 3, tzinfo=UTC)
STATISTICS = DailyStatistics(unique_users=1204, runs=3860, submits=2071, successful_submits=981)
COUNTS = Counts(
    received=5973, loaded=5930, updated=1, already_present=0, rejected=42, defective=118, missing_at_source=0
)
PYTHON, SQL = "course-v1:SkillFactory+PYTHON+2023", "SkillFactory/SQL/2022"
COURSES = (
    CourseFigures(None, 43, 60, 11, 0, 9, 0),
    CourseFigures(SQL, 101, 300, 160, 81, 100, 60),
    CourseFigures(PYTHON, 420, 1400, 700, 300, 500, 200),
)


def a_day(
    on: date = A_SATURDAY, zone: str = "Europe/Moscow", *, mode: Mode = Mode.FULL, until: datetime | None = None
) -> Day:
    """Return a day of a zone: whole, its first hour, or what has passed of it."""
    start = datetime(on.year, on.month, on.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    after = on + timedelta(days=1)
    end = datetime(after.year, after.month, after.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    if mode is Mode.TEST:
        until = start + timedelta(hours=1)
    return Day(on, ZoneInfo(zone), mode, Window(start, until or end), complete=until is None)


def hours_of(day: Day, runs: int = 100, submits: int = 50, successful: int = 20) -> tuple[HourFigures, ...]:
    """Return the hours of a day, each one a little livelier than the one before."""
    number = -((day.window.start - day.window.end) // timedelta(hours=1))
    return tuple(
        HourFigures(day.window.start + hour * timedelta(hours=1), runs + hour, submits + hour, successful + hour)
        for hour in range(number)
    )


def tasks(number: int, *, submits: int = 40, successes: int = 10, course: str = PYTHON) -> tuple[TaskFigures, ...]:
    """Return tasks, each a little less tried than the one before."""
    return tuple(
        TaskFigures(course, f"{place:032x}", 30, 60, submits - place, successes, place % 3) for place in range(number)
    )


def published(
    on: date, statistics: DailyStatistics = STATISTICS, *, complete: bool = True, counts: Counts | None = COUNTS
) -> PublishedDay:
    """Return a day as it was published."""
    return PublishedDay(on, 1, complete, statistics, counts)


def days_before(
    number: int, *, without: Iterable[int] = (), partial: Iterable[int] = (), on: date = A_SATURDAY
) -> tuple[PublishedDay, ...]:
    """Return the days before a day, counted backwards from 1."""
    return tuple(
        published(on - timedelta(days=back), complete=back not in partial)
        for back in range(1, number + 1)
        if back not in without
    )


def weeks_before(values: Sequence[int], on: date = A_SATURDAY) -> tuple[PublishedDay, ...]:
    """Return the same weekday of the weeks before, with so many students each."""
    return tuple(
        published(on - timedelta(weeks=week), DailyStatistics(value, 2 * value, value, value // 2))
        for week, value in enumerate(values, start=1)
    )


def report_on(
    day: Day | None = None,
    statistics: DailyStatistics = STATISTICS,
    counts: Counts | None = COUNTS,
    *,
    language: Language = Language.ENGLISH,
    background: Background | None = None,
) -> DayContent:
    """Return the content of a report: of a whole day without a past, unless told otherwise."""
    day = day or a_day()
    background = background or Background(details=DayDetails(hours_of(day), COURSES, tasks(12), 17))
    return day_content(
        day, statistics, counts, prepared_at=PREPARED_AT, messages=Messages(language), background=background
    )


def empty_report(language: Language = Language.ENGLISH) -> DayContent:
    """Return the report on a day without any events."""
    day = a_day()
    hours = tuple(HourFigures(hour.start, 0, 0, 0) for hour in hours_of(day))
    nothing = Counts(0, 0, 0, 0, 0, 0, 0)
    background = Background(details=DayDetails(hours))
    return report_on(day, DailyStatistics(0, 0, 0, 0), nothing, language=language, background=background)
