"""Draws the content of the report in a Google Sheet: worksheets, charts and figures, in one atomic batch.

Three worksheets show it: the day (its card, the chart of its hours, and the tables behind the charts), the history (a
row for each day, the charts of the last 28) and the courses and tasks; a test run has one of its own and touches no
other. Nothing is cleared before the new content is at hand. What is ours is found again by invisible marks, so people
may rename, move, colour, filter and annotate what they like, and put their own beside it. What they delete stays
deleted: a chart, or a column of the history; a worksheet that they delete comes back whole. In the tables of courses
and tasks, our columns are ours down to the end of the worksheet.
"""

from __future__ import annotations

import logging
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from app_types import Mode
from sheets import layout, wording
from sheets.batch import Batch
from sheets.charts import Place, Source
from sheets.client import Transport, understood, within
from sheets.history import draw_history
from sheets.refusals import RefusedRequestError, protected
from sheets.spreadsheet import FIELDS, SEARCH, Spreadsheet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gspread.http_client import HTTPClient

    from config import SheetSettings
    from report.content import DayContent

log = logging.getLogger(__name__)

_PICTURE_SIZE: Final = (860, 405)
_TREND_SIZE: Final = (640, 380)
_TREND_ROWS: Final = 19
"""Rows of the history that a chart lies over; the next one is put below it."""


def _client(transport: Transport) -> HTTPClient:
    from gspread.http_client import HTTPClient

    return HTTPClient(cast("Any", None), session=cast("Any", transport))


def _look(client: HTTPClient, spreadsheet_id: str) -> Spreadsheet:
    """Read what worksheets, marks and charts there are."""
    from gspread.urls import SPREADSHEET_URL

    metadata = client.fetch_sheet_metadata(spreadsheet_id, params={"fields": FIELDS})
    spreadsheet = understood(lambda: Spreadsheet(metadata))
    if spreadsheet.has_ours:
        url = f"{SPREADSHEET_URL % spreadsheet_id}/developerMetadata:search"
        found = client.request("post", url, json=SEARCH).json()
        understood(lambda: spreadsheet.place_marks(found))
    return spreadsheet


def _history_values(
    client: HTTPClient, spreadsheet_id: str, spreadsheet: Spreadsheet, content: DayContent
) -> list[list[Any]]:
    """Read the history as it stands; nothing where there is none yet."""
    from gspread.utils import absolute_range_name, rowcol_to_a1

    sheet = spreadsheet.find("history", content.language)
    if sheet is None:
        return []
    cells = absolute_range_name(sheet.title, f"A1:{rowcol_to_a1(sheet.rows, sheet.columns)}")
    shown: Any = {"valueRenderOption": "UNFORMATTED_VALUE", "dateTimeRenderOption": "SERIAL_NUMBER"}
    answer = client.values_get(spreadsheet_id, cells, params=shown)
    return understood(lambda: [[_plain(cell) for cell in row] for row in answer.get("values", [])])


def _plain(cell: Any) -> Any:
    if cell is None or isinstance(cell, str | int | float):
        return cell
    raise TypeError


def _plan(batch: Batch, contents: Sequence[DayContent], values: list[list[Any]]) -> None:
    """Plan all changes of a publication."""
    last, titles = contents[-1], wording.chart_titles()
    if last.mode is Mode.TEST:
        batch.draw(layout.first_hour_drawing(last))
        return
    day, corner = batch.draw(layout.day_drawing(last))
    row, column = layout.picture_place()
    hours = Source(day.id, layout.hours_block(last), *corner)
    batch.chart(
        day, last.hours_chart, hours, Place(row + corner[0], column + corner[1], *_PICTURE_SIZE), titles["hours"]
    )
    history, behind = draw_history(batch, contents, values, wording.history_labels())
    trend = Source(day.id, layout.trend_block(last), *corner)
    for number, chart in enumerate((last.trend_chart, last.success_chart)):
        place = Place(1 + number * _TREND_ROWS, behind + 1, *_TREND_SIZE)
        batch.chart(history, chart, trend, place, titles[chart.key])
    batch.draw(layout.courses_drawing(last))


