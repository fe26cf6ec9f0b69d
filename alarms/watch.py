"""Watches a command: pings at its start, tells how it ended, and waits for neither longer than agreed."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from alarms import heartbeat, metrics, notify
from alarms.errands import Errand, troubles
from alarms.notice import INTERRUPTED, notice

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from alarms.ending import Ending
    from alarms.notice import Notice
    from config import AlarmSettings
    from messages import Messages

log = logging.getLogger(__name__)

PATIENCE: Final = 5.0
"""Seconds that the end of a command waits for all alarms together."""
_FOR_THE_START: Final = 1.0
"""Seconds of these for the ping of the start, so that it arrives before that of the end."""


class Watch:
    """The alarms of one command.

    Args:
        settings: whom to tell.
    """

    def __init__(self, settings: AlarmSettings) -> None:
        self._settings = settings
        self._start: Errand | None = None

    def begin(self) -> None:
        """Ping the heartbeat monitor: the daily work has begun."""
        if self._settings.heartbeat_url:
            self._start = heartbeat.ping(self._settings.heartbeat_url, heartbeat.START)

    def end(self, ending: Ending, messages: Messages, clean: Callable[[str], str], *, is_daily: bool) -> None:
        """Tell everybody how the command ended.

        Args:
            ending: how.
            messages: the operator's language.
            clean: strikes secrets out of a text.
            is_daily: whether it was the work that the heartbeat monitor waits for; one that was begun always is.
        """
        until = time.monotonic() + PATIENCE
        told = notice(ending, messages, clean)
        errands = notify.send(self._settings.notify_urls, told) if told else []
        if (path := self._settings.metrics_file) and ending.outcomes:
            errands.append(Errand("METRICS_FILE", lambda: _write(path, ending)))
        if self._settings.heartbeat_url and (is_daily or self._start):
            if self._start:
                self._start.wait(time.monotonic() + _FOR_THE_START)
            kind = heartbeat.FAILURE if ending.code else heartbeat.SUCCESS
            errands.append(heartbeat.ping(self._settings.heartbeat_url, kind, _summary(ending, told, messages)))
        _settle(errands, until)


def tell(settings: AlarmSettings, message: Notice) -> None:
    """Send a message that is not about the end of a command, and wait as long as for one that is."""
    _settle(notify.send(settings.notify_urls, message), time.monotonic() + PATIENCE)


def _settle(errands: list[Errand], until: float) -> None:
    found = troubles(errands, until)
    for name, trouble in found.items():
        log.warning("alarm: %s did not work (%s)", name, trouble)
    if done := len({errand.name for errand in errands} - found.keys()):
        log.info("alarms: done, of them: %d", done)


def _write(path: Path, ending: Ending) -> str | None:
    try:
        metrics.write(path, ending)
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def _summary(ending: Ending, told: Notice | None, messages: Messages) -> str:
    """Return what the heartbeat monitor shows beside a ping."""
    days = ", ".join(f"{outcome.date.isoformat()} {outcome.status}" for outcome in ending.outcomes[-10:])
    line = messages.text("exit code %(code)s; %(days)s", code=str(ending.code), days=days or "-")
    return f"{line}\n{told.title}\n{told.body}" if told and ending.code != INTERRUPTED else line
