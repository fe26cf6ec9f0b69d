"""The workbook: real numbers, dates and percents, native charts over the cells, and nothing that could be executed."""

from __future__ import annotations

import errno
import os
import re
import stat
import warnings
import zipfile
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import openpyxl
import pytest
from openpyxl.cell.cell import Cell as XlsxCell

from app_types import Counts, DailyStatistics, DayDetails, Language, Mode
from exceptions import ReportError
from report.content import Background, DayContent
from report.parts import Cell, CellKind, Trust
from report.workbook import write_workbook
from tests.support.reports import (
    A_SATURDAY,
    COUNTS,
    COURSES,
    PYTHON,
    SQL,
    STATISTICS,
    a_day,
    days_before,
    empty_report,
    hours_of,
    report_on,
    tasks,
)

if TYPE_CHECKING:
    from openpyxl.workbook.workbook import Workbook
    from openpyxl.worksheet.worksheet import Worksheet

    from app_types import Day

posix = pytest.mark.skipif(os.name != "posix", reason="modes of files are a matter of POSIX")


@pytest.fixture(params=list(Language), ids=lambda language: language.name.lower())
def language(request: pytest.FixtureRequest) -> Language:
    """Give each language in turn."""
    return request.param  # type: ignore[no-any-return]


def _content(
    language: Language = Language.ENGLISH,
    *,
    day: Day | None = None,
    previous: DailyStatistics | None = None,
    names: dict[str, str] | None = None,
) -> DayContent:
    """Return the report on a busy Saturday with eight weeks before it, of which some days are missing."""
    day = day or a_day()
    background = Background(
        details=DayDetails(hours_of(day), COURSES, (*tasks(12), *tasks(14, successes=0, course=SQL)), 17),
        past=days_before(56, without=[3, 4, 10], partial=[12]),
        revision=2 if previous else 1,
        previous=previous,
        course_names=names or {},
    )
    return report_on(day, language=language, background=background)


def _opened(content: DayContent, folder: Path) -> Workbook:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        return openpyxl.load_workbook(write_workbook(content, folder))


def _found(sheet: Worksheet, text: str, number: int = 0) -> XlsxCell:
    """Return a cell by its text, the first one of those that have it unless told otherwise."""
    return [cell for row in sheet.iter_rows() for cell in row if cell.value == text][number]


def _value(cell: Cell) -> object:
    """Return what a spreadsheet holds for a cell of ours."""
    match cell.value:
        case datetime() as moment:
            return moment.replace(tzinfo=None)
        case date() as day:
            return datetime(day.year, day.month, day.day)  # noqa: DTZ001
        case None:
            return cell.text
        case value:
            return value


def _same(found: object, expected: object) -> bool:
    return found == (pytest.approx(expected) if isinstance(expected, float) else expected)


def _parts(path: Path, folder: str) -> dict[str, str]:
    """Return the XML of a workbook's parts by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist() if name.startswith(folder)}


def test_sheets_are_named_in_the_language(language: Language, tmp_path: Path) -> None:
    """There are the day, the history, and courses and tasks, in this order."""
    content = _content(language)
    titles = content.sheet_titles

    assert _opened(content, tmp_path).sheetnames == [titles.day, titles.history, titles.courses]


def test_workbook_is_named_by_its_date_and_a_test_run_apart(tmp_path: Path) -> None:
    """The workbook of a test run never takes the place of the day's, and its first sheet is called a test."""
    whole, test = _content(), _content(day=a_day(mode=Mode.TEST))

    assert write_workbook(whole, tmp_path) == tmp_path / "2023-04-01.xlsx"
    assert write_workbook(test, tmp_path) == tmp_path / "2023-04-01.test.xlsx"
    assert _opened(test, tmp_path).sheetnames[0] == test.sheet_titles.test


def test_every_figure_stands_beside_its_label_with_its_type(language: Language, tmp_path: Path) -> None:
    """Numbers, shares and dates are cells to calculate with, shown as such."""
    content = _content(language)
    sheet = _opened(content, tmp_path)[content.sheet_titles.day]

    for row in (*content.facts, *content.figures, content.stuck, *content.counts):
        cell = _found(sheet, row.label).offset(0, 1)
        assert _same(cell.value, _value(row.cell)), row.label
        if row.cell.kind is CellKind.SHARE:
            assert cell.number_format == "0.0%"
        if row.cell.kind in {CellKind.DATE, CellKind.MOMENT}:
            assert isinstance(cell, XlsxCell)
            assert cell.is_date


def test_moment_is_that_of_the_operators_clock(tmp_path: Path) -> None:
    """A spreadsheet knows no zones: the moment is told in the zone that stands below it."""
    content = _content()
    sheet = _opened(content, tmp_path)[content.sheet_titles.day]

    assert _found(sheet, "Prepared at").offset(0, 1).value == datetime(2023, 4, 2, 8, 3)  # noqa: DTZ001
    assert _found(sheet, "Time zone").offset(0, 1).value == "Europe/Moscow"


