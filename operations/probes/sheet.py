"""The Google Sheet: it opens, and the service account may edit it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from operations.probes.findings import PATIENCE, good, warning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config import Settings
    from messages import Messages
    from operations.probes.findings import Finding


def probe(settings: Settings, messages: Messages) -> Sequence[Finding]:
    """Open the spreadsheet, and ask for a change of nothing, which only an editor is allowed."""
    import google_sheets

    if settings.sheet is None:
        return [warning(messages.text("not configured, will be left out"))]
    opened = google_sheets.probe(settings.sheet, deadline=PATIENCE)
    text = messages.text('"%(title)s" can be edited by %(account)s', title=opened.title, account=opened.account)
    return [good(text)]
