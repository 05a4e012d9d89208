"""CustomResourceDefinitions at run time: the kinds that they add, the names that they are given, and their end.

Two halves. `refresh` (a listener on the cache, no task) keeps the rows of the kinds table in step with the definitions: discovery, OpenAPI and
routes see them at once. `run` is the controller: it settles names and conditions, and on deletion removes the instances first
(`customresourcecleanup`). Below are what a write to a definition or to a custom object does beyond the general.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import orjson

from ..api.crd import conversion, names
from ..api.crd import definition as definitions
from ..api.crd.conversion import NeedsConversion
from ..api.crd.kinds import CustomKind, WrongNesting, nested, rows
from ..api.crd.shaping import BadMetadata, copied
from ..api.decode import NO_KIND
from ..api.decode_values import go_kind
from ..api.errors import ApiError, Cause, bad_request, forbidden, internal_error, invalid, not_found
from ..api.fielderrors import quoted
from ..api.kinds import KINDS, Kind, find_gvk, kind_of_resource
from ..api.managed_fields import set_entries
from ..api.object import Object
from .answers import with_warnings
from .options import DeleteOptions, WriteOptions, write_options
from .registry.operation import DELETE, UPDATE, Operation
from .registry.strategy import Strategy
from .request import APISERVER, Request, Response
from .webhook_client import WebhookError

if TYPE_CHECKING:
    from .registry.generic import Registry
    from .server import ApiServer

log = logging.getLogger(__name__)

CRDS = kind_of_resource("customresourcedefinitions.apiextensions.k8s.io")
CONVERSIONS_MAX, CONVERTED_AT_ONCE, CONVERSION_TIMEOUT_S = 50, 200, 30
TERMINATING = "create not allowed while custom resource definition is terminating"


class CustomResources:
    def __init__(self, server: ApiServer):
        self._server = server
        self._rows: dict[
            str, tuple[str, list[CustomKind]]
        ] = {}  # a definition's name -> its version, what it serves
        self._by_plural: dict[tuple[str, str, str], CustomKind] = {}
        self._by_resource: dict[str, CustomKind] = {}
        self._groups: frozenset[str] = frozenset()
        self._wake = asyncio.Event()
        self._watched: set[str] = set()  # prefixes of instances that must go before their definition can
        self.kinds: tuple[Kind, ...] = KINDS

    def start(self) -> None:
        self.refresh()
        self._server.cache.collection(CRDS.prefix).subscribe(self.refresh)

    def find(self, group: str, version: str, plural: str) -> CustomKind | None:
        return self._by_plural.get((group, version, plural))

    def of_resource(self, resource: str) -> CustomKind | None:
        """In the stored version where that is served."""
        return self._by_resource.get(resource)

    def find_gvk(self, group: str, version: str, kind: str) -> Kind | None:
        found = find_gvk(group, version, kind)
        if found is not None or group not in self._groups:
            return found
        return next(
            (k for k in self._by_plural.values() if (k.group, k.version, k.kind) == (group, version, kind)),
            None,
        )

    def is_group(self, group: str) -> bool:
        return group in self._groups

    def refresh(self) -> None:
        """Called after each batch of changes of definitions."""
        changed = False
        seen = set()
        for entry in self._server.cache.entries(CRDS.prefix):
            seen.add(entry.key)
            known = self._rows.get(entry.key)
            if known is None or known[0] != str(entry.revision):
                self._rows[entry.key] = (str(entry.revision), rows(entry.object))
                if known is not None:
                    _hand_over(known[1], self._rows[entry.key][1])
                changed = changed or known is None or bool(known[1] or self._rows[entry.key][1])
        for key in self._rows.keys() - seen:
            _hand_over(self._rows.pop(key)[1], [])
            changed = True
        self._wake.set()
        if not changed:
            return
        listed = [kind for _, kinds in self._rows.values() for kind in kinds]
        for kind in listed:
            if kind.definition.conversions is not None:
                kind.definition.conversions.resolver = self.convert
        self._by_plural = {(kind.group, kind.version, kind.plural): kind for kind in listed}
        self._by_resource = {}
        for kind in listed:
            if kind.is_storage_version or kind.resource not in self._by_resource:
                self._by_resource[kind.resource] = kind
        self._groups = frozenset(kind.group for kind in listed)
        self.kinds = (*KINDS, *listed)
        self._server.openapi.update(self.kinds, lambda kind: cast(CustomKind, kind).published)

    # -- requests ----------------------------------------------------------------------------------------------------

    def dispatch(self, request: Request, kind: CustomKind) -> Response | Awaitable[Response]:
        if kind.definition.conversions is None:
            return self._dispatch(request, kind)
        return self._converting(request, kind)

    async def _converting(self, request: Request, kind: CustomKind) -> Response:
        """Starts over when something had to be converted first; so nothing may have been written before."""
        assert request.info is not None
        several = request.info.verb in ("list", "deletecollection")
        for _ in range(CONVERSIONS_MAX + len(self._server.cache.entries(kind.prefix)) // CONVERTED_AT_ONCE):
            try:
                answer = self._dispatch(request, kind)
                return answer if isinstance(answer, Response) else await answer
            except NeedsConversion as needed:
                await self.convert(needed, several)
        raise internal_error(f"{kind.resource}: conversion does not come to an end")

    async def convert(self, needed: NeedsConversion, several: bool) -> None:
        """Raises ApiError."""
        kind = needed.custom_kind
        conversions = kind.definition.conversions
        assert conversions is not None
        objects = [needed.obj]
        if several and needed.version == kind.version:
            entries = self._server.cache.entries(kind.prefix)
            others = (kind.unconverted(entry.object) for entry in entries)
            objects += islice(
                (obj for obj in others if obj is not None and obj != needed.obj), CONVERTED_AT_ONCE
            )
            objects = [obj for obj in objects if obj["apiVersion"] == needed.obj["apiVersion"]]
        webhook, wanted = conversions.webhook, f"{kind.group}/{needed.version}"
        uid = self._server.registry.random.uid()
        asked = conversion.review(uid, wanted, objects, webhook.get("conversionReviewVersions") or [])
        try:
            answer = await self._server.webhooks.post(webhook["clientConfig"], asked, CONVERSION_TIMEOUT_S)
        except WebhookError as error:
            raise ApiError(500, "", f"{conversion.who(needed.obj)} failed: {error}", details=False) from None
        for before, after in zip(objects, conversion.converted(asked, answer), strict=True):
            conversions.learn(before, needed.version, after)

    def _dispatch(self, request: Request, kind: CustomKind) -> Response | Awaitable[Response]:
        """As `ApiServer.dispatch`, in the order of apiextensions' own handler."""
        from .resources import VERBS
        from .server import page_not_found

        info = request.info
        assert info is not None
        if bool(info.namespace) != kind.namespaced and not (
            kind.namespaced and info.verb in ("list", "watch")
        ):
            return page_not_found()
        if kind.deprecation and kind.deprecation not in request.warnings:
            request.warnings.append(kind.deprecation)
        if info.subresource:
            if kind.subresource(info.subresource) is None:
                raise not_found(kind.plural, kind.group, info.name)
            if info.subresource == "scale" and info.verb in _SCALE:
                return _SCALE[info.verb](self._server, request, kind)
        function = VERBS.get(info.verb)
        if function is None or (info.subresource and info.verb not in ("get", "update", "patch")):
            text = f'{info.verb} is not supported on resources of kind "{kind.resource}"'
            raise ApiError(405, "MethodNotAllowed", text, kind=kind.plural, group=kind.group)
        if info.verb == "create" and kind.definition.terminating:
            return self._refused(request, kind)
        if info.verb == "delete" and kind.definition.conversions is not None:
            entry = self._server.storage.get(kind, info.namespace, info.name)
            if entry is not None:
                kind.from_stored(entry.object)  # what cannot be shown cannot be deleted
        if info.verb in ("update", "patch") and not info.name:
            raise bad_request("name must be provided")
        answer = function(self._server.resources, request, kind)
        if request.warnings and isinstance(answer, Response) and info.verb in ("get", "list", "watch"):
            with_warnings(answer, request.warnings)
        return answer

    def _refused(self, request: Request, kind: CustomKind) -> Response:
        obj = self._server.resources.body(request, kind, request.parameter("fieldValidation"))
        raise forbidden(kind.plural, kind.group, obj.get("metadata", {}).get("name") or "", TERMINATING)

    # -- the controller ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """For ever; cancelled at the server's end."""
        while True:
            self._wake.clear()
            for crd in [entry.object for entry in self._server.cache.entries(CRDS.prefix)]:
                try:
                    await (self._end(crd) if crd["metadata"].get("deletionTimestamp") else self._settle(crd))
                except ApiError as error:
                    log.warning("custom resource definition %s: %s", crd["metadata"]["name"], error.message)
            await self._wake.wait()

    async def _settle(self, crd: Object) -> None:
        status = crd.get("status") or {}
        name, group = crd["metadata"]["name"], crd["spec"]["group"]
        now = self._server.registry.now()
        wanted = status
        if crd["spec"]["names"] != status.get("acceptedNames") or not definitions.is_true(crd, "Established"):
            others = [
                entry.object
                for entry in self._server.cache.entries(CRDS.prefix)
                if entry.object["metadata"]["name"] != name and entry.object["spec"]["group"] == group
            ]
            wanted = names.settled(crd, others, now)
        if definitions.is_protected(group):
            wanted = names.approved(wanted, *definitions.approval(crd), now)
        if wanted != status:
            await self._write_status(name, crd, wanted)

    async def _write_status(self, name: str, seen: Object, status: Object) -> None:
        registry = self._server.registry

        async def change(old: Object) -> Object:
            if old["metadata"]["resourceVersion"] != seen["metadata"]["resourceVersion"]:
                raise _Changed  # there is a newer state to look at
            return {**old, "status": status}

        try:
            await registry.write(registry.operation(CRDS, UPDATE, APISERVER, "", name, "status"), change)
        except _Changed:
            pass
        except ApiError as error:
            if error.code != 404:
                raise
        self.refresh()

    async def _end(self, crd: Object) -> None:
        """Of a definition that was deleted: first its instances, then itself."""
        meta, status = crd["metadata"], crd.get("status") or {}
        if names.FINALIZER not in (meta.get("finalizers") or ()):
            return
        registry, name, now = self._server.registry, meta["name"], self._server.registry.now()
        progress = names.terminating(
            status, "True", "InstanceDeletionInProgress", "CustomResource deletion is in progress", now
        )
        if progress != status:
            await self._write_status(name, crd, progress)
            return  # the write wakes us
        outcome = ("NeverEstablished", "resource was never established")
        if definitions.is_true(crd, "Established"):
            if await self._delete_instances(crd):
                return
            outcome = ("InstanceDeletionCompleted", "removed all instances")

        async def change(old: Object) -> Object:
            finalizers = [one for one in old["metadata"].get("finalizers") or () if one != names.FINALIZER]
            done = names.terminating(old.get("status") or {}, "False", *outcome, now)
            return {**old, "metadata": {**old["metadata"], "finalizers": finalizers}, "status": done}

        op = registry.operation(CRDS, UPDATE, APISERVER, "", name, "status")
        op.patch = True
        await registry.update(op, change)
        self.refresh()

    async def _delete_instances(self, crd: Object) -> bool:
        """True while some are left; their going wakes us."""
        kind = self._by_resource.get(f"{crd['status']['acceptedNames']['plural']}.{crd['spec']['group']}")
        if kind is None:
            return False
        cache, registry = self._server.cache, self._server.registry
        if kind.prefix not in self._watched:
            self._watched.add(kind.prefix)
            cache.collection(kind.prefix).subscribe(self._wake.set)
        for entry in list(cache.entries(kind.prefix)):
            meta = entry.object["metadata"]
            if meta.get("deletionTimestamp"):
                continue
            op = registry.operation(kind, DELETE, APISERVER, meta.get("namespace", ""), meta["name"])
            try:
                await registry.delete(op, DeleteOptions())
            except ApiError as error:
                if error.code != 404:
                    raise
        if cache.entries(kind.prefix):
            return True
        cache.collection(kind.prefix).unsubscribe(self._wake.set)
        self._watched.discard(kind.prefix)
        return False


