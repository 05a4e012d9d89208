"""Nodes and namespaces."""

from __future__ import annotations

import re

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from . import addresses, resources
from .metadata import label_value, qualified_name, same
from .scheduling import EFFECTS
from .validator import kind

_FEATURE = re.compile(r"[A-Z][a-zA-Z0-9]*(/[a-zA-Z][a-zA-Z0-9]*)*")
_UNIQUE_TAINTS = "taints must be unique by key and effect pair"


# -- Node --------------------------------------------------------------------------------------------------------------


def _node(errors: FieldErrors, node: Object, old: Object | None) -> None:
    spec = node.get("spec") or {}
    if spec.get("taints"):
        _taints(errors, spec["taints"], "metadata.taints")
    _node_resources(errors, node)
    status = node.get("status") or {}
    swap = ((status.get("nodeInfo") or {}).get("swap") or {}).get("capacity")
    if swap is not None and swap <= 0:
        errors.invalid("metadata.nodeSwapStatus.capacity", swap, "must be greater than zero")
    _declared_features(errors, status.get("declaredFeatures") or [], "status.declaredFeatures")
    if spec.get("podCIDRs"):
        _pod_cidrs(errors, spec["podCIDRs"], "spec.podCIDRs")


def _taints(errors: FieldErrors, taints: list[Object], path: str) -> None:
    seen = set()
    for index, taint in enumerate(taints):
        at, key, value = f"{path}[{index}]", taint.get("key") or "", taint.get("value") or ""
        effect = taint.get("effect") or ""
        errors.messages(f"{at}.key", key, qualified_name(key))
        if problems := label_value(value):
            errors.invalid(f"{at}.value", value, ";".join(problems))
        errors.choice(f"{at}.effect", effect, EFFECTS)
        if (key, effect) in seen:
            shown = {"Key": key, "Value": value, "Effect": effect, "TimeAdded": taint.get("timeAdded")}
            errors.duplicate(at, shown, _UNIQUE_TAINTS)
        seen.add((key, effect))


def _node_resources(errors: FieldErrors, node: Object) -> None:
    for which in ("capacity", "allocatable"):
        for resource, value in ((node.get("status") or {}).get(which) or {}).items():
            resources.amount(errors, resource, value, f"status.{which}.{resource}")


def _declared_features(errors: FieldErrors, features: list[str], path: str) -> None:
    """What a kubelet can do beyond its version, sorted (KEP-5328)."""
    for index, feature in enumerate(features):
        why = ""
        if len(feature) > names.SUBDOMAIN_LENGTH_MAX:
            why = f"must be no more than {names.SUBDOMAIN_LENGTH_MAX} characters"
        elif not _FEATURE.fullmatch(feature):
            why = (
                "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or "
                "MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"
            )
        if why:
            errors.invalid(f"{path}[{index}]", feature, f'invalid feature name "{feature}": {why}')
        following = features[index + 1] if index + 1 < len(features) else None
        if following == feature:
            errors.duplicate(f"{path}[{index + 1}]", feature)
        elif following is not None and following < feature:
            errors.invalid(f"{path}[{index + 1}]", following, "list must be sorted alphabetically")


def _pod_cidrs(errors: FieldErrors, cidrs: list[str], path: str) -> None:
    for index, cidr in enumerate(cidrs):
        addresses.cidr(errors, cidr, f"{path}[{index}]")
    if len(cidrs) > 1:
        networks = [addresses.parse_range(cidr) for cidr in cidrs]
        if None in networks:
            index = networks.index(None)
            why = (
                "invalid PodCIDRs. failed to check with dual stack with error:"
                f"invalid CIDR[{index}]: <nil> (invalid CIDR address: {cidrs[index]})"
            )
            errors.internal(path, why)
        if None in networks or len({n.version for n in networks if n}) < 2 or len(cidrs) > 2:
            errors.invalid(path, cidrs, "may specify no more than one CIDR for each IP family")


def _node_change(errors: FieldErrors, new: Object, old: Object) -> None:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    _node_resources(errors, new)
    status = new.get("status") or {}
    _declared_features(errors, status.get("declaredFeatures") or [], "status.declaredFeatures")
    listed = status.get("addresses") or []
    for index, address in enumerate(listed):
        if any(same(address, other) for other in listed[:index]):
            shown = {"Type": address.get("type") or "", "Address": address.get("address") or ""}
            errors.duplicate(f"status.addresses[{index}]", shown)
    cidrs, known = spec.get("podCIDRs") or [], before.get("podCIDRs") or []
    changed = [True] if len(cidrs) != len(known) else [a != b for a, b in zip(cidrs, known, strict=True)]
    for _ in range(sum(changed) if known else 0):
        errors.forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid')
    if before.get("providerID") and spec.get("providerID") != before["providerID"]:
        errors.forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid')
    if spec.get("taints"):
        _taints(errors, spec["taints"], "metadata.taints")
    if spec.get("externalID") != before.get("externalID"):
        errors.forbidden("spec.externalID", "may not be updated")


# -- Namespace ---------------------------------------------------------------------------------------------------------


def _finalizer(errors: FieldErrors, name: str, path: str) -> None:
    errors.messages(path, name, qualified_name(name))
    if "/" not in name and name not in ("kubernetes", "orphan", "foregroundDeletion"):
        errors.invalid(path, name, "name is neither a standard finalizer name nor is it fully qualified")


def _namespace(errors: FieldErrors, obj: Object, old: Object | None) -> None:
    for name in (obj.get("spec") or {}).get("finalizers") or ():
        _finalizer(errors, name, "spec.finalizers")


def _finalize(errors: FieldErrors, new: Object, old: Object) -> None:
    for index, name in enumerate((new.get("spec") or {}).get("finalizers") or ()):
        _finalizer(errors, name, f"spec.finalizers[{index}]")


def _phase(errors: FieldErrors, new: Object, old: Object) -> None:
    phase = (new.get("status") or {}).get("phase") or ""
    if not new["metadata"].get("deletionTimestamp"):
        if phase != "Active":
            why = "may only be 'Active' if `deletionTimestamp` is empty"
            errors.invalid("status.Phase", phase, why)
    elif phase != "Terminating":
        why = "may only be 'Terminating' if `deletionTimestamp` is not empty"
        errors.invalid("status.Phase", phase, why)


NODE = kind(_node, "cbux", cluster=True, change=_node_change, status=_node_change)
NAMESPACE = kind(
    _namespace,
    "cbu",
    rule=names.dns1123_label,
    cluster=True,
    status=_phase,
    subresources={"finalize": _finalize},
)
