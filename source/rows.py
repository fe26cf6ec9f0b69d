r"""Writes validated events as rows of tab-separated text, the form in which they travel to the database.

Fields in the order of `FIELDS`; `\N` stands for null, and backslash, tab and line ends are escaped by a backslash, as
PostgreSQL's COPY and other tools read it. A row is a line with its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app_types import Batch, Event, Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from app_types import Window

FIELDS: Final = (
    "user_id",
    "created_at",
    "oauth_consumer_key",
    "lis_result_sourcedid",
    "lis_outcome_service_url",
    "is_correct",
    "attempt_type",
    "defects",
)
"""What a row holds, by the names of the table's columns."""

CORRECT: Final = {None: "\\N", False: "f", True: "t"}
"""How a result is written."""

_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def row(event: Event) -> str:
    """Write an event as a line."""
    return (
        f"{_text(event.user_id)}\t{written(event.created_at)}+00\t{_text(event.oauth_consumer_key)}"
        f"\t{_text(event.lis_result_sourcedid)}\t{_text(event.lis_outcome_service_url)}"
        f"\t{CORRECT[event.is_correct]}\t{event.attempt_type.value}\t{{{','.join(event.defects)}}}\n"
    )


def written(moment: datetime) -> str:
    """Write a UTC moment as the source does, always with its fraction, so that the texts of moments sort like them."""
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


def pack(window: Window, items: Sequence[Event | Rejected], *, note_all: bool = False) -> Batch:
    """Pack the validated items of an answer; of several events with one key the last one counts.

    Args:
        window: what was asked for.
        items: the events of the window, in the order of the answer.
        note_all: have the log tell of the sound ones, too.
    """
    last = {key(item): item for item in items if isinstance(item, Event)}
    valid = sum(isinstance(item, Event) for item in items)
    return Batch(
        window=window,
        received=len(items),
        blocks=block(map(row, last.values())),
        repeated=valid - len(last),
        defective=sum(isinstance(item, Event) and bool(item.defects) for item in items),
        noted=[
            (index, item) for index, item in enumerate(items) if note_all or isinstance(item, Rejected) or item.defects
        ],
    )


def block(rows: Iterable[str]) -> list[bytes]:
    """Put rows into one block, or none where there are none."""
    text = "".join(rows)
    return [text.encode()] if text else []


def key(event: Event) -> tuple[object, ...]:
    """Return what makes an event one: the source gives it no id."""
    return event.created_at, event.user_id, event.attempt_type, event.lis_result_sourcedid


def key_in(line: str) -> tuple[str, ...]:
    """Return what makes the event of a row one, as it is written there; its moment comes first."""
    user_id, created_at, _, sourcedid, _, _, attempt_type, _ = line.split("\t")
    return created_at.removesuffix("+00"), user_id, attempt_type, sourcedid


def _text(value: str | None) -> str:
    """Write a text; a backslash, a tab or a line end would otherwise end field, row or load."""
    return "\\N" if value is None else value.translate(_ESCAPES)
