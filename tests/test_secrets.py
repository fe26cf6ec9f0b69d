"""Secrets: through more than sixty faults none of them stands in an error, a log, on the console, or in /proc.

Every case has a canary in the place of each secret, goes wrong in its own way with real parts, and is then searched:
the exception with everything behind it (causes, arguments, tracebacks with the variables of their frames), the log
file at DEBUG, the console, and what our own code handed to the log before anything was struck out. The black-box
cases search in addition letters, sheet, database, reports, and the processes of the machine.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import repeat
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import trustme

import get_data
import source.http_client
from app_types import Language, Secret, Window
from config import LogSettings, load_settings, read_env_file
from exceptions import EtlError
from google_sheets import publish
from logger import logging_to
from mail.delivery import deliver, probe
from messages import Messages
from tests.support.events_api import (
    CLIENT_KEY,
    cut_chunk,
    delayed,
    drip_body,
    echo_key,
    empty,
    hang_after_headers,
    hang_before_headers,
    html,
    invalid_utf8,
    json_body,
    make_events,
    malformed_json,
    many_headers,
    missing_last_chunk,
    raw_body,
    redirect,
    reset_before_headers,
    reset_mid_body,
    short_body,
    status,
    utf16,
)
from tests.support.google import google_error
from tests.support.leaks import PROCESSES, ProcessWatch, found_in, told_by
from tests.support.loading import connected, fake_postgres
from tests.support.program import DATABASE_PASSWORD, DAY, RECIPIENTS, SENDER, SMTP_PASSWORD, eventually
from tests.support.sheet_contents import sheet_content
from tests.support.smtp import DROP, HANG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import EmailMessage
    from pathlib import Path

    from tests.support.events_api import Behaviour, EventsServer
    from tests.support.google import GoogleStandIn
    from tests.support.program import Program
    from tests.support.smtp import SmtpServer

NOON = Window(datetime(2023, 4, 1, 12, tzinfo=UTC), datetime(2023, 4, 1, 13, tzinfo=UTC))
NOTIFY_TOKEN = "n0tify+tok/en=canary7"
HEARTBEAT_TOKEN = "6f9d1c1e-heartbeat-canary-2b7a"
OUR_LOGGERS = ("get_data", "source", "google_sheets", "sheets", "mail", "email", "warehouse", "put_data", "config")
FOREIGN_LOGGERS = ("mail.log", "asyncio")
"""Those of the servers that stand in for others."""


@dataclass
class Trial:
    """One fault with all its canaries, and everything that was told of it."""

    folder: Path
    secrets: list[str]
    console: list[str] = field(default_factory=list)
    records: list[logging.LogRecord] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    def goes_wrong(self, work: Callable[[], object]) -> EtlError:
        """Do what has to fail by an error of ours, with the log open as in a run."""
        settings = LogSettings(path=self.folder, keep=3, level="DEBUG", every_event=True)
        messages = Messages(Language.ENGLISH)
        now = datetime.now(UTC)
        with logging_to(settings, messages, secrets=self.secrets, write_line=self.console.append, now=now):
            listener = _Listener(self.records)
            logging.getLogger().addHandler(listener)
            try:
                work()
            except EtlError as error:
                self.errors.append(error)
                logging.getLogger("data_processor").exception("%s", error, exc_info=error)  # noqa: TRY401  (as a run)
                self.console.append(messages.error(error))
                return error
            finally:
                logging.getLogger().removeHandler(listener)
        pytest.fail("nothing went wrong")

    def places(self) -> Iterator[tuple[str, str]]:
        """Yield all that was told, with its place."""
        yield "console", "\n".join(self.console)
        for path in self.folder.glob("*.log"):
            yield "log file", path.read_text("utf-8")
        for error in self.errors:
            yield from told_by(error)
        for record in self.records:
            yield f"record of {record.name}", f"{record.getMessage()} {record.args!r}"
            if record.exc_info and record.exc_info[1]:
                yield f"exception in a record of {record.name}", "".join(traceback.format_exception(record.exc_info[1]))

    def leaks(self) -> list[str]:
        """Return the places where a secret stands."""
        return found_in(self.places(), self.secrets)


class _Listener(logging.Handler):
    """Keeps the records of our own code as they were made, before anything is struck out of them."""

    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(OUR_LOGGERS) and not record.name.startswith(FOREIGN_LOGGERS):
            self._records.append(record)


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    """A trial with the secrets that do not depend on a stand-in."""
    monkeypatch.setattr(source.http_client, "_FIRST_DELAY", 0.01)
    monkeypatch.setattr("warehouse.connection._FIRST_DELAY", 0.01)
    return Trial(tmp_path / "logs", [CLIENT_KEY, DATABASE_PASSWORD, SMTP_PASSWORD, NOTIFY_TOKEN, HEARTBEAT_TOKEN])


# The search itself


def test_search_finds_a_secret_in_whatever_a_fault_leaves_behind(trial: Trial) -> None:
    """The search is worth something: it finds the key in text, argument, cause, context, frame, log and console."""

    def leaky(_text: str) -> None:
        raise EtlError("It failed.")

    def behind(link: str) -> None:
        error = EtlError("It failed.")
        setattr(error, link, ValueError(f"GET /?client_key={quote(CLIENT_KEY, safe='')}"))
        raise error

    code = compile("def call(leaky, key): leaky(key)", "<somewhere>", "exec")
    names: dict[str, Any] = {}
    exec(code, names)  # a frame outside of the tests
    for number, work in enumerate(
        [
            lambda: names["call"](leaky, CLIENT_KEY),
            lambda: behind("__cause__"),
            lambda: behind("__context__"),
            lambda: behind("reason"),
        ]
    ):
        own = replace(trial, folder=trial.folder / str(number), errors=[], records=[], console=[])
        own.goes_wrong(work)
        assert own.leaks(), number
    for spelled in (CLIENT_KEY, quote(CLIENT_KEY), json.dumps(CLIENT_KEY), CLIENT_KEY[::-1], CLIENT_KEY.encode().hex()):
        assert found_in([("here", f"x{spelled}y")], [CLIENT_KEY]) == ["here"]
    logging.getLogger("get_data").warning("quiet")
    trial.records.append(logging.makeLogRecord({"name": "get_data", "msg": "%s", "args": (CLIENT_KEY,)}))
    assert trial.leaks() == ["record of get_data"]


# The source: 30 faults

SOURCE_FAULTS: dict[str, Behaviour] = {
    **{f"status {code}": status(code) for code in (301, 400, 401, 403, 404, 408, 429, 500, 503)},
    **{f"status {code} that repeats the key": echo_key(code) for code in (200, 400, 401, 503)},
    "redirect": redirect("http://127.0.0.1:1/"),
    "redirect with the key": redirect(f"http://127.0.0.1:1/?client_key={quote(CLIENT_KEY, safe='')}"),
    "web page": html(),
    "web page with the key": raw_body(b"<html>" + CLIENT_KEY.encode()),
    "error object with the key": json_body({"errors": f"unknown key {CLIENT_KEY}"}),
    "error object with the key escaped": raw_body(
        b'{"errors": "' + CLIENT_KEY.replace("&", "\\u0026").encode() + b'"}'
    ),
    "object": json_body({"data": CLIENT_KEY}),
    "empty": empty(),
    "cut JSON": malformed_json(),
    "no UTF-8 after the key": raw_body(CLIENT_KEY.encode() + b"\xff"),
    "no UTF-8": invalid_utf8(),
    "UTF-16": utf16(),
    "ten thousand headers": many_headers(),
    "key in a header": status(400, headers={"X-Request": CLIENT_KEY}),
    "reset before the answer": reset_before_headers(),
    "reset in the answer": reset_mid_body(),
    "short body": short_body(),
    "cut chunk": cut_chunk(),
    "last chunk missing": missing_last_chunk(),
    "silence": hang_before_headers(),
    "silence after the headers": hang_after_headers(),
    "drip": drip_body(0.2),
}


@pytest.mark.parametrize("behaviour", SOURCE_FAULTS.values(), ids=SOURCE_FAULTS)
def test_no_secret_in_what_a_fault_of_the_source_leaves(
    trial: Trial, events_api: EventsServer, behaviour: Behaviour
) -> None:
    """Whatever the source does, also where it repeats the key."""
    events_api.serve(make_events(24))
    events_api.always(behaviour)
    settings = events_api.settings(timeout=0.3, attempts=2, deadline=1.0)

    trial.goes_wrong(lambda: list(get_data.fetch(settings, NOON)))

    assert events_api.requests[0].query["client_key"] == CLIENT_KEY
    assert trial.leaks() == []


@pytest.mark.parametrize(
    "changes",
    [{"url": "http://127.0.0.1:9/api"}, {"url": "http://nowhere.invalid/api"}, {"url": "http://[::1/api"}],
    ids=["nobody listens", "unknown host", "no address"],
)
def test_no_secret_in_what_an_unreachable_source_leaves(
    trial: Trial, events_api: EventsServer, changes: dict[str, Any]
) -> None:
    """Also where no request was ever sent."""
    settings = events_api.settings(timeout=0.3, attempts=2, deadline=2.0, **changes)

    trial.goes_wrong(lambda: list(get_data.fetch(settings, NOON)))

    assert trial.leaks() == []


# The sheet: 16 faults

AT_ONCE = {"Retry-After": "0"}
SHEET_FAULTS: dict[str, dict[str, Any]] = {
    **{f"status {code}": {"status": code} for code in (400, 403, 404)},
    **{f"status {code} for ever": {"status": code, "times": None, "headers": AT_ONCE} for code in (401, 429, 500, 503)},
    "502 with a web page": {"status": 502, "times": None, "body": b"<html>502</html>", "headers": AT_ONCE},
    "connection reset": {"drop": True, "times": None},
    "silence": {"hang": 5, "times": None},
    "redirect": {"status": 302, "headers": {"Location": "http://127.0.0.1:9/canary"}},
    "no JSON": {"status": 200, "body": b"not json", "times": None},
    "token refused": {"call": "token", "status": 400, "body": {"error": "invalid_grant"}},
    "token refused with a description": {
        "call": "token",
        "status": 401,
        "body": {"error": "invalid_client", "error_description": "wrong key"},
    },
    "token endpoint reset": {"call": "token", "drop": True, "times": None},
    "token of another kind": {"call": "token", "status": 200, "body": b"[]", "times": None},
    "token server down": {"call": "token", "status": 503, "times": None, "headers": AT_ONCE},
}


@pytest.mark.parametrize("fault", SHEET_FAULTS.values(), ids=SHEET_FAULTS)
def test_no_secret_in_what_a_fault_of_the_sheet_leaves(
    trial: Trial, google: GoogleStandIn, fault: dict[str, Any]
) -> None:
    """Neither the private key, nor a signed request for a token, nor a token."""
    publish(google.settings, [sheet_content()])
    google.revoke_tokens()
    google.fail(**({"body": google_error(fault.get("status", 0), "no")} | fault))

    trial.goes_wrong(lambda: publish(google.settings, [sheet_content()], deadline=0.7))

    trial.secrets += google.secrets
    assert len(google.secrets) > 20
    assert trial.leaks() == []


# The letter: 13 faults

MAIL_FAULTS: dict[str, dict[str, Any]] = {
    "wrong password": {"password": "another"},
    "password repeated": {"script": {"auth": repeat(f"535 5.7.8 {SMTP_PASSWORD} is wrong")}},
    "hangs up at the login": {"script": {"auth": repeat(DROP)}},
    "silence at the login": {"script": {"auth": repeat(HANG)}},
    "login put off": {"script": {"auth": repeat("454 4.7.0 later")}},
    "greeting refused": {"script": {"greeting": repeat("554 no")}},
    "EHLO refused": {"script": {"ehlo": repeat("500 no"), "helo": repeat("500 no")}},
    "sender refused": {"script": {"mail": repeat(f"550 5.1.0 {SMTP_PASSWORD}")}},
    "recipients refused": {"script": {f"rcpt {RECIPIENTS[0]}": repeat(f"550 {SMTP_PASSWORD}")}},
    "letter refused": {"script": {"letter": repeat(f"554 5.7.1 {SMTP_PASSWORD}")}},
    "letter of unknown fate": {"script": {"letter": repeat(DROP)}},
    "untrusted certificate": {"authority": trustme.CA()},
    "certificate of another host": {"host": "mail.example.org"},
}


@pytest.fixture
def letter() -> EmailMessage:
    """A letter of the least."""
    from email.message import EmailMessage

    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "figures", SENDER, RECIPIENTS[0]
    message["Message-ID"] = "<1@example.org>"
    message.set_content("figures")
    return message


@pytest.mark.parametrize("options", MAIL_FAULTS.values(), ids=MAIL_FAULTS)
def test_no_secret_in_what_a_fault_of_the_mail_server_leaves(
    trial: Trial, smtp_server: Callable[..., SmtpServer], letter: EmailMessage, options: dict[str, Any]
) -> None:
    """The password goes to a verified server alone, and nowhere besides; not even where that one says it back."""
    server = smtp_server("ssl", **({"user": "mailer", "password": SMTP_PASSWORD} | options))
    settings = server.settings(password=Secret(SMTP_PASSWORD), user="mailer")

    trial.goes_wrong(lambda: deliver(settings, letter, recipients=RECIPIENTS[:1], deadline=0.8, pause=0.01))
    with suppress(EtlError):
        probe(settings, deadline=0.8)

    assert trial.leaks() == []


# The database: 9 faults

DATABASE_FAULTS: dict[str, tuple[str, str]] = {
    "password refused": ("28P01", 'password authentication failed for user "etl"'),
    "host refused": ("28000", 'no pg_hba.conf entry for host "x", user "etl"'),
    "no such database": ("3D000", 'database "x" does not exist'),
    "starting up": ("57P03", "the database system is starting up"),
    "too many": ("53300", "sorry, too many clients already"),
    "another language": ("28P01", "пользователь не прошёл проверку подлинности"),
}


@pytest.mark.parametrize("refusal", DATABASE_FAULTS.values(), ids=DATABASE_FAULTS)
def test_no_secret_in_what_a_fault_of_the_database_leaves(trial: Trial, refusal: tuple[str, str]) -> None:
    """What libpq says of a refusal is logged, the driver's error is not: its frames know the password."""
    code, text = refusal
    with fake_postgres((code, text.encode())) as fake:
        url = fake.url().replace("canary-password", quote(DATABASE_PASSWORD, safe=""))
        trial.goes_wrong(lambda: _connect(url))

    assert trial.leaks() == []


