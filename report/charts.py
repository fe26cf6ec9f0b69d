"""The charts of a day as pictures: SVG for the page, PNG for the letter.

matplotlib draws them and is imported when the first picture is asked for: it takes about a second. It is used without
`pyplot`, so that no window, no back end and no other figure of the process has a part in it. Nothing is worded here.
"""

from __future__ import annotations

import io
import logging
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

from exceptions import ReportError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D

    from report.parts import Chart, Series

WIDTH: Final = 720
"""Of an SVG, in its own units, of which its letters have eleven; on a phone a page shows a narrow one instead."""

_HEIGHTS: Final = {"hours": 280, "trend": 260, "success": 210}
_HEIGHT: Final = 260
_LETTERS: Final = 11.0
_DPI: Final = 72  # makes matplotlib's points our units
_SHADES: Final = 96  # of a PNG: its colours, and those of their soft edges
_EDGE: Final = 8.0  # free space around the picture
_NARROW: Final = 480  # below this, every other name on the axis of steps is left out
_FEWEST_STEPS: Final = 8  # the one hour of a test is not one bar as wide as the picture

_INK, _QUIET, _GROUND = "#1f2933", "#7f8894", "#ffffff"


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
_OTHER: Final = Look(_INK, _INK)

_COLOURS: Final = {
    "#cfdcf0": ("--chart-runs", "#35465f"),
    "#6b86ad": ("--chart-runs-edge", "#93aed3"),
    "#3d7bd9": ("--chart-submits", "#5b96f0"),
    "#0b5c3b": ("--chart-success", "#7fe3b3"),
    "#6b3fa0": ("--chart-students", "#c9a2f4"),
    _GROUND: ("--chart-ground", "#1b222b"),
}
"""Each colour on light ground, the variable that holds it in an SVG, and its value on dark ground."""

_SETTINGS: Final[dict[Any, object]] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "chart",  # the same identifiers every time
    "font.family": "DejaVu Sans",  # comes with matplotlib and has Cyrillic letters
    "font.size": _LETTERS,
    "text.color": _INK,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "lines.linewidth": 2.0,
    "lines.markersize": 4.0,
    "lines.dashed_pattern": (3.2, 1.4),
    "lines.dotted_pattern": (1.0, 1.3),
}
_MARK: Final = "series."
_NAMESPACE: Final = "http://www.w3.org/2000/svg"
_LINK: Final = "{http://www.w3.org/1999/xlink}href"
_DECIMALS: Final = re.compile(r"-?\d+\.\d+")


def svg(chart: Chart, *, width: int = WIDTH) -> str:
    """Draw a chart as an SVG element that can stand in a page as it is.

    It takes the colour of its text from the page's, the others from the variables `--chart-…`, which have values for
    light, dark and paper that a rule for `.chart` may replace. It names itself to those who do not see it, refers to
    nothing outside and is the same for the same chart. A page may hold each chart once in each width.

    Raises:
        ReportError: matplotlib found no folder to work in.
    """
    with _drawing():
        figure = _figure(chart, width)
        figure.patch.set_visible(False)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    picture = ET.fromstring(drawn.getvalue())  # noqa: S314  # nosec B314  # our own
    return _element(chart, picture, f"chart-{chart.key}-{width}")


