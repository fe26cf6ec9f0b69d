"""Asks the events API for one window: time-outs, bounded retries, a cap on size, and no secret in any error.

`requests` puts the whole URL, key included, into the text of its exceptions, so none of them leaves this module,
neither as a text nor as a cause, nor as a frame of a traceback.
"""

from __future__ import annotations

import base64
import html
import io
import json
import logging
import math
import random
import re
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar
from urllib.parse import quote, quote_plus
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import requests
import urllib3

from exceptions import SourceError, TransientSourceError
from source.decoding import shown
from source.moments import written

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app_types import Window
    from config import ApiSettings

log = logging.getLogger(__name__)

_Read = TypeVar("_Read")
Reader: TypeAlias = "Callable[[bytes, Callable[[str], str]], _Read]"
"""Makes something of a body; takes what strikes out of the source's own words what an error must not show."""

CONNECT_TIMEOUT: Final = 10.0
MOST_BODY_BYTES: Final = 64 * 1024 * 1024
"""No answer may be longer, however short its window."""
LONGEST_RETRY_AFTER: Final = 60.0
LARGEST_CLOCK_DIFFERENCE: Final = 300.0
_FIRST_DELAY: Final = 0.5
_LONGEST_DELAY: Final = 30.0
DENSE_BODY_BYTES: Final = 4 * 1024 * 1024
"""The answer to a window that can be divided should not be longer: so memory stays flat, however much a day holds."""
_SHORTEST_DIVIDED: Final = timedelta(seconds=2)
_PARTS: Final = 4
_FILLED: Final = 0.75
"""How much of what it may hold an answer to a part should bring: not all parts hold the same."""
_CHUNK: Final = 256 * 1024
_MOST_TOLD_BYTES: Final = 2_000
_LEAST_KEY_PART: Final = 4
_TRANSIENT_STATUSES: Final = frozenset({408, 425, 429})
_CHECK_NETWORK: Final = "Check the network and API_URL."
_DAMAGED: Final = (
    urllib3.exceptions.ProtocolError,
    urllib3.exceptions.DecodeError,
    urllib3.exceptions.InvalidHeader,
    requests.exceptions.ContentDecodingError,
)

_told_of_clock: WeakSet[threading.Event] = WeakSet()
"""The fetches that were warned of a clock; the clients of one fetch have their `stop` in common."""
_telling = threading.Lock()


class DenseWindowError(Exception):
    """The window holds more than one answer should bring; `parts` tells into how many it is to be divided."""

    def __init__(self, parts: int) -> None:
        self.parts = parts


