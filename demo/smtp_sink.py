"""The demo's mail server: takes every letter on loopback, in plain SMTP, and keeps it as an `.eml` file."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

log = logging.getLogger(__name__)

_HOST: Final = "127.0.0.1"
_PATIENCE: Final = 5.0
"""Seconds for the server to end."""
_TALKATIVE: Final = "mail.log"
"""The logger of aiosmtpd, which tells every step of a delivery as news."""


class SmtpSink:
    """A mail server that delivers into a folder, running while its block does.

    Args:
        folder: where the letters go; must exist. Files of earlier runs are left as they are.
    """

    def __init__(self, folder: Path) -> None:
        self._mailbox = _Mailbox(folder)
        self._stack = contextlib.ExitStack()
        self._port: int | None = None

    @property
    def port(self) -> int:
        """The port on 127.0.0.1, chosen by the system."""
        if self._port is None:
            raise RuntimeError("the mail server is not running")
        return self._port

    @property
    def letters(self) -> tuple[Path, ...]:
        """The files written so far, in the order in which the letters came."""
        return tuple(self._mailbox.letters)

    def __enter__(self) -> SmtpSink:
        from aiosmtpd.controller import UnthreadedController

        with contextlib.ExitStack() as stack:
            stack.enter_context(_quiet(logging.getLogger(_TALKATIVE)))
            # The usual controller has a thread of its own, but must be told a port that another program may take first.
            controller: Any = UnthreadedController(  # it tells few of its types
                self._mailbox,
                hostname=_HOST,
                port=0,
                server_hostname="localhost",  # otherwise DNS is asked for the name of this machine
                ident="demo",
                enable_SMTPUTF8=True,
            )
            with contextlib.ExitStack() as until_started:
                until_started.callback(controller.loop.close)
                try:
                    controller.begin()
                finally:
                    asyncio.set_event_loop(None)  # it is for the thread, not for us
                port = int(controller.server.sockets[0].getsockname()[1])
                thread = threading.Thread(target=_serve, args=(controller,), name="demo mail", daemon=True)
                until_started.pop_all()  # from here on, the thread closes it
            # Before the start: an interruption may come in it, and the server must not go on.
            stack.callback(_stop, controller, thread)
            thread.start()
            self._port = port
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._port = None
        self._stack.close()


def _serve(controller: Any) -> None:
    """Serve until the loop is stopped."""
    with contextlib.closing(controller.loop):
        controller.loop.run_forever()
        controller.end()


def _stop(controller: Any, thread: threading.Thread) -> None:
    """Have the server end, if it runs; a thread that does not come to its end in time goes with the process."""
    with contextlib.suppress(RuntimeError):  # it has ended already
        controller.loop.call_soon_threadsafe(controller.cancel_tasks)
    if thread.is_alive():
        thread.join(_PATIENCE)


@contextlib.contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


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
