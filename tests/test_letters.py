"""The letter of a command, black box: one for each revision and language, whatever ends a run before its record.

Runs are processes that are killed for real while a real mail server talks to them; what is remembered is in PostgreSQL.
"""

from __future__ import annotations

import itertools
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import psycopg2
import pytest

from tests.support.events_api import make_event, make_events
from tests.support.program import (
    DAY,
    RECIPIENTS,
    SENDER,
    eventually,
    letter_text,
    recipients_of,
    subject_of,
    table_rows,
)
from tests.support.smtp import DROP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.events_api import EventsServer
    from tests.support.program import Program, Running
    from tests.support.smtp import SmtpServer

    StartServer = Callable[..., SmtpServer]

STATES = "SELECT state FROM etl_outbox ORDER BY changed_at, state"
RUSSIAN, ENGLISH = "kursy@example.org", "courses@example.org"
DOUBT = "it may have arrived and is not sent again"


class Killer:
    """Kills a run at a step of its conversation with the mail server, which goes on as if nothing had happened."""

    def __init__(self) -> None:
        self.victim: Running | None = None

    def strike(self, reply: str) -> Iterator[str]:
        """Return the script of a step: kill the run, then answer; later runs are left in peace."""
        eventually(lambda: self.victim)
        assert self.victim
        self.victim.process.kill()
        self.victim.process.wait()
        yield reply


@pytest.fixture
def killer() -> Killer:
    """A killer without a victim yet."""
    return Killer()


def tell(program: Program, events_api: EventsServer, server: SmtpServer, events: int = 12) -> None:
    """Give the program a mail server, and the source a day."""
    program.use(server)
    events_api.serve(make_events(events))


def run_and_kill(program: Program, killer: Killer, *arguments: str) -> None:
    """Start a run and let it be killed."""
    killer.victim = program.start(*arguments)
    assert killer.victim.finish().code == -9


def ids_of(server: SmtpServer) -> list[str]:
    """Return the Message-IDs of the letters."""
    return [str(letter.message["Message-ID"]) for letter in server.messages]


# A crash


@pytest.mark.parametrize("again", [("--date", DAY), ("--from", "2023-03-31", "--to", DAY)], ids=["day", "range"])
def test_letter_accepted_by_the_server_just_before_a_kill_is_not_sent_again(
    program: Program, events_api: EventsServer, smtp_server: StartServer, killer: Killer, again: tuple[str, ...]
) -> None:
    """Between the server's 250 and the record nobody can know: the next run sends none, says so, and that is it."""
    server = smtp_server()
    tell(program, events_api, server)
    if "--from" in again:  # the day before was told of already
        program.run("--date", "2023-03-31")
    server.script["letter"] = killer.strike("250 2.0.0 accepted")
    before = len(server.messages)
    run_and_kill(program, killer, "--date", DAY)
    eventually(lambda: len(server.messages) == before + 1)  # the server puts it away a moment after the run is gone
    second = program.run(*again, "--json")
    third = program.run(*again, "--json")

    assert [(each.code, each.days[-1]["mail"]) for each in (second, third)] == [(0, "unchanged")] * 2
    assert DOUBT in second.err
    assert DOUBT not in third.err
    assert len(server.messages) == before + 1


def test_range_told_just_before_a_kill_is_known_when_one_of_its_days_is_run(
    program: Program, events_api: EventsServer, smtp_server: StartServer, killer: Killer
) -> None:
    """What was told is remembered by day, not by letter."""
    server = smtp_server(script={"letter": killer.strike("250 2.0.0 accepted")})
    tell(program, events_api, server)
    run_and_kill(program, killer, "--from", "2023-03-31", "--to", DAY)
    second = program.run("--date", DAY, "--json")

    assert (second.code, second.day["mail"], len(server.messages)) == (0, "unchanged", 1)
    assert DOUBT in second.err


def test_letter_recorded_as_sent_just_before_a_kill_is_not_sent_again(
    program: Program, events_api: EventsServer, smtp_server: StartServer, database_url: str
) -> None:
    """Killed after the record of the letter and before that of the publication: the next run knows, without a doubt."""
    server = smtp_server()
    tell(program, events_api, server)
    program.run("--date", "2023-03-31")
    with closing(psycopg2.connect(database_url, application_name="test")) as holder, holder.cursor() as cursor:
        cursor.execute("LOCK TABLE etl_publications IN EXCLUSIVE MODE")
        running = program.start("--date", DAY)
        eventually(lambda: table_rows(database_url, STATES) == [("sent",), ("sent",)])
        running.kill()
    again = program.run("--date", DAY, "--json")

    assert (again.code, again.day["mail"]) == (0, "unchanged")
    assert DOUBT not in again.err
    assert len(server.messages) == 2


