"""Clocks and interpreters that differ: a wrong time is told, and neither zone nor flags of Python move a figure."""

from __future__ import annotations

import ast
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import get_data
from app_types import Window
from source.decoding import decode
from source.http_client import SourceClient
from tests.support.events_api import make_event, make_events
from tests.support.program import DAY, table_rows

if TYPE_CHECKING:
    from tests.support.events_api import Behaviour, EventsServer, Exchange
    from tests.support.program import Program

HOME = Path(__file__).resolve().parent.parent
NOON = Window(datetime(2023, 4, 1, 12, tzinfo=UTC), datetime(2023, 4, 1, 13, tzinfo=UTC))
WARNING = "the clocks of this machine and of the source differ by %d min"
ZONES = (
    "UTC",
    "Europe/Moscow",
    "America/St_Johns",  # half an hour, and summer time
    "Pacific/Kiritimati",  # UTC+14
    "Pacific/Pago_Pago",  # UTC-11
    "Asia/Kathmandu",  # three quarters of an hour
)
AGES_OF_FILES = ("operations/retention.py",)
"""What asks for the time of day because files bear it."""
EVENTS = "SELECT created_at AT TIME ZONE 'UTC', user_id, attempt_type, is_correct FROM lms_activities ORDER BY 1, 2, 3"


def dated(difference: timedelta, **headers: str) -> Behaviour:
    """Answer well, by a clock that differs from ours."""

    def behave(exchange: Exchange) -> None:
        code, body = exchange.good_answer()
        now = datetime.now(UTC) + difference
        exchange.respond(code, body, {"Date": format_datetime(now, usegmt=True), **headers})

    return behave


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings about clocks."""
    return [record.getMessage() for record in caplog.records if str(record.msg).startswith(WARNING)]


@pytest.mark.parametrize("minutes", [6, -6, 60 * 24], ids=["ahead", "behind", "a day ahead"])
def test_source_with_another_time_is_warned_of_once_a_fetch(
    events_api: EventsServer, caplog: pytest.LogCaptureFixture, minutes: int
) -> None:
    """More than five minutes between the clocks: one of them is wrong, and "yesterday" may be; the fetch goes on."""
    events_api.serve(make_events(24))
    events_api.always(dated(timedelta(minutes=minutes)))

    for _ in range(2):
        batches = list(get_data.fetch(events_api.settings(concurrency=4), NOON))
        assert sum(batch.received for batch in batches) == 1

    assert len(warnings_of(caplog)) == 2
    assert all((WARNING % abs(minutes)) in told for told in warnings_of(caplog))


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(dated(timedelta(minutes=4)), id="four minutes"),
        pytest.param(dated(timedelta(hours=2), Age="7200"), id="from a cache"),
        pytest.param(dated(timedelta(), Date="yesterday"), id="no date"),
        pytest.param(dated(timedelta(), Date="Sat, 99 Xxx 99999 99:99:99 GMT"), id="no such date"),
        pytest.param(dated(timedelta(), Date="Fri, 31 Dec 9999 23:59:59 -1400"), id="after the calendar"),
        pytest.param(dated(timedelta(), Date=""), id="empty"),
    ],
)
def test_source_with_our_time_or_none_that_says_anything_is_not_warned_of(
    events_api: EventsServer, caplog: pytest.LogCaptureFixture, behaviour: Behaviour
) -> None:
    """Small differences are normal, and a header that is no date of now tells nothing."""
    events_api.always(behaviour)

    with closing(SourceClient(events_api.settings(), time.monotonic() + 20, threading.Event())) as client:
        assert len(client.ask(NOON, decode).items) == 0

    assert warnings_of(caplog) == []


def test_wrong_clock_reaches_the_operator(program: Program, events_api: EventsServer) -> None:
    """The warning stands in the log and on the console of a run, in the operator's language."""
    events_api.serve(make_events(12))
    events_api.always(dated(timedelta(hours=-2)))

    finished = program.run("--date", DAY)

    assert finished.code == 0
    assert finished.told.count("the clocks of this machine and of the source differ by") == 1
    assert program.last_log.count("the clocks of this machine and of the source differ by") == 1


def test_no_deadline_hangs_on_the_clock_of_the_wall() -> None:
    """Waits and deadlines are counted by `time.monotonic`: a clock that jumps ends nothing and prolongs nothing."""
    found = []
    for path in HOME.rglob("*.py"):
        place = path.relative_to(HOME)
        if place.parts[0] in {"tests", "benchmarks", "tools"} or place.parts[0].startswith("."):
            continue
        found += [
            f"{place}:{node.lineno}"
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Attribute)
            and node.attr == "time"
            and isinstance(node.value, ast.Name)
            and node.value.id == "time"
        ]

    assert [place for place in found if not place.startswith(AGES_OF_FILES)] == []


def test_zone_of_the_machine_moves_neither_rows_nor_figures(
    program: Program, events_api: EventsServer, database_url: str
) -> None:
    """`TZ` of six corners of the world, a day of 23 hours: the first run loads it, the others find it unchanged."""
    day = "2023-03-26"  # clocks go forward in Berlin
    inside = ["2023-03-25 23:00:00", "2023-03-26 00:59:59.999999", "2023-03-26 01:00:00", "2023-03-26 21:59:59.999999"]
    events_api.serve([make_event(created_at=moment) for moment in [*inside, "2023-03-26 22:00:00"]])

    days = [program.run("--date", day, "--json", TIMEZONE="Europe/Berlin", TZ=zone).day for zone in ZONES]

    assert [(day["loaded"], day["already_present"], day["rejected"]) for day in days] == [(4, 0, 0)] + [(0, 4, 0)] * 5
    assert all(day["statistics"] == days[0]["statistics"] for day in days)
    rows = table_rows(database_url, EVENTS)
    assert [str(row[0]) for row in rows] == inside
    windows = {(request.query["start"], request.query["end"]) for request in events_api.requests}
    assert len(windows) == len(events_api.requests) / len(ZONES)


@pytest.mark.parametrize(
    ("variable", "value"), [("PYTHONOPTIMIZE", "2"), ("PYTHONWARNINGS", "error"), ("PYTHONDEVMODE", "1")]
)
def test_flags_of_python_change_nothing(
    program: Program, events_api: EventsServer, database_url: str, variable: str, value: str
) -> None:
    """No check is an `assert` that `-O` removes, and no warning of a library ends a run or shows on the screen."""
    events_api.serve([*make_events(12), make_event(lti_user_id="short", created_at=f"{DAY} 01:00:00")])

    finished = program.run("--date", DAY, "--json", **{variable: value})
    refused = program.run("--date", DAY, "--json", API_CLIENT_KEY="another", **{variable: value})

    assert (finished.code, finished.counts) == (0, (13, 12, 0, 0, 1, 0, 0))
    assert (refused.code, refused.day["status"]) == (1, "failed")
    assert table_rows(database_url, "SELECT count(*) FROM lms_activities") == [(12,)]
