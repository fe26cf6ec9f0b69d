"""The reader of `passback_params`: what it reads, what it refuses, and that hostile texts cost no more than others."""

from __future__ import annotations

import ast
import json
import re
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from source import passback
from source.passback import FIELDS, MOST_CHARACTERS, Passback, UnreadablePassbackError, read_passback

USUAL = (
    "{'oauth_consumer_key': '', 'lis_result_sourcedid': 'course-v1:SkillFactory+DST-3.0+28FEB2021:"
    "lms.skillfactory.ru-ca3ecf8e5f284c329eb7bd529e1a9f7e:3583bf109f8b458e13ae1ac9d85c396a', "
    "'lis_outcome_service_url': 'https://lms.skillfactory.ru/courses/course-v1:SkillFactory+DST-3.0+28FEB2021/xblock/"
    "block-v1:SkillFactory+DST-3.0+28FEB2021+type@lti+block@ca3ecf8e5f284c329eb7bd529e1a9f7e/handler_noauth/"
    "grade_handler'}"
)
"""As the description of the source shows it."""

NOTHING = Passback(None, None, None)

HOSTILE: dict[str, str] = {
    name: "".join(text * times for text, times in parts)
    for name, parts in json.loads((Path(__file__).parent / "hostile" / "passback.json").read_text("utf-8")).items()
}

many_examples = settings(deadline=None, max_examples=500, suppress_health_check=[HealthCheck.too_slow])


def outcome(read: Any, text: str) -> Passback | None:
    """Return what a reader makes of a text, None where it is unreadable; anything else it does fails the test."""
    try:
        result = read(text)
    except UnreadablePassbackError:
        return None
    assert isinstance(result, Passback)
    return result


