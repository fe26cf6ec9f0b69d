"""Measures speed and memory here and now.

    make bench                                                     everything, about a quarter of an hour
    make bench ARGS="--only load --sizes 100000 --rounds 5"        one part, other sizes
    make bench ARGS="--only load --commit-delay 1000"              with a disk whose flush takes a millisecond
    make bench ARGS="--draw docs/performance"                      draw the charts, too

All ratios compare two things of one run on one machine: on another machine, or a busy one, other seconds are to be
expected, but like ratios.
"""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import charts, growth, load, queries, slow_source, startup
from benchmarks.server import bench_server

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.server import BenchServer

_PARTS: Final = ("load", "growth", "queries", "startup", "slow-source")
_SMALL_ENOUGH: Final = 200_000
"""Up to so many events, the slow ways are measured, too."""


def main() -> None:
    """Measure what was asked for and print the tables."""
    options = _options()
    print(_machine(), flush=True)
    if options.draw:
        options.draw.mkdir(parents=True, exist_ok=True)
    settings = {"commit_delay": str(options.commit_delay), "commit_siblings": "0"} if options.commit_delay else {}
    with bench_server(settings) as server:
        for part in options.only:
            print(flush=True)
            {
                "load": _load,
                "growth": _growth,
                "queries": _queries,
                "startup": _startup,
                "slow-source": _slow_source,
            }[part](server, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=_PARTS, default=_PARTS)
    parser.add_argument("--sizes", nargs="+", type=int, default=[100_000, 1_000_000], help="events of the loaded days")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--growth-sizes", nargs="+", type=int, default=[10_000, 100_000, 1_000_000, 5_000_000], help="events"
    )
    parser.add_argument("--days", type=int, default=100, help="of 100,000 events, for the statistics")
    parser.add_argument("--commit-delay", type=int, default=0, help="microseconds that a commit waits, as for a disk")
    parser.add_argument("--draw", type=Path, help="folder for the charts")
    return parser.parse_args()


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def _print(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table as Markdown, the first column to the left."""
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    for row in (headings, ["-" * (width - 1) + (":" if at else "-") for at, width in enumerate(widths)], *rows):
        cells = [
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def _load(server: BenchServer, options: argparse.Namespace) -> None:
    tables = {}
    for events in options.sizes:
        rows = load.measure(server, events, options.rounds, others=events <= _SMALL_ENOUGH)
        tables[events] = rows
        _print(
            [f"{events:,} events", "rows", "seconds", "ratio", "peak MiB"],
            [
                [
                    row.way,
                    f"{row.rows:,}",
                    f"{row.seconds:.2f}",
                    f"{row.ratio:.3f}",
                    f"{row.peak:.0f}" if row.peak else "",
                ]
                for row in rows
            ],
        )
        print(flush=True)
    if options.draw:
        charts.draw_load(tables, options.draw / "load.svg")


def _growth(server: BenchServer, options: argparse.Namespace) -> None:
    points = growth.measure(server, options.growth_sizes)
    named = [(f"{point.events:,}", point) for point in points]
    largest = points[-1].events
    named.append((f"{largest:,} in one window", growth.measure_one_window(server, largest)))
    _print(
        ["events of the day", "seconds", "µs an event", "of that ours (CPU)", r"psql \copy, µs", "ratio", "peak MiB"],
        [
            [
                name,
                f"{point.seconds:.2f}",
                f"{point.microseconds:.2f}",
                f"{point.cpu / point.events * 1e6:.2f}",
                f"{point.copied / point.events * 1e6:.2f}" if point.copied else "",
                f"{point.copied / point.seconds:.2f}" if point.copied else "",
                f"{point.peak:.0f}",
            ]
            for name, point in named
        ],
    )
    if options.draw:
        charts.draw_growth(points, options.draw / "growth.svg")


def _queries(server: BenchServer, options: argparse.Namespace) -> None:
    result = queries.measure(server, options.days, 100_000)
    _print(
        [f"a day of {result.events:,} in a table of {result.rows:,}, warm", "seconds"],
        [
            ["figures of the card", f"{result.card:.3f}"],
            ["all statistics of the report, the card's among them", f"{result.everything:.3f}"],
            ["all, where each event is of another student and task", f"{result.worst:.3f}"],
        ],
    )


def _startup(server: BenchServer, _options: argparse.Namespace) -> None:
    result = startup.measure(server)
    _print(
        ["start", "seconds"],
        [
            ["Python alone", f"{result.bare:.2f}"],
            ["the prompt is there", f"{result.prompt:.2f}"],
            [f"a run of an empty day, report included ({result.peak:.0f} MiB)", f"{result.empty_day:.2f}"],
        ],
    )


def _slow_source(server: BenchServer, _options: argparse.Namespace) -> None:
    result = slow_source.measure(server, 100_000, latency=0.2, bandwidth=2_000_000)
    _print(
        [f"{result.events:,} events, 200 ms latency, 2 MB/s a connection, 2 connections", "seconds", "ratio"],
        [
            ["mere download", f"{result.download:.2f}", "1"],
            ["fetched, validated, committed", f"{result.load:.2f}", f"{result.load / result.download:.2f}"],
        ],
    )


if __name__ == "__main__":
    main()
