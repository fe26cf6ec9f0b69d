"""The load: every event accounted for, all or nothing, the same however often it is repeated."""

from __future__ import annotations

import secrets
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import put_data
from app_types import AttemptType, Batch, Counts, Defect, Event, Mode, Reason, Rejected, RunStatus, Window
from exceptions import DatabaseError, LoadRefusedError, SourceError, TransientDatabaseError
from source.moments import stamp
from source.rows import head, pack
from tests.support.loading import (
    APRIL_1,
    PostgresProxy,
    Warehouse,
    connected,
    ctrl_c,
    database_name,
    fetched,
    fetched_for,
    in_background,
    make_day,
    make_event,
    make_events,
    make_rejected,
    press_ctrl_c,
)
from warehouse import ledger
from warehouse import spool as spool_module
from warehouse.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.postgres

HOME = Path(__file__).resolve().parent.parent
APRIL_2 = date(2023, 4, 2)

COMMIT = b"Q\0\0\0\x0bCOMMIT\0"
"""The request as psycopg2 sends it."""
SLEEP = "PERFORM pg_sleep(30); RETURN NEW;"
KILL_ONCE = "IF nextval('kills') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NEW;"
KILL_ALWAYS = "PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW;"
AT_COMMIT = "AFTER INSERT ON lms_activities DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"

ONE_DATABASE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def counted(**values: int) -> Counts:
    """Return counts that are zero but for what is named."""
    return Counts(**(dict.fromkeys(Counts.__slots__, 0) | values))


# Counts and rows


def test_first_load_brings_every_event_as_it_was_sent(warehouse: Warehouse) -> None:
    """A new event becomes a row with every value, the run that loaded it and the moment."""
    event = make_event(
        "09:16:11.313646", attempt_type=AttemptType.RUN, is_correct=None, defects=(Defect.PASSBACK_MISSING,)
    )

    counts = warehouse.load(event)

    assert counts == counted(received=1, loaded=1, defective=1)
    assert warehouse.events() == {event}
    ((run_id, age),) = warehouse.select("SELECT run_id, clock_timestamp() - loaded_at FROM lms_activities")
    assert run_id == warehouse.run_ids[0]
    assert timedelta() < age < timedelta(minutes=1)


def test_same_day_twice_changes_nothing_not_even_a_row_version(warehouse: Warehouse) -> None:
    """Loading a day again leaves every row, its version, its run and its moment."""
    events = make_events(50, is_correct=True)
    warehouse.load(*events)
    before = warehouse.rows()

    counts = warehouse.load(*reversed(events))

    assert counts == counted(received=50, already_present=50)
    assert warehouse.rows() == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"is_correct": False}, {"is_correct": True}),
        ({"is_correct": None}, {"is_correct": False}),
        ({"is_correct": True}, {"is_correct": None}),
        ({"oauth_consumer_key": ""}, {"oauth_consumer_key": None}),
        ({"oauth_consumer_key": None}, {"oauth_consumer_key": ""}),
        ({"lis_outcome_service_url": None}, {"lis_outcome_service_url": "https://lms.example.org/new"}),
        (
            {"lis_outcome_service_url": "https://lms.example.org/a"},
            {"lis_outcome_service_url": "https://lms.example.org/A"},
        ),
        ({"defects": ()}, {"defects": (Defect.USER_ID_MISMATCH,)}),
        ({"defects": (Defect.USER_ID_MISMATCH, Defect.CORRECTNESS_MISMATCH)}, {"defects": ()}),
    ],
    ids=str,
)
def test_corrected_value_is_followed_in_its_row_alone(
    warehouse: Warehouse, old: dict[str, Any], new: dict[str, Any]
) -> None:
    """Where the source corrected a value, the row follows it, with the run and moment of the update; no other moves."""
    others = make_events(5)
    warehouse.load(*others, make_event(**old))
    before = warehouse.rows()

    counts = warehouse.load(*others, make_event(**new))

    after = warehouse.rows()
    assert counts == counted(received=6, updated=1, already_present=5, defective=int(bool(new.get("defects"))))
    assert warehouse.events() == {*others, make_event(**new)}
    assert after[:5] == before[:5]
    run_and_moment = warehouse.select("SELECT run_id, loaded_at FROM lms_activities ORDER BY created_at DESC LIMIT 1")[
        0
    ]
    assert run_and_moment[0] == warehouse.run_ids[1]
    assert run_and_moment[1] > before[5][9]


@pytest.mark.parametrize(
    "other",
    [
        {"at": "12:00:00.000001"},
        {"user_id": "B" * 32},
        {"attempt_type": AttemptType.RUN},
        {"lis_result_sourcedid": None},
        {"lis_result_sourcedid": ""},
    ],
    ids=str,
)
def test_events_that_differ_in_their_key_are_different_events(warehouse: Warehouse, other: dict[str, Any]) -> None:
    """Time, student, attempt and task make an event what it is; an empty text is not null."""
    warehouse.load(make_event())

    counts = warehouse.load(make_event(), make_event(**other))

    assert counts == counted(received=2, loaded=1, already_present=1)
    assert warehouse.events() == {make_event(), make_event(**other)}


@pytest.mark.parametrize("sourcedid", ["course:task:student", None], ids=["with task", "without task"])
def test_last_of_several_events_with_one_key_is_loaded(warehouse: Warehouse, sourcedid: str | None) -> None:
    """Of several events with one key the last is loaded, the others count as already present; nulls are equal."""
    versions = [make_event(lis_result_sourcedid=sourcedid, is_correct=value) for value in (True, None, False)]

    counts = warehouse.load(*versions)

    assert counts == counted(received=3, loaded=1, already_present=2)
    assert warehouse.events() == {versions[-1]}


def test_one_key_in_two_answers_is_refused(warehouse: Warehouse) -> None:
    """Windows do not overlap, so no key comes in two of them; if one ever did, nothing would be loaded on a guess."""
    answers = [make_event(is_correct=True), *make_events(3)], [make_event(is_correct=False)]

    with pytest.raises(LoadRefusedError, match="do not balance"):
        warehouse.load_batches(fetched(make_day(), *answers))

    assert warehouse.rows() == []


def test_duplicates_around_a_row_that_is_there(warehouse: Warehouse) -> None:
    """Only the last event of a key is compared with the row: an earlier, differing one changes nothing."""
    warehouse.load(make_event(is_correct=True))
    before = warehouse.rows()

    same = warehouse.load(make_event(is_correct=False), make_event(is_correct=True))
    assert same == counted(received=2, already_present=2)
    assert warehouse.rows() == before

    corrected = warehouse.load(make_event(is_correct=True), make_event(is_correct=False))
    assert corrected == counted(received=2, updated=1, already_present=1)


def test_vanished_events_are_kept_and_counted(warehouse: Warehouse) -> None:
    """What the table holds and the source no longer sends stays, is counted, and a warning says so."""
    events = make_events(5)
    warehouse.load(*events)
    before = warehouse.rows()

    counts = warehouse.load(*events[:2])

    assert counts == counted(received=2, already_present=2, missing_at_source=3)
    assert warehouse.rows() == before


def test_vanished_events_are_told_in_the_log(warehouse: Warehouse, caplog: pytest.LogCaptureFixture) -> None:
    """A warning says how many events vanished at the source."""
    warehouse.load(*make_events(3))
    caplog.clear()

    warehouse.load()

    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == ["events that the table holds and the source did not send, kept: 3"]


