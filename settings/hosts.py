"""Hosts as settings name them: whether a text is one, and whether it is this machine."""

from __future__ import annotations

import ipaddress
import re

_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?")


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine itself."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def is_host(text: str) -> bool:
    """Tell whether a text is the name or the address of a host, in Unicode or not."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        try:
            return _HOST_NAME.fullmatch(text.encode("idna").decode()) is not None
        except UnicodeError:
            return False
    return True
