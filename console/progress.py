"""The progress bar of a fetch."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from app_types import Progress
    from messages import Messages


@contextmanager
def progress_bar(console: Console, title: str, messages: Messages) -> Iterator[Callable[[Progress], None]]:
    """Draw a bar for the time of the block and yield what moves it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
    )
    started = time.monotonic()
    with Bar(*columns, console=console, transient=False) as bar:
        task = bar.add_task(title, total=None, told="")

        def update(progress: Progress) -> None:
            speed = progress.events / max(time.monotonic() - started, 0.001)
            told = messages.text(
                "windows %(done)s of %(total)s · events %(events)s · %(speed)s per second",
                done=progress.windows_done,
                total=progress.windows_total,
                events=progress.events,
                speed=round(speed),
            )
            bar.update(task, completed=progress.windows_done, total=progress.windows_total, told=told)

        yield update
