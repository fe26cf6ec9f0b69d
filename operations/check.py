"""`check`: is everything configured and reachable? Changes nothing."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from app_types import Window
from exceptions import DatabaseError, EtlError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from config import Settings
    from console.terminal import Terminal
    from messages import Messages

log = logging.getLogger(__name__)


class Grade(StrEnum):
    """How a part is."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


_MARKS = {Grade.GOOD: "✓", Grade.WARNING: "!", Grade.BAD: "✗"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one part."""

    part: str
    grade: Grade
    told: str


def run(settings: Settings, terminal: Terminal, messages: Messages, *, as_json: bool) -> int:
    """Look at every part in turn; 0 where none is bad, else 1."""
    probes: list[tuple[str, Callable[[Settings, Messages], tuple[Grade, str]]]] = [
        (messages.text("Events API"), _source),
        (messages.text("Database"), _database),
        (messages.text("Google Sheet"), _sheet),
        (messages.text("Mail"), _mail),
        (messages.text("Folders"), _folders),
    ]
    findings = []
    for part, probe in probes:
        try:
            grade, told = probe(settings, messages)
        except EtlError as error:
            grade, told = Grade.BAD, messages.error(error)
        findings.append(Finding(part, grade, told))
        terminal.line(f"{_MARKS[grade]} {part}: {told}")
        log.debug("check: %s: %s", part, str(grade))
    bad = any(finding.grade is Grade.BAD for finding in findings)
    if as_json:
        checks = [{"part": item.part, "grade": item.grade, "text": item.told} for item in findings]
        terminal.machine(json.dumps({"status": "bad" if bad else "good", "checks": checks}))
    return int(bad)


def _source(settings: Settings, messages: Messages) -> tuple[Grade, str]:
    """Ask for one minute of yesterday, once."""
    from dataclasses import replace

    import get_data

    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(days=1)
    api = replace(settings.api, attempts=1, deadline=min(settings.api.deadline, 15.0))
    for _ in get_data.fetch(api, Window(start, start + timedelta(minutes=1))):
        pass
    return Grade.GOOD, messages.text("answers, and the key is accepted")


def _database(settings: Settings, messages: Messages) -> tuple[Grade, str]:
    """Connect and compare the schema with what this program brings."""
    from warehouse import embedded
    from warehouse.connection import Server
    from warehouse.migrations import applied_versions, latest_version

    if settings.database.is_embedded and not embedded.exists(settings.database.embedded):
        return Grade.WARNING, messages.text("the embedded PostgreSQL will be made by the first run")
    with Server(settings.database) as server, server.connected() as database:
        applied = applied_versions(database)
        may_create = database.rows("SELECT has_schema_privilege(current_schema(), 'CREATE')")[0][0]
    if max(applied, default=0) > latest_version():
        raise DatabaseError(
            "The database was prepared by a newer version of this program (migration %(version)s).",
            remedy="Update the program.",
            version=str(max(applied)),
        )
    if max(applied, default=0) == latest_version():
        return Grade.GOOD, messages.text("reachable, its schema is up to date")
    if not may_create:
        raise DatabaseError(
            "The database role may not create tables, and some are missing.",
            remedy="Grant it CREATE on the schema for the first run.",
        )
    return Grade.WARNING, messages.text("reachable; the first run will bring its schema up to date")


def _sheet(settings: Settings, messages: Messages) -> tuple[Grade, str]:
    import google_sheets

    if settings.sheet is None:
        return Grade.WARNING, messages.text("not configured, will be left out")
    title = google_sheets.probe(settings.sheet)
    return Grade.GOOD, messages.text('can be opened: "%(title)s"', title=_printable(title))


def _mail(settings: Settings, messages: Messages) -> tuple[Grade, str]:
    import email_notifications

    if settings.mail is None:
        return Grade.WARNING, messages.text("not configured, will be left out")
    email_notifications.probe(settings.mail)
    return Grade.GOOD, messages.text("the mail server is reachable and lets us in")


def _folders(settings: Settings, messages: Messages) -> tuple[Grade, str]:
    """Look whether reports and logs can be written, without making a folder."""
    for folder in (settings.logs.path, settings.reports_path):
        existing = _existing(folder)
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            return Grade.BAD, messages.text("%(folder)s cannot be written to", folder=str(folder))
    return Grade.GOOD, messages.text("logs and reports can be written")


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:80])
