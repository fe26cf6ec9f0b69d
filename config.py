"""The settings: one immutable object, built from the environment and `.env`, with every fault told at once."""

from __future__ import annotations

import csv
import difflib
import ipaddress
import json
import logging
import os
import re
import ssl
import stat
import warnings
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from app_types import Language, Secret
from exceptions import ConfigError, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from apprise import NotifyBase

HOME = Path(__file__).resolve().parent
"""The folder of the program: `.env` lies here, and relative paths in settings start here."""

DEFAULTS: dict[str, str] = {
    "API_URL": "https://b2b.itresume.ru/api/statistics",
    "API_CLIENT": "",
    "API_CLIENT_KEY": "",
    "API_TIMEOUT": "30",
    "API_ATTEMPTS": "5",
    "API_DEADLINE": "900",
    "API_WINDOW_MINUTES": "60",
    "API_CONCURRENCY": "2",
    "DATABASE_URL": "",
    "DB_MAIN_TABLE_OPEN_RESET": "false",
    "LENGTH_OF_USER_ID_FIELD": "32",
    "TEST_APP_MODE": "false",
    "CURR_LANG": "RUSSIAN",
    "TIMEZONE": "UTC",
    "LOGS_PATH": ".logs",
    "MAX_NUM_LOGS_FILES": "3",
    "LOG_LEVEL": "INFO",
    "LOG_EVERY_INCOMING_LINE": "false",
    "GOOGLE_CREDENTIALS_FILE": "",
    "GOOGLE_SHEET_ID": "",
    "GOOGLE_SHEETS_ENDPOINT": "https://sheets.googleapis.com",
    "REPORTS_PATH": "reports",
    "COURSE_NAMES_FILE": "",
    "SMTP_SERVER": "",
    "SMTP_SECURITY": "ssl",
    "SMTP_PORT": "",
    "SMTP_USER": "",
    "SMTP_PASSWORD": "",
    "SMTP_CA_FILE": "",
    "SENDER_EMAIL": "",
    "EMAIL_ADDRESSES_FOR_MAILING": "",
    "NOTIFY_URLS": "",
    "HEARTBEAT_URL": "",
    "METRICS_FILE": "",
    "RETENTION_QUARANTINE_DAYS": "",
    "RETENTION_LEDGER_DAYS": "",
    "RETENTION_REPORTS_DAYS": "",
}
"""Every setting with its default; an empty text means "not set"."""

SECRETS = frozenset({"API_CLIENT_KEY", "DATABASE_URL", "SMTP_PASSWORD", "NOTIFY_URLS", "HEARTBEAT_URL"})
"""Settings whose values are never shown."""

OLD_NAMES = {"client": "API_CLIENT", "client_key": "API_CLIENT_KEY", "smtp_password": "SMTP_PASSWORD"}
"""Names that the first version of the script used; they lose against the new ones."""

_LIBPQ = {
    "PGHOST": "host",
    "PGHOSTADDR": "hostaddr",
    "PGPORT": "port",
    "PGDATABASE": "dbname",
    "PGUSER": "user",
    "PGSERVICE": "service",
    "PGPASSWORD": "password",
    "PGPASSFILE": "passfile",
    "PGSSLMODE": "sslmode",
    "PGSSLROOTCERT": "sslrootcert",
    "PGSSLCERT": "sslcert",
    "PGSSLKEY": "sslkey",
}
_LIBPQ_TARGETS = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE")

_LANGUAGES = {"russian": Language.RUSSIAN, "ru": Language.RUSSIAN, "english": Language.ENGLISH, "en": Language.ENGLISH}
_YES = frozenset({"true", "1", "yes", "on"})
_NO = frozenset({"false", "0", "no", "off"})
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?")
_SPREADSHEET_URL = re.compile(r"https://docs\.google\.com/spreadsheets/(?:u/\d+/)?d/([A-Za-z0-9_-]+)(?:[/?#].*)?")
_SPREADSHEET_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
_SHOWN = 80

