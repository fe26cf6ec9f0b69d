"""The spool: keeps what was fetched, in order, out of memory when it is much, and out of everybody's reach."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import threading
import tracemalloc
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from app_types import Defect, Event, Reason, Window
from exceptions import EtlError
from source.rows import pack
from tests.support.binary_copy import rows_in
from tests.support.loading import in_background, make_day, make_event, make_events, make_rejected
from warehouse import spool as spool_module
from warehouse.spool import AbandonedError, Reader, Spool

HOME = Path(__file__).resolve().parent.parent
WINDOW = make_day().window


def whole(reader: Reader) -> bytes:
    """Read to the end, in small pieces."""
    return b"".join(iter(lambda: reader.read(1_000), b""))


def target(file: Path) -> str:
    """Return the path of an open file."""
    try:
        return str(file.readlink())
    except FileNotFoundError:
        return ""


def test_events_are_counted_by_kind() -> None:
    """Received are all; rejected, repeated and defective ones are told apart over all answers."""
    with Spool() as spool:
        spool.add(pack(WINDOW, [make_event(), make_rejected(), make_event(defects=(Defect.PASSBACK_MISSING,))]))
        spool.add(pack(WINDOW, []))
        spool.add(pack(WINDOW, [make_rejected(), make_event("13:00:00")]))

        assert (spool.received, spool.rejected, spool.repeated, spool.defective, spool.loadable) == (5, 2, 1, 1, 2)


@pytest.mark.parametrize("at_once", [True, False], ids=["all is there", "still to come"])
def test_parts_end_where_answers_end(monkeypatch: pytest.MonkeyPatch, at_once: bool) -> None:
    """Parts are long enough, without a gap between them, and tell the moment before which nothing more comes."""
    hours = [WINDOW.start + timedelta(hours=hour) for hour in range(8)]
    answers = [pack(Window(at, at + timedelta(hours=1)), [make_event(at)]) for at in hours]
    rows = [1, 0, 1, 3, 0, 0, 1, 1]

    def add(spool: Spool) -> None:
        for answer, number in zip(answers, rows, strict=True):
            spool.add(replace(answer, blocks=[*answer.blocks] * number))
        spool.finish()

    def read(spool: Spool) -> list[tuple[int, datetime | None]]:
        return [(len(rows_in(whole(part))), part.until) for part in spool.parts()]

    with Spool() as spool:
        spool.add(answers[0])
        spool.finish()
        monkeypatch.setattr(spool_module, "_PART", 2 * sum(map(len, answers[0].blocks)))
    with Spool() as spool:
        if at_once:
            add(spool)
        with in_background(lambda: read(spool)) as results:
            if not at_once:
                add(spool)
        assert results == [[(2, hours[3]), (3, hours[4]), (2, None)]]


def test_events_and_rejected_ones_keep_their_order() -> None:
    """Rejects are numbered over all answers, so that identical ones can be told apart."""
    with Spool() as spool:
        spool.add(pack(WINDOW, [make_event(), make_rejected()]))
        spool.add(pack(WINDOW, [make_rejected(), make_event("13:00:00")]))
        spool.finish()

        assert [row.created_at.hour for row in rows_in(whole(spool.events()))] == [12, 13]
        assert [line.split(b"\t")[0] for line in whole(spool.rejected_events()).splitlines()] == [b"0", b"1"]


def test_spool_can_be_read_again() -> None:
    """Another try of the load reads everything from the beginning."""
    with Spool() as spool:
        spool.add(pack(WINDOW, [*make_events(3), make_rejected()]))
        spool.finish()

        first = whole(spool.events()), whole(spool.rejected_events())
        assert (whole(spool.events()), whole(spool.rejected_events())) == first
        assert len(rows_in(first[0])) == 3


def test_reader_follows_the_writer_to_the_end() -> None:
    """Reading begins while the rest is still to come, waits for it, and ends where the fetch ends."""
    with Spool() as spool:
        with in_background(lambda: whole(spool.events())) as results:
            for second in range(50):
                spool.add(pack(WINDOW, [make_event(f"12:00:{second:02}")]))
            spool.finish()

        (file,) = results
        assert [row.created_at.second for row in rows_in(file)] == [*range(50)]


def test_reader_of_an_abandoned_fetch_is_told_so() -> None:
    """What was fetched before an error is not a day: the reader gets an error, never an end."""
    with Spool() as spool:
        spool.add(pack(WINDOW, make_events(3)))
        reader = spool.events()
        assert reader.read(1_000_000)

        waiting = threading.Timer(0.1, spool.abandon)
        waiting.start()
        with pytest.raises(AbandonedError):
            reader.read(1)
        with pytest.raises(AbandonedError):
            spool.wait(whole=False)


def test_small_day_is_waited_for_and_a_large_one_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is asked for nothing before a small day is whole; a large one is begun earlier."""
    monkeypatch.setattr(spool_module, "_ENOUGH_TO_BEGIN", 2_000)
    with Spool() as spool:
        begun, complete = threading.Event(), threading.Event()

        def wait() -> None:
            spool.wait(whole=False)
            begun.set()
            spool.wait(whole=True)
            complete.set()

        with in_background(wait):
            spool.add(pack(WINDOW, [make_event()]))
            assert not begun.wait(0.2)
            spool.add(pack(WINDOW, make_events(20)))
            assert begun.wait(20)
            assert not complete.wait(0.2)
            spool.finish()
            assert complete.wait(20)


