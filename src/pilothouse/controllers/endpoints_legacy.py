"""Endpoints: the old form of EndpointSlices, which many clients still read.

Deprecated upstream since 1.33 but served; one object per Service, at most 1,000 addresses.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..api.object import (
    Object,
    annotations_of,
    get,
    is_deleting,
    labels_of,
    split_key,
    uid_of,
)
from ..client.informer import IndexFunction
from . import endpoints as lib
from . import pods as podlib
from .common import same, with_metadata
from .plan import NOTHING, Controller, Create, Delete, Plan, Source, Tell, Update, View, own

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
_CONTROLLER = "endpoint-controller"
_OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
_ADDRESSES_MAX = 1000


class EndpointsController(Controller):
    name = "endpoints"
    component = "endpoint-controller"

    @property
    def sources(self) -> Mapping[str, Source]:
        return {"services": own, "pods": _services_of_pod, "endpoints": own}

    @property
    def indexes(self) -> Mapping[str, Mapping[str, IndexFunction]]:
        return {"pods": {"node": lib.by_node}}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        namespace, name = split_key(key)
        service = view.of("services").get(namespace, name)
        current = view.of("endpoints").get(namespace, name)
        if service is None:
            if current is not None and labels_of(current).get(MANAGED_BY) == _CONTROLLER:
                return Plan([Delete("endpoints", namespace, name, uid_of(current))])
            return NOTHING
        if not lib.has_endpoints(service) or is_deleting(service):
            return NOTHING
        subsets, changed_at, truncated = _subsets(service, current, view)
        labels = {k: v for k, v in labels_of(service).items() if k != lib.HEADLESS}
        if lib.is_headless(service):
            labels[lib.HEADLESS] = ""
        labels[MANAGED_BY] = _CONTROLLER
        if (
            current is not None
            and same(subsets, current.get("subsets") or [])
            and labels == labels_of(current)
            and truncated == (annotations_of(current).get(_OVER_CAPACITY) == "truncated")
        ):
            return NOTHING
        annotations = dict(annotations_of(current)) if current else {}
        annotations.pop(lib.TRIGGER_TIME, None)
        if changed_at:
            annotations[lib.TRIGGER_TIME] = changed_at
        annotations.pop(_OVER_CAPACITY, None)
        if truncated:
            annotations[_OVER_CAPACITY] = "truncated"
        wanted: Object = {
            **with_metadata(
                current
                or {
                    "apiVersion": "v1",
                    "kind": "Endpoints",
                    "metadata": {"name": name, "namespace": namespace},
                },
                labels=labels,
                annotations=annotations,
            ),
            "subsets": subsets,
        }
        if current is None:
            failed = f"Failed to create endpoint for service {key}: {{error}}"
            return Plan(
                [Create("endpoints", wanted, Tell(wanted, failed=("FailedToCreateEndpoint", failed)))]
            )
        failed = f"Failed to update endpoint {key}: {{error}}"
        return Plan(
            [Update("endpoints", wanted, tell=Tell(wanted, failed=("FailedToUpdateEndpoint", failed)))]
        )


def _services_of_pod(old: Object | None, new: Object | None, view: View) -> list[str]:
    """A phase alone wakes nobody, upstream: a pod that failed but never said that it is not ready stays in."""
    if old is not None and new is not None and not is_deleting(new) and lib.facts(old) == lib.facts(new):
        return []
    return lib.services_of_pod(old, new, view)


def _subsets(service: Object, current: Object | None, view: View) -> tuple[list[Object], str, bool]:
    """`RepackSubsets`: ports that the same addresses have are one subset, addresses in order."""
    publish = bool(get(service, "spec.publishNotReadyAddresses"))
    family = lib.address_types(service)[0]
    known = _known_uids(current)
    changed: list[str] = [] if current else [service["metadata"].get("creationTimestamp", "")]
    of_port: dict[lib.Port | None, tuple[list[Object], list[Object]]] = {}
    count = 0
    truncated = False
    for pod in lib.pods_of(service, view, terminating=publish):
        ips = lib.addresses(pod, family)
        ports = tuple(lib.ports_of(service, pod, named=False))
        if not ips or (get(service, "spec.ports") and not ports):
            continue
        if count >= _ADDRESSES_MAX:
            truncated = True
            break
        count += 1
        ready = publish or podlib.is_ready(pod)
        if known.get(uid_of(pod)) != ready:
            changed.append(lib.ready_changed_at(pod))
        address: Object = {"ip": ips[0], "targetRef": lib.target_reference(pod)}
        if pod["spec"].get("nodeName"):
            address["nodeName"] = pod["spec"]["nodeName"]
        if host := lib.hostname(service, pod):
            address["hostname"] = host
        for port in ports or (None,):
            of_port.setdefault(port, ([], []))[0 if ready else 1].append(address)
    subsets: list[Object] = []
    for port, (ready_addresses, unready) in of_port.items():
        subset: Object = {}
        if ready_addresses:
            subset["addresses"] = sorted(ready_addresses, key=lambda a: a["ip"])
        if unready:
            subset["notReadyAddresses"] = sorted(unready, key=lambda a: a["ip"])
        own_port = [port.as_object(named=False)] if port else []
        twin = next((s for s in subsets if {**s, "ports": None} == {**subset, "ports": None}), None)
        if twin is not None:
            twin.setdefault("ports", []).extend(own_port)
        else:
            subsets.append({**subset, "ports": own_port} if own_port else subset)
    return subsets, min((t for t in changed if t), default=""), truncated


def _known_uids(current: Object | None) -> dict[str, bool]:
    return {
        get(address, "targetRef.uid", ""): ready
        for subset in (current or {}).get("subsets") or ()
        for part, ready in (("addresses", True), ("notReadyAddresses", False))
        for address in subset.get(part) or ()
    }
