"""The content of the report, whatever draws it: what is usual, whom to trust, what was corrected, where it is hard."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from app_types import Counts, CourseFigures, DailyStatistics, DayDetails, Language, Mode, PublishedDay, TaskFigures
from messages import Messages
from report.content import Background
from report.parts import CellKind, Trust
from report.usual import Level, compare_values, same_weekdays
from tests.support.reports import (
    A_SATURDAY,
    COUNTS,
    COURSES,
    PYTHON,
    SQL,
    STATISTICS,
    a_day,
    days_before,
    empty_report,
    hours_of,
    published,
    report_on,
    tasks,
    weeks_before,
)

if TYPE_CHECKING:
    from report.content import DayContent
    from report.parts import Row, Table

NOON = datetime(2023, 4, 1, 9, tzinfo=UTC)  # in Moscow
A_WEEK_LATER = datetime(2023, 4, 8, tzinfo=UTC)


@pytest.fixture(params=list(Language), ids=lambda language: language.name.lower())
def messages(request: pytest.FixtureRequest) -> Messages:
    """Give each language in turn."""
    return Messages(request.param)


def _row(rows: tuple[Row, ...], key: str) -> Row:
    return next(row for row in rows if row.key == key)


def _column(table: Table, key: str) -> list[str]:
    place = [column.key for column in table.columns].index(key)
    return [cells[place].text for cells in table.rows]


def _on_tasks(*figures: TaskFigures, names: dict[str, str] | None = None) -> DayContent:
    return report_on(background=Background(details=DayDetails(tasks=figures), course_names=names or {}))


# What is usual


@pytest.mark.parametrize(
    ("value", "earlier", "counted", "median", "level"),
    [
        (1000, [900, 950, 1050, 1100], True, 1000, Level.USUAL),
        (1200, [900, 950, 1050, 1100], True, 1000, Level.USUAL),
        (1250, [900, 950, 1050, 1100], True, 1000, Level.ABOVE),
        (1500, [900, 950, 1050, 1100], True, 1000, Level.FAR_ABOVE),
        (750, [900, 950, 1050, 1100], True, 1000, Level.BELOW),
        (500, [900, 950, 1050, 1100], True, 1000, Level.FAR_BELOW),
        (0, [900, 950, 1050, 1100], True, 1000, Level.FAR_BELOW),
        (1000, [900, 950, 1000, 1050, 1100, 1000, 990, 0], True, 995, Level.USUAL),
        (1500, [900, 950, 1000, 1050, 1100, 1000, 990, 9000], True, 1000, Level.FAR_ABOVE),
        (0.48, [0.47, 0.48, 0.5, 0.49], False, 0.485, Level.USUAL),
        (0.44, [0.47, 0.48, 0.5, 0.49], False, 0.485, Level.BELOW),
        (0.2, [0.47, 0.48, 0.5, 0.49], False, 0.485, Level.FAR_BELOW),
        (1050, [1000] * 8, True, 1000, Level.USUAL),
        (1100, [1000] * 8, True, 1000, Level.ABOVE),
        (0.52, [0.5] * 8, False, 0.5, Level.USUAL),
        (0.7, [0.5] * 8, False, 0.5, Level.FAR_ABOVE),
        (5, [4] * 8, True, 4, Level.USUAL),
        (9, [4] * 8, True, 4, Level.ABOVE),
        (0, [0] * 8, True, 0, Level.USUAL),
        (1, [0] * 8, True, 0, Level.USUAL),
        (50, [0] * 8, True, 0, Level.FAR_ABOVE),
    ],
)
def test_value_is_compared_by_median_and_deviation(
    value: float, earlier: list[float], counted: bool, median: float, level: Level
) -> None:
    """Two deviations from the median are usual, four are far; odd weeks, equal weeks and small numbers do no harm."""
    comparison = compare_values(value, earlier, counted=counted)

    assert comparison
    assert comparison.median == pytest.approx(median)
    assert (comparison.level, comparison.days) == (level, len(earlier))


@pytest.mark.parametrize("weeks", [0, 1, 3])
def test_few_weeks_say_nothing_about_what_is_usual(weeks: int) -> None:
    """Three earlier days are no rule."""
    content = report_on(background=Background(past=weeks_before([1000] * weeks)))

    assert compare_values(1, [1.0] * weeks, counted=True) is None
    assert [row.compared for row in content.figures] == [None] * len(content.figures)


def test_figure_that_there_is_not_is_not_compared() -> None:
    """On a day without submits there is no share that could be usual or not, and earlier ones do not count either."""
    past = weeks_before([1000] * 8)
    idle = tuple(replace(day, statistics=DailyStatistics(0, 0, 0, 0)) for day in past[:5])
    content = report_on(statistics=DailyStatistics(10, 20, 0, 0), background=Background(past=past))
    mostly_idle = report_on(background=Background(past=idle + past[5:]))

    assert _row(content.figures, "success_share").compared is None
    assert _row(content.figures, "runs").compared
    assert _row(mostly_idle.figures, "success_share").compared is None
    assert _row(mostly_idle.figures, "runs").compared


def test_comparison_is_with_the_same_weekday_of_eight_weeks() -> None:
    """Other weekdays, days before that, later days and days that are not whole say nothing."""
    saturdays = [published(A_SATURDAY - timedelta(weeks=week)) for week in range(1, 9)]
    others = [
        published(A_SATURDAY - timedelta(weeks=9)),
        published(A_SATURDAY - timedelta(days=1)),
        published(A_SATURDAY + timedelta(weeks=1)),
        published(A_SATURDAY),
    ]
    broken = [replace(saturdays[0], complete=False)]

    assert same_weekdays([*others, *saturdays], A_SATURDAY) == saturdays
    assert same_weekdays([*broken, *saturdays[1:]], A_SATURDAY) == saturdays[1:]


@pytest.mark.parametrize(
    ("students", "arrow", "word"),
    [
        (1000, "≈", "as usual"),
        (1250, "▲", "above usual"),
        (2000, "▲▲", "far above usual"),
        (750, "▼", "below usual"),
        (10, "▼▼", "far below usual"),
    ],
)
def test_comparison_has_a_median_an_arrow_and_a_word(students: int, arrow: str, word: str, messages: Messages) -> None:
    """The words are plain and those of the language; the arrow says the same without words or colours."""
    content = report_on(
        statistics=DailyStatistics(students, 2000, 1000, 500),
        language=messages.language,
        background=Background(past=weeks_before([900, 950, 1050, 1100])),
    )
    compared = _row(content.figures, "unique_users").compared

    assert compared
    assert (compared.arrow, compared.word) == (arrow, messages.text(word))
    assert (compared.median.kind, compared.median.text) == (CellKind.COUNT, messages.number(1000))


def test_median_is_written_as_the_figure_is() -> None:
    """The median of a share is a percentage, that of an average has two decimals at most."""
    content = report_on(background=Background(past=weeks_before([1001, 1003, 1003, 1001])))
    medians = {row.key: row.compared.median.text for row in content.figures if row.compared}

    assert medians == {
        "unique_users": "1,002",
        "runs": "2,004",
        "submits": "1,002",
        "successful_submits": "500",
        "success_share": "50%",
        "submits_per_user": "1",
        "successful_submits_per_user": "0.5",
    }


@pytest.mark.parametrize("day", [a_day(mode=Mode.TEST), a_day(until=NOON)], ids=["test", "not over"])
def test_part_of_a_day_is_not_compared(day: object) -> None:
    """Half a day is not below usual: it is half a day."""
    content = report_on(day, background=Background(past=weeks_before([1000] * 8)))  # type: ignore[arg-type]

    assert [row.compared for row in content.figures] == [None] * len(content.figures)


# May the figures be trusted


def _saturdays(rejected: int, received: int = 5973, weeks: int = 8) -> tuple[PublishedDay, ...]:
    """Return the same weekday of the weeks before, of which so many events were rejected."""
    counts = replace(COUNTS, received=received, loaded=received - rejected, updated=0, rejected=rejected)
    return tuple(published(A_SATURDAY - timedelta(weeks=week), counts=counts) for week in range(1, weeks + 1))


NOTHING = Counts(0, 0, 0, 0, 0, 0, 0)
MANY_REJECTED = Counts(1000, 930, 0, 0, 70, 0, 0)
TRUST = {
    "whole": (a_day(), COUNTS, (), Trust.GOOD,
        "Complete and balanced: 5,973 received, 5,931 in the table; 0.7% rejected."),
    "whole, as usual": (a_day(), COUNTS, _saturdays(42), Trust.GOOD,
        "Complete and balanced: 5,973 received, 5,931 in the table; 0.7% rejected, as usual."),
    "fewer rejected than usual": (a_day(), COUNTS, _saturdays(600), Trust.GOOD,
        "Complete and balanced: 5,973 received, 5,931 in the table; 0.7% rejected."),
    "a little more rejected than usual": (a_day(), COUNTS, _saturdays(0), Trust.GOOD,
        "Complete and balanced: 5,973 received, 5,931 in the table; 0.7% rejected."),
    "many rejected": (a_day(), MANY_REJECTED, (), Trust.WARNING, "Many events were rejected: 7%."),
    "more rejected than usual": (a_day(), MANY_REJECTED, _saturdays(30), Trust.WARNING,
        "Many events were rejected: 7%, usually 0.5%."),
    "many rejected, as usual": (a_day(), MANY_REJECTED, _saturdays(418), Trust.GOOD,
        "Complete and balanced: 1,000 received, 5,931 in the table; 7% rejected, as usual."),
    "one event vanished": (a_day(), replace(COUNTS, missing_at_source=1), (), Trust.WARNING,
        "1 event vanished at the source; it is kept in the table."),
    "events vanished": (a_day(), replace(COUNTS, missing_at_source=1200), (), Trust.WARNING,
        "1,200 events vanished at the source; they are kept in the table."),
    "no events": (a_day(), NOTHING, (), Trust.GOOD, "Complete: the source sent no events."),
    "no events where there are none as a rule": (a_day(), NOTHING, _saturdays(0, received=0), Trust.GOOD,
        "Complete: the source sent no events."),
    "no events where there are many as a rule": (a_day(), NOTHING, _saturdays(42), Trust.WARNING,
        "The source sent no events; on this weekday it usually sends 5,973."),
    "load not known": (a_day(), None, (), Trust.WARNING, "How the day was loaded is not known."),
    "test": (a_day(mode=Mode.TEST), COUNTS, (), Trust.BAD, "Test: the first hour only."),
    "not over": (a_day(until=NOON), COUNTS, (), Trust.BAD,
        "Do not use yet: the day is not over (events until 12:00)."),
    "over but never loaded as a whole": (a_day(until=A_WEEK_LATER), COUNTS, (), Trust.BAD,
        "Do not use yet: this day was never loaded as a whole."),
}  # fmt: skip


@pytest.mark.parametrize(("day", "counts", "past", "trust", "text"), TRUST.values(), ids=TRUST)
def test_trust_line_says_whether_the_figures_may_be_used(
    day: object, counts: Counts | None, past: tuple[PublishedDay, ...], trust: Trust, text: str
) -> None:
    """One sentence, worst thing first: a part of a day, an unknown load, silence, many rejects, lost events."""
    line = report_on(day, counts=counts, background=Background(past=past)).trust  # type: ignore[arg-type]

    assert (line.trust, line.text) == (trust, text)


@pytest.mark.parametrize(("day", "counts", "past", "trust", "text"), TRUST.values(), ids=TRUST)
def test_trust_line_is_the_same_in_russian(
    day: object, counts: Counts | None, past: tuple[PublishedDay, ...], trust: Trust, text: str
) -> None:
    """The other language judges alike, and writes its numbers in its own way."""
    content = report_on(day, counts=counts, language=Language.RUSSIAN, background=Background(past=past))  # type: ignore[arg-type]

    assert content.trust.trust is trust
    assert "%(" not in content.trust.text
    assert "0.7%" not in content.trust.text
    assert ("5\u00a0973" in content.trust.text) == ("5,973" in text)
    assert ("0,7\u00a0%" in content.trust.text) == ("0.7%" in text)


# Days that are not whole


@pytest.mark.parametrize(
    ("day", "label"),
    [
        (a_day(), None),
        (a_day(mode=Mode.TEST), "PARTIAL: a test run, the first hour of the day only"),
        (a_day(until=NOON), "PARTIAL: the day is not over, events until 12:00"),
        (a_day(until=A_WEEK_LATER), "PARTIAL: this day was never loaded as a whole"),
    ],
    ids=["whole", "test", "not over", "over but never loaded as a whole"],
)
def test_partial_day_is_labelled(day: object, label: str | None, messages: Messages) -> None:
    """A day that is not whole says so and why, in its rows of the history and the trend too."""
    content = report_on(day, language=messages.language)  # type: ignore[arg-type]
    state = messages.text("PARTIAL") if label else messages.text("whole day")

    if messages.language is Language.ENGLISH:
        assert content.partial == label
    assert (content.partial is None) == (label is None)
    assert _row(content.history, "state").cell.text == state
    assert _column(content.trend, "state") == [state]
    assert _column(content.days, "state") == [state]
    assert content.trend_chart.partial == content.success_chart.partial == ((27,) if label else ())


# Corrections


def test_correction_lists_what_changed_old_and_new(messages: Messages) -> None:
    """Figures that are as they were are not listed; those that follow from a changed one are."""
    previous = replace(STATISTICS, submits=2000)
    background = Background(previous=previous, revision=3)
    content = report_on(language=messages.language, background=background)
    listed = {
        correction.key: (correction.old.text, correction.new.text, correction.label)
        for correction in content.corrections
    }

    assert list(listed) == ["submits", "success_share", "submits_per_user"]
    assert listed["submits"] == (messages.number(2000), messages.number(2071), messages.text("Submits"))
    assert listed["success_share"][:2] == (messages.percent(0.4905), messages.percent(0.4737))
    assert content.revision == 3
    assert content.correction_text
    assert "3" in content.correction_text
    assert _row(content.history, "revision").cell.value == 3


def test_day_published_first_corrects_nothing() -> None:
    """Revision one has nothing to list and nothing to say."""
    content = report_on()

    assert (content.revision, content.correction_text, content.corrections) == (1, None, ())


def test_share_that_there_was_not_is_corrected_too() -> None:
    """From no submits to some: the old share is a dash."""
    content = report_on(background=Background(previous=DailyStatistics(5, 9, 0, 0), revision=2))
    (share,) = [correction for correction in content.corrections if correction.key == "success_share"]

    assert (share.old.value, share.old.text, share.new.text) == (None, "—", "47.4%")


# Hours


def _hours(on: date, zone: str) -> DayContent:
    day = a_day(on, zone)
    return report_on(day, background=Background(details=DayDetails(hours_of(day))))


def test_hours_are_called_by_the_clock_of_the_zone(messages: Messages) -> None:
    """On a usual day there are 24 hours from midnight to eleven in the evening, and the zone is said."""
    day = a_day()
    background = Background(details=DayDetails(hours_of(day)))
    content = report_on(day, language=messages.language, background=background)

    assert _column(content.hours, "hour") == [f"{hour:02}:00" for hour in range(24)]
    assert "Europe/Moscow" in content.hours.note
    assert content.hours_chart.x == tuple(_column(content.hours, "hour"))


def test_day_of_23_hours_leaves_one_out() -> None:
    """When the clock is set forward, the hour that never was is not shown."""
    labels = _column(_hours(date(2023, 3, 26), "Europe/Berlin").hours, "hour")

    assert labels[:4] == ["00:00", "01:00", "03:00", "04:00"]
    assert len(labels) == 23


def test_day_of_25_hours_tells_the_double_hour_apart() -> None:
    """When the clock is set back, the hour that comes twice says by how much it is ahead of UTC."""
    content = _hours(date(2023, 10, 29), "Europe/Berlin")
    labels = _column(content.hours, "hour")

    assert labels[1:5] == ["01:00", "02:00 (UTC+2)", "02:00 (UTC+1)", "03:00"]
    assert len(labels) == len(set(labels)) == 25
    assert [content.hours_chart.x[step] for step in content.hours_chart.named] == [
        "00:00", "03:00", "06:00", "09:00", "12:00", "15:00", "18:00", "21:00",
    ]  # fmt: skip


def test_double_hour_of_midnight_is_named_once_on_the_axis() -> None:
    """Where midnight itself comes twice, the chart names the first of the two."""
    content = _hours(date(2023, 11, 5), "America/Havana")
    labels = _column(content.hours, "hour")

    assert labels[:3] == ["00:00 (UTC-4)", "00:00 (UTC-5)", "01:00"]
    assert content.hours_chart.named[:2] == (0, 4)


@pytest.mark.parametrize(
    ("on", "zone", "first", "number"),
    [
        (date(2023, 4, 1), "Asia/Kolkata", ["00:00", "01:00"], 24),
        (date(2023, 4, 1), "Asia/Kathmandu", ["00:00", "01:00"], 24),
        (date(2023, 10, 1), "Australia/Lord_Howe", ["00:00", "01:00", "02:30", "03:30"], 24),
    ],
    ids=["half an hour off", "a quarter off", "clock set by half an hour"],
)
def test_hours_of_odd_offsets_begin_at_midnight(on: date, zone: str, first: list[str], number: int) -> None:
    """The hours are counted from the zone's own midnight, wherever the hours of UTC begin."""
    labels = _column(_hours(on, zone).hours, "hour")

    assert labels[: len(first)] == first
    assert len(labels) == number


