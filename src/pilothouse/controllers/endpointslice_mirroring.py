"""EndpointSlices for Endpoints that somebody wrote by hand, for a Service without a selector.

So that readers need only look at slices. One slice for each subset and address family.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from ..api.object import (
    Object,
    annotations_of,
    get,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    split_key,
    uid_of,
)
from ..client.informer import IndexFunction
from . import endpoints as lib
from .common import same, with_metadata
from .endpointslice import MANAGED_BY, RESOURCE, SERVICE_NAME, by_service, service_of_slice
from .plan import Action, Controller, Create, Delete, Event, Plan, Source, Update, View, own

_CONTROLLER = "endpointslicemirroring-controller.k8s.io"
_SKIP = "endpointslice.kubernetes.io/skip-mirror"
_LEADER = "control-plane.alpha.kubernetes.io/leader"
_NOT_COPIED = {lib.TRIGGER_TIME, "kubectl.kubernetes.io/last-applied-configuration"}
_ADDRESSES_MAX = 1000  # of one subset


class EndpointSliceMirroringController(Controller):
    name = "endpointslicemirroring"
    component = "endpoint-slice-mirroring-controller"
    account = "endpointslicemirroring-controller"

    @property
    def sources(self) -> Mapping[str, Source]:
        return {"services": own, "endpoints": own, RESOURCE: service_of_slice(_CONTROLLER)}

    @property
    def indexes(self) -> Mapping[str, Mapping[str, IndexFunction]]:
        return {RESOURCE: {"service": by_service}}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        endpoints = view.of("endpoints").get(*split_key(key))
        service = view.of("services").get(*split_key(key))
        slices = sorted(
            (s for s in view.of(RESOURCE).by_index("service", f"{_CONTROLLER}/{key}") if not is_deleting(s)),
            key=name_of,
        )
        wanted: list[Object] = []
        actions: list[Action] = []
        if endpoints is not None and service is not None and _is_mirrored(endpoints, service):
            wanted, skipped = _bodies(endpoints)
            if skipped:
                message = (
                    f"A max of {_ADDRESSES_MAX} addresses can be mirrored to EndpointSlices per Endpoints subset. "
                    f"{skipped} addresses were skipped"
                )
                actions.append(Event(endpoints, "Warning", "TooManyAddressesToMirror", message))
        spare = list(slices)
        pairs = []
        for body in wanted:
            old = next((s for s in spare if _matches(s, body)), None)
            if old is not None:
                spare.remove(old)
            pairs.append((old, body))
        for old, body in pairs:
            assert endpoints is not None
            if old is None:  # one that is of no use any more is used again
                old = next((s for s in spare if s["addressType"] == body["addressType"]), None)
                if old is not None:
                    spare.remove(old)
            fresh = _slice(endpoints, body)
            if old is None:
                actions.append(Create(RESOURCE, fresh))
                continue
            labels, annotations = fresh["metadata"]["labels"], fresh["metadata"]["annotations"]
            if not (
                _matches(old, body)
                and same(body["endpoints"], old.get("endpoints"))
                and labels == labels_of(old)
                and annotations == annotations_of(old)
            ):
                updated = {**with_metadata(old, labels=labels, annotations=annotations), **body}
                actions.append(Update(RESOURCE, updated))
        actions += [Delete(RESOURCE, namespace_of(s), name_of(s), uid_of(s)) for s in spare]
        return Plan(actions)


def _is_mirrored(endpoints: Object, service: Object) -> bool:
    return (
        not get(service, "spec.selector")
        and not is_deleting(endpoints)
        and labels_of(endpoints).get(_SKIP) != "true"
        and _LEADER not in annotations_of(endpoints)
        # what the API server writes itself for `kubernetes` has its own slice
        and (namespace_of(service), name_of(service)) != ("default", "kubernetes")
    )


def _bodies(endpoints: Object) -> tuple[list[Object], int]:
    """One for each set of ports and family; and how many addresses were too many."""
    found: dict[tuple[str, tuple[lib.Port, ...]], list[Object]] = {}
    skipped = 0
    for subset in endpoints.get("subsets") or ():
        ports = [
            lib.Port(p.get("name") or "", p["port"], p.get("protocol", "TCP"), p.get("appProtocol"))
            for p in subset.get("ports") or ()
        ]
        key = tuple(sorted(ports, key=lambda port: port.hash(named=True)))
        listed = [
            (address, ready)
            for part, ready in (("addresses", True), ("notReadyAddresses", False))
            for address in subset.get(part) or ()
        ]
        skipped += max(0, len(listed) - _ADDRESSES_MAX)
        for address, ready in listed[:_ADDRESSES_MAX]:
            endpoint: Object = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
            for field in ("hostname", "nodeName", "targetRef"):
                if address.get(field):
                    endpoint[field] = address[field]
            family = "IPv6" if ipaddress.ip_address(address["ip"]).version == 6 else "IPv4"
            found.setdefault((family, key), []).append(endpoint)
    bodies = [
        {"addressType": family, "endpoints": e, "ports": [port.as_object(named=True) for port in ports]}
        for (family, ports), e in found.items()
    ]
    return bodies, skipped


def _matches(s: Object, body: Object) -> bool:
    return s["addressType"] == body["addressType"] and same(s.get("ports") or [], body["ports"])


def _slice(endpoints: Object, body: Object) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{name_of(endpoints)}-",
            "namespace": namespace_of(endpoints),
            "labels": {
                **labels_of(endpoints),
                SERVICE_NAME: name_of(endpoints),
                MANAGED_BY: _CONTROLLER,
            },
            "annotations": {k: v for k, v in annotations_of(endpoints).items() if k not in _NOT_COPIED},
            "ownerReferences": [owner_reference(endpoints, "v1", "Endpoints")],
        },
        **body,
    }
