"""Validates the usual answer column by column, with the same outcome as `validation` item by item, but faster.

An event is *usual* when it is sound and spelled as the source spells nearly all of them. Each check of a column is
exact or too strict, never too lenient: whatever is not usual is judged by `validation`, item by item.
"""

from __future__ import annotations

import re
import string
from itertools import accumulate, compress, islice, pairwise
from operator import itemgetter, lt, not_
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from app_types import AttemptType, Batch, Event, Rejected
from source.decoding import UndividedError, decode, decode_in_parts
from source.literals import Literals
from source.moments import BYTES, are_clock_times, exists, stamps, written
from source.rows import block, fields_in, head, key, length, pack, row, tail
from source.validation import judge, validate

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from app_types import Window
    from source.decoding import Answer, Columns
    from source.literals import Around

_moment = re.compile(r"\d{4}-\d\d-\d\d (?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}", re.ASCII)
_USER_ID_CHARACTERS: Final = string.digits.encode() + string.ascii_letters.encode() + b"._-"
_USUAL: Final = frozenset({(None, "run"), (0, "submit"), (1, "submit")})
"""Results with their kinds."""
_RESULT_TYPES: Final = frozenset({type(None), int})
_AS_TEXT: Final = "latin-1"
"""Rows are put together as texts, a sign for each byte, because Python is quickest at that."""
_TAILS: Final = {
    None: tail(None, AttemptType.RUN).decode(_AS_TEXT),
    0: tail(False, AttemptType.SUBMIT).decode(_AS_TEXT),
    1: tail(True, AttemptType.SUBMIT).decode(_AS_TEXT),
}
_MOMENT: Final = length(BYTES).decode(_AS_TEXT)


class Terms:
    """What the answers of one fetch are judged by, and what was learned from those before.

    Args:
        user_id_length: how many characters a user id has.
        run_id: the run that the rows name.
    """

    def __init__(self, user_id_length: int, run_id: int = 0) -> None:
        self.user_id_length = user_id_length
        self.run_id = run_id
        self.literals = Literals(user_id_length)
        self.head = (head(run_id) + length(user_id_length)).decode(_AS_TEXT)


def judge_body(
    body: bytes, hide: Callable[[str], str], window: Window, terms: Terms, *, note_all: bool = False
) -> Batch:
    """Decode the body of an answer and validate it, part by part where it is long.

    Args:
        body: the bytes, without any compression.
        hide: takes out of the source's own words what an error must not show.
        window: what was asked for.
        terms: those of the fetch.
        note_all: have the log tell of every event.

    Raises:
        SourceError: it is no array of events.
    """
    batch = None if note_all else _judge_in_parts(body, window, terms)
    return batch or judge_answer(decode(body, hide), window, terms, note_all=note_all)


def _judge_in_parts(body: bytes, window: Window, terms: Terms) -> Batch | None:
    """Validate one part after another; None where only the whole can tell what becomes of an event."""
    try:
        judged = [_judge_part(answer, window, terms) for answer in decode_in_parts(body)]
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
        shared |= seen.intersection(part.moments)
        seen.update(part.moments)
    if not shared:
        return False
    wanted = {data[place : place + BYTES] for data in [stamps([*shared])] for place in range(0, len(data), BYTES)}
    rows = (fields for part in parts for data in part.batch.blocks for fields in fields_in(data))
    keys = [
        (user_id, created_at, sourcedid, attempt_type)
        for _, user_id, created_at, _, sourcedid, _, _, attempt_type, _ in rows
        if created_at in wanted
    ]
    return len(set(keys)) < len(keys)


def _together(window: Window, batches: Sequence[Batch]) -> Batch:
    """Put the parts of an answer together."""
    begins = accumulate((batch.received for batch in batches[:-1]), initial=0)
    return Batch(
        window=window,
        received=sum(batch.received for batch in batches),
        run_id=batches[0].run_id,
        blocks=[data for batch in batches for data in batch.blocks],
        repeated=sum(batch.repeated for batch in batches),
        defective=sum(batch.defective for batch in batches),
        noted=[
            (begin + index, item) for begin, batch in zip(begins, batches, strict=True) for index, item in batch.noted
        ],
    )


