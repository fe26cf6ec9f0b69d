"""The validation of single events: valid, valid with defects, or rejected with a reason."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app_types import AttemptType, Defect, Event, Reason, Rejected, Window
from source.decoding import decode
from source.passback import MOST_CHARACTERS
from source.validation import MOST_FIELD_BYTES, read_created_at, validate
from tests.support.events_api import USER_ID, make_event, make_passback

HOUR = Window(datetime(2023, 4, 1, 12, tzinfo=UTC), datetime(2023, 4, 1, 13, tzinfo=UTC))
OTHER_USER = "f" * 32
PASSBACK_FIELDS = ("oauth_consumer_key", "lis_result_sourcedid", "lis_outcome_service_url")
ABSENT = ...
"""Stands for a name that an event does not have."""


def utc(*parts: int) -> datetime:
    """Return a moment of UTC."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


def judge_all(*items: object, window: Window = HOUR, length: int = 32) -> list[Event | Rejected]:
    """Validate an answer with these items."""
    return validate(decode(json.dumps(items).encode()), window, length)


def judge(window: Window = HOUR, length: int = 32, **changes: object) -> Event | Rejected:
    """Validate a good event with changes; `ABSENT` takes a name away."""
    event = {name: value for name, value in make_event(**changes).items() if value is not ABSENT}
    (item,) = judge_all(event, window=window, length=length)
    return item


def reason(**changes: Any) -> Reason | None:
    """Return why a good event with changes is rejected, None where it is not."""
    item = judge(**changes)
    return item.reason if isinstance(item, Rejected) else None


def defects(**changes: Any) -> tuple[Defect, ...]:
    """Return the defects of a good event with changes, which must be valid."""
    item = judge(**changes)
    assert isinstance(item, Event)
    return item.defects


# Valid events


def test_good_run_is_valid() -> None:
    """A good event becomes a record with all its fields and no defect."""
    assert judge() == Event(
        user_id=USER_ID,
        created_at=datetime(2023, 4, 1, 12, 0, 0, 1, tzinfo=UTC),
        attempt_type=AttemptType.RUN,
        is_correct=None,
        oauth_consumer_key="",
        lis_result_sourcedid=(
            f"course-v1:DEMO+PY-101+2023_SPRING:lms.example.org-ca3ecf8e5f284c329eb7bd529e1a9f7e:{USER_ID}"
        ),
        lis_outcome_service_url=(
            "https://lms.example.org/courses/course-v1:DEMO+PY-101+2023_SPRING/xblock/block-v1:DEMO+PY-101+2023_SPRING"
            "+type@lti+block@ca3ecf8e5f284c329eb7bd529e1a9f7e/handler_noauth/grade_handler"
        ),
    )


def test_event_of_the_description_is_valid() -> None:
    """The very event that the description of the source shows is read without a defect."""
    text = (
        '[{"lti_user_id": "3583bf109f8b458e13ae1ac9d85c396a", "passback_params": "{\'oauth_consumer_key\': \'\', '
        "'lis_result_sourcedid': 'course-v1:SkillFactory+DST-3.0+28FEB2021:lms.skillfactory.ru-"
        "ca3ecf8e5f284c329eb7bd529e1a9f7e:3583bf109f8b458e13ae1ac9d85c396a', 'lis_outcome_service_url': "
        "'https://lms.skillfactory.ru/courses/course-v1:SkillFactory+DST-3.0+28FEB2021/xblock/block-v1:SkillFactory+"
        "DST-3.0+28FEB2021+type@lti+block@ca3ecf8e5f284c329eb7bd529e1a9f7e/handler_noauth/grade_handler'}\", "
        '"is_correct": null, "attempt_type": "run", "created_at": "2023-05-31 09:16:11.313646"}]'
    )
    day = Window(datetime(2023, 5, 31, tzinfo=UTC), datetime(2023, 6, 1, tzinfo=UTC))
    (event,) = validate(decode(text.encode()), day, 32)

    assert isinstance(event, Event)
    assert event.created_at == datetime(2023, 5, 31, 9, 16, 11, 313646, tzinfo=UTC)
    assert event.lis_result_sourcedid is not None
    assert event.defects == ()


def test_foreign_names_are_passed_over() -> None:
    """What else an event holds does not matter."""
    assert judge(more={"x": [1]}) == judge()