def test_password_that_the_database_says_back_is_struck_out(trial: Trial) -> None:
    """Neither console nor log file have it."""
    with fake_postgres(("28P01", f"password authentication failed: {DATABASE_PASSWORD}".encode())) as fake:
        error = trial.goes_wrong(lambda: _connect(fake.url()))

    assert found_in([("console", "\n".join(trial.console)), ("text", repr(vars(error)))], trial.secrets) == []
    assert [found_in([("file", path.read_text("utf-8"))], trial.secrets) for path in trial.folder.iterdir()] == [[]]


@pytest.mark.parametrize("place", ["127.0.0.1:9", "nowhere.invalid"])
def test_no_secret_in_what_an_unreachable_database_leaves(trial: Trial, place: str) -> None:
    """Neither the password nor the address with it."""
    trial.goes_wrong(lambda: _connect(f"postgresql://etl:{quote(DATABASE_PASSWORD, safe='')}@{place}/etl"))

    assert trial.leaks() == []


def _connect(url: str) -> None:
    with connected(url):
        pass


# The settings: 12 faults

KEY = {"API_CLIENT": "us", "API_CLIENT_KEY": CLIENT_KEY}
MAIL = {"SMTP_SERVER": "localhost", "SENDER_EMAIL": SENDER, "EMAIL_ADDRESSES_FOR_MAILING": RECIPIENTS[0]}
SETTINGS_FAULTS: dict[str, dict[str, str]] = {
    "key with a line break": {"API_CLIENT_KEY": CLIENT_KEY + "\nx"},
    "key that is no text": {"API_CLIENT_KEY": CLIENT_KEY + "\udcff", "API_CLIENT": ""},
    "key in the address": {"API_URL": f"https://us:{quote(CLIENT_KEY, safe='')}@example.org/"},
    "password unescaped": {"DATABASE_URL": f"postgresql://etl:{DATABASE_PASSWORD}@@host:x/db"},
    "no URL": {"DATABASE_URL": f"host=x password={DATABASE_PASSWORD}"},
    "password for a number": {"API_TIMEOUT": "x", "DATABASE_URL": DATABASE_PASSWORD},
    "mail without addresses": {**MAIL, "SENDER_EMAIL": "", "SMTP_PASSWORD": SMTP_PASSWORD},
    "mail in the open": {
        **MAIL,
        "SMTP_SERVER": "mail.example.org",
        "SMTP_SECURITY": "none",
        "SMTP_PASSWORD": SMTP_PASSWORD,
    },
    "password with a line break": {**MAIL, "SMTP_PASSWORD": SMTP_PASSWORD + "\r\nx"},
    "alarm in the wrong form": {"NOTIFY_URLS": f"nothing//{NOTIFY_TOKEN}"},
    "alarm of an unknown service": {"NOTIFY_URLS": f"nowhere://{quote(NOTIFY_TOKEN, safe='')}@x"},
    "heartbeat in the open": {"HEARTBEAT_URL": f"http://hc.example.org/{HEARTBEAT_TOKEN}"},
}


