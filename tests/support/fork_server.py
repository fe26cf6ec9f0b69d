"""Starts the whole program hundreds of times: a process that has imported everything forks a child for each run.

The child begins at the program's `main` with its own environment, arguments and output, and is killed, stopped and
waited for as any process. Only the imports are spared. `python -m tests.support.fork_server` is the process itself;
`ForkServer` is what tests hold in hand.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HOME = Path(__file__).resolve().parent.parent.parent
PROGRAM = "data_processor:main"
_LIMIT = 120.0
_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_PASSED_ON = {"PATH", "TMPDIR", "HOME"}


@dataclass
class ForkedRun:
    """A run of the program in a forked process."""

    arguments: tuple[str, ...]
    output: Path
    started: float
    pid: int = 0
    code: int | None = None
    _over: threading.Event = field(default_factory=threading.Event)

    @property
    def is_over(self) -> bool:
        """Whether the process has ended."""
        return self._over.is_set()

    @property
    def told(self) -> str:
        """Everything that it said."""
        return self.output.read_text("utf-8", "replace")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if not self.is_over:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> int:
        """End it as a power cut would; return its exit code, -9 where the kill came in time."""
        self.signal(signal.SIGKILL)
        return self.wait()

    def wait(self, limit: float = _LIMIT) -> int:
        """Wait for its end and return its exit code; a signal's number is negative."""
        if not self._over.wait(limit):
            self.signal(signal.SIGKILL)
            pytest.fail(f"still at work after {limit} s: {self.arguments}\n{self.told}")
        assert self.code is not None
        return self.code

    def ended(self, code: int) -> None:
        """Note that it has ended."""
        self.code = code
        self._over.set()


class ForkServer:
    """The process that forks; `start` begins a run."""

    def __init__(self) -> None:
        environ = {name: value for name, value in os.environ.items() if name in _PASSED_ON}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=HOME,
            env=environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._lock = threading.Lock()
        self._runs: dict[int, ForkedRun] = {}
        self._begun: list[ForkedRun] = []
        self._pid_known = threading.Semaphore(0)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def start(
        self,
        environ: Mapping[str, str],
        output: Path,
        *arguments: str,
        program: str = PROGRAM,
        prepare: Sequence[tuple[str, Any]] = (),
    ) -> ForkedRun:
        """Begin a run.

        Args:
            environ: the whole environment of the process.
            output: the file that gets its standard output and standard error.
            arguments: of the command line.
            program: the function that is the program, as `module:function`.
            prepare: functions to be called in the process before it, as `module:function`, each with its argument.
        """
        order = {
            "environ": dict(environ),
            "output": str(output),
            "arguments": arguments,
            "program": program,
            "prepare": list(prepare),
        }
        with self._lock:
            run = ForkedRun(arguments, output, time.monotonic())
            self._begun.append(run)
            assert self._process.stdin
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
            assert self._pid_known.acquire(timeout=_LIMIT), "the fork server does not answer"
        return run

    def import_what_it_needs(self, run: ForkedRun, modules: Path) -> None:
        """Let every later run find imported what an earlier one noted (see `note_modules`)."""
        assert run.wait() == 0, run.told
        with self._lock:
            assert self._process.stdin
            self._process.stdin.write(json.dumps({"import": modules.read_text().split()}).encode() + b"\n")
            self._process.stdin.flush()

    def close(self) -> None:
        """End it, and every run that is left."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)
        self._reader.join(10)
        assert self._process.stdout
        self._process.stdout.close()

    def _read(self) -> None:
        """Note what the process tells: the number of a run that has begun, the exit code of one that has ended."""
        assert self._process.stdout
        for line in self._process.stdout:
            told = json.loads(line)
            if "code" in told:
                self._runs.pop(told["pid"]).ended(told["code"])
                continue
            run = self._begun.pop(0)
            run.pid = told["pid"]
            self._runs[run.pid] = run
            self._pid_known.release()


def note_modules(path: str) -> None:
    """Write the names of all modules that are imported by then, when the process ends."""
    import atexit

    atexit.register(lambda: Path(path).write_text("\n".join(name for name in list(sys.modules) if name != "__main__")))


def set_values(values: dict[str, Any]) -> None:
    """Set constants of the program, named as `module:NAME`: waits that would only cost time."""
    for place, value in values.items():
        module, _, name = place.partition(":")
        setattr(importlib.import_module(module), name, value)


def draw_nothing(_: object) -> None:
    """Have page and letter made without their pictures: those take most of a small run's time, and change nothing."""
    charts: Any = importlib.import_module("report.charts")
    charts.svg = lambda *_arguments, **_options: "<svg xmlns='http://www.w3.org/2000/svg'/>"
    charts.png = lambda *_arguments, **_options: _PIXEL


def _called(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def _child(order: dict[str, Any]) -> int:
    """Be the program."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(order["environ"])
    out = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor, source in ((0, os.open(os.devnull, os.O_RDONLY)), (1, out), (2, out)):
        os.dup2(source, descriptor)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(descriptor, mode, encoding="utf-8", closefd=False) for descriptor, mode in enumerate("rww")
    )
    for name, argument in order["prepare"]:
        _called(name)(argument)
    code = _called(order["program"])(order["arguments"])
    return int(code)


def _run_child(order: dict[str, Any]) -> None:
    """Be the program, and leave nothing of the server behind, whatever happens."""
    import atexit
    import traceback

    code = 70
    try:
        code = _child(order)
    except BaseException:  # noqa: BLE001  (told where the test looks for it)
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            atexit._run_exitfuncs()
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


class _Forker:
    """Reads orders, forks for each, and tells how each child ended."""

    def __init__(self) -> None:
        self._waking, self._woken = os.pipe()
        for descriptor in (self._waking, self._woken):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest, which closes our input
        signal.set_wakeup_fd(self._woken)
        self._orders, self._answers = 0, os.dup(1)
        self._selector = selectors.DefaultSelector()
        for descriptor in (self._orders, self._waking):
            self._selector.register(descriptor, selectors.EVENT_READ)
        self._children = set[int]()
        self._buffer = b""

    def serve(self) -> None:
        """Work until the input is closed, then kill what is left."""
        while True:
            ready = {key.fd for key, _ in self._selector.select()}
            if self._waking in ready:
                os.read(self._waking, 4096)
            self._tell_ends()
            if self._orders in ready and not self._read_orders():
                break
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def _tell(self, **words: int) -> None:
        os.write(self._answers, json.dumps(words).encode() + b"\n")

    def _tell_ends(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._children.discard(ended[0])
                self._tell(pid=ended[0], code=os.waitstatus_to_exitcode(ended[1]))

    def _read_orders(self) -> bool:
        """Do what is asked for; tell whether there can be more."""
        data = os.read(self._orders, 1_000_000)
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for order in map(json.loads, lines):
            if "import" in order:
                self._import(order["import"])
            else:
                self._fork(order)
        return bool(data)

    def _import(self, names: list[str]) -> None:
        for name in names:
            with contextlib.suppress(Exception):  # not every name that is known can be imported by itself
                importlib.import_module(name)
        gc.collect()
        gc.freeze()

    def _fork(self, order: dict[str, Any]) -> None:
        child = os.fork()
        if not child:
            signal.set_wakeup_fd(-1)
            self._selector.close()
            for descriptor in (self._answers, self._waking, self._woken):
                os.close(descriptor)
            _run_child(order)
        self._children.add(child)
        self._tell(pid=child)


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """The worker's fork server; it has imported nothing yet but what the first run of a test needs."""
    server = ForkServer()
    yield server
    server.close()


if __name__ == "__main__":
    _Forker().serve()
