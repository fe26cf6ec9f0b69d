"""Days, events and a prepared warehouse for the tests of load, ledger, statistics and publications; its faults, too."""

from __future__ import annotations

import re
import secrets
import signal
import socket
import threading
import time
from collections import Counter
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import psycopg2
import pytest
from psycopg2 import sql
from psycopg2.extensions import parse_dsn

import put_data
from app_types import AttemptType, Event, Mode, Reason, Rejected, Secret
from config import DatabaseSettings
from source.rows import head, pack
from source.windows import day_of
from warehouse import ledger
from warehouse.connection import Server
from warehouse.migrations import migrate

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from psycopg2.extensions import connection as Connection  # noqa: N812  (a class, whatever its name)

    from app_types import Batch, Counts, Day
    from tests.support.postgres import PostgresServer
    from warehouse.connection import Database

STUDENT = "3583bf109f8b458e13ae1ac9d85c396a"
SOURCEDID = f"course-v1:SkillFactory+DST-3.0+28FEB2021:lms.example.org-ca3ecf8e5f284c329eb7bd529e1a9f7e:{STUDENT}"
SERVICE_URL = "https://lms.example.org/courses/c/xblock/b/handler_noauth/grade_handler"
_VALUES = ("user_id", "is_correct", "oauth_consumer_key", "lis_result_sourcedid", "lis_outcome_service_url")
APRIL_1 = date(2023, 4, 1)
LATER = datetime(2030, 1, 1, tzinfo=UTC)
"""A present at which every day of the tests is over."""


def make_day(day: date = APRIL_1, zone: str = "UTC", mode: Mode = Mode.FULL, now: datetime = LATER) -> Day:
    """Return a day as a run covers it."""
    return day_of(day, ZoneInfo(zone), mode, now)


def make_event(at: str | datetime = "12:00:00", **values: Any) -> Event:
    """Return an event of 1 April 2023, UTC, unless `at` is a moment; a submit without flaw unless told otherwise."""
    moment = at if isinstance(at, datetime) else datetime.fromisoformat(f"{APRIL_1}T{at}+00:00")
    defaults: dict[str, Any] = {
        "user_id": STUDENT,
        "attempt_type": AttemptType.SUBMIT,
        "is_correct": False,
        "oauth_consumer_key": "",
        "lis_result_sourcedid": SOURCEDID,
        "lis_outcome_service_url": SERVICE_URL,
    }
    return Event(created_at=moment, **(defaults | values))


def make_events(number: int, **values: Any) -> list[Event]:
    """Return events of 1 April 2023, a second apart."""
    start = datetime.combine(APRIL_1, datetime.min.time(), tzinfo=UTC)
    return [make_event(start + timedelta(seconds=second), **values) for second in range(number)]


def make_rejected(raw: str = '{"lti_user_id": null}', reason: Reason = Reason.USER_ID_MISSING) -> Rejected:
    """Return a rejected event."""
    return Rejected(reason, raw)


def fetched(day: Day, *answers: Sequence[Event | Rejected]) -> list[Batch]:
    """Return what a fetch for no run brings, a batch for each answer."""
    return [pack(day.window, answer) for answer in answers]


