"""A source that costs next to nothing: whole days as ready bytes, in two versions, served window by window.

A day holds good events, some with defects, some that are rejected, and some that are sent twice. Version B is what the
source says later: it corrects every tenth event, adds some, and has lost some others. Every tenth event bears the name
of its version in `oauth_consumer_key`, so that one cheap count tells whether a table holds parts of both.
"""

from __future__ import annotations

import json
import threading
from bisect import bisect_left
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

Version = Literal["A", "B"]
DAY = date(2023, 4, 1)
CLIENT_KEY = "ready-source-key"


@dataclass(frozen=True)
class Size:
    """How many events of which kind a day has."""

    good: int
    defective: int
    rejected: int
    twice: int

    @property
    def received(self) -> int:
        """How many events the source sends."""
        return self.good + self.rejected + self.twice


def size_of(events: int) -> Size:
    """Return the make-up of a day of so many good events: two in a hundred defective, one rejected, one sent twice."""
    return Size(events, events // 50, events // 100, events // 100)


def make_day(events: int, version: Version = "A", day: date = DAY) -> list[tuple[datetime, bytes]]:
    """Return a day as the source tells it: each event's moment and its JSON text, in order.

    Args:
        events: how many good ones there are in version A; B has one in a hundred more, and as many less.
        version: which telling.
        day: the UTC day.
    """
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    step = timedelta(days=1) / events
    told: list[tuple[datetime, bytes]] = []
    for number in range(events):
        moment = start + number * step
        if version == "B" and number % 100 == 51:
            continue  # the source has lost it
        event = _event(number, moment, version)
        told.append((moment, event))
        if number % 100 == 7:
            told.append((moment, event))
        if number % 100 == 9:
            told.append((moment, _rejected(number, moment)))
        if version == "B" and number % 100 == 53:
            told.append((moment, _event(number + events, moment, version)))
    return told


def _event(number: int, moment: datetime, version: Version) -> bytes:
    user = f"{number % 499:032x}"
    is_run = number % 3 == 0
    marked = number % 10 == 0
    course = f"course-v1:DEMO+PY-{number % 7}+2023"
    passback = {
        "oauth_consumer_key": version if marked else "",
        "lis_result_sourcedid": f"{course}:lms.example.org-{number % 97:032x}:{user}",
        "lis_outcome_service_url": f"https://lms.example.org/courses/{course}/handler_noauth/grade_handler",
    }
    correct = None if is_run else int((number // 3 + (marked and version == "B")) % 2)
    return _text(
        lti_user_id=user,
        passback_params=None if number % 50 == 11 else repr(passback),
        is_correct=correct,
        attempt_type="run" if is_run else "submit",
        created_at=_written(moment),
    )


def _rejected(number: int, moment: datetime) -> bytes:
    return _text(
        lti_user_id=f"short-{number}",
        passback_params=None,
        is_correct=None,
        attempt_type="run",
        created_at=_written(moment),
    )


def _text(**values: object) -> bytes:
    return json.dumps(values).encode()


def _written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


class ReadySource:
    """The server; `serve` says what it holds from now on."""

    def __init__(self) -> None:
        self._moments: list[datetime] = []
        self._texts: list[bytes] = []
        self._answers: dict[tuple[str, str], bytes] = {}
        self.requests = 0
        source = self

        class Handler(BaseHTTPRequestHandler):
            """Answers a window from ready bytes."""

            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)
                body = source.answer(query["start"][0], query["end"][0])
                self.wfile.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                    % (len(body), body)
                )

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
                """Stay silent."""

        class Server(ThreadingHTTPServer):
            """Says nothing of clients that were killed."""

            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: object, client_address: object) -> None:
                """Stay silent."""

        self.server = Server(("127.0.0.1", 0), Handler)

    @property
    def environ(self) -> dict[str, str]:
        """The settings of the program that lead here."""
        return {
            "API_URL": f"http://127.0.0.1:{self.server.server_port}/api/statistics",
            "API_CLIENT": "endurance",
            "API_CLIENT_KEY": CLIENT_KEY,
        }

    def serve(self, told: list[tuple[datetime, bytes]]) -> None:
        """Hold these events from now on."""
        self._moments = [moment for moment, _ in told]
        self._texts = [text for _, text in told]
        self._answers = {}

    def answer(self, start: str, end: str) -> bytes:
        """Return the body for a window."""
        self.requests += 1
        if (start, end) not in self._answers:
            first, last = (
                bisect_left(self._moments, datetime.fromisoformat(text).replace(tzinfo=UTC)) for text in (start, end)
            )
            self._answers[start, end] = b"[" + b",".join(self._texts[first:last]) + b"]"
        return self._answers[start, end]


@contextmanager
def ready_source() -> Iterator[ReadySource]:
    """Run a source for the time of the block."""
    source = ReadySource()
    thread = threading.Thread(target=source.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield source
    finally:
        source.server.shutdown()
        source.server.server_close()
        thread.join(5)
