"""Drawing many days at once in the Google Sheet: what is asked of Google, what the sheet and the database know then."""

from __future__ import annotations

import io
from contextlib import contextmanager
from datetime import date, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast
from zoneinfo import ZoneInfo

import pytest

from app_types import Language
from console.terminal import Terminal
from messages import Messages
from pipeline.drawing import draw_left_out

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.job import Job
    from tests.support.google import GoogleStandIn
    from tests.support.loading import Warehouse

pytestmark = pytest.mark.postgres

FIRST = date(2022, 1, 1)
EPOCH = date(1899, 12, 30)
MOST_RECOMMENDED = 2_000_000
"""Bytes of one request, says Google's page on the usage limits of the Sheets API."""


def record(warehouse: Warehouse, days: int) -> None:
    """Write figures of so many days, each with as many students as its number."""
    warehouse.execute(
        "INSERT INTO etl_revisions (process_date, mode, revision, complete, unique_users, runs, submits, "
        "successful_submits, recorded_at) "
        f"SELECT date '{FIRST}' + n, 'full', 1, true, n + 1, 2 * n, n, n / 2, now() "
        f"FROM generate_series(0, {days - 1}) AS n"
    )


def job_of(warehouse: Warehouse, google: GoogleStandIn, days: int) -> Job:
    """Return a command that is about so many days and runs none of them."""

    @contextmanager
    def connected() -> Iterator[object]:
        yield warehouse.database

    job = SimpleNamespace(
        settings=SimpleNamespace(sheet=google.settings, zone=ZoneInfo("UTC"), course_names={}),
        options=SimpleNamespace(sheet=True),
        messages=Messages(Language.ENGLISH),
        terminal=Terminal(io.StringIO()),
        server=SimpleNamespace(connected=connected),
        asked=[FIRST + timedelta(days=number) for number in range(days)],
        draws_at_the_end=True,
        sheet_url=None,
    )
    return cast("Job", job)


def history(google: GoogleStandIn) -> list[tuple[date, int]]:
    """Return the days of the history, each with its number of students."""
    rows = google.spreadsheet.sheet("History").grid()[1:]
    return [(EPOCH + timedelta(days=row[0]), row[1]) for row in rows]


def expected(days: int) -> list[tuple[date, int]]:
    """Return what the history is to be."""
    return [(FIRST + timedelta(days=number), number + 1) for number in range(days)]


def test_year_is_drawn_in_a_few_requests_of_a_size_that_google_likes(
    warehouse: Warehouse, google: GoogleStandIn
) -> None:
    """Every day has its row, in order; the card shows the last one; nothing is drawn twice."""
    record(warehouse, 365)

    assert draw_left_out(job_of(warehouse, google, 365)) is None

    assert history(google) == expected(365)
    assert google.spreadsheet.sheet("Day").labelled()["Unique students"] == 365
    assert google.names().count("batchUpdate") == 2
    assert max(len(repr(call.body)) for call in google.calls) < MOST_RECOMMENDED
    calls = len(google.calls)
    assert draw_left_out(job_of(warehouse, google, 365)) is None
    assert len(google.calls) == calls


def test_what_was_drawn_before_a_failure_is_not_drawn_again(warehouse: Warehouse, google: GoogleStandIn) -> None:
    """The database knows after each request what the sheet shows."""
    record(warehouse, 365)
    google.fail(200, call="batchUpdate", after=True)  # the first one succeeds
    google.fail(400, call="batchUpdate", times=None)

    refused = draw_left_out(job_of(warehouse, google, 365))
    published = warehouse.select("SELECT count(*) FROM etl_publications WHERE target = 'sheet'")[0][0]
    google.heal()
    assert draw_left_out(job_of(warehouse, google, 365)) is None

    assert refused is not None
    assert 200 <= published < 365
    assert history(google) == expected(365)


def test_gap_in_the_sheet_is_filled_in_its_place(warehouse: Warehouse, google: GoogleStandIn) -> None:
    """Days that were loaded later stand among the others, and the card stays that of the last day."""
    record(warehouse, 10)
    warehouse.execute("DELETE FROM etl_revisions WHERE process_date BETWEEN '2022-01-03' AND '2022-01-05'")
    draw_left_out(job_of(warehouse, google, 10))
    warehouse.execute("DELETE FROM etl_revisions")
    record(warehouse, 10)

    draw_left_out(job_of(warehouse, google, 10))

    assert history(google) == expected(10)
    assert google.spreadsheet.sheet("Day").labelled()["Unique students"] == 10
