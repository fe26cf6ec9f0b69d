"""The client of the events API: what it asks, what it asks again, what it gives up, and what it never tells."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import socket
import ssl
import threading
import time
import tracemalloc
import warnings
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pytest
import requests
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

import source.http_client
from app_types import Secret, Window
from exceptions import SourceError, TransientSourceError
from source.decoding import decode
from source.http_client import SourceClient, _delay, _retry_after
from tests.support.events_api import (
    CLIENT_KEY,
    Behaviour,
    EventsServer,
    Exchange,
    bom,
    chunked,
    close_delimited,
    cut_chunk,
    drip_body,
    echo_key,
    empty,
    endless_array,
    good,
    gzip_bomb,
    gzipped,
    hang_after_headers,
    hang_before_headers,
    held,
    html,
    invalid_utf8,
    json_body,
    make_event,
    malformed_json,
    many_headers,
    missing_last_chunk,
    raw_body,
    redirect,
    reset_before_headers,
    reset_mid_body,
    short_body,
    status,
    utf16,
)
from tests.support.leaks import found_in, told_by

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from config import ApiSettings

NOON = Window(datetime(2023, 4, 1, 12, tzinfo=UTC), datetime(2023, 4, 1, 13, tzinfo=UTC))
EVENTS = [make_event(created_at=f"2023-04-01 12:{minute:02}:00.000001") for minute in range(50)]
NOW = datetime(2023, 4, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again soon, and go no way around through the environment of the machine."""
    monkeypatch.setattr(source.http_client, "_FIRST_DELAY", 0.01)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def api(events_api: EventsServer) -> EventsServer:
    """A source that holds fifty events of the hour that is asked for."""
    events_api.serve(EVENTS)
    return events_api


def client_of(api_settings: ApiSettings, *, seconds: float = 20.0, stop: threading.Event | None = None) -> SourceClient:
    """Return a client that has so many seconds."""
    return SourceClient(api_settings, time.monotonic() + seconds, stop or threading.Event())


def received(api_settings: ApiSettings, window: Window = NOON) -> int:
    """Ask for a window and return the number of items."""
    with closing(client_of(api_settings)) as client:
        return len(client.ask(window, decode).items)


def refusal(api_settings: ApiSettings, *, seconds: float = 20.0, stop: threading.Event | None = None) -> SourceError:
    """Ask in vain and return the error."""
    with closing(client_of(api_settings, seconds=seconds, stop=stop)) as client, pytest.raises(SourceError) as caught:
        client.ask(NOON, decode)
    return caught.value


def raw_answer(data: bytes) -> Behaviour:
    """Answer with these bytes, head and all, and close."""

    def behave(exchange: Exchange) -> None:
        exchange.send(data)
        exchange.end()

    return behave


