"""An arena with sheet and letter, and what an uninterrupted run leaves in each place."""

from __future__ import annotations

import re
import zipfile
from typing import TYPE_CHECKING, Any

from tests.support.endurance import WITHOUT_PICTURES, warm_up
from tests.support.google_spreadsheet import StandInSpreadsheet
from tests.support.program import RECIPIENTS, SENDER
from tests.support.ready_source import make_day
from tests.support.watcher import rows

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.endurance import Arena
    from tests.support.google import GoogleStandIn
    from tests.support.smtp import SmtpServer

LANGUAGES = ("ENGLISH", "RUSSIAN")

Cells = dict[str, dict[tuple[int, int], Any]]


def cells(google: GoogleStandIn) -> Cells:
    """Return what stands in the cells of each worksheet."""
    return {
        sheet.title: {place: cell.get("userEnteredValue") for place, cell in sheet.cells.items()}
        for sheet in google.spreadsheet.sheets
    }


def steady(first: Cells, second: Cells) -> Cells:
    """Return the cells that a first and a second uninterrupted run of a day have in common.

    All others tell of the run, not of the day: when it was, and how many of the events were new to it.
    """
    return {
        title: {place: value for place, value in sheet.items() if second[title].get(place) == value}
        for title, sheet in first.items()
    }


def is_whole(path: Path) -> bool:
    """Tell whether a report is one that can be opened."""
    if path.suffix == ".xlsx":
        with zipfile.ZipFile(path) as workbook:
            return workbook.testzip() is None
    return path.read_text("utf-8").rstrip().endswith("</html>")


class Stage:
    """An arena with sheet and mail, and what an uninterrupted run leaves in each place."""

    def __init__(self, arena: Arena, google: GoogleStandIn, mail: SmtpServer, events: int) -> None:
        self.arena, self.google, self.mail = arena, google, mail
        arena.settings |= google.environment | mail.environ
        arena.settings |= {"SENDER_EMAIL": SENDER, "EMAIL_ADDRESSES_FOR_MAILING": ", ".join(RECIPIENTS)}
        warm_up(arena, again=True)
        arena.prepare.append(WITHOUT_PICTURES)
        arena.source.serve(make_day(events))
        self.clear()
        self.old, self.empty = arena.seen(), arena.digest()
        self.sheets: dict[str, Cells] = {}
        for language in LANGUAGES:
            self.clear()
            arena.run(CURR_LANG=language)
            first = cells(google)
            self.new, self.whole = arena.seen(), arena.digest()
            google.spreadsheet = StandInSpreadsheet()
            rows(arena.outside, "TRUNCATE etl_publications")
            arena.run(CURR_LANG=language)
            self.sheets[language] = steady(first, cells(google))

    def clear(self) -> None:
        """Begin anew: nothing loaded, nothing drawn, nothing sent."""
        self.arena.forget()
        self.arena.tidy()
        self.google.spreadsheet = StandInSpreadsheet()
        self.mail.messages.clear()

    def missing(self, language: str) -> dict[tuple[str, tuple[int, int]], tuple[Any, Any]]:
        """Return the cells that do not show what an uninterrupted run draws: what they should, and what they do."""
        now, wanted = cells(self.google), self.sheets[language]
        return {
            (title, place): (value, now.get(title, {}).get(place))
            for title, sheet in wanted.items()
            for place, value in sheet.items()
            if now.get(title, {}).get(place) != value
        }

    def is_blank(self) -> bool:
        """Tell whether nothing is drawn yet, though the worksheets may be there."""
        return not any(value for sheet in cells(self.google).values() for value in sheet.values())

    def reports(self) -> list[Path]:
        """Return the reports that a reader finds."""
        return [path for path in self.arena.reports.glob("*") if re.match(r"[^.].*\.(html|xlsx)$", path.name)]

    def begun(self) -> bool:
        """Tell whether it is written down that a letter was handed over, or about to be."""
        return bool(rows(self.arena.outside, "SELECT state FROM etl_outbox"))

    def check_after_kill(self, language: str, *, committed: bool) -> None:
        """Check what a killed run has left: each thing as before or as after, and no letter that nobody remembers."""
        assert self.arena.statuses() in ([["partial"], ["ok"]] if committed else [[], ["running"]])
        assert self.is_blank() or (committed and not self.missing(language))
        assert all(is_whole(path) for path in self.reports())
        assert len(self.mail.messages) <= 1
        assert not self.mail.messages or self.begun()

    def check_after_repeat(self, language: str, *, sent: int, begun: bool) -> None:
        """Check what another run has left after that: all of it.

        Once the server could have it, a letter is never sent again by itself: one too few, at worst, not one too many.
        """
        assert self.arena.digest() == self.whole
        assert self.arena.statuses()[-1] == "ok"
        assert set(self.arena.statuses()[:-1]) <= {"interrupted", "partial", "ok"}
        assert self.missing(language) == {}
        assert {path.suffix for path in self.reports()} == {".html", ".xlsx"}
        assert all(is_whole(path) for path in self.reports())
        assert len(self.mail.messages) == (sent if begun else 1)
