"""Brings the schema up to date: numbered files of `sql/migrations`, each in one transaction with its record.

No migration library: the ones there are either bring an ORM along (Alembic) or lock by a row that a killed process
leaves behind (yoyo), after which the next run refuses to work until somebody breaks the lock by hand. An advisory
lock goes with its connection.

Where an earlier script's events table stands in the place of ours, it is adopted: see `warehouse.adoption`.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final

from psycopg2 import errors

from exceptions import DatabaseError
from warehouse import adoption
from warehouse.interruptible import interruptible
from warehouse.queries import SQL_DIRECTORY

if TYPE_CHECKING:
    from pathlib import Path

    from psycopg2 import extensions

    from warehouse.adoption import AdoptionRules
    from warehouse.connection import Database

log = logging.getLogger(__name__)

_LOCK: Final = (0x4C4D53, 0)  # the day 0 is no day of the calendar
_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


def migrate(
    database: Database, directory: Path = SQL_DIRECTORY / "migrations", *, rules: AdoptionRules | None = None
) -> None:
    """Apply the migrations that are missing; do nothing, and need no right to, where none is.

    Args:
        database: the database.
        directory: where the migrations are.
        rules: what the settings say of events, for the rows of an earlier script's table.

    Raises:
        DatabaseError: the schema is newer than this program, or something else stands in the way.
    """
    files = _files(directory)
    applied = applied_versions(database)
    if newer := applied - files.keys():
        raise DatabaseError(
            "The database was prepared by a newer version of this program (migration %(version)s).",
            remedy="Update the program.",
            version=str(max(newer)),
        )
    if not applied and _holds_events_table(database):
        interruptible(database, lambda: _adopt(database, files, rules or adoption.AdoptionRules()))
        applied = applied_versions(database)
    for version in sorted(files.keys() - applied):
        with database.transaction() as cursor:
            is_new = _apply(cursor, version, files[version])
        if is_new:
            log.info("migration applied: %s", files[version].stem)


def applied_versions(database: Database) -> set[int]:
    """Return the numbers of the migrations that a database has."""
    if database.rows("SELECT to_regclass('etl_schema_migrations')")[0][0] is None:
        return set()
    return {version for (version,) in database.rows("SELECT version FROM etl_schema_migrations")}


def latest_version(directory: Path = SQL_DIRECTORY / "migrations") -> int:
    """Return the number of the newest migration of this program."""
    return max(_files(directory))


def _files(directory: Path) -> dict[int, Path]:
    return {int(match[1]): path for path in directory.iterdir() if (match := _NAME.fullmatch(path.name))}


def _holds_events_table(database: Database) -> bool:
    return database.rows("SELECT to_regclass('lms_activities')")[0][0] is not None


def _adopt(database: Database, files: dict[int, Path], rules: AdoptionRules) -> None:
    """Put an earlier script's table aside, make ours, and bring its rows in, all in one transaction."""
    with database.transaction() as cursor:
        _begin(cursor)
        cursor.execute("SELECT 1 FROM etl_schema_migrations")
        if cursor.fetchone() or not adoption.is_wanted(cursor):
            return  # another process was first
        adoption.set_aside(cursor)
        for version in sorted(files):
            _apply(cursor, version, files[version])
        adopted = adoption.take_over(cursor, rules)
    adoption.tell(adopted)


def _begin(cursor: extensions.cursor) -> None:
    """Wait until no other process is at work on the schema, and see to it that there is a record."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", _LOCK)
    cursor.execute(
        "CREATE TABLE IF NOT EXISTS etl_schema_migrations ("
        "version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )


def _apply(cursor: extensions.cursor, version: int, path: Path) -> bool:
    """Apply one migration, unless another process has done so meanwhile; tell whether it was applied."""
    _begin(cursor)
    cursor.execute("SELECT 1 FROM etl_schema_migrations WHERE version = %s", (version,))
    if cursor.fetchone():
        return False
    try:
        cursor.execute(path.read_text(encoding="utf-8"))
    except (errors.DuplicateTable, errors.DuplicateObject):
        raise DatabaseError(
            "The database holds tables of our names that this program did not make; nothing was changed.",
            remedy="Use another database or schema, or rename them.",
        ) from None
    cursor.execute("INSERT INTO etl_schema_migrations (version, name) VALUES (%s, %s)", (version, path.stem))
    return True
