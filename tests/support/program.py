"""The program itself, run as a process of its own in a clean environment, and held to what it always promises.

    finished = program.run("--date", "2023-04-01", "--json")
    assert finished.code == 0 and finished.day["loaded"] == 12

`program` is configured for the test's own source and database; `program.use(google)` and `program.use(mail_server)`
add a sheet and a mail server. After each run the promises that hold for every run are checked (`_check`), and at the
end of the test everything that was written anywhere is searched for secrets (`Program.leaks`).
"""

from __future__ import annotations

import codecs
import fcntl
import json
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg2
import pytest
from psycopg2 import sql

from app_types import Language
from config import DEFAULTS, OLD_NAMES
from messages import Messages
from tests.support.google import GoogleStandIn
from tests.support.leaks import found_in
from tests.support.smtp import SmtpServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tests.support.events_api import EventsServer

HOME = Path(__file__).resolve().parent.parent.parent
DAY = "2023-04-01"
SENDER = "etl@example.org"
RECIPIENTS = ("course-leads@example.org", "methodologists@example.org")
DATABASE_PASSWORD = "pg&secret/passWord+1"
SMTP_PASSWORD = "smtp=secret/passWord&2"
COUNTS = ("received", "loaded", "updated", "already_present", "rejected", "defective", "missing_at_source")
STATISTICS = ("unique_users", "runs", "submits", "successful_submits")
KEYS = {"date", "mode", "complete", "status", *COUNTS, "statistics", "sheet", "mail", "error"}

_LIMIT = 60.0
_STATUSES = {"ok": 0, "partial": 3, "failed": 1, "interrupted": 130}
_IN_A_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
_COMPLAINTS = ("Traceback (most recent call last)", "Exception ignored", "Warning: ")


@dataclass(frozen=True)
class Finished:
    """A run that is over."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def told(self) -> str:
        """Everything that it said."""
        return self.out + self.err

    @cached_property
    def days(self) -> list[dict[str, Any]]:
        """The JSON objects on standard output."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def day(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        assert len(self.days) == 1, self.told
        return self.days[0]

    @property
    def counts(self) -> tuple[Any, ...]:
        """The counts of the one day, in the order of `COUNTS`."""
        return tuple(self.day[name] for name in COUNTS)


class Running:
    """A run under way."""

    def __init__(self, program: Program, process: subprocess.Popen[bytes], arguments: tuple[str, ...]) -> None:
        self._program = program
        self._arguments = arguments
        self._signals = 0
        self.process = process

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._signals += 1
        self.process.send_signal(number)

    def finish(self, limit: float = _LIMIT) -> Finished:
        """Wait for its end, and check what every run promises."""
        try:
            out, err = self.process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            pytest.fail(f"still at work after {limit} s: {self._arguments}\n{out.decode()}{err.decode()}")
        finished = Finished(self._arguments, self.process.returncode, out.decode(), err.decode())
        self._program.finished.append(finished)
        _check(finished, is_counted=self._signals < 2)
        return finished

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.communicate()


