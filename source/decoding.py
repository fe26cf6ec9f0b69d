"""Turns the body of an answer into items: UTF-8, JSON, an array.

The usual body is decoded by msgspec into typed records in one go. What it refuses (an item that is no object or
lacks a name, a number out of range, a lone surrogate) and what it would pass over in silence (a repeated name) is
read item by item with the standard library, so that one odd item never costs the whole answer.

A long body is decoded in parts, so that what is made of some hundred items stays in the processor's cache.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from exceptions import SourceError, TransientSourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ABSENT: Final = msgspec.UNSET
"""Stands for a name that an item does not have."""

_SHOWN: Final = 200
_PART: Final = 480 * 1024


class WireEvent(msgspec.Struct, frozen=True, gc=False):
    """An event as it came, unchecked; `ABSENT` where a name is missing."""

    # No defaults: that each name occurs in each item is what makes repeated ones countable.
    lti_user_id: Any
    passback_params: Any
    is_correct: Any
    attempt_type: Any
    created_at: Any


class NoObject:
    """An item of the array that is no object."""


class RepeatedName:
    """An item in which one of the names of an event stands twice, so that its meaning is open."""


Item = WireEvent | NoObject | RepeatedName

_NAMES: Final = tuple(WireEvent.__struct_fields__)
_QUOTED_NAMES: Final = tuple(f'"{name}"'.encode() for name in _NAMES)
_NO_OBJECT: Final = NoObject()
_REPEATED_NAME: Final = RepeatedName()
_events = msgspec.json.Decoder(list[WireEvent])
_texts = msgspec.json.Decoder(list[msgspec.Raw])
_ESCAPED_LETTER = re.compile(rb"\\u00(?:5[fF]|6[1-9a-fA-F]|7[0-9aA])")
"""A letter of a name, written in a way that nobody needs: the name might be hidden behind it."""
_BLANK = re.compile(r"[ \t\r\n]*")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_MOST_DIGITS: Final = 20


class UndividedError(Exception):
    """The body is to be decoded as a whole."""


class Column(NamedTuple):
    """The values of one name in all items of an answer, which types there are among them, and all texts in one.

    `joined` is empty unless all values are texts, and unless something is to be looked for in all of them at once.
    """

    values: list[Any]
    types: set[type]
    joined: str = ""


class Columns(NamedTuple):
    """An answer whose items are objects with all names, each name once.

    Students are joined without anything between them, moments as lines.
    """

    lti_user_id: Column
    passback_params: Column
    is_correct: Column
    attempt_type: Column
    created_at: Column


class Answer:
    """The items of one answer, in order, and the text of each.

    Attributes:
        items: what was sent.
        columns: the same by name, where all items are objects with all names, each name once.
        plain: whether no text among the values holds a quote, a backslash, a control sign or anything beyond ASCII.
    """

    def __init__(
        self,
        items: Sequence[Item],
        texts: Sequence[str] | bytes,
        columns: Columns | None = None,
        *,
        plain: bool = False,
    ) -> None:
        self.items = items
        self.columns = columns
        self.plain = plain
        self._texts: Sequence[str | msgspec.Raw] | bytes = texts

    def raw(self, index: int) -> str:
        """Return the JSON text of an item as the source spelled it, in ASCII."""
        if isinstance(self._texts, bytes):  # most answers are never asked for it
            self._texts = _texts.decode(self._texts)
        item = self._texts[index]
        text = item if isinstance(item, str) else str(memoryview(item), "utf-8")
        return _NOT_ASCII.sub(_escaped, text)


def _columns(events: Sequence[WireEvent]) -> Columns:
    return Columns(
        _text_column([event.lti_user_id for event in events], ""),
        _column([event.passback_params for event in events]),
        _column([event.is_correct for event in events]),
        _column([event.attempt_type for event in events]),
        _text_column([event.created_at for event in events], "\n"),
    )


def _column(values: list[Any]) -> Column:
    return Column(values, set(map(type, values)))


def _text_column(values: list[Any], separator: str) -> Column:
    try:
        return Column(values, {str}, separator.join(values))
    except TypeError:  # one is no text
        return _column(values)


def decode(body: bytes, hide: Callable[[str], str] = str) -> Answer:
    """Decode the body of an answer.

    Args:
        body: the bytes, without any compression.
        hide: takes out of the source's own words what an error must not show.

    Raises:
        TransientSourceError: the body is empty, cut, or no JSON.
        SourceError: it is JSON, but not an array of events; an error object is told with its text.
    """
    if not body or body.isspace():
        raise TransientSourceError("The source sent an empty answer.")
    is_ascii = body.isascii()
    try:
        if not is_ascii:
            body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TransientSourceError(
            "The source sent an answer that is not UTF-8 (at byte %(byte)s).", byte=str(error.start)
        ) from None
    array = body.removeprefix(codecs.BOM_UTF8)
    try:
        events = _events.decode(array)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return _read_one_by_one(array.decode(), hide)
    columns = _columns(events)
    escaped = b"\\" in array
    if _may_repeat_names(array, columns, escaped=escaped):
        return _read_one_by_one(array.decode(), hide)
    return Answer(events, array, columns, plain=is_ascii and not escaped)


def decode_in_parts(body: bytes) -> Iterator[Answer]:
    """Decode the body of an answer part by part.

    Parts are cut behind what looks like the end of an item. It was one if all before it, closed by a bracket, is an
    array: a text or an item that the cut goes through would never end.

    Raises:
        UndividedError: it cannot be done; what was yielded does not count.
    """
    array = body.removeprefix(codecs.BOM_UTF8)
    if array[:1] != b"[" or array[-1:] != b"]":
        raise UndividedError
    view = memoryview(array)  # a part is copied but once
    begin, last = 1, len(array) - 1
    while begin <= last:
        cut = array.find(b"},", begin + _PART, last)
        end = last if cut < 0 else cut + 1
        try:
            answer = decode(b"".join((b"[", view[begin:end], b"]")))
        except SourceError:
            raise UndividedError from None
        if begin > 1 and not answer.items:  # there was a comma before nothing
            raise UndividedError
        yield answer
        begin = end + 1


def _may_repeat_names(array: bytes, columns: Columns, *, escaped: bool) -> bool:
    """Tell whether a name may stand twice in one of the items, each of which has all names."""
    count = len(columns[0].values)
    # Quotes that neither the names nor the values of these fields account for are those of a further name.
    texts = sum(map(_number_of_texts, columns))
    if not escaped and array.count(b'"') == 2 * (len(_NAMES) * count + texts):
        return False
    return any(array.count(name) != count for name in _QUOTED_NAMES) or _ESCAPED_LETTER.search(array) is not None


def _number_of_texts(column: Column) -> int:
    if str not in column.types:
        return 0
    return len(column.values) if len(column.types) == 1 else list(map(type, column.values)).count(str)


def _read_one_by_one(text: str, hide: Callable[[str], str]) -> Answer:
    """Read an array with the standard library and keep the text of each item."""
    try:
        return _read_array(text, hide)
    except (ValueError, RecursionError):
        if text.lstrip()[:1] == "<":
            raise TransientSourceError(
                "The source sent a web page instead of events.", remedy="Check API_URL."
            ) from None
        raise TransientSourceError("The source sent an answer that is not JSON, or only a part of it.") from None


def _read_array(text: str, hide: Callable[[str], str]) -> Answer:
    position = _skip_blank(text, 0)
    if text[position : position + 1] != "[":
        value, end = _decoder.raw_decode(text, position)
        if _skip_blank(text, end) != len(text):
            raise ValueError
        raise _no_array(value, hide)
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
    return Answer(items, texts)


def _item(value: object) -> Item:
    if isinstance(value, RepeatedName):
        return value
    if isinstance(value, dict):
        return WireEvent(*(value.get(name, ABSENT) for name in _NAMES))
    return _NO_OBJECT


def _no_array(value: object, hide: Callable[[str], str]) -> SourceError:
    """Return the error that tells of an answer which is JSON, but no array."""
    if isinstance(value, dict):
        for name in ("errors", "error"):
            if name in value:
                told = value[name]
                text = told if isinstance(told, str) else json.dumps(told, ensure_ascii=False, default=_kind)
                return SourceError("The source answered with an error: %(text)s", text=shown(hide(text)))
    return SourceError("The source sent %(kind)s instead of an array of events.", kind=_kind(value))


def _kind(value: object) -> str:
    if value is None:
        return "null"
    return {dict: "{…}", RepeatedName: "{…}", str: '"…"', bool: "true/false"}.get(type(value), "number")


def shown(text: str) -> str:
    """Return a text from outside as an error may show it: short, on one line, printable."""
    cut = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return "".join(character if character.isprintable() else "?" for character in cut)


def _skip_blank(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any] | RepeatedName:
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        if any(names.count(name) > 1 for name in _NAMES):
            return _REPEATED_NAME
    return values


def _constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are not JSON


def _integer(digits: str) -> float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float("inf")


_decoder = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant, parse_int=_integer)


def _escaped(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[index]:02x}{units[index + 1]:02x}" for index in range(0, len(units), 2))
