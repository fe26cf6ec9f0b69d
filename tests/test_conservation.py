"""Conservation and idempotence in large numbers: every event is accounted for, and n runs are as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app_types import Event, Rejected
from tests.support.figures import TORTURE, TellFigures, times
from tests.test_put_data import DAYS, ITEMS, Model

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.loading import Warehouse

pytestmark = pytest.mark.timeout(600 * TORTURE)

A_WEEK = 4
"""So many batches one after the other into one table; with each the table is compared as a whole."""


def cases(count: int) -> Callable[[Any], Any]:
    """Have a test take so many generated cases, the same in every run of CI."""
    return settings(
        deadline=None,
        max_examples=times(count),
        derandomize=TORTURE == 1,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def of_day(day: Any, items: list[Event | Rejected]) -> list[Event | Rejected]:
    """Return the items that can have come in an answer about the day."""
    return [item for item in items if isinstance(item, Rejected) or item.created_at in day.window]


def test_every_event_of_two_thousand_batches_is_accounted_for(warehouse: Warehouse, figures: TellFigures) -> None:
    """Received = loaded + updated + already present + rejected, and each is what a plain model counts in the table."""
    told = {"batches": 0, "events": 0}

    @cases(500)
    @given(loads=st.lists(st.tuples(DAYS, ITEMS), min_size=A_WEEK, max_size=A_WEEK))
    def check(loads: list[tuple[Any, list[Event | Rejected]]]) -> None:
        warehouse.execute("TRUNCATE lms_activities, lms_activities_rejected")
        model = Model()
        for day, all_items in loads:
            items = of_day(day, all_items)
            before = warehouse.number("SELECT count(*) FROM lms_activities")
            counts = warehouse.load(*items, day=day)
            assert counts == model.load(day, items, reset=False)
            assert counts.received == counts.loaded + counts.updated + counts.already_present + counts.rejected
            assert warehouse.number("SELECT count(*) FROM lms_activities") == before + counts.loaded
            told["batches"] += 1
            told["events"] += counts.received
        assert warehouse.events() == set(model.table.values())
        assert warehouse.quarantine() == model.quarantine

    check()

    figures("conservation", **told)
    assert told["batches"] >= times(2_000)


def test_five_hundred_days_loaded_again_and_again_are_as_loaded_once(
    warehouse: Warehouse, figures: TellFigures
) -> None:
    """The second to fourth load of a day changes no row, not even its version, and counts every event as present."""
    told = {"days": 0, "loads": 0}

    @cases(500)
    @given(day=DAYS, all_items=ITEMS, again=st.integers(1, 3))
    def check(day: Any, all_items: list[Event | Rejected], again: int) -> None:
        warehouse.execute("TRUNCATE lms_activities, lms_activities_rejected")
        items = of_day(day, all_items)
        first = warehouse.load(*items, day=day)
        rows, quarantine = warehouse.rows(), warehouse.quarantine()
        for _ in range(again):
            counts = warehouse.load(*items, day=day)
            assert (counts.loaded, counts.updated, counts.missing_at_source) == (0, 0, 0)
            assert (counts.received, counts.rejected, counts.defective) == (
                first.received,
                first.rejected,
                first.defective,
            )
            assert (warehouse.rows(), warehouse.quarantine()) == (rows, quarantine)
        told["days"] += 1
        told["loads"] += 1 + again

    check()

    figures("idempotence", **told)
    assert told["days"] >= times(500)
