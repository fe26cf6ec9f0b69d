"""The folders of logs and reports: they can be written, there is room, and nobody else writes there."""

from __future__ import annotations

import os
import shutil
import stat
from typing import TYPE_CHECKING, Final

from operations.probes.findings import bad, good, warning

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from config import Settings
    from messages import Messages
    from operations.probes.findings import Finding

LITTLE_ROOM: Final = 1024**3
"""Bytes; with less free space it is time to look after the disk."""


def probe(settings: Settings, messages: Messages) -> Sequence[Finding]:
    """Look at both, without making either."""
    found = [
        finding
        for folder in dict.fromkeys((settings.logs.path, settings.reports_path))
        if (finding := _trouble(folder, messages))
    ]
    return found or [good(messages.text("logs and reports can be written"))]


def existing(path: Path) -> Path:
    """Return the nearest folder of a path that is there already."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def is_writable(folder: Path) -> bool:
    """Tell whether files can be made in a folder, or the folder itself where it is not there yet."""
    nearest = existing(folder)
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


def room(folder: Path, messages: Messages) -> Finding | None:
    """Warn of a disk that is nearly full."""
    free = shutil.disk_usage(existing(folder)).free
    if free >= LITTLE_ROOM:
        return None
    return warning(
        messages.text(
            "little room is left on the disk of %(folder)s: %(free)s MB; free some", folder=str(folder), free=free >> 20
        )
    )


def _trouble(folder: Path, messages: Messages) -> Finding | None:
    if not is_writable(folder):
        return bad(
            messages.text(
                "%(folder)s cannot be written to; make it writable for the account that runs this program",
                folder=str(folder),
            )
        )
    if os.name == "posix" and folder.is_dir():
        mode = stat.S_IMODE(folder.stat().st_mode)
        if mode & 0o022 and not mode & stat.S_ISVTX:
            return warning(
                messages.text(
                    "others may write in %(folder)s (mode %(mode)s); run: chmod go-w %(folder)s",
                    folder=str(folder),
                    mode=f"{mode:03o}",
                )
            )
    return room(folder, messages)
