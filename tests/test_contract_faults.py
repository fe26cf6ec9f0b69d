"""The contract, black box: what is left, told and returned when source, database, sheet, mail or patience fail."""

from __future__ import annotations

import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import date
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg2
import pytest
import trustme

from tests.support.events_api import (
    bom,
    drip_body,
    echo_key,
    empty,
    gzipped,
    hang_before_headers,
    held,
    html,
    invalid_utf8,
    json_body,
    make_event,
    make_events,
    malformed_json,
    redirect,
    reset_mid_body,
    short_body,
    status,
)
from tests.support.program import (
    DAY,
    RECIPIENTS,
    SENDER,
    SMTP_PASSWORD,
    Program,
    eventually,
    letter_text,
    subject_of,
    table_rows,
)
from tests.support.smtp import HANG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event as Sign

    from tests.support.events_api import Behaviour, EventsServer
    from tests.support.google import GoogleStandIn
    from tests.support.postgres import PostgresServer
    from tests.support.smtp import SmtpServer

LEDGER = "SELECT status FROM etl_runs ORDER BY id"
ROWS = "SELECT xmin::text, created_at, user_id, is_correct, run_id, loaded_at FROM lms_activities ORDER BY 2, 3"
LAST_WINDOW = f"{DAY} 20:00:00"
REJECT = make_event(lti_user_id="short", created_at=f"{DAY} 01:00:00")


def statuses(url: str) -> list[str]:
    """Return the states of all runs, the oldest first."""
    return [row[0] for row in table_rows(url, LEDGER)]


def count(url: str, table: str) -> int:
    """Return how many rows a table has."""
    return int(table_rows(url, f"SELECT count(*) FROM {table}")[0][0])


def free_port() -> int:
    """Return a port of this machine where nobody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


@contextmanager
def locked_events(url: str) -> Iterator[None]:
    """Keep everybody else from writing events."""
    with closing(psycopg2.connect(url, application_name="test")) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE lms_activities IN SHARE MODE")
        yield


def waits_for_the_table(url: str) -> bool:
    """Tell whether a statement of the program waits for that lock."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'lms_activities'::regclass"
    return table_rows(url, waiting) == [(1,)]


# The source


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(status(500), id="500 for ever"),
        pytest.param(status(401), id="401"),
        pytest.param(status(404), id="404"),
        pytest.param(echo_key(400), id="400 that repeats the key"),
        pytest.param(redirect("http://127.0.0.1:9/"), id="redirect"),
        pytest.param(html(), id="HTML"),
        pytest.param(json_body({"errors": "the client is unknown"}), id="error object"),
        pytest.param(json_body({"data": []}), id="object"),
        pytest.param(json_body(None), id="null"),
        pytest.param(empty(), id="empty body"),
        pytest.param(short_body(), id="cut body"),
        pytest.param(reset_mid_body(), id="connection reset"),
        pytest.param(malformed_json(), id="cut JSON"),
        pytest.param(invalid_utf8(), id="not UTF-8"),
    ],
)
def test_bad_answer_to_one_window_fails_the_day_and_leaves_everything_as_it_was(
    program: Program,
    events_api: EventsServer,
    google: GoogleStandIn,
    mail_server: SmtpServer,
    database_url: str,
    fault: Behaviour,
) -> None:
    """No load begins before the whole fetch is good: 1, no row, no reject, sheet untouched, a failure letter."""
    program.use(google, mail_server)
    events_api.serve([*make_events(12), REJECT])
    events_api.script(repeat(fault, 2), start=LAST_WINDOW)

    finished = program.run("--date", DAY, "--json", API_ATTEMPTS="2", LOG_LEVEL="DEBUG")

    assert finished.code == 1
    told = {name: finished.day[name] for name in ("status", "sheet", "mail", "complete", "mode")}
    assert told == {"status": "failed", "sheet": "skipped", "mail": "sent", "complete": True, "mode": "full"}
    assert (count(database_url, "lms_activities"), count(database_url, "lms_activities_rejected")) == (0, 0)
    assert statuses(database_url) == ["failed"]
    assert google.calls == []
    assert [letter.recipients for letter in mail_server.messages] == [RECIPIENTS]
    assert subject_of(mail_server) == "Learning on 1 April 2023: the run failed"
    assert f"python data_processor.py --date {DAY}" in letter_text(mail_server)
    assert not list(program.reports.glob("*.html"))


