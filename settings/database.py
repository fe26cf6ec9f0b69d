"""The part of the database."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from app_types import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from settings.reader import Reader

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

    def secrets(self) -> list[str]:
        """Return the texts that no log line may hold."""
        texts = [self.libpq["password"].reveal()] if "password" in self.libpq else []
        if self.url:
            url = self.url.reveal()
            texts += [url, *_passwords(url)]
        return texts


def read_database(reader: Reader) -> DatabaseSettings:
    """Read where PostgreSQL is; a URL wins over the variables of libpq."""
    url: Secret | None = None
    libpq: dict[str, Secret] = {}
    if text := reader.value("DATABASE_URL"):
        url = Secret(text)
        if not _is_postgres_url(text):
            reader.fault(
                "%(name)s must be of the form %(form)s.",
                name="DATABASE_URL",
                form="postgresql://USER:PASSWORD@HOST:PORT/NAME",
            )
    elif any(reader.given(name) for name in _LIBPQ_TARGETS):
        libpq = {keyword: Secret(reader.value(name)) for name, keyword in _LIBPQ.items() if reader.given(name)}
    return DatabaseSettings(
        url=url,
        libpq=libpq,
        embedded=reader.home / ".data" / "postgres",
        reset=reader.boolean("DB_MAIN_TABLE_OPEN_RESET"),
    )


def _is_postgres_url(text: str) -> bool:
    """Tell whether libpq reads a text as a URL of whose parts none may be a piece of the password."""
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
