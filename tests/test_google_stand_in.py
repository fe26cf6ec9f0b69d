"""The stand-in for Google itself: it must be no more lenient than Google, and move what people move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from google_sheets import publish
from tests.support.google_schema import RefusedError
from tests.support.google_spreadsheet import SPREADSHEET_ID, StandInSpreadsheet
from tests.support.sheet_contents import sheet_content, sheet_state

if TYPE_CHECKING:
    from tests.support.google import GoogleStandIn


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
    before = sheet_state(google)
    good = {"addSheet": {"properties": {"sheetId": 5, "title": "New"}}}

    with pytest.raises(RefusedError, match=r"requests\[1\]"):
        google.spreadsheet.batch_update([good, good])

    assert sheet_state(google) == before


def request(kind: str, **body: Any) -> list[dict[str, Any]]:
    """Return a batch of one request."""
    return [{kind: body}]


def chart_of(spreadsheet: StandInSpreadsheet, **cells: int) -> dict[str, Any]:
    """Return a chart of the first worksheet with the same cells behind axis and series."""
    edges = {"sheetId": 0, "startRowIndex": 0, "endRowIndex": 5, "startColumnIndex": 1, "endColumnIndex": 2} | cells
    axis, values = ({"sourceRange": {"sources": [dict(edges)]}} for _ in range(2))
    basic = {"chartType": "LINE", "domains": [{"domain": axis}], "series": [{"series": values}]}
    anchor = {"overlayPosition": {"anchorCell": {"sheetId": 0, "rowIndex": 2, "columnIndex": 3}}}
    number = 1 + len(spreadsheet.charts())
    return {"chartId": number, "spec": {"title": "T", "basicChart": basic}, "position": anchor}


BANDS: dict[str, Any] = {"firstBandColorStyle": {}, "secondBandColorStyle": {}}
CELLS = {"sheetId": 0, "startRowIndex": 0, "endRowIndex": 2, "startColumnIndex": 0, "endColumnIndex": 2}
MARK = {"metadataKey": "k", "metadataValue": "v", "visibility": "DOCUMENT"}


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        (request("addChart", chart=chart_of(StandInSpreadsheet(), endColumnIndex=4, endRowIndex=9)), "length of 1"),
        (request("addChart", chart=chart_of(StandInSpreadsheet(), endRowIndex=5_000)), "exceeds grid limits"),
        (request("addChart", chart=chart_of(StandInSpreadsheet(), sheetId=9)), "No grid with id"),
        (request("addChart", chart=chart_of(StandInSpreadsheet())) * 2, "already exists"),
        (request("updateChartSpec", chartId=5, spec=chart_of(StandInSpreadsheet())["spec"]), "No chart with id"),
        (request("addBanding", bandedRange={"range": CELLS, "rowProperties": BANDS}) * 2, "alternating"),
        (request("appendDimension", sheetId=0, dimension="ROWS", length=10**6), "limit of 10000000 cells"),
        (
            request(
                "createDeveloperMetadata",
                developerMetadata=MARK
                | {"location": {"dimensionRange": {"sheetId": 0, "dimension": "ROWS", "startIndex": 0, "endIndex": 2}}},
            ),
            "single row or column",
        ),
        (request("updateCells", range=CELLS | {"endRowIndex": 2_000}, rows=[], fields="note"), "exceeds grid limits"),
    ],
    ids=["square", "beyond", "unknown", "taken id", "no chart", "bands twice", "full", "two rows", "beyond cells"],
)
def test_stand_in_refuses_what_google_refuses(requests: list[dict[str, Any]], message: str) -> None:
    """What the description allows but Google does not is refused in Google's words."""
    spreadsheet = StandInSpreadsheet()

    with pytest.raises(RefusedError, match=message) as caught:
        spreadsheet.batch_update(requests)

    assert not caught.value.violation
    assert spreadsheet == StandInSpreadsheet()


def test_range_is_cleared_where_the_rows_do_not_cover_it() -> None:
    """Filling a range empties the rest of it, of what the mask names."""
    spreadsheet = StandInSpreadsheet()
    sheet = spreadsheet.sheets[0]
    for name in ("A1", "B1", "A2", "C1"):
        sheet.put(name, "old", note="kept")

    rows = [{"values": [{"userEnteredValue": {"numberValue": 1}}]}]
    spreadsheet.batch_update(request("updateCells", range=CELLS, rows=rows, fields="userEnteredValue"))

    sheet = spreadsheet.sheets[0]
    assert sheet.area("A1", "C2") == [[1, None, "old"], [None, None, None]]
    assert [sheet.cell(name)["note"] for name in ("A1", "B1", "A2", "C1")] == ["kept"] * 4