def test_hours_chart_says_when_it_was_liveliest(messages: Messages) -> None:
    """The summary names the hour with the most runs and submits, with their numbers."""
    content = report_on(
        language=messages.language, background=Background(details=DayDetails(hours_of(a_day(), runs=2000)))
    )

    assert content.hours_chart.summary == messages.text(
        "Most happened from %(hour)s: code runs %(runs)s, submits %(submits)s.", hour="23:00", runs=2023, submits=73
    )


def test_empty_day_has_no_rows_of_noughts(messages: Messages) -> None:
    """Without events the tables are empty and say so; the charts still have their hours."""
    content = empty_report(messages.language)

    for table in (content.hours, content.courses, content.hardest, content.unsolved):
        assert table.rows == ()
        assert table.empty
    assert content.hours_chart.summary == messages.text("There were no events.")
    assert len(content.hours_chart.x) == 24
    assert all(chart.empty for chart in content.charts)


# Courses and tasks


def test_liveliest_course_comes_first_and_the_unknown_one_last(messages: Messages) -> None:
    """Courses stand by the number of attempts; events without a readable course end the table, however many."""
    crowd = CourseFigures(None, 999, 9999, 9999, 1, 9, 1)
    details = DayDetails(courses=(crowd, *COURSES[1:]))
    content = report_on(language=messages.language, background=Background(details=details))

    assert _column(content.courses, "course") == [PYTHON, SQL, messages.text("unknown course")]


