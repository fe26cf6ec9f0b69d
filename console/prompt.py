"""Asks for the date: in a terminal, or line by line from what is piped in."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from console.dates import read_date
from exceptions import UsageError

if TYPE_CHECKING:
    from datetime import date
    from typing import TextIO

    from console.terminal import Terminal
    from messages import Messages

_LEAVE: Final = frozenset({"exit", "quit", "выход"})
_MOST_TRIES: Final = 10


def ask_date(today: date, *, source: TextIO, terminal: Terminal, messages: Messages) -> date | None:
    """Ask until a date is typed; Enter means yesterday. Return None where the operator wants to leave.

    Args:
        today: the present day in the operator's zone.
        source: where the answers come from.
        terminal: where the questions go.
        messages: the language.

    Raises:
        UsageError: nothing was piped in, or ten answers in a row were no dates.
    """
    yesterday = today - timedelta(days=1)
    interactive = source.isatty()
    if interactive:
        terminal.line(messages.text("Daily ETL of learning events."))
        terminal.line(messages.text('Enter = yesterday, "exit" leaves.'))
    question = messages.text("Which day? (YYYY-MM-DD) [%(date)s]: ", date=yesterday.isoformat())
    for _ in range(_MOST_TRIES):
        answer = _answer(question, source, terminal, interactive=interactive)
        if answer is None:
            if interactive:
                terminal.line("")
                return None
            raise UsageError(
                "No date was given.", remedy="Name one: python data_processor.py --date YYYY-MM-DD (or yesterday)."
            )
        word = answer.strip()
        if word.casefold() in _LEAVE:
            return None
        try:
            return read_date(word, today) if word else yesterday
        except UsageError as error:
            terminal.problem(messages.error(error))
    raise UsageError(
        "No date was given in ten tries.", remedy="Name one: python data_processor.py --date YYYY-MM-DD (or yesterday)."
    )


def _answer(question: str, source: TextIO, terminal: Terminal, *, interactive: bool) -> str | None:
    """Return the next line, or None at the end of input."""
    if interactive and source is sys.stdin and terminal.is_standard_output:
        try:
            return input(question)
        except EOFError:
            return None
        except UnicodeDecodeError:
            return "?"
    if interactive:
        terminal.question(question)
    try:
        line = source.readline()
    except UnicodeDecodeError:
        return "?"
    return line or None
