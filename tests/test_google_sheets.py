"""The Google Sheet: what is drawn on each worksheet, and that drawing again changes what is new and nothing else."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from datetime import date, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

import pytest

from app_types import Counts, DailyStatistics, Language, Mode
from google_sheets import publish
from report.content import Cell, CellKind, DayContent, Row
from report.parts import Trust
from tests.support.google_spreadsheet import SPREADSHEET_ID
from tests.support.sheet_contents import (
    APRIL,
    COUNTS,
    EMPTY,
    course,
    earlier_days,
    rich_content,
    serial,
    sheet_content,
    sheet_state,
    task,
)

if TYPE_CHECKING:
    from tests.support.google import GoogleStandIn
    from tests.support.google_spreadsheet import StandInSheet

BALANCED = replace(COUNTS, missing_at_source=0)
WORKSHEETS = ["Sheet1", "Day", "History", "Courses and tasks"]


# The day


def test_address_of_the_spreadsheet_is_returned(google: GoogleStandIn) -> None:
    """People get a link that opens the spreadsheet."""
    assert publish(google.settings, [sheet_content()]) == f"https://docs.google.com/spreadsheets/d/{SPREADSHEET_ID}"


def test_card_shows_each_figure_with_its_label(google: GoogleStandIn) -> None:
    """The card holds title, trust, facts, figures and counts, all as typed values."""
    content = sheet_content()

    publish(google.settings, [content])

    card = {row[0]: row[1] for row in google.spreadsheet.sheet("Day").area("A1", "B40") if row[0] is not None}
    assert card == {
        "Learning on 1 April 2023": None,
        content.trust.text: None,
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
        content.stuck.label: 7,
        "Events of this run": None,
        "Received": 5931,
        "Loaded": 5874,
        "Corrected": 1,
        "Already present": 0,
        "Rejected": 56,
        "With defects": 410,
        "Missing at the source": 12,
        content.warnings[0]: None,
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


def test_figures_stand_beside_what_is_usual(google: GoogleStandIn) -> None:
    """Median as a number, arrow and word beside each figure; without enough earlier days, nothing."""
    quiet = DailyStatistics(unique_users=300, runs=3855, submits=2000, successful_submits=694)
    publish(google.settings, [sheet_content(statistics=quiet, past=earlier_days(APRIL))])

    day = google.spreadsheet.sheet("Day")
    assert day.value("C9") == "Usually, on this weekday"
    assert day.area("A10", "D11") == [
        ["Unique students", 300, 1204, "▼▼ far below usual"],
        ["Code runs", 3855, 3855, "≈ as usual"],
    ]
    assert day.number_format("C14") == {"type": "PERCENT", "pattern": "0.0%"}

    publish(google.settings, [sheet_content(statistics=quiet)])

    assert google.spreadsheet.sheet("Day").area("C9", "D16") == [[None, None]] * 8


def test_corrected_figures_stand_beside_those_they_replace(google: GoogleStandIn) -> None:
    """A correction is said in a sentence, and only the figures that changed show the old value; later it is gone."""
    old = DailyStatistics(unique_users=1204, runs=3855, submits=1990, successful_submits=694)
    content = sheet_content(revision=2, previous=old)
    publish(google.settings, [content])

    day = google.spreadsheet.sheet("Day")
    assert day.value("A4") == content.correction_text
    assert day.value("E9") == "was"
    assert {row[0]: row[4] for row in day.area("A10", "E16") if row[4] is not None} == {
        "Submits": 1990,
        "Share of successful submits": pytest.approx(694 / 1990),
        "Submits per student, on average": pytest.approx(1990 / 1204),
    }
    assert dict(zip(*google.spreadsheet.sheet("History").grid(), strict=True))["Revision"] == 2

    publish(google.settings, [sheet_content()])

    day = google.spreadsheet.sheet("Day")
    assert day.value("A4") is None
    assert day.area("E9", "E16") == [[None]] * 8


def test_trust_line_has_a_light_ground_that_tells_its_level(google: GoogleStandIn) -> None:
    """One bold sentence across the card; its ground is light and follows the level from day to day."""
    grounds = {}
    for content in (sheet_content(counts=BALANCED), sheet_content(), sheet_content(complete=False)):
        publish(google.settings, [content])
        day = google.spreadsheet.sheet("Day")
        assert day.value("A3") == content.trust.text
        assert day.cell("A3")["userEnteredFormat"]["textFormat"]["bold"]
        assert [day.ground(f"{column}3") for column in "BCDE"] == [day.ground("A3")] * 4
        grounds[content.trust.trust] = day.ground("A3")["rgbColor"]

    assert len({str(ground) for ground in grounds.values()}) == len(Trust) == 3
    assert all(min(ground.values()) > 0.8 for ground in grounds.values())
    assert max(grounds[Trust.GOOD].items(), key=lambda part: part[1])[0] == "green"
    assert max(grounds[Trust.BAD].items(), key=lambda part: part[1])[0] == "red"


def test_hours_stand_at_a_fixed_place(google: GoogleStandIn) -> None:
    """A shorter day leaves nothing of a longer one: 25 hours, then the 14 of an unfinished day."""
    longest = sheet_content(date(2023, 10, 29), zone="Europe/Berlin")
    publish(google.settings, [longest])
    day = google.spreadsheet.sheet("Day")
    assert day.area("G21", "J23")[0][0] == longest.hours.title
    assert day.area("G23", "J24") == [["Hour", "Code runs", "Submits", "Successful submits"], ["00:00", 100, 50, 20]]
    assert [row[0] for row in day.area("G24", "G49")] == [row[0].value for row in longest.hours.rows] + [None]
    assert len(longest.hours.rows) == 25

    publish(google.settings, [sheet_content(complete=False)])

    hours = google.spreadsheet.sheet("Day").area("G24", "J49")
    assert hours[13] == ["13:00", 113, 63, 33]
    assert hours[14:] == [[None] * 4] * 12


def test_last_days_stand_with_real_dates_and_gaps(google: GoogleStandIn) -> None:
    """28 rows, one a day; a day that was never processed is an empty row, so that the chart shows a gap."""
    past = [day for day in earlier_days(APRIL) if day.date != date(2023, 3, 30)]

    publish(google.settings, [sheet_content(past=past)])

    day = google.spreadsheet.sheet("Day")
    rows = day.area("L23", "P51")
    assert rows[0] == ["Date", "Students", "Code runs", "Submits", "Successful"]
    assert [row[0] for row in rows[1:]] == list(range(44990, 45018))
    assert rows[-1] == [45017, 1204, 3855, 2000, pytest.approx(0.347)]
    assert rows[-3] == [45015, None, None, None, None]
    assert day.number_format("L24")["type"] == "DATE"
    assert day.number_format("P24")["type"] == "PERCENT"


def test_moments_are_shown_in_the_zone_of_the_operator(google: GoogleStandIn) -> None:
    """A spreadsheet knows no zones: the serial number is the local time."""
    publish(google.settings, [sheet_content(zone="Europe/Moscow")])

    card = google.spreadsheet.sheet("Day").labelled()
    assert card["Prepared at"] == pytest.approx(serial(datetime(2023, 4, 2, 9, 30)))  # noqa: DTZ001
    assert card["Time zone"] == "Europe/Moscow"


def test_missing_values_are_a_dash_on_the_card_and_blank_in_tables(google: GoogleStandIn) -> None:
    """A day without submits has no share: a word for readers, nothing for those who compute on."""
    publish(google.settings, [sheet_content(statistics=EMPTY, counts=None)])

    row = dict(zip(*google.spreadsheet.sheet("History").grid(), strict=True))
    assert google.spreadsheet.sheet("Day").labelled()["Share of successful submits"] == "—"
    assert google.spreadsheet.sheet("Day").value("P51") is None
    assert row["Share of successful submits"] is None
    assert row["Received"] is None
    assert row["Submits"] == 0


def test_shorter_card_leaves_nothing_of_a_longer_one(google: GoogleStandIn) -> None:
    """The block of the card has a fixed height."""
    publish(google.settings, [sheet_content()])
    publish(google.settings, [sheet_content(counts=None)])

    labels = google.spreadsheet.sheet("Day").labelled()
    assert "Received" not in labels
    assert not any("kept" in str(label) for label in labels)


# Courses and tasks


def test_courses_and_tasks_stand_side_by_side(google: GoogleStandIn) -> None:
    """Courses on the left; on the right the hardest tasks, and the unsolved ones below them, under date and headers."""
    content = rich_content()

    publish(google.settings, [content])

    sheet = google.spreadsheet.sheet("Courses and tasks")
    assert sheet.value("A1") == content.title
    assert sheet.area("A3", "A5") == [[content.courses.title], [content.courses.note], ["Course"]]
    assert sheet.area("A5", "G5")[0] == [column.label for column in content.courses.columns]
    assert sheet.area("A6", "G6")[0] == ["course-v1:School+C0+2023", 50, 500, 200, 0.4, 0.5, 2.5]
    assert [row[0] for row in sheet.area("A6", "A36")] == [row[0].value for row in content.courses.rows] + [None]
    assert sheet.area("I3", "N5")[2] == [column.label for column in content.hardest.columns]
    assert [row[1] for row in sheet.area("I6", "N16")] == [row[1].value for row in content.hardest.rows] + [None]
    assert sheet.area("I17", "I19") == [[content.unsolved.title], [content.unsolved.note], ["Course"]]
    assert [row[1] for row in sheet.area("I20", "N30")] == [row[1].value for row in content.unsolved.rows] + [None]
    assert sheet.number_format("E6")["type"] == "PERCENT"
    assert sheet.number_format("G6") == {"type": "NUMBER", "pattern": "0.00"}


def test_shorter_lists_leave_nothing_of_longer_ones(google: GoogleStandIn) -> None:
    """The next day's list may be of any length; an empty one says so."""
    publish(google.settings, [rich_content(courses=[course(number) for number in range(150)])])
    short = sheet_content(date(2023, 4, 2), courses=[course()], tasks=[task()])
    publish(google.settings, [short])

    sheet = google.spreadsheet.sheet("Courses and tasks")
    assert sheet.area("A6", "A155") == [["course-v1:School+C1+2023"], *[[None]] * 149]
    tasks = ["course-v1:School+C1+2023", short.unsolved.title, "Course", short.unsolved.empty]
    assert [row[0] for row in sheet.area("I6", "I40") if row[0] is not None] == tasks
    assert sheet.area("J6", "N40")[1:13] == [[None] * 5] * 12

    publish(google.settings, [sheet_content(date(2023, 4, 3))])

    sheet = google.spreadsheet.sheet("Courses and tasks")
    assert (sheet.value("A6"), sheet.value("I6")) == (short.courses.empty, short.hardest.empty)


