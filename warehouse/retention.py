"""Deletes what the operator does not want kept: old rejected events, and ledger rows that no figure needs.

What is deleted is what nothing refers to any more, a bounded number of rows at a time. So it may be broken off at any
moment, and runs may be at work beside it; a day that one of them holds keeps its quarantine until the next time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from warehouse.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from warehouse.connection import Database

_AT_ONCE: Final = 10_000


def quarantined(database: Database, before: date) -> list[tuple[date, int]]:
    """Return how many events of each day before a date lie in quarantine, oldest first."""
    return [(day, count) for day, count in database.rows(query("retention/quarantine_days"), before=before)]


def delete_quarantined(database: Database, day: date) -> Iterator[int]:
    """Delete the quarantine of a day and yield how many events went, part by part.

    The caller holds the day's lock: a load at work would count again what it finds there.
    """
    while deleted := len(database.rows(query("retention/delete_quarantine"), process_date=day, most=_AT_ONCE)):
        yield deleted


def dispensable_runs(database: Database, before: date) -> list[int]:
    """Return the runs of days before a date that neither an event, nor a revision, nor a day's state comes from."""
    return [run_id for (run_id,) in database.rows(query("retention/dispensable_runs"), before=before)]


def delete_runs(database: Database, run_ids: Sequence[int]) -> Iterator[int]:
    """Delete runs from the ledger and yield how many went, part by part."""
    yield from _deleted(database, "retention/delete_runs", run_ids)


def dispensable_letters(database: Database, before: date) -> list[str]:
    """Return the letters about days before a date that can no longer keep one from being sent twice."""
    return [key for (key,) in database.rows(query("retention/dispensable_letters"), before=before)]


def delete_letters(database: Database, keys: Sequence[str]) -> Iterator[int]:
    """Delete records of letters and yield how many went, part by part."""
    yield from _deleted(database, "retention/delete_letters", keys)


def _deleted(database: Database, name: str, ids: Sequence[object]) -> Iterator[int]:
    for start in range(0, len(ids), _AT_ONCE):
        yield len(database.rows(query(name), ids=list(ids[start : start + _AT_ONCE])))
