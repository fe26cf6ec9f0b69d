"""The command line: what may be asked for, in the operator's language.

Every option may stand before or after the command. Which commands take which is one table, `TAKES`; the pages that
`--help` prints are in `console.manual`.
"""

from __future__ import annotations

import argparse
import gettext
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NoReturn

from config import parse_language
from exceptions import UsageError
from messages import DOMAIN, LOCALE_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from app_types import Language
    from messages import Messages

VERSION: Final = "0.1.0"
PROGRAM: Final = "python data_processor.py"
SHELLS: Final = ("bash", "zsh", "fish")
MOST_DAYS: Final = 3660
_LONGEST_PAUSE: Final = 86_400.0
_AGE: Final = re.compile(r"(\d{1,5})([mhd])", re.ASCII)
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


class Command(StrEnum):
    """What the operator wants done."""

    RUN = "run"
    CHECK = "check"
    REPORT = "report"
    RUNS = "runs"
    FILL = "fill"
    AUDIT = "audit"
    REJECTED = "rejected"
    REPLAY = "replay"
    RETENTION = "retention"


COMMON: Final = ("--demo", "--language", "--json", "--help", "--version", "--print-completion")
"""What every command takes."""

_DAYS: Final = ("--date", "--from", "--to", "--days")
_LEFT_OUT: Final = ("--no-sheet", "--no-mail")

TAKES: Final[Mapping[Command, tuple[str, ...]]] = {
    Command.RUN: (*_DAYS, "--test", "--missing-only", "--fill-gaps", "--pause", *_LEFT_OUT, "--mail"),
    Command.CHECK: ("--freshness", "--send-test-letter"),
    Command.REPORT: (*_DAYS, "--test", "--sheet", "--mail", "--local", *_LEFT_OUT),
    Command.RUNS: _DAYS,
    Command.FILL: ("--days", "--pause", *_LEFT_OUT, "--mail"),
    Command.AUDIT: (*_DAYS, "--repair", "--pause", *_LEFT_OUT, "--mail"),
    Command.REJECTED: (*_DAYS, "--export"),
    Command.REPLAY: (*_DAYS, *_LEFT_OUT, "--mail"),
    Command.RETENTION: ("--dry-run",),
}
"""What each command takes besides."""

VALUES: Final = frozenset(
    {"--date", "--from", "--to", "--days", "--pause", "--freshness", "--export", "--language", "--print-completion"}
)
"""Options that are followed by a value."""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line, read but not yet compared with the calendar. Dates are texts as typed.

    What a command does not take has its default. `days` counts back from yesterday. `sheet`, `mail` and `local` tell
    what is to be published; `mail_anyway` wants the letter even if it has no news.
    """

    command: Command
    date: str | None = None
    first: str | None = None
    last: str | None = None
    days: int | None = None
    test: bool = False
    demo: bool = False
    json: bool = False
    sheet: bool = True
    mail: bool = True
    mail_anyway: bool = False
    local: bool = True
    missing_only: bool = False
    pause: float = 0.0
    repair: bool = False
    export: str | None = None
    dry_run: bool = False
    send_test_letter: bool = False
    freshness: timedelta | None = None

    def further(self, words: str) -> str:
        """Return a command for the operator to copy: one of the demo stays within the demo."""
        return f"{PROGRAM} {words}{' --demo' if self.demo else ''}"


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
        SystemExit: help, version or completion was asked for and printed.
    """
    with _argparse_speaks(messages.language):
        given = _given(arguments)
        if _is_answered(given, messages):
            raise SystemExit(0)
    if "--language" in given and parse_language(str(given["--language"])) is None:
        raise UsageError("--language must be ru or en.")
    command = Command(str(given.pop("command", Command.RUN)))
    for option in given:
        if option not in TAKES[command] and option not in COMMON:
            raise _misplaced(command, option)
    _refuse_contradictions(given)
    if "--fill-gaps" in given:
        command = Command.FILL
    is_chosen = command is Command.REPORT and bool({"--sheet", "--mail", "--local"} & given.keys())
    return Options(
        command=command,
        date=_text(given, "--date"),
        first=_text(given, "--from"),
        last=_text(given, "--to"),
        days=_days(given),
        test="--test" in given,
        demo="--demo" in given,
        json="--json" in given,
        sheet="--no-sheet" not in given and (not is_chosen or "--sheet" in given),
        mail="--no-mail" not in given and (not is_chosen or "--mail" in given),
        mail_anyway="--mail" in given,
        local=not is_chosen or "--local" in given,
        missing_only="--missing-only" in given,
        pause=_pause(given),
        repair="--repair" in given,
        export=_text(given, "--export"),
        dry_run="--dry-run" in given,
        send_test_letter="--send-test-letter" in given,
        freshness=_age(given),
    )


class _Parser(argparse.ArgumentParser):
    """Raises instead of leaving the program."""

    def error(self, message: str) -> NoReturn:
        raise UsageError("%(problem)s.", remedy="See: python data_processor.py --help", problem=message)


