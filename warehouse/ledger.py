"""The run ledger: what was begun, what came of it, and which runs died without a word."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from app_types import Counts, MailOutcome, Mode, RunStatus, SheetOutcome
from exceptions import DatabaseError, EtlError
from warehouse.queries import query

if TYPE_CHECKING:
    from psycopg2 import extensions

    from app_types import Day
    from warehouse.connection import Database

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FullRun:
    """The last full run of a day whose events were committed. `covered_until` is the end of what it asked for."""

    run_id: int
    complete: bool
    covered_until: datetime
    counts: Counts


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A run as the ledger tells it."""

    run_id: int
    date: date
    mode: Mode
    status: RunStatus
    complete: bool
    counts: Counts | None
    sheet: SheetOutcome | None
    mail: MailOutcome | None
    started_at: datetime
    finished_at: datetime | None
    error: EtlError | None


def begin(database: Database, day: Day) -> int:
    """Write that a run has begun and return its id. The caller holds the day's lock."""
    values = {
        "process_date": day.date,
        "mode": day.mode,
        "complete": day.complete,
        "start": day.window.start,
        "end": day.window.end,
    }
    with database.transaction() as cursor:  # unlike `rows`, never twice: one row per run
        cursor.execute(query("ledger/begin"), values)
        (run_id,) = cursor.fetchone() or ()
    return int(run_id)


def record_load(cursor: extensions.cursor, run_id: int, counts: Counts) -> None:
    """Write the counts of a run, inside the transaction of its load."""
    cursor.execute(query("ledger/loaded"), {"run_id": run_id, **asdict(counts)})
    if cursor.rowcount != 1:
        raise DatabaseError("The ledger has lost the row of this run; nothing was loaded.", remedy="Run the day again.")


def finish(
    database: Database,
    run_id: int,
    status: RunStatus,
    *,
    sheet: SheetOutcome,
    mail: MailOutcome,
    error: EtlError | None = None,
) -> None:
    """Write the end of a run."""
    database.rows(query("ledger/finish"), run_id=run_id, status=status, sheet=sheet, mail=mail, **_error_columns(error))


def settle(database: Database, run_id: int, status: RunStatus, sheet: SheetOutcome, error: EtlError | None) -> None:
    """Write what became of the sheet of a run that ended before it was drawn; when it ended stays as it is."""
    database.rows(query("ledger/settle"), run_id=run_id, status=status, sheet=sheet, **_error_columns(error))


def committed_counts(database: Database, run_id: int) -> Counts | None:
    """Return the counts of a run if its load was committed; None if it was not."""
    rows = database.rows(query("ledger/find"), run_id=run_id)
    if not rows or rows[0][1] is None:
        return None
    return Counts(*rows[0][1:])


def interrupt_stale_runs(database: Database) -> None:
    """Mark runs whose process is gone: nobody holds the lock of their day any more."""
    for (day,) in database.rows(query("ledger/running_days")):
        if not database.try_day(day):
            continue
        try:
            error = EtlError("The run ended without a word: it was killed, or the machine stopped.")
            database.rows(query("ledger/interrupt_stale"), process_date=day, **_error_columns(error))
        finally:
            database.leave_day(day)
        log.warning("an earlier run of %s had died and is marked as interrupted", day.isoformat())


def last_full_run(database: Database, day: date) -> FullRun | None:
    """Return the last full run of a day whose events were committed."""
    rows = database.rows(query("ledger/last_full"), process_date=day)
    if not rows:
        return None
    run_id, complete, covered_until, *counts = rows[0]
    return FullRun(run_id, complete, covered_until, Counts(*counts))


def anything_loaded(database: Database) -> bool:
    """Tell whether any run has ever loaded a day, or events are there from elsewhere."""
    return bool(database.rows(query("ledger/anything_loaded"))[0][0])


def recent_runs(database: Database, most: int) -> list[LedgerRow]:
    """Return the last runs, the newest first."""
    return [_row(row) for row in database.rows(query("ledger/list"), most=most)]


def runs_of(database: Database, first: date, end: date) -> list[LedgerRow]:
    """Return the runs of the days from `first` up to, not including, `end`, the newest run first."""
    return [_row(row) for row in database.rows(query("ledger/of_days"), first=first, end=end)]


def _row(row: tuple[Any, ...]) -> LedgerRow:
    run_id, day, mode, status, complete, *counts = row[:12]
    sheet, mail, started_at, finished_at, error, parts = row[12:]
    return LedgerRow(
        run_id=run_id,
        date=day,
        mode=Mode(mode),
        status=RunStatus(status),
        complete=bool(complete),
        counts=Counts(*counts) if counts[0] is not None else None,
        sheet=SheetOutcome(sheet) if sheet else None,
        mail=MailOutcome(mail) if mail else None,
        started_at=started_at,
        finished_at=finished_at,
        error=_error(str(error), parts) if error else None,
    )


def _error_columns(error: EtlError | None) -> dict[str, str | None]:
    if error is None:
        return {"error": None, "error_parts": None}
    fields = {name: _stored(value) for name, value in error.fields.items()}
    parts = {"template": error.template, "remedy": error.remedy, "fields": fields}
    return {"error": _storable(str(error)), "error_parts": json.dumps(parts)}


def _stored(value: object) -> object:
    """Return a field as JSON; numbers and dates keep their kind, since each language writes them its own way."""
    match value:
        case bool() | int():
            return value
        case float() if math.isfinite(value):
            return value
        case datetime():
            return {"moment": value.isoformat()}
        case date():
            return {"date": value.isoformat()}
        case timedelta():
            return {"seconds": value.total_seconds()}
        case _:
            return _storable(str(value))


def _restored(value: object) -> object:
    match value:
        case {"moment": str(text)}:
            return datetime.fromisoformat(text)
        case {"date": str(text)}:
            return date.fromisoformat(text)
        case {"seconds": int() | float() as seconds}:
            return timedelta(seconds=seconds)
        case _:
            return value


def _storable(text: str) -> str:
    """Return a text that PostgreSQL takes: the name of a file may hold what is no character."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def _error(text: str, parts: object) -> EtlError:
    """Return a stored error, to be worded in any language; one without parts keeps its English text."""
    if not isinstance(parts, dict):
        return EtlError("%(text)s", text=text)
    fields = {name: _restored(value) for name, value in parts["fields"].items()}
    return EtlError(parts["template"], remedy=parts["remedy"], **fields)
