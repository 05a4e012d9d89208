"""Evicts pods from nodes with NoExecute taints: at once, or after the time for which they tolerate them."""

from __future__ import annotations

from collections.abc import Mapping

from ..api.object import Object, get, is_deleting, name_of, namespace_of, split_key, uid_of, with_condition
from ..api.tolerations import tolerates_one
from ..base.clock import parse_timestamp, timestamp
from ..client.informer import IndexFunction
from .endpoints import by_node
from .plan import NOTHING, Action, Controller, Delete, Environment, Event, Patch, Plan, Source, View


class TaintEvictionController(Controller):
    name = "taint-eviction"
    component = "taint-eviction-controller"
    account = "node-controller"

    def __init__(self, env: Environment):
        super().__init__(env)
        self._since: dict[
            str, float
        ] = {}  # pod uid → since when it is counted; only of pods that will be evicted

    @property
    def sources(self) -> Mapping[str, Source]:
        return {"pods": _pod, "nodes": _node}

    @property
    def indexes(self) -> Mapping[str, Mapping[str, IndexFunction]]:
        return {"pods": {"node": by_node}}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        object_key, _, uid = key.rpartition("#")
        pod = view.of("pods").get(*split_key(object_key))
        node = view.of("nodes").get("", get(pod, "spec.nodeName", ""))
        taints = _no_execute(node)
        if pod is None or uid_of(pod) != uid or is_deleting(pod) or not taints:
            return self._cancel(object_key, uid)
        wait_s = _tolerated_s(pod, taints)
        if wait_s is None:
            return self._cancel(object_key, uid)
        since = self._since.setdefault(uid, _first_added(taints, now))
        left_s = since + wait_s - now
        if left_s > 0:
            return Plan(requeue_after_s=left_s)
        del self._since[uid]
        return Plan(_evict(pod, now))

    def _cancel(self, key: str, uid: str) -> Plan:
        if self._since.pop(uid, None) is None:
            return NOTHING
        return Plan([_tell(key, "Cancelling deletion of")])


def _tell(key: str, what: str) -> Event:
    """About a name: upstream does not say which pod of that name it was."""
    namespace, name = split_key(key)
    about = {"kind": "Pod", "apiVersion": "v1", "namespace": namespace, "name": name}
    return Event(about, "Normal", "TaintManagerEviction", f"{what} Pod {key}")


def _evict(pod: Object, now: float) -> list[Action]:
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint",
        "lastTransitionTime": timestamp(now),
        "observedGeneration": get(pod, "metadata.generation", 1),
    }
    namespace, name = namespace_of(pod), name_of(pod)
    return [
        _tell(f"{namespace}/{name}", "Marking for deletion"),
        Patch("pods", namespace, name, {"status": with_condition(pod, condition)}, "strategic", "status"),
        Delete("pods", namespace, name, uid_of(pod)),
    ]


def _tolerated_s(pod: Object, taints: list[Object]) -> float | None:
    """For how long it tolerates all of them; None for ever."""
    limits: list[float] = []
    tolerations = get(pod, "spec.tolerations", [])
    for taint in taints:
        matching = [t for t in tolerations if tolerates_one(t, taint)]
        if not matching:
            return 0.0
        limits += [
            max(0.0, t["tolerationSeconds"]) for t in matching if t.get("tolerationSeconds") is not None
        ]
    return min(limits, default=None)


def _first_added(taints: list[Object], now: float) -> float:
    times = [parse_timestamp(t["timeAdded"]) for t in taints if t.get("timeAdded")]
    return min([*times, now])


def _no_execute(node: Object | None) -> list[Object]:
    return [t for t in get(node, "spec.taints", []) if t.get("effect") == "NoExecute"]


def _key(pod: Object) -> str:
    """With the uid, since a namesake that comes later has a time of its own."""
    return f"{namespace_of(pod)}/{name_of(pod)}#{uid_of(pod)}"


def _pod(old: Object | None, new: Object | None, view: View) -> list[str]:
    if old is not None and new is not None and _facts(old) == _facts(new):
        return []
    pod = new or old
    return [_key(pod)] if pod is not None and pod["spec"].get("nodeName") else []


def _facts(pod: Object) -> tuple[object, ...]:
    return pod["spec"].get("nodeName"), pod["spec"].get("tolerations"), is_deleting(pod), uid_of(pod)


def _node(old: Object | None, new: Object | None, view: View) -> list[str]:
    if _no_execute(old) == _no_execute(new):
        return []
    return [_key(pod) for pod in view.of("pods").by_index("node", name_of(new or old or {}))]
