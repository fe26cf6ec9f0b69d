"""The letter: what it says in both languages, and how it reaches its recipients through a real mail server."""

from __future__ import annotations

import itertools
import logging
import re
import socket
import ssl
import struct
import threading
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from app_types import (
    Counts,
    DailyStatistics,
    Day,
    DayDetails,
    DayOutcome,
    Delivery,
    HourFigures,
    Language,
    Mode,
    PublishedDay,
    RefusedRecipient,
    RunStatus,
    Secret,
    SheetOutcome,
    TaskFigures,
    Window,
)
from config import MailSecurity, MailSettings
from email_notifications import LARGEST, Handover, compose, deliver, message_id, probe
from exceptions import DatabaseError, MailError, SourceError
from messages import Messages
from report.content import Background, Cell, CellKind, DayContent, Row, day_content
from report.letter import SHOWN_DAYS, LetterContent, LetterFailure, letter_content
from tests.support.smtp import DROP, HANG, TRICKLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.support.smtp import SmtpServer

    StartServer = Callable[..., SmtpServer]

A, B, C = "a@example.org", "b@example.org", "c@example.org"
SENDER = "etl@example.org"
PASSWORD = "correct horse battery staple"
ZONE = ZoneInfo("Europe/Moscow")
PREPARED = datetime(2023, 4, 2, 8, 3, tzinfo=ZONE)
SHEET_URL = "https://docs.google.com/spreadsheets/d/1AbC"
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


@pytest.fixture(params=list(Language), ids=lambda language: language.name.lower())
def messages(request: pytest.FixtureRequest) -> Messages:
    """Give each language in turn."""
    return Messages(request.param)


PICTURE = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4s", 13, b"IHDR") + bytes(range(256)) * 4
"""Bytes that no text encoding would leave alone."""


def _details(tasks: int = 12) -> DayDetails:
    start = datetime(2023, 4, 1, tzinfo=ZONE).astimezone(UTC)
    return DayDetails(
        hours=tuple(HourFigures(start + timedelta(hours=hour), 10 * hour, 5 * hour, hour) for hour in range(24)),
        tasks=tuple(
            TaskFigures(f"course-v1:DEMO+PY-{number % 3}+2023", f"{number:032x}", 30, 60, 40, 3 + number, number)
            for number in range(tasks)
        ),
        stuck_students=17,
    )


def _past(day: date) -> tuple[PublishedDay, ...]:
    return tuple(
        PublishedDay(day - timedelta(weeks=week), 1, True, DailyStatistics(1000, 3850, 3000, 900 + week), None)
        for week in range(1, 9)
    )


def _day(
    messages: Messages,
    day: date = date(2023, 4, 1),
    *,
    mode: Mode = Mode.FULL,
    complete: bool = True,
    statistics: DailyStatistics = STATISTICS,
    counts: Counts = COUNTS,
    **behind: Any,
) -> DayContent:
    start = datetime(day.year, day.month, day.day, tzinfo=ZONE).astimezone(UTC)
    window = Window(start, start + timedelta(hours=1 if mode is Mode.TEST else 24 if complete else 14))
    covered = Day(day, ZONE, mode, window, complete=mode is Mode.FULL and complete)
    return day_content(
        covered, statistics, counts, prepared_at=PREPARED, messages=messages, background=Background(**behind)
    )


def _full_day(messages: Messages, day: date = date(2023, 4, 1), **facts: Any) -> DayContent:
    """Return a day with all that can be told of one, corrections among it."""
    return _day(
        messages,
        day,
        details=_details(),
        past=_past(day),
        revision=2,
        previous=DailyStatistics(1200, 3860, 2070, 990),
        **facts,
    )


def _outcome(day: date = date(2023, 4, 1), **facts: Any) -> DayOutcome:
    values: dict[str, Any] = {"mode": Mode.FULL, "complete": True, "status": RunStatus.OK, "statistics": STATISTICS}
    return DayOutcome(date=day, **(values | facts))


def _letter(
    messages: Messages,
    outcomes: Sequence[DayOutcome] | None = None,
    contents: Sequence[DayContent | None] | None = None,
    **facts: Any,
) -> LetterContent:
    outcomes = outcomes or [_outcome(sheet=SheetOutcome.UPDATED, sheet_url=SHEET_URL)]
    contents = contents or [_day(messages) for _ in outcomes]
    return letter_content(outcomes, contents, prepared_at=PREPARED, messages=messages, **facts)


def _compose(letter: LetterContent, **changes: Any) -> EmailMessage:
    values: dict[str, Any] = {
        "sender": SENDER,
        "recipients": [A, B],
        "message_id": "<1@example.org>",
        "sent_at": PREPARED,
    }
    return compose(letter, **(values | changes))


def _sent(message: EmailMessage) -> EmailMessage:
    """Return the message as a recipient's program reads it."""
    return message_from_bytes(message.as_bytes(), policy=policy.default)


def _part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    content = body.get_content()
    assert isinstance(content, str)
    return content.replace("\r\n", "\n")


def _plain(message: EmailMessage) -> str:
    return _part(_sent(message), "plain")


def _html(message: EmailMessage) -> str:
    return _part(_sent(message), "html")


def _folded(raw: bytes, name: bytes) -> str:
    """Return a header as it travels, without its line breaks."""
    head = raw.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ")
    (line,) = [line for line in head.split(b"\r\n") if line.startswith(name + b":")]
    return line.partition(b":")[2].strip().decode("ascii")


