"""The local page of a day: one self-contained HTML file that opens anywhere and asks the network for nothing."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from app_types import Mode
from exceptions import ReportError
from report.rendering import render

if TYPE_CHECKING:
    from report.content import DayContent

log = logging.getLogger(__name__)


def write_page(content: DayContent, folder: Path) -> Path:
    """Write the page of a day and return where it lies; a test run has a file of its own.

    The page appears whole or not at all: an older one stays until the new one is complete. Only the owner may
    read it, as only the owner may read a folder that is made here.

    Raises:
        ReportError: the file could not be written; an older page is whole.
    """
    suffix = ".test.html" if content.mode is Mode.TEST else ".html"
    path = folder / f"{content.date.isoformat()}{suffix}"
    page = render("page.html.j2", content=content).encode()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(path, page)
    except OSError as error:
        raise ReportError(
            "The page %(file)s could not be written: %(cause)s.",
            remedy="Check that REPORTS_PATH is a folder that can be written to and that the disk has room.",
            file=str(path),
            cause=error.strerror or type(error).__name__,
        ) from None
    log.info("page written: %s", path)
    return path


def _replace(path: Path, data: bytes) -> None:
    """Put a new file in the place of an old one in one step, readable by its owner alone."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
