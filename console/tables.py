"""Tables for people: columns that line up whatever their letters, and fit the width of the terminal.

terminal.show(table(title, [Column(text("Date"), is_short=True), Column(text("Events"), is_number=True)], rows))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.table import Table


_LEAST: Final = 8
"""So much room is left to a column whose texts may take several lines."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: numbers stand at the right; neither they nor what is short are ever broken into two lines."""

    label: str
    is_number: bool = False
    is_short: bool = False


def table(title: str, columns: Sequence[Column], rows: Iterable[Sequence[str]], *, total: Sequence[str] = ()) -> Table:
    """Return a table for `Terminal.show`.

    Args:
        title: what stands above it.
        columns: its columns.
        rows: the texts of each row; missing ones at its end are blank.
        total: a last row, set apart.
    """
    made = blank_table(title)
    rows = list(rows)
    for place, column in enumerate(columns):
        texts = [row[place] for row in (*rows, total) if place < len(row)]
        made.add_column(
            column.label,
            justify="right" if column.is_number else "left",
            no_wrap=column.is_short,
            min_width=_least_width(column, texts),
            overflow="fold",  # where there is no room at all, rather odd than cut
        )
    for row in rows:
        made.add_row(*map(_plain, row))
    if total:
        made.add_section()
        made.add_row(*map(_plain, total))
    return made


def blank_table(title: str) -> Table:
    """Return a table without columns, in the look of all our tables."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    return Table(
        title=Text(title, style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )


def _least_width(column: Column, texts: Iterable[str]) -> int:
    """Return the width below which a column is not to go: of numbers, the heading alone may take several lines."""
    from rich.cells import cell_len

    if not column.is_number and not column.is_short:
        return _LEAST
    longest_word = max(map(cell_len, column.label.split()), default=1)
    return max((min(longest_word, _LEAST), *map(cell_len, texts)))


def _plain(text: str) -> str:
    """Return a text in which rich sees no markup of its own."""
    from rich.markup import escape

    return escape(text)
