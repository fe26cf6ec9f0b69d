"""The part of the Google Sheet, with the key of the service account looked through."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from settings.hosts import is_host, is_loopback

if TYPE_CHECKING:
    from pathlib import Path

    from settings.reader import Reader

_SPREADSHEET_URL = re.compile(r"https://docs\.google\.com/spreadsheets/(?:u/\d+/)?d/([A-Za-z0-9_-]+)(?:[/?#].*)?")
_SPREADSHEET_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")


@dataclass(frozen=True, kw_only=True)
class SheetSettings:
    """The Google Sheet and the service account that writes it."""

    credentials_file: Path
    spreadsheet_id: str
    endpoint: str


def read_sheet(reader: Reader) -> SheetSettings | None:
    """Read which sheet is drawn, and as whom; None where there is none."""
    endpoint = reader.url("GOOGLE_SHEETS_ENDPOINT").rstrip("/")
    sheet = reader.value("GOOGLE_SHEET_ID")
    credentials = reader.value("GOOGLE_CREDENTIALS_FILE")
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


def _check_service_account(reader: Reader, path: Path, endpoint: str) -> None:
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
    """Tell whether a text is a private key that can be used."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        load_pem_private_key(pem.encode(), password=None)
    except Exception:  # noqa: BLE001  (cryptography documents no closed list; all of them mean "unusable")
        return False
    return True


def _is_trusted_token_uri(uri: str, endpoint: str) -> bool:
    """Tell whether tokens may be fetched there: from Google, this machine, or the gateway that was configured."""
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
        own = urlsplit(endpoint).hostname
    except ValueError:
        return False
    if not is_host(host) or any(ord(character) <= 32 for character in uri):
        return False
    if is_loopback(host):
        return parts.scheme in {"http", "https"}
    return parts.scheme == "https" and (host.endswith(".googleapis.com") or host in {"accounts.google.com", own})
