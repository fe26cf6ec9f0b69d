"""Long work inside PostgreSQL that Ctrl-C can break off: libpq hears no signal while it waits for an answer."""

from __future__ import annotations

import math
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from warehouse.connection import Database

_POLL: Final = 0.2
_PATIENCE: Final = 10.0
"""Seconds that PostgreSQL has to heed a cancel before the connection is cut."""

_Result = TypeVar("_Result")


class Background(Generic[_Result]):
    """Work with a database in a thread of its own; the connection is the thread's until the end."""

    def __init__(self, database: Database, work: Callable[[], _Result]) -> None:
        self._database = database
        self._work = work
        self._results: list[_Result] = []
        self._errors: list[BaseException] = []
        self._done = threading.Event()

    @property
    def is_done(self) -> bool:
        """Whether the work has ended, well or not."""
        return self._done.is_set()

    def start(self) -> None:
        """Begin the work."""
        threading.Thread(target=self._run, name="database", daemon=True).start()

    def result(self, limit: float = math.inf) -> _Result:
        """Wait for the end of the work, and return what it has come to or raise its error.

        Raises:
            TimeoutError: it has not come to an end in so many seconds.
        """
        end = time.monotonic() + limit
        while not self._done.wait(_POLL):  # join() would not do: interrupted, it takes a living thread for a dead one
            if time.monotonic() > end:
                raise TimeoutError
        if self._errors:
            raise self._errors[0]
        return self._results[0]

    def end(self) -> None:
        """Have the work end, and wait for that; a second Ctrl-C has to wait, too."""
        limit = time.monotonic() + _PATIENCE
        while not self._done.is_set():
            with suppress(BaseException):
                if self._done.wait(_POLL):
                    break
                if time.monotonic() < limit:
                    self._database.cancel()  # again and again: it may be between two statements
                else:
                    self._database.cut()

    def _run(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:  # noqa: BLE001  (handed to the thread that waits)
            self._errors.append(error)
        finally:
            self._done.set()


def interruptible(database: Database, work: Callable[[], _Result], limit: float = math.inf) -> _Result:
    """Do some work with a database in a thread, and cancel its statement when the waiting is interrupted.

    An interruption is passed on only when the work is over.

    Raises:
        TimeoutError: the work was broken off after so many seconds.
    """
    background = Background(database, work)
    background.start()
    try:
        return background.result(limit)
    except BaseException:
        background.end()  # at once where the error is the work's own
        raise