def test_neighbouring_days_are_neither_touched_nor_counted(warehouse: Warehouse) -> None:
    """Rows outside the window, by a microsecond even, are nobody's business."""
    midnight = datetime(2023, 4, 1, tzinfo=UTC)
    last = make_event(midnight + timedelta(days=1, microseconds=-1))
    warehouse.load(make_event(midnight - timedelta(microseconds=1)), day=make_day(date(2023, 3, 31)))
    warehouse.load(make_event(midnight + timedelta(days=1)), day=make_day(APRIL_2))
    before = warehouse.rows()

    counts = warehouse.load(make_event(midnight), last)

    assert counts == counted(received=2, loaded=2)
    assert [row for row in warehouse.rows() if row in before] == before
    assert warehouse.load(make_event(midnight)) == counted(received=1, already_present=1, missing_at_source=1)


def test_same_row_through_the_dates_of_two_zones_is_one_row(warehouse: Warehouse) -> None:
    """A moment belongs to different dates in different zones: it is loaded once, and followed from either."""
    late = datetime(2023, 4, 1, 22, 30, tzinfo=UTC)
    warehouse.load(make_event(late, is_correct=False))

    again = warehouse.load(make_event(late, is_correct=False), day=make_day(APRIL_2, "Europe/Moscow"))
    corrected = warehouse.load(make_event(late, is_correct=True), day=make_day(APRIL_2, "Europe/Moscow"))

    assert again == counted(received=1, already_present=1)
    assert corrected == counted(received=1, updated=1)
    assert warehouse.events() == {make_event(late, is_correct=True)}


def test_empty_day_is_a_day(warehouse: Warehouse) -> None:
    """A day without events is loaded, and its ledger row has zeros."""
    assert warehouse.load() == counted()
    assert warehouse.run()["received"] == 0


def test_empty_answer_removes_nothing(warehouse: Warehouse) -> None:
    """An empty answer for a day that holds rows deletes none: all of them count as missing at the source."""
    warehouse.load(*make_events(4))

    assert warehouse.load() == counted(missing_at_source=4)
    assert len(warehouse.rows()) == 4


def test_day_that_is_not_over_is_compared_as_far_as_it_was_asked_for(warehouse: Warehouse) -> None:
    """Rows after the end of the asked window do not count as missing."""
    warehouse.load(make_event("08:00:00"), make_event("12:00:00"))
    until_noon = make_day(now=datetime(2023, 4, 1, 12, tzinfo=UTC))

    assert warehouse.load(make_event("08:00:00"), day=until_noon) == counted(received=1, already_present=1)


def test_test_run_looks_at_the_first_hour_alone(warehouse: Warehouse) -> None:
    """A test run is loaded as usual; the rest of the day is not missing."""
    warehouse.load(make_event("00:10:00"), make_event("08:00:00"))

    counts = warehouse.load(make_event("00:10:00"), make_event("00:59:59.999999"), day=make_day(mode=Mode.TEST))

    assert counts == counted(received=2, loaded=1, already_present=1)
    assert warehouse.run()["mode"] == "test"


def test_defective_events_are_counted_on_every_run(warehouse: Warehouse) -> None:
    """`defective` counts the answer's valid events with defects, loaded before or not, duplicates too."""
    flawed = make_event("01:00:00", defects=(Defect.PASSBACK_MISSING, Defect.USER_ID_MISMATCH))
    items: list[Event | Rejected] = [make_event(), flawed, flawed, make_rejected()]

    assert warehouse.load(*items) == counted(received=4, loaded=2, already_present=1, rejected=1, defective=2)
    assert warehouse.load(*items) == counted(received=4, already_present=3, rejected=1, defective=2)


# Quarantine


def test_rejected_event_is_kept_with_reason_run_and_moment(warehouse: Warehouse) -> None:
    """A rejected event is no row of the events table, but lies in quarantine as the source spelled it."""
    counts = warehouse.load(make_event(), make_rejected('{"lti_user_id": "\\u0000"}', Reason.TEXT_NOT_STORABLE))

    assert counts == counted(received=2, loaded=1, rejected=1)
    ((run_id, day, reason, raw, age),) = warehouse.select(
        "SELECT run_id, process_date, reason, raw, clock_timestamp() - received_at FROM lms_activities_rejected"
    )
    assert (run_id, day, reason) == (warehouse.run_ids[0], APRIL_1, "text_not_storable")
    assert raw == '{"lti_user_id": "\\u0000"}'
    assert timedelta() < age < timedelta(minutes=1)


def test_quarantine_keeps_an_event_once_per_day_text_and_occurrence(warehouse: Warehouse) -> None:
    """Identical rejects keep their number; a re-run adds none and loses none, however many it brings."""
    twice, once = make_rejected('{"a": 1}'), make_rejected('{"b": 2}')
    first = warehouse.load(twice, once, twice)
    before = warehouse.select("SELECT *, xmin::text FROM lms_activities_rejected ORDER BY raw, occurrence")

    again = warehouse.load(once, twice, twice)
    fewer = warehouse.load(twice)

    assert (first.rejected, again.rejected, fewer.rejected) == (3, 3, 1)
    assert warehouse.select("SELECT *, xmin::text FROM lms_activities_rejected ORDER BY raw, occurrence") == before
    assert warehouse.quarantine() == {(APRIL_1, '{"a": 1}'): 2, (APRIL_1, '{"b": 2}'): 1}

    warehouse.load(twice, twice, twice)
    assert warehouse.quarantine()[APRIL_1, '{"a": 1}'] == 3


def test_quarantine_tells_days_apart(warehouse: Warehouse) -> None:
    """The same text on another day is another reject."""
    warehouse.load(make_rejected("{}"))
    warehouse.load(make_rejected("{}"), day=make_day(APRIL_2))

    assert warehouse.quarantine() == {(APRIL_1, "{}"): 1, (APRIL_2, "{}"): 1}


# Properties

KEYS = st.builds(
    make_event,
    at=st.sampled_from([datetime(2023, 4, 1, hour, tzinfo=UTC) for hour in (0, 20, 21, 23)]),
    user_id=st.sampled_from(["a" * 32, "b" * 32]),
    attempt_type=st.sampled_from(AttemptType),
    lis_result_sourcedid=st.sampled_from([None, "", "course:task:student"]),
    is_correct=st.sampled_from([None, False, True]),
    oauth_consumer_key=st.sampled_from([None, ""]),
    defects=st.sampled_from([(), (Defect.PASSBACK_MISSING,)]),
)
REJECTS = st.builds(make_rejected, raw=st.sampled_from(["{}", "[]", '{"a": 1}']), reason=st.sampled_from(Reason))
ITEMS = st.lists(st.one_of(KEYS, KEYS, KEYS, REJECTS), max_size=12)
DAYS = st.sampled_from([make_day(), make_day(zone="Europe/Moscow"), make_day(APRIL_2, "Europe/Moscow")])
LOADS = st.lists(st.tuples(DAYS, ITEMS, st.integers(1, 2), st.booleans()), min_size=1, max_size=4)


class Model:
    """What the warehouse ought to hold and to count, in plain Python."""

    def __init__(self) -> None:
        self.table: dict[tuple[Any, ...], Event] = {}
        self.quarantine: Counter[tuple[date, str]] = Counter()

    def load(self, day: Any, items: Sequence[Event | Rejected], *, reset: bool) -> Counts:
        """Load a day and count."""
        if reset:
            self.table.clear()
        events = [item for item in items if isinstance(item, Event)]
        rejected = Counter((day.date, item.raw) for item in items if isinstance(item, Rejected))
        last = {(e.created_at, e.user_id, e.attempt_type, e.lis_result_sourcedid): e for e in events}
        loaded = sum(key not in self.table for key in last)
        updated = sum(key in self.table and self.table[key] != event for key, event in last.items())
        self.quarantine |= rejected
        missing = sum(key[0] in day.window and key not in last for key in self.table)
        self.table |= last
        return Counts(
            received=len(items),
            loaded=loaded,
            updated=updated,
            already_present=len(events) - loaded - updated,
            rejected=rejected.total(),
            defective=sum(bool(event.defects) for event in events),
            missing_at_source=missing,
        )


