"""The contract, black box: settings, the command line, `check`, `report`, `runs`, languages and odd terminals."""

from __future__ import annotations

import json
import subprocess
import sys
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg2
import psycopg2.extensions
import pytest

from tests.support.events_api import html, make_event, make_events
from tests.support.program import (
    COUNTS,
    DATABASE_PASSWORD,
    DAY,
    RECIPIENTS,
    SENDER,
    SMTP_PASSWORD,
    STATISTICS,
    Program,
    letter_text,
    subject_of,
    table_rows,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.events_api import EventsServer
    from tests.support.google import GoogleStandIn
    from tests.support.smtp import SmtpServer

TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
CYRILLIC = frozenset("абвгдежзийклмнопрстуфхцчшщъыьэюя")


def started_nothing(program: Program) -> bool:
    """Tell whether a run has left neither a log nor a page."""
    return list(program.folder.iterdir()) == []


# Settings


def test_unconfigured_program_names_every_missing_setting_and_the_way_out(unconfigured_program: Program) -> None:
    """2, one message for all, how to mend it, that --demo exists; nothing is started, nothing on standard output."""
    finished = unconfigured_program.run("--date", DAY, "--json")

    assert (finished.code, finished.out) == (2, "")
    assert "API_CLIENT is not set" in finished.err
    assert "API_CLIENT_KEY is not set" in finished.err
    assert ".env" in finished.err
    assert "--demo" in finished.err
    assert started_nothing(unconfigured_program)


def test_all_faults_of_the_settings_are_told_at_once_without_any_secret(
    program: Program, events_api: EventsServer, google: GoogleStandIn, database_url: str
) -> None:
    """Nobody mends one fault after another; secrets in faulty values are not shown."""
    secret = "do&not/tell+it"
    program.secrets.append(secret)
    broken = {
        "API_URL": f"http://user:{secret}@api.example.org/",
        "API_CLIENT": "",
        "API_TIMEOUT": "soon",
        "API_ATTEMPTS": "0",
        "API_WINDOW_MINUTES": "1,5",
        "DATABASE_URL": f"mysql://user:{secret}@localhost/db",
        "DB_MAIN_TABLE_OPEN_RESET": "maybe",
        "LENGTH_OF_USER_ID_FIELD": "-1",
        "TEST_APP_MODE": "2",
        "TIMEZONE": "Europe/Moskow",
        "MAX_NUM_LOGS_FILES": "many",
        "LOG_LEVEL": "LOUD",
        "LOG_EVERY_INCOMING_LINE": "ja",
        "GOOGLE_SHEET_ID": "a b",
        "GOOGLE_CREDENTIALS_FILE": "/nowhere/key.json",
        "SMTP_SERVER": "mail.example.org",
        "SMTP_SECURITY": "none",
        "SMTP_PORT": "99999",
        "SENDER_EMAIL": "nobody",
        "EMAIL_ADDRESSES_FOR_MAILING": "a@example.org; b@example.org",
        "SMTP_CA_FILE": "/nowhere/ca.pem",
        "SMTP_USER": "me",
    }

    finished = program.run("--date", DAY, "--json", **broken)

    assert (finished.code, finished.out) == (2, "")
    named = {name for name in broken if name in finished.err}
    # a server and a user are no faults in themselves: the one asks for TLS, the other for a password
    assert named | {"SMTP_SERVER", "SMTP_USER"} == set(broken)
    assert "SMTP_PASSWORD" in finished.err
    assert len([line for line in finished.err.splitlines() if "✗" in line]) >= len(broken) - 2
    assert started_nothing(program)
    assert events_api.requests == []
    assert table_rows(database_url, TABLES) == [(0,)]


@pytest.mark.parametrize("missing", ["GOOGLE_SHEET_ID", "GOOGLE_CREDENTIALS_FILE"])
def test_sheet_and_its_key_go_together(program: Program, google: GoogleStandIn, missing: str) -> None:
    """One of the two without the other is a fault that names both, not a run without a sheet."""
    program.use(google)

    finished = program.run("--date", DAY, "--json", **{missing: ""})

    assert finished.code == 2
    assert "GOOGLE_SHEET_ID" in finished.err
    assert "GOOGLE_CREDENTIALS_FILE" in finished.err


@pytest.mark.parametrize("missing", ["SENDER_EMAIL", "EMAIL_ADDRESSES_FOR_MAILING"])
def test_mail_server_without_its_addresses_is_a_fault(program: Program, mail_server: SmtpServer, missing: str) -> None:
    """Both are required with SMTP_SERVER."""
    program.use(mail_server)

    finished = program.run("--date", DAY, "--json", **{missing: " "})

    assert finished.code == 2
    assert f"{missing} is not set" in finished.err


def test_spoiled_key_file_is_a_fault_that_shows_nothing_of_it(program: Program, google: GoogleStandIn) -> None:
    """A key that cannot work is found before anything is started."""
    program.use(google)
    content = google.credentials_file.read_text("utf-8")
    for spoiled in (content[:-30], content.replace("BEGIN", "BEGUN"), '{"type": "authorized_user"}', ""):
        google.credentials_file.write_text(spoiled, "utf-8")
        finished = program.run("--date", DAY, "--json")
        assert finished.code == 2
        assert str(google.credentials_file) in finished.err
    google.credentials_file.write_text(content, "utf-8")


@pytest.mark.parametrize("language", ["GERMAN", "deutsch"])
def test_wrong_language_is_told_in_both(program: Program, language: str) -> None:
    """Who set the language wrongly may read either."""
    finished = program.run("--date", DAY, CURR_LANG=language)

    assert finished.code == 2
    assert "CURR_LANG must be one of" in finished.err
    assert any("CURR_LANG" in line and CYRILLIC & set(line) for line in finished.err.splitlines())


def test_slip_of_the_pen_is_told_with_the_nearest_name(program: Program) -> None:
    """A misspelt name of a required setting is named with the right one."""
    finished = program.run("--date", DAY, API_CLIENT_KEY="", API_CLEINT_KEY="whatever")

    assert finished.code == 2
    assert "API_CLIENT_KEY is not set" in finished.err
    assert "API_CLEINT_KEY" in finished.err
    assert "whatever" not in finished.told


def test_old_names_still_work_and_lose_against_the_new_ones(
    program: Program, events_api: EventsServer, smtp_server: Callable[..., SmtpServer]
) -> None:
    """`client`, `client_key` and `smtp_password` are read where the new names are not set."""
    server = smtp_server("ssl", user="mailer", password=SMTP_PASSWORD)
    program.use(server)
    events_api.serve(make_events(5))
    new = {"API_CLIENT": "", "API_CLIENT_KEY": "", "SMTP_PASSWORD": ""}
    old = {"client": events_api.client, "client_key": events_api.client_key, "smtp_password": SMTP_PASSWORD}

    by_old_names = program.run("--date", DAY, "--json", **new, **old)
    by_new_names = program.run(
        "--date", "2023-04-02", "--json", client="wrong", client_key="wrong", smtp_password="wrong"
    )

    assert (by_old_names.code, by_old_names.day["mail"], by_old_names.day["loaded"]) == (0, "sent", 5)
    assert (by_new_names.code, by_new_names.day["mail"]) == (0, "sent")


def test_file_of_settings_is_read_and_loses_against_the_environment(
    copied_program: Program, events_api: EventsServer, database_url: str
) -> None:
    """`.env` beside the program: comments, quotes, byte order mark; a misspelt name in it is a fault."""
    events_api.serve(make_events(5))
    copied_program.secrets.append(events_api.client_key)
    file = copied_program.home / ".env"
    settings = events_api.environ(DATABASE_URL=database_url, API_CLIENT="wrong")
    text = "\n".join(["# settings", *(f"{name}='{value}'" for name, value in settings.items()), ""])
    file.write_text("\ufeff" + text, "utf-8")
    file.chmod(0o600)

    wrong = copied_program.run("--date", DAY, "--json", API_ATTEMPTS="1")
    right = copied_program.run("--date", DAY, "--json", API_CLIENT=events_api.client)
    file.write_text(text + "API_TIMEOUTS=3\nno value\n", "utf-8")
    faulty = copied_program.run("--date", DAY)
    file.write_text(text + "API_TIMEOUTS=3\n", "utf-8")
    misspelt = copied_program.run("--date", DAY)

    assert (wrong.code, right.code) == (1, 0)
    assert right.day["loaded"] == 5
    assert faulty.code == misspelt.code == 2
    assert str(file) in faulty.err
    assert "API_TIMEOUTS is not a setting; did you mean API_TIMEOUT?" in misspelt.err.replace('"', "")


def test_variables_of_libpq_name_the_database_where_nothing_else_does(
    program: Program, events_api: EventsServer, database_url: str
) -> None:
    """PGHOST and the others are honoured when they are set and DATABASE_URL is not."""
    events_api.serve(make_events(5))
    parameters = psycopg2.extensions.parse_dsn(database_url)
    names = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGDATABASE": "dbname"}
    variables = {name: parameters[keyword] for name, keyword in names.items()}

    finished = program.run("--date", DAY, "--json", DATABASE_URL="", PGPASSWORD=DATABASE_PASSWORD, **variables)

    assert (finished.code, finished.day["loaded"]) == (0, 5)
    assert table_rows(database_url, "SELECT count(*) FROM lms_activities") == [(5,)]


def test_database_of_its_own_is_made_kept_and_stopped(copied_program: Program, events_api: EventsServer) -> None:
    """Without DATABASE_URL the embedded PostgreSQL in `.data/postgres` serves, keeps its rows and ends with the run."""
    copied_program.secrets.append(events_api.client_key)
    events_api.serve(make_events(5))

    counts = [copied_program.run("--date", DAY, "--json", **events_api.environ()).counts for _ in range(2)]
    runs = copied_program.run("runs", "--json", **events_api.environ())

    assert counts == [(5, 5, 0, 0, 0, 0, 0), (5, 0, 0, 5, 0, 0, 0)]
    assert [json.loads(line)["status"] for line in runs.out.splitlines()] == ["ok", "ok"]
    folder = copied_program.home / ".data" / "postgres"
    assert (folder / "data" / "PG_VERSION").is_file()
    assert not (folder / "data" / "postmaster.pid").exists()


# The command line


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--date", "2023-02-30"], "2023-02-30"),
        (["--date", "01.04.2023"], "YYYY-MM-DD"),
        (["--date", ""], "YYYY-MM-DD"),
        (["--date", "tomorrow"], "YYYY-MM-DD"),
        (["--date", "9999-12-31"], "has not begun"),
        (["--date", "0001-01-01"], "1970"),
        (["--from", "2023-04-02", "--to", "2023-04-01"], "--from"),
        (["--from", "2023-04-01"], "--to"),
        (["--to", "2023-04-01"], "--from"),
        (["--date", DAY, "--from", DAY, "--to", DAY], "--date"),
        (["--date"], "--date"),
        (["--unknown"], "--unknown"),
        ([f"--dat={DAY}"], "--dat"),
        ([DAY], "--date"),
        (["celebrate"], "celebrate"),
        (["chekc"], "Did you mean check?"),
        (["check", "--date", DAY], "check"),
        (["runs", "--repair"], "audit"),
        (["--missing-only", "check"], "--missing-only"),
        (["--fill-gaps", "--date", DAY], "--fill-gaps"),
        (["fill", "--days", "0"], "--days"),
        (["--days", "3", "--date", DAY], "--days"),
        (["--from", DAY, "--to", DAY, "--pause", "soon"], "--pause"),
        (["check", "--freshness", "26"], "26h"),
        (["--language", "german", "--date", DAY], "--language"),
        (["report"], "--date"),
        ([], "--date"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else "",
)
def test_wrong_usage_is_explained_in_a_line_and_starts_nothing(
    program: Program, events_api: EventsServer, database_url: str, arguments: list[str], named: str
) -> None:
    """2 with the reason, in the operator's language; no log, no request, no table, no object."""
    finished = program.run(*arguments, "--json")

    assert (finished.code, finished.out) == (2, "")
    assert named in finished.err
    assert not CYRILLIC & set(finished.err)
    assert len(finished.err.splitlines()) == 1
    assert started_nothing(program)
    assert events_api.requests == []
    assert table_rows(database_url, TABLES) == [(0,)]


def test_future_day_is_refused_by_the_calendar_of_the_zone(program: Program) -> None:
    """What today is depends on TIMEZONE: the day after the zone's today has not begun."""
    zone_ahead, zone_behind = "Etc/GMT-14", "Etc/GMT+12"
    ahead = (datetime.now(UTC) + timedelta(hours=14)).date().isoformat()

    assert program.run("--date", ahead, "--json", TIMEZONE=zone_behind).code == 2
    assert program.run("--date", ahead, "--json", TIMEZONE=zone_ahead).code == 0


@pytest.mark.parametrize("word", ["yesterday", "СЕГОДНЯ"])
def test_days_have_names(program: Program, word: str) -> None:
    """Cron lines need no date of their own."""
    zone = f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"
    today = (datetime.now(UTC) - timedelta(hours=datetime.now(UTC).hour - 12)).date()
    expected = today if word == "СЕГОДНЯ" else today - timedelta(days=1)

    finished = program.run("--date", word, "--json", TIMEZONE=zone, API_WINDOW_MINUTES="1440")

    assert (finished.code, finished.day["date"]) == (0, expected.isoformat())
    assert finished.day["complete"] is (word == "yesterday")


@pytest.mark.parametrize("language", ["ru", "en"])
def test_help_speaks_the_chosen_language(unconfigured_program: Program, language: str) -> None:
    """--help works unconfigured, names every option of the contract, and --language beats CURR_LANG."""
    other = "ENGLISH" if language == "ru" else "RUSSIAN"

    finished = unconfigured_program.run("--help", "--language", language, CURR_LANG=other)

    assert finished.code == 0
    options = ("--date", "--from", "--to", "--test", "--demo", "--language", "--json", "--no-sheet", "--no-mail")
    for option in (*options, "check", "report", "runs"):
        assert option in finished.out
    assert bool(CYRILLIC & set(finished.out)) is (language == "ru")
    assert ("usage" in finished.out.lower()) is (language == "en")


def test_language_of_the_command_line_beats_the_setting_in_everything(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer
) -> None:
    """Summary, log, sheet, letter, page and errors follow --language."""
    program.use(google, mail_server)
    events_api.serve(make_events(5))

    finished = program.run("--date", DAY, "--language", "ru", CURR_LANG="ENGLISH")

    assert finished.code == 0
    assert "1 апреля 2023" in finished.out
    assert "День" in google.spreadsheet.titles()
    assert subject_of(mail_server).startswith("Учёба 1 апреля 2023")
    assert mail_server.messages[0].message["Content-Language"] == "ru"
    assert '<html lang="ru"' in (program.reports / f"{DAY}.html").read_text("utf-8")
    assert CYRILLIC & set(program.last_log)
    events_api.always(html())
    failed = program.run("--date", DAY, "--language", "en", "--json", CURR_LANG="RUSSIAN", API_ATTEMPTS="1")
    assert "web page" in failed.day["error"]
    refused = program.run("--date", "never", "--language", "en", CURR_LANG="RUSSIAN")
    assert "is not a date" in refused.err


def test_sheet_and_letter_can_be_left_out(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer
) -> None:
    """--no-sheet and --no-mail load and make the local report only; later they are made up for."""
    program.use(google, mail_server)
    events_api.serve(make_events(5))

    finished = program.run("--date", DAY, "--no-sheet", "--no-mail", "--json")

    assert (finished.code, finished.day["sheet"], finished.day["mail"]) == (0, "skipped", "skipped")
    assert (google.calls, google.token_calls, mail_server.connections) == ([], 0, 0)
    assert (program.reports / f"{DAY}.html").is_file()
    events_api.always(html())
    failed = program.run("--date", DAY, "--no-mail", "--json", API_ATTEMPTS="1")
    assert (failed.code, failed.day["mail"], mail_server.connections) == (1, "skipped", 0)
    events_api.always(lambda exchange: exchange.respond(*exchange.good_answer()))
    again = program.run("--date", DAY, "--json")
    assert (again.code, again.day["sheet"], again.day["mail"]) == (0, "updated", "sent")


# report


def test_report_publishes_again_from_the_database_and_asks_nobody(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer, database_url: str
) -> None:
    """Figures as they are in the table, counts of the day's last successful full run, always published, no run."""
    program.use(google, mail_server)
    events_api.serve([*make_events(10), make_event(lti_user_id="short")])
    loaded = program.run("--date", DAY, "--json")
    program.run("--date", DAY, "--test")
    events_api.always(html())
    program.run("--date", DAY, "--no-mail", API_ATTEMPTS="1")
    ledger = table_rows(database_url, "SELECT id, status, mode FROM etl_runs ORDER BY id")
    requests, letters = len(events_api.requests), len(mail_server.messages)
    google.spreadsheet.sheet("Day").cells.clear()
    # the address of the spreadsheet is as good as its id
    program.settings["GOOGLE_SHEET_ID"] = f"https://docs.google.com/spreadsheets/d/{google.spreadsheet_id}/edit#gid=0"

    finished = program.run("report", "--date", DAY, "--json")

    assert finished.code == 0
    assert finished.counts == loaded.counts == (11, 10, 0, 0, 1, 0, 0)
    assert finished.day["statistics"] == loaded.day["statistics"]
    told = {name: finished.day[name] for name in ("mode", "complete", "status", "sheet", "mail", "error")}
    assert told == {
        "mode": "full",
        "complete": True,
        "status": "ok",
        "sheet": "updated",
        "mail": "sent",
        "error": None,
    }
    assert google.spreadsheet.sheet("Day").labelled()["Unique students"] == 10
    assert len(mail_server.messages) == letters + 1
    assert len(events_api.requests) == requests
    assert table_rows(database_url, "SELECT id, status, mode FROM etl_runs ORDER BY id") == ledger
    # the publication is recorded: a run of the day finds its figures told
    events_api.always(lambda exchange: exchange.respond(*exchange.good_answer()))
    again = program.run("--date", DAY, "--json")
    assert (again.day["sheet"], again.day["mail"]) == ("unchanged", "unchanged")


def test_report_of_a_day_without_events_gives_zeros_and_of_nothing_at_all_fails(
    program: Program, events_api: EventsServer, google: GoogleStandIn, database_url: str
) -> None:
    """Nothing ever loaded: 1. A day that was never run: zeros, no counts. A range: an object a day."""
    program.use(google)
    nothing = program.run("report", "--date", DAY, "--json")
    events_api.serve(make_events(5))
    program.run("--date", DAY)

    empty = program.run("report", "--date", "2023-04-02", "--json")
    days = program.run("report", "--from", DAY, "--to", "2023-04-02", "--json")

    assert (nothing.code, nothing.day["status"], nothing.day["sheet"]) == (1, "failed", "skipped")
    assert empty.code == 0
    assert [empty.day[name] for name in COUNTS] == [None] * 7
    assert empty.day["statistics"] == dict.fromkeys(STATISTICS, 0)
    assert (empty.day["status"], empty.day["sheet"]) == ("ok", "updated")
    assert [(day["date"], day["received"]) for day in days.days] == [(DAY, 5), ("2023-04-02", None)]
    assert table_rows(database_url, "SELECT count(*) FROM etl_runs") == [(1,)]


def test_report_of_the_first_hour_is_marked_as_a_test(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer
) -> None:
    """`report --test` keeps to the hour, the test worksheet and the sender."""
    program.use(google, mail_server)
    events_api.serve(make_events(48))
    program.run("--date", DAY, "--no-sheet", "--no-mail")

    finished = program.run("report", "--date", DAY, "--test", "--json")

    assert (finished.code, finished.day["mode"], finished.day["complete"]) == (0, "test", False)
    assert finished.day["statistics"]["runs"] == 2
    assert google.spreadsheet.titles() == ["Sheet1", "Test (first hour)"]
    assert [letter.recipients for letter in mail_server.messages] == [(SENDER,)]


@pytest.mark.parametrize("chosen", ["--sheet", "--mail", "--local"])
def test_report_makes_what_is_chosen_and_leaves_the_rest_alone(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer, chosen: str
) -> None:
    """--sheet, --mail and --local: each makes its own part again, whatever has been published before."""
    program.use(google, mail_server)
    events_api.serve(make_events(5))
    program.run("--date", DAY)
    page = program.reports / f"{DAY}.html"
    page.unlink()
    letters, calls = len(mail_server.messages), google.names().count("batchUpdate")

    finished = program.run("report", "--date", DAY, "--json", chosen)

    assert finished.code == 0
    assert finished.day["sheet"] == ("updated" if chosen == "--sheet" else "skipped")
    assert finished.day["mail"] == ("sent" if chosen == "--mail" else "skipped")
    assert page.exists() is (chosen == "--local")
    assert len(mail_server.messages) - letters == int(chosen == "--mail")
    assert google.names().count("batchUpdate") - calls == int(chosen == "--sheet")


def test_report_that_nobody_gets_can_be_repeated(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer
) -> None:
    """A sheet that refuses makes `report` end with 3, too; the letter tells of it."""
    program.use(google, mail_server)
    events_api.serve(make_events(5))
    program.run("--date", DAY, "--no-sheet", "--no-mail")
    google.spreadsheet.access = "none"

    finished = program.run("report", "--date", DAY, "--json")

    assert (finished.code, finished.day["status"], finished.day["sheet"]) == (3, "partial", "failed")
    assert finished.day["mail"] == "sent"
    assert "The Google Sheet was not updated" in letter_text(mail_server)
    assert mail_server.messages[0].recipients == RECIPIENTS


# runs and check


def test_runs_shows_the_ledger(program: Program, events_api: EventsServer) -> None:
    """Every run with its day, state and counts; with --json an object each; before the first run nothing is made."""
    before = program.run("runs")
    events_api.serve(make_events(5))
    program.run("--date", DAY)
    events_api.always(html())
    program.run("--date", "2023-04-02", API_ATTEMPTS="1")

    people = program.run("runs")
    machine = program.run("runs", "--json")

    assert (before.code, people.code, machine.code) == (0, 0, 0)
    assert "There were no runs yet." in before.out
    assert people.out.index(DAY) < people.out.rindex("2023-04-02")
    assert "web page" in people.out
    rows = [json.loads(line) for line in machine.out.splitlines()]
    assert {(row["date"], row["status"], row["loaded"]) for row in rows} == {
        (DAY, "ok", 5),
        ("2023-04-02", "failed", None),
    }


def test_check_finds_everything_good_and_changes_nothing(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer, database_url: str
) -> None:
    """0, no table, no page, no letter, no cell; its log is all that it leaves."""
    program.use(google, mail_server)
    events_api.serve(make_events(24 * 60, datetime.now(UTC).date()))
    untouched = deepcopy(google.spreadsheet)

    finished = program.run("check")
    machine = program.run("check", "--json")

    assert (finished.code, machine.code) == (0, 0)
    assert "✗" not in finished.told
    assert isinstance(json.loads(machine.out), dict)
    assert [path.name for path in program.folder.iterdir()] == ["logs"]
    assert table_rows(database_url, TABLES) == [(0,)]
    assert mail_server.messages == []
    assert google.spreadsheet == untouched


@pytest.mark.parametrize("part", ["source", "database", "sheet", "mail", "folders"])
def test_check_names_what_is_bad(
    program: Program,
    events_api: EventsServer,
    google: GoogleStandIn,
    mail_server: SmtpServer,
    tmp_path: Path,
    part: str,
) -> None:
    """1, and one line says what is bad and what to do; the other parts are looked at nevertheless."""
    program.use(google, mail_server)
    changes: dict[str, str] = {}
    match part:
        case "source":
            changes["API_CLIENT"] = "nobody"
        case "database":
            changes["DATABASE_URL"] = program.settings["DATABASE_URL"].replace("/test_", "/missing_")
        case "sheet":
            google.spreadsheet.access = "none"
        case "mail":
            changes["SMTP_CA_FILE"] = ""
        case "folders":
            (tmp_path / "file").write_text("in the way", "utf-8")
            changes["REPORTS_PATH"] = str(tmp_path / "file")

    finished = program.run("check", **changes)

    assert finished.code == 1
    marks = [line[0] for line in finished.out.splitlines() if line[0] in "✗✓!"]
    assert len(marks) >= 7
    assert marks.count("✗") == 1


def test_check_without_a_database_makes_no_embedded_one(copied_program: Program, events_api: EventsServer) -> None:
    """With nothing but a source, `check` is content (0), and leaves no cluster behind; wrong settings are 2."""
    copied_program.secrets.append(events_api.client_key)
    before = {path.name for path in copied_program.home.iterdir()}

    finished = copied_program.run("check", **events_api.environ())
    wrong = copied_program.run("check", "--json")

    assert finished.code == 0
    assert "embedded" in finished.out
    assert {path.name for path in copied_program.home.iterdir()} - before <= {"__pycache__"}
    assert [path.name for path in copied_program.folder.iterdir()] == ["logs"]
    assert (wrong.code, wrong.out) == (2, "")


# Odd terminals


@pytest.mark.parametrize(
    "environ",
    [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=["LC_ALL=C", "PYTHONIOENCODING=ascii", "ASCII locale"],
)
def test_terminal_without_cyrillic_ends_no_run(
    program: Program, events_api: EventsServer, environ: dict[str, str]
) -> None:
    """What the terminal cannot show is written out; run, help, usage error and fault of the settings go on."""
    events_api.serve(make_events(5))
    program.settings["CURR_LANG"] = "RUSSIAN"

    assert program.run("--date", DAY, **environ).code == 0
    assert program.run("--help", **environ).code == 0
    assert program.run("--date", "никогда", **environ).code == 2
    assert program.run("--date", DAY, **environ, TIMEZONE="Луна").code == 2
    assert "Европа" not in program.last_log
    assert CYRILLIC & set(program.last_log)


@pytest.mark.parametrize("arguments", [["--help"], ["--date", DAY], ["--date", DAY, "--json"], ["runs"], ["check"]])
def test_reader_that_leaves_ends_no_run_and_gets_no_traceback(
    program: Program, events_api: EventsServer, database_url: str, arguments: list[str]
) -> None:
    """`| head -1` is not an error: the work is done, the code stays, standard error stays clean."""
    events_api.serve(make_events(5))
    process = subprocess.Popen(
        [sys.executable, "data_processor.py", *arguments],
        cwd=program.home,
        env=program.environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stderr
    process.stdout.close()

    err = process.stderr.read().decode()
    process.stderr.close()
    code = process.wait(60)

    assert code == 0
    assert "Traceback" not in err
    assert "BrokenPipe" not in err
    if "--date" in arguments:
        assert table_rows(database_url, "SELECT status FROM etl_runs") == [("ok",)]


@pytest.mark.parametrize(
    "streams",
    ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full"],
    ids=["input", "output", "error", "all", "full disk"],
)
def test_missing_standard_stream_ends_no_run(
    program: Program, events_api: EventsServer, database_url: str, streams: str
) -> None:
    """Some schedulers start programs with a stream closed; what cannot be shown is not a reason to fail."""
    events_api.serve(make_events(5))
    command = f'exec "$0" data_processor.py --date {DAY} {streams}'

    process = subprocess.run(
        ["/bin/sh", "-c", command, sys.executable],
        cwd=program.home,
        env=program.environ(),
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert (process.returncode, process.stderr) == (0, b"")
    assert table_rows(database_url, "SELECT status FROM etl_runs") == [("ok",)]


def test_log_folder_that_cannot_be_written_ends_no_run(
    program: Program, events_api: EventsServer, tmp_path: Path
) -> None:
    """A log is worth a warning, not a day."""
    events_api.serve(make_events(5))
    (tmp_path / "file").write_text("in the way", "utf-8")

    finished = program.run("--date", DAY, "--json", LOGS_PATH=str(tmp_path / "file"))

    assert (finished.code, finished.day["loaded"]) == (0, 5)
    assert "log" in finished.err
