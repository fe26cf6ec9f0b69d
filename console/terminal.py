"""The operator's terminal: lines, a progress bar, tables. One place writes, so that they do not disturb each other."""

from __future__ import annotations

import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console, RenderableType

    from app_types import Progress
    from messages import Messages


class Terminal:
    """Where people's output goes. A closed pipe is not an error: nobody listens any more.

    Args:
        stream: standard output, or standard error where the output belongs to a machine.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._console: Console | None = None

    @property
    def is_standard_output(self) -> bool:
        """Whether lines go to standard output."""
        return self._stream is sys.stdout

    def line(self, text: str) -> None:
        """Write one line as it stands."""
        if self._console is not None:
            self.show(text)
            return
        self._write(text + "\n")

    def question(self, text: str) -> None:
        """Write a question and stay on its line."""
        self._write(text)

    def problem(self, text: str) -> None:
        """Write what went wrong, one line."""
        self.line(f"✗ {text}")

    @staticmethod
    def machine(text: str) -> None:
        """Write one line for a machine, always to standard output."""
        with suppress(OSError, ValueError):
            print(text, flush=True)  # noqa: T201  (the one place where it is meant)

    def show(self, item: RenderableType) -> None:
        """Write a line or a table through the one console that also draws the progress bar."""
        with suppress(OSError, ValueError):
            self._rich().print(item, markup=False, highlight=False, soft_wrap=isinstance(item, str))

    @contextmanager
    def progress(self, title: str, messages: Messages) -> Iterator[Callable[[Progress], None]]:
        """Show a bar of the windows done, with events and speed; nothing where there is no terminal."""
        if not self._rich().is_terminal:
            yield lambda _: None
            return
        from console.progress import progress_bar

        with progress_bar(self._rich(), title, messages) as update:
            yield update

    def _rich(self) -> Console:
        if self._console is None:
            from rich.console import Console

            class Patient(Console):
                def on_broken_pipe(self) -> None:
                    """Go on without a reader; rich itself would end the program."""
                    self.quiet = True

            self._console = Patient(file=self._stream, emoji=False)
        return self._console

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()
