"""The part of the letters: the mail server, the sender, the recipients and their languages."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from app_types import Language, Secret
from settings.hosts import is_host, is_loopback
from settings.languages import parse_language
from settings.reader import excerpt

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from settings.reader import Reader

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")


class MailSecurity(StrEnum):
    """How the connection to the mail server is protected."""

    SSL = "ssl"
    STARTTLS = "starttls"
    NONE = "none"


_SMTP_PORTS = {MailSecurity.SSL: 465, MailSecurity.STARTTLS: 587, MailSecurity.NONE: 25}


@dataclass(frozen=True, kw_only=True)
class MailSettings:
    """The mail server, the sender and the recipients; `languages` holds those who read another than the settings'."""

    server: str
    port: int
    security: MailSecurity
    user: str
    password: Secret
    ca_file: Path | None
    sender: str
    recipients: tuple[str, ...]
    languages: Mapping[str, Language] = field(default_factory=dict)


def read_mail(reader: Reader) -> MailSettings | None:
    """Read how letters are sent, and to whom; None where none are."""
    server = reader.value("SMTP_SERVER")
    security = reader.choice("SMTP_SECURITY", {item.value: item for item in MailSecurity}, str.lower)
    port = reader.integer("SMTP_PORT", 1, 65_535) if reader.given("SMTP_PORT") else _SMTP_PORTS[security]
    ca_file = reader.file("SMTP_CA_FILE")
    if not server:
        return None
    if not is_host(server):
        reader.fault("%(name)s must be the name of a host, not %(value)s.", name="SMTP_SERVER", value=excerpt(server))
    if security is MailSecurity.NONE and not is_loopback(server):
        reader.fault("SMTP_SECURITY=none is for a mail server on this machine; use ssl or starttls.")
    if ca_file and not _is_ca_file(ca_file):
        reader.fault("%(name)s: %(file)s holds no certificates.", name="SMTP_CA_FILE", file=str(ca_file))
    user, password = reader.value("SMTP_USER"), reader.value("SMTP_PASSWORD")
    if user and not password:
        reader.required("SMTP_PASSWORD")
    sender = reader.required("SENDER_EMAIL")
    listed = [part.strip() for part in reader.required("EMAIL_ADDRESSES_FOR_MAILING").split(",")]
    split = [_address_and_language(item) for item in listed if item]
    recipients = tuple(dict.fromkeys(address for address, _ in split))
    if reader.value("EMAIL_ADDRESSES_FOR_MAILING") and not recipients:
        reader.fault("%(name)s is not set.", name="EMAIL_ADDRESSES_FOR_MAILING")
    for name, address in [("SENDER_EMAIL", sender), *(("EMAIL_ADDRESSES_FOR_MAILING", item) for item in recipients)]:
        if address and not _ADDRESS.fullmatch(address):
            reader.fault(
                "%(name)s: %(value)s is not an e-mail address; addresses are separated by commas.",
                name=name,
                value=excerpt(address),
            )
    return MailSettings(
        server=server,
        port=port,
        security=security,
        user=user or (sender if password else ""),
        password=Secret(password),
        ca_file=ca_file,
        sender=sender,
        recipients=recipients,
        languages={address: language for address, language in split if language},
    )


def _address_and_language(text: str) -> tuple[str, Language | None]:
    """Read `address` or `address:language`."""
    address, _, name = text.rpartition(":")
    language = parse_language(name)
    return (address.strip(), language) if address and language else (text, None)


def _is_ca_file(path: Path) -> bool:
    """Tell whether a file holds certificates."""
    import ssl

    try:
        ssl.create_default_context(cafile=str(path))
    except (ssl.SSLError, OSError):
        return False
    return True