def closed_port() -> int:
    """Return a port that nobody listens to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


# The request


def test_window_is_asked_for_as_the_source_reads_it(api: EventsServer) -> None:
    """Client, key and both bounds stand in the query, in UTC and to the microsecond even where it is zero."""
    received(api.settings(), Window(NOON.start, NOON.end - timedelta(microseconds=1)))
    (request,) = api.requests

    assert (request.method, request.path) == ("GET", "/api/statistics")
    assert request.query == {
        "client": "tester",
        "client_key": CLIENT_KEY,
        "start": "2023-04-01 12:00:00.000000",
        "end": "2023-04-01 12:59:59.999999",
    }


def test_key_stands_in_the_query_alone(api: EventsServer) -> None:
    """No header repeats the key."""
    received(api.settings())

    assert not any(CLIENT_KEY in value for value in api.requests[0].headers.values())


@pytest.mark.parametrize(
    "behaviour",
    [good(), chunked(7), gzipped(), bom(), close_delimited()],
    ids=["plain", "chunked", "gzipped", "byte_order_mark", "without_length"],
)
def test_whole_answer_is_read(api: EventsServer, behaviour: Behaviour) -> None:
    """However an answer comes, all of it is read."""
    api.script([behaviour])

    assert received(api.settings()) == 50
    assert len(api.requests) == 1


def test_empty_array_is_an_answer(events_api: EventsServer) -> None:
    """A window without events is not asked for again."""
    assert received(events_api.settings()) == 0
    assert len(events_api.requests) == 1


def test_answer_without_a_length_is_warned_of_once(api: EventsServer, caplog: pytest.LogCaptureFixture) -> None:
    """Where a cut could go unnoticed the operator is told, not for each window."""
    api.always(close_delimited())
    with closing(client_of(api.settings())) as client:
        for _ in range(3):
            client.ask(NOON, decode)

    assert [record.levelname for record in caplog.records if "length" in record.getMessage()] == ["WARNING"]


# What is asked again


TRANSIENT_FAULTS: dict[str, tuple[Behaviour, str]] = {
    "reset_before_headers": (reset_before_headers(), "cut off or damaged"),
    "reset_mid_body": (reset_mid_body(), "cut off or damaged"),
    "short_body": (short_body(), "cut off or damaged"),
    "cut_chunk": (cut_chunk(), "cut off or damaged"),
    "missing_last_chunk": (missing_last_chunk(), "cut off or damaged"),
    "bad_chunk_length": (
        raw_answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n[]\r\n0\r\n\r\n"),
        "cut off or damaged",
    ),
    "bad_gzip": (status(200, body=b"no gzip", headers={"Content-Encoding": "gzip"}), "cut off or damaged"),
    "too_many_codings": (
        status(200, body=b"[]", headers={"Content-Encoding": ", ".join(["gzip"] * 50)}),
        "cut off or damaged",
    ),
    "two_lengths": (raw_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n[]"), "cut off or damaged"),
    "no_HTTP": (raw_answer(b"\x00\xff\x00\r\n\r\n"), "cut off or damaged"),
    "many_headers": (many_headers(), "cut off or damaged"),
    "long_header": (raw_answer(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000), "cut off or damaged"),
    "malformed_json": (malformed_json(), "not JSON, or only a part"),
    "empty": (empty(), "an empty answer"),
    "html": (html(), "a web page"),
    "invalid_utf8": (invalid_utf8(), "not UTF-8"),
    "utf16": (utf16(), "not UTF-8"),
    "hang_before_headers": (hang_before_headers(), "stopped answering"),
    "hang_after_headers": (hang_after_headers(), "stopped answering"),
    **{f"status_{code}": (status(code), f"status {code}") for code in (408, 425, 429, 500, 502, 503, 504, 599)},
    "html_503": (html(503), "status 503"),
}


@pytest.mark.parametrize(("behaviour", "told"), TRANSIENT_FAULTS.values(), ids=TRANSIENT_FAULTS)
def test_what_may_pass_is_asked_again(
    api: EventsServer, behaviour: Behaviour, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    """After a fault that may pass the whole window is asked for again, and a warning tells why."""
    api.script([behaviour])

    assert received(api.settings(timeout=0.5)) == 50
    assert len(api.requests) == 2
    (warning,) = [record for record in caplog.records if record.name == "source.http_client"]
    assert warning.levelname == "WARNING"
    assert told in warning.getMessage()
    assert "attempt 1 of 3" in warning.getMessage()


@pytest.mark.parametrize(("behaviour", "told"), TRANSIENT_FAULTS.values(), ids=TRANSIENT_FAULTS)
def test_fault_that_does_not_pass_ends_with_the_last_attempt(
    api: EventsServer, behaviour: Behaviour, told: str
) -> None:
    """A window is asked for as often as the setting says, then the fault is told; no part of an answer counts."""
    api.always(behaviour)
    error = refusal(api.settings(timeout=0.3, attempts=2))

    assert type(error) is TransientSourceError
    assert told in str(error)
    assert len(api.requests) == 2


@pytest.mark.parametrize("attempts", [1, 4])
def test_attempts_are_those_of_the_setting(api: EventsServer, attempts: int) -> None:
    """One attempt means none after it."""
    api.always(status(503))
    refusal(api.settings(attempts=attempts))

    assert len(api.requests) == attempts


def test_last_attempt_may_be_the_good_one(api: EventsServer) -> None:
    """Different faults one after another count as attempts of one window."""
    api.script([status(503), reset_mid_body(), malformed_json(), empty()])

    assert received(api.settings(attempts=5)) == 50
    assert len(api.requests) == 5


def test_last_whole_answer_counts(api: EventsServer) -> None:
    """What a cut answer held is forgotten when the window is asked for again."""
    api.script([short_body(), json_body([make_event()])])

    assert received(api.settings()) == 1


def test_source_that_refuses_connections_is_asked_again(api: EventsServer, caplog: pytest.LogCaptureFixture) -> None:
    """A port that nobody listens to may be listened to a moment later."""
    error = refusal(api.settings(url=f"http://127.0.0.1:{closed_port()}/api"))

    assert type(error) is TransientSourceError
    assert "cannot be reached" in str(error)
    assert [record.getMessage()[:50] for record in caplog.records if "trying again" in record.getMessage()] == [
        "window 2023-04-01 12:00+00:00: attempt 1 of 3 fail",
        "window 2023-04-01 12:00+00:00: attempt 2 of 3 fail",
    ]


def test_unknown_host_is_asked_again(api: EventsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that cannot be resolved may be resolved a moment later."""

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    error = refusal(api.settings(url="https://source.example.org/api"))

    assert type(error) is TransientSourceError
    assert "cannot be reached" in str(error)