def test_items_keep_the_order_of_the_answer() -> None:
    """Good, flawed and rejected events stay in their order, and all are counted."""
    batch = judge_all(
        make_event(lti_user_id=OTHER_USER), None, make_event(passback_params=None), make_event(lti_user_id=None)
    )

    assert [type(item) for item in batch] == [Event, Rejected, Event, Rejected]
    assert len(batch) == 4


# Reasons


REJECTED: dict[str, tuple[object, Reason]] = {
    "null_instead_of_an_event": (None, Reason.NOT_AN_OBJECT),
    "text_instead_of_an_event": ("event", Reason.NOT_AN_OBJECT),
    "list_instead_of_an_event": ([make_event()], Reason.NOT_AN_OBJECT),
    "empty_object": ({}, Reason.USER_ID_MISSING),
    "user_id_null": (make_event(lti_user_id=None), Reason.USER_ID_MISSING),
    "user_id_absent": ({**make_event(), "lti_user_id": ABSENT}, Reason.USER_ID_MISSING),
    "user_id_empty": (make_event(lti_user_id=""), Reason.USER_ID_LENGTH),
    "user_id_of_31": (make_event(lti_user_id="a" * 31), Reason.USER_ID_LENGTH),
    "user_id_of_33": (make_event(lti_user_id="a" * 33), Reason.USER_ID_LENGTH),
    "user_id_with_line_break_after": (make_event(lti_user_id="a" * 32 + "\n"), Reason.USER_ID_LENGTH),
    "user_id_ends_with_line_break": (make_event(lti_user_id="a" * 31 + "\n"), Reason.USER_ID_CHARACTERS),
    "user_id_with_blank": (make_event(lti_user_id="a" * 31 + " "), Reason.USER_ID_CHARACTERS),
    "user_id_blank": (make_event(lti_user_id=" " * 32), Reason.USER_ID_CHARACTERS),
    "user_id_with_slash": (make_event(lti_user_id="/" + "a" * 31), Reason.USER_ID_CHARACTERS),
    "user_id_with_colon": (make_event(lti_user_id=":" + "a" * 31), Reason.USER_ID_CHARACTERS),
    "user_id_with_formula": (make_event(lti_user_id="=" + "a" * 31), Reason.USER_ID_CHARACTERS),
    "user_id_with_NUL": (make_event(lti_user_id="\0" + "a" * 31), Reason.USER_ID_CHARACTERS),
    "user_id_with_homoglyph": (make_event(lti_user_id="а" + "a" * 31), Reason.USER_ID_CHARACTERS),
    "user_id_with_emoji": (make_event(lti_user_id="😀" + "a" * 31), Reason.USER_ID_CHARACTERS),
    "user_id_with_combining_mark": (make_event(lti_user_id="a" * 31 + "\u0301"), Reason.USER_ID_CHARACTERS),
    "user_id_with_fullwidth_digit": (make_event(lti_user_id="1" * 31 + "１"), Reason.USER_ID_CHARACTERS),
    "user_id_with_lone_surrogate": (make_event(lti_user_id="a" * 31 + "\ud800"), Reason.USER_ID_CHARACTERS),
    "user_id_number": (make_event(lti_user_id=int("1" * 32)), Reason.USER_ID_CHARACTERS),
    "user_id_list": (make_event(lti_user_id=["a"] * 32), Reason.USER_ID_CHARACTERS),
    "user_id_truth": (make_event(lti_user_id=False), Reason.USER_ID_CHARACTERS),
    "time_null": (make_event(created_at=None), Reason.CREATED_AT_UNREADABLE),
    "time_absent": (make_event(created_at=ABSENT), Reason.CREATED_AT_UNREADABLE),
    "time_number": (make_event(created_at=1680350400), Reason.CREATED_AT_UNREADABLE),
    "before_the_window": (make_event(created_at="2023-04-01 11:59:59.999999"), Reason.OUTSIDE_WINDOW),
    "after_the_window": (make_event(created_at="2023-04-01 13:00:00.000001"), Reason.OUTSIDE_WINDOW),
    "on_another_day": (make_event(created_at="2023-04-02 12:30:00"), Reason.OUTSIDE_WINDOW),
    "within_by_its_clock_not_by_its_offset": (
        make_event(created_at="2023-04-01 12:30:00+03:00"),
        Reason.OUTSIDE_WINDOW,
    ),
    "attempt_type_null": (make_event(attempt_type=None), Reason.ATTEMPT_TYPE_UNKNOWN),
    "attempt_type_absent": (make_event(attempt_type=ABSENT), Reason.ATTEMPT_TYPE_UNKNOWN),
    "attempt_type_empty": (make_event(attempt_type=""), Reason.ATTEMPT_TYPE_UNKNOWN),
    "attempt_type_in_capitals": (make_event(attempt_type="RUN"), Reason.ATTEMPT_TYPE_UNKNOWN),
    "attempt_type_with_blank": (make_event(attempt_type="run "), Reason.ATTEMPT_TYPE_UNKNOWN),
    "attempt_type_other": (make_event(attempt_type="delete"), Reason.ATTEMPT_TYPE_UNKNOWN),
    "attempt_type_list": (make_event(attempt_type=["run"]), Reason.ATTEMPT_TYPE_UNKNOWN),
    "attempt_type_object": (make_event(attempt_type={"run": 1}), Reason.ATTEMPT_TYPE_UNKNOWN),
    "is_correct_2": (make_event(is_correct=2), Reason.IS_CORRECT_UNKNOWN),
    "is_correct_minus_1": (make_event(is_correct=-1), Reason.IS_CORRECT_UNKNOWN),
    "is_correct_1.0": (make_event(is_correct=1.0), Reason.IS_CORRECT_UNKNOWN),
    "is_correct_0.0": (make_event(is_correct=0.0), Reason.IS_CORRECT_UNKNOWN),
    "is_correct_text_1": (make_event(is_correct="1"), Reason.IS_CORRECT_UNKNOWN),
    "is_correct_text_true": (make_event(is_correct="true"), Reason.IS_CORRECT_UNKNOWN),
    "is_correct_empty": (make_event(is_correct=""), Reason.IS_CORRECT_UNKNOWN),
    "is_correct_list": (make_event(is_correct=[1]), Reason.IS_CORRECT_UNKNOWN),
    "is_correct_huge": (make_event(is_correct=10**30), Reason.IS_CORRECT_UNKNOWN),
    "passback_number": (make_event(passback_params=0), Reason.PASSBACK_UNREADABLE),
    "passback_truth": (make_event(passback_params=False), Reason.PASSBACK_UNREADABLE),
    "passback_object": (make_event(passback_params={"oauth_consumer_key": ""}), Reason.PASSBACK_UNREADABLE),
    "passback_empty_list": (make_event(passback_params=[]), Reason.PASSBACK_UNREADABLE),
    "passback_blank": (make_event(passback_params=" "), Reason.PASSBACK_UNREADABLE),
    "passback_None_in_text": (make_event(passback_params="None"), Reason.PASSBACK_UNREADABLE),
    "passback_null_in_text": (make_event(passback_params="null"), Reason.PASSBACK_UNREADABLE),
    "passback_code": (make_event(passback_params="__import__('os').getcwd()"), Reason.PASSBACK_UNREADABLE),
    "passback_cut": (make_event(passback_params=make_passback()[:-5]), Reason.PASSBACK_UNREADABLE),
    "passback_repeated_key": (make_event(passback_params="{'a': '', 'a': ''}"), Reason.PASSBACK_UNREADABLE),
    "passback_number_in_a_field": (make_event(passback_params="{'oauth_consumer_key': 1}"), Reason.PASSBACK_UNREADABLE),
    "passback_too_long": (
        make_event(passback_params="{'x': '" + "a" * MOST_CHARACTERS + "'}"),
        Reason.PASSBACK_TOO_LONG,
    ),
    "passback_far_too_long": (make_event(passback_params="-" * 2_000_000), Reason.PASSBACK_TOO_LONG),
    "field_too_long": (
        make_event(passback_params=make_passback(oauth_consumer_key="a" * 2_001)),
        Reason.FIELD_TOO_LONG,
    ),
    "NUL_in_a_field": (make_event(passback_params="{'oauth_consumer_key': '\\x00'}"), Reason.TEXT_NOT_STORABLE),
    "surrogate_in_a_field": (make_event(passback_params="{'oauth_consumer_key': '\ud800'}"), Reason.TEXT_NOT_STORABLE),
}


