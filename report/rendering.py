"""What the templates share: one Jinja environment that escapes HTML, and the layout of plain text in columns."""

from __future__ import annotations

import re
import textwrap
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from report.content import CellKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jinja2 import Environment
    from markupsafe import Markup

    from report.content import Cell, Row

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
TEXT_WIDTH = 72
"""Columns of a plain-text letter: what every mail client shows without breaking lines itself."""

_NUMBERS = frozenset({CellKind.COUNT, CellKind.SHARE, CellKind.AVERAGE})
_GAP = "  "
_HEADER_WIDTH = 14


def render(template: str, **content: object) -> str:
    """Draw a template; a name that the content lacks is an error, never an empty place.

    Halves of characters, which a file name in an error's text can hold, become question marks: no file and no letter
    could hold them.
    """
    text = _environment().get_template(template).render(**content)
    return text.encode("utf-8", "replace").decode("utf-8")


def prepare() -> None:
    """Translate what the page is made of into code, so that it is done when one is drawn."""
    environment = _environment()
    for name in environment.list_templates(extensions=["j2"]):
        if not name.startswith("letter"):  # there may be none to send
            environment.get_template(name)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(enabled_extensions=("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(wrapped=_wrapped, boxed=_boxed, ruled=_ruled, aligned=_aligned, tabulated=_tabulated)
    environment.filters["breakable"] = _breakable
    environment.tests["number"] = _is_number
    return environment


def _is_number(cell: Cell) -> bool:
    return cell.kind in _NUMBERS


def _breakable(text: str) -> Markup:
    """Let a long key such as `course-v1:ORG+COURSE+RUN` go on in a new line after each of its parts."""
    from markupsafe import Markup, escape

    breakable = re.sub("([:+/])", r"\1<wbr>", str(escape(text)))  # no entity holds these characters
    return Markup(breakable)  # noqa: S704  # nosec B704


def _wrapped(text: str, indent: str = "", first: str | None = None) -> str:
    """Break a text into lines; long words such as addresses and commands stay whole."""
    return textwrap.fill(
        text,
        TEXT_WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _boxed(text: str) -> str:
    """Draw a frame around a text, so that nobody reads past it."""
    lines = textwrap.wrap(text, TEXT_WIDTH - 4)
    edge = f"+{'-' * (TEXT_WIDTH - 2)}+"
    return "\n".join([edge, *(f"| {line.ljust(TEXT_WIDTH - 4)} |" for line in lines), edge])


def _ruled(text: str, character: str = "-") -> str:
    """Underline a heading."""
    lines = textwrap.wrap(text, TEXT_WIDTH) or [""]
    return "\n".join([*lines, character * max(map(len, lines))])


def _aligned(rows: Sequence[Row]) -> str:
    """Set labels and values in two columns; numbers stand under one another at the right.

    What a value is compared with stands below its label.
    """
    labels = max((len(row.label) for row in rows), default=0)
    values = max((len(row.cell.text) for row in rows if _is_number(row.cell)), default=0)
    lines = []
    for row in rows:
        value = _justified(row.cell, values if _is_number(row.cell) else 0)
        lines.append(_GAP + row.label.ljust(labels) + _GAP + value)
        if row.compared:
            lines.append(f"{_GAP * 3}{row.compared.arrow} {row.compared.word} ({row.compared.median.text})")
    return "\n".join(lines)


def _tabulated(table: Iterable[Sequence[Row]]) -> str:
    """Set rows of equally labelled cells as a table, the labels broken to narrow columns above it."""
    rows = list(table)
    labels = [textwrap.wrap(row.label, _HEADER_WIDTH) or [""] for row in rows[0]]
    widths = [
        max(*map(len, label), *(len(row[column].cell.text) for row in rows)) for column, label in enumerate(labels)
    ]
    height = max(map(len, labels))
    lines = []
    for level in range(height):
        parts = [(label[level - height + len(label)] if level >= height - len(label) else "") for label in labels]
        lines.append([_set(text, first.cell, width) for text, first, width in zip(parts, rows[0], widths, strict=True)])
    lines.append(["-" * width for width in widths])
    lines.extend([_justified(row.cell, width) for row, width in zip(cells, widths, strict=True)] for cells in rows)
    return "\n".join((_GAP + _GAP.join(line)).rstrip() for line in lines)


def _justified(cell: Cell, width: int) -> str:
    return _set(cell.text, cell, width)


def _set(text: str, cell: Cell, width: int) -> str:
    return text.rjust(width) if _is_number(cell) else text.ljust(width)