@pytest.mark.parametrize("events", [[], [make_event()]], ids=["none", "one"])
def test_events_end_as_copy_wants_it_however_often_it_asks(events: list[Event]) -> None:
    """Behind the last row comes the end of the file, once, and then nothing more."""
    with Spool() as spool:
        spool.add(pack(WINDOW, events))
        spool.finish()

        reader = spool.events()
        assert len(rows_in(whole(reader))) == len(events)
        assert reader.read(1_000) == b""


def test_same_text_has_the_same_digest_whatever_the_reason() -> None:
    """The digest is the text's own: it tells a reject again when the reason is worded otherwise."""
    with Spool() as spool:
        items = [make_rejected("{}", Reason.USER_ID_MISSING), make_rejected("{}", Reason.OUTSIDE_WINDOW)]
        spool.add(pack(WINDOW, items))
        spool.finish()

        digests = {line.split(b"\t")[2] for line in whole(spool.rejected_events()).splitlines()}
        assert len(digests) == 1


def test_long_day_is_kept_in_a_file_not_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of the program does not grow with the day."""
    monkeypatch.setattr(spool_module, "_IN_MEMORY", 100_000)
    answer = pack(WINDOW, make_events(500))
    with Spool() as spool:
        spool.add(answer)
        tracemalloc.start()
        for _ in range(40):
            spool.add(answer)
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        spool.finish()

        assert len(whole(spool.events())) > 3_000_000
        assert grown < 500_000


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files cannot be looked up there")
def test_nobody_else_can_read_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The temporary file has no name, or at least no reader but its owner, and is gone with the spool."""
    monkeypatch.setattr(spool_module, "_IN_MEMORY", 10)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Spool() as spool:
        spool.add(pack(WINDOW, make_events(10)))

        assert list(tmp_path.iterdir()) == []
        ours = [file.name for file in Path("/proc/self/fd").iterdir() if str(tmp_path) in target(file)]
        assert ours
        assert all(stat.S_IMODE(os.fstat(int(number)).st_mode) & 0o077 == 0 for number in ours)


FULL_DISK = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from exceptions import EtlError
from source.rows import pack
from tests.support.loading import make_day, make_events
from warehouse import spool
spool._IN_MEMORY = 1_000
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
with spool.Spool() as spool:
    try:
        for _ in range(100):
            spool.add(pack(make_day().window, make_events(100)))
    except EtlError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
def test_full_disk_is_told_with_the_folder() -> None:
    """Where the folder for temporary files takes no more, the error names it and what to do."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(HOME)], capture_output=True, text=True, check=True, timeout=60
    )

    assert f"cannot be kept in the folder for temporary files, {tempfile.gettempdir()}: File too large" in done.stdout
    assert "TMPDIR" in done.stdout


def test_files_are_closed_when_the_work_fails() -> None:
    """The spool leaves nothing behind, however its block ends."""
    with pytest.raises(EtlError), Spool() as spool:  # noqa: PT012  (the block is what is tested)
        spool.finish()
        raise EtlError("no")

    with pytest.raises(ValueError, match="closed file"):
        spool.events().read(1)