@settings(ONE_DATABASE, max_examples=120)
@given(loads=LOADS)
def test_any_loads_keep_every_event_and_count_it(
    warehouse: Warehouse, loads: list[tuple[Any, list[Event | Rejected], int, bool]]
) -> None:
    """Conservation: table, quarantine and counts are those of a plain model, and n loads are as one."""
    warehouse.execute("TRUNCATE lms_activities, lms_activities_rejected")
    model = Model()

    for day, all_items, times, wish in loads:
        items = [item for item in all_items if isinstance(item, Rejected) or item.created_at in day.window]
        reset = wish and any(isinstance(item, Event) for item in items)
        for time_ in range(times):
            counts = warehouse.load(*items, day=day, reset=reset and time_ == 0)

            assert counts == model.load(day, items, reset=reset and time_ == 0)
            assert counts.balanced
            assert warehouse.events() == set(model.table.values())
            assert warehouse.quarantine() == model.quarantine


STORABLE = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)
NASTY = st.sampled_from(
    ["\\.", "\\N", "\\", "\t", "\r\n", "\n\\.\n", "\\t", "\\x41", "\\\\.", "", " ", "\x7f\x1a\b\f\v"]
)
TEXTS = st.lists(STORABLE | NASTY, min_size=1, max_size=4).map("".join)


@settings(ONE_DATABASE, max_examples=60)
@given(texts=st.lists(st.tuples(TEXTS, TEXTS, TEXTS, TEXTS), min_size=1, max_size=20), raws=st.lists(TEXTS, max_size=5))
def test_any_storable_text_is_kept_to_the_byte(
    warehouse: Warehouse, texts: list[tuple[str, str, str, str]], raws: list[str]
) -> None:
    """COPY's own signs, line ends, controls and all of Unicode come back as they were sent."""
    warehouse.execute("TRUNCATE lms_activities, lms_activities_rejected")
    start = datetime(2023, 4, 1, tzinfo=UTC)
    events = [
        make_event(
            start + timedelta(seconds=second),
            user_id=user,
            oauth_consumer_key=key,
            lis_result_sourcedid=sourcedid,
            lis_outcome_service_url=url,
        )
        for second, (user, key, sourcedid, url) in enumerate(texts)
    ]

    counts = warehouse.load(*events, *map(make_rejected, raws))

    assert counts == counted(received=len(events) + len(raws), loaded=len(events), rejected=len(raws))
    assert warehouse.events() == set(events)
    assert warehouse.quarantine() == Counter((APRIL_1, raw) for raw in raws)
    assert warehouse.load(*events).already_present == len(events)


@pytest.mark.parametrize("number", [0, 1, 1_999, 2_000], ids="{} bytes".format)
def test_longest_field_that_is_let_in_fits_the_key(warehouse: Warehouse, number: int) -> None:
    """The key's index takes the longest fields: 255 characters of a user id, 2,000 bytes of a task."""
    incompressible = "".join(chr(0x21 + i * i * 31 % 93) for i in range(number))
    event = make_event(user_id="x" * 255, lis_result_sourcedid=incompressible)

    assert warehouse.load(event).loaded == 1
    assert warehouse.events() == {event}


# All or nothing


def assert_nothing_happened(warehouse: Warehouse, before: list[tuple[Any, ...]]) -> None:
    """Check from outside that a load left no trace but its ledger row."""
    assert warehouse.rows() == before
    assert warehouse.quarantine() == {}
    assert (warehouse.run()["status"], warehouse.run()["received"]) == ("running", None)
    assert (
        warehouse.number("SELECT count(*) FROM pg_locks WHERE locktype = 'relation' AND mode LIKE '%%Exclusive%%'") == 0
    )


DROP_NEW = "IF NEW.created_at::time = '00:00:06' THEN RETURN NULL; END IF; RETURN NEW;"
DROP_OLD = "IF NEW.created_at::time = '00:00:03' THEN RETURN NULL; END IF; RETURN NEW;"
KEEP_OLD = "NEW.is_correct = OLD.is_correct; RETURN NEW;"


@pytest.mark.parametrize(
    ("body", "when"),
    [
        (DROP_NEW, "BEFORE INSERT ON lms_activities FOR EACH ROW"),
        (DROP_OLD, "BEFORE UPDATE ON lms_activities FOR EACH ROW"),
        (KEEP_OLD, "BEFORE UPDATE ON lms_activities FOR EACH ROW"),
        ("NEW.is_correct = NULL; RETURN NEW;", "BEFORE INSERT ON lms_activities FOR EACH ROW"),
        ("NEW.created_at = NEW.created_at + '1 day'; RETURN NEW;", "BEFORE INSERT ON lms_activities FOR EACH ROW"),
        (
            "DELETE FROM lms_activities WHERE created_at::time = '00:00:01'; RETURN NULL;",
            "AFTER INSERT ON lms_activities FOR EACH STATEMENT",
        ),
        ("RETURN NULL;", "BEFORE INSERT ON lms_activities_rejected FOR EACH ROW"),
    ],
    ids=["insert lost", "correction lost", "correction undone", "value changed", "moved", "deleted", "reject lost"],
)
def test_row_that_does_not_arrive_aborts_the_load(warehouse: Warehouse, body: str, when: str) -> None:
    """Whatever makes the table differ from what was sent, all of the load is rolled back."""
    held = make_events(5)
    warehouse.load(*held)
    before = warehouse.rows()
    warehouse.trigger(body, when)

    with pytest.raises(LoadRefusedError, match="do not balance"):
        warehouse.load(*make_events(8, is_correct=True), make_rejected())

    assert_nothing_happened(warehouse, before)
    warehouse.no_triggers()
    assert warehouse.load(*make_events(8, is_correct=True)) == counted(received=8, loaded=3, updated=5)


@pytest.mark.parametrize("lost", ["events", "rejected_events"])
@pytest.mark.parametrize("empty", [True, False], ids=["straight", "merged"])
def test_row_that_is_not_copied_aborts_the_load(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, lost: str, empty: bool
) -> None:
    """Rows sent = rows copied, for the events and for the rejected ones, into an empty day and into a staged one."""
    if not empty:
        warehouse.load(make_event("23:00:00"))
    before = warehouse.rows()
    whole = getattr(Spool, lost)

    class Cut(BytesIO):
        until = None

    def cut(spool: Spool) -> Cut:
        reader = whole(spool)
        data = b"".join(iter(lambda: reader.read(1_000), b""))
        if lost == "rejected_events":
            return Cut(data[: data.rindex(b"\n", 0, -1) + 1])
        return Cut(data[: data.rindex(head(warehouse.run_ids[-1]))] + data[-2:])

    if lost == "events":
        monkeypatch.setattr(Spool, "parts", lambda spool: iter([cut(spool)]))
    monkeypatch.setattr(Spool, lost, cut)
    with pytest.raises(LoadRefusedError, match="do not balance"):
        warehouse.load(*make_events(3), make_rejected("[]"), make_rejected("{}"))

    assert_nothing_happened(warehouse, before)


