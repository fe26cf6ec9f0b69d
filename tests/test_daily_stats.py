"""The statistics of a day: the same as a plain count of the events, whatever the session, by one range of the index."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import daily_stats
from app_types import AttemptType, DailyStatistics, Defect, Event, Mode, Window
from exceptions import DatabaseError
from tests.support.loading import APRIL_1, Warehouse, connected, make_day, make_event, make_rejected
from warehouse.queries import query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from app_types import Day

pytestmark = pytest.mark.postgres

MIDNIGHT = datetime(2023, 4, 1, tzinfo=UTC)
ZONES = ["UTC", "Europe/Moscow", "Asia/Kolkata", "America/St_Johns", "Pacific/Kiritimati", "Pacific/Chatham"]


def counted_plainly(events: Iterable[Event], window: Window) -> DailyStatistics:
    """Count the figures of a stretch of time, event by event."""
    users, runs, submits, successful = set(), 0, 0, 0
    for event in events:
        if window.start <= event.created_at < window.end:
            users.add(event.user_id)
            if event.attempt_type == "run":
                runs += 1
            else:
                submits += 1
                successful += event.is_correct is True
    return DailyStatistics(len(users), runs, submits, successful)


def insert(warehouse: Warehouse, events: Iterable[Event]) -> None:
    """Put events of any days into the table."""
    warehouse.execute("TRUNCATE lms_activities")
    with warehouse.outside.cursor() as cursor:
        for event in events:
            cursor.execute(
                "INSERT INTO lms_activities (user_id, created_at, attempt_type, is_correct, run_id, loaded_at) "
                "VALUES (%s, %s, %s, %s, 1, now()) ON CONFLICT DO NOTHING",
                (event.user_id, event.created_at, event.attempt_type.value, event.is_correct),
            )


def test_figures_of_a_day(warehouse: Warehouse) -> None:
    """Students are those of all events; runs, submits and successful submits are told apart; shares are true values."""
    submit, run = AttemptType.SUBMIT, AttemptType.RUN
    warehouse.load(
        make_event("01:00:00", user_id="a", attempt_type=submit, is_correct=True),
        make_event("02:00:00", user_id="a", attempt_type=submit, is_correct=False),
        make_event("03:00:00", user_id="a", attempt_type=submit, is_correct=False),
        make_event("04:00:00", user_id="b", attempt_type=run, is_correct=None),
    )

    statistics = daily_stats.compute(warehouse.database, make_day().window)

    assert statistics == DailyStatistics(unique_users=2, runs=1, submits=3, successful_submits=1)
    assert statistics.success_share == 1 / 3
    assert (statistics.submits_per_user, statistics.successful_submits_per_user) == (1.5, 0.5)


def test_events_with_defects_are_counted_as_what_they_are(warehouse: Warehouse) -> None:
    """A correct run is no successful submit; a submit without a result is a submit that did not succeed."""
    flaw = (Defect.CORRECTNESS_MISMATCH,)
    warehouse.load(
        make_event("01:00:00", attempt_type=AttemptType.RUN, is_correct=True, defects=flaw),
        make_event("02:00:00", attempt_type=AttemptType.SUBMIT, is_correct=None, defects=flaw),
        make_rejected(),
    )

    assert daily_stats.compute(warehouse.database, make_day().window) == DailyStatistics(1, 1, 1, 0)


@pytest.mark.parametrize("window", [make_day().window, Window(MIDNIGHT, MIDNIGHT)], ids=["empty day", "empty window"])
def test_nothing_there_gives_zeros_and_no_division(warehouse: Warehouse, window: Window) -> None:
    """Without students and submits there is no share and no average."""
    statistics = daily_stats.compute(warehouse.database, window)

    assert statistics == DailyStatistics(0, 0, 0, 0)
    assert statistics.success_share is None
    assert statistics.submits_per_user is None
    assert statistics.successful_submits_per_user is None


def test_day_is_half_open_to_the_microsecond(warehouse: Warehouse) -> None:
    """The first moment belongs to the day, the first of the next one does not."""
    edges = (-1, 0, 86_400_000_000 - 1, 86_400_000_000)
    insert(warehouse, [make_event(MIDNIGHT + timedelta(microseconds=edge), user_id=str(edge)) for edge in edges])

    assert daily_stats.compute(warehouse.database, make_day().window).unique_users == 2


def test_test_run_has_the_figures_of_its_hour(warehouse: Warehouse) -> None:
    """Statistics of a test run are those of its hour, whatever else the table holds."""
    warehouse.load(make_event("00:30:00"), make_event("01:30:00"))

    assert daily_stats.compute(warehouse.database, make_day(mode=Mode.TEST).window).submits == 1


@pytest.mark.parametrize("day", [date(2023, 3, 26), date(2023, 10, 29)], ids=["23 hours", "25 hours"])
def test_days_of_23_and_25_hours(warehouse: Warehouse, day: date) -> None:
    """On a day when the clocks change, its window is as long as the day."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=3)
    events = [make_event(start + timedelta(minutes=30 * step)) for step in range(60)]
    insert(warehouse, events)
    window = make_day(day, "Europe/Berlin").window

    assert daily_stats.compute(warehouse.database, window).submits == (46 if day.month == 3 else 50)


