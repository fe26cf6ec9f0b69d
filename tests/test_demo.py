"""The demo's stand-ins: days that are made up, the source and the mail server that speak the real protocols."""

from __future__ import annotations

import ast
import email
import email.policy
import hashlib
import json
import logging
import os
import re
import smtplib
import socket
import stat
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import astuple
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
import requests

import get_data
from app_types import Defect, Event, Reason, Rejected, Window
from config import HOME, MailSecurity, load_settings
from demo.environment import PASSED_THROUGH, demo_environment
from demo.events_api import EventsApi
from demo.generator import RawEvent, corrected_moment, day_events, placed_events
from demo.smtp_sink import SmtpSink
from exceptions import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAY = date(2023, 4, 1)
DAYS = [DAY, date(2023, 4, 5), date(2024, 2, 29), date(2026, 12, 31), date(1970, 1, 1)]
CLEAN_KEYS = {"lti_user_id", "passback_params", "is_correct", "attempt_type", "created_at"}
COURSE_KEY = re.compile(r"course-v1:[\w.-]+\+[\w.-]+\+[\w.-]+|[\w.-]+/[\w.-]+/[\w.-]+")
REJECTED_IN_DEMO = {
    Reason.USER_ID_MISSING,
    Reason.USER_ID_LENGTH,
    Reason.CREATED_AT_UNREADABLE,
    Reason.OUTSIDE_WINDOW,
    Reason.ATTEMPT_TYPE_UNKNOWN,
    Reason.PASSBACK_UNREADABLE,
}
DEFECTS_IN_DEMO = {
    Defect.PASSBACK_MISSING,
    Defect.SERVICE_URL_MISSING,
    Defect.USER_ID_MISMATCH,
    Defect.CORRECTNESS_MISMATCH,
}


def digest(events: list[RawEvent]) -> str:
    """Return a short digest of events, spelled as they are sent."""
    return hashlib.sha256(json.dumps(events).encode()).hexdigest()[:16]


def passback(event: RawEvent) -> dict[str, str]:
    """Read the passback parameters of an event; none where they cannot be read."""
    try:
        return dict(ast.literal_eval(str(event["passback_params"])))
    except (SyntaxError, TypeError, ValueError):
        return {}


def fetched(url: str, client: str, key: str, start: str, end: str, **headers: str) -> requests.Response:
    """Ask a source as the real client does."""
    parameters = {"client": client, "client_key": key, "start": start, "end": end}
    return requests.get(url, params=parameters, headers=headers, timeout=10, allow_redirects=False)


