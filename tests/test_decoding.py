"""The decoder of answers: any bytes give items with their texts, or one typed error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from exceptions import SourceError, TransientSourceError
from source import decoding
from source.decoding import (
    ABSENT,
    Answer,
    Item,
    NoObject,
    RepeatedName,
    UndividedError,
    WireEvent,
    decode,
    decode_in_parts,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMES = ("lti_user_id", "passback_params", "is_correct", "attempt_type", "created_at")
EVENT = {
    "lti_user_id": "3583bf109f8b458e13ae1ac9d85c396a",
    "passback_params": "{'oauth_consumer_key': ''}",
    "is_correct": None,
    "attempt_type": "run",
    "created_at": "2023-05-31 09:16:11.313646",
}
TEXT = json.dumps(EVENT)
FOREIGN = '{"lti_user_id": 1, "passback_params": 2, "is_correct": 3, "attempt_type": 4, "created_at": 5, "more": %s}'

_CORPUS = json.loads((Path(__file__).parent / "hostile" / "answers.json").read_text("utf-8"))
HOSTILE = {
    name: "".join(text * times for text, times in case["parts"]).encode("latin-1") for name, case in _CORPUS.items()
}
"""Bodies that are no arrays of events, by name."""


def plain(item: Item) -> object:
    """Return an item in a form that can be compared."""
    if isinstance(item, WireEvent):
        return tuple(getattr(item, name) for name in NAMES)
    return type(item)


def failure(body: bytes) -> SourceError:
    """Decode in vain and return the error."""
    with pytest.raises(SourceError) as caught:
        decode(body)
    return caught.value


def slowly(body: bytes) -> Answer:
    """Decode with the standard library alone."""
    # Private: the rule that the quick way has to follow.
    return decoding._read_one_by_one(body.decode("utf-8-sig"), str)


# The usual answer


def test_items_keep_their_order_and_values() -> None:
    """Every item of the array becomes a record, unchecked, in the order of the answer."""
    second = {**EVENT, "is_correct": 1, "attempt_type": "submit"}
    items = decode(json.dumps([EVENT, second]).encode()).items

    assert [plain(item) for item in items] == [tuple(EVENT.values()), tuple(second.values())]


def test_text_of_an_item_is_cut_from_the_answer() -> None:
    """The text of an item is just what the source wrote, blanks included, without what stands around it."""
    answer = decode(f'[ {TEXT} ,\n\t{{ "lti_user_id" : null }},"x"  ]\n'.encode())

    assert [answer.raw(index) for index in range(3)] == [TEXT, '{ "lti_user_id" : null }', '"x"']


def test_empty_array_is_a_good_answer() -> None:
    """A window without events is no error."""
    assert list(decode(b" [ ] ").items) == []


def test_byte_order_mark_is_passed_over() -> None:
    """UTF-8 is read with and without its mark."""
    answer = decode(b"\xef\xbb\xbf" + f"[{TEXT}]".encode())

    assert plain(answer.items[0]) == tuple(EVENT.values())
    assert answer.raw(0) == TEXT


def test_foreign_names_are_passed_over() -> None:
    """What else an item holds has no effect, whatever it is; the text keeps it."""
    for foreign in ('{"created_at": 6}', '[1, "is_correct"]', '"\\ud800"', "1e999", "9" * 5_000, '"Ж"'):
        answer = decode(f"[{FOREIGN % foreign}]".encode())

        assert plain(answer.items[0]) == (1, 2, 3, 4, 5)
        assert '"more"' in answer.raw(0)


def test_absent_name_is_not_null() -> None:
    """A name that is missing can be told from one that is null."""
    (item,) = decode(b'[{"lti_user_id": null}]').items

    assert plain(item) == (None, ABSENT, ABSENT, ABSENT, ABSENT)


def test_text_of_an_item_is_ascii_json() -> None:
    """Whatever the script, the text is ASCII and means the same; other planes become surrogate pairs."""
    event = {**EVENT, "lti_user_id": "Ж\u2028😀\x7f", "ключ": "😀"}
    raw = decode(json.dumps([event], ensure_ascii=False).encode()).raw(0)

    assert raw.isascii()
    assert json.loads(raw) == event
    assert "\\u0416\\u2028\\ud83d\\ude00" in raw


# Odd items


@pytest.mark.parametrize("text", ["null", "1", '"x"', "true", "[]", f"[{TEXT}]"])
def test_item_that_is_no_object_does_not_cost_the_others(text: str) -> None:
    """An item of the array that is no object is told as such; the items around it are read."""
    answer = decode(f"[{TEXT}, {text}, {TEXT}]".encode())

    assert [type(item) for item in answer.items] == [WireEvent, NoObject, WireEvent]
    assert answer.raw(1) == text
    assert answer.raw(2) == TEXT


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "spelling",
    ['"{name}"', '"{escaped_first}"', '"{escaped_last}"'],
    ids=["plain", "first_letter_escaped", "last_letter_escaped"],
)
def test_repeated_name_makes_an_item_ambiguous(name: str, spelling: str) -> None:
    """A name of an event that stands twice in an item is seen, however it is spelled; the others are read."""
    again = spelling.format(
        name=name, escaped_first=f"\\u{ord(name[0]):04x}{name[1:]}", escaped_last=f"{name[:-1]}\\u{ord(name[-1]):04X}"
    )
    repeating = f"{TEXT[:-1]}, {again}: 1}}"
    answer = decode(f"[{TEXT}, {repeating}]".encode())

    assert [type(item) for item in answer.items] == [WireEvent, RepeatedName]
    assert answer.raw(1) == repeating


@pytest.mark.parametrize("name", NAMES)
def test_repeated_name_is_seen_beside_an_absent_one(name: str) -> None:
    """A name missing from one item does not hide that it stands twice in another."""
    without = json.dumps({key: value for key, value in EVENT.items() if key != name})
    answer = decode(f"[{without}, {TEXT[:-1]}, {json.dumps(name)}: 1}}]".encode())

    assert [type(item) for item in answer.items] == [WireEvent, RepeatedName]


def test_escaped_name_means_the_same() -> None:
    """A name spelled with escapes is the same name."""
    (item,) = decode(b'[{"\\u006cti_user_id": 1, "created\\u005fat": 2}]').items

    assert plain(item) == (1, ABSENT, ABSENT, ABSENT, 2)


def test_repeated_foreign_name_has_no_effect() -> None:
    """Only names of an event matter: another one may stand twice, in an usual answer and in an odd one."""
    event = f'{TEXT[:-1]}, "more": 1, "more": 2}}'

    assert plain(decode(f"[{event}]".encode()).items[0]) == tuple(EVENT.values())
    assert plain(decode(f"[{event}, null]".encode()).items[0]) == tuple(EVENT.values())


def test_names_within_values_are_no_names() -> None:
    """A value that looks like a name does not make it stand twice."""
    event = {
        **EVENT,
        "attempt_type": "created_at",
        "lti_user_id": '"is_correct"',
        "more": {"created_at": ["created_at"]},
    }

    assert plain(decode(json.dumps([event]).encode()).items[0]) == tuple(event[name] for name in NAMES)


def test_lone_surrogate_costs_nothing_else() -> None:
    """A text that is no Unicode is kept as it is, and so are the items around it."""
    answer = decode(f'[{TEXT}, {{"lti_user_id": "a\\ud800"}}, {TEXT}]'.encode())

    assert plain(answer.items[1]) == ("a\ud800", ABSENT, ABSENT, ABSENT, ABSENT)
    assert answer.raw(1) == '{"lti_user_id": "a\\ud800"}'
    assert plain(answer.items[2]) == tuple(EVENT.values())


@pytest.mark.parametrize("number", ["9" * 5_000, "-" + "9" * 5_000, "1e400", "1" + "0" * 30, "18446744073709551616"])
def test_number_out_of_range_costs_nothing_else(number: str) -> None:
    """A number that no field can hold is read as something that is no 0 or 1."""
    answer = decode(f'[{{"is_correct": {number}}}, {TEXT}]'.encode())

    assert answer.items[0].is_correct not in {0, 1}  # type: ignore[union-attr]
    assert plain(answer.items[1]) == tuple(EVENT.values())
    assert number in answer.raw(0)


# No answer


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_body_gives_a_typed_error(name: str) -> None:
    """What is cut or damaged may be asked for again; what the source means so is final. Neither is an empty day."""
    error = failure(HOSTILE[name])

    assert type(error) is (TransientSourceError if _CORPUS[name]["error"] == "transient" else SourceError)
    assert len(str(error)) < 400
    assert str(error).isprintable()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nothing", "empty"),
        ("web page", "a web page"),
        ("UTF-16 with a mark", "not UTF-8 (at byte 0)"),
        ("Latin-1", "not UTF-8 (at byte 18)"),
        ("array that is not closed", "only a part"),
        ("errors", "with an error: wrong client"),
        ("error", 'with an error: {"code": 1}'),
        ("errors with nothing in it", "with an error: null"),
        ("errors with control characters", "with an error: a??"),
        ("empty object", "{…} instead of an array"),
        ("object with a repeated name", "{…} instead of an array"),
        ("null", "null instead of an array"),
        ("truth", "true/false instead of an array"),
        ("number", "number instead of an array"),
        ("text of JSON", '"…" instead of an array'),
    ],
)
def test_error_tells_what_came(name: str, told: str) -> None:
    """The operator learns what the source sent instead of events."""
    assert told in str(failure(HOSTILE[name]))


def test_words_of_the_source_are_cut() -> None:
    """Of a long error 200 characters are shown."""
    text = failure(HOSTILE["errors, very long"]).fields["text"]

    assert text == "x" * 200 + "…"


def test_words_of_the_source_are_cleaned_before_they_are_cut() -> None:
    """What is to be hidden is taken out of the whole text, so that no half of it remains at the cut."""
    body = json.dumps({"errors": "x" * 195 + "the secret"}).encode()
    with pytest.raises(SourceError) as caught:
        decode(body, lambda text: text.replace("the secret", "***"))

    assert caught.value.fields["text"] == "x" * 195 + "***"


# Any bytes

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

json_values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=6,
)
wire_items = st.one_of(
    json_values,
    st.fixed_dictionaries(dict.fromkeys(NAMES, json_values)),
    st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text()), json_values, max_size=6),
)
PIECES = (
    *(
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        " ",
        "\n",
        '"',
        "\\",
        "0",
        "-",
        "1e9",
        "null",
        "true",
        "NaN",
        "\x00",
        "é",
        "\ufeff",
    ),
    *(f'"{name}"' for name in NAMES),
    *('"\\u006cti_user_id"', '"a"', '"\\ud800"', '"\\udc00"', '"\\ud83d\\ude00"', "{}", "[]", '{"created_at": 1}'),
    *(TEXT, TEXT[:-1], ', "is_correct": 1}', "9" * 25),
)


@settings(patient, max_examples=400)
@given(
    body=st.one_of(
        st.binary(max_size=60),
        st.lists(st.sampled_from(PIECES), max_size=12).map(lambda pieces: "".join(pieces).encode()),
        st.lists(st.sampled_from(PIECES), max_size=12).map(lambda pieces: f"[{','.join(pieces)}]".encode()),
    )
)
@example(body=b'[{"lti_user_id": "\\udc00\\ud800"}]')
def test_any_bytes_give_items_or_a_typed_error(body: bytes) -> None:
    """There is no third outcome, each item has its text, and the quick way reads what the slow one reads."""
    try:
        answer = decode(body)
    except SourceError:
        with pytest.raises((SourceError, UnicodeDecodeError)):
            slowly(body)
        return
    careful = slowly(body)

    assert list(map(plain, answer.items)) == list(map(plain, careful.items))
    for index in range(len(answer.items)):
        raw = answer.raw(index)
        assert raw == careful.raw(index)
        assert raw.isascii()
        json.loads(raw)


@settings(patient, max_examples=150)
@given(
    items=st.lists(wire_items, max_size=5),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 1]),
    mark=st.booleans(),
)
def test_items_and_texts_are_aligned(items: list[Any], ascii_only: bool, indent: int | None, mark: bool) -> None:
    """However an array is written, each item and its text are those of its place."""
    body = json.dumps(items, ensure_ascii=ascii_only, indent=indent).encode("utf-8-sig" if mark else "utf-8")
    answer = decode(body)

    assert len(answer.items) == len(items)
    for index, item in enumerate(items):
        read = answer.items[index]
        assert json.loads(answer.raw(index)) == item
        assert answer.raw(index).isascii()
        if isinstance(item, dict):
            assert plain(read) == tuple(item.get(name, ABSENT) for name in NAMES)
        else:
            assert isinstance(read, NoObject)


@settings(patient, max_examples=200)
@given(depth=st.integers(1, 1_500), kind=st.sampled_from(["[", '{"a":']), place=st.sampled_from(NAMES))
def test_nesting_of_any_depth_gives_items_or_a_typed_error(depth: int, kind: str, place: str) -> None:
    """No depth is just too much for a part of the work: what was read has its text, too."""
    nested = kind * depth + "1" + ("]" if kind == "[" else "}") * depth
    body = f'[{TEXT[:-1]}, {json.dumps(place)}: {nested}}}, {json.dumps({**EVENT, "x": 1})[:-1]}, "y": {nested}}}]'
    try:
        answer = decode(body.encode())
    except TransientSourceError:
        return

    assert [len(answer.raw(index)) > len(nested) for index in range(2)] == [True, True]


# In parts

cuttable = st.lists(
    st.sampled_from(
        ["},", "}", ",", "{", "[", "]", '"', "\\", ":", "1", " ", '"a"', '{"a":1}', TEXT, TEXT[:-1], "\ufeff"]
    ),
    max_size=12,
)


def in_parts(body: bytes, part: int) -> list[Answer]:
    """Decode part by part, each of so many bytes or a little more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "_PART", part)
        return list(decode_in_parts(body))


