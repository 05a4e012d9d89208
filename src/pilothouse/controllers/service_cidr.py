"""ServiceCIDR: says that it is ready, and keeps it while addresses of it are in use (KEP-1880)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from ..api.object import Object, condition_of, is_deleting, name_of, split_key
from .common import same, set_condition, with_metadata, with_status
from .plan import NOTHING, Action, Controller, Plan, Source, Update, View, own

_RESOURCE = "servicecidrs.networking.k8s.io"
_ADDRESSES = "ipaddresses.networking.k8s.io"
_FINALIZER = "networking.k8s.io/service-cidr-finalizer"


class ServiceCidrController(Controller):
    name = "service-cidr"
    component = "service-cidr-controller"
    account = "service-cidrs-controller"

    @property
    def sources(self) -> Mapping[str, Source]:
        return {_RESOURCE: _all, _ADDRESSES: _those_being_deleted}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        cidr = view.of(_RESOURCE).get(*split_key(key))
        if cidr is None:
            return NOTHING
        finalizers = cidr["metadata"].get("finalizers") or []
        conditions = (cidr.get("status") or {}).get("conditions") or []
        if not is_deleting(cidr):
            actions: list[Action] = []
            if _FINALIZER not in finalizers:
                cidr = with_metadata(cidr, finalizers=[*finalizers, _FINALIZER])
                return Plan([Update(_RESOURCE, cidr)])
            if (condition_of(cidr, "Ready") or {}).get("status") != "True":
                wanted = set_condition(
                    conditions, "Ready", "True", "", "Kubernetes Service CIDR is ready", now
                )
                actions.append(Update(_RESOURCE, with_status(cidr, {"conditions": wanted}), "status"))
            return Plan(actions)
        if _FINALIZER not in finalizers:
            return NOTHING
        if _holds_addresses(cidr, view):
            message = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
            wanted = set_condition(conditions, "Ready", "False", "Terminating", message, now)
            if same(wanted, conditions):
                return NOTHING
            return Plan([Update(_RESOURCE, with_status(cidr, {"conditions": wanted}), "status")])
        kept = [f for f in finalizers if f != _FINALIZER]
        return Plan([Update(_RESOURCE, with_metadata(cidr, finalizers=kept))])


def _networks(cidr: Object) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_network(text) for text in cidr["spec"].get("cidrs") or ()]


def _holds_addresses(cidr: Object, view: View) -> bool:
    """Of addresses that no other range that stays would hold."""
    others = [
        network
        for other in view.of(_RESOURCE).list()
        if name_of(other) != name_of(cidr) and not is_deleting(other)
        for network in _networks(other)
    ]
    mine = _networks(cidr)
    for used in view.of(_ADDRESSES).list():
        address = ipaddress.ip_address(name_of(used))
        if any(address in n for n in mine) and not any(address in n for n in others):
            return True
    return False


def _all(old: Object | None, new: Object | None, view: View) -> list[str]:
    """A range that comes or goes may free another."""
    if old is not None and new is not None:
        return own(old, new, view)
    return sorted({name_of(c) for c in (*view.of(_RESOURCE).list(), *([new] if new else []))})


def _those_being_deleted(old: Object | None, new: Object | None, view: View) -> list[str]:
    return [name_of(cidr) for cidr in view.of(_RESOURCE).list() if is_deleting(cidr)]
