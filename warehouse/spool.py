"""Keeps a day's events on their way from fetch to load, in the form that PostgreSQL's COPY takes.

One thread adds what was fetched while another copies it into the database, from the beginning and, should the load
have to begin again, from the beginning once more. What waits here lies in memory while it is small, then in an unnamed
temporary file that only this process can reach. The memory of the program does not grow with the day.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from exceptions import EtlError
from warehouse.binary_copy import BEGIN, END

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from types import TracebackType

    from app_types import Batch, Rejected


_IN_MEMORY: Final = 1024 * 1024
_ENOUGH_TO_BEGIN: Final = 1024 * 1024
"""Bytes; a smaller day is fetched whole before the database is asked for anything."""
_PART: Final = 4 * 1024 * 1024
"""Bytes, or more: PostgreSQL compares so many rows without the help of its disk."""


class AbandonedError(Exception):
    """Nothing more will come: the fetch has failed or was broken off."""


class Spool:
    """The events and the rejected ones of one fetch."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._whole = False
        self._abandoned = False
        self._events = _Store(self._changed)
        self._rejected = _Store(self._changed)
        self._marks: list[tuple[int, datetime]] = []
        self.received = 0
        self.rejected = 0
        self.repeated = 0
        self.defective = 0

    @property
    def loadable(self) -> int:
        """How many events are to be loaded: the valid ones, each key once."""
        return self.received - self.rejected - self.repeated

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abandon()
        self._events.close()
        self._rejected.close()

    def add(self, batch: Batch) -> None:
        """Add the events of a part of the day, which begins no earlier than the one before."""
        rejected = batch.rejected
        self.received += batch.received
        self.repeated += batch.repeated
        self.defective += batch.defective
        with self._changed:
            self._marks.append((self._events.size, batch.window.start))
        try:
            self._events.append(batch.blocks)
            rows = (_rejected_row(self.rejected + at, item) for at, item in enumerate(rejected))
            self._rejected.append([b"".join(rows)])
        except OSError as error:
            raise EtlError(
                "The fetched events cannot be kept in the folder for temporary files, %(folder)s: %(cause)s.",
                remedy="Free some space there, or set TMPDIR to another folder, and run the day again.",
                folder=tempfile.gettempdir(),
                cause=error.strerror or type(error).__name__,
            ) from None
        self.rejected += len(rejected)

    def finish(self) -> None:
        """Tell the reader that everything is there."""
        with self._changed:
            self._whole = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Tell the reader that nothing more will come."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    def wait(self, *, whole: bool) -> None:
        """Wait until everything is there, or enough to begin with.

        Raises:
            AbandonedError: it will not come.
        """
        with self._changed:
            while not self._whole and (whole or self._events.size < _ENOUGH_TO_BEGIN):
                self._check()
                self._changed.wait()
            self._check()

    def events(self) -> Reader:
        """Return the events for binary COPY, from their beginning; reading waits for what is still to come."""
        return EventReader(self, self._events)

    def parts(self) -> Iterator[Part]:
        """Yield the events in parts, in the order of time; each is to be read to its end before the next."""
        part = Part(self, self._events, 0)
        yield part
        while part.until is not None:
            part = Part(self, self._events, part.position)
            yield part

    def rejected_events(self) -> Reader:
        """Return the rejected events as COPY text, from their beginning."""
        return Reader(self, self._rejected)

    def read(self, store: _Store, position: int, size: int, limit: Callable[[], tuple[int, bool]]) -> bytes:
        """Return what comes next in a store, nothing at the end.

        Args:
            store: what to read.
            position: where.
            size: up to so many bytes; negative for all that is there.
            limit: returns up to where may be read by now, and whether nothing is to be read behind that.

        Raises:
            AbandonedError: the rest will not come.
        """
        with self._changed:
            end, is_last = limit()
            while position >= end and not is_last:
                self._check()
                self._changed.wait()
                end, is_last = limit()
            self._check()
            left = end - position
            return store.read(position, left if size < 0 else min(size, left))

    def end(self, store: _Store) -> tuple[int, bool]:
        """Return how much is there by now, and whether that is all."""
        return store.size, self._whole

    def mark_behind(self, position: int) -> tuple[int, datetime] | None:
        """Return the first place from a position on where a part of the day began, and which moment it began with."""
        return next((mark for mark in self._marks if mark[0] >= position), None)

    def _check(self) -> None:
        if self._abandoned and not self._whole:
            raise AbandonedError


class Reader:
    """A file for COPY, read from a place to where the fetch ends."""

    def __init__(self, spool: Spool, store: _Store, begin: int = 0) -> None:
        self._spool = spool
        self._store = store
        self.position = begin

    def read(self, size: int = -1) -> bytes:
        """Return up to so many bytes, waiting for the first of them; nothing at the end."""
        data = self._spool.read(self._store, self.position, size, self._limit)
        self.position += len(data)
        return data

    def _limit(self) -> tuple[int, bool]:
        return self._spool.end(self._store)


class EventReader(Reader):
    """Events as a file for binary COPY, with what has to stand around their rows."""

    def __init__(self, spool: Spool, store: _Store, begin: int = 0) -> None:
        super().__init__(spool, store, begin)
        self._begin, self._end = BEGIN, END

    def read(self, size: int = -1) -> bytes:
        """Return about so many bytes, waiting for the first row; nothing at the end."""
        data = super().read(size)
        if not data:
            data, self._end = self._end, b""
        begin, self._begin = self._begin, b""
        return begin + data


class Part(EventReader):
    """A part of the events, as a file for COPY that ends where some window ended.

    `until` is the moment before which nothing comes after it: known when it is read, and None for the last part.
    """

    def __init__(self, spool: Spool, store: _Store, begin: int) -> None:
        super().__init__(spool, store, begin)
        self._enough = begin + _PART
        self.until: datetime | None = None

    def _limit(self) -> tuple[int, bool]:
        if mark := self._spool.mark_behind(self._enough):
            end, self.until = mark
            return end, True
        return super()._limit()


class _Store:
    """Bytes that are appended by one thread and read by another."""

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  (closed by the spool)
        self.size = 0

    def append(self, blocks: Sequence[bytes]) -> None:
        """Append all of them, or nothing that a reader gets to see."""
        with self._changed:
            self._file.seek(self.size)
            for block in blocks:
                self._file.write(block)
            self._file.flush()
            self.size += sum(map(len, blocks))
            self._changed.notify_all()

    def read(self, position: int, size: int) -> bytes:
        self._file.seek(position)
        return self._file.read(size)

    def close(self) -> None:
        with suppress(OSError):  # what a full disk did not take is of no use any more
            self._file.close()


def _rejected_row(number: int, rejected: Rejected) -> bytes:
    """Write a rejected event with its place; its text is ASCII JSON, so only backslashes need an escape."""
    digest = hashlib.sha256(rejected.raw.encode()).hexdigest()
    raw = rejected.raw.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    return f"{number}\t{rejected.reason.value}\t\\\\x{digest}\t{raw}\n".encode()
