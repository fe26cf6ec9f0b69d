"""The file of figures: both formats of Prometheus read it, it is whole or not there, and what must last lasts."""

from __future__ import annotations

import os
import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import parser as prometheus
from prometheus_client.openmetrics import parser as openmetrics

from alarms.ending import Ending
from alarms.metrics import PREFIX, write
from app_types import Counts, DailyStatistics, DayOutcome, Mode, RunStatus

if TYPE_CHECKING:
    from pathlib import Path

DAY = date(2023, 4, 1)
START = datetime(2023, 4, 2, 1, 15, tzinfo=UTC)
END_OF_DAY = datetime(2023, 4, 2, tzinfo=UTC)
COUNTS = Counts(received=100, loaded=80, updated=5, already_present=9, rejected=6, defective=7, missing_at_source=2)
needs_posix = pytest.mark.skipif(os.name != "posix", reason="file modes are those of POSIX")


def outcome(status: RunStatus = RunStatus.OK, day: date = DAY, **values: Any) -> DayOutcome:
    """Return the end of a day, by default a good one."""
    defaults: dict[str, Any] = {"complete": True, "counts": COUNTS, "statistics": DailyStatistics(10, 60, 34, 20)}
    return DayOutcome(date=day, mode=Mode.FULL, status=status, **(defaults | values))


def failure(day: date = DAY) -> DayOutcome:
    """Return the end of a day that failed."""
    return outcome(RunStatus.FAILED, day, counts=None, statistics=None)


def ending(*outcomes: DayOutcome, code: int = 0, later: float = 0, **values: Any) -> Ending:
    """Return the end of a command that began some hours later than the first."""
    start = START + timedelta(hours=later)
    return Ending("run", code, outcomes, start, start + timedelta(seconds=12.5), **values)


def read(path: Path) -> dict[str, float]:
    """Return the samples of a file as OpenMetrics tells them, `name{label}` and value."""
    families = openmetrics.text_string_to_metric_families(path.read_text("utf-8"))
    return {
        each.name.removeprefix(PREFIX) + "".join(f"{{{value}}}" for value in each.labels.values()): each.value
        for family in families
        for each in family.samples
    }


def test_good_run_tells_its_figures(tmp_path: Path) -> None:
    """Times, code, counts and the figures of the day are all there."""
    path = tmp_path / "etl.prom"
    write(path, ending(outcome(), whole_until=END_OF_DAY))

    assert read(path) == {
        "last_run_exit_code": 0,
        "last_run_start_timestamp_seconds": START.timestamp(),
        "last_run_end_timestamp_seconds": START.timestamp() + 12.5,
        "last_run_duration_seconds": 12.5,
        "last_run_results{ok}": 1,
        "last_run_results{partial}": 0,
        "last_run_results{failed}": 0,
        "last_run_results{interrupted}": 0,
        "last_run_events{loaded}": 80,
        "last_run_events{updated}": 5,
        "last_run_events{already_present}": 9,
        "last_run_events{rejected}": 6,
        "last_run_received_events": 100,
        "last_run_defective_events": 7,
        "last_run_missing_at_source_events": 2,
        "last_success_timestamp_seconds": START.timestamp() + 12.5,
        "newest_whole_day_end_timestamp_seconds": END_OF_DAY.timestamp(),
        "day_date_timestamp_seconds": datetime(2023, 4, 1, tzinfo=UTC).timestamp(),
        "day_unique_students": 10,
        "day_code_runs": 60,
        "day_submits": 34,
        "day_successful_submits": 20,
        "day_trusted": 1,
    }


def test_older_format_of_prometheus_reads_the_same(tmp_path: Path) -> None:
    """node_exporter's collector reads the older text format; no sample has a timestamp, which it refuses."""
    path = tmp_path / "etl.prom"
    write(path, ending(outcome()))
    families = list(prometheus.text_string_to_metric_families(path.read_text("utf-8")))
    samples = [each for family in families for each in family.samples]

    assert {family.type for family in families} == {"gauge"}
    assert {each.name for each in samples} == {each.partition("{")[0] for each in map(PREFIX.__add__, read(path))}
    assert all(each.timestamp is None for each in samples)