def _hand_over(before: list[CustomKind], after: list[CustomKind]) -> None:
    """Open watches go on while what they show means the same; else they end, and who watches begins anew."""
    if not before:
        return
    old, new = before[0].definition, after[0].definition if after else None
    if new is not None and all(
        old.crd[part].get(name) == new.crd[part].get(name)
        for part, name in (("spec", "versions"), ("spec", "conversion"), ("status", "acceptedNames"))
    ):
        new.ends = old.ends
        return
    for end in list(old.ends):
        end()


class _Changed(Exception):
    pass


# -- definitions: what a write does beyond the general --------------------------------------------------------------------


def _store_version(crd: Object) -> None:
    name, status = definitions.storage_version(crd), crd["status"]
    stored = list(status.get("storedVersions") or ())
    if name is not None and name not in stored:
        crd["status"] = {**status, "storedVersions": [*stored, name]}


def prepare_create(registry: Registry, op: Operation) -> None:
    assert op.object is not None
    op.object["status"] = {}
    _store_version(op.object)


def prepare_update(registry: Registry, op: Operation) -> None:
    assert op.object is not None
    if not op.subresource or not op.object["status"].get("storedVersions"):
        _store_version(op.object)


def warn(registry: Registry, op: Operation) -> None:
    assert op.object is not None
    if not op.subresource:
        for text in definitions.warnings(op.object, op.old):
            op.warn(text)


