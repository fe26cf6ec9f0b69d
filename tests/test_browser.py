"""Page and calendar in a real browser: quiet, off the net, readable on every screen, and true to the database."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from app_types import DailyStatistics, DayDetails, HourFigures, Language, Mode
from messages import Messages
from report.calendar import CalendarDay, DayState, Trend, write_index
from report.content import Background
from report.page import write_page
from tests.support.events_api import make_event, make_passback
from tests.support.pages import with_texts
from tests.support.program import table_rows
from tests.support.reports import (
    A_SATURDAY,
    COUNTS,
    COURSES,
    STATISTICS,
    a_day,
    days_before,
    empty_report,
    hours_of,
    report_on,
    tasks,
    weeks_before,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from report.content import DayContent
    from tests.support.browser import Chromium, Page, Scheme
    from tests.support.events_api import EventsServer
    from tests.support.program import Program

SUMMER_ENDS = date(2023, 10, 29)
"""In Berlin, a day of 25 hours."""

SEEN = """
(() => {
  const shown = box => box.width > 0 && box.height > 0;
  return [...document.querySelectorAll('figure')].map(figure => {
    const drawings = [...figure.querySelectorAll('svg')].filter(svg => shown(svg.getBoundingClientRect()));
    const marks = {};
    for (const mark of drawings.flatMap(svg => [...svg.querySelectorAll('g[class] > *')])) {
      const box = mark.getBoundingClientRect(), name = mark.parentElement.getAttribute('class');
      if (box.width + box.height > 0) marks[name] = (marks[name] || 0) + 1;
    }
    const box = drawings[0].getBoundingClientRect();
    const letters = [...drawings[0].querySelectorAll('text')].map(text => text.getBoundingClientRect().height);
    return {drawings: drawings.length, width: box.width, height: box.height, marks, letters: Math.min(...letters)};
  });
})()
"""
STICKING_OUT = """
[...document.body.querySelectorAll('*')].filter(element => {
  const box = element.getBoundingClientRect();
  return box.width > 0 && box.right > document.documentElement.clientWidth + 1 && !element.closest('.scroll, .hidden');
}).map(element => element.outerHTML.slice(0, 90))
"""
FAINT = """
(() => {
  const parse = colour => {
    const numbers = colour.match(/[\\d.]+/g).map(Number);
    const scale = colour.startsWith('color(') ? 255 : 1;
    return [numbers[0] * scale, numbers[1] * scale, numbers[2] * scale, numbers.length > 3 ? numbers[3] : 1];
  };
  const over = (top, under) => [0, 1, 2].map(place => top[place] * top[3] + under[place] * (1 - top[3]));
  const ground = element => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      layers.unshift(parse(getComputedStyle(each).backgroundColor));
    }
    return layers.reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const light = colour => {
    const [r, g, b] = colour.map(value => value / 255).map(
      value => value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const faint = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const box = element.getBoundingClientRect();
    if (!texts.currentNode.data.trim() || !box.width || element.closest('style, title, desc, .hidden')) continue;
    const style = getComputedStyle(element);
    const below = ground(element);
    const colour = over(parse(element instanceof SVGElement ? style.fill : style.color), below);
    const [dark, bright] = [light(colour), light(below)].sort((a, b) => a - b);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const contrast = (bright + .05) / (dark + .05);
    if (contrast < (large ? 3 : 4.5)) faint.push(`${contrast.toFixed(2)}: ${texts.currentNode.data.trim()}`);
  }
  return faint;
})()
"""
READ = """
(() => {
  const said = element => element.textContent.replace(/\\s+/g, ' ').trim();
  const rows = table => [...table.querySelectorAll('tbody tr')].map(row => [...row.cells].map(said));
  const tables = name => [...document.querySelectorAll(name)].map(rows);
  return {
    language: document.documentElement.lang,
    tiles: [...document.querySelectorAll('.tiles .value')].map(said),
    hours: tables('table.hours')[0] || [],
    courses: tables('table.courses')[0] || [],
    unsolved: tables('table.unsolved')[0] || [],
    counts: tables('.counts table')[0] || [],
    trend: tables('table.trend')[0] || [],
    stuck: said(document.querySelector('.stuck dd')),
  };
})()
"""


@pytest.fixture(params=list(Language), ids=lambda language: language.name.lower())
def language(request: pytest.FixtureRequest) -> Language:
    """Give each language in turn."""
    return request.param  # type: ignore[no-any-return]


def _ordinary(language: Language) -> DayContent:
    details = DayDetails(hours_of(a_day()), COURSES, (*tasks(12), *tasks(14, successes=0)), 17)
    past = (*days_before(27, partial={9}, without={4}), *weeks_before([400] * 8)[4:])
    return report_on(language=language, background=Background(details, past))


def _corrected(language: Language) -> DayContent:
    previous = DailyStatistics(1200, 3800, 2000, 900)
    counts = replace(COUNTS, received=6631, rejected=700, missing_at_source=12)
    background = Background(DayDetails(hours_of(a_day())), weeks_before([400] * 8), revision=2, previous=previous)
    return report_on(counts=counts, language=language, background=background)


def _unfinished(language: Language) -> DayContent:
    day = a_day(until=datetime(2023, 4, 1, 11, tzinfo=UTC))
    return report_on(day, language=language, background=Background(DayDetails(hours_of(day)), days_before(56)))


def _one_event(language: Language) -> DayContent:
    hours = [HourFigures(hour.start, 0, 0, 0) for hour in hours_of(a_day())]
    hours[13] = replace(hours[13], submits=1)
    one = DailyStatistics(1, 0, 1, 0)
    return report_on(statistics=one, language=language, background=Background(DayDetails(tuple(hours))))


def _long_day(language: Language) -> DayContent:
    return report_on(a_day(SUMMER_ENDS, "Europe/Berlin"), language=language)


def _test_run(language: Language) -> DayContent:
    return report_on(a_day(mode=Mode.TEST), language=language)


KINDS: dict[str, Callable[[Language], DayContent]] = {
    "ordinary": _ordinary,
    "corrected": _corrected,
    "unfinished": _unfinished,
    "test": _test_run,
    "empty": empty_report,
    "one event": _one_event,
    "25 hours": _long_day,
}


@pytest.fixture(params=[*KINDS, "calendar"])
def file(request: pytest.FixtureRequest, language: Language, tmp_path: Path) -> Path:
    """Give each kind of page in turn, and the calendar."""
    if request.param == "calendar":
        return _calendar(language, tmp_path)
    return write_page(KINDS[request.param](language), tmp_path)


def _calendar(language: Language, folder: Path) -> Path:
    """Write a calendar of all states over more than a year, with a page for some days."""
    write_page(report_on(language=language), folder)
    states = [state for state in DayState if state is not DayState.NEVER]
    days = [
        CalendarDay(
            A_SATURDAY - timedelta(days=back), states[back % 6 if back % 5 == 1 else 0], STATISTICS, back % 7 == 3
        )
        for back in range(500)
        if back % 11 != 5 and not 100 < back < 170
    ]
    content = _ordinary(language)
    trend = Trend(content.trend_chart, content.success_chart, content.trend)
    now = datetime(2023, 4, 20, 12, 5, tzinfo=ZoneInfo("Europe/Moscow"))
    return write_index(days, trend, folder, messages=Messages(language), prepared_at=now)


def unfold(page: Page) -> None:
    """Open everything that is folded."""
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    page.settle()


# The looking glass itself


def test_browser_would_tell(chromium: Chromium, tmp_path: Path) -> None:
    """A page that does what ours must not is found out: what follows would see it."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!DOCTYPE html><html lang=en><title>x</title><meta name=viewport content='width=device-width'>"
        "<link rel=icon href=data:,><body style='background:#fff'>"
        "<p style='color:#aaa'>faint</p><p style='width:900px'>wide</p>"
        "<img src='https://example.org/a.png'><script>console.log('said'); nothing()</script>"
    )
    with chromium.page(bad, width=390) as page:
        assert any("said" in complaint for complaint in page.complaints)
        assert any("nothing is not defined" in complaint for complaint in page.complaints)
        assert "https://example.org/a.png" in page.requests
        assert page.evaluate(FAINT) == ["2.32: faint"]
        assert page.evaluate(STICKING_OUT) == ['<p style="width:900px">wide</p>']


