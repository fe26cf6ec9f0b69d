"""The charts: what their SVG and PNG show, for eyes of every kind and on grounds of every kind."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import sys
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from app_types import DailyStatistics, DayDetails, Language, Mode
from report.charts import BARS, LINES, png, svg
from report.content import Background
from report.parts import Chart, Series
from tests.support.reports import a_day, days_before, empty_report, hours_of, report_on

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(params=list(Language), ids=lambda language: language.name.lower())
def language(request: pytest.FixtureRequest) -> Language:
    """Give each language in turn."""
    return request.param  # type: ignore[no-any-return]


def _charts(language: Language = Language.ENGLISH, **before: object) -> tuple[Chart, ...]:
    """Return the three charts of a day with eight weeks before it."""
    day = a_day()
    background = Background(details=DayDetails(hours_of(day)), past=days_before(56, **before))  # type: ignore[arg-type]
    return report_on(day, language=language, background=background).charts


def _parsed(chart: Chart, **options: int) -> ET.Element:
    return ET.fromstring(svg(chart, **options))


def _texts(picture: ET.Element) -> list[str]:
    return [text.text or "" for text in picture.iter(f"{SVG}text")]


def _marks(picture: ET.Element, key: str) -> list[ET.Element]:
    """Return the bars of a series, or its line and then its markers."""
    return [mark for group in picture.iter(f"{SVG}g") if group.get("class") == key for mark in group]


def _markers(picture: ET.Element, key: str) -> list[ET.Element]:
    _, *markers = _marks(picture, key)
    return markers


def _across(marker: ET.Element) -> float:
    """Return how far to the right the middle of a marker is."""
    if "width" in marker.attrib:
        return sum(_corners(marker)[:2]) / 2
    return float(marker.get("cx") or marker.attrib["d"].split()[1])


def _corners(mark: ET.Element) -> tuple[float, float, float, float]:
    """Return left, right, top and bottom of a rectangle."""
    x, y, width, height = (float(mark.attrib[name]) for name in ("x", "y", "width", "height"))
    return x, x + width, y, y + height


def _style(mark: ET.Element) -> dict[str, str]:
    return dict(pair.split(":", 1) for pair in mark.get("style", "").split(";") if pair)


def _luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _themes() -> Iterator[dict[str, str]]:
    """Yield the variables of a chart on light ground, then on dark ground."""
    style = _parsed(_charts()[0]).findtext(f"{SVG}style") or ""
    light, dark = style.split("@media screen and (prefers-color-scheme:dark)")
    for part in (light, dark):
        yield dict(re.findall(r"(--chart-[a-z-]+):(#[0-9a-f]{6})", part))


def test_chart_names_itself_to_those_who_do_not_see_it(language: Language) -> None:
    """A chart is an image with title and description, in the words of the content."""
    for chart in _charts(language):
        picture = _parsed(chart)
        named = {element.get("id"): element.text for element in picture if element.get("id")}

        assert picture.get("role") == "img"
        assert [named[name] for name in picture.attrib["aria-labelledby"].split()] == [chart.title, chart.summary]


def test_texts_are_escaped() -> None:
    """A text with signs of markup stays a text."""
    hours = _charts()[0]
    sly = replace(
        hours, title="<script>&", summary='"]]> & <b>', series=(Series("runs", "<i>&amp;", hours.series[0].values),)
    )
    picture = _parsed(sly)

    assert picture.findtext(f"{SVG}title") == "<script>&"
    assert picture.findtext(f"{SVG}desc") == '"]]> & <b>'
    assert "<i>&amp;" in _texts(picture)


def test_charts_can_share_a_page() -> None:
    """Identifiers are unique among all charts in both widths."""
    pictures = [_parsed(chart, width=width) for chart in _charts(partial=[3]) for width in (720, 360)]
    names = [element.get("id") for picture in pictures for element in picture.iter() if element.get("id")]

    assert len(names) == len(set(names))


def test_chart_refers_to_nothing_outside() -> None:
    """An SVG is one element without prolog, script, image or address other than its own namespace."""
    for chart in _charts():
        text = svg(chart)
        picture = ET.fromstring(text)

        assert text.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
        assert "url(" not in text
        assert "href" not in text
        assert text.count("://") == 1
        assert {element.tag.removeprefix(SVG) for element in picture.iter()} <= {
            "svg", "title", "desc", "style", "g", "path", "rect", "circle", "text",
        }  # fmt: skip


def test_styles_do_not_reach_into_the_page() -> None:
    """A chart's style sheet speaks of charts alone, and only gently: a page may set the colours itself."""
    style = _parsed(_charts()[0]).findtext(f"{SVG}style") or ""
    selectors = re.findall(r"([^{}]+)\{", style.replace("@media screen and (prefers-color-scheme:dark){", ""))

    assert set(selectors) == {".chart", ":where(.chart)"}


