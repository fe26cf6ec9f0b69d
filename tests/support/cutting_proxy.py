"""A proxy on loopback in front of PostgreSQL that counts bytes and cuts the connection at a chosen one."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import closing, suppress
from enum import StrEnum
from typing import TYPE_CHECKING

from psycopg2.extensions import parse_dsn

if TYPE_CHECKING:
    from types import TracebackType


class Way(StrEnum):
    """Which of the two streams is counted."""

    REQUESTS = "requests"
    ANSWERS = "answers"


class CuttingProxy:
    """Passes on all that both sides say, up to a byte of one way; then the connection is gone for both.

    The bytes of one way are counted over all connections since `cut_at`. A cut after byte n lets n bytes through, so
    that the client never gets the rest of an answer, or the server never the rest of a request. It happens once.

    Args:
        url: of the database.
        freezes: do not cut, but say nothing more, as a server that is stuck.
    """

    def __init__(self, url: str, *, freezes: bool = False) -> None:
        self._parameters = parse_dsn(url)
        self._target = f"{self._parameters['host']}/.s.PGSQL.{self._parameters['port']}"
        self._lock = threading.Lock()
        self._left: dict[Way, int] = {}
        self._freezes = freezes
        self._over = threading.Event()
        self.passed = dict.fromkeys(Way, 0)
        self.cuts = 0

    def __enter__(self) -> CuttingProxy:
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._over.set()
        _hang_up(self._listener)
        self._listener.close()

    @property
    def url(self) -> str:
        """The URL by which the database is reached through the proxy."""
        port = self._listener.getsockname()[1]
        options = "sslmode=disable&gssencmode=disable"
        return f"postgresql://{self._parameters['user']}@127.0.0.1:{port}/{self._parameters['dbname']}?{options}"

    def cut_at(self, way: Way | None, byte: int = 0) -> None:
        """Cut the connection after so many bytes of one way from now on; None never."""
        with self._lock:
            self.passed = dict.fromkeys(Way, 0)
            self.cuts = 0
            self._left = {way: byte} if way else {}

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._target)
                both = (client, server)
                answers = threading.Thread(target=self._pass, args=(server, client, Way.ANSWERS), daemon=True)
                answers.start()
                threading.Thread(target=self._serve, args=(*both, answers), daemon=True).start()

    def _serve(self, client: socket.socket, server: socket.socket, answers: threading.Thread) -> None:
        with closing(client), closing(server):
            self._pass(client, server, Way.REQUESTS)
            answers.join(30)

    def _freeze(self, client: socket.socket) -> None:
        """Pass nothing on any more, until the client has had enough."""
        watch = select.poll()
        watch.register(client, select.POLLRDHUP)
        while not watch.poll(50) and not self._over.is_set():
            pass

    def _pass(self, source: socket.socket, sink: socket.socket, way: Way) -> None:
        """Pass on what one side says; at the cut, or when it leaves, both are hung up on."""
        client = source if way is Way.REQUESTS else sink
        with suppress(OSError):
            while data := source.recv(65_536):
                allowed, cut = self._allowed(way, len(data))
                if allowed:
                    sink.sendall(data[:allowed])
                if cut and self._freezes:
                    self._freeze(client)
                if cut:
                    break
        _hang_up(sink)
        _hang_up(source)

    def _allowed(self, way: Way, length: int) -> tuple[int, bool]:
        with self._lock:
            left = self._left.get(way)
            if left is not None and left < length:
                self._left = {}
                self.cuts += 1
                self.passed[way] += left
                return left, True
            if left is not None:
                self._left[way] = left - length
            self.passed[way] += length
            return length, False


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
