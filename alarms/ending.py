"""How a command ended, as all kinds of alarms tell it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from app_types import DayOutcome
    from exceptions import EtlError


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a command.

    `doubts` say in the operator's words why the figures of a loaded day are not to be relied on. `whole_until` is the
    end of the newest day that was loaded whole; None where this command loaded none. `error` ended the command before
    its days. All moments are aware.
    """

    command: str
    code: int
    outcomes: tuple[DayOutcome, ...]
    started_at: datetime
    finished_at: datetime
    doubts: Mapping[date, str] = field(default_factory=dict)
    whole_until: datetime | None = None
    error: EtlError | None = None
