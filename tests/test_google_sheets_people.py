"""What people do to the Google Sheet survives every publication; what they forbid is told, and nothing is half done."""

from __future__ import annotations

import re
from copy import deepcopy
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from app_types import Language, Mode
from exceptions import SheetError
from google_sheets import publish
from messages import Messages
from sheets.spreadsheet import WORKSHEET_KEY
from tests.support.google_spreadsheet import MOST_CELLS
from tests.support.sheet_contents import (
    APRIL,
    EMPTY,
    course,
    rich_content,
    sheet_content,
    sheet_refusal,
    sheet_state,
    task,
)

if TYPE_CHECKING:
    from tests.support.google import GoogleStandIn

GREEN = {"backgroundColorStyle": {"rgbColor": {"green": 1.0}}, "horizontalAlignment": "CENTER"}
NEXT = date(2023, 4, 2)


def test_cells_of_other_people_survive(google: GoogleStandIn) -> None:
    """Notes, colours, texts beside and below ours and other worksheets are as they were."""
    publish(google.settings, [rich_content()])
    spreadsheet = google.spreadsheet
    spreadsheet.sheet("Sheet1").put("A1", "mine", note="do not touch")
    for title, name in (("Day", "S1"), ("Day", "A60"), ("Courses and tasks", "P7"), ("History", "S2")):
        spreadsheet.sheet(title).put(name, f"my text in {name}", userEnteredFormat=deepcopy(GREEN))
    others = {
        (sheet.title, place): deepcopy(cell)
        for sheet in spreadsheet.sheets
        for place, cell in sheet.cells.items()
        if "my text" in str(cell)
    }
    first = deepcopy(spreadsheet.sheet("Sheet1"))

    publish(google.settings, [rich_content(NEXT, statistics=EMPTY)])
    publish(google.settings, [sheet_content(NEXT)])

    assert google.spreadsheet.sheet("Sheet1") == first
    assert len(others) == 4
    assert {place: google.spreadsheet.sheet(place[0]).cells[place[1]] for place in others} == others


def test_notes_and_colours_on_our_cells_survive(google: GoogleStandIn) -> None:
    """A remark on a figure stays where it was made, as do colours, fonts and alignment."""
    publish(google.settings, [rich_content()])
    places = {"Day": ["B10", "H24", "M30"], "History": ["A1", "A2", "D2"], "Courses and tasks": ["A6", "J6", "K20"]}
    for title, names in places.items():
        for name in names:
            cell = google.spreadsheet.sheet(title).cell(name)
            cell["note"] = f"why in {name}?"
            cell["userEnteredFormat"].update(deepcopy(GREEN))
            cell["userEnteredFormat"].setdefault("textFormat", {})["fontFamily"] = "Georgia"

    publish(google.settings, [rich_content(statistics=EMPTY)])

    for title, names in places.items():
        for name in names:
            cell = google.spreadsheet.sheet(title).cell(name)
            assert cell["note"] == f"why in {name}?"
            assert cell["userEnteredFormat"].items() >= GREEN.items()
            assert cell["userEnteredFormat"]["textFormat"]["fontFamily"] == "Georgia"


def test_formats_of_the_worksheets_survive(google: GoogleStandIn) -> None:
    """Widths, bands, conditional formats, filters and frozen rows are people's once the worksheet is there."""
    publish(google.settings, [rich_content()])
    for sheet in google.spreadsheet.sheets[1:]:
        sheet.widths[0] = 77
        sheet.bands = sheet.bands[1:]
        sheet.frozen_rows = 2
        cells = {"sheetId": sheet.id, "startRowIndex": 0, "endRowIndex": 9, "startColumnIndex": 0, "endColumnIndex": 3}
        sheet.basic_filter = {"range": dict(cells)}
        sheet.conditional_formats = [{"ranges": [dict(cells)], "booleanRule": {"condition": {"type": "NOT_BLANK"}}}]
    looks = [(s.widths, s.bands, s.frozen_rows, s.basic_filter, s.conditional_formats) for s in sheet_state(google)]

    publish(google.settings, [rich_content(NEXT, language=Language.RUSSIAN, complete=False)])

    assert looks == [
        (s.widths, s.bands, s.frozen_rows, s.basic_filter, s.conditional_formats) for s in google.spreadsheet.sheets
    ]


