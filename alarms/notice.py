"""The message about a command that went wrong: one for all its days, short, without personal data and secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app_types import RunStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from alarms.ending import Ending
    from app_types import DayOutcome
    from messages import Messages

INTERRUPTED: Final = 130
"""The code of a command that the operator broke off: who did so needs no message."""
_MOST_DAYS: Final = 10
_LONGEST: Final = 600
_WITHOUT_DAYS: Final = frozenset({"run", "fill", "retention"})
"""Commands that fail as a whole where they fail before their first day; `audit` says by its code what it found."""
_PERSON: Final = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+@(?![\w.-]*gserviceaccount\.com)(?=[\w-]+\.)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Notice:
    """A message. `is_failure` tells a failure from a warning."""

    title: str
    body: str
    is_failure: bool


def notice(ending: Ending, messages: Messages, clean: Callable[[str], str]) -> Notice | None:
    """Word the message about a command; None where there is nothing to tell.

    Args:
        ending: the command.
        messages: the operator's language.
        clean: strikes secrets out of a text.
    """
    if ending.code == INTERRUPTED:
        return None
    troubled = [outcome for outcome in ending.outcomes if _is_troubled(outcome, ending)]
    if not troubled:
        return _without_days(ending, messages, clean)
    is_failure = any(outcome.status in {RunStatus.FAILED, RunStatus.INTERRUPTED} for outcome in troubled)
    lines = [_line(outcome, ending, messages) for outcome in troubled[:_MOST_DAYS]]
    if len(troubled) > _MOST_DAYS:
        lines.append(messages.plural("… and %(n)s more day", "… and %(n)s more days", len(troubled) - _MOST_DAYS))
    if is_failure:
        lines.append(messages.text("To repeat: %(command)s", command=_repeat([each.date for each in troubled])))
    return Notice(_title(troubled, messages), "\n".join(without_people(clean(line)) for line in lines), is_failure)


def without_people(text: str) -> str:
    """Take the names out of e-mail addresses; that of a service account is nobody's."""
    return _PERSON.sub("…@", text)


def _is_troubled(outcome: DayOutcome, ending: Ending) -> bool:
    return outcome.status is not RunStatus.OK or outcome.date in ending.doubts


def _without_days(ending: Ending, messages: Messages, clean: Callable[[str], str]) -> Notice | None:
    if ending.outcomes or not ending.code or ending.command not in _WITHOUT_DAYS:
        return None
    title = messages.text("Learning events: the command %(command)s failed", command=ending.command)
    told = messages.error(ending.error) if ending.error else messages.text("The log tells more.")
    return Notice(title, without_people(clean(told)), is_failure=True)


def _title(troubled: list[DayOutcome], messages: Messages) -> str:
    if len(troubled) > 1:
        return messages.plural("Learning events: trouble with %(n)s day", "Learning events: trouble with %(n)s days",
                               len(troubled))  # fmt: skip
    (outcome,) = troubled
    match outcome.status:
        case RunStatus.FAILED:
            return messages.text("Learning events, %(date)s: the run failed", date=outcome.date)
        case RunStatus.INTERRUPTED:
            return messages.text("Learning events, %(date)s: the run was ended by the system", date=outcome.date)
        case RunStatus.PARTIAL:
            return messages.text("Learning events, %(date)s: loaded, with trouble", date=outcome.date)
        case _:
            return messages.text("Learning events, %(date)s: loaded, but the figures are doubtful", date=outcome.date)


def _line(outcome: DayOutcome, ending: Ending, messages: Messages) -> str:
    """Say of one day what went wrong."""
    errors = [*([outcome.error] if outcome.error else []), *outcome.troubles]
    told = [messages.error(error) for error in errors]
    if outcome.status is RunStatus.INTERRUPTED:
        told.append(messages.text("Nothing of %(date)s was changed in the database.", date=outcome.date))
    if doubt := ending.doubts.get(outcome.date):
        told.append(doubt)
    text = " ".join(told)
    return f"{outcome.date.isoformat()}: {text if len(text) <= _LONGEST else text[: _LONGEST - 1] + '…'}"


def _repeat(days: list[date]) -> str:
    return (
        f"python data_processor.py --date {days[0].isoformat()}" if len(days) == 1 else "python data_processor.py fill"
    )
