"""What is said before the settings are known, or because they cannot be used."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from app_types import Language
from config import HOME, chosen_language, read_env_file
from console.arguments import language_option
from console.streams import say
from exceptions import ConfigError
from messages import Messages

if TYPE_CHECKING:
    from collections.abc import Sequence


def early_messages(arguments: Sequence[str]) -> Messages:
    """Return the language before the settings are known: of the command line, the environment, or `.env`."""
    if language := language_option(arguments):
        return Messages(language)
    values = dict(os.environ)
    if "CURR_LANG" not in values:
        with suppress(ConfigError):
            values = read_env_file(HOME / ".env")
    return Messages(chosen_language(values))


def say_faults(error: ConfigError, arguments: Sequence[str]) -> None:
    """Tell every fault of the settings and the way out; in both languages where the language is among them."""
    languages: list[Language] = [early_messages(arguments).language]
    if any(fault.fields.get("name") == "CURR_LANG" for fault in error.faults):
        languages = list(Language)
    for language in languages:
        messages = Messages(language)
        say(messages.text("The settings are not usable; nothing was started:"))
        for fault in messages.faults(error):
            say(f"  ✗ {fault}")
        say(
            messages.text(
                "Set them in the environment or in the file %(file)s (see .env.example).", file=str(HOME / ".env")
            )
        )
        say(messages.text("To see everything work without any settings: python data_processor.py --demo"))
