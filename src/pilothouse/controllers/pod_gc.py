"""Deletes pods that nobody else will: bound to a node that is gone, never bound and being deleted, or finished and too many.

One key for all, looked at every 20 seconds as upstream does, since it is about the whole population.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..api.object import Object, get, is_deleting, name_of, namespace_of, uid_of, with_condition
from ..base.clock import timestamp
from ..client.informer import IndexFunction
from . import pods as podlib
from .endpoints import by_node
from .plan import Action, Controller, Delete, Environment, Patch, Plan, Source, StillAbsent, View

_PERIOD_S = 20.0
_QUARANTINE_S = 40.0  # a node may only be late in the cache
_ALL = "all"
_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


class PodGarbageCollector(Controller):
    name = "pod-garbage-collector"
    component = "pod-garbage-collector"
    workers = 1

    def __init__(self, env: Environment):
        super().__init__(env)
        self._missing: dict[str, float] = {}  # node that pods name and nobody has seen → since when

    @property
    def sources(self) -> Mapping[str, Source]:
        def begin(old: Object | None, new: Object | None, view: View) -> list[str]:
            return [_ALL]

        return {"namespaces": begin, "nodes": _node_gone}

    @property
    def indexes(self) -> Mapping[str, Mapping[str, IndexFunction]]:
        return {"pods": {"node": by_node}}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        pods = view.of("pods").list()
        actions: list[Action] = []
        actions += self._finished(pods)
        actions += self._orphaned(pods, view, now)
        for pod in pods:
            if not is_deleting(pod):
                continue
            node_name = get(pod, "spec.nodeName")
            if not node_name or _is_out_of_service(view.of("nodes").get("", node_name)):
                actions += _fail_and_delete(pod)
        return Plan(actions, _PERIOD_S)

    def _finished(self, pods: list[Object]) -> list[Action]:
        limit = self.env.terminated_pod_threshold
        finished = [p for p in pods if podlib.is_terminal(p) and not is_deleting(p)]
        if limit <= 0 or len(finished) <= limit:
            return []
        finished.sort(key=lambda p: (not _is_evicted(p), podlib.created_at(p), name_of(p)))
        return [_delete(p) for p in finished[: len(finished) - limit]]

    def _orphaned(self, pods: list[Object], view: View, now: float) -> list[Action]:
        nodes = view.of("nodes")
        names = {get(p, "spec.nodeName", "") for p in pods} - {""}
        missing = {name for name in names if nodes.get("", name) is None}
        self._missing = {name: self._missing.get(name, now) for name in missing}
        actions: list[Action] = []
        for name, since in sorted(self._missing.items()):
            if now - since < _QUARANTINE_S:
                continue
            for pod in view.of("pods").by_index("node", name):
                actions += [StillAbsent("nodes", "", name), *_fail_and_delete(pod, _disrupted(pod, now))]
        return actions


def _is_evicted(pod: Object) -> bool:
    return bool(get(pod, "status.phase") == "Failed" and get(pod, "status.reason") == "Evicted")


def _node_gone(old: Object | None, new: Object | None, view: View) -> list[str]:
    return [_ALL] if new is None else []


def _disrupted(pod: Object, now: float) -> Object:
    """So that its controller does not count it against itself."""
    return {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByPodGC",
        "message": "PodGC: node no longer exists",
        "lastTransitionTime": timestamp(now),
        "observedGeneration": get(pod, "metadata.generation", 1),
    }


def _fail_and_delete(pod: Object, condition: Object | None = None) -> list[Action]:
    """Nobody else is left to tell that it ended."""
    if podlib.is_terminal(pod):
        return [_delete(pod)]
    status: Object = {"phase": "Failed", "observedGeneration": get(pod, "metadata.generation", 1)}
    if condition:
        status |= with_condition(pod, condition)
    patch = Patch("pods", namespace_of(pod), name_of(pod), {"status": status}, "strategic", "status")
    return [patch, _delete(pod)]


def _is_out_of_service(node: Object | None) -> bool:
    if node is None:
        return False
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in get(node, "status.conditions", []))
    return not ready and any(t["key"] == _OUT_OF_SERVICE for t in get(node, "spec.taints", []))


def _delete(pod: Object) -> Delete:
    return Delete("pods", namespace_of(pod), name_of(pod), uid_of(pod), grace_period_s=0)
