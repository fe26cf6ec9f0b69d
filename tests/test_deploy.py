"""The units of systemd and the crontab: systemd accepts them, they are hardened, and what they run can be run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from app_types import Language
from config import DEFAULTS, HOME
from console.arguments import Command, read_arguments
from messages import Messages

if TYPE_CHECKING:
    from pathlib import Path

DEPLOY = HOME / "deploy"
PLACE = "/srv/learning-events-etl"
UNITS = ("learning-events-etl", "learning-events-freshness")
ENGLISH = Messages(Language.ENGLISH)
MOST_EXPOSED = 20
"""Tenths: systemd calls an exposure of 2.0 OK."""
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


class _Unit(ConfigParser):
    """A unit file, whose names may stand more than once; the last one is kept."""

    def __init__(self, path: Path) -> None:
        super().__init__(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
        self.read(path, encoding="utf-8")

    def optionxform(self, optionstr: str) -> str:
        """Keep the case of names."""
        return optionstr


def service(name: str) -> _Unit:
    """Read a service."""
    return _Unit(DEPLOY / f"{name}.service")


def arguments_of(line: str) -> list[str]:
    """Return what a command line gives to the program."""
    return re.sub(r">.*", "", line.partition("data_processor.py")[2]).split()


def cron_lines() -> list[str]:
    """Return the lines of the crontab that run something."""
    return [line for line in (DEPLOY / "crontab").read_text("utf-8").splitlines() if re.match(r"[\d*]", line)]


@pytest.fixture
def placed_units(tmp_path: Path) -> list[Path]:
    """The units as they would be installed here: with the paths of this machine."""
    for path in [*DEPLOY.glob("*.service"), *DEPLOY.glob("*.timer")]:
        text = path.read_text("utf-8").replace(f"{PLACE}/.venv/bin/python", sys.executable).replace(PLACE, str(HOME))
        (tmp_path / path.name).write_text(text, "utf-8")
    return sorted(tmp_path.iterdir())


@needs_systemd
def test_systemd_accepts_the_units(placed_units: list[Path]) -> None:
    """`systemd-analyze verify` has nothing to say, not even a warning."""
    finished = subprocess.run(
        ["systemd-analyze", "verify", *map(str, placed_units)], capture_output=True, text=True, check=False
    )

    complaints = [line for line in finished.stderr.splitlines() if "learning-events" in line]
    assert (finished.returncode, complaints) == (0, [])
    assert len(placed_units) == 4


@needs_systemd
def test_services_are_hardened(placed_units: list[Path]) -> None:
    """The exposure that systemd computes stays low, for each service."""
    for path in placed_units:
        if path.suffix == ".service":
            finished = subprocess.run(
                ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(path)],
                capture_output=True,
                text=True,
                check=False,
            )
            assert finished.returncode == 0, finished.stdout


@needs_systemd
@pytest.mark.parametrize("zone", ["", " Europe/Moscow"])
@pytest.mark.parametrize("name", UNITS)
def test_times_are_understood(name: str, zone: str) -> None:
    """The time of a timer, and another zone behind it as the README says, are times to systemd."""
    time = _Unit(DEPLOY / f"{name}.timer")["Timer"]["OnCalendar"].removesuffix(" UTC")
    subprocess.run(["systemd-analyze", "calendar", time + zone], capture_output=True, check=True)


@pytest.mark.parametrize("name", UNITS)
def test_units_run_what_the_program_understands(name: str) -> None:
    """The command of a service is one of ours, and it needs nobody at the keyboard."""
    line = service(name)["Service"]["ExecStart"]

    assert line.startswith(f"{PLACE}/.venv/bin/python data_processor.py ")
    assert read_arguments(arguments_of(line), ENGLISH).command in {Command.FILL, Command.CHECK}


def test_crontab_runs_the_same_at_the_same_times() -> None:
    """Without systemd nothing else happens."""
    for name, line in zip(UNITS, cron_lines(), strict=True):
        minute, hour, *_ = line.split()
        time = _Unit(DEPLOY / f"{name}.timer")["Timer"]["OnCalendar"]
        assert f" {int(hour):02}:{int(minute):02}:00" in time
        assert arguments_of(line) == arguments_of(service(name)["Service"]["ExecStart"])


def test_services_differ_in_nothing_but_their_purpose() -> None:
    """What one is not allowed, the other is not either."""
    told = {"ExecStart", "Environment", "TimeoutStartSec", "ReadWritePaths"}
    first, second = ({k: v for k, v in service(name)["Service"].items() if k not in told} for name in UNITS)

    assert {name for name in first if first[name] != second.get(name)} == {
        "Restart",
        "RestartSec",
        "RestartPreventExitStatus",
    }
    assert set(second) < set(first)


def test_machine_that_slept_catches_up() -> None:
    """A time that was missed is made up for, and the command loads more than the one day."""
    for name in UNITS:
        assert _Unit(DEPLOY / f"{name}.timer")["Timer"]["Persistent"] == "true"
    options = read_arguments(arguments_of(service(UNITS[0])["Service"]["ExecStart"]), ENGLISH)

    assert (options.command, options.days) == (Command.FILL, 7)


def test_freshness_is_asked_when_a_missing_day_is_too_old_and_the_last_one_is_not() -> None:
    """At the time of the question, yesterday's end is young enough, that of the day before is not."""
    options = read_arguments(arguments_of(service(UNITS[1])["Service"]["ExecStart"]), ENGLISH)
    hour, minute = re.findall(r" (\d\d):(\d\d):", _Unit(DEPLOY / f"{UNITS[1]}.timer")["Timer"]["OnCalendar"])[0]
    asked = timedelta(hours=int(hour), minutes=int(minute))

    assert options.freshness is not None
    assert asked < options.freshness < asked + timedelta(days=1)


def test_only_a_failed_run_is_tried_again() -> None:
    """Wrong settings and a refused letter do not mend themselves by waiting."""
    told = service(UNITS[0])["Service"]

    assert told["Restart"] == "on-failure"
    assert told["RestartPreventExitStatus"].split() == ["2", "3", "130"]


def test_what_is_named_exists() -> None:
    """Settings in units and crontab are ours, files that the README names are there."""
    for text in [path.read_text("utf-8") for path in DEPLOY.iterdir()]:
        for name in re.findall(r"\b([A-Z]+(?:_[A-Z]+)+)=", text):
            assert name in DEFAULTS or name == "CRON_TZ"
    for readme in (DEPLOY / "README.md", DEPLOY / "README.ru.md"):
        text = readme.read_text("utf-8")
        for name in [*(path.stem for path in DEPLOY.glob("*.service")), "crontab"]:
            assert name in text
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (DEPLOY / link).is_file(), link
