"""Days and windows: what part of the calendar a run covers, and how it is cut."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app_types import Day, Mode, Window
from source.windows import day_of, split

HOUR = timedelta(hours=1)
LATER = datetime(2030, 1, 1, tzinfo=UTC)
ZONES = ("UTC", "Europe/Moscow", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")


def utc(text: str) -> datetime:
    """Return a moment of UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def full_day(day: date, zone: str, now: datetime = LATER, mode: Mode = Mode.FULL) -> Day:
    """Return what a run of a day covers, long after it unless told otherwise."""
    return day_of(day, ZoneInfo(zone), mode, now)


# A day


@pytest.mark.parametrize(
    ("zone", "day", "start", "end"),
    [
        ("UTC", date(2023, 4, 1), "2023-04-01 00:00", "2023-04-02 00:00"),
        ("Europe/Moscow", date(2023, 4, 1), "2023-03-31 21:00", "2023-04-01 21:00"),
        ("Asia/Kathmandu", date(2023, 4, 1), "2023-03-31 18:15", "2023-04-01 18:15"),
        ("Europe/Berlin", date(2023, 3, 26), "2023-03-25 23:00", "2023-03-26 22:00"),
        ("Europe/Berlin", date(2023, 10, 29), "2023-10-28 22:00", "2023-10-29 23:00"),
        ("Australia/Lord_Howe", date(2023, 4, 2), "2023-04-01 13:00", "2023-04-02 13:30"),
        ("America/Sao_Paulo", date(2018, 11, 4), "2018-11-04 03:00", "2018-11-05 02:00"),
        ("America/Havana", date(2023, 11, 5), "2023-11-05 04:00", "2023-11-06 05:00"),
        ("Pacific/Apia", date(2011, 12, 30), "2011-12-30 10:00", "2011-12-30 10:00"),
    ],
    ids=[
        "UTC",
        "zone_ahead",
        "zone_of_three_quarters",
        "23_hours",
        "25_hours",
        "24_and_a_half_hours",
        "midnight_does_not_exist",
        "midnight_comes_twice",
        "day_that_was_skipped",
    ],
)
def test_day_is_the_calendar_day_of_the_zone(zone: str, day: date, start: str, end: str) -> None:
    """A day reaches from its first moment in the operator's zone to the first moment of the next day."""
    covered = full_day(day, zone)

    assert covered.window == Window(utc(start), utc(end))
    assert covered.complete


@pytest.mark.parametrize("zone", ZONES)
def test_days_of_a_year_touch(zone: str) -> None:
    """No moment of a year is in two days or in none, whatever the clocks do."""
    days = [full_day(date(2023, 1, 1) + timedelta(days=number), zone).window for number in range(365)]

    assert all(before.end == after.start for before, after in pairwise(days))
    assert days[0].start.astimezone(ZoneInfo(zone)).date() == date(2023, 1, 1)


def test_day_keeps_what_it_was_made_from() -> None:
    """Date, zone and mode travel with the window."""
    covered = full_day(date(2023, 4, 1), "Europe/Moscow", mode=Mode.TEST)

    assert (covered.date, covered.zone, covered.mode) == (date(2023, 4, 1), ZoneInfo("Europe/Moscow"), Mode.TEST)


def test_bounds_are_in_utc() -> None:
    """The source is asked in UTC, so that is what the bounds are in."""
    window = full_day(date(2023, 4, 1), "Asia/Tokyo").window

    assert window.start.tzinfo is UTC
    assert window.end.tzinfo is UTC


def test_day_that_is_not_over_reaches_up_to_now() -> None:
    """Of an unfinished day the part that has passed is covered, and it is not complete."""
    now = datetime(2023, 4, 1, 17, 30, 0, 5, tzinfo=timezone(3 * HOUR))
    covered = full_day(date(2023, 4, 1), "UTC", now)

    assert covered.window == Window(utc("2023-04-01 00:00"), utc("2023-04-01 14:30:00.000005"))
    assert not covered.complete


@pytest.mark.parametrize(
    ("now", "complete"), [("2023-04-01 23:59:59.999999", False), ("2023-04-02 00:00", True)], ids=["before", "at"]
)
def test_day_is_complete_from_its_end_on(now: str, complete: bool) -> None:
    """The day is complete at its excluded end, not a microsecond earlier."""
    assert full_day(date(2023, 4, 1), "UTC", utc(now)).complete is complete


