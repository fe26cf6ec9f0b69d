"""Retention: what is older than the operator wants goes, and nothing that a figure or a row refers to."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app_types import DailyStatistics, Figures, Language, MailOutcome, Mode, RunStatus, SheetOutcome
from config import RetentionSettings
from operations import retention as command
from tests.support.loading import connected, make_day
from warehouse import calendar, ledger, outbox, publications, retention, revisions
from warehouse.outbox import LetterState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.loading import Warehouse
    from tests.support.program import Program

pytestmark = pytest.mark.postgres

TODAY = datetime.now(UTC).date()
OLD = date(2023, 4, 1)
FIGURES = Figures(Mode.FULL, complete=True, statistics=DailyStatistics(1, 2, 3, 1))


@dataclass
class Past:
    """A database with a past."""

    warehouse: Warehouse

    def run(
        self,
        day: date = OLD,
        status: RunStatus | None = RunStatus.OK,
        mode: Mode = Mode.FULL,
        *,
        loaded: int = 0,
        updated: int = 0,
    ) -> int:
        """Have a run been there; one without a status is at work still. Only runs that loaded have counts."""
        database = self.warehouse.database
        run_id = ledger.begin(database, make_day(day, mode=mode))
        if status in {RunStatus.OK, RunStatus.PARTIAL}:
            database.rows(
                "UPDATE etl_runs SET received = %(loaded)s + %(updated)s, loaded = %(loaded)s, updated = %(updated)s, "
                "already_present = 0, rejected = 0, defective = 0, missing_at_source = 0 WHERE id = %(run_id)s",
                loaded=loaded,
                updated=updated,
                run_id=run_id,
            )
        if status:
            ledger.finish(database, run_id, status, sheet=SheetOutcome.SKIPPED, mail=MailOutcome.SKIPPED)
        return run_id

    def reject(self, number: int, day: date = OLD, run_id: int = 1) -> None:
        """Have events been rejected."""
        self.warehouse.database.rows(
            "INSERT INTO lms_activities_rejected SELECT %(run_id)s, %(day)s, 'user_id_missing', 'x', now(), "
            "sha256(convert_to(%(day)s::text || %(run_id)s || n, 'UTF8')), 1 FROM generate_series(1, %(number)s) AS n",
            run_id=run_id,
            day=day,
            number=number,
        )

    def quarantine(self) -> dict[date, int]:
        """Return how many events of each day lie in quarantine."""
        return dict(self.warehouse.select("SELECT process_date, count(*) FROM lms_activities_rejected GROUP BY 1"))

    def letter(self, revision: int = 1) -> str:
        """Have a letter been sent and recorded to its end; return its key."""
        database = self.warehouse.database
        entry = outbox.entry(OLD, FIGURES, revision, outbox.told(database, OLD, Mode.FULL), Language.ENGLISH)
        outbox.record(database, {entry: LetterState.SENT}, run_id=None)
        publications.record(database, OLD, FIGURES, publications.Target.MAIL, run_id=None)
        return entry.key

    def dispensable(self) -> list[int]:
        """Return the runs that may go."""
        return retention.dispensable_runs(self.warehouse.database, TODAY)


@pytest.fixture
def past(warehouse: Warehouse) -> Past:
    """Prepare a database without a past yet."""
    return Past(warehouse)


def test_runs_that_changed_nothing_may_go(past: Past) -> None:
    """Failed and interrupted runs, tests, and repetitions that found everything present."""
    first = past.run(loaded=5)
    dispensable = [
        past.run(status=RunStatus.FAILED),
        past.run(status=RunStatus.INTERRUPTED),
        past.run(mode=Mode.TEST),
        past.run(mode=Mode.REPLAY),
        past.run(),
    ]
    last = past.run()

    assert past.dispensable() == dispensable
    assert list(retention.delete_runs(past.warehouse.database, dispensable)) == [5]
    assert past.warehouse.select("SELECT id FROM etl_runs ORDER BY id") == [(first,), (last,)]


def test_runs_that_anything_refers_to_stay(past: Past) -> None:
    """Whatever names a run finds it: events, rejected events, revisions; a run at work and an adoption stay, too."""
    past.run(loaded=1)
    past.run(updated=1)
    past.reject(1, run_id=past.run())
    revisions.record(past.warehouse.database, OLD, FIGURES, run_id=past.run())
    past.run(mode=Mode.ADOPTION)
    past.run(mode=Mode.REPLAY, loaded=1)
    past.run()
    past.run(status=None)

    assert past.dispensable() == []


def test_figures_and_calendar_are_as_before(past: Past) -> None:
    """The last full run that loaded, and the one that ended last, stay: trust and state of a day come from them."""
    first = past.run(loaded=4)
    past.run()
    past.run(status=RunStatus.PARTIAL)
    past.run(status=RunStatus.FAILED)
    past.run(status=RunStatus.INTERRUPTED)
    only_failed = OLD + timedelta(days=1)
    past.run(only_failed, RunStatus.FAILED)
    past.run(only_failed, RunStatus.FAILED)
    revisions.record(past.warehouse.database, OLD, FIGURES, run_id=first)

    def known() -> tuple[Any, ...]:
        database = past.warehouse.database
        return (
            calendar.days(database, date.min, date.max),
            revisions.past_days(database, date.min, date.max),
            ledger.last_full_run(database, OLD),
            ledger.anything_loaded(database),
        )

    before = known()
    dispensable = past.dispensable()
    assert len(dispensable) == 3

    list(retention.delete_runs(past.warehouse.database, dispensable))

    assert known() == before
    assert past.dispensable() == []


def test_younger_days_stay(past: Past) -> None:
    """The day itself decides, not when it was run."""
    for day in (OLD, OLD + timedelta(days=1)):
        past.run(day, RunStatus.FAILED)
        past.run(day, RunStatus.FAILED)

    assert len(retention.dispensable_runs(past.warehouse.database, OLD)) == 0
    assert len(retention.dispensable_runs(past.warehouse.database, OLD + timedelta(days=1))) == 1
    assert len(past.dispensable()) == 2


def test_letters_that_are_recorded_to_their_end_may_go(past: Past) -> None:
    """What keeps a letter from being sent twice stays; what was overtaken by a later record can go."""
    database = past.warehouse.database
    first, second = past.letter(1), past.letter(2)
    doubtful = outbox.entry(OLD, FIGURES, 3, outbox.told(database, OLD, Mode.FULL), Language.ENGLISH)
    outbox.record(database, {doubtful: LetterState.HANDING_OVER}, run_id=None)
    told = outbox.told(database, OLD, Mode.FULL)

    found = retention.dispensable_letters(database, TODAY)
    assert sorted(found) == sorted([first, second])
    assert list(retention.delete_letters(database, found)) == [2]

    assert outbox.told(database, OLD, Mode.FULL) == told
    assert outbox.states(database, [doubtful]) == {doubtful: LetterState.HANDING_OVER}


def test_large_quarantine_goes_in_parts(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part is a transaction of its own; a break leaves the rest for the next time."""
    monkeypatch.setattr(retention, "_AT_ONCE", 40)
    past.reject(100)
    past.reject(7, TODAY)

    parts = retention.delete_quarantined(past.warehouse.database, OLD)

    assert next(parts) == 40
    assert past.quarantine() == {OLD: 60, TODAY: 7}
    assert list(parts) == [40, 20]
    assert past.quarantine() == {TODAY: 7}


