"""The names of all settings, with their defaults, and what was probably meant by a name that is none."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def with_new_names(values: Mapping[str, str]) -> dict[str, str]:
    """Return the values with old names replaced by new ones, where those are not given."""
    renamed = dict(values)
    for old, new in OLD_NAMES.items():
        if old in renamed and not renamed.get(new, "").strip():
            renamed[new] = renamed[old]
    return renamed


def nearest(name: str) -> str | None:
    """Return the setting that an unknown name was probably meant for."""
    if name in DEFAULTS or name in OLD_NAMES:
        return None
    near = difflib.get_close_matches(name.upper(), DEFAULTS, n=1, cutoff=0.85)
    return near[0] if near else None
