"""The catalogues of translations: collect the templates of the code, merge them, compile them, check them.

    python -m tools.catalogue extract    print every template, and where it stands
    python -m tools.catalogue update     take new templates into each `etl.po`, drop those no longer used
    python -m tools.catalogue compile    write each `etl.mo`
    python -m tools.catalogue check      fail if anything is missing, wrong or out of step
    python -m tools.catalogue            update, compile, check

The extractor reads the syntax tree of the code instead of Babel's token stream: our templates are also keyword
arguments (`remedy=`), branches of conditional expressions, constants and tables. What counts as a template:

- the first argument of `messages.text`, the first two of `messages.plural`;
- the arguments `template` and `remedy` of every function and class of ours that has a parameter of that name (the
  exceptions and `Fault` among them);
- the first argument of the methods of `log`;
- the argument of `_(...)` and of `translatable(...)`, for code that the rules above do not see;
- in Jinja templates, the same calls and `{% trans %}`.

Texts of placeholders alone have nothing to translate, and names of files (`letter.html.j2`) are no texts. A template
that is no constant cannot be translated; `extract` and `check` name its place.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = ("ru",)
"""Every language but English, which is its own catalogue."""

_SKIPPED = frozenset({"tests", "benchmarks", "tools"})
_LOG_METHODS = frozenset({"debug", "info", "warning", "error", "exception", "critical"})
_MARKERS = frozenset({"_", "translatable"})
_TEMPLATE_NAMES = frozenset({"template", "remedy", "one", "many"})
_PLURAL_FORMS = "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);"
_HEADERS = {
    "ru": [
        ("MIME-Version", "1.0"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Transfer-Encoding", "8bit"),
        ("Language", "ru"),
        ("Plural-Forms", _PLURAL_FORMS),
    ]
}
_FILE_NAME = re.compile(r"[\w./-]+\.j2")
_PLACEHOLDER = re.compile(r"%(?:\((\w+)\))?([-+ #0]*(?:\d+|\*)?(?:\.(?:\d+|\*))?)([diouxXeEfFgGcrsa%])")

ARGPARSE = (
    "usage: ",
    "options",
    "positional arguments",
    "subcommands",
    "show this help message and exit",
    "show program's version number and exit",
    "argument %(argument_name)s: %(message)s",
    "expected one argument",
    "expected at most one argument",
    "expected at least one argument",
    ("expected %s argument", "expected %s arguments"),
    "ignored explicit argument %r",
    "not allowed with argument %s",
    "one of the arguments %s is required",
    "the following arguments are required: %s",
    "unrecognized arguments: %s",
    "unexpected option string: %s",
    "ambiguous option: %(option)s could match %(matches)s",
    "invalid %(type)s value: %(value)r",
    "invalid choice: %(value)r (choose from %(choices)s)",
    "invalid choice: %(value)r, maybe you meant %(closest)r? (choose from %(choices)s)",
    "unknown parser %(parser_name)r (choices: %(choices)s)",
    "can't open '%(filename)s': %(error)s",
    "option '%(option)s' is deprecated",
    "argument '%(argument_name)s' is deprecated",
    "command '%(parser_name)s' is deprecated",
    "%(prog)s: error: %(message)s\n",
    "%(prog)s: warning: %(message)s\n",
)
"""What argparse of Python 3.11 to 3.14 says to people; a pair is a singular and its plural."""


@dataclass(frozen=True, order=True)
class Template:
    """A text to translate; `many` is empty where it has no plural."""

    one: str
    many: str = ""


@dataclass
class Extracted:
    """The templates of the code with the files they stand in, and the places where one is no constant."""

    places: dict[Template, set[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, template: Template, place: str) -> None:
        """Note that a template stands in a file."""
        self.places.setdefault(template, set()).add(place)


class _Plain(Catalog):
    """A catalogue whose header says only what is needed to read it, so that it never changes by itself."""

    @property
    def mime_headers(self) -> list[tuple[str, str]]:
        """Return the header's lines."""
        return _HEADERS[str(self.locale_identifier)]


def extract(root: Path = ROOT) -> Extracted:
    """Collect the templates of all code and Jinja templates below a folder."""
    extracted = Extracted()
    code = _Code(root)
    for module in code.modules.values():
        code.collect(module, extracted)
    for path in sorted((root / "templates").rglob("*")):
        if path.is_file():
            _collect_jinja(path, path.relative_to(root).as_posix(), extracted)
    for text in ARGPARSE:
        extracted.add(Template(text) if isinstance(text, str) else Template(*text), "argparse")
    singulars = {template.one for template in extracted.places if template.many}
    for template in [t for t in extracted.places if not t.many and t.one in singulars]:
        # gettext keeps one entry for a text, the one with a plural.
        extracted.problems.append(f'"{template.one}" is used with a plural and without one')
        del extracted.places[template]
    return extracted