class _Seen(HTMLParser):
    """What a reader of the HTML sees, and what its elements are."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self._pieces: list[str] = []
        self._hidden = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend(attrs)
        self._hidden = tag in {"style", "title"}

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._pieces.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"[ \n]+", " ", " ".join(self._pieces))


def _plain_message(text: str, times: int = 1) -> EmailMessage:
    message = EmailMessage()
    message["Message-ID"] = "<1@example.org>"
    message.set_content(text * times)
    return message


@pytest.fixture
def english_letter() -> EmailMessage:
    """Give a letter to hand over."""
    return _compose(_letter(Messages(Language.ENGLISH)))


@pytest.fixture
def give(english_letter: EmailMessage) -> Callable[..., Delivery]:
    """Give a function that delivers a letter with short pauses."""

    def give_to(smtp: SmtpServer, *recipients: str, deadline: float = 20.0, **changes: Any) -> Delivery:
        return deliver(
            smtp.settings(**changes),
            english_letter,
            recipients=recipients or (A, B),
            deadline=deadline,
            pause=0.01,
        )

    return give_to


# What the letter says


def test_letter_has_text_and_html_with_the_same_figures(messages: Messages) -> None:
    """Every label and value of the content stands in both alternatives."""
    letter = _letter(messages)
    message = _compose(letter)
    plain, seen = _plain(message), _Seen(_html(message)).text

    content = letter.day
    assert content is not None
    assert _sent(message).get_content_type() == "multipart/alternative"
    for row in (*content.figures, *content.counts):
        assert re.search(re.escape(row.label) + " +" + re.escape(row.cell.text), plain)
        assert row.label in seen
        assert row.cell.text in seen


def test_headers_are_complete(messages: Messages) -> None:
    """The headers name sender, recipients, time, language and that a program wrote the letter."""
    letter = _letter(messages)
    message = _sent(_compose(letter))

    assert str(message["Subject"]) == letter.subject
    assert str(message["From"]) == SENDER
    assert str(message["Date"]) == "Sun, 02 Apr 2023 08:03:00 +0300"
    assert str(message["Message-ID"]) == "<1@example.org>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Content-Language"] == messages.language.value
    assert message.get_all("MIME-Version") == ["1.0"]


def test_addresses_stand_together_in_one_to_header() -> None:
    """All recipients see who else got the letter."""
    message = _sent(_compose(_letter(Messages(Language.ENGLISH)), recipients=[A, B, C]))

    assert [str(header) for header in message.get_all("To", [])] == [f"{A}, {B}, {C}"]


def test_long_cyrillic_subject_survives_the_way() -> None:
    """A subject beyond ASCII and beyond one line decodes to what it was."""
    subject = "Учёба 30 сентября 2023: 12\u00a0204 студента, 48\u00a0% верных отправок, ещё несколько длинных слов"
    raw = _compose(replace(_letter(Messages(Language.RUSSIAN)), subject=subject)).as_bytes()

    assert raw.isascii()
    assert str(message_from_bytes(raw, policy=policy.default)["Subject"]) == subject
    assert str(make_header(decode_header(_folded(raw, b"Subject")))) == subject
    assert max(map(len, raw.partition(b"\r\n\r\n")[0].split(b"\r\n"))) <= 998


def test_letter_is_seven_bit_with_crlf(messages: Messages) -> None:
    """Any server can take the letter: ASCII, lines of at most 998 bytes, ended by CRLF."""
    raw = _compose(_letter(messages)).as_bytes()

    assert raw.isascii()
    assert re.search(rb"(?<!\r)\n|\r(?!\n)", raw) is None
    assert max(map(len, raw.split(b"\r\n"))) <= 998


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=120) | st.text(alphabet="a \r\n\v\x00\x85\u2028\u202e\ud800Ж=?_", max_size=60))
def test_any_subject_becomes_one_clean_header(subject: str) -> None:
    """No text can add a header, break the letter or crash it; what is left reads as it was."""
    letter = replace(_letter(Messages(Language.ENGLISH)), subject=subject)
    message = _compose(letter)
    head = message.as_bytes().partition(b"\r\n\r\n")[0]
    known = {name for name, _ in _compose(_letter(Messages(Language.ENGLISH))).items()}
    read = str(message_from_bytes(head, policy=policy.default)["Subject"])

    assert set(message.keys()) == known
    assert {line.split(b":")[0].decode() for line in head.split(b"\r\n") if not line.startswith((b" ", b"\t"))} == known
    assert b"\0" not in head
    assert not any(character in read for character in "\0\r\n\v\x85\u2028\u2029\u202e")
    assert [c for c in subject if c.isalnum()][:100] == [c for c in read if c.isalnum()][:100]
    assert read == str(make_header(decode_header(_folded(message.as_bytes(), b"Subject"))))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(st.sampled_from("abЖё:,·%12\u00a0"), min_size=1, max_size=15), min_size=1, max_size=12))
def test_subject_keeps_its_blanks(words: list[str]) -> None:
    """However a subject is cut into encoded words, its own words stay apart."""
    subject = " ".join(words)
    message = _sent(_compose(replace(_letter(Messages(Language.ENGLISH)), subject=subject)))

    assert str(message["Subject"]) == subject


@pytest.mark.parametrize("field", ["sender", "recipients", "message_id"])
def test_line_break_in_an_address_adds_no_header(field: str) -> None:
    """What should hold an address cannot smuggle a header in."""
    hostile = "x@example.org\r\nBcc: victim@example.org\0"
    value: Any = [hostile] if field == "recipients" else hostile
    message = _sent(_compose(_letter(Messages(Language.ENGLISH)), **{field: value}))

    assert "Bcc" not in message


def test_over_long_subject_is_cut() -> None:
    """A subject stays short enough to be read in a list of letters."""
    message = _compose(replace(_letter(Messages(Language.ENGLISH)), subject="word " * 100))

    assert len(str(message["Subject"])) <= 200
    assert str(message["Subject"]).endswith("…")


def test_hostile_text_in_content_is_only_text(messages: Messages) -> None:
    """Markup in any field of the content is shown, never obeyed."""
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{7*7}}"
    row = Row("unique_users", evil, Cell(CellKind.COUNT, 1, evil))
    plain = _full_day(messages)
    cell = Cell(CellKind.TEXT, evil, evil)
    day = replace(
        plain, title=evil, partial=evil, warnings=(evil,), figures=(row,), counts=(row,), facts=(row,), stuck=row,
        figures_heading=evil, counts_heading=evil, correction_text=evil, trust=replace(plain.trust, text=evil),
        corrections=tuple(replace(each, label=evil, old=cell, new=cell) for each in plain.corrections),
        hardest=replace(plain.hardest, title=evil, note=evil, rows=((cell, cell, *plain.hardest.rows[0][2:]),)),
        hours_chart=replace(plain.hours_chart, title=evil, summary=evil),
    )  # fmt: skip
    failure = LetterFailure(days=(evil,), problem=evil, kept=evil, remedy=evil, commands=(evil,))
    for days in ([day], [day, day]):
        letter = replace(
            _letter(messages, [_outcome(date(2023, 4, number + 1)) for number in range(len(days))], days),
            subject=evil, heading=evil, outcome=evil, partial=evil, failures=(failure,), warnings=(evil,),
            sheet_label=evil, sheet_url='https://example.org/" onclick="alert(1)', sheet_warning=evil, footer=evil,
        )  # fmt: skip
        for picture in (None, PICTURE):
            message = _compose(letter, picture=picture)
            seen = _Seen(_html(message))
            assert "script" not in seen.tags
            assert [value for name, value in seen.attributes if name == "src"] == (
                ["cid:picture.1@example.org"] if picture and len(days) == 1 else []
            )
            assert not [name for name, _ in seen.attributes if name.startswith("on")]
            assert "<script>alert(1)</script>" in seen.text
            assert "{{7*7}}" in seen.text
            assert "<script>" in _plain(message)


def test_html_asks_the_network_for_nothing(messages: Messages) -> None:
    """No image, script, style sheet or font is fetched; the only link is the sheet's."""
    page = _html(_compose(_letter(messages)))
    seen = _Seen(page)

    assert not {"script", "img", "link", "iframe", "object", "base"} & set(seen.tags)
    assert [value for name, value in seen.attributes if name in {"href", "src", "background"}] == [SHEET_URL]
    assert "url(" not in page
    assert "@import" not in page


def test_html_names_its_language_and_is_small(messages: Messages) -> None:
    """Screen readers know the language; the letter is far below what clients cut off."""
    page = _html(_compose(_letter(messages)))

    assert f'<html lang="{messages.language.value}"' in page
    assert len(page.encode()) < 100_000