def by_python(text: str) -> Passback | None:
    """Return what Python itself makes of a literal, by the same rules for fields; an oracle for small texts."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        return None
    if any(isinstance(part, (dict, list, tuple, set, bytes, complex)) for part in value.values()):
        return None
    fields = [value.get(name) for name in FIELDS]
    return Passback(*fields) if all(field is None or isinstance(field, str) for field in fields) else None


# What is read


def test_usual_literal_is_read() -> None:
    """The form that the source sends gives its three fields."""
    assert read_passback(USUAL) == Passback(
        oauth_consumer_key="",
        lis_result_sourcedid=(
            "course-v1:SkillFactory+DST-3.0+28FEB2021:"
            "lms.skillfactory.ru-ca3ecf8e5f284c329eb7bd529e1a9f7e:3583bf109f8b458e13ae1ac9d85c396a"
        ),
        lis_outcome_service_url=(
            "https://lms.skillfactory.ru/courses/course-v1:SkillFactory+DST-3.0+28FEB2021/xblock/"
            "block-v1:SkillFactory+DST-3.0+28FEB2021+type@lti+block@ca3ecf8e5f284c329eb7bd529e1a9f7e/"
            "handler_noauth/grade_handler"
        ),
    )


@pytest.mark.parametrize("missing", FIELDS)
def test_absent_field_is_none(missing: str) -> None:
    """A field that is not there is None; the others are kept."""
    literal = repr({name: name for name in FIELDS if name != missing})

    assert read_passback(literal) == Passback(*(None if name == missing else name for name in FIELDS))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("{}", None),
        ("  {\t}\r\n", None),
        ("{'oauth_consumer_key': None}", None),
        ("{'oauth_consumer_key': ''}", ""),
        ("{'oauth_consumer_key': 'k',}", "k"),
        ("\n{ 'oauth_consumer_key'\t:\r\n'k' , }\n", "k"),
        ("{'oauth_consumer_key':'k'}", "k"),
        ('{"oauth_consumer_key": "it\'s"}', "it's"),
        ("""{'oauth_consumer_key': 'say "k"'}""", 'say "k"'),
        (r"{'oauth_consumer_key': 'it\'s'}", "it's"),
        (r"{'oauth_consumer_key': '\\\"\a\b\f\n\r\t\v'}", '\\"\a\b\f\n\r\t\v'),
        (r"{'oauth_consumer_key': '\x41\u0416\U0001f600\101\0'}", "AЖ😀A\0"),
        (r"{'oauth_consumer_key': '\ud83d\ude00'}", "\ud83d\ude00"),
        ("{'oauth_consumer_key': 'a\\\nb'}", "ab"),
        ("{'oauth_consumer_key': 'ключ 😀 \u2028\u202e'}", "ключ 😀 \u2028\u202e"),
        ("{'oauth_consumer_key': 'a\tb\x00c'}", "a\tb\x00c"),
        ("{'oauth_consumer_key': '{\\'x\\': [1]} # None'}", "{'x': [1]} # None"),
        ("{'oauth_consumer_\\x6bey': 'k'}", "k"),
        ("{'x': 1, 'y': -2.5e-3, 'z': +.5, 'n': None, 't': True, 'f': False, 'oauth_consumer_key': 'k'}", "k"),
    ],
    ids=[
        "empty_dict",
        "blanks",
        "None",
        "empty_text",
        "trailing_comma",
        "blanks_between",
        "no_blanks",
        "double_quotes",
        "double_quotes_inside",
        "escaped_quote",
        "short_escapes",
        "escapes_by_number",
        "surrogates",
        "escaped_line_break",
        "unicode",
        "control_characters",
        "literal_in_a_text",
        "escape_in_a_key",
        "foreign_fields",
    ],
)
def test_other_spellings_are_read(text: str, key: str | None) -> None:
    """Every way in which Python writes a flat dict is understood, as Python itself understands it."""
    assert read_passback(text) == Passback(key, None, None)
    if "\0" not in text:  # Python's own parser refuses it in a source text
        assert by_python(text) == Passback(key, None, None)


def test_empty_text_in_a_field_is_kept() -> None:
    """An empty text is not the same as no text."""
    assert read_passback(repr(dict.fromkeys(FIELDS, ""))) == Passback("", "", "")


def test_foreign_fields_are_passed_over() -> None:
    """What else the literal holds has no effect, however many there are."""
    foreign = {f"field {number}": number for number in range(500)}

    assert read_passback(repr({**foreign, **ast.literal_eval(USUAL)})) == read_passback(USUAL)


# What is refused


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_unreadable(name: str) -> None:
    """Whatever is no flat dict literal is refused by the one error that says so."""
    assert outcome(read_passback, HOSTILE[name]) is None


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", [0, 1.5, True, False], ids=str)
def test_field_that_is_no_text_is_unreadable(name: str, value: object) -> None:
    """A value of one of the three fields is text or None."""
    assert outcome(read_passback, repr({name: value})) is None
    assert outcome(read_passback, repr({**dict.fromkeys(FIELDS, ""), name: value})) is None


def test_repeated_key_is_unreadable() -> None:
    """Where a key stands twice its value is open, even if both are equal."""
    assert outcome(read_passback, USUAL[:-1] + ", 'oauth_consumer_key': ''}") is None
    assert outcome(read_passback, "{'a': 1, 'a': 1}") is None
    assert outcome(read_passback, "{'oauth_consumer_key': '', 'oauth_consumer_key': '', 'a': ''}") is None


def test_nothing_is_evaluated() -> None:
    """No text is compiled, executed, imported or opened; Python's audit events would tell."""
    seen: list[str] = []
    listening = True

    def listen(event: str, _: object) -> None:
        if listening and event.startswith(
            ("compile", "exec", "import", "open", "os.", "subprocess", "socket", "ctypes")
        ):
            seen.append(event)

    sys.addaudithook(listen)
    for text in HOSTILE.values():
        outcome(read_passback, text)
    own = list(seen)
    ast.literal_eval("1")
    listening = False

    assert own == []
    assert "compile" in seen  # the ear is open


# Any text


PIECES = (
    *("'", '"', "\\", "{", "}", ":", ",", " ", "\n", "\t", "\r", "\x00", "\x1f", "\x7f", "#", "(", "[", "-", "0", "1."),
    *(
        "None",
        "True",
        "False",
        "null",
        "true",
        "\\'",
        '\\"',
        "\\x41",
        "\\u0041",
        "\\ud800",
        "\\\n",
        "\ud800",
        "é",
        "\u2028",
    ),
    *("'oauth_consumer_key'", "'lis_result_sourcedid'", "'lis_outcome_service_url'", "'x'", "''", ": ", ", ", "1e5"),
    *(
        '"oauth_consumer_key"',
        "'oauth_consumer_key': ''",
        "'lis_result_sourcedid': ''",
        "'lis_outcome_service_url': 'a'",
    ),
)
any_text = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(PIECES), max_size=24).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=24).map(lambda pieces: "{" + "".join(pieces) + "}"),
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
)