def by_hours(events: Iterable[Event]) -> list[Batch]:
    """Return what a fetch brings hour by hour, an hour without events for itself."""
    answers: dict[int, list[Event]] = {hour: [] for hour in range(24)}
    for event in events:
        answers[event.created_at.hour].append(event)
    start = make_day().window.start
    bounds = [start + timedelta(hours=hour) for hour in range(25)]
    return [pack(Window(*bounds[hour : hour + 2]), answers[hour]) for hour in range(24)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("part", [1, 3_000, 4 * 1024 * 1024], ids=["hour by hour", "some hours", "in one go"])
def test_known_day_is_compared_part_by_part_as_it_would_be_as_a_whole(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, part: int, seed: int
) -> None:
    """However it is divided: what is new, corrected, known and no longer sent is counted once and merged by key."""
    monkeypatch.setattr(spool_module, "_PART", part)
    dice = Random(seed)
    hours = dice.sample(range(24), 15)  # some are empty
    start = make_day().window.start
    moments = {start + timedelta(hours=dice.choice(hours), minutes=dice.randrange(60)) for _ in range(150)}
    known = {moment: make_event(moment) for moment in moments if dice.random() < 0.7}
    now = {moment: make_event(moment, is_correct=dice.random() < 0.2) for moment in moments if dice.random() < 0.8}
    assert warehouse.load_batches(by_hours(known.values())) == counted(received=len(known), loaded=len(known))

    counts = warehouse.load_batches(by_hours(now.values()))

    both = known.keys() & now.keys()
    corrected = sum(now[moment] != known[moment] for moment in both)
    assert counts == counted(
        received=len(now),
        loaded=len(now.keys() - known.keys()),
        updated=corrected,
        already_present=len(both) - corrected,
        missing_at_source=len(known.keys() - now.keys()),
    )
    assert warehouse.events() == {*(known | now).values()}


def test_rows_of_another_run_abort_the_load(warehouse: Warehouse) -> None:
    """A row names the run that loaded it, or is not loaded."""
    run_id = warehouse.begin()
    with pytest.raises(LoadRefusedError, match="do not balance"):
        put_data.load(
            warehouse.database, run_id, make_day(), fetched_for(run_id + 1, fetched(make_day(), make_events(3)))
        )

    assert warehouse.rows() == []


def test_windows_that_go_back_in_time_abort_the_load(warehouse: Warehouse) -> None:
    """What was compared already must not be added to."""
    first, second, *_ = by_hours([make_event("00:30:00"), make_event("01:30:00")])
    with pytest.raises(LoadRefusedError, match="do not balance"):
        warehouse.load_batches([second, first])
    assert_nothing_happened(warehouse, [])


@pytest.mark.parametrize("moment", [datetime(2023, 3, 31, 23, 59, tzinfo=UTC), datetime(2023, 4, 2, tzinfo=UTC)])
def test_event_outside_the_window_aborts_the_load(warehouse: Warehouse, moment: datetime) -> None:
    """A part of another day is not slipped in, new or known."""
    other = make_day(moment.date())
    batches = [*fetched(make_day(), [make_event()]), *fetched(other, [make_event(moment)])]
    with pytest.raises(LoadRefusedError, match="do not balance"):
        warehouse.load_batches(batches)
    assert_nothing_happened(warehouse, [])

    warehouse.load(make_event(moment), day=other)
    with pytest.raises(LoadRefusedError, match="do not balance"):
        warehouse.load_batches(batches)


@pytest.mark.parametrize(
    ("body", "when"),
    [
        ("RAISE EXCEPTION 'no';", "BEFORE INSERT ON lms_activities FOR EACH ROW"),
        ("RAISE EXCEPTION 'no';", "BEFORE INSERT ON lms_activities_rejected FOR EACH ROW"),
        ("RAISE EXCEPTION 'no';", "BEFORE UPDATE ON etl_runs FOR EACH ROW"),
        ("RAISE EXCEPTION 'no';", AT_COMMIT),
    ],
    ids=["first row", "quarantine", "ledger", "commit"],
)
def test_failure_anywhere_rolls_everything_back(warehouse: Warehouse, body: str, when: str) -> None:
    """A failure at the first row, in quarantine, in the ledger or at the commit itself leaves the table as it was."""
    warehouse.load(*make_events(5))
    before = warehouse.rows()
    warehouse.trigger(body, when)

    with pytest.raises(DatabaseError, match=r"refused a statement \(SQLSTATE P0001\)"):
        warehouse.load(*make_events(50), make_rejected())

    assert_nothing_happened(warehouse, before)
    warehouse.no_triggers()
    assert warehouse.load(*make_events(50), make_rejected()) == counted(
        received=51, loaded=45, already_present=5, rejected=1
    )


def test_connection_is_of_use_after_a_failed_load(warehouse: Warehouse) -> None:
    """After a rollback, statements commit by themselves again: the ledger can be told of the failure."""
    warehouse.trigger("RAISE EXCEPTION 'no';", AT_COMMIT)
    with pytest.raises(DatabaseError):
        warehouse.load(make_event())

    assert warehouse.database.connection.autocommit
    warehouse.database.rows("UPDATE etl_runs SET status = 'failed'")
    assert warehouse.run()["status"] == "failed"


def test_ledger_row_that_is_gone_stops_the_load(warehouse: Warehouse) -> None:
    """Nothing is loaded that the ledger would not know of."""
    with pytest.raises(DatabaseError, match="lost the row of this run"):
        put_data.load(warehouse.database, 4711, make_day(), fetched_for(4711, fetched(make_day(), make_events(3))))

    assert warehouse.rows() == []


def test_counts_are_part_of_the_load(warehouse: Warehouse) -> None:
    """The load's transaction itself writes the counts and marks the row partial: a kill afterwards leaves the truth."""
    counts = warehouse.load(*make_events(3), make_rejected())

    run = warehouse.run()
    assert run["status"] == "partial"
    assert {name: run[name] for name in asdict(counts)} == asdict(counts)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("53100", "The disk of the database is full"),
        ("42501", "lacks a right"),
        ("25006", "only allows reading"),
        ("23514", r"refused a statement \(SQLSTATE 23514\)"),
    ],
)
def test_lasting_failure_is_told_and_not_repeated(warehouse: Warehouse, code: str, text: str) -> None:
    """What another try would only meet again is told at once, by its cause."""
    warehouse.trigger(f"PERFORM nextval('kills'); RAISE EXCEPTION 'no' USING ERRCODE = '{code}';")

    with pytest.raises(DatabaseError, match=text) as caught:
        warehouse.load(make_event())

    assert not isinstance(caught.value, TransientDatabaseError)
    assert caught.value.remedy
    assert warehouse.number("SELECT last_value FROM kills") == 1
    assert_nothing_happened(warehouse, [])


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("code", ["40001", "40P01", "55P03", "57014", "53300", "08006"])
def test_passing_failure_is_tried_again_as_a_whole(warehouse: Warehouse, code: str) -> None:
    """A deadlock, a lock or statement time-out and the like: the whole transaction again, and the result is right."""
    warehouse.trigger(f"IF nextval('kills') < 3 THEN RAISE EXCEPTION 'x' USING ERRCODE = '{code}'; END IF; RETURN NEW;")

    assert warehouse.load(*make_events(10), make_rejected()) == counted(received=11, loaded=10, rejected=1)
    assert len(warehouse.events()) == 10
    assert warehouse.quarantine().total() == 1


