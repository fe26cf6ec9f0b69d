"""The calendar `index.html` beside the pages: what became of every day, the trend, and the way to each page."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING, Final

from report.page import CALENDAR, SUCCESS_COLUMNS, TREND_COLUMNS, figure, page_name, put_page
from report.parts import CellKind, Column, Table, count_cell, date_cell, share_cell, text_cell
from report.rendering import render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from app_types import DailyStatistics
    from messages import Messages
    from report.parts import Chart

log = logging.getLogger(__name__)

SHOWN_MONTHS: Final = 13
"""So the same month of the year before can still be seen."""
OPEN_MONTHS: Final = 4
"""The others unfold when they are asked for."""


class DayState(StrEnum):
    """What became of a day."""

    DONE = "done"
    CORRECTED = "corrected"
    PARTIAL = "partial"
    EMPTY = "empty"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class CalendarDay:
    """A day that something is known of.

    `statistics` are its figures as last published, if they were. `last_run_failed` tells that a later run than the one
    that brought them failed: they are as they were before it.
    """

    date: date
    state: DayState
    statistics: DailyStatistics | None = None
    last_run_failed: bool = False


@dataclass(frozen=True, slots=True)
class Trend:
    """The last 28 days: two charts and the table behind them."""

    volume: Chart
    success: Chart
    table: Table


@dataclass(frozen=True, slots=True)
class _Box:
    """A day in the grid. `state` is None where nothing is to be said of it: before the first day, or in the future."""

    number: int
    state: DayState | None = None
    words: str = ""
    students: str = ""
    share: str = ""
    page: str | None = None
    is_today: bool = False
    last_run_failed: bool = False


@dataclass(frozen=True, slots=True)
class _Month:
    """A month: its weeks from Monday to Sunday, None where a day belongs to another month."""

    key: str
    title: str
    weeks: tuple[tuple[_Box | None, ...], ...]


@dataclass(frozen=True, slots=True)
class _Gap:
    """Months of which no day was ever processed."""

    words: str


@dataclass(frozen=True, slots=True)
class _Sign:
    """An entry of the legend."""

    state: DayState
    word: str
    count: str


@dataclass(frozen=True)
class _Calendar:
    """Everything that is known, by date, and how it is said."""

    days: Mapping[date, CalendarDay]
    pages: Mapping[date, str]
    today: date
    messages: Messages
    words: Mapping[DayState, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", _words(self.messages))

    @property
    def first(self) -> date:
        """The first day that anything is known of."""
        return min(self.days, default=self.today)

    def state(self, day: date) -> DayState | None:
        """Return what became of a day; None before the first one and in the future."""
        if known := self.days.get(day):
            return known.state
        return DayState.NEVER if self.first <= day <= self.today else None

    def sentence(self, day: date) -> str:
        """Say what became of a day, and its two figures."""
        state, known = self.state(day), self.days.get(day)
        parts = [self.words[state]] if state else []
        if known and known.statistics:
            parts.append(self._in_short(known.statistics))
        if known and known.last_run_failed:
            parts.append(self.messages.text("a later run failed and changed nothing"))
        return ", ".join(parts)

    def _in_short(self, statistics: DailyStatistics) -> str:
        students = self.messages.plural("%(n)s student", "%(n)s students", statistics.unique_users)
        if statistics.success_share is None:
            return students
        share = self.messages.percent(statistics.success_share, 0)
        return f"{students}, {self.messages.text('%(share)s correct', share=share)}"


def write_index(
    days: Sequence[CalendarDay], trend: Trend | None, folder: Path, *, messages: Messages, prepared_at: datetime
) -> Path:
    """Write the calendar and return where it lies.

    Args:
        days: every day that something is known of.
        trend: of the 28 days up to the last one that has figures; None where there is none.
        folder: where the pages are; a day is linked to its page if that is there.
        messages: the language.
        prepared_at: an aware moment in the operator's zone; its date is today.

    Raises:
        ReportError: it could not be written; an older one is whole.
    """
    pages = {day.date: page_name(day.date) for day in days}
    calendar = _Calendar(
        days={day.date: day for day in days},
        pages={day: name for day, name in pages.items() if (folder / name).is_file()},
        today=prepared_at.date(),
        messages=messages,
    )
    months, oldest = _months(calendar) if days else ([], prepared_at.date())
    open_ = [place for place, month in enumerate(months) if isinstance(month, _Month)][:OPEN_MONTHS]
    folded_from = open_[-1] + 1 if open_ else 0
    html = render(
        "index.html.j2",
        messages=messages,
        language=messages.language,
        latest=_latest(calendar),
        months=months[:folded_from],
        earlier_months=months[folded_from:],
        notes=_notes(calendar, oldest),
        weekdays=_weekdays(messages),
        legend=_legend(calendar, oldest),
        volume=figure(trend.volume, trend.table, TREND_COLUMNS) if trend else None,
        success=figure(trend.success, trend.table, SUCCESS_COLUMNS) if trend else None,
        table=_table(calendar, oldest),
        pages={date_cell(messages, day).text: name for day, name in calendar.pages.items()},
        footer=messages.text("Prepared automatically on %(moment)s.", moment=prepared_at),
    )
    path = folder / CALENDAR
    put_page(path, html)
    log.info("calendar written: %s", path)
    return path


def _words(messages: Messages) -> dict[DayState, str]:
    return {
        DayState.DONE: messages.text("whole day"),
        DayState.CORRECTED: messages.text("corrected"),
        DayState.PARTIAL: messages.text("PARTIAL"),
        DayState.EMPTY: messages.text("no events"),
        DayState.FAILED: messages.text("failed"),
        DayState.INTERRUPTED: messages.text("interrupted"),
        DayState.NEVER: messages.text("not processed"),
    }


def _months(calendar: _Calendar) -> tuple[list[_Month | _Gap], date]:
    """Return the months, the newest first, and the first day that they show; those without a known day are one line."""
    newest = max([*calendar.days, calendar.today])
    known = {day.replace(day=1) for day in calendar.days}
    shown: list[_Month | _Gap] = []
    left, oldest = SHOWN_MONTHS, calendar.today.replace(day=1)
    for is_known, group in groupby(_months_back(newest, calendar.first), key=known.__contains__):
        months = list(group)
        if not left:
            break
        if not is_known:
            shown.append(_gap(months, calendar.messages))
            continue
        months = months[:left]
        left -= len(months)
        oldest = months[-1]
        shown.extend(_month(month, calendar) for month in months)
    return shown, oldest


def _months_back(newest: date, oldest: date) -> list[date]:
    """Return the first days of the months from one date back to another."""
    months = [newest.replace(day=1)]
    while months[-1] > oldest:
        months.append((months[-1] - timedelta(days=1)).replace(day=1))
    return months


def _month(month: date, calendar: _Calendar) -> _Month:
    following = (month + timedelta(days=31)).replace(day=1)
    boxes: list[_Box | None] = [None] * month.weekday()
    boxes += [_box(month + timedelta(days=number), calendar) for number in range((following - month).days)]
    boxes += [None] * (-len(boxes) % 7)
    weeks = tuple(tuple(boxes[start : start + 7]) for start in range(0, len(boxes), 7))
    return _Month(f"{month:%Y-%m}", _as_heading(_month_name(month, calendar.messages)), weeks)


def _box(day: date, calendar: _Calendar) -> _Box:
    messages = calendar.messages
    known = calendar.days.get(day)
    statistics = known.statistics if known else None
    share = statistics.success_share if statistics else None
    return _Box(
        number=day.day,
        state=calendar.state(day),
        words=f"{messages.date(day)}: {calendar.sentence(day)}",
        students=messages.number(statistics.unique_users) if statistics and statistics.unique_users else "",
        share=messages.percent(share, 0) if share is not None else "",
        page=calendar.pages.get(day),
        is_today=day == calendar.today,
        last_run_failed=known is not None and known.last_run_failed,
    )


def _gap(months: Sequence[date], messages: Messages) -> _Gap:
    newest, oldest = _month_name(months[0], messages), _month_name(months[-1], messages)
    if len(months) == 1:
        return _Gap(_as_heading(messages.text("%(month)s: not processed", month=newest)))
    return _Gap(_as_heading(messages.text("%(first)s – %(last)s: not processed", first=oldest, last=newest)))


def _legend(calendar: _Calendar, oldest: date) -> list[_Sign]:
    """Return every state with its sign, and how many of the days shown have it."""
    states = [known.state for day, known in calendar.days.items() if day >= oldest]
    counts = {state: states.count(state) for state in DayState}
    months = {day.replace(day=1) for day in calendar.days if day >= oldest}
    days = (month + timedelta(days=number) for month in months for number in range(31))
    counts[DayState.NEVER] = sum(
        calendar.state(day) is DayState.NEVER and day.replace(day=1) in months for day in set(days)
    )
    return [
        _Sign(state, word, calendar.messages.number(counts[state]) if counts[state] else "")
        for state, word in calendar.words.items()
    ]


def _notes(calendar: _Calendar, oldest: date) -> list[str]:
    """Say what stands in the boxes, and what is left out."""
    text = calendar.messages.text
    notes = [text("In each day: how many students there were, and the share of successful submits.")]
    if any(known.last_run_failed for day, known in calendar.days.items() if day >= oldest):
        notes.append(text("A small cross: a later run of the day failed and changed nothing."))
    if calendar.first < oldest:
        notes.append(text("Days before %(date)s are not shown.", date=oldest))
    return notes


def _latest(calendar: _Calendar) -> tuple[str, str, str | None, DayState] | None:
    """Return the last day that has figures: its title, what became of it, its page and its state."""
    day = max((day for day, known in calendar.days.items() if known.statistics), default=None)
    if day is None:
        return None
    title = calendar.messages.text("Learning on %(date)s", date=day)
    return title, calendar.sentence(day), calendar.pages.get(day), calendar.days[day].state


def _table(calendar: _Calendar, oldest: date) -> Table:
    """Return the days shown as a table, the newest first."""
    messages = calendar.messages
    days = sorted((day for day in calendar.days if day >= oldest), reverse=True)
    text = messages.text
    return Table(
        key="days",
        title=text("All days"),
        note="",
        empty=text("No day was processed yet."),
        columns=(
            Column("date", text("Date"), CellKind.DATE),
            Column("unique_users", text("Students"), CellKind.COUNT),
            Column("runs", text("Code runs"), CellKind.COUNT),
            Column("submits", text("Submits"), CellKind.COUNT),
            Column("successful_submits", text("Successful submits"), CellKind.COUNT),
            Column("success_share", text("Successful"), CellKind.SHARE),
            Column("state", text("State"), CellKind.TEXT),
        ),
        rows=tuple(
            (
                date_cell(messages, day),
                count_cell(messages, figures.unique_users if figures else None),
                count_cell(messages, figures.runs if figures else None),
                count_cell(messages, figures.submits if figures else None),
                count_cell(messages, figures.successful_submits if figures else None),
                share_cell(messages, figures.success_share if figures else None),
                text_cell(calendar.words[calendar.days[day].state]),
            )
            for day, figures in ((day, calendar.days[day].statistics) for day in days)
        ),
    )


def _month_name(month: date, messages: Messages) -> str:
    from babel.dates import format_date

    return format_date(month, "LLLL y", locale=messages.locale)


def _as_heading(text: str) -> str:
    return text[:1].upper() + text[1:]


def _weekdays(messages: Messages) -> list[tuple[str, str]]:
    """Return the days of the week, in short and in full, beginning with Monday in either language."""
    from babel.dates import get_day_names

    short, full = (get_day_names(width, "stand-alone", messages.locale) for width in ("short", "wide"))
    return [(short[number], full[number]) for number in range(7)]
