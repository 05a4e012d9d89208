"""VolumeBinding and VolumeRestrictions: a pod goes where its volumes are, or can be made.

Claims that bind at once must be bound before the pod is placed. With WaitForFirstConsumer the choice of the
node comes first: it is written on the claim (`volume.kubernetes.io/selected-node`) when the pod is bound.
"""

from __future__ import annotations

from ...api.node_selector import selector_matches
from ...api.object import Object, annotations_of, is_deleting, name_of, namespace_of
from ..framework import Cycle, Rejection
from ..snapshot import NodeInfo

UNBOUND = "pod has unbound immediate PersistentVolumeClaims"
NODE_CONFLICT = "node(s) didn't match PersistentVolume's node affinity"
NOTHING_TO_BIND = "node(s) didn't find available persistent volumes to bind"
IN_USE = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
NO_PROVISIONER = "kubernetes.io/no-provisioner"


def claim_names(pod: Object) -> list[str]:
    names = []
    for volume in pod["spec"].get("volumes") or ():
        if claim := volume.get("persistentVolumeClaim"):
            names.append(claim["claimName"])
        elif "ephemeral" in volume:
            names.append(f"{name_of(pod)}-{volume['name']}")
    return names


class VolumeBinding:
    """State: (volumes that are bound, claims that wait for a node)."""

    name = "VolumeBinding"

    def pre_filter(self, cycle: Cycle) -> Rejection | None:
        names = claim_names(cycle.pod)
        cycle.state[self.name] = ([], [])
        if not names or cycle.view is None:
            return None
        bound, waiting, immediate = [], [], False
        for name in names:
            claim = cycle.view.claim(namespace_of(cycle.pod), name)
            if claim is None:
                return self._reject(f'persistentvolumeclaim "{name}" not found')
            if is_deleting(claim):
                return self._reject(f'persistentvolumeclaim "{name}" is being deleted')
            status = claim.get("status") or {}
            if status.get("phase") == "Lost":
                volume = claim["spec"].get("volumeName", "")
                return self._reject(
                    f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"'
                )
            volume_name = claim["spec"].get("volumeName")
            if volume_name and annotations_of(claim).get("pv.kubernetes.io/bind-completed"):
                volume = cycle.view.volume(volume_name)
                if volume is not None:
                    bound.append(volume)
                    continue
            storage_class = cycle.view.storage_class(claim["spec"].get("storageClassName") or "")
            if (
                volume_name
                or storage_class is None
                or storage_class.get("volumeBindingMode") != "WaitForFirstConsumer"
            ):
                immediate = True
            else:
                waiting.append((claim, storage_class))
        if immediate:
            return self._reject(UNBOUND)
        cycle.state[self.name] = (bound, waiting)
        return None

    def _reject(self, reason: str) -> Rejection:
        return Rejection(self.name, (reason,), resolvable=False)

    def filter(self, cycle: Cycle, node: NodeInfo) -> Rejection | None:
        bound, waiting = cycle.state[self.name]
        if any(not volume_fits(volume, node) for volume in bound):
            return Rejection(self.name, (NODE_CONFLICT,), resolvable=False)
        for claim, storage_class in waiting:
            selected = annotations_of(claim).get(SELECTED_NODE)
            if selected and selected != node.name:
                return Rejection(self.name, (NOTHING_TO_BIND,), resolvable=False)
            if not self._satisfiable(cycle, claim, storage_class, node):
                return Rejection(self.name, (NOTHING_TO_BIND,), resolvable=False)
        return None

    def _satisfiable(self, cycle: Cycle, claim: Object, storage_class: Object, node: NodeInfo) -> bool:
        if any(volume_fits(volume, node) for volume in cycle.view.volumes_for(claim)):
            return True
        if storage_class.get("provisioner", NO_PROVISIONER) == NO_PROVISIONER:
            return False
        topologies = storage_class.get("allowedTopologies")
        return not topologies or any(
            all(
                node.labels.get(expression["key"]) in expression["values"]
                for expression in topology.get("matchLabelExpressions") or ()
            )
            for topology in topologies
        )

    def claims_to_place(self, cycle: Cycle) -> list[Object]:
        """Claims whose `selected-node` must be written before the pod is bound."""
        return [claim for claim, _ in cycle.state[self.name][1]]


def volume_fits(volume: Object, node: NodeInfo) -> bool:
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    return required is None or selector_matches(required, node.name, node.labels)


class VolumeRestrictions:
    name = "VolumeRestrictions"

    def pre_filter(self, cycle: Cycle) -> Rejection | None:
        exclusive = set()
        for name in claim_names(cycle.pod) if cycle.view is not None else ():
            claim = cycle.view.claim(namespace_of(cycle.pod), name)
            if claim and "ReadWriteOncePod" in (claim["spec"].get("accessModes") or ()):
                exclusive.add(name)
        in_use = set()
        if exclusive:
            for info, _ in cycle.snapshot.pods():
                if namespace_of(info.pod) == namespace_of(cycle.pod):
                    in_use |= exclusive & set(claim_names(info.pod))
        cycle.state[self.name] = in_use
        return None

    def filter(self, cycle: Cycle, node: NodeInfo) -> Rejection | None:
        return Rejection(self.name, (IN_USE,)) if cycle.state[self.name] else None
