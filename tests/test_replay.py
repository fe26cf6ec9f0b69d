"""Replay: a day's quarantine judged again; what is good now is loaded, and every event is accounted for."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from app_types import Counts, Event, Mode
from exceptions import DatabaseError, LoadRefusedError
from operations.replay import todays_rules
from tests.support.loading import APRIL_1, SERVICE_URL, SOURCEDID, STUDENT, connected, ctrl_c, make_day
from warehouse import calendar, ledger, quarantine

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.events_api import EventsServer
    from tests.support.loading import Warehouse
    from tests.support.program import Program

pytestmark = pytest.mark.postgres

HOME = Path(__file__).resolve().parent.parent
EARLIER = datetime(2023, 4, 2, 1, tzinfo=UTC)
LATER = EARLIER + timedelta(days=1)
SHORT = STUDENT[:31]
PASSBACK = repr({"oauth_consumer_key": "", "lis_result_sourcedid": SOURCEDID, "lis_outcome_service_url": SERVICE_URL})


def raw(at: str = "12:00:00", **values: Any) -> str:
    """Return a good event as the source spells it, a submit, unless told otherwise."""
    usual = {"lti_user_id": STUDENT, "passback_params": PASSBACK, "is_correct": 0, "attempt_type": "submit"}
    return json.dumps({**usual, "created_at": f"2023-04-01 {at}", **values})


@dataclass
class Quarantine:
    """The quarantine of a warehouse, filled as earlier rules would have done."""

    warehouse: Warehouse

    def put(
        self, *texts: str, day: date = APRIL_1, reason: str = "user_id_length", at: datetime = EARLIER, run_id: int = 1
    ) -> None:
        """Put events there; the same text again is another occurrence."""
        seen: Counter[str] = Counter()
        for text in texts:
            seen[text] += 1
            digest = hashlib.sha256(text.encode()).digest()
            values = (run_id, day, reason, text, at, psycopg2.Binary(digest), seen[text])
            with self.warehouse.outside.cursor() as cursor:
                cursor.execute("INSERT INTO lms_activities_rejected VALUES (%s, %s, %s, %s, %s, %s, %s)", values)

    def hold(self, text: str, *, loaded_at: datetime = EARLIER, **values: object) -> None:
        """Have the events table hold an event, with other values where such are given."""
        event = todays_rules(make_day().window, 32)(text)
        assert isinstance(event, Event)
        columns = {
            "user_id": event.user_id, "created_at": event.created_at, "attempt_type": event.attempt_type.value,
            "is_correct": event.is_correct, "oauth_consumer_key": event.oauth_consumer_key,
            "lis_result_sourcedid": event.lis_result_sourcedid,
            "lis_outcome_service_url": event.lis_outcome_service_url, "run_id": 1, "loaded_at": loaded_at,
            **values,
        }  # fmt: skip
        with self.warehouse.outside.cursor() as cursor:
            names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
            cursor.execute(f"INSERT INTO lms_activities ({names}) VALUES ({places})", list(columns.values()))

    def replay(self, day: date = APRIL_1, length: int = 32) -> Counts:
        """Replay a day as a run of its own."""
        run_id = self.begin(day)
        rules = todays_rules(make_day(day).window, length)
        return quarantine.replay(self.warehouse.database, run_id, day, rules)

    def begin(self, day: date = APRIL_1) -> int:
        """Begin a replay in the ledger."""
        run_id = ledger.begin(self.warehouse.database, make_day(day, mode=Mode.REPLAY))
        self.warehouse.run_ids.append(run_id)
        return run_id

    def rows(self) -> list[tuple[Any, ...]]:
        """Return all that lies in quarantine."""
        return self.warehouse.select(
            "SELECT process_date, reason, raw, received_at, run_id, occurrence FROM lms_activities_rejected "
            "ORDER BY 1, raw, occurrence"
        )

    def state(self) -> tuple[Any, ...]:
        """Return everything that a replay may change."""
        return self.warehouse.rows(), self.rows(), self.warehouse.select("SELECT id, status, received FROM etl_runs")


@pytest.fixture
def held(warehouse: Warehouse) -> Quarantine:
    """Prepare an empty quarantine."""
    return Quarantine(warehouse)


def counted(**values: int) -> Counts:
    """Return counts, nought unless told otherwise."""
    names = ("received", "loaded", "updated", "already_present", "rejected", "defective", "missing_at_source")
    return Counts(**{name: values.get(name, 0) for name in names})


def test_what_is_good_now_is_loaded_and_leaves_the_quarantine(held: Quarantine) -> None:
    """Both belong to one step: the event is in the table with the replay's number, and in quarantine no more."""
    good, bad = raw(), raw("13:00:00", lti_user_id=None)
    held.put(good, bad)

    assert held.replay() == counted(received=2, loaded=1, rejected=1)

    columns = (
        "user_id, created_at, lis_result_sourcedid, lis_outcome_service_url, is_correct, attempt_type, defects, run_id"
    )
    assert held.warehouse.select(f"SELECT {columns} FROM lms_activities") == [
        (STUDENT, datetime(2023, 4, 1, 12, tzinfo=UTC), SOURCEDID, SERVICE_URL, False, "submit", [],
         held.warehouse.run_ids[-1]),
    ]  # fmt: skip
    assert [row[2] for row in held.rows()] == [bad]