def test_longer_list_than_the_worksheet_has_rows_grows_it(google: GoogleStandIn) -> None:
    """Rows are appended in the same batch."""
    publish(google.settings, [sheet_content()])
    google.spreadsheet.sheet("Courses and tasks").rows = 30

    publish(google.settings, [rich_content(courses=[course(number) for number in range(60)])])

    sheet = google.spreadsheet.sheet("Courses and tasks")
    assert sheet.rows == 65
    assert sheet.value("A65") == "course-v1:School+C59+2023"


# What is the same on every worksheet


def test_russian_report_has_russian_worksheets_and_labels(google: GoogleStandIn) -> None:
    """Titles and labels follow the language of the content."""
    content = rich_content(language=Language.RUSSIAN)

    publish(google.settings, [content])

    titles = content.sheet_titles
    assert google.spreadsheet.titles() == ["Sheet1", titles.day, titles.history, titles.courses]
    assert re.search("[а-я]", titles.day + titles.history)
    assert google.spreadsheet.sheet(titles.day).value("A1") == content.title
    assert google.spreadsheet.sheet(titles.history).grid()[0] == [row.label for row in content.history]
    assert google.spreadsheet.sheet(titles.courses).value("A3") == content.courses.title


def test_new_worksheets_are_made_to_be_read(google: GoogleStandIn) -> None:
    """Widths, bands, frozen headers and a large title are given once, when a worksheet is made."""
    publish(google.settings, [rich_content()])

    day, history, courses = (google.spreadsheet.sheet(title) for title in WORKSHEETS[1:])
    assert (len(day.widths), len(history.widths), len(courses.widths)) == (16, 15, 14)
    assert (len(day.bands), len(history.bands), len(courses.bands)) == (3, 1, 3)
    assert (day.frozen_rows, history.frozen_rows, courses.frozen_rows) == (0, 1, 5)
    assert all(sheet.cell("A1")["userEnteredFormat"]["textFormat"]["fontSize"] == 16 for sheet in (day, courses))
    assert day.cell("A10")["userEnteredFormat"]["wrapStrategy"] == "WRAP"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum", "\t=1", '=IMPORTDATA("https://example.org/")', "'x"])
