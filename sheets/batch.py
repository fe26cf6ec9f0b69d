"""The changes that Google applies together or not at all, planned on what the spreadsheet holds now."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app_types import Language
from sheets import charts
from sheets.cells import FIELDS, GROUND, colour
from sheets.spreadsheet import CHART_KEY, COLUMN_KEY, ROW_KEY, WORKSHEET_KEY, Worksheet, title_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from report.parts import Chart
    from sheets.cells import CellData
    from sheets.charts import Place, Source
    from sheets.layout import Band, Drawing, Panel
    from sheets.spreadsheet import Spreadsheet

_NEW_GRID: Final = (1000, 26)
_CORNER: Final = "corner"
_BAND_COLOURS: Final = {
    "headerColorStyle": colour("#e3eaf5"),
    "firstBandColorStyle": colour("#ffffff"),
    "secondBandColorStyle": colour("#f6f8fb"),
}


@dataclass(frozen=True, slots=True)
class _Change:
    """One request, the worksheet that it changes, and whether the report is whole without it."""

    request: dict[str, Any]
    worksheet: str
    is_decoration: bool


class Batch:
    """Requests for one call. Worksheets that are not there yet are made by it."""

    def __init__(self, spreadsheet: Spreadsheet, language: Language) -> None:
        self._spreadsheet = spreadsheet
        self._language = language
        self._taken = {sheet.title.casefold() for sheet in spreadsheet.worksheets}
        self._changes: list[_Change] = []

    @property
    def requests(self) -> list[dict[str, Any]]:
        """All changes, in order."""
        return [change.request for change in self._changes]

    @property
    def plain_requests(self) -> list[dict[str, Any]]:
        """The changes without charts and bands."""
        return [change.request for change in self._changes if not change.is_decoration]

    def worksheet_of(self, index: int) -> str:
        """Return the title of the worksheet that a request changes."""
        return self._changes[index].worksheet if index < len(self._changes) else "?"

    def is_decoration(self, index: int) -> bool:
        """Tell whether a request only makes a chart or bands."""
        return index < len(self._changes) and self._changes[index].is_decoration

    def worksheet(self, role: str, size: tuple[int, int], widths: Sequence[int], frozen: int) -> tuple[Worksheet, bool]:
        """Find, adopt or make our worksheet, in the language of the report and large enough; tell whether it is new.

        Args:
            role: what it is for.
            size: the rows and columns that it must have.
            widths: of the columns of a new one.
            frozen: how many rows of a new or adopted one stay when people scroll.
        """
        title = title_of(role, self._language)
        known = self._spreadsheet.find(role, self._language)
        sheet = known or self._make(title, size, widths)
        if re.sub(r" \(\d+\)$", "", sheet.title) in {title_of(role, other) for other in Language} - {title}:
            properties = {"sheetId": sheet.id, "title": self._free(title)}
            self._add(sheet, "updateSheetProperties", properties=properties, fields="title")
        self.grow(sheet, *size)
        if role not in sheet.roles:
            self.note(sheet, WORKSHEET_KEY, role)
            if frozen:
                grid = {"sheetId": sheet.id, "gridProperties": {"frozenRowCount": frozen}}
                self._add(sheet, "updateSheetProperties", properties=grid, fields="gridProperties.frozenRowCount")
        return sheet, known is None

    def draw(self, drawing: Drawing) -> tuple[Worksheet, tuple[int, int]]:
        """Draw the panels of a worksheet; return it, and its corner: the row and column where it begins by now."""
        known = self._spreadsheet.find(drawing.role, self._language)
        top = known.marked_rows.get(_CORNER, 0) if known else 0
        left = known.marked_columns.get(_CORNER, 0) if known else 0
        rows, columns = drawing.size
        sheet, is_new = self.worksheet(drawing.role, (rows + top, columns + left), drawing.widths, drawing.frozen)
        if _CORNER not in sheet.marked_rows:
            self.mark(sheet, "ROWS", top, _CORNER)
        if _CORNER not in sheet.marked_columns:
            self.mark(sheet, "COLUMNS", left, _CORNER)
        for panel in drawing.panels:
            self._fill(sheet, panel, top, left)
        if is_new:
            for band in drawing.bands:
                self.band(sheet, band)
            for look in drawing.looks:
                cells = _cells(sheet, look.row, look.column, look.width, look.height)
                fields = ",".join(f"userEnteredFormat.{name}" for name in look.fields.split(","))
                self._add(sheet, "repeatCell", range=cells, cell={"userEnteredFormat": look.format}, fields=fields)
        return sheet, (top, left)

    def write(self, sheet: Worksheet, row: int, column: int, cells: list[CellData], fields: str = FIELDS) -> None:
        """Write cells side by side."""
        start = {"sheetId": sheet.id, "rowIndex": row, "columnIndex": column}
        self._add(sheet, "updateCells", start=start, rows=[{"values": cells}], fields=fields)

    def grow(self, sheet: Worksheet, rows: int = 0, columns: int = 0) -> None:
        """Append rows and columns until there are as many as are needed."""
        for dimension, length in (("ROWS", rows - sheet.rows), ("COLUMNS", columns - sheet.columns)):
            if length > 0:
                self._add(sheet, "appendDimension", sheetId=sheet.id, dimension=dimension, length=length)
        sheet.rows, sheet.columns = max(rows, sheet.rows), max(columns, sheet.columns)

    def insert_row(self, sheet: Worksheet, index: int) -> None:
        """Put in a row; what stands there and below moves down."""
        rows = {"sheetId": sheet.id, "dimension": "ROWS", "startIndex": index, "endIndex": index + 1}
        self._add(sheet, "insertDimension", range=rows, inheritFromBefore=False)
        sheet.rows += 1

    def note(self, sheet: Worksheet, key: str, value: str) -> None:
        """Note something on a whole worksheet, beside what is noted there."""
        self._create_metadata(sheet, key, value, {"sheetId": sheet.id})

    def correct_note(self, sheet: Worksheet, number: int, value: str) -> None:
        """Replace the value of a note."""
        lookup = {"developerMetadataLookup": {"metadataId": number}}
        value_only = {"metadataValue": value}
        self._add(
            sheet,
            "updateDeveloperMetadata",
            dataFilters=[lookup],
            developerMetadata=value_only,
            fields="metadataValue",
        )

    def mark(self, sheet: Worksheet, dimension: str, index: int, value: str) -> None:
        """Mark a row or column, so that it is found wherever it is moved."""
        place = {"sheetId": sheet.id, "dimension": dimension, "startIndex": index, "endIndex": index + 1}
        key = ROW_KEY if dimension == "ROWS" else COLUMN_KEY
        self._create_metadata(sheet, key, value, {"dimensionRange": place})

    def band(self, sheet: Worksheet, band: Band) -> None:
        """Give the rows of a new worksheet alternating grounds."""
        cells = _cells(sheet, band.row, band.column, band.width, band.height)
        banded = {"range": cells, "rowProperties": _BAND_COLOURS}
        self._add(sheet, "addBanding", bandedRange=banded, is_decoration=True)

    def chart(self, sheet: Worksheet, chart: Chart, source: Source, place: Place, titles: Collection[str]) -> None:
        """Make a chart on a worksheet, or bring the one that we made up to date.

        Args:
            sheet: where it is made; people may have moved it since.
            chart: what it shows.
            source: the cells behind it.
            place: where a new one is put.
            titles: our titles of it in every language.
        """
        known, made = self._spreadsheet.charts, sheet.charts.get(chart.key)
        if made is not None:
            fresh = charts.refreshed_spec(known[made], chart, source, titles) if made in known else None
            if fresh:
                self._add(sheet, "updateChartSpec", chartId=made, spec=fresh, is_decoration=True)
            return
        number = charts.new_id(known)
        known[number] = charts.new_spec(chart, source)
        self.grow(sheet, place.row + 1, place.column + 1)
        self._add(
            sheet,
            "addChart",
            chart={"chartId": number, "spec": known[number], "position": place.position(sheet.id)},
            is_decoration=True,
        )
        self._create_metadata(sheet, CHART_KEY, f"{chart.key} {number}", {"sheetId": sheet.id}, is_decoration=True)

    def _fill(self, sheet: Worksheet, panel: Panel, top: int, left: int) -> None:
        """Draw a panel and empty the rest of it; of colours, only the grounds that say something are ours."""
        row, column = top + panel.row, left + panel.column
        height = None if panel.height is None else max(panel.height, len(panel.rows))
        cells = _cells(sheet, row, column, panel.width, height)
        rows = [{"values": values} for values in panel.rows]
        self._add(sheet, "updateCells", range=cells, rows=rows, fields=FIELDS)
        for index, ground in panel.grounds.items():
            cell = {"userEnteredFormat": {"backgroundColorStyle": ground} if ground else {}}
            self.write(sheet, row + index, column, [cell] * panel.width, GROUND)

    def _make(self, title: str, size: tuple[int, int], widths: Sequence[int]) -> Worksheet:
        worksheets = self._spreadsheet.worksheets
        number = charts.new_id({sheet.id for sheet in worksheets})
        sheet = Worksheet(number, self._free(title), max(size[0], _NEW_GRID[0]), max(size[1], _NEW_GRID[1]))
        worksheets.append(sheet)
        grid = {"rowCount": sheet.rows, "columnCount": sheet.columns}
        self._add(sheet, "addSheet", properties={"sheetId": number, "title": sheet.title, "gridProperties": grid})
        for index, width in enumerate(widths):
            columns = {"sheetId": number, "dimension": "COLUMNS", "startIndex": index, "endIndex": index + 1}
            pixels = {"pixelSize": width}
            self._add(sheet, "updateDimensionProperties", range=columns, properties=pixels, fields="pixelSize")
        return sheet

    def _free(self, title: str) -> str:
        """Return the title, or one beside it where another worksheet has it; Google ignores case here."""
        numbered = (f"{title} ({number})" for number in range(2, len(self._taken) + 3))
        free = next(name for name in (title, *numbered) if name.casefold() not in self._taken)
        self._taken.add(free.casefold())
        return free

    def _create_metadata(
        self, sheet: Worksheet, key: str, value: str, location: dict[str, Any], *, is_decoration: bool = False
    ) -> None:
        mark = {"metadataKey": key, "metadataValue": value, "visibility": "DOCUMENT", "location": location}
        self._add(sheet, "createDeveloperMetadata", developerMetadata=mark, is_decoration=is_decoration)

    def _add(self, sheet: Worksheet, kind: str, *, is_decoration: bool = False, **request: Any) -> None:
        self._changes.append(_Change({kind: request}, sheet.title, is_decoration))


def _cells(sheet: Worksheet, row: int, column: int, width: int, height: int | None) -> dict[str, int]:
    """Return a range; without a height it reaches to the end of the grid."""
    return {
        "sheetId": sheet.id,
        "startRowIndex": row,
        "endRowIndex": sheet.rows if height is None else row + height,
        "startColumnIndex": column,
        "endColumnIndex": column + width,
    }
