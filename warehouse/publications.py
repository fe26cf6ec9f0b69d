"""Remembers which figures of a day were published where, so that equal ones are not published again."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from warehouse.queries import query

if TYPE_CHECKING:
    from datetime import date

    from app_types import Figures
    from warehouse.connection import Database


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
