"""The native charts of the Google Sheet: made once, then only given the right rows and words; the rest is people's."""

from __future__ import annotations

from copy import deepcopy
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from app_types import Language
from exceptions import SheetError
from google_sheets import publish
from sheets.spreadsheet import CHART_KEY
from tests.support.google import google_error
from tests.support.sheet_contents import APRIL, rich_content, sheet_content, sheet_state

if TYPE_CHECKING:
    from report.content import DayContent
    from tests.support.google import GoogleStandIn

HOURS, TREND, SUCCESS = "The day by hour", "The last 28 days", "Share of successful submits, the last 28 days"


def sources(google: GoogleStandIn, title: str) -> list[list[Any]]:
    """Return the values behind a chart, axis first, headers included."""
    basic = google.spreadsheet.chart(title)["spec"]["basicChart"]
    parts = [each["domain"] for each in basic["domains"]] + [each["series"] for each in basic["series"]]
    columns = []
    for part in parts:
        (cells,) = part["sourceRange"]["sources"]
        sheet = next(sheet for sheet in google.spreadsheet.sheets if sheet.id == cells["sheetId"])
        assert cells["endColumnIndex"] == cells["startColumnIndex"] + 1
        rows = range(cells["startRowIndex"], cells["endRowIndex"])
        values = [sheet.cells.get((row, cells["startColumnIndex"]), {}).get("userEnteredValue", {}) for row in rows]
        columns.append([next(iter(value.values()), None) for value in values])
    return columns


def test_charts_show_the_cells_of_their_tables(google: GoogleStandIn) -> None:
    """Columns of the hours on the day; lines of the last 28 days and of the share of success on the history."""
    content = rich_content()

    publish(google.settings, [content])

    spreadsheet = google.spreadsheet
    assert [chart["spec"]["title"] for chart in spreadsheet.sheet("Day").charts] == [HOURS]
    assert [chart["spec"]["title"] for chart in spreadsheet.sheet("History").charts] == [TREND, SUCCESS]
    for title, chart in zip((HOURS, TREND, SUCCESS), content.charts, strict=True):
        spec = spreadsheet.chart(title)["spec"]
        axis, *series = sources(google, title)
        assert spec["basicChart"]["chartType"] == ("COLUMN" if title == HOURS else "LINE")
        assert spec["basicChart"]["headerCount"] == 1
        assert spec["altText"] == chart.summary
        assert axis[0] == chart.x_label
        assert [values[0] for values in series] == [each.label for each in chart.series]
        assert [tuple(values[1:]) for values in series] == [each.values for each in chart.series]
    assert sources(google, HOURS)[0][1:] == list(content.hours_chart.x)
    assert sources(google, TREND)[0][1:] == list(range(44990, 45018))


def test_charts_lie_beside_the_figures_and_not_over_them(google: GoogleStandIn) -> None:
    """A new chart covers no cell of ours, and none of people in the rows that are used."""
    google.spreadsheet.add("History", rows=50, columns=30).put("W1", "far away")

    publish(google.settings, [rich_content()])

    day, history = google.spreadsheet.sheet("Day"), google.spreadsheet.sheet("History")
    anchors = [chart["position"]["overlayPosition"] for chart in (*day.charts, *history.charts)]
    assert (anchors[0]["anchorCell"]["rowIndex"], anchors[0]["anchorCell"]["columnIndex"]) == (0, 6)
    assert anchors[0]["heightPixels"] <= 20 * 21
    assert day.area("G1", "Z20") == [[None] * 20] * 20
    assert [anchor["anchorCell"]["columnIndex"] for anchor in anchors[1:]] == [24, 24]
    assert anchors[2]["anchorCell"]["rowIndex"] * 21 >= anchors[1]["heightPixels"]


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [(date(2023, 10, 29), "Europe/Berlin", 25), (date(2023, 3, 26), "Europe/Berlin", 23), (APRIL, "UTC", 24)],
)
def test_chart_follows_the_length_of_the_day(google: GoogleStandIn, day: date, zone: str, hours: int) -> None:
    """A day of 23 or 25 hours is shown whole, without an empty hour; the chart is the same one."""
    publish(google.settings, [sheet_content(complete=False)])
    made = google.spreadsheet.chart(HOURS)["chartId"]
    assert len(sources(google, HOURS)[0]) == 15

    publish(google.settings, [sheet_content(day, zone=zone)])

    assert [len(values) for values in sources(google, HOURS)] == [1 + hours] * 4
    assert google.spreadsheet.chart(HOURS)["chartId"] == made
    assert len(google.spreadsheet.charts()) == 3


