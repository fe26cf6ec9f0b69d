"""Serves ready days over loopback HTTP, in a process of its own, so that the source costs next to nothing.

    python -m benchmarks.source --events 100000 [--latency 0.2 --bandwidth 2000000]

Prints its address. Each connection can be made to wait before an answer and to send so many bytes a second at most.
"""

from __future__ import annotations

import argparse
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

from benchmarks.events import ReadyDay, make_day

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME: Final = Path(__file__).resolve().parent.parent
_WINDOW = re.compile(rb"start=([^& ]+)&end=([^& ]+)")
_TICK: Final = 0.05


@contextmanager
def served(events: int, *, latency: float = 0.0, bandwidth: int = 0) -> Iterator[str]:
    """Serve a day of so many events; yields the address."""
    options = ["--events", str(events), "--latency", str(latency), "--bandwidth", str(bandwidth)]
    command = [sys.executable, "-m", "benchmarks.source", *options]
    with subprocess.Popen(command, cwd=HOME, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--bandwidth", type=int, default=0, help="bytes a second and connection; 0: no limit")
    options = parser.parse_args()
    day = make_day(options.events)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/api/statistics", flush=True)
        while True:
            client, _ = listener.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_serve, args=(client, day, options.latency, options.bandwidth), daemon=True).start()


def _serve(client: socket.socket, day: ReadyDay, latency: float, bandwidth: int) -> None:
    """Answer one request after another."""
    received = b""
    with client, suppress(OSError):
        while data := client.recv(65_536):
            received += data
            if b"\r\n\r\n" not in received:
                continue
            match = _WINDOW.search(received)
            assert match
            received = b""
            start, end = (
                datetime.fromisoformat(unquote_plus(text.decode())).replace(tzinfo=UTC) for text in match.groups()
            )
            body = day.window(start, end)
            time.sleep(latency)
            client.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n[" % (len(body) + 2)
            )
            _send(client, body, bandwidth)
            client.sendall(b"]")


def _send(client: socket.socket, body: memoryview, bandwidth: int) -> None:
    if not bandwidth:
        client.sendall(body)
        return
    piece = max(1, int(bandwidth * _TICK))
    due = time.monotonic()
    for position in range(0, len(body), piece):
        client.sendall(body[position : position + piece])
        due += _TICK
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()