def merged(old: Catalog, extracted: Extracted, language: str) -> tuple[Catalog, list[str]]:
    """Return a catalogue of the extracted templates with the translations there are, and the texts dropped."""
    new = _empty(language)
    for template, places in sorted(extracted.places.items()):
        identity = (template.one, template.many) if template.many else template.one
        known = old.get(template.one)
        same = known is not None and known.id == identity
        new.add(
            identity,
            string=known.string if known and same else None,
            locations=[(place, 0) for place in sorted(places)],
            flags=known.flags & {"fuzzy"} if known and same else (),
            user_comments=known.user_comments if known and same else (),
        )
    dropped = [_singular(message.id) for message in old if message.id and _singular(message.id) not in new]
    return new, dropped


def read_catalogue(path: Path, language: str) -> Catalog:
    """Read a `.po` file; a missing one is empty."""
    catalog = _empty(language)
    if path.exists():
        with path.open("rb") as stream:
            for message in read_po(stream, locale=language):
                if message.id:
                    catalog[message.id] = message
    return catalog


def po_bytes(catalog: Catalog) -> bytes:
    """Return the `.po` file of a catalogue."""
    stream = BytesIO()
    write_po(stream, catalog, width=0, sort_output=True, include_lineno=False)
    return stream.getvalue()


def mo_bytes(catalog: Catalog) -> bytes:
    """Return the `.mo` file of a catalogue."""
    stream = BytesIO()
    write_mo(stream, catalog)
    return stream.getvalue()


def faults(extracted: Extracted, catalog: Catalog, compiled: bytes) -> list[str]:
    """Return what is wrong with a catalogue, a line each; nothing where all is well."""
    found = list(extracted.problems)
    for template in sorted(extracted.places):
        message = catalog.get(template.one)
        identity = (template.one, template.many) if template.many else template.one
        if message is None or message.id != identity:
            found.append(f'not in the catalogue: "{template.one}"')
            continue
        if message.fuzzy:
            found.append(f'fuzzy: "{template.one}"')
        given = message.string if isinstance(message.string, tuple | list) else (message.string,)
        strings = [string for string in given if string]
        expected = catalog.num_plurals if template.many else 1
        if len(given) != expected or len(strings) != expected:
            found.append(f'not translated: "{template.one}"')
            continue
        for string in strings:
            found.extend(f'{fault}: "{template.one}" → "{string}"' for fault in _differences(template, string))
    known = {template.one for template in extracted.places}
    found.extend(
        f'no longer used: "{_singular(message.id)}"'
        for message in catalog
        if message.id and _singular(message.id) not in known
    )
    if compiled != mo_bytes(catalog):
        found.append("etl.mo differs from etl.po: run compile")
    return found


def main(arguments: Sequence[str] | None = None, *, root: Path = ROOT) -> int:
    """Run a command of the module's docstring and return its exit code."""
    parser = argparse.ArgumentParser(prog="catalogue", description="Keeps the catalogues of translations.")
    parser.add_argument("command", nargs="?", choices=["extract", "update", "compile", "check", "all"], default="all")
    command = parser.parse_args(arguments).command
    extracted = extract(root)
    if command == "extract":
        for template, places in sorted(extracted.places.items()):
            _say(f"{', '.join(sorted(places))}: {template.one!r}" + (f" / {template.many!r}" if template.many else ""))
        for problem in extracted.problems:
            _say(problem)
        return 1 if extracted.problems else 0
    failed = False
    for language in LANGUAGES:
        folder = root / "locale" / language / "LC_MESSAGES"
        po, mo = folder / "etl.po", folder / "etl.mo"
        if command in {"update", "all"}:
            catalog, dropped = merged(read_catalogue(po, language), extracted, language)
            folder.mkdir(parents=True, exist_ok=True)
            po.write_bytes(po_bytes(catalog))
            for text in dropped:
                _say(f"{language}: dropped: {text!r}")
        catalog = read_catalogue(po, language)
        if command in {"compile", "all"}:
            mo.write_bytes(mo_bytes(catalog))
        if command in {"check", "all"}:
            found = faults(extracted, catalog, mo.read_bytes() if mo.exists() else b"")
            for fault in found:
                _say(f"{language}: {fault}")
            _say(f"{language}: {len(extracted.places)} texts, {len(found)} faults")
            failed = failed or bool(found)
    return 1 if failed else 0


