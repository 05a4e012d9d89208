"""`SimulatedCluster`: a whole cluster on virtual time, from API server to kubelets, in one process and from one seed.

    async def story(cluster: SimulatedCluster) -> None:
        await cluster.client.create("cronjobs.batch", cron_job)
        await cluster.clock.sleep(86400)

    history = simulate(story, seed=7, nodes=3)

It is the real code throughout; what is simulated is time (`VirtualEventLoop`: it jumps when nobody has anything left to
do), the engine (`SimulatedEngine`: containers are scripts) and chance (`Random(seed)`). Therefore the same seed and the
same story give the same history, byte for byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from ..apiserver.config import ADMIN, ApiConfig
from ..apiserver.request import User
from ..apiserver.server import ApiServer
from ..base.clock import VirtualClock, VirtualEventLoop, run_virtual
from ..base.random import Random
from ..client.informer import Informers
from ..client.local import LocalClient
from ..controllers.runtime import ControllerManager, Environment
from ..node.config import NodeConfig
from ..node.kubelet import Kubelet
from ..runtime.simulated import Scripts, SimulatedEngine
from ..scheduler.scheduler import Scheduler
from .history import History, RecordingStore

MASTERS = ("system:masters", "system:authenticated")
RESTART_S = 1.0  # after which a component that ended is started again


class SimulatedCluster:
    """`async with` it on a `VirtualEventLoop` (see `simulate`); inside, all nodes are Ready."""

    def __init__(
        self, seed: int | str = 0, nodes: int = 1, *, scripts: Scripts | None = None, cpu_milli: int = 4000
    ):
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualEventLoop):
            raise RuntimeError(
                "a simulated cluster needs virtual time: run it by `simulate` or `run_virtual`"
            )
        self.clock: VirtualClock = loop.clock
        self.random = Random(seed)
        self._scripts, self._cpu_milli = scripts, cpu_milli
        self._store = RecordingStore(self.clock)
        config = ApiConfig(cluster_ca_pem="the CA of a simulated cluster")
        self.server = ApiServer(self._store, self.clock, self.random.fork("apiserver"), config)
        self.client = LocalClient(self.server, ADMIN)
        self._informers = Informers(self._client("system:admin"), self.clock, self.random.fork("informers"))
        self.engines: dict[str, SimulatedEngine] = {}
        self._names = [f"node-{number + 1}" for number in range(nodes)]
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def history(self) -> History:
        """All that has been written so far."""
        return self._store.history

    async def __aenter__(self) -> SimulatedCluster:
        await self.server.start()
        await self._informers.start()
        self._start("controllers", self._controllers)
        self._start("scheduler", self._scheduler)
        for name in self._names:
            self.start_node(name)
        for name in self._names:
            while not await self._is_ready(name):
                await self.clock.sleep(0.1)
        return self

    async def __aexit__(self, *exc: object) -> None:
        for name in list(self._tasks):
            await self.stop(name)
        await self._informers.stop()
        for engine in self.engines.values():
            await engine.close()
        await self.server.stop()
        await self._store.close()

    # -- components: each can be ended and started again, as if its process had died

    def start_node(self, name: str) -> None:
        self._start(name, lambda: self._kubelet(name))

    async def stop(self, name: str) -> None:
        """Ends `controllers`, `scheduler` or a node's kubelet at whatever it is waiting for; what it had in memory is lost."""
        task = self._tasks.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def restart(self, name: str) -> None:
        """Starts again what `stop` has ended."""
        starts = {"controllers": self._controllers, "scheduler": self._scheduler}
        self._start(name, starts.get(name) or (lambda: self._kubelet(name)))

    def _start(self, name: str, component: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            while True:
                await component()
                await self.clock.sleep(RESTART_S)

        self._tasks[name] = asyncio.get_running_loop().create_task(run(), name=name)

    def _client(self, user: str, *groups: str) -> LocalClient:
        return LocalClient(self.server, User(user, groups or MASTERS))

    async def _controllers(self) -> None:
        random = self.random.fork("controllers")
        manager = ControllerManager(
            self._client("system:kube-controller-manager"),
            self.clock,
            random,
            environment=Environment(
                random.fork("environment"),
                root_ca=self.server.config.cluster_ca_pem,
                load_balancer_pool=("198.18.0.1", "198.18.0.254"),
            ),
            informers=self._informers,
            client_for=lambda name: self._client(f"system:serviceaccount:kube-system:{name}-controller"),
        )
        await manager.run()

    async def _scheduler(self) -> None:
        client = self._client("system:kube-scheduler")
        await Scheduler(client, self._informers, self.clock, self.random.fork("scheduler")).run()

    async def _kubelet(self, name: str) -> None:
        number = self._names.index(name) + 1
        random = self.random.fork(name)
        pod_cidr = f"10.244.{number}.0/24"
        if name not in self.engines:
            self.engines[name] = SimulatedEngine(self.clock, random.fork("engine"), self._scripts, pod_cidr)
        config = NodeConfig(
            name=name,
            address=f"192.168.0.{number}",
            root=Path("/nonexistent"),
            pod_cidr=pod_cidr,
            cpu_milli=self._cpu_milli,
            engine_version="simulated://1.0.0",
            files=False,
        )
        client = self._client(f"system:node:{name}", "system:nodes", "system:authenticated")
        kubelet = Kubelet(config, self.engines[name], client, self._informers, self.clock, random)
        self.server.nodes.register(name, kubelet.connector)
        await kubelet.run()

    async def _is_ready(self, name: str) -> bool:
        nodes = (await self.client.list("nodes", field_selector=f"metadata.name={name}")).items
        conditions = nodes[0].get("status", {}).get("conditions") or () if nodes else ()
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def simulate(
    story: Callable[[SimulatedCluster], Awaitable[None]],
    *,
    seed: int | str = 0,
    nodes: int = 1,
    scripts: Scripts | None = None,
) -> History:
    """Runs a story on a cluster of its own, and gives the history of what was written."""

    async def main() -> History:
        async with SimulatedCluster(seed, nodes, scripts=scripts) as cluster:
            await story(cluster)
        return cluster.history()

    return run_virtual(main(), VirtualClock())
