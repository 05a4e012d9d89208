"""The JSON paths of printer columns, scale subresources and selectable fields: a function from an object to the values found.

`.spec.tags[*]`, `.status.conditions[?(@.type=="Ready")].status`, `.metadata.labels['a\\.b']`, `..name` (k8s.io/client-go/util/jsonpath, without
ranges over several templates). What is absent is found nowhere; it is no error.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

Find = Callable[[Any], list[Any]]

_STEP = re.compile(
    r"""\.\.(?P<deep>[^.\[]*)|\.(?P<name>(?:\\.|[^.\[\\])*)|\[\s*(?:(?P<index>-?\d+)|'(?P<quoted>(?:\\.|[^'\\])*)'|"(?P<double>[^"]*)"
    |(?P<all>\*)|(?P<slice>-?\d*:-?\d*(?::-?\d*)?)|\?\(\s*(?P<filter>.*?)\s*\))\s*\]""",
    re.VERBOSE,
)
_FILTER = re.compile(r"@(?P<path>.*?)\s*(?:(?P<operator>==|!=|>=|<=|>|<)\s*(?P<value>.+))?", re.DOTALL)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b, ">": lambda a, b: a > b, "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b, "<=": lambda a, b: a <= b,
}  # fmt: skip


def compile(path: str) -> Find:
    """A path that cannot be read finds nothing."""
    steps: list[Find] = []
    at = 0
    text = path if path.startswith((".", "[")) else f".{path}"
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None or match.end() == at:
            return lambda value: []
        steps.append(_step(match))
        at = match.end()

    def find(value: Any) -> list[Any]:
        found = [value]
        for step in steps:
            found = [inner for each in found for inner in step(each)]
        return found

    return find


def _step(match: re.Match[str]) -> Find:
    if match["deep"] is not None:
        name = match["deep"]
        return lambda value: [v for each in _everything(value) for v in _named(each, name)]
    if match["name"] is not None:
        name = re.sub(r"\\(.)", r"\1", match["name"])
        if name == "*":
            return _children
        return (lambda value: [value]) if not name else lambda value: _named(value, name)
    if match["quoted"] is not None or match["double"] is not None:
        name = re.sub(r"\\(.)", r"\1", match["quoted"] or match["double"] or "")
        return lambda value: _named(value, name)
    if match["index"] is not None:
        index = int(match["index"])
        return lambda value: (
            [value[index]] if isinstance(value, list) and -len(value) <= index < len(value) else []
        )
    if match["slice"] is not None:
        part = slice(*(int(bound) if bound else None for bound in match["slice"].split(":")))
        return lambda value: value[part] if isinstance(value, list) else []
    if match["filter"] is not None:
        holds = _filter(match["filter"])
        return lambda value: [inner for inner in value if holds(inner)] if isinstance(value, list) else []
    return _children


def _named(value: Any, name: str) -> list[Any]:
    return [value[name]] if isinstance(value, dict) and name in value else []


def _children(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else []


def _everything(value: Any) -> list[Any]:
    return [value, *(deep for inner in _children(value) for deep in _everything(inner))]


def _filter(text: str) -> Callable[[Any], bool]:
    match = _FILTER.fullmatch(text)
    if match is None:
        return lambda value: False
    find = compile(match["path"]) if match["path"] else lambda value: [value]
    if not match["operator"]:
        return lambda value: bool(find(value))
    compare, literal = _COMPARE[match["operator"]], match["value"].strip()
    try:
        wanted = orjson.loads(f'"{literal[1:-1]}"' if literal[:1] == "'" else literal)
    except orjson.JSONDecodeError:
        wanted = literal

    def holds(value: Any) -> bool:
        return any(type(found) is type(wanted) and compare(found, wanted) for found in find(value))

    return holds
