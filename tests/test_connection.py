"""The connection: opened with patience where that helps, pinned, locked by the day, and silent about secrets."""

from __future__ import annotations

import ctypes
import logging
import ssl
import subprocess
import sys
import time
import traceback
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2
import pytest
import trustme

from app_types import Secret
from exceptions import DatabaseError, DayLockedError, TransientDatabaseError
from tests.support.loading import (
    APRIL_1,
    PostgresProxy,
    Warehouse,
    connected,
    ctrl_c,
    database_name,
    database_settings,
    fake_postgres,
    in_background,
    password_needed,
)
from warehouse import embedded
from warehouse.connection import Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg2.extensions import connection as Connection  # noqa: N812  (a class, whatever its name)

    from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.postgres

HOME = Path(__file__).resolve().parent.parent
APRIL_2 = date(2023, 4, 2)
PASSWORD = "canary-password"


def refused(url: str) -> DatabaseError:
    """Return the error of a connection that cannot be had."""
    with pytest.raises(DatabaseError) as caught, connected(url):
        pass
    return caught.value


# Being let in


def test_url_leads_to_the_database(database_url: str) -> None:
    """DATABASE_URL names server, role and database."""
    with connected(database_url) as database:
        assert database.rows("SELECT current_database()::text") == [(database_name(database_url),)]


def test_parts_of_libpq_lead_to_the_database(database_url: str) -> None:
    """Without a URL, libpq's own parts are taken as they were set."""
    parts = {name: Secret(str(value)) for name, value in psycopg2.extensions.parse_dsn(database_url).items()}

    with Server(database_settings(libpq=parts)) as server, server.connected() as database:
        assert database.rows("SELECT current_database()::text") == [(database_name(database_url),)]


def test_embedded_server_is_kept_while_it_is_in_use(tmp_path: Path) -> None:
    """With nothing set, the embedded PostgreSQL is started once, kept for all connections, and stopped at the end."""
    with Server(database_settings(embedded=tmp_path)) as server:
        with server.connected() as database:
            started = database.rows("SELECT pg_postmaster_start_time()")
        with server.connected() as database:
            assert database.rows("SELECT pg_postmaster_start_time()") == started
    assert embedded.exists(tmp_path)
    assert not (tmp_path / "data" / "postmaster.pid").exists()


def test_settings_of_the_url_win_over_our_defaults(database_url: str) -> None:
    """Who names time-outs or the application in the URL gets them; the encoding is ours."""
    with connected(f"{database_url}&application_name=nightly&client_encoding=LATIN1") as database:
        assert database.rows("SELECT current_setting('application_name'), current_setting('client_encoding')") == [
            ("nightly", "UTF8")
        ]