def test_language_renames_charts_and_series(google: GoogleStandIn) -> None:
    """The same charts, with titles, series and alternative texts in the other language."""
    publish(google.settings, [rich_content()])
    ids = [chart["chartId"] for chart in google.spreadsheet.charts()]
    russian = rich_content(language=Language.RUSSIAN)

    publish(google.settings, [russian])

    assert [chart["chartId"] for chart in google.spreadsheet.charts()] == ids
    assert [chart["spec"]["title"] for chart in google.spreadsheet.charts()] == [each.title for each in russian.charts]
    assert [chart["spec"]["altText"] for chart in google.spreadsheet.charts()] == [
        each.summary for each in russian.charts
    ]
    labels = [values[0] for values in sources(google, russian.trend_chart.title)]
    assert labels == [russian.trend_chart.x_label, *(each.label for each in russian.trend_chart.series)]


def restyle(google: GoogleStandIn) -> dict[str, Any]:
    """Move, resize and restyle the chart of the hours as a person would; return how it looks then."""
    chart = google.spreadsheet.chart(HOURS)
    chart["position"]["overlayPosition"] |= {"widthPixels": 300, "heightPixels": 200, "offsetXPixels": 7}
    chart["position"]["overlayPosition"]["anchorCell"] |= {"rowIndex": 60, "columnIndex": 1}
    spec = chart["spec"]
    spec["backgroundColorStyle"] = {"rgbColor": {"blue": 1.0}}
    spec["titleTextFormat"] = {"italic": True}
    basic = spec["basicChart"]
    basic |= {"chartType": "COMBO", "stackedType": "STACKED", "legendPosition": "RIGHT_LEGEND"}
    basic["series"][0] |= {"type": "LINE", "colorStyle": {"themeColor": "ACCENT1"}, "color": {"red": 0.5}}
    return deepcopy(chart)


def test_moved_and_restyled_chart_keeps_place_size_and_style(google: GoogleStandIn) -> None:
    """Only rows, title and alternative text are ours after the chart was made."""
    publish(google.settings, [rich_content()])
    theirs = restyle(google)

    publish(google.settings, [rich_content(complete=False, language=Language.RUSSIAN)])

    chart = next(each for each in google.spreadsheet.charts() if each["chartId"] == theirs["chartId"])
    assert chart["position"] == theirs["position"]
    for part in ("title", "altText", "basicChart"):
        theirs["spec"].pop(part), chart["spec"].pop(part)
    assert chart["spec"] == theirs["spec"]
    assert len(google.spreadsheet.charts()) == 3


def test_style_of_series_survives_other_rows(google: GoogleStandIn) -> None:
    """Kind, colours and stacking of a restyled chart stay when the day is shorter."""
    publish(google.settings, [rich_content()])
    theirs = restyle(google)["spec"]["basicChart"]

    publish(google.settings, [rich_content(complete=False)])

    basic = deepcopy(google.spreadsheet.chart(HOURS)["spec"]["basicChart"])
    assert len(sources(google, HOURS)[0]) == 15
    for each in (*basic["domains"], *basic["series"], *theirs["domains"], *theirs["series"]):
        each.pop("domain", None), each.pop("series", None)
    assert basic == theirs


