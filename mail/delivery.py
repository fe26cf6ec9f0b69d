"""The delivery of a letter: tried again where that can help, so that the fate of every recipient is known.

The one thing that cannot be known is what a server did whose answer to the whole letter was lost; such a letter is not
sent again. `Handover` tells the caller when that stretch begins and when it ends.
"""

from __future__ import annotations

import logging
import random
import smtplib
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NoReturn

from app_types import Delivery, RefusedRecipient
from exceptions import MailError
from mail.policy import POLICY
from mail.session import Clock, Failure, fail, fail_step, note, server_name, session, shown_code

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from email.message import EmailMessage

    from config import MailSettings
    from mail.policy import POLICY
from mail.session import Client

log = logging.getLogger(__name__)

_ATTEMPTS = 5


class Handover(StrEnum):
    """What has just become of a letter.

    BEGUN: the server has all of it but the last line, so from here on it may accept it. ACCEPTED: it did, for somebody
    at least. REFUSED: it did not. After BEGUN without one of the others the server's answer is not known.
    """

    BEGUN = "begun"
    ACCEPTED = "accepted"
    REFUSED = "refused"


@dataclass
class _Fates:
    """What became of the recipients so far; a code is the server's last word on one, 0 where it said none."""

    waiting: dict[str, int]
    accepted: set[str] = field(default_factory=set)
    refused: dict[str, int] = field(default_factory=dict)


def deliver(
    settings: MailSettings,
    message: EmailMessage,
    *,
    recipients: Sequence[str],
    deadline: float = 60.0,
    pause: float = 1.0,
    on_handover: Callable[[Handover], None] = lambda _: None,
) -> Delivery:
    """Hand a letter to the mail server and tell whom it was accepted for.

    What may pass is tried again, for those alone who were not served yet. A letter whose acceptance is unknown,
    because the connection was lost before the answer, is not sent again.

    Args:
        settings: the server and the sender.
        message: what `compose` made.
        recipients: whom the letter goes to.
        deadline: seconds for all attempts together.
        pause: seconds before the second attempt; they double from one to the next.
        on_handover: told how far each attempt comes; what it raises at BEGUN keeps the letter from being accepted.

    Raises:
        MailError: nobody was served, or it is unknown whether somebody was.
    """
    started = time.monotonic()
    clock = Clock(deadline)
    payload = _payload(message)
    fates = _Fates(waiting=dict.fromkeys(recipients, 0))
    trouble: MailError | None = None
    for attempt in range(_ATTEMPTS):
        jitter = random.uniform(0.8, 1.2)  # noqa: S311  (nothing depends on its being unforeseeable)
        if attempt and not clock.pause(pause * 2 ** (attempt - 1) * jitter):
            break
        log.info("letter: attempt %d, recipients: %d", attempt + 1, len(fates.waiting))
        trouble, again = _attempt(settings, payload, fates, clock, on_handover)
        if not again:
            break
    if trouble and (not fates.accepted or "unknown" in trouble.fields):
        raise trouble
    delivery = Delivery(
        message_id=str(message["Message-ID"]),
        accepted=tuple(address for address in dict.fromkeys(recipients) if address in fates.accepted),
        refused=_refused(recipients, fates),
    )
    if not delivery.accepted:
        raise MailError(
            "The mail server %(server)s accepted the letter for nobody: %(refused)s.",
            remedy="Check EMAIL_ADDRESSES_FOR_MAILING, and whether SENDER_EMAIL may write to these addresses.",
            server=server_name(settings),
            refused=", ".join(f"{recipient.address} ({recipient.code})" for recipient in delivery.refused),
        )
    log.info(
        "letter handed over, accepted for: %d, refused for: %d, seconds: %.1f",
        len(delivery.accepted),
        len(delivery.refused),
        time.monotonic() - started,
    )
    return delivery


def probe(settings: MailSettings, *, deadline: float = 20.0) -> None:
    """Connect, encrypt and log in as for a letter, but send none.

    Raises:
        MailError: the server cannot be used as it is configured.
    """
    trouble: MailError | None = None
    try:
        with session(settings, Clock(deadline)) as client:
            code, text = client.noop()
            if code != 250:
                fail_step(settings, "NOOP", code, text)
    except Failure as failure:
        trouble = failure.error
    if trouble:
        raise trouble


