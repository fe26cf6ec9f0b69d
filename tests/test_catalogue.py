"""The catalogues hold every text of the program, and the tool that keeps them sees every kind of text."""

from __future__ import annotations

import argparse
import gettext
import re
from typing import TYPE_CHECKING

import pytest
from babel.messages.catalog import Catalog

from tools import catalogue as tool
from tools.catalogue import Template, extract, faults, merged, mo_bytes, po_bytes, read_catalogue

if TYPE_CHECKING:
    from pathlib import Path

PRELUDE = """
class EtlError(Exception):
    def __init__(self, template, *, remedy=None, **fields): ...
class SourceError(EtlError): ...
class TransientSourceError(SourceError):
    def __init__(self, template, *, remedy=None, retry_after=None, **fields): ...
class Fault:
    template: str
    fields: dict
class Messages:
    def text(self, template, /, **fields): ...
    def plural(self, one, many, count, /, **fields): ...
    def fault(self, fault): ...
"""


def program(folder: Path, code: str = "", **files: str) -> Path:
    """Write a small program, and return its folder."""
    (folder / "messages.py").write_text(PRELUDE, encoding="utf-8")
    (folder / "stage.py").write_text(code, encoding="utf-8")
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def texts(folder: Path) -> set[str]:
    """Return the templates of a program, without what argparse says; a plural is joined by a slash."""
    own = {template for template, places in extract(folder).places.items() if places != {"argparse"}}
    return {f"{template.one}/{template.many}" if template.many else template.one for template in own}


def test_russian_is_complete_and_in_step() -> None:
    """Every text of the program is translated with the same placeholders, and `etl.mo` is that of `etl.po`."""
    folder = tool.ROOT / "locale" / "ru" / "LC_MESSAGES"
    found = faults(extract(), read_catalogue(folder / "etl.po", "ru"), (folder / "etl.mo").read_bytes())

    assert found == []


def test_update_changes_nothing_when_nothing_changed() -> None:
    """The committed catalogue is what the tool writes: no dates, no line numbers, a fixed order."""
    path = tool.ROOT / "locale" / "ru" / "LC_MESSAGES" / "etl.po"
    catalog, dropped = merged(read_catalogue(path, "ru"), extract(), "ru")

    assert dropped == []
    assert po_bytes(catalog) == path.read_bytes()


def test_no_translation_is_left_in_english() -> None:
    """Every Russian text has Russian letters, unless it is made of names only."""
    path = tool.ROOT / "locale" / "ru" / "LC_MESSAGES" / "etl.po"
    latin = [
        message.id
        for message in read_catalogue(path, "ru")
        for string in ([message.string] if isinstance(message.string, str) else message.string or ())
        if message.id and string and not re.search("[а-яё]", string, re.IGNORECASE)
    ]

    assert set(latin) <= {"PostgreSQL: %s"}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("messages.text('a', n=1)", {"a"}),
        ("self._messages.text('a')", {"a"}),
        ("text = messages.text\ntext('a')", {"a"}),
        ("messages.plural('%(n)s a', '%(n)s as', 2)", {"%(n)s a/%(n)s as"}),
        ("raise SourceError('a', remedy='b', x='c') from None", {"a", "b"}),
        ("raise TransientSourceError('a', retry_after=1)", {"a"}),
        ("raise exceptions.SourceError(template='a')", {"a"}),
        ("Fault('a', {'x': 'c'})", {"a"}),
        ("log.info('a %d', 1)", {"a %d"}),
        ("log.exception('a')", {"a"}),
        ("log.log(10, 'a')", {"a"}),
        ("_('a'); translatable('b')", {"a", "b"}),
        ("messages.text('a' if x else 'b')", {"a", "b"}),
        ("messages.text(('a ' 'b ') + 'c')", {"a b c"}),
        ("messages.text(x or 'b')", set()),
        ("def f(x):\n  t = 'a'\n  if x: t = 'b'\n  messages.text(t)", {"a", "b"}),
        ("T = {1: 'a', 2: 'b'}\ndef f(x): messages.text(T[x]); messages.text(T.get(x, 'c'))", {"a", "b", "c"}),
        ("T = {1: ('a', 'b')}\ndef f(x):\n  t, r = T[x]\n  raise SourceError(t, remedy=r)", {"a", "b"}),
        ("def f(x):\n  t, r = ('a', 'b') if x else ('c', None)\n  raise SourceError(t, remedy=r)", {"a", "b", "c"}),
        ("for t, n in (('a', 1), ('b', 2)): messages.text(t)", {"a", "b"}),
        ("def name(x):\n  return 'a' if x else 'b'\nmessages.text(name(1))", {"a", "b"}),
        ("def fail(code, template, **f): raise SourceError(template, **f)\nfail(1, 'a')", {"a"}),
        ("def fail(*, remedy): raise SourceError('a', remedy=remedy)\nfail(remedy='b')", {"a", "b"}),
        ("class R:\n  def text(self, name): ...\n  def go(self): self.text('NAME')", set()),
        ("response.info('a'); other.text; messages.text('')", set()),
        ("LetterDay(remedy=x(), template_name='a')", set()),
        ("messages.text('%(a)s: %(b)s'); render('letter.html.j2')", set()),
    ],
)
def test_extractor_sees(tmp_path: Path, code: str, expected: set[str]) -> None:
    """Each way in which the code names a template is seen, and nothing else is taken for one."""
    assert texts(program(tmp_path, code)) == expected