def test_series_that_people_took_out_stays_out(google: GoogleStandIn) -> None:
    """The rows of what is left are kept right."""
    publish(google.settings, [rich_content()])
    google.spreadsheet.chart(HOURS)["spec"]["basicChart"]["series"].pop(0)

    publish(google.settings, [rich_content(complete=False)])

    assert [values[0] for values in sources(google, HOURS)] == ["Hour", "Submits", "Successful submits"]
    assert len(sources(google, HOURS)[1]) == 15


def test_title_that_people_gave_stays(google: GoogleStandIn) -> None:
    """A title that is none of ours is theirs, in every language."""
    publish(google.settings, [rich_content()])
    google.spreadsheet.chart(TREND)["spec"]["title"] = "April is coming"

    publish(google.settings, [rich_content(language=Language.RUSSIAN)])

    assert google.spreadsheet.chart("April is coming")


def test_chart_of_another_kind_is_left_alone(google: GoogleStandIn) -> None:
    """A pie that people made of it has other rules: nothing of it is touched."""
    publish(google.settings, [rich_content()])
    chart = google.spreadsheet.chart(HOURS)
    del chart["spec"]["basicChart"]
    chart["spec"]["pieChart"] = {"legendPosition": "LABELED_LEGEND"}
    theirs = deepcopy(chart)

    publish(google.settings, [rich_content(complete=False)])

    assert google.spreadsheet.chart(HOURS) == theirs


def test_deleted_chart_stays_deleted(google: GoogleStandIn) -> None:
    """What people do not want to see does not come back the next day."""
    publish(google.settings, [rich_content()])
    google.spreadsheet.sheet("History").charts.pop(0)

    publish(google.settings, [rich_content(date(2023, 4, 2), language=Language.RUSSIAN)])

    assert [len(sheet.charts) for sheet in google.spreadsheet.sheets] == [0, 1, 1, 0]


def test_deleted_worksheet_comes_back_with_its_charts(google: GoogleStandIn) -> None:
    """Without its worksheet nothing is remembered of a chart; charts elsewhere get their cells back."""
    publish(google.settings, [rich_content()])
    trend = google.spreadsheet.chart(TREND)
    trend["spec"]["basicChart"]["legendPosition"] = "TOP_LEGEND"
    google.spreadsheet.remove("Day")

    publish(google.settings, [rich_content()])

    assert sources(google, HOURS)[1][1:] == list(rich_content().hours_chart.series[0].values)
    assert sources(google, TREND)[0][1:] == list(range(44990, 45018))
    assert google.spreadsheet.chart(TREND)["chartId"] == trend["chartId"]
    assert google.spreadsheet.chart(TREND)["spec"]["basicChart"]["legendPosition"] == "TOP_LEGEND"
    assert len(google.spreadsheet.charts()) == 3


def test_chart_moved_to_another_worksheet_is_kept_right(google: GoogleStandIn) -> None:
    """A chart is known by its id, wherever it stands."""
    publish(google.settings, [rich_content()])
    spreadsheet = google.spreadsheet
    spreadsheet.sheet("Sheet1").charts.append(spreadsheet.sheet("Day").charts.pop())
    spreadsheet.sheet("Sheet1").charts[0]["position"]["overlayPosition"]["anchorCell"]["sheetId"] = 0

    publish(google.settings, [rich_content(complete=False)])

    assert [len(sheet.charts) for sheet in google.spreadsheet.sheets] == [1, 0, 2, 0]
    assert len(sources(google, HOURS)[0]) == 15


def test_chart_follows_its_table(google: GoogleStandIn) -> None:
    """Rows and columns that people put before the day move tables and charts together."""
    publish(google.settings, [rich_content()])
    google.spreadsheet.insert("Day", "COLUMNS", 0, 2)
    google.spreadsheet.insert("Day", "ROWS", 0, 3)

    publish(google.settings, [rich_content(complete=False)])

    assert sources(google, HOURS)[0][:2] == ["Hour", "00:00"]
    assert [len(values) for values in sources(google, HOURS)] == [15] * 4
    assert sources(google, TREND)[0][1:] == list(range(44990, 45018))


