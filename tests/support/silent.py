"""Peers on loopback that take a connection and then say nothing, or a byte now and then."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def silent_peer(*, drip: float = 0.0, byte: bytes = b"R") -> Iterator[int]:
    """Run a peer that never says anything of use, for the time of a block; yields its port.

    Args:
        drip: seconds between two bytes that it says; 0 for none at all.
        byte: what it says then.
    """
    over = threading.Event()
    taken: list[socket.socket] = []

    def talk(client: socket.socket) -> None:
        with suppress(OSError):
            while not over.wait(drip or 3600):
                client.sendall(byte)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                taken.append(client)
                threading.Thread(target=talk, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        over.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    for client in taken:
        client.close()
