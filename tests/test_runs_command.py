"""`runs`: the calendar of days in the terminal, every run of a day, the ledger for scripts."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from app_types import DailyStatistics, Language, RunStatus
from console.calendar import Sign, calendar_of, show_calendar, sign_of
from console.terminal import Terminal
from messages import Messages
from pipeline.plan import is_settled
from tests.support.events_api import hang_before_headers, html, make_event, make_events
from tests.support.program import DAY, eventually
from warehouse.calendar import KnownDay

if TYPE_CHECKING:
    from tests.support.events_api import EventsServer
    from tests.support.program import Program

FIGURES = DailyStatistics(4, 3, 2, 1)


def known(
    day: date = date(2023, 4, 1),
    *,
    loaded: bool = True,
    whole: bool = True,
    empty: bool = False,
    last: RunStatus | None = RunStatus.OK,
    revision: int = 1,
    ended: bool = True,
) -> KnownDay:
    """Return a day as ledger and revisions know it."""
    return KnownDay(day, loaded, whole and loaded, empty, last, revision, FIGURES if loaded else None, ended)


# Signs


@pytest.mark.parametrize(
    ("day", "sign", "settled"),
    [
        (known(), Sign.DONE, True),
        (known(revision=2), Sign.CORRECTED, True),
        (known(empty=True), Sign.EMPTY, True),
        (known(whole=False), Sign.PARTIAL, False),
        (known(last=RunStatus.PARTIAL), Sign.TROUBLE, True),
        (known(last=RunStatus.PARTIAL, ended=False), Sign.TROUBLE, False),
        (known(last=RunStatus.FAILED), Sign.TROUBLE, False),
        (known(last=RunStatus.INTERRUPTED, revision=3), Sign.TROUBLE, False),
        (known(loaded=False, last=RunStatus.FAILED), Sign.FAILED, False),
        (known(loaded=False, last=RunStatus.INTERRUPTED), Sign.INTERRUPTED, False),
        (known(whole=False, last=RunStatus.FAILED), Sign.PARTIAL, False),
    ],
    ids=lambda value: value.name if isinstance(value, Sign) else "",
)
def test_last_load_of_a_day_decides_its_sign_and_whether_it_needs_a_run(
    day: KnownDay, sign: Sign, *, settled: bool
) -> None:
    """A run that failed later takes nothing away, but is to be repeated; a sheet that failed is no reason to fetch."""
    assert (sign_of(day), is_settled(day)) == (sign, settled)


def test_days_between_are_never_run_and_today_is_not_missing() -> None:
    """What is not known of a past day is that it was not run; today may still come."""
    today = date(2023, 4, 5)

    calendar = calendar_of([known()], date(2023, 4, 1), today, today)

    assert [calendar.signs.get(date(2023, 4, number)) for number in range(1, 6)] == [
        Sign.DONE,
        *[Sign.NEVER] * 3,
        None,
    ]
    assert calendar.lacking == [date(2023, 4, number) for number in (2, 3, 4)]


# The grid


def drawn(width: int, *, language: Language = Language.ENGLISH, encoding: str = "utf-8") -> list[str]:
    """Return the lines of a calendar of April to June 2023."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace")
    days = [known(), known(date(2023, 4, 2), loaded=False, last=RunStatus.FAILED), known(date(2023, 5, 31))]
    today = date(2023, 6, 2)
    terminal = Terminal(stream, width=width)
    show_calendar(terminal, calendar_of(days, date(2023, 4, 1), today, today), Messages(language))
    stream.flush()
    return raw.getvalue().decode(encoding).splitlines()


def test_months_stand_side_by_side_weeks_begin_on_monday() -> None:
    """1 April 2023 was a Saturday; every day has its sign right beside its number."""
    lines = drawn(92)

    assert re.fullmatch(r"April 2023 +May 2023 +June 2023 *", lines[0])
    assert lines[1].split() == ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"] * 3
    assert lines[2].index("1✓") == lines[1].index("Sa") + 1
    assert lines[2].index("2✗") == lines[1].index("Su") + 1
    assert " 3-" in lines[3]
    assert "31✓" in lines[6]
    assert not any("3" in line[62:66] for line in lines[2:4])  # days to come are left blank