def fetch_day(api: EventsApi, day: date = DAY, hours: range = range(24)) -> list[RawEvent]:
    """Ask a demo source for hours of a day, one after another, as touching windows."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    events: list[RawEvent] = []
    for hour in hours:
        start = f"{midnight + timedelta(hours=hour):%Y-%m-%d %H:%M:%S.%f}"
        end = f"{midnight + timedelta(hours=hour + 1):%Y-%m-%d %H:%M:%S.%f}"
        events.extend(fetched(api.url, api.client, api.client_key, start, end).json())
    return events


def test_a_day_is_the_same_everywhere() -> None:
    """The events of a date never change: neither with the system, nor with the Python, nor with this program."""
    assert digest(day_events(DAY)) == "9ef22d6535c3830e"
    assert digest(day_events(DAY, corrected=True)) == "dce54b1391085186"


def test_a_day_does_not_depend_on_the_process() -> None:
    """A process with other hash seeds, that made other days before, makes the same day."""
    program = (
        "import datetime, hashlib, json; from demo.generator import day_events;"
        "day_events(datetime.date(2023, 4, 2));"
        "text = json.dumps(day_events(datetime.date(2023, 4, 1)));"
        "print(hashlib.sha256(text.encode()).hexdigest()[:16])"
    )
    environ = {**os.environ, "PYTHONHASHSEED": "4711", "TZ": "Asia/Tokyo"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=HOME, env=environ, check=True, capture_output=True, text=True
    )

    assert done.stdout.strip() == digest(day_events(DAY))


def test_days_differ() -> None:
    """Another date has other events."""
    assert len({digest(day_events(DAY + timedelta(days=number))) for number in range(7)}) == 7


def test_a_caller_cannot_spoil_the_day_for_others() -> None:
    """What is handed out are copies."""
    for event in day_events(DAY):
        event.clear()

    assert all(day_events(DAY))


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_a_day_has_the_proportions_of_the_real_one(day: date) -> None:
    """About 6,000 events; two thirds are runs; nearly half of the submits succeed; users, courses and tasks vary."""
    events = day_events(day)
    types = Counter(event["attempt_type"] for event in events)
    submits = [event for event in events if event["attempt_type"] == "submit"]
    users = Counter(event["lti_user_id"] for event in events if event["lti_user_id"])
    sourcedids = [read["lis_result_sourcedid"] for event in events if (read := passback(event))]
    parts = [unquote(sourcedid).rsplit(":", 1)[0] for sourcedid in sourcedids]
    courses = {match[0] for part in parts if (match := COURSE_KEY.match(part))}
    blocks = {part[-32:] for part in parts}

    assert 5_000 <= len(events) <= 7_000
    assert 0.62 <= types["run"] / len(events) <= 0.68
    assert 0.40 <= sum(event["is_correct"] == 1 for event in submits) / len(submits) <= 0.55
    assert 900 <= len(users) <= 1_400
    assert sum(count for _, count in users.most_common(100)) > 0.2 * len(events)
    assert 28 <= len(courses) <= 30
    assert 350 <= len(blocks) <= 430


def test_the_first_of_april_is_near_six_thousand() -> None:
    """The day of the README has about 6,000 events."""
    assert 5_800 <= len(day_events(DAY)) <= 6_200


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_students_sleep_at_night(day: date) -> None:
    """Every hour has events; at noon and in the evening (UTC+3) there are many times more than at night."""
    hours = Counter(placed.moment.hour for placed in placed_events(day))

    assert len(hours) == 24
    night = sum(hours[hour] for hour in (0, 1, 2)) / 3
    assert hours[9] > 4 * night
    assert hours[17] + hours[18] > hours[13] + hours[14]


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_events_lie_within_their_day(day: date) -> None:
    """The moments at which events are to be had lie within the date; order is that of time, copies apart."""
    placed = list(placed_events(day))

    assert {item.moment.date() for item in placed} == {day}
    backward = sum(later.moment < earlier.moment for earlier, later in pairwise(placed))
    assert backward <= 25


def test_events_have_the_form_of_the_source() -> None:
    """All five names, the time to the microsecond or, at times, to the second, a Python dict as text."""
    events = day_events(DAY)
    forms = Counter(re.sub(r"\d", "9", str(event["created_at"])) for event in events)
    read = [parameters for event in events if (parameters := passback(event))]
    sourcedids = [parameters["lis_result_sourcedid"] for parameters in read]

    assert all(event.keys() == CLEAN_KEYS for event in events)
    assert forms["9999-99-99 99:99:99.999999"] > 0.95 * len(events)
    assert forms["9999-99-99 99:99:99"] > 20
    assert all(parameters["oauth_consumer_key"] == "" for parameters in read)
    assert all(len(sourcedid.rsplit(":", 2)) == 3 for sourcedid in sourcedids)
    assert sum("%3A" in sourcedid for sourcedid in sourcedids) > 50
    assert sum(sourcedid.startswith(("DEMO/", "SAMPLE/")) for sourcedid in sourcedids) > 50


FLAWS: dict[str, Callable[[RawEvent], bool]] = {
    "null user id": lambda event: event["lti_user_id"] is None,
    "empty user id": lambda event: event["lti_user_id"] == "",
    "user id of 31": lambda event: len(str(event["lti_user_id"])) == 31,
    "user id of 33": lambda event: len(str(event["lti_user_id"])) == 33,
    "null passback": lambda event: event["passback_params"] is None,
    "empty passback": lambda event: event["passback_params"] == "",
    "incomplete passback": lambda event: (
        "lis_outcome_service_url" not in (passback(event) or "lis_outcome_service_url")
    ),
    "truncated passback": lambda event: (
        str(event["passback_params"]).startswith("{'oauth") and not str(event["passback_params"]).endswith("}")
    ),
    "code instead of passback": lambda event: str(event["passback_params"]).startswith("__import__('os')"),
    "code inside passback": lambda event: "': __import__('os')" in str(event["passback_params"]),
    "run judged": lambda event: event["attempt_type"] == "run" and event["is_correct"] in {0, 1},
    "submit not judged": lambda event: event["attempt_type"] == "submit" and event["is_correct"] is None,
    "unknown attempt type": lambda event: event["attempt_type"] not in {"run", "submit"},
    "somebody else's sourcedid": lambda event: bool(
        len(str(event["lti_user_id"])) == 32
        and (read := passback(event))
        and not read["lis_result_sourcedid"].endswith(f":{event['lti_user_id']}")
    ),
    "unreadable time": lambda event: not re.fullmatch(r"[1-9]\d{3}-\d\d-\d\d .{8}(\.\d{6})?", str(event["created_at"])),
    "earlier day": lambda event: "1970" < str(event["created_at"])[:10] < DAY.isoformat(),
    "later day": lambda event: DAY.isoformat() < str(event["created_at"])[:10] < "2024",
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_every_flaw_of_the_source_is_in_a_day(flaw: str) -> None:
    """A few events have the flaw, but never many."""
    assert 1 <= sum(map(FLAWS[flaw], day_events(DAY))) <= 60


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_some_events_are_sent_twice(day: date) -> None:
    """Of the copies in a day some are exact, and some submits come again with the verdict that counts."""
    verdicts: dict[str, list[Any]] = {}
    for event in day_events(day):
        key = json.dumps({**event, "is_correct": None})
        verdicts.setdefault(key, []).append(event["is_correct"])
    twice = [values for values in verdicts.values() if len(values) > 1]

    assert Counter(values[0] == values[1] for values in twice) == {True: 15, False: 5}
    assert all(values == [0, 1] for values in twice if values[0] != values[1])


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_the_second_version_of_a_day_corrects_one_submit(day: date) -> None:
    """One good submit, of the late morning and sent once, turns from wrong to right; nothing else changes."""
    first, second = day_events(day), day_events(day, corrected=True)
    changed = [(old, new) for old, new in zip(first, second, strict=True) if old != new]
    ((old, new),) = changed

    assert (old["is_correct"], new["is_correct"], old["attempt_type"]) == (0, 1, "submit")
    assert {**old, "is_correct": 1} == new
    assert len(str(old["lti_user_id"])) == 32
    assert passback(old)["lis_result_sourcedid"].endswith(f":{old['lti_user_id']}")
    assert old["created_at"] == f"{corrected_moment(day):%Y-%m-%d %H:%M:%S.%f}"
    assert corrected_moment(day).hour in range(9, 12)
    assert sum(event["created_at"] == old["created_at"] for event in first) == 1


def test_the_source_sends_both_ends_of_a_window(tmp_path: Path) -> None:
    """An event of a whole hour comes with the window that it ends and with the one that it begins."""
    with EventsApi(tmp_path) as api:
        events = fetch_day(api)
        once = fetched(api.url, api.client, api.client_key, f"{DAY} 00:00:00.000000", f"{DAY} 23:59:59.999999").json()

    assert len(once) == len(day_events(DAY))
    assert len(events) == len(once) + 3  # those of 9 and 18 o'clock, and one of the next midnight
    assert [event["created_at"] for event in once].count(f"{DAY} 09:00:00") == 1
    assert [event["created_at"] for event in events].count(f"{DAY} 09:00:00") == 2


@pytest.mark.parametrize("minutes", [1, 30, 480])
def test_windows_of_any_length_give_the_same_events(minutes: int, tmp_path: Path) -> None:
    """However a day is cut, also if it is the day of another zone, each event is to be had once."""
    begin = datetime(2023, 3, 31, 21, tzinfo=UTC).replace(tzinfo=None)
    length, instant = timedelta(minutes=minutes), timedelta(microseconds=1)
    api = EventsApi(tmp_path)

    whole = api.events(begin, begin + timedelta(days=1) - instant)
    parts = [
        event
        for number in range(1_440 // minutes)
        for event in api.events(begin + number * length, begin + (number + 1) * length - instant)
    ]

    assert len(whole) > 5_000
    assert Counter(map(json.dumps, parts)) == Counter(map(json.dumps, whole))


def test_the_real_client_takes_a_day_from_the_source(tmp_path: Path) -> None:
    """Through the program's own extraction a day has every kind of rejection and defect, in the real proportions."""
    with demo_environment(tmp_path / "demo", {}) as demo:
        settings = load_settings(demo.environ)
        window = Window(datetime(2023, 4, 1, tzinfo=UTC), datetime(2023, 4, 2, tzinfo=UTC))
        items = [
            item for batch in get_data.fetch(settings.api, window, log_every_event=True) for _, item in batch.noted
        ]
    rejected = [item for item in items if isinstance(item, Rejected)]
    events = [item for item in items if isinstance(item, Event)]
    keys = {(event.created_at, event.user_id, event.attempt_type, event.lis_result_sourcedid) for event in events}

    assert len(items) == len(day_events(DAY))
    assert {item.reason for item in rejected} == REJECTED_IN_DEMO
    assert {defect for event in events for defect in event.defects} == DEFECTS_IN_DEMO
    assert 0.005 <= len(rejected) / len(items) <= 0.015
    assert 0.015 <= sum(bool(event.defects) for event in events) / len(items) <= 0.025
    assert len(events) - len(keys) == 20


