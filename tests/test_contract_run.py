"""The contract, black box: what a run of a day, of its first hour, of today and of a range leaves behind."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.events_api import held, html, make_event, make_events, make_passback
from tests.support.program import (
    COUNTS,
    DAY,
    KEYS,
    RECIPIENTS,
    SENDER,
    STATISTICS,
    Program,
    eventually,
    letter_text,
    subject_of,
    table_rows,
)

if TYPE_CHECKING:
    from threading import Event as Sign

    from tests.support.events_api import EventsServer
    from tests.support.google import GoogleStandIn
    from tests.support.smtp import SmtpServer

ANNA, BORIS, VERA = "a" * 32, "b" * 32, "c" * 32
EVENTS = "SELECT * FROM lms_activities ORDER BY created_at, user_id, attempt_type, lis_result_sourcedid"
VERSIONS = f"SELECT xmin::text, e.* FROM ({EVENTS.replace('*', 'xmin, *')}) AS e"
LEDGER = f"SELECT process_date::text, mode, status, {', '.join(COUNTS)} FROM etl_runs ORDER BY id"
QUARANTINE = "SELECT reason, raw, run_id, process_date::text FROM lms_activities_rejected ORDER BY reason, raw"


def run_event(user: str, time: str, **changes: Any) -> dict[str, Any]:
    """Return a sound run of a student at a time of 1 April 2023."""
    return make_event(**{"lti_user_id": user, "created_at": f"{DAY} {time}", **changes})


def submit(user: str, time: str, correct: object, **changes: Any) -> dict[str, Any]:
    """Return a sound submit of a student at a time of 1 April 2023."""
    return run_event(user, time, attempt_type="submit", is_correct=correct, **changes)


def flawed_day() -> list[Any]:
    """Return a day with every kind of flaw: 21 events of it, 10 of them loaded, and one of the next day."""
    nameless = run_event(ANNA, "13:00:00.000001", lti_user_id=None)
    return [
        # sound: nine, one of them sent twice and one sent again with another value
        run_event(BORIS, "00:00:00.000000"),
        run_event(ANNA, "00:10:00"),
        submit(ANNA, "00:59:59.999999", 1),
        submit(BORIS, "01:00:00.000000", 0),
        run_event(VERA, "12:00:00.000001"),
        run_event(VERA, "12:00:00.000001"),
        submit(VERA, "12:30:00.5", 0),
        submit(VERA, "12:30:00.5", 1),
        submit(BORIS, "23:59:59.999999", 1, passback_params=make_passback(BORIS, oauth_consumer_key="key")),
        # with defects: four, two of them of one key
        run_event(VERA, "14:00:00.000001", passback_params=None),
        run_event(VERA, "14:00:00.000002", passback_params=make_passback(VERA, lis_outcome_service_url=...)),
        run_event(VERA, "14:00:00.000002", passback_params=make_passback(VERA, lis_outcome_service_url=...)),
        submit(VERA, "14:00:00.000003", None, passback_params=make_passback(VERA)),
        # eight that are to be rejected
        nameless,
        dict(nameless),
        run_event("a" * 31, "13:00:00.000002"),
        run_event(ANNA, "13:00:00.000003", passback_params="{'oauth_consumer_key': __import__('os').getcwd()}"),
        run_event(ANNA, "13:00:00.000004", attempt_type="look"),
        run_event(ANNA, "13:00:00.000005", is_correct=2),
        ["no", "object"],
        {**run_event(ANNA, "13:00:00.000006"), "created_at": "2023-04-01T13"},
        # exactly at the excluded end: it belongs to the next day
        make_event(lti_user_id=ANNA, created_at="2023-04-02 00:00:00"),
    ]


FLAWED_COUNTS = {
    "received": 21,
    "loaded": 10,
    "updated": 0,
    "already_present": 3,
    "rejected": 8,
    "defective": 4,
    "missing_at_source": 0,
}
FLAWED_STATISTICS = {"unique_users": 3, "runs": 5, "submits": 5, "successful_submits": 3}
FLAWED_REASONS = [
    "attempt_type_unknown",
    "created_at_unreadable",
    "is_correct_unknown",
    "not_an_object",
    "passback_unreadable",
    "user_id_length",
    "user_id_missing",
    "user_id_missing",
]


def counts_of(day: dict[str, Any]) -> dict[str, Any]:
    """Return the counts in an object."""
    return {name: day[name] for name in COUNTS}


def test_day_is_loaded_counted_drawn_and_told_and_running_it_again_changes_nothing(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer, database_url: str
) -> None:
    """A full day ends with 0 and the contract's object; a second run finds all present and leaves every row alone."""
    program.use(google, mail_server)
    events_api.serve(flawed_day())

    first = program.run("--date", DAY, "--json")

    assert first.code == 0
    assert first.day.keys() >= KEYS
    assert counts_of(first.day) == FLAWED_COUNTS
    assert first.day["statistics"] == FLAWED_STATISTICS
    told = {name: first.day[name] for name in ("date", "mode", "complete", "status", "sheet", "mail", "error")}
    assert told == {
        "date": DAY,
        "mode": "full",
        "complete": True,
        "status": "ok",
        "sheet": "updated",
        "mail": "sent",
        "error": None,
    }
    ledger = table_rows(database_url, LEDGER)
    assert ledger == [(DAY, "full", "ok", *FLAWED_COUNTS.values())]
    held_rows = table_rows(database_url, VERSIONS)
    assert len(held_rows) == 10
    assert [row[0] for row in table_rows(database_url, QUARANTINE)] == FLAWED_REASONS
    (letter,) = mail_server.messages
    assert letter.recipients == RECIPIENTS
    assert letter.message["To"] == ", ".join(RECIPIENTS)
    assert subject_of(mail_server) == "Learning on 1 April 2023: 3 students, 60% correct"
    assert "Received 21 Loaded 10 Corrected 0 Already present 3 Rejected 8 With defects 4" in letter_text(mail_server)
    card = google.spreadsheet.sheet("Day").labelled()
    assert (card["Unique students"], card["Code runs"], card["Submits"], card["Successful submits"]) == (3, 5, 5, 3)
    assert (program.reports / f"{DAY}.html").is_file()
    sheet_before, calls_before = repr(google.spreadsheet), len(google.calls)

    again = program.run("--date", DAY, "--json")

    assert again.code == 0
    assert counts_of(again.day) == {**FLAWED_COUNTS, "loaded": 0, "already_present": 13}
    assert again.day["statistics"] == FLAWED_STATISTICS
    assert (again.day["status"], again.day["sheet"], again.day["mail"]) == ("ok", "unchanged", "unchanged")
    assert table_rows(database_url, VERSIONS) == held_rows
    assert [row[0] for row in table_rows(database_url, QUARANTINE)] == FLAWED_REASONS
    assert len(mail_server.messages) == 1
    assert (repr(google.spreadsheet), len(google.calls)) == (sheet_before, calls_before)
    assert [row[2] for row in table_rows(database_url, LEDGER)] == ["ok", "ok"]


