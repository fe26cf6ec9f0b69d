"""Asks for known weaknesses of the installed packages, and says plainly where nobody could be asked.

    python -m tools.advisories

pip-audit does the asking. By itself it ends with "no known vulnerabilities" also where its service knew none of the
packages. So here a package counts as checked only if the service answered for it. A weakness fails the build, a service
that cannot be reached does not.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

_COMMAND: Final = ("-m", "pip_audit", "--format", "json", "--progress-spinner", "off", "--timeout", "15")
_LIMIT: Final = 180.0


@dataclass(frozen=True)
class Advice:
    """What came of the asking: weaknesses, a line each, and how many packages were and were not checked."""

    weaknesses: tuple[str, ...]
    checked: int
    not_checked: tuple[str, ...]


def read_advice(text: str) -> Advice | None:
    """Read what pip-audit printed; None where that is no report."""
    try:
        packages: list[dict[str, Any]] = json.loads(text)["dependencies"]
    except (ValueError, TypeError, KeyError):
        return None
    weaknesses = [
        f"{package['name']} {package['version']}: {found['id']}, mended in {', '.join(found['fix_versions']) or '-'}"
        for package in packages
        for found in package.get("vulns", ())
    ]
    skipped = tuple(package["name"] for package in packages if "skip_reason" in package)
    return Advice(tuple(weaknesses), len(packages) - len(skipped), skipped)


def verdict(advice: Advice | None) -> tuple[int, str]:
    """Return the exit code and what is to be said."""
    if advice is None or not advice.checked:
        return 0, "advisories: NOT CHECKED, the advisory service cannot be reached or knows none of the packages"
    lines = [f"advisories: packages checked: {advice.checked}, weaknesses: {len(advice.weaknesses)}"]
    if advice.not_checked:
        lines.append(f"advisories: NOT CHECKED: {', '.join(advice.not_checked)}")
    return (1 if advice.weaknesses else 0), "\n".join([*lines, *advice.weaknesses])


def main() -> int:
    """Ask, say what came of it, and return the exit code."""
    text = ""
    with suppress(subprocess.TimeoutExpired):
        text = subprocess.run(  # noqa: S603  # pip-audit, in our own environment
            [sys.executable, *_COMMAND], capture_output=True, text=True, check=False, timeout=_LIMIT
        ).stdout
    code, told = verdict(read_advice(text))
    sys.stdout.write(told + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
