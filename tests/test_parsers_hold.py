"""The parsers, whatever comes: events and rejections or one typed error, at a small price, and nothing is executed.

What a body leads to is asked of the same function that a run uses (`judged`). The price is counted in memory and in
processor time of the thread, the best of three: other work on the machine does not count.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app_types import Window
from exceptions import SourceError
from tests.support import hostile
from tests.support.events_api import make_event, make_passback
from tests.support.figures import TORTURE, times
from tests.support.judging import answered, judged
from tests.support.program import table_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.events_api import EventsServer
    from tests.support.google import GoogleStandIn
    from tests.support.program import Program
    from tests.support.smtp import SmtpServer

HOME = Path(__file__).resolve().parent.parent
DAY_TEXT = hostile.DAY.date().isoformat()
DAY = Window(hostile.DAY, hostile.DAY + timedelta(days=1))
AT_THE_END = "2023-04-02 00:00:00"
CORPUS = hostile.items()
MOST_SECONDS = 0.05
MOST_BYTES = 10_000_000
FIELD = 16 * 1024


def cases(count: int) -> Callable[[Any], Any]:
    """Have a test take so many generated cases, the same in every run of CI."""
    return settings(
        deadline=None,
        max_examples=times(count),
        derandomize=TORTURE == 1,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def outcome(body: bytes) -> list[str] | SourceError:
    """Return what becomes of a body; any other exception than the typed one fails the test."""
    try:
        return judged(body, DAY)
    except SourceError as error:
        return error


def code_of(**changes: Any) -> str:
    """Return what becomes of one event with some of its values changed."""
    (code,) = judged(json.dumps([make_event(**changes)]).encode(), DAY)
    return code


def price(body: bytes) -> tuple[float, int]:
    """Return the seconds of the processor and the bytes of memory that a body costs."""
    seconds = []
    for _ in range(3):
        started = time.thread_time()
        answered(body, DAY)
        seconds.append(time.thread_time() - started)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        answered(body, DAY)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return min(seconds), peak - before


# The named inputs


@pytest.mark.parametrize("case", CORPUS, ids=[case.name for case in CORPUS])
def test_named_item_has_its_named_end(case: hostile.Case) -> None:
    """Every item of the corpus is loaded or rejected for the reason that stands with it."""
    assert judged(case.body, DAY) == [case.expected]


def test_bad_neighbours_cost_a_good_event_nothing() -> None:
    """All items of the corpus in one answer: each meets its own end, and the good event after each is loaded."""
    good = [json.dumps(make_event(created_at=f"2023-04-01 {i // 60:02}:{i % 60:02}:00")) for i in range(len(CORPUS))]
    body = "[" + ", ".join(f"{case.text}, {event}" for case, event in zip(CORPUS, good, strict=True)) + "]"

    found = judged(body.encode(), DAY)

    assert found[::2] == [case.expected for case in CORPUS]
    assert set(found[1::2]) == {"loaded"}


def test_day_that_does_not_exist_lies_in_no_window() -> None:
    """A window of a zone may span two dates of UTC; 29 February sorts between them as a text, and is no day of 2023."""
    start = datetime(2023, 2, 28, 21, tzinfo=hostile.DAY.tzinfo)
    window = Window(start, start + timedelta(days=1))
    good = [make_event(created_at=f"2023-02-28 23:{minute:02}:00.000000") for minute in range(30)]

    for neighbours in ([], good):
        for moment in ("2023-02-29 12:00:00.000000", "2023-02-30 00:00:00.000000"):
            found = judged(json.dumps([*neighbours, make_event(created_at=moment)]).encode(), window)
            assert found == ["loaded"] * len(neighbours) + ["created_at_unreadable"]


@pytest.mark.parametrize("name", hostile.answers())
def test_named_answer_is_one_typed_error(name: str) -> None:
    """An answer that is no array of events is an error for people, never a day without events."""
    body, _ = hostile.answers()[name]

    assert isinstance(outcome(body), SourceError)


def test_no_field_of_sixteen_kilobytes_is_dear() -> None:
    """Each item up to 16 KiB costs less than 50 ms and 10 MB, and so does a field full of each fragment."""
    fragments = [
        "\\",
        "'",
        '"',
        "{",
        "[",
        "-",
        "(",
        "'a':",
        "{'a':",
        "\\x",
        "\\u0041",
        "1e",
        "None,",
        "P/a",
        "é",
        "\0",
        " ",
    ]
    bodies = {case.name: case.body for case in CORPUS if len(case.text) <= 2 * FIELD}
    for fragment in fragments:
        for frame in ("{}", "{{'x': {}", "{{'oauth_consumer_key': '{}'}}", "{{{}: 1}}"):
            field = frame.format(fragment * (FIELD // len(fragment)))[:FIELD]
            for name in ("passback_params", "created_at", "lti_user_id", "attempt_type", "is_correct"):
                bodies[f"{name}: {frame} {fragment}"] = json.dumps([make_event(**{name: field})]).encode()

    prices = {name: price(body) for name, body in bodies.items()}
    dear = {
        name: (seconds, size) for name, (seconds, size) in prices.items() if seconds > MOST_SECONDS or size > MOST_BYTES
    }

    assert len(bodies) > 500
    assert dear == {}


def test_longer_field_is_passed_over_unread() -> None:
    """What is longer than allowed is not looked into: it costs a few copies of the answer and nothing besides."""
    for case in CORPUS:
        if len(case.text) > 2 * FIELD:
            _, size = price(case.body)
            assert size < MOST_BYTES + 6 * len(case.body), case.name


# Generated inputs: 10,000 in all

GOOD = json.dumps([make_event(), make_event(attempt_type="submit", is_correct=1)]).encode()
scraps = st.sampled_from(
    [b"[", b"]", b"{", b"}", b'"', b",", b":", b"\\", b"\0", b"\n", b"-", b"0", GOOD]
) | st.sampled_from(
    [b"null", b"NaN", b"1e999", b"\xff", b"\xef\xbb\xbf", b"\\ud800", b'"created_at"', b"<html>", b"\xe2\x80\xa8"]
)
mangled = st.builds(
    lambda start, cut, scrap: GOOD[:start] + scrap + GOOD[start + cut :],
    st.integers(0, len(GOOD)),
    st.integers(0, 40),
    st.lists(scraps, max_size=3).map(b"".join),
)
fragments_of_literals = st.lists(
    st.sampled_from(
        ["{", "}", "'", '"', ":", ",", "\\", "\\x4", "\\ud800", "None", "True", "1", "-", "(", "[", "*", "a"]
    )
    | st.sampled_from(
        ["'oauth_consumer_key'", "'lis_result_sourcedid'", "__import__", "lambda", "\0", "\n", " ", "é", "="]
    )
    | st.text(max_size=3),
    max_size=30,
).map("".join)
moments = st.from_regex(r"\A\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,7})?(Z|[+-]\d\d:?\d\d)?\Z") | st.text(max_size=40)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
any_json = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
any_event = st.fixed_dictionaries(
    {},
    optional={
        "lti_user_id": any_json | st.just("0" * 32),
        "created_at": any_json | moments | st.sampled_from(["2023-04-01 12:00:00", AT_THE_END]),
        "attempt_type": any_json | st.sampled_from(["run", "submit"]),
        "is_correct": any_json | st.sampled_from([0, 1, None]),
        "passback_params": any_json | fragments_of_literals | st.just(make_passback()),
        "more": any_json,
    },
)


@cases(3_000)
@given(body=st.binary(max_size=200) | mangled | st.lists(scraps, max_size=12).map(b"".join))
@example(b"")
def test_any_body_gives_events_and_rejections_or_one_typed_error(body: bytes) -> None:
    """Bytes of every kind, and good answers with something knocked out or put in."""
    found = outcome(body)

    if isinstance(found, list):
        assert len(found) <= body.count(b",") + 1


@cases(3_000)
@given(text=st.text(max_size=200) | fragments_of_literals)
def test_any_passback_gives_an_event_or_a_rejection(text: str) -> None:
    """Text of every kind in the place of the literal."""
    expected = {"loaded", "passback_unreadable", "text_not_storable", "field_too_long"}

    assert code_of(created_at="2023-04-01 12:00:00", passback_params=text) in expected


@cases(2_000)
@given(text=moments)
def test_any_time_is_of_the_day_or_rejected(text: str) -> None:
    """What is loaded is a moment of the day that was asked for, by the plain rules of the calendar."""
    found = judged(json.dumps([make_event(created_at=text)]).encode(), DAY)

    assert found in ([], ["loaded"], ["outside_window"], ["created_at_unreadable"])
    if found == ["loaded"]:
        moment = datetime.fromisoformat(text)
        assert (moment if moment.tzinfo else moment.replace(tzinfo=hostile.DAY.tzinfo)) in DAY


@cases(2_000)
@given(sent=st.lists(any_json | any_event, max_size=6))
def test_any_window_accounts_for_every_item(sent: list[Any]) -> None:
    """Items of every kind have as many ends, those left out that lie at the excluded end of the window."""
    found = judged(json.dumps(sent).encode(), DAY)

    assert len(found) == sum(not _is_at_the_end(item) for item in sent)


def _is_at_the_end(item: Any) -> bool:
    text = item.get("created_at") if isinstance(item, dict) else None
    return isinstance(text, str) and judged(json.dumps([make_event(created_at=text)]).encode(), DAY) == []


# Nothing is executed

AUDITED = """
import json, sys
from datetime import timedelta
from app_types import Window
from exceptions import SourceError
from tests.support import hostile
from tests.support.figures import TORTURE, times
from tests.support.judging import answered