@pytest.mark.parametrize("values", SETTINGS_FAULTS.values(), ids=SETTINGS_FAULTS)
def test_no_secret_in_what_wrong_settings_leave(trial: Trial, values: dict[str, str], tmp_path: Path) -> None:
    """A fault names the setting, never its secret value; from the environment and from the file alike."""
    trial.goes_wrong(lambda: load_settings(KEY | values))
    content = "".join(f"{name}={value!r}\n" for name, value in (KEY | values).items())
    (tmp_path / "settings").write_bytes(content.encode("utf-8", "surrogateescape"))
    other = replace(trial, folder=tmp_path / "other")
    with suppress(AssertionError, pytest.fail.Exception):
        other.goes_wrong(lambda: load_settings({}, read_env_file(tmp_path / "settings")))

    assert trial.leaks() == []
    assert other.leaks() == []


# The whole program


def test_no_secret_of_a_run_through_many_faults_is_written_anywhere(
    program: Program, events_api: EventsServer, google: GoogleStandIn, smtp_server: Callable[..., SmtpServer]
) -> None:
    """Days with a fault each, at DEBUG; letters, sheet, tables, reports, logs and console are searched."""
    refusing = smtp_server(
        "ssl", user="mailer", password=SMTP_PASSWORD, script=MAIL_FAULTS["recipients refused"]["script"]
    )
    program.use(google, refusing)
    events_api.serve([event for number in range(4) for event in make_events(8, date(2023, 4, 1 + number))])
    slow = {"silence", "silence after the headers", "drip"}
    faults = [behaviour for name, behaviour in SOURCE_FAULTS.items() if name not in slow]
    first = date(2023, 5, 1)
    for number, behaviour in enumerate(faults):
        events_api.script([behaviour], start=str(first + timedelta(days=number)))
    told = {"LOG_LEVEL": "DEBUG", "API_WINDOW_MINUTES": "1440", "API_ATTEMPTS": "1"}
    last = first + timedelta(days=len(faults) - 1)

    failed = program.run("--from", str(first), "--to", str(last), **told)
    google.fail(**SHEET_FAULTS["token refused"])
    partly = program.run("--from", "2023-04-01", "--to", "2023-04-02", "--json", **told)
    google.heal()
    google.fail(403, body=google_error(403, "no"), times=None)
    refused = program.run("--from", "2023-04-03", "--to", "2023-04-04", "--json", **told)

    assert (failed.code, partly.code, refused.code) == (1, 3, 3)
    assert failed.told.count("✗") >= len(faults)
    assert len(google.secrets) > 20
    assert program.leaks() == []