def test_failed_run_leaves_the_loaded_day_untouched_and_the_next_one_goes_on(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer, database_url: str
) -> None:
    """A source that is down costs nothing that is there: rows keep their version, sheet and page their content."""
    program.use(google, mail_server)
    events_api.serve(make_events(12))
    program.run("--date", DAY)
    rows, sheet = table_rows(database_url, ROWS), repr(google.spreadsheet)
    page = (program.reports / f"{DAY}.html").read_bytes()

    down = program.run("--date", DAY, "--json", API_URL=f"http://127.0.0.1:{free_port()}/", API_ATTEMPTS="2")

    assert down.code == 1
    assert table_rows(database_url, ROWS) == rows
    assert repr(google.spreadsheet) == sheet
    assert (program.reports / f"{DAY}.html").read_bytes() == page
    healthy = program.run("--date", DAY, "--json")
    assert (healthy.code, healthy.counts) == (0, (12, 0, 0, 12, 0, 0, 0))
    assert (healthy.day["sheet"], healthy.day["mail"]) == ("unchanged", "unchanged")
    assert statuses(database_url) == ["ok", "failed", "ok"]


def test_wrong_key_is_named_as_the_cause_and_not_tried_again(program: Program, events_api: EventsServer) -> None:
    """A refusal is no hiccup: one request, and the text names the settings to look at, never the key."""
    wrong = "wr0ng/key+of=the&day"
    program.secrets.append(wrong)

    finished = program.run("--date", DAY, "--json", API_CLIENT_KEY=wrong, API_WINDOW_MINUTES="1440", LOG_LEVEL="DEBUG")

    assert finished.code == 1
    assert "API_CLIENT_KEY" in finished.day["error"]
    assert len(events_api.requests) == 1


@pytest.mark.parametrize(
    "hiccup", [status(503, retry_after="0"), reset_mid_body(), empty()], ids=["503", "cut", "empty"]
)
def test_hiccup_of_the_source_is_overcome(program: Program, events_api: EventsServer, hiccup: Behaviour) -> None:
    """What passes is tried again; the day is whole, also where the answer is compressed or has a byte order mark."""
    events_api.serve(make_events(12))
    events_api.script([hiccup, bom(), gzipped()])

    finished = program.run("--date", DAY, "--json", API_CONCURRENCY="1")

    assert (finished.code, finished.counts) == (0, (12, 12, 0, 0, 0, 0, 0))


@pytest.mark.parametrize("fault", [hang_before_headers(), drip_body(0.2)], ids=["silence", "drip"])
def test_source_that_takes_for_ever_is_given_up_in_time(
    program: Program, events_api: EventsServer, fault: Behaviour
) -> None:
    """Neither silence nor a byte now and then holds the program beyond API_DEADLINE."""
    events_api.serve(make_events(12))
    events_api.script([fault] * 9, start=LAST_WINDOW)
    started = time.monotonic()

    finished = program.run("--date", DAY, "--json", API_TIMEOUT="1", API_ATTEMPTS="9", API_DEADLINE="4")

    assert (finished.code, finished.day["status"]) == (1, "failed")
    assert time.monotonic() - started < 15


def test_failed_test_run_tells_the_sender_alone(
    program: Program, events_api: EventsServer, mail_server: SmtpServer
) -> None:
    """Also the failure letter of a test run is nobody else's business."""
    program.use(mail_server)
    events_api.always(html())

    finished = program.run("--date", DAY, "--test", "--json", API_ATTEMPTS="1")

    assert (finished.code, finished.day["mode"], finished.day["mail"]) == (1, "test", "sent")
    assert [letter.recipients for letter in mail_server.messages] == [(SENDER,)]
    assert "--test" in letter_text(mail_server)


# The sheet


