"""The spool: keeps what was fetched, in order, out of memory when it is much, and out of everybody's reach."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path

import pytest

from app_types import Batch, Defect, Reason
from exceptions import EtlError
from tests.support.loading import make_day, make_event, make_events, make_rejected
from warehouse import spool as spool_module
from warehouse.spool import Spool

HOME = Path(__file__).resolve().parent.parent
WINDOW = make_day().window


def test_events_are_counted_by_kind() -> None:
    """Received are all; valid, rejected and defective are told apart over all answers."""
    with Spool() as spool:
        spool.add(Batch(WINDOW, (make_event(), make_rejected(), make_event(defects=(Defect.PASSBACK_MISSING,)))))
        spool.add(Batch(WINDOW, ()))
        spool.add(Batch(WINDOW, (make_rejected(), make_event())))

        assert (spool.received, spool.valid, spool.rejected, spool.defective) == (5, 3, 2, 1)


def test_order_of_the_answers_is_kept() -> None:
    """Events and rejects carry their place in the whole fetch, so that the last of a key is known."""
    with Spool() as spool:
        spool.add(Batch(WINDOW, (make_event(), make_rejected())))
        spool.add(Batch(WINDOW, (make_rejected(), make_event())))

        assert [line.split(b"\t")[0] for line in spool.events()] == [b"0", b"3"]
        assert [line.split(b"\t")[0] for line in spool.rejected_events()] == [b"1", b"2"]


def test_spool_can_be_read_again() -> None:
    """Another try of the load reads everything from the beginning."""
    with Spool() as spool:
        spool.add(Batch(WINDOW, (*make_events(3), make_rejected())))

        first = spool.events().read(), spool.rejected_events().read()
        assert (spool.events().read(), spool.rejected_events().read()) == first
        assert first[0].count(b"\n") == 3


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (None, b"\\N"),
        ("", b""),
        ("\\N", b"\\\\N"),
        ("\\.", b"\\\\."),
        ("a\tb\nc\rd\\e", b"a\\tb\\nc\\rd\\\\e"),
        ("дом 🏠", "дом 🏠".encode()),
    ],
    ids=["null", "empty", "text of null", "end of data", "signs of COPY", "Unicode"],
)
def test_text_is_written_as_copy_reads_it(text: str | None, written: bytes) -> None:
    """What COPY takes for its own is escaped; an event stays one line."""
    with Spool() as spool:
        spool.add(Batch(WINDOW, (make_event(oauth_consumer_key=text),)))

        (line,) = spool.events().read().splitlines()
        assert line.split(b"\t")[3] == written


def test_same_text_has_the_same_digest_whatever_the_reason() -> None:
    """The digest is the text's own: it tells a reject again when the reason is worded otherwise."""
    with Spool() as spool:
        spool.add(
            Batch(WINDOW, (make_rejected("{}", Reason.USER_ID_MISSING), make_rejected("{}", Reason.OUTSIDE_WINDOW)))
        )

        digests = {line.split(b"\t")[2] for line in spool.rejected_events()}
        assert len(digests) == 1


def test_long_day_is_kept_in_a_file_not_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of the program does not grow with the day."""
    monkeypatch.setattr(spool_module, "_IN_MEMORY", 100_000)
    answer = Batch(WINDOW, tuple(make_events(500)))
    with Spool() as spool:
        spool.add(answer)
        tracemalloc.start()
        for _ in range(40):
            spool.add(answer)
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert spool.events().seek(0, os.SEEK_END) > 3_000_000
        assert grown < 500_000


@pytest.mark.skipif(sys.platform == "win32", reason="files have no mode there")
def test_nobody_else_can_read_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The temporary file has no name, or at least no reader but its owner, and is gone with the spool."""
    monkeypatch.setattr(spool_module, "_IN_MEMORY", 10)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Spool() as spool:
        spool.add(Batch(WINDOW, tuple(make_events(10))))

        assert list(tmp_path.iterdir()) == []
        assert stat.S_IMODE(os.fstat(spool.events().fileno()).st_mode) & 0o077 == 0


FULL_DISK = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from app_types import Batch
from exceptions import EtlError
from tests.support.loading import make_day, make_events
from warehouse import spool
spool._IN_MEMORY = 1_000
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
with spool.Spool() as spool:
    try:
        for _ in range(100):
            spool.add(Batch(make_day().window, tuple(make_events(100))))
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
    with pytest.raises(EtlError), Spool() as spool:
        raise EtlError("no")

    with pytest.raises(ValueError, match="closed file"):
        spool.events()
