"""The tables and charts of a day: hours, courses, tasks, and the trend of the last 28 days."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import chain, count
from typing import TYPE_CHECKING, Final

from report.parts import (
    CellKind,
    Chart,
    Column,
    Series,
    Table,
    Tick,
    average_cell,
    count_cell,
    date_cell,
    is_whole,
    share_cell,
    state_cell,
    text_cell,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime
    from zoneinfo import ZoneInfo

    from app_types import CourseFigures, DailyStatistics, Day, DayDetails, PublishedDay, TaskFigures
    from messages import Messages
    from report.parts import Cell

TREND_DAYS: Final = 28
ENOUGH_SUBMITS: Final = 10
"""Tasks with fewer submits on a day are not called hard."""
SHOWN_TASKS: Final = 10
NAMED_HOURS: Final = 3
NAMED_DAYS: Final = 7
_INTERVALS: Final = 4  # between the lines behind a chart, at most


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
        )
        if any(hour.runs or hour.submits for hour in details.hours)
        else (),
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
    starts = [hour.start.astimezone(zone) for hour in details.hours]
    return Chart(
        key="hours",
        title=messages.text("The day by hour"),
        summary=summary,
        x_label=messages.text("Hour"),
        x=labels,
        series=tuple(Series(c.key, c.label, v) for c, v in zip(columns, values, strict=True)),
        named=tuple(number for number, start in enumerate(starts) if not start.hour % NAMED_HOURS and not start.fold),
        ticks=_count_ticks(max(chain(*values), default=0), messages),
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
    days = _known_days(day, statistics, past)
    return Table(
        key="trend",
        title=text("The last 28 days"),
        note=_processed(len(days), messages) if len(days) < TREND_DAYS else "",
        empty="",
        columns=(
            Column("date", text("Date"), CellKind.DATE),
            Column("unique_users", text("Students"), CellKind.COUNT),
            *_attempt_columns(messages),
            Column("success_share", text("Successful"), CellKind.SHARE),
            Column("state", text("State"), CellKind.TEXT),
        ),
        rows=tuple(
            (
                date_cell(messages, date),
                count_cell(messages, figures.unique_users),
                count_cell(messages, figures.runs),
                count_cell(messages, figures.submits),
                count_cell(messages, figures.successful_submits),
                share_cell(messages, figures.success_share),
                state_cell(messages, whole=whole),
            )
            for date, (figures, whole) in sorted(days.items())
        ),
    )


def trend_charts(
    day: Day, statistics: DailyStatistics, past: Sequence[PublishedDay], messages: Messages
) -> tuple[Chart, Chart]:
    """Return two pictures of the last 28 days: students, runs and submits; and the share of successful submits."""
    text = messages.text
    known = _known_days(day, statistics, past)
    dates = [day.date - timedelta(days=TREND_DAYS - 1 - number) for number in range(TREND_DAYS)]
    figures = [known[date][0] if date in known else None for date in dates]
    shares = tuple(each.success_share if each else None for each in figures)
    volumes = (
        Series("unique_users", text("Students"), tuple(each.unique_users if each else None for each in figures)),
        Series("runs", text("Code runs"), tuple(each.runs if each else None for each in figures)),
        Series("submits", text("Submits"), tuple(each.submits if each else None for each in figures)),
    )
    largest = max(value for series in volumes for value in series.values if value is not None)
    volume = Chart(
        key="trend",
        title=text("The last 28 days"),
        summary=_volume_summary([each for each in figures if each], statistics, messages),
        x_label=text("Date"),
        x=tuple(messages.short_date(date) for date in dates),
        series=volumes,
        named=tuple(range((TREND_DAYS - 1) % NAMED_DAYS, TREND_DAYS, NAMED_DAYS)),
        ticks=_count_ticks(int(largest), messages),
        partial=tuple(number for number, date in enumerate(dates) if date in known and not known[date][1]),
        partial_label=text("PARTIAL"),
    )
    success = replace(
        volume,
        key="success",
        title=text("Share of successful submits, the last 28 days"),
        summary=_success_summary([share for share in shares if share is not None], statistics, messages),
        series=(Series("success_share", text("Successful"), shares),),
        share=True,
        ticks=tuple(Tick(number / 4, messages.percent(number / 4)) for number in range(5)),
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


def _known_days(
    day: Day, statistics: DailyStatistics, past: Sequence[PublishedDay]
) -> dict[date, tuple[DailyStatistics, bool]]:
    """Return the figures of the last 28 days by date, and whether each is of a whole day."""
    first = day.date - timedelta(days=TREND_DAYS - 1)
    days = {known.date: (known.statistics, known.complete) for known in past if first <= known.date < day.date}
    return days | {day.date: (statistics, is_whole(day))}


def _processed(days: int, messages: Messages) -> str:
    return messages.plural("%(n)s day of 28 was processed.", "%(n)s days of 28 were processed.", days)


def _volume_summary(days: Sequence[DailyStatistics], today: DailyStatistics, messages: Messages) -> str:
    """Tell how many students there were, from the quietest day to the liveliest."""
    students = [each.unique_users for each in days]
    if not any(each.unique_users or each.runs or each.submits for each in days):
        return messages.text("There were no events.")
    if len(days) == 1:
        return _processed(1, messages)
    return messages.text(
        "%(processed)s Students on a day: from %(least)s to %(most)s; on this day %(today)s.",
        processed=_processed(len(days), messages),
        least=min(students),
        most=max(students),
        today=today.unique_users,
    )


def _success_summary(shares: Sequence[float], today: DailyStatistics, messages: Messages) -> str:
    """Tell the share of successful submits, from the worst day to the best."""
    if not shares:
        return messages.text("There were no submits.")
    least, most = messages.percent(min(shares)), messages.percent(max(shares))
    if today.success_share is None:
        return messages.text(
            "Successful submits: from %(least)s to %(most)s; on this day no submits.", least=least, most=most
        )
    share = messages.percent(today.success_share)
    if len(shares) == 1:
        return messages.text("Successful submits on this day: %(today)s.", today=share)
    return messages.text(
        "Successful submits: from %(least)s to %(most)s; on this day %(today)s.", least=least, most=most, today=share
    )


def _count_ticks(largest: int, messages: Messages) -> tuple[Tick, ...]:
    """Return round numbers from nought to the first one that is not below the largest."""
    steps = (mantissa * 10**power for power in count() for mantissa in (1, 2, 5))
    step = next(step for step in steps if step * _INTERVALS >= largest)
    last = -(-largest // step)
    return tuple(Tick(number * step, messages.number(number * step)) for number in range(last + 1)) if last else ()


def _hour_labels(details: DayDetails, zone: ZoneInfo, messages: Messages) -> tuple[str, ...]:
    """Name the hours by their beginning; on a day when the clock is set back one name comes twice, told apart."""
    starts = [hour.start.astimezone(zone) for hour in details.hours]
    names = [messages.time(start) for start in starts]
    return tuple(
        f"{name} ({_offset(start)})" if names.count(name) > 1 else name
        for name, start in zip(names, starts, strict=True)
    )


def _offset(moment: datetime) -> str:
    """Write how far an aware moment's clock is ahead of UTC: "UTC+3", "UTC-3:30"."""
    minutes = (moment.utcoffset() or timedelta()) // timedelta(minutes=1)
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'-' if minutes < 0 else '+'}{hours}" + (f":{rest:02}" if rest else "")
