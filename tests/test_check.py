"""`check`: what it finds, what it tells to do about it, and that it ends whatever hangs."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from app_types import Language
from config import load_settings
from messages import Messages
from operations.probes import configuration, database, folders, freshness
from operations.probes.findings import Finding, Grade
from tests.support.events_api import hang_before_headers, make_events
from tests.support.program import DAY, SENDER, table_rows
from tests.support.smtp import HANG
from warehouse.migrations import latest_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from config import Settings
    from tests.support.events_api import EventsServer
    from tests.support.google import GoogleStandIn
    from tests.support.loading import Warehouse
    from tests.support.program import Finished, Program
    from tests.support.receiver import Receiver
    from tests.support.smtp import SmtpServer

PARTS = ["settings", "api", "database", "sheet", "mail", "folders", "alarms"]
ENGLISH = Messages(Language.ENGLISH)
LEAST = {"API_CLIENT": "us", "API_CLIENT_KEY": "canary-key"}
needs_posix = pytest.mark.skipif(os.name != "posix", reason="file modes are those of POSIX")


def settings(**values: str) -> Settings:
    """Return settings with some values."""
    return load_settings({**LEAST, **values})


def grades(finished: Finished) -> dict[str, set[str]]:
    """Return the grades of each part, of a run with `--json`."""
    (told,) = finished.days
    found: dict[str, set[str]] = {}
    for check in told["checks"]:
        found.setdefault(check["name"], set()).add(check["grade"])
    assert told["status"] == ("bad" if finished.code else "good")
    return found


def texts(findings: Sequence[Finding], grade: Grade) -> list[str]:
    """Return what was found of one grade."""
    return [finding.text for finding in findings if finding.grade is grade]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port of this machine that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        yield int(listener.getsockname()[1])


# --- the whole command ---


def test_everything_configured_is_found_good(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer, receiver: Receiver
) -> None:
    """A configured and loaded installation has not a single warning; every part has its line, in order."""
    program.use(google, mail_server)
    program.settings |= {"NOTIFY_URLS": receiver.notify_url, "HEARTBEAT_URL": receiver.url}
    program.settings["METRICS_FILE"] = str(program.folder / "etl.prom")
    events_api.serve(make_events(24 * 60, datetime.now(UTC).date()))
    program.run("--date", DAY, "--no-mail", "--no-sheet")
    receiver.received.clear()

    finished = program.run("check", "--json")

    assert grades(finished) == {part: {"good"} for part in PARTS}
    assert [check["name"] for check in finished.days[0]["checks"]] == PARTS
    assert google.client_email in finished.err
    assert receiver.received == []
    assert mail_server.messages == []


def test_nothing_configured_is_a_warning_each(program: Program) -> None:
    """What will be left out is told, and is no fault."""
    finished = program.run("check", "--json")

    assert finished.code == 0
    found = grades(finished)
    assert {part for part in PARTS if found[part] == {"warning"}} == {"sheet", "mail", "alarms"}
    assert found["database"] == {"good", "warning"}


@pytest.mark.slow
def test_check_ends_whatever_hangs(
    program: Program,
    events_api: EventsServer,
    google: GoogleStandIn,
    smtp_server: Callable[..., SmtpServer],
    silent_port: int,
) -> None:
    """A source, a database, a sheet and a mail server that never answer are bad, each with a line; the rest is good."""
    program.use(google, smtp_server("ssl", script={"greeting": [HANG]}))
    google.fail(hang=90, times=None)
    events_api.always(hang_before_headers())

    finished = program.run("check", "--json", DATABASE_URL=f"postgresql://etl@127.0.0.1:{silent_port}/x")

    assert finished.code == 1
    found = grades(finished)
    assert {part for part in PARTS if found[part] == {"bad"}} == {"api", "database", "sheet", "mail"}
    assert found["folders"] == {"good"}
    assert "no answer within 16 s" in finished.err


def test_test_letter_goes_to_the_sender_alone(program: Program, mail_server: SmtpServer) -> None:
    """Asked for, one letter is sent, and nobody but the sender gets it."""
    program.use(mail_server)

    finished = program.run("check", "--send-test-letter")

    assert finished.code == 0
    assert [letter.recipients for letter in mail_server.messages] == [(SENDER,)]
    assert mail_server.messages[0].message["To"] == SENDER
    assert f"took a test letter to {SENDER}" in finished.out


def test_sheet_that_may_only_be_read_is_bad(program: Program, google: GoogleStandIn) -> None:
    """A viewer's rights are told before a run finds out, with the account to share with."""
    program.use(google)
    google.spreadsheet.access = "reader"

    finished = program.run("check")

    assert finished.code == 1
    assert f"Share the spreadsheet with {google.client_email} as editor." in finished.out


