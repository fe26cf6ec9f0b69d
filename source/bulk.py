"""Validates the usual answer column by column, with the same outcome as `validation` item by item, but faster.

An event is *usual* when it is sound and spelled as the source spells nearly all of them. Each check of a column is
exact or too strict, never too lenient: whatever is not usual is judged by `validation`, item by item.
"""

from __future__ import annotations

import re
import string
from datetime import date
from itertools import accumulate, compress, pairwise
from operator import itemgetter, not_
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from app_types import AttemptType, Batch, Event, Rejected
from source.decoding import UndividedError, decode, decode_in_parts
from source.literals import Literals
from source.rows import CORRECT, block, key, key_in, pack, row, written
from source.validation import MOST_FIELD_BYTES, judge, validate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from app_types import Window
    from source.decoding import Answer, Columns
    from source.literals import Around

_moment = re.compile(r"\d{4}-\d\d-\d\d (?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}", re.ASCII)
_SHAPE: Final = b"0000-00-00 00:00:00.000000\n"
_TO_SHAPE: Final = bytes.maketrans(b"123456789", b"000000000")
_MINUTE, _SECOND = _SHAPE.index(b":") + 1, _SHAPE.rindex(b":") + 1
_USER_ID_CHARACTERS: Final = string.digits.encode() + string.ascii_letters.encode() + b"._-"
_KINDS: Final = frozenset(AttemptType)
_RESULTS: Final = frozenset({None, 0, 1})


def judge_body(
    body: bytes,
    hide: Callable[[str], str],
    *,
    window: Window,
    user_id_length: int,
    note_all: bool = False,
    literals: Literals | None = None,
) -> Batch:
    """Decode the body of an answer and validate it, part by part where it is long.

    Args:
        body: the bytes, without any compression.
        hide: takes out of the source's own words what an error must not show.
        window: what was asked for.
        user_id_length: how many characters a user id has.
        note_all: have the log tell of every event.
        literals: what is known from other answers.

    Raises:
        SourceError: it is no array of events.
    """
    literals = literals or Literals()
    batch = None if note_all else _judge_in_parts(body, window, user_id_length, literals)
    return batch or judge_answer(decode(body, hide), window, user_id_length, note_all=note_all, literals=literals)


def _judge_in_parts(body: bytes, window: Window, user_id_length: int, literals: Literals) -> Batch | None:
    """Validate one part after another; None where only the whole can tell what becomes of an event."""
    try:
        judged = [_judge_part(answer, window, user_id_length, literals) for answer in decode_in_parts(body)]
    except UndividedError:
        return None
    if len(judged) == 1:
        return judged[0].batch
    if _share_keys(judged):
        return None
    return _together(window, [part.batch for part in judged])


def _share_keys(parts: Sequence[_Judged]) -> bool:
    """Tell whether an event of one part has the key of one in another; few have as much as a moment in common."""
    if all(part.last < following.first for part, following in pairwise(parts)):
        return False  # as sources send them: in the order of time
    seen: set[str] = set()
    shared: set[str] = set()
    for part in parts:
        shared |= seen & part.moments
        seen |= part.moments
    if not shared:
        return False
    rows = (line for part in parts for data in part.batch.blocks for line in data.decode().split("\n")[:-1])
    keys = [key for key in map(key_in, rows) if key[0] in shared]
    return len(set(keys)) < len(keys)


def _together(window: Window, batches: Sequence[Batch]) -> Batch:
    """Put the parts of an answer together."""
    begins = accumulate((batch.received for batch in batches[:-1]), initial=0)
    return Batch(
        window=window,
        received=sum(batch.received for batch in batches),
        blocks=[data for batch in batches for data in batch.blocks],
        repeated=sum(batch.repeated for batch in batches),
        defective=sum(batch.defective for batch in batches),
        noted=[
            (begin + index, item) for begin, batch in zip(begins, batches, strict=True) for index, item in batch.noted
        ],
    )


