"""Adoption: an earlier script's table of seven columns becomes ours, and every row of it is accounted for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import psycopg2
import pytest
from psycopg2.extras import execute_values

from app_types import Rejected, Window
from exceptions import DatabaseError
from source.decoding import decode
from source.passback import FIELDS, read_passback
from source.validation import MOST_FIELD_BYTES, judge
from tests.support.loading import connected, ctrl_c, database_name, in_background
from tests.support.program import eventually
from warehouse import adoption, connection
from warehouse.adoption import KEPT, AdoptionRules
from warehouse.migrations import applied_versions, latest_version, migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from psycopg2.extensions import connection as Connection  # noqa: N812  (a class, whatever its name)

    from app_types import Event
    from tests.support.postgres import PostgresServer
    from tests.support.program import Program

pytestmark = pytest.mark.postgres

HOME = Path(__file__).resolve().parent.parent
STUDENT = "3583bf109f8b458e13ae1ac9d85c396a"
OTHER = "ffffbf109f8b458e13ae1ac9d85cffff"
LINK = "course-v1:SkillFactory+DST-3.0+28FEB2021:lms.example.org-ca3ecf8e5f284c329eb7bd529e1a9f7e"
SOURCEDID = f"{LINK}:{STUDENT}"
URL = "https://lms.example.org/courses/c/xblock/b/handler_noauth/grade_handler"
NOON = datetime(2023, 4, 1, 12, 0, 0, 123456)  # noqa: DTZ001  (as the old script wrote it)
COLUMNS = (
    "user_id", "oauth_consumer_key", "lis_result_sourcedid", "lis_outcome_service_url", "is_correct", "attempt_type",
    "created_at",
)  # fmt: skip
PLAIN = (
    "CREATE TABLE lms_activities (user_id varchar(255), oauth_consumer_key varchar, lis_result_sourcedid varchar, "
    "lis_outcome_service_url varchar, is_correct integer, attempt_type varchar(20), created_at timestamp)"
)
GOLDEN = {
    "as usual": PLAIN,
    "texts, booleans, moments with a zone, a number": (
        "CREATE TABLE lms_activities (id serial PRIMARY KEY, user_id text, oauth_consumer_key text, "
        "lis_result_sourcedid text, lis_outcome_service_url text, is_correct boolean, attempt_type text, "
        "created_at timestamptz)"
    ),
    "floating results, as pandas makes them": (
        "CREATE TABLE lms_activities (user_id text, oauth_consumer_key text, lis_result_sourcedid text, "
        "lis_outcome_service_url text, is_correct double precision, attempt_type text, created_at timestamp)"
    ),
    "results as texts, padded ids, another order": (
        "CREATE TABLE lms_activities (created_at timestamp(6), attempt_type char(10), is_correct varchar, "
        "lis_outcome_service_url text, lis_result_sourcedid text, oauth_consumer_key text, user_id char(40))"
    ),
    "exact numbers, an unlogged table with an index": (
        "CREATE UNLOGGED TABLE lms_activities (user_id text, oauth_consumer_key text, lis_result_sourcedid text, "
        "lis_outcome_service_url text, is_correct numeric(3, 1), attempt_type text, created_at timestamp); "
        "CREATE INDEX ON lms_activities (user_id)"
    ),
}


def row(**values: Any) -> tuple[Any, ...]:
    """Return a row as the old script stored it, a submit without flaw unless told otherwise."""
    usual = (STUDENT, "", SOURCEDID, URL, 1, "submit", NOON)
    return tuple({**dict(zip(COLUMNS, usual, strict=True)), **values}.values())


@dataclass
class OldDatabase:
    """A database with what an earlier script left in it, looked at from outside."""

    url: str
    outside: Connection

    def execute(self, statement: str) -> None:
        """Run a statement and commit it."""
        with self.outside.cursor() as cursor:
            cursor.execute(statement)

    def create(self, rows: Sequence[tuple[Any, ...]], ddl: str = PLAIN) -> None:
        """Make the old table."""
        self.execute(ddl)
        with self.outside.cursor() as cursor:
            cursor.execute(
                "SELECT atttypid::regtype::text FROM pg_attribute WHERE attrelid = 'lms_activities'::regclass "
                "AND attname = 'is_correct'"
            )
            (kind,) = cursor.fetchone() or ("",)
            values = [f"(%s, %s, %s, %s, %s::text::{kind}, %s, %s)"] if kind != "text" else None
            execute_values(
                cursor,
                f"INSERT INTO lms_activities ({', '.join(COLUMNS)}) VALUES %s",
                rows,
                template=values[0] if values else None,
            )

    def select(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask for rows."""
        with self.outside.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()

    def adopt(self, rules: AdoptionRules | None = None) -> None:
        """Let the program prepare its database."""
        with connected(self.url) as database:
            migrate(database, rules=rules)

    def tables(self) -> list[tuple[str, int]]:
        """Return the names and numbers of all tables and views."""
        return self.select(
            "SELECT relname::text, oid::bigint FROM pg_class WHERE relkind IN ('r', 'v', 'm', 'p', 'f', 'S') "
            "AND relnamespace = 'public'::regnamespace ORDER BY 1"
        )

    def run(self) -> dict[str, Any]:
        """Return the one row of the ledger."""
        with self.outside.cursor() as cursor:
            cursor.execute("SELECT * FROM etl_runs")
            (found,) = cursor.fetchall()
            assert cursor.description
            return dict(zip((column.name for column in cursor.description), found, strict=True))

    def quarantine(self) -> list[tuple[date, str, dict[str, Any]]]:
        """Return day, reason and event of what lies in quarantine."""
        found = self.select(
            "SELECT process_date, reason, raw FROM lms_activities_rejected ORDER BY 1, 2, 3, occurrence"
        )
        return [(day, reason, json.loads(raw)) for day, reason, raw in found]