def _payload(message: EmailMessage) -> bytes:
    """Return the letter as it travels: ASCII, line ends CRLF, lines that begin with a dot marked."""
    content = message.as_bytes(policy=POLICY).replace(b"\r\n.", b"\r\n..")
    return content if content.endswith(b"\r\n") else content + b"\r\n"


def _attempt(
    settings: MailSettings, payload: bytes, fates: _Fates, clock: Clock, on_handover: Callable[[Handover], None]
) -> tuple[MailError | None, bool]:
    """Try once to serve all who wait; return what went wrong, if anything, and whether to try again."""
    try:
        with session(settings, clock) as client:
            _hand_over(client, settings, payload, fates, on_handover)
    except Failure as failure:
        log.warning("letter: the attempt failed: %s", failure.error)
        return failure.error, failure.passing
    return None, bool(fates.waiting)


def _hand_over(
    client: Client, settings: MailSettings, payload: bytes, fates: _Fates, on_handover: Callable[[Handover], None]
) -> None:
    """Send the letter to all who wait, in one transaction; the fates tell afterwards what became of whom."""
    size = [f"size={len(payload)}"] if client.has_extn("size") else []
    code, text = client.mail(settings.sender, size)
    if code != 250:
        fail(
            settings,
            ("MAIL FROM", code, text),
            MailError(
                "The mail server %(server)s does not take letters from %(sender)s (code %(code)s).",
                remedy="Check SENDER_EMAIL: most servers want the address that belongs to SMTP_USER.",
                server=server_name(settings),
                sender=settings.sender,
                code=shown_code(code, text),
            ),
        )
    taken = [address for address in list(fates.waiting) if _is_taken(client, settings, address, fates)]
    if taken:
        _send(client, settings, payload, taken, on_handover)
        on_handover(Handover.ACCEPTED)
        fates.accepted.update(taken)
        for address in taken:
            del fates.waiting[address]


def _is_taken(client: Client, settings: MailSettings, address: str, fates: _Fates) -> bool:
    """Offer a recipient to the server, and keep its answer if it is not a yes."""
    code, text = client.rcpt(address)
    if code in {250, 251, 252}:
        return True
    if code == 421 or not 400 <= code < 600:
        fail_step(settings, "RCPT TO", code, text)
    note(settings, "RCPT TO", code, text)
    if code < 500:
        fates.waiting[address] = code
        log.warning("recipient put off: %s, code %d", address, code)
    else:
        del fates.waiting[address]
        fates.refused[address] = code
        log.warning("recipient refused: %s, code %d", address, code)
    return False


def _send(
    client: Client,
    settings: MailSettings,
    payload: bytes,
    taken: Sequence[str],
    on_handover: Callable[[Handover], None],
) -> None:
    """Send the letter itself; until its last line is out no server can have accepted it."""
    code, text = client.docmd("DATA")
    if code != 354:
        _fail_letter(settings, code, text)
    client.send(payload)
    on_handover(Handover.BEGUN)
    client.wait_for_verdict()
    try:
        client.send(b".\r\n")
        code, text = client.getreply()
    except (OSError, smtplib.SMTPException):
        code, text = -1, b""
    if 400 <= code < 600:
        on_handover(Handover.REFUSED)
        _fail_letter(settings, code, text)
    if not 200 <= code < 300:
        raise Failure(
            MailError(
                "The connection to the mail server %(server)s was lost while it was accepting the letter; whether "
                "it did for %(unknown)s is not known.",
                remedy="The letter was not sent a second time. Ask a recipient before it is sent again.",
                server=server_name(settings),
                unknown=", ".join(taken),
            )
        )


def _fail_letter(settings: MailSettings, code: int, text: bytes) -> NoReturn:
    fail(
        settings,
        ("DATA", code, text),
        MailError(
            "The mail server %(server)s refused the letter (code %(code)s).",
            remedy="The log holds the server's answer; whoever runs the server can tell the reason.",
            server=server_name(settings),
            code=shown_code(code, text),
        ),
    )


def _refused(recipients: Sequence[str], fates: _Fates) -> tuple[RefusedRecipient, ...]:
    """Return those who were not served and the server's last word on each."""
    codes = {**fates.waiting, **fates.refused}
    return tuple(RefusedRecipient(address, codes[address]) for address in dict.fromkeys(recipients) if address in codes)