# Every kind of page


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_page_is_quiet_fits_and_is_readable(file: Path, width: int, chromium: Chromium) -> None:
    """Nothing is complained of or fetched, nothing sticks out, and every text stands out, light or dark."""
    with chromium.page(file, width=width) as page:
        unfold(page)
        for scheme in ("light", "dark"):
            page.prefer(scheme)
            page.settle()
            assert page.evaluate(FAINT) == [], scheme
        assert page.evaluate(STICKING_OUT) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.complaints == []
        assert page.requests == [file.resolve().as_uri()]


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize(
    ("kind", "marks"),
    [
        ("ordinary", [{"runs": 24, "submits": 24, "successful_submits": 24}, {"runs", "submits", "unique_users"}]),
        ("one event", [{"submits": 1}, {"submits", "unique_users", "runs"}]),
        ("25 hours", [{"runs": 25, "submits": 25, "successful_submits": 25}, {"runs", "submits", "unique_users"}]),
        ("empty", [{}, set()]),
    ],
)
def test_charts_are_there_and_not_empty(
    kind: str, marks: list[Any], width: int, language: Language, chromium: Chromium, tmp_path: Path
) -> None:
    """Each chart is seen once, as wide as there is room, with its bars and lines, and letters that can be read."""
    content = KINDS[kind](language)
    with chromium.page(write_page(content, tmp_path), width=width) as page:
        hours, trend, success = page.evaluate(SEEN)

    for figure in (hours, trend, success):
        assert figure["drawings"] == 1
        assert figure["width"] > min(width, 992) * 0.75
        assert figure["height"] > 150
        assert figure["letters"] >= 10
    seen = {name: number for name, number in hours["marks"].items() if name in marks[0]}
    assert seen == marks[0]
    assert set(trend["marks"]) == marks[1]
    assert bool(success["marks"]) is (kind != "empty")