def png(chart: Chart, *, width: int = 640, scale: int = 2) -> bytes:
    """Draw a chart as a PNG on white, for a letter: so many times finer than the `width` that it is shown in.

    Raises:
        ReportError: matplotlib found no folder to work in.
    """
    with _drawing():
        from PIL import Image

        figure = _figure(chart, width)
        drawn, packed = io.BytesIO(), io.BytesIO()
        figure.savefig(drawn, format="png", dpi=_DPI * scale)
        with Image.open(drawn) as picture:  # a few colours make it a third as large
            picture.convert("RGB").quantize(_SHADES, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
    return packed.getvalue()


def import_libraries() -> None:
    """Import all that drawing takes.

    Raises:
        OSError: there is no folder that can be written to.
    """
    # numpy would start threads that spin while they wait for products of matrices; no chart has any.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with _silence():
        import matplotlib.backends.backend_agg
        import matplotlib.backends.backend_svg
        import matplotlib.figure  # noqa: F401  (here the fonts are looked for)


@contextmanager
def _drawing() -> Iterator[None]:
    """Import matplotlib, and give it our settings for the while, whatever the operator's own are.

    Where the home of the user cannot be written to, matplotlib makes itself a private folder for the time of the
    process.
    """
    with _silence():
        try:
            import_libraries()
        except OSError:
            raise ReportError(
                "The charts could not be drawn: there is no folder that can be written to.",
                remedy="Set MPLCONFIGDIR to a folder that can be written to.",
            ) from None
        import matplotlib as mpl

        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(_SETTINGS)
            yield


@contextmanager
def _silence() -> Iterator[None]:
    """Keep to errors what the libraries log: words about homes, fonts and bytes would alarm people for nothing."""
    libraries = [logging.getLogger(name) for name in ("matplotlib", "PIL")]
    levels = [library.level for library in libraries]
    for library in libraries:
        library.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for library, level in zip(libraries, levels, strict=True):
            library.setLevel(level)


def _figure(chart: Chart, width: int) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = _HEIGHTS.get(chart.key, _HEIGHT)
    figure = Figure((width / _DPI, height / _DPI), dpi=_DPI, facecolor=_GROUND)
    FigureCanvasAgg(figure)  # measures the text
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    _prepare(axes, chart)
    _name_steps(axes, chart, every=2 if width < _NARROW else 1)
    above = 0.0
    if chart.empty:
        axes.annotate(chart.summary, (0.5, 0.5), xycoords="axes fraction", ha="center", va="center", size=_LETTERS + 2)
    else:
        handles = _draw_bars(axes, chart) if chart.key == "hours" else _draw_lines(axes, chart)
        above = _legend(figure, handles).get_window_extent().height
    _place(axes, above)
    return figure


def _prepare(axes: Axes, chart: Chart) -> None:
    """Set the bounds, with nothing but quiet lines behind the data."""
    ticks = () if chart.empty else chart.ticks
    steps = max(len(chart.x), 1)
    spare = max(_FEWEST_STEPS - steps, 0) / 2
    axes.set_xlim(-0.5 - spare, steps - 0.5 + spare)
    axes.set_ylim(0.0, (ticks[-1].value if ticks else 1.0) * 1.03)
    axes.set_yticks([tick.value for tick in ticks], [tick.text for tick in ticks])
    axes.tick_params(length=0, pad=6)
    axes.patch.set_visible(False)
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.spines["bottom"].set(color=_QUIET, alpha=0.7)
    axes.hlines(
        [tick.value for tick in ticks if tick.value],
        *axes.get_xlim(),
        colors=_QUIET,
        linewidth=0.8,
        alpha=0.3,
        zorder=0,
    )


def _name_steps(axes: Axes, chart: Chart, *, every: int) -> None:
    """Name steps below the axis; where there is little room, every other one, counted from the last."""
    named = (chart.named or tuple(range(len(chart.x))))[::-every]
    axes.set_xticks(named, [chart.x[step] for step in named])


def _draw_bars(axes: Axes, chart: Chart) -> list[BarContainer]:
    """Set the bars of a step before one another, each narrower than the one behind."""
    drawn = []
    for depth, series in enumerate(chart.series):
        look = BARS.get(series.key, _OTHER)
        bars = [(step, value) for step, value in enumerate(series.values) if value]
        drawn.append(
            axes.bar(
                [step for step, _ in bars],
                [value for _, value in bars],
                look.bar,
                facecolor=look.colour,
                edgecolor=look.edge,
                linewidth=0.8,
                zorder=2 + depth,
                label=series.label,
            )
        )
        for bar in drawn[-1]:
            bar.set_gid(_MARK + series.key)
    return drawn


def _draw_lines(axes: Axes, chart: Chart) -> list[Line2D]:
    """Draw lines that break where nothing is known; the last step, which the report is of, stands out."""
    from matplotlib.lines import Line2D

    lines = [_draw_line(axes, series, chart.partial) for series in chart.series]
    if chart.partial:
        hollow: dict[str, Any] = {
            "marker": "o",
            "markersize": 6.0,
            "markerfacecolor": _GROUND,
            "markeredgecolor": _QUIET,
        }
        lines.append(Line2D([], [], linestyle="none", label=chart.partial_label, **hollow))
    return lines


def _draw_line(axes: Axes, series: Series, partial: tuple[int, ...]) -> Line2D:
    look = LINES.get(series.key, _OTHER)
    values = [float("nan") if value is None else value for value in series.values]
    last = len(values) - 1
    common: dict[str, Any] = {
        "color": look.colour,
        "marker": look.marker,
        "gid": _MARK + series.key,
        "clip_on": False,
        "zorder": 3,
    }
    alone = [step for step in range(last) if _stands_alone(series.values, step)]
    (line,) = axes.plot(
        range(len(values)), values, linestyle=look.dashes, label=series.label, markevery=alone, **common
    )
    for step in sorted({*partial, last}):
        axes.plot(
            [step],
            [values[step]],
            linestyle="none",
            markersize=7.0 if step == last else 5.5,
            markerfacecolor=_GROUND if step in partial else look.colour,
            markeredgewidth=1.4,
            **common,
        )
    return line


def _stands_alone(values: tuple[float | None, ...], step: int) -> bool:
    """Tell whether no line leads to a value, so that only a marker shows it."""
    beside = values[max(step - 1, 0) : step] + values[step + 1 : step + 2]
    return values[step] is not None and all(value is None for value in beside)


def _legend(figure: Figure, handles: list[BarContainer] | list[Line2D]) -> Legend:
    """Name the series above the picture, in as few lines as they need."""
    width = figure.bbox.width
    for columns in range(len(handles), 0, -1):
        legend = figure.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(_EDGE / width, 1 - _EDGE / figure.bbox.height),
            ncols=columns,
            frameon=False,
            borderpad=0.0,
            borderaxespad=0.0,
            handlelength=2.4,
            columnspacing=1.8,
        )
        if legend.get_window_extent().width <= width - 2 * _EDGE or columns == 1:
            break
        legend.remove()
    return legend