@pytest.mark.parametrize(("item", "expected"), REJECTED.values(), ids=REJECTED)
def test_event_is_rejected_with_its_reason(item: object, expected: Reason) -> None:
    """An event that cannot be loaded is kept with a stable reason and its own text; the one beside it is loaded."""
    if isinstance(item, dict):
        item = {name: value for name, value in item.items() if value is not ABSENT}
    rejected, good = judge_all(item, make_event())

    assert isinstance(rejected, Rejected)
    assert rejected.reason is expected
    assert rejected.raw.isascii()
    assert json.loads(rejected.raw) == item
    assert isinstance(good, Event)


def test_repeated_name_is_rejected() -> None:
    """An event in which a name stands twice has no clear meaning."""
    text = json.dumps(make_event())
    rejected, good = validate(decode(f'[{text[:-1]}, "is_correct": 1}}, {text}]'.encode()), HOUR, 32)

    assert isinstance(rejected, Rejected)
    assert rejected.reason is Reason.DUPLICATE_NAME
    assert rejected.raw == text[:-1] + ', "is_correct": 1}'
    assert isinstance(good, Event)


def test_every_reason_has_a_case() -> None:
    """No reason is left without a test."""
    assert {expected for _, expected in REJECTED.values()} | {Reason.DUPLICATE_NAME} == set(Reason)


