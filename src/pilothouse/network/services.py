"""Service rules, pure: from Services, EndpointSlices and host ports to what nftables should hold on one node.

The shape is that of kube-proxy's nftables mode (KEP-3866): packets find their service port in a map, and the
map's verdict is the chain of that service port, which chooses an endpoint at random. `Rules` is a value (a
chain's text by its name, a map's elements by their key), so that the difference between two of them is a
small script (`script`), applied by nftables as one transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..api.object import Object, annotations_of, labels_of, name_of, namespace_of

TABLE = "pilothouse"
MASQUERADE_MARK = "0x4000"  # kube-proxy's
CLUSTER, LOCAL = "Cluster", "Local"
ELEMENTS = ("cluster-ips", "service-ips", "service-nodeports", "no-endpoints", "host-ports", "hairpin")


@dataclass(frozen=True, slots=True)
class Endpoint:
    address: str
    port: int
    ready: bool
    serving: bool
    terminating: bool
    node: str

    @property
    def text(self) -> str:
        return f"{self.address} . {self.port}"


@dataclass(slots=True)
class Rules:
    """`maps`: map name -> {key: value}; `chains`: chain name -> its lines."""

    maps: dict[str, dict[str, str]] = field(default_factory=lambda: {name: {} for name in ELEMENTS})
    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    sets: dict[str, int] = field(default_factory=dict)  # affinity sets: name -> timeout_s
    udp: set[tuple[str, str, int]] = field(default_factory=set)  # (chain, address, port) of UDP endpoints


def endpoints_of(slices: Iterable[Object], port_name: str, protocol: str) -> list[Endpoint]:
    """The endpoints of one service port, in address order, without duplicates."""
    found: dict[tuple[str, int], Endpoint] = {}
    for slice_ in slices:
        if slice_.get("addressType") != "IPv4":
            continue
        ports = [
            port["port"]
            for port in slice_.get("ports") or ()
            if (port.get("name") or "") == port_name
            and port.get("protocol", "TCP") == protocol
            and port.get("port")
        ]
        for endpoint in slice_.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            ready = conditions.get("ready") is not False
            for address in endpoint["addresses"][:1]:
                for port in ports:
                    found[(address, port)] = Endpoint(
                        address,
                        port,
                        ready,
                        conditions.get("serving", ready) is not False,
                        bool(conditions.get("terminating")),
                        endpoint.get("nodeName") or "",
                    )
    return [found[key] for key in sorted(found)]


def choose(endpoints: list[Endpoint], policy: str, node: str) -> list[Endpoint]:
    """Who gets traffic: the ready ones; else those that serve while they end (KEP-1669)."""
    if policy == LOCAL:
        endpoints = [endpoint for endpoint in endpoints if endpoint.node == node]
    return [e for e in endpoints if e.ready] or [e for e in endpoints if e.serving and e.terminating]


def build(
    services: Iterable[Object],
    slices_of: dict[tuple[str, str], list[Object]],
    host_ports: Iterable[HostPort],
    node: str,
    pod_cidr: str,
) -> Rules:
    """Everything for one node. `slices_of` is keyed by the service's (namespace, name); `pod_cidr` is the cluster's."""
    rules = Rules()
    for service in services:
        if labels_of(service).get("service.kubernetes.io/service-proxy-name"):
            continue  # somebody else's proxy
        spec = service.get("spec") or {}
        if spec.get("type") == "ExternalName" or spec.get("clusterIP") in (None, "", "None"):
            continue
        rules.maps["cluster-ips"][spec["clusterIP"]] = ""
        slices = slices_of.get((namespace_of(service), name_of(service)), [])
        for port in spec.get("ports") or ():
            _service_port(rules, service, port, slices, node, pod_cidr)
    for host_port in host_ports:
        key = f"{host_port.protocol.lower()} . {host_port.port}"
        chain = f"hostport-{host_port.protocol.lower()}-{host_port.port}"
        rules.maps["host-ports"][key] = f"goto {chain}"
        match = f"ip daddr {host_port.host_ip} " if host_port.host_ip not in ("", "0.0.0.0") else ""
        before = rules.chains.get(chain) or (
            f"ip saddr 127.0.0.0/8 meta mark set meta mark or {MASQUERADE_MARK}",
        )
        target = f"{host_port.address}:{host_port.container_port}"
        line = f"{match}meta l4proto {host_port.protocol.lower()} dnat ip to {target}"
        rules.chains[chain] = (*before, line)  # several pods may have a port, each at an address of its own
    return rules


@dataclass(frozen=True, slots=True)
class HostPort:
    """A pod's `hostPort`."""

    port: int
    protocol: str
    host_ip: str
    address: str
    container_port: int