def test_connection_that_is_never_made_is_asked_again(api: EventsServer) -> None:
    """A host that does not answer the first packet is given up after the time-out."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        # The queue of the listener is filled, so that further connections hang.
        crowd = [socket.socket() for _ in range(8)]
        for one in crowd:
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        time.sleep(0.2)
        error = refusal(api.settings(url=f"http://127.0.0.1:{server.getsockname()[1]}/api", timeout=0.3, attempts=2))
        for one in crowd:
            one.close()

    assert type(error) is TransientSourceError
    assert "no connection in time" in str(error) or "stopped answering" in str(error)


# What is not asked again


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (401, "API_CLIENT_KEY"),
        (403, "API_CLIENT_KEY"),
        (404, "API_URL"),
        (405, "API_URL"),
        (410, "API_URL"),
        (400, "scripted"),
        (418, "scripted"),
        (422, "scripted"),
        (203, "scripted"),
        (206, "scripted"),
    ],
)
def test_refusal_is_final(api: EventsServer, code: int, told: str) -> None:
    """What will not pass is asked once, and the error names the status and what to look at."""
    api.always(status(code))
    error = refusal(api.settings())

    assert type(error) is SourceError
    assert f"status {code}" in str(error)
    assert told in str(error)
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"errors": "no such client"}', "no such client"),
        (b"null", "null instead of an array"),
        (b"{}", "{…} instead of an array"),
        (b'"[]"', '"…" instead of an array'),
    ],
)
def test_answer_that_means_something_else_is_final(api: EventsServer, body: bytes, told: str) -> None:
    """An error object or another JSON value is a clear error, never an empty day."""
    api.always(raw_body(body))
    error = refusal(api.settings())

    assert type(error) is SourceError
    assert told in str(error)
    assert len(api.requests) == 1


def test_wrong_key_is_final(api: EventsServer) -> None:
    """The source's own refusal of the key is told with what to check."""
    error = refusal(api.settings(client_key=Secret("another key")))

    assert error.remedy == "Check API_CLIENT and API_CLIENT_KEY."
    assert len(api.requests) == 1


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("elsewhere", [True, False], ids=["elsewhere", "to_itself"])
def test_redirect_is_not_followed(api: EventsServer, code: int, elsewhere: bool) -> None:
    """The key does not travel: another server is not even connected to, and a loop is not entered."""
    with EventsServer() as other:
        api.always(redirect(other.url if elsewhere else api.url, code))
        error = refusal(api.settings())

        assert other.requests == []
    assert type(error) is SourceError
    assert "another address" in str(error)
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    "behaviour",
    [
        status(400, body=b""),
        status(400, body=b"no gzip", headers={"Content-Encoding": "gzip"}),
        raw_answer(b"HTTP/1.1 400 Bad\r\nContent-Length: 1000\r\n\r\n"),
        hang_after_headers(),
    ],
    ids=["empty", "damaged", "cut", "hanging"],
)
def test_broken_words_do_not_change_a_refusal(api: EventsServer, behaviour: Behaviour) -> None:
    """A final status stays final where its body cannot be read."""

    def refuse(exchange: Exchange) -> None:
        if behaviour.__qualname__.startswith("hang"):
            exchange.head(400, {"Content-Length": "1000"})
            exchange.hang()
        behaviour(exchange)

    api.always(refuse)
    error = refusal(api.settings(timeout=0.3))

    assert type(error) is SourceError
    assert str(error) == "The source answered with status 400: —"
    assert len(api.requests) == 1


