"""Ingresses, network policies, and the address space of services."""

from __future__ import annotations

import re

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from . import addresses, metadata
from .services import host_name, port_or_name
from .validator import kind

_INGRESS_CLASS = "kubernetes.io/ingress.class"
_WILDCARD = re.compile(r"\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_WILDCARD_ERROR = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex "
    f"used for validation is '{_WILDCARD.pattern}')"
)
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")


# -- Ingress ---------------------------------------------------------------------------------------------------


def _ingress(errors: FieldErrors, new: Object, old: Object | None) -> None:
    spec = new.get("spec") or {}
    backend, rules, class_ = spec.get("defaultBackend"), spec.get("rules") or [], spec.get("ingressClassName")
    if not rules and backend is None:
        errors.invalid("spec", None, "either `defaultBackend` or `rules` must be specified")
    if backend is not None:
        _backend(errors, backend, "spec.defaultBackend")
    loose = old is not None and any(map(_odd_wildcard, (old.get("spec") or {}).get("rules") or ()))
    for index, rule in enumerate(rules):
        host, at = rule.get("host") or "", f"spec.rules[{index}]"
        if host:
            if addresses.parse(host) is not None:
                errors.invalid(f"{at}.host", host, "must be a DNS name, not an IP address")
            _host(errors, host, f"{at}.host")
        if not loose or "*" not in host:
            _rule_value(errors, rule, at)
    _tls(errors, spec.get("tls") or [], ((old or {}).get("spec") or {}).get("tls") or [])
    if class_ is not None:
        errors.messages("spec.ingressClassName", class_, names.dns1123_subdomain(class_))
    mark = (new["metadata"].get("annotations") or {}).get(_INGRESS_CLASS)
    if old is None and mark is not None and class_ is not None and mark != class_:
        why = "must match `ingressClassName` when both are specified"
        errors.invalid(f"annotations.{_INGRESS_CLASS}", mark, why)


def _odd_wildcard(rule: Object) -> bool:
    found = FieldErrors()
    if "*" in (rule.get("host") or ""):
        _rule_value(found, rule, "")
    return bool(found)


def _host(errors: FieldErrors, host: str, path: str) -> None:
    if "*" not in host:
        errors.messages(path, host, names.dns1123_subdomain(host))
        return
    if len(host) > names.SUBDOMAIN_LENGTH_MAX:
        errors.invalid(path, host, names.too_long(names.SUBDOMAIN_LENGTH_MAX))
    if not _WILDCARD.fullmatch(host):
        errors.invalid(path, host, _WILDCARD_ERROR)


def _tls(errors: FieldErrors, tls: list[Object], old: list[Object]) -> None:
    def bad(entry: Object) -> list[str]:
        secret = entry.get("secretName") or ""
        return names.dns1123_subdomain(secret) if secret else []

    loose = any(map(bad, old))
    for index, entry in enumerate(tls):
        for number, host in enumerate(entry.get("hosts") or ()):
            _host(errors, host, f"spec.tls[{index}].hosts[{number}]")
        if not loose:
            errors.messages(f"spec.tls[{index}].secretName", entry.get("secretName"), bad(entry))


def _rule_value(errors: FieldErrors, rule: Object, path: str) -> None:
    http = rule.get("http")
    if http is None:
        return
    paths = http.get("paths") or []
    if not paths:
        errors.required(f"{path}.http.paths")
    for index, each in enumerate(paths):
        at, type_, value = f"{path}.http.paths[{index}]", each.get("pathType"), each.get("path") or ""
        if type_ is None:
            errors.required(f"{at}.pathType", "pathType must be specified")
            continue
        if type_ not in _PATH_TYPES:
            errors.not_supported(f"{at}.pathType", type_, _PATH_TYPES)
        elif not value.startswith("/") and (value or type_ != "ImplementationSpecific"):
            errors.invalid(f"{at}.path", value, "must be an absolute path")
        if type_ in ("Exact", "Prefix"):
            for part in ("//", "/./", "/../", "%2f", "%2F"):
                if part in value:
                    errors.invalid(f"{at}.path", value, f"must not contain '{part}'")
            for end in ("/..", "/."):
                if value.endswith(end):
                    errors.invalid(f"{at}.path", value, f"cannot end with '{end}'")
        _backend(errors, each.get("backend") or {}, f"{at}.backend")