def test_partial_label_is_unmistakable(messages: Messages) -> None:
    """The label of a test run comes first in HTML, framed in the text, and stands in the subject."""
    day = _day(messages, mode=Mode.TEST)
    message = _compose(_letter(messages, [_outcome(mode=Mode.TEST, complete=False)], [day]))
    seen = _Seen(_html(message)).text.strip()

    assert day.partial is not None
    assert seen.startswith(day.partial)
    assert re.search(r"\+-+\+\n\| " + re.escape(day.partial) + r" +\|\n\+-+\+", _plain(message))
    assert day.partial.split(":")[0] in str(message["Subject"])


def test_whole_day_bears_no_partial_label(messages: Messages) -> None:
    """A day that is whole is not called partial anywhere."""
    message = _compose(_letter(messages))

    assert messages.text("PARTIAL") not in _plain(message) + _html(message) + str(message["Subject"])


def test_sheet_link_only_where_the_sheet_was_updated(messages: Messages) -> None:
    """The link invites only to a sheet that shows these figures; otherwise a warning says so."""
    outcome = _outcome(status=RunStatus.PARTIAL, sheet=SheetOutcome.FAILED, sheet_url=SHEET_URL)
    letter = _letter(messages, [outcome])
    message = _compose(letter)

    assert SHEET_URL in _plain(_compose(_letter(messages)))
    assert SHEET_URL not in _plain(message) + _html(message)
    assert "href" not in _html(message)
    assert letter.sheet_warning
    assert letter.sheet_warning in " ".join(_plain(message).split("\n  "))
    assert letter.sheet_warning in _Seen(_html(message)).text


def test_failed_day_tells_what_was_kept_and_what_to_do(messages: Messages) -> None:
    """A failure letter holds the problem, the state of the data, the remedy and the command to repeat."""
    error = SourceError("The events API did not answer in time.", remedy="Try again later.")
    letter = _letter(messages, [_outcome(status=RunStatus.FAILED, error=error, statistics=None)], [None])
    message = _compose(letter)
    plain, seen = _plain(message), _Seen(_html(message)).text
    (failure,) = letter.failures

    for text in (failure.problem, failure.kept, failure.remedy, letter.outcome):
        assert text is not None
        assert text in plain
        assert text in seen
    assert "    python data_processor.py --date 2023-04-01\n" in plain
    assert "python data_processor.py --date 2023-04-01" in seen


def test_range_tells_failures_first_then_a_row_a_day(messages: Messages) -> None:
    """Thirty days make a table, not thirty sections; days with the same failure share a notice above it."""
    error = SourceError("The events API did not answer in time.", remedy="Try again later.")
    days = [date(2023, 4, 1) + timedelta(days=number) for number in range(30)]
    failed = {days[3], days[17]}
    outcomes = [
        _outcome(day, status=RunStatus.FAILED, error=error, statistics=None) if day in failed else _outcome(day)
        for day in days
    ]
    contents = [None if day in failed else _day(messages, day) for day in days]
    letter = _letter(messages, outcomes, contents)
    plain, page = _plain(_compose(letter)), _html(_compose(letter))

    (failure,) = letter.failures
    problem = failure.problem
    assert problem is not None
    assert plain.count(problem) == page.count(problem) == 1
    assert plain.index(problem) < plain.index("-------------  ")
    for day in days:
        row = rf"^  {re.escape(messages.date(day))} +[^ \n]+ +[^ \n]+ +[^ \n]+$"
        assert bool(re.search(row, plain, re.MULTILINE)) is (day not in failed)
        assert (f"--date {day.isoformat()}" in plain) is (day in failed)
    assert page.count("<tbody>") == 1
    assert max(map(len, plain.splitlines())) <= 72


def test_lines_of_the_text_fit_a_terminal(messages: Messages) -> None:
    """No line but an address is longer than 72 characters."""
    trouble = MailError("A long sentence. " * 12)
    plain = _plain(_compose(_letter(messages, [_outcome(status=RunStatus.PARTIAL, troubles=(trouble,))])))

    assert max(len(line) for line in plain.splitlines() if "://" not in line) <= 72


def test_empty_day_is_told_without_a_share(messages: Messages) -> None:
    """A day without events has a dash where nothing can be divided."""
    nothing = DailyStatistics(0, 0, 0, 0)
    message = _compose(_letter(messages, [_outcome(statistics=nothing)], [_day(messages, statistics=nothing)]))

    assert "—" in _plain(message)
    assert "—" in _html(message)


def _in_order(text: str, *pieces: str | None) -> None:
    """Check that texts stand in a text, one after the other."""
    place = 0
    for piece in pieces:
        assert piece
        found = text.find(piece, place)
        assert found >= 0, f"not after the others: {piece}"
        place = found + len(piece)


def _flat(text: str) -> str:
    """Return a plain text without its line breaks and frames."""
    return re.sub(r"[ \n]+", " ", text)


def test_letter_of_a_day_tells_the_important_first(messages: Messages) -> None:
    """Label, trust, figures, corrections, picture, hard tasks, stuck students, warnings, counts, link, footer."""
    day = _full_day(messages, complete=False)
    outcome = _outcome(sheet=SheetOutcome.UPDATED, sheet_url=SHEET_URL, troubles=(MailError("Some trouble."),))
    letter = _letter(messages, [outcome], [day])
    message = _compose(letter, picture=PICTURE)
    figures = [text for row in day.figures if row.key != "success_share" for text in (row.label, row.cell.text)]

    for text in (_Seen(_html(message)).text, _flat(_plain(message))):
        start = letter.heading if text.startswith(letter.heading) else day.partial
        _in_order(text, start, day.trust.text)
        _in_order(text, day.trust.text, *figures[2:], day.correction_text)
        _in_order(text, day.correction_text, day.hours_chart.title, day.hardest.title)
        _in_order(text, day.hardest.title, day.stuck.label, letter.warnings[0], *day.warnings)
        _in_order(text, day.warnings[-1], day.counts_heading, letter.sheet_label, letter.footer)


def test_figures_are_told_with_what_is_usual(messages: Messages) -> None:
    """Each figure has an arrow, a word and the median; a note says what the median is of."""
    day = _full_day(messages)
    letter = _letter(messages, [_outcome()], [day])
    seen, plain = _Seen(_html(_compose(letter))).text, _plain(_compose(letter))

    assert all(row.compared for row in day.figures)
    for row in day.figures:
        assert row.compared
        told = f"{row.compared.arrow} {row.compared.word} ({row.compared.median.text})"
        assert told in seen
        assert re.search(rf"^  {re.escape(row.label)} .*\n +{re.escape(told)}$", plain, re.MULTILINE)
    assert letter.comparison_note
    assert letter.comparison_note in seen
    assert letter.comparison_note in _flat(plain)


def test_nothing_is_compared_where_nothing_is_usual(messages: Messages) -> None:
    """Without enough earlier days there is neither an arrow nor a note about brackets."""
    letter = _letter(messages)

    assert letter.comparison_note is None
    assert not set("▲▼≈") & set(_html(_compose(letter)) + _plain(_compose(letter)))


