"""The calendar of days in the terminal: a grid for each month, a sign for each day, readable without colour."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from app_types import RunStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.text import Text

    from console.terminal import Terminal
    from messages import Messages
    from warehouse.calendar import KnownDay


class Sign(StrEnum):
    """What became of a day; the value is what stands beside its number."""

    DONE = "✓"
    CORRECTED = "*"
    EMPTY = "0"
    PARTIAL = "~"
    TROUBLE = "!"
    FAILED = "✗"
    INTERRUPTED = "/"
    NEVER = "-"


LACKING: Final = frozenset({Sign.PARTIAL, Sign.FAILED, Sign.INTERRUPTED, Sign.NEVER})
"""Days that were not brought in, or not as a whole."""

_PLAIN: Final = {Sign.DONE: "v", Sign.FAILED: "x"}
"""For a terminal that has no other letters than those of ASCII."""
_STYLES: Final = {
    Sign.DONE: "green",
    Sign.CORRECTED: "cyan",
    Sign.EMPTY: "green",
    Sign.PARTIAL: "yellow",
    Sign.TROUBLE: "yellow",
    Sign.FAILED: "bold red",
    Sign.INTERRUPTED: "bold red",
    Sign.NEVER: "red",
}
_CELL: Final = 4
_MONTH: Final = 7 * _CELL - 1
_BETWEEN: Final = "    "


@dataclass(frozen=True)
class Calendar:
    """The days from `first` to `last`, each with its sign; `today` stands out."""

    signs: Mapping[date, Sign]
    first: date
    last: date
    today: date

    @property
    def lacking(self) -> list[date]:
        """The days that still need a run."""
        return sorted(day for day, sign in self.signs.items() if sign in LACKING and day < self.today)


def calendar_of(known: Sequence[KnownDay], first: date, last: date, today: date) -> Calendar:
    """Give every day its sign; a day that is not over yet has none before it is run."""
    signs = {day.date: sign_of(day) for day in known if first <= day.date <= last}
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        if day < today:
            signs.setdefault(day, Sign.NEVER)
    return Calendar(signs, first, last, today)


def sign_of(day: KnownDay) -> Sign:
    """Say what became of a day: its last load decides, whatever failed after it is no more than a trouble."""
    if not day.loaded:
        return Sign.INTERRUPTED if day.last_run is RunStatus.INTERRUPTED else Sign.FAILED
    if not day.is_complete:
        return Sign.PARTIAL
    if day.last_run is not RunStatus.OK:
        return Sign.TROUBLE
    if day.revision > 1:
        return Sign.CORRECTED
    return Sign.EMPTY if day.is_empty else Sign.DONE


def show_calendar(terminal: Terminal, calendar: Calendar, messages: Messages) -> None:
    """Show the months side by side, as many as the terminal has room for, and what the signs mean."""
    months = [_month(start, calendar, terminal, messages) for start in _months(calendar.first, calendar.last)]
    across = max(1, (terminal.width + len(_BETWEEN)) // (_MONTH + len(_BETWEEN)))
    for start in range(0, len(months), across):
        for line in _beside(months[start : start + across]):
            terminal.show(line)
        terminal.line("")
    for line in _legend(calendar, terminal, messages):
        terminal.show(line)


def _months(first: date, last: date) -> list[date]:
    months = [first.replace(day=1)]
    while (following := (months[-1] + timedelta(days=31)).replace(day=1)) <= last:
        months.append(following)
    return months


def _month(start: date, calendar: Calendar, terminal: Terminal, messages: Messages) -> list[Text]:
    """Return the lines of a month: its name, the days of the week, the weeks from Monday to Sunday."""
    from babel.dates import format_date, get_day_names
    from rich.text import Text

    name = format_date(start, "LLLL y", locale=messages.locale)
    names = get_day_names("short", "stand-alone", messages.locale)
    lines = [
        Text(f"{name[:1].upper()}{name[1:]}".ljust(_MONTH), style="bold"),
        Text("".join(f"{names[number][:2]:>2}".ljust(_CELL) for number in range(7))[:_MONTH], style="dim"),
    ]
    following = (start + timedelta(days=31)).replace(day=1)
    cells = [Text(" " * _CELL)] * start.weekday()
    cells += [_cell(start + timedelta(days=number), calendar, terminal) for number in range((following - start).days)]
    cells += [Text(" " * _CELL)] * (-len(cells) % 7)
    for week in range(0, len(cells), 7):
        line = Text().join(cells[week : week + 7])
        line.truncate(_MONTH)
        lines.append(line)
    return lines


def _cell(day: date, calendar: Calendar, terminal: Terminal) -> Text:
    from rich.text import Text

    sign = calendar.signs.get(day)
    number = f"{day.day:>2}" if calendar.first <= day <= calendar.last else "  "
    cell = Text(number, style="underline" if day == calendar.today and number.strip() else "")
    cell.append(_shown(sign, terminal) if sign else " ", style=_STYLES[sign] if sign else "")
    cell.append(" ")
    return cell


def _beside(months: Sequence[Sequence[Text]]) -> list[Text]:
    """Put the lines of months side by side."""
    from rich.text import Text

    height = max(len(month) for month in months)
    blank = Text(" " * _MONTH)
    rows = [[month[row] if row < len(month) else blank for month in months] for row in range(height)]
    return [Text(_BETWEEN).join(row) for row in rows]


def _legend(calendar: Calendar, terminal: Terminal, messages: Messages) -> list[Text]:
    """Return the signs with their meaning and how often each is there, in as many lines as are needed."""
    from rich.text import Text

    found = Counter(calendar.signs.values())
    words = _words(messages)
    items = []
    for sign in Sign:
        item = Text(_shown(sign, terminal), style=_STYLES[sign])
        count = f" {messages.number(found[sign])}" if found[sign] else ""
        item.append(f" {words[sign]}{count}", style="" if found[sign] else "dim")
        items.append(item)
    lines = [items[0]]
    for _, item in pairwise(items):
        if lines[-1].cell_len + item.cell_len + 3 > terminal.width:
            lines.append(item)
        else:
            lines[-1] = Text("   ").join([lines[-1], item])
    return lines


def _words(messages: Messages) -> dict[Sign, str]:
    text = messages.text
    return {
        Sign.DONE: text("whole day"),
        Sign.CORRECTED: text("corrected"),
        Sign.EMPTY: text("no events"),
        Sign.PARTIAL: text("not whole"),
        Sign.TROUBLE: text("whole, but its last run had trouble"),
        Sign.FAILED: text("failed"),
        Sign.INTERRUPTED: text("interrupted"),
        Sign.NEVER: text("never run"),
    }


def _shown(sign: Sign, terminal: Terminal) -> str:
    return sign.value if terminal.can_show(sign.value) else _PLAIN.get(sign, sign.value)
