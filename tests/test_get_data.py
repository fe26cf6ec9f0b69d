"""The fetch of a day: every event once, in order, within bounds, or one error."""

from __future__ import annotations

import gc
import logging
import threading
import time
import traceback
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import get_data
import source.http_client
from app_types import Batch, Defect, Mode, Progress, Reason, Window
from exceptions import SourceError, TransientSourceError
from source.windows import day_of, split
from tests.support.binary_copy import rows_of
from tests.support.events_api import (
    CLIENT_KEY,
    USER_ID,
    Behaviour,
    EventsServer,
    chunked,
    delayed,
    drip_body,
    drip_headers,
    echo_key,
    endless_array,
    good,
    gzipped,
    hang_before_headers,
    held,
    make_event,
    make_events,
    malformed_json,
    reset_mid_body,
    short_body,
    status,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from config import ApiSettings

HOUR = timedelta(hours=1)
DAY = Window(datetime(2023, 4, 1, tzinfo=UTC), datetime(2023, 4, 2, tzinfo=UTC))
MORNING = Window(DAY.start, DAY.start + 6 * HOUR)


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again soon."""
    monkeypatch.setattr(source.http_client, "_FIRST_DELAY", 0.01)


def fetched(api_settings: ApiSettings, window: Window = DAY, **options: Any) -> list[Batch]:
    """Fetch a window to its end."""
    return list(get_data.fetch(api_settings, window, **options))


def times(batches: Iterable[Batch]) -> list[datetime]:
    """Return the times of all events, in order."""
    return [row.created_at for batch in batches for row in rows_of(batch)]


def written(moment: datetime) -> str:
    """Write a moment as the source does."""
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}"


def workers_since(before: set[threading.Thread]) -> list[threading.Thread]:
    """Return the threads of fetches that began since then and are still at work."""
    return [thread for thread in threading.enumerate() if thread not in before and thread.name == "fetch"]


def eventually(check: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Wait until something is so, and tell whether it became so."""
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


# Every event once


def test_day_is_fetched_whole(events_api: EventsServer) -> None:
    """A day gives a batch for each of its windows, with all events."""
    events_api.serve(make_events(500))
    batches = fetched(events_api.settings())

    assert [batch.window for batch in batches] == split(DAY, HOUR)
    assert sum(batch.received for batch in batches) == 500
    assert times(batches) == sorted(times(batches))
    assert len(events_api.requests) == 24


def test_batches_come_in_the_order_of_the_windows(events_api: EventsServer) -> None:
    """A slow first answer does not change the order."""
    events_api.serve(make_events(48))
    events_api.script([delayed(0.5)], start="2023-04-01 00:00:00")
    events_api.script([delayed(0.3)], start="2023-04-01 03:00:00")
    batches = fetched(events_api.settings(concurrency=4), MORNING)

    assert [batch.window.start.hour for batch in batches] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("inclusive_end", [True, False], ids=["inclusive", "exclusive"])
def test_both_readings_of_the_end_give_the_same_events(events_api: EventsServer, inclusive_end: bool) -> None:
    """Whether the source sends an event at the end of a window or not, each event of the day comes just once."""
    microsecond = timedelta(microseconds=1)
    moments = [
        DAY.start + number * HOUR + shift for number in range(25) for shift in (-microsecond, 0 * HOUR, microsecond)
    ]
    events_api.serve([make_event(created_at=written(moment)) for moment in moments], inclusive_end=inclusive_end)
    batches = fetched(events_api.settings())

    assert times(batches) == [moment for moment in moments if moment in DAY]
    assert sum(batch.received for batch in batches) == 72


def test_event_of_another_time_is_rejected_where_it_came(events_api: EventsServer) -> None:
    """What the source sends in a window it does not belong to is counted there, rejected."""
    events_api.answer(
        DAY.start, [make_event(created_at="2023-04-01 05:00:00"), make_event(created_at=written(DAY.start))]
    )
    first, *others = fetched(events_api.settings())

    assert (first.received, len(rows_of(first))) == (2, 1)
    assert [item.reason for item in first.rejected] == [Reason.OUTSIDE_WINDOW]
    assert sum(batch.received for batch in others) == 0


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(
    moments=st.lists(
        st.one_of(
            st.datetimes(datetime.fromisoformat("2023-03-31T23:00"), datetime.fromisoformat("2023-04-01T07:00")),
            st.integers(-1, 361).map(lambda minute: (DAY.start + timedelta(minutes=minute)).replace(tzinfo=None)),
        ),
        max_size=40,
    ),
    minutes=st.sampled_from([11, 30, 60, 250, 360, 1500]),
    concurrency=st.integers(1, 5),
    inclusive_end=st.booleans(),
)
def test_every_event_of_a_window_comes_once(
    moments: list[datetime], minutes: int, concurrency: int, inclusive_end: bool
) -> None:
    """However a window is cut and the source reads its bounds, each event of it comes once, and no other."""
    with EventsServer() as server:
        server.serve([make_event(created_at=written(moment)) for moment in moments], inclusive_end=inclusive_end)
        batches = fetched(server.settings(window_minutes=minutes, concurrency=concurrency), MORNING)
    sent = [aware for moment in moments if (aware := moment.replace(tzinfo=UTC)) in MORNING]

    assert sorted(times(batches)) == sorted(set(sent)), "all else is the same: two of one moment are one"
    assert sum(batch.received for batch in batches) == len(sent)


@pytest.mark.parametrize(
    ("day", "hours"),
    [(date(2023, 3, 26), 23), (date(2023, 3, 27), 24), (date(2023, 10, 29), 25)],
    ids=["clocks_forward", "ordinary", "clocks_back"],
)
def test_day_of_a_zone_is_asked_for_without_gaps(events_api: EventsServer, day: date, hours: int) -> None:
    """The windows of a day of 23, 24 or 25 hours touch and cover it, as the source sees them."""
    zone = ZoneInfo("Europe/Berlin")
    fetched(events_api.settings(), day_of(day, zone, Mode.FULL, datetime(2030, 1, 1, tzinfo=UTC)).window)
    asked = sorted((request.start, request.end) for request in events_api.requests if request.start and request.end)

    assert len(asked) == hours
    assert all(before[1] == after[0] for before, after in pairwise(asked))
    assert asked[0][0].replace(tzinfo=UTC).astimezone(zone) == datetime(day.year, day.month, day.day, tzinfo=zone)
    assert asked[-1][1] - asked[0][0] == hours * HOUR


def test_empty_window_asks_for_nothing(events_api: EventsServer) -> None:
    """Of a day that has not begun nothing is fetched."""
    told: list[Progress] = []

    assert fetched(events_api.settings(), Window(DAY.start, DAY.start), on_progress=told.append) == []
    assert events_api.requests == []
    assert told == []


def test_faults_that_pass_leave_no_trace(events_api: EventsServer) -> None:
    """A day with faults of every kind on the way is the same day."""
    events_api.serve(make_events(240))
    undisturbed = fetched(events_api.settings())
    events_api.script([status(503), reset_mid_body(), malformed_json(), short_body(), status(429)])

    assert fetched(events_api.settings(attempts=6)) == undisturbed


# Bounds


@pytest.mark.parametrize("concurrency", [1, 2, 5])
def test_no_more_requests_at_once_than_permitted(events_api: EventsServer, concurrency: int) -> None:
    """The source never sees more requests at the same time than the setting says, and as many where it can be."""
    released = threading.Event()
    events_api.always(held(released))
    fetching = threading.Thread(target=fetched, args=(events_api.settings(concurrency=concurrency, timeout=20.0),))
    fetching.start()
    assert eventually(lambda: events_api.busiest >= concurrency)
    time.sleep(0.2)
    released.set()
    fetching.join(30)

    assert len(events_api.requests) == 24
    assert events_api.busiest == concurrency


def test_few_answers_wait_for_a_slow_reader(events_api: EventsServer) -> None:
    """Where nobody takes the batches, the source is not asked for the whole day."""
    batches = get_data.fetch(events_api.settings(concurrency=2), DAY)
    next(batches)
    time.sleep(0.5)
    asked = len(events_api.requests)
    batches.close()

    assert asked <= 4


def test_progress_is_told_after_each_window(events_api: EventsServer) -> None:
    """Windows done, windows in all, and events so far, good or not."""
    told: list[Progress] = []
    events_api.serve([*make_events(6, users=3)[:3], make_event(created_at="2023-04-01 00:30:00", lti_user_id=None)])
    fetched(events_api.settings(), MORNING, on_progress=told.append)

    assert told == [
        Progress(1, 6, 2),
        Progress(2, 6, 2),
        Progress(3, 6, 2),
        Progress(4, 6, 2),
        Progress(5, 6, 3),
        Progress(6, 6, 3),
    ]


# Errors


@pytest.mark.parametrize("behaviour", [status(403), status(503), malformed_json()], ids=["403", "503", "malformed"])
def test_error_of_one_window_is_the_error_of_the_day(events_api: EventsServer, behaviour: Behaviour) -> None:
    """A day with one bad window is no day; the windows after it are not asked for."""
    events_api.script([behaviour] * 3, start="2023-04-01 03:00:00")
    with pytest.raises(SourceError):
        fetched(events_api.settings())

    assert len({request.start for request in events_api.requests}) <= 3 + 4


def test_error_of_a_later_window_ends_the_fetch_at_once(events_api: EventsServer) -> None:
    """A refusal is told though an earlier window still waits for its answer."""
    events_api.script([hang_before_headers()], start="2023-04-01 00:00:00")
    events_api.script([status(403)], start="2023-04-01 01:00:00")
    started = time.monotonic()
    with pytest.raises(SourceError, match="status 403"):
        fetched(events_api.settings(timeout=60.0, deadline=120.0))

    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    "behaviour",
    [hang_before_headers(), drip_headers(0.05), drip_body(0.05)],
    ids=["hang", "drip_headers", "drip_body"],
)
def test_deadline_ends_the_fetch(events_api: EventsServer, behaviour: Behaviour) -> None:
    """The whole fetch ends with its time, whatever the source does and wherever a thread hangs."""
    events_api.always(behaviour)
    started = time.monotonic()
    with pytest.raises(SourceError, match="within 1 seconds") as caught:
        fetched(events_api.settings(timeout=100.0, deadline=1.0))

    assert 0.9 < time.monotonic() - started < 15
    assert type(caught.value) is SourceError


