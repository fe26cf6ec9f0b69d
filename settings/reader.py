"""The reader of single values: numbers, addresses, files and the like, with every fault gathered."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from exceptions import Fault
from settings.hosts import is_host, is_loopback
from settings.names import DEFAULTS, SECRETS, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_YES = frozenset({"true", "1", "yes", "on"})
_NO = frozenset({"false", "0", "no", "off"})
_SHOWN = 80

_T = TypeVar("_T")


class Reader:
    """Reads settings one by one and gathers the faults; after a fault it goes on with a stand-in value."""

    def __init__(self, values: Mapping[str, str], home: Path) -> None:
        """Take all values, and where relative paths start."""
        self._values = values
        self.home = home
        self.faults: list[Fault] = []
        self.warnings: list[Fault] = []

    def fault(self, template: str, **fields: object) -> None:
        """Note a fault, once."""
        fault = Fault(template, fields)
        if fault not in self.faults:
            self.faults.append(fault)

    def given(self, name: str) -> bool:
        """Tell whether a setting is there and not blank."""
        return bool(self._values.get(name, "").strip())

    def value(self, name: str) -> str:
        """Return the value, or the default where it is missing or blank."""
        value = self._values.get(name, "").strip() or DEFAULTS.get(name, "")
        if any(ord(character) < 32 or ord(character) == 127 for character in value):
            self.fault("%(name)s holds a line break or another control character.", name=name)
            return DEFAULTS.get(name, "")
        if name == "API_CLIENT" or (name in SECRETS and name != "DATABASE_URL"):
            try:
                value.encode()
            except UnicodeEncodeError:
                self.fault("%(name)s is not valid UTF-8.", name=name)
                return DEFAULTS.get(name, "")
        return value

    def required(self, name: str) -> str:
        """Return the value of a setting that has to be given."""
        value = self.value(name)
        if not self.given(name):
            near = [key for key in self._values if key not in DEFAULTS and nearest(key) == name]
            if near:
                self.fault("%(name)s is not set; is %(typo)s a slip of the pen?", name=name, typo=excerpt(near[0]))
            else:
                self.fault("%(name)s is not set.", name=name)
        return value

    def integer(self, name: str, least: int, most: int) -> int:
        """Return a whole number within its bounds."""
        text = self.value(name)
        if re.fullmatch(r"\d{1,9}", text, re.ASCII) and least <= int(text) <= most:
            return int(text)
        self.fault(
            "%(name)s must be a whole number from %(least)s to %(most)s, not %(value)s.",
            name=name,
            least=str(least),
            most=str(most),
            value=excerpt(text),
        )
        return least

    def days(self, name: str) -> int | None:
        """Return a number of days, or None where it is not set."""
        return self.integer(name, 1, 36_500) if self.given(name) else None

    def seconds(self, name: str, most: int) -> float:
        """Return a length of time, more than nothing."""
        text = self.value(name)
        if re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text, re.ASCII) and 0 < float(text) <= most:
            return float(text)
        self.fault(
            "%(name)s must be a number of seconds, more than 0 and at most %(most)s, not %(value)s.",
            name=name,
            most=str(most),
            value=excerpt(text),
        )
        return 1.0

    def boolean(self, name: str) -> bool:
        """Return a yes or a no."""
        text = self.value(name).lower()
        if text not in _YES | _NO:
            self.fault("%(name)s must be true or false, not %(value)s.", name=name, value=excerpt(text))
        return text in _YES

    def choice(self, name: str, values: Mapping[str, _T], fold: Callable[[str], str], shown: str | None = None) -> _T:
        """Return what one of the given words stands for."""
        text = self.value(name)
        if fold(text) in values:
            return values[fold(text)]
        self.fault(
            "%(name)s must be one of %(choices)s, not %(value)s.",
            name=name,
            choices=shown or ", ".join(values),
            value=excerpt(text),
        )
        return next(iter(values.values()))

    def zone(self, name: str) -> ZoneInfo:
        """Return a time zone."""
        text = self.value(name)
        try:
            return ZoneInfo(text)
        except (ValueError, OSError, KeyError):
            self.fault(
                "%(name)s must be the IANA name of a time zone such as Europe/Moscow, not %(value)s.",
                name=name,
                value=excerpt(text),
            )
            return ZoneInfo("UTC")

    def path(self, name: str) -> Path:
        """Return a path; a relative one starts at the home of the settings."""
        text = self.value(name)
        try:
            return self.home / Path(text).expanduser()
        except RuntimeError:
            self.fault("%(name)s: the home folder of %(value)s is not known.", name=name, value=excerpt(text))
            return self.home / DEFAULTS.get(name, "")

    def file(self, name: str) -> Path | None:
        """Return the path of a file that is there and readable; None where it is not set or faulty."""
        if not self.value(name):
            return None
        path = self.path(name)
        if not _is_readable_file(path):
            self.fault("%(name)s: there is no readable file %(file)s.", name=name, file=str(path))
            return None
        return path

    def url(self, name: str, example: str = "") -> str:
        """Return an https URL, or an http one of this machine; a password in it is a fault."""
        text = self.value(name)
        try:
            parts = urlsplit(text)
            host, _ = parts.hostname, parts.port
        except ValueError:
            parts, host = urlsplit(""), None
        if parts.scheme not in {"http", "https"} or not host or not is_host(host):
            self.fault("%(name)s must be a URL such as %(example)s.", name=name, example=example or DEFAULTS[name])
        elif parts.username is not None or parts.password is not None or parts.fragment:
            self.fault("%(name)s must hold neither a user, nor a password, nor a fragment.", name=name)
            return ""
        elif parts.scheme == "http" and not is_loopback(host):
            self.fault(
                "%(name)s must begin with https://: over plain HTTP the key could be read on the way.", name=name
            )
        return text

    def report_typos(self, environ: Mapping[str, str], env_file: Mapping[str, str]) -> None:
        """Note names close to a known one: a fault in our own file, a warning in the shared environment."""
        template = "%(typo)s is not a setting; did you mean %(name)s?"
        for name in env_file:
            if near := nearest(name):
                self.fault(template, typo=excerpt(name), name=near)
        for name in environ:
            if name not in env_file and (near := nearest(name)):
                self.warnings.append(Fault(template, {"typo": excerpt(name), "name": near}))

    def warn_of_open_file(self, path: Path) -> None:
        """Warn of a file with secrets that others on the machine may read."""
        if os.name != "posix" or not _is_readable_file(path):
            return
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            fields: dict[str, object] = {"file": str(path), "mode": f"{mode:03o}"}
            self.warnings.append(
                Fault("%(file)s may be read by others (mode %(mode)s); run: chmod 600 %(file)s", fields)
            )


def excerpt(text: str) -> str:
    """Return a value as a fault may show it: cut, quoted, without control characters."""
    cut = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return "".join(character if character.isprintable() else "?" for character in f'"{cut}"')


def _is_readable_file(path: Path) -> bool:
    """Tell whether a file is there that we may read."""
    try:
        return path.is_file() and os.access(path, os.R_OK)
    except OSError:  # a name too long, a folder without rights
        return False
