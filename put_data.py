"""Load: brings a fetched day into PostgreSQL in one transaction, and accounts for every event in it."""

from __future__ import annotations

import logging
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from psycopg2 import errors

from app_types import Counts, Mode
from exceptions import DatabaseError, LoadRefusedError, TransientDatabaseError
from warehouse import ledger
from warehouse.interruptible import Background
from warehouse.queries import query
from warehouse.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from psycopg2 import extensions

    from app_types import Batch, Day, Window
    from warehouse.connection import Database
    from warehouse.spool import Reader

log = logging.getLogger(__name__)

_ATTEMPTS: Final = 3
_FIRST_DELAY: Final = 0.5
_COPIED_AT_ONCE: Final = 1024 * 1024
"""Bytes; while the next ones wait for their turn behind the fetch, PostgreSQL has those that wait in the socket."""
_TURN: Final = 0.0005
"""Seconds after which a thread of Python lets another one in; with the usual 0.005, PostgreSQL waits for its rows."""


@dataclass(frozen=True, slots=True)
class _Comparison:
    """How the table's rows of a window stand to the events that were sent."""

    held: int = 0
    missing: int = 0
    differing: int = 0

    @property
    def equal(self) -> int:
        """Rows that were sent just as they are."""
        return self.held - self.missing - self.differing

    def __add__(self, other: _Comparison) -> _Comparison:
        return _Comparison(self.held + other.held, self.missing + other.missing, self.differing + other.differing)


@dataclass(frozen=True, slots=True)
class _Merged:
    """What became of the events that were to be loaded, and how many rows of the window were not among them."""

    loaded: int
    updated: int = 0
    unchanged: int = 0
    missing: int = 0


class _KeysTakenError(Exception):
    """The table has come to hold events of the day since it was looked at."""


def load(database: Database, run_id: int, day: Day, batches: Iterable[Batch], *, reset: bool = False) -> Counts:
    """Load a day while it is fetched, in one transaction: events, quarantine, counts and ledger, all or nothing.

    A day that the table holds nothing of is copied straight into it; otherwise the events are staged and merged by
    key. Loading a day twice changes nothing; where the source corrected a value, the row follows it; what the source
    no longer sends is kept and counted. A transient failure is tried again as a whole, with what was fetched already.
    After a cut at the commit the ledger tells whether it took place. Ctrl-C cancels the statement under way.

    Args:
        database: with the day's lock in hand.
        run_id: the run's row in the ledger.
        day: the day; its window bounds what is compared.
        batches: the parts of the day as they are fetched for this run; what the iteration raises rolls everything back.
        reset: empty the events table first, in the same transaction, once the whole day is fetched.

    Raises:
        LoadRefusedError: the counts do not balance, or the reset would leave an empty table; nothing was changed.
        DatabaseError: PostgreSQL failed; nothing was changed.
    """
    if reset and day.mode is Mode.TEST:
        raise LoadRefusedError(
            "A test run does not empty the events table.", remedy="Set DB_MAIN_TABLE_OPEN_RESET=false for it."
        )
    latest = day.window.start
    with Spool() as spool:

        def work(stop: threading.Event) -> Counts:
            return _load_with_retries(database, run_id, day, spool, reset, stop)

        with _Following(database, spool, work) as loading:
            for batch in batches:
                _check("windows beyond the day", 0, not _within(batch.window, day.window))
                _check("windows out of order", 0, batch.window.start < latest)
                _check("run that the rows name", run_id, batch.run_id)
                latest = batch.window.start
                spool.add(batch)
                loading.check()
            if reset and not spool.loadable:
                raise _nothing_to_keep()
            started = time.monotonic()
            spool.finish()
            counts = loading.result()
    log.info(
        "load: done, new: %d, corrected: %d, already present: %d, rejected: %d, seconds since the fetch: %.1f",
        counts.loaded,
        counts.updated,
        counts.already_present,
        counts.rejected,
        time.monotonic() - started,
    )
    if counts.missing_at_source:
        log.warning("events that the table holds and the source did not send, kept: %d", counts.missing_at_source)
    return counts


def _nothing_to_keep() -> LoadRefusedError:
    return LoadRefusedError(
        "The source sent no events that could be loaded, so the table was not emptied; nothing was changed.",
        remedy="Check the date, or set DB_MAIN_TABLE_OPEN_RESET=false.",
    )


def _load_with_retries(
    database: Database, run_id: int, day: Day, spool: Spool, reset: bool, stop: threading.Event
) -> Counts:
    """Load, and begin again as a whole after what may pass, unless another thread wants an end."""
    straight = not reset
    attempt = 1
    while True:
        in_doubt = False
        # Only the first try follows the fetch: a statement that waits for a slow source may have been too long.
        spool.wait(whole=reset or attempt > 1)
        try:
            with database.transaction() as cursor:
                counts = _load_once(cursor, run_id, day, spool, reset=reset, straight=straight)
                if stop.is_set():
                    raise LoadRefusedError("The load was broken off.")
                in_doubt = True
        except _KeysTakenError:
            log.info("load: another run has brought some of these events; merging with them")
            straight = False
        except TransientDatabaseError as error:
            if stop.is_set():
                raise
            log.warning("load: attempt %d of %d failed: %s", attempt, _ATTEMPTS, error)
            if committed := _committed(database, run_id, in_doubt, stop):
                return committed
            if attempt == _ATTEMPTS or stop.wait(_FIRST_DELAY * 2 ** (attempt - 1)):
                raise
            attempt += 1
        else:
            return counts


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


