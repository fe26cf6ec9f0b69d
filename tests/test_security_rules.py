"""Rules of security that the syntax tree of our code is held to; each is proved on a line that breaks it."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import exceptions

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME = Path(__file__).resolve().parent.parent
LEFT_OUT = frozenset({"tests", "benchmarks"})
LOG_METHODS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})
OUR_ERRORS = frozenset(name for name, value in vars(exceptions).items() if isinstance(value, type))
FORBIDDEN_CALLS = frozenset(
    {"eval", "exec", "compile", "__import__", "literal_eval", "system", "popen", "mktemp", "_create_unverified_context"}
)
RE_METHODS = frozenset({"re"})
FORBIDDEN_MODULES = frozenset({"pickle", "marshal", "shelve", "dill", "yaml", "telnetlib", "ftplib", "oauth2client"})
FORBIDDEN_TEXTS = frozenset({"USER_ENTERED", "formulaValue"})
KNOWN = {
    "pipeline/job.py": "a traceback in the log",  # of a bug of ours: to the file alone, redacted like all of it
    "warehouse/embedded.py": "the text of a foreign exception",  # of a file that cannot be locked: nobody's secret
}
"""The exceptions, and why they are none: one rule each."""
DRAWN_BY_US = {"parts.html.j2: figure.wide | safe", "parts.html.j2: figure.narrow | safe"}
"""The charts: SVG that we made ourselves, whose texts were escaped when it was drawn."""
SAFE_FILTER = re.compile(r"[\w.]+ \|\s*safe\b|autoescape\s+false|Markup\(")


def sources() -> list[Path]:
    """Return the files of the program and its tools."""
    found = [path for path in HOME.rglob("*.py") if not path.relative_to(HOME).parts[0].startswith(".")]
    return sorted(path for path in found if path.relative_to(HOME).parts[0] not in LEFT_OUT)


def _called(node: ast.Call) -> tuple[str, str]:
    """Return the name of what is called, and of what it belongs to."""
    match node.func:
        case ast.Name(id=name):
            return name, ""
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            return name, owner
        case ast.Attribute(attr=name):
            return name, "?"
        case _:
            return "", ""


def _is_false(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def _call_faults(node: ast.Call) -> Iterator[str]:
    name, owner = _called(node)
    keywords = {keyword.arg: keyword.value for keyword in node.keywords}
    if name in FORBIDDEN_CALLS and owner not in RE_METHODS:
        yield f"{name} executes or unpacks what it is given"
    if _is_false(keywords.get("verify")):
        yield "verify=False trusts everybody"
    if name in {"starttls", "SMTP_SSL"} and "context" not in keywords:
        yield f"{name} without a context verifies nothing"
    shell = keywords.get("shell")
    if shell is not None and not _is_false(shell):
        yield "a shell interprets its command"
    if name in {"execute", "executemany", "copy_expert", "rows"} and node.args:
        statement = node.args[0]
        if isinstance(statement, ast.JoinedStr) or (
            isinstance(statement, ast.BinOp) and not isinstance(statement.op, ast.BitOr)
        ):
            yield "a statement glued together from values"
        if (
            isinstance(statement, ast.Call)
            and _called(statement) == ("format", "?")
            and isinstance(statement.func, ast.Attribute)
            and isinstance(statement.func.value, ast.Constant)
        ):
            yield "a statement glued together by format"


def _log_faults(node: ast.Call, caught: set[str]) -> Iterator[str]:
    name, owner = _called(node)
    if name not in LOG_METHODS or owner not in {"log", "logging"}:
        return
    for argument in node.args:
        if isinstance(argument, ast.JoinedStr):
            yield "a log line must be a constant template"
        used = {part.id for part in ast.walk(argument) if isinstance(part, ast.Name)}
        whole = isinstance(argument, ast.Name) or (
            isinstance(argument, ast.Call) and _called(argument)[0] in {"str", "repr", "format_exc", "format_exception"}
        )
        if whole and used & caught:
            yield "the text of a foreign exception in the log may hold a secret"
    if any(keyword.arg == "exc_info" and not _is_false(keyword.value) for keyword in node.keywords):
        yield "a traceback in the log shows the texts of foreign exceptions"


def _foreign(handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler catches something else than our own errors."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = [kind.attr if isinstance(kind, ast.Attribute) else getattr(kind, "id", "") for kind in kinds]
    return not set(names) <= OUR_ERRORS


def faults(code: str) -> list[str]:
    """Return the rules that some code breaks, with their lines."""
    tree = ast.parse(code)
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found += [(node.lineno, fault) for fault in _call_faults(node)]
            found += [(node.lineno, fault) for fault in _log_faults(node, set())]
        elif isinstance(node, ast.ExceptHandler) and node.name and _foreign(node):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Call):
                    found += [(inner.lineno, fault) for fault in _log_faults(inner, {node.name})]
        elif isinstance(node, ast.Import | ast.ImportFrom):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found += [(node.lineno, f"import of {name}") for name in modules if name.split(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.Attribute) and node.attr == "CERT_NONE":
            found.append((node.lineno, "CERT_NONE trusts everybody"))
        elif isinstance(node, ast.Assign) and _is_false(node.value):
            named = [target for target in node.targets if isinstance(target, ast.Attribute)]
            found += [(node.lineno, "the name of the host is not checked") for t in named if t.attr == "check_hostname"]
        elif isinstance(node, ast.Constant) and node.value in FORBIDDEN_TEXTS:
            found.append((node.lineno, f"{node.value}: a text could become a formula"))
    return sorted({f"{line}: {fault}" for line, fault in found})


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(HOME)))
def test_code_keeps_the_rules(path: Path) -> None:
    """No eval, exec, pickle or shell, no unverified TLS, no glued SQL, no formula, no foreign text in the log."""
    known = KNOWN.get(path.relative_to(HOME).as_posix(), "-")

    assert [fault for fault in faults(path.read_text("utf-8")) if known not in fault] == []


@pytest.mark.parametrize(
    "line",
    [
        "eval(text)",
        "exec(text)",
        "ast.literal_eval(text)",
        "compile(text, '', 'exec')",
        "import pickle",
        "from yaml import load",
        "os.system(command)",
        "subprocess.run(command, shell=True)",
        "session.get(url, verify=False)",
        "context.check_hostname = False",
        "context.verify_mode = ssl.CERT_NONE",
        "ssl._create_unverified_context()",
        "client.starttls()",
        "smtplib.SMTP_SSL(host)",
        "sheet.update(values, value_input_option='USER_ENTERED')",
        "cursor.execute(f'DROP TABLE {name}')",
        "cursor.execute('DROP TABLE ' + name)",
        "cursor.execute('DROP TABLE %s' % name)",
        "cursor.execute('DROP TABLE {}'.format(name))",
        "log.info(f'rows: {rows}')",
        "try:\n    pass\nexcept OSError as error:\n    log.warning('failed: %s', error)",
        "try:\n    pass\nexcept requests.RequestException as error:\n    log.error('failed: %s', str(error))",
        "try:\n    pass\nexcept (DatabaseError, Exception) as error:\n    log.error('%s', repr(error))",
        "log.error('failed', exc_info=True)",
        "tempfile.mktemp()",
    ],
)
def test_rule_would_tell(line: str) -> None:
    """Every rule finds the line that it is made for."""
    assert len(faults(line)) == 1


@pytest.mark.parametrize(
    "line",
    [
        "re.compile(text)",
        "cursor.execute(sql.SQL('SET {} TO {}').format(name, value))",
        "cursor.execute(query('load/compare'), bounds)",
        "subprocess.run([program, text])",
        "client.starttls(context=context)",
        "try:\n    pass\nexcept TransientSourceError as error:\n    log.warning('failed: %s', error)",
        "try:\n    pass\nexcept OSError as error:\n    log.warning('failed: %s', error.strerror)",
        "try:\n    pass\nexcept OSError as error:\n    log.warning('failed: %s', type(error).__name__)",
    ],
)
def test_good_code_is_left_in_peace(line: str) -> None:
    """What is safe breaks no rule."""
    assert faults(line) == []


def test_templates_escape_everything() -> None:
    """No template of the page or the letter switches escaping off; what is markup already is made in one module."""
    found = [
        f"{path.name}: {match[0]}"
        for path in sorted((HOME / "templates").iterdir())
        for match in SAFE_FILTER.finditer(path.read_text("utf-8"))
    ]

    assert set(found) <= DRAWN_BY_US


def test_no_switch_turns_tls_off() -> None:
    """Neither settings nor documents know a way to leave certificates unchecked."""
    words = re.compile(
        r"(SKIP|NO|DISABLE|INSECURE)_?(TLS|SSL|VERIFY|CERT)|(TLS|SSL|CERT)_?VERIFY|INSECURE", re.IGNORECASE
    )
    told = (HOME / "config.py", *sorted((HOME / "settings").glob("*.py")), HOME / ".env.example")
    texts = {path.name: path.read_text("utf-8") for path in told}

    assert {name: words.findall(text) for name, text in texts.items() if words.search(text)} == {}


def test_nothing_secret_can_be_added_to_the_repository_by_chance() -> None:
    """Settings, keys, data, logs and reports are left out by name, so that `git add .` takes none of them."""
    ignored = (HOME / ".gitignore").read_text("utf-8").split()

    assert {".env", ".data/", ".demo/", ".logs/", "reports/", "*.json.key", "service-account*.json"} <= set(ignored)


SECRET_FORMS = re.compile(
    r"-----BEGIN (?:RSA |EC )?PRIVATE KEY-----\n[A-Za-z0-9+/]{40}|AIza[0-9A-Za-z_-]{35}|ya29\.[0-9A-Za-z_-]{20}"
    r"|(?:ghp|gho|glpat|xox[abp])[-_][0-9A-Za-z_-]{16}|postgres(?:ql)?://[^\s:@/{]+:[^\s@{$%…]{6,}@(?![\w.-]*example\.)(?:[\w-]+\.)+[a-z]{2,}\b"
)


def test_no_file_holds_a_key() -> None:
    """Nothing that looks like a private key, a token or the password of a real server stands in any text of ours."""
    left_out = {".git", ".venv", ".data", ".demo", ".logs", "reports", ".hypothesis", ".mypy_cache", ".ruff_cache"}
    found = []
    for path in HOME.rglob("*"):
        parts = path.relative_to(HOME).parts
        if parts[0] in left_out or "__pycache__" in parts or path.suffix in {".mo", ".png"} or not path.is_file():
            continue
        if SECRET_FORMS.search(path.read_text("utf-8", "replace")):
            found.append(str(path.relative_to(HOME)))

    assert found == []
