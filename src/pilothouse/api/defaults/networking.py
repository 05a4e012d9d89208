"""EndpointSlices, NetworkPolicies, Ingresses."""

from __future__ import annotations

from ..object import Object
from .common import put, spec


def default_endpoint_slice(slice_: Object) -> None:
    for port in slice_.get("ports") or ():
        put(port, name="", protocol="TCP")
    for key in ("endpoints", "ports"):
        slice_.setdefault(key, None)


def default_network_policy(policy: Object) -> None:
    own = spec(policy)
    if not own.get("policyTypes"):
        own["policyTypes"] = ["Ingress", "Egress"] if own.get("egress") else ["Ingress"]
    for rule in [*(own.get("ingress") or ()), *(own.get("egress") or ())]:
        for port in rule.get("ports") or ():
            put(port, protocol="TCP")


def default_ingress(ingress: Object) -> None:
    """Nothing: `pathType` is required."""


def default_ingress_class(ingress_class: Object) -> None:
    parameters = (ingress_class.get("spec") or {}).get("parameters")
    if isinstance(parameters, dict):
        put(parameters, scope="Cluster")
