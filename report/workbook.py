"""The workbook of a day: the tables of the report with real numbers, dates and percents, and native charts.

Nothing in it is a formula or a link, whatever a text looks like: every cell is written with its type.
"""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import accumulate
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from app_types import Language, Mode
from exceptions import ReportError
from report import files
from report.charts import BARS, LINES
from report.parts import CellKind, Trust
from report.usual import Level

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from report.content import DayContent
    from report.parts import Cell, Chart, Correction, Row, Table

log = logging.getLogger(__name__)

_TYPED_ONLY: Final = {
    "in_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}
_A4: Final = 9
_NUMBERS: Final = {CellKind.COUNT: "#,##0", CellKind.SHARE: "0.0%", CellKind.AVERAGE: "#,##0.00"}
_DATES: Final = {
    Language.RUSSIAN: ("dd.mm.yyyy", "dd.mm.yyyy hh:mm", "[$-419]d mmm"),
    Language.ENGLISH: ("[$-809]d mmm yyyy", "[$-809]d mmm yyyy hh:mm", "[$-809]d mmm"),
}
"""Formats of a date, of a moment and of a date on an axis, in the language of the report wherever it is read."""

_BANNERS: Final[dict[Trust, dict[str, Any]]] = {
    Trust.GOOD: {"bg_color": "#dff3e6", "font_color": "#0b4a30"},
    Trust.WARNING: {"bg_color": "#fff0c2", "font_color": "#4a3500"},
    Trust.BAD: {"bg_color": "#fbdcd6", "font_color": "#6b1a10"},
}
_PARTIAL: Final[dict[str, Any]] = {"bg_color": "#fde68a", "font_color": "#4a2c00", "bold": True}
_HEADER: Final[dict[str, Any]] = {
    "bold": True,
    "bg_color": "#eef3fb",
    "bottom": 1,
    "bottom_color": "#6b86ad",
    "valign": "bottom",
}
_LINE: Final[dict[str, Any]] = {"bottom": 1, "bottom_color": "#dde3ea", "valign": "top"}
_QUIET: Final[dict[str, Any]] = {"font_color": "#52606d"}
_LEFT: Final[dict[str, Any]] = {"align": "left", "indent": 1}
_OF_THE_DAY: Final[dict[str, Any]] = {"bold": True, "bg_color": "#eef3fb"}

_DAY_WIDTHS: Final = (48, 15, 18, 29, 3)
_COURSE_WIDTHS: Final = (48, 36, 14, 14, 14, 14, 14, 14)
_ACROSS: Final = 95  # characters that a sentence may be wide
_CHART_HEIGHT: Final = 270
_AXIS_LINE: Final = {"color": "#7f8894"}
_DASHES: Final = {"-": "solid", "--": "dash", ":": "round_dot"}
_MARKERS: Final = {"o": "circle", "s": "square", "^": "triangle"}


def write_workbook(content: DayContent, folder: Path) -> Path:
    """Write the workbook of a day and return where it lies; a test run has a file of its own.

    It appears whole or not at all: an older one stays until the new one is complete. Only its owner may read it.

    Raises:
        ReportError: the file could not be written; an older workbook is whole.
    """
    suffix = ".test.xlsx" if content.mode is Mode.TEST else ".xlsx"
    path = folder / f"{content.date.isoformat()}{suffix}"
    try:
        files.put(path, _workbook(content))
    except OSError as error:
        raise ReportError(
            "The workbook %(file)s could not be written: %(cause)s.",
            remedy="Check that REPORTS_PATH is a folder that can be written to and that the disk has room.",
            file=str(path),
            cause=error.strerror or type(error).__name__,
        ) from None
    log.info("workbook written: %s", path)
    return path


def _workbook(content: DayContent) -> bytes:
    import xlsxwriter  # type: ignore[import-untyped]

    data = io.BytesIO()
    with xlsxwriter.Workbook(data, _TYPED_ONLY) as workbook:
        workbook.set_properties({"title": content.title, "created": _prepared_at(content)})
        titles = content.sheet_titles
        sheets = _Sheets(workbook, content)
        day = sheets.add(titles.test if content.mode is Mode.TEST else titles.day, _DAY_WIDTHS)
        history = sheets.add(titles.history, _history_widths(content.days))
        courses = sheets.add(titles.courses, _COURSE_WIDTHS)
        hours = _draw_day(day, content)
        days = _draw_history(history, content)
        _draw_courses(courses, content)
        _draw_charts(day, content, hours, days)
    return data.getvalue()


def _prepared_at(content: DayContent) -> datetime | None:
    """Return when the report was made, the only time that the file tells: the same report is the same file."""
    moment = next(row.cell.value for row in content.facts if row.key == "prepared_at")
    return moment.astimezone(UTC).replace(tzinfo=None) if isinstance(moment, datetime) else None


@dataclass(frozen=True)
class _Block:
    """Where the rows of a table lie, for the charts that refer to them; the last row belongs to it."""

    sheet: str
    first: int
    last: int
    columns: dict[str, int]

    def range(self, key: str, rows: int | None = None) -> list[object]:
        """Return a column of the block, or its last rows, as XlsxWriter names it."""
        first = self.first if rows is None else max(self.first, self.last - rows + 1)
        return [self.sheet, first, self.columns[key], self.last, self.columns[key]]


@dataclass
class _Sheets:
    """The worksheets of a workbook, which share their formats and the way they are printed."""

    workbook: Any
    content: DayContent
    _formats: dict[tuple[tuple[str, object], ...], Any] = field(default_factory=dict)

    def add(self, name: str, widths: Sequence[int]) -> _Sheet:
        """Add a worksheet that says at once what it is of, and if the day is not whole."""
        sheet = _Sheet(self, self.workbook.add_worksheet(name), name, widths)
        for column, width in enumerate(widths):
            sheet.worksheet.set_column(column, column, width)
        footer = self.content.footer.replace("&", "&&")[:200]
        sheet.worksheet.set_landscape()
        sheet.worksheet.set_paper(_A4)
        sheet.worksheet.fit_to_pages(1, 0)
        sheet.worksheet.set_margins(0.4, 0.4, 0.5, 0.6)
        sheet.worksheet.set_footer(f"&L{footer}&R&P / &N")
        sheet.worksheet.hide_gridlines(2)
        sheet.text(0, f"{self.content.title} · {name}", bold=True, font_size=18)
        sheet.worksheet.set_row(0, 28)
        sheet.row += 1
        if self.content.partial:
            sheet.worksheet.set_tab_color(_PARTIAL["bg_color"])
            sheet.banner(self.content.partial, _PARTIAL | {"font_size": 13})
        return sheet

    def format(self, look: Mapping[str, object]) -> Any:
        """Return a format, made once."""
        key = tuple(sorted(look.items()))
        if key not in self._formats:
            self._formats[key] = self.workbook.add_format({"font_name": "Calibri", **look})
        return self._formats[key]


@dataclass
class _Sheet:
    """A worksheet that is filled from above; `row` is the next free one."""

    sheets: _Sheets
    worksheet: Any
    name: str
    widths: Sequence[int]
    row: int = 0

    def text(self, column: int, text: str, **look: Any) -> None:
        """Write a text, which is never taken for anything else, and is cut where a cell can hold no more."""
        storable = text.encode("utf-8", "replace").decode()
        self.worksheet.write_string(self.row, column, storable, self.sheets.format(look))

    def banner(self, text: str, look: Mapping[str, object]) -> None:
        """Write a sentence across the first columns, in as many lines as it needs."""
        widths = list(accumulate(self.widths))
        columns = next((number for number, width in enumerate(widths) if width >= _ACROSS), len(widths) - 1)
        look = {**look, "text_wrap": True, "valign": "vcenter", "indent": 1}
        self.worksheet.merge_range(self.row, 0, self.row, columns, "", self.sheets.format(look))
        self.text(0, text, **look)
        self.worksheet.set_row(self.row, 10 + 17 * ceil(len(text) / min(widths[columns], _ACROSS)))
        self.row += 1

    def cell(self, column: int, cell: Cell, *, blank: bool = False, **look: Any) -> None:
        """Write a value with its type; where there is none, the mark for that, or nothing at all.

        Charts take a text for nought, so what they refer to is left blank.
        """
        date_format, moment_format, _ = _DATES[self.sheets.content.language]
        value = cell.value
        if isinstance(value, datetime):
            look |= {"num_format": moment_format, "align": "right"}
            self.worksheet.write_datetime(self.row, column, value.replace(tzinfo=None), self.sheets.format(look))
        elif isinstance(value, date):
            look = {"num_format": date_format, "align": "right" if column else "left"} | look
            self.worksheet.write_datetime(self.row, column, value, self.sheets.format(look))
        elif isinstance(value, int | float):
            look = {"num_format": _NUMBERS[cell.kind]} | look
            self.worksheet.write_number(self.row, column, value, self.sheets.format(look))
        elif value is None and blank:
            self.worksheet.write_blank(self.row, column, None, self.sheets.format(look))
        else:
            place = {"align": "right"} if cell.kind is not CellKind.TEXT else _LEFT
            self.text(column, cell.text, **look if "align" in look or not column else place | look)

    def header(self, labels: Sequence[str], kinds: Sequence[CellKind], height: int = 1) -> None:
        """Write the heads of columns, over numbers at the right."""
        for column, (label, kind) in enumerate(zip(labels, kinds, strict=True)):
            place = _LEFT if kind is CellKind.TEXT and column else {"align": "left" if not column else "right"}
            self.text(column, label, **_HEADER, **place, text_wrap=height > 1)
        self.worksheet.set_row(self.row, 3 + 16 * height)
        self.row += 1

    def heading(self, text: str) -> None:
        """Write the title of a table, with a free row before it."""
        self.row += 1
        self.text(0, text, bold=True, font_size=13)
        self.row += 1

    def note(self, text: str) -> None:
        """Write a quiet sentence, if there is one."""
        if text:
            self.text(0, text, **_QUIET)
            self.row += 1

    def rows(self, rows: Sequence[Row]) -> None:
        """Write labelled values."""
        for row in rows:
            self.text(0, row.label, **_LINE)
            self.cell(1, row.cell, **_LINE, align="right")
            self.row += 1

    def table(self, table: Table, *, skip: frozenset[int] = frozenset()) -> _Block:
        """Write a table with its title, leaving columns free so that those of several tables stand in line."""
        self.heading(table.title)
        self.note(table.note)
        if not table.rows:
            self.text(0, table.empty, italic=True, **_QUIET)
            self.row += 1
            return _Block(self.name, self.row, self.row, {})
        places = [column for column in range(len(table.columns) + len(skip)) if column not in skip]
        blank = ("", CellKind.TEXT)
        heads = dict(zip(places, [(column.label, column.kind) for column in table.columns], strict=True))
        labels, kinds = zip(*(heads.get(column, blank) for column in range(places[-1] + 1)), strict=True)
        self.header(labels, kinds, height=2)
        first = self.row
        for cells in table.rows:
            for column in skip:
                self.text(column, "", **_LINE)
            for column, cell in zip(places, cells, strict=True):
                self.cell(column, cell, **_LINE)
            self.row += 1
        keys = {column.key: place for column, place in zip(table.columns, places, strict=True)}
        return _Block(self.name, first, self.row - 1, keys)


def _draw_day(sheet: _Sheet, content: DayContent) -> _Block:
    """Draw what is seen first: may the figures be trusted, what are they, what is usual, what was corrected."""
    sheet.banner(content.trust.text, _BANNERS[content.trust.trust])
    for warning in content.warnings:
        sheet.banner(warning, _BANNERS[Trust.WARNING])
    sheet.worksheet.freeze_panes(sheet.row, 0)
    sheet.row += 1
    sheet.rows(content.facts)
    sheet.row += 1
    _draw_figures(sheet, content)
    if content.correction_text:
        _draw_corrections(sheet, content.correction_text, content.corrections)
    if content.counts:
        sheet.row += 1
        sheet.header((content.counts_heading, ""), (CellKind.TEXT, CellKind.COUNT))
        sheet.rows(content.counts)
    return sheet.table(content.hours)


def _draw_figures(sheet: _Sheet, content: DayContent) -> None:
    known = any(row.compared for row in content.figures)
    heads = (content.figures_heading, "", content.usual_heading, "") if known else (content.figures_heading, "")
    kinds = (CellKind.TEXT, CellKind.COUNT, CellKind.COUNT, CellKind.TEXT)[: len(heads)]
    sheet.header(heads, kinds, height=2 if known else 1)
    for row in (*content.figures, content.stuck):
        sheet.text(0, row.label, **_LINE, text_wrap=True)
        sheet.cell(1, row.cell, **_LINE, bold=True, align="right")
        if row.compared:
            far = row.compared.level in {Level.FAR_BELOW, Level.FAR_ABOVE}
            quiet = _QUIET if row.compared.level is Level.USUAL else {}
            sheet.cell(2, row.compared.median, **_LINE, **_QUIET, align="right")
            sheet.text(
                3, f"{row.compared.arrow} {row.compared.word}", **_LINE, **quiet, bold=far, align="left", indent=1
            )
        elif known:
            sheet.text(2, "", **_LINE)
            sheet.text(3, "", **_LINE)
        sheet.row += 1


def _draw_corrections(sheet: _Sheet, text: str, corrections: Sequence[Correction]) -> None:
    """Set the new value of a figure beside the old one, which is struck out."""
    sheet.row += 1
    sheet.banner(text, _BANNERS[Trust.WARNING])
    for correction in corrections:
        sheet.text(0, correction.label, **_LINE)
        sheet.cell(1, correction.old, **_LINE, **_QUIET, font_strikeout=True, align="right")
        number: dict[str, Any] = (
            {"num_format": f'"→ "{_NUMBERS[correction.new.kind]}'} if correction.new.value is not None else {}
        )
        sheet.cell(2, correction.new, **_LINE, **number, bold=True, align="right")
        sheet.row += 1


def _history_widths(days: Table) -> list[int]:
    """Leave room for the longest word of each head, and for every word in the cells."""
    heads = [max(len(word) for word in column.label.split()) for column in days.columns]
    texts = [max(len(cells[place].text) for cells in days.rows) for place in range(len(heads))]
    kinds = [column.kind for column in days.columns]
    return [
        max(11, head + 3, text + 4 if kind is CellKind.TEXT else 0)
        for head, text, kind in zip(heads, texts, kinds, strict=True)
    ]


def _draw_history(sheet: _Sheet, content: DayContent) -> _Block:
    """Draw a row per day, the day of the report last; heads and dates stay in sight."""
    days, state = content.days, [column.key for column in content.days.columns].index("state")
    head = sheet.row
    sheet.header([column.label for column in days.columns], [column.kind for column in days.columns], height=4)
    for number, cells in enumerate(days.rows, start=1):
        look = _LINE | (_OF_THE_DAY if number == len(days.rows) else {})
        is_partial = cells[state].text == content.trend_chart.partial_label
        for column, cell in enumerate(cells):
            marked = _PARTIAL if is_partial and column == state else {}
            sheet.cell(column, cell, blank=True, **look | marked)
        sheet.row += 1
    sheet.worksheet.freeze_panes(head + 1, 1)
    sheet.worksheet.repeat_rows(head)
    sheet.worksheet.autofilter(head, 0, sheet.row - 1, len(days.columns) - 1)
    keys = {column.key: place for place, column in enumerate(days.columns)}
    return _Block(sheet.name, head + 1, sheet.row - 1, keys)


def _draw_courses(sheet: _Sheet, content: DayContent) -> None:
    sheet.worksheet.freeze_panes(sheet.row, 0)
    sheet.table(content.courses, skip=frozenset({1}))
    sheet.table(content.hardest)
    sheet.table(content.unsolved)


def _draw_charts(sheet: _Sheet, content: DayContent, hours: _Block, days: _Block) -> None:
    """Draw the charts beside the figures, over the cells that they are made of."""
    top = 0
    for chart in content.charts:
        if chart.empty:
            continue
        drawn = _hours_chart(sheet, chart, hours) if chart.key == "hours" else _days_chart(sheet, chart, days)
        drawn.set_title({"name": chart.title, "name_font": {"size": 12, "bold": True}, "overlay": False})
        drawn.set_legend({"position": "bottom", "none": len(chart.series) == 1})
        drawn.set_chartarea({"border": {"none": True}})
        drawn.set_size({"width": 760, "height": _CHART_HEIGHT})
        place = {"x_offset": 0, "y_offset": top, "description": chart.summary, "object_position": 3}
        sheet.worksheet.insert_chart(1, len(_DAY_WIDTHS), drawn, place)
        top += _CHART_HEIGHT + 12


def _hours_chart(sheet: _Sheet, chart: Chart, block: _Block) -> Any:
    drawn = sheet.sheets.workbook.add_chart({"type": "column"})
    for series in chart.series:
        look = BARS[series.key]
        drawn.add_series(
            {
                "name": series.label,
                "categories": block.range("hour"),
                "values": block.range(series.key),
                "fill": {"color": look.colour},
                "border": {"color": look.edge, "width": 0.75},
                "gap": 40 if len(chart.x) > 1 else 400,
                "overlap": 0,
            }
        )
    drawn.set_x_axis({"interval_unit": 3, "line": _AXIS_LINE, "major_tick_mark": "none"})
    drawn.set_y_axis(_value_axis("#,##0"))
    return drawn


def _days_chart(sheet: _Sheet, chart: Chart, block: _Block) -> Any:
    """Draw lines that break on days without any figures; a day that is not whole has a hollow marker."""
    drawn = sheet.sheets.workbook.add_chart({"type": "line"})
    steps = len(chart.x)
    shown = min(steps, block.last - block.first + 1)
    partial = [step in chart.partial for step in range(steps - shown, steps)]
    for series in chart.series:
        look = LINES[series.key]
        hollow = {"fill": {"color": "white"}, "border": {"color": look.colour}}
        drawn.add_series(
            {
                "name": series.label,
                "categories": block.range("date", shown),
                "values": block.range(series.key, shown),
                "line": {"color": look.colour, "width": 2.0, "dash_type": _DASHES[look.dashes]},
                "marker": {
                    "type": _MARKERS[look.marker],
                    "size": 5,
                    "fill": {"color": look.colour},
                    "border": {"color": look.colour},
                },
                "points": [hollow if is_partial else None for is_partial in partial] if any(partial) else None,
            }
        )
    drawn.show_blanks_as("gap")
    axis_format = _DATES[sheet.sheets.content.language][2]
    weeks = {"date_axis": True, "major_unit": 7, "major_unit_type": "days", "num_format": axis_format}
    drawn.set_x_axis({**weeks, "line": _AXIS_LINE, "major_tick_mark": "none"})
    drawn.set_y_axis(_value_axis("0%") | {"max": 1, "major_unit": 0.25} if chart.share else _value_axis("#,##0"))
    return drawn


def _value_axis(number: str) -> dict[str, object]:
    quiet = {"visible": True, "line": {"color": "#dde3ea", "width": 0.75}}
    return {"num_format": number, "min": 0, "major_gridlines": quiet, "line": {"none": True}}
