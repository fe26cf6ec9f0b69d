"""The letter of a command: one for all its days, in each language that its readers speak, and never one twice."""

from __future__ import annotations

import logging
import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app_types import MailOutcome, Mode
from exceptions import EtlError, MailError, ReportError
from messages import Messages
from pipeline.job import DayRun, Terminated, unexpected
from pipeline.publishing import worded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date
    from email.message import EmailMessage

    from app_types import Language
    from email_notifications import Handover
    from pipeline.job import Job
    from report.content import DayContent
    from report.letter import LetterContent
    from warehouse.connection import Database
    from warehouse.outbox import Entry, LetterState, Told

log = logging.getLogger(__name__)

_PICTURE_WIDTH: Final = 440
"""Between a phone and a desktop: a client shrinks or stretches the picture, and its letters with it."""


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
        if job.options.mail_anyway:
            log.warning("letter: asked for, but no mail server is configured")
        else:
            log.info("letter: not configured, left out")
        return
    if not job.options.mail:
        log.info("letter: left out as asked")
        return
    run.mail = MailOutcome.FAILED  # until it is handed over: an interruption finds it so
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
    told = _told(database, runs)
    if not _is_wanted(job, runs) and all(_is_known(each, told) for each in runs):
        log.info("letter: no change, none is sent")
        return MailOutcome.UNCHANGED
    recipients = (settings.sender,) if job.mode is Mode.TEST else settings.recipients
    readers: dict[Language, list[str]] = {}
    for address in recipients:
        readers.setdefault(settings.languages.get(address, job.messages.language), []).append(address)
    outcomes = []
    for language, addresses in readers.items():
        letter = _Letter(job, database, runs, told, Messages(language))
        try:
            outcomes.append(letter.send(addresses))
        except MailError as error:
            run.trouble(error)
            outcomes.append(MailOutcome.SENT if letter.is_accepted else MailOutcome.FAILED)
    if database is not None and MailOutcome.FAILED not in outcomes:
        _remember(database, runs)
    return next(each for each in (MailOutcome.SENT, MailOutcome.UNCHANGED, MailOutcome.FAILED) if each in outcomes)


