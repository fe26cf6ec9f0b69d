"""Load: brings a fetched day into PostgreSQL in one transaction, and accounts for every event in it."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app_types import Counts, Mode
from exceptions import DatabaseError, LoadRefusedError, TransientDatabaseError
from warehouse import ledger
from warehouse.queries import query

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg2 import extensions

    from app_types import Day
    from warehouse.connection import Database
    from warehouse.spool import Spool

log = logging.getLogger(__name__)

_ATTEMPTS: Final = 3
_FIRST_DELAY: Final = 0.5
_POLL: Final = 0.2
_PATIENCE: Final = 10.0
"""Seconds that PostgreSQL has to heed a cancel before the connection is cut."""


@dataclass(frozen=True, slots=True)
class _Comparison:
    """How the table's rows of the window stand to the events that were sent."""

    held: int
    missing: int
    differing: int

    @property
    def equal(self) -> int:
        """Rows that were sent just as they are."""
        return self.held - self.missing - self.differing


def load(database: Database, run_id: int, day: Day, spool: Spool, *, reset: bool = False) -> Counts:
    """Load a day: stage by COPY, merge by key, quarantine, counts and ledger, all or nothing.

    Loading a day twice changes nothing; where the source corrected a value, the row follows it; what the source no
    longer sends is kept and counted. A transient failure is tried again as a whole. After a cut at the commit the
    ledger tells whether it took place. Ctrl-C cancels the statement under way.

    Args:
        database: with the day's lock in hand.
        run_id: the run's row in the ledger.
        day: the day; its window bounds what is compared.
        spool: everything that was fetched.
        reset: empty the events table first, in the same transaction.

    Raises:
        LoadRefusedError: the counts do not balance, or the reset would leave an empty table; nothing was changed.
        DatabaseError: PostgreSQL failed; nothing was changed.
    """
    if reset and day.mode is Mode.TEST:
        raise LoadRefusedError(
            "A test run does not empty the events table.", remedy="Set DB_MAIN_TABLE_OPEN_RESET=false for it."
        )
    if reset and not spool.valid:
        raise LoadRefusedError(
            "The source sent no events that could be loaded, so the table was not emptied; nothing was changed.",
            remedy="Check the date, or set DB_MAIN_TABLE_OPEN_RESET=false.",
        )
    started = time.monotonic()
    log.info("load: start, events: %d, rejected: %d", spool.valid, spool.rejected)
    counts = _interruptible(
        database, lambda interrupted: _load_with_retries(database, run_id, day, spool, reset, interrupted)
    )
    log.info(
        "load: done, new: %d, corrected: %d, already present: %d, rejected: %d, seconds: %.1f",
        counts.loaded,
        counts.updated,
        counts.already_present,
        counts.rejected,
        time.monotonic() - started,
    )
    if counts.missing_at_source:
        log.warning("events that the table holds and the source did not send, kept: %d", counts.missing_at_source)
    return counts


def _load_with_retries(
    database: Database, run_id: int, day: Day, spool: Spool, reset: bool, stop: threading.Event
) -> Counts:
    """Load, and begin again as a whole after what may pass, unless another thread wants an end."""
    for attempt in range(1, _ATTEMPTS + 1):
        in_doubt = False
        try:
            with database.transaction() as cursor:
                counts = _load_once(cursor, run_id, day, spool, reset)
                if stop.is_set():
                    raise LoadRefusedError("The load was broken off.")
                in_doubt = True
        except TransientDatabaseError as error:
            if stop.is_set():
                raise
            log.warning("load: attempt %d of %d failed: %s", attempt, _ATTEMPTS, error)
            if committed := _committed(database, run_id, in_doubt, stop):
                return committed
            if attempt == _ATTEMPTS or stop.wait(_FIRST_DELAY * 2 ** (attempt - 1)):
                raise
        else:
            return counts
    raise AssertionError  # the last attempt returns or raises


def _committed(database: Database, run_id: int, in_doubt: bool, stop: threading.Event) -> Counts | None:
    """Connect anew and return the counts if the transaction was committed after all.

    The cut may have come after the commit was asked for; the ledger's row was part of it.
    """
    try:
        database.reconnect(stop)
        return ledger.committed_counts(database, run_id)
    except DatabaseError:
        if not in_doubt or stop.is_set():
            raise
        raise DatabaseError(
            "The connection to the database was lost while the events were being saved; whether they were is unknown.",
            remedy="Run the day again when the database is back: nothing is loaded twice.",
        ) from None


