"""The settings: what is read from where, what is refused, and that no secret is ever shown."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
import trustme
from apprise.manager_plugins import NotificationManager
from apprise.utils.parse import parse_urls
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app_types import Language, Secret
from config import (
    DEFAULTS,
    OLD_NAMES,
    MailSecurity,
    Settings,
    chosen_language,
    is_loopback,
    load_settings,
    notify_service,
    parse_language,
    read_env_file,
)
from exceptions import ConfigError
from messages import Messages
from settings.alarms import COMMON_SERVICES, LOCAL_SERVICES

if TYPE_CHECKING:
    from collections.abc import Mapping

LEAST = {"API_CLIENT": "us", "API_CLIENT_KEY": "canary-key"}
MAIL = {
    "SMTP_SERVER": "smtp.example.org",
    "SENDER_EMAIL": "etl@example.org",
    "EMAIL_ADDRESSES_FOR_MAILING": "a@example.org",
}
CANARIES = ("canary-key", "canary-db", "canary-smtp")
needs_posix = pytest.mark.skipif(os.name != "posix", reason="file modes are those of POSIX")


def load(values: Mapping[str, str], **more: Any) -> Settings:
    """Load settings from the least that is needed and some values."""
    return load_settings({**LEAST, **values}, **more)


def faults(values: Mapping[str, str], **more: Any) -> list[str]:
    """Return the faults of the least settings with some values, in English."""
    with pytest.raises(ConfigError) as caught:
        load(values, **more)
    return [str(fault) for fault in caught.value.faults]


@pytest.fixture(scope="session")
def private_key() -> str:
    """Return the PEM text of a private key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem.decode()


@pytest.fixture
def account(private_key: str) -> dict[str, object]:
    """Return the content of a good key file of a service account."""
    return {
        "type": "service_account",
        "client_email": "etl@project.example.org",
        "private_key": private_key,
        "token_uri": "https://oauth2.googleapis.com/token",
    }


def key_file(folder: Path, content: object) -> Path:
    """Write a key file that nobody else can read."""
    path = folder / "key.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    path.chmod(0o600)
    return path


def env_file(folder: Path, content: bytes) -> Path:
    """Write a `.env` file that nobody else can read."""
    path = folder / ".env"
    path.write_bytes(content)
    path.chmod(0o600)
    return path


# --- where values come from ---


def test_least_settings_give_the_defaults(tmp_path: Path) -> None:
    """With name and key alone everything else is at its default, paths start at the program's folder."""
    loaded = load({}, home=tmp_path)

    assert loaded.api.url == DEFAULTS["API_URL"]
    assert (loaded.api.timeout, loaded.api.attempts, loaded.api.deadline) == (30.0, 5, 900.0)
    assert (loaded.api.window_minutes, loaded.api.concurrency, loaded.api.user_id_length) == (60, 2, 32)
    assert loaded.database.is_embedded
    assert loaded.database.embedded == tmp_path / ".data" / "postgres"
    assert not loaded.database.reset
    assert loaded.sheet is None
    assert loaded.mail is None
    assert loaded.language is Language.RUSSIAN
    assert loaded.zone == ZoneInfo("UTC")
    assert not loaded.test_mode
    assert loaded.logs.path == tmp_path / ".logs"
    assert (loaded.logs.keep, loaded.logs.level, loaded.logs.every_event) == (3, "INFO", False)
    assert loaded.reports_path == tmp_path / "reports"
    assert loaded.warnings == ()


def test_environment_beats_the_file() -> None:
    """A variable of the environment wins over a line of `.env`."""
    loaded = load_settings({"API_CLIENT": "environment"}, {"API_CLIENT": "file", "API_CLIENT_KEY": "file"})

    assert loaded.api.client == "environment"
    assert loaded.api.client_key == Secret("file")


@pytest.mark.parametrize("old", OLD_NAMES)
def test_old_names_work_everywhere(old: str) -> None:
    """The names of the first version still count, in the file and in the environment."""
    new = OLD_NAMES[old]
    others = {**LEAST, **MAIL, "SMTP_PASSWORD": "x"}
    del others[new]
    for environ, file in (({old: "old"}, {}), ({}, {old: "old"})):
        loaded = load_settings({**others, **environ}, file)
        assert loaded.mail is not None
        held = [loaded.api.client, loaded.api.client_key.reveal(), loaded.mail.password.reveal()]
        assert "old" in held


@pytest.mark.parametrize(
    ("environ", "file"),
    [
        ({"client": "old", "API_CLIENT": "new"}, {}),
        ({}, {"client": "old", "API_CLIENT": "new"}),
        ({"client": "old"}, {"API_CLIENT": "new"}),
        ({"API_CLIENT": "new"}, {"client": "old"}),
    ],
    ids=["environment", "file", "old-in-environment", "old-in-file"],
)
def test_old_names_lose_against_new_ones(environ: dict[str, str], file: dict[str, str]) -> None:
    """Wherever the two stand, the new name counts."""
    assert load_settings({"API_CLIENT_KEY": "k", **environ}, file).api.client == "new"


def test_blank_new_name_leaves_the_old_one(tmp_path: Path) -> None:
    """A copied but blank line of the example does not hide the old name."""
    assert load_settings({"API_CLIENT_KEY": "k"}, {"client": "old", "API_CLIENT": " "}).api.client == "old"


