"""Progress bars: the windows of a fetch, and the days of a range around them."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from app_types import Progress
    from messages import Messages


_WIDE: Final = 100
"""On a narrower terminal the speed would take the room of the bar."""


@dataclass
class DaysBar:
    """The days of a range: how many are done and failed, and how long the rest will take.

    Nothing is drawn where there is no terminal.
    """

    total: int
    messages: Messages
    bar: Bar | None = None
    done: int = 0
    failed: int = 0
    started: float = field(default_factory=time.monotonic)
    _days: TaskID = field(init=False)
    _windows: TaskID = field(init=False)

    def __post_init__(self) -> None:
        if self.bar:
            self._days = self.bar.add_task(self.messages.text("Days"), total=self.total, told=self.told())
            self._windows = self.bar.add_task("", total=None, told="", visible=False)

    def advance(self, *, is_failed: bool) -> None:
        """Note the end of a day."""
        self.done += 1
        self.failed += is_failed
        if self.bar:
            self.bar.update(self._windows, visible=False)
            self.bar.update(self._days, completed=self.done, told=self.told())

    def pause(self, seconds: float) -> None:
        """Say that nothing is to be seen for a while, as it was wished."""
        self.step(self.messages.text("Pause, %(length)s", length=timedelta(seconds=seconds)))

    def step(self, title: str) -> None:
        """Say what is done now."""
        if self.bar:
            self.bar.reset(self._windows, description=title, told="", visible=True, total=None)

    @contextmanager
    def windows(self, title: str) -> Iterator[Callable[[Progress], None]]:
        """Show the fetch of a day below the days."""
        if self.bar is None:
            yield lambda _: None
            return
        self.bar.reset(self._windows, description=title, told="", visible=True, total=None)
        yield _mover(self.bar, self._windows, self.messages)

    def told(self) -> str:
        """Say how many days are done, and how long the rest will take once that can be guessed."""
        text = self.messages.text
        parts = [text("%(done)s of %(total)s", done=self.done, total=self.total)]
        if self.failed:
            parts.append(text("failed: %(failed)s", failed=self.failed))
        if 0 < self.done < self.total:
            left = (time.monotonic() - self.started) / self.done * (self.total - self.done)
            parts.append(time_left(left, self.messages))
        return " · ".join(parts)


def time_left(seconds: float, messages: Messages) -> str:
    """Say how long the rest will take, no more exactly than can be known."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return messages.text("less than a minute left")
    if minutes < 60:
        return messages.text("about %(minutes)s min left", minutes=minutes)
    return messages.text(
        "about %(hours)s h %(minutes)s min left", hours=minutes // 60, minutes=f"{minutes % 60 // 5 * 5:02}"
    )


@contextmanager
def progress_bar(console: Console, title: str, messages: Messages) -> Iterator[Callable[[Progress], None]]:
    """Draw a bar for the time of the block and yield what moves it."""
    with _bar(console, is_transient=False) as bar:
        yield _mover(bar, bar.add_task(title, total=None, told=""), messages)


@contextmanager
def days_bar(console: Console, total: int, messages: Messages) -> Iterator[DaysBar]:
    """Draw the bar of a range for the time of the block, and below it that of the day at work."""
    with _bar(console, is_transient=True) as bar:
        yield DaysBar(total, messages, bar)


def _bar(console: Console, *, is_transient: bool) -> Bar:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
    )
    # Standard output may belong to a machine: nothing that is printed there is to be led astray.
    return Progress(*columns, console=console, transient=is_transient, redirect_stdout=False, redirect_stderr=False)


def _mover(bar: Bar, task: TaskID, messages: Messages) -> Callable[[Progress], None]:
    started = time.monotonic()
    is_wide = bar.console.width >= _WIDE

    def update(progress: Progress) -> None:
        told = messages.text(
            "windows %(done)s of %(total)s · events %(events)s",
            done=progress.windows_done,
            total=progress.windows_total,
            events=progress.events,
        )
        if is_wide:
            speed = progress.events / max(time.monotonic() - started, 0.001)
            told += messages.text(" · %(speed)s per second", speed=round(speed))
        bar.update(task, completed=progress.windows_done, total=progress.windows_total, told=told)

    return update
