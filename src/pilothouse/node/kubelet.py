"""The kubelet of one node: brings together the API's pods, the engine, and a worker for each pod.

It follows the pods that are bound to its node. Each gets a worker (`worker.py`); what the engine says wakes the worker concerned, and a
slow listing of everything (`housekeeping.py`) is the net below. Cancelled, it leaves all containers running; the next run finds them in the engine and
goes on with them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from ..api.errors import ApiError
from ..api.object import Object, name_of, namespace_of, uid_of
from ..base.clock import Clock
from ..base.random import Random
from ..client.informer import Informers
from ..client.interface import Client
from ..client.recorder import EventRecorder
from ..runtime.interface import Engine, EngineError
from .admission import admit
from .config import NodeConfig
from .connector import KubeletConnector
from .context import NodeContext
from .heartbeat import Heartbeat
from .housekeeping import Housekeeping
from .images import ImagePuller
from .names import resolv_conf
from .node_status import allocatable, new_node
from .observed import Waiting
from .pressure import refused
from .sources import ApiSources
from .statuses import StatusWriter
from .volumes import VolumeManager
from .worker import PodWorker

log = logging.getLogger(__name__)

EVENTS_RETRY_S = 1.0
DEFECT_RETRY_S = 10.0


class Kubelet:
    def __init__(
        self,
        config: NodeConfig,
        engine: Engine,
        client: Client,
        informers: Informers,
        clock: Clock,
        random: Random,
    ):
        self.config = config
        sources, services = ApiSources(client, clock), informers.of("services")
        self.node = NodeContext(
            config=config,
            engine=engine,
            client=client,
            clock=clock,
            random=random.fork("pods"),
            recorder=EventRecorder(client, "kubelet", clock, random.fork("events"), host=config.name),
            statuses=StatusWriter(client, clock),
            sources=sources,
            volumes=VolumeManager(config, sources, clock, random.fork("volumes")),
            images=ImagePuller(engine, clock, sources),
            services=services,
            dial=asyncio.open_connection,
            engine_name=config.engine_version.partition("://")[0] or "containerd",
            allocatable=allocatable(config),
        )
        self._services = services
        self._pods = informers.of("pods", f"spec.nodeName={config.name}")
        self._heartbeat = Heartbeat(self.node)
        self.workers: dict[str, PodWorker] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self.node.others, self.node.admit = self._others, self._admit
        self.connector = KubeletConnector(self.node, self.workers, self.node.statuses.get)

    async def ready(self) -> None:
        """Returns when the node has been reported Ready."""
        await self._heartbeat.ready.wait()

    async def run(self) -> None:
        """Until cancelled."""
        if self.config.files:
            for directory in (self.config.pods_dir, self.config.logs_dir):
                directory.mkdir(parents=True, exist_ok=True)
            self.node.dns = resolv_conf(await asyncio.to_thread(_read, self.config.resolv_conf))
        handlers = contextlib.ExitStack()
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._tasks.create_task(self.node.recorder.run())
                self._tasks.create_task(self.node.statuses.run())
                await self._heartbeat.register()
                self._tasks.create_task(self._heartbeat.run_lease())
                self._tasks.create_task(self._heartbeat.run_status())
                self._tasks.create_task(self._follow_engine())
                await self._pods.synced()
                await self._services.synced()
                for pod in sorted(self._pods.list(), key=_by_age):
                    self._changed(None, pod)
                handlers.callback(self._pods.add_handler(self._changed))
                housekeeping = Housekeeping(self.node, self.workers)
                self._tasks.create_task(housekeeping.run())
                if self.config.files:
                    self._tasks.create_task(housekeeping.run_evictions())
        finally:
            handlers.close()  # the informers may outlive this run
            self._tasks = None

    # -- pods

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if self._tasks is None:
            return  # a handler of a run that has ended
        pod = new or old
        assert pod is not None
        worker = self.workers.get(uid_of(pod))
        if new is None:
            if worker is not None:
                worker.remove()
        elif worker is not None:
            worker.update(pod)
        else:
            worker = PodWorker(self.node, pod)
            self.workers[uid_of(pod)] = worker
            self._tasks.create_task(self._work(worker), name=f"pod {namespace_of(pod)}/{name_of(pod)}")

    async def _admit(self, pod: Object) -> Waiting | None:
        """Why this node does not take a pod. The node is asked for, since others label and taint it."""
        try:
            node = await self.node.client.get("nodes", "", self.config.name)
        except ApiError:
            node = self._heartbeat.object or new_node(self.config)
        if why := refused(pod, self.node.pressures):
            return why
        simulated = not self.config.files
        return admit(pod, self._others(uid_of(pod)), node, self.node.allocatable, simulated=simulated)

    def _others(self, uid: str) -> list[Object]:
        return [w.allocated_pod for w in self.workers.values() if w.is_active and w.uid != uid]

    async def _work(self, worker: PodWorker) -> None:
        while True:
            try:
                await worker.run()
                break
            except Exception:
                log.exception("worker of pod %s/%s", namespace_of(worker.pod), name_of(worker.pod))
                await self.node.clock.sleep(DEFECT_RETRY_S)
        self.workers.pop(worker.uid, None)

    # -- the engine

    async def _follow_engine(self) -> None:
        """Wakes the worker of whatever changes; after a gap in the events, all of them."""
        while True:
            try:
                async for event in self.node.engine.events():
                    uid = self.node.uid_of_sandbox.get(event.sandbox_id)
                    if uid is not None and (worker := self.workers.get(uid)) is not None:
                        worker.wake()
            except EngineError as error:
                log.warning("events of the engine of %s: %s", self.config.name, error)
            await self.node.clock.sleep(EVENTS_RETRY_S)
            for worker in list(self.workers.values()):
                worker.wake()


def _by_age(pod: Object) -> tuple[str, str, str]:
    return pod["metadata"].get("creationTimestamp") or "", namespace_of(pod), name_of(pod)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""