@needs_posix
def test_files_with_secrets_that_others_may_read_are_told(copied_program: Program, events_api: EventsServer) -> None:
    """The mode of `.env` is a warning with the command that mends it."""
    copied_program.secrets.append(events_api.client_key)
    path = copied_program.home / ".env"
    path.write_text("".join(f"{name}='{value}'\n" for name, value in events_api.environ().items()), "utf-8")
    path.chmod(0o644)

    finished = copied_program.run("check", "--json")

    assert finished.code == 0
    assert grades(finished)["settings"] == {"warning"}
    assert f"chmod 600 {path}" in finished.err


# --- freshness ---


def test_freshness_asks_nothing_but_the_database(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer
) -> None:
    """A monitor asks often: source, sheet and mail server are left alone."""
    program.use(google, mail_server)
    finished = program.run("check", "--freshness", "26h", "--json")

    assert finished.code == 1
    assert grades(finished) == {"freshness": {"bad"}}
    assert (events_api.requests, google.calls, mail_server.connections) == ([], [], 0)


def run_row(connection: Any, day: datetime, **values: Any) -> None:
    """Write a run of the whole day that ended at a moment, with other values if so asked."""
    row = {"mode": "full", "status": "ok", "complete": True, **values}
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO etl_runs (process_date, mode, status, complete, window_start, window_end, started_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, now())",
            (
                (day - timedelta(days=1)).date(),
                row["mode"],
                row["status"],
                row["complete"],
                day - timedelta(days=1),
                day,
            ),
        )
    connection.commit()


@pytest.mark.parametrize(
    ("hours", "values", "is_fresh"),
    [
        (25.5, {}, True),
        (26.5, {}, False),
        (1, {"status": "partial"}, True),
        (1, {"status": "failed"}, False),
        (1, {"status": "interrupted"}, False),
        (1, {"status": "running"}, False),
        (1, {"complete": False}, False),
        (1, {"mode": "test", "complete": False}, False),
        (-2, {}, True),
    ],
)
def test_newest_whole_day_decides(
    warehouse: Warehouse, connection: Any, database_url: str, hours: float, values: dict[str, Any], is_fresh: bool
) -> None:
    """A day counts once it was loaded whole by a full run; how long ago it ended is what is compared."""
    now = datetime.now(UTC)
    run_row(connection, now - timedelta(days=40))
    run_row(connection, now - timedelta(hours=hours), **values)
    found = freshness.probe(settings(DATABASE_URL=database_url), ENGLISH, limit=timedelta(hours=26))

    assert [finding.grade for finding in found] == [Grade.GOOD if is_fresh else Grade.BAD]
    assert is_fresh or "python data_processor.py fill" in found[0].text