def test_usual_values_stand_beside_the_figures(language: Language, tmp_path: Path) -> None:
    """Each figure has the median of its weekday, an arrow and a word."""
    content = _content(language)
    sheet = _opened(content, tmp_path)[content.sheet_titles.day]

    for row in content.figures:
        assert row.compared
        label = _found(sheet, row.label)
        assert _same(label.offset(0, 2).value, row.compared.median.value)
        assert label.offset(0, 3).value == f"{row.compared.arrow} {row.compared.word}"
    assert _found(sheet, content.usual_heading).column == 3


def test_nothing_is_said_of_what_is_usual_where_it_is_not_known(tmp_path: Path) -> None:
    """Without a past there is neither heading nor column for it."""
    content = report_on()
    sheet = _opened(content, tmp_path)[content.sheet_titles.day]

    assert content.usual_heading not in [cell.value for row in sheet.iter_rows() for cell in row]


@pytest.mark.parametrize(
    ("trust", "day", "counts"),
    [
        (Trust.GOOD, a_day(), COUNTS),
        (Trust.WARNING, a_day(), replace(COUNTS, missing_at_source=12)),
        (Trust.BAD, a_day(mode=Mode.TEST), COUNTS),
    ],
    ids=["good", "warning", "bad"],
)
def test_trust_line_has_its_colour(trust: Trust, day: Day, counts: Counts, tmp_path: Path) -> None:
    """Whether the figures may be used is seen before a word is read."""
    content = report_on(day, counts=counts)
    sheet = _opened(content, tmp_path).worksheets[0]
    colours = {Trust.GOOD: "FFDFF3E6", Trust.WARNING: "FFFFF0C2", Trust.BAD: "FFFBDCD6"}

    assert content.trust.trust is trust
    assert _found(sheet, content.trust.text).fill.fgColor.rgb == colours[trust]


def test_partial_day_says_so_on_every_sheet(language: Language, tmp_path: Path) -> None:
    """The label stands below the title, before everything else, and the tabs are coloured; of a whole day never."""
    partial = _content(language, day=a_day(until=datetime(2023, 4, 1, 11, tzinfo=ZoneInfo("UTC"))))
    whole = _opened(_content(language), tmp_path / "whole")

    for sheet in _opened(partial, tmp_path).worksheets:
        assert sheet["A2"].value == partial.partial
        assert sheet["A2"].font.b
        assert sheet.sheet_properties.tabColor
    for sheet in whole.worksheets:
        assert sheet["A2"].value != partial.partial
        assert not sheet.sheet_properties.tabColor


def test_warnings_are_shown(tmp_path: Path) -> None:
    """What the content warns of stands at the top of the day."""
    content = report_on(counts=replace(COUNTS, missing_at_source=12))
    sheet = _opened(content, tmp_path)[content.sheet_titles.day]

    for warning in content.warnings:
        assert _found(sheet, warning).row < _found(sheet, content.figures_heading).row


def test_corrections_show_old_and_new(language: Language, tmp_path: Path) -> None:
    """A corrected day says so, with both values as numbers: the old one struck out, the new one behind an arrow."""
    content = _content(language, previous=replace(STATISTICS, submits=2000, successful_submits=900))
    sheet = _opened(content, tmp_path)[content.sheet_titles.day]

    assert content.corrections
    assert content.correction_text
    start = _found(sheet, content.correction_text).row
    for place, correction in enumerate(content.corrections, start=start + 1):
        label, old, new, *_ = sheet[place]
        assert label.value == correction.label
        assert _same(old.value, correction.old.value)
        assert _same(new.value, correction.new.value)
        assert old.font.strike
        assert new.number_format.startswith('"→ "')


def test_tables_hold_what_the_content_holds(language: Language, tmp_path: Path) -> None:
    """Hours, courses and tasks stand under their titles with heads and notes, row by row."""
    content = _content(language)
    workbook = _opened(content, tmp_path)
    sheets = {"hours": workbook[content.sheet_titles.day]}

    for table in (content.hours, content.courses, content.hardest, content.unsolved):
        sheet = sheets.get(table.key, workbook[content.sheet_titles.courses])
        head = _found(sheet, table.title).row + (2 if table.note else 1)
        if table.note:
            assert sheet.cell(head - 1, 1).value == table.note
        for number, cells in enumerate([[column.label for column in table.columns], *table.rows]):
            found = [cell.value for cell in sheet[head + number] if cell.value not in {None, ""}]
            expected = [_value(cell) if isinstance(cell, Cell) else cell for cell in cells]
            assert all(map(_same, found, expected)), (found, expected)
            assert len(found) == len(expected)


