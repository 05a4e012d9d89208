"""Nodes that stop reporting, and the taints that tell everyone so.

A node is heard through its Lease and its Ready condition. Silent for longer than the grace period, its conditions become
Unknown, and its pods are marked not ready. From conditions follow taints (KEP-382): NoSchedule for each, NoExecute for a node
that is not ready or not reachable. When no node is ready, or most are not, it is more likely the network than the nodes: then
nothing is tainted NoExecute, so nothing is evicted.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..api.object import Object, condition_of, get, labels_of, name_of, namespace_of, uid_of
from ..base.clock import parse_timestamp, timestamp
from ..client.informer import IndexFunction
from . import pods as podlib
from .endpoints import by_node
from .plan import (
    NOTHING,
    Action,
    Batch,
    Controller,
    Environment,
    Event,
    Patch,
    Plan,
    Source,
    Update,
    View,
    own,
)

_LEASES, _LEASE_NAMESPACE = "leases.coordination.k8s.io", "kube-node-lease"
_STARTUP_GRACE_S = 60.0
_NOT_READY, _UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
_UNSCHEDULABLE = "node.kubernetes.io/unschedulable"

# condition → the taint that its status True brings
_PRESSURES = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
_HEARD = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
_OURS_NO_SCHEDULE = {_NOT_READY, _UNREACHABLE, _UNSCHEDULABLE, *_PRESSURES.values()}
_OURS_NO_EXECUTE = {_NOT_READY, _UNREACHABLE}

# kube-controller-manager's --unhealthy-zone-threshold and --large-cluster-size-threshold
_UNHEALTHY_SHARE, _UNHEALTHY_MIN, _LARGE_ZONE = 0.55, 3, 50
# its --node-eviction-rate and --secondary-node-eviction-rate: one node in so many seconds
_PACE_S, _PACE_DISRUPTED_S = 10.0, 100.0


class NodeLifecycleController(Controller):
    name = "node-lifecycle"
    component = "node-controller"
    extra_resources = (_LEASES,)

    def __init__(self, env: Environment):
        super().__init__(env)
        # node → (what was last heard, when): by our own observation, so that neither a wrong clock on a node nor a
        # control plane that was away makes a node look dead. Bounded by the number of nodes.
        self._heard: dict[str, tuple[str, float]] = {}
        # zone → the node that was emptied last, and when
        self._turns: dict[tuple[str, str], tuple[str, float]] = {}

    @property
    def sources(self) -> Mapping[str, Source]:
        return {"nodes": own}

    @property
    def indexes(self) -> Mapping[str, Mapping[str, IndexFunction]]:
        return {"pods": {"node": by_node}}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        node = view.of("nodes").get("", key)
        if node is None:
            if self._heard.pop(key, None) is None:
                return NOTHING
            gone = {"kind": "Node", "name": key, "uid": key, "apiVersion": "v1"}
            message = f"Node {key} event: Removing Node {key} from Controller"
            return Plan([Event(gone, "Normal", "RemovingNode", message)])
        actions: list[Action] = []
        if key not in self._heard:
            about = _as_seen_by_events(node)
            message = f"Node {key} event: Registered Node {key} in Controller"
            actions.append(Event(about, "Normal", "RegisteredNode", message))
        silent_in_s = self._silent_in_s(node, view, now)
        if silent_in_s <= 0 and (silenced := _silenced(node, now)) is not None:
            ready = condition_of(node, "Ready")
            if ready is not None and ready["status"] == "True":
                message = f"Node {key} status is now: NodeNotReady"
                actions.append(Event(_as_seen_by_events(node), "Normal", "NodeNotReady", message))
                actions += _pods_not_ready(key, view, now)
            return Plan([*actions, Update("nodes", silenced, "status")], self.env.node_monitor_period_s)
        if old_names := _old_names(node):
            actions.append(Patch("nodes", "", key, {"metadata": {"labels": old_names}}, "strategic"))
            return Plan(actions)  # the taints when it has come true
        look_again_s = max(0.1, silent_in_s) if silent_in_s > 0 else self.env.node_monitor_period_s
        pace_s = _pace_s(node, view)
        wait_s = self._turn_in_s(node, pace_s, now) if pace_s and _is_heard_unready(node) else 0.0
        changed = _with_taints(node, pace_s is not None and wait_s <= 0, now)
        if changed is not None:
            actions.append(Update("nodes", changed))
        return Plan(actions, min(look_again_s, wait_s) if wait_s > 0 else look_again_s)

    def _turn_in_s(self, node: Object, pace_s: float, now: float) -> float:
        """Nodes of a zone that fall silent together are emptied one after the other: when it is this one's turn."""
        zone, name = _zone(node), name_of(node)
        last, taken_at = self._turns.get(zone, ("", 0.0))
        if now >= taken_at + pace_s:
            self._turns[zone] = (name, now)
        elif last != name:
            return taken_at + pace_s - now
        return 0.0

    def _silent_in_s(self, node: Object, view: View, now: float) -> float:
        """How long until the node counts as silent; 0 or less when it does."""
        name = name_of(node)
        lease = view.of(_LEASES).get(_LEASE_NAMESPACE, name)
        renewed = get(lease, "spec.renewTime", "")
        ready = condition_of(node, "Ready")
        signature = (
            f"{renewed}|{(ready or {}).get('lastHeartbeatTime')}|{(ready or {}).get('status') != 'Unknown'}"
        )
        before = self._heard.get(name)
        if before is None:
            heard_at = now if ready is not None else podlib.created_at(node)
        elif before[0] != signature:
            # it was heard since we looked last; the lease tells when, as far as its clock can be believed
            said = parse_timestamp(renewed) if renewed else now
            heard_at = min(now, max(before[1], said)) if said <= now else now
        else:
            heard_at = before[1]
        self._heard[name] = (signature, heard_at)
        grace_s = self.env.node_monitor_grace_s if ready is not None else _STARTUP_GRACE_S
        return heard_at + grace_s - now


