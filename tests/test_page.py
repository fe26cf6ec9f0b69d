"""The local page: what it shows in both languages, how safe it is to open, and how it comes into its folder."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from app_types import DailyStatistics, DayDetails, Language, Mode
from exceptions import ReportError
from messages import Messages
from report.content import Background
from report.page import page_html, write_page
from report.parts import Trust, TrustLine
from tests.support.pages import accessibility_faults, read_page, with_texts
from tests.support.reports import (
    COUNTS,
    COURSES,
    PYTHON,
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
    from pathlib import Path

    from report.content import DayContent
    from report.parts import Table
    from tests.support.pages import Element

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
NAMESPACES = ("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink")

posix = pytest.mark.skipif(os.name != "posix", reason="modes of files are a matter of POSIX")


@pytest.fixture(params=list(Language), ids=lambda language: language.name.lower())
def language(request: pytest.FixtureRequest) -> Language:
    """Give each language in turn."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def messages(language: Language) -> Messages:
    """Speak the language."""
    return Messages(language)


def full_report(language: Language = Language.ENGLISH, *, previous: DailyStatistics | None = None) -> DayContent:
    """Return a day with everything; with corrections, where it had other figures before."""
    details = DayDetails(hours_of(a_day()), COURSES, (*tasks(12), *tasks(14, successes=0)), 17)
    background = Background(details, days_before(56, partial={9}), revision=2 if previous else 1, previous=previous)
    return report_on(language=language, background=background)


def drawn(content: DayContent) -> Element:
    """Return the page of a day, read."""
    return read_page(page_html(content))


def section(page: Element, heading: str) -> Element:
    """Return the section under a heading."""
    (found,) = [each for each in page.all("section") if heading in [h.text for h in each.all("h2")]]
    return found


def texts(table: Table, *columns: str) -> list[list[str]]:
    """Return the cells of a table of the content; of some columns, if they are named."""
    shown = [place for place, column in enumerate(table.columns) if not columns or column.key in columns]
    return [[" ".join(row[place].text.split()) for place in shown] for row in table.rows]


def plain(text: str) -> str:
    """Return a text as `Element.text` gives it."""
    return " ".join(text.split())


# What it shows


def test_page_shows_every_figure_with_its_label(language: Language) -> None:
    """Each figure stands in a tile of its own: value, label, and how it stands to what is usual."""
    content = full_report(language)
    tiles = drawn(content).the("dl", class_="tiles").all("div")

    assert len(tiles) == len(content.figures) == 7
    for row, tile in zip(content.figures, tiles, strict=True):
        assert row.compared is not None
        assert tile.the("dt").text == row.label
        assert tile.the("dd", class_="value").text == plain(row.cell.text)
        against = f"{row.compared.arrow} {row.compared.word} ({row.compared.median.text})"
        assert tile.the("dd", class_="against").text == plain(against)


def test_figures_far_from_usual_stand_out(messages: Messages) -> None:
    """What is far above or below is marked; what is as usual is not."""
    background = Background(past=weeks_before([400] * 8))
    page = drawn(report_on(language=messages.language, background=background))
    far = page.all("span", class_="far")

    assert messages.text("far above usual") in [span.text.lstrip("▲ ") for span in far]
    assert not drawn(full_report(messages.language)).all("span", class_="far")


def test_page_says_what_the_figures_are_compared_with(messages: Messages) -> None:
    """The note under the figures explains the brackets, or why there are none; a part of a day needs no reason."""
    compared = section(drawn(full_report(messages.language)), messages.text("Figures of the day"))
    alone = section(drawn(report_on(language=messages.language)), messages.text("Figures of the day"))
    test = drawn(report_on(a_day(mode=Mode.TEST), language=messages.language))

    assert messages.text("In brackets: the median of the same weekday in the eight weeks before.") in compared.text
    reason = messages.text("What is usual is known once this weekday was processed in four of the eight weeks before.")
    assert reason in alone.text
    assert not alone.all("dd", class_="against")
    assert reason not in test.text


