"""What stands around the rows of PostgreSQL's binary COPY: "Binary Format" in its documentation."""

from __future__ import annotations

from typing import Final

BEGIN: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
"""The signature, no flags, and no extension of the header."""
END: Final = b"\xff\xff"
"""A row of -1 fields."""