@pytest.mark.parametrize("access", ["none", "reader", "wrong id"])
def test_refused_sheet_leaves_the_events_loaded_and_says_whom_to_share_it_with(
    program: Program,
    events_api: EventsServer,
    google: GoogleStandIn,
    mail_server: SmtpServer,
    database_url: str,
    access: str,
) -> None:
    """3: loaded, the sheet failed, the letter goes out with a plain warning; mended, `report` repeats just that."""
    program.use(google, mail_server)
    events_api.serve(make_events(12))
    wrong = {"GOOGLE_SHEET_ID": "1AnotherSpreadsheet"} if access == "wrong id" else {}
    if not wrong:
        google.spreadsheet.access = access

    finished = program.run("--date", DAY, "--json", **wrong)

    assert finished.code == 3
    assert (finished.day["status"], finished.day["sheet"], finished.day["mail"]) == ("partial", "failed", "sent")
    assert (finished.day["loaded"], finished.day["statistics"]["runs"]) == (12, 8)
    if access == "wrong id":
        assert "GOOGLE_SHEET_ID" in finished.day["error"]
    else:
        assert google.client_email in finished.day["error"]
    assert count(database_url, "lms_activities") == 12
    assert statuses(database_url) == ["partial"]
    assert "The Google Sheet was not updated" in letter_text(mail_server)
    assert "docs.google.com" not in letter_text(mail_server)
    assert google.spreadsheet.titles() == ["Sheet1"]
    assert f"python data_processor.py report --date {DAY}" in finished.err

    if access == "none":
        google.spreadsheet.access = "writer"
        report = program.run("report", "--date", DAY, "--json")
        assert (report.code, report.day["sheet"], report.day["mail"]) == (0, "updated", "sent")
        assert statuses(database_url) == ["partial"]


# The letter


def test_refused_recipient_is_named_and_the_others_are_served(
    program: Program, events_api: EventsServer, smtp_server: Callable[..., SmtpServer], database_url: str
) -> None:
    """3, and still `mail` is "sent": every recipient's fate is known."""
    server = smtp_server(
        "starttls",
        user="mailer",
        password=SMTP_PASSWORD,
        script={f"rcpt {RECIPIENTS[0]}": repeat("550 5.1.1 no such user")},
    )
    program.use(server)
    events_api.serve(make_events(12))

    finished = program.run("--date", DAY, "--json")

    assert finished.code == 3
    assert (finished.day["status"], finished.day["mail"], finished.day["loaded"]) == ("partial", "sent", 12)
    assert RECIPIENTS[0] in finished.day["error"]
    assert RECIPIENTS[1] not in finished.day["error"]
    assert RECIPIENTS[0] in finished.err
    assert [letter.recipients for letter in server.messages] == [RECIPIENTS[1:]]
    assert statuses(database_url) == ["partial"]


@pytest.mark.parametrize("fault", ["all refused", "wrong certificate", "wrong host", "wrong password"])
def test_letter_that_nobody_gets_is_a_failure_but_the_day_is_loaded(
    program: Program,
    events_api: EventsServer,
    google: GoogleStandIn,
    smtp_server: Callable[..., SmtpServer],
    database_url: str,
    fault: str,
) -> None:
    """3 and `mail` is "failed"; a certificate that cannot be verified is never passed over."""
    options: dict[str, Any] = {"user": "mailer", "password": SMTP_PASSWORD}
    match fault:
        case "all refused":
            options["script"] = {f"rcpt {address}": repeat("550 5.1.1 no") for address in RECIPIENTS}
        case "wrong certificate":
            options["authority"] = trustme.CA()
        case "wrong host":
            options["host"] = "mail.example.org"
        case "wrong password":
            options["password"] = "n0t-the-one-it-wants"
    server = smtp_server("ssl", **options)
    program.use(google, server)
    program.settings["SMTP_PASSWORD"] = SMTP_PASSWORD
    events_api.serve(make_events(12))

    finished = program.run("--date", DAY, "--json", LOG_LEVEL="DEBUG")

    assert finished.code == 3
    assert (finished.day["status"], finished.day["sheet"], finished.day["mail"]) == ("partial", "updated", "failed")
    assert finished.day["loaded"] == 12
    assert server.messages == []
    if "wrong certificate" in fault or "wrong host" in fault:
        assert server.verbs == []
    assert statuses(database_url) == ["partial"]


def test_failure_that_cannot_be_mailed_is_still_a_failure(
    program: Program, events_api: EventsServer, smtp_server: Callable[..., SmtpServer], database_url: str
) -> None:
    """Nothing loaded and nobody told: 1, both causes in the summary."""
    program.use(smtp_server("ssl", authority=trustme.CA()))
    events_api.always(html())

    finished = program.run("--date", DAY, "--json", API_ATTEMPTS="1")

    assert finished.code == 1
    assert (finished.day["status"], finished.day["mail"]) == ("failed", "failed")
    assert "web page" in finished.day["error"]
    assert "certificate" in finished.day["error"]
    assert statuses(database_url) == ["failed"]


