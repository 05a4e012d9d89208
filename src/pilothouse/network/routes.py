"""How the host reaches load balancer addresses: a route for each, through the nodes that can serve it.

With `externalTrafficPolicy: Local` only the nodes that have an endpoint are named (what health checks of a
cloud's load balancer would find). Several nodes share the traffic by connection (ECMP).
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..api.object import Object, condition_of, labels_of, name_of, namespace_of
from ..base.clock import Clock
from .shell import CommandFailed, ip, run

if TYPE_CHECKING:
    from ..client.informer import Informers

log = logging.getLogger(__name__)
RETRY_S = 1.0


def plan(
    services: Iterable[Object], slices: Iterable[Object], addresses: dict[str, str]
) -> dict[str, tuple[str, ...]]:
    """Load balancer address -> addresses of the nodes to send it to. `addresses`: of the ready nodes, by name."""
    local: dict[tuple[str, str], set[str]] = {}
    for slice_ in slices:
        service = labels_of(slice_).get("kubernetes.io/service-name", "")
        for endpoint in slice_.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready") is not False and endpoint.get("nodeName"):
                local.setdefault((namespace_of(slice_), service), set()).add(endpoint["nodeName"])
    routes = {}
    for balanced in services:
        spec, status = balanced.get("spec") or {}, balanced.get("status") or {}
        names = set(addresses)
        if spec.get("externalTrafficPolicy") == "Local":
            names &= local.get((namespace_of(balanced), name_of(balanced)), set())
        through = tuple(addresses[name] for name in sorted(names))
        for ingress in (status.get("loadBalancer") or {}).get("ingress") or ():
            if ingress.get("ip") and through:
                routes[ingress["ip"]] = through
    return routes


class LoadBalancerRoutes:
    """Runs until cancelled; on its way out it leaves the routes to those who take the interface away.

    `is_ours(ip)` keeps it from routing addresses that somebody else assigned.
    """

    def __init__(self, informers: Informers, clock: Clock, is_ours: Callable[[str], bool]):
        self._services = informers.of("services")
        self._slices = informers.of("endpointslices.discovery.k8s.io")
        self._nodes = informers.of("nodes")
        self._clock, self._is_ours = clock, is_ours
        self._stale = asyncio.Event()
        self._applied: dict[str, tuple[str, ...]] = {}
        for informer in (self._services, self._slices, self._nodes):
            informer.add_handler(self._changed)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        self._stale.set()

    async def run(self) -> None:
        for informer in (self._services, self._slices, self._nodes):
            await informer.synced()
        self._stale.set()
        known = False
        while True:
            await self._stale.wait()
            self._stale.clear()
            try:
                if not known:  # what an earlier daemon left goes, or is replaced
                    self._applied = dict.fromkeys(await self._existing(), ())
                    known = True
                await self._apply()
            except (CommandFailed, TimeoutError, OSError) as error:
                log.warning("load balancer routes not applied, trying again: %s", error)
                self._stale.set()
                await self._clock.sleep(RETRY_S)

    async def _existing(self) -> list[str]:
        """Our addresses that the host has routes to."""
        found = []
        for line in (await run("ip", "-4", "route", "show")).splitlines():
            try:
                address = str(ipaddress.IPv4Address(line.split()[0]))
            except (ValueError, IndexError):
                continue  # a network, "default", or a next hop's line
            if self._is_ours(address):
                found.append(address)
        return found

    async def _apply(self) -> None:
        addresses = {
            name_of(node): address for node in self._nodes.list() if (address := _ready_address(node))
        }
        routes = plan(self._services.list(), self._slices.list(), addresses)
        routes = {address: through for address, through in routes.items() if self._is_ours(address)}
        for address in set(self._applied) - set(routes):
            await run("ip", "route", "delete", f"{address}/32", check=False)
            del self._applied[address]
        for address, through in routes.items():
            if self._applied.get(address) != through:
                hops = (
                    " ".join(f"nexthop via {hop}" for hop in through)
                    if len(through) > 1
                    else f"via {through[0]}"
                )
                await ip([("", f"route replace {address}/32 {hops}")])
                self._applied[address] = through


def _ready_address(node: Object) -> str:
    ready = condition_of(node, "Ready")
    if (
        not ready
        or ready["status"] != "True"
        or "node.kubernetes.io/exclude-from-external-load-balancers" in labels_of(node)
    ):
        return ""
    addresses = (node.get("status") or {}).get("addresses") or ()
    return next((entry["address"] for entry in addresses if entry["type"] == "InternalIP"), "")
