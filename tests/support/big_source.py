"""A source of a day that no memory should have to hold: two million events, made while they are asked for.

A process of its own, so that neither its memory nor its time is that of the test: `big_source()` runs it for a block.
Every second of the day holds as many events as every other, so an hour is made once and served with another number.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME = Path(__file__).resolve().parent.parent.parent
DAY = "2023-04-01"
_HOUR = "@@"
_SECOND = timedelta(seconds=1)


@contextmanager
def big_source(a_second: int) -> Iterator[str]:
    """Run the source in a process of its own and yield its address.

    Args:
        a_second: how many events each second of the day holds.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(a_second)], cwd=HOME, env={}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin
    assert process.stdout
    try:
        port = int(process.stdout.readline())
        yield f"http://127.0.0.1:{port}/api/statistics"
    finally:
        process.kill()
        process.stdin.close()
        process.stdout.close()
        process.wait()


def make_hour(a_second: int) -> list[list[bytes]]:
    """Return the events of each second of an hour; where the hour is to stand there is a mark."""
    users = [f"{number:032x}" for number in range(5_000)]
    hour = []
    for second in range(3_600):
        texts = []
        for number in range(a_second):
            place = second * a_second + number
            user, is_run = users[place % len(users)], place % 3 == 0
            course = f"course-v1:DEMO+PY-{place % 20}+2023"
            passback = {
                "oauth_consumer_key": "",
                "lis_result_sourcedid": f"{course}:lms.example.org-{place % 400:032x}:{user}",
                "lis_outcome_service_url": f"https://lms.example.org/courses/{course}/handler_noauth/grade_handler",
            }
            event = {
                "lti_user_id": user,
                "passback_params": repr(passback),
                "is_correct": None if is_run else place % 2,
                "attempt_type": "run" if is_run else "submit",
                "created_at": f"{DAY} {_HOUR}:{second // 60:02}:{second % 60:02}.{number * 1_000_000 // a_second:06}",
            }
            texts.append(json.dumps(event).encode())
        hour.append(texts)
    return hour


def body(hour: list[list[bytes]], start: datetime, end: datetime) -> bytes:
    """Return the answer for a window, half-open."""
    parts = []
    moment = start
    while moment < end:
        second = moment.replace(microsecond=0)
        until = min(end, second + _SECOND)
        texts = hour[second.minute * 60 + second.second]
        if until - moment < _SECOND:
            low, high = moment - second, until - second
            places = (timedelta(microseconds=number * 1_000_000 // len(texts)) for number in range(len(texts)))
            texts = [text for text, place in zip(texts, places, strict=True) if low <= place < high]
        if texts:
            parts.append(b",".join(texts).replace(_HOUR.encode(), b"%02d" % moment.hour))
        moment = until
    return b"[" + b",".join(parts) + b"]"


def _serve(a_second: int) -> None:
    hour = make_hour(a_second)

    class Handler(BaseHTTPRequestHandler):
        """Answers a window."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            start, end = (datetime.fromisoformat(query[name][0]) for name in ("start", "end"))
            answer = body(hour, start, end)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
            """Stay silent."""

    class Server(ThreadingHTTPServer):
        """Says nothing of clients that leave."""

        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Stay silent."""

    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