def test_page_that_cannot_be_written_does_not_stop_sheet_and_letter(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer, tmp_path: Path
) -> None:
    """A failing report is told, the rest goes on: 3."""
    program.use(google, mail_server)
    events_api.serve(make_events(12))
    (tmp_path / "file").write_text("in the way", "utf-8")

    finished = program.run("--date", DAY, "--json", REPORTS_PATH=str(tmp_path / "file"))

    assert finished.code == 3
    assert (finished.day["status"], finished.day["sheet"], finished.day["mail"]) == ("partial", "updated", "sent")
    assert "REPORTS_PATH" in finished.day["error"]


# The database


def test_database_that_is_down_fails_the_day_and_a_letter_tells_of_it(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer
) -> None:
    """1, in one line with the remedy; nothing was asked of the source, and no sheet was touched."""
    program.use(google, mail_server)
    url = f"postgresql://etl:{quote(program.secrets[0], safe='')}@127.0.0.1:{free_port()}/etl"

    finished = program.run("--date", DAY, "--json", DATABASE_URL=url, LOG_LEVEL="DEBUG")

    assert finished.code == 1
    assert (finished.day["status"], finished.day["sheet"], finished.day["mail"]) == ("failed", "skipped", "sent")
    assert "DATABASE_URL" in finished.day["error"]
    assert events_api.requests == []
    assert google.calls == []
    assert subject_of(mail_server) == "Learning on 1 April 2023: the run failed"


@pytest.mark.parametrize("fault", ["wrong password", "no such database"])
def test_refused_login_to_the_database_is_told_as_such(
    program: Program, events_api: EventsServer, postgres_server: PostgresServer, fault: str
) -> None:
    """A refusal is not tried again, and says what to look at; the password stands nowhere."""
    with postgres_server.administrator() as connection, connection.cursor() as cursor:
        cursor.execute("SHOW hba_file")
        (path,) = cursor.fetchone() or ("",)
        rule = "local all locked scram-sha-256\n"
        rules = Path(path).read_text("utf-8")
        if rule not in rules:
            Path(path).write_text(rule + rules, "utf-8")
            cursor.execute("CREATE ROLE locked LOGIN PASSWORD 'another'")
        cursor.execute("SELECT pg_reload_conf()")
    database = "postgres" if fault == "wrong password" else "nowhere"
    user = "locked" if fault == "wrong password" else "etl"
    url = f"{postgres_server.url(database, user)}&password={quote(program.secrets[0], safe='')}"

    finished = program.run("--date", DAY, "--json", DATABASE_URL=url, LOG_LEVEL="DEBUG")

    assert finished.code == 1
    assert ("password" if fault == "wrong password" else "no such database") in finished.day["error"]
    assert "DATABASE_URL" in finished.day["error"]
    assert events_api.requests == []


def test_refusal_at_the_commit_rolls_everything_back(
    program: Program, events_api: EventsServer, google: GoogleStandIn, database_url: str
) -> None:
    """What fails in the very last step of the transaction leaves neither rows nor rejects."""
    program.use(google)
    program.run("--date", "2023-03-31")
    calls = len(google.calls)
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;"
            "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON lms_activities DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
        connection.commit()
    events_api.serve([*make_events(12), REJECT])

    finished = program.run("--date", DAY, "--json")

    assert (finished.code, finished.day["status"]) == (1, "failed")
    assert (count(database_url, "lms_activities"), count(database_url, "lms_activities_rejected")) == (0, 0)
    assert statuses(database_url) == ["ok", "failed"]
    assert len(google.calls) == calls


def test_lost_connection_during_the_fetch_is_overcome(
    program: Program, events_api: EventsServer, database_url: str, sign: Sign
) -> None:
    """A connection that the server drops while the source is asked is opened anew; the day is loaded."""
    events_api.serve(make_events(12))
    events_api.script([held(sign)])
    running = program.start("--date", DAY, "--json")
    eventually(lambda: events_api.requests)
    table_rows(
        database_url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'learning-events-etl'",
    )
    sign.set()

    finished = running.finish()

    assert (finished.code, finished.counts) == (0, (12, 12, 0, 0, 0, 0, 0))
    assert statuses(database_url) == ["ok"]


