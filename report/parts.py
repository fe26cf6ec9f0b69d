"""The parts that the content of a report is made of: typed cells, rows, tables, charts, and how they are worded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from app_types import Mode

if TYPE_CHECKING:
    from datetime import date, datetime

    from app_types import Day
    from messages import Messages
    from report.usual import Level


class CellKind(StrEnum):
    """How a value is to be shown."""

    COUNT = "count"
    SHARE = "share"
    AVERAGE = "average"
    DATE = "date"
    MOMENT = "moment"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Cell:
    """A typed value and its localised text.

    `value` is None where there is nothing to tell (a share on a day without submits); a share is 0 to 1;
    a moment is aware, in the operator's zone.
    """

    kind: CellKind
    value: float | date | datetime | str | None
    text: str


@dataclass(frozen=True, slots=True)
class Compared:
    """A figure against what is usual: the median of earlier days, an arrow and a plain word, localised."""

    median: Cell
    level: Level
    arrow: str
    word: str


@dataclass(frozen=True, slots=True)
class Row:
    """A labelled cell; `key` is stable over languages. `compared` is None where nothing is known of what is usual."""

    key: str
    label: str
    cell: Cell
    compared: Compared | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; `key` is stable over languages."""

    key: str
    label: str
    kind: CellKind


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a caption.

    `note` says how it was made (a threshold, what is left out) and may be empty; `empty` is what stands in the table's
    place when there are no rows.
    """

    key: str
    title: str
    note: str
    empty: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Series:
    """One line or one set of bars; a value is None where there is nothing to draw. `key` is stable over languages."""

    key: str
    label: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Tick:
    """A named place on the axis of values."""

    value: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart over equal steps (hours, days).

    `summary` tells in a sentence what the picture shows, for those who do not see it. `share` means that the values
    are shares of 0 to 1. `named` are the steps whose names the axis shows where not all have room, `ticks` the places
    named on the other axis; `partial` are the steps that only a part of the events is known of, called `partial_label`.
    """

    key: str
    title: str
    summary: str
    x_label: str
    x: tuple[str, ...]
    series: tuple[Series, ...]
    share: bool = False
    named: tuple[int, ...] = ()
    ticks: tuple[Tick, ...] = ()
    partial: tuple[int, ...] = ()
    partial_label: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw; a share of nought is something, a number of nought is not."""
        values = [value for series in self.series for value in series.values if value is not None]
        return not values if self.share else not any(values)


class Trust(StrEnum):
    """How far the figures of a day may be trusted."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class TrustLine:
    """The one sentence that says whether the figures may be used."""

    trust: Trust
    text: str


@dataclass(frozen=True, slots=True)
class Correction:
    """A figure that changed since it was last published."""

    key: str
    label: str
    old: Cell
    new: Cell


NOTHING = "—"


def count_cell(messages: Messages, value: int | None) -> Cell:
    """Return a number of things."""
    return Cell(CellKind.COUNT, value, NOTHING if value is None else messages.number(value))


def share_cell(messages: Messages, value: float | None) -> Cell:
    """Return a share of 0 to 1, written as percent."""
    return Cell(CellKind.SHARE, value, NOTHING if value is None else messages.percent(value))


def average_cell(messages: Messages, value: float | None) -> Cell:
    """Return an average, with at most two decimals."""
    return Cell(CellKind.AVERAGE, value, NOTHING if value is None else messages.number(value, 2))


def text_cell(text: str) -> Cell:
    """Return a text of our own."""
    return Cell(CellKind.TEXT, text, text)


def date_cell(messages: Messages, day: date) -> Cell:
    """Return a date."""
    return Cell(CellKind.DATE, day, messages.date(day))


def moment_cell(messages: Messages, moment: datetime) -> Cell:
    """Return an aware moment in the operator's zone."""
    return Cell(CellKind.MOMENT, moment, messages.moment(moment))


def state_cell(messages: Messages, *, whole: bool) -> Cell:
    """Return the word for a day that is whole, or not."""
    return text_cell(messages.text("whole day") if whole else messages.text("PARTIAL"))


def is_whole(day: Day) -> bool:
    """Tell whether the figures are those of all of a day: of a test run they never are."""
    return day.complete and day.mode is Mode.FULL
