"""The objects that a cluster brings along for its DNS service."""

from __future__ import annotations

from ..api.errors import ApiError
from ..api.object import Object, name_of, namespace_of
from ..base.clock import Clock
from ..client.interface import Client

REPAIR_EVERY_S = 10.0

DNS_LABELS = {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}


async def dns_service(client: Client, cluster_ip: str, address: str, port: int) -> None:
    """The Service `kube-dns` without a selector, and the endpoint where the DNS server listens."""
    service, slice_ = _dns_objects(cluster_ip, address, port)
    await _ensure(client, "services", service, replace=False)
    await _ensure(client, "endpointslices.discovery.k8s.io", slice_, replace=True)


async def keep_dns_service(client: Client, clock: Clock, cluster_ip: str, address: str, port: int) -> None:
    """Puts back what somebody deletes of it: no pod of the cluster would do so. For ever."""
    service, slice_ = _dns_objects(cluster_ip, address, port)
    while True:
        await clock.sleep(REPAIR_EVERY_S)
        await _ensure(client, "services", service, replace=False)
        await _ensure(client, "endpointslices.discovery.k8s.io", slice_, replace=False)


def _dns_objects(cluster_ip: str, address: str, port: int) -> tuple[Object, Object]:
    ports = [
        {"name": name, "port": 53, "protocol": protocol}
        for name, protocol in (("dns", "UDP"), ("dns-tcp", "TCP"))
    ]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": DNS_LABELS},
        "spec": {"clusterIP": cluster_ip, "ports": ports},
    }
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kube-dns",
            "namespace": "kube-system",
            "labels": {
                "kubernetes.io/service-name": "kube-dns",
                "endpointslice.kubernetes.io/managed-by": "pilothouse",
            },
        },
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": [address], "conditions": {"ready": True, "serving": True, "terminating": False}}
        ],
        "ports": [{**entry, "port": port} for entry in ports],
    }
    return service, slice_


async def _ensure(client: Client, resource: str, obj: Object, *, replace: bool) -> None:
    """Creates it, or (where it may have changed) replaces it. (Looked up first: a Service's address is its own.)"""
    try:
        await client.get(resource, namespace_of(obj), name_of(obj))
    except ApiError as error:
        if error.code != 404:
            raise
        await client.create(resource, obj)
    else:
        if replace:
            await client.update(resource, obj)
