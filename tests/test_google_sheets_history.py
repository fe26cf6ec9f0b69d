"""The history in the Google Sheet: a row a day, found and corrected wherever people have moved it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from app_types import Language
from google_sheets import publish
from sheets.spreadsheet import COLUMNS_KEY, WORKSHEET_KEY
from tests.support.sheet_contents import APRIL, EMPTY, STATISTICS, history_rows, sheet_content, sheet_state

if TYPE_CHECKING:
    from tests.support.google import GoogleStandIn

NEXT = date(2023, 4, 2)


def column(google: GoogleStandIn, header: str, title: str = "History") -> list[Any]:
    """Return what stands below a header of the history."""
    grid = google.spreadsheet.sheet(title).grid()
    top, index = next((number, row.index(header)) for number, row in enumerate(grid) if header in row)
    return [row[index] for row in grid[top + 1 :]]


def test_history_has_a_header_and_a_row_a_day(google: GoogleStandIn) -> None:
    """Every day of a range gets its row, under a bold and frozen header."""
    days = [sheet_content(APRIL + timedelta(days=n)) for n in range(3)]

    publish(google.settings, days)

    history = google.spreadsheet.sheet("History")
    assert history.grid()[0] == [row.label for row in days[0].history]
    assert [row[0] for row in history.grid()[1:]] == [45017, 45018, 45019]
    assert history.number_format("A2")["type"] == "DATE"
    assert history.cell("A1")["userEnteredFormat"]["textFormat"] == {"bold": True}
    assert "textFormat" not in history.cell("A2")["userEnteredFormat"]
    assert history.frozen_rows == 1


def test_row_tells_totals_counts_state_and_revision(google: GoogleStandIn) -> None:
    """Whatever is known of a day and its run stands in its row."""
    publish(google.settings, [sheet_content(revision=3, previous=EMPTY)])

    row = dict(zip(*google.spreadsheet.sheet("History").grid(), strict=True))
    assert (row["Unique students"], row["Submits"], row["Received"], row["Rejected"]) == (1204, 2000, 5931, 56)
    assert (row["State"], row["Revision"]) == ("whole day", 3)


def test_corrected_day_is_corrected_in_place(google: GoogleStandIn) -> None:
    """A day that is published again keeps its row; the other days keep their figures."""
    publish(google.settings, [sheet_content(APRIL + timedelta(days=n)) for n in range(3)])
    before = google.spreadsheet.sheet("History").grid()

    publish(google.settings, [sheet_content(NEXT, statistics=EMPTY)])

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


@pytest.mark.parametrize("place", ["Z9", "Q2"])
def test_earlier_day_is_appended_where_people_write_beside_the_history(google: GoogleStandIn, place: str) -> None:
    """No row is inserted through cells of other people; the order is then theirs to make."""
    publish(google.settings, [sheet_content(APRIL + timedelta(days=5))])
    google.spreadsheet.sheet("History").put(place, "our holiday")

    publish(google.settings, [sheet_content(APRIL)])

    history = google.spreadsheet.sheet("History")
    assert [row[0] for row in history.grid()[1:3]] == [45022, 45017]
    assert history.value(place) == "our holiday"


def test_history_sorted_by_people_is_left_in_their_order(google: GoogleStandIn) -> None:
    """Where the newest day stands first, a new one is appended and the known ones are found."""
    publish(google.settings, [sheet_content()])
    history = google.spreadsheet.sheet("History")
    history.put("A2", 45020)
    history.put("A3", 45018)

    publish(google.settings, [sheet_content(NEXT, statistics=EMPTY), sheet_content(date(2023, 4, 3))])

    assert [row[0] for row in history_rows(google)] == [45020, 45018, 45019]
    assert history_rows(google)[1][1] == 0


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


def test_history_longer_than_its_grid_grows(google: GoogleStandIn) -> None:
    """Rows are added in the same batch when the grid is full."""
    publish(google.settings, [sheet_content()])
    google.spreadsheet.sheet("History").rows = 2

    publish(google.settings, [sheet_content(APRIL + timedelta(days=n)) for n in range(1, 4)])

    assert len(google.spreadsheet.sheet("History").grid()) == 5
    assert google.spreadsheet.sheet("History").rows == 5


# Columns


def test_moved_columns_are_found(google: GoogleStandIn) -> None:
    """People may order the columns as they like, the date among them; figures go where their headers are."""
    publish(google.settings, [sheet_content()])
    for source, target in ((0, 6), (2, 0), (12, 1)):
        google.spreadsheet.move("History", "COLUMNS", source, target)
    order = google.spreadsheet.sheet("History").grid()[0]

    publish(google.settings, [sheet_content(statistics=EMPTY), sheet_content(NEXT)])

    assert google.spreadsheet.sheet("History").grid()[0] == order
    assert column(google, "Date") == [45017, 45018]
    assert column(google, "Submits") == [0, 2000]
    assert column(google, "State") == ["whole day", "whole day"]


def test_columns_of_people_in_between_and_beside_are_untouched(google: GoogleStandIn) -> None:
    """A column that people put anywhere keeps every cell, through corrections, new days and another language."""
    publish(google.settings, [sheet_content()])
    google.spreadsheet.insert("History", "COLUMNS", 3)
    google.spreadsheet.insert("History", "COLUMNS", 0)
    history = google.spreadsheet.sheet("History")
    for name, value in {"A1": "Who", "A2": "Anna", "E1": "Runs, last year", "E2": "7", "S1": "Beside"}.items():
        history.put(name, value, note=f"note of {name}")
    theirs = {name: history.cell(name) for name in ("A1", "A2", "A3", "E1", "E2", "E3", "S1", "S2", "S3")}

    publish(google.settings, [sheet_content(statistics=EMPTY), sheet_content(NEXT, language=Language.RUSSIAN)])

    history = google.spreadsheet.sheet("История")
    assert {name: history.cell(name) for name in theirs} == theirs
    assert column(google, "Дата", "История") == [45017, 45018]
    assert column(google, "Отправки на проверку", "История") == [0, 2000]


def test_header_that_people_renamed_keeps_its_name(google: GoogleStandIn) -> None:
    """A column is known by its mark; what people call it is theirs, in every language."""
    publish(google.settings, [sheet_content()])
    history = google.spreadsheet.sheet("History")
    history.put("A1", "When")
    history.put("D1", "Sent for grading")

    publish(google.settings, [sheet_content(statistics=EMPTY, language=Language.RUSSIAN)])

    header, row = google.spreadsheet.sheet("История").grid()
    assert (header[0], header[2], header[3]) == ("When", "Запуски кода", "Sent for grading")
    assert (row[0], row[3]) == (45017, 0)


def test_all_headers_renamed_leave_the_header_where_it_is(google: GoogleStandIn) -> None:
    """The row of the header is marked, too: no second header, no second row of the day."""
    publish(google.settings, [sheet_content()])
    google.spreadsheet.insert("History", "ROWS", 0)
    history = google.spreadsheet.sheet("History")
    for letter in "ABCDEFGHIJKLMNO":
        history.put(f"{letter}2", f"theirs {letter}")
    renamed = history.grid()[1]

    publish(google.settings, [sheet_content(statistics=EMPTY)])

    grid = google.spreadsheet.sheet("History").grid()
    assert grid[1] == renamed
    assert (len(grid), grid[2][:2]) == (3, [45017, 0])


def test_emptied_header_is_written_again(google: GoogleStandIn) -> None:
    """An empty header is nobody's name."""
    publish(google.settings, [sheet_content()])
    google.spreadsheet.sheet("History").clear("D1")

    publish(google.settings, [sheet_content()])

    assert google.spreadsheet.sheet("History").value("D1") == "Submits"


