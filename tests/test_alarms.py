"""Alarms: what is told, to whom, in which words, and that none of it costs more than a few seconds."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from alarms import heartbeat, notify
from alarms.ending import Ending
from alarms.errands import Errand, troubles
from alarms.notice import Notice, notice, without_people
from alarms.watch import PATIENCE, Watch, tell
from app_types import DayOutcome, Language, Mode, RunStatus, Secret
from config import AlarmSettings
from exceptions import DatabaseError, EtlError, MailError, SourceError
from messages import Messages

if TYPE_CHECKING:
    from tests.support.receiver import Receiver

DAY = date(2023, 4, 1)
NOW = datetime(2023, 4, 2, 1, 15, tzinfo=UTC)
ENGLISH = Messages(Language.ENGLISH)
WARNING = Notice("Title", "Body", is_failure=False)


def outcome(status: RunStatus, day: date = DAY, **values: Any) -> DayOutcome:
    """Return the end of a day."""
    return DayOutcome(date=day, mode=Mode.FULL, complete=True, status=status, **values)


def ending(*outcomes: DayOutcome, code: int = 1, command: str = "run", doubts: dict[date, str] | None = None) -> Ending:
    """Return the end of a command."""
    return Ending(command, code, outcomes, NOW, NOW + timedelta(seconds=12), doubts or {})


def unchanged(text: str) -> str:
    """Strike out nothing."""
    return text


def worded(end: Ending) -> Notice:
    """Return the message about a command, which there must be."""
    told = notice(end, ENGLISH, unchanged)
    assert told is not None
    return told


# --- the message ---


def test_good_command_is_not_worth_a_message() -> None:
    """Who is told of every success soon reads none of it."""
    assert notice(ending(outcome(RunStatus.OK), code=0), ENGLISH, unchanged) is None


def test_failed_day_is_told_with_cause_and_remedy() -> None:
    """The message says which day, why, what to do, and which command repeats it."""
    error = SourceError("The source refused (%(code)s).", remedy="Check the key.", code="401")
    told = worded(ending(outcome(RunStatus.FAILED, error=error)))

    assert told.title == "Learning events, 1 April 2023: the run failed"
    assert told.body == (
        "2023-04-01: The source refused (401). Check the key.\nTo repeat: python data_processor.py --date 2023-04-01"
    )
    assert told.is_failure


def test_partial_day_is_a_warning() -> None:
    """The events are loaded: it can wait until the morning."""
    told = worded(ending(outcome(RunStatus.PARTIAL, error=EtlError("The sheet is full.")), code=3))

    assert told.title == "Learning events, 1 April 2023: loaded, with trouble"
    assert told.body == "2023-04-01: The sheet is full."
    assert not told.is_failure


def test_doubtful_day_is_told_though_the_run_was_good() -> None:
    """A day that was loaded well, but whose figures nobody should use unseen, is told."""
    told = worded(ending(outcome(RunStatus.OK), code=0, doubts={DAY: "Many events were rejected: 40%."}))

    assert told.title == "Learning events, 1 April 2023: loaded, but the figures are doubtful"
    assert told.body == "2023-04-01: Many events were rejected: 40%."
    assert not told.is_failure


def test_range_is_one_message() -> None:
    """A range has one message; good days are not in it, and many days are cut short."""
    days = [outcome(RunStatus.FAILED, DAY + timedelta(days=n), error=EtlError("No.")) for n in range(13)]
    told = worded(ending(*days, outcome(RunStatus.OK, date(2023, 5, 1))))

    assert told.title == "Learning events: trouble with 13 days"
    assert told.body.splitlines()[:2] == ["2023-04-01: No.", "2023-04-02: No."]
    assert told.body.splitlines()[10:] == ["… and 3 more days", "To repeat: python data_processor.py fill"]
    assert "2023-05-01" not in told.body


def test_run_that_the_system_ended_is_told_and_one_that_the_operator_ended_is_not() -> None:
    """Who pressed Ctrl-C knows; who shut the machine down may not."""
    interrupted = outcome(RunStatus.INTERRUPTED)

    assert (
        worded(ending(interrupted, code=143)).title == "Learning events, 1 April 2023: the run was ended by the system"
    )
    assert notice(ending(interrupted, code=130), ENGLISH, unchanged) is None


@pytest.mark.parametrize(
    ("command", "code", "is_told"),
    [("run", 1, True), ("fill", 1, True), ("retention", 1, True), ("audit", 1, False), ("fill", 0, False)],
)
def test_command_that_failed_before_its_first_day_is_told(command: str, code: int, is_told: bool) -> None:
    """No day is no reason for silence; but by its code `audit` only says that something drifted."""
    assert (notice(ending(code=code, command=command), ENGLISH, unchanged) is not None) is is_told


def test_command_that_failed_before_its_first_day_says_why() -> None:
    """The error that ended it, with its remedy, and no secret in it."""
    end = replace(ending(command="fill"), error=DatabaseError("k3y cannot be reached.", remedy="Start it."))
    told = notice(end, ENGLISH, lambda text: text.replace("k3y", "***"))

    assert told is not None
    assert (told.title, told.body) == (
        "Learning events: the command fill failed",
        "*** cannot be reached. Start it.",
    )


def test_message_names_no_person() -> None:
    """Addresses of recipients stay out of chats; the account that a sheet must be shared with is nobody's."""
    error = MailError("The mail server refused recipients: %(refused)s.", refused="ann.b+c@example.org (550)")
    told = worded(ending(outcome(RunStatus.PARTIAL, error=error), code=3))

    assert told.body == "2023-04-01: The mail server refused recipients: …@example.org (550)."
    assert without_people("share with etl@x.iam.gserviceaccount.com") == "share with etl@x.iam.gserviceaccount.com"