@pytest.mark.parametrize("is_prepared", [False, True])
def test_database_without_a_day_is_not_fresh(
    database_url: str, open_warehouse: Callable[[str], Warehouse], is_prepared: bool
) -> None:
    """Before the first day, with or without tables, a day is missing, and nothing is made."""
    if is_prepared:
        open_warehouse(database_url)
    before = table_rows(database_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    found = freshness.probe(settings(DATABASE_URL=database_url), ENGLISH, limit=timedelta(days=1))

    assert [finding.grade for finding in found] == [Grade.BAD]
    assert table_rows(database_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == before


def test_embedded_server_is_not_made_to_ask_it(tmp_path: Path) -> None:
    """Where nothing was ever loaded, nothing is made."""
    found = freshness.probe(load_settings(LEAST, home=tmp_path), ENGLISH, limit=timedelta(days=1))

    assert [finding.grade for finding in found] == [Grade.BAD]
    assert list(tmp_path.iterdir()) == []


# --- the database ---


def test_database_that_waits_for_its_first_run_is_a_warning(database_url: str) -> None:
    """Pending migrations are told with their numbers; nothing is applied."""
    found = database.probe(settings(DATABASE_URL=database_url), ENGLISH)

    assert texts(found, Grade.WARNING) == [
        f"its schema is not up to date (0 of {latest_version()}); the next run does it"
    ]
    assert table_rows(database_url, "SELECT to_regclass('etl_schema_migrations')") == [(None,)]


def test_table_of_an_earlier_script_is_told(database_url: str, connection: Any) -> None:
    """Who brings the old table along learns beforehand what the first run will do with it; nothing is done yet."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE lms_activities (user_id text)")
    connection.commit()

    told = texts(database.probe(settings(DATABASE_URL=database_url), ENGLISH), Grade.WARNING)
    assert told[0].startswith("it holds an events table of an earlier script; the first run adopts it")
    assert table_rows(database_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(1,)]


def test_database_up_to_date_is_good_and_told_with_its_version(warehouse: Warehouse, database_url: str) -> None:
    """One line says what answers."""
    (finding,) = database.probe(settings(DATABASE_URL=database_url), ENGLISH)

    assert finding.grade is Grade.GOOD
    assert finding.text.startswith("PostgreSQL ")
    assert str(finding.facts["version"]) in finding.text


def test_role_of_the_daily_run_is_good_with_the_documented_rights(
    warehouse: Warehouse, database_url: str, make_role: Callable[..., str]
) -> None:
    """The rights of docs/operations.md are enough for `check`, too."""
    name = database_url.partition("@/")[2].partition("?")[0]
    url = make_role(
        f"TEMPORARY ON DATABASE {name}",
        "USAGE ON SCHEMA public",
        "SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public",
    )

    assert [finding.grade for finding in database.probe(settings(DATABASE_URL=url), ENGLISH)] == [Grade.GOOD]


def test_missing_rights_are_told_with_the_grant(
    warehouse: Warehouse, database_url: str, make_role: Callable[..., str]
) -> None:
    """Each table that lacks a right has its line; a reset needs DELETE besides."""
    url = make_role(
        "USAGE ON SCHEMA public", "SELECT ON ALL TABLES IN SCHEMA public", "INSERT, UPDATE ON lms_activities"
    )
    role = url.partition("//")[2].partition("@")[0]
    told = texts(database.probe(settings(DATABASE_URL=url), ENGLISH), Grade.BAD)
    with_reset = texts(database.probe(settings(DATABASE_URL=url, DB_MAIN_TABLE_OPEN_RESET="true"), ENGLISH), Grade.BAD)

    assert f"the role {role} lacks rights; run: GRANT INSERT, UPDATE ON etl_runs TO {role}" in told
    assert not any("lms_activities TO" in line for line in told)
    assert f"the role {role} lacks rights; run: GRANT DELETE ON lms_activities TO {role}" in with_reset


def test_role_that_may_not_migrate_is_bad_when_a_migration_waits(
    warehouse: Warehouse, connection: Any, database_url: str, make_role: Callable[..., str]
) -> None:
    """The daily role cannot bring the schema up to date: the owner has to run once."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM etl_schema_migrations WHERE version = %s", (latest_version(),))
    connection.commit()
    url = make_role("USAGE ON SCHEMA public", "SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public")

    assert any(
        "may not change it" in line for line in texts(database.probe(settings(DATABASE_URL=url), ENGLISH), Grade.BAD)
    )


def test_read_only_server_is_bad(
    warehouse: Warehouse, database_url: str, change_database: Callable[[str], None]
) -> None:
    """A standby answers well, but nothing could be loaded."""
    change_database("default_transaction_read_only TO on")

    told = texts(database.probe(settings(DATABASE_URL=database_url), ENGLISH), Grade.BAD)
    assert told[0] == "this server only allows reading; name the primary one in DATABASE_URL"


# --- folders and settings ---


@needs_posix
@pytest.mark.parametrize(
    ("mode", "is_open"), [(0o700, False), (0o755, False), (0o775, True), (0o777, True), (0o1777, False)]
)
def test_folder_that_others_may_write_in_is_told(tmp_path: Path, mode: int, is_open: bool) -> None:
    """Who can put files beside ours can put links there."""
    folder = tmp_path / "logs"
    folder.mkdir()
    folder.chmod(mode)
    found = folders.probe(settings(LOGS_PATH=str(folder), REPORTS_PATH=str(folder)), ENGLISH)

    assert [finding.grade for finding in found] == [Grade.WARNING if is_open else Grade.GOOD]
    assert not is_open or f"chmod go-w {folder}" in found[0].text


def test_disk_that_is_nearly_full_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning comes before the run that fails for want of room."""
    monkeypatch.setattr(folders, "LITTLE_ROOM", 2**70)
    found = folders.probe(settings(LOGS_PATH=str(tmp_path), REPORTS_PATH=str(tmp_path)), ENGLISH)

    assert [finding.grade for finding in found] == [Grade.WARNING]
    assert str(tmp_path) in found[0].text


def test_settings_that_surprise_are_told() -> None:
    """A test mode or a reset that was forgotten is a warning."""
    found = configuration.probe(settings(TEST_APP_MODE="true", DB_MAIN_TABLE_OPEN_RESET="true"), ENGLISH)

    assert len(texts(found, Grade.WARNING)) == 2
    assert texts(configuration.probe(settings(TIMEZONE="Europe/Moscow"), ENGLISH), Grade.GOOD) == [
        "complete, time zone Europe/Moscow"
    ]
