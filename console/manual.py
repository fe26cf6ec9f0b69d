"""The pages that `--help` prints: one for the program, one for each command, in the operator's language."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from typing import TYPE_CHECKING, Final

from console.arguments import COMMON, PROGRAM, SHELLS, TAKES, Command

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from messages import Messages

_NARROWEST: Final = 60
_WIDEST: Final = 100
_DATES: Final = ("--date", "--from", "--to", "--days")
_PUBLISHING: Final = ("--no-sheet", "--no-mail", "--sheet", "--mail", "--local")


def page(command: Command | None, messages: Messages) -> str:
    """Return the page of a command; that of the program, which is also that of `run`, where none is named."""
    width = max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size().columns - 2))

    class Formatter(argparse.RawDescriptionHelpFormatter):
        def __init__(self, prog: str) -> None:
            super().__init__(prog, max_help_position=28, width=width)

    shown = command or Command.RUN
    usage = f"{PROGRAM} [{messages.text('COMMAND')}] [{messages.text('OPTIONS')}]"
    parser = argparse.ArgumentParser(
        usage=usage if command is None else f"{PROGRAM} {command} [{messages.text('OPTIONS')}]",
        description=_paragraphs(_told(messages)[shown], width),
        epilog=_ending(command, messages, width),
        formatter_class=Formatter,
        add_help=False,
    )
    if command is None:
        commands = parser.add_argument_group(messages.text("Commands"))
        for name, summary in summaries(messages).items():
            commands.add_argument(name.value, nargs="?", help=summary)
    words = helps(shown, messages)
    taken = [option for option in TAKES[shown] if option not in {*_DATES, *_PUBLISHING}]
    for title, options in (
        (messages.text("Which days"), [option for option in _DATES if option in TAKES[shown]]),
        (messages.text("What is done"), taken),
        (messages.text("What is published"), [option for option in _PUBLISHING if option in TAKES[shown]]),
        (messages.text("With every command"), COMMON),
    ):
        group = parser.add_argument_group(title)
        for option in options:
            _add(group, option, words[option], metavars(messages))
    return parser.format_help()


def summaries(messages: Messages) -> dict[Command, str]:
    """Return what each command does, in a line."""
    text = messages.text
    return {
        Command.RUN: text("fetch, load and report a day or a range of days (the default)"),
        Command.CHECK: text("is everything configured and reachable? changes nothing"),
        Command.REPORT: text("report again from the database, without fetching"),
        Command.RUNS: text("the calendar of days, and every run of a day"),
        Command.FILL: text("run every day that is missing, failed or unfinished"),
        Command.AUDIT: text("ask the source again and tell what has changed there"),
        Command.REJECTED: text("the events that were not loaded, and why"),
        Command.REPLAY: text("validate rejected events again with today's rules, load what is good now"),
        Command.RETENTION: text("delete what is older than the settings keep"),
    }


def metavars(messages: Messages) -> dict[str, str]:
    """Return what the value of each option is called, for those that have one."""
    day = messages.text("DATE")
    return {
        "--date": day,
        "--from": day,
        "--to": day,
        "--days": "N",
        "--pause": messages.text("SECONDS"),
        "--freshness": messages.text("AGE"),
        "--export": messages.text("FILE"),
        "--language": "ru|en",
        "--print-completion": "|".join(SHELLS),
    }


def _add(group: argparse._ArgumentGroup, option: str, words: str, values: Mapping[str, str]) -> None:
    flags = ("-h", option) if option == "--help" else (option,)
    if option in values:
        group.add_argument(*flags, metavar=values[option], help=words.replace("%", "%%"))
    else:
        group.add_argument(*flags, action="store_true", help=words.replace("%", "%%"))


def helps(command: Command, messages: Messages) -> dict[str, str]:
    """Return what each option does; some mean a little different things with different commands."""
    text = messages.text
    told = {
        "--date": text("the day: YYYY-MM-DD, yesterday or today"),
        "--from": text("the first day of a range"),
        "--to": text("the last day of a range"),
        "--days": text("the last N days, up to yesterday"),
        "--test": text("process the first hour of the day only"),
        "--missing-only": text("leave out the days that are already complete"),
        "--fill-gaps": text("the same as the command fill"),
        "--pause": text("wait so many seconds between two days"),
        "--no-sheet": text("leave the Google Sheet alone"),
        "--no-mail": text("send no letter"),
        "--mail": text("send the letter even if nothing changed"),
        "--freshness": text("bad where no day has arrived within that age, for example 26h"),
        "--send-test-letter": text("send a letter to the sender's own address"),
        "--sheet": text("nothing but the Google Sheet; may stand together with --mail and --local"),
        "--local": text("nothing but the local pages and workbooks"),
        "--repair": text("run the days again that differ"),
        "--export": text("write the events into a file, a JSON object a line"),
        "--dry-run": text("show what would be deleted, delete nothing"),
        "--demo": text("everything embedded: nothing to configure, nothing leaves this machine"),
        "--language": text("the language of everything that is said"),
        "--json": text("for scripts: JSON on standard output, an object a line"),
        "--help": text("show this page; after a command, the page of that command"),
        "--version": text("show the version"),
        "--print-completion": text("print a script that teaches your shell to complete these words"),
    }
    if command is Command.REPORT:
        told["--mail"] = text("nothing but the letter; may stand together with --sheet and --local")
    elif command is Command.FILL:
        told["--days"] = text("how many days to look back, up to yesterday (30)")
    elif command is Command.RUNS:
        told["--date"] = text("every run of that day")
        told["--days"] = text("a calendar of the last N days")
    return told


def _told(messages: Messages) -> dict[Command, tuple[str, ...]]:
    """Return the paragraphs that tell what each command does."""
    text = messages.text
    return {
        Command.RUN: (
            text(
                "Fetches a day's learning events, loads them into PostgreSQL and reports on them: in a Google Sheet, "
                "in a letter and in local pages. Without a date you are asked for it."
            ),
            text(
                "A day may be run again at any time: known events stay as they are, corrected ones follow the source, "
                "and unchanged figures are published once. A day is loaded whole or not at all."
            ),
            text(
                "A range is run day by day, oldest first. A day that fails does not stop the others. The sheet is "
                "drawn once, at the end, and one letter tells of all days. If the range was broken off, the same "
                "command with --missing-only goes on where it stopped."
            ),
        ),
        Command.CHECK: (
            text(
                "Looks at settings, events API, database, Google Sheet, mail server and folders, and says of each "
                "whether it is good and what to do if not. It changes nothing and ends within 20 seconds."
            ),
        ),
        Command.REPORT: (
            text(
                "Makes figures, pages, sheet and letter of a day again from the database. The source is not asked, "
                "and no run is written in the ledger."
            ),
            text("--sheet, --mail and --local choose what is made; without any of them everything is."),
        ),
        Command.RUNS: (
            text(
                "Shows a calendar: a sign for each day tells whether it was loaded, corrected, is empty or unfinished, "
                "has failed or was never run. With --date, every run of that day with its counts and errors."
            ),
            text("With --json, the last runs: an object each, the newest first."),
        ),
        Command.FILL: (
            text(
                "Looks back over the last days, up to yesterday, and runs those that were never run, have failed, were "
                "interrupted or were not over when they were loaded, oldest first. What it finds loaded but not yet in "
                "the Google Sheet is drawn there."
            ),
        ),
        Command.AUDIT: (
            text(
                "Asks the source again for the days and compares what it sends with the table: new, changed and "
                "vanished events. It loads nothing; --repair runs the days that differ."
            ),
        ),
        Command.REJECTED: (
            text(
                "Shows the quarantine: how many events were rejected on which day and why, with shortened samples. "
                "--export writes them whole."
            ),
        ),
        Command.REPLAY: (
            text(
                "Takes the rejected events of the days from the quarantine, validates them again with today's rules "
                "and loads those that are good now, without asking the source. Days that change are reported again."
            ),
        ),
        Command.RETENTION: (
            text(
                "Deletes quarantine, ledger details and reports that are older than RETENTION_QUARANTINE_DAYS, "
                "RETENTION_LEDGER_DAYS and RETENTION_REPORTS_DAYS. Without these settings everything is kept for ever."
            ),
        ),
    }


def _examples(messages: Messages) -> dict[Command | None, tuple[tuple[str, str], ...]]:
    """Return command lines with what they are for; those of the program's own page under None."""
    text = messages.text
    return {
        None: (
            ("", text("ask for the date and run it")),
            ("--date yesterday", text("for cron: no questions")),
            ("--from 2023-04-01 --to 2023-05-30 --missing-only", text("load two months, or go on with them")),
            ("fill --days 14", text("run whatever the last two weeks lack")),
            ("report --date 2023-04-01 --sheet", text("draw the sheet again")),
            ("runs", text("what became of every day")),
            ("--demo --language en", text("try it out, without any settings")),
        ),
        Command.RUN: (
            ("--date yesterday --json", text("for a script: the summary as JSON")),
            ("--from 2023-04-01 --to 2023-05-30 --pause 5", text("two months, gently")),
            ("--date 2023-04-01 --no-sheet --no-mail", text("load, and the local pages only")),
            ("--test --date 2023-04-01", text("the first hour, marked as a test")),
        ),
        Command.CHECK: (
            ("check", text("before the first run, and after every change of the settings")),
            ("check --send-test-letter", text("does a letter arrive?")),
            ("check --freshness 26h --json", text("for a monitor: 1 if no day arrived in time")),
        ),
        Command.REPORT: (
            ("report --date 2023-04-01", text("everything of that day once more")),
            ("report --date yesterday --mail", text("the letter alone")),
            ("report --from 2023-04-01 --to 2023-04-30 --sheet", text("a month into another sheet")),
        ),
        Command.RUNS: (
            ("runs", text("the last months")),
            ("runs --from 2023-01-01 --to 2023-12-31", text("a year")),
            ("runs --date 2023-04-01", text("every run of that day")),
            ("runs --json", text("the ledger for a script")),
        ),
        Command.FILL: (
            ("fill", text("the last 30 days")),
            ("fill --days 90 --pause 2", text("three months, gently")),
        ),
        Command.AUDIT: (
            ("audit --days 14", text("has the source corrected anything since?")),
            ("audit --days 14 --repair", text("and follow it")),
        ),
        Command.REJECTED: (
            ("rejected", text("the last 30 days, by day and reason")),
            ("rejected --date 2023-04-01 --export rejected.jsonl", text("one day, whole, into a file")),
        ),
        Command.REPLAY: (("replay --date 2023-04-01", text("after the rules have changed")),),
        Command.RETENTION: (
            ("retention --dry-run", text("what would go?")),
            ("retention", text("delete it")),
        ),
    }


