"""What Google's refusals mean for people: errors with a remedy, and the signs by which they are told apart.

Of an answer nothing is shown but codes: its texts come from outside.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from exceptions import SheetError

if TYPE_CHECKING:
    import requests


class RefusedRequestError(Exception):
    """Google refused a whole batch because of one request in it; nothing of the batch was applied."""

    def __init__(self, index: int, error: SheetError, *, is_protected: bool) -> None:
        super().__init__(index)
        self.index = index
        self.error = error
        self.is_protected = is_protected


def decoded(response: requests.Response) -> dict[str, Any] | None:
    """Return the object that an answer holds, None where it holds something else."""
    with suppress(ValueError, RecursionError):
        content = response.json()
        return content if isinstance(content, dict) else None
    return None


def refusal(status: int, content: dict[str, Any] | None, account: str) -> Exception:
    """Return the error of an answer that another try would only repeat."""
    reasons, message = _reasons(content), _message(content)
    if re.search(r"limit of [\d,]+ cells", message):
        return SheetError(
            "The spreadsheet is full: Google allows it no more cells; it is as it was before.",
            remedy="Delete worksheets, rows or columns that nobody needs, or name another spreadsheet in "
            "GOOGLE_SHEET_ID.",
        )
    if index := re.search(r"\brequests\[(\d{1,6})\]", message):
        error = _refused(status, reasons, account)
        return RefusedRequestError(int(index[1]), error, is_protected="protected" in message)
    if status == 403 and "SERVICE_DISABLED" in reasons:
        return SheetError(
            "The Google Sheets API is not enabled in the project of %(account)s.",
            remedy="Enable it in the Google Cloud console and try again some minutes later.",
            account=account,
        )
    if status == 403:
        return SheetError(
            "Google does not let %(account)s edit the spreadsheet.",
            remedy="Share the spreadsheet with %(account)s as editor.",
            account=account,
        )
    if status == 404:
        return SheetError(
            "Google knows no spreadsheet with the id in GOOGLE_SHEET_ID.",
            remedy="Check GOOGLE_SHEET_ID, and share the spreadsheet with %(account)s as editor.",
            account=account,
        )
    return _refused(status, reasons, account)


def protected(worksheet: str, account: str) -> SheetError:
    """Return the error of a batch that would have changed protected cells."""
    shown = "".join(character if character.isprintable() else "?" for character in worksheet[:100])
    return SheetError(
        "The worksheet %(worksheet)s is protected, or some of its cells are; the spreadsheet is as it was before.",
        remedy="In Google Sheets, let %(account)s edit what is protected, or take the protection away.",
        worksheet=shown,
        account=account,
    )


def no_key(account: str) -> SheetError:
    """Return the error of a key that Google did not accept."""
    return SheetError(
        "Google did not accept the key of %(account)s: it was revoked, or the clock of this machine is wrong.",
        remedy="Set the clock, or create a new key and name its file in GOOGLE_CREDENTIALS_FILE.",
        account=account,
    )


def unavailable(cause: str) -> SheetError:
    """Return the error of a Google that cannot be reached."""
    return SheetError(
        "Google Sheets cannot be reached, or does not answer as it should (%(cause)s).",
        remedy="Check the network, the clock and GOOGLE_SHEETS_ENDPOINT, or try again later.",
        cause=cause,
    )


def _refused(status: int, reasons: set[str], account: str) -> SheetError:
    return SheetError(
        "Google refused to read or change the spreadsheet (%(code)s); it is as it was before.",
        remedy="If cells of our worksheets are protected, let %(account)s edit them; if it is an Excel file, "
        "save it as a Google Sheet.",
        code=" ".join([str(status), *sorted(reasons)]),
        account=account,
    )


def _message(content: dict[str, Any] | None) -> str:
    error = content.get("error") if content else None
    message = error.get("message") if isinstance(error, dict) else None
    return message[:10_000] if isinstance(message, str) else ""


def _reasons(content: dict[str, Any] | None) -> set[str]:
    """Return the codes of an error answer, of which every part may be missing or of another form."""
    error = content.get("error") if content else None
    if not isinstance(error, dict):
        return set()
    details = error.get("details")
    parts = [part for part in details if isinstance(part, dict)] if isinstance(details, list) else []
    codes = {str(code) for code in (error.get("status"), *(part.get("reason") for part in parts))}
    return {code for code in codes if re.fullmatch(r"[A-Z][A-Z_]{2,50}", code)}