def deleting(registry: Registry, crd: Object, _: DeleteOptions) -> Object | None:
    """The first DELETE of a definition: it stays until its instances are gone. None: it is on its way already."""
    meta = crd["metadata"]
    if meta.get("deletionTimestamp"):
        return None
    now = registry.now()
    finalizers = [one for one in meta.get("finalizers") or () if one != names.FINALIZER]
    metadata = {**meta, "deletionTimestamp": now, "finalizers": [*finalizers, names.FINALIZER]}
    message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    status = names.terminating(crd.get("status") or {}, "True", "InstanceDeletionPending", message, now)
    return {**crd, "metadata": metadata, "status": status}


# -- custom objects ------------------------------------------------------------------------------------------------------


def _without_status(registry: Registry, op: Operation) -> None:
    assert op.object is not None
    if op.kind.subresource("status"):
        op.object.pop("status", None)
    _finalizer_warnings(op)


def _only_status(registry: Registry, op: Operation) -> None:
    """A write to /status changes nothing else, not even metadata."""
    assert op.object is not None and op.old is not None
    if op.subresource == "status":
        meta = op.object["metadata"]
        kept = {name: meta[name] for name in ("resourceVersion", "managedFields") if name in meta}
        op.object["metadata"] = {**op.old["metadata"], **kept}
    else:
        _finalizer_warnings(op)


