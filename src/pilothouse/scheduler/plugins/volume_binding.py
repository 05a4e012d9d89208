"""VolumeBinding: a pod goes where its volumes are, or can be made.

Claims that bind at once must be bound before the pod is placed. With WaitForFirstConsumer the choice of the node comes first:
a free volume that reaches the node is bound to the claim by the scheduler itself; where there is none, the claim is told the
node (`volume.kubernetes.io/selected-node`), and its provisioner makes one. Both happen before the pod is bound (`Placement`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...api.node_selector import selector_matches
from ...api.object import (
    Object,
    annotations_of,
    controller_of,
    get,
    is_deleting,
    name_of,
    namespace_of,
    uid_of,
)
from ...api.selectors import from_object
from ..framework import Cycle, Plugin, Rejection
from ..snapshot import NodeInfo, amount

UNBOUND = "pod has unbound immediate PersistentVolumeClaims"
NODE_CONFLICT = "node(s) didn't match PersistentVolume's node affinity"
NOTHING_TO_BIND = "node(s) didn't find available persistent volumes to bind"
NO_SPACE = "node(s) did not have enough free storage"
NO_VOLUME = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
NO_PROVISIONER = "kubernetes.io/no-provisioner"


def claim_names(pod: Object) -> list[tuple[str, bool]]:
    """(name, whether it is made for this pod alone)."""
    names = []
    for volume in pod["spec"].get("volumes") or ():
        if claim := volume.get("persistentVolumeClaim"):
            names.append((claim["claimName"], False))
        elif "ephemeral" in volume:
            names.append((f"{name_of(pod)}-{volume['name']}", True))
    return names


def volume_fits(volume: Object, node: NodeInfo) -> bool:
    required = get(volume, "spec.nodeAffinity.required")
    return required is None or selector_matches(required, node.name, node.labels)


@dataclass(slots=True)
class Placement:
    """What is to be written before a pod may go to a node."""

    bindings: list[tuple[Object, Object]] = field(default_factory=list)  # (claim, volume)
    provisions: list[Object] = field(default_factory=list)  # claims


@dataclass(slots=True)
class _State:
    bound: list[Object | None] = field(default_factory=list)  # volumes; None: gone
    waiting: list[tuple[Object, Object]] = field(default_factory=list)  # (claim, its class)
    placements: dict[str, Placement] = field(default_factory=dict)  # by node


class VolumeBinding(Plugin):
    name = "VolumeBinding"

    def pre_filter(self, cycle: Cycle) -> Rejection | None:
        names = claim_names(cycle.pod)
        if not names or cycle.view is None:
            cycle.skip(self)
            return None
        state, immediate = _State(), False
        for name, own in names:
            claim = cycle.view.claim(namespace_of(cycle.pod), name)
            if why := _unusable(cycle.pod, name, own, claim):
                return self._reject(why)
            volume_name = claim["spec"].get("volumeName")
            if volume_name and BIND_COMPLETED in annotations_of(claim):
                state.bound.append(cycle.view.volume(volume_name))
                continue
            storage_class = cycle.view.storage_class(claim["spec"].get("storageClassName") or "")
            mode = (storage_class or {}).get("volumeBindingMode")
            if volume_name or storage_class is None or mode != "WaitForFirstConsumer":
                immediate = True
            else:
                state.waiting.append((claim, storage_class))
        if immediate:
            return self._reject(UNBOUND)
        state.waiting.sort(key=lambda pair: _size(pair[0]))
        cycle.state[self.name] = state
        return None

    def _reject(self, reason: str) -> Rejection:
        return Rejection(self.name, (reason,), resolvable=False)

    def filter(self, cycle: Cycle, node: NodeInfo) -> Rejection | None:
        state: _State = cycle.state[self.name]
        placement = Placement()
        reasons = [_misses(state.bound, node), _place(cycle, state, node, placement)]
        reasons.sort(key=_ORDER.index)
        if found := tuple(reason for reason in reasons if reason):
            return Rejection(self.name, found, resolvable=False)
        state.placements[node.name] = placement
        return None

    def placement(self, cycle: Cycle, node: str) -> Placement:
        state: _State | None = cycle.state.get(self.name)
        return state.placements.get(node, Placement()) if state else Placement()


_ORDER = (NODE_CONFLICT, NOTHING_TO_BIND, NO_SPACE, NO_VOLUME, "")


def _misses(bound: list[Object | None], node: NodeInfo) -> str:
    for volume in bound:
        if volume is None:
            return NO_VOLUME
        if not volume_fits(volume, node):
            return NODE_CONFLICT
    return ""


def _place(cycle: Cycle, state: _State, node: NodeInfo, placement: Placement) -> str:
    """Volumes for the claims that wait for a node: found, or to be made; or why not."""
    selected = [annotations_of(claim).get(SELECTED_NODE) for claim, _ in state.waiting]
    if any(name and name != node.name for name in selected):
        return NOTHING_TO_BIND
    taken = set()
    for (claim, storage_class), name in zip(state.waiting, selected, strict=True):
        volume = None
        if not name:
            free = [v for v in cycle.view.volumes_for(claim) if name_of(v) not in taken]
            if free and free[0]["spec"].get("claimRef"):
                del free[1:]  # what is kept for the claim: this or none
            volume = next((v for v in free if volume_fits(v, node)), None)
        if volume is not None:
            taken.add(name_of(volume))
            placement.bindings.append((claim, volume))
        elif reason := _cannot_provision(cycle, claim, storage_class, node):
            return reason
        else:
            placement.provisions.append(claim)
    return ""


def _unusable(pod: Object, name: str, own: bool, claim: Object | None) -> str:
    if claim is None:
        if own:
            return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
        return f'persistentvolumeclaim "{name}" not found'
    if own and (controller_of(claim) or {}).get("uid") != uid_of(pod):
        namespace = namespace_of(pod)
        return f"PVC {namespace}/{name} was not created for pod {namespace}/{name_of(pod)} (pod is not owner)"
    if get(claim, "status.phase") == "Lost":
        volume = claim["spec"].get("volumeName", "")
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"'
    return f'persistentvolumeclaim "{name}" is being deleted' if is_deleting(claim) else ""


def _size(claim: Object) -> int:
    return amount("storage", get(claim, "spec.resources.requests.storage", "0"))


def _cannot_provision(cycle: Cycle, claim: Object, storage_class: Object, node: NodeInfo) -> str:
    provisioner = storage_class.get("provisioner", NO_PROVISIONER)
    if provisioner == NO_PROVISIONER:
        return NOTHING_TO_BIND
    topologies = storage_class.get("allowedTopologies")
    if topologies and not any(
        all(node.labels.get(e["key"]) in e["values"] for e in topology.get("matchLabelExpressions") or ())
        for topology in topologies
    ):
        return NOTHING_TO_BIND
    driver = cycle.view.csi_driver(provisioner)
    if driver is None or not driver["spec"].get("storageCapacity"):
        return ""
    wanted = _size(claim)
    for capacity in cycle.view.capacities(name_of(storage_class)):
        most = capacity.get("maximumVolumeSize") or capacity.get("capacity") or "0"
        if amount("storage", most) >= wanted and from_object(capacity.get("nodeTopology"))(node.labels):
            return ""
    return NO_SPACE
