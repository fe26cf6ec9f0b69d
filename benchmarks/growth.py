r"""How the cost of an event changes with the size of the day: time and memory from the first request to the commit.

`psql \copy` of the same rows stands beside it: what grows there is PostgreSQL's and the disk's share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.process import run_stage
from benchmarks.source import served

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.server import BenchServer


@dataclass(frozen=True)
class Point:
    r"""A day of one size; the quicker of two rounds. `peak` is in MiB, `copied` the seconds that `psql \copy` takes."""

    events: int
    seconds: float
    cpu: float
    peak: float
    copied: float | None = None

    @property
    def microseconds(self) -> float:
        """What one event takes."""
        return self.seconds / self.events * 1e6


def measure(server: BenchServer, sizes: Sequence[int]) -> list[Point]:
    """Load days of growing size into the empty table."""
    points = []
    for events in sizes:
        with served(events) as url:
            csv = server.folder / f"rows-{events}.csv"
            rounds, copied = [], []
            for _ in range(2):
                server.empty()
                rounds.append(run_stage(server, url))
                if not csv.exists():
                    server.save(csv)
                copied.append(server.copy(csv))
            csv.unlink()
        best = min(rounds, key=lambda measured: measured["seconds"])
        peak = max(measured["peak"] for measured in rounds)
        points.append(Point(events, best["seconds"], best["cpu"], peak, min(copied)))
    server.empty()
    return points


def measure_one_window(server: BenchServer, events: int) -> Point:
    """Load a day that is asked for in one single window."""
    with served(events) as url:
        server.empty()
        measured = run_stage(server, url, minutes=1440)
    server.empty()
    return Point(events, measured["seconds"], measured["cpu"], measured["peak"])
