"""The bulk validation: whatever an answer holds, it comes out as if each item had been judged by itself."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app_types import Batch, Rejected, Window
from source import bulk, decoding
from source.bulk import Terms, judge_answer, judge_body
from source.decoding import Answer, decode
from source.rows import pack
from source.validation import judge, validate
from tests.support.binary_copy import rows_of
from tests.support.events_api import USER_ID, make_event

HOUR = Window(datetime(2023, 4, 1, 12, tzinfo=UTC), datetime(2023, 4, 1, 13, tzinfo=UTC))
MIDNIGHT = Window(datetime(2023, 2, 28, 23, 30, tzinfo=UTC), datetime(2023, 3, 1, 0, 30, tzinfo=UTC))
LENGTH, RUN = 32, 7
GOOD = make_event()["passback_params"]


def assert_same(body: bytes, window: Window = HOUR, length: int = LENGTH) -> None:
    """Compare the bulk validation, in parts of any length, with that of each item."""
    careful = pack(window, validate(decode(body), window, length), run_id=RUN)
    for part in (1, 1_000, len(body)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(decoding, "_PART", part)
            quick = judge_body(body, str, window, Terms(length, RUN))
        assert quick.run_id == RUN
        assert set(rows_of(quick)) == set(rows_of(careful))
        assert len(rows_of(quick)) == len(rows_of(careful))
        assert list(quick.noted) == list(careful.noted)
        assert (quick.received, quick.repeated, quick.defective) == (
            careful.received,
            careful.repeated,
            careful.defective,
        )


def spelled(items: list[Any], *, compact: bool = False, escaped: bool = True) -> bytes:
    """Write items as JSON."""
    separators = (",", ":") if compact else (", ", ": ")
    return json.dumps(items, separators=separators, ensure_ascii=escaped).encode("utf-8", "surrogatepass")


def usual(number: int) -> list[dict[str, Any]]:
    """Return sound events, a second apart."""
    start = HOUR.start + timedelta(milliseconds=1)
    return [
        make_event(created_at=f"{start + timedelta(seconds=second):%Y-%m-%d %H:%M:%S.%f}") for second in range(number)
    ]


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "lti_user_id": st.sampled_from(
        [
            USER_ID,
            "f" * 32,
            "F-._9" * 6 + "aa",
            None,
            "",
            "f" * 31,
            "f" * 33,
            "f" * 31 + " ",
            "f" * 31 + "\n",
            "я" * 32,
            5,
            ["f" * 32],
            {"a": 1},
            True,
        ]
    ),
    "passback_params": st.sampled_from(
        [
            GOOD,
            None,
            "",
            "{}",
            "{'oauth_consumer_key': ''}",
            GOOD.replace("'", '"'),
            GOOD.replace("''", "None", 1),
            GOOD.replace("lis_outcome_service_url", "x"),
            GOOD.replace("oauth_consumer_key", "lis_result_sourcedid"),
            GOOD.replace("lis_outcome_service_url", "lis_result_sourcedid"),
            f"{GOOD},{GOOD}",
            f"{GOOD}\n{GOOD}",
            GOOD + " ",
            " " + GOOD,
            GOOD[:-1],
            GOOD[1:],
            GOOD[:-2] + ",}",
            GOOD.replace(": ''", ": '\\n'"),
            GOOD.replace(": ''", ": 'a\nb'"),
            GOOD.replace(": ''", ": 'a\tb'"),
            GOOD.replace(": ''", ": 'дом'"),
            GOOD.replace(": ''", ": '\\''"),
            GOOD.replace(": ''", ": 'a\x7fb'"),
            GOOD.replace(": ''", ": '\x00'"),
            GOOD.replace(": ''", f": '{'k' * 1700}'"),
            GOOD.replace(": ''", f": '{'k' * 2001}'"),
            "x" * 20000,
            GOOD.replace("', 'lis", "','lis"),
            GOOD.replace(": '", ":'"),
            GOOD.replace("{", "{{"),
            5,
            [GOOD],
            "{'",
            GOOD.replace(f":{USER_ID}", f":{'e' * 32}"),
            GOOD.replace(f":{USER_ID}", ""),
            "'}\n{'",
            "{'a': '",
        ]
    )
    | st.text("{}':, \n\\\"ab", max_size=30),
    "is_correct": st.sampled_from([None, 0, 1, True, False, 2, -1, 1.0, 0.0, "1", [], {}, 10**30]),
    "attempt_type": st.sampled_from(["run", "submit", "RUN", "", None, 1, ["run"], "run ", "submits"]),
    "created_at": st.sampled_from(
        [
            "2023-04-01 12:00:00",
            "2023-04-01 12:00:00.000000",
            "2023-04-01T12:30:00.5",
            "2023-04-01 13:00:00.000000",
            "2023-04-01 12:59:59.999999",
            "2023-04-01 11:59:59.999999",
            "2023-04-01 12:60:00.000000",
            "infinity",
            None,
            "2023-04-01 12:00:60.000000",
            "2023-04-01 15:30:00.000000+03:00",
            "2023-04-01 12:00:00.000000Z",
            "x" * 26,
            "2023-04-31 12:30:00.000000",
            "2023-04-0112:30:00.0000000",
            "２０２３-04-01 12:30:00.000000",
            5,
            "",
            [],
            "2023-04-01 12:30:00.0000\n0",
        ]
    ),
}

NOON = "2023-04-01 12:00:00.000000"
END = "2023-04-01 13:00:00.000000"
"""A moment that is the next window's."""

