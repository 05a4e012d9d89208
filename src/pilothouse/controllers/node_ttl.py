"""How long a node's kubelet may keep secrets and config maps without looking: longer, the larger the cluster is."""

from __future__ import annotations

from collections.abc import Mapping

from ..api.object import Object, annotations_of, split_key
from .plan import NOTHING, Controller, Patch, Plan, Source, View

_ANNOTATION = "node.alpha.kubernetes.io/ttl"
# (from, to, seconds): they overlap, so that a cluster at an edge does not go to and fro
_STEPS = ((0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, 2**31, 300))


class NodeTtlController(Controller):
    name = "ttl"
    component = "ttl-controller"

    @property
    def sources(self) -> Mapping[str, Source]:
        return {"nodes": _all_when_counted}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        node = view.of("nodes").get(*split_key(key))
        if node is None:
            return NOTHING
        count, has = len(view.of("nodes").list()), annotations_of(node).get(_ANNOTATION)
        fitting = [str(ttl_s) for first, last, ttl_s in _STEPS if first <= count <= last]
        if has in fitting:
            return NOTHING
        patch = {"metadata": {"annotations": {_ANNOTATION: fitting[0]}}}
        return Plan([Patch("nodes", "", key, patch, "strategic")])


def _all_when_counted(old: Object | None, new: Object | None, view: View) -> list[str]:
    """The count changed: it may concern all of them, at the edges only."""
    nodes = view.of("nodes").list()
    if new is not None and (old is not None or len(nodes) not in {s[1] + 1 for s in _STEPS}):
        return [new["metadata"]["name"]]
    return [node["metadata"]["name"] for node in nodes]
