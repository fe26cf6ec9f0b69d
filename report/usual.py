"""What is usual: the same weekday in the eight weeks before, by median and median absolute deviation.

Both are robust: one odd week among eight moves neither the middle nor the bounds by much. Numbers of things also
vary by chance, the more the fewer there are: five students where four are usual is no news.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from math import sqrt
from statistics import median
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import date

    from app_types import DailyStatistics, PublishedDay

WEEKS: Final = 8
FEWEST: Final = 4
"""Fewer earlier days say nothing about what is usual."""

_TO_DEVIATION: Final = 1.4826  # makes the MAD of normally spread values their standard deviation
_SMALLEST_SHARE: Final = 0.03  # days that are all but equal must not make a small step look large
_ABOVE: Final = 2.0
_FAR: Final = 4.0


class Level(StrEnum):
    """How a figure stands to what is usual."""

    FAR_BELOW = "far_below"
    BELOW = "below"
    USUAL = "usual"
    ABOVE = "above"
    FAR_ABOVE = "far_above"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A figure against the median of the days before."""

    median: float
    level: Level
    days: int


def same_weekdays(past: Iterable[PublishedDay], day: date) -> list[PublishedDay]:
    """Return the whole days among `past` that fall on the weekday of `day`, within the eight weeks before."""
    dates = {day - timedelta(weeks=week) for week in range(1, WEEKS + 1)}
    return [published for published in past if published.date in dates and published.complete]


def compare(
    value: float | None,
    days: Sequence[PublishedDay],
    figure: Callable[[DailyStatistics], float | None],
    *,
    counted: bool,
) -> Comparison | None:
    """Compare a figure with those of earlier days; None where fewer than four of them have it."""
    earlier = [known for known in (figure(day.statistics) for day in days) if known is not None]
    return compare_values(value, earlier, counted=counted)


def compare_values(value: float | None, earlier: Sequence[float], *, counted: bool) -> Comparison | None:
    """Compare a value with earlier ones; None where there are fewer than four.

    Args:
        value: what to compare.
        earlier: what it is compared with.
        counted: whether they are numbers of things, and not shares or averages.
    """
    if value is None or len(earlier) < FEWEST:
        return None
    middle = median(earlier)
    spread = _TO_DEVIATION * median(abs(known - middle) for known in earlier)
    chance = sqrt(max(middle, 1.0)) if counted else 0.0
    spread = max(spread, _SMALLEST_SHARE * abs(middle), chance)
    distance = value - middle
    if abs(distance) <= _ABOVE * spread:
        level = Level.USUAL
    elif abs(distance) <= _FAR * spread:
        level = Level.ABOVE if distance > 0 else Level.BELOW
    else:
        level = Level.FAR_ABOVE if distance > 0 else Level.FAR_BELOW
    return Comparison(middle, level, len(earlier))