def test_heading_that_people_put_before_the_day_stays(google: GoogleStandIn) -> None:
    """The corner of each worksheet is marked: rows and columns before it are people's, and the rest moves with it."""
    publish(google.settings, [rich_content()])
    for title in ("Day", "Courses and tasks"):
        google.spreadsheet.insert(title, "ROWS", 0, 2)
        google.spreadsheet.insert(title, "COLUMNS", 0)
        google.spreadsheet.sheet(title).put("A1", "Our school")
        google.spreadsheet.sheet(title).put("C2", "Spring")
    content = sheet_content(NEXT, language=Language.RUSSIAN, courses=[course()], tasks=[task()])

    publish(google.settings, [content])

    day, courses = google.spreadsheet.sheet("День"), google.spreadsheet.sheet("Курсы и задачи")
    for sheet in (day, courses):
        assert (sheet.value("A1"), sheet.value("C2")) == ("Our school", "Spring")
        assert sheet.value("B3") == content.title
        assert sheet.area("A2", "A60") == [[None]] * 59
    assert day.area("H25", "H26") == [[content.hours.columns[0].label], ["00:00"]]
    assert courses.area("B8", "B9") == [["course-v1:School+C1+2023"], [None]]
    before = sheet_state(google)
    publish(google.settings, [content])
    assert sheet_state(google) == before


@pytest.mark.parametrize("dimension", ["ROWS", "COLUMNS"])
def test_row_or_column_deleted_at_the_corner_does_no_harm(google: GoogleStandIn, dimension: str) -> None:
    """Without its mark the report stands at the first cell again."""
    publish(google.settings, [rich_content()])
    google.spreadsheet.delete("Day", dimension, 0)

    publish(google.settings, [rich_content()])

    day = google.spreadsheet.sheet("Day")
    assert day.value("A1") == rich_content().title
    assert day.labelled()["Submits"] == 2000
    before = sheet_state(google)
    publish(google.settings, [rich_content()])
    assert sheet_state(google) == before


# Worksheets renamed, copied, taken


def test_renamed_worksheet_is_found_and_keeps_its_name(google: GoogleStandIn) -> None:
    """Worksheets are known by their metadata; a name that people gave is theirs, in every language."""
    publish(google.settings, [sheet_content()])
    names = ["Sheet1", "Yesterday", "It's been (so far)", "Courses!"]
    for sheet, name in zip(google.spreadsheet.sheets, names, strict=True):
        sheet.title = name

    publish(google.settings, [sheet_content(language=Language.RUSSIAN)])

    assert google.spreadsheet.titles() == names
    assert len(google.spreadsheet.sheet("It's been (so far)").grid()) == 2


def test_moved_worksheets_are_found(google: GoogleStandIn) -> None:
    """The order of the tabs is people's."""
    publish(google.settings, [sheet_content()])
    google.spreadsheet.sheets.reverse()

    publish(google.settings, [sheet_content(statistics=EMPTY)])

    assert google.spreadsheet.titles() == ["Courses and tasks", "History", "Day", "Sheet1"]
    assert google.spreadsheet.sheet("Day").labelled()["Submits"] == 0


def test_title_taken_by_something_else_gives_a_numbered_one(google: GoogleStandIn) -> None:
    """A chart or a worksheet of another role may bear our title, in any case of letters; both stay."""
    google.spreadsheet.add("day", kind="OBJECT", rows=0, columns=0)
    publish(google.settings, [sheet_content()])
    google.spreadsheet.sheet("History").title = "Test (first hour)"

    publish(google.settings, [sheet_content(mode=Mode.TEST)])

    titles = ["Sheet1", "day", "Day (2)", "Test (first hour)", "Courses and tasks", "Test (first hour) (2)"]
    assert google.spreadsheet.titles() == titles


def test_numbered_title_follows_the_language_too(google: GoogleStandIn) -> None:
    """A title that we had to number is still ours."""
    google.spreadsheet.add("Day", kind="OBJECT", rows=0, columns=0)
    publish(google.settings, [sheet_content()])

    publish(google.settings, [sheet_content(language=Language.RUSSIAN)])

    titles = sheet_content(language=Language.RUSSIAN).sheet_titles
    assert google.spreadsheet.titles() == ["Sheet1", "Day", titles.day, titles.history, titles.courses]


@pytest.mark.parametrize("title", ["Day", "History", "Courses and tasks"])
def test_copy_of_our_worksheet_does_not_take_its_place(google: GoogleStandIn, title: str) -> None:
    """A copy may carry our metadata: the one with our title is meant, and the copy is people's."""
    publish(google.settings, [rich_content()])
    copy = deepcopy(google.spreadsheet.copy(title, f"{title}, 1 April"))
    google.spreadsheet.sheets.insert(0, google.spreadsheet.sheets.pop())

    publish(google.settings, [rich_content(NEXT, statistics=EMPTY)])

    assert google.spreadsheet.sheets[0] == copy
    assert google.spreadsheet.sheet("Day").labelled()["Submits"] == 0
    assert len(google.spreadsheet.sheet("History").grid()) == 3