class SourceClient:
    """One HTTP session with the events API. Not to be shared between threads.

    Args:
        settings: where and who.
        deadline: the moment of `time.monotonic()` at which the whole fetch must be over.
        stop: set when nobody waits for the answer any more.
    """

    def __init__(self, settings: ApiSettings, deadline: float, stop: threading.Event) -> None:
        self._settings = settings
        self._deadline = deadline
        self._stop = stop
        self._warned = False
        self._session = requests.Session()
        # Neither .netrc nor another CA bundle from the environment; only a proxy for HTTPS, which sees no request.
        self._session.trust_env = False
        proxy = getproxies().get("https")
        if proxy and not proxy_bypass(settings.url.split("/")[2]):
            self._session.proxies = {"https": proxy}
        self._session.headers.update({"Accept": "application/json", "User-Agent": "learning-events-etl"})
        logging.getLogger("urllib3.connection").addFilter(_holds_no_url)

    def close(self) -> None:
        """Close the connections of the session."""
        self._session.close()

    def ask(self, window: Window, read: Reader[_Read]) -> _Read:
        """Return the answer to a window, trying again what may pass.

        Args:
            window: what to ask for.
            read: makes of the body what is returned; one that it refuses with a transient error is asked for again.

        Raises:
            DenseWindowError: the answer is longer than it should be, and the window can be divided.
            SourceError: the source refused, or did not answer well within the attempts and the deadline.
        """
        for attempt in range(1, self._settings.attempts + 1):
            try:
                return self._ask_once(window, read)
            except TransientSourceError as error:
                if time.monotonic() >= self._deadline:
                    raise deadline_error(self._settings.deadline) from None
                if attempt == self._settings.attempts:
                    raise
                delay = _delay(attempt, error.retry_after)
                if time.monotonic() + delay >= self._deadline:
                    raise
                log.warning(
                    "window %s: attempt %d of %d failed, trying again in %.1f s: %s",
                    window.start.isoformat(sep=" ", timespec="minutes"),
                    attempt,
                    self._settings.attempts,
                    delay,
                    error,
                )
                if self._stop.wait(delay):
                    raise
        raise AssertionError  # the last attempt returns or raises

    def _ask_once(self, window: Window, read: Reader[_Read]) -> _Read:
        try:
            return read(self._get(window), self._without_key)
        except SourceError as error:
            failure = error
        # Raised anew: the frames and exceptions behind it hold the URL, or a body that may echo it.
        failure.__context__ = None
        raise failure.with_traceback(None)

    def _get(self, window: Window) -> bytes:
        """Send one request and return the body, decompressed."""
        settings = self._settings
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise deadline_error(settings.deadline)
        timeout = (min(CONNECT_TIMEOUT, settings.timeout, remaining), min(settings.timeout, remaining))
        try:
            with self._session.get(
                settings.url, params=self._parameters(window), timeout=timeout, stream=True, allow_redirects=False
            ) as response:
                self._compare_clocks(response.headers)
                self._check_status(response)
                return self._read(response, divisible=window.end - window.start >= _SHORTEST_DIVIDED)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, UnicodeError) as error:
            raise _typed(error) from None

    def _parameters(self, window: Window) -> dict[str, str]:
        return {
            "client": self._settings.client,
            "client_key": self._settings.client_key.reveal(),
            "start": written(window.start),
            "end": written(window.end),
        }

    def _read(self, response: requests.Response, *, divisible: bool) -> bytes:
        """Read a body piece by piece, so that a bomb or a drip ends at the limit."""
        if divisible and (length := _declared_length(response)) > DENSE_BODY_BYTES:
            raise DenseWindowError(math.ceil(length / (_FILLED * DENSE_BODY_BYTES)))
        body = io.BytesIO()  # gives what it holds without copying it
        is_coded = "Content-Encoding" in response.headers  # otherwise urllib3 would copy each piece for nothing
        # `read1` gives what has come; `iter_content` would wait for a full piece, however slowly it comes.
        while chunk := response.raw.read1(_CHUNK, decode_content=is_coded):
            size = body.tell() + len(chunk)
            if divisible and size > DENSE_BODY_BYTES:
                raise DenseWindowError(_PARTS)
            if size > MOST_BODY_BYTES:
                raise SourceError(
                    "The source sent more than %(megabytes)s MiB for one window.",
                    remedy="Check API_URL: no window of a day holds so much.",
                    megabytes=str(MOST_BODY_BYTES // 1024 // 1024),
                )
            if self._stop.is_set() or time.monotonic() > self._deadline:
                raise deadline_error(self._settings.deadline)
            body.write(chunk)
        if not self._warned and not any(name in response.headers for name in ("Content-Length", "Transfer-Encoding")):
            self._warned = True
            log.warning("the source does not tell the length of its answers: a cut one might go unnoticed")
        return body.getvalue()

    def _compare_clocks(self, headers: Mapping[str, str]) -> None:
        """Warn, once a fetch, of a clock that is wrong here or there: it decides which day "yesterday" is."""
        theirs = None if "Age" in headers else _moment(headers.get("Date", ""))  # an answer from a cache is old
        seconds = abs((theirs - datetime.now(UTC)).total_seconds()) if theirs else 0
        with _telling:
            if seconds <= LARGEST_CLOCK_DIFFERENCE or self._stop in _told_of_clock:
                return
            _told_of_clock.add(self._stop)
        log.warning(
            "the clocks of this machine and of the source differ by %d min: check the time here", round(seconds / 60)
        )

    def _check_status(self, response: requests.Response) -> None:
        status = response.status_code
        if status == requests.codes.ok:
            return
        if status in _TRANSIENT_STATUSES or status >= 500:
            raise TransientSourceError(
                "The source answered with status %(status)s.",
                remedy="The same run can be repeated later.",
                retry_after=_retry_after(response.headers.get("Retry-After"), datetime.now(UTC)),
                status=str(status),
            )
        if status in {401, 403}:
            raise SourceError(
                "The source refused the access (status %(status)s).",
                remedy="Check API_CLIENT and API_CLIENT_KEY.",
                status=str(status),
            )
        if status in {404, 405, 410}:
            raise SourceError(
                "The source has nothing at this address (status %(status)s).",
                remedy="Check API_URL.",
                status=str(status),
            )
        if 300 <= status < 400:
            raise SourceError(
                "The source wants to send us to another address (status %(status)s); that is not followed.",
                remedy="Check API_URL.",
                status=str(status),
            )
        raise SourceError(
            "The source answered with status %(status)s: %(text)s", status=str(status), text=self._told(response)
        )

    def _told(self, response: requests.Response) -> str:
        """Return the beginning of an error's body; what is wrong with the body itself does not matter."""
        try:
            text = response.raw.read(_MOST_TOLD_BYTES, decode_content=True).decode("utf-8", "replace")
        except (urllib3.exceptions.HTTPError, OSError):
            text = ""
        return shown(self._without_key(text)) or "—"

    def _without_key(self, text: str) -> str:
        """Take the key out of a text, however it is spelled, also where the text ends in the middle of it."""
        for spelling in _spellings(self._settings.client_key.reveal()):
            text = re.sub(re.escape(spelling), "***", text, flags=re.IGNORECASE)
            for length in range(len(spelling) - 1, _LEAST_KEY_PART - 1, -1):
                if text.endswith(spelling[:length]):
                    text = text[:-length] + "***"
                    break
        return text


def _declared_length(response: requests.Response) -> int:
    """Return how long a body is said to be; 0 where that is not said, or said of its compressed form."""
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() and length.isascii() and "Content-Encoding" not in response.headers else 0


def _holds_no_url(record: logging.LogRecord) -> bool:
    """Keep back the one warning of urllib3 that tells the whole URL, key included: that of odd headers."""
    return not str(record.msg).startswith("Failed to parse headers")


def deadline_error(seconds: float) -> SourceError:
    """Return the error of a fetch that took longer than it may."""
    return SourceError(
        "The source did not deliver the day within %(seconds)s seconds.",
        remedy="Run the day again later, or raise API_DEADLINE.",
        seconds=f"{seconds:g}",
    )


def _spellings(key: str) -> list[str]:
    """Return the forms in which an answer may repeat the key, longest first."""
    forms = {
        key,
        quote(key, safe=""),
        quote_plus(key),
        json.dumps(key)[1:-1],
        json.dumps(key, ensure_ascii=False)[1:-1],
        html.escape(key),
        base64.b64encode(key.encode()).decode(),
    }
    return sorted(forms - {""}, key=len, reverse=True)


def _typed(error: Exception) -> SourceError:
    """Turn a library's exception into ours; its text is dropped, because it holds the URL with the key."""
    if _caused_by(error, ssl.SSLCertVerificationError):
        return SourceError(
            "The certificate of the source cannot be trusted.", remedy="Check API_URL and the clock of this machine."
        )
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, UnicodeError)):
        return SourceError("The source cannot be asked.", remedy="Check API_URL.")
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return TransientSourceError("The source cannot be reached: no connection in time.", remedy=_CHECK_NETWORK)
    if isinstance(error, requests.exceptions.Timeout) or _caused_by(error, TimeoutError):
        return TransientSourceError("The source stopped answering.", remedy="The same run can be repeated later.")
    if _caused_by(error, *_DAMAGED):
        return TransientSourceError("The answer of the source was cut off or damaged on the way.")
    return TransientSourceError("The source cannot be reached.", remedy=_CHECK_NETWORK)


def _caused_by(error: BaseException, *kinds: type[BaseException]) -> bool:
    """Tell whether an exception of one of the kinds stands anywhere behind another one."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        current = waiting.pop()
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        if isinstance(current, kinds):
            return True
        seen.add(id(current))
        waiting += [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
    return False


def _delay(attempt: int, retry_after: float | None) -> float:
    """Return the seconds to wait before the next attempt: doubling with jitter, and no less than as told."""
    longest = min(_FIRST_DELAY * 2.0 ** (attempt - 1), _LONGEST_DELAY)
    delay = longest * random.uniform(0.5, 1.0)  # noqa: S311  (jitter, no secret)
    return max(delay, retry_after or 0.0)


def _retry_after(header: str | None, now: datetime) -> float | None:
    """Read a `Retry-After`: seconds or a date; at most a minute; None where it makes no sense."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_RETRY_AFTER)
    moment = _moment(text)
    return None if moment is None else min(max((moment - now).total_seconds(), 0.0), LONGEST_RETRY_AFTER)


def _moment(text: str) -> datetime | None:
    """Read a date of HTTP; None where it is none."""
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, LookupError, ArithmeticError):  # it may be anything, and the parser trusts it
        return None
