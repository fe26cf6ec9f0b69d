"""The connection to PostgreSQL: opened with retries, its session pinned, the lock of a day, errors made ours."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, cast

import psycopg2
from psycopg2 import errorcodes, errors, sql
from psycopg2.extensions import parse_dsn

from app_types import Secret
from exceptions import DatabaseError, DayLockedError, TransientDatabaseError
from warehouse import embedded
from warehouse.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date

    from psycopg2 import extensions

    from config import DatabaseSettings

log = logging.getLogger(__name__)

OLDEST_VERSION: Final = 150_000
_ATTEMPTS: Final = 5
_FIRST_DELAY: Final = 0.5
_LOCK_SPACE: Final = 0x4C4D53  # tells our advisory locks from those of others
_LOCK_POLL: Final = 0.2
_WAITING_ROWS: Final = 4 * 1024 * 1024
"""Bytes; the system may allow fewer."""
LOCK_WAIT: Final = 60.0
"""Seconds that a second run of a day waits for the first."""

_DEFAULTS: Final[dict[str, Any]] = {
    "connect_timeout": "10",
    "application_name": "learning-events-etl",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""Parameters of libpq that the settings may override."""
_FIXED: Final = {"client_encoding": "UTF8"}
_SESSION: Final = {
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "statement_timeout": "30min",
    "lock_timeout": "60s",
    "idle_in_transaction_session_timeout": "5min",
}
_SILENCE: Final = 2_100.0
"""Seconds until a statement without an answer is given up: PostgreSQL ends it in 30 minutes, unless it is stuck."""
_LONGEST_TRANSACTION: Final = 2 * _SILENCE
_PREPARATION: Final = 60.0
_SECOND_PREPARATION: Final = 5.0
"""Seconds; a pooler that has no second connection for us lets us wait for it."""
_WHERE_SUPPORTED: Final = {"client_connection_check_interval": "2s"}
"""Refused by servers on Windows; elsewhere it ends the backend, and the locks, of a killed run."""

_DURABLE: Final = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
_LASTING_ROLLBACK: Final = errorcodes.TRANSACTION_INTEGRITY_CONSTRAINT_VIOLATION
_TRANSIENT_CLASSES: Final = (errorcodes.CLASS_CONNECTION_EXCEPTION, errorcodes.CLASS_TRANSACTION_ROLLBACK)
_TRANSIENT: Final = frozenset(
    {
        errorcodes.LOCK_NOT_AVAILABLE,
        errorcodes.ADMIN_SHUTDOWN,
        errorcodes.CRASH_SHUTDOWN,
        errorcodes.CANNOT_CONNECT_NOW,
        errorcodes.TOO_MANY_CONNECTIONS,
        errorcodes.IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        errorcodes.IDLE_SESSION_TIMEOUT,
    }
)
_KNOWN: Final = {
    errorcodes.DISK_FULL: ("The disk of the database is full.", "Free some space and run the day again."),
    errorcodes.INSUFFICIENT_PRIVILEGE: (
        "The database role lacks a right that is needed.",
        "See the roles in docs/operations.md; the log names the table.",
    ),
    errorcodes.READ_ONLY_SQL_TRANSACTION: (
        "The database only allows reading.",
        "Check that DATABASE_URL names the primary server.",
    ),
}
_SAFE_CLASSES: Final = frozenset({"25", "3D", "3F", "40", "42", "53", "55", "57"})
"""Errors whose message holds no row data: states, missing objects, rights, resources, shutdown."""

# libpq gives no SQLSTATE for a connection that fails, and the server speaks its own language: English or Russian here.
_BAD_LOGIN: Final = (
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "is not permitted to log in",
    "permission denied for database",
    "проверку подлинности",
    "в pg_hba.conf нет записи",
    "вход в систему запрещён",
    "нет доступа к базе данных",
)
_NO_SUCH_NAME: Final = ("does not exist", "не существует")
_LOST: Final = ("SYSCALL", "closed unexpectedly", "closed the connection")


