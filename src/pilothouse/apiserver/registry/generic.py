"""Create, update and delete for any kind: the order of steps is Kubernetes' (pkg/registry/generic and rest), since it decides which
refusal a client sees.

    create:  admission mutates → prepare → name, uid, times → validate → admission validates → commit
    update:  current object → change → resourceVersion and uid → prepare → admission mutates → validate → … → commit
    delete:  preconditions → grace (pods) → finalizers → mark, or remove

An update is a function from the current object to the new one, so that PUT, PATCH, status writes and the like differ only in that; it runs
again when somebody else was faster and the client did not ask for one version.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ...api.crd.kinds import CustomKind
from ...api.errors import (
    MODIFIED,
    ApiError,
    Cause,
    already_exists,
    bad_request,
    conflict,
    invalid,
    not_found,
)
from ...api.kinds import Kind
from ...api.object import Object
from ...api.schema import complete, has_schema, schema_of
from ...api.validation import validate_create, validate_update
from ...api.warnings import warnings_of
from ...base.clock import Clock, parse_timestamp, timestamp
from ...base.random import Random
from ...store.interface import Condition, Conflict, Put
from ..admission import Admission
from ..authorization import Attributes
from ..config import ApiConfig
from ..conversion import from_storage
from ..options import DeleteOptions
from ..request import User
from . import strategy as strategies
from .namespaces import FOREGROUND, ORPHAN
from .operation import CREATE, Operation
from .ownership import own, same_but_for_times
from .storage import Entry, Storage
from .strategy import Strategy

MAX_RETRIES = 100  # each time another writer has won, so that as many at one object all come through
OBJECT_BYTES_MAX = 1536 * 1024  # etcd's limit of a request
MAX_CREATES = 50
GENERATED_NAME_MAX = 63 - 5

Change = Callable[[Object], Awaitable[Object]]


class Outcome:
    """What a write led to: the stored entry, or an object that was not (or no longer is) stored."""

    __slots__ = ("code", "deleted", "entry", "object")

    def __init__(
        self, code: int, entry: Entry | None = None, obj: Object | None = None, deleted: bool = False
    ):
        self.code, self.entry, self.object, self.deleted = code, entry, obj, deleted

    def value(self) -> Object:
        if self.entry is not None:
            return self.entry.object
        assert self.object is not None
        return self.object


OTHER_NAMESPACE = "the namespace of the provided object does not match the namespace sent on the request"


def nameless(name: str) -> str:
    return f"the name of the object ({name} based on URL) was undeterminable: name must be provided"


def wrong_uid(given: str, held: str) -> str:
    return f"Precondition failed: UID in precondition: {given}, UID in object meta: {held}"


# where etcd has what a real server does not keep under its plural
_ETCD_KEYS = {
    "nodes": "minions",
    "services": "services/specs",
    "endpoints": "services/endpoints",
    "replicationcontrollers": "controllers",
    "ingresses.networking.k8s.io": "ingress",
}
_KEYS_WITH_GROUP = ("apiextensions.k8s.io", "apiregistration.k8s.io")


def other_uid(kind: Kind, namespace: str, name: str, given: str, held: str) -> ApiError:
    """What the store of a real server says of an update that names another uid."""
    where = _ETCD_KEYS.get(kind.resource, kind.plural)
    if kind.custom or kind.group in _KEYS_WITH_GROUP:
        where = f"{kind.group}/{kind.plural}"
    key = "/".join(part for part in ("/registry", where, namespace if kind.namespaced else "", name) if part)
    why = f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: "
    return conflict(kind.plural, kind.group, name, why + wrong_uid(given, held))


def shallow(obj: Object) -> Object:
    """A copy whose top level and metadata may be changed."""
    new = dict(obj)
    new["metadata"] = dict(obj["metadata"])
    return new


def check_preconditions(kind: Kind, name: str, obj: Object, options: DeleteOptions) -> None:
    meta = obj["metadata"]
    if kind.resource == "namespaces" and options.uid is not None and options.uid != meta["uid"]:
        raise conflict("namespaces", "", name, wrong_uid(options.uid, meta["uid"]))
    if options.uid is not None and options.uid != meta["uid"]:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({meta['uid']}). "
            "The object might have been deleted and then recreated"
        )
        raise conflict(kind.kind, kind.group, name, why)
    if options.resource_version is not None and options.resource_version != meta["resourceVersion"]:
        if kind.resource == "namespaces":
            why = f"Precondition failed: ResourceVersion in precondition: {options.resource_version}, ResourceVersion in object meta: {meta['resourceVersion']}"
            raise conflict("namespaces", "", name, why)
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the ResourceVersion in record "
            f"({meta['resourceVersion']}). The object might have been modified"
        )
        raise conflict(kind.kind, kind.group, name, why)


# the fields of ObjectMeta in the order in which Kubernetes writes them
METADATA_ORDER = (
    *("name", "generateName", "namespace", "uid", "generation", "creationTimestamp"),
    *("labels", "annotations", "ownerReferences", "finalizers"),
)


class Registry:
    def __init__(
        self, storage: Storage, admission: Admission, clock: Clock, random: Random, config: ApiConfig
    ):
        self.storage, self.admission = storage, admission
        self.clock, self.random, self.config = clock, random, config

    def now(self) -> str:
        return timestamp(self.clock.now())

    def operation(
        self,
        kind: Kind,
        verb: str,
        user: User,
        namespace: str,
        name: str,
        subresource: str = "",
        *,
        dry_run: bool = False,
        field_manager: str = "",
        warnings: list[str] | None = None,
    ) -> Operation:
        requested, kind = kind, kind.storage
        strategy = strategies.strategy_of(kind.resource, kind if kind.custom else None)
        return Operation(
            kind,
            strategy,
            verb,
            user,
            namespace,
            name,
            subresource,
            requested=requested,
            dry_run=dry_run,
            field_manager=field_manager,
            warnings=warnings,
        )

    # -- create ------------------------------------------------------------------------------------------------

    async def create(self, op: Operation, obj: Object) -> Outcome:
        """`obj` is decoded, defaulted and ours to change."""
        op.object = obj
        meta = obj.setdefault("metadata", {})
        if op.kind.namespaced:
            if meta.get("namespace") and meta["namespace"] != op.namespace:
                raise bad_request(OTHER_NAMESPACE)
            meta["namespace"] = op.namespace
        else:
            meta.pop("namespace", None)
        op.name = meta.get("name") or ""
        generate = not op.name and meta.get("generateName")
        for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
            meta.pop(field, None)
        now = self.now()
        own(op, None, obj, now)
        await self.admission.mutate(op)
        if generate:
            meta["name"] = op.name = self._generated(str(meta["generateName"]))
        self._prepare_create(op, now)
        meta = obj["metadata"]
        self._validate_create(op)
        if op.by_update:
            self.admission.environment.authorizer.check(_create_attributes(op))
        await self.admission.validate(op)
        if not op.dry_run and meta.pop("resourceVersion", "") not in ("", "0"):
            raise ApiError(
                500, "", "resourceVersion should not be set on objects to be created", details=False
            )
        for attempt in range(MAX_CREATES):
            op.conditions.clear()
            op.puts.clear()
            op.deletes.clear()
            self.admission.charge(op)
            existing = self.storage.get(op.kind, op.namespace, op.name)
            if existing is None:
                try:
                    entry = await self._commit_create(op)
                except Conflict:  # an address or a port was taken meanwhile, or a quota changed: look again
                    if attempt == MAX_CREATES - 1:
                        raise _modified(op)
                    continue
                if entry is not None or op.dry_run:
                    return Outcome(201, entry, obj)
                existing = self.storage.get(op.kind, op.namespace, op.name)
            if not generate:
                raise self._exists(op, existing)
            meta["name"] = op.name = self._generated(str(meta["generateName"]))
        error = already_exists(op.kind.plural, op.checked_as.group, op.name)
        error.message += ", the server was not able to generate a unique name for the object"
        error.retry_after_s = 1
        raise error

    def _generated(self, base: str) -> str:
        return base[:GENERATED_NAME_MAX] + self.random.suffix(5)

    def _exists(self, op: Operation, existing: Entry | None) -> ApiError:
        error = already_exists(op.kind.plural, op.checked_as.group, op.name)
        if existing is not None and existing.object["metadata"].get("deletionTimestamp"):
            error.message = f"object is being deleted: {error.message}"
        return error

    def _prepare_create(self, op: Operation, now: str) -> None:
        obj = op.object
        assert obj is not None
        meta = obj["metadata"]
        strategy = op.strategy
        meta["uid"] = self.random.uid()
        meta["creationTimestamp"] = now
        if strategy.generation is not None:
            meta["generation"] = 1
        obj["metadata"] = {**{f: meta[f] for f in METADATA_ORDER if f in meta}, **meta}
        if strategy.initial_status is not None:
            obj["status"] = dict(strategy.initial_status)
        if strategy.prepare_create is not None:
            strategy.prepare_create(self, op)

    def _validate_create(self, op: Operation) -> None:
        assert op.object is not None
        causes = validate_create(op.checked_as, op.object)
        if causes:
            raise invalid(op.kind.kind, op.kind.group, op.object["metadata"].get("name") or "", causes)
        if op.strategy.validate_create is not None:
            op.strategy.validate_create(self, op)
        self._warn(op)

    @staticmethod
    def _warn(op: Operation) -> None:
        assert op.object is not None
        whole = op.subresource in ("", "scale")  # to scale is to update, for Kubernetes
        resource = op.resource if whole else f"{op.resource}/{op.subresource}"
        for text in warnings_of(resource, op.object, op.old):
            op.warn(text)

    async def _commit_create(self, op: Operation) -> Entry | None:
        """None: somebody else has created it (or nothing was to be stored)."""
        assert op.object is not None
        if op.strategy.commit_create is not None:
            op.strategy.commit_create(self, op)
        if op.dry_run:
            complete_object(op.kind, op.object)
            _as_if_stored(op)
            return None
        key = self.storage.key(op.kind, op.namespace, op.name)
        op.conditions.append(Condition(key, 0))
        op.puts.append(self._put(op, key))
        try:
            await self.storage.commit(op.conditions, op.puts, op.deletes)
        except Conflict as error:
            if error.key == key:
                return None
            raise
        return self.storage.get(op.kind, op.namespace, op.name)

    def _put(self, op: Operation, key: str) -> Put:
        """The last step before the store: every field that the type always shows is there."""
        assert op.object is not None
        complete_object(op.kind, op.object)
        ephemeral = op.resource == "leases.coordination.k8s.io" and op.namespace == "kube-node-lease"
        kind, obj = op.kind, op.object
        if isinstance(kind, CustomKind):
            kind, obj = kind.stored_form(obj)
        value = self.storage.encode(kind, obj)
        if len(value) > OBJECT_BYTES_MAX and not op.applied:  # who owns what is not worth losing the object
            obj["metadata"].pop("managedFields", None)
            value = self.storage.encode(kind, obj)
        if len(value) > OBJECT_BYTES_MAX:
            raise ApiError(500, "", "etcdserver: request is too large", details=False)
        return Put(key, value, ephemeral)

    # -- update ------------------------------------------------------------------------------------------------

    async def update(self, op: Operation, change: Change, *, create: bool = False) -> Outcome:
        """`change` makes the new object from the current one (which it must not touch)."""
        for _ in range(MAX_RETRIES):
            existing = self.storage.get(op.kind, op.namespace, op.name)
            if existing is None:
                if not create:
                    raise not_found(op.kind.plural, op.checked_as.group, op.name)
                return await self._create_by_update(op, change)
            op.conditions.clear()
            op.puts.clear()
            op.deletes.clear()
            old = from_storage(op.kind, existing.object) if op.kind.custom else existing.object
            op.old = old
            new = await change(old)
            op.object = new
            meta = new.setdefault("metadata", {})
            if op.kind.namespaced and not meta.get("namespace"):
                meta["namespace"] = op.namespace
            if not meta.get("name"):
                meta["name"] = op.name
            own(op, old, new, self.now())
            await self.admission.mutate(op)
            asked = self._check_identity(op, new, old)
            outcome = await self._update_once(op, existing, new, old)
            if outcome is not None:
                return outcome
            if (
                asked and not op.patch
            ):  # a patch is made again on the newer object, whose version it then must name
                break
        raise _modified(op)

    async def _create_by_update(self, op: Operation, change: Change) -> Outcome:
        new = await change({})
        uid = new.get("metadata", {}).get("uid")
        if uid:
            raise other_uid(op.kind, op.namespace, op.name, uid, "")
        new["metadata"].pop("resourceVersion", None)
        op = op.of_verb(CREATE)
        op.by_update = True
        return await self.create(op, new)

    def _check_identity(self, op: Operation, new: Object, old: Object) -> bool:
        """Checks the name, uid and version that the new object claims. True: the client insists on a version."""
        meta, old_meta = new.setdefault("metadata", {}), old["metadata"]
        if meta.get("uid") and meta["uid"] != old_meta["uid"] and not op.patch:
            raise other_uid(op.kind, op.namespace, op.name, meta["uid"], old_meta["uid"])
        version = meta.get("resourceVersion") or ""
        if version and not version.isdigit():
            raise ApiError(500, "", f'strconv.ParseUint: parsing "{version}": invalid syntax', details=False)
        if not version or version == "0":
            if not op.strategy.unconditional_update and not op.patch:
                cause = Cause(
                    "FieldValueInvalid",
                    "Invalid value: 0: must be specified for an update",
                    "metadata.resourceVersion",
                )
                raise invalid(op.kind.plural, op.kind.group, op.name, [cause])
            meta["resourceVersion"] = old_meta["resourceVersion"]  # as validating admission shall see it
            return False
        if version != old_meta["resourceVersion"]:
            raise _modified(op)
        return True

    def _prepare_update(self, op: Operation, new: Object, old: Object) -> None:
        meta, old_meta = new["metadata"], old["metadata"]
        for field in ("creationTimestamp", "generation"):
            _restore(meta, old_meta, field)
        if old_meta.get("deletionTimestamp"):
            meta["deletionTimestamp"] = old_meta["deletionTimestamp"]
        for field in ("uid", "deletionGracePeriodSeconds"):  # a wrong one is validation's to name
            if meta.get(field) is None or meta[field] == "":
                _restore(meta, old_meta, field)
        meta.pop("selfLink", None)
        strategy = op.strategy
        if op.subresource == "status":
            for field in [
                f for f in new if f not in ("metadata", "status", "apiVersion", "kind") and f not in old
            ]:
                del new[field]
            for field, value in old.items():
                if field not in ("metadata", "status", "apiVersion", "kind"):
                    new[field] = value
            for field in strategy.status_keeps:
                _restore(meta, old_meta, field)
        elif not op.subresource and (strategy.initial_status is not None or op.kind.subresource("status")):
            _restore(new, old, "status")
        if strategy.prepare_update is not None:
            strategy.prepare_update(self, op)
        if strategy.generation is not None and op.subresource != "status" and strategy.generation(new, old):
            new["metadata"]["generation"] = int(old_meta.get("generation") or 0) + 1

    async def _update_once(self, op: Operation, existing: Entry, new: Object, old: Object) -> Outcome | None:
        """None: somebody else was faster."""
        self._prepare_update(op, new, old)
        causes = validate_update(op.checked_as, new, old, op.subresource, op.warnings, op.patch)
        if causes:
            raise invalid(op.kind.kind, op.kind.group, op.name, causes)
        if op.strategy.validate_update is not None:
            op.strategy.validate_update(self, op)
        self._warn(op)
        await self.admission.validate(op)
        meta = new["metadata"]
        meta["resourceVersion"] = old["metadata"]["resourceVersion"]
        if self._gone_by_update(op, new):
            if op.dry_run:
                return Outcome(200, obj=new)
            return await self._remove(op, existing, new)
        self.admission.charge(op)
        if op.strategy.commit_update is not None:
            op.strategy.commit_update(self, op)
        complete_object(op.kind, new)
        if op.dry_run:
            _as_if_stored(op)
            return Outcome(200, obj=new)
        if not op.puts and not op.deletes and (new == old or same_but_for_times(new, old)):
            return Outcome(200, existing)
        key = self.storage.key(op.kind, op.namespace, op.name)
        op.conditions.append(Condition(key, existing.revision))
        op.puts.append(self._put(op, key))
        try:
            await self.storage.commit(op.conditions, op.puts, op.deletes)
        except Conflict:
            return None
        entry = self.storage.get(op.kind, op.namespace, op.name)
        if entry is None:  # deleted since by somebody else: what we wrote was there, though
            return Outcome(200, obj=new)
        return Outcome(200, entry)

    def _gone_by_update(self, op: Operation, new: Object) -> bool:
        """The last finalizer of a deleted object was taken away."""
        meta = new["metadata"]
        if not meta.get("deletionTimestamp") or meta.get("finalizers"):
            return False
        if op.strategy.finalizing is not None and op.strategy.finalizing(new):
            return False
        return not meta.get("deletionGracePeriodSeconds")

    async def _remove(self, op: Operation, existing: Entry, shown: Object | None = None) -> Outcome | None:
        key = self.storage.key(op.kind, op.namespace, op.name)
        if op.strategy.commit_delete is not None:
            op.strategy.commit_delete(self, op)
        op.conditions.append(Condition(key, existing.revision))
        op.deletes.append(key)
        try:
            revision = await self.storage.commit(op.conditions, op.puts, op.deletes)
        except Conflict:
            return None
        obj = shallow(shown if shown is not None else existing.object)
        obj["metadata"]["resourceVersion"] = str(revision)
        return Outcome(200, obj=obj, deleted=True)

    async def write(self, op: Operation, change: Change) -> Outcome:
        """An update of the server's own (binding, a budget's count): what `change` makes is stored as it is."""
        for _ in range(MAX_RETRIES):
            existing = self.storage.get(op.kind, op.namespace, op.name)
            if existing is None:
                raise not_found(op.kind.plural, op.checked_as.group, op.name)
            op.object = new = await change(existing.object)
            if op.dry_run:
                return Outcome(200, obj=new)
            key = self.storage.key(op.kind, op.namespace, op.name)
            try:
                await self.storage.commit([Condition(key, existing.revision)], [self._put(op, key)], [])
            except Conflict:
                continue
            return Outcome(200, self.storage.get(op.kind, op.namespace, op.name), new)
        raise _modified(op)

    # -- delete ------------------------------------------------------------------------------------------------

    async def delete(self, op: Operation, options: DeleteOptions) -> Outcome:
        """The outcome's object is the object; `deleted` says whether it is gone."""
        for _ in range(MAX_RETRIES):
            existing = self.storage.get(op.kind, op.namespace, op.name)
            if existing is None:
                raise not_found(op.kind.plural, op.checked_as.group, op.name)
            op.conditions.clear()
            op.puts.clear()
            op.deletes.clear()
            op.old = existing.object
            op.options = {
                "gracePeriodSeconds": options.grace_period_s,
                "propagationPolicy": options.propagation,
            }
            if not op.admitted:
                await self.admission.mutate(op)
            check_preconditions(op.kind, op.name, existing.object, options)
            pending = op.strategy.graceful and _grace(existing.object, options.grace_period_s) is None
            if not op.admitted and not pending:
                await self.admission.validate(op)
            outcome = await self._delete_once(op, existing, options)
            if outcome is not None:
                return outcome
        raise _modified(op)

    async def _delete_once(self, op: Operation, existing: Entry, options: DeleteOptions) -> Outcome | None:
        old = existing.object
        if op.strategy.deleting is not None:
            marked = op.strategy.deleting(self, old, options)
            if marked is not None:
                return await self._mark(op, existing, marked)
            if old["metadata"].get("finalizers") or (old.get("spec") or {}).get("finalizers"):
                return Outcome(200, existing)
        now = self.clock.now()
        new = shallow(old)
        meta = new["metadata"]
        graceful = False
        grace = 0
        if op.strategy.graceful:
            state = _grace(old, options.grace_period_s)
            if state is None:
                if meta.get("deletionGracePeriodSeconds") == options.grace_period_s == 0:
                    if not meta.get("finalizers"):  # a server that died between marking and removing it
                        return await self._remove(op, existing)
                if not _finalizers(old, options, op.strategy)[1]:
                    return Outcome(200, existing)
            else:
                grace, graceful = state, True
                self._set_grace(meta, old["metadata"], grace, now)
        finalizers, changed = _finalizers(old, options, op.strategy)
        if changed:
            if finalizers:
                meta["finalizers"] = finalizers
            else:
                meta.pop("finalizers", None)
        if not graceful and not finalizers:
            if op.dry_run:
                return Outcome(200, existing, deleted=True)
            return await self._remove(op, existing)
        if not graceful:
            if "deletionGracePeriodSeconds" not in meta and meta.get("generation"):
                meta["generation"] += 1
            if "deletionTimestamp" not in meta:
                meta["deletionTimestamp"] = timestamp(now)
            meta["deletionGracePeriodSeconds"] = 0
        outcome = await self._mark(op, existing, new)
        if outcome is None or op.dry_run or finalizers or grace > 0 or outcome.entry is None:
            if outcome is not None and op.dry_run and not finalizers and grace == 0:
                outcome.deleted = True
            return outcome
        # From here on it goes, whoever writes to it meanwhile: asked again, a grace of 0 would count as pending already.
        last: Entry | None = outcome.entry
        while last is not None and last.object["metadata"]["uid"] == meta["uid"]:
            op.conditions.clear()
            op.puts.clear()
            op.deletes.clear()
            if (removed := await self._remove(op, last)) is not None:
                return removed
            last = self.storage.get(op.kind, op.namespace, op.name)
        return None

    @staticmethod
    def _set_grace(meta: Object, old_meta: Object, grace: int, now: float) -> None:
        if old_meta.get("deletionTimestamp"):  # a second delete: a shorter grace counts from the first one
            started = parse_timestamp(old_meta["deletionTimestamp"]) - int(
                old_meta.get("deletionGracePeriodSeconds") or 0
            )
            meta["deletionTimestamp"] = timestamp(started + grace)
        else:
            meta["deletionTimestamp"] = timestamp(now + grace)
            if meta.get("generation"):
                meta["generation"] += 1
        meta["deletionGracePeriodSeconds"] = grace

    async def _mark(self, op: Operation, existing: Entry, new: Object) -> Outcome | None:
        if op.dry_run:
            return Outcome(200, obj=new)
        if new == existing.object:
            return Outcome(200, existing)
        key = self.storage.key(op.kind, op.namespace, op.name)
        op.object = new
        try:
            await self.storage.commit([Condition(key, existing.revision)], [self._put(op, key)], [])
        except Conflict:
            return None
        finally:
            op.object = None
        return Outcome(200, self.storage.get(op.kind, op.namespace, op.name), new)


