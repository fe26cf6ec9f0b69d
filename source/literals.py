"""Remembers dict literals: those of one task differ by their student alone, so that few of them have to be read.

A usual literal is a short one of three fields, all of them text without quotes, backslashes or anything beyond
printable ASCII, whose `lis_result_sourcedid` ends with the student of the event. With another student in the same
place, what stands around the student means the same. So what was read once is known from then on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from source.passback import read_plain
from source.rows import length
from source.validation import MOST_FIELD_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST: Final = 4096
"""So many are remembered; a day has hundreds of tasks."""
_LONGEST: Final = 1024
"""Longer ones are read each time."""
_UNREAD: Final = ("", "", "")

Around = tuple[str, str, str]
"""What stands in a row before the student that ends `lis_result_sourcedid`, what behind, and what in that field before.

The first begins behind `created_at`, the second ends before `is_correct`. All are texts with a sign for each byte.
"""


class Literals:
    """What is known of the literals of one fetch; its threads may share it.

    Args:
        user_id_length: how many characters a student has.
    """

    def __init__(self, user_id_length: int) -> None:
        self._user_id_length = user_id_length
        self._known: dict[tuple[str, str], Around | None] = {}

    def around(self, students: Sequence[str], texts: Sequence[str]) -> list[Around | None]:
        """Return for each literal what stands around its student in a row, None for one that is not usual.

        Args:
            students: the student of each event, of that length: letters, digits, `.`, `_` and `-` only.
            texts: the literals, printable ASCII without backslashes and double quotes.
        """
        known = self._known.get
        found = [known((before, behind)) for before, _, behind in map(str.partition, texts, students)]
        if not all(found):
            unknown = [index for index, around in enumerate(found) if not around]
            for index in unknown:
                before, _, behind = texts[index].partition(students[index])
                found[index] = self._read((before, behind))
        return found

    def _read(self, part: tuple[str, str]) -> Around | None:
        around = self._known.get(part, _UNREAD)
        if around is _UNREAD:
            around = self._around(*part)
            if sum(map(len, part)) <= _LONGEST:
                if len(self._known) >= _MOST:
                    self._known.clear()
                self._known[part] = around
        return around

    def _around(self, before: str, behind: str) -> Around | None:
        """Read a literal in which a tab, which none of them can hold, stands in the first place of its student."""
        if not behind or len(before) + self._user_id_length + len(behind) > MOST_FIELD_BYTES:
            return None
        passback = read_plain(f"{before}\\t{behind}")
        if passback is None or not passback.lis_result_sourcedid.endswith(":\t"):
            return None
        sourcedid = passback.lis_result_sourcedid.removesuffix("\t")
        return (
            f"{_field(passback.oauth_consumer_key)}{_length(len(sourcedid) + self._user_id_length)}{sourcedid}",
            _field(passback.lis_outcome_service_url),
            sourcedid,
        )


def _field(value: str) -> str:
    return _length(len(value)) + value


def _length(value: int) -> str:
    return length(value).decode("latin-1")
