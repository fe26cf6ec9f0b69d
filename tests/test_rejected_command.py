"""`rejected`: the operator sees what was not loaded and why, and gets it whole where that is wanted."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from app_types import Language, Reason
from messages import Messages
from operations.wording import reason_text, sample
from tests.support.loading import connected
from tests.support.program import table_rows

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.program import Program

DAY = "2023-04-01"
STUDENT = "3583bf109f8b458e13ae1ac9d85c396a"


def raw(at: str = "12:00:00", **values: Any) -> str:
    """Return an event as the source spells it."""
    usual = {"lti_user_id": STUDENT, "passback_params": None, "is_correct": None, "attempt_type": "run"}
    return json.dumps({**usual, "created_at": f"{DAY} {at}", **values})


@pytest.fixture
def loaded(program: Program) -> Program:
    """A day of which five events lie in quarantine, for three reasons."""
    rejected = [
        (Reason.USER_ID_MISSING, raw("12:00:01", lti_user_id=None), 1),
        (Reason.USER_ID_LENGTH, raw("12:00:02", lti_user_id=STUDENT[:31]), 1),
        (Reason.USER_ID_LENGTH, raw("12:00:03", lti_user_id=STUDENT + "0"), 1),
        (Reason.ATTEMPT_TYPE_UNKNOWN, raw("12:00:04", attempt_type="view\x1b[31m"), 1),
        (Reason.ATTEMPT_TYPE_UNKNOWN, raw("12:00:04", attempt_type="view\x1b[31m"), 2),
    ]
    assert program.database_url
    with connected(program.database_url, migrated=True) as database:
        for reason, text, occurrence in rejected:
            database.rows(
                "INSERT INTO lms_activities_rejected VALUES "
                "(7, %(day)s, %(reason)s, %(raw)s, now(), sha256(convert_to(%(raw)s, 'UTF8')), %(occurrence)s)",
                day=DAY,
                reason=reason.value,
                raw=text,
                occurrence=occurrence,
            )
    return program


def test_quarantine_is_shown_by_day_and_reason(loaded: Program) -> None:
    """A row for each reason: how many, why in words, an example; below it what can be done."""
    finished = loaded.run("rejected", "--date", DAY)

    assert finished.code == 0
    told = " ".join(finished.out.split())
    assert f"{DAY} 2 neither a run nor a submit attempt_type: " in told
    assert ' 2 user id of another length lti_user_id: "3583bf…" (3' in told
    assert f' 1 no user id created_at: "{DAY} 12:00:01" Total 5 ' in told
    assert f"python data_processor.py replay --date {DAY}" in told


def test_many_days_have_a_row_each(loaded: Program) -> None:
    """More than a screen shows becomes a table of days and reasons, with the reasons explained below it."""
    assert loaded.database_url
    with connected(loaded.database_url) as database:
        database.rows(
            "INSERT INTO lms_activities_rejected "
            "SELECT 7, %(day)s::date + n, reason, raw, now(), raw_digest, occurrence + 10 "
            "FROM lms_activities_rejected, generate_series(1, 70) AS n",
            day=DAY,
        )

    finished = loaded.run("rejected", "--from", DAY, "--to", "2023-06-30")

    lines = [line.split() for line in finished.out.splitlines()]
    assert ["Date", "A", "B", "C", "Total"] in lines
    assert ["2023-06-10", "2", "2", "1", "5"] in lines
    assert [DAY, "2", "2", "1", "5"] not in lines
    assert "9 earlier days are not listed." in finished.out
    assert ["Total", "142", "142", "71", "355"] in lines
    assert 'B user id of another length lti_user_id: "3583bf…" (3' in " ".join(finished.out.split())


def test_neither_ids_nor_escape_sequences_reach_the_terminal(loaded: Program) -> None:
    """What came from outside is shortened and printable, in the table and in the objects."""
    for arguments in (["rejected", "--date", DAY], ["rejected", "--date", DAY, "--json"]):
        finished = loaded.run(*arguments)

        assert STUDENT[:12] not in finished.told
        assert "\x1b" not in finished.told


def test_objects_are_for_scripts(loaded: Program) -> None:
    """With `--json` each reason of each day is one object, in ASCII, whatever the language."""
    finished = loaded.run("rejected", "--date", DAY, "--json", "--language", "ru")

    assert finished.out.isascii()
    assert [(item["date"], item["reason"], item["events"]) for item in finished.days] == [
        (DAY, "attempt_type_unknown", 2),
        (DAY, "user_id_length", 2),
        (DAY, "user_id_missing", 1),
    ]
    assert all(datetime.fromisoformat(item["first_received_at"]) <= datetime.now(UTC) for item in finished.days)


def test_days_without_rejects_are_said_to_be_so(loaded: Program) -> None:
    """Where the days asked for have none, the operator learns which days have."""
    finished = loaded.run("rejected")

    assert finished.code == 0
    assert "lies in quarantine." in finished.out
    assert "In all, 5 events lie in quarantine; the oldest is of 1 April 2023." in finished.out


def test_database_that_was_never_used_has_no_quarantine(program: Program) -> None:
    """Before the first run there is nothing, which is no failure."""
    finished = program.run("rejected", "--json")

    assert (finished.code, finished.out) == (0, "")


def test_database_that_cannot_be_reached_is_a_failure(program: Program) -> None:
    """1, and the cause."""
    finished = program.run("rejected", DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")

    assert finished.code == 1
    assert "cannot be reached" in finished.told


def test_export_holds_every_event_whole(loaded: Program, tmp_path: Path) -> None:
    """A JSON object a line: date, reason, the text as the source spelled it, when, and by which run it came."""
    path = tmp_path / "rejected.jsonl"

    finished = loaded.run("rejected", "--date", DAY, "--export", str(path))

    assert finished.code == 0, finished.told
    found = [json.loads(line) for line in path.read_text("ascii").splitlines()]
    assert all(list(item) == ["date", "reason", "raw", "received_at", "run_id"] for item in found)
    assert loaded.database_url
    kept = table_rows(loaded.database_url, "SELECT reason, raw, run_id FROM lms_activities_rejected")
    assert sorted((item["reason"], item["raw"], item["run_id"]) for item in found) == sorted(kept)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "5 rejected events were written" in finished.out


def test_export_for_scripts_tells_file_and_number(loaded: Program, tmp_path: Path) -> None:
    """With `--json`, standard output has one object; an older file is replaced whole."""
    path = tmp_path / "rejected.jsonl"
    path.write_text("older\n" * 100)

    finished = loaded.run("rejected", "--from", DAY, "--to", "2023-04-30", "--export", str(path), "--json")

    assert [json.loads(line) for line in finished.out.splitlines()] == [{"file": str(path), "events": 5}]
    assert "older" not in path.read_text()
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["rejected.jsonl"]


def test_export_follows_no_link(loaded: Program, tmp_path: Path) -> None:
    """Students' data do not go where a link leads."""
    secret = tmp_path / "elsewhere"
    secret.write_text("untouched")
    link = tmp_path / "link"
    link.symlink_to(secret)

    finished = loaded.run("rejected", "--date", DAY, "--export", str(link))

    assert finished.code == 1
    assert secret.read_text() == "untouched"
    assert link.is_symlink()


