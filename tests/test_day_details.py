"""Hours, courses, tasks and stuck students: the same as an independent count in plain Python, in any zone."""

from __future__ import annotations

import random
import re
import time
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

import daily_stats
from app_types import CourseFigures, DailyStatistics, DayDetails, HourFigures, Mode, TaskFigures, Window
from exceptions import DatabaseError
from source.windows import day_of
from tests.support.loading import Warehouse, connected, ctrl_c
from warehouse.queries import query

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg2 import extensions

pytestmark = pytest.mark.postgres

COURSE = re.compile(r"course-v1:[\w.~-]+\+[\w.~-]+\+[\w.~-]+|[\w.~-]+/[\w.~-]+/[\w.~-]+", re.ASCII)
LINK = re.compile(r"[^/]*-([A-Za-z0-9_]+)", re.ASCII)
MANY = daily_stats.MANY_EVENTS
ALONE = "one counts everything"
APRIL_1 = Window(datetime(2023, 4, 1, tzinfo=UTC), datetime(2023, 4, 2, tzinfo=UTC))
DAYS = [
    ("UTC", date(2023, 4, 1)),
    ("Europe/Moscow", date(2023, 4, 1)),
    ("Asia/Kolkata", date(2023, 4, 1)),
    ("Europe/Berlin", date(2023, 3, 26)),
    ("Europe/Berlin", date(2023, 10, 29)),
    ("Pacific/Chatham", date(2023, 4, 2)),
]


@dataclass(frozen=True)
class Attempt:
    """An event as the statistics see it."""

    user: str
    moment: datetime
    submit: bool
    correct: bool | None
    sourcedid: str | None


