"""The content of the report: statistics and counts turned into localised words and typed cells, once for all renderers.

A renderer (sheet, page, letter) draws what it finds here and words nothing itself, so no figure or word differs
between them. No text here comes from outside: numbers, dates and our own labels only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from app_types import Counts, DailyStatistics, Day, DayOutcome, Mode, RunStatus, SheetOutcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app_types import Language
    from messages import Messages


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
class Row:
    """A labelled cell; `key` is stable over languages."""

    key: str
    label: str
    cell: Cell


@dataclass(frozen=True, slots=True)
class SheetTitles:
    """The names of our worksheets in the language of the report."""

    day: str
    history: str
    test: str


@dataclass(frozen=True, slots=True)
class DayContent:
    """Everything that is shown of one day.

    `partial` is the unmistakable label of a day that is not whole; None where it is. `counts` is empty where
    nothing is known of the run. `history` is the day's row in the table of days; it begins with the date.
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


@dataclass(frozen=True, slots=True)
class LetterDay:
    """One day in a letter: its content, or what went wrong."""

    title: str
    content: DayContent | None
    problem: str | None
    kept: str | None
    remedy: str | None
    command: str | None


@dataclass(frozen=True, slots=True)
class LetterContent:
    """Everything a letter says. `sheet_url` is set only where the sheet is up to date."""

    language: Language
    subject: str
    heading: str
    outcome: str
    partial: str | None
    days: tuple[LetterDay, ...]
    warnings: tuple[str, ...]
    sheet_url: str | None
    sheet_label: str
    footer: str


def sheet_titles(messages: Messages) -> SheetTitles:
    """Return the names of our worksheets in a language."""
    return SheetTitles(
        day=messages.text("Day"), history=messages.text("History"), test=messages.text("Test (first hour)")
    )


def day_content(
    day: Day,
    statistics: DailyStatistics,
    counts: Counts | None,
    *,
    prepared_at: datetime,
    messages: Messages,
) -> DayContent:
    """Word one day.

    Args:
        day: the day and the part of it that the statistics are of.
        statistics: its figures.
        counts: those of the run, or None where there was none.
        prepared_at: an aware moment; shown in the day's zone.
        messages: the language.
    """
    prepared = _moment(messages, prepared_at.astimezone(day.zone))
    date_cell = Cell(CellKind.DATE, day.date, messages.date(day.date))
    figures = _figures(statistics, messages)
    count_rows = _counts(counts, messages) if counts else ()
    return DayContent(
        language=messages.language,
        mode=day.mode,
        date=day.date,
        title=messages.text("Learning on %(date)s", date=day.date),
        partial=_partial(day, messages),
        facts=(
            Row("date", messages.text("Processed date"), date_cell),
            Row("prepared_at", messages.text("Prepared at"), prepared),
            Row("zone", messages.text("Time zone"), Cell(CellKind.TEXT, day.zone.key, day.zone.key)),
        ),
        figures=figures,
        counts=count_rows,
        warnings=_warnings(counts, messages) if counts else (),
        history=(
            Row("date", messages.text("Date"), date_cell),
            *figures,
            *_history_counts(counts, messages),
            Row("state", messages.text("State"), _state(day, messages)),
            Row("prepared_at", messages.text("Prepared at"), prepared),
        ),
        sheet_titles=sheet_titles(messages),
        figures_heading=messages.text("Figures of the day"),
        counts_heading=messages.text("Events of this run"),
    )


def letter_content(
    outcomes: Sequence[DayOutcome],
    contents: Sequence[DayContent | None],
    *,
    prepared_at: datetime,
    messages: Messages,
) -> LetterContent:
    """Word the letter of one run or of a range of days.

    Args:
        outcomes: the days in order, at least one.
        contents: the content of each day, None where the day failed.
        prepared_at: an aware moment in the operator's zone.
        messages: the language.
    """
    first, last = outcomes[0], outcomes[-1]
    failed = [outcome for outcome in outcomes if outcome.status in {RunStatus.FAILED, RunStatus.INTERRUPTED}]
    incomplete = next((content.partial for content in contents if content and content.partial), None)
    warnings = dict.fromkeys(
        [
            *(messages.error(trouble) for outcome in outcomes for trouble in outcome.troubles),
            *(_sheet_warnings(outcomes, messages)),
        ]
    )
    sheet_url = next((o.sheet_url for o in reversed(outcomes) if o.sheet is SheetOutcome.UPDATED), None)
    return LetterContent(
        language=messages.language,
        subject=_subject(first, last, outcomes, failed, incomplete, messages),
        heading=_span(first, last, messages),
        outcome=_outcome(outcomes, failed, messages),
        partial=incomplete,
        days=tuple(_letter_day(o, c, messages) for o, c in zip(outcomes, contents, strict=True)),
        warnings=tuple(warnings),
        sheet_url=sheet_url,
        sheet_label=messages.text("Open the Google Sheet"),
        footer=messages.text("Prepared automatically on %(moment)s.", moment=prepared_at),
    )


def _figures(statistics: DailyStatistics, messages: Messages) -> tuple[Row, ...]:
    return (
        Row("unique_users", messages.text("Unique students"), _count(messages, statistics.unique_users)),
        Row("runs", messages.text("Code runs"), _count(messages, statistics.runs)),
        Row("submits", messages.text("Submits"), _count(messages, statistics.submits)),
        Row("successful_submits", messages.text("Successful submits"), _count(messages, statistics.successful_submits)),
        Row("success_share", messages.text("Share of successful submits"), _share(messages, statistics.success_share)),
        Row(
            "submits_per_user",
            messages.text("Submits per student, on average"),
            _average(messages, statistics.submits_per_user),
        ),
        Row(
            "successful_submits_per_user",
            messages.text("Successful submits per student, on average"),
            _average(messages, statistics.successful_submits_per_user),
        ),
    )