class _Module:
    """A module's syntax tree, and what is needed to look up its names."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self.dotted = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        self.tree = ast.parse(path.read_text(encoding="utf-8"), filename=name)
        self.parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        self.functions = {node.name: node for node in ast.walk(self.tree) if isinstance(node, functions)}
        self.imports = {
            alias.asname or alias.name: (node.module or "", alias.name)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }

    def scopes(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield the functions around a node, the innermost first, then the module."""
        while node is not self.tree:
            node = self.parents[node]
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.Module):
                yield node


class _NotConstantError(Exception):
    """A template is made at run time."""


class _Code:
    """All modules of the program, and which arguments of its functions are templates."""

    def __init__(self, root: Path) -> None:
        self.modules: dict[str, _Module] = {}
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root).parts
            if parts[0] not in _SKIPPED and not any(part.startswith(".") for part in parts):
                module = _Module(path, path.relative_to(root).as_posix())
                self.modules[module.dotted] = module
        self._templates: dict[str, int] = {}
        self._remedies: dict[str, int | None] = {}
        self._plurals: dict[str, int] = {}
        for module in self.modules.values():
            self._learn_functions(module)
        for _ in range(3):  # classes inherit over a few steps, in whatever order the modules come
            for module in self.modules.values():
                self._learn_classes(module)

    def collect(self, module: _Module, extracted: Extracted) -> None:
        """Note the templates of every call in a module."""
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Call):
                continue
            for expression in self._template_arguments(module, node):
                for text in self._texts(module, expression, extracted):
                    extracted.add(Template(text), module.name)
            if pair := self._plural_arguments(module, node):
                ones, manies = (self._texts(module, expression, extracted) for expression in pair)
                for one, many in zip(ones, manies, strict=False):
                    extracted.add(Template(one, many), module.name)

    def _texts(self, module: _Module, expression: ast.expr, extracted: Extracted) -> list[str]:
        try:
            texts = self._resolved(module, expression, 0)
            return [text for text in texts if re.search(r"[^\W\d]", _PLACEHOLDER.sub("", text))]
        except _NotConstantError:
            place = f"{module.name}:{expression.lineno}"
            extracted.problems.append(f"{place}: a template must be a constant: {ast.unparse(expression)}")
            return []

    def _learn_functions(self, module: _Module) -> None:
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
            method = isinstance(module.parents[node], ast.ClassDef) and names[:1] in (["self"], ["cls"])
            names = names[1:] if method else names
            parent = module.parents[node]
            name = parent.name if node.name == "__init__" and isinstance(parent, ast.ClassDef) else node.name
            if "template" in names:
                self._templates[name] = names.index("template")
            if "remedy" in names:
                self._remedies[name] = names.index("remedy")
            elif any(argument.arg == "remedy" for argument in node.args.kwonlyargs):
                self._remedies[name] = None
            if "one" in names and "many" in names:
                self._plurals[name] = names.index("one")

    def _learn_classes(self, module: _Module) -> None:
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.ClassDef) or node.name in self._templates:
                continue
            own = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
            fields = [name for item in node.body if (name := _field(item))]
            bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
            if "template" in fields:
                self._templates[node.name] = fields.index("template")
            for base in bases:
                if not own and base in self._templates:
                    self._templates[node.name] = self._templates[base]
                if not own and base in self._remedies:
                    self._remedies[node.name] = self._remedies[base]

    def _template_arguments(self, module: _Module, call: ast.Call) -> Iterator[ast.expr]:
        name, receiver = _called(call.func)
        position: int | None = None
        if name in _LOG_METHODS and receiver == "log":
            position = 0
        elif name == "log" and receiver == "log":
            position = 1
        elif name in _MARKERS and receiver is None:
            position = 0
        elif name in self._templates and not self._is_other(module, name, receiver, "template"):
            position = self._templates[name]
            yield from (keyword.value for keyword in call.keywords if keyword.arg == "template")
        if position is not None and len(call.args) > position:
            yield call.args[position]
        if name in self._remedies and not self._is_other(module, name, receiver, "remedy"):
            position = self._remedies[name]
            if position is not None and len(call.args) > position:
                yield call.args[position]
            yield from (keyword.value for keyword in call.keywords if keyword.arg == "remedy")

    def _plural_arguments(self, module: _Module, call: ast.Call) -> tuple[ast.expr, ast.expr] | None:
        name, receiver = _called(call.func)
        if name not in self._plurals or self._is_other(module, name, receiver, "one"):
            return None
        position = self._plurals[name]
        return (call.args[position], call.args[position + 1]) if len(call.args) > position + 1 else None

    def _is_other(self, module: _Module, name: str, receiver: str | None, parameter: str) -> bool:
        """Tell whether a call means a function of the module (or of `messages`) that only shares the name."""
        home = self.modules.get("messages") if (receiver or "").endswith("messages") else module
        own = home.functions.get(name) if home else None
        if own is None:
            return False
        return parameter not in {item.arg for item in (*own.args.posonlyargs, *own.args.args, *own.args.kwonlyargs)}

    def _resolved(self, module: _Module, node: ast.expr, depth: int) -> list[str]:  # noqa: C901, PLR0911, PLR0912
        """Return the texts that an expression can have.

        Raises:
            _NotConstantError: they are not known before the program runs.
        """
        if depth > 8:
            raise _NotConstantError
        match node:
            case ast.Constant(value=str(text)):
                return [] if _FILE_NAME.fullmatch(text) else [text]
            case ast.Constant(value=None):
                return []
            case ast.IfExp():
                return [text for part in (node.body, node.orelse) for text in self._resolved(module, part, depth + 1)]
            case ast.BoolOp():
                return [text for part in node.values for text in self._resolved(module, part, depth + 1)]
            case ast.BinOp(op=ast.Add()):
                sides = (self._resolved(module, node.left, depth + 1), self._resolved(module, node.right, depth + 1))
                return [left + right for left in sides[0] for right in sides[1]]
            case ast.Name():
                return self._resolved_name(module, node, depth)
            case ast.Attribute() if node.attr.lstrip("_") in _TEMPLATE_NAMES:
                return []  # it was extracted where the object was made
            case ast.Subscript(slice=ast.Constant(value=str(key))) if key in _TEMPLATE_NAMES:
                return []
            case ast.Subscript(value=ast.Subscript(value=ast.Name() as table), slice=ast.Constant(value=int(index))):
                return self._resolved_table(module, table, depth, index)
            case ast.Subscript(value=ast.Name() as table):
                return self._resolved_table(module, table, depth)
            case ast.Call(func=ast.Attribute(value=ast.Name() as table, attr="get")):
                defaults = [text for part in node.args[1:] for text in self._resolved(module, part, depth + 1)]
                return self._resolved_table(module, table, depth) + defaults
            case ast.Call(func=ast.Name(id=name)) if name in _MARKERS:
                return []  # extracted at the call itself
            case ast.Call(func=ast.Name(id=name)) if name in module.functions:
                answers = (item for item in ast.walk(module.functions[name]) if isinstance(item, ast.Return))
                values = (item.value for item in answers if item.value)
                return [text for value in values for text in self._resolved(module, value, depth + 1)]
            case _:
                raise _NotConstantError

    def _resolved_name(self, module: _Module, node: ast.Name, depth: int) -> list[str]:
        for scope in module.scopes(node):
            if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                arguments = {item.arg for item in (*scope.args.posonlyargs, *scope.args.args, *scope.args.kwonlyargs)}
                if node.id in arguments:
                    if node.id in _TEMPLATE_NAMES:
                        return []  # extracted where the function is called
                    raise _NotConstantError
            if values := _assigned(scope, node.id):
                return [text for value in values for text in self._resolved(module, value, depth + 1)]
        if node.id in module.imports:
            source, name = module.imports[node.id]
            if other := self.modules.get(source):
                values = _assigned(other.tree, name)
                if values:
                    return [text for value in values for text in self._resolved(other, value, depth + 1)]
        raise _NotConstantError

    def _resolved_table(self, module: _Module, node: ast.Name, depth: int, index: int | None = None) -> list[str]:
        """Return the texts in a literal table, or those at one place of its tuples."""
        owner, values = module, next((found for s in module.scopes(node) if (found := _assigned(s, node.id))), [])
        if not values and node.id in module.imports and (other := self.modules.get(module.imports[node.id][0])):
            owner, values = other, _assigned(other.tree, module.imports[node.id][1])
        texts = []
        for value in values:
            parts = value.values if isinstance(value, ast.Dict) else getattr(value, "elts", None)
            if parts is not None and index is not None:
                parts = [part.elts[index] if isinstance(part, ast.Tuple) else part for part in parts]
            if parts is None:
                raise _NotConstantError
            texts += [text for part in parts for text in self._resolved(owner, part, depth + 1)]
        if not values:
            raise _NotConstantError
        return texts


