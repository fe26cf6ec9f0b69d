"""How Ctrl-C and SIGTERM reach the program, wherever it is at work."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.program import HOME

if TYPE_CHECKING:
    from pathlib import Path

_LISTEN = (
    "import signal, time; from pipeline.interruption import listen; from pipeline.job import Terminated; listen()\n"
)


def told_by(script: str, folder: Path) -> str:
    """Return what a script prints that listens to both signals and may import from a folder."""
    done = subprocess.run(
        [sys.executable, "-c", _LISTEN + script],
        env={**os.environ, "PYTHONPATH": f"{HOME}{os.pathsep}{folder}"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("name", "error"), [("SIGINT", "KeyboardInterrupt"), ("SIGTERM", "Terminated")], ids=["Ctrl-C", "SIGTERM"]
)
def test_signal_raises_where_the_program_is(tmp_path: Path, name: str, error: str) -> None:
    """Each signal has its exception, at once."""
    script = f"try:\n    signal.raise_signal(signal.{name})\nexcept {error}:\n    print('stopped')"

    assert told_by(script, tmp_path) == "stopped"


@pytest.mark.parametrize(
    ("name", "error"), [("SIGINT", "KeyboardInterrupt"), ("SIGTERM", "Terminated")], ids=["Ctrl-C", "SIGTERM"]
)
def test_signal_during_an_import_waits_for_its_end(tmp_path: Path, name: str, error: str) -> None:
    """An import is not broken off: the import lock could stay locked for every other thread."""
    (tmp_path / "slow.py").write_text(
        f"import signal, time\nsignal.raise_signal(signal.{name})\ntime.sleep(0.1)\nprint('imported')\n", "utf-8"
    )
    script = f"try:\n    import slow\n    time.sleep(20)\nexcept {error}:\n    print('stopped')"

    assert told_by(script, tmp_path).split() == ["imported", "stopped"]


@pytest.mark.parametrize(
    ("name", "error"), [("SIGINT", "KeyboardInterrupt"), ("SIGTERM", "Terminated")], ids=["Ctrl-C", "SIGTERM"]
)
def test_signal_that_comes_in_a_finalizer_is_not_lost(tmp_path: Path, name: str, error: str) -> None:
    """Python drops the exceptions of finalizers and callbacks; the signal comes again."""
    script = (
        f"class Resource:\n    def __del__(self):\n        signal.raise_signal(signal.{name})\n        time.sleep(0)\n"
        f"try:\n    Resource()\n    print('on')\n    time.sleep(20)\nexcept {error}:\n    print('stopped')"
    )

    assert told_by(script, tmp_path).split() == ["on", "stopped"]


def test_other_fault_of_a_finalizer_is_told_as_ever(tmp_path: Path) -> None:
    """Only the two signals are taken out of what Python reports."""
    script = "class Resource:\n    def __del__(self):\n        1 / 0\nResource()\nprint('on')"

    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        told_by(script, tmp_path)


def test_ignored_ctrl_c_stays_ignored(tmp_path: Path) -> None:
    """Who starts the program with SIGINT ignored, as `nohup` and shells do for the background, wants it so."""
    script = "signal.signal(signal.SIGINT, signal.SIG_IGN); listen(); signal.raise_signal(signal.SIGINT); print('on')"

    assert told_by(script, tmp_path) == "on"


def test_signals_after_the_end_change_nothing(tmp_path: Path) -> None:
    """When all is done and told, neither the exit code nor the last words can change any more."""
    script = (
        "from pipeline.interruption import stop_listening; stop_listening()\n"
        "signal.raise_signal(signal.SIGINT); signal.raise_signal(signal.SIGTERM); print('on')"
    )

    assert told_by(script, tmp_path) == "on"