def _send(client: HTTPClient, spreadsheet_id: str, batch: Batch, account: str) -> None:
    """Send the changes; a chart that Google does not take costs people the chart, not the figures."""
    try:
        client.batch_update(spreadsheet_id, {"requests": batch.requests})
    except RefusedRequestError as refused:
        refusal = refused
    else:
        return
    if refusal.is_protected:
        raise protected(batch.worksheet_of(refusal.index), account)
    if not batch.is_decoration(refusal.index):
        raise refusal.error
    log.warning("Google Sheet: a chart or a band was refused, drawn without any")
    try:
        client.batch_update(spreadsheet_id, {"requests": batch.plain_requests})
    except RefusedRequestError as refused:
        refusal = refused
    else:
        return
    raise refusal.error


def _draw(transport: Transport, spreadsheet_id: str, contents: Sequence[DayContent]) -> int:
    """Look at the spreadsheet, plan the changes and send them; return the number of calls.

    It takes four calls and one for the token, fewer where nothing is drawn yet.
    """
    client = _client(transport)
    spreadsheet = _look(client, spreadsheet_id)
    last = contents[-1]
    is_test = last.mode is Mode.TEST
    values = [] if is_test else _history_values(client, spreadsheet_id, spreadsheet, last)
    batch = Batch(spreadsheet, last.language)
    _plan(batch, contents, values)
    _send(client, spreadsheet_id, batch, transport.account)
    return transport.calls


@dataclass(frozen=True, slots=True)
class Opened:
    """A spreadsheet that can be edited: its title as it may be shown, and the account that edits it."""

    title: str
    account: str


def probe(settings: SheetSettings, *, deadline: float = 60.0) -> Opened:
    """Open the spreadsheet and see that it may be edited, without changing anything.

    Raises:
        SheetError: it cannot be opened, or only read.
    """

    def opened(transport: Transport) -> Opened:
        client = _client(transport)
        metadata = client.fetch_sheet_metadata(settings.spreadsheet_id, params={"fields": "properties.title"})
        title = understood(lambda: str(metadata["properties"]["title"]))
        _ask_for_no_change(client, settings.spreadsheet_id)
        return Opened("".join(each if each.isprintable() else "?" for each in title[:100]), transport.account)

    return within(deadline, settings, opened)


def _ask_for_no_change(client: HTTPClient, spreadsheet_id: str) -> None:
    """Ask for a change of marks that nobody has: Google lets only an editor ask, and finds nothing to change."""
    key = f"learning_events_etl.probe.{secrets.token_hex(8)}"
    change = {
        "dataFilters": [{"developerMetadataLookup": {"metadataKey": key}}],
        "developerMetadata": {"metadataValue": ""},
        "fields": "metadataValue",
    }
    with suppress(RefusedRequestError):  # that there is nothing to change is no refusal of an edit
        client.batch_update(spreadsheet_id, {"requests": [{"updateDeveloperMetadata": change}]})


def publish(settings: SheetSettings, contents: Sequence[DayContent], *, deadline: float = 180.0) -> str:
    """Draw days in the spreadsheet and return its address.

    The last day becomes the card, every day gets its row in the history; a test run is drawn in a worksheet of its
    own and nowhere else. Repeating it is safe: what is there is corrected in place. Two publications at once could
    give one row to two days: the caller sees to it that they take turns.

    Args:
        settings: the spreadsheet and the key.
        contents: the days in order, at least one, all of one mode.
        deadline: seconds for everything, further tries included.

    Raises:
        SheetError: the sheet could not be updated; its old content is whole.
    """
    started = time.monotonic()
    log.info("Google Sheet: update started, days: %d", len(contents))
    calls = within(deadline, settings, partial(_draw, spreadsheet_id=settings.spreadsheet_id, contents=contents))
    log.info("Google Sheet: update finished, calls: %d, seconds: %.1f", calls, time.monotonic() - started)
    return f"https://docs.google.com/spreadsheets/d/{settings.spreadsheet_id}"