@pytest.fixture
def old(database_url: str, no_connection_leaked: None) -> Iterator[OldDatabase]:
    """Open the test's own database from outside."""
    outside = psycopg2.connect(database_url, application_name="test")
    outside.autocommit = True
    yield OldDatabase(database_url, outside)
    outside.close()


@pytest.mark.parametrize("ddl", GOLDEN.values(), ids=GOLDEN.keys())
def test_old_table_is_adopted_whatever_its_types_are(old: OldDatabase, ddl: str) -> None:
    """Each of the tables that earlier scripts made ends as the same events: UTC, booleans, defects told."""
    run = {"is_correct": None, "attempt_type": "run"}
    old.create([row(), row(is_correct=0, created_at=NOON + timedelta(hours=1)), row(**run)], ddl)

    old.adopt()

    assert old.select(
        f"SELECT {', '.join(COLUMNS)}, defects FROM lms_activities ORDER BY created_at, attempt_type"
    ) == [
        (STUDENT, "", SOURCEDID, URL, None, "run", NOON.replace(tzinfo=UTC), []),
        (STUDENT, "", SOURCEDID, URL, True, "submit", NOON.replace(tzinfo=UTC), []),
        (STUDENT, "", SOURCEDID, URL, False, "submit", NOON.replace(tzinfo=UTC, hour=13), []),
    ]
    assert old.quarantine() == []


def test_missing_results_that_are_no_numbers_are_missing(old: OldDatabase) -> None:
    """NaN in a column of floating numbers is how some scripts write null."""
    old.create([row(is_correct="NaN", attempt_type="run")], GOLDEN["floating results, as pandas makes them"])

    old.adopt()

    assert old.select("SELECT is_correct, defects FROM lms_activities") == [(None, [])]


def test_old_table_is_kept_as_it_was(old: OldDatabase) -> None:
    """Under its new name it holds the very rows that it held, the good, the bad and the repeated ones."""
    old.create([row(), row(), row(user_id=None), row(created_at=None), row(is_correct=7)])
    before = old.select("SELECT ctid::text, xmin::text, * FROM lms_activities ORDER BY ctid")

    old.adopt()

    assert old.select(f"SELECT ctid::text, xmin::text, * FROM {KEPT} ORDER BY ctid") == before


