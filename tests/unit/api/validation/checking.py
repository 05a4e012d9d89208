"""What the tests of validation share: an object as the server sees it, and what is said of it."""

from __future__ import annotations

from typing import Any

import orjson

from pilothouse.api.decode import decode
from pilothouse.api.defaults import apply_defaults
from pilothouse.api.kinds import kind_of_resource
from pilothouse.api.validation import validate_create, validate_update

Causes = list[tuple[str, str]]
"""(field, message)."""


def defaulted(resource: str, body: dict[str, Any]) -> dict[str, Any]:
    kind = kind_of_resource(resource)
    obj, _ = decode(orjson.dumps(body), "application/json", kind)
    apply_defaults(kind, obj)
    meta = {"name": "x", **({"namespace": "n"} if kind.namespaced else {}), "uid": "u"}
    obj["metadata"] = meta | obj["metadata"]
    return obj


def of_create(resource: str, body: dict[str, Any]) -> Causes:
    causes = validate_create(kind_of_resource(resource), defaulted(resource, body))
    return [(cause.field, cause.message) for cause in causes]


def of_update(resource: str, new: dict[str, Any], old: dict[str, Any], subresource: str = "") -> Causes:
    pair = (defaulted(resource, new), defaulted(resource, old))
    causes = validate_update(kind_of_resource(resource), *pair, subresource)
    return [(cause.field, cause.message) for cause in causes]


def fields(causes: Causes) -> list[str]:
    return [field for field, _ in causes]


def pod(**spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "a", "image": "i"}], **spec}}


def workload(template: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    labelled = {"metadata": {"labels": {"a": "b"}}, **(template or pod())}
    return {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": labelled, **spec}}