def test_secrets_are_struck_out_before_anything_is_sent() -> None:
    """What strikes secrets out is applied to each line."""
    told = notice(ending(outcome(RunStatus.FAILED, error=EtlError("k3y"))), ENGLISH, lambda t: t.replace("k3y", "***"))

    assert told is not None
    assert told.body.startswith("2023-04-01: ***")


def test_message_is_in_the_operators_language() -> None:
    """A Russian operator is told in Russian."""
    told = notice(ending(outcome(RunStatus.FAILED, error=EtlError("x"))), Messages(Language.RUSSIAN), unchanged)

    assert told is not None
    assert told.title == "Учебные события, 1 апреля 2023: прогон не удался"


def test_endless_error_is_cut() -> None:
    """A chat takes short messages."""
    told = worded(ending(outcome(RunStatus.FAILED, error=EtlError("x" * 5000))))

    assert len(told.body) < 800


# --- how it is sent ---


def wait(errands: list[Errand], seconds: float = 30.0) -> dict[str, str]:
    """Wait for errands, long enough for a busy machine."""
    return troubles(errands, time.monotonic() + seconds)


def test_apprise_brings_title_body_and_kind(receiver: Receiver) -> None:
    """A webhook gets one request with all of it."""
    errands = notify.send([Secret(receiver.notify_url)], Notice("Заголовок", "Строка 1\nСтрока <2>", is_failure=True))

    assert wait(errands) == {}
    assert [message["title"] for message in receiver.messages] == ["Заголовок"]
    assert receiver.messages[0]["message"] == "Строка 1\nСтрока <2>"
    assert receiver.messages[0]["type"] == "failure"


def test_every_address_is_told_though_one_fails(receiver: Receiver, closed_port: int) -> None:
    """One service that is down does not keep the message from the others; the trouble names no address."""
    urls = [f"json://127.0.0.1:{closed_port}/canary", receiver.notify_url, "tgram://canary"]
    found = wait(notify.send([Secret(url) for url in urls], WARNING))

    assert found == {"NOTIFY_URLS 1": "refused", "NOTIFY_URLS 3": "unusable"}
    assert len(receiver.messages) == 1


def test_apprise_follows_no_redirect(receiver: Receiver) -> None:
    """Nobody sends our messages and tokens on to somewhere else."""
    receiver.behaviour = "redirect"

    assert wait(notify.send([Secret(receiver.notify_url)], WARNING)) == {"NOTIFY_URLS 1": "refused"}
    assert receiver.paths == ["/hook/t0kenOfTheHook"]


@pytest.mark.parametrize(
    ("kind", "path"), [(heartbeat.START, "/start"), (heartbeat.SUCCESS, ""), (heartbeat.FAILURE, "/fail")]
)
@pytest.mark.parametrize("end", ["", "/", "?rid=1"])
def test_heartbeat_follows_the_convention(receiver: Receiver, kind: str, path: str, end: str) -> None:
    """Start, success and failure have the paths of healthchecks.io; the body arrives as it is."""
    url = receiver.url + end

    assert wait([heartbeat.ping(Secret(url), kind, "тело")]) == {}
    query = end if end.startswith("?") else ""
    assert [(posted.path, posted.body) for posted in receiver.pings] == [
        (f"/ping/7f0c0dd4-secret-5d5a{path}{query}", "тело")
    ]


