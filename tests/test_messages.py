"""The two languages: tables of (language, what is said, how it reads)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from app_types import Language
from exceptions import ConfigError, Fault, SheetError, SourceError
from messages import Messages, catalogue

RU, EN = Language.RUSSIAN, Language.ENGLISH


@pytest.mark.parametrize(
    ("language", "value", "digits", "expected"),
    [
        (RU, 0, None, "0"),
        (RU, 999, None, "999"),
        (RU, 1204, None, "1\u00a0204"),
        (RU, 1234567, None, "1\u00a0234\u00a0567"),
        (RU, -1204, None, "-1\u00a0204"),
        (RU, 2.5, None, "2,5"),
        (RU, 1204.5, 2, "1\u00a0204,5"),
        (RU, 2.0, 2, "2"),
        (RU, 1 / 3, 2, "0,33"),
        (EN, 1204, None, "1,204"),
        (EN, 1234567, None, "1,234,567"),
        (EN, 2.5, None, "2.5"),
        (EN, 2 / 3, 2, "0.67"),
        (EN, 0.5, 0, "1"),
        (EN, 1.5, 0, "2"),
        (EN, 2.5, 0, "3"),
        (EN, 0.125, 2, "0.13"),
        (EN, 2.675, 2, "2.68"),
        (EN, Decimal("0.05"), 1, "0.1"),
    ],
)
def test_numbers(language: Language, value: float, digits: int | None, expected: str) -> None:
    """Thousands are grouped and decimals set off as the language does; halves are rounded up, as in a spreadsheet."""
    assert Messages(language).number(value, digits) == expected


@pytest.mark.parametrize(
    ("language", "share", "digits", "expected"),
    [
        (RU, 0.0, 1, "0\u00a0%"),
        (RU, 0.347, 1, "34,7\u00a0%"),
        (RU, 0.48, 0, "48\u00a0%"),
        (RU, 1.0, 1, "100\u00a0%"),
        (EN, 0.347, 1, "34.7%"),
        (EN, 0.48, 0, "48%"),
        (EN, 0.285, 0, "29%"),
        (EN, 0.0625, 1, "6.3%"),
        (EN, 1 / 3, 1, "33.3%"),
        (EN, 2 / 3, 0, "67%"),
        (EN, 0.9996, 1, "100%"),
    ],
)
def test_percent(language: Language, share: float, digits: int, expected: str) -> None:
    """A share of 0 to 1 is percent; the Russian sign stands apart, but not on the next line."""
    assert Messages(language).percent(share, digits) == expected


@pytest.mark.parametrize(
    ("language", "day", "expected"),
    [
        (RU, date(2023, 4, 1), "1 апреля 2023"),
        (RU, date(2023, 5, 31), "31 мая 2023"),
        (EN, date(2023, 4, 1), "1 April 2023"),
        (EN, date(2024, 2, 29), "29 February 2024"),
    ],
)
def test_dates(language: Language, day: date, expected: str) -> None:
    """A date is written in words, without "г."."""
    assert Messages(language).date(day) == expected


@pytest.mark.parametrize(("language", "expected"), [(RU, "1 апреля 2023, 02:05"), (EN, "1 April 2023, 02:05")])
def test_moments_keep_their_own_zone(language: Language, expected: str) -> None:
    """A moment is told in the zone that it carries, not in that of the machine."""
    moment = datetime(2023, 3, 31, 23, 5, 59, tzinfo=UTC).astimezone(ZoneInfo("Europe/Moscow"))

    assert Messages(language).moment(moment) == expected
    assert Messages(language).time(moment) == "02:05"


@pytest.mark.parametrize(
    ("language", "seconds", "expected"),
    [
        (EN, 0, "0 s"),
        (EN, -3, "0 s"),
        (EN, 0.84, "0.8 s"),
        (EN, 9.96, "10 s"),
        (EN, 59.4, "59 s"),
        (EN, 59.6, "1 min 00 s"),
        (EN, 125, "2 min 05 s"),
        (EN, 3599.7, "1 h 00 min"),
        (EN, 3725, "1 h 02 min"),
        (EN, 90_000, "25 h 00 min"),
        (RU, 0.84, "0,8\u00a0с"),
        (RU, 125, "2\u00a0мин 05\u00a0с"),
        (RU, 3725, "1\u00a0ч 02\u00a0мин"),
    ],
)
def test_durations(language: Language, seconds: float, expected: str) -> None:
    """A duration is told in the two units that matter."""
    assert Messages(language).duration(timedelta(seconds=seconds)) == expected


@pytest.mark.parametrize(
    ("language", "count", "expected"),
    [
        (RU, 0, "0 студентов"),
        (RU, 1, "1 студент"),
        (RU, 2, "2 студента"),
        (RU, 5, "5 студентов"),
        (RU, 11, "11 студентов"),
        (RU, 12, "12 студентов"),
        (RU, 21, "21 студент"),
        (RU, 111, "111 студентов"),
        (RU, 1204, "1\u00a0204 студента"),
        (EN, 0, "0 students"),
        (EN, 1, "1 student"),
        (EN, 21, "21 students"),
        (EN, 1204, "1,204 students"),
    ],
)
def test_plurals(language: Language, count: int, expected: str) -> None:
    """A count takes the plural form of its language, and is grouped."""
    assert Messages(language).plural("%(n)s student", "%(n)s students", count) == expected


@pytest.mark.parametrize(("language", "expected"), [(RU, "Учёба 1 апреля 2023"), (EN, "Learning on 1 April 2023")])
def test_fields_are_localised(language: Language, expected: str) -> None:
    """A date among the fields of a template is written as the language does."""
    assert Messages(language).text("Learning on %(date)s", date=date(2023, 4, 1)) == expected


def test_texts_and_truth_values_among_the_fields_stay() -> None:
    """Codes are passed as text and are not grouped; so is a truth value."""
    said = Messages(EN).text("%(code)s %(flag)s %(count)s", code="1204", flag=True, count=1204)

    assert said == "1204 True 1,204"


def test_empty_and_unknown_texts_stay_as_they_are() -> None:
    """The empty text is no key (gettext would answer with its header), and an unknown one falls back to English."""
    assert Messages(RU).text("") == ""
    assert Messages(RU).text("never extracted") == "never extracted"


def test_percent_sign_in_a_text_without_fields_is_literal() -> None:
    """Only templates with fields are filled in."""
    assert Messages(EN).text("100 % sure") == "100 % sure"


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        (RU, "Источник отказал в доступе (код 401). Проверьте API_CLIENT и API_CLIENT_KEY."),
        (EN, "The source refused the access (status 401). Check API_CLIENT and API_CLIENT_KEY."),
    ],
)
def test_errors_say_what_happened_and_what_to_do(language: Language, expected: str) -> None:
    """An error is one line in either language: the fact, then the remedy over the same fields."""
    error = SourceError(
        "The source refused the access (status %(status)s).",
        remedy="Check API_CLIENT and API_CLIENT_KEY.",
        status="401",
    )

    assert Messages(language).error(error) == expected


def test_error_without_a_remedy_is_the_fact_alone() -> None:
    """No blank is left where nothing can be done."""
    assert Messages(RU).error(SheetError("The key in %(file)s cannot be read.", file="k")) == (
        "Не удалось прочитать ключ в k."
    )


def test_faults_are_worded_one_by_one() -> None:
    """Each fault of the settings is a line of its own."""
    error = ConfigError([Fault("%(name)s is not set.", {"name": name}) for name in ("API_CLIENT", "API_CLIENT_KEY")])

    assert Messages(RU).faults(error) == ["Не задана настройка API_CLIENT.", "Не задана настройка API_CLIENT_KEY."]
    assert Messages(EN).faults(error) == ["API_CLIENT is not set.", "API_CLIENT_KEY is not set."]


def test_every_language_has_its_catalogue() -> None:
    """A language that can be chosen can be spoken."""
    for language in Language:
        assert catalogue(language)
        assert Messages(language).text("Day") in {"День", "Day"}
