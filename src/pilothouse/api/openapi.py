"""The OpenAPI documents: `/openapi/v3` (an index, and one document a group version) and `/openapi/v2`.

Built from the table of kinds and the schema table when first asked for; the caller keeps the bytes (`Documents` does).
kubectl reads them to explain, to know whether a server validates fields, and which patches a kind takes. What a v3 document
is called changes with its content (`?hash=…`), so that clients may keep it for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson

from .kinds import Kind
from .object import Object
from .openapi_merge import merged
from .openapi_operations import Operation, base_path, group_tag, group_word, operations
from .openapi_schemas import patch_schema, reference, schemas
from .schema import schema_of, type_of

VERSION = "v1.36.2"

CustomSchema = Callable[[Kind], Object | None]
"""The structural schema (`openAPIV3Schema`) of a custom kind, if it has one to publish."""

# Short words for query parameters: (type, description).
_QUERY: dict[str, tuple[str, str]] = {
    "allowWatchBookmarks": (
        "boolean",
        "Whether a watch sends BOOKMARK events with the current resourceVersion.",
    ),
    "command": ("string", "The command to run, one argument each; not run in a shell."),
    "container": ("string", "The container; may be left out where the pod has one."),
    "continue": ("string", "Where to go on: the token of the previous answer to the same list."),
    "dryRun": ("string", "`All` runs every stage of the request but stores nothing."),
    "fieldManager": (
        "string",
        "Whose change this is, in metadata.managedFields. At most 128 printable characters.",
    ),
    "fieldSelector": ("string", "Only objects whose fields match."),
    "fieldValidation": ("string", "What to do about unknown and duplicate fields: Ignore, Warn or Strict."),
    "follow": ("boolean", "Whether to go on sending the log as it grows."),
    "force": ("boolean", "Whether an apply takes over fields that others manage."),
    "gracePeriodSeconds": ("integer", "Seconds until the object is deleted; 0 means now."),
    "ignoreStoreReadErrorWithClusterBreakingPotential": (
        "boolean",
        "Whether to delete an object that can no longer be read, without regard to its finalizers.",
    ),
    "insecureSkipTLSVerifyBackend": ("boolean", "Whether to trust a kubelet whose certificate is not known."),
    "labelSelector": ("string", "Only objects whose labels match."),
    "limit": ("integer", "At most so many items; more are behind the answer's continue token."),
    "limitBytes": ("integer", "At most so many bytes of the log."),
    "orphanDependents": ("boolean", "Deprecated: use propagationPolicy."),
    "path": ("string", "The path to request behind the proxy."),
    "ports": ("integer", "The ports to forward."),
    "pretty": ("string", "Whether the answer is indented."),
    "previous": ("boolean", "Whether to send the log of the container's previous run."),
    "propagationPolicy": ("string", "What becomes of dependents: Orphan, Background or Foreground."),
    "resourceVersion": ("string", "Not older than this, or exactly this: see resourceVersionMatch."),
    "resourceVersionMatch": ("string", "How resourceVersion is meant in a list: Exact or NotOlderThan."),
    "sendInitialEvents": ("boolean", "Whether a watch begins with the present state, ended by a BOOKMARK."),
    "sinceSeconds": ("integer", "Only what was logged in the last so many seconds."),
    "stderr": ("boolean", "Whether to send the standard error."),
    "stdin": ("boolean", "Whether to pass on a standard input."),
    "stdout": ("boolean", "Whether to send the standard output."),
    "stream": ("string", "Which streams of the log: All, Stdout or Stderr."),
    "tailLines": ("integer", "Only the last so many lines of the log."),
    "timeoutSeconds": ("integer", "How long the list or watch may take."),
    "timestamps": ("boolean", "Whether each line of the log begins with its time."),
    "tty": ("boolean", "Whether to allocate a terminal."),
    "watch": ("boolean", "Whether to send changes as they happen, instead of a list."),
}
_PATH_PARAMETERS = {
    "namespace": "object name and auth scope, such as for teams and projects",
    "path": "path to the resource",
}
_META_TYPES = ("meta.v1.APIResourceList", "meta.v1.DeleteOptions", "meta.v1.Status", "meta.v1.WatchEvent")
_SECURITY = {
    "BearerToken": {
        "description": "Bearer Token authentication",
        "in": "header",
        "name": "authorization",
        "type": "apiKey",
    }
}


def v3_paths(kinds: Iterable[Kind]) -> list[str]:
    """The documents there are: `api/v1`, `apis/apps`, `apis/apps/v1`, …"""
    found = {".well-known/openid-configuration", "api", "apis", "openid/v1/jwks", "version"}
    for kind in kinds:
        found.add(base_path(kind.group, kind.version)[1:])
        if kind.group and not kind.custom:
            found.add(f"apis/{kind.group}")
    return sorted(found)


def v3_index(kinds: Sequence[Kind], custom_schema: CustomSchema | None = None) -> Object:
    """GET /openapi/v3."""
    return {
        "paths": {
            path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={_hash(kinds, path, custom_schema)}"}
            for path in v3_paths(kinds)
        }
    }


def v3_document(kinds: Sequence[Kind], path: str, custom_schema: CustomSchema | None = None) -> Object | None:
    """GET /openapi/v3/<path>; None where there is nothing."""
    if path not in v3_paths(kinds):
        return None
    rows = [kind for kind in kinds if base_path(kind.group, kind.version)[1:] == path]
    custom = bool(rows) and all(kind.custom for kind in rows)
    listed: list[Operation] = [] if custom else [_discovery_operation(path)]
    names: set[str] = set()
    found: Object = {}
    for kind in rows:
        type_name, list_name = _type_names(kind)
        listed.extend(operations(kind, type_name, list_name))
        if kind.custom:
            found |= _custom_schemas(kind, custom_schema(kind) if custom_schema else None)
    for operation in listed:
        answered = [type_name for _, type_name in operation.answers]
        names.update(name for name in (operation.body, *answered) if name and not name.startswith("custom:"))
    if custom:
        names.add("meta.v1.ListMeta")
        names.add("meta.v1.ObjectMeta")
    patched = "meta.v1.Patch" in names
    names.discard("meta.v1.Patch")
    found |= schemas(sorted(names), _served(kinds))
    if patched:
        name, schema = patch_schema()
        found[name] = schema
    info = {"title": "Kubernetes CRD Swagger", "version": "v0.1.0"} if custom else _info()
    components: Object = {"schemas": dict(sorted(found.items()))}
    if not custom:
        components["securitySchemes"] = _SECURITY
    return {"openapi": "3.0.0", "info": info, "paths": _v3_path_items(listed), "components": components}


def v2_document(kinds: Sequence[Kind], custom_schema: CustomSchema | None = None) -> Object:
    """GET /openapi/v2: everything in one, in the older format."""
    listed = [_discovery_operation(path) for path in v3_paths(kind for kind in kinds if not kind.custom)]
    names: set[str] = set(_META_TYPES)
    found: Object = {}
    for kind in kinds:
        type_name, list_name = _type_names(kind)
        listed.extend(operations(kind, type_name, list_name))
        if kind.custom:
            found |= _custom_schemas(kind, custom_schema(kind) if custom_schema else None, v2=True)
    for operation in listed:
        answered = [type_name for _, type_name in operation.answers]
        names.update(name for name in (operation.body, *answered) if name and not name.startswith("custom:"))
    names.discard("meta.v1.Patch")
    found |= schemas(sorted(names), _served(kinds), v2=True)
    name, schema = patch_schema()
    found[name] = schema
    return {
        "swagger": "2.0",
        "info": _info(),
        "paths": _v2_path_items(listed),
        "definitions": dict(sorted(found.items())),
        "securityDefinitions": _SECURITY,
        "security": [{"BearerToken": []}],
    }


class Documents:
    """The documents' bytes, built when first asked for, until the kinds change."""

    def __init__(self, kinds: Sequence[Kind], custom_schema: CustomSchema | None = None):
        self.kinds = kinds
        self.custom_schema = custom_schema
        self._built: dict[str, bytes] = {}
        self._others: list[tuple[str, Object]] = []

    def add(self, others: list[tuple[str, Object]]) -> None:
        """What aggregated servers have to say in v2: (prefix of their paths, document)."""
        if others != self._others:
            self._others = others
            for key in ("v2", "v2+protobuf"):
                self._built.pop(key, None)

    def update(self, kinds: Sequence[Kind], custom_schema: CustomSchema | None = None) -> None:
        """Custom resources came or went. Documents of built-in groups stay."""
        self.kinds, self.custom_schema = kinds, custom_schema
        builtin = {base_path(kind.group, kind.version)[1:] for kind in kinds if not kind.custom}
        self._built = {path: data for path, data in self._built.items() if path in builtin}

    def v2(self) -> bytes:
        return self._get("v2", self._v2)

    def _v2(self) -> Object:
        return merged(v2_document(self.kinds, self.custom_schema), self._others)

    def v2_as(self, accept: str) -> tuple[bytes, str]:
        """(bytes, content type) for an Accept header: protobuf where it is named, as kubectl does, else JSON."""
        if "proto-openapi" not in accept:
            return self.v2(), "application/json"
        from . import openapi_protobuf

        data = self._get("v2+protobuf", lambda: openapi_protobuf.document(self._v2()))
        return data, openapi_protobuf.MEDIA_TYPE

    def v3_index(self) -> bytes:
        return self._get("v3", lambda: v3_index(self.kinds, self.custom_schema))

    def v3_hash(self, path: str) -> str:
        """What the index says of a document, so that clients can keep it."""
        return _hash(self.kinds, path, self.custom_schema)

    def v3(self, path: str) -> bytes | None:
        """`path` is `api/v1` or `apis/<group>/<version>`, …; None where there is nothing."""
        path = path.strip("/")
        if path not in v3_paths(self.kinds):
            return None
        return self._get(path, lambda: v3_document(self.kinds, path, self.custom_schema))

    def _get(self, key: str, build: Callable[[], Object | bytes | None]) -> bytes:
        if key not in self._built:
            built = build()
            self._built[key] = built if isinstance(built, bytes) else orjson.dumps(built)
        return self._built[key]


