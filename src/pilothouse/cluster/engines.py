"""What an engine is to a cluster. A new one is a file that fills in `EngineModule`, and a line in `config.ENGINE_MODULES`."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, cast

from ..base.clock import Clock
from ..base.random import Random
from ..network.topology import NodeNetwork
from ..runtime.interface import Engine
from .config import ENGINE_MODULES, ClusterConfig
from .paths import ClusterPaths


@dataclass(frozen=True, slots=True)
class NodeEngine:
    """A node's engine, started or found running."""

    engine: Engine
    keep: Callable[[], Awaitable[None]] | None = (
        None  # runs beside the node, and is started again when it ends
    )
    fresh: bool = True  # nothing runs in it; False: adopted, with its containers


class EngineModule(Protocol):
    REAL: bool  # containers with files and a network: the node gets a namespace, pods can be reached

    def missing(self) -> str:
        """What this machine lacks for it; "" if nothing."""

    async def start(
        self, config: ClusterConfig, paths: ClusterPaths, node: NodeNetwork, clock: Clock, random: Random
    ) -> NodeEngine: ...

    async def stop(
        self, config: ClusterConfig, paths: ClusterPaths, node: NodeNetwork, grace_s: float
    ) -> None:
        """Ends all that it runs, of a cluster whose daemon has ended, and leaves nothing on the machine but the cluster's files."""


def engine_module(name: str) -> EngineModule:
    return cast(EngineModule, importlib.import_module(f"{__package__}.{ENGINE_MODULES[name]}"))
