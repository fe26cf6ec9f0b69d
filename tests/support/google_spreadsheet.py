"""The spreadsheet behind the stand-in for Google: what it holds, what the API does to it, and what people do to it.

What people move or insert takes along cells, developer metadata, charts and the ranges of charts, bands, filters and
protections, as in Google Sheets. A batch is applied whole or not at all.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.google_schema import RefusedError, check_schema, masked, parse_mask

if TYPE_CHECKING:
    from collections.abc import Iterator

SPREADSHEET_ID = "1TestSpreadsheet_Of-The-Etl-0123456789abcdefg"
MOST_CELLS = 10_000_000
PROTECTED = (
    "You are trying to edit a protected cell or object. Please contact the spreadsheet owner to remove protection if "
    "you need to edit."
)
FULL = f"This action would increase the number of cells in the workbook above the limit of {MOST_CELLS} cells."
BANDED = "You cannot add alternating background colors to a range that already has alternating background colors."

_CELL = re.compile(r"([A-Z]+)(\d+)")
_RANGE = re.compile(r"(?:'((?:[^']|'')*)'|([^'!]+))(?:!([A-Z]+)?(\d+)?(?::([A-Z]+)?(\d+)?)?)?")
_EDGES = {"ROWS": ("startRowIndex", "endRowIndex"), "COLUMNS": ("startColumnIndex", "endColumnIndex")}

Grid = dict[str, Any]
"""A GridRange."""
Shift = Callable[[int], "int | None"]
"""Where a row or column goes; None where it is deleted."""


def column_index(letters: str) -> int:
    """Return the number of a column, from zero."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise RefusedError(400, f"Unable to parse range: {text}")
    return match


def cell_place(name: str) -> tuple[int, int]:
    """Return row and column of a cell such as `B3`, from zero."""
    letters, number = _matched(_CELL, name).groups()
    return int(number) - 1, column_index(letters)


