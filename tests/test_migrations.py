"""Migrations: each once, whole or not at all, by whoever comes first, and never over somebody's tables."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exceptions import DatabaseError
from tests.support.loading import Warehouse, connected, database_name, in_background
from warehouse.migrations import applied_versions, latest_version, migrate
from warehouse.queries import SQL_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg2.extensions import connection as Connection  # noqa: N812  (a class, whatever its name)

pytestmark = pytest.mark.postgres

HOME = Path(__file__).resolve().parent.parent
OURS = SQL_DIRECTORY / "migrations"
ALL = set(range(1, latest_version() + 1))
NEXT = max(ALL) + 1
PROMISED = {"etl_runs", "etl_schema_migrations", "lms_activities", "lms_activities_rejected"}


def tables(connection: Connection) -> list[str]:
    """Return the names of all tables and views outside PostgreSQL's own schemas."""
    connection.rollback()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.tables "
            "WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
        )
        return [name for (name,) in cursor.fetchall()]


def run(connection: Connection, statement: str) -> None:
    """Run a statement and commit it."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
    connection.commit()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Make a folder with the program's own migrations, to add others."""
    return Path(shutil.copytree(OURS, tmp_path / "migrations"))


def test_empty_database_gets_everything(database_url: str, connection: Connection) -> None:
    """The script applies its migrations itself."""
    with connected(database_url) as database:
        assert applied_versions(database) == set()
        migrate(database)
        assert applied_versions(database) == ALL

    assert set(tables(connection)) >= PROMISED


def test_migrations_are_recorded_by_name_and_moment(warehouse: Warehouse) -> None:
    """The record tells which file was applied, and when."""
    recorded = warehouse.select("SELECT version, name, now() - applied_at < '1 minute' FROM etl_schema_migrations")

    assert recorded == [(int(path.stem[:4]), path.stem, True) for path in sorted(OURS.iterdir())]


def test_migrated_database_is_left_alone(warehouse: Warehouse) -> None:
    """A second start changes nothing."""
    before = warehouse.select("SELECT oid, xmin::text, relname FROM pg_class WHERE relname NOT LIKE 'pg_toast%%'")

    migrate(warehouse.database)

    assert (
        warehouse.select("SELECT oid, xmin::text, relname FROM pg_class WHERE relname NOT LIKE 'pg_toast%%'") == before
    )


def test_numbers_of_the_migrations_are_gapless(directory: Path) -> None:
    """Every file of the folder is a migration, and no number is missing or given twice."""
    names = sorted(path.name for path in directory.iterdir())

    assert all(re.fullmatch(r"\d{4}_[a-z0-9_]+\.sql", name) for name in names)
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))


def test_pending_migrations_are_applied_in_order(warehouse: Warehouse, directory: Path) -> None:
    """Only what is missing is applied, in the order of the numbers."""
    (directory / f"{NEXT + 1:04}_second.sql").write_text("ALTER TABLE extra ADD COLUMN b int;", encoding="utf-8")
    (directory / f"{NEXT:04}_first.sql").write_text("CREATE TABLE extra (a int);", encoding="utf-8")
    (directory / "notes.txt").write_text("no migration", encoding="utf-8")

    migrate(warehouse.database, directory)

    assert applied_versions(warehouse.database) == ALL | {NEXT, NEXT + 1}
    assert warehouse.select("SELECT a, b FROM extra") == []


def test_failing_migration_rolls_back_as_a_whole(warehouse: Warehouse, directory: Path) -> None:
    """A migration that fails at its end leaves neither its beginning nor a record; the earlier ones stay."""
    (directory / f"{NEXT:04}_good.sql").write_text("CREATE TABLE good (a int);", encoding="utf-8")
    bad = directory / f"{NEXT + 1:04}_bad.sql"
    bad.write_text("CREATE TABLE half (a int); INSERT INTO half VALUES (1); SELECT 1/0;", encoding="utf-8")

    with pytest.raises(DatabaseError, match="SQLSTATE 22012"):
        migrate(warehouse.database, directory)

    assert applied_versions(warehouse.database) == ALL | {NEXT}
    assert warehouse.select("SELECT to_regclass('good')::text, to_regclass('half')::text") == [("good", None)]

    bad.write_text("CREATE TABLE half (a int);", encoding="utf-8")
    migrate(warehouse.database, directory)
    assert applied_versions(warehouse.database) == ALL | {NEXT, NEXT + 1}


def test_newer_database_is_refused(warehouse: Warehouse) -> None:
    """A program that does not know all of a schema keeps away from it."""
    warehouse.execute("INSERT INTO etl_schema_migrations (version, name) VALUES (9999, '9999_later')")

    with pytest.raises(DatabaseError, match=r"newer version of this program \(migration 9999\)") as caught:
        migrate(warehouse.database)
    assert caught.value.remedy == "Update the program."


