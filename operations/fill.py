"""`fill`: runs every day of late that is missing, has failed or was not over when it was loaded, oldest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.days import run_days
from pipeline.plan import lacking

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from pipeline.job import Job


def run(job: Job, days: Sequence[date]) -> int:
    """Run those of the days that need it."""
    return run_days(job, lacking(job, days), job.process_day, asked=days)
