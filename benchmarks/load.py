r"""The ways of bringing a day into the indexed table, side by side: rows, seconds, and the ratio to `psql \copy`.

Ours is the day fetched over loopback HTTP, validated, counted and committed; the others get their rows ready-made.
"""

from __future__ import annotations

import statistics
import time
from contextlib import closing
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import psycopg2
from psycopg2 import extras

from benchmarks.process import run_program, run_stage
from benchmarks.server import COLUMNS
from benchmarks.source import served

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmarks.server import BenchServer

BASELINE: Final = r"psql \copy"
_SLOW_ROWS: Final = 3_000  # for the way that commits each row


@dataclass(frozen=True)
class Result:
    """One way of loading, measured once. `peak` is the memory of the process in MiB, where it is ours."""

    way: str
    rows: int
    seconds: float
    peak: float | None = None


@dataclass(frozen=True)
class Row:
    """One way of loading over all rounds: medians, and the speed as a multiple of the baseline's."""

    way: str
    rows: int
    seconds: float
    ratio: float
    peak: float | None


def measure(server: BenchServer, events: int, rounds: int, *, others: bool = True) -> list[Row]:
    """Measure every way in turn, each round anew, so that a slow moment of the machine meets all of them."""
    with served(events) as url:
        server.empty()
        run_stage(server, url)
        csv = server.folder / f"rows-{events}.csv"
        server.save(csv)
        rows = server.database.rows(f"SELECT {COLUMNS} FROM lms_activities ORDER BY created_at") if others else []
        results = [result for _ in range(rounds) for result in _round(server, url, csv, events, rows)]
        csv.unlink()
    return _table(results)


def _round(server: BenchServer, url: str, csv: Path, events: int, rows: Sequence[Any]) -> list[Result]:
    results = []
    if rows:
        results += [
            _measured(server, "row by row, a commit each", rows[:_SLOW_ROWS], _row_by_row),
            _measured(server, "execute_values", rows, _execute_values),
        ]
        if dlt := _dlt():
            results.append(_measured(server, "dlt, append", rows, dlt))
    results.append(Result(BASELINE, events, server.copy(csv)))
    server.empty()
    for way, counted in (("ours, a fresh day", "loaded"), ("ours, the same day again", "present")):
        stage = run_stage(server, url)
        assert stage[counted] == events, stage
        results.append(Result(way, events, stage["seconds"], stage["peak"]))
        server.settle()
    server.empty()
    program = run_program(server, url)
    results.append(Result("the whole program", events, program.seconds, program.peak))
    return results


def _table(results: Sequence[Result]) -> list[Row]:
    def seconds(way: str) -> float:
        return statistics.median(result.seconds for result in results if result.way == way)

    first = {result.way: result for result in reversed(results)}
    baseline = first[BASELINE].rows / seconds(BASELINE)
    peaks = {
        way: max((result.peak for result in results if result.way == way and result.peak), default=None)
        for way in first
    }
    ways = dict.fromkeys(result.way for result in results)
    return [
        Row(way, first[way].rows, seconds(way), first[way].rows / seconds(way) / baseline, peaks[way]) for way in ways
    ]


def _measured(
    server: BenchServer, way: str, rows: Sequence[Any], load: Callable[[BenchServer, Sequence[Any]], None]
) -> Result:
    server.empty()
    started = time.perf_counter()
    load(server, rows)
    return Result(way, len(rows), time.perf_counter() - started)


def _row_by_row(server: BenchServer, rows: Sequence[Any]) -> None:
    places = ", ".join(["%s"] * 10)
    with closing(psycopg2.connect(server.url)) as connection, connection.cursor() as cursor:
        for row in rows:
            cursor.execute(f"INSERT INTO lms_activities ({COLUMNS}) VALUES ({places})", row)
            connection.commit()


def _execute_values(server: BenchServer, rows: Sequence[Any]) -> None:
    with closing(psycopg2.connect(server.url)) as connection, connection.cursor() as cursor:
        extras.execute_values(cursor, f"INSERT INTO lms_activities ({COLUMNS}) VALUES %s", rows, page_size=1_000)
        connection.commit()


def _dlt() -> Callable[[BenchServer, Sequence[Any]], None] | None:
    """Return the way of dlt, where it is installed (`pip install "dlt[postgres]"`)."""
    try:
        dlt: Any = import_module("dlt")
    except ImportError:
        return None

    def load(server: BenchServer, rows: Sequence[Any]) -> None:
        names = COLUMNS.split(", ")
        pipeline = dlt.pipeline(
            # It wants a host by name; libpq takes the socket's folder, which is said later.
            "bench", destination=dlt.destinations.postgres(server.url.replace("@/", "@localhost/")),
            dataset_name="bench_dlt", pipelines_dir=str(server.folder / "dlt"),
        )  # fmt: skip
        items = [dict(zip(names, row, strict=True)) for row in rows]
        pipeline.run(items, table_name="lms_activities", write_disposition="append")
        server.database.rows("DROP SCHEMA IF EXISTS bench_dlt CASCADE")

    return load
