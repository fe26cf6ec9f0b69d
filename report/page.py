"""The local page of a day: one self-contained HTML file that opens anywhere and asks the network for nothing."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from app_types import Mode
from exceptions import ReportError
from messages import Messages
from report import charts, files
from report.rendering import render

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import date
    from pathlib import Path

    from report.content import DayContent
    from report.parts import Chart, Table

log = logging.getLogger(__name__)

CALENDAR: Final = "index.html"
"""The file of the calendar, beside the pages."""
TREND_COLUMNS: Final = ("date", "unique_users", "runs", "submits", "state")
SUCCESS_COLUMNS: Final = ("date", "submits", "successful_submits", "success_share", "state")
"""Which columns of the table of days are the numbers behind a chart."""

_NARROW: Final = 330  # what a phone has room for, so that the letters of a picture are as large as those around it


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart as SVG, for wide and for narrow screens, and the numbers behind it."""

    chart: Chart
    wide: str
    narrow: str
    numbers: Table


def write_page(content: DayContent, folder: Path) -> Path:
    """Write the page of a day and return where it lies; a test run has a file of its own.

    Args:
        content: the day.
        folder: made if it is missing.

    Raises:
        ReportError: the page could not be written; an older one is whole.
    """
    path = folder / page_name(content.date, content.mode)
    put_page(path, page_html(content))
    log.info("page written: %s", path)
    return path


def page_name(day: date, mode: Mode = Mode.FULL) -> str:
    """Return the name of the file that holds the page of a day."""
    return f"{day.isoformat()}{'.test' if mode is Mode.TEST else ''}.html"


def page_html(content: DayContent, *, alone: bool = False) -> str:
    """Draw the page of a day.

    Args:
        content: the day.
        alone: leave out the link to the calendar, for a page that travels without it.
    """
    messages = Messages(content.language)
    return render(
        "page.html.j2",
        content=content,
        messages=messages,
        calendar=None if alone else CALENDAR,
        comparison_note=_comparison_note(content, messages),
        hours=figure(content.hours_chart, content.hours),
        trend=figure(content.trend_chart, content.trend, TREND_COLUMNS),
        success=figure(content.success_chart, content.trend, SUCCESS_COLUMNS),
    )


def figure(chart: Chart, table: Table, columns: Collection[str] = ()) -> Figure:
    """Draw a chart for a page.

    Args:
        chart: the chart.
        table: holds the numbers behind it.
        columns: the keys of the columns that do; all of them where none is named.
    """
    shown = [place for place, column in enumerate(table.columns) if not columns or column.key in columns]
    numbers = replace(
        table,
        title=chart.title,
        columns=tuple(table.columns[place] for place in shown),
        rows=tuple(tuple(row[place] for place in shown) for row in table.rows),
    )
    return Figure(chart, _drawn(chart, charts.WIDTH), _drawn(chart, _NARROW), numbers)


@lru_cache(maxsize=16)
def _drawn(chart: Chart, width: int) -> str:
    """Draw a chart; the calendar shows those of the page that was drawn before it."""
    return charts.svg(chart, width=width)


def _comparison_note(content: DayContent, messages: Messages) -> str | None:
    """Say what the figures are compared with, or why they are not; a day that is not whole needs no reason."""
    if any(row.compared for row in content.figures):
        return messages.text("In brackets: the median of the same weekday in the eight weeks before.")
    if content.partial:
        return None
    return messages.text("What is usual is known once this weekday was processed in four of the eight weeks before.")


def put_page(path: Path, html: str) -> None:
    """Put a page in its place.

    Raises:
        ReportError: it could not be written; an older one is whole.
    """
    try:
        files.put(path, html.encode())
    except OSError as error:
        raise ReportError(
            "The page %(file)s could not be written: %(cause)s.",
            remedy="Check that REPORTS_PATH is a folder that can be written to and that the disk has room.",
            file=str(path),
            cause=error.strerror or type(error).__name__,
        ) from None