def test_what_is_still_rejected_stays_as_it_came(held: Quarantine) -> None:
    """It keeps the moment and the run of its first arrival; the reason is that of today's rules."""
    held.put(raw(lti_user_id="x y"), reason="user_id_length", run_id=17)

    held.replay(length=3)

    assert held.rows() == [(APRIL_1, "user_id_characters", raw(lti_user_id="x y"), EARLIER, 17, 1)]


def test_events_with_defects_are_loaded_and_counted(held: Quarantine) -> None:
    """As in a run."""
    held.put(raw(passback_params=None))

    assert held.replay() == counted(received=1, loaded=1, defective=1)
    assert held.warehouse.select("SELECT defects FROM lms_activities") == [(["passback_missing"],)]


def test_known_events_are_left_alone(held: Quarantine) -> None:
    """An event that the table holds already changes nothing, not even the version of its row."""
    held.put(raw())
    held.hold(raw())
    before = held.warehouse.rows()

    assert held.replay() == counted(received=1, already_present=1)
    assert held.warehouse.rows() == before
    assert held.rows() == []


def test_later_version_in_quarantine_corrects_the_row(held: Quarantine) -> None:
    """What the source sent after the row was loaded is what it means."""
    held.put(raw(is_correct=1), at=LATER)
    held.hold(raw(), loaded_at=EARLIER)

    assert held.replay() == counted(received=1, updated=1)
    assert held.warehouse.select("SELECT is_correct, run_id FROM lms_activities") == [
        (True, held.warehouse.run_ids[-1])
    ]


@pytest.mark.parametrize("loaded_at", [LATER, EARLIER], ids=["later", "in the same run"])
def test_earlier_version_in_quarantine_does_not_undo_a_correction(held: Quarantine, loaded_at: datetime) -> None:
    """A row that came after the rejected event is the source's last word."""
    held.put(raw(is_correct=1), at=EARLIER)
    held.hold(raw(), loaded_at=loaded_at)
    before = held.warehouse.rows()

    assert held.replay() == counted(received=1, already_present=1)
    assert held.warehouse.rows() == before


def test_of_several_events_with_one_key_the_last_counts(held: Quarantine) -> None:
    """As in a run; without a link, too."""
    for passback in (PASSBACK, None):
        held.put(raw(is_correct=1, passback_params=passback), at=LATER, run_id=2)
        held.put(raw(is_correct=0, passback_params=passback), raw(is_correct="x", passback_params=passback))

    assert held.replay() == counted(received=6, loaded=2, already_present=2, rejected=2, defective=2)
    assert held.warehouse.select("SELECT DISTINCT is_correct FROM lms_activities") == [(True,)]


def test_identical_events_leave_together(held: Quarantine) -> None:
    """One of them is loaded, the others count as present."""
    held.put(*[raw()] * 3, *[raw(lti_user_id=None)] * 2)

    assert held.replay() == counted(received=5, loaded=1, already_present=2, rejected=2)
    assert [row[-1] for row in held.rows()] == [1, 2]


