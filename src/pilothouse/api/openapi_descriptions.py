"""What each type and field means, for `kubectl explain` and OpenAPI: read on demand from the docstrings of lightkube-models.

The texts are Kubernetes' own and stay in that package; here is only the reader. Its source is scanned as text, never imported:
importing builds hundreds of classes that nobody needs. Where the package is absent, types have no descriptions.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from pathlib import Path

_CLASS = re.compile(r'^class (\w+)\(DictMixin\):\n    r"""(.*?)"""', re.M | re.S)
_MEMBER = re.compile(r"^      \* \*\*(\w+)\*\* ``.*?`` - ?", re.M)
_PARAMETERS = "**parameters**"
_WIDTH = 78
_RENAMED = {"ref_": "$ref", "schema_": "$schema", "_ref": "$ref", "_schema": "$schema"}


def describe(type_name: str) -> tuple[str, dict[str, str]]:
    """(description of a type, of its fields) for a name like `core.v1.Pod`."""
    module, _, name = type_name.rpartition(".")
    text = _classes(module.replace(".", "_")).get(name)
    if text is None:
        return "", {}
    head, _, members = text.partition(_PARAMETERS)
    fields = {}
    matches = list(_MEMBER.finditer(members))
    for match, following in zip(matches, [*matches[1:], None], strict=True):
        end = following.start() if following else len(members)
        fields[_json_name(match[1])] = _unwrap(members[match.end() : end])
    return _unwrap(head), fields


def _json_name(name: str) -> str:
    if name in _RENAMED:
        return _RENAMED[name]
    if name.startswith("x_kubernetes_"):
        return name.replace("_", "-")
    return name.rstrip("_")


def _unwrap(text: str) -> str:
    """Paragraphs on one line each, as the API documents them. The package keeps no empty lines, but breaks lines at a width: one
    that ends where the next word had fitted ended a paragraph, or an item of a list."""
    lines = [line.strip() for line in text.strip().split("\n")]
    made = lines[0]
    for line, following in zip(lines, lines[1:]):
        first = following.partition(" ")[0]
        if line and len(line) + 1 + len(first) > _WIDTH:
            made += " " + following
        elif following:
            made = made.rstrip("\n") + ("\n" if first.startswith("*") else "\n\n") + following
    return made


@functools.lru_cache(maxsize=64)
def _classes(module: str) -> dict[str, str]:
    folder = _folder()
    path = folder / f"{module}.py" if folder else None
    if path is None or not path.exists():
        return {}
    return {match[1]: match[2] for match in _CLASS.finditer(path.read_text())}


@functools.cache
def _folder() -> Path | None:
    try:
        spec = importlib.util.find_spec("lightkube.models")
    except ModuleNotFoundError:
        return None
    locations = list(spec.submodule_search_locations or ()) if spec else []
    return Path(locations[0]) if locations else None