# The command


@pytest.fixture
def aged(program: Program, past: Past) -> Program:
    """A program with old and young quarantine, runs, and reports."""
    past.run(loaded=1)
    past.run(status=RunStatus.FAILED)
    past.run()
    for day, number in ((OLD, 3), (OLD + timedelta(days=1), 2), (TODAY, 5)):
        past.reject(number, day, run_id=99)
    program.reports.mkdir(mode=0o700)
    for name in (*REPORTS, *OTHERS):
        (program.reports / name).write_text("content")
    os.utime(program.reports / LEFT_BEHIND, (0, 0))
    (program.reports / "2023-04-03.html").mkdir()
    (program.reports / "2023-04-04.html").symlink_to(program.reports / "notes.txt")
    program.settings |= {
        "RETENTION_QUARANTINE_DAYS": "90",
        "RETENTION_LEDGER_DAYS": "90",
        "RETENTION_REPORTS_DAYS": "90",
    }
    return program


LEFT_BEHIND = ".2023-04-01.html.abc_1234.tmp"
REPORTS = ("2023-04-01.html", "2023-04-01.xlsx", "2023-04-01.test.html", "2023-04-01.test.xlsx", LEFT_BEHIND)
OTHERS = (
    f"{TODAY}.html",
    f"{TODAY - timedelta(days=90)}.xlsx",
    "notes.txt",
    "2023-04-01.pdf",
    "2023-04-01.html.bak",
    "copy of 2023-04-01.html",
    "2023-13-01.html",
    "2023-4-1.html",
    ".2023-04-01.html.at_work.tmp",
)


def names(program: Program) -> set[str]:
    """Return what lies in the folder of the reports, the calendar apart."""
    return {path.name for path in program.reports.iterdir()} - {"index.html"}


def everything(past: Past, program: Program) -> tuple[Any, ...]:
    """Return all that retention might delete."""
    return past.quarantine(), past.warehouse.select("SELECT id FROM etl_runs ORDER BY 1"), names(program)


def test_what_is_older_goes(aged: Program, past: Past) -> None:
    """Of each kind what is older than it is to be kept, reports by the name that the program gives them alone."""
    finished = aged.run("retention", "--json")

    assert finished.code == 0, finished.told
    before = (TODAY - timedelta(days=90)).isoformat()
    assert finished.days == [
        {
            "dry_run": False,
            "quarantine": {"days": 90, "before": before, "events": 5},
            "ledger": {"days": 90, "before": before, "runs": 1, "letters": 0},
            "reports": {"days": 90, "before": before, "files": 5},
            "left_out": [],
        }
    ]
    assert past.quarantine() == {TODAY: 5}
    assert past.warehouse.number("SELECT count(*) FROM etl_runs") == 2
    assert names(aged) == {*OTHERS, "2023-04-03.html", "2023-04-04.html"}