def test_words_of_the_source_are_shown_on_one_line(api: EventsServer) -> None:
    """What the source says in an error is cut and cleaned of controls, directions and markup of terminals."""
    api.always(status(400, body="плохо\r\n\x1b[31m\u202e".encode() + b"\xff" + b"x" * 10_000))
    error = refusal(api.settings())

    assert error.fields["text"] == "плохо???[31m?\ufffd" + "x" * 186 + "…"


def test_address_that_cannot_be_asked_is_final(api: EventsServer) -> None:
    """What no attempt could mend is not tried again."""
    error = refusal(api.settings(url="http://[::1/api"))

    assert type(error) is SourceError
    assert "API_URL" in str(error)


# Waiting


def test_waits_grow_with_jitter_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait doubles from attempt to attempt, is never twice the same, and has a limit."""
    monkeypatch.setattr(source.http_client, "_FIRST_DELAY", 0.5)
    waits = [[_delay(attempt, None) for _ in range(50)] for attempt in range(1, 101)]

    for attempt, some in enumerate(waits):
        longest = min(0.5 * 2**attempt, 30.0)
        assert longest / 2 <= min(some) < max(some) <= longest


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("60", 60.0),
        ("61", 60.0),
        ("999999999999", 60.0),
        ("9" * 500, 60.0),
        ("-5", None),
        ("+5", None),
        ("1.5", None),
        ("1e3", None),
        ("٣", None),
        ("²", None),
        ("soon", None),
        ("None", None),
        ("Sat, 01 Apr 2023 12:00:20 GMT", 20.0),
        ("Sat, 01 Apr 2023 15:00:20 +0300", 20.0),
        ("Sat, 01 Apr 2023 12:00:20 -0000", 20.0),
        ("Saturday, 01-Apr-23 12:00:20 GMT", 20.0),
        ("Sat Apr  1 12:00:20 2023", 20.0),
        ("Sat, 01 Apr 2023 13:00:00 GMT", 60.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 60.0),
        ("Sat, 01 Apr 2023 11:59:59 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Sat, 32 Apr 2023 12:00:20 GMT", None),
        ("Sat, 01 Apr 99999999999999999999 12:00:20 GMT", None),
        ("Sat, 01 Apr 2023 12:00:20 +99999999999999", None),
        ("Sat, 01 Apr 2023 99:99:99 GMT", None),
        ("2023-04-01T12:00:20Z", None),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_retry_after_is_read(header: str | None, seconds: float | None) -> None:
    """Seconds or a date, at most a minute; what makes no sense is as if it were not there."""
    assert _retry_after(header, NOW) == seconds


@settings(deadline=None, max_examples=300)
@given(
    header=st.one_of(
        st.text(max_size=40),
        st.tuples(
            st.sampled_from(["Sat, ", "", "xx, "]),
            st.integers(0, 10**20),
            st.sampled_from([" Apr ", "-Apr-", " ", " 13 "]),
            st.integers(-1, 10**20),
            st.sampled_from([" 12:00:20", " 12", " -1:0:0", f" {9**30}:0:0"]),
            st.sampled_from([" GMT", "", " +0300", f" +{9**30}", f" -{9**6}", " (x"]),
        ).map(lambda parts: "".join(map(str, parts))),
    )
)
def test_any_retry_after_gives_a_wait_or_none(header: str) -> None:
    """No header makes the client fail, and none makes it wait longer than a minute."""
    seconds = _retry_after(header, NOW)

    assert seconds is None or 0.0 <= seconds <= 60.0


def test_source_says_how_long_to_wait() -> None:
    """The wait is no shorter than the source asked for, and no shorter than our own."""
    assert _delay(1, 60.0) == 60.0
    assert 0.0 < _delay(1, 0.0) <= 0.5


@pytest.mark.parametrize("code", [429, 503])
def test_retry_after_is_honoured(api: EventsServer, code: int) -> None:
    """After a refusal for a time the next request comes when that has passed."""
    api.script([status(code, retry_after="1")])

    assert received(api.settings()) == 50
    first, second = api.requests
    assert second.at - first.at >= 1.0


def test_hostile_retry_after_is_passed_over(api: EventsServer) -> None:
    """A header that cannot be read leaves the ordinary wait."""
    api.script([status(503, retry_after="Sat, 01 Apr 2023 12:00:20 +99999999999999"), status(503, retry_after="\xff")])

    assert received(api.settings()) == 50


def test_wait_beyond_the_deadline_is_not_begun(api: EventsServer) -> None:
    """Where the time would be over after the wait the fault is told at once."""
    api.always(status(503, retry_after="60"))
    started = time.monotonic()
    error = refusal(api.settings(), seconds=30)

    assert time.monotonic() - started < 15
    assert "status 503" in str(error)
    assert len(api.requests) == 1


def test_wait_ends_when_nobody_waits_any_more(api: EventsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that is told to stop does not ask again."""
    monkeypatch.setattr(source.http_client, "_FIRST_DELAY", 100.0)
    monkeypatch.setattr(source.http_client, "_LONGEST_DELAY", 100.0)
    api.always(status(503))
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    started = time.monotonic()
    refusal(api.settings(), seconds=1_000, stop=stop)

    assert time.monotonic() - started < 30
    assert len(api.requests) == 1


