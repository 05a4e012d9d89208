"""What the actors cost: the scheduler on many nodes, and whole clusters on virtual time. In this process: its CPU is what counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from pilothouse.apiserver.config import ADMIN, ApiConfig
from pilothouse.apiserver.server import ApiServer
from pilothouse.base import collector
from pilothouse.base.clock import RealClock
from pilothouse.base.random import Random
from pilothouse.client.informer import Informers
from pilothouse.client.local import LocalClient
from pilothouse.scheduler.scheduler import Scheduler
from pilothouse.sim import SimulatedCluster, simulate
from pilothouse.store.memory import MemoryStore

from .table import Figure

NODES, PODS = 1000, 2000
FLEET_NODES, FLEET_PODS = 200, 2000
CRON_JOB = {
    "metadata": {"name": "tick", "namespace": "default"},
    "spec": {
        "schedule": "*/5 * * * *",
        "jobTemplate": {
            "spec": {
                "template": {
                    "spec": {
                        "restartPolicy": "Never",
                        "containers": [{"name": "c", "image": "i", "command": ["sleep", "20"]}],
                    }
                }
            }
        },
    },
}


def _workload(replicas: int, **more: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}}}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container], **more}}
    selector = {"matchLabels": {"app": "web"}}
    metadata = {"name": "web", "namespace": "default"}
    return {"metadata": metadata, "spec": {"replicas": replicas, "selector": selector, "template": template}}


def schedule() -> Iterator[Figure]:
    """With the binding, its event and the watches: all that a pod costs between its creation and its kubelet."""

    async def main() -> float:
        clock, random = RealClock(), Random(1)
        server = ApiServer(MemoryStore(), clock, random.fork("server"), ApiConfig())
        await server.start()
        client = LocalClient(server, ADMIN)
        await client.create("serviceaccounts", {"metadata": {"name": "default", "namespace": "default"}})
        resources = {"cpu": "8", "memory": "16Gi", "pods": "110"}
        for number in range(NODES):
            name = f"node-{number:04}"
            labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": f"zone-{number % 3}"}
            status = {"allocatable": resources, "capacity": resources}
            await client.create("nodes", {"metadata": {"name": name, "labels": labels}, "status": status})
            await client.patch("nodes", "", name, {"spec": {"taints": None}})
        owner = await client.create("replicasets.apps", _workload(0))
        reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "controller": True}
        reference["uid"] = owner["metadata"]["uid"]
        template = owner["spec"]["template"]
        metadata = {"generateName": "web-", "namespace": "default", "ownerReferences": [reference]}
        pod = {"metadata": {**metadata, "labels": {"app": "web"}}, "spec": template["spec"]}
        for _ in range(PODS):
            await client.create("pods", pod)
        async with Informers(client, clock, random.fork("informers")) as informers:
            scheduler = Scheduler(client, informers, clock, random.fork("scheduler"))
            pods = informers.of("pods")
            await pods.synced()
            collector.settle()  # as a cluster's daemon does
            begin = time.process_time()
            task = asyncio.create_task(scheduler.run())
            while any(not each["spec"].get("nodeName") for each in pods.list()):
                await asyncio.sleep(0.05)
            spent = time.process_time() - begin
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await server.stop()
        return spent

    spent = asyncio.run(main())
    yield Figure(
        f"schedule {PODS:,} pods on {NODES:,} nodes, CPU a pod", spent / PODS * 1000, "ms", 1.0, "9.6 ms"
    )


def simulated() -> Iterator[Figure]:
    async def day(cluster: SimulatedCluster) -> None:
        await cluster.client.create("deployments.apps", _workload(3))
        await cluster.client.create("cronjobs.batch", CRON_JOB)
        await cluster.clock.sleep(86400)

    begin = time.process_time()
    simulate(day, seed=1, nodes=3)
    yield Figure("a simulated day: 3 nodes, 288 jobs, CPU", time.process_time() - begin, "s", None, "")

    async def fleet(cluster: SimulatedCluster) -> None:
        await cluster.clock.sleep(1)
        await cluster.client.create("deployments.apps", _workload(FLEET_PODS))
        status: dict[str, Any] = {}
        while status.get("availableReplicas", 0) < FLEET_PODS:
            await cluster.clock.sleep(1)
            status = (await cluster.client.get("deployments.apps", "default", "web"))["status"]

    begin = time.process_time()
    simulate(fleet, seed=1, nodes=FLEET_NODES)
    name = f"a simulated fleet: {FLEET_NODES} nodes, {FLEET_PODS:,} pods running, CPU"
    yield Figure(name, time.process_time() - begin, "s", None, "")
