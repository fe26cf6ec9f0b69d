"""The guards of the project: the fault matrix, the mutants and the advisories say what is wrong, and only that."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tools import advisories, fault_matrix, mutants
from tools.advisories import read_advice, verdict
from tools.mutants import MUTANTS, Mutant

if TYPE_CHECKING:
    from pathlib import Path

# The fault matrix


@pytest.fixture(scope="module")
def there() -> frozenset[str]:
    """The tests that pytest finds."""
    return fault_matrix.collected()


def documents() -> dict[str, str]:
    """Return the texts of the documents."""
    return {
        language: (fault_matrix.ROOT / name).read_text("utf-8") for language, name in fault_matrix.DOCUMENTS.items()
    }


def test_every_row_of_the_matrix_has_tests_and_stands_in_both_documents(there: frozenset[str]) -> None:
    """Ninety-eight rows: each has tests that pytest finds, or says why not; the documents are up to date."""
    matrix = fault_matrix.read_matrix()

    assert len(matrix.rows) == 98
    assert fault_matrix.faults(matrix, there, documents()) == []


def test_matrix_tells_what_is_wrong_with_it(there: frozenset[str]) -> None:
    """A test that is gone, a row without one, a gap in the numbers, an old or a missing table are each told."""
    matrix = fault_matrix.read_matrix()
    first, second, *others = matrix.rows
    broken = replace(
        matrix, rows=(replace(first, tests=("test_config::test_gone",)), replace(second, tests=()), *others[1:])
    )
    texts = {"en": documents()["en"], "ru": "nothing"}

    found = fault_matrix.faults(broken, there, texts)

    assert f"{first.number}: there is no test test_config::test_gone" in found
    assert f"{second.number}: neither a test nor a reason in both languages" in found
    assert f"{first.number[0]}: the numbers have a gap" in found
    assert any(told.startswith("docs/reliability.md is out of date") for told in found)
    assert any(told.startswith("docs/reliability.ru.md: the document has no single place") for told in found)


def test_reason_stands_in_the_place_of_the_tests() -> None:
    """A row that cannot be played says so in the language of the table."""
    matrix = fault_matrix.read_matrix()
    row = replace(matrix.rows[0], tests=(), why={"en": "no such machine here", "ru": "такой машины здесь нет"})
    alone = replace(matrix, rows=(row,))

    assert "| no such machine here |" in fault_matrix.tables(alone, "en")
    assert "| такой машины здесь нет |" in fault_matrix.tables(alone, "ru")
    assert fault_matrix.faults(alone, frozenset(), {}) == []


def test_command_of_the_matrix_brings_the_documents_up_to_date(
    there: frozenset[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check` finds an old table, the command itself makes a new one and leaves the text around it alone."""
    (tmp_path / "docs").mkdir()
    for name in fault_matrix.DOCUMENTS.values():
        (tmp_path / name).write_text(f"before\n{fault_matrix.BEGIN}\nold\n{fault_matrix.END}\nafter\n", "utf-8")
    monkeypatch.setattr(fault_matrix, "ROOT", tmp_path)
    monkeypatch.setattr(fault_matrix, "collected", lambda: there)

    assert fault_matrix.main(["check"]) == 1
    assert "is out of date" in capsys.readouterr().out
    assert fault_matrix.main([]) == 0
    assert "rows 98" in capsys.readouterr().out
    assert fault_matrix.main(["check"]) == 0
    text = (tmp_path / "docs/reliability.ru.md").read_text("utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| C1 |" in text


# The mutants


def test_every_mutant_can_still_be_planted() -> None:
    """The text of each stands just once in its file, and its tests are there."""
    assert mutants.faults(MUTANTS) == []
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 10
    assert mutants.main(["--check"]) == 0


@pytest.fixture
def small_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mutant:
    """A project of one function and one test, with a mutant that the test notices."""
    root = tmp_path / "project"
    (root / "tests").mkdir(parents=True)
    (root / "ci").mkdir()
    (root / ".gitignore").write_text("nothing\n", "utf-8")
    (root / "sums.py").write_text("def double(number):\n    return 2 * number\n", "utf-8")
    tests = "def test_double():\n    assert sums.double(3) == 6\n\ndef test_zero():\n    assert sums.double(0) == 0\n"
    (root / "tests" / "test_sums.py").write_text(f"import sums\n\n{tests}", "utf-8")
    (root / "pytest.ini").write_text("[pytest]\npythonpath = .\n", "utf-8")
    monkeypatch.setattr(mutants, "ROOT", root)
    return Mutant(
        "wrong", "sums are wrong", "sums.py", "2 * number", "3 * number", ("tests/test_sums.py::test_double",)
    )


def test_mutant_that_its_tests_notice_is_killed_and_any_other_told(
    small_tree: Mutant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed, survived and broken off are three things; the tree itself is never touched."""
    blind = replace(small_tree, name="blind", tests=("tests/test_sums.py::test_zero",))
    broken = replace(small_tree, name="broken", replacement="2 *")
    monkeypatch.setattr(mutants, "MUTANTS", (small_tree, blind, broken))
    monkeypatch.setattr(mutants, "faults", lambda _mutants: [])

    assert mutants.main([]) == 1

    told = capsys.readouterr().out
    assert [line.split()[-2] for line in told.splitlines()[1:3]] == ["killed", "SURVIVED"]
    assert "ERROR" in told.splitlines()[3]
    assert "killed: 1 of 3" in told
    assert "2 * number" in (mutants.ROOT / "sums.py").read_text("utf-8")


def test_mutants_are_not_judged_by_tests_that_fail_anyway(
    small_tree: Mutant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A test that fails on healthy code proves nothing."""
    (mutants.ROOT / "sums.py").write_text("def double(number):\n    return 2 * number + 1\n", "utf-8")
    monkeypatch.setattr(mutants, "MUTANTS", (small_tree,))

    assert mutants.main([]) == 1
    assert "do not pass on healthy code" in capsys.readouterr().out


def test_mutant_that_cannot_be_planted_is_an_error(
    small_tree: Mutant, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A text that is gone or stands twice, a file or a test that is gone: the mutant has to follow the code."""
    lost = [
        replace(small_tree, name="text gone", text="4 * number"),
        replace(small_tree, name="text twice", text="number"),
        replace(small_tree, name="file gone", path="gone.py"),
        replace(small_tree, name="test gone", tests=("tests/test_sums.py::test_gone",)),
        replace(small_tree, name="tests gone", tests=("tests/test_gone.py::test_gone",)),
    ]
    monkeypatch.setattr(mutants, "MUTANTS", tuple(lost))

    assert mutants.main(["--check"]) == 1
    told = capsys.readouterr().out
    assert all(mutant.name in told for mutant in lost)


# The advisories


def report(*packages: dict[str, Any]) -> str:
    """Return what pip-audit prints."""
    return json.dumps({"dependencies": list(packages), "fixes": []})


CHECKED = {"name": "good", "version": "1.0", "vulns": []}
SKIPPED = {"name": "unknown", "skip_reason": "Dependency not found on PyPI and could not be audited: unknown (1.0)"}
WEAK = {"name": "weak", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"], "aliases": []}]}


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("", 0, "NOT CHECKED"),
        ("Traceback", 0, "NOT CHECKED"),
        ("[]", 0, "NOT CHECKED"),
        (report(), 0, "NOT CHECKED"),
        (report(SKIPPED), 0, "NOT CHECKED"),
        (report(CHECKED), 0, "packages checked: 1, weaknesses: 0"),
        (report(CHECKED, SKIPPED), 0, "NOT CHECKED: unknown"),
        (report(CHECKED, WEAK), 1, "weak 2.0: PYSEC-1, mended in 2.1"),
    ],
)
def test_advice_is_never_silently_good(text: str, code: int, told: str) -> None:
    """A weakness fails the build; what could not be checked is said, and fails nothing."""
    found = verdict(read_advice(text))

    assert found[0] == code
    assert told in found[1]


def test_asking_ends_and_says_something(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With nobody to be asked the command ends well and says that nothing was checked."""
    monkeypatch.setattr(advisories, "_COMMAND", ("-c", "raise SystemExit('no network')"))

    assert advisories.main() == 0
    assert "NOT CHECKED" in capsys.readouterr().out
    monkeypatch.setattr(advisories, "_COMMAND", ("-c", "input()"))
    monkeypatch.setattr(advisories, "_LIMIT", 0.2)
    assert advisories.main() == 0
