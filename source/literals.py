"""Remembers dict literals: those of one task differ by their student alone, so that few of them have to be read.

A usual literal is one of three fields, all of them text without quotes, backslashes or anything beyond printable ASCII,
whose `lis_result_sourcedid` ends with the student of the event. With another student in the same place, what stands
around the student means the same. So what was read once is known from then on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from source.passback import read_plain

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST: Final = 4096
"""So many are remembered; a day has hundreds of tasks."""
_LONGEST: Final = 1024
"""Longer ones are read each time."""
_UNREAD: Final = ("", "")

Around = tuple[str, str]
"""What stands in a row before the student that ends `lis_result_sourcedid`, and behind.

The first begins behind `created_at`, the second ends before `is_correct`.
"""


class Literals:
    """What is known of the literals of one fetch; its threads may share it."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Around | None] = {}

    def around(self, students: Sequence[str], texts: Sequence[str]) -> list[Around | None]:
        """Return for each literal what stands around its student in a row, None for one that is not usual.

        Args:
            students: the student of each event: letters, digits, `.`, `_` and `-` only.
            texts: the literals, printable ASCII without backslashes and double quotes.
        """
        parts = [(before, behind) for before, _, behind in map(str.partition, texts, students)]
        found = list(map(self._known.get, parts))
        if all(found):
            return found
        return [around or self._read(part) for part, around in zip(parts, found, strict=True)]

    def _read(self, part: tuple[str, str]) -> Around | None:
        around = self._known.get(part, _UNREAD)
        if around is _UNREAD:
            around = _around(*part)
            if sum(map(len, part)) <= _LONGEST:
                if len(self._known) >= _MOST:
                    self._known.clear()
                self._known[part] = around
        return around


def _around(before: str, behind: str) -> Around | None:
    """Read a literal in which a tab, which none of them can hold, stands in the first place of its student."""
    passback = read_plain(f"{before}\\t{behind}") if behind else None
    if passback is None or not passback.lis_result_sourcedid.endswith(":\t"):
        return None
    place = passback.lis_result_sourcedid.removesuffix("\t")
    return f"\t{passback.oauth_consumer_key}\t{place}", f"\t{passback.lis_outcome_service_url}\t"
