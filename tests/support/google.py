"""A stand-in for Google on loopback: the OAuth token endpoint and the Sheets API v4, held to Google's own description.

Every call is checked against the discovery document that google-api-python-client ships: path, method, query, field
masks, and bodies down to the last name. What does not fit is answered with 400 and remembered, and the fixture
`google` fails the test for it. Formulas, links and USER_ENTERED are such violations too, though Google would take them.
"""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import socket
import struct
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from config import SheetSettings
from tests.support.google_schema import RefusedError, check_query, check_schema, find_method
from tests.support.google_spreadsheet import SPREADSHEET_ID, StandInSpreadsheet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCOPE = "https://www.googleapis.com/auth/spreadsheets"
AUDIENCE = "https://oauth2.googleapis.com/token"  # google-auth names it whatever the key file's token_uri is
CLIENT_EMAIL = "etl@example-project.iam.gserviceaccount.com"

_FORBIDDEN = ("formulaValue", "USER_ENTERED", "CUSTOM_FORMULA", "textFormatRuns", "chipRuns", "hyperlink", "link")
"""Names that would make a formula or a link of a text."""
_STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


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
            call: which ones: "get", "developerMetadata.search", "values", "batchUpdate" or "token"; None for each
                but "token".
            times: how often; None for ever.
            body: of the answer: bytes, text, or something for JSON; by default an error as Google words it.
            headers: further headers of the answer.
            after: carry out the call first; with status 200 and no body, its own answer is given.
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
        """Return what was called, in order: "get", "developerMetadata.search", "values", "batchUpdate"."""
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
            method, values = find_method(request.command, parts.path)
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
        check_query(method, query)
        told = body.decode() + json.dumps(query)
        for forbidden in _FORBIDDEN:
            if f'"{forbidden}"' in told:
                raise RefusedError(400, f"{forbidden} is never to be used", violation=True)
        if "request" not in method:
            if body:
                raise RefusedError(400, "this call has no body", violation=True)
            return None
        content = json.loads(body)
        check_schema(method["request"]["$ref"], content)
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
                case "developerMetadata.search":
                    return self.spreadsheet.search(content["dataFilters"])
                case "batchUpdate":
                    replies = self.spreadsheet.batch_update(content.get("requests", []))
                    answer = {"spreadsheetId": self.spreadsheet.id, "replies": replies}
                    check_schema("BatchUpdateSpreadsheetResponse", answer)
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
            if fault.body is not None or not (fault.after and status == 200):
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
