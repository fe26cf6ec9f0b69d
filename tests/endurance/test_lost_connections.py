"""PostgreSQL goes away in every way that it can: a backend ended, the server stopped at once, a connection cut."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import time
from collections import Counter
from contextlib import ExitStack
from itertools import cycle
from typing import TYPE_CHECKING

import pytest

from tests.support.cutting_proxy import CuttingProxy, Way
from tests.support.endurance import IMPATIENT, WITHOUT_PICTURES, Arena, Moments, warm_up
from tests.support.figures import TORTURE, TellFigures, times
from tests.support.postgres import CARELESS, postgres_url, put_out_with_us
from tests.support.ready_source import make_day
from tests.support.watcher import Phase, Watcher, is_loading, rows
from warehouse import embedded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.fork_server import ForkedRun

EVENTS = 10_000
PARTS = 2
TERMINATIONS = times(100) // PARTS
STOPS = times(20)
EVENTS_OF_A_STOPPED_RUN = 20_000
EVENTS_OF_A_CUT_RUN = 20
CUTS = times(300) // PARTS

_AT_WORK = "datname = current_database() AND application_name = 'learning-events-etl'"
_CODES = {0: "ok", 1: "failed", 3: "partial"}


class Outcomes:
    """What became of runs whose connection was lost, each checked against what it said of itself."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        arena.prepare += [IMPATIENT, WITHOUT_PICTURES]
        self.old, self.empty = arena.seen(), arena.digest()
        arena.run()
        self.new, self.whole = arena.seen(), arena.digest()
        self.codes: Counter[int] = Counter()

    def check(self, run: ForkedRun) -> None:
        """Check that the run kept its word, then run it again where there is something left to do."""
        code = run.wait()
        assert code in _CODES, run.told
        self.codes[code] += 1
        arena = self.arena
        arena.wait_until_alone()
        loaded = bool(arena.seen().loads)
        assert arena.digest() == (self.whole if loaded else self.empty), run.told
        if code != 1:
            assert loaded, run.told
        elif "whether they were is unknown" not in run.told:
            assert not loaded, run.told
        if code:
            assert re.search(r"^[✗!] ", run.told, re.MULTILINE), run.told
            assert "python data_processor.py" in run.told, run.told
            arena.run()
        assert arena.digest() == self.whole
        assert arena.statuses()[-1] == "ok"
        assert "running" not in arena.statuses()

    def told(self) -> dict[str, int]:
        """Return the outcomes as figures."""
        return {name: self.codes[code] for code, name in _CODES.items()}


@pytest.mark.slow
@pytest.mark.timeout(600 * TORTURE)
@pytest.mark.parametrize("part", range(PARTS))
def test_ended_backend_costs_a_try_at_most(arena: Arena, figures: TellFigures, part: int) -> None:
    """A backend that an administrator ends at any moment: the run goes on by itself, or says that it did not."""
    arena.source.serve(make_day(EVENTS))
    outcomes = Outcomes(arena)
    ended: Counter[Phase] = Counter()
    end = f"SELECT pg_terminate_backend(pid), backend_xid IS NOT NULL FROM pg_stat_activity WHERE {_AT_WORK}"
    with Watcher(arena.url) as watcher:
        moments = Moments(watcher, part)
        while ended.total() < TERMINATIONS:
            arena.forget()
            with watcher.expecting(outcomes.old, outcomes.new):
                run = moments.start(arena)
                loaded = bool(arena.seen().loads)
                if hit := rows(arena.outside, end):
                    ended[Phase.AFTER if loaded else Phase.IN if hit[0][1] else Phase.BEFORE] += 1
                run.wait()
                if not hit:
                    moments.learn(run)
                outcomes.check(run)
            arena.tidy()
        figures(
            f"backends ended, {EVENTS:,} events a day",
            terminations=ended.total(),
            before_the_load=ended[Phase.BEFORE],
            in_the_load=ended[Phase.IN],
            after_the_load=ended[Phase.AFTER],
            **outcomes.told(),
            polls=watcher.polls,
            mixed_states=len(watcher.mixed),
        )
    assert watcher.mixed == []
    assert all(ended[phase] >= TERMINATIONS / 20 for phase in Phase), ended


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    """A PostgreSQL of the test's own, to be stopped as one likes."""
    folder = tmp_path_factory.mktemp("own")
    with put_out_with_us(folder), OwnServer(folder) as server:
        yield server
    shutil.rmtree(folder)


