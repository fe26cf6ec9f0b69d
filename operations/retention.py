"""`retention`: deletes quarantine, ledger details and reports that are older than the settings keep them."""

from __future__ import annotations

import json
import logging
import re
import time
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from console.tables import Column, table
from exceptions import ReportError
from pipeline.calendar import refresh_calendar
from pipeline.job import ExitCode, Terminated
from warehouse import retention
from warehouse.migrations import applied_versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from config import RetentionSettings
    from pipeline.job import Job
    from warehouse.connection import Database

log = logging.getLogger(__name__)

_REPORT: Final = re.compile(r"(\d{4}-\d{2}-\d{2})(?:\.test)?\.(?:html|xlsx)", re.ASCII)
_LEFTOVER: Final = re.compile(r"\.(\d{4}-\d{2}-\d{2})(?:\.test)?\.(?:html|xlsx)\.\w+\.tmp", re.ASCII)
"""What a report is called while it is written; a killed run leaves it behind."""
_LONGEST_WRITE: Final = 86_400.0


@dataclass
class Part:
    """What is kept for a number of days, and what has gone or would go; `before` is the first day that stays."""

    keep: int | None
    today: date
    counts: dict[str, int]

    @property
    def before(self) -> date | None:
        """The oldest day that stays; None where all do."""
        return None if self.keep is None else self.today - timedelta(days=self.keep)


@dataclass
class Result:
    """What became of each part, the days left out because a run holds them, and what could not be deleted."""

    quarantine: Part
    ledger: Part
    reports: Part
    held: list[date] = field(default_factory=list)
    troubles: list[ReportError] = field(default_factory=list)

    @property
    def is_nothing(self) -> bool:
        """Whether everything is kept for ever."""
        return self.quarantine.keep is self.ledger.keep is self.reports.keep is None

    @classmethod
    def of(cls, settings: RetentionSettings, today: date) -> Result:
        """Return a result at its beginning."""
        return cls(
            quarantine=Part(settings.quarantine_days, today, {"events": 0}),
            ledger=Part(settings.ledger_days, today, {"runs": 0, "letters": 0}),
            reports=Part(settings.reports_days, today, {"files": 0}),
        )


def run(job: Job, _: Sequence[date]) -> int:
    """Delete what is older than the settings keep, or with `--dry-run` show it.

    Raises:
        DatabaseError: the database cannot be reached, or refuses; what is gone by then was to go.
    """
    result = Result.of(job.settings.retention, datetime.now(job.settings.zone).date())
    interruption: BaseException | None = None
    if not result.is_nothing:
        try:
            _work(job, result)
        except (KeyboardInterrupt, Terminated) as error:
            interruption = error
    if job.options.json:
        job.terminal.machine(_object(result, is_dry=job.options.dry_run))
    _show(job, result, is_interrupted=interruption is not None)
    if interruption:
        return ExitCode.TERMINATED if isinstance(interruption, Terminated) else ExitCode.INTERRUPTED
    return ExitCode.FAILED if result.troubles else ExitCode.OK


def _work(job: Job, result: Result) -> None:
    is_dry = job.options.dry_run
    with job.server.connected() as database:
        if applied_versions(database):
            _tidy_quarantine(database, result, is_dry=is_dry)
            _tidy_ledger(database, result.ledger, is_dry=is_dry)
        tidy_reports(job.settings.reports_path, result, is_dry=is_dry)
        if result.reports.counts["files"] and not is_dry:
            refresh_calendar(job, database)  # its links would lead to pages that are gone
    gone = (
        result.quarantine.counts["events"],
        result.ledger.counts["runs"],
        result.ledger.counts["letters"],
        result.reports.counts["files"],
    )
    if is_dry:
        log.info("retention: would delete, events: %d, runs: %d, letters: %d, files: %d", *gone)
    else:
        log.info("retention: deleted, events: %d, runs: %d, letters: %d, files: %d", *gone)


def _tidy_quarantine(database: Database, result: Result, *, is_dry: bool) -> None:
    part = result.quarantine
    if part.before is None:
        return
    for day, count in retention.quarantined(database, part.before):
        if is_dry:
            part.counts["events"] += count
        elif database.try_day(day):
            try:
                _add(part, "events", retention.delete_quarantined(database, day))
            finally:
                database.leave_day(day)
        else:
            result.held.append(day)


