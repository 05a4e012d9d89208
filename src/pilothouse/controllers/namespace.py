"""Namespace: when it is deleted, empties it, tells what holds it up, and lets it go.

Pods go first (KEP-5080, ordered namespace deletion), then everything else at once. The caches say what there is; before
the namespace itself goes, the server is asked once more, kind by kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ..api.errors import ApiError
from ..api.object import Object, get, is_deleting, name_of, namespace_of, uid_of
from ..base.clock import parse_timestamp
from . import pods as podlib
from .common import find_condition, set_condition, with_status
from .plan import (
    NOTHING,
    Action,
    Batch,
    Controller,
    Delete,
    DeleteCollection,
    Environment,
    Plan,
    Source,
    StillEmpty,
    Update,
    View,
    own,
)
from .resources import deletable_resources, is_namespaced

_FINALIZER = "kubernetes"
_EVENTS = "events"  # too many to keep in a cache for this; they are deleted unseen
_LOOK_AGAIN_S = 5.0

# type → (reason, message) while all is well
_FINE = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": (
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": (
        "ContentHasNoFinalizers",
        "All content-preserving finalizers finished",
    ),
}
Bad = dict[str, tuple[str, str]]


class NamespaceController(Controller):
    name = "namespace"
    component = "namespace-controller"

    def __init__(self, env: Environment):
        super().__init__(env)
        self._resources = {r for r in deletable_resources() if is_namespaced(r) and r != _EVENTS}

    @property
    def sources(self) -> Mapping[str, Source]:
        return {"namespaces": own, **dict.fromkeys(sorted(self._resources), _content)}

    def custom_source(self, resource: str, namespaced: bool) -> Source | None:
        if not namespaced:
            return None
        self._resources.add(resource)
        return _content

    def custom_gone(self, resource: str) -> None:
        self._resources.discard(resource)

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        namespace = view.of("namespaces").get("", key)
        if namespace is None or not is_deleting(namespace):
            return NOTHING
        if _FINALIZER not in (get(namespace, "spec.finalizers") or []):
            return NOTHING
        content = {r: found for r in sorted(self._resources) if (found := view.of(r).list(key))}
        pods = content.get("pods")
        now_deleting = {"pods": pods} if pods else content
        deletes = [
            Delete(r, key, name_of(obj), uid_of(obj), propagation="Background")
            for r, found in now_deleting.items()
            for obj in found
            if not is_deleting(obj)
        ]

        def tell(errors: list[ApiError]) -> list[Action]:
            return _tell_failure(namespace, errors, now) if errors else []

        if deletes:
            return Plan([Batch(tuple(deletes))], _LOOK_AGAIN_S, tell)
        # upstream tells nothing of what remains while it waits for pods, if they do not keep it waiting for too long
        status = _status(namespace, _lingering(namespace, pods, now) if pods else _remaining(content), now)
        if status != namespace["status"]:
            return Plan([Update("namespaces", with_status(namespace, status), "status")], _LOOK_AGAIN_S)
        if content:
            return Plan([], _LOOK_AGAIN_S)
        finalizers = [f for f in namespace["spec"]["finalizers"] if f != _FINALIZER]
        released = {**namespace, "spec": {**namespace["spec"], "finalizers": finalizers}}
        return Plan(
            [
                DeleteCollection(_EVENTS, key),
                StillEmpty(tuple(sorted(self._resources)), key),
                Update("namespaces", released, "finalize", ignore=("NotFound",)),
            ]
        )


def _content(old: Object | None, new: Object | None, view: View) -> list[str]:
    """Whatever moves in a namespace that is going."""
    name = namespace_of(new or old or {})
    namespace = view.of("namespaces").get("", name)
    return [name] if namespace is not None and is_deleting(namespace) else []


def _remaining(content: dict[str, list[Object]]) -> Bad:
    if not content:
        return {}
    kinds = []
    finalizers: Counter[str] = Counter()
    for resource, found in content.items():
        plural, _, group = resource.partition(".")
        kinds.append(f"{plural}.{group} has {len(found)} resource instances")
        for obj in found:
            finalizers.update(obj["metadata"].get("finalizers") or ())
    bad = {
        "NamespaceContentRemaining": (
            "SomeResourcesRemain",
            f"Some resources are remaining: {', '.join(sorted(kinds))}",
        )
    }
    if finalizers:
        listed = ", ".join(
            f"{name} in {count} resource instances" for name, count in sorted(finalizers.items())
        )
        bad["NamespaceFinalizersRemaining"] = (
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {listed}",
        )
    return bad


def _lingering(namespace: Object, pods: list[Object], now: float) -> Bad:
    """Pods that had their time, and are neither gone nor held by anybody."""
    graces = [get(p, "spec.terminationGracePeriodSeconds", 0) for p in pods if not podlib.is_terminal(p)]
    look_every_s = max(graces, default=0) // 2 + 1
    waited_s = now - parse_timestamp(namespace["metadata"]["deletionTimestamp"])
    if waited_s < 2 * look_every_s or any(pod["metadata"].get("finalizers") for pod in pods):
        return {}
    name = name_of(namespace)
    return _failure([f"unexpected items still remain in namespace: {name} for gvr: /v1, Resource=pods"])


def _failure(messages: list[str]) -> Bad:
    message = f"Failed to delete all resource types, {len(messages)} remaining: {', '.join(sorted(messages))}"
    return {"NamespaceDeletionContentFailure": ("ContentDeletionFailed", message)}


def _status(namespace: Object, bad: Bad, now: float) -> Object:
    status = dict(namespace.get("status") or {})
    conditions = list(status.get("conditions") or [])
    for type_, fine in _FINE.items():
        reason, message = bad.get(type_, fine)
        flag = "True" if type_ in bad else "False"
        fresh = set_condition(
            conditions, type_, flag, reason, message, now, compare=("status", "reason", "message")
        )
        if fresh is not conditions:  # in their place, not at the end
            changed = fresh[-1]
            if find_condition(conditions, type_):
                conditions = [changed if c["type"] == type_ else c for c in conditions]
            else:
                conditions = [*conditions, changed]
    status["conditions"] = conditions
    status["phase"] = "Terminating"
    return status


def _tell_failure(namespace: Object, errors: list[ApiError], now: float) -> list[Action]:
    firsts = {(error.group, error.kind): error.message for error in reversed(errors)}
    status = _status(namespace, _failure(list(firsts.values())), now)
    if status == namespace.get("status"):
        return []
    return [Update("namespaces", with_status(namespace, status), "status")]