def test_courses_alike_stand_in_the_order_of_their_titles() -> None:
    """The order is the same every time."""
    courses = tuple(CourseFigures(f"A/B/{run}", 1, 1, 1, 1, 1, 1) for run in "312")
    content = report_on(background=Background(details=DayDetails(courses=courses), course_names={"A/B/3": "0"}))

    assert _column(content.courses, "course") == ["0", "A/B/1", "A/B/2"]


def test_course_has_its_shares(messages: Messages) -> None:
    """A course tells students, runs, submits, success, success at first, and runs per submit."""
    content = report_on(language=messages.language)
    (row,) = [row for row in content.courses.rows if row[0].text == PYTHON]

    assert [cell.value for cell in row[1:4]] == [420, 1400, 700]
    assert [cell.text for cell in row[4:]] == [messages.percent(3 / 7), messages.percent(0.4), messages.number(2)]


def test_course_without_submits_has_no_shares() -> None:
    """What cannot be divided is a dash."""
    course = CourseFigures(PYTHON, 2, 5, 0, 0, 0, 0)
    content = report_on(background=Background(details=DayDetails(courses=(course,))))

    assert [cell.text for cell in content.courses.rows[0][4:]] == ["—", "—", "—"]


def test_titles_replace_the_keys_of_courses() -> None:
    """Where the operator named a course, its title stands in every table; the others keep their keys."""
    details = DayDetails(courses=COURSES, tasks=(*tasks(1), *tasks(1, course=SQL), *tasks(1, successes=0)))
    content = report_on(background=Background(details=details, course_names={PYTHON: "Python for all"}))

    assert set(_column(content.courses, "course")) == {"Python for all", SQL, "unknown course"}
    assert set(_column(content.hardest, "course")) == {"Python for all", SQL}
    assert _column(content.unsolved, "course") == ["Python for all"]