def _finalizer_warnings(op: Operation) -> None:
    assert op.object is not None
    for text in cast(CustomKind, op.kind).finalizer_warnings(op.object, op.old):
        op.warn(text)


def _content(obj: Object, status: bool) -> Object:
    return {
        k: v
        for k, v in obj.items()
        if k not in ("metadata", "apiVersion", "kind") and (status or k != "status")
    }


_COMMON: dict[str, Any] = {
    "unconditional_update": False,
    "prepare_create": _without_status,
    "prepare_update": _only_status,
}
WITH_STATUS = Strategy(generation=lambda new, old: _content(new, False) != _content(old, False), **_COMMON)
WITHOUT_STATUS = Strategy(generation=lambda new, old: _content(new, True) != _content(old, True), **_COMMON)


def strategy_of(kind: Kind) -> Strategy:
    return WITH_STATUS if kind.subresource("status") else WITHOUT_STATUS


def patched(kind: Kind, obj: Object, strict: str, warnings: list[str]) -> Object:
    """What came of a patch, in the shape of the schema. It may share parts with the cache, so it is copied."""
    new = copied(obj)
    try:
        problems = cast(CustomKind, kind).incoming(new)
    except BadMetadata as error:
        raise unfit(obj, str(error))
    if problems and strict == "Strict":
        raise unfit(obj, f"strict decoding error: {', '.join(problems)}")
    if strict == "Warn":
        warnings.extend(problems)
    return cast(Object, new)


