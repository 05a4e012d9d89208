"""A containerd for each node, in the node's network namespace, over CRI."""

from __future__ import annotations

import asyncio

from ..base.clock import Clock, RealClock
from ..base.random import Random
from ..network.topology import ClusterNetwork, NodeNetwork, cni_config
from ..runtime.containerd import ContainerdEngine
from ..runtime.containerd_config import ContainerdConfig
from ..runtime.containerd_process import ContainerdProcess, engine_missing, fitted, unmount_below
from .config import ClusterConfig
from .engines import NodeEngine
from .paths import ClusterPaths

REAL = True
missing = engine_missing


def containerd_of(
    config: ClusterConfig, paths: ClusterPaths, node: NodeNetwork, clock: Clock
) -> ContainerdProcess:
    """The containerd of a node, running or not."""
    network = ClusterNetwork(config.network_index, config.name, config.service_cidr)
    state = paths.node_run(node.name)
    settings = ContainerdConfig(
        root=paths.node(node.name) / "containerd",
        state=state,
        netns=node.netns,
        streaming_address=node.address,
        insecure_registries=config.insecure_registries,
    )
    return ContainerdProcess(settings, clock, cni_config(network, node, str(state / "ipam")))


async def start(
    config: ClusterConfig, paths: ClusterPaths, node: NodeNetwork, clock: Clock, random: Random
) -> NodeEngine:
    process = containerd_of(config, paths, node, clock)
    process.config = await asyncio.to_thread(fitted, process.config)
    fresh = await process.start()

    async def keep() -> None:
        await process.start()
        await process.ended()

    engine = ContainerdEngine(str(process.config.socket), clock, process.config.snapshotter)
    return NodeEngine(engine, keep, fresh)


async def stop(config: ClusterConfig, paths: ClusterPaths, node: NodeNetwork, grace_s: float) -> None:
    await containerd_of(config, paths, node, RealClock()).stop(grace_s)
    await asyncio.to_thread(unmount_below, (paths.node(node.name),))