def test_first_reason_counts() -> None:
    """Of several flaws the first in a fixed order is told, so that the reason of an event never changes."""
    flaws: list[tuple[dict[str, object], Reason]] = [
        ({"lti_user_id": None}, Reason.USER_ID_MISSING),
        ({"created_at": "yesterday"}, Reason.CREATED_AT_UNREADABLE),
        ({"attempt_type": "delete"}, Reason.ATTEMPT_TYPE_UNKNOWN),
        ({"is_correct": "yes"}, Reason.IS_CORRECT_UNKNOWN),
        ({"passback_params": "()"}, Reason.PASSBACK_UNREADABLE),
    ]

    for place in range(len(flaws)):
        changes: dict[str, object] = {}
        for change, _ in flaws[place:]:
            changes |= change
        assert reason(**changes) is flaws[place][1]


def test_outside_of_the_window_is_told_before_the_flaws_of_the_values() -> None:
    """An event of another time is told as such, whatever else is wrong with it."""
    assert reason(created_at="2023-04-01 14:00:00", attempt_type="delete") is Reason.OUTSIDE_WINDOW
    assert reason(created_at="2023-04-01 14:00:00", lti_user_id="a") is Reason.USER_ID_LENGTH


# Windows


def test_event_at_the_start_of_the_window_is_valid() -> None:
    """The start belongs to the window."""
    assert reason(created_at="2023-04-01 12:00:00") is None


def test_event_just_before_the_end_of_the_window_is_valid() -> None:
    """The last microsecond belongs to the window."""
    assert reason(created_at="2023-04-01 12:59:59.999999") is None


@pytest.mark.parametrize(
    "changes",
    [{}, {"lti_user_id": None}, {"attempt_type": "delete"}, {"passback_params": "()"}],
    ids=["good", "no_user", "unknown_type", "unreadable"],
)
@pytest.mark.parametrize(
    "created_at",
    ["2023-04-01 13:00:00", "2023-04-01T13:00:00.000000Z", "2023-04-01 16:00:00+03:00"],
    ids=["plain", "with_fraction", "with_offset"],
)
def test_event_at_the_excluded_end_is_neither_kept_nor_counted(created_at: str, changes: dict[str, object]) -> None:
    """An event exactly at the end belongs to the next window, good or not, and leaves no trace in this one."""
    batch = judge_all(make_event(created_at=created_at, **changes), make_event())

    assert [type(item) for item in batch] == [Event]
    assert len(batch) == 1


