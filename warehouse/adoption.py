"""Takes over the events table of an earlier script: seven columns, no keys, whatever rows there are.

The old table is kept under another name, as it was. Its good rows come into the events table, each event once; what
today's rules refuse lies in quarantine with its reason. The ledger has a row for the adoption, whose id the adopted
rows carry. All of it belongs to the transaction in which the program's own tables are made, and is done inside
PostgreSQL, so that the size of the old table does not matter.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from psycopg2 import sql

from exceptions import DatabaseError
from warehouse.queries import query

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from psycopg2 import extensions

    from config import Settings

log = logging.getLogger(__name__)

KEPT: Final = "lms_activities_before_adoption"
"""The name that the old table has from now on."""

_TEXTS: Final = ("user_id", "oauth_consumer_key", "lis_result_sourcedid", "lis_outcome_service_url", "attempt_type")
_ACCEPTED: Final = {
    **dict.fromkeys(_TEXTS, ("text",)),
    "is_correct": ("boolean", "integer", "number", "text"),
    "created_at": ("moment",),
}
"""The seven columns, and the kinds of types that each may have."""
_ALSO: Final = {"id": ("integer",)}
_MOST_FIELD_BYTES: Final = 2_000  # as source.validation has it; a test compares the two
_ORDINARY: Final = "r"


@dataclass(frozen=True, slots=True)
class AdoptionRules:
    """What the settings say of events: the length of a user id, and whose calendar the days are of."""

    user_id_length: int = 32
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))

    @classmethod
    def of(cls, settings: Settings) -> AdoptionRules:
        """Return the rules of the settings."""
        return cls(settings.api.user_id_length, settings.zone)


@dataclass(frozen=True, slots=True)
class Adopted:
    """What became of the rows.

    `duplicates` stood there more than once just as they are, `superseded` are older versions of an event. `rejected`
    counts by reason. `views` are those that go on reading the old table.
    """

    rows: int
    loaded: int
    duplicates: int
    superseded: int
    rejected: Mapping[str, int]
    views: tuple[str, ...]


def is_wanted(cursor: extensions.cursor) -> bool:
    """Tell whether an earlier script's events table is there; call it only where our own tables are not.

    Raises:
        DatabaseError: what has its name is something else.
    """
    cursor.execute(query("adoption/relation"))
    found = cursor.fetchone()
    if found is None:
        return False
    kind, has_relatives, is_kept_already = found
    if kind != _ORDINARY or has_relatives:
        raise DatabaseError(
            "The database holds something called lms_activities that this program did not make and that is no ordinary "
            "table; nothing was changed.",
            remedy="Use another database or schema, or rename it.",
        )
    _check({name: (kind, written) for name, kind, written in _fetched(cursor, "adoption/columns")})
    if is_kept_already:
        raise DatabaseError(
            "The events table of an earlier script cannot be adopted, because %(kept)s exists already; "
            "nothing was changed.",
            remedy="Rename or drop the one that is not needed.",
            kept=KEPT,
        )
    return True


def set_aside(cursor: extensions.cursor) -> None:
    """Rename the old table, so that ours can be made."""
    log.info("adoption: start, the table lms_activities is that of an earlier script")
    # What row security hides would be lost without a word; so, it is an error. And a large table takes its time.
    cursor.execute("SET LOCAL row_security = off; SET LOCAL statement_timeout = 0")
    cursor.execute(query("adoption/set_aside"))


def take_over(cursor: extensions.cursor, rules: AdoptionRules) -> Adopted:
    """Bring the rows of the old table into ours, and check that each of them is accounted for."""
    today = datetime.now(rules.zone).date()
    run_id = _begin(cursor, today)
    values = {"user_id_length": rules.user_id_length, "most_bytes": _MOST_FIELD_BYTES}
    cursor.execute(query("adoption/judge"), values)
    cursor.execute(query("adoption/count"))
    rows, rejected, different, events = cursor.fetchone() or (0, 0, 0, 0)
    cursor.execute(query("adoption/insert_events"), {"run_id": run_id})
    loaded = cursor.rowcount
    cursor.execute(query("adoption/insert_rejected"), {"run_id": run_id, "today": today, "zone": rules.zone.key})
    if (loaded, cursor.rowcount) != (events, rejected):
        raise DatabaseError(
            "The counts of the adoption do not balance, so it was rolled back; nothing was changed.",
            remedy="Run the day again; if it happens again, report it with the log.",
        )
    adopted = Adopted(
        rows=rows,
        loaded=loaded,
        duplicates=rows - rejected - different,
        superseded=different - events,
        rejected=dict(_fetched(cursor, "adoption/reasons", {"run_id": run_id})),
        views=tuple(name for (name,) in _fetched(cursor, "adoption/dependents")),
    )
    _finish(cursor, run_id, adopted)
    _let_readers_in(cursor)
    cursor.execute(query("adoption/tidy"))
    return adopted


def tell(adopted: Adopted) -> None:
    """Write in the log what became of the rows, once that is certain."""
    log.info("adoption: rows of the old table: %d, adopted: %d", adopted.rows, adopted.loaded)
    if adopted.duplicates:
        log.warning("adoption: rows that stood there more than once, taken once: %d", adopted.duplicates)
    if adopted.superseded:
        log.warning("adoption: older versions of an event, left out: %d", adopted.superseded)
    for reason, count in adopted.rejected.items():
        log.warning("adoption: rejected: %s, rows in quarantine: %d", reason, count)
    log.info("adoption: the old table is kept as %s", KEPT)
    log.warning("adoption: the earlier script must not run any more: it would empty the new table or fail in it")
    for view in adopted.views:
        log.warning("adoption: a view still reads the old table: %s", _printable(view))


def _check(columns: dict[str, tuple[str, str]]) -> None:
    """Check that columns, each with its kind and its type as written, are those of the earlier script."""
    accepted = _ACCEPTED | {name: kinds for name, kinds in _ALSO.items() if name in columns}
    remedy = "Use another database or schema, or rename it; docs/operations.md says which tables are adopted."
    for name, kinds in accepted.items():
        if name not in columns:
            raise DatabaseError(
                "The database holds a table lms_activities that this program did not make and cannot adopt, because it "
                "has no column %(column)s; nothing was changed.",
                remedy=remedy,
                column=name,
            )
        kind, written = columns[name]
        if kind not in kinds:
            raise DatabaseError(
                "The database holds a table lms_activities that this program did not make and cannot adopt, because "
                "its column %(column)s is of the type %(type)s; nothing was changed.",
                remedy=remedy,
                column=name,
                type=_printable(written),
            )
    if further := [name for name in columns if name not in accepted]:
        raise DatabaseError(
            "The database holds a table lms_activities that this program did not make and cannot adopt, because it has "
            "a further column %(column)s; nothing was changed.",
            remedy=remedy,
            column=_printable(further[0]),
        )


def _begin(cursor: extensions.cursor, today: date) -> int:
    cursor.execute(query("adoption/begin"), {"today": today})
    (run_id,) = cursor.fetchone() or (0,)
    return int(run_id)


def _finish(cursor: extensions.cursor, run_id: int, adopted: Adopted) -> None:
    values = {
        "run_id": run_id,
        "rows": adopted.rows,
        "loaded": adopted.loaded,
        "already_present": adopted.duplicates + adopted.superseded,
        "rejected": sum(adopted.rejected.values()),
    }
    cursor.execute(query("adoption/finish"), values)


def _fetched(cursor: extensions.cursor, name: str, values: dict[str, object] | None = None) -> list[tuple[Any, ...]]:
    cursor.execute(query(name), values)
    return cursor.fetchall()


def _let_readers_in(cursor: extensions.cursor) -> None:
    """Let those read the new table who could read the old one; it has the same name and holds the same."""
    for (role,) in _fetched(cursor, "adoption/readers"):
        name = sql.SQL("PUBLIC") if role is None else sql.Identifier(role)
        cursor.execute(sql.SQL("GRANT SELECT ON lms_activities TO {}").format(name))


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:80])
