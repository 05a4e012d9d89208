"""What an object takes from a ResourceQuota, and which quotas it falls under. Used by admission (before) and the controller (after).

Names of quota resources: https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .object import Object, get, is_deleting
from .qos import pod_limits, pod_requests, qos_class
from .quantity import ZERO, Quantity

Usage = dict[str, Quantity]
ONE = Quantity.parse("1")

# resources that are also counted under their plain name, as before count/<resource> existed
_PLAIN_COUNTS = {
    "configmaps",
    "secrets",
    "services",
    "replicationcontrollers",
    "resourcequotas",
    "persistentvolumeclaims",
}
_CLASS_SUFFIX = ".storageclass.storage.k8s.io/"
DEVICES_SUFFIX, DEVICES_MAX = ".deviceclass.resource.k8s.io/devices", 32
_NATIVE = {"cpu", "memory", "ephemeral-storage"}
_COUNTED = {
    "pods": {"pods", *_NATIVE, *(f"{kind}.{name}" for kind in ("requests", "limits") for name in _NATIVE)},
    "services": {"services.nodeports", "services.loadbalancers"},
    "persistentvolumeclaims": {"requests.storage"},
}


def usage_of(resource: str, obj: Object) -> Usage:
    """`resource` is plural[.group]."""
    usage: Usage = {f"count/{resource}": ONE}
    if resource in _PLAIN_COUNTS:
        usage[resource] = ONE
    if special := _SPECIAL.get(resource):
        usage.update(special(obj))
    return usage


def counted(resource: str, names: Iterable[str]) -> list[str]:
    """Those of a quota's resources that objects of this resource take from, whatever one of them takes."""
    own = {f"count/{resource}", *({resource} & _PLAIN_COUNTS), *_COUNTED.get(resource, ())}

    def is_own(name: str) -> bool:
        match resource:
            case "pods":
                return name.startswith(("hugepages-", "requests.hugepages-")) or (
                    name.startswith("requests.") and "/" in name
                )
            case "persistentvolumeclaims":
                return _CLASS_SUFFIX in name and name.partition(_CLASS_SUFFIX)[2] in own
            case "resourceclaims.resource.k8s.io":
                return name.endswith(DEVICES_SUFFIX)
        return False

    return sorted(name for name in names if name in own or is_own(name))


def _pod(pod: Object) -> Usage:
    """An ended pod takes nothing but its place in count/pods."""
    if get(pod, "status.phase") in ("Succeeded", "Failed"):
        return {}
    if is_deleting(pod) and pod["metadata"].get("deletionGracePeriodSeconds") == 0:
        return {}
    usage: Usage = {"pods": ONE}
    for name, value in pod_requests(pod).items():
        usage[f"requests.{name}"] = Quantity.of(value)
        if name in _NATIVE or name.startswith("hugepages-"):
            usage[name] = Quantity.of(value)
    for name, value in pod_limits(pod).items():
        usage[f"limits.{name}"] = Quantity.of(value)
    return usage


def _service(service: Object) -> Usage:
    spec = service["spec"]
    type_ = spec.get("type", "ClusterIP")
    ports = spec.get("ports") or []
    usage: Usage = {"services.nodeports": ZERO, "services.loadbalancers": ZERO}
    if type_ == "LoadBalancer":
        usage["services.loadbalancers"] = ONE
        if spec.get("allocateLoadBalancerNodePorts") is False:
            ports = [p for p in ports if p.get("nodePort")]
    if type_ in ("NodePort", "LoadBalancer"):
        usage["services.nodeports"] = Quantity.parse(str(len(ports)))
    return usage


def _claim(claim: Object) -> Usage:
    size = Quantity.of(get(claim, "spec.resources.requests.storage", "0"))
    allocated = get(claim, "status.allocatedResources.storage")
    if allocated is not None and Quantity.of(allocated).number > size.number:
        size = Quantity.of(allocated)
    usage: Usage = {"requests.storage": size}
    if class_name := get(claim, "spec.storageClassName"):
        usage[f"{class_name}{_CLASS_SUFFIX}requests.storage"] = size
        usage[f"{class_name}{_CLASS_SUFFIX}persistentvolumeclaims"] = ONE
    return usage