def test_no_secret_is_told_where_alarms_are_set_up(program: Program, events_api: EventsServer) -> None:
    """The addresses of alarm services and of the heartbeat hold tokens; that they cannot be reached tells none."""
    program.secrets += [NOTIFY_TOKEN, HEARTBEAT_TOKEN]
    token = quote(NOTIFY_TOKEN, safe="")
    alarms = {
        "NOTIFY_URLS": f"json://us:{token}@127.0.0.1:9/{token}",
        "HEARTBEAT_URL": f"http://127.0.0.1:9/ping/{HEARTBEAT_TOKEN}",
        "METRICS_FILE": str(program.folder / "etl.prom"),
    }
    events_api.serve(make_events(8))

    assert program.run("--date", DAY, LOG_LEVEL="DEBUG", **alarms).code == 0
    events_api.always(status(401))
    assert program.run("--date", DAY, "--json", LOG_LEVEL="DEBUG", **alarms).code == 1
    assert program.run("check", LOG_LEVEL="DEBUG", **alarms).code == 1

    assert program.leaks() == []


# Other processes

needs_proc = pytest.mark.skipif(not PROCESSES.is_dir(), reason="there is no /proc")


@needs_proc
def test_no_process_shows_a_secret_that_stands_in_the_file(
    copied_program: Program, events_api: EventsServer, database_url: str, mail_server: SmtpServer, google: GoogleStandIn
) -> None:
    """With the settings in `.env`, neither a command line nor an environment of any process holds one of them."""
    program, settings = copied_program, dict(copied_program.settings)
    program.use(mail_server, google)
    settings = program.settings | events_api.environ(API_WINDOW_MINUTES="240")
    settings["DATABASE_URL"] = f"{database_url}&password={quote(DATABASE_PASSWORD, safe='')}"
    (program.home / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()), "utf-8")
    (program.home / ".env").chmod(0o600)
    program.settings = {}
    program.secrets.append(CLIENT_KEY)
    events_api.serve(make_events(24))
    events_api.always(delayed(0.2))

    with ProcessWatch([*program.secrets, *google.secrets]) as watch:
        finished = program.run("--date", DAY, "--json")

    assert (finished.code, finished.day["mail"], finished.day["sheet"]) == (0, "sent", "updated")
    assert watch.looks > 10
    assert any("data_processor.py" in command for command in watch.watched)
    assert watch.seen == set()