def test_values_are_trimmed_and_blank_ones_are_not_set() -> None:
    """Blanks around a value do not count, and a blank value is the default."""
    loaded = load({"API_ATTEMPTS": " 7 ", "TIMEZONE": "  "})

    assert loaded.api.attempts == 7
    assert loaded.zone.key == "UTC"


def test_settings_cannot_be_changed() -> None:
    """The settings of a run stay what they were at its start."""
    loaded = load({})
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.language = Language.ENGLISH  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.api.url = "x"  # type: ignore[misc]


# --- the .env file ---


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", {}),
        (b"A=1\nB=2\n", {"A": "1", "B": "2"}),
        (b"\xef\xbb\xbfA=1\n", {"A": "1"}),
        (b"A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        (b"A='x y'\nB=\"x # y\"\n", {"A": "x y", "B": "x # y"}),
        (b"A=x # note\n# B=2\n\n", {"A": "x"}),
        (b"export A=1\n A = 2 \n", {"A": "2"}),
        (b"A=p#ss$w%rd${X}\n", {"A": "p#ss$w%rd${X}"}),
        (b"A=\n", {"A": ""}),
        ("A=ключ".encode(), {"A": "ключ"}),
    ],
    ids=["empty", "plain", "bom", "crlf", "quotes", "comments", "export", "literal", "blank", "utf-8"],
)
def test_env_file_is_read(tmp_path: Path, content: bytes, expected: dict[str, str]) -> None:
    """Byte order mark, line ends, quotes and comments are understood; nothing is expanded."""
    assert read_env_file(env_file(tmp_path, content)) == expected


def test_missing_env_file_is_an_empty_one(tmp_path: Path) -> None:
    """Who sets everything in the environment needs no file."""
    assert read_env_file(tmp_path / ".env") == {}


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"A=1\nAPI_CLIENT_KEY canary-key\n", [2]),
        (b"\n\n# note\n\ncanary-key\nA=1\n=canary-key\n", [5, 7]),
        (b'A="canary-key\nB=2\n', [1]),
    ],
    ids=["no-equals-sign", "two-lines", "open-quote"],
)
def test_lines_that_are_no_settings_are_told(tmp_path: Path, content: bytes, lines: list[int]) -> None:
    """Each line that is not NAME=value is named by its number; its text, which may be a secret, is not shown."""
    path = env_file(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        read_env_file(path)

    expected = [f"{path}, line {line} is not of the form NAME=value." for line in lines]
    assert [str(fault) for fault in caught.value.faults] == expected
    assert "canary" not in repr(caught.value) + str(caught.value)


def test_env_file_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    """A file in another encoding is refused, without its content."""
    path = env_file(tmp_path, "A=ключ".encode("cp1251"))
    with pytest.raises(ConfigError) as caught:
        read_env_file(path)

    assert str(caught.value) == f"The settings are not usable. {path} cannot be read: it is not UTF-8."
    assert caught.value.__cause__ is None


def test_env_file_that_is_a_folder_is_told(tmp_path: Path) -> None:
    """What is there but cannot be read is a fault, unlike a missing file."""
    with pytest.raises(ConfigError, match=r"The settings are not usable\."):
        read_env_file(tmp_path)


# --- all faults at once, slips of the pen ---


def test_every_fault_is_told_at_once() -> None:
    """Who has many faults reads of all of them in one go."""
    wrong = {
        "API_URL": "ftp://x",
        "API_ATTEMPTS": "0",
        "DATABASE_URL": "mysql://x",
        "TIMEZONE": "Mars",
        "LOG_LEVEL": "LOUD",
        "GOOGLE_SHEET_ID": "abc",
        "SMTP_SERVER": "x y",
    }
    with pytest.raises(ConfigError) as caught:
        load_settings(wrong)

    named = {str(fault).split(" ")[0].rstrip(":") for fault in caught.value.faults}
    assert named == {
        *wrong,
        "API_CLIENT",
        "API_CLIENT_KEY",
        "SENDER_EMAIL",
        "EMAIL_ADDRESSES_FOR_MAILING",
    }


def test_no_fault_is_told_twice(tmp_path: Path) -> None:
    """A setting that is looked at several times has one fault."""
    assert faults({"GOOGLE_CREDENTIALS_FILE": "a\nb", "GOOGLE_SHEET_ID": "x"}) == [
        "GOOGLE_CREDENTIALS_FILE holds a line break or another control character.",
        "GOOGLE_SHEET_ID is set, but GOOGLE_CREDENTIALS_FILE is not: the sheet needs both.",
    ]


def test_near_name_in_the_file_is_a_fault() -> None:
    """A slip of the pen in our own file is refused, and the right name is shown."""
    assert faults({}, env_file={"API_ATEMPTS": "3"}) == ['"API_ATEMPTS" is not a setting; did you mean API_ATTEMPTS?']


def test_near_name_in_the_environment_is_a_warning() -> None:
    """The environment belongs to others too, so a near name there is only a warning."""
    assert [str(warning) for warning in load({"API_ATEMPTS": "3"}).warnings] == [
        '"API_ATEMPTS" is not a setting; did you mean API_ATTEMPTS?'
    ]


def test_missing_setting_names_its_misspelling() -> None:
    """A required setting that is missing points to the name that was probably meant for it."""
    with pytest.raises(ConfigError) as caught:
        load_settings({"API_CLIENT": "us", "API_CLENT_KEY": "canary-key"})

    assert [str(fault) for fault in caught.value.faults] == [
        'API_CLIENT_KEY is not set; is "API_CLENT_KEY" a slip of the pen?'
    ]


@pytest.mark.parametrize("name", ["PATH", "LANG", "HOME", "TZ", "PGHOST", "API", "client", "smtp_password"])
def test_other_names_are_left_in_peace(name: str) -> None:
    """Names that only resemble ours a little, libpq's and the old ones are no slips."""
    assert load({}, env_file={name: "x"}).warnings == ()


# --- single values ---


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("API_ATTEMPTS", ["1", "100"], ["0", "101", "-1", "1.5", "five", "١", "1e1", "0x1", "1" * 30]),
        ("API_WINDOW_MINUTES", ["1", "1500"], ["0", "1501"]),
        ("API_CONCURRENCY", ["1", "32"], ["0", "33"]),
        ("LENGTH_OF_USER_ID_FIELD", ["1", "255"], ["0", "256"]),
        ("MAX_NUM_LOGS_FILES", ["1", "10000"], ["0", "10001"]),
        ("SMTP_PORT", ["1", "65535"], ["0", "65536", "smtp", "25;rm"]),
        ("API_TIMEOUT", ["0.5", "3600"], ["0", "3601", "nan", "inf", "-1", "1_0", "1,5", ".5"]),
        ("API_DEADLINE", ["1", "86400"], ["0.0", "86401"]),
        ("DB_MAIN_TABLE_OPEN_RESET", ["true", "FALSE", "1", "0", "yes", "No", "on", "off"], ["maybe", "2", "да"]),
        ("TEST_APP_MODE", ["true", "false"], ["test"]),
        ("LOG_EVERY_INCOMING_LINE", ["true", "false"], ["all"]),
        ("LOG_LEVEL", ["debug", "Info", "WARNING", "ERROR"], ["LOUD", "10", "CRITICAL"]),
        ("CURR_LANG", ["RUSSIAN", "english", "ru", "EN"], ["de", "russkij"]),
        ("SMTP_SECURITY", ["ssl", "STARTTLS"], ["tls", "off"]),
        (
            "TIMEZONE",
            ["UTC", "Europe/Moscow", "America/Argentina/Buenos_Aires"],
            ["Europe", "../etc", "/etc/localtime", "Mars/Base", "MSK+3", "europe/москва", "x" * 5000, "."],
        ),
    ],
)
def test_values_are_checked(name: str, good: list[str], bad: list[str]) -> None:
    """Each value is taken only if it is of its kind and within its bounds; a fault names setting and value."""
    for value in good:
        load({name: value})
    for value in bad:
        told = faults({name: value})
        assert len(told) == 1
        assert told[0].startswith(name)
        assert value[:80] in told[0]


