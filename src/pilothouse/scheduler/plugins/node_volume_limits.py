"""NodeVolumeLimits: a CSI driver can attach so many volumes to a node (CSINode's `allocatable.count`)."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from ...api.object import Object, get, namespace_of
from ..framework import Cycle, Plugin, Rejection
from ..snapshot import NodeInfo
from .volume_binding import claim_names

REASON = "node(s) exceed max volume count"


def volumes_of(pod: Object, view: Any) -> dict[str, set[str]]:
    """The volumes of each driver that a pod needs attached; one that is yet to be made counts by its claim."""
    found: dict[str, set[str]] = defaultdict(set)
    namespace = namespace_of(pod)
    for name, _ in claim_names(pod):
        claim = view.claim(namespace, name)
        if claim is None:
            continue
        volume = view.volume(claim["spec"].get("volumeName") or "")
        if volume is not None:
            if driver := get(volume, "spec.csi.driver"):
                found[driver].add(get(volume, "spec.csi.volumeHandle", ""))
        elif storage_class := view.storage_class(claim["spec"].get("storageClassName") or ""):
            found[storage_class.get("provisioner", "")].add(f"{namespace}/{name}")
    return found


class NodeVolumeLimits(Plugin):
    name = "NodeVolumeLimits"

    def pre_filter(self, cycle: Cycle) -> Rejection | None:
        wanted = volumes_of(cycle.pod, cycle.view) if cycle.view is not None else {}
        if not wanted:
            cycle.skip(self)
        cycle.state[self.name] = wanted
        return None

    def filter(self, cycle: Cycle, node: NodeInfo) -> Rejection | None:
        csi_node = cycle.view.csi_node(node.name)
        limits = {
            driver["name"]: get(driver, "allocatable.count")
            for driver in (get(csi_node, "spec.drivers", []) if csi_node else ())
        }
        wanted = cycle.state[self.name]
        if not any(limits.get(driver) is not None for driver in wanted):
            return None
        attached: dict[str, set[str]] = defaultdict(set)
        for info in node.pods.values():
            for driver, handles in volumes_of(info.pod, cycle.view).items():
                attached[driver] |= handles
        for driver, handles in wanted.items():
            limit = limits.get(driver)
            if limit is not None and handles - attached[driver] and len(attached[driver] | handles) > limit:
                return Rejection(self.name, (REASON,))
        return None
