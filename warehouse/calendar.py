"""Tells what became of every day: the ledger and the revisions, seen day by day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app_types import DailyStatistics, RunStatus
from warehouse.queries import query

if TYPE_CHECKING:
    from datetime import date

    from warehouse.connection import Database


@dataclass(frozen=True, slots=True)
class KnownDay:
    """A day as ledger and revisions know it; runs of a first hour alone and runs under way do not count.

    `loaded` tells that a full run has brought events in, `is_complete` that the last such run covered the whole day,
    `is_empty` that it brought nothing and the table holds nothing. `last_run` is how the last run ended, whatever it
    brought; None where there was none, only a report. `is_ended` tells that it was not killed between its load and its
    end. `statistics` and `revision` are those last published.
    """

    date: date
    loaded: bool
    is_complete: bool
    is_empty: bool
    last_run: RunStatus | None
    revision: int
    statistics: DailyStatistics | None
    is_ended: bool = True


def days(database: Database, first: date, end: date) -> tuple[KnownDay, ...]:
    """Return what is known of the days from `first` up to, not including, `end`, oldest first."""
    return tuple(
        KnownDay(
            date=day,
            loaded=loaded_complete is not None,
            is_complete=bool(loaded_complete),
            is_empty=is_empty,
            last_run=RunStatus(status) if status else None,
            revision=revision or 0,
            statistics=DailyStatistics(*figures) if revision else None,
            is_ended=is_ended is not False,
        )
        for day, loaded_complete, is_empty, status, is_ended, revision, *figures in database.rows(
            query("revisions/calendar"), first=first, end=end
        )
    )