@pytest.mark.parametrize("place", ["missing/file", ".", "/dev/null"])
def test_export_that_cannot_be_written_is_told(loaded: Program, tmp_path: Path, place: str) -> None:
    """A folder that is not there, a folder, a device: 1, and what to do."""
    finished = loaded.run("rejected", "--date", DAY, "--export", os.path.join(tmp_path, place))  # noqa: PTH118

    assert finished.code == 1
    assert "Name a file in a folder that can be written to." in finished.told


SAMPLES = [
    (Reason.USER_ID_LENGTH, {"lti_user_id": STUDENT + "0"}, 'lti_user_id: "3583bf…" (33)'),
    (Reason.USER_ID_LENGTH, {"lti_user_id": ""}, 'lti_user_id: "" (0)'),
    (Reason.USER_ID_CHARACTERS, {"lti_user_id": "ivan@example.org"}, 'lti_user_id: "ivan@e…" (16), "@"'),
    (Reason.USER_ID_CHARACTERS, {"lti_user_id": 123456789012345}, "lti_user_id: 123456…"),
    (Reason.USER_ID_MISSING, {"lti_user_id": None, "created_at": "2023-04-01"}, 'created_at: "2023-04-01"'),
    (Reason.CREATED_AT_UNREADABLE, {"created_at": "2023-02-30T05:00:00Z"}, 'created_at: "2023-02-30T05:00:00Z"'),
    (Reason.CREATED_AT_UNREADABLE, {"created_at": STUDENT}, 'created_at: "3583bf…"'),
    (Reason.ATTEMPT_TYPE_UNKNOWN, {"attempt_type": "просмотр"}, 'attempt_type: "просмотр"'),
    (Reason.IS_CORRECT_UNKNOWN, {"is_correct": 2}, "is_correct: 2"),
    (
        Reason.PASSBACK_UNREADABLE,
        {"lti_user_id": "ivan", "passback_params": "{'lis_result_sourcedid': 'c:l:ivan'"},
        "passback_params: \"{'lis_r…cedid': 'c:l:iv…'\"",
    ),
    (Reason.PASSBACK_TOO_LONG, {"passback_params": "x" * 99}, 'passback_params: "xxxxxx…"'),
    (Reason.NOT_AN_OBJECT, [STUDENT, "someone@example.org", 5], '["3583bf…", "someon…", 5]'),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "value", "shown"), SAMPLES)
def test_sample_shows_what_is_wrong_and_nobody(reason: Reason, value: object, shown: str) -> None:
    """The field that was at fault, short; ids and addresses only by their beginning."""
    assert sample(json.dumps(value), reason.value) == shown


@pytest.mark.parametrize("text", ["", "{", "\x1b[2J" * 50, "[" * 5000, "{}", '"\\ud800"', '{"lti_user_id": "\\ud800"}'])
@pytest.mark.parametrize("reason", [*Reason, "of a later version"])
def test_sample_of_anything_is_short_and_printable(text: str, reason: str) -> None:
    """Whatever lies in quarantine, it can be shown."""
    shown = sample(text, reason)

    assert len(shown) <= 44
    assert shown.isprintable()
    shown.encode()


@pytest.mark.parametrize("language", Language)
def test_every_reason_has_words(language: Language) -> None:
    """Reasons are told in words; one of a later version stays a code."""
    words = {reason_text(reason, Messages(language)) for reason in Reason}

    assert len(words) == len(Reason)
    assert not words & set(Reason)
    assert reason_text("of_a_later_version", Messages(language)) == "of_a_later_version"