@pytest.mark.parametrize("mode", Mode)
def test_day_that_has_not_begun_is_empty(mode: Mode) -> None:
    """Nothing of a day to come can be asked for."""
    covered = full_day(date(2023, 4, 1), "UTC", utc("2023-03-31 12:00"), mode)

    assert covered.window.empty
    assert covered.window.start == utc("2023-04-01 00:00")
    assert not covered.complete


@pytest.mark.parametrize("zone", ZONES)
def test_test_mode_covers_the_first_hour(zone: str) -> None:
    """A test takes the first hour of the day in the zone, and never counts as complete."""
    covered = full_day(date(2023, 4, 1), zone, mode=Mode.TEST)

    assert covered.window.start == full_day(date(2023, 4, 1), zone).window.start
    assert covered.window.end - covered.window.start == HOUR
    assert not covered.complete


def test_test_mode_within_the_first_hour_reaches_up_to_now() -> None:
    """A test never asks for the future."""
    covered = full_day(date(2023, 4, 1), "UTC", utc("2023-04-01 00:20"), Mode.TEST)

    assert covered.window.end == utc("2023-04-01 00:20")


# Windows


def test_window_is_half_open() -> None:
    """The start belongs to a window, the end does not."""
    window = Window(utc("2023-04-01 00:00"), utc("2023-04-01 01:00"))
    microsecond = timedelta(microseconds=1)

    assert window.start in window
    assert window.end - microsecond in window
    assert window.end not in window
    assert window.start - microsecond not in window


def test_day_is_cut_into_hours() -> None:
    """An ordinary day gives 24 windows of an hour."""
    windows = split(full_day(date(2023, 4, 1), "UTC").window, HOUR)

    assert len(windows) == 24
    assert windows[5] == Window(utc("2023-04-01 05:00"), utc("2023-04-01 06:00"))


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2023, 3, 26), 23), (date(2023, 10, 29), 25)], ids=["clocks_forward", "clocks_back"]
)
def test_days_when_the_clocks_change_are_cut_by_real_hours(day: date, hours: int) -> None:
    """A window is a real hour: a changed day has 23 or 25 of them, all of the same length."""
    windows = split(full_day(day, "Europe/Berlin").window, HOUR)

    assert [window.end - window.start for window in windows] == [HOUR] * hours


def test_last_window_may_be_shorter() -> None:
    """What does not divide evenly ends with a shorter window."""
    windows = split(Window(utc("2023-04-01 00:00"), utc("2023-04-01 00:50")), timedelta(minutes=20))

    assert [window.end.minute for window in windows] == [20, 40, 50]


def test_empty_window_has_no_parts() -> None:
    """Where there is nothing to ask for, nothing is asked."""
    noon = utc("2023-04-01 12:00")

    assert split(Window(noon, noon), HOUR) == []
    assert split(Window(noon, noon - HOUR), HOUR) == []


def test_window_at_the_end_of_the_calendar_is_cut() -> None:
    """A window may reach up to the last moment that there is."""
    last = datetime.max.replace(tzinfo=UTC)

    assert split(Window(last - HOUR / 2, last), HOUR) == [Window(last - HOUR / 2, last)]


@settings(deadline=None)
@given(
    day=st.dates(date(1970, 1, 1), date(2100, 1, 1)),
    zone=st.sampled_from(ZONES),
    minutes=st.integers(1, 1_500),
    mode=st.sampled_from(Mode),
    passed=st.timedeltas(timedelta(hours=-48), timedelta(hours=72)),
)
def test_windows_touch_and_cover_what_is_asked(
    day: date, zone: str, minutes: int, mode: Mode, passed: timedelta
) -> None:
    """Whatever the day, the zone, the length and the present: the parts are in order, touch, and cover the whole."""
    now = datetime(day.year, day.month, day.day, tzinfo=UTC) + passed
    covered = day_of(day, ZoneInfo(zone), mode, now)
    windows = split(covered.window, timedelta(minutes=minutes))

    assert covered.window.start <= covered.window.end
    assert not any(window.empty or window.end - window.start > timedelta(minutes=minutes) for window in windows)
    assert all(before.end == after.start for before, after in pairwise(windows))
    if covered.window.empty:
        assert not windows
    else:
        assert Window(windows[0].start, windows[-1].end) == covered.window
        assert covered.window.end <= now
