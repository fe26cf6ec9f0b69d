"""Publications: equal figures are not published again."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from app_types import DailyStatistics, Figures, Mode
from tests.support.loading import APRIL_1
from warehouse import publications
from warehouse.publications import Target

if TYPE_CHECKING:
    from tests.support.loading import Warehouse

pytestmark = pytest.mark.postgres

FIGURES = Figures(Mode.FULL, complete=True, statistics=DailyStatistics(10, 20, 30, 15))


def record(warehouse: Warehouse, figures: Figures = FIGURES, **values: Any) -> None:
    """Remember figures of 1 April as published in the sheet "A", unless told otherwise."""
    defaults: dict[str, Any] = {"day": APRIL_1, "target": Target.SHEET, "destination": "A", "run_id": None}
    publications.record(warehouse.database, figures=figures, **(defaults | values))


def known(warehouse: Warehouse, figures: Figures = FIGURES, **values: Any) -> bool:
    """Tell whether figures of 1 April stand in the sheet "A", unless told otherwise."""
    defaults: dict[str, Any] = {"day": APRIL_1, "target": Target.SHEET, "destination": "A"}
    return publications.is_published(warehouse.database, figures=figures, **(defaults | values))


def test_nothing_is_published_before_it_was(warehouse: Warehouse) -> None:
    """A day of which nothing was recorded is to be published."""
    assert not known(warehouse)


def test_equal_figures_are_known(warehouse: Warehouse) -> None:
    """What was recorded is published, for every run that comes to the same figures."""
    record(warehouse, run_id=7)

    assert known(warehouse)
    assert known(warehouse, replace(FIGURES, statistics=DailyStatistics(10, 20, 30, 15)))


@pytest.mark.parametrize(
    "other",
    [
        {"statistics": DailyStatistics(11, 20, 30, 15)},
        {"statistics": DailyStatistics(10, 21, 30, 15)},
        {"statistics": DailyStatistics(10, 20, 31, 15)},
        {"statistics": DailyStatistics(10, 20, 30, 16)},
        {"complete": False},
        {"mode": Mode.TEST},
    ],
    ids=["users", "runs", "submits", "successful", "incomplete", "test"],
)
def test_other_figures_are_not_known(warehouse: Warehouse, other: dict[str, Any]) -> None:
    """Any figure that differs, and a day now complete, is news."""
    record(warehouse)

    assert not known(warehouse, replace(FIGURES, **other))


@pytest.mark.parametrize(
    "where", [{"day": date(2023, 4, 2)}, {"target": Target.MAIL}, {"destination": "B"}], ids=["day", "target", "sheet"]
)
def test_figures_elsewhere_are_not_known(warehouse: Warehouse, where: dict[str, Any]) -> None:
    """Another day, the letter and another spreadsheet have not seen them."""
    record(warehouse)

    assert not known(warehouse, **where)


def test_last_figures_count(warehouse: Warehouse) -> None:
    """Corrected figures take the place of the old ones; when they come back, they are news again."""
    corrected = replace(FIGURES, statistics=DailyStatistics(10, 20, 30, 16))
    record(warehouse)
    record(warehouse, corrected)

    assert known(warehouse, corrected)
    assert not known(warehouse)


def test_other_spreadsheet_takes_the_place_of_the_first(warehouse: Warehouse) -> None:
    """Back at the first spreadsheet, it has to be brought up to date again: nobody knows what it shows."""
    record(warehouse)
    record(warehouse, destination="B")

    assert known(warehouse, destination="B")
    assert not known(warehouse)


def test_test_run_does_not_touch_what_is_known_of_the_day(warehouse: Warehouse) -> None:
    """A test run has a worksheet of its own, and its own memory."""
    record(warehouse)
    record(warehouse, replace(FIGURES, mode=Mode.TEST, complete=False))

    assert known(warehouse)
    assert known(warehouse, replace(FIGURES, mode=Mode.TEST, complete=False))


def test_targets_are_remembered_apart(warehouse: Warehouse) -> None:
    """A sheet that was updated while the letter failed leaves the letter to be sent."""
    record(warehouse)

    assert known(warehouse)
    assert not known(warehouse, target=Target.MAIL, destination="")
    record(warehouse, target=Target.MAIL, destination="")
    assert known(warehouse, target=Target.MAIL, destination="")


def test_publication_tells_its_run_and_moment(warehouse: Warehouse) -> None:
    """Who looks into the database sees which run published what, and when."""
    record(warehouse, run_id=3)
    record(warehouse, run_id=4)

    ((run_id, fresh),) = warehouse.select("SELECT run_id, now() - published_at < '1 minute' FROM etl_publications")
    assert (run_id, fresh) == (4, True)
