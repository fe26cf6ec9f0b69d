"""Keeps the figures of each day, revision by revision: what was published, what changed, what is usual."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from app_types import Counts, DailyStatistics, PublishedDay
from warehouse.queries import query

if TYPE_CHECKING:
    from datetime import date, datetime

    from app_types import Figures
    from warehouse.connection import Database


@dataclass(frozen=True, slots=True)
class Revision:
    """Where a day's figures stand. `previous` are the figures that they replaced, where a whole day was corrected."""

    number: int
    previous: DailyStatistics | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A revision of a day's figures, and when it was written."""

    number: int
    complete: bool
    statistics: DailyStatistics
    recorded_at: datetime


def of_day(database: Database, day: date) -> list[Recorded]:
    """Return every revision of a whole day's figures, the first one first."""
    return [
        Recorded(number, complete, DailyStatistics(*figures), recorded_at)
        for number, complete, recorded_at, *figures in database.rows(query("revisions/of_day"), process_date=day)
    ]


def record(database: Database, day: date, figures: Figures, *, run_id: int | None) -> Revision:
    """Write the figures of a day and return their revision; equal figures keep the one they have.

    A whole day whose figures change gets a further revision. A day that was not over is replaced: it was bound
    to change. The caller holds the day's lock.
    """
    held = database.rows(query("revisions/latest"), process_date=day, mode=figures.mode)
    if held and (bool(held[0][1]), DailyStatistics(*held[0][2:])) == (figures.complete, figures.statistics):
        return Revision(held[0][0], _replaced(held[1:]))
    is_correction = bool(held) and bool(held[0][1])
    number = held[0][0] + 1 if is_correction else held[0][0] if held else 1
    database.rows(
        query("revisions/record"),
        process_date=day,
        mode=figures.mode,
        revision=number,
        complete=figures.complete,
        run_id=run_id,
        **asdict(figures.statistics),
    )
    return Revision(number, _replaced(held if is_correction else held[1:]))


def past_days(database: Database, first: date, end: date) -> tuple[PublishedDay, ...]:
    """Return the figures last published of the days from `first` up to, not including, `end`, oldest first."""
    rows = database.rows(query("revisions/past"), first=first, end=end)
    return tuple(
        PublishedDay(
            date=row[0],
            revision=row[1],
            complete=row[2],
            statistics=DailyStatistics(*row[3:7]),
            counts=Counts(*row[7:]) if row[7] is not None else None,
        )
        for row in rows
    )


def _replaced(rows: list[tuple[Any, ...]]) -> DailyStatistics | None:
    return DailyStatistics(*rows[0][2:]) if rows else None
