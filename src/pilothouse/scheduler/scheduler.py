"""The scheduler's shell: informers feed the snapshot and the queue; one loop takes pods and binds them.

The decision itself is pure (`framework.Framework.schedule`). A pod that got its node is *assumed* at once, so that
the next decision counts it, and bound in the background; if the binding fails it is forgotten and tried again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ..api.errors import ApiError
from ..api.object import Object, condition_of, is_deleting, labels_of, name_of, namespace_of, uid_of
from ..api.selectors import from_object
from ..base.clock import Clock, timestamp
from ..base.random import Random
from ..client.interface import Client
from .events import SchedulerEvents
from .framework import Cycle, Decision, Framework
from .plugins import default_plugins
from .plugins.volumes import SELECTED_NODE, VolumeBinding
from .queue import QueuedPod, SchedulingQueue
from .snapshot import PodInfo, Snapshot

if TYPE_CHECKING:
    from ..client.informer import Informers

log = logging.getLogger(__name__)

DEFAULT_SCHEDULER = "default-scheduler"
BINDINGS_MAX = 32  # under way at once

# Which plugins' rejections a change can cure: a pod that nothing of it concerns stays where it is.
NODE_HELPS = None  # a node that comes or changes may help anybody
POD_GONE_HELPS = {
    "NodeResourcesFit",
    "NodePorts",
    "InterPodAffinity",
    "PodTopologySpread",
    "VolumeRestrictions",
}
POD_CAME_HELPS = {"InterPodAffinity", "PodTopologySpread"}
VOLUME_HELPS = {"VolumeBinding", "VolumeRestrictions"}


class View:
    """What plugins may ask for beside nodes and pods."""

    def __init__(self, informers: Informers):
        self._claims = informers.of("persistentvolumeclaims")
        self._volumes = informers.of("persistentvolumes")
        self._classes = informers.of("storageclasses.storage.k8s.io")
        self._budgets = informers.of("poddisruptionbudgets.policy")
        self._services = informers.of("services")
        self._owners = [
            informers.of(resource)
            for resource in ("replicasets.apps", "statefulsets.apps", "replicationcontrollers")
        ]

    def claim(self, namespace: str, name: str) -> Object | None:
        return self._claims.get(namespace, name)

    def volume(self, name: str) -> Object | None:
        return self._volumes.get("", name)

    def storage_class(self, name: str) -> Object | None:
        return self._classes.get("", name)

    def budgets(self) -> list[Object]:
        return self._budgets.list()

    def volumes_for(self, claim: Object) -> list[Object]:
        """Volumes that are free and would do for this claim."""
        from .snapshot import amount

        spec = claim["spec"]
        selector = from_object(spec["selector"]) if spec.get("selector") else None
        wanted = amount("storage", ((spec.get("resources") or {}).get("requests") or {}).get("storage", "0"))
        found = []
        for volume in self._volumes.list():
            of = volume["spec"]
            reference = of.get("claimRef")
            if reference and (reference.get("name"), reference.get("namespace")) != (
                name_of(claim),
                namespace_of(claim),
            ):
                continue
            if (of.get("storageClassName") or "") != (spec.get("storageClassName") or ""):
                continue
            if not set(spec.get("accessModes") or ()) <= set(of.get("accessModes") or ()):
                continue
            if amount("storage", (of.get("capacity") or {}).get("storage", "0")) < wanted:
                continue
            if is_deleting(volume) or (selector and not selector(labels_of(volume))):
                continue
            found.append(volume)
        return found

    def selectors_for(self, pod: Object) -> list[Object]:
        """Label selectors of the Services and the owner of a pod: the kind that it is spread among."""
        labels, namespace = labels_of(pod), namespace_of(pod)
        selectors: list[Object] = []
        for service in self._services.list(namespace):
            selector = (service.get("spec") or {}).get("selector")
            if selector and all(labels.get(key) == value for key, value in selector.items()):
                selectors.append({"matchLabels": selector})
        for reference in pod["metadata"].get("ownerReferences") or ():
            if not reference.get("controller"):
                continue
            for owners in self._owners:
                owner = owners.get(namespace, reference["name"])
                if owner is None or uid_of(owner) != reference["uid"]:
                    continue
                selector = (owner.get("spec") or {}).get("selector") or {}
                plain = owner.get("kind") == "ReplicationController"
                selectors.append({"matchLabels": selector} if plain else selector)
        return selectors


class Scheduler:
    """Schedules the pods that name it. `await run()` until cancelled."""

    def __init__(
        self,
        client: Client,
        informers: Informers,
        clock: Clock,
        random: Random,
        *,
        name: str = DEFAULT_SCHEDULER,
    ):
        self._client, self._clock, self._random, self.name = client, clock, random, name
        self.framework = Framework(default_plugins())
        self.snapshot = Snapshot()
        self.queue = SchedulingQueue(clock)
        self._events = SchedulerEvents(client, name, clock, random)
        self._wake = asyncio.Event()
        self._bindings = asyncio.Semaphore(BINDINGS_MAX)
        self._view = View(informers)
        self._pods, self._nodes = informers.of("pods"), informers.of("nodes")
        self._pods.add_index("nominated", _nominated)
        self._namespaces = informers.of("namespaces")
        self._storage = [informers.of("persistentvolumeclaims"), informers.of("persistentvolumes")]
        self._storage.append(informers.of("storageclasses.storage.k8s.io"))
        self._binding: set[str] = set()  # uids of pods that are being bound

    async def run(self) -> None:
        """Until cancelled; not again after that."""
        leave = [
            self._nodes.add_handler(self._on_node),
            self._namespaces.add_handler(self._on_namespace),
            self._pods.add_handler(self._on_pod),
            *(informer.add_handler(self._on_storage) for informer in self._storage),
        ]
        try:
            for informer in (self._nodes, self._namespaces, self._pods, *self._storage):
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

    def _moved(self, helps: set[str] | None) -> None:
        self.queue.move_all(helps)
        self._wake.set()

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            assert old is not None
            self.snapshot.remove_node(name_of(old))
            return
        if old is not None and not _node_changed(old, new):
            return
        self.snapshot.set_node(new)
        self._moved(NODE_HELPS)

    def _on_namespace(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            assert old is not None
            self.snapshot.namespaces.pop(name_of(old), None)
        else:
            self.snapshot.namespaces[name_of(new)] = labels_of(new)

    def _on_storage(self, old: Object | None, new: Object | None) -> None:
        self._moved(VOLUME_HELPS)

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        pod = new or old
        assert pod is not None
        uid = uid_of(pod)
        ended = new is None or (new.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        node = pod["spec"].get("nodeName")
        if node:
            self.queue.remove(uid)
            if ended:
                self.snapshot.remove_pod(uid)
                self._moved(POD_GONE_HELPS)
            elif old is None or not old["spec"].get("nodeName") or _pod_changed(old, pod):
                self.snapshot.add_pod(pod, node)
                self._moved(POD_CAME_HELPS)
            return
        if ended or is_deleting(pod):
            self.queue.remove(uid)
            if uid not in self._binding and self.snapshot.knows(uid):
                self.snapshot.remove_pod(uid)
                self._moved(POD_GONE_HELPS)
            return
        if pod["spec"].get("schedulerName", DEFAULT_SCHEDULER) != self.name or uid in self._binding:
            return
        if pod["spec"].get("schedulingGates"):
            return
        self.queue.add(pod)
        self._wake.set()

    # -- one pod ---------------------------------------------------------------------------------------

    async def _try(self, queued: QueuedPod, tasks: asyncio.TaskGroup) -> None:
        pod = self._pods.get(namespace_of(queued.pod), name_of(queued.pod))
        if (
            pod is None
            or uid_of(pod) != uid_of(queued.pod)
            or pod["spec"].get("nodeName")
            or is_deleting(pod)
        ):
            return
        queued.pod = pod
        moves = self.queue.moves
        cycle = Cycle(pod, PodInfo.of(pod), self._snapshot_for(pod), self._view)
        decision = self.framework.schedule(cycle, self._random.choice)
        if not decision.node:
            self.queue.failed(queued, decision.plugins, moves)
            await self._report_failure(pod, decision)
            return
        self.snapshot.add_pod(pod, decision.node)
        self._binding.add(uid_of(pod))
        await self._bindings.acquire()
        tasks.create_task(self._bind(queued, cycle, decision.node))

    def _snapshot_for(self, pod: Object) -> Snapshot:
        """Pods of the same or a higher priority that were nominated to a node hold their place on it."""
        nominated = [
            other
            for other in self._pods.by_index("nominated", "yes")
            if uid_of(other) != uid_of(pod)
            and not self.snapshot.knows(uid_of(other))
            and (other["spec"].get("priority") or 0) >= (pod["spec"].get("priority") or 0)
        ]
        if not nominated:
            return self.snapshot
        copy = Snapshot()
        copy.nodes = dict(self.snapshot.nodes)
        copy.namespaces = self.snapshot.namespaces
        for other in nominated:
            node = other["status"]["nominatedNodeName"]
            if node in copy.nodes:
                copy.nodes[node] = copy.nodes[node].without(set())
                copy.nodes[node].add(PodInfo.of(other))
        return copy

    async def _bind(self, queued: QueuedPod, cycle: Cycle, node: str) -> None:
        pod = queued.pod
        namespace, name, uid = namespace_of(pod), name_of(pod), uid_of(pod)
        try:
            await self._place_claims(cycle, node)
            target = {"apiVersion": "v1", "kind": "Node", "name": node}
            binding = {"metadata": {"name": name, "namespace": namespace, "uid": uid}, "target": target}
            await self._client.create("pods", binding, namespace=namespace, name=name, subresource="binding")
        except (ApiError, OSError) as error:
            self.snapshot.remove_pod(uid)
            if not (isinstance(error, ApiError) and error.code in (404, 409)):
                log.warning("binding of %s/%s to %s failed: %s", namespace, name, node, error)
            if self._pods.get(namespace, name) is not None:
                self.queue.failed(queued, set(), self.queue.moves)
                self._moved(POD_GONE_HELPS)
        else:
            message = f"Successfully assigned {namespace}/{name} to {node}"
            await self._events.record(pod, "Normal", "Scheduled", "Binding", message)
        finally:
            self._binding.discard(uid)
            self._bindings.release()

    async def _place_claims(self, cycle: Cycle, node: str) -> None:
        """Tells the volume controllers which node a claim is for, and waits until it is bound."""
        volumes = next(p for p, _ in self.framework.plugins if isinstance(p, VolumeBinding))
        claims = volumes.claims_to_place(cycle)
        for claim in claims:
            patch = {"metadata": {"annotations": {SELECTED_NODE: node}}}
            await self._client.patch("persistentvolumeclaims", namespace_of(claim), name_of(claim), patch)
        informer = self._storage[0]
        deadline = self._clock.monotonic() + 600
        for claim in claims:
            while True:
                current = informer.get(namespace_of(claim), name_of(claim))
                if current is None or (current.get("status") or {}).get("phase") == "Bound":
                    break
                if self._clock.monotonic() > deadline:
                    raise ApiError(504, "Timeout", f"claim {name_of(claim)} was not bound in time")
                await self._clock.sleep(0.02)

    async def _report_failure(self, pod: Object, decision: Decision) -> None:
        message = decision.message.rstrip()
        before = condition_of(pod, "PodScheduled")
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastProbeTime": None,
            "lastTransitionTime": timestamp(self._clock.now()),
            "observedGeneration": pod["metadata"].get("generation") or 1,
        }
        if before and before["status"] == "False":
            condition["lastTransitionTime"] = before.get("lastTransitionTime")
        status: Object = {}
        if before is None or any(
            before.get(key) != condition[key] for key in ("status", "reason", "message")
        ):
            status["conditions"] = [condition]
        nominated = (pod.get("status") or {}).get("nominatedNodeName") or ""
        if decision.nominated and decision.nominated != nominated:
            status["nominatedNodeName"] = decision.nominated
        try:
            for victim in decision.victims:
                await self._preempt(pod, victim, decision.nominated)
            if status:
                await self._client.patch(
                    "pods",
                    namespace_of(pod),
                    name_of(pod),
                    {"status": status},
                    type="strategic",
                    subresource="status",
                )
        except (ApiError, OSError) as error:
            log.debug("status of %s: %s", name_of(pod), error)
        await self._events.record(pod, "Warning", "FailedScheduling", "Scheduling", message)

    async def _preempt(self, pod: Object, victim: Object, node: str) -> None:
        """Marks the victim as disrupted, deletes it, and says so (KEP-3329)."""
        if is_deleting(victim):
            return
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": f"{self.name}: preempting to accommodate a higher priority pod",
            "lastProbeTime": None,
            "lastTransitionTime": timestamp(self._clock.now()),
            "observedGeneration": victim["metadata"].get("generation") or 1,
        }
        namespace, name = namespace_of(victim), name_of(victim)
        patch = {"status": {"conditions": [condition]}}
        await self._client.patch("pods", namespace, name, patch, type="strategic", subresource="status")
        await self._client.delete("pods", namespace, name, uid=uid_of(victim))
        message = f"Preempted by pod {uid_of(pod)} on node {node}"
        await self._events.record(victim, "Normal", "Preempted", "Preempting", message)


def _node_changed(old: Object, new: Object) -> bool:
    """Whether anything that scheduling looks at is different (heartbeats are not)."""
    if (old.get("spec") or {}) != (new.get("spec") or {}) or labels_of(old) != labels_of(new):
        return True
    before, after = old.get("status") or {}, new.get("status") or {}
    return before.get("allocatable") != after.get("allocatable") or before.get("images") != after.get(
        "images"
    )


def _pod_changed(old: Object, new: Object) -> bool:
    return (
        old["spec"] != new["spec"]
        or labels_of(old) != labels_of(new)
        or is_deleting(old) != is_deleting(new)
        or (old.get("status") or {}).get("containerStatuses")
        != (new.get("status") or {}).get("containerStatuses")
    )


def _nominated(pod: Object) -> list[str]:
    waits = (pod.get("status") or {}).get("nominatedNodeName") and not pod["spec"].get("nodeName")
    return ["yes"] if waits else []
