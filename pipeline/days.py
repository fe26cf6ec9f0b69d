"""Runs days one after the other: a failing one does not stop the others, an interruption does."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from app_types import RunStatus, SheetOutcome
from console import summary
from console.arguments import Command
from console.range_summary import show_left_out, show_range
from pipeline.drawing import draw_left_out, leave_undrawn
from pipeline.job import ExitCode, Terminated

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from pipeline.job import Job, ProcessDay

log = logging.getLogger(__name__)

_BREAK_OFFS = (KeyboardInterrupt, Terminated)


def run_days(job: Job, days: Sequence[date], process: ProcessDay, *, asked: Sequence[date] = ()) -> int:
    """Process the days, oldest first, tell what became of each, and return the exit code.

    Args:
        job: the command.
        days: the days to process.
        process: what does the work of one.
        asked: all days that the command is about, where some of them are left out.
    """
    job.asked = asked or days
    left_out = len(job.asked) - len(days)
    if not days:
        show_left_out(job.terminal, left_out, job.messages)
        return _draw_left_out(job)
    interruption = _process_all(job, days, process)
    try:
        leave_undrawn(job)
        _print_objects(job)
        if len(job.asked) > 1:
            _sum_up(job, days, left_out)
    except _BREAK_OFFS as error:
        interruption = interruption or error  # what was done is done, and the exit code says so
    code = _exit_code(job, interruption)
    return ExitCode.PARTIAL if code == ExitCode.OK and len(job.runs) < len(days) else code


def _process_all(job: Job, days: Sequence[date], process: ProcessDay) -> BaseException | None:
    """Process day after day; return what broke the work off, if anything did."""
    is_quiet = job.settings.logs.level != "DEBUG"
    with job.terminal.days(len(days), job.messages, is_quiet=is_quiet) as bar:
        for number, day in enumerate(days):
            try:
                if number and job.options.pause:
                    bar.pause(job.options.pause)
                    time.sleep(job.options.pause)
                run = process(job, day, last=day == days[-1])
                job.runs.append(run)
                bar.advance(is_failed=not run.loaded)
                if not run.is_sheet_due:
                    _print_objects(job)
                summary.show_day(
                    job.terminal, run.outcome(), run.content, job.messages, job.options, brief=len(days) > 1
                )
                if len(days) > 1:
                    run.forget_details()
            except _BREAK_OFFS as error:
                return error  # a day that is done stays so; the days after it are not begun
            if run.interruption:
                return run.interruption
    return None


def _sum_up(job: Job, days: Sequence[date], left_out: int) -> None:
    """Tell what the whole range has come to."""
    show_left_out(job.terminal, left_out, job.messages)
    if len(days) < 2:
        return
    is_report = job.options.command is Command.REPORT
    words = [" report" if is_report else "", " --demo" if job.options.demo else "", " --test" if job.is_test else ""]
    show_range(
        job.terminal,
        [run.outcome() for run in job.runs],
        job.messages,
        days=days,
        late=[error for run in job.runs[:-1] if run.sheet is SheetOutcome.FAILED for error in run.troubles],
        command="python data_processor.py" + "".join(words),
        may_leave_out=not is_report and not job.is_test,
    )


def _print_objects(job: Job) -> None:
    """Print the objects of the days whose end is known, in order: one that waits for the sheet holds up the others."""
    if not job.options.json:
        return
    while job.printed < len(job.runs) and not job.runs[job.printed].is_sheet_due:
        run = job.runs[job.printed]
        job.printed += 1
        job.terminal.machine(summary.json_line(run.outcome(), job.messages))


def _draw_left_out(job: Job) -> int:
    """Draw days that are loaded but not in the sheet, where no other day is to be run."""
    if error := draw_left_out(job):
        log.error("failed: %s", error)
        return ExitCode.PARTIAL
    return ExitCode.OK


def _exit_code(job: Job, interruption: BaseException | None) -> int:
    """Return the worst code: interrupted, then 1, then 3, then 0."""
    statuses = {run.status for run in job.runs}
    if RunStatus.INTERRUPTED in statuses:
        return ExitCode.TERMINATED if isinstance(interruption, Terminated) else ExitCode.INTERRUPTED
    if RunStatus.FAILED in statuses:
        return ExitCode.FAILED
    return ExitCode.PARTIAL if RunStatus.PARTIAL in statuses else ExitCode.OK