def _as_seen_by_events(node: Object) -> Object:
    """Events on nodes carry the node's name as its uid, as the kubelet's do."""
    return {"kind": "Node", "name": name_of(node), "uid": uid_of(node), "apiVersion": "v1"}


def _silenced(node: Object, now: float) -> Object | None:
    """The node with Unknown conditions; None when they are so already."""
    time = timestamp(now)
    conditions = list(get(node, "status.conditions", []))
    changed = False
    for type_ in _HEARD:
        position = next((i for i, c in enumerate(conditions) if c["type"] == type_), None)
        if position is None:
            changed = True
            conditions.append(
                {
                    "type": type_,
                    "status": "Unknown",
                    "reason": "NodeStatusNeverUpdated",
                    "message": "Kubelet never posted node status.",
                    "lastHeartbeatTime": node["metadata"].get("creationTimestamp"),
                    "lastTransitionTime": time,
                }
            )
        elif conditions[position]["status"] != "Unknown":
            changed = True
            conditions[position] = {
                **conditions[position],
                "status": "Unknown",
                "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.",
                "lastTransitionTime": time,
            }
    return {**node, "status": {**(node.get("status") or {}), "conditions": conditions}} if changed else None


def _pods_not_ready(node: str, view: View, now: float) -> list[Action]:
    patches: list[Action] = []
    for pod in view.of("pods").by_index("node", node):
        if not podlib.is_ready(pod):
            continue
        condition = {"type": "Ready", "status": "False", "lastTransitionTime": timestamp(now)}
        patches.append(
            Patch(
                "pods",
                namespace_of(pod),
                name_of(pod),
                {"status": {"conditions": [condition]}},
                "strategic",
                "status",
            )
        )
        patches.append(Event(pod, "Warning", "NodeNotReady", "Node is not ready"))
    return [Batch(tuple(patches))] if patches else []


