"""What the command line asks for and the settings forbid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app_types import Mode
from console.arguments import Command
from exceptions import UsageError

if TYPE_CHECKING:
    from config import Settings
    from console.arguments import Options


def refuse_contradictions(settings: Settings, options: Options, mode: Mode) -> None:
    """Refuse a command that would do harm together with these settings.

    Raises:
        UsageError: it would.
    """
    if mode is Mode.TEST and settings.database.reset:
        raise UsageError(
            "A test run does not empty the events table.", remedy="Set DB_MAIN_TABLE_OPEN_RESET=false for it."
        )
    if not options.missing_only and options.command is not Command.FILL:
        return
    if settings.database.reset:
        raise UsageError(
            "A command that leaves out complete days does not empty the events table.",
            remedy="Set DB_MAIN_TABLE_OPEN_RESET=false for it.",
        )
    if mode is Mode.TEST:
        raise UsageError(
            "A command that leaves out complete days runs whole days.", remedy="Set TEST_APP_MODE=false for it."
        )
