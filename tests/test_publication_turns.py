"""Publications in one spreadsheet take turns: no two days, and no two processes, draw in it at once."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from app_types import Secret
from exceptions import SheetError
from tests.support.events_api import make_events
from tests.support.program import eventually
from warehouse import publications
from warehouse.connection import Database

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.events_api import EventsServer
    from tests.support.google import GoogleStandIn
    from tests.support.loading import Warehouse
    from tests.support.program import Program

pytestmark = pytest.mark.postgres


def test_second_publication_waits_for_the_first(
    warehouse: Warehouse, open_warehouse: Callable[[str], Warehouse]
) -> None:
    """Whoever comes second draws when the first is done."""
    other, order = open_warehouse(warehouse.url), []

    def second() -> None:
        with publications.turn(other.database, "sheet"):
            order.append("second")

    thread = threading.Thread(target=second)
    with publications.turn(warehouse.database, "sheet"):
        thread.start()
        time.sleep(0.5)
        order.append("first")
    thread.join(10)

    assert order == ["first", "second"]


def test_wait_is_bounded_and_told(warehouse: Warehouse, open_warehouse: Callable[[str], Warehouse]) -> None:
    """After the wait comes an error that says what to do; the sheet was left alone."""
    other = open_warehouse(warehouse.url)
    with (
        publications.turn(warehouse.database, "sheet"),
        pytest.raises(SheetError, match="repeat this with `report`"),
        publications.turn(other.database, "sheet", wait=0.3),
    ):
        pytest.fail("both drew at once")


def test_other_spreadsheets_do_not_wait(warehouse: Warehouse, open_warehouse: Callable[[str], Warehouse]) -> None:
    """A turn is one spreadsheet's."""
    other = open_warehouse(warehouse.url)
    with publications.turn(warehouse.database, "one"), publications.turn(other.database, "other", wait=0):
        pass


def test_turn_ends_with_an_error(warehouse: Warehouse, open_warehouse: Callable[[str], Warehouse]) -> None:
    """A publication that failed holds up nobody."""
    other = open_warehouse(warehouse.url)
    with suppress(SheetError), publications.turn(warehouse.database, "sheet"):
        raise SheetError("refused")

    with publications.turn(other.database, "sheet", wait=0):
        pass


def test_turn_ends_with_its_connection(warehouse: Warehouse) -> None:
    """A process that is gone holds up nobody, and a lost connection is no error at the end of the turn."""
    with closing(Database({"dsn": Secret(warehouse.url)})) as other, publications.turn(other, "sheet"):
        other.close()

    with publications.turn(warehouse.database, "sheet", wait=5):
        pass


def test_days_published_at_once_get_a_row_each(
    program: Program, events_api: EventsServer, google: GoogleStandIn
) -> None:
    """Two processes that would read the history at the same time do so one after the other."""
    program.use(google)
    events_api.serve(make_events(5))
    assert program.run("--date", "2023-04-01").code == 0
    google.fail(200, call="values", after=True, hang=1.5, times=2)

    running = [program.start("report", "--date", day, "--json") for day in ("2023-04-02", "2023-04-03")]
    finished = [each.finish() for each in running]

    assert [each.day["sheet"] for each in finished] == ["updated", "updated"]
    assert sorted(row[0] for row in google.spreadsheet.sheet("History").grid()[1:]) == [45017, 45018, 45019]


def test_interruption_is_heard_while_waiting(
    program: Program, events_api: EventsServer, google: GoogleStandIn, warehouse: Warehouse
) -> None:
    """Ctrl-C ends the wait for another publication at once; the events stay loaded, the sheet stays as it was."""
    program.use(google)
    events_api.serve(make_events(5))
    with publications.turn(warehouse.database, google.spreadsheet_id):
        running = program.start("--date", "2023-04-01", "--json")
        eventually(lambda: any("waiting for" in path.read_text("utf-8") for path in program.logs.glob("*")))
        running.signal(signal.SIGINT)
        finished = running.finish(10)

    assert (finished.code, finished.day["sheet"]) == (3, "failed")
    assert google.calls == []
