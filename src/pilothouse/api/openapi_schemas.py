"""The schema table as OpenAPI schemas: `components.schemas` of a v3 document, `definitions` of the v2 one.

Shapes are those of a real server, because clients read meaning from them: kubectl's explain follows `allOf` references and
its apply reads merge keys; `default` tells a value from a pointer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .object import Object
from .openapi_descriptions import describe
from .schema import Field, Type, gvks, type_of

_META = "io.k8s.apimachinery.pkg."
# Types with a JSON form of their own: their OpenAPI name, and their v3 and v2 schemas.
_SPECIAL: dict[str, tuple[str, Object, Object]] = {
    "Quantity": (
        f"{_META}api.resource.Quantity",
        {"oneOf": [{"type": "string"}, {"type": "number"}]},
        {"type": "string"},
    ),
    "IntOrString": (
        f"{_META}util.intstr.IntOrString",
        {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
        {"type": "string", "format": "int-or-string"},
    ),
    "Time": (
        f"{_META}apis.meta.v1.Time",
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "date-time"},
    ),
    "MicroTime": (
        f"{_META}apis.meta.v1.MicroTime",
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "date-time"},
    ),
    "SchemaOrArray": (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
        {},
        {},
    ),
    "SchemaOrBool": (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
        {},
        {},
    ),
    "SchemaOrStrings": (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
        {},
        {},
    ),
}
_RAW = f"{_META}runtime.RawExtension"
_FIELDS = f"{_META}apis.meta.v1.FieldsV1"
_JSON = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON"
_ANY: dict[str, Object] = {_RAW: {"type": "object"}, _FIELDS: {"type": "object"}, _JSON: {}}
_PATCH = f"{_META}apis.meta.v1.Patch"

_SCALARS: dict[str, Object] = {
    "string": {"type": "string"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "bool": {"type": "boolean"},
    "number": {"type": "number", "format": "double"},
    "bytes": {"type": "string", "format": "byte"},
}
_DEFAULTS: dict[str, Any] = {"string": "", "int32": 0, "int64": 0, "bool": False, "number": 0}


def schemas(names: Iterable[str], group_versions: Iterable[tuple[str, str]], *, v2: bool = False) -> Object:
    """The schemas of the table's types `names` and of all that they refer to, by OpenAPI name, in order.

    `group_versions` are those that are served: DeleteOptions and WatchEvent have a kind in each.
    """
    listed = sorted(set(group_versions))
    found: Object = {}
    seen: set[str] = set()
    todo = [type_of(name) for name in names]
    while todo:
        type_ = todo.pop()
        if type_.name in seen:
            continue
        seen.add(type_.name)
        found[type_.openapi_name] = _struct(type_, listed, v2)
        for field in type_.fields.values():
            inner = field.type
            while inner.kind in ("list", "map"):
                inner = inner.element
            if inner.kind == "struct":
                todo.append(inner)
            elif inner.kind in _SPECIAL:
                name, v3_schema, v2_schema = _SPECIAL[inner.kind]
                found[name] = _described(inner.kind, v2_schema if v2 else v3_schema)
                if inner.kind.startswith("Schema"):
                    todo.append(type_of("apiextensions.v1.JSONSchemaProps"))
            elif inner.kind == "any":
                name = _any_name(type_, field)
                found[name] = dict(_ANY[name])
    return dict(sorted(found.items()))


def patch_schema() -> tuple[str, Object]:
    return _PATCH, {"type": "object"}


def _described(kind: str, schema: Object) -> Object:
    module = {"Quantity": "resource", "IntOrString": "util_intstr"}.get(kind, "meta.v1")
    text, _ = describe(f"{module}.{kind}")
    return {"description": text, **schema} if text else dict(schema)


def _any_name(type_: Type, field: Field) -> str:
    """Which of the types that hold any JSON a field has."""
    if field.name == "fieldsV1":
        return _FIELDS
    return _JSON if type_.name.startswith("apiextensions.") else _RAW


def _struct(type_: Type, group_versions: list[tuple[str, str]], v2: bool) -> Object:
    text, fields = describe(type_.name)
    schema: Object = {"description": text} if text else {}
    schema["type"] = "object"
    required = [field.name for field in type_.fields.values() if field.required]
    if required:
        schema["required"] = required
    if type_.fields:
        schema["properties"] = {
            field.name: _property(type_, field, fields.get(field.name, ""), v2)
            for field in type_.fields.values()
        }
    kinds = gvks(type_)
    if kinds is None:
        kind = type_.name.rpartition(".")[2]
        kinds = [(group, version, kind) for group, version in group_versions]
    if kinds:
        schema["x-kubernetes-group-version-kind"] = [
            {"group": group, "kind": kind, "version": version} for group, version, kind in kinds
        ]
    if type_.map_type:
        schema["x-kubernetes-map-type"] = type_.map_type
    return schema


def _property(owner: Type, field: Field, text: str, v2: bool) -> Object:
    schema = _schema(owner, field, field.type, v2)
    if not v2 and "$ref" in schema:  # a $ref may have no siblings in 3.0
        schema = {"allOf": [schema]}
    if field.enum:
        inner = schema
        while "items" in inner:
            inner = inner["items"]
        inner["enum"] = list(field.enum)
    if text:
        schema["description"] = text
    if not v2 and field.presence in "az" and (field.type.kind == "struct" or field.required):
        schema["default"] = {} if field.type.kind == "struct" else _DEFAULTS.get(field.type.kind)
        if schema["default"] is None:
            del schema["default"]
    return {**schema, **dict(_extensions(field))}


def _extensions(field: Field) -> Iterator[tuple[str, Any]]:
    if field.list_type:
        yield "x-kubernetes-list-type", field.list_type
    if field.list_map_keys:
        yield "x-kubernetes-list-map-keys", list(field.list_map_keys)
    if field.map_type:
        yield "x-kubernetes-map-type", field.map_type
    if field.patch_strategy:
        yield "x-kubernetes-patch-strategy", field.patch_strategy
    if field.merge_key:
        yield "x-kubernetes-patch-merge-key", field.merge_key


def _schema(owner: Type, field: Field, type_: Type, v2: bool) -> Object:
    kind = type_.kind
    if kind == "list":
        return {"type": "array", "items": _element(owner, field, type_.element, v2)}
    if kind == "map":
        return {"type": "object", "additionalProperties": _element(owner, field, type_.element, v2)}
    if kind == "struct":
        return reference(type_.openapi_name, v2)
    if kind == "any":
        return reference(_any_name(owner, field), v2)
    if kind in _SPECIAL:
        return reference(_SPECIAL[kind][0], v2)
    return dict(_SCALARS[kind])


def _element(owner: Type, field: Field, type_: Type, v2: bool) -> Object:
    schema = _schema(owner, field, type_, v2)
    if v2:
        return schema
    if type_.kind == "struct":
        return {"allOf": [schema], "default": {}}
    if type_.kind in _DEFAULTS:
        schema["default"] = _DEFAULTS[type_.kind]
    return schema


def reference(name: str, v2: bool) -> Object:
    return {"$ref": f"#/{'definitions' if v2 else 'components/schemas'}/{name}"}
