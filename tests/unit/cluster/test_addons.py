"""What a cluster brings along comes back when somebody deletes it."""

from __future__ import annotations

import asyncio

from pilothouse.apiserver.config import ADMIN, ApiConfig
from pilothouse.apiserver.server import ApiServer
from pilothouse.base.clock import VirtualClock, run_virtual
from pilothouse.base.random import Random
from pilothouse.client.local import LocalClient
from pilothouse.cluster import addons
from pilothouse.store.memory import MemoryStore


def test_the_dns_service_comes_back():
    async def story(clock: VirtualClock):
        server = ApiServer(MemoryStore(), clock, Random(7), ApiConfig())
        await server.start()
        client = LocalClient(server, ADMIN)
        where = ("10.96.0.10", "172.30.0.1", 53)
        await addons.dns_service(client, *where)
        keeper = asyncio.create_task(addons.keep_dns_service(client, clock, *where))
        for resource in ("services", "endpointslices.discovery.k8s.io"):
            await client.delete(resource, "kube-system", "kube-dns")
        await clock.sleep(15)
        assert (await client.get("services", "kube-system", "kube-dns"))["spec"]["clusterIP"] == "10.96.0.10"
        assert await client.get("endpointslices.discovery.k8s.io", "kube-system", "kube-dns")
        keeper.cancel()
        await server.stop()

    clock = VirtualClock()
    run_virtual(story(clock), clock)
