"""`run`: days through the whole pipeline, from the source to the letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.days import run_days
from pipeline.plan import lacking

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from pipeline.job import Job


def run(job: Job, days: Sequence[date]) -> int:
    """Run the days, oldest first; where it is wished, without those that are complete."""
    wanted = lacking(job, days) if job.options.missing_only else days
    return run_days(job, wanted, job.process_day, asked=days)