def test_corrections_show_old_and_new(messages: Messages) -> None:
    """Every changed figure stands there with both values; the subject says that the day was corrected."""
    day = _full_day(messages)
    letter = _letter(messages, [_outcome()], [day])
    message = _compose(letter)

    assert len(day.corrections) >= 4
    for each in day.corrections:
        assert f"{each.label} {each.old.text} {each.new.text}" in _Seen(_html(message)).text
        assert f"{each.label}: {each.old.text} → {each.new.text}" in _flat(_plain(message))
    corrected = {Language.RUSSIAN: "Учёба 1 апреля 2023, исправлено: 1\u00a0204 студента, 47\u00a0% верных"}
    expected = corrected.get(messages.language, "Learning on 1 April 2023, corrected: 1,204 students, 47% correct")
    assert letter.subject == expected


def test_subject_tells_two_figures(messages: Messages) -> None:
    """A reader who opens nothing still knows how many came and how well it went."""
    subject = _letter(messages).subject

    if messages.language is Language.RUSSIAN:
        assert subject == "Учёба 1 апреля 2023: 1\u00a0204 студента, 47\u00a0% верных"
    else:
        assert subject == "Learning on 1 April 2023: 1,204 students, 47% correct"


def test_five_hardest_tasks_are_told(messages: Messages) -> None:
    """The first five of the table of tasks, each with its figures."""
    day = _full_day(messages)
    letter = _letter(messages, [_outcome()], [day])
    seen, plain = _Seen(_html(_compose(letter))).text, _flat(_plain(_compose(letter)))

    assert len(day.hardest.rows) == 10
    assert len(letter.hardest) == 5
    for row, task in zip(day.hardest.rows, letter.hardest, strict=False):
        for cell in row:
            assert cell.text in f"{task.course} {task.task} {task.score} {task.details}"
        for text in (task.course, task.task, task.score, *task.details):
            assert text in seen
            assert text in plain
    assert day.hardest.rows[5][1].text not in seen + plain


def test_picture_is_in_the_letter_with_its_words(messages: Messages) -> None:
    """The HTML shows the image that travels with it; who does not see it reads the summary."""
    letter = _letter(messages, [_outcome()], [_full_day(messages)])
    message = _sent(_compose(letter, picture=PICTURE))
    assert letter.picture is not None
    (image,) = [part for part in message.walk() if part.get_content_type() == "image/png"]
    (related,) = [part for part in message.walk() if part.get_content_type() == "multipart/related"]
    attributes = _Seen(_html(message)).attributes

    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
    ]
    assert image in related.get_payload()
    assert image.get_content() == PICTURE
    assert image.get_content_disposition() == "inline"
    assert ("src", f"cid:{str(image['Content-ID']).strip('<>')}") in attributes
    assert ("alt", letter.picture.summary) in attributes
    assert letter.picture.summary in _flat(_plain(message))


def test_picture_that_could_not_be_drawn_is_told_in_words(messages: Messages) -> None:
    """No broken image: the sentence stands in its place."""
    letter = _letter(messages, [_outcome()], [_full_day(messages)])
    page = _html(_compose(letter))

    assert letter.picture is not None
    assert "<img" not in page
    assert letter.picture.summary in _Seen(page).text


def test_nothing_is_drawn_where_there_is_nothing_to_see(messages: Messages) -> None:
    """Neither an empty day nor one hour of a test nor many days have a picture of hours."""
    quiet = tuple(replace(hour, runs=0, submits=0, successful_submits=0) for hour in _details().hours)
    empty = _day(messages, statistics=DailyStatistics(0, 0, 0, 0), details=DayDetails(hours=quiet))
    test = _day(messages, mode=Mode.TEST, details=_details())
    days = [_full_day(messages, date(2023, 4, number)) for number in (1, 2)]

    assert _letter(messages, [_outcome()], [empty]).picture is None
    assert _letter(messages, [_outcome(mode=Mode.TEST, complete=False)], [test]).picture is None
    assert _letter(messages, [_outcome(day.date) for day in days], days).picture is None
    assert _letter(messages, [_outcome()], [_full_day(messages)]).picture is not None


@pytest.mark.parametrize(
    "text", ["<p>Straße, Учёба = 1</p>\n", "<p>" + "Учёба " * 2000 + "</p>\n"], ids=["ascii", "ru"]
)
def test_page_is_attached_as_it_is(messages: Messages, tmp_path: Path, text: str) -> None:
    """The page travels under its own name, not shown as a part of the letter, and reads as it was written."""
    page = tmp_path / "2023-04-01.html"
    page.write_text(text, encoding="utf-8")
    letter = _letter(messages)
    message = _sent(_compose(letter, page=page, picture=PICTURE))
    (attachment,) = message.iter_attachments()

    assert attachment.get_content_type() == "text/html"
    assert attachment.get_content_disposition() == "attachment"
    assert attachment.get_filename() == "2023-04-01.html"
    assert attachment.get_content().replace("\r\n", "\n") == text
    assert letter.page_attached in _flat(_plain(message))
    assert letter.page_attached in _Seen(_html(message)).text
    assert str(message["Content-Language"]) == messages.language.value
    assert message.as_bytes().isascii()


def test_page_that_is_too_large_stays_at_home(messages: Messages, tmp_path: Path) -> None:
    """A letter of more than 200 kB goes without the page, with its picture, and says so."""
    page = tmp_path / "2023-04-01.html"
    page.write_text("<p>words and figures</p>\n" * 10_000, encoding="utf-8")
    letter = _letter(messages, [_outcome()], [_full_day(messages)])
    message = _compose(letter, page=page, picture=PICTURE)

    assert len(message.as_bytes()) <= LARGEST
    assert not list(message.iter_attachments())
    assert letter.page_left_out in _flat(_plain(message))
    assert letter.page_left_out in _Seen(_html(message)).text
    assert "image/png" in [part.get_content_type() for part in message.walk()]


def test_picture_that_is_too_large_stays_at_home(messages: Messages) -> None:
    """Whatever is drawn, a letter stays small."""
    letter = _letter(messages, [_outcome()], [_full_day(messages)])
    message = _compose(letter, picture=PICTURE * 200)

    assert len(message.as_bytes()) <= LARGEST
    assert "<img" not in _html(message)


def test_real_page_and_picture_fit_into_a_letter(messages: Messages, tmp_path: Path) -> None:
    """A full day's letter holds all that it should, below 200 kB."""
    from report import charts
    from report.page import write_page

    day = _full_day(messages)
    letter = _letter(messages, [_outcome(sheet=SheetOutcome.UPDATED, sheet_url=SHEET_URL)], [day])
    assert letter.picture
    message = _compose(letter, picture=charts.png(letter.picture), page=write_page(day, tmp_path))

    assert len(message.as_bytes()) <= LARGEST
    assert len(list(message.iter_attachments())) == 1
    assert "image/png" in [part.get_content_type() for part in message.walk()]