def test_repeated_rows_are_taken_once_and_counted(old: OldDatabase, caplog: pytest.LogCaptureFixture) -> None:
    """Exact duplicates and older versions of an event are told apart; the version that came last is the event."""
    caplog.set_level("INFO")
    versions = [row(is_correct=0), row(is_correct=1), row(is_correct=0, oauth_consumer_key="last")]
    without_link = [row(lis_result_sourcedid=None)] * 2
    old.create([*versions[:2], *versions[:1], versions[2], *without_link, row(created_at=NOON + timedelta(seconds=1))])

    old.adopt()

    assert old.select(
        "SELECT is_correct, oauth_consumer_key, count(*) FROM lms_activities GROUP BY 1, 2 ORDER BY 2"
    ) == [
        (True, "", 2),
        (False, "last", 1),
    ]
    told = [record.getMessage() for record in caplog.records]
    assert "adoption: rows of the old table: 7, adopted: 3" in told
    assert "adoption: rows that stood there more than once, taken once: 2" in told
    assert "adoption: older versions of an event, left out: 2" in told
    assert any("the earlier script must not run any more" in message for message in told)


def test_ledger_tells_of_the_adoption(old: OldDatabase) -> None:
    """One row of the ledger, whose counts balance, and whose number the adopted rows carry."""
    old.create(
        [
            row(),
            row(),
            row(is_correct=0),
            row(user_id=None),
            row(created_at=NOON - timedelta(days=3)),
            row(created_at=NOON + timedelta(days=2), oauth_consumer_key=None),
        ]
    )

    old.adopt(AdoptionRules(zone=ZoneInfo("Europe/Moscow")))

    run = old.run()
    assert [run[name] for name in ("mode", "status", "complete", "error")] == ["adoption", "ok", False, None]
    assert [run[name] for name in ("received", "loaded", "updated", "already_present", "rejected")] == [6, 3, 0, 2, 1]
    assert run["defective"] == 1
    assert run["process_date"] == datetime.now(ZoneInfo("Europe/Moscow")).date()
    assert (run["window_start"], run["window_end"]) == (
        NOON.replace(tzinfo=UTC) - timedelta(days=3),
        NOON.replace(tzinfo=UTC) + timedelta(days=2),
    )
    assert old.select("SELECT DISTINCT run_id, loaded_at FROM lms_activities") == [(run["id"], run["started_at"])]
    assert old.select("SELECT DISTINCT run_id FROM lms_activities_rejected") == [(run["id"],)]


def test_empty_old_table_is_adopted(old: OldDatabase) -> None:
    """There may be nothing in it."""
    old.create([row()])
    old.execute("DELETE FROM lms_activities")

    old.adopt()

    assert (old.run()["received"], old.run()["status"]) == (0, "ok")
    assert old.select("SELECT count(*) FROM lms_activities") == [(0,)]


def test_refused_rows_lie_in_quarantine_by_day_and_reason(old: OldDatabase, caplog: pytest.LogCaptureFixture) -> None:
    """What today's rules refuse is kept as the source would spell it, on its day; without a time, on today."""
    evening = datetime(2023, 4, 1, 22, 30)  # noqa: DTZ001
    old.create(
        [
            row(user_id=None),
            row(user_id="short", created_at=evening),
            row(created_at=None),
            row(is_correct=7),
            row(attempt_type="view"),
            row(is_correct=7),
        ]
    )

    old.adopt(AdoptionRules(zone=ZoneInfo("Europe/Moscow")))

    day, next_day, today = date(2023, 4, 1), date(2023, 4, 2), datetime.now(ZoneInfo("Europe/Moscow")).date()
    found = old.quarantine()
    assert [(when, reason) for when, reason, _ in found] == [
        (day, "attempt_type_unknown"),
        (day, "is_correct_unknown"),
        (day, "is_correct_unknown"),
        (day, "user_id_missing"),
        (next_day, "user_id_length"),
        (today, "created_at_unreadable"),
    ]
    assert found[1][2] == {
        "lti_user_id": STUDENT,
        "passback_params": f"{{'oauth_consumer_key': '', 'lis_result_sourcedid': '{SOURCEDID}', "
        f"'lis_outcome_service_url': '{URL}'}}",
        "is_correct": 7,
        "attempt_type": "submit",
        "created_at": "2023-04-01 12:00:00.123456",
    }
    assert "adoption: rejected: is_correct_unknown, rows in quarantine: 2" in caplog.messages