def test_hardest_tasks_took_the_most_submits_for_a_success() -> None:
    """Tasks stand by submits per success; those with fewer than ten submits, or never solved, are not among them."""
    content = _on_tasks(
        TaskFigures(PYTHON, "easy", 20, 0, 30, 30, 0),
        TaskFigures(PYTHON, "few", 9, 0, 9, 1, 2),
        TaskFigures(PYTHON, "enough", 9, 0, 10, 5, 2),
        TaskFigures(PYTHON, "unsolved", 9, 0, 50, 0, 2),
        TaskFigures(PYTHON, "hard", 9, 0, 90, 9, 4),
    )

    assert _column(content.hardest, "task") == ["hard", "enough", "easy"]
    assert _column(content.hardest, "submits_per_success") == ["10", "2", "1"]
    assert _column(content.hardest, "stuck_students") == ["4", "2", "0"]
    assert "10" in content.hardest.note


def test_of_equally_hard_tasks_the_most_tried_comes_first() -> None:
    """Ties are settled by submits, then by course and task, so that the order is the same every time."""
    content = _on_tasks(
        TaskFigures(SQL, "b", 1, 0, 20, 10, 0),
        TaskFigures(PYTHON, "z", 1, 0, 20, 10, 0),
        TaskFigures(SQL, "a", 1, 0, 20, 10, 0),
        TaskFigures(SQL, "c", 1, 0, 40, 20, 0),
    )

    assert _column(content.hardest, "task") == ["c", "a", "b", "z"]