class Database:
    """One connection that can be opened again, and the lock of the day that it holds.

    Statements outside `transaction()` commit by themselves.
    """

    def __init__(
        self, parameters: Mapping[str, Secret], attempts: int = _ATTEMPTS, preparation: float = _PREPARATION
    ) -> None:
        self._parameters = dict(parameters)
        self._attempts = attempts
        self._preparation = preparation
        self._locked_day: date | None = None
        self._connection = self._open(threading.Event())

    @property
    def connection(self) -> extensions.connection:
        """The connection itself."""
        return self._connection

    def close(self) -> None:
        """Close the connection; the lock goes with it."""
        self._connection.close()

    @contextmanager
    def another(self) -> Iterator[Database]:
        """Open a second connection for the block, at the first try or not at all; it holds no lock.

        Raises:
            DatabaseError: there is none to be had, though this one may live on.
        """
        with closing(Database(self._parameters, attempts=1, preparation=_SECOND_PREPARATION)) as database:
            yield database

    def reconnect(self, stop: threading.Event | None = None) -> None:
        """Open the connection anew and take the day's lock again; once that is had, the old session is over.

        Args:
            stop: ends the waiting when another thread sets it.
        """
        stop = stop or threading.Event()
        self._connection.close()
        self._connection = self._open(stop)
        if self._locked_day is not None:
            self._take_lock(self._locked_day, LOCK_WAIT, stop)

    def cancel(self) -> None:
        """Cancel the statement that another thread has under way, if there is one."""
        with suppress(psycopg2.Error):
            self._connection.cancel()

    def cut(self) -> None:
        """Cut the connection under another thread's statement; PostgreSQL rolls back as soon as it notices."""
        _cut(self._connection)

    def rows(self, statement: str, /, **values: object) -> list[tuple[Any, ...]]:
        """Run a statement by itself and return its rows; once more where the connection had been lost.

        So it must be one that may be run twice.
        """
        try:
            return self._rows(statement, values)
        except TransientDatabaseError:
            if not self._connection.closed:
                raise
            self.reconnect()
            return self._rows(statement, values)

    def _rows(self, statement: str, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
        with typed_errors(), _in_time(self._connection, _SILENCE), self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def transaction(self) -> Iterator[extensions.cursor]:
        """Run the block in one transaction: committed at its end, rolled back when it raises.

        Raises:
            TransientDatabaseError: it can be tried again as a whole, after `reconnect` where the connection is gone.
            DatabaseError: it cannot.
        """
        with typed_errors(), _in_time(self._connection, _LONGEST_TRANSACTION):
            try:
                self._connection.autocommit = False
                with self._connection.cursor() as cursor:
                    yield cursor
                self._connection.commit()
                self._connection.autocommit = True
            except BaseException:
                self._roll_back()
                raise

    @contextmanager
    def snapshot(self, name: str | None = None) -> Iterator[tuple[extensions.cursor, str]]:
        """Read one state of the tables in the block, and return its name: with it, another connection sees the same.

        Args:
            name: of a state that another connection has open.

        Raises:
            DatabaseError: PostgreSQL failed, or does not share states (as behind some poolers).
        """
        with self.transaction() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            if name:
                cursor.execute("SET TRANSACTION SNAPSHOT %s", (name,))
            else:
                cursor.execute("SELECT pg_export_snapshot()")
                (name,) = cast("tuple[str]", cursor.fetchone())
            yield cursor, name

    def _roll_back(self) -> None:
        """Roll back; a connection that cannot is closed, and the server rolls back by itself."""
        try:
            self._connection.rollback()
            self._connection.autocommit = True
        except psycopg2.Error:
            self._connection.close()

    @contextmanager
    def locked_day(self, day: date, wait: float = LOCK_WAIT) -> Iterator[None]:
        """Hold a day for one run, from its first step to its last.

        Raises:
            DayLockedError: another run still holds the day after the wait.
        """
        self._take_lock(day, wait, threading.Event())
        self._locked_day = day
        try:
            yield
        finally:
            self._locked_day = None
            if not self._connection.closed:
                try:
                    self.leave_day(day)
                except DatabaseError:
                    self._connection.close()

    def try_day(self, day: date) -> bool:
        """Take the lock of a day if nobody else has it; give it back by `leave_day`."""
        statement = "SELECT pg_try_advisory_lock(%(space)s, %(day)s)"
        return bool(self._rows(statement, {"space": _LOCK_SPACE, "day": day.toordinal()})[0][0])

    def leave_day(self, day: date) -> None:
        """Give the lock of a day back once."""
        self._rows("SELECT pg_advisory_unlock(%(space)s, %(day)s)", {"space": _LOCK_SPACE, "day": day.toordinal()})

    def _take_lock(self, day: date, wait: float, stop: threading.Event) -> None:
        """Poll for the lock: a wait inside PostgreSQL would not hear Ctrl-C."""
        limit = time.monotonic() + wait
        told = False
        while not self.try_day(day):
            if time.monotonic() >= limit:
                raise DayLockedError(
                    "Another run of %(date)s is still at work.", remedy="Wait until it is done.", date=day
                )
            if not told:
                log.info("waiting for another run of %s to end", day.isoformat())
                told = True
            _pause(_LOCK_POLL, stop)

    def _open(self, stop: threading.Event) -> extensions.connection:
        """Connect, check what is there and pin the session; anew where the connection is lost at that."""
        attempt, attempts = 1, self._attempts
        while True:
            try:
                connection = _connect(self._parameters, stop, self._attempts)
            except DatabaseError:
                self._attempts = 1  # it was waited for long enough: who asks next gets an answer at once
                raise
            self._attempts = _ATTEMPTS
            try:
                with typed_errors(), _in_time(connection, self._preparation):
                    _prepare(connection)
            except TransientDatabaseError:
                connection.close()
                if attempt == attempts:
                    raise
                _pause(_FIRST_DELAY * 2 ** (attempt - 1), stop)
                attempt += 1
            except BaseException:
                connection.close()
                raise
            else:
                return connection


class Server:
    """PostgreSQL as the settings name it: connects to it, and keeps the embedded one running while it is in use."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._stack = ExitStack()
        self._parameters: Mapping[str, Secret] | None = None

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def connected(self) -> Iterator[Database]:
        """Open a connection for the block.

        Raises:
            DatabaseError: PostgreSQL cannot be reached, or cannot serve us.
        """
        if self._parameters is None:
            self._parameters = self._find()
        with closing(Database(self._parameters)) as database:
            info = database.connection.info
            log.info("PostgreSQL %s, database %s", _version(database.connection), info.dbname)
            yield database

    def _find(self) -> Mapping[str, Secret]:
        """Return the parameters of libpq, kept as secrets: no traceback shows them."""
        _forget_blank_variables()
        if self._settings.is_embedded:
            found = self._stack.enter_context(embedded.running(self._settings.embedded))
            return {name: Secret(value) for name, value in found.items()}
        if self._settings.url:
            return {name: Secret(str(value)) for name, value in parse_dsn(self._settings.url.reveal()).items()}
        return self._settings.libpq


def _cut(connection: extensions.connection) -> None:
    with suppress(psycopg2.Error, OSError), socket.fromfd(connection.fileno(), -1, -1) as wire:
        wire.shutdown(socket.SHUT_RDWR)


@contextmanager
def _in_time(connection: extensions.connection, seconds: float) -> Iterator[None]:
    """Cut the connection when the block takes too long: a server that is stuck does not heed its own time limits."""
    guard = threading.Timer(seconds, _cut, (connection,))
    guard.daemon = True
    guard.start()
    try:
        yield
    finally:
        guard.cancel()


def _forget_blank_variables() -> None:
    """Take `PG*` variables that are set to nothing as not set, as the settings do: libpq takes "" for a value."""
    for name in [name for name, value in os.environ.items() if name.startswith("PG") and not value.strip()]:
        del os.environ[name]


@contextmanager
def typed_errors() -> Iterator[None]:
    """Turn errors of the driver into ours; row data in their texts stays out, only the SQLSTATE is logged."""
    try:
        yield
    except psycopg2.Error as error:
        raise _typed(error) from None


def _typed(error: psycopg2.Error) -> DatabaseError:
    """Return our error for one of the driver's."""
    code = error.pgcode
    log.log(
        # cancelled on request: the operator knows; without a code the connection is lost, and that is told anyway
        logging.DEBUG if code in {errorcodes.QUERY_CANCELED, None} else logging.ERROR,
        "PostgreSQL error: SQLSTATE %s, %s",
        code or "-",
        error.diag.message_primary if code and code[:2] in _SAFE_CLASSES else "-",
    )
    if code is None:
        return TransientDatabaseError(
            "The connection to the database was lost.", remedy="Check the server and run the day again."
        )
    if code in _KNOWN:
        text, remedy = _KNOWN[code]
        return DatabaseError(text, remedy=remedy)
    if code == errorcodes.QUERY_CANCELED:
        return TransientDatabaseError("The database took longer than it may.", remedy="Run the day again later.")
    if code in _TRANSIENT or (code[:2] in _TRANSIENT_CLASSES and code != _LASTING_ROLLBACK):
        return TransientDatabaseError(
            "The database is busy or restarting (SQLSTATE %(code)s).", remedy="Run the day again.", code=code
        )
    return DatabaseError(
        "The database refused a statement (SQLSTATE %(code)s).", remedy="The log tells more.", code=code
    )


def _connect(parameters: Mapping[str, Secret], stop: threading.Event, attempts: int) -> extensions.connection:
    """Connect, and try again what may pass."""
    for attempt in range(1, attempts + 1):
        try:
            connection: extensions.connection = psycopg2.connect(
                **{**_DEFAULTS, **{name: value.reveal() for name, value in parameters.items()}, **_FIXED}
            )
        except (psycopg2.Error, UnicodeError) as error:
            text = _first_line(error)
        else:
            _widen(connection)
            return connection
        # Out here, so that the driver's error, whose frames hold the password, does not hang on ours.
        log.warning("PostgreSQL: %s", text)
        if refusal := _refusal(text):
            raise refusal
        if attempt < attempts:
            _pause(_FIRST_DELAY * 2 ** (attempt - 1), stop)
    raise DatabaseError(
        "PostgreSQL cannot be reached; nothing was loaded.",
        remedy="Check that the server runs and that DATABASE_URL is right, then run the day again.",
    )


def _widen(connection: extensions.connection) -> None:
    """Let rows wait before a local server while Python is busy; over TCP the system sees to that by itself.

    Without it PostgreSQL waits for a tenth of the time of a large load.
    """
    with suppress(OSError), socket.fromfd(connection.fileno(), -1, -1) as wire:
        if wire.family == getattr(socket, "AF_UNIX", None):
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _WAITING_ROWS)