class TerminalSession:
    """A run in a terminal of its own, with somebody at the keyboard."""

    def __init__(self, program: Program, arguments: tuple[str, ...], environ: dict[str, str]) -> None:
        self._program = program
        self._arguments = arguments
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _IN_A_TERMINAL, "data_processor.py", *arguments],
            cwd=program.home,
            env=environ | {"TERM": "xterm-256color"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.screen = ""
        self._seen = 0

    def type(self, text: str) -> None:
        """Press keys: a carriage return is Enter, 3 is Ctrl-C, 4 is Ctrl-D."""
        os.write(self._master, text.encode())

    def wait_for(self, text: str, limit: float = 20.0) -> None:
        """Wait until a text stands on the screen, below what was waited for last."""
        end = time.monotonic() + limit
        while text not in self.screen[self._seen :]:
            left = end - time.monotonic()
            if left <= 0 or not self._read(left):
                pytest.fail(f"{text!r} did not come:\n{self.screen}")
        self._seen = self.screen.index(text, self._seen) + len(text)

    def finish(self, limit: float = 30.0) -> Finished:
        """Read on to the end of the run."""
        end = time.monotonic() + limit
        while (left := end - time.monotonic()) > 0 and self._read(left):
            pass
        try:
            code = self.process.wait(max(end - time.monotonic(), 1))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            pytest.fail(f"still at work after {limit} s:\n{self.screen}")
        finally:
            os.close(self._master)
        finished = Finished(self._arguments, code, self.screen, "")
        self._program.finished.append(finished)
        for complaint in _COMPLAINTS:
            assert complaint not in self.screen, self.screen
        return finished

    def _read(self, limit: float) -> bool:
        """Read what is there within a time; tell whether there can be more."""
        ready, _, _ = select.select([self._master], [], [], limit)
        if not ready:
            return True
        try:
            data = os.read(self._master, 65_536)
        except OSError:  # Linux: the last process that had the terminal is gone
            data = b""
        self.screen += self._decoder.decode(data)
        return bool(data)


_NOTHING_BEGUN = {Messages(language).text("Interrupted; nothing was changed.") for language in Language}
"""What is said where Ctrl-C came before the first day was begun; a day that was begun prints its object."""


def _check(finished: Finished, *, is_counted: bool = True) -> None:
    """Check what holds for every run: no traceback, and with `--json` the objects of the contract alone.

    Args:
        finished: the run.
        is_counted: every loaded day has statistics; they are not waited for after a second Ctrl-C.
    """
    for complaint in _COMPLAINTS:
        assert complaint not in finished.told, finished.told
    assert finished.code in {0, 1, 2, 3, 130, 143, -signal.SIGKILL}, finished.told
    if "--json" not in finished.arguments:
        return
    if finished.code == 2:
        assert finished.out == ""
        return
    if {"check", "runs", "rejected", "retention", "audit"} & set(finished.arguments) or finished.code < 0:
        return
    assert finished.out.isascii()
    if not finished.days and {"fill", "--fill-gaps", "--missing-only"} & set(finished.arguments):
        return  # no day was to be run
    if finished.code == 130 and any(line in _NOTHING_BEGUN for line in finished.told.splitlines()):
        assert finished.out == ""
        return
    for day in finished.days:
        _check_day(day, is_counted=is_counted)
    codes = [_STATUSES[day["status"]] for day in finished.days]
    worst = next((code for code in (130, 1, 3) if code in codes), 0)
    assert finished.code == worst or (finished.code, worst) == (143, 130), finished.told


def _check_day(day: dict[str, Any], *, is_counted: bool) -> None:
    """Check an object against the contract."""
    assert day.keys() >= KEYS
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", day["date"])
    assert day["mode"] in {"full", "test", "replay"}
    assert isinstance(day["complete"], bool)
    assert day["sheet"] in {"updated", "skipped", "unchanged", "failed"}
    assert day["mail"] in {"sent", "skipped", "unchanged", "failed"}
    assert day["error"] is None or isinstance(day["error"], str)
    counts = [day[name] for name in COUNTS]
    if day["status"] in {"failed", "interrupted"}:
        assert [*counts, day["statistics"]] == [None] * 8
        assert day["status"] != "failed" or day["error"]
        return
    if is_counted or day["statistics"] is not None:
        assert day["statistics"].keys() == set(STATISTICS)
        assert all(type(value) is int for value in day["statistics"].values())
    assert (day["status"] == "partial") is bool(day["error"])
    assert day["status"] == "partial" or "failed" not in {day["sheet"], day["mail"]}
    if counts != [None] * 7:
        assert all(type(value) is int for value in counts)
        assert day["received"] == day["loaded"] + day["updated"] + day["already_present"] + day["rejected"]


@dataclass
class Program:
    """The program, with settings of its own; `folder` holds all that it writes."""

    folder: Path
    settings: dict[str, str]
    secrets: list[str]
    database_url: str | None = None
    home: Path = HOME
    servers: list[GoogleStandIn | SmtpServer] = field(default_factory=list)
    finished: list[Finished] = field(default_factory=list)

    @property
    def logs(self) -> Path:
        """The folder of the logs."""
        return self.folder / "logs"

    @property
    def reports(self) -> Path:
        """The folder of the pages."""
        return self.folder / "reports"

    @property
    def last_log(self) -> str:
        """The text of the newest log."""
        return max(self.logs.iterdir(), key=lambda path: (path.stat().st_mtime_ns, path.name)).read_text("utf-8")

    def use(self, *servers: GoogleStandIn | SmtpServer) -> None:
        """Configure the sheet or the mail server that a stand-in is."""
        for server in servers:
            self.servers.append(server)
            if isinstance(server, GoogleStandIn):
                self.settings |= server.environment
            else:
                self.settings |= server.environ
                self.settings |= {"SENDER_EMAIL": SENDER, "EMAIL_ADDRESSES_FOR_MAILING": ", ".join(RECIPIENTS)}

    def environ(self, **changes: str | None) -> dict[str, str]:
        """Return the whole environment of a run.

        Args:
            changes: settings or other variables; None leaves a variable out.
        """
        passed_on = {name: value for name, value in os.environ.items() if name in {"PATH", "SYSTEMROOT", "TMPDIR"}}
        # Set, if only to nothing: a developer's `.env` is not to stand in for what is missing here.
        blank = dict.fromkeys((*DEFAULTS, *OLD_NAMES) if self.home == HOME else (), "")
        environ = {**passed_on, **blank, "HOME": str(self.folder), **self.settings, **changes}
        return {name: value for name, value in environ.items() if value is not None}

    def start(self, *arguments: str, typed: str | None = None, **changes: str | None) -> Running:
        """Start a run that may be sent signals; it is not measured by coverage.

        Under its tracing, Python 3.11 can come to a standstill: a thread gets no further than the beginning of a
        function while a signal is pending, which stays so while the main thread waits for the import lock of the other.

        Args:
            arguments: of the command line.
            typed: what is piped to its standard input, bytes that are no text as surrogates; without it, that is empty.
            changes: to the environment.
        """
        process = subprocess.Popen(
            [sys.executable, "data_processor.py", *arguments],
            cwd=self.home,
            env=self.environ(**changes),
            stdin=subprocess.DEVNULL if typed is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        if typed is not None:
            assert process.stdin
            with suppress(BrokenPipeError):
                process.stdin.write(typed.encode("utf-8", "surrogateescape"))
                process.stdin.flush()
            # `communicate` closes it
        return Running(self, process, arguments)

    def run(self, *arguments: str, typed: str | None = None, **changes: str | None) -> Finished:
        """Run it to its end."""
        measured = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        return self.start(*arguments, typed=typed, **measured | changes).finish()

    def terminal(self, *arguments: str, **changes: str | None) -> TerminalSession:
        """Start a run in a terminal."""
        return TerminalSession(self, arguments, self.environ(**changes))

    def places(self) -> Iterator[tuple[str, str]]:
        """Yield everything that was said or written anywhere, with its place."""
        for finished in self.finished:
            yield f"output of {finished.arguments}", finished.told
            yield "command line", " ".join(finished.arguments)
        for path in self.folder.rglob("*"):
            if path.is_file():
                yield str(path.relative_to(self.folder)), path.read_bytes().decode("utf-8", "replace")
        for server in self.servers:
            yield from _sheet_texts(server) if isinstance(server, GoogleStandIn) else _letter_texts(server)
        if self.database_url:
            yield from _table_texts(self.database_url)

    def leaks(self) -> list[str]:
        """Return the places where a secret stands, in whatever spelling."""
        secrets = [*self.secrets]
        for server in self.servers:
            secrets += server.secrets if isinstance(server, GoogleStandIn) else [server.password]
        return found_in(self.places(), secrets)


def _sheet_texts(google: GoogleStandIn) -> Iterator[tuple[str, str]]:
    for sheet in google.spreadsheet.sheets:
        yield f"worksheet {sheet.title}", repr(sheet)
    yield "calls to Google", repr([(call.path, call.query, call.body) for call in google.calls])


def _letter_texts(server: SmtpServer) -> Iterator[tuple[str, str]]:
    for letter in server.messages:
        yield "letter", letter.content.decode("utf-8", "replace")
        for part in letter.message.walk():
            if not part.is_multipart():
                yield "letter", str(part.get_content())


def _table_texts(url: str) -> Iterator[tuple[str, str]]:
    with closing(psycopg2.connect(url, application_name="test")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(sql.SQL("SELECT t::text FROM {} AS t").format(sql.Identifier(table)))
            yield f"table {table}", "\n".join(row[0] for row in cursor.fetchall())


def eventually(condition: Callable[[], object], limit: float = 20.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


def table_rows(url: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Return the rows of a statement, as another program sees them now."""
    with closing(psycopg2.connect(url, application_name="test")) as connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()


def letter_text(server: SmtpServer, number: int = -1) -> str:
    """Return the plain text of a letter as one line, so that line breaks do not matter."""
    body = server.messages[number].message.get_body(("plain",))
    assert body is not None
    return " ".join(str(body.get_content()).split())


def subject_of(server: SmtpServer, number: int = -1) -> str:
    """Return the subject of a letter."""
    return str(server.messages[number].message["Subject"])


def recipients_of(letters: Sequence[Any]) -> list[tuple[str, ...]]:
    """Return whom the letters were handed over for."""
    return [letter.recipients for letter in letters]


def without_leaks(programs: Iterable[Program]) -> None:
    """Fail the test where one of its runs has written a secret anywhere."""
    for program in programs:
        assert program.leaks() == []


def _blank_program(folder: Path) -> Program:
    folder.mkdir()
    settings = {
        "LOGS_PATH": str(folder / "logs"),
        "REPORTS_PATH": str(folder / "reports"),
        "CURR_LANG": "ENGLISH",
    }
    return Program(folder, settings, [DATABASE_PASSWORD, SMTP_PASSWORD])


@pytest.fixture
def unconfigured_program(tmp_path: Path) -> Iterator[Program]:
    """The program with no more than its folders and a language."""
    program = _blank_program(tmp_path / "unconfigured")
    yield program
    without_leaks([program])


@pytest.fixture
def program(tmp_path: Path, events_api: EventsServer, database_url: str) -> Iterator[Program]:
    """The program, configured for the test's own source and database; neither a sheet nor letters."""
    program = _blank_program(tmp_path / "program")
    program.database_url = database_url
    program.secrets.append(events_api.client_key)
    program.settings |= events_api.environ(API_WINDOW_MINUTES="240")
    program.settings["DATABASE_URL"] = f"{database_url}&password={quote(DATABASE_PASSWORD, safe='')}"
    yield program
    without_leaks([program])


@pytest.fixture
def copied_program(tmp_path: Path, unconfigured_program: Program) -> Program:
    """A copy of the program in a folder of its own, which may hold a `.env`; nothing of the environment hides it."""
    unconfigured_program.home = tmp_path / "copy"
    packages = {path.parent.name for path in HOME.glob("*/__init__.py")} - {"tests", "benchmarks"}
    wanted = ("*.py", "sql", "templates", "locale", *packages)
    for pattern in wanted:
        for path in HOME.glob(pattern):
            target = unconfigured_program.home / path.name
            target.parent.mkdir(exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(path, target)
    return unconfigured_program


@pytest.fixture
def mail_server(smtp_server: Callable[..., SmtpServer]) -> SmtpServer:
    """A mail server with TLS that wants a login."""
    return smtp_server("ssl", user="mailer", password=SMTP_PASSWORD)


@pytest.fixture
def sign() -> Iterator[threading.Event]:
    """A sign that a test gives; given at its end at the latest."""
    event = threading.Event()
    yield event
    event.set()
