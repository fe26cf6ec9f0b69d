"""The operator's documents: both languages in step, every command can be typed, every message is one that is said."""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

import exceptions
from alarms import metrics
from app_types import Language
from config import DEFAULTS, HOME, OLD_NAMES
from console.arguments import Command, read_arguments
from exceptions import EtlError, UsageError
from messages import Messages
from tools.catalogue import extract
from warehouse.adoption import KEPT

OPERATIONS = {Language.ENGLISH: HOME / "docs" / "operations.md", Language.RUSSIAN: HOME / "docs" / "operations.ru.md"}
DEPLOY = {Language.ENGLISH: HOME / "deploy" / "README.md", Language.RUSSIAN: HOME / "deploy" / "README.ru.md"}
READMES = {Language.ENGLISH: HOME / "README.md", Language.RUSSIAN: HOME / "README.ru.md"}
PAIRS = {"operations": OPERATIONS, "deploy": DEPLOY, "readme": READMES}
FAILURES = {Language.ENGLISH: "## When something fails", Language.RUSSIAN: "## Когда что-то не получилось"}
DOCUMENTS = sorted({*HOME.glob("*.md"), *(HOME / "docs").glob("*.md"), *(HOME / "deploy").glob("*.md")})
SOURCES = [
    path
    for path in HOME.rglob("*.py")
    if not {"tests", "benchmarks", "tools"} & set(path.relative_to(HOME).parts)
    and not any(part.startswith(".") for part in path.relative_to(HOME).parts)
]

_COMMAND = re.compile(r"python(?:3)? data_processor\.py[^`\n|#>]*")
_FIELD = re.compile(r"%\(\w+\)s")


def text_of(path: Path) -> str:
    """Return a document."""
    return path.read_text("utf-8")


def commands(path: Path) -> list[str]:
    """Return every command line of the program that a document shows."""
    return [found.strip() for found in _COMMAND.findall(text_of(path)) if "…" not in found]


def blocks(path: Path) -> list[str]:
    """Return the blocks of code of a document."""
    return re.findall(r"^ *```.*?^ *```", text_of(path), re.DOTALL | re.MULTILINE)


def shown(template: str) -> str:
    """Return a template as the documents show it."""
    return _FIELD.sub("…", template)


def told(language: Language) -> list[str]:
    """Return the messages in the table of failures."""
    section = text_of(OPERATIONS[language]).partition(FAILURES[language])[2].partition("\n## ")[0]
    tables = section.partition("\n### ")[2]
    rows = re.findall(r"^\| (.+?) \| .+ \|$", tables, re.MULTILINE)
    return [row for row in rows if row not in {"message", "сообщение"}]


@cache
def templates_by_class() -> dict[str, set[str]]:
    """Return the templates that each class of errors is raised with, as the code spells them."""
    found: dict[str, set[str]] = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(text_of(path))):
            if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if isinstance(node.args[0].value, str):
                found.setdefault(name, set()).add(node.args[0].value)
    return found


def error_classes() -> list[str]:
    """Return the names of all errors that people are told about."""
    return [name for name, kind in vars(exceptions).items() if isinstance(kind, type) and issubclass(kind, EtlError)]


# --- commands ---


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(HOME).as_posix())
def test_every_command_can_be_typed(path: Path) -> None:
    """A command line of a document is understood; `D` stands for a date there, and COMMAND for a command."""
    for command in commands(path):
        arguments = shlex.split(re.sub(r"\bD\b", "2023-04-01", command).partition("data_processor.py")[2])
        arguments = [{"COMMAND": "runs", "КОМАНДА": "runs"}.get(each, each) for each in arguments]
        for language in Language:
            if "--help" not in arguments and "--version" not in arguments:
                read_arguments(arguments, Messages(language))


def test_check_of_commands_finds_a_wrong_one() -> None:
    """The test above would not pass over a slip of the pen."""
    with pytest.raises(UsageError):
        read_arguments(["--dat", "2023-04-01"], Messages(Language.ENGLISH))