def _pause(seconds: float, stop: threading.Event) -> None:
    """Wait, unless another thread wants an end."""
    if stop.wait(seconds):
        raise DatabaseError("The work with the database was broken off.")


def _prepare(connection: extensions.connection) -> None:
    """Refuse a server that cannot serve us, and make the session the same whatever the defaults are."""
    connection.autocommit = True
    if connection.server_version < OLDEST_VERSION:
        raise DatabaseError("PostgreSQL %(version)s is too old; 15 or newer is needed.", version=_version(connection))
    with connection.cursor() as cursor:
        cursor.execute(query("session/schema"))
        encoding, schema = cursor.fetchone() or ("", None)
        if encoding != "UTF8":
            raise DatabaseError(
                "The database has the encoding %(encoding)s; UTF8 is needed.",
                remedy="Create one with ENCODING 'UTF8'.",
                encoding=encoding,
            )
        if schema is None:
            raise DatabaseError(
                "The search_path of the database role names no schema that exists.",
                remedy="Set one, for example: ALTER ROLE … SET search_path = public.",
            )
        # Temporary tables last: otherwise one of the same name would stand before a table of ours.
        cursor.execute(sql.SQL("SET search_path TO {}, pg_temp").format(sql.Identifier(schema)))
        setting = sql.SQL("SET {} TO {}")
        for name, value in _SESSION.items():
            cursor.execute(setting.format(sql.Identifier(name), sql.Literal(value)))
        for name, value in _WHERE_SUPPORTED.items():
            with suppress(errors.InvalidParameterValue):
                cursor.execute(setting.format(sql.Identifier(name), sql.Literal(value)))
        # What we say is loaded, and the letters that tell of it, must outlive a crash of the server.
        cursor.execute(_DURABLE)