def test_column_cut_and_pasted_elsewhere_is_followed_by_its_header(google: GoogleStandIn) -> None:
    """Cutting takes cells along, but not the mark: the header says where the column is now."""
    publish(google.settings, [sheet_content()])
    history = google.spreadsheet.sheet("History")
    for row in (0, 1):
        history.cells[row, 20] = history.cells.pop((row, 3))

    publish(google.settings, [sheet_content(statistics=EMPTY)])

    history = google.spreadsheet.sheet("History")
    assert (history.value("U1"), history.value("U2")) == ("Submits", 0)
    assert (history.value("D1"), history.value("D2")) == (None, None)


def test_column_that_people_deleted_stays_deleted(google: GoogleStandIn) -> None:
    """What people do not want does not come back; the other columns are served as before."""
    publish(google.settings, [sheet_content()])
    google.spreadsheet.delete("History", "COLUMNS", 10)

    publish(google.settings, [sheet_content(), sheet_content(NEXT)])

    header = google.spreadsheet.sheet("History").grid()[0]
    assert "With defects" not in header
    assert len(header) == len(sheet_content().history) - 1
    assert column(google, "State") == ["whole day"] * 2


def test_column_that_is_new_in_the_program_stands_behind_everything(google: GoogleStandIn) -> None:
    """A history of an older version gets the columns it lacks, beside the columns of people."""
    publish(google.settings, [sheet_content()])
    google.spreadsheet.delete("History", "COLUMNS", 13)
    history = google.spreadsheet.sheet("History")
    note = next(mark for mark in history.marks if mark["metadataKey"] == COLUMNS_KEY)
    note["metadataValue"] = note["metadataValue"].replace(" revision", "")
    history.put("P1", "Theirs")

    publish(google.settings, [sheet_content()])

    history = google.spreadsheet.sheet("History")
    assert (history.value("P1"), history.value("Q1"), history.value("Q2")) == ("Theirs", "Revision", 1)
    before = sheet_state(google)
    publish(google.settings, [sheet_content()])
    assert sheet_state(google) == before


