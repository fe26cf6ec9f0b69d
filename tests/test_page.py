"""The local page: what it shows in both languages, and how it comes into its folder."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from app_types import Counts, DailyStatistics, Day, Language, Mode, Window
from exceptions import ReportError
from messages import Messages
from report.content import Cell, CellKind, DayContent, Row, day_content
from report.page import write_page

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = date(2023, 4, 1)
ZONE = ZoneInfo("Europe/Moscow")
STATISTICS = DailyStatistics(unique_users=1204, runs=3860, submits=2071, successful_submits=981)
COUNTS = Counts(
    received=5931,
    loaded=3311,
    updated=1,
    already_present=2577,
    rejected=42,
    defective=118,
    missing_at_source=12,
)

posix = pytest.mark.skipif(os.name != "posix", reason="modes of files are a matter of POSIX")


@pytest.fixture(params=list(Language), ids=lambda language: language.name.lower())
def messages(request: pytest.FixtureRequest) -> Messages:
    """Give each language in turn."""
    return Messages(request.param)


def _content(
    messages: Messages,
    *,
    mode: Mode = Mode.FULL,
    statistics: DailyStatistics = STATISTICS,
    counts: Counts | None = COUNTS,
) -> DayContent:
    start = datetime(DAY.year, DAY.month, DAY.day, tzinfo=ZONE).astimezone(UTC)
    window = Window(start, start + timedelta(hours=24 if mode is Mode.FULL else 1))
    day = Day(DAY, ZONE, mode, window, complete=mode is Mode.FULL)
    prepared = datetime(2023, 4, 2, 5, 3, tzinfo=UTC)
    return day_content(day, statistics, counts, prepared_at=prepared, messages=messages)


class _Page(HTMLParser):
    """A parsed page: its elements with their attributes, and the text of each."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._silent = False
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._silent = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        if data.strip() and not self._silent:
            self.texts.append(data.strip())

    @property
    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}

    def having(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.elements if name == tag)


def test_page_shows_every_figure_beside_its_label(messages: Messages, tmp_path: Path) -> None:
    """What the content holds stands on the page, value after label, in the content's language."""
    content = _content(messages)
    page = _Page(write_page(content, tmp_path))

    for row in (*content.facts, *content.figures, *content.counts):
        position = page.texts.index(row.label)
        assert page.texts[position + 1] == row.cell.text
    for text in (content.title, *content.warnings, content.figures_heading, content.counts_heading):
        assert text in page.texts
    assert next(page.having("html"))["lang"] == messages.language.value


def test_page_is_named_by_its_date_and_a_test_run_apart(messages: Messages, tmp_path: Path) -> None:
    """The page of a test run never takes the place of the day's page."""
    whole = write_page(_content(messages), tmp_path)
    test = write_page(_content(messages, mode=Mode.TEST), tmp_path)

    assert whole == tmp_path / "2023-04-01.html"
    assert test == tmp_path / "2023-04-01.test.html"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2023-04-01.html", "2023-04-01.test.html"]


def test_partial_label_comes_first(messages: Messages, tmp_path: Path) -> None:
    """A day that is not whole says so before anything else, in the title too; a whole one does not."""
    content = _content(messages, mode=Mode.TEST)
    page = _Page(write_page(content, tmp_path))
    whole = _Page(write_page(_content(messages), tmp_path))

    assert content.partial is not None
    assert page.texts.index(content.partial) < page.texts.index(content.title)
    assert content.partial in page.texts[0]
    assert messages.text("PARTIAL") not in whole.source


def test_page_is_self_contained(messages: Messages, tmp_path: Path) -> None:
    """No script, nothing fetched, and a policy that makes the browser hold the page to it."""
    page = _Page(write_page(_content(messages), tmp_path))

    assert not page.tags & {"script", "img", "iframe", "object", "base", "a", "form"}
    assert [link["href"] for link in page.having("link")] == ["data:,"]
    assert "default-src 'none'" in page.source
    assert not any(word in page.source for word in ("http://", "https://", "url(", "@import", "src="))


def test_page_is_accessible(messages: Messages, tmp_path: Path) -> None:
    """Landmarks, one first heading, a caption and scoped headers; pictures repeat what tables say."""
    page = _Page(write_page(_content(messages), tmp_path))
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}

    assert {"header", "main", "section", "caption"} <= page.tags
    assert len(list(page.having("h1"))) == 1
    assert all(header.get("scope") == "row" for header in page.having("th"))
    assert all(section["aria-labelledby"] in ids for section in page.having("section"))
    assert all(picture["aria-hidden"] == "true" for picture in page.having("svg"))