@pytest.mark.parametrize("width", [27, 40, 61, 80, 92, 120])
def test_grid_keeps_to_the_width_of_the_terminal(width: int) -> None:
    """As many months beside each other as there is room for; one at least."""
    lines = drawn(width)

    assert max(map(len, lines)) <= max(width, 27)
    assert lines[0].count("2023") == min(3, (width + 4) // 31)


def test_calendar_speaks_russian() -> None:
    """Months and days of the week are named, the week is the same."""
    lines = drawn(92, language=Language.RUSSIAN)

    assert re.fullmatch(r"Апрель 2023 +Май 2023 +Июнь 2023 *", lines[0])
    assert lines[1].split()[:7] == ["пн", "вт", "ср", "чт", "пт", "сб", "вс"]


def test_terminal_without_other_letters_gets_signs_of_ascii() -> None:
    """A grid of escaped characters could not be read."""
    lines = drawn(92, encoding="ascii")

    assert "1v" in lines[2]
    assert "2x" in lines[2]
    assert not any("\\" in line for line in lines)


def test_legend_explains_every_sign_and_counts_the_days() -> None:
    """Nobody needs to remember them, nor to see colours."""
    legend = " ".join(drawn(92)[8:])

    for sign in Sign:
        assert f"{sign} " in legend
    assert "✓ whole day 2" in legend
    assert "✗ failed 1" in legend
    assert "- never run 59" in legend


# The command


def test_calendar_names_the_command_that_runs_what_is_missing(program: Program, events_api: EventsServer) -> None:
    """The days that are known, however long ago, and how many came after them; the command does what it promises."""
    program.settings["API_WINDOW_MINUTES"] = "1440"
    events_api.serve(make_events(5))
    program.run("--date", DAY)
    program.run("--date", "2023-04-04")

    told = program.run("runs").out

    assert "April 2023" in told
    assert "1✓" in told
    assert "2-" in told
    assert "4 April 2023, up to yesterday, were never run." in told
    command = told.split("To run what is missing:\n")[1].splitlines()[0]
    repeated = program.run(*command.split("data_processor.py ")[1].split(), "--json")
    assert [day["date"] for day in repeated.days] == ["2023-04-02", "2023-04-03"]
    assert "To run what is missing" not in program.run("runs").out


def test_calendar_of_chosen_days_shows_them_alone(program: Program, events_api: EventsServer) -> None:
    """--from and --to, or the last days; no table of runs below."""
    events_api.serve(make_events(5))
    program.run("--date", DAY)

    chosen = program.run("runs", "--from", "2023-03-30", "--to", "2023-04-02").out
    last = program.run("runs", "--days", "2").out

    assert "March 2023" in chosen
    assert "30-" in chosen
    assert "1✓" in chosen
    assert " 3 " not in chosen.split("whole day")[0]
    assert "Begun" not in chosen
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    assert f"{yesterday.day}-" in last
    assert "never run 2" in last


def test_day_is_told_run_by_run_with_revisions_and_quarantine(program: Program, events_api: EventsServer) -> None:
    """Every run in order with its counts, what went wrong, the figures' revisions, and where the rejects are."""
    program.settings |= {"API_WINDOW_MINUTES": "1440", "API_ATTEMPTS": "1", "TIMEZONE": "Europe/Moscow"}
    day = "2023-04-02"
    events_api.answer("2023-04-01 21:00:00", [*make_events(5, date(2023, 4, 2)), make_event(lti_user_id="short")])
    program.run("--date", day)
    events_api.answer("2023-04-01 21:00:00", [*make_events(9, date(2023, 4, 2)), make_event(lti_user_id="short")])
    program.run("--date", day, "--no-mail")
    events_api.script([html()])
    program.run("--date", day)
    program.run("--date", "2023-04-03")

    told = program.run("runs", "--date", day).out
    nothing = program.run("runs", "--date", "2023-04-09")

    assert "Runs of 2 April 2023 (times: Europe/Moscow)" in told
    rows = [line.split() for line in told.splitlines() if re.match(r" +\d+ +20", line)]
    assert [row[0] for row in rows[:3]] == ["1", "2", "3"]
    assert rows[0][-4:] == ["6", "5", "0", "1"]
    assert "failed" in rows[2]
    assert "№ 3: " in told
    assert "web page" in told
    assert told.startswith("Runs of")  # no line of the log before it
    assert re.search(
        r"№ 2: already present: \d; with defects: 0; missing at the source: \d; Google Sheet: left out", told
    )
    assert [row[0] for row in rows[3:]] == ["1", "2"]
    assert f"data_processor.py rejected --date {day}" in told
    assert "2023-04-03" not in told
    assert (nothing.code, nothing.out.count("9 April 2023 was never run.")) == (0, 1)


def test_run_under_way_is_shown_as_such(program: Program, events_api: EventsServer) -> None:
    """Neither done nor failed, and without an end."""
    events_api.script([hang_before_headers()])
    running = program.start("--date", DAY)
    eventually(lambda: events_api.requests)

    told = program.run("runs", "--date", DAY)
    running.kill()

    assert told.code == 0
    assert "at work" in told.out


def test_script_gets_the_runs_it_asks_for(program: Program, events_api: EventsServer) -> None:
    """An object for each run, the newest first; of a day or a range where one is named, else the last ones."""
    program.settings["API_WINDOW_MINUTES"] = "1440"
    events_api.serve(make_events(5))
    program.run("--from", DAY, "--to", "2023-04-03")

    def runs(*arguments: str) -> list[str]:
        lines = program.run("runs", "--json", *arguments).out.splitlines()
        return [json.loads(line)["date"] for line in lines]

    assert runs() == ["2023-04-03", "2023-04-02", DAY]
    assert runs("--date", DAY) == [DAY]
    assert runs("--from", DAY, "--to", "2023-04-02") == ["2023-04-02", DAY]
    assert runs("--days", "3") == []