def _device_claim(claim: Object) -> Usage:
    """Of alternatives, the most that one of them takes of each class; of "all devices", the most that a claim can get."""
    usage: Usage = {}
    for request in get(claim, "spec.devices.requests", []):
        most: Usage = {}
        for choice in request.get("firstAvailable") or (request.get("exactly") or {},):
            count = DEVICES_MAX if choice.get("allocationMode") == "All" else choice.get("count") or 0
            name, number = f"{choice.get('deviceClassName', '')}{DEVICES_SUFFIX}", Quantity.parse(str(count))
            if name not in most or most[name].number < number.number:
                most[name] = number
        for name, number in most.items():
            usage[name] = usage.get(name, ZERO) + number
    return usage


_SPECIAL: dict[str, Callable[[Object], Usage]] = {
    "pods": _pod,
    "services": _service,
    "persistentvolumeclaims": _claim,
    "resourceclaims.resource.k8s.io": _device_claim,
}


# -- scopes ------------------------------------------------------------------------------------------------------------


def applies(quota: Object, resource: str, obj: Object) -> bool:
    """Whether the object is in all of the quota's scopes. Only pods and volume claims have any; a scoped quota counts nothing else."""
    rules = [{"scopeName": name, "operator": "Exists"} for name in get(quota, "spec.scopes", [])]
    rules += get(quota, "spec.scopeSelector.matchExpressions", [])
    if not rules:
        return True
    in_scope = {"pods": _in_scope, "persistentvolumeclaims": _claim_in_scope}.get(resource)
    return in_scope is not None and all(in_scope(rule, obj) for rule in rules)


def _claim_in_scope(rule: Object, claim: Object) -> bool:
    """By the volume attributes class it wants, has, or is on its way to."""
    status = claim.get("status") or {}
    classes = {
        get(claim, "spec.volumeAttributesClassName", ""),
        status.get("currentVolumeAttributesClassName", ""),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName", ""),
    } - {""}
    return rule["scopeName"] == "VolumeAttributesClass" and any(
        _matches_class(rule, name) for name in classes or {""}
    )


def _in_scope(rule: Object, pod: Object) -> bool:
    name = rule["scopeName"]
    if name == "PriorityClass":
        return _matches_class(rule, get(pod, "spec.priorityClassName", ""))
    holds = _SCOPES.get(name)
    if holds is None:
        return False
    return holds(pod) != (rule.get("operator") in ("DoesNotExist", "NotIn"))


def _matches_class(rule: Object, class_name: str) -> bool:
    values = rule.get("values") or []
    match rule.get("operator"):
        case "In":
            return class_name in values
        case "NotIn":
            return class_name not in values
        case "DoesNotExist":
            return not class_name
    return bool(class_name)


def _is_terminating(pod: Object) -> bool:
    return bool(get(pod, "spec.activeDeadlineSeconds", -1) >= 0)


def _crosses_namespaces(pod: Object) -> bool:
    affinity = get(pod, "spec.affinity", {})
    return any(
        term.get("namespaces") or term.get("namespaceSelector") is not None
        for part in ("podAffinity", "podAntiAffinity")
        for term in _terms(affinity.get(part) or {})
    )


def _terms(affinity: Object) -> Iterable[Object]:
    yield from affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    for weighted in affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
        yield weighted["podAffinityTerm"]


_SCOPES: dict[str, Callable[[Object], bool]] = {
    "Terminating": _is_terminating,
    "NotTerminating": lambda pod: not _is_terminating(pod),
    "BestEffort": lambda pod: qos_class(pod) == "BestEffort",
    "NotBestEffort": lambda pod: qos_class(pod) != "BestEffort",
    "CrossNamespacePodAffinity": _crosses_namespaces,
}
