"""The calendar: what became of every day, as the database knows it and as `index.html` shows it."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast
from zoneinfo import ZoneInfo

import pytest

from app_types import DailyStatistics, Figures, Language, MailOutcome, Mode, PublishedDay, RunStatus, SheetOutcome
from exceptions import ReportError
from messages import Messages
from pipeline.calendar import refresh_calendar, state_of, write_calendar
from report import tables
from report.calendar import OPEN_MONTHS, SHOWN_MONTHS, CalendarDay, DayState, Trend, write_index
from report.page import write_page
from tests.support.events_api import make_events
from tests.support.loading import APRIL_1, make_day, make_event
from tests.support.pages import accessibility_faults, read_page
from tests.support.reports import STATISTICS, a_day, report_on
from warehouse import ledger, revisions
from warehouse.calendar import KnownDay, days

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.job import Job
    from tests.support.events_api import EventsServer
    from tests.support.loading import Warehouse
    from tests.support.pages import Element
    from tests.support.program import Program

ZONE = ZoneInfo("Europe/Moscow")
NOON = datetime(2023, 4, 20, 12, 5, tzinfo=ZONE)
NOTHING = DailyStatistics(0, 0, 0, 0)
LONG_AGO, FAR_AHEAD = date(2000, 1, 1), date(2100, 1, 1)


@pytest.fixture(params=list(Language), ids=lambda language: language.name.lower())
def messages(request: pytest.FixtureRequest) -> Messages:
    """Speak each language in turn."""
    return Messages(request.param)


def done(day: date, statistics: DailyStatistics = STATISTICS) -> CalendarDay:
    """Return a day that went well."""
    return CalendarDay(day, DayState.DONE, statistics)


def april(number: int) -> date:
    """Return a day of April 2023, which began on a Saturday."""
    return date(2023, 4, number)


def trend_of(known: Sequence[CalendarDay], messages: Messages) -> Trend:
    """Return the trend up to the last of the days."""
    *past, last = [PublishedDay(day.date, 1, True, day.statistics, None) for day in known if day.statistics]
    day = a_day(last.date)
    volume, success = tables.trend_charts(day, last.statistics, past, messages)
    return Trend(volume, success, tables.trend_table(day, last.statistics, past, messages))


def drawn(
    known: Sequence[CalendarDay],
    folder: Path,
    messages: Messages | None = None,
    *,
    trend: Trend | None = None,
    now: datetime = NOON,
) -> Element:
    """Write the calendar and read it."""
    messages = messages or Messages(Language.ENGLISH)
    return read_page(write_index(known, trend, folder, messages=messages, prepared_at=now))


def box(page: Element, day: date) -> Element:
    """Return the box of a day that something is said of."""
    words = Messages(Language(page.the("html").attributes["lang"])).date(day)
    return next(cell for cell in page.all("td") if cell.attributes.get("title", "").startswith(f"{words}: "))


def state_in(cell: Element) -> set[str]:
    """Return the states that a box has: by its colour, and by its sign."""
    signs = {use.attributes["href"].removeprefix("#sign-") for use in cell.all("use")}
    return (cell.classes - {"today"}) | signs


def month_titles(page: Element) -> list[str]:
    """Return the months in the order of the page."""
    return [month.the("h3").text for month in page.all("table", class_="month")]


# What it shows


def test_weeks_begin_on_monday_in_both_languages(messages: Messages, tmp_path: Path) -> None:
    """The first of April 2023 stands under Saturday, the sixth column, whatever a language's own habit is."""
    page = drawn([done(april(1))], tmp_path, messages)
    month = page.the("table", class_="month")
    heads = [head.all("span", class_="hidden")[0].text for head in month.all("th")]
    first_week = month.the("tbody").all("tr")[0].all("td")

    assert heads[0].lower() in {"monday", "понедельник"}
    assert heads[6].lower() in {"sunday", "воскресенье"}
    assert [bool(cell.parts) for cell in first_week] == [False] * 5 + [True] * 2
    assert first_week[5] is box(page, april(1))
    assert {len(week.all("td")) for week in month.the("tbody").all("tr")} == {7}


def test_months_have_their_names(messages: Messages, tmp_path: Path) -> None:
    """Months are named as headings in the language of the report, the newest first."""
    page = drawn([done(date(2023, 2, 3)), done(date(2023, 3, 3)), done(april(3))], tmp_path, messages)
    english = ["April 2023", "March 2023", "February 2023"]
    russian = ["Апрель 2023", "Март 2023", "Февраль 2023"]

    assert month_titles(page) == (english if messages.language is Language.ENGLISH else russian)