IDS = (STUDENT, None, "", "short", STUDENT + "0", STUDENT[:-1] + "é", STUDENT[:-1] + "\n", "a" * 31 + "-")
SOURCEDIDS = (
    SOURCEDID, None, "", ":", f"{LINK}:{OTHER}", LINK.replace(":", "_"), f"{LINK}:%33{STUDENT[1:]}",
    f"{LINK}:%00{STUDENT}",
    f"{LINK}:{STUDENT}%", f"{LINK}:%ff", f"{LINK}:{STUDENT[:-1]}%61", f"Ж{LINK}:{STUDENT}", "x" * 2001, "ж" * 1001,
)  # fmt: skip
OTHERS: dict[str, tuple[Any, ...]] = {
    "oauth_consumer_key": (
        "",
        None,
        "it's\\n",
        'a "quoted"\tkey',
        "\r\n",
        "k" * 2000,
        "k" * 2001,
        "\U0001f600 и\u00a0",
    ),
    "lis_outcome_service_url": (URL, None, "", "u" * 2001, "\x01\x7f"),
    "is_correct": (None, "0", "1", "2", "-1"),
    "attempt_type": ("submit", "run", None, "", "RUN", "view"),
    "created_at": (NOON, None, "infinity", "-infinity", "0044-03-15 12:00:00 BC", "12345-01-01", "2023-04-01 00:00:00"),
}


def variants() -> Iterator[tuple[Any, ...]]:
    """Yield rows that differ from a good one in one or two places."""
    choices: dict[str, tuple[Any, ...]] = {"user_id": IDS, "lis_result_sourcedid": SOURCEDIDS, **OTHERS}
    for number, (first, values) in enumerate(choices.items()):
        for value in values:
            yield row(**{first: value})
            for second in list(choices)[number + 1 :]:
                for other in choices[second]:
                    yield row(**{first: value, second: other})
    yield row(oauth_consumer_key=None, lis_result_sourcedid=None, lis_outcome_service_url=None)


def wire(values: tuple[Any, ...]) -> str:
    """Return an old row as the source would have sent it."""
    found = dict(zip(COLUMNS, values, strict=True))
    fields = {name: found[name] for name in COLUMNS[1:4]}
    correct, moment = found["is_correct"], found["created_at"]
    return json.dumps(
        {
            "lti_user_id": found["user_id"],
            "passback_params": None if set(fields.values()) == {None} else repr(fields),
            "is_correct": None if correct is None else int(correct),
            "attempt_type": found["attempt_type"],
            "created_at": str(moment) if moment is not None else None,
        }
    )


def judged(raw: str) -> Event | Rejected | None:
    """Return what the program's own rules make of an event, whenever it was."""
    everything = Window(datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))
    return judge(decode(f"[{raw}]".encode()), 0, everything, 32)


def test_rows_are_judged_as_events_are(old: OldDatabase) -> None:
    """The statements of the adoption and the rules in Python agree on every row: its reason, or its defects."""
    rows = list(dict.fromkeys(variants()))
    old.create(rows)
    expected: dict[str, int] = {}
    events: dict[tuple[Any, ...], Event] = {}
    for values in rows:
        match judged(wire(values)):
            case Rejected(reason=reason):
                expected[reason.value] = expected.get(reason.value, 0) + 1
            case event:
                assert event is not None
                events[event.created_at, event.user_id, event.attempt_type, event.lis_result_sourcedid] = event

    old.adopt()

    assert dict(old.select("SELECT reason, count(*) FROM lms_activities_rejected GROUP BY 1")) == expected
    assert set(expected) == {
        "user_id_missing", "user_id_length", "user_id_characters", "created_at_unreadable", "attempt_type_unknown",
        "is_correct_unknown", "field_too_long",
    }  # fmt: skip
    found = old.select(
        "SELECT created_at, user_id, attempt_type, lis_result_sourcedid, oauth_consumer_key, lis_outcome_service_url, "
        "is_correct, defects FROM lms_activities"
    )
    assert len(found) == len(events)
    for moment, user, kind, sourcedid, *rest in found:
        event = events[moment.astimezone(UTC), user, kind, sourcedid]
        assert rest == [
            event.oauth_consumer_key, event.lis_outcome_service_url, event.is_correct, [*event.defects],
        ], event  # fmt: skip


def test_quarantined_rows_can_be_read_again(old: OldDatabase) -> None:
    """Each refused row is ASCII JSON that today's rules refuse for the same reason, and that holds all its values."""
    old.create(list(dict.fromkeys(variants())))

    old.adopt()

    raws = old.select("SELECT reason, raw, raw_digest = sha256(convert_to(raw, 'UTF8')) FROM lms_activities_rejected")
    assert len(raws) > 100
    for reason, raw, is_digest in raws:
        assert raw.isascii()
        assert is_digest
        verdict = judged(raw)
        assert isinstance(verdict, Rejected)
        assert verdict.reason == reason
    without_id = [
        values for values in dict.fromkeys(variants()) if values[0] is None and isinstance(values[-1], datetime)
    ]
    kept = [json.loads(raw) for reason, raw, _ in raws if reason == "user_id_missing"]
    assert Counter(map(told, (json.loads(wire(values)) for values in without_id))) <= Counter(map(told, kept))