def test_hardest_tasks_are_ten_at_most() -> None:
    """The table is for reading, not for looking things up."""
    assert len(_on_tasks(*tasks(30)).hardest.rows) == 10


def test_unsolved_tasks_were_tried_by_somebody_and_solved_by_nobody() -> None:
    """The most tried stands first; a task that was only run, not submitted, is not there."""
    content = _on_tasks(
        TaskFigures(PYTHON, "run only", 5, 20, 0, 0, 0),
        TaskFigures(PYTHON, "once", 1, 0, 1, 0, 0),
        TaskFigures(PYTHON, "solved", 9, 0, 5, 1, 0),
        TaskFigures(PYTHON, "often", 9, 0, 7, 0, 3),
    )

    assert _column(content.unsolved, "task") == ["often", "once"]
    assert content.unsolved.note == ""


@pytest.mark.parametrize(
    ("number", "note"),
    [(10, ""), (11, "1 more task is not shown."), (35, "25 more tasks are not shown.")],
)
def test_unsolved_tasks_left_out_are_counted(number: int, note: str) -> None:
    """Ten are shown, and how many more there are is said."""
    unsolved = _on_tasks(*tasks(number, successes=0)).unsolved

    assert (len(unsolved.rows), unsolved.note) == (10, note)


# The days before