def test_rows_hold_what_the_source_sent(program: Program, events_api: EventsServer, database_url: str) -> None:
    """A row holds the values of the event, of several with one key those of the last, with its defects and its run."""
    events_api.serve(flawed_day())

    assert program.run("--date", DAY).code == 0

    rows = {
        row[0]: row[1:]
        for row in table_rows(
            database_url,
            "SELECT to_char(created_at AT TIME ZONE 'UTC', 'HH24:MI:SS.US'), user_id, attempt_type, is_correct, "
            "oauth_consumer_key, lis_result_sourcedid IS NULL, lis_outcome_service_url IS NULL, defects, run_id "
            "FROM lms_activities",
        )
    }
    assert rows == {
        "00:00:00.000000": (BORIS, "run", None, "", False, False, [], 1),
        "00:10:00.000000": (ANNA, "run", None, "", False, False, [], 1),
        "00:59:59.999999": (ANNA, "submit", True, "", False, False, [], 1),
        "01:00:00.000000": (BORIS, "submit", False, "", False, False, [], 1),
        "12:00:00.000001": (VERA, "run", None, "", False, False, [], 1),
        "12:30:00.500000": (VERA, "submit", True, "", False, False, [], 1),
        "14:00:00.000001": (VERA, "run", None, None, True, True, ["passback_missing"], 1),
        "14:00:00.000002": (VERA, "run", None, "", False, True, ["lis_outcome_service_url_missing"], 1),
        "14:00:00.000003": (VERA, "submit", None, "", False, False, ["correctness_mismatch"], 1),
        "23:59:59.999999": (BORIS, "submit", True, "key", False, False, [], 1),
    }
    raw = {reason: json.loads(text) for reason, text, *_ in table_rows(database_url, QUARANTINE)}
    assert raw["not_an_object"] == ["no", "object"]
    assert raw["user_id_missing"] == run_event(ANNA, "13:00:00.000001", lti_user_id=None)
    assert all(row[1].isascii() for row in table_rows(database_url, QUARANTINE))


