"""Ranges of days, black box: what is left out, what a kill leaves, the sheet drawn once, the words at the end."""

from __future__ import annotations

import signal
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.support.events_api import hang_before_headers, html, make_event, make_events
from tests.support.program import eventually, letter_text, subject_of, table_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.events_api import EventsServer
    from tests.support.google import GoogleStandIn
    from tests.support.program import Finished, Program, Running
    from tests.support.smtp import SmtpServer

FIRST = date(2023, 4, 1)
EPOCH = date(1899, 12, 30)
LOADED = "SELECT created_at::date::text, count(*) FROM lms_activities GROUP BY 1 ORDER BY 1"
LEDGER = "SELECT process_date::text, status, sheet FROM etl_runs ORDER BY id"


def april(number: int) -> str:
    """Return a day of April 2023 as it is typed."""
    return (FIRST + timedelta(days=number - 1)).isoformat()


def through(last: int, *more: str) -> tuple[str, ...]:
    """Return the command line of a range that begins on 1 April."""
    return ("--from", april(1), "--to", april(last), "--json", *more)


def serve_days(events_api: EventsServer, last: int) -> None:
    """Give every day up to one as many events as its number and three more."""
    days = [FIRST + timedelta(days=number) for number in range(last)]
    events_api.serve([event for day in days for event in make_events(day.day + 3, day)])


def told(finished: Finished, *names: str) -> list[tuple[object, ...]]:
    """Return some keys of every day's object."""
    return [tuple(day[name] for name in names) for day in finished.days]


def history(google: GoogleStandIn) -> list[tuple[str, int]]:
    """Return the days of the history in the sheet, each with its number of students."""
    rows = google.spreadsheet.sheet("History").grid()[1:]
    return [((EPOCH + timedelta(days=row[0])).isoformat(), row[1]) for row in rows]


def days_through(last: int) -> list[tuple[str, int]]:
    """Return the days up to one, each with the number of its events, and students."""
    return [(april(number), number + 3) for number in range(1, last + 1)]


@pytest.fixture
def daily(program: Program) -> Program:
    """The program, asking for a day at once and trying once."""
    program.settings |= {"API_WINDOW_MINUTES": "1440", "API_ATTEMPTS": "1"}
    return program


def killed_after(running: Running, days: int, database_url: str) -> None:
    """Kill a run as soon as so many days are loaded."""
    eventually(lambda: loaded_days(database_url) >= days, 60)
    running.kill()


def loaded_days(database_url: str) -> int:
    """Return how many days are in the table."""
    there = table_rows(database_url, "SELECT to_regclass('lms_activities') IS NOT NULL")[0][0]
    return len(table_rows(database_url, LOADED)) if there else 0


def test_range_killed_three_times_is_finished_by_the_same_command(
    daily: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer, database_url: str
) -> None:
    """With --missing-only it goes on where it stopped; table, sheet and letter are then as if nothing had happened."""
    daily.use(google, mail_server)
    serve_days(events_api, 10)
    for days in (2, 5, 8):
        killed_after(daily.start(*through(10, "--missing-only")), days, database_url)
    asked = len(events_api.requests)

    finished = daily.run(*through(10, "--missing-only"))

    assert finished.code == 0
    assert table_rows(database_url, LOADED) == days_through(10)
    assert history(google) == days_through(10)
    assert [day["date"] for day in finished.days] == [april(number) for number in range(11 - len(finished.days), 11)]
    assert {(day["status"], day["sheet"]) for day in finished.days} == {("ok", "updated")}
    assert len(events_api.requests) - asked == len(finished.days) <= 3
    assert len(mail_server.messages) == 1
    assert not {status for _, status, _ in table_rows(database_url, LEDGER)} & {"running", "failed"}
    again = daily.run(*through(10, "--missing-only"))
    assert (again.code, again.days) == (0, [])
    assert "10 days are complete already and were left out." in again.err
    assert len(mail_server.messages) == 1