day = Window(hostile.DAY, hostile.DAY + timedelta(days=1))
bodies = [case.body for case in hostile.items()] + [body for body, _ in hostile.answers().values()]
bodies += [b"[%s]" % b",".join(case.text.encode() for case in hostile.items())] + PLANTED
heard = []
listening = False

def listen(event, arguments):
    if listening:
        heard.append(f"{event} {arguments!r}"[:200])

def judge_all():
    for body in bodies:
        try:
            answered(body, day)
        except SourceError:
            pass

judge_all()  # once before: what the first use imports is not what the data does
sys.addaudithook(listen)
listening = True
judge_all()
EXTRA
listening = False
print(json.dumps({"payloads": len(bodies), "heard": heard}))
"""


def heard_while_judging(extra: str = "") -> dict[str, Any]:
    """Judge the whole corpus in a process that listens to every audit event of Python."""
    code = AUDITED.replace("PLANTED", "[]").replace("EXTRA", extra)
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=HOME, capture_output=True, check=True, text=True, timeout=100
    )
    found: dict[str, Any] = json.loads(finished.stdout)
    return found


def test_nothing_from_data_is_executed_opened_or_connected_to() -> None:
    """Over 350 payloads, Python's audit tells of no event at all: no code, file, process, connection or import."""
    found = heard_while_judging()

    assert found["payloads"] > 350
    assert found["heard"] == []