def test_chart_is_the_same_every_time() -> None:
    """The same chart gives the same bytes, in another process too."""
    code = (
        "import sys; from tests.test_charts import _charts; from report.charts import svg, png;"
        "sys.stdout.buffer.write(b''.join(svg(c).encode() + png(c) for c in _charts()))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=True)

    assert other.stdout == b"".join(svg(chart).encode() + png(chart) for chart in _charts())


def test_width_is_the_pages_to_choose() -> None:
    """An SVG has proportions but no size of its own."""
    picture = _parsed(_charts()[0], width=360)

    assert picture.get("viewBox", "").startswith("0 0 360 ")
    assert "width" not in picture.attrib
    assert "height" not in picture.attrib


def test_text_is_text_in_the_letters_and_the_colour_of_the_page(language: Language) -> None:
    """Names of series, steps and values can be read, found and copied; they look like the page around them."""
    for chart in _charts(language):
        picture = _parsed(chart)
        expected = {series.label for series in chart.series} | {tick.text for tick in chart.ticks}
        expected |= {chart.x[step] for step in chart.named}

        assert expected <= set(_texts(picture))
        for text in picture.iter(f"{SVG}text"):
            assert _style(text).get("fill") == "currentColor"
            assert "font-family" not in _style(text)


def test_every_colour_follows_the_ground() -> None:
    """No mark has a colour that would stay as it is in the dark or on paper, as the black of one without any would."""
    for chart in _charts(partial=[5]):
        outermost = [mark for mark in _parsed(chart) if mark.tag.removeprefix(SVG) not in {"title", "desc", "style"}]
        assert all("fill" in _style(mark) for mark in outermost)
        for mark in _parsed(chart).iter():
            for name in ("fill", "stroke"):
                assert name not in mark.attrib
                colour = _style(mark).get(name, "none")
                assert re.fullmatch(r"none|currentColor|var\(--chart-[a-z-]+,#[0-9a-f]{6}\)", colour)


def test_colours_stand_out_from_the_ground() -> None:
    """Every line, marker and edge has a contrast of three to one at least, on light and on dark ground."""
    for theme in _themes():
        ground = theme.pop("--chart-ground")
        del theme["--chart-runs"]  # a surface that has an edge
        assert all(_contrast(colour, ground) >= 3 for colour in theme.values()), theme


def test_bars_in_front_of_one_another_differ_in_lightness() -> None:
    """In print without colours the three bars of an hour can still be told apart."""
    for theme in _themes():
        behind, middle, front = (theme[f"--chart-{name}"] for name in ("runs", "submits", "success"))
        assert _contrast(behind, middle) >= 1.9
        assert _contrast(middle, front) >= 1.9


def test_series_are_told_apart_not_by_colour_alone() -> None:
    """Bars differ in width, lines in dashes and markers."""
    hours, trend, _ = _charts()
    widths = [
        right - left
        for series in hours.series
        for left, right, _, _ in [_corners(_marks(_parsed(hours), series.key)[0])]
    ]
    dashes = [_style(_marks(_parsed(trend), series.key)[0]).get("stroke-dasharray") for series in trend.series]

    assert all(front < behind - 3 for behind, front in pairwise(widths))
    assert len(set(dashes)) == 3
    assert len({LINES[series.key].marker for series in trend.series}) == 3
    assert len({BARS[series.key].bar for series in hours.series}) == 3


@pytest.mark.parametrize(
    ("on", "zone", "hours"),
    [
        (date(2023, 4, 1), "Europe/Moscow", 24),
        (date(2023, 3, 26), "Europe/Berlin", 23),
        (date(2023, 10, 29), "Europe/Berlin", 25),
        (date(2023, 4, 1), "Asia/Kolkata", 24),
    ],
    ids=["24 hours", "23 hours", "25 hours", "half-hour offset"],
)
def test_hours_have_a_bar_for_every_number(on: date, zone: str, hours: int) -> None:
    """Every hour of the day has its three bars, side by side, from left to right, as high as the numbers are."""
    day = a_day(on, zone)
    chart = report_on(day, background=Background(details=DayDetails(hours_of(day)))).hours_chart
    picture = _parsed(chart)

    for series in chart.series:
        bars = [_corners(bar) for bar in _marks(picture, series.key)]
        assert len(bars) == hours
        assert bars == sorted(bars)
        heights = [bottom - top for _, _, top, bottom in bars]
        for value, height in zip(series.values, heights, strict=True):
            assert height / heights[0] == pytest.approx((value or 0) / (series.values[0] or 1), rel=0.01)
    edges = [_corners(bar)[:2] for bar in _marks(picture, "runs")]
    assert all(right <= left for (_, right), (left, _) in pairwise(edges))


def test_hour_without_submits_has_no_bar_for_them() -> None:
    """A number of nought draws nothing."""
    hours = _charts()[0]
    quiet = replace(hours, series=(Series("runs", "Code runs", (0, 7, 0, 1)),), x=("a", "b", "c", "d"), named=())

    assert len(_marks(_parsed(quiet), "runs")) == 2


def test_the_hour_of_a_test_is_no_wall() -> None:
    """The single bar of a test run takes a small part of the picture, in its middle."""
    day = a_day(mode=Mode.TEST)
    chart = report_on(day, background=Background(details=DayDetails(hours_of(day)))).hours_chart
    (bar,) = _marks(_parsed(chart), "runs")
    left, right, _, _ = _corners(bar)

    assert right - left < 720 / 6
    assert 720 / 3 < left < right < 720 * 2 / 3


def test_line_breaks_where_nothing_is_known() -> None:
    """Days that were never processed leave a gap: nothing is drawn between what is known."""
    *_, success = _charts(without=[3, 4, 10])
    line = _marks(_parsed(success), "success_share")[0]

    assert line.attrib["d"].count("M") == 3


def test_a_day_between_two_gaps_has_a_marker() -> None:
    """A value that no line leads to is seen all the same."""
    whole, alone = _charts()[2], _charts(without=[3, 5])[2]
    markers = [len(_markers(_parsed(chart), "success_share")) for chart in (whole, alone)]

    assert markers[1] == markers[0] + 1


def test_first_day_ever_is_a_point_at_the_right(language: Language) -> None:
    """A trend of one day shows its point at the end of the axis, which names the days before it too."""
    content = report_on(language=language)
    for chart in (content.trend_chart, content.success_chart):
        picture = _parsed(chart)
        for series in chart.series:
            *_, last = _markers(picture, series.key)
            assert _across(last) > 680
        assert {chart.x[step] for step in chart.named} <= set(_texts(picture))
        assert len(chart.x) == 28


def test_share_is_drawn_on_the_whole_scale() -> None:
    """A share stands between nought and a hundred percent, so that small changes look small."""
    success = _charts()[2]
    picture = _parsed(success)
    heights = {text.text: float(text.attrib["y"]) for text in picture.iter(f"{SVG}text")}
    *_, last = _markers(picture, "success_share")
    middle = (heights["0%"] + heights["100%"]) / 2

    assert [tick.value for tick in success.ticks] == [0, 0.25, 0.5, 0.75, 1]
    assert float(last.attrib["cy"]) == pytest.approx(middle, abs=12)  # 47.4 percent, by the line of a text


def test_partial_days_are_hollow_and_said_to_be(language: Language) -> None:
    """A day that is not whole has a marker with the ground in it, which the legend explains."""
    whole, partial = _charts(language)[1], _charts(language, partial=[8])[1]
    ground = "var(--chart-ground,#ffffff)"

    def hollow(chart: Chart) -> int:
        return sum(_style(mark).get("fill") == ground for key in LINES for mark in _marks(_parsed(chart), key))

    assert hollow(whole) == 0
    assert hollow(partial) == 3
    assert partial.partial_label in _texts(_parsed(partial))
    assert partial.partial_label not in _texts(_parsed(whole))


def test_empty_chart_says_that_nothing_happened(language: Language) -> None:
    """Without events there is a quiet axis and a sentence, no bars, no scale and no legend."""
    for chart in empty_report(language).charts:
        picture = _parsed(chart)

        assert chart.empty
        assert _texts(picture) == [*(chart.x[step] for step in reversed(chart.named)), chart.summary]
        assert not any(_marks(picture, series.key) for series in chart.series)


def test_share_of_nought_is_not_empty() -> None:
    """A day on which every submit failed is drawn."""
    statistics = DailyStatistics(unique_users=3, runs=0, submits=5, successful_submits=0)

    assert not report_on(statistics=statistics).success_chart.empty


def test_chart_without_steps_is_drawn() -> None:
    """A chart that has nothing at all, not even an axis, is a sentence."""
    nothing = Chart("hours", "Title", "There were no events.", "Hour", (), (Series("runs", "Code runs", ()),))

    assert _texts(_parsed(nothing)) == ["There were no events."]


@pytest.mark.parametrize("width", [340, 360, 720, 1000])
def test_nothing_sticks_out_or_runs_together(width: int, language: Language) -> None:
    """In every width, texts stay inside the picture, and names on the axis apart from one another."""
    for chart in _charts(language, partial=[4]):
        picture = _parsed(chart, width=width)
        height = float(picture.attrib["viewBox"].split()[3])
        steps = []
        for text in picture.iter(f"{SVG}text"):
            x, y, long = float(text.attrib["x"]), float(text.attrib["y"]), 6.5 * len(text.text or "")
            anchor = _style(text).get("text-anchor", "start")
            left = {"start": x, "middle": x - long / 2, "end": x - long}[anchor]
            assert left >= 0, text.text
            assert left + long <= width + 4, text.text
            assert 0 < y < height
            if anchor == "middle":
                steps.append((left, left + long))
        assert all(right < left for (_, right), (left, _) in pairwise(sorted(steps)))


def test_endless_names_leave_room_for_the_data() -> None:
    """Names that no picture could hold stick out; the bars stay where they are seen."""
    hours = _charts()[0]
    wide = replace(
        hours,
        x=tuple("endless" * 99 + step for step in hours.x),
        ticks=tuple(replace(tick, text="endless" * 99) for tick in hours.ticks),
    )
    bars = [_corners(bar) for bar in _marks(_parsed(wide), "runs")]

    assert all(0 < left < right < 720 and bottom > top for left, right, top, bottom in bars)


def test_narrow_chart_names_every_other_step(language: Language) -> None:
    """Where there is little room for names, every other one is left out, and the last is not."""
    for chart in _charts(language):
        named = {chart.x[step] for step in chart.named}
        shown = [[text for text in _texts(_parsed(chart, width=width)) if text in named] for width in (720, 360)]

        assert shown[1] == shown[0][::2]
        assert shown[1][0] == chart.x[chart.named[-1]]


def test_legend_takes_no_more_lines_than_it_needs(language: Language) -> None:
    """Names stand side by side where there is room, else in lines below one another."""
    chart = _charts(language, partial=[4])[1]
    labels = {*(series.label for series in chart.series), chart.partial_label}
    lines = [
        len({text.get("y") for text in _parsed(chart, width=width).iter(f"{SVG}text") if text.text in labels})
        for width in (720, 360, 100)
    ]

    assert lines == [1, 2, 4]


def test_png_is_fine_white_and_small(language: Language) -> None:
    """A letter's picture is twice as fine as it is shown, has a white ground without holes, and weighs little."""
    from PIL import Image

    past = tuple(
        replace(known, statistics=DailyStatistics(900 + 37 * number % 400, 3500 + 971 * number % 1300, 2000, 900))
        for number, known in enumerate(days_before(28, without=[9], partial=[3]))
    )
    content = report_on(language=language, background=Background(details=DayDetails(hours_of(a_day())), past=past))
    for chart in (*content.charts, *empty_report(language).charts):
        data = png(chart)
        with Image.open(io.BytesIO(data)) as picture:
            corners = [picture.convert("RGBA").getpixel((x, y)) for x in (0, 1279) for y in (0, picture.height - 1)]

        assert data.startswith(b"\x89PNG")
        assert struct.unpack(">I", data[16:20])[0] == 1280
        assert set(corners) == {(255, 255, 255, 255)}
        assert len(data) < 25_000


def test_png_shows_every_series() -> None:
    """What a page shows in its colours, a letter shows in the plain ones."""
    from PIL import Image, ImageColor

    for chart in _charts(partial=[4]):
        with Image.open(io.BytesIO(png(chart))) as picture:
            seen = {colour for _, colour in picture.convert("RGB").getcolors() or ()}
        looks = BARS if chart.key == "hours" else LINES

        assert {ImageColor.getrgb(looks[series.key].colour) for series in chart.series} <= seen


def _with_a_name(text: str) -> Chart:
    hours = _charts()[0]
    return replace(hours, series=(replace(hours.series[0], label=text),))


def test_letters_of_a_png_are_drawn() -> None:
    """In a letter's picture, Cyrillic and Latin names can be told from one another and from no name at all."""
    pictures = [png(_with_a_name(text)) for text in ("", "Дом", "Сон", "Cat", "Dog")]

    assert len(set(pictures)) == 5


def test_png_without_its_font_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A picture without words is not passed for a good one."""
    monkeypatch.setattr("font_roboto.Roboto", str(tmp_path / "none.ttf"))
    with pytest.raises(FileNotFoundError):
        png(_with_a_name("Cat"))


def test_png_is_the_same_whatever_fonts_a_machine_has() -> None:
    """No font of the machine takes part, not even for a sign that ours has not: each of those is the same box."""
    assert png(_with_a_name("\N{RIGHTWARDS ARROW}")) == png(_with_a_name("\N{HIRAGANA LETTER A}"))


def _alone(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a few lines in a process of their own, every warning an error."""
    return subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", code],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_what_makes_a_png_is_loaded_only_for_one() -> None:
    """A run without a letter does not pay for its pictures."""
    done = _alone("""
import sys
from report import charts
from tests.test_charts import _charts
def loaded():
    return {"PIL", "resvg_py", "font_roboto"} & set(sys.modules)
[charts.svg(chart) for chart in _charts()]
assert not loaded(), loaded()
charts.png(_charts()[0])
assert len(loaded()) == 3
""")

    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads as Linux tells them")
def test_drawing_writes_nothing_and_starts_nothing() -> None:
    """Charts are drawn where no folder can be written to, by one thread, without another program's help."""
    done = _alone(
        """
import os, sys
from pathlib import Path
FORBIDDEN = ("subprocess.", "os.fork", "os.posix_spawn", "os.exec", "os.system", "os.mkdir", "tempfile.", "socket.")
def guard(event, arguments):
    flags = arguments[2] or 0 if event == "open" else 0
    if event.startswith(FORBIDDEN) or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        raise AssertionError(f"{event} {arguments}")
from tests.test_charts import _charts
charts_ = _charts()
sys.addaudithook(guard)
from report import charts
for chart in charts_:
    charts.svg(chart), charts.png(chart)
assert len(list(Path("/proc/self/task").iterdir())) == 1
""",
        HOME="/dev/null",
        TMPDIR="/dev/null",
    )

    assert (done.returncode, done.stderr) == (0, "")
