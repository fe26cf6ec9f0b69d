"""The Google Sheet: what is drawn, what is left alone, and what happens when Google does not answer as it should."""

from __future__ import annotations

import gzip
import json
import logging
import re
import socket
import threading
import time
import traceback
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from sheets import client
from app_types import Counts, DailyStatistics, Day, Language, Mode, Window
from exceptions import SheetError
from google_sheets import probe, publish
from sheets.spreadsheet import WORKSHEET_KEY
from messages import Messages
from report.content import Cell, CellKind, DayContent, Row, day_content
from tests.support.google import GoogleStandIn, google_error
from tests.support.google_spreadsheet import SPREADSHEET_ID

if TYPE_CHECKING:
    from collections.abc import Callable

APRIL = date(2023, 4, 1)
STATISTICS = DailyStatistics(unique_users=1204, runs=3855, submits=2000, successful_submits=694)
EMPTY = DailyStatistics(unique_users=0, runs=0, submits=0, successful_submits=0)
COUNTS = Counts(
    received=5931, loaded=5874, updated=1, already_present=0, rejected=56, defective=410, missing_at_source=12
)
PREPARED = datetime(2023, 4, 2, 6, 30, tzinfo=UTC)
AT_ONCE = {"Retry-After": "0"}


def sheet_content(
    day: date = APRIL,
    *,
    language: Language = Language.ENGLISH,
    mode: Mode = Mode.FULL,
    complete: bool = True,
    statistics: DailyStatistics = STATISTICS,
    counts: Counts | None = COUNTS,
    zone: str = "UTC",
) -> DayContent:
    """Word a day as the pipeline does."""
    start = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    end = start + (timedelta(hours=1) if mode is Mode.TEST else timedelta(hours=24 if complete else 14))
    covered = Day(day, ZoneInfo(zone), mode, Window(start, end), complete and mode is Mode.FULL)
    return day_content(covered, statistics, counts, prepared_at=PREPARED, messages=Messages(language))


def sheet_state(google: GoogleStandIn) -> Any:
    """Return everything the spreadsheet holds, to compare it."""
    return deepcopy(google.spreadsheet.sheets)


def sheet_refusal(google: GoogleStandIn, *, deadline: float = 180.0) -> SheetError:
    """Publish in vain and return the error."""
    with pytest.raises(SheetError) as caught:
        publish(google.settings, [sheet_content()], deadline=deadline)
    return caught.value


def serial(moment: datetime) -> float:
    """Return a moment as a spreadsheet counts it: days since 30 December 1899."""
    return (moment - datetime(1899, 12, 30)) / timedelta(days=1)  # noqa: DTZ001


# What is drawn


def test_address_of_the_spreadsheet_is_returned(google: GoogleStandIn) -> None:
    """People get a link that opens the spreadsheet."""
    assert publish(google.settings, [sheet_content()]) == f"https://docs.google.com/spreadsheets/d/{SPREADSHEET_ID}"


def test_card_shows_each_figure_with_its_label(google: GoogleStandIn) -> None:
    """The card holds title, facts, figures and counts, all as typed values."""
    publish(google.settings, [sheet_content()])

    card = google.spreadsheet.sheet("Day").labelled()
    assert card == {
        "Learning on 1 April 2023": None,
        "Processed date": 45017,
        "Prepared at": pytest.approx(serial(datetime(2023, 4, 2, 6, 30))),  # noqa: DTZ001
        "Time zone": "UTC",
        "Figures of the day": None,
        "Unique students": 1204,
        "Code runs": 3855,
        "Submits": 2000,
        "Successful submits": 694,
        "Share of successful submits": pytest.approx(0.347),
        "Submits per student, on average": pytest.approx(2000 / 1204),
        "Successful submits per student, on average": pytest.approx(694 / 1204),
        "Events of this run": None,
        "Received": 5931,
        "Loaded": 5874,
        "Corrected": 1,
        "Already present": 0,
        "Rejected": 56,
        "With defects": 410,
        "Missing at the source": 12,
        sheet_content().warnings[0]: None,
    }


def test_values_carry_the_format_of_their_kind(google: GoogleStandIn) -> None:
    """Dates, moments, counts, shares and averages are numbers with a format; labels have none."""
    publish(google.settings, [sheet_content()])

    day = google.spreadsheet.sheet("Day")
    formats = {row[0]: day.number_format(f"B{index}") for index, row in enumerate(day.grid(), start=1)}
    assert formats["Processed date"] == {"type": "DATE", "pattern": "yyyy-mm-dd"}
    assert formats["Prepared at"] == {"type": "DATE_TIME", "pattern": "yyyy-mm-dd hh:mm"}
    assert formats["Unique students"] == {"type": "NUMBER", "pattern": "#,##0"}
    assert formats["Share of successful submits"] == {"type": "PERCENT", "pattern": "0.0%"}
    assert formats["Submits per student, on average"] == {"type": "NUMBER", "pattern": "0.00"}
    assert formats["Time zone"] == {}
    assert day.number_format("A3") == {}


