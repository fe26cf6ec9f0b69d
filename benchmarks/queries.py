"""The statistics of a day in a large table: the figures of the card, and everything that the report shows.

Once for a day as it is, where a student tries a task some times, and once for the worst that there can be, where each
event is of another student and task.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import daily_stats
from app_types import Window
from benchmarks.events import EVENTS_PER_STUDENT, EVENTS_PER_VISIT, TASKS, VISITS_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.server import BenchServer

_START: Final = datetime(2022, 1, 1, tzinfo=UTC)
_ROUNDS: Final = 7
_DAY: Final = """
WITH visits AS MATERIALIZED (
    SELECT
        number,
        md5(floor(random() * %(students)s)::text) AS student,
        floor(random() * %(tasks)s)::integer AS task_number
    FROM generate_series(0, (%(events)s + %(spread)s) / %(attempts)s) AS number
)
INSERT INTO lms_activities (
    user_id, created_at, oauth_consumer_key, lis_result_sourcedid, lis_outcome_service_url, is_correct, attempt_type,
    run_id
)
SELECT
    student,
    %(start)s + event.number * interval '1 day' / %(events)s,
    '',
    course || ':lms.example.org-' || task || ':' || student,
    'https://lms.example.org/courses/' || course || '/xblock/block-v1:BENCH+type@lti+block@' || task
        || '/handler_noauth/grade_handler',
    CASE WHEN kind < 0.65 THEN NULL ELSE result < 0.48 END,
    CASE WHEN kind < 0.65 THEN 'run' ELSE 'submit' END,
    1
FROM (
    SELECT
        number,
        random() AS kind,
        random() AS result,
        floor((number + random() * %(spread)s) / %(attempts)s)::integer AS visit
    FROM generate_series(0, %(events)s - 1) AS number
) AS event
JOIN visits ON visits.number = event.visit
CROSS JOIN LATERAL (
    SELECT md5('task' || task_number) AS task, 'course-v1:BENCH+C' || mod(task_number, 30) || '+2022' AS course
) AS place
"""


@dataclass(frozen=True)
class Result:
    """Warm medians for one day of the table, in seconds."""

    rows: int
    events: int
    card: float
    everything: float
    worst: float


def measure(server: BenchServer, days: int, events: int) -> Result:
    """Fill the table with so many days of so many events each, and ask for the statistics of two in the middle."""
    server.empty()
    days = max(days, 2)
    database = server.database
    database.rows("SET statement_timeout = 0")
    usual, worst = days // 2, days // 2 - 1
    for day in range(days):
        attempts = 1 if day == worst else EVENTS_PER_VISIT
        database.rows(
            _DAY,
            start=_START + timedelta(days=day),
            events=events,
            students=events // EVENTS_PER_STUDENT,
            tasks=TASKS,
            attempts=attempts,
            spread=attempts * VISITS_AT_ONCE,
        )
    database.rows("VACUUM ANALYZE lms_activities")
    result = Result(
        rows=days * events,
        events=events,
        card=_median(lambda: daily_stats.compute(database, _day(usual))),
        everything=_median(lambda: daily_stats.in_full(database, _day(usual))),
        worst=_median(lambda: daily_stats.in_full(database, _day(worst))),
    )
    server.empty()
    return result


def _day(number: int) -> Window:
    start = _START + timedelta(days=number)
    return Window(start, start + timedelta(days=1))


def _median(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)
