"""Containers that are simulated: nothing on the machine, no rights needed."""

from __future__ import annotations

from ..base.clock import Clock
from ..base.random import Random
from ..network.topology import NodeNetwork
from ..runtime.simulated import SimulatedEngine
from .config import ClusterConfig
from .engines import NodeEngine
from .paths import ClusterPaths

REAL = False


def missing() -> str:
    return ""


async def start(
    config: ClusterConfig, paths: ClusterPaths, node: NodeNetwork, clock: Clock, random: Random
) -> NodeEngine:
    return NodeEngine(SimulatedEngine(clock, random, pod_cidr=node.pod_cidr))


async def stop(config: ClusterConfig, paths: ClusterPaths, node: NodeNetwork, grace_s: float) -> None:
    """It ended with the daemon."""
