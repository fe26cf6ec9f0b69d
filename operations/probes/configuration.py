"""The settings themselves: they are usable, or there would be no check; what is doubtful about them is told here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from operations.probes.findings import good, warning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config import Settings
    from messages import Messages
    from operations.probes.findings import Finding


def probe(settings: Settings, messages: Messages) -> Sequence[Finding]:
    """Tell names that look like slips, and files with secrets that others may read."""
    found = [warning(messages.fault(fault)) for fault in settings.warnings]
    if settings.test_mode:
        found.append(warning(messages.text("TEST_APP_MODE is on: only the first hour of each day is loaded")))
    if settings.database.reset:
        found.append(
            warning(messages.text("DB_MAIN_TABLE_OPEN_RESET is on: each command empties the events table first"))
        )
    return found or [good(messages.text("complete, time zone %(zone)s", zone=settings.zone.key))]
