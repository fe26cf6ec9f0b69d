"""Errands: work that may hang, done in threads of its own and waited for no longer than agreed."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Errand:
    """A piece of work under way; `trouble` says in a word what went wrong with it, once it is over."""

    def __init__(self, name: str, work: Callable[[], str | None]) -> None:
        self.name = name
        self.trouble: str | None = None
        self._work = work
        self._over = threading.Event()
        # A daemon: one that hangs must not keep the program from ending.
        threading.Thread(target=self._run, name=f"alarm-{name}", daemon=True).start()

    def wait(self, until: float) -> bool:
        """Wait for the end of the work up to a moment of the monotonic clock; tell whether it is over."""
        return self._over.wait(max(until - time.monotonic(), 0))

    def _run(self) -> None:
        try:
            self.trouble = self._work()
        except Exception as error:  # noqa: BLE001  (whatever a library raises: a word in the log, without its text)
            self.trouble = type(error).__name__
        self._over.set()


def troubles(errands: Iterable[Errand], until: float) -> dict[str, str]:
    """Wait for errands and return what went wrong, by name; one that is not over by then is late."""
    found: dict[str, str] = {}
    for errand in errands:
        trouble = errand.trouble if errand.wait(until) else "timeout"
        if trouble:
            found.setdefault(errand.name, trouble)
    return found