PIECES = [GOOD, GOOD[:-1], GOOD[1:], "{'", "'}", "{", "}", ",", "\n", "'", ": ", "'a'", "{}"]


@st.composite
def answers(draw: st.DrawFn) -> list[Any]:
    """Draw an answer: usual events, some with one or two unusual values, and now and then something else."""
    items: list[Any] = usual(draw(st.integers(0, 5)))
    for name in draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=4)):
        if items:
            items[draw(st.integers(0, len(items) - 1))][name] = draw(VALUES[name])
    others: list[Any] = draw(st.lists(st.sampled_from([None, 5, [], {}, {"lti_user_id": None}, "x"]), max_size=1))
    for other in others:
        items.insert(draw(st.integers(0, len(items))), other)
    items += [dict(item) for item in items if isinstance(item, dict) and draw(st.integers(0, 9)) == 0]
    if draw(st.booleans()):
        items.insert(0, make_event(created_at=END))
    if draw(st.booleans()):
        near = draw(st.sampled_from([make_event(created_at=NOON), *usual(1)]))
        name = draw(st.sampled_from(sorted(VALUES)))
        items.append({**near, name: draw(VALUES[name])})
    shuffled: list[Any] = draw(st.permutations(items))
    return shuffled


@settings(max_examples=1_500, deadline=None)
@given(answers(), st.booleans(), st.booleans())
@example([], True, True)
@example([*usual(3), make_event(passback_params=f"{GOOD},{GOOD}"), make_event(passback_params="")], False, True)
@example(
    [
        make_event(created_at=END),
        make_event(created_at=NOON),
        make_event(created_at=NOON, passback_params=None),
    ],
    False,
    True,
)
@example(
    [
        *[make_event(created_at=END)] * 3,
        make_event(created_at=NOON, attempt_type="submit", is_correct=0),
        make_event(created_at=NOON.replace(" ", "T"), attempt_type="submit", is_correct=1),
    ],
    False,
    True,
)
def test_bulk_validation_decides_as_that_of_each_item(items: list[Any], compact: bool, escaped: bool) -> None:
    """Rows, rejected events, defects, repeated keys and counts are the same, however the answer is spelled."""
    try:
        body = spelled(items, compact=compact, escaped=escaped)
    except UnicodeEncodeError:
        return
    assert_same(body)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(PIECES), max_size=5).map("".join).filter(bool),
        min_size=1,
        max_size=4,
    )
)
@example([f"{GOOD[:-1]},{GOOD[1:]}"])
def test_no_literal_is_completed_by_another(texts: list[str]) -> None:
    """Literals are read together, yet each has to be whole by itself: no sum of wrong parts makes it look right."""
    events = [{**event, "passback_params": text} for event, text in zip(usual(len(texts)), texts, strict=True)]
    assert_same(spelled([*events, *usual(1)]))