def test_correction_is_followed_and_what_vanished_is_kept_and_published_again(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer, database_url: str
) -> None:
    """A corrected value changes its row alone; vanished events stay and are told of; new figures are published."""
    program.use(google, mail_server)
    events_api.serve(make_events(10))
    program.run("--date", DAY)
    before = table_rows(database_url, VERSIONS)
    corrected = make_events(10)
    corrected[9]["is_correct"] = 1
    events_api.serve([*corrected[2:], run_event(ANNA, "13:13:13.000013")])

    second = program.run("--date", DAY, "--json")

    assert second.code == 0
    assert second.counts == (9, 1, 1, 7, 0, 0, 2)
    assert second.day["statistics"] == {"unique_users": 11, "runs": 7, "submits": 4, "successful_submits": 3}
    assert (second.day["sheet"], second.day["mail"], second.day["error"]) == ("updated", "sent", None)
    after = table_rows(database_url, VERSIONS)
    assert len(after) == 11
    touched = [row for row in after if row not in before]
    assert len(touched) == 2
    assert len({row[0] for row in touched}) == 1  # both by one transaction
    newest = "SELECT run_id, count(*), count(DISTINCT loaded_at) FROM lms_activities GROUP BY 1 ORDER BY 1"
    assert table_rows(database_url, newest) == [(1, 9, 1), (2, 2, 1)]
    assert "2 events of this day are in the table, but the source did not send them again" in letter_text(mail_server)
    assert "2 events of this day" in second.err
    assert len(mail_server.messages) == 2
    history = google.spreadsheet.sheet("History").grid()
    assert len(history) == 2
    assert history[1][1:5] == [11, 7, 4, 3]


def test_correction_that_moves_no_figure_leaves_sheet_and_inbox_alone(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer
) -> None:
    """What is published are figures: where a run changes rows but no figure, sheet and inbox are left alone."""
    program.use(google, mail_server)
    events_api.serve(make_events(10))
    program.run("--date", DAY)
    corrected = make_events(10)
    corrected[0]["passback_params"] = make_passback("0" * 32, lis_outcome_service_url=...)
    corrected[1]["passback_params"] = make_passback(f"{1:032x}", oauth_consumer_key="another")
    events_api.serve(corrected)

    second = program.run("--date", DAY, "--json")

    assert second.counts == (10, 0, 2, 8, 0, 1, 0)
    assert (second.day["sheet"], second.day["mail"]) == ("unchanged", "unchanged")
    assert len(mail_server.messages) == 1


def test_quarantine_keeps_a_reject_once_and_numbers_identical_ones(
    program: Program, events_api: EventsServer, database_url: str
) -> None:
    """Identical rejects of a day keep their number, a re-run adds none, one more adds one, another day has its own."""
    reject = run_event("short", "10:00:00.000001")
    rows = "SELECT process_date::text, count(*) FROM lms_activities_rejected GROUP BY 1 ORDER BY 1"
    events_api.answer(DAY, [reject, reject])

    told = [program.run("--date", DAY, "--json").day["rejected"] for _ in range(2)]
    after_two_runs = table_rows(database_url, rows)
    events_api.answer(DAY, [reject, reject, reject])
    told.append(program.run("--date", DAY, "--json").day["rejected"])
    after_three_runs = table_rows(database_url, rows)
    events_api.answer(DAY, [reject])
    events_api.answer("2023-04-02", [reject])
    told += [program.run("--date", day, "--json").day["rejected"] for day in (DAY, "2023-04-02")]

    assert told == [2, 2, 3, 1, 1]
    assert after_two_runs == [(DAY, 2)]
    assert after_three_runs == [(DAY, 3)]
    assert table_rows(database_url, rows) == [(DAY, 3), ("2023-04-02", 1)]