@pytest.mark.parametrize(("behaviour", "trouble"), [("refuse", "HTTP 500"), ("redirect", "HTTP 302")])
def test_monitor_that_refuses_is_told(receiver: Receiver, behaviour: str, trouble: str) -> None:
    """Anything but success is a trouble, named by its code."""
    receiver.behaviour = behaviour

    assert wait([heartbeat.ping(Secret(receiver.url), heartbeat.SUCCESS)]) == {"HEARTBEAT_URL": trouble}
    assert len(receiver.received) == 1


def test_errand_that_fails_tells_the_kind_alone() -> None:
    """The text of a library's error may hold an address, so it stays out."""

    def fail() -> str:
        raise ValueError("https://canary.example.org")

    assert wait([Errand("x", fail)]) == {"x": "ValueError"}


def test_errand_that_hangs_is_late() -> None:
    """Nobody waits longer than agreed."""
    hang = threading.Event()
    errand = Errand("x", lambda: str(hang.wait(60)))

    assert troubles([errand], time.monotonic() + 0.05) == {"x": "timeout"}
    hang.set()


# --- the whole command ---


def watched_end(settings: AlarmSettings, end: Ending, *, is_daily: bool = True) -> None:
    """Watch a command from its start to its end."""
    watch = Watch(settings)
    if is_daily:
        watch.begin()
    watch.end(end, ENGLISH, unchanged, is_daily=is_daily)


def test_failure_reaches_everybody(receiver: Receiver) -> None:
    """One message, and the pings of start and failure with a short text."""
    settings = AlarmSettings(notify_urls=(Secret(receiver.notify_url),), heartbeat_url=Secret(receiver.url))
    watched_end(settings, ending(outcome(RunStatus.FAILED, error=EtlError("No."))))

    assert len(receiver.messages) == 1
    assert [posted.path.rpartition("/")[2] for posted in receiver.pings] == ["start", "fail"]
    assert receiver.pings[1].body.startswith("exit code 1; 2023-04-01 failed\n")


def test_success_reaches_the_monitor_alone(receiver: Receiver) -> None:
    """Start and success are pinged; no message is sent."""
    settings = AlarmSettings(notify_urls=(Secret(receiver.notify_url),), heartbeat_url=Secret(receiver.url))
    watched_end(settings, ending(outcome(RunStatus.OK), code=0))

    assert [posted.path.partition("-5d5a")[2] for posted in receiver.received] == ["/start", ""]
    assert receiver.received[1].body == "exit code 0; 2023-04-01 ok"


def test_work_on_older_days_leaves_the_heartbeat_alone(receiver: Receiver) -> None:
    """A success of last year's days must not hide that yesterday is missing."""
    settings = AlarmSettings(heartbeat_url=Secret(receiver.url))
    watched_end(settings, ending(outcome(RunStatus.OK), code=0), is_daily=False)

    assert receiver.received == []


@pytest.mark.parametrize("behaviour", ["hang", "drip"])
def test_receiver_that_never_answers_is_one_warning_each(
    receiver: Receiver, behaviour: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The end of the command waits as long as agreed and no longer; the warnings hold no address."""
    receiver.behaviour = behaviour
    settings = AlarmSettings(notify_urls=(Secret(receiver.notify_url),), heartbeat_url=Secret(receiver.url))
    started = time.monotonic()
    with caplog.at_level(logging.INFO):
        watched_end(settings, ending(outcome(RunStatus.FAILED, error=EtlError("No."))))

    assert time.monotonic() - started < PATIENCE + 30
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 2
    assert {line.partition(" did")[0] for line in warnings} == {"alarm: HEARTBEAT_URL", "alarm: NOTIFY_URLS 1"}
    assert not any("127.0.0.1" in line or "t0ken" in line or "secret" in line for line in warnings)


def test_nobody_listening_is_one_warning_each(closed_port: int, caplog: pytest.LogCaptureFixture) -> None:
    """A refused connection is told at once."""
    settings = AlarmSettings(
        notify_urls=(Secret(f"json://127.0.0.1:{closed_port}/t0ken"),),
        heartbeat_url=Secret(f"http://127.0.0.1:{closed_port}/s3cret"),
    )
    watched_end(settings, ending(outcome(RunStatus.FAILED, error=EtlError("No."))))

    assert len(caplog.records) == 2
    assert not any("t0ken" in record.getMessage() or "s3cret" in record.getMessage() for record in caplog.records)


def test_further_message_is_sent_and_waited_for(receiver: Receiver) -> None:
    """What is not about the end of a command reaches people the same way."""
    tell(AlarmSettings(notify_urls=(Secret(receiver.notify_url),)), WARNING)

    assert [message["title"] for message in receiver.messages] == ["Title"]
