"""The cluster's own nodes: each a network namespace with a containerd in it (or a simulated engine), a service proxy, a kubelet.

`Nodes.start` lays and starts them side by side, and returns when all are Ready. What it finds running from before (the
daemon was killed) it adopts. `Nodes.stop` lets containers run on; `teardown` ends them and takes everything up.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..api.object import condition_of, name_of, namespace_of
from ..apiserver.config import ADMIN
from ..apiserver.request import control_plane_user, node_user
from ..base.clock import Clock, timestamp
from ..base.random import Random
from ..client.informer import Informers
from ..network.shell import namespaces
from ..network.topology import DNS_SERVICE_IP, ClusterNetwork, NodeNetwork
from ..network.wiring import lay_node, take_up_node, take_up_switch
from ..node.config import NodeConfig
from ..runtime.containerd_process import remove_cgroups
from ..runtime.interface import Engine
from .config import ClusterConfig, ConfigError
from .engines import NodeEngine, engine_module
from .paths import ClusterPaths

if TYPE_CHECKING:
    from ..node.kubelet import Kubelet
    from .cluster import Cluster

log = logging.getLogger(__name__)

NODES_READY_S = 120.0
Progress = Callable[[str], None]


@dataclass(slots=True)
class _Node:
    network: NodeNetwork
    config: NodeConfig
    started: NodeEngine


class Nodes:
    """`await start()` returns when every node is Ready; raises ConfigError when one does not get there."""

    def __init__(
        self, cluster: Cluster, informers: Informers, clock: Clock, random: Random, progress: Progress
    ):
        self._cluster, self._informers, self._clock, self._random = cluster, informers, clock, random
        self._progress = progress
        self._nodes: list[_Node] = []

    async def start(self) -> None:
        ordinals = range(1, self._cluster.config.nodes + 1)
        networks = [self._cluster.network.node(ordinal) for ordinal in ordinals]
        await self._forget_others({network.name for network in networks})
        try:
            async with asyncio.timeout(NODES_READY_S):
                self._nodes = await asyncio.gather(*(self._start_node(n, networks) for n in networks))
                self._progress(
                    f"{len(self._nodes)} container engine{'s' if len(self._nodes) > 1 else ''} started"
                    if self._cluster.has_containers
                    else "the container engine is simulated"
                )
                await asyncio.gather(*(self._run_node(node) for node in self._nodes))
                await self._all_ready()
        except TimeoutError:
            why = "; ".join(filter(None, map(self._why_not_ready, self._nodes)))
            raise ConfigError(f"the nodes were not Ready after {NODES_READY_S:.0f} s: {why}") from None
        self._progress(f"{len(self._nodes)} node{'s are' if len(self._nodes) > 1 else ' is'} Ready")

    async def stop(self) -> None:
        """What ran under supervision has been cancelled; containers run on."""
        assert self._cluster.server is not None
        for node in self._nodes:
            self._cluster.server.nodes.unregister(node.config.name)
            await node.started.engine.close()
        self._nodes.clear()

    async def _start_node(self, network: NodeNetwork, all_nodes: list[NodeNetwork]) -> _Node:
        """Its place in the network, and its engine."""
        cluster, module = self._cluster, engine_module(self._cluster.config.engine)
        if module.REAL:
            await lay_node(cluster.network, network, [other for other in all_nodes if other is not network])
        random = self._random.fork(network.name)
        started = await module.start(cluster.config, cluster.paths, network, self._clock, random)
        return _Node(network, await self._node_config(network, started.engine, files=module.REAL), started)

    async def _node_config(self, network: NodeNetwork, engine: Engine, *, files: bool) -> NodeConfig:
        cluster = self._cluster
        name, version = await engine.version()
        identity = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{cluster.config.name}.{network.name}"))
        root = cluster.paths.node(network.name)
        if files:
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
        memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return NodeConfig(
            name=network.name,
            address=network.address,
            root=root,
            pod_cidr=network.pod_cidr,
            cluster_dns=DNS_SERVICE_IP,
            cpu_milli=1000 * (os.cpu_count() or 1),
            memory_bytes=memory_bytes,
            ephemeral_storage_bytes=shutil.disk_usage(root).total if files else 100 * 1024**3,
            cgroup_root=f"{cgroup_of(cluster.config.name)}/{network.name}" if files else "",
            engine_version=f"{name}://{version}",
            files=files,
            volumes_root=cluster.paths.volumes,
            kernel_version=platform.release(),
            os_image=_os_name(),
            machine_id=identity.replace("-", ""),
            boot_id=_read("/proc/sys/kernel/random/boot_id"),
        )

    async def _run_node(self, node: _Node) -> None:
        """Everything that works on a node, supervised; returns when its kubelet has said that it is ready."""
        from ..node.kubelet import Kubelet

        cluster, name = self._cluster, node.config.name
        assert cluster.server is not None
        client = cluster.client(node_user(name))
        ready: asyncio.Future[Kubelet] = asyncio.get_running_loop().create_future()

        async def kubelet() -> None:
            assert cluster.server is not None
            kubelet = Kubelet(
                node.config,
                node.started.engine,
                client,
                self._informers,
                self._clock,
                self._random.fork(name),
            )
            cluster.server.nodes.register(name, kubelet.connector)
            if not ready.done():
                ready.set_result(kubelet)
            await kubelet.run()

        if node.started.keep is not None:
            cluster.run(f"engine of {name}", node.started.keep)
        if cluster.has_containers and "network" not in cluster.config.disable:
            from ..network.proxy import ServiceProxy

            proxy = ServiceProxy(cluster.network, node.network, self._informers, self._clock)
            cluster.run(f"service proxy of {name}", proxy.run)
            await proxy.in_force.wait()
        if node.started.fresh:
            await self._pods_are_not_ready(name)
        cluster.run(f"kubelet of {name}", kubelet)
        await (await ready).ready()

    async def _pods_are_not_ready(self, node: str) -> None:
        """What the node controller says of the pods of a node that is down: no traffic, until the kubelet has them again."""
        pods = self._informers.of("pods")
        await pods.synced()
        client = self._cluster.client(control_plane_user("node-controller"))
        for pod in pods.list(selector=lambda pod: pod["spec"].get("nodeName") == node):
            condition = condition_of(pod, "Ready")
            if condition is not None and condition["status"] == "True":
                told = {**condition, "status": "False", "lastTransitionTime": timestamp(self._clock.now())}
                patch = {"status": {"conditions": [told]}}
                await client.patch(
                    "pods", namespace_of(pod), name_of(pod), patch, type="strategic", subresource="status"
                )

    async def _all_ready(self) -> None:
        """Returns when the API says so too, as whoever waits for `up` will look there."""
        changed = asyncio.Event()
        self._informers.of("nodes").add_observer(changed.set)
        while any(self._why_not_ready(node) for node in self._nodes):
            changed.clear()
            await changed.wait()

    def _why_not_ready(self, node: _Node) -> str:
        """ "" for a node that is Ready."""
        obj = self._informers.of("nodes").get("", node.config.name)
        condition = condition_of(obj, "Ready") if obj is not None else None
        if condition is None:
            return f"{node.config.name} has not registered"
        return (
            "" if condition["status"] == "True" else f"{node.config.name}: {condition.get('message') or '?'}"
        )

    async def _forget_others(self, names: set[str]) -> None:
        """A cluster that comes back with fewer nodes: the others are gone for good, so nobody should wait for them."""
        nodes = self._informers.of("nodes")
        await nodes.synced()
        for node in nodes.list():
            directory = self._cluster.paths.node(name_of(node))
            if name_of(node) not in names and directory.is_dir():
                await self._cluster.client(ADMIN).delete("nodes", "", name_of(node))
                await asyncio.to_thread(shutil.rmtree, directory, True)


def cgroup_of(cluster: str) -> str:
    """The cgroup that all of a cluster's pods live below."""
    return f"/pilothouse-{cluster}"


async def teardown(
    config: ClusterConfig, paths: ClusterPaths, progress: Progress, grace_s: float = 0.0
) -> None:
    """Ends every container and engine of a cluster whose daemon has ended, and takes its network up. Files stay."""
    network = ClusterNetwork(config.network_index, config.name, config.service_cidr)
    prefix = f"{network.switch_netns}-node-"
    found = {int(name.removeprefix(prefix)) for name in await namespaces() if name.startswith(prefix)}
    nodes = [network.node(ordinal) for ordinal in sorted(found | set(range(1, config.nodes + 1)))]
    progress("stopping containers")

    async def node_down(node: NodeNetwork) -> None:
        await engine_module(config.engine).stop(config, paths, node, grace_s)
        await take_up_node(network, node)

    results = await asyncio.gather(*map(node_down, nodes), return_exceptions=True)
    await take_up_switch(network)
    remove_cgroups(cgroup_of(config.name))
    if failures := [result for result in results if isinstance(result, BaseException)]:
        raise failures[0]
    for node in nodes:
        shutil.rmtree(paths.node_run(node.name), ignore_errors=True)


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
