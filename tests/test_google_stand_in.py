"""The stand-in for Google itself: it must be no more lenient than Google, and move what people move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from google_sheets import publish
from tests.support.google_schema import RefusedError
from tests.support.google_spreadsheet import SPREADSHEET_ID
from tests.support.sheet_contents import sheet_content, sheet_state

if TYPE_CHECKING:
    from tests.support.google import GoogleStandIn


@pytest.mark.parametrize(
    ("verb", "path", "body"),
    [
        ("POST", ":batchUpdate", {"requests": [{"updateCells": {"start": {"sheetId": 0}, "row": []}}]}),
        ("POST", ":batchUpdate", {"requests": [{"paintCells": {}}]}),
        ("POST", ":batchUpdate", {"requests": [{"updateCells": {"start": {"sheetId": "0"}}}]}),
        (
            "POST",
            ":batchUpdate",
            {"requests": [{"updateCells": {"rows": [{"values": [{"userEnteredValue": {"formulaValue": "=1"}}]}]}}]},
        ),
        ("POST", ":batchUpdate", {"requests": [{"updateCells": {"start": {"sheetId": 0}, "rows": [], "fields": "x"}}]}),
        ("GET", "?fields=sheets.colour", None),
        ("GET", "?colour=red", None),
        ("GET", "/values/A1?valueRenderOption=USER_ENTERED", None),
        ("PUT", "/values/A1?valueInputOption=USER_ENTERED", {"values": [[1]]}),
        ("DELETE", "", None),
    ],
)
def test_stand_in_refuses_what_google_does_not_describe(google: GoogleStandIn, verb: str, path: str, body: Any) -> None:
    """A wrong name, type, mask, parameter or method is a violation, which fails the test that made it."""
    import requests

    publish(google.settings, [sheet_content()])
    token = google.secrets[-1]
    url = f"{google.endpoint}/v4/spreadsheets/{SPREADSHEET_ID}{path}"

    answer = requests.request(verb, url, json=body, headers={"Authorization": f"Bearer {token}"}, timeout=5)

    assert answer.status_code in {400, 404}
    assert len(google.violations) == 1
    google.violations.clear()


def test_stand_in_applies_all_requests_or_none(google: GoogleStandIn) -> None:
    """A batch with one bad request leaves the spreadsheet as it was."""
    before = sheet_state(google)
    good = {"addSheet": {"properties": {"sheetId": 5, "title": "New"}}}

    with pytest.raises(RefusedError, match=r"requests\[1\]"):
        google.spreadsheet.batch_update([good, good])

    assert sheet_state(google) == before