def test_charts_of_people_are_left_alone(google: GoogleStandIn) -> None:
    """A chart that we did not make is not ours, even if it shows our cells under our title."""
    publish(google.settings, [rich_content()])
    theirs = deepcopy(google.spreadsheet.chart(HOURS)) | {"chartId": 77}
    google.spreadsheet.sheet("Day").charts.append(theirs)
    kept = deepcopy(theirs)

    publish(google.settings, [rich_content(complete=False)])

    assert next(chart for chart in google.spreadsheet.charts() if chart["chartId"] == 77) == kept


def test_worksheet_without_charts_gets_them(google: GoogleStandIn) -> None:
    """A worksheet of a version that made none, or one that people prepared under our title, is completed."""
    google.spreadsheet.add("Day")

    publish(google.settings, [rich_content()])

    assert [len(sheet.charts) for sheet in google.spreadsheet.sheets] == [0, 1, 2, 0]


def test_spoiled_memory_of_a_chart_does_no_harm(google: GoogleStandIn) -> None:
    """Notes that are not of our form are no notes."""
    publish(google.settings, [rich_content()])
    for mark in google.spreadsheet.sheet("Day").marks:
        if mark["metadataKey"] == CHART_KEY:
            mark["metadataValue"] = "hours of joy"

    publish(google.settings, [rich_content()])

    assert len(google.spreadsheet.sheet("Day").charts) == 2


@pytest.mark.parametrize("kind", ["addChart", "addBanding"])
def test_new_chart_that_google_refuses_costs_no_figures(
    google: GoogleStandIn, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """The batch goes again without charts and bands; the charts are tried again the next time."""
    content = rich_content()
    refuse(google, content, kind)

    publish(google.settings, [content])

    assert google.names() == ["get", "batchUpdate", "batchUpdate"]
    assert google.spreadsheet.sheet("Day").value("A1") == content.title
    assert google.spreadsheet.charts() == []
    assert "drawn without" in caplog.text
    publish(google.settings, [content])
    assert len(google.spreadsheet.charts()) == 3


def test_change_of_a_chart_that_google_refuses_costs_no_figures(google: GoogleStandIn) -> None:
    """The chart stays as it was until Google takes the change."""
    publish(google.settings, [rich_content()])
    content = rich_content(complete=False)
    refuse(google, content, "updateChartSpec")

    publish(google.settings, [content])

    assert google.spreadsheet.sheet("Day").value("A2") == content.partial
    assert len(sources(google, HOURS)[0]) == 25
    publish(google.settings, [content])
    assert len(sources(google, HOURS)[0]) == 15


def refuse(google: GoogleStandIn, content: DayContent, kind: str) -> None:
    """Let the first request of a kind be refused when a day is published."""
    message = f"Invalid requests[{planned_index(google, content, kind)}].{kind}: Something about it."
    google.fail(400, call="batchUpdate", body=google_error(400, message))


def planned_index(google: GoogleStandIn, content: DayContent, kind: str) -> int:
    """Return which request of a publication is of a kind, by sending it to a copy of the spreadsheet."""
    kept = deepcopy(google.spreadsheet)
    publish(google.settings, [content])
    requests = google.calls[-1].body["requests"]
    google.spreadsheet = kept
    google.calls.clear()
    return next(index for index, request in enumerate(requests) if kind in request)


def test_refusal_that_remains_is_told(google: GoogleStandIn) -> None:
    """Where the figures alone are refused, too, the error of the second try is raised and nothing is changed."""
    publish(google.settings, [rich_content()])
    before = sheet_state(google)
    refuse(google, rich_content(complete=False), "updateChartSpec")
    google.fail(400, call="batchUpdate", body=google_error(400, "Invalid requests[0].updateCells: No."))

    with pytest.raises(SheetError, match="400 INVALID_ARGUMENT"):
        publish(google.settings, [rich_content(complete=False)])

    assert sheet_state(google) == before
