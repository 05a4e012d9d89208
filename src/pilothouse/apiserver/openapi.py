"""OpenAPI v3, one document a group and version, made from the tables of kinds and types when it is first asked for.

What clients read in it: kubectl, whether PATCH of a kind takes `fieldValidation` (apply) and what fields a kind has (explain); generators of
clients and IDEs, the schemas. Descriptions come from where `api` keeps them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import orjson

from ..api.kinds import Kind
from ..api.object import Object
from ..api.schema import Field, Type, has_schema, schema_of, type_of

SCALARS: dict[str, Object] = {
    "string": {"type": "string"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "bool": {"type": "boolean"},
    "number": {"type": "number", "format": "double"},
    "bytes": {"type": "string", "format": "byte"},
    "any": {},
}
REFERENCES = {
    "Time": "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
    "MicroTime": "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
    "Quantity": "io.k8s.apimachinery.pkg.api.resource.Quantity",
    "IntOrString": "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    "SchemaOrArray": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
    "SchemaOrBool": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
    "SchemaOrStrings": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
}
COMMON: dict[str, Object] = {
    REFERENCES["Time"]: {"type": "string", "format": "date-time"},
    REFERENCES["MicroTime"]: {"type": "string", "format": "date-time"},
    REFERENCES["Quantity"]: {"oneOf": [{"type": "string"}, {"type": "number"}]},
    REFERENCES["IntOrString"]: {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"},
    REFERENCES["SchemaOrArray"]: {},
    REFERENCES["SchemaOrBool"]: {},
    REFERENCES["SchemaOrStrings"]: {},
}
META = "io.k8s.apimachinery.pkg.apis.meta.v1."


def _parameter(name: str, type_: str = "string", where: str = "query", **more: Any) -> Object:
    return {"name": name, "in": where, "schema": {"type": type_, "uniqueItems": True}, **more}


PRETTY = _parameter("pretty")
WRITE = [_parameter("dryRun"), _parameter("fieldManager"), _parameter("fieldValidation")]
LIST = [
    _parameter("allowWatchBookmarks", "boolean"), _parameter("continue"), _parameter("fieldSelector"), _parameter("labelSelector"),
    _parameter("limit", "integer"), _parameter("resourceVersion"), _parameter("resourceVersionMatch"),
    _parameter("sendInitialEvents", "boolean"), _parameter("timeoutSeconds", "integer"), _parameter("watch", "boolean"),
]
DELETE = [
    _parameter("dryRun"), _parameter("gracePeriodSeconds", "integer"), _parameter("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
    _parameter("orphanDependents", "boolean"), _parameter("propagationPolicy"),
]
PATCH_TYPES = (
    "application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json",
)
BODIES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")


VERSION = "v1.36.2"  # the documents of the built-in kinds change with it, and with nothing else


class OpenApi:
    """The documents of one set of kinds, as bytes, each made once."""

    def __init__(self, kinds: Iterable[Kind]):
        self._kinds = list(kinds)
        self._documents: dict[str, bytes] = {}

    def paths(self) -> list[str]:
        return sorted({_path(kind) for kind in self._kinds})

    def index(self) -> Object:
        """GET /openapi/v3."""
        shown = {}
        for path in self.paths():
            digest = hashlib.sha512(f"{VERSION} {path}".encode()).hexdigest().upper()
            shown[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
        return {"paths": shown}

    def document(self, path: str) -> bytes | None:
        """GET /openapi/v3/<path>; None for a group and version that is not served."""
        if path not in self._documents:
            kinds = [kind for kind in self._kinds if _path(kind) == path]
            if not kinds:
                return None
            self._documents[path] = orjson.dumps(document(kinds))
        return self._documents[path]


def _path(kind: Kind) -> str:
    return f"apis/{kind.group}/{kind.version}" if kind.group else f"api/{kind.version}"


def document(kinds: list[Kind]) -> Object:
    schemas: dict[str, Object] = {}
    paths: dict[str, Object] = {}
    for name in ("meta.v1.DeleteOptions", "meta.v1.Status", "meta.v1.WatchEvent", "meta.v1.Patch"):
        try:
            _collect(type_of(name), schemas)
        except KeyError:
            schemas[META + name.rpartition(".")[2]] = {"type": "object"}
    for kind in kinds:
        if not has_schema(kind.group, kind.version, kind.kind):
            continue
        _collect(schema_of(kind.group, kind.version, kind.kind), schemas)
        _add_paths(kind, paths, schemas)
    for name, schema in COMMON.items():
        schemas.setdefault(name, schema)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION},
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "BearerToken": {"type": "apiKey", "description": "Bearer Token authentication", "name": "authorization", "in": "header"}
            },
        },
    }


def _gvk(kind: Kind) -> Object:
    return {"group": kind.group, "kind": kind.kind, "version": kind.version}


def _collect(type_: Type, schemas: dict[str, Object]) -> None:
    """The struct's schema, and those of all that it refers to."""
    while type_.kind in ("list", "map"):
        type_ = type_.element
    if type_.kind != "struct" or type_.openapi_name in schemas:
        return
    schema: Object = {"type": "object"}
    schemas[type_.openapi_name] = schema
    fields = type_.fields
    if fields:
        schema["properties"] = {name: field_schema(field) for name, field in sorted(fields.items())}
    required = sorted(name for name, field in fields.items() if field.required)
    if required:
        schema["required"] = required
    if type_.map_type:
        schema["x-kubernetes-map-type"] = type_.map_type
    from ..api.schema import gvks

    known = gvks(type_)
    if known:
        schema["x-kubernetes-group-version-kind"] = [{"group": g, "kind": k, "version": v} for g, v, k in known]
    for field in fields.values():
        _collect(field.type, schemas)