# Times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-04-01 12:30:45", utc(2023, 4, 1, 12, 30, 45)),
        ("2023-04-01T12:30:45", utc(2023, 4, 1, 12, 30, 45)),
        ("2023-04-01 12:30:45.1", utc(2023, 4, 1, 12, 30, 45, 100000)),
        ("2023-04-01 12:30:45.12", utc(2023, 4, 1, 12, 30, 45, 120000)),
        ("2023-04-01 12:30:45.0123", utc(2023, 4, 1, 12, 30, 45, 12300)),
        ("2023-04-01 12:30:45.01234", utc(2023, 4, 1, 12, 30, 45, 12340)),
        ("2023-04-01 12:30:45.000001", utc(2023, 4, 1, 12, 30, 45, 1)),
        ("2023-04-01 12:30:45.999999Z", utc(2023, 4, 1, 12, 30, 45, 999999)),
        ("2023-04-01T12:30:45Z", utc(2023, 4, 1, 12, 30, 45)),
        ("2023-04-01 12:30:45+03:00", utc(2023, 4, 1, 9, 30, 45)),
        ("2023-04-01 12:30:45.5-05:30", utc(2023, 4, 1, 18, 0, 45, 500000)),
        ("2023-04-01 01:00:00+03:00", utc(2023, 3, 31, 22)),
        ("2023-04-01 12:30:45+00:00", utc(2023, 4, 1, 12, 30, 45)),
        ("2023-04-01 12:30:45-00:00", utc(2023, 4, 1, 12, 30, 45)),
        ("2023-04-01 12:30:45+23:59", utc(2023, 3, 31, 12, 31, 45)),
        ("2024-02-29 00:00:00", utc(2024, 2, 29)),
        ("0001-01-01 00:00:00", utc(1, 1, 1)),
        ("9999-12-31 23:59:59.999999", utc(9999, 12, 31, 23, 59, 59, 999999)),
    ],
    ids=str,
)
def test_time_is_read(text: str, expected: datetime) -> None:
    """Date, blank or T, time, up to six digits of fraction, Z or an offset: read, and converted to UTC."""
    moment = read_created_at(text)

    assert moment == expected
    assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        "",
        "now",
        "today",
        "infinity",
        "-infinity",
        "epoch",
        "2023-04-01",
        "12:30:45",
        "2023-04-01 ",
        "2023-04-01 12",
        "2023-04-01 12:30",
        "2023-04-01 24:00:00",
        "2023-04-01 23:60:00",
        "2023-04-01 23:59:60",
        "2023-04-01 12:30:45.",
        "2023-04-01 12:30:45.1234567",
        "2023-04-01 12:30:45,5",
        "2023-04-01t12:30:45",
        "2023-04-01_12:30:45",
        "2023-04-01  12:30:45",
        "2023-04-01 12:30:45z",
        "2023-04-01 12:30:45 Z",
        "2023-04-01 12:30:45 +03:00",
        "2023-04-01 12:30:45+03",
        "2023-04-01 12:30:45+0300",
        "2023-04-01 12:30:45+03:00:00",
        "2023-04-01 12:30:45+24:00",
        "2023-04-01 12:30:45+99:99",
        "2023-04-01 12:30:45\u221203:00",
        "2023-04-01 12:30:45 UTC",
        "2023-04-01 12:30:45 AD",
        "2023-04-01 12:30:45 BC",
        " 2023-04-01 12:30:45",
        "2023-04-01 12:30:45 ",
        "2023-04-01 12:30:45\n",
        "2023-04-01 12:30:45\0",
        "2023-4-1 12:30:45",
        "20230401 12:30:45",
        "20230401T123045",
        "2023-W13-6 12:30:45",
        "2023-091 12:30:45",
        "01/04/2023 12:30:45",
        "2023-02-29 12:30:45",
        "2023-13-01 12:30:45",
        "2023-00-01 12:30:45",
        "0000-01-01 00:00:00",
        "-2023-04-01 12:30:45",
        "12023-04-01 12:30:45",
        "２０２３-04-01 12:30:45",
        "٢٠٢٣-04-01 12:30:45",
        "0001-01-01 00:00:00+00:01",
        "9999-12-31 23:59:59-00:01",
        "2023-04-01 12:30:45." + "0" * 100_000,
        None,
        1680352245,
        1680352245.5,
        True,
        ["2023-04-01 12:30:45"],
    ],
    ids=lambda value: repr(value)[:40],
)
def test_other_forms_of_time_are_not_read(value: object) -> None:
    """Every other form is refused, also those that Python or PostgreSQL would take."""
    assert read_created_at(value) is None
    assert reason(created_at=value) is Reason.CREATED_AT_UNREADABLE


EARLY, LATE = (datetime.fromisoformat(text) for text in ("0001-01-03", "9999-12-29"))


