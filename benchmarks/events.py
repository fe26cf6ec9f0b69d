"""Makes days of any size: ready bytes, of which any window can be cut out at once."""

from __future__ import annotations

import json
import random
from array import array
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY: Final = date(2023, 4, 1)
START: Final = datetime(2023, 4, 1, tzinfo=UTC)
EVENTS_PER_STUDENT: Final = 10
EVENTS_PER_VISIT: Final = 4
"""How often a student tries a task in a row; the demo's days have about as many."""
TASKS: Final = 400
VISITS_AT_ONCE: Final = 200
_SEPARATOR: Final = b", "
_LENGTH: Final = timedelta(days=1)


@dataclass(frozen=True)
class ReadyDay:
    """The events of a day as JSON, one after the other, evenly spread in time."""

    count: int
    body: bytes
    ends: array[int]

    def window(self, start: datetime, end: datetime) -> memoryview:
        """Return the JSON of the events of a window, without the brackets of the array."""
        first, last = self._index(start), self._index(end)
        if first >= last:
            return memoryview(b"")
        begin = self.ends[first - 1] if first else 0
        return memoryview(self.body)[begin : self.ends[last - 1] - len(_SEPARATOR)]

    def _index(self, moment: datetime) -> int:
        """Return how many events lie before a moment."""
        microseconds = (moment - START) // timedelta(microseconds=1)
        index = max(0, min(self.count, microseconds * self.count // (_LENGTH // timedelta(microseconds=1))))
        while index < self.count and moment_of(index, self.count) < moment:
            index += 1
        return index


def moment_of(number: int, count: int) -> datetime:
    """Return when an event takes place."""
    return START + number * _LENGTH / count


def make_day(count: int) -> ReadyDay:
    """Return a day of so many sound events, of students who try one task some times, then another; all keys differ."""
    texts = [text.encode() + _SEPARATOR for text in _events(count)]
    return ReadyDay(count, b"".join(texts), array("Q", accumulate(map(len, texts))))


def _events(count: int) -> Iterator[str]:
    dice = random.Random(count)
    users = [f"{dice.getrandbits(128):032x}" for _ in range(max(count // EVENTS_PER_STUDENT, 1))]
    tasks = [f"{dice.getrandbits(128):032x}" for _ in range(TASKS)]
    visits = [(dice.choice(users), dice.choice(tasks)) for _ in range(VISITS_AT_ONCE)]
    for number in range(count):
        slot = dice.randrange(VISITS_AT_ONCE)
        user, task = visits[slot]
        if dice.randrange(EVENTS_PER_VISIT) == 0:
            visits[slot] = (dice.choice(users), dice.choice(tasks))
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
            "created_at": moment_of(number, count).strftime("%Y-%m-%d %H:%M:%S.%f"),
        }
        yield json.dumps(event)
