"""One command and one day while they are under way: what is known so far, and what it has come to."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from app_types import DayDetails, DayOutcome, Figures, MailOutcome, Mode, RunStatus, SheetOutcome
from exceptions import EtlError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from pathlib import Path

    from app_types import Counts, DailyStatistics, Day
    from config import Settings
    from console.arguments import Options
    from console.terminal import Terminal
    from messages import Messages
    from report.content import Background, DayContent
    from warehouse.connection import Server

log = logging.getLogger(__name__)


class ExitCode(IntEnum):
    """What the program tells cron lines and scripts."""

    OK = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    INTERRUPTED = 130
    TERMINATED = 143


class Terminated(BaseException):
    """The system asked the program to end (SIGTERM)."""


break_offs: list[BaseException] = []
"""What the signals that were heard have raised; a command ends with the first of them."""


class ProcessDay(Protocol):
    """What does the work of one day; failures and interruptions are in the result, it raises none."""

    def __call__(self, job: Job, date_: date, *, last: bool) -> DayRun:
        """Process a day; with the last one of a command goes its letter."""


@dataclass
class Job:
    """What one command works with, and what it has come to so far.

    `process_day` runs one day through the whole pipeline; `pipeline.days.run_days` does it for several. `asked` are
    the days that the command is about, those among them included that it leaves out; `printed` counts the days whose
    object is printed.
    """

    settings: Settings
    options: Options
    messages: Messages
    terminal: Terminal
    server: Server
    mode: Mode
    process_day: ProcessDay
    reset_pending: bool = False
    asked: Sequence[date] = ()
    runs: list[DayRun] = field(default_factory=list)
    printed: int = 0
    pages: list[Path] = field(default_factory=list)
    sheet_url: str | None = None

    @property
    def is_test(self) -> bool:
        """Whether no more than the first hour of a day is processed."""
        return self.mode is Mode.TEST

    @property
    def draws_at_the_end(self) -> bool:
        """Whether the sheet is drawn once, for all days of the command."""
        return len(self.asked) > 1 and not self.is_test


@dataclass
class DayRun:
    """One day's run while it is under way. The events are committed as soon as `counts` is known.

    `is_sheet_due` tells that the sheet waits for the end of the command, to be drawn with all its days at once;
    `is_recorded` that the ledger knows how the run ended, which an interruption does not change any more.
    """

    day: Day
    started: float = field(default_factory=time.monotonic)
    run_id: int | None = None
    counts: Counts | None = None
    statistics: DailyStatistics | None = None
    details: DayDetails | None = None
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
    is_sheet_due: bool = False
    is_recorded: bool = False

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
            if self.is_recorded:
                return
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

    def settle_sheet(self, outcome: SheetOutcome, *, url: str | None = None, trouble: EtlError | None = None) -> None:
        """Note what became of the sheet that was due."""
        self.is_sheet_due, self.sheet, self.sheet_url = False, outcome, url
        if trouble:
            self.troubles.append(trouble)

    def forget_details(self) -> None:
        """Keep no more than the letter of a range needs: a range may be long."""
        from report.usual import same_weekdays

        self.content = self.details = None
        if self.background:
            past = tuple(same_weekdays(self.background.past, self.day.date))
            self.background = replace(self.background, details=DayDetails(), past=past)

    @property
    def figures(self) -> Figures | None:
        """What is published of the day; None where there is nothing to publish."""
        return figures_of(self.outcome())

    def ending(self) -> tuple[RunStatus, EtlError | None]:
        """Return how the run ends as the ledger tells it, and why; a sheet that is due is not done."""
        error = self.error or (self.troubles[0] if self.troubles else None)
        if self.is_sheet_due and error is None:
            return RunStatus.PARTIAL, EtlError(
                "The events are loaded; the Google Sheet was to be drawn at the end of the range.",
                remedy="If the range did not get there, `report --sheet` draws it.",
            )
        return self.status, error

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
