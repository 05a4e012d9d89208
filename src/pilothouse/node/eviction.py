"""Pods that use more of the node's disk than they said: the limits of emptyDirs and of ephemeral storage, kept by eviction.

Nothing stops a write to a directory, so it is measured from time to time (kubelet's localStorageEviction). What a node does when its own
memory or disk runs out is in `pressure.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..api.object import Object, name_of, namespace_of, uid_of
from ..api.qos import pod_limits
from ..api.quantity import Quantity
from .config import NodeConfig
from .observed import Waiting

EVICTED = "Evicted"
GRACE_S = 1.0  # that an evicted pod is left


def _limit(resources: Object | None) -> str | None:
    return ((resources or {}).get("limits") or {}).get("ephemeral-storage")


def is_limited(pod: Object) -> bool:
    """Whether there is anything to measure."""
    spec = pod["spec"]
    sized = any((v.get("emptyDir") or {}).get("sizeLimit") for v in spec.get("volumes") or ())
    return sized or "ephemeral-storage" in pod_limits(pod)


def used_bytes(path: Path) -> int:
    """What a directory takes on the disk."""
    total = 0
    for directory, _, files in os.walk(path):
        for name in files:
            try:
                total += os.lstat(os.path.join(directory, name)).st_blocks * 512
            except FileNotFoundError:
                continue  # it has just been removed
    return total


def measure(pod: Object, config: NodeConfig) -> tuple[dict[str, int], dict[str, int]]:
    """(bytes of each emptyDir on the disk, bytes of each container's logs)."""
    volumes = {
        volume["name"]: used_bytes(
            config.pod_dir(uid_of(pod)) / "volumes/kubernetes.io~empty-dir" / volume["name"]
        )
        for volume in pod["spec"].get("volumes") or ()
        if "emptyDir" in volume and (volume["emptyDir"] or {}).get("medium") != "Memory"
    }
    logs = config.pod_logs(namespace_of(pod), name_of(pod), uid_of(pod))
    return volumes, {c["name"]: used_bytes(logs / c["name"]) for c in pod["spec"]["containers"]}


def exceeded(
    pod: Object, volumes: Mapping[str, int], logs: Mapping[str, int], layers: Mapping[str, int]
) -> Waiting | None:
    """Pure. `layers`: what each container has written to its own file system."""
    spec = pod["spec"]
    for volume in spec.get("volumes") or ():
        limit = (volume.get("emptyDir") or {}).get("sizeLimit")
        if limit and volumes.get(volume["name"], 0) > Quantity.of(limit).value() > 0:
            return Waiting(
                EVICTED, f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{limit}". '
            )
    limits = {c["name"]: limit for c in spec["containers"] if (limit := _limit(c.get("resources")))}
    total = pod_limits(pod).get("ephemeral-storage")
    if total and sum((*volumes.values(), *logs.values(), *layers.values())) > Quantity.of(total).value():
        return Waiting(
            EVICTED, f"Pod ephemeral local storage usage exceeds the total limit of containers {total}. "
        )
    for name, limit in limits.items():
        if logs.get(name, 0) + layers.get(name, 0) > Quantity.of(limit).value():
            return Waiting(
                EVICTED, f'Container {name} exceeded its local ephemeral storage limit "{limit}". '
            )
    return None
