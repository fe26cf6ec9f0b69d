"""A local HTTP receiver of alarms: it takes what is posted, or hangs, drips or refuses."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Posted:
    """A request as it came."""

    path: str
    body: str

    @property
    def message(self) -> dict[str, Any]:
        """The body of a message of Apprise's `json://`."""
        content: dict[str, Any] = json.loads(self.body)
        return content


class Receiver:
    """The receiver. `behaviour` is one of: take, refuse, hang, drip, redirect."""

    def __init__(self) -> None:
        self.behaviour = "take"
        self.received: list[Posted] = []
        self.over = threading.Event()
        self._server = _Server(self)
        self.port = int(self._server.server_port)
        self.url = f"http://127.0.0.1:{self.port}/ping/7f0c0dd4-secret-5d5a"
        self.notify_url = f"json://127.0.0.1:{self.port}/hook/t0kenOfTheHook"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def paths(self) -> list[str]:
        """The paths of what came, in order."""
        return [posted.path for posted in self.received]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages of Apprise that came."""
        return [posted.message for posted in self.received if posted.path.startswith("/hook/")]

    @property
    def pings(self) -> list[Posted]:
        """The pings that came."""
        return [posted for posted in self.received if posted.path.startswith("/ping/")]

    def close(self) -> None:
        """Stop, and let go of who hangs."""
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that hangs up."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        """Take what comes, and answer as the receiver is to behave."""
        receiver = self.server.receiver
        body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
        receiver.received.append(Posted(self.path, body))
        match receiver.behaviour:
            case "hang":
                receiver.over.wait(60)
            case "drip":
                self._drip()
            case "refuse":
                self.send_error(500)
            case "redirect":
                self.send_response(302)
                self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
                self.end_headers()
            case _:
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"OK")

    do_GET = do_POST  # noqa: N815  (the name that http.server asks for)

    def _drip(self) -> None:
        """Send a byte of a header that has no end, now and then."""
        with contextlib.suppress(OSError):
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while not self.server.receiver.over.wait(0.2):
                self.wfile.write(b"x")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the library's name)
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that takes everything until it is told otherwise."""
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine at which nobody listens, and nobody will."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])