# The deadline and the size


def test_after_the_deadline_nothing_is_asked(api: EventsServer) -> None:
    """A client whose time is over sends no request."""
    error = refusal(api.settings(deadline=900.0), seconds=-1)

    assert "within 900 seconds" in str(error)
    assert "API_DEADLINE" in str(error)
    assert api.requests == []


@pytest.mark.parametrize(
    "behaviour",
    [hang_before_headers(), hang_after_headers(), drip_body(0.05)],
    ids=["hang_before_headers", "hang_after_headers", "drip_body"],
)
def test_deadline_ends_a_request_under_way(api: EventsServer, behaviour: Behaviour) -> None:
    """However long the time-out, and though a byte comes now and then: the end of the time is the end."""
    api.always(behaviour)
    started = time.monotonic()
    error = refusal(api.settings(timeout=100.0), seconds=1.0)

    assert 0.9 < time.monotonic() - started < 15
    assert type(error) is SourceError
    assert "API_DEADLINE" in str(error)
    assert len(api.requests) == 1


def test_deadline_ends_a_body_without_end(api: EventsServer) -> None:
    """A body that goes on for ever, below the limit of its size, ends with the time."""

    def chatter(exchange: Exchange) -> None:
        exchange.head(headers={"Transfer-Encoding": "chunked"})
        while True:
            exchange.send(b"1\r\n \r\n")
            exchange.pause(0.01)

    api.always(chatter)
    started = time.monotonic()
    error = refusal(api.settings(), seconds=1.0)

    assert time.monotonic() - started < 15
    assert "API_DEADLINE" in str(error)


def test_reading_ends_when_nobody_waits_any_more(api: EventsServer) -> None:
    """A client that is told to stop leaves a body that still comes."""
    api.always(drip_body(0.05))
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    started = time.monotonic()
    refusal(api.settings(), seconds=1_000, stop=stop)

    assert time.monotonic() - started < 30


