"""What a probe found: a grade, a sentence, and what a machine may want to know besides."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PATIENCE = 12.0
"""Seconds that a probe gives the other side; less than `check` gives the probe."""


class Grade(StrEnum):
    """How a part is."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found of a part, in words; `facts` join the JSON object."""

    grade: Grade
    text: str
    facts: Mapping[str, object] = field(default_factory=dict)


def good(text: str, **facts: object) -> Finding:
    """Return a finding that nothing needs to be done about."""
    return Finding(Grade.GOOD, text, facts)


def warning(text: str, **facts: object) -> Finding:
    """Return a finding that keeps nothing from working."""
    return Finding(Grade.WARNING, text, facts)


def bad(text: str, **facts: object) -> Finding:
    """Return a finding that will make a run fail."""
    return Finding(Grade.BAD, text, facts)