@pytest.mark.parametrize(
    ("deed", "event"),
    [
        ("eval('1')", "compile"),
        ("open('/dev/null').close()", "open"),
        ("import ast; ast.literal_eval('1')", "compile"),
        ("import os; os.system('true')", "os.system"),
        ("import socket; socket.socket().close()", "socket.__new__"),
        ("import pickle; pickle.loads(b'cposix\\nsystem\\n.')", "pickle.find_class"),
    ],
)
def test_listening_would_tell(deed: str, event: str) -> None:
    """The proof is worth something: each of these deeds is heard."""
    assert any(told.startswith(event) for told in heard_while_judging(deed)["heard"])


# The whole program


def test_corpus_goes_through_the_whole_program(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer, database_url: str
) -> None:
    """All named items in one day: each in the table or in quarantine with its reason, and its text nowhere else."""
    program.use(google, mail_server)
    items = ", ".join(case.text for case in CORPUS)
    events_api.always(lambda exchange: exchange.respond(200, f"[{items}]".encode()))

    finished = program.run("--date", DAY_TEXT, "--json", API_WINDOW_MINUTES="1440")

    expected = Counter(case.expected for case in CORPUS)
    loaded = expected.pop("loaded")
    assert (finished.code, finished.day["received"], finished.day["loaded"]) == (0, len(CORPUS), loaded)
    reasons = table_rows(database_url, "SELECT reason, count(*) FROM lms_activities_rejected GROUP BY reason")
    assert dict(reasons) == expected
    stored = {row[0] for row in table_rows(database_url, "SELECT oauth_consumer_key FROM lms_activities")}
    assert stored >= set(hostile.texts().values())
    told = [(place, text) for place, text in program.places() if not place.startswith("table")]
    assert [place for place, text in told if hostile.CANARY in text] == []
    again = program.run("--date", DAY_TEXT, "--json", API_WINDOW_MINUTES="1440")
    assert (again.day["loaded"], again.day["already_present"]) == (0, loaded)


