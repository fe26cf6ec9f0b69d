"""The end of a range of days, told to the operator: a row a day, how many went well, and how to repeat the others."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, Final

from app_types import RunStatus
from console.summary import status_text
from console.tables import Column, table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from app_types import Counts, DayOutcome
    from console.terminal import Terminal
    from exceptions import EtlError
    from messages import Messages

_MOST_ROWS: Final = 62
"""Two months; of a longer range only what is not in order is listed."""
_MOST_COMMANDS: Final = 3


def show_left_out(terminal: Terminal, number: int, messages: Messages) -> None:
    """Say how many days were left out because they are complete."""
    if number:
        terminal.line(
            messages.plural(
                "%(n)s day is complete already and was left out.",
                "%(n)s days are complete already and were left out.",
                number,
            )
        )


def show_range(
    terminal: Terminal,
    outcomes: Sequence[DayOutcome],
    messages: Messages,
    *,
    days: Sequence[date],
    late: Sequence[EtlError],
    command: str,
    may_leave_out: bool,
) -> None:
    """Show a range of days: a row each, the sums, and the commands that run again what is not loaded.

    Args:
        terminal: where.
        outcomes: the days that were begun.
        messages: the language.
        days: the days that were to be processed.
        late: what went wrong after the days themselves had been told.
        command: what runs days again, but for the days.
        may_leave_out: whether it can leave out complete days.
    """
    text = messages.text
    shown = outcomes
    if len(outcomes) > _MOST_ROWS:
        shown = [outcome for outcome in outcomes if outcome.status is not RunStatus.OK][-_MOST_ROWS:]
    numbers = (text("Received"), text("Loaded"), text("Corrected"), text("Rejected"))
    columns = (
        Column(text("Date"), is_short=True),
        Column(text("Result")),
        *(Column(name, is_number=True) for name in numbers),
    )
    rows = [
        (
            outcome.date.isoformat(),
            status_text(outcome.status, messages),
            *(messages.number(value) for value in _values(outcome.counts)),
        )
        for outcome in shown
    ]
    sums = [sum(values) for values in zip(*(_values(each.counts) for each in outcomes if each.counts), strict=True)]
    total = (text("All"), _how_many(outcomes, len(days), messages), *map(messages.number, sums))
    terminal.line("")
    terminal.show(table(messages.plural("%(n)s day", "%(n)s days", len(days)), columns, rows, total=total))
    if len(shown) < len(outcomes):
        terminal.line(text("Days that went well are not listed here; `runs` shows every day."))
    for told in dict.fromkeys(messages.error(error) for error in late):
        terminal.line(f"! {told}")
    if stretches := _stretches(outcomes, days, most=_MOST_COMMANDS if may_leave_out else len(days)):
        terminal.line(text("To run again what is not loaded:"))
        for stretch in stretches:
            terminal.line(f"  {command} {stretch}")


def _values(counts: Counts | None) -> tuple[int, ...]:
    return (counts.received, counts.loaded, counts.updated, counts.rejected) if counts else ()


def _how_many(outcomes: Sequence[DayOutcome], planned: int, messages: Messages) -> str:
    """Say how many days ended how: "done: 58, failed: 2"."""
    found = Counter(outcome.status for outcome in outcomes)
    told = [f"{status_text(each, messages)}: {messages.number(found[each])}" for each in RunStatus if found[each]]
    if planned > len(outcomes):
        told.append(messages.text("not begun: %(number)s", number=planned - len(outcomes)))
    return ", ".join(told)


def _stretches(outcomes: Sequence[DayOutcome], days: Sequence[date], most: int) -> list[str]:
    """Return the options that name the days that are not loaded; if they lie far apart, those that find them."""
    loaded = {each.date for each in outcomes if each.status in {RunStatus.OK, RunStatus.PARTIAL}}
    missing = [day for day in days if day not in loaded]
    numbered = groupby(enumerate(missing), lambda pair: pair[1].toordinal() - pair[0])
    stretches = [[day for _, day in stretch] for _, stretch in numbered]
    if len(stretches) > most:
        return [f"--from {missing[0]} --to {missing[-1]} --missing-only"]
    return [f"--date {each[0]}" if len(each) == 1 else f"--from {each[0]} --to {each[-1]}" for each in stretches]
