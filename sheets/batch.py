"""The changes that Google applies together or not at all, planned on what the spreadsheet holds now."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from app_types import Language
from sheets import charts
from sheets.cells import FIELDS, GROUND, colour
from sheets.spreadsheet import CHART_KEY, COLUMN_KEY, ROW_KEY, WORKSHEET_KEY, Worksheet, title_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from report.parts import Chart
    from sheets.cells import CellData
    from sheets.charts import Source
    from sheets.layout import Band, Drawing, Panel
    from sheets.spreadsheet import Spreadsheet

_NEW_GRID: Final = (1000, 26)
_CORNER: Final = "corner"
_DECORATION: Final = frozenset({"addBanding", "addChart", "updateChartSpec"})
_BAND_COLOURS: Final = {
    "headerColorStyle": colour("#e3eaf5"),
    "firstBandColorStyle": colour("#ffffff"),
    "secondBandColorStyle": colour("#f6f8fb"),
}


class Batch:
    """Requests for one call. Worksheets that are not there yet are made by it."""

    def __init__(self, spreadsheet: Spreadsheet, language: Language) -> None:
        self.requests: list[dict[str, Any]] = []
        self._spreadsheet = spreadsheet
        self._language = language
        self._taken = {sheet.title.casefold() for sheet in spreadsheet.worksheets}
        self._worksheets: list[Worksheet] = []  # of each request

    def worksheet(self, role: str, size: tuple[int, int], widths: Sequence[int], frozen: int) -> tuple[Worksheet, bool]:
        """Find, adopt or make our worksheet, in the language of the report and large enough; tell whether it is new.

        Args:
            role: what it is for.
            size: the rows and columns that it must have.
            widths: of the columns of a new one.
            frozen: how many rows of a new or adopted one stay when people scroll.
        """
        title = title_of(role, self._language)
        sheet = self._spreadsheet.find(role, self._language)
        is_new = sheet is None
        if sheet is None:
            sheet = self._make(title, size, widths)
        elif re.sub(r" \(\d+\)$", "", sheet.title) in {title_of(role, other) for other in Language} - {title}:
            properties = {"sheetId": sheet.id, "title": self._free(title)}
            self._add(sheet, "updateSheetProperties", properties=properties, fields="title")
        self.grow(sheet, *size)
        if role not in sheet.roles:
            self.note(sheet, WORKSHEET_KEY, role)
            if frozen:
                properties = {"sheetId": sheet.id, "gridProperties": {"frozenRowCount": frozen}}
                self._add(
                    sheet, "updateSheetProperties", properties=properties, fields="gridProperties.frozenRowCount"
                )
        return sheet, is_new

    def draw(self, drawing: Drawing) -> tuple[Worksheet, tuple[int, int]]:
        """Draw the panels of a worksheet; return it and its corner: the row and column where it begins by now."""
        known = self._spreadsheet.find(drawing.role, self._language)
        corner = (known.marked_rows.get(_CORNER, 0), known.marked_columns.get(_CORNER, 0)) if known else (0, 0)
        rows, columns = drawing.size
        size = (rows + corner[0], columns + corner[1])
        sheet, is_new = self.worksheet(drawing.role, size, drawing.widths, drawing.frozen)
        if _CORNER not in sheet.marked_rows:
            self.mark(sheet, "ROWS", corner[0], _CORNER)
        if _CORNER not in sheet.marked_columns:
            self.mark(sheet, "COLUMNS", corner[1], _CORNER)
        for panel in drawing.panels:
            self._fill(sheet, panel, corner)
        for band in drawing.bands if is_new else ():
            self.band(sheet, band)
        return sheet, corner

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
        """Note something on a worksheet, in place of what is noted under the key so far."""
        for _, number in sheet.notes.get(key, []) if key != CHART_KEY else []:
            lookup = {"developerMetadataLookup": {"metadataId": number}}
            self._add(sheet, "deleteDeveloperMetadata", dataFilter=lookup)
        mark = {"metadataKey": key, "metadataValue": value, "visibility": "DOCUMENT"}
        self._add(sheet, "createDeveloperMetadata", developerMetadata=mark | {"location": {"sheetId": sheet.id}})

    def mark(self, sheet: Worksheet, dimension: str, index: int, value: str) -> None:
        """Mark a row or column, so that it is found wherever it is moved."""
        key = ROW_KEY if dimension == "ROWS" else COLUMN_KEY
        place = {"sheetId": sheet.id, "dimension": dimension, "startIndex": index, "endIndex": index + 1}
        mark = {"metadataKey": key, "metadataValue": value, "visibility": "DOCUMENT"}
        self._add(sheet, "createDeveloperMetadata", developerMetadata=mark | {"location": {"dimensionRange": place}})

    def band(self, sheet: Worksheet, band: Band) -> None:
        """Give rows alternating grounds."""
        cells = _grid_range(sheet, band, (0, 0))
        self._add(sheet, "addBanding", bandedRange={"range": cells, "rowProperties": _BAND_COLOURS})

    def chart(
        self,
        sheet: Worksheet,
        chart: Chart,
        source: Source,
        place: tuple[int, int],
        size: tuple[int, int],
        *,
        columns: bool = False,
        titles: Collection[str],
    ) -> None:
        """Make a chart on a worksheet, or bring the one that we made up to date.

        Args:
            sheet: where it is made; people may have moved it since.
            chart: what it shows.
            source: the cells behind it.
            place: the row and column at which a new one is put.
            size: the width and height of a new one.
            columns: whether it has columns; lines otherwise.
            titles: our titles of it in every language.
        """
        made = [value.split()[1] for value, _ in sheet.notes.get(CHART_KEY, []) if value.split()[:1] == [chart.key]]
        if made:
            number = int(made[0]) if made[0].isdecimal() else 0
            spec = self._spreadsheet.charts.get(number)
            fresh = refreshed(spec, chart, source, columns=columns, titles=titles) if spec else None
            if fresh:
                self._add(sheet, "updateChartSpec", chartId=number, spec=fresh)
            return
        number = charts.new_id(self._spreadsheet.charts)
        self._spreadsheet.charts[number] = spec = charts.new_spec(chart, source, columns=columns)
        self.grow(sheet, place[0] + 1, place[1] + 1)
        anchor = {"sheetId": sheet.id, "rowIndex": place[0], "columnIndex": place[1]}
        position = {"overlayPosition": {"anchorCell": anchor, "widthPixels": size[0], "heightPixels": size[1]}}
        self._add(sheet, "addChart", chart={"chartId": number, "spec": spec, "position": position})
        self.note(sheet, CHART_KEY, f"{chart.key} {number}")