@settings(deadline=None)
@given(
    moment=st.datetimes(EARLY, LATE, timezones=st.just(UTC)),
    separator=st.sampled_from(" T"),
    offset=st.integers(-1439, 1439),
)
def test_every_moment_is_read_back(moment: datetime, separator: str, offset: int) -> None:
    """Whatever Python writes of a moment, with or without an offset, is read as that moment."""
    written = moment.isoformat(sep=separator)
    elsewhere = moment.astimezone(timezone(timedelta(minutes=offset)))

    assert read_created_at(written) == moment
    assert read_created_at(written.removesuffix("+00:00")) == moment
    assert read_created_at(written.replace("+00:00", "Z")) == moment
    assert read_created_at(elsewhere.isoformat(sep=separator)) == moment


@settings(deadline=None, max_examples=300)
@given(
    text=st.one_of(
        st.text(max_size=40), st.from_regex(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?([zZ]|[+-]\d\d:?\d\d)?")
    )
)
@example(text="2023-04-01 12:30:45\n")
def test_any_text_is_a_time_of_the_form_or_none(text: str) -> None:
    """No text makes the reader fail, and what it reads has the one form that is agreed."""
    moment = read_created_at(text)

    if moment is not None:
        assert re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9:]{8}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})?", text)
        assert moment.tzinfo is UTC


# User ids


@pytest.mark.parametrize(
    "user_id", ["0123456789abcdefghijklmnopqrstuv", "ABCDEFGHIJKLMNOPQRSTUVWXYZ.-_0aZ", "-" * 32, "." * 32], ids=str
)
def test_user_id_of_the_permitted_characters_is_kept(user_id: str) -> None:
    """Latin letters, digits, dot, underscore and hyphen are kept as they are."""
    event = judge(lti_user_id=user_id)

    assert isinstance(event, Event)
    assert event.user_id == user_id


@pytest.mark.parametrize("length", [1, 8, 255])
def test_length_of_the_user_id_is_a_setting(length: int) -> None:
    """The user id has just as many characters as the setting says."""
    assert reason(length=length, lti_user_id="a" * length) is None
    assert reason(length=length, lti_user_id="a" * (length + 1)) is Reason.USER_ID_LENGTH
    assert reason(length=length, lti_user_id="a" * (length - 1)) is Reason.USER_ID_LENGTH


# Attempts and their outcome


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, None), (ABSENT, None), (0, False), (1, True), (False, False), (True, True)],
    ids=["null", "absent", "0", "1", "false", "true"],
)
def test_is_correct_is_read(value: object, expected: bool | None) -> None:
    """Null, absent, 0, 1, false and true are what the source may say of the outcome."""
    event = judge(attempt_type="submit", is_correct=value)

    assert isinstance(event, Event)
    assert event.is_correct is expected


@pytest.mark.parametrize(
    ("attempt_type", "is_correct", "contradiction"),
    [
        ("run", None, False),
        ("run", ABSENT, False),
        ("run", 0, True),
        ("run", 1, True),
        ("run", False, True),
        ("submit", None, True),
        ("submit", ABSENT, True),
        ("submit", 0, False),
        ("submit", 1, False),
        ("submit", True, False),
    ],
)
def test_outcome_that_contradicts_the_attempt_is_a_defect(
    attempt_type: str, is_correct: object, contradiction: bool
) -> None:
    """A run has no outcome and a submit has one; another pairing is loaded, marked."""
    expected = (Defect.CORRECTNESS_MISMATCH,) if contradiction else ()

    assert defects(attempt_type=attempt_type, is_correct=is_correct) == expected


# Passback parameters


@pytest.mark.parametrize(
    "value",
    [None, ABSENT, "", "{}", " { } ", "{'x': 1}", "{'oauth_consumer_key': None}"],
    ids=["null", "absent", "empty", "empty_dict", "dict_with_blanks", "foreign_fields_alone", "None_alone"],
)
def test_passback_without_content_is_a_defect(value: object) -> None:
    """An event without any passback field is loaded, with this one defect."""
    event = judge(passback_params=value)

    assert isinstance(event, Event)
    assert event.defects == (Defect.PASSBACK_MISSING,)
    assert (event.oauth_consumer_key, event.lis_result_sourcedid, event.lis_outcome_service_url) == (None, None, None)


