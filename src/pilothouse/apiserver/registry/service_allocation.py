"""Cluster IPs and node ports are given out with their service, in one transaction.

An IP is claimed by creating its IPAddress object (KEP-1880), a node port by a key of its own, both on the condition that they are absent: so two
servers cannot give out the same one, and nothing leaks when a write fails. Free ones are looked for in the cache; a lost race shows as a
conflict, and the strategy chooses again.

`allocate` runs before validation, as in Kubernetes: what cannot be given out is said first.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from ...api.errors import ApiError, internal_error, invalid
from ...api.fielderrors import FieldErrors
from ...api.kinds import kind_of_resource
from ...api.object import Object, condition_of
from ...api.validation.addresses import family
from ...store.interface import Condition, Put

if TYPE_CHECKING:
    from .generic import Registry
    from .operation import Operation

NONE = "None"
IPV4, IPV6 = "IPv4", "IPv6"
NODE_PORT_PREFIX = "/allocations/node-ports/"  # outside the cache: no objects


def needs_cluster_ip(service: Object) -> bool:
    return (service.get("spec") or {}).get("type", "ClusterIP") in ("ClusterIP", "NodePort", "LoadBalancer")


def is_headless(service: Object) -> bool:
    spec = service.get("spec") or {}
    return needs_cluster_ip(service) and (
        spec.get("clusterIP") == NONE or (spec.get("clusterIPs") or [""])[0] == NONE
    )


def needs_node_ports(service: Object) -> bool:
    spec = service.get("spec") or {}
    if spec.get("type") == "NodePort":
        return True
    return spec.get("type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True)


def needs_health_check_port(service: Object) -> bool:
    spec = service.get("spec") or {}
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _invalid(service: Object, field: str, value: Any, why: str) -> ApiError:
    causes = FieldErrors()
    causes.invalid(field, value, why)
    return invalid("Service", "", service["metadata"].get("name") or "", causes)


ADDRESSES = kind_of_resource("ipaddresses.networking.k8s.io")
ENDPOINTS = kind_of_resource("endpoints")
SERVICE_CIDRS = kind_of_resource("servicecidrs.networking.k8s.io")
TAKEN = "provided port is already allocated"


def allocate(registry: Registry, op: Operation, service: Object, old: Object | None) -> None:
    """Reserves what is asked for, chooses what is not, and adds the claims to the transaction."""
    if needs_cluster_ip(service) and not is_headless(service):
        if old is None or not needs_cluster_ip(old):
            _claim_cluster_ips(registry, op, service)
    type_ = service["spec"].get("type")
    if type_ in ("NodePort", "LoadBalancer"):
        ports = _Ports(registry, op, service, _ports(old or {}))
        ports.first() if old is None else ports.again(old)
    if needs_health_check_port(service) and (old is None or not needs_health_check_port(old)):
        _claim_health_check_port(registry, op, service, _ports(old or {}))


def commit_create(registry: Registry, op: Operation) -> None:
    """The transaction was emptied: the claims once more. What was chosen at the first try, and lost, is chosen anew."""
    service = op.object
    assert service is not None
    if op.allocated.pop("tried", False):
        _forget_chosen(op, service)
    allocate(registry, op, service, None)
    op.allocated["tried"] = True


def commit_update(registry: Registry, op: Operation) -> None:
    new, old = op.object, op.old
    assert new is not None and old is not None
    if op.subresource != "status":
        _release(registry, op, old, new)


def commit_delete(registry: Registry, op: Operation) -> None:
    """Its Endpoints go with it at once, lest a new service of the name were given them."""
    assert op.old is not None
    _release(registry, op, op.old, {})
    endpoints = registry.storage.get(ENDPOINTS, op.namespace, op.name)
    if endpoints is not None and not endpoints.object["metadata"].get("finalizers"):
        op.deletes.append(registry.storage.key(ENDPOINTS, op.namespace, op.name))


def _release(registry: Registry, op: Operation, old: Object, new: Object) -> None:
    op.deletes += [registry.storage.key(ADDRESSES, "", ip) for ip in sorted(_ips(old) - _ips(new))]
    op.deletes += [_port_key(port) for port in sorted(_ports(old) - _ports(new))]


def _forget_chosen(op: Operation, service: Object) -> None:
    spec = service["spec"]
    if op.allocated.pop("clusterIP", False):
        spec.pop("clusterIP", None)
        spec.pop("clusterIPs", None)
    if op.allocated.pop("healthCheckNodePort", False):
        spec.pop("healthCheckNodePort", None)
    for i, port in enumerate(spec.get("ports") or ()):
        if op.allocated.pop(f"port-{i}", False):
            port.pop("nodePort", None)


def _ips(service: Object) -> set[str]:
    if not service or not needs_cluster_ip(service):
        return set()
    return {ip for ip in (service.get("spec") or {}).get("clusterIPs") or () if ip and ip != NONE}


def _ports(service: Object) -> set[int]:
    spec = service.get("spec") or {}
    found = {p["nodePort"] for p in spec.get("ports") or () if p.get("nodePort")}
    return found | ({spec["healthCheckNodePort"]} if spec.get("healthCheckNodePort") else set())


def _port_key(port: int) -> str:
    return f"{NODE_PORT_PREFIX}{port}"


# -- cluster IPs -----------------------------------------------------------------------------------------------


def _claim_cluster_ips(registry: Registry, op: Operation, service: Object) -> None:
    spec = service["spec"]
    networks = _networks(registry)
    ips = list(spec.get("clusterIPs") or [])
    if not ips or not ips[0]:
        ips = [_free_ip(registry, networks, op.name)]
        op.allocated["clusterIP"] = True
    elif not op.dry_run:
        for ip in ips:
            _check_asked_ip(registry, service, ip, ips, networks)
    for ip in ips:
        key = registry.storage.key(ADDRESSES, "", ip)
        op.conditions.append(Condition(key, 0))
        op.puts.append(Put(key, _ip_address(registry, op, ip)))
    spec["clusterIPs"] = ips
    spec["clusterIP"] = ips[0]


def _networks(registry: Registry) -> list[Any]:
    """The cluster's own range, then those of ServiceCIDRs that are ready (KEP-1880), of the same family."""
    own = ipaddress.ip_network(registry.config.service_cidr)
    found = [own]
    for each in registry.storage.list(SERVICE_CIDRS):
        ready = (condition_of(each, "Ready") or {}).get("status") == "True"
        if ready and not each["metadata"].get("deletionTimestamp"):
            found += [ipaddress.ip_network(cidr) for cidr in each["spec"].get("cidrs") or ()]
    return [network for network in dict.fromkeys(found) if network.version == own.version]


