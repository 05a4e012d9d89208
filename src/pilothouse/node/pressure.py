"""The node's memory or disk running out: unused images go first, then pods (kubelet's eviction and image GC managers).

Nodes share one machine. Its memory is always looked at; its disk only where the cluster's data have a file system to themselves,
since otherwise its fullness is not the cluster's doing (kind and minikube turn the disk's thresholds off altogether).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from ..api.object import Object, name_of
from ..api.qos import pod_requests, qos_class
from ..api.quantity import BINARY_SI, DECIMAL_SI, Quantity
from ..api.tolerations import tolerates
from ..runtime.interface import ContainerStatus, EngineError, Image
from .config import NodeConfig
from .context import NodeContext
from .eviction import EVICTED, measure
from .observed import Waiting
from .resources import PRIORITY_CRITICAL
from .worker import PodWorker

log = logging.getLogger(__name__)

TRANSITION_S = 300.0  # a condition stays for so long after its cause was last seen
IMAGES_S = 300.0  # between two looks at the images
IMAGES_HIGH, IMAGES_LOW = 85, 80  # percent of the disk: from where on images are removed, and down to what
IMAGE_AGE_MIN_S = 120.0
KEPT_IMAGE = "pilothouse-pause"  # every sandbox needs it

MEMORY, DISK, INODES = "memory", "ephemeral-storage", "inodes"


@dataclass(frozen=True, slots=True)
class Signal:
    resource: str  # that is short
    condition: str
    least: Fraction  # of the capacity, or bytes


SIGNALS = {  # kubelet's hard thresholds, in the order in which they are dealt with
    "memory.available": Signal(MEMORY, "MemoryPressure", Fraction(100 * 1024**2)),
    "imagefs.available": Signal(DISK, "DiskPressure", Fraction(15, 100)),
    "nodefs.available": Signal(DISK, "DiskPressure", Fraction(10, 100)),
    "imagefs.inodesFree": Signal(INODES, "DiskPressure", Fraction(5, 100)),
    "nodefs.inodesFree": Signal(INODES, "DiskPressure", Fraction(5, 100)),
}
Observed = dict[str, tuple[int, int]]  # by signal: (available, capacity)


def observe(config: NodeConfig) -> Observed:
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    memory = {line[0]: int(line[1]) * 1024 for line in lines}
    found = {"memory.available": (memory["MemAvailable:"], memory["MemTotal:"])}
    if _has_own_disk(config):
        disk = os.statvfs(config.root)
        for part in ("imagefs", "nodefs"):
            found[f"{part}.available"] = (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)
            found[f"{part}.inodesFree"] = (disk.f_favail, disk.f_files)
    return found


def _has_own_disk(config: NodeConfig) -> bool:
    """A file system is mounted on the cluster's data directory, or within it above the node's own."""
    data = config.volumes_root.parent
    return any(
        os.path.ismount(p)
        for p in (config.root, *config.root.parents)
        if p.is_relative_to(data) and p.parent != p
    )


def least(signal: str, capacity: int) -> int:
    share = SIGNALS[signal].least
    return int(capacity * share) if share < 1 else int(share)


def met(observed: Observed) -> list[str]:
    """The signals that have fallen below their thresholds, the most pressing first."""
    return [s for s in SIGNALS if s in observed and observed[s][0] < least(s, observed[s][1])]


def refused(pod: Object, conditions: Iterable[str]) -> Waiting | None:
    """Why a node under pressure does not take a pod."""
    conditions = sorted(conditions)
    if not conditions or _is_critical(pod):
        return None
    if conditions == ["MemoryPressure"]:
        taint = {"key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule"}
        if qos_class(pod) != "BestEffort" or tolerates(pod["spec"].get("tolerations") or (), taint):
            return None
    return Waiting(EVICTED, f"The node had condition: [{' '.join(conditions)}]. ")


def _is_critical(pod: Object) -> bool:
    return (pod["spec"].get("priority") or 0) >= PRIORITY_CRITICAL


def _request(pod: Object, resource: str) -> int:
    return Quantity.of(pod_requests(pod).get(resource) or "0").value()


def ranked(pods: Iterable[Object], resource: str, usage: Callable[[Object], int]) -> list[Object]:
    """Who has to go first: those above what they asked for, then the less important, then those that take most."""

    def rank(pod: Object) -> tuple[bool, int, int]:
        over = usage(pod) - _request(pod, resource)
        return over <= 0, pod["spec"].get("priority") or 0, -over

    return sorted((pod for pod in pods if not _is_critical(pod)), key=rank)


def message(pod: Object, signal: str, observed: Observed, used: Mapping[str, int]) -> str:
    """`used`: by container."""
    resource, (available, capacity) = SIGNALS[signal].resource, observed[signal]
    shown = DECIMAL_SI if resource == INODES else BINARY_SI
    text = f"The node was low on resource: {resource}. "
    text += f"Threshold quantity: {_amount(least(signal, capacity), BINARY_SI)}, available: {_amount(available, shown)}. "
    for container in [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ())]:
        asked = Quantity.of(((container.get("resources") or {}).get("requests") or {}).get(resource) or "0")
        if (taken := used.get(container["name"], 0)) > asked.value():
            text += (
                f"Container {container['name']} was using {_amount(taken, BINARY_SI)}, request is {asked}, "
            )
            text += f"has larger consumption of {resource}. "
    return text


def _amount(number: int, format_: str) -> str:
    return str(Quantity(Fraction(number), format_))


def size(number: float) -> str:
    """As kubelet shows the size of a disk: 1.5 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{int(number)} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


