"""Alarms of the program itself, black box: who is told of what, and that no receiver can break or hold up a run."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.support.events_api import held, html, make_event, make_events
from tests.support.program import DAY, eventually, table_rows

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from tests.support.events_api import EventsServer
    from tests.support.google import GoogleStandIn
    from tests.support.program import Program
    from tests.support.receiver import Receiver


def yesterday() -> str:
    """Return yesterday's date in UTC; a test that runs at midnight asks for it once."""
    return (datetime.now(UTC).date() - timedelta(days=1)).isoformat()


@pytest.fixture
def alarmed(program: Program, receiver: Receiver, tmp_path: Path) -> Program:
    """The program with all kinds of alarms; their addresses are secrets."""
    program.settings |= {
        "NOTIFY_URLS": receiver.notify_url,
        "HEARTBEAT_URL": receiver.url,
        "METRICS_FILE": str(tmp_path / "etl.prom"),
    }
    program.secrets += ["t0kenOfTheHook", "7f0c0dd4-secret-5d5a"]
    return program


def kinds(receiver: Receiver) -> list[str]:
    """Return the kinds of the pings that came."""
    return [posted.path.partition("-5d5a")[2] for posted in receiver.pings]


def test_good_day_pings_and_writes_and_tells_nobody(
    alarmed: Program, receiver: Receiver, events_api: EventsServer, tmp_path: Path
) -> None:
    """Start and success of the daily work; the file of figures; no message."""
    events_api.serve(make_events(5))
    finished = alarmed.run("--date", yesterday(), "--json")

    assert finished.code == 0
    assert kinds(receiver) == ["/start", ""]
    assert receiver.messages == []
    assert "lms_etl_last_run_exit_code 0.0" in (tmp_path / "etl.prom").read_text("utf-8")


def test_failed_day_is_told_in_one_message(
    alarmed: Program, receiver: Receiver, events_api: EventsServer, tmp_path: Path
) -> None:
    """Message, ping of failure and figures tell the same; nothing of it holds the key."""
    events_api.always(html())
    finished = alarmed.run("--date", yesterday(), API_ATTEMPTS="1")

    assert finished.code == 1
    assert kinds(receiver) == ["/start", "/fail"]
    (message,) = receiver.messages
    assert message["title"].endswith("the run failed")
    assert "web page" in message["message"]
    assert f"python data_processor.py --date {yesterday()}" in message["message"]
    assert message["type"] == "failure"
    assert events_api.client_key not in repr(receiver.received)
    assert 'lms_etl_last_run_results{status="failed"} 1.0' in (tmp_path / "etl.prom").read_text("utf-8")


def test_range_of_older_days_is_one_message_and_no_heartbeat(
    alarmed: Program, receiver: Receiver, events_api: EventsServer
) -> None:
    """A backfill is not the daily work, whatever becomes of it; its failures are told once."""
    events_api.always(html())
    finished = alarmed.run("--from", DAY, "--to", "2023-04-03", API_ATTEMPTS="1")

    assert finished.code == 1
    assert kinds(receiver) == []
    assert [message["title"] for message in receiver.messages] == ["Learning events: trouble with 3 days"]


def test_partial_day_is_a_warning(
    alarmed: Program, receiver: Receiver, events_api: EventsServer, google: GoogleStandIn
) -> None:
    """The events are there, the sheet is not: exit code 3, a ping of failure, a warning that says what to do."""
    events_api.serve(make_events(5))
    alarmed.use(google)
    google.spreadsheet.access = "reader"
    finished = alarmed.run("--date", yesterday())

    assert finished.code == 3
    assert kinds(receiver) == ["/start", "/fail"]
    (message,) = receiver.messages
    assert message["type"] == "warning"
    assert f"Share the spreadsheet with {google.client_email} as editor" in message["message"]


def test_doubtful_day_is_told(alarmed: Program, receiver: Receiver, events_api: EventsServer) -> None:
    """A day of which half is rejected is loaded well, and nobody should use it unseen."""
    events_api.serve([*make_events(5), *(make_event(lti_user_id=None) for _ in range(5))])
    finished = alarmed.run("--date", DAY)

    assert finished.code == 0
    (message,) = receiver.messages
    assert message["title"] == "Learning events, 1 April 2023: loaded, but the figures are doubtful"
    assert "Many events were rejected: 50%" in message["message"]