def test_names_follow_the_conventions(tmp_path: Path) -> None:
    """Snake case, one prefix, base units at the end, a help text each, and no name of a counter."""
    path = tmp_path / "etl.prom"
    write(path, ending(outcome(), whole_until=END_OF_DAY))
    for family in openmetrics.text_string_to_metric_families(path.read_text("utf-8")):
        assert re.fullmatch(r"lms_etl_[a-z_]+", family.name)
        assert family.documentation.endswith(".")
        assert not family.name.endswith("_total")
        assert ("timestamp" in family.name or "duration" in family.name) is family.name.endswith("_seconds")


def test_failure_keeps_the_last_success_and_the_newest_day(tmp_path: Path) -> None:
    """What an alert compares with now must survive the runs that fail."""
    path = tmp_path / "etl.prom"
    write(path, ending(outcome(), whole_until=END_OF_DAY))
    write(path, ending(failure(DAY + timedelta(days=1)), code=1, later=24))
    told = read(path)

    assert told["last_run_exit_code"] == 1
    assert told["last_run_results{failed}"] == 1
    assert told["last_success_timestamp_seconds"] == START.timestamp() + 12.5
    assert told["newest_whole_day_end_timestamp_seconds"] == END_OF_DAY.timestamp()
    assert "day_submits" not in told


def test_work_on_older_days_does_not_turn_the_newest_day_back(tmp_path: Path) -> None:
    """A backfill after the daily run leaves the newest day as it is."""
    path = tmp_path / "etl.prom"
    write(path, ending(outcome(), whole_until=END_OF_DAY))
    write(path, ending(outcome(day=DAY - timedelta(days=9)), whole_until=END_OF_DAY - timedelta(days=9), later=1))

    assert read(path)["newest_whole_day_end_timestamp_seconds"] == END_OF_DAY.timestamp()


def test_range_sums_its_events_and_shows_its_newest_day(tmp_path: Path) -> None:
    """Events are those of all days, figures those of the newest that has any."""
    path = tmp_path / "etl.prom"
    newer = outcome(RunStatus.PARTIAL, DAY + timedelta(days=1), statistics=DailyStatistics(1, 2, 3, 1))
    write(path, ending(outcome(), newer, failure(DAY + timedelta(days=2)), code=1))
    told = read(path)

    assert (told["last_run_results{ok}"], told["last_run_results{partial}"], told["last_run_results{failed}"]) == (
        1,
        1,
        1,
    )
    assert told["last_run_events{loaded}"] == 160
    assert told["day_submits"] == 3
    assert told["day_date_timestamp_seconds"] == datetime(2023, 4, 2, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("case", ["doubtful", "unfinished"])
def test_day_that_is_not_to_be_trusted_says_so(tmp_path: Path, case: str) -> None:
    """A doubtful day, and one that is not over, have a 0."""
    path = tmp_path / "etl.prom"
    doubts = {DAY: "Many events were rejected."} if case == "doubtful" else {}
    write(path, ending(outcome(complete=case != "unfinished"), doubts=doubts))

    assert read(path)["day_trusted"] == 0


@needs_posix
def test_file_is_readable_by_the_collector_whatever_the_umask(tmp_path: Path) -> None:
    """node_exporter is another user; nothing but the file itself is left in the folder."""
    path = tmp_path / "etl.prom"
    before = os.umask(0o077)
    try:
        write(path, ending(outcome()))
    finally:
        os.umask(before)

    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


@needs_posix
def test_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """Who can write to the folder cannot make us write elsewhere."""
    victim, path = tmp_path / "victim", tmp_path / "etl.prom"
    victim.write_text("mine", "utf-8")
    path.symlink_to(victim)
    write(path, ending(outcome()))

    assert victim.read_text("utf-8") == "mine"
    assert not path.is_symlink()


def test_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    """A folder in the way is an error; nothing is left behind."""
    path = tmp_path / "etl.prom"
    path.mkdir()

    with pytest.raises(OSError, match=r"."):
        write(path, ending(outcome()))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"not metrics {", b"x" * 100_000, b"# TYPE a gauge\na NaN\n# EOF\n"]
)
def test_foreign_file_is_replaced(tmp_path: Path, content: bytes) -> None:
    """Whatever stood there, the new file is ours and whole."""
    path = tmp_path / "etl.prom"
    path.write_bytes(content)
    write(path, ending(failure(), code=1))

    assert read(path)["last_run_exit_code"] == 1
    assert "last_success_timestamp_seconds" not in read(path)
