"""What a node looks at from time to time, whoever forgot to tell: changes in the engine, leftovers of pods that have gone, logs that grow."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..api.errors import ApiError
from ..base.clock import timestamp
from ..runtime.interface import ContainerStatus, EngineError, PodSandboxStatus
from .context import NodeContext
from .eviction import exceeded, is_limited, measure
from .logs import rotate
from .pressure import IMAGES_S, NodePressure
from .worker import PodWorker

log = logging.getLogger(__name__)

PERIOD_S = 60.0
MEASURE_S = 10.0  # kubelet's eviction monitoring
ORPHAN_GRACE_S = 2


@dataclass(slots=True)
class Housekeeping:
    node: NodeContext
    workers: Mapping[str, PodWorker]

    async def run(self) -> None:
        while True:
            try:
                await self.once()
            except (EngineError, ApiError, OSError) as error:
                log.warning("housekeeping of %s: %s", self.node.config.name, error)
            await self.node.clock.sleep(PERIOD_S)

    async def once(self) -> None:
        sandboxes = await self.node.engine.pod_sandboxes()
        containers = await self.node.engine.containers()
        self.wake_changed(sandboxes, containers)
        for sandbox in sandboxes:
            if sandbox.uid not in self.workers:
                await self._remove(sandbox, [c for c in containers if c.sandbox_id == sandbox.id])
        if self.node.config.files:
            known = set(self.workers)
            for uid in await asyncio.to_thread(self._orphaned, known):
                await self.node.volumes.tear_down(uid)
            await self._rotate([c for c in containers if c.state == "RUNNING"])

    async def run_evictions(self) -> None:
        """Ends pods that have written more than they may, else those that the node can do without when it has too little."""
        pressure, images_at = NodePressure(self.node, self.workers), 0.0
        while True:
            await self.node.clock.sleep(MEASURE_S)
            try:
                if not await self._evict_limited():
                    await pressure.relieve()
                if (now := self.node.clock.monotonic()) >= images_at:
                    images_at = now + IMAGES_S
                    await pressure.collect_images()
            except (EngineError, OSError) as error:
                log.warning("measuring pods of %s: %s", self.node.config.name, error)

    async def _evict_limited(self) -> bool:
        limited = [w for w in self.workers.values() if w.is_active and is_limited(w.pod)]
        if not limited:
            return False
        evicted = False
        layers = {s.id: s.writable_layer_bytes for s in await self.node.engine.container_stats()}
        for worker in limited:
            volumes, logs = await asyncio.to_thread(measure, worker.pod, self.node.config)
            own = {c.name: layers.get(c.id, 0) for c in worker.observed.running()}
            if why := exceeded(worker.pod, volumes, logs, own):
                worker.evict(why)
                evicted = True
        return evicted

    def wake_changed(self, sandboxes: list[PodSandboxStatus], containers: list[ContainerStatus]) -> None:
        """The workers whose picture is not what the engine shows."""
        seen: dict[str, set[tuple[str, object]]] = {}
        uid_of = {sandbox.id: sandbox.uid for sandbox in sandboxes}
        for sandbox in sandboxes:
            seen.setdefault(sandbox.uid, set()).add((sandbox.id, sandbox.ready))
        for container in containers:
            seen.setdefault(uid_of.get(container.sandbox_id, ""), set()).add((container.id, container.state))
        for uid, worker in list(self.workers.items()):
            if seen.get(uid, set()) != worker.observed.picture():
                worker.wake()

    async def _remove(self, sandbox: PodSandboxStatus, containers: list[ContainerStatus]) -> None:
        """A sandbox whose pod was deleted while nobody watched."""
        engine = self.node.engine
        await asyncio.gather(
            *(engine.stop_container(c.id, ORPHAN_GRACE_S) for c in containers if c.state == "RUNNING")
        )
        await engine.stop_pod_sandbox(sandbox.id)
        await engine.remove_pod_sandbox(sandbox.id)

    def _orphaned(self, known: set[str]) -> list[str]:
        """Pods' directories that nobody owns; their logs are removed at once."""
        config = self.node.config
        for logs in config.logs_dir.iterdir() if config.logs_dir.exists() else ():
            if logs.name.rpartition("_")[2] not in known:
                shutil.rmtree(logs, ignore_errors=True)
        return [path.name for path in config.pods_dir.iterdir() if path.name not in known]

    async def _rotate(self, running: list[ContainerStatus]) -> None:
        stamp = timestamp(self.node.clock.now()).replace(":", "").replace("-", "")
        for container in running:
            status = await self.node.engine.container_status(container.id)
            if not status.log_path:
                continue
            moved: bool = await asyncio.to_thread(rotate, Path(status.log_path), stamp)
            if moved:
                await self.node.engine.reopen_container_log(container.id)
