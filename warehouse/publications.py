"""Remembers which figures of a day were published where, so that equal ones are not published again."""

from __future__ import annotations

import logging
import time
import zlib
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from exceptions import DatabaseError, SheetError
from warehouse.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from app_types import Figures
    from warehouse.connection import Database

log = logging.getLogger(__name__)

TURN_WAIT: Final = 180.0
"""Seconds that a publication waits for another one in the same spreadsheet: as long as that may take."""

_TURN_SPACE: Final = 0x4C4D54  # tells these advisory locks from those of days, and from those of others
_TURN_POLL: Final = 0.2


class Target(StrEnum):
    """Where figures are published."""

    SHEET = "sheet"
    MAIL = "mail"


def is_published(database: Database, day: date, figures: Figures, target: Target, destination: str = "") -> bool:
    """Tell whether these very figures were the last ones published of a day.

    Args:
        database: the database.
        day: the day.
        figures: its figures.
        target: the sheet or the letter.
        destination: the spreadsheet's id; another sheet has not seen them yet.
    """
    rows = database.rows(
        query("publications/find"), process_date=day, mode=figures.mode, target=target, destination=destination
    )
    return bool(rows) and rows[0][0] == figures.fingerprint()


def published(database: Database, first: date, end: date, target: Target, destination: str = "") -> dict[date, str]:
    """Return the fingerprints of the figures last published of whole days from `first` up to, not including, `end`."""
    rows = database.rows(query("publications/list"), first=first, end=end, target=target, destination=destination)
    return dict(rows)


def record(
    database: Database, day: date, figures: Figures, target: Target, *, destination: str = "", run_id: int | None
) -> None:
    """Remember what was published."""
    database.rows(
        query("publications/record"),
        process_date=day,
        mode=figures.mode,
        target=target,
        destination=destination,
        fingerprint=figures.fingerprint(),
        run_id=run_id,
    )


@contextmanager
def turn(database: Database, destination: str, wait: float = TURN_WAIT) -> Iterator[None]:
    """Be the only one that draws in a spreadsheet: two days drawn at once could take the same row of its history.

    It polls: a wait inside PostgreSQL would not hear Ctrl-C.

    Args:
        database: the database that everyone who draws there works with.
        destination: the spreadsheet's id.
        wait: seconds.

    Raises:
        SheetError: others were drawing all the while.
    """
    lock = {"space": _TURN_SPACE, "key": zlib.crc32(destination.encode()) - 2**31}
    limit, told = time.monotonic() + wait, False
    while not database.rows("SELECT pg_try_advisory_lock(%(space)s, %(key)s)", **lock)[0][0]:
        if time.monotonic() >= limit:
            raise SheetError(
                "Another run has been drawing in the Google Sheet all the while; it was left alone.",
                remedy="Wait until that run is done, then repeat this with `report`.",
            )
        if not told:
            log.info("Google Sheet: waiting for another run to finish with it")
            told = True
        time.sleep(_TURN_POLL)
    try:
        yield
    finally:
        if not database.connection.closed:  # otherwise the lock went with it
            with suppress(DatabaseError):
                database.rows("SELECT pg_advisory_unlock(%(space)s, %(key)s)", **lock)
