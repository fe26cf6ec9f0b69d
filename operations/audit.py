"""`audit`: asks the source again for the last days and tells where the table differs; loads nothing.

With `--repair` the days that differ are run again, as any run. What has vanished at the source stays in the table: a
run notes how much that is, and from then on it is known and no drift.
"""

from __future__ import annotations

import json
import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from app_types import Mode, RunStatus
from console.tables import Column, table
from exceptions import DatabaseError, EtlError
from pipeline.days import run_days
from pipeline.job import ExitCode, Terminated, break_offs, unexpected
from source.windows import day_of
from warehouse.drift import Comparison, Kind
from warehouse.migrations import applied_versions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from messages import Messages
    from pipeline.job import Job
    from warehouse.drift import Difference, Drift

log = logging.getLogger(__name__)

_MARKS: Final = {Kind.NEW: "+", Kind.CHANGED: "~", Kind.VANISHED: "−"}
_MOST_SAMPLED_DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class Audited:
    """A day and what was found of it, or why nothing was."""

    day: date
    drift: Drift | None = None
    error: EtlError | None = None

    @property
    def is_unloaded(self) -> bool:
        """Whether there was nothing to compare with: no run has loaded the day, and the table holds nothing of it."""
        return self.drift is not None and self.drift.known_vanished is None and not self.drift.held

    @property
    def status(self) -> str:
        """What scripts are told."""
        if self.drift is None:
            return "failed"
        return "drifted" if self.drift.is_drifted else "same"


def run(job: Job, days: Sequence[date]) -> int:
    """Compare the days, oldest first, and with `--repair` run those that differ.

    0 where source and table agree, or agree again after the repair; 1 where they do not, or a day could not be asked.
    """
    found: list[Audited] = []
    interruption: BaseException | None = None
    for number, day in enumerate(days):
        try:
            if number and job.options.pause:
                time.sleep(job.options.pause)
            found.append(_audited(job, day))
            if job.options.json:
                job.terminal.machine(_object(found[-1], job.messages))
        except (KeyboardInterrupt, Terminated) as error:
            interruption = error
            break
    _show(job, found)
    if interruption:
        job.terminal.problem(job.messages.text("Interrupted; nothing was changed."))
        return ExitCode.TERMINATED if isinstance(interruption, Terminated) else ExitCode.INTERRUPTED
    drifted = [each.day for each in found if each.status == "drifted"]
    code = ExitCode.FAILED if any(each.error for each in found) else ExitCode.OK
    if not drifted:
        return code
    if not job.options.repair:
        _tell_remedy(job, drifted)
        return ExitCode.FAILED
    return _repair(job, drifted) or code


def _audited(job: Job, date_: date) -> Audited:
    """Compare one day; a failure is part of what was found."""
    log.info("audit: start, day %s", date_.isoformat())
    try:
        drift = _compared(job, date_)
    except EtlError as error:
        log.error("failed: %s", error)  # noqa: TRY400  (an expected failure has no traceback)
        return Audited(date_, error=error)
    except (KeyboardInterrupt, Terminated):
        raise
    except Exception as error:  # noqa: BLE001  (told, and the other days are compared)
        if break_offs:
            raise break_offs[-1] from None  # a library has turned the exception of the signal into one of its own
        return Audited(date_, error=unexpected(error))
    log.info(
        "audit: done, day %s, new: %d, changed: %d, vanished: %d, rejected and not in quarantine: %d",
        date_.isoformat(),
        drift.counts[Kind.NEW],
        drift.counts[Kind.CHANGED],
        drift.counts[Kind.VANISHED],
        drift.unknown_rejected,
    )
    return Audited(date_, drift)


def _compared(job: Job, date_: date) -> Drift:
    import get_data

    settings = job.settings
    day = day_of(date_, settings.zone, Mode.FULL, datetime.now(UTC))
    title = job.messages.text("Auditing %(date)s", date=date_)
    with job.server.connected() as database:
        if not applied_versions(database):
            raise DatabaseError("Nothing was ever loaded, so there is nothing to compare.", remedy="Run a day first.")
        comparison = Comparison(database, day)
        with _quiet_fetch(), job.terminal.progress(title, job.messages) as on_progress:
            for batch in get_data.fetch(settings.api, day.window, on_progress=on_progress):
                comparison.add(batch)
        return comparison.result()


