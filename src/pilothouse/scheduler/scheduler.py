"""The scheduler's shell: informers feed the snapshot and the queue; one loop takes pods and decides.

The decision itself is pure (`framework.Framework.schedule`). A pod that got its node is *assumed* at once, so that
the next decision counts it, and bound in the background (`binding.Binder`); if the binding fails it is forgotten and tried again.
"""

from __future__ import annotations

import asyncio
import logging

from ..api.object import Object, get, is_deleting, labels_of, name_of, namespace_of, uid_of
from ..base.clock import Clock
from ..base.random import Random
from ..client.informer import Informers
from ..client.interface import Client
from . import changes
from .binding import Binder, BindingFailed
from .events import SchedulerEvents
from .framework import Cycle, Decision, Framework
from .plugins import default_plugins
from .plugins.volume_binding import Placement, VolumeBinding
from .queue import QueuedPod, SchedulingQueue
from .snapshot import PodInfo, Snapshot
from .view import View

log = logging.getLogger(__name__)

DEFAULT_SCHEDULER = "default-scheduler"
BINDINGS_MAX = 32  # under way at once
_ERROR = "SchedulerError"  # the condition's reason where it is not the pod's fault


class Scheduler:
    """Schedules the pods that name it. `await run()` until cancelled, once."""

    def __init__(
        self,
        client: Client,
        informers: Informers,
        clock: Clock,
        random: Random,
        *,
        name: str = DEFAULT_SCHEDULER,
    ):
        self._random, self.name = random, name
        plugins = default_plugins()
        self.framework = Framework(plugins)
        self._volumes = next(plugin for plugin, _ in plugins if isinstance(plugin, VolumeBinding))
        self.snapshot = Snapshot()
        self.queue = SchedulingQueue(clock)
        self._view = View(informers)
        events = SchedulerEvents(client, name, clock, random)
        self._binder = Binder(client, self._view, events, clock, name)
        self._wake = asyncio.Event()
        self._bindings = asyncio.Semaphore(BINDINGS_MAX)
        self._pods, self._nodes = informers.of("pods"), informers.of("nodes")
        self._pods.add_index("nominated", _nominated)
        self._namespaces = informers.of("namespaces")
        self._binding: set[str] = set()  # uids of pods that are being bound

    async def run(self) -> None:
        """Until cancelled; not again after that."""
        storage = self._view.storage.values()
        leave = [
            self._nodes.add_handler(self._on_node),
            self._namespaces.add_handler(self._on_namespace),
            self._pods.add_handler(self._on_pod),
            *(informer.add_handler(self._on_storage) for informer in storage),
        ]
        try:
            for informer in (self._nodes, self._namespaces, self._pods, *storage):
                await informer.synced()
            async with asyncio.TaskGroup() as tasks:
                while True:
                    while (queued := self.queue.pop()) is not None:
                        await self._try(queued, tasks)
                    await self._wait()
        finally:
            for remove in leave:
                remove()

    async def _wait(self) -> None:
        """Until something changes, or somebody's back-off ends."""
        timeout_s = self.queue.next_wake_s()
        self._wake.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            pass

    # -- what happens in the cluster -------------------------------------------------------------------

    def _moved(self, helps: changes.Helps) -> None:
        if helps is None or helps:
            self.queue.move_all(helps)
            self._wake.set()

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            assert old is not None
            self.snapshot.remove_node(name_of(old))
        elif changes.node_matters(old, new):
            self.snapshot.set_node(new)
        self._moved(changes.of_node(old, new))

    def _on_namespace(self, old: Object | None, new: Object | None) -> None:
        if new is None or old is None or labels_of(old) != labels_of(new):
            self.snapshot.set_namespace(name_of(new or old or {}), None if new is None else labels_of(new))
            self._moved(changes.NAMESPACE)

    def _on_storage(self, old: Object | None, new: Object | None) -> None:
        self._binder.storage_changed()
        self._moved(changes.STORAGE)

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        pod = new or old
        assert pod is not None
        uid = uid_of(pod)
        ended = new is None or get(new, "status.phase") in ("Succeeded", "Failed")
        node = pod["spec"].get("nodeName")
        if node:
            self.queue.remove(uid)
            if ended:
                if self.snapshot.knows(uid):
                    self.snapshot.remove_pod(uid)
                    self._moved(changes.POD_GONE)
            elif changes.pod_matters(old, pod):
                self.snapshot.add_pod(pod, node)
                self._moved(changes.of_pod(old, pod))
            return
        if ended or is_deleting(pod):
            self.queue.remove(uid)
            if get(old, "status.nominatedNodeName"):  # the place that was held for it is free
                self._moved(changes.POD_GONE)
            return
        mine = pod["spec"].get("schedulerName", DEFAULT_SCHEDULER) == self.name
        # nobody here allocates devices: pods that claim some wait for it, as those with gates do
        held = pod["spec"].get("schedulingGates") or pod["spec"].get("resourceClaims")
        if mine and uid not in self._binding and not held:
            self.queue.add(pod)
            self._wake.set()

    # -- one pod ---------------------------------------------------------------------------------------

    async def _try(self, queued: QueuedPod, tasks: asyncio.TaskGroup) -> None:
        pod = self._pods.get(namespace_of(queued.pod), name_of(queued.pod))
        if pod is None or uid_of(pod) != uid_of(queued.pod):
            return
        if pod["spec"].get("nodeName") or is_deleting(pod):
            return
        queued.pod = pod
        moves = self.queue.moves
        cycle = Cycle(pod, PodInfo.of(pod), self._snapshot_for(pod), self._view)
        try:
            decision = self.framework.schedule(cycle, self._random.choice)
        except Exception as error:  # a defect in a plugin holds up this pod, and no other
            log.exception("scheduling of %s/%s", namespace_of(pod), name_of(pod))
            self.queue.failed(queued, set(), moves)
            await self._binder.report(pod, Decision(message=str(error)), _ERROR)
            return
        if not decision.node:
            self.queue.failed(queued, decision.plugins or {"nobody"}, moves)
            await self._binder.report(pod, decision)
            for other in self._nominated_to(decision.nominated or "", below=cycle.info.priority):
                await self._binder.withdraw(other)
            return
        self.snapshot.add_pod(pod, decision.node)
        self._binding.add(uid_of(pod))
        await self._bindings.acquire()
        tasks.create_task(self._bind(queued, decision.node, self._volumes.placement(cycle, decision.node)))

    def _snapshot_for(self, pod: Object) -> Snapshot:
        """Pods of the same or a higher priority that were nominated to a node hold their place on it."""
        priority = pod["spec"].get("priority") or 0
        held: dict[str, list[PodInfo]] = {}
        for other in self._pods.by_index("nominated", "yes"):
            node = other["status"]["nominatedNodeName"]
            if (
                uid_of(other) != uid_of(pod)
                and node in self.snapshot.nodes
                and not self.snapshot.knows(uid_of(other))
                and (other["spec"].get("priority") or 0) >= priority
            ):
                held.setdefault(node, []).append(PodInfo.of(other))
        nodes = (self.snapshot.nodes[name].changed(plus=pods) for name, pods in held.items())
        return self.snapshot.imagined(*nodes) if held else self.snapshot

    def _nominated_to(self, node: str, *, below: int) -> list[Object]:
        return [
            other
            for other in (self._pods.by_index("nominated", "yes") if node else ())
            if other["status"]["nominatedNodeName"] == node and (other["spec"].get("priority") or 0) < below
        ]

    async def _bind(self, queued: QueuedPod, node: str, placement: Placement) -> None:
        pod = queued.pod
        namespace, name, uid = namespace_of(pod), name_of(pod), uid_of(pod)
        try:
            await self._binder.bind(pod, node, placement)
        except BindingFailed as error:
            current = self._pods.get(namespace, name)
            if current is not None and uid_of(current) == uid and current["spec"].get("nodeName"):
                return  # it is bound after all: only the answer was lost
            self.snapshot.remove_pod(uid)
            self._moved(changes.POD_GONE)
            if current is not None and uid_of(current) == uid and not is_deleting(current):
                log.info("%s/%s to %s: %s", namespace, name, node, error)
                self.queue.failed(queued, set(), self.queue.moves)
                self._wake.set()
                await self._binder.report(current, Decision(message=str(error)), _ERROR)
        finally:
            self._binding.discard(uid)
            self._bindings.release()


def _nominated(pod: Object) -> list[str]:
    waits = get(pod, "status.nominatedNodeName") and not pod["spec"].get("nodeName")
    return ["yes"] if waits else []
