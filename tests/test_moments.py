"""Moments reckoned together come out as each by itself."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from source.moments import BYTES, stamp, stamps, written

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

moments = st.datetimes(timezones=st.just(UTC))
clock_times = st.lists(st.times(), max_size=50)


def moments_in(numbers: bytes) -> list[datetime]:
    """Read numbers as PostgreSQL does."""
    places = range(0, len(numbers), BYTES)
    return [
        EPOCH + timedelta(microseconds=int.from_bytes(numbers[place : place + BYTES], "big", signed=True))
        for place in places
    ]


@given(moments)
@example(EPOCH)
def test_moment_is_microseconds_since_2000(moment: datetime) -> None:
    """Whatever the year: PostgreSQL reads the moment that was meant."""
    assert moments_in(stamp(moment)) == [moment]


@given(st.lists(moments, max_size=20))
def test_moments_of_any_days_keep_their_order(drawn: list[datetime]) -> None:
    """Where days differ, each is reckoned by itself."""
    assert moments_in(stamps([written(moment) for moment in drawn])) == drawn


@given(st.dates(), clock_times)
@example(date(2023, 4, 1), [time.min, time.max, time.min, time(9, 59, 59, 999999), time(10)])
@example(date(1999, 12, 31), [time.max, time.min])
@example(date(2000, 1, 1), [time.min])
@example(date(9999, 12, 31), [time.max] * 3)
def test_moments_of_one_day_are_reckoned_together(day: date, times: list[time]) -> None:
    """No moment leaks into the next one, in any order and number."""
    drawn = [datetime.combine(day, each, UTC) for each in times]
    assert moments_in(stamps([written(moment) for moment in drawn], day.isoformat())) == drawn