@pytest.mark.parametrize("state", [state for state in DayState if state is not DayState.NEVER])
def test_state_is_shown_by_sign_colour_and_word(state: DayState, messages: Messages, tmp_path: Path) -> None:
    """Each state has a sign and a colour of its own, a word for those who see neither, and a place in the legend."""
    page = drawn([CalendarDay(april(3), state, STATISTICS)], tmp_path, messages)
    legend = {item.the("use").attributes["href"]: item for item in page.the("ul", class_="legend").all("li")}
    word = legend[f"#sign-{state}"].text.removesuffix(" 1")

    assert state_in(box(page, april(3))) == {state.value}
    assert word in box(page, april(3)).text
    assert word in page.the("p", class_="latest").text
    assert legend[f"#sign-{state}"].text == f"{word} 1"
    assert len(legend) == len(DayState)
    assert {symbol.attributes["id"] for symbol in page.all("symbol")} == {f"sign-{each}" for each in DayState}


def test_words_of_the_states_differ(messages: Messages, tmp_path: Path) -> None:
    """No two states are called the same."""
    page = drawn([done(april(1))], tmp_path, messages)
    words = [item.text for item in page.the("ul", class_="legend").all("li")]

    assert len(set(words)) == len(DayState)


def test_days_without_a_run_are_told_from_days_to_come(tmp_path: Path) -> None:
    """From the first known day to today, a day without a run was not processed; of others nothing is said."""
    page = drawn([done(april(10)), done(april(12))], tmp_path)
    never = [cell.attributes["title"] for cell in page.all("td", class_="never")]
    blank = [cell.text for cell in page.all("td", class_="blank")]

    assert never == [f"{day} April 2023: not processed" for day in (11, *range(13, 21))]
    assert blank == [str(day) for day in (*range(1, 10), *range(21, 31))]
    assert [item.text for item in page.the("ul", class_="legend").all("li")][-1] == "not processed 9"


def test_today_is_marked(tmp_path: Path) -> None:
    """Today is the date in the operator's zone."""
    page = drawn([done(april(3))], tmp_path, now=datetime(2023, 4, 19, 22, 30, tzinfo=UTC).astimezone(ZONE))

    assert [cell.text.split(":")[0] for cell in page.all("td", class_="today")] == ["20 April 2023"]


def test_day_shows_its_figures(messages: Messages, tmp_path: Path) -> None:
    """A box holds the students and the share of successful submits, and says them in words; an empty day has none."""
    empty = CalendarDay(april(4), DayState.EMPTY, NOTHING)
    page = drawn([done(april(3)), empty], tmp_path, messages)
    figures = [" ".join(span.text.split()) for span in page.all("span", class_="figures")]

    students = " ".join(messages.number(STATISTICS.unique_users).split())
    share = " ".join(messages.percent(STATISTICS.success_share or 0, 0).split())
    assert figures[:2] == [f"{students}{share}", ""]
    assert students in box(page, april(3)).attributes["title"].replace("\u00a0", " ")


def test_day_leads_to_its_page_where_there_is_one(tmp_path: Path) -> None:
    """A link leads to every page that lies in the folder, and to no other."""
    write_page(report_on(), tmp_path)
    write_page(report_on(a_day(april(2), mode=Mode.TEST)), tmp_path)
    page = drawn([done(april(1)), done(april(2))], tmp_path)
    links = [link.attributes["href"] for link in page.all("a")]

    assert box(page, april(1)).the("a").attributes["href"] == "2023-04-01.html"
    assert not box(page, april(2)).all("a")
    assert set(links) == {"2023-04-01.html"}
    assert all((tmp_path / link).is_file() for link in links)


def test_latest_day_stands_first(messages: Messages, tmp_path: Path) -> None:
    """Who opens the calendar reads first how the last day with figures was, and finds its page."""
    write_page(report_on(), tmp_path)
    page = drawn([done(april(1)), CalendarDay(april(2), DayState.FAILED)], tmp_path, messages)
    latest = page.the("p", class_="latest")

    assert latest.text.startswith(messages.text("Learning on %(date)s", date=april(1)))
    assert latest.the("a").attributes["href"] == "2023-04-01.html"


