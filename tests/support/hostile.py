"""The corpus of hostile inputs in `tests/hostile`: whole answers, items of an answer, passback parameters, texts.

A long input is written as parts with the number of their repetitions. What an input has to lead to stands with it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.events_api import make_event, make_passback

FOLDER = Path(__file__).resolve().parent.parent / "hostile"
DAY = datetime(2023, 4, 1, tzinfo=UTC)
CANARY = "canary-7f3a"
"""Stands in the texts that would lead somewhere: in a path, a command, the name of a host."""


@dataclass(frozen=True)
class Case:
    """An item of an answer, as the JSON text that the source sends.

    `expected` is the code of its rejection, or "loaded".
    """

    name: str
    text: str
    expected: str

    @property
    def body(self) -> bytes:
        """An answer that holds just this item."""
        return f"[{self.text}]".encode()


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / name).read_text("utf-8"))
    return content


def _joined(parts: list[tuple[str, int]]) -> str:
    return "".join(text * times for text, times in parts)


@cache
def answers() -> dict[str, tuple[bytes, str]]:
    """Return whole answers that are no events, by name, with the kind of error they lead to."""
    return {
        name: (_joined(case["parts"]).encode("latin-1"), case["error"]) for name, case in _read("answers.json").items()
    }


@cache
def items() -> tuple[Case, ...]:
    """Return every item of the corpus; each has a time of its own, so that none is the duplicate of another."""
    cases: list[Case] = []

    def moment() -> str:
        return (DAY + timedelta(hours=6, microseconds=len(cases))).strftime("%Y-%m-%d %H:%M:%S.%f")

    for name, case in _read("events.json").items():
        text = _joined(case["json"])
        if case["field"]:
            event = {name: json.dumps(value) for name, value in make_event(created_at=moment()).items()}
            event[case["field"]] = text
            text = "{" + ", ".join(f'"{name}": {value}' for name, value in event.items()) + "}"
        cases.append(Case(name, text, case["expect"]))
    for name, parts in _read("passback.json").items():
        event = make_event(created_at=moment(), passback_params=_joined(parts))
        cases.append(Case(f"passback: {name}", json.dumps(event), "passback_unreadable"))
    for name, text in _read("texts.json").items():
        passback = make_passback(lis_result_sourcedid=text, oauth_consumer_key=text, lis_outcome_service_url=text)
        cases.append(
            Case(f"text: {name}", json.dumps(make_event(created_at=moment(), passback_params=passback)), "loaded")
        )
    return tuple(cases)


@cache
def texts() -> dict[str, str]:
    """Return texts that would do harm where they are interpreted."""
    return {name: str(text) for name, text in _read("texts.json").items()}