def told(event: dict[str, Any]) -> tuple[Any, ...]:
    """Return what an event tells, however its passback parameters are spelled."""
    passback = event["passback_params"] and read_passback(event["passback_params"])
    fields = passback and tuple(getattr(passback, name) for name in FIELDS)
    return event["lti_user_id"], fields, event["is_correct"], event["attempt_type"]


def test_length_of_user_ids_is_that_of_the_settings(old: OldDatabase) -> None:
    """A source with shorter ids loses none of them."""
    old.create([row(user_id="abc"), row()])

    old.adopt(AdoptionRules(user_id_length=3))

    assert old.select("SELECT user_id FROM lms_activities") == [("abc",)]
    assert [reason for _, reason, _ in old.quarantine()] == ["user_id_length"]


def test_limit_of_fields_is_that_of_validation() -> None:
    """One number in two rooms that do not know each other."""
    assert adoption._MOST_FIELD_BYTES == MOST_FIELD_BYTES


FOREIGN = {
    "another column missing": (
        "CREATE TABLE lms_activities (user_id varchar(32), passback_params text, created_at timestamp)",
        "no column oauth_consumer_key",
    ),
    "a further column": (f"{PLAIN}; ALTER TABLE lms_activities ADD grade real", "a further column grade"),
    "a time as text": (
        f"{PLAIN}; ALTER TABLE lms_activities ALTER created_at TYPE text",
        "created_at is of the type text",
    ),
    "an id that is no text": (
        f"{PLAIN}; ALTER TABLE lms_activities ALTER user_id TYPE uuid USING user_id::uuid",
        "user_id is of the type uuid",
    ),
    "a number that is none": (f"{PLAIN}; ALTER TABLE lms_activities ADD id text", "id is of the type text"),
    "a view": ("CREATE VIEW lms_activities AS SELECT 1 AS user_id", "no ordinary table"),
    "a materialized view": ("CREATE MATERIALIZED VIEW lms_activities AS SELECT 1 AS user_id", "no ordinary table"),
    "a sequence": ("CREATE SEQUENCE lms_activities", "no ordinary table"),
    "a partitioned table": (
        f"{PLAIN} PARTITION BY RANGE (created_at); "
        "CREATE TABLE part PARTITION OF lms_activities FOR VALUES FROM ('2023-01-01') TO ('2024-01-01')",
        "no ordinary table",
    ),
    "a table with heirs": (f"{PLAIN}; CREATE TABLE heir () INHERITS (lms_activities)", "no ordinary table"),
}


@pytest.mark.parametrize(("ddl", "problem"), FOREIGN.values(), ids=FOREIGN.keys())
def test_something_else_is_refused_and_left_alone(old: OldDatabase, ddl: str, problem: str) -> None:
    """What is no table of an earlier script is neither used nor renamed; the text says why, and what to do."""
    old.execute(ddl)
    before = old.tables()

    with pytest.raises(DatabaseError, match=f"this program did not make and .*{problem}") as caught:
        old.adopt()

    assert caught.value.remedy
    assert old.tables() == before


def test_kept_table_of_an_earlier_adoption_is_not_overwritten(old: OldDatabase) -> None:
    """Where the name for the old table is taken, the operator decides."""
    old.create([row()])
    old.execute(f"CREATE TABLE {KEPT} (a int)")
    before = old.tables()

    with pytest.raises(DatabaseError, match=f"because {KEPT} exists already"):
        old.adopt()

    assert old.tables() == before


def test_failure_at_the_end_leaves_the_old_table_alone(old: OldDatabase) -> None:
    """Renaming, our own tables and the rows are one transaction: a failure in the last of them undoes the first."""
    old.create([row(), row(user_id=None)])
    old.execute("CREATE TABLE etl_outbox (a int)")  # a name that a later migration needs
    before = old.tables()

    with pytest.raises(DatabaseError, match="tables of our names"):
        old.adopt()

    assert old.tables() == before
    assert old.select("SELECT count(*) FROM lms_activities") == [(2,)]