def test_bar_of_the_counts_adds_up(messages: Messages, tmp_path: Path) -> None:
    """The parts of the bar stand one after the other and fill it."""
    page = _Page(write_page(_content(messages), tmp_path))
    parts = [rect for rect in page.having("rect") if "x" in rect]

    assert [(int(p["x"] or ""), int(p["width"] or "")) for p in parts] == [
        (0, 3311),
        (3311, 1),
        (3312, 2577),
        (5889, 42),
    ]
    assert 'viewBox="0 0 5931 1"' in page.source


def test_empty_day_and_unknown_counts_make_a_page(messages: Messages, tmp_path: Path) -> None:
    """A day without events has dashes and no bars; without a run there are no counts."""
    nothing = DailyStatistics(0, 0, 0, 0)
    zero = Counts(0, 0, 0, 0, 0, 0, 0)
    page = _Page(write_page(_content(messages, statistics=nothing, counts=zero), tmp_path))
    bare = _Page(write_page(_content(messages, statistics=nothing, counts=None), tmp_path))

    assert "—" in page.texts
    assert not page.tags & {"svg"}
    assert "table" in page.tags
    assert "table" not in bare.tags


def test_hostile_text_is_only_text(messages: Messages, tmp_path: Path) -> None:
    """Markup in any field is shown, never obeyed."""
    evil = "</title><script>alert(1)</script>\"'><svg onload=alert(1)>{{7*7}}"
    row = Row("success_share", evil, Cell(CellKind.SHARE, 0.5, evil))
    content = replace(
        _content(messages), title=evil, partial=evil, warnings=(evil,), facts=(row,), figures=(row,), counts=(row,),
        figures_heading=evil, counts_heading=evil,
    )  # fmt: skip
    page = _Page(write_page(content, tmp_path))

    assert "script" not in page.tags
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.texts.count(evil) == 12


@posix
def test_page_and_new_folder_are_for_the_owner_alone(messages: Messages, tmp_path: Path) -> None:
    """Nobody else on the machine may read the report, whatever the umask says."""
    before = os.umask(0)
    try:
        path = write_page(_content(messages), tmp_path / "a" / "reports")
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@posix
def test_page_replaces_an_open_older_one_whole(messages: Messages, tmp_path: Path) -> None:
    """Who has the older page open keeps it whole; the new one is another file under the same name."""
    path = write_page(_content(messages), tmp_path)
    path.chmod(0o644)
    with path.open(encoding="utf-8") as older:
        write_page(_content(messages, mode=Mode.FULL, counts=None), tmp_path)
        kept = older.read()

    assert kept.endswith("</html>\n")
    assert "<table>" in kept
    assert "<table>" not in path.read_text(encoding="utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@posix
def test_link_in_the_place_of_the_page_is_replaced_not_followed(messages: Messages, tmp_path: Path) -> None:
    """A link that somebody put there does not lead the page elsewhere."""
    target = tmp_path / "target"
    target.write_text("mine")
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / "2023-04-01.html").symlink_to(target)
    path = write_page(_content(messages), reports)

    assert not path.is_symlink()
    assert target.read_text() == "mine"


@posix
def test_failure_is_told_and_leaves_the_older_page(messages: Messages, tmp_path: Path) -> None:
    """What keeps the page from being written is told with the file and the system's reason; nothing is left over."""
    place = tmp_path / "2023-04-01.html"
    place.mkdir()
    with pytest.raises(ReportError) as caught:
        write_page(_content(messages), tmp_path)

    assert caught.value.fields["file"] == str(place)
    assert caught.value.fields["cause"] == os.strerror(errno.EISDIR)
    assert "REPORTS_PATH" in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == [place.name]


def test_file_in_the_place_of_the_folder_is_told(messages: Messages, tmp_path: Path) -> None:
    """A file where the folder should be is an error, not a traceback."""
    (tmp_path / "reports").write_text("")
    with pytest.raises(ReportError, match="could not be written"):
        write_page(_content(messages), tmp_path / "reports")


@posix
def test_full_disk_keeps_the_older_page(messages: Messages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older page stays whole when the new one cannot be stored, and no half file is left."""
    path = write_page(_content(messages), tmp_path)
    older = path.read_bytes()

    def no_room(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(ReportError, match=os.strerror(errno.ENOSPC)):
        write_page(_content(messages, counts=None), tmp_path)

    assert path.read_bytes() == older
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
