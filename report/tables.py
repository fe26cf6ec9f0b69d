"""The tables and charts of a day: hours, courses, tasks, and the trend of the last 28 days."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from app_types import Mode
from report.parts import (
    NOTHING,
    CellKind,
    Chart,
    Column,
    Series,
    Table,
    Tick,
    average_cell,
    count_cell,
    date_cell,
    share_cell,
    text_cell,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from zoneinfo import ZoneInfo

    from app_types import CourseFigures, DailyStatistics, Day, DayDetails, PublishedDay, TaskFigures
    from messages import Messages
    from report.parts import Cell

TREND_DAYS: Final = 28
ENOUGH_SUBMITS: Final = 10
"""Tasks with fewer submits on a day are not called hard."""
SHOWN_TASKS: Final = 10

CourseNames = dict[str, str]
"""Titles of courses by key, in the language of the report."""


def hours_table(details: DayDetails, zone: ZoneInfo, messages: Messages) -> Table:
    """Return the hours of the day, in the operator's zone."""
    text = messages.text
    return Table(
        key="hours",
        title=text("By hour"),
        note=text("Hours are those of the time zone %(zone)s.", zone=zone.key),
        empty=text("There were no events."),
        columns=(Column("hour", text("Hour"), CellKind.TEXT), *_attempt_columns(messages)),
        rows=tuple(
            (
                text_cell(label),
                count_cell(messages, hour.runs),
                count_cell(messages, hour.submits),
                count_cell(messages, hour.successful_submits),
            )
            for label, hour in zip(_hour_labels(details, zone, messages), details.hours, strict=True)
        ),
    )


def hours_chart(details: DayDetails, zone: ZoneInfo, messages: Messages) -> Chart:
    """Return the picture of the day: runs, submits and successful submits by hour."""
    labels = _hour_labels(details, zone, messages)
    busiest = max(details.hours, key=lambda hour: hour.runs + hour.submits, default=None)
    if busiest is None or not busiest.runs + busiest.submits:
        summary = messages.text("There were no events.")
    else:
        summary = messages.text(
            "Most happened from %(hour)s: code runs %(runs)s, submits %(submits)s.",
            hour=labels[details.hours.index(busiest)],
            runs=busiest.runs,
            submits=busiest.submits,
        )
    columns = _attempt_columns(messages)
    values = (
        tuple(hour.runs for hour in details.hours),
        tuple(hour.submits for hour in details.hours),
        tuple(hour.successful_submits for hour in details.hours),
    )
    return Chart(
        key="hours",
        title=messages.text("The day by hour"),
        summary=summary,
        x_label=messages.text("Hour"),
        x=labels,
        series=tuple(Series(c.key, c.label, v) for c, v in zip(columns, values, strict=True)),
    )


def courses_table(details: DayDetails, names: Mapping[str, str], messages: Messages) -> Table:
    """Return the courses, the liveliest first; events without a readable course stand last."""
    text = messages.text
    courses = sorted(
        details.courses, key=lambda c: (c.key is None, -(c.runs + c.submits), names.get(c.key or "", c.key or ""))
    )
    return Table(
        key="courses",
        title=text("Courses"),
        note=text("A first submit is a student's first one of the day on a task."),
        empty=text("There were no events."),
        columns=(
            Column("course", text("Course"), CellKind.TEXT),
            Column("students", text("Students"), CellKind.COUNT),
            Column("runs", text("Code runs"), CellKind.COUNT),
            Column("submits", text("Submits"), CellKind.COUNT),
            Column("success_share", text("Successful"), CellKind.SHARE),
            Column("first_success_share", text("Successful at first"), CellKind.SHARE),
            Column("runs_per_submit", text("Runs per submit"), CellKind.AVERAGE),
        ),
        rows=tuple(_course_row(course, names, messages) for course in courses),
    )


def hardest_table(details: DayDetails, names: Mapping[str, str], messages: Messages) -> Table:
    """Return the tasks on which a success took the most submits."""
    text = messages.text
    hard = [task for task in details.tasks if task.submits >= ENOUGH_SUBMITS and task.successful_submits]
    hard.sort(key=lambda task: (-(task.submits_per_success or 0.0), -task.submits, task.course, task.block))
    return Table(
        key="hardest",
        title=text("The hardest tasks"),
        note=messages.plural(
            "Among tasks with at least %(n)s submit, by submits per success.",
            "Among tasks with at least %(n)s submits, by submits per success.",
            ENOUGH_SUBMITS,
        ),
        empty=text("No task had enough submits."),
        columns=(
            *_task_columns(messages),
            Column("submits_per_success", text("Submits per success"), CellKind.AVERAGE),
            Column("stuck_students", text("Stuck students"), CellKind.COUNT),
        ),
        rows=tuple(
            (
                *_task_cells(task, names, messages),
                average_cell(messages, task.submits_per_success),
                count_cell(messages, task.stuck_students),
            )
            for task in hard[:SHOWN_TASKS]
        ),
    )