def _old_names(node: Object) -> dict[str, str]:
    """Labels that still have a name from before Kubernetes 1.14 beside their own: those that lack it or differ."""
    labels = labels_of(node)
    return {
        f"beta.{label}": labels[label]
        for label in ("kubernetes.io/os", "kubernetes.io/arch")
        if label in labels and labels.get(f"beta.{label}") != labels[label]
    }


def _with_taints(node: Object, evicts: bool, now: float) -> Object | None:
    """The node with the taints that its conditions ask for; None when it has them."""
    taints = list(get(node, "spec.taints", []))
    ready = condition_of(node, "Ready")
    status = ready["status"] if ready else "Unknown"
    no_schedule = set()
    if ready is not None and status != "True":
        no_schedule.add(_UNREACHABLE if status == "Unknown" else _NOT_READY)
    for type_, taint in _PRESSURES.items():
        condition = condition_of(node, type_)
        if condition is not None and condition["status"] == "True":
            no_schedule.add(taint)
    if get(node, "spec.unschedulable"):
        no_schedule.add(_UNSCHEDULABLE)
    if ready is None:  # never heard of: what admission put on it at its creation stays
        no_schedule |= {t["key"] for t in taints if t["effect"] == "NoSchedule" and t["key"] == _NOT_READY}
    no_execute: set[str] = set()
    if ready is not None and status != "True" and evicts:
        no_execute.add(_UNREACHABLE if status == "Unknown" else _NOT_READY)
    wanted = [(k, "NoSchedule") for k in sorted(no_schedule)] + [(k, "NoExecute") for k in sorted(no_execute)]
    kept = [t for t in taints if not _is_ours(t) or (t["key"], t["effect"]) in wanted]
    have = {(t["key"], t["effect"]) for t in kept}
    added = [
        {"key": key, "effect": effect, "timeAdded": timestamp(now)}
        for key, effect in wanted
        if (key, effect) not in have
    ]
    if not added and len(kept) == len(taints):
        return None
    spec = {k: v for k, v in (node.get("spec") or {}).items() if k != "taints"}
    if kept or added:
        spec["taints"] = kept + added
    return {**node, "spec": spec}


def _is_ours(taint: Object) -> bool:
    ours = _OURS_NO_SCHEDULE if taint["effect"] == "NoSchedule" else _OURS_NO_EXECUTE
    return taint["effect"] in ("NoSchedule", "NoExecute") and taint["key"] in ours


def _pace_s(node: Object, view: View) -> float | None:
    """Seconds between nodes of its zone that are emptied, 0 when this one is already; None: none is, for now.

    None is while most of a small zone is not ready, and while no node at all is.
    """
    nodes = view.of("nodes").list()
    if any(t["effect"] == "NoExecute" and t["key"] in _OURS_NO_EXECUTE for t in get(node, "spec.taints", [])):
        return 0.0 if _any_ready(nodes) else None
    zone = _zone(node)
    peers = [n for n in nodes if _zone(n) == zone and condition_of(n, "Ready")]
    bad = sum(1 for n in peers if not _is_ready(n))
    if bad == len(peers):
        return _PACE_S if _any_ready(nodes) else None
    if bad < _UNHEALTHY_MIN or bad / len(peers) < _UNHEALTHY_SHARE:
        return _PACE_S
    return _PACE_DISRUPTED_S if len(peers) > _LARGE_ZONE else None


def _is_heard_unready(node: Object) -> bool:
    return condition_of(node, "Ready") is not None and not _is_ready(node)


def _zone(node: Object) -> tuple[str, str]:
    labels = labels_of(node)
    return (
        labels.get("topology.kubernetes.io/region", ""),
        labels.get("topology.kubernetes.io/zone", ""),
    )


def _is_ready(node: Object) -> bool:
    condition = condition_of(node, "Ready")
    return condition is not None and condition["status"] == "True"


def _any_ready(nodes: list[Object]) -> bool:
    return any(map(_is_ready, nodes))
