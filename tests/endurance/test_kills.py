"""SIGKILL at any moment: whatever was killed, running it again gives what an uninterrupted run would have given."""

from __future__ import annotations

import random
import time
from collections import Counter
from itertools import cycle
from typing import TYPE_CHECKING

import pytest

from tests.support.endurance import WITHOUT_PICTURES, Arena, Moments
from tests.support.figures import TORTURE, TellFigures, times
from tests.support.ready_source import Version, make_day
from tests.support.stage import Stage
from tests.support.watcher import Phase, Seen, Watcher, is_loading

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.google import GoogleStandIn
    from tests.support.smtp import SmtpServer

EVENTS = 20_000
PARTS = 10
KILLS = times(300) // PARTS
CAUGHT = 9
_SIGKILLED = -9


class Killer:
    """Kills runs at moments that are spread over all they do, and counts in which phase it met them."""

    def __init__(self, arena: Arena, watcher: Watcher, seed: int) -> None:
        self.met: Counter[Phase] = Counter()
        self.moments = Moments(watcher, seed)
        self._arena = arena

    def kill(self, old: Seen) -> Phase | None:
        """Run the program and kill it at some moment; return where it stood, None where it was over already."""
        run = self.moments.start(self._arena)
        loading = is_loading(self._arena.outside)
        if run.kill() != _SIGKILLED:
            assert run.code == 0, run.told
            self.moments.came_late()
            return None
        self._arena.wait_until_alone()
        committed = self._arena.seen().loads > old.loads
        phase = Phase.AFTER if committed else Phase.IN if loading else Phase.BEFORE
        self.met[phase] += 1
        return phase


def check_spread(met: Counter[Phase]) -> None:
    """Check that the kills did not all come too early, or too late, to prove anything."""
    kills = met.total()
    assert met[Phase.BEFORE] >= kills / 10, met
    assert met[Phase.IN] >= 1, met
    assert met[Phase.AFTER] >= kills / 10, met


def tell(figures: TellFigures, killer: Killer, watcher: Watcher) -> None:
    """Tell the figures of a part, and check them."""
    figures(
        f"SIGKILL at random moments, {EVENTS:,} events a day",
        kills=killer.met.total(),
        before_the_load=killer.met[Phase.BEFORE],
        in_the_load=killer.met[Phase.IN],
        after_the_load=killer.met[Phase.AFTER],
        polls=watcher.polls,
        mixed_states=len(watcher.mixed),
    )
    assert watcher.mixed == []
    check_spread(killer.met)


