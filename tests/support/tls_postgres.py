"""A PostgreSQL of the system, with TLS: the embedded one is built without it, and is of one version only.

Where no such server is installed, what needs it is skipped, and says so. `PG_BIN` names the folder of its programs.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import psycopg2
import pytest
import trustme
from psycopg2 import sql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import connection as Connection  # noqa: N812  (a class, whatever its name)

PASSWORD = "tls&secret/passWord+3"
ADMINISTRATOR = "postgres"
OWNER = "etl"
CAREFREE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "32MB"}
_ACCOUNT = "postgres"
"""Whom the server runs as where the tests run as root: PostgreSQL refuses that."""


def _binaries() -> Path | None:
    """Return the folder of the newest server of the system."""
    if named := os.environ.get("PG_BIN"):
        return Path(named)
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parent.parent.name))
    return found[-1].parent if found else None


@dataclass
class SystemServer:
    """A running server that speaks TLS on localhost; its certificate is for "localhost" alone."""

    folder: Path
    port: int
    authority: Path
    other_authority: Path

    def url(
        self, database: str, *, user: str = OWNER, password: str = PASSWORD, host: str = "localhost", **query: Any
    ) -> str:
        """Return the URL of a database; `query` are parameters of libpq such as `sslmode`."""
        credentials = f"{user}:{quote(password, safe='')}"
        return f"postgresql://{credentials}@{host}:{self.port}/{database}?{urlencode(query)}"

    @contextmanager
    def administrator(self, database: str = "postgres") -> Iterator[Connection]:
        """Yield a superuser's connection; its statements commit by themselves."""
        parameters: dict[str, Any] = {"host": str(self.folder), "port": self.port, "user": ADMINISTRATOR}
        with closing(psycopg2.connect(**parameters, dbname=database, application_name="test")) as connection:
            connection.autocommit = True
            yield connection

    @contextmanager
    def database(self) -> Iterator[str]:
        """Make an empty database that belongs to `etl`, and yield its name."""
        name = f"test_{os.urandom(6).hex()}"
        with self.administrator() as connection, connection.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(OWNER)))
        try:
            yield name
        finally:
            with self.administrator() as connection, connection.cursor() as cursor:
                cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextmanager
    def without_tls(self) -> Iterator[None]:
        """Have the server offer no TLS for a while."""
        for value in ("off", "on"):
            with self.administrator() as connection, connection.cursor() as cursor:
                cursor.execute(f"ALTER SYSTEM SET ssl = {value}")
                cursor.execute("SELECT pg_reload_conf()")
            self._wait_for_tls(value)
            if value == "off":
                yield

    def _wait_for_tls(self, value: str) -> None:
        limit = time.monotonic() + 20
        while time.monotonic() < limit:
            with self.administrator() as connection, connection.cursor() as cursor:
                cursor.execute("SHOW ssl")
                if cursor.fetchone() == (value,):
                    return
            time.sleep(0.05)
        pytest.fail(f"ssl does not become {value}")


def _run(account: str | None, *command: str | Path) -> None:
    options: dict[str, Any] = {"user": account, "group": account, "extra_groups": []} if account else {}
    subprocess.run([str(part) for part in command], check=True, capture_output=True, timeout=60, cwd="/", **options)


def _write_certificates(folder: Path, account: str | None) -> tuple[Path, Path]:
    """Give the server its certificate; return the authority that issued it, and one that did not."""
    authority, other = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(str(folder / "server.key"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "server.crt"))
    (folder / "server.key").chmod(0o600)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    other.cert_pem.write_to_path(str(folder / "other.pem"))
    if account:
        for path in folder.iterdir():
            shutil.chown(path, account, account)
    return folder / "ca.pem", folder / "other.pem"


@pytest.fixture(scope="session")
def system_server() -> Iterator[SystemServer]:
    """Run a server of the system's PostgreSQL; it takes passwords through TLS alone."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL of the system is installed (Debian: apt-get install postgresql)")
    account = _ACCOUNT if os.geteuid() == 0 else None
    # Not below pytest's own folder: that one is closed to the account.
    folder = Path(tempfile.mkdtemp(prefix="etl-tls-"))
    try:
        if account:
            shutil.chown(folder, account, account)
        data = folder / "data"
        _run(
            account,
            binaries / "initdb",
            "-D",
            data,
            "-U",
            ADMINISTRATOR,
            "-A",
            "peer",
            "-E",
            "UTF8",
            "--no-locale",
            "-N",
        )
        # Whoever may enter the folder of the socket is us.
        (data / "pg_hba.conf").write_text("local all all trust\nhostssl all all localhost scram-sha-256\n", "utf-8")
        authority, other = _write_certificates(folder, account)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings = CAREFREE | {
            "ssl": "on",
            "ssl_cert_file": f"'{folder}/server.crt'",
            "ssl_key_file": f"'{folder}/server.key'",
            "listen_addresses": "'127.0.0.1'",
            "unix_socket_directories": f"'{folder}'",
            "port": str(port),
        }
        with (data / "postgresql.conf").open("a", encoding="utf-8") as stream:
            stream.writelines(f"{name} = {value}\n" for name, value in settings.items())
        _run(account, binaries / "pg_ctl", "-D", data, "-w", "-l", folder / "server.log", "start")
        try:
            server = SystemServer(folder, port, authority, other)
            with server.administrator() as connection, connection.cursor() as cursor:
                cursor.execute(
                    sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(OWNER), sql.Literal(PASSWORD))
                )
            yield server
        finally:
            _run(account, binaries / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