def check_head(obj: Object) -> None:
    """What came of a patch must say a version and a kind."""
    for name in ("apiVersion", "kind"):
        given = obj.get(name)
        if not isinstance(given, str | None):
            what = f"json: cannot unmarshal {go_kind(given)} into Go struct field .{name} of type string"
            raise unfit(obj, f"{NO_KIND}: {what}")
    if not obj.get("kind"):
        text = orjson.dumps(obj, option=orjson.OPT_SORT_KEYS).decode()
        raise unfit(obj, f"Object 'Kind' is missing in '{text}'")
    if not obj.get("apiVersion"):
        raise internal_error("Object 'apiVersion' is missing in 'object has no apiVersion field'")
    if obj["apiVersion"].count("/") > 1:
        raise unfit(obj, f"unexpected GroupVersion string: {obj['apiVersion']}")


def check_type(kind: Kind, name: str, obj: Object) -> None:
    """What came of a patch must be of the kind that it was made to."""
    causes = [
        Cause("FieldValueInvalid", f"Invalid value: {quoted(obj[field])}: must be {wanted}", field)
        for field, wanted in (("kind", kind.kind), ("apiVersion", kind.api_version))
        if obj[field] != wanted
    ]
    if causes:
        raise invalid(obj["kind"], obj["apiVersion"].rpartition("/")[0], name, causes)


def unfit(obj: Object, why: str) -> ApiError:
    shown = quoted(orjson.dumps(obj, option=orjson.OPT_SORT_KEYS).decode())
    return invalid("", "", "", [Cause("FieldValueInvalid", f"Invalid value: {shown}: {why}", "patch")])


# -- scale ---------------------------------------------------------------------------------------------------------------

_UNSET = -(2**31)
_NO_CONVERTED_SCALE = (
    "failed to convert new object ({}/{}; autoscaling/v1, Kind=Scale) to proper version: "
    "request to convert CR to an invalid group/version: autoscaling/v1"
)


def scale_of(obj: Object, kind: CustomKind) -> tuple[Object, bool]:
    """(the Scale, whether the object says how many it wants). Raises WrongNesting."""
    scale = kind.scale or {}
    replicas = nested(obj, scale["specReplicasPath"], int)
    meta = obj["metadata"]
    shown = {
        f: meta[f] for f in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp") if f in meta
    }
    status: Object = {"replicas": nested(obj, scale["statusReplicasPath"], int) or 0}
    if scale.get("labelSelectorPath"):
        selector = nested(obj, scale["labelSelectorPath"], str)
        if selector:
            status["selector"] = selector
    spec = {"replicas": replicas} if replicas else {}
    made = {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": shown,
        "spec": spec,
        "status": status,
    }
    return made, replicas is not None


