"""Gives Services of type LoadBalancer an address from the cluster's own pool.

The lowest address that no other Service has; one that is asked for (`spec.loadBalancerIP`) if it is free. network/ makes it
reachable.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from ..api.object import Object, get, is_deleting, name_of, namespace_of, split_key
from .plan import NOTHING, Action, Controller, Event, Patch, Plan, Source, View

_FINALIZER = "service.kubernetes.io/load-balancer-cleanup"


class LoadBalancerController(Controller):
    name = "service-lb-controller"
    component = "service-controller"
    workers = 1  # two at a time could choose the same address

    @property
    def sources(self) -> Mapping[str, Source]:
        return {"services": _of_service}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        service = view.of("services").get(*split_key(key))
        if service is None:
            return NOTHING
        has = _addresses(service)
        if not _wants(service) or is_deleting(service):
            return _take_back(service) if has or _has_finalizer(service) else NOTHING
        if not self.env.load_balancer_pool:
            return NOTHING  # nobody provides load balancers here: as without a cloud
        actions: list[Action] = []
        if not _has_finalizer(service):
            finalizers = [*(service["metadata"].get("finalizers") or []), _FINALIZER]
            return Plan([_patch(service, {"metadata": {"finalizers": finalizers}})])
        taken = {a for s in view.of("services").list() if s is not service for a in _addresses(s)}
        if has and not set(has) & taken:
            return NOTHING
        address = self._choose(get(service, "spec.loadBalancerIP", ""), taken)
        actions.append(Event(service, "Normal", "EnsuringLoadBalancer", "Ensuring load balancer"))
        if address is None:
            message = "Error syncing load balancer: failed to ensure load balancer: no free address in the cluster's pool"
            return Plan([*actions, Event(service, "Warning", "SyncLoadBalancerFailed", message)], 60.0)
        ingress = [{"ip": address, "ipMode": "VIP"}]
        actions.append(_patch(service, {"status": {"loadBalancer": {"ingress": ingress}}}))
        actions.append(Event(service, "Normal", "EnsuredLoadBalancer", "Ensured load balancer"))
        return Plan(actions)

    def _choose(self, wanted: str, taken: set[str]) -> str | None:
        assert self.env.load_balancer_pool
        first, last = (ipaddress.ip_address(a) for a in self.env.load_balancer_pool)
        if wanted:
            inside = int(first) <= int(ipaddress.ip_address(wanted)) <= int(last)
            return wanted if inside and wanted not in taken else None
        for number in range(int(first), int(last) + 1):
            address = str(ipaddress.ip_address(number))
            if address not in taken:
                return address
        return None


def _of_service(old: Object | None, new: Object | None, view: View) -> list[str]:
    service = new or old or {}
    keys = [f"{namespace_of(service)}/{name_of(service)}"]
    if old is not None and _addresses(old) and (new is None or not _addresses(new)):
        # an address came free: whoever waits for one
        keys += [
            f"{namespace_of(s)}/{name_of(s)}"
            for s in view.of("services").list()
            if _wants(s) and not _addresses(s)
        ]
    return keys


def _wants(service: Object) -> bool:
    spec = service["spec"]
    return spec.get("type") == "LoadBalancer" and not spec.get("loadBalancerClass")


def _addresses(service: Object) -> list[str]:
    return [i["ip"] for i in get(service, "status.loadBalancer.ingress", []) if i.get("ip")]


def _has_finalizer(service: Object) -> bool:
    return _FINALIZER in (service["metadata"].get("finalizers") or [])


def _take_back(service: Object) -> Plan:
    if service["spec"].get("loadBalancerClass"):
        return NOTHING  # another implementation's
    if _addresses(service) and not is_deleting(service):
        return Plan(
            [
                Event(service, "Normal", "DeletingLoadBalancer", "Deleting load balancer"),
                _patch(service, {"status": {"loadBalancer": None}}),
                Event(service, "Normal", "DeletedLoadBalancer", "Deleted load balancer"),
            ]
        )
    finalizers = [f for f in service["metadata"].get("finalizers") or [] if f != _FINALIZER]
    return Plan([_patch(service, {"metadata": {"finalizers": finalizers}})])


def _patch(service: Object, changes: Object) -> Patch:
    """All of it through `/status`, finalizers too, as upstream's service controller does: its role has no more."""
    version = {"resourceVersion": service["metadata"].get("resourceVersion")}
    patch = {**changes, "metadata": {**version, **changes.get("metadata", {})}}
    return Patch("services", namespace_of(service), name_of(service), patch, subresource="status")
