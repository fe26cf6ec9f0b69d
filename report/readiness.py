"""Makes ready what draws report and summary, in the background while the database has work to do."""

from __future__ import annotations

import threading
from contextlib import suppress


def prepare() -> None:
    """Start with it in the background; whoever needs something before it is ready imports or translates it as usual."""
    threading.Thread(target=_prepare, name="report", daemon=True).start()


def _prepare() -> None:
    with suppress(Exception):  # told where the library is used
        import rich.table  # noqa: F401  (the summary)
        import xlsxwriter  # type: ignore[import-untyped]  # noqa: F401

        from report import rendering

        rendering.prepare()