EVENTS = st.lists(
    st.builds(
        make_event,
        at=st.integers(-30 * 3600, 54 * 3600).map(lambda second: MIDNIGHT + timedelta(seconds=second)),
        user_id=st.sampled_from(["a", "A", "b", "b ", "ä", "" * 32, "c" * 32]),
        attempt_type=st.sampled_from(AttemptType),
        is_correct=st.sampled_from([None, True, True, False]),
    ),
    max_size=40,
    unique_by=lambda event: (event.user_id, event.created_at, event.attempt_type),
)
DAYS = st.builds(make_day, st.sampled_from([APRIL_1, date(2023, 4, 2)]), st.sampled_from(ZONES), st.sampled_from(Mode))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(events=EVENTS, day=DAYS)
def test_figures_are_those_of_a_plain_count(warehouse: Warehouse, events: list[Event], day: Day) -> None:
    """Against an independent count, on any events, in any zone of the operator."""
    insert(warehouse, events)

    assert daily_stats.compute(warehouse.database, day.window) == counted_plainly(events, day.window)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(events=EVENTS, cut=st.integers(0, 24))
def test_parts_of_a_day_add_up(warehouse: Warehouse, events: list[Event], cut: int) -> None:
    """No event is in two windows that touch, and none between them."""
    insert(warehouse, events)
    window = make_day().window
    middle = window.start + timedelta(hours=cut)

    whole = daily_stats.compute(warehouse.database, window)
    parts = [
        daily_stats.compute(warehouse.database, part)
        for part in (Window(window.start, middle), Window(middle, window.end))
    ]

    for name in ("runs", "submits", "successful_submits"):
        assert getattr(whole, name) == sum(getattr(part, name) for part in parts)


@pytest.mark.parametrize("zone", ZONES)
def test_zone_of_the_session_does_not_matter(
    warehouse: Warehouse, change_database: Callable[[str], None], zone: str
) -> None:
    """The bounds are moments: a database or a session of another zone counts the same."""
    insert(warehouse, [make_event(MIDNIGHT + timedelta(hours=hour), user_id=str(hour)) for hour in range(-20, 44)])
    change_database(f"timezone = '{zone}'")

    with connected(warehouse.url) as database:
        database.rows("SELECT set_config('timezone', %(zone)s, false)", zone=zone)
        assert daily_stats.compute(database, make_day().window) == DailyStatistics(24, 0, 24, 0)


def plan(warehouse: Warehouse, name: str, **values: Any) -> list[dict[str, Any]]:
    """Return the steps of PostgreSQL's plan for a statement."""
    window = make_day().window
    explained = warehouse.database.rows(
        f"EXPLAIN (FORMAT JSON) {query(name)}", start=window.start, end=window.end, **values
    )
    steps = [explained[0][0][0]["Plan"]]
    for step in steps:
        steps += step.get("Plans", [])
    return steps


@pytest.mark.parametrize("name", ["statistics/day", "statistics/in_full"])
def test_one_range_of_the_index_is_read(name: str, warehouse: Warehouse) -> None:
    """In a table of many days, the day is found by the key's index, in one scan."""
    warehouse.execute(
        "INSERT INTO lms_activities (user_id, created_at, attempt_type, run_id, loaded_at) "
        "SELECT 'user ' || n %% 100, '2023-01-01'::timestamptz + n * interval '10 minutes', 'run', 1, now() "
        "FROM generate_series(1, 20000) AS n".replace("%%", "%")
    )
    warehouse.execute("ANALYZE lms_activities")

    steps = plan(warehouse, name, stuck_after=5, part=0, parts=1)

    scans = [step for step in steps if step.get("Relation Name") == "lms_activities"]
    assert [scan["Node Type"] in {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"} for scan in scans] == [True]
    assert {step["Index Name"] for step in steps if "Index Name" in step} == {"lms_activities_key"}


@pytest.mark.parametrize("name", ["statistics/day", "statistics/in_full"])
def test_figures_come_from_one_snapshot(name: str) -> None:
    """All figures are asked for in one statement, so that a load meanwhile cannot come between them."""
    code = [line for line in query(name).splitlines() if not line.startswith("--")]

    assert "\n".join(code).count(";") == 1


def test_database_that_is_lost_is_told(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost connection is opened again; where that cannot be, the error is the project's own."""
    warehouse.load(make_event())
    warehouse.database.close()
    assert daily_stats.compute(warehouse.database, make_day().window).submits == 1

    warehouse.execute("ALTER TABLE lms_activities RENAME TO elsewhere")
    with pytest.raises(DatabaseError, match="SQLSTATE 42P01"):
        daily_stats.compute(warehouse.database, make_day().window)