@pytest.mark.parametrize("width", [390, 1280])
def test_calendar_is_seen_whole(width: int, language: Language, chromium: Chromium, tmp_path: Path) -> None:
    """Every day's box is seen with its sign, Monday at the left, and its charts below; links lead to pages."""
    file = _calendar(language, tmp_path)
    with chromium.page(file, width=width) as page:
        unfold(page)
        boxes = page.evaluate("""[...document.querySelectorAll('td[title]')].map(day => {
            const sign = day.querySelector('svg').getBoundingClientRect();
            return [day.getBoundingClientRect().width, sign.width, sign.height]})""")
        lefts = page.evaluate("""[...document.querySelector('.month thead tr').cells].map(
            day => Math.round(day.getBoundingClientRect().left))""")
        links = page.evaluate("[...new Set([...document.links].map(link => link.href))]")
        figures = page.evaluate(SEEN)

    assert len(boxes) > 300
    assert all(room > 30 and sign > 9 and tall > 9 for room, sign, tall in boxes)
    assert lefts == sorted(set(lefts))
    assert links == [(tmp_path / "2023-04-01.html").resolve().as_uri()]
    assert [figure["drawings"] for figure in figures] == [1, 1]
    assert all(figure["marks"] for figure in figures)


def test_link_between_page_and_calendar_works(language: Language, chromium: Chromium, tmp_path: Path) -> None:
    """From the calendar a click opens the day, and from there the way leads back."""
    with chromium.page(_calendar(language, tmp_path)) as page:
        for place in ("2023-04-01.html", "index.html"):
            page.follow("document.links[0].click()")
            assert page.evaluate("location.pathname.split('/').pop()") == place
        assert page.complaints == []


def test_partial_label_stays_in_sight(language: Language, chromium: Chromium, tmp_path: Path) -> None:
    """However far one scrolls, a day that is not whole says so."""
    with chromium.page(write_page(_unfinished(language), tmp_path), width=390) as page:
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        page.settle()
        top, height = page.evaluate(
            "(box => [box.top, box.height])(document.querySelector('.banner').getBoundingClientRect())"
        )

        assert page.evaluate("window.scrollY") > 500
        assert top == 0
        assert height > 20


def test_wide_table_scrolls_in_its_own_box(language: Language, chromium: Chromium, tmp_path: Path) -> None:
    """On a phone a wide table moves by itself, also by the keyboard, and the page stays where it is."""
    with chromium.page(write_page(_ordinary(language), tmp_path), width=320) as page:
        page.evaluate("document.querySelector('table.courses').parentElement.focus()")
        before = page.evaluate("document.activeElement.scrollWidth - document.activeElement.clientWidth")
        page.press("ArrowRight")
        moved = page.evaluate("""new Promise(done => setTimeout(() => done(document.activeElement.scrollLeft), 400))""")

        assert before > 0
        assert moved > 0
        assert page.evaluate("window.scrollX") == 0


