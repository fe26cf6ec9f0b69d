"""The demo's source: an HTTP server on loopback that speaks the protocol of the real events API.

It makes up the days that it is asked for, includes both ends of an asked window (the harder of the two readings), and
corrects one event of every day after the first fetch. A fetch is one life of an `EventsApi`: in it, a day never
changes. A day counts as fetched when the hour of its corrected event was asked for and the life ended without an
exception; so neither a test run of the first hour nor a run that was killed or interrupted uses the correction up.
"""

from __future__ import annotations

import contextlib
import gzip
import hmac
import json
import logging
import os
import re
import secrets
import socket
import socketserver
import threading
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from demo.generator import RawEvent, corrected_moment, placed_events

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

log = logging.getLogger(__name__)

PATH: Final = "/api/statistics"
_STATE_FILE: Final = "fetched-days.json"
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", re.ASCII)
_TIME_FORMAT: Final = "%Y-%m-%d %H:%M:%S.%f"
_YEARS: Final = range(1970, 9_999)
_LONGEST_WINDOW: Final = timedelta(days=31)
_SMALLEST_TO_COMPRESS: Final = 1_000
_LONGEST_SILENCE: Final = 60.0


class EventsApi:
    """The source of the demo, running while its block does.

    Args:
        state: the folder in which the days that were fetched are remembered; must exist.
    """

    def __init__(self, state: Path, *, client: str = "demo", client_key: str | None = None) -> None:
        self.client = client
        self.client_key = client_key or secrets.token_urlsafe(24)
        self._state = state / _STATE_FILE
        self._fetched_before = _read_days(self._state)
        self._asked_now: set[date] = set()
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address to be asked."""
        if self._server is None:
            raise RuntimeError("the events API is not running")
        return f"http://127.0.0.1:{self._server.server_address[1]}{PATH}"

    def __enter__(self) -> EventsApi:
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="demo-events-api", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.close()
            self._server = None
        if kind is None:
            self._remember()

    def knows(self, client: str, client_key: str) -> bool:
        """Tell whether a client may ask."""
        return hmac.compare_digest(
            f"{client}\n{client_key}".encode(errors="replace"), f"{self.client}\n{self.client_key}".encode()
        )

    def events(self, start: datetime, end: datetime) -> list[RawEvent]:
        """Return the events from `start` to `end` (UTC, without zone), both included."""
        events: list[RawEvent] = []
        day = start.date()
        while day <= end.date():
            corrected = day in self._fetched_before
            events.extend(placed.event for placed in placed_events(day, corrected=corrected, start=start, end=end))
            if start <= corrected_moment(day) <= end:
                with self._lock:
                    self._asked_now.add(day)
            day += timedelta(days=1)
        return events

    def forget_fetch(self) -> None:
        """Take this life for none: what was asked for in it was not loaded."""
        with self._lock:
            self._asked_now.clear()

    def _remember(self) -> None:
        """Add the days of this life to those of earlier ones."""
        if self._asked_now <= self._fetched_before:
            return
        days = _read_days(self._state) | self._asked_now
        unfinished = self._state.with_suffix(f".{os.getpid()}.tmp")
        try:
            unfinished.write_text(json.dumps(sorted(map(str, days)), indent=0), encoding="ascii")
            unfinished.replace(self._state)
        except OSError as error:
            # The demo goes on without its memory; the next run sees the day as it was at first.
            log.debug("demo: the fetched days could not be written: %s", error.strerror)


def _read_days(file: Path) -> frozenset[date]:
    """Return the days that were fetched before; none where the file is missing or not ours."""
    try:
        return frozenset(map(date.fromisoformat, json.loads(file.read_bytes())))
    except (OSError, ValueError, TypeError):
        return frozenset()


class _RefusedError(Exception):
    """A request that gets no events."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        self.status = status
        self.text = text


class _Server(ThreadingHTTPServer):
    """The server underneath; closing it ends the connections that clients keep open."""

    daemon_threads = True

    def __init__(self, api: EventsApi) -> None:
        self.api = api
        self._open: dict[socket.socket, threading.Thread] = {}
        self._guard = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        """Bind without asking DNS for the name of this machine, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection and keep book of it."""
        with self._guard:
            self._open[request] = threading.current_thread()
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._guard:
                self._open.pop(request, None)

    def handle_error(self, _request: object, _client_address: object) -> None:
        """Say nothing of a client that left."""
        log.debug("demo: a connection to the events API broke")

    def close(self) -> None:
        """Close everything."""
        self.server_close()
        with self._guard:
            left = dict(self._open)
        for connection, thread in left.items():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=5)


class _Handler(BaseHTTPRequestHandler):
    """Answers one client; the connection stays open between requests."""

    protocol_version = "HTTP/1.1"
    server_version = "demo"
    sys_version = ""
    timeout = _LONGEST_SILENCE
    # Headers and body in one packet: otherwise each answer may wait for a delayed acknowledgement.
    wbufsize = -1
    server: _Server

    def do_GET(self) -> None:
        """Answer with events, or with what is wrong."""
        try:
            status, answer = HTTPStatus.OK, self._events()
        except _RefusedError as refusal:
            status, answer = refusal.status, {"errors": refusal.text}
        body = json.dumps(answer).encode("ascii")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if len(body) >= _SMALLEST_TO_COMPRESS and "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, compresslevel=1, mtime=0)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the name is that of the base class)
        """Write no access log: it would hold the key."""

    def _events(self) -> object:
        parts = urlsplit(self.path)
        if parts.path != PATH:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "there is nothing at this address")
        query = parse_qs(parts.query, keep_blank_values=True)
        if not self.server.api.knows(_single(query, "client"), _single(query, "client_key")):
            raise _RefusedError(HTTPStatus.FORBIDDEN, "client or client_key is wrong")
        start, end = _time(query, "start"), _time(query, "end")
        if not timedelta() <= end - start <= _LONGEST_WINDOW:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "end must follow start by at most 31 days")
        events = self.server.api.events(start, end)
        log.debug("demo: the events API was asked from %s to %s, events: %d", start, end, len(events))
        return events


def _single(query: dict[str, list[str]], name: str) -> str:
    """Return a parameter that stands exactly once in the query; empty otherwise."""
    values = query.get(name, [])
    return values[0] if len(values) == 1 else ""


def _time(query: dict[str, list[str]], name: str) -> datetime:
    text = _single(query, name)
    with contextlib.suppress(ValueError):
        if _TIME.fullmatch(text):
            moment = datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=UTC)
            if moment.year in _YEARS:
                return moment.replace(tzinfo=None)
    raise _RefusedError(HTTPStatus.BAD_REQUEST, f"{name} must be a time such as 2023-04-01 00:00:00.000000")