@pytest.mark.parametrize(
    "moment", ["2023-02-29 00:10:00.000000", "2023-02-30 00:10:00.000000", "2023-02-28 23:59:00.000000"]
)
def test_date_that_does_not_exist_is_found_at_the_turn_of_a_month(moment: str) -> None:
    """As a text a date that no calendar has lies between the bounds; it is rejected all the same."""
    assert_same(spelled([make_event(created_at=moment), make_event(created_at="2023-03-01 00:10:00.000000")]), MIDNIGHT)


@pytest.mark.parametrize("length", [1, 8, 200, 300])
def test_user_ids_may_be_of_any_length(length: int) -> None:
    """Rows of usual events are right whatever length the setting asks for."""
    user_id = "a" * length
    events = [
        {**event, "passback_params": GOOD.replace(USER_ID, user_id), "lti_user_id": user_id} for event in usual(3)
    ]
    assert_same(spelled(events), length=length)
    assert [row.user_id for row in rows_of(judge_body(spelled(events), str, HOUR, Terms(length)))] == [user_id] * 3


def test_repeated_name_is_found_however_it_is_spelled() -> None:
    """An event in which a name stands twice is rejected in any company."""
    good = spelled(usual(3))[1:-1]
    for extra in (b', "is_correct": 1}', b',"is_correct":1}', b', "is_correct" : 1}', b', "\\u0069s_correct": 1}'):
        odd = spelled(usual(4)[3:])[1:-2] + extra
        batch = judge_answer(decode(b"[" + good + b", " + odd + b"]"), HOUR, Terms(LENGTH))
        assert [item.reason.value for item in batch.rejected] == ["duplicate_name"]
        assert len(rows_of(batch)) == 3


def test_name_beyond_the_five_is_passed_over() -> None:
    """A further name, in every event or in one, changes nothing."""
    items = [{**event, "score": "x"} for event in usual(3)]
    batch = judge_answer(decode(spelled(items)), HOUR, Terms(LENGTH))
    assert len(rows_of(batch)) == 3
    assert rows_of(batch) == rows_of(judge_answer(decode(spelled(usual(3))), HOUR, Terms(LENGTH)))


def test_usual_answer_is_not_judged_item_by_item(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is unusual costs more: of a large answer just those events are judged by themselves."""
    items = usual(1_000)
    dice = random.Random(1)
    for index in dice.sample(range(1_000), 20):
        items[index]["lti_user_id"] = None
    judged: list[int] = []

    def noted(answer: Answer, index: int, window: Window, length: int) -> object:
        judged.append(index)
        return judge(answer, index, window, length)

    monkeypatch.setattr(bulk, "judge", noted)
    batch = judge_answer(decode(spelled(items)), HOUR, Terms(LENGTH))

    assert len(judged) == 20
    assert (len(rows_of(batch)), len(batch.rejected)) == (980, 20)
    assert all(isinstance(item, Rejected) for _, item in batch.noted)


@pytest.mark.parametrize(("passback", "whole"), [(GOOD.replace(": ''", ": 'k'"), 1), (GOOD.replace("lms.", "lti."), 0)])
def test_moment_in_common_does_not_make_an_answer_be_read_twice(
    monkeypatch: pytest.MonkeyPatch, passback: str, whole: int
) -> None:
    """Only where two parts hold an event of one key, and not just of one moment, the answer is judged as a whole."""
    first, *others = usual(50)
    body = spelled([first, *others, {**first, "passback_params": passback}])
    judged: list[int] = []

    def noted(answer: Answer, window: Window, terms: Terms, **options: Any) -> Batch:
        judged.append(len(answer.items))
        return judge_answer(answer, window, terms, **options)

    monkeypatch.setattr(decoding, "_PART", 5_000)
    monkeypatch.setattr(bulk, "judge_answer", noted)
    batch = judge_body(body, str, HOUR, Terms(LENGTH))

    assert (judged, batch.received, batch.repeated) == ([51] * whole, 51, whole)
