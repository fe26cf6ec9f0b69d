"""The operator's terminal: lines, a progress bar, tables. One place writes, so that they do not disturb each other."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console, RenderableType

    from app_types import Progress
    from console.progress import DaysBar
    from messages import Messages


_WIDTH_OF_A_FILE: Final = 120
"""What is written into a file or a pipe has no width of its own."""


class Terminal:
    """Where people's output goes. A closed pipe is not an error: nobody listens any more.

    Args:
        stream: standard output, or standard error where the output belongs to a machine.
        width: how many columns there are; found out where it is not given.
    """

    def __init__(self, stream: TextIO, width: int | None = None) -> None:
        self._stream = stream
        self._width = width
        self._console: Console | None = None
        self._days: DaysBar | None = None
        self._is_quiet = False

    @property
    def is_standard_output(self) -> bool:
        """Whether lines go to standard output."""
        return self._stream is sys.stdout

    @property
    def width(self) -> int:
        """How many columns there are."""
        return self._rich().width

    def can_show(self, text: str) -> bool:
        """Tell whether the letters of a text exist in the encoding of the stream."""
        try:
            text.encode(self._stream.encoding or "ascii")
        except UnicodeError:
            return False
        return True

    def line(self, text: str) -> None:
        """Write one line as it stands."""
        if self._console is not None:
            self.show(text)
            return
        self._write(text + "\n")

    def paragraph(self, text: str) -> None:
        """Write a text in as many lines as it needs, broken between words."""
        from rich.text import Text

        self.show(Text(text))

    def log_line(self, text: str) -> None:
        """Write a line of the log, unless it is hushed, as while the days of a range go by: their ends are told."""
        if not self._is_quiet:
            self.line(text)

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
        if self._days is not None:
            with self._days.windows(title) as update:
                yield update
            return
        if not self._draws:
            yield lambda _: None
            return
        from console.progress import progress_bar

        with progress_bar(self._rich(), title, messages) as update:
            yield update

    @contextmanager
    def days(self, total: int, messages: Messages, *, is_quiet: bool) -> Iterator[DaysBar]:
        """Show a bar of the days done around those of the single days; nothing of all this for a single day.

        Args:
            total: how many days there are.
            messages: the language.
            is_quiet: keep the log to its file.
        """
        from console.progress import DaysBar, days_bar

        if total < 2:
            yield DaysBar(total, messages)
            return
        drawn = days_bar(self._rich(), total, messages) if self._draws else None
        self._is_quiet = is_quiet
        try:
            with drawn or nullcontext(DaysBar(total, messages)) as bar:
                self._days = bar
                yield bar
        finally:
            self._days, self._is_quiet = None, False

    def hush(self) -> None:
        """Keep the log to its file: what is asked for is a table, and nothing is done that should be told."""
        self._is_quiet = True

    def speak(self) -> None:
        """Show the log again: the days have gone by, what comes now is about all of them."""
        self._is_quiet = False

    def step(self, title: str) -> None:
        """Say what is done now, where the days of a range are shown."""
        if self._days is not None:
            self._days.step(title)

    @property
    def _draws(self) -> bool:
        """Whether bars can be drawn; where there is no terminal, `rich` need not be loaded to know."""
        return self._stream.isatty() and self._rich().is_terminal

    def _rich(self) -> Console:
        if self._console is None:
            from rich.console import Console

            class Patient(Console):
                def on_broken_pipe(self) -> None:
                    """Go on without a reader; rich itself would end the program."""
                    self.quiet = True

            if self._width is None and not self._stream.isatty() and "COLUMNS" not in os.environ:
                self._width = _WIDTH_OF_A_FILE
            self._console = Patient(file=self._stream, emoji=False, width=self._width)
        return self._console

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()
