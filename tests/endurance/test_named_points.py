"""SIGKILL between any two effects of a run: statements, requests, files, commits, the steps of the letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.effects import points
from tests.support.endurance import WITHOUT_PICTURES, Arena
from tests.support.figures import TORTURE, TellFigures
from tests.support.ready_source import make_day
from tests.support.stage import LANGUAGES, Stage
from tests.support.watcher import Watcher, rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.effects import Effect
    from tests.support.google import GoogleStandIn
    from tests.support.smtp import SmtpServer

EVENTS = 300
PARTS = 4
SUITE = "SIGKILL between any two effects"
EXPECTED = (
    "sql ledger/running_days",
    "sql ledger/begin",
    "GET statistics",
    "COPY load/",
    "COMMIT",
    "sql ledger/loaded",
    "sql statistics/in_full",
    "sql revisions/record",
    "rename to .html",
    "rename to .xlsx",
    "rename to index.html",
    "POST …:batchUpdate",
    "sql publications/record",
    "sql outbox/record",
    "mail DATA",
    "mail, the last line",
    "sql ledger/finish",
    "the end",
)
"""Effects that there have to be, whatever else a run does: should one not be heard any more, this suite is deaf."""


def effects_of(stage: Stage) -> list[Effect]:
    """Return the effects of a run, those before which it is to be killed."""
    stage.clear()
    noted = stage.arena.folder / "effects"
    stage.arena.run(prepare=(("tests.support.effects:note_effects", str(noted)),))
    found = points(noted)
    names = [name for name, _ in found]
    assert [each for each in EXPECTED if not any(name.startswith(each) for name in names)] == []
    return found


def kill_there_and_run_again(stage: Stage, effect: Effect, language: str, watcher: Watcher) -> bool:
    """Kill a run before an effect, look at everything, run it again, look at everything; tell whether it had loaded."""
    arena = stage.arena
    stage.clear()
    with watcher.expecting(stage.old, stage.new):
        run = arena.start(prepare=(("tests.support.effects:kill_before", list(effect)),), CURR_LANG=language)
        assert run.wait() == -9, (effect, run.told)
        arena.wait_until_alone()
        committed = bool(arena.seen().loads)
        assert arena.digest() == (stage.whole if committed else stage.empty)
        stage.check_after_kill(language, committed=committed)
        sent, begun = len(stage.mail.messages), stage.begun()
        arena.run(CURR_LANG=language)
    assert watcher.mixed == []
    stage.check_after_repeat(language, sent=sent, begun=begun)
    return committed


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(PARTS))
def test_kill_between_any_two_effects_is_made_good_by_another_run(
    arena: Arena, google: GoogleStandIn, smtp_server: Callable[..., SmtpServer], figures: TellFigures, part: int
) -> None:
    """Killed before any effect of a run: tables, sheet, reports and letter end as those of an uninterrupted one."""
    stage = Stage(arena, google, smtp_server("none"), EVENTS)
    effects = effects_of(stage)
    committed = []
    with Watcher(arena.url) as watcher:
        for number, effect in enumerate(effects):
            if number % PARTS == part:
                language = LANGUAGES[number // PARTS % 2]
                committed.append(kill_there_and_run_again(stage, effect, language, watcher))
        figures(
            SUITE,
            kills=len(committed),
            before_the_commit=committed.count(False),
            after_the_commit=committed.count(True),
            polls=watcher.polls,
            mixed_states=0,
        )


@pytest.mark.slow
@pytest.mark.timeout(600 * TORTURE)
def test_kill_between_any_two_steps_of_the_first_run_ever_is_made_good(arena: Arena, figures: TellFigures) -> None:
    """Killed while the tables are made for the first time: the next run makes what is missing and loads its day."""
    arena.prepare.append(WITHOUT_PICTURES)
    arena.source.serve(make_day(EVENTS))
    arena.run()
    whole = arena.digest()

    def begin_anew() -> None:
        arena.tidy()
        rows(arena.outside, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")

    begin_anew()
    noted = arena.folder / "effects"
    arena.run(prepare=(("tests.support.effects:note_effects", str(noted)),))
    found = points(noted)
    names = [name for name, _ in found]
    steps = found[: names.index("sql ledger/begin") + 1]
    assert sum("migrations/" in name for name in names) >= 2

    for effect in steps:
        begin_anew()
        run = arena.start(prepare=(("tests.support.effects:kill_before", list(effect)),))
        assert run.wait() == -9, (effect, run.told)
        arena.wait_until_alone()
        arena.run()
        assert arena.digest() == whole, effect

    figures(SUITE, kills=len(steps), before_the_commit=len(steps))