@pytest.mark.parametrize(
    ("protect", "place", "allowed"),
    [((), "A1", False), (("A1", "B2"), "B2", False), (("A1", "B2"), "C2", True)],
)
def test_protected_cells_cannot_be_written(protect: tuple[str, ...], place: str, allowed: bool) -> None:
    """A protected worksheet or range refuses the service account; what lies beside it does not."""
    spreadsheet = StandInSpreadsheet()
    spreadsheet.sheets[0].protect(*protect)
    spreadsheet.sheets[0].put(place, "x")
    (row, column), *_ = spreadsheet.sheets[0].cells
    start = {"sheetId": 0, "rowIndex": row, "columnIndex": column}
    batch = request("updateCells", start=start, rows=[{"values": [{"note": "n"}]}], fields="note")

    if allowed:
        spreadsheet.batch_update(batch)
    else:
        with pytest.raises(RefusedError, match="protected"):
            spreadsheet.batch_update(batch)

    assert ("note" in spreadsheet.sheets[0].cells[row, column]) == allowed


def marked() -> StandInSpreadsheet:
    """Return a spreadsheet with a mark on its second column, a chart of it, bands and a filter over it."""
    spreadsheet = StandInSpreadsheet()
    place = {"sheetId": 0, "dimension": "COLUMNS", "startIndex": 1, "endIndex": 2}
    spreadsheet.batch_update(
        [
            *request("createDeveloperMetadata", developerMetadata=MARK | {"location": {"dimensionRange": place}}),
            *request("addChart", chart=chart_of(spreadsheet)),
            *request("addBanding", bandedRange={"range": CELLS, "rowProperties": BANDS}),
        ]
    )
    sheet = spreadsheet.sheets[0]
    sheet.basic_filter = {"range": dict(CELLS)}
    sheet.put("B1", "ours")
    return spreadsheet


def seen(spreadsheet: StandInSpreadsheet) -> tuple[Any, ...]:
    """Return where the marked column, its text and the column of the chart are, and how wide bands and filter are."""
    sheet = spreadsheet.sheets[0]
    marks = [mark["location"]["dimensionRange"]["startIndex"] for mark in sheet.marks]
    texts = [column for (_, column), cell in sheet.cells.items() if cell.get("userEnteredValue")]
    sources = spreadsheet.charts()[0]["spec"]["basicChart"]["series"][0]["series"]["sourceRange"]["sources"]
    assert sheet.basic_filter
    wide = [each["range"]["endColumnIndex"] for each in (sheet.bands[0], sheet.basic_filter)]
    return marks, texts, [cells["startColumnIndex"] for cells in sources], wide


def test_what_people_move_takes_everything_along() -> None:
    """Inserting, moving and deleting columns moves cells, marks, ranges of charts, bands and filters together."""
    spreadsheet = marked()
    assert seen(spreadsheet) == ([1], [1], [1], [2, 2])
    spreadsheet.insert("Sheet1", "COLUMNS", 0, 2)
    assert seen(spreadsheet) == ([3], [3], [3], [4, 4])
    spreadsheet.move("Sheet1", "COLUMNS", 3, 0)
    assert seen(spreadsheet)[:3] == ([0], [0], [0])
    spreadsheet.delete("Sheet1", "COLUMNS", 0)
    assert seen(spreadsheet)[:3] == ([], [], [])
    assert spreadsheet.sheets[0].columns == 27


def test_search_finds_metadata_where_they_are_now() -> None:
    """The answer tells key, value and the present place of a mark, and nothing for other keys."""
    spreadsheet = marked()
    spreadsheet.insert("Sheet1", "COLUMNS", 1)

    found = spreadsheet.search([{"developerMetadataLookup": {"metadataKey": "k"}}])

    (match,) = found["matchedDeveloperMetadata"]
    assert match["developerMetadata"]["location"]["dimensionRange"]["startIndex"] == 2
    assert spreadsheet.search([{"developerMetadataLookup": {"metadataKey": "other"}}]) == {}
