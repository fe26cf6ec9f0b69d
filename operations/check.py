"""`check`: is everything configured and reachable? Changes nothing, and ends in time whatever hangs."""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from exceptions import EtlError
from operations.probes import alarms, configuration, database, folders, freshness, mail, sheet, source
from operations.probes.findings import Finding, Grade, bad
from pipeline.job import unexpected

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

    from messages import Messages
    from pipeline.job import Job

log = logging.getLogger(__name__)

_LIMIT: Final = 16.0
"""Seconds that all probes have, side by side; starting and telling takes the rest of the twenty."""
_MARKS: Final = {Grade.GOOD: "✓", Grade.WARNING: "!", Grade.BAD: "✗"}


@dataclass
class _Part:
    """A part that is looked at in a thread of its own, which nobody waits for in the end."""

    name: str
    title: str
    probe: Callable[[], Sequence[Finding]]
    findings: Sequence[Finding] = ()
    done: threading.Event = field(default_factory=threading.Event)

    def start(self, messages: Messages) -> None:
        """Begin to look."""
        threading.Thread(target=self._look, args=(messages,), name=f"check-{self.name}", daemon=True).start()

    def _look(self, messages: Messages) -> None:
        try:
            self.findings = self.probe()
        except EtlError as error:
            self.findings = [bad(messages.error(error))]
        except Exception as error:  # noqa: BLE001  (told like the others, with the traceback in the log)
            self.findings = [bad(messages.error(unexpected(error)))]
        self.done.set()


def run(job: Job, _days: Sequence[date]) -> int:
    """Look at every part side by side; 0 where none is bad, else 1."""
    messages = job.messages
    started = time.monotonic()
    parts = _parts(job)
    for part in parts:
        part.start(messages)
    found: list[tuple[_Part, Finding]] = []
    for part in parts:
        for finding in _awaited(part, started + _LIMIT, messages):
            job.terminal.line(f"{_MARKS[finding.grade]} {part.title}: {finding.text}")
            log.debug("check: %s: %s", part.name, str(finding.grade))
            found.append((part, finding))
    is_bad = any(finding.grade is Grade.BAD for _, finding in found)
    if is_bad and job.options.freshness:
        _raise_alarm(job, found)
    if job.options.json:
        checks = [
            {"name": part.name, "part": part.title, "grade": finding.grade, "text": finding.text, **finding.facts}
            for part, finding in found
        ]
        job.terminal.machine(json.dumps({"status": "bad" if is_bad else "good", "checks": checks}))
    return int(is_bad)


def _raise_alarm(job: Job, found: Sequence[tuple[_Part, Finding]]) -> None:
    """Tell those whom the settings name that a day has not arrived."""
    if not job.settings.alarms.notify_urls:
        return
    from alarms.notice import Notice, without_people
    from alarms.watch import tell
    from logger import redactor

    clean = redactor(job.settings.secrets())
    body = without_people(clean("\n".join(finding.text for _, finding in found)))
    title = job.messages.text("Learning events: a day has not arrived")
    tell(job.settings.alarms, Notice(title, body, is_failure=True))


def _awaited(part: _Part, limit: float, messages: Messages) -> Sequence[Finding]:
    """Return what was found of a part, or that it took too long."""
    if part.done.wait(max(limit - time.monotonic(), 0)):
        return part.findings
    return [
        bad(
            messages.text(
                "no answer within %(seconds)s s; check the network and the address", seconds=str(round(_LIMIT))
            )
        )
    ]


def _parts(job: Job) -> list[_Part]:
    """Return what is to be looked at: everything, or for a monitor how old the last whole day is."""
    settings, messages, text = job.settings, job.messages, job.messages.text
    if limit := job.options.freshness:
        return [_Part("freshness", text("Freshness"), partial(freshness.probe, settings, messages, limit=limit))]
    look_at_mail = partial(mail.probe, settings, messages, send_test_letter=job.options.send_test_letter)
    return [
        _Part("settings", text("Settings"), partial(configuration.probe, settings, messages)),
        _Part("api", text("Events API"), partial(source.probe, settings, messages)),
        _Part("database", text("Database"), partial(database.probe, settings, messages)),
        _Part("sheet", text("Google Sheet"), partial(sheet.probe, settings, messages)),
        _Part("mail", text("Mail"), look_at_mail),
        _Part("folders", text("Folders"), partial(folders.probe, settings, messages)),
        _Part("alarms", text("Alarms"), partial(alarms.probe, settings, messages)),
    ]
