"""The contract, black box: the conversation in a real terminal, and dates that come through a pipe."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.support.events_api import hang_before_headers, make_events
from tests.support.program import DAY, Program, eventually, table_rows

if TYPE_CHECKING:
    from tests.support.events_api import EventsServer

LEDGER = "SELECT process_date::text, status FROM etl_runs ORDER BY id"


def noon_zone() -> str:
    """Return a zone where it is about noon, so that no midnight comes in between."""
    return f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"


def noon_today() -> str:
    """Return the date in that zone."""
    now = datetime.now(UTC)
    return (now - timedelta(hours=now.hour - 12)).date().isoformat()


def noon_yesterday() -> str:
    """Return the date before it."""
    return (datetime.fromisoformat(noon_today()) - timedelta(days=1)).date().isoformat()


@pytest.mark.parametrize("language", ["RUSSIAN", "ENGLISH"])
def test_operator_is_greeted_asked_again_after_wrong_input_and_served(
    program: Program, events_api: EventsServer, database_url: str, language: str
) -> None:
    """The question is asked in the chosen language, wrong input is explained, then all goes on without questions."""
    russian = language == "RUSSIAN"
    question = "За какой день?" if russian else "Which day?"
    events_api.serve(make_events(30))

    session = program.terminal(CURR_LANG=language, TIMEZONE=noon_zone())
    session.wait_for(question)
    assert noon_yesterday() in session.screen
    assert ("выход" if russian else "exit") in session.screen
    for wrong, explained in [
        ("завтра\r", "ГГГГ-ММ-ДД" if russian else "YYYY-MM-DD"),
        ("2023-02-30\r", "2023-02-30"),
        ("9999-01-01\r", "9999"),
    ]:
        session.type(wrong)
        session.wait_for("✗")
        session.wait_for(question)
        assert explained in session.screen.rsplit("✗", 1)[1]
    session.type(f" {DAY} \r")
    finished = session.finish()

    assert finished.code == 0
    assert table_rows(database_url, LEDGER) == [(DAY, "ok")]
    assert "30" in finished.out
    # the bar: windows done, events so far, speed
    assert ("окна: 6 из 6" if russian else "windows 6 of 6") in finished.out
    assert ("1 апреля 2023" if russian else "1 April 2023") in finished.out
    assert (str(program.reports / f"{DAY}.html")) in finished.out.replace("\r\n", "")


@pytest.mark.parametrize(
    ("typed", "day"),
    [
        ("\r", "yesterday"),
        ("  \r", "yesterday"),
        ("вчера\r", "yesterday"),
        ("Yesterday\r", "yesterday"),
        ("сегодня\r", "today"),
        ("TODAY\r", "today"),
    ],
)
def test_enter_is_yesterday_and_days_have_names_in_both_languages(
    program: Program, database_url: str, typed: str, day: str
) -> None:
    """Yesterday and today are those of TIMEZONE."""
    session = program.terminal("--json", TIMEZONE=noon_zone(), API_WINDOW_MINUTES="1440")
    session.wait_for("Which day?")

    session.type(typed)
    finished = session.finish()

    assert finished.code == 0
    expected = noon_yesterday() if day == "yesterday" else noon_today()
    assert table_rows(database_url, LEDGER) == [(expected, "ok")]
    assert f'"date": "{expected}"' in finished.out


@pytest.mark.parametrize(
    ("typed", "code"),
    [("exit\r", 0), ("ВЫХОД\r", 0), (" Exit \r", 0), ("\x04", 0), ("\x03", 130)],
    ids=["exit", "ВЫХОД", "Exit", "Ctrl-D", "Ctrl-C"],
)
def test_operator_may_leave_without_a_date(
    program: Program, events_api: EventsServer, database_url: str, typed: str, code: int
) -> None:
    """Leaving is no fault, breaking off is 130; either way nothing was done and no log is left."""
    session = program.terminal()
    session.wait_for("]: ")
    time.sleep(0.3)  # nobody breaks off within microseconds of the question, when Python has not begun to listen

    session.type(typed)
    finished = session.finish()

    assert finished.code == code
    assert events_api.requests == []
    assert not program.logs.exists()
    assert table_rows(database_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


def test_ctrl_c_at_work_is_answered_with_one_line(
    program: Program, events_api: EventsServer, database_url: str
) -> None:
    """The key itself, in a terminal: 130, nothing half-done, one line with the command to repeat."""
    events_api.always(hang_before_headers())
    session = program.terminal("--date", DAY, CURR_LANG="RUSSIAN")
    eventually(lambda: events_api.requests)

    session.type("\x03")
    finished = session.finish(10)

    assert finished.code == 130
    assert table_rows(database_url, LEDGER) == [(DAY, "interrupted")]
    assert table_rows(database_url, "SELECT count(*) FROM lms_activities") == [(0,)]
    assert finished.out.count("✗") == 1
    assert f"--date {DAY}" in finished.out.rsplit("✗", 1)[1]


@pytest.mark.parametrize(
    ("typed", "code", "day"),
    [
        (f"{DAY}\n", 0, DAY),
        (DAY, 0, DAY),
        (f"{DAY}\r\n", 0, DAY),
        (f"nonsense\n{DAY}\n", 0, DAY),
        ("\n", 0, "yesterday"),
        ("вчера\n", 0, "yesterday"),
        ("exit\n", 0, None),
        ("выход\n", 0, None),
        ("nonsense\n", 2, None),
        ("2023-02-30\n", 2, None),
        ("", 2, None),
    ],
    ids=repr,
)
def test_piped_date_works_as_in_a_terminal(
    program: Program, events_api: EventsServer, database_url: str, typed: str, code: int, day: str | None
) -> None:
    """A date may come through a pipe, also after a wrong one; no date at all is wrong usage that names --date."""
    finished = program.run("--json", typed=typed, TIMEZONE=noon_zone(), API_WINDOW_MINUTES="1440")

    assert finished.code == code
    if day:
        assert finished.day["date"] == (noon_yesterday() if day == "yesterday" else day)
        return
    assert finished.out == ""
    assert events_api.requests == []
    assert not program.logs.exists()
    if code == 2:
        assert "--date" in finished.err


def test_piped_bytes_that_are_no_text_are_wrong_input(program: Program, events_api: EventsServer) -> None:
    """What cannot be decoded is refused like any other nonsense."""
    finished = program.run("--json", typed="\udcff\udcfe\0\n")
    then_right = program.run("--json", typed=f"\udcff\udcfe\0\n{DAY}\n")

    assert (finished.code, then_right.code) == (2, 0)
    assert "--date" in finished.err
    assert then_right.day["date"] == DAY


def test_endless_nonsense_is_refused_in_the_end(program: Program) -> None:
    """A file piped in by mistake is not read to its end."""
    finished = program.run("--json", typed="nonsense\n" * 10_000)

    assert (finished.code, finished.out) == (2, "")
    assert finished.err.count("nonsense") == 10


def test_report_asks_for_its_day_too(program: Program, events_api: EventsServer) -> None:
    """`report` without a date asks like a run."""
    events_api.serve(make_events(5))
    program.run("--date", DAY)

    finished = program.run("report", "--json", typed=f"{DAY}\n")

    assert (finished.code, finished.day["date"], finished.day["received"]) == (0, DAY, 5)
