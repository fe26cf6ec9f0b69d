"""What stands in the spreadsheet now: its worksheets, our marks on them, and their charts.

The marks are developer metadata, which nobody sees. A worksheet has the mark of its role. A row or column that we must
find again has a mark of its own, which Google moves with it. What we made once (charts, columns of the history) is
noted on the worksheet, so that what people delete stays deleted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from app_types import Language
from messages import Messages
from report.content import sheet_titles

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKSHEET_KEY: Final = "learning_events_etl.worksheet"
"""The developer metadata by which a worksheet of ours is known again, whatever people call it."""
ROW_KEY: Final = "learning_events_etl.row"
COLUMN_KEY: Final = "learning_events_etl.column"
CHART_KEY: Final = "learning_events_etl.chart"
"""On a worksheet, `hours 1234`: the chart that we made on it, and its id."""
COLUMNS_KEY: Final = "learning_events_etl.columns"
"""On a worksheet, the keys of the columns that we ever made there."""

FIELDS: Final = (
    "sheets(properties(sheetId,title,gridProperties(rowCount,columnCount)),"
    "developerMetadata(metadataId,metadataKey,metadataValue),charts(chartId,spec))"
)
"""What is asked of the spreadsheet: no cell of it."""
SEARCH: Final = {"dataFilters": [{"developerMetadataLookup": {"metadataKey": key}} for key in (ROW_KEY, COLUMN_KEY)]}
"""What is asked of the developer metadata: where our rows and columns are by now."""


@dataclass(slots=True)
class Worksheet:
    """A worksheet as it is, or will be when the batch is applied. One without a grid (a chart) has no rows.

    `notes` are the marks on the whole worksheet, by key: values and ids.
    """

    id: int
    title: str
    rows: int
    columns: int
    notes: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    marked_rows: dict[str, int] = field(default_factory=dict)
    marked_columns: dict[str, int] = field(default_factory=dict)

    @property
    def roles(self) -> list[str]:
        """What it is for, if it is ours; a copy that somebody made of one of ours may say the same."""
        return [value for value, _ in self.notes.get(WORKSHEET_KEY, [])]

    @property
    def charts(self) -> dict[str, int]:
        """The ids of the charts that we made on it, by key; people may have deleted them since."""
        made = (re.fullmatch(r"(\w+) (\d{1,10})", value) for value, _ in self.notes.get(CHART_KEY, []))
        return {match[1]: int(match[2]) for match in made if match}


class Spreadsheet:
    """The worksheets and charts as Google told them."""

    def __init__(self, metadata: Any) -> None:
        self.worksheets: list[Worksheet] = []
        self.charts: dict[int, dict[str, Any]] = {}
        for sheet in metadata["sheets"]:
            properties = sheet["properties"]
            grid = properties.get("gridProperties", {})
            worksheet = Worksheet(
                id=int(properties.get("sheetId", 0)),
                title=str(properties["title"]),
                rows=int(grid.get("rowCount", 0)),
                columns=int(grid.get("columnCount", 0)),
            )
            for note in sheet.get("developerMetadata", []):
                told = (str(note.get("metadataValue", "")), int(note.get("metadataId", 0)))
                worksheet.notes.setdefault(note["metadataKey"], []).append(told)
            self.worksheets.append(worksheet)
            self.charts |= {int(chart["chartId"]): chart.get("spec", {}) for chart in sheet.get("charts", [])}

    def place_marks(self, found: Any) -> None:
        """Take in where our rows and columns are: the answer to `SEARCH`."""
        sheets = {sheet.id: sheet for sheet in self.worksheets}
        for mark in _marks(found):
            place = mark["location"].get("dimensionRange", {})
            sheet = sheets.get(int(place.get("sheetId", 0)))
            if sheet is None or "dimension" not in place:
                continue
            marked = sheet.marked_rows if place["dimension"] == "ROWS" else sheet.marked_columns
            marked.setdefault(str(mark["metadataValue"]), int(place.get("startIndex", 0)))

    def find(self, role: str, language: Language) -> Worksheet | None:
        """Return our worksheet by its mark, else by its title in either language."""
        grids = [sheet for sheet in self.worksheets if sheet.rows]
        marked = [sheet for sheet in grids if role in sheet.roles]
        candidates = marked or [sheet for sheet in grids if not sheet.roles]
        titles = [title_of(role, language), *(title_of(role, other) for other in Language)]
        titled = [sheet for title in titles for sheet in candidates if sheet.title == title]
        return next(iter(titled or marked), None)

    @property
    def has_ours(self) -> bool:
        """Whether anything here was drawn by us."""
        return any(sheet.roles for sheet in self.worksheets)


def title_of(role: str, language: Language) -> str:
    """Return the name of one of our worksheets in a language."""
    title: str = getattr(sheet_titles(Messages(language)), role)
    return title


def _marks(found: Any) -> Iterator[dict[str, Any]]:
    for match in found.get("matchedDeveloperMetadata", []):
        yield match["developerMetadata"]
