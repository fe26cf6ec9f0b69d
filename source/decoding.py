"""Turns the body of an answer into items: UTF-8, JSON, an array.

The usual body is decoded by msgspec into typed records in one go. What it refuses (an item that is no object, a
number out of range, a lone surrogate) and what it would pass over in silence (a repeated name) is read item by item
with the standard library, so that one odd item never costs the whole answer.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import Any, Final

import msgspec

from exceptions import SourceError, TransientSourceError

ABSENT: Final = msgspec.UNSET
"""Stands for a name that an item does not have."""

_SHOWN: Final = 200


class WireEvent(msgspec.Struct, frozen=True, gc=False):
    """An event as it came, unchecked; `ABSENT` where a name is missing."""

    lti_user_id: Any = ABSENT
    passback_params: Any = ABSENT
    is_correct: Any = ABSENT
    attempt_type: Any = ABSENT
    created_at: Any = ABSENT


class NoObject:
    """An item of the array that is no object."""


class RepeatedName:
    """An item in which a name stands twice, so that its meaning is open."""


Item = WireEvent | NoObject | RepeatedName

_NAMES: Final = tuple(WireEvent.__struct_fields__)
_QUOTED_NAMES: Final = tuple(f'"{name}"'.encode() for name in _NAMES)
_NO_OBJECT: Final = NoObject()
_REPEATED_NAME: Final = RepeatedName()
_events = msgspec.json.Decoder(list[WireEvent])
_BLANK = re.compile(r"[ \t\r\n]*")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_MOST_DIGITS: Final = 20


class Answer:
    """The items of one answer, in order, and the text of each."""

    def __init__(self, text: str, items: list[Item], texts: list[str] | None = None) -> None:
        self.items = items
        self._text = text
        self._texts = texts

    def raw(self, index: int) -> str:
        """Return the JSON text of an item as the source spelled it, in ASCII."""
        if self._texts is None:
            self._texts = _read_one_by_one(self._text)[1]
        return _NOT_ASCII.sub(_escaped, self._texts[index])


def decode(body: bytes) -> Answer:
    """Decode the body of an answer.

    Raises:
        TransientSourceError: the body is empty, cut, or no JSON.
        SourceError: it is JSON, but not an array of events; an error object is told with its text.
    """
    if not body.strip():
        raise TransientSourceError("The source sent an empty answer.")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TransientSourceError(
            "The source sent an answer that is not UTF-8 (at byte %(byte)s).", byte=str(error.start)
        ) from None
    try:
        events = _events.decode(body.removeprefix(codecs.BOM_UTF8))
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        items, texts = _read_one_by_one(text)
        return Answer(text, items, texts)
    if any(body.count(name) > len(events) for name in _QUOTED_NAMES):
        items, texts = _read_one_by_one(text)
        return Answer(text, items, texts)
    return Answer(text, list(events))


def _read_one_by_one(text: str) -> tuple[list[Item], list[str]]:
    """Read an array with the standard library and keep the text of each item."""
    try:
        return _read_array(text)
    except (ValueError, RecursionError):
        if text.lstrip()[:1] == "<":
            raise TransientSourceError(
                "The source sent a web page instead of events.", remedy="Check API_URL."
            ) from None
        raise TransientSourceError("The source sent an answer that is not JSON, or only a part of it.") from None


def _read_array(text: str) -> tuple[list[Item], list[str]]:
    position = _skip_blank(text, 0)
    if text[position : position + 1] != "[":
        value, end = _decoder.raw_decode(text, position)
        if _skip_blank(text, end) != len(text):
            raise ValueError
        raise _no_array(value)
    items: list[Item] = []
    texts: list[str] = []
    position = _skip_blank(text, position + 1)
    closing = text[position : position + 1]
    while closing != "]":
        value, end = _decoder.raw_decode(text, position)
        items.append(_item(value))
        texts.append(text[position:end])
        position = _skip_blank(text, end)
        closing = text[position : position + 1]
        if closing not in {",", "]"}:
            raise ValueError
        if closing == ",":
            position = _skip_blank(text, position + 1)
    if _skip_blank(text, position + 1) != len(text):
        raise ValueError
    return items, texts


def _item(value: object) -> Item:
    if isinstance(value, RepeatedName):
        return value
    if isinstance(value, dict):
        return WireEvent(**{name: value[name] for name in _NAMES if name in value})
    return _NO_OBJECT


def _no_array(value: object) -> SourceError:
    """Return the error that tells of an answer which is JSON, but no array."""
    if isinstance(value, dict):
        for name in ("errors", "error"):
            if name in value:
                return SourceError("The source answered with an error: %(text)s", text=shown(value[name]))
    return SourceError("The source sent %(kind)s instead of an array of events.", kind=_kind(value))


def _kind(value: object) -> str:
    if value is None:
        return "null"
    return {dict: "{…}", str: '"…"', bool: "true/false"}.get(type(value), "number")


def shown(value: object) -> str:
    """Return something from outside as an error may show it: short, on one line, printable."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    cut = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return "".join(character if character.isprintable() else "?" for character in cut)


def _skip_blank(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any] | RepeatedName:
    values = dict(pairs)
    return values if len(values) == len(pairs) else _REPEATED_NAME


def _constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are not JSON


def _integer(digits: str) -> float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float("inf")


_decoder = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant, parse_int=_integer)


def _escaped(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[index]:02x}{units[index + 1]:02x}" for index in range(0, len(units), 2))
