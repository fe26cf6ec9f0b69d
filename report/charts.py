"""The charts of a day as pictures: SVG for the page, PNG for the letter.

Both are made of the same marks; resvg makes the points of a PNG of them. Nothing is worded here.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from report.pen import GROUND, INK, LETTERS, QUIET, STYLE, Pen, number, path, text_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from report.parts import Chart, Series, Tick

WIDTH: Final = 720
"""Of an SVG, in its own units, of which its letters have eleven; on a phone a page shows a narrow one instead."""

_HEIGHTS: Final = {"hours": 280, "trend": 260, "success": 210}
_HEIGHT: Final = 260
_SHADES: Final = 96  # of a PNG: its colours, and those of their soft edges
_EDGE: Final = 8.0  # free space around the picture
_GAP: Final = 6.0  # between an axis and its names
_NARROW: Final = 480  # below this, every other name on the axis of steps is left out
_FEWEST_STEPS: Final = 8  # the one hour of a test is not one bar as wide as the picture
_HEADROOM: Final = 1.03  # of the scale, above its highest tick

# The legend: its lines, the signs of its entries, the space behind these, and that between entries.
_LINE, _SIGN, _BEHIND_SIGN, _BETWEEN = 16.5, 26.4, 8.8, 19.8

_LAST, _PARTIAL, _SMALL = 3.5, 2.75, 1.8
"""Half the size of a marker: of the last step, of a partial one, of any other."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a series is drawn: told apart by width, dashes and markers, not by colour alone."""

    colour: str
    edge: str
    bar: float = 0.4
    dashes: str = "-"
    marker: str = "o"


BARS: Final = {
    "runs": Look("#cfdcf0", "#6b86ad", bar=0.86),
    "submits": Look("#3d7bd9", "#3d7bd9", bar=0.56),
    "successful_submits": Look("#0b5c3b", "#0b5c3b", bar=0.24),
}
LINES: Final = {
    "unique_users": Look("#6b3fa0", "#6b3fa0"),
    "runs": Look("#6b86ad", "#6b86ad", dashes="--", marker="s"),
    "submits": Look("#3d7bd9", "#3d7bd9", dashes=":", marker="^"),
    "success_share": Look("#0b5c3b", "#0b5c3b"),
}
_OTHER: Final = Look(INK, INK)

_DASHES: Final = {
    "-": {"stroke-linecap": "square"},
    "--": {"stroke-dasharray": "6.4,2.8"},
    ":": {"stroke-dasharray": "2,2.6"},
}


def svg(chart: Chart, *, width: int = WIDTH) -> str:
    """Draw a chart as an SVG element that can stand in a page as it is.

    It takes the colour of its text from the page's, the others from the variables `--chart-…`, which have values for
    light, dark and paper that a rule for `.chart` may replace. It names itself to those who do not see it, refers to
    nothing outside and is the same for the same chart. A page may hold each chart once in each width.
    """
    name = f"chart-{chart.key}-{width}"
    root = _ground(chart, width)
    root.attrib |= {
        "class": f"chart chart-{chart.key}",
        "role": "img",
        "aria-labelledby": f"{name}-title {name}-summary",
    }
    ET.SubElement(root, "title", {"id": f"{name}-title"}).text = chart.title
    ET.SubElement(root, "desc", {"id": f"{name}-summary"}).text = chart.summary
    ET.SubElement(root, "style").text = STYLE
    _draw(chart, width, Pen(root, plain=False))
    return ET.tostring(root, encoding="unicode")


def png(chart: Chart, *, width: int = 640, scale: int = 2) -> bytes:
    """Draw a chart as a PNG on white, for a letter: so many times finer than the `width` that it is shown in.

    Its letters are the same on every machine, whatever fonts that has.

    Raises:
        OSError: the font that was installed with the program cannot be read.
    """
    import resvg_py
    from font_roboto import Roboto  # type: ignore[import-untyped]
    from PIL import Image

    with Path(Roboto).open("rb"):
        pass  # without its font resvg would leave out all words, and not say so
    root = _ground(chart, width)
    _draw(chart, width, Pen(root, plain=True))
    drawn = resvg_py.svg_to_bytes(
        svg_string=ET.tostring(root, encoding="unicode"),
        width=width * scale,
        background=GROUND,
        skip_system_fonts=True,
        font_files=[Roboto],
        font_family="Roboto",
    )
    packed = io.BytesIO()
    with Image.open(io.BytesIO(drawn)) as picture:  # a few colours make it a third as large
        picture.convert("RGB").quantize(_SHADES, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
    return packed.getvalue()


def _ground(chart: Chart, width: int) -> ET.Element:
    return ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {width} {_height(chart)}",
            "font-size": number(LETTERS),
        },
    )


