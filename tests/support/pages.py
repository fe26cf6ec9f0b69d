"""Reads a page as a browser would, without one: elements, their attributes and what they say."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from html.parser import HTMLParser
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_T = TypeVar("_T")
_VOID = frozenset({"meta", "link", "br", "wbr", "hr", "img", "input"})
_SILENT = frozenset({"style", "title", "desc"})


@dataclass
class Element:
    """An element of a page; `parts` are its texts and elements in order."""

    tag: str
    attributes: dict[str, str]
    parts: list[Element | str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Element]:
        """Yield it and every element in it, in the order of the page."""
        yield self
        for part in self.parts:
            if isinstance(part, Element):
                yield from part

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Return the elements of a tag; `class_` names one of the classes."""
        wanted = attributes.pop("class_", None)
        return [
            element
            for element in self
            if element.tag == tag
            and (wanted is None or wanted in element.classes)
            and all(element.attributes.get(name) == value for name, value in attributes.items())
        ]

    def the(self, tag: str, **attributes: str) -> Element:
        """Return the one element of a tag."""
        (found,) = self.all(tag, **attributes)
        return found

    @property
    def classes(self) -> set[str]:
        """Its classes."""
        return set(self.attributes.get("class", "").split())

    @property
    def text(self) -> str:
        """What it says, as one line; the style and the names of pictures are not said."""
        return " ".join("".join(self._said()).split())

    def _said(self) -> Iterator[str]:
        for part in self.parts:
            if isinstance(part, str):
                yield part
            elif part.tag not in _SILENT:
                yield from part._said()
                if part.tag not in {"wbr", "b", "i", "a", "span", "strong", "del", "ins"}:
                    yield " "

    def rows(self) -> list[list[str]]:
        """Return the cells of a table's body, row by row."""
        return [
            [cell.text for cell in row if cell.tag in {"th", "td"}]
            for body in self.all("tbody")
            for row in body.all("tr")
        ]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].parts.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].parts.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].parts.append(data)


def read_page(source: Path | str) -> Element:
    """Read a page; every element must be closed where it should be."""
    reader = _Reader()
    reader.feed(source if isinstance(source, str) else source.read_text(encoding="utf-8"))
    assert len(reader.open) == 1, f"<{reader.open[-1].tag}> is not closed"
    return reader.open[0]


def with_texts(record: _T, change: Callable[[str], str]) -> _T:
    """Return a record in which every text that people read is another one; keys and dates stay."""
    return _changed(record, change)  # type: ignore[no-any-return]


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return change(value) if value else value
    if isinstance(value, tuple):
        return tuple(_changed(item, change) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        names = [each.name for each in fields(value) if each.init and each.name not in {"key", "kind"}]
        return replace(value, **{name: _changed(getattr(value, name), change) for name in names})
    return value


def accessibility_faults(page: Element) -> list[str]:
    """Return what keeps people who hear a page, or use its keyboard, from having all of it."""
    return [*_wrong_references(page), *_wrong_outline(page), *_wrong_tables(page), *_unnamed(page)]


def _wrong_references(page: Element) -> Iterator[str]:
    ids = [element.attributes["id"] for element in page if "id" in element.attributes]
    yield from (f"id {name} stands there twice" for name in set(ids) if ids.count(name) > 1)
    for element in page:
        for name in element.attributes.get("aria-labelledby", "").split():
            if name not in ids:
                yield f"a name leads nowhere: {name}"


def _wrong_outline(page: Element) -> Iterator[str]:
    levels = [int(element.tag[1]) for element in page if element.tag in {"h1", "h2", "h3", "h4", "h5", "h6"}]
    if levels[:1] != [1] or levels.count(1) != 1 or any(after > before + 1 for before, after in pairwise(levels)):
        yield f"headings out of order: {levels}"
    yield from (f"landmark {name}" for name in ("header", "main", "footer") if len(page.all(name)) != 1)
    if not page.the("html").attributes.get("lang"):
        yield "no language"
    if not page.the("head").the("title").parts:
        yield "no title"


def _wrong_tables(page: Element) -> Iterator[str]:
    for table in page.all("table"):
        if not table.all("caption"):
            yield "a table without a caption"
        for cell in table.all("th"):
            if cell.attributes.get("scope") not in {"row", "col"}:
                yield f"a heading of no row or column: {cell.text}"
    for box in page.all("div", class_="scroll"):
        if box.attributes.get("tabindex") != "0":
            yield "a box that only a mouse can scroll"


def _unnamed(page: Element) -> Iterator[str]:
    for picture in _heard(page):
        if picture.tag == "svg" and picture.attributes.get("role") != "img":
            yield "a picture without a name"
    yield from ("a section without a name" for part in page.all("section") if "aria-labelledby" not in part.attributes)
    yield from ("a link without words" for link in page.all("a") if not link.text)


def _heard(element: Element) -> Iterator[Element]:
    """Yield an element and those in it, but for what is hidden from those who hear the page."""
    if element.attributes.get("aria-hidden") != "true":
        yield element
        for part in element.parts:
            if isinstance(part, Element):
                yield from _heard(part)
