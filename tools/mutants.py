"""Mutants: the faults that must never come back, planted one at a time; each has to be noticed by the tests it names.

    python -m tools.mutants              plant each in a copy of the tree, run its tests, print a table
    python -m tools.mutants --check      only look whether each can still be planted and its tests are there
    python -m tools.mutants --only NAME  one of them (may be repeated)

A mutant is an exact text of a file and what takes its place. A text that is not found just once is an error: the code
has moved on, and the mutant has to follow it. First all named tests run on the healthy copy, where they must pass.
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).resolve().parent.parent
_LEFT_OUT: Final = shutil.ignore_patterns(".*", "__pycache__", "reports", "node_modules", "htmlcov", "*.egg-info")
_KEPT: Final = (".env.example", ".gitignore", ".github", ".ci")
_LIMIT: Final = 180.0
_PASSED, _FAILED = 0, 1


@dataclass(frozen=True)
class Mutant:
    """A fault: what it would mean, where it is planted, and which tests have to notice it."""

    name: str
    meaning: str
    path: str
    text: str
    replacement: str
    tests: tuple[str, ...]


MUTANTS: Final = (
    Mutant(
        "commit before the end",
        "a load that fails leaves half a day, as a commit per row does",
        "put_data.py",
        "    rejected = _quarantine(cursor, bounds, spool)\n",
        "    cursor.connection.commit()\n    rejected = _quarantine(cursor, bounds, spool)\n",
        (
            "tests/test_put_data.py::test_failure_anywhere_rolls_everything_back",
            "tests/test_contract_faults.py::test_refusal_at_the_commit_rolls_everything_back",
        ),
    ),
    Mutant(
        "commit before the end of a first load",
        "a first load that fails leaves half a day",
        "put_data.py",
        "        merged = _Merged(loaded=cursor.rowcount)\n",
        "        merged = _Merged(loaded=cursor.rowcount)\n        cursor.connection.commit()\n",
        ("tests/test_contract_matrix.py::test_first_load_that_fails_after_its_events_leaves_none_of_them",),
    ),
    Mutant(
        "reset before the fetch",
        "the table is empty when the source turns out to be down",
        "put_data.py",
        "    with Spool() as spool:\n",
        '    if reset:\n        database.rows("DELETE FROM lms_activities")\n    with Spool() as spool:\n',
        (
            "tests/test_put_data.py::test_reset_is_undone_when_the_load_fails",
            "tests/test_put_data.py::test_reset_is_refused_where_no_valid_event_came",
        ),
    ),
    Mutant(
        "rows not counted",
        "events are lost on the way into the table, and the run says that all is well",
        "put_data.py",
        "    if expected != found:\n",
        "    if False:\n",
        (
            "tests/test_put_data.py::test_row_that_does_not_arrive_aborts_the_load",
            "tests/test_put_data.py::test_row_that_is_not_copied_aborts_the_load",
        ),
    ),
    Mutant(
        "ledger apart from the load",
        "after a cut at the commit nobody knows whether the events are there",
        "put_data.py",
        "    ledger.record_load(cursor, run_id, counts)\n",
        "",
        ("tests/test_put_data.py::test_counts_are_part_of_the_load",),
    ),
    Mutant(
        "no snapshot",
        "the counts of a load are mixed with those of another one",
        "put_data.py",
        '    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")\n',
        "",
        ("tests/test_put_data.py::test_load_sees_one_snapshot",),
    ),
    Mutant(
        "failed window taken for an empty one",
        "the day is published without the hours that the source did not deliver",
        "get_data.py",
        "                task.future.set_exception(error)\n",
        "                task.future.set_result(Batch(task.window, 0, []))\n",
        ("tests/test_get_data.py::test_error_of_one_window_is_the_error_of_the_day",),
    ),
    Mutant(
        "characters counted for bytes",
        "a text beyond ASCII ends a field of COPY too early, and the load with it",
        "source/rows.py",
        "_field(value.encode())",
        "_LENGTH.pack(len(value)) + value.encode()",
        ("tests/test_parsers_hold.py::test_corpus_goes_through_the_whole_program",),
    ),
    Mutant(
        "closed window, read together",
        "an event at midnight belongs to two days",
        "source/bulk.py",
        "and last < end",
        "and last <= end",
        ("tests/test_get_data.py::test_both_readings_of_the_end_give_the_same_events",),
    ),
    Mutant(
        "closed window",
        "an event at midnight belongs to two days",
        "app_types.py",
        "return self.start <= moment < self.end",
        "return self.start <= moment <= self.end",
        ("tests/test_windows.py::test_window_is_half_open",),
    ),
    Mutant(
        "refused recipients ignored",
        "a letter that not everybody got counts as sent to all",
        "mail/delivery.py",
        "        fates.refused[address] = code\n",
        "",
        ("tests/test_email_notifications.py::test_refused_recipient_is_listed_and_others_are_served",),
    ),
    Mutant(
        "mail server not verified",
        "the password of the mailbox goes to whoever answers",
        "mail/session.py",
        "context = ssl.create_default_context()",
        "context = ssl._create_unverified_context()",
        ("tests/test_email_notifications.py::test_untrusted_certificate_is_refused_before_the_login",),
    ),
    Mutant(
        "no encryption where it is not offered",
        "who strips STARTTLS from the answer reads the password",
        "mail/session.py",
        '    if not client.has_extn("starttls"):\n        raise Failure(',
        '    if not client.has_extn("starttls"):\n        return\n        raise Failure(',
        ("tests/test_email_notifications.py::test_stripped_starttls_gets_neither_login_nor_letter",),
    ),
    Mutant(
        "source not verified",
        "the API key goes to whoever answers",
        "source/http_client.py",
        "        self._session.trust_env = False\n",
        "        self._session.trust_env = False\n        self._session.verify = False\n",
        ("tests/test_http_client.py::test_certificate_that_cannot_be_trusted_ends_it",),
    ),
    Mutant(
        "redirects followed",
        "the API key travels to another host",
        "source/http_client.py",
        "allow_redirects=False",
        "allow_redirects=True",
        ("tests/test_http_client.py::test_redirect_is_not_followed",),
    ),
    Mutant(
        "key behind the error",
        "the exception that holds the address with the key hangs on ours",
        "source/http_client.py",
        "        failure.__context__ = None\n        raise failure.with_traceback(None)\n",
        "        raise failure\n",
        ("tests/test_http_client.py::test_no_error_holds_the_key",),
    ),
    Mutant(
        "password behind the error",
        "the driver's exception, whose frames hold the password, hangs on ours",
        "warehouse/connection.py",
        "            text = _first_line(error)\n        else:",
        "            text = _first_line(error)\n            if refusal := _refusal(text):\n"
        "                raise refusal from None\n        else:",
        ("tests/test_secrets.py::test_no_secret_in_what_a_fault_of_the_database_leaves",),
    ),
    Mutant(
        "cells as by USER_ENTERED",
        "a text that begins with = is a formula in the sheet",
        "sheets/cells.py",
        '{"stringValue": fit}',
        '{"formulaValue" if fit[:1] == "=" else "stringValue": fit}',
        ("tests/test_google_sheets.py::test_text_never_becomes_a_formula_or_a_link",),
    ),
    Mutant(
        "eval",
        "whoever controls a field of the source runs code here",
        "source/passback.py",
        "    return _read_strictly(text)\n",
        "    return Passback(*(eval(text).get(name) for name in FIELDS))\n",
        (
            "tests/test_passback.py::test_nothing_is_evaluated",
            "tests/test_parsers_hold.py::test_nothing_from_data_is_executed_opened_or_connected_to",
        ),
    ),
    Mutant(
        "no redaction",
        "the log holds the key that a library puts into its messages",
        "logger.py",
        "        return one_line(self.redact(text))\n",
        "        return one_line(text)\n",
        ("tests/test_logger.py::test_urls_in_debug_lines_of_urllib3_hold_no_key",),
    ),
    Mutant(
        "log open to others",
        "every user of the machine reads the log",
        "logger.py",
        "os.open(path, flags, 0o600)",
        "os.open(path, flags, 0o644)",
        ("tests/test_logger.py::test_nobody_else_can_read_folder_and_file",),
    ),
    Mutant(
        "forged lines",
        "a text from outside writes lines of its own into the log",
        "logger.py",
        "    return _CONTROL.sub(lambda match: _written_out(match[0]), text)\n",
        "    return text\n",
        ("tests/test_logger.py::test_any_text_is_one_line",),
    ),
    Mutant(
        "no lock",
        "two runs write one day at the same time",
        "warehouse/connection.py",
        'return bool(self._rows(statement, {"space": _LOCK_SPACE, "day": day.toordinal()})[0][0])',
        "return bool(statement)",
        ("tests/test_connection.py::test_day_is_held_by_one_run_alone",),
    ),
    Mutant(
        "markup not escaped",
        "a text from outside is markup on the page",
        "report/rendering.py",
        'select_autoescape(enabled_extensions=("html.j2",))',
        "select_autoescape(enabled_extensions=())",
        ("tests/test_page.py::test_hostile_text_is_only_text",),
    ),
)


def faults(mutants: Sequence[Mutant]) -> list[str]:
    """Return why a mutant cannot be planted or judged, a line each."""
    found = []
    for mutant in mutants:
        path = ROOT / mutant.path
        count = path.read_text("utf-8").count(mutant.text) if path.is_file() else 0
        if count != 1:
            found.append(f"{mutant.name}: its text stands {count} times in {mutant.path}, not once")
        found += [f"{mutant.name}: there is no test {test}" for test in mutant.tests if not _is_there(test)]
    return found


def _is_there(test: str) -> bool:
    """Tell whether a test file defines a function of this name."""
    place, _, name = test.partition("::")
    path = ROOT / place
    if not path.is_file():
        return False
    tree = ast.parse(path.read_text("utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == name.partition("[")[0] for node in tree.body)


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant."""

    mutant: Mutant
    code: int
    seconds: float
    told: str

    @property
    def killed(self) -> bool:
        """Whether its tests noticed it, instead of breaking off or passing."""
        return self.code == _FAILED

    @property
    def word(self) -> str:
        """The verdict in a word."""
        return {_PASSED: "SURVIVED", _FAILED: "killed"}.get(self.code, f"ERROR {self.code}")