def test_other_days_stay_in_quarantine(held: Quarantine) -> None:
    """A replay of a day is about that day alone; an event that lies outside of it stays rejected."""
    next_day = date(2023, 4, 2)
    held.put(raw(), day=next_day)
    held.put(raw(created_at="2023-04-02 00:00:00"), raw(created_at="2023-04-01 23:59:59.999999"))

    assert held.replay() == counted(received=2, loaded=1, rejected=1)
    assert [(row[0], row[1]) for row in held.rows()] == [(APRIL_1, "user_id_length"), (next_day, "user_id_length")]


@pytest.mark.parametrize("text", ["", "{", "1, 2", "[]], [[", '{"lti_user_id": "\\ud800"}', "\x7f", "null"])
def test_texts_that_are_no_events_stay(held: Quarantine, text: str) -> None:
    """Whatever somebody put there stays there, and harms nothing."""
    held.put(text, raw())

    assert held.replay() == counted(received=2, loaded=1, rejected=1)
    assert [row[2] for row in held.rows()] == [text]


def test_every_event_is_accounted_for(held: Quarantine) -> None:
    """Whatever lies there: replayed = loaded + corrected + present + still rejected, and a second replay loads none."""
    choose = random.Random(20230401).choice
    for _ in range(20):
        texts = [
            raw(
                f"12:00:0{choose('012')}",
                lti_user_id=choose([STUDENT, STUDENT, SHORT, None]),
                is_correct=choose([0, 1, None, 2]),
                passback_params=choose([PASSBACK, None, "{'oauth_consumer_key': 'k'}", "{"]),
            )
            for _ in range(choose(range(30)))
        ]
        held.warehouse.execute("DELETE FROM lms_activities_rejected")
        held.put(*texts, at=choose([EARLIER, LATER, datetime.now(UTC)]))
        before = len(held.warehouse.rows())

        counts = held.replay()

        assert counts.balanced
        assert counts.received == len(texts)
        assert len(held.rows()) == counts.rejected
        assert len(held.warehouse.rows()) == before + counts.loaded
        state = held.state()[:2]
        assert held.replay() == counted(received=counts.rejected, rejected=counts.rejected)
        assert held.state()[:2] == state


def test_large_quarantine_goes_through_in_parts(held: Quarantine) -> None:
    """More events than are in memory at a time."""
    texts = [raw(f"12:{n // 60:02}:{n % 60:02}", lti_user_id=STUDENT if n % 2 else None) for n in range(2_500)]
    held.put(*texts)

    assert held.replay() == counted(received=2_500, loaded=1_250, rejected=1_250)


def test_ledger_tells_of_the_replay_and_knows_the_last_full_run(held: Quarantine) -> None:
    """The replay is a run of its own kind: what asks for the last run of the day does not find it."""
    full = ledger.begin(held.warehouse.database, make_day())
    held.put(raw())
    known = calendar.days(held.warehouse.database, date.min, date.max)

    held.replay()

    run = held.warehouse.run()
    assert (run["mode"], run["status"], run["received"], run["loaded"]) == ("replay", "partial", 1, 1)
    assert ledger.last_full_run(held.warehouse.database, APRIL_1) is None
    assert calendar.days(held.warehouse.database, date.min, date.max) == known
    assert full < run["id"]


STEPS = {
    "the first row": "BEFORE INSERT ON lms_activities FOR EACH ROW",
    "the correction": "BEFORE UPDATE ON lms_activities FOR EACH STATEMENT",
    "the quarantine": "BEFORE DELETE ON lms_activities_rejected FOR EACH ROW",
    "the reasons": "BEFORE UPDATE ON lms_activities_rejected FOR EACH ROW",
    "the ledger": "BEFORE UPDATE ON etl_runs FOR EACH ROW",
    "the commit": "AFTER INSERT ON lms_activities DEFERRABLE INITIALLY DEFERRED FOR EACH ROW",
}


@pytest.mark.parametrize("when", STEPS.values(), ids=STEPS.keys())
def test_failure_anywhere_changes_nothing(held: Quarantine, when: str) -> None:
    """Events, quarantine and ledger are one transaction."""
    held.put(raw(), raw(lti_user_id=None), reason="passback_unreadable")
    run_id = held.begin()
    before = held.state()
    held.warehouse.trigger("RAISE EXCEPTION 'no';", when)

    with pytest.raises(DatabaseError):
        quarantine.replay(held.warehouse.database, run_id, APRIL_1, todays_rules(make_day().window, 32))

    assert held.state() == before
    held.warehouse.no_triggers()
    assert held.replay() == counted(received=2, loaded=1, rejected=1)


