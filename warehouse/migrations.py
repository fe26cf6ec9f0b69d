"""Brings the schema up to date: numbered files of `sql/migrations`, each in one transaction with its record.

No migration library: the ones there are either bring an ORM along (Alembic) or lock by a row that a killed process
leaves behind (yoyo), after which the next run refuses to work until somebody breaks the lock by hand. An advisory
lock goes with its connection.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final

from psycopg2 import errors

from exceptions import DatabaseError
from warehouse.queries import SQL_DIRECTORY

if TYPE_CHECKING:
    from pathlib import Path

    from warehouse.connection import Database

log = logging.getLogger(__name__)

_LOCK: Final = (0x4C4D53, 0)  # the day 0 is no day of the calendar
_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


def migrate(database: Database, directory: Path = SQL_DIRECTORY / "migrations") -> None:
    """Apply the migrations that are missing; do nothing, and need no right to, where none is.

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
    for version in sorted(files.keys() - applied):
        _apply(database, version, files[version])


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


def _apply(database: Database, version: int, path: Path) -> None:
    """Apply one migration, unless another process has done so meanwhile."""
    with database.transaction() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", _LOCK)
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS etl_schema_migrations ("
            "version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        cursor.execute("SELECT 1 FROM etl_schema_migrations WHERE version = %s", (version,))
        if cursor.fetchone():
            return
        try:
            cursor.execute(path.read_text(encoding="utf-8"))
        except (errors.DuplicateTable, errors.DuplicateObject):
            raise DatabaseError(
                "The database holds tables of our names that this program did not make; nothing was changed.",
                remedy="Use another database or schema, or rename them.",
            ) from None
        cursor.execute("INSERT INTO etl_schema_migrations (version, name) VALUES (%s, %s)", (version, path.stem))
    log.info("migration applied: %s", path.stem)