def test_history_has_a_header_and_a_row_a_day(google: GoogleStandIn) -> None:
    """Every day of a range gets its row, under a bold and frozen header; the card shows the last day."""
    days = [sheet_content(APRIL + timedelta(days=n)) for n in range(3)]

    publish(google.settings, days)

    history = google.spreadsheet.sheet("History")
    assert history.grid()[0] == [row.label for row in days[0].history]
    assert [row[0] for row in history.grid()[1:]] == [45017, 45018, 45019]
    assert history.number_format("A2")["type"] == "DATE"
    assert history.cell("A1")["userEnteredFormat"]["textFormat"] == {"bold": True}
    assert "textFormat" not in history.cell("A2")["userEnteredFormat"]
    assert history.frozen_rows == 1
    assert len(history.widths) == len(days[0].history)
    assert google.spreadsheet.sheet("Day").labelled()["Processed date"] == 45019


def test_moments_are_shown_in_the_zone_of_the_operator(google: GoogleStandIn) -> None:
    """A spreadsheet knows no zones: the serial number is the local time."""
    publish(google.settings, [sheet_content(zone="Europe/Moscow")])

    card = google.spreadsheet.sheet("Day").labelled()
    assert card["Prepared at"] == pytest.approx(serial(datetime(2023, 4, 2, 9, 30)))  # noqa: DTZ001
    assert card["Time zone"] == "Europe/Moscow"


def test_missing_values_are_a_dash_on_the_card_and_blank_in_the_history(google: GoogleStandIn) -> None:
    """A day without submits has no share: a word for readers, nothing for those who compute on."""
    publish(google.settings, [sheet_content(statistics=EMPTY, counts=None)])

    history = google.spreadsheet.sheet("History").grid()
    row = dict(zip(history[0], history[1], strict=True))
    assert google.spreadsheet.sheet("Day").labelled()["Share of successful submits"] == "—"
    assert row["Share of successful submits"] is None
    assert row["Received"] is None
    assert row["Submits"] == 0


def test_russian_report_has_russian_worksheets_and_labels(google: GoogleStandIn) -> None:
    """Titles and labels follow the language of the content."""
    content = sheet_content(language=Language.RUSSIAN)

    publish(google.settings, [content])

    titles = content.sheet_titles
    assert google.spreadsheet.titles() == ["Sheet1", titles.day, titles.history]
    assert re.search("[а-я]", titles.day + titles.history)
    assert google.spreadsheet.sheet(titles.day).value("A1") == content.title
    assert google.spreadsheet.sheet(titles.history).grid()[0] == [row.label for row in content.history]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum", "\t=1", '=IMPORTDATA("https://example.org/")', "'x"])
def test_text_never_becomes_a_formula(google: GoogleStandIn, text: str) -> None:
    """What begins like a formula is written as text; the stand-in refuses formulaValue and USER_ENTERED."""
    plain = sheet_content()
    fact = Row("zone", text, Cell(CellKind.TEXT, text, text))
    content = DayContent(**{name: getattr(plain, name) for name in plain.__slots__} | {"facts": (fact,)})

    publish(google.settings, [content])

    assert google.spreadsheet.sheet("Day").cell("A3")["userEnteredValue"] == {"stringValue": text}
    assert google.spreadsheet.sheet("Day").cell("B3")["userEnteredValue"] == {"stringValue": text}


# Partial days and tests


def test_partial_label_comes_and_goes(google: GoogleStandIn) -> None:
    """An unfinished day is marked in bold on a coloured ground, until the whole day is published."""
    partial = sheet_content(complete=False)
    publish(google.settings, [partial])
    day = google.spreadsheet.sheet("Day")
    assert day.value("A2") == partial.partial
    assert day.cell("A2")["userEnteredFormat"]["textFormat"] == {"bold": True}
    assert day.cell("A2")["userEnteredFormat"]["backgroundColorStyle"]
    assert day.cell("B2")["userEnteredFormat"]["backgroundColorStyle"]

    publish(google.settings, [sheet_content()])

    day = google.spreadsheet.sheet("Day")
    assert day.value("A2") is None
    assert "backgroundColorStyle" not in str([day.cell("A2"), day.cell("B2")])
    assert len(google.spreadsheet.sheet("History").grid()) == 2


def test_test_run_touches_its_own_worksheet_only(google: GoogleStandIn) -> None:
    """A test is drawn apart, under its label; the day's card and the history do not know of it."""
    publish(google.settings, [sheet_content()])
    before = sheet_state(google)

    content = sheet_content(mode=Mode.TEST, statistics=EMPTY)
    publish(google.settings, [content])

    test = google.spreadsheet.sheet("Test (first hour)")
    assert google.spreadsheet.sheets[: len(before)] == before
    assert test.value("A2") == content.partial
    assert test.labelled()["Submits"] == 0