@pytest.mark.parametrize(("text", "expected"), [("true", True), ("YES", True), ("off", False), ("0", False)])
def test_truth_values(text: str, expected: bool) -> None:
    """The usual words for yes and no are understood."""
    assert load({"TEST_APP_MODE": text}).test_mode is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RUSSIAN", Language.RUSSIAN),
        ("ru", Language.RUSSIAN),
        (" English ", Language.ENGLISH),
        ("de", None),
        ("", None),
    ],
)
def test_languages(text: str, expected: Language | None) -> None:
    """A language may be given by name or code; a wrong one falls back to Russian only to word the fault."""
    assert parse_language(text) is expected
    assert chosen_language({"CURR_LANG": text}) is (expected or Language.RUSSIAN)


@pytest.mark.parametrize("value", ["a\nb", "a\r\nb", "a\x1b[31m", "a\0b", "a\x7f"])
@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_control_characters_are_refused_everywhere(name: str, value: str) -> None:
    """No setting may hold a line break or an escape; nothing of the value is shown."""
    told = faults({**MAIL, name: value})

    assert f"{name} holds a line break or another control character." in told
    assert not any(character in line for line in told for character in "\n\r\x1b\0\x7f")


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.org/statistics",
        "https://api.example.org:8443/statistics?x=1",
        "http://localhost:8080/",
        "http://127.0.0.1:8080",
        "http://[::1]:8080/",
        "https://пример.рф/",
    ],
)
def test_good_urls(url: str) -> None:
    """A URL is taken over https, and over http from this machine."""
    assert load({"API_URL": url}).api.url == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://api.example.org/", "must begin with https://"),
        ("http://localhost.example.org/", "must begin with https://"),
        ("http://127.0.0.1.example.org/", "must begin with https://"),
        ("https://user@api.example.org/", "must hold neither a user"),
        ("https://user:canary-db@api.example.org/", "must hold neither a user"),
        ("https://api.example.org/#x", "must hold neither a user"),
        ("ftp://api.example.org/", "must be a URL such as"),
        ("api.example.org", "must be a URL such as"),
        ("https://", "must be a URL such as"),
        ("https://[::1/", "must be a URL such as"),
        ("https://api.example.org:99999/", "must be a URL such as"),
        ("https://api.example.org:x/", "must be a URL such as"),
        ("https://api example.org/", "must be a URL such as"),
        ("https://api.example.org;evil/", "must be a URL such as"),
        ("https://evil.example.net\\.example.org/", "must be a URL such as"),
    ],
)
@pytest.mark.parametrize("name", ["API_URL", "GOOGLE_SHEETS_ENDPOINT"])
def test_bad_urls(name: str, url: str, reason: str) -> None:
    """Plain HTTP off this machine, credentials in a URL and what is no URL are refused without showing it."""
    told = faults({name: url})

    assert len(told) == 1
    assert told[0].startswith(f"{name} {reason}")
    assert "canary" not in told[0]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("localhost.example.org", False),
        ("", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    """Only this machine itself counts as such."""
    assert is_loopback(host) is expected


@pytest.mark.parametrize("name", ["LOGS_PATH", "REPORTS_PATH"])
def test_paths_start_at_the_program_or_at_home(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path starts at the program's folder, an absolute one stands, `~` is the operator's home."""
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "me"))
    for value, expected in (
        ("x/y", tmp_path / "x" / "y"),
        (str(tmp_path / "z"), tmp_path / "z"),
        ("~/w", tmp_path / "me" / "w"),
    ):
        loaded = load({name: value}, home=tmp_path)
        assert expected in {loaded.logs.path, loaded.reports_path}


@needs_posix
def test_home_of_nobody_is_told() -> None:
    """A `~name` that is not known is a fault, not a crash."""
    assert faults({"LOGS_PATH": "~no-such-user-here/logs"}) == [
        'LOGS_PATH: the home folder of "~no-such-user-here/logs" is not known.'
    ]


# --- the database ---


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://etl:p%40ss@db.example.org:5432/events?sslmode=verify-full",
        "postgres://db.example.org/events",
        "postgresql:///events?host=/run/postgresql",
        "postgresql://a.example.org:5432,b.example.org:5433/events",
        "postgresql://[::1]/events",
    ],
)
def test_good_database_urls(url: str) -> None:
    """Every form that libpq knows is taken."""
    database = load({"DATABASE_URL": url}).database

    assert database.url == Secret(url)
    assert not database.is_embedded


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:canary-db@h/x",
        "host=h password=canary-db",
        "postgresql+psycopg2://u:canary-db@h/x",
        "postgresql://u:canary-db@h/x?no_such_option=1",
        "postgresql://u:canary-db@[h/x",
        "postgresql://u:canary-db%ZZ@h/x",
        "postgresql://u:canary-db\ud800@h/x",
        "jdbc:postgresql://h/x?password=canary-db",
    ],
)
def test_bad_database_urls(url: str) -> None:
    """What libpq cannot read is refused, and the password in it is not shown."""
    assert faults({"DATABASE_URL": url}) == [
        "DATABASE_URL must be of the form postgresql://USER:PASSWORD@HOST:PORT/NAME."
    ]


def test_libpq_variables_are_honoured() -> None:
    """With PG* variables and no URL, PostgreSQL is found as psql would find it."""
    database = load({"PGHOST": "db.example.org", "PGUSER": "etl", "PGPASSWORD": "canary-db", "PGOPTIONS": "x"}).database

    assert {name: value.reveal() for name, value in database.libpq.items()} == {
        "host": "db.example.org",
        "user": "etl",
        "password": "canary-db",
    }
    assert not database.is_embedded


def test_database_url_beats_libpq_variables() -> None:
    """The URL says it all."""
    database = load({"DATABASE_URL": "postgresql://h/x", "PGHOST": "elsewhere"}).database

    assert database.libpq == {}


def test_password_alone_names_no_server() -> None:
    """A stray PGPASSWORD or PGSSLMODE does not turn the embedded server off."""
    assert load({"PGPASSWORD": "x", "PGSSLMODE": "require", "PGHOST": " "}).database.is_embedded


# --- the Google Sheet ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1AbC-d_9", "1AbC-d_9"),
        ("https://docs.google.com/spreadsheets/d/1AbC-d_9/edit#gid=0", "1AbC-d_9"),
        ("https://docs.google.com/spreadsheets/d/1AbC-d_9", "1AbC-d_9"),
        ("https://docs.google.com/spreadsheets/u/0/d/1AbC-d_9/edit?usp=sharing", "1AbC-d_9"),
    ],
)
def test_spreadsheet_id_or_address(tmp_path: Path, account: dict[str, object], text: str, expected: str) -> None:
    """The id may be given as it is, or as the address that the browser shows."""
    sheet = load({"GOOGLE_SHEET_ID": text, "GOOGLE_CREDENTIALS_FILE": str(key_file(tmp_path, account))}).sheet

    assert sheet is not None
    assert sheet.spreadsheet_id == expected
    assert sheet.endpoint == "https://sheets.googleapis.com"


@pytest.mark.parametrize(
    "text",
    [
        "my sheet",
        "https://docs.google.com/document/d/1AbC/edit",
        "https://docs.google.com.example.org/spreadsheets/d/1AbC/edit",
        "https://docs.google.com/spreadsheets/d//edit",
        "a" * 201,
    ],
)
def test_other_texts_are_no_spreadsheet(tmp_path: Path, account: dict[str, object], text: str) -> None:
    """What is neither id nor address of a spreadsheet is refused."""
    told = faults({"GOOGLE_SHEET_ID": text, "GOOGLE_CREDENTIALS_FILE": str(key_file(tmp_path, account))})

    assert told == ["GOOGLE_SHEET_ID must be the id or the address of a Google spreadsheet."]


def test_sheet_needs_both_settings(tmp_path: Path, account: dict[str, object]) -> None:
    """One without the other is a fault that names the other."""
    both = ("GOOGLE_SHEET_ID", "GOOGLE_CREDENTIALS_FILE")
    values = dict(zip(both, ("abc", str(key_file(tmp_path, account))), strict=True))
    for one, other in (both, both[::-1]):
        assert faults({one: values[one]}) == [f"{one} is set, but {other} is not: the sheet needs both."]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("canary {", "is not a JSON file"),
        ("", "is not a JSON file"),
        ("[" * 100_000, "is not a JSON file"),
        ('"canary"', "is not the key of a Google service account"),
        ("[1]", "is not the key of a Google service account"),
        ({"type": "authorized_user"}, "is not the key of a Google service account"),
        ({"type": "service_account", "client_email": "x"}, "is not the key of a Google service account"),
    ],
)
def test_file_that_is_no_key_is_refused(tmp_path: Path, content: object, reason: str) -> None:
    """A broken or other JSON file is refused; nothing of its content is shown."""
    path = key_file(tmp_path, content)
    told = faults({"GOOGLE_SHEET_ID": "abc", "GOOGLE_CREDENTIALS_FILE": str(path)})

    assert told == [f"GOOGLE_CREDENTIALS_FILE: {path} {reason}."]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"private_key": ""}, "is not the key of a Google service account"),
        ({"client_email": 5}, "is not the key of a Google service account"),
        ({"type": "external_account"}, "is not the key of a Google service account"),
        ({"token_uri": None}, "is not the key of a Google service account"),
        ({"token_uri": "https://canary.example.org/token"}, "token_uri"),
        ({"token_uri": "http://oauth2.googleapis.com/token"}, "token_uri"),
        ({"token_uri": "https://googleapis.com.example.org/token"}, "token_uri"),
        ({"token_uri": "https://canary.example.org\\.googleapis.com/token"}, "token_uri"),
        ({"token_uri": "https://oauth2.googleapis.com@canary.example.org/token"}, "token_uri"),
        ({"token_uri": "https://[canary"}, "token_uri"),
    ],
)
def test_key_with_a_wrong_field_is_refused(
    tmp_path: Path, account: dict[str, object], change: dict[str, object], reason: str
) -> None:
    """A key with a field that is missing, foreign or of another type is refused; its content is not shown."""
    told = faults({"GOOGLE_SHEET_ID": "abc", "GOOGLE_CREDENTIALS_FILE": str(key_file(tmp_path, {**account, **change}))})

    assert len(told) == 1
    assert reason in told[0]
    assert "canary" not in told[0]


@pytest.mark.parametrize("cut", [40, 300, -40])
def test_damaged_private_key_is_refused(tmp_path: Path, account: dict[str, object], cut: int) -> None:
    """A key that was cut when it was copied is noticed before the run, and not shown."""
    pem = str(account["private_key"])
    path = key_file(tmp_path, {**account, "private_key": pem[:cut]})
    told = faults({"GOOGLE_SHEET_ID": "abc", "GOOGLE_CREDENTIALS_FILE": str(path)})

    assert told == [f"GOOGLE_CREDENTIALS_FILE: the private key in {path} is damaged; download a new key."]


@pytest.mark.parametrize(
    ("token_uri", "endpoint"),
    [
        ("https://accounts.google.com/o/oauth2/token", "https://sheets.googleapis.com"),
        ("http://127.0.0.1:9/token", "http://127.0.0.1:9"),
        ("https://gateway.example.org/token", "https://gateway.example.org/"),
    ],
    ids=["google", "this-machine", "own-gateway"],
)
def test_trusted_token_addresses(tmp_path: Path, account: dict[str, object], token_uri: str, endpoint: str) -> None:
    """Tokens are fetched from Google, from this machine, or from the gateway that was configured."""
    path = key_file(tmp_path, {**account, "token_uri": token_uri})
    sheet = load(
        {"GOOGLE_SHEET_ID": "abc", "GOOGLE_CREDENTIALS_FILE": str(path), "GOOGLE_SHEETS_ENDPOINT": endpoint}
    ).sheet

    assert sheet is not None
    assert sheet.endpoint == endpoint.rstrip("/")


@pytest.mark.parametrize("name", ["missing.json", ".", "x" * 5000, "a\ud800"], ids=["none", "folder", "long", "odd"])
def test_missing_key_file_is_told(tmp_path: Path, name: str) -> None:
    """A file that is not there is a fault that names it."""
    told = faults({"GOOGLE_SHEET_ID": "abc", "GOOGLE_CREDENTIALS_FILE": name}, home=tmp_path)

    assert told == [f"GOOGLE_CREDENTIALS_FILE: there is no readable file {tmp_path / name}."]


# --- the letter ---


@pytest.mark.parametrize(
    ("security", "server", "port"),
    [("ssl", "smtp.example.org", 465), ("starttls", "smtp.example.org", 587), ("none", "localhost", 25)],
)
def test_port_follows_the_security(security: str, server: str, port: int) -> None:
    """An empty port is the usual one."""
    mail = load({**MAIL, "SMTP_SERVER": server, "SMTP_SECURITY": security}).mail

    assert mail is not None
    assert (mail.security, mail.port) == (MailSecurity(security), port)


def test_port_can_be_given() -> None:
    """A server on another port is reached there."""
    mail = load({**MAIL, "SMTP_PORT": "2465"}).mail

    assert mail is not None
    assert mail.port == 2465


def test_open_connection_is_for_this_machine_only() -> None:
    """A letter and a password never go over an open line."""
    assert faults({**MAIL, "SMTP_SECURITY": "none"}) == [
        "SMTP_SECURITY=none is for a mail server on this machine; use ssl or starttls."
    ]


@pytest.mark.parametrize("server", ["smtp.example.org", "mail", "10.0.0.1", "::1", "почта.рф"])
def test_good_mail_servers(server: str) -> None:
    """A server has a name or an address."""
    assert load({**MAIL, "SMTP_SERVER": server}).mail


@pytest.mark.parametrize("server", ["smtp.example.org:465", "https://smtp.example.org", "a b", "-", "a;b", "x" * 300])
def test_bad_mail_servers(server: str) -> None:
    """A URL or a port in the name is a fault."""
    told = faults({**MAIL, "SMTP_SERVER": server})

    assert len(told) == 1
    assert told[0].startswith("SMTP_SERVER must be the name of a host")


def test_recipients_are_separated_by_commas() -> None:
    """Blanks, a comma too many and a repeated address do no harm."""
    mail = load({**MAIL, "EMAIL_ADDRESSES_FOR_MAILING": " b@x.org, a@x.org ,, b@x.org ,"}).mail

    assert mail is not None
    assert mail.recipients == ("b@x.org", "a@x.org")


@pytest.mark.parametrize(
    "address", ["a@x.org; b@x.org", "a", "@x.org", "a@", "Ann <a@x.org>", "a b@x.org", "a@x.org.", "а@х.рф", "a@-x"]
)
def test_bad_addresses(address: str) -> None:
    """What is not one plain address is refused, so nobody is left out silently."""
    for name in ("SENDER_EMAIL", "EMAIL_ADDRESSES_FOR_MAILING"):
        told = faults({**MAIL, name: address})
        assert len(told) == 1
        assert "is not an e-mail address" in told[0]
        assert told[0].startswith(name)


@pytest.mark.parametrize("text", ["", " ", ",", " , ,"])
def test_mail_needs_a_recipient(text: str) -> None:
    """A mail server without anybody to write to is a fault."""
    assert faults({**MAIL, "EMAIL_ADDRESSES_FOR_MAILING": text}) == ["EMAIL_ADDRESSES_FOR_MAILING is not set."]


def test_user_needs_a_password() -> None:
    """A login without a password is a fault."""
    assert faults({**MAIL, "SMTP_USER": "etl"}) == ["SMTP_PASSWORD is not set."]


def test_password_without_a_user_belongs_to_the_sender() -> None:
    """As in the first version of the script, the sender's address is the login unless another is given."""
    for user, expected in (("", "etl@example.org"), ("robot", "robot")):
        mail = load({**MAIL, "SMTP_USER": user, "smtp_password": "canary-smtp"}).mail
        assert mail is not None
        assert mail.user == expected
        assert mail.password.reveal() == "canary-smtp"


def test_mail_settings_without_a_server_are_not_used() -> None:
    """Without a server there is no letter, whatever else is set."""
    assert load({**MAIL, "SMTP_SERVER": ""}).mail is None


def test_certificate_of_a_private_authority(tmp_path: Path) -> None:
    """A file with certificates is taken, another file is refused."""
    good, bad = tmp_path / "ca.pem", tmp_path / "bad.pem"
    trustme.CA().cert_pem.write_to_path(str(good))
    bad.write_text("canary")
    mail = load({**MAIL, "SMTP_CA_FILE": str(good)}).mail

    assert mail is not None
    assert mail.ca_file == good
    assert faults({**MAIL, "SMTP_CA_FILE": str(bad)}) == [f"SMTP_CA_FILE: {bad} holds no certificates."]


# --- alarms and retention ---


def test_nobody_is_told_unless_asked() -> None:
    """Without their settings there are no alarms, and everything is kept for ever."""
    loaded = load({})

    assert (loaded.alarms.notify_urls, loaded.alarms.heartbeat_url, loaded.alarms.metrics_file) == ((), None, None)
    kept = loaded.retention
    assert (kept.quarantine_days, kept.ledger_days, kept.reports_days) == (None, None, None)


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("json://a.example.org/x", ["json://a.example.org/x"]),
        (" json://a/x , mmosts://b/t ", ["json://a/x", "mmosts://b/t"]),
        ("json://a/x mmosts://b/t", ["json://a/x", "mmosts://b/t"]),
        ("json://a/x;mmosts://b/t", ["json://a/x", "mmosts://b/t"]),
        (
            "mailtos://u:p@example.org?to=a@example.org,b@example.org, tgram://1:A/2/",
            ["mailtos://u:p@example.org?to=a@example.org,b@example.org", "tgram://1:A/2/"],
        ),
        ("slack://T1/A1/x/#general", ["slack://T1/A1/x/#general"]),
        ("json://a json://a", ["json://a"]),
    ],
)
def test_addresses_of_apprise_are_parted_as_apprise_parts_them(text: str, addresses: list[str]) -> None:
    """Blanks, commas and semicolons stand between addresses; a comma within one is its own."""
    urls = load({"NOTIFY_URLS": text}).alarms.notify_urls

    assert [url.reveal() for url in urls] == addresses
    assert list(dict.fromkeys(parse_urls(text))) == addresses