def test_wrong_password_is_told_at_once_and_nowhere_shown(
    postgres_server: PostgresServer,
    make_role: Callable[..., str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A refused login is not tried again; the password is in no log, no text, no traceback, not even its locals."""
    caplog.set_level(logging.DEBUG)
    url = make_role(options=f"PASSWORD '{PASSWORD}'")
    role = url.split("//")[1].split("@")[0]
    with password_needed(postgres_server, role):
        with connected(url.replace("@", f":{PASSWORD}@", 1)) as database:
            assert database.rows("SELECT current_user::text") == [(role,)]
        error = refused(url.replace("@", f":wrong-{PASSWORD}@", 1))

    assert str(error).startswith("PostgreSQL refused the login; nothing was loaded.")
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1
    told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    ours = told[told.index("warehouse/connection.py") :]
    assert PASSWORD not in ours + str(error) + repr(error) + repr(error.fields) + caplog.text


@pytest.mark.parametrize("missing", ["database", "role"])
def test_missing_database_or_role_is_told_at_once(
    database_url: str, missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A name that does not exist is not tried again."""
    name = database_name(database_url) if missing == "database" else "etl@"
    error = refused(database_url.replace(name, "nobody@" if missing == "role" else "nowhere", 1))

    assert str(error) == (
        "PostgreSQL has no such database or role; nothing was loaded. Check the name in DATABASE_URL."
    )
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


@pytest.mark.usefixtures("impatient")
def test_server_that_is_not_there_is_tried_a_few_times(caplog: pytest.LogCaptureFixture) -> None:
    """A refused connection is tried again, not for ever; the text says that nothing was loaded, and what to check."""
    with fake_postgres(("57P03", b"")) as fake:
        port = fake.port

    error = refused(f"postgresql://etl:{PASSWORD}@127.0.0.1:{port}/events?sslmode=disable")

    assert str(error) == (
        "PostgreSQL cannot be reached; nothing was loaded. "
        "Check that the server runs and that DATABASE_URL is right, then run the day again."
    )
    assert len([record for record in caplog.records if "Connection refused" in record.getMessage()]) == 5
    assert PASSWORD not in caplog.text


@pytest.mark.usefixtures("impatient")
def test_name_that_no_server_bears_is_tried_a_few_times(caplog: pytest.LogCaptureFixture) -> None:
    """A name that cannot be looked up may be there in a moment."""
    error = refused(f"postgresql://etl:{PASSWORD}@nowhere.invalid/events")

    assert str(error).startswith("PostgreSQL cannot be reached; nothing was loaded.")
    assert len(caplog.records) == 5


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "refusal",
    [
        ("57P03", b"the database system is starting up"),
        ("57P03", b"the database system is not yet accepting connections"),
        ("53300", b"sorry, too many clients already"),
        ("57P01", b"terminating connection due to administrator command"),
    ],
    ids=["starting", "recovering", "crowded", "shutting down"],
)
def test_server_that_is_not_ready_is_waited_for(refusal: tuple[str, bytes]) -> None:
    """A server that starts, recovers or is crowded is tried again until the tries are used up."""
    with fake_postgres(refusal) as fake:
        error = refused(fake.url())

    assert "cannot be reached" in str(error)
    assert fake.greetings == 5


@pytest.mark.usefixtures("impatient")
def test_connection_that_succeeds_in_the_end_is_used(proxy: PostgresProxy) -> None:
    """Being turned away at first does no harm."""
    proxy.refusing = 3

    with connected(proxy.url) as database:
        assert database.rows("SELECT 1") == [(1,)]


@pytest.mark.usefixtures("impatient")
def test_database_that_was_waited_for_is_not_waited_for_again(
    proxy: PostgresProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """Once a lost database did not come back in time, whoever asks next is answered at once, until it is back."""

    def asked() -> int:
        return sum(record.msg == "PostgreSQL: %s" for record in caplog.records)

    with connected(proxy.url) as database:
        proxy.refusing = 7
        for expected in (5, 6):
            with pytest.raises(DatabaseError, match="cannot be reached"):
                database.reconnect()
            assert asked() == expected

        proxy.refusing = 0
        database.reconnect()
        proxy.refusing = 3
        database.reconnect()
        assert asked() == 9


def _keeps_unreadable_texts() -> bool:
    """Tell whether an error of C whose text is not UTF-8 comes as such; early releases of Python 3.11 lose the text."""
    try:
        ctypes.pythonapi.PyErr_SetString(ctypes.py_object(OSError), b"\xf0")
    except UnicodeDecodeError:
        return True
    except OSError:
        return False
    raise AssertionError


in_code_page = pytest.mark.skipif(not _keeps_unreadable_texts(), reason="this Python loses the driver's text")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b'password authentication failed for user "etl"', "refused the login"),
        (b'no pg_hba.conf entry for host "10.0.0.1", user "etl", database "events", no encryption', "login"),
        (b'role "etl" is not permitted to log in', "refused the login"),
        (b'permission denied for database "events"', "refused the login"),
        ('пользователь "etl" не прошёл проверку подлинности (по паролю)'.encode(), "refused the login"),
        pytest.param(
            'пользователь "etl" не прошёл проверку подлинности (по паролю)'.encode("cp1251"),
            "refused the login",
            marks=in_code_page,
        ),
        ('в pg_hba.conf нет записи для компьютера "10.0.0.1"'.encode(), "refused the login"),
        ('база данных "events" не существует'.encode(), "no such database"),
        pytest.param('роль "etl" не существует'.encode("cp1251"), "no such database", marks=in_code_page),
    ],
    ids=["password", "pg_hba", "no login", "no right", "ru password", "ru Windows", "ru pg_hba", "ru name", "ru role"],
)
def test_refusal_is_understood_in_the_language_of_the_server(text: bytes, told: str) -> None:
    """A server answers a login in its own language and encoding; asking again would only repeat the refusal."""
    with fake_postgres(("28000", text)) as fake:
        error = refused(fake.url())

    assert told in str(error)
    assert fake.greetings == 1