def _backend(errors: FieldErrors, backend: Object, path: str) -> None:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        errors.invalid(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        reference(errors, resource, f"{path}.resource")
    elif service is None:
        errors.invalid(path, "", "resource or service backend is required")
    else:
        name, port = service.get("name") or "", service.get("port") or {}
        if name:
            errors.messages(f"{path}.service.name", name, names.dns1123_label(name))
        else:
            errors.required(f"{path}.service.name")
        if port.get("name") and port.get("number"):
            errors.invalid(path, "", "cannot set both port name & port number")
        elif port.get("name"):
            port_or_name(errors, port["name"], f"{path}.service.port.name")
        elif port.get("number"):
            port_or_name(errors, port["number"], f"{path}.service.port.number")
        else:
            errors.required(path, "port name or number is required")


def reference(errors: FieldErrors, target: Object, path: str) -> None:
    """`apiGroup`, `kind` and `name` of something in the same namespace."""
    group = target.get("apiGroup")
    if group is not None:
        errors.messages(f"{path}.apiGroup", group, names.dns1123_subdomain(group))
    for field in ("kind", "name"):
        segment(errors, target.get(field) or "", f"{path}.{field}")


def segment(errors: FieldErrors, value: str, path: str) -> None:
    """Required, and fit for a URL."""
    if value:
        errors.messages(path, value, names.path_segment(value))
    else:
        errors.required(path)


def _ingress_status(errors: FieldErrors, new: Object, old: Object) -> None:
    def ingresses(obj: Object) -> list[Object]:
        return ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []

    known = {ingress.get("ip") or "" for ingress in ingresses(old)}
    for index, ingress in enumerate(ingresses(new)):
        at = f"status.loadBalancer.ingress[{index}]"
        if ingress.get("ip"):
            addresses.ip(errors, ingress["ip"], f"{at}.ip", known)
        host_name(errors, ingress.get("hostname") or "", f"{at}.hostname")


_CONTROLLER_LENGTH_MAX = 250


def _ingress_class(errors: FieldErrors, new: Object, old: Object | None) -> None:
    spec = new.get("spec") or {}
    controller, parameters = spec.get("controller") or "", spec.get("parameters")
    if not controller:
        errors.required("spec.controller")
    else:
        if len(controller) > _CONTROLLER_LENGTH_MAX:
            errors.too_long("spec.controller", _CONTROLLER_LENGTH_MAX)
        _domain_path(errors, controller, "spec.controller")
    if parameters is None:
        return
    path = "spec.parameters"
    reference(errors, parameters, path)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope is None:
        errors.required(f"{path}.scope")
    elif scope not in ("Cluster", "Namespace"):
        errors.not_supported(f"{path}.scope", scope, ("Cluster", "Namespace"))
    elif scope == "Cluster":
        if namespace is not None:
            errors.forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'")
    elif namespace is None:
        errors.required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'")
    else:
        errors.messages(f"{path}.namespace", namespace, names.dns1123_label(namespace))


_URL_PATH = re.compile(r"([A-Za-z0-9/\-._~%!$&'()*+,;=:]+)")


def _domain_path(errors: FieldErrors, value: str, path: str) -> None:
    host, slash, rest = value.partition("/")
    if not host or not rest:
        errors.invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')
        return
    errors.messages(path, host, names.dns1123_subdomain(host))
    if not _URL_PATH.fullmatch(rest):
        why = f"Invalid path (regex used for validation is '{_URL_PATH.pattern[1:-1]}')"
        errors.invalid(path, rest, why)


def _ingress_class_change(errors: FieldErrors, new: Object, old: Object) -> None:
    now, was = (new.get("spec") or {}).get("controller"), (old.get("spec") or {}).get("controller")
    metadata.immutable(errors, now, was, "spec.controller", type_="s")


# -- NetworkPolicy ---------------------------------------------------------------------------------------------


def _policy(errors: FieldErrors, new: Object, old: Object | None) -> None:
    spec, before = new.get("spec") or {}, (old or {}).get("spec") or {}
    found = FieldErrors()
    metadata.label_selector(found, before.get("podSelector"), "")
    loose, known = bool(found), _ranges(before)
    metadata.label_selector(errors, spec.get("podSelector"), "spec.podSelector", any_value=loose)
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or ()):
            at = f"spec.{direction}[{index}]"
            for number, port in enumerate(rule.get("ports") or ()):
                _policy_port(errors, port, f"{at}.ports[{number}]")
            for number, peer in enumerate(rule.get(peers) or ()):
                _peer(errors, peer, loose, known, f"{at}.{peers}[{number}]")
    types = spec.get("policyTypes") or []
    if len(types) > 2:
        errors.invalid("spec.policyTypes", types, "may not specify more than two policyTypes")
        return
    for index, type_ in enumerate(types):
        if type_ not in ("Ingress", "Egress"):
            errors.not_supported(f"spec.policyTypes[{index}]", type_, ("Ingress", "Egress"))


def _ranges(spec: Object) -> set[str]:
    """Every range in a policy."""
    blocks = [
        peer["ipBlock"]
        for direction, peers in (("ingress", "from"), ("egress", "to"))
        for rule in spec.get(direction) or ()
        for peer in rule.get(peers) or ()
        if peer.get("ipBlock")
    ]
    return {r for block in blocks for r in (block.get("cidr") or "", *(block.get("except") or ()))}


