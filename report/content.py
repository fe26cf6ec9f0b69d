"""The content of the report: statistics and counts turned into localised words and typed cells, once for all renderers.

A renderer (sheet, page, letter) draws what it finds here and words nothing itself, so no figure or word differs
between them. No text here comes from outside: numbers, dates and our own labels only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from operator import attrgetter
from typing import TYPE_CHECKING

from app_types import (
    Counts,
    DailyStatistics,
    Day,
    DayDetails,
    Mode,
    PublishedDay,
)
from report import tables
from report.parts import (
    Cell,
    CellKind,
    Chart,
    Column,
    Correction,
    Row,
    Table,
    TrustLine,
    average_cell,
    count_cell,
    date_cell,
    is_whole,
    moment_cell,
    share_cell,
    state_cell,
    text_cell,
)
from report.trust import compared, trust_line
from report.usual import same_weekdays

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from app_types import Language
    from messages import Messages

__all__ = [
    "Background", "Cell", "CellKind", "DayContent", "Row", "SheetTitles", "day_content", "sheet_titles",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class SheetTitles:
    """The names of our worksheets in the language of the report."""

    day: str
    history: str
    courses: str
    test: str


@dataclass(frozen=True, slots=True)
class Background:
    """What stands behind the figures of a day.

    `past` are the days before it as last published; `previous` are the day's own figures before this revision;
    `course_names` are titles by course key, in the language of the report.
    """

    details: DayDetails = field(default_factory=DayDetails)
    past: tuple[PublishedDay, ...] = ()
    revision: int = 1
    previous: DailyStatistics | None = None
    course_names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DayContent:
    """Everything that is shown of one day.

    `partial` is the unmistakable label of a day that is not whole; None where it is. `counts` is empty where
    nothing is known of the run. `history` is the day's row in the table of days; it begins with the date.
    `days` are the rows of the days before it and its own, as far back as is known; those in between without any are
    blank.
    `corrections` are the figures that differ from those published before; `correction_text` says so in a sentence and
    is None where nothing was corrected.
    """

    language: Language
    mode: Mode
    date: date
    title: str
    partial: str | None
    facts: tuple[Row, ...]
    figures: tuple[Row, ...]
    counts: tuple[Row, ...]
    warnings: tuple[str, ...]
    history: tuple[Row, ...]
    sheet_titles: SheetTitles
    figures_heading: str
    counts_heading: str
    usual_heading: str
    trust: TrustLine
    revision: int
    correction_text: str | None
    corrections: tuple[Correction, ...]
    hours: Table
    courses: Table
    hardest: Table
    unsolved: Table
    trend: Table
    days: Table
    stuck: Row
    hours_chart: Chart
    trend_chart: Chart
    success_chart: Chart
    footer: str

    @property
    def tables(self) -> tuple[Table, ...]:
        """Every table, in the order in which people read them."""
        return (self.hours, self.courses, self.hardest, self.unsolved, self.trend)

    @property
    def charts(self) -> tuple[Chart, ...]:
        """Every chart, in the order in which people look at them."""
        return (self.hours_chart, self.trend_chart, self.success_chart)


def sheet_titles(messages: Messages) -> SheetTitles:
    """Return the names of our worksheets in a language."""
    return SheetTitles(
        day=messages.text("Day"),
        history=messages.text("History"),
        courses=messages.text("Courses and tasks"),
        test=messages.text("Test (first hour)"),
    )


def day_content(
    day: Day,
    statistics: DailyStatistics,
    counts: Counts | None,
    *,
    prepared_at: datetime,
    messages: Messages,
    background: Background | None = None,
) -> DayContent:
    """Word one day.

    Args:
        day: the day and the part of it that the statistics are of.
        statistics: its figures.
        counts: those of the run, or None where there was none.
        prepared_at: an aware moment; shown in the day's zone.
        messages: the language.
        background: hours, courses, tasks, earlier days and revisions.
    """
    behind = background or Background()
    details, past, names = behind.details, behind.past, behind.course_names
    weekdays = same_weekdays(past, day.date)
    prepared = moment_cell(messages, prepared_at.astimezone(day.zone))
    date_ = date_cell(messages, day.date)
    figures = _figures(statistics, weekdays if day.complete else [], messages)
    trend_chart, success_chart = tables.trend_charts(day, statistics, past, messages)
    return DayContent(
        language=messages.language,
        mode=day.mode,
        date=day.date,
        title=messages.text("Learning on %(date)s", date=day.date),
        partial=_partial(day, messages),
        facts=(
            Row("date", messages.text("Processed date"), date_),
            Row("prepared_at", messages.text("Prepared at"), prepared),
            Row("zone", messages.text("Time zone"), text_cell(day.zone.key)),
        ),
        figures=figures,
        counts=_counts(counts, messages) if counts else (),
        warnings=_warnings(counts, messages) if counts else (),
        history=(
            Row("date", messages.text("Date"), date_),
            *figures,
            *_history_counts(counts, messages),
            Row("state", messages.text("State"), state_cell(messages, whole=is_whole(day))),
            Row("revision", messages.text("Revision"), count_cell(messages, behind.revision)),
            Row("prepared_at", messages.text("Prepared at"), prepared),
        ),
        sheet_titles=sheet_titles(messages),
        figures_heading=messages.text("Figures of the day"),
        counts_heading=messages.text("Events of this run"),
        usual_heading=messages.text("Usually, on this weekday"),
        trust=trust_line(day, counts, weekdays, messages, in_table=statistics.runs + statistics.submits),
        revision=behind.revision,
        correction_text=_correction_text(behind, messages),
        corrections=_corrections(behind.previous, statistics, messages),
        hours=tables.hours_table(details, day.zone, messages),
        courses=tables.courses_table(details, names, messages),
        hardest=tables.hardest_table(details, names, messages),
        unsolved=tables.unsolved_table(details, names, messages),
        trend=tables.trend_table(day, statistics, past, messages),
        days=_days(day, statistics, counts, behind, messages),
        stuck=Row(
            "stuck_students",
            messages.text("Stuck students (five failed submits on a task, no success)"),
            count_cell(messages, details.stuck_students),
        ),
        hours_chart=tables.hours_chart(details, day.zone, messages),
        trend_chart=trend_chart,
        success_chart=success_chart,
        footer=messages.text("Prepared automatically on %(moment)s.", moment=prepared_at.astimezone(day.zone)),
    )


_Figure = Callable[[DailyStatistics], float | None]


def _figure_kinds(messages: Messages) -> tuple[tuple[str, str, CellKind, _Figure], ...]:
    """Return what is told of every day: key, label, kind, and where the value comes from."""
    text = messages.text
    return (
        ("unique_users", text("Unique students"), CellKind.COUNT, attrgetter("unique_users")),
        ("runs", text("Code runs"), CellKind.COUNT, attrgetter("runs")),
        ("submits", text("Submits"), CellKind.COUNT, attrgetter("submits")),
        ("successful_submits", text("Successful submits"), CellKind.COUNT, attrgetter("successful_submits")),
        ("success_share", text("Share of successful submits"), CellKind.SHARE, attrgetter("success_share")),
        (
            "submits_per_user",
            text("Submits per student, on average"),
            CellKind.AVERAGE,
            attrgetter("submits_per_user"),
        ),
        (
            "successful_submits_per_user",
            text("Successful submits per student, on average"),
            CellKind.AVERAGE,
            attrgetter("successful_submits_per_user"),
        ),
    )


def _figures(statistics: DailyStatistics, weekdays: Sequence[PublishedDay], messages: Messages) -> tuple[Row, ...]:
    return tuple(
        Row(
            key,
            label,
            _typed(kind, figure(statistics), messages),
            compared(kind, figure(statistics), weekdays, figure, messages),
        )
        for key, label, kind, figure in _figure_kinds(messages)
    )


def _corrections(
    previous: DailyStatistics | None, statistics: DailyStatistics, messages: Messages
) -> tuple[Correction, ...]:
    if previous is None:
        return ()
    corrections = (
        Correction(key, label, _typed(kind, figure(previous), messages), _typed(kind, figure(statistics), messages))
        for key, label, kind, figure in _figure_kinds(messages)
    )
    return tuple(correction for correction in corrections if correction.old.text != correction.new.text)


def _correction_text(background: Background, messages: Messages) -> str | None:
    if background.previous is None:
        return None
    return messages.text(
        "Corrected: these figures replace those published before (revision %(revision)s).",
        revision=background.revision,
    )


def _typed(kind: CellKind, value: float | None, messages: Messages) -> Cell:
    if kind is CellKind.SHARE:
        return share_cell(messages, value)
    if kind is CellKind.AVERAGE:
        return average_cell(messages, value)
    return count_cell(messages, None if value is None else int(value))


def _counts(counts: Counts, messages: Messages) -> tuple[Row, ...]:
    return (
        Row("received", messages.text("Received"), count_cell(messages, counts.received)),
        Row("loaded", messages.text("Loaded"), count_cell(messages, counts.loaded)),
        Row("updated", messages.text("Corrected"), count_cell(messages, counts.updated)),
        Row("already_present", messages.text("Already present"), count_cell(messages, counts.already_present)),
        Row("rejected", messages.text("Rejected"), count_cell(messages, counts.rejected)),
        Row("defective", messages.text("With defects"), count_cell(messages, counts.defective)),
        Row(
            "missing_at_source", messages.text("Missing at the source"), count_cell(messages, counts.missing_at_source)
        ),
    )


def _history_counts(counts: Counts | None, messages: Messages) -> tuple[Row, ...]:
    blank = count_cell(messages, None)
    return (
        Row("received", messages.text("Received"), count_cell(messages, counts.received) if counts else blank),
        Row("rejected", messages.text("Rejected"), count_cell(messages, counts.rejected) if counts else blank),
        Row("defective", messages.text("With defects"), count_cell(messages, counts.defective) if counts else blank),
        Row(
            "missing_at_source",
            messages.text("Missing at the source"),
            count_cell(messages, counts.missing_at_source) if counts else blank,
        ),
    )


def _days(
    day: Day, statistics: DailyStatistics, counts: Counts | None, behind: Background, messages: Messages
) -> Table:
    """Return the table of days: all that are known up to this one, and blank rows for those in between."""
    kinds = _figure_kinds(messages)
    known = {past.date: past for past in behind.past}
    known[day.date] = PublishedDay(day.date, behind.revision, is_whole(day), statistics, counts)
    first = min(known)
    dates = [first + timedelta(days=number) for number in range((day.date - first).days + 1)]
    columns = (
        Column("date", messages.text("Date"), CellKind.DATE),
        *(Column(key, label, kind) for key, label, kind, _ in kinds),
        *(Column(row.key, row.label, CellKind.COUNT) for row in _history_counts(None, messages)),
        Column("state", messages.text("State"), CellKind.TEXT),
        Column("revision", messages.text("Revision"), CellKind.COUNT),
    )
    return Table(
        key="days",
        title=messages.text("History"),
        note="",
        empty="",
        columns=columns,
        rows=tuple((date_cell(messages, date), *_day_cells(known.get(date), kinds, messages)) for date in dates),
    )


def _day_cells(
    known: PublishedDay | None, kinds: Sequence[tuple[str, str, CellKind, _Figure]], messages: Messages
) -> tuple[Cell, ...]:
    return (
        *(_typed(kind, figure(known.statistics) if known else None, messages) for _, _, kind, figure in kinds),
        *(row.cell for row in _history_counts(known.counts if known else None, messages)),
        state_cell(messages, whole=known.complete) if known else text_cell(messages.text("not processed")),
        count_cell(messages, known.revision if known else None),
    )


def _warnings(counts: Counts, messages: Messages) -> tuple[str, ...]:
    if not counts.missing_at_source:
        return ()
    return (
        messages.plural(
            "%(n)s event of this day is in the table, but the source did not send it again; it was kept.",
            "%(n)s events of this day are in the table, but the source did not send them again; they were kept.",
            counts.missing_at_source,
        ),
    )


def _partial(day: Day, messages: Messages) -> str | None:
    if day.mode is Mode.TEST:
        return messages.text("PARTIAL: a test run, the first hour of the day only")
    if not day.complete:
        until = day.window.end.astimezone(day.zone)
        if until.date() > day.date:
            return messages.text("PARTIAL: this day was never loaded as a whole")
        return messages.text("PARTIAL: the day is not over, events until %(time)s", time=messages.time(until))
    return None
