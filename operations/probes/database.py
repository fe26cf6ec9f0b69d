"""The database: reachable, recent enough, its schema up to date or about to be, with the rights that a run needs."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

from exceptions import DatabaseError
from operations.probes import folders
from operations.probes.findings import bad, good, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from config import Settings
    from messages import Messages
    from operations.probes.findings import Finding
    from warehouse.connection import Database

_LOCAL: Final = frozenset({"", "localhost", "127.0.0.1", "::1"})


def probe(settings: Settings, messages: Messages) -> Sequence[Finding]:
    """Connect and look; an embedded server that was never made is not made now."""
    from warehouse import embedded
    from warehouse.connection import Server

    if settings.database.is_embedded and not embedded.exists(settings.database.embedded):
        little = folders.room(settings.database.embedded, messages)
        return [
            warning(messages.text("the embedded PostgreSQL will be made by the first run")),
            *([little] if little else []),
        ]
    with Server(settings.database) as server, server.connected() as database:
        troubles = list(_troubles(settings, database, messages))
        if any(finding.grade == "bad" for finding in troubles):
            return troubles
        return [_told(settings, database, messages), *troubles]


def _told(settings: Settings, database: Database, messages: Messages) -> Finding:
    version = database.connection.info.server_version
    number = f"{version // 10_000}.{version % 10_000}"
    name = database.connection.info.dbname
    if settings.database.is_embedded:
        return good(messages.text("the embedded PostgreSQL %(version)s answers", version=number), version=number)
    return good(
        messages.text("PostgreSQL %(version)s answers, database %(name)s", version=number, name=name), version=number
    )


def _troubles(settings: Settings, database: Database, messages: Messages) -> Iterator[Finding]:
    """Yield what stands in the way of a run, or may one day."""
    from warehouse.queries import query

    ((user, may_create, may_stage, read_only, data_folder),) = database.rows(query("check/role"))
    if read_only:
        yield bad(messages.text("this server only allows reading; name the primary one in DATABASE_URL"))
    if not may_stage:
        yield bad(
            messages.text(
                "the role %(role)s may not make temporary tables; "
                "run: GRANT TEMPORARY ON DATABASE %(name)s TO %(role)s",
                role=user,
                name=database.connection.info.dbname,
            )
        )
    yield from _rights(settings, database, user, messages)
    yield from _schema(database, user, messages, may_create=may_create)
    yield from _surroundings(settings, database, data_folder, messages)


def _rights(settings: Settings, database: Database, user: str, messages: Messages) -> Iterator[Finding]:
    """Compare the rights of the role with those that the settings ask for, where the tables are there."""
    from warehouse.migrations import applied_versions
    from warehouse.queries import query

    if not applied_versions(database):
        return
    emptied = [
        *(["lms_activities"] if settings.database.reset else []),
        *(["lms_activities_rejected"] if settings.retention.quarantine_days else []),
        *(["etl_runs", "etl_outbox"] if settings.retention.ledger_days else []),
    ]
    missing = database.rows(query("check/missing_rights"), emptied=emptied)
    for table, rows in groupby(missing, key=lambda row: str(row[0])):
        yield bad(
            messages.text(
                "the role %(role)s lacks rights; run: GRANT %(rights)s ON %(table)s TO %(role)s",
                role=user,
                rights=", ".join(str(right) for _, right in rows),
                table=table,
            )
        )


def _schema(database: Database, user: str, messages: Messages, *, may_create: bool) -> Iterator[Finding]:
    """Compare the migrations that this program brings with those that the database has."""
    from warehouse.migrations import applied_versions, latest_version

    applied, latest = applied_versions(database), latest_version()
    if max(applied, default=0) > latest:
        raise DatabaseError(
            "The database was prepared by a newer version of this program (migration %(version)s).",
            remedy="Update the program.",
            version=str(max(applied)),
        )
    if max(applied, default=0) == latest:
        return
    if not applied and database.rows("SELECT to_regclass('lms_activities')")[0][0] is not None:
        yield warning(
            messages.text(
                "it holds an events table of an earlier script; the first run adopts it (see docs/operations.md)"
            )
        )
    if not may_create:
        yield bad(
            messages.text(
                "its schema is not up to date, and the role %(role)s may not change it; run once with the DATABASE_URL "
                "of the tables' owner",
                role=user,
            )
        )
    else:
        yield warning(
            messages.text("its schema is not up to date (%(applied)s of %(latest)s); the next run does it",
                          applied=str(max(applied, default=0)), latest=str(latest)),
            migrations_applied=max(applied, default=0),
            migrations_known=latest,
        )  # fmt: skip


def _surroundings(
    settings: Settings, database: Database, data_folder: str | None, messages: Messages
) -> Iterator[Finding]:
    """Look at what surrounds the server: its disk, where that is ours to see, and the way to it."""
    info = database.connection.info
    host = str(info.host or "")
    is_local = host in _LOCAL or host.startswith("/")
    if settings.database.is_embedded:
        data_folder = str(settings.database.embedded)
    if (
        is_local
        and data_folder
        and Path(data_folder).is_dir()
        and (little := folders.room(Path(data_folder), messages))
    ):
        yield little
    if not is_local and not info.ssl_in_use:
        yield warning(
            messages.text("the connection is not encrypted; add sslmode=verify-full and sslrootcert to DATABASE_URL")
        )