def test_dry_run_tells_the_same_and_deletes_nothing(aged: Program, past: Past) -> None:
    """What would go is what goes then."""
    before = everything(past, aged)

    dry = aged.run("retention", "--dry-run", "--json")

    assert dry.code == 0
    assert everything(past, aged) == before
    wet = aged.run("retention", "--json")
    assert wet.days == [dry.days[0] | {"dry_run": False}]


def test_table_for_people(aged: Program) -> None:
    """What, for how long, since when, how many; and the command that does it."""
    told = " ".join(aged.run("retention", "--dry-run").out.split())

    before = (TODAY - timedelta(days=90)).isoformat()
    assert f"Rejected events 90 days {before} 5" in told
    assert f"Runs that changed nothing 90 days {before} 1" in told
    assert f"Pages and workbooks 90 days {before} 5" in told
    assert "Nothing was deleted. To delete it: python data_processor.py retention" in told


def test_without_settings_everything_is_kept(aged: Program, past: Past) -> None:
    """The default is for ever; the database is not even asked."""
    before = everything(past, aged)
    blank = dict.fromkeys(("RETENTION_QUARANTINE_DAYS", "RETENTION_LEDGER_DAYS", "RETENTION_REPORTS_DAYS"), "")

    finished = aged.run("retention", **blank, DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")

    assert finished.code == 0
    assert "Everything is kept for ever." in finished.out
    assert everything(past, aged) == before


def test_day_that_a_run_holds_keeps_its_quarantine(aged: Program, past: Past) -> None:
    """A load at work counts what it puts there; the next retention takes it."""
    with past.warehouse.database.locked_day(OLD):
        finished = aged.run("retention", "--json")

    assert finished.code == 0
    assert finished.days[0]["left_out"] == [OLD.isoformat()]
    assert past.quarantine() == {OLD: 3, TODAY: 5}
    assert aged.run("retention", "--json").days[0]["quarantine"]["events"] == 3


def test_calendar_has_no_links_to_pages_that_are_gone(aged: Program) -> None:
    """It is drawn anew."""
    calendar_ = aged.reports / "index.html"
    calendar_.write_text('<a href="2023-04-01.html">')

    assert aged.run("retention").code == 0

    assert "2023-04-01.html" not in calendar_.read_text("utf-8")


def test_database_never_used_has_nothing_to_delete(program: Program) -> None:
    """Before the first run retention makes no tables."""
    finished = program.run("retention", "--json", RETENTION_QUARANTINE_DAYS="1")

    assert finished.code == 0
    assert program.database_url
    with connected(program.database_url) as database:
        assert database.rows("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


def test_database_that_cannot_be_reached_fails(aged: Program) -> None:
    """1, and nothing is deleted, reports included."""
    before = names(aged)

    finished = aged.run("retention", DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")

    assert finished.code == 1
    assert names(aged) == before


@pytest.fixture
def slow_delete(past: Past) -> Iterator[None]:
    """Have PostgreSQL wait when the second day's quarantine is deleted."""
    past.warehouse.trigger(
        f"IF OLD.process_date > '{OLD}' THEN PERFORM pg_sleep(60); END IF; RETURN OLD;",
        "BEFORE DELETE ON lms_activities_rejected FOR EACH ROW",
    )
    yield
    past.warehouse.no_triggers()


@pytest.mark.usefixtures("slow_delete")
def test_killed_retention_goes_on_the_next_time(aged: Program, past: Past) -> None:
    """What is gone was to go; what was under way is whole."""
    running = aged.start("retention")
    past.warehouse.wait_until_busy()
    running.kill()
    past.warehouse.select("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    limit = time.monotonic() + 20
    while past.warehouse.select("SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'"):
        assert time.monotonic() < limit
        time.sleep(0.05)

    assert past.quarantine() == {OLD + timedelta(days=1): 2, TODAY: 5}
    past.warehouse.no_triggers()
    assert aged.run("retention").code == 0
    assert past.quarantine() == {TODAY: 5}


def test_report_that_cannot_be_deleted_does_not_keep_the_others(aged: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others go, and the operator is told which one did not; played, since root may delete every file."""
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name == "2023-04-01.xlsx":
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    result = command.Result.of(RetentionSettings(reports_days=90), TODAY)

    command.tidy_reports(aged.reports, result, is_dry=False)

    assert result.reports.counts == {"files": 4}
    assert [str(trouble).split(": ")[1] for trouble in result.troubles] == [
        "Permission denied. Check who owns REPORTS_PATH and its files."
    ]
    assert set(REPORTS) & names(aged) == {"2023-04-01.xlsx"}


def test_role_without_the_right_to_delete_is_told(aged: Program, past: Past, make_role: Any) -> None:
    """Retention needs DELETE on quarantine and ledger; without it nothing goes."""
    url = make_role("SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public")
    before = everything(past, aged)

    finished = aged.run("retention", DATABASE_URL=url)

    assert finished.code == 1
    assert "lacks a right" in finished.told
    assert everything(past, aged) == before