def _field(item: ast.stmt) -> str | None:
    return item.target.id if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) else None


def _called(function: ast.expr) -> tuple[str, str | None]:
    """Return the name of what is called, and the last name before its dot."""
    match function:
        case ast.Name(id=name):
            return name, None
        case ast.Attribute(value=ast.Name(id=receiver), attr=name):
            return name, receiver
        case ast.Attribute(value=ast.Attribute(attr=receiver), attr=name):
            return name, receiver
        case ast.Attribute(attr=name):
            return name, ""
        case _:
            return "", None


def _assigned(scope: ast.AST, name: str) -> list[ast.expr]:
    """Return the expressions that a scope assigns to a name, those of loops over literal tuples included."""
    values: list[ast.expr] = []
    for node in ast.walk(scope):
        match node:
            case ast.Assign(targets=[target], value=value):
                values += _matched(target, value, name)
            case ast.AnnAssign(target=ast.Name(id=found), value=ast.expr() as value) if found == name:
                values.append(value)
            case ast.NamedExpr(target=ast.Name(id=found), value=value) if found == name:
                values.append(value)
            case ast.For() | ast.comprehension():
                elements = getattr(node.iter, "elts", [])
                values += [part for element in elements for part in _matched(node.target, element, name)]
            case _:
                pass
    return values