@st.composite
def nearly_usual(draw: st.DrawFn) -> str:
    """Return the usual literal with a few places changed, so that it is just about readable or just not."""
    text = draw(st.sampled_from([USUAL, repr(dict.fromkeys(FIELDS, "")), repr(dict.fromkeys(FIELDS, "a b")), "{}"]))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(text)))
        kept = draw(st.integers(0, 2))
        text = text[:place] + draw(st.one_of(st.sampled_from(PIECES), st.characters())) + text[place + kept :]
    return text


@many_examples
@given(text=st.one_of(nearly_usual(), any_text))
@example(text=USUAL)
def test_fast_path_agrees_with_the_strict_reader(text: str) -> None:
    """The fast path takes nothing that the strict reader refuses, and reads the same."""
    # The strict reader is private: it is the rule, and the public function only a quicker way to it.
    assert outcome(read_passback, text) == outcome(passback._read_strictly, text)


@many_examples
@given(texts=st.lists(st.text(st.characters(exclude_characters="'\\\"", codec="utf-8")), min_size=3, max_size=3))
def test_fast_path_keeps_every_character(texts: list[str]) -> None:
    """What needs no escape comes through as it was, also where it could mean something in JSON."""
    literal = "{" + ", ".join(f"'{name}': '{text}'" for name, text in zip(FIELDS, texts, strict=True)) + "}"
    read = outcome(read_passback, literal)

    if re.search(r"[\r\n]", literal):
        assert read is None
    else:
        assert read == Passback(*texts)


@many_examples
@given(
    fields=st.dictionaries(st.sampled_from(FIELDS), st.one_of(st.none(), st.text())),
    others=st.dictionaries(st.text(), scalars, max_size=4),
)
def test_whatever_python_writes_is_read_back(fields: dict[str, str | None], others: dict[str, object]) -> None:
    """The `repr` of a flat dict, with any quotes, escapes and scripts, gives back what was in it."""
    others = {name: value for name, value in others.items() if name not in FIELDS}
    literal = repr({**others, **fields})

    assert read_passback(literal) == Passback(*(fields.get(name) for name in FIELDS))


@many_examples
@given(text=st.one_of(nearly_usual(), any_text))
def test_what_is_read_is_what_python_reads(text: str) -> None:
    """The reader knows less than Python does, but where it reads a text at all, it means the same."""
    read = outcome(read_passback, text)

    if read is not None and not re.search(r"[\x00\ud800-\udfff]|\b0\d", text):  # Python cannot compile these
        assert read == by_python(text)


# What it costs


def test_texts_of_the_corpus_fit_the_longest_that_is_read() -> None:
    """The hostile texts are those that pass the cap before."""
    assert max(map(len, HOSTILE.values())) == MOST_CHARACTERS


LONG = {
    **{name: text for name, text in HOSTILE.items() if len(text) > 5_000},
    "a text, very long": "{'x': '" + "a" * 16_000 + "'}",
    "escapes, very many": "{'x': '" + "\\x41" * 4_000 + "'}",
    "fields, very many": repr({str(number): None for number in range(1_100)}),
    "blanks between, very many": "{'x'" + " " * 8_000 + ":" + " " * 8_000 + "1}",
}


@pytest.mark.parametrize("name", LONG)
def test_steps_grow_with_the_length_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every token is looked at a fixed number of times, so no text can make the reader go round in circles."""
    steps = 0
    pattern = passback._TOKEN

    class Counting:
        def match(self, text: str, position: int) -> re.Match[str] | None:
            nonlocal steps
            match = pattern.match(text, position)
            steps += match.end() - position if match else 1
            return match

    monkeypatch.setattr(passback, "_TOKEN", Counting())
    outcome(read_passback, LONG[name])

    assert 0 < steps <= 3 * len(LONG[name])


@pytest.mark.parametrize("name", LONG)
def test_memory_stays_small(name: str) -> None:
    """No text of the longest permitted length takes ten megabytes."""
    tracemalloc.start()
    try:
        outcome(read_passback, LONG[name])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 10_000_000