def judge_answer(answer: Answer, window: Window, terms: Terms, *, note_all: bool = False) -> Batch:
    """Validate an answer to a window.

    Args:
        answer: what the source sent.
        window: what was asked for.
        terms: those of the fetch.
        note_all: have the log tell of every event.
    """
    if note_all:
        items = validate(answer, window, terms.user_id_length)
        return pack(window, items, run_id=terms.run_id, note_all=True)
    return _judge_part(answer, window, terms).batch


class _Judged(NamedTuple):
    """What became of an answer or a part of one, the moments of its valid events as texts, and what bounds them."""

    batch: Batch
    moments: Collection[str]
    first: str
    last: str


def _judge_part(answer: Answer, window: Window, terms: Terms) -> _Judged:
    if answer.columns and answer.items:
        return _Judge(answer, answer.columns, window, terms).judged()
    items = validate(answer, window, terms.user_id_length)
    moments = {written(item.created_at) for item in items if isinstance(item, Event)}
    return _Judged(pack(window, items, run_id=terms.run_id), moments, *_span(moments))


def _span(moments: Collection[str]) -> tuple[str, str]:
    """Return the first and the last one."""
    return (min(moments), max(moments)) if moments else ("", "")


class _Judge:
    """Looks at an answer column by column, and notes which of its events are not usual."""

    def __init__(self, answer: Answer, columns: Columns, window: Window, terms: Terms) -> None:
        self._answer = answer
        self._window = window
        self._terms = terms
        self._users, self._texts, self._results, self._kinds, self._moments = (column.values for column in columns)
        self._columns = columns
        self._count = len(answer.items)
        self._odd: set[int] = set()
        self._span: tuple[str, str] | None = None
        self._day = ""
        self._is_rising = False

    def judged(self) -> _Judged:
        """Return the answer validated."""
        self._check_users()
        self._check_kinds_and_results()
        self._check_moments()
        self._check_texts()
        return self._packed(self._around_students())

    def _check_users(self) -> None:
        users, characters = self._users, self._terms.user_id_length
        if self._columns.lti_user_id.types != {str} or set(map(len, users)) != {characters}:
            self._note([type(user) is not str or len(user) != characters for user in users])
        joined = "".join(self._usual(users)) if self._odd else self._columns.lti_user_id.joined
        if not _has_characters_of_ids(joined):
            self._note([type(user) is not str or not _has_characters_of_ids(user) for user in users])

    def _check_kinds_and_results(self) -> None:
        """Compare the kind of each event with its result, too: only a submit has one."""
        pairs = zip(self._results, self._kinds, strict=True)
        # Not by comparison alone: 1.0 equals 1, but is not what the source sends.
        results, kinds = self._columns.is_correct.types, self._columns.attempt_type.types
        if _RESULT_TYPES.issuperset(results) and kinds == {str}:
            if not _USUAL.issuperset(pairs):
                self._note([pair not in _USUAL for pair in zip(self._results, self._kinds, strict=True)])
        else:
            self._note(
                [
                    type(result) not in _RESULT_TYPES or type(kind) is not str or (result, kind) not in _USUAL
                    for result, kind in pairs
                ]
            )

    def _check_moments(self) -> None:
        """Compare moments as texts: they sort like the moments themselves, once the dates are known to exist."""
        moments = self._moments
        start, end = written(self._window.start), written(self._window.end)
        if self._columns.created_at.types == {str} and are_clock_times(self._columns.created_at.joined, self._count):
            self._is_rising = all(map(lt, moments, islice(moments, 1, None)))  # as sources send them
            first, last = self._span = (moments[0], moments[-1]) if self._is_rising else _span(moments)
            is_one_day = first[:10] == last[:10] and last[11:13] < "24"
            if start <= first and last < end and is_one_day and exists(first[:10]):
                self._day = first[:10]
                return
        self._note(
            [
                type(moment) is not str
                or not _moment.fullmatch(moment)
                or not start <= moment < end
                or not exists(moment[:10])
                for moment in moments
            ]
        )

    def _check_texts(self) -> None:
        """Leave the dict literals that look as usual: no escapes."""
        texts, plain = self._texts, self._answer.plain
        if plain and self._columns.passback_params.types == {str}:
            return
        self._note(
            [
                type(text) is not str
                or not (plain or (text.isascii() and text.isprintable() and '"' not in text and "\\" not in text))
                for text in texts
            ]
        )

    def _around_students(self) -> list[Around]:
        """Read the dict literals of the usual events, and note those that are not usual after all."""
        around = self._terms.literals.around(self._usual(self._users), self._usual(self._texts))
        usual = [each for each in around if each]
        if len(usual) < len(around):
            self._odd.update(compress(self._usual(range(self._count)), map(not_, around)))
        return usual

    def _packed(self, around: Sequence[Around]) -> _Judged:
        users, moments = self._usual(self._users), self._usual(self._moments)
        results, kinds = self._usual(self._results), self._usual(self._kinds)
        numbers = stamps(moments, self._day).decode(_AS_TEXT)
        head = self._terms.head
        rows = [
            f"{head}{user}{_MOMENT}{numbers[place : place + BYTES]}{before}{user}{behind}{_TAILS[result]}"
            for user, place, (before, behind, _), result in zip(
                users, range(0, len(numbers), BYTES), around, results, strict=True
            )
        ]
        others = self._judge_odd()
        valid = [(index, item) for index, _, item in others if isinstance(item, Event)]
        received, repeated = len(rows) + len(others), 0
        all_moments: Collection[str] = moments
        if valid or not self._is_rising:
            all_moments = {*moments, *(written(item.created_at) for _, item in valid)}
        if len(all_moments) == len(moments) + len(valid):
            rows += [self._row(item) for _, item in valid]
        else:
            keys = [
                (moment, user, kind, sourcedid + user)
                for moment, user, kind, (_, _, sourcedid) in zip(moments, users, kinds, around, strict=True)
            ]
            last = self._last(keys, rows, valid)
            repeated = len(rows) + len(valid) - len(last)
            rows = last
        batch = Batch(
            window=self._window,
            received=received,
            run_id=self._terms.run_id,
            blocks=block(["".join(rows).encode(_AS_TEXT)]),
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
            item = judge(self._answer, index, self._window, self._terms.user_id_length)
            if item is None:
                left_out += 1
            else:
                judged.append((index, index - left_out, item))
        return judged

    def _last(
        self, keys: Sequence[tuple[object, ...]], rows: Sequence[str], valid: Sequence[tuple[int, Event]]
    ) -> list[str]:
        """Return the row of each key, the last one where a key occurs more than once."""
        placed = list(zip(self._usual(range(self._count)), keys, rows, strict=True))
        for index, item in valid:
            placed.append((index, (written(item.created_at), *key(item)[1:]), self._row(item)))
        placed.sort(key=itemgetter(0))
        return list({identity: text for _, identity, text in placed}.values())

    def _row(self, event: Event) -> str:
        return row(event, self._terms.run_id).decode(_AS_TEXT)

    def _note(self, odd: list[bool]) -> None:
        """Note the places at which something is not usual."""
        self._odd.update(compress(range(self._count), odd))

    def _usual(self, column: Sequence[Any]) -> Sequence[Any]:
        """Return the values of the usual events."""
        if not self._odd:
            return column
        odd = self._odd
        return [value for index, value in enumerate(column) if index not in odd]


def _has_characters_of_ids(text: str) -> bool:
    return not text.encode("utf-8", "replace").translate(None, _USER_ID_CHARACTERS)
