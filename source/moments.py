"""Moments as the source writes them, `2023-04-01 12:30:00.123456`, in UTC: checked and reckoned a column at a time.

For PostgreSQL a moment is a whole number: microseconds since the beginning of the year 2000, UTC.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

BYTES: Final = 8
"""Of a moment as a number."""

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SHAPE: Final = b"0000-00-00 00:00:00.000000\n"
_TO_SHAPE: Final = bytes.maketrans(b"123456789", b"000000000")
_MINUTE, _SECOND = _SHAPE.index(b":") + 1, _SHAPE.rindex(b":") + 1
_FRACTION: Final = _SHAPE.index(b".") + 1
_PAIRS: Final = (
    (_SHAPE.index(b" ") + 1, 3_600_000_000),
    (_MINUTE, 60_000_000),
    (_SECOND, 1_000_000),
    (_FRACTION, 10_000),
    (_FRACTION + 2, 100),
    (_FRACTION + 4, 1),
)
"""Where the pairs of digits of a clock time stand, and how many microseconds one of each is."""
_DIGITS: Final = b"0123456789"
_TO_TENS: Final = bytes.maketrans(_DIGITS, bytes(range(0, 100, 10)))
_TO_ONES: Final = bytes.maketrans(_DIGITS, bytes(range(10)))


def written(moment: datetime) -> str:
    """Write a UTC moment as the source does, always with its fraction, so that the texts of moments sort like them."""
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


def are_clock_times(joined: str, count: int) -> bool:
    """Tell whether so many lines look like moments with minutes and seconds that there are, whatever their hours."""
    lines = (joined + "\n").encode("utf-8", "replace")
    if lines.translate(_TO_SHAPE) != _SHAPE * count:
        return False
    length = len(_SHAPE)
    return max(lines[_MINUTE::length]) < ord("6") and max(lines[_SECOND::length]) < ord("6")


def exists(day: str) -> bool:
    """Tell whether a day of the form YYYY-MM-DD stands in the calendar."""
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return True


def stamp(moment: datetime) -> bytes:
    """Return a moment as a number, big-endian."""
    return ((moment - _EPOCH) // _MICROSECOND).to_bytes(BYTES, "big", signed=True)


def stamps(moments: Sequence[str], day: str = "") -> bytes:
    """Return moments that exist, as `written` writes them, as numbers: `BYTES` of each, big-endian.

    Args:
        moments: in any order.
        day: the day of all of them, where it is one; then they are reckoned together.
    """
    if not day:
        return b"".join(stamp(datetime.fromisoformat(f"{moment}+00:00")) for moment in moments)
    midnight = stamp(datetime.fromisoformat(f"{day}T00:00+00:00"))
    return _clock_times("".join(moments).encode(), midnight)


def _clock_times(texts: bytes, midnight: bytes) -> bytes:
    """Reckon all moments of a day at once, as one long number in which each has its own bytes.

    No sum outgrows them: before 2000 midnight is the complement of a number larger than any clock time.
    """
    length = len(_SHAPE) - 1
    count = len(texts) // length
    total = int.from_bytes(midnight * count)
    for place, microseconds in _PAIRS:
        tens, ones = texts[place::length].translate(_TO_TENS), texts[place + 1 :: length].translate(_TO_ONES)
        pairs = (int.from_bytes(tens) + int.from_bytes(ones)).to_bytes(count)
        apart = bytearray(BYTES * count)
        apart[BYTES - 1 :: BYTES] = pairs
        total += int.from_bytes(apart) * microseconds
    return total.to_bytes(BYTES * count)