@pytest.mark.parametrize("step", ["greeting", "data"])
def test_letter_that_the_server_never_had_is_sent_by_the_next_run(
    program: Program, events_api: EventsServer, smtp_server: StartServer, killer: Killer, step: str
) -> None:
    """Killed before anything was handed over, the letter is not lost."""
    replies = {"greeting": "220 mail.test ready", "data": "354 go on"}
    server = smtp_server(script={step: killer.strike(replies[step])})
    tell(program, events_api, server)
    run_and_kill(program, killer, "--date", DAY)
    assert not server.messages
    again = program.run("--date", DAY, "--json")

    assert (again.code, again.day["mail"], len(server.messages)) == (0, "sent", 1)
    assert DOUBT not in again.err


def test_figures_that_come_back_after_a_doubtful_letter_are_told(
    program: Program, events_api: EventsServer, smtp_server: StartServer, killer: Killer
) -> None:
    """A told, B perhaps told by a run that was killed, A again: the readers may believe B, so they are told."""
    server = smtp_server()
    tell(program, events_api, server, events=10)
    program.run("--date", DAY)
    server.script["letter"] = killer.strike("250 2.0.0 accepted")
    program.settings["DB_MAIN_TABLE_OPEN_RESET"] = "true"
    events_api.serve(make_events(20))
    run_and_kill(program, killer, "--date", DAY)
    events_api.serve(make_events(10))
    third = program.run("--date", DAY, "--json")
    fourth = program.run("--date", DAY, "--json")

    assert [each.day["mail"] for each in (third, fourth)] == ["sent", "unchanged"]
    assert len(server.messages) == len(set(ids_of(server))) == 3


# A failure


def test_refused_letter_is_sent_by_the_next_run(
    program: Program, events_api: EventsServer, smtp_server: StartServer, database_url: str
) -> None:
    """A server that said no has no letter: the next run sends it, and that is it."""
    server = smtp_server(script={"letter": ["554 5.6.0 not today"]})
    tell(program, events_api, server)
    first = program.run("--date", DAY, "--json")
    assert table_rows(database_url, STATES) == [("failed",)]
    second = program.run("--date", DAY, "--json")
    third = program.run("--date", DAY, "--json")

    assert [(each.code, each.day["mail"]) for each in (first, second, third)] == [
        (3, "failed"),
        (0, "sent"),
        (0, "unchanged"),
    ]
    assert len(server.messages) == 1


def test_letter_of_unknown_fate_is_not_sent_again(
    program: Program, events_api: EventsServer, smtp_server: StartServer, database_url: str
) -> None:
    """Where the answer was lost the run says so, and no later one sends a second copy unless it is asked to."""
    server = smtp_server(script={"letter": [DROP]})
    tell(program, events_api, server)
    first = program.run("--date", DAY, "--json")
    assert table_rows(database_url, STATES) == [("handing over",)]
    second = program.run("--date", DAY, "--json")
    asked = program.run("--date", DAY, "--mail", "--json")

    assert (first.code, first.day["mail"]) == (3, "failed")
    assert "is not known" in first.day["error"]
    assert (second.code, second.day["mail"]) == (0, "unchanged")
    assert DOUBT in second.err
    assert (asked.code, asked.day["mail"], len(server.messages)) == (0, "sent", 1)


def test_failed_report_does_not_take_back_what_may_have_arrived(
    program: Program, events_api: EventsServer, smtp_server: StartServer
) -> None:
    """After a letter of unknown fate and a `report` that was refused, the next run still sends no second copy."""
    server = smtp_server(script={"letter": [DROP, "554 no"]})
    tell(program, events_api, server)
    program.run("--date", DAY)
    assert program.run("report", "--date", DAY, "--json").day["mail"] == "failed"

    assert program.run("--date", DAY, "--json").day["mail"] == "unchanged"
    assert not server.messages