def test_year_of_days_makes_a_small_letter(messages: Messages) -> None:
    """A long range tells its last month and how many days it leaves out; no client has to cut it off."""
    days = [date(2023, 1, 1) + timedelta(days=number) for number in range(365)]
    error = SourceError("The events API did not answer in time.", remedy="Try again later.")
    outcomes = [
        _outcome(day, status=RunStatus.FAILED, error=error, statistics=None) if day.day % 2 else _outcome(day)
        for day in days
    ]
    contents = [
        None if outcome.status is RunStatus.FAILED else _full_day(messages, outcome.date, complete=False)
        for outcome in outcomes
    ]
    letter = _letter(messages, outcomes, contents)
    message = _compose(letter)

    assert len(letter.days) == SHOWN_DAYS
    assert letter.days[-1].content.date == days[-2]
    assert letter.days_left_out
    assert letter.days_left_out in _flat(_plain(message))
    assert len(_html(message).encode()) < 100_000
    assert len(message.as_bytes()) <= LARGEST


def test_failed_days_in_a_row_have_one_command(messages: Messages) -> None:
    """Days without a gap are named and repeated together."""
    days = [date(2023, 4, 1) + timedelta(days=number) for number in range(6)]
    error = SourceError("The events API did not answer in time.")
    outcomes = [
        _outcome(day) if day.day == 4 else _outcome(day, status=RunStatus.FAILED, error=error, statistics=None)
        for day in days
    ]
    contents = [_day(messages, day) if day.day == 4 else None for day in days]
    (failure,) = _letter(messages, outcomes, contents).failures

    assert failure.commands == (
        "python data_processor.py --from 2023-04-01 --to 2023-04-03",
        "python data_processor.py --from 2023-04-05 --to 2023-04-06",
    )
    assert len(failure.days) == 2


def test_day_that_is_loaded_but_not_counted_is_not_called_unchanged(messages: Messages) -> None:
    """Where the failure came after the load, the letter says that the events are there, and how to report on them."""
    outcome = _outcome(status=RunStatus.PARTIAL, error=MailError("Something broke."), statistics=None, counts=COUNTS)
    letter = _letter(messages, [outcome], [None])
    (failure,) = letter.failures

    assert failure.kept == messages.text("The events are loaded; only the report is missing.")
    assert failure.commands == ("python data_processor.py report --date 2023-04-01",)
    assert letter.subject == messages.text("%(span)s: loaded, but not counted", span=letter.heading)


def test_label_of_a_range_says_which_day_it_means(messages: Messages) -> None:
    """One unfinished day is named, several are counted, and a test is one of every day."""
    days = [date(2023, 4, 1) + timedelta(days=number) for number in range(4)]

    def letter(contents: list[DayContent]) -> LetterContent:
        return _letter(messages, [_outcome(content.date) for content in contents], contents)

    one = letter([_day(messages, day, complete=day != days[-1]) for day in days])
    two = letter([_day(messages, day, complete=day in days[:2]) for day in days])
    test = letter([_day(messages, day, mode=Mode.TEST) for day in days])

    unfinished = str(one.days[-1].content.partial)
    assert one.partial == f"{messages.date(days[-1])} — {unfinished}"
    assert two.partial is not None
    assert ("2 из этих дней" if messages.language is Language.RUSSIAN else "2 of these days") in two.partial
    assert test.partial == messages.text("PARTIAL: a test run, the first hour of each day only")
    for each in (one, two, test):
        assert each.subject.startswith(messages.text("PARTIAL"))
        assert _Seen(_html(_compose(each))).text.strip().startswith(str(each.partial))
    assert unfinished in _Seen(_html(_compose(two))).text.split(messages.date(days[2]))[1]


def test_range_marks_its_unusual_days(messages: Messages) -> None:
    """Below the date stands what is doubtful or corrected; corrections that were told before are not listed again."""
    days = [date(2023, 4, 1) + timedelta(days=number) for number in range(3)]
    sound = replace(COUNTS, missing_at_source=0)
    contents = [_day(messages, days[0]), *(_full_day(messages, day, counts=sound) for day in days[1:])]
    letter = _letter(messages, [_outcome(day) for day in days], contents, told={days[1]})
    seen = _Seen(_html(_compose(letter))).text

    corrected = messages.text("corrected, revision %(revision)s", revision=2)
    assert [each.remarks for each in letter.days] == [(contents[0].trust.text,), (corrected,), (corrected,)]
    assert [bool(each.corrections) for each in letter.days] == [False, False, True]
    assert seen.count(corrected) == 2
    assert seen.count(contents[2].corrections[0].old.text + " →") == 1


def test_message_id_is_stable_for_the_same_figures() -> None:
    """The same figures have the same id, so a copy can be told; anything else has another."""
    day = date(2023, 4, 1)
    one = message_id(day, Mode.FULL, "abc", SENDER)

    assert one == message_id(day, Mode.FULL, "abc", SENDER)
    assert re.fullmatch(r"<2023-04-01\.full\.[0-9a-f]{32}@example\.org>", one)
    others = [
        message_id(date(2023, 4, 2), Mode.FULL, "abc", SENDER),
        message_id(day, Mode.TEST, "abc", SENDER),
        message_id(day, Mode.FULL, "abd", SENDER),
    ]
    assert len({one, *others}) == 4
    assert message_id(day, Mode.FULL, "abc", "no address\r\n") == one.replace("example.org", "noaddress")


# How it travels


@pytest.mark.parametrize("security", ["none", "starttls", "ssl"])
def test_letter_arrives_whole_over_each_kind_of_connection(
    smtp_server: StartServer, security: str, messages: Messages
) -> None:
    """What the server stores reads as what was composed, and everybody is accepted."""
    user = "etl" if security != "none" else ""
    server = smtp_server(security, user=user, password=PASSWORD)
    message = _compose(_letter(messages))
    delivery = deliver(server.settings(), message, recipients=(A, B))

    assert delivery == Delivery(message_id="<1@example.org>", accepted=(A, B))
    [letter] = server.messages
    assert (letter.sender, letter.recipients) == (SENDER, (A, B))
    assert str(letter.message["Subject"]) == _letter(messages).subject
    assert _part(letter.message, "plain") == _plain(message)
    assert _part(letter.message, "html") == _html(message)


@pytest.mark.parametrize("security", ["starttls", "ssl"])
def test_login_and_letter_go_encrypted(smtp_server: StartServer, security: str, give: Callable[..., Delivery]) -> None:
    """Nothing but the greeting of STARTTLS is said in the open."""
    server = smtp_server(security, user="etl", password=PASSWORD)
    give(server)

    assert [line for line in server.commands if line not in server.encrypted and "EHLO" not in line] == (
        ["STARTTLS"] if security == "starttls" else []
    )
    assert {"AUTH", "MAIL", "DATA"} <= {line.split(" ")[0] for line in server.encrypted}


def test_lines_beginning_with_a_dot_arrive(smtp_server: StartServer) -> None:
    """A dot at the start of a line neither ends the letter nor vanishes."""
    server = smtp_server()
    deliver(server.settings(), _plain_message(".\n. one\n.. two\n"), recipients=(A,))

    assert server.messages[0].message.get_content().replace("\r\n", "\n") == ".\n. one\n.. two\n"