def test_numbers_of_the_stacked_tables_stand_in_line(tmp_path: Path) -> None:
    """Students are counted in the same column whether a table has tasks or not."""
    content = _content()
    sheet = _opened(content, tmp_path)[content.sheet_titles.courses]

    assert {_found(sheet, "Students", number).column for number in range(3)} == {3}


def test_history_has_a_row_for_every_day(language: Language, tmp_path: Path) -> None:
    """The days are whole rows with their dates, oldest first; days without any figures are blank but not left out."""
    content = _content(language)
    sheet = _opened(content, tmp_path)[content.sheet_titles.history]
    rows = list(sheet.iter_rows(min_row=3, values_only=True))

    assert [cell.value for cell in sheet[2]] == [column.label for column in content.days.columns]
    assert [row[0] for row in rows] == [
        datetime(2023, 4, 1) - timedelta(days=back)  # noqa: DTZ001
        for back in range(56, -1, -1)
    ]
    for row, cells in zip(rows, content.days.rows, strict=True):
        for found, cell in zip(row, cells, strict=True):
            assert _same(found, None if cell.value is None else _value(cell))
    assert rows[-4][1:-2] == (None,) * (len(content.days.columns) - 3)


def test_partial_days_of_the_history_are_marked(tmp_path: Path) -> None:
    """The state of a day that is not whole has the colour of the label."""
    content = _content()
    sheet = _opened(content, tmp_path)[content.sheet_titles.history]
    state = [column.key for column in content.days.columns].index("state")
    marked = [row[0].value for row in sheet.iter_rows(min_row=3) if row[state].fill.fgColor.rgb == "FFFDE68A"]

    assert marked == [datetime(2023, 3, 20)]  # noqa: DTZ001


def test_heads_stay_in_sight(tmp_path: Path) -> None:
    """Scrolling keeps the heads of the history and its dates, and what the other sheets are of."""
    content = _content()
    workbook = _opened(content, tmp_path)

    assert workbook[content.sheet_titles.history].freeze_panes == "B3"
    assert workbook[content.sheet_titles.history].auto_filter.ref == "A2:N59"
    assert workbook[content.sheet_titles.day].freeze_panes == "A3"
    assert workbook[content.sheet_titles.courses].freeze_panes == "A2"


def test_sheets_are_set_for_paper(tmp_path: Path) -> None:
    """Every sheet is one A4 page wide, and the history repeats its heads."""
    content = _content()
    workbook = _opened(content, tmp_path)

    for sheet in workbook.worksheets:
        assert (sheet.page_setup.orientation, sheet.page_setup.paperSize) == ("landscape", 9)
        assert (sheet.page_setup.fitToWidth or 1, sheet.page_setup.fitToHeight) == (1, 0)
    assert workbook[content.sheet_titles.history].print_title_rows == "$2:$2"


def _referred(workbook: Workbook, formula: str) -> list[object]:
    """Return the values of the cells that a chart refers to."""
    match = re.fullmatch(r"'?([^'!]+)'?!\$?([A-Z]+)\$?(\d+)(?::\$?([A-Z]+)\$?(\d+))?", formula)
    assert match, formula
    sheet, column, first, _, last = match.groups()
    return [workbook[sheet][f"{column}{row}"].value for row in range(int(first), int(last or first) + 1)]


@pytest.mark.parametrize(
    ("on", "zone"),
    [(A_SATURDAY, "Europe/Moscow"), (date(2023, 10, 29), "Europe/Berlin"), (date(2023, 3, 26), "Europe/Berlin")],
    ids=["24 hours", "25 hours", "23 hours"],
)
def test_charts_refer_to_the_cells(on: date, zone: str, language: Language, tmp_path: Path) -> None:
    """The native charts show the values of the report's charts, out of the tables that people see."""
    day = a_day(on, zone)
    background = Background(details=DayDetails(hours_of(day)), past=days_before(56, without=[3, 4], on=on))
    content = report_on(day, language=language, background=background)
    workbook = _opened(content, tmp_path)
    charts = _parts(tmp_path / f"{on}.xlsx", "xl/charts/")

    assert len(charts) == len(content.charts) == 3
    for (_, xml), chart in zip(sorted(charts.items()), content.charts, strict=True):
        space = {"c": "http://schemas.openxmlformats.org/drawingml/2006/chart"}
        drawn = ET.fromstring(xml).findall(".//c:ser", space)
        for found, series in zip(drawn, chart.series, strict=True):
            values = _referred(workbook, found.findtext("c:val//c:f", "", space))
            steps = _referred(workbook, found.findtext("c:cat//c:f", "", space))
            assert len(steps) == len(chart.x)
            assert all(map(_same, values, series.values))
            assert len(values) == len(series.values)
            assert found.findtext("c:tx//c:v", "", space) == series.label
    assert "dispBlanksAs" not in charts["xl/charts/chart2.xml"]  # then blanks are gaps


