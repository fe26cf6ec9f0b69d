"""Load: brings a fetched day into PostgreSQL in one transaction, and accounts for every event in it."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from app_types import Counts, Mode
from exceptions import LoadRefusedError, TransientDatabaseError
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
    if reset and (day.mode is Mode.TEST or not spool.valid):
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
    database: Database, run_id: int, day: Day, spool: Spool, reset: bool, interrupted: threading.Event
) -> Counts:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with database.transaction() as cursor:
                counts = _load_once(cursor, run_id, day, spool, reset)
                if interrupted.is_set():
                    raise LoadRefusedError("The load was interrupted.")
        except TransientDatabaseError as error:
            log.warning("load: attempt %d of %d failed: %s", attempt, _ATTEMPTS, error)
            database.reconnect()
            # The cut may have come after the commit was asked for; the ledger's row was part of it.
            if committed := ledger.committed_counts(database, run_id):
                return committed
            if attempt == _ATTEMPTS:
                raise
            time.sleep(_FIRST_DELAY * 2 ** (attempt - 1))
        else:
            return counts
    raise AssertionError  # the last attempt returns or raises


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
    cursor.execute(query("load/unique_events"))
    unique = _number(cursor, "SELECT count(*) FROM pg_temp.unique_events")
    before = _number(cursor, query("load/count_window"), bounds)
    cursor.execute(query("load/correct_events"), bounds)
    updated = cursor.rowcount
    cursor.execute(query("load/insert_events"), bounds)
    loaded = cursor.rowcount
    after = _number(cursor, query("load/count_window"), bounds)
    missing = _number(cursor, query("load/count_missing"), bounds)
    cursor.execute(query("load/insert_rejected"), bounds)
    counts = Counts(
        received=spool.received,
        loaded=loaded,
        updated=updated,
        already_present=spool.valid - loaded - updated,
        rejected=spool.rejected,
        defective=spool.defective,
        missing_at_source=missing,
    )
    _check("rows of the window", before + loaded, after)
    _check("rows sent and rows missing at the source", unique + missing, after)
    _check("rows new or corrected", loaded + updated, min(loaded + updated, unique))
    _check("events accounted for", counts.received, loaded + updated + counts.already_present + counts.rejected)
    ledger.record_load(cursor, run_id, counts)
    return counts


def _stage(cursor: extensions.cursor, spool: Spool) -> None:
    """Copy the spool into temporary tables and check that every row arrived."""
    cursor.execute(query("load/create_staging"))
    cursor.copy_expert(query("load/copy_events"), spool.events())
    _check("events staged", spool.valid, cursor.rowcount)
    cursor.copy_expert(query("load/copy_rejected"), spool.rejected_events())
    _check("rejected events staged", spool.rejected, cursor.rowcount)


def _check(what: str, expected: int, found: int) -> None:
    if expected != found:
        log.error("load: %s: expected %d, found %d", what, expected, found)
        raise LoadRefusedError(
            "The counts of the load do not balance, so it was rolled back; nothing was changed.",
            remedy="Run the day again; if it happens again, report it with the log.",
        )


def _number(cursor: extensions.cursor, statement: str, values: dict[str, object] | None = None) -> int:
    cursor.execute(statement, values)
    row = cursor.fetchone()
    return int(row[0]) if row else 0


def _interruptible(database: Database, work: Callable[[threading.Event], Counts]) -> Counts:
    """Do the work in a thread, so that an interrupt is heard while PostgreSQL is busy, and cancels its statement.

    An interrupt that comes when the commit has gone through cannot undo it; the ledger tells which it was.
    """
    results: list[Counts | BaseException] = []
    interrupted = threading.Event()

    def run() -> None:
        try:
            results.append(work(interrupted))
        except BaseException as error:  # noqa: BLE001  (handed to the thread that waits)
            results.append(error)

    thread = threading.Thread(target=run, name="load", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(_POLL)
    except BaseException:
        interrupted.set()
        _cancel(database)
        thread.join()
        raise
    result = results[0]
    if isinstance(result, BaseException):
        raise result
    return result


def _cancel(database: Database) -> None:
    try:
        database.connection.cancel()
    except Exception:  # noqa: BLE001  (the connection may be gone; the rollback comes either way)
        log.debug("load: nothing to cancel")
