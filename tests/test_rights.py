"""Rights: what the database role may do, who may read the files, and surroundings that must not get in the way."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2
import pytest

from tests.support.events_api import make_event, make_events
from tests.support.loading import connected, database_name
from tests.support.program import DAY, table_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.events_api import EventsServer
    from tests.support.google import GoogleStandIn
    from tests.support.program import Program
    from tests.support.smtp import SmtpServer

HOME = Path(__file__).resolve().parent.parent
MANUALS = ("docs/operations.md", "docs/operations.ru.md")
REFUSED = [
    "DROP TABLE lms_activities",
    "TRUNCATE lms_activities",
    "DELETE FROM lms_activities",
    "DELETE FROM etl_runs",
    "DELETE FROM lms_activities_rejected",
    "ALTER TABLE lms_activities DROP COLUMN is_correct",
    "ALTER TABLE lms_activities DISABLE TRIGGER ALL",
    "CREATE TABLE public.planted (x int)",
    "COPY lms_activities FROM PROGRAM 'true'",
    "COPY lms_activities TO '/tmp/out'",
    "CREATE ROLE another SUPERUSER",
]
needs_posix = pytest.mark.skipif(os.name != "posix", reason="file modes are those of POSIX")


def grants(manual: str) -> list[str]:
    """Return the statements of the manual that give the daily role its rights, without the one for the reset."""
    blocks = re.findall(r"```sql\n(.*?)```", (HOME / manual).read_text("utf-8"), re.DOTALL)
    statements = [line for block in blocks for line in re.findall(r"GRANT ([^;]+) TO etl_daily;", block)]
    return [statement for statement in statements if not statement.startswith("DELETE")]


def migrated(url: str) -> None:
    """Let the owner apply the migrations, as the manual says."""
    with connected(url, migrated=True):
        pass


@pytest.fixture
def daily_role(database_url: str, make_role: Callable[..., str]) -> str:
    """The URL of a role with the rights that the manual names, and no others."""
    migrated(database_url)
    name = database_name(database_url)
    return make_role(*(grant.replace("DATABASE etl", f"DATABASE {name}") for grant in grants(MANUALS[0])))


# The role of the daily run


def test_manuals_name_the_same_rights() -> None:
    """Who reads Russian gives the same rights."""
    stated = [grants(manual) for manual in MANUALS if (HOME / manual).exists()]

    assert len(stated[0]) >= 3
    assert all(found == stated[0] for found in stated)


def test_daily_role_may_neither_drop_nor_truncate_nor_delete(daily_role: str) -> None:
    """Even a stolen password of that role cannot empty or change the tables."""
    for statement in REFUSED:
        with (
            closing(psycopg2.connect(daily_role)) as connection,
            connection.cursor() as cursor,
            pytest.raises(psycopg2.errors.InsufficientPrivilege),
        ):
            cursor.execute(statement)


def test_whole_program_works_with_the_rights_of_the_manual(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer, daily_role: str
) -> None:
    """Load, nothing new, a correction, rejected events, a failed run, report, ledger: no right is missing."""
    program.use(google, mail_server)
    program.settings["DATABASE_URL"] = daily_role
    events = [*make_events(20), make_event(lti_user_id="short", created_at=f"{DAY} 01:00:00")]
    events_api.serve(events)
    first = program.run("--date", DAY, "--json")
    corrected = [{**event, "is_correct": 1} if event["is_correct"] == 0 else event for event in events]
    events_api.serve(corrected)
    second = program.run("--date", DAY, "--json")
    failed = program.run("--date", DAY, "--json", API_CLIENT_KEY="another")

    assert (first.code, first.counts) == (0, (21, 20, 0, 0, 1, 0, 0))
    assert (second.code, second.counts) == (0, (21, 0, 4, 16, 1, 0, 0))
    assert failed.code == 1
    assert program.run("report", "--date", DAY, "--json").code == 0
    assert program.run("runs").code == 0


def test_reset_without_its_right_leaves_the_table_as_it_is(
    program: Program, events_api: EventsServer, daily_role: str, database_url: str
) -> None:
    """Only DB_MAIN_TABLE_OPEN_RESET needs DELETE; without it: 1, the cause, and every row is still there."""
    program.settings["DATABASE_URL"] = daily_role
    events_api.serve(make_events(20))
    program.run("--date", DAY)

    finished = program.run("--date", DAY, "--json", DB_MAIN_TABLE_OPEN_RESET="true")

    assert finished.code == 1
    assert "lacks a right" in finished.day["error"]
    assert table_rows(database_url, "SELECT count(*) FROM lms_activities") == [(20,)]


# Who may read the files


@needs_posix
def test_what_the_program_writes_is_for_its_owner_alone(
    copied_program: Program, events_api: EventsServer, mail_server: SmtpServer
) -> None:
    """Logs, pages, workbook, calendar and the embedded database: no file is open to others, whatever the umask is."""
    program = copied_program
    program.use(mail_server)
    program.settings |= events_api.environ(API_WINDOW_MINUTES="240")
    events_api.serve(make_events(24))
    before = os.umask(0)
    try:
        finished = program.run("--date", DAY)
    finally:
        os.umask(before)

    assert finished.code == 0
    written = [path for folder in (program.logs, program.reports, program.home / ".data") for path in folder.rglob("*")]
    kinds = {path.suffix for path in written}
    assert {".log", ".html", ".xlsx"} <= kinds
    shown = {str(path): oct(_mode(path)) for path in written if path.is_file() and _mode(path) & 0o077}
    inside = {name: mode for name, mode in shown.items() if not _is_closed_above(Path(name), program.folder.parent)}
    assert inside == {}


@needs_posix
@pytest.mark.parametrize("name", [".env", "key"])
def test_open_file_with_secrets_is_warned_of_with_the_command_to_close_it(
    copied_program: Program, events_api: EventsServer, google: GoogleStandIn, name: str
) -> None:
    """A `.env` or a key that others may read is told at every start, with the chmod; closed, nothing is said."""
    program = copied_program
    program.use(google)
    program.settings |= events_api.environ(API_WINDOW_MINUTES="1440")
    env = program.home / ".env"
    env.write_text("LOG_LEVEL=INFO\n", "utf-8")
    files = {".env": env, "key": google.credentials_file}
    for path in files.values():
        path.chmod(0o600)
    files[name].chmod(0o644)

    told = program.run("--date", DAY).told
    files[name].chmod(0o600)
    closed = program.run("--date", DAY).told

    assert f"run: chmod 600 {files[name]}" in told
    assert "may be read by others (mode 644)" in told
    assert "chmod" not in closed


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _is_closed_above(path: Path, top: Path) -> bool:
    """Tell whether a folder above a file, below `top`, lets nobody else in."""
    above = [folder for folder in path.parents if folder.is_relative_to(top) and folder != top]
    return any(not _mode(folder) & 0o077 for folder in above)


# Surroundings


@pytest.mark.parametrize("name", ["PGSERVICE", "PGSSLMODE", "PGPORT", "PGOPTIONS", "PGTARGETSESSIONATTRS"])
def test_variables_of_libpq_that_are_blank_are_not_set(
    database_url: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A container often sets a variable to nothing; libpq would take "" for the name of a service and refuse."""
    monkeypatch.setenv(name, "")

    with connected(database_url) as database:
        assert database.rows("SELECT 1") == [(1,)]


def test_nothing_happens_at_import(tmp_path: Path) -> None:
    """Importing every module reads no setting, opens no connection and writes no file."""
    code = (
        "import sys, pkgutil, importlib\n"
        "heard = []\n"
        "def listen(event, arguments):\n"
        "    if event in {'socket.connect', 'subprocess.Popen', 'os.mkdir', 'os.remove'} or (\n"
        "        event == 'open' and isinstance(arguments[1], str) and set(arguments[1]) & set('wax+')):\n"
        "        heard.append((event, repr(arguments)))\n"
        "sys.dont_write_bytecode = True\n"
        "sys.addaudithook(listen)\n"
        "names = [m.name for m in pkgutil.walk_packages(['.'])]\n"
        "names = [name for name in names if name.split('.')[0] not in {'tests', 'benchmarks'}]\n"
        "for name in names:\n"
        "    importlib.import_module(name)\n"
        "print(len(names), heard)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=HOME, capture_output=True, text=True, check=True, env={"HOME": str(tmp_path)}
    )

    count, heard = finished.stdout.split(" ", 1)
    assert int(count) > 50
    assert heard.strip() == "[]"
    assert list(tmp_path.iterdir()) == []