def test_charts_have_titles_and_descriptions(language: Language, tmp_path: Path) -> None:
    """A chart says what it is of, also to those who do not see it."""
    content = _content(language)
    path = write_workbook(content, tmp_path)
    charts, drawings = "".join(_parts(path, "xl/charts/").values()), "".join(_parts(path, "xl/drawings/").values())

    for chart in content.charts:
        assert f">{chart.title}<" in charts
        assert chart.summary in drawings


def test_first_day_ever_has_a_history_of_one_row(tmp_path: Path) -> None:
    """Without a past the history is the day itself, and its charts refer to it."""
    content = report_on()
    workbook = _opened(content, tmp_path)

    assert workbook[content.sheet_titles.history].max_row == 3
    assert "!$A$3<" in _parts(tmp_path / "2023-04-01.xlsx", "xl/charts/")["xl/charts/chart2.xml"]


def test_empty_day_is_a_workbook_too(language: Language, tmp_path: Path) -> None:
    """A day without events has its noughts, and sentences in the places of its tables; no chart shows nothing."""
    content = empty_report(language)
    workbook = _opened(content, tmp_path)
    sheet = workbook[content.sheet_titles.day]

    assert _found(sheet, content.figures[0].label).offset(0, 1).value == 0
    assert _found(sheet, content.figures[4].label).offset(0, 1).value == "—"
    assert _found(sheet, content.hours.title).offset(2, 0).value == content.hours.empty
    assert _found(workbook[content.sheet_titles.courses], content.unsolved.empty)
    assert not _parts(tmp_path / "2023-04-01.xlsx", "xl/charts/")


HOSTILE = [
    '=HYPERLINK("http://example.org","x")',
    "+1+1", "-1", "@SUM(A1)", "\t=1+1", "{=1}", "http://example.org/", "mailto:x@example.org", "internal:Day!A1",
    "<b>bold</b>", "&amp;", "1204", "TRUE", "\x00\x07\x1b[31m", "\u202etxt", "\ud800", "\ufffe", "x" * 40_000,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_becomes_a_formula_a_link_or_a_number(text: str, tmp_path: Path) -> None:
    """Whatever a name of a course looks like, it is a text in a cell."""
    path = write_workbook(_content(names={PYTHON: text}), tmp_path)
    sheets = _parts(path, "xl/worksheets/")
    workbook = openpyxl.load_workbook(path)
    cell = _found(workbook.worksheets[2], "Courses").offset(3, 0)

    for xml in sheets.values():
        assert "<f>" not in xml
        assert "hyperlink" not in xml
    assert cell.data_type == "s"
    if text.isprintable():
        assert cell.value == text[:32_767]
    ET.fromstring(_parts(path, "xl/sharedStrings.xml")["xl/sharedStrings.xml"])


def test_same_report_is_the_same_file_and_names_nobody(tmp_path: Path) -> None:
    """The file depends on the report alone: its times are that of the report, and no user of this machine is in it."""
    first = write_workbook(_content(), tmp_path / "a")
    second = write_workbook(_content(), tmp_path / "b")
    properties = openpyxl.load_workbook(first).properties

    assert first.read_bytes() == second.read_bytes()
    assert properties.created == properties.modified == datetime(2023, 4, 2, 5, 3)  # noqa: DTZ001
    assert not properties.creator
    assert not properties.lastModifiedBy
    assert properties.title == "Learning on 1 April 2023"


@posix
def test_workbook_is_its_owners_alone(tmp_path: Path) -> None:
    """Nobody else may read the file, nor a folder that is made for it."""
    path = write_workbook(_content(), tmp_path / "new" / "folder")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_newer_workbook_takes_the_place_of_the_older(tmp_path: Path) -> None:
    """A report made again replaces the one before, and leaves nothing else."""
    write_workbook(empty_report(), tmp_path)
    content = _content()
    sheet = _opened(content, tmp_path)[content.sheet_titles.day]

    assert _found(sheet, content.figures[0].label).offset(0, 1).value == 1204
    assert [path.name for path in tmp_path.iterdir()] == ["2023-04-01.xlsx"]


def test_place_that_is_taken_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    """Where a folder has the name of the file, the error says so, and no half file stays."""
    (tmp_path / "2023-04-01.xlsx").mkdir()
    with pytest.raises(ReportError) as caught:
        write_workbook(_content(), tmp_path)

    assert "2023-04-01.xlsx" in str(caught.value)
    assert "REPORTS_PATH" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["2023-04-01.xlsx"]


def test_older_workbook_stays_whole_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be written to its end does not touch the one that is there."""
    path = write_workbook(empty_report(), tmp_path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ReportError, match="No space left on device"):
        write_workbook(_content(), tmp_path)

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