def test_day_killed_between_its_load_and_its_end_is_run_again(
    daily: Program, events_api: EventsServer, google: GoogleStandIn, database_url: str
) -> None:
    """Its events are there, but nobody has counted them, and no page shows them."""
    daily.use(google)
    serve_days(events_api, 2)
    daily.run("--date", april(2), "--json")
    google.fail(call="get", hang=6)
    running = daily.start("--date", april(1))
    killed_after(running, 2, database_url)
    eventually(lambda: table_rows(database_url, LEDGER)[-1][1:] == ("partial", None))

    finished = daily.run(*through(2, "--missing-only"))

    assert told(finished, "date", "loaded", "sheet") == [(april(1), 0, "updated")]
    assert history(google) == days_through(2)


def test_range_is_drawn_in_the_sheet_with_as_few_calls_as_a_day(
    daily: Program, events_api: EventsServer, google: GoogleStandIn, database_url: str
) -> None:
    """The card shows the last day, the history every one; the ledger says "ok" once the sheet is drawn, not before."""
    daily.use(google)
    serve_days(events_api, 6)
    daily.run("--date", april(1), "--json")
    for_one = len(google.calls)
    daily.run("--date", april(1), "--json")
    assert len(google.calls) == for_one
    events_api.script([hang_before_headers()], start=april(6))
    running = daily.start(*through(6))
    eventually(lambda: events_api.requests_of(april(6)))
    between = table_rows(database_url, LEDGER)[2:]
    running.kill()

    finished = daily.run(*through(6))

    assert between == [
        (april(1), "ok", "unchanged"),
        *((april(number), "partial", "failed") for number in range(2, 6)),
        (april(6), "running", None),
    ]
    assert finished.code == 0
    assert told(finished, "date", "sheet") == [
        (april(1), "unchanged"),
        *((april(number), "updated") for number in range(2, 7)),
    ]
    assert history(google) == days_through(6)
    assert google.spreadsheet.sheet("Day").labelled()["Unique students"] == 9
    assert len(google.calls) - for_one <= for_one + 2
    assert table_rows(database_url, LEDGER)[-5:] == [(april(number), "ok", "updated") for number in range(2, 7)]
    took = "SELECT bool_and(finished_at < (SELECT max(started_at) FROM etl_runs)) FROM etl_runs WHERE id < %s"
    last = table_rows(database_url, "SELECT max(id) FROM etl_runs")[0][0]
    assert table_rows(database_url, took, last)[0][0] is True


def test_sheet_that_refuses_a_range_is_told_with_every_day_and_drawn_by_report(
    daily: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer, database_url: str
) -> None:
    """Every day is loaded, none is called drawn, the letter says so once; `report --sheet` makes up for it."""
    daily.use(google, mail_server)
    serve_days(events_api, 3)
    google.spreadsheet.access = "none"

    finished = daily.run(*through(3))

    assert finished.code == 3
    assert told(finished, "status", "sheet", "mail") == [
        ("partial", "failed", "skipped"),
        ("partial", "failed", "skipped"),
        ("partial", "failed", "sent"),
    ]
    assert len({day["error"] for day in finished.days}) == 1
    assert "spreadsheet" in finished.days[0]["error"]
    assert {row[1:] for row in table_rows(database_url, LEDGER)} == {("partial", "failed")}
    assert letter_text(mail_server).count("The Google Sheet was not updated") == 1
    google.spreadsheet.access = "writer"
    drawn = daily.run("report", *through(3, "--sheet"))
    assert (drawn.code, told(drawn, "sheet", "mail")) == (0, [("updated", "skipped")] * 3)
    assert history(google) == days_through(3)
    assert len(mail_server.messages) == 1


def test_interrupted_range_says_which_days_were_not_drawn_and_the_next_one_draws_them(
    daily: Program, events_api: EventsServer, google: GoogleStandIn, database_url: str
) -> None:
    """Ctrl-C: what is loaded stays, its objects tell that the sheet lacks it, and nothing needs to be fetched again."""
    daily.use(google)
    serve_days(events_api, 4)
    events_api.script([hang_before_headers()], start=april(3))
    running = daily.start(*through(4))
    eventually(lambda: events_api.requests_of(april(3)))

    running.signal(signal.SIGINT)
    finished = running.finish()
    requests = len(events_api.requests)
    second = daily.run(*through(4, "--missing-only"))

    assert finished.code == 130
    assert told(finished, "date", "status", "sheet") == [
        (april(1), "partial", "failed"),
        (april(2), "partial", "failed"),
        (april(3), "interrupted", "skipped"),
    ]
    assert f"report --from {april(1)} --to {april(4)} --sheet" in finished.days[0]["error"]
    assert "not begun: 1" in finished.err
    assert f"--from {april(3)} --to {april(4)}" in finished.err
    assert (second.code, told(second, "date")) == (0, [(april(3),), (april(4),)])
    assert len(events_api.requests) == requests + 2
    assert history(google) == days_through(4)
    assert table_rows(database_url, LOADED) == days_through(4)