def test_test_run_alone_creates_neither_card_nor_history(google: GoogleStandIn) -> None:
    """Only the worksheet that is needed is created."""
    publish(google.settings, [sheet_content(mode=Mode.TEST)])

    assert google.spreadsheet.titles() == ["Sheet1", "Test (first hour)"]
    assert google.names() == ["get", "batchUpdate"]


# Again, corrected, relabelled


def test_repeat_leaves_identical_cells(google: GoogleStandIn) -> None:
    """Publishing the same again changes nothing at all, not even the developer metadata."""
    publish(google.settings, [sheet_content()])
    before = sheet_state(google)

    publish(google.settings, [sheet_content()])

    assert sheet_state(google) == before


def test_corrected_day_is_corrected_in_place(google: GoogleStandIn) -> None:
    """A day that is published again keeps its row; the other days keep their figures."""
    publish(google.settings, [sheet_content(APRIL + timedelta(days=n)) for n in range(3)])
    before = google.spreadsheet.sheet("History").grid()

    publish(google.settings, [sheet_content(APRIL + timedelta(days=1), statistics=EMPTY)])

    after = google.spreadsheet.sheet("History").grid()
    assert after[2][:3] == [45018, 0, 0]
    assert [after[0], after[1], after[3]] == [before[0], before[1], before[3]]


def test_earlier_day_goes_before_later_ones(google: GoogleStandIn) -> None:
    """Days that are processed late still stand in the order of dates, as plain rows."""
    for shift in (5, 0, 3, 4):
        publish(google.settings, [sheet_content(APRIL + timedelta(days=shift))])

    history = google.spreadsheet.sheet("History")
    assert [row[0] for row in history.grid()[1:]] == [45017, 45020, 45021, 45022]
    assert all("textFormat" not in history.cell(f"A{row}")["userEnteredFormat"] for row in (2, 3, 4, 5))


def test_earlier_day_is_appended_where_people_write_beside_the_history(google: GoogleStandIn) -> None:
    """No row is inserted through cells of other people; the order is then theirs to make."""
    publish(google.settings, [sheet_content(APRIL + timedelta(days=5))])
    google.spreadsheet.sheet("History").put("Z9", "our holiday")

    publish(google.settings, [sheet_content(APRIL)])

    history = google.spreadsheet.sheet("History")
    assert [row[0] for row in history.grid()[1:3]] == [45022, 45017]
    assert history.value("Z9") == "our holiday"


def test_history_sorted_by_people_is_left_in_their_order(google: GoogleStandIn) -> None:
    """Where the newest day stands first, a new one is appended and the known ones are found."""
    publish(google.settings, [sheet_content()])
    history = google.spreadsheet.sheet("History")
    history.put("A2", 45020)
    history.put("A3", 45018)

    publish(google.settings, [sheet_content(date(2023, 4, 2), statistics=EMPTY), sheet_content(date(2023, 4, 3))])

    assert [row[0] for row in history_rows(google)] == [45020, 45018, 45019]
    assert history_rows(google)[1][1] == 0


def history_rows(google: GoogleStandIn) -> list[list[Any]]:
    """Return the history without its header."""
    return google.spreadsheet.sheet("History").grid()[1:]


def test_duplicates_and_blank_rows_do_not_confuse(google: GoogleStandIn) -> None:
    """All rows of a date tell the same; blank rows stay; a date typed as text is known; a new day comes last."""
    publish(google.settings, [sheet_content()])
    history = google.spreadsheet.sheet("History")
    history.put("A5", "2023-04-01")
    history.put("A7", 45018.0)
    history.put("A8", "total")

    publish(google.settings, [sheet_content(statistics=EMPTY), sheet_content(date(2023, 4, 3))])

    rows = history_rows(google)
    assert [row[0] for row in rows] == [45017, None, None, 45017, None, 45018, "total", 45019]
    assert rows[0][1] == rows[3][1] == 0


def test_change_of_language_relabels_and_does_not_duplicate(google: GoogleStandIn) -> None:
    """The same worksheets and rows, in other words."""
    publish(google.settings, [sheet_content()])
    ids = [sheet.id for sheet in google.spreadsheet.sheets]
    russian = sheet_content(language=Language.RUSSIAN)

    publish(google.settings, [russian])

    titles = russian.sheet_titles
    history = google.spreadsheet.sheet(titles.history).grid()
    assert google.spreadsheet.titles() == ["Sheet1", titles.day, titles.history]
    assert [sheet.id for sheet in google.spreadsheet.sheets] == ids
    assert history[0] == [row.label for row in russian.history]
    assert len(history) == 2
    publish(google.settings, [sheet_content()])
    assert google.spreadsheet.titles() == ["Sheet1", "Day", "History"]


