"""Remembers which letters were handed over, so that a crash between sending and recording sends none twice.

What is remembered is not the letter but what it tells: one day's figures in one language. So what a letter about a
single day told is known again when a range is run, and the other way round. It is written down just before the mail
server could accept the letter, and again as soon as the server's answer is there. Found in between by a later run, it
may have arrived or not, and is not sent again unless somebody asks for it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from warehouse.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date, datetime

    from app_types import Figures, Language, Mode
    from warehouse.connection import Database


class LetterState(StrEnum):
    """How far a letter has come."""

    HANDING_OVER = "handing over"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Told:
    """What letters have told of a day.

    `fingerprint` is that of the figures in the last letter that is known to have been sent in every language, `at` is
    when that was recorded. `is_doubtful` means that a later one was begun, and what its readers know is not certain.
    """

    fingerprint: str | None = None
    at: datetime | None = None
    is_doubtful: bool = False

    def is_about(self, figures: Figures) -> bool:
        """Tell whether the readers know exactly these figures."""
        return self.fingerprint == figures.fingerprint() and not self.is_doubtful


@dataclass(frozen=True, slots=True)
class Entry:
    """A day's figures as one letter tells them; `key` is the same only for the same news in the same language."""

    key: str
    day: date
    mode: Mode


def told(database: Database, day: date, mode: Mode) -> Told:
    """Return what letters have told of a day."""
    (row,) = database.rows(query("outbox/told"), process_date=day, mode=mode)
    return Told(*row)


def entry(day: date, figures: Figures, revision: int, before: Told, language: Language) -> Entry:
    """Return what stands for a day's figures in a letter.

    The figures alone would not do: those that come back after others (A, B, A) are news again.
    """
    since = before.at.isoformat() if before.at else "never"
    parts = (day.isoformat(), str(revision), figures.fingerprint(), since, language.value)
    return Entry(hashlib.sha256("|".join(parts).encode()).hexdigest(), day, figures.mode)


def states(database: Database, entries: Iterable[Entry]) -> dict[Entry, LetterState]:
    """Return how far the letters have come that told of these; those that no letter was begun for are left out."""
    by_key = {each.key: each for each in entries}
    rows = database.rows(query("outbox/find"), keys=list(by_key))
    return {by_key[key]: LetterState(state) for key, state in rows}


def record(database: Database, reached: Mapping[Entry, LetterState], *, run_id: int | None) -> None:
    """Write down how far the letters have come that tell of these, all in one step."""
    database.rows(
        query("outbox/record"),
        keys=[each.key for each in reached],
        days=[each.day for each in reached],
        modes=[each.mode.value for each in reached],
        states=[state.value for state in reached.values()],
        run_id=run_id,
    )
