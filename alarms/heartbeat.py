"""Pings a heartbeat monitor after the convention of healthchecks.io: `/start`, the address itself, `/fail`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

from alarms.errands import Errand

if TYPE_CHECKING:
    from app_types import Secret

START: Final = "/start"
SUCCESS: Final = ""
FAILURE: Final = "/fail"
NAME: Final = "HEARTBEAT_URL"

_TIMEOUT: Final = (3.0, 3.0)


def ping(url: Secret, kind: str, body: str = "") -> Errand:
    """Begin to ping.

    Args:
        url: the address of the check.
        kind: `START`, `SUCCESS` or `FAILURE`.
        body: a short text that the monitor shows.
    """
    return Errand(NAME, lambda: _ping(url, kind, body))


def _ping(url: Secret, kind: str, body: str) -> str | None:
    import requests

    parts = urlsplit(url.reveal())
    address = urlunsplit(parts._replace(path=parts.path.rstrip("/") + kind))
    headers = {"User-Agent": "learning-events-etl", "Content-Type": "text/plain; charset=utf-8"}
    # stream: what the monitor answers, and how long it is, does not matter
    response = requests.post(
        address, data=body.encode(), headers=headers, timeout=_TIMEOUT, allow_redirects=False, stream=True
    )
    response.close()
    return None if 200 <= response.status_code < 300 else f"HTTP {response.status_code}"