def test_the_second_fetch_brings_one_correction_and_the_third_nothing_new(tmp_path: Path) -> None:
    """Each run of the program asks a source of its own; they remember what was fetched."""
    answers = []
    for _ in range(3):
        with EventsApi(tmp_path) as api:
            answers.append(fetch_day(api))
    first, second, third = answers

    assert [(old["is_correct"], new["is_correct"]) for old, new in zip(first, second, strict=True) if old != new] == [
        (0, 1)
    ]
    assert third == second


def test_a_day_does_not_change_under_a_run(tmp_path: Path) -> None:
    """A window that is asked for again, after a failure, say, has the same answer."""
    with EventsApi(tmp_path) as api:
        assert fetch_day(api) == fetch_day(api)


def test_each_day_has_its_own_correction(tmp_path: Path) -> None:
    """The fetch of a day uses up no other day's correction."""
    with EventsApi(tmp_path) as api:
        fetch_day(api)
    with EventsApi(tmp_path) as api:
        next_day = fetch_day(api, DAY + timedelta(days=1))

    assert Counter(map(json.dumps, next_day)) >= Counter(map(json.dumps, day_events(DAY + timedelta(days=1))))


def test_a_test_run_leaves_the_correction_for_later(tmp_path: Path) -> None:
    """The fetch of the first hour alone is no fetch of the day."""
    with EventsApi(tmp_path) as api:
        fetch_day(api, hours=range(1))
    with EventsApi(tmp_path) as api:
        events = fetch_day(api)

    assert sum(event["is_correct"] == 1 for event in events) == sum(e["is_correct"] == 1 for e in day_events(DAY))