@dataclass(slots=True)
class ImageRecords:
    """When each image was first seen and last used."""

    first_seen: dict[str, float] = field(default_factory=dict)
    last_used: dict[str, float] = field(default_factory=dict)

    def unused(
        self, images: Iterable[Image], containers: Iterable[ContainerStatus], now: float
    ) -> list[Image]:
        """Those that can be removed, the longest unused first."""
        in_use = {name for c in containers for name in (c.image, c.image_ref, c.image_id) if name}
        found = []
        for image in images:
            self.first_seen.setdefault(image.id, now)
            if in_use & {image.id, *image.tags, *image.digests}:
                self.last_used[image.id] = now
            elif not any(KEPT_IMAGE in tag for tag in image.tags):
                found.append(image)
        old = [image for image in found if now - self.first_seen[image.id] >= IMAGE_AGE_MIN_S]
        return sorted(old, key=lambda i: (self.last_used.get(i.id, 0.0), self.first_seen[i.id]))


@dataclass(slots=True)
class NodePressure:
    node: NodeContext
    workers: Mapping[str, PodWorker]
    records: ImageRecords = field(default_factory=ImageRecords)
    _seen: dict[str, float] = field(default_factory=dict)  # condition → when its cause was last there
    _images_failed: bool = False

    async def relieve(self) -> None:
        """Keeps the node's conditions, and ends a pod if nothing less helps."""
        node, now = self.node, self.node.clock.now()
        observed = await asyncio.to_thread(observe, node.config)
        short = met(observed)
        self._seen |= {SIGNALS[signal].condition: now for signal in short}
        node.pressures = {condition for condition, at in self._seen.items() if now - at < TRANSITION_S}
        ending = any(
            (why := w.memory.failed) and why.reason == EVICTED and not w.ended for w in self.workers.values()
        )
        if not short or ending:
            return
        resource = SIGNALS[short[0]].resource
        node.node_event("EvictionThresholdMet", f"Attempting to reclaim {resource}", "Warning")
        if resource != MEMORY:
            await self._free(None)
            observed = await asyncio.to_thread(observe, node.config)
            if not (short := met(observed)):
                return
        used = await self._usage(resource)
        active = {w.uid: w for w in self.workers.values() if w.is_active}
        pods = [w.allocated_pod for w in active.values()]
        for pod in ranked(pods, resource, lambda pod: sum(used[pod["metadata"]["uid"]].values()))[:1]:
            uid = pod["metadata"]["uid"]
            log.warning("evicting pod %s: %s is low", name_of(pod), resource)
            active[uid].evict(Waiting(EVICTED, message(pod, short[0], observed, used[uid]), disrupts=True))

    async def _usage(self, resource: str) -> dict[str, dict[str, int]]:
        """By pod and container; "" stands for volumes."""
        stats = {s.id: s for s in await self.node.engine.container_stats()}
        found: dict[str, dict[str, int]] = {}
        for uid, worker in self.workers.items():
            own = {c.name: stats[c.id] for c in worker.observed.running() if c.id in stats}
            if resource == MEMORY:
                found[uid] = {name: s.memory_working_set_bytes for name, s in own.items()}
                continue
            volumes, logs = await asyncio.to_thread(measure, worker.pod, self.node.config)
            layers = {name: s.writable_layer_bytes for name, s in own.items()}
            found[uid] = {n: layers.get(n, 0) + logs.get(n, 0) for n in {**layers, **logs}} | {
                "": sum(volumes.values())
            }
        return found

    async def collect_images(self) -> None:
        """Removes images that nobody uses when the disk is too full."""
        observed = await asyncio.to_thread(observe, self.node.config)
        await self._unused()  # notes what is in use
        if "imagefs.available" not in observed:
            return
        available, capacity = observed["imagefs.available"]
        percent = 100 - available * 100 // capacity
        failed = ""
        if percent >= IMAGES_HIGH:
            wanted = capacity * (100 - IMAGES_LOW) // 100 - available
            if (freed := await self._free(wanted)) < wanted:
                failed = (
                    f"Insufficient free disk space on the node's image filesystem ({percent}% of {size(capacity)} used). "
                    f"Failed to free sufficient space by deleting unused images (freed {freed} bytes). "
                    "Investigate disk usage, as it could be used by active images, logs, volumes, or other data."
                )
                self.node.node_event("FreeDiskSpaceFailed", failed, "Warning")
        if failed and self._images_failed:
            self.node.node_event("ImageGCFailed", failed, "Warning")
        self._images_failed = bool(failed)

    async def _unused(self) -> list[Image]:
        engine = self.node.engine
        return self.records.unused(await engine.images(), await engine.containers(), self.node.clock.now())

    async def _free(self, wanted: int | None) -> int:
        """Removes unused images until so much is free, or all of them; how many bytes they had."""
        freed = 0
        for image in await self._unused():
            if wanted is not None and freed >= wanted:
                break
            try:
                await self.node.engine.remove_image(image.id)
            except EngineError as error:
                log.warning("removing image %s: %s", image.id, error)
                continue
            log.info("removed image %s", image.id)
            freed += image.size_bytes
        return freed