@pytest.mark.parametrize(
    "address", ["https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "lark://tokentoken12"]
)
def test_service_that_is_less_common_is_looked_up(address: str) -> None:
    """What Apprise knows is taken, also the address that a service itself shows its users."""
    assert len(load({"NOTIFY_URLS": address}).alarms.notify_urls) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("canary", "NOTIFY_URLS: address 1 is not of the form SERVICE://…; a blank within it is written %20."),
        ("json://h canary", "NOTIFY_URLS: address 1 is not of the form SERVICE://…; a blank within it is written %20."),
        (
            "json://h, nosuch://canary",
            "NOTIFY_URLS: Apprise has no use for address 2 (nosuch://…): the service is unknown, or a part of the "
            "address is missing.",
        ),
        (
            "https://canary.example.org",
            "NOTIFY_URLS: Apprise has no use for address 1 (https://…): the service is unknown, or a part of the "
            "address is missing.",
        ),
        *(
            (
                f"{local}://canary",
                f"NOTIFY_URLS: address 1 ({local}://…) reaches only this machine; name a service on the network.",
            )
            for local in ("syslog", "dbus", "macosx", "windows", "gnome", "exec", "file")
        ),
    ],
)
def test_bad_addresses_of_apprise_are_told_by_their_number(text: str, told: str) -> None:
    """An address holds a token, so nothing of it is shown but its service."""
    assert faults({"NOTIFY_URLS": text}) == [told]


