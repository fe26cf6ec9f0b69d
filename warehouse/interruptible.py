"""Long work inside PostgreSQL that Ctrl-C can break off: libpq hears no signal while it waits for an answer."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from warehouse.connection import Database

_POLL: Final = 0.2
_PATIENCE: Final = 10.0
"""Seconds that PostgreSQL has to heed a cancel before the connection is cut."""

_Result = TypeVar("_Result")


def interruptible(database: Database, work: Callable[[], _Result]) -> _Result:
    """Do some work with a database in a thread, and cancel its statement when the waiting is interrupted.

    The connection is the thread's until the end, so an interruption is passed on only when the work is over.
    """
    results: list[_Result] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001  (handed to the thread that waits)
            errors.append(error)
        finally:
            done.set()

    threading.Thread(target=run, name="database", daemon=True).start()
    try:
        while not done.wait(_POLL):  # join() would not do: interrupted, it takes a living thread for a dead one
            pass
    except BaseException:
        _end(database, done)
        raise
    if errors:
        raise errors[0]
    return results[0]


def _end(database: Database, done: threading.Event) -> None:
    limit = time.monotonic() + _PATIENCE
    while not done.is_set():
        with suppress(BaseException):
            if time.monotonic() < limit:
                database.cancel()  # again and again: it may be between two statements
            else:
                database.cut()
            done.wait(_POLL)
