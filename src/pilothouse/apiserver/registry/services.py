"""Services: cluster IPs and node ports are given out with the service, in one transaction.

An IP is claimed by creating its IPAddress object (KEP-1880), a node port by a key of its own, both on the condition that they are absent: so two
servers cannot give out the same one, and nothing leaks when a write fails. Free ones are looked for in the cache; a lost race shows as a
conflict, and the strategy chooses again.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from ...api.errors import ApiError, invalid
from ...api.fielderrors import FieldErrors
from ...api.kinds import kind_of_resource
from ...api.object import Object
from ...api.validation.addresses import family
from ...api.validation.services import cluster_ips
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


def prepare_create(registry: Registry, op: Operation) -> None:
    service = op.object
    assert service is not None
    spec = service["spec"] = dict(service.get("spec") or {})
    _normalize_cluster_ips(spec, {})
    _families(registry, service, {})


def prepare_update(registry: Registry, op: Operation) -> None:
    new, old = op.object, op.old
    assert new is not None and old is not None
    if op.subresource == "status":
        return
    spec = new["spec"] = dict(new.get("spec") or {})
    old_spec = old.get("spec") or {}
    if spec.get("type") == "ExternalName" and old_spec.get("type") != "ExternalName":
        _drop_cluster_ips_if_same(spec, old_spec)
    _normalize_cluster_ips(spec, old_spec)
    _patch_allocated(new, old)
    _drop_type_dependent(new, old)
    _families(registry, new, old_spec)


def _normalize_cluster_ips(spec: Object, old: Object) -> None:
    """`clusterIP` and the first of `clusterIPs` are one field with two names (KEP-563)."""
    single, many = spec.get("clusterIP") or "", list(spec.get("clusterIPs") or [])
    if not old:
        if single and not many:
            spec["clusterIPs"] = [single]
        return
    old_single, old_many = old.get("clusterIP") or "", list(old.get("clusterIPs") or [])
    if old_single and not single and many == old_many:
        spec.pop("clusterIPs", None)
    elif not old_single and single and many == old_many:
        spec["clusterIPs"] = [single]
    elif old_single and single and old_single != single and many == old_many:
        spec["clusterIPs"] = [single]


def _drop_cluster_ips_if_same(spec: Object, old: Object) -> None:
    if spec.get("clusterIP") == old.get("clusterIP"):
        spec.pop("clusterIP", None)
    if spec.get("clusterIPs") == old.get("clusterIPs"):
        spec.pop("clusterIPs", None)
    for field in ("ipFamilies", "ipFamilyPolicy"):
        if spec.get(field) == old.get(field):
            spec.pop(field, None)


def _patch_allocated(new: Object, old: Object) -> None:
    """What the server chose stays, though a client that updates does not repeat it (`patchAllocatedValues`)."""
    spec, old_spec = new["spec"], old.get("spec") or {}
    if needs_cluster_ip(old) and needs_cluster_ip(new):
        if not spec.get("clusterIP"):
            spec["clusterIP"] = old_spec.get("clusterIP", "")
        if not spec.get("clusterIPs") and spec.get("clusterIP") == old_spec.get("clusterIP"):
            spec["clusterIPs"] = list(old_spec.get("clusterIPs") or [])
    if needs_node_ports(old) and needs_node_ports(new):
        known = {
            (p.get("protocol", "TCP"), p.get("port")): p.get("nodePort") for p in old_spec.get("ports") or ()
        }
        taken = {p.get("nodePort") for p in spec.get("ports") or ()}
        ports = []
        for port in spec.get("ports") or ():
            before = known.get((port.get("protocol", "TCP"), port.get("port")))
            if not port.get("nodePort") and before and before not in taken:
                port = {**port, "nodePort": before}
            ports.append(port)
        spec["ports"] = ports
    if needs_health_check_port(old) and needs_health_check_port(new) and not spec.get("healthCheckNodePort"):
        if old_spec.get("healthCheckNodePort"):
            spec["healthCheckNodePort"] = old_spec["healthCheckNodePort"]


def _drop_type_dependent(new: Object, old: Object) -> None:
    """When the type changes, what belongs to the old type goes, unless the client set it (`dropTypeDependentFields`)."""
    spec, old_spec = new["spec"], old.get("spec") or {}
    if needs_node_ports(old) and not needs_node_ports(new):
        before = {
            (p.get("protocol", "TCP"), p.get("port")): p.get("nodePort") for p in old_spec.get("ports") or ()
        }
        if all(
            before.get((p.get("protocol", "TCP"), p.get("port"))) == p.get("nodePort")
            for p in spec.get("ports") or ()
        ):
            spec["ports"] = [{k: v for k, v in p.items() if k != "nodePort"} for p in spec.get("ports") or ()]
    if needs_health_check_port(old) and not needs_health_check_port(new):
        if spec.get("healthCheckNodePort") == old_spec.get("healthCheckNodePort"):
            spec.pop("healthCheckNodePort", None)
    if old_spec.get("type") == "LoadBalancer" and spec.get("type") != "LoadBalancer":
        for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if spec.get(field) == old_spec.get(field):
                spec.pop(field, None)
        new["status"] = {"loadBalancer": {}}
    external = ("NodePort", "LoadBalancer")
    if old_spec.get("type") in external and spec.get("type") not in external and not spec.get("externalIPs"):
        if spec.get("externalTrafficPolicy") == old_spec.get("externalTrafficPolicy"):
            spec.pop("externalTrafficPolicy", None)
    if needs_cluster_ip(old) and not needs_cluster_ip(new):
        if spec.get("internalTrafficPolicy") == old_spec.get("internalTrafficPolicy"):
            spec.pop("internalTrafficPolicy", None)


def _families(registry: Registry, service: Object, old: Object) -> None:
    """Our cluster is single-stack: the family of its service CIDR. What is asked for must fit together before anything is chosen, so
    that these causes come alone."""
    spec = service["spec"]
    if not needs_cluster_ip(service):
        return
    name = service["metadata"].get("name") or ""
    causes = FieldErrors()
    cluster_ips(causes, spec, old)
    if causes:
        raise invalid("Service", "", name, causes)
    default = IPV4 if ipaddress.ip_network(registry.config.service_cidr).version == 4 else IPV6
    other = IPV6 if default == IPV4 else IPV4
    families = list(spec.get("ipFamilies") or [])
    given = [ip for ip in spec.get("clusterIPs") or () if ip and ip != NONE]
    for index, ip in enumerate(given):
        if index >= len(families) and family(ip) == other:
            causes.invalid(f"spec.clusterIPs[{index}]", given, f"{other} is not configured on this cluster")
    if causes:
        raise invalid("Service", "", name, causes)
    if is_headless(service) and not spec.get("selector"):
        policy = spec.setdefault(
            "ipFamilyPolicy", "RequireDualStack" if len(families) != 1 else "SingleStack"
        )
        if not families:
            families = [default]
        if len(families) == 1 and policy != "SingleStack":
            families.append(other if families[0] == default else default)
        spec["ipFamilies"] = families
        return
    if not spec.get("ipFamilyPolicy"):
        spec["ipFamilyPolicy"] = (
            "RequireDualStack" if len(given) == 2 or len(families) == 2 else "SingleStack"
        )
    if not families:
        spec["ipFamilies"] = [family(ip) for ip in given] or [default]
    if spec["ipFamilyPolicy"] == "RequireDualStack":
        why = "this cluster is not configured for dual-stack services"
        causes.invalid("spec.ipFamilyPolicy", "RequireDualStack", why)
    for index, wanted in enumerate(spec["ipFamilies"]):
        if wanted == other:
            causes.invalid(f"spec.ipFamilies[{index}]", wanted, "not configured on this cluster")
    if causes:
        raise invalid("Service", "", name, causes)


# -- allocation ------------------------------------------------------------------------------------------------


def commit_create(registry: Registry, op: Operation) -> None:
    service = op.object
    assert service is not None
    _forget_chosen(op, service)
    if not needs_cluster_ip(service):
        return
    if not is_headless(service):
        _claim_cluster_ips(registry, op, service, set())
    if needs_node_ports(service):
        _claim_node_ports(registry, op, service, set())
    if needs_health_check_port(service):
        _claim_health_check_port(registry, op, service)


def commit_update(registry: Registry, op: Operation) -> None:
    new, old = op.object, op.old
    assert new is not None and old is not None
    if op.subresource == "status":
        return
    new["spec"] = dict(new["spec"])
    held_ips, held_ports = _ips(old), _ports(old)
    if needs_cluster_ip(new) and not is_headless(new):
        _claim_cluster_ips(registry, op, new, held_ips)
    if needs_node_ports(new):
        _claim_node_ports(registry, op, new, held_ports)
    if needs_health_check_port(new):
        _claim_health_check_port(registry, op, new, held_ports)
    for ip in held_ips - _ips(new):
        op.deletes.append(registry.storage.key(kind_of_resource("ipaddresses.networking.k8s.io"), "", ip))
    for port in held_ports - _ports(new):
        op.deletes.append(_port_key(*port))


def commit_delete(registry: Registry, op: Operation) -> None:
    old = op.old
    assert old is not None
    for ip in _ips(old):
        op.deletes.append(registry.storage.key(kind_of_resource("ipaddresses.networking.k8s.io"), "", ip))
    for port in _ports(old):
        op.deletes.append(_port_key(*port))


def _forget_chosen(op: Operation, service: Object) -> None:
    """Before a second try: what the first one chose may be taken."""
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
    if not needs_cluster_ip(service):
        return set()
    return {ip for ip in (service.get("spec") or {}).get("clusterIPs") or () if ip and ip != NONE}


def _ports(service: Object) -> set[tuple[int, str]]:
    spec = service.get("spec") or {}
    found = {(p["nodePort"], p.get("protocol", "TCP")) for p in spec.get("ports") or () if p.get("nodePort")}
    if spec.get("healthCheckNodePort"):
        found.add((spec["healthCheckNodePort"], "TCP"))
    return found


def _port_key(port: int, protocol: str) -> str:
    return f"{NODE_PORT_PREFIX}{port}/{protocol}"


def _claim_cluster_ips(registry: Registry, op: Operation, service: Object, held: set[str]) -> None:
    spec = service["spec"]
    network = ipaddress.ip_network(registry.config.service_cidr)
    kind = kind_of_resource("ipaddresses.networking.k8s.io")
    ips = list(spec.get("clusterIPs") or [])
    chosen = False
    if not ips or not ips[0]:
        ips = [_free_ip(registry, network)]
        op.allocated["clusterIP"] = chosen = True
    for ip in ips:
        if ip in held:
            continue
        if not chosen:
            _check_asked_ip(registry, service, ip, ips, network)
        key = registry.storage.key(kind, "", ip)
        op.conditions.append(Condition(key, 0))
        op.puts.append(Put(key, _ip_address(registry, op, ip)))
    spec["clusterIPs"] = ips
    spec["clusterIP"] = ips[0]


def _check_asked_ip(registry: Registry, service: Object, ip: str, ips: list[str], network: Any) -> None:
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return  # validation's to name
    if address not in network:
        why = f"failed to allocate IP {ip}: the provided network does not match the current range"
        raise _invalid(service, "spec.clusterIPs", ips, why)
    if registry.storage.get(kind_of_resource("ipaddresses.networking.k8s.io"), "", ip) is not None:
        raise _invalid(
            service, "spec.clusterIPs", ips, f"failed to allocate IP {ip}: provided IP is already allocated"
        )


def _free_ip(registry: Registry, network: Any) -> str:
    """A random free address above the band that is left to people who ask for one (KEP-3070)."""
    kind = kind_of_resource("ipaddresses.networking.k8s.io")
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
            if registry.storage.get(kind, "", ip) is None:
                return ip
    raise ApiError(
        500, "InternalError", "Internal error occurred: failed to allocate a serviceIP: range is full"
    )


def _ip_address(registry: Registry, op: Operation, ip: str) -> bytes:
    kind = kind_of_resource("ipaddresses.networking.k8s.io")
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
    return registry.storage.encode(kind, {"metadata": meta, "spec": {"parentRef": parent}})


def _used_ports(registry: Registry) -> set[tuple[int, str]]:
    used: set[tuple[int, str]] = set()
    for service in registry.storage.list(kind_of_resource("services")):
        used |= _ports(service)
    return used


def _claim_node_ports(registry: Registry, op: Operation, service: Object, held: set[tuple[int, str]]) -> None:
    spec = service["spec"]
    low, high = registry.config.node_ports
    used = _used_ports(registry) - held
    ports = [dict(p) for p in spec.get("ports") or ()]
    mine = {(p["nodePort"], p.get("protocol", "TCP")) for p in ports if p.get("nodePort")}
    claimed: set[tuple[int, str]] = set()
    for i, port in enumerate(ports):
        protocol = port.get("protocol", "TCP")
        number = port.get("nodePort")
        if number:
            if (number, protocol) not in held:
                if not low <= number <= high:
                    why = f"provided port is not in the valid range. The range of valid ports is {low}-{high}"
                    raise _invalid(service, f"spec.ports[{i}].nodePort", number, why)
                if (number, protocol) in used | claimed:
                    raise _invalid(
                        service, f"spec.ports[{i}].nodePort", number, "provided port is already allocated"
                    )
        else:
            # one port number under two protocols gets one node port, where it can
            number = next(
                (
                    p["nodePort"]
                    for p in ports
                    if p.get("nodePort")
                    and p["port"] == port["port"]
                    and p.get("protocol", "TCP") != protocol
                ),
                0,
            )
            if not number or (number, protocol) in used | mine:
                number = _free_port(registry, used | mine)
            port["nodePort"] = number
            op.allocated[f"port-{i}"] = True
            mine.add((number, protocol))
        if (number, protocol) not in held and (number, protocol) not in claimed:
            claimed.add((number, protocol))
            key = _port_key(number, protocol)
            op.conditions.append(Condition(key, 0))
            op.puts.append(Put(key, f"{op.namespace}/{op.name}".encode()))
    spec["ports"] = ports


def _claim_health_check_port(
    registry: Registry, op: Operation, service: Object, held: set[tuple[int, str]] | None = None
) -> None:
    spec = service["spec"]
    number = spec.get("healthCheckNodePort")
    if number and (number, "TCP") in (held or set()):
        return
    used = _used_ports(registry) | _ports(service) - ({(number, "TCP")} if number else set())
    if number:
        if (number, "TCP") in used:
            message = f"failed to allocate requested HealthCheck NodePort {number}: provided port is already allocated"
            raise ApiError(500, "InternalError", f"Internal error occurred: {message}")
    else:
        number = spec["healthCheckNodePort"] = _free_port(registry, used)
        op.allocated["healthCheckNodePort"] = True
    key = _port_key(number, "TCP")
    op.conditions.append(Condition(key, 0))
    op.puts.append(Put(key, f"{op.namespace}/{op.name}".encode()))


def _free_port(registry: Registry, used: set[tuple[int, str]]) -> int:
    low, high = registry.config.node_ports
    size = high - low + 1
    band = min(max(16, size // 32), 128) if size > 16 else 0
    taken = {port for port, _ in used}
    for first, last in ((low + band, high), (low, low + band - 1)):
        span = last - first + 1
        if span <= 0:
            continue
        start = registry.random.below(span)
        for step in range(span):
            number = first + (start + step) % span
            if number not in taken:
                return number
    raise ApiError(
        500, "InternalError", "Internal error occurred: failed to allocate a nodePort: range is full"
    )