def _check_asked_ip(
    registry: Registry, service: Object, ip: str, ips: list[str], networks: list[Any]
) -> None:
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return  # validation's to name
    network = next((network for network in networks if address in network), None)
    if network is None:
        why = "the provided network does not match the current range"
    elif address == network.network_address or (
        address.version == 4 and address == network.broadcast_address
    ):
        why = f"the provided IP ({ip}) is not in the valid range. The range of valid IPs is {network}"
    elif registry.storage.get(ADDRESSES, "", ip) is not None:
        why = "provided IP is already allocated"
    else:
        return
    raise _invalid(service, "spec.clusterIPs", ips, f"failed to allocate IP {ip}: {why}")


def _free_ip(registry: Registry, networks: list[Any], name: str) -> str:
    for network in networks:
        ip = _free_ip_of(registry, network)
        if ip:
            return ip
    raise internal_error(f'failed to allocate a serviceIP for Service "{name}": range is full')


def _free_ip_of(registry: Registry, network: Any) -> str:
    """A random free address above the band that is left to people who ask for one (KEP-3070); "": there is none."""
    size = min(network.num_addresses, 1 << 20)
    band = min(max(16, size // 16), 256) if size > 16 else 1
    first = int(network.network_address)
    for low, high in ((band + 1, size - 1), (1, min(band + 1, size - 1))):
        span = high - low
        if span <= 0:
            continue
        start = registry.random.below(span)
        for step in range(span):
            ip = str(ipaddress.ip_address(first + low + (start + step) % span))
            if registry.storage.get(ADDRESSES, "", ip) is None:
                return ip
    return ""


def _ip_address(registry: Registry, op: Operation, ip: str) -> bytes:
    meta = {
        "name": ip,
        "uid": registry.random.uid(),
        "creationTimestamp": registry.now(),
        "labels": {
            "ipaddress.kubernetes.io/ip-family": family(ip),
            "ipaddress.kubernetes.io/managed-by": "ipallocator.kubernetes.io",
        },
    }
    parent = {"group": "", "resource": "services", "namespace": op.namespace, "name": op.name}
    return registry.storage.encode(ADDRESSES, {"metadata": meta, "spec": {"parentRef": parent}})


# -- node ports ------------------------------------------------------------------------------------------------


class _Ports:
    """The node ports of one service while they are given out. A number belongs to one service, whatever the protocol."""

    def __init__(self, registry: Registry, op: Operation, service: Object, held: set[int]):
        self._registry, self._op, self._service, self._held = registry, op, service, held
        self._used = _used_ports(registry) - held
        self._ports = [dict(port) for port in service["spec"].get("ports") or ()]
        self._asked = {port["nodePort"] for port in self._ports if port.get("nodePort")}
        service["spec"]["ports"] = self._ports

    def first(self) -> None:
        """One port number under two protocols gets one node port."""
        of: dict[Any, int] = {}
        for index, port in enumerate(self._ports):
            number, own = of.get(port.get("port")), port.get("nodePort")
            if not own and not needs_node_ports(self._service):
                continue
            if number is None:
                same = (other for other in self._ports if other.get("port") == port.get("port"))
                asked = next((other["nodePort"] for other in same if other.get("nodePort")), 0)
                if asked:
                    self._reserve(index, asked)
                number = of[port.get("port")] = asked or self._choose()
                port["nodePort"] = number
                self._op.allocated[f"port-{index}"] = not own
            elif not own:
                port["nodePort"] = number
                self._op.allocated[f"port-{index}"] = True
            elif own != number:
                self._reserve(index, own)

    def again(self, old: Object) -> None:
        before, seen = _ports(old), set()  # two protocols may share a port
        for index, port in enumerate(self._ports):
            if port.get("nodePort"):
                if port["nodePort"] not in before:
                    self._reserve(index, port["nodePort"])
                before.add(port["nodePort"])
            elif needs_node_ports(self._service):
                port["nodePort"] = self._choose()
            else:
                continue
            key = (port.get("protocol", "TCP"), port["nodePort"])
            if key in seen:
                raise ApiError(500, "", f"duplicate nodePort: {{{key[0]} {key[1]}}}", details=False)
            seen.add(key)

    def _choose(self) -> int:
        number = _free_port(self._registry, self._used | self._held | self._asked)
        self._claim(number)
        return number

    def _reserve(self, index: int, number: int) -> None:
        if number in self._held:
            return
        problem = _range_problem(self._registry, number) or (TAKEN if number in self._used else "")
        if problem:
            raise _invalid(self._service, f"spec.ports[{index}].nodePort", number, problem)
        self._claim(number)

    def _claim(self, number: int) -> None:
        self._used.add(number)
        _claim_port(self._op, number)


def _claim_port(op: Operation, number: int) -> None:
    op.conditions.append(Condition(_port_key(number), 0))
    op.puts.append(Put(_port_key(number), f"{op.namespace}/{op.name}".encode()))


def _range_problem(registry: Registry, number: int) -> str:
    low, high = registry.config.node_ports
    if low <= number <= high:
        return ""
    return f"provided port is not in the valid range. The range of valid ports is {low}-{high}"


def _used_ports(registry: Registry) -> set[int]:
    used: set[int] = set()
    for service in registry.storage.list(kind_of_resource("services")):
        used |= _ports(service)
    return used


def _claim_health_check_port(registry: Registry, op: Operation, service: Object, held: set[int]) -> None:
    spec = service["spec"]
    number = spec.get("healthCheckNodePort")
    used = _used_ports(registry) - held | _ports({"spec": {"ports": spec.get("ports")}})
    if number:
        problem = _range_problem(registry, number) or (TAKEN if number in used else "")
        if problem:
            raise internal_error(f"failed to allocate requested HealthCheck NodePort {number}: {problem}")
    else:
        number = spec["healthCheckNodePort"] = _free_port(registry, used | held, "HealthCheck NodePort 0")
        op.allocated["healthCheckNodePort"] = True
    if number not in held:
        _claim_port(op, number)


def _free_port(registry: Registry, used: set[int], what: str = "nodePort") -> int:
    low, high = registry.config.node_ports
    size = high - low + 1
    band = min(max(16, size // 32), 128) if size > 16 else 0
    for first, last in ((low + band, high), (low, low + band - 1)):
        span = last - first + 1
        if span <= 0:
            continue
        start = registry.random.below(span)
        for step in range(span):
            number = first + (start + step) % span
            if number not in used:
                return number
    raise internal_error(f"failed to allocate a {what}: range is full")