@pytest.mark.parametrize(
    "code",
    [
        "messages.text(f'a {x}')",
        "messages.text('a %s' % x)",
        "messages.text(x)",
        "def f(x): messages.text(x)",
        "raise SourceError(str(error))",
        "log.info(f'a {x}')",
        "T = make()\nmessages.text(T[1])",
    ],
)
def test_template_that_is_no_constant_is_told(tmp_path: Path, code: str) -> None:
    """A text made at run time cannot be translated, so the check names its place."""
    problems = extract(program(tmp_path, code)).problems

    assert len(problems) == 1
    assert re.match(r"stage\.py:\d: a template must be a constant: ", problems[0])


def test_templates_passed_on_are_extracted_where_they_are_made(tmp_path: Path) -> None:
    """`error.template` and parameters of these names are no faults: their texts stand elsewhere."""
    code = "def word(error, template): messages.text(error.template); messages.text(template); log.info(error.remedy)"

    assert extract(program(tmp_path, code)).problems == []


def test_imported_tables_are_followed(tmp_path: Path) -> None:
    """A table of texts may live in another module."""
    folder = program(tmp_path, "from words import T\nmessages.text(T['x'])", words_DOT_py="T = {'x': 'a', 'y': 'b'}")

    assert texts(folder) == {"a", "b"}


def test_jinja_templates_are_read(tmp_path: Path) -> None:
    """Texts in the templates of page and letter are extracted too."""
    page = "{{ messages.text('a', x=1) }}{{ plural('%(n)s b', '%(n)s bs', 2) }}{% trans %}c{% endtrans %}{{ d.e(1) }}"

    assert texts(program(tmp_path, templates__page_DOT_html_DOT_j2=page)) == {"a", "%(n)s b/%(n)s bs", "c"}


def test_tests_and_hidden_folders_are_not_read(tmp_path: Path) -> None:
    """What does not belong to the program needs no translation."""
    files = {"tests__x_DOT_py": "log.info('a')", "_DOT_venv__x_DOT_py": "log.info('b')"}

    assert texts(program(tmp_path, **files)) == set()


def test_one_text_with_and_without_a_plural_is_a_fault(tmp_path: Path) -> None:
    """A text has one entry in gettext, so it cannot be both."""
    code = "messages.text('%(n)s day', n=1); messages.plural('%(n)s day', '%(n)s days', 2)"

    assert extract(program(tmp_path, code)).problems == ['"%(n)s day" is used with a plural and without one']


def translated(folder: Path, **strings: str | tuple[str, ...]) -> tuple[tool.Extracted, Catalog]:
    """Return the texts of a program and a catalogue of them with the given translations, argparse left out."""
    extracted = extract(folder)
    extracted.places = {t: places for t, places in extracted.places.items() if places != {"argparse"}}
    catalog, _ = merged(Catalog(locale="ru"), extracted, "ru")
    for message in catalog:
        if message.id:
            message.string = strings[message.id if isinstance(message.id, str) else message.id[0]]
    return extracted, catalog


@pytest.mark.parametrize(
    ("code", "translation", "fault"),
    [
        ("log.info('a')", "", "not translated"),
        ("log.info('a %d', 1)", "б", "other placeholders"),
        ("log.info('a %d %s', 1, 2)", "б %s %d", "other placeholders"),
        ("messages.text('a %(x)s', x=1)", "б %(y)s", "other placeholders"),
        ("messages.text('a %(x)s', x=1)", "б %(x)d", "other placeholders"),
        ("messages.text('a %(x)s', x=1)", "48 % из %(x)s", "a lone % sign"),
        ("messages.text('a ')", "б", "other blanks at an end"),
        ("messages.text('A.')", "Б", "one ends with a full stop, one does not"),
        ("messages.plural('%(n)s a', '%(n)s as', 1)", ("%(n)s б", "%(n)s б"), "not translated"),
        ("messages.plural('%(n)s a', '%(n)s as', 1)", ("%(n)s б", "", "%(n)s б"), "not translated"),
        ("messages.plural('%(n)s a', '%(n)s as', 1)", ("%(n)s б", "один", "%(n)s б"), "other placeholders"),
    ],
)
def test_wrong_translations_are_told(tmp_path: Path, code: str, translation: str | tuple[str, ...], fault: str) -> None:
    """A translation that is missing or would break its template is a fault."""
    folder = program(tmp_path, code)
    extracted, catalog = translated(folder, **dict.fromkeys((t.split("/")[0] for t in texts(folder)), translation))
    found = faults(extracted, catalog, mo_bytes(catalog))

    assert len(found) == 1
    assert found[0].startswith(fault)


