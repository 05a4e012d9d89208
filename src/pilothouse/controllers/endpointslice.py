"""EndpointSlices of Services with a selector: where each of their pods is, and whether it should get traffic.

Endpoints are grouped by the set of ports they have (named ports may differ from pod to pod), and put into slices of at
most 100. What is already in a slice stays in it, so that a change of one pod rewrites one slice.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..api.object import (
    Object,
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
from . import pods as podlib
from .common import with_metadata
from .plan import NOTHING, Action, Controller, Create, Delete, Plan, Source, Tell, Update, View, own

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
SERVICE_NAME = "kubernetes.io/service-name"
RESOURCE = "endpointslices.discovery.k8s.io"
_CONTROLLER = "endpointslice-controller.k8s.io"
_ENDPOINTS_MAX = 100

PortSet = tuple[lib.Port, ...]


def by_service(endpoint_slice: Object) -> list[str]:
    labels = labels_of(endpoint_slice)
    return [f"{labels.get(MANAGED_BY, '')}/{namespace_of(endpoint_slice)}/{labels.get(SERVICE_NAME, '')}"]


def service_of_slice(manager: str) -> Source:
    """A source: a slice that somebody else touched."""

    def source(old: Object | None, new: Object | None, view: View) -> list[str]:
        return [
            f"{namespace_of(o)}/{labels_of(o)[SERVICE_NAME]}"
            for o in (old, new)
            if o is not None and labels_of(o).get(MANAGED_BY) == manager and SERVICE_NAME in labels_of(o)
        ]

    return source


class EndpointSliceController(Controller):
    name = "endpointslice"
    component = "endpoint-slice-controller"

    @property
    def sources(self) -> Mapping[str, Source]:
        return {
            "services": own,
            "pods": lib.services_of_pod,
            "nodes": lib.services_on_node,
            RESOURCE: service_of_slice(_CONTROLLER),
        }

    @property
    def indexes(self) -> Mapping[str, Mapping[str, IndexFunction]]:
        return {"pods": {"node": lib.by_node}, RESOURCE: {"service": by_service}}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        service = view.of("services").get(*split_key(key))
        if service is None or is_deleting(service) or not lib.has_endpoints(service):
            return NOTHING  # slices of a service that is gone are the garbage collector's
        slices = [
            s for s in view.of(RESOURCE).by_index("service", f"{_CONTROLLER}/{key}") if not is_deleting(s)
        ]
        families = lib.address_types(service)
        actions = [_delete(s) for s in slices if s["addressType"] not in families]
        for family in families:
            mine = sorted((s for s in slices if s["addressType"] == family), key=name_of)
            actions += _reconcile_family(service, family, mine, _desired(service, family, view))
        return Plan(actions)


Desired = dict[PortSet, dict[str, Object]]  # ports → pod uid → endpoint


def _desired(service: Object, family: str, view: View) -> Desired:
    publish = bool(get(service, "spec.publishNotReadyAddresses"))
    desired: Desired = {}
    for pod in lib.pods_of(service, view, terminating=True):
        addresses = lib.addresses(pod, family)
        node_name = pod["spec"].get("nodeName") or ""
        node = view.of("nodes").get("", node_name) if node_name else None
        if not addresses or (node is None and not publish):
            continue  # its node is not known (yet): the node's arrival wakes us again
        ports = tuple(lib.ports_of(service, pod))
        desired.setdefault(ports, {})[uid_of(pod)] = _endpoint(service, pod, node, addresses, publish)
    return desired


def _endpoint(
    service: Object, pod: Object, node: Object | None, addresses: list[str], publish: bool
) -> Object:
    serving, terminating = podlib.is_ready(pod), is_deleting(pod)
    made: Object = {
        "addresses": addresses,
        "conditions": {
            "ready": publish or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": lib.target_reference(pod),
    }
    optional = {
        "hostname": lib.hostname(service, pod),
        "nodeName": pod["spec"].get("nodeName"),
        "zone": labels_of(node or {"metadata": {}}).get("topology.kubernetes.io/zone"),
    }
    made.update({k: v for k, v in optional.items() if v})
    return made


def _reconcile_family(service: Object, family: str, slices: list[Object], desired: Desired) -> list[Action]:
    """Same ports: keep what is there, add what is missing. Other ports: such slices are used again before new ones."""
    by_ports: dict[PortSet, list[Object]] = {}
    for s in slices:
        by_ports.setdefault(_ports_of_slice(s), []).append(s)
    if not desired:
        desired = {(): {}}  # one empty slice says "there are none" better than no slice
    spare = [s for ports, listed in by_ports.items() if ports not in desired for s in listed]
    contents: list[tuple[Object | None, PortSet, list[Object]]] = []
    for ports, wanted in desired.items():
        contents += _distribute(by_ports.get(ports, []), ports, wanted)
    actions: list[Action] = []
    for old, ports, endpoints in contents:
        if old is None and spare:
            old = spare.pop()
        if not endpoints and old is not None and sum(1 for c in contents if c[1] == ports) > 1:
            spare.append(old)
        elif old is None:
            actions.append(_create(service, family, ports, endpoints))
        else:
            actions += _update(service, old, ports, endpoints)
    return actions + [_delete(s) for s in spare]


def _distribute(
    slices: list[Object], ports: PortSet, wanted: dict[str, Object]
) -> list[tuple[Object | None, PortSet, list[Object]]]:
    missing = dict(wanted)
    contents: list[tuple[Object | None, PortSet, list[Object]]] = []
    for s in slices:
        kept = []
        for endpoint in s.get("endpoints") or ():
            uid = get(endpoint, "targetRef.uid", "")
            if uid in missing:
                kept.append(missing.pop(uid))
        contents.append((s, ports, kept))
    left = list(missing.values())
    # fill the fullest slice that has room, so that few slices change and none stays half empty for ever
    for _, _, kept in sorted(contents, key=lambda c: -len(c[2])):
        room = _ENDPOINTS_MAX - len(kept)
        kept += left[:room]
        left = left[room:]
    while left:
        contents.append((None, ports, left[:_ENDPOINTS_MAX]))
        left = left[_ENDPOINTS_MAX:]
    if not contents:
        contents.append((None, ports, []))
    return contents


def _ports_of_slice(s: Object) -> PortSet:
    return tuple(
        lib.Port(p.get("name") or "", p["port"], p.get("protocol", "TCP"), p.get("appProtocol"))
        for p in s.get("ports") or ()
    )


def _labels(service: Object) -> dict[str, str]:
    labels = {
        k: v for k, v in labels_of(service).items() if k not in (lib.HEADLESS, SERVICE_NAME, MANAGED_BY)
    }
    if lib.is_headless(service):
        labels[lib.HEADLESS] = ""
    labels[SERVICE_NAME] = name_of(service)
    labels[MANAGED_BY] = _CONTROLLER
    return labels


def _body(ports: PortSet, endpoints: list[Object]) -> Object:
    return {
        "endpoints": endpoints,
        "ports": [port.as_object(named=True) for port in ports],
    }


def _create(service: Object, family: str, ports: PortSet, endpoints: list[Object]) -> Action:
    metadata: Object = {
        "generateName": f"{name_of(service)}-",
        "namespace": namespace_of(service),
        "labels": _labels(service),
        "ownerReferences": [owner_reference(service, "v1", "Service")],
        "annotations": {lib.TRIGGER_TIME: service["metadata"].get("creationTimestamp", "")},
    }
    made = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": family,
        **_body(ports, endpoints),
    }
    failed = f"Error creating EndpointSlice for Service {namespace_of(service)}/{name_of(service)}: {{error}}"
    return Create(RESOURCE, made, Tell(service, failed=("FailedToUpdateEndpointSlices", failed)))


def _update(service: Object, old: Object, ports: PortSet, endpoints: list[Object]) -> list[Action]:
    body = _body(ports, endpoints)
    labels = _labels(service)
    if (
        body["endpoints"] == (old.get("endpoints") or [])
        and ports == _ports_of_slice(old)
        and labels == labels_of(old)
    ):
        return []
    changed = with_metadata(old, labels=labels, annotations=_annotations(old, endpoints))
    changed.update(body)
    failed = f"Error updating EndpointSlice {name_of(old)}: {{error}}"
    return [Update(RESOURCE, changed, tell=Tell(service, failed=("FailedToUpdateEndpointSlices", failed)))]


def _annotations(old: Object, endpoints: list[Object]) -> dict[str, str]:
    return {k: v for k, v in (old["metadata"].get("annotations") or {}).items() if k != lib.TRIGGER_TIME}


def _delete(s: Object) -> Action:
    return Delete(RESOURCE, namespace_of(s), name_of(s), uid_of(s))