@contextmanager
def _quiet_fetch() -> Iterator[None]:
    """Leave out of the log what a fetch tells of events: the run that loaded them has told it."""
    fetch_log = logging.getLogger("get_data")
    fetch_log.addFilter(_is_error)
    try:
        yield
    finally:
        fetch_log.removeFilter(_is_error)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def _repair(job: Job, days: Sequence[date]) -> int:
    """Run the days again and tell which of them are right now."""
    code = run_days(job, days, job.process_day)
    done = [each for each in job.runs if each.status in {RunStatus.OK, RunStatus.PARTIAL}]
    if done:
        names = ", ".join(each.day.date.isoformat() for each in done)
        job.terminal.line(job.messages.text("Repaired: %(days)s", days=names))
    return code


def _tell_remedy(job: Job, days: Sequence[date]) -> None:
    first, last = days[0].isoformat(), days[-1].isoformat()
    dates = f"--date {first}" if first == last else f"--from {first} --to {last}"
    command = job.options.further(f"audit {dates} --repair")
    job.terminal.line(job.messages.text("To run the days again that differ: %(command)s", command=command))


def _show(job: Job, found: Sequence[Audited]) -> None:
    """Show a row for each day, then a few of the events that differ, then what could not be asked."""
    if not found:
        return
    text, number = job.messages.text, job.messages.number
    columns = [
        Column(text("Date"), is_short=True),
        Column(text("Result"), is_short=True),
        Column(text("Source"), is_number=True),
        Column(text("Table"), is_number=True),
        Column(text("New"), is_number=True),
        Column(text("Changed"), is_number=True),
        Column(text("Vanished"), is_number=True),
        Column(text("Rejected"), is_number=True),  # of those, the ones that are not in quarantine
    ]
    rows = []
    for each in found:
        values: tuple[int, ...] = ()
        if drift := each.drift:
            values = (drift.sent, drift.held, *(drift.counts[kind] for kind in Kind), drift.unknown_rejected)
        rows.append((each.day.isoformat(), _status_text(each, job.messages), *map(number, values)))
    job.terminal.show(table(text("Audit"), columns, rows))
    drifted = [each for each in found if each.status == "drifted" and not each.is_unloaded]
    for each in drifted[:_MOST_SAMPLED_DAYS]:
        for sample in each.drift.samples if each.drift else ():
            job.terminal.line(f"{_MARKS[sample.kind]} {_sample_text(sample, job)}")
    if drifted:
        job.terminal.line(
            text(
                "+ only at the source, ~ other values than at the source, − only in the table; times in %(zone)s",
                zone=job.settings.zone.key,
            )
        )
    for each in found:
        if each.error:
            job.terminal.problem(f"{each.day.isoformat()}: {job.messages.error(each.error)}")


def _status_text(found: Audited, messages: Messages) -> str:
    if found.is_unloaded:
        return messages.text("never loaded")
    return {
        "failed": messages.text("failed"),
        "drifted": messages.text("DIFFERS"),
        "same": messages.text("the same"),
    }[found.status]


def _sample_text(sample: Difference, job: Job) -> str:
    at = sample.created_at.astimezone(job.settings.zone)
    text = f"{at:%Y-%m-%d %H:%M:%S}  {sample.attempt_type}  {_shortened(sample.user_id)}"
    if sample.kind is not Kind.CHANGED:
        return text
    changes = [_change(name, sample) for name in sample.changed]
    return f"{text}  {', '.join(changes)}"


def _change(name: str, sample: Difference) -> str:
    if name != "is_correct":
        return name
    words = {None: "null", False: "0", True: "1"}
    return f"{name} {words[sample.held_correct]} → {words[sample.sent_correct]}"


def _shortened(user_id: str) -> str:
    return user_id[: min(6, len(user_id) // 2)] + "…"


def _object(found: Audited, messages: Messages) -> str:
    drift = found.drift
    return json.dumps(
        {
            "date": found.day.isoformat(),
            "status": found.status,
            "received": drift.received if drift else None,
            "at_source": drift.sent if drift else None,
            "in_table": drift.held if drift else None,
            **{kind.value: drift.counts[kind] if drift else None for kind in Kind},
            "known_vanished": drift.known_vanished if drift else None,
            "rejected": drift.rejected if drift else None,
            "newly_rejected": drift.unknown_rejected if drift else None,
            "samples": [
                {
                    "kind": sample.kind,
                    "created_at": sample.created_at.isoformat(),
                    "user_id": _shortened(sample.user_id),
                    "attempt_type": sample.attempt_type,
                    "changed": list(sample.changed) if sample.kind is Kind.CHANGED else [],
                }
                for sample in (drift.samples if drift and drift.is_drifted else ())
            ],
            "error": messages.error(found.error) if found.error else None,
        }
    )