def told(answers: Iterable[Answer]) -> list[tuple[object, str]]:
    """Return all items with their texts."""
    return [(plain(item), answer.raw(index)) for answer in answers for index, item in enumerate(answer.items)]


@settings(patient, max_examples=1_000)
@given(
    body=st.one_of(
        cuttable.map("".join),
        cuttable.map(lambda pieces: f"[{''.join(pieces)}]"),
        cuttable.map(lambda pieces: f"[{TEXT},{','.join(pieces)}]"),
        st.lists(wire_items, max_size=4).map(json.dumps),
    ),
    part=st.integers(0, 200),
)
@example(body=f"[{TEXT},]", part=1)
@example(body=f"[{TEXT},,{TEXT}]", part=1)
@example(body=f'[{TEXT[:-1]}, "more": [{{}}, {{}}]}}, {TEXT}]', part=len(TEXT))
@example(body=f'[{TEXT[:-1]}, "more": "}}, {{"}}, {TEXT}]', part=len(TEXT))
@example(body=f'[{TEXT[:-1]}, "more": "\\"}}, {{\\""}}, {TEXT}]', part=len(TEXT))
def test_parts_make_up_the_whole(body: str, part: int) -> None:
    """Wherever a body is cut, what comes of its parts is what comes of the whole, or the whole is asked for."""
    encoded = body.encode()
    try:
        answers = in_parts(encoded, part)
    except UndividedError:
        return
    assert told(answers) == told([decode(encoded)])


@pytest.mark.parametrize("separator", [",", ", ", ",\n  "])
@pytest.mark.parametrize("odd", [None, 5, {"lti_user_id": None}, {**EVENT, "created_at": "é"}])
def test_long_body_is_divided(separator: str, odd: object) -> None:
    """However the items are set apart, and whatever one of them is, the parts are as long as wished."""
    texts = [TEXT] * 100
    if odd is not None:
        texts[50] = json.dumps(odd, ensure_ascii=False)
    answers = in_parts(f"[{separator.join(texts)}]".encode(), 10 * len(TEXT))

    assert len(answers) >= 8
    assert sum(len(answer.items) for answer in answers) == 100
    assert sum(answer.columns is None for answer in answers) == (odd in (5, {"lti_user_id": None}))


@pytest.mark.parametrize("body", [b"", b"[", b"]", b"{}", TEXT.encode(), b"<html>", f" [{TEXT}] ".encode()])
def test_body_that_is_no_plain_array_is_left_undivided(body: bytes) -> None:
    """What such a body is, the whole tells."""
    with pytest.raises(UndividedError):
        in_parts(body, 1)
