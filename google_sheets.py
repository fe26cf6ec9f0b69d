"""Draws the content of the report in a Google Sheet, in one atomic batch of typed cells.

Nothing is cleared before the new content is at hand, and only our own block is written: columns A:B of the card, the
columns of the history. What people add beside it stays. Texts are `stringValue`, so none ever becomes a formula.
"""

from __future__ import annotations

import json
import logging
import random
import re
import secrets
import time
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from io import BytesIO
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar, cast

import requests
import urllib3
from requests.adapters import HTTPAdapter

from app_types import Language, Mode
from exceptions import SheetError
from messages import Messages
from report.content import CellKind, sheet_titles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from config import SheetSettings
    from report.content import Cell, DayContent, Row

log = logging.getLogger(__name__)

METADATA_KEY = "learning_events_etl.worksheet"
"""The developer metadata by which a worksheet of ours is known again, whatever people call it."""

_SCOPE = "https://www.googleapis.com/auth/spreadsheets"
_GOOGLE = "https://sheets.googleapis.com"
_CONNECT_TIMEOUT, _READ_TIMEOUT, _PROBE_DEADLINE = 10.0, 30.0, 60.0
_TRIES, _LONGEST_WAIT = 6, 60.0
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_LARGEST_ANSWER = 64 * 1024 * 1024
_FIELDS = (
    "sheets(properties(sheetId,title,gridProperties(rowCount,columnCount)),"
    "developerMetadata(metadataKey,metadataValue))"
)
_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001  (serial numbers know no zone)
_NEW_GRID = (1000, 26)
_CARD_HEIGHT, _CARD_WIDTHS, _HISTORY_WIDTH = 40, (340, 170), 120
_FORMATS = {
    CellKind.COUNT: {"type": "NUMBER", "pattern": "#,##0"},
    CellKind.SHARE: {"type": "PERCENT", "pattern": "0.0%"},
    CellKind.AVERAGE: {"type": "NUMBER", "pattern": "0.00"},
    CellKind.DATE: {"type": "DATE", "pattern": "yyyy-mm-dd"},
    CellKind.MOMENT: {"type": "DATE_TIME", "pattern": "yyyy-mm-dd hh:mm"},
}
_FIGURES = "userEnteredValue,userEnteredFormat.numberFormat"
_BOLD = {"textFormat": {"bold": True}}
_ALARM = {"backgroundColorStyle": {"rgbColor": {"red": 1.0, "green": 0.8, "blue": 0.6}}}

_T = TypeVar("_T")
_CellData = dict[str, Any]


def _typed(cell: Cell, *, blank: bool = False) -> _CellData:
    """Return a cell as the API takes it; a missing value shows its text or, with `blank`, nothing."""
    value: dict[str, Any] = {}
    match cell.value:
        case None if blank:
            pass
        case None:
            value = {"stringValue": cell.text}
        case str() as text:
            value = {"stringValue": text}
        case datetime() as moment:
            value = {"numberValue": (moment.replace(tzinfo=None) - _EPOCH) / timedelta(days=1)}
        case date() as day:
            value = {"numberValue": (day - _EPOCH.date()).days}
        case number:
            value = {"numberValue": number}
    number_format = {"numberFormat": _FORMATS[cell.kind]} if cell.kind in _FORMATS else {}
    return {"userEnteredValue": value, "userEnteredFormat": number_format}


def _label(text: str, text_format: dict[str, Any] | None = None) -> _CellData:
    return {"userEnteredValue": {"stringValue": text} if text else {}, "userEnteredFormat": text_format or {}}


def _card(content: DayContent) -> list[list[_CellData]]:
    """Lay out the card in two columns of a fixed height, so that nothing of a longer one stays behind."""
    blank = _label("")

    def lines(rows: Iterable[Row]) -> list[list[_CellData]]:
        return [[_label(row.label), _typed(row.cell)] for row in rows]

    card = [
        [_label(content.title, _BOLD), blank],
        [_label(content.partial or "", _BOLD), blank],
        *lines(content.facts),
        [blank, blank],
        [_label(content.figures_heading, _BOLD), blank],
        *lines(content.figures),
        [blank, blank],
    ]
    if content.counts:
        card += [[_label(content.counts_heading, _BOLD), blank], *lines(content.counts), [blank, blank]]
    card += [[_label(warning), blank] for warning in content.warnings]
    return card + [[blank, blank]] * (_CARD_HEIGHT - len(card))