@pytest.mark.parametrize("trust", list(Trust))
def test_trust_line_comes_first_with_a_sign_of_its_own(trust: Trust, language: Language) -> None:
    """Whether to trust the figures is said above them: in a sentence, a colour and a shape."""
    content = replace(full_report(language), trust=TrustLine(trust, "May I trust these numbers?"))
    page = drawn(content)
    line = page.the("main").all("div")[0]
    shapes = {
        kind: page_html(replace(content, trust=TrustLine(kind, ""))).split('class="sign"')[1].split("</svg>")[0]
        for kind in Trust
    }

    assert line.classes == {"notice", "trust", trust.value}
    assert line.text == "May I trust these numbers?"
    assert len(line.all("svg", class_="sign")) == 1
    assert len(set(shapes.values())) == 3


def test_corrections_tell_old_and_new(messages: Messages) -> None:
    """A corrected day says so above the figures, with each figure that changed: what it was, what it is."""
    previous = replace(STATISTICS, submits=2070, successful_submits=975)
    content = full_report(messages.language, previous=previous)
    box = drawn(content).the("div", class_="corrected")

    assert content.correction_text is not None
    assert content.correction_text in box.text
    changes = [[c.label, plain(c.old.text), plain(c.new.text)] for c in content.corrections]
    assert len(changes) >= 3
    assert box.the("table").rows() == changes
    assert [each.text for each in box.all("del")] == [old for _, old, _ in changes]
    assert [each.text for each in box.all("ins")] == [new for _, _, new in changes]
    assert not drawn(full_report(messages.language)).all("div", class_="corrected")


def test_partial_label_is_unmistakable(messages: Messages) -> None:
    """A day that is not whole says so before anything else, in the title and beside its figures."""
    content = report_on(a_day(mode=Mode.TEST), language=messages.language)
    page, whole = drawn(content), drawn(report_on(language=messages.language))

    assert content.partial is not None
    assert page.the("body").text.startswith(content.partial)
    assert page.the("aside", class_="banner").text == content.partial
    assert str(page.the("head").the("title").parts[0]).startswith(content.partial)
    assert messages.text("PARTIAL") in section_heading(page)
    assert messages.text("PARTIAL") not in whole.the("body").text
    assert not whole.all("aside")


def section_heading(page: Element) -> str:
    """Return the heading of the figures."""
    return page.the("h2", id="figures").text


def test_every_table_is_that_of_the_content(messages: Messages) -> None:
    """The tables, also those behind the charts, hold the cells of the content, in its order."""
    content = full_report(messages.language)
    page = drawn(content)
    hours, trend, success = (section(page, chart.title) for chart in content.charts)
    struggle = section(page, messages.text("Where students struggle"))

    assert hours.the("table").rows() == texts(content.hours)
    assert trend.the("table").rows() == texts(content.trend, "date", "unique_users", "runs", "submits", "state")
    assert success.the("table").rows() == texts(
        content.trend, "date", "submits", "successful_submits", "success_share", "state"
    )
    assert [table.rows() for table in struggle.all("table")] == [texts(content.hardest), texts(content.unsolved)]
    assert section(page, content.courses.title).the("table").rows() == texts(content.courses)
    assert section(page, content.counts_heading).the("table").rows() == [
        [row.label, plain(row.cell.text)] for row in content.counts
    ]


def test_tables_say_how_they_were_made(messages: Messages) -> None:
    """Thresholds and what is left out stand beside the tables, and how many students are stuck."""
    content = full_report(messages.language)
    page = drawn(content)
    said = page.the("main").text

    for table in content.tables:
        assert plain(table.note) in said
    for row in (*content.facts, content.stuck):
        assert row.label in page.text
        assert plain(row.cell.text) in page.text
    assert content.footer in page.the("footer").text


def test_charts_are_drawn_for_wide_and_narrow_screens(messages: Messages) -> None:
    """Each chart is there in two widths, says in words what it shows, and has its numbers one click away."""
    content = full_report(messages.language)
    figures = drawn(content).all("figure")

    assert len(figures) == 3
    for chart, figure in zip(content.charts, figures, strict=True):
        wide, narrow = (figure.the("div", class_=name).the("svg") for name in ("wide", "narrow"))
        assert wide.attributes["viewbox"] != narrow.attributes["viewbox"]
        assert figure.the("figcaption").text == plain(chart.summary)
    assert len(drawn(content).all("details")) == 3