def test_body_of_the_permitted_size_is_read(api: EventsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit itself is permitted, one byte more is not; asking again would not help."""
    body = json.dumps(EVENTS).encode()
    api.always(raw_body(body))
    monkeypatch.setattr(source.http_client, "MOST_BODY_BYTES", len(body))
    assert received(api.settings()) == 50

    monkeypatch.setattr(source.http_client, "MOST_BODY_BYTES", len(body) - 1)
    error = refusal(api.settings())
    assert type(error) is SourceError
    assert "API_URL" in str(error)
    assert len(api.requests) == 2


@pytest.mark.parametrize("behaviour", [endless_array(), gzip_bomb(256)], ids=["endless_array", "gzip_bomb"])
def test_body_that_grows_without_end_is_left(
    api: EventsServer, behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size is counted unpacked and while it comes, so that neither the sender nor the packer fills the memory."""
    monkeypatch.setattr(source.http_client, "MOST_BODY_BYTES", 4 * 1024 * 1024)
    monkeypatch.setattr(source.http_client, "DENSE_BODY_BYTES", 1024 * 1024 * 1024)
    api.always(behaviour)
    tracemalloc.start()
    try:
        error = refusal(api.settings())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert type(error) is SourceError
    assert "more than 4 MiB" in str(error)
    assert len(api.requests) == 1
    assert peak < 32 * 1024 * 1024


def test_coding_within_a_coding_is_counted_unpacked(api: EventsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bomb in a bomb is left at the same limit."""
    bomb = gzip.compress(gzip.compress(b"[" + b" " * 64 * 1024 * 1024))
    monkeypatch.setattr(source.http_client, "MOST_BODY_BYTES", 1024 * 1024)
    api.always(status(200, body=bomb, headers={"Content-Encoding": "gzip, gzip"}))
    tracemalloc.start()
    try:
        error = refusal(api.settings())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert "more than 1 MiB" in str(error)
    assert peak < 16 * 1024 * 1024


# Secrets


def logged_by(caplog: pytest.LogCaptureFixture) -> Iterator[tuple[str, str]]:
    """Yield every text of the log from INFO on, tracebacks and what stands behind them included."""
    for record in caplog.records:
        if record.levelno >= logging.INFO:
            yield "log", f"{record.getMessage()} {record.args!r}"
            if record.exc_info and record.exc_info[1]:
                yield from told_by(record.exc_info[1])
            for argument in record.args if isinstance(record.args, tuple) else ():
                if isinstance(argument, BaseException):
                    yield from told_by(argument)


SECRET_FAULTS: dict[str, Behaviour] = {
    **{name: behaviour for name, (behaviour, _) in TRANSIENT_FAULTS.items()},
    **{f"status_{code}": status(code) for code in (301, 400, 401, 403, 404)},
    "redirect": redirect("http://127.0.0.1:1/"),
    "odd_headers": raw_answer(b"HTTP/1.1 200 OK\r\n  folded: x\r\nContent-Length: 4\r\n\r\nnull"),
    "multipart": status(200, body=b"null", headers={"Content-Type": "multipart/mixed"}),
    "echo_in_an_error": echo_key(),
    "echo_in_an_answer": echo_key(200),
    "echo_in_a_failure": echo_key(503),
    "echo_in_no_UTF-8": raw_body(CLIENT_KEY.encode() + b"\xff"),
    "echo_in_no_JSON": raw_body(CLIENT_KEY.encode()),
    "echo_in_a_web_page": raw_body(b"<html>" + CLIENT_KEY.encode()),
    "echo_in_the_reason": raw_answer(b"HTTP/1.1 400 " + CLIENT_KEY.encode() + b"\r\nContent-Length: 0\r\n\r\n"),
    "echo_in_a_header": status(400, headers={"X-Request": CLIENT_KEY}),
    "echo_in_another_array": json_body({"data": CLIENT_KEY}),
}


@pytest.mark.parametrize("behaviour", SECRET_FAULTS.values(), ids=SECRET_FAULTS)
def test_no_error_holds_the_key(api: EventsServer, behaviour: Behaviour, caplog: pytest.LogCaptureFixture) -> None:
    """Neither text, arguments, causes, tracebacks with their variables, nor the log tell the key in any spelling."""
    caplog.set_level(logging.INFO)
    api.always(behaviour)
    error = refusal(api.settings(timeout=0.3, attempts=2))

    assert api.requests[0].query["client_key"] == CLIENT_KEY
    assert found_in([*told_by(error), *logged_by(caplog)], [CLIENT_KEY]) == []


@pytest.mark.parametrize("case", ["refused", "unknown_host", "bad_address", "deadline", "key_that_is_no_text"])
def test_no_error_before_the_answer_holds_the_key(
    case: str, api: EventsServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where no request was ever sent the key is in no text."""
    caplog.set_level(logging.INFO)
    cases: dict[str, dict[str, Any]] = {
        "refused": {"url": f"http://127.0.0.1:{closed_port()}/api"},
        "unknown_host": {"url": "https://source.example.org/api"},
        "bad_address": {"url": "http://[::1/api"},
        "key_that_is_no_text": {"client_key": Secret(CLIENT_KEY + "\udcff")},
    }
    if case == "unknown_host":
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: (_ for _ in ()).throw(socket.gaierror(-2, "no")))
    error = refusal(api.settings(attempts=2, **cases.get(case, {})), seconds=-1.0 if case == "deadline" else 20.0)

    assert api.requests == []
    assert found_in([*told_by(error), *logged_by(caplog)], [CLIENT_KEY]) == []


def test_search_for_the_key_would_find_it() -> None:
    """The search itself is proved on an exception of the library, which does tell the URL."""
    with closing(requests.Session()) as session:
        try:
            session.get(f"http://127.0.0.1:{closed_port()}/", params={"client_key": CLIENT_KEY})
        except OSError as library:
            error = SourceError("The source cannot be reached.")
            error.__context__ = library

    assert found_in(told_by(error), [CLIENT_KEY])


@pytest.mark.parametrize(
    "spelled",
    [
        CLIENT_KEY,
        CLIENT_KEY.upper(),
        quote(CLIENT_KEY, safe=""),
        quote(CLIENT_KEY, safe="").lower(),
        quote_plus(CLIENT_KEY),
        CLIENT_KEY.replace("&", "&amp;"),
        base64.b64encode(CLIENT_KEY.encode()).decode(),
    ],
)
@pytest.mark.parametrize("answer", [status, raw_body], ids=["as_an_error", "as_an_answer"])
@pytest.mark.parametrize("before", [0, 178, 195], ids=["at_the_start", "at_a_cut", "at_the_other_cut"])
def test_echoed_key_is_struck_out(api: EventsServer, spelled: str, answer: Any, before: int) -> None:
    """Where the source repeats the key, in whatever spelling, stars stand for it; no half of it is left at the cut."""
    body = json.dumps({"errors": "." * before + spelled + "." * 50}).encode()
    api.always(status(400, body=body) if answer is status else raw_body(body))
    text = str(refusal(api.settings()).fields["text"])

    assert "***" in text or (answer is status and before == 195)
    assert not any(spelled[place : place + 4] in text for place in range(len(spelled) - 3))


def test_key_that_fills_an_error_is_struck_out(api: EventsServer) -> None:
    """Of a text that was cut in the middle of the key no part of the key is shown."""
    api.client_key = "0123456789abcdef" * 4
    api.always(status(400, body=(api.client_key * 1_000).encode()))
    text = str(refusal(api.settings()).fields["text"])

    assert set(text) == {"*"}


def test_key_with_quotes_is_struck_out(api: EventsServer) -> None:
    """A key that JSON spells in another way is found, too."""
    key = 'a"b\\cЖd'
    api.client_key = key
    api.always(json_body({"errors": [f"key={key}"]}))
    text = str(refusal(api.settings(client_key=Secret(key))).fields["text"])

    assert text == '["key=***"]'


# The way to the source


@pytest.fixture
def authority() -> trustme.CA:
    """An authority that nobody trusts."""
    return trustme.CA()


def tls_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """Return the server's side of TLS with a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def trusting(client: SourceClient, authority: trustme.CA, folder: Path) -> SourceClient:
    """Make a client trust an authority, which no setting and no variable can."""
    file = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    client._session.verify = str(file)  # there is no public way, and there shall be none
    return client


def test_trusted_certificate_is_accepted(authority: trustme.CA, tmp_path: Path) -> None:
    """Over TLS the answer is the same."""
    with EventsServer(tls_context(authority.issue_cert("127.0.0.1"))) as server:
        server.serve(EVENTS)
        with closing(trusting(client_of(server.settings()), authority, tmp_path)) as client:
            assert len(client.ask(NOON, decode).items) == 50


@pytest.mark.parametrize("case", ["unknown_authority", "other_host", "expired"])
def test_certificate_that_cannot_be_trusted_ends_it(case: str, authority: trustme.CA, tmp_path: Path) -> None:
    """Not a byte of a request reaches such a server, and it is not tried again."""
    past = datetime(2020, 1, 1, tzinfo=UTC)
    certificate = authority.issue_cert(
        "source.example.org" if case == "other_host" else "127.0.0.1", not_after=past if case == "expired" else None
    )
    with EventsServer(tls_context(certificate)) as server:
        client = client_of(server.settings())
        if case != "unknown_authority":
            trusting(client, authority, tmp_path)
        with closing(client), pytest.raises(SourceError) as caught:
            client.ask(NOON, decode)

        assert server.requests == []
    assert server.refused_handshakes == 1
    assert type(caught.value) is SourceError
    assert "certificate" in str(caught.value)
    assert found_in(told_by(caught.value), [CLIENT_KEY]) == []


def test_environment_cannot_make_a_certificate_trusted(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No variable of OpenSSL, requests or curl brings in another authority."""
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(file))
    with EventsServer(tls_context(authority.issue_cert("127.0.0.1"))) as server:
        error = refusal(server.settings())

        assert server.requests == []
    assert "certificate" in str(error)