def test_empty_day_is_a_day_of_zeros(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer
) -> None:
    """A source that truly has no events is no fault: zeros, published, without a division."""
    program.use(google, mail_server)

    finished = program.run("--date", DAY, "--json")

    assert finished.code == 0
    assert finished.counts == (0,) * 7
    assert finished.day["statistics"] == dict.fromkeys(STATISTICS, 0)
    assert (finished.day["status"], finished.day["sheet"], finished.day["mail"]) == ("ok", "updated", "sent")
    assert len(mail_server.messages) == 1


def test_test_mode_takes_the_first_hour_and_reports_it_apart(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer, database_url: str
) -> None:
    """A test run loads the first hour as usual, in its own worksheet, tells the sender alone, PARTIAL on both."""
    program.use(google, mail_server)
    events_api.serve(flawed_day())

    finished = program.run("--date", DAY, "--test", "--json")

    assert finished.code == 0
    assert (finished.day["mode"], finished.day["complete"], finished.day["status"]) == ("test", False, "ok")
    assert finished.counts == (3, 3, 0, 0, 0, 0, 0)
    assert finished.day["statistics"] == {"unique_users": 2, "runs": 2, "submits": 1, "successful_submits": 1}
    assert {(request.start, request.end) for request in events_api.requests} == {
        (datetime(2023, 4, 1), datetime(2023, 4, 1, 1))  # noqa: DTZ001
    }
    assert google.spreadsheet.titles() == ["Sheet1", "Test (first hour)"]
    assert "PARTIAL" in repr(google.spreadsheet.sheet("Test (first hour)").grid())
    assert [letter.recipients for letter in mail_server.messages] == [(SENDER,)]
    assert mail_server.messages[0].message["To"] == SENDER
    assert "PARTIAL" in subject_of(mail_server)
    assert "PARTIAL" in letter_text(mail_server)
    assert table_rows(database_url, LEDGER) == [(DAY, "test", "ok", 3, 3, 0, 0, 0, 0, 0)]

    # the statistics of a test run are those of its hour, also where the table holds the whole day
    whole = program.run("--date", DAY, "--json")
    assert whole.counts == (21, 7, 0, 6, 8, 4, 0)
    assert whole.day["statistics"] == FLAWED_STATISTICS
    again = program.run("--date", DAY, "--json", TEST_APP_MODE="true")
    assert again.counts == (3, 0, 0, 3, 0, 0, 0)
    assert again.day["mode"] == "test"
    assert again.day["statistics"] == finished.day["statistics"]
    assert (again.day["sheet"], again.day["mail"]) == ("unchanged", "unchanged")