def test_warnings_stand_above_the_figures(messages: Messages) -> None:
    """What the operator is warned of, the reader is, too."""
    content = replace(full_report(messages.language), warnings=("Twelve events vanished.",))
    notices = drawn(content).all("div", class_="notice")

    assert [notice.text for notice in notices][1:] == ["Twelve events vanished."]


def test_bar_of_the_counts_adds_up(language: Language) -> None:
    """The parts of the bar stand one after the other and fill it."""
    counts = replace(COUNTS, received=5931, loaded=3311, updated=1, already_present=2577, rejected=42)
    bar = drawn(report_on(counts=counts, language=language)).the("section", class_="counts").the("svg", class_="bar")

    assert [(int(part.attributes["x"]), int(part.attributes["width"])) for part in bar.all("rect")] == [
        (0, 3311), (3311, 1), (3312, 2577), (5889, 42),
    ]  # fmt: skip
    assert bar.attributes["viewbox"] == "0 0 5931 1"


def test_empty_day_and_unknown_counts_make_a_page(messages: Messages) -> None:
    """A day without events has dashes and says that there were none; without a run there are no counts."""
    page = drawn(empty_report(messages.language))
    bare = drawn(report_on(counts=None, language=messages.language))

    assert "—" in page.the("dl", class_="tiles").text
    assert messages.text("There were no events.") in section(page, messages.text("The day by hour")).text
    assert messages.text("No task had enough submits.") in page.text
    assert not page.all("svg", class_="bar")
    assert page.all("section", class_="counts")
    assert not bare.all("section", class_="counts")
    assert accessibility_faults(page) == []


def test_page_leads_to_the_calendar_unless_it_travels_alone(messages: Messages) -> None:
    """The one link of a page leads to the calendar beside it; a page that is sent somewhere has none."""
    content = full_report(messages.language)
    link = drawn(content).the("a")

    assert link.attributes["href"] == "index.html"
    assert messages.text("All days") in link.text
    assert not read_page(page_html(content, alone=True)).all("a")


# Who can read it, and how safely


@pytest.mark.parametrize("previous", [None, replace(STATISTICS, runs=1)], ids=["first", "corrected"])
def test_page_is_accessible(previous: DailyStatistics | None, language: Language) -> None:
    """Landmarks, headings in order, captions and scopes, named pictures, everything by keyboard."""
    page = drawn(full_report(language, previous=previous))

    assert accessibility_faults(page) == []
    assert page.the("html").attributes["lang"] == language.value
    assert accessibility_faults(drawn(report_on(a_day(mode=Mode.TEST), language=language))) == []


def test_page_is_self_contained(language: Language) -> None:
    """No script, nothing fetched, and a policy that makes the browser hold the page to it."""
    html = page_html(full_report(language))
    page = read_page(html)
    forbidden = {
        "script",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "image",
        "foreignobject",
        "audio",
        "video",
    }

    assert page.the("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"] == POLICY
    assert not {element.tag for element in page} & forbidden
    assert [link.attributes["href"] for link in page.all("link")] == ["data:,"]
    assert all(use.attributes["href"].startswith("#") for use in page.all("use"))
    for namespace in NAMESPACES:
        html = html.replace(namespace, "")
    assert not any(word in html for word in ("http:", "https:", "//", "url(", "@import", "src=", "javascript:"))


CHARTS = ("hours", "trend", "success")
HOSTILE = (
    "</title></style><script>alert(1)</script>",
    "\"'><svg onload=alert(1)><a href=javascript:alert(1)>x</a>",
    "{{7*7}}{% raw %}${7*7}$\\frac{1}{2}$",
    "\u202egnirts\u202c \u2066right to left\u2069",
    "<!--", "]]>", "&lt;b&gt;", "%(n)s %s", '=HYPERLINK("https://example.org")', "\u0000\ud800\x1b[31m",
)  # fmt: skip