def get_scale(server: ApiServer, request: Request, kind: CustomKind) -> Response:
    from .subresources import reply

    info = request.info
    assert info is not None
    entry = server.storage.get(kind, info.namespace, info.name)
    if entry is None:
        raise not_found(kind.plural, kind.group, info.name)
    try:
        made, said = scale_of(kind.from_stored(entry.object), kind)
    except WrongNesting as error:
        raise ApiError(500, "", str(error), details=False)
    if not said:
        raise internal_error(
            f'the spec replicas field "{(kind.scale or {})["specReplicasPath"]}" does not exist'
        )
    return reply(server.resources, request, kind.of_subresource("scale"), made, 200)


async def put_scale(server: ApiServer, request: Request, kind: CustomKind) -> Response:
    from .resources import check_name
    from .subresources import body_of

    options = write_options(request, "UpdateOptions")
    scale = body_of(request, kind.of_subresource("scale"))
    assert request.info is not None
    check_name(scale, request.info, kind)
    return await _write_scale(server, request, kind, options, "", lambda live: scale)


async def patch_scale(server: ApiServer, request: Request, kind: CustomKind) -> Response:
    from .patches import patch_type
    from .subresources import scale_patch

    how = patch_type(request, kind)
    options = write_options(request, "PatchOptions", apply=how == "apply")
    make = scale_patch(request, kind, options, how)
    return await _write_scale(server, request, kind, options, how, make)


def _replicas_paths(kind: CustomKind) -> dict[str, tuple[str, ...]]:
    """By version; of one without a scale, nowhere."""
    paths: dict[str, tuple[str, ...]] = {}
    for name, version in kind.definition.versions.items():
        scale = (version.get("subresources") or {}).get("scale") or {}
        names = str(scale.get("specReplicasPath") or "").removeprefix(".").split(".")
        paths[f"{kind.group}/{name}"] = tuple(f"f:{part}" for part in names if part)
    return paths


async def _write_scale(
    server: ApiServer, request: Request, kind: CustomKind, options: WriteOptions, how: str, make: Any
) -> Response:
    from .subresources import reply, scale_write

    info, resources, path = request.info, server.resources, (kind.scale or {})["specReplicasPath"]
    assert info is not None
    write = scale_write(request, kind, options, how, "", _replicas_paths(kind))  # its owners have no time

    async def change(old: Object) -> Object:
        try:
            current, said = scale_of(old, kind)
        except WrongNesting as error:
            raise ApiError(500, "", str(error), details=False)
        if not said:
            current["spec"] = {"replicas": _UNSET}
        scale, entries = write.made(old, current, make)
        if (
            how == "apply" and scale != current
        ):  # as in real servers: only what changes nothing can be applied
            given = make(current).get("metadata") or {}
            where = given.get("namespace") or "", given.get("name") or ""
            raise ApiError(500, "", _NO_CONVERTED_SCALE.format(*where), details=False)
        replicas = (scale.get("spec") or {}).get("replicas") or 0
        if replicas == _UNSET:
            raise bad_request(f'the spec replicas field "{path}" cannot be empty')
        new = copied(old)
        place = new
        *parents, last = path.removeprefix(".").split(".")
        for name in parents:
            place = place.setdefault(name, {})
        place[last] = replicas
        version = (scale.get("metadata") or {}).get("resourceVersion")
        if version:
            new["metadata"]["resourceVersion"] = version
        else:
            new["metadata"].pop("resourceVersion", None)
        set_entries(new, entries)
        return cast(Object, new)

    op = resources.operation(request, kind, UPDATE, dry_run=options.dry_run)
    op.patch = True  # a version is not needed
    op.applied = True  # who owns the replicas is settled above
    outcome = await resources.registry.update(op, change)
    made, _ = scale_of(kind.from_stored(outcome.value()), kind)
    return reply(resources, request, kind.of_subresource("scale"), made, 200)


_SCALE: dict[str, Callable[[ApiServer, Request, CustomKind], Response | Awaitable[Response]]] = {
    "get": get_scale,
    "update": put_scale,
    "patch": patch_scale,
}
