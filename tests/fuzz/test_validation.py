"""Whatever an object says, validation and warnings answer with causes: never with an accident, and never by changing it.

Objects are drawn from the schema of their kind, so that they decode; what they say is mostly nonsense. A second one differs from the first in a few
places, for the updates and the subresources.
"""

from __future__ import annotations

import copy
import random
from typing import Any

import orjson
import pytest

from pilothouse.api.decode import decode
from pilothouse.api.defaults import apply_defaults
from pilothouse.api.errors import ApiError
from pilothouse.api.kinds import KINDS, Kind
from pilothouse.api.schema import Field, Type, schema_of
from pilothouse.api.validation import validate_create, validate_update
from pilothouse.api.warnings import warnings_of

OBJECTS = 200  # of each kind
WRITABLE = [kind for kind in KINDS if {"create", "update"} <= set(kind.verbs)]
WORDS = (
    "|a|A_B|a/b|a.example/b|kubernetes.io/b|/|/a/b|..|../a|10.0.0.1|::1|10.0.0.0/8|-1|0|50%|150%|Always|Never|Exists|In|NotIn|TCP|80|"
    "http|é|0-3,1|4-|*|self.x|1 +|Localhost|None|Block|metadata.name|limits.cpu|@daily|* * * * *|UTC|true|\n"
).split("|") + ["x" * 70]
SCALARS: dict[str, tuple[Any, ...]] = {
    "int32": (0, 1, -1, 2, 80, 65536, 2**31 - 1, -(2**31)),
    "int64": (0, 1, -1, 2, 2**63 - 1, -(2**63)),
    "bool": (True, False),
    "number": (0, 1, -1, 1.5),
    "bytes": ("", "YQ==", "eyJhIjoxfQ=="),
    "Time": ("2026-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
    "MicroTime": ("2026-01-01T00:00:00.000000Z",),
    "Quantity": ("0", "1", "500m", "1Gi", "-1", "1e3", "0.0001", "1n", "9E"),
    "IntOrString": (0, 1, -1, 70000, "50%", "a", "1", "http", "150%"),
}
SIZES = {0: 0.5, 1: 0.5, 2: 0.5, 3: 0.3, 4: 0.3, 5: 0.15, 6: 0.15, 7: 0.15}  # the share of fields, by depth


def value(rng: random.Random, type_: Type, field: Field | None = None, depth: int = 0) -> Any:
    match type_.kind:
        case "struct":
            share = min(SIZES.get(depth, 0.04), 5 / (len(type_.fields) or 1))
            return {
                name: value(rng, inner.type, inner, depth + 1)
                for name, inner in type_.fields.items()
                if name != "managedFields" and rng.random() < share * (3 if inner.required else 1)
            }
        case "list":
            return [value(rng, type_.element, field, depth + 1) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
        case "map":
            keys = rng.choices(WORDS, k=rng.choice((0, 1, 2)))
            return {key: value(rng, type_.element, field, depth + 1) for key in keys}
        case "string":
            return rng.choice(field.enum if field and field.enum and rng.random() < 0.8 else WORDS)
        case kind:
            return rng.choice(SCALARS.get(kind, ({}, {"a": 1}, {"apiVersion": "v1", "kind": "Pod"})))


def changed(rng: random.Random, type_: Type, old: Any, depth: int = 0) -> Any:
    """With one place that is new."""
    if type_.kind == "struct" and isinstance(old, dict):
        fixed = ("apiVersion", "kind", "metadata") if depth == 0 else ("managedFields",)
        names = [name for name in type_.fields if name not in fixed and (name in old or rng.random() < 0.1)]
        if names:
            name = rng.choice(names)
            field = type_.fields[name]
            if name not in old:
                return {**old, name: value(rng, field.type, field, depth + 1)}
            if rng.random() < 0.2:
                return {key: kept for key, kept in old.items() if key != name}
            return {**old, name: changed(rng, field.type, old[name], depth + 1)}
        return old
    if type_.kind == "list" and old and rng.random() < 0.7:
        index = rng.randrange(len(old))
        return [*old[:index], changed(rng, type_.element, old[index], depth + 1), *old[index + 1 :]]
    return value(rng, type_, None, depth)


def as_received(kind: Kind, body: dict[str, Any]) -> dict[str, Any]:
    obj, _ = decode(orjson.dumps(body), "application/json", kind)
    apply_defaults(kind, obj)
    meta = {"name": "x", "uid": "u", **({"namespace": "n"} if kind.namespaced else {})}
    return {**obj, "metadata": meta | (obj.get("metadata") or {})}


@pytest.mark.parametrize("kind", WRITABLE, ids=lambda kind: f"{kind.resource}.{kind.version}")
def test_whatever_it_says(kind: Kind) -> None:
    rng, type_ = random.Random(kind.resource), schema_of(kind.group, kind.version, kind.kind)
    api_version = f"{kind.group}/{kind.version}".removeprefix("/")
    for _ in range(OBJECTS):
        body = {**value(rng, type_), "apiVersion": api_version, "kind": kind.kind}
        try:
            new, old = as_received(kind, body), as_received(kind, changed(rng, type_, body))
        except ApiError:
            continue
        before = copy.deepcopy((new, old))
        causes = validate_create(kind, new)
        for subresource in ("", *(each.name for each in kind.subresources)):
            causes = causes + validate_update(kind, new, old, subresource)
        assert all(isinstance(cause.message, str) for cause in causes)
        assert all(
            isinstance(said, str) for past in (None, old) for said in warnings_of(kind.resource, new, past)
        )
        assert (new, old) == before
