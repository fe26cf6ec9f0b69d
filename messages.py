"""The two languages: translated templates, plural forms, dates and numbers as people read them.

Code speaks English: the template is the key, and English needs no catalogue. Other languages live in
`locale/<language>/LC_MESSAGES/etl.po`, compiled beside it; see `locale/README.md`. A text missing from a
catalogue falls back to English, and a test sees to it that none is missing.
"""

from __future__ import annotations

import gettext
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import babel
from babel import dates, numbers

from app_types import Language

if TYPE_CHECKING:
    from exceptions import ConfigError, EtlError, Fault

LOCALE_DIRECTORY = Path(__file__).parent / "locale"
DOMAIN = "etl"

_TERRITORIES = {Language.RUSSIAN: "ru_RU", Language.ENGLISH: "en_GB"}


@cache
def catalogue(language: Language) -> gettext.NullTranslations:
    """Return the catalogue of a language; English is its own."""
    if language is Language.ENGLISH:
        return gettext.NullTranslations()
    return gettext.translation(DOMAIN, LOCALE_DIRECTORY, languages=[language.value])


class Messages:
    """Everything that is said to people in one language."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self.locale = babel.Locale.parse(_TERRITORIES[language])
        self._catalogue = catalogue(language)

    def translated(self, text: str) -> str:
        """Translate a text that is a template somewhere else; nothing is filled in."""
        return self._catalogue.gettext(text) if text else ""

    def text(self, template: str, /, **fields: object) -> str:
        """Translate a template and fill in its `%(name)s` fields; dates and numbers are localised."""
        translated = self.translated(template)
        return translated % self._localised(fields) if fields else translated

    def plural(self, one: str, many: str, count: int, /, **fields: object) -> str:
        """Translate a counted text; the count is its field `%(n)s`, grouped as the language does."""
        return self._catalogue.ngettext(one, many, count) % self._localised({"n": count, **fields})

    def error(self, error: EtlError) -> str:
        """Word an error: what happened, then what to do."""
        text = self.text(error.template, **error.fields)
        return f"{text} {self.text(error.remedy, **error.fields)}" if error.remedy else text

    def faults(self, error: ConfigError) -> list[str]:
        """Word each fault of the settings, one line each."""
        return [self.fault(fault) for fault in error.faults]

    def fault(self, fault: Fault) -> str:
        """Word one fault or warning of the settings."""
        return self.text(fault.template, **fault.fields)

    def number(self, value: float | Decimal, digits: int | None = None) -> str:
        """Group a number's thousands; with `digits`, at most so many decimals, rounded as a spreadsheet does."""
        if digits is None:
            return numbers.format_decimal(value, locale=self.locale)
        pattern = "#,##0." + "#" * digits if digits else "#,##0"
        rounded = Decimal(str(value)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
        return numbers.format_decimal(rounded, format=pattern, locale=self.locale)

    def percent(self, share: float, digits: int = 1) -> str:
        """Write a share of 0 to 1 as percent, with at most so many decimals."""
        number = self.number(Decimal(str(share)) * 100, digits)
        return f"{number}\u00a0%" if self.language is Language.RUSSIAN else f"{number}%"

    def short_date(self, day: date) -> str:
        """Write a date without its year, for the axis of a chart: "1 Apr", "1 апр."."""
        return dates.format_skeleton("MMMd", day, locale=self.locale)

    def date(self, day: date) -> str:
        """Write a date in words: "1 April 2023"."""
        written = dates.format_date(day, format="long", locale=self.locale)
        return written.removesuffix("\u202fг.").removesuffix("\u00a0г.").removesuffix(" г.")

    def time(self, moment: datetime) -> str:
        """Write the time of day of an aware moment, in its own zone: "14:05"."""
        return dates.format_time(moment, format="HH:mm", tzinfo=moment.tzinfo, locale=self.locale)

    def moment(self, moment: datetime) -> str:
        """Write an aware moment in its own zone, in words, to the minute."""
        return f"{self.date(moment.date())}, {self.time(moment)}"

    def duration(self, length: timedelta) -> str:
        """Write a duration: "0.8 s", "2 min 05 s", "1 h 02 min"."""
        seconds = max(length.total_seconds(), 0.0)
        if seconds < 10:
            return self.text("%(seconds)s s", seconds=self.number(round(seconds, 1), 1))
        whole = round(seconds)
        if whole < 60:
            return self.text("%(seconds)s s", seconds=str(whole))
        if whole < 3600:
            return self.text("%(minutes)s min %(seconds)s s", minutes=str(whole // 60), seconds=f"{whole % 60:02}")
        return self.text("%(hours)s h %(minutes)s min", hours=str(whole // 3600), minutes=f"{whole // 60 % 60:02}")

    def _localised(self, fields: dict[str, object]) -> dict[str, object]:
        return {name: self._value(value) for name, value in fields.items()}

    def _value(self, value: object) -> object:
        match value:
            case datetime():
                return self.moment(value)
            case date():
                return self.date(value)
            case timedelta():
                return self.duration(value)
            case bool():
                return value
            case int() | float():
                return self.number(value)
            case _:
                return value
