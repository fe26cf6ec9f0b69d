"""Reads rows of binary COPY as PostgreSQL does, written after its documentation and not after the program."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from app_types import Batch

_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class Row(NamedTuple):
    """An event as it travels to the database."""

    run_id: int
    user_id: str
    created_at: datetime
    oauth_consumer_key: str | None
    lis_result_sourcedid: str | None
    lis_outcome_service_url: str | None
    is_correct: bool | None
    attempt_type: str
    defects: tuple[str, ...]


def rows_of(batch: Batch) -> list[Row]:
    """Return the events of a batch."""
    found = _rows(BytesIO(b"".join(batch.blocks)), is_framed=False)
    assert {row.run_id for row in found} <= {batch.run_id}
    return found


def rows_in(file: bytes) -> list[Row]:
    """Return the rows of a whole file for COPY."""
    data = BytesIO(file)
    assert data.read(len(_SIGNATURE)) == _SIGNATURE
    assert _numbers(data, ">ii") == (0, 0)
    return _rows(data, is_framed=True)


def _rows(data: BytesIO, *, is_framed: bool) -> list[Row]:
    found: list[Row] = []
    while start := data.read(2):
        (count,) = struct.unpack(">h", start)
        if count == -1:
            assert is_framed
            assert data.read() == b""
            return found
        fields = [_field(data) for _ in range(count)]
        run_id, user_id, created_at, key, sourcedid, url, is_correct, attempt_type, defects = fields
        assert run_id
        assert user_id is not None
        assert created_at
        assert attempt_type
        assert defects
        found.append(
            Row(
                struct.unpack(">q", run_id)[0],
                user_id.decode(),
                _EPOCH + timedelta(microseconds=struct.unpack(">q", created_at)[0]),
                _text(key),
                _text(sourcedid),
                _text(url),
                {None: None, b"\0": False, b"\1": True}[is_correct],
                attempt_type.decode(),
                _texts(BytesIO(defects)),
            )
        )
    assert not is_framed
    return found


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _texts(data: BytesIO) -> tuple[str, ...]:
    """Read an array of texts."""
    dimensions, nulls, kind = _numbers(data, ">iii")
    assert (nulls, kind) == (0, 25)
    if not dimensions:
        return ()
    assert dimensions == 1
    number, first = _numbers(data, ">ii")
    assert first == 1
    texts = [_text(_field(data)) for _ in range(number)]
    assert data.read() == b""
    assert None not in texts
    return tuple(filter(None, texts))


def _field(data: BytesIO) -> bytes | None:
    (length,) = _numbers(data, ">i")
    if length < 0:
        assert length == -1
        return None
    value = data.read(length)
    assert len(value) == length
    return value


def _numbers(data: BytesIO, form: str) -> tuple[int, ...]:
    return struct.unpack(form, data.read(struct.calcsize(form)))