class _Letter:
    """The letter in one language, and what is written down of it while it is handed over."""

    def __init__(
        self,
        job: Job,
        database: Database | None,
        runs: Sequence[DayRun],
        told: Mapping[date, Told],
        messages: Messages,
    ) -> None:
        from warehouse import outbox

        self._job, self._database, self._runs, self._last = job, database, runs, runs[-1]
        self._told, self._messages = told, messages
        self._entries = {
            day: outbox.entry(day, run.figures, run.background.revision, told[day], messages.language)
            for day, run in ((run.day.date, run) for run in runs)
            if run.figures is not None and run.background is not None
        }
        self._states = outbox.states(database, self._entries.values()) if database and self._entries else {}
        self.is_accepted = False

    def send(self, recipients: Sequence[str]) -> MailOutcome:
        """Compose the letter and hand it over, unless it may have arrived already."""
        import email_notifications

        settings = self._job.settings.mail
        assert settings is not None  # noqa: S101  (for the type checker)
        if self._may_have_arrived():
            return MailOutcome.UNCHANGED
        delivery = email_notifications.deliver(
            settings, self._composed(settings.sender, recipients), recipients=recipients, on_handover=self._write_down
        )
        if delivery.refused:
            refused = ", ".join(f"{recipient.address} ({recipient.code})" for recipient in delivery.refused)
            self._last.trouble(MailError("The mail server refused recipients: %(refused)s.", refused=refused))
        return MailOutcome.SENT

    def _may_have_arrived(self) -> bool:
        """Tell whether earlier letters, whose runs ended too early to remember it, told all there is to tell."""
        from warehouse.outbox import LetterState

        if _is_wanted(self._job, self._runs):
            return False
        news = [self._entries.get(run.day.date) for run in self._runs if not _is_known(run, self._told)]
        states = {self._states.get(entry) if entry else None for entry in news}
        if not states <= {LetterState.HANDING_OVER, LetterState.SENT}:
            return False
        if LetterState.HANDING_OVER in states:
            log.warning(
                "letter: an earlier run ended while it was handed over; it may have arrived and is not sent again "
                "(--mail sends it)"
            )
        else:
            log.info("letter: an earlier run has sent it already, none is sent")
        return True

    def _composed(self, sender: str, recipients: Sequence[str]) -> EmailMessage:
        import email_notifications

        now = datetime.now(self._job.settings.zone)
        with tempfile.TemporaryDirectory(prefix="letter-") as folder:
            contents = [worded(self._job, run, self._messages) for run in self._runs]
            page = self._page(contents[0], Path(folder)) if len(contents) == 1 and contents[0] else None
            letter = self._content(contents, now)  # before the picture: it says which one
            picture = self._picture(letter)
            return email_notifications.compose(
                letter,
                sender=sender,
                recipients=recipients,
                message_id=email_notifications.message_id(
                    self._last.day.date, self._job.mode, self._identity(now), sender
                ),
                sent_at=now,
                picture=picture,
                page=page,
            )

    def _content(self, contents: Sequence[DayContent | None], now: datetime) -> LetterContent:
        from report.letter import letter_content

        return letter_content(
            [run.outcome() for run in self._runs],
            contents,
            prepared_at=now,
            messages=self._messages,
            told={run.day.date for run in self._runs if _is_known(run, self._told)},
        )

    def _page(self, content: DayContent, folder: Path) -> Path | None:
        """Return the page of the day in the letter's language, without the link to a calendar that does not travel."""
        from report.page import page_html, page_name, put_page

        path = folder / page_name(content.date, content.mode)
        try:
            put_page(path, page_html(content, alone=True))
        except ReportError as error:
            self._last.trouble(error)
            return None
        return path

    def _picture(self, letter: LetterContent) -> bytes | None:
        """Draw the picture; a letter without it is better than none."""
        from report import charts

        if letter.picture is None:
            return None
        try:
            return charts.png(letter.picture, width=_PICTURE_WIDTH, scale=3)
        except Exception as error:  # noqa: BLE001  (noted and told; what a drawing library raises is no closed list)
            self._last.trouble(unexpected(error))
            return None

    def _identity(self, now: datetime) -> str:
        """Return what makes a letter this one; a letter that is always sent is always another."""
        keys = [entry.key for entry in self._entries.values()]
        is_new = len(keys) < len(self._runs) or _is_wanted(self._job, self._runs)
        return "|".join([self._messages.language, *keys, *([now.isoformat()] if is_new else [])])

    def _write_down(self, step: Handover) -> None:
        """Write down how far the letter has come. Once somebody has it, nothing takes that back."""
        import email_notifications
        from warehouse.outbox import LetterState

        match step:
            case email_notifications.Handover.BEGUN:
                if not self.is_accepted:
                    self._record(dict.fromkeys(self._entries.values(), LetterState.HANDING_OVER))
            case email_notifications.Handover.ACCEPTED:
                self.is_accepted = True
                self._last.mail = MailOutcome.SENT
                self._record_if_possible(dict.fromkeys(self._entries.values(), LetterState.SENT))
            case email_notifications.Handover.REFUSED:
                if not self.is_accepted:
                    # An earlier letter, other than this one, may have arrived: that is still so.
                    self._record_if_possible(
                        {each: self._states.get(each, LetterState.FAILED) for each in self._entries.values()}
                    )

    def _record(self, reached: Mapping[Entry, LetterState]) -> None:
        from warehouse import outbox

        if self._database is not None and reached:
            outbox.record(self._database, reached, run_id=self._last.run_id)

    def _record_if_possible(self, reached: Mapping[Entry, LetterState]) -> None:
        """Write down what the server has done already: a database that fails now does not undo it."""
        try:
            self._record(reached)
        except EtlError as error:
            self._last.trouble(error)


def _is_wanted(job: Job, runs: Sequence[DayRun]) -> bool:
    """Tell whether the operator asked for a letter, news or not."""
    return job.options.mail_anyway or any(run.from_database for run in runs)


def _told(database: Database | None, runs: Sequence[DayRun]) -> dict[date, Told]:
    """Return what earlier letters told of each day that has something to tell."""
    from warehouse import outbox

    with_content = [run for run in runs if run.figures is not None and run.background is not None]
    if database is None:
        return {run.day.date: outbox.Told() for run in with_content}
    return {run.day.date: outbox.told(database, run.day.date, run.day.mode) for run in with_content}


def _is_known(run: DayRun, told: Mapping[date, Told]) -> bool:
    """Tell whether the readers know the figures of a day; a day that failed is always news."""
    return run.figures is not None and run.day.date in told and told[run.day.date].is_about(run.figures)


def _remember(database: Database, runs: Sequence[DayRun]) -> None:
    """Write down that the readers know these figures, in every language."""
    from warehouse import publications
    from warehouse.publications import Target

    for run in runs:
        if run.figures is None or run.background is None:
            continue
        try:
            publications.record(database, run.day.date, run.figures, Target.MAIL, run_id=run.run_id)
        except EtlError as error:
            runs[-1].trouble(error)
