"""`--demo`, as a newcomer runs it: the whole pipeline on the embedded parts, in a copy of the program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.program import Program

pytestmark = [pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(400)]

DAY = "2023-04-01"


def test_demo_loads_then_corrects_one_event_then_has_nothing_new(copied_program: Program) -> None:
    """Nothing is configured; the first run brings the day and a past, the second one correction, the third nothing."""
    first, second, third = (copied_program.run("--demo", "--date", DAY, "--json") for _ in range(3))

    assert [run.code for run in (first, second, third)] == [0, 0, 0]
    days = [run.days[0] for run in (first, second, third)]
    assert days[0]["loaded"] == days[0]["received"] - days[0]["rejected"] - days[0]["already_present"]
    assert 5_000 < days[0]["loaded"] < 7_000
    assert [(day["loaded"], day["updated"]) for day in days[1:]] == [(0, 1), (0, 0)]
    assert [day["mail"] for day in days] == ["sent", "sent", "unchanged"]
    state = copied_program.home / ".demo"
    assert len(list((state / "letters").glob("*.eml"))) == 2
    assert (state / "reports" / f"{DAY}.html").is_file()
    assert (state / "reports" / f"{DAY}.xlsx").is_file()
    assert not (copied_program.home / ".data").exists()
