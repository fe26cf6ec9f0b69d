"""Makes days of any kind at random, and knows by itself what has to become of each event."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from app_types import Counts

Key = tuple[datetime, str, str, str | None]
Values = tuple[bool | None, str | None, str | None]

_USERS = tuple(f"{number:032x}" for number in range(4))
_TASKS = ("ca3ecf8e5f284c329eb7bd529e1a9f7e", "0f1e2d3c4b5a69788796a5b4c3d2e1f0")
_MOMENTS = 12
_REJECTED: tuple[dict[str, Any], ...] = (
    {"lti_user_id": None},
    {"lti_user_id": "3583bf109f8b458e13ae1ac9d85c396"},
    {"attempt_type": "review"},
    {"is_correct": 2},
    {"passback_params": "{'oauth_consumer_key': "},
    {"passback_params": "__import__('os').getpid()"},
    {"created_at": "now"},
    {"lti_user_id": "\x00" * 32},
)


@dataclass(frozen=True)
class Told:
    """One item of an answer: its place in time, its text, and what it is; without a key it is to be rejected."""

    moment: datetime
    text: str
    key: Key | None
    values: Values = (None, None, None)
    is_defective: bool = False


@dataclass
class Model:
    """What the tables have to hold, kept by the rules of the contract and nothing else."""

    events: dict[Key, Values] = field(default_factory=dict)
    rejected: Counter[tuple[date, str]] = field(default_factory=Counter)

    def load(self, day: date, answer: list[Told]) -> Counts:
        """Take in a day and return what the program has to count."""
        valid = [told for told in answer if told.key is not None]
        last = {told.key: told.values for told in answer if told.key is not None}
        held = {key for key in self.events if key[0].date() == day}
        new = {key for key in last if key not in held}
        changed = {key for key, values in last.items() if key in held and self.events[key] != values}
        self.events |= last
        texts = Counter((day, told.text) for told in answer if told.key is None)
        self.rejected |= texts
        return Counts(
            received=len(answer),
            loaded=len(new),
            updated=len(changed),
            already_present=len(valid) - len(new) - len(changed),
            rejected=len(answer) - len(valid),
            defective=sum(told.is_defective for told in valid),
            missing_at_source=len(held - set(last)),
        )


class Generator:
    """Makes answers; few moments, users and tasks, so that keys meet again."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)

    def day(self, day: date, most: int = 40) -> list[Told]:
        """Return what the source tells of a day, in the order of time; of one moment in any order."""
        items = [self._item(day) for _ in range(self._dice.randint(0, most))]
        return sorted(items, key=lambda told: told.moment)

    def _item(self, day: date) -> Told:
        dice = self._dice
        step = timedelta(days=1) / _MOMENTS
        moment = datetime(day.year, day.month, day.day, tzinfo=UTC) + dice.randrange(_MOMENTS) * step
        if dice.random() < 0.2:
            moment += step - timedelta(microseconds=1)
        user, task, kind = dice.choice(_USERS), dice.choice(_TASKS), dice.choice(("run", "submit"))
        correct = None if kind == "run" else dice.choice((0, 1))
        key, sourcedid, url = (
            "",
            f"course-v1:DEMO+PY+2023:lms.example.org-{task}:{user}",
            f"https://x.example.org/{task}",
        )
        passback: dict[str, str] | None = {
            "oauth_consumer_key": key,
            "lis_result_sourcedid": sourcedid,
            "lis_outcome_service_url": url,
        }
        event: dict[str, Any] = {
            "lti_user_id": user,
            "is_correct": correct,
            "attempt_type": kind,
            "created_at": moment.strftime("%Y-%m-%d %H:%M:%S.%f"),
        }
        trouble = dice.random()
        if trouble < 0.15:
            event |= {"passback_params": repr(passback)} | dice.choice(_REJECTED)
            return Told(moment, json.dumps(event), None)
        values: tuple[str | None, str | None, str | None] = (key, sourcedid, url)
        if trouble < 0.25:
            passback, values = None, (None, None, None)
        elif trouble < 0.35 and passback:
            name = dice.choice(list(passback))
            values_by_name: dict[str, str | None] = {**passback, name: None}
            del passback[name]
            values = tuple(values_by_name.values())  # type: ignore[assignment]  # three they are
        elif trouble < 0.45:
            event["is_correct"] = correct = 1 if kind == "run" else None
        event["passback_params"] = repr(passback) if passback is not None else None
        stored = None if correct is None else bool(correct)
        return Told(
            moment, json.dumps(event), (moment, user, kind, values[1]), (stored, values[0], values[2]), trouble < 0.45
        )