class OwnServer:
    """An embedded PostgreSQL that is stopped at once, and started again by whoever comes next.

    It would forget what it has committed last, were it not for the program, which wants its commits to last.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> OwnServer:
        self.url = self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self) -> str:
        """Have the server run, and recover what it has to; return the URL."""
        return postgres_url(self._stack.enter_context(embedded.running(self.folder, settings=CARELESS)))

    def stop(self, *, killed: bool) -> None:
        """Stop it at once: by SIGKILL, as if the machine had gone, or as `pg_ctl stop -m immediate` does."""
        pid = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL if killed else signal.SIGQUIT)


@pytest.mark.slow
@pytest.mark.timeout(600 * TORTURE)
def test_stopped_server_costs_a_try_at_most(
    own_server: OwnServer, make_arena: Callable[..., Arena], figures: TellFigures
) -> None:
    """PostgreSQL killed or stopped at once at any moment: after its recovery all of the day is there, or nothing."""
    arena = make_arena(own_server.url)
    warm_up(arena)
    arena.source.serve(make_day(EVENTS_OF_A_STOPPED_RUN))
    outcomes = Outcomes(arena)
    dice = random.Random(1)
    met: Counter[Phase] = Counter()
    aims = cycle(Phase)
    for number in range(STOPS):
        arena.reconnect()
        arena.forget()
        run = arena.start()
        aim = next(aims)
        wait_for(aim, arena, run)
        time.sleep(dice.uniform(0, 0.2 if aim is Phase.AFTER else 0.08))
        loaded, loading = bool(arena.seen().loads), is_loading(arena.outside)
        own_server.stop(killed=number % 2 == 0)
        if not run.is_over:
            met[Phase.AFTER if loaded else Phase.IN if loading else Phase.BEFORE] += 1
        own_server.start()
        run.wait()
        arena.reconnect()
        outcomes.check(run)
        arena.tidy()
    figures(
        f"immediate stops of PostgreSQL, {EVENTS_OF_A_STOPPED_RUN:,} events a day",
        stops=STOPS,
        before_the_load=met[Phase.BEFORE],
        in_the_load=met[Phase.IN],
        after_the_load=met[Phase.AFTER],
        **outcomes.told(),
    )
    assert met[Phase.IN] >= STOPS / 20, met


def wait_for(aim: Phase, arena: Arena, run: ForkedRun) -> None:
    """Wait until a run is in a phase, or over."""
    while not run.is_over:
        if aim is Phase.BEFORE or (aim is Phase.IN and is_loading(arena.outside)) or arena.seen().loads:
            return
        time.sleep(0.001)


@pytest.mark.slow
@pytest.mark.timeout(600 * TORTURE)
@pytest.mark.parametrize("part", range(PARTS))
def test_connection_cut_at_any_byte_costs_a_try_at_most(arena: Arena, figures: TellFigures, part: int) -> None:
    """Cut after any byte of what is asked or answered, a commit's answer included: the run ends as its word says."""
    arena.source.serve(make_day(EVENTS_OF_A_CUT_RUN))
    outcomes = Outcomes(arena)
    ways = list(Way)
    with CuttingProxy(arena.url) as proxy:
        arena.forget()
        proxy.cut_at(None)
        arena.settings["DATABASE_URL"] = proxy.url
        arena.run()
        total = dict(proxy.passed)
        cuts = 0
        for number in range(CUTS):
            place = number * PARTS + part
            way = ways[place % len(ways)]
            arena.forget()
            proxy.cut_at(way, total[way] * place // (CUTS * PARTS))
            run = arena.start()
            run.wait()
            cuts += proxy.cuts
            outcomes.check(run)
            arena.tidy()
    figures(
        "connections to PostgreSQL cut at a byte",
        cuts=cuts,
        **outcomes.told(),
        most_bytes_between_two_cuts=max(total.values()) * len(ways) / (CUTS * PARTS),
    )
    assert cuts >= CUTS * 0.95