def _tidy_ledger(database: Database, part: Part, *, is_dry: bool) -> None:
    if part.before is None:
        return
    runs = retention.dispensable_runs(database, part.before)
    letters = retention.dispensable_letters(database, part.before)
    if is_dry:
        part.counts.update(runs=len(runs), letters=len(letters))
    else:
        _add(part, "runs", retention.delete_runs(database, runs))
        _add(part, "letters", retention.delete_letters(database, letters))


def tidy_reports(folder: Path, result: Result, *, is_dry: bool) -> None:
    """Delete reports of old days; whatever else lies in the folder stays, links and folders of such names too."""
    part = result.reports
    if part.before is None or not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if not _is_old_report(path, part.before):
            continue
        try:
            if not is_dry:
                path.unlink(missing_ok=True)
            part.counts["files"] += 1
        except OSError as error:
            trouble = ReportError(
                "%(file)s could not be deleted: %(cause)s.",
                remedy="Check who owns REPORTS_PATH and its files.",
                file=str(path),
                cause=error.strerror or type(error).__name__,
            )
            result.troubles.append(trouble)


def _is_old_report(path: Path, before: date) -> bool:
    match = _REPORT.fullmatch(path.name) or _LEFTOVER.fullmatch(path.name)
    if match is None or path.is_symlink() or not path.is_file():
        return False
    try:
        day = date.fromisoformat(match[1])
    except ValueError:
        return False
    is_at_work = path.name.startswith(".") and time.time() - path.stat().st_mtime < _LONGEST_WRITE
    return day < before and not is_at_work


def _add(part: Part, name: str, deleted: Iterable[int]) -> None:
    for count in deleted:
        part.counts[name] += count


def _object(result: Result, *, is_dry: bool) -> str:
    parts = {"quarantine": result.quarantine, "ledger": result.ledger, "reports": result.reports}
    told = {
        name: {"days": part.keep, "before": part.before.isoformat() if part.before else None, **part.counts}
        for name, part in parts.items()
    }
    return json.dumps({"dry_run": is_dry, **told, "left_out": [day.isoformat() for day in result.held]})


def _show(job: Job, result: Result, *, is_interrupted: bool) -> None:
    text, plural, number = job.messages.text, job.messages.plural, job.messages.number
    is_dry = job.options.dry_run

    def row(label: str, part: Part, name: str) -> tuple[str, ...]:
        if part.keep is None:
            return (label, text("for ever"), "", "—")
        kept = plural("%(n)s day", "%(n)s days", part.keep)
        return (label, kept, str(part.before), number(part.counts[name]))

    columns = [
        Column(text("What")),
        Column(text("Kept for")),
        Column(text("Oldest day that stays"), is_short=True),
        Column(text("Would be deleted") if is_dry else text("Deleted"), is_number=True),
    ]
    rows = [
        row(text("Rejected events"), result.quarantine, "events"),
        row(text("Runs that changed nothing"), result.ledger, "runs"),
        row(text("Records of letters"), result.ledger, "letters"),
        row(text("Pages and workbooks"), result.reports, "files"),
    ]
    job.terminal.show(table(text("Retention"), columns, rows))
    for day in result.held:
        job.terminal.line(text("! %(date)s was left out: a run of that day is at work.", date=day))
    for trouble in result.troubles:
        log.error("failed: %s", trouble)
        job.terminal.problem(job.messages.error(trouble))
    if result.is_nothing:
        job.terminal.line(
            text(
                "Everything is kept for ever. To change that, set how many days to keep: %(names)s.",
                names="RETENTION_QUARANTINE_DAYS, RETENTION_LEDGER_DAYS, RETENTION_REPORTS_DAYS",
            )
        )
    elif is_dry:
        job.terminal.line(text("Nothing was deleted. To delete it: python data_processor.py retention"))
    elif is_interrupted:
        job.terminal.problem(text("Interrupted: what is listed is gone, the rest goes the next time."))
