"""VolumeRestrictions: a disk or a claim that only one may use at a time."""

from __future__ import annotations

from typing import Any

from ...api.object import Object, namespace_of
from ..framework import Cycle, Plugin, Rejection
from ..snapshot import NodeInfo
from .volume_binding import claim_names

IN_USE = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod"
DISK_CONFLICT = "node(s) had no available disk"

# disks: volume source -> (what identifies one, whether several may read it together)
_DISKS: dict[str, tuple[tuple[str, ...], bool]] = {
    "gcePersistentDisk": (("pdName",), True),
    "awsElasticBlockStore": (("volumeID",), False),
    "iscsi": (("iqn",), True),
    "rbd": (("pool", "image"), True),
}


def _disks(pod: Object) -> list[tuple[str, Any]]:
    return [(source, v[source]) for v in pod["spec"].get("volumes") or () for source in _DISKS if source in v]


def _clash(source: str, mine: Any, theirs: Any) -> bool:
    fields, shared_reading = _DISKS[source]
    if any(mine.get(f) != theirs.get(f) for f in fields):
        return False
    if source == "rbd" and not set(mine.get("monitors") or ()) & set(theirs.get("monitors") or ()):
        return False
    return not (shared_reading and mine.get("readOnly") and theirs.get("readOnly"))


class VolumeRestrictions(Plugin):
    name = "VolumeRestrictions"

    def pre_filter(self, cycle: Cycle) -> Rejection | None:
        namespace = namespace_of(cycle.pod)
        exclusive = set()
        for name, _ in claim_names(cycle.pod) if cycle.view is not None else ():
            claim = cycle.view.claim(namespace, name)
            if claim and "ReadWriteOncePod" in (claim["spec"].get("accessModes") or ()):
                exclusive.add(name)
        in_use = bool(exclusive) and any(
            namespace_of(info.pod) == namespace
            and any(name in exclusive for name, _ in claim_names(info.pod))
            for node in cycle.snapshot.nodes.values()
            for info in node.pods.values()
        )
        disks = _disks(cycle.pod)
        if not in_use and not disks:
            cycle.skip(self)
        cycle.state[self.name] = in_use, disks
        return None

    def filter(self, cycle: Cycle, node: NodeInfo) -> Rejection | None:
        in_use, disks = cycle.state[self.name]
        if in_use:
            return Rejection(self.name, (IN_USE,))
        for source, mine in disks:
            for info in node.pods.values():
                if any(
                    source == other and _clash(source, mine, theirs) for other, theirs in _disks(info.pod)
                ):
                    return Rejection(self.name, (DISK_CONFLICT,))
        return None
