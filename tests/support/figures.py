"""Figures of the endurance suites, told at the end of the run: kills before, in and after the load, polls, cuts.

A test tells them by `figures(kills=50, ...)`; equal names of one suite are added up, over all its parts and workers.
`TORTURE=10` in the environment multiplies how often each suite strikes (`make torture`).
"""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PROPERTY = "figures"
TORTURE = int(os.environ.get("TORTURE") or "1")
"""How many times the figures of CI."""


def times(number: int) -> int:
    """Return a figure of CI as often as this run wants it."""
    return number * TORTURE


class TellFigures(Protocol):
    """Tells figures of a suite."""

    def __call__(self, suite: str, **numbers: float) -> None:
        """Add them to what the suite has told already; a name that begins with `most_` keeps the greatest instead."""


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> TellFigures:
    """Return a function that tells figures for the summary at the end of the run."""

    def tell(suite: str, **numbers: float) -> None:
        record_property(_PROPERTY, [suite, numbers])

    return tell


def _added(told: list[tuple[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    suites: dict[str, dict[str, float]] = defaultdict(dict)
    for suite, numbers in told:
        sums = suites[suite]
        for name, number in numbers.items():
            before = sums.get(name, 0)
            sums[name] = max(before, number) if name.startswith("most_") else before + number
    return suites


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures of every suite that told any."""
    told = [
        (str(value[0]), value[1])
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, value in report.user_properties
        if name == _PROPERTY
    ]
    if not told:
        return
    terminalreporter.section("endurance" + (f", {TORTURE} times the figures of CI" if TORTURE > 1 else ""))
    for suite, numbers in _added(told).items():
        parts = (
            f"{name.replace('_', ' ')} {number:,.{0 if number == int(number) else 1}f}"
            for name, number in numbers.items()
        )
        terminalreporter.write_line(f"{suite}: {', '.join(parts)}")