def test_failed_run_after_a_good_one_leaves_the_day_good(tmp_path: Path) -> None:
    """A later run that failed is told beside the state, and explained; it does not replace it."""
    page = drawn([replace(done(april(3)), last_run_failed=True), done(april(4))], tmp_path)
    cell = box(page, april(3))

    assert "done" in cell.classes
    assert cell.all("svg", class_="again")
    assert "a later run failed and changed nothing" in cell.text
    assert "A small cross: a later run" in page.text
    assert not box(page, april(4)).all("svg", class_="again")
    assert "A small cross" not in drawn([done(april(4))], tmp_path).text


def test_months_without_a_day_are_one_line(messages: Messages, tmp_path: Path) -> None:
    """Long times without a run do not fill the calendar with empty boxes."""
    known = [done(date(2022, 12, 31)), done(date(2023, 2, 1))]
    page = drawn(known, tmp_path, messages, now=datetime(2023, 6, 1, 9, 0, tzinfo=ZONE))
    gaps = [gap.text for gap in page.all("p", class_="gap")]

    assert len(month_titles(page)) == 2
    if messages.language is Language.ENGLISH:
        assert gaps == ["March 2023 – June 2023: not processed", "January 2023: not processed"]
    else:
        assert gaps == ["Март 2023 — июнь 2023: не обработано", "Январь 2023: не обработано"]


def test_old_months_are_folded_and_older_ones_left_out(tmp_path: Path) -> None:
    """The last months are open, those of a year unfold, and the calendar says where it ends."""
    known = [done(date(2021, 1, 1) + timedelta(days=number)) for number in range(840)]
    page = drawn(known, tmp_path)
    titles = month_titles(page)
    folded = page.the("details", class_="earlier")

    assert len(titles) == SHOWN_MONTHS
    assert (titles[0], titles[-1]) == ("April 2023", "April 2022")
    assert len(folded.all("table", class_="month")) == SHOWN_MONTHS - OPEN_MONTHS
    assert "Days before 1 April 2022 are not shown." in page.text
    assert page.the("table", class_="days").rows()[-1][0] == "1 April 2022"
    assert page.the("ul", class_="legend").all("li")[0].text == "whole day 385"


def test_all_days_stand_in_a_table_too(messages: Messages, tmp_path: Path) -> None:
    """What the boxes show can be read as a table, the newest day first, with the words and figures of the report."""
    write_page(report_on(), tmp_path)
    known = [done(april(1)), CalendarDay(april(2), DayState.FAILED)]
    page = drawn(known, tmp_path, messages)
    rows = page.the("table", class_="days").rows()
    content = report_on(language=messages.language)
    figures = {row.key: " ".join(row.cell.text.split()) for row in content.figures}
    keys = ("unique_users", "runs", "submits", "successful_submits", "success_share")

    assert rows == [
        [messages.date(april(2)), *["—"] * 5, messages.text("failed")],
        [messages.date(april(1)), *(figures[key] for key in keys), messages.text("whole day")],
    ]
    assert page.the("table", class_="days").the("a").attributes["href"] == "2023-04-01.html"


def test_trend_is_drawn_with_its_numbers(messages: Messages, tmp_path: Path) -> None:
    """The last 28 days stand below as two charts, each with a table behind it."""
    known = [done(april(number)) for number in range(1, 9)]
    trend = trend_of(known, messages)
    page = drawn(known, tmp_path, messages, trend=trend)

    assert [figure.the("figcaption").text for figure in page.all("figure")] == [
        " ".join(chart.summary.split()) for chart in (trend.volume, trend.success)
    ]
    assert [len(table.rows()) for table in page.all("table", class_="trend")] == [8, 8]


def test_calendar_without_days_says_so(messages: Messages, tmp_path: Path) -> None:
    """Before the first run is over there is nothing to show, but the page can be opened."""
    page = drawn([], tmp_path, messages)

    assert messages.text("No day was processed yet.") in page.the("main").text
    assert not page.all("table")
    assert accessibility_faults(page) == []


def test_calendar_is_accessible_and_self_contained(messages: Messages, tmp_path: Path) -> None:
    """Everything has a name and an order, nothing is fetched, no script runs."""
    write_page(report_on(), tmp_path)
    known = [done(april(1)), *(CalendarDay(april(2 + place), state) for place, state in enumerate(DayState))]
    page = drawn(known, tmp_path, messages, trend=trend_of(known, messages))
    policy = page.the("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"]
    html = (tmp_path / "index.html").read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")

    assert accessibility_faults(page) == []
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert not page.all("script")
    assert not any(word in html for word in ("http:", "https:", "//", "url(", "@import", "src=", "javascript:"))


