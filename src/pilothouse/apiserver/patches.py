"""PATCH: the current object, a patch of one of four types, and the object that comes of it.

The patch applies to the object in the version of the request; what comes out is checked against the schema as a body would be, and then goes the
way of an update. A conflict with another writer makes it start again from the newer object, unless the patch itself names a version.
An apply (server-side) may also create; who owns which field is in `api/apply.py` and `api/managed_fields.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from ..api import apply, managed_fields
from ..api import patch as patching
from ..api.decode import HEAD, NO_KIND, custom_problems
from ..api.decode_text import SyntaxFailure, parse_json, parse_yaml
from ..api.decode_values import WrongValue, go_kind, normalize
from ..api.errors import ApiError, Cause, bad_request, conflict, invalid, not_found
from ..api.fielderrors import quoted
from ..api.kinds import Kind
from ..api.object import Object
from ..api.schema import has_schema, schema_of
from ..api.validation.go_struct import as_patched
from .conversion import from_storage
from .custom_resources import check_head, check_type
from .custom_resources import patched as patched_custom
from .large_bodies import decoded
from .options import WriteOptions
from .registry.generic import OTHER_NAMESPACE, Change, Outcome, nameless
from .registry.operation import Operation
from .registry.ownership import request_of, versions_of
from .request import Request

if TYPE_CHECKING:
    from .resources import Resources

TYPES = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}


def unsupported_media_type() -> ApiError:
    return ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type")


def patch_type(request: Request, kind: Kind) -> str:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip()
    found = TYPES.get(content_type.lower() if kind.custom else content_type)
    if kind.custom and (found is None or found == "strategic"):
        accepted = ", ".join(type_ for type_, how in TYPES.items() if how != "strategic")
        why = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
        raise ApiError(415, "UnsupportedMediaType", why, details=False)
    if found is None:
        raise unsupported_media_type()
    return found


async def patched(
    resources: Resources, request: Request, kind: Kind, op: Operation, options: WriteOptions
) -> Outcome:
    how = patch_type(request, kind)
    if how == "apply":
        config, duplicates = await decoded(request.body, "yaml", parse_apply, request)
        change = _applying(resources, request, kind, op, options, config, duplicates)
        return await resources.registry.update(op, change, create=not op.subresource)
    strict = options.field_validation or "Warn"
    parsed, problems = request.object, list[str]()
    if parsed is None:
        try:
            parsed, problems = parse_patch(request.body, how, strict)
        except ApiError:
            if resources.storage.get(op.kind, op.namespace, op.name) is None:
                raise not_found(op.kind.plural, op.checked_as.group, op.name)
            raise
    warnings_before = list(request.warnings)

    async def patch(old: Object) -> Object:
        request.warnings[:] = warnings_before
        made = apply_patch(how, kind, from_storage(kind, old), parsed)
        shown = patching.go_text(parsed) if how == "strategic" else ""
        new = checked(kind, made, strict, request.warnings, problems, parsed, shown)
        check_identity(op, new)
        if kind.custom and not op.subresource:
            check_type(kind, op.name, made)
        return resources.ready(kind, new)

    return await resources.registry.update(op, patch)


def check_identity(op: Operation, new: Object) -> None:
    """What a patch made must still be the object that the URL names."""
    meta = new.get("metadata") or {}
    if not op.kind.namespaced:
        meta.pop("namespace", None)
    elif (meta.get("namespace") or op.namespace) != op.namespace:
        raise bad_request(OTHER_NAMESPACE)
    name = meta.get("name") or ""
    if not name:
        raise bad_request(nameless(op.name))
    if name != op.name:
        raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({op.name})")


def _applying(
    resources: Resources,
    request: Request,
    kind: Kind,
    op: Operation,
    options: WriteOptions,
    config: Object,
    duplicates: list[str],
) -> Change:
    op.applied = True
    asked = request_of(op, resources.registry.now())
    warnings_before = list(request.warnings)

    async def change(old: Object) -> Object:
        request.warnings[:] = warnings_before
        shown = from_storage(kind, old) if old else empty(kind)
        made, entries = apply.apply(
            shown,
            config,
            versions_of(kind),
            asked,
            kind.kind,
            force=bool(options.force),
            exists=bool(old),
        )
        check_duplicates(duplicates, options, request.warnings)
        if made is None and old:
            new: Object = {**old, "metadata": dict(old["metadata"])}
        else:
            new = resources.ready(kind, _fitting(kind, made or shown))
        managed_fields.set_entries(new, entries)
        meta = new["metadata"]
        if meta.get("uid") and not old:
            why = f"uid mismatch: the provided object specified uid {meta['uid']}, and no existing object was found"
            raise conflict(kind.plural, kind.group, op.name, why)
        check_identity(op, new)
        return new

    return change


def empty(kind: Kind) -> Object:
    """What an apply that creates starts from."""
    shape = versions_of(kind).shape(kind.api_version)
    always = shape.always if shape is not None else {}
    return {"apiVersion": kind.api_version, "kind": kind.kind, **always, "metadata": {}}


def parse_apply(request: Request) -> tuple[Object, list[str]]:
    """(the configuration, what it says twice)."""
    if request.object is not None:
        return request.object, []
    try:
        parsed = parse_yaml(request.body)
    except SyntaxFailure as failure:
        raise bad_request(f"error decoding YAML: error converting YAML to JSON: {failure}")
    if not isinstance(parsed.value, dict | None):
        what = (
            f"json: cannot unmarshal {go_kind(parsed.value)} into Go value of type map[string]interface {{}}"
        )
        raise bad_request(f"error decoding YAML: error unmarshaling JSON: while decoding JSON: {what}")
    try:
        orjson.dumps(parsed.value)
    except orjson.JSONEncodeError as error:
        raise bad_request(f"error decoding YAML: {error}") from None
    return parsed.value or {}, parsed.yaml_duplicates


def check_duplicates(duplicates: list[str], options: WriteOptions, warnings: list[str]) -> None:
    if not duplicates or options.field_validation == "Ignore":
        return
    if options.field_validation == "Strict":
        lines = "".join(f"\n  {line}" for line in duplicates)
        why = f"error converting YAML to JSON: yaml: unmarshal errors:{lines}"
        raise bad_request(f"error strict decoding YAML: {why}")
    warnings.extend(duplicates)


def _fitting(kind: Kind, made: Object) -> Object:
    """What came of an apply, as the type has it."""
    if kind.custom:
        return patched_custom(kind, made, "Ignore", [])
    if not has_schema(kind.group, kind.version, kind.kind):
        return made
    try:
        new, _ = normalize(schema_of(kind.group, kind.version, kind.kind), made)
    except WrongValue as error:
        shown = apply.described(made)
        why = f"failed to convert new object ({shown}) to proper version: {error}"
        raise ApiError(500, "", why, details=False) from None
    new["apiVersion"], new["kind"] = kind.api_version, kind.kind
    return new


def parse_patch(body: bytes, how: str, validation: str = "Ignore") -> tuple[Any, list[str]]:
    """(the patch, what strict decoding objects to in the patch itself)."""
    strict = validation != "Ignore"
    prefix = "" if how == "strategic" or not strict else "error decoding patch: "
    try:
        parsed = parse_json(body, find_duplicates=strict)
    except SyntaxFailure as failure:
        raise bad_request("Invalid JSON Patch" if how == "merge" and not strict else f"{prefix}{failure}")
    problems = custom_problems(parsed) if strict else []
    if how == "json":
        operations = patching.checked_operations(parsed.value, strict)
        if strict:
            problems += [
                f'unknown field "[{index}].{name}"'
                for index, operation in enumerate(operations)
                for name in operation
                if name not in ("op", "path", "from", "value")
            ]
        return operations, [f"json patch {problem}" for problem in problems]
    if parsed.value is None and how == "strategic":
        return {}, []
    if isinstance(parsed.value, list) and how == "merge" and not strict:
        raise _unfit(parsed.value, f"{NO_KIND}: json: cannot unmarshal array into Go value of type {HEAD}")
    if parsed.value is None or (not isinstance(parsed.value, dict) and how == "merge" and not strict):
        raise bad_request("Invalid JSON Patch")
    if not isinstance(parsed.value, dict):
        what = (
            f"json: cannot unmarshal {go_kind(parsed.value)} into Go value of type map[string]interface {{}}"
        )
        raise bad_request(f"{prefix}{what}")
    return parsed.value, problems


def apply_patch(how: str, kind: Kind, current: Object, patch: Any) -> Object:
    try:
        if how == "json":
            patched = patching.json_patch(current, patch)
        elif how == "merge":
            patched = patching.merge_patch(current, patch)
        else:
            type_ = schema_of(kind.group, kind.version, kind.kind)
            patched = patching.strategic_merge_patch(type_, current, patch)
        orjson.dumps(patched)
    except (RecursionError, orjson.JSONEncodeError):
        raise bad_request("error decoding patch: exceeded max depth") from None
    if not isinstance(patched, dict):
        what = f"json: cannot unmarshal {go_kind(patched)} into Go value of type {kind.version}.{kind.kind}"
        raise _unfit(patched, what)
    return patched


def checked(
    kind: Kind,
    obj: Object,
    strict: str,
    warnings: list[str],
    problems: list[str],
    patch: Any,
    strategic: str = "",
) -> Object:
    """What came of a patch, as the type has it; 422 for what is no object of that kind, or came of a patch with `problems`.

    `strategic`: the patch's text, if it was one of those. Its result is not decoded but restored, with other words for what is wrong.
    """
    if kind.custom:
        if problems and strict == "Strict":
            raise _unfit(obj, f"strict decoding error: {', '.join(problems)}")
        warnings.extend(problems)
        check_head(obj)
        return patched_custom(kind, obj, strict, warnings)
    if not has_schema(kind.group, kind.version, kind.kind):
        return obj
    type_ = schema_of(kind.group, kind.version, kind.kind)

    def unfit(why: str) -> ApiError:
        return _unfit(as_patched(type_, obj, patch), why, strategic)

    for field, wanted in (("apiVersion", kind.api_version), ("kind", kind.kind)):
        if obj.get(field, wanted) != wanted and not strategic:
            raise unfit(f"{field} {obj[field]} does not match {wanted}")
    read = obj
    if not obj.get("apiVersion") and not strategic:
        # A real server reads this into the type that it has in memory, whose fields have no such names.
        problems = [*problems, *(f'unknown field "{name}"' for name in sorted(obj) if name != "kind")]
        read = {}
    try:
        new, found = normalize(type_, read)
    except WrongValue as error:
        raise unfit(error.restoring if strategic else str(error))
    problems = [*problems, *(sorted(found) if strategic else found)]
    if problems and strict == "Strict":
        raise unfit(f"strict decoding error: {', '.join(problems)}")
    if strict == "Warn":
        warnings.extend(problems)
    new["apiVersion"], new["kind"] = kind.api_version, kind.kind
    return new


def _unfit(obj: Any, why: str, strategic: str = "") -> ApiError:
    shown = quoted(strategic or orjson.dumps(obj).decode())
    return invalid("", "", "", [Cause("FieldValueInvalid", f"Invalid value: {shown}: {why}", "patch")])
