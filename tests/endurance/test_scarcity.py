"""Little memory and a full disk: a day far larger than usual, and a database that has no room for one."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.support.big_source import big_source
from tests.support.endurance import Arena, warm_up
from tests.support.events_api import gzip_bomb
from tests.support.figures import TORTURE, TellFigures
from tests.support.fork_server import HOME
from tests.support.postgres import postgres_url, put_out_with_us
from tests.support.ready_source import DAY, make_day
from tests.support.watcher import rows
from warehouse import embedded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.events_api import EventsServer
    from tests.support.postgres import PostgresServer

A_SECOND = 24  # 2,073,600 a day
MOST_MEMORY = 300_000_000
MOST_MEMORY_OF_A_BOMB = 350_000_000
"""Two answers of the greatest length that is let in, side by side, and the program itself."""
EVENTS = 20_000
ROOM = "256m"
LEFT = 4_000_000
"""Bytes that a full disk has left: not nearly enough for a day."""


WATCH = """
import json, os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stderr=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_maxrss]), file=sys.stderr)
"""
"""Started in between: a process counts the memory of the one that has started it as its own."""


def run_measured(arena: Arena, code: int = 0) -> tuple[dict[str, object], int]:
    """Run the program as a process of its own; return its JSON object and the most memory that it held, in bytes."""
    done = subprocess.run(
        [sys.executable, "-ISc", WATCH, sys.executable, "data_processor.py", "--date", DAY.isoformat(), "--json"],
        cwd=HOME,
        env=arena.environ(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    ended, memory = json.loads(done.stderr)
    assert ended == code, done.stdout
    return json.loads(done.stdout), memory * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_day_of_two_million_events_needs_little_memory(make_arena: Callable[..., Arena], figures: TellFigures) -> None:
    """A day of two million events is loaded and reported with less than 300 MB of memory in the program."""
    count = A_SECOND * 86_400
    with big_source(A_SECOND) as address:
        arena = make_arena(API_URL=address, API_DEADLINE="800")
        started = time.monotonic()
        day, memory = run_measured(arena)
        figures(
            "a day of two million events",
            events=count,
            most_megabytes=memory / 1_000_000,
            most_seconds=time.monotonic() - started,
        )
    assert (day["received"], day["loaded"], day["status"]) == (count, count, "ok")
    assert rows(arena.outside, "SELECT count(*) FROM lms_activities") == [(count,)]
    assert memory < MOST_MEMORY


@pytest.mark.slow
def test_answer_that_unpacks_without_end_needs_little_memory(
    make_arena: Callable[..., Arena], events_api: EventsServer, figures: TellFigures
) -> None:
    """A gigabyte of blanks in a few megabytes: given up in time, and never held."""
    events_api.always(gzip_bomb(1_024))
    arena = make_arena(**events_api.environ(API_ATTEMPTS="2"))

    day, memory = run_measured(arena, code=1)

    figures("an answer that unpacks to a gigabyte", most_megabytes=memory / 1_000_000)
    assert day["status"] == "failed"
    assert memory < MOST_MEMORY_OF_A_BOMB


def _administer(*command: str) -> bool:
    """Run a command that only root may; tell whether it worked."""
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    with suppress(OSError):
        return subprocess.run([*prefix, *command], check=False, capture_output=True).returncode == 0
    return False


class SmallDisk:
    """A disk of its own for a folder, in memory, that can be filled up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Leave no more room than a small day needs."""
        with self._ballast.open("wb") as file:
            while (left := shutil.disk_usage(self.folder).free - LEFT) > 0:
                file.write(b"\0" * min(left, 1_000_000))
                file.flush()

    def clean(self) -> None:
        """Make room again."""
        self._ballast.unlink()


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """Have a small disk in a folder for the time of a block."""
    folder.mkdir(mode=0o700)
    owner = folder.stat()
    options = f"size={ROOM},mode=0700,uid={owner.st_uid},gid={owner.st_gid}"
    if sys.platform != "linux" or not _administer("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)):
        pytest.skip("a small disk cannot be mounted here: that takes Linux, and root or sudo without a password")
    try:
        yield SmallDisk(folder)
    finally:
        _administer("umount", "--lazy", str(folder))


@pytest.fixture
def cramped(tmp_path: Path, postgres_server: PostgresServer) -> Iterator[tuple[str, SmallDisk]]:
    """A database whose tables lie on a small disk, the server's own files elsewhere; its URL, and the disk."""
    name = f"cramped_{secrets.token_hex(4)}"
    with small_disk(tmp_path / "disk") as disk, postgres_server.administrator() as connection:
        place = disk.folder / "tables"
        place.mkdir(mode=0o700)
        rows(connection, f"CREATE TABLESPACE {name} LOCATION '{place}'")
        try:
            with postgres_server.database(f"TABLESPACE {name}") as url:
                yield url, disk
        finally:
            rows(connection, f"DROP TABLESPACE {name}")


def fill_up_and_recover(arena: Arena, disk: SmallDisk, whole: str) -> str:
    """Load a small day, fail at a large one, make room and load that; return what the failing run told."""
    warm_up(arena)
    arena.source.serve(make_day(100))
    arena.run()
    before = arena.digest()
    arena.source.serve(make_day(EVENTS))
    disk.fill()

    told = arena.run(code=1).told

    disk.clean()
    arena.reconnect()
    assert arena.digest() == before
    assert arena.statuses()[0] == "ok"
    assert arena.statuses()[1] in {"failed", "running"}
    arena.forget()
    arena.run()
    assert arena.digest() == whole
    return told


@pytest.fixture
def whole(arena: Arena) -> str:
    """The digest of what the large day leaves where there is room."""
    arena.source.serve(make_day(EVENTS))
    arena.run()
    return arena.digest()


@pytest.mark.slow
@pytest.mark.timeout(300 * TORTURE)
def test_full_disk_of_the_database_changes_nothing_and_is_told(
    cramped: tuple[str, SmallDisk], make_arena: Callable[..., Arena], whole: str
) -> None:
    """No room for a day: nothing of it is loaded, the cause and the way out are told, the server works on."""
    url, disk = cramped

    told = fill_up_and_recover(make_arena(url), disk, whole)

    assert "The disk of the database is full." in told
    assert "Free some space and run the day again." in told


@pytest.mark.slow
@pytest.mark.timeout(300 * TORTURE)
def test_full_disk_of_the_whole_server_changes_nothing(
    tmp_path: Path, make_arena: Callable[..., Arena], whole: str
) -> None:
    """No room even for PostgreSQL's own journal, at which it stops: once there is room it recovers, and all is well."""
    settings = {"fsync": "off", "shared_buffers": "32MB", "max_wal_size": "32MB", "min_wal_size": "32MB"}
    with small_disk(tmp_path / "server") as disk, put_out_with_us(disk.folder):
        with embedded.running(disk.folder, settings=settings) as parameters:
            told = fill_up_and_recover(make_arena(postgres_url(parameters)), disk, whole)
        shutil.rmtree(disk.folder, ignore_errors=True)
    assert re.search(r"(disk of the database is full|connection to the database was lost|cannot be reached)", told)