def test_old_tls_is_refused(authority: trustme.CA, tmp_path: Path) -> None:
    """A server that speaks only TLS 1.1 gets no request."""
    context = tls_context(authority.issue_cert("127.0.0.1"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with EventsServer(context) as server:
        client = trusting(client_of(server.settings(attempts=1)), authority, tmp_path)
        with closing(client), pytest.raises(SourceError):
            client.ask(NOON, decode)

        assert server.requests == []


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"])
def test_no_proxy_sees_a_plain_request(api: EventsServer, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request without TLS goes straight to the source, for a proxy would read the key."""
    with EventsServer() as proxy:
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")

        assert received(api.settings()) == 50
        assert proxy.requests == []


def test_proxy_sees_only_the_tunnel_of_https(api: EventsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy for HTTPS is asked for a tunnel by host and port, and learns nothing else."""
    with EventsServer() as proxy:
        proxy.always(status(403))
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        error = refusal(api.settings(url="https://source.example.org/api", attempts=1))
        (request,) = proxy.requests

    assert (request.method, request.query) == ("CONNECT", {})
    assert not any(CLIENT_KEY in value for value in request.headers.values())
    assert found_in(told_by(error), [CLIENT_KEY]) == []


def test_host_may_be_kept_from_the_proxy(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`NO_PROXY` is heeded."""
    with EventsServer() as proxy, EventsServer(tls_context(authority.issue_cert("127.0.0.1"))) as server:
        server.serve(EVENTS)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with closing(trusting(client_of(server.settings()), authority, tmp_path)) as client:
            assert len(client.ask(NOON, decode).items) == 50

        assert proxy.requests == []


def test_netrc_is_not_used(api: EventsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password that lies about for the same host is not sent along."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    received(api.settings())

    assert "authorization" not in api.requests[0].headers


def test_cookies_of_the_source_harm_nobody(api: EventsServer) -> None:
    """A source that sets cookies is asked as before."""
    api.script([status(503, headers={"Set-Cookie": "a=b"})])

    assert received(api.settings()) == 50


def test_clients_do_not_wait_for_each_other(api: EventsServer) -> None:
    """Each client has its own connection: one that waits for the source does not hold another one up."""
    answered = threading.Event()
    api.script([held(answered)])
    counts: list[int] = []
    waiting = threading.Thread(target=lambda: counts.append(received(api.settings(timeout=20.0))))
    waiting.start()
    while not api.requests:
        time.sleep(0.01)
    counts.append(received(api.settings()))
    answered.set()
    waiting.join(20)

    assert counts == [50, 50]