def test_text_never_becomes_a_formula_or_a_link(google: GoogleStandIn, text: str) -> None:
    """Every text of the content is written as text, on every worksheet; the stand-in refuses formulas and links."""
    content = hostile(rich_content(revision=2, previous=EMPTY), text)

    publish(google.settings, [content])

    texts = 0
    for sheet in google.spreadsheet.sheets:
        for cell in sheet.cells.values():
            value = cell.get("userEnteredValue", {})
            assert set(value) <= {"stringValue", "numberValue"}
            if value.get("stringValue") == text:
                texts += 1
                assert cell["userEnteredFormat"]["hyperlinkDisplayType"] == "PLAIN_TEXT"
    assert texts > 100
    assert {chart["spec"]["title"] for chart in google.spreadsheet.charts()} == {text}


def hostile(content: DayContent, text: str) -> DayContent:
    """Put a text in the place of every text of a day."""
    changed: DayContent = replace_texts(content, text, kept=("language", "sheet_titles"))
    return changed


def replace_texts(part: Any, text: str, kept: tuple[str, ...] = ()) -> Any:
    """Return a part of the content with every text replaced, keys and what is typed excepted."""
    fresh = part
    if isinstance(part, tuple):
        fresh = tuple(replace_texts(each, text) for each in part)
    elif isinstance(part, Cell):
        fresh = replace(part, value=text, text=text) if part.kind is CellKind.TEXT else part
    elif is_dataclass(part) and not isinstance(part, type):
        names = [field.name for field in fields(part) if field.name not in {*kept, "key"}]
        fresh = replace(part, **{name: replace_texts(getattr(part, name), text) for name in names})
    elif isinstance(part, str) and not isinstance(part, Enum):
        fresh = text
    return fresh


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x00b\x1bc", "a\ufffdb\ufffdc"),
        ("\ud800", "\ufffd"),
        ("x" * 60_000, "x" * 5_000),
        ("ё\u00a0%\n", "ё\u00a0%\n"),
    ],
    ids=["control", "surrogate", "long", "fit"],
)
def test_text_that_google_would_refuse_does_not_stop_the_report(google: GoogleStandIn, text: str, shown: str) -> None:
    """Control characters, halves of characters and endless texts are made fit; what is fit stays as it is."""
    plain = sheet_content()
    content = replace(plain, facts=(Row("zone", text, Cell(CellKind.TEXT, text, text)),))

    publish(google.settings, [content])

    assert google.spreadsheet.sheet("Day").area("A5", "B5") == [[shown, shown]]