def test_common_services_are_known_to_apprise_and_local_ones_are_its_own() -> None:
    """The lists that save the look-up name no service that is not there."""
    assert notify_service("json://localhost")  # loads the services without a warning
    known = set(NotificationManager().schemas())

    assert known >= COMMON_SERVICES
    assert LOCAL_SERVICES - {"exec", "file"} <= known
    assert not COMMON_SERVICES & LOCAL_SERVICES


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("canary", "HEARTBEAT_URL must be a URL such as https://hc-ping.com/UUID."),
        ("http://hc.example.org/canary", "HEARTBEAT_URL must begin with https://"),
        ("https://canary:x@hc.example.org/", "HEARTBEAT_URL must hold neither a user"),
    ],
)
def test_bad_heartbeat_addresses(url: str, told: str) -> None:
    """The monitor is reached over an encrypted line, or on this machine; a fault shows nothing of the address."""
    (fault,) = faults({"HEARTBEAT_URL": url})

    assert fault.startswith(told)
    assert "canary" not in fault


@pytest.mark.parametrize("url", ["https://hc-ping.com/7f0c0dd4", "http://localhost:8000/ping/7f0c0dd4"])
def test_good_heartbeat_addresses(url: str) -> None:
    """A check of healthchecks.io, or of a server of one's own."""
    assert load({"HEARTBEAT_URL": url}).alarms.heartbeat_url == Secret(url)


