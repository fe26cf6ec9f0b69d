"""Keeps a day's events between fetch and load, in the form that PostgreSQL's COPY takes.

Nothing is loaded before the whole day is fetched, so it waits here: in memory while it is small, then in an unnamed
temporary file that only this process can reach. The memory of the program does not grow with the day.
"""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from app_types import Batch, Event, Rejected
from exceptions import EtlError

if TYPE_CHECKING:
    from types import TracebackType


_IN_MEMORY: Final = 16 * 1024 * 1024
_NULL: Final = "\\N"
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_CORRECT: Final = {None: _NULL, True: "t", False: "f"}


class Spool:
    """The events and the rejected ones of one fetch, in the order in which they came."""

    def __init__(self) -> None:
        self._events = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  (closed in __exit__)
        self._rejected = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
        self.received = 0
        self.rejected = 0
        self.defective = 0

    @property
    def valid(self) -> int:
        """How many events are to be loaded."""
        return self.received - self.rejected

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in (self._events, self._rejected):
            with suppress(OSError):  # what a full disk did not take is of no use any more
                file.close()

    def add(self, batch: Batch) -> None:
        """Add the events of a part of the day."""
        events: list[str] = []
        rejected: list[str] = []
        for seq, item in enumerate(batch.items, start=self.received):
            if isinstance(item, Rejected):
                rejected.append(_rejected_line(seq, item))
            else:
                events.append(_event_line(seq, item))
                self.defective += bool(item.defects)
        self.received += len(batch.items)
        self.rejected += len(rejected)
        try:
            for file, lines in ((self._events, events), (self._rejected, rejected)):
                file.write("".join(lines).encode())
                file.flush()
        except OSError as error:
            raise EtlError(
                "The fetched events cannot be kept in the folder for temporary files, %(folder)s: %(cause)s.",
                remedy="Free some space there, or set TMPDIR to another folder, and run the day again.",
                folder=tempfile.gettempdir(),
                cause=error.strerror or type(error).__name__,
            ) from None

    def events(self) -> tempfile.SpooledTemporaryFile[bytes]:
        """Return the events as COPY text, from their beginning."""
        self._events.seek(0)
        return self._events

    def rejected_events(self) -> tempfile.SpooledTemporaryFile[bytes]:
        """Return the rejected events as COPY text, from their beginning."""
        self._rejected.seek(0)
        return self._rejected


def _event_line(seq: int, event: Event) -> str:
    return (
        f"{seq}\t{_text(event.user_id)}\t{event.created_at.isoformat()}\t{_text(event.oauth_consumer_key)}"
        f"\t{_text(event.lis_result_sourcedid)}\t{_text(event.lis_outcome_service_url)}"
        f"\t{_CORRECT[event.is_correct]}\t{event.attempt_type.value}\t{{{','.join(event.defects)}}}\n"
    )


def _rejected_line(seq: int, rejected: Rejected) -> str:
    digest = hashlib.sha256(rejected.raw.encode()).hexdigest()
    return f"{seq}\t{rejected.reason.value}\t\\\\x{digest}\t{_text(rejected.raw)}\n"


def _text(value: str | None) -> str:
    """Write a text as COPY reads it; a backslash, a tab or a line end would otherwise end field, line or load."""
    return _NULL if value is None else value.translate(_ESCAPES)