def test_hostile_answers_go_through_the_whole_program(
    program: Program, events_api: EventsServer, database_url: str
) -> None:
    """Each named answer fails its day in one line; none ends the program, and none is taken for an empty day."""
    bodies = [body for body, _ in hostile.answers().values()]
    days = [date(2023, 1, 1) + timedelta(days=number) for number in range(len(bodies))]
    by_day = {day.isoformat(): body for day, body in zip(days, bodies, strict=True)}
    events_api.always(lambda exchange: exchange.respond(200, by_day[exchange.request.query["start"][:10]]))

    finished = program.run(
        "--from", str(days[0]), "--to", str(days[-1]), "--json", API_WINDOW_MINUTES="1440", API_ATTEMPTS="1"
    )

    assert finished.code == 1
    assert [day["status"] for day in finished.days] == ["failed"] * len(bodies)
    assert all(day["error"].startswith("The source ") and day["error"].isprintable() for day in finished.days)
    assert table_rows(database_url, "SELECT count(*) FROM lms_activities") == [(0,)]


def test_program_opens_and_starts_nothing_that_data_names(
    program: Program, events_api: EventsServer, tmp_path: Path
) -> None:
    """Throughout a whole run with the corpus, no audit event of Python has a canary of the data in its arguments."""
    wrapper = tmp_path / "wrapper" / "sitecustomize.py"
    wrapper.parent.mkdir()
    heard = program.folder.parent / "heard.txt"
    wrapper.write_text(LISTENER.format(canary=hostile.CANARY, file=str(heard)), "utf-8")
    items = ", ".join(case.text for case in CORPUS)
    events_api.always(lambda exchange: exchange.respond(200, f"[{items}]".encode()))

    finished = program.run("--date", DAY_TEXT, "--json", API_WINDOW_MINUTES="1440", PYTHONPATH=str(wrapper.parent))

    assert finished.day["received"] == len(CORPUS)
    lines = heard.read_text("utf-8").splitlines()
    assert lines.count("listening") >= 1
    assert [line for line in lines if line != "listening"] == []


LISTENER = """
import sys, os

def listen(event, arguments, canary={canary!r}):
    if canary in repr(arguments):
        os.write(descriptor, (event + chr(10)).encode())

descriptor = os.open({file!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
os.write(descriptor, b"listening" + bytes([10]))
sys.addaudithook(listen)
"""
