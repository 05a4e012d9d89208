"""Custom objects between versions by a webhook: what was converted is remembered by content, what was not is asked for by an exception.

All code that shows or stores objects is synchronous, and a webhook is not. So it finds the result here; or it raises `NeedsConversion` before anything
was written, whoever caught it has the object converted, and the request starts over.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

import orjson

from ..errors import ApiError
from ..object import Object

if TYPE_CHECKING:
    from .kinds import CustomKind

KEPT = 10_000
_OWN_METADATA = ("labels", "annotations")  # nothing else of it may a webhook change

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
        converted["metadata"] = metadata | {name: given[name] for name in _OWN_METADATA if name in given}
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
    request = asked["request"]
    objects, wanted = request["objects"], request["desiredAPIVersion"]
    response = answer.get("response") if isinstance(answer, dict) else None
    if not isinstance(response, dict):
        raise _failed(objects, "failed: no response provided")
    if asked["apiVersion"].endswith("/v1"):
        if answer.get("apiVersion") != asked["apiVersion"] or answer.get("kind") != "ConversionReview":
            got = f"{answer.get('apiVersion') or ''}, Kind={answer.get('kind') or ''}"
            shown = f"expected webhook response of {asked['apiVersion']}, Kind=ConversionReview, got {got}"
            raise _failed(objects, f"failed: {shown}")
        if response.get("uid") != request["uid"]:
            why = f'expected response.uid="{request["uid"]}", got "{response.get("uid", "")}"'
            raise _failed(objects, f"failed: {why}")
    result = response.get("result") or {}
    if result.get("status") != "Success":
        raise _failed(objects, f"failed: {result.get('message') or 'response.result.status was not Success'}")
    given = response.get("convertedObjects") or []
    if len(given) != len(objects):
        raise _failed(objects, f"returned {len(given)} objects, expected {len(objects)}")
    for index, (before, after) in enumerate(zip(objects, given, strict=True)):
        wrong = _problem(before, after, wanted)
        if wrong:
            raise _failed(objects, f"returned invalid converted object at index {index}: {wrong}")
    return given


def _problem(before: Object, after: Any, wanted: str) -> str:
    if not isinstance(after, dict) or after.get("apiVersion") != wanted:
        got = after.get("apiVersion") if isinstance(after, dict) else after
        return f"invalid groupVersion (expected: {wanted}, received: {got})"
    if after.get("kind") != before["kind"]:
        return f"invalid kind (expected: {before['kind']}, received: {after.get('kind')})"
    metadata = after.get("metadata")
    if not isinstance(metadata, dict):
        return "must have a metadata field"
    for name in ("name", "namespace", "uid"):
        if (metadata.get(name) or "") != (before["metadata"].get(name) or ""):
            return f"invalid metadata of object: metadata.{name} must not be changed"
    return ""


def _failed(objects: list[Object], why: str) -> ApiError:
    return ApiError(500, "", f"{who(objects[0])} {why}", details=False)
