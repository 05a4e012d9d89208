"""Whatever has the shape of a kind is judged, never stumbled over."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.api.decode_values import WrongValue, normalize
from pilothouse.api.defaults import apply_defaults
from pilothouse.api.kinds import kind_of_resource
from pilothouse.api.schema import Type, schema_of
from pilothouse.api.validation import validate_create, validate_update
from pilothouse.api.validation.table import VALIDATORS
from pilothouse.api.warnings import warnings_of

TEXTS = [
    "",
    "a",
    "Bad_",
    "10.0.0.1",
    "fd00::/8",
    "x/y",
    "In",
    "Exists",
    "Service",
    "LoadBalancer",
    "Limited",
    "*",
]
SCALARS: dict[str, list[Any]] = {
    "string": TEXTS,
    "bool": [True, False],
    "number": [0, 1.5, -2],
    "Quantity": ["0", "-1", "100m", "1Gi"],
    "IntOrString": [0, -1, 70000, "a", "150%"],
    "Time": ["2024-01-01T00:00:00Z"],
    "MicroTime": ["2024-01-01T00:00:00.000000Z"],
    "bytes": ["", "AAAA"],
    "int32": [0, 1, -1, 70000],
    "int64": [0, 1, -1, 70000],
}


def some(type_: Type, draw: Any, depth: int = 0) -> Any:
    if type_.kind == "struct":
        chosen = (
            draw(st.lists(st.sampled_from(sorted(type_.fields)), unique=True, max_size=9))
            if type_.fields
            else []
        )
        return {name: some(type_.fields[name].type, draw, depth + 1) for name in chosen} if depth < 8 else {}
    if type_.kind == "list":
        return [some(type_.element, draw, depth + 1) for _ in range(draw(st.integers(0, 2)))]
    if type_.kind == "map":
        keys = draw(st.lists(st.sampled_from([*TEXTS, "cpu"]), unique=True, max_size=2))
        return {key: some(type_.element, draw, depth + 1) for key in keys}
    return draw(st.sampled_from(SCALARS.get(type_.kind, [{}, {"a": 1}, "x"])))


@pytest.mark.parametrize("resource", sorted(VALIDATORS.keys() - {"events.events.k8s.io"}))
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_any_object_of_a_kind_is_judged(resource: str, data: st.DataObject) -> None:
    kind = kind_of_resource(resource)
    type_ = schema_of(kind.group, kind.version, kind.kind)
    pair = []
    for _ in range(2):
        try:
            obj, _problems = normalize(type_, some(type_, data.draw))
        except WrongValue:
            return
        obj.setdefault("metadata", {})
        apply_defaults(kind, obj)
        pair.append(obj)
    validate_create(kind, pair[0])
    for subresource in ("", "status"):
        validate_update(kind, pair[0], pair[1], subresource)
    if not validate_create(kind, pair[0]):
        list(warnings_of(resource, pair[0], None))