def unsolved_table(details: DayDetails, names: Mapping[str, str], messages: Messages) -> Table:
    """Return the tasks that were submitted but never solved on the day."""
    text = messages.text
    unsolved = [task for task in details.tasks if task.submits and not task.successful_submits]
    unsolved.sort(key=lambda task: (-task.submits, task.course, task.block))
    left_out = len(unsolved) - SHOWN_TASKS
    return Table(
        key="unsolved",
        title=text("Tried, never solved"),
        note=messages.plural("%(n)s more task is not shown.", "%(n)s more tasks are not shown.", left_out)
        if left_out > 0
        else "",
        empty=text("Every task that was submitted was solved by somebody."),
        columns=(*_task_columns(messages), Column("stuck_students", text("Stuck students"), CellKind.COUNT)),
        rows=tuple(
            (*_task_cells(task, names, messages), count_cell(messages, task.stuck_students))
            for task in unsolved[:SHOWN_TASKS]
        ),
    )


def trend_table(day: Day, statistics: DailyStatistics, past: Sequence[PublishedDay], messages: Messages) -> Table:
    """Return the last 28 days up to this one; days that were never processed are left out."""
    text = messages.text
    days = {known.date: known.statistics for known in past if day.date - known.date < timedelta(days=TREND_DAYS)}
    days[day.date] = statistics
    return Table(
        key="trend",
        title=text("The last 28 days"),
        note="",
        empty="",
        columns=(
            Column("date", text("Date"), CellKind.DATE),
            Column("unique_users", text("Students"), CellKind.COUNT),
            *_attempt_columns(messages),
            Column("success_share", text("Successful"), CellKind.SHARE),
        ),
        rows=tuple(
            (
                date_cell(messages, date),
                count_cell(messages, figures.unique_users),
                count_cell(messages, figures.runs),
                count_cell(messages, figures.submits),
                count_cell(messages, figures.successful_submits),
                share_cell(messages, figures.success_share),
            )
            for date, figures in sorted(days.items())
        ),
    )


def trend_charts(
    day: Day, statistics: DailyStatistics, past: Sequence[PublishedDay], messages: Messages
) -> tuple[Chart, Chart]:
    """Return two pictures of the last 28 days: students, runs and submits; and the share of successful submits."""
    text = messages.text
    known = {published.date: published.statistics for published in past} | {day.date: statistics}
    dates = [day.date - timedelta(days=TREND_DAYS - 1 - number) for number in range(TREND_DAYS)]
    figures = [known.get(date) for date in dates]
    x = tuple(messages.short_date(date) for date in dates)
    present = [each for each in figures if each]
    summary = messages.plural("%(n)s day of 28 was processed.", "%(n)s days of 28 were processed.", len(present))
    volume = Chart(
        key="trend",
        title=text("The last 28 days"),
        summary=summary,
        x_label=text("Date"),
        x=x,
        series=(
            Series("unique_users", text("Students"), tuple(each.unique_users if each else None for each in figures)),
            Series("runs", text("Code runs"), tuple(each.runs if each else None for each in figures)),
            Series("submits", text("Submits"), tuple(each.submits if each else None for each in figures)),
        ),
    )
    success = Chart(
        key="success",
        title=text("Share of successful submits, the last 28 days"),
        summary=summary,
        x_label=text("Date"),
        x=x,
        series=(
            Series(
                "success_share",
                text("Successful"),
                tuple(each.success_share if each else None for each in figures),
            ),
        ),
        share=True,
    )
    return volume, success


def course_title(key: str | None, names: Mapping[str, str], messages: Messages) -> str:
    """Return how a course is called: its title if the operator gave one, else its key."""
    if key is None:
        return messages.text("unknown course")
    return names.get(key, key)


def _attempt_columns(messages: Messages) -> tuple[Column, Column, Column]:
    text = messages.text
    return (
        Column("runs", text("Code runs"), CellKind.COUNT),
        Column("submits", text("Submits"), CellKind.COUNT),
        Column("successful_submits", text("Successful submits"), CellKind.COUNT),
    )


def _task_columns(messages: Messages) -> tuple[Column, ...]:
    text = messages.text
    return (
        Column("course", text("Course"), CellKind.TEXT),
        Column("task", text("Task"), CellKind.TEXT),
        Column("students", text("Students"), CellKind.COUNT),
        Column("submits", text("Submits"), CellKind.COUNT),
    )


def _course_row(course: CourseFigures, names: Mapping[str, str], messages: Messages) -> tuple[Cell, ...]:
    return (
        text_cell(course_title(course.key, names, messages)),
        count_cell(messages, course.students),
        count_cell(messages, course.runs),
        count_cell(messages, course.submits),
        share_cell(messages, course.success_share),
        share_cell(messages, course.first_success_share),
        average_cell(messages, course.runs_per_submit),
    )


def _task_cells(task: TaskFigures, names: Mapping[str, str], messages: Messages) -> tuple[Cell, ...]:
    return (
        text_cell(course_title(task.course, names, messages)),
        text_cell(task.block),
        count_cell(messages, task.students),
        count_cell(messages, task.submits),
    )


def _hour_labels(details: DayDetails, zone: ZoneInfo, messages: Messages) -> tuple[str, ...]:
    """Name the hours by their beginning; on a day when the clock is set back one name comes twice, told apart."""
    starts = [hour.start.astimezone(zone) for hour in details.hours]
    names = [messages.time(start) for start in starts]
    return tuple(
        f"{name} ({start:%z})" if names.count(name) > 1 else name for name, start in zip(names, starts, strict=True)
    )