def _ending(command: Command | None, messages: Messages, width: int) -> str:
    """Return examples, exit codes and where to read on."""
    text = messages.text
    lines = [f"{text('Examples')}:"]
    for words, purpose in _examples(messages)[command]:
        lines += [f"  {PROGRAM} {words}".rstrip(), f"      {purpose}"]
    lines += ["", f"{text('Exit codes')}:"]
    codes = (
        ("0", text("all done")),
        ("1", text("something failed; what is not told as loaded is as it was before")),
        ("2", text("wrong command line or settings; nothing was started")),
        ("3", text("the events are loaded, but sheet or letter failed (report repeats just that)")),
        ("130, 143", text("broken off by Ctrl-C, by the system")),
    )
    for code, words in codes:
        lines += textwrap.wrap(words, width, initial_indent=f"  {code:<10}", subsequent_indent=" " * 12)
    if command is None:
        lines += ["", f"{text('Completion of these words by the Tab key (zsh and fish likewise)')}:"]
        lines.append(f"  {PROGRAM} --print-completion bash > ~/.data_processor.bash")
        lines.append("  echo 'source ~/.data_processor.bash' >> ~/.bashrc")
    lines.append("")
    ending = (
        text("Settings are read from the environment and from .env; .env.example describes them."),
        text("The page of a command: python data_processor.py COMMAND --help.") if command is None else "",
    )
    return "\n".join([*lines, _paragraphs([part for part in ending if part], width)])


def _paragraphs(paragraphs: Sequence[str], width: int) -> str:
    return "\n\n".join(textwrap.fill(paragraph, width) for paragraph in paragraphs)