def _copied(folder: Path) -> Path:
    """Copy what tests need into a folder of its own."""
    copy = folder / "tree"
    shutil.copytree(ROOT, copy, ignore=_LEFT_OUT)
    for name in _KEPT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name)
        elif source.is_file():
            shutil.copy(source, copy / name)
    return copy


def _tested(tree: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Run tests in a copy; return pytest's exit code and the end of what it said."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        finished = subprocess.run(  # noqa: S603  # our own tests
            command, cwd=tree, env=environ, capture_output=True, text=True, timeout=_LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        return -1, f"still at work after {_LIMIT:g} s"
    return finished.returncode, "\n".join((finished.stdout + finished.stderr).splitlines()[-15:])


def _judged(tree: Path, mutant: Mutant) -> Verdict:
    """Plant a mutant, run its tests, and take it out again."""
    path = tree / mutant.path
    healthy = path.read_text("utf-8")
    started = time.monotonic()
    path.write_text(healthy.replace(mutant.text, mutant.replacement), "utf-8")
    try:
        code, told = _tested(tree, mutant.tests)
    finally:
        path.write_text(healthy, "utf-8")
    return Verdict(mutant, code, time.monotonic() - started, told)


def judge(mutants: Sequence[Mutant], workers: int = 2) -> list[Verdict]:
    """Judge mutants side by side, each worker in a copy of its own.

    Raises:
        RuntimeError: the named tests fail without any mutant.
    """
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        trees: SimpleQueue[Path] = SimpleQueue()
        copies = [_copied(Path(folder) / str(number)) for number in range(workers)]
        code, told = _tested(copies[0], sorted({test for mutant in mutants for test in mutant.tests}))
        if code != _PASSED:
            raise RuntimeError(f"The tests do not pass on healthy code:\n{told}")
        for copy in copies:
            trees.put(copy)

        def judge_one(mutant: Mutant) -> Verdict:
            tree = trees.get()
            try:
                return _judged(tree, mutant)
            finally:
                trees.put(tree)

        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(judge_one, mutants))


