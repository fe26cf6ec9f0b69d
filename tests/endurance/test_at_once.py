"""Eight runs at once, on one day and on different days: each event once, each run right, nobody waits for ever."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.support.endurance import WITHOUT_PICTURES, Arena
from tests.support.figures import TORTURE, TellFigures, times
from tests.support.ready_source import DAY, make_day, size_of
from tests.support.watcher import Watcher, rows

if TYPE_CHECKING:
    from collections.abc import Iterable

EVENTS = 200
AT_ONCE = 8
ROUNDS = times(20)

_COUNTS = "SELECT received, loaded, updated, already_present, rejected FROM etl_runs ORDER BY loaded DESC, id"
_OVERLAPPING = (
    "SELECT count(*) FROM etl_runs AS one JOIN etl_runs AS other ON one.id < other.id "
    "AND one.started_at < other.finished_at AND other.started_at < one.finished_at"
)
_ENDED = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


def run_at_once(arena: Arena, days: Iterable[date]) -> None:
    """Start a run for each of the days at the same moment and wait for them all; each is to succeed."""
    runs = [arena.start("--date", day.isoformat(), "--no-mail") for day in days]
    for run in runs:
        assert run.wait() == 0, run.told


@pytest.mark.slow
@pytest.mark.timeout(600 * TORTURE)
def test_eight_runs_of_one_day_load_it_once(arena: Arena, figures: TellFigures) -> None:
    """Of eight runs of one day one loads it and the others find all of it there; no reader sees part of it."""
    arena.prepare.append(WITHOUT_PICTURES)
    arena.source.serve(make_day(EVENTS))
    size = size_of(EVENTS)
    old = arena.seen()
    arena.run()
    new, whole = arena.seen(), arena.digest()
    with Watcher(arena.url) as watcher:
        for _ in range(ROUNDS):
            arena.forget()
            with watcher.expecting(old, new):
                run_at_once(arena, [DAY] * AT_ONCE)
            first = (size.received, size.good, 0, size.twice, size.rejected)
            later = (size.received, 0, 0, size.good + size.twice, size.rejected)
            assert rows(arena.outside, _COUNTS) == [first, *[later] * (AT_ONCE - 1)]
            assert arena.statuses() == ["ok"] * AT_ONCE
            assert rows(arena.outside, _OVERLAPPING) == [(0,)], "two runs of one day were at work at the same time"
            assert arena.digest() == whole
            arena.tidy()
        deadlocks = rows(arena.outside, _ENDED)[0][0]
        figures(
            f"{AT_ONCE} runs of one day at once",
            rounds=ROUNDS,
            deadlocks=deadlocks,
            polls=watcher.polls,
            mixed_states=len(watcher.mixed),
        )
    assert watcher.mixed == []
    assert deadlocks == 0


@pytest.mark.slow
@pytest.mark.timeout(600 * TORTURE)
def test_eight_runs_of_different_days_load_each_day(arena: Arena, figures: TellFigures) -> None:
    """Eight runs of eight days leave what they would have left one after another."""
    arena.prepare.append(WITHOUT_PICTURES)
    days = [DAY + timedelta(days=number) for number in range(AT_ONCE)]
    arena.source.serve([event for day in days for event in make_day(EVENTS, day=day)])
    for day in days:
        arena.run("--date", day.isoformat())
    whole = arena.digest()
    size = size_of(EVENTS)
    for _ in range(ROUNDS):
        arena.forget()
        run_at_once(arena, days)
        assert rows(arena.outside, _COUNTS) == [(size.received, size.good, 0, size.twice, size.rejected)] * AT_ONCE
        assert arena.statuses() == ["ok"] * AT_ONCE
        assert arena.digest() == whole
        arena.tidy()
    deadlocks = rows(arena.outside, _ENDED)[0][0]
    figures(f"{AT_ONCE} runs of different days at once", rounds=ROUNDS, deadlocks=deadlocks)
    assert deadlocks == 0