def _load_once(cursor: extensions.cursor, run_id: int, day: Day, spool: Spool, reset: bool) -> Counts:
    """Do the work of the transaction and check it before the commit."""
    bounds = {"run_id": run_id, "process_date": day.date, "start": day.window.start, "end": day.window.end}
    # One snapshot for all counts; where another run touches the same rows, PostgreSQL says so and we begin again.
    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    if reset:
        # Before the snapshot, and against every other load: a row must not survive the reset by chance.
        cursor.execute("LOCK TABLE lms_activities IN SHARE ROW EXCLUSIVE MODE")
        cursor.execute(query("load/empty_events"))
        log.warning("the events table is emptied as DB_MAIN_TABLE_OPEN_RESET asks, rows: %d", cursor.rowcount)
    _stage(cursor, spool)
    (unique,) = _numbers(cursor, "load/count_unique")
    before = _Comparison(*_numbers(cursor, "load/compare", bounds))
    cursor.execute(query("load/correct_events"), bounds)
    updated = cursor.rowcount
    cursor.execute(query("load/insert_events"), bounds)
    loaded = cursor.rowcount
    after = _Comparison(*_numbers(cursor, "load/compare", bounds))
    cursor.execute(query("load/insert_rejected"), bounds)
    (rejected,) = _numbers(cursor, "load/count_rejected", bounds)
    counts = Counts(
        received=spool.received,
        loaded=loaded,
        updated=updated,
        already_present=spool.valid - unique + before.equal,
        rejected=rejected,
        defective=spool.defective,
        missing_at_source=after.missing,
    )
    _check("rows corrected", before.differing, updated)
    _check("rows of the window", before.held + loaded, after.held)
    _check("rows that were not sent", before.missing, after.missing)
    _check("rows that differ from what was sent", 0, after.differing)
    _check("events in quarantine", spool.rejected, rejected)
    _check("events accounted for", counts.received, counts.loaded + counts.updated + counts.already_present + rejected)
    ledger.record_load(cursor, run_id, counts)
    return counts


def _stage(cursor: extensions.cursor, spool: Spool) -> None:
    """Copy the spool into temporary tables, check that every row arrived, and tell duplicates apart."""
    cursor.execute(query("load/create_staging"))
    cursor.copy_expert(query("load/copy_events"), spool.events())
    _check("events staged", spool.valid, cursor.rowcount)
    cursor.copy_expert(query("load/copy_rejected"), spool.rejected_events())
    _check("rejected events staged", spool.rejected, cursor.rowcount)
    cursor.execute(query("load/unique_events"))
    cursor.execute(query("load/unique_rejected"))


def _check(what: str, expected: int, found: int) -> None:
    if expected != found:
        log.error("load: %s: expected %d, found %d", what, expected, found)
        raise LoadRefusedError(
            "The counts of the load do not balance, so it was rolled back; nothing was changed.",
            remedy="Run the day again; if it happens again, report it with the log.",
        )


def _numbers(cursor: extensions.cursor, name: str, values: dict[str, object] | None = None) -> tuple[int, ...]:
    cursor.execute(query(name), values)
    return cursor.fetchone() or ()


def _interruptible(database: Database, work: Callable[[threading.Event], Counts]) -> Counts:
    """Do the work in a thread, so that an interrupt is heard while PostgreSQL is busy, and cancels its statement.

    An interrupt that comes when the commit has gone through cannot undo it; the ledger tells which it was.
    """
    results: list[Counts | BaseException] = []
    stop, done = threading.Event(), threading.Event()

    def run() -> None:
        try:
            results.append(work(stop))
        except BaseException as error:  # noqa: BLE001  (handed to the thread that waits)
            results.append(error)
        finally:
            done.set()

    threading.Thread(target=run, name="load", daemon=True).start()
    try:
        while not done.wait(_POLL):  # join() would not do: interrupted, it takes a living thread for a dead one
            pass
    except BaseException:
        stop.set()
        _end(database, done)
        raise
    result = results[0]
    if isinstance(result, BaseException):
        raise result
    return result


def _end(database: Database, done: threading.Event) -> None:
    """Have the load end. The connection is its thread's until then, so a second Ctrl-C has to wait, too."""
    limit = time.monotonic() + _PATIENCE
    while not done.is_set():
        with suppress(BaseException):
            if time.monotonic() < limit:
                database.cancel()  # again and again: it may be between two statements
            else:
                database.cut()
            done.wait(_POLL)