def test_refused_recipients_make_no_second_letter(
    program: Program, events_api: EventsServer, smtp_server: StartServer
) -> None:
    """Whom the server refuses is told about once; the others do not get the letter again for it."""
    server = smtp_server(script={f"rcpt {RECIPIENTS[0]}": itertools.repeat("550 5.1.1 no such user")})
    tell(program, events_api, server)
    first = program.run("--date", DAY, "--json")
    second = program.run("--date", DAY, "--json")

    assert (first.code, first.day["mail"]) == (3, "sent")
    assert (second.code, second.day["mail"]) == (0, "unchanged")
    assert recipients_of(server.messages) == [(RECIPIENTS[1],)]


# What is news


@pytest.mark.parametrize("mode", [(), ("--test",)], ids=["day", "test"])
def test_figures_that_go_and_come_back_are_three_letters(
    program: Program, events_api: EventsServer, smtp_server: StartServer, mode: tuple[str, ...]
) -> None:
    """A, B and A again are three letters, those of whole days with old and new figures; a fourth has no news."""
    server = smtp_server()
    program.use(server)
    outcomes = []
    for correct in (0, 1, 0, 0):
        time = f"{DAY} 00:10:00"
        events_api.serve([make_event(attempt_type="submit", is_correct=correct, created_at=time)])
        outcomes.append(program.run("--date", DAY, "--json", *mode))

    assert [(each.code, each.day["mail"]) for each in outcomes] == [*[(0, "sent")] * 3, (0, "unchanged")]
    assert len(server.messages) == len(set(ids_of(server))) == 3
    is_whole = not mode
    assert [", corrected: " in subject_of(server, number) for number in range(3)] == [False, is_whole, is_whole]
    if is_whole:
        assert "Successful submits: 0 → 1" in letter_text(server, 1)
        assert "Successful submits: 1 → 0" in letter_text(server, 2)


def test_day_that_is_over_is_told_anew(program: Program, events_api: EventsServer, smtp_server: StartServer) -> None:
    """The letter about half a day does not stand for the whole one, even where the figures are equal."""
    server = smtp_server()
    program.use(server)
    events_api.serve([])
    west = datetime.now(UTC).astimezone(timezone(timedelta(hours=-12))).date().isoformat()
    half = program.run("--date", west, "--json", TIMEZONE="Etc/GMT+12")
    whole = program.run("--date", west, "--json", TIMEZONE="Pacific/Kiritimati")  # a day and two hours ahead
    again = program.run("--date", west, "--json", TIMEZONE="Pacific/Kiritimati")

    assert [each.day["complete"] for each in (half, whole, again)] == [False, True, True]
    assert [each.day["mail"] for each in (half, whole, again)] == ["sent", "sent", "unchanged"]
    assert ["PARTIAL" in subject_of(server, number) for number in range(2)] == [True, False]


def test_test_runs_are_told_apart(program: Program, events_api: EventsServer, smtp_server: StartServer) -> None:
    """A test tells the sender alone, once, and takes nothing from the letter of the day itself."""
    server = smtp_server()
    tell(program, events_api, server)
    outcomes = [program.run("--date", DAY, "--json", *mode) for mode in (("--test",), (), ("--test",), ())]

    assert [each.day["mail"] for each in outcomes] == ["sent", "sent", "unchanged", "unchanged"]
    assert recipients_of(server.messages) == [(SENDER,), RECIPIENTS]


def test_report_always_sends_a_new_letter(program: Program, events_api: EventsServer, smtp_server: StartServer) -> None:
    """`report` is asked for on purpose: a letter each time, under a name of its own, and the next run sends none."""
    server = smtp_server()
    tell(program, events_api, server)
    outcomes = [program.run(*words, "--date", DAY, "--json") for words in ((), ("report",), ("report",), ())]

    assert [each.day["mail"] for each in outcomes] == ["sent", "sent", "sent", "unchanged"]
    assert len(set(ids_of(server))) == 3


def test_letter_can_be_asked_for(program: Program, events_api: EventsServer, smtp_server: StartServer) -> None:
    """`--mail` sends it even if nothing changed, as a letter of its own."""
    server = smtp_server()
    tell(program, events_api, server)
    outcomes = [program.run("--date", DAY, "--json", *words) for words in ((), ("--mail",), ())]

    assert [each.day["mail"] for each in outcomes] == ["sent", "sent", "unchanged"]
    assert len(set(ids_of(server))) == 2