def _as_date(value: object) -> date | None:
    """Read a date out of the date column: a serial number, or ISO text that somebody typed."""
    with suppress(ValueError, OverflowError):
        if isinstance(value, int | float):
            return (_EPOCH + timedelta(days=int(value))).date()
        return date.fromisoformat(str(value).strip())
    return None


@dataclass(slots=True)
class _Worksheet:
    """A worksheet as it is, or will be when the batch is applied. One without a grid (a chart) has no rows."""

    id: int
    title: str
    rows: int
    columns: int
    roles: frozenset[str] = frozenset()


def _worksheets(metadata: Any) -> list[_Worksheet]:
    found = []
    for sheet in metadata["sheets"]:
        properties, marks = sheet["properties"], sheet.get("developerMetadata", [])
        grid = properties.get("gridProperties", {})
        found.append(
            _Worksheet(
                id=int(properties.get("sheetId", 0)),
                title=str(properties["title"]),
                rows=int(grid.get("rowCount", 0)),
                columns=int(grid.get("columnCount", 0)),
                roles=frozenset(m.get("metadataValue") for m in marks if m["metadataKey"] == METADATA_KEY),
            )
        )
    return found


class _Batch:
    """The changes that Google applies together or not at all, planned on what the spreadsheet holds now."""

    def __init__(self, sheets: list[_Worksheet], language: Language) -> None:
        self.requests: list[dict[str, Any]] = []
        self._sheets = sheets
        self._taken = {sheet.title.casefold() for sheet in sheets}
        self._wanted = sheet_titles(Messages(language))
        self._known = [sheet_titles(Messages(language)) for language in Language]

    def find(self, role: str) -> _Worksheet | None:
        """Return our worksheet by its metadata, else by its title in either language."""
        marked = [sheet for sheet in self._sheets if sheet.rows and role in sheet.roles]
        candidates = marked or [sheet for sheet in self._sheets if sheet.rows and not sheet.roles]
        titles = [getattr(known, role) for known in (self._wanted, *self._known)]
        titled = [sheet for title in titles for sheet in candidates if sheet.title == title]
        return next(iter(titled or marked), None)

    def card(self, role: str, content: DayContent) -> None:
        """Draw a day."""
        rows = _card(content)
        sheet = self._prepare(role, len(rows), _CARD_WIDTHS)
        self._write(sheet, 0, rows, f"{_FIGURES},userEnteredFormat.textFormat.bold")
        alarm = {"userEnteredFormat": _ALARM if content.partial else {}}
        self._write(sheet, 1, [[alarm, alarm]], "userEnteredFormat.backgroundColorStyle")

    def history(self, contents: Sequence[DayContent], values: list[list[Any]]) -> None:
        """Write each day into its row; a new day in the order of dates where nobody's cells would have to move."""
        width = len(contents[-1].history)
        block = [row[:width] for row in values]
        while block and not any(cell not in {"", None} for cell in block[-1]):
            block.pop()
        alone = not any(cell not in {"", None} for row in values for cell in row[width:])
        sheet = self._prepare("history", max(len(block), 2), [_HISTORY_WIDTH] * width)
        firsts = [row[0] if row else None for row in block]
        labels = {Messages(language).text("Date") for language in Language}
        header = next((index for index, first in enumerate(firsts) if first in labels), None)
        if header is None:
            header = 0
            firsts.insert(0, None)
            if block:
                self._insert_row(sheet, 0)
        heading = _BOLD | {"wrapStrategy": "WRAP"}
        names = [_label(row.label, heading) for row in contents[-1].history]
        fields = "userEnteredValue,userEnteredFormat.textFormat.bold,userEnteredFormat.wrapStrategy"
        self._write(sheet, header, [names], fields)
        dates = [_as_date(first) if index > header else None for index, first in enumerate(firsts)]
        for content in contents:
            rows = [index for index, day in enumerate(dates) if day == content.date]
            rows = rows or [self._new_row(sheet, dates, content.date, alone=alone)]
            cells = [_typed(row.cell, blank=True) for row in content.history]
            for row in rows:
                self._write(sheet, row, [cells], _FIGURES)

    def _new_row(self, sheet: _Worksheet, dates: list[date | None], day: date, *, alone: bool) -> int:
        known = [known for known in dates if known]
        later = next((index for index, known in enumerate(dates) if known and known > day), None)
        if later is not None and alone and known == sorted(known):
            self._insert_row(sheet, later)
            dates.insert(later, day)
            return later
        dates.append(day)
        self._grow(sheet, rows=len(dates))
        return len(dates) - 1

    def _prepare(self, role: str, rows: int, widths: Sequence[int]) -> _Worksheet:
        """Find, adopt or create our worksheet, in the language of the report and large enough."""
        title = getattr(self._wanted, role)
        sheet = self.find(role)
        if sheet is None:
            while (new_id := 1 + secrets.randbelow(2**31 - 1)) in {sheet.id for sheet in self._sheets}:
                continue
            sheet = _Worksheet(new_id, self._free(title), max(rows, _NEW_GRID[0]), max(len(widths), _NEW_GRID[1]))
            self._sheets.append(sheet)
            grid = {"rowCount": sheet.rows, "columnCount": sheet.columns}
            self._add("addSheet", properties={"sheetId": sheet.id, "title": sheet.title, "gridProperties": grid})
            for index, width in enumerate(widths):
                columns = {"sheetId": sheet.id, "dimension": "COLUMNS", "startIndex": index, "endIndex": index + 1}
                size = {"pixelSize": width}
                self._add("updateDimensionProperties", range=columns, properties=size, fields="pixelSize")
        elif re.sub(r" \(\d+\)$", "", sheet.title) in {getattr(known, role) for known in self._known} - {title}:
            properties = {"sheetId": sheet.id, "title": self._free(title)}
            self._add("updateSheetProperties", properties=properties, fields="title")
        self._grow(sheet, rows, len(widths))
        if role not in sheet.roles:
            mark = {"metadataKey": METADATA_KEY, "metadataValue": role, "visibility": "DOCUMENT"}
            self._add("createDeveloperMetadata", developerMetadata=mark | {"location": {"sheetId": sheet.id}})
            if role == "history":
                frozen = {"sheetId": sheet.id, "gridProperties": {"frozenRowCount": 1}}
                self._add("updateSheetProperties", properties=frozen, fields="gridProperties.frozenRowCount")
        return sheet

    def _free(self, title: str) -> str:
        """Return the title, or one beside it where another worksheet has it; Google ignores case here."""
        numbered = (f"{title} ({number})" for number in range(2, len(self._taken) + 3))
        free = next(name for name in (title, *numbered) if name.casefold() not in self._taken)
        self._taken.add(free.casefold())
        return free

    def _grow(self, sheet: _Worksheet, rows: int = 0, columns: int = 0) -> None:
        for dimension, length in (("ROWS", rows - sheet.rows), ("COLUMNS", columns - sheet.columns)):
            if length > 0:
                self._add("appendDimension", sheetId=sheet.id, dimension=dimension, length=length)
        sheet.rows, sheet.columns = max(rows, sheet.rows), max(columns, sheet.columns)

    def _insert_row(self, sheet: _Worksheet, index: int) -> None:
        rows = {"sheetId": sheet.id, "dimension": "ROWS", "startIndex": index, "endIndex": index + 1}
        self._add("insertDimension", range=rows, inheritFromBefore=False)
        sheet.rows += 1

    def _write(self, sheet: _Worksheet, row: int, rows: list[list[_CellData]], fields: str) -> None:
        start = {"sheetId": sheet.id, "rowIndex": row, "columnIndex": 0}
        self._add("updateCells", start=start, rows=[{"values": cells} for cells in rows], fields=fields)

    def _add(self, kind: str, **request: Any) -> None:
        self.requests.append({kind: request})