def _matched(target: ast.expr, value: ast.expr, name: str) -> list[ast.expr]:
    """Return the part of a value that an assignment gives to a name; of a conditional tuple, both."""
    if isinstance(target, ast.Name):
        return [value] if target.id == name else []
    if not isinstance(target, ast.Tuple):
        return []
    if isinstance(value, ast.Subscript):
        # `text, remedy = TABLE[code]`: each name gets one place of the table's tuples.
        places = [index for index, item in enumerate(target.elts) if isinstance(item, ast.Name) and item.id == name]
        return [ast.copy_location(ast.Subscript(value, ast.Constant(index), ast.Load()), value) for index in places]
    values = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
    return [
        part
        for tuple_ in values
        if isinstance(tuple_, ast.Tuple) and len(tuple_.elts) == len(target.elts)
        for item, given in zip(target.elts, tuple_.elts, strict=True)
        for part in _matched(item, given, name)
    ]


def _collect_jinja(path: Path, name: str, extracted: Extracted) -> None:
    from jinja2 import Environment, nodes

    extensions = ["jinja2.ext.i18n", "jinja2.ext.do", "jinja2.ext.loopcontrols"]
    environment = Environment(extensions=extensions)  # noqa: S701  # reads templates, renders none  # nosec B701
    tree = environment.parse(path.read_text(encoding="utf-8"))
    for call in tree.find_all(nodes.Call):
        called = getattr(call.node, "attr", None) or getattr(call.node, "name", None)
        texts = [argument.value for argument in call.args if isinstance(argument, nodes.Const)]
        if called in {"text", "gettext", "_"} and call.args:
            if not texts:
                extracted.problems.append(f"{name}:{call.lineno}: a template must be a constant")
            for text in texts[:1]:
                extracted.add(Template(str(text)), name)
        elif called in {"plural", "ngettext"} and len(texts) >= 2:
            extracted.add(Template(str(texts[0]), str(texts[1])), name)


def _empty(language: str) -> Catalog:
    return _Plain(locale=language, header_comment=f"# Translations of the program's texts: {language}.", fuzzy=False)


def _singular(identity: str | tuple[str, ...] | list[str]) -> str:
    return identity if isinstance(identity, str) else identity[0]


def _placeholders(text: str) -> tuple[frozenset[str], list[str]]:
    """Return the named fields of a template, and its positional ones in order."""
    found = [match for match in _PLACEHOLDER.finditer(text) if match[3] != "%"]
    named = frozenset(match[0] for match in found if match[1])
    return named, [match[0] for match in found if not match[1]]


def _differences(template: Template, string: str) -> Iterator[str]:
    """Yield how a translation would not do in the place of its template."""
    expected = _placeholders(template.many or template.one)
    if _placeholders(string) != expected:
        yield "other placeholders"
    if any(expected):
        for text in (template.one, string):
            if "%" in _PLACEHOLDER.sub("", text):
                yield "a lone % sign"
    for edge in (str.lstrip, str.rstrip):
        if _edge(template.one, edge) != _edge(string, edge):
            yield "other blanks at an end"
    if template.one.endswith(".") != string.endswith("."):
        yield "one ends with a full stop, one does not"


def _edge(text: str, strip: Callable[[str], str]) -> int:
    return len(text) - len(strip(text))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