def test_server_without_tls_gets_nothing_where_tls_is_asked_for() -> None:
    """With `sslmode=require`, a server that offers no TLS learns neither user nor password."""
    with fake_postgres(("28000", b"")) as fake:
        error = refused(fake.url("sslmode=require"))

    assert "could not be secured as sslmode asks" in str(error)
    assert fake.greetings == 1
    assert fake.told == bytes.fromhex("0000000804d2162f")


@pytest.mark.parametrize("host", ["127.0.0.1", "db.example.org"], ids=["wrong authority", "wrong host"])
def test_server_with_a_wrong_certificate_gets_nothing(tmp_path: Path, host: str) -> None:
    """With `sslmode=verify-full`, a certificate of another authority or host ends it before a word is said."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(host).configure_cert(context)
    trusted = trustme.CA() if host == "127.0.0.1" else authority
    trusted.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    with fake_postgres(("28000", b""), tls=context, encrypts=True) as fake:
        error = refused(fake.url(f"sslmode=verify-full&sslrootcert={tmp_path / 'ca.pem'}"))

    assert "could not be secured as sslmode asks" in str(error)
    assert fake.greetings == 1
    assert fake.inside == b""


# What the database must be like


def test_database_of_another_encoding_is_refused(postgres_server: PostgresServer) -> None:
    """A database that cannot hold every text is refused before anything is made in it."""
    for encoding in ("SQL_ASCII", "LATIN1"):
        with postgres_server.database(f"ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'") as url:
            assert str(refused(url)).startswith(f"The database has the encoding {encoding}; UTF8 is needed.")


def test_old_server_is_refused(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server older than what the schema needs is refused by its version."""
    monkeypatch.setattr("warehouse.connection.OLDEST_VERSION", 990_000)

    assert "is too old; 15 or newer is needed" in str(refused(database_url))


def test_read_only_database_is_told(
    warehouse: Warehouse, change_database: Callable[[str], None], database_url: str
) -> None:
    """A standby, or a database set to read only, is told as that."""
    change_database("default_transaction_read_only = on")

    with connected(database_url) as database, pytest.raises(DatabaseError, match="only allows reading"):
        database.rows("INSERT INTO etl_publications VALUES ('2023-04-01', 'full', 'mail', '', '', 1, now())")


@pytest.mark.parametrize("setting", ["timezone = 'Asia/Kolkata'", "datestyle = 'SQL, DMY'", "lock_timeout = '1ms'"])
def test_session_is_pinned(database_url: str, change_database: Callable[[str], None], setting: str) -> None:
    """Zone, style of dates and limits are ours, whatever the database's defaults are."""
    change_database(setting)

    with connected(database_url) as database:
        names = ("timezone", "datestyle", "lock_timeout", "statement_timeout", "client_connection_check_interval")
        assert [database.rows("SELECT current_setting(%(name)s)", name=name)[0][0] for name in names] == [
            "UTC", "ISO, YMD", "1min", "30min", "2s",
        ]  # fmt: skip


def test_server_that_does_not_know_a_setting_is_served(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers on Windows refuse to look after lost clients; that is no reason to refuse them."""
    monkeypatch.setattr("warehouse.connection._WHERE_SUPPORTED", {"client_connection_check_interval": "-2s"})

    with connected(database_url) as database:
        assert database.rows("SELECT current_setting('client_connection_check_interval')") == [("0",)]


def test_temporary_table_does_not_hide_ours(warehouse: Warehouse) -> None:
    """A temporary table of one of our names stands behind ours."""
    warehouse.database.rows("CREATE TEMPORARY TABLE etl_runs (id int)")

    assert warehouse.database.rows("SELECT count(process_date) FROM etl_runs") == [(0,)]


# Statements and transactions


def test_statement_commits_by_itself(warehouse: Warehouse, connection: Connection) -> None:
    """Outside a transaction, everybody sees a statement's work at once."""
    warehouse.database.rows("CREATE TABLE t (a int)")
    warehouse.database.rows("INSERT INTO t VALUES (%(a)s)", a=1)

    assert warehouse.select("SELECT a FROM t") == [(1,)]


def test_transaction_commits_at_its_end(warehouse: Warehouse) -> None:
    """The block's work is seen when it has ended, not before."""
    with warehouse.database.transaction() as cursor:
        cursor.execute("CREATE TABLE t (a int)")
        assert warehouse.select("SELECT to_regclass('t')") == [(None,)]

    assert warehouse.select("SELECT to_regclass('t')::text") == [("t",)]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(), DatabaseError("no")], ids=repr)
