"""The part of what is kept for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from settings.reader import Reader


@dataclass(frozen=True, kw_only=True)
class RetentionSettings:
    """How many days are kept; None means for ever."""

    quarantine_days: int | None = None
    ledger_days: int | None = None
    reports_days: int | None = None


def read_retention(reader: Reader) -> RetentionSettings:
    """Read how long rows and reports are kept."""
    return RetentionSettings(
        quarantine_days=reader.days("RETENTION_QUARANTINE_DAYS"),
        ledger_days=reader.days("RETENTION_LEDGER_DAYS"),
        reports_days=reader.days("RETENTION_REPORTS_DAYS"),
    )