def test_today_is_loaded_up_to_now_and_never_called_complete(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer
) -> None:
    """A day that is not over asks for no moment of the future, says complete: false and PARTIAL."""
    program.use(google, mail_server)
    # a zone where it is about noon: no midnight comes in between
    zone = f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"
    now = datetime.now(ZoneInfo(zone))
    midnight = datetime(now.year, now.month, now.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    events_api.serve([make_event(created_at=f"{midnight + timedelta(minutes=1):%Y-%m-%d %H:%M:%S}")])

    finished = program.run("--date", "today", "--json", TIMEZONE=zone)

    assert finished.code == 0
    assert (finished.day["date"], finished.day["complete"]) == (now.date().isoformat(), False)
    assert (finished.day["mode"], finished.day["status"], finished.day["loaded"]) == ("full", "ok", 1)
    asked = [request.end for request in events_api.requests if request.end]
    assert now <= max(asked).replace(tzinfo=UTC) <= datetime.now(UTC)
    assert min(request.start for request in events_api.requests if request.start).replace(tzinfo=UTC) == midnight
    assert "PARTIAL" in subject_of(mail_server)
    assert google.spreadsheet.titles() == ["Sheet1", "Day", "History", "Courses and tasks"]
    assert "PARTIAL" in repr(google.spreadsheet.sheet("History").grid()[1])
    assert mail_server.messages[0].recipients == RECIPIENTS


@pytest.mark.parametrize(
    ("zone", "day", "start", "hours"),
    [
        ("Asia/Vladivostok", "2023-04-01", datetime(2023, 3, 31, 14, tzinfo=UTC), 24),
        ("Europe/Berlin", "2023-03-26", datetime(2023, 3, 25, 23, tzinfo=UTC), 23),
        ("Europe/Berlin", "2023-10-29", datetime(2023, 10, 28, 22, tzinfo=UTC), 25),
        ("Asia/Kathmandu", "2023-04-01", datetime(2023, 3, 31, 18, 15, tzinfo=UTC), 24),
    ],
    ids=["ahead of UTC", "23 hours", "25 hours", "not on the hour"],
)
def test_day_is_the_calendar_day_of_the_zone(
    program: Program, events_api: EventsServer, database_url: str, zone: str, day: str, start: datetime, hours: int
) -> None:
    """The windows touch and cover the day of TIMEZONE, no more and no less, also when the clocks change."""
    end = start + timedelta(hours=hours)
    microsecond = timedelta(microseconds=1)
    moments = [start - microsecond, start, end - microsecond, end]
    events_api.serve([make_event(created_at=f"{moment:%Y-%m-%d %H:%M:%S.%f}") for moment in moments])

    finished = program.run("--date", day, "--json", TIMEZONE=zone, API_WINDOW_MINUTES="420")

    assert finished.code == 0
    assert (finished.day["date"], finished.day["received"], finished.day["loaded"]) == (day, 2, 2)
    asked = sorted((request.start, request.end) for request in events_api.requests if request.start and request.end)
    assert (asked[0][0], asked[-1][1]) == (start.replace(tzinfo=None), end.replace(tzinfo=None))
    assert [left[1] for left in asked[:-1]] == [right[0] for right in asked[1:]]
    assert table_rows(database_url, "SELECT created_at FROM lms_activities ORDER BY 1") == [
        (start,),
        (end - microsecond,),
    ]


@pytest.mark.parametrize("inclusive", [True, False], ids=["end inclusive", "end exclusive"])
def test_both_readings_of_the_excluded_end_give_the_same_rows(
    program: Program, events_api: EventsServer, database_url: str, inclusive: bool
) -> None:
    """An event exactly at the end of a window is counted once, in the next one, however the source reads `end`."""
    moments = ("00:00:00", "04:00:00", "08:00:00.000000", "23:59:59.999999")
    events_api.serve(
        [*(run_event(ANNA, moment) for moment in moments), make_event(created_at="2023-04-02 00:00:00")],
        inclusive_end=inclusive,
    )

    finished = program.run("--date", DAY, "--json")

    assert finished.counts == (4, 4, 0, 0, 0, 0, 0)
    assert table_rows(database_url, "SELECT count(*) FROM lms_activities") == [(4,)]


def test_event_outside_the_asked_window_is_rejected(
    program: Program, events_api: EventsServer, database_url: str
) -> None:
    """What the source sends unasked is not loaded, but kept in quarantine."""
    events_api.answer(DAY, [make_event(created_at="2023-03-31 23:59:59.999999"), run_event(ANNA, "00:00:00")])

    finished = program.run("--date", DAY, "--json")

    assert finished.counts == (2, 1, 0, 0, 1, 0, 0)
    assert [row[0] for row in table_rows(database_url, QUARANTINE)] == ["outside_window"]


def test_range_runs_every_day_oldest_first_and_a_failing_day_does_not_stop_the_others(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer, database_url: str
) -> None:
    """A range gives an object a day, the worst code, one letter with the last day; the others say "skipped"."""
    program.use(google, mail_server)
    program.settings |= {"API_WINDOW_MINUTES": "1440", "API_ATTEMPTS": "1"}
    events_api.serve([event for day in (1, 2, 3) for event in make_events(4, date(2023, 4, day))])
    events_api.script([html()], start="2023-04-02")

    finished = program.run("--from", DAY, "--to", "2023-04-03", "--json")

    assert finished.code == 1
    assert [(day["date"], day["status"], day["loaded"]) for day in finished.days] == [
        (DAY, "ok", 4),
        ("2023-04-02", "failed", None),
        ("2023-04-03", "ok", 4),
    ]
    assert [day["mail"] for day in finished.days] == ["skipped", "skipped", "sent"]
    assert [day["sheet"] for day in finished.days] == ["updated", "skipped", "updated"]
    assert [(row[0], row[2]) for row in table_rows(database_url, LEDGER)] == [
        (DAY, "ok"),
        ("2023-04-02", "failed"),
        ("2023-04-03", "ok"),
    ]
    assert len(mail_server.messages) == 1
    assert subject_of(mail_server) == "Learning from 1 April 2023 to 3 April 2023: 1 day failed"
    told = letter_text(mail_server)
    assert "--date 2023-04-02" in told
    assert "1 April 2023" in told
    assert "3 April 2023" in told
    assert [row[0] for row in google.spreadsheet.sheet("History").grid()[1:]] == [45017, 45019]

    second = program.run("--from", "2023-04-02", "--to", "2023-04-03", "--json")
    assert second.code == 0
    assert [(day["loaded"], day["sheet"]) for day in second.days] == [(4, "updated"), (0, "unchanged")]
    assert [day["mail"] for day in second.days] == ["skipped", "sent"]
    third = program.run("--from", DAY, "--to", "2023-04-02", "--json")
    assert [(day["sheet"], day["mail"]) for day in third.days] == [("unchanged", "skipped"), ("unchanged", "unchanged")]
    assert len(mail_server.messages) == 2


def test_range_whose_last_day_fails_still_sends_its_letter(
    program: Program, events_api: EventsServer, mail_server: SmtpServer
) -> None:
    """The letter of a range does not depend on the last day's success."""
    program.use(mail_server)
    program.settings |= {"API_WINDOW_MINUTES": "1440", "API_ATTEMPTS": "1"}
    events_api.serve(make_events(4))
    events_api.script([html()], start="2023-04-02")

    finished = program.run("--from", DAY, "--to", "2023-04-02", "--json")

    assert finished.code == 1
    assert [(day["status"], day["mail"]) for day in finished.days] == [("ok", "skipped"), ("failed", "sent")]
    assert len(mail_server.messages) == 1


def test_reset_empties_the_table_once_a_command_with_the_first_day_that_brings_events(
    program: Program, events_api: EventsServer, database_url: str
) -> None:
    """A reset happens in the transaction of the first load of the command that has events, and not again."""
    program.settings |= {"API_WINDOW_MINUTES": "1440", "API_ATTEMPTS": "1", "DB_MAIN_TABLE_OPEN_RESET": "true"}
    days = "SELECT created_at::date::text, count(*) FROM lms_activities GROUP BY 1 ORDER BY 1"
    events_api.serve([event for day in (1, 2, 3) for event in make_events(3, date(2023, 4, day))])
    assert program.run("--date", DAY, "--json").counts == (3, 3, 0, 0, 0, 0, 0)

    # the day again: it is emptied and loaded anew
    assert program.run("--date", DAY, "--json").counts == (3, 3, 0, 0, 0, 0, 0)
    # in a range the first day is down, the second brings events and empties the table, the third does not
    events_api.script([html()], start=DAY)
    finished = program.run("--from", DAY, "--to", "2023-04-03", "--json")

    assert finished.code == 1
    assert [day["loaded"] for day in finished.days] == [None, 3, 3]
    assert table_rows(database_url, days) == [("2023-04-02", 3), ("2023-04-03", 3)]


def test_reset_is_refused_where_the_source_sent_nothing(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer, database_url: str
) -> None:
    """A source without events empties no table: 1, the table and the sheet as they were, a letter tells of it."""
    program.use(google, mail_server)
    events_api.serve(make_events(3))
    program.run("--date", DAY)
    before, sheet = table_rows(database_url, VERSIONS), repr(google.spreadsheet)

    finished = program.run("--date", "2023-04-02", "--json", DB_MAIN_TABLE_OPEN_RESET="true")

    assert finished.code == 1
    assert (finished.day["status"], finished.day["sheet"], finished.day["mail"]) == ("failed", "skipped", "sent")
    assert table_rows(database_url, VERSIONS) == before
    assert repr(google.spreadsheet) == sheet
    assert [row[2] for row in table_rows(database_url, LEDGER)] == ["ok", "failed"]


@pytest.mark.parametrize("way", ["option", "setting"])
def test_reset_is_refused_in_test_mode(program: Program, events_api: EventsServer, database_url: str, way: str) -> None:
    """A test run never empties the table: wrong usage, nothing is started."""
    events_api.serve(make_events(24))
    arguments, changes = (["--test"], {}) if way == "option" else ([], {"TEST_APP_MODE": "true"})

    finished = program.run("--date", DAY, "--json", *arguments, DB_MAIN_TABLE_OPEN_RESET="true", **changes)

    assert finished.code == 2
    assert "DB_MAIN_TABLE_OPEN_RESET" in finished.err
    assert events_api.requests == []
    assert table_rows(database_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


def test_second_run_of_a_day_waits_for_the_first_and_finds_everything_present(
    program: Program, events_api: EventsServer, mail_server: SmtpServer, database_url: str, sign: Sign
) -> None:
    """Two runs of one day at once: one works, the other waits for the whole of it, then nothing is left to do."""
    program.use(mail_server)
    program.settings["API_WINDOW_MINUTES"] = "1440"
    events_api.serve(make_events(30))
    events_api.script([held(sign)])

    first = program.start("--date", DAY, "--json")
    eventually(lambda: len(events_api.requests) == 1)
    second = program.start("--date", DAY, "--json")
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'learning-events-etl'"
    eventually(lambda: table_rows(database_url, waiting) == [(2,)])
    sign.set()
    outcomes = [first.finish(), second.finish()]

    assert [outcome.code for outcome in outcomes] == [0, 0]
    assert [outcome.counts for outcome in outcomes] == [(30, 30, 0, 0, 0, 0, 0), (30, 0, 0, 30, 0, 0, 0)]
    assert [outcome.day["mail"] for outcome in outcomes] == ["sent", "unchanged"]
    assert len(mail_server.messages) == 1
    assert [row[2] for row in table_rows(database_url, LEDGER)] == ["ok", "ok"]


def test_different_days_at_once_do_not_disturb_each_other(
    program: Program, events_api: EventsServer, database_url: str
) -> None:
    """Runs of different days wait for nothing but the schema, which the first one makes."""
    events_api.serve([event for day in (1, 2, 3) for event in make_events(5, date(2023, 4, day))])

    under_way = [program.start("--date", f"2023-04-0{day}", "--json") for day in (1, 2, 3)]
    outcomes = [running.finish() for running in under_way]

    assert [outcome.code for outcome in outcomes] == [0, 0, 0]
    assert [outcome.day["loaded"] for outcome in outcomes] == [5, 5, 5]
    assert table_rows(database_url, "SELECT count(*) FROM lms_activities") == [(15,)]


def test_summary_for_people_tells_the_same_as_the_object(
    program: Program, events_api: EventsServer, google: GoogleStandIn
) -> None:
    """Without --json the summary stands on standard output, in the chosen language, with where everything lies."""
    program.use(google)
    events_api.serve(flawed_day())

    english = program.run("--date", DAY)
    russian = program.run("--date", DAY, CURR_LANG="RUSSIAN")

    assert (english.code, russian.code) == (0, 0)
    words = " ".join(english.out.split())
    assert (
        "Received 21 Loaded 10 Corrected 0 Already present 3 Rejected 8 With defects 4 Missing at the source 0" in words
    )
    assert "Unique students 3 Code runs 5 Submits 5 Successful submits 3" in words
    assert str(program.reports / f"{DAY}.html") in english.out
    assert "https://docs.google.com/spreadsheets/d/" in english.out
    assert "1 апреля 2023" in russian.out
    assert "Learning" not in russian.out
    page = (program.reports / f"{DAY}.html").read_text("utf-8")
    assert '<html lang="ru"' in page


def test_log_numbers_rejected_and_defective_events_and_tells_no_more_of_students_than_it_must(
    program: Program, events_api: EventsServer
) -> None:
    """Each run has a log of its own: every reject with number and reason, ids shortened, at most so many kept."""
    events_api.serve(flawed_day())
    program.settings |= {"MAX_NUM_LOGS_FILES": "2", "LOG_EVERY_INCOMING_LINE": "true"}
    program.logs.mkdir()
    (program.logs / "foreign.log").write_text("not ours", "utf-8")

    for _ in range(3):
        assert program.run("--date", DAY).code == 0

    names = sorted(path.name for path in program.logs.iterdir())
    assert len([name for name in names if name.startswith("etl_")]) == 2
    assert "foreign.log" in names
    log = program.last_log
    for reason in set(FLAWED_REASONS):
        assert f"rejected: {reason}" in log
    assert ANNA not in log
    assert ANNA[:6] in log
    assert log.count("has defects") == 4


def test_hostile_texts_from_the_source_reach_neither_sheet_nor_letter_nor_page(
    program: Program,
    events_api: EventsServer,
    google: GoogleStandIn,
    mail_server: SmtpServer,
    database_url: str,
) -> None:
    """Only numbers, dates and our own words are shown; the table holds what was sent, letter by letter."""
    program.use(google, mail_server)
    evil = '=HYPERLINK("http://evil.example/")<script>\u202e\u001b[31m\'; DROP TABLE lms_activities;--\\N\t\r\n'
    events_api.serve(
        [
            run_event(ANNA, "10:00:00.000001", passback_params=make_passback(ANNA, oauth_consumer_key=evil)),
            run_event(ANNA, "10:00:00.000002", passback_params=make_passback(ANNA, lis_outcome_service_url=evil)),
            run_event(ANNA, "10:00:00.000003", attempt_type=evil),
        ]
    )

    finished = program.run("--date", DAY)

    assert finished.code == 0
    assert table_rows(database_url, "SELECT oauth_consumer_key FROM lms_activities ORDER BY created_at LIMIT 1") == [
        (evil,)
    ]
    for place, text in program.places():
        if "table" not in place:
            assert "evil.example" not in text, place
            assert "\u001b[31m" not in text, place


def test_every_spelling_of_the_contract_is_read_and_every_other_rejected(
    program: Program, events_api: EventsServer, database_url: str
) -> None:
    """Times with `T`, `Z` or an offset become UTC; results may be numbers or booleans; all else is refused."""
    times = {
        "2023-04-01 01:00:00": "01:00:00",
        "2023-04-01T02:00:00.1": "02:00:00.1",
        "2023-04-01T03:00:00.123456Z": "03:00:00.123456",
        "2023-04-01 07:30:00+03:30": "04:00:00",
        "2023-03-31T23:00:00-06:00": "05:00:00",
        "2023-04-01 06:00": None,
        "2023-04-01 06:00:00.1234567": None,
        "2023-04-01 06:00:00 UTC": None,
        "20230401T060000": None,
        "2023-02-29 06:00:00": None,
        "06:00:00 2023-04-01": None,
        "": None,
    }
    wrong_results = [2, -1, "1", 1.5, "true", []]
    good = [make_event(created_at=time) for time in times]
    good += [submit(ANNA, f"10:00:0{i}", value) for i, value in enumerate([0, 1, True, False])]
    refused = [submit(ANNA, f"11:00:0{i}", value) for i, value in enumerate(wrong_results)]
    events_api.answer(DAY, [*good, *refused])

    finished = program.run("--date", DAY, "--json", API_WINDOW_MINUTES="1440")

    assert finished.counts == (22, 9, 0, 0, 13, 0, 0)
    rows = table_rows(database_url, "SELECT created_at FROM lms_activities WHERE attempt_type = 'run' ORDER BY 1")
    read = [time for time in times.values() if time]
    assert [row[0] for row in rows] == [datetime.fromisoformat(f"{DAY} {time}+00:00") for time in sorted(read)]
    states = "SELECT is_correct FROM lms_activities WHERE attempt_type = 'submit' ORDER BY created_at"
    assert [row[0] for row in table_rows(database_url, states)] == [False, True, True, False]


def test_length_of_a_user_id_is_a_setting(program: Program, events_api: EventsServer) -> None:
    """An id of just that length is good, the usual one is then too long."""
    events_api.serve(
        [run_event("abc-1234", "10:00:00"), run_event(ANNA, "10:00:01"), run_event("abc 1234", "10:00:02")]
    )

    finished = program.run("--date", DAY, "--json", LENGTH_OF_USER_ID_FIELD="8")

    assert finished.counts == (3, 1, 0, 0, 2, 0, 0)
