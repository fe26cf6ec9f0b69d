"""An events API on loopback that does what a script says: answers well, or fails in any way that a network can.

It writes to raw sockets, since a decent HTTP library would mend what is meant to be broken. A fault is a `Behaviour`;
the functions that make them stand in the second half of this module:

    events_api.serve([make_event(), ...])
    events_api.script([status(503, retry_after="1"), reset_mid_body()])    # the first two requests, then all is well
    events_api.script([hang_before_headers()], start="2023-04-01 05:00:00")  # the first request of that window
    events_api.always(redirect("http://127.0.0.1:1/"))                      # every request without a script
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import ssl
import struct
import threading
import time
import zlib
from bisect import bisect_left, bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app_types import Secret
from config import ApiSettings

CLIENT = "tester"
CLIENT_KEY = "kEy+/=with&odd%signs"
"""A key whose spelling in a URL differs from its own, so that redaction has something to find."""

USER_ID = "3583bf109f8b458e13ae1ac9d85c396a"
COURSE = "course-v1:DEMO+PY-101+2023_SPRING"
BLOCK = "ca3ecf8e5f284c329eb7bd529e1a9f7e"

_PATH = "/api/statistics"
_TIME_FORMAT = "%Y-%m-%d %H:%M:%S.%f"
_LONGEST_HEAD = 1_000_000


@dataclass(frozen=True)
class Request:
    """A request as it came. `at` is a moment of `time.monotonic()`; names of headers are lower case."""

    number: int
    at: float
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]

    @property
    def start(self) -> datetime | None:
        """The beginning of the asked window (UTC, without zone), if it can be read."""
        return _asked_time(self.query, "start")

    @property
    def end(self) -> datetime | None:
        """The end of the asked window (UTC, without zone), if it can be read."""
        return _asked_time(self.query, "end")


class _EndError(Exception):
    """The connection is to be closed."""


class Exchange:
    """One request that waits for its answer, in the hands of a behaviour."""

    def __init__(self, server: EventsServer, connection: socket.socket, request: Request) -> None:
        self.server = server
        self.request = request
        self.keep_alive = request.headers.get("connection", "").lower() != "close"
        self._connection = connection

    def good_answer(self) -> tuple[int, bytes]:
        """Return the status and the body that a healthy source would send."""
        return self.server.good_answer(self.request)

    def good_body(self) -> bytes:
        """Return the body alone."""
        return self.good_answer()[1]

    def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        self._connection.sendall(data)

    def head(self, code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Write a status line and headers."""
        lines = [f"HTTP/1.1 {code} {_phrase(code)}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def respond(self, code: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Write a whole and correct answer."""
        self.head(code, {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})})
        self.send(body)

    def pause(self, seconds: float) -> None:
        """Wait; the end of the server ends the wait and the connection."""
        if self.server.closing.wait(seconds):
            raise _EndError

    def hang(self) -> None:
        """Do nothing until the client leaves or the server ends."""
        self._connection.settimeout(0.1)
        while not self.server.closing.is_set():
            with contextlib.suppress(TimeoutError):
                if not self._connection.recv(1):
                    break
        raise _EndError

    def end(self) -> None:
        """Close the connection in good order."""
        raise _EndError

    def reset(self) -> None:
        """Break the connection: the client sees "connection reset"."""
        # What was written is to arrive before the reset overtakes it.
        self.pause(0.05)
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()
        raise _EndError


Behaviour = Callable[[Exchange], None]
"""Answers a request, well or badly."""


