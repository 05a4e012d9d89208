"""VolumeZone: a volume with a zone or region among its labels is used only there."""

from __future__ import annotations

from ...api.object import labels_of, namespace_of
from ..framework import Cycle, Plugin, Rejection
from ..snapshot import NodeInfo
from .volume_binding import claim_names

REASON = "node(s) had no available volume zone"
_TOPOLOGY = (
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
)


class VolumeZone(Plugin):
    name = "VolumeZone"

    def pre_filter(self, cycle: Cycle) -> Rejection | None:
        """State: (label, the values of it that are right); several are joined by `__`."""
        wanted = []
        for name, _ in claim_names(cycle.pod) if cycle.view is not None else ():
            claim = cycle.view.claim(namespace_of(cycle.pod), name)
            volume = cycle.view.volume((claim or {}).get("spec", {}).get("volumeName") or "")
            labels = labels_of(volume) if volume else {}
            wanted += [(key, set(labels[key].split("__"))) for key in _TOPOLOGY if key in labels]
        if not wanted:
            cycle.skip(self)
        cycle.state[self.name] = wanted
        return None

    def filter(self, cycle: Cycle, node: NodeInfo) -> Rejection | None:
        if not any(key in node.labels for key in _TOPOLOGY):
            return None  # a cluster of one zone says nothing of it
        for key, values in cycle.state[self.name]:
            if node.labels.get(key) not in values:
                return Rejection(self.name, (REASON,), resolvable=False)
        return None
