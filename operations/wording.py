"""Words for what the quarantine holds: why an event was rejected, and what of it an operator may see."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from app_types import Reason

if TYPE_CHECKING:
    from messages import Messages

_MOST: Final = 44
_TAIL: Final = 18
_MOST_ODD: Final = 5
_TOKEN: Final = re.compile(r"[0-9A-Za-z._%+@-]{12,}|[^\s'\":,{}]*@[^\s'\":,{}]*")
_KNOWN: Final = frozenset({"oauth_consumer_key", "lis_result_sourcedid", "lis_outcome_service_url", "passback_params"})
_MOMENT: Final = re.compile(r"[0-9T:Z .+-]{0,40}", re.ASCII)
_ODD: Final = re.compile(r"[^0-9A-Za-z._-]")
_FIELDS: Final = {
    Reason.USER_ID_MISSING: "created_at",
    Reason.USER_ID_LENGTH: "lti_user_id",
    Reason.USER_ID_CHARACTERS: "lti_user_id",
    Reason.CREATED_AT_UNREADABLE: "created_at",
    Reason.OUTSIDE_WINDOW: "created_at",
    Reason.ATTEMPT_TYPE_UNKNOWN: "attempt_type",
    Reason.IS_CORRECT_UNKNOWN: "is_correct",
    Reason.PASSBACK_UNREADABLE: "passback_params",
    Reason.PASSBACK_TOO_LONG: "passback_params",
    Reason.FIELD_TOO_LONG: "passback_params",
    Reason.TEXT_NOT_STORABLE: "passback_params",
}
"""What of an event shows why it was rejected; of one without a user id there is only its time to go by."""


def reason_text(reason: str, messages: Messages) -> str:
    """Say why an event was rejected; a reason that is not known stays a code."""
    text = messages.text
    return {
        Reason.NOT_AN_OBJECT.value: text("no JSON object"),
        Reason.DUPLICATE_NAME.value: text("a field stands twice in it"),
        Reason.USER_ID_MISSING.value: text("no user id"),
        Reason.USER_ID_LENGTH.value: text("user id of another length"),
        Reason.USER_ID_CHARACTERS.value: text("user id with characters that none has"),
        Reason.CREATED_AT_UNREADABLE.value: text("time that cannot be read"),
        Reason.OUTSIDE_WINDOW.value: text("time outside what was asked for"),
        Reason.ATTEMPT_TYPE_UNKNOWN.value: text("neither a run nor a submit"),
        Reason.IS_CORRECT_UNKNOWN.value: text("result that is neither 0 nor 1"),
        Reason.PASSBACK_UNREADABLE.value: text("passback_params that cannot be read"),
        Reason.PASSBACK_TOO_LONG.value: text("passback_params that are too long"),
        Reason.FIELD_TOO_LONG.value: text("too long a field in passback_params"),
        Reason.TEXT_NOT_STORABLE.value: text("text that PostgreSQL cannot store"),
    }.get(reason, reason)


def sample(raw: str, reason: str) -> str:
    """Return what of a rejected event shows why: one field, short, printable, students' ids shortened."""
    try:
        event = json.loads(raw)
    except (ValueError, RecursionError):
        return _short(_masked(raw))
    field = _FIELDS.get(Reason(reason)) if reason in set(Reason) else None
    if not isinstance(event, dict) or field not in event:
        return _short(_masked(_written(event)))
    value = event[field]
    if field == "lti_user_id":
        return _short(f"{field}: {_user_id(value)}")
    if field == "created_at" and isinstance(value, str) and _MOMENT.fullmatch(value):
        return _short(f"{field}: {_written(value)}")
    return _short(f"{field}: {_masked(_without(_written(value), event.get('lti_user_id')))}")


def printable(text: str) -> str:
    """Return a text in which nothing can steer a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _user_id(value: object) -> str:
    """Return the beginning of a user id, its length, and the characters that no user id has."""
    if not isinstance(value, str):
        return _masked(_written(value))
    odd = "".join(dict.fromkeys(_ODD.findall(value)))[:_MOST_ODD]
    return f'"{_beginning(value)}" ({len(value)})' + (f", {_written(odd)}" if odd else "")


def _beginning(text: str) -> str:
    return text[: min(6, len(text) // 2)] + "…" if text else ""


def _without(text: str, user_id: object) -> str:
    """Take the student's own id out of a text, however short it is."""
    return text.replace(user_id, _beginning(user_id)) if isinstance(user_id, str) and len(user_id) > 2 else text


def _masked(text: str) -> str:
    """Shorten whatever may be somebody's id or address."""
    return _TOKEN.sub(lambda match: match[0] if match[0] in _KNOWN else _beginning(match[0]), text)


def _written(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _short(text: str) -> str:
    """Cut a text in its middle: what is wrong with one is often seen at its end."""
    return printable(text if len(text) <= _MOST else f"{text[: _MOST - _TAIL - 1]}…{text[-_TAIL:]}")