# Partial days and tests


def test_partial_label_comes_and_goes(google: GoogleStandIn) -> None:
    """An unfinished day is marked in bold on a coloured ground, until the whole day is published."""
    partial = sheet_content(complete=False)
    publish(google.settings, [partial])
    for sheet in (google.spreadsheet.sheet(title) for title in ("Day", "Courses and tasks")):
        assert sheet.value("A2") == partial.partial
        assert sheet.cell("A2")["userEnteredFormat"]["textFormat"]["bold"]
        assert sheet.ground("A2") == sheet.ground("E2") is not None
    assert "PARTIAL" in google.spreadsheet.sheet("History").grid()[1]

    publish(google.settings, [sheet_content()])

    for sheet in (google.spreadsheet.sheet(title) for title in ("Day", "Courses and tasks")):
        assert sheet.value("A2") is None
        assert sheet.ground("A2") is sheet.ground("E2") is None
    assert len(google.spreadsheet.sheet("History").grid()) == 2
    assert "PARTIAL" not in google.spreadsheet.sheet("History").grid()[1]


def test_test_run_touches_its_own_worksheet_only(google: GoogleStandIn) -> None:
    """A test is drawn apart, under its label; the other worksheets do not know of it."""
    publish(google.settings, [sheet_content()])
    before = sheet_state(google)

    content = sheet_content(mode=Mode.TEST, statistics=EMPTY)
    publish(google.settings, [content])

    test = google.spreadsheet.sheet("Test (first hour)")
    assert google.spreadsheet.sheets[: len(before)] == before
    assert test.value("A2") == content.partial
    assert test.value("A3") == content.trust.text
    assert test.labelled()["Submits"] == 0
    assert test.charts == []


