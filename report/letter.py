"""The content of a letter, localised: one day with its picture, or a range with a row a day; failures first."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

from app_types import Mode, RunStatus, SheetOutcome
from report.parts import CellKind, Trust

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import date, datetime

    from app_types import DayOutcome, Language
    from messages import Messages
    from report.content import DayContent
    from report.parts import Chart, Correction, Table

SHOWN_TASKS: Final = 5
SHOWN_DAYS: Final = 31
"""A month: some clients cut letters off that are longer, and nobody reads them."""

_SHOWN_FAILURES: Final = 20
_SHOWN_CORRECTIONS: Final = 10


@dataclass(frozen=True, slots=True)
class LetterFailure:
    """Days without figures for one and the same reason. `days` are empty where the letter tells of one day only."""

    days: tuple[str, ...]
    problem: str | None
    kept: str
    remedy: str | None
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LetterTask:
    """A hard task. `score` is what it was chosen by, `details` are its other figures, each with its label."""

    course: str
    task: str
    score: str
    details: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LetterDay:
    """A day among others: its content, what keeps it from being an ordinary one, and what was corrected in it."""

    content: DayContent
    remarks: tuple[str, ...]
    corrections: tuple[Correction, ...]


@dataclass(frozen=True, slots=True)
class LetterContent:
    """Everything a letter says.

    A letter tells either of one day, which is `day`, or of a range, which are `days`; days without figures stand in
    `failures`. `picture` is what is drawn of the one day. `sheet_url` is set only where the sheet is up to date,
    `sheet_warning` where it should be and is not. Of `page_attached` and `page_left_out` the composer takes the one
    that is true, or neither.
    """

    language: Language
    subject: str
    heading: str
    outcome: str | None
    partial: str | None
    failures: tuple[LetterFailure, ...]
    day: DayContent | None
    days: tuple[LetterDay, ...]
    days_left_out: str | None
    corrected_from: str
    corrected_to: str
    comparison_note: str | None
    picture: Chart | None
    hardest_score: str
    hardest: tuple[LetterTask, ...]
    warnings: tuple[str, ...]
    sheet_url: str | None
    sheet_label: str
    sheet_warning: str | None
    page_attached: str
    page_left_out: str
    footer: str


def letter_content(
    outcomes: Sequence[DayOutcome],
    contents: Sequence[DayContent | None],
    *,
    prepared_at: datetime,
    messages: Messages,
    told: Collection[date] = (),
) -> LetterContent:
    """Word the letter of one run or of a range of days.

    Args:
        outcomes: the days in order, at least one.
        contents: the content of each day, None where there is none.
        prepared_at: an aware moment in the operator's zone.
        messages: the language.
        told: days whose figures an earlier letter told; a range does not list their corrections again.
    """
    text = messages.text
    is_range = len(outcomes) > 1
    done = [content for content in contents if content]
    day = None if is_range or not done else done[0]
    corrected = [content.date for content in done if content.corrections and content.date not in told]
    listed = corrected[-_SHOWN_CORRECTIONS:]
    days = [_letter_day(content, listed, messages) for content in done] if is_range else []
    partial = _partial(done, messages, is_range=is_range)
    return LetterContent(
        language=messages.language,
        subject=_subject(outcomes, done, messages, is_partial=partial is not None),
        heading=_span([outcome.date for outcome in outcomes], messages),
        outcome=_outcome(outcomes, messages),
        partial=partial,
        failures=_failures(outcomes, contents, messages),
        day=day,
        days=tuple(days[-SHOWN_DAYS:]),
        days_left_out=_days_left_out(len(days) - SHOWN_DAYS, messages),
        corrected_from=text("was"),
        corrected_to=text("is now"),
        comparison_note=text("In brackets: the median of the same weekday in the eight weeks before.")
        if day and any(row.compared for row in day.figures)
        else None,
        picture=_picture(day),
        hardest_score=_score_label(day.hardest) if day else "",
        hardest=_hardest(day.hardest) if day else (),
        warnings=tuple(dict.fromkeys(messages.error(trouble) for o in outcomes for trouble in o.troubles)),
        sheet_url=next((o.sheet_url for o in reversed(outcomes) if o.sheet is SheetOutcome.UPDATED), None),
        sheet_label=text("Open the Google Sheet"),
        sheet_warning=text("The Google Sheet was not updated: it still shows older figures.")
        if any(outcome.sheet is SheetOutcome.FAILED for outcome in outcomes)
        else None,
        page_attached=text("The whole report of the day is attached; open it in a browser."),
        page_left_out=text("The whole report of the day is too large for a letter; it lies in the folder of reports."),
        footer=text("Prepared automatically on %(moment)s.", moment=prepared_at),
    )


def _has_failed(outcome: DayOutcome) -> bool:
    return outcome.status in {RunStatus.FAILED, RunStatus.INTERRUPTED}


def _span(days: Sequence[date], messages: Messages) -> str:
    if len(days) == 1:
        return messages.text("Learning on %(date)s", date=days[0])
    return messages.text("Learning from %(first)s to %(last)s", first=days[0], last=days[-1])


def _subject(
    outcomes: Sequence[DayOutcome], done: Sequence[DayContent], messages: Messages, *, is_partial: bool
) -> str:
    span = _span([outcome.date for outcome in outcomes], messages)
    failed = sum(map(_has_failed, outcomes))
    if len(outcomes) > 1:
        told = (
            messages.plural("%(n)s day failed", "%(n)s days failed", failed)
            if failed
            else messages.plural("%(n)s day processed", "%(n)s days processed", len(outcomes))
        )
        subject = f"{span}: {told}"
    elif failed:
        subject = messages.text("%(span)s: the run failed", span=span)
    elif not done:
        subject = messages.text("%(span)s: loaded, but not counted", span=span)
    else:
        if done[0].corrections:
            span = messages.text("%(span)s, corrected", span=span)
        subject = f"{span}: {_in_short(outcomes[0], messages)}" if outcomes[0].statistics else span
    return f"{messages.text('PARTIAL')} · {subject}" if is_partial else subject


def _in_short(outcome: DayOutcome, messages: Messages) -> str:
    """Return the two figures that stand in a subject."""
    statistics = outcome.statistics
    if statistics is None:
        return ""
    students = messages.plural("%(n)s student", "%(n)s students", statistics.unique_users)
    if statistics.success_share is None:
        return students
    return f"{students}, {messages.text('%(share)s correct', share=messages.percent(statistics.success_share, 0))}"


def _partial(done: Sequence[DayContent], messages: Messages, *, is_range: bool) -> str | None:
    """Return the label of days that are not whole; in a range it says which they are."""
    unfinished = [content for content in done if content.partial]
    if not unfinished:
        return None
    if not is_range:
        return unfinished[0].partial
    if unfinished[0].mode is Mode.TEST:
        return messages.text("PARTIAL: a test run, the first hour of each day only")
    if len(unfinished) == 1:
        return f"{messages.date(unfinished[0].date)} — {unfinished[0].partial}"
    return messages.plural(
        "PARTIAL: %(n)s of these days is not whole; its row says so",
        "PARTIAL: %(n)s of these days are not whole; their rows say so",
        len(unfinished),
    )


def _outcome(outcomes: Sequence[DayOutcome], messages: Messages) -> str | None:
    """Say how the command ended; None for one day that went well, whose figures say it."""
    failed = sum(map(_has_failed, outcomes))
    if failed == len(outcomes):
        return messages.text("The run failed. The events in the database are as they were before.")
    if failed:
        return messages.text("Some days failed; the other days are loaded.")
    if any(outcome.status is RunStatus.PARTIAL for outcome in outcomes):
        return messages.text("The events are loaded, but not everything after that succeeded.")
    if all(outcome.from_database for outcome in outcomes):
        return messages.text("The report was made again from the database.")
    return messages.text("The events are loaded and counted.") if len(outcomes) > 1 else None


def _failures(
    outcomes: Sequence[DayOutcome], contents: Sequence[DayContent | None], messages: Messages
) -> tuple[LetterFailure, ...]:
    """Gather the days that have the same to tell, so that thirty days without a source are one notice."""
    groups: dict[tuple[str | None, str, str | None, bool], list[date]] = {}
    for outcome, content in zip(outcomes, contents, strict=True):
        if content is None:
            groups.setdefault(_failure(outcome, messages), []).append(outcome.date)
    is_test = outcomes[0].mode is Mode.TEST
    return tuple(
        LetterFailure(
            days=_spans_shown([_span(span, messages) for span in _spans(days)], messages) if len(outcomes) > 1 else (),
            problem=problem,
            kept=kept,
            remedy=remedy,
            commands=tuple(
                _command(span, is_loaded=is_loaded, is_test=is_test) for span in _spans(days)[:_SHOWN_FAILURES]
            ),
        )
        for (problem, kept, remedy, is_loaded), days in groups.items()
    )


def _failure(outcome: DayOutcome, messages: Messages) -> tuple[str | None, str, str | None, bool]:
    """Return the problem, what is in the database, the remedy, and whether the events are loaded."""
    error, is_loaded = outcome.error, not _has_failed(outcome)
    return (
        messages.text(error.template, **error.fields) if error else None,
        messages.text("The events are loaded; only the report is missing.")
        if is_loaded
        else messages.text("Nothing of this day was changed in the database."),
        messages.text(error.remedy, **error.fields) if error and error.remedy else None,
        is_loaded,
    )


def _spans(days: Sequence[date]) -> list[list[date]]:
    """Cut days into stretches without a gap."""
    numbered = groupby(enumerate(days), lambda pair: pair[1].toordinal() - pair[0])
    return [[day for _, day in stretch] for _, stretch in numbered]


def _spans_shown(titles: list[str], messages: Messages) -> tuple[str, ...]:
    left_out = len(titles) - _SHOWN_FAILURES
    if left_out <= 0:
        return tuple(titles)
    more = messages.plural("and %(n)s more stretch of days", "and %(n)s more stretches of days", left_out)
    return (*titles[:_SHOWN_FAILURES], more)


def _command(span: Sequence[date], *, is_loaded: bool, is_test: bool) -> str:
    """Return the command that repeats what failed."""
    words = ["python data_processor.py", *(["report"] if is_loaded else [])]
    words.append(f"--date {span[0]}" if len(span) == 1 else f"--from {span[0]} --to {span[-1]}")
    return " ".join([*words, *(["--test"] if is_test else [])])


def _letter_day(content: DayContent, listed: Collection[date], messages: Messages) -> LetterDay:
    remarks = []
    if content.partial:
        remarks.append(content.partial)
    elif content.trust.trust is not Trust.GOOD:
        remarks.append(content.trust.text)
    if content.corrections:
        remarks.append(messages.text("corrected, revision %(revision)s", revision=content.revision))
    return LetterDay(content, tuple(remarks), content.corrections if content.date in listed else ())


def _days_left_out(number: int, messages: Messages) -> str | None:
    if number <= 0:
        return None
    return messages.plural(
        "%(n)s earlier day is not shown here; its report lies in the folder of reports.",
        "%(n)s earlier days are not shown here; their reports lie in the folder of reports.",
        number,
    )


def _picture(day: DayContent | None) -> Chart | None:
    """Return what is drawn: the hours of a day that has some, which an empty day and a test run have not."""
    if day is None or day.mode is Mode.TEST:
        return None
    return None if day.hours_chart.empty else day.hours_chart


def _score_label(table: Table) -> str:
    return next((column.label for column in table.columns if column.kind is CellKind.AVERAGE), "")


def _hardest(table: Table) -> tuple[LetterTask, ...]:
    """Return the first rows of the table of tasks, each as a few lines that fit a narrow screen."""
    tasks = []
    for row in table.rows[:SHOWN_TASKS]:
        cells = list(zip(table.columns, row, strict=True))
        names = [cell.text for _, cell in cells if cell.kind is CellKind.TEXT]
        tasks.append(
            LetterTask(
                course=names[0],
                task=names[-1],
                score=next((cell.text for _, cell in cells if cell.kind is CellKind.AVERAGE), ""),
                details=tuple(f"{column.label}: {cell.text}" for column, cell in cells if cell.kind is CellKind.COUNT),
            )
        )
    return tuple(tasks)