def test_trend_has_28_steps_with_gaps() -> None:
    """The charts reach from four weeks ago to this day; days never processed have no value."""
    content = report_on(background=Background(past=days_before(56, without=[2, 27])))
    students = content.trend_chart.series[0].values

    assert len(students) == len(content.trend_chart.x) == len(content.success_chart.x) == 28
    assert [step for step, value in enumerate(students) if value is None] == [0, 25]
    assert content.success_chart.series[0].values[0] is None
    assert content.trend_chart.x[0] == "5 Mar"
    assert content.trend_chart.x[-1] == "1 Apr"
    assert [content.trend_chart.x[step] for step in content.trend_chart.named] == [
        "11 Mar",
        "18 Mar",
        "25 Mar",
        "1 Apr",
    ]


def test_trend_table_has_the_days_that_were_processed() -> None:
    """Its rows are dated, oldest first, this day last, none older than four weeks and none from later."""
    past = (*days_before(56, without=[2, 27], partial=[5]), published(A_SATURDAY + timedelta(days=2)))
    content = report_on(background=Background(past=past))
    dates = [cells[0].value for cells in content.trend.rows]

    assert dates == sorted(dates, key=str)
    assert dates[0] == date(2023, 3, 6)
    assert dates[-1] == A_SATURDAY
    assert len(dates) == 26
    assert _column(content.trend, "state").count("PARTIAL") == 1
    assert content.trend.note == "26 days of 28 were processed."


def test_whole_trend_needs_no_note() -> None:
    """Where no day is missing, nothing is said of missing days."""
    content = report_on(background=Background(past=days_before(28)))

    assert (len(content.trend.rows), content.trend.note) == (28, "")


def test_figures_of_the_day_itself_are_those_of_this_report() -> None:
    """What was published of this day before is not shown beside it."""
    past = (published(A_SATURDAY, DailyStatistics(1, 1, 1, 1)), *days_before(3))
    content = report_on(background=Background(past=past))

    assert _column(content.trend, "unique_users")[-1] == "1,204"
    assert content.trend_chart.series[0].values[-1] == 1204
    assert len(content.days.rows) == 4