@pytest.mark.parametrize("end", ["exception", "interrupt", "forgotten"])
def test_a_run_that_loaded_nothing_leaves_the_correction_for_later(end: str, tmp_path: Path) -> None:
    """A fetch counts only if the run ended well."""
    error: type[BaseException] = KeyboardInterrupt if end == "interrupt" else RuntimeError

    def life() -> None:
        with demo_environment(tmp_path / "demo", {}) as demo:
            settings = load_settings(demo.environ)
            fetched(
                settings.api.url,
                settings.api.client,
                settings.api.client_key.reveal(),
                f"{DAY} 09:00:00.000000",
                f"{DAY} 12:00:00.000000",
            )
            if end == "forgotten":
                demo.forget_fetch()
            else:
                raise error

    if end == "forgotten":
        life()
    else:
        with pytest.raises(error):
            life()

    assert not (tmp_path / "demo" / "fetched-days.json").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'["2023-13-01"]', b"null", b"\xff"], ids=str)
def test_a_damaged_memory_is_none(content: bytes, tmp_path: Path) -> None:
    """A file of fetched days that cannot be read is made anew."""
    file = tmp_path / "fetched-days.json"
    file.write_bytes(content)
    with EventsApi(tmp_path) as api:
        fetch_day(api)

    assert json.loads(file.read_bytes()) == [str(DAY)]