def _restore(new: Object, old: Object, field: str) -> None:
    if field in old:
        new[field] = old[field]
    else:
        new.pop(field, None)


def _as_if_stored(op: Operation) -> None:
    """A dry run shows what would have been read back: where a webhook converts, that is asked."""
    kind, obj = op.kind, op.object
    if isinstance(kind, CustomKind) and obj is not None and kind.definition.conversions is not None:
        shown = kind.from_stored(kind.stored_form(obj)[1])
        if shown is not obj:
            obj.clear()
            obj.update(shown)


def _modified(op: Operation) -> ApiError:
    kind = op.requested or op.kind
    return conflict(kind.plural, kind.group, op.name, MODIFIED)


def _create_attributes(op: Operation) -> Attributes:
    kind = op.requested or op.kind
    return Attributes(
        op.user, "create", kind.group, kind.version, kind.plural, op.subresource, op.namespace, op.name
    )


def _grace(pod: Object, asked: int | None) -> int | None:
    """The grace period that this delete sets; None: it changes nothing, the pod is already on its way."""
    meta, spec = pod["metadata"], pod.get("spec") or {}
    if meta.get("deletionTimestamp"):
        existing = int(meta.get("deletionGracePeriodSeconds") or 0)
        if existing == 0 or asked is None or asked >= existing:
            return None
        return asked
    default = spec.get("terminationGracePeriodSeconds")
    grace = asked if asked is not None else (30 if default is None else default)
    if not spec.get("nodeName") or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        grace = 0
    return 1 if grace < 0 else grace


def _finalizers(obj: Object, options: DeleteOptions, strategy: Strategy) -> tuple[list[str], bool]:
    """The object's finalizers with those that the propagation policy asks for, and whether they changed."""
    existing = obj["metadata"].get("finalizers") or []
    orphan, foreground = _propagation(existing, options, strategy)
    wanted = [f for f in existing if f not in (ORPHAN, FOREGROUND)]
    if orphan:
        wanted.append(ORPHAN)
    if foreground:
        wanted.append(FOREGROUND)
    if sorted(wanted) == sorted(existing):
        return list(existing), False
    return wanted, True


def _propagation(existing: list[str], options: DeleteOptions, strategy: Strategy) -> tuple[bool, bool]:
    if options.orphan_dependents is not None:
        return options.orphan_dependents, False
    if options.propagation:
        return options.propagation == "Orphan", options.propagation == "Foreground"
    if ORPHAN in existing or FOREGROUND in existing:
        return ORPHAN in existing, FOREGROUND in existing
    return strategy.orphans_by_default, False


def complete_object(kind: Kind, obj: Object) -> None:
    if not kind.custom and has_schema(kind.group, kind.version, kind.kind):
        complete(schema_of(kind.group, kind.version, kind.kind), obj)