def made_day(window: Window, seed: int, count: int = 400) -> list[Attempt]:
    """Return a random day with every form of a result's id, and some events outside of it."""
    dice = random.Random(seed)
    courses = ["course-v1:ORG+A-1+2023", "course-v1:ORG+B.2+R", "OLD/COURSE/RUN", "no course", "course-v1:ORG+C"]
    links = ["lms.example.org-aa11", "lms.example.org:8000-bb22", "lms-cc_33", "nolink", "lms.example.org-d/d"]
    length = int((window.end - window.start).total_seconds() * 1_000_000)
    moments = dice.sample(range(-length // 20, length + length // 20), count)
    attempts = []
    for moment in moments:
        user = f"user{dice.randrange(12)}"
        context, link = dice.choice(courses), dice.choice(links)
        if ":" in link or dice.random() < 0.2:
            context = context.replace(":", "%3A").replace("+", dice.choice(["%2B", "%2b"])).replace("/", "%2F")
            link = link.replace(":", "%3A")
        named = user if dice.random() < 0.9 else "another"
        sourcedid = dice.choice(
            [f"{context}:{link}:{named}"] * 9 + [None, "", "nonsense", f":{user}", f"{context}:{user}"]
        )
        submit = dice.random() < 0.6
        correct = dice.choice([True, False, False]) if submit else None
        attempts.append(Attempt(user, window.start + timedelta(microseconds=moment), submit, correct, sourcedid))
    return attempts


def place(sourcedid: str | None) -> tuple[str | None, str | None]:
    """Read course and task of an event, from the right."""
    parts = (sourcedid or "").rsplit(":", 2)
    if len(parts) < 3 or not COURSE.fullmatch(unquote(parts[0])):
        return None, None
    link = LINK.fullmatch(unquote(parts[1]))
    return unquote(parts[0]), link[1] if link else None


def counted_plainly(attempts: Sequence[Attempt], window: Window) -> DayDetails:
    """Count event by event, without SQL."""
    inside = sorted((each for each in attempts if each.moment in window), key=lambda each: each.moment)
    hours = [[0, 0, 0] for _ in range(-((window.start - window.end) // timedelta(hours=1)))]
    by_course: dict[str | None, list[Attempt]] = defaultdict(list)
    by_task: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
    pairs: dict[tuple[str, str | None, str | None], list[Attempt]] = defaultdict(list)
    for each in inside:
        hour = hours[(each.moment - window.start) // timedelta(hours=1)]
        hour[0] += not each.submit
        hour[1] += each.submit
        hour[2] += each.correct is True
        course, task = place(each.sourcedid)
        by_course[course].append(each)
        pairs[each.user, course, task].append(each)
        if course and task:
            by_task[course, task].append(each)
    firsts: dict[str | None, list[bool]] = defaultdict(list)
    stuck: dict[tuple[str, str], set[str]] = defaultdict(set)
    for (user, course, task), own in pairs.items():
        submits = [each for each in own if each.submit]
        if submits:
            firsts[course].append(submits[0].correct is True)
        if course and task and len(submits) >= 5 and not any(each.correct for each in submits):
            stuck[course, task].add(user)

    def figures(own: Sequence[Attempt]) -> tuple[int, int, int, int]:
        submits = [each for each in own if each.submit]
        return (
            len({each.user for each in own}),
            len(own) - len(submits),
            len(submits),
            sum(each.correct is True for each in submits),
        )

    return DayDetails(
        hours=tuple(HourFigures(window.start + timedelta(hours=n), *hour) for n, hour in enumerate(hours)),
        courses=tuple(
            CourseFigures(course, *figures(own), len(firsts[course]), sum(firsts[course]))
            for course, own in by_course.items()
        ),
        tasks=tuple(TaskFigures(*key, *figures(own), len(stuck[key])) for key, own in by_task.items()),
        stuck_students=len(set().union(*stuck.values())),
    )


def insert(warehouse: Warehouse, attempts: Sequence[Attempt]) -> None:
    """Have the table hold these events and no others."""
    warehouse.execute("TRUNCATE lms_activities")
    with warehouse.outside.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO lms_activities (user_id, created_at, attempt_type, is_correct, lis_result_sourcedid, "
            "run_id, loaded_at) VALUES (%s, %s, %s, %s, %s, 1, now())",
            [(a.user, a.moment, "submit" if a.submit else "run", a.correct, a.sourcedid) for a in attempts],
        )


@pytest.mark.parametrize("events", [0, MANY], ids=["one connection", "two connections"])
@pytest.mark.parametrize(("zone", "day"), DAYS, ids=[f"{zone} {day}" for zone, day in DAYS])
def test_details_equal_a_plain_count(
    zone: str, day: date, events: int, warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    """Figures, hours, courses, tasks and stuck students of random days are those of an independent count."""
    caplog.set_level("INFO")
    window = day_of(day, ZoneInfo(zone), Mode.FULL, datetime(2024, 1, 1, tzinfo=UTC)).window
    for seed in range(8):
        attempts = made_day(window, seed)
        insert(warehouse, attempts)
        with connected(warehouse.url) as database:
            statistics, found = daily_stats.in_full(database, window, events=events)
            assert statistics == daily_stats.compute(database, window)

        expected = counted_plainly(attempts, window)
        assert found.hours == expected.hours
        assert set(found.courses) == set(expected.courses)
        assert len(found.courses) == len(expected.courses)
        assert set(found.tasks) == set(expected.tasks)
        assert len(found.tasks) == len(expected.tasks)
        assert found.stuck_students == expected.stuck_students
    assert ALONE not in caplog.text


def test_empty_day_has_empty_hours_and_nothing_else(warehouse: Warehouse) -> None:
    """A day without events has its hours, all at zero, and no course."""
    with connected(warehouse.url) as database:
        statistics, found = daily_stats.in_full(database, APRIL_1)

    assert statistics == DailyStatistics(0, 0, 0, 0)
    assert len(found.hours) == 24
    assert {(hour.runs, hour.submits, hour.successful_submits) for hour in found.hours} == {(0, 0, 0)}
    assert (found.courses, found.tasks, found.stuck_students) == ((), (), 0)


def test_two_connections_give_what_one_gives(warehouse: Warehouse, caplog: pytest.LogCaptureFixture) -> None:
    """Counting a half of the students each makes no difference, not even in the order; the session is as before."""
    caplog.set_level("INFO")
    insert(warehouse, made_day(APRIL_1, 1))
    before = warehouse.database.rows("SELECT name, setting FROM pg_settings ORDER BY name")

    one, two = (daily_stats.in_full(warehouse.database, APRIL_1, events=events) for events in (0, MANY))

    assert two == one
    assert ALONE not in caplog.text
    assert warehouse.database.rows("SELECT name, setting FROM pg_settings ORDER BY name") == before


def test_both_connections_see_one_state(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who empties the table in between does not get half of his change into the figures."""
    insert(warehouse, made_day(APRIL_1, 2))
    before = daily_stats.in_full(warehouse.database, APRIL_1)
    half, emptied = daily_stats._half, []

    def disturbed(cursor: extensions.cursor, window: Window, part: int) -> list[tuple[object, ...]]:
        warehouse.execute("DELETE FROM lms_activities")
        emptied.append(part)
        return half(cursor, window, part)

    monkeypatch.setattr(daily_stats, "_half", disturbed)
    assert daily_stats.in_full(warehouse.database, APRIL_1, events=MANY) == before
    assert sorted(emptied) == [0, 1]
    assert daily_stats.in_full(warehouse.database, APRIL_1)[0] == DailyStatistics(0, 0, 0, 0)


def test_role_with_one_connection_counts_on_it(
    warehouse: Warehouse, make_role: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    """Where no second connection is to be had, the one that there is counts everything; the log tells."""
    caplog.set_level("INFO")
    insert(warehouse, made_day(APRIL_1, 3))
    url = make_role(options="CONNECTION LIMIT 1")
    warehouse.execute(f"GRANT SELECT ON lms_activities TO {parse_dsn(url)['user']}")
    with connected(url) as database:
        assert daily_stats.in_full(database, APRIL_1, events=MANY) == daily_stats.in_full(warehouse.database, APRIL_1)

    assert ALONE in caplog.text


def only_one_is_left(warehouse: Warehouse) -> None:
    """Wait until the program has one connection left, and nothing under way on it."""
    ours = "datname = current_database() AND application_name = 'learning-events-etl'"
    limit = time.monotonic() + 10
    while (states := warehouse.select(f"SELECT state FROM pg_stat_activity WHERE {ours}")) != [("idle",)]:
        assert time.monotonic() < limit, states
        time.sleep(0.02)


def test_ctrl_c_ends_both_connections(warehouse: Warehouse) -> None:
    """Ctrl-C breaks off both halves at once, and the connection can go on."""
    insert(warehouse, made_day(APRIL_1, 4))

    def both_wait() -> None:
        limit = time.monotonic() + 30
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        while warehouse.number(waiting) < 2:
            assert time.monotonic() < limit
            time.sleep(0.02)

    with closing(psycopg2.connect(warehouse.url)) as in_the_way:
        in_the_way.cursor().execute("LOCK TABLE lms_activities IN ACCESS EXCLUSIVE MODE")
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt), ctrl_c(both_wait):
            daily_stats.in_full(warehouse.database, APRIL_1, events=MANY)

    assert time.monotonic() - started < 15
    only_one_is_left(warehouse)
    assert daily_stats.in_full(warehouse.database, APRIL_1)[0].unique_users == 12


def test_second_connection_that_is_not_served_is_not_waited_for(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A pooler may accept a second connection and let its first statement wait: one connection counts everything."""
    caplog.set_level("INFO")
    insert(warehouse, made_day(APRIL_1, 5))
    expected = daily_stats.in_full(warehouse.database, APRIL_1)
    monkeypatch.setattr("warehouse.connection._SECOND_PREPARATION", 0.3)
    endless = "SET client_connection_check_interval = '100ms'; SELECT pg_sleep(60)"
    tried = []

    def prepare(opened: extensions.connection) -> None:
        tried.append(opened)
        opened.cursor().execute(endless)

    monkeypatch.setattr("warehouse.connection._prepare", prepare)
    started = time.monotonic()

    assert daily_stats.in_full(warehouse.database, APRIL_1, events=MANY) == expected
    assert time.monotonic() - started < 15
    assert len(tried) == 1
    assert ALONE in caplog.text


@pytest.mark.parametrize("part", [0, 1])
def test_half_that_fails_is_told_and_leaves_no_connection(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    """A failure of the count is no reason to count again; both transactions end, and the connection can go on."""
    insert(warehouse, made_day(APRIL_1, 6))
    half = daily_stats._half

    def failing(cursor: extensions.cursor, window: Window, number: int) -> list[tuple[object, ...]]:
        if number == part:
            cursor.execute("SELECT 1 / 0")
        return half(cursor, window, number)

    monkeypatch.setattr(daily_stats, "_half", failing)
    with pytest.raises(DatabaseError, match="22012"):
        daily_stats.in_full(warehouse.database, APRIL_1, events=MANY)

    only_one_is_left(warehouse)
    assert daily_stats.in_full(warehouse.database, APRIL_1)[0].unique_users == 12


def test_figures_that_take_long_are_given_up(warehouse: Warehouse) -> None:
    """With a limit, a count that waits for a lock ends in time; the session is as before."""
    insert(warehouse, made_day(APRIL_1, 7))
    with closing(psycopg2.connect(warehouse.url)) as in_the_way:
        in_the_way.cursor().execute("LOCK TABLE lms_activities IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(TimeoutError):
            daily_stats.compute(warehouse.database, APRIL_1, limit=0.5)

    assert warehouse.database.rows("SHOW enable_nestloop") == [("on",)]
    assert daily_stats.compute(warehouse.database, APRIL_1).unique_users == 12


@pytest.mark.parametrize("parts", [1, 2])
def test_wrong_expectations_do_not_make_the_count_slow(warehouse: Warehouse, parts: int) -> None:
    """Where PostgreSQL expects next to nothing of a day, it must neither look at every task for each event nor sort."""
    insert(warehouse, made_day(APRIL_1, 8))
    warehouse.execute("DELETE FROM lms_activities WHERE created_at > '2023-04-01 00:30+00'; ANALYZE lms_activities")
    with warehouse.database.transaction() as cursor:
        cursor.execute(query("statistics/plan"))
        cursor.execute(f"EXPLAIN {query('statistics/in_full')}", daily_stats._values(APRIL_1, 0, parts))
        plan = "\n".join(row[0] for row in cursor.fetchall())
        cursor.execute(query("statistics/plan_as_usual"))

    assert "CTE Scan on placed" in plan
    assert "Nested Loop" not in plan
    assert "GroupAggregate" not in plan


def test_half_of_the_students_is_counted_without_further_workers(warehouse: Warehouse) -> None:
    """PostgreSQL's own workers stay away from the halves, which have a core each; who counts alone may have them."""
    warehouse.execute(
        "INSERT INTO lms_activities (user_id, created_at, attempt_type, run_id, loaded_at) "
        "SELECT 'user ' || n % 100, '2023-04-01 00:00+00'::timestamptz + n * interval '10 seconds', 'run', 1, now() "
        "FROM generate_series(1, 5000) AS n; ANALYZE lms_activities"
    )
    plans = []
    for further in ([], ["statistics/plan_of_half"]):
        with warehouse.database.transaction() as cursor:
            for name in ("min_parallel_table_scan_size", "parallel_setup_cost", "parallel_tuple_cost"):
                cursor.execute(f"SET LOCAL {name} = 0")
            cursor.execute("SET LOCAL min_parallel_index_scan_size = 0")
            for name in ("statistics/plan", *further):
                cursor.execute(query(name))
            cursor.execute(f"EXPLAIN {query('statistics/in_full')}", daily_stats._values(APRIL_1, 0, 2))
            plans.append("\n".join(row[0] for row in cursor.fetchall()))
            cursor.execute(query("statistics/plan_as_usual"))

    assert ["Gather" in plan for plan in plans] == [True, False]


def test_plan_is_taken_back_whole() -> None:
    """Whatever is set for the count is reset behind it: the connection serves other questions, too."""
    names = {
        name: re.findall(rf"^{word} (\w+)", query(f"statistics/{name}"), re.MULTILINE)
        for name, word in (("plan", "SET"), ("plan_as_usual", "RESET"))
    }

    assert names["plan"]
    assert sorted(names["plan"]) == sorted(names["plan_as_usual"])