def test_history_without_marks_is_known_by_its_headers(google: GoogleStandIn) -> None:
    """A history of a version that marked no columns, or one that was copied over, is adopted in either language."""
    publish(google.settings, [sheet_content(language=Language.RUSSIAN)])
    history = google.spreadsheet.sheet("История")
    history.marks = [mark for mark in history.marks if mark["metadataKey"] == WORKSHEET_KEY]
    google.spreadsheet.move("История", "COLUMNS", 0, 4)
    order = google.spreadsheet.sheet("История").grid()[0]

    publish(google.settings, [sheet_content(statistics=EMPTY)])

    grid = google.spreadsheet.sheet("History").grid()
    assert len(grid) == 2
    assert [len(set(order)), grid[0][4], grid[1][4]] == [len(grid[0]), "Date", 45017]
    assert column(google, "Submits") == [0]


# The header


def test_history_without_its_header_gets_one_above(google: GoogleStandIn) -> None:
    """A header that people deleted comes back as a new row; nothing is overwritten by it."""
    publish(google.settings, [sheet_content(), sheet_content(NEXT)])
    google.spreadsheet.delete("History", "ROWS", 0)

    publish(google.settings, [sheet_content(NEXT)])

    assert [row[0] for row in google.spreadsheet.sheet("History").grid()] == ["Date", 45017, 45018]


def test_history_below_a_heading_of_other_people_is_found(google: GoogleStandIn) -> None:
    """Rows above the header belong to people."""
    publish(google.settings, [sheet_content()])
    google.spreadsheet.insert("History", "ROWS", 0)
    google.spreadsheet.sheet("History").put("A1", "Spring")

    publish(google.settings, [sheet_content(language=Language.RUSSIAN), sheet_content(NEXT)])

    assert [row[0] for row in google.spreadsheet.sheet("History").grid()] == ["Spring", "Date", 45017, 45018]


def test_deleted_row_comes_back_when_its_day_is_published(google: GoogleStandIn) -> None:
    """A row is found by its date only; without one the day gets a new row in its place."""
    days = [sheet_content(APRIL + timedelta(days=n)) for n in range(3)]
    publish(google.settings, days)
    google.spreadsheet.delete("History", "ROWS", 2)

    publish(google.settings, [sheet_content(NEXT, statistics=STATISTICS)])

    assert [row[0] for row in history_rows(google)] == [45017, 45018, 45019]


@pytest.mark.parametrize("language", list(Language))
def test_worksheet_with_our_title_is_adopted(google: GoogleStandIn, language: Language) -> None:
    """A worksheet that has our title in either language is taken, marked and given what it lacks."""
    titles = sheet_content(language=language).sheet_titles
    for title in (titles.day, titles.history, titles.courses):
        google.spreadsheet.add(title, rows=1, columns=1)

    publish(google.settings, [sheet_content(APRIL + timedelta(days=n)) for n in range(3)])

    assert google.spreadsheet.titles() == ["Sheet1", "Day", "History", "Courses and tasks"]
    history = google.spreadsheet.sheet("History")
    assert [mark["metadataValue"] for mark in history.marks if mark["metadataKey"] == WORKSHEET_KEY] == ["history"]
    assert {mark["visibility"] for mark in history.marks} == {"DOCUMENT"}
    assert history.frozen_rows == 1
    assert len(history.grid()) == 4
    assert history.bands == []
    assert len(history.charts) == 2