def _served(kinds: Iterable[Kind]) -> set[tuple[str, str]]:
    return {(kind.group, kind.version) for kind in kinds if not kind.custom}


def _info() -> Object:
    return {"title": "Kubernetes", "version": VERSION}


def _hash(kinds: Sequence[Kind], path: str, custom_schema: CustomSchema | None) -> str:
    """Of what a document is made from, so that the index need not build them all."""
    rows = [kind for kind in kinds if base_path(kind.group, kind.version)[1:] == path]
    parts: list[Any] = [VERSION, path, [repr(kind) for kind in rows]]
    if custom_schema is not None:
        parts.extend(custom_schema(kind) for kind in rows if kind.custom)
    return hashlib.sha512(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest().upper()


def _type_names(kind: Kind) -> tuple[str, str]:
    """A kind's type and list type, by name in the schema table; `custom:<definition>` for a custom one."""
    if kind.custom:
        return f"custom:{_custom_name(kind, kind.kind)}", f"custom:{_custom_name(kind, kind.list_kind)}"
    name = schema_of(kind.group, kind.version, kind.kind).name
    listed = schema_of(kind.group, kind.version, kind.list_kind).name if "list" in kind.verbs else ""
    return name, listed


def _custom_name(kind: Kind, name: str) -> str:
    return ".".join([*reversed(kind.group.split(".")), kind.version, name])


def _custom_schemas(kind: Kind, schema: Object | None, *, v2: bool = False) -> Object:
    name, list_name = _custom_name(kind, kind.kind), _custom_name(kind, kind.list_kind)
    schema = schema or {_KEEPS_UNKNOWN: True}
    gvk = {"group": kind.group, "version": kind.version}
    if v2 and schema.get(_KEEPS_UNKNOWN):
        # with any property in it, kubectl would take all others for unknown
        own: Object = {name: schema[name] for name in schema if name == "x-kubernetes-selectable-fields"}
    else:
        own = _published(schema, v2)
        own["properties"] = {**own.get("properties", {}), **_object_properties("ObjectMeta", v2)}
    own["type"] = "object"
    own["x-kubernetes-group-version-kind"] = [{**gvk, "kind": kind.kind}]
    listed = {
        "description": f"{kind.list_kind} is a list of {kind.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "items": {
                "description": f"List of {kind.plural}. More info: "
                "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md",
                "type": "array",
                "items": reference(name, v2),
            },
            **_object_properties("ListMeta", v2),
        },
        "x-kubernetes-group-version-kind": [{**gvk, "kind": kind.list_kind}],
    }
    if "x-kubernetes-selectable-fields" in own:
        listed["x-kubernetes-selectable-fields"] = own["x-kubernetes-selectable-fields"]
    return {name: own, list_name: listed}


