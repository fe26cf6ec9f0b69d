"""Runs a program and measures it: seconds, processor time, and the most memory it held."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.server import BenchServer

HOME: Final = Path(__file__).resolve().parent.parent
_MIB: Final = 1024 * 1024
_UNIT: Final = 1 if sys.platform == "darwin" else 1024
"""Of the peak that the system tells: bytes on macOS, kilobytes elsewhere."""
_WATCH: Final = """
import json, os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[1:])
_, status, usage = os.wait4(process.pid, 0)
seconds = time.perf_counter() - started
measured = [os.waitstatus_to_exitcode(status), seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]
print(json.dumps(measured), file=sys.stderr)
"""


@dataclass(frozen=True)
class Measured:
    """What a program took. `peak` is in MiB."""

    seconds: float
    cpu: float
    peak: float
    output: str


def run(command: Sequence[str], environment: Mapping[str, str]) -> Measured:
    """Run a program to its end; what it says on standard output is kept."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        # By way of a small process: the memory of the one that starts it counts as the program's own.
        with subprocess.Popen(
            [sys.executable, "-ISc", _WATCH, *command],
            cwd=HOME,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        ) as process:
            process.wait()
        errors.seek(0)
        *told, last = errors.read().decode().splitlines()
        code, seconds, cpu, peak = json.loads(last)
        if code:
            raise RuntimeError("\n".join([f"{command} ended with {code}:", *told]))
        output.seek(0)
        return Measured(seconds, cpu, peak * _UNIT / _MIB, output.read().decode())


def run_stage(server: BenchServer, url: str, *, minutes: int = 60, concurrency: int = 2) -> dict[str, Any]:
    """Load the day that a source serves, from the first request to the commit, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.stage", url, str(minutes), str(concurrency)]
    measured = run(command, {"DATABASE_URL": server.url})
    return {**json.loads(measured.output), "peak": measured.peak}


def run_program(server: BenchServer, url: str, *options: str, day: str = "2023-04-01") -> Measured:
    """Run the whole program for a day: no sheet, no letter, with the local report."""
    environment = {
        "API_URL": url,
        "API_CLIENT": "bench",
        "API_CLIENT_KEY": "bench",
        "DATABASE_URL": server.url,
        "CURR_LANG": "ENGLISH",
        "LOGS_PATH": str(server.folder / "logs"),
        "REPORTS_PATH": str(server.folder / "reports"),
    }
    command = [sys.executable, "data_processor.py", "--date", day, "--json", "--no-mail", "--no-sheet", *options]
    return run(command, environment)
