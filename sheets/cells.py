"""Cells as the Sheets API takes them: typed values with the format of their kind, and texts that stay texts.

A text is a `stringValue`, which no first character makes a formula, and is shown as plain text even where it looks like
an address.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from report.content import CellKind

if TYPE_CHECKING:
    from report.content import Cell

CellData = dict[str, Any]

FIELDS: Final = (
    "userEnteredValue,userEnteredFormat.numberFormat,userEnteredFormat.textFormat.bold,"
    "userEnteredFormat.hyperlinkDisplayType"
)
"""What we write of a cell day by day; notes, colours, fonts and alignment are people's."""
GROUND: Final = "userEnteredFormat.backgroundColorStyle"

_FORMATS: Final = {
    CellKind.COUNT: {"type": "NUMBER", "pattern": "#,##0"},
    CellKind.SHARE: {"type": "PERCENT", "pattern": "0.0%"},
    CellKind.AVERAGE: {"type": "NUMBER", "pattern": "0.00"},
    CellKind.DATE: {"type": "DATE", "pattern": "yyyy-mm-dd"},
    CellKind.MOMENT: {"type": "DATE_TIME", "pattern": "yyyy-mm-dd hh:mm"},
}
_EPOCH: Final = datetime(1899, 12, 30)  # noqa: DTZ001  (serial numbers know no zone)
_LONGEST: Final = 5_000  # of the 50,000 characters that Google allows in a cell
_UNFIT: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def typed(cell: Cell, *, blank: bool = False) -> CellData:
    """Return a cell as the API takes it; a missing value shows its text or, with `blank`, nothing."""
    match cell.value:
        case None:
            return label("" if blank else cell.text)
        case str() as text:
            return label(text)
        case datetime() as moment:
            number: float = (moment.replace(tzinfo=None) - _EPOCH) / timedelta(days=1)
        case date() as day:
            number = (day - _EPOCH.date()).days
        case value:
            number = value
    return {
        "userEnteredValue": {"numberValue": number},
        "userEnteredFormat": {"numberFormat": _FORMATS[cell.kind]} if cell.kind in _FORMATS else {},
    }


def label(text: str, *, bold: bool = False) -> CellData:
    """Return a text; an empty one empties the cell."""
    if not text:
        return {"userEnteredValue": {}, "userEnteredFormat": {}}
    shown: dict[str, Any] = {"hyperlinkDisplayType": "PLAIN_TEXT"}
    if bold:
        shown["textFormat"] = {"bold": True}
    fit = _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text[:_LONGEST])
    return {"userEnteredValue": {"stringValue": fit}, "userEnteredFormat": shown}


def as_date(value: object) -> date | None:
    """Read a date out of the date column: a serial number, or ISO text that somebody typed."""
    with suppress(ValueError, OverflowError):
        if isinstance(value, int | float):
            return (_EPOCH + timedelta(days=int(value))).date()
        return date.fromisoformat(str(value).strip())
    return None


def colour(code: str) -> dict[str, Any]:
    """Return a colour given as "#rrggbb"."""
    red, green, blue = (round(int(code[at : at + 2], 16) / 255, 4) for at in (1, 3, 5))
    return {"rgbColor": {"red": red, "green": green, "blue": blue}}
