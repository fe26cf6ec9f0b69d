"""The native charts: made once, afterwards only given the right rows and the words of the language.

The id of a chart that we made is noted on its worksheet. While the chart is there, its title, alternative text and
rows are kept right; place, size, kind and colours are people's. A chart that people deleted stays deleted; it comes
back where they delete its worksheet, too.
"""

from __future__ import annotations

import secrets
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sheets.cells import colour

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from report.parts import Chart
    from sheets.layout import Block

_COLOURS: Final = {
    "unique_users": "#6b3fa0",
    "runs": "#8fa8cc",
    "submits": "#3d7bd9",
    "successful_submits": "#0b5c3b",
    "success_share": "#0b5c3b",
}
_OTHER: Final = "#1f2933"
_IN_COLUMNS: Final = frozenset({"hours"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a new chart is put: the cell under its corner, its width and height in pixels."""

    row: int
    column: int
    width: int
    height: int

    def position(self, sheet_id: int) -> dict[str, Any]:
        """Return the position as the API takes it."""
        anchor = {"sheetId": sheet_id, "rowIndex": self.row, "columnIndex": self.column}
        return {"overlayPosition": {"anchorCell": anchor, "widthPixels": self.width, "heightPixels": self.height}}


@dataclass(frozen=True, slots=True)
class Source:
    """The cells behind a chart: a block, and where it stands by now."""

    sheet_id: int
    block: Block
    row: int = 0
    column: int = 0

    @property
    def rows(self) -> tuple[int, int]:
        """The header's row, and the one behind the last."""
        first = self.row + self.block.header
        return first, first + 1 + self.block.rows

    def grid_range(self, key: str) -> dict[str, int]:
        """Return the cells of a column, its header included."""
        first, end = self.rows
        column = self.column + self.block.columns[key]
        return {
            "sheetId": self.sheet_id,
            "startRowIndex": first,
            "endRowIndex": end,
            "startColumnIndex": column,
            "endColumnIndex": column + 1,
        }

    def holds(self, cells: dict[str, Any]) -> bool:
        """Tell whether a range of a chart lies in a column of the block."""
        columns = {self.column + column for column in self.block.columns.values()}
        return cells.get("sheetId", 0) == self.sheet_id and cells.get("startColumnIndex", 0) in columns


def new_id(taken: Collection[int]) -> int:
    """Return an id that nothing has."""
    while (number := 1 + secrets.randbelow(2**31 - 1)) in taken:
        continue
    return number


def new_spec(chart: Chart, source: Source) -> dict[str, Any]:
    """Return a new chart of a block, whose first column stands along the axis: hours in columns, days in lines."""
    columns = chart.key in _IN_COLUMNS
    axis = next(iter(source.block.columns))
    lines = {} if columns else {"lineStyle": {"width": 2}, "pointStyle": {"shape": "CIRCLE", "size": 5}}
    basic: dict[str, Any] = {
        "chartType": "COLUMN" if columns else "LINE",
        "legendPosition": "BOTTOM_LEGEND" if len(chart.series) > 1 else "NO_LEGEND",
        "headerCount": 1,
        "domains": [{"domain": _data(source.grid_range(axis))}],
        "series": [
            {
                "series": _data(source.grid_range(series.key)),
                "targetAxis": "LEFT_AXIS",
                "colorStyle": colour(_COLOURS.get(series.key, _OTHER)),
                **lines,
            }
            for series in chart.series
        ],
        "axis": [{"position": "LEFT_AXIS", "viewWindowOptions": {"viewWindowMin": 0, "viewWindowMode": "EXPLICIT"}}],
    }
    return {
        "title": chart.title,
        "altText": chart.summary,
        "hiddenDimensionStrategy": "SHOW_ALL",
        "basicChart": basic,
    }


def refreshed_spec(
    spec: dict[str, Any], chart: Chart, source: Source, titles: Collection[str]
) -> dict[str, Any] | None:
    """Return a chart as it is to be, or None where it is so already.

    Args:
        spec: the chart as it is.
        chart: what it shows.
        source: the cells behind it.
        titles: our own titles of it, in every language; another one is people's and is kept.
    """
    basic = spec.get("basicChart")
    if not basic:
        return None  # people made another kind of it, which follows other rules
    fresh = deepcopy(spec)
    fresh["altText"] = chart.summary
    if spec.get("title", "") in titles:
        fresh["title"] = chart.title
    ours = [cells for cells in _ranges(fresh["basicChart"]) if source.holds(cells)]
    for cells in ours:
        cells["startRowIndex"], cells["endRowIndex"] = source.rows
    if not ours:  # the worksheet behind it was deleted and made anew
        made = new_spec(chart, source)["basicChart"]
        fresh["basicChart"] |= {name: made[name] for name in ("headerCount", "domains", "series")}
    return fresh if fresh != spec else None


def _data(cells: dict[str, int]) -> dict[str, Any]:
    return {"sourceRange": {"sources": [cells]}}


def _ranges(basic: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the ranges of a chart's axis and series, to be changed in place."""
    parts = [part.get("domain", {}) for part in basic.get("domains", [])]
    parts += [part.get("series", {}) for part in basic.get("series", [])]
    for part in parts:
        yield from part.get("sourceRange", {}).get("sources", [])
