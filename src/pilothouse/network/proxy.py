"""The service proxy of one node: keeps the node's nftables rules equal to what `services.build` says.

A change marks the rules as stale; one task rebuilds them and applies the difference as one transaction, so
that a burst of changes costs one run, and a change is in force within milliseconds. When nftables refuses a
difference (somebody else touched the table), the whole table is laid anew.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections import defaultdict
from typing import TYPE_CHECKING

from ..api.object import Object, labels_of, name_of, namespace_of
from ..base.clock import Clock
from .health import HealthPorts, wanted
from .services import HostPort, Rules, base_script, build, script
from .shell import SEARCH_PATH, CommandFailed, nft, run
from .topology import ClusterNetwork, NodeNetwork

if TYPE_CHECKING:
    from ..client.informer import Informers

log = logging.getLogger(__name__)
RETRY_S = 1.0


class ServiceProxy:
    """Runs until cancelled: `await ServiceProxy(…).run()`."""

    def __init__(self, net: ClusterNetwork, node: NodeNetwork, informers: Informers, clock: Clock):
        self._net, self._node, self._clock = net, node, clock
        self._services = informers.of("services")
        self._slices = informers.of("endpointslices.discovery.k8s.io")
        self._pods = informers.of("pods")
        self._stale = asyncio.Event()
        self._applied: Rules | None = None
        self._services.add_handler(self._changed)
        self._slices.add_handler(self._changed)
        self._pods.add_handler(self._pod_changed)
        self._health = HealthPorts(node.netns)
        self.in_force = asyncio.Event()  # set once the first rules are there

    def _changed(self, old: Object | None, new: Object | None) -> None:
        self._stale.set()

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if any(pod is not None and host_ports_of(pod, self._node.name) for pod in (old, new)):
            self._stale.set()

    async def run(self) -> None:
        for informer in (self._services, self._slices, self._pods):
            await informer.synced()
        self._stale.set()
        try:
            await self._keep_applied()
        finally:
            await self._health.close()

    async def _keep_applied(self) -> None:
        while True:
            await self._stale.wait()
            self._stale.clear()
            try:
                await self._apply()
                self.in_force.set()
            except (CommandFailed, TimeoutError, OSError) as error:
                log.warning("%s: service rules not applied, trying again: %s", self._node.name, error)
                self._applied = None
                self._stale.set()
                await self._clock.sleep(RETRY_S)

    async def _apply(self) -> None:
        slices: dict[tuple[str, str], list[Object]] = defaultdict(list)
        for slice_ in self._slices.list():
            service = labels_of(slice_).get("kubernetes.io/service-name")
            if service:
                slices[(namespace_of(slice_), service)].append(slice_)
        services = sorted(
            self._services.list(), key=lambda service: (namespace_of(service), name_of(service))
        )
        host_ports = [port for pod in self._pods.list() for port in host_ports_of(pod, self._node.name)]
        rules = build(services, slices, host_ports, self._node.name, self._net.pod_cidr)
        if self._applied is None:
            subnet = str(self._net.node_subnet)
            base = base_script(self._net.pod_cidr, self._node.pod_cidr, subnet, self._net.service_cidr)
            await nft(self._node.netns, base + script(Rules(), rules))
        else:
            if changes := script(self._applied, rules):
                await nft(self._node.netns, changes)
            await self._forget_flows({flow[1:] for flow in self._applied.udp - rules.udp})
        self._applied = rules
        await self._health.update(wanted(services, slices, self._node.name))

    async def _forget_flows(self, gone: set[tuple[str, int]]) -> None:
        """A UDP client that keeps its port would be sent to an endpoint that is gone for as long as it goes on."""
        for address, port in sorted(gone) if shutil.which("conntrack", path=SEARCH_PATH) else ():
            where = ("--dst-nat", address, "--reply-port-src", str(port))
            command = ("conntrack", "--delete", "--proto", "udp", *where)
            await run("ip", "netns", "exec", self._node.netns, *command, check=False)  # 1: there was none


def host_ports_of(pod: Object, node: str) -> list[HostPort]:
    """The host ports that a pod on this node holds; none while it has no address, and none with host networking."""
    spec, status = pod["spec"], pod.get("status") or {}
    if spec.get("nodeName") != node or spec.get("hostNetwork") or not status.get("podIP"):
        return []
    if status.get("phase") in ("Succeeded", "Failed"):
        return []
    return [
        HostPort(
            port["hostPort"],
            port.get("protocol", "TCP"),
            port.get("hostIP") or "",
            status["podIP"],
            port["containerPort"],
        )
        for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        for port in container.get("ports") or ()
        if port.get("hostPort")
    ]
