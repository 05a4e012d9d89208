"""Names of services and pods, pure: the Kubernetes DNS specification (kubernetes/dns, docs/specification.md, 1.1.0).

`Zone.answer(name, type)` looks a name up in the informers' state and says what is there, or that it is not ours.
Bytes and sockets are in `dns_server.py`.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..api.object import Object, labels_of, name_of, namespace_of

if TYPE_CHECKING:
    from ..client.informer import Informers

TTL_S = 5
SERVICE_LABEL = "kubernetes.io/service-name"


@dataclass(frozen=True, slots=True)
class Srv:
    port: int
    target: str


@dataclass(slots=True)
class Answer:
    """`exists`: the name is there, though perhaps without a record of this type (NODATA rather than NXDOMAIN)."""

    exists: bool = False
    addresses: list[str] = field(default_factory=list)
    services: list[Srv] = field(default_factory=list)
    alias: str = ""  # CNAME
    names: list[str] = field(default_factory=list)  # PTR
    text: list[str] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)  # SRV target -> address


class Zone:
    """What the cluster's own domain holds. Names come in without their last dot, in lower case."""

    def __init__(self, informers: Informers, domain: str = "cluster.local"):
        self.domain = domain
        self._services = informers.of("services")
        self._slices = informers.of("endpointslices.discovery.k8s.io")
        self._namespaces = informers.of("namespaces")
        self._slices.add_index("dns service", _by_service)
        self._slices.add_index("address", _by_address)
        self._services.add_index("ip", _by_cluster_ip)

    async def synced(self) -> None:
        for informer in (self._services, self._slices, self._namespaces):
            await informer.synced()

    def owns(self, name: str) -> bool:
        return name == self.domain or name.endswith("." + self.domain) or self._reverse(name) is not None

    def answer(self, name: str) -> Answer:
        """Everything known of a name of ours."""
        if (address := self._reverse(name)) is not None:
            return self._pointer(address)
        labels = name[: -len(self.domain) - 1].split(".") if name != self.domain else []
        match labels:
            case [] | ["svc"] | ["pod"]:
                return Answer(exists=True)
            case ["dns-version"]:
                return Answer(exists=True, text=["1.1.0"])
            case [namespace, "svc" | "pod"]:
                return Answer(exists=self._namespaces.get("", namespace) is not None)
            case [pod, namespace, "pod"]:
                return self._pod(pod, namespace)
            case [*rest, service, namespace, "svc"] if (
                found := self._services.get(namespace, service)
            ) is not None:
                return self._service(found, rest)
        return Answer()

    def _reverse(self, name: str) -> str | None:
        """The service or endpoint address that a reverse name asks for, if it is one of the cluster's."""
        if not name.endswith(".in-addr.arpa"):
            return None
        address = ".".join(reversed(name.removesuffix(".in-addr.arpa").split(".")))
        if self._services.by_index("ip", address) or self._endpoint_names(address):
            return address
        return None

    def _pointer(self, address: str) -> Answer:
        names = [
            f"{name_of(s)}.{namespace_of(s)}.svc.{self.domain}"
            for s in self._services.by_index("ip", address)
        ]
        return Answer(exists=True, names=names or self._endpoint_names(address))

    def _endpoint_names(self, address: str) -> list[str]:
        names = []
        for slice_ in self._slices.by_index("address", address):
            service = labels_of(slice_).get(SERVICE_LABEL)
            for endpoint in slice_.get("endpoints") or ():
                if service and address in endpoint["addresses"]:
                    host = _endpoint_name(endpoint, address)
                    names.append(f"{host}.{service}.{namespace_of(slice_)}.svc.{self.domain}")
        return names

    def _pod(self, dashed: str, namespace: str) -> Answer:
        """`10-1-2-3.default.pod`: answered from the name itself, as CoreDNS's `pods insecure` does."""
        try:
            address = str(ipaddress.IPv4Address(dashed.replace("-", ".")))
        except ValueError:
            return Answer()
        if self._namespaces.get("", namespace) is None:
            return Answer()
        return Answer(exists=True, addresses=[address])

    def _service(self, service: Object, rest: list[str]) -> Answer:
        spec = service.get("spec") or {}
        own = f"{name_of(service)}.{namespace_of(service)}.svc.{self.domain}"
        if spec.get("type") == "ExternalName":
            return Answer(exists=True, alias=spec["externalName"]) if not rest else Answer()
        if spec.get("clusterIP") not in (None, "", "None"):
            return self._cluster_ip(spec, own, rest)
        return self._headless(service, own, rest)

    def _cluster_ip(self, spec: Object, own: str, rest: list[str]) -> Answer:
        addresses = list(spec.get("clusterIPs") or [spec["clusterIP"]])
        ports = spec.get("ports") or []
        if not rest:
            services = [Srv(port["port"], own) for port in ports]
            return Answer(True, addresses, services, extra={own: addresses[0]})
        if (wanted := _srv_name(rest)) is not None:
            services = [Srv(p["port"], own) for p in ports if _matches(p, *wanted)]
            return Answer(bool(services), services=services, extra={own: addresses[0]})
        return Answer()

    def _headless(self, service: Object, own: str, rest: list[str]) -> Answer:
        publish = (service.get("spec") or {}).get("publishNotReadyAddresses")
        answer = Answer(exists=not rest)
        wanted = _srv_name(rest)
        for slice_ in self._slices.by_index("dns service", f"{namespace_of(service)}/{name_of(service)}"):
            for endpoint in slice_.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready") is False and not publish:
                    continue
                for address in endpoint["addresses"]:
                    host = _endpoint_name(endpoint, address)
                    target = f"{host}.{own}"
                    if not rest or rest == [host]:
                        answer.exists = True
                        answer.addresses.append(address)
                    for port in slice_.get("ports") or ():
                        if (not rest or (wanted and _matches(port, *wanted))) and port.get("port"):
                            answer.exists = True
                            answer.services.append(Srv(port["port"], target))
                            answer.extra[target] = address
        answer.addresses = list(dict.fromkeys(answer.addresses))
        return answer


def _by_service(slice_: Object) -> list[str]:
    return [f"{namespace_of(slice_)}/{labels_of(slice_).get(SERVICE_LABEL, '')}"]


def _by_address(slice_: Object) -> set[str]:
    return {address for endpoint in slice_.get("endpoints") or () for address in endpoint["addresses"]}


def _by_cluster_ip(service: Object) -> list[str]:
    return list((service.get("spec") or {}).get("clusterIPs") or ())


def _endpoint_name(endpoint: Object, address: str) -> str:
    return endpoint.get("hostname") or address.replace(".", "-").replace(":", "-")


def _srv_name(rest: list[str]) -> tuple[str, str] | None:
    """(port name, protocol) of `_http._tcp`."""
    if len(rest) == 2 and rest[0].startswith("_") and rest[1] in ("_tcp", "_udp", "_sctp"):
        return rest[0][1:], rest[1][1:].upper()
    return None


def _matches(port: Object, name: str, protocol: str) -> bool:
    return (port.get("name") or "") == name and port.get("protocol", "TCP") == protocol
