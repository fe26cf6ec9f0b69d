"""Backup and restore, by the commands of docs/operations.md: what comes back is what was there."""

from __future__ import annotations

import subprocess
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from tests.support.events_api import make_events
from tests.support.postgres import PostgresServer, postgres_url
from tests.support.program import DAY, table_rows
from tools import embedded as tool
from warehouse import cluster, embedded

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.events_api import EventsServer
    from tests.support.program import Program

TABLES = (
    "lms_activities",
    "lms_activities_rejected",
    "etl_runs",
    "etl_revisions",
    "etl_publications",
    "etl_schema_migrations",
)


def everything(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of all tables."""
    return {table: table_rows(url, f"SELECT t::text FROM {table} AS t ORDER BY 1") for table in TABLES}


def test_restored_database_is_the_one_that_was_backed_up(
    program: Program, events_api: EventsServer, database_url: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """`pg_dump` and `pg_restore` into an empty database; the next run goes on as if nothing had been."""
    events_api.serve(make_events(20))
    program.run("--date", DAY)
    before = everything(database_url)
    dump = tmp_path / "events.dump"
    client = cluster.Cluster(tmp_path).program
    subprocess.run([client("pg_dump"), "--format=custom", f"--file={dump}", database_url], check=True)
    with postgres_server.database() as other:
        restore = ["--no-owner", "--single-transaction", f"--dbname={other}", str(dump)]
        subprocess.run([client("pg_restore"), *restore], check=True)
        restored = everything(other)
        again = program.run("--date", DAY, "--json", DATABASE_URL=other)

    assert restored == before
    assert (again.code, again.day["loaded"], again.day["already_present"]) == (0, 0, 20)


@pytest.mark.slow
def test_embedded_database_is_backed_up_and_restored_by_its_tool(tmp_path: Path) -> None:
    """The tool starts the server for the time of `pg_dump`; a restore in another place, or over it, brings it back."""
    first, second, dump = tmp_path / "first", tmp_path / "second", tmp_path / "events.dump"
    with embedded.running(first) as parameters, closing(psycopg2.connect(postgres_url(parameters))) as connection:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE days (day date PRIMARY KEY); INSERT INTO days VALUES ('2023-04-01')")
        connection.commit()
    restore = ["pg_restore", "--clean", "--if-exists", "--no-owner", "--single-transaction", "--dbname=etl", str(dump)]

    assert tool.main(["pg_dump", "--format=custom", f"--file={dump}"], first) == 0
    assert tool.main(restore, second) == 0
    assert tool.main(restore, second) == 0
    with embedded.running(second) as parameters:
        assert table_rows(postgres_url(parameters), "SELECT day::text FROM days") == [("2023-04-01",)]


@pytest.mark.parametrize("arguments", [[], ["rm", "-rf", "/"], ["--help"]])
def test_tool_runs_nothing_but_clients(arguments: list[str], tmp_path: Path) -> None:
    """Whatever else is asked for is a usage error, and no server is made."""
    assert tool.main(arguments, tmp_path / "none") == 2
    assert list(tmp_path.iterdir()) == []