def test_shorter_card_leaves_nothing_of_a_longer_one(google: GoogleStandIn) -> None:
    """The block of the card has a fixed height."""
    publish(google.settings, [sheet_content()])
    publish(google.settings, [sheet_content(counts=None)])

    labels = google.spreadsheet.sheet("Day").labelled()
    assert "Received" not in labels
    assert not any("kept" in label for label in labels)


# What belongs to other people


def test_cells_of_other_people_survive(google: GoogleStandIn) -> None:
    """Notes, colours, columns beside ours and other worksheets are as they were."""
    publish(google.settings, [sheet_content()])
    spreadsheet = google.spreadsheet
    green = {"backgroundColorStyle": {"rgbColor": {"green": 1.0}}, "horizontalAlignment": "CENTER"}
    spreadsheet.sheet("Sheet1").put("A1", "mine", note="do not touch")
    spreadsheet.sheet("Day").put("D1", "my column")
    spreadsheet.sheet("Day").put("A60", "my text below")
    spreadsheet.sheet("Day").put("B7", note="why so few?", userEnteredFormat=deepcopy(green))
    spreadsheet.sheet("History").put("A2", note="snow")
    spreadsheet.sheet("History").put("Q2", 7, userEnteredFormat=deepcopy(green))
    other = deepcopy(spreadsheet.sheet("Sheet1"))

    publish(google.settings, [sheet_content(statistics=EMPTY)])

    day, history = spreadsheet.sheet("Day"), spreadsheet.sheet("History")
    assert google.spreadsheet.sheet("Sheet1") == other
    day, history = google.spreadsheet.sheet("Day"), google.spreadsheet.sheet("History")
    assert (day.value("D1"), day.value("A60")) == ("my column", "my text below")
    assert day.cell("B7")["note"] == "why so few?"
    assert day.cell("B7")["userEnteredFormat"].items() >= green.items()
    assert history.cell("A2")["note"] == "snow"
    assert history.cell("Q2") == {"userEnteredValue": {"numberValue": 7}, "userEnteredFormat": green}


def test_renamed_worksheet_is_found_and_keeps_its_name(google: GoogleStandIn) -> None:
    """Worksheets are known by their metadata; a name that people gave is theirs, in every language."""
    publish(google.settings, [sheet_content()])
    google.spreadsheet.sheet("Day").title = "Yesterday"
    google.spreadsheet.sheet("History").title = "It's been (so far)"

    publish(google.settings, [sheet_content(language=Language.RUSSIAN)])

    assert google.spreadsheet.titles() == ["Sheet1", "Yesterday", "It's been (so far)"]
    assert len(google.spreadsheet.sheet("It's been (so far)").grid()) == 2


@pytest.mark.parametrize("language", list(Language))
def test_worksheet_with_our_title_is_adopted(google: GoogleStandIn, language: Language) -> None:
    """A worksheet that has our title in either language is taken, marked and given what it lacks."""
    titles = sheet_content(language=language).sheet_titles
    google.spreadsheet.add(titles.day, rows=1, columns=1)
    google.spreadsheet.add(titles.history, rows=1, columns=1)

    publish(google.settings, [sheet_content(APRIL + timedelta(days=n)) for n in range(3)])

    assert google.spreadsheet.titles() == ["Sheet1", "Day", "History"]
    history = google.spreadsheet.sheet("History")
    assert [(mark["metadataKey"], mark["metadataValue"]) for mark in history.marks] == [(WORKSHEET_KEY, "history")]
    assert history.marks[0]["visibility"] == "DOCUMENT"
    assert (history.rows, history.columns) == (4, len(sheet_content().history))
    assert history.frozen_rows == 1
    assert len(history.grid()) == 4


def test_history_without_its_header_gets_one_above(google: GoogleStandIn) -> None:
    """A header that people deleted comes back as a new row; nothing is overwritten by it."""
    publish(google.settings, [sheet_content(), sheet_content(date(2023, 4, 2))])
    history = google.spreadsheet.sheet("History")
    history.cells = {(row - 1, column): cell for (row, column), cell in history.cells.items() if row}

    publish(google.settings, [sheet_content(date(2023, 4, 2))])

    assert [row[0] for row in google.spreadsheet.sheet("History").grid()] == ["Date", 45017, 45018]


def test_history_below_a_heading_of_other_people_is_found(google: GoogleStandIn) -> None:
    """Rows above the header belong to people."""
    publish(google.settings, [sheet_content()])
    history = google.spreadsheet.sheet("History")
    history.cells = {(row + 1, column): cell for (row, column), cell in history.cells.items()}
    history.put("A1", "Spring")

    publish(google.settings, [sheet_content(language=Language.RUSSIAN), sheet_content(date(2023, 4, 2))])

    assert [row[0] for row in google.spreadsheet.sheet("History").grid()] == ["Spring", "Date", 45017, 45018]