def test_worksheet_without_its_mark_is_adopted_by_its_title(google: GoogleStandIn) -> None:
    """Marks may be lost (an export and import): the title helps, and everything is marked again."""
    publish(google.settings, [rich_content()])
    for sheet in google.spreadsheet.sheets:
        sheet.marks.clear()

    publish(google.settings, [rich_content(NEXT)])

    assert google.spreadsheet.titles() == ["Sheet1", "Day", "History", "Courses and tasks"]
    assert len(google.spreadsheet.sheet("History").grid()) == 3
    roles = [[m["metadataValue"] for m in s.marks if m["metadataKey"] == WORKSHEET_KEY] for s in sheet_state(google)]
    assert roles == [[], ["day"], ["history"], ["courses"]]


# What is not allowed


@pytest.mark.parametrize("title", ["Day", "History", "Courses and tasks"])
@pytest.mark.parametrize("cells", [(), ("A1", "B12")], ids=["worksheet", "cells"])
def test_protection_leaves_the_old_report_whole_and_is_told(
    google: GoogleStandIn, title: str, cells: tuple[str, ...]
) -> None:
    """The error names the worksheet and the account to be allowed; no other worksheet shows the new day."""
    publish(google.settings, [rich_content()])
    google.spreadsheet.sheet(title).protect(*cells)
    before = sheet_state(google)

    with pytest.raises(SheetError) as caught:
        publish(google.settings, [rich_content(NEXT)])

    assert f"The worksheet {title} is protected" in str(caught.value)
    assert f"let {google.client_email} edit" in str(caught.value)
    assert "защищ" in Messages(Language.RUSSIAN).error(caught.value)
    assert sheet_state(google) == before


def test_title_of_a_protected_worksheet_is_told_without_its_control_characters(google: GoogleStandIn) -> None:
    """The title is people's; the terminal must not obey it."""
    publish(google.settings, [sheet_content()])
    google.spreadsheet.sheet("Day").title = "\x1b[31m" + "x" * 500
    google.spreadsheet.sheets[1].protect()

    text = str(sheet_refusal(google))

    assert "?[31mxxx" in text
    assert len(text) < 400


def test_protected_chart_worksheet_is_told_as_protected(google: GoogleStandIn) -> None:
    """A chart that may not be made because of protection is no reason to leave charts out."""
    google.spreadsheet.add("Day").protect()

    assert "The worksheet Day is protected" in str(sheet_refusal(google))
    assert google.names() == ["get", "batchUpdate"]


@pytest.mark.parametrize("protection", [{"warningOnly": True}, {"unprotectedRanges": "ours"}])
def test_protection_that_does_not_concern_us_is_no_hindrance(google: GoogleStandIn, protection: dict[str, Any]) -> None:
    """A warning for people, or a protected worksheet with our cells left free."""
    publish(google.settings, [rich_content()])
    history = google.spreadsheet.sheet("History")
    if protection == {"unprotectedRanges": "ours"}:
        protection = {"unprotectedRanges": [{"sheetId": history.id, "endRowIndex": 10, "endColumnIndex": 15}]}
    history.protect(**protection)

    publish(google.settings, [rich_content(NEXT)])

    assert len(google.spreadsheet.sheet("History").grid()) == 3


@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
def test_full_spreadsheet_is_told_and_left_as_it_was(google: GoogleStandIn, known: bool) -> None:
    """Google allows ten million cells: the remedy says what to do, and the old report is whole."""
    if known:
        publish(google.settings, [rich_content()])
        google.spreadsheet.sheet("History").rows = 2
    used = sum(sheet.rows * sheet.columns for sheet in google.spreadsheet.sheets[1:])
    google.spreadsheet.sheet("Sheet1").rows, google.spreadsheet.sheet("Sheet1").columns = MOST_CELLS - used, 1
    before = sheet_state(google)

    with pytest.raises(SheetError) as caught:
        publish(google.settings, [rich_content(APRIL + timedelta(days=n)) for n in range(3)])

    assert "no more cells" in str(caught.value)
    assert "GOOGLE_SHEET_ID" in str(caught.value)
    assert re.search("[а-я]", Messages(Language.RUSSIAN).error(caught.value))
    assert sheet_state(google) == before
