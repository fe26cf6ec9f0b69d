"""The contract, black box: rows of the fault matrix that no other test plays."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import psycopg2
import pytest

from tests.support.events_api import close_delimited, make_event, make_events
from tests.support.program import DAY, letter_text, table_rows

if TYPE_CHECKING:
    from tests.support.events_api import EventsServer
    from tests.support.google import GoogleStandIn
    from tests.support.program import Program
    from tests.support.smtp import SmtpServer

DATES = (
    "20240101",
    "2024-W01-1",
    "２０２４-01-01",
    "2024-1-1",
    "01.01.2024",
    "2024-01-01T00:00",
    "0000-01-01",
    "2024-02-30",
)


def test_time_zones_are_known_where_the_system_has_none(program: Program, events_api: EventsServer) -> None:
    """C3: on a machine without time zones those of the installed package are used."""
    events_api.serve([make_event(created_at="2023-03-31 21:00:00")])

    finished = program.run("--date", DAY, "--json", TIMEZONE="Europe/Moscow", PYTHONTZPATH="")

    assert (finished.code, finished.day["loaded"]) == (0, 1)


@pytest.mark.parametrize("way", ["asked", "option"])
def test_date_has_one_form_only(program: Program, events_api: EventsServer, way: str) -> None:
    """P1: what else Python or PostgreSQL would take for a date is refused, each time, and nothing is started."""
    for date in DATES if way == "asked" else DATES[:3]:
        finished = program.run(typed=f"{date}\nexit\n") if way == "asked" else program.run("--date", date)
        assert finished.code == (0 if way == "asked" else 2), finished.told
        assert date in finished.told

    assert events_api.requests == []


def test_day_of_rejects_alone_is_kept_in_quarantine_and_not_to_be_trusted(
    program: Program, events_api: EventsServer, mail_server: SmtpServer, database_url: str
) -> None:
    """V13: nothing is loaded, nothing is lost, the zeros are told with the share that was rejected."""
    program.use(mail_server)
    events_api.serve([make_event(lti_user_id="short", created_at=f"{DAY} {hour:02}:00:00") for hour in range(12)])

    finished = program.run("--date", DAY, "--json")

    assert (finished.code, finished.counts) == (0, (12, 0, 0, 0, 12, 0, 0))
    assert table_rows(database_url, "SELECT count(*) FROM lms_activities") == [(0,)]
    assert table_rows(database_url, "SELECT count(*) FROM lms_activities_rejected") == [(12,)]
    assert "100" in letter_text(mail_server)
    assert "rejected" in letter_text(mail_server)


def test_answer_that_is_thinner_than_what_is_there_takes_nothing_away(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer, database_url: str
) -> None:
    """A7: a cut that HTTP does not show (no length, valid JSON) is warned of, and the day keeps its events."""
    program.use(google, mail_server)
    events_api.serve(make_events(40))
    program.run("--date", DAY)
    rows = table_rows(database_url, "SELECT * FROM lms_activities ORDER BY created_at")
    events_api.always(close_delimited(keep=5))

    finished = program.run("--date", DAY, "--json", API_WINDOW_MINUTES="1440")

    assert (finished.code, finished.counts) == (0, (5, 0, 0, 5, 0, 0, 35))
    assert table_rows(database_url, "SELECT * FROM lms_activities ORDER BY created_at") == rows
    assert finished.day["statistics"]["runs"] == 24
    assert "a cut one might go unnoticed" in program.last_log
    assert "the source did not send, kept: 35" in program.last_log
    assert (finished.day["sheet"], finished.day["mail"]) == ("unchanged", "unchanged")
    assert "kept: 35" in finished.told


@pytest.mark.parametrize("table", ["lms_activities_rejected", "etl_runs"], ids=["quarantine", "ledger"])
def test_first_load_that_fails_after_its_events_leaves_none_of_them(
    program: Program, events_api: EventsServer, database_url: str, table: str
) -> None:
    """L3: on an empty day, too, events that were copied already go when quarantine or ledger cannot be written."""
    program.run("--date", "2023-03-31")
    when = "BEFORE INSERT" if table == "lms_activities_rejected" else "BEFORE UPDATE OF loaded"
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;"
            f"CREATE TRIGGER refuse {when} ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
        connection.commit()
    events_api.serve([*make_events(12), make_event(lti_user_id="short", created_at=f"{DAY} 01:00:00")])

    finished = program.run("--date", DAY, "--json")

    assert finished.code == 1
    for name in ("lms_activities", "lms_activities_rejected"):
        assert table_rows(database_url, f"SELECT count(*) FROM {name}") == [(0,)]