@pytest.mark.slow
@pytest.mark.timeout(900 * TORTURE)
@pytest.mark.parametrize("part", range(PARTS // 2 - 1))
def test_killed_first_load_and_another_run_are_as_one_uninterrupted(
    arena: Arena, figures: TellFigures, part: int
) -> None:
    """A day that was never loaded: after each kill nothing or all of it is there, after another run all of it."""
    arena.source.serve(make_day(EVENTS))
    old, empty = arena.seen(), arena.digest()
    arena.run()
    new, whole = arena.seen(), arena.digest()
    with Watcher(arena.url) as watcher:
        killer = Killer(arena, watcher, seed=part)
        arena.forget()
        with watcher.expecting(old, new):
            killer.moments.learn(arena.run())

        while killer.met.total() < KILLS:
            arena.forget()
            with watcher.expecting(old, new):
                if (phase := killer.kill(old)) is None:
                    continue
                assert arena.digest() == (whole if phase is Phase.AFTER else empty)
                watcher.begin_run()
                again = arena.run(prepare=(WITHOUT_PICTURES,))
                if phase is not Phase.AFTER:
                    killer.moments.learn(again)
            assert arena.digest() == whole
            assert "running" not in arena.statuses()
            assert arena.statuses()[-1] == "ok"
            arena.tidy()

        tell(figures, killer, watcher)


@pytest.mark.slow
@pytest.mark.timeout(900 * TORTURE)
@pytest.mark.parametrize("part", range(PARTS // 2))
def test_killed_correction_and_another_run_are_as_one_uninterrupted(
    arena: Arena, figures: TellFigures, part: int
) -> None:
    """A day that the source has corrected: after each kill it is all as before or all corrected, then all corrected."""
    arena.prepare.append(WITHOUT_PICTURES)
    told = {version: make_day(EVENTS, version) for version in ("A", "B")}
    whole: dict[Version, str] = {}
    content: dict[Version, Seen] = {}
    versions: cycle[Version] = cycle(("A", "B"))
    with Watcher(arena.url) as watcher:
        killer = Killer(arena, watcher, seed=100 + part)
        for _ in range(4):  # by the third time the table holds all that either version brings
            version = next(versions)
            arena.source.serve(told[version])
            arena.run()
            whole[version], content[version] = arena.digest(), arena.seen()
        for _ in range(2):
            version = next(versions)
            arena.source.serve(told[version])
            with watcher.expecting(arena.seen(), content[version]):
                killer.moments.learn(arena.run())

        while killer.met.total() < KILLS:
            version = next(versions)
            before: Version = "B" if version == "A" else "A"
            arena.source.serve(told[version])
            old = arena.seen()
            with watcher.expecting(old, content[version]):
                if (phase := killer.kill(old)) is None:
                    continue
                assert arena.digest() == whole[version if phase is Phase.AFTER else before]
                watcher.begin_run()
                again = arena.run()
                if phase is not Phase.AFTER:
                    killer.moments.learn(again)
            assert arena.digest() == whole[version]
            assert "running" not in arena.statuses()
            arena.tidy()

        tell(figures, killer, watcher)


@pytest.mark.slow
@pytest.mark.timeout(900 * TORTURE)
def test_killed_run_with_sheet_and_letter_and_another_run_are_as_one_uninterrupted(
    arena: Arena, google: GoogleStandIn, smtp_server: Callable[..., SmtpServer], figures: TellFigures
) -> None:
    """With all that a run can do: besides, the sheet is drawn in the end, and nobody gets two letters."""
    stage = Stage(arena, google, smtp_server("none"), EVENTS)
    with Watcher(arena.url) as watcher:
        killer = Killer(arena, watcher, seed=200)
        stage.clear()
        with watcher.expecting(stage.old, stage.new):
            killer.moments.learn(arena.run())

        while killer.met.total() < KILLS:
            stage.clear()
            with watcher.expecting(stage.old, stage.new):
                if (phase := killer.kill(stage.old)) is None:
                    continue
                committed = phase is Phase.AFTER
                assert arena.digest() == (stage.whole if committed else stage.empty)
                stage.check_after_kill("ENGLISH", committed=committed)
                sent, begun = len(stage.mail.messages), stage.begun()
                arena.run()
            stage.check_after_repeat("ENGLISH", sent=sent, begun=begun)

        tell(figures, killer, watcher)


@pytest.mark.slow
def test_loader_that_commits_row_by_row_is_caught(arena: Arena, figures: TellFigures) -> None:
    """The suite is worth something: such a loader leaves partial days, and its readers see them."""
    arena.program = "tests.support.naive_loader:main"
    arena.source.serve(make_day(3_000))
    old, empty = arena.seen(), arena.digest()
    arena.run()  # once more than is measured: the first one imports what it needs
    arena.forget()
    started = time.monotonic()
    arena.run()
    length = time.monotonic() - started
    new, whole = arena.seen(), arena.digest()
    dice, partial = random.Random(1), 0
    with Watcher(arena.url) as watcher:
        for _ in range(CAUGHT):
            arena.forget()
            with watcher.expecting(old, new):
                run = arena.start()
                time.sleep(dice.uniform(0.2, 0.8) * length)
                run.kill()
                arena.wait_until_alone()
            partial += arena.digest() not in {empty, whole}
        mixed = len(watcher.mixed)
    figures("the loader that commits row by row", kills=CAUGHT, partial_days=partial, mixed_states=mixed)
    assert partial
    assert mixed
