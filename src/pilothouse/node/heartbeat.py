"""A node's registration, its status and its lease, kept up to date with the API server."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from ..api.errors import ApiError
from ..api.object import Object, condition_of, uid_of
from ..api.openapi import VERSION
from ..base.clock import timestamp_micro
from ..runtime.interface import EngineError
from .context import NodeContext
from .node_status import PRESSURES, changed, new_node, node_status

log = logging.getLogger(__name__)

LEASE_NAMESPACE, LEASE_S, RENEW_S = "kube-node-lease", 40, 10.0
STATUS_S, REPORT_S = 10.0, 300.0  # looked at so often, and told at least so often
RETRY_FIRST_S, RETRY_MAX_S = 0.2, 7.0


@dataclass(slots=True)
class Heartbeat:
    node: NodeContext
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    object: Object = field(default_factory=dict)  # the Node as the server last answered
    _reported_at: float = 0.0
    _unschedulable: bool = False
    _pressed: set[str] = field(default_factory=set)
    _lease: Object | None = None

    async def register(self) -> None:
        """Makes the Node, or takes the one that is there; until the API server answers."""
        retry_s = RETRY_FIRST_S
        while True:
            try:
                await self._register()
                await self.report()
                return
            except (ApiError, OSError) as error:
                log.warning("registering node %s: %s", self.node.config.name, error)
            await self.node.clock.sleep(retry_s)
            retry_s = min(retry_s * 2, RETRY_MAX_S)

    async def _register(self) -> None:
        client, wanted = self.node.client, new_node(self.node.config)
        self.node.node_event("Starting", "Starting kubelet.")
        for well, _ in PRESSURES.values():
            self._became(well.event)
        self.node.node_event("NodeAllocatableEnforced", "Updated Node Allocatable limit across pods")
        try:
            self.object = await client.create("nodes", wanted, field_manager="kubelet")
        except ApiError as error:
            if error.code != 409:
                raise
        else:
            return
        self.object = await client.get("nodes", "", self.node.config.name)
        metadata = self.object["metadata"]
        patch = {
            key: {k: v for k, v in wanted["metadata"][key].items() if (metadata.get(key) or {}).get(k) != v}
            for key in ("labels", "annotations")
        }
        if any(patch.values()):
            self.object = await client.patch(
                "nodes", "", self.node.config.name, {"metadata": patch}, field_manager="kubelet"
            )

    async def not_ready(self) -> str:
        try:
            reason, message = await self.node.engine.ready()
        except EngineError as error:
            return f"container runtime is down: {error.message}"
        if not reason:
            return ""
        what = "network" if "etwork" in reason else "runtime"
        return f"container runtime {what} not ready: reason:{reason} message:{message}"

    async def report(self) -> None:
        """Writes the status if it has changed, or has not been told for long."""
        node, config = self.node, self.node.config
        if (unschedulable := bool(self.object["spec"].get("unschedulable"))) != self._unschedulable:
            self._unschedulable = unschedulable
            self._became("NodeNotSchedulable" if unschedulable else "NodeSchedulable")
        old = self.object.get("status") or {}
        not_ready = await self.not_ready()
        try:
            found = await node.engine.images()
        except EngineError:
            found = []
        now = node.clock.now()
        status = node_status(config, old, found, not_ready, now, VERSION, node.pressures)
        if not changed(old, status) and now - self._reported_at < REPORT_S:
            return
        was_ready = (condition_of(self.object, "Ready") or {}).get("status") == "True"
        self.object = await node.client.patch(
            "nodes",
            "",
            config.name,
            {"status": status},
            type="strategic",
            subresource="status",
            field_manager="kubelet",
        )
        self._reported_at = now
        for type_, (well, badly) in PRESSURES.items():
            if (type_ in self._pressed) != (type_ in node.pressures):
                self._became((badly if type_ in node.pressures else well).event)
        self._pressed = set(node.pressures)
        if was_ready == bool(not_ready):
            self._became("NodeNotReady" if not_ready else "NodeReady")
        if not not_ready:
            self.ready.set()

    async def run_status(self) -> None:
        while True:
            # until it is Ready it is looked at more often, as `up` waits for it
            await self.node.clock.sleep(STATUS_S if self.ready.is_set() else RETRY_FIRST_S)
            try:  # others write to the Node too: its extended resources, conditions that say it was not heard of
                self.object = await self.node.client.get("nodes", "", self.node.config.name)
                await self.report()
            except ApiError as error:
                log.warning("status of node %s: %s", self.node.config.name, error)
                if error.code == 404:  # somebody deleted it: it comes back, as with a kubelet that restarts
                    await self.register()
            except OSError as error:
                log.warning("status of node %s: %s", self.node.config.name, error)

    async def run_lease(self) -> None:
        while True:
            try:
                await self._renew()
            except (ApiError, OSError) as error:
                log.warning("lease of node %s: %s", self.node.config.name, error)
                self._lease = None
            await self.node.clock.sleep(RENEW_S)

    async def _renew(self) -> None:
        node, name = self.node, self.node.config.name
        renew = timestamp_micro(node.clock.now())
        if self._lease is None:
            try:
                self._lease = await node.client.get("leases.coordination.k8s.io", LEASE_NAMESPACE, name)
            except ApiError as error:
                if error.code != 404:
                    raise
                owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid_of(self.object)}
                lease: Object = {
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
                    "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_S, "renewTime": renew},
                }
                self._lease = await node.client.create("leases.coordination.k8s.io", lease)
                return
        spec = {
            **self._lease["spec"],
            "holderIdentity": name,
            "leaseDurationSeconds": LEASE_S,
            "renewTime": renew,
        }
        self._lease = await node.client.update("leases.coordination.k8s.io", {**self._lease, "spec": spec})

    def _became(self, reason: str) -> None:
        self.node.node_event(reason, f"Node {self.node.config.name} status is now: {reason}")