# Interruptions


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_interruption_of_the_fetch_leaves_everything_as_it_was(
    program: Program,
    events_api: EventsServer,
    google: GoogleStandIn,
    mail_server: SmtpServer,
    database_url: str,
    number: signal.Signals,
    code: int,
) -> None:
    """130 (143 for the system's request), one object with nulls, the ledger knows, nobody gets a letter."""
    program.use(google, mail_server)
    events_api.serve([*make_events(12), REJECT])
    events_api.script([hang_before_headers()], start=LAST_WINDOW)
    running = program.start("--date", DAY, "--json")
    eventually(lambda: events_api.requests_of(LAST_WINDOW))

    running.signal(number)
    finished = running.finish(10)

    assert finished.code == code
    told = {name: finished.day[name] for name in ("date", "status", "sheet", "mail", "statistics")}
    assert told == {"date": DAY, "status": "interrupted", "sheet": "skipped", "mail": "skipped", "statistics": None}
    assert (count(database_url, "lms_activities"), count(database_url, "lms_activities_rejected")) == (0, 0)
    assert statuses(database_url) == ["interrupted"]
    assert (google.calls, mail_server.messages) == ([], [])


def test_interruption_is_told_in_one_line_with_the_command_to_repeat(
    program: Program, events_api: EventsServer
) -> None:
    """People get one line, in their language."""
    events_api.always(hang_before_headers())
    running = program.start("--date", DAY, CURR_LANG="RUSSIAN")
    eventually(lambda: events_api.requests)

    running.signal(signal.SIGINT)
    finished = running.finish(10)

    assert finished.code == 130
    (line,) = [line for line in finished.told.splitlines() if f"--date {DAY}" in line]
    assert "1 апреля 2023" in line


def test_interruption_of_the_load_rolls_it_back(program: Program, events_api: EventsServer, database_url: str) -> None:
    """Ctrl-C is heard while PostgreSQL is busy: the statement is cancelled, the rows are as they were."""
    events_api.serve(make_events(12))
    program.run("--date", DAY)
    rows = table_rows(database_url, ROWS)
    events_api.serve([make_event(created_at=f"{DAY} 05:05:05"), REJECT])
    with locked_events(database_url):
        running = program.start("--date", DAY, "--json")
        eventually(lambda: waits_for_the_table(database_url))
        running.signal(signal.SIGINT)
        finished = running.finish(10)

    assert (finished.code, finished.day["status"]) == (130, "interrupted")
    assert table_rows(database_url, ROWS) == rows
    assert count(database_url, "lms_activities_rejected") == 0
    assert statuses(database_url) == ["ok", "interrupted"]


def test_interruption_at_any_moment_leaves_code_object_ledger_and_table_agreed(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer, database_url: str
) -> None:
    """Before the commit 130 and nothing is there; after it 3 (or 0 when all was done) and everything is."""
    program.use(google, mail_server)
    program.run("--date", "2023-03-31")
    codes = []
    for number in range(8):
        day = date(2023, 4, 1 + number)
        events_api.serve(make_events(50, day))
        logs = len(list(program.logs.iterdir()))
        running = program.start("--date", day.isoformat(), "--json", MAX_NUM_LOGS_FILES="99")
        while len(list(program.logs.iterdir())) == logs:
            time.sleep(0.01)
        time.sleep(0.1 * number)
        running.signal(signal.SIGINT)
        finished = running.finish(15)

        codes.append(finished.code)
        held_rows = table_rows(database_url, "SELECT count(*) FROM lms_activities WHERE created_at::date = %s", day)
        ledger = table_rows(database_url, "SELECT status FROM etl_runs WHERE process_date = %s", day)
        assert held_rows == [(0 if finished.code == 130 else 50,)]
        assert ledger in ([], [("interrupted",)]) if finished.code == 130 else ledger == [(finished.day["status"],)]
    assert codes[0] == 130  # the later moments are what the machine makes of them
    assert set(codes) <= {130, 3, 0}


