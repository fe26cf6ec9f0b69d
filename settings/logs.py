"""The part of the log files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from settings.reader import Reader


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """Log files: the folder, how many of ours are kept, and how much is written."""

    path: Path
    keep: int
    level: str
    every_event: bool


def read_logs(reader: Reader) -> LogSettings:
    """Read where and how much is logged."""
    return LogSettings(
        path=reader.path("LOGS_PATH"),
        keep=reader.integer("MAX_NUM_LOGS_FILES", 1, 10_000),
        level=reader.choice("LOG_LEVEL", {name: name for name in ("DEBUG", "INFO", "WARNING", "ERROR")}, str.upper),
        every_event=reader.boolean("LOG_EVERY_INCOMING_LINE"),
    )
