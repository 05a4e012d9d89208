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
import ipaddress
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from ..apiserver.config import ADMIN, ApiConfig
from ..apiserver.request import CONTROLLER_MANAGER, SCHEDULER, User, control_plane_user, node_user
from ..apiserver.server import ApiServer
from ..base.clock import VirtualClock, VirtualEventLoop, run_virtual
from ..base.random import Random
from ..client.informer import Informers
from ..client.interface import Client
from ..client.local import LocalClient
from ..controllers import local_path
from ..controllers.runtime import ControllerManager, Environment
from ..node.config import NodeConfig
from ..node.kubelet import Kubelet
from ..runtime.simulated import Scripts, SimulatedEngine
from ..scheduler.scheduler import Scheduler
from .faults import Faults, FaultyClient
from .history import History, RecordingStore

# room for 60,000 nodes
FIRST_NODE_ADDRESS, FIRST_POD_ADDRESS = ipaddress.IPv4Address("172.16.0.0"), ipaddress.IPv4Address("10.0.0.0")
RESTART_S = 1.0  # after which a component that ended is started again
_IDENTITIES = {"controllers": CONTROLLER_MANAGER, "scheduler": SCHEDULER}
Component = Callable[[str, Informers, Random], Awaitable[None]]

log = logging.getLogger(__name__)


class SimulatedCluster:
    """`async with` it on a `VirtualEventLoop` (see `simulate`); inside, all nodes are Ready."""

    def __init__(
        self,
        seed: int | str = 0,
        nodes: int = 1,
        *,
        scripts: Scripts | None = None,
        cpu_milli: int = 4000,
        faults: Faults | None = None,
    ):
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualEventLoop):
            raise RuntimeError(
                "a simulated cluster needs virtual time: run it by `simulate` or `run_virtual`"
            )
        self.clock: VirtualClock = loop.clock
        self.random = Random(seed)
        self._scripts, self._cpu_milli = scripts, cpu_milli
        self.faults = faults or Faults()
        self._store = RecordingStore(self.clock)
        config = ApiConfig(cluster_ca_pem="the CA of a simulated cluster")
        self.server = ApiServer(self._store, self.clock, self.random.fork("apiserver"), config)
        self.client = LocalClient(self.server, ADMIN)
        self.engines: dict[str, SimulatedEngine] = {}
        self._names = [f"node-{number + 1}" for number in range(nodes)]
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._starts: dict[
            str, int
        ] = {}  # of each component, so that no two lives of it have the same chance

    def history(self) -> History:
        """All that has been written so far."""
        return self._store.history

    async def __aenter__(self) -> SimulatedCluster:
        await self.server.start()
        await local_path.install(self.client)
        for name in ("controllers", "scheduler", *self._names):
            self.start(name)
        for name in self._names:
            while not await self._is_ready(name):
                await self.clock.sleep(0.1)
        self._crashes = asyncio.get_running_loop().create_task(self._crash(), name="crashes")
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._crashes.cancel()
        await asyncio.gather(self._crashes, return_exceptions=True)
        for name in list(self._tasks):
            await self.stop(name)
        for engine in self.engines.values():
            await engine.close()
        await self.server.stop()
        await self._store.close()

    # -- components: each can be ended and started again, as if its process had died

    def start(self, name: str) -> None:
        """`controllers`, `scheduler` or the kubelet of a node."""
        run = {"controllers": self._controllers, "scheduler": self._scheduler}.get(name)
        self._starts[name] = self._starts.get(name, 0) + 1
        self._tasks[name] = asyncio.get_running_loop().create_task(
            self._run(name, run or self._kubelet), name=name
        )

    async def stop(self, name: str) -> None:
        """Ends it at whatever it is waiting for. What it had in memory is lost; containers go on."""
        task = self._tasks.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _run(self, name: str, component: Component) -> None:
        """Its own informers and stream of chance, as in a process of its own; comes again when it fails."""
        while True:
            random = self.random.fork(f"{name}/{self._starts[name]}")
            user = _IDENTITIES.get(name) or node_user(name)
            informers = Informers(self._client(user, random), self.clock, random.fork("informers"))
            async with informers:
                try:
                    await component(name, informers, random)
                except Exception:
                    log.exception("%s failed", name)
            self._starts[name] += 1
            await self.clock.sleep(RESTART_S)

    async def _crash(self) -> None:
        random = self.random.fork("crashes")
        while mean_s := self.faults.crash_every_s:
            await self.clock.sleep(random.uniform(0, 2 * mean_s))
            if self.faults.crash_every_s and self._tasks:
                name = random.choice(sorted(self._tasks))
                await self.stop(name)
                await self.clock.sleep(RESTART_S)
                self.start(name)

    def _client(self, user: User, random: Random) -> Client:
        client = LocalClient(self.server, user)
        return FaultyClient(client, self.faults, self.clock, random.fork(f"faults/{user.name}"))

    async def _controllers(self, _: str, informers: Informers, random: Random) -> None:
        manager = ControllerManager(
            self._client(CONTROLLER_MANAGER, random),
            self.clock,
            random,
            environment=Environment(
                random.fork("environment"),
                root_ca=self.server.config.cluster_ca_pem,
                load_balancer_pool=("198.18.0.1", "198.18.0.254"),
            ),
            informers=informers,
            client_for=lambda account: self._client(control_plane_user(account), random),
        )
        await manager.run()

    async def _scheduler(self, _: str, informers: Informers, random: Random) -> None:
        client = self._client(SCHEDULER, random)
        await Scheduler(client, informers, self.clock, random).run()

    async def _kubelet(self, name: str, informers: Informers, random: Random) -> None:
        number = self._names.index(name) + 1
        pod_cidr = f"{FIRST_POD_ADDRESS + 256 * number}/24"
        if name not in self.engines:
            self.engines[name] = SimulatedEngine(
                self.clock, self.random.fork(f"{name}/engine"), self._scripts, pod_cidr
            )
        config = NodeConfig(
            name=name,
            address=str(FIRST_NODE_ADDRESS + number),
            root=Path("/nonexistent"),
            pod_cidr=pod_cidr,
            cpu_milli=self._cpu_milli,
            engine_version="simulated://1.0.0",
            files=False,
        )
        client = self._client(node_user(name), random)
        kubelet = Kubelet(config, self.engines[name], client, informers, self.clock, random)
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
    faults: Faults | None = None,
) -> History:
    """Runs a story on a cluster of its own, and gives the history of what was written."""

    async def main() -> History:
        async with SimulatedCluster(seed, nodes, scripts=scripts, faults=faults) as cluster:
            await story(cluster)
        return cluster.history()

    return run_virtual(main(), VirtualClock())
