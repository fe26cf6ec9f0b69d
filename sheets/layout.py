"""What is drawn where on the worksheets that show one day: panels of cells at fixed places.

A panel is emptied where it has nothing to say, so that nothing of a longer one of yesterday stays behind. The places
count from the worksheet's corner, which is marked: rows and columns that people put before it stay theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from messages import Messages
from report.content import Cell, CellKind
from report.parts import Trust
from report.tables import SHOWN_TASKS
from sheets.cells import colour, label, typed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from report.content import DayContent, Row
    from report.parts import Chart, Table
    from sheets.cells import CellData

_CARD_WIDTHS: Final = (330, 125, 125, 145, 105)
_CARD_HEIGHT: Final = 40
_PICTURE_ROWS: Final = 20
"""Rows beside the card that the chart of the hours lies over; the tables behind the charts begin below it."""
_MOST_HOURS: Final = 26
_GAP: Final = 24
_NUMBER_WIDTH: Final = 95
_TABLE_TOP: Final = 3  # title, note and header stand above the rows of a table
_COURSE_WIDTHS: Final = (300, 85, 85, 85, 95, 110, 110)
_TASK_WIDTHS: Final = (260, 260, 85, 85, 110, 110)

_ALARM: Final = colour("#fde68a")
_TRUST: Final = {Trust.GOOD: colour("#e3f5ec"), Trust.WARNING: colour("#fff6dc"), Trust.BAD: colour("#fdecec")}


@dataclass(frozen=True, slots=True)
class Panel:
    """A rectangle of cells; `height` None reaches to the end of the grid. `grounds` are colours by row of the panel."""

    row: int
    column: int
    width: int
    height: int | None
    rows: list[list[CellData]]
    grounds: dict[int, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Band:
    """Rows with alternating grounds under a header, drawn once, when the worksheet is made."""

    row: int
    column: int
    width: int
    height: int | None


@dataclass(frozen=True, slots=True)
class Look:
    """How cells of a new worksheet look; `fields` names the parts of `format`."""

    row: int
    column: int
    width: int
    height: int
    format: dict[str, Any]
    fields: str


@dataclass(frozen=True, slots=True)
class Block:
    """The table behind a chart: the row of its header, its columns by key, and how many rows it has.

    The first column is what stands along the axis.
    """

    header: int
    columns: dict[str, int]
    rows: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """Everything on one worksheet. All but the panels is for a new one only: later it is people's."""

    role: str
    panels: tuple[Panel, ...]
    widths: tuple[int, ...]
    bands: tuple[Band, ...] = ()
    looks: tuple[Look, ...] = ()
    frozen: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """How many rows and columns it takes; a panel without an end takes what it fills."""
        rows = max(panel.row + max(panel.height or 0, len(panel.rows)) for panel in self.panels)
        return rows, max(panel.column + panel.width for panel in self.panels)


def day_drawing(content: DayContent) -> Drawing:
    """Lay out the day: the card, beside it room for the chart of the hours, below that the tables behind the charts."""
    left, top = len(_CARD_WIDTHS) + 1, _PICTURE_ROWS
    hours, trend = len(content.hours.columns), 1 + len(_trend_keys(content))
    right, days = left + hours + 1, len(content.trend_chart.x)
    return Drawing(
        role="day",
        panels=(
            _card(content),
            Panel(top, left, hours, _TABLE_TOP + _MOST_HOURS, _table_rows(content.hours)),
            Panel(top, right, trend, _TABLE_TOP + days, _trend_rows(content)),
        ),
        widths=(*_CARD_WIDTHS, _GAP, *[_NUMBER_WIDTH] * hours, _GAP, *[_NUMBER_WIDTH] * trend),
        bands=(
            Band(_figures_row(content), 0, len(_CARD_WIDTHS), 1 + len(content.figures)),
            Band(top + _TABLE_TOP - 1, left, hours, 1 + _MOST_HOURS),
            Band(top + _TABLE_TOP - 1, right, trend, 1 + days),
        ),
        looks=(*_card_looks(content), _wrapped(top + _TABLE_TOP - 1, left, right + trend - left)),
    )


def hours_block(content: DayContent) -> Block:
    """Return where the hours of the day stand; never without a row, which a chart must have."""
    left = len(_CARD_WIDTHS) + 1
    columns = {column.key: left + index for index, column in enumerate(content.hours.columns)}
    return Block(_PICTURE_ROWS + _TABLE_TOP - 1, columns, max(len(content.hours.rows), 1))


def trend_block(content: DayContent) -> Block:
    """Return where the last 28 days stand."""
    left = len(_CARD_WIDTHS) + 1 + len(content.hours.columns) + 1
    columns = {key: left + index for index, key in enumerate(["date", *_trend_keys(content)])}
    return Block(_PICTURE_ROWS + _TABLE_TOP - 1, columns, len(content.trend_chart.x))


def picture_place() -> tuple[int, int]:
    """Return the cell at which the chart of the hours is put."""
    return 0, len(_CARD_WIDTHS) + 1


def first_hour_drawing(content: DayContent) -> Drawing:
    """Lay out a test run: the card alone."""
    band = Band(_figures_row(content), 0, len(_CARD_WIDTHS), 1 + len(content.figures))
    return Drawing("test", (_card(content),), _CARD_WIDTHS, (band,), _card_looks(content))


