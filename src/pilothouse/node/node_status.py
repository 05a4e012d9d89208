"""The Node object: what a kubelet says of its node when it registers, and what it keeps saying. Mostly pure."""

from __future__ import annotations

import platform
from collections.abc import Container, Iterable
from typing import NamedTuple

from ..api.object import Object
from ..api.quantity import canonical
from ..api.validation.resources import is_extended
from ..base.clock import timestamp
from ..runtime.interface import Image
from .config import NodeConfig

KUBELET_PORT = 10250
IMAGES_MAX = 50  # kubelet's nodeStatusMaxImages
IMAGE_NAMES_MAX = 5
RESERVED_MEMORY_BYTES = 100 * 1024**2  # the hard eviction threshold memory.available<100Mi
RESERVED_DISK = 0.1  # nodefs.available<10%
FEATURES = (
    "ExtendWebSocketsToKubelet",
    "InPlacePodLevelResourcesVerticalScaling",
    "InPlacePodVerticalScalingInitContainers",
    "RestartAllContainersOnContainerExits",
)
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


class Words(NamedTuple):
    """What is said of a condition."""

    event: str
    reason: str
    message: str


PRESSURES = {  # condition → while there is enough, while there is not
    "MemoryPressure": (
        Words(
            "NodeHasSufficientMemory", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"
        ),
        Words(
            "NodeHasInsufficientMemory",
            "KubeletHasInsufficientMemory",
            "kubelet has insufficient memory available",
        ),
    ),
    "DiskPressure": (
        Words("NodeHasNoDiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        Words("NodeHasDiskPressure", "KubeletHasDiskPressure", "kubelet has disk pressure"),
    ),
    "PIDPressure": (
        Words("NodeHasSufficientPID", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        Words(
            "NodeHasInsufficientPID", "KubeletHasInsufficientPID", "kubelet has insufficient PID available"
        ),
    ),
}


def architecture() -> str:
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def new_node(config: NodeConfig) -> Object:
    arch = architecture()
    labels = {
        "beta.kubernetes.io/arch": arch,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": arch,
        "kubernetes.io/hostname": config.name,
        "kubernetes.io/os": "linux",
        **config.labels,
    }
    annotations = {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": config.name, "labels": labels, "annotations": annotations},
        "spec": {},
    }


def capacity(config: NodeConfig) -> dict[str, str]:
    found = {
        "cpu": _cpu(config.cpu_milli),
        "ephemeral-storage": f"{config.ephemeral_storage_bytes // 1024}Ki",
        "memory": f"{config.memory_bytes // 1024}Ki",
        "pods": str(config.pods_max),
    }
    if config.hugepages:
        found |= {"hugepages-1Gi": "0", "hugepages-2Mi": "0"}
    return dict(sorted(found.items()))


def allocatable(config: NodeConfig) -> dict[str, str]:
    return {
        **capacity(config),
        "memory": f"{(config.memory_bytes - RESERVED_MEMORY_BYTES) // 1024}Ki",
        "ephemeral-storage": str(int(config.ephemeral_storage_bytes * (1 - RESERVED_DISK))),
    }


def _extended(old: Object) -> dict[str, str | None]:
    """The extended resources that others put into the node's capacity are allocatable, and those that they took out are not."""
    capacity, allocatable = old.get("capacity") or {}, old.get("allocatable") or {}
    return {name: capacity.get(name) for name in {**allocatable, **capacity} if is_extended(name)}


def _cpu(milli: int) -> str:
    return str(milli // 1000) if milli % 1000 == 0 else f"{milli}m"


def conditions(
    old: Iterable[Object], not_ready: str, now: float, pressures: Container[str] = ()
) -> list[Object]:
    """`not_ready`: why not, or ""; `pressures`: the conditions that hold."""
    wanted = []
    for type_, words in PRESSURES.items():
        _, reason, message = words[type_ in pressures]
        wanted.append((type_, "True" if type_ in pressures else "False", reason, message))
    wanted.append(
        ("Ready", "False", "KubeletNotReady", not_ready)
        if not_ready
        else ("Ready", "True", "KubeletReady", "kubelet is posting ready status")
    )
    before = {condition["type"]: condition for condition in old}
    found = []
    for type_, status, reason, message in wanted:
        known = before.get(type_)
        since = known["lastTransitionTime"] if known and known["status"] == status else timestamp(now)
        found.append(
            {
                "type": type_,
                "status": status,
                "lastHeartbeatTime": timestamp(now),
                "lastTransitionTime": since,
                "reason": reason,
                "message": message,
            }
        )
    return found


def images(found: Iterable[Image]) -> list[Object]:
    """The biggest ones, digests before tags."""
    shown: list[Object] = [
        {"names": [*image.digests, *image.tags][:IMAGE_NAMES_MAX], "sizeBytes": image.size_bytes}
        for image in found
        if image.digests or image.tags
    ]
    return sorted(shown, key=lambda image: (-image["sizeBytes"], image["names"]))[:IMAGES_MAX]


def node_status(
    config: NodeConfig,
    old: Object,
    found: Iterable[Image],
    not_ready: str,
    now: float,
    version: str,
    pressures: Container[str] = (),
) -> Object:
    """What is to be patched into `old`."""
    return {
        "addresses": [
            {"type": "InternalIP", "address": config.address},
            {"type": "Hostname", "address": config.name},
        ],
        "allocatable": {**allocatable(config), **_extended(old)},
        "capacity": capacity(config),
        "conditions": conditions(old.get("conditions") or (), not_ready, now, pressures),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": KUBELET_PORT}},
        "declaredFeatures": list(FEATURES),
        "images": images(found),
        "nodeInfo": {
            "architecture": architecture(),
            "bootID": config.boot_id,
            "containerRuntimeVersion": config.engine_version,
            "kernelVersion": config.kernel_version,
            "kubeProxyVersion": "",
            "kubeletVersion": version,
            "machineID": config.machine_id,
            "operatingSystem": "linux",
            "osImage": config.os_image,
            "systemUUID": config.machine_id,
        },
    }


def changed(old: Object, new: Object) -> bool:
    """Beside heartbeats, and conditions of others."""
    ours = {condition["type"] for condition in new["conditions"]}

    def still(status: Object) -> Object:
        return {
            **{key: value or None for key, value in status.items()},  # an empty list is stored as none,
            **{key: _canonical(status.get(key), new[key]) for key in ("allocatable", "capacity")},
            "conditions": {
                condition["type"]: {key: condition[key] for key in condition if key != "lastHeartbeatTime"}
                for condition in status.get("conditions") or ()
                if condition["type"] in ours
            },
        }

    return still({key: old.get(key) for key in new}) != still(new)


def _canonical(amounts: Object | None, names: Iterable[str]) -> Object:
    """1024Ki as 1Mi; None what is not there."""
    found = amounts or {}
    return {name: canonical(str(found[name])) if found.get(name) else None for name in names}
