"""A whole cluster in a story."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pilothouse.sim import Change, Faults, History, SimulatedCluster, simulate


def pod(name: str, *command: str) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "command": list(command)}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"containers": [container]}}


async def phase(cluster: SimulatedCluster, name: str) -> str:
    return (await cluster.client.get("pods", "default", name))["status"]["phase"]


def test_a_pod_runs_on_a_simulated_node_and_ends_when_its_script_does():
    async def story(cluster: SimulatedCluster) -> None:
        await cluster.clock.sleep(1)
        await cluster.client.create(
            "pods",
            {
                **pod("p", "sleep", "3600"),
                "spec": {**pod("p", "sleep", "3600")["spec"], "restartPolicy": "Never"},
            },
        )
        await cluster.clock.sleep(10)
        assert await phase(cluster, "p") == "Running"
        await cluster.clock.sleep(3600)
        assert await phase(cluster, "p") == "Succeeded"

    history = simulate(story, nodes=1)
    assert history.of("/registry/core/pods/")


def test_a_cluster_without_nodes_has_none():
    async def story(cluster: SimulatedCluster) -> None:
        await cluster.clock.sleep(1)
        await cluster.client.create("pods", pod("p"))
        await cluster.clock.sleep(10)
        assert await phase(cluster, "p") == "Pending"

    simulate(story, nodes=0)


def test_containers_outlive_their_kubelet_and_a_dead_scheduler_is_missed():
    async def story(cluster: SimulatedCluster) -> None:
        await cluster.clock.sleep(1)
        await cluster.client.create("pods", pod("p"))
        await cluster.clock.sleep(10)
        before = await cluster.engines["node-1"].containers()
        await cluster.stop("node-1")
        await cluster.stop("scheduler")
        await cluster.client.create("pods", pod("q"))
        await cluster.clock.sleep(20)
        cluster.start("node-1")
        await cluster.clock.sleep(20)
        after = await cluster.engines["node-1"].containers()
        assert [c.id for c in after] == [c.id for c in before], "adopted, not restarted"
        assert await phase(cluster, "q") == "Pending"
        cluster.start("scheduler")
        await cluster.clock.sleep(20)
        assert await phase(cluster, "q") == "Running"

    simulate(story, nodes=1)


def test_crashes_strike_and_are_over_when_it_is_calm():
    faults = Faults(crash_every_s=5)

    async def story(cluster: SimulatedCluster) -> None:
        await cluster.clock.sleep(120)
        faults.calm()
        await cluster.clock.sleep(30)
        lives = dict(cluster._starts)
        assert sum(lives.values()) > 3 + 10
        await cluster.clock.sleep(300)
        assert lives == cluster._starts

    simulate(story, nodes=1, faults=faults)


def test_it_needs_virtual_time():
    async def main() -> None:
        SimulatedCluster()

    with pytest.raises(RuntimeError, match="virtual time"):
        asyncio.run(main())


def test_histories_are_compared_by_the_byte():
    one, two = History(), History()
    for history in (one, two):
        history.changes.append(Change(2, 0.0, "/a", b"x"))
    assert one == two
    assert one.digest() == two.digest()
    assert one.first_difference(two) is None
    two.changes.append(Change(3, 1.0, "/a", None))
    assert one != two
    assert one.first_difference(two) == (None, Change(3, 1.0, "/a", None))
    assert two.dump() == b"2 0.000000 /a x\n3 1.000000 /a -\n"
