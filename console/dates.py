"""Dates as an operator types them."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from console.arguments import Command
from exceptions import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from console.arguments import Options

USUAL_DAYS: Final = {Command.FILL: 30, Command.AUDIT: 7}
"""How many days, up to yesterday, are meant where none are named."""

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_YESTERDAY: Final = frozenset({"yesterday", "вчера"})
_TODAY: Final = frozenset({"today", "сегодня"})
_EARLIEST: Final = date(1970, 1, 1)
_SHOWN: Final = 40


def read_date(text: str, today: date) -> date:
    """Read `YYYY-MM-DD`, or yesterday or today in either language.

    Args:
        text: what was typed.
        today: the present day in the operator's zone.

    Raises:
        UsageError: it is no date, or one that cannot be processed.
    """
    word = text.strip().casefold()
    if word in _YESTERDAY:
        return today - timedelta(days=1)
    if word in _TODAY:
        return today
    if not _DATE.fullmatch(word):
        raise UsageError(
            '"%(text)s" is not a date.', remedy="Write it as YYYY-MM-DD, for example 2023-04-01.", text=_printable(text)
        )
    try:
        day = date.fromisoformat(word)
    except ValueError:
        raise UsageError("There is no day %(text)s in the calendar.", text=word) from None
    if day > today:
        raise UsageError("%(date)s has not begun yet; today is %(today)s.", date=day, today=today)
    if day < _EARLIEST:
        raise UsageError("%(date)s is too far back; the earliest date is %(earliest)s.", date=day, earliest=_EARLIEST)
    return day


def days_of(options: Options, today: date) -> Sequence[date]:
    """Return the days of the command line, oldest first; none where it names none and the command has no usual ones.

    Raises:
        UsageError: a date is wrong, or the range runs backwards.
    """
    if options.date is not None:
        return [read_date(options.date, today)]
    if options.first is None or options.last is None:
        number = options.days or USUAL_DAYS.get(options.command, 0)
        return _stretch(today - timedelta(days=number), today - timedelta(days=1))
    first, last = read_date(options.first, today), read_date(options.last, today)
    if first > last:
        raise UsageError("--from %(first)s comes after --to %(last)s.", first=first, last=last)
    return _stretch(first, last)


def _stretch(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _printable(text: str) -> str:
    cut = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return "".join(character if character.isprintable() else "?" for character in cut)
