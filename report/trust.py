"""How the figures of a day stand to what is usual, and whether they may be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app_types import Mode
from report.parts import CellKind, Compared, Trust, TrustLine, average_cell, count_cell, share_cell
from report.usual import Level, compare, compare_values

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app_types import Counts, DailyStatistics, Day, PublishedDay
    from messages import Messages
    from report.parts import Cell
    from report.usual import Comparison

_ARROWS: Final = {
    Level.FAR_BELOW: "▼▼",
    Level.BELOW: "▼",
    Level.USUAL: "≈",
    Level.ABOVE: "▲",
    Level.FAR_ABOVE: "▲▲",
}
_REJECTED_AT_LEAST: Final = 0.02
"""A smaller share of rejected events is nothing to warn of, whatever is usual."""


def compared(
    kind: CellKind,
    value: float | None,
    days: Sequence[PublishedDay],
    figure: Callable[[DailyStatistics], float | None],
    messages: Messages,
) -> Compared | None:
    """Word how a figure stands to the same weekday of the weeks before."""
    comparison = compare(value, days, figure, counted=kind is CellKind.COUNT)
    if comparison is None:
        return None
    return Compared(
        _median(kind, comparison, messages), comparison.level, _ARROWS[comparison.level], _word(comparison, messages)
    )


def trust_line(
    day: Day, counts: Counts | None, days: Sequence[PublishedDay], messages: Messages, *, in_table: int
) -> TrustLine:
    """Say in one sentence whether the figures may be used.

    Args:
        day: the day.
        counts: those of the run; None where it is not known.
        days: the same weekday of the weeks before.
        messages: the language.
        in_table: how many events of the day the table holds.
    """
    if day.mode is Mode.TEST:
        return TrustLine(Trust.BAD, messages.text("Test: the first hour only."))
    if not day.complete:
        return TrustLine(Trust.BAD, _unfinished(day, messages))
    if counts is None:
        return TrustLine(Trust.WARNING, messages.text("How the day was loaded is not known."))
    share = counts.rejected / counts.received if counts.received else 0.0
    usual = _usual_rejected(share, days)
    if not counts.received and (expected := _usual_received(days)):
        return TrustLine(Trust.WARNING, _silence(expected, messages))
    if warning := _doubt(counts, share, usual, messages):
        return TrustLine(Trust.WARNING, warning)
    return TrustLine(Trust.GOOD, _balanced(counts, share, usual, in_table, messages))


def _unfinished(day: Day, messages: Messages) -> str:
    until = day.window.end.astimezone(day.zone)
    if until.date() > day.date:
        return messages.text("Do not use yet: this day was never loaded as a whole.")
    return messages.text("Do not use yet: the day is not over (events until %(time)s).", time=messages.time(until))


def _silence(expected: int, messages: Messages) -> str:
    return messages.text("The source sent no events; on this weekday it usually sends %(usual)s.", usual=expected)


def _doubt(counts: Counts, share: float, usual: Comparison | None, messages: Messages) -> str | None:
    """Return what speaks against the figures of a whole day, if anything does."""
    if share >= _REJECTED_AT_LEAST and (usual is None or usual.level in {Level.ABOVE, Level.FAR_ABOVE}):
        return _rejected_text(share, usual, messages)
    if counts.missing_at_source:
        return messages.plural(
            "%(n)s event vanished at the source; it is kept in the table.",
            "%(n)s events vanished at the source; they are kept in the table.",
            counts.missing_at_source,
        )
    return None


def _balanced(counts: Counts, share: float, usual: Comparison | None, in_table: int, messages: Messages) -> str:
    if not counts.received:
        return messages.text("Complete: the source sent no events.")
    balanced = {"received": counts.received, "in_table": in_table, "share": messages.percent(share)}
    if usual is not None and usual.level is Level.USUAL:
        return messages.text(
            "Complete and balanced: %(received)s received, %(in_table)s in the table; %(share)s rejected, as usual.",
            **balanced,
        )
    return messages.text(
        "Complete and balanced: %(received)s received, %(in_table)s in the table; %(share)s rejected.", **balanced
    )


def _usual_rejected(share: float, days: Sequence[PublishedDay]) -> Comparison | None:
    counts = [day.counts for day in days if day.counts and day.counts.received]
    return compare_values(share, [known.rejected / known.received for known in counts], counted=False)


def _usual_received(days: Sequence[PublishedDay]) -> int:
    """Return how many events the source usually sends; 0 where that is not known."""
    usual = compare_values(0, [day.counts.received for day in days if day.counts], counted=True)
    return round(usual.median) if usual else 0


def _rejected_text(share: float, usual: Comparison | None, messages: Messages) -> str:
    if usual is None:
        return messages.text("Many events were rejected: %(share)s.", share=messages.percent(share))
    return messages.text(
        "Many events were rejected: %(share)s, usually %(usual)s.",
        share=messages.percent(share),
        usual=messages.percent(usual.median),
    )


def _word(comparison: Comparison, messages: Messages) -> str:
    return {
        Level.FAR_BELOW: messages.text("far below usual"),
        Level.BELOW: messages.text("below usual"),
        Level.USUAL: messages.text("as usual"),
        Level.ABOVE: messages.text("above usual"),
        Level.FAR_ABOVE: messages.text("far above usual"),
    }[comparison.level]


def _median(kind: CellKind, comparison: Comparison, messages: Messages) -> Cell:
    if kind is CellKind.SHARE:
        return share_cell(messages, comparison.median)
    if kind is CellKind.AVERAGE:
        return average_cell(messages, comparison.median)
    return count_cell(messages, round(comparison.median))