class _PassingError(Exception):
    """A call failed in a way that may pass. It may have been applied, so the next try looks at everything anew."""

    def __init__(self, cause: str, wait: float | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.wait = wait


class _BoundedAdapter(HTTPAdapter):
    """Reads an answer whole, and never one that is larger than any of ours can be."""

    def send(self, *args: Any, **options: Any) -> requests.Response:
        """Send a request and read its answer."""
        response = super().send(*args, **options | {"stream": True})
        body = BytesIO()
        try:
            for chunk in response.raw.stream(65_536, decode_content=True):
                body.write(chunk)
                if body.tell() > _LARGEST_ANSWER:
                    raise urllib3.exceptions.DecodeError
        except urllib3.exceptions.HTTPError:
            response.close()
            raise requests.exceptions.ChunkedEncodingError from None
        body.seek(0)
        response.raw = body
        return response


class _Transport:
    """The session that gspread works with: our endpoint, limits of time and size, further tries, our errors.

    google-auth's own session is not used: beside the token it asks Google's IAM service, in a thread of its own, for
    a "regional access boundary", a call to a host that nobody configured.
    """

    def __init__(self, settings: SheetSettings, ends: float) -> None:
        from google.auth.transport.requests import Request

        self._settings = settings
        self._ends = ends
        self._credentials = _credentials(settings)
        email = str(self._credentials.service_account_email)
        self._account = email if re.fullmatch(r"[\w.+-]{1,100}@[\w.-]{1,100}", email, re.ASCII) else "?"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.max_redirects = 0
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, _BoundedAdapter())
        self._token_request = Request(self._session)
        self._renewed = False
        self.calls = 0

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def request(self, method: str, url: str, params: Any = None, json: Any = None, **_unused: Any) -> requests.Response:
        """Make one call for gspread.

        Raises:
            SheetError: the call was refused.
            _PassingError: it may be worth another try.
        """
        call = {"method": method, "url": self._settings.endpoint + url.removeprefix(_GOOGLE)}
        response = self._signed(call | {"params": params, "json": json})
        if response.status_code == 401 and not self._renewed:
            self._renewed = True
            self._credentials.token = None
            response = self._signed(call | {"params": params, "json": json})
        if problem := self._problem(response):
            raise problem
        return response

    def until_done(self, work: Callable[[_Transport], _T]) -> _T:
        """Do the work, and again from its start where a fault may pass."""
        for tries in range(1, _TRIES + 1):
            try:
                return work(self)
            except _PassingError as passing:
                cause, wait = passing.cause, passing.wait
            wait = random.uniform(0.25, 0.5) * 2**tries if wait is None else wait  # noqa: S311
            if tries == _TRIES or time.monotonic() + wait >= self._ends:
                break
            log.warning("Google Sheet: no good answer (%s), the next try in %.1f s", cause, wait)
            time.sleep(wait)
        raise _unavailable(cause)

    def _signed(self, call: dict[str, Any]) -> requests.Response:
        if not self._credentials.valid and (problem := self._sign_in()):
            raise problem
        headers: dict[str, str] = {}
        self._credentials.apply(headers)
        self.calls += 1
        try:
            return self._session.request(**call, headers=headers, timeout=self._timeout())
        except requests.RequestException as error:
            problem = _unreached(error)
        raise problem  # out here, so that the library's error, which knows the token, does not hang on it

    def _sign_in(self) -> Exception | None:
        """Get an access token, or return why there is none."""
        from google.auth.exceptions import GoogleAuthError, RefreshError

        try:
            self._credentials.refresh(partial(self._token_request, timeout=self._timeout()))
        except RefreshError as error:
            told = error.args[1] if len(error.args) > 1 else None
            refused = not error.retryable and isinstance(told, dict) and "error" in told
            return self._no_key() if refused else _PassingError("token")
        except GoogleAuthError as error:
            return _unreached(error.__cause__ or error)
        except (ValueError, TypeError, LookupError, AttributeError):
            return _PassingError("token")  # google-auth stumbles over answers that are not of the form it expects
        return None

    def _timeout(self) -> tuple[float, float]:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise _PassingError("timeout")
        return min(_CONNECT_TIMEOUT, left), min(_READ_TIMEOUT, left)

    def _problem(self, response: requests.Response) -> Exception | None:
        """Return what an answer tells is wrong, if anything."""
        status, content = response.status_code, _decoded(response)
        if status == 200 and content is not None:
            return None
        if status == 200 or status in _PASSING:
            return _PassingError(str(status), _retry_after(response.headers.get("Retry-After", "")))
        return self._no_key() if status == 401 else self._refusal(status, _reasons(content))

    def _refusal(self, status: int, reasons: set[str]) -> SheetError:
        if status == 403 and "SERVICE_DISABLED" in reasons:
            return SheetError(
                "The Google Sheets API is not enabled in the project of %(account)s.",
                remedy="Enable it in the Google Cloud console and try again some minutes later.",
                account=self._account,
            )
        if status == 403:
            return SheetError(
                "Google does not let %(account)s edit the spreadsheet.",
                remedy="Share the spreadsheet with %(account)s as editor.",
                account=self._account,
            )
        if status == 404:
            return SheetError(
                "Google knows no spreadsheet with the id in GOOGLE_SHEET_ID.",
                remedy="Check GOOGLE_SHEET_ID, and share the spreadsheet with %(account)s as editor.",
                account=self._account,
            )
        return SheetError(
            "Google refused to read or change the spreadsheet (%(code)s); it is as it was before.",
            remedy="If cells of our worksheets are protected, let %(account)s edit them; if it is an Excel file, "
            "save it as a Google Sheet.",
            code=" ".join([str(status), *sorted(reasons)]),
            account=self._account,
        )

    def _no_key(self) -> SheetError:
        return SheetError(
            "Google did not accept the key of %(account)s: it was revoked, or the clock of this machine is wrong.",
            remedy="Set the clock, or create a new key and name its file in GOOGLE_CREDENTIALS_FILE.",
            account=self._account,
        )


