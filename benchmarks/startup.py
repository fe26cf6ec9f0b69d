"""How long the operator waits: until the prompt is there, and for the run of a day without events."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.process import HOME, run_program
from benchmarks.source import served

if TYPE_CHECKING:
    from benchmarks.server import BenchServer

_ROUNDS: Final = 5


@dataclass(frozen=True)
class Result:
    """Medians in seconds; `bare` is the start of Python itself."""

    bare: float
    prompt: float
    empty_day: float
    peak: float


def measure(server: BenchServer) -> Result:
    """Start the program again and again."""
    server.empty()
    bare = statistics.median(_until_it_speaks("-c", "print('x', flush=True)") for _ in range(_ROUNDS))
    prompt = statistics.median(_until_it_speaks("data_processor.py") for _ in range(_ROUNDS))
    with served(1_000) as url:
        runs = [run_program(server, url, day="2023-05-05") for _ in range(_ROUNDS)]
    return Result(bare, prompt, statistics.median(run.seconds for run in runs), max(run.peak for run in runs))


def _until_it_speaks(*command: str) -> float:
    """Return the seconds to the first sign on a terminal."""
    environment = {**os.environ, "API_CLIENT": "bench", "API_CLIENT_KEY": "bench", "CURR_LANG": "ENGLISH"}
    if sys.platform == "win32":
        raise SystemExit("a terminal of our own is not to be had on Windows: leave out --only startup")
    import pty

    ours, theirs = pty.openpty()
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *command], cwd=HOME, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.read(ours, 1)
        seconds = time.perf_counter() - started
        process.kill()
    os.close(ours)
    os.close(theirs)
    return seconds
