"""The ledger: one row per run and day that tells the truth, whoever died in between."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from app_types import Language, MailOutcome, Mode, RunStatus, SheetOutcome
from exceptions import DayLockedError, EtlError, MailError, SheetError, SourceError
from messages import Messages
from tests.support.loading import (
    APRIL_1,
    PostgresProxy,
    Warehouse,
    connected,
    make_day,
    make_event,
    make_events,
    make_rejected,
)
from warehouse import ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app_types import Day

pytestmark = pytest.mark.postgres

APRIL_2 = date(2023, 4, 2)


def finish(warehouse: Warehouse, status: RunStatus, error: EtlError | None = None, **values: Any) -> None:
    """Write the end of the last run."""
    outcomes = {"sheet": SheetOutcome.SKIPPED, "mail": MailOutcome.SKIPPED} | values
    ledger.finish(warehouse.database, warehouse.run_ids[-1], status, error=error, **outcomes)


def statuses(warehouse: Warehouse) -> list[str]:
    """Return the statuses of all runs, the oldest first."""
    return [status for (status,) in warehouse.select("SELECT status FROM etl_runs ORDER BY id")]


@pytest.mark.parametrize(
    ("day", "complete"),
    [
        (make_day(zone="Europe/Moscow"), True),
        (make_day(mode=Mode.TEST), False),
        (make_day(now=datetime(2023, 4, 1, 9, 30, tzinfo=UTC)), False),
    ],
    ids=["full", "test", "not over"],
)
def test_begun_run_is_in_the_ledger_at_once(warehouse: Warehouse, day: Day, complete: bool) -> None:
    """From its first moment a run has a row: what it covers, and that it is at work."""
    run_id = warehouse.begin(day)

    run = warehouse.run(run_id)
    assert (run["process_date"], run["mode"], run["status"]) == (APRIL_1, day.mode, "running")
    assert (run["complete"], run["window_start"], run["window_end"]) == (complete, day.window.start, day.window.end)
    assert abs(run["started_at"] - datetime.now(UTC)) < timedelta(minutes=1)
    assert [run[name] for name in ("received", "finished_at", "error", "sheet", "mail")] == [None] * 5


def test_lost_answer_does_not_begin_a_run_twice(warehouse: Warehouse, proxy: PostgresProxy) -> None:
    """A row that was written, though nobody learnt of it, is not written again."""
    with connected(proxy.url) as database:
        proxy.cut_at, proxy.times = b"INSERT INTO etl_runs", 1
        with pytest.raises(EtlError):
            ledger.begin(database, make_day())

    assert len(statuses(warehouse)) <= 1


def test_end_of_a_run_is_written(warehouse: Warehouse) -> None:
    """Status, outcomes of sheet and mail, the moment, and no error where there was none."""
    warehouse.load(make_event())
    finish(warehouse, RunStatus.OK, sheet=SheetOutcome.UPDATED, mail=MailOutcome.SENT)

    run = warehouse.run()
    assert (run["status"], run["sheet"], run["mail"]) == ("ok", "updated", "sent")
    assert run["finished_at"] >= run["started_at"]
    assert (run["error"], run["error_parts"]) == (None, None)


def test_failed_run_keeps_no_counts(warehouse: Warehouse) -> None:
    """A run that failed before its commit has a status and an error, and null for every count."""
    warehouse.begin()
    finish(warehouse, RunStatus.FAILED, SourceError("The events API refused the key.", remedy="Check API_CLIENT_KEY."))

    (row,) = ledger.recent_runs(warehouse.database, 5)
    assert (row.status, row.counts) == (RunStatus.FAILED, None)
    assert warehouse.run()["error"] == "The events API refused the key. Check API_CLIENT_KEY."


ERRORS: list[EtlError] = [
    SourceError("plain, 100 %% sure"),
    DayLockedError("Another run of %(date)s is still at work.", remedy="Wait until it is done.", date=APRIL_1),
    EtlError("%(n)s of %(all)s", n=1_204, all=10.5),
    EtlError("until %(moment)s", moment=datetime(2023, 4, 1, 12, tzinfo=UTC)),
    EtlError("for %(time)s", time=timedelta(minutes=2, seconds=5)),
    MailError("The mail server refused recipients: %(refused)s.", refused="a@example.org (550)"),
    EtlError("%(flag)s %(nothing)s", flag=True, nothing=None),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.template)
@pytest.mark.parametrize("language", Language)
def test_stored_error_is_worded_in_any_language(warehouse: Warehouse, error: EtlError, language: Language) -> None:
    """The column `error` is English; out of its parts the same error is worded in either language, dates and all."""
    warehouse.begin()
    finish(warehouse, RunStatus.FAILED, error)

    (row,) = ledger.recent_runs(warehouse.database, 5)
    assert warehouse.run()["error"] == str(error)
    assert row.error is not None
    assert str(row.error) == str(error)
    assert Messages(language).error(row.error) == Messages(language).error(error)


def test_error_without_parts_keeps_its_text(warehouse: Warehouse) -> None:
    """A row from elsewhere that has a text only is shown as it is, percent signs too."""
    warehouse.begin()
    warehouse.execute("UPDATE etl_runs SET status = 'failed', error = '100 %(of) it'")

    (row,) = ledger.recent_runs(warehouse.database, 5)
    assert str(row.error) == "100 %(of) it"


@pytest.mark.parametrize(
    "value", ["a\0b", "\udcff.json", os.fsdecode(b"/tmp/\xff\xfe"), float("nan"), float("inf"), 10**40, b"\xff", object]
)
def test_any_error_can_be_stored(warehouse: Warehouse, value: object) -> None:
    """The end of a run is written whatever its error holds: the name of a file may be no text at all."""
    warehouse.begin()
    finish(warehouse, RunStatus.FAILED, SheetError("The file %(file)s cannot be read.", file=value))

    (row,) = ledger.recent_runs(warehouse.database, 5)
    assert (row.status, str(row.error)) == (RunStatus.FAILED, warehouse.run()["error"])


def test_counts_of_a_committed_load_are_known(warehouse: Warehouse) -> None:
    """After the commit the ledger tells the counts, before it nothing; nothing either of a run that never was."""
    run_id = warehouse.begin()
    assert ledger.committed_counts(warehouse.database, run_id) is None

    counts = warehouse.load(make_event(), make_rejected(), run_id=run_id)

    assert ledger.committed_counts(warehouse.database, run_id) == counts
    assert ledger.committed_counts(warehouse.database, run_id + 1) is None


def test_counts_of_an_empty_day_are_counts(warehouse: Warehouse) -> None:
    """A day without events was committed, too."""
    counts = warehouse.load()

    assert ledger.committed_counts(warehouse.database, warehouse.run_ids[-1]) == counts


# Runs that died


def test_run_whose_process_is_gone_becomes_interrupted(warehouse: Warehouse) -> None:
    """A running row whose day nobody holds is marked at the next run, of any day, with the reason."""
    warehouse.begin()
    warehouse.begin(make_day(APRIL_2))

    with warehouse.database.locked_day(date(2023, 5, 1)):
        ledger.interrupt_stale_runs(warehouse.database)

    assert statuses(warehouse) == ["interrupted", "interrupted"]
    assert warehouse.run()["finished_at"]
    assert "ended without a word" in warehouse.run()["error"]
    with connected(warehouse.url) as other, other.locked_day(APRIL_1, wait=0), other.locked_day(APRIL_2, wait=0):
        pass


def test_run_of_the_same_day_is_marked_by_its_successor(warehouse: Warehouse) -> None:
    """Who holds the day knows that its earlier running rows are dead, and keeps the day."""
    warehouse.begin()

    with warehouse.database.locked_day(APRIL_1):
        ledger.interrupt_stale_runs(warehouse.database)
        assert statuses(warehouse) == ["interrupted"]
        with connected(warehouse.url) as other, pytest.raises(DayLockedError), other.locked_day(APRIL_1, wait=0):
            pass


def test_run_still_at_work_is_left_alone(warehouse: Warehouse) -> None:
    """A running row whose day is held by its process stays."""
    with connected(warehouse.url) as other, other.locked_day(APRIL_1):
        warehouse.begin()
        ledger.interrupt_stale_runs(warehouse.database)

        assert statuses(warehouse) == ["running"]


@pytest.mark.parametrize("status", [s for s in RunStatus if s is not RunStatus.RUNNING])
def test_ended_runs_are_left_alone(warehouse: Warehouse, status: RunStatus) -> None:
    """Only running rows are looked at; a load that was committed before the kill stays partial."""
    warehouse.load(make_event())
    warehouse.execute(f"UPDATE etl_runs SET status = '{status}'")
    before = warehouse.run()

    ledger.interrupt_stale_runs(warehouse.database)

    assert warehouse.run() == before


# What was loaded


def run_days(warehouse: Warehouse, *runs: tuple[Day, RunStatus]) -> Sequence[int]:
    """Have runs of some days end as told; those that fail load nothing."""
    for number, (day, status) in enumerate(runs, start=1):
        run_id = warehouse.begin(day)
        if status in {RunStatus.OK, RunStatus.PARTIAL}:
            events = [replace_day(event, day) for event in make_events(number)]
            warehouse.load(*events, day=day, run_id=run_id)
        if status is not RunStatus.RUNNING:
            finish(warehouse, status)
    return warehouse.run_ids


def replace_day(event: Any, day: Day) -> Any:
    """Return an event of 1 April as one of another day."""
    return make_event(event.created_at + (day.window.start - make_day().window.start))


def test_last_full_run_is_the_last_whose_events_are_there(warehouse: Warehouse) -> None:
    """Failed, interrupted and test runs, and those of other days, do not count; partial ones do."""
    test, other = make_day(mode=Mode.TEST), make_day(APRIL_2)
    ids = run_days(
        warehouse,
        (make_day(), RunStatus.OK),
        (make_day(), RunStatus.PARTIAL),
        (make_day(), RunStatus.FAILED),
        (make_day(), RunStatus.INTERRUPTED),
        (test, RunStatus.OK),
        (other, RunStatus.OK),
        (make_day(), RunStatus.RUNNING),
    )

    full = ledger.last_full_run(warehouse.database, APRIL_1)

    assert full is not None
    assert (full.run_id, full.complete, full.covered_until) == (ids[1], True, make_day().window.end)
    assert (full.counts.received, full.counts.loaded, full.counts.already_present) == (2, 1, 1)


def test_last_full_run_tells_how_far_it_reached(warehouse: Warehouse) -> None:
    """A run of a day that was not over covers it up to its own present."""
    noon = datetime(2023, 4, 1, 12, tzinfo=UTC)
    run_days(warehouse, (make_day(now=noon), RunStatus.OK))

    full = ledger.last_full_run(warehouse.database, APRIL_1)

    assert full is not None
    assert (full.complete, full.covered_until) == (False, noon)


def test_day_without_a_full_run_has_none(warehouse: Warehouse) -> None:
    """A test run is no full run."""
    run_days(warehouse, (make_day(mode=Mode.TEST), RunStatus.OK))

    assert ledger.last_full_run(warehouse.database, APRIL_1) is None


def test_whether_anything_was_ever_loaded(warehouse: Warehouse) -> None:
    """Failed runs have loaded nothing; an empty day has been loaded."""
    assert not ledger.anything_loaded(warehouse.database)
    run_days(warehouse, (make_day(), RunStatus.FAILED))
    assert not ledger.anything_loaded(warehouse.database)

    warehouse.load()
    assert ledger.anything_loaded(warehouse.database)


def test_recent_runs_are_listed_newest_first(warehouse: Warehouse) -> None:
    """The list ends where it is asked to, and tells of each run all that is known."""
    ids = run_days(
        warehouse, (make_day(), RunStatus.OK), (make_day(mode=Mode.TEST), RunStatus.OK), (make_day(), RunStatus.FAILED)
    )

    rows = ledger.recent_runs(warehouse.database, 2)

    assert [row.run_id for row in rows] == [ids[2], ids[1]]
    assert [(row.mode, row.status, row.complete) for row in rows] == [
        (Mode.FULL, RunStatus.FAILED, True),
        (Mode.TEST, RunStatus.OK, False),
    ]
    assert rows[1].counts is not None
    assert rows[1].counts.received == 2
    assert rows[0].started_at.utcoffset() == timedelta()


def test_ledger_refuses_counts_that_do_not_balance(warehouse: Warehouse) -> None:
    """Even by hand no row can claim that more came than is accounted for."""
    counts = warehouse.load(make_event())
    with pytest.raises(EtlError, match="SQLSTATE 23514"), warehouse.database.transaction() as cursor:
        ledger.record_load(cursor, warehouse.run_ids[-1], replace(counts, received=7))
