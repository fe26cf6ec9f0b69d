"""Draws what was measured, for `docs/performance.md`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmarks.growth import Point
    from benchmarks.load import Row

_INK, _OURS, _OTHERS = "#1f2933", "#0b5c3b", "#9fb3c8"
_WIDTH: Final = 7.2


def draw_load(tables: Mapping[int, Sequence[Row]], path: Path) -> None:
    """Draw the speed of every way as a multiple of the baseline's."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, 1.2 + 0.36 * sum(map(len, tables.values()))), layout="constrained")
    for axes, (events, rows) in zip(figure.subplots(len(tables), 1, squeeze=False)[:, 0], tables.items(), strict=True):
        colours = [_OURS if row.way.startswith(("ours", "the whole")) else _OTHERS for row in rows]
        bars = axes.barh([row.way for row in rows], [row.ratio for row in rows], color=colours)
        axes.bar_label(bars, [f"{row.ratio:.2f}" for row in rows], padding=3, color=_INK)
        axes.invert_yaxis()
        axes.set_title(f"{events:,} events: speed, \\copy = 1", loc="left", color=_INK, fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.1)
    figure.savefig(path, format="svg", metadata={"Date": None})


def draw_growth(points: Sequence[Point], path: Path) -> None:
    """Draw what an event takes, and the memory, against the size of the day."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    sizes = [point.events for point in points]
    for axes, values, title in (
        (left, [point.microseconds for point in points], "microseconds an event"),
        (right, [point.peak for point in points], "peak memory, MiB"),
    ):
        axes.plot(sizes, values, marker="o", color=_OURS)
        for size, value in zip(sizes, values, strict=True):
            axes.annotate(
                f"{value:.1f}", (size, value), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=9
            )
        axes.set_xscale("log")
        axes.set_ylim(0, max(values) * 1.25)
        axes.set_title(title, loc="left", color=_INK, fontsize=11)
        axes.set_xlabel("events of the day")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="svg", metadata={"Date": None})
