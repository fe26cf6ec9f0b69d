"""A stand-in for Google on loopback: the OAuth token endpoint and the Sheets API v4, held to Google's own description.

Every call is checked against the discovery document that google-api-python-client ships: path, method, query, field
masks, and bodies down to the last name. What does not fit is answered with 400 and remembered, and the fixture
`google` fails the test for it. Formulas and USER_ENTERED are such violations too, though Google would take them.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import secrets
import socket
import struct
import threading
import time
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import jsonschema
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from config import SheetSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCOPE = "https://www.googleapis.com/auth/spreadsheets"
AUDIENCE = "https://oauth2.googleapis.com/token"  # google-auth names it whatever the key file's token_uri is
CLIENT_EMAIL = "etl@example-project.iam.gserviceaccount.com"
SPREADSHEET_ID = "1TestSpreadsheet_Of-The-Etl-0123456789abcdefg"

_CELL = re.compile(r"([A-Z]+)(\d+)")
_RANGE = re.compile(r"(?:'((?:[^']|'')*)'|([^'!]+))(?:!([A-Z]+)?(\d+)?(?::([A-Z]+)?(\d+)?)?)?")
_STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


class RefusedError(Exception):
    """The stand-in refuses a call, as Google would or because the project's rules forbid it."""

    def __init__(self, status: int, message: str, *, violation: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.violation = violation


# Google's own description


@cache
def discovery() -> dict[str, Any]:
    """Read the discovery document of the Sheets API."""
    document = files("googleapiclient") / "discovery_cache" / "documents" / "sheets.v4.json"
    loaded: dict[str, Any] = json.loads(document.read_text(encoding="utf-8"))
    return loaded


def _json_schema(described: dict[str, Any]) -> dict[str, Any]:
    """Convert a schema of the discovery document to JSON Schema that knows no further names."""
    if "$ref" in described:
        return {"$ref": f"#/$defs/{described['$ref']}"}
    kind = described["type"]
    if kind == "any":
        return {}
    schema: dict[str, Any] = {"type": kind}
    if "enum" in described:
        schema["enum"] = described["enum"]
    if kind == "integer":
        schema |= {"minimum": -(2**31), "maximum": 2**31 - 1}
    if kind == "array":
        schema["items"] = _json_schema(described["items"])
    if kind == "object":
        schema["properties"] = {name: _json_schema(part) for name, part in described.get("properties", {}).items()}
        rest = described.get("additionalProperties")
        schema["additionalProperties"] = _json_schema(rest) if rest else False
    return schema


@cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    definitions = {key: _json_schema(schema) for key, schema in discovery()["schemas"].items()}
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": definitions})


def _check(name: str, instance: object) -> None:
    for error in _validator(name).iter_errors(instance):
        where = "/".join(map(str, error.absolute_path))
        raise RefusedError(400, f"{name} at {where}: {error.message[:300]}", violation=True)


@cache
def _methods() -> tuple[dict[str, Any], ...]:
    def walk(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from resource.get("methods", {}).values()
        for inner in resource.get("resources", {}).values():
            yield from walk(inner)

    return tuple(walk(discovery()))


def _method(verb: str, path: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Find the method of a call and the values of its path."""
    for method in _methods():
        names = re.findall(r"\{(\w+)\}", method["flatPath"])
        pattern = re.sub(r"\\\{\w+\\\}", "([^/:]+)", re.escape("/" + method["flatPath"]))
        match = re.fullmatch(pattern, path)
        if match and method["httpMethod"] == verb:
            return method, dict(zip(names, map(unquote, match.groups()), strict=True))
    raise RefusedError(404, f"no method {verb} {path}", violation=True)


def _check_query(method: dict[str, Any], query: dict[str, list[str]]) -> None:
    known = discovery()["parameters"] | method["parameters"]
    for name, values in query.items():
        described = known.get(name)
        if described is None or described.get("location") != "query":
            raise RefusedError(400, f"unknown query parameter {name}", violation=True)
        if len(values) > 1 and not described.get("repeated"):
            raise RefusedError(400, f"{name} is given twice", violation=True)
        if described.get("type") == "boolean" and not set(values) <= {"true", "false"}:
            raise RefusedError(400, f"{name} is no boolean", violation=True)
        if "enum" in described and not set(values) <= set(described["enum"]):
            raise RefusedError(400, f"{name} has an unknown value", violation=True)


def parse_mask(mask: str, schema: str) -> dict[str, Any]:
    """Parse a field mask such as `a.b,c(d,e)` to a tree, each name of which the schema must know."""
    tree: dict[str, Any] = {}
    stack, node = [tree], tree
    for token in re.findall(r"[A-Za-z]+|[.,()]|.", mask):
        if token == ",":
            node = stack[-1]
        elif token == "(":
            stack.append(node)
        elif token == ")":
            if len(stack) == 1:
                raise RefusedError(400, f"unbalanced field mask {mask}", violation=True)
            stack.pop()
            node = stack[-1]
        elif token.isalpha():
            node = node.setdefault(token, {})
        elif token != ".":
            raise RefusedError(400, f"odd field mask {mask}", violation=True)
    if len(stack) != 1 or not tree:
        raise RefusedError(400, f"unbalanced or empty field mask {mask}", violation=True)
    _check_mask(tree, {"$ref": schema})
    return tree


def _check_mask(tree: dict[str, Any], described: dict[str, Any]) -> None:
    while "$ref" in described or described.get("type") == "array":
        described = discovery()["schemas"][described["$ref"]] if "$ref" in described else described["items"]
    for name, inner in tree.items():
        if name not in described.get("properties", {}):
            raise RefusedError(400, f"the field mask names {name}, which does not exist", violation=True)
        _check_mask(inner, described["properties"][name])


def masked(value: Any, tree: dict[str, Any]) -> Any:
    """Return the part of a value that a mask asks for."""
    if not tree:
        return value
    if isinstance(value, list):
        return [masked(item, tree) for item in value]
    return {name: masked(value[name], inner) for name, inner in tree.items() if name in value}


# The spreadsheet


def _index(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1


@dataclass
class StandInSheet:
    """A worksheet: its properties, its cells by (row, column) from zero, its developer metadata."""

    id: int
    title: str
    rows: int = 1000
    columns: int = 26
    kind: str = "GRID"
    frozen_rows: int = 0
    protected: bool = False
    cells: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    marks: list[dict[str, Any]] = field(default_factory=list)
    widths: dict[int, int] = field(default_factory=dict)

    def cell(self, name: str) -> dict[str, Any]:
        """Return a cell by its name: `B3`."""
        letters, number = _matched(_CELL, name).groups()
        return self.cells.get((int(number) - 1, _index(letters)), {})

    def value(self, name: str) -> Any:
        """Return the value of a cell, None where it is empty."""
        return next(iter(self.cell(name).get("userEnteredValue", {}).values()), None)

    def number_format(self, name: str) -> dict[str, str]:
        """Return how a cell shows its number."""
        shown: dict[str, str] = self.cell(name).get("userEnteredFormat", {}).get("numberFormat", {})
        return shown

    def put(self, name: str, value: float | str | None = None, **data: Any) -> None:
        """Write into a cell as a person would; further arguments are parts of the cell."""
        letters, number = _matched(_CELL, name).groups()
        if value is not None:
            data["userEnteredValue"] = {"stringValue" if isinstance(value, str) else "numberValue": value}
        self.cells.setdefault((int(number) - 1, _index(letters)), {}).update(data)

    def grid(self) -> list[list[Any]]:
        """Return the values of the used part of the sheet, None for an empty cell."""
        filled = [place for place, cell in self.cells.items() if cell.get("userEnteredValue")]
        height = max((row for row, _ in filled), default=-1) + 1
        width = max((column for _, column in filled), default=-1) + 1
        return [
            [
                next(iter(self.cells.get((row, column), {}).get("userEnteredValue", {}).values()), None)
                for column in range(width)
            ]
            for row in range(height)
        ]

    def labelled(self) -> dict[str, Any]:
        """Return the card as label and value."""
        return {row[0]: row[1] if len(row) > 1 else None for row in self.grid() if row[0] is not None}

    def properties(self, index: int) -> dict[str, Any]:
        """Return the properties as the API tells them."""
        told: dict[str, Any] = {"sheetId": self.id, "title": self.title, "index": index, "sheetType": self.kind}
        if self.kind == "GRID":
            told["gridProperties"] = {"rowCount": self.rows, "columnCount": self.columns}
            if self.frozen_rows:
                told["gridProperties"]["frozenRowCount"] = self.frozen_rows
        return told


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise RefusedError(400, f"Unable to parse range: {text}")
    return match


@dataclass
class StandInSpreadsheet:
    """A spreadsheet. `access` is what it is shared with the service account as: writer, reader or none."""

    id: str = SPREADSHEET_ID
    title: str = "Learning"
    access: str = "writer"
    sheets: list[StandInSheet] = field(default_factory=lambda: [StandInSheet(0, "Sheet1")])

    def sheet(self, title: str) -> StandInSheet:
        """Return a worksheet by its title."""
        return next(sheet for sheet in self.sheets if sheet.title == title)

    def titles(self) -> list[str]:
        """Return the titles of all worksheets in order."""
        return [sheet.title for sheet in self.sheets]

    def add(self, title: str, **properties: Any) -> StandInSheet:
        """Add a worksheet as a person would."""
        number = max((sheet.id for sheet in self.sheets), default=0) + 1
        self.sheets.append(StandInSheet(number, title, **properties))
        return self.sheets[-1]

    def get(self, query: dict[str, list[str]]) -> dict[str, Any]:
        """Answer spreadsheets.get, without the cells."""
        sheets = []
        for index, sheet in enumerate(self.sheets):
            told: dict[str, Any] = {"properties": sheet.properties(index)}
            if sheet.marks:
                told["developerMetadata"] = deepcopy(sheet.marks)
            sheets.append(told)
        answer = {"spreadsheetId": self.id, "properties": {"title": self.title, "locale": "ru_RU"}, "sheets": sheets}
        mask = query.get("fields", ["*"])[0]
        whole: dict[str, Any] = answer if mask == "*" else masked(answer, parse_mask(mask, "Spreadsheet"))
        return whole

    def values(self, cells: str, query: dict[str, list[str]]) -> dict[str, Any]:
        """Answer values.get; empty rows and cells at the ends are left out, as Google does."""
        quoted, plain, first_column, first_row, last_column, last_row = _matched(_RANGE, cells).groups()
        title = quoted.replace("''", "'") if quoted is not None else plain
        sheet = next((sheet for sheet in self.sheets if sheet.title.casefold() == title.casefold()), None)
        if sheet is None:
            raise RefusedError(400, f"Unable to parse range: {cells}")
        if query.get("valueRenderOption") != ["UNFORMATTED_VALUE"]:
            raise RefusedError(400, "the stand-in shows unformatted values only", violation=True)
        top, left = int(first_row or 1) - 1, _index(first_column or "A")
        bottom = int(last_row) if last_row else sheet.rows
        right = _index(last_column) + 1 if last_column else sheet.columns
        if bottom > sheet.rows or right > sheet.columns:
            raise RefusedError(400, f"Range ({cells}) exceeds grid limits. Max rows: {sheet.rows}")
        grid = [[*row, *[None] * (right - len(row))][left:right] for row in sheet.grid()[top:bottom]]
        for row in grid:
            while row and row[-1] is None:
                row.pop()
        while grid and not grid[-1]:
            grid.pop()
        shown = [["" if value is None else value for value in row] for row in grid]
        answer: dict[str, Any] = {"range": cells, "majorDimension": "ROWS"}
        return answer | ({"values": shown} if shown else {})

    def batch_update(self, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Apply all requests, or none of them where one is not valid."""
        if not requests:
            raise RefusedError(400, "Must specify at least one request.")
        draft = deepcopy(self)
        replies = []
        for index, request in enumerate(requests):
            if len(request) != 1:
                raise RefusedError(400, f"requests[{index}] must have one kind", violation=True)
            ((kind, body),) = request.items()
            try:
                replies.append(_KINDS[kind](draft, body))
            except KeyError as error:
                raise RefusedError(
                    400, f"requests[{index}].{kind}: {error} is missing or unknown", violation=True
                ) from None
            except RefusedError as error:
                message = f"Invalid requests[{index}].{kind}: {error}"
                raise RefusedError(error.status, message, violation=error.violation) from None
        self.sheets = draft.sheets
        return replies

    def _by_id(self, number: int) -> StandInSheet:
        sheet = next((sheet for sheet in self.sheets if sheet.id == number), None)
        if sheet is None:
            raise RefusedError(400, f"No grid with id: {number}")
        return sheet

    def _check_title(self, title: str) -> None:
        if any(sheet.title.casefold() == title.casefold() for sheet in self.sheets):
            raise RefusedError(400, f'A sheet with the name "{title}" already exists. Please enter another name.')

    def _add_sheet(self, body: dict[str, Any]) -> dict[str, Any]:
        properties = body["properties"]
        number, grid = properties.get("sheetId", secrets.randbelow(2**31)), properties.get("gridProperties", {})
        if number < 0 or any(sheet.id == number for sheet in self.sheets):
            raise RefusedError(400, f"A sheet with id {number} already exists.")
        self._check_title(properties["title"])
        sheet = StandInSheet(number, properties["title"], grid.get("rowCount", 1000), grid.get("columnCount", 26))
        sheet.frozen_rows = grid.get("frozenRowCount", 0)
        self.sheets.append(sheet)
        return {"addSheet": {"properties": sheet.properties(len(self.sheets) - 1)}}

    def _update_sheet_properties(self, body: dict[str, Any]) -> dict[str, Any]:
        properties, tree = body["properties"], parse_mask(body["fields"], "SheetProperties")
        sheet = self._by_id(properties["sheetId"])
        if "title" in tree:
            if properties["title"].casefold() != sheet.title.casefold():
                self._check_title(properties["title"])
            sheet.title = properties["title"]
        grid = properties.get("gridProperties", {})
        for name in tree.get("gridProperties", {}):
            attribute = {"frozenRowCount": "frozen_rows", "rowCount": "rows", "columnCount": "columns"}[name]
            setattr(sheet, attribute, grid.get(name, 0))
        if sheet.frozen_rows >= sheet.rows:
            raise RefusedError(400, "You can't freeze all visible rows on the sheet.")
        if set(tree) - {"title", "gridProperties"}:
            raise RefusedError(400, "the stand-in does not know these properties", violation=True)
        return {}

    def _update_cells(self, body: dict[str, Any]) -> dict[str, Any]:
        tree = parse_mask(body["fields"], "CellData")
        place = body["start"]
        sheet = self._by_id(place["sheetId"])
        if sheet.protected:
            raise RefusedError(400, "You are trying to edit a protected cell or object.")
        top, left = place.get("rowIndex", 0), place.get("columnIndex", 0)
        for row, line in enumerate(body["rows"], start=top):
            for column, source in enumerate(line.get("values", []), start=left):
                if row >= sheet.rows or column >= sheet.columns:
                    raise RefusedError(400, f"Attempting to write beyond the grid, row {row}, column {column}")
                target = sheet.cells.setdefault((row, column), {})
                _assign(target, source, tree)
                if not target:
                    del sheet.cells[row, column]
        return {}

    def _create_metadata(self, body: dict[str, Any]) -> dict[str, Any]:
        metadata = deepcopy(body["developerMetadata"])
        sheet = self._by_id(metadata["location"]["sheetId"])
        if metadata["visibility"] not in {"DOCUMENT", "PROJECT"} or not metadata["metadataKey"]:
            raise RefusedError(400, "developer metadata need a key and a visibility")
        metadata.setdefault("metadataId", secrets.randbelow(2**31))
        metadata["location"]["locationType"] = "SHEET"
        if any(mark["metadataId"] == metadata["metadataId"] for other in self.sheets for mark in other.marks):
            raise RefusedError(400, "the metadata id is taken")
        sheet.marks.append(metadata)
        return {"createDeveloperMetadata": {"developerMetadata": metadata}}

    def _append_dimension(self, body: dict[str, Any]) -> dict[str, Any]:
        sheet = self._by_id(body["sheetId"])
        if body["length"] < 1:
            raise RefusedError(400, "length must be at least 1")
        attribute = {"ROWS": "rows", "COLUMNS": "columns"}[body["dimension"]]
        setattr(sheet, attribute, getattr(sheet, attribute) + body["length"])
        return {}

    def _insert_dimension(self, body: dict[str, Any]) -> dict[str, Any]:
        cells = body["range"]
        sheet, start, end = self._by_id(cells["sheetId"]), cells["startIndex"], cells["endIndex"]
        before = body.get("inheritFromBefore", False)
        if cells["dimension"] != "ROWS":
            raise RefusedError(400, "the stand-in inserts rows only", violation=True)
        if not 0 <= start < end or start >= sheet.rows or (before and start == 0):
            raise RefusedError(400, "the rows cannot be inserted there")
        model = start - 1 if before else start
        formats = {column: cell for (row, column), cell in sheet.cells.items() if row == model}
        moved = {(row + (end - start if row >= start else 0), column): c for (row, column), c in sheet.cells.items()}
        for column, cell in formats.items():
            if "userEnteredFormat" in cell:
                fresh = {"userEnteredFormat": deepcopy(cell["userEnteredFormat"])}
                moved |= {(row, column): deepcopy(fresh) for row in range(start, end)}
        sheet.cells = moved
        sheet.rows += end - start
        return {}

    def _update_dimension(self, body: dict[str, Any]) -> dict[str, Any]:
        cells = body["range"]
        sheet = self._by_id(cells["sheetId"])
        if parse_mask(body["fields"], "DimensionProperties") != {"pixelSize": {}} or cells["dimension"] != "COLUMNS":
            raise RefusedError(400, "the stand-in knows the widths of columns only", violation=True)
        if not 0 <= cells["startIndex"] < cells["endIndex"] <= sheet.columns:
            raise RefusedError(400, "no such columns")
        for column in range(cells["startIndex"], cells["endIndex"]):
            sheet.widths[column] = body["properties"]["pixelSize"]
        return {}


_KINDS = {
    "addSheet": StandInSpreadsheet._add_sheet,
    "updateSheetProperties": StandInSpreadsheet._update_sheet_properties,
    "updateCells": StandInSpreadsheet._update_cells,
    "createDeveloperMetadata": StandInSpreadsheet._create_metadata,
    "appendDimension": StandInSpreadsheet._append_dimension,
    "insertDimension": StandInSpreadsheet._insert_dimension,
    "updateDimensionProperties": StandInSpreadsheet._update_dimension,
}


def _assign(target: dict[str, Any], source: dict[str, Any], tree: dict[str, Any]) -> None:
    """Set what a mask names to what the source holds, and clear it where the source holds nothing."""
    for name, inner in tree.items():
        if inner and name in source:
            part = target.setdefault(name, {})
            _assign(part, source[name], inner)
        elif inner and name in target:
            part = target[name]
            _assign(part, {}, inner)
        elif not inner and source.get(name) not in (None, {}):
            target[name] = deepcopy(source[name])
        else:
            target.pop(name, None)
        if target.get(name) == {}:
            del target[name]


# The server


@dataclass
class Fault:
    """Something that goes wrong with calls; see `GoogleStandIn.fail`."""

    status: int
    call: str | None
    times: int | None
    body: Any
    headers: dict[str, str]
    after: bool
    drop: bool
    hang: float
    drip: float


@dataclass(frozen=True)
class Call:
    """A call to the Sheets API as it came, and the status of its answer (0: none)."""

    name: str
    path: str
    query: dict[str, list[str]]
    body: Any
    status: int


class GoogleStandIn:
    """The stand-in: where it is, what it holds, what it was asked, and how it is to fail."""

    def __init__(self, folder: Path, key: rsa.RSAPrivateKey) -> None:
        self.spreadsheet = StandInSpreadsheet()
        self.spreadsheet_id = SPREADSHEET_ID
        self.client_email = CLIENT_EMAIL
        self.calls: list[Call] = []
        self.token_calls = 0
        self.violations: list[str] = []
        self._tokens: dict[str, float] = {}
        self._faults: list[Fault] = []
        self._key = key
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._server = _Server(self)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self.token_uri = f"{self.endpoint}/token"
        self.credentials_file = folder / "service-account.json"
        self.write_key()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def settings(self) -> SheetSettings:
        """The settings that lead here."""
        return SheetSettings(
            credentials_file=self.credentials_file, spreadsheet_id=self.spreadsheet_id, endpoint=self.endpoint
        )

    @property
    def environment(self) -> dict[str, str]:
        """The same as environment variables, for a run of the program."""
        return {
            "GOOGLE_CREDENTIALS_FILE": str(self.credentials_file),
            "GOOGLE_SHEET_ID": self.spreadsheet_id,
            "GOOGLE_SHEETS_ENDPOINT": self.endpoint,
        }

    @property
    def secrets(self) -> list[str]:
        """What no log line, error or console may show: lines of the private key, and every token given out."""
        key = json.loads(self.credentials_file.read_text(encoding="utf-8"))["private_key"]
        return [line for line in key.splitlines() if line and "-" not in line] + list(self._tokens)

    def write_key(self, **changes: Any) -> None:
        """Write the key of the service account, or a spoiled one: None leaves a name out."""
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        account = {
            "type": "service_account",
            "project_id": "example-project",
            "private_key_id": "0123456789abcdef0123456789abcdef01234567",
            "private_key": pem.decode(),
            "client_email": CLIENT_EMAIL,
            "client_id": "100000000000000000000",
            "token_uri": self.token_uri,
        }
        kept = {name: value for name, value in (account | changes).items() if value is not None}
        self.credentials_file.write_text(json.dumps(kept), encoding="utf-8")
        self.credentials_file.chmod(0o600)

    def fail(
        self,
        status: int = 503,
        *,
        call: str | None = None,
        times: int | None = 1,
        body: Any = None,
        headers: dict[str, str] | None = None,
        after: bool = False,
        drop: bool = False,
        hang: float = 0.0,
        drip: float = 0.0,
    ) -> None:
        """Let the next calls fail.

        Args:
            status: of the answer.
            call: which ones: "get", "values", "batchUpdate", "token"; None for each but "token".
            times: how often; None for ever.
            body: of the answer: bytes, text, or something for JSON; by default an error as Google words it.
            headers: further headers of the answer.
            after: carry out the call first.
            drop: reset the connection instead of an answer.
            hang: seconds of silence before the answer.
            drip: seconds between the bytes of the answer.
        """
        self._faults.append(Fault(status, call, times, body, headers or {}, after, drop, hang, drip))

    def heal(self) -> None:
        """Forget the faults."""
        self._faults.clear()

    def revoke_tokens(self) -> None:
        """Let all tokens given out so far be worth nothing."""
        self._tokens = dict.fromkeys(self._tokens, 0.0)

    def close(self) -> None:
        """Stop; a call that hangs is let go."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def names(self) -> list[str]:
        """Return what was called, in order: "get", "values", "batchUpdate"."""
        return [call.name for call in self.calls]

    def handle(self, request: _Handler, body: bytes) -> None:
        """Answer one HTTP request."""
        parts = urlsplit(request.path)
        if parts.path == "/token":
            self.token_calls += 1
            fault = self._fault("token")
            status, answer = self._token(body) if fault is None else (fault.status, None)
            request.answer(status, answer, fault, self._over)
            return
        name, query, content, status, answer = "?", parse_qs(parts.query, keep_blank_values=True), None, 0, None
        try:
            method, values = _method(request.command, parts.path)
            name = method["id"].removeprefix("sheets.spreadsheets.").removesuffix(".get")
            content = self._content(method, query, body)
            fault = self._fault(name)
            status = 0 if fault and fault.drop else fault.status if fault else 200
            if fault is None or fault.after:
                self._authorise(request.headers.get("Authorization", ""), name)
                answer = self._call(name, values, query, content)
        except RefusedError as error:
            fault, status, answer = None, error.status, google_error(error.status, str(error))
            if error.violation:
                self.violations.append(str(error))
        self.calls.append(Call(name, parts.path, query, content, status))
        request.answer(status, answer, fault, self._over)

    def _content(self, method: dict[str, Any], query: dict[str, list[str]], body: bytes) -> Any:
        _check_query(method, query)
        told = body.decode() + json.dumps(query)
        for forbidden in ("formulaValue", "USER_ENTERED"):
            if forbidden in told:
                raise RefusedError(400, f"{forbidden} is never to be used", violation=True)
        if "request" not in method:
            if body:
                raise RefusedError(400, "this call has no body", violation=True)
            return None
        content = json.loads(body)
        _check(method["request"]["$ref"], content)
        return content

    def _authorise(self, header: str, name: str) -> None:
        if self._tokens.get(header.removeprefix("Bearer "), 0.0) < time.time():
            raise RefusedError(401, "Request had invalid authentication credentials.")
        access = self.spreadsheet.access
        if access == "none" or (access == "reader" and name == "batchUpdate"):
            raise RefusedError(403, "The caller does not have permission")

    def _call(self, name: str, values: dict[str, str], query: dict[str, list[str]], content: Any) -> dict[str, Any]:
        if values["spreadsheetId"] != self.spreadsheet.id:
            raise RefusedError(404, "Requested entity was not found.")
        with self._lock:
            match name:
                case "get":
                    return self.spreadsheet.get(query)
                case "values":
                    return self.spreadsheet.values(values["range"], query)
                case "batchUpdate":
                    replies = self.spreadsheet.batch_update(content.get("requests", []))
                    answer = {"spreadsheetId": self.spreadsheet.id, "replies": replies}
                    _check("BatchUpdateSpreadsheetResponse", answer)
                    return answer
                case _:
                    raise RefusedError(400, f"the stand-in does not know {name}", violation=True)

    def _fault(self, name: str) -> Fault | None:
        for fault in self._faults:
            if fault.times != 0 and (fault.call == name or (fault.call is None and name != "token")):
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    def _token(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """Give out a token for a signed assertion, checked as Google checks it."""
        try:
            fault = self._assertion_fault(parse_qs(body.decode()))
        except (ValueError, LookupError, InvalidSignature) as error:
            fault = repr(error)
        if fault:
            self.violations.append(f"the assertion is not valid: {fault}")
            return 400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
        token = f"ya29.{secrets.token_urlsafe(40)}"
        self._tokens[token] = time.time() + 3599
        return 200, {"access_token": token, "expires_in": 3599, "token_type": "Bearer"}

    def _assertion_fault(self, form: dict[str, list[str]]) -> str | None:
        head, claims, signature = form["assertion"][0].split(".")
        signed = f"{head}.{claims}".encode()
        self._key.public_key().verify(_base64(signature), signed, padding.PKCS1v15(), hashes.SHA256())
        header, told, now = json.loads(_base64(head)), json.loads(_base64(claims)), time.time()
        expected = {
            "grant type": form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"],
            "algorithm": header["alg"] == "RS256",
            "issuer": told["iss"] == CLIENT_EMAIL,
            "audience": told["aud"] in {AUDIENCE, self.token_uri},
            "scope": told["scope"] == SCOPE,
            "time": told["iat"] - 300 <= now <= told["exp"] <= told["iat"] + 3600,
        }
        return next((name for name, good in expected.items() if not good), None)


def google_error(status: int, message: str = "It did not work.", *reasons: str) -> dict[str, Any]:
    """Word an error as Google does."""
    error: dict[str, Any] = {"code": status, "message": message, "status": _STATUS_NAMES.get(status, "UNKNOWN")}
    if reasons:
        kind = "type.googleapis.com/google.rpc.ErrorInfo"
        error["details"] = [{"@type": kind, "reason": reason, "domain": "googleapis.com"} for reason in reasons]
    return {"error": error}


def _base64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, stand_in: GoogleStandIn) -> None:
        self.stand_in = stand_in
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent about clients that hang up; anything else is a fault of the stand-in."""
        import sys

        if not isinstance(sys.exception(), ConnectionError):
            self.stand_in.violations.append(f"the stand-in failed: {sys.exception()!r}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        """Answer a GET."""
        self.server.stand_in.handle(self, b"")

    def do_POST(self) -> None:
        """Answer a POST."""
        self.server.stand_in.handle(self, self.rfile.read(int(self.headers.get("Content-Length", 0))))

    do_PUT = do_DELETE = do_POST  # noqa: N815

    def answer(self, status: int, content: Any, fault: Fault | None, over: threading.Event) -> None:
        """Send the answer, or what the fault makes of it."""
        headers = {"Content-Type": "application/json; charset=UTF-8"}
        if fault:
            over.wait(fault.hang)
            if fault.drop:
                self.close_connection = True
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                return
            headers |= fault.headers
            content = fault.body if fault.body is not None else google_error(status)
        body = content if isinstance(content, bytes) else content if isinstance(content, str) else json.dumps(content)
        raw = body if isinstance(body, bytes) else body.encode()
        with contextlib.suppress(ConnectionError):
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(raw))}).items():
                self.send_header(name, value)
            self.end_headers()
            step = 1 if fault and fault.drip else len(raw) or 1
            for start in range(0, len(raw), step):
                self.wfile.write(raw[start : start + step])
                if fault and fault.drip and over.wait(fault.drip):
                    break

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Write nothing to the console."""


@pytest.fixture(scope="session")
def google_key() -> rsa.RSAPrivateKey:
    """Generate the key of the service account, once: it takes a while."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def google(tmp_path_factory: pytest.TempPathFactory, google_key: rsa.RSAPrivateKey) -> Iterator[GoogleStandIn]:
    """Run the stand-in for one test, and fail the test for each call that Google's description does not allow."""
    stand_in = GoogleStandIn(tmp_path_factory.mktemp("google"), google_key)
    try:
        yield stand_in
    finally:
        stand_in.close()
    assert stand_in.violations == []