def _counts(counts: Counts, messages: Messages) -> tuple[Row, ...]:
    return (
        Row("received", messages.text("Received"), _count(messages, counts.received)),
        Row("loaded", messages.text("Loaded"), _count(messages, counts.loaded)),
        Row("updated", messages.text("Corrected"), _count(messages, counts.updated)),
        Row("already_present", messages.text("Already present"), _count(messages, counts.already_present)),
        Row("rejected", messages.text("Rejected"), _count(messages, counts.rejected)),
        Row("defective", messages.text("With defects"), _count(messages, counts.defective)),
        Row("missing_at_source", messages.text("Missing at the source"), _count(messages, counts.missing_at_source)),
    )


def _history_counts(counts: Counts | None, messages: Messages) -> tuple[Row, ...]:
    blank = Cell(CellKind.COUNT, None, "—")
    return (
        Row("received", messages.text("Received"), _count(messages, counts.received) if counts else blank),
        Row("rejected", messages.text("Rejected"), _count(messages, counts.rejected) if counts else blank),
        Row("defective", messages.text("With defects"), _count(messages, counts.defective) if counts else blank),
        Row(
            "missing_at_source",
            messages.text("Missing at the source"),
            _count(messages, counts.missing_at_source) if counts else blank,
        ),
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


def _state(day: Day, messages: Messages) -> Cell:
    text = messages.text("whole day") if day.complete and day.mode is Mode.FULL else messages.text("PARTIAL")
    return Cell(CellKind.TEXT, text, text)


def _count(messages: Messages, value: int) -> Cell:
    return Cell(CellKind.COUNT, value, messages.number(value))


def _share(messages: Messages, value: float | None) -> Cell:
    return Cell(CellKind.SHARE, value, "—" if value is None else messages.percent(value))


def _average(messages: Messages, value: float | None) -> Cell:
    return Cell(CellKind.AVERAGE, value, "—" if value is None else messages.number(value, 2))


def _moment(messages: Messages, moment: datetime) -> Cell:
    return Cell(CellKind.MOMENT, moment, messages.moment(moment))


def _span(first: DayOutcome, last: DayOutcome, messages: Messages) -> str:
    if first.date == last.date:
        return messages.text("Learning on %(date)s", date=first.date)
    return messages.text("Learning from %(first)s to %(last)s", first=first.date, last=last.date)


def _subject(
    first: DayOutcome,
    last: DayOutcome,
    outcomes: Sequence[DayOutcome],
    failed: Sequence[DayOutcome],
    partial: str | None,
    messages: Messages,
) -> str:
    span = _span(first, last, messages)
    if failed and len(outcomes) == 1:
        return messages.text("%(span)s: the run failed", span=span)
    if failed:
        problem = messages.plural("%(n)s day failed", "%(n)s days failed", len(failed))
        return f"{span}: {problem}"
    if len(outcomes) > 1:
        done = messages.plural("%(n)s day processed", "%(n)s days processed", len(outcomes))
        return f"{span}: {done}"
    statistics = last.statistics
    label = messages.text("PARTIAL") + " · " if partial else ""
    if statistics is None:
        return f"{label}{span}"
    students = messages.plural("%(n)s student", "%(n)s students", statistics.unique_users)
    if statistics.success_share is None:
        return f"{label}{span}: {students}"
    correct = messages.text("%(share)s correct", share=messages.percent(statistics.success_share, 0))
    return f"{label}{span}: {students}, {correct}"


def _outcome(outcomes: Sequence[DayOutcome], failed: Sequence[DayOutcome], messages: Messages) -> str:
    if failed and len(failed) == len(outcomes):
        return messages.text("The run failed. The events in the database are as they were before.")
    if failed:
        return messages.text("Some days failed; the other days are loaded.")
    if any(outcome.status is RunStatus.PARTIAL for outcome in outcomes):
        return messages.text("The events are loaded, but not everything after that succeeded.")
    if all(outcome.from_database for outcome in outcomes):
        return messages.text("The report was made again from the database.")
    return messages.text("The events are loaded and counted.")


def _sheet_warnings(outcomes: Sequence[DayOutcome], messages: Messages) -> list[str]:
    if any(outcome.sheet is SheetOutcome.FAILED for outcome in outcomes):
        return [messages.text("The Google Sheet was not updated: it still shows older figures.")]
    return []


def _letter_day(outcome: DayOutcome, content: DayContent | None, messages: Messages) -> LetterDay:
    if content is not None:
        return LetterDay(content.title, content, None, None, None, None)
    command = f"python data_processor.py --date {outcome.date.isoformat()}"
    if outcome.mode is Mode.TEST:
        command += " --test"
    error = outcome.error
    return LetterDay(
        title=messages.text("Learning on %(date)s", date=outcome.date),
        content=None,
        problem=messages.text(error.template, **error.fields) if error else None,
        kept=messages.text("Nothing of this day was changed in the database."),
        remedy=messages.text(error.remedy, **error.fields) if error and error.remedy else None,
        command=command,
    )
