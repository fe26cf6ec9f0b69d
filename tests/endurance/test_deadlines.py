"""No peer can hold a run for ever, and what could not be reached is told in one line, with the command to repeat.

What each client does on its own is tested beside it: the source in `test_http_client`, the letter in
`test_email_notifications`, the sheet in `test_google_sheets_transport`. Here the whole program meets such peers.
"""

from __future__ import annotations

import re
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.support.cutting_proxy import CuttingProxy, Way
from tests.support.endurance import IMPATIENT, WITHOUT_PICTURES, Arena
from tests.support.program import RECIPIENTS, SENDER
from tests.support.ready_source import make_day
from tests.support.silent import silent_peer

if TYPE_CHECKING:
    from tests.support.fork_server import ForkedRun
    from tests.support.google import GoogleStandIn

MARGIN = 30.0
"""Seconds that a busy machine may add; what is tested would last for ever, or for an hour."""
SILENCE = 1.0
PARTS = 6
STUCK = (
    "tests.support.fork_server:set_values",
    {f"warehouse.connection:{name}": SILENCE for name in ("_SILENCE", "_LONGEST_TRANSACTION", "_PREPARATION")},
)
AGAIN = "python data_processor.py --date 2023-04-01"
REPORT_AGAIN = "python data_processor.py report --date 2023-04-01"
_SENTENCE = re.compile(r"[.!](?=\s|$)")
MAIL = {"SENDER_EMAIL": SENDER, "EMAIL_ADDRESSES_FOR_MAILING": ", ".join(RECIPIENTS)}


@pytest.fixture
def ready(arena: Arena) -> Arena:
    """A place for runs with a small day to be loaded, whose waits are short."""
    arena.source.serve(make_day(200))
    arena.prepare += [IMPATIENT, WITHOUT_PICTURES]
    return arena


@pytest.fixture
def free_port() -> int:
    """A port of this machine where nobody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


def in_time(run: ForkedRun, seconds: float) -> int:
    """Wait for the end of a run, but no longer than it may take; return its exit code."""
    return run.wait(seconds + MARGIN)


def told_in_one_line(run: ForkedRun, cause: str, command: str) -> None:
    """Check that the last words hold cause and remedy in one line, and the command to repeat."""
    lines = [line for line in run.told.splitlines() if line.startswith(("✗ ", "! ")) and cause in line]
    assert len(lines) == 1, run.told
    assert len(_SENTENCE.findall(lines[0])) >= 2, lines  # what happened, and what to do
    assert re.search(rf": {re.escape(command)}$", run.told, re.MULTILINE), run.told


@pytest.mark.slow
def test_database_that_does_not_answer_is_given_up(ready: Arena) -> None:
    """A server that takes the connection and then says nothing, or a byte a second, does not hold the run."""
    asked = ready.source.requests
    with silent_peer() as silent, silent_peer(drip=1.0) as dripping:
        options = "connect_timeout=2&sslmode=disable&gssencmode=disable"
        runs = [
            ready.start(DATABASE_URL=f"postgresql://etl@127.0.0.1:{port}/etl?{options}") for port in (silent, dripping)
        ]
        assert [in_time(run, 5 * 2) for run in runs] == [1, 1]
    for run in runs:
        told_in_one_line(run, "PostgreSQL", AGAIN)
    assert ready.source.requests == asked


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("way", list(Way))
def test_database_that_falls_silent_is_given_up_and_tried_anew(ready: Arena, way: Way) -> None:
    """A server that is stuck, whatever it was doing: the connection is cut in the end, and the work done on another."""
    with CuttingProxy(ready.url, freezes=True) as proxy:
        proxy.cut_at(None)
        ready.run(DATABASE_URL=proxy.url)
        whole, total = ready.digest(), proxy.passed[way]
        for part in range(PARTS):
            ready.forget()
            proxy.cut_at(way, total * part // PARTS)
            run = ready.start(prepare=(STUCK,), DATABASE_URL=f"{proxy.url}&connect_timeout=2")
            assert in_time(run, 4 * SILENCE) in {0, 3}, run.told
            assert proxy.cuts == 1
            assert ready.digest() == whole


@pytest.mark.slow
@pytest.mark.parametrize("drip", [0.0, 0.5], ids=["never answers", "a byte now and then"])
def test_sheet_that_does_not_answer_is_given_up(ready: Arena, google: GoogleStandIn, drip: float) -> None:
    """A sheet that hangs or drips costs its deadline and no more; the events are loaded, the command is named."""
    google.fail(200, call="get", times=None, after=True, hang=0.0 if drip else 60.0, drip=drip)
    limited = ("tests.support.endurance:limit_publication", 3.0)

    run = ready.start(prepare=(limited,), **google.environment)

    assert in_time(run, 3.0) == 3
    told_in_one_line(run, "Google", REPORT_AGAIN)
    assert ready.statuses() == ["partial"]


@pytest.mark.slow
@pytest.mark.parametrize("drip", [0.0, 0.5], ids=["never answers", "a byte now and then"])
def test_mail_server_that_does_not_answer_is_given_up(ready: Arena, drip: float) -> None:
    """A mail server that hangs or drips costs its deadline and no more; the events are loaded, the command is named."""
    limited = ("tests.support.endurance:limit_letter", 3.0)
    with silent_peer(drip=drip, byte=b"2") as port:
        mail = {"SMTP_SERVER": "localhost", "SMTP_SECURITY": "none", "SMTP_PORT": str(port)}
        run = ready.start(prepare=(limited,), **mail, **MAIL)
        assert in_time(run, 3.0) == 3
    told_in_one_line(run, "mail server", REPORT_AGAIN)
    assert ready.statuses() == ["partial"]


def _unreachable(peer: str, port: int, google: GoogleStandIn) -> dict[str, str]:
    match peer:
        case "database":
            return {"DATABASE_URL": f"postgresql://etl@127.0.0.1:{port}/etl"}
        case "sheet":
            return google.environment | {"GOOGLE_SHEETS_ENDPOINT": f"http://127.0.0.1:{port}"}
        case _:
            return {"SMTP_SERVER": "localhost", "SMTP_SECURITY": "none", "SMTP_PORT": str(port)} | MAIL


@pytest.mark.slow
@pytest.mark.parametrize("language", ["ENGLISH", "RUSSIAN"])
@pytest.mark.parametrize(
    ("peer", "cause", "code", "statuses", "command"),
    [
        pytest.param("database", "PostgreSQL", 1, [], AGAIN, id="database"),
        pytest.param("sheet", "Google", 3, ["partial"], REPORT_AGAIN, id="sheet"),
        pytest.param("mail", "SMTP_SERVER", 3, ["partial"], REPORT_AGAIN, id="mail"),
    ],
)
def test_what_cannot_be_reached_is_told_in_one_line_with_the_command_to_repeat(
    ready: Arena,
    google: GoogleStandIn,
    free_port: int,
    peer: str,
    cause: str,
    code: int,
    statuses: list[str],
    command: str,
    language: str,
) -> None:
    """Nobody listens there: one line with cause and remedy, the exact command, and the ledger knows where it can."""
    limits = tuple((f"tests.support.endurance:limit_{what}", 2.0) for what in ("publication", "letter"))

    run = ready.start(prepare=limits, CURR_LANG=language, **_unreachable(peer, free_port, google))

    assert in_time(run, 20) == code
    told_in_one_line(run, cause, command)
    assert ready.statuses() == statuses