@pytest.mark.usefixtures("impatient")
def test_passing_failure_that_does_not_pass_ends_the_load(warehouse: Warehouse) -> None:
    """Three tries, then the error; nothing is visible."""
    warehouse.trigger("PERFORM nextval('kills'); RAISE EXCEPTION 'x' USING ERRCODE = '40001';")

    with pytest.raises(TransientDatabaseError, match=r"busy or restarting \(SQLSTATE 40001\)"):
        warehouse.load(*make_events(10))

    assert warehouse.number("SELECT last_value FROM kills") == 3
    assert_nothing_happened(warehouse, [])


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("when", ["BEFORE INSERT ON lms_activities FOR EACH ROW", AT_COMMIT], ids=["insert", "commit"])
def test_killed_backend_is_survived(warehouse: Warehouse, when: str) -> None:
    """Where PostgreSQL ends the backend in the middle or at the commit, one reconnect and the load is whole."""
    warehouse.trigger(KILL_ONCE, when)

    with warehouse.database.locked_day(APRIL_1):
        counts = warehouse.load(*make_events(1_000))

    assert counts == counted(received=1_000, loaded=1_000)
    assert len(warehouse.events()) == 1_000
    assert warehouse.run()["loaded"] == 1_000


@pytest.mark.usefixtures("impatient")
def test_backend_killed_for_ever_leaves_nothing(warehouse: Warehouse) -> None:
    """Where every try is killed, the load fails, nothing is visible, and the ledger still has the run."""
    warehouse.trigger(KILL_ALWAYS)

    with pytest.raises(DatabaseError):
        warehouse.load(*make_events(10), make_rejected())

    assert_nothing_happened(warehouse, [])
    assert warehouse.database.rows("SELECT 1") == [(1,)]


@pytest.mark.usefixtures("impatient")
def test_backend_killed_in_the_middle_of_copy(warehouse: Warehouse, proxy: PostgresProxy) -> None:
    """A connection that dies under COPY, where the driver knows no SQLSTATE, is tried again as a whole."""
    events = make_events(20_000)
    proxy.cut_at, proxy.before, proxy.times = stamp(make_event("02:00:00").created_at), True, 2

    with connected(proxy.url) as database:
        run_id = ledger.begin(database, make_day())
        counts = put_data.load(database, run_id, make_day(), fetched_for(run_id, fetched(make_day(), events)))

    assert proxy.cuts == 2
    assert counts == counted(received=20_000, loaded=20_000)
    assert warehouse.number("SELECT count(*) FROM lms_activities") == 20_000


# A cut at the commit


@pytest.fixture
def through_proxy(warehouse: Warehouse, proxy: PostgresProxy, impatient: None) -> Iterator[Warehouse]:
    """Have the program reach the warehouse through the proxy."""
    with connected(proxy.url) as database:
        yield replace(warehouse, database=database, run_ids=[])


def test_cut_after_the_commit_is_decided_by_the_ledger(through_proxy: Warehouse, proxy: PostgresProxy) -> None:
    """Where the answer to COMMIT is lost, the ledger tells that it took place: no second load, the true counts."""
    through_proxy.load(*make_events(5))
    run_id = through_proxy.begin()
    proxy.cut_at, proxy.times = COMMIT, 1

    counts = through_proxy.load(*make_events(10), run_id=run_id)

    assert proxy.cuts == 1
    assert counts == counted(received=10, loaded=5, already_present=5)
    assert len(through_proxy.events()) == 10
    assert through_proxy.run()["loaded"] == 5


def test_cut_before_the_commit_arrives_is_loaded_again(through_proxy: Warehouse, proxy: PostgresProxy) -> None:
    """Where COMMIT itself is lost, the ledger tells that it did not take place: the load is done again, once."""
    run_id = through_proxy.begin()
    proxy.cut_at, proxy.before, proxy.times = COMMIT, True, 1

    assert through_proxy.load(*make_events(10), run_id=run_id) == counted(received=10, loaded=10)
    assert proxy.cuts == 1
    assert len(through_proxy.events()) == 10


@pytest.mark.parametrize("before", [True, False], ids=["commit lost", "answer lost"])
def test_cut_at_the_commit_with_the_database_gone_is_told_as_unknown(
    warehouse: Warehouse, through_proxy: Warehouse, proxy: PostgresProxy, before: bool
) -> None:
    """Where nobody can be asked whether the commit took place, no error claims either; the next run sorts it out."""
    run_id = through_proxy.begin()
    proxy.cut_at, proxy.before, proxy.times, proxy.refusing_after_cut = COMMIT, before, 1, 99

    with pytest.raises(DatabaseError, match="whether they were is unknown") as caught:
        through_proxy.load(*make_events(10), run_id=run_id)

    assert "nothing is loaded twice" in str(caught.value)
    counts = warehouse.load(*make_events(10))
    assert counts == (counted(received=10, loaded=10) if before else counted(received=10, already_present=10))


def test_database_gone_before_the_commit_is_no_doubt(through_proxy: Warehouse, proxy: PostgresProxy) -> None:
    """A connection lost before the commit was asked for has loaded nothing, and the error says so."""
    run_id = through_proxy.begin()
    proxy.cut_at, proxy.before, proxy.times, proxy.refusing_after_cut = b"COPY", True, 1, 99

    with pytest.raises(DatabaseError, match="cannot be reached; nothing was loaded"):
        through_proxy.load(*make_events(10), run_id=run_id)

    assert through_proxy.rows() == []


# Interrupts


@pytest.fixture
def absent_standby(postgres_server: PostgresServer) -> Iterator[None]:
    """Have commits that ask for it wait for a standby that does not come, after they have taken place here."""
    with postgres_server.administrator() as connection, connection.cursor() as cursor:
        cursor.execute("ALTER SYSTEM SET synchronous_standby_names = 'absent'")
        cursor.execute("SELECT pg_reload_conf()")
        time.sleep(0.5)  # the checkpointer has to hear of it
        yield
        cursor.execute("ALTER SYSTEM RESET synchronous_standby_names")
        cursor.execute("SELECT pg_reload_conf()")


@pytest.mark.parametrize("when", ["BEFORE INSERT ON lms_activities FOR EACH ROW", AT_COMMIT], ids=["insert", "commit"])
def test_ctrl_c_cancels_the_statement_and_leaves_nothing(warehouse: Warehouse, when: str) -> None:
    """Ctrl-C while PostgreSQL is busy: cancelled at once, rolled back, the day free again, the connection of use."""
    warehouse.trigger(SLEEP, when)
    started = time.monotonic()

    with (
        pytest.raises(KeyboardInterrupt),
        warehouse.database.locked_day(APRIL_1),
        ctrl_c(warehouse.wait_until_busy),
    ):
        warehouse.load(*make_events(100), make_rejected())

    assert time.monotonic() - started < 15
    assert_nothing_happened(warehouse, [])
    assert ledger.committed_counts(warehouse.database, warehouse.run_ids[-1]) is None
    with connected(warehouse.url) as other, other.locked_day(APRIL_1, wait=0):
        pass


def test_second_ctrl_c_waits_for_the_rollback(warehouse: Warehouse) -> None:
    """Who presses twice gets no half-done transaction: the connection is the load's until it has ended."""
    warehouse.trigger(
        "FOR round IN 1..5 LOOP"
        "  BEGIN PERFORM pg_sleep(30); EXCEPTION WHEN query_canceled THEN NULL; END; "
        "END LOOP; RETURN NEW;"
    )

    def press_once() -> None:
        warehouse.wait_until_busy()
        press_ctrl_c()
        time.sleep(0.4)

    with pytest.raises(KeyboardInterrupt), ctrl_c(press_once):
        warehouse.load(make_event())

    assert warehouse.database.connection.autocommit
    assert not [thread for thread in threading.enumerate() if thread.name == "load"]
    assert_nothing_happened(warehouse, [])


