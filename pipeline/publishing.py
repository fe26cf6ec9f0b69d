"""Publishes a day: the local report and the Google Sheet; a failure of one does not stop the other."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from app_types import DayDetails, SheetOutcome, Window
from exceptions import ReportError, SheetError

if TYPE_CHECKING:
    from app_types import Day, Figures
    from messages import Messages
    from pipeline.job import DayRun, Job
    from report.content import Background, DayContent
    from warehouse.connection import Database
    from warehouse.ledger import FullRun

log = logging.getLogger(__name__)

LOOK_BACK = timedelta(weeks=8)


def publish(job: Job, database: Database, run: DayRun) -> None:
    """Write page, workbook and calendar and bring the sheet up to date; a failure of one does not stop the other."""
    from pipeline.calendar import write_calendar
    from report.page import write_page
    from report.workbook import write_workbook

    run.background = _background(database, run)
    run.prepared_at = datetime.now(UTC)
    run.content = worded(job, run, job.messages)
    if run.content is None:
        return
    if job.options.local:
        for write in (write_page, write_workbook):
            try:
                job.pages.append(write(run.content, job.settings.reports_path))
            except ReportError as error:
                run.trouble(error)
        try:
            write_calendar(job, database)
        except ReportError as error:
            run.trouble(error)
    run.sheet = _publish_sheet(job, database, run, run.content, run.figures)


def worded(job: Job, run: DayRun, messages: Messages) -> DayContent | None:
    """Word a day in a language; None where it has no figures."""
    from report.content import day_content

    if run.statistics is None or run.background is None:
        return None
    names = {key: titles[messages.language] for key, titles in job.settings.course_names.items()}
    return day_content(
        run.day,
        run.statistics,
        run.counts,
        prepared_at=run.prepared_at,
        messages=messages,
        background=replace(run.background, course_names=names),
    )


def covered(day: Day, full: FullRun | None) -> Day:
    """Return what the table holds of a day: the part that its last full run asked for."""
    if full is None:
        return replace(day, complete=False)
    if full.complete:
        return day
    start, end = day.window.start, min(day.window.end, full.covered_until)
    return replace(day, window=Window(start, max(start, end)), complete=False)


def _background(database: Database, run: DayRun) -> Background:
    """Gather what stands behind the figures: hours, courses and tasks, the days before, what was published already."""
    from report.content import Background
    from warehouse import revisions

    day, figures = run.day, run.figures
    revision = revisions.record(database, day.date, figures, run_id=run.run_id) if figures else None
    return Background(
        details=run.details or DayDetails(),
        past=revisions.past_days(database, day.date - LOOK_BACK, day.date),
        revision=revision.number if revision else 1,
        previous=revision.previous if revision else None,
    )


def _publish_sheet(
    job: Job, database: Database, run: DayRun, content: DayContent, figures: Figures | None
) -> SheetOutcome:
    """Draw the day in the Google Sheet, unless these figures stand there already."""
    from warehouse import publications
    from warehouse.publications import Target

    settings = job.settings.sheet
    if settings is None:
        log.info("sheet: not configured, left out")
        return SheetOutcome.SKIPPED
    if not job.options.sheet or figures is None:
        log.info("sheet: left out as asked")
        return SheetOutcome.SKIPPED
    day, destination = run.day.date, settings.spreadsheet_id
    if not run.from_database and publications.is_published(database, day, figures, Target.SHEET, destination):
        log.info("sheet: no change, left alone")
        return SheetOutcome.UNCHANGED
    if job.draws_at_the_end:
        run.is_sheet_due = True
        log.info("sheet: to be drawn at the end, with the other days")
        return SheetOutcome.FAILED  # until it is done

    import google_sheets

    run.sheet = SheetOutcome.FAILED  # until it is done: an interruption finds it so
    try:
        with publications.turn(database, destination):
            run.sheet_url = job.sheet_url = google_sheets.publish(settings, [content])
    except SheetError as error:
        run.trouble(error)
        return SheetOutcome.FAILED
    publications.record(database, day, figures, Target.SHEET, destination=destination, run_id=run.run_id)
    return SheetOutcome.UPDATED
