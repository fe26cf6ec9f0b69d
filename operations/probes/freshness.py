"""Freshness: has the last day that should be here by now arrived?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from operations.probes.findings import bad, good

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config import Settings
    from messages import Messages
    from operations.probes.findings import Finding


def probe(settings: Settings, messages: Messages, *, limit: timedelta) -> Sequence[Finding]:
    """Compare how long ago the newest whole day ended with how long that may be."""
    from warehouse import embedded
    from warehouse.connection import Server
    from warehouse.migrations import applied_versions
    from warehouse.queries import query

    rows = []
    if not settings.database.is_embedded or embedded.exists(settings.database.embedded):
        with Server(settings.database) as server, server.connected() as database:
            rows = database.rows(query("ledger/newest_whole_day")) if applied_versions(database) else []
    facts: dict[str, object] = {"limit_seconds": int(limit.total_seconds())}
    if not rows:
        text = messages.text("no whole day was ever loaded; run: python data_processor.py --date yesterday")
        return [bad(text, day=None, age_seconds=None, **facts)]
    day, over_at = rows[0]
    age = max(datetime.now(UTC) - over_at, timedelta())
    facts |= {"day": day.isoformat(), "age_seconds": int(age.total_seconds())}
    if age > limit:
        return [
            bad(
                messages.text(
                    "the last whole day is %(date)s; it was over %(age)s ago, and at most %(limit)s is allowed; "
                    "run: python data_processor.py fill",
                    date=day,
                    age=age,
                    limit=limit,
                ),
                **facts,
            )
        ]
    return [good(messages.text("the last whole day is %(date)s; it was over %(age)s ago", date=day, age=age), **facts)]