def _policy_port(errors: FieldErrors, each: Object, path: str) -> None:
    protocol, port, end = each.get("protocol"), each.get("port"), each.get("endPort")
    if protocol is not None and protocol not in ("TCP", "UDP", "SCTP"):
        errors.not_supported(f"{path}.protocol", protocol, ("TCP", "UDP", "SCTP"))
    if isinstance(port, int):
        port_or_name(errors, port, f"{path}.port")
        if end is not None:
            if end < port:
                # the message shows the port, not the end: so it is recorded
                errors.invalid(f"{path}.endPort", port, "must be greater than or equal to `port`")
            errors.messages(f"{path}.endPort", end, names.port_number(end))
        return
    if end is not None:
        why = "not specified" if port is None else "non-numeric"
        errors.invalid(f"{path}.endPort", end, f"may not be specified when `port` is {why}")
    if port is not None:
        port_or_name(errors, port, f"{path}.port")


def _peer(errors: FieldErrors, peer: Object, loose: bool, known: set[str], path: str) -> None:
    selectors = [field for field in ("podSelector", "namespaceSelector") if peer.get(field) is not None]
    for field in selectors:
        metadata.label_selector(errors, peer[field], f"{path}.{field}", any_value=loose)
    block = peer.get("ipBlock")
    if block is not None:
        _block(errors, block, known, f"{path}.ipBlock")
    if block is None and not selectors:
        errors.required(path, "must specify a peer")
    elif block is not None and selectors:
        errors.forbidden(path, "may not specify both ipBlock and another peer")


def _block(errors: FieldErrors, block: Object, known: set[str], path: str) -> None:
    whole = block.get("cidr") or ""
    if not whole:
        errors.required(f"{path}.cidr")
        return
    addresses.cidr(errors, whole, f"{path}.cidr", known)
    network = addresses.parse_range(whole)
    if network is None:
        return
    for index, excepted in enumerate(block.get("except") or ()):
        at = f"{path}.except[{index}]"
        addresses.cidr(errors, excepted, at, known)
        part = addresses.parse_range(excepted)
        if part is None:
            continue
        if part.network_address not in network or network.prefixlen >= part.prefixlen:
            errors.invalid(at, excepted, "must be a strict subset of `cidr`")


# -- IPAddress, ServiceCIDR ------------------------------------------------------------------------------------


def _ip_address(errors: FieldErrors, new: Object, old: Object | None) -> None:
    parent, path = (new.get("spec") or {}).get("parentRef"), "spec.parentRef"
    if parent is None:
        errors.required(path)
        return
    if parent.get("group"):
        errors.messages(f"{path}.group", parent["group"], names.dns1123_subdomain(parent["group"]))
    for field in ("resource", "name"):
        segment(errors, parent.get(field) or "", f"{path}.{field}")
    if parent.get("namespace"):
        segment(errors, parent["namespace"], f"{path}.namespace")


def _ip_address_change(errors: FieldErrors, new: Object, old: Object) -> None:
    now, was = (new.get("spec") or {}).get("parentRef"), (old.get("spec") or {}).get("parentRef")
    metadata.immutable(errors, now, was, "spec.parentRef", type_="networking.v1.ParentReference")


def _service_cidr(errors: FieldErrors, new: Object, old: Object | None) -> None:
    spec, path = new.get("spec") or {}, "spec.cidrs"
    cidrs = spec.get("cidrs") or []
    if not cidrs:
        errors.required(path, "at least one CIDR required")
        return
    if len(cidrs) > 2:
        errors.invalid(path, {"CIDRs": cidrs}, "may only hold up to 2 values")
        return
    for index, value in enumerate(cidrs):
        addresses.cidr(errors, value, f"{path}[{index}]", canonical=True)
    versions = [found.version for value in cidrs if (found := addresses.parse_range(value)) is not None]
    if len(versions) == 2 and versions[0] == versions[1]:
        why = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        errors.invalid(path, cidrs, why)


def _service_cidr_change(errors: FieldErrors, new: Object, old: Object) -> None:
    """A second family may be added."""
    now, was = (new.get("spec") or {}).get("cidrs") or [], (old.get("spec") or {}).get("cidrs") or []
    if len(now) == len(was) or len(now) == 2:
        for index, (value, before) in enumerate(zip(now, was, strict=False)):
            if value != before:
                errors.invalid(f"spec.cidrs[{index}]", value, metadata.IMMUTABLE)
        if len(now) != len(was):
            _service_cidr(errors, new, old)
    else:
        errors.invalid("spec.cidrs", now or None, metadata.IMMUTABLE)


INGRESS = kind(_ingress, "ucb", status=_ingress_status)
INGRESS_CLASS = kind(_ingress_class, "uxcb", cluster=True, change=_ingress_class_change)
NETWORK_POLICY = kind(_policy, "ub")
IP_ADDRESS = kind(_ip_address, "cbux", rule=addresses.ip_name, cluster=True, change=_ip_address_change)
SERVICE_CIDR = kind(_service_cidr, "ux", cluster=True, change=_service_cidr_change)