@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
def test_interruption_of_the_count_leaves_the_figures_of_what_is_loaded(
    program: Program, events_api: EventsServer, database_url: str, times: int
) -> None:
    """Ctrl-C is heard while PostgreSQL counts; the day is partial, and has its figures unless nobody waits for them."""
    program.run("--date", "2023-03-31")
    events_api.serve(make_events(12))

    def waiting(words: str) -> bool:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
        return table_rows(database_url, asked, f"%{words}%") == [(1,)]

    with closing(psycopg2.connect(database_url, application_name="test")) as connection, ThreadPoolExecutor() as pool:
        cursor = connection.cursor()
        cursor.execute(
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$;"
            "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON lms_activities DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION wait(); COMMIT; SELECT pg_advisory_lock(1)"
        )
        running = program.start("--date", DAY, "--json")
        eventually(lambda: waiting("COMMIT"))
        with closing(psycopg2.connect(database_url, application_name="test")) as in_the_way:
            taken = pool.submit(in_the_way.cursor().execute, "LOCK TABLE lms_activities IN ACCESS EXCLUSIVE MODE")
            eventually(lambda: waiting("LOCK TABLE"))
            cursor.execute("SELECT pg_advisory_unlock(1)")  # behind the commit, the test has the table
            taken.result()
            eventually(lambda: waiting("lis_result_sourcedid"))
            running.signal(signal.SIGINT)
            eventually(lambda: waiting("unique_users"))
            if times == 2:
                running.signal(signal.SIGINT)
                running.process.wait(10)
        finished = running.finish(10)

    assert (finished.code, finished.day["status"], finished.day["loaded"]) == (3, "partial", 12)
    assert (finished.day["statistics"] or {}).get("runs") == (8 if times == 1 else None)
    assert statuses(database_url) == ["ok", "partial"]
    assert f"report --date {DAY}" in finished.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_interruption_while_the_sheet_is_drawn_cannot_undo_the_load(
    program: Program,
    events_api: EventsServer,
    google: GoogleStandIn,
    mail_server: SmtpServer,
    database_url: str,
    number: signal.Signals,
) -> None:
    """After the commit: 3, the events are there, the sheet failed, and the line names `report`."""
    program.use(google, mail_server)
    events_api.serve(make_events(12))
    google.fail(hang=60, times=None)
    running = program.start("--date", DAY, "--json")
    eventually(lambda: google.token_calls)

    running.signal(number)
    finished = running.finish(10)

    assert finished.code == 3
    assert (finished.day["status"], finished.day["sheet"], finished.day["loaded"]) == ("partial", "failed", 12)
    assert finished.day["statistics"]["runs"] == 8
    assert count(database_url, "lms_activities") == 12
    assert statuses(database_url) == ["partial"]
    assert f"report --date {DAY}" in finished.err


def test_interruption_while_the_letter_is_handed_over_cannot_undo_the_load(
    program: Program, events_api: EventsServer, smtp_server: Callable[..., SmtpServer], database_url: str
) -> None:
    """After the commit: 3, the events are there, the letter failed."""
    server = smtp_server(script={"mail": repeat(HANG)})
    program.use(server)
    events_api.serve(make_events(12))
    running = program.start("--date", DAY, "--json")
    eventually(lambda: "MAIL" in server.verbs)

    running.signal(signal.SIGINT)
    finished = running.finish(10)

    assert finished.code == 3
    assert (finished.day["status"], finished.day["mail"], finished.day["loaded"]) == ("partial", "failed", 12)
    assert statuses(database_url) == ["partial"]


def test_interruption_of_a_range_ends_it_and_keeps_what_was_done(
    program: Program, events_api: EventsServer, mail_server: SmtpServer, database_url: str
) -> None:
    """Every day that was begun has its object; the days after it are not begun."""
    program.use(mail_server)
    events_api.serve(make_events(4))
    events_api.script([hang_before_headers()], start="2023-04-02")
    running = program.start("--from", DAY, "--to", "2023-04-03", "--json", API_WINDOW_MINUTES="1440")
    eventually(lambda: events_api.requests_of("2023-04-02"))

    running.signal(signal.SIGINT)
    finished = running.finish(10)

    assert finished.code == 130
    assert [(day["date"], day["status"]) for day in finished.days] == [(DAY, "ok"), ("2023-04-02", "interrupted")]
    assert statuses(database_url) == ["ok", "interrupted"]
    assert events_api.requests_of("2023-04-03") == []


