"""Our own words in every language: the headers and titles by which what we drew is known again after a change of it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from app_types import DailyStatistics, Day, DayDetails, HourFigures, Language, Mode, Window
from messages import Messages
from report.content import Background, DayContent, day_content


@cache
def _worded() -> tuple[DayContent, ...]:
    """Word an empty day in every language; its headers and titles are those of every day."""
    start = datetime(2023, 4, 1, tzinfo=UTC)
    day = Day(date(2023, 4, 1), ZoneInfo("UTC"), Mode.FULL, Window(start, start + timedelta(days=1)), complete=True)
    nothing = DailyStatistics(unique_users=0, runs=0, submits=0, successful_submits=0)
    behind = Background(details=DayDetails(hours=(HourFigures(start, 0, 0, 0),)))
    return tuple(
        day_content(day, nothing, None, prepared_at=start, messages=Messages(language), background=behind)
        for language in Language
    )


def history_labels() -> dict[str, frozenset[str]]:
    """Return the headers of each column of the history."""
    keys = [row.key for row in _worded()[0].history]
    return {key: frozenset(row.label for each in _worded() for row in each.history if row.key == key) for key in keys}


def chart_titles() -> dict[str, frozenset[str]]:
    """Return the titles of each chart."""
    charts = [chart for each in _worded() for chart in each.charts]
    return {key: frozenset(chart.title for chart in charts if chart.key == key) for key in {c.key for c in charts}}
