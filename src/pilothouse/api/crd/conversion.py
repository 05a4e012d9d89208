"""Custom objects between versions by a webhook: what was converted is remembered by content, what was not is asked for by an exception.

All code that shows or stores objects is synchronous, and a webhook is not. So it finds the result here; or it raises `NeedsConversion` before anything
was written, whoever caught it has the object converted, and the request starts over.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

import orjson

from ..decode import not_a_review
from ..decode_values import go_kind
from ..errors import ApiError
from ..fielderrors import FieldErrors, quoted
from ..object import Object
from ..validation import metadata

if TYPE_CHECKING:
    from .kinds import CustomKind

KEPT = 10_000
_OWN_METADATA = ("labels", "annotations")  # nothing else of it may a webhook change

GO_TYPES = {
    str: "string",
    int: "int64",
    float: "float64",
    bool: "bool",
    list: "[]interface {}",
    dict: "map[string]interface {}",
}

Key = tuple[str, bytes]


class NeedsConversion(ApiError):
    """`await resolve()`, then try again. `several`: whatever else of the kind has not been converted yet may go with it."""

    def __init__(self, kind: CustomKind, obj: Object, version: str):
        super().__init__(500, "", f"{who(obj)} failed: not converted", details=False)
        self.custom_kind, self.obj, self.version = kind, obj, version

    async def resolve(self, *, several: bool = False) -> None:
        conversions = self.custom_kind.definition.conversions
        assert conversions is not None and conversions.resolver is not None
        await conversions.resolver(self, several)


class Conversions:
    """Of one definition."""

    def __init__(self, webhook: Object):
        self.webhook = webhook
        self.resolver: Callable[[NeedsConversion, bool], Awaitable[None]] | None = None
        self._known: OrderedDict[Key, Object] = OrderedDict()

    def known(self, obj: Object, version: str) -> Object | None:
        """The object in that version, with its own metadata."""
        key = _key(obj, version)
        found = self._known.get(key)
        if found is None:
            return None
        self._known.move_to_end(key)
        converted = cast(Object, orjson.loads(orjson.dumps(found)))
        given = converted.get("metadata") or {}
        metadata = {name: value for name, value in obj["metadata"].items() if name not in _OWN_METADATA}
        converted["metadata"] = metadata | {
            name: given[name] for name in _OWN_METADATA if given.get(name) is not None
        }
        return converted

    def learn(self, obj: Object, version: str, converted: Object) -> None:
        self._known[_key(obj, version)] = converted
        if len(self._known) > KEPT:
            self._known.popitem(last=False)


def _key(obj: Object, version: str) -> Key:
    metadata = obj.get("metadata") or {}
    content = {**obj, "metadata": {name: metadata[name] for name in _OWN_METADATA if name in metadata}}
    return version, orjson.dumps(content, option=orjson.OPT_SORT_KEYS)


# -- reviews -----------------------------------------------------------------------------------------------------------


def who(obj: Object) -> str:
    return f"conversion webhook for {obj.get('apiVersion')}, Kind={obj.get('kind')}"


def review(uid: str, wanted: str, objects: list[Object], accepted: list[str]) -> Object:
    version = next((v for v in accepted if v in ("v1", "v1beta1")), "v1")
    request = {"uid": uid, "desiredAPIVersion": wanted, "objects": objects}
    return {"kind": "ConversionReview", "apiVersion": f"apiextensions.k8s.io/{version}", "request": request}


def converted(asked: Object, answer: Any) -> list[Object]:
    """The objects of the answer, checked. Raises ApiError. (apiextensions-apiserver/pkg/apiserver/conversion)"""
    request, version = asked["request"], asked["apiVersion"].rpartition("/")[2]
    objects, wanted = request["objects"], request["desiredAPIVersion"]
    wrong = not_a_review(answer or {}, "apiextensions.k8s.io", "ConversionReview", version)
    if wrong := wrong or _unfit(answer or {}, request["uid"], version):
        raise _failed(objects[0], f"failed: {wrong}")
    given = answer["response"].get("convertedObjects") or []
    if len(given) != len(objects):
        raise _failed(objects[0], f"returned {len(given)} objects, expected {len(objects)}")
    for before, after in zip(objects, given, strict=True):
        _check(before, after, wanted)
    return cast(list[Object], given)


def _unfit(answer: Object, uid: str, version: str) -> str:
    """What is wrong with an answer as a whole."""
    response = answer.get("response")
    typed = response if isinstance(response, dict) else {}
    for name, type_, shown in _RESPONSE:
        if not isinstance(typed.get(name), type_ | None):
            what = f"json: cannot unmarshal {go_kind(typed[name])} into Go struct field"
            return f"{what} ConversionResponse.response.{name} of type {shown}"
    if version == "v1":
        group, _, got = str(answer.get("apiVersion") or "").rpartition("/")
        kind = answer.get("kind") or ""
        if (group, got, kind) != ("apiextensions.k8s.io", "v1", "ConversionReview"):
            expected = "apiextensions.k8s.io/v1, Kind=ConversionReview"
            return f"expected webhook response of {expected}, got {group}/{got}, Kind={kind}"
    if not isinstance(response, dict):
        return "no response provided"
    if version == "v1" and (response.get("uid") or "") != uid:
        return f"expected response.uid={quoted(uid)}, got {quoted(response.get('uid') or '')}"
    result = response.get("result") or {}
    status = result.get("status") or ""
    if status != "Success":
        return str(result.get("message") or f"response.result.status was '{status}', not 'Success'")
    return ""


_RESPONSE = (
    ("uid", str, "types.UID"),
    ("convertedObjects", list, "[]runtime.RawExtension"),
    ("result", dict, "v1.Status"),
)


def _check(before: Object, after: Any, wanted: str) -> None:
    """Nothing but labels and annotations may a conversion change in the metadata."""
    if not isinstance(after, dict):
        what = f"json: cannot unmarshal {go_kind(after)} into Go value of type map[string]interface {{}}"
        raise ApiError(500, "", "unexpected end of JSON input" if after is None else what, details=False)
    version, kind = after.get("apiVersion"), after.get("kind")
    version = version if isinstance(version, str) else ""
    if not kind or not isinstance(kind, str) or version.count("/") > 1:
        text = f"Object 'Kind' is missing in '{orjson.dumps(after).decode()}'"
        raise ApiError(500, "", text, details=False)
    if version != wanted:
        why = f"invalid groupVersion (expected {wanted}, received {version})"
        raise _failed(before, f"returned invalid object at index 0: {why}")
    if kind != before["kind"]:
        why = f"invalid kind (expected {before['kind']}, received {kind})"
        raise _failed(before, f"returned invalid object at index 0: {why}")
    metadata = after.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    for name, shown in (("name", "name"), ("namespace", "namespace"), ("uid", "UID")):
        had, has = before["metadata"].get(name) or "", metadata.get(name)
        has = has if isinstance(has, str) else ""
        if has != had:
            raise _failed(before, f"returned invalid object: must have the same {shown}: {had} != {has}")
    for name in _OWN_METADATA:
        if wrong := _wrong_map(name, metadata.get(name), before["metadata"].get(name)):
            raise _failed(before, f"returned invalid metadata: {wrong}")


def _wrong_map(name: str, values: Any, before: Any) -> str:
    if values is None:
        return ""
    if not isinstance(values, dict):
        return f"invalid metadata.{name} of type {GO_TYPES[type(values)]} in converted object"
    for key, value in values.items():
        if not isinstance(value, str):
            return f"metadata.{name}[{key}] must be a string, but is {GO_TYPES.get(type(value), '<nil>')} in converted object"
    if values == (before or {}):
        return ""
    errors = FieldErrors()
    if name == "labels":
        metadata.labels(errors, values, "metadata.labels")
    else:
        metadata.annotations(errors, values, "metadata.annotation")
    texts = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in errors))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]" if texts else ""


def _failed(obj: Object, why: str) -> ApiError:
    return ApiError(500, "", f"{who(obj)} {why}", details=False)
