"""Services: two names for one field, what an update need not repeat, what goes when the type changes. What is given out with a service is
in `service_allocation.py`."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from ...api.errors import invalid
from ...api.fielderrors import FieldErrors
from ...api.object import Object
from ...api.validation.addresses import family
from ...api.validation.services import cluster_ips
from . import service_allocation as allocation
from .service_allocation import (
    IPV4,
    IPV6,
    NONE,
    needs_cluster_ip,
    needs_health_check_port,
    needs_node_ports,
)

if TYPE_CHECKING:
    from .generic import Registry
    from .operation import Operation


def prepare_create(registry: Registry, op: Operation) -> None:
    service = op.object
    assert service is not None
    spec = service["spec"] = dict(service.get("spec") or {})
    _normalize_cluster_ips(spec, {})
    _families(registry, service, {})
    allocation.allocate(registry, op, service, None)


def prepare_update(registry: Registry, op: Operation) -> None:
    new, old = op.object, op.old
    assert new is not None and old is not None
    if op.subresource == "status":
        return
    spec = new["spec"] = dict(new.get("spec") or {})
    old_spec = old.get("spec") or {}
    _patch_allocated(new, old)
    _normalize_cluster_ips(spec, old_spec)
    _families(registry, new, old_spec)
    allocation.allocate(registry, op, new, old)
    _drop_type_dependent(new, old)


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


def _patch_allocated(new: Object, old: Object) -> None:
    """What the server chose stays, though a client that updates does not repeat it (`patchAllocatedValues`)."""
    spec, old_spec = new["spec"], old.get("spec") or {}
    if needs_cluster_ip(old) and needs_cluster_ip(new):
        if not spec.get("clusterIP"):
            spec["clusterIP"] = old_spec.get("clusterIP", "")
        if not spec.get("clusterIPs"):
            spec["clusterIPs"] = list(old_spec.get("clusterIPs") or [])
    if needs_node_ports(old) and needs_node_ports(new):
        known = {p.get("name"): p.get("nodePort") for p in old_spec.get("ports") or ()}
        kept = {p.get("nodePort") for p in spec.get("ports") or ()} & set(known.values())
        ports = []
        for port in spec.get("ports") or ():
            before = known.get(port.get("name"))
            if not port.get("nodePort") and before and before not in kept:
                port = {**port, "nodePort": before}
            ports.append(port)
        spec["ports"] = ports
    if needs_health_check_port(old) and needs_health_check_port(new) and not spec.get("healthCheckNodePort"):
        if old_spec.get("healthCheckNodePort"):
            spec["healthCheckNodePort"] = old_spec["healthCheckNodePort"]


def _drop_type_dependent(new: Object, old: Object) -> None:
    """When the type changes, what belongs to the old type goes, unless the client set it (`dropTypeDependentFields`)."""
    spec, old_spec = new["spec"], old.get("spec") or {}

    def forget(*fields: str) -> None:
        if all(spec.get(field) == old_spec.get(field) for field in fields):
            for field in fields:
                spec.pop(field, None)

    if needs_cluster_ip(old) and not needs_cluster_ip(new):
        forget("clusterIP", "clusterIPs")
        forget("ipFamilies")
        forget("ipFamilyPolicy")
    if old_spec.get("type") in _WITH_PORTS and spec.get("type") not in _WITH_PORTS:
        ports = spec.get("ports") or []
        known = {port.get("nodePort") or 0 for port in old_spec.get("ports") or ()}
        if all(port.get("nodePort", 0) in {0, *known} for port in ports):
            spec["ports"] = [{k: v for k, v in p.items() if k != "nodePort"} for p in ports]
    if needs_health_check_port(old) and not needs_health_check_port(new):
        forget("healthCheckNodePort")
    if old_spec.get("type") == "LoadBalancer" != spec.get("type"):
        forget("allocateLoadBalancerNodePorts")
        forget("loadBalancerClass")
    if _from_outside(old_spec) and not _from_outside(spec):
        forget("externalTrafficPolicy")
    if spec.get("type") != "LoadBalancer":
        new["status"] = {**(new.get("status") or {}), "loadBalancer": {}}


_WITH_PORTS = ("NodePort", "LoadBalancer")


def _from_outside(spec: Object) -> bool:
    return spec.get("type") in _WITH_PORTS or bool(
        spec.get("type") == "ClusterIP" and spec.get("externalIPs")
    )


def _families(registry: Registry, service: Object, old: Object) -> None:
    """Our cluster is single-stack: the family of its service CIDR. What is asked for must fit together before anything is chosen, so
    that these causes come alone (`initIPFamilyFields`)."""
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        if spec.get("internalTrafficPolicy") in ("Cluster", "Local"):
            del spec["internalTrafficPolicy"]  # it is not shown for these
        return
    if not needs_cluster_ip(service):
        return
    unchanged = all(spec.get(field) == old.get(field) for field in ("type", "clusterIPs", "ipFamilies"))
    if unchanged and spec.get("ipFamilyPolicy") == old.get("ipFamilyPolicy") == "PreferDualStack":
        return
    open_ended = spec.get("clusterIP") == NONE and not spec.get("selector")
    if not spec.get("ipFamilyPolicy"):
        spec["ipFamilyPolicy"] = old.get("ipFamilyPolicy") or (_REQUIRED if open_ended else _SINGLE)
    policy, causes = spec["ipFamilyPolicy"], FieldErrors()
    cluster_ips(causes, spec, old)
    _raise(service, causes)
    for field, what, many in (
        ("clusterIPs", "cluster IP", "cluster IPs"),
        ("ipFamilies", "IP family", "IP families"),
    ):
        now, was = spec.get(field) or [], old.get(field) or []
        if policy == _SINGLE and len(now) > 1 and now == was:
            spec[field] = now[:1]
        elif policy != _SINGLE and now and len(now) < len(was):
            causes.invalid(
                "spec.ipFamilyPolicy", policy, f"must be 'SingleStack' to release the secondary {what}"
            )
        if policy == _SINGLE and len(spec.get(field) or ()) == 2:
            why = f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {many} are specified"
            causes.invalid("spec.ipFamilyPolicy", policy, why)
    default = IPV4 if ipaddress.ip_network(registry.config.service_cidr).version == 4 else IPV6
    other = IPV6 if default == IPV4 else IPV4
    families, given = list(spec.get("ipFamilies") or []), spec.get("clusterIPs") or []
    for index, ip in enumerate(given if NONE not in given else ()):
        if index >= len(families) and family(ip) == other:
            causes.invalid(f"spec.clusterIPs[{index}]", given, f"{other} is not configured on this cluster")
        elif index >= len(families):
            families.append(family(ip))
    _raise(service, causes)
    if open_ended:
        families = families or [default]
        if len(families) == 1 and policy != _SINGLE:
            families.append(other if families[0] == default else default)
        spec["ipFamilies"] = families
        return
    if policy == _REQUIRED:
        causes.invalid(
            "spec.ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services"
        )
    for index, wanted in enumerate(families):
        if wanted == other:
            causes.invalid(f"spec.ipFamilies[{index}]", wanted, "not configured on this cluster")
    _raise(service, causes)
    spec["ipFamilies"] = families or [default]


_SINGLE, _REQUIRED = "SingleStack", "RequireDualStack"


def _raise(service: Object, causes: FieldErrors) -> None:
    if causes:
        raise invalid("Service", "", service["metadata"].get("name") or "", causes)
