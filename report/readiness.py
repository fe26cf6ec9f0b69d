"""Makes ready what draws the report, half a second's work, in the background while the database has work to do."""

from __future__ import annotations

import threading
from contextlib import suppress


def prepare() -> None:
    """Begin with it; whoever needs a library before it is there waits for it as for any import."""
    threading.Thread(target=_prepare, name="report", daemon=True).start()


def _prepare() -> None:
    with suppress(Exception):  # told where the library is used
        from report import charts, rendering

        charts.import_libraries()
        rendering.prepare()
        import xlsxwriter  # type: ignore[import-untyped]  # noqa: F401