def test_numbers_behind_a_chart_open_by_keyboard(language: Language, chromium: Chromium, tmp_path: Path) -> None:
    """The table behind a chart is closed at first, and opens without a mouse or a script."""
    with chromium.page(write_page(_ordinary(language), tmp_path)) as page:
        seen = "document.querySelector('table.hours').checkVisibility()"
        before = page.evaluate(seen)
        page.evaluate("document.querySelector('summary').focus()")
        page.press("Enter")

        assert not before
        assert page.evaluate(seen)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_paper_is_white_and_holds_what_matters(
    scheme: Scheme, language: Language, chromium: Chromium, tmp_path: Path
) -> None:
    """Printed, the page is black on white whatever the screen is, on few sheets of A4, with nothing to be clicked."""
    content = replace(_ordinary(language), partial="PARTIAL: only a part")
    file = write_page(content, tmp_path)
    with chromium.page(file, scheme=scheme) as page:
        page.paper(tmp_path / "page.pdf")
        page.prefer(scheme, "print")
        page.settle()
        ground, ink = page.evaluate("(style => [style.backgroundColor, style.color])(getComputedStyle(document.body))")
        hidden = page.evaluate("""['.back', 'details', 'figure .narrow'].map(
            name => document.querySelector(name).getBoundingClientRect().height)""")
        banner = page.evaluate("getComputedStyle(document.querySelector('.banner')).position")
        faint = page.evaluate(FAINT)
    paper = (tmp_path / "page.pdf").read_bytes()
    width, height = (float(size) for size in re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", paper)[0])

    assert (ground, ink) == ("rgb(255, 255, 255)", "rgb(0, 0, 0)")
    assert hidden == [0, 0, 0]
    assert banner == "static"
    assert faint == []
    assert (round(width), round(height)) == (595, 842)
    assert len(re.findall(rb"/Type /Page\b", paper)) <= 4


# Hostile texts

EVIL = (
    "<script>window.broken = 1</script>",
    "</style></title></svg><img src=x onerror='window.broken = 1'>",
    '"\' onmouseover="window.broken = 1" style=\'position:fixed',
    "<a href='javascript:window.broken=1'>javascript:window.broken=1</a>",
    "\u202e\u2067rekcatta\u2069",
)


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
def test_hostile_texts_do_nothing(evil: str, chromium: Chromium, tmp_path: Path) -> None:
    """Whatever stands in a text, no script runs, no element or link appears, nothing is asked for."""
    content = with_texts(_corrected(Language.ENGLISH), lambda text: text + evil)
    content = replace(content, **{name: getattr(_ordinary(Language.ENGLISH), name) for name in ("hardest", "courses")})
    content = with_texts(content, lambda text: text if text.endswith(evil) else text + evil)
    file = write_page(content, tmp_path)
    with chromium.page(file, width=390) as page:
        unfold(page)
        page.evaluate("document.querySelectorAll('*').forEach(each => each.dispatchEvent(new Event('mouseover')))")

        assert page.evaluate("typeof window.broken") == "undefined"
        assert page.evaluate("document.querySelectorAll('script, img, iframe, object').length") == 0
        assert page.evaluate("[...document.links].map(link => link.getAttribute('href'))") == ["index.html"]
        assert evil.strip() in page.evaluate("document.querySelector('h1').textContent")
        assert page.complaints == []
        assert page.requests == [file.resolve().as_uri()]


# True to the database


def digits(text: str) -> float | None:
    """Return a number as people write it in either language; a dash is none, percents are shares."""
    if text == "—":
        return None
    number = float(re.sub(r"[^\d.]", "", text.replace(",", "." if re.search(r",\d{1,2}(\D|$)", text) else "")))
    return number / 100 if "%" in text else number


def source_events(day: datetime, hours: int, number: int) -> list[dict[str, Any]]:
    """Return events of a day that begins at a moment: of twelve students, three courses, tasks solved and unsolved."""
    events = []
    for place in range(number):
        student, course, task = place * 7 % 12, place % 3, place % 5
        moment = day + timedelta(seconds=place * hours * 3600 // number, microseconds=place)
        is_submit = place % 4 != 0
        events.append(
            make_event(
                lti_user_id=f"{student:032x}",
                attempt_type="submit" if is_submit else "run",
                is_correct=int(course != 1 and task != 4) if is_submit else None,
                created_at=f"{moment:%Y-%m-%d %H:%M:%S.%f}",
                passback_params=make_passback(f"{student:032x}", f"course-v1:DEMO+C{course}+2023", f"{task:032x}"),
            )
        )
    return events


def expected(url: str, start: datetime) -> dict[str, Any]:
    """Count the day anew from the rows of the table, in plain Python."""
    rows = table_rows(
        url, "SELECT created_at, user_id, attempt_type, is_correct, lis_result_sourcedid FROM lms_activities"
    )
    submits = [row for row in rows if row[2] == "submit"]
    successes = [row for row in submits if row[3]]
    hours: Counter[tuple[int, str]] = Counter()
    courses: Counter[tuple[str, str]] = Counter()
    tried: Counter[tuple[str, str, str]] = Counter()
    for moment, user, kind, is_correct, sourcedid in rows:
        hour = int((moment - start).total_seconds() // 3600)
        context, link, _ = sourcedid.rsplit(":", 2)
        hours[hour, kind] += 1
        courses[context, kind] += 1
        if kind == "submit":
            hours[hour, "success"] += bool(is_correct)
            courses[context, "success"] += bool(is_correct)
            tried[context, link.rsplit("-", 1)[1], user] += 1
    solved = {(row[4].rsplit(":", 2)[0], row[4].rsplit(":", 2)[1].rsplit("-", 1)[1], row[1]) for row in successes}
    solved_tasks = {task[:2] for task in solved}
    (counts,) = table_rows(
        url,
        "SELECT received, loaded, updated, already_present, rejected, defective, missing_at_source FROM etl_runs "
        "WHERE mode = 'full' ORDER BY id DESC LIMIT 1",
    )
    return {
        "users": len({row[1] for row in rows}),
        "runs": len(rows) - len(submits),
        "submits": len(submits),
        "successes": len(successes),
        "hours": hours,
        "courses": courses,
        "unsolved": {task[:2] for task in tried} - solved_tasks,
        "stuck": len({task[2] for task, number in tried.items() if number >= 5 and task not in solved}),
        "counts": list(counts),
    }


@pytest.mark.parametrize(
    ("day", "zone", "hours", "events"),
    [
        (date(2023, 4, 1), "Europe/Moscow", 24, 600),
        (SUMMER_ENDS, "Europe/Berlin", 25, 450),
        (date(2023, 4, 1), "UTC", 24, 1),
        (date(2023, 4, 1), "UTC", 24, 0),
    ],
    ids=["ordinary", "25 hours", "one event", "empty"],
)
def test_tables_match_the_database(
    day: date, zone: str, hours: int, events: int, program: Program, events_api: EventsServer, chromium: Chromium
) -> None:
    """After a real run every number on the page is the one counted from the tables, in both languages."""
    start = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    events_api.serve(source_events(start.replace(tzinfo=None), hours, events))
    assert program.run("--date", str(day), "--language", "ru", TIMEZONE=zone).code == 0
    assert program.database_url
    known = expected(program.database_url, start)
    pages = []
    for language in ("ru", "en"):
        if language == "en":
            assert program.run("report", "--date", str(day), "--language", "en", TIMEZONE=zone).code == 0
        with chromium.page(program.reports / f"{day}.html") as page:
            pages.append(page.evaluate(READ))
            assert page.complaints == []
        with chromium.page(program.reports / "index.html") as page:
            box = page.evaluate("document.querySelector('td.done, td.empty').textContent")
            assert page.complaints == []
        assert f", {known['users']} " in box

    for read in pages:
        check(read, known, hours, json.dumps(read, ensure_ascii=False))
    assert [read["language"] for read in pages] == ["ru", "en"]


def check(read: dict[str, Any], known: dict[str, Any], hours: int, told: str) -> None:
    """Compare what a page says with what was counted."""
    users, runs, submits, successes = (known[name] for name in ("users", "runs", "submits", "successes"))
    shares = [successes / submits if submits else None] + [n / users if users else None for n in (submits, successes)]
    tiles = [digits(text) for text in read["tiles"]]
    assert tiles[:4] == [users, runs, submits, successes], told
    assert tiles[4:] == [share if share is None else pytest.approx(share, abs=0.005) for share in shares], told

    by_hour = [[digits(cell) for cell in row[1:]] for row in read["hours"]]
    kinds = ("run", "submit", "success")
    assert by_hour == ([[known["hours"][hour, kind] for kind in kinds] for hour in range(hours)] if users else [])
    by_course = {row[0]: [digits(cell) for cell in row[2:4]] for row in read["courses"]}
    names = {name for name, _ in known["courses"]}
    assert by_course == {name: [known["courses"][name, kind] for kind in kinds[:2]] for name in names}
    assert {(row[0], row[1]) for row in read["unsolved"]} == known["unsolved"]
    assert digits(read["stuck"]) == known["stuck"]
    assert [digits(row[1]) for row in read["counts"]] == known["counts"]
    assert [digits(cell) for cell in read["trend"][-1][1:4]] == [users, runs, submits]