_HEARTBEAT_EXAMPLE = "https://hc-ping.com/UUID"
_BETWEEN_ADDRESSES = re.compile(r"[\s,;]+(?=[A-Za-z0-9]+://)")
"""Where Apprise itself parts one address from the next; commas within an address are its own."""
_NOTIFY_ADDRESS = re.compile(r"([A-Za-z0-9]{1,32})://\S*")
_COMMON_SERVICES = frozenset(
    {"discord", "gotify", "gotifys", "json", "jsons", "mailto", "mailtos", "matrix", "matrixs", "mmost", "mmosts"}
    | {"ntfy", "ntfys", "pagerduty", "pover", "rocket", "rockets", "slack", "tgram", "workflows", "zulip"}
)
"""Services that need not be looked up: importing Apprise takes longer than the prompt may."""
_LOCAL_SERVICES = frozenset(
    {"blink1", "dbus", "exec", "file", "gio", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows"}
)
"""What shows or writes a message on this machine, through its desktop, devices or files."""

CourseNames = dict[str, dict[Language, str]]

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class ApiSettings:
    """The events API. Times are seconds; `window_minutes` is the length of one request's window."""

    url: str
    client: str
    client_key: Secret
    timeout: float
    attempts: int
    deadline: float
    window_minutes: int
    concurrency: int
    user_id_length: int


@dataclass(frozen=True, kw_only=True)
class DatabaseSettings:
    """Where PostgreSQL is: a URL, libpq's own variables, or (neither) the embedded server in `embedded`."""

    url: Secret | None
    libpq: Mapping[str, Secret]
    embedded: Path
    reset: bool

    @property
    def is_embedded(self) -> bool:
        """Whether the embedded PostgreSQL is meant."""
        return self.url is None and not self.libpq


@dataclass(frozen=True, kw_only=True)
class SheetSettings:
    """The Google Sheet and the service account that writes it."""

    credentials_file: Path
    spreadsheet_id: str
    endpoint: str


class MailSecurity(StrEnum):
    """How the connection to the mail server is protected."""

    SSL = "ssl"
    STARTTLS = "starttls"
    NONE = "none"


_SMTP_PORTS = {MailSecurity.SSL: 465, MailSecurity.STARTTLS: 587, MailSecurity.NONE: 25}


@dataclass(frozen=True, kw_only=True)
class MailSettings:
    """The mail server, the sender and the recipients; `languages` holds those who read another than the settings'."""

    server: str
    port: int
    security: MailSecurity
    user: str
    password: Secret
    ca_file: Path | None
    sender: str
    recipients: tuple[str, ...]
    languages: Mapping[str, Language] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """Log files: the folder, how many of ours are kept, and how much is written."""

    path: Path
    keep: int
    level: str
    every_event: bool


@dataclass(frozen=True, kw_only=True)
class AlarmSettings:
    """Who is told when something is wrong: services of Apprise, a heartbeat monitor, a file of figures."""

    notify_urls: tuple[Secret, ...] = ()
    heartbeat_url: Secret | None = None
    metrics_file: Path | None = None


@dataclass(frozen=True, kw_only=True)
class RetentionSettings:
    """How many days are kept; None means for ever."""

    quarantine_days: int | None = None
    ledger_days: int | None = None
    reports_days: int | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings, a part per stage; a stage is handed its own part.

    `course_names` are titles by course key and language. `warnings` are not faults: the run goes on, and they are
    logged at its start.
    """

    api: ApiSettings
    database: DatabaseSettings
    sheet: SheetSettings | None
    mail: MailSettings | None
    logs: LogSettings
    language: Language
    zone: ZoneInfo
    test_mode: bool
    reports_path: Path
    course_names: CourseNames
    alarms: AlarmSettings = field(default_factory=AlarmSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    warnings: tuple[Fault, ...] = ()

    def secrets(self) -> tuple[str, ...]:
        """Return the texts that no log line may hold."""
        texts = [self.api.client_key.reveal()]
        if "password" in self.database.libpq:
            texts.append(self.database.libpq["password"].reveal())
        if self.database.url:
            url = self.database.url.reveal()
            texts += [url, *_passwords(url)]
        if self.mail:
            texts.append(self.mail.password.reveal())
        for address in (*self.alarms.notify_urls, self.alarms.heartbeat_url):
            if address:
                texts += [address.reveal(), *_tokens(address.reveal())]
        return tuple(text for text in texts if text)


def read_env_file(path: Path) -> dict[str, str]:
    """Read a `.env` file: UTF-8 with or without a byte order mark, any line ends, values taken as they stand.

    A missing file is an empty one.

    Raises:
        ConfigError: the file cannot be read, or a line is no `NAME=value`.
    """
    from dotenv.parser import parse_stream

    try:
        with path.open(encoding="utf-8-sig") as stream:
            bindings = list(parse_stream(stream))
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError:
        raise ConfigError([Fault("%(file)s cannot be read: it is not UTF-8.", {"file": str(path)})]) from None
    except OSError as error:
        fields: dict[str, object] = {"file": str(path), "cause": error.strerror}
        raise ConfigError([Fault("%(file)s cannot be read: %(cause)s.", fields)]) from None
    faults = [
        Fault(
            "%(file)s, line %(line)s is not of the form NAME=value.",
            {"file": str(path), "line": str(_line_of(b.original.line, b.original.string))},
        )
        for b in bindings
        if b.error or (b.key is not None and b.value is None)
    ]
    if faults:
        raise ConfigError(faults)
    return {b.key: b.value for b in bindings if b.key is not None and b.value is not None}


def chosen_language(values: Mapping[str, str]) -> Language:
    """Return the language of the settings, or the default where it is missing or wrong."""
    return _LANGUAGES.get(values.get("CURR_LANG", "").strip().lower(), Language.RUSSIAN)


def parse_language(text: str) -> Language | None:
    """Read the name of a language as `CURR_LANG` and `--language` accept it."""
    return _LANGUAGES.get(text.strip().lower())


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine itself."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def notify_service(address: str) -> NotifyBase | None:
    """Return the service of Apprise that an address of `NOTIFY_URLS` stands for; None where it cannot be used."""
    logging.getLogger("apprise").disabled = True  # it writes addresses
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it stands in for `imghdr`, which it still tries first
        from apprise import Apprise, AppriseAsset

        asset = AppriseAsset(http_redirects=False, pgp_autogen=False, pem_autogen=False)
        return Apprise.instantiate(address, asset=asset)


def load_settings(
    environ: Mapping[str, str],
    env_file: Mapping[str, str] | None = None,
    *,
    env_path: Path | None = None,
    home: Path = HOME,
) -> Settings:
    """Build the settings; the environment wins over the `.env` file's values.

    Args:
        environ: the environment.
        env_file: what `read_env_file` gave.
        env_path: the file itself, whose mode is looked at.
        home: where relative paths start.

    Raises:
        ConfigError: with every fault found.
    """
    env_file = env_file or {}
    reader = _Reader(_renamed({**env_file, **environ}), home)
    reader.report_typos(environ, env_file)
    api = _api(reader)
    database = _database(reader)
    sheet = _sheet(reader)
    mail = _mail(reader)
    logs = LogSettings(
        path=reader.path("LOGS_PATH"),
        keep=reader.integer("MAX_NUM_LOGS_FILES", 1, 10_000),
        level=reader.choice("LOG_LEVEL", {name: name for name in ("DEBUG", "INFO", "WARNING", "ERROR")}, str.upper),
        every_event=reader.boolean("LOG_EVERY_INCOMING_LINE"),
    )
    language = reader.choice("CURR_LANG", _LANGUAGES, str.lower, shown="RUSSIAN, ENGLISH, ru, en")
    zone = reader.zone("TIMEZONE")
    test_mode = reader.boolean("TEST_APP_MODE")
    reports_path = reader.path("REPORTS_PATH")
    course_names = _course_names(reader)
    alarms = _alarms(reader)
    retention = RetentionSettings(
        quarantine_days=reader.days("RETENTION_QUARANTINE_DAYS"),
        ledger_days=reader.days("RETENTION_LEDGER_DAYS"),
        reports_days=reader.days("RETENTION_REPORTS_DAYS"),
    )
    if env_path is not None:
        reader.warn_of_open_file(env_path)
    if reader.faults:
        raise ConfigError(reader.faults)
    return Settings(
        api=api,
        database=database,
        sheet=sheet,
        mail=mail,
        logs=logs,
        language=language,
        zone=zone,
        test_mode=test_mode,
        reports_path=reports_path,
        course_names=course_names,
        alarms=alarms,
        retention=retention,
        warnings=tuple(reader.warnings),
    )


def _renamed(values: Mapping[str, str]) -> dict[str, str]:
    """Return the values with old names replaced by new ones, where those are not given."""
    renamed = dict(values)
    for old, new in OLD_NAMES.items():
        if old in renamed and not renamed.get(new, "").strip():
            renamed[new] = renamed[old]
    return renamed


class _Reader:
    """Reads settings one by one and gathers the faults; after a fault it goes on with a stand-in value."""

    def __init__(self, values: Mapping[str, str], home: Path) -> None:
        self._values = values
        self._home = home
        self.faults: list[Fault] = []
        self.warnings: list[Fault] = []

    def fault(self, template: str, **fields: object) -> None:
        fault = Fault(template, fields)
        if fault not in self.faults:
            self.faults.append(fault)

    def given(self, name: str) -> bool:
        return bool(self._values.get(name, "").strip())

    def text(self, name: str) -> str:
        """Return the value, or the default where it is missing or blank."""
        value = self._values.get(name, "").strip() or DEFAULTS.get(name, "")
        if any(ord(character) < 32 or ord(character) == 127 for character in value):
            self.fault("%(name)s holds a line break or another control character.", name=name)
            return DEFAULTS.get(name, "")
        if name == "API_CLIENT" or (name in SECRETS and name != "DATABASE_URL"):
            try:
                value.encode()
            except UnicodeEncodeError:
                self.fault("%(name)s is not valid UTF-8.", name=name)
                return DEFAULTS.get(name, "")
        return value

    def required(self, name: str) -> str:
        value = self.text(name)
        if not self.given(name):
            near = [key for key in self._values if key not in DEFAULTS and _nearest(key) == name]
            if near:
                self.fault("%(name)s is not set; is %(typo)s a slip of the pen?", name=name, typo=_shown(near[0]))
            else:
                self.fault("%(name)s is not set.", name=name)
        return value

    def integer(self, name: str, least: int, most: int) -> int:
        text = self.text(name)
        if re.fullmatch(r"\d{1,9}", text, re.ASCII) and least <= int(text) <= most:
            return int(text)
        self.fault(
            "%(name)s must be a whole number from %(least)s to %(most)s, not %(value)s.",
            name=name,
            least=str(least),
            most=str(most),
            value=_shown(text),
        )
        return least

    def days(self, name: str) -> int | None:
        """Return a number of days, or None where it is not set."""
        return self.integer(name, 1, 36_500) if self.given(name) else None

    def seconds(self, name: str, most: int) -> float:
        text = self.text(name)
        if re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text, re.ASCII) and 0 < float(text) <= most:
            return float(text)
        self.fault(
            "%(name)s must be a number of seconds, more than 0 and at most %(most)s, not %(value)s.",
            name=name,
            most=str(most),
            value=_shown(text),
        )
        return 1.0

    def boolean(self, name: str) -> bool:
        text = self.text(name).lower()
        if text not in _YES | _NO:
            self.fault("%(name)s must be true or false, not %(value)s.", name=name, value=_shown(text))
        return text in _YES

    def choice(self, name: str, values: Mapping[str, _T], fold: Callable[[str], str], shown: str | None = None) -> _T:
        text = self.text(name)
        if fold(text) in values:
            return values[fold(text)]
        self.fault(
            "%(name)s must be one of %(choices)s, not %(value)s.",
            name=name,
            choices=shown or ", ".join(values),
            value=_shown(text),
        )
        return next(iter(values.values()))

    def zone(self, name: str) -> ZoneInfo:
        text = self.text(name)
        try:
            return ZoneInfo(text)
        except (ValueError, OSError, KeyError):
            self.fault(
                "%(name)s must be the IANA name of a time zone such as Europe/Moscow, not %(value)s.",
                name=name,
                value=_shown(text),
            )
            return ZoneInfo("UTC")

    def path(self, name: str) -> Path:
        text = self.text(name)
        try:
            return self._home / Path(text).expanduser()
        except RuntimeError:
            self.fault("%(name)s: the home folder of %(value)s is not known.", name=name, value=_shown(text))
            return self._home / DEFAULTS.get(name, "")

    def file(self, name: str) -> Path | None:
        """Return the path of a file that is there and readable; None where it is not set or faulty."""
        if not self.text(name):
            return None
        path = self.path(name)
        if not _is_readable_file(path):
            self.fault("%(name)s: there is no readable file %(file)s.", name=name, file=str(path))
            return None
        return path

    def url(self, name: str, example: str = "") -> str:
        """Return an https URL, or an http one of this machine; a password in it is a fault."""
        text = self.text(name)
        try:
            parts = urlsplit(text)
            host, _ = parts.hostname, parts.port
        except ValueError:
            parts, host = urlsplit(""), None
        if parts.scheme not in {"http", "https"} or not host or not _is_host(host):
            self.fault("%(name)s must be a URL such as %(example)s.", name=name, example=example or DEFAULTS[name])
        elif parts.username is not None or parts.password is not None or parts.fragment:
            self.fault("%(name)s must hold neither a user, nor a password, nor a fragment.", name=name)
        elif parts.scheme == "http" and not is_loopback(host):
            self.fault(
                "%(name)s must begin with https://: over plain HTTP the key could be read on the way.", name=name
            )
        return text

    def report_typos(self, environ: Mapping[str, str], env_file: Mapping[str, str]) -> None:
        """Note names close to a known one: a fault in our own file, a warning in the shared environment."""
        template = "%(typo)s is not a setting; did you mean %(name)s?"
        for name in env_file:
            if near := _nearest(name):
                self.fault(template, typo=_shown(name), name=near)
        for name in environ:
            if name not in env_file and (near := _nearest(name)):
                self.warnings.append(Fault(template, {"typo": _shown(name), "name": near}))

    def warn_of_open_file(self, path: Path) -> None:
        """Warn of a file with secrets that others on the machine may read."""
        if os.name != "posix" or not _is_readable_file(path):
            return
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            fields: dict[str, object] = {"file": str(path), "mode": f"{mode:03o}"}
            self.warnings.append(
                Fault("%(file)s may be read by others (mode %(mode)s); run: chmod 600 %(file)s", fields)
            )


def _nearest(name: str) -> str | None:
    """Return the setting that an unknown name was probably meant for."""
    if name in DEFAULTS or name in OLD_NAMES:
        return None
    near = difflib.get_close_matches(name.upper(), DEFAULTS, n=1, cutoff=0.85)
    return near[0] if near else None


def _shown(text: str) -> str:
    """Return a value as a fault may show it: cut, quoted, without control characters."""
    cut = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return "".join(character if character.isprintable() else "?" for character in f'"{cut}"')


def _api(reader: _Reader) -> ApiSettings:
    return ApiSettings(
        url=reader.url("API_URL"),
        client=reader.required("API_CLIENT"),
        client_key=Secret(reader.required("API_CLIENT_KEY")),
        timeout=reader.seconds("API_TIMEOUT", 3_600),
        attempts=reader.integer("API_ATTEMPTS", 1, 100),
        deadline=reader.seconds("API_DEADLINE", 86_400),
        window_minutes=reader.integer("API_WINDOW_MINUTES", 1, 1_500),
        concurrency=reader.integer("API_CONCURRENCY", 1, 32),
        user_id_length=reader.integer("LENGTH_OF_USER_ID_FIELD", 1, 255),
    )


def _database(reader: _Reader) -> DatabaseSettings:
    url: Secret | None = None
    libpq: dict[str, Secret] = {}
    if text := reader.text("DATABASE_URL"):
        url = Secret(text)
        if not _is_postgres_url(text):
            reader.fault(
                "%(name)s must be of the form %(form)s.",
                name="DATABASE_URL",
                form="postgresql://USER:PASSWORD@HOST:PORT/NAME",
            )
    elif any(reader.given(name) for name in _LIBPQ_TARGETS):
        libpq = {keyword: Secret(reader.text(name)) for name, keyword in _LIBPQ.items() if reader.given(name)}
    return DatabaseSettings(
        url=url,
        libpq=libpq,
        embedded=reader._home / ".data" / "postgres",  # noqa: SLF001  (same module)
        reset=reader.boolean("DB_MAIN_TABLE_OPEN_RESET"),
    )


def _is_postgres_url(text: str) -> bool:
    if not text.startswith(("postgresql://", "postgres://")):
        return False
    import psycopg2
    from psycopg2.extensions import parse_dsn

    try:
        parts = parse_dsn(text)
    except (psycopg2.Error, ValueError):
        return False
    # An "@" that is not percent-encoded in a password would make a part of it the host, and hosts are shown.
    return not any("@" in str(parts.get(name, "")) for name in ("host", "port", "dbname"))


def _passwords(url: str) -> list[str]:
    """Return the password of a database URL, as libpq reads it and as it is written there."""
    from psycopg2.extensions import parse_dsn

    password = parse_dsn(url).get("password", "")
    written = [text for text in re.split(r"[:@/?&=]", url) if text and unquote(text) == password]
    return [password, *written]


def _sheet(reader: _Reader) -> SheetSettings | None:
    endpoint = reader.url("GOOGLE_SHEETS_ENDPOINT").rstrip("/")
    sheet = reader.text("GOOGLE_SHEET_ID")
    credentials = reader.text("GOOGLE_CREDENTIALS_FILE")
    if not sheet and not credentials:
        return None
    if not sheet or not credentials:
        given, missing = (
            ("GOOGLE_SHEET_ID", "GOOGLE_CREDENTIALS_FILE") if sheet else ("GOOGLE_CREDENTIALS_FILE", "GOOGLE_SHEET_ID")
        )
        reader.fault("%(given)s is set, but %(missing)s is not: the sheet needs both.", given=given, missing=missing)
    spreadsheet_id = sheet
    if match := _SPREADSHEET_URL.fullmatch(sheet):
        spreadsheet_id = match[1]
    elif sheet and not _SPREADSHEET_ID.fullmatch(sheet):
        reader.fault("%(name)s must be the id or the address of a Google spreadsheet.", name="GOOGLE_SHEET_ID")
    path = reader.file("GOOGLE_CREDENTIALS_FILE")
    if path is None:
        return None
    reader.warn_of_open_file(path)
    _check_service_account(reader, path, endpoint)
    return SheetSettings(credentials_file=path, spreadsheet_id=spreadsheet_id, endpoint=endpoint)


def _check_service_account(reader: _Reader, path: Path, endpoint: str) -> None:
    """Note what keeps a file from being the key of a service account, without showing any of it."""
    fields: dict[str, Any] = {"name": "GOOGLE_CREDENTIALS_FILE", "file": str(path)}
    try:
        account = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        reader.fault("%(name)s: %(file)s is not a JSON file.", **fields)
        return
    needed = ("client_email", "private_key", "token_uri")
    is_account = isinstance(account, dict) and account.get("type") == "service_account"
    if not is_account or not all(isinstance(account.get(key), str) and account[key] for key in needed):
        reader.fault("%(name)s: %(file)s is not the key of a Google service account.", **fields)
        return
    if not _is_private_key(account["private_key"]):
        reader.fault("%(name)s: the private key in %(file)s is damaged; download a new key.", **fields)
    if not _is_trusted_token_uri(account["token_uri"], endpoint):
        reader.fault("%(name)s: token_uri in %(file)s is not an address of Google.", **fields)


def _is_private_key(pem: str) -> bool:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        load_pem_private_key(pem.encode(), password=None)
    except Exception:  # noqa: BLE001  (cryptography documents no closed list; all of them mean "unusable")
        return False
    return True


def _is_trusted_token_uri(uri: str, endpoint: str) -> bool:
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
        own = urlsplit(endpoint).hostname
    except ValueError:
        return False
    if not _is_host(host) or any(ord(character) <= 32 for character in uri):
        return False
    if is_loopback(host):
        return parts.scheme in {"http", "https"}
    return parts.scheme == "https" and (host.endswith(".googleapis.com") or host in {"accounts.google.com", own})


def _course_names(reader: _Reader) -> CourseNames:
    """Read the titles of courses: a CSV file with the columns key, Russian, English, with or without a heading."""
    path = reader.file("COURSE_NAMES_FILE")
    if path is None:
        return {}
    names: CourseNames = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            for number, row in enumerate(csv.reader(stream), start=1):
                if not row or (number == 1 and row[0].strip().lower() == "key"):
                    continue
                if len(row) != len(Language) + 1 or not all(cell.strip() and cell.isprintable() for cell in row):
                    reader.fault(
                        "%(name)s: line %(line)s of %(file)s is not of the form key,Russian,English.",
                        name="COURSE_NAMES_FILE",
                        line=str(number),
                        file=str(path),
                    )
                    continue
                key, russian, english = (cell.strip() for cell in row)
                names[key] = {Language.RUSSIAN: russian, Language.ENGLISH: english}
    except (OSError, UnicodeDecodeError, csv.Error):
        reader.fault("%(name)s: %(file)s is not a CSV file in UTF-8.", name="COURSE_NAMES_FILE", file=str(path))
    return names


def _mail(reader: _Reader) -> MailSettings | None:
    server = reader.text("SMTP_SERVER")
    security = reader.choice("SMTP_SECURITY", {item.value: item for item in MailSecurity}, str.lower)
    port = reader.integer("SMTP_PORT", 1, 65_535) if reader.given("SMTP_PORT") else _SMTP_PORTS[security]
    ca_file = reader.file("SMTP_CA_FILE")
    if not server:
        return None
    if not _is_host(server):
        reader.fault("%(name)s must be the name of a host, not %(value)s.", name="SMTP_SERVER", value=_shown(server))
    if security is MailSecurity.NONE and not is_loopback(server):
        reader.fault("SMTP_SECURITY=none is for a mail server on this machine; use ssl or starttls.")
    if ca_file and not _is_ca_file(ca_file):
        reader.fault("%(name)s: %(file)s holds no certificates.", name="SMTP_CA_FILE", file=str(ca_file))
    user, password = reader.text("SMTP_USER"), reader.text("SMTP_PASSWORD")
    if user and not password:
        reader.required("SMTP_PASSWORD")
    sender = reader.required("SENDER_EMAIL")
    listed = [part.strip() for part in reader.required("EMAIL_ADDRESSES_FOR_MAILING").split(",")]
    split = [_address_and_language(item) for item in listed if item]
    recipients = tuple(dict.fromkeys(address for address, _ in split))
    if reader.text("EMAIL_ADDRESSES_FOR_MAILING") and not recipients:
        reader.fault("%(name)s is not set.", name="EMAIL_ADDRESSES_FOR_MAILING")
    for name, address in [("SENDER_EMAIL", sender), *(("EMAIL_ADDRESSES_FOR_MAILING", item) for item in recipients)]:
        if address and not _ADDRESS.fullmatch(address):
            reader.fault(
                "%(name)s: %(value)s is not an e-mail address; addresses are separated by commas.",
                name=name,
                value=_shown(address),
            )
    return MailSettings(
        server=server,
        port=port,
        security=security,
        user=user or (sender if password else ""),
        password=Secret(password),
        ca_file=ca_file,
        sender=sender,
        recipients=recipients,
        languages={address: language for address, language in split if language},
    )


def _alarms(reader: _Reader) -> AlarmSettings:
    heartbeat = Secret(reader.url("HEARTBEAT_URL", _HEARTBEAT_EXAMPLE)) if reader.given("HEARTBEAT_URL") else None
    metrics: Path | None = None
    if reader.given("METRICS_FILE"):
        metrics = reader.path("METRICS_FILE")
        if metrics.suffix != ".prom":
            reader.warnings.append(
                Fault("%(name)s: node_exporter reads only files that end in .prom.", {"name": "METRICS_FILE"})
            )
    return AlarmSettings(notify_urls=_notify_urls(reader), heartbeat_url=heartbeat, metrics_file=metrics)


def _notify_urls(reader: _Reader) -> tuple[Secret, ...]:
    """Read the addresses of Apprise. They hold tokens, so a fault names an address by its number and its scheme."""
    name = "NOTIFY_URLS"
    addresses = [part for part in _BETWEEN_ADDRESSES.split(reader.text(name).strip(" ,;")) if part]
    for number, address in enumerate(addresses, start=1):
        match = _NOTIFY_ADDRESS.fullmatch(address)
        if match is None:
            reader.fault(
                "%(name)s: address %(number)s is not of the form SERVICE://…; a blank within it is written %%20.",
                name=name,
                number=str(number),
            )
        elif (scheme := match[1].lower()) in _LOCAL_SERVICES:
            reader.fault(
                "%(name)s: address %(number)s (%(scheme)s://…) reaches only this machine; "
                "name a service on the network.",
                name=name,
                number=str(number),
                scheme=scheme,
            )
        elif scheme not in _COMMON_SERVICES and notify_service(address) is None:
            reader.fault(
                "%(name)s: Apprise has no use for address %(number)s (%(scheme)s://…): the service is unknown, or a "
                "part of the address is missing.",
                name=name,
                number=str(number),
                scheme=scheme,
            )
    return tuple(Secret(address) for address in dict.fromkeys(addresses))


def _tokens(address: str) -> list[str]:
    """Return the parts of an address that may be a password or a token, as written and as meant.

    Passwords always; of the rest what is no host, no port and no word: the longer ones with a digit or a capital.
    """
    _, _, rest = address.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    login, at, _ = authority.rpartition("@")
    parts = [login, *login.split(":")[1:]] if at else []
    parts += [part for part in re.split(r"[/?#&=:,;@]", rest) if _may_be_token(part)]
    return list(dict.fromkeys(text for part in parts for text in (part, unquote(part)) if text))


def _may_be_token(part: str) -> bool:
    if len(part) < 6 or (len(part) < 40 and "." in part) or (part.isdigit() and len(part) < 8):
        return False
    return len(part) >= 16 or any(character.isdigit() or character.isupper() for character in part)


def _address_and_language(text: str) -> tuple[str, Language | None]:
    """Read `address` or `address:language`."""
    address, _, name = text.rpartition(":")
    language = parse_language(name)
    return (address.strip(), language) if address and language else (text, None)


def _line_of(first: int, text: str) -> int:
    """Return the line where a binding itself stands; the parser counts from the blank lines before it."""
    return first + text[: len(text) - len(text.lstrip())].count("\n")


def _is_readable_file(path: Path) -> bool:
    try:
        return path.is_file() and os.access(path, os.R_OK)
    except OSError:  # a name too long, a folder without rights
        return False


def _is_host(text: str) -> bool:
    """Tell whether a text is the name or the address of a host, in Unicode or not."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        try:
            return _HOST_NAME.fullmatch(text.encode("idna").decode()) is not None
        except UnicodeError:
            return False
    return True


def _is_ca_file(path: Path) -> bool:
    try:
        ssl.create_default_context(cafile=str(path))
    except (ssl.SSLError, OSError):
        return False
    return True