@pytest.mark.parametrize(
    ("client", "key"), [("demo", "wrong"), ("other", "right"), ("", ""), ("demo", "ключ"), ("demo\nright", "")], ids=str
)
def test_strangers_are_refused(client: str, key: str, tmp_path: Path) -> None:
    """Whoever does not know both the client's name and the key gets an error object and no events."""
    with EventsApi(tmp_path, client_key="right") as api:
        response = fetched(api.url, client, key, f"{DAY} 00:00:00.000000", f"{DAY} 01:00:00.000000")

    assert response.status_code == 403
    assert response.json().keys() == {"errors"}


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("", f"{DAY} 01:00:00.000000"),
        (f"{DAY}", f"{DAY} 01:00:00.000000"),
        (f"{DAY} 00:00:00", f"{DAY} 01:00:00"),
        (f"{DAY}T00:00:00.000000", f"{DAY}T01:00:00.000000"),
        (f"{DAY} 25:00:00.000000", f"{DAY} 26:00:00.000000"),
        (f"{DAY} 01:00:00.000000", f"{DAY} 00:00:00.000000"),
        ("0001-01-01 00:00:00.000000", f"{DAY} 01:00:00.000000"),
        ("9999-12-31 00:00:00.000000", "9999-12-31 01:00:00.000000"),
    ],
)
def test_windows_that_cannot_be_are_refused(start: str, end: str, tmp_path: Path) -> None:
    """Times of another form, windows backward and centuries are wrong parameters."""
    with EventsApi(tmp_path) as api:
        response = fetched(api.url, api.client, api.client_key, start, end)

    assert response.status_code == 400
    assert response.json().keys() == {"errors"}


def test_other_addresses_hold_nothing(tmp_path: Path) -> None:
    """Only the path of the real source is served."""
    with EventsApi(tmp_path) as api:
        response = requests.get(api.url.replace("statistics", "others"), timeout=10)

    assert (response.status_code, response.json().keys()) == (404, {"errors"})


def test_answers_are_compressed_for_those_who_ask(tmp_path: Path) -> None:
    """With `Accept-Encoding: gzip` the same events travel in fewer bytes."""
    with EventsApi(tmp_path) as api:
        window = (f"{DAY} 09:00:00.000000", f"{DAY} 10:00:00.000000")
        packed = fetched(api.url, api.client, api.client_key, *window)
        plain = fetched(api.url, api.client, api.client_key, *window, **{"Accept-Encoding": "identity"})

    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert packed.json() == plain.json()
    assert int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"]) / 4


def test_the_key_is_new_in_each_run_and_never_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of the demo writes its key anywhere, at any level."""
    caplog.set_level(logging.DEBUG, logger="demo")
    keys = set()
    for _ in range(2):
        with EventsApi(tmp_path) as api:
            fetch_day(api, hours=range(9, 12))
            keys.add(api.client_key)

    assert len(keys) == 2
    assert not [key for key in keys if key in caplog.text]
    assert not [path for path in tmp_path.rglob("*") if any(key.encode() in path.read_bytes() for key in keys)]


def test_the_source_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither requests nor broken connections show on the console."""
    with EventsApi(tmp_path) as api:
        fetch_day(api, hours=range(2))
        port = int(api.url.split(":")[2].split("/")[0])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"nonsense\r\n\r\n")
            connection.recv(100)
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET /api/stat")

    assert capfd.readouterr() == ("", "")


def test_clients_that_stay_do_not_keep_the_source_alive(tmp_path: Path) -> None:
    """The end of the block ends connections that are kept open, and frees the port."""
    with requests.Session() as session:
        with EventsApi(tmp_path) as api:
            port = int(api.url.split(":")[2].split("/")[0])
            session.get(api.url, timeout=10)
        with pytest.raises(requests.ConnectionError):
            session.get(f"http://127.0.0.1:{port}/", timeout=10)


def letter(subject: str = "Учёба 1 апреля") -> EmailMessage:
    """Return a letter in Russian with two forms of its text."""
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = "etl@example.org"
    message["To"] = "leads@example.org, others@example.org"
    message.set_content("1 204 студента\n.\n..\n")
    message.add_alternative("<p>1 204 студента</p>", subtype="html")
    return message


def send(port: int, message: EmailMessage) -> dict[str, tuple[int, bytes]]:
    """Hand a letter to a mail server on loopback."""
    with smtplib.SMTP("127.0.0.1", port, local_hostname="localhost", timeout=10) as smtp:
        return smtp.send_message(message)


def test_letters_are_kept_as_files(tmp_path: Path) -> None:
    """Every letter that is sent lies in the folder, whole, as mail programs open it."""
    with SmtpSink(tmp_path) as sink:
        refused = send(sink.port, letter())
        paths = sink.letters
    (path,) = paths
    kept = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    text = kept.get_body(("plain",))

    assert refused == {}
    assert path.parent == tmp_path
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_\d+\.eml", path.name)
    assert kept["Subject"] == "Учёба 1 апреля"
    assert text is not None
    assert text.get_content().replace("\r\n", "\n") == "1 204 студента\n.\n..\n"


