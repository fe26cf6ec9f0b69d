"""The command line: what may be asked for, in the operator's language."""

from __future__ import annotations

import argparse
import gettext
import os
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NoReturn

from config import parse_language
from exceptions import UsageError
from messages import DOMAIN, LOCALE_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from app_types import Language
    from messages import Messages


class Command(StrEnum):
    """What the operator wants done."""

    RUN = "run"
    CHECK = "check"
    REPORT = "report"
    RUNS = "runs"


@dataclass(frozen=True, slots=True)
class Options:
    """The command line, read but not yet compared with the calendar. Dates are texts as typed."""

    command: Command
    date: str | None
    first: str | None
    last: str | None
    test: bool
    demo: bool
    json: bool
    sheet: bool
    mail: bool
    mail_anyway: bool


def language_option(arguments: Sequence[str]) -> Language | None:
    """Return the language asked for on the command line, before anything else of it is read."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--language", default="")
    try:
        return parse_language(parser.parse_known_args(arguments)[0].language)
    except (argparse.ArgumentError, SystemExit):
        return None


def read_arguments(arguments: Sequence[str], messages: Messages) -> Options:
    """Read the command line.

    Raises:
        UsageError: it cannot be understood, or its parts contradict each other.
        SystemExit: help was asked for and printed.
    """
    with _argparse_speaks(messages.language):
        found = _parser(messages).parse_args(arguments)
    if found.language is not None and parse_language(found.language) is None:
        raise UsageError("--language must be ru or en.")
    if (found.first is None) is not (found.last is None):
        raise UsageError("--from and --to go together.")
    if found.date is not None and found.first is not None:
        raise UsageError("Give either --date or --from and --to.")
    if found.mail and found.no_mail:
        raise UsageError("Give either --mail or --no-mail.")
    command = Command(found.command)
    if command in {Command.CHECK, Command.RUNS} and (found.date or found.first):
        raise UsageError("%(command)s takes no date.", command=command.value)
    return Options(
        command=command,
        date=found.date,
        first=found.first,
        last=found.last,
        test=found.test,
        demo=found.demo,
        json=found.json,
        sheet=not found.no_sheet,
        mail=not found.no_mail,
        mail_anyway=found.mail,
    )


class _Parser(argparse.ArgumentParser):
    """Raises instead of leaving the program."""

    def error(self, message: str) -> NoReturn:
        raise UsageError("%(problem)s.", remedy="See: python data_processor.py --help", problem=message)


def _parser(messages: Messages) -> argparse.ArgumentParser:
    text = messages.text
    parser = _Parser(
        prog="python data_processor.py",
        description=text("Fetches a day's learning events, loads them into PostgreSQL and reports on them."),
        epilog=text("Without a date you are asked for it. Settings are read from the environment and from .env."),
        allow_abbrev=False,
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=[command.value for command in Command],
        default=Command.RUN.value,
        metavar=text("COMMAND"),
        help=text(
            "run (the default): process a day; check: is everything configured and reachable; "
            "report: report again from the database, without fetching; runs: show the ledger of runs"
        ),
    )
    day = text("DATE")
    parser.add_argument("--date", metavar=day, help=text("the day: YYYY-MM-DD, yesterday or today"))
    parser.add_argument("--from", dest="first", metavar=day, help=text("the first day of a range"))
    parser.add_argument("--to", dest="last", metavar=day, help=text("the last day of a range"))
    parser.add_argument("--test", action="store_true", help=text("process the first hour of the day only"))
    parser.add_argument(
        "--demo",
        action="store_true",
        help=text("everything embedded: nothing to configure, nothing leaves this machine"),
    )
    parser.add_argument("--language", metavar="ru|en", help=text("the language of everything that is said"))
    parser.add_argument("--json", action="store_true", help=text("print the summary as one JSON object a day"))
    parser.add_argument("--no-sheet", action="store_true", help=text("leave the Google Sheet alone"))
    parser.add_argument("--no-mail", action="store_true", help=text("send no letter"))
    parser.add_argument("--mail", action="store_true", help=text("send the letter even if nothing changed"))
    return parser


@contextmanager
def _argparse_speaks(language: Language) -> Iterator[None]:
    """Let argparse take its own words from our catalogue: it asks the global gettext domain."""
    domain, wanted = gettext.textdomain(), os.environ.get("LANGUAGE")
    gettext.bindtextdomain(DOMAIN, str(LOCALE_DIRECTORY))
    gettext.textdomain(DOMAIN)
    os.environ["LANGUAGE"] = language.value
    try:
        yield
    finally:
        gettext.textdomain(domain)
        if wanted is None:
            del os.environ["LANGUAGE"]
        else:
            os.environ["LANGUAGE"] = wanted