def test_fill_is_daily_work_and_a_report_is_not(alarmed: Program, receiver: Receiver, events_api: EventsServer) -> None:
    """`fill` is what a timer runs; `report` asks the source for nothing, so it says nothing of yesterday's fetch."""
    events_api.serve(make_events(5))
    filled = alarmed.run("fill", "--days", "1")
    nothing_to_do = alarmed.run("fill", "--days", "1")
    reported = alarmed.run("report", "--date", yesterday())

    assert (filled.code, nothing_to_do.code, reported.code) == (0, 0, 0)
    assert kinds(receiver) == ["/start", "", "/start", ""]


@pytest.mark.parametrize("arguments", [["--test"], ["check"], ["runs"]])
def test_what_is_no_daily_work_raises_no_alarm(
    alarmed: Program, receiver: Receiver, events_api: EventsServer, tmp_path: Path, arguments: list[str]
) -> None:
    """A test run that fails, and commands that only look, disturb nobody."""
    events_api.always(html())
    days = ["--date", yesterday()] if "--test" in arguments else []
    alarmed.run(*arguments, *days, API_ATTEMPTS="1")

    assert receiver.received == []
    assert not (tmp_path / "etl.prom").exists()


@pytest.mark.parametrize("behaviour", ["hang", "drip", "refuse"])
def test_receiver_out_of_order_changes_nothing_of_a_run(
    alarmed: Program, receiver: Receiver, events_api: EventsServer, database_url: str, behaviour: str
) -> None:
    """The run ends by itself with its own code; the log has a warning for each alarm, without an address."""
    receiver.behaviour = behaviour
    events_api.serve([*make_events(5), *(make_event(lti_user_id=None) for _ in range(5))])
    finished = alarmed.run("--date", yesterday(), "--json")

    assert finished.code == 0
    assert finished.day["status"] == "ok"
    assert table_rows(database_url, "SELECT status FROM etl_runs") == [("ok",)]
    assert alarmed.last_log.count("did not work") >= 1


def test_run_that_the_system_ends_is_told(
    alarmed: Program, receiver: Receiver, events_api: EventsServer, sign: threading.Event
) -> None:
    """SIGTERM in the middle of a fetch: 143, a message, a ping of failure; the table is as it was."""
    events_api.serve(make_events(5))
    events_api.always(held(sign))
    running = alarmed.start("--date", yesterday())
    eventually(lambda: events_api.requests)
    running.signal(signal.SIGTERM)
    finished = running.finish()

    assert finished.code == 143
    assert [message["title"].rpartition(": ")[2] for message in receiver.messages] == [
        "the run was ended by the system"
    ]
    assert kinds(receiver) == ["/start", "/fail"]


def test_operator_who_breaks_off_the_telling_ends_the_telling_alone(
    alarmed: Program, receiver: Receiver, events_api: EventsServer, database_url: str
) -> None:
    """Ctrl-C while a receiver hangs: the day is loaded and the exit code says so."""
    receiver.behaviour = "hang"
    events_api.serve([*make_events(5), *(make_event(lti_user_id=None) for _ in range(5))])
    running = alarmed.start("--date", DAY)
    eventually(lambda: receiver.messages)
    running.signal(signal.SIGINT)
    finished = running.finish()

    assert finished.code == 0
    assert table_rows(database_url, "SELECT status FROM etl_runs") == [("ok",)]


def test_nobody_there_changes_nothing_of_a_run(
    alarmed: Program, events_api: EventsServer, closed_port: int, tmp_path: Path
) -> None:
    """No network, no folder: a warning each, and the run's own code."""
    events_api.always(html())
    finished = alarmed.run(
        "--date",
        yesterday(),
        API_ATTEMPTS="1",
        NOTIFY_URLS=f"json://127.0.0.1:{closed_port}/t0kenOfTheHook",
        HEARTBEAT_URL=f"http://127.0.0.1:{closed_port}/7f0c0dd4-secret-5d5a",
        METRICS_FILE=str(tmp_path / "missing" / "etl.prom"),
    )

    assert finished.code == 1
    for name in ("NOTIFY_URLS 1", "HEARTBEAT_URL", "METRICS_FILE"):
        assert f"alarm: {name} did not work" in alarmed.last_log


def test_day_that_has_not_arrived_is_told(alarmed: Program, receiver: Receiver, events_api: EventsServer) -> None:
    """`check --freshness` ends with 1 and tells people, until the day is there; the heartbeat is not its business."""
    stale = alarmed.run("check", "--freshness", "26h", "--json")
    events_api.serve(make_events(5))
    alarmed.run("--date", yesterday())
    fresh = alarmed.run("check", "--freshness", "26h")

    assert (stale.code, fresh.code) == (1, 0)
    assert json.loads(stale.out)["checks"][0]["name"] == "freshness"
    assert [message["title"] for message in receiver.messages] == ["Learning events: a day has not arrived"]
    assert kinds(receiver) == ["/start", ""]
