"""The demo's mail server: takes every letter on loopback, in plain SMTP, and keeps it as an `.eml` file."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

    from aiosmtpd.controller import Controller

log = logging.getLogger(__name__)

_HOST: Final = "127.0.0.1"
_TRIES: Final = 5
_TALKATIVE: Final = "mail.log"
"""The logger of aiosmtpd, which tells every step of a delivery as news."""


class SmtpSink:
    """A mail server that delivers into a folder, running while its block does.

    Args:
        folder: where the letters go; must exist. Files of earlier runs are left as they are.
    """

    def __init__(self, folder: Path) -> None:
        self._mailbox = _Mailbox(folder)
        self._controller: Controller | None = None
        self._level_before = logging.NOTSET

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        if self._controller is None:
            raise RuntimeError("the mail server is not running")
        return int(self._controller.port)

    @property
    def letters(self) -> tuple[Path, ...]:
        """The files written so far, in the order in which the letters came."""
        return tuple(self._mailbox.letters)

    def __enter__(self) -> SmtpSink:
        from aiosmtpd.controller import Controller

        talkative = logging.getLogger(_TALKATIVE)
        self._level_before = talkative.level
        talkative.setLevel(logging.WARNING)
        for tries_left in reversed(range(_TRIES)):
            # aiosmtpd tries to reach the port it was given, so it cannot be given 0.
            controller = Controller(
                self._mailbox,
                hostname=_HOST,
                port=_free_port(),
                server_hostname="localhost",  # otherwise DNS is asked for the name of this machine
                ident="demo",
                ready_timeout=30,
                enable_SMTPUTF8=True,
            )
            try:
                controller.start()
            except OSError:
                # Somebody was faster to take the port; aiosmtpd leaves its loop open then.
                with contextlib.suppress(RuntimeError):
                    controller.loop.close()
                if not tries_left:
                    talkative.setLevel(self._level_before)
                    raise
            else:
                self._controller = controller
                break
        return self

    def __exit__(self, *_: object) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None
            logging.getLogger(_TALKATIVE).setLevel(self._level_before)


class _Mailbox:
    """Takes letters from the server and writes them into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.letters: list[Path] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802  (aiosmtpd's name)
        """Take a letter; called by the server."""
        try:
            path = self._write(envelope.original_content)
        except OSError as error:
            log.debug("demo: a letter could not be written: %s", error.strerror)
            return "451 the letter could not be written"
        self.letters.append(path)
        return "250 kept"

    def _write(self, content: bytes) -> Path:
        """Write a letter into a new file that nobody else may read."""
        written_at = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
        number = 1
        while True:
            path = self._folder / f"{written_at}_{number}.eml"
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
            except FileExistsError:
                number += 1
                continue
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(content)
            except OSError:
                with contextlib.suppress(OSError):
                    path.unlink()
                raise
            return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
