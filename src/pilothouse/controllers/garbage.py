"""The garbage collector: deletes what has lost its owners, and carries out how an owner wanted its dependents treated.

A key is one object of any kind, `resource|namespace/name`. Three questions are asked of it, as upstream asks them:
- it is being deleted with the finalizer `orphan`: its dependents forget it, then the finalizer goes;
- it is being deleted with `foregroundDeletion`: its dependents are deleted, and when none that blocks is left, the
  finalizer goes;
- it is alive and has owners: those that are gone or waiting in the foreground are dropped while a solid owner is left;
  when none is left, the object goes.
There is no separate graph: every cache has an index from an owner's uid to its dependents. An owner that a cache does
not show is asked for at the server before anything is deleted for want of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..api.object import Object, is_deleting, key_of, name_of, namespace_of, split_key, uid_of
from ..client.informer import IndexFunction, by_owner
from .plan import (
    NOTHING,
    Action,
    Batch,
    Controller,
    Delete,
    Environment,
    Event,
    Later,
    Patch,
    Plan,
    Source,
    StillAbsent,
    View,
)
from .resources import is_namespaced, owned_resources, resource_of_reference

_ORPHAN, _FOREGROUND = "orphan", "foregroundDeletion"
# About as long as upstream's collector takes. `kubectl delete cronjob,job --all` counts on it: it lists the jobs after it has deleted the cronjobs.
ORPHANED_S = 0.05
_GONE_MAX = 500
_DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


class GarbageCollector(Controller):
    name = "garbage-collector"
    component = "garbage-collector-controller"
    account = "generic-garbage-collector"
    workers = 10

    def __init__(self, env: Environment):
        super().__init__(env)
        self._resources = list(owned_resources())
        self._custom: dict[tuple[str, str], tuple[str, bool]] = {}  # (group, kind) → resource, namespaced
        self._gone: dict[
            str, None
        ] = {}  # owners seen to go, by uid: their kind may be gone too when we judge

    @property
    def sources(self) -> Mapping[str, Source]:
        return {resource: self._source(resource) for resource in owned_resources()}

    @property
    def indexes(self) -> Mapping[str, Mapping[str, IndexFunction]]:
        return {resource: {"owner": by_owner} for resource in owned_resources()}

    @property
    def custom_indexes(self) -> Mapping[str, IndexFunction]:
        return {"owner": by_owner}

    def custom_source(self, resource: str, namespaced: bool) -> Source | None:
        if resource not in self._resources:
            self._resources.append(resource)
        return self._source(resource)

    def custom_gone(self, resource: str) -> None:
        if resource in self._resources:
            self._resources.remove(resource)

    def _source(self, resource: str) -> Source:
        def source(old: Object | None, new: Object | None, view: View) -> Iterable[str | Later]:
            if resource == _DEFINITIONS:
                self._note_definition(old, new)
            if old is not None and new is not None and _facts(old) == _facts(new):
                return []
            obj = new or old or {}
            keys: list[str | Later] = []
            if new is not None and (_owners(new) or is_deleting(new)):
                keys.append(f"{resource}|{key_of(new)}")
            if new is None:
                if dependents := self._dependents(obj, view):
                    self._note_gone(uid_of(obj))
                keys += [Later(f"{r}|{key_of(d)}", ORPHANED_S) for r, d in dependents]
            elif _FOREGROUND in _finalizers(new):
                keys += [f"{r}|{key_of(d)}" for r, d in self._dependents(obj, view)]
            for o in (old, new):  # an owner that waits in the foreground
                for reference in _owners(o) if o is not None else ():
                    found = self._find(reference, namespace_of(obj), view)
                    if found is not None and found[1] is not None and is_deleting(found[1]):
                        keys.append(f"{found[0]}|{key_of(found[1])}")
            return keys

        return source

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        resource, _, object_key = key.partition("|")
        if resource not in self._resources:
            return NOTHING
        obj = view.of(resource).get(*split_key(object_key))
        if obj is None:
            return NOTHING
        if is_deleting(obj):
            if _ORPHAN in _finalizers(obj):
                return self._orphan_dependents(resource, obj, view)
            if _FOREGROUND in _finalizers(obj):
                return self._delete_dependents(resource, obj, view)
            return NOTHING
        return self._judge(resource, obj, view) if _owners(obj) else NOTHING

    # -- the three cases -------------------------------------------------------------------------------------------

    def _orphan_dependents(self, resource: str, owner: Object, view: View) -> Plan:
        forget = [_without_owners(r, d, {uid_of(owner)}) for r, d in self._dependents(owner, view)]
        actions: list[Action] = [Batch(tuple(forget))] if forget else []
        return Plan([*actions, _without_finalizer(resource, owner, _ORPHAN)])

    def _delete_dependents(self, resource: str, owner: Object, view: View) -> Plan:
        """The dependents' own turns delete them; here is only seen whether one still blocks."""
        uid = uid_of(owner)
        blocking = [
            d
            for _, d in self._dependents(owner, view)
            if any(r["uid"] == uid and r.get("blockOwnerDeletion") for r in _owners(d))
        ]
        return NOTHING if blocking else Plan([_without_finalizer(resource, owner, _FOREGROUND)])

    def _judge(self, resource: str, obj: Object, view: View) -> Plan:
        solid, waiting, dangling = [], [], []
        guards: list[Action] = []
        tell: list[Action] = []
        for reference in _owners(obj):
            found = self._find(reference, namespace_of(obj), view)
            if found is None:
                if reference["uid"] not in self._gone:
                    return NOTHING  # a kind that is not known (yet): nothing can be said, so nothing is done
                dangling.append(reference["uid"])
                continue
            owner_resource, owner = found
            if owner is None or uid_of(owner) != reference["uid"]:
                dangling.append(reference["uid"])
                namespace = namespace_of(obj) if self._is_namespaced(owner_resource) else ""
                others = view.of(owner_resource).list() if namespace else ()
                if any(uid_of(other) == reference["uid"] for other in others):
                    tell.append(_elsewhere(obj, reference))
                guards.append(StillAbsent(owner_resource, namespace, reference["name"], reference["uid"]))
            elif is_deleting(owner) and _FOREGROUND in _finalizers(owner):
                waiting.append(reference["uid"])
            else:
                solid.append(reference["uid"])
        if solid:
            lost = {*dangling, *waiting}
            return Plan([*tell, *guards, _without_owners(resource, obj, lost)]) if lost else NOTHING
        dependents = self._dependents(obj, view)
        propagation = "Background"
        if _ORPHAN in _finalizers(obj):
            propagation = "Orphan"
        elif _FOREGROUND in _finalizers(obj) or (waiting and dependents):
            propagation = "Foreground"
        unblock: list[Action] = []
        if waiting and any(is_deleting(d) and _FOREGROUND in _finalizers(d) for _, d in dependents):
            # a circle of owners, all waiting for each other: this one no longer blocks
            unblock.append(_unblock(resource, obj))
            return Plan([*guards, *unblock])
        delete = Delete(
            resource,
            namespace_of(obj),
            name_of(obj),
            uid_of(obj),
            propagation,
            resource_version=obj["metadata"].get("resourceVersion", ""),
        )
        return Plan([*tell, *guards, delete])

    # -- who owns whom ---------------------------------------------------------------------------------------------

    def _dependents(self, owner: Object, view: View) -> list[tuple[str, Object]]:
        uid = uid_of(owner)
        return [(r, d) for r in self._resources for d in view.of(r).by_index("owner", uid)]

    def _find(self, reference: Object, namespace: str, view: View) -> tuple[str, Object | None] | None:
        """(resource, owner or None); None if there is no such kind, or it cannot own this object."""
        kind = resource_of_reference(reference["apiVersion"], reference["kind"])
        if kind is not None:
            resource, namespaced = kind.resource, kind.namespaced
        else:
            group = reference["apiVersion"].rpartition("/")[0]
            custom = self._custom.get((group, reference["kind"]))
            if custom is None:
                return None
            resource, namespaced = custom
        if resource not in self._resources or (namespaced and not namespace):
            return None  # a cluster-scoped object cannot be owned by a namespaced one
        return resource, view.of(resource).get(namespace if namespaced else "", reference["name"])

    def _is_namespaced(self, resource: str) -> bool:
        for name, namespaced in self._custom.values():
            if name == resource:
                return namespaced
        return is_namespaced(resource)

    def _note_gone(self, uid: str) -> None:
        self._gone[uid] = None
        if len(self._gone) > _GONE_MAX:
            del self._gone[next(iter(self._gone))]

    def _note_definition(self, old: Object | None, new: Object | None) -> None:
        spec = (new or old or {})["spec"]
        where = (spec["group"], spec["names"]["kind"])
        resource = f"{spec['names']['plural']}.{spec['group']}"
        if new is None:
            self._custom.pop(where, None)
        else:
            self._custom[where] = (resource, spec.get("scope") == "Namespaced")