@pytest.mark.parametrize(
    "foreign",
    [
        "CREATE TABLE lms_activities (user_id varchar(32), passback_params text, created_at timestamp)",
        "CREATE VIEW lms_activities AS SELECT 1 AS user_id",
        "CREATE TABLE etl_runs (id serial)",
        "CREATE TABLE other (a int); CREATE INDEX lms_activities_key ON other (a)",
        "CREATE TYPE etl_publications AS ENUM ('a')",
    ],
    ids=["first version", "view", "last table", "index", "type"],
)
def test_foreign_table_in_the_way_is_refused_and_left_alone(
    database_url: str, connection: Connection, foreign: str
) -> None:
    """What this program did not make it neither uses nor drops, and it makes nothing beside it."""
    run(connection, foreign)
    before = tables(connection)

    with connected(database_url) as database, pytest.raises(DatabaseError, match="that this program did not make"):
        migrate(database)

    assert tables(connection) == before


def test_foreign_record_of_migrations_is_refused(database_url: str, connection: Connection) -> None:
    """A table of the name of our record that is none stops the program, too."""
    run(connection, "CREATE TABLE etl_schema_migrations (when_ text)")

    with connected(database_url) as database, pytest.raises(DatabaseError, match="SQLSTATE 42703"):
        migrate(database)

    assert tables(connection) == ["etl_schema_migrations"]


def test_role_without_create_works_when_nothing_is_pending(warehouse: Warehouse, make_role: Callable[..., str]) -> None:
    """The everyday role needs no right to change the schema."""
    with connected(make_role("SELECT ON etl_schema_migrations")) as database:
        migrate(database)


def test_role_without_create_is_told_when_something_is_pending(
    database_url: str, make_role: Callable[..., str]
) -> None:
    """Where tables are missing and may not be made, the cause is told."""
    with connected(make_role()) as database, pytest.raises(DatabaseError, match="lacks a right"):
        migrate(database)


CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from tests.support.loading import connected
from warehouse.migrations import migrate
with connected(sys.argv[2]) as database:
    print("ready", flush=True)
    sys.stdin.readline()
    migrate(database)
"""


def test_two_first_runs_at_once_both_succeed(database_url: str, connection: Connection) -> None:
    """Of several processes that meet an empty database one applies the migrations, the others find them there."""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(HOME), database_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for child in children:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin
        child.stdin.write("\n")
        child.stdin.flush()
    for child in children:
        child.communicate(timeout=30)

    assert [child.returncode for child in children] == [0, 0, 0]
    assert set(tables(connection)) >= PROMISED


def test_migration_under_way_is_waited_for(database_url: str, connection: Connection, directory: Path) -> None:
    """Who comes while another applies a migration waits, and does not apply it again."""
    (directory / f"{NEXT:04}_slow.sql").write_text(
        "CREATE TABLE slow (a int); SELECT pg_sleep(0.5); INSERT INTO slow VALUES (1);", encoding="utf-8"
    )

    def apply() -> set[int]:
        with connected(database_url) as database:
            migrate(database, directory)
            return applied_versions(database)

    with in_background(apply) as first, in_background(apply) as second:
        pass

    assert first == second == [ALL | {NEXT}]
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM slow")
        assert cursor.fetchone() == (1,)


@pytest.mark.parametrize("path", ["evil, public", "public, evil"])
def test_schema_on_the_search_path_does_not_hide_ours(
    warehouse: Warehouse,
    open_warehouse: Callable[[str], Warehouse],
    change_database: Callable[[str], None],
    path: str,
) -> None:
    """Tables of our names in a schema that comes before ours are not taken for ours."""
    warehouse.execute(
        "CREATE SCHEMA evil; CREATE TABLE evil.lms_activities (LIKE lms_activities); "
        "CREATE TABLE evil.etl_runs (id bigint)"
    )
    change_database(f"search_path = {path}")

    with connected(warehouse.url) as database:
        migrate(database)
        database.rows("INSERT INTO etl_publications VALUES ('2023-04-01', 'full', 'mail', '', '', 1, now())")

    assert warehouse.number("SELECT count(*) FROM public.etl_publications") == 1
    assert warehouse.select("SELECT to_regclass('evil.etl_publications')") == [(None,)]


@pytest.mark.parametrize("name", ["own", 'qu"oted Схема; DROP'])
def test_own_schema_by_the_url(database_url: str, connection: Connection, name: str) -> None:
    """A schema of its own, chosen by `options=-csearch_path` in the URL, gets the tables, whatever its name."""
    quoted = name.replace('"', '""')
    run(connection, f'CREATE SCHEMA "{quoted}"')
    role_path = f'ALTER ROLE CURRENT_USER IN DATABASE {database_name(database_url)} SET search_path = "{quoted}"'
    run(connection, role_path)
    url = f"{database_url}&options=-csearch_path%3Down" if name == "own" else database_url

    with connected(url, migrated=True) as database:
        assert database.rows(
            "SELECT nspname FROM pg_namespace WHERE oid = (SELECT relnamespace FROM pg_class "
            "WHERE oid = 'lms_activities'::regclass)"
        ) == [(name,)]
        assert database.rows("SELECT to_regclass('public.lms_activities')") == [(None,)]


def test_search_path_that_leads_nowhere_is_told(database_url: str) -> None:
    """Where the search path names no schema that exists, that is the error, not a failing statement later on."""
    with (
        pytest.raises(DatabaseError, match="names no schema that exists"),
        connected(f"{database_url}&options=-csearch_path%3Dnowhere"),
    ):
        pass
