"""The letter of a command: one for all its days, in each language that its readers speak, and never one twice."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING

from app_types import MailOutcome, Mode
from exceptions import EtlError, MailError
from messages import Messages
from pipeline.job import DayRun, Terminated, unexpected
from pipeline.publishing import worded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app_types import Language
    from pipeline.job import Job
    from warehouse.connection import Database

log = logging.getLogger(__name__)


def send_letter(job: Job, database: Database | None, run: DayRun) -> None:
    """Send the letter of the command with its last day, unless there is nothing new or the operator broke off.

    Args:
        job: the command, with its earlier days.
        database: None where it cannot be reached; then nothing can be remembered.
        run: the last day.
    """
    if run.interruption:
        return
    if job.settings.mail is None:
        log.info("letter: not configured, left out")
        return
    if not job.options.mail:
        log.info("letter: left out as asked")
        return
    run.mail = MailOutcome.FAILED  # until it is done: an interruption finds it so
    try:
        run.mail = _send(job, database, run)
    except (EtlError, OSError) as error:
        run.trouble(error if isinstance(error, EtlError) else unexpected(error))
    except (KeyboardInterrupt, Terminated) as error:
        run.stop(error)


def _send(job: Job, database: Database | None, run: DayRun) -> MailOutcome:
    """Send a letter in each language; one language's failure does not keep the letter from the others."""
    settings = job.settings.mail
    assert settings is not None  # noqa: S101  (for the type checker)
    runs = [*job.runs, run]
    if not _has_news(database, runs):
        log.info("letter: no change, none is sent")
        return MailOutcome.UNCHANGED
    recipients = (settings.sender,) if job.mode is Mode.TEST else settings.recipients
    readers: dict[Language, list[str]] = {}
    for address in recipients:
        readers.setdefault(settings.languages.get(address, job.messages.language), []).append(address)
    outcomes = []
    for language, addresses in readers.items():
        try:
            outcomes.append(_send_in(job, database, runs, Messages(language), addresses))
        except MailError as error:
            run.trouble(error)
            outcomes.append(MailOutcome.FAILED)
    best = next(
        outcome for outcome in (MailOutcome.SENT, MailOutcome.UNCHANGED, MailOutcome.FAILED) if outcome in outcomes
    )
    if best is not MailOutcome.FAILED:
        _remember(database, runs)
    return best


def _send_in(
    job: Job, database: Database | None, runs: Sequence[DayRun], messages: Messages, recipients: Sequence[str]
) -> MailOutcome:
    """Compose the letter in one language and hand it over, written down before and after."""
    import email_notifications
    from report.content import letter_content
    from warehouse import outbox
    from warehouse.outbox import LetterState

    settings, last = job.settings.mail, runs[-1]
    assert settings is not None  # noqa: S101  (for the type checker)
    now = datetime.now(job.settings.zone)
    message_id = email_notifications.message_id(
        last.day.date, job.mode, _identity(runs, messages.language) or now.isoformat(), settings.sender
    )
    if database is not None and outbox.state_of(database, message_id) in {LetterState.HANDING_OVER, LetterState.SENT}:
        log.warning("letter: an earlier run ended while it was handed over; it may have arrived and is not sent again")
        return MailOutcome.UNCHANGED
    letter = letter_content(
        [run.outcome() for run in runs],
        [worded(job, run, messages) for run in runs],
        prepared_at=now,
        messages=messages,
    )
    message = email_notifications.compose(
        letter, sender=settings.sender, recipients=recipients, message_id=message_id, sent_at=now
    )

    def write_down(state: LetterState) -> None:
        if database is not None:
            outbox.record(database, message_id, state, day=last.day.date, mode=job.mode, run_id=last.run_id)

    write_down(LetterState.HANDING_OVER)
    try:
        delivery = email_notifications.deliver(settings, message, recipients=recipients)
    except MailError as error:
        if "unknown" not in error.fields:  # else it may have arrived and stays written down as being handed over
            write_down(LetterState.FAILED)
        raise
    write_down(LetterState.SENT)
    if delivery.refused:
        refused = ", ".join(f"{recipient.address} ({recipient.code})" for recipient in delivery.refused)
        last.trouble(MailError("The mail server refused recipients: %(refused)s.", refused=refused))
    return MailOutcome.SENT


def _has_news(database: Database | None, runs: Sequence[DayRun]) -> bool:
    """Tell whether any day failed, was asked for on purpose, or has figures that no letter has told yet."""
    from warehouse import publications
    from warehouse.publications import Target

    if database is None:
        return True
    return any(
        run.from_database
        or run.figures is None
        or not publications.is_published(database, run.day.date, run.figures, Target.MAIL)
        for run in runs
    )


def _remember(database: Database | None, runs: Sequence[DayRun]) -> None:
    from warehouse import publications
    from warehouse.publications import Target

    for run in runs:
        if database is not None and run.figures is not None:
            publications.record(database, run.day.date, run.figures, Target.MAIL, run_id=run.run_id)


def _identity(runs: Sequence[DayRun], language: Language) -> str | None:
    """Return what makes a letter this one: its days' figures and revisions; None for one that is always new."""
    parts = []
    for run in runs:
        if run.from_database or run.figures is None or run.background is None:
            return None
        parts.append(f"{run.day.date} {run.background.revision} {run.figures.fingerprint()}")
    return f"{language} {' '.join(parts)}"
