"""PATCH: the current object, a patch of one of four types, and the object that comes of it.

The patch applies to the object in the version of the request; what comes out is checked against the schema as a body would be, and then goes the
way of an update. A conflict with another writer makes it start again from the newer object, unless the patch itself names a version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from ..api.decode_text import SyntaxFailure, parse_json, parse_yaml
from ..api.decode_values import WrongValue, go_kind, normalize
from ..api.errors import ApiError, Cause, bad_request, invalid
from ..api.kinds import Kind
from ..api.object import Object
from ..api.schema import has_schema, schema_of
from .conversion import from_storage
from .options import WriteOptions
from .pending import patching
from .registry.generic import Outcome
from .registry.operation import Operation
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
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    found = TYPES.get(content_type)
    if found is None or (found == "strategic" and kind.custom):
        raise unsupported_media_type()
    return found


async def patched(
    resources: Resources, request: Request, kind: Kind, op: Operation, options: WriteOptions
) -> Outcome:
    how = patch_type(request, kind)
    parsed = request.object if request.object is not None else _parse(request.body, how)
    strict = options.field_validation or "Warn"
    if how != "apply" and options.force is not None:
        cause = Cause("FieldValueForbidden", "Forbidden: may not be specified for non-apply patch", "force")
        raise invalid("PatchOptions", "meta.k8s.io", "", [cause])
    if how == "apply":
        raise unsupported_media_type()
    warnings_before = list(request.warnings)

    async def change(old: Object) -> Object:
        request.warnings[:] = warnings_before
        shown = from_storage(kind, old)
        new = apply_patch(how, kind, shown, parsed)
        if new.get("metadata", {}).get("name") != op.name:
            raise bad_request(
                f"the name of the object ({(new.get('metadata') or {}).get('name', '')}) does not match the name on the URL ({op.name})"
            )
        namespace = (new.get("metadata") or {}).get("namespace") or op.namespace
        if op.kind.namespaced and namespace != op.namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        return resources.ready(kind, checked(kind, new, strict, request.warnings), request.warnings)

    return await resources.registry.update(op, change)


def _parse(body: bytes, how: str) -> Any:
    if how == "json":
        return patching.parse_json_patch(body)
    try:
        parsed = parse_yaml(body).value if how == "apply" else parse_json(body, find_duplicates=False).value
    except SyntaxFailure as failure:
        raise bad_request(str(failure))
    if not isinstance(parsed, dict):
        raise bad_request(
            f"json: cannot unmarshal {go_kind(parsed)} into Go value of type map[string]interface {{}}"
        )
    return parsed


def apply_patch(how: str, kind: Kind, current: Object, patch: Any) -> Object:
    if how == "json":
        return patching.json_patch(current, patch)
    if how == "merge":
        return patching.merge_patch(current, patch)
    return patching.strategic_merge_patch(schema_of(kind.group, kind.version, kind.kind), current, patch)


def checked(kind: Kind, obj: Object, strict: str, warnings: list[str]) -> Object:
    """What came of a patch, as the type has it; 422 for what is no object of that kind."""
    if kind.custom or not has_schema(kind.group, kind.version, kind.kind):
        return obj
    for field, wanted in (("apiVersion", kind.api_version), ("kind", kind.kind)):
        if obj.get(field, wanted) != wanted:
            raise _unfit(obj, f"{field} {obj[field]} does not match {wanted}")
    try:
        new, problems = normalize(schema_of(kind.group, kind.version, kind.kind), obj)
    except WrongValue as error:
        raise _unfit(obj, str(error))
    if problems and strict == "Strict":
        raise _unfit(obj, f"strict decoding error: {', '.join(problems)}")
    if strict == "Warn":
        warnings.extend(problems)
    new["apiVersion"], new["kind"] = kind.api_version, kind.kind
    return new


def _unfit(obj: Object, why: str) -> ApiError:
    shown = orjson.dumps(orjson.dumps(obj).decode()).decode()
    return invalid("", "", "", [Cause("FieldValueInvalid", f"Invalid value: {shown}: {why}", "patch")])
