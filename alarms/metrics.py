"""The figures of the last command as a file for node_exporter's textfile collector, made by the official client.

All of it are gauges without timestamps: such a text is OpenMetrics and the older format of Prometheus at once, which is
the one that the collector reads. What must outlive a failed command (the last success, the newest whole day) is taken
over from the file as it stood.
"""

from __future__ import annotations

import math
import os
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from app_types import Mode, RunStatus

if TYPE_CHECKING:
    from pathlib import Path

    from prometheus_client import CollectorRegistry

    from alarms.ending import Ending
    from app_types import DayOutcome

PREFIX: Final = "lms_etl_"
_LAST_SUCCESS: Final = f"{PREFIX}last_success_timestamp_seconds"
_WHOLE_UNTIL: Final = f"{PREFIX}newest_whole_day_end_timestamp_seconds"
_LARGEST: Final = 65_536
_STATUSES: Final = (RunStatus.OK, RunStatus.PARTIAL, RunStatus.FAILED, RunStatus.INTERRUPTED)
_OUTCOMES: Final = ("loaded", "updated", "already_present", "rejected")


def write(path: Path, ending: Ending) -> None:
    """Write the file anew, whole or not at all, readable by everybody.

    Raises:
        OSError: it cannot be written; an older one is whole.
    """
    from prometheus_client.openmetrics.exposition import generate_latest

    _replace(path, generate_latest(_registry(ending, _kept(path))))


def _registry(ending: Ending, kept: dict[str, float]) -> CollectorRegistry:
    from prometheus_client import CollectorRegistry, Gauge

    registry = CollectorRegistry()

    def gauge(name: str, text: str, value: float) -> None:
        Gauge(PREFIX + name.removeprefix(PREFIX), text, registry=registry).set(value)

    gauge("last_run_exit_code", "Exit code of the last command: 0 is good.", ending.code)
    gauge("last_run_start_timestamp_seconds", "When the last command began.", ending.started_at.timestamp())
    gauge("last_run_end_timestamp_seconds", "When the last command ended.", ending.finished_at.timestamp())
    duration = (ending.finished_at - ending.started_at).total_seconds()
    gauge("last_run_duration_seconds", "How long the last command took.", max(duration, 0.0))
    days = Gauge(f"{PREFIX}last_run_results", "Days of the last command by result.", ["status"], registry=registry)
    for status in _STATUSES:
        days.labels(status.value).set(sum(outcome.status is status for outcome in ending.outcomes))
    _events(ending, registry)
    success = ending.finished_at.timestamp() if ending.code == 0 else kept.get(_LAST_SUCCESS)
    if success is not None:
        gauge(_LAST_SUCCESS, "When a command last ended well.", success)
    ends = [*([kept[_WHOLE_UNTIL]] if _WHOLE_UNTIL in kept else [])]
    ends += [ending.whole_until.timestamp()] if ending.whole_until else []
    if ends:
        gauge(_WHOLE_UNTIL, "End of the newest day that was loaded whole.", max(ends))
    if newest := _newest(ending):
        _day(newest, registry, is_doubtful=newest.date in ending.doubts)
    return registry


def _events(ending: Ending, registry: CollectorRegistry) -> None:
    from prometheus_client import Gauge

    counts = [outcome.counts for outcome in ending.outcomes if outcome.counts]
    text = "Events of the last command by what became of them."
    events = Gauge(f"{PREFIX}last_run_events", text, ["outcome"], registry=registry)
    for name in _OUTCOMES:
        events.labels(name).set(sum(int(getattr(each, name)) for each in counts))
    for name, text in {
        "received": "Events that the source sent in the last command.",
        "defective": "Events of the last command with defects.",
        "missing_at_source": "Events of the last command that the source no longer sends.",
    }.items():
        total = sum(int(getattr(each, name)) for each in counts)
        Gauge(f"{PREFIX}last_run_{name}_events", text, registry=registry).set(total)


def _newest(ending: Ending) -> DayOutcome | None:
    """Return the newest day that has figures."""
    days = [outcome for outcome in ending.outcomes if outcome.statistics and outcome.mode is Mode.FULL]
    return max(days, key=lambda outcome: outcome.date, default=None)


def _day(outcome: DayOutcome, registry: CollectorRegistry, *, is_doubtful: bool) -> None:
    from prometheus_client import Gauge

    figures = outcome.statistics
    assert figures is not None  # noqa: S101  (for the type checker)
    date = datetime(outcome.date.year, outcome.date.month, outcome.date.day, tzinfo=UTC)
    is_trusted = outcome.complete and not is_doubtful
    for name, text, value in (
        ("date_timestamp_seconds", "The day that the figures are of, as midnight UTC of its date.", date.timestamp()),
        ("unique_students", "Students with at least one event on the day.", figures.unique_users),
        ("code_runs", "Code runs of the day.", figures.runs),
        ("submits", "Submits of the day.", figures.submits),
        ("successful_submits", "Successful submits of the day.", figures.successful_submits),
        ("trusted", "1 where the day is whole and nothing speaks against its figures.", float(is_trusted)),
    ):
        Gauge(f"{PREFIX}day_{name}", text, registry=registry).set(value)


def _kept(path: Path) -> dict[str, float]:
    """Return what is taken over from the file as it stands; nothing where it is not there or not ours."""
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    kept: dict[str, float] = {}
    with suppress(
        Exception
    ):  # what a parser raises at a foreign file is no closed list, and all of it means "not ours"
        with path.open(encoding="utf-8") as stream:
            text = stream.read(_LARGEST)
        for family in text_string_to_metric_families(text):
            if family.name in {_LAST_SUCCESS, _WHOLE_UNTIL}:
                kept |= {each.name: each.value for each in family.samples if math.isfinite(each.value)}
    return kept


def _replace(path: Path, content: bytes) -> None:
    """Put a new file in the place of the old one; the collector reads no other names than those in .prom."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o644)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        draft.chmod(0o644)  # whatever the umask is: node_exporter is another user
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
