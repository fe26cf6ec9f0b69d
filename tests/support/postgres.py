"""A real PostgreSQL: one embedded server a worker, and a fresh database for every test that asks."""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import psycopg2
import pytest
from psycopg2 import sql

from warehouse import cluster, embedded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from psycopg2.extensions import connection as Connection  # noqa: N812  (a class, whatever its name)

CARELESS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "32MB"}
"""Settings of a server whose data may be lost when the machine stops: it has no disk to wait for."""

_OURS = "test"


def postgres_url(parameters: Mapping[str, str]) -> str:
    """Return the URL of an embedded database, for `DATABASE_URL` or psycopg2."""
    query = urlencode({name: parameters[name] for name in ("host", "port", "password") if name in parameters})
    return f"postgresql://{parameters['user']}@/{parameters['dbname']}?{query}"


class PostgresServer:
    """A running server on which databases are made for tests. Its databases belong to `etl`, who is no superuser."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._parameters = parameters

    def url(self, database: str, user: str = cluster.OWNER) -> str:
        """Return the URL of a database for one of the roles: `etl`, the superuser `postgres`, or a test's own."""
        return postgres_url({**self._parameters, "dbname": database, "user": user})

    @contextmanager
    def administrator(self, database: str = "postgres") -> Iterator[Connection]:
        """Yield a superuser's connection; its statements commit by themselves."""
        parameters: dict[str, Any] = {**self._parameters, "user": cluster.ADMINISTRATOR, "dbname": database}
        with closing(psycopg2.connect(**parameters, application_name=_OURS)) as connection:
            connection.autocommit = True
            yield connection

    @contextmanager
    def database(self, options: str = "") -> Iterator[str]:
        """Make an empty database, yield its URL and drop it, whoever is still connected.

        Args:
            options: further options of `CREATE DATABASE`, such as `ENCODING 'LATIN1' TEMPLATE template0`.
        """
        name = f"test_{secrets.token_hex(6)}"
        with self.administrator() as connection, connection.cursor() as cursor:
            create = sql.SQL("CREATE DATABASE {} OWNER {} {}")
            cursor.execute(create.format(sql.Identifier(name), sql.Identifier(cluster.OWNER), sql.SQL(options)))
        try:
            yield self.url(name)
        finally:
            with self.administrator() as connection, connection.cursor() as cursor:
                cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def connections(self, database: str) -> list[str]:
        """Return what the connections to a database, other than those of the fixtures, call themselves and do."""
        with self.administrator() as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT application_name || ': ' || coalesce(state, '') || ' ' || query FROM pg_stat_activity "
                "WHERE datname = %s AND application_name <> %s",
                (database, _OURS),
            )
            return [row[0] for row in cursor.fetchall()]


@contextmanager
def put_out_with_us(folder: Path) -> Iterator[None]:
    """End the folder's server when this process ends, even if it is killed: nobody would come to find it again."""
    when_we_are_gone = 'cat; kill -QUIT "$(head -n 1 "$0")"'
    command = ["sh", "-c", when_we_are_gone, str(folder / "data" / "postmaster.pid")]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ):
        yield


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Start a server for the worker's tests; ask for it where one database is not enough."""
    folder = tmp_path_factory.mktemp("postgres")
    with put_out_with_us(folder), embedded.running(folder, settings=CARELESS) as parameters:
        yield PostgresServer(parameters)
    shutil.rmtree(folder)


@pytest.fixture
def database_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Make an empty database for one test and yield its URL."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    """Yield a connection to the test's own database, in psycopg2's usual mode: `commit` what others should see."""
    with closing(psycopg2.connect(database_url, application_name=_OURS)) as connection:
        yield connection


@pytest.fixture
def no_connection_leaked(postgres_server: PostgresServer, database_url: str) -> Iterator[None]:
    """Fail a test that leaves a connection to its database open, its own `connection` apart."""
    yield
    name = re.findall(r"/(\w+)\?", database_url)[0]
    limit = time.monotonic() + 3  # the backend of a closed connection needs a moment to go
    while left := postgres_server.connections(name):
        if time.monotonic() > limit:
            pytest.fail(f"connections left open: {left}")
        time.sleep(0.02)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that uses the server, so that `-m "not postgres"` leaves it out."""
    for item in items:
        if "postgres_server" in getattr(item, "fixturenames", ()):
            item.add_marker("postgres")