def test_file_of_figures_has_the_name_that_the_collector_reads(tmp_path: Path) -> None:
    """A relative path starts at the program; another ending than .prom is a warning, not a fault."""
    good, bad = (load({"METRICS_FILE": name}, home=tmp_path) for name in ("etl.prom", "etl.txt"))

    assert good.alarms.metrics_file == tmp_path / "etl.prom"
    assert good.warnings == ()
    assert [str(warning) for warning in bad.warnings] == [
        "METRICS_FILE: node_exporter reads only files that end in .prom."
    ]


def test_retention_is_in_days() -> None:
    """A number of days each; what is not set is kept for ever."""
    kept = load({"RETENTION_QUARANTINE_DAYS": "90", "RETENTION_REPORTS_DAYS": "365"}).retention

    assert (kept.quarantine_days, kept.ledger_days, kept.reports_days) == (90, None, 365)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "ever", "36501"])
@pytest.mark.parametrize("name", ["RETENTION_QUARANTINE_DAYS", "RETENTION_LEDGER_DAYS", "RETENTION_REPORTS_DAYS"])
def test_bad_retention_is_refused(name: str, value: str) -> None:
    """What could be read as "keep nothing" is a fault."""
    assert faults({name: value}) == [f'{name} must be a whole number from 1 to 36500, not "{value}".']