def test_title_taken_by_something_else_gives_a_numbered_one(google: GoogleStandIn) -> None:
    """A chart or a worksheet of another role may bear our title, in any case of letters; both stay."""
    google.spreadsheet.add("day", kind="OBJECT", rows=0, columns=0)
    publish(google.settings, [sheet_content()])
    google.spreadsheet.sheet("History").title = "Test (first hour)"

    publish(google.settings, [sheet_content(mode=Mode.TEST)])

    assert google.spreadsheet.titles() == ["Sheet1", "day", "Day (2)", "Test (first hour)", "Test (first hour) (2)"]


def test_numbered_title_follows_the_language_too(google: GoogleStandIn) -> None:
    """A title that we had to number is still ours."""
    google.spreadsheet.add("Day", kind="OBJECT", rows=0, columns=0)
    publish(google.settings, [sheet_content()])

    publish(google.settings, [sheet_content(language=Language.RUSSIAN)])

    titles = sheet_content(language=Language.RUSSIAN).sheet_titles
    assert google.spreadsheet.titles() == ["Sheet1", "Day", titles.day, titles.history]


def test_copy_of_our_worksheet_does_not_take_its_place(google: GoogleStandIn) -> None:
    """A copy may carry our metadata: the one with our title is meant."""
    publish(google.settings, [sheet_content()])
    original = google.spreadsheet.sheet("Day")
    copy = google.spreadsheet.add("Copy of Day", cells=deepcopy(original.cells), marks=deepcopy(original.marks))
    google.spreadsheet.sheets.insert(0, google.spreadsheet.sheets.pop())

    publish(google.settings, [sheet_content(statistics=EMPTY)])

    assert google.spreadsheet.sheet("Day").labelled()["Submits"] == 0
    assert google.spreadsheet.sheet(copy.title).labelled()["Submits"] == 2000


# Calls


@pytest.mark.parametrize("days", [1, 40])
def test_publication_takes_at_most_three_calls(google: GoogleStandIn, days: int) -> None:
    """One look at the spreadsheet, one at the history, one change; and one token for all."""
    contents = [sheet_content(APRIL + timedelta(days=n)) for n in range(days)]
    publish(google.settings, contents)
    assert google.names() == ["get", "batchUpdate"]
    google.calls.clear()
    google.token_calls = 0

    publish(google.settings, contents)

    assert google.names() == ["get", "values", "batchUpdate"]
    assert google.token_calls == 1


def test_history_longer_than_its_grid_grows(google: GoogleStandIn) -> None:
    """Rows are added in the same batch when the grid is full."""
    publish(google.settings, [sheet_content()])
    google.spreadsheet.sheet("History").rows = 2

    publish(google.settings, [sheet_content(APRIL + timedelta(days=n)) for n in range(1, 4)])

    assert len(google.spreadsheet.sheet("History").grid()) == 5
    assert google.spreadsheet.sheet("History").rows == 5


