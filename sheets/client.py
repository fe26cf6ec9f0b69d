"""The way to Google: sign-in, limits of time and size, further tries; what gspread's own way lacks.

gspread's back-off never gives up, its time-out is none, and an odd error answer makes its own error type stumble.
"""

from __future__ import annotations

import json
import logging
import random
import re
import time
from concurrent.futures import Future
from contextlib import closing, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from io import BytesIO
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

import requests
import urllib3
from requests.adapters import HTTPAdapter

from exceptions import SheetError
from sheets import refusals

if TYPE_CHECKING:
    from collections.abc import Callable

    from config import SheetSettings

log = logging.getLogger(__name__)

_SCOPE = "https://www.googleapis.com/auth/spreadsheets"
_GOOGLE = "https://sheets.googleapis.com"
_CONNECT_TIMEOUT, _READ_TIMEOUT = 10.0, 30.0
_TRIES, _LONGEST_WAIT = 6, 60.0
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_LARGEST_ANSWER = 64 * 1024 * 1024

_T = TypeVar("_T")


class PassingError(Exception):
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


class Transport:
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
        self.account = email if re.fullmatch(r"[\w.+-]{1,100}@[\w.-]{1,100}", email, re.ASCII) else "?"
        """Whom the spreadsheet is to be shared with."""
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
            RefusedRequestError: a batch was refused because of one of its requests.
            PassingError: it may be worth another try.
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

    def until_done(self, work: Callable[[Transport], _T]) -> _T:
        """Do the work, and again from its start where a fault may pass."""
        for tries in range(1, _TRIES + 1):
            try:
                return work(self)
            except PassingError as passing:
                cause, wait = passing.cause, passing.wait
            wait = random.uniform(0.25, 0.5) * 2**tries if wait is None else wait  # noqa: S311
            if tries == _TRIES or time.monotonic() + wait >= self._ends:
                break
            log.warning("Google Sheet: no good answer (%s), the next try in %.1f s", cause, wait)
            time.sleep(wait)
        raise refusals.unavailable(cause)

    def _signed(self, call: dict[str, Any]) -> requests.Response:
        if not self._credentials.valid and (problem := self._sign_in()):
            raise problem
        self.calls += 1
        try:
            return self._session.request(**call, auth=self._with_token, timeout=self._timeout())
        except requests.RequestException as error:
            problem = _unreached(error)
        raise problem  # out here, so that the library's error, which knows the token, does not hang on it

    def _with_token(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the token into a request at the last moment: no frame of ours holds it."""
        self._credentials.apply(request.headers)
        return request

    def _sign_in(self) -> Exception | None:
        """Get an access token, or return why there is none."""
        from google.auth.exceptions import GoogleAuthError, RefreshError

        try:
            self._credentials.refresh(partial(self._token_request, timeout=self._timeout()))
        except RefreshError as error:
            told = error.args[1] if len(error.args) > 1 else None
            refused = not error.retryable and isinstance(told, dict) and "error" in told
            return refusals.no_key(self.account) if refused else PassingError("token")
        except GoogleAuthError as error:
            return _unreached(error.__cause__ or error)
        except (ValueError, TypeError, LookupError, AttributeError):
            return PassingError("token")  # google-auth stumbles over answers that are not of the form it expects
        return None

    def _timeout(self) -> tuple[float, float]:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise PassingError("timeout")
        return min(_CONNECT_TIMEOUT, left), min(_READ_TIMEOUT, left)

    def _problem(self, response: requests.Response) -> Exception | None:
        """Return what an answer tells is wrong, if anything."""
        status, content = response.status_code, refusals.decoded(response)
        if status == 200 and content is not None:
            return None
        if status == 200 or status in _PASSING:
            return PassingError(str(status), _retry_after(response.headers.get("Retry-After", "")))
        if status == 401:
            return refusals.no_key(self.account)
        return refusals.refusal(status, content, self.account)


def understood(read: Callable[[], _T]) -> _T:
    """Return what an answer tells; one of another form than Google's is a fault that may pass."""
    with suppress(LookupError, TypeError, ValueError, AttributeError):
        return read()
    raise PassingError("JSON")


def within(seconds: float, settings: SheetSettings, work: Callable[[Transport], _T]) -> _T:
    """Do the work in a thread, so that it ends in time even when names do not resolve or an answer drips."""
    outcome: Future[_T] = Future()

    def run() -> None:
        try:
            with closing(Transport(settings, time.monotonic() + seconds)) as transport:
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
    raise refusals.unavailable("timeout")


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
    return refusals.unavailable(cause) if hopeless else PassingError(cause)


def _retry_after(text: str) -> float | None:
    """Read how long to wait, as seconds or as a date, at most a minute; None where it says nothing."""
    with suppress(ValueError, TypeError, OverflowError):
        if re.fullmatch(r"\d{1,9}", text.strip(), re.ASCII):
            return min(float(text), _LONGEST_WAIT)
        moment = parsedate_to_datetime(text)
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
        return min(max(seconds, 0.0), _LONGEST_WAIT)
    return None
