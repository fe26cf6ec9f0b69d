"""PostgreSQL of the system (Debian's 15, the oldest supported): TLS as `sslmode` asks, and a whole day on it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from exceptions import DatabaseError
from tests.support.events_api import make_event, make_events
from tests.support.leaks import found_in
from tests.support.loading import connected
from tests.support.program import DAY, table_rows
from tests.support.tls_postgres import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.events_api import EventsServer
    from tests.support.google import GoogleStandIn
    from tests.support.program import Program
    from tests.support.smtp import SmtpServer
    from tests.support.tls_postgres import SystemServer

ENCRYPTED = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
UNSECURED = "could not be secured as sslmode asks"


@pytest.fixture
def database(system_server: SystemServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty database of the server; the machine's own settings for libpq do not count."""
    for name in ("PGSSLMODE", "PGSSLROOTCERT"):
        monkeypatch.delenv(name, raising=False)
    with system_server.database() as name:
        yield name


def refusal(url: str) -> DatabaseError:
    """Return the error of a connection that must not be had."""
    with pytest.raises(DatabaseError) as caught, connected(url):
        pass
    return caught.value


@pytest.mark.parametrize("mode", ["prefer", "require", "verify-ca", "verify-full"])
def test_connection_is_encrypted_as_asked(system_server: SystemServer, database: str, mode: str) -> None:
    """With the right authority every mode leads to an encrypted session, and the program works in it."""
    query = {"sslmode": mode, "sslrootcert": str(system_server.authority)}

    with connected(system_server.url(database, **query), migrated=True) as connection:
        ((encrypted, version),) = connection.rows(ENCRYPTED)

    assert (encrypted, version) == (True, "TLSv1.3")


@pytest.mark.parametrize(
    ("query", "host"),
    [
        ({"sslmode": "verify-full", "authority": "other"}, "localhost"),
        ({"sslmode": "verify-ca", "authority": "other"}, "localhost"),
        ({"sslmode": "verify-full", "authority": "right"}, "127.0.0.1"),
        ({"sslmode": "verify-full", "authority": "system"}, "localhost"),
        ({"sslmode": "require", "authority": "other"}, "localhost"),
    ],
    ids=[
        "another authority",
        "another authority, host not looked at",
        "another host",
        "none of the system",
        "with a root",
    ],
)
def test_server_that_cannot_be_verified_is_refused(
    system_server: SystemServer, database: str, query: dict[str, str], host: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A certificate of another authority or another host ends it at once, in words that name the settings."""
    roots = {"other": str(system_server.other_authority), "right": str(system_server.authority), "system": "system"}
    asked = {"sslmode": query["sslmode"], "sslrootcert": roots[query["authority"]]}

    error = refusal(system_server.url(database, host=host, **asked))

    assert UNSECURED in str(error)
    assert "sslmode and sslrootcert" in str(error)
    assert found_in([("log", caplog.text), ("error", repr(vars(error)))], [PASSWORD]) == []
    assert len([record for record in caplog.records if record.name == "warehouse.connection"]) == 1


def test_server_without_tls_is_refused_where_tls_is_asked_for(system_server: SystemServer, database: str) -> None:
    """With `require` and above nothing is said to a server that offers none; there is no way back to plain text."""
    with system_server.without_tls():
        for mode in ("require", "verify-full"):
            url = system_server.url(database, sslmode=mode, sslrootcert=str(system_server.authority))
            assert UNSECURED in str(refusal(url))


def test_plain_connection_is_refused_where_the_server_wants_tls(system_server: SystemServer, database: str) -> None:
    """`sslmode=disable` does not get past a rule of `hostssl`; that is told as a refused login, and not tried again."""
    assert "refused the login" in str(refusal(system_server.url(database, sslmode="disable")))


def test_wrong_password_through_tls_is_told_as_such(
    system_server: SystemServer, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The password that was tried stands nowhere."""
    wrong = "n0t/the&right+one"
    query: dict[str, Any] = {"sslmode": "verify-full", "sslrootcert": str(system_server.authority)}

    error = refusal(system_server.url(database, password=wrong, **query))

    assert "refused the login" in str(error)
    assert found_in([("log", caplog.text), ("error", repr(vars(error)))], [wrong]) == []


def test_day_runs_through_on_the_systems_postgresql(
    program: Program,
    events_api: EventsServer,
    google: GoogleStandIn,
    mail_server: SmtpServer,
    system_server: SystemServer,
    database: str,
) -> None:
    """The main flow on another major version, through verified TLS: load, unchanged, correction, report, ledger."""
    program.use(google, mail_server)
    program.secrets.append(PASSWORD)
    url = system_server.url(database, sslmode="verify-full", sslrootcert=str(system_server.authority))
    program.settings["DATABASE_URL"] = program.database_url = url
    events = [*make_events(40), make_event(lti_user_id="short", created_at=f"{DAY} 01:00:00")]
    events_api.serve(events)

    first = program.run("--date", DAY, "--json")
    again = program.run("--date", DAY, "--json")
    events_api.serve([{**event, "is_correct": 1} if event["is_correct"] == 0 else event for event in events])
    corrected = program.run("--date", DAY, "--json")
    failed = program.run("--date", DAY, "--json", API_CLIENT_KEY="another")
    report = program.run("report", "--date", DAY, "--json")

    assert (first.code, first.counts) == (0, (41, 40, 0, 0, 1, 0, 0))
    assert (again.code, again.counts, again.day["sheet"]) == (0, (41, 0, 0, 40, 1, 0, 0), "unchanged")
    assert (corrected.code, corrected.counts) == (0, (41, 0, 8, 32, 1, 0, 0))
    assert (failed.code, report.code) == (1, 0)
    assert report.day["statistics"]["successful_submits"] == 16
    ledger = table_rows(url, "SELECT status FROM etl_runs ORDER BY id")
    assert [row[0] for row in ledger] == ["ok", "ok", "ok", "failed"]
    assert program.run("runs", "--json").code == 0
    assert program.leaks() == []
    program.database_url = None  # gone before the program's own search at the end


def test_server_is_another_one_than_the_embedded(system_server: SystemServer) -> None:
    """What is tested here is the system's server, and one that is supported."""
    with system_server.administrator() as connection:
        assert connection.server_version >= 150_000
    with closing(psycopg2.connect(system_server.url("postgres", sslmode="require"))) as connection:
        assert connection.info.ssl_in_use