def test_transaction_is_rolled_back_by_any_error(warehouse: Warehouse, error: BaseException) -> None:
    """Whatever leaves the block by an error takes its work along, and comes out as it is; the connection is of use."""
    with pytest.raises(type(error)) as caught, warehouse.database.transaction() as cursor:  # noqa: PT012
        cursor.execute("CREATE TABLE t (a int)")
        raise error

    assert caught.value is error
    assert warehouse.select("SELECT to_regclass('t')") == [(None,)]
    warehouse.database.rows("CREATE TABLE t (a int)")
    assert warehouse.select("SELECT to_regclass('t')::text") == [("t",)]


def test_failed_statement_ends_the_transaction(warehouse: Warehouse) -> None:
    """After a failed statement the connection is out of the aborted transaction again."""
    with pytest.raises(DatabaseError, match="SQLSTATE 22012"), warehouse.database.transaction() as cursor:
        cursor.execute("SELECT 1/0")

    assert warehouse.database.connection.autocommit
    with warehouse.database.transaction() as cursor:
        cursor.execute("SELECT 1")


def test_connection_lost_in_a_transaction_is_one_error(warehouse: Warehouse) -> None:
    """Rolling back on a dead connection fails, too; what is told is the loss itself, which may be tried again."""
    with pytest.raises(TransientDatabaseError), warehouse.database.transaction() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    assert warehouse.database.connection.closed
    with pytest.raises(TransientDatabaseError, match="was lost"), warehouse.database.transaction():
        pass


def test_interrupt_is_not_hidden_by_a_dead_connection(warehouse: Warehouse) -> None:
    """An interrupt stays one, even where the rollback fails."""
    pid = warehouse.database.connection.info.backend_pid
    with pytest.raises(KeyboardInterrupt), warehouse.database.transaction() as cursor:  # noqa: PT012
        cursor.execute("SELECT 1")
        warehouse.select("SELECT pg_terminate_backend(%s)", pid)
        time.sleep(0.1)
        raise KeyboardInterrupt


def test_statement_on_a_lost_connection_is_run_on_a_new_one(warehouse: Warehouse) -> None:
    """A connection that died while nobody used it is opened again; the lock of the day is taken again with it."""
    with warehouse.database.locked_day(APRIL_1):
        warehouse.select("SELECT pg_terminate_backend(%s)", warehouse.database.connection.info.backend_pid)
        time.sleep(0.1)

        assert warehouse.database.rows("SELECT 1") == [(1,)]
        with connected(warehouse.url) as other, pytest.raises(DayLockedError), other.locked_day(APRIL_1, wait=0):
            pass


@pytest.mark.usefixtures("impatient")
def test_connection_that_always_dies_ends_in_an_error(database_url: str, proxy: PostgresProxy) -> None:
    """A connection that dies at every lock it takes is not opened for ever."""
    with connected(proxy.url) as database, database.locked_day(APRIL_1):
        proxy.cut_at, proxy.before, proxy.times = b"advisory_lock", True, 100
        database.connection.close()

        with pytest.raises(TransientDatabaseError):
            database.rows("SELECT 1")

    assert proxy.cuts == 1