def field_schema(field: Field) -> Object:
    schema = _schema(field.type)
    if field.enum:
        schema["enum"] = list(field.enum)
    if field.list_type:
        schema["x-kubernetes-list-type"] = field.list_type
    if field.list_map_keys:
        schema["x-kubernetes-list-map-keys"] = list(field.list_map_keys)
    if field.map_type:
        schema["x-kubernetes-map-type"] = field.map_type
    if field.patch_strategy:
        schema["x-kubernetes-patch-strategy"] = field.patch_strategy
    if field.merge_key:
        schema["x-kubernetes-patch-merge-key"] = field.merge_key
    return schema


def _schema(type_: Type) -> Object:
    if type_.kind == "struct":
        return {"allOf": [_reference(type_.openapi_name)]}
    if type_.kind == "list":
        return {"type": "array", "items": _schema(type_.element)}
    if type_.kind == "map":
        return {"type": "object", "additionalProperties": _schema(type_.element)}
    if type_.kind in REFERENCES:
        return {"allOf": [_reference(REFERENCES[type_.kind])]}
    return dict(SCALARS[type_.kind])


def _reference(name: str) -> Object:
    return {"$ref": f"#/components/schemas/{name}"}


def _add_paths(kind: Kind, paths: dict[str, Object], schemas: dict[str, Object]) -> None:
    name = schema_of(kind.group, kind.version, kind.kind).openapi_name
    base = f"/{_path(kind)}/" + ("namespaces/{namespace}/" if kind.namespaced else "") + kind.plural
    collection: Object = {}
    one: Object = {}
    list_name = f"{name}List"
    if "list" in kind.verbs:
        schemas.setdefault(list_name, _list_schema(kind, name))
        collection["get"] = _operation(kind, "list", list_name, LIST)
    if "create" in kind.verbs:
        collection["post"] = _operation(kind, "post", name, WRITE, body=name)
    if "deletecollection" in kind.verbs:
        collection["delete"] = _operation(kind, "deletecollection", META + "Status", [*DELETE, *LIST])
    if "get" in kind.verbs:
        one["get"] = _operation(kind, "get", name, [])
    if "update" in kind.verbs:
        one["put"] = _operation(kind, "put", name, WRITE, body=name)
    if "patch" in kind.verbs:
        force = _parameter("force", "boolean")
        one["patch"] = _operation(kind, "patch", name, [*WRITE, force], body=META + "Patch", types=PATCH_TYPES)
    if "delete" in kind.verbs:
        one["delete"] = _operation(kind, "delete", META + "Status", DELETE, body=META + "DeleteOptions")
    shared = [PRETTY]
    if kind.namespaced:
        shared.insert(0, _parameter("namespace", where="path", required=True))
        if "list" in kind.verbs:
            everywhere = {"get": _operation(kind, "list", list_name, LIST), "parameters": [PRETTY]}
            paths[f"/{_path(kind)}/{kind.plural}"] = everywhere
    if collection:
        paths[base] = {**collection, "parameters": shared}
    if one:
        named = _parameter("name", where="path", required=True)
        paths[base + "/{name}"] = {**one, "parameters": [named, *shared]}


def _list_schema(kind: Kind, name: str) -> Object:
    return {
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"},
            "items": {"type": "array", "items": {"allOf": [_reference(name)]}},
            "kind": {"type": "string"},
            "metadata": {"allOf": [_reference(META + "ListMeta")]},
        },
        "x-kubernetes-group-version-kind": [{"group": kind.group, "kind": kind.list_kind, "version": kind.version}],
    }


def _operation(
    kind: Kind, action: str, answer: str, parameters: list[Object], *, body: str = "", types: tuple[str, ...] = BODIES
) -> Object:
    group = kind.group.split(".")[0] or "core"
    made: Object = {
        "tags": [f"{group}_{kind.version}"],
        "operationId": f"{action}{group.capitalize()}{kind.version.capitalize()}{'Namespaced' if kind.namespaced else ''}{kind.kind}",
        "parameters": parameters,
        "responses": {
            "200": {"description": "OK", "content": {"application/json": {"schema": _reference(answer)}}},
            "401": {"description": "Unauthorized"},
        },
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _gvk(kind),
    }
    if body:
        made["requestBody"] = {"content": {t: {"schema": _reference(body)} for t in types}, "required": body != META + "DeleteOptions"}
    return made
