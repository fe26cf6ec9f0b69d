"""How a letter is written down as bytes that every server takes and every program reads as it was meant."""

from __future__ import annotations

from email.header import Header
from email.policy import EmailPolicy
from typing import Final

_LINE: Final = 76  # RFC 2047


class _Policy(EmailPolicy):
    """The library's policy, whose own folding loses blanks between encoded words of a subject (bpo-35547)."""

    def fold(self, name: str, value: str) -> str:
        return self._words(name, value) or super().fold(name, value)

    def fold_binary(self, name: str, value: str) -> bytes:
        words = self._words(name, value)
        return words.encode("ascii") if words else super().fold_binary(name, value)

    def _words(self, name: str, value: str) -> str:
        """Return a subject beyond ASCII as encoded words that hold their blanks; nothing for any other header."""
        if name.lower() != "subject" or str(value).isascii():
            return ""
        header = Header(str(value), "utf-8", maxlinelen=_LINE, header_name=name)
        return f"{name}: {header.encode(linesep=self.linesep)}{self.linesep}"


POLICY: Final = _Policy(linesep="\r\n", cte_type="7bit")
"""Bodies in quoted-printable or base64, so that a server need not offer 8BITMIME."""