def _height(chart: Chart) -> int:
    return _HEIGHTS.get(chart.key, _HEIGHT)


def _has_bars(chart: Chart) -> bool:
    return chart.key == "hours"


@dataclass(frozen=True, slots=True)
class _Plot:
    """Where in a picture steps and values lie."""

    left: float
    right: float
    top: float
    bottom: float
    steps: int
    most: float

    @property
    def step(self) -> float:
        """How wide a step is."""
        return (self.right - self.left) / max(self.steps, _FEWEST_STEPS)

    def x(self, step: int) -> float:
        """Return the middle of a step; where there are few, they stand in the middle of the picture."""
        return (self.left + self.right) / 2 + (step - (self.steps - 1) / 2) * self.step

    def y(self, value: float) -> float:
        """Return the height of a value."""
        return self.bottom - value / self.most * (self.bottom - self.top)


def _draw(chart: Chart, width: int, pen: Pen) -> None:
    named = _named(chart, every=2 if width < _NARROW else 1)
    legend = _legend(chart, width)
    plot = _plot(chart, width, named, legend)
    _draw_axes(chart, plot, named, pen)
    if chart.empty:
        pen.write(chart.summary, (plot.left + plot.right) / 2, (plot.top + plot.bottom) / 2, "middle", LETTERS + 2)
        return
    for series in chart.series:
        look = _look(chart, series)
        marks = _group(look, pen, series.key)
        if _has_bars(chart):
            _draw_bars(series, look, plot, marks)
        else:
            _draw_line(series, look, plot, marks, chart.partial)
    for place, (label, x, y) in enumerate(legend):
        _draw_sign(chart, place, x, y, pen)
        pen.write(label, x + _SIGN + _BEHIND_SIGN, y, "start")


def _ticks(chart: Chart) -> tuple[Tick, ...]:
    return () if chart.empty else chart.ticks


def _plot(chart: Chart, width: int, named: Sequence[int], legend: Sequence[tuple[str, float, float]]) -> _Plot:
    """Give the data all the room that the names around them leave, a third of the width at least."""
    ticks = _ticks(chart)
    before = _EDGE + max((text_width(tick.text) for tick in ticks), default=0) + _GAP
    behind = max([_EDGE, *(text_width(chart.x[step]) / 2 for step in named)])
    return _Plot(
        left=min(before, width / 3),
        right=width - min(behind, width / 3),
        top=_EDGE + max((y + 7 for _, _, y in legend), default=_EDGE),
        bottom=_height(chart) - _EDGE - _GAP - (LETTERS if named else 0),
        steps=max(len(chart.x), 1),
        most=_HEADROOM * (ticks[-1].value if ticks else 1),
    )


def _draw_axes(chart: Chart, plot: _Plot, named: Sequence[int], pen: Pen) -> None:
    """Draw nothing but quiet lines behind the data, and names beside them."""
    quiet: dict[str, str | float] = {"fill": "none", "stroke": QUIET, "stroke-width": 0.8}
    for tick in _ticks(chart):
        y = plot.y(tick.value)
        pen.write(tick.text, plot.left - _GAP, y, "end")
        if tick.value:
            pen.mark("path", {**quiet, "stroke-opacity": 0.3}, d=path("M", plot.left, y, "H", plot.right))
    pen.mark("path", {**quiet, "stroke-opacity": 0.7}, d=path("M", plot.left, plot.bottom, "H", plot.right))
    for step in named:
        pen.write(chart.x[step], plot.x(step), plot.bottom + _GAP + 0.4 * LETTERS, "middle")


def _named(chart: Chart, *, every: int) -> Sequence[int]:
    """Return the steps that the axis names; where there is little room, every other one, counted from the last."""
    return (chart.named or tuple(range(len(chart.x))))[::-every]