def test_test_run_alone_creates_nothing_else(google: GoogleStandIn) -> None:
    """Only the worksheet that is needed is created."""
    publish(google.settings, [sheet_content(mode=Mode.TEST)])

    assert google.spreadsheet.titles() == ["Sheet1", "Test (first hour)"]
    assert google.names() == ["get", "batchUpdate"]


# Again


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("language", list(Language))
def test_repeat_leaves_everything_identical(google: GoogleStandIn, language: Language, mode: Mode) -> None:
    """Publishing the same again changes nothing at all: cells, charts, bands, developer metadata."""
    content = rich_content(language=language, mode=mode)
    publish(google.settings, [content])
    before = sheet_state(google)

    for _ in range(2):
        publish(google.settings, [content])

    assert sheet_state(google) == before


def test_change_of_language_relabels_and_does_not_duplicate(google: GoogleStandIn) -> None:
    """The same worksheets, rows and charts in other words, and back again to the last bit."""
    publish(google.settings, [rich_content()])
    before = sheet_state(google)
    russian = rich_content(language=Language.RUSSIAN)

    publish(google.settings, [russian])

    titles = russian.sheet_titles
    history = google.spreadsheet.sheet(titles.history)
    assert google.spreadsheet.titles() == ["Sheet1", titles.day, titles.history, titles.courses]
    assert [sheet.id for sheet in google.spreadsheet.sheets] == [sheet.id for sheet in before]
    assert history.grid()[0] == [row.label for row in russian.history]
    assert len(history.grid()) == 2
    english_words = {row.label for row in rich_content().history} & set(texts_of(google.spreadsheet.sheet(titles.day)))
    assert english_words == set()
    publish(google.settings, [rich_content()])
    assert sheet_state(google) == before


def texts_of(sheet: StandInSheet) -> list[str]:
    """Return every text of a worksheet."""
    return [value for row in sheet.grid() for value in row if isinstance(value, str)]


def test_range_of_days_shows_the_last_one(google: GoogleStandIn) -> None:
    """Every day of a range is in the history; the other worksheets show the last."""
    days = [sheet_content(APRIL + timedelta(days=n)) for n in range(3)]

    publish(google.settings, days)

    assert google.spreadsheet.sheet("Day").labelled()["Processed date"] == 45019
    assert google.spreadsheet.sheet("Courses and tasks").value("A1") == days[-1].title
    assert [row[0] for row in google.spreadsheet.sheet("History").grid()[1:]] == [45017, 45018, 45019]


def test_day_without_anything_behind_it_is_drawn(google: GoogleStandIn) -> None:
    """An empty day has its card and zeros; its tables say that there is nothing."""
    nothing = Counts(0, 0, 0, 0, 0, 0, 0)
    content = sheet_content(statistics=EMPTY, counts=nothing)

    publish(google.settings, [content])

    day = google.spreadsheet.sheet("Day")
    assert day.labelled()["Unique students"] == 0
    assert day.value("A3") == content.trust.text
