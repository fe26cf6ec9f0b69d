"""The end of a run, told to the operator as a table and to scripts as a JSON object."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from app_types import MailOutcome, Mode, RunStatus, SheetOutcome
from console.tables import blank_table
from report.parts import Trust

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from app_types import DayOutcome
    from console.arguments import Options
    from console.terminal import Terminal
    from messages import Messages
    from report.content import DayContent, Row

COUNTS = ("received", "loaded", "updated", "already_present", "rejected", "defective", "missing_at_source")
_STATISTICS = ("unique_users", "runs", "submits", "successful_submits")
_MOST_PAGES = 4
_MARKS = {RunStatus.OK: "✓", RunStatus.PARTIAL: "!", RunStatus.FAILED: "✗", RunStatus.INTERRUPTED: "✗"}
_TRUST_MARKS = {Trust.GOOD: "✓", Trust.WARNING: "!", Trust.BAD: "!"}


def json_line(outcome: DayOutcome, messages: Messages) -> str:
    """Return the summary of a day as one line of JSON, in ASCII."""
    counts = asdict(outcome.counts) if outcome.counts else dict.fromkeys(COUNTS)
    statistics = asdict(outcome.statistics) if outcome.statistics else None
    return json.dumps(
        {
            "date": outcome.date.isoformat(),
            "mode": outcome.mode,
            "complete": outcome.complete,
            "status": outcome.status,
            **counts,
            "statistics": statistics,
            "sheet": outcome.sheet,
            "mail": outcome.mail,
            "error": _error_text(outcome, messages),
            "run_id": outcome.run_id,
            "seconds": round(outcome.duration.total_seconds(), 3),
        }
    )


def show_day(
    terminal: Terminal,
    outcome: DayOutcome,
    content: DayContent | None,
    messages: Messages,
    options: Options,
    *,
    brief: bool = False,
) -> None:
    """Show one day: figures, counts, sheet, letter, and how it ended; `brief` leaves out what is usual."""
    if content and not brief:
        terminal.line("")
        terminal.show(_day_table(outcome, content, messages))
        terminal.line(f"{_TRUST_MARKS[content.trust.trust]} {content.trust.text}")
        if content.correction_text:
            changes = ", ".join(f"{each.label}: {each.old.text} → {each.new.text}" for each in content.corrections)
            terminal.line(f"! {content.correction_text} {changes}")
        for warning in content.warnings:
            terminal.line(f"! {warning}")
    for line in _ending(outcome, messages, options):
        terminal.line(line)
    if content and brief:
        if content.trust.trust is not Trust.GOOD:
            terminal.line(f"  ! {content.trust.text}")
        for warning in content.warnings:
            terminal.line(f"  ! {warning}")


def show_places(
    terminal: Terminal,
    messages: Messages,
    *,
    pages: Sequence[Path],
    sheet_url: str | None,
    letters: Sequence[Path],
    log: Path | None,
) -> None:
    """Show where the results lie; of many pages, the calendar that leads to them."""
    if len(pages) > _MOST_PAGES:
        from report.page import CALENDAR

        calendar = pages[-1].with_name(CALENDAR)
        pages = [calendar if calendar.is_file() else calendar.parent]
    for label, places in (
        (messages.text("Report:"), pages),
        (messages.text("Google Sheet:"), [sheet_url] if sheet_url else []),
        (messages.text("Letter:"), letters),
        (messages.text("Log:"), [log] if log else []),
    ):
        for place in places:
            terminal.line(f"{label} {_near(place)}")


def status_text(status: RunStatus, messages: Messages) -> str:
    """Return the result of a run in words."""
    return {
        RunStatus.RUNNING: messages.text("at work"),
        RunStatus.OK: messages.text("done"),
        RunStatus.PARTIAL: messages.text("loaded, with trouble"),
        RunStatus.FAILED: messages.text("failed"),
        RunStatus.INTERRUPTED: messages.text("interrupted"),
    }[status]


def _ending(outcome: DayOutcome, messages: Messages, options: Options) -> list[str]:
    """Return the last lines of a day: what is in the table, what was not done, the command that repeats it."""
    text = messages.text
    troubles = [f"! {messages.error(trouble)}" for trouble in outcome.troubles]
    mark = _MARKS[outcome.status]
    test = " --test" if outcome.mode is Mode.TEST else ""
    repeat = options.further(f"--date {outcome.date.isoformat()}{test}")
    report = options.further(f"report --date {outcome.date.isoformat()}{test}")
    if outcome.status is RunStatus.FAILED:
        lines = [messages.error(outcome.error)] if outcome.error else []
        kept = text("Nothing of %(date)s was changed in the database.", date=outcome.date)
        return [
            *(f"{mark} {line}" for line in lines),
            f"  {kept}",
            f"  {text('To repeat: %(command)s', command=repeat)}",
        ]
    if outcome.status is RunStatus.INTERRUPTED:
        told = text("Interrupted; nothing of %(date)s was changed in the database.", date=outcome.date)
        return [f"{mark} {told} {text('To repeat: %(command)s', command=repeat)}"]
    duration = text("in %(duration)s", duration=outcome.duration)
    if outcome.status is RunStatus.PARTIAL:
        error = [f"{mark} {messages.error(outcome.error)}"] if outcome.error else []
        told = text("%(date)s is loaded, but not everything after that succeeded.", date=outcome.date)
        again = text("To repeat just the report: %(command)s", command=report)
        return [*error, *troubles, f"{mark} {told}", f"  {again}"]
    if outcome.from_database:
        told = text("The report of %(date)s was made again from the database", date=outcome.date)
    else:
        told = text("%(date)s is loaded", date=outcome.date)
    return [*troubles, f"{mark} {told}, {duration}."]


def _near(place: Path | str) -> Path | str:
    """Return a path as seen from the current folder, where it lies below it."""
    if isinstance(place, str):
        return place
    here = Path.cwd()
    return place.relative_to(here) if place.is_relative_to(here) else place


def _error_text(outcome: DayOutcome, messages: Messages) -> str | None:
    errors = [*([outcome.error] if outcome.error else []), *outcome.troubles]
    return " ".join(messages.error(error) for error in errors) or None


def _day_table(outcome: DayOutcome, content: DayContent, messages: Messages) -> Table:
    title = content.title if content.partial is None else f"{content.title}\n{content.partial}"
    table = blank_table(title)
    table.add_column("")
    table.add_column("", justify="right")
    if any(row.compared for row in content.figures):
        table.add_column(content.usual_heading)
    else:
        table.show_header = False
    _add_rows(table, content.figures)
    table.add_section()
    if content.counts:
        _add_rows(table, content.counts)
        table.add_section()
    table.add_row(messages.text("Google Sheet"), sheet_text(outcome.sheet, messages))
    table.add_row(messages.text("Letter"), mail_text(outcome.mail, messages))
    return table


def _add_rows(table: Table, rows: Sequence[Row]) -> None:
    for row in rows:
        usual = (f"{row.compared.arrow} {row.compared.word} ({row.compared.median.text})",) if row.compared else ()
        table.add_row(row.label, row.cell.text, *usual)


def sheet_text(outcome: SheetOutcome, messages: Messages) -> str:
    """Return what became of the sheet in words."""
    return {
        SheetOutcome.UPDATED: messages.text("updated"),
        SheetOutcome.SKIPPED: messages.text("left out"),
        SheetOutcome.UNCHANGED: messages.text("unchanged, nothing new"),
        SheetOutcome.FAILED: messages.text("FAILED"),
    }[outcome]


def mail_text(outcome: MailOutcome, messages: Messages) -> str:
    """Return what became of the letter in words."""
    return {
        MailOutcome.SENT: messages.text("sent"),
        MailOutcome.SKIPPED: messages.text("left out"),
        MailOutcome.UNCHANGED: messages.text("not sent, nothing new"),
        MailOutcome.FAILED: messages.text("FAILED"),
    }[outcome]
