"""What becomes of the body of an answer, asked of the functions that a fetch uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app_types import Rejected
from source.bulk import Terms, judge_answer, judge_body
from source.decoding import decode
from source.rows import pack
from source.validation import judge, validate
from tests.support.binary_copy import rows_of

if TYPE_CHECKING:
    from app_types import Batch, Window

LENGTH = 32
"""How long a user id has to be."""
RUN = 7
"""The run that events are fetched for."""


def answered(body: bytes, window: Window) -> Batch:
    """Return what a fetch makes of a body."""
    return judge_body(body, str, window, Terms(LENGTH, RUN))


def judged(body: bytes, window: Window) -> list[str]:
    """Return what becomes of each item in the window: "loaded", or the code of its rejection.

    The quick way, which takes the usual events of an answer together, is held to the slow one on the way.
    """
    answer = decode(body)
    batch = judge_answer(answer, window, Terms(LENGTH, RUN))
    slow = pack(window, validate(answer, window, LENGTH), run_id=RUN)
    assert set(rows_of(batch)) == set(rows_of(slow))
    assert len(rows_of(batch)) == len(rows_of(slow))
    assert (batch.received, batch.repeated, batch.defective) == (slow.received, slow.repeated, slow.defective)
    assert batch.rejected == slow.rejected
    items = [judge(answer, index, window, LENGTH) for index in range(len(answer.items))]
    return [item.reason.value if isinstance(item, Rejected) else "loaded" for item in items if item is not None]
