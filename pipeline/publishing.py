"""Publishes a day: the local report, the Google Sheet, the letter; a failure of one does not stop the others."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app_types import MailOutcome, Mode, SheetOutcome
from exceptions import EtlError, MailError, ReportError, SheetError
from pipeline.job import Terminated, figures_of, unexpected

if TYPE_CHECKING:
    from app_types import Figures
    from pipeline.job import DayRun, Job
    from report.content import DayContent
    from warehouse.connection import Database

log = logging.getLogger(__name__)


def publish(job: Job, database: Database, run: DayRun) -> None:
    """Make the local report and bring the sheet up to date; a failure of the one does not stop the other."""
    from report.content import day_content
    from report.page import write_page

    if run.statistics is None:
        return
    run.content = day_content(run.day, run.statistics, run.counts, prepared_at=datetime.now(UTC), messages=job.messages)
    try:
        job.pages.append(write_page(run.content, job.settings.reports_path))
    except ReportError as error:
        run.trouble(error)
    run.sheet = _publish_sheet(job, database, run, run.content, run.figures)


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

    import google_sheets

    run.sheet = SheetOutcome.FAILED  # until it is done: an interruption finds it so
    try:
        run.sheet_url = job.sheet_url = google_sheets.publish(settings, [content])
    except SheetError as error:
        run.trouble(error)
        return SheetOutcome.FAILED
    publications.record(database, day, figures, Target.SHEET, destination=destination, run_id=run.run_id)
    return SheetOutcome.UPDATED


def send_letter(job: Job, database: Database | None, run: DayRun) -> None:
    """Send the one letter of the command, unless there is nothing new to tell or the operator broke off."""
    if run.interruption:
        return
    if job.settings.mail is None or not job.options.mail:
        log.info("letter: left out as asked" if job.settings.mail else "letter: not configured, left out")
        return
    run.mail = MailOutcome.FAILED  # until it is done: an interruption finds it so
    try:
        run.mail = _deliver_letter(job, database, run)
    except (EtlError, OSError) as error:
        run.trouble(error if isinstance(error, EtlError) else unexpected(error))
    except (KeyboardInterrupt, Terminated) as error:
        run.stop(error)


def _deliver_letter(job: Job, database: Database | None, run: DayRun) -> MailOutcome:
    """Compose the letter, deliver it, and remember which figures it told."""
    import email_notifications
    from report.content import letter_content
    from warehouse import publications
    from warehouse.publications import Target

    settings = job.settings.mail
    assert settings is not None  # noqa: S101  (for the type checker)
    outcomes = [*job.outcomes, run.outcome()]
    told = [(outcome.date, figures) for outcome in outcomes if (figures := figures_of(outcome))]
    nothing_new = database is not None and all(
        publications.is_published(database, day, figures, Target.MAIL) for day, figures in told
    )
    if nothing_new and len(told) == len(outcomes) and not run.from_database:
        log.info("letter: no change, none is sent")
        return MailOutcome.UNCHANGED
    now = datetime.now(job.settings.zone)
    letter = letter_content(outcomes, [*job.contents, run.content], prepared_at=now, messages=job.messages)
    recipients = (settings.sender,) if job.mode is Mode.TEST else settings.recipients
    message = email_notifications.compose(
        letter,
        sender=settings.sender,
        recipients=recipients,
        message_id=email_notifications.message_id(
            run.day.date,
            job.mode,
            "".join(figures.fingerprint() for _, figures in told) or now.isoformat(),
            settings.sender,
        ),
        sent_at=now,
    )
    delivery = email_notifications.deliver(settings, message, recipients=recipients)
    for day, figures in told:
        if database is not None:
            publications.record(database, day, figures, Target.MAIL, run_id=run.run_id)
    if delivery.refused:
        refused = ", ".join(f"{recipient.address} ({recipient.code})" for recipient in delivery.refused)
        run.trouble(MailError("The mail server refused recipients: %(refused)s.", refused=refused))
    return MailOutcome.SENT
