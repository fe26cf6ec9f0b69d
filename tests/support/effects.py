"""Finds every effect of a run on the world outside, names it, and kills the process just before a chosen one.

It works in the process of the program, before its `main`, and knows none of its functions: statements are heard in
psycopg2's connection, everything else through Python's audit hook. So an effect that the program gets tomorrow has its
name, too. A moment "after" an effect is the one before the next.

An effect is a name and its occurrence: `sql load/insert_events`, `COPY load/copy_events`, `COPY load/copy_events, under
way`, `COMMIT`, `GET /api/statistics`, `POST …:batchUpdate`, `file .html`, `mail DATA`, `the end`.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import extensions

_SQL = Path(__file__).resolve().parent.parent.parent / "sql"
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FILES = re.compile(r"(\.(?:html|xlsx|css|log|tmp|prom|json))$")
Effect = tuple[str, int]
"""Its name, and which one of that name it is, from 1."""


class _Listener:
    """Counts effects; writes their names to a file, or kills at one of them."""

    def __init__(self, note: int | None, kill: Effect | None) -> None:
        self._note = note
        self._kill = kill
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._statements = {
            _plain(path.read_text("utf-8")): str(path.relative_to(_SQL))[:-4] for path in _SQL.rglob("*.sql")
        }

    def hear(self, name: str) -> None:
        """Note that something is about to happen."""
        with self._lock:
            self._seen[name] += 1
            if self._note is not None:
                os.write(self._note, f"{name}\n".encode())
            if self._kill == (name, self._seen[name]):
                os.kill(os.getpid(), signal.SIGKILL)

    def statement(self, cursor: extensions.cursor, statement: Any) -> str:
        """Name a statement: by its file, or by its first words."""
        text = statement.as_string(cursor) if hasattr(statement, "as_string") else str(statement)
        known = self._statements.get(_plain(text))
        words = _plain(text).split()
        return known or " ".join(words[: 1 if words[0] == "SET" else 2])

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take what Python tells of files, HTTP and mail."""
        if event == "open":
            self._opened(*arguments)
        elif event == "os.rename":
            self._file("rename to", arguments[1])
        elif event == "http.client.send":
            self._sent(arguments[1])
        elif event == "smtplib.send":
            self._mailed(arguments[1])

    def _opened(self, path: object, mode: str | None, flags: int) -> None:
        writes = mode is not None and set(mode) & set("wax+")
        if writes or (mode is None and flags & _WRITES):
            self._file("file", path)

    def _file(self, what: str, path: object) -> None:
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if isinstance(path, (str, Path)) and (kind := _FILES.search(str(path))):
            name = kind[1]
            if "index" in Path(path).name:
                name = f"index{name}"
            self.hear(f"{what} {name}")

    def _sent(self, data: object) -> None:
        if isinstance(data, bytes) and (line := re.match(rb"(GET|POST|PUT) ([^ ?]*)", data)):
            last = line[2].decode("latin-1").rsplit("/", 1)[-1]
            _, colon, action = last.partition(":")
            self.hear(f"{line[1].decode()} {'…:' + action if colon else last if len(last) < 30 else '…'}")

    def _mailed(self, data: object) -> None:
        text = data if isinstance(data, bytes) else str(data).encode("utf-8", "replace")
        if text == b".\r\n":
            self.hear("mail, the last line")
        elif verb := re.match(rb"(?i)(EHLO|HELO|AUTH|MAIL|RCPT|DATA|QUIT|STARTTLS|NOOP)\b", text):
            self.hear(f"mail {verb[1].decode().upper()}")


def _plain(text: str) -> str:
    """Return a statement without its comments and its placeholders."""
    text = re.sub(r"--[^\n]*", " ", text)
    return " ".join(re.sub(r"%\(\w+\)s", "?", text).split())


class _Reader:
    """A file on its way into a COPY."""

    def __init__(self, file: Any, listener: _Listener, name: str) -> None:
        self._file, self._listener, self._name = file, listener, name
        self._reads = 0

    def read(self, size: int = -1) -> Any:
        """Read on; the second piece and those after it are read while the COPY is under way."""
        self._reads += 1
        if self._reads > 1:
            self._listener.hear(f"{self._name}, under way")
        return self._file.read(size)

    def readline(self, size: int = -1) -> Any:
        """Read a line; psycopg2 wants the method to be there."""
        return self._file.readline(size)


def _listen(listener: _Listener) -> None:
    """Hear the statements of every connection that is opened from now on."""

    class Cursor(extensions.cursor):
        def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  (psycopg2's name)
            listener.hear(f"sql {listener.statement(self, query)}")
            super().execute(query, vars)

        def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
            name = f"COPY {listener.statement(self, sql)}"
            listener.hear(name)
            super().copy_expert(sql, _Reader(file, listener, name), size)

    class Connection(extensions.connection):
        def cursor(self, *arguments: Any, **options: Any) -> Any:
            options.setdefault("cursor_factory", Cursor)
            return super().cursor(*arguments, **options)

        def commit(self) -> None:
            listener.hear("COMMIT")
            super().commit()

        def rollback(self) -> None:
            listener.hear("ROLLBACK")
            super().rollback()

    connect = psycopg2.connect
    psycopg2.connect = lambda *arguments, **options: connect(*arguments, **{"connection_factory": Connection} | options)
    sys.addaudithook(listener.audit)


def note_effects(path: str) -> None:
    """Write the name of each effect to a file, in order."""
    import atexit

    listener = _Listener(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), None)
    _listen(listener)
    atexit.register(listener.hear, "the end")


def kill_before(effect: list[Any]) -> None:
    """Kill the process, as a power cut would, just before an effect."""
    import atexit

    name, number = effect
    listener = _Listener(None, (name, number))
    _listen(listener)
    atexit.register(listener.hear, "the end")


def points(noted: Path) -> list[Effect]:
    """Return where a run is to be killed: the first and the last effect of every name, in order."""
    names = noted.read_text("utf-8").splitlines()
    counts: Counter[str] = Counter()
    found = []
    last = Counter(names)
    for name in names:
        counts[name] += 1
        if counts[name] in {1, last[name]}:
            found.append((name, counts[name]))
    return found