def test_trend_summaries_tell_the_range_and_this_day() -> None:
    """Who does not see the pictures learns the least, the most and today's value."""
    past = tuple(
        published(A_SATURDAY - timedelta(days=back), DailyStatistics(1000 + back, 10, 100, 40 + back))
        for back in range(1, 6)
    )
    content = report_on(background=Background(past=past))

    assert content.trend_chart.summary == (
        "6 days of 28 were processed. Students on a day: from 1,001 to 1,204; on this day 1,204."
    )
    assert content.success_chart.summary == "Successful submits: from 41% to 47.4%; on this day 47.4%."


@pytest.mark.parametrize(
    ("statistics", "past", "volume", "success"),
    [
        (STATISTICS, (), "1 day of 28 was processed.", "Successful submits on this day: 47.4%."),
        (DailyStatistics(0, 0, 0, 0), (), "There were no events.", "There were no submits."),
        (
            DailyStatistics(0, 0, 0, 0),
            days_before(1),
            "2 days of 28 were processed. Students on a day: from 0 to 1,204; on this day 0.",
            "Successful submits: from 47.4% to 47.4%; on this day no submits.",
        ),
    ],
    ids=["first day", "nothing ever", "nothing today"],
)
def test_trend_summaries_of_days_without_much(
    statistics: DailyStatistics, past: tuple[PublishedDay, ...], volume: str, success: str
) -> None:
    """Where there is no range or no value of this day, the summary says what there is."""
    content = report_on(statistics=statistics, background=Background(past=past))

    assert (content.trend_chart.summary, content.success_chart.summary) == (volume, success)


def test_table_of_days_has_every_day_with_all_totals(messages: Messages) -> None:
    """The rows go from the first day known to this one; a day without figures is blank and called so."""
    content = report_on(
        language=messages.language, background=Background(past=days_before(9, without=[1, 5], partial=[7]), revision=2)
    )
    days = content.days

    assert [cells[0].value for cells in days.rows] == [A_SATURDAY - timedelta(days=back) for back in range(9, -1, -1)]
    assert [column.key for column in days.columns] == [
        "date", "unique_users", "runs", "submits", "successful_submits", "success_share", "submits_per_user",
        "successful_submits_per_user", "received", "rejected", "defective", "missing_at_source", "state", "revision",
    ]  # fmt: skip
    assert [cell.value for cell in days.rows[-1][:5]] == [A_SATURDAY, 1204, 3860, 2071, 981]
    assert [cell.value for cell in days.rows[-1][8:12]] == [5973, 42, 118, 0]
    assert _column(days, "state")[-2] == messages.text("not processed")
    assert [cell.value for cell in days.rows[-2][1:-2]] == [None] * 11
    assert _column(days, "state").count(messages.text("PARTIAL")) == 1
    assert [cells[-1].value for cells in days.rows][-2:] == [None, 2]


def test_row_of_the_history_and_the_table_of_days_agree() -> None:
    """A figure is the same wherever it stands."""
    content = report_on(background=Background(past=days_before(3)))
    row = {row.key: (row.label, row.cell) for row in content.history}

    for column, cell in zip(content.days.columns, content.days.rows[-1], strict=True):
        assert row[column.key] == (column.label, cell)


# The scale of a chart


@pytest.mark.parametrize(
    ("largest", "ticks"),
    [
        (1, ["0", "1"]),
        (4, ["0", "1", "2", "3", "4"]),
        (5, ["0", "2", "4", "6"]),
        (9, ["0", "5", "10"]),
        (400, ["0", "100", "200", "300", "400"]),
        (3860, ["0", "1,000", "2,000", "3,000", "4,000"]),
        (4001, ["0", "2,000", "4,000", "6,000"]),
        (1_000_001, ["0", "500,000", "1,000,000", "1,500,000"]),
    ],
)
def test_scale_has_round_numbers_up_to_the_largest(largest: int, ticks: list[str]) -> None:
    """At most four steps of one, two or five tens, the last not below the largest value."""
    content = report_on(statistics=DailyStatistics(0, largest, 0, 0))

    assert [tick.text for tick in content.trend_chart.ticks] == ticks


def test_scale_is_written_in_the_language(messages: Messages) -> None:
    """Numbers are grouped and percents written as people of the language do."""
    content = report_on(language=messages.language)

    assert content.trend_chart.ticks[-1].text == messages.number(4000)
    assert [tick.text for tick in content.success_chart.ticks][-1] == messages.percent(1)
