"""The way to Google: few calls, patience with faults that pass, clear words for others, and no half report."""

from __future__ import annotations

import gzip
import json
import logging
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app_types import Language
from exceptions import SheetError
from google_sheets import Opened, probe, publish
from messages import Messages
from sheets import client
from tests.support.google import GoogleStandIn, google_error
from tests.support.google_spreadsheet import SPREADSHEET_ID
from tests.support.sheet_contents import (
    APRIL,
    AT_ONCE,
    EMPTY,
    history_rows,
    rich_content,
    sheet_content,
    sheet_refusal,
    sheet_state,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SEARCH = "developerMetadata.search"
ALL_CALLS = ["get", SEARCH, "values", "batchUpdate"]


# Calls


@pytest.mark.parametrize("days", [1, 40])
def test_publication_takes_at_most_five_calls(google: GoogleStandIn, days: int) -> None:
    """One token; one look at the worksheets, one at our marks, one at the history; one change, however many days."""
    contents = [sheet_content(APRIL + timedelta(days=n)) for n in range(days)]
    publish(google.settings, contents)
    assert google.names() == ["get", "batchUpdate"]
    google.calls.clear()
    google.token_calls = 0

    publish(google.settings, contents)

    assert google.names() == ALL_CALLS
    assert google.token_calls == 1


def test_no_other_host_is_contacted(google: GoogleStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint and the token's address are all we speak to; google-auth's own session would ask IAM as well."""
    hosts: set[object] = set()
    resolve = socket.getaddrinfo

    def record(host: Any, *rest: Any, **options: Any) -> Any:
        hosts.add(host)
        return resolve(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", record)

    publish(google.settings, [sheet_content()])

    assert hosts == {"127.0.0.1"}
    assert "google-sheets" not in {thread.name for thread in threading.enumerate()}


def test_surroundings_do_not_steer_the_calls(
    google: GoogleStandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Neither a proxy of the environment nor a .netrc takes part."""
    (tmp_path / ".netrc").write_text("default login someone password something\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    publish(google.settings, [sheet_content()])

    assert google.names() == ["get", "batchUpdate"]


def test_start_and_end_are_logged(google: GoogleStandIn, caplog: pytest.LogCaptureFixture) -> None:
    """The log tells what was done and how long it took, in constant templates."""
    with caplog.at_level(logging.INFO, "google_sheets"):
        publish(google.settings, [sheet_content()])

    messages = [record.getMessage() for record in caplog.records if record.name == "google_sheets"]
    assert messages[0] == "Google Sheet: update started, days: 1"
    assert re.fullmatch(r"Google Sheet: update finished, calls: 2, seconds: \d+\.\d", messages[1])


# Faults that pass


@pytest.mark.parametrize(
    ("call", "status"),
    [*((call, 503) for call in ALL_CALLS), *(("batchUpdate", status) for status in (408, 429, 500, 502, 504))],
)
def test_passing_fault_is_overcome(google: GoogleStandIn, call: str, status: int) -> None:
    """A fault that passes costs another try, and the sheet is the same as without it."""
    publish(google.settings, [sheet_content()])
    before = sheet_state(google)
    google.fail(status, call=call, times=2, headers=AT_ONCE)

    publish(google.settings, [sheet_content()])

    assert sheet_state(google) == before


@pytest.mark.parametrize(
    "body",
    [
        b"<html><h1>502 Bad Gateway</h1></html>",
        b"",
        b"\xff\xfe",
        {"error": "invalid_grant"},
        {"error": None},
        {"error": {"code": "x", "details": 7}},
        {"error": {"details": [7, {"reason": ["x"]}]}},
        [1],
        b"[" * 100_000,
    ],
    ids=["html", "empty", "bytes", "text", "null", "odd", "odd-details", "list", "deep"],
)
@pytest.mark.parametrize("status", [502, 400])
def test_odd_error_answers_do_not_crash(google: GoogleStandIn, status: int, body: Any) -> None:
    """An error of any form is decoded: 502 is tried again, 400 is told, and gspread's APIError is not needed."""
    google.fail(status, body=body, headers=AT_ONCE)

    if status == 502:
        publish(google.settings, [sheet_content()])
    else:
        assert "400" in str(sheet_refusal(google))


@pytest.mark.parametrize("body", [b"<html>login</html>", b"[]", b"", b'{"sheets": [{}]}', b'{"sheets": 7}'])
def test_good_status_with_a_bad_body_is_a_fault(google: GoogleStandIn, body: bytes) -> None:
    """What is no answer of Google's is not taken for an empty spreadsheet."""
    google.fail(200, body=body, times=None, headers=AT_ONCE)

    assert "does not answer as it should" in str(sheet_refusal(google, deadline=1.2))
    assert "batchUpdate" not in google.names()


@pytest.mark.parametrize("first", [True, False], ids=["new spreadsheet", "known spreadsheet"])
@pytest.mark.parametrize("fault", [{"drop": True}, {"status": 503}, {"status": 200, "body": b"<html>"}])
def test_change_whose_answer_is_lost_is_safely_repeated(
    google: GoogleStandIn, fault: dict[str, Any], first: bool
) -> None:
    """The spreadsheet is looked at again before a change is repeated: no second worksheet, row or metadata."""
    days = [sheet_content(APRIL + timedelta(days=5)), sheet_content(APRIL)]
    if not first:
        publish(google.settings, days[:1])
    google.fail(call="batchUpdate", after=True, headers=AT_ONCE, **fault)

    publish(google.settings, days)

    assert google.spreadsheet.titles() == ["Sheet1", "Day", "History", "Courses and tasks"]
    assert [row[0] for row in history_rows(google)] == [45017, 45022]
    assert [len(sheet.charts) for sheet in google.spreadsheet.sheets] == [0, 1, 2, 0]
    state = sheet_state(google)
    publish(google.settings, days)
    assert sheet_state(google) == state


def test_lost_connection_is_tried_again(google: GoogleStandIn) -> None:
    """A reset while reading is a passing fault."""
    google.fail(call="get", drop=True)

    publish(google.settings, [sheet_content()])

    assert google.names() == ["get", "get", "batchUpdate"]


def test_never_ending_fault_ends_after_six_tries(google: GoogleStandIn) -> None:
    """The back-off of gspread itself would go on for ever; ours does not, and the old report is whole."""
    publish(google.settings, [sheet_content()])
    before = sheet_state(google)
    google.calls.clear()
    google.fail(503, call="batchUpdate", times=None, headers=AT_ONCE)

    error = sheet_refusal(google)

    assert "503" in str(error)
    assert google.names().count("batchUpdate") == 6
    assert sheet_state(google) == before


def test_wait_that_would_outlast_the_deadline_is_not_begun(google: GoogleStandIn) -> None:
    """The error comes at once when there is no time for another try."""
    google.fail(503, times=None, headers={"Retry-After": "50"})
    started = time.monotonic()

    sheet_refusal(google, deadline=10)

    assert time.monotonic() - started < 8


@pytest.mark.parametrize("call", ["get", "token"])
def test_silence_ends_within_the_deadline(google: GoogleStandIn, call: str) -> None:
    """A peer that takes the connection and says nothing does not hold the run."""
    google.fail(call=call, times=None, hang=30)
    started = time.monotonic()

    assert "does not answer" in str(sheet_refusal(google, deadline=0.5))

    assert time.monotonic() - started < 5


def test_dripping_answer_ends_within_the_deadline(google: GoogleStandIn) -> None:
    """A byte now and then satisfies every time-out of a socket, but not the deadline."""
    google.fail(200, call="get", drip=0.1)
    started = time.monotonic()

    assert "does not answer" in str(sheet_refusal(google, deadline=0.5))

    assert time.monotonic() - started < 5


def test_answer_that_unpacks_without_end_is_not_read(google: GoogleStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of an answer is bounded after unpacking."""
    monkeypatch.setattr(client, "_LARGEST_ANSWER", 1_000_000)
    sheets = [{"properties": {"sheetId": 0, "title": "Sheet1"}}]
    bomb = gzip.compress(json.dumps({"sheets": sheets, "padding": " " * 2_000_000}).encode())
    google.fail(200, call="get", times=None, body=bomb, headers={"Content-Encoding": "gzip"})

    assert "does not answer as it should" in str(sheet_refusal(google, deadline=1.2))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("3600", 60.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 60.0),
        ("-5", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_honoured_up_to_a_minute(text: str, seconds: float | None) -> None:
    """Seconds or a date, cut to 60 s; what cannot be read says nothing."""
    assert client._retry_after(text) == seconds  # the waiting itself would take a minute


# Faults that do not pass


def test_revoked_key_is_told_without_another_try(google: GoogleStandIn) -> None:
    """invalid_grant means the key or the clock; trying again would not help."""
    google.fail(400, call="token", times=None, body={"error": "invalid_grant", "error_description": "bad"})

    error = sheet_refusal(google)

    assert "revoked" in str(error)
    assert "clock" in str(error)
    assert google.client_email in str(error)
    assert google.token_calls == 1
    assert google.calls == []


@pytest.mark.parametrize(
    ("status", "body"),
    [(502, b"<html>"), (200, b"<html>"), (200, {}), (200, {"access_token": "x", "expires_in": "soon"}), (200, b"\xff")],
)
def test_odd_token_answer_is_a_passing_fault(google: GoogleStandIn, status: int, body: Any) -> None:
    """google-auth stumbles over some of them; the second try gets the token."""
    google.fail(status, call="token", body=body)

    publish(google.settings, [sheet_content()])

    assert google.token_calls == 2


def test_token_is_renewed_once_when_it_is_refused(google: GoogleStandIn) -> None:
    """A token that Google forgot is renewed, and the call made again."""
    google.fail(401, call="get")

    publish(google.settings, [sheet_content()])

    assert google.token_calls == 2


def test_token_that_is_refused_again_is_given_up(google: GoogleStandIn) -> None:
    """At most one renewal, then the error."""
    google.fail(401, times=None)

    assert "did not accept the key" in str(sheet_refusal(google))
    assert google.token_calls == 2
    assert google.names() == ["get", "get"]


def test_second_refused_token_of_a_publication_is_given_up(google: GoogleStandIn) -> None:
    """One renewal is enough for a publication of seconds, whichever call it was for."""
    google.fail(401, call="get")
    google.fail(401, call="batchUpdate")

    assert "did not accept the key" in str(sheet_refusal(google))
    assert google.token_calls == 2


@pytest.mark.parametrize("access", ["none", "reader"])
def test_refused_access_names_the_account_to_share_with(google: GoogleStandIn, access: str) -> None:
    """403: share the spreadsheet with the service account as editor; nothing is tried again."""
    google.spreadsheet.access = access
    before = sheet_state(google)

    error = sheet_refusal(google)

    assert f"Share the spreadsheet with {google.client_email} as editor" in str(error)
    assert len(google.calls) == (1 if access == "none" else 2)
    assert sheet_state(google) == before


def test_disabled_api_is_told(google: GoogleStandIn) -> None:
    """403 has another remedy where the project does not allow the API at all."""
    google.fail(403, body=google_error(403, "Not used before", "SERVICE_DISABLED"))

    assert "not enabled in the project" in str(sheet_refusal(google))


def test_unknown_spreadsheet_is_told(google: GoogleStandIn) -> None:
    """404 leads to the setting."""
    google.spreadsheet.id = "another"

    error = sheet_refusal(google)

    assert "GOOGLE_SHEET_ID" in str(error)
    assert google.names() == ["get"]


@pytest.mark.parametrize("call", ["get", "token"])
def test_redirect_is_not_followed(google: GoogleStandIn, call: str) -> None:
    """Neither the token nor the assertion travels to another address."""
    google.fail(307, call=call, times=None, headers={"Location": f"{google.endpoint}/elsewhere"})

    sheet_refusal(google)

    assert {seen.path for seen in google.calls} <= {f"/v4/spreadsheets/{SPREADSHEET_ID}"}
    assert (google.token_calls, len(google.calls)) == ((1, 0) if call == "token" else (1, 1))


def test_closed_port_is_told(google: GoogleStandIn, google_key: Any) -> None:
    """Nobody there: the error says so and what to check."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        settings = google.settings
        object.__setattr__(settings, "endpoint", f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(SheetError, match="cannot be reached"):
            publish(settings, [sheet_content()], deadline=1)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda google: google.credentials_file.unlink(),
        lambda google: google.credentials_file.write_text('{"private_key": "canary", '),
        lambda google: google.credentials_file.write_text("[]"),
        lambda google: google.write_key(private_key="-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n"),
        lambda google: google.write_key(client_email=None),
    ],
    ids=["gone", "cut", "list", "damaged", "incomplete"],
)
def test_unusable_key_file_is_told_without_its_content(
    google: GoogleStandIn, spoil: Callable[[GoogleStandIn], object]
) -> None:
    """The file may change after the settings were read; what it holds is shown nowhere."""
    spoil(google)

    error = sheet_refusal(google)

    assert str(google.credentials_file) in str(error)
    assert "canary" not in "".join(traceback.format_exception(error))
    assert error.__context__ is None


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 403},
        {"status": 404},
        {"status": 401, "times": None},
        {"status": 503, "times": None, "headers": AT_ONCE},
        {"drop": True, "times": None},
        {"call": "token", "status": 400, "body": {"error": "invalid_grant"}},
        {"call": "token", "drop": True, "times": None},
        {"status": 302, "headers": {"Location": "http://127.0.0.1:9/canary"}},
    ],
)
def test_no_secret_in_logs_or_errors(
    google: GoogleStandIn, caplog: pytest.LogCaptureFixture, fault: dict[str, Any]
) -> None:
    """Neither the key nor a token nor the text of an answer is told, at any level of the log."""
    google.fail(**({"body": google_error(fault.get("status", 0), "canary")} | fault))

    with caplog.at_level(logging.DEBUG):
        error = sheet_refusal(google, deadline=1.2)

    told = "".join(traceback.format_exception(error)) + repr(vars(error)) + caplog.text
    assert not [secret for secret in [*google.secrets, "canary"] if secret in told]


