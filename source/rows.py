"""Writes validated events as rows of PostgreSQL's binary COPY, the form in which they travel to the database.

A row is the number of its fields (16 bits), then each field: the length of its value in bytes (32 bits, -1 for null)
and the value. Numbers are big-endian. No text needs an escape, and PostgreSQL has no text to take apart: it takes such
rows in five sixths of the time. Described under "Binary Format" in PostgreSQL's documentation of COPY.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from app_types import AttemptType, Batch, Event, Rejected
from source.moments import stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from app_types import Window

FIELDS: Final = (
    "run_id",
    "user_id",
    "created_at",
    "oauth_consumer_key",
    "lis_result_sourcedid",
    "lis_outcome_service_url",
    "is_correct",
    "attempt_type",
    "defects",
)
"""What a row holds, by the names of the table's columns."""

_COUNT: Final = Struct(">h")
_LENGTH: Final = Struct(">i")
_RUN_ID: Final = Struct(">q")
_NULL: Final = _LENGTH.pack(-1)
_ARRAY: Final = Struct(">iii")
"""Number of dimensions, whether there are nulls, type of the elements."""
_DIMENSION: Final = Struct(">ii")
"""Number of elements, number of the first one."""
_TEXT_TYPE: Final = 25
"""The OID of `text`."""


def row(event: Event, run_id: int) -> bytes:
    """Write an event as a row of a run."""
    return head(run_id) + b"".join(
        (
            _field(event.user_id.encode()),
            _field(stamp(event.created_at)),
            _text(event.oauth_consumer_key),
            _text(event.lis_result_sourcedid),
            _text(event.lis_outcome_service_url),
            tail(event.is_correct, event.attempt_type, event.defects),
        )
    )


def head(run_id: int) -> bytes:
    """Write what each row of a run begins with."""
    return _COUNT.pack(len(FIELDS)) + _field(_RUN_ID.pack(run_id))


def tail(is_correct: bool | None, attempt_type: AttemptType, defects: Sequence[str] = ()) -> bytes:
    """Write the last fields of a row: result, kind and defects."""
    result = _NULL if is_correct is None else _field(bytes([is_correct]))
    return result + _field(attempt_type.value.encode()) + _field(_texts(defects))


def length(value: int) -> bytes:
    """Write the length of a field, which stands before its value."""
    return _LENGTH.pack(value)


def pack(window: Window, items: Sequence[Event | Rejected], *, run_id: int = 0, note_all: bool = False) -> Batch:
    """Pack the validated items of an answer; of several events with one key the last one counts.

    Args:
        window: what was asked for.
        items: the events of the window, in the order of the answer.
        run_id: the run that the rows name.
        note_all: have the log tell of the sound ones, too.
    """
    last = {key(item): item for item in items if isinstance(item, Event)}
    valid = sum(isinstance(item, Event) for item in items)
    return Batch(
        window=window,
        received=len(items),
        run_id=run_id,
        blocks=block(row(event, run_id) for event in last.values()),
        repeated=valid - len(last),
        defective=sum(isinstance(item, Event) and bool(item.defects) for item in items),
        noted=[
            (index, item) for index, item in enumerate(items) if note_all or isinstance(item, Rejected) or item.defects
        ],
    )


def block(rows: Iterable[bytes]) -> list[bytes]:
    """Put rows into one block, or none where there are none."""
    data = b"".join(rows)
    return [data] if data else []


def fields_in(data: bytes) -> Iterator[list[bytes | None]]:
    """Yield the fields of each row of a block."""
    place = 0
    while place < len(data):
        (count,) = _COUNT.unpack_from(data, place)
        place += _COUNT.size
        fields: list[bytes | None] = []
        for _ in range(count):
            (size,) = _LENGTH.unpack_from(data, place)
            place += _LENGTH.size
            fields.append(data[place : place + size] if size >= 0 else None)
            place += max(size, 0)
        yield fields


def key(event: Event) -> tuple[object, ...]:
    """Return what makes an event one: the source gives it no id."""
    return event.created_at, event.user_id, event.attempt_type, event.lis_result_sourcedid


def _field(value: bytes) -> bytes:
    return _LENGTH.pack(len(value)) + value


def _text(value: str | None) -> bytes:
    return _NULL if value is None else _field(value.encode())


def _texts(values: Sequence[str]) -> bytes:
    """Write an array of texts."""
    if not values:
        return _ARRAY.pack(0, 0, _TEXT_TYPE)
    return _ARRAY.pack(1, 0, _TEXT_TYPE) + _DIMENSION.pack(len(values), 1) + b"".join(_text(each) for each in values)
