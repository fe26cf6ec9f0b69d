"""Where the endurance suites take place: a source, a database and the program in forked processes, run after run."""

from __future__ import annotations

import functools
import importlib
import os
import random
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain, cycle
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from config import DEFAULTS, OLD_NAMES
from tests.support.fork_server import PROGRAM
from tests.support.ready_source import DAY, ready_source
from tests.support.watcher import Phase, digest, look, outside, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from psycopg2.extensions import connection as Connection  # noqa: N812  (a class, whatever its name)

    from tests.support.fork_server import ForkedRun, ForkServer
    from tests.support.postgres import PostgresServer
    from tests.support.ready_source import ReadySource
    from tests.support.watcher import Seen, Watcher

Prepare = tuple[str, Any]
WITHOUT_PICTURES: Prepare = ("tests.support.fork_server:draw_nothing", None)
IMPATIENT: Prepare = (
    "tests.support.fork_server:set_values",
    {"warehouse.connection:_FIRST_DELAY": 0.05, "put_data:_FIRST_DELAY": 0.05},
)
"""Waits hardly at all before another try."""

_AT_WORK = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = 'learning-events-etl'"
)


@dataclass
class Arena:
    """The program with a source, a database and a folder of its own; `outside` is a reader's connection."""

    server: ForkServer
    source: ReadySource
    folder: Path
    url: str
    outside: Connection
    settings: dict[str, str]
    prepare: list[Prepare] = field(default_factory=list)
    program: str = PROGRAM
    _number: int = 0

    @property
    def logs(self) -> Path:
        """The folder of the logs."""
        return self.folder / "logs"

    @property
    def reports(self) -> Path:
        """The folder of the pages."""
        return self.folder / "reports"

    def environ(self, **changes: str) -> dict[str, str]:
        """Return the whole environment of a run."""
        blank = dict.fromkeys((*DEFAULTS, *OLD_NAMES), "")  # a developer's `.env` is not to stand in for anything
        passed_on = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        return {**passed_on, **blank, "HOME": str(self.folder), **self.settings, **changes}

    def start(self, *arguments: str, prepare: tuple[Prepare, ...] = (), **changes: str) -> ForkedRun:
        """Begin a run, of the day unless the arguments say otherwise.

        Args:
            arguments: of the command line.
            prepare: what is done in its process before, besides what is done for every run.
            changes: to its environment.
        """
        self._number += 1
        return self.server.start(
            self.environ(**changes),
            self.folder / f"output-{self._number}",
            *(arguments or ("--date", DAY.isoformat())),
            program=self.program,
            prepare=(*self.prepare, *prepare),
        )

    def run(self, *arguments: str, prepare: tuple[Prepare, ...] = (), code: int = 0, **changes: str) -> ForkedRun:
        """Run to the end, which is to be good unless another exit code is named."""
        run = self.start(*arguments, prepare=prepare, **changes)
        assert run.wait() == code, run.told
        return run

    def forget(self) -> None:
        """Empty every table but the one of the migrations, and the folders of what was written."""
        names = rows(self.outside, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = ", ".join(name for (name,) in names if "migrations" not in name)
        if tables:
            rows(self.outside, f"TRUNCATE {tables}")
        shutil.rmtree(self.reports, ignore_errors=True)

    def wait_until_alone(self, limit: float = 30.0) -> None:
        """Wait until PostgreSQL has noticed that a killed program is gone."""
        end = time.monotonic() + limit
        while rows(self.outside, _AT_WORK) != [(0,)]:
            assert time.monotonic() < end, "a backend of the program works on"
            time.sleep(0.005)

    def close(self) -> None:
        """Close the reader's connection."""
        self.outside.close()

    def reconnect(self) -> None:
        """Connect the reader anew, after the server was stopped; wait where it is recovering."""
        self.outside.close()
        end = time.monotonic() + 30
        while True:
            try:
                self.outside = outside(self.url)
            except psycopg2.OperationalError:
                assert time.monotonic() < end, "the server does not come up again"
                time.sleep(0.05)
            else:
                return

    def seen(self) -> Seen:
        """Return what a reader sees."""
        return look(self.outside)

    def digest(self) -> str:
        """Return a digest of both tables."""
        return digest(self.outside)

    def statuses(self) -> list[str]:
        """Return the states of all runs in the ledger, oldest first."""
        return [status for (status,) in rows(self.outside, "SELECT status FROM etl_runs ORDER BY id")]

    def tidy(self) -> None:
        """Remove logs and output of the runs so far."""
        shutil.rmtree(self.logs, ignore_errors=True)
        for path in self.folder.glob("output-*"):
            path.unlink()


class Moments:
    """Begins runs and waits for a moment to strike: drawn at random, from each phase of a run by turns.

    The moment within a phase is drawn from the length that the phase had in a run before. What counts is the phase in
    which a run is then met, not the one that was aimed at.
    """

    def __init__(self, watcher: Watcher, seed: int) -> None:
        self._watcher = watcher
        self._dice = random.Random(seed)
        self._aims: Iterator[Phase] = cycle(Phase)
        self._aim = Phase.BEFORE
        self._lengths = dict.fromkeys(Phase, 0.2)

    def learn(self, run: ForkedRun) -> None:
        """Take down how long the phases of a run were that was not interrupted; the last one as long as it ever was."""
        loading, loaded = self._watcher.loading_since, self._watcher.loaded_since
        if loading and loaded:
            self._lengths[Phase.BEFORE] = (loading - run.started) * 0.8  # it is noticed a little late
            self._lengths[Phase.IN] = loaded - loading
            self._lengths[Phase.AFTER] = max(self._lengths[Phase.AFTER], time.monotonic() - loaded)

    def start(self, arena: Arena) -> ForkedRun:
        """Begin a run and return it when the moment has come."""
        aim = self._aim = next(self._aims)
        self._watcher.begin_run()
        run = arena.start()
        while not run.is_over:
            if aim is Phase.BEFORE or (aim is Phase.IN and self._watcher.loading_since) or self._watcher.loaded_since:
                break
            time.sleep(0.002)
        time.sleep(self._dice.uniform(0, self._lengths[aim]))
        return run

    def came_late(self) -> None:
        """Aim at the same phase once more, and sooner: the run was over. Busy machines make lengths too long."""
        self._lengths[self._aim] *= 0.75
        self._aims = chain((self._aim,), self._aims)


@pytest.fixture
def make_arena(
    fork_server: ForkServer, postgres_server: PostgresServer, tmp_path: Path
) -> Iterator[Callable[..., Arena]]:
    """Return a function that makes a place for runs; given a URL, with that database instead of one of its own."""
    with ExitStack() as stack:

        def make(url: str | None = None, **settings: str) -> Arena:
            url = url or stack.enter_context(postgres_server.database())
            source = stack.enter_context(ready_source())
            folder = tmp_path / f"arena-{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            written = {
                "DATABASE_URL": url,
                "LOGS_PATH": str(folder / "logs"),
                "REPORTS_PATH": str(folder / "reports"),
                "CURR_LANG": "ENGLISH",
            }
            made = Arena(fork_server, source, folder, url, outside(url), source.environ | written | settings)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def arena(make_arena: Callable[..., Arena]) -> Arena:
    """A place for runs, whose modules are imported beforehand; its tables are made, and empty."""
    made = make_arena()
    warm_up(made)
    return made


_warm: set[int] = set()


def warm_up(arena: Arena, *, again: bool = False) -> None:
    """Make the tables by an uninterrupted run; the first one in this process tells what is to be imported beforehand.

    Args:
        arena: where to run; its source holds nothing, unless told otherwise.
        again: whether further settings have the program import more.
    """
    if id(arena.server) in _warm and not again:
        arena.run()
    else:
        _warm.add(id(arena.server))
        modules = arena.folder / "modules"
        run = arena.start(prepare=(("tests.support.fork_server:note_modules", str(modules)),))
        arena.server.import_what_it_needs(run, modules)
    arena.forget()
    arena.tidy()


def limit_publication(seconds: float) -> None:
    """Let the sheet take no longer than that, in the process of a run."""
    _limit("google_sheets", "publish", seconds)


def limit_letter(seconds: float) -> None:
    """Let the handing over of a letter take no longer than that, in the process of a run."""
    _limit("email_notifications", "deliver", seconds)


def _limit(module: str, name: str, seconds: float) -> None:
    """Give a stage another deadline than its own."""
    stage = importlib.import_module(module)
    setattr(stage, name, functools.partial(getattr(stage, name), deadline=seconds))
