"""The search for secrets: in texts, in exceptions with all that stands behind them, and in the list of processes."""

from __future__ import annotations

import base64
import html
import json
import os
import threading
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TESTS = str(Path(__file__).resolve().parent.parent)
PROCESSES = Path("/proc")
AT_HOME = frozenset({"environ", "env_file"})
"""Variables of `config` that secrets come from: the environment and the content of `.env`."""


def spellings(secret: str) -> set[str]:
    """Return the forms in which a secret may stand in a text."""
    data = secret.encode("utf-8", "surrogatepass")
    forms = {secret, quote(data, safe=""), quote(data), quote_plus(data), json.dumps(secret)[1:-1], html.escape(secret)}
    forms |= {quote(form, safe="") for form in forms} | {repr(secret)[1:-1], repr(data)[2:-1], data.hex(), secret[::-1]}
    forms |= {form.lower() for form in forms if "%" in form}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for offset in range(3):
            # Without the characters that hold bits of the neighbours: they differ from text to text.
            first, last = -(-offset * 8 // 6), (offset + len(data)) * 8 // 6
            forms.add(encode(b"\0" * offset + data).decode()[first:last])
    return forms


def found_in(places: Iterable[tuple[str, str]], secrets: Iterable[str]) -> list[str]:
    """Return the places whose text holds a secret in whatever spelling."""
    forms = {form for secret in secrets if secret for form in spellings(secret)}
    return [place for place, text in places if any(form in text for form in forms)]


def told_by(error: BaseException) -> Iterator[tuple[str, str]]:
    """Yield what can be had from an exception, and from every other one that it leads to.

    The variables of all frames belong to it, those of the tests themselves apart: there the secrets are at home.
    """
    waiting: list[Any] = [error]
    seen: set[int] = set()
    while waiting:
        current = waiting.pop()
        if isinstance(current, list | tuple):
            waiting += current
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        name = type(current).__name__
        yield f"str of {name}", str(current)
        yield f"repr of {name}", repr(current)
        yield f"attributes of {name}", repr(vars(current))
        yield f"traceback of {name}", "".join(traceback.format_exception(current))
        for frame, line in traceback.walk_tb(current.__traceback__):
            place = frame.f_code.co_filename
            if not place.startswith(TESTS):
                yield f"variables at {place}:{line}", _shown(frame.f_locals, config=Path(place).name == "config.py")
        waiting += [current.__cause__, current.__context__, current.args, *vars(current).values()]


def _shown(variables: dict[str, Any], *, config: bool) -> str:
    texts = []
    for name, value in variables.items():
        if name in AT_HOME and config:
            continue
        with suppress(Exception):  # half-made objects have no repr
            texts.append(repr(value))
    return "\n".join(texts)


def _is_of_another_worker(pid: int) -> bool:
    """Tell whether a process descends from what started us, but not from us."""
    while pid > 1:
        if pid == os.getpid():
            return False
        if pid == os.getppid():
            return True
        try:
            fields = (PROCESSES / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return False
        pid = int(fields[1])
    return False


@dataclass
class ProcessWatch:
    """Looks at the command line and the environment of every process, again and again, while its block runs.

    Those that other tests have started beside this one are left out: they know the same keys.
    `seen` are the places at which one of the secrets stood, without the environments of processes that may have it.
    """

    secrets: list[str]
    may_know: set[int] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    looks: int = 0
    watched: set[str] = field(default_factory=set)

    def __enter__(self) -> ProcessWatch:
        self._forms = {form.encode() for secret in self.secrets for form in spellings(secret)}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look_on(self) -> None:
        while not self._over.is_set():
            self._look()
            self.looks += 1
            self._over.wait(0.01)

    def _look(self) -> None:
        for folder in PROCESSES.iterdir():
            if not folder.name.isdigit() or _is_of_another_worker(int(folder.name)):
                continue
            with suppress(OSError):  # it has ended
                command = (folder / "cmdline").read_bytes()
                self.watched.add(command.replace(b"\0", b" ").decode("utf-8", "replace"))
                self._search(f"command line of {command[:60]!r}", command)
                if int(folder.name) not in self.may_know:
                    self._search(f"environment of {command[:60]!r}", (folder / "environ").read_bytes())

    def _search(self, place: str, content: bytes) -> None:
        if any(form in content for form in self._forms):
            self.seen.add(place)