def _legend(chart: Chart, width: int) -> list[tuple[str, float, float]]:
    """Return the names of the series with their places above the picture, in as few lines as they need."""
    if chart.empty:
        return []
    labels = [series.label for series in chart.series]
    if chart.partial and not _has_bars(chart):
        labels.append(chart.partial_label)
    for lines in range(1, len(labels) + 1):
        columns = [labels[first : first + lines] for first in range(0, len(labels), lines)]
        widths = [_SIGN + _BEHIND_SIGN + max(map(text_width, column)) for column in columns]
        if sum(widths) + _BETWEEN * (len(widths) - 1) <= width - 2 * _EDGE:
            break
    return [
        (label, _EDGE + sum(widths[:place]) + _BETWEEN * place, _EDGE + 4.5 + _LINE * line)
        for place, column in enumerate(columns)
        for line, label in enumerate(column)
    ]


def _draw_sign(chart: Chart, place: int, x: float, y: float, pen: Pen) -> None:
    """Draw what stands before a name of the legend, from this place to the right."""
    if place == len(chart.series):
        pen.mark("circle", {"fill": GROUND, "stroke": QUIET}, cx=x + _SIGN / 2, cy=y, r=3)
        return
    look = _look(chart, chart.series[place])
    sign = _group(look, pen)
    if _has_bars(chart):
        sign.mark("rect", x=x, y=y - 4, width=_SIGN, height=8)
    else:
        sign.mark("path", _line_style(look), d=path("M", x, y, "H", x + _SIGN))
        _mark_step(look, sign, x + _SIGN / 2, y, _SMALL)


def _look(chart: Chart, series: Series) -> Look:
    return (BARS if _has_bars(chart) else LINES).get(series.key, _OTHER)


def _group(look: Look, pen: Pen, key: str = "") -> Pen:
    return pen.group({"fill": look.colour, "stroke": look.edge, "stroke-width": 0.8}, key)


def _line_style(look: Look) -> dict[str, str | float]:
    return {"fill": "none", "stroke-width": 2, "stroke-linejoin": "round", **_DASHES[look.dashes]}


def _draw_bars(series: Series, look: Look, plot: _Plot, pen: Pen) -> None:
    """Draw the bars of a series, before those of the one before it, which are wider."""
    width = look.bar * plot.step
    for step, value in enumerate(series.values):
        if value:
            top = plot.y(value)
            pen.mark("rect", x=plot.x(step) - width / 2, y=top, width=width, height=plot.bottom - top)


def _draw_line(series: Series, look: Look, plot: _Plot, pen: Pen, partial: Sequence[int]) -> None:
    """Draw a line that breaks where nothing is known; the last step, which the report is of, stands out."""
    pen.mark("path", _line_style(look), d=_line(series.values, plot))
    last = len(series.values) - 1
    for step, value in enumerate(series.values):
        if value is not None and (step == last or step in partial or _stands_alone(series.values, step)):
            half = _LAST if step == last else _PARTIAL if step in partial else _SMALL
            _mark_step(look, pen, plot.x(step), plot.y(value), half, hollow=step in partial)


def _line(values: Sequence[float | None], plot: _Plot) -> str:
    parts: list[str | float] = []
    before = None
    for step, value in enumerate(values):
        if value is not None:
            parts += ["M" if before is None else "L", plot.x(step), plot.y(value)]
        before = value
    return path(*parts)


def _stands_alone(values: tuple[float | None, ...], step: int) -> bool:
    """Tell whether no line leads to a value, so that only a marker shows it."""
    return all(value is None for value in values[max(step - 1, 0) : step] + values[step + 1 : step + 2])


def _mark_step(look: Look, pen: Pen, x: float, y: float, half: float, *, hollow: bool = False) -> None:
    """Put a marker at a place, so far to each side of it."""
    style: dict[str, str | float] = {"stroke-width": 1.4, **({"fill": GROUND} if hollow else {})}
    if look.marker == "o":
        pen.mark("circle", style, cx=x, cy=y, r=half)
    elif look.marker == "s":
        pen.mark("rect", style, x=x - half, y=y - half, width=2 * half, height=2 * half)
    else:
        pen.mark("path", style, d=path("M", x, y - half, "L", x - half, y + half, "H", x + half, "Z"))