# --- secrets and modes ---


def secret_settings() -> Settings:
    """Return settings with a canary in each secret."""
    return load(
        {
            **MAIL,
            "DATABASE_URL": "postgresql://etl:canary%2Ddb@db.example.org/events",
            "SMTP_USER": "etl",
            "SMTP_PASSWORD": "canary-smtp",
        }
    )


def test_secrets_are_invisible() -> None:
    """Neither `repr` nor `str` of settings, nor of any part, shows a secret."""
    loaded = secret_settings()
    shown = (
        f"{loaded!r} {loaded!s} {loaded.api} {loaded.database} {loaded.mail} {vars(loaded)} {loaded.api.client_key:}"
    )

    assert "<secret>" in shown
    for canary in (*CANARIES, "canary"):
        assert canary not in shown


def test_secret_cannot_leave_by_pickle() -> None:
    """A secret is not written into a file by accident."""
    with pytest.raises(TypeError):
        pickle.dumps(Secret("canary-key"))


def test_log_is_told_of_every_secret() -> None:
    """The list for the redaction holds every secret, a URL's password as it is meant and as it is written."""
    held = secret_settings().secrets()

    assert {*CANARIES, "canary%2Ddb", "postgresql://etl:canary%2Ddb@db.example.org/events"} == set(held)


@pytest.mark.parametrize(
    "url",
    ["postgresql://h/x?user=u&password=canary-db", "postgresql://u:canary-db@h1,h2/x", "postgresql://u:canary-db@/x"],
)
def test_password_is_found_wherever_a_url_holds_it(url: str) -> None:
    """The password of a URL may stand among its parameters."""
    assert "canary-db" in load({"DATABASE_URL": url}).secrets()


