"""`rejected`: what lies in quarantine, by day and reason; `--export` writes it down whole."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING, Final

from console.tables import Column, table
from exceptions import EtlError
from operations.wording import reason_text, sample
from pipeline.job import ExitCode
from warehouse import quarantine
from warehouse.migrations import applied_versions
from warehouse.quarantine import Extent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from pipeline.job import Job
    from warehouse.quarantine import Group, Quarantined

_USUAL_DAYS: Final = 30
_MOST_ROWS: Final = 24
"""More than a screen shows: then each day has one row."""
_MOST_DAYS: Final = 62


def run(job: Job, days: Sequence[date]) -> int:
    """Show the quarantine of the days, the last thirty where none are named, or write it into a file.

    Raises:
        DatabaseError: the database cannot be reached.
    """
    first, last = _stretch(job, days)
    with job.server.connected() as database:
        if not applied_versions(database):
            groups: list[Group] = []
            extent = Extent(0, None, None)
        elif job.options.export is not None:
            return _export(job, quarantine.events(database, first, last), Path(job.options.export))
        else:
            groups = quarantine.groups(database, first, last)
            extent = quarantine.extent(database)
    if job.options.json:
        for group in groups:
            job.terminal.machine(_object(group))
    _show(job, groups, extent, first, last)
    return ExitCode.OK


def _stretch(job: Job, days: Sequence[date]) -> tuple[date, date]:
    """Return the first and the last day that are meant; today's rejects belong to them unless days were named."""
    today = datetime.now(job.settings.zone).date()
    options = job.options
    if options.date is None and options.first is None and options.days is None:
        return today - timedelta(days=_USUAL_DAYS - 1), today
    return days[0], days[-1]


def _show(job: Job, groups: Sequence[Group], extent: Extent, first: date, last: date) -> None:
    text, plural = job.messages.text, job.messages.plural
    if groups:
        if len(groups) > _MOST_ROWS:
            _show_days(job, groups)
        else:
            _show_groups(job, groups)
        day = groups[-1].date.isoformat()
        command = job.options.further(f"rejected --date {day} --export FILE")
        job.terminal.line(text("To read them whole: %(command)s", command=command))
        command = job.options.further(f"replay --date {day}")
        job.terminal.line(text("To load what today's rules let in: %(command)s", command=command))
    elif first == last:
        job.terminal.line(text("No event of %(date)s lies in quarantine.", date=first))
    else:
        job.terminal.line(text("No event from %(first)s to %(last)s lies in quarantine.", first=first, last=last))
    shown = sum(group.events for group in groups)
    if extent.oldest and extent.events > shown:
        told = plural(
            "In all, %(n)s event lies in quarantine; the oldest is of %(oldest)s.",
            "In all, %(n)s events lie in quarantine; the oldest is of %(oldest)s.",
            extent.events,
            oldest=extent.oldest,
        )
        job.terminal.line(told)


def _show_groups(job: Job, groups: Sequence[Group]) -> None:
    """Show a row for each reason of each day; the day stands at its first one."""
    text, number = job.messages.text, job.messages.number
    rows = []
    before: date | None = None
    for group in groups:
        told = reason_text(group.reason, job.messages), sample(group.example, group.reason)
        rows.append((group.date.isoformat() if group.date != before else "", number(group.events), *told))
        before = group.date
    columns = [
        Column(text("Date"), is_short=True),
        Column(text("Events"), is_number=True),
        Column(text("Why rejected")),
        Column(text("For example")),
    ]
    total = (text("Total"), number(sum(group.events for group in groups))) if len(rows) > 1 else ()
    job.terminal.show(table(text("Rejected events"), columns, rows, total=total))


def _show_days(job: Job, groups: Sequence[Group]) -> None:
    """Show many days: a row for each with a column for each reason, and below them what the columns are."""
    text, number = job.messages.text, job.messages.number
    sums: Counter[str] = Counter()
    days: dict[date, dict[str, int]] = {}
    for group in groups:
        sums[group.reason] += group.events
        days.setdefault(group.date, {})[group.reason] = group.events
    letters = dict(zip((reason for reason, _ in sums.most_common()), ascii_uppercase, strict=False))
    columns = [
        Column(text("Date"), is_short=True),
        *(Column(letter, is_number=True) for letter in letters.values()),
        Column(text("Total"), is_number=True),
    ]
    rows = [
        (
            day.isoformat(),
            *(number(counts[reason]) if reason in counts else "" for reason in letters),
            number(sum(counts.values())),
        )
        for day, counts in list(days.items())[-_MOST_DAYS:]
    ]
    total = (text("Total"), *(number(sums[reason]) for reason in letters), number(sums.total()))
    job.terminal.show(table(text("Rejected events"), columns, rows, total=total))
    if left_out := len(days) - len(rows):
        told = job.messages.plural("%(n)s earlier day is not listed.", "%(n)s earlier days are not listed.", left_out)
        job.terminal.line(told)
    examples = {group.reason: group.example for group in groups}
    legend = [
        (letter, reason_text(reason, job.messages), sample(examples[reason], reason))
        for reason, letter in letters.items()
    ]
    columns = [Column("", is_short=True), Column(text("Why rejected")), Column(text("For example"))]
    job.terminal.show(table("", columns, legend))


def _object(group: Group) -> str:
    return json.dumps(
        {
            "date": group.date.isoformat(),
            "reason": group.reason,
            "events": group.events,
            "first_received_at": group.first_received_at.isoformat(),
            "last_received_at": group.last_received_at.isoformat(),
            "sample": sample(group.example, group.reason),
        }
    )


def _export(job: Job, events: Iterable[Quarantined], path: Path) -> int:
    """Write the events into a file and tell how many they are."""
    messages = job.messages
    try:
        count = _write(path, events)
    except OSError as error:
        job.terminal.problem(
            messages.error(
                EtlError(
                    "The file %(file)s could not be written: %(cause)s.",
                    remedy="Name a file in a folder that can be written to.",
                    file=str(path),
                    cause=error.strerror or type(error).__name__,
                )
            )
        )
        return ExitCode.FAILED
    if job.options.json:
        job.terminal.machine(json.dumps({"file": str(path), "events": count}))
    job.terminal.line(
        messages.plural(
            "%(n)s rejected event was written to %(file)s; it holds students' data.",
            "%(n)s rejected events were written to %(file)s; it holds students' data.",
            count,
            file=str(path),
        )
    )
    return ExitCode.OK


def _write(path: Path, events: Iterable[Quarantined]) -> int:
    """Put a new file in the place of an old one, whole, its owner's alone; what is no file is left as it is.

    Raises:
        OSError: it could not be written; an older file is whole.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise FileExistsError(17, "it is a link, a folder or a device")
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    count = 0
    try:
        with os.fdopen(descriptor, "w", encoding="ascii", newline="\n") as stream:
            for event in events:
                stream.write(_line(event))
                count += 1
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return count


def _line(event: Quarantined) -> str:
    values = {
        "date": event.date.isoformat(),
        "reason": event.reason,
        "raw": event.raw,
        "received_at": event.received_at.isoformat(),
        "run_id": event.run_id,
    }
    return json.dumps(values) + "\n"
