"""The letter: drawn from its content as text and HTML with a picture and the page, small enough for every mailbox.

It is delivered by `mail.delivery`.
"""

from __future__ import annotations

import hashlib
import logging
import re
import unicodedata
from email.headerregistry import Address
from email.message import EmailMessage
from typing import TYPE_CHECKING

from mail.delivery import Handover, deliver, probe
from mail.policy import POLICY
from report.rendering import render

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime
    from pathlib import Path

    from app_types import Mode
    from report.letter import LetterContent

__all__ = ["LARGEST", "Handover", "compose", "deliver", "message_id", "probe"]

log = logging.getLogger(__name__)

LARGEST = 200_000
"""Bytes of a whole letter, as it travels."""

_HEADLINE = ("unique_users", "success_share")
"""The figures of a day that a letter sets in large type."""

_DAY_COLUMNS = ("date", "unique_users", "submits", "success_share")
"""What the letter of a range tells of each day, one row a day."""

_SUBJECT_LENGTH = 200


def message_id(day: date, mode: Mode, fingerprint: str, sender: str) -> str:
    """Return the Message-ID of a letter: the same for the same news, so that a second copy can be told as one."""
    digest = hashlib.sha256(f"{day.isoformat()}|{mode}|{fingerprint}".encode()).hexdigest()[:32]
    domain = re.sub(r"[^A-Za-z0-9.-]", "", sender.rpartition("@")[2]) or "localhost"
    return f"<{day.isoformat()}.{mode}.{digest}@{domain}>"


def compose(
    letter: LetterContent,
    *,
    sender: str,
    recipients: Sequence[str],
    message_id: str,
    sent_at: datetime,
    picture: bytes | None = None,
    page: Path | None = None,
) -> EmailMessage:
    """Draw a letter as plain text and as HTML.

    A page that would make the letter too large is left out, and the letter says so; then the picture.

    Args:
        letter: what it says, localised.
        sender: the address that it comes from.
        recipients: whom it names in `To`, all together.
        message_id: see the function of this name.
        sent_at: an aware moment.
        picture: the PNG of `letter.picture`, shown within the HTML.
        page: the page of the day, attached.

    Raises:
        OSError: the page cannot be read.
    """
    attached = page.read_text(encoding="utf-8") if page else ""

    def drawn(shown: bytes | None, note: str | None) -> EmailMessage:
        message = _empty(letter, sender, recipients, message_id, sent_at)
        _fill(message, letter, shown, note)
        if page and note == letter.page_attached:
            message.add_attachment(attached, subtype="html", cte=_encoding(attached), filename=page.name)
        # Set last: adding a part moves every Content-* header that it finds into the first one.
        message["Content-Language"] = letter.language.value
        return message

    left_out = letter.page_left_out if page else None
    choices = [(picture, letter.page_attached if page else None), (picture, left_out), (None, left_out)]
    for shown, note in choices:
        message = drawn(shown, note)
        size = len(message.as_bytes())
        if size <= LARGEST:
            break
        log.info("letter: too large with all of it, bytes: %d", size)
    return message


def _empty(
    letter: LetterContent, sender: str, recipients: Sequence[str], message_id: str, sent_at: datetime
) -> EmailMessage:
    """Return a message with its headers."""
    message = EmailMessage(policy=POLICY)
    subject = _one_line(letter.subject)
    if len(subject) > _SUBJECT_LENGTH:
        subject = subject[: _SUBJECT_LENGTH - 1].rstrip() + "…"
    message["Subject"] = subject
    message["From"] = _address(sender)
    message["To"] = [_address(recipient) for recipient in recipients]
    message["Date"] = sent_at
    message["Message-ID"] = _one_line(message_id)
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "OOF, AutoReply"
    return message


def _fill(message: EmailMessage, letter: LetterContent, picture: bytes | None, page_note: str | None) -> None:
    """Give a message its two bodies, and the HTML its picture."""
    picture_id = f"picture.{_one_line(message['Message-ID']).strip('<>')}" if letter.picture and picture else None
    drawing = {
        "letter": letter,
        "headline": _HEADLINE,
        "columns": _DAY_COLUMNS,
        "picture_id": picture_id,
        "page_note": page_note,
    }
    plain, html = render("letter.txt.j2", **drawing), render("letter.html.j2", **drawing)
    message.set_content(plain, cte=_encoding(plain))
    message.add_alternative(html, subtype="html", cte=_encoding(html))
    if picture and picture_id:
        parts = message.get_payload()
        assert isinstance(parts, list)  # noqa: S101  (for the type checker)
        page = parts[-1]
        assert isinstance(page, EmailMessage)  # noqa: S101
        page.add_related(picture, maintype="image", subtype="png", cid=f"<{picture_id}>", disposition="inline")


def _encoding(text: str) -> str:
    """Return the encoding that makes a text shorter: a Cyrillic letter takes six bytes in one, three in the other."""
    data = text.encode()
    escaped = sum(byte > 126 or byte == ord("=") for byte in data)
    return "quoted-printable" if 2 * escaped < len(data) / 3 else "base64"


def _one_line(text: str) -> str:
    """Return a text as a header can hold it: no control, format or line-separating characters."""
    kept = "".join(" " if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else c for c in text)
    return " ".join(part for part in kept.split(" ") if part)


def _address(text: str) -> Address:
    username, _, domain = _one_line(text).rpartition("@")
    return Address(username=username, domain=domain)
