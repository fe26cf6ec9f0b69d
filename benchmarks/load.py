"""Measures the way of a day from the first request to the commit, against other ways of bringing the same rows in.

    make bench ARGS="--events 100000 --rounds 3"

Prints rows, seconds, and the ratio to `COPY` of the ready rows into the same indexed table (= 1, higher is faster).
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import psycopg2
from psycopg2 import extras

import get_data
import put_data
from app_types import AttemptType, Event, Mode, Secret
from benchmarks.events import make_day, served
from config import ApiSettings, DatabaseSettings
from source.windows import day_of
from warehouse import ledger
from warehouse.connection import Server
from warehouse.migrations import migrate
from warehouse.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from app_types import Day
    from warehouse.connection import Database

DAY: Final = date(2023, 4, 1)
_COLUMNS: Final = (
    "user_id, created_at, oauth_consumer_key, lis_result_sourcedid, lis_outcome_service_url, is_correct, attempt_type,"
    " defects, run_id, loaded_at"
)


@dataclass(frozen=True)
class Result:
    """One way of loading, measured."""

    way: str
    rows: int
    seconds: float


def main() -> None:
    """Measure and print the table."""
    options = _options()
    events = make_day(DAY, options.events)
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    settings = DatabaseSettings(url=None, libpq={}, embedded=folder / "postgres", reset=False)
    with Server(settings) as server, server.connected() as database, served(events) as url:
        migrate(database)
        api = ApiSettings(
            url=url, client="bench", client_key=Secret("bench"), timeout=30, attempts=1, deadline=900,
            window_minutes=options.window, concurrency=options.concurrency, user_id_length=32,
        )  # fmt: skip
        measured = [_round(database, api, options) for _ in range(options.rounds)]
    ways = [result.way for result in measured[0]]
    medians = {
        way: statistics.median(result.seconds for results in measured for result in results if result.way == way)
        for way in ways
    }
    rows = {result.way: result.rows for result in measured[0]}
    copy_speed = rows["COPY"] / medians["COPY"]
    print(f"{'way':<28}{'rows':>10}{'seconds':>10}{'ratio':>8}")
    for way in ways:
        ratio = rows[way] / medians[way] / copy_speed
        print(f"{way:<28}{rows[way]:>10,}{medians[way]:>10.2f}{ratio:>8.2f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process, the ready events included: {peak:.0f} MiB")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window", type=int, default=60, help="minutes")
    parser.add_argument("--concurrency", type=int, default=2)
    parser.add_argument("--slow-rows", type=int, default=3_000, help="rows for the way that commits each one")
    return parser.parse_args()


def _round(database: Database, api: ApiSettings, options: argparse.Namespace) -> list[Result]:
    """Measure every way once, each into the empty indexed table, ours a second time over the full one."""
    day = day_of(DAY, ZoneInfo("UTC"), Mode.FULL, _long_after())
    events = [item for batch in get_data.fetch(api, day.window) for item in batch.items if isinstance(item, Event)]
    rows = [_row(event) for event in events]
    text = "".join("\t".join(_copied(value) for value in row) + "\n" for row in rows).encode()
    return [
        _measured("row by row, a commit each", rows[: options.slow_rows], database, _row_by_row),
        _measured("execute_values", rows, database, _execute_values),
        _measured("COPY", rows, database, lambda connection, _: _copy(connection, text)),
        _ours("ours, fresh day", database, api, day, empty=True),
        _ours("ours, the same day again", database, api, day, empty=False),
    ]


def _long_after() -> Any:
    from datetime import UTC, datetime

    return datetime(2024, 1, 1, tzinfo=UTC)


def _ours(way: str, database: Database, api: ApiSettings, day: Day, *, empty: bool) -> Result:
    if empty:
        database.rows("TRUNCATE lms_activities")
    started = time.perf_counter()
    with Spool() as spool:
        for batch in get_data.fetch(api, day.window):
            spool.add(batch)
        counts = put_data.load(database, ledger.begin(database, day), day, spool)
    return Result(way, counts.received, time.perf_counter() - started)


def _measured(way: str, rows: list[Any], database: Database, load: Callable[[Any, list[Any]], None]) -> Result:
    database.rows("TRUNCATE lms_activities")
    parameters = database.connection.get_dsn_parameters()
    known: dict[str, Any] = {
        name: parameters[name] for name in ("host", "port", "user", "dbname") if name in parameters
    }
    if password := database.connection.info.password:
        known["password"] = password
    with closing(psycopg2.connect(**known)) as connection:
        started = time.perf_counter()
        load(connection, rows)
        seconds = time.perf_counter() - started
    return Result(way, len(rows), seconds)


def _row_by_row(connection: Any, rows: Iterable[Any]) -> None:
    places = ", ".join(["%s"] * 10)
    with connection.cursor() as cursor:
        for row in rows:
            cursor.execute(f"INSERT INTO lms_activities ({_COLUMNS}) VALUES ({places})", row)
            connection.commit()


def _execute_values(connection: Any, rows: Iterable[Any]) -> None:
    with connection.cursor() as cursor:
        extras.execute_values(
            cursor,
            f"INSERT INTO lms_activities ({_COLUMNS}) VALUES %s",
            rows,
            page_size=1_000,
        )
    connection.commit()


def _copy(connection: Any, text: bytes) -> None:
    with connection.cursor() as cursor:
        cursor.copy_expert(f"COPY lms_activities ({_COLUMNS}) FROM STDIN", BytesIO(text))
    connection.commit()


def _row(event: Event) -> tuple[Any, ...]:
    return (
        event.user_id, event.created_at, event.oauth_consumer_key, event.lis_result_sourcedid,
        event.lis_outcome_service_url, event.is_correct, AttemptType(event.attempt_type).value, [], 0, event.created_at,
    )  # fmt: skip


def _copied(value: Any) -> str:
    if value is None:
        return "\\N"
    if value == []:
        return "{}"
    return str(value)


if __name__ == "__main__":
    main()
