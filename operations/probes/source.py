"""The events API: it answers, takes the key, and a minute of it can be read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from app_types import Window
from operations.probes.findings import PATIENCE, good

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app_types import Progress
    from config import Settings
    from messages import Messages
    from operations.probes.findings import Finding


def probe(settings: Settings, messages: Messages) -> Sequence[Finding]:
    """Ask for one minute of yesterday, once."""
    import get_data

    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(days=1)
    api = replace(settings.api, attempts=1, deadline=min(settings.api.deadline, PATIENCE))
    seen: list[Progress] = []
    for _ in get_data.fetch(api, Window(start, start + timedelta(minutes=1)), on_progress=seen.append):
        pass
    events = seen[-1].events if seen else 0
    text = messages.text("answers, and the key is accepted; events in a minute of yesterday: %(events)s", events=events)
    return [good(text)]
