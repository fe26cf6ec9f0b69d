"""Makes days of any size and serves them over loopback HTTP, ready-made, so that the source costs next to nothing."""

from __future__ import annotations

import json
import random
import threading
from bisect import bisect_left
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

_USERS: Final = 5_000
_TASKS: Final = 400


def make_day(day: date, count: int) -> list[tuple[datetime, str]]:
    """Return a day's events in order, each as its moment and its JSON text; all are sound, all keys differ."""
    dice = random.Random(f"{day} {count}")
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    users = [f"{dice.getrandbits(128):032x}" for _ in range(_USERS)]
    tasks = [f"{dice.getrandbits(128):032x}" for _ in range(_TASKS)]
    step = timedelta(days=1) / count
    events = []
    for number in range(count):
        moment = start + number * step
        user, task = dice.choice(users), dice.choice(tasks)
        run = dice.random() < 0.65
        course = f"course-v1:BENCH+C{int(task[:4], 16) % 30}+2023"
        passback = {
            "oauth_consumer_key": "",
            "lis_result_sourcedid": f"{course}:lms.example.org-{task}:{user}",
            "lis_outcome_service_url": f"https://lms.example.org/courses/{course}/xblock/block-v1:BENCH+type@lti+block@{task}"
            "/handler_noauth/grade_handler",
        }
        event = {
            "lti_user_id": user,
            "passback_params": repr(passback),
            "is_correct": None if run else int(dice.random() < 0.48),
            "attempt_type": "run" if run else "submit",
            "created_at": moment.strftime("%Y-%m-%d %H:%M:%S.%f"),
        }
        events.append((moment, json.dumps(event)))
    return events


@contextmanager
def served(events: list[tuple[datetime, str]]) -> Iterator[str]:
    """Serve the events by window; yields the address."""
    moments = [moment for moment, _ in events]
    cache: dict[tuple[str, str], bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        """Answers one window from ready bytes."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            key = query["start"][0], query["end"][0]
            if key not in cache:
                first, last = (bisect_left(moments, datetime.fromisoformat(text).replace(tzinfo=UTC)) for text in key)
                cache[key] = ("[" + ", ".join(text for _, text in events[first:last]) + "]").encode()
            body = cache[key]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api/statistics"
    finally:
        server.shutdown()
        server.server_close()