@dataclass
class StandInSheet:
    """A worksheet: its properties, its cells by (row, column) from zero, and what else the API knows of it.

    `marks` are the developer metadata of the sheet, of its rows and of its columns.
    """

    id: int
    title: str
    rows: int = 1000
    columns: int = 26
    kind: str = "GRID"
    frozen_rows: int = 0
    cells: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    marks: list[dict[str, Any]] = field(default_factory=list)
    widths: dict[int, int] = field(default_factory=dict)
    charts: list[dict[str, Any]] = field(default_factory=list)
    bands: list[dict[str, Any]] = field(default_factory=list)
    conditional_formats: list[dict[str, Any]] = field(default_factory=list)
    protections: list[dict[str, Any]] = field(default_factory=list)
    basic_filter: dict[str, Any] | None = None

    def cell(self, name: str) -> dict[str, Any]:
        """Return a cell by its name: `B3`."""
        return self.cells.get(cell_place(name), {})

    def value(self, name: str) -> Any:
        """Return the value of a cell, None where it is empty."""
        return next(iter(self.cell(name).get("userEnteredValue", {}).values()), None)

    def number_format(self, name: str) -> dict[str, str]:
        """Return how a cell shows its number."""
        shown: dict[str, str] = self.cell(name).get("userEnteredFormat", {}).get("numberFormat", {})
        return shown

    def ground(self, name: str) -> Any:
        """Return the colour of a cell, None where it has none."""
        return self.cell(name).get("userEnteredFormat", {}).get("backgroundColorStyle")

    def put(self, name: str, value: float | str | None = None, **data: Any) -> None:
        """Write into a cell as a person would; further arguments are parts of the cell."""
        if value is not None:
            data["userEnteredValue"] = {"stringValue" if isinstance(value, str) else "numberValue": value}
        self.cells.setdefault(cell_place(name), {}).update(data)

    def clear(self, name: str) -> None:
        """Empty a cell as a person would."""
        self.cells.get(cell_place(name), {}).pop("userEnteredValue", None)

    def grid(self) -> list[list[Any]]:
        """Return the values of the used part of the sheet, None for an empty cell."""
        filled = [place for place, cell in self.cells.items() if cell.get("userEnteredValue")]
        height = max((row for row, _ in filled), default=-1) + 1
        width = max((column for _, column in filled), default=-1) + 1
        return [
            [
                next(iter(self.cells.get((row, column), {}).get("userEnteredValue", {}).values()), None)
                for column in range(width)
            ]
            for row in range(height)
        ]

    def labelled(self) -> dict[str, Any]:
        """Return the card as label and value."""
        return {row[0]: row[1] if len(row) > 1 else None for row in self.grid() if row[0] is not None}

    def area(self, first: str, last: str) -> list[list[Any]]:
        """Return the values between two cells, None for an empty one."""
        (top, left), (bottom, right) = cell_place(first), cell_place(last)
        cells = [[self.cells.get((row, at), {}) for at in range(left, right + 1)] for row in range(top, bottom + 1)]
        return [[next(iter(cell.get("userEnteredValue", {}).values()), None) for cell in row] for row in cells]

    def protect(self, first: str | None = None, last: str | None = None, **properties: Any) -> None:
        """Protect the sheet, or the cells between two of it, against the service account."""
        cells: Grid = {"sheetId": self.id}
        if first and last:
            (top, left), (bottom, right) = cell_place(first), cell_place(last)
            cells |= {"startRowIndex": top, "endRowIndex": bottom + 1}
            cells |= {"startColumnIndex": left, "endColumnIndex": right + 1}
        number = len(self.protections) + 1
        self.protections.append({"protectedRangeId": number, "range": cells, **properties})

    def properties(self, index: int) -> dict[str, Any]:
        """Return the properties as the API tells them."""
        told: dict[str, Any] = {"sheetId": self.id, "title": self.title, "index": index, "sheetType": self.kind}
        if self.kind == "GRID":
            told["gridProperties"] = {"rowCount": self.rows, "columnCount": self.columns}
            if self.frozen_rows:
                told["gridProperties"]["frozenRowCount"] = self.frozen_rows
        return told

    def told(self, index: int) -> dict[str, Any]:
        """Return the sheet as the API tells it, without its cells."""
        told: dict[str, Any] = {"properties": self.properties(index)}
        parts = {
            "developerMetadata": [mark for mark in self.marks if mark["location"]["locationType"] == "SHEET"],
            "charts": self.charts,
            "bandedRanges": self.bands,
            "conditionalFormats": self.conditional_formats,
            "protectedRanges": self.protections,
            "basicFilter": self.basic_filter,
        }
        return told | deepcopy({name: part for name, part in parts.items() if part})


