"""Decides of one item what it is: a valid event, a valid event with defects, or rejected with a reason.

The rules are those of the source's facts in `docs/source.md`; nothing here knows HTTP or SQL.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from app_types import AttemptType, Defect, Event, Reason, Rejected
from source.decoding import ABSENT, NoObject, RepeatedName
from source.passback import MOST_CHARACTERS, Passback, UnreadablePassbackError, read_passback

if TYPE_CHECKING:
    from app_types import Window
    from source.decoding import Answer, WireEvent

MOST_FIELD_BYTES: Final = 2_000
"""A longer passback field is refused; the key of a row must fit into a page of an index."""

_CREATED_AT = re.compile(
    r"\d{4}-\d\d-\d\d[ T](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?(Z|[+-]\d\d:[0-5]\d)?", re.ASCII
)
_USER_ID = re.compile(r"[0-9A-Za-z._-]+", re.ASCII)
_ATTEMPT_TYPES: Final = {item.value: item for item in AttemptType}
_NOTHING: Final = Passback(None, None, None)
_FIELD_DEFECTS: Final = (
    ("oauth_consumer_key", Defect.CONSUMER_KEY_MISSING),
    ("lis_result_sourcedid", Defect.SOURCEDID_MISSING),
    ("lis_outcome_service_url", Defect.SERVICE_URL_MISSING),
)


class _RejectionError(Exception):
    """Carries the reason out of the checks."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason


def validate(answer: Answer, window: Window, user_id_length: int) -> list[Event | Rejected]:
    """Validate the items of an answer to one window, and return those of the window in their order.

    An event exactly at the excluded end of the window belongs to the next one: it is left out.
    """
    judged = (judge(answer, index, window, user_id_length) for index in range(len(answer.items)))
    return [item for item in judged if item is not None]


def judge(answer: Answer, index: int, window: Window, user_id_length: int) -> Event | Rejected | None:
    """Validate one item of an answer; None for an event that belongs to the next window."""
    item = answer.items[index]
    if isinstance(item, NoObject):
        return Rejected(Reason.NOT_AN_OBJECT, answer.raw(index))
    if isinstance(item, RepeatedName):
        return Rejected(Reason.DUPLICATE_NAME, answer.raw(index))
    created_at = read_created_at(item.created_at)
    if created_at == window.end:
        return None
    try:
        return _event(item, created_at, window, user_id_length)
    except _RejectionError as rejection:
        return Rejected(rejection.reason, answer.raw(index))


def read_created_at(value: object) -> datetime | None:
    """Read a time: date, blank or T, time, up to six digits of fraction, Z or an offset if any; None otherwise.

    Without an offset it is UTC; the result always is.
    """
    if not isinstance(value, str) or len(value) > 32:
        return None
    match = _CREATED_AT.fullmatch(value)
    if match is None:
        return None
    try:
        return datetime.fromisoformat(value if match[1] else value + "+00:00").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _event(item: WireEvent, created_at: datetime | None, window: Window, user_id_length: int) -> Event:
    user_id = _user_id(item.lti_user_id, user_id_length)
    if created_at is None:
        raise _RejectionError(Reason.CREATED_AT_UNREADABLE)
    if created_at not in window:
        raise _RejectionError(Reason.OUTSIDE_WINDOW)
    attempt_type = _ATTEMPT_TYPES.get(item.attempt_type) if isinstance(item.attempt_type, str) else None
    if attempt_type is None:
        raise _RejectionError(Reason.ATTEMPT_TYPE_UNKNOWN)
    is_correct = _is_correct(item.is_correct)
    passback, defects = _passback(item.passback_params)
    sourcedid = passback.lis_result_sourcedid
    if sourcedid and _names_other_user(sourcedid, user_id):
        defects += (Defect.USER_ID_MISMATCH,)
    if (is_correct is None) is not (attempt_type is AttemptType.RUN):
        defects += (Defect.CORRECTNESS_MISMATCH,)
    return Event(
        user_id,
        created_at,
        attempt_type,
        is_correct,
        passback.oauth_consumer_key,
        sourcedid,
        passback.lis_outcome_service_url,
        defects,
    )


def _user_id(value: object, length: int) -> str:
    if value is None or value is ABSENT:
        raise _RejectionError(Reason.USER_ID_MISSING)
    if not isinstance(value, str):
        raise _RejectionError(Reason.USER_ID_CHARACTERS)
    if len(value) != length:
        raise _RejectionError(Reason.USER_ID_LENGTH)
    if not _USER_ID.fullmatch(value):
        raise _RejectionError(Reason.USER_ID_CHARACTERS)
    return value


def _is_correct(value: object) -> bool | None:
    if value is None or value is ABSENT:
        return None
    # 1.0 equals 1, but is not what the source sends
    if isinstance(value, int) and value in {0, 1}:
        return bool(value)
    raise _RejectionError(Reason.IS_CORRECT_UNKNOWN)


def _passback(value: object) -> tuple[Passback, tuple[Defect, ...]]:
    """Read the passback parameters and check that their fields can be stored."""
    if value is None or value is ABSENT or value == "":
        return _NOTHING, (Defect.PASSBACK_MISSING,)
    if not isinstance(value, str):
        raise _RejectionError(Reason.PASSBACK_UNREADABLE)
    if len(value) > MOST_CHARACTERS:
        raise _RejectionError(Reason.PASSBACK_TOO_LONG)
    try:
        passback = read_passback(value)
    except UnreadablePassbackError:
        raise _RejectionError(Reason.PASSBACK_UNREADABLE) from None
    if passback == _NOTHING:
        # an empty dict, or one without any of our fields
        return passback, (Defect.PASSBACK_MISSING,)
    defects: tuple[Defect, ...] = ()
    for name, defect in _FIELD_DEFECTS:
        text = getattr(passback, name)
        if text is None:
            defects += (defect,)
        else:
            _check_storable(text)
    return passback, defects


def _check_storable(text: str) -> None:
    """Check that PostgreSQL can store a text: no NUL, no lone surrogate, and not too long."""
    if "\x00" in text:
        raise _RejectionError(Reason.TEXT_NOT_STORABLE)
    try:
        length = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        raise _RejectionError(Reason.TEXT_NOT_STORABLE) from None
    if length > MOST_FIELD_BYTES:
        raise _RejectionError(Reason.FIELD_TOO_LONG)


def _names_other_user(sourcedid: str, user_id: str) -> bool:
    """Tell whether `context:resource link:user id` ends in somebody else's id."""
    _, colon, named = sourcedid.rpartition(":")
    return bool(colon) and named != user_id and unquote(named) != user_id