@pytest.mark.parametrize("language", list(Language))
def test_every_command_is_told_of(language: Language) -> None:
    """The operator's page and the README leave no command out."""
    for path in (OPERATIONS[language], READMES[language]):
        seen = {read_arguments(shlex.split(c.partition(".py")[2].replace(" D", " 2023-04-01")),
                               Messages(language)).command for c in commands(path) if "--help" not in c}  # fmt: skip
        assert set(Command) <= seen, path


# --- both languages ---


@pytest.mark.parametrize("pair", PAIRS)
def test_languages_are_in_step(pair: str) -> None:
    """Both versions have the same headings, tables, links, commands and blocks of code, in the same order."""
    english, russian = PAIRS[pair][Language.ENGLISH], PAIRS[pair][Language.RUSSIAN]

    assert commands(english) == [each.replace("КОМАНДА", "COMMAND") for each in commands(russian)]
    for pattern in (r"^#+ ", r"^(?: *- |\| )", r"^ *\d+\. "):
        counts = [len(re.findall(pattern, text_of(path), re.MULTILINE)) for path in (english, russian)]
        assert counts[0] == counts[1], pattern
    assert len(blocks(english)) == len(blocks(russian))
    names = [sorted(set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", text_of(path)))) for path in (english, russian)]
    assert set(names[0]) & set(DEFAULTS) == set(names[1]) & set(DEFAULTS)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(HOME).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    """A link to a file of ours finds it."""
    for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text_of(path)):
        assert (path.parent / link).exists(), link


# --- messages ---


@pytest.mark.parametrize("language", list(Language))
def test_every_message_in_the_table_is_one_that_is_said(language: Language) -> None:
    """A message stands there as the program words it today, in the language of the page."""
    messages = Messages(language)
    known = {shown(messages.translated(template.one)) for template in extract().places}

    assert [message for message in told(language) if message not in known] == []
    assert len(told(language)) == len(set(told(language))) > 40


def test_both_tables_tell_of_the_same_messages() -> None:
    """The Russian table has the messages of the English one in the same order."""
    by_russian = {shown(Messages(Language.RUSSIAN).translated(t.one)): shown(t.one) for t in extract().places}

    assert [by_russian[message] for message in told(Language.RUSSIAN)] == told(Language.ENGLISH)


@pytest.mark.parametrize("name", error_classes())
def test_every_kind_of_error_is_in_the_table(name: str) -> None:
    """Whatever kind of failure there is, the operator finds a line about it."""
    raised = {"ConfigError": "Fault", "LoadRefusedError": "LoadRefusedError"}.get(name, name)
    templates = {shown(template) for template in templates_by_class().get(raised, set())}
    if name == "ConfigError":
        templates |= {shown(t) for t in templates_by_class()["fault"]}

    assert templates & set(told(Language.ENGLISH)), name


# --- names ---


@pytest.mark.parametrize("path", [*OPERATIONS.values(), *DEPLOY.values()], ids=lambda path: path.name)
def test_settings_are_spelled_as_they_are(path: Path) -> None:
    """What looks like a setting is one, in these documents as in the code."""
    known = {*DEFAULTS, *OLD_NAMES, "DB_MAIN_TABLE_OPEN_RESET", "CRON_TZ", "BOT_TOKEN", "CHAT_ID"}
    names = set(re.findall(r"\b[A-Z]{2,}(?:_[A-Z]+)+\b", text_of(path)))

    assert names <= known


@pytest.mark.parametrize("language", list(Language))
def test_figures_of_the_monitor_are_those_that_are_written(language: Language) -> None:
    """The expressions for alerts use names that are in the file."""
    code = text_of(HOME / "alarms" / "metrics.py")
    names = set(re.findall(r"\b(lms_etl_\w+)", text_of(OPERATIONS[language])))

    assert len(names) >= 5
    for name in names:
        short = name.removeprefix(metrics.PREFIX)
        assert short in code or re.sub(r"^day_|^last_run_|_events$", "", short) in code, name


def test_move_from_the_old_script_names_what_there_is() -> None:
    """Old names of settings, and the name of the old table afterwards, are those of the code."""
    for path in OPERATIONS.values():
        for name in (*OLD_NAMES, KEPT):
            assert f"`{name}`" in text_of(path)