def _version(connection: extensions.connection) -> str:
    return f"{connection.server_version // 10_000}.{connection.server_version % 10_000}"


def _refusal(text: str) -> DatabaseError | None:
    """Return the error of a refusal that asking again would only repeat."""
    if any(part in text for part in _BAD_LOGIN):
        return DatabaseError(
            "PostgreSQL refused the login; nothing was loaded.", remedy="Check user and password in DATABASE_URL."
        )
    if ("certificate" in text or "SSL" in text) and not any(part in text for part in _LOST):
        return DatabaseError(
            "The connection to PostgreSQL could not be secured as sslmode asks; nothing was loaded.",
            remedy="Check sslmode and sslrootcert in DATABASE_URL.",
        )
    if any(part in text for part in _NO_SUCH_NAME):
        return DatabaseError(
            "PostgreSQL has no such database or role; nothing was loaded.", remedy="Check the name in DATABASE_URL."
        )
    return None


def _first_line(error: Exception) -> str:
    """Return what libpq says of a failed connection, without the parameters it was given."""
    # a Russian server on Windows speaks its code page before the encoding is agreed upon
    told = error.object.decode("cp1251", "replace") if isinstance(error, UnicodeDecodeError) else str(error)
    text = told.strip().splitlines()[:1]
    return text[0][:300] if text else "-"