@pytest.mark.parametrize(
    ("name", "defect"),
    [
        ("oauth_consumer_key", Defect.CONSUMER_KEY_MISSING),
        ("lis_result_sourcedid", Defect.SOURCEDID_MISSING),
        ("lis_outcome_service_url", Defect.SERVICE_URL_MISSING),
    ],
)
@pytest.mark.parametrize("value", [ABSENT, None], ids=["absent", "None"])
def test_absent_passback_field_is_a_defect(name: str, defect: Defect, value: Any) -> None:
    """A field that is not there is told by its own defect; the others are kept."""
    event = judge(passback_params=make_passback(**{name: value}))

    assert isinstance(event, Event)
    assert event.defects == (defect,)
    assert [getattr(event, other) is None for other in PASSBACK_FIELDS] == [other == name for other in PASSBACK_FIELDS]


@pytest.mark.parametrize("name", PASSBACK_FIELDS)
def test_empty_passback_field_is_kept(name: str) -> None:
    """An empty text is kept as it is and is no defect."""
    event = judge(passback_params=make_passback(**{name: ""}))

    assert isinstance(event, Event)
    assert getattr(event, name) == ""
    assert event.defects == ()


@pytest.mark.parametrize(
    ("sourcedid", "mismatch"),
    [
        (f"course-v1:A+B+C:host-block:{USER_ID}", False),
        (f"A/B/C:host-block:{USER_ID}", False),
        (f"course-v1%3AA%2BB%2BC:host-block:{USER_ID.replace('3', '%33')}", False),
        (f"course-v1:A+B+C:host-block:{OTHER_USER}", True),
        (f"course-v1:A+B+C:host-block:{USER_ID.upper()}", True),
        (f"course-v1:A+B+C:host-block:{USER_ID} ", True),
        ("course-v1:A+B+C:host-block:", True),
        (f":{USER_ID}", False),
        (f":{OTHER_USER}", True),
        (USER_ID, False),
        (OTHER_USER, False),
        ("", False),
    ],
    ids=[
        "same",
        "older_course_key",
        "percent_encoded",
        "other",
        "other_case",
        "blank_after",
        "nobody",
        "user_alone",
        "other_user_alone",
        "no_colon",
        "other_user_without_colon",
        "empty",
    ],
)
def test_user_id_that_differs_from_the_sourcedid_is_a_defect(sourcedid: str, mismatch: bool) -> None:
    """The user that the sourcedid names at its end, if it does, is the user of the event."""
    expected = (Defect.USER_ID_MISMATCH,) if mismatch else ()

    assert defects(passback_params=make_passback(lis_result_sourcedid=sourcedid)) == expected


def test_event_may_have_many_defects() -> None:
    """All defects of an event are told, in a fixed order."""
    passback = repr({"lis_result_sourcedid": f"a:b:{OTHER_USER}"})

    assert defects(passback_params=passback, is_correct=1) == (
        Defect.CONSUMER_KEY_MISSING,
        Defect.SERVICE_URL_MISSING,
        Defect.USER_ID_MISMATCH,
        Defect.CORRECTNESS_MISMATCH,
    )
    assert defects(passback_params=None, attempt_type="submit") == (
        Defect.PASSBACK_MISSING,
        Defect.CORRECTNESS_MISMATCH,
    )


