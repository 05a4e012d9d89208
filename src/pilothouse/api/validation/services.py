"""Services, and the endpoints behind them."""

from __future__ import annotations

from typing import Any

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from . import addresses, metadata
from .validator import kind

EXTERNAL_NAME, LOAD_BALANCER, NODE_PORT, CLUSTER_IP = "ExternalName", "LoadBalancer", "NodePort", "ClusterIP"
NONE = "None"
PROTOCOLS = ("SCTP", "TCP", "UDP")
_TYPES = (CLUSTER_IP, EXTERNAL_NAME, LOAD_BALANCER, NODE_PORT)
_FAMILIES = ("IPv4", "IPv6")
_FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_TRAFFIC_POLICIES = ("Cluster", "Local")
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_ONLY_BALANCERS = "may only be used when `type` is 'LoadBalancer'"
_SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
_HINTS, _MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
_DAY_S = 86400
_ONCE_SET = "may not change once set"


def _headless(spec: Object) -> bool:
    return bool((spec.get("clusterIPs") or [""])[0] == NONE)


def _service(errors: FieldErrors, new: Object, old: Object | None) -> None:
    spec = new.get("spec") or {}
    type_, ports = spec.get("type") or "", spec.get("ports") or []
    marks = new["metadata"].get("annotations") or {}
    if _MODE in marks and _HINTS in marks and marks[_MODE] != marks[_HINTS]:
        why = f"must match annotations[{_HINTS}] when both are specified"
        errors.invalid(f"metadata.annotations[{_MODE}]", marks[_MODE], why)
    if not ports and not _headless(spec) and type_ != EXTERNAL_NAME:
        errors.required("spec.ports")
    if type_ in (LOAD_BALANCER, NODE_PORT) and _headless(spec):
        errors.invalid("spec.clusterIPs[0]", NONE, f"may not be set to 'None' for {type_} services")
    elif type_ == EXTERNAL_NAME:
        _external_name(errors, spec)
    seen: set[str] = set()
    for index, port in enumerate(ports):
        _port(errors, port, len(ports) > 1, seen, f"spec.ports[{index}]")
    metadata.labels(errors, spec.get("selector"), "spec.selector")
    _affinity(errors, spec)
    old_spec = (old or {}).get("spec") or {}
    cluster_ips(errors, spec, old_spec)
    known = old_spec.get("externalIPs") or ()
    for index, ip in enumerate(spec.get("externalIPs") or ()):
        at = f"spec.externalIPs[{index}]"
        if addresses.ip(errors, ip, at, known):
            addresses.ordinary_ip(errors, ip, at)
    errors.choice("spec.type", type_, _TYPES)
    if type_ == CLUSTER_IP:
        for index, port in enumerate(ports):
            if port.get("nodePort"):
                errors.forbidden(
                    f"spec.ports[{index}].nodePort", "may not be used when `type` is 'ClusterIP'"
                )
    _distinct(errors, ports)
    _source_ranges(errors, spec, marks, old_spec)
    if spec.get("allocateLoadBalancerNodePorts") is not None and type_ != LOAD_BALANCER:
        errors.forbidden("spec.allocateLoadBalancerNodePorts", _ONLY_BALANCERS)
    _balancer_class(errors, spec)
    _traffic(errors, spec, type_)


def _distinct(errors: FieldErrors, ports: list[Object]) -> None:
    seen: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        number = port.get("nodePort")
        if number and (port.get("protocol"), number) in seen:
            errors.duplicate(f"spec.ports[{index}].nodePort", number)
        seen.add((port.get("protocol"), number))
    seen.clear()
    for index, port in enumerate(ports):
        protocol, number = port.get("protocol"), port.get("port")
        if (protocol, number) in seen:
            shown = {"Name": "", "Protocol": protocol, "AppProtocol": None, "Port": number or 0}
            errors.duplicate(f"spec.ports[{index}]", shown | {"TargetPort": 0, "NodePort": 0})
        seen.add((protocol, number))


def _external_name(errors: FieldErrors, spec: Object) -> None:
    for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(field):
            errors.forbidden(f"spec.{field}", "may not be set for ExternalName services")
    name = (spec.get("externalName") or "").removesuffix(".")
    if name:
        errors.messages("spec.externalName", name, names.dns1123_subdomain(name))
    else:
        errors.required("spec.externalName")


