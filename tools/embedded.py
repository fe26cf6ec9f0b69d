"""Runs a client program of PostgreSQL on the embedded database: to look into it, to back it up, to restore it.

    python -m tools.embedded psql
    python -m tools.embedded pg_dump --format=custom --file=events.dump
    python -m tools.embedded pg_restore --clean --if-exists --no-owner --single-transaction --dbname=etl events.dump

The server runs as long as the program does; the program finds it by libpq's own variables. The programs are those of
the wheel, so they fit the server.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from config import HOME
from exceptions import DatabaseError
from warehouse import cluster, embedded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FOLDER: Final = HOME / ".data" / "postgres"
_PROGRAMS: Final = ("psql", "pg_dump", "pg_restore")
_VARIABLES: Final = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
}


def main(arguments: Sequence[str], folder: Path = FOLDER) -> int:
    """Run a program with its arguments and return its exit code."""
    if not arguments or arguments[0] not in _PROGRAMS:
        print(f"usage: python -m tools.embedded {{{','.join(_PROGRAMS)}}} [ARGUMENT ...]", file=sys.stderr)  # noqa: T201
        return 2
    try:
        with embedded.running(folder) as server:
            environ = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
            environ |= {variable: server[name] for name, variable in _VARIABLES.items() if name in server}
            command = [cluster.Cluster(folder).program(arguments[0]), *arguments[1:]]
            return subprocess.run(command, env=environ, check=False).returncode  # noqa: S603  (one of ours, no shell)
    except DatabaseError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
