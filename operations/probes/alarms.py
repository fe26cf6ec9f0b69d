"""The alarms: their addresses make sense and the monitor can be reached; nobody is told anything."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from config import notify_service
from operations.probes.findings import PATIENCE, bad, good, warning
from operations.probes.folders import is_writable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from config import AlarmSettings, Settings
    from messages import Messages
    from operations.probes.findings import Finding


def probe(settings: Settings, messages: Messages) -> Sequence[Finding]:
    """Look at each way of raising an alarm."""
    alarms = settings.alarms
    if not (alarms.notify_urls or alarms.heartbeat_url or alarms.metrics_file):
        return [warning(messages.text("not configured: nobody is told of a failure"))]
    return list(_findings(alarms, messages)) or [good(messages.text("configured"))]


def _findings(alarms: AlarmSettings, messages: Messages) -> Iterator[Finding]:
    for number, address in enumerate(alarms.notify_urls, start=1):
        if notify_service(address.reveal()) is None:
            yield bad(
                messages.text(
                    "Apprise has no use for address %(number)s of NOTIFY_URLS; compare it with "
                    "https://github.com/caronc/apprise/wiki",
                    number=str(number),
                )
            )
    if alarms.heartbeat_url and not _is_reachable(alarms.heartbeat_url.reveal()):
        yield warning(messages.text("the host of HEARTBEAT_URL cannot be reached; check the address and the network"))
    if alarms.metrics_file and not (alarms.metrics_file.parent.is_dir() and is_writable(alarms.metrics_file.parent)):
        yield warning(
            messages.text(
                "the folder of METRICS_FILE is not there or cannot be written to: %(folder)s",
                folder=str(alarms.metrics_file.parent),
            )
        )


def _is_reachable(url: str) -> bool:
    """Open a connection and say nothing: even a bare request would be a ping."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=PATIENCE / 2):
            return True
    except OSError:
        return False