def _elsewhere(obj: Object, reference: Object) -> Event:
    """There is such an owner, but not where its dependent may have one."""
    namespace = namespace_of(obj)
    what = f"{reference['apiVersion']}/{reference['kind']}, namespace: {namespace}"
    owner = f"[{what}, name: {reference['name']}, uid: {reference['uid']}]"
    message = f'ownerRef {owner} does not exist in namespace "{namespace}"'
    return Event(obj, "Warning", "OwnerRefInvalidNamespace", message)


def _owners(obj: Object) -> list[Object]:
    return obj["metadata"].get("ownerReferences") or []


def _finalizers(obj: Object) -> list[str]:
    return obj["metadata"].get("finalizers") or []


def _facts(obj: Object) -> tuple[object, ...]:
    """What this controller looks at."""
    return uid_of(obj), _owners(obj), _finalizers(obj), is_deleting(obj)


def _changed_metadata(resource: str, obj: Object, changes: Object) -> Patch:
    """With the version it was decided on, so that it is decided again if somebody came between."""
    precondition = {"uid": uid_of(obj), "resourceVersion": obj["metadata"].get("resourceVersion")}
    return Patch(resource, namespace_of(obj), name_of(obj), {"metadata": {**precondition, **changes}})


def _without_owners(resource: str, obj: Object, uids: set[str]) -> Patch:
    left = [r for r in _owners(obj) if r["uid"] not in uids]
    return _changed_metadata(resource, obj, {"ownerReferences": left or None})


def _unblock(resource: str, obj: Object) -> Patch:
    left = [{**r, "blockOwnerDeletion": False} for r in _owners(obj)]
    return _changed_metadata(resource, obj, {"ownerReferences": left})


def _without_finalizer(resource: str, obj: Object, finalizer: str) -> Patch:
    left = [f for f in _finalizers(obj) if f != finalizer]
    return _changed_metadata(resource, obj, {"finalizers": left or None})