def test_calendar_that_cannot_be_written_leaves_the_older_one(tmp_path: Path) -> None:
    """The error names the file; nothing is left over."""
    (tmp_path / "index.html").mkdir()
    with pytest.raises(ReportError) as caught:
        drawn([done(april(1))], tmp_path)

    assert caught.value.fields["file"] == str(tmp_path / "index.html")
    assert [entry.name for entry in tmp_path.iterdir()] == ["index.html"]


# What the database knows


def finish(warehouse: Warehouse, status: RunStatus) -> None:
    """Write the end of the last run."""
    ledger.finish(
        warehouse.database, warehouse.run_ids[-1], status, sheet=SheetOutcome.SKIPPED, mail=MailOutcome.SKIPPED
    )


def publish(
    warehouse: Warehouse, statistics: DailyStatistics, *, complete: bool = True, mode: Mode = Mode.FULL
) -> None:
    """Record the figures of 1 April 2023."""
    revisions.record(warehouse.database, APRIL_1, Figures(mode, complete, statistics), run_id=None)


def the_day(warehouse: Warehouse) -> KnownDay:
    """Return what is known of 1 April 2023, the only day."""
    (known,) = days(warehouse.database, LONG_AGO, FAR_AHEAD)
    assert known.date == APRIL_1
    return known


def test_loaded_day_is_done(warehouse: Warehouse) -> None:
    """A whole day that was loaded is done, with the figures last published, also while its run still goes on."""
    warehouse.load(make_event())
    publish(warehouse, STATISTICS)
    during = the_day(warehouse)
    finish(warehouse, RunStatus.OK)

    assert state_of(during) is state_of(the_day(warehouse)) is DayState.DONE
    assert the_day(warehouse).statistics == STATISTICS


def test_undelivered_letter_says_nothing_against_the_figures(warehouse: Warehouse) -> None:
    """A run whose sheet or letter failed has brought a whole day in all the same."""
    warehouse.load(make_event())
    finish(warehouse, RunStatus.PARTIAL)

    assert state_of(the_day(warehouse)) is DayState.DONE


def test_day_that_was_not_over_is_partial(warehouse: Warehouse) -> None:
    """A day of which only a part was asked for is partial, until it is loaded whole."""
    part = make_day(now=datetime(2023, 4, 1, 14, 0, tzinfo=UTC))
    warehouse.load(make_event(), day=part)
    publish(warehouse, STATISTICS, complete=False)
    finish(warehouse, RunStatus.OK)
    before = the_day(warehouse)
    warehouse.load(make_event())
    finish(warehouse, RunStatus.OK)

    assert state_of(before) is DayState.PARTIAL
    assert state_of(the_day(warehouse)) is DayState.DONE


def test_day_without_events_is_empty(warehouse: Warehouse) -> None:
    """A day for which the source sent nothing is empty, unless the table holds events of it."""
    warehouse.load()
    publish(warehouse, NOTHING)
    finish(warehouse, RunStatus.OK)
    empty = the_day(warehouse)
    warehouse.load(make_event())
    warehouse.load()
    finish(warehouse, RunStatus.OK)

    assert state_of(empty) is DayState.EMPTY
    assert empty.statistics == NOTHING
    assert state_of(the_day(warehouse)) is DayState.DONE


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.INTERRUPTED])
def test_day_that_was_never_loaded_shows_how_its_run_ended(status: RunStatus, warehouse: Warehouse) -> None:
    """A first run that failed or was interrupted is what there is to show of a day."""
    warehouse.begin()
    finish(warehouse, status)
    known = the_day(warehouse)

    assert state_of(known).value == status.value
    assert known.statistics is None


def test_later_failure_leaves_a_loaded_day_as_it_is(warehouse: Warehouse) -> None:
    """A later run that failed changed nothing; the day stays done, and the failure is known."""
    warehouse.load(make_event())
    publish(warehouse, STATISTICS)
    finish(warehouse, RunStatus.OK)
    warehouse.begin()
    finish(warehouse, RunStatus.FAILED)

    assert state_of(the_day(warehouse)) is DayState.DONE
    assert the_day(warehouse).last_run is RunStatus.FAILED


