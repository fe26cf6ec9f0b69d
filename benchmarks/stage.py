"""Loads a day from the first request to the commit, in a process of its own, and prints what it took as JSON.

python -m benchmarks.stage URL WINDOW_MINUTES CONCURRENCY    (DATABASE_URL names the database)
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import get_data
import put_data
from app_types import Mode, Secret
from benchmarks.events import DAY
from config import ApiSettings, DatabaseSettings
from source.windows import day_of
from warehouse import ledger
from warehouse.connection import Server


def main() -> None:
    """Load the day and print seconds and counts."""
    url, minutes, concurrency = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    api = ApiSettings(
        url=url, client="bench", client_key=Secret("bench"), timeout=30, attempts=1, deadline=3_600,
        window_minutes=minutes, concurrency=concurrency, user_id_length=32,
    )  # fmt: skip
    settings = DatabaseSettings(url=Secret(os.environ["DATABASE_URL"]), libpq={}, embedded=None, reset=False)  # type: ignore[arg-type]
    day = day_of(DAY, ZoneInfo("UTC"), Mode.FULL, datetime(2024, 1, 1, tzinfo=UTC))
    with Server(settings) as server, server.connected() as database:
        run_id = ledger.begin(database, day)
        started, used = time.perf_counter(), time.process_time()
        with closing(get_data.fetch(api, day.window, run_id=run_id)) as batches:
            counts = put_data.load(database, run_id, day, batches)
        seconds, used = time.perf_counter() - started, time.process_time() - used
    print(
        json.dumps(
            {
                "seconds": seconds,
                "cpu": used,
                "received": counts.received,
                "loaded": counts.loaded,
                "present": counts.already_present,
            }
        )
    )


if __name__ == "__main__":
    main()