def _load_once(
    cursor: extensions.cursor, run_id: int, day: Day, spool: Spool, *, reset: bool, straight: bool
) -> Counts:
    """Do the work of the transaction and check it before the commit."""
    bounds = {"run_id": run_id, "process_date": day.date, "start": day.window.start, "end": day.window.end}
    # One snapshot for all counts; where another run touches the same rows, PostgreSQL says so and we begin again.
    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    if reset:
        # Before the snapshot, and against every other load: a row must not survive the reset by chance.
        cursor.execute("LOCK TABLE lms_activities IN SHARE ROW EXCLUSIVE MODE")
        cursor.execute(query("load/empty_events"))
        log.warning("the events table is emptied as DB_MAIN_TABLE_OPEN_RESET asks, rows: %d", cursor.rowcount)
    if straight and _numbers(cursor, "load/is_empty", bounds) == (True,):
        _copy(cursor, "load/copy_events", spool.events())
        _check("rows copied", spool.loadable, cursor.rowcount)
        merged = _Merged(loaded=cursor.rowcount)
    else:
        merged = _merge(cursor, bounds, spool)
    rejected = _quarantine(cursor, bounds, spool)
    counts = Counts(
        received=spool.received,
        loaded=merged.loaded,
        updated=merged.updated,
        already_present=merged.unchanged + spool.repeated,
        rejected=rejected,
        defective=spool.defective,
        missing_at_source=merged.missing,
    )
    _check("events accounted for", counts.received, counts.valid + rejected)
    ledger.record_load(cursor, run_id, counts)
    return counts


def _merge(cursor: extensions.cursor, bounds: dict[str, object], spool: Spool) -> _Merged:
    """Stage the events, compare them with the table, and change what differs."""
    cursor.execute(query("load/create_staging"))
    cursor.execute(query("load/plan"))
    before, staged, since = _Comparison(), 0, bounds["start"]
    for part in spool.parts():
        _copy(cursor, "load/stage_events", part)
        staged += cursor.rowcount
        # What was staged of these hours is complete: PostgreSQL compares it while the next ones are fetched.
        stretch = {"start": since, "end": part.until or bounds["end"]}
        before += _Comparison(*_numbers(cursor, "load/compare", stretch))
        since = stretch["end"]
    _check("events staged", spool.loadable, staged)
    new = spool.loadable - before.held + before.missing
    updated = loaded = 0
    if before.differing:
        cursor.execute(query("load/correct_events"), bounds)
        updated = cursor.rowcount
    if new:
        cursor.execute(query("load/insert_events"))
        loaded = cursor.rowcount
    if updated or loaded:
        after = _Comparison(*_numbers(cursor, "load/compare", bounds))
        _check("rows of the window", before.held + loaded, after.held)
        _check("rows that were not sent", before.missing, after.missing)
        _check("rows that differ from what was sent", 0, after.differing)
    _check("rows corrected", before.differing, updated)
    _check("rows added", new, loaded)
    return _Merged(loaded, updated, before.equal, before.missing)


def _quarantine(cursor: extensions.cursor, bounds: dict[str, object], spool: Spool) -> int:
    """Bring the rejected events into quarantine, once each, and return how many of them lie there."""
    if not spool.rejected:
        return 0
    cursor.execute(query("load/create_rejected_staging"))
    _copy(cursor, "load/stage_rejected", spool.rejected_events())
    _check("rejected events staged", spool.rejected, cursor.rowcount)
    cursor.execute(query("load/unique_rejected"))
    cursor.execute(query("load/insert_rejected"), bounds)
    (rejected,) = _numbers(cursor, "load/count_rejected", bounds)
    _check("events in quarantine", spool.rejected, rejected)
    return rejected


def _copy(cursor: extensions.cursor, name: str, source: Reader) -> None:
    try:
        cursor.copy_expert(query(name), cast("Any", source), size=_COPIED_AT_ONCE)
    except errors.UniqueViolation:
        raise _KeysTakenError from None


def _within(part: Window, whole: Window) -> bool:
    return whole.start <= part.start and part.end <= whole.end


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


class _Following:
    """The load at work while the day is fetched.

    Leaving the block by an exception ends the load and waits for that. An interrupt that comes when the commit has
    gone through cannot undo it; the ledger tells which it was.
    """

    def __init__(self, database: Database, spool: Spool, work: Callable[[threading.Event], Counts]) -> None:
        self._spool = spool
        self._stop = threading.Event()
        self._load = Background(database, lambda: work(self._stop))

    def __enter__(self) -> _Following:
        self._usual_turn = sys.getswitchinterval()
        sys.setswitchinterval(_TURN)
        self._load.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        sys.setswitchinterval(self._usual_turn)
        if kind is not None:
            self._stop.set()
            self._spool.abandon()
            self._load.end()

    def check(self) -> None:
        """Raise what has ended the load already: there is no use in fetching on."""
        if self._load.is_done:
            self._load.result()

    def result(self) -> Counts:
        """Wait for the end of the load."""
        return self._load.result()