def _port(errors: FieldErrors, port: Object, named: bool, seen: set[str], path: str) -> None:
    name = port.get("name") or ""
    if name:
        errors.messages(f"{path}.name", name, names.dns1123_label(name))
        if name in seen:
            errors.duplicate(f"{path}.name", name)
        seen.add(name)
    elif named:
        errors.required(f"{path}.name")
    number = port.get("port") or 0
    errors.messages(f"{path}.port", number, names.port_number(number))
    errors.choice(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
    port_or_name(errors, port.get("targetPort") or 0, f"{path}.targetPort")
    _protocol_of_application(errors, port, path)


def port_or_name(errors: FieldErrors, value: int | str, path: str) -> None:
    check = names.port_name(value) if isinstance(value, str) else names.port_number(value)
    errors.messages(path, value, check)


def _protocol_of_application(errors: FieldErrors, port: Object, path: str) -> None:
    value = port.get("appProtocol")
    if value is not None:
        errors.messages(f"{path}.appProtocol", value, metadata.qualified_name(value))


def _affinity(errors: FieldErrors, spec: Object) -> None:
    affinity, config = spec.get("sessionAffinity"), spec.get("sessionAffinityConfig")
    errors.choice("spec.sessionAffinity", affinity, ("ClientIP", "None"))
    path = "spec.sessionAffinityConfig"
    if affinity == "ClientIP":
        client = (config or {}).get("clientIP")
        if config is None:
            errors.required(path, "when session affinity type is ClientIP")
        elif client is None:
            errors.required(f"{path}.clientIP", "when session affinity type is ClientIP")
        elif client.get("timeoutSeconds") is None:
            errors.required(f"{path}.clientIP.timeoutSeconds", "when session affinity type is ClientIP")
        elif not 0 < client["timeoutSeconds"] <= _DAY_S:
            why = f"must be greater than 0 and less than {_DAY_S}"
            errors.invalid(f"{path}.clientIP.timeoutSeconds", client["timeoutSeconds"], why)
    elif affinity == "None" and config is not None:
        errors.forbidden(path, "must not be set when session affinity is None")


def cluster_ips(errors: FieldErrors, spec: Object, old: Object) -> None:
    """`clusterIP`, `clusterIPs`, `ipFamilies` and `ipFamilyPolicy` against each other; the registry asks too, before it chooses any."""
    if spec.get("type") == EXTERNAL_NAME:
        return
    ips, families = spec.get("clusterIPs") or [], spec.get("ipFamilies") or []
    if spec.get("clusterIP"):
        if not ips:
            errors.required("spec.clusterIPs")
        elif ips[0] != spec["clusterIP"]:
            errors.invalid("spec.clusterIPs", ips, "first value must match `clusterIP`")
    elif ips:
        errors.invalid("spec.clusterIPs", ips, "must be empty when `clusterIP` is not specified")
    seen: set[str] = set()
    for index, family in enumerate(families):
        if family not in _FAMILIES:
            errors.not_supported(f"spec.ipFamilies[{index}]", family, _FAMILIES)
        if family in seen:
            errors.duplicate(f"spec.ipFamilies[{index}]", family)
        seen.add(family)
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in _FAMILY_POLICIES:
        errors.not_supported("spec.ipFamilyPolicy", policy, _FAMILY_POLICIES)
    bad = False
    for index, ip in enumerate(ips):
        if index == 0 and ip == NONE:
            if len(ips) > 1:
                errors.invalid("spec.clusterIPs", ips, "'None' must be the first and only value")
        else:
            known = old.get("clusterIPs") or ()
            bad = not addresses.ip(errors, ip, f"spec.clusterIPs[{index}]", known) or bad
    if len(ips) > 2:
        errors.invalid("spec.clusterIPs", ips, "may only hold up to 2 values")
    if bad or NONE in ips:
        return
    of = [addresses.family(ip) for ip in ips]
    if len(ips) > 1 and len(set(of)) < 2:
        errors.invalid("spec.clusterIPs", ips, "may specify no more than one IP for each IP family")
    for index, (ip, own, wanted) in enumerate(zip(ips, of, families, strict=False)):
        if wanted in _FAMILIES and own != wanted:
            why = f"expected an {wanted} value as indicated by `ipFamilies[{index}]`"
            errors.invalid(f"spec.clusterIPs[{index}]", ip, why)


def _source_ranges(errors: FieldErrors, spec: Object, marks: dict[str, str], old: Object) -> None:
    ranges = spec.get("loadBalancerSourceRanges") or []
    if ranges:
        path = "spec.LoadBalancerSourceRanges"
        each = [(f"{path}[{index}]", value) for index, value in enumerate(ranges)]
    elif _SOURCE_RANGES in marks:
        path = f"metadata.annotations[{_SOURCE_RANGES}]"
        text = marks[_SOURCE_RANGES].strip()
        each = [(path, value) for value in text.split(",")] if text else []
    else:
        return
    if spec.get("type") != LOAD_BALANCER:
        errors.forbidden(path, _ONLY_BALANCERS)
    known = {value.strip() for value in old.get("loadBalancerSourceRanges") or ()}
    for at, value in each:
        addresses.cidr(errors, value.strip(), at, known)


def _balancer_class(errors: FieldErrors, spec: Object) -> None:
    name = spec.get("loadBalancerClass")
    if name is None:
        return
    if spec.get("type") == LOAD_BALANCER:
        errors.messages("spec.loadBalancerClass", name, metadata.qualified_name(name))
    else:
        errors.forbidden("spec.loadBalancerClass", _ONLY_BALANCERS)


def _traffic(errors: FieldErrors, spec: Object, type_: str) -> None:
    outside = spec.get("externalTrafficPolicy") or ""
    open_ = type_ in (LOAD_BALANCER, NODE_PORT) or (type_ == CLUSTER_IP and spec.get("externalIPs"))
    if open_:
        errors.choice("spec.externalTrafficPolicy", outside, _TRAFFIC_POLICIES)
    elif outside:
        errors.invalid(
            "spec.externalTrafficPolicy", outside, "may only be set for externally-accessible services"
        )
    port = spec.get("healthCheckNodePort") or 0
    if port and not (type_ == LOAD_BALANCER and outside == "Local"):
        errors.invalid(
            "spec.healthCheckNodePort",
            port,
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
        )
    inside = spec.get("internalTrafficPolicy")
    if inside is not None and inside not in _TRAFFIC_POLICIES:
        errors.not_supported("spec.internalTrafficPolicy", inside, _TRAFFIC_POLICIES)
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in _DISTRIBUTIONS:
        errors.not_supported("spec.trafficDistribution", distribution, _DISTRIBUTIONS)


def _service_change(errors: FieldErrors, new: Object, old: Object) -> None:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    if EXTERNAL_NAME not in (spec.get("type"), before.get("type")):
        if not (_headless(spec) and _headless(before)):
            _only_grows(errors, spec, before, "clusterIPs", "clusterIP")
        if not (_headless(spec) or _headless(before)):
            _only_grows(errors, spec, before, "ipFamilies", "ipFamily")
    if spec.get("type") == before.get("type") == LOAD_BALANCER:
        if spec.get("loadBalancerClass") != before.get("loadBalancerClass"):
            errors.invalid("spec.loadBalancerClass", spec.get("loadBalancerClass"), _ONCE_SET)
        if spec.get("externalTrafficPolicy") == before.get("externalTrafficPolicy") == "Local":
            if spec.get("healthCheckNodePort") != before.get("healthCheckNodePort"):
                errors.forbidden("spec.healthCheckNodePort", metadata.IMMUTABLE)
    _balancer_class(errors, spec)


def _only_grows(errors: FieldErrors, spec: Object, before: Object, field: str, one: str) -> None:
    """The first stays; a second may come, and go with the policy SingleStack."""
    now, was = spec.get(field) or [], before.get(field) or []
    if len(now) == len(was):
        for index, value in enumerate(was):
            if value != now[index]:  # a family that changed is always said to be the first
                at = index if field == "clusterIPs" else 0
                errors.invalid(f"spec.{field}[{at}]", now, _ONCE_SET)
        return
    if len(now) < len(was) and not spec.get("clusterIPs"):
        errors.invalid(f"spec.{field}[0]", now or None, f"primary {one} can not be unset")
    if now and was and now[0] != was[0]:
        errors.invalid(f"spec.{field}[0]", spec.get("clusterIPs"), _ONCE_SET)
    policy = spec.get("ipFamilyPolicy")
    if len(now) == 1 and len(was) > 1 and policy != "SingleStack":
        why = f"must be set to 'SingleStack' when releasing the secondary {one}"
        errors.invalid("spec.ipFamilyPolicy", policy, why)


def _service_status(errors: FieldErrors, new: Object, old: Object) -> None:
    ingresses = ((new.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    path = "status.loadBalancer.ingress"
    if ingresses and (new.get("spec") or {}).get("type") != LOAD_BALANCER:
        errors.forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")
        return
    before = ((old.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    known = {ingress.get("ip") or "" for ingress in before}
    for index, ingress in enumerate(ingresses):
        at, ip, mode = f"{path}[{index}]", ingress.get("ip") or "", ingress.get("ipMode")
        if ip:
            addresses.ip(errors, ip, f"{at}.ip", known)
        if mode is None:
            if ip:
                errors.required(f"{at}.ipMode", "must be specified when `ip` is set")
        elif not ip:
            errors.forbidden(f"{at}.ipMode", "may not be specified when `ip` is not set")
        elif mode not in ("Proxy", "VIP"):
            errors.not_supported(f"{at}.ipMode", mode, ("Proxy", "VIP"))
        host_name(errors, ingress.get("hostname") or "", f"{at}.hostname")


def host_name(errors: FieldErrors, value: str, path: str) -> None:
    """Of a load balancer."""
    if value:
        errors.messages(path, value, names.dns1123_subdomain(value))
        if addresses.parse(value) is not None:
            errors.invalid(path, value, "must be a DNS name, not an IP address")


# -- endpoints -------------------------------------------------------------------------------------------------


def _endpoints(errors: FieldErrors, new: Object, old: Object | None) -> None:
    if old is not None and metadata.same(new.get("subsets"), old.get("subsets")):
        return  # older versions let more through
    for index, subset in enumerate(new.get("subsets") or ()):
        at, ports = f"subsets[{index}]", subset.get("ports") or []
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            errors.required(at, "must specify `addresses` or `notReadyAddresses`")
        for field in ("addresses", "notReadyAddresses"):
            for number, address in enumerate(subset.get(field) or ()):
                _address(errors, address, f"{at}.{field}[{number}]")
        for number, port in enumerate(ports):
            _endpoint_port(errors, port, len(ports) > 1, f"{at}.ports[{number}]")


def _address(errors: FieldErrors, address: Object, path: str) -> None:
    ip = address.get("ip") or ""
    addresses.ip(errors, ip, f"{path}.ip")
    if address.get("hostname"):
        errors.messages(f"{path}.hostname", address["hostname"], names.dns1123_label(address["hostname"]))
    _node_name(errors, address, path)
    addresses.ordinary_ip(errors, ip, f"{path}.ip")


def _node_name(errors: FieldErrors, endpoint: Object, path: str) -> None:
    node = endpoint.get("nodeName")
    if node is not None:
        errors.messages(f"{path}.nodeName", node, names.dns1123_subdomain(node))


def _endpoint_port(errors: FieldErrors, port: Object, named: bool, path: str) -> None:
    name, number = port.get("name") or "", port.get("port") or 0
    if name:
        errors.messages(f"{path}.name", name, names.dns1123_label(name))
    elif named:
        errors.required(f"{path}.name")
    errors.messages(f"{path}.port", number, names.port_number(number))
    errors.choice(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
    _protocol_of_application(errors, port, path)


_ENDPOINTS_MAX, _ADDRESSES_MAX, _PORTS_MAX, _TOPOLOGY_MAX, _HINTS_MAX = 1000, 100, 20000, 16, 8
_ADDRESS_TYPES = ("FQDN", *_FAMILIES)


def _slice(errors: FieldErrors, new: Object, old: Object | None) -> None:
    type_ = new.get("addressType") or ""
    errors.choice("addressType", type_, _ADDRESS_TYPES)
    _slice_ports(errors, new.get("ports") or [])
    endpoints = new.get("endpoints") or []
    if old is not None and metadata.same(endpoints, old.get("endpoints")):
        return
    if len(endpoints) > _ENDPOINTS_MAX:
        errors.too_many("endpoints", len(endpoints), _ENDPOINTS_MAX)
    else:
        for index, endpoint in enumerate(endpoints):
            _slice_endpoint(errors, endpoint, type_, f"endpoints[{index}]")


def _slice_ports(errors: FieldErrors, ports: list[Object]) -> None:
    if len(ports) > _PORTS_MAX:
        errors.too_many("ports", len(ports), _PORTS_MAX)
        return
    seen: set[str] = set()
    for index, port in enumerate(ports):
        at, name = f"ports[{index}]", port.get("name") or ""
        if name:
            errors.messages(f"{at}.name", name, names.dns1123_label(name))
        if name in seen:
            errors.duplicate(f"{at}.name", name)
        seen.add(name)
        if port.get("protocol") not in PROTOCOLS:
            errors.not_supported(f"{at}.protocol", port.get("protocol"), PROTOCOLS)
        _protocol_of_application(errors, port, at)


def _slice_endpoint(errors: FieldErrors, endpoint: Object, type_: str, path: str) -> None:
    own = endpoint.get("addresses") or []
    if not own:
        errors.required(f"{path}.addresses", "must contain at least 1 address")
    elif len(own) > _ADDRESSES_MAX:
        errors.too_many(f"{path}.addresses", len(own), _ADDRESSES_MAX)
    for index, address in enumerate(own):
        at = f"{path}.addresses[{index}]"
        if type_ in _FAMILIES:
            if type_ == "IPv6" and (problems := addresses.ip_name(address)):
                errors.messages(at, address, problems)
            elif addresses.ip(errors, address, at):
                if addresses.family(address) != type_:
                    errors.invalid(f"{path}.addresses", address, f"must be an {type_} address")
                addresses.ordinary_ip(errors, address, at)
        elif type_ == "FQDN":
            full_domain_name(errors, address, at, 2)
    _node_name(errors, endpoint, path)
    topology = endpoint.get("deprecatedTopology")
    if topology:
        if len(topology) > _TOPOLOGY_MAX:
            errors.too_many(f"{path}.deprecatedTopology", len(topology), _TOPOLOGY_MAX)
        metadata.labels(errors, topology, f"{path}.deprecatedTopology")
    host = endpoint.get("hostname")
    if host is not None:
        errors.messages(f"{path}.hostname", host, names.dns1123_label(host))
    hints = endpoint.get("hints")
    if hints:
        _hints(errors, hints, f"{path}.hints")


def _hints(errors: FieldErrors, hints: Object, path: str) -> None:
    for field, rule in (("forZones", metadata.label_value), ("forNodes", names.dns1123_subdomain)):
        each = hints.get(field) or []
        if len(each) > _HINTS_MAX:
            errors.too_many(f"{path}.{field}", len(each), _HINTS_MAX)
            return
        seen: set[str] = set()
        for index, hint in enumerate(each):
            at, name = f"{path}.{field}[{index}].name", hint.get("name") or ""
            if name in seen:
                errors.duplicate(at, name)
            seen.add(name)
            errors.messages(at, name, rule(name))


def full_domain_name(errors: FieldErrors, value: str, path: str, segments: int) -> None:
    """`IsFullyQualifiedDomainName` (two segments, a dot at the end is fine) and `IsFullyQualifiedName` (three)."""
    if not value:
        errors.required(path)
        return
    if segments == 2:
        value = value.removesuffix(".")
    problems = names.dns1123_subdomain(value)
    if problems:
        errors.invalid(path, value, ",".join(problems))
    elif value.count(".") < segments - 1:
        count = {2: "two", 3: "three"}[segments]
        errors.invalid(path, value, f"should be a domain with at least {count} segments separated by dots")
    elif segments == 2:
        for label in value.split("."):
            if problems := names.dns1123_label(label):
                errors.invalid(path, label, ",".join(problems))
                return


def _slice_change(errors: FieldErrors, new: Object, old: Object) -> None:
    metadata.immutable(errors, new.get("addressType"), old.get("addressType"), "addressType", type_="s")


SERVICE = kind(_service, "uxb", rule=names.dns1123_label, change=_service_change, status=_service_status)
ENDPOINTS = kind(_endpoints)
ENDPOINT_SLICE = kind(_slice, "cbx", change=_slice_change)
