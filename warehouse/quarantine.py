"""The quarantine: what lies in it, and its events given another try."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app_types import Counts, Rejected
from exceptions import LoadRefusedError
from warehouse import ledger
from warehouse.interruptible import interruptible
from warehouse.queries import query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import date, datetime

    from psycopg2 import extensions

    from app_types import Event
    from warehouse.connection import Database

    Judge = Callable[[str], Event | Rejected | None]
    """Says what today's rules make of an event's text; None where it belongs to another day, or is no event at all."""

log = logging.getLogger(__name__)

_AT_ONCE: Final = 1_000
"""Events that are in memory at a time."""


@dataclass(frozen=True, slots=True)
class Group:
    """The events of a day that were rejected for one reason. `example` is the text of one of them."""

    date: date
    reason: str
    events: int
    first_received_at: datetime
    last_received_at: datetime
    example: str


@dataclass(frozen=True, slots=True)
class Extent:
    """How much lies in quarantine altogether; no days where that is nothing."""

    events: int
    oldest: date | None
    newest: date | None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An event in quarantine; `raw` is its text as the source spelled it, JSON in ASCII."""

    date: date
    reason: str
    raw: str
    received_at: datetime
    run_id: int


def groups(database: Database, first: date, last: date) -> list[Group]:
    """Return what lies in quarantine of the days from `first` to `last`, oldest first."""
    return [Group(*row) for row in database.rows(query("quarantine/summary"), first=first, last=last)]


def extent(database: Database) -> Extent:
    """Return how much lies in quarantine altogether."""
    return Extent(*database.rows(query("quarantine/extent"))[0])


def events(database: Database, first: date, last: date) -> Iterator[Quarantined]:
    """Yield every event in quarantine of the days from `first` to `last`, oldest first, all as of one moment."""
    with database.transaction() as cursor:
        for row in _streamed(cursor, "quarantine/events", {"first": first, "last": last}):
            yield Quarantined(*row)


def count(database: Database, day: date) -> int:
    """Return how many events of a day lie in quarantine."""
    return int(database.rows(query("quarantine/count_day"), process_date=day)[0][0])


def replay(database: Database, run_id: int, day: date, judge: Judge) -> Counts:
    """Judge the events of a day again and load what is good now: events, quarantine and ledger in one transaction.

    What is still rejected stays as it came, under today's reason.

    Args:
        database: with the day's lock in hand.
        run_id: the replay's row in the ledger.
        day: the day.
        judge: today's rules.

    Raises:
        LoadRefusedError: the counts do not balance; nothing was changed.
        DatabaseError: PostgreSQL failed; nothing was changed.
    """
    return interruptible(database, lambda: _replay(database, run_id, day, judge))


def _replay(database: Database, run_id: int, day: date, judge: Judge) -> Counts:
    values = {"run_id": run_id, "process_date": day}
    with database.transaction() as cursor:
        staged = _stage(cursor, day, judge)
        cursor.execute(query("quarantine/unique_events"))
        updated = _changed(cursor, "quarantine/correct_events", values)
        loaded = _changed(cursor, "quarantine/insert_events", values)
        released = _changed(cursor, "quarantine/release", values)
        _changed(cursor, "quarantine/correct_reasons", values)
        judged, good, defective, different, held = _numbers(cursor, "quarantine/count")
        (left,) = _numbers(cursor, "quarantine/count_day", values)
        _check("events judged", staged, judged)
        _check("events taken out of quarantine", good, released)
        _check("events left in quarantine", staged - good, left)
        _check("events in the table", different, held)
        counts = Counts(
            received=staged,
            loaded=loaded,
            updated=updated,
            already_present=good - loaded - updated,
            rejected=left,
            defective=defective,
            missing_at_source=0,
        )
        ledger.record_load(cursor, run_id, counts)
    log.info(
        "replay: done, new: %d, corrected: %d, already present: %d, still rejected: %d",
        counts.loaded,
        counts.updated,
        counts.already_present,
        counts.rejected,
    )
    return counts


def _stage(cursor: extensions.cursor, day: date, judge: Judge) -> int:
    """Judge the events of a day into a temporary table, and return how many there are."""
    from psycopg2.extras import execute_values

    cursor.execute(query("quarantine/create_replayed"))
    staged = 0
    waiting: list[tuple[object, ...]] = []

    def write() -> None:
        execute_values(cursor, query("quarantine/stage"), waiting, page_size=_AT_ONCE)
        waiting.clear()

    for digest, occurrence, reason, raw, received_at in _streamed(cursor, "quarantine/hold_day", {"process_date": day}):
        waiting.append((staged, digest, occurrence, received_at, *_columns(judge(raw), reason)))
        staged += 1
        if len(waiting) == _AT_ONCE:
            write()
    if waiting:
        write()
    return staged


def _columns(verdict: Event | Rejected | None, reason: str) -> Iterable[object]:
    """Return what a verdict is as columns: the reason, or the values of the event."""
    if verdict is None or isinstance(verdict, Rejected):
        return (verdict.reason.value if verdict else reason, *[None] * 8)
    return (
        None,
        verdict.user_id,
        verdict.created_at,
        verdict.oauth_consumer_key,
        verdict.lis_result_sourcedid,
        verdict.lis_outcome_service_url,
        verdict.is_correct,
        verdict.attempt_type.value,
        "{" + ",".join(verdict.defects) + "}",
    )


def _streamed(cursor: extensions.cursor, name: str, values: dict[str, object]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a statement without having all of them in memory."""
    with cursor.connection.cursor(name="streamed") as stream:
        stream.itersize = _AT_ONCE
        stream.execute(query(name), values)
        yield from stream


def _changed(cursor: extensions.cursor, name: str, values: dict[str, object]) -> int:
    cursor.execute(query(name), values)
    return cursor.rowcount


def _numbers(cursor: extensions.cursor, name: str, values: dict[str, object] | None = None) -> tuple[int, ...]:
    cursor.execute(query(name), values)
    return cursor.fetchone() or ()


def _check(what: str, expected: int, found: int) -> None:
    if expected != found:
        log.error("replay: %s: expected %d, found %d", what, expected, found)
        raise LoadRefusedError(
            "The counts of the replay do not balance, so it was rolled back; nothing was changed.",
            remedy="Replay the day again; if it happens again, report it with the log.",
        )