def _service_port(
    rules: Rules, service: Object, port: Object, slices: list[Object], node: str, pod_cidr: str
) -> None:
    spec = service["spec"]
    protocol = port.get("protocol", "TCP")
    if protocol == "SCTP":  # not in this kernel's conntrack
        return
    proto = protocol.lower()
    endpoints = endpoints_of(slices, port.get("name") or "", protocol)
    name = f"{namespace_of(service)}/{name_of(service)}/{port.get('name') or port['port']}/{proto}"
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    affinity_s = 0
    if spec.get("sessionAffinity") == "ClientIP":
        config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        affinity_s = int(config.get("timeoutSeconds") or 10800)

    internal = choose(endpoints, spec.get("internalTrafficPolicy") or CLUSTER, node)
    inside = f"svc-{digest}"
    if internal:
        rules.chains[inside] = _balance(rules, inside, proto, internal, affinity_s)

    def reach(ip: str, chain: str, some: bool, verdict: str) -> None:
        key = f"{ip} . {proto} . {port['port']}"
        if some:
            rules.maps["service-ips"][key] = f"goto {chain}"
        else:
            rules.maps["no-endpoints"][key] = verdict

    # The cluster IP: whoever is not a pod (the node itself, the host) must be answered by way of this node.
    cluster_ip = f"cip-{digest}"
    rules.chains[cluster_ip] = (
        f"ip saddr != {pod_cidr} meta mark set meta mark or {MASQUERADE_MARK}",
        f"goto {inside}",
    )
    elsewhere = bool(choose(endpoints, CLUSTER, node))  # with internalTrafficPolicy Local: not on this node
    reach(spec["clusterIP"], cluster_ip, bool(internal), "drop" if elsewhere else "goto reject-it")
    if not internal:
        del rules.chains[cluster_ip]

    outside_addresses = list(spec.get("externalIPs") or ())
    ingress_addresses = [
        ingress["ip"]
        for ingress in ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        if ingress.get("ip") and ingress.get("ipMode", "VIP") == "VIP"
    ]
    node_port = port.get("nodePort")
    if not (outside_addresses or ingress_addresses or node_port):
        return

    policy = spec.get("externalTrafficPolicy") or CLUSTER
    external = choose(endpoints, policy, node)
    outside = f"ext-{digest}"
    if external or (policy == LOCAL and internal):
        lines = []
        if policy == LOCAL:  # keeps the client's address; pods and the node itself may use any endpoint
            if internal:
                lines += [f"ip saddr {pod_cidr} goto {inside}", f"fib saddr type local goto {inside}"]
            local = f"loc-{digest}"
            if external:
                rules.chains[local] = _balance(rules, local, proto, external, affinity_s)
                lines.append(f"goto {local}")
            else:
                lines.append("drop")
        else:
            lines += [f"meta mark set meta mark or {MASQUERADE_MARK}", f"goto {inside}"]
            if not internal:
                rules.chains[inside] = _balance(rules, inside, proto, external, affinity_s)
        rules.chains[outside] = tuple(lines)
    some = outside in rules.chains
    refuse = "goto reject-it" if not endpoints or policy == CLUSTER else "drop"
    sources = ", ".join(spec.get("loadBalancerSourceRanges") or ()) or annotations_of(service).get(
        "service.beta.kubernetes.io/load-balancer-source-ranges", ""
    )
    for ip in outside_addresses:
        reach(ip, outside, some, refuse)
    for ip in ingress_addresses:
        if some and sources and sources.strip() != "0.0.0.0/0":
            guarded = f"lb-{digest}"
            rules.chains[guarded] = (f"ip saddr != {{ {sources} }} drop", f"goto {outside}")
            reach(ip, guarded, some, refuse)
        else:
            reach(ip, outside, some, refuse)
    if node_port:
        key = f"{proto} . {node_port}"
        if some:
            rules.maps["service-nodeports"][key] = f"goto {outside}"


