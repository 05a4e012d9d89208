"""The scheduler on a real API server in memory, in virtual time: what it writes, and when it looks again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pilothouse.api.errors import internal_error
from pilothouse.api.object import condition_of
from pilothouse.apiserver.config import ADMIN, ApiConfig
from pilothouse.apiserver.server import ApiServer
from pilothouse.base.clock import VirtualClock, run_virtual
from pilothouse.base.random import Random
from pilothouse.client.informer import Informers
from pilothouse.client.local import LocalClient
from pilothouse.scheduler.plugins.node_name import NodeName
from pilothouse.scheduler.scheduler import Scheduler
from pilothouse.store.memory import MemoryStore


class World:
    def __init__(self, clock: VirtualClock, client: LocalClient):
        self.clock, self.client = clock, client

    async def settle(self, seconds: float = 0.5) -> None:
        await self.clock.sleep(seconds)

    async def node(self, name: str, cpu: str = "2", **spec: Any) -> None:
        resources = {"cpu": cpu, "memory": "4Gi", "pods": "10"}
        status = {"capacity": resources, "allocatable": resources}
        await self.client.create("nodes", {"metadata": {"name": name}, "spec": spec, "status": status})
        # what the node lifecycle controller does once a node is ready
        await self.client.patch("nodes", "", name, {"spec": {"taints": spec.get("taints")}})

    async def pod(self, name: str, cpu: str = "1", **spec: Any) -> None:
        container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
        await self.client.create(
            "pods",
            {"metadata": {"name": name, "namespace": "default"}, "spec": {"containers": [container], **spec}},
        )

    async def where(self, name: str) -> str:
        return (await self.client.get("pods", "default", name))["spec"].get("nodeName", "")

    async def told(self, reason: str) -> list[str]:
        events = (await self.client.list("events", "default", field_selector=f"reason={reason}")).items
        return [event["message"] for event in events]


def on_server(story: Callable[[World], Awaitable[None]], wrap: Any = lambda client: client) -> None:
    clock, random = VirtualClock(), Random(3)

    async def main() -> None:
        server = ApiServer(MemoryStore(), clock, random.fork("server"), ApiConfig())
        await server.start()
        client = LocalClient(server, ADMIN)
        async with Informers(client, clock, random.fork("informers"), detect_mutations=True) as informers:
            scheduler = Scheduler(wrap(client), informers, clock, random.fork("scheduler"))
            task = asyncio.get_running_loop().create_task(scheduler.run())
            try:
                world = World(clock, client)
                await client.create(
                    "serviceaccounts", {"metadata": {"name": "default", "namespace": "default"}}
                )
                await world.settle()
                await story(world)
                assert not task.done(), task.result()
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await server.stop()

    run_virtual(main(), clock)


def test_a_pod_gets_a_node_and_an_event():
    async def story(w: World) -> None:
        await w.node("a")
        await w.pod("p")
        await w.settle()
        assert await w.where("p") == "a"
        assert await w.told("Scheduled") == ["Successfully assigned default/p to a"]

    on_server(story)


def test_a_pod_without_room_stays_pending_says_why_and_goes_when_there_is_some():
    async def story(w: World) -> None:
        await w.node("a", cpu="1")
        await w.pod("first")
        await w.settle()
        await w.pod("second")
        await w.settle()
        condition = condition_of(await w.client.get("pods", "default", "second"), "PodScheduled")
        assert condition and condition["reason"] == "Unschedulable"
        assert condition["message"].startswith("0/1 nodes are available: 1 Insufficient cpu.")
        assert len(await w.told("FailedScheduling")) == 1
        await w.client.delete("pods", "default", "first", grace_period_s=0)
        await w.settle()
        assert await w.where("second") == "a"

    on_server(story)


def test_a_new_node_is_noticed():
    async def story(w: World) -> None:
        await w.pod("p")
        await w.settle()
        assert await w.told("FailedScheduling") == ["no nodes available to schedule pods"]
        await w.node("a")
        await w.settle()
        assert await w.where("p") == "a"

    on_server(story)


def test_an_important_pod_takes_the_place_of_another():
    async def story(w: World) -> None:
        await w.client.create(
            "priorityclasses.scheduling.k8s.io", {"metadata": {"name": "high"}, "value": 100}
        )
        await w.node("a", cpu="1")
        await w.pod("low")
        await w.settle()
        await w.pod("high", priorityClassName="high")
        await w.settle()
        high = await w.client.get("pods", "default", "high")
        low = await w.client.get("pods", "default", "low")
        assert high["status"]["nominatedNodeName"] == "a"
        assert low["metadata"]["deletionTimestamp"]
        disrupted = condition_of(low, "DisruptionTarget")
        assert disrupted and disrupted["reason"] == "PreemptionByScheduler"
        assert await w.told("Preempted") == [f"Preempted by pod {high['metadata']['uid']} on node a"]
        await w.pod("other")  # the place is held
        await w.settle()
        await w.client.delete("pods", "default", "low", grace_period_s=0)
        await w.settle()
        assert (await w.where("high"), await w.where("other")) == ("a", "")

    on_server(story)


def test_a_gated_pod_waits_for_its_gates():
    async def story(w: World) -> None:
        await w.node("a")
        await w.pod("p", schedulingGates=[{"name": "example.com/wait"}])
        await w.settle(400)
        assert await w.where("p") == ""
        await w.client.patch("pods", "default", "p", {"spec": {"schedulingGates": None}})
        await w.settle()
        assert await w.where("p") == "a"

    on_server(story)


def test_another_schedulers_pods_are_left_alone():
    async def story(w: World) -> None:
        await w.node("a")
        await w.pod("p", schedulerName="other")
        await w.settle(400)
        assert await w.where("p") == ""

    on_server(story)


def test_a_binding_that_fails_is_tried_again_after_a_second():
    failures = [internal_error("not now"), internal_error("not now")]

    class Failing:
        def __init__(self, client: LocalClient):
            self._client = client

        def __getattr__(self, name: str) -> Any:
            return getattr(self._client, name)

        async def create(self, resource: str, obj: Any, **options: Any) -> Any:
            if options.get("subresource") == "binding" and failures:
                raise failures.pop()
            return await self._client.create(resource, obj, **options)

    async def story(w: World) -> None:
        await w.node("a", cpu="1")
        await w.pod("p")
        await w.settle()
        assert await w.where("p") == ""
        condition = condition_of(await w.client.get("pods", "default", "p"), "PodScheduled")
        assert condition and condition["reason"] == "SchedulerError"
        told = 'binding rejected: running Bind plugin "DefaultBinder": Internal error occurred: not now'
        assert await w.told("FailedScheduling") == [told]
        await w.settle(3)  # one second, then two
        assert await w.where("p") == "a"

    on_server(story, Failing)


def test_a_volume_on_a_node_draws_the_pod_there_and_is_bound_to_its_claim():
    async def story(w: World) -> None:
        for name in "ab":
            await w.node(name)
            await w.client.patch(
                "nodes", "", name, {"metadata": {"labels": {"kubernetes.io/hostname": name}}}
            )
        made = {"metadata": {"name": "wait"}, "provisioner": "kubernetes.io/no-provisioner"}
        await w.client.create(
            "storageclasses.storage.k8s.io", {**made, "volumeBindingMode": "WaitForFirstConsumer"}
        )
        term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["b"]}]}
        volume = {
            "storageClassName": "wait",
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "local": {"path": "/data"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
        }
        await w.client.create("persistentvolumes", {"metadata": {"name": "v"}, "spec": volume})
        claim = {
            "storageClassName": "wait",
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        }
        await w.client.create(
            "persistentvolumeclaims", {"metadata": {"name": "c", "namespace": "default"}, "spec": claim}
        )
        await w.pod("p", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}])
        await w.settle()
        assert "claimRef" not in (await w.client.get("persistentvolumes", "", "v"))["spec"], (
            "not available yet"
        )
        ready = {"status": {"phase": "Available"}}
        await w.client.patch("persistentvolumes", "", "v", ready, subresource="status")
        await w.settle()
        bound = await w.client.get("persistentvolumes", "", "v")
        assert bound["spec"]["claimRef"]["name"] == "c"
        assert await w.where("p") == "", "the volume controller has not finished"
        await w.client.patch(
            "persistentvolumeclaims", "default", "c", {"status": {"phase": "Bound"}}, subresource="status"
        )
        await w.settle()
        assert await w.where("p") == "b"

    on_server(story)


def test_a_defect_in_a_plugin_holds_up_one_pod_and_no_other(monkeypatch):
    def broken(self: Any, cycle: Any, node: Any) -> None:
        if cycle.pod["metadata"]["name"] == "unlucky":
            raise ZeroDivisionError("a defect")

    monkeypatch.setattr(NodeName, "pre_filter", lambda self, cycle: None)
    monkeypatch.setattr(NodeName, "filter", broken)

    async def story(w: World) -> None:
        await w.node("a")
        await w.pod("unlucky", cpu="100m")
        await w.pod("lucky", cpu="200m")
        await w.settle()
        assert (await w.where("unlucky"), await w.where("lucky")) == ("", "a")
        assert await w.told("FailedScheduling") == ["a defect"]

    on_server(story)