def test_password_beyond_ascii_logs_in(smtp_server: StartServer, give: Callable[..., Delivery]) -> None:
    """A Russian password works as any other."""
    server = smtp_server("ssl", user="etl", password="пароль ёж")

    assert give(server).accepted == (A, B)


def test_refused_recipient_is_listed_and_others_are_served(
    smtp_server: StartServer, give: Callable[..., Delivery]
) -> None:
    """A 550 for one keeps nobody else from the letter, and is not asked again."""
    server = smtp_server(script={f"rcpt {B}": itertools.repeat("550 5.1.1 no such user")})
    delivery = give(server, A, B, C)

    assert delivery.accepted == (A, C)
    assert delivery.refused == (RefusedRecipient(B, 550),)
    assert server.messages[0].recipients == (A, C)
    assert server.connections == 1


def test_recipient_put_off_is_served_later_and_nobody_twice(
    smtp_server: StartServer, give: Callable[..., Delivery]
) -> None:
    """A 450 is tried again for that recipient alone."""
    server = smtp_server(script={f"rcpt {B}": ["450 later", "451 not yet"]})

    assert give(server).accepted == (A, B)
    assert [letter.recipients for letter in server.messages] == [(A,), (B,)]


def test_recipient_put_off_for_ever_is_refused_in_the_end(
    smtp_server: StartServer, give: Callable[..., Delivery]
) -> None:
    """Attempts are bounded; the last code of the server is reported."""
    server = smtp_server(script={f"rcpt {B}": itertools.repeat("450 later")})
    delivery = give(server)

    assert delivery.refused == (RefusedRecipient(B, 450),)
    assert len(server.messages) == 1
    assert server.connections == 5


def test_connection_lost_while_serving_the_put_off_keeps_the_served(
    smtp_server: StartServer, give: Callable[..., Delivery]
) -> None:
    """Who got the letter is reported, whatever happens to a later attempt."""
    greetings = itertools.chain(["220 mail.test ESMTP"], itertools.repeat("554 closed"))
    delivery = give(smtp_server(script={f"rcpt {B}": ["450 later"], "greeting": greetings}))

    assert delivery == Delivery("<1@example.org>", (A,), (RefusedRecipient(B, 450),))


def test_all_recipients_refused_is_an_error_that_names_them(
    smtp_server: StartServer, give: Callable[..., Delivery]
) -> None:
    """Without a single taker there is no letter, and the text tells addresses and codes."""
    script = {f"rcpt {A}": itertools.repeat("550 no"), f"rcpt {B}": itertools.repeat("553 no")}
    server = smtp_server(script=script)
    with pytest.raises(MailError) as caught:
        give(server)

    assert f"{A} (550), {B} (553)" in str(caught.value)
    assert "EMAIL_ADDRESSES_FOR_MAILING" in str(caught.value)
    assert "DATA" not in server.verbs


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ({"mail": itertools.repeat("550 5.7.1 not yours")}, "SENDER_EMAIL"),
        ({"auth": itertools.repeat("535 5.7.8 wrong")}, "535 5.7.8"),
        ({"data": itertools.repeat("554 no")}, "code 554"),
        ({"letter": itertools.repeat("552 too big")}, "code 552"),
        ({"greeting": itertools.repeat("554 not you")}, "greeting, code 554"),
        ({"ehlo": itertools.repeat("550 no"), "helo": itertools.repeat("550 no")}, "EHLO, code 550"),
        ({"starttls": itertools.repeat("501 no")}, "STARTTLS, code 501"),
        ({"greeting": itertools.repeat("SSH-2.0-OpenSSH")}, "cannot be understood"),
        ({"data": itertools.repeat("250 fine")}, "code 250"),
    ],
    ids=["sender", "login", "data", "letter", "greeting", "ehlo", "starttls", "no-smtp", "odd-data"],
)
def test_final_refusal_is_not_tried_again(
    smtp_server: StartServer, give: Callable[..., Delivery], script: dict[str, Iterator[str]], wanted: str
) -> None:
    """A 5xx ends the matter at once, with a text that tells step and code."""
    server = smtp_server("starttls", user="etl", password=PASSWORD, script=script)
    with pytest.raises(MailError, match=re.escape(wanted)):
        give(server)

    assert server.connections == 1
    assert not server.messages


@pytest.mark.parametrize(
    "script",
    [
        {"greeting": ["421 busy"]},
        {"greeting": [DROP]},
        {"ehlo": ["421 busy"]},
        {"ehlo": [DROP]},
        {"starttls": ["454 later"]},
        {"auth": ["454 later"]},
        {"mail": ["451 later"]},
        {f"rcpt {B}": ["421 bye"]},
        {f"rcpt {B}": [DROP]},
        {"data": ["451 later"]},
        {"data": [DROP]},
        {"letter": ["451 later"]},
    ],
    ids=str,
)
def test_passing_trouble_is_tried_again_and_one_copy_arrives(
    smtp_server: StartServer, give: Callable[..., Delivery], script: dict[str, list[str]]
) -> None:
    """What may pass is tried again until everybody is served, once."""
    server = smtp_server("starttls", user="etl", password=PASSWORD, script=script)

    assert give(server).accepted == (A, B)
    assert [letter.recipients for letter in server.messages] == [(A, B)]
    assert server.connections == 2


