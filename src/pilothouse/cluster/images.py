"""Images of a running cluster, from outside: every node's containerd is given the same archives."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from ..base.clock import Clock
from ..network.topology import ClusterNetwork
from ..runtime.containerd import ContainerdEngine
from ..runtime.containerd_process import fitted
from ..runtime.images import load_image
from ..runtime.interface import EngineError, Image
from .config import ClusterConfig
from .engine_containerd import containerd_of
from .manage import ClusterError, Progress, daemon_pid
from .paths import ClusterPaths


def load(paths: ClusterPaths, archives: Sequence[Path], clock: Clock, progress: Progress) -> None:
    """Loads each archive into every node. Raises ClusterError."""
    config = _running(paths)
    for archive in archives:
        if not archive.is_file():
            raise ClusterError(f"{archive} is not there: an image archive is what `docker save` writes")

    async def node_loads(ordinal: int) -> None:
        process = containerd_of(config, paths, _network(config).node(ordinal), clock)
        snapshotter = (await asyncio.to_thread(fitted, process.config)).snapshotter
        engine = ContainerdEngine(str(process.config.socket), clock, snapshotter)
        try:
            for archive in archives:
                tags = await load_image(engine, archive)
                progress(f"{', '.join(tags)} is on node-{ordinal}")
        finally:
            await engine.close()

    async def main() -> None:
        await asyncio.gather(*(node_loads(ordinal) for ordinal in range(1, config.nodes + 1)))

    try:
        asyncio.run(main())
    except (EngineError, ValueError) as error:
        raise ClusterError(str(error)) from error


def images(paths: ClusterPaths, clock: Clock) -> list[tuple[Image, list[str]]]:
    """Every image with the nodes that have it."""
    config = _running(paths)

    async def main() -> list[tuple[Image, list[str]]]:
        found: dict[str, tuple[Image, list[str]]] = {}
        async with AsyncExitStack() as stack:
            for ordinal in range(1, config.nodes + 1):
                node = _network(config).node(ordinal)
                socket = containerd_of(config, paths, node, clock).config.socket
                engine = ContainerdEngine(str(socket), clock)
                stack.push_async_callback(engine.close)
                for image in await engine.images():
                    found.setdefault(image.id, (image, []))[1].append(node.name)
        return sorted(found.values(), key=lambda item: item[0].tags or item[0].digests)

    try:
        return asyncio.run(main())
    except EngineError as error:
        raise ClusterError(str(error)) from error


def _network(config: ClusterConfig) -> ClusterNetwork:
    return ClusterNetwork(config.network_index, config.name, config.service_cidr)


def _running(paths: ClusterPaths) -> ClusterConfig:
    config = ClusterConfig.load(paths.config)
    if not daemon_pid(paths):
        raise ClusterError(f"cluster {config.name!r} does not run; `pilothouse up {config.name}` starts it")
    if config.engine != "containerd":
        raise ClusterError(f"cluster {config.name!r} has no container engine: its engine is {config.engine}")
    return config
