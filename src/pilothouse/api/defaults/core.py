"""Services, claims, volumes, nodes, secrets and the rest of the core group."""

from __future__ import annotations

import base64

from ..object import Object
from .common import put, put_text, quantities, quantity, spec, sub
from .pod import default_template, default_volume_source


def default_nothing(obj: Object) -> None:
    """A kind without defaults."""


def default_service(service: Object) -> None:
    own = spec(service)
    put_text(own, sessionAffinity="None", type="ClusterIP")
    if own["sessionAffinity"] == "None":
        own.pop("sessionAffinityConfig", None)
    elif own["sessionAffinity"] == "ClientIP":
        put(sub(sub(own, "sessionAffinityConfig"), "clientIP"), timeoutSeconds=10800)
    for port in own.get("ports") or ():
        put_text(port, protocol="TCP")
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port")
    if own["type"] in ("NodePort", "LoadBalancer") or (own.get("externalIPs") and own["type"] == "ClusterIP"):
        put_text(own, externalTrafficPolicy="Cluster")
    if own["type"] in ("NodePort", "LoadBalancer", "ClusterIP"):
        put(own, internalTrafficPolicy="Cluster")
    if own["type"] == "LoadBalancer":
        put(own, allocateLoadBalancerNodePorts=True)
        for ingress in ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
            if ingress.get("ip"):
                put(ingress, ipMode="VIP")


def default_replication_controller(rc: Object) -> None:
    own = spec(rc)
    put(own, replicas=1)
    if own.get("template"):
        default_template(own)
        labels = (own["template"].get("metadata") or {}).get("labels") or {}
        if labels:
            if not own.get("selector"):
                own["selector"] = dict(labels)
            metadata = sub(rc, "metadata")
            if not metadata.get("labels"):
                metadata["labels"] = dict(labels)


def default_secret(secret: Object) -> None:
    put_text(secret, type="Opaque")
    plain = secret.pop("stringData", None)
    if plain:
        data = sub(secret, "data")
        for key, value in plain.items():
            data[key] = base64.b64encode(str(value).encode()).decode()


def default_namespace(namespace: Object) -> None:
    metadata = sub(namespace, "metadata")
    if metadata.get("name"):
        sub(metadata, "labels")["kubernetes.io/metadata.name"] = metadata["name"]


def default_node(node: Object) -> None:
    """`podCIDR` is the first of `podCIDRs`."""
    own = spec(node)
    one, many = own.get("podCIDR"), own.get("podCIDRs") or []
    if one and many[:1] != [one]:
        own["podCIDRs"] = [one]
    elif many and not one:
        own["podCIDR"] = many[0]
    status = sub(node, "status")
    quantities(status, "capacity", "allocatable")
    if not status.get("allocatable") and status.get("capacity"):
        status["allocatable"] = dict(status["capacity"])


def default_persistent_volume(volume: Object) -> None:
    own = spec(volume)
    put_text(sub(volume, "status"), phase="Pending")
    put_text(own, persistentVolumeReclaimPolicy="Retain")
    put(own, volumeMode="Filesystem")
    quantities(own, "capacity")
    if isinstance(own.get("hostPath"), dict):
        put(own["hostPath"], type="")
    default_volume_source(own)


def default_persistent_volume_claim(claim: Object) -> None:
    put_text(sub(claim, "status"), phase="Pending")
    default_claim_spec(spec(claim))
    quantities(claim["status"], "capacity", "allocatedResources")


def default_claim_spec(own: Object) -> None:
    put(own, volumeMode="Filesystem")
    resources = own.get("resources")
    if isinstance(resources, dict):
        quantities(resources, "limits", "requests")


def default_endpoints(endpoints: Object) -> None:
    for subset in endpoints.get("subsets") or ():
        for port in subset.get("ports") or ():
            put_text(port, protocol="TCP")


def default_resource_quota(quota: Object) -> None:
    if isinstance(quota.get("spec"), dict):
        quantities(quota["spec"], "hard")
    if isinstance(quota.get("status"), dict):
        quantities(quota["status"], "hard", "used")


def default_limit_range(limits: Object) -> None:
    for limit in (limits.get("spec") or {}).get("limits") or ():
        for key in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio"):
            if isinstance(limit.get(key), dict):
                limit[key] = {name: quantity(value, name) for name, value in limit[key].items()}
        if limit.get("type") != "Container":
            continue
        maximum, minimum = limit.get("max") or {}, limit.get("min") or {}
        default = {**maximum, **(limit.get("default") or {})}
        request = {**minimum, **default, **(limit.get("defaultRequest") or {})}
        if default:
            limit["default"] = default
        if request:
            limit["defaultRequest"] = request
