"""Runs of the ledger as people and scripts read them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from app_types import Mode
from console.summary import COUNTS, mail_text, sheet_text, status_text
from console.tables import Column, table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, tzinfo

    from console.terminal import Terminal
    from messages import Messages
    from warehouse.ledger import LedgerRow
    from warehouse.revisions import Recorded


def show_runs(terminal: Terminal, rows: Sequence[LedgerRow], zone: tzinfo, messages: Messages) -> None:
    """Show runs of many days, the newest last, as a reader of a terminal expects, and what went wrong in them."""
    text = messages.text
    columns = (
        Column("№", is_short=True),
        Column(text("Date"), is_short=True),
        Column(text("Begun"), is_short=True),
        Column(text("Result")),
        Column(text("New"), is_number=True),
        Column(text("Corrected"), is_number=True),
        Column(text("Rejected"), is_number=True),
    )
    cells = [
        (
            str(row.run_id),
            row.date.isoformat(),
            f"{row.started_at.astimezone(zone):%Y-%m-%d %H:%M}",
            _result(row, messages),
            *_numbers([row.counts.loaded, row.counts.updated, row.counts.rejected] if row.counts else [], messages),
        )
        for row in rows
    ]
    terminal.show(table(text("Runs (times: %(zone)s)", zone=str(zone)), columns, cells))
    _show_errors(terminal, rows, messages)


def show_day(
    terminal: Terminal,
    day: date,
    rows: Sequence[LedgerRow],
    revisions: Sequence[Recorded],
    quarantine: tuple[int, str],
    zone: tzinfo,
    messages: Messages,
) -> None:
    """Show every run of a day, the revisions of its figures, and what lies in quarantine.

    `quarantine` is the number of events there and the command that shows them.
    """
    text = messages.text
    quarantined, command = quarantine
    columns = (
        Column("№", is_short=True),
        Column(text("Begun"), is_short=True),
        Column(text("Took"), is_short=True),
        Column(text("Result")),
        *(
            Column(name, is_number=True)
            for name in (text("Received"), text("New"), text("Corrected"), text("Rejected"))
        ),
    )
    cells = [
        (
            str(row.run_id),
            f"{row.started_at.astimezone(zone):%Y-%m-%d %H:%M}",
            messages.duration(row.finished_at - row.started_at) if row.finished_at else "",
            _result(row, messages),
            *_numbers(
                [row.counts.received, row.counts.loaded, row.counts.updated, row.counts.rejected] if row.counts else [],
                messages,
            ),
        )
        for row in rows
    ]
    terminal.show(table(text("Runs of %(date)s (times: %(zone)s)", date=day, zone=str(zone)), columns, cells))
    for row in rows:
        if details := _details(row, messages):
            terminal.paragraph(f"№ {row.run_id}: {details}")
    _show_errors(terminal, rows, messages)
    terminal.line("")
    if revisions:
        _show_revisions(terminal, revisions, zone, messages)
    if quarantined:
        terminal.line(
            messages.plural(
                "%(n)s event lies in quarantine: %(command)s",
                "%(n)s events lie in quarantine: %(command)s",
                quarantined,
                command=command,
            )
        )


def _result(row: LedgerRow, messages: Messages) -> str:
    """Say how a run ended, and what it was if not a day's."""
    told = status_text(row.status, messages)
    return told if row.mode is Mode.FULL else f"{told} ({mode_text(row.mode, messages)})"


def _details(row: LedgerRow, messages: Messages) -> str:
    """Return what else is known of a run, in a line."""
    text, parts = messages.text, []
    if row.counts:
        counts = row.counts
        parts += [
            text("already present: %(number)s", number=counts.already_present),
            text("with defects: %(number)s", number=counts.defective),
            text("missing at the source: %(number)s", number=counts.missing_at_source),
        ]
    if row.sheet:
        parts.append(text("Google Sheet: %(outcome)s", outcome=sheet_text(row.sheet, messages)))
    if row.mail:
        parts.append(text("letter: %(outcome)s", outcome=mail_text(row.mail, messages)))
    return "; ".join(parts)


def _show_revisions(terminal: Terminal, revisions: Sequence[Recorded], zone: tzinfo, messages: Messages) -> None:
    text = messages.text
    numbers = (text("Students"), text("Code runs"), text("Submits"), text("Successful submits"))
    columns = (
        Column(text("Revision"), is_short=True),
        Column(text("Recorded"), is_short=True),
        Column(text("Scope"), is_short=True),
        *(Column(name, is_number=True) for name in numbers),
    )
    cells = [
        (
            str(each.number),
            f"{each.recorded_at.astimezone(zone):%Y-%m-%d %H:%M}",
            text("whole day") if each.complete else text("not whole"),
            *_numbers(list(asdict(each.statistics).values()), messages),
        )
        for each in revisions
    ]
    terminal.show(table(text("Figures of the day"), columns, cells))


def json_line(row: LedgerRow, messages: Messages) -> str:
    """Return a run as one line of JSON, in ASCII."""
    counts = asdict(row.counts) if row.counts else dict.fromkeys(COUNTS)
    return json.dumps(
        {
            "id": row.run_id,
            "date": row.date.isoformat(),
            "mode": row.mode,
            "status": row.status,
            "complete": row.complete,
            **counts,
            "sheet": row.sheet,
            "mail": row.mail,
            "started_at": row.started_at.isoformat(),
            "finished_at": row.finished_at.isoformat() if row.finished_at else None,
            "error": messages.error(row.error) if row.error else None,
        }
    )


def mode_text(mode: Mode, messages: Messages) -> str:
    """Return what a run covered, in a word."""
    return {
        Mode.FULL: messages.text("day"),
        Mode.TEST: messages.text("test"),
        Mode.REPLAY: messages.text("replay"),
        Mode.ADOPTION: messages.text("adoption"),
    }[mode]


def _numbers(values: Sequence[int], messages: Messages) -> list[str]:
    return [messages.number(value) for value in values]


def _show_errors(terminal: Terminal, rows: Sequence[LedgerRow], messages: Messages) -> None:
    for row in rows:
        if row.error:
            terminal.paragraph(f"№ {row.run_id}: {messages.error(row.error)}")