def test_no_other_host_is_contacted(google: GoogleStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint and the token's address are all we speak to; google-auth's own session would ask IAM as well."""
    hosts: set[object] = set()
    resolve = socket.getaddrinfo

    def record(host: Any, *rest: Any, **options: Any) -> Any:
        hosts.add(host)
        return resolve(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", record)

    publish(google.settings, [sheet_content()])

    assert hosts == {"127.0.0.1"}
    assert "google-sheets" not in {thread.name for thread in threading.enumerate()}


def test_surroundings_do_not_steer_the_calls(
    google: GoogleStandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Neither a proxy of the environment nor a .netrc takes part."""
    (tmp_path / ".netrc").write_text("default login someone password something\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    publish(google.settings, [sheet_content()])

    assert google.names() == ["get", "batchUpdate"]


def test_start_and_end_are_logged(google: GoogleStandIn, caplog: pytest.LogCaptureFixture) -> None:
    """The log tells what was done and how long it took, in constant templates."""
    with caplog.at_level(logging.INFO, "google_sheets"):
        publish(google.settings, [sheet_content()])

    messages = [record.getMessage() for record in caplog.records if record.name == "google_sheets"]
    assert messages[0] == "Google Sheet: update started, days: 1"
    assert re.fullmatch(r"Google Sheet: update finished, calls: 2, seconds: \d+\.\d", messages[1])


# Faults that pass


@pytest.mark.parametrize("call", ["get", "values", "batchUpdate"])
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_passing_fault_is_overcome(google: GoogleStandIn, call: str, status: int) -> None:
    """A fault that passes costs another try, and the sheet is the same as without it."""
    publish(google.settings, [sheet_content()])
    before = sheet_state(google)
    google.fail(status, call=call, times=2, headers=AT_ONCE)

    publish(google.settings, [sheet_content()])

    assert sheet_state(google) == before


@pytest.mark.parametrize(
    "body",
    [
        b"<html><h1>502 Bad Gateway</h1></html>",
        b"",
        b"\xff\xfe",
        {"error": "invalid_grant"},
        {"error": None},
        {"error": {"code": "x", "details": 7}},
        {"error": {"details": [7, {"reason": ["x"]}]}},
        [1],
        b"[" * 100_000,
    ],
    ids=["html", "empty", "bytes", "text", "null", "odd", "odd-details", "list", "deep"],
)
@pytest.mark.parametrize("status", [502, 400])
def test_odd_error_answers_do_not_crash(google: GoogleStandIn, status: int, body: Any) -> None:
    """An error of any form is decoded: 502 is tried again, 400 is told, and gspread's APIError is not needed."""
    google.fail(status, body=body, headers=AT_ONCE)

    if status == 502:
        publish(google.settings, [sheet_content()])
    else:
        assert "400" in str(sheet_refusal(google))


@pytest.mark.parametrize("body", [b"<html>login</html>", b"[]", b"", b'{"sheets": [{}]}', b'{"sheets": 7}'])
def test_good_status_with_a_bad_body_is_a_fault(google: GoogleStandIn, body: bytes) -> None:
    """What is no answer of Google's is not taken for an empty spreadsheet."""
    google.fail(200, body=body, times=None, headers=AT_ONCE)

    assert "does not answer as it should" in str(sheet_refusal(google))
    assert "batchUpdate" not in google.names()


@pytest.mark.parametrize("first", [True, False], ids=["new spreadsheet", "known spreadsheet"])
@pytest.mark.parametrize("fault", [{"drop": True}, {"status": 503}, {"status": 200, "body": b"<html>"}])
def test_change_whose_answer_is_lost_is_safely_repeated(
    google: GoogleStandIn, fault: dict[str, Any], first: bool
) -> None:
    """The spreadsheet is looked at again before a change is repeated: no second worksheet, row or metadata."""
    days = [sheet_content(APRIL + timedelta(days=5)), sheet_content(APRIL)]
    if not first:
        publish(google.settings, days[:1])
    google.fail(call="batchUpdate", after=True, headers=AT_ONCE, **fault)

    publish(google.settings, days)

    assert google.spreadsheet.titles() == ["Sheet1", "Day", "History"]
    assert [row[0] for row in history_rows(google)] == [45017, 45022]
    assert [len(sheet.marks) for sheet in google.spreadsheet.sheets] == [0, 1, 1]


def test_lost_connection_is_tried_again(google: GoogleStandIn) -> None:
    """A reset while reading is a passing fault."""
    google.fail(call="get", drop=True)

    publish(google.settings, [sheet_content()])

    assert google.names() == ["get", "get", "batchUpdate"]


def test_never_ending_fault_ends_after_six_tries(google: GoogleStandIn) -> None:
    """The back-off of gspread itself would go on for ever; ours does not, and the old report is whole."""
    publish(google.settings, [sheet_content()])
    before = sheet_state(google)
    google.calls.clear()
    google.fail(503, call="batchUpdate", times=None, headers=AT_ONCE)

    error = sheet_refusal(google)

    assert "503" in str(error)
    assert google.names().count("batchUpdate") == 6
    assert sheet_state(google) == before


def test_wait_that_would_outlast_the_deadline_is_not_begun(google: GoogleStandIn) -> None:
    """The error comes at once when there is no time for another try."""
    google.fail(503, times=None, headers={"Retry-After": "50"})
    started = time.monotonic()

    sheet_refusal(google, deadline=10)

    assert time.monotonic() - started < 8


@pytest.mark.parametrize("call", ["get", "token"])
def test_silence_ends_within_the_deadline(google: GoogleStandIn, call: str) -> None:
    """A peer that takes the connection and says nothing does not hold the run."""
    google.fail(call=call, times=None, hang=30)
    started = time.monotonic()

    assert "does not answer" in str(sheet_refusal(google, deadline=0.5))

    assert time.monotonic() - started < 5


def test_dripping_answer_ends_within_the_deadline(google: GoogleStandIn) -> None:
    """A byte now and then satisfies every time-out of a socket, but not the deadline."""
    google.fail(200, call="get", drip=0.1)
    started = time.monotonic()

    assert "does not answer" in str(sheet_refusal(google, deadline=0.5))

    assert time.monotonic() - started < 5


def test_answer_that_unpacks_without_end_is_not_read(google: GoogleStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of an answer is bounded after unpacking."""
    monkeypatch.setattr(client, "_LARGEST_ANSWER", 1_000_000)
    sheets = [{"properties": {"sheetId": 0, "title": "Sheet1"}}]
    bomb = gzip.compress(json.dumps({"sheets": sheets, "padding": " " * 2_000_000}).encode())
    google.fail(200, call="get", times=None, body=bomb, headers={"Content-Encoding": "gzip"})

    assert "does not answer as it should" in str(sheet_refusal(google, deadline=1.2))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("3600", 60.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 60.0),
        ("-5", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_honoured_up_to_a_minute(text: str, seconds: float | None) -> None:
    """Seconds or a date, cut to 60 s; what cannot be read says nothing."""
    assert client._retry_after(text) == seconds  # the waiting itself would take a minute


# Faults that do not pass


def test_revoked_key_is_told_without_another_try(google: GoogleStandIn) -> None:
    """invalid_grant means the key or the clock; trying again would not help."""
    google.fail(400, call="token", times=None, body={"error": "invalid_grant", "error_description": "bad"})

    error = sheet_refusal(google)

    assert "revoked" in str(error)
    assert "clock" in str(error)
    assert google.client_email in str(error)
    assert google.token_calls == 1
    assert google.calls == []


@pytest.mark.parametrize(
    ("status", "body"),
    [(502, b"<html>"), (200, b"<html>"), (200, {}), (200, {"access_token": "x", "expires_in": "soon"}), (200, b"\xff")],
)
def test_odd_token_answer_is_a_passing_fault(google: GoogleStandIn, status: int, body: Any) -> None:
    """google-auth stumbles over some of them; the second try gets the token."""
    google.fail(status, call="token", body=body)

    publish(google.settings, [sheet_content()])

    assert google.token_calls == 2


def test_token_is_renewed_once_when_it_is_refused(google: GoogleStandIn) -> None:
    """A token that Google forgot is renewed, and the call made again."""
    google.fail(401, call="get")

    publish(google.settings, [sheet_content()])

    assert google.token_calls == 2


def test_token_that_is_refused_again_is_given_up(google: GoogleStandIn) -> None:
    """At most one renewal, then the error."""
    google.fail(401, times=None)

    assert "did not accept the key" in str(sheet_refusal(google))
    assert google.token_calls == 2
    assert google.names() == ["get", "get"]


def test_second_refused_token_of_a_publication_is_given_up(google: GoogleStandIn) -> None:
    """One renewal is enough for a publication of seconds, whichever call it was for."""
    google.fail(401, call="get")
    google.fail(401, call="batchUpdate")

    assert "did not accept the key" in str(sheet_refusal(google))
    assert google.token_calls == 2


@pytest.mark.parametrize("access", ["none", "reader"])
def test_refused_access_names_the_account_to_share_with(google: GoogleStandIn, access: str) -> None:
    """403: share the spreadsheet with the service account as editor; nothing is tried again."""
    google.spreadsheet.access = access
    before = sheet_state(google)

    error = sheet_refusal(google)

    assert f"Share the spreadsheet with {google.client_email} as editor" in str(error)
    assert len(google.calls) == (1 if access == "none" else 2)
    assert sheet_state(google) == before


def test_disabled_api_is_told(google: GoogleStandIn) -> None:
    """403 has another remedy where the project does not allow the API at all."""
    google.fail(403, body=google_error(403, "Not used before", "SERVICE_DISABLED"))

    assert "not enabled in the project" in str(sheet_refusal(google))


def test_unknown_spreadsheet_is_told(google: GoogleStandIn) -> None:
    """404 leads to the setting."""
    google.spreadsheet.id = "another"

    error = sheet_refusal(google)

    assert "GOOGLE_SHEET_ID" in str(error)
    assert google.names() == ["get"]


def test_protected_worksheet_leaves_the_old_report_whole(google: GoogleStandIn) -> None:
    """Where one part of the batch is refused, nothing is applied; the remedy names protection."""
    publish(google.settings, [sheet_content()])
    google.spreadsheet.sheet("History").protected = True
    before = sheet_state(google)

    error = sheet_refusal(google)

    assert "400 INVALID_ARGUMENT" in str(error)
    assert "protected" in str(error)
    assert sheet_state(google) == before


@pytest.mark.parametrize("call", ["get", "token"])
def test_redirect_is_not_followed(google: GoogleStandIn, call: str) -> None:
    """Neither the token nor the assertion travels to another address."""
    google.fail(307, call=call, times=None, headers={"Location": f"{google.endpoint}/elsewhere"})

    sheet_refusal(google)

    assert {seen.path for seen in google.calls} <= {f"/v4/spreadsheets/{SPREADSHEET_ID}"}
    assert (google.token_calls, len(google.calls)) == ((1, 0) if call == "token" else (1, 1))


def test_closed_port_is_told(google: GoogleStandIn, google_key: Any) -> None:
    """Nobody there: the error says so and what to check."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        settings = google.settings
        object.__setattr__(settings, "endpoint", f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(SheetError, match="cannot be reached"):
            publish(settings, [sheet_content()], deadline=1)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda google: google.credentials_file.unlink(),
        lambda google: google.credentials_file.write_text('{"private_key": "canary", '),
        lambda google: google.credentials_file.write_text("[]"),
        lambda google: google.write_key(private_key="-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n"),
        lambda google: google.write_key(client_email=None),
    ],
    ids=["gone", "cut", "list", "damaged", "incomplete"],
)
def test_unusable_key_file_is_told_without_its_content(
    google: GoogleStandIn, spoil: Callable[[GoogleStandIn], object]
) -> None:
    """The file may change after the settings were read; what it holds is shown nowhere."""
    spoil(google)

    error = sheet_refusal(google)

    assert str(google.credentials_file) in str(error)
    assert "canary" not in "".join(traceback.format_exception(error))
    assert error.__context__ is None


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 403},
        {"status": 404},
        {"status": 401, "times": None},
        {"status": 503, "times": None, "headers": AT_ONCE},
        {"drop": True, "times": None},
        {"call": "token", "status": 400, "body": {"error": "invalid_grant"}},
        {"call": "token", "drop": True, "times": None},
        {"status": 302, "headers": {"Location": "http://127.0.0.1:9/canary"}},
    ],
)
def test_no_secret_in_logs_or_errors(
    google: GoogleStandIn, caplog: pytest.LogCaptureFixture, fault: dict[str, Any]
) -> None:
    """Neither the key nor a token nor the text of an answer is told, at any level of the log."""
    google.fail(**({"body": google_error(fault.get("status", 0), "canary")} | fault))

    with caplog.at_level(logging.DEBUG):
        error = sheet_refusal(google, deadline=1.2)

    told = "".join(traceback.format_exception(error)) + repr(vars(error)) + caplog.text
    assert not [secret for secret in [*google.secrets, "canary"] if secret in told]