def courses_drawing(content: DayContent) -> Drawing:
    """Lay out courses on the left and tasks on the right, each down to the end of the grid.

    The hardest tasks are as many as are ever shown, so the unsolved ones below them have a fixed place.
    """
    width, tasks = len(content.courses.columns), len(content.hardest.columns)
    right, top = width + 1, 2
    unsolved = _TABLE_TOP + SHOWN_TASKS + 1
    hardest = _table_rows(content.hardest)
    blank: list[list[CellData]] = [[] for _ in range(unsolved - len(hardest))]
    heading = Panel(0, 0, right + tasks, top, _heading(content), _heading_grounds(content))
    return Drawing(
        role="courses",
        panels=(
            heading,
            Panel(top, 0, width, None, _table_rows(content.courses)),
            Panel(top, right, tasks, None, [*hardest, *blank, *_table_rows(content.unsolved)]),
        ),
        widths=(*_COURSE_WIDTHS[:width], _GAP, *_TASK_WIDTHS[:tasks]),
        bands=(
            Band(top + _TABLE_TOP - 1, 0, width, None),
            Band(top + _TABLE_TOP - 1, right, tasks, 1 + SHOWN_TASKS),
            Band(top + unsolved + _TABLE_TOP - 1, right, len(content.unsolved.columns), 1 + SHOWN_TASKS),
        ),
        looks=(
            *_HEADING_LOOKS,
            _wrapped(top + _TABLE_TOP - 1, 0, right + tasks),
            _wrapped(top + unsolved + _TABLE_TOP - 1, right, tasks),
        ),
        frozen=top + _TABLE_TOP,
    )


def _wrapped(row: int, column: int, width: int, height: int = 1) -> Look:
    """Let long texts of narrow cells take several lines."""
    form = {"wrapStrategy": "WRAP", "verticalAlignment": "MIDDLE"}
    return Look(row, column, width, height, form, "wrapStrategy,verticalAlignment")


def _large(row: int, size: int) -> Look:
    return Look(row, 0, 1, 1, {"textFormat": {"fontSize": size}}, "textFormat.fontSize")


_HEADING_LOOKS: Final = (_large(0, 16), _large(1, 12))


def _card_looks(content: DayContent) -> tuple[Look, ...]:
    figures = _wrapped(_figures_row(content), 0, len(_CARD_WIDTHS), len(content.figures) + 2)
    return (*_HEADING_LOOKS, _large(2, 11), figures)


def _heading(content: DayContent) -> list[list[CellData]]:
    return [[label(content.title, bold=True)], [label(content.partial or "", bold=True)]]


def _heading_grounds(content: DayContent) -> dict[int, Any]:
    return {1: _ALARM if content.partial else None}


def _figures_row(content: DayContent) -> int:
    """Return the row of the card that is the header of its figures."""
    return 5 + len(content.facts)


def _card(content: DayContent) -> Panel:
    """Lay out the card: which day, whether to trust it, its figures against what is usual, the counts of the run."""
    was = {correction.key: typed(correction.old) for correction in content.corrections}
    usual = content.usual_heading if any(row.compared for row in content.figures) else ""
    before = Messages(content.language).text("was") if was else ""
    rows: list[list[CellData]] = [
        *_heading(content),
        [label(content.trust.text, bold=True)],
        [label(content.correction_text or "", bold=True)],
        *_pairs(content.facts),
        [],
        [
            label(content.figures_heading, bold=True),
            label(""),
            label(usual, bold=True),
            label(""),
            label(before, bold=True),
        ],
        *[[*_figure(row), was.get(row.key, label(""))] for row in content.figures],
        *_pairs([content.stuck]),
        [],
    ]
    if content.counts:
        rows += [[label(content.counts_heading, bold=True)], *_pairs(content.counts), []]
    rows += [[label(warning)] for warning in content.warnings]
    grounds = _heading_grounds(content) | {2: _TRUST[content.trust.trust]}
    return Panel(0, 0, len(_CARD_WIDTHS), max(_CARD_HEIGHT, len(rows)), rows, grounds)


def _figure(row: Row) -> list[CellData]:
    """Return a figure with what is usual, and how it stands to that: an arrow and a word."""
    if row.compared is None:
        return [label(row.label), typed(row.cell), label(""), label("")]
    told = f"{row.compared.arrow} {row.compared.word}"
    return [label(row.label), typed(row.cell), typed(row.compared.median), label(told)]


def _pairs(rows: Iterable[Row]) -> list[list[CellData]]:
    return [[label(row.label), typed(row.cell)] for row in rows]


def _table_rows(table: Table) -> list[list[CellData]]:
    """Return title, note, header and rows of a table, or what stands in their place when there are none."""
    rows = [[typed(cell, blank=True) for cell in row] for row in table.rows]
    return [
        [label(table.title, bold=True)],
        [label(table.note)],
        [label(column.label, bold=True) for column in table.columns],
        *(rows or [[label(table.empty)]]),
    ]


def _trend_keys(content: DayContent) -> list[str]:
    return [series.key for chart in _trend_charts(content) for series in chart.series]


def _trend_charts(content: DayContent) -> Sequence[Chart]:
    return content.trend_chart, content.success_chart


def _trend_rows(content: DayContent) -> list[list[CellData]]:
    """Return the last days with real dates, a row for each, also for those of which nothing is known."""
    columns = [
        (CellKind.SHARE if chart.share else CellKind.COUNT, series)
        for chart in _trend_charts(content)
        for series in chart.series
    ]
    number = len(content.trend_chart.x)
    days = [content.date - timedelta(days=number - 1 - index) for index in range(number)]
    return [
        [label(content.trend.title, bold=True)],
        [label(content.trend_chart.summary)],
        [label(content.trend_chart.x_label, bold=True), *(label(series.label, bold=True) for _, series in columns)],
        *(
            [
                typed(Cell(CellKind.DATE, day, "")),
                *(typed(Cell(kind, series.values[index], ""), blank=True) for kind, series in columns),
            ]
            for index, day in enumerate(days)
        ),
    ]