def _place(axes: Axes, above: float) -> None:
    """Give the picture all the room that its names leave."""
    box = axes.figure.bbox
    beside = [label.get_window_extent().width for label in axes.get_yticklabels()]
    below = [label.get_window_extent() for label in axes.get_xticklabels()]
    left = max(beside, default=0.0) + 6 + _EDGE
    right = max(_EDGE, max((label.width / 2 for label in below), default=0.0))
    bottom = max((label.height for label in below), default=0.0) + 6 + _EDGE
    top = above + 2 * _EDGE
    axes.set_position(
        (left / box.width, bottom / box.height, 1 - (left + right) / box.width, 1 - (bottom + top) / box.height)
    )


def _element(chart: Chart, picture: ET.Element, name: str) -> str:
    """Make a lean element for a page of matplotlib's drawing: no identifiers or styles that others could meet."""
    root = ET.Element(
        "svg",
        {
            "xmlns": _NAMESPACE,
            "class": f"chart chart-{chart.key}",
            "viewBox": picture.attrib["viewBox"],
            "role": "img",
            "aria-labelledby": f"{name}-title {name}-summary",
            "font-size": f"{_LETTERS:g}",
            "stroke-linejoin": "round",
        },
    )
    ET.SubElement(root, "title", {"id": f"{name}-title"}).text = chart.title
    ET.SubElement(root, "desc", {"id": f"{name}-summary"}).text = chart.summary
    ET.SubElement(root, "style").text = _STYLE
    for group in picture:
        root.extend(_flattened(group, name, ""))
    return ET.tostring(root, encoding="unicode")


def _flattened(element: ET.Element, name: str, series: str) -> Iterator[ET.Element]:
    """Yield what is drawn in an element; what belongs to a series has its key as a class."""
    tag = element.tag.rpartition("}")[2]
    if tag == "g":
        identifier = element.get("id", "")
        series = identifier.removeprefix(_MARK) if identifier.startswith(_MARK) else series
        for child in element:
            yield from _flattened(child, name, series)
    elif tag == "defs":
        if shapes := [child for child in element if child.tag.endswith("}path")]:
            kept = ET.Element("defs")
            kept.extend(_mark(shape, "path", id=f"{name}-{shape.get('id')}") for shape in shapes)
            yield kept
    elif tag == "use":
        yield _mark(element, tag, href=f"#{name}-{element.get(_LINK, '').removeprefix('#')}", **{"class": series})
    elif tag in {"path", "text"}:
        yield _mark(element, tag, **{"class": series})


def _mark(element: ET.Element, tag: str, **attributes: str) -> ET.Element:
    """Copy one mark: where it is, and how it looks in our colours; a shape to be used looks as each use says."""
    for key in ("d", "x", "y"):
        attributes[key] = _DECIMALS.sub(_rounded, " ".join(element.get(key, "").split()))
    attributes["style"] = "" if "id" in attributes else _style(element.get("style", ""))
    mark = ET.Element(tag, {key: value for key, value in attributes.items() if value})
    mark.text = element.text if tag == "text" else None
    return mark


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def _style(style: str) -> str:
    """Translate a style: colours become variables, the letters those of the page."""
    declarations = dict(declaration.split(": ", 1) for declaration in style.split("; ") if declaration)
    declarations.pop("font-family", None)
    if declarations.get("font-size") == f"{_LETTERS:g}px":
        del declarations["font-size"]
    return ";".join(f"{key}:{_colour(value)}" for key, value in declarations.items())


def _colour(value: str) -> str:
    if value in _COLOURS:
        return f"var({_COLOURS[value][0]},{value})"
    return "currentColor" if value in {_INK, _QUIET} else value


def _variables(*, dark: bool) -> str:
    return "".join(f"{name}:{other if dark else light};" for light, (name, other) in _COLOURS.items())


_STYLE: Final = (
    ".chart{display:block;width:100%;height:auto;print-color-adjust:exact;-webkit-print-color-adjust:exact}"
    f":where(.chart){{{_variables(dark=False)}}}"
    f"@media screen and (prefers-color-scheme:dark){{:where(.chart){{{_variables(dark=True)}}}}}"
)