@pytest.mark.parametrize("evil", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_only_text(evil: str) -> None:
    """Markup in any field is shown, never obeyed: no tag, no attribute and no link comes from a text."""
    content = full_report(previous=replace(STATISTICS, runs=1))
    hostile = with_texts(content, lambda text: text + evil)
    if not evil.isprintable() and "\ud800" in evil:  # the names in a chart are our own; nothing can draw these
        hostile = replace(hostile, **{f"{chart}_chart": getattr(content, f"{chart}_chart") for chart in CHARTS})
    page = drawn(hostile)

    assert shape(page) == shape(drawn(content))
    assert [link.attributes["href"] for link in page.all("a")] == ["index.html"]
    if "\ud800" not in evil:
        assert page.the("h1").text == plain(content.title + evil)


def shape(page: Element) -> list[tuple[str, list[str]]]:
    """Return a page without its texts; how a chart sets its names, and where lines may break, does not matter."""
    inside = [each for each in page if each.tag not in {"wbr", "text"}]
    return [(each.tag, sorted(each.attributes)) for each in inside]


def test_page_with_many_courses_stays_small() -> None:
    """A page of an ordinary day fits a letter: with forty courses it is below 150 kB in either language."""
    courses = tuple(replace(COURSES[-1], key=f"{PYTHON}_{number}") for number in range(40))
    background = Background(DayDetails(hours_of(a_day()), courses, tasks(30), 3), days_before(56))
    sizes = [len(page_html(report_on(language=each, background=background)).encode()) for each in Language]

    assert max(sizes) < 150_000


# How it comes into its folder


def test_page_is_named_by_its_date_and_a_test_run_apart(language: Language, tmp_path: Path) -> None:
    """The page of a test run never takes the place of the day's page."""
    whole = write_page(report_on(language=language), tmp_path)
    test = write_page(report_on(a_day(mode=Mode.TEST), language=language), tmp_path)

    assert whole == tmp_path / "2023-04-01.html"
    assert test == tmp_path / "2023-04-01.test.html"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2023-04-01.html", "2023-04-01.test.html"]


@posix
def test_page_and_new_folder_are_for_the_owner_alone(tmp_path: Path) -> None:
    """Nobody else on the machine may read the report, whatever the umask says."""
    before = os.umask(0)
    try:
        path = write_page(report_on(), tmp_path / "a" / "reports")
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@posix
def test_page_replaces_an_open_older_one_whole(tmp_path: Path) -> None:
    """Who has the older page open keeps it whole; the new one is another file under the same name."""
    path = write_page(report_on(), tmp_path)
    path.chmod(0o644)
    with path.open(encoding="utf-8") as older:
        write_page(report_on(counts=None), tmp_path)
        kept = older.read()

    assert kept.endswith("</html>\n")
    assert read_page(kept).all("section", class_="counts")
    assert not read_page(path).all("section", class_="counts")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@posix
def test_link_in_the_place_of_the_page_is_replaced_not_followed(tmp_path: Path) -> None:
    """A link that somebody put there does not lead the page elsewhere."""
    target = tmp_path / "target"
    target.write_text("mine")
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / "2023-04-01.html").symlink_to(target)
    path = write_page(report_on(), reports)

    assert not path.is_symlink()
    assert target.read_text() == "mine"


@posix
def test_failure_is_told_and_leaves_the_older_page(tmp_path: Path) -> None:
    """What keeps the page from being written is told with the file and the system's reason; nothing is left over."""
    place = tmp_path / "2023-04-01.html"
    place.mkdir()
    with pytest.raises(ReportError) as caught:
        write_page(report_on(), tmp_path)

    assert caught.value.fields["file"] == str(place)
    assert caught.value.fields["cause"] == os.strerror(errno.EISDIR)
    assert "REPORTS_PATH" in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == [place.name]


def test_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    """A file where the folder should be is an error, not a traceback."""
    (tmp_path / "reports").write_text("")
    with pytest.raises(ReportError, match="could not be written"):
        write_page(report_on(), tmp_path / "reports")


@posix
def test_full_disk_keeps_the_older_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older page stays whole when the new one cannot be stored, and no half file is left."""
    path = write_page(report_on(), tmp_path)
    older = path.read_bytes()

    def no_room(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(ReportError, match=os.strerror(errno.ENOSPC)):
        write_page(report_on(counts=None), tmp_path)

    assert path.read_bytes() == older
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