def test_good_translation_has_no_faults(tmp_path: Path) -> None:
    """Named fields may stand in another order; a doubled percent sign is a sign."""
    folder = program(tmp_path, "messages.text('%(a)s of %(b)s 5%%', a=1, b=2)")
    extracted, catalog = translated(folder, **{"%(a)s of %(b)s 5%%": "5%% %(b)s, %(a)s"})

    assert faults(extracted, catalog, mo_bytes(catalog)) == []


def test_catalogue_out_of_step_is_told(tmp_path: Path) -> None:
    """New, dropped and fuzzy texts, and an old `etl.mo`, are faults."""
    extracted, catalog = translated(program(tmp_path, "log.info('a'); log.info('b')"), a="а", b="б")
    catalog["a"].flags.add("fuzzy")
    del extracted.places[Template("b")]
    extracted.add(Template("c"), "stage.py")

    assert faults(extracted, catalog, b"old") == [
        'fuzzy: "a"',
        'not in the catalogue: "c"',
        'no longer used: "b"',
        "etl.mo differs from etl.po: run compile",
    ]


def test_commands_work_on_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Update keeps the translator's texts and drops old ones, compile makes them speak, check tells what is left."""
    folder = program(tmp_path, "log.info('a'); log.info('b')")
    po = folder / "locale" / "ru" / "LC_MESSAGES" / "etl.po"

    assert tool.main(["update"], root=folder) == 0
    assert tool.main(["check"], root=folder) == 1
    assert 'ru: not translated: "a"' in capsys.readouterr().out

    catalog = read_catalogue(po, "ru")
    for message in catalog:
        if message.id:
            message.string = message.id if isinstance(message.id, str) else (*message.id, message.id[1])
    po.write_bytes(po_bytes(catalog).replace(b'msgid "a"\nmsgstr "a"', 'msgid "a"\nmsgstr "а!"'.encode()))
    (folder / "stage.py").write_text("log.info('a')", encoding="utf-8")

    assert tool.main([], root=folder) == 0
    assert "ru: dropped: 'b'" in capsys.readouterr().out
    assert gettext.translation("etl", folder / "locale", ["ru"]).gettext("a") == "а!"
    assert tool.main(["check"], root=folder) == 0
    assert tool.main(["extract"], root=folder) == 0
    assert "stage.py: 'a'\n" in capsys.readouterr().out


def test_header_holds_nothing_that_changes() -> None:
    """No dates, names or versions, so that a catalogue changes only with its texts."""
    path = tool.ROOT / "locale" / "ru" / "LC_MESSAGES" / "etl.po"
    header = path.read_text(encoding="utf-8").split("\n\n")[0]

    assert not re.search(r"\d{4}|POT|Generated|Translator|@", header)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        [],
        ["--day"],
        ["--day", "1", "--number", "x", "--kind", "a"],
        ["--kind", "z"],
        ["--yes", "--no", "1"],
    ],
    ids=["help", "missing", "no-value", "bad-number", "bad-choice", "exclusive"],
)
def test_argparse_speaks_russian(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where argparse asks our catalogue, help and usage errors are Russian."""
    russian = gettext.translation("etl", tool.ROOT / "locale", ["ru"])
    monkeypatch.setattr(argparse, "_", russian.gettext)
    monkeypatch.setattr(argparse, "ngettext", russian.ngettext)
    parser = argparse.ArgumentParser(prog="x")
    parser.add_argument("--day", required=True)
    parser.add_argument("--number", type=int)
    parser.add_argument("--kind", choices=["a", "b"])
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--yes", action="store_true")
    either.add_argument("--no")
    with pytest.raises(SystemExit):
        parser.parse_args(arguments)

    said = "".join(capsys.readouterr())
    english = "usage|options|argument|error|expected|invalid|required|choose|allowed|show|exit"
    assert not re.search(rf"\b(?:{english})\b", said)
    assert re.search("[а-я]{5}", said)
