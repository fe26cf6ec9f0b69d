"""The part of the alarms, with the addresses of Apprise taken apart."""

from __future__ import annotations

import logging
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from app_types import Secret
from exceptions import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from apprise import NotifyBase

    from settings.reader import Reader

_HEARTBEAT_EXAMPLE = "https://hc-ping.com/UUID"
_BETWEEN_ADDRESSES = re.compile(r"[\s,;]+(?=[A-Za-z0-9]+://)")
"""Where Apprise itself parts one address from the next; commas within an address are its own."""
_NOTIFY_ADDRESS = re.compile(r"([A-Za-z0-9]{1,32})://\S*")

COMMON_SERVICES = frozenset(
    {"discord", "gotify", "gotifys", "json", "jsons", "mailto", "mailtos", "matrix", "matrixs", "mmost", "mmosts"}
    | {"ntfy", "ntfys", "pagerduty", "pover", "rocket", "rockets", "slack", "tgram", "workflows", "zulip"}
)
"""Services that need not be looked up: importing Apprise takes longer than the prompt may."""

LOCAL_SERVICES = frozenset(
    {"blink1", "dbus", "exec", "file", "gio", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows"}
)
"""What shows or writes a message on this machine, through its desktop, devices or files."""


@dataclass(frozen=True, kw_only=True)
class AlarmSettings:
    """Who is told when something is wrong: services of Apprise, a heartbeat monitor, a file of figures."""

    notify_urls: tuple[Secret, ...] = ()
    heartbeat_url: Secret | None = None
    metrics_file: Path | None = None

    def secrets(self) -> list[str]:
        """Return the texts that no log line may hold."""
        addresses = [address.reveal() for address in (*self.notify_urls, self.heartbeat_url) if address]
        return [text for address in addresses for text in (address, *_tokens(address))]


def notify_service(address: str) -> NotifyBase | None:
    """Return the service of Apprise that an address of `NOTIFY_URLS` stands for; None where it cannot be used."""
    logging.getLogger("apprise").disabled = True  # it writes addresses
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it stands in for `imghdr`, which it still tries first
        from apprise import Apprise, AppriseAsset

        asset = AppriseAsset(http_redirects=False, pgp_autogen=False, pem_autogen=False)
        return Apprise.instantiate(address, asset=asset)


def read_alarms(reader: Reader) -> AlarmSettings:
    """Read who is told when something is wrong."""
    heartbeat = Secret(reader.url("HEARTBEAT_URL", _HEARTBEAT_EXAMPLE)) if reader.given("HEARTBEAT_URL") else None
    metrics: Path | None = None
    if reader.given("METRICS_FILE"):
        metrics = reader.path("METRICS_FILE")
        if metrics.suffix != ".prom":
            reader.warnings.append(
                Fault("%(name)s: node_exporter reads only files that end in .prom.", {"name": "METRICS_FILE"})
            )
    return AlarmSettings(notify_urls=_notify_urls(reader), heartbeat_url=heartbeat, metrics_file=metrics)


def _notify_urls(reader: Reader) -> tuple[Secret, ...]:
    """Read the addresses of Apprise. They hold tokens, so a fault names an address by its number and its scheme."""
    name = "NOTIFY_URLS"
    addresses = [part for part in _BETWEEN_ADDRESSES.split(reader.value(name).strip(" ,;")) if part]
    for number, address in enumerate(addresses, start=1):
        match = _NOTIFY_ADDRESS.fullmatch(address)
        if match is None:
            reader.fault(
                "%(name)s: address %(number)s is not of the form SERVICE://…; a blank within it is written %%20.",
                name=name,
                number=str(number),
            )
        elif (scheme := match[1].lower()) in LOCAL_SERVICES:
            reader.fault(
                "%(name)s: address %(number)s (%(scheme)s://…) reaches only this machine; "
                "name a service on the network.",
                name=name,
                number=str(number),
                scheme=scheme,
            )
        elif scheme not in COMMON_SERVICES and notify_service(address) is None:
            reader.fault(
                "%(name)s: Apprise has no use for address %(number)s (%(scheme)s://…): the service is unknown, or a "
                "part of the address is missing.",
                name=name,
                number=str(number),
                scheme=scheme,
            )
    return tuple(Secret(address) for address in dict.fromkeys(addresses))


def _tokens(address: str) -> list[str]:
    """Return the parts of an address that may be a password or a token, as written and as meant.

    Passwords always; of the rest what is no host, no port and no word: the longer ones with a digit or a capital.
    """
    _, _, rest = address.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    login, at, _ = authority.rpartition("@")
    parts = [login, *login.split(":")[1:]] if at else []
    parts += [part for part in re.split(r"[/?#&=:,;@]", rest) if _may_be_token(part)]
    return list(dict.fromkeys(text for part in parts for text in (part, unquote(part)) if text))


def _may_be_token(part: str) -> bool:
    """Tell whether a part of an address is no plain word, host or port."""
    if len(part) < 6 or (len(part) < 40 and "." in part) or (part.isdigit() and len(part) < 8):
        return False
    return len(part) >= 16 or any(character.isdigit() or character.isupper() for character in part)
