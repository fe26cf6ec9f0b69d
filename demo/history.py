"""Gives the demo a past, so that its report has something to compare with: the days before, loaded without HTTP.

The same decoding, validation and load as always; only the way through the events API is left out, to be quick.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import daily_stats
import put_data
from app_types import Figures, MailOutcome, Mode, Progress, RunStatus, SheetOutcome
from demo.generator import placed_events
from source.bulk import Terms, judge_body
from source.windows import day_of
from warehouse import ledger, revisions
from warehouse.migrations import migrate

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from config import Settings
    from warehouse.connection import Database, Server

log = logging.getLogger(__name__)

_TREND: Final = 28
_WEEKS: Final = 8


def missing_days(server: Server, day: date) -> list[date]:
    """Return the days before a date that its report looks at and that were never loaded, oldest first."""
    wanted = {day - timedelta(days=number) for number in range(1, _TREND)}
    wanted |= {day - timedelta(weeks=week) for week in range(1, _WEEKS + 1)}
    with server.connected() as database:
        migrate(database)
        known = {past.date for past in revisions.past_days(database, min(wanted), day)}
    return sorted(wanted - known)


def fill(server: Server, days: list[date], settings: Settings, on_progress: Callable[[Progress], None]) -> None:
    """Load the generated events of the days."""
    events = 0
    with server.connected() as database:
        logging.disable(logging.INFO)  # the stages' own words would fill the screen thirty times over
        try:
            for done, day in enumerate(days, start=1):
                events += _load(database, day, settings)
                on_progress(Progress(done, len(days), events))
        finally:
            logging.disable(logging.NOTSET)
    log.info("demo: earlier days loaded: %d, events: %d", len(days), events)


def _load(database: Database, date_: date, settings: Settings) -> int:
    """Load one day as a full run that went well."""
    day = day_of(date_, settings.zone, Mode.FULL, datetime.now(UTC))
    start, end = (moment.replace(tzinfo=None) for moment in (day.window.start, day.window.end))
    # A day of the operator's zone touches up to three days of the source, which thinks in UTC.
    near = (placed for offset in (-1, 0, 1) for placed in placed_events(date_ + timedelta(days=offset)))
    inside = [placed.event for placed in near if start <= placed.moment < end]
    body = json.dumps(inside).encode()
    with database.locked_day(date_):
        run_id = ledger.begin(database, day)
        batch = judge_body(body, str, day.window, Terms(settings.api.user_id_length, run_id))
        put_data.load(database, run_id, day, [batch])
        statistics = daily_stats.compute(database, day.window)
        revisions.record(database, date_, Figures(day.mode, day.complete, statistics), run_id=run_id)
        ledger.finish(database, run_id, RunStatus.OK, sheet=SheetOutcome.SKIPPED, mail=MailOutcome.SKIPPED)
    return batch.received