def test_role_that_does_not_own_the_old_table_is_told(old: OldDatabase, make_role: Callable[..., str]) -> None:
    """Who may not rename the table gets to know it, and nothing happens."""
    old.create([row()])
    before = old.tables()

    with (
        connected(make_role("CREATE ON SCHEMA public")) as database,
        pytest.raises(DatabaseError, match="lacks a right"),
    ):
        migrate(database)

    assert old.tables() == before


def test_rows_that_row_security_hides_stop_the_adoption(old: OldDatabase, postgres_server: PostgresServer) -> None:
    """A policy that hides rows from the program must not make it lose them in silence."""
    old.create([row(), row(user_id=OTHER)])
    old.execute(
        "ALTER TABLE lms_activities ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; "
        f"CREATE POLICY own ON lms_activities USING (user_id = '{STUDENT}')"
    )
    before = old.tables()

    with pytest.raises(DatabaseError, match="lacks a right"):
        old.adopt()

    assert old.tables() == before


def test_readers_of_the_old_table_may_read_the_new_one(old: OldDatabase, make_role: Callable[..., str]) -> None:
    """A dashboard's role goes on reading `lms_activities`; who could write could write what no run has checked."""
    old.create([row()])
    dashboard = make_role("SELECT ON lms_activities")
    script = make_role("SELECT, INSERT, DELETE ON lms_activities")

    old.adopt()

    for url in (dashboard, script):
        reader = psycopg2.connect(url, application_name="test")
        with reader.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM lms_activities")
            assert cursor.fetchone() == (1,)
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute("DELETE FROM lms_activities")
        reader.close()


def test_views_that_go_on_reading_the_old_table_are_named(old: OldDatabase, caplog: pytest.LogCaptureFixture) -> None:
    """A view follows the old table to its new name, where nothing new arrives: the operator has to know."""
    old.create([row()])
    old.execute("CREATE VIEW per_day AS SELECT created_at::date, count(*) FROM lms_activities GROUP BY 1")

    old.adopt()

    told = [message for message in caplog.messages if "a view still reads" in message]
    assert told == ["adoption: a view still reads the old table: per_day"]
    assert old.select("SELECT count FROM per_day") == [(1,)]


def test_large_table_stays_in_the_database(old: OldDatabase) -> None:
    """A hundred thousand rows, a tenth of them twice and a tenth bad, are accounted for."""
    old.execute(PLAIN)
    old.execute(
        "INSERT INTO lms_activities SELECT CASE WHEN n %% 10 = 0 THEN NULL ELSE md5((n %% 500)::text) END, '', "
        "'c:l:' || md5((n %% 500)::text), 'u', NULL, 'run', '2023-01-01'::timestamp + n * interval '1 minute' "
        "FROM generate_series(1, 100000) AS n".replace("%%", "%")
    )
    old.execute("INSERT INTO lms_activities SELECT * FROM lms_activities WHERE right(user_id, 1) IN ('a', '7')")
    ((total, bad),) = old.select("SELECT count(*), count(*) FILTER (WHERE user_id IS NULL) FROM lms_activities")

    old.adopt()

    run = old.run()
    assert (run["received"], run["loaded"], run["rejected"]) == (total, 90_000, bad)
    assert old.select("SELECT count(*) FROM lms_activities") == [(90_000,)]


def test_two_first_runs_at_once_adopt_once(old: OldDatabase) -> None:
    """Who comes second finds the table adopted."""
    old.create([row()] * 3)

    with in_background(old.adopt), in_background(old.adopt), in_background(old.adopt):
        pass

    assert old.select("SELECT count(*) FROM etl_runs") == [(1,)]
    assert old.select("SELECT count(*) FROM lms_activities") == [(1,)]


@contextmanager
def in_use(old: OldDatabase) -> Iterator[None]:
    """Have the old script at work in its table."""
    writer = psycopg2.connect(old.url, application_name="test")
    with writer.cursor() as cursor:
        cursor.execute("INSERT INTO lms_activities (user_id) VALUES (NULL)")
        yield
    writer.rollback()
    writer.close()