def test_errors_are_worded_in_russian(google: GoogleStandIn) -> None:
    """Every error has a Russian text with its fields."""
    google.spreadsheet.access = "none"

    text = Messages(Language.RUSSIAN).error(sheet_refusal(google))

    assert google.client_email in text
    assert re.search("[а-я]", text)


# Never a mixed report

PUBLISH = """
import sys
from pathlib import Path
from config import SheetSettings
from google_sheets import publish
from tests.support.google_spreadsheet import SPREADSHEET_ID
from tests.support.sheet_contents import EMPTY, rich_content

settings = SheetSettings(credentials_file=Path(sys.argv[1]), spreadsheet_id=SPREADSHEET_ID, endpoint=sys.argv[2])
publish(settings, [rich_content(statistics=EMPTY)])
"""


def sheet_old_and_new(google: GoogleStandIn) -> tuple[Any, Any]:
    """Publish a day; return what the spreadsheet holds, and what it is to hold after the corrected day."""
    publish(google.settings, [rich_content()])
    kept = deepcopy(google.spreadsheet)
    publish(google.settings, [rich_content(statistics=EMPTY)])
    new = sheet_state(google)
    google.spreadsheet = kept
    google.calls.clear()
    return sheet_state(google), new


@pytest.mark.parametrize("call", ["token", *ALL_CALLS])
@pytest.mark.parametrize("after", [False, True], ids=["unheard", "unanswered"])
def test_connection_lost_at_any_call_leaves_the_old_or_the_new_report(
    google: GoogleStandIn, monkeypatch: pytest.MonkeyPatch, call: str, after: bool
) -> None:
    """All changes are in one call: as long as it is not heard the old report stands whole, then the new one."""
    monkeypatch.setattr(client, "_TRIES", 1)
    old, new = sheet_old_and_new(google)
    google.fail(call=call, after=after, drop=True, times=None)

    with pytest.raises(SheetError):
        publish(google.settings, [rich_content(statistics=EMPTY)])

    assert old != new
    assert sheet_state(google) == (new if after and call == "batchUpdate" else old)