def test_cancel_that_is_not_heeded_is_followed_by_a_cut(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the load within a limit, even where PostgreSQL goes on for a while; nothing of it stays."""
    monkeypatch.setattr("warehouse.interruptible._PATIENCE", 0.5)
    warehouse.trigger("LOOP  BEGIN PERFORM pg_sleep(30); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP;")
    started = time.monotonic()

    with pytest.raises(KeyboardInterrupt), ctrl_c(warehouse.wait_until_busy):
        warehouse.load(make_event())

    assert time.monotonic() - started < 15
    assert ledger.committed_counts(warehouse.database, warehouse.run_ids[-1]) is None
    assert warehouse.rows() == []


@pytest.mark.usefixtures("impatient")
def test_interrupted_load_is_not_tried_again(warehouse: Warehouse, caplog: pytest.LogCaptureFixture) -> None:
    """A cancelled statement looks like one that may pass; after an interrupt nothing is begun anew."""
    warehouse.trigger(f"PERFORM nextval('kills'); {SLEEP}")

    with pytest.raises(KeyboardInterrupt), ctrl_c(warehouse.wait_until_busy):
        warehouse.load(make_event())

    assert warehouse.number("SELECT last_value FROM kills") == 1
    assert "attempt" not in caplog.text


def test_interrupt_between_statements_is_heard(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancel that meets no statement is not forgotten: the load ends before its commit."""
    record_load = ledger.record_load
    reached = threading.Event()

    def slow(*arguments: Any) -> None:
        record_load(*arguments)
        reached.set()
        time.sleep(0.5)

    monkeypatch.setattr("warehouse.ledger.record_load", slow)

    with pytest.raises(KeyboardInterrupt), ctrl_c(reached.wait):
        warehouse.load(*make_events(10))

    assert_nothing_happened(warehouse, [])


def test_interrupt_after_the_commit_leaves_the_load(warehouse: Warehouse, absent_standby: None) -> None:
    """An interrupt that comes when the commit has gone through cannot undo it; the ledger tells so."""
    warehouse.database.rows("SET synchronous_commit = local")
    run_id = warehouse.begin()
    warehouse.database.rows("SET synchronous_commit = on")

    with pytest.raises(KeyboardInterrupt), ctrl_c(lambda: warehouse.wait_until_busy("SyncRep")):
        warehouse.load(*make_events(10), run_id=run_id)

    assert ledger.committed_counts(warehouse.database, run_id) == counted(received=10, loaded=10)
    assert len(warehouse.rows()) == 10


def test_interrupt_ends_the_waiting_for_a_lost_database(
    through_proxy: Warehouse, proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C is heard while the load waits to connect again."""
    monkeypatch.setattr("warehouse.connection._FIRST_DELAY", 30)
    run_id = through_proxy.begin()
    proxy.cut_at, proxy.before, proxy.times, proxy.refusing_after_cut = b"COPY", True, 1, 99
    started = time.monotonic()

    with pytest.raises(KeyboardInterrupt), ctrl_c(lambda: time.sleep(0.5)):
        through_proxy.load(*make_events(10), run_id=run_id)

    assert time.monotonic() - started < 15


# While the day is fetched


def long_day(wait: Callable[[], object], *, at_the_end: Callable[[], object] = lambda: None) -> Iterator[Batch]:
    """Yield a day hour by hour, long enough that its load begins before its end; `wait` for that near the end."""
    start = make_day().window.start
    for hour in range(24):
        window = Window(start + timedelta(hours=hour), start + timedelta(hours=hour + 1))
        yield pack(window, [make_event(window.start + timedelta(seconds=second)) for second in range(200)])
        if hour == 22:
            wait()
            at_the_end()


def copying(warehouse: Warehouse) -> Callable[[], None]:
    """Return a function that waits until the load copies."""
    return lambda: warehouse.wait_until_busy("ClientRead", "COPY%")


def fail() -> None:
    """Raise what a source raises that is gone."""
    raise SourceError("The source cannot be reached.")


@pytest.mark.parametrize("known", [0, 1], ids=["empty day", "known day"])
def test_long_day_is_copied_while_it_is_fetched(warehouse: Warehouse, known: int) -> None:
    """The load does not wait for the last window, and what came before it is not seen before the commit."""
    warehouse.load(*make_events(known))
    seen: list[int] = []

    counts = warehouse.load_batches(
        long_day(copying(warehouse), at_the_end=lambda: seen.append(len(warehouse.rows()))),
    )

    assert seen == [known]
    assert counts == counted(received=4_800, loaded=4_800 - known, already_present=known)
    assert len(warehouse.rows()) == 4_800


@pytest.mark.parametrize("known", [0, 1], ids=["empty day", "known day"])
def test_source_that_fails_in_the_middle_of_the_load_leaves_nothing(warehouse: Warehouse, known: int) -> None:
    """What was copied of a day that is not whole is rolled back; the error is the source's, the connection of use."""
    warehouse.load(*make_events(known))
    before = warehouse.rows()

    with pytest.raises(SourceError, match="cannot be reached"):
        warehouse.load_batches(long_day(copying(warehouse), at_the_end=fail))

    assert_nothing_happened(warehouse, before)
    assert warehouse.load(*make_events(3)) == counted(received=3, loaded=3 - known, already_present=known)


def test_ctrl_c_in_the_fetch_rolls_the_load_back(warehouse: Warehouse) -> None:
    """An interrupt while the source is waited for ends the load that has begun."""
    pressed = threading.Event()

    def press() -> None:
        pressed.set()
        for _ in range(600):  # a signal that comes just before a sleep is heard behind it
            time.sleep(0.05)

    with pytest.raises(KeyboardInterrupt), ctrl_c(pressed.wait):
        warehouse.load_batches(long_day(copying(warehouse), at_the_end=press))

    assert_nothing_happened(warehouse, [])


def test_load_that_cannot_begin_ends_the_fetch(warehouse: Warehouse) -> None:
    """Where the load has failed already, the source is not asked for the rest of the day."""
    warehouse.execute("ALTER TABLE lms_activities RENAME TO elsewhere")
    whole = threading.Event()

    def batches() -> Iterator[Batch]:
        yield from fetched(make_day(), make_events(10_000))
        for _ in range(600):
            time.sleep(0.05)
            yield from fetched(make_day(), [])
        whole.set()

    with pytest.raises(DatabaseError):
        warehouse.load_batches(batches())

    assert not whole.is_set()


@pytest.mark.usefixtures("impatient")
def test_connection_lost_in_the_fetch_is_made_up_for_without_the_source(
    warehouse: Warehouse, proxy: PostgresProxy
) -> None:
    """What was fetched is kept: the load begins again, the fetch goes on where it was."""
    proxy.cut_at, proxy.before, proxy.times = stamp(make_event("08:00:10").created_at), True, 1

    def cut() -> None:
        limit = time.monotonic() + 30
        while not proxy.cuts:
            assert time.monotonic() < limit
            time.sleep(0.02)

    with connected(proxy.url) as database:
        run_id = ledger.begin(database, make_day())
        counts = put_data.load(database, run_id, make_day(), fetched_for(run_id, long_day(cut)))

    assert proxy.cuts == 1
    assert counts == counted(received=4_800, loaded=4_800)
    assert len(warehouse.rows()) == 4_800


def test_reset_waits_for_the_whole_day(warehouse: Warehouse) -> None:
    """Nothing is emptied, and nothing locked, before the day is there."""
    warehouse.load(make_event(datetime(2023, 4, 2, 5, tzinfo=UTC)), day=make_day(APRIL_2))

    def batches() -> Iterator[Batch]:
        yield from fetched(make_day(), make_events(5_000))
        time.sleep(0.3)
        assert warehouse.number("SELECT count(*) FROM pg_locks WHERE mode = 'ShareRowExclusiveLock'") == 0
        fail()

    with pytest.raises(SourceError):
        warehouse.load_batches(batches(), reset=True)

    assert len(warehouse.rows()) == 1


CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
import put_data
from tests.support.loading import connected, fetched, fetched_for, make_day, make_events
from warehouse import ledger
with connected(sys.argv[2]) as database, database.locked_day(make_day().date):
    run_id = ledger.begin(database, make_day())
    put_data.load(database, run_id, make_day(), fetched_for(run_id, fetched(make_day(), make_events(100))))
"""


def test_killed_process_leaves_nothing_and_the_next_run_goes_on(warehouse: Warehouse) -> None:
    """SIGKILL in the middle: nothing visible; the next run waits until the backend is gone, then loads as if alone."""
    warehouse.trigger("IF nextval('kills') = 1 THEN PERFORM pg_sleep(60); END IF; RETURN NEW;")
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(HOME), warehouse.url])
    try:
        warehouse.wait_until_busy()
    finally:
        child.kill()
        child.wait()

    with warehouse.database.locked_day(APRIL_1, wait=30):
        ledger.interrupt_stale_runs(warehouse.database)
        counts = warehouse.load(*make_events(100))

    assert counts == counted(received=100, loaded=100)
    assert warehouse.select("SELECT status FROM etl_runs ORDER BY id") == [("interrupted",), ("partial",)]


# At once


def test_load_sees_one_snapshot(warehouse: Warehouse) -> None:
    """All counts of a load come from one snapshot: rows of another's commit meanwhile do not upset them."""
    warehouse.load(make_event("05:00:00"))
    warehouse.pause_first("BEFORE INSERT ON lms_activities FOR EACH STATEMENT")
    insert = (
        "INSERT INTO lms_activities (user_id, created_at, attempt_type, run_id, loaded_at) "
        "VALUES ('other', '2023-04-01 08:00+00', 'run', 1, now())"
    )

    with in_background(lambda: warehouse.go_on(insert)):
        counts = warehouse.load(make_event("05:00:00"), make_event())

    assert counts == counted(received=2, loaded=1, already_present=1)
    assert len(warehouse.rows()) == 3


@pytest.mark.usefixtures("impatient")
def test_same_row_inserted_meanwhile_is_met_by_another_try(warehouse: Warehouse) -> None:
    """Where another session commits one of our rows during the load, the load begins again and counts it as present."""
    warehouse.pause_first("BEFORE INSERT ON lms_activities FOR EACH STATEMENT")
    event = make_event()
    insert = (
        "INSERT INTO lms_activities "
        "(user_id, created_at, attempt_type, lis_result_sourcedid, is_correct, run_id, loaded_at) "
        f"VALUES ('{event.user_id}', '2023-04-01 12:00+00', 'submit', '{event.lis_result_sourcedid}', true, 1, now())"
    )

    with in_background(lambda: warehouse.go_on(insert)):
        counts = warehouse.load(event, make_event("13:00:00"))

    assert counts == counted(received=2, loaded=1, updated=1)
    assert warehouse.events() == {event, make_event("13:00:00")}


def test_loads_of_the_same_day_and_of_others_at_once(warehouse: Warehouse) -> None:
    """Several runs at once: those of one day one after the other, the later find everything present; no event twice."""
    days = [make_day(APRIL_1), make_day(APRIL_1), make_day(APRIL_1), make_day(APRIL_2)]
    events = {
        day.date: [
            make_event(event.created_at + timedelta(days=(day.date - APRIL_1).days)) for event in make_events(300)
        ]
        for day in days
    }

    def run(day: Any) -> Counts:
        with connected(warehouse.url) as database, database.locked_day(day.date):
            run_id = ledger.begin(database, day)
            return put_data.load(database, run_id, day, fetched_for(run_id, fetched(day, events[day.date])))

    with (
        in_background(lambda: run(days[0])) as first,
        in_background(lambda: run(days[1])) as second,
        in_background(lambda: run(days[2])) as third,
        in_background(lambda: run(days[3])) as other,
    ):
        pass

    assert sorted(counts.loaded for counts in [*first, *second, *third]) == [0, 0, 300]
    assert all(counts.balanced for counts in [*first, *second, *third])
    assert other == [counted(received=300, loaded=300)]
    assert len(warehouse.events()) == 600


# Reset


def test_reset_leaves_what_this_load_brings(warehouse: Warehouse) -> None:
    """A reset empties the events table of all days; quarantine and ledger stay."""
    warehouse.load(make_event(datetime(2023, 3, 1, tzinfo=UTC)), make_rejected("{}"), day=make_day(date(2023, 3, 1)))
    warehouse.load(*make_events(5))

    counts = warehouse.load(*make_events(3), reset=True)

    assert counts == counted(received=3, loaded=3)
    assert warehouse.events() == set(make_events(3))
    assert warehouse.quarantine().total() == 1
    assert warehouse.number("SELECT count(*) FROM etl_runs") == 3


@pytest.mark.parametrize("items", [[], [make_rejected()]], ids=["nothing", "only rejected"])
def test_reset_is_refused_where_no_valid_event_came(warehouse: Warehouse, items: list[Rejected]) -> None:
    """The table is not emptied for an answer without an event to load."""
    warehouse.load(*make_events(5))
    before = warehouse.rows()

    with pytest.raises(LoadRefusedError, match="the table was not emptied"):
        warehouse.load(*items, reset=True)

    assert_nothing_happened(warehouse, before)


def test_reset_is_refused_in_a_test_run(warehouse: Warehouse) -> None:
    """The first hour of a day does not replace the table."""
    warehouse.load(*make_events(5))
    before = warehouse.rows()

    with pytest.raises(LoadRefusedError, match="test run does not empty"):
        warehouse.load(make_event("00:10:00"), day=make_day(mode=Mode.TEST), reset=True)

    assert_nothing_happened(warehouse, before)


@pytest.mark.parametrize("when", ["BEFORE INSERT ON lms_activities FOR EACH ROW", AT_COMMIT], ids=["insert", "commit"])
def test_reset_is_undone_when_the_load_fails(warehouse: Warehouse, when: str) -> None:
    """The reset is part of the load's transaction: a failure at the insert or at the commit brings every row back."""
    warehouse.load(*make_events(5))
    before = warehouse.rows()
    warehouse.trigger("RAISE EXCEPTION 'no';", when)

    with pytest.raises(DatabaseError):
        warehouse.load(*make_events(10), reset=True)

    assert [row[:-2] for row in warehouse.rows()] == [row[:-2] for row in before]
    assert_nothing_happened(warehouse, before)


def test_reader_sees_the_old_table_or_the_new_one(warehouse: Warehouse) -> None:
    """Who reads during a load with reset sees all of the old rows or all of the new ones, never none or a mixture."""
    warehouse.load(*make_events(50))
    warehouse.trigger("IF NEW.created_at::time = '00:00:50' THEN PERFORM pg_sleep(0.5); END IF; RETURN NEW;")
    seen: list[tuple[int, int]] = []
    done = threading.Event()

    def poll() -> None:
        with psycopg2.connect(warehouse.url) as reader, reader.cursor() as cursor:
            reader.autocommit = True
            while not done.is_set():
                cursor.execute("SELECT count(*), count(DISTINCT run_id) FROM lms_activities")
                seen.append(cursor.fetchone() or (0, 0))
        reader.close()

    with in_background(poll):
        warehouse.load(*make_events(70), reset=True)
        time.sleep(0.05)
        done.set()

    assert set(seen) == {(50, 1), (70, 1)}
    assert seen == sorted(seen)
    assert seen.count((50, 1)) > 3


@pytest.mark.usefixtures("impatient")
def test_reset_waits_for_a_load_at_work(warehouse: Warehouse) -> None:
    """A reset and another day's load do not mix: the rows of the one that comes later are there as a whole."""
    warehouse.trigger("IF nextval('kills') = 1 THEN PERFORM pg_sleep(0.7); END IF; RETURN NEW;")
    next_day = make_event(datetime(2023, 4, 2, 5, tzinfo=UTC))

    def reset() -> Counts:
        warehouse.wait_until_busy()
        with connected(warehouse.url) as database:
            batches = fetched(make_day(), make_events(3))
            run_id = ledger.begin(database, make_day())
            return put_data.load(database, run_id, make_day(), fetched_for(run_id, batches), reset=True)

    with in_background(reset) as results:
        warehouse.load(next_day, day=make_day(APRIL_2))

    assert results == [counted(received=3, loaded=3)]
    assert warehouse.events() == set(make_events(3))


# Rights, secrets, sessions

LEAST = (
    "TEMPORARY ON DATABASE {database}",
    "SELECT ON etl_schema_migrations",
    "SELECT, INSERT, UPDATE ON lms_activities, etl_runs, etl_publications",
    "SELECT, INSERT ON lms_activities_rejected",
)


@pytest.fixture
def least_privileged(warehouse: Warehouse, make_role: Callable[..., str]) -> Iterator[Warehouse]:
    """Work as a role that may neither create, nor drop, nor delete, nor truncate."""
    database = database_name(warehouse.url)
    url = make_role(*(grant.format(database=database) for grant in LEAST))
    with connected(url, migrated=True) as narrow:
        narrow.rows("SELECT 1")
        yield replace(warehouse, database=narrow, run_ids=[])


def test_role_without_rights_to_create_or_delete_loads(least_privileged: Warehouse) -> None:
    """SELECT, INSERT and UPDATE on our tables and TEMPORARY on the database are enough for every load."""
    with least_privileged.database.locked_day(APRIL_1):
        ledger.interrupt_stale_runs(least_privileged.database)
        assert least_privileged.load(*make_events(5), make_rejected()).loaded == 5
        assert least_privileged.load(*make_events(6, is_correct=True), make_rejected()).updated == 5


def test_role_without_the_right_to_delete_does_not_reset(least_privileged: Warehouse) -> None:
    """Only a reset needs DELETE: without it, it fails by the cause, and the table is as it was."""
    least_privileged.load(*make_events(5))

    with pytest.raises(DatabaseError, match="lacks a right"):
        least_privileged.load(*make_events(6), reset=True)
    assert len(least_privileged.rows()) == 5

    least_privileged.execute("GRANT DELETE ON lms_activities TO PUBLIC")
    assert least_privileged.load(*make_events(6), reset=True) == counted(received=6, loaded=6)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("code", ["P0001", "23514", "22P02", "57014", "40001"])
def test_no_row_data_in_errors_and_logs(warehouse: Warehouse, caplog: pytest.LogCaptureFixture, code: str) -> None:
    """What PostgreSQL says of a row, in message, detail or context, is neither in the error nor in the log."""
    caplog.set_level("DEBUG")
    canary = secrets.token_hex(8)
    message = "'no'" if code[:2] in {"57", "40"} else "'%', NEW.user_id"
    warehouse.trigger(f"RAISE EXCEPTION {message} USING ERRCODE = '{code}', DETAIL = '{canary}', HINT = '{canary}';")

    with pytest.raises(DatabaseError) as caught:
        warehouse.load(make_event(user_id=canary))

    told = [str(caught.value), repr(caught.value), repr(caught.value.fields), *traceback.format_exception(caught.value)]
    assert canary not in "".join(told) + caplog.text


def test_no_row_data_in_the_error_of_copy(warehouse: Warehouse, caplog: pytest.LogCaptureFixture) -> None:
    """A row that COPY refuses is not quoted."""
    caplog.set_level("DEBUG")
    canary = secrets.token_hex(8)
    refused = make_event(user_id=canary, oauth_consumer_key=f"{canary}\0")  # what no validation lets in

    with pytest.raises(DatabaseError, match="SQLSTATE 22021") as caught:
        warehouse.load(refused)

    assert canary not in "".join(traceback.format_exception(caught.value)) + caplog.text


SESSIONS = [
    "timezone = 'Asia/Kolkata'",
    "timezone = 'America/St_Johns'",
    "datestyle = 'SQL, DMY'",
    "datestyle = 'German'",
    "intervalstyle = 'sql_standard'",
    "bytea_output = 'escape'",
    "standard_conforming_strings = off",
    "default_transaction_isolation = 'serializable'",
    "client_encoding = 'LATIN1'",
    "extra_float_digits = -10",
    "enable_hashjoin = off",
]


@pytest.mark.parametrize("setting", SESSIONS)
def test_defaults_of_the_session_change_nothing(
    database_url: str,
    open_warehouse: Callable[[str], Warehouse],
    change_database: Callable[[str], None],
    setting: str,
) -> None:
    """Whatever the database's defaults are, rows, counts and moments are the same."""
    change_database(setting)
    warehouse = open_warehouse(database_url)
    events = [make_event("03:04:05.000001", oauth_consumer_key="a\\b'c\tд"), make_event("23:59:59.999999")]

    assert warehouse.load(*events, make_rejected('{"\\u0434": "\\\\"}')) == counted(received=3, loaded=2, rejected=1)
    assert warehouse.load(*events) == counted(received=2, already_present=2)
    assert warehouse.events() == set(events)
    assert warehouse.run()["window_start"] == datetime(2023, 4, 1, tzinfo=UTC)


def test_statuses_of_a_run_are_those_of_the_ledger(warehouse: Warehouse) -> None:
    """The table knows the statuses and modes of the contract, and no other."""
    statuses = {status.value for status in RunStatus}
    (constraint,) = warehouse.select(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'etl_runs_status_check'"
    )[0]

    assert all(f"'{status}'" in constraint for status in statuses)
    assert constraint.count("::text") == len(statuses)


def test_tables_are_those_of_the_contract(warehouse: Warehouse) -> None:
    """Names and types that dashboards rely on."""
    columns = warehouse.select(
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
    )
    found = {(table, column): kind for table, column, kind in columns}

    text, moment, number = "text", "timestamp with time zone", "bigint"
    promised = {
        "lms_activities": {
            "user_id": text,
            "created_at": moment,
            "oauth_consumer_key": text,
            "lis_result_sourcedid": text,
            "lis_outcome_service_url": text,
            "is_correct": "boolean",
            "attempt_type": text,
            "defects": "ARRAY",
            "run_id": number,
            "loaded_at": moment,
        },
        "lms_activities_rejected": {
            "run_id": number,
            "process_date": "date",
            "reason": text,
            "raw": text,
            "received_at": moment,
        },
        "etl_runs": {
            "id": number,
            "process_date": "date",
            "mode": text,
            "status": text,
            "received": number,
            "loaded": number,
            "updated": number,
            "already_present": number,
            "rejected": number,
            "defective": number,
            "missing_at_source": number,
            "started_at": moment,
            "finished_at": moment,
            "error": text,
        },
    }
    for table, expected in promised.items():
        assert {column: found.get((table, column)) for column in expected} == expected
    assert {column for table, column in found if table == "lms_activities"} == promised["lms_activities"].keys()