def test_statement_that_waits_for_a_lock_too_long_is_told(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting for somebody's lock has an end."""
    warehouse.database.rows("SET lock_timeout = '50ms'")
    warehouse.outside.autocommit = False
    warehouse.execute("LOCK TABLE etl_runs")

    with pytest.raises(TransientDatabaseError, match="SQLSTATE 55P03"):
        warehouse.database.rows("SELECT count(*) FROM etl_runs")
    warehouse.outside.rollback()


def test_statement_that_takes_too_long_is_told(warehouse: Warehouse) -> None:
    """A statement that exceeds its time is ended by PostgreSQL."""
    warehouse.database.rows("SET statement_timeout = '50ms'")

    with pytest.raises(TransientDatabaseError, match="took longer than it may"):
        warehouse.database.rows("SELECT pg_sleep(5)")


def test_missing_right_is_told_and_the_log_names_the_table(
    warehouse: Warehouse, make_role: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever grants rights learns from the log which one is missing."""
    with connected(make_role()) as database, pytest.raises(DatabaseError, match="lacks a right"):
        database.rows("SELECT * FROM lms_activities")

    assert "PostgreSQL error: SQLSTATE 42501, permission denied for table lms_activities" in caplog.text


# The day's lock


def test_day_is_held_by_one_run_alone(database_url: str) -> None:
    """Who comes second to a day fails after the wait; another day is free; afterwards the day is free, too."""
    with connected(database_url) as first, connected(database_url) as second:
        with first.locked_day(APRIL_1):
            started = time.monotonic()
            with pytest.raises(DayLockedError) as caught, second.locked_day(APRIL_1, wait=0.5):
                pass
            assert 0.5 <= time.monotonic() - started < 15
            assert str(caught.value) == "Another run of 2023-04-01 is still at work. Wait until it is done."
            with second.locked_day(APRIL_2, wait=0):
                pass
        with second.locked_day(APRIL_1, wait=0):
            pass


def test_second_run_waits_for_the_first_and_goes_on(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Who waits long enough gets the day as soon as it is free; the log says once that it waits."""
    caplog.set_level(logging.INFO)
    order: list[str] = []

    def second() -> None:
        with connected(database_url) as database, database.locked_day(APRIL_1):
            order.append("second")

    with connected(database_url) as first, first.locked_day(APRIL_1), in_background(second):
        time.sleep(0.7)
        order.append("first")
        first.leave_day(APRIL_1)

    assert order == ["first", "second"]
    assert caplog.text.count("waiting for another run of 2023-04-01 to end") == 1


def test_lock_is_given_back_when_the_work_fails(database_url: str) -> None:
    """However the block ends, the day is free."""
    with connected(database_url) as first, connected(database_url) as second:
        with pytest.raises(KeyboardInterrupt), first.locked_day(APRIL_1):
            raise KeyboardInterrupt
        with second.locked_day(APRIL_1, wait=0):
            pass


def test_lock_is_given_back_where_the_connection_died(warehouse: Warehouse) -> None:
    """Leaving a day after the connection is lost is no further error."""
    with warehouse.database.locked_day(APRIL_1):
        warehouse.select("SELECT pg_terminate_backend(%s)", warehouse.database.connection.info.backend_pid)
        time.sleep(0.1)

    with connected(warehouse.url) as other, other.locked_day(APRIL_1, wait=0):
        pass


def test_lock_does_not_survive_a_transaction_that_fails(warehouse: Warehouse) -> None:
    """A rollback keeps the day: it is held from the first step of a run to its last."""
    with warehouse.database.locked_day(APRIL_1):
        with pytest.raises(DatabaseError), warehouse.database.transaction() as cursor:
            cursor.execute("SELECT 1/0")
        with connected(warehouse.url) as other, pytest.raises(DayLockedError), other.locked_day(APRIL_1, wait=0):
            pass


def test_ctrl_c_is_heard_while_waiting_for_the_day(database_url: str) -> None:
    """A wait for another run can be broken off."""
    with connected(database_url) as first, connected(database_url) as second, first.locked_day(APRIL_1):
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt), ctrl_c(lambda: time.sleep(0.3)), second.locked_day(APRIL_1):
            pass
        assert time.monotonic() - started < 15


CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from tests.support.loading import APRIL_1, connected
with connected(sys.argv[2]) as database, database.locked_day(APRIL_1):
    print("held", flush=True)
    database.rows("SELECT pg_sleep(60)")
"""


def test_lock_ends_with_a_killed_process_though_its_backend_is_busy(database_url: str) -> None:
    """PostgreSQL notices that the client is gone, ends its statement, and the day is free within seconds."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(HOME), database_url], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout
        assert child.stdout.readline() == "held\n"
    finally:
        child.kill()
        child.communicate()
    started = time.monotonic()

    with connected(database_url) as database, database.locked_day(APRIL_1, wait=30):
        assert time.monotonic() - started < 20