def _credentials(settings: SheetSettings) -> Any:
    from google.oauth2 import service_account

    kind: Any = service_account.Credentials
    with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
        key = json.loads(settings.credentials_file.read_text(encoding="utf-8-sig"))
        return kind.from_service_account_info(key, scopes=[_SCOPE])
    # raised out here, so that no error that knows the content of the file hangs on it
    raise SheetError(
        "The key in %(file)s cannot be read.",
        remedy="Create a new key of the service account and name its file in GOOGLE_CREDENTIALS_FILE.",
        file=str(settings.credentials_file),
    )


def _unreached(error: BaseException) -> Exception:
    """Return why there is no answer, without a word of the libraries': it could hold a token."""
    hopeless = isinstance(error, (requests.exceptions.SSLError, requests.exceptions.TooManyRedirects))
    cause = type(error).__name__
    return _unavailable(cause) if hopeless else _PassingError(cause)


def _unavailable(cause: str) -> SheetError:
    return SheetError(
        "Google Sheets cannot be reached, or does not answer as it should (%(cause)s).",
        remedy="Check the network, the clock and GOOGLE_SHEETS_ENDPOINT, or try again later.",
        cause=cause,
    )


def _decoded(response: requests.Response) -> dict[str, Any] | None:
    with suppress(ValueError, RecursionError):
        content = response.json()
        return content if isinstance(content, dict) else None
    return None