def fetched_for(run_id: int, batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield what a fetch for no run has brought as one for this run brings it."""
    for batch in batches:
        events = batch.received - len(batch.rejected) - batch.repeated
        assert sum(block.count(head(batch.run_id)) for block in batch.blocks) == events
        blocks = [block.replace(head(batch.run_id), head(run_id)) for block in batch.blocks]
        yield replace(batch, run_id=run_id, blocks=blocks)


def database_settings(url: str | None = None, **values: Any) -> DatabaseSettings:
    """Return the settings of a database by its URL, or whatever else they shall hold."""
    defaults: dict[str, Any] = {
        "url": Secret(url) if url else None,
        "libpq": {},
        "embedded": Path("unused"),
        "reset": False,
    }
    return DatabaseSettings(**(defaults | values))


@contextmanager
def connected(url: str, *, migrated: bool = False) -> Iterator[Database]:
    """Yield a connection of the program."""
    with Server(database_settings(url)) as server, server.connected() as database:
        if migrated:
            migrate(database)
        yield database


@dataclass
class Warehouse:
    """A migrated database: the program's own connection, and a look from outside."""

    database: Database
    url: str
    outside: Connection
    run_ids: list[int] = field(default_factory=list)

    def begin(self, day: Day | None = None) -> int:
        """Begin a run in the ledger; `run_ids` notes its number."""
        self.run_ids.append(ledger.begin(self.database, day or make_day()))
        return self.run_ids[-1]

    def load(
        self, *items: Event | Rejected, day: Day | None = None, reset: bool = False, run_id: int | None = None
    ) -> Counts:
        """Load what one answer brought, as a run of its own unless one was begun."""
        day = day or make_day()
        return self.load_batches(fetched(day, items), day, reset=reset, run_id=run_id)

    def load_batches(
        self, batches: Iterable[Batch], day: Day | None = None, *, reset: bool = False, run_id: int | None = None
    ) -> Counts:
        """Load what a fetch brings, as a run of its own unless one was begun."""
        day = day or make_day()
        run_id = run_id or self.begin(day)
        return put_data.load(self.database, run_id, day, fetched_for(run_id, batches), reset=reset)

    def select(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask from outside: what is not committed is not seen."""
        with self.outside.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()

    def execute(self, statement: str) -> None:
        """Change something from outside, committed at once."""
        with self.outside.cursor() as cursor:
            cursor.execute(statement)

    def pause_first(self, when: str) -> None:
        """Have the load stop at a trigger, the first time it comes there, until `go_on` is called."""
        self.execute("SELECT pg_advisory_lock(1)")
        self.trigger("IF nextval('kills') = 1 THEN PERFORM pg_advisory_xact_lock(1); END IF; RETURN NULL;", when)

    def go_on(self, statement: str) -> None:
        """Change something from outside as soon as the load stands still, then let it go on."""
        self.wait_until_busy("advisory")
        self.execute(statement)
        self.execute("SELECT pg_advisory_unlock(1)")

    def number(self, statement: str, *values: object) -> int:
        """Ask for one number from outside."""
        return int(self.select(statement, *values)[0][0])

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the events table with the versions of its rows, ordered by time."""
        return self.select("SELECT *, xmin::text, ctid::text FROM lms_activities ORDER BY created_at, user_id, ctid")

    def events(self) -> set[Event]:
        """Return what the events table holds, as events."""
        rows = self.select(f"SELECT created_at, attempt_type, defects, {', '.join(_VALUES)} FROM lms_activities")
        found = [
            make_event(
                moment.astimezone(UTC),
                attempt_type=AttemptType(kind),
                defects=tuple(defects),
                **dict(zip(_VALUES, values, strict=True)),
            )
            for moment, kind, defects, *values in rows
        ]
        assert len(set(found)) == len(found)
        return set(found)

    def quarantine(self) -> Counter[tuple[date, str]]:
        """Return how often each text lies in quarantine, by day."""
        return Counter(self.select("SELECT process_date, raw FROM lms_activities_rejected"))

    def run(self, run_id: int | None = None) -> dict[str, Any]:
        """Return a row of the ledger by its columns; the last run's unless told otherwise."""
        with self.outside.cursor() as cursor:
            cursor.execute("SELECT * FROM etl_runs WHERE id = %s", (run_id or self.run_ids[-1],))
            (row,) = cursor.fetchall()
            assert cursor.description
            return dict(zip((column.name for column in cursor.description), row, strict=True))

    def trigger(self, body: str, when: str = "BEFORE INSERT ON lms_activities FOR EACH ROW") -> None:
        """Put a trigger in the way, in PL/pgSQL; `kills` is a sequence that no rollback resets."""
        name = f"trigger_{secrets.token_hex(4)}"
        kind = "CONSTRAINT TRIGGER" if "DEFERRABLE" in when else "TRIGGER"
        self.execute(
            "CREATE SEQUENCE IF NOT EXISTS kills; "
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$; "
            f"CREATE {kind} {name} {when} EXECUTE FUNCTION {name}()"
        )

    def no_triggers(self) -> None:
        """Take the triggers away again."""
        for name, table in self.select("SELECT tgname, tgrelid::regclass FROM pg_trigger WHERE tgname ~ '^trigger_'"):
            self.execute(f"DROP TRIGGER {name} ON {table}")

    def wait_until_busy(self, event: str = "PgSleep", statement: str = "%") -> None:
        """Wait until a backend of the program waits: sleeps as a trigger told it, unless something else is named."""
        limit = time.monotonic() + 30
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND wait_event = %s AND application_name LIKE 'learning%%' AND state = 'active' AND query LIKE %s"
        )
        while not self.number(query, event, statement):
            assert time.monotonic() < limit, "nobody is busy"
            time.sleep(0.02)


def database_name(url: str) -> str:
    """Return the name of the database in a URL."""
    return str(parse_dsn(url)["dbname"])


@pytest.fixture
def open_warehouse(no_connection_leaked: None) -> Iterator[Callable[[str], Warehouse]]:
    """Return a function that prepares the database of a URL for the program; closed at the end of the test."""
    with ExitStack() as stack:

        def open_(url: str) -> Warehouse:
            database = stack.enter_context(connected(url, migrated=True))
            outside = stack.enter_context(
                closing(psycopg2.connect(url, application_name="test", client_encoding="UTF8"))
            )
            outside.autocommit = True
            return Warehouse(database, url, outside)

        yield open_


@pytest.fixture
def warehouse(database_url: str, open_warehouse: Callable[[str], Warehouse]) -> Warehouse:
    """Prepare the test's own database."""
    return open_warehouse(database_url)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait hardly at all before another try."""
    monkeypatch.setattr("warehouse.connection._FIRST_DELAY", 0.01)
    monkeypatch.setattr("put_data._FIRST_DELAY", 0.01)


@pytest.fixture
def make_role(postgres_server: PostgresServer, database_url: str) -> Iterator[Callable[..., str]]:
    """Return a function that makes a role with some rights in the test's database, and gives the URL to work as it."""
    roles: list[str] = []
    name = database_name(database_url)

    def make(*grants: str, options: str = "") -> str:
        role = f"role_{secrets.token_hex(6)}"
        roles.append(role)
        with postgres_server.administrator(name) as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE ROLE {role} LOGIN {options}")
            for grant in grants:
                cursor.execute(f"GRANT {grant} TO {role}")
        return postgres_server.url(name, role)

    yield make
    with postgres_server.administrator(name) as connection, connection.cursor() as cursor:
        for role in roles:
            cursor.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.fixture
def change_database(postgres_server: PostgresServer, database_url: str) -> Callable[[str], None]:
    """Return a function that gives the test's database another default of some setting."""

    def change(setting: str) -> None:
        with postgres_server.administrator() as connection, connection.cursor() as cursor:
            alter = sql.SQL("ALTER DATABASE {} SET {}")
            cursor.execute(alter.format(sql.Identifier(database_name(database_url)), sql.SQL(setting)))

    return change


@contextmanager
def password_needed(server: PostgresServer, role: str) -> Iterator[None]:
    """Have the server ask a role for its password; all others are let in as before."""
    with server.administrator() as connection, connection.cursor() as cursor:

        def write(text: str) -> None:
            cursor.execute("SELECT setting FROM pg_settings WHERE name = 'hba_file'")
            (path,) = cursor.fetchone() or ("",)
            lines = text.splitlines()
            cursor.execute("COPY (SELECT unnest(%s)) TO %s", (lines, path))
            cursor.execute("SELECT pg_reload_conf()")

        cursor.execute("SELECT pg_read_file(setting) FROM pg_settings WHERE name = 'hba_file'")
        (before,) = cursor.fetchone() or ("",)
        write(f"local all {role} scram-sha-256\n{before}")
        try:
            limit = time.monotonic() + 10
            with suppress(psycopg2.OperationalError):  # refused, as soon as the server has read the file
                while time.monotonic() < limit:
                    psycopg2.connect(server.url("postgres", role)).close()
            yield
        finally:
            write(before)


@contextmanager
def in_background(work: Callable[[], object]) -> Iterator[list[Any]]:
    """Do some work beside the block; yields the list that gets its result, and raises its error at the end."""
    results: list[Any] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001  (handed to the test)
            errors.append(error)
        finally:
            done.set()

    threading.Thread(target=run, daemon=True).start()
    try:
        yield results
    finally:
        assert done.wait(30), "the work in the background does not end"
    if errors:
        raise errors[0]


def press_ctrl_c() -> None:
    """Interrupt the main thread as the terminal does."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


@contextmanager
def ctrl_c(when: Callable[[], object]) -> Iterator[None]:
    """Press Ctrl-C during the block, as soon as `when` returns."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def press() -> None:
        when()
        press_ctrl_c()

    try:
        with in_background(press):
            yield
    finally:
        signal.signal(signal.SIGINT, before)


class PostgresProxy:
    """A proxy on loopback TCP in front of the server; it cuts connections where it is told to.

    `cut_at` is a part of a request. `before` tells whether the request is held back, or passed on and its answer kept
    from the client; `times` how often that happens; `refusing` how many are turned away from now on, and
    `refusing_after_cut` how many will be.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        parameters = parse_dsn(url)
        self._target = f"{parameters['host']}/.s.PGSQL.{parameters['port']}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.cut_at = b""
        self.before = False
        self.times = 0
        self.cuts = 0
        self.refusing = 0
        self.refusing_after_cut = 0
        self.accepted = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The URL by which the database is reached through the proxy."""
        port = self._listener.getsockname()[1]
        parameters = parse_dsn(self._url)
        return f"postgresql://{parameters['user']}@127.0.0.1:{port}/{parameters['dbname']}"

    def close(self) -> None:
        """Let nobody in any more."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.refusing:
                    self.refusing -= 1
                    client.close()
                    continue
                self.accepted += 1
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._target)
                threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        """Pass requests on until one is to be cut; answers are passed back beside."""
        cutting = threading.Event()

        def answers() -> None:
            with suppress(OSError):
                while data := server.recv(65_536):
                    if cutting.is_set():
                        break
                    client.sendall(data)
            _hang_up(client)

        answering = threading.Thread(target=answers, daemon=True)
        answering.start()
        with suppress(OSError), closing(client), closing(server):
            while data := client.recv(65_536):
                if self.cut_at and self.cut_at in data and self.cuts < self.times:
                    self.cuts += 1
                    self.refusing = self.refusing_after_cut
                    if not self.before:
                        cutting.set()
                        server.sendall(data)
                        answering.join(10)
                    break
                server.sendall(data)
            _hang_up(server)
            _hang_up(client)
            answering.join(10)


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(database_url: str) -> Iterator[PostgresProxy]:
    """Put a proxy in front of the test's database."""
    proxy = PostgresProxy(database_url)
    yield proxy
    proxy.close()


@dataclass
class FakePostgres:
    """A peer that only greets: it answers the client's first message by an error, or asks it into TLS.

    `told` is what clients sent in plain text; `inside` what they sent through TLS.
    """

    port: int = 0
    greetings: int = 0
    told: bytes = b""
    inside: bytes = b""

    def url(self, query: str = "sslmode=disable") -> str:
        """Return a URL that leads here."""
        return f"postgresql://etl:canary-password@127.0.0.1:{self.port}/events?{query}"


@contextmanager
def fake_postgres(
    *refusals: tuple[str, bytes], tls: ssl.SSLContext | None = None, encrypts: bool = False
) -> Iterator[FakePostgres]:
    """Run a peer that refuses clients: by SQLSTATE and text (the last one for ever), or in the handshake of TLS."""
    fake = FakePostgres()

    def greet(client: socket.socket) -> None:
        first = client.recv(1_000)
        fake.told += first
        if re.match(rb"\x00\x00\x00\x08\x04\xd2\x16\x2f", first):  # SSLRequest
            client.sendall(b"S" if encrypts else b"N")
            if tls:
                with tls.wrap_socket(client, server_side=True) as inner:
                    fake.inside += inner.recv(1_000)
            else:
                fake.told += client.recv(1_000)
            return
        code, text = refusals[min(fake.greetings, len(refusals)) - 1]
        parts = (b"SFATAL", b"VFATAL", b"C" + code.encode(), b"M" + text)
        body = b"".join(part + b"\x00" for part in parts) + b"\x00"
        client.sendall(b"E" + (len(body) + 4).to_bytes(4, "big") + body)
        client.recv(1_000)

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                fake.greetings += 1
                with closing(client), suppress(OSError):
                    greet(client)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        fake.port = listener.getsockname()[1]
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield fake
        _hang_up(listener)
    thread.join(5)
