"""Google's own description of the Sheets API, and the checks of calls against it."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import jsonschema

if TYPE_CHECKING:
    from collections.abc import Iterator


class RefusedError(Exception):
    """The stand-in refuses a call, as Google would or because the project's rules forbid it."""

    def __init__(self, status: int, message: str, *, violation: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.violation = violation


@cache
def discovery() -> dict[str, Any]:
    """Read the discovery document of the Sheets API."""
    document = files("googleapiclient") / "discovery_cache" / "documents" / "sheets.v4.json"
    loaded: dict[str, Any] = json.loads(document.read_text(encoding="utf-8"))
    return loaded


def _json_schema(described: dict[str, Any]) -> dict[str, Any]:
    """Convert a schema of the discovery document to JSON Schema that knows no further names."""
    if "$ref" in described:
        return {"$ref": f"#/$defs/{described['$ref']}"}
    kind = described["type"]
    if kind == "any":
        return {}
    schema: dict[str, Any] = {"type": kind}
    if "enum" in described:
        schema["enum"] = described["enum"]
    if kind == "integer":
        schema |= {"minimum": -(2**31), "maximum": 2**31 - 1}
    if kind == "array":
        schema["items"] = _json_schema(described["items"])
    if kind == "object":
        schema["properties"] = {name: _json_schema(part) for name, part in described.get("properties", {}).items()}
        rest = described.get("additionalProperties")
        schema["additionalProperties"] = _json_schema(rest) if rest else False
    return schema


@cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    definitions = {key: _json_schema(schema) for key, schema in discovery()["schemas"].items()}
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": definitions})


def check_schema(name: str, instance: object) -> None:
    """Refuse what is not of a schema, down to the last name."""
    for error in _validator(name).iter_errors(instance):
        where = "/".join(map(str, error.absolute_path))
        raise RefusedError(400, f"{name} at {where}: {error.message[:300]}", violation=True)


@cache
def _methods() -> tuple[dict[str, Any], ...]:
    def walk(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from resource.get("methods", {}).values()
        for inner in resource.get("resources", {}).values():
            yield from walk(inner)

    return tuple(walk(discovery()))


def find_method(verb: str, path: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Find the method of a call and the values of its path."""
    for method in _methods():
        names = re.findall(r"\{(\w+)\}", method["flatPath"])
        pattern = re.sub(r"\\\{\w+\\\}", "([^/:]+)", re.escape("/" + method["flatPath"]))
        match = re.fullmatch(pattern, path)
        if match and method["httpMethod"] == verb:
            return method, dict(zip(names, map(unquote, match.groups()), strict=True))
    raise RefusedError(404, f"no method {verb} {path}", violation=True)


def check_query(method: dict[str, Any], query: dict[str, list[str]]) -> None:
    """Refuse parameters of a query that the method does not know."""
    known = discovery()["parameters"] | method["parameters"]
    for name, values in query.items():
        described = known.get(name)
        if described is None or described.get("location") != "query":
            raise RefusedError(400, f"unknown query parameter {name}", violation=True)
        if len(values) > 1 and not described.get("repeated"):
            raise RefusedError(400, f"{name} is given twice", violation=True)
        if described.get("type") == "boolean" and not set(values) <= {"true", "false"}:
            raise RefusedError(400, f"{name} is no boolean", violation=True)
        if "enum" in described and not set(values) <= set(described["enum"]):
            raise RefusedError(400, f"{name} has an unknown value", violation=True)


def parse_mask(mask: str, schema: str) -> dict[str, Any]:
    """Parse a field mask such as `a.b,c(d,e)` to a tree, each name of which the schema must know."""
    tree: dict[str, Any] = {}
    stack, node = [tree], tree
    for token in re.findall(r"[A-Za-z]+|[.,()]|.", mask):
        if token == ",":
            node = stack[-1]
        elif token == "(":
            stack.append(node)
        elif token == ")":
            if len(stack) == 1:
                raise RefusedError(400, f"unbalanced field mask {mask}", violation=True)
            stack.pop()
            node = stack[-1]
        elif token.isalpha():
            node = node.setdefault(token, {})
        elif token != ".":
            raise RefusedError(400, f"odd field mask {mask}", violation=True)
    if len(stack) != 1 or not tree:
        raise RefusedError(400, f"unbalanced or empty field mask {mask}", violation=True)
    _check_mask(tree, {"$ref": schema})
    return tree


def _check_mask(tree: dict[str, Any], described: dict[str, Any]) -> None:
    while "$ref" in described or described.get("type") == "array":
        described = discovery()["schemas"][described["$ref"]] if "$ref" in described else described["items"]
    for name, inner in tree.items():
        if name not in described.get("properties", {}):
            raise RefusedError(400, f"the field mask names {name}, which does not exist", violation=True)
        _check_mask(inner, described["properties"][name])


def masked(value: Any, tree: dict[str, Any]) -> Any:
    """Return the part of a value that a mask asks for."""
    if not tree:
        return value
    if isinstance(value, list):
        return [masked(item, tree) for item in value]
    return {name: masked(value[name], inner) for name, inner in tree.items() if name in value}