def _reasons(content: dict[str, Any] | None) -> set[str]:
    """Return the codes of an error answer, of which every part may be missing or of another form."""
    error = content.get("error") if content else None
    if not isinstance(error, dict):
        return set()
    details = error.get("details")
    parts = [part for part in details if isinstance(part, dict)] if isinstance(details, list) else []
    codes = {str(code) for code in (error.get("status"), *(part.get("reason") for part in parts))}
    return {code for code in codes if re.fullmatch(r"[A-Z][A-Z_]{2,50}", code)}


def _retry_after(text: str) -> float | None:
    """Read how long to wait, as seconds or as a date, at most a minute; None where it says nothing."""
    with suppress(ValueError, TypeError, OverflowError):
        if re.fullmatch(r"\d{1,9}", text.strip(), re.ASCII):
            return min(float(text), _LONGEST_WAIT)
        moment = parsedate_to_datetime(text)
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
        return min(max(seconds, 0.0), _LONGEST_WAIT)
    return None


def _understood(read: Callable[[], _T]) -> _T:
    with suppress(LookupError, TypeError, ValueError, AttributeError):
        return read()
    raise _PassingError("JSON")


def _draw(transport: _Transport, spreadsheet_id: str, contents: Sequence[DayContent]) -> int:
    """Look at the spreadsheet, plan the changes and send them; return the number of calls.

    It takes three calls, and two where there is no history yet.
    """
    from gspread.http_client import HTTPClient
    from gspread.utils import absolute_range_name, rowcol_to_a1

    client = HTTPClient(cast("Any", None), session=cast("Any", transport))
    metadata = client.fetch_sheet_metadata(spreadsheet_id, params={"fields": _FIELDS})
    last = contents[-1]
    batch = _Batch(_understood(lambda: _worksheets(metadata)), last.language)
    if last.mode is Mode.TEST:
        batch.card("test", last)
    else:
        batch.card("day", last)
        values: list[list[Any]] = []
        if found := batch.find("history"):
            cells = absolute_range_name(found.title, f"A1:{rowcol_to_a1(found.rows, found.columns)}")
            typed: Any = {"valueRenderOption": "UNFORMATTED_VALUE", "dateTimeRenderOption": "SERIAL_NUMBER"}
            answer = client.values_get(spreadsheet_id, cells, params=typed)
            values = _understood(lambda: [list(row) for row in answer.get("values", [])])
        batch.history(contents, values)
    client.batch_update(spreadsheet_id, {"requests": batch.requests})
    return transport.calls