def test_letters_never_replace_each_other(tmp_path: Path) -> None:
    """Letters of the same second, also those of an earlier run, have files of their own."""
    with SmtpSink(tmp_path) as sink:
        for number in range(3):
            send(sink.port, letter(str(number)))
        first = sink.letters
    with SmtpSink(tmp_path) as sink:
        send(sink.port, letter("3"))
        second = sink.letters
    subjects = [email.message_from_bytes(path.read_bytes())["Subject"] for path in first + second]

    assert subjects == ["0", "1", "2", "3"]
    assert len(set(first + second)) == len(list(tmp_path.iterdir())) == 4


@pytest.mark.skipif(os.name != "posix", reason="modes of files are those of POSIX")
def test_letters_are_private(tmp_path: Path) -> None:
    """Nobody else on the machine may read a letter, whatever the umask."""
    before = os.umask(0)
    try:
        with SmtpSink(tmp_path) as sink:
            send(sink.port, letter())
            (path,) = sink.letters
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_mail_servers_at_once_have_ports_of_their_own(tmp_path: Path) -> None:
    """The system chooses the port, so nobody can be faster to take it; after the block, nobody listens there."""
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
    with SmtpSink(folders[0]) as one, SmtpSink(folders[1]) as other:
        ports = one.port, other.port
        assert [send(port, letter()) for port in ports] == [{}, {}]
        assert [len(sink.letters) for sink in (one, other)] == [1, 1]

    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            send(port, letter())


def test_mail_server_that_cannot_listen_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of the system comes up, nothing waits for a server that will never answer, and no thread is left."""
    monkeypatch.setattr("demo.smtp_sink._HOST", "192.0.2.1")  # an address that no machine has
    with pytest.raises(OSError, match=r"192\.0\.2\.1"), SmtpSink(tmp_path):
        pytest.fail("it cannot listen")

    assert "demo mail" not in {thread.name for thread in threading.enumerate()}
    assert logging.getLogger("mail.log").level == logging.NOTSET


def test_interruption_in_the_start_leaves_no_mail_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C may come when the server runs already, but nobody is to stop it yet."""
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), SmtpSink(tmp_path):
        pytest.fail("it was interrupted")

    assert "demo mail" not in {thread.name for thread in threading.enumerate()}


def test_a_letter_that_cannot_be_kept_is_not_taken(tmp_path: Path) -> None:
    """The server admits that it lost the letter, so that the sender can tell."""
    folder = tmp_path / "letters"
    folder.mkdir()
    with SmtpSink(folder) as sink:
        folder.rmdir()
        with pytest.raises(smtplib.SMTPDataError) as failure:
            send(sink.port, letter())

        assert sink.letters == ()
    assert failure.value.smtp_code == 451


def test_the_mail_server_is_silent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The library beneath tells nothing of a delivery that went well, neither in the log nor on the console."""
    caplog.set_level(logging.INFO)
    level = logging.getLogger("mail.log").level
    with SmtpSink(tmp_path) as sink:
        send(sink.port, letter())

    assert caplog.records == []
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("mail.log").level == level


def test_the_demo_needs_no_settings(tmp_path: Path) -> None:
    """With an empty environment the demo's own settings are complete, and all of them lead to this machine."""
    state = tmp_path / "demo"
    with demo_environment(state, {}) as demo:
        settings = load_settings(demo.environ)
        database = demo.database_folder

    assert settings.warnings == ()
    assert settings.api.url.startswith("http://127.0.0.1:")
    assert settings.database.is_embedded
    assert settings.sheet is None
    assert settings.mail is not None
    assert (settings.mail.server, settings.mail.security) == ("127.0.0.1", MailSecurity.NONE)
    assert all(address.endswith("@example.org") for address in (settings.mail.sender, *settings.mail.recipients))
    assert {settings.logs.path.parent, settings.reports_path.parent, database.parent} == {state}


