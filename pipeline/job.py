"""One command and one day while they are under way: what is known so far, and what it has come to."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from app_types import DayOutcome, Figures, MailOutcome, RunStatus, SheetOutcome
from exceptions import EtlError

if TYPE_CHECKING:
    from pathlib import Path

    from app_types import Counts, DailyStatistics, Day, Mode
    from config import Settings
    from console.arguments import Options
    from console.terminal import Terminal
    from messages import Messages
    from report.content import Background, DayContent
    from warehouse.connection import Server

log = logging.getLogger(__name__)


class Terminated(BaseException):
    """The system asked the program to end (SIGTERM)."""


break_offs: list[BaseException] = []
"""What the signals that were heard have raised; a command ends with the first of them."""


@dataclass
class Job:
    """What one command works with, and what it has come to so far."""

    settings: Settings
    options: Options
    messages: Messages
    terminal: Terminal
    server: Server
    mode: Mode
    reset_pending: bool
    runs: list[DayRun] = field(default_factory=list)
    pages: list[Path] = field(default_factory=list)
    sheet_url: str | None = None


@dataclass
class DayRun:
    """One day's run while it is under way. The events are committed as soon as `counts` is known."""

    day: Day
    started: float = field(default_factory=time.monotonic)
    run_id: int | None = None
    counts: Counts | None = None
    statistics: DailyStatistics | None = None
    background: Background | None = None
    content: DayContent | None = None
    prepared_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    sheet: SheetOutcome = SheetOutcome.SKIPPED
    mail: MailOutcome = MailOutcome.SKIPPED
    error: EtlError | None = None
    troubles: list[EtlError] = field(default_factory=list)
    interruption: BaseException | None = None
    sheet_url: str | None = None
    from_database: bool = False

    @property
    def loaded(self) -> bool:
        """Whether the day's events are in the table."""
        return self.counts is not None or self.from_database

    @property
    def status(self) -> RunStatus:
        """What the run has come to."""
        if not self.loaded:
            return RunStatus.INTERRUPTED if self.interruption else RunStatus.FAILED
        return RunStatus.PARTIAL if self.error or self.troubles else RunStatus.OK

    def stop(self, error: BaseException) -> None:
        """Note what ended the run before its end."""
        if isinstance(error, (KeyboardInterrupt, Terminated)):
            self.interruption = error
            self.error = EtlError("The run was interrupted after the events were loaded.") if self.loaded else None
        elif isinstance(error, EtlError):
            self.error = error
            log.error("failed: %s", error)
        elif break_offs:
            # A library has turned the exception of the signal into one of its own.
            self.stop(break_offs[-1])
        else:
            self.error = unexpected(error)

    def trouble(self, error: EtlError) -> None:
        """Note a failure that does not end the run."""
        self.troubles.append(error)
        log.error("failed: %s", error)

    @property
    def figures(self) -> Figures | None:
        """What is published of the day; None where there is nothing to publish."""
        return figures_of(self.outcome())

    def outcome(self) -> DayOutcome:
        """Return the run as the summary, the JSON object and the letter tell it."""
        return DayOutcome(
            date=self.day.date,
            mode=self.day.mode,
            complete=self.day.complete,
            status=self.status,
            counts=self.counts if self.loaded else None,
            statistics=self.statistics if self.loaded else None,
            sheet=self.sheet,
            mail=self.mail,
            error=self.error,
            troubles=tuple(self.troubles),
            sheet_url=self.sheet_url,
            duration=timedelta(seconds=time.monotonic() - self.started),
            from_database=self.from_database,
            run_id=self.run_id,
        )


def unexpected(error: BaseException) -> EtlError:
    """Return the error that tells people of a fault in this program; the log file gets the traceback."""
    log.error("unexpected error", exc_info=error)
    return EtlError(
        "Something unexpected happened (%(kind)s).",
        remedy="The log file tells more; with LOG_LEVEL=DEBUG the terminal does, too.",
        kind=type(error).__name__,
    )


def figures_of(outcome: DayOutcome) -> Figures | None:
    """Return what is published of a day; None where there is nothing to publish."""
    if outcome.statistics is None:
        return None
    return Figures(outcome.mode, outcome.complete, outcome.statistics)