def judge_answer(
    answer: Answer, window: Window, user_id_length: int, *, note_all: bool = False, literals: Literals | None = None
) -> Batch:
    """Validate an answer to a window.

    Args:
        answer: what the source sent.
        window: what was asked for.
        user_id_length: how many characters a user id has.
        note_all: have the log tell of every event.
        literals: what is known from other answers.
    """
    if note_all:
        return pack(window, validate(answer, window, user_id_length), note_all=True)
    return _judge_part(answer, window, user_id_length, literals or Literals()).batch


class _Judged(NamedTuple):
    """What became of an answer or a part of one, the moments of its valid events as texts, and what bounds them."""

    batch: Batch
    moments: set[str]
    first: str
    last: str


def _judge_part(answer: Answer, window: Window, user_id_length: int, literals: Literals) -> _Judged:
    if answer.columns and answer.items:
        return _Judge(answer, answer.columns, window, user_id_length, literals).judged()
    items = validate(answer, window, user_id_length)
    moments = {written(item.created_at) for item in items if isinstance(item, Event)}
    return _Judged(pack(window, items), moments, *_span(moments))


def _span(moments: Iterable[str]) -> tuple[str, str]:
    """Return the first and the last one; quickly where they come in order, as sources send them."""
    in_order = sorted(moments)
    return (in_order[0], in_order[-1]) if in_order else ("", "")