def _balance(
    rules: Rules, chain: str, proto: str, endpoints: list[Endpoint], affinity_s: int
) -> tuple[str, ...]:
    """The lines that pick one endpoint; with affinity, the one this client had before."""
    for endpoint in endpoints:  # a pod that reaches itself must see another source than its own address
        rules.maps["hairpin"][f"{endpoint.address} . {endpoint.address}"] = ""
        if proto == "udp":
            rules.udp.add((chain, endpoint.address, endpoint.port))
    if not affinity_s:
        if len(endpoints) == 1:
            return (f"meta l4proto {proto} dnat ip to {endpoints[0].address}:{endpoints[0].port}",)
        targets = ", ".join(f"{index} : {endpoint.text}" for index, endpoint in enumerate(endpoints))
        choice = f"numgen random mod {len(endpoints)} map {{ {targets} }}"
        return (f"meta l4proto {proto} dnat ip addr . port to {choice}",)
    lines, targets_of = [], []
    for index, endpoint in enumerate(endpoints):
        digest = hashlib.sha256(f"{chain}/{endpoint.text}".encode()).hexdigest()[:8]
        members, own = f"aff-{digest}", f"ep-{digest}"
        rules.sets[members] = affinity_s
        rules.chains[own] = (
            f"update @{members} {{ ip saddr timeout {affinity_s}s }}",
            f"meta l4proto {proto} dnat ip to {endpoint.address}:{endpoint.port}",
        )
        lines.append(f"ip saddr @{members} goto {own}")
        targets_of.append(f"{index} : goto {own}")
    lines.append(f"numgen random mod {len(endpoints)} vmap {{ {', '.join(targets_of)} }}")
    return tuple(lines)


def base_script(pod_cidr: str, node_pod_cidr: str, node_subnet: str, service_cidr: str) -> str:
    """The frame that all rules hang in; applying it empties the table first."""
    return f"""
table ip {TABLE}
delete table ip {TABLE}
table ip {TABLE} {{
  map service-ips {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
  map service-nodeports {{ type inet_proto . inet_service : verdict; }}
  map no-endpoints {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
  map host-ports {{ type inet_proto . inet_service : verdict; }}
  set cluster-ips {{ type ipv4_addr; }}
  set hairpin {{ type ipv4_addr . ipv4_addr; }}

  chain reject-it {{
    meta l4proto tcp reject with tcp reset
    reject with icmp type port-unreachable
  }}
  chain services {{
    ip daddr . meta l4proto . th dport vmap @service-ips
    fib daddr type local meta l4proto . th dport vmap @service-nodeports
    fib daddr type local meta l4proto . th dport vmap @host-ports
  }}
  chain refuse {{
    ct state new ip daddr . meta l4proto . th dport vmap @no-endpoints
    ct state new ip daddr @cluster-ips reject with icmp type admin-prohibited
    ct state new ip daddr {service_cidr} drop
  }}
  chain prerouting {{ type nat hook prerouting priority dstnat; jump services; }}
  chain output {{ type nat hook output priority -100; jump services; }}
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    meta mark and {MASQUERADE_MARK} != 0 meta mark set meta mark and 0xffffbfff masquerade fully-random
    ct status dnat ip saddr . ip daddr @hairpin masquerade
    ip saddr {node_pod_cidr} ip daddr != {{ {pod_cidr}, {node_subnet}, {service_cidr} }} masquerade fully-random
    ip saddr 127.0.0.0/8 oifname "cni0" masquerade
  }}
  chain filter-input {{ type filter hook input priority filter; jump refuse; }}
  chain filter-forward {{ type filter hook forward priority filter; jump refuse; }}
  chain filter-output {{ type filter hook output priority filter; jump refuse; }}
}}
"""


def script(old: Rules, new: Rules) -> str:
    """What nft must do to get from `old` to `new`; "" when there is nothing to do. One transaction."""
    lines: list[str] = []
    for name, timeout_s in new.sets.items():
        if name not in old.sets:
            lines.append(
                f"add set ip {TABLE} {name} {{ type ipv4_addr; flags dynamic,timeout; timeout {timeout_s}s; }}"
            )
    for name in new.chains:
        if name not in old.chains:
            lines.append(f"add chain ip {TABLE} {name}")
    for name, body in new.chains.items():
        if old.chains.get(name) != body:
            if name in old.chains:
                lines.append(f"flush chain ip {TABLE} {name}")
            lines += [f"add rule ip {TABLE} {name} {line}" for line in body]
    for name, elements in new.maps.items():
        before = old.maps.get(name, {})
        gone = [_element(key, value) for key, value in before.items() if elements.get(key) != value]
        come = [_element(key, value) for key, value in elements.items() if before.get(key) != value]
        if gone:
            lines.append(f"delete element ip {TABLE} {name} {{ {', '.join(gone)} }}")
        if come:
            lines.append(f"add element ip {TABLE} {name} {{ {', '.join(come)} }}")
    dead = [name for name in old.chains if name not in new.chains]
    lines += [f"flush chain ip {TABLE} {name}" for name in dead]
    lines += [f"delete chain ip {TABLE} {name}" for name in dead]
    lines += [f"delete set ip {TABLE} {name}" for name in old.sets if name not in new.sets]
    return "\n".join(lines) + "\n" if lines else ""


def _element(key: str, value: str) -> str:
    return f"{key} : {value}" if value else key