def _object_properties(meta: str, v2: bool) -> Object:
    """apiVersion, kind and metadata, described as those of Pod and PodList."""
    model = "core.v1.Pod" if meta == "ObjectMeta" else "core.v1.PodList"
    properties = schemas([model], [], v2=v2)[type_of(model).openapi_name]["properties"]
    found: Object = {name: properties[name] for name in ("apiVersion", "kind", "metadata")}
    found["metadata"] = {key: value for key, value in found["metadata"].items() if key != "default"}
    return found


_KEEPS_UNKNOWN = "x-kubernetes-preserve-unknown-fields"
_CONVENTIONS = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
_EMBEDDED = {
    "apiVersion": "apiVersion defines the versioned schema of this representation of an object. "
    f"More info: {_CONVENTIONS}#resources",
    "kind": "kind is a string value representing the type of this object. In CamelCase. "
    f"More info: {_CONVENTIONS}#types-kinds",
}


def _published(schema: Any, v2: bool) -> Any:
    """A structural schema as clients get it: embedded resources have their metadata, int-or-string is spelt out."""
    if isinstance(schema, list):
        return [_published(inner, v2) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    if v2:
        schema = _as_v2(schema)
    found: Object = {}
    for key, value in schema.items():
        if key in ("properties", "patternProperties", "definitions"):
            found[key] = {name: _published(inner, v2) for name, inner in value.items()}
        elif key in ("items", "additionalProperties", "not", "allOf", "anyOf", "oneOf"):
            found[key] = _published(value, v2)
        else:
            found[key] = value
    if schema.get("x-kubernetes-int-or-string") and "anyOf" not in found and not v2:
        found["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if schema.get("x-kubernetes-embedded-resource") and not (v2 and schema.get(_KEEPS_UNKNOWN)):
        found["properties"] = {**found.get("properties", {}), **_object_properties("ObjectMeta", v2)}
        for name, text in _EMBEDDED.items():
            found["properties"][name] = {**found["properties"][name], "description": text}
        found["required"] = list(dict.fromkeys([*found.get("required", ()), "kind", "apiVersion"]))
    return found


def _as_v2(schema: Object) -> Object:
    """One level of a structural schema without what OpenAPI v2 has no word for, or kubectl's reader of it stumbles over."""
    keeps, nullable = schema.get(_KEEPS_UNKNOWN), schema.get("nullable")
    dropped = {"allOf", "anyOf", "oneOf", "not", "nullable", "default"}
    if keeps or nullable:
        dropped |= {"items", "properties"}
    found = {key: value for key, value in schema.items() if key not in dropped}
    type_ = found.get("type")
    if nullable or (keeps and type_ == "object") or (type_ == "array" and "items" not in found):
        found.pop("type", None)
    more = found.get("additionalProperties")
    properties = found.get("properties") or {}
    if required := found.pop("required", None):
        every = isinstance(more, dict) and more.get("nullable")
        kept = [name for name in required if not every and not properties.get(name, {}).get("nullable")]
        if kept:
            found["required"] = kept
    return found


def _discovery_operation(path: str) -> Operation:
    """What a document's own path answers: discovery, or a fact about the server."""
    match path.split("/"):
        case [".well-known", _]:
            facts = (
                "getServiceAccountIssuerOpenIDConfiguration",
                "WellKnown",
                "",
                "OpenID Connect discovery",
            )
        case ["openid", *_]:
            facts = (
                "getServiceAccountIssuerOpenIDKeyset",
                "openid",
                "",
                "keys of the service account issuer",
            )
        case ["version"]:
            facts = (
                "getCodeVersion",
                "version",
                "version.Info",
                "get the version information for this server",
            )
        case ["api"]:
            facts = ("getCoreAPIVersions", "core", "meta.v1.APIVersions", "get available API versions")
        case ["apis"]:
            facts = ("getAPIVersions", "apis", "meta.v1.APIGroupList", "get available API versions")
        case ["apis", group]:
            identity = f"get{group_word(group)}APIGroup"
            facts = (identity, group_tag(group), "meta.v1.APIGroup", "get information of a group")
        case [*_, version]:
            group = path.split("/")[1] if path.startswith("apis/") else ""
            word = f"{group_word(group)}{version[:1].upper()}{version[1:]}"
            tag = f"{group_tag(group)}_{version}"
            facts = (f"get{word}APIResources", tag, "meta.v1.APIResourceList", "get available resources")
        case _:
            raise ValueError(path)
    identity, tag, answer, description = facts
    return Operation(
        path=f"/{path}/",
        method="get",
        id=identity,
        action="",
        tag=tag,
        description=description,
        answers=((200, answer),),
    )


def _type_reference(name: str, v2: bool) -> Object:
    if not name:
        return {"type": "string"}
    if name.startswith("custom:"):
        return reference(name.removeprefix("custom:"), v2)
    if name == "meta.v1.Patch":
        return reference(patch_schema()[0], v2)
    return reference(type_of(name).openapi_name, v2)


def _v3_path_items(listed: Iterable[Operation]) -> Object:
    paths: Object = {}
    for operation in listed:
        item = paths.setdefault(operation.path, {"parameters": _v3_parameters(operation)})
        item[operation.method] = _v3_operation(operation)
        if not item["parameters"]:
            del item["parameters"]
    return dict(sorted(paths.items()))


def _v3_operation(operation: Operation) -> Object:
    found: Object = {
        "tags": [operation.tag],
        "description": operation.description,
        "operationId": operation.id,
    }
    if operation.query:
        found["parameters"] = [_query_parameter(name) for name in operation.query]
    if operation.body:
        content = {media: {"schema": _type_reference(operation.body, False)} for media in operation.consumes}
        found["requestBody"] = {"content": content, **({"required": True} if operation.body_required else {})}
    found["responses"] = {
        str(code): {
            "description": _CODES[code],
            "content": {media: {"schema": _type_reference(name, False)} for media in operation.produces},
        }
        for code, name in operation.answers
    }
    found["responses"]["401"] = {"description": _CODES[401]}
    return found | _extensions(operation)


def _extensions(operation: Operation) -> Object:
    found: Object = {}
    if operation.action:
        found["x-kubernetes-action"] = operation.action
    if operation.gvk:
        group, version, kind = operation.gvk
        found["x-kubernetes-group-version-kind"] = {"group": group, "kind": kind, "version": version}
    return found


def _path_names(operation: Operation) -> list[tuple[str, str]]:
    """(name, description) of what is variable in a path."""
    found = []
    for name in ("name", "namespace", "path"):
        if f"{{{name}}}" in operation.path:
            found.append((name, _PATH_PARAMETERS.get(name) or f"name of the {operation.name_of}"))
    return found


def _v3_parameters(operation: Operation) -> list[Object]:
    parameters: list[Object] = [
        {
            "name": name,
            "in": "path",
            "description": text,
            "required": True,
            "schema": {"type": "string", "uniqueItems": True},
        }
        for name, text in _path_names(operation)
    ]
    if operation.action and operation.action != "connect":
        parameters.append(_query_parameter("pretty"))
    return parameters


def _query_parameter(name: str) -> Object:
    type_, text = _QUERY[name]
    return {
        "name": name,
        "in": "query",
        "description": text,
        "schema": {"type": type_, "uniqueItems": True},
    }


def _v2_path_items(listed: Iterable[Operation]) -> Object:
    paths: Object = {}
    for operation in listed:
        item = paths.setdefault(operation.path, {"parameters": _v2_parameters(operation)})
        item[operation.method] = _v2_operation(operation)
        if not item["parameters"]:
            del item["parameters"]
    return dict(sorted(paths.items()))


def _v2_parameters(operation: Operation) -> list[Object]:
    found: list[Object] = []
    for parameter in _v3_parameters(operation):
        schema = parameter.pop("schema")
        found.append(parameter | schema)
    return found


def _v2_operation(operation: Operation) -> Object:
    parameters: list[Object] = []
    if operation.body:
        body: Object = {"name": "body", "in": "body", "schema": _type_reference(operation.body, True)}
        parameters.append(body | ({"required": True} if operation.body_required else {}))
    for name in operation.query:
        parameter = _query_parameter(name)
        schema = parameter.pop("schema")
        parameters.append(parameter | schema)
    found: Object = {
        "tags": [operation.tag],
        "description": operation.description,
        "operationId": operation.id,
        "schemes": ["https"],
        "consumes": list(operation.consumes) or ["*/*"],
        "produces": list(operation.produces),
        "responses": {
            str(code): {"description": _CODES[code], "schema": _type_reference(name, True)}
            for code, name in operation.answers
        },
    }
    if parameters:
        found["parameters"] = parameters
    found["responses"]["401"] = {"description": _CODES[401]}
    return found | _extensions(operation)


_CODES = {200: "OK", 201: "Created", 202: "Accepted", 401: "Unauthorized"}