@pytest.mark.parametrize(
    ("call", "after"),
    [("get", False), (SEARCH, False), ("values", False), ("batchUpdate", False), ("batchUpdate", True)],
)
def test_kill_between_any_two_calls_leaves_the_old_or_the_new_report(
    google: GoogleStandIn, call: str, after: bool
) -> None:
    """A process killed while it waits for an answer leaves nothing half; the next run makes it whole."""
    old, new = sheet_old_and_new(google)
    google.fail(200, call=call, after=after, hang=60)
    command = [sys.executable, "-c", PUBLISH, str(google.credentials_file), google.endpoint]
    with subprocess.Popen(command, cwd=Path(__file__).resolve().parent.parent) as process:
        limit = time.monotonic() + 60
        while call not in google.names() and time.monotonic() < limit and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert google.names()[-1] == call
    assert sheet_state(google) == (new if after else old)
    google.heal()

    publish(google.settings, [rich_content(statistics=EMPTY)])

    assert sheet_state(google) == new


# check


def test_probe_tells_title_and_account_and_changes_nothing(google: GoogleStandIn) -> None:
    """`check` opens the spreadsheet; control characters of its title do not reach the terminal."""
    publish(google.settings, [sheet_content()])
    google.spreadsheet.title = "Learning\x1b[31m"
    before, calls = sheet_state(google), len(google.calls)

    assert probe(google.settings) == Opened("Learning?[31m", google.client_email)
    assert google.names()[calls:] == ["get", "batchUpdate"]
    assert sheet_state(google) == before


@pytest.mark.parametrize("access", ["none", "reader"])
def test_probe_tells_what_is_wrong(google: GoogleStandIn, access: str) -> None:
    """A spreadsheet that is refused, or may only be read, has the same remedy as in a run."""
    google.spreadsheet.access = access

    with pytest.raises(SheetError, match=f"Share the spreadsheet with {google.client_email} as editor"):
        probe(google.settings)


def test_probe_takes_a_refusal_of_its_request_for_the_right_to_edit(google: GoogleStandIn) -> None:
    """Google looks at a request only of somebody who may make it: that nothing matched is no fault."""
    google.fail(400, call="batchUpdate", body=google_error(400, "Invalid requests[0].updateDeveloperMetadata: none"))

    assert probe(google.settings).account == google.client_email
