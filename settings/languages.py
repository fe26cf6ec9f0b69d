"""The languages by the names that settings and options may give them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app_types import Language

if TYPE_CHECKING:
    from collections.abc import Mapping

    from settings.reader import Reader

_LANGUAGES = {"russian": Language.RUSSIAN, "ru": Language.RUSSIAN, "english": Language.ENGLISH, "en": Language.ENGLISH}


def chosen_language(values: Mapping[str, str]) -> Language:
    """Return the language of the settings, or the default where it is missing or wrong."""
    return _LANGUAGES.get(values.get("CURR_LANG", "").strip().lower(), Language.RUSSIAN)


def parse_language(text: str) -> Language | None:
    """Read the name of a language as `CURR_LANG` and `--language` accept it."""
    return _LANGUAGES.get(text.strip().lower())


def read_language(reader: Reader) -> Language:
    """Read the language of the program."""
    return reader.choice("CURR_LANG", _LANGUAGES, str.lower, shown="RUSSIAN, ENGLISH, ru, en")
