"""Compares what the source sends of a day now with what the table holds; nothing but temporary tables is written."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, cast

from warehouse.binary_copy import BEGIN, END
from warehouse.interruptible import interruptible
from warehouse.queries import query

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from app_types import Batch, Day
    from warehouse.connection import Database

_SAMPLES: Final = 3


class Kind(StrEnum):
    """How source and table disagree on an event: the table lacks it, holds it with other values, or holds it alone."""

    NEW = "new"
    CHANGED = "changed"
    VANISHED = "vanished"


@dataclass(frozen=True, slots=True)
class Difference:
    """An event that source and table do not agree on.

    `changed` names the columns whose values differ; of the result both values are told, the table's first.
    """

    kind: Kind
    created_at: datetime
    user_id: str
    attempt_type: str
    changed: tuple[str, ...]
    held_correct: bool | None
    sent_correct: bool | None


@dataclass(frozen=True, slots=True)
class Drift:
    """What a comparison found.

    Attributes:
        received: events that the source sent.
        rejected: those among them that today's rules refuse.
        unknown_rejected: those among the rejected that are not in quarantine.
        sent: different valid events among them.
        held: events that the table holds.
        counts: events by how source and table disagree on them.
        known_vanished: events that were missing at the source in the last full run; None where there was none.
        samples: a few of the differences of each kind.
    """

    received: int
    rejected: int
    unknown_rejected: int
    sent: int
    held: int
    counts: Mapping[Kind, int]
    known_vanished: int | None
    samples: tuple[Difference, ...]

    @property
    def is_drifted(self) -> bool:
        """Whether a run would find anything that the last one did not."""
        is_changed = self.counts[Kind.NEW] or self.counts[Kind.CHANGED] or self.unknown_rejected
        return bool(is_changed) or self.counts[Kind.VANISHED] > (self.known_vanished or 0)


class Comparison:
    """What the source sends, gathered part by part beside the table; one for each connection.

    Its temporary tables end with the connection.
    """

    def __init__(self, database: Database, day: Day) -> None:
        self._database = database
        self._day = day
        self._received = self._rejected = 0
        with database.transaction() as cursor:
            cursor.execute(query("drift/create_audited"))

    def add(self, batch: Batch) -> None:
        """Add a part of the day."""
        rows = b"".join((BEGIN, *batch.blocks, END)) if batch.blocks else b""
        digests = [hashlib.sha256(each.raw.encode()).hexdigest() for each in batch.rejected]
        self._received += batch.received
        self._rejected += len(digests)
        with self._database.transaction() as cursor:
            if rows:
                cursor.copy_expert(query("drift/stage_events"), io.BytesIO(rows))
            if digests:
                cursor.execute(query("drift/stage_rejected"), {"digests": digests})

    def result(self) -> Drift:
        """Compare, as of one moment."""
        return interruptible(self._database, self._compare)

    def _compare(self) -> Drift:
        bounds = {"process_date": self._day.date, "start": self._day.window.start, "end": self._day.window.end}
        with self._database.transaction() as cursor:
            cursor.execute(query("drift/analyze"))
        with self._database.transaction() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute(query("drift/count"), bounds)
            sent, held, known, unknown = cursor.fetchone() or (0, 0, None, 0)
            cursor.execute(query("drift/compare"), {**bounds, "most": _SAMPLES})
            found = cursor.fetchall()
        return Drift(
            received=self._received,
            rejected=self._rejected,
            unknown_rejected=unknown,
            sent=sent,
            held=held,
            counts=dict.fromkeys(Kind, 0) | {Kind(row[0]): row[1] for row in found},
            known_vanished=known,
            samples=tuple(_difference(row) for row in found),
        )


def _difference(row: Sequence[object]) -> Difference:
    kind, _, created_at, user_id, attempt_type, changed, held_correct, sent_correct = row
    return Difference(
        Kind(str(kind)),
        cast("datetime", created_at),
        str(user_id),
        str(attempt_type),
        tuple(cast("list[str]", changed)),
        cast("bool | None", held_correct),
        cast("bool | None", sent_correct),
    )