@pytest.mark.parametrize(
    "when",
    ["BEFORE INSERT ON lms_activities FOR EACH ROW", "BEFORE DELETE ON lms_activities_rejected FOR EACH ROW"],
    ids=["an event that does not arrive", "a reject that does not go"],
)
def test_counts_that_do_not_balance_undo_the_replay(held: Quarantine, when: str) -> None:
    """An event must neither get lost between quarantine and table nor be in both."""
    held.put(raw(), raw("13:00:00"))
    run_id = held.begin()
    before = held.state()
    held.warehouse.trigger("RETURN NULL;", when)

    with pytest.raises(LoadRefusedError, match="do not balance"):
        quarantine.replay(held.warehouse.database, run_id, APRIL_1, todays_rules(make_day().window, 32))

    assert held.state() == before


CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from operations.replay import todays_rules
from tests.support.loading import connected, make_day
from warehouse import quarantine
with connected(sys.argv[2]) as database:
    quarantine.replay(database, int(sys.argv[3]), make_day().date, todays_rules(make_day().window, 32))
"""


@pytest.mark.parametrize("when", [STEPS["the first row"], STEPS["the quarantine"], STEPS["the commit"]])
def test_killed_replay_leaves_nothing(held: Quarantine, when: str) -> None:
    """SIGKILL at any step: as if it had never begun; the next one does all of it."""
    held.put(raw(), raw(lti_user_id=None))
    run_id = held.begin()
    before = held.state()
    returned = "OLD" if "DELETE" in when else "NEW"
    held.warehouse.trigger(f"PERFORM pg_sleep(60); RETURN {returned};", when)
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(HOME), held.warehouse.url, str(run_id)])
    try:
        held.warehouse.wait_until_busy()
    finally:
        child.kill()
        child.wait()
    held.warehouse.select(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE wait_event = 'PgSleep' AND datname = current_database()"
    )

    assert held.state() == before
    held.warehouse.no_triggers()
    assert held.replay() == counted(received=2, loaded=1, rejected=1)


def test_ctrl_c_is_heard_while_postgresql_is_busy(held: Quarantine) -> None:
    """The statement under way is cancelled, and nothing is changed."""
    held.put(raw())
    run_id = held.begin()
    before = held.state()
    held.warehouse.trigger("PERFORM pg_sleep(60); RETURN NEW;")

    with pytest.raises(KeyboardInterrupt), ctrl_c(held.warehouse.wait_until_busy):
        quarantine.replay(held.warehouse.database, run_id, APRIL_1, todays_rules(make_day().window, 32))

    assert held.state() == before


def test_role_that_may_not_delete_is_told(held: Quarantine, make_role: Callable[..., str]) -> None:
    """A replay needs DELETE on the quarantine; without it nothing is loaded."""
    held.put(raw())
    run_id = held.begin()
    before = held.state()
    url = make_role("SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public")
    rules = todays_rules(make_day().window, 32)

    with connected(url) as database, pytest.raises(DatabaseError, match="lacks a right"):
        quarantine.replay(database, run_id, APRIL_1, rules)
    assert held.state() == before

    held.warehouse.execute("GRANT DELETE ON lms_activities_rejected TO PUBLIC")
    with connected(url) as database:
        assert quarantine.replay(database, run_id, APRIL_1, rules).loaded == 1


# The command


@pytest.fixture
def rejecting(program: Program, events_api: EventsServer) -> Program:
    """The program after a day of which two events have an id that is too short, and one has none."""
    ids = [STUDENT, SHORT, SHORT, None]
    events_api.serve(json.loads(raw(f"{hour}:00:00", lti_user_id=id_)) for hour, id_ in enumerate(ids, start=12))
    assert program.run("--date", "2023-04-01", "--json").counts[:5] == (4, 1, 0, 0, 3)
    return program


def test_replay_loads_without_asking_the_source_and_reports_again(rejecting: Program, events_api: EventsServer) -> None:
    """After the length of ids was corrected the events are loaded, the page is new, and the ledger shows the replay."""
    requests = len(events_api.requests)
    page = rejecting.reports / "2023-04-01.html"
    before = page.read_text("utf-8")

    finished = rejecting.run("replay", "--date", "2023-04-01", "--json", LENGTH_OF_USER_ID_FIELD="31")

    assert finished.code == 0, finished.told
    replayed, reported = finished.days
    assert [replayed[name] for name in ("mode", "status", "received", "loaded", "rejected")] == [
        "replay",
        "ok",
        3,
        2,
        1,
    ]
    assert (reported["mode"], reported["statistics"]["unique_users"]) == ("full", 2)
    assert len(events_api.requests) == requests
    assert page.read_text("utf-8") != before
    assert rejecting.database_url
    with connected(rejecting.database_url) as database:
        rows = database.rows("SELECT mode, status, loaded, finished_at IS NOT NULL FROM etl_runs ORDER BY id")
    assert rows == [("full", "ok", 1, True), ("replay", "ok", 2, True)]


def test_replay_is_told_to_the_operator(rejecting: Program) -> None:
    """A table of what became of the events, and where to look for the others."""
    finished = rejecting.run("replay", "--date", "2023-04-01", LENGTH_OF_USER_ID_FIELD="31")

    told = " ".join(finished.out.split())
    assert "Replay of the quarantine" in told
    assert "2023-04-01 done 3 2 0 0 1" in told
    assert "Why the others are still rejected: python data_processor.py rejected --date 2023-04-01" in told


def test_replay_whose_report_fails_is_partial(rejecting: Program, tmp_path: Path) -> None:
    """3: the events are loaded, and the ledger says that something after that did not succeed."""
    blocked = tmp_path / "blocked"
    blocked.write_text("no folder")

    finished = rejecting.run(
        "replay", "--date", "2023-04-01", LENGTH_OF_USER_ID_FIELD="31", REPORTS_PATH=str(blocked / "reports")
    )

    assert finished.code == 3, finished.told
    assert rejecting.database_url
    with connected(rejecting.database_url) as database:
        rows = database.rows("SELECT status, loaded, error IS NOT NULL FROM etl_runs WHERE mode = 'replay'")
    assert rows == [("partial", 2, True)]


def test_replay_that_brings_nothing_publishes_nothing(rejecting: Program) -> None:
    """Rules that have not changed let nothing in; the page stays as it is."""
    page = rejecting.reports / "2023-04-01.html"
    before = page.stat().st_mtime_ns

    finished = rejecting.run("replay", "--date", "2023-04-01", "--json")

    assert finished.code == 0
    assert [finished.day[name] for name in ("status", "received", "loaded", "rejected")] == ["ok", 3, 0, 3]
    assert "the report stays as it is" in finished.err
    assert page.stat().st_mtime_ns == before


def test_days_without_rejects_have_nothing_to_replay(rejecting: Program) -> None:
    """It is no failure, and no run."""
    finished = rejecting.run("replay", "--date", "2023-04-05")

    assert finished.code == 0
    assert "No event of 5 April 2023 lies in quarantine." in finished.out
    assert rejecting.database_url
    with connected(rejecting.database_url) as database:
        assert database.rows("SELECT count(*) FROM etl_runs WHERE mode = 'replay'") == [(0,)]


def test_several_days_are_replayed_each_for_itself(rejecting: Program) -> None:
    """An object for each day, and a report for each that changed."""
    finished = rejecting.run(
        "replay", "--from", "2023-03-31", "--to", "2023-04-01", "--json", LENGTH_OF_USER_ID_FIELD="31"
    )

    assert finished.code == 0, finished.told
    assert [(day["date"], day["mode"], day["loaded"]) for day in finished.days[:2]] == [
        ("2023-03-31", "replay", 0),
        ("2023-04-01", "replay", 2),
    ]


def test_replay_without_a_database_fails(rejecting: Program) -> None:
    """1, and the command that repeats it."""
    finished = rejecting.run("replay", "--date", "2023-04-01", DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")

    assert finished.code == 1
    assert "To repeat: python data_processor.py replay --date 2023-04-01" in finished.out