def test_days_left_out_that_the_sheet_lacks_are_drawn_nevertheless(
    daily: Program, events_api: EventsServer, google: GoogleStandIn
) -> None:
    """Where nothing is to be run, the sheet is caught up with; a sheet that refuses makes it 3."""
    serve_days(events_api, 3)
    assert daily.run(*through(3)).code == 0
    daily.use(google)
    google.spreadsheet.access = "none"
    refused = daily.run(*through(3, "--missing-only"))
    left_alone = daily.run(*through(3, "--missing-only", "--no-sheet"))
    google.spreadsheet.access = "writer"

    finished = daily.run(*through(3, "--missing-only"))

    assert (refused.code, refused.days) == (3, [])
    assert "Google Sheet" in refused.err
    assert left_alone.code == 0
    assert (finished.code, finished.days) == (0, [])
    assert history(google) == days_through(3)


def test_day_that_another_run_corrected_meanwhile_is_drawn_as_it_is_now(
    daily: Program, events_api: EventsServer, google: GoogleStandIn
) -> None:
    """The sheet is drawn from the database, not from what the range remembers."""
    daily.use(google)
    serve_days(events_api, 3)
    events_api.script([hang_before_headers()], start=april(3))
    running = daily.start(*through(3))
    eventually(lambda: events_api.requests_of(april(3)))
    events_api.answer(april(1), make_events(20, FIRST))
    corrected = daily.run("--date", april(1), "--json", "--no-sheet")

    running.signal(signal.SIGTERM)
    running.finish()
    daily.run(*through(3, "--missing-only"))

    assert corrected.day["loaded"] > 0
    assert dict(history(google))[april(1)] == corrected.day["statistics"]["unique_users"] > 4


def test_missing_only_runs_what_failed_was_never_run_or_was_not_over(
    daily: Program, events_api: EventsServer, mail_server: SmtpServer, database_url: str
) -> None:
    """A day whose later run failed is run again, too; a test run makes no day complete."""
    daily.use(mail_server)
    serve_days(events_api, 5)
    daily.run("--from", april(1), "--to", april(3), "--no-mail", "--json")
    events_api.script([html()], start=april(2))
    daily.run("--date", april(2), "--no-mail", "--json")
    events_api.script([html()], start=april(4))
    daily.run("--date", april(4), "--no-mail", "--json")
    daily.run("--date", april(5), "--test", "--no-mail", "--json")

    finished = daily.run(*through(5, "--missing-only"))

    assert told(finished, "date", "loaded") == [(april(2), 0), (april(4), 7), (april(5), 7)]
    assert finished.code == 0
    assert subject_of(mail_server).startswith("Learning from 2 April 2023 to 5 April 2023")
    assert table_rows(database_url, LOADED) == days_through(5)


def test_failing_days_are_summed_up_with_the_commands_that_repeat_just_them(
    daily: Program, events_api: EventsServer
) -> None:
    """A table of the days, how many went well, and a command for each stretch of days that is not loaded."""
    serve_days(events_api, 8)
    for number in (2, 3, 6):
        events_api.script([html()], start=april(number))

    finished = daily.run("--from", april(1), "--to", april(8))

    assert finished.code == 1
    assert "done: 5, failed: 3" in finished.out
    assert f"data_processor.py --from {april(2)} --to {april(3)}\n" in finished.out
    assert f"data_processor.py --date {april(6)}\n" in finished.out
    assert finished.out.count("web page") == 3
    assert "fetch:" not in finished.out  # the log keeps to its file, or it would drown the days


def test_many_failures_far_apart_are_repeated_by_the_command_that_finds_them(
    daily: Program, events_api: EventsServer
) -> None:
    """Four stretches or more: one command with --missing-only, and it is right."""
    serve_days(events_api, 8)
    for number in (1, 3, 5, 7):
        events_api.script([html()], start=april(number))

    failed = daily.run("--from", april(1), "--to", april(8))
    command = next(line for line in failed.out.splitlines() if "--missing-only" in line).split("data_processor.py ")[1]
    repeated = daily.run(*command.split(), "--json")

    assert told(repeated, "date", "status") == [(april(number), "ok") for number in (1, 3, 5, 7)]