def test_nothing_of_the_users_own_settings_reaches_the_demo(tmp_path: Path) -> None:
    """No address, account or secret of the real environment is used, under its new name or an old one."""
    harmful = {
        "API_URL": "https://canary.example.org/api",
        "API_CLIENT": "canary-client",
        "API_CLIENT_KEY": "canary-key",
        "client": "canary-old-client",
        "client_key": "canary-old-key",
        "smtp_password": "canary-old-password",
        "DATABASE_URL": "postgresql://canary:canary@db.example.org/canary",
        "PGHOST": "canary.example.org",
        "PGPASSWORD": "canary-pg",
        "DB_MAIN_TABLE_OPEN_RESET": "true",
        "GOOGLE_CREDENTIALS_FILE": "/canary.json",
        "GOOGLE_SHEET_ID": "canary",
        "GOOGLE_SHEETS_ENDPOINT": "https://canary.example.org",
        "SMTP_SERVER": "canary.example.org",
        "SMTP_PORT": "2525",
        "SMTP_USER": "canary",
        "SMTP_PASSWORD": "canary-password",
        "SMTP_CA_FILE": "/canary.pem",
        "SENDER_EMAIL": "canary@example.org",
        "EMAIL_ADDRESSES_FOR_MAILING": "canary@example.org",
        "LOGS_PATH": "/canary",
        "REPORTS_PATH": "/canary",
        "SSLKEYLOGFILE": "/canary",
    }
    with demo_environment(tmp_path / "demo", harmful) as demo:
        settings = load_settings(demo.environ)

        assert "canary" not in str(demo.environ)
        assert "canary" not in str(settings)
        assert settings.api.client_key.reveal() not in repr(demo)
    assert settings.database.is_embedded
    assert not settings.database.reset


def test_harmless_settings_of_the_user_are_heeded(tmp_path: Path) -> None:
    """Language, zone, windows, logging and retention of the demo are the user's choice."""
    chosen = {
        "API_CONCURRENCY": "3",
        "API_WINDOW_MINUTES": "120",
        "CURR_LANG": "ENGLISH",
        "LOG_EVERY_INCOMING_LINE": "true",
        "LOG_LEVEL": "DEBUG",
        "MAX_NUM_LOGS_FILES": "9",
        "RETENTION_LEDGER_DAYS": "3",
        "RETENTION_QUARANTINE_DAYS": "2",
        "RETENTION_REPORTS_DAYS": "1",
        "TEST_APP_MODE": "true",
        "TIMEZONE": "Europe/Moscow",
    }
    assert set(chosen) == set(PASSED_THROUGH)
    with demo_environment(tmp_path / "demo", chosen) as demo:
        settings = load_settings(demo.environ)

    assert (settings.api.concurrency, settings.api.window_minutes) == (3, 120)
    assert (settings.language, settings.zone.key, settings.test_mode) == ("en", "Europe/Moscow", True)
    assert (settings.logs.every_event, settings.logs.level, settings.logs.keep) == (True, "DEBUG", 9)
    assert astuple(settings.retention) == (2, 3, 1)


@pytest.mark.skipif(os.name != "posix", reason="modes of files are those of POSIX")
def test_the_demos_folder_is_private(tmp_path: Path) -> None:
    """The state belongs to the user alone, also where the folder was open before."""
    state = tmp_path / "demo"
    state.mkdir(mode=0o755)
    with demo_environment(state, {}) as demo:
        letters = demo.letters_folder

    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (state, letters)] == [0o700, 0o700]


def test_the_demo_sends_letters_to_its_folder(tmp_path: Path) -> None:
    """The letters of this run are told, those of earlier ones are not."""
    for _ in range(2):
        with demo_environment(tmp_path / "demo", {}) as demo:
            send(int(demo.environ["SMTP_PORT"]), letter())
        (path,) = demo.letters

        assert path.parent == demo.letters_folder
    assert len(list(demo.letters_folder.iterdir())) == 2


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt, SystemExit])
def test_the_demo_stops_however_the_run_ends(error: type[BaseException] | None, tmp_path: Path) -> None:
    """After the block nobody listens any more, and the error goes its way."""
    ports: list[int] = []

    def life() -> None:
        with demo_environment(tmp_path / "demo", {}) as demo:
            ports.extend([int(demo.environ["SMTP_PORT"]), int(demo.environ["API_URL"].split(":")[2].split("/")[0])])
            if error:
                raise error

    if error:
        with pytest.raises(error):
            life()
    else:
        life()

    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)


def test_an_unusable_folder_is_told_as_such(tmp_path: Path) -> None:
    """Where the state cannot be kept the demo does not start, and says why."""
    blocked = tmp_path / "file"
    blocked.touch()
    with (
        pytest.raises(ConfigError, match=re.escape(str(blocked / "demo"))),
        demo_environment(blocked / "demo", {}),
    ):
        pass