def test_deadline_is_that_of_the_whole_fetch(events_api: EventsServer) -> None:
    """Many answers, each in time, may be too late together."""
    events_api.always(delayed(0.2))
    with pytest.raises(SourceError, match="API_DEADLINE"):
        fetched(events_api.settings(deadline=1.0, concurrency=1))

    assert len(events_api.requests) < 24


def test_error_holds_no_key(events_api: EventsServer) -> None:
    """The error that reaches the pipeline, with all that stands behind it, tells no key."""
    events_api.always(echo_key())
    with pytest.raises(SourceError) as caught:
        fetched(events_api.settings())
    error: BaseException | None = caught.value

    while error is not None:
        told = traceback.TracebackException.from_exception(error, capture_locals=True).format()
        assert CLIENT_KEY not in "".join(told)
        error = error.__cause__ or error.__context__


def test_unexpected_error_of_a_thread_reaches_the_caller(
    events_api: EventsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug is not swallowed by the thread in which it shows."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(get_data, "judge_body", fail)
    with pytest.raises(ZeroDivisionError):
        fetched(events_api.settings())


def test_source_that_is_down_is_told(events_api: EventsServer) -> None:
    """What may pass stays distinguishable after the last attempt."""
    events_api.always(status(503))
    with pytest.raises(TransientSourceError, match="status 503"):
        fetched(events_api.settings())


# Dense windows


def dense_day(number: int = 3_000) -> list[dict[str, Any]]:
    """Return a day with most of its events in one quarter of an hour."""
    start = DAY.start + 12 * HOUR + timedelta(milliseconds=1)
    moments = [start + second * timedelta(seconds=900 / number) for second in range(number)]
    quiet = [DAY.start + hour * HOUR for hour in range(24)]
    return [make_event(created_at=written(moment)) for moment in sorted([*moments, *quiet])]


@pytest.mark.parametrize("behaviour", [good(), chunked(), gzipped()], ids=["length_told", "chunked", "gzipped"])
def test_dense_window_is_asked_for_in_parts(
    events_api: EventsServer, monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour
) -> None:
    """An answer longer than memory should hold is left, its window divided; every event comes once, in order."""
    monkeypatch.setattr(source.http_client, "DENSE_BODY_BYTES", 100_000)
    events = dense_day()
    events_api.serve(events)
    events_api.always(behaviour)
    told: list[Progress] = []
    batches = fetched(events_api.settings(), on_progress=told.append)

    assert times(batches) == [datetime.fromisoformat(event["created_at"] + "+00:00") for event in events]
    assert [batch.window.start for batch in batches[1:]] == [batch.window.end for batch in batches[:-1]]
    assert max(batch.received for batch in batches) < 300
    assert (told[-1].windows_done, told[-1].windows_total) == (len(batches), len(batches))
    assert len(events_api.requests) < 3 * len(batches)


def test_whole_day_in_one_window_is_no_matter(events_api: EventsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the windows are that the operator asks for, an answer stays short."""
    monkeypatch.setattr(source.http_client, "DENSE_BODY_BYTES", 100_000)
    events_api.serve(dense_day())
    batches = fetched(events_api.settings(window_minutes=1440))

    assert sum(batch.received for batch in batches) == 3_024
    assert max(batch.received for batch in batches) < 300


def test_few_parts_of_a_dense_window_wait_for_a_slow_reader(
    events_api: EventsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into however many parts a window is divided, only the next few are asked for before somebody takes them."""
    monkeypatch.setattr(source.http_client, "DENSE_BODY_BYTES", 20_000)
    events_api.serve(dense_day())
    batches = get_data.fetch(events_api.settings(window_minutes=1440, concurrency=2), DAY)
    next(batches)
    time.sleep(0.5)
    asked = len(events_api.requests)
    batches.close()

    assert asked <= 1 + 2 + 4


def test_what_was_taken_of_dense_windows_is_forgotten(
    events_api: EventsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often a window had to be divided, no batch stays in memory, even when no garbage is collected."""
    monkeypatch.setattr(source.http_client, "DENSE_BODY_BYTES", 20_000)
    rushes = [DAY.start + hour * HOUR + number * timedelta(seconds=3) for hour in range(24) for number in range(100)]
    events_api.serve([make_event(created_at=written(moment)) for moment in rushes])
    gc.collect()
    gc.disable()
    try:
        batches = get_data.fetch(events_api.settings(), DAY)
        taken = sum(1 for _ in batches)
        held = sum(isinstance(thing, Batch) for thing in gc.get_objects())
    finally:
        gc.enable()

    assert taken > 60
    assert held < 10


def test_source_without_bounds_is_left_in_the_end(events_api: EventsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What grows without end in however short a window is an error, found before long."""
    monkeypatch.setattr(source.http_client, "DENSE_BODY_BYTES", 100_000)
    monkeypatch.setattr(source.http_client, "MOST_BODY_BYTES", 1024 * 1024)
    events_api.always(endless_array())
    with pytest.raises(SourceError, match="more than 1 MiB"):
        fetched(events_api.settings(concurrency=1))

    assert len(events_api.requests) < 30


# The end of the threads


def test_no_thread_is_left_after_a_fetch(events_api: EventsServer) -> None:
    """The threads end with the work."""
    before = set(threading.enumerate())
    fetched(events_api.settings(concurrency=3))

    assert eventually(lambda: not workers_since(before))


@pytest.mark.parametrize("behaviour", [good(), drip_body(0.05)], ids=["good_source", "dripping_source"])
@pytest.mark.parametrize("concurrency", [1, 4])
def test_fetch_that_is_left_ends_its_threads(events_api: EventsServer, behaviour: Behaviour, concurrency: int) -> None:
    """Where the reader leaves after the first batch, no thread goes on, and nothing more is asked."""
    before = set(threading.enumerate())
    events_api.script([behaviour], start="2023-04-01 01:00:00")
    batches: Iterator[Batch] = get_data.fetch(events_api.settings(concurrency=concurrency, timeout=60.0), DAY)
    next(batches)
    batches.close()  # type: ignore[attr-defined]

    assert eventually(lambda: not workers_since(before))
    asked = len(events_api.requests)
    time.sleep(0.3)
    assert len(events_api.requests) == asked < 24


def test_interrupted_fetch_ends_its_threads(events_api: EventsServer) -> None:
    """An interruption in the reader's thread leaves at once and ends the others."""
    before = set(threading.enumerate())

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetched(events_api.settings(), on_progress=interrupt)

    assert eventually(lambda: not workers_since(before))


# The log


def flawed_events() -> list[Any]:
    """Return four events of one hour: good, rejected, with defects, good."""
    return [
        make_event(created_at="2023-04-01 00:10:00"),
        make_event(created_at="2023-04-01 00:20:00", lti_user_id=USER_ID[:-1]),
        make_event(created_at="2023-04-01 00:30:00", passback_params=None, is_correct=1),
        make_event(created_at="2023-04-01 04:40:00.5", attempt_type="submit", is_correct=1),
    ]


def single_events(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines of the log that tell of single events."""
    return [record.getMessage() for record in caplog.records if getattr(record, "per_event", False)]


def test_flawed_events_are_logged_with_their_number(events_api: EventsServer, caplog: pytest.LogCaptureFixture) -> None:
    """Rejected and defective events are numbered as the source sent them over the whole day; good ones are silent."""
    caplog.set_level(logging.INFO)
    events_api.serve(flawed_events())
    fetched(events_api.settings(), MORNING)

    assert single_events(caplog) == [
        "event 2 rejected: user_id_length",
        "event 3 has defects: passback_missing, correctness_mismatch (student 3583bf…)",
    ]


def test_every_event_is_logged_where_that_is_asked_for(
    events_api: EventsServer, caplog: pytest.LogCaptureFixture
) -> None:
    """With the setting the good ones are told, too, each on its line."""
    caplog.set_level(logging.INFO)
    events_api.serve(flawed_events())
    fetched(events_api.settings(), MORNING, log_every_event=True)

    assert single_events(caplog) == [
        "event 1: 2023-04-01 00:10:00+00:00, run (student 3583bf…)",
        "event 2 rejected: user_id_length",
        "event 3 has defects: passback_missing, correctness_mismatch (student 3583bf…)",
        "event 4: 2023-04-01 04:40:00.500000+00:00, submit (student 3583bf…)",
    ]


@pytest.mark.parametrize("length", [1, 4, 32])
def test_log_holds_no_whole_user_id(events_api: EventsServer, length: int, caplog: pytest.LogCaptureFixture) -> None:
    """No line tells who a student is, however short the ids are, nor repeats what an event holds."""
    caplog.set_level(logging.DEBUG)
    user_id = "Qq9z" * 8
    events_api.serve(
        [
            make_event(lti_user_id=user_id[:length], passback_params="{}"),
            make_event(lti_user_id=user_id[:length]),
            make_event(lti_user_id=user_id, attempt_type="=HYPERLINK()"),
        ]
    )
    fetched(events_api.settings(user_id_length=length), log_every_event=True)
    lines = [record.getMessage() for record in caplog.records if record.name == "get_data"]

    assert len([line for line in lines if "student" in line]) == 2
    assert not any(f"student {user_id[:length]}" in line or "HYPERLINK" in line for line in lines)


def test_beginning_and_end_are_logged(events_api: EventsServer, caplog: pytest.LogCaptureFixture) -> None:
    """The log tells what is asked for, how much came, how long it took, and how often each flaw occurred."""
    caplog.set_level(logging.INFO)
    events_api.serve([*flawed_events(), *flawed_events()[1:3]])
    fetched(events_api.settings(), MORNING)
    lines = [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if record.name == "get_data" and not hasattr(record, "per_event")
    ]

    assert lines[0] == ("INFO", "fetch: 6 windows from 2023-04-01 00:00 to 2023-04-01 06:00 UTC")
    assert lines[1:4] == [
        ("WARNING", f"rejected: {Reason.USER_ID_LENGTH.value}, events: 2"),
        ("INFO", f"with defects: {Defect.CORRECTNESS_MISMATCH.value}, events: 2"),
        ("INFO", f"with defects: {Defect.PASSBACK_MISSING.value}, events: 2"),
    ]
    assert lines[4][1].startswith("fetch: done, events: 6, seconds: ")


def test_failed_fetch_is_not_logged_as_done(events_api: EventsServer, caplog: pytest.LogCaptureFixture) -> None:
    """No line says "done" of a day that did not come."""
    caplog.set_level(logging.INFO)
    events_api.script([status(403)], start="2023-04-01 05:00:00")
    with pytest.raises(SourceError):
        fetched(events_api.settings())

    assert not any("done" in record.getMessage() for record in caplog.records)
