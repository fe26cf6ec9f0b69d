"""Reads `passback_params`: a string that holds a Python dict literal of LTI 1.1 outcome parameters.

The text comes from outside. It is never evaluated: a flat dict of text, `None`, booleans and plain numbers is read
by a tokeniser, whatever else it may be is refused. `ast.literal_eval` is not used, because it takes exponential
memory on hostile input and knows far more than what can stand here.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

MOST_CHARACTERS: Final = 16 * 1024
"""A longer text is refused before it is looked at."""

FIELDS: Final = ("oauth_consumer_key", "lis_result_sourcedid", "lis_outcome_service_url")


class UnreadablePassbackError(ValueError):
    """The text is not a flat dict literal with text or None in the three fields."""


class Passback(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The three fields that are kept; None where the source did not send one."""

    oauth_consumer_key: str | None
    lis_result_sourcedid: str | None
    lis_outcome_service_url: str | None


class PlainPassback(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The usual form: the three fields, all of them text."""

    oauth_consumer_key: str
    lis_result_sourcedid: str
    lis_outcome_service_url: str


_plain = msgspec.json.Decoder(PlainPassback)
_QUOTES_OF_THREE_FIELDS: Final = 12

_TOKEN = re.compile(
    r"""[ \t\r\n]*(?:
        (?P<mark>[{}:,])
      | '(?P<single>(?:[^'\\\r\n]|\\.)*)'
      | "(?P<double>(?:[^"\\\r\n]|\\.)*)"
      | (?P<word>None|True|False)
      | (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    )""",
    re.VERBOSE | re.ASCII | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:(\n)|x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-7]{1,3})|(.))", re.DOTALL)
_SIMPLE_ESCAPES: Final = {
    "\\": "\\", "'": "'", '"': '"', "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
}  # fmt: skip
_OTHER: Final = object()
"""Stands for a value that is neither text nor None; enough for a field that is not kept."""


def read_passback(text: str) -> Passback:
    """Read the literal.

    A repeated key, nesting, an expression, or a value of one of the three fields that is neither text nor None
    makes it unreadable. Other fields are passed over.

    Raises:
        UnreadablePassbackError: it is no such literal.
    """
    if "\\" not in text and '"' not in text and (plain := read_plain(text)):
        return Passback(plain.oauth_consumer_key, plain.lis_result_sourcedid, plain.lis_outcome_service_url)
    return _read_strictly(text)


def read_plain(text: str) -> PlainPassback | None:
    """Read a literal of the usual form; None where it has another one.

    With the quotes swapped it is JSON; their number leaves no room for a field that stands twice.

    Args:
        text: no double quote in it, and no backslash but one of an escape that JSON reads alike.
    """
    if text.count("'") != _QUOTES_OF_THREE_FIELDS:
        return None
    try:
        return _plain.decode(text.replace("'", '"'))
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return None


def _read_strictly(text: str) -> Passback:
    """Read the literal token by token."""
    tokens = _Tokens(text)
    values: dict[str, object] = {}
    tokens.take_mark("{")
    while not tokens.skip_mark("}"):
        key = tokens.take_text()
        if key in values:
            raise UnreadablePassbackError
        tokens.take_mark(":")
        values[key] = tokens.take_value()
        if not tokens.skip_mark(","):
            tokens.take_mark("}")
            break
    tokens.take_end()
    return Passback(*(_field(values, name) for name in FIELDS))


def _field(values: dict[str, object], name: str) -> str | None:
    value = values.get(name)
    if value is None or isinstance(value, str):
        return value
    raise UnreadablePassbackError


class _Tokens:
    """Takes one token after another off the text; what is not as asked for makes the text unreadable."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def skip_mark(self, mark: str) -> bool:
        """Take a mark if it comes next, and tell whether it did."""
        match = _TOKEN.match(self._text, self._position)
        if match is None or match["mark"] != mark:
            return False
        self._position = match.end()
        return True

    def take_mark(self, mark: str) -> None:
        if not self.skip_mark(mark):
            raise UnreadablePassbackError

    def take_text(self) -> str:
        text = self.take_value()
        if not isinstance(text, str):
            raise UnreadablePassbackError
        return text

    def take_value(self) -> object:
        """Take a text, None, or something else that is no mark (`_OTHER`)."""
        match = _TOKEN.match(self._text, self._position)
        if match is None or match["mark"]:
            raise UnreadablePassbackError
        self._position = match.end()
        content = match["single"] if match["single"] is not None else match["double"]
        if content is not None:
            return _ESCAPE.sub(_unescaped, content) if "\\" in content else content
        return None if match["word"] == "None" else _OTHER

    def take_end(self) -> None:
        if self._text[self._position :].strip(" \t\r\n"):
            raise UnreadablePassbackError


def _unescaped(match: re.Match[str]) -> str:
    newline, byte, short, long, octal, simple = match.groups()
    if newline is not None:
        return ""
    code = byte or short or long
    if code is not None:
        if int(code, 16) > 0x10FFFF:
            raise UnreadablePassbackError
        return chr(int(code, 16))
    if octal is not None:
        return chr(int(octal, 8))
    if simple in _SIMPLE_ESCAPES:
        return _SIMPLE_ESCAPES[simple]
    raise UnreadablePassbackError
