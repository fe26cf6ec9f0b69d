"""Which commands raise alarms, and what they have to tell."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from app_types import Mode, RunStatus
from console.arguments import Command
from pipeline.job import ExitCode, Terminated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    from alarms.ending import Ending
    from alarms.watch import Watch
    from exceptions import EtlError
    from pipeline.job import DayRun, Job

log = logging.getLogger(__name__)

_WATCHED: Final = frozenset(
    {Command.RUN, Command.FILL, Command.AUDIT, Command.REPLAY, Command.REPORT, Command.RETENTION}
)
_DAILY: Final = frozenset({Command.RUN, Command.FILL})
_LOADED: Final = frozenset({RunStatus.OK, RunStatus.PARTIAL})


@dataclass
class Watched:
    """A command under way; it is to say by which code it ends. One that does not has failed, by an error if any."""

    code: int = ExitCode.FAILED
    error: EtlError | None = None


@contextmanager
def watched(job: Job, days: Sequence[date]) -> Iterator[Watched]:
    """Raise alarms about the block as the settings ask; nothing that goes wrong with them reaches the caller.

    Tests and the demo are nobody's business. The heartbeat is that of the daily work: a command over older days alone,
    or one that asks the source for nothing, neither starts nor ends it.
    """
    alarms = job.settings.alarms
    is_configured = bool(alarms.notify_urls or alarms.heartbeat_url or alarms.metrics_file)
    command = Watched()
    if not is_configured or job.options.command not in _WATCHED or job.mode is Mode.TEST or job.options.demo:
        yield command
        return
    from alarms.watch import Watch

    started_at = datetime.now(UTC)
    watch = Watch(alarms)
    if _is_daily(job, days):
        watch.begin()
    try:
        yield command
    except (KeyboardInterrupt, Terminated) as error:
        command.code = ExitCode.TERMINATED if isinstance(error, Terminated) else ExitCode.INTERRUPTED
        raise
    finally:
        _tell(job, watch, command, started_at)


def _tell(job: Job, watch: Watch, command: Watched, started_at: datetime) -> None:
    """Tell how the command ended; whoever breaks that off, or what fails in it, ends the telling alone."""
    from logger import redactor

    try:
        watch.end(
            _ending(job, command, started_at),
            job.messages,
            redactor(job.settings.secrets()),
            is_daily=_is_daily(job, [run.day.date for run in job.runs]),
        )
    except (KeyboardInterrupt, Terminated):
        log.info("alarms: broken off")
    except Exception as error:  # noqa: BLE001  (an alarm is never a reason to fail)
        log.warning("alarms: not raised (%s)", type(error).__name__)


def _ending(job: Job, command: Watched, started_at: datetime) -> Ending:
    from alarms.ending import Ending

    return Ending(
        command=job.options.command.value,
        code=command.code,
        outcomes=tuple(run.outcome() for run in job.runs),
        started_at=started_at,
        finished_at=datetime.now(UTC),
        doubts=_doubts(job.runs),
        whole_until=_whole_until(job.runs),
        error=command.error,
    )


def _doubts(runs: Sequence[DayRun]) -> Mapping[date, str]:
    """Return what speaks against the figures of whole days; of a day that is not over nobody expects otherwise."""
    from report.parts import Trust

    return {
        run.day.date: run.content.trust.text
        for run in runs
        if run.content and run.day.complete and not run.from_database and run.content.trust.trust is not Trust.GOOD
    }


def _whole_until(runs: Sequence[DayRun]) -> datetime | None:
    ends = [
        datetime.combine(run.day.date + timedelta(days=1), time(), run.day.zone)
        for run in runs
        if run.day.complete and run.day.mode is Mode.FULL and run.status in _LOADED and not run.from_database
    ]
    return max(ends, default=None)


def _is_daily(job: Job, days: Sequence[date]) -> bool:
    """Tell whether this is the daily work: days are fetched, yesterday or today among them."""
    yesterday = datetime.now(job.settings.zone).date() - timedelta(days=1)
    return job.options.command in _DAILY and any(day >= yesterday for day in days)
