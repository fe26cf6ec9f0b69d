"""Imports what draws the report, half a second's work, in the background while the database computes the figures."""

from __future__ import annotations

import threading
from contextlib import suppress


def prepare() -> None:
    """Begin to import; whoever needs a library before it is there waits for it as for any import."""
    threading.Thread(target=_import, name="report", daemon=True).start()


def _import() -> None:
    with suppress(Exception):  # told where the library is used
        from report import charts

        charts.import_libraries()
        import jinja2  # noqa: F401
        import xlsxwriter  # type: ignore[import-untyped]  # noqa: F401