class EventsServer:
    """The scripted source, running while its block does.

    Args:
        tls: speak HTTPS with this certificate.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.client = CLIENT
        self.client_key = CLIENT_KEY
        self.closing = threading.Event()
        self.refused_handshakes = 0
        self.busiest = 0
        """The greatest number of requests that were under way at the same time."""
        self._tls = tls
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._under_way = 0
        self._content = _Content([], inclusive_end=True)
        self._answers: dict[datetime, list[Any]] = {}
        self._script: deque[Behaviour] = deque()
        self._scripts: dict[datetime, deque[Behaviour]] = defaultdict(deque)
        self._always: Behaviour = good()
        self._connections: dict[socket.socket, threading.Thread] = {}

    def __enter__(self) -> EventsServer:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.settimeout(0.05)
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name="events-server", daemon=True)
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._acceptor.join()
        self._listener.close()
        with self._lock:
            left = dict(self._connections)
        for connection, thread in left.items():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=10)

    @property
    def url(self) -> str:
        """The address to be asked."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}{_PATH}"

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in the order in which they came."""
        with self._lock:
            return list(self._requests)

    def requests_of(self, start: str | datetime) -> list[Request]:
        """Return the requests of the window that begins then."""
        return [request for request in self.requests if request.start == _moment(start)]

    def settings(self, **changes: Any) -> ApiSettings:
        """Return settings that lead to this server: short time-outs, three attempts."""
        settings = ApiSettings(
            url=self.url,
            client=self.client,
            client_key=Secret(self.client_key),
            timeout=2.0,
            attempts=3,
            deadline=30.0,
            window_minutes=60,
            concurrency=2,
            user_id_length=32,
        )
        return replace(settings, **changes)

    def environ(self, **changes: str) -> dict[str, str]:
        """Return the settings of the source as environment variables, for a process of its own."""
        return {
            "API_URL": self.url,
            "API_CLIENT": self.client,
            "API_CLIENT_KEY": self.client_key,
            "API_TIMEOUT": "2",
            "API_ATTEMPTS": "3",
            "API_DEADLINE": "30",
            **changes,
        }

    def serve(self, events: Iterable[Any], *, inclusive_end: bool = True) -> None:
        """Hold these events from now on; each window gets its own, in this order.

        An item without a readable `created_at` is sent with the item before it, or in every window if there is none.

        Args:
            events: items of the array; they need not be events.
            inclusive_end: whether an event exactly at the end of a window is sent with it.
        """
        self._content = _Content(events, inclusive_end=inclusive_end)

    def answer(self, start: str | datetime, items: Sequence[Any]) -> None:
        """Answer the window that begins then with just these items."""
        self._answers[_moment(start)] = list(items)

    def script(self, behaviours: Iterable[Behaviour], *, start: str | datetime | None = None) -> None:
        """Say how the next requests are answered, one after another.

        Args:
            behaviours: one for each request.
            start: only requests of the window that begins then; they take no turn of the general script.
        """
        with self._lock:
            (self._script if start is None else self._scripts[_moment(start)]).extend(behaviours)

    def always(self, behaviour: Behaviour) -> None:
        """Say how requests are answered for which no script is left."""
        self._always = behaviour

    def good_answer(self, request: Request) -> tuple[int, bytes]:
        """Return the status and the body of a healthy source."""
        if request.path != _PATH:
            return 404, b'{"errors": "not found"}'
        if (request.query.get("client"), request.query.get("client_key")) != (self.client, self.client_key):
            return 403, b'{"errors": "client or client_key is wrong"}'
        start, end = request.start, request.end
        if start is None or end is None:
            return 400, b'{"errors": "start or end is wrong"}'
        if start in self._answers:
            return 200, json.dumps(self._answers[start]).encode()
        return 200, self._content.answer(start, end)

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            connection.settimeout(None)
            thread = threading.Thread(target=self._serve_connection, args=(connection,), daemon=True)
            with self._lock:
                self._connections[connection] = thread
            thread.start()

    def _serve_connection(self, raw: socket.socket) -> None:
        connection = raw
        try:
            connection = self._handshake(raw)
            with contextlib.suppress(OSError, _EndError):
                while self._serve_request(connection):
                    pass
        except OSError:
            with self._lock:
                self.refused_handshakes += 1
        finally:
            with self._lock:
                self._connections.pop(connection, None)
                self._connections.pop(raw, None)
            connection.close()
            raw.close()

    def _handshake(self, raw: socket.socket) -> socket.socket:
        if self._tls is None:
            return raw
        raw.settimeout(10)
        connection = self._tls.wrap_socket(raw, server_side=True)
        with self._lock:
            self._connections[connection] = self._connections.pop(raw)
        connection.settimeout(None)
        return connection

    def _serve_request(self, connection: socket.socket) -> bool:
        """Answer one request; tell whether the connection stays open."""
        head = _read_head(connection)
        if head is None:
            return False
        request, behaviour = self._begin(head)
        exchange = Exchange(self, connection, request)
        try:
            behaviour(exchange)
        finally:
            with self._lock:
                self._under_way -= 1
        return exchange.keep_alive

    def _begin(self, head: bytes) -> tuple[Request, Behaviour]:
        """Take a request down and choose how to answer it."""
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        parts = urlsplit(target)
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        with self._lock:
            request = Request(len(self._requests) + 1, time.monotonic(), method, parts.path, query, headers)
            self._requests.append(request)
            self._under_way += 1
            self.busiest = max(self.busiest, self._under_way)
            own = self._scripts.get(request.start) if request.start else None
            if own:
                return request, own.popleft()
            if self._script:
                return request, self._script.popleft()
            return request, self._always


class _Content:
    """The events that a healthy source holds, found by time."""

    def __init__(self, events: Iterable[Any], *, inclusive_end: bool) -> None:
        placed: list[tuple[datetime, int, str]] = []
        self._everywhere: list[str] = []
        before: datetime | None = None
        for number, item in enumerate(events):
            before = _created_at(item) or before
            text = json.dumps(item)
            if before is None:
                self._everywhere.append(text)
            else:
                placed.append((before, number, text))
        placed.sort(key=lambda entry: entry[:2])
        self._placed = placed
        self._moments = [moment for moment, _, _ in placed]
        self._last = bisect_right if inclusive_end else bisect_left

    def answer(self, start: datetime, end: datetime) -> bytes:
        found = self._placed[bisect_left(self._moments, start) : self._last(self._moments, end)]
        found.sort(key=lambda entry: entry[1])
        return f"[{','.join([*self._everywhere, *(text for _, _, text in found)])}]".encode()


def _created_at(item: Any) -> datetime | None:
    """Return the time of an event (UTC, without zone); None where there is none to be read."""
    value = item.get("created_at") if isinstance(item, dict) else None
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _moment(start: str | datetime) -> datetime:
    moment = datetime.fromisoformat(start) if isinstance(start, str) else start
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _asked_time(query: Mapping[str, str], name: str) -> datetime | None:
    try:
        return datetime.strptime(query.get(name, ""), _TIME_FORMAT).replace(tzinfo=None)  # noqa: DTZ007
    except ValueError:
        return None


def _read_head(connection: socket.socket) -> bytes | None:
    """Read up to the blank line that ends a request without a body; None where the client left."""
    head = b""
    while b"\r\n\r\n" not in head:
        if len(head) > _LONGEST_HEAD:
            return None
        piece = connection.recv(65_536)
        if not piece:
            return None
        head += piece
    return head.partition(b"\r\n\r\n")[0]


def _phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return "Odd"


# Behaviours: good ones


def good() -> Behaviour:
    """Answer as a healthy source does."""

    def behave(exchange: Exchange) -> None:
        exchange.respond(*exchange.good_answer())

    return behave


def delayed(seconds: float, then: Behaviour | None = None) -> Behaviour:
    """Think for a while, then answer."""

    def behave(exchange: Exchange) -> None:
        exchange.pause(seconds)
        (then or good())(exchange)

    return behave


def held(until: threading.Event, then: Behaviour | None = None) -> Behaviour:
    """Wait for a sign of the test, then answer."""

    def behave(exchange: Exchange) -> None:
        while not until.is_set():
            exchange.pause(0.01)
        (then or good())(exchange)

    return behave


def chunked(size: int = 1_000) -> Behaviour:
    """Answer well, in chunks."""

    def behave(exchange: Exchange) -> None:
        body = exchange.good_body()
        exchange.head(headers={"Transfer-Encoding": "chunked"})
        for start in range(0, len(body), size):
            exchange.send(_chunk(body[start : start + size]))
        exchange.send(_chunk(b""))

    return behave


def gzipped() -> Behaviour:
    """Answer well, compressed."""

    def behave(exchange: Exchange) -> None:
        exchange.respond(200, gzip.compress(exchange.good_body()), {"Content-Encoding": "gzip"})

    return behave


def close_delimited(keep: int | None = None) -> Behaviour:
    """Answer without telling the length: the body ends with the connection.

    Args:
        keep: the number of items after which the answer is cut, so that it is valid JSON nevertheless.
    """

    def behave(exchange: Exchange) -> None:
        body = exchange.good_body()
        if keep is not None:
            body = json.dumps(json.loads(body)[:keep]).encode()
        exchange.head(headers={"Content-Type": "application/json", "Connection": "close"})
        exchange.send(body)
        exchange.end()

    return behave


def bom() -> Behaviour:
    """Answer well, with a byte order mark before the UTF-8."""

    def behave(exchange: Exchange) -> None:
        exchange.respond(200, b"\xef\xbb\xbf" + exchange.good_body())

    return behave


# Behaviours: the source refuses or talks of something else


def status(
    code: int,
    *,
    retry_after: str | None = None,
    body: bytes = b'{"errors": "scripted"}',
    headers: Mapping[str, str] | None = None,
) -> Behaviour:
    """Answer with a status, and with a `Retry-After` of any spelling."""

    def behave(exchange: Exchange) -> None:
        own = {"Retry-After": retry_after} if retry_after is not None else {}
        exchange.respond(code, body, {**own, **(headers or {})})

    return behave


def redirect(location: str, code: int = 302) -> Behaviour:
    """Send the client to another address."""
    return status(code, body=b"", headers={"Location": location})


def raw_body(body: bytes, *, code: int = 200, content_type: str = "application/json") -> Behaviour:
    """Answer with these bytes."""
    return status(code, body=body, headers={"Content-Type": content_type})


def json_body(value: object, *, code: int = 200) -> Behaviour:
    """Answer with this value as JSON: `null`, `{}`, an error object, another array."""
    return raw_body(json.dumps(value).encode(), code=code)


def empty() -> Behaviour:
    """Answer with a body of no bytes."""
    return raw_body(b"")


def html(code: int = 200) -> Behaviour:
    """Answer with a web page."""
    page = b"<!DOCTYPE html>\n<html><body><h1>Maintenance</h1></body></html>"
    return raw_body(page, code=code, content_type="text/html; charset=utf-8")


def malformed_json() -> Behaviour:
    """Answer with the right length, but with JSON that stops in the middle."""

    def behave(exchange: Exchange) -> None:
        body = exchange.good_body()
        exchange.respond(200, body[: max(len(body) - 2, 1)])

    return behave


def invalid_utf8() -> Behaviour:
    """Answer with bytes that are not UTF-8."""
    return raw_body(b'[{"lti_user_id": "\xff\xfe\xfd"}]')


def utf16() -> Behaviour:
    """Answer in UTF-16, with its byte order mark."""

    def behave(exchange: Exchange) -> None:
        body = exchange.good_body().decode().encode("utf-16")
        exchange.respond(200, body, {"Content-Type": "application/json; charset=utf-16"})

    return behave


def echo_key(code: int = 400) -> Behaviour:
    """Answer with an error that repeats the request, key included, as it stood in the URL and decoded."""

    def behave(exchange: Exchange) -> None:
        key = exchange.request.query.get("client_key", "")
        exchange.respond(code, json.dumps({"errors": f"bad request: client_key={key} is not welcome"}).encode())

    return behave


# Behaviours: the network fails


def reset_before_headers() -> Behaviour:
    """Break the connection before any byte."""
    return Exchange.reset


def reset_mid_body() -> Behaviour:
    """Break the connection in the middle of the body."""

    def behave(exchange: Exchange) -> None:
        _send_half(exchange)
        exchange.reset()

    return behave


def short_body() -> Behaviour:
    """Promise a length, send half of it, close in good order."""

    def behave(exchange: Exchange) -> None:
        _send_half(exchange)
        exchange.end()

    return behave


def cut_chunk() -> Behaviour:
    """Close in the middle of a chunk."""

    def behave(exchange: Exchange) -> None:
        body = exchange.good_body()
        exchange.head(headers={"Transfer-Encoding": "chunked"})
        exchange.send(_chunk(body)[: len(body) // 2 + 8])
        exchange.end()

    return behave


def missing_last_chunk() -> Behaviour:
    """Send all chunks but the empty one that ends the body."""

    def behave(exchange: Exchange) -> None:
        exchange.head(headers={"Transfer-Encoding": "chunked"})
        exchange.send(_chunk(exchange.good_body()))
        exchange.end()

    return behave


def drip_body(interval: float = 1.0) -> Behaviour:
    """Send the body byte by byte, so that no time-out of a single read ever strikes."""

    def behave(exchange: Exchange) -> None:
        body = exchange.good_body().ljust(100_000)
        exchange.head(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
        _drip(exchange, body, interval)

    return behave


def drip_headers(interval: float = 1.0) -> Behaviour:
    """Send a header byte by byte."""

    def behave(exchange: Exchange) -> None:
        _drip(exchange, b"HTTP/1.1 200 OK\r\nX-Padding: " + b"x" * 60_000, interval)

    return behave


def hang_before_headers() -> Behaviour:
    """Take the request and never answer."""
    return Exchange.hang


def hang_after_headers() -> Behaviour:
    """Send the headers and never a body."""

    def behave(exchange: Exchange) -> None:
        exchange.head(headers={"Content-Type": "application/json", "Content-Length": "1000"})
        exchange.hang()

    return behave


def many_headers(count: int = 10_000) -> Behaviour:
    """Send a good body after very many headers."""

    def behave(exchange: Exchange) -> None:
        padding = {f"X-Padding-{number}": "x" for number in range(count)}
        exchange.respond(*exchange.good_answer(), padding)

    return behave


def gzip_bomb(megabytes: int = 1_024) -> Behaviour:
    """Send a small body that unpacks to so many megabytes."""

    def behave(exchange: Exchange) -> None:
        exchange.head(
            headers={
                "Content-Type": "application/json",
                "Content-Encoding": "gzip",
                "Transfer-Encoding": "chunked",
            }
        )
        # After a full flush the compressor remembers nothing, so that the same bytes can follow again and again.
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        opening = packer.compress(b"[") + packer.flush(zlib.Z_FULL_FLUSH)
        megabyte = packer.compress(b" " * 1_048_576) + packer.flush(zlib.Z_FULL_FLUSH)
        exchange.send(_chunk(opening))
        for _ in range(megabytes):
            exchange.send(_chunk(megabyte))
        exchange.send(_chunk(b""))

    return behave


def endless_array() -> Behaviour:
    """Send events and never the end of the array."""

    def behave(exchange: Exchange) -> None:
        exchange.head(headers={"Content-Type": "application/json", "Transfer-Encoding": "chunked"})
        exchange.send(_chunk(b"["))
        piece = _chunk((json.dumps(make_event()) + ",").encode() * 1_000)
        while not exchange.server.closing.is_set():
            exchange.send(piece)
        exchange.end()

    return behave


def _send_half(exchange: Exchange) -> None:
    body = exchange.good_body()
    exchange.head(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
    exchange.send(body[: len(body) // 2])


def _drip(exchange: Exchange, data: bytes, interval: float) -> None:
    for byte in data:
        exchange.send(bytes([byte]))
        exchange.pause(interval)


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


# Events


def make_event(**changes: Any) -> dict[str, Any]:
    """Return a good event of the source's form: a run at noon on 1 April 2023.

    A change of the user id changes the passback parameters with it, unless they are given, too.
    """
    event: dict[str, Any] = {
        "lti_user_id": USER_ID,
        "is_correct": None,
        "attempt_type": "run",
        "created_at": "2023-04-01 12:00:00.000001",
        **changes,
    }
    if "passback_params" not in changes:
        user_id = event["lti_user_id"]
        event["passback_params"] = make_passback(user_id if isinstance(user_id, str) else USER_ID)
    return event


def make_passback(user_id: str = USER_ID, course: str = COURSE, block: str = BLOCK, **changes: Any) -> str:
    """Return good passback parameters; a change to `...` leaves a field out."""
    parameters = {
        "oauth_consumer_key": "",
        "lis_result_sourcedid": f"{course}:lms.example.org-{block}:{user_id}",
        "lis_outcome_service_url": (
            f"https://lms.example.org/courses/{course}/xblock/block-v1:{course.removeprefix('course-v1:')}"
            f"+type@lti+block@{block}/handler_noauth/grade_handler"
        ),
        **changes,
    }
    return repr({name: value for name, value in parameters.items() if value is not ...})


def make_events(count: int, day: date = date(2023, 4, 1), users: int = 100) -> list[dict[str, Any]]:
    """Return so many good and different events, spread evenly over a UTC day; of ten, six are runs and two succeed."""
    step = timedelta(days=1) / max(count, 1)
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    events = []
    for number in range(count):
        place = number % 10
        events.append(
            make_event(
                lti_user_id=f"{number % users:032x}",
                attempt_type="run" if place < 6 else "submit",
                is_correct=None if place < 6 else int(place < 8),
                created_at=(midnight + number * step).strftime(_TIME_FORMAT),
            )
        )
    return events


@pytest.fixture
def events_api() -> Iterator[EventsServer]:
    """A scripted source on loopback, holding no events yet."""
    with EventsServer() as server:
        yield server