def test_whole_day_with_further_figures_is_corrected(warehouse: Warehouse) -> None:
    """A further revision of a whole day makes it corrected, with the figures of the last one."""
    warehouse.load(make_event())
    finish(warehouse, RunStatus.OK)
    publish(warehouse, STATISTICS)
    publish(warehouse, replace(STATISTICS, submits=2072))

    assert state_of(the_day(warehouse)) is DayState.CORRECTED
    assert the_day(warehouse).statistics == replace(STATISTICS, submits=2072)


def test_tests_and_runs_under_way_do_not_count(warehouse: Warehouse) -> None:
    """A first hour says nothing of the day, nor does a run that has only begun."""
    test = make_day(mode=Mode.TEST)
    warehouse.load(make_event("00:10:00"), day=test)
    publish(warehouse, STATISTICS, complete=False, mode=Mode.TEST)
    finish(warehouse, RunStatus.OK)
    warehouse.begin()

    assert days(warehouse.database, LONG_AGO, FAR_AHEAD) == ()


def test_report_without_any_run_is_partial(warehouse: Warehouse) -> None:
    """A day that was only reported on, from events that other days brought, was never loaded as a whole."""
    publish(warehouse, STATISTICS, complete=False)

    assert state_of(the_day(warehouse)) is DayState.PARTIAL


def test_days_come_in_order_from_the_first_up_to_the_end(warehouse: Warehouse) -> None:
    """The end itself does not belong to the days asked for."""
    for number in (3, 1, 2, 4):
        warehouse.begin(make_day(april(number)))
        finish(warehouse, RunStatus.FAILED)
    known = days(warehouse.database, april(1), april(4))

    assert [day.date for day in known] == [april(1), april(2), april(3)]


# In the pipeline


def test_run_writes_the_calendar_beside_the_page(program: Program, events_api: EventsServer) -> None:
    """After a run the calendar leads to the page of the day, and shows what the day before has come to."""
    events_api.serve(make_events(40))
    assert program.run("--from", "2023-03-31", "--to", "2023-04-01", "--json").code == 0
    page = read_page(program.reports / "index.html")

    assert state_in(box(page, date(2023, 3, 31))) == {"empty"}
    assert state_in(box(page, april(1))) == {"done"}
    assert box(page, april(1)).the("a").attributes["href"] == "2023-04-01.html"
    assert len(page.all("figure")) == 2


def test_calendar_that_cannot_be_written_is_a_trouble_of_the_run(program: Program, events_api: EventsServer) -> None:
    """The events are loaded and the page is there; the run ends with 3 and names the file."""
    events_api.serve(make_events(5))
    (program.reports / "index.html").mkdir(parents=True)
    finished = program.run("--date", "2023-04-01", "--json")

    assert finished.code == 3
    assert "index.html" in finished.day["error"]
    assert (program.reports / "2023-04-01.html").is_file()


def test_failed_run_shows_in_the_calendar_that_is_there(warehouse: Warehouse, tmp_path: Path) -> None:
    """A run that fails makes no calendar, but one that is there tells of it; a fault in that is no further failure."""
    job = a_job(tmp_path)
    warehouse.begin()
    finish(warehouse, RunStatus.FAILED)
    refresh_calendar(job, warehouse.database)
    before = list(tmp_path.iterdir())
    write_calendar(job, warehouse.database)
    warehouse.begin(make_day(april(2)))
    finish(warehouse, RunStatus.INTERRUPTED)
    refresh_calendar(job, warehouse.database)
    page = read_page(tmp_path / "index.html")

    assert before == []
    assert state_in(box(page, april(1))) == {"failed"}
    assert state_in(box(page, april(2))) == {"interrupted"}


@pytest.mark.skipif(os.name != "posix", reason="modes of files are a matter of POSIX")
def test_calendar_that_cannot_be_refreshed_is_a_warning(
    warehouse: Warehouse, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run has failed for another reason already; that one is told, this one is logged."""
    job = a_job(tmp_path)
    write_calendar(job, warehouse.database)

    def no_room(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_room)
    refresh_calendar(job, warehouse.database)

    assert "calendar: not brought up to date" in caplog.text


def a_job(folder: Path) -> Job:
    """Return a command as far as the calendar looks at it."""
    settings = SimpleNamespace(reports_path=folder, zone=ZONE)
    return cast("Job", SimpleNamespace(settings=settings, messages=Messages(Language.ENGLISH)))