def test_errors_are_worded_in_russian(google: GoogleStandIn) -> None:
    """Every error has a Russian text with its fields."""
    google.spreadsheet.access = "none"

    text = Messages(Language.RUSSIAN).error(sheet_refusal(google))

    assert google.client_email in text
    assert re.search("[а-я]", text)


# check


def test_probe_returns_the_title_and_changes_nothing(google: GoogleStandIn) -> None:
    """`check` opens the spreadsheet; control characters of its title do not reach the terminal."""
    google.spreadsheet.title = "Learning\x1b[31m"
    before = sheet_state(google)

    assert probe(google.settings) == "Learning?[31m"
    assert google.names() == ["get"]
    assert sheet_state(google) == before


def test_probe_tells_what_is_wrong(google: GoogleStandIn) -> None:
    """A refused spreadsheet has the same remedy as in a run."""
    google.spreadsheet.access = "none"

    with pytest.raises(SheetError, match=google.client_email):
        probe(google.settings)


# The stand-in itself


@pytest.mark.parametrize(
    ("verb", "path", "body"),
    [
        ("POST", ":batchUpdate", {"requests": [{"updateCells": {"start": {"sheetId": 0}, "row": []}}]}),
        ("POST", ":batchUpdate", {"requests": [{"paintCells": {}}]}),
        ("POST", ":batchUpdate", {"requests": [{"updateCells": {"start": {"sheetId": "0"}}}]}),
        (
            "POST",
            ":batchUpdate",
            {"requests": [{"updateCells": {"rows": [{"values": [{"userEnteredValue": {"formulaValue": "=1"}}]}]}}]},
        ),
        ("POST", ":batchUpdate", {"requests": [{"updateCells": {"start": {"sheetId": 0}, "rows": [], "fields": "x"}}]}),
        ("GET", "?fields=sheets.colour", None),
        ("GET", "?colour=red", None),
        ("GET", "/values/A1?valueRenderOption=USER_ENTERED", None),
        ("PUT", "/values/A1?valueInputOption=USER_ENTERED", {"values": [[1]]}),
        ("DELETE", "", None),
    ],
)
def test_stand_in_refuses_what_google_does_not_describe(google: GoogleStandIn, verb: str, path: str, body: Any) -> None:
    """A wrong name, type, mask, parameter or method is a violation, which fails the test that made it."""
    import requests

    publish(google.settings, [sheet_content()])
    token = google.secrets[-1]
    url = f"{google.endpoint}/v4/spreadsheets/{SPREADSHEET_ID}{path}"

    answer = requests.request(verb, url, json=body, headers={"Authorization": f"Bearer {token}"}, timeout=5)

    assert answer.status_code in {400, 404}
    assert len(google.violations) == 1
    google.violations.clear()


def test_stand_in_applies_all_requests_or_none(google: GoogleStandIn) -> None:
    """A batch with one bad request leaves the spreadsheet as it was."""
    from tests.support.google_schema import RefusedError

    before = sheet_state(google)
    good = {"addSheet": {"properties": {"sheetId": 5, "title": "New"}}}

    with pytest.raises(RefusedError, match=r"requests\[1\]"):
        google.spreadsheet.batch_update([good, good])

    assert sheet_state(google) == before
