"""`audit`: what has changed at the source since a day was loaded; looking changes nothing, repairing is a run."""

from __future__ import annotations

import signal
from contextlib import closing
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from psycopg2 import sql

from tests.support.events_api import USER_ID, hang_before_headers, make_event, make_passback, status
from tests.support.loading import database_name
from tests.support.program import eventually, table_rows

if TYPE_CHECKING:
    from tests.support.events_api import EventsServer
    from tests.support.program import Program

pytestmark = pytest.mark.postgres

DAY = "2023-04-01"
OTHER = "f" * 32


def at(minute: int, **values: Any) -> dict[str, Any]:
    """Return a submit of the day, a minute after another."""
    usual = {"attempt_type": "submit", "is_correct": 0, "created_at": f"{DAY} 12:{minute:02}:00.000001"}
    return make_event(**{**usual, **values})


def everything(program: Program) -> dict[str, list[Any]]:
    """Return every row of every table with its version, whatever the tables are."""
    assert program.database_url
    found = {}
    tables = "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    rows = sql.SQL("SELECT xmin::text, ctid::text, t::text FROM {} AS t")
    with closing(psycopg2.connect(program.database_url, application_name="test")) as connection:
        cursor = connection.cursor()
        cursor.execute(tables)
        for (name,) in cursor.fetchall():
            cursor.execute(rows.format(sql.Identifier(name)))
            found[name] = sorted(cursor.fetchall())
    assert found["lms_activities"]
    return found


@pytest.fixture
def loaded(program: Program, events_api: EventsServer) -> Program:
    """A day with ten events, one of them with null passback parameters, and one rejected."""
    events = [at(minute) for minute in range(9)]
    events_api.serve([*events, at(9, passback_params=None), at(10, lti_user_id=None)])
    assert program.run("--date", DAY, "--json").counts[:5] == (11, 10, 0, 0, 1)
    return program


def change(events_api: EventsServer) -> None:
    """Have the source change its mind: two new events, three changed, one vanished, one more rejected."""
    changed = [at(1, is_correct=1), at(2, passback_params=make_passback(oauth_consumer_key="k")), at(9, is_correct=1)]
    changed[2]["passback_params"] = None
    kept = [at(minute) for minute in range(3, 9)]
    new = [at(20, lti_user_id=OTHER), at(21)]
    events_api.serve([*changed, *kept, at(10, lti_user_id=None), at(11, attempt_type="view"), *new])


def test_day_that_did_not_change_is_the_same(loaded: Program) -> None:
    """0; the counts of both sides are told, and nothing else was touched."""
    before = everything(loaded)

    finished = loaded.run("audit", "--date", DAY, "--json")

    assert finished.code == 0, finished.told
    assert finished.days == [
        {
            "date": DAY, "status": "same", "received": 11, "at_source": 10, "in_table": 10, "new": 0, "changed": 0,
            "vanished": 0, "known_vanished": 0, "rejected": 1, "newly_rejected": 0, "samples": [], "error": None,
        }
    ]  # fmt: skip
    assert everything(loaded) == before


def test_drift_is_counted_and_nothing_is_loaded(loaded: Program, events_api: EventsServer) -> None:
    """1; new, changed, vanished and newly rejected are told apart. Table, quarantine and ledger stay as they are."""
    before = everything(loaded)
    reports = {path: path.stat().st_mtime_ns for path in loaded.reports.iterdir()}
    change(events_api)

    finished = loaded.run("audit", "--date", DAY, "--json")

    assert finished.code == 1, finished.told
    (found,) = finished.days
    names = ("status", "received", "at_source", "in_table", "new", "changed", "vanished", "rejected", "newly_rejected")
    assert [found[name] for name in names] == ["drifted", 13, 11, 10, 2, 3, 1, 2, 1]
    assert [(sample["kind"], sample["created_at"][11:16], sample["changed"]) for sample in found["samples"]] == [
        ("changed", "12:01", ["is_correct"]),
        ("changed", "12:02", ["oauth_consumer_key"]),
        ("changed", "12:09", ["is_correct"]),
        ("new", "12:20", []),
        ("new", "12:21", []),
        ("vanished", "12:00", []),
    ]
    assert everything(loaded) == before
    assert {path: path.stat().st_mtime_ns for path in loaded.reports.iterdir()} == reports