class _Judge:
    """Looks at an answer column by column, and notes which of its events are not usual."""

    def __init__(
        self, answer: Answer, columns: Columns, window: Window, user_id_length: int, literals: Literals
    ) -> None:
        self._answer = answer
        self._literals = literals
        self._window = window
        self._length = user_id_length
        self._users, self._texts, self._results, self._kinds, self._moments = (column.values for column in columns)
        self._columns = columns
        self._count = len(answer.items)
        self._odd: set[int] = set()
        self._span: tuple[str, str] | None = None

    def judged(self) -> _Judged:
        """Return the answer validated."""
        self._check_users()
        self._check_kinds_and_results()
        self._check_moments()
        self._check_texts()
        return self._packed(self._around_students())

    def _check_users(self) -> None:
        users, length = self._users, self._length
        if self._columns.lti_user_id.types != {str} or set(map(len, users)) != {length}:
            self._note([type(user) is not str or len(user) != length for user in users])
        joined = "".join(self._usual(users)) if self._odd else self._columns.lti_user_id.joined
        if not _has_characters_of_ids(joined):
            self._note([type(user) is not str or not _has_characters_of_ids(user) for user in users])

    def _check_kinds_and_results(self) -> None:
        """Compare the kind of each event with its result, too: only a submit has one."""
        kinds, results = self._kinds, self._results
        if self._columns.attempt_type.types != {str} or not _KINDS.issuperset(kinds):
            self._note([type(kind) is not str or kind not in _KINDS for kind in kinds])
        # Not by comparison alone: 1.0 equals 1, but is not what the source sends.
        if not {type(None), int}.issuperset(self._columns.is_correct.types) or not _RESULTS.issuperset(results):
            self._note([type(result) not in {type(None), int} or result not in _RESULTS for result in results])
        self._note([(result is None) is not (kind == "run") for result, kind in zip(results, kinds, strict=True)])

    def _check_moments(self) -> None:
        """Compare moments as texts: they sort like the moments themselves, once the dates are known to exist."""
        moments = self._moments
        start, end = written(self._window.start), written(self._window.end)
        if self._columns.created_at.types == {str} and _are_clock_times(self._columns.created_at.joined, self._count):
            first, last = self._span = _span(moments)
            is_one_day = first[:10] == last[:10] and last[11:13] < "24"
            if start <= first and last < end and is_one_day and _exists(first[:10]):
                return
        self._note(
            [
                type(moment) is not str
                or not _moment.fullmatch(moment)
                or not start <= moment < end
                or not _exists(moment[:10])
                for moment in moments
            ]
        )

    def _check_texts(self) -> None:
        """Leave the dict literals that look as usual: no escapes, none too long."""
        texts, plain = self._texts, self._answer.plain
        if plain and self._columns.passback_params.types == {str} and max(map(len, texts)) <= MOST_FIELD_BYTES:
            return
        self._note(
            [
                type(text) is not str
                or len(text) > MOST_FIELD_BYTES
                or not (plain or (text.isascii() and text.isprintable() and '"' not in text and "\\" not in text))
                for text in texts
            ]
        )

    def _around_students(self) -> list[Around]:
        """Read the dict literals of the usual events, and note those that are not usual after all."""
        around = self._literals.around(self._usual(self._users), self._usual(self._texts))
        usual = [each for each in around if each]
        if len(usual) < len(around):
            self._odd.update(compress(self._usual(range(self._count)), map(not_, around)))
        return usual

    def _packed(self, around: Sequence[Around]) -> _Judged:
        users, moments = self._usual(self._users), self._usual(self._moments)
        results, kinds = self._usual(self._results), self._usual(self._kinds)
        rows = [
            f"{user}\t{moment}+00{before}{user}{behind}{CORRECT[result]}\t{kind}\t{{}}\n"
            for user, moment, (before, behind), result, kind in zip(users, moments, around, results, kinds, strict=True)
        ]
        others = self._judge_odd()
        valid = [(index, item) for index, _, item in others if isinstance(item, Event)]
        received, repeated = len(rows) + len(others), 0
        all_moments = {*moments, *(written(item.created_at) for _, item in valid)}
        if len(all_moments) == len(moments) + len(valid):
            rows += [row(item) for _, item in valid]
        else:
            last = self._last(rows, valid)
            repeated = len(rows) + len(valid) - len(last)
            rows = last
        batch = Batch(
            window=self._window,
            received=received,
            blocks=block(rows),
            repeated=repeated,
            defective=sum(bool(item.defects) for _, item in valid),
            noted=[(place, item) for _, place, item in others if isinstance(item, Rejected) or item.defects],
        )
        return _Judged(batch, all_moments, *(self._span or _span(all_moments)))

    def _judge_odd(self) -> list[tuple[int, int, Event | Rejected]]:
        """Judge what is not usual by itself: its place in the answer, that among the events of the window, and it."""
        judged = []
        left_out = 0
        for index in sorted(self._odd):
            item = judge(self._answer, index, self._window, self._length)
            if item is None:
                left_out += 1
            else:
                judged.append((index, index - left_out, item))
        return judged

    def _last(self, rows: Sequence[str], valid: Sequence[tuple[int, Event]]) -> list[str]:
        """Return the row of each key, the last one where a key occurs more than once."""
        places = self._usual(range(self._count))
        placed: list[tuple[int, tuple[object, ...], str]] = list(zip(places, map(key_in, rows), rows, strict=True))
        for index, item in valid:
            placed.append((index, (written(item.created_at), *key(item)[1:]), row(item)))
        placed.sort(key=itemgetter(0))
        return list({identity: text for _, identity, text in placed}.values())

    def _note(self, odd: list[bool]) -> None:
        """Note the places at which something is not usual."""
        self._odd.update(compress(range(self._count), odd))

    def _usual(self, column: Sequence[Any]) -> list[Any]:
        """Return the values of the usual events."""
        if not self._odd:
            return list(column)
        odd = self._odd
        return [value for index, value in enumerate(column) if index not in odd]


def _has_characters_of_ids(text: str) -> bool:
    return not text.encode("utf-8", "replace").translate(None, _USER_ID_CHARACTERS)


def _are_clock_times(joined: str, count: int) -> bool:
    """Tell whether so many lines look like moments with minutes and seconds that there are, whatever their hours."""
    lines = (joined + "\n").encode("utf-8", "replace")
    if lines.translate(_TO_SHAPE) != _SHAPE * count:
        return False
    length = len(_SHAPE)
    return max(lines[_MINUTE::length]) < ord("6") and max(lines[_SECOND::length]) < ord("6")


def _exists(day: str) -> bool:
    """Tell whether a day of the form YYYY-MM-DD stands in the calendar."""
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return True