def test_ctrl_c_ends_the_adoption_at_once(old: OldDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator need not wait for PostgreSQL; the old table is as it was."""
    monkeypatch.setitem(connection._SESSION, "lock_timeout", "10min")  # it is not to end the wait by itself
    waiting = "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    old.create([row()])
    before = old.tables()
    given_up = []

    def is_waiting() -> None:
        limit = time.monotonic() + 20
        while not old.select(f"SELECT 1 {waiting}"):
            assert time.monotonic() < limit
            time.sleep(0.02)

    def give_up() -> None:
        given_up.extend(old.select(f"SELECT pg_terminate_backend(pid) {waiting}"))

    watchdog = threading.Timer(30, give_up)
    watchdog.start()
    with in_use(old), connected(old.url) as database, pytest.raises(KeyboardInterrupt), ctrl_c(is_waiting):
        migrate(database)
    watchdog.cancel()

    assert not given_up
    assert old.tables() == before


CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from tests.support.loading import connected
from warehouse.migrations import migrate
with connected(sys.argv[2]) as database:
    migrate(database)
"""


def test_killed_adoption_leaves_the_old_table(old: OldDatabase, postgres_server: PostgresServer) -> None:
    """SIGKILL after the renaming and the making of our tables: the old table is as it was; the next start adopts it."""
    old.create([row()])
    before = old.tables()
    with postgres_server.administrator(database_name(old.url)) as administrator, administrator.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); END'; "
            "CREATE EVENT TRIGGER slow ON ddl_command_end WHEN TAG IN ('CREATE VIEW') EXECUTE FUNCTION slow()"
        )
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(HOME), old.url])
        asleep = "FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
        eventually(lambda: old.select(f"SELECT 1 {asleep}"), 60)
        child.kill()
        child.wait()
        old.select(f"SELECT pg_terminate_backend(pid) {asleep}")
        eventually(lambda: not old.select(f"SELECT 1 {asleep}"))
        cursor.execute("DROP EVENT TRIGGER slow")

    assert old.tables() == before
    assert old.select("SELECT count(*) FROM lms_activities") == [(1,)]
    old.adopt()
    assert old.run()["loaded"] == 1


def test_adopted_database_is_as_any_other(old: OldDatabase) -> None:
    """All migrations are recorded, and the next start changes nothing."""
    old.create([row()])
    old.adopt()
    before = old.select("SELECT xmin::text, relname FROM pg_class ORDER BY oid")

    old.adopt()

    with connected(old.url) as database:
        assert max(applied_versions(database)) == latest_version()
    assert old.select("SELECT xmin::text, relname FROM pg_class ORDER BY oid") == before


def test_run_of_an_adopted_day_finds_its_events_present(program: Program, old: OldDatabase, events_api: Any) -> None:
    """The first run after the move: the day's events are known, only what the old script had lost is new."""
    events = [
        {
            "lti_user_id": STUDENT,
            "passback_params": repr(
                {"oauth_consumer_key": "", "lis_result_sourcedid": SOURCEDID, "lis_outcome_service_url": URL}
            ),
            "is_correct": correct,
            "attempt_type": kind,
            "created_at": str(NOON + timedelta(minutes=minute)),
        }
        for minute, (correct, kind) in enumerate([(None, "run"), (0, "submit"), (1, "submit")])
    ]
    events_api.serve(events)
    old.create(
        [row(is_correct=None, attempt_type="run"), row(is_correct=0, created_at=NOON + timedelta(minutes=1))] * 2
    )

    finished = program.run("--date", "2023-04-01", "--json")

    assert finished.code == 0, finished.told
    assert [finished.day[name] for name in ("received", "loaded", "updated", "already_present")] == [3, 1, 0, 2]
    assert re.search(r"taken once: 2", finished.err)


def test_adoption_goes_by_the_settings(program: Program, old: OldDatabase) -> None:
    """The command adopts by the length of ids and the calendar that are set, whichever command comes first."""
    evening = datetime(2023, 4, 1, 22, 30)  # noqa: DTZ001
    old.create([row(user_id="abc"), row(created_at=evening)])

    finished = program.run("report", "--date", "2023-04-01", LENGTH_OF_USER_ID_FIELD="3", TIMEZONE="Europe/Moscow")

    assert finished.code == 0, finished.told
    assert old.select("SELECT user_id FROM lms_activities") == [("abc",)]
    assert [(day, reason) for day, reason, _ in old.quarantine()] == [(date(2023, 4, 2), "user_id_length")]
