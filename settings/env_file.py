"""The `.env` file: names and values as they stand there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exceptions import ConfigError, Fault

if TYPE_CHECKING:
    from pathlib import Path


def read_env_file(path: Path) -> dict[str, str]:
    """Read a `.env` file: UTF-8 with or without a byte order mark, any line ends, values taken as they stand.

    A missing file is an empty one.

    Raises:
        ConfigError: the file cannot be read, or a line is no `NAME=value`.
    """
    from dotenv.parser import parse_stream

    try:
        with path.open(encoding="utf-8-sig") as stream:
            bindings = list(parse_stream(stream))
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError:
        raise ConfigError([Fault("%(file)s cannot be read: it is not UTF-8.", {"file": str(path)})]) from None
    except OSError as error:
        fields: dict[str, object] = {"file": str(path), "cause": error.strerror}
        raise ConfigError([Fault("%(file)s cannot be read: %(cause)s.", fields)]) from None
    faults = [
        Fault(
            "%(file)s, line %(line)s is not of the form NAME=value.",
            {"file": str(path), "line": str(_line_of(b.original.line, b.original.string))},
        )
        for b in bindings
        if b.error or (b.key is not None and b.value is None)
    ]
    if faults:
        raise ConfigError(faults)
    return {b.key: b.value for b in bindings if b.key is not None and b.value is not None}


def _line_of(first: int, text: str) -> int:
    """Return the line where a binding itself stands; the parser counts from the blank lines before it."""
    return first + text[: len(text) - len(text.lstrip())].count("\n")
