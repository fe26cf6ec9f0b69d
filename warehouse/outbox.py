"""Remembers which letters were handed over, so that a crash between sending and recording sends none twice.

A letter is written down before it is given to the mail server. Found in that state by a later run, it may have
arrived or not; it is not sent again (`report` sends one on purpose).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from warehouse.queries import query

if TYPE_CHECKING:
    from datetime import date

    from app_types import Mode
    from warehouse.connection import Database


class LetterState(StrEnum):
    """How far a letter has come."""

    HANDING_OVER = "handing over"
    SENT = "sent"
    FAILED = "failed"


def state_of(database: Database, message_id: str) -> LetterState | None:
    """Return how far a letter has come; None where it was never begun."""
    rows = database.rows(query("outbox/find"), message_id=message_id)
    return LetterState(rows[0][0]) if rows else None


def record(
    database: Database, message_id: str, state: LetterState, *, day: date, mode: Mode, run_id: int | None
) -> None:
    """Write down how far a letter has come."""
    database.rows(
        query("outbox/record"), message_id=message_id, process_date=day, mode=mode, state=state, run_id=run_id
    )
