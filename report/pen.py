"""Writes the marks of a picture as SVG, in colours that a page may change or in plain ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Mapping

LETTERS: Final = 11.0
"""How large a text is unless told otherwise."""

INK, QUIET, GROUND = "#1f2933", "#7f8894", "#ffffff"

_COLOURS: Final = {
    "#cfdcf0": ("--chart-runs", "#35465f"),
    "#6b86ad": ("--chart-runs-edge", "#93aed3"),
    "#3d7bd9": ("--chart-submits", "#5b96f0"),
    "#0b5c3b": ("--chart-success", "#7fe3b3"),
    "#6b3fa0": ("--chart-students", "#c9a2f4"),
    GROUND: ("--chart-ground", "#1b222b"),
}
"""Each colour on light ground, the variable that holds it in a page, and its value on dark ground."""

_NARROW_LETTERS: Final = frozenset(".,:;'|!ijl")
_WIDE_LETTERS: Final = frozenset("mwMWжмфшщыюЖМФШЩЫЮ%@")


@dataclass(frozen=True, slots=True)
class Pen:
    """Puts marks into an element; plain colours are all that a program other than a browser knows."""

    onto: ET.Element
    plain: bool

    def mark(self, tag: str, style: Mapping[str, str | float] | None = None, **where: str | float) -> ET.Element:
        """Put a mark somewhere; what its style leaves open is as its group has it."""
        attributes = {name: number(value) for name, value in where.items()}
        if style:
            attributes["style"] = ";".join(f"{name}:{self._colour(number(value))}" for name, value in style.items())
        return ET.SubElement(self.onto, tag, attributes)

    def group(self, style: Mapping[str, str | float], key: str = "") -> Pen:
        """Return a pen for marks that look alike; those of a series have its key as their class."""
        return Pen(self.mark("g", style, **({"class": key} if key else {})), self.plain)

    def write(self, text: str, x: float, y: float, anchor: str, size: float = LETTERS) -> None:
        """Write a text whose capitals have their middle at this height."""
        larger = {} if size == LETTERS else {"font-size": f"{number(size)}px"}
        self.mark("text", {**larger, "text-anchor": anchor, "fill": INK}, x=x, y=y + 0.36 * size).text = text

    def _colour(self, value: str) -> str:
        if self.plain:
            return value
        if value in _COLOURS:
            return f"var({_COLOURS[value][0]},{value})"
        return "currentColor" if value in {INK, QUIET} else value


def number(value: str | float) -> str:
    """Write a number no longer than eyes need it; a text is one already."""
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def path(*parts: str | float) -> str:
    """Write the commands of a path and their numbers."""
    return " ".join(map(number, parts))


def text_width(text: str) -> float:
    """Return about how wide a text is: readers of a page have fonts of their own, and few are wider than this."""
    return LETTERS * sum(map(_letter_width, text))


def _letter_width(letter: str) -> float:
    if letter.isspace() or letter in _NARROW_LETTERS:
        return 0.35
    if letter in _WIDE_LETTERS:
        return 0.85
    return 0.72 if letter.isupper() else 0.62


def _variables(*, dark: bool) -> str:
    return "".join(f"{name}:{other if dark else light};" for light, (name, other) in _COLOURS.items())


STYLE: Final = (
    ".chart{display:block;width:100%;height:auto;print-color-adjust:exact;-webkit-print-color-adjust:exact}"
    f":where(.chart){{{_variables(dark=False)}}}"
    f"@media screen and (prefers-color-scheme:dark){{:where(.chart){{{_variables(dark=True)}}}}}"
)
"""What gives the colours of a page's charts their values, as the rules of a style sheet."""