def test_letter_cannot_be_wanted_and_unwanted(program: Program, events_api: EventsServer) -> None:
    """`--mail` and `--no-mail` contradict each other: wrong usage, and nothing is started."""
    finished = program.run("--date", DAY, "--mail", "--no-mail")

    assert finished.code == 2
    assert "--mail or --no-mail" in finished.told
    assert not events_api.requests


def test_letter_without_a_mail_server_is_not_passed_over(program: Program, events_api: EventsServer) -> None:
    """Who asks for a letter where none can be sent is told."""
    events_api.serve(make_events(4))
    finished = program.run("--date", DAY, "--mail")

    assert finished.code == 0
    assert "no mail server is configured" in finished.told


# Languages


def test_each_address_gets_its_own_language(
    program: Program, events_api: EventsServer, smtp_server: StartServer
) -> None:
    """Two languages are two letters: each with its own words, picture and page, to its own readers."""
    server = smtp_server()
    tell(program, events_api, server, events=40)
    program.settings["EMAIL_ADDRESSES_FOR_MAILING"] = f"{RUSSIAN}:ru, {ENGLISH}:en, {RECIPIENTS[0]}"
    first = program.run("--date", DAY, "--json")
    second = program.run("--date", DAY, "--json")

    assert [(each.code, each.day["mail"]) for each in (first, second)] == [(0, "sent"), (0, "unchanged")]
    russian, english = (letter.message for letter in server.messages)
    assert recipients_of(server.messages) == [(RUSSIAN,), (ENGLISH, RECIPIENTS[0])]
    assert [str(each["To"]) for each in (russian, english)] == [RUSSIAN, f"{ENGLISH}, {RECIPIENTS[0]}"]
    assert str(russian["Subject"]) == "Учёба 1 апреля 2023: 40 студентов, 50\u00a0% верных"
    assert str(english["Subject"]) == "Learning on 1 April 2023: 40 students, 50% correct"
    assert [str(each["Content-Language"]) for each in (russian, english)] == ["ru", "en"]
    assert len(set(ids_of(server))) == 2
    pictures = set()
    for language, message in (("ru", russian), ("en", english)):
        (page,) = message.iter_attachments()
        assert page.get_filename() == f"{DAY}.html"
        assert f'<html lang="{language}"' in page.get_content()
        (picture,) = [part for part in message.walk() if part.get_content_type() == "image/png"]
        pictures.add(picture.get_content())
        assert len(message.as_bytes()) < 200_000
    assert len(pictures) == 2
    assert {path.name for path in program.reports.glob(f"{DAY}*.html")} == {f"{DAY}.html"}


def test_failure_in_one_language_is_made_good_without_a_second_letter_in_the_other(
    program: Program, events_api: EventsServer, smtp_server: StartServer
) -> None:
    """Whoever has the letter is not sent it again because others have not."""
    server = smtp_server(script={f"rcpt {ENGLISH}": ["550 5.7.1 not now"]})
    tell(program, events_api, server)
    program.settings["EMAIL_ADDRESSES_FOR_MAILING"] = f"{RUSSIAN}:ru, {ENGLISH}:en"
    outcomes = [program.run("--date", DAY, "--json") for _ in range(3)]

    assert [(each.code, each.day["mail"]) for each in outcomes] == [(3, "sent"), (0, "sent"), (0, "unchanged")]
    assert recipients_of(server.messages) == [(RUSSIAN,), (ENGLISH,)]


def test_kill_between_two_languages_leaves_one_letter_each(
    program: Program, events_api: EventsServer, smtp_server: StartServer, killer: Killer
) -> None:
    """The language that was not begun is sent by the next run, the other not again."""
    script = itertools.chain(["220 mail.test ready"], killer.strike("220 mail.test ready"))
    server = smtp_server(script={"greeting": script})
    tell(program, events_api, server)
    program.settings["EMAIL_ADDRESSES_FOR_MAILING"] = f"{RUSSIAN}:ru, {ENGLISH}:en"
    run_and_kill(program, killer, "--date", DAY)
    again = program.run("--date", DAY, "--json")

    assert (again.code, again.day["mail"]) == (0, "sent")
    assert recipients_of(server.messages) == [(RUSSIAN,), (ENGLISH,)]
