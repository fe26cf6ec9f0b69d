"""The fault matrix: what can go wrong, what happens then, and which tests play it.

    python -m tools.fault_matrix          bring the tables of the documents up to date, then check
    python -m tools.fault_matrix check    fail if a test is not there, a row has none, or a document is out of date

The rows stand in `fault_matrix.toml`. Pytest itself is asked which tests there are.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT: Final = Path(__file__).resolve().parent.parent
DATA: Final = Path(__file__).with_suffix(".toml")
DOCUMENTS: Final = {"en": "docs/reliability.md", "ru": "docs/reliability.ru.md"}
HEADINGS: Final = {
    "en": ("What goes wrong", "What happens", "Played by"),
    "ru": ("Что ломается", "Что происходит", "Чем проверено"),
}
BEGIN: Final = "<!-- fault matrix: made by python -m tools.fault_matrix -->"
END: Final = "<!-- end of the fault matrix -->"


@dataclass(frozen=True)
class Row:
    """A fault: its number, the texts (fault, promise) by language, its tests, or why there is none."""

    number: str
    texts: Mapping[str, tuple[str, str]]
    tests: tuple[str, ...]
    why: Mapping[str, str]


@dataclass(frozen=True)
class Matrix:
    """All rows, and the names of the parts that the letters stand for."""

    parts: Mapping[str, tuple[str, str]]
    rows: tuple[Row, ...]


def read_matrix(path: Path = DATA) -> Matrix:
    """Read the rows."""
    content: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    parts = {letter: (names[0], names[1]) for letter, names in content.pop("parts").items()}
    rows = [
        Row(
            number,
            {language: (row[language][0], row[language][1]) for language in DOCUMENTS},
            tuple(row.get("tests", ())),
            {language: row[f"why_{language}"] for language in DOCUMENTS if f"why_{language}" in row},
        )
        for number, row in content.items()
    ]
    return Matrix(parts, tuple(rows))


def tables(matrix: Matrix, language: str) -> str:
    """Return the tables of a language, one a part."""
    place = list(DOCUMENTS).index(language)
    lines = []
    for letter, names in matrix.parts.items():
        lines += ["", f"### {names[place]}", "", f"| | {' | '.join(HEADINGS[language])} |", "|---|---|---|---|"]
        for row in matrix.rows:
            if row.number[0] == letter:
                fault, promise = row.texts[language]
                played = "<br>".join(f"`{test}`" for test in row.tests) or row.why.get(language, "")
                lines.append(f"| {row.number} | {fault} | {promise} | {played} |")
    return "\n".join([BEGIN, *lines, "", END])


def in_document(text: str, table: str) -> str:
    """Return a document with its tables replaced.

    Raises:
        ValueError: it has no place for them.
    """
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError("the document has no single place for the fault matrix")
    return pattern.sub(lambda _: table, text)


def collected(root: Path = ROOT) -> frozenset[str]:
    """Ask pytest for all tests; their names are as the matrix writes them."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "tests"]
    finished = subprocess.run(  # noqa: S603  # pytest, on our own tests
        command, cwd=root, capture_output=True, text=True, check=False
    )
    found = re.findall(r"^tests/(\S+?)\.py::(\w+)", finished.stdout, re.MULTILINE)
    return frozenset(f"{place}::{name}" for place, name in found)


def faults(matrix: Matrix, tests: frozenset[str], documents: Mapping[str, str]) -> list[str]:
    """Return what is wrong with the matrix, a line each.

    Args:
        matrix: the rows.
        tests: the tests there are.
        documents: the texts of the documents by language.
    """
    found = [f"{row.number}: there is no test {test}" for row in matrix.rows for test in row.tests if test not in tests]
    found += [
        f"{row.number}: neither a test nor a reason in both languages"
        for row in matrix.rows
        if not row.tests and len(row.why) < len(DOCUMENTS)
    ]
    for letter in matrix.parts:
        numbers = [int(row.number[1:]) for row in matrix.rows if row.number[0] == letter]
        if numbers != list(range(1, len(numbers) + 1)):
            found.append(f"{letter}: the numbers have a gap")
    for language, text in documents.items():
        try:
            current = in_document(text, tables(matrix, language)) == text
        except ValueError as error:
            found.append(f"{DOCUMENTS[language]}: {error}")
        else:
            if not current:
                found.append(f"{DOCUMENTS[language]} is out of date: run python -m tools.fault_matrix")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command of the module's docstring and return its exit code."""
    parser = argparse.ArgumentParser(prog="fault_matrix", description="Keeps the fault matrix and its documents.")
    parser.add_argument("command", nargs="?", choices=["update", "check"], default="update")
    command = parser.parse_args(arguments).command
    matrix = read_matrix()
    documents = {language: (ROOT / name).read_text("utf-8") for language, name in DOCUMENTS.items()}
    if command == "update":
        for language, name in DOCUMENTS.items():
            documents[language] = in_document(documents[language], tables(matrix, language))
            (ROOT / name).write_text(documents[language], "utf-8")
    found = faults(matrix, collected(), documents)
    tested = sum(bool(row.tests) for row in matrix.rows)
    names = {test for row in matrix.rows for test in row.tests}
    _say("\n".join(found) or f"fault matrix: rows {len(matrix.rows)}, played by tests {tested}, tests {len(names)}")
    return 1 if found else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