@pytest.mark.parametrize("name", PASSBACK_FIELDS)
@pytest.mark.parametrize("character", ["a", "Ж", "€", "😀"], ids=["1_byte", "2_bytes", "3_bytes", "4_bytes"])
def test_length_of_a_field_is_counted_in_bytes(name: str, character: str) -> None:
    """A passback field may have 2,000 bytes of UTF-8 and not one more."""
    size = len(character.encode())
    longest = character * (MOST_FIELD_BYTES // size) + "a" * (MOST_FIELD_BYTES % size)
    event = judge(passback_params=make_passback(**{name: longest}))

    assert len(longest.encode()) == 2_000
    assert isinstance(event, Event)
    assert getattr(event, name) == longest
    assert reason(passback_params=make_passback(**{name: longest + "a"})) is Reason.FIELD_TOO_LONG


def test_length_of_a_field_is_counted_after_its_escapes() -> None:
    """What counts is the text that is meant, not how it is spelled."""
    spelled = "\\x41" * 2_000

    assert reason(passback_params="{'oauth_consumer_key': '" + spelled + "'}") is None
    assert reason(passback_params="{'oauth_consumer_key': '" + spelled + "\\x41'}") is Reason.FIELD_TOO_LONG


def test_foreign_fields_may_be_long() -> None:
    """A field that is not kept may be of any length within the cap of the whole."""
    assert reason(passback_params=make_passback(x="a" * 10_000)) is None


def test_length_of_the_passback_parameters_is_capped() -> None:
    """The whole text may have 16 KiB characters and not one more."""
    literal = make_passback(x="")
    longest = make_passback(x="a" * (MOST_CHARACTERS - len(literal)))

    assert len(longest) == 16_384
    assert reason(passback_params=longest) is None
    assert reason(passback_params=longest + " ") is Reason.PASSBACK_TOO_LONG


@pytest.mark.parametrize("name", PASSBACK_FIELDS)
@pytest.mark.parametrize("text", ["\0", "\ud800", "\udfff", "\ud83d\ude00"], ids=["NUL", "high", "low", "pair"])  # noqa: PT014
@pytest.mark.parametrize("escaped", [False, True], ids=["as_it_is", "escaped"])
def test_text_that_cannot_be_stored_is_rejected(name: str, text: str, escaped: bool) -> None:
    """NUL and lone surrogates are found in every field, written as such or as an escape of the literal."""
    spelled = "".join(f"\\u{ord(character):04x}" for character in text) if escaped else f"a{text}"
    literal = make_passback(**{name: "HERE"}).replace("HERE", spelled)
    stored_by_json = not escaped and text == "\ud83d\ude00"  # JSON joins a pair to the one character it stands for

    assert reason(passback_params=literal) is (None if stored_by_json else Reason.TEXT_NOT_STORABLE)


@pytest.mark.parametrize(
    "text", ["\x01\x1f\x7f\x85", "\u202e\u2028\ufeff", "\ufffe\uffff", "\U0010ffff", "=1+1", "<b>", "\\.\t"]
)
def test_odd_but_storable_text_is_kept(text: str) -> None:
    """Controls, directions, noncharacters and markup are data; they are kept as they are."""
    event = judge(passback_params=make_passback(oauth_consumer_key=text))

    assert isinstance(event, Event)
    assert event.oauth_consumer_key == text


# Every defect, any item


def test_every_defect_has_a_case() -> None:
    """No defect is left without a test: these are all there are."""
    seen = {
        *defects(passback_params=None),
        *defects(passback_params=repr({"lis_result_sourcedid": f"a:b:{OTHER_USER}"}), is_correct=1),
        *defects(passback_params=make_passback(lis_result_sourcedid=ABSENT)),
    }

    assert seen == set(Defect)


values: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.floats(allow_nan=False),
    st.text(max_size=8).filter(lambda text: "Infinity" not in text),
    st.just([]),
    st.just({}),
)
events = st.fixed_dictionaries(
    {},
    optional={
        "lti_user_id": st.one_of(values, st.sampled_from([USER_ID, OTHER_USER])),
        "created_at": st.one_of(
            values, st.sampled_from(["2023-04-01 12:30:00", "2023-04-01 13:00:00", "2023-04-01 11:00:00"])
        ),
        "attempt_type": st.one_of(values, st.sampled_from(["run", "submit"])),
        "is_correct": values,
        "passback_params": st.one_of(values, st.sampled_from(["{}", make_passback(), "{'oauth_consumer_key': ''}"])),
    },
)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(items=st.lists(st.one_of(values.filter(lambda value: value != {}), events), max_size=8))
def test_every_item_is_accounted_for(items: list[Any]) -> None:
    """Whatever comes, each item is an event, a rejection that holds it, or lies at the excluded end."""
    text = json.dumps(items).replace("Infinity", "1e999")
    batch = validate(decode(text.encode()), HOUR, 32)
    counted = [
        item for item in items if not (isinstance(item, dict) and item.get("created_at") == "2023-04-01 13:00:00")
    ]

    assert len(batch) == len(counted)
    for item, judged in zip(counted, batch, strict=True):
        if isinstance(judged, Rejected):
            assert json.loads(judged.raw) == item
        else:
            assert judged.created_at in HOUR
            assert judged.user_id == item["lti_user_id"]
