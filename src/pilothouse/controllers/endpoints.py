"""What Services point at, as both controllers of it need it: which pods, which ports, ready or not. All pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from ..api.object import Object, get, is_deleting, labels_of, name_of, namespace_of, uid_of
from . import pods as podlib
from .common import matches_map
from .plan import View

TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
HEADLESS = "service.kubernetes.io/headless"


@dataclass(frozen=True, slots=True)
class Port:
    name: str
    port: int
    protocol: str
    app_protocol: str | None

    def hash(self, *, named: bool) -> int:
        """What upstream orders ports by: FNV-1a (128 bits) of Go's way to write them (slices hold pointers)."""
        star = "*" if named else ""
        protocol, port = f"Protocol:({star}v1.Protocol){self.protocol}", f"Port:({star}int32){self.port}"
        middle = f"{protocol} {port}" if named else f"{port} {protocol}"
        app = self.app_protocol if self.app_protocol is not None else "<nil>"
        text = f"(v1.EndpointPort){{Name:({star}string){self.name} {middle} AppProtocol:(*string){app}}}"
        value = 0x6C62272E07BB014262B821756295C58D
        for byte in text.encode():
            value = ((value ^ byte) * 0x1000000000000000000013B) & (2**128 - 1)
        return value

    def as_object(self, *, named: bool) -> Object:
        """`named`: slices always have a name, if only ""; Endpoints leave an empty one out."""
        made: Object = {"name": self.name} if named or self.name else {}
        made.update(port=self.port, protocol=self.protocol)
        if self.app_protocol:
            made["appProtocol"] = self.app_protocol
        return made


def has_endpoints(service: Object) -> bool:
    """Neither an alias nor one whose endpoints are written by hand."""
    return get(service, "spec.type") != "ExternalName" and bool(get(service, "spec.selector"))


def is_headless(service: Object) -> bool:
    return get(service, "spec.clusterIP", "") in ("", "None")


def address_types(service: Object) -> list[str]:
    families = get(service, "spec.ipFamilies") or ["IPv4"]
    return list(families)


def pods_of(service: Object, view: View, *, terminating: bool) -> list[Object]:
    """By name, so that what is made of them does not depend on history."""
    selector = get(service, "spec.selector")
    found = view.of("pods").list(
        namespace_of(service),
        lambda pod: (
            matches_map(selector, labels_of(pod))
            and not podlib.is_terminal(pod)
            and bool(get(pod, "status.podIP") or get(pod, "status.podIPs"))
            and (terminating or not is_deleting(pod))
        ),
    )
    return sorted(found, key=name_of)


def addresses(pod: Object, family: str) -> list[str]:
    listed = [entry["ip"] for entry in get(pod, "status.podIPs", [])] or [get(pod, "status.podIP", "")]
    version = 6 if family == "IPv6" else 4
    return [ip for ip in listed if ip and ipaddress.ip_address(ip).version == version]


def ports_of(service: Object, pod: Object, *, named: bool) -> list[Port]:
    """A port whose name the pod does not have is left out. `named`: for slices."""
    found = []
    for port in get(service, "spec.ports", []):
        number = _number(port, pod)
        if number:
            found.append(
                Port(port.get("name", ""), number, port.get("protocol", "TCP"), port.get("appProtocol"))
            )
    return sorted(found, key=lambda port: port.hash(named=named)) if len(found) > 1 else found


def _number(service_port: Object, pod: Object) -> int | None:
    target = service_port.get("targetPort", service_port["port"])
    if isinstance(target, int):
        return target or int(service_port["port"])
    spec = pod["spec"]
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in (*spec["containers"], *sidecars):
        for port in container.get("ports") or ():
            if port.get("name") == target and port.get("protocol", "TCP") == service_port.get(
                "protocol", "TCP"
            ):
                return int(port["containerPort"])
    return None


def hostname(service: Object, pod: Object) -> str:
    """Set when the pod's subdomain is this service: then DNS answers for the pod by name."""
    spec = pod["spec"]
    return spec.get("hostname", "") if spec.get("subdomain") == name_of(service) else ""


def target_reference(pod: Object) -> Object:
    return {"kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod), "uid": uid_of(pod)}


def ready_changed_at(pod: Object) -> str:
    """When the pod last became ready or stopped being it: what the trigger-time annotation reports."""
    for condition in get(pod, "status.conditions", []):
        if condition["type"] == "Ready":
            return condition.get("lastTransitionTime") or ""
    return ""


def services_of_pod(old: Object | None, new: Object | None, view: View) -> list[str]:
    """A source: the services that select the pod, now or before; nobody, if nothing they look at changed."""
    if (
        old is not None
        and new is not None
        and facts(old) == facts(new)
        and podlib.is_terminal(old) == podlib.is_terminal(new)
    ):
        return []
    namespace = namespace_of(new or old or {})
    label_sets = [labels_of(pod) for pod in (old, new) if pod is not None]
    return [
        f"{namespace}/{name_of(service)}"
        for service in view.of("services").list(namespace)
        if any(matches_map(get(service, "spec.selector"), labels) for labels in label_sets)
    ]


def facts(pod: Object) -> tuple[object, ...]:
    spec = pod["spec"]
    return (
        labels_of(pod),
        is_deleting(pod),
        podlib.is_ready(pod),
        get(pod, "status.podIP"),
        get(pod, "status.podIPs"),
        spec.get("nodeName"),
        spec.get("hostname"),
        spec.get("subdomain"),
        uid_of(pod),
    )


def services_on_node(old: Object | None, new: Object | None, view: View) -> list[str]:
    """A source: a node that comes, goes or changes its zone changes the endpoints on it."""
    zones = [
        labels_of(node).get("topology.kubernetes.io/zone", "") for node in (old, new) if node is not None
    ]
    if len(zones) == 2 and zones[0] == zones[1]:
        return []
    keys: dict[str, None] = {}
    for pod in view.of("pods").by_index("node", name_of(new or old or {})):
        keys.update(dict.fromkeys(services_of_pod(None, pod, view)))
    return list(keys)


def by_node(pod: Object) -> list[str]:
    node = pod["spec"].get("nodeName")
    return [node] if node else []
