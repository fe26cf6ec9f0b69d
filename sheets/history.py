"""The history: a row for each day under a header, among whatever people put around it.

Rows are found by their date, columns by their marks, else by their headers in either language; so both may be moved,
and columns of other people may stand anywhere. A header that people renamed keeps its name, a column that they deleted
stays deleted (all but the date, by which days are found).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sheets.cells import FIELDS, as_date, label, typed
from sheets.layout import Band
from sheets.spreadsheet import COLUMNS_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    from report.content import DayContent, Row
    from sheets.batch import Batch
    from sheets.cells import CellData
    from sheets.spreadsheet import Worksheet

Labels = dict[str, frozenset[str]]
"""The headers of each column, by its key, in every language."""

_WIDTHS: Final = {"date": 95, "state": 110, "prepared_at": 125}
_WIDTH: Final = 90
_HEADER: Final = "header"
_DATE: Final = "date"
_HEADER_FIELDS: Final = f"{FIELDS},userEnteredFormat.wrapStrategy"


@dataclass(slots=True)
class _Table:
    """What stands in the worksheet: all values, the row of the header, and the columns that are ours."""

    values: list[list[Any]]
    header: int = 0
    columns: dict[str, int] = field(default_factory=dict)

    def cell(self, row: int, column: int) -> Any:
        """Return a value; an empty text where there is none."""
        cells = self.values[row] if row < len(self.values) else []
        return cells[column] if column < len(cells) and cells[column] is not None else ""

    @property
    def width(self) -> int:
        """How many columns there are up to the last one that holds anything."""
        return max((index + 1 for row in self.values for index, cell in enumerate(row) if _is_filled(cell)), default=0)

    @property
    def height(self) -> int:
        """How many rows there are up to the last one that holds anything of ours."""
        ours = self.columns.values()
        filled = (row + 1 for row in range(len(self.values)) if any(_is_filled(self.cell(row, at)) for at in ours))
        return max(filled, default=0)

    @property
    def is_alone(self) -> bool:
        """Whether nobody else wrote into the rows of the table."""
        ours = set(self.columns.values())
        below = self.values[self.header :]
        return not any(_is_filled(cell) for row in below for index, cell in enumerate(row) if index not in ours)


def draw_history(
    batch: Batch, contents: Sequence[DayContent], values: list[list[Any]], labels: Labels
) -> tuple[Worksheet, int]:
    """Write each day into its row; a new day in the order of dates where nobody's cells would have to move.

    Args:
        batch: takes the changes.
        contents: the days in order.
        values: what stands in the worksheet now; nothing where there is none.
        labels: the headers by which columns are known.

    Returns:
        The worksheet, and the first column behind everything in it.
    """
    wanted = contents[-1].history
    widths = [_WIDTHS.get(row.key, _WIDTH) for row in wanted]
    sheet, is_new = batch.worksheet("history", (2, len(widths)), widths, frozen=1)
    table = _Table(values)
    header = _header(table, sheet, labels)
    table.columns = _columns(table, header, sheet, wanted, labels)
    if header is None and table.height:
        batch.insert_row(sheet, 0)
        table.values.insert(0, [])
    table.header = header or 0
    behind = 1 + max(table.columns.values())
    batch.grow(sheet, max(table.height, table.header + 2), behind)
    _mark(batch, sheet, table, wanted)
    _write_header(batch, sheet, table, wanted, labels)
    if is_new:
        batch.band(sheet, Band(0, 0, len(widths), None))
    _write_days(batch, sheet, table, contents)
    return sheet, max(table.width, behind)


def _is_filled(cell: object) -> bool:
    return cell is not None and cell != ""


def _header(table: _Table, sheet: Worksheet, labels: Labels) -> int | None:
    """Return the row that holds most of our headers, else the one marked as header; None where there is neither."""
    ours = frozenset[str]().union(*labels.values())
    scores = [len({cell for cell in row if isinstance(cell, str)} & ours) for row in table.values]
    if max(scores, default=0) > 1:
        return scores.index(max(scores))
    marked = sheet.marked_rows.get(_HEADER)
    if marked is None:
        return None
    held = table.cell(marked, sheet.marked_columns.get(_DATE, 0))
    return None if _is_filled(held) and as_date(held) else marked


def _columns(
    table: _Table, header: int | None, sheet: Worksheet, wanted: Sequence[Row], labels: Labels
) -> dict[str, int]:
    """Return where each column of ours is, or is to be: new ones stand behind everything else."""
    keys = [row.key for row in wanted]
    titles = {index: table.cell(header, index) for index in range(sheet.columns)} if header is not None else {}
    marked = {key: sheet.marked_columns[key] for key in keys if key in sheet.marked_columns}
    found = {key: column for key, column in marked.items() if titles.get(column) in labels[key]}
    for key in keys:
        places = [index for index, title in titles.items() if title in labels[key] and index not in found.values()]
        if key not in found and places:
            found[key] = places[0]
    for key, column in marked.items():
        if key not in found and column not in found.values():
            found[key] = column
    deleted = _made(sheet) - {_DATE}
    free = max(table.width, 1 + max(found.values())) if found else 0
    for key in keys:
        if key not in found and key not in deleted:
            found[key] = free
            free += 1
    return {key: found[key] for key in keys if key in found}


def _made(sheet: Worksheet) -> set[str]:
    """Return the keys of the columns that we ever made on the worksheet."""
    return {key for value, _ in sheet.notes.get(COLUMNS_KEY, []) for key in value.split()}


def _mark(batch: Batch, sheet: Worksheet, table: _Table, wanted: Sequence[Row]) -> None:
    """Mark header and columns that are not marked yet."""
    if _HEADER not in sheet.marked_rows:
        batch.mark(sheet, "ROWS", table.header, _HEADER)
    for key, column in table.columns.items():
        if key not in sheet.marked_columns:
            batch.mark(sheet, "COLUMNS", column, key)
    notes, made = sheet.notes.get(COLUMNS_KEY, []), _made(sheet)
    if not made >= set(table.columns):
        value = " ".join([*sorted(made - {row.key for row in wanted}), *(row.key for row in wanted)])
        if notes:
            batch.correct_note(sheet, notes[0][1], value)
        else:
            batch.note(sheet, COLUMNS_KEY, value)


def _write_header(batch: Batch, sheet: Worksheet, table: _Table, wanted: Sequence[Row], labels: Labels) -> None:
    """Write the headers that are missing or speak the other language; those of people stay."""
    cells = {}
    for row in wanted:
        column = table.columns.get(row.key)
        held = table.cell(table.header, column) if column is not None else row.label
        if column is not None and held != row.label and (not _is_filled(held) or held in labels[row.key]):
            cell = label(row.label, bold=True)
            cell["userEnteredFormat"]["wrapStrategy"] = "WRAP"
            cells[column] = cell
    for first, run in _runs(cells):
        batch.write(sheet, table.header, first, run, _HEADER_FIELDS)


def _write_days(batch: Batch, sheet: Worksheet, table: _Table, contents: Sequence[DayContent]) -> None:
    """Correct the rows of each day, or give it one."""
    column, is_alone = table.columns[_DATE], table.is_alone
    rows = range(max(table.height, table.header + 1))
    dates = [as_date(table.cell(row, column)) if row > table.header else None for row in rows]
    for content in contents:
        places = [index for index, day in enumerate(dates) if day == content.date]
        places = places or [_new_row(batch, sheet, dates, content.date, is_alone=is_alone)]
        cells = {
            table.columns[row.key]: typed(row.cell, blank=True) for row in content.history if row.key in table.columns
        }
        for place in places:
            for first, run in _runs(cells):
                batch.write(sheet, place, first, run)


def _new_row(batch: Batch, sheet: Worksheet, dates: list[date | None], day: date, *, is_alone: bool) -> int:
    """Return the row for a day that has none yet: before later ones where nothing of other people has to move."""
    known = [known for known in dates if known]
    later = next((index for index, known in enumerate(dates) if known and known > day), None)
    if later is not None and is_alone and known == sorted(known):
        batch.insert_row(sheet, later)
        dates.insert(later, day)
        return later
    dates.append(day)
    batch.grow(sheet, len(dates))
    return len(dates) - 1


def _runs(cells: Mapping[int, CellData]) -> Iterator[tuple[int, list[CellData]]]:
    """Gather cells by column into runs that stand side by side."""
    columns = sorted(cells)
    while columns:
        first = columns[0]
        run = [column for index, column in enumerate(columns) if column == first + index]
        yield first, [cells[column] for column in run]
        columns = columns[len(run) :]