def _given(arguments: Sequence[str]) -> dict[str, str | bool]:
    """Return what was typed: the options by their names, and the command if there was one."""
    parser = _Parser(prog=PROGRAM, add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    parser.add_argument("command", nargs="?", metavar="COMMAND", default=None)
    parser.add_argument("-h", "--help", dest="--help", action="store_true")
    for option in sorted({option for options in (COMMON, *TAKES.values()) for option in options} - {"--help"}):
        if option in VALUES:
            parser.add_argument(option, dest=option)
        else:
            parser.add_argument(option, dest=option, action="store_true")
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    if "command" in given and given["command"] not in set(Command):
        raise _unknown(str(given["command"]))
    return given


def _is_answered(given: Mapping[str, str | bool], messages: Messages) -> bool:
    """Print what may be asked for at any time, and tell whether it was."""
    if "--help" in given:
        from console import manual

        named = given.get("command")
        print(manual.page(Command(str(named)) if named else None, messages), end="")  # noqa: T201  (before there is a terminal)
        return True
    if "--version" in given:
        print(f"learning-events-etl {VERSION}")  # noqa: T201
        return True
    if "--print-completion" in given:
        from console import completion

        shell = str(given["--print-completion"])
        if shell not in SHELLS:
            raise UsageError("--print-completion must be one of %(shells)s.", shells=", ".join(SHELLS))
        print(completion.script(shell, messages), end="")  # noqa: T201
        return True
    return False


def _unknown(word: str) -> UsageError:
    """Return what is said of a word that is no command: most often it is a date, or a slip of the pen."""
    from difflib import get_close_matches

    shown = "".join(character if character.isprintable() else "?" for character in word[:40])
    if word[:1].isdigit():
        return UsageError('"%(word)s" is no command.', remedy="A day is given by --date.", word=shown)
    if close := get_close_matches(word.lower(), [command.value for command in Command], n=1):
        return UsageError('"%(word)s" is no command.', remedy="Did you mean %(command)s?", word=shown, command=close[0])
    names = ", ".join(command.value for command in Command)
    return UsageError('"%(word)s" is no command.', remedy="The commands are: %(names)s.", word=shown, names=names)


def _misplaced(command: Command, option: str) -> UsageError:
    if option in _DAYS and not set(_DAYS) & set(TAKES[command]):
        return UsageError(
            "%(command)s takes no date.", remedy="See: python data_processor.py --help", command=command.value
        )
    owners = [other.value for other in Command if option in TAKES[other]]
    return UsageError(
        "%(option)s does not go with %(command)s.",
        remedy="It goes with: %(owners)s.",
        option=option,
        command=command.value,
        owners=", ".join(owners),
    )


def _refuse_contradictions(given: Mapping[str, object]) -> None:
    """Refuse options that contradict each other, or that mean nothing alone."""
    if ("--from" in given) is not ("--to" in given):
        raise UsageError("--from and --to go together.")
    if "--date" in given and "--from" in given:
        raise UsageError("Give either --date or --from and --to.")
    if "--days" in given and ("--date" in given or "--from" in given):
        raise UsageError("Give either --days or the dates themselves.")
    for name in ("mail", "sheet"):
        if f"--{name}" in given and f"--no-{name}" in given:
            raise UsageError("Give either --%(name)s or --no-%(name)s.", name=name)
    if "--fill-gaps" in given and ("--date" in given or "--from" in given or "--test" in given):
        raise UsageError("--fill-gaps finds the days by itself.", remedy="Say how far back by --days.")
    if "--missing-only" in given and "--test" in given:
        raise UsageError(
            "--missing-only is about whole days, --test about their first hour.", remedy="Give one of them."
        )


def _text(given: Mapping[str, str | bool], option: str) -> str | None:
    return str(given[option]) if option in given else None


def _days(given: Mapping[str, str | bool]) -> int | None:
    text = _text(given, "--days")
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,6}", text, re.ASCII) or not 1 <= int(text) <= MOST_DAYS:
        raise UsageError("--days must be a whole number from 1 to %(most)s.", most=MOST_DAYS)
    return int(text)


def _pause(given: Mapping[str, str | bool]) -> float:
    text = _text(given, "--pause")
    if text is None:
        return 0.0
    if not re.fullmatch(r"\d{1,6}([.,]\d{1,3})?", text, re.ASCII) or float(text.replace(",", ".")) > _LONGEST_PAUSE:
        raise UsageError("--pause must be a number of seconds, a day at most.")
    return float(text.replace(",", "."))


def _age(given: Mapping[str, str | bool]) -> timedelta | None:
    text = _text(given, "--freshness")
    if text is None:
        return None
    found = _AGE.fullmatch(text.strip().lower())
    if found is None or not int(found[1]):
        raise UsageError("--freshness must be a number of hours, days or minutes, for example 26h, 2d or 90m.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


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