def test_fill_runs_every_gap_of_the_last_days_up_to_yesterday(
    daily: Program, events_api: EventsServer, database_url: str
) -> None:
    """`fill` and `--fill-gaps` are one; oldest first, complete days and today left alone."""
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=number) for number in range(5, -1, -1)]
    events_api.serve([event for day in days[:-1] for event in make_events(4, day)])
    daily.run("--date", days[2].isoformat())
    events_api.script([html()], start=days[3].isoformat())
    daily.run("--date", days[3].isoformat())

    filled = daily.run("fill", "--days", "4", "--json")
    again = daily.run("--fill-gaps", "--days", "5", "--json")

    assert told(filled, "date", "status") == [(days[number].isoformat(), "ok") for number in (1, 3, 4)]
    assert told(again, "date", "status") == [(days[0].isoformat(), "ok")]
    assert loaded_days(database_url) == 5


@pytest.mark.parametrize(
    ("arguments", "settings", "named"),
    [
        (through(3, "--missing-only"), {"DB_MAIN_TABLE_OPEN_RESET": "true"}, "DB_MAIN_TABLE_OPEN_RESET"),
        (("fill", "--json"), {"DB_MAIN_TABLE_OPEN_RESET": "true"}, "DB_MAIN_TABLE_OPEN_RESET"),
        (("fill", "--json"), {"TEST_APP_MODE": "true"}, "TEST_APP_MODE"),
    ],
    ids=["range", "fill", "test mode"],
)
def test_days_are_not_left_out_of_a_table_that_is_emptied_or_of_first_hours(
    daily: Program, arguments: Sequence[str], settings: dict[str, str], named: str
) -> None:
    """The days that are left out would be lost, or stay without their hour: 2, nothing is started."""
    finished = daily.run(*arguments, **settings)

    assert (finished.code, finished.out) == (2, "")
    assert named in finished.err
    assert not daily.logs.exists()


def test_pause_between_days_is_kept_and_heeds_ctrl_c(
    daily: Program, events_api: EventsServer, database_url: str
) -> None:
    """Breaking off a pause leaves the day before it whole, and does not begin the next: 3."""
    serve_days(events_api, 2)
    running = daily.start("--from", april(1), "--to", april(2), "--pause", "60")
    eventually(lambda: loaded_days(database_url) == 1)
    eventually(lambda: table_rows(database_url, LEDGER) == [(april(1), "ok", "skipped")])

    running.signal(signal.SIGINT)
    finished = running.finish()

    assert finished.code == 3
    assert "done: 1, not begun: 1" in finished.out
    assert events_api.requests_of(april(2)) == []


def test_database_that_cannot_be_asked_for_the_days_ends_with_1(daily: Program) -> None:
    """Without the ledger nobody knows what is missing; one line says so, and no object is printed."""
    url = daily.settings["DATABASE_URL"].replace("/test_", "/missing_")

    finished = daily.run("fill", "--json", DATABASE_URL=url)

    assert (finished.code, finished.days) == (1, [])
    assert "✗ PostgreSQL has no such database" in finished.err


def test_range_in_a_terminal_shows_days_around_the_windows_of_each(daily: Program, events_api: EventsServer) -> None:
    """Two bars; what is left is guessed only once a day is done; the days that passed stay on the screen."""
    events_api.serve([make_event(created_at=f"{april(number)} 12:00:00.000000") for number in (1, 2, 3)])
    events_api.script([hang_before_headers()], start=april(2))

    session = daily.terminal("--from", april(1), "--to", april(3))
    session.wait_for("0 of 3")
    session.wait_for("1 of 3")
    before = session.screen.split("1 of 3")[0]
    session.wait_for("less than a minute left")
    session.wait_for("Fetching 2 April 2023")
    session.type("\x03")
    finished = session.finish()

    assert "left" not in before
    assert "1 April 2023 is loaded" in finished.out
    assert "interrupted: 1, not begun: 1" in finished.out.replace("\r\n", " ")