@needs_proc
def test_embedded_database_is_told_no_secret_of_the_environment(
    copied_program: Program, events_api: EventsServer
) -> None:
    """With the settings in the environment, the program alone has them: the server that it starts does not."""
    program = copied_program
    program.settings |= events_api.environ(API_WINDOW_MINUTES="240", SMTP_PASSWORD=SMTP_PASSWORD)
    program.secrets.append(CLIENT_KEY)
    events_api.serve(make_events(24))
    events_api.always(delayed(0.2))

    with ProcessWatch(program.secrets) as watch:
        running = program.start("--date", DAY, "--json")
        watch.may_know.add(running.process.pid)
        finished = running.finish()

    assert finished.code == 0
    assert any("postgres" in command and "-D" in command for command in watch.watched)
    assert [place for place in watch.seen if "data_processor.py" not in place] == []
    assert [place for place in watch.seen if place.startswith("command line")] == []


@needs_proc
@pytest.mark.parametrize("where", ["command line", "environment"])
def test_look_at_the_processes_finds_a_planted_secret(where: str) -> None:
    """The look is worth something: it finds the key in an argument and in a variable, URL-quoted."""
    planted = quote(CLIENT_KEY, safe="")
    arguments = [sys.executable, "-c", "input()", *([planted] if where == "command line" else [])]
    environ = {"KEY": planted} if where == "environment" else {}
    with (
        ProcessWatch([CLIENT_KEY]) as watch,
        subprocess.Popen(arguments, env=environ, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process,
    ):
        eventually(lambda: watch.seen)
        process.communicate(b"\n")

    assert all(place.startswith(where) for place in watch.seen)
