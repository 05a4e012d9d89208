"""EndpointSlices of Services with a selector: where each of their pods is, and whether it should get traffic.

Endpoints are grouped by the set of ports they have (named ports may differ from pod to pod), and put into slices of at
most 100. What is already in a slice stays in it, so that a change of one pod rewrites one slice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..api.object import (
    Object,
    annotations_of,
    condition_of,
    get,
    is_deleting,
    key_of,
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
from .plan import (
    NOTHING,
    Action,
    Controller,
    Create,
    Delete,
    Environment,
    Event,
    Plan,
    Source,
    Tell,
    Update,
    View,
    own,
)
from .topology_hints import NoHints, Slice, add_hints, wants_topology

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
    account = "endpointslice-controller"

    def __init__(self, env: Environment):
        super().__init__(env)
        self._hinted: set[str] = set()  # services whose slices have hints for their topology

    @property
    def sources(self) -> Mapping[str, Source]:
        return {
            "services": own,
            "pods": lib.services_of_pod,
            "nodes": self._of_node,
            RESOURCE: service_of_slice(_CONTROLLER),
        }

    @property
    def indexes(self) -> Mapping[str, Mapping[str, IndexFunction]]:
        return {"pods": {"node": lib.by_node}, RESOURCE: {"service": by_service}}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        service = view.of("services").get(*split_key(key))
        if service is None:
            self._hinted.discard(key)
        if service is None or is_deleting(service) or not lib.has_endpoints(service):
            return NOTHING  # slices of a service that is gone are the garbage collector's
        slices = [
            s for s in view.of(RESOURCE).by_index("service", f"{_CONTROLLER}/{key}") if not is_deleting(s)
        ]
        families = lib.address_types(service)
        owned = [s for s in slices if s["addressType"] in families and _is_owned(s, service)]
        actions = [_delete(s) for s in slices if s not in owned]
        skipped: dict[str, None] = {}
        trigger = _trigger_time(service, slices, view)
        events: list[Action] = []
        for family in families:
            mine = sorted((s for s in owned if s["addressType"] == family), key=name_of)
            desired = _desired(service, family, view, skipped)
            hint = self._hinter(service, family, view, events)
            actions += _reconcile_family(service, family, mine, desired, trigger, hint)
        if skipped:  # without those; the node's arrival wakes us again
            what = next(iter(skipped)) if len(skipped) == 1 else f"[{', '.join(skipped)}]"
            message = f"Error updating Endpoint Slices for Service {key}: {what}"
            events.append(Event(service, "Warning", "FailedToUpdateEndpointSlices", message))
        return Plan([*actions, *events])

    def _of_node(self, old: Object | None, new: Object | None, view: View) -> list[str]:
        keys = lib.services_on_node(old, new, view)
        if old is None or new is None or _topology_of(old) != _topology_of(new):
            keys += sorted(self._hinted.difference(keys))
        return keys

    def _hinter(self, service: Object, family: str, view: View, events: list[Action]) -> Hinter | None:
        key = key_of(service)

        def tell(type_: str, what: str, message: str) -> None:
            message = f"{message}, addressType: {family}"
            events.append(Event(service, type_, f"TopologyAwareHints{what}", message))

        def hint(slices: list[Slice]) -> None:
            try:
                add_hints(slices, view.of("nodes").list())
            except NoHints as error:
                self._hinted.discard(key)
                tell("Warning", "Disabled", str(error))
            else:
                if key not in self._hinted:
                    self._hinted.add(key)
                    tell("Normal", "Enabled", "Topology Aware Hints has been enabled")

        if wants_topology(service):
            return hint
        if key in self._hinted:
            self._hinted.discard(key)
            tell("Warning", "Disabled", "Topology Aware Hints has been disabled")
        return None


Hinter = Callable[[list[Slice]], None]
Desired = dict[PortSet, dict[str, Object]]  # ports → pod uid → endpoint


def _topology_of(node: Object) -> tuple[object, ...]:
    ready = condition_of(node, "Ready") or {}
    return labels_of(node).get("topology.kubernetes.io/zone"), ready.get("status") == "True"


def _is_owned(s: Object, service: Object) -> bool:
    return any(r.get("uid") == uid_of(service) for r in s["metadata"].get("ownerReferences") or ())


def _trigger_time(service: Object, slices: list[Object], view: View) -> str:
    """When what we tell of began: with the service, or when the first of the pods that changed became (un)ready."""
    if not slices:
        return str(service["metadata"].get("creationTimestamp", ""))
    known = {
        get(e, "targetRef.uid", ""): get(e, "conditions.serving")
        for s in slices
        for e in s.get("endpoints") or ()
    }
    pods = lib.pods_of(service, view, terminating=True)
    changed = [lib.ready_changed_at(p) for p in pods if known.get(uid_of(p)) != podlib.is_ready(p)]
    return min((time for time in changed if time), default="")


def _desired(service: Object, family: str, view: View, skipped: dict[str, None]) -> Desired:
    publish = bool(get(service, "spec.publishNotReadyAddresses"))
    desired: Desired = {}
    for pod in lib.pods_of(service, view, terminating=True):
        addresses = lib.addresses(pod, family)
        node_name = pod["spec"].get("nodeName") or ""
        node = view.of("nodes").get("", node_name) if node_name else None
        if node is None and not publish:
            where = f"Service {namespace_of(service)}/{name_of(service)}"
            skipped[f"skipping Pod {name_of(pod)} for {where}: Node {node_name} Not Found"] = None
        elif addresses:
            ports = tuple(lib.ports_of(service, pod, named=True))
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
    if made["conditions"]["ready"] and (hints := _hints(service, made)):
        made["hints"] = hints
    return made


def _hints(service: Object, endpoint: Object) -> Object:
    """`spec.trafficDistribution`: who is near an endpoint may prefer it."""
    distribution = get(service, "spec.trafficDistribution")
    hints: Object = {}
    if distribution and not wants_topology(service):
        if endpoint.get("zone"):
            hints["forZones"] = [{"name": endpoint["zone"]}]
        if distribution == "PreferSameNode" and endpoint.get("nodeName"):
            hints["forNodes"] = [{"name": endpoint["nodeName"]}]
    return hints


def _reconcile_family(
    service: Object,
    family: str,
    slices: list[Object],
    desired: Desired,
    trigger: str,
    hint: Hinter | None,
) -> list[Action]:
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
    if hint is not None:
        hint([(old, endpoints) for old, _, endpoints in contents])
    actions: list[Action] = []
    for old, ports, endpoints in contents:
        if old is None and spare:
            old = spare.pop()
        if not endpoints and old is not None and sum(1 for c in contents if c[1] == ports) > 1:
            spare.append(old)
        elif old is None:
            actions.append(_create(service, family, ports, endpoints, trigger))
        else:
            actions += _update(service, old, ports, endpoints, trigger)
    return actions + [_delete(s) for s in spare]


def _distribute(
    slices: list[Object], ports: PortSet, wanted: dict[str, Object]
) -> list[tuple[Object | None, PortSet, list[Object]]]:
    missing = dict(wanted)
    contents: list[tuple[Object | None, PortSet, list[Object]]] = []
    changed: list[list[Object]] = []
    unchanged: list[list[Object]] = []
    for s in slices:
        before = s.get("endpoints") or []
        uids = [get(endpoint, "targetRef.uid", "") for endpoint in before]
        kept = [missing.pop(uid) for uid in uids if uid in missing]
        contents.append((s, ports, kept))
        (unchanged if kept == before else changed).append(kept)
    left = list(missing.values())
    # what is written anyway is filled first, the fullest before; then one of the others if all that is left fits in
    for kept in sorted((kept for kept in changed if kept), key=lambda kept: -len(kept)):
        room = _ENDPOINTS_MAX - len(kept)
        kept += left[:room]
        left = left[room:]
    while left:
        fitting = [kept for kept in unchanged if len(kept) + len(left) <= _ENDPOINTS_MAX]
        if fitting:
            max(fitting, key=len).extend(left)
            break
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


def _create(service: Object, family: str, ports: PortSet, endpoints: list[Object], trigger: str) -> Action:
    prefix = f"{name_of(service)}-"
    metadata: Object = {
        "generateName": prefix if len(prefix) <= 253 else name_of(service),
        "namespace": namespace_of(service),
        "labels": _labels(service),
        "ownerReferences": [owner_reference(service, "v1", "Service")],
    }
    if trigger:
        metadata["annotations"] = {lib.TRIGGER_TIME: trigger}
    made = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": family,
        **_body(ports, endpoints),
    }
    return Create(RESOURCE, made, _tell(service, "create"))


def _tell(service: Object, doing: str) -> Tell:
    where = f"Service {namespace_of(service)}/{name_of(service)}"
    message = (
        f"Error updating Endpoint Slices for {where}: failed to {doing} EndpointSlice for {where}: {{error}}"
    )
    return Tell(service, failed=("FailedToUpdateEndpointSlices", message))


def _update(
    service: Object, old: Object, ports: PortSet, endpoints: list[Object], trigger: str
) -> list[Action]:
    body = _body(ports, endpoints)
    labels = _labels(service)
    if (
        body["endpoints"] == (old.get("endpoints") or [])
        and ports == _ports_of_slice(old)
        and labels == labels_of(old)
    ):
        return []
    annotations = {k: v for k, v in annotations_of(old).items() if k != lib.TRIGGER_TIME}
    if trigger:
        annotations[lib.TRIGGER_TIME] = trigger
    changed = {**with_metadata(old, labels=labels, annotations=annotations), **body}
    return [Update(RESOURCE, changed, tell=_tell(service, f"update {name_of(old)}"))]


def _delete(s: Object) -> Action:
    return Delete(RESOURCE, namespace_of(s), name_of(s), uid_of(s))
