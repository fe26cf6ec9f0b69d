"""Reads the SQL statements from `sql/`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

SQL_DIRECTORY = Path(__file__).resolve().parent.parent / "sql"


@cache
def query(name: str) -> str:
    """Return a statement by its path below `sql/`, without the ending."""
    return (SQL_DIRECTORY / f"{name}.sql").read_text(encoding="utf-8")
