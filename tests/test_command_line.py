"""The command line: what each command takes, the pages of help, completion, and the terminal's bars and tables."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tomllib
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from app_types import Language
from config import HOME
from console import completion, manual
from console.arguments import COMMON, TAKES, VERSION, Command, Options, read_arguments
from console.dates import days_of
from console.progress import DaysBar, time_left
from console.tables import Column, table
from console.terminal import Terminal
from exceptions import UsageError
from messages import Messages

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.program import Program

ENGLISH = Messages(Language.ENGLISH)
TODAY = date(2023, 4, 30)
EVERY_COMMAND = pytest.mark.parametrize("command", list(Command))


def read(line: str) -> Options:
    """Read a command line as the shell would cut it."""
    return read_arguments(line.split(), ENGLISH)


# What is asked for


def test_no_command_is_run_and_options_stand_anywhere() -> None:
    """Before the command or after it: the same."""
    assert read("--date 2023-04-01 --json") == read("--json run --date 2023-04-01")
    assert read("--demo --language en report --date yesterday").command is Command.REPORT
    assert read("") == Options(Command.RUN)


def test_report_publishes_everything_or_what_is_chosen() -> None:
    """--sheet, --mail and --local choose; --no-sheet and --no-mail leave out."""

    def published(line: str) -> tuple[bool, bool, bool]:
        options = read(f"report --date 2023-04-01 {line}")
        return options.sheet, options.mail, options.local

    assert published("") == (True, True, True)
    assert published("--sheet") == (True, False, False)
    assert published("--mail --local") == (False, True, True)
    assert published("--no-mail") == (True, False, True)
    assert published("--sheet --local --no-mail") == (True, False, True)


def test_mail_of_a_run_adds_and_leaves_nothing_out() -> None:
    """There, --mail means: even without news."""
    options = read("--date 2023-04-01 --mail")

    assert (options.sheet, options.mail, options.mail_anyway, options.local) == (True, True, True, True)


def test_fill_gaps_is_another_name_of_fill() -> None:
    """Nothing tells the two apart."""
    assert read("--fill-gaps --days 5 --pause 1.5") == read("fill --days 5 --pause 1,5")


@EVERY_COMMAND
def test_option_that_a_command_does_not_take_is_refused_with_those_that_do(command: Command) -> None:
    """Nobody is to believe that it was heeded; no command takes every option."""
    foreign = sorted({option for options in TAKES.values() for option in options} - {*TAKES[command], "--date"})

    for option in foreign:
        values = "" if option in {"--repair", "--dry-run", "--send-test-letter"} else "1"
        line = f"{command} {option} {values}" if _has_value(option) else f"{command} {option}"
        with pytest.raises(UsageError):
            read(line)


def _has_value(option: str) -> bool:
    return option in {"--from", "--to", "--days", "--pause", "--freshness", "--export"}


@pytest.mark.parametrize(
    ("line", "days"),
    [
        ("--days 3", ["2023-04-27", "2023-04-28", "2023-04-29"]),
        ("audit", [f"2023-04-{day}" for day in range(23, 30)]),
        ("runs", []),
        ("check", []),
        ("report --from 2023-04-29 --to today", ["2023-04-29", "2023-04-30"]),
    ],
)
def test_days_reach_up_to_yesterday_where_only_their_number_is_known(line: str, days: list[str]) -> None:
    """Today is not over; who wants it names it."""
    assert [day.isoformat() for day in days_of(read(line), TODAY)] == days


def test_fill_looks_back_over_thirty_days() -> None:
    """A month is what an operator means without saying."""
    days = days_of(read("fill"), TODAY)

    assert (len(days), days[0], days[-1]) == (30, date(2023, 3, 31), date(2023, 4, 29))


@pytest.mark.parametrize(
    ("text", "age"),
    [("26h", timedelta(hours=26)), ("2d", timedelta(days=2)), ("90M", timedelta(minutes=90))],
)
def test_age_is_a_number_with_its_unit(text: str, age: timedelta) -> None:
    """Hours, days or minutes."""
    assert read(f"check --freshness {text}").freshness == age


@pytest.mark.parametrize("text", ["26", "h", "0h", "-1h", "1.5h", "999999d", "1w", "²h"])
def test_what_is_no_age_is_refused(text: str) -> None:
    """A monitor that waits for ever is worse than none."""
    with pytest.raises(UsageError):
        read(f"check --freshness={text}")


@pytest.mark.parametrize("option", ["--days=0", "--days=-1", "--days=9999", "--days=1e3", "--pause=-1", "--pause=nan"])
def test_what_is_no_number_is_refused(option: str) -> None:
    """The line says what would be one."""
    with pytest.raises(UsageError):
        read(option)


# Help and version


@pytest.mark.parametrize("language", list(Language))
@EVERY_COMMAND
def test_page_of_a_command_tells_all_it_takes_and_how_to_use_it(command: Command, language: Language) -> None:
    """Every option with its meaning, examples that can be typed, the exit codes."""
    page = manual.page(command, Messages(language))

    named = set(re.findall(r"^ {2}(?:-h, )?(--[a-z-]+)", page, re.MULTILINE))
    assert named == {*TAKES[command], *COMMON}
    examples = re.findall(r"^ {2}python data_processor\.py(.*)$", page, re.MULTILINE)
    assert examples
    for example in examples:
        assert read(example).command is command
    assert "130" in page


@pytest.mark.parametrize("language", list(Language))
def test_page_of_the_program_lists_every_command(language: Language) -> None:
    """It is also that of `run`, which needs no name; its lines fit a terminal of 80 columns."""
    page = manual.page(None, Messages(language))

    assert set(re.findall(r"^ {2}([a-z]+) ", page, re.MULTILINE)) >= {command.value for command in Command}
    assert set(re.findall(r"^ {2}(?:-h, )?(--[a-z-]+)", page, re.MULTILINE)) == {*TAKES[Command.RUN], *COMMON}
    prose = [line for line in page.splitlines() if "python data_processor.py" not in line]
    assert max(map(len, prose)) <= 80


def test_help_after_a_command_is_its_own_page(unconfigured_program: Program) -> None:
    """On either side of it, without any settings."""
    after = unconfigured_program.run("fill", "--help")
    before = unconfigured_program.run("--help", "fill")

    assert (after.code, after.out) == (0, before.out)
    assert "30" in after.out
    assert "--test" not in after.out


def test_version_is_that_of_the_project(unconfigured_program: Program) -> None:
    """One place to raise it, and the other follows or fails here."""
    project = tomllib.loads((HOME / "pyproject.toml").read_text("utf-8"))["project"]

    finished = unconfigured_program.run("--version")

    assert project["version"] == VERSION
    assert (finished.code, finished.out) == (0, f"{project['name']} {project['version']}\n")


# Completion


def completed(folder: Path, *words: str, before: str = "") -> set[str]:
    """Return what bash proposes for the last of these words."""
    script = folder / "completion.bash"
    script.write_text(completion.script("bash", ENGLISH), "utf-8")
    quoted = " ".join(f"'{word}'" for word in words)
    call = '_data_processor "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"'
    lines = (
        before,
        f"source '{script}'",
        f"COMP_WORDS=({quoted}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1))",
        call,
        "printf '%s\\n' \"${COMPREPLY[@]}\"",
    )
    done = subprocess.run(
        ["bash", "--norc", "--noprofile", "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        timeout=30,
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def test_bash_completes_commands_and_the_options_of_each(tmp_path: Path) -> None:
    """Behind `python data_processor.py`, wherever it lies and whatever Python is told before it."""
    assert completed(tmp_path, "python", "data_processor.py", "") == {command.value for command in Command}
    assert completed(tmp_path, "python3", "/srv/etl/data_processor.py", "re") == {
        "report",
        "rejected",
        "replay",
        "retention",
    }
    assert completed(tmp_path, "python", "-X", "dev", "data_processor.py", "check", "--") == {
        *TAKES[Command.CHECK],
        *COMMON,
    }
    assert completed(tmp_path, "python", "data_processor.py", "--missing") == {"--missing-only"}
    assert completed(tmp_path, "python", "data_processor.py", "--json", "--language", "") == {"ru", "en"}
    assert completed(tmp_path, "python", "data_processor.py", "--date", "y") == {"yesterday"}


def test_bash_completes_other_programs_as_before(tmp_path: Path) -> None:
    """Where something completed `python` already, it still does."""
    before = "_old() { COMPREPLY=(what it was); }; complete -F _old python"

    assert completed(tmp_path, "python", "other.py", "", before=before) == {"what", "it", "was"}
    assert completed(tmp_path, "python", "other.py", "") == set()
    assert "--repair" in completed(tmp_path, "python", "data_processor.py", "audit", "--", before=before)


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_every_word_with_its_meaning(shell: str, language: Language) -> None:
    """Both show a line of help beside each word, in the chosen language."""
    messages = Messages(language)
    script = completion.script(shell, messages)

    for command, words in manual.summaries(messages).items():
        assert command.value in script
        assert words.split("'")[0] in script
    for option in {option for options in TAKES.values() for option in options}:
        assert f" {option[2:]} " in script or option in script


def test_unknown_shell_is_refused(unconfigured_program: Program) -> None:
    """2, and the shells that are known."""
    finished = unconfigured_program.run("--print-completion", "tcsh")

    assert (finished.code, finished.out) == (2, "")
    assert "bash, zsh, fish" in finished.err


# Bars and tables


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "less than a minute left"),
        (31, "about 1 min left"),
        (754, "about 13 min left"),
        (3600, "about 1 h 00 min left"),
        (9_000, "about 2 h 30 min left"),
    ],
)
def test_time_left_is_told_no_more_exactly_than_it_is_known(seconds: float, words: str) -> None:
    """Minutes, and five of them where it takes hours."""
    assert time_left(seconds, ENGLISH) == words


def test_nothing_is_claimed_before_a_day_is_done_nor_after_the_last() -> None:
    """The guess is the mean of the days done, times those that are left."""
    bar = DaysBar(3, ENGLISH)
    before = bar.told()
    bar.started -= 120
    bar.advance(is_failed=True)
    first = bar.told()
    bar.advance(is_failed=False)
    bar.advance(is_failed=False)

    assert before == "0 of 3"
    assert first == "1 of 3 · failed: 1 · about 4 min left"
    assert bar.told() == "3 of 3 · failed: 1"


def test_what_draws_bars_is_not_loaded_where_there_is_no_terminal() -> None:
    """The first request of a run by cron does not wait for it, and a file gets no bars, whatever the environment."""
    program = (
        "import io, sys; from app_types import Language, Progress; from messages import Messages\n"
        "from console.terminal import Terminal\n"
        "terminal = Terminal(stream := io.StringIO())\n"
        "with terminal.progress('Fetching', Messages(Language.ENGLISH)) as update: update(Progress(1, 2, 10))\n"
        "print(sorted({'rich', 'rich.console', 'rich.progress'}.intersection(sys.modules)), [stream.getvalue()])"
    )
    environment = {**os.environ, "FORCE_COLOR": "1"}
    done = subprocess.run([sys.executable, "-c", program], cwd=HOME, env=environment, capture_output=True, check=True)
    assert done.stdout.split() == [b"[]", b"['']"]


def test_table_lines_up_letters_of_every_width_and_leaves_markup_alone() -> None:
    """Cyrillic and wide letters take the room they take; what looks like rich's markup is text."""
    stream = io.StringIO()
    rows = [("2023-04-01", "[red]да", "1"), ("2023-04-02", "日本", "12,345")]
    columns = [Column("Date", is_short=True), Column("Word"), Column("Number", is_number=True)]

    Terminal(stream).show(table("Title", columns, rows, total=("All", "", "12,346")))

    lines = stream.getvalue().splitlines()
    assert lines[0].strip() == "Title"
    assert any("[red]да" in line for line in lines)
    ends = [line.rstrip() for line in lines if re.search(r"\d$", line.rstrip())]
    assert len(ends) == 3
    assert {len(line) + line.count("日") + line.count("本") for line in ends} == {len(ends[0])}


@pytest.mark.parametrize("width", [44, 60, 80, 120])
def test_table_loses_nothing_in_a_narrow_terminal(width: int) -> None:
    """Headings and texts take more lines, numbers and dates stay whole, nothing reaches beyond the edge."""
    stream = io.StringIO()
    columns = [
        Column("Дата", is_short=True),
        Column("Итог"),
        *(Column(name, is_number=True) for name in ("Отклонённых", "Исправленных событий")),
    ]
    rows = [("2023-04-01", "загружено, но не без трудностей", "1\u00a0204", "12\u00a0345\u00a0678")]

    Terminal(stream, width=width).show(table("Всё", columns, rows))

    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert any("2023-04-01" in line and "1\u00a0204" in line and "12\u00a0345\u00a0678" in line for line in lines)
    letters = re.sub(r"[^а-яё]", "", stream.getvalue())
    assert len(letters) == len(re.sub(r"[^а-яё]", "", "".join(["Всё", *(each.label for each in columns), rows[0][1]])))
