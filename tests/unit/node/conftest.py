"""A node with the simulated engine on the real API server in memory, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pilothouse.api.object import Object
from pilothouse.apiserver.config import ADMIN, ApiConfig
from pilothouse.apiserver.server import ApiServer
from pilothouse.base.clock import VirtualClock, run_virtual
from pilothouse.base.random import Random
from pilothouse.client.informer import Informers
from pilothouse.client.local import LocalClient
from pilothouse.node.config import NodeConfig
from pilothouse.node.kubelet import Kubelet
from pilothouse.runtime.simulated import SimulatedEngine
from pilothouse.store.memory import MemoryStore

ACCOUNT = {"metadata": {"name": "default", "namespace": "default"}}
ANNOTATION = "simulated.pilothouse.io/c"


class NodeLab:
    """One node `node-1`, and what a test asks of it."""

    def __init__(self, clock: VirtualClock, client: LocalClient, server: ApiServer):
        self.clock, self.client, self.server = clock, client, server
        self.engine = SimulatedEngine(clock, Random(1))
        self.kubelet: Kubelet | None = None
        self._task: asyncio.Task[None] | None = None
        self._informers: Informers | None = None

    async def start(self, **config: Any) -> None:
        informers = Informers(self.client, self.clock, Random(2), detect_mutations=True)
        self._informers = informers
        await informers.start()
        settings = NodeConfig(
            "node-1",
            "10.0.0.1",
            Path("/nonexistent"),
            files=False,
            engine_version="simulated://1.0.0",
            **config,
        )
        self.kubelet = Kubelet(settings, self.engine, self.client, informers, self.clock, Random(3))
        self._task = asyncio.get_running_loop().create_task(self.kubelet.run())
        await self.kubelet.ready()

    async def stop(self) -> None:
        """The node's process ends; its containers run on."""
        assert self._task is not None and self._informers is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._informers.stop()

    async def wait(self, seconds: float) -> None:
        await self.clock.sleep(seconds)

    async def create(self, pod: Object) -> Object:
        return await self.client.create("pods", pod)

    async def pod(self, name: str = "web") -> Object:
        return await self.client.get("pods", "default", name)

    async def status(self, name: str = "web") -> Object:
        return (await self.pod(name))["status"]

    async def container(self, name: str = "web", index: int = 0) -> Object:
        return (await self.status(name))["containerStatuses"][index]

    async def pods(self) -> list[str]:
        return [p["metadata"]["name"] for p in (await self.client.list("pods", "default")).items]

    async def events(self, name: str = "web") -> list[tuple[str, str]]:
        found = (await self.client.list("events", "default")).items
        found = sorted(found, key=lambda e: int(e["metadata"]["resourceVersion"]))
        return [(e["reason"], e["message"]) for e in found if e["involvedObject"]["name"] == name]


def pod(name: str = "web", script: str = "", **spec: Any) -> Object:
    """A pod bound to node-1 with one container `c`; `script` is what the simulated container does."""
    container = {"name": "c", "image": "busybox:1", **spec.pop("container", {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "annotations": {ANNOTATION: script} if script else {},
        },
        "spec": {
            "nodeName": "node-1",
            "terminationGracePeriodSeconds": 5,
            "containers": [container],
            **spec,
        },
    }


def on_node(story: Callable[[NodeLab], Awaitable[None]], **config: Any) -> None:
    clock = VirtualClock()

    async def main() -> None:
        server = ApiServer(MemoryStore(), clock, Random(7), ApiConfig(cluster_ca_pem="PEM"))
        await server.start()
        client = LocalClient(server, ADMIN)
        await client.create("serviceaccounts", ACCOUNT)
        lab = NodeLab(clock, client, server)
        try:
            await lab.start(**config)
            await story(lab)
        finally:
            await lab.stop()
            await server.stop()

    run_virtual(main(), clock)