def test_drift_is_told_to_people(loaded: Program, events_api: EventsServer) -> None:
    """A row for the day, a few of the events with students' ids shortened, and the command that repairs it."""
    change(events_api)

    finished = loaded.run("audit", "--date", DAY)

    told = " ".join(finished.out.split())
    assert f"{DAY} DIFFERS 11 10 2 3 1 1" in told
    assert "~ 2023-04-01 12:01:00 submit 3583bf… is_correct 0 → 1" in told
    assert "− 2023-04-01 12:00:00 submit 3583bf…" in told
    assert f"python data_processor.py audit --date {DAY} --repair" in told
    assert USER_ID[:12] not in finished.told
    assert "rejected: user_id_missing" not in finished.told, "what a run tells of events is not told again"
    assert OTHER[:12] not in finished.told


def test_repair_runs_the_days_that_differ(loaded: Program, events_api: EventsServer) -> None:
    """The repair is a run like any other: in the ledger, with its report; afterwards there is no drift any more."""
    change(events_api)

    finished = loaded.run("audit", "--from", DAY, "--to", "2023-04-02", "--repair", "--json")

    assert finished.code == 0, finished.told
    first, second, repaired = finished.days
    assert [(day["date"], day["status"]) for day in (first, second)] == [(DAY, "drifted"), ("2023-04-02", "same")]
    assert [repaired[name] for name in ("date", "mode", "status", "loaded", "updated")] == [DAY, "full", "ok", 2, 3]
    assert f"Repaired: {DAY}" in finished.err

    again = loaded.run("audit", "--date", DAY, "--json")
    assert again.code == 0
    (found,) = again.days
    assert [found[name] for name in ("status", "vanished", "known_vanished")] == ["same", 1, 1]


def test_repair_of_days_that_agree_runs_nothing(loaded: Program) -> None:
    """Nothing is run for its own sake."""
    before = everything(loaded)

    finished = loaded.run("audit", "--date", DAY, "--repair")

    assert finished.code == 0
    assert everything(loaded) == before


def test_day_that_cannot_be_asked_does_not_stop_the_others(loaded: Program, events_api: EventsServer) -> None:
    """1; the cause is told, and the other days are compared."""
    events_api.script([status(403)], start="2023-03-31 00:00:00")

    finished = loaded.run("audit", "--from", "2023-03-31", "--to", DAY, "--json")

    assert finished.code == 1
    assert [(day["date"], day["status"], day["error"] is None) for day in finished.days] == [
        ("2023-03-31", "failed", False),
        (DAY, "same", True),
    ]


def test_last_seven_days_are_meant_where_none_are_named(loaded: Program) -> None:
    """Up to yesterday."""
    finished = loaded.run("audit", "--json")

    yesterday = date.today() - timedelta(days=1)  # noqa: DTZ011  (a day more or less at midnight: both are seven)
    assert len(finished.days) == 7
    assert finished.days[-1]["date"] in {str(yesterday), str(yesterday + timedelta(days=1))}
    assert finished.code == 0


def test_day_never_loaded_is_told_as_such(loaded: Program, events_api: EventsServer) -> None:
    """All its events are new, which is a difference; there is no use in examples."""
    events_api.serve([at(minute, created_at=f"2023-04-03 10:{minute}:00") for minute in range(10, 15)])

    finished = loaded.run("audit", "--date", "2023-04-03")

    assert finished.code == 1
    assert "2023-04-03 never loaded 5 0 5 0 0 0" in " ".join(finished.out.split())
    assert "+ " not in finished.out


def test_database_never_used_has_nothing_to_compare(program: Program) -> None:
    """1, and no tables are made."""
    finished = program.run("audit", "--date", DAY)

    assert finished.code == 1
    assert "there is nothing to compare. Run a day first." in finished.told
    assert program.database_url
    assert table_rows(program.database_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


def test_interrupted_audit_has_changed_nothing(loaded: Program, events_api: EventsServer) -> None:
    """Ctrl-C while the source is silent: 130, at once."""
    before = everything(loaded)
    requests = len(events_api.requests)
    events_api.always(hang_before_headers())

    running = loaded.start("audit", "--date", DAY)
    eventually(lambda: len(events_api.requests) > requests)
    running.signal(signal.SIGINT)
    finished = running.finish()

    assert finished.code == 130
    assert "Interrupted; nothing was changed." in finished.told
    assert everything(loaded) == before


def test_role_that_may_only_read_can_audit(loaded: Program, make_role: Any, database_url: str) -> None:
    """SELECT and temporary tables are enough."""
    temporary = f"TEMPORARY ON DATABASE {database_name(database_url)}"
    url = make_role("SELECT ON ALL TABLES IN SCHEMA public", temporary)

    finished = loaded.run("audit", "--date", DAY, "--json", DATABASE_URL=url)

    assert finished.code == 0, finished.told