def test_interruption_of_a_run_that_waits_for_another_leaves_that_alone(
    program: Program, events_api: EventsServer, database_url: str, sign: Sign
) -> None:
    """Ctrl-C is heard while another run of the day is waited for."""
    events_api.serve(make_events(12))
    events_api.script([held(sign)])
    first = program.start("--date", DAY, "--json")
    eventually(lambda: events_api.requests)
    second = program.start("--date", DAY, "--json")
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'learning-events-etl'"
    eventually(lambda: table_rows(database_url, waiting) == [(2,)])

    second.signal(signal.SIGINT)
    interrupted = second.finish(10)
    sign.set()

    assert (interrupted.code, interrupted.day["status"]) == (130, "interrupted")
    assert first.finish().code == 0
    assert count(database_url, "lms_activities") == 12


def test_kill_during_the_fetch_or_the_load_leaves_nothing_and_the_next_run_says_so(
    program: Program, events_api: EventsServer, database_url: str
) -> None:
    """After kill -9 the table is as it was; the next run turns the dead run into "interrupted" and does its work."""
    events_api.serve([*make_events(12), REJECT])
    events_api.script([hang_before_headers()], start=LAST_WINDOW)
    running = program.start("--date", DAY)
    eventually(lambda: events_api.requests_of(LAST_WINDOW))
    running.kill()
    assert (statuses(database_url), count(database_url, "lms_activities")) == (["running"], 0)
    with locked_events(database_url):
        running = program.start("--date", DAY)
        eventually(lambda: waits_for_the_table(database_url))
        running.kill()
    assert statuses(database_url) == ["interrupted", "running"]

    finished = program.run("--date", "2023-04-02", "--json")
    assert finished.code == 0
    assert statuses(database_url) == ["interrupted", "interrupted", "ok"]
    assert (count(database_url, "lms_activities"), count(database_url, "lms_activities_rejected")) == (0, 0)
    assert program.run("--date", DAY, "--json").counts == (13, 12, 0, 0, 1, 0, 0)


def test_kill_after_the_commit_leaves_the_truth_in_the_ledger(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer, database_url: str
) -> None:
    """The load's transaction itself marks its row partial; the next run publishes what was not told."""
    program.use(google, mail_server)
    events_api.serve(make_events(12))
    google.fail(hang=60)
    running = program.start("--date", DAY)
    eventually(lambda: google.token_calls)
    running.kill()
    assert (statuses(database_url), count(database_url, "lms_activities")) == (["partial"], 12)
    google.heal()

    finished = program.run("--date", DAY, "--json")

    assert (finished.code, finished.counts) == (0, (12, 0, 0, 12, 0, 0, 0))
    assert (finished.day["sheet"], finished.day["mail"]) == ("updated", "sent")
    assert statuses(database_url) == ["partial", "ok"]


def test_dead_run_of_another_day_does_not_hold_up_a_range(
    program: Program, events_api: EventsServer, database_url: str
) -> None:
    """Several dead rows of several days are all put right by one run."""
    program.run("--date", DAY)
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO etl_runs (process_date, mode, status, complete, window_start, window_end, started_at) "
            "SELECT day, 'full', 'running', true, day, day + 1, now() FROM unnest(%s::date[]) AS day",
            ([date(2023, 3, 1), date(2023, 3, 2)],),
        )
        connection.commit()

    assert program.run("--date", DAY).code == 0

    assert statuses(database_url) == ["ok", "interrupted", "interrupted", "ok"]


# Secrets


def test_search_for_secrets_finds_a_planted_one_wherever_it_is(
    program: Program, events_api: EventsServer, google: GoogleStandIn, mail_server: SmtpServer, database_url: str
) -> None:
    """The search at the end of every test here is worth something: it finds each spelling in each place."""
    program.use(google, mail_server)
    assert program.run("--date", DAY).code == 0
    assert program.leaks() == []
    key = quote(events_api.client_key, safe="")

    (program.logs / "planted.log").write_text(f"GET /?client_key={key}", "utf-8")
    (program.reports / "planted.html").write_text(SMTP_PASSWORD, "utf-8")
    google.spreadsheet.sheet("Day").put("H9", google.secrets[3])
    google.spreadsheet.sheet("History").put("Z9", google.secrets[-1])
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE etl_runs SET error = %s", (events_api.client_key,))
        connection.commit()

    found = program.leaks()

    assert set(found) == {
        "logs/planted.log",
        "reports/planted.html",
        "worksheet Day",
        "worksheet History",
        "table etl_runs",
    }
    (program.logs / "planted.log").unlink()
    (program.reports / "planted.html").unlink()
    google.spreadsheet.sheets.clear()
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE etl_runs SET error = NULL")
        connection.commit()