@dataclass
class StandInSpreadsheet:
    """A spreadsheet. `access` is what it is shared with the service account as: writer, reader or none."""

    id: str = SPREADSHEET_ID
    title: str = "Learning"
    access: str = "writer"
    sheets: list[StandInSheet] = field(default_factory=lambda: [StandInSheet(0, "Sheet1")])

    def sheet(self, title: str) -> StandInSheet:
        """Return a worksheet by its title."""
        return next(sheet for sheet in self.sheets if sheet.title == title)

    def titles(self) -> list[str]:
        """Return the titles of all worksheets in order."""
        return [sheet.title for sheet in self.sheets]

    def chart(self, title: str) -> dict[str, Any]:
        """Return a chart by its title, wherever it stands."""
        return next(chart for chart in self.charts() if chart["spec"].get("title") == title)

    def charts(self) -> list[dict[str, Any]]:
        """Return every chart."""
        return [chart for sheet in self.sheets for chart in sheet.charts]

    # What people do

    def add(self, title: str, **properties: Any) -> StandInSheet:
        """Add a worksheet as a person would."""
        number = max((sheet.id for sheet in self.sheets), default=0) + 1
        self.sheets.append(StandInSheet(number, title, **properties))
        return self.sheets[-1]

    def remove(self, title: str) -> None:
        """Delete a worksheet as a person would; charts elsewhere lose the cells behind them."""
        gone = self.sheet(title)
        self.sheets.remove(gone)
        for holder, name, cells in list(self._ranges(gone.id)):
            holder[name].remove(cells)

    def copy(self, title: str, new_title: str) -> StandInSheet:
        """Duplicate a worksheet as a person would: everything in it, under other ids."""
        original, number = self.sheet(title), max(sheet.id for sheet in self.sheets) + 1
        copy = deepcopy(original)
        copy.id, copy.title = number, new_title
        for mark in copy.marks:
            mark["metadataId"] = secrets.randbelow(2**31)
            location = mark["location"]
            location.get("dimensionRange", location)["sheetId"] = number
        for chart in copy.charts:
            chart["chartId"] = secrets.randbelow(2**31)
            chart["position"]["overlayPosition"]["anchorCell"]["sheetId"] = number
        self.sheets.append(copy)
        for chart in copy.charts:
            for _, _, cells in _chart_ranges(chart):
                cells["sheetId"] = number if cells["sheetId"] == original.id else cells["sheetId"]
        return copy

    def insert(self, title: str, dimension: str, index: int, number: int = 1) -> None:
        """Insert rows or columns as a person would."""
        self._shift(self.sheet(title), dimension, lambda at: at + number if at >= index else at, number)

    def delete(self, title: str, dimension: str, index: int) -> None:
        """Delete a row or a column as a person would."""
        self._shift(self.sheet(title), dimension, lambda at: None if at == index else at - (at > index), -1)

    def move(self, title: str, dimension: str, source: int, target: int) -> None:
        """Move a row or a column to another place as a person would."""
        sheet = self.sheet(title)
        order = list(range(sheet.rows if dimension == "ROWS" else sheet.columns))
        order.insert(target, order.pop(source))
        self._shift(sheet, dimension, order.index, 0)

    def _shift(self, sheet: StandInSheet, dimension: str, shift: Shift, growth: int) -> None:
        """Let rows or columns of a sheet go elsewhere, with everything that refers to them."""
        is_rows = dimension == "ROWS"
        sheet.rows += growth if is_rows else 0
        sheet.columns += 0 if is_rows else growth
        if is_rows:
            sheet.cells = {(to, at): c for (row, at), c in sheet.cells.items() if (to := shift(row)) is not None}
        else:
            sheet.cells = {(at, to): c for (at, column), c in sheet.cells.items() if (to := shift(column)) is not None}
            sheet.widths = {to: width for at, width in sheet.widths.items() if (to := shift(at)) is not None}
        _shift_marks(sheet, dimension, shift)
        name = "rowIndex" if is_rows else "columnIndex"
        for chart in sheet.charts:
            anchor = chart["position"]["overlayPosition"]["anchorCell"]
            anchor[name] = shift(anchor.get(name, 0)) or 0
        start, end = _EDGES[dimension]
        for holder, held, cells in list(self._ranges(sheet.id)):
            kept = [to for at in range(cells.get(start, 0), cells.get(end, 0)) if (to := shift(at)) is not None]
            if kept:
                cells[start], cells[end] = min(kept), max(kept) + 1
            elif end in cells:
                holder[held].remove(cells)

    def _ranges(self, sheet_id: int) -> Iterator[tuple[Any, Any, Grid]]:
        """Yield each range that lies on a sheet, with what holds it."""
        for sheet in self.sheets:
            for chart in sheet.charts:
                yield from (part for part in _chart_ranges(chart) if part[2].get("sheetId", 0) == sheet_id)
            if sheet.id != sheet_id:
                continue
            for each in (*sheet.bands, *sheet.protections, *([sheet.basic_filter] if sheet.basic_filter else [])):
                yield {"range": [each["range"]]}, "range", each["range"]
            for rule in sheet.conditional_formats:
                yield from ((rule, "ranges", cells) for cells in rule["ranges"])

    # What the API does

    def get(self, query: dict[str, list[str]]) -> dict[str, Any]:
        """Answer spreadsheets.get, without the cells."""
        sheets = [sheet.told(index) for index, sheet in enumerate(self.sheets)]
        answer = {"spreadsheetId": self.id, "properties": {"title": self.title, "locale": "ru_RU"}, "sheets": sheets}
        check_schema("Spreadsheet", answer)
        mask = query.get("fields", ["*"])[0]
        whole: dict[str, Any] = answer if mask == "*" else masked(answer, parse_mask(mask, "Spreadsheet"))
        return whole

    def values(self, cells: str, query: dict[str, list[str]]) -> dict[str, Any]:
        """Answer values.get; empty rows and cells at the ends are left out, as Google does."""
        quoted, plain, first_column, first_row, last_column, last_row = _matched(_RANGE, cells).groups()
        title = quoted.replace("''", "'") if quoted is not None else plain
        sheet = next((sheet for sheet in self.sheets if sheet.title.casefold() == title.casefold()), None)
        if sheet is None:
            raise RefusedError(400, f"Unable to parse range: {cells}")
        if query.get("valueRenderOption") != ["UNFORMATTED_VALUE"]:
            raise RefusedError(400, "the stand-in shows unformatted values only", violation=True)
        top, left = int(first_row or 1) - 1, column_index(first_column or "A")
        bottom = int(last_row) if last_row else sheet.rows
        right = column_index(last_column) + 1 if last_column else sheet.columns
        if bottom > sheet.rows or right > sheet.columns:
            raise RefusedError(400, f"Range ({cells}) exceeds grid limits. Max rows: {sheet.rows}")
        grid = [[*row, *[None] * (right - len(row))][left:right] for row in sheet.grid()[top:bottom]]
        for row in grid:
            while row and row[-1] is None:
                row.pop()
        while grid and not grid[-1]:
            grid.pop()
        shown = [["" if value is None else value for value in row] for row in grid]
        answer: dict[str, Any] = {"range": cells, "majorDimension": "ROWS"}
        return answer | ({"values": shown} if shown else {})

    def search(self, filters: list[dict[str, Any]]) -> dict[str, Any]:
        """Answer developerMetadata.search."""
        marks = [mark for sheet in self.sheets for mark in sheet.marks]
        matches = [(mark, [each for each in filters if _matches(mark, each)]) for mark in marks]
        told = [{"developerMetadata": deepcopy(mark), "dataFilters": which} for mark, which in matches if which]
        answer = {"matchedDeveloperMetadata": told} if told else {}
        check_schema("SearchDeveloperMetadataResponse", answer)
        return answer

    def batch_update(self, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Apply all requests, or none of them where one is not valid."""
        if not requests:
            raise RefusedError(400, "Must specify at least one request.")
        draft = deepcopy(self)
        replies = []
        for index, request in enumerate(requests):
            if len(request) != 1:
                raise RefusedError(400, f"requests[{index}] must have one kind", violation=True)
            ((kind, body),) = request.items()
            try:
                replies.append(_KINDS[kind](draft, deepcopy(body)))
                draft._check_size()
            except KeyError as error:
                raise RefusedError(
                    400, f"requests[{index}].{kind}: {error} is missing or unknown", violation=True
                ) from None
            except RefusedError as error:
                message = f"Invalid requests[{index}].{kind}: {error}"
                raise RefusedError(error.status, message, violation=error.violation) from None
        self.sheets = draft.sheets
        return replies

    def _check_size(self) -> None:
        if sum(sheet.rows * sheet.columns for sheet in self.sheets) > MOST_CELLS:
            raise RefusedError(400, FULL)

    def _by_id(self, number: int) -> StandInSheet:
        sheet = next((sheet for sheet in self.sheets if sheet.id == number), None)
        if sheet is None:
            raise RefusedError(400, f"No grid with id: {number}")
        return sheet

    def _editable(self, number: int, cells: Grid | None = None) -> StandInSheet:
        """Return a sheet of which nothing protected is to be changed; without cells, the whole sheet is meant."""
        sheet = self._by_id(number)
        for protection in sheet.protections:
            is_free = any(cells and _covers(free, cells) for free in protection.get("unprotectedRanges", []))
            if not protection.get("warningOnly") and not is_free:
                whole = len(protection["range"]) == 1
                if whole if cells is None else _overlap(protection["range"], cells):
                    raise RefusedError(400, PROTECTED)
        return sheet

    def _check_title(self, title: str) -> None:
        if any(sheet.title.casefold() == title.casefold() for sheet in self.sheets):
            raise RefusedError(400, f'A sheet with the name "{title}" already exists. Please enter another name.')

    def _check_range(self, cells: Grid) -> StandInSheet:
        """Refuse a range that is not within the grid of its sheet."""
        sheet = self._by_id(cells["sheetId"])
        for dimension, size in (("ROWS", sheet.rows), ("COLUMNS", sheet.columns)):
            start, end = (cells.get(edge) for edge in _EDGES[dimension])
            if not 0 <= (start or 0) < (size if end is None else end) <= size:
                raise RefusedError(400, f"Range exceeds grid limits. Max rows: {sheet.rows}, {sheet.columns}")
        return sheet

    def _add_sheet(self, body: dict[str, Any]) -> dict[str, Any]:
        properties = body["properties"]
        number, grid = properties.get("sheetId", secrets.randbelow(2**31)), properties.get("gridProperties", {})
        if number < 0 or any(sheet.id == number for sheet in self.sheets):
            raise RefusedError(400, f"A sheet with id {number} already exists.")
        self._check_title(properties["title"])
        sheet = StandInSheet(number, properties["title"], grid.get("rowCount", 1000), grid.get("columnCount", 26))
        sheet.frozen_rows = grid.get("frozenRowCount", 0)
        self.sheets.append(sheet)
        return {"addSheet": {"properties": sheet.properties(len(self.sheets) - 1)}}

    def _update_sheet_properties(self, body: dict[str, Any]) -> dict[str, Any]:
        properties, tree = body["properties"], parse_mask(body["fields"], "SheetProperties")
        sheet = self._editable(properties["sheetId"])
        if "title" in tree:
            if properties["title"].casefold() != sheet.title.casefold():
                self._check_title(properties["title"])
            sheet.title = properties["title"]
        grid = properties.get("gridProperties", {})
        for name in tree.get("gridProperties", {}):
            attribute = {"frozenRowCount": "frozen_rows", "rowCount": "rows", "columnCount": "columns"}[name]
            setattr(sheet, attribute, grid.get(name, 0))
        if sheet.frozen_rows >= sheet.rows:
            raise RefusedError(400, "You can't freeze all visible rows on the sheet.")
        if set(tree) - {"title", "gridProperties"}:
            raise RefusedError(400, "the stand-in does not know these properties", violation=True)
        return {}

    def _update_cells(self, body: dict[str, Any]) -> dict[str, Any]:
        """Write cells from a start on, or fill a range: what the rows do not cover of that is cleared."""
        tree = parse_mask(body["fields"], "CellData")
        if ("start" in body) == ("range" in body):
            raise RefusedError(400, "one of start and range must be set", violation=True)
        rows = [line.get("values", []) for line in body["rows"]]
        if "range" in body:
            cells = body["range"]
            sheet = self._check_range(cells)
            top, left = cells["startRowIndex"], cells["startColumnIndex"]
            height, width = cells["endRowIndex"] - top, cells["endColumnIndex"] - left
            if len(rows) > height or max(map(len, rows), default=0) > width:
                raise RefusedError(400, "Tried writing beyond the range", violation=True)
            rows = [[*line, *[{}] * (width - len(line))] for line in [*rows, *[[]] * (height - len(rows))]]
        else:
            sheet, top = self._by_id(body["start"]["sheetId"]), body["start"].get("rowIndex", 0)
            left = body["start"].get("columnIndex", 0)
        for row, line in enumerate(rows, start=top):
            for column, source in enumerate(line, start=left):
                if row >= sheet.rows or column >= sheet.columns:
                    raise RefusedError(400, f"Attempting to write beyond the grid, row {row}, column {column}")
                target = sheet.cells.setdefault((row, column), {})
                _assign(target, source, tree)
                if not target:
                    del sheet.cells[row, column]
            if line:
                edges = {"startRowIndex": row, "endRowIndex": row + 1, "startColumnIndex": left}
                self._editable(sheet.id, {"sheetId": sheet.id, **edges, "endColumnIndex": left + len(line)})
        return {}

    def _repeat_cell(self, body: dict[str, Any]) -> dict[str, Any]:
        cells = body["range"]
        height, width = (cells[end] - cells[start] for start, end in _EDGES.values())
        rows = [{"values": [body["cell"]] * width}] * height
        return self._update_cells({"range": cells, "rows": rows, "fields": body["fields"]})

    def _create_metadata(self, body: dict[str, Any]) -> dict[str, Any]:
        metadata = body["developerMetadata"]
        location = metadata["location"]
        if metadata["visibility"] not in {"DOCUMENT", "PROJECT"} or not metadata["metadataKey"]:
            raise RefusedError(400, "developer metadata need a key and a visibility")
        if place := location.get("dimensionRange"):
            sheet = self._by_id(place["sheetId"])
            size = {"ROWS": sheet.rows, "COLUMNS": sheet.columns}[place["dimension"]]
            if place["endIndex"] - place["startIndex"] != 1 or not 0 <= place["startIndex"] < size:
                raise RefusedError(400, "The dimension range must be a single row or column of the sheet.")
            location["locationType"] = place["dimension"].removesuffix("S")
        else:
            sheet = self._by_id(location["sheetId"])
            location["locationType"] = "SHEET"
        metadata.setdefault("metadataId", 1 + secrets.randbelow(2**31 - 1))
        if any(mark["metadataId"] == metadata["metadataId"] for other in self.sheets for mark in other.marks):
            raise RefusedError(400, "the metadata id is taken")
        sheet.marks.append(metadata)
        return {"createDeveloperMetadata": {"developerMetadata": metadata}}

    def _update_metadata(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["fields"] != "metadataValue" or not body["dataFilters"]:
            raise RefusedError(400, "the stand-in changes the values of metadata only", violation=True)
        marks = [mark for sheet in self.sheets for mark in sheet.marks]
        found = [mark for mark in marks if any(_matches(mark, each) for each in body["dataFilters"])]
        for mark in found:
            mark["metadataValue"] = body["developerMetadata"]["metadataValue"]
        return {"updateDeveloperMetadata": {"developerMetadata": found}}

    def _append_dimension(self, body: dict[str, Any]) -> dict[str, Any]:
        sheet = self._editable(body["sheetId"])
        if body["length"] < 1:
            raise RefusedError(400, "length must be at least 1")
        attribute = {"ROWS": "rows", "COLUMNS": "columns"}[body["dimension"]]
        setattr(sheet, attribute, getattr(sheet, attribute) + body["length"])
        return {}

    def _insert_dimension(self, body: dict[str, Any]) -> dict[str, Any]:
        cells = body["range"]
        sheet, start, end = self._editable(cells["sheetId"]), cells["startIndex"], cells["endIndex"]
        before = body.get("inheritFromBefore", False)
        if cells["dimension"] != "ROWS":
            raise RefusedError(400, "the stand-in inserts rows only", violation=True)
        if not 0 <= start < end or start >= sheet.rows or (before and start == 0):
            raise RefusedError(400, "the rows cannot be inserted there")
        model = start - 1 if before else start
        formats = {column: cell for (row, column), cell in sheet.cells.items() if row == model}
        self._shift(sheet, "ROWS", lambda row: row + (end - start if row >= start else 0), end - start)
        for column, cell in formats.items():
            if "userEnteredFormat" in cell:
                fresh = {"userEnteredFormat": cell["userEnteredFormat"]}
                sheet.cells |= {(row, column): deepcopy(fresh) for row in range(start, end)}
        return {}

    def _update_dimension(self, body: dict[str, Any]) -> dict[str, Any]:
        cells = body["range"]
        sheet = self._by_id(cells["sheetId"])
        if parse_mask(body["fields"], "DimensionProperties") != {"pixelSize": {}} or cells["dimension"] != "COLUMNS":
            raise RefusedError(400, "the stand-in knows the widths of columns only", violation=True)
        if not 0 <= cells["startIndex"] < cells["endIndex"] <= sheet.columns:
            raise RefusedError(400, "no such columns")
        for column in range(cells["startIndex"], cells["endIndex"]):
            sheet.widths[column] = body["properties"]["pixelSize"]
        return {}

    def _add_banding(self, body: dict[str, Any]) -> dict[str, Any]:
        band = body["bandedRange"]
        sheet = self._check_range(band["range"])
        for properties in (band["rowProperties"],):
            properties["firstBandColorStyle"], properties["secondBandColorStyle"]
        if any(_overlap(other["range"], band["range"]) for other in sheet.bands):
            raise RefusedError(400, BANDED)
        band.setdefault("bandedRangeId", 1 + secrets.randbelow(2**31 - 1))
        sheet.bands.append(band)
        return {"addBanding": {"bandedRange": band}}

    def _add_chart(self, body: dict[str, Any]) -> dict[str, Any]:
        chart = body["chart"]
        overlay = chart["position"]["overlayPosition"]
        anchor = overlay["anchorCell"]
        sheet = self._editable(anchor["sheetId"], _single(anchor))
        self._check_range(_single(anchor))
        if any(other["chartId"] == chart["chartId"] for other in self.charts()):
            raise RefusedError(400, "An embedded object with that id already exists.")
        overlay.setdefault("widthPixels", 600)
        overlay.setdefault("heightPixels", 371)
        chart["spec"] = self._kept_spec(chart["spec"])
        sheet.charts.append(chart)
        return {"addChart": {"chart": chart}}

    def _update_chart(self, body: dict[str, Any]) -> dict[str, Any]:
        chart = next((chart for chart in self.charts() if chart["chartId"] == body["chartId"]), None)
        if chart is None:
            raise RefusedError(400, f"No chart with id: {body['chartId']}")
        chart["spec"] = self._kept_spec(body["spec"])
        return {}

    def _kept_spec(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Check a chart, and return it as Google keeps it: with what it adds by itself."""
        basic = spec["basicChart"]
        sources = [[part[2] for part in _chart_ranges({"spec": {"basicChart": {name: [each]}}})]
                   for name in ("domains", "series") for each in basic[name]]  # fmt: skip
        if len(basic["domains"]) != 1 or not basic["series"] or not all(sources):
            raise RefusedError(400, "A chart needs one domain and a series, with ranges.")
        for cells in (cells for each in sources for cells in each):
            self._check_range(cells)
            if 1 not in {cells[end] - cells[start] for start, end in _EDGES.values()}:
                raise RefusedError(400, "ChartSourceRange ranges require all rows or all columns to have length of 1")
        lengths = {tuple(cells["endRowIndex"] - cells["startRowIndex"] for cells in each) for each in sources}
        if len(lengths) != 1:
            raise RefusedError(400, "The domain and the series must have ranges of one length.")
        for series in basic["series"]:
            if "rgbColor" in series.get("colorStyle", {}):
                series["color"] = deepcopy(series["colorStyle"]["rgbColor"])
        return {"fontName": "Roboto", **spec}


def _shift_marks(sheet: StandInSheet, dimension: str, shift: Shift) -> None:
    """Let the developer metadata of rows or columns go with them."""
    for mark in list(sheet.marks):
        place = mark["location"].get("dimensionRange", {})
        target = shift(place["startIndex"]) if place.get("dimension") == dimension else None
        if target is not None:
            place["startIndex"], place["endIndex"] = target, target + 1
        elif place.get("dimension") == dimension:
            sheet.marks.remove(mark)


def _assign(target: dict[str, Any], source: dict[str, Any], tree: dict[str, Any]) -> None:
    """Set what a mask names to what the source holds, and clear it where the source holds nothing."""
    for name, inner in tree.items():
        if inner and name in source:
            part = target.setdefault(name, {})
            _assign(part, source[name], inner)
        elif inner and name in target:
            part = target[name]
            _assign(part, {}, inner)
        elif not inner and source.get(name) not in (None, {}):
            target[name] = deepcopy(source[name])
        else:
            target.pop(name, None)
        if target.get(name) == {}:
            del target[name]


def _single(cell: Grid) -> Grid:
    row, column = cell.get("rowIndex", 0), cell.get("columnIndex", 0)
    edges = {"startRowIndex": row, "endRowIndex": row + 1, "startColumnIndex": column, "endColumnIndex": column + 1}
    return {"sheetId": cell["sheetId"], **edges}


def _span(cells: Grid, dimension: str) -> tuple[int, float]:
    start, end = _EDGES[dimension]
    return cells.get(start, 0), cells.get(end, float("inf"))


def _overlap(one: Grid, other: Grid) -> bool:
    spans = [(_span(one, dimension), _span(other, dimension)) for dimension in _EDGES]
    return all(first[0] < second[1] and second[0] < first[1] for first, second in spans)


def _covers(outer: Grid, inner: Grid) -> bool:
    spans = [(_span(outer, dimension), _span(inner, dimension)) for dimension in _EDGES]
    return all(first[0] <= second[0] and second[1] <= first[1] for first, second in spans)


def _chart_ranges(chart: dict[str, Any]) -> Iterator[tuple[Any, Any, Grid]]:
    """Yield the ranges behind a chart, with what holds them."""
    basic = chart["spec"].get("basicChart", {})
    parts = [each.get("domain", {}) for each in basic.get("domains", [])]
    parts += [each.get("series", {}) for each in basic.get("series", [])]
    for part in parts:
        holder = part.get("sourceRange", {})
        yield from ((holder, "sources", cells) for cells in holder.get("sources", []))


def _matches(mark: dict[str, Any], data_filter: dict[str, Any]) -> bool:
    lookup = data_filter["developerMetadataLookup"]
    if not lookup or set(lookup) - {"metadataKey", "metadataValue", "metadataId"}:
        raise RefusedError(400, "the stand-in looks metadata up by key, value and id", violation=True)
    return all(mark.get(name) == value for name, value in lookup.items())


_KINDS = {
    "addSheet": StandInSpreadsheet._add_sheet,
    "updateSheetProperties": StandInSpreadsheet._update_sheet_properties,
    "repeatCell": StandInSpreadsheet._repeat_cell,
    "updateCells": StandInSpreadsheet._update_cells,
    "createDeveloperMetadata": StandInSpreadsheet._create_metadata,
    "updateDeveloperMetadata": StandInSpreadsheet._update_metadata,
    "appendDimension": StandInSpreadsheet._append_dimension,
    "insertDimension": StandInSpreadsheet._insert_dimension,
    "updateDimensionProperties": StandInSpreadsheet._update_dimension,
    "addBanding": StandInSpreadsheet._add_banding,
    "addChart": StandInSpreadsheet._add_chart,
    "updateChartSpec": StandInSpreadsheet._update_chart,
}
