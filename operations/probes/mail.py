"""The mail server: reachable, encrypted, lets us in; if so asked, it takes a letter to the sender alone."""

from __future__ import annotations

from datetime import datetime
from email.message import EmailMessage
from email.utils import make_msgid
from typing import TYPE_CHECKING

from operations.probes.findings import PATIENCE, good, warning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config import MailSettings, Settings
    from messages import Messages
    from operations.probes.findings import Finding


def probe(settings: Settings, messages: Messages, *, send_test_letter: bool) -> Sequence[Finding]:
    """Connect, encrypt, log in; send nothing unless a test letter is asked for."""
    import email_notifications

    mail = settings.mail
    if mail is None:
        return [warning(messages.text("not configured, will be left out"))]
    if not send_test_letter:
        email_notifications.probe(mail, deadline=PATIENCE)
        return [good(messages.text("the mail server is reachable and lets us in"))]
    letter = _letter(mail, messages, datetime.now(settings.zone))
    email_notifications.deliver(mail, letter, recipients=[mail.sender], deadline=PATIENCE)
    return [good(messages.text("the mail server took a test letter to %(address)s", address=mail.sender))]


def _letter(mail: MailSettings, messages: Messages, now: datetime) -> EmailMessage:
    from mail.policy import POLICY

    letter = EmailMessage(policy=POLICY)
    letter["Subject"] = messages.text("Test letter of the daily load of learning events")
    letter["From"] = mail.sender
    letter["To"] = mail.sender
    letter["Date"] = now
    letter["Message-ID"] = make_msgid(domain=mail.sender.rpartition("@")[2])
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(
        messages.text(
            "This letter was sent by the command check --send-test-letter, to this address alone. Letters arrive."
        ),
        cte="quoted-printable",
    )
    return letter
