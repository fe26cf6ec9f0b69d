"""Code, `.env.example` and both READMEs name the same settings with the same defaults."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config import DEFAULTS, HOME, MailSecurity, load_settings, read_env_file
from exceptions import ConfigError

_ROW = re.compile(r"^\|\s*`(?P<name>[A-Z][A-Z0-9_]+)`\s*\|(?P<default>[^|]*)\|", re.MULTILINE)
_READMES = ("README.md", "README.ru.md")


def documented(readme: str) -> dict[str, str]:
    """Return the settings of a README's table with their defaults; a dash means that there is none."""
    rows = _ROW.finditer((HOME / readme).read_text(encoding="utf-8"))
    return {row["name"]: row["default"].replace("`", "").strip().strip("—–-").strip() for row in rows}


def test_example_names_every_setting_with_its_default() -> None:
    """Who copies `.env.example` has all settings at their defaults."""
    assert read_env_file(HOME / ".env.example") == DEFAULTS


def test_example_keeps_the_order_of_the_code() -> None:
    """A setting is found at the same place in both."""
    assert list(read_env_file(HOME / ".env.example")) == list(DEFAULTS)


def test_example_needs_only_what_is_required() -> None:
    """As it is, the example lacks exactly the name and the key for the API."""
    with pytest.raises(ConfigError) as caught:
        load_settings({}, read_env_file(HOME / ".env.example"))

    assert [str(fault) for fault in caught.value.faults] == ["API_CLIENT is not set.", "API_CLIENT_KEY is not set."]


def test_example_works_once_it_is_filled_in(tmp_path: Path) -> None:
    """With the required values and a mail server filled in, the example is a working `.env`."""
    filled = (HOME / ".env.example").read_text(encoding="utf-8")
    for name, value in {
        "API_CLIENT": "us",
        "API_CLIENT_KEY": "k3y",
        "SMTP_SERVER": "smtp.example.org",
        "SMTP_PASSWORD": "p4ss",
        "SENDER_EMAIL": "etl@example.org",
        "EMAIL_ADDRESSES_FOR_MAILING": "a@example.org, b@example.org",
    }.items():
        filled = filled.replace(f"\n{name}=\n", f"\n{name}={value}\n")
    path = tmp_path / ".env"
    path.write_text(filled, encoding="utf-8")
    settings = load_settings({}, read_env_file(path))

    assert settings.api.client == "us"
    assert settings.mail is not None
    assert (settings.mail.port, settings.mail.security) == (465, MailSecurity.SSL)
    assert settings.mail.user == "etl@example.org"
    assert settings.sheet is None
    assert settings.database.is_embedded


def test_example_explains_in_both_languages() -> None:
    """Above every setting (or group of settings) stand an English and a Russian line."""
    text = (HOME / ".env.example").read_text(encoding="utf-8")
    paragraphs = [part for part in text.split("\n\n") if re.search("^[A-Z]", part, re.MULTILINE)]

    assert len(paragraphs) >= 20
    for paragraph in paragraphs:
        comments = [line for line in paragraph.splitlines() if line.startswith("# ")]
        russian = [bool(re.search("[а-яё]", line)) for line in comments]
        assert russian == sorted(russian)
        assert {True, False} == set(russian)


@pytest.mark.parametrize("readme", _READMES)
def test_readme_names_every_setting_with_its_default(readme: str) -> None:
    """The table of settings in a README is that of the code."""
    assert documented(readme) == DEFAULTS


@pytest.mark.parametrize("readme", _READMES)
def test_readme_has_one_row_for_a_setting(readme: str) -> None:
    """No setting is told of twice, perhaps with different defaults."""
    names = [row["name"] for row in _ROW.finditer((HOME / readme).read_text(encoding="utf-8"))]

    assert sorted(names) == sorted(set(names))