@pytest.mark.parametrize(
    ("address", "tokens"),
    [
        ("tgram://123456789:AAbb-cc_DD/12345678/", {"123456789", "AAbb-cc_DD", "12345678"}),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdn/#general", {"T1JJ3T3L2", "A1BRTD4JD", "TIiajkdn"}),
        ("mailtos://etl:secret@mail.example.org?to=a@example.org", {"secret", "etl:secret"}),
        ("json://u:p%40ss@localhost:8080/path?x=Tok3nTok3n", {"p%40ss", "p@ss", "u:p%40ss", "u:p@ss", "Tok3nTok3n"}),
        ("mmosts://chat.example.org/abcdefghijklmnopqrstuvwxyz", {"abcdefghijklmnopqrstuvwxyz"}),
    ],
)
def test_log_is_told_of_the_tokens_in_an_address(address: str, tokens: set[str]) -> None:
    """Libraries name parts of an address; hosts, ports and words of everyday stay readable in the log."""
    held = set(load({"NOTIFY_URLS": address}).secrets())

    assert held == {"canary-key", address, *tokens}


def test_log_is_told_of_the_heartbeat_address() -> None:
    """Who knows the address could silence the monitor."""
    held = load({"HEARTBEAT_URL": "https://hc-ping.com/7f0c0dd4-1111"}).secrets()

    assert set(held) == {"canary-key", "https://hc-ping.com/7f0c0dd4-1111", "7f0c0dd4-1111"}


def test_of_libpq_variables_only_the_password_is_secret() -> None:
    """Host and port are no secrets: striking out "5432" or "localhost" would spoil the log."""
    held = load({"PGHOST": "localhost", "PGPORT": "5432", "PGPASSWORD": "canary-db"}).secrets()

    assert held == ("canary-key", "canary-db")


@needs_posix
@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_files_with_secrets_are_for_their_owner(
    tmp_path: Path, account: dict[str, object], mode: int, warned: bool
) -> None:
    """A `.env` or key file that others may read is a warning with the command that mends it."""
    env, key = env_file(tmp_path, b"A=1"), key_file(tmp_path, account)
    env.chmod(mode)
    key.chmod(mode)
    warnings = load({"GOOGLE_SHEET_ID": "abc", "GOOGLE_CREDENTIALS_FILE": str(key)}, env_path=env).warnings

    expected = [f"{path} may be read by others (mode {mode:03o}); run: chmod 600 {path}" for path in (key, env)]
    assert [str(warning) for warning in warnings] == (expected if warned else [])


def test_missing_env_file_has_no_mode() -> None:
    """Where there is no file there is nothing to warn of."""
    assert load({}, env_path=Path("no-such-folder") / ".env").warnings == ()


# --- any text ---

_NAMES = [*sorted(DEFAULTS), *OLD_NAMES, "PGHOST", "PGPORT", "PGPASSWORD"]
_ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)
_LIKELY = st.sampled_from(
    ["~x/y", "http://[", "https://a@b", "postgresql://[", "postgresql://a:b@c/d?e", "../x", "true", "none", "localhost"]
)


@settings(deadline=None, max_examples=300)
@given(values=st.dictionaries(st.sampled_from(_NAMES), st.one_of(_ANY_TEXT, _LIKELY), max_size=8))
@example(values={"GOOGLE_SHEETS_ENDPOINT": "http://[", "GOOGLE_SHEET_ID": "x", "GOOGLE_CREDENTIALS_FILE": "x"})
@example(values={"DATABASE_URL": "postgresql://\ud800"})
@example(values={"LOGS_PATH": "~\x85"})
@example(values={"TIMEZONE": "\ud800"})
@example(values={"API_URL": "https://\u2100.example.org"})
def test_any_text_gives_settings_or_config_error(values: dict[str, str]) -> None:
    """Whatever stands in a variable, there are usable settings or one ConfigError, which can be worded."""
    with tempfile.TemporaryDirectory() as folder:
        loaded: Settings | None = None
        told = ["no fault"]
        try:
            loaded = load_settings({**LEAST, **MAIL, **values}, home=Path(folder))
        except ConfigError as error:
            told = [*Messages(Language.RUSSIAN).faults(error), *map(str, error.faults)]
        left = list(Path(folder).iterdir())

    assert told
    assert not any(re.search("[\n\r\x1b\0]", line) for line in told)
    assert loaded is None or (all(loaded.secrets()) and repr(loaded))
    assert left == []


@settings(deadline=None, max_examples=200)
@given(content=st.one_of(st.binary(max_size=200), _ANY_TEXT.map(lambda text: text.encode("utf-8", "replace"))))
@example(content=b"\xff\xfeA\x00=\x001\x00")
@example(content=b"A='\n'\n\x0b=\n")
def test_any_env_file_gives_values_or_config_error(content: bytes) -> None:
    """Whatever bytes a `.env` holds, it is read or refused in our own words."""
    with tempfile.TemporaryDirectory() as folder:
        values: dict[str, str] = {}
        told = ["no fault"]
        try:
            values = read_env_file(env_file(Path(folder), content))
        except ConfigError as error:
            told = [str(fault) for fault in error.faults]

    assert told
    assert all(isinstance(text, str) for pair in values.items() for text in pair)