def test_server_that_comes_up_late_is_waited_for(english_letter: EmailMessage, smtp_server: StartServer) -> None:
    """A refused connection is tried again; when nothing ever listens, the text says so."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    started = time.monotonic()
    with pytest.raises(MailError, match="accepts no connection"):
        deliver(smtp_server().settings(port=port), english_letter, recipients=(A,), deadline=5, pause=0.05)

    assert time.monotonic() - started > 0.05 * 0.8 * 15


def test_lost_after_the_letter_is_unknown_and_not_sent_again(
    smtp_server: StartServer, give: Callable[..., Delivery]
) -> None:
    """At most once: who hangs up instead of answering is not given a second copy, and the text says so."""
    server = smtp_server(script={"letter": [DROP]})
    with pytest.raises(MailError, match=f"{A}, {B} is not known") as caught:
        give(server)

    assert "not sent a second time" in str(caught.value)
    assert server.connections == 1
    assert server.verbs.count("DATA") == 1


def test_no_answer_to_the_letter_is_unknown_at_the_deadline(
    smtp_server: StartServer, give: Callable[..., Delivery]
) -> None:
    """A server that reads the letter and falls silent ends at the deadline, without a second copy."""
    server = smtp_server(script={"letter": [HANG]})
    started = time.monotonic()
    with pytest.raises(MailError, match="is not known"):
        give(server, deadline=1.0)

    assert time.monotonic() - started < 2.0
    assert server.connections == 1


def test_handover_is_told_step_by_step(smtp_server: StartServer, english_letter: EmailMessage) -> None:
    """The caller knows when the server may accept the letter, and when it did or did not, for each attempt."""
    server = smtp_server(script={"letter": ["451 later"], f"rcpt {B}": ["250 ok", "450 later"]})
    steps: list[tuple[str, int]] = []
    deliver(
        server.settings(), english_letter, recipients=(A, B), pause=0.01,
        on_handover=lambda step: steps.append((step, len(server.messages))),
    )  # fmt: skip

    begun, accepted, refused = Handover.BEGUN, Handover.ACCEPTED, Handover.REFUSED
    assert steps == [(begun, 0), (refused, 0), (begun, 0), (accepted, 1), (begun, 1), (accepted, 2)]


@pytest.mark.parametrize("step", ["greeting", "mail", f"rcpt {A}", "data"])
def test_handover_begins_only_when_the_server_could_accept(
    smtp_server: StartServer, english_letter: EmailMessage, step: str
) -> None:
    """Whatever fails before the letter is out leaves no doubt about it."""
    server = smtp_server(script={step: itertools.repeat("554 no")})
    steps: list[Handover] = []
    with pytest.raises(MailError):
        deliver(server.settings(), english_letter, recipients=(A,), pause=0.01, on_handover=steps.append)

    assert steps == []


def test_lost_answer_leaves_the_handover_open(smtp_server: StartServer, english_letter: EmailMessage) -> None:
    """After a lost answer nobody is told that the letter was accepted, nor that it was refused."""
    steps: list[Handover] = []
    with pytest.raises(MailError, match="is not known"):
        deliver(
            smtp_server(script={"letter": [DROP]}).settings(), english_letter, recipients=(A,),
            on_handover=steps.append,
        )  # fmt: skip

    assert steps == [Handover.BEGUN]


def test_letter_that_cannot_be_written_down_is_not_handed_over(
    smtp_server: StartServer, english_letter: EmailMessage
) -> None:
    """What the caller raises before the last line keeps the server from accepting the letter."""
    server = smtp_server()

    def refuse(_: Handover) -> None:
        raise DatabaseError("The database is gone.")

    with pytest.raises(DatabaseError):
        deliver(server.settings(), english_letter, recipients=(A,), on_handover=refuse)

    assert server.verbs[-1] == "DATA"
    assert not server.messages


@pytest.mark.parametrize("farewell", [DROP, "500 what?", "421 bye"])
def test_trouble_at_the_farewell_is_ignored(
    smtp_server: StartServer, give: Callable[..., Delivery], farewell: str
) -> None:
    """After the letter is accepted nothing can make it a failure."""
    server = smtp_server("ssl", script={"quit": [farewell]})

    assert give(server).accepted == (A, B)
    assert len(server.messages) == 1


def test_trickling_farewell_is_cut_short(smtp_server: StartServer, give: Callable[..., Delivery]) -> None:
    """A server that cannot find an end after the letter costs a few seconds, not the rest of the deadline."""
    server = smtp_server("ssl", script={"quit": [TRICKLE]})
    started = time.monotonic()

    assert give(server, deadline=20.0).accepted == (A, B)
    assert time.monotonic() - started < 6


@pytest.mark.parametrize("step", ["greeting", "ehlo", "starttls", "auth", "mail", f"rcpt {B}", "data"])
def test_silent_server_ends_at_the_deadline(smtp_server: StartServer, give: Callable[..., Delivery], step: str) -> None:
    """A server that stops answering at any step holds the run no longer than the deadline."""
    server = smtp_server("starttls", user="etl", password=PASSWORD, script={step: itertools.repeat(HANG)})
    started = time.monotonic()
    with pytest.raises(MailError, match="did not answer in time"):
        give(server, deadline=0.8)

    assert time.monotonic() - started < 1.8
    assert not server.messages


@pytest.mark.parametrize("security", ["none", "ssl"])
def test_dripping_server_ends_at_the_deadline(
    smtp_server: StartServer, give: Callable[..., Delivery], security: str
) -> None:
    """A byte now and then does not stretch the time."""
    server = smtp_server(security, drip=0.1)
    started = time.monotonic()
    with pytest.raises(MailError, match="did not answer in time"):
        give(server, deadline=1.2)

    assert time.monotonic() - started < 2.2


@pytest.mark.parametrize("security", [MailSecurity.SSL, MailSecurity.NONE], ids=str)
def test_server_that_never_speaks_ends_at_the_deadline(
    smtp_server: StartServer, english_letter: EmailMessage, security: MailSecurity
) -> None:
    """A port that accepts and says nothing, with or without TLS, costs the deadline and no more."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(MailError, match="did not answer in time"):
            deliver(smtp_server().settings(port=port, security=security), english_letter, recipients=(A,), deadline=0.6)

    assert time.monotonic() - started < 1.6


def test_server_that_reads_nothing_ends_at_the_deadline(smtp_server: StartServer) -> None:
    """A full pipe holds a large letter no longer than the deadline."""
    message = _plain_message("x" * 70 + "\n", 200_000)
    started = time.monotonic()
    with _Stalled() as port, pytest.raises(MailError, match="did not answer in time"):
        deliver(smtp_server().settings(port=port), message, recipients=(A,), deadline=1.0)

    assert time.monotonic() - started < 2.0


def test_endless_answer_is_cut_off(english_letter: EmailMessage, smtp_server: StartServer) -> None:
    """A greeting without end costs neither memory nor the whole deadline."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_talk_without_end, args=(listener,), daemon=True)
        thread.start()
        settings = smtp_server().settings(port=listener.getsockname()[1])
        with pytest.raises(MailError, match="broke off"):
            deliver(settings, english_letter, recipients=(A,), deadline=20, pause=0.01)
    thread.join(5)


def _talk_without_end(listener: socket.socket) -> None:
    for _ in range(5):
        connection, _ = listener.accept()
        with connection:
            try:
                while True:
                    connection.sendall(b"220-" + b"x" * 500 + b"\r\n")
            except OSError:
                continue


class _Stalled:
    """A server that takes the command DATA and then reads no more."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> int:
        self._thread.start()
        port = self._listener.getsockname()[1]
        assert isinstance(port, int)
        return port

    def __exit__(self, *_details: object) -> None:
        self._done.set()
        self._thread.join(5)
        self._listener.close()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.sendall(b"220 mail.test\r\n")
            for reply in (b"250 mail.test", b"250 ok", b"250 ok", b"354 go on"):
                connection.recv(1000)
                connection.sendall(reply + b"\r\n")
            self._done.wait(10)


# What must never happen


@pytest.mark.parametrize("security", ["ssl", "starttls"])
def test_untrusted_certificate_is_refused_before_the_login(
    smtp_server: StartServer, give: Callable[..., Delivery], security: str
) -> None:
    """A server with a stranger's certificate learns neither password nor letter."""
    server = smtp_server(security, user="etl", password=PASSWORD, authority=trustme.CA())
    with pytest.raises(MailError, match="is not trusted") as caught:
        give(server)

    assert "SMTP_CA_FILE" in str(caught.value)
    assert not {"AUTH", "MAIL", "RCPT", "DATA"} & set(server.verbs)


