"""From a decision to the API: volumes first, then the pod; or why not, and who has to make room.

All that the scheduler writes is written here.
"""

from __future__ import annotations

import asyncio
import logging

from ..api.errors import ApiError
from ..api.object import (
    Object,
    annotations_of,
    condition_of,
    get,
    is_deleting,
    name_of,
    namespace_of,
    uid_of,
    with_condition,
)
from ..base.clock import Clock, timestamp
from ..client.interface import Client
from .events import SchedulerEvents
from .framework import Decision
from .plugins.volume_binding import SELECTED_NODE, Placement
from .view import View

log = logging.getLogger(__name__)

VOLUMES_BIND_MAX_S = 600.0
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"


class BindingFailed(Exception):
    """The message says what was being done, and why it failed."""


class Binder:
    def __init__(self, client: Client, view: View, events: SchedulerEvents, clock: Clock, name: str):
        self._client, self._view, self._events = client, view, events
        self._clock, self._name = clock, name
        self._storage_changed = asyncio.Event()

    def storage_changed(self) -> None:
        self._storage_changed.set()
        self._storage_changed = asyncio.Event()

    # -- it goes somewhere

    async def bind(self, pod: Object, node: str, placement: Placement) -> None:
        """Raises BindingFailed; then the pod is not bound."""
        namespace, name = namespace_of(pod), name_of(pod)
        for claim, volume in placement.bindings:
            self._view.reserved[name_of(volume)] = f"{namespace_of(claim)}/{name_of(claim)}"
        step = 'running PreBind plugin "VolumeBinding"'
        try:
            await self._place_volumes(placement, node)
            step = 'binding rejected: running Bind plugin "DefaultBinder"'
            target = {"apiVersion": "v1", "kind": "Node", "name": node}
            metadata = {"name": name, "namespace": namespace, "uid": uid_of(pod)}
            binding = {"metadata": metadata, "target": target}
            await self._client.create("pods", binding, namespace=namespace, name=name, subresource="binding")
        except (ApiError, OSError) as error:
            raise BindingFailed(f"{step}: {error}") from error
        finally:
            for _, volume in placement.bindings:
                self._view.reserved.pop(name_of(volume), None)
        message = f"Successfully assigned {namespace}/{name} to {node}"
        await self._events.record(pod, "Normal", "Scheduled", "Binding", message)

    async def _place_volumes(self, placement: Placement, node: str) -> None:
        """Says which volume or which node each claim is for, and waits until the volume controllers have done their part."""
        for claim, volume in placement.bindings:
            reference = {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": namespace_of(claim),
                "name": name_of(claim),
                "uid": uid_of(claim),
                "resourceVersion": claim["metadata"].get("resourceVersion", ""),
            }
            metadata: Object = {"resourceVersion": volume["metadata"].get("resourceVersion", "")}
            if not get(volume, "spec.claimRef"):
                metadata["annotations"] = {BOUND_BY_CONTROLLER: "yes"}
            patch = {"metadata": metadata, "spec": {"claimRef": reference}}
            await self._client.patch("persistentvolumes", "", name_of(volume), patch)
        for claim in placement.provisions:
            patch = {"metadata": {"annotations": {SELECTED_NODE: node}}}
            await self._client.patch("persistentvolumeclaims", namespace_of(claim), name_of(claim), patch)
        claims = [*(claim for claim, _ in placement.bindings), *placement.provisions]
        if not claims:
            return
        async with asyncio.timeout(VOLUMES_BIND_MAX_S):
            told = {uid_of(claim) for claim in placement.provisions}
            while not all(self._is_bound(claim, node, told) for claim in claims):
                await self._storage_changed.wait()

    def _is_bound(self, claim: Object, node: str, told: set[str]) -> bool:
        """Raises when its provisioner has given the node up, or the claim has gone: another node may do."""
        current = self._view.claim(namespace_of(claim), name_of(claim))
        if current is None or uid_of(current) != uid_of(claim):
            raise ApiError(409, "Conflict", f"claim {name_of(claim)} has gone")
        if get(current, "status.phase") == "Bound":
            return True
        seen = int(current["metadata"]["resourceVersion"]) > int(claim["metadata"]["resourceVersion"])
        if uid_of(claim) in told and seen and annotations_of(current).get(SELECTED_NODE) != node:
            raise ApiError(409, "Conflict", f"claim {name_of(claim)} could not be provisioned for {node}")
        return False

    # -- it goes nowhere yet

    async def report(self, pod: Object, decision: Decision, reason: str = "Unschedulable") -> None:
        """The condition, the nomination, the victims, the event."""
        message = decision.message.rstrip()
        before = condition_of(pod, "PodScheduled")
        condition = self._condition("PodScheduled", "False", reason, message, pod)
        if before and before["status"] == "False":
            condition["lastTransitionTime"] = before.get("lastTransitionTime")
        status: Object = {}
        if before is None or any(before.get(k) != condition[k] for k in ("status", "reason", "message")):
            status |= with_condition(pod, condition)
        nominated = decision.nominated
        if nominated is not None and nominated != get(pod, "status.nominatedNodeName", ""):
            status["nominatedNodeName"] = nominated or None
        try:
            for victim in decision.victims:
                await self._preempt(pod, victim, nominated or "")
            if status:
                await self._patch_status(pod, status)
        except (ApiError, OSError) as error:
            log.debug("status of %s: %s", name_of(pod), error)
        await self._events.record(pod, "Warning", "FailedScheduling", "Scheduling", message)

    async def _preempt(self, pod: Object, victim: Object, node: str) -> None:
        """Marks the victim as disrupted, deletes it, and says so (KEP-3329)."""
        if is_deleting(victim):
            return
        why = f"{self._name}: preempting to accommodate a higher priority pod"
        condition = self._condition("DisruptionTarget", "True", "PreemptionByScheduler", why, victim)
        await self._patch_status(victim, with_condition(victim, condition))
        namespace, name = namespace_of(victim), name_of(victim)
        await self._client.delete("pods", namespace, name, uid=uid_of(victim))
        message = f"Preempted by pod {uid_of(pod)} on node {node}"
        await self._events.record(victim, "Normal", "Preempted", "Preempting", message)

    async def withdraw(self, pod: Object) -> None:
        """A pod of higher priority was nominated to the same node: this one looks for another."""
        try:
            await self._patch_status(pod, {"nominatedNodeName": None})
        except (ApiError, OSError) as error:
            log.debug("nomination of %s: %s", name_of(pod), error)

    def _condition(self, type_: str, status: str, reason: str, message: str, pod: Object) -> Object:
        return {
            "type": type_,
            "status": status,
            "reason": reason,
            "message": message,
            "lastProbeTime": None,
            "lastTransitionTime": timestamp(self._clock.now()),
            "observedGeneration": pod["metadata"].get("generation") or 1,
        }

    async def _patch_status(self, pod: Object, status: Object) -> None:
        namespace, name = namespace_of(pod), name_of(pod)
        patch = {"status": status}
        await self._client.patch("pods", namespace, name, patch, type="strategic", subresource="status")