def table(verdicts: Sequence[Verdict]) -> str:
    """Return the verdicts as a table."""
    rows = [("mutant", "what it would mean", "verdict", "seconds")]
    rows += [(v.mutant.name, v.mutant.meaning, v.word, f"{v.seconds:.1f}") for v in verdicts]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command of the module's docstring and return its exit code."""
    parser = argparse.ArgumentParser(prog="mutants", description="Plants faults that the tests have to notice.")
    parser.add_argument("--check", action="store_true", help="run nothing, look whether all can be planted")
    parser.add_argument("--only", action="append", choices=[mutant.name for mutant in MUTANTS], metavar="NAME")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    chosen = [mutant for mutant in MUTANTS if not options.only or mutant.name in options.only]
    if found := faults(chosen):
        _say("\n".join(found))
        return 1
    if options.check:
        _say(f"mutants that can be planted: {len(chosen)}")
        return 0
    try:
        verdicts = judge(chosen, options.workers)
    except RuntimeError as error:
        _say(str(error))
        return 1
    _say(table(verdicts))
    alive = [verdict for verdict in verdicts if not verdict.killed]
    for verdict in alive:
        _say(f"\n{verdict.mutant.name}: {verdict.word}\n{verdict.told}")
    _say(f"\nkilled: {len(verdicts) - len(alive)} of {len(verdicts)}")
    return 1 if alive else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