@pytest.mark.parametrize("security", ["ssl", "starttls"])
def test_certificate_for_another_host_is_refused_before_the_login(
    smtp_server: StartServer, give: Callable[..., Delivery], security: str
) -> None:
    """A trusted certificate of somebody else is not enough."""
    server = smtp_server(security, user="etl", password=PASSWORD, host="mail.example.org")
    with pytest.raises(MailError, match="is not trusted"):
        give(server)

    assert not {"AUTH", "MAIL"} & set(server.verbs)


def test_own_authority_is_trusted_besides_the_system(
    smtp_server: StartServer, give: Callable[..., Delivery], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """SMTP_CA_FILE adds to the system's authorities and takes none away."""
    server = smtp_server("ssl")
    monkeypatch.setenv("SSL_CERT_FILE", str(server.ca_file))
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))

    assert give(server, ca_file=other).accepted == (A, B)


def test_old_tls_is_refused(smtp_server: StartServer, give: Callable[..., Delivery]) -> None:
    """A server that knows nothing newer than TLS 1.1 gets no letter."""
    server = smtp_server("ssl", tls_version=ssl.TLSVersion.TLSv1_1)
    with pytest.raises(MailError, match=r"TLS 1\.2|broke off"):
        give(server)

    assert not server.commands


def test_stripped_starttls_gets_neither_login_nor_letter(
    smtp_server: StartServer, give: Callable[..., Delivery]
) -> None:
    """Where the offer of STARTTLS is missing, nothing is said in the open."""
    server = smtp_server("starttls", user="etl", password=PASSWORD, starttls_stripped=True)
    with pytest.raises(MailError, match="offers no encryption"):
        give(server)

    assert set(server.verbs) <= {"EHLO", "QUIT"}


def test_plain_server_on_a_tls_port_gets_nothing(smtp_server: StartServer, give: Callable[..., Delivery]) -> None:
    """TLS is never given up; the text points at port and security."""
    server = smtp_server("none", user="etl", password=PASSWORD)
    with pytest.raises(MailError, match="SMTP_SECURITY and SMTP_PORT"):
        give(server, security=MailSecurity.SSL)

    assert not {"AUTH", "MAIL"} & set(server.verbs)


def test_unencrypted_is_for_this_machine_only(smtp_server: StartServer, give: Callable[..., Delivery]) -> None:
    """Without encryption no other machine is even connected to."""
    with pytest.raises(MailError, match="SMTP_SECURITY=none"):
        give(smtp_server(), server="192.0.2.1")


def test_no_secret_in_errors_or_logs(
    smtp_server: StartServer, give: Callable[..., Delivery], caplog: pytest.LogCaptureFixture
) -> None:
    """A server that says the password back finds it in no text, log line or chained exception."""
    caplog.set_level(logging.DEBUG)
    echo = f"535 5.7.8 \x1b[31m{PASSWORD} AGV0bABjb3JyZWN0IGhvcnNlIGJhdHRlcnkgc3RhcGxl " + "x" * 300
    server = smtp_server("ssl", user="etl", password=PASSWORD, script={"auth": itertools.repeat(echo)})
    with pytest.raises(MailError) as caught:
        give(server)
    own = [record for record in caplog.records if not record.name.startswith(("mail.log", "asyncio"))]
    said = "\n".join([str(caught.value), repr(caught.value.fields), *(record.getMessage() for record in own)])

    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert PASSWORD not in said
    assert "AGV0bABjb3JyZWN0IGhvcnNlIGJhdHRlcnkgc3RhcGxl" not in said
    assert "\x1b" not in said
    assert "x" * 201 not in said
    assert "535 5.7.8" in str(caught.value)


def test_server_hanging_up_on_the_login_is_not_asked_again(
    smtp_server: StartServer, give: Callable[..., Delivery]
) -> None:
    """Repeated attempts with a wrong password could lock the account."""
    server = smtp_server("ssl", user="etl", password=PASSWORD, script={"auth": itertools.repeat(DROP)})
    with pytest.raises(MailError, match="broke off"):
        give(server)

    assert server.connections == 1


def test_login_that_is_not_offered_is_told(smtp_server: StartServer, give: Callable[..., Delivery]) -> None:
    """A user for a server without logins is a matter of settings, and the text says which."""
    with pytest.raises(MailError, match="leave SMTP_USER empty"):
        give(smtp_server("ssl"), user="etl", password=Secret(PASSWORD))


def test_unknown_host_is_told(give: Callable[..., Delivery], smtp_server: StartServer) -> None:
    """A name that does not exist, or cannot, is an error about SMTP_SERVER."""
    for host in ("nowhere.invalid", "a" * 70 + ".example.org"):
        with pytest.raises(MailError, match="SMTP_SERVER"):
            give(smtp_server("ssl"), server=host, deadline=3.0)


def test_look_up_that_hangs_ends_at_the_deadline(
    give: Callable[..., Delivery], smtp_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's look-up has no time-out of its own; ours holds."""
    free = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: free.wait(10) and [])
    started = time.monotonic()
    with pytest.raises(MailError, match="did not answer in time"):
        give(smtp_server("ssl"), deadline=0.5)
    free.set()

    assert time.monotonic() - started < 1.6


def test_ca_file_that_vanished_is_told(smtp_server: StartServer, give: Callable[..., Delivery], tmp_path: Any) -> None:
    """A CA file that is gone since the settings were read is named."""
    with pytest.raises(MailError, match="SMTP_CA_FILE"):
        give(smtp_server("ssl"), ca_file=tmp_path / "gone.pem")


# The check


@pytest.mark.parametrize("security", ["none", "starttls", "ssl"])
def test_probe_logs_in_and_sends_nothing(smtp_server: StartServer, security: str) -> None:
    """The check goes as far as a letter would, and no further."""
    user = "" if security == "none" else "etl"
    server = smtp_server(security, user=user, password=PASSWORD)
    probe(server.settings())

    assert server.verbs[-2:] == ["NOOP", "QUIT"]
    assert ("AUTH" in server.verbs) is bool(user)
    assert not {"MAIL", "RCPT", "DATA"} & set(server.verbs)


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ({"auth": ["535 no"]}, "refused the login"),
        ({"greeting": ["421 busy"]}, "code 421"),
        ({"noop": ["502 no"]}, "NOOP"),
        ({"greeting": [DROP]}, "broke off"),
    ],
    ids=["login", "busy", "noop", "dropped"],
)
def test_probe_tells_what_is_wrong_at_once(smtp_server: StartServer, script: dict[str, list[str]], wanted: str) -> None:
    """The check says what it found without trying again."""
    server = smtp_server("starttls", user="etl", password=PASSWORD, script=script)
    with pytest.raises(MailError, match=wanted) as caught:
        probe(server.settings())

    assert caught.value.remedy
    assert server.connections == 1


def test_settings_type_is_what_the_server_fixture_gives(smtp_server: StartServer) -> None:
    """The fixture's settings and its environment tell of the same server."""
    server = smtp_server("ssl", user="etl", password=PASSWORD)

    assert isinstance(server.settings(), MailSettings)
    assert server.environ["SMTP_PORT"] == str(server.settings().port)