def _within(seconds: float, settings: SheetSettings, work: Callable[[_Transport], _T]) -> _T:
    """Do the work in a thread, so that it ends in time even when names do not resolve or an answer drips."""
    outcome: Future[_T] = Future()

    def run() -> None:
        try:
            with closing(_Transport(settings, time.monotonic() + seconds)) as transport:
                result = transport.until_done(work)
        except BaseException as error:  # noqa: BLE001  (whatever it is, it is raised below)
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    thread = Thread(target=run, name="google-sheets", daemon=True)
    thread.start()
    thread.join(seconds + 1)
    if outcome.done():
        return outcome.result()
    raise _unavailable("timeout")


def probe(settings: SheetSettings) -> str:
    """Open the spreadsheet without changing anything, and return its title.

    Raises:
        SheetError: it cannot be opened.
    """

    def title(transport: _Transport) -> str:
        from gspread.http_client import HTTPClient

        client = HTTPClient(cast("Any", None), session=cast("Any", transport))
        metadata = client.fetch_sheet_metadata(settings.spreadsheet_id, params={"fields": "properties.title"})
        return _understood(lambda: str(metadata["properties"]["title"]))

    text = _within(_PROBE_DEADLINE, settings, title)
    return "".join(character if character.isprintable() else "?" for character in text[:100])


def publish(settings: SheetSettings, contents: Sequence[DayContent], *, deadline: float = 180.0) -> str:
    """Draw days in the spreadsheet and return its address.

    The last day becomes the card, every day gets its row in the history; a test run is drawn in a worksheet of its
    own and nowhere else. Repeating it is safe: what is there is corrected in place.

    Args:
        settings: the spreadsheet and the key.
        contents: the days in order, at least one, all of one mode.
        deadline: seconds for everything, further tries included.

    Raises:
        SheetError: the sheet could not be updated.
    """
    started = time.monotonic()
    log.info("Google Sheet: update started, days: %d", len(contents))
    calls = _within(deadline, settings, partial(_draw, spreadsheet_id=settings.spreadsheet_id, contents=contents))
    log.info("Google Sheet: update finished, calls: %d, seconds: %.1f", calls, time.monotonic() - started)
    return f"https://docs.google.com/spreadsheets/d/{settings.spreadsheet_id}"
