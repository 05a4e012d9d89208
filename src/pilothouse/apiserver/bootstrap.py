"""What every cluster has from its first second: namespaces, priority classes, RBAC's roles, the `kubernetes` service.

Made through the registry like anything else, by `system:apiserver`. What is there already is left alone, but for the ports and addresses of the
service, which follow the server, and RBAC's defaults: at each start they get back the rules and subjects that they lack, unless their annotation
`rbac.authorization.kubernetes.io/autoupdate` says no.
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import logging
from collections import deque
from typing import TYPE_CHECKING

from ..api.errors import ApiError
from ..api.kinds import KINDS, Kind, find_gvk, kind_of_resource
from ..api.object import Object
from ..base.clock import parse_timestamp
from . import bootstrap_policy
from .admission.priority import SYSTEM_CLASSES
from .aggregation import local_api_services
from .flow_defaults import PRODUCER, flow_schemas, priority_levels, revised, told
from .options import DeleteOptions
from .registry.generic import shallow
from .registry.operation import CREATE, DELETE, UPDATE
from .registry.rbac import GROUP as RBAC_GROUP
from .registry.rbac import protected, reconciled
from .request import APISERVER

if TYPE_CHECKING:
    from .server import ApiServer

FLOW_CONTROL = "flowcontrol.apiserver.k8s.io"
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
CLASS_DESCRIPTIONS = {
    "system-node-critical": "Used for system critical pods that must not be moved from their current node.",
    "system-cluster-critical": "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
}
EXPIRY_EVERY_S = 30.0
HISTORY_S, COMPACT_EVERY_S = 300.0, 30.0
REPAIR_EVERY_S = 10.0
REPAIR_ALL_EVERY = 6  # of these rounds: the rest, which is missed less

log = logging.getLogger(__name__)


async def run(server: ApiServer) -> None:
    """Makes all of it: the namespaces first, then the rest at once, so that it shares commits."""
    for obj in _essentials(server):
        await ensure(server, obj)
    await asyncio.gather(*(ensure(server, obj) for obj in (*_useful(server), *_policy(server))))
    await _drop_old_defaults(server)
    await server.flow_control.settle()


async def keep(server: ApiServer) -> None:
    """Puts back what nobody can do without, should somebody delete it. For ever; cancelled at the server's end.

    RBAC's roles and bindings, which people delete on purpose, come back at the next start, as in Kubernetes."""
    for turn in itertools.count(1):
        await server.clock.sleep(REPAIR_EVERY_S)
        for obj in (*_essentials(server), *(_useful(server) if turn % REPAIR_ALL_EVERY == 0 else ())):
            try:
                await ensure(server, obj)
            except ApiError as error:
                log.warning("restoring %s %s: %s", obj["kind"], obj["metadata"]["name"], error.message)
        if turn % REPAIR_ALL_EVERY == 0:
            try:
                await _drop_old_defaults(server)
            except ApiError as error:
                log.warning("deleting what flow control no longer has: %s", error.message)


def _essentials(server: ApiServer) -> list[Object]:
    namespaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in NAMESPACES
    ]
    classes = [
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "description": CLASS_DESCRIPTIONS[name],
        }
        for name, value in SYSTEM_CLASSES.items()
    ]
    cidr = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": [server.config.service_cidr]},
    }
    return [*namespaces, *classes, cidr, *_kubernetes_service(server)]


def _policy(server: ApiServer) -> list[Object]:
    if not server.config.bootstrap_rbac:
        return []
    return [
        *bootstrap_policy.cluster_roles(),
        *bootstrap_policy.cluster_role_bindings(),
        *bootstrap_policy.roles(),
        *bootstrap_policy.role_bindings(),
    ]


def _useful(server: ApiServer) -> list[Object]:
    """How requests are ranked, where they go, whom extension servers may trust."""
    data = {"client-ca-file": server.config.cluster_ca_pem} if server.config.cluster_ca_pem else {}
    if server.config.proxy_client_ca_pem:
        data |= {
            "requestheader-allowed-names": '["front-proxy-client"]',
            "requestheader-client-ca-file": server.config.proxy_client_ca_pem,
            "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
            "requestheader-group-headers": '["X-Remote-Group"]',
            "requestheader-uid-headers": '["X-Remote-Uid"]',
            "requestheader-username-headers": '["X-Remote-User"]',
        }
    trust = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": data,
    }
    return [*local_api_services(KINDS, custom=False), *priority_levels(), *flow_schemas(), trust]


def _kubernetes_service(server: ApiServer) -> list[Object]:
    config = server.config
    network = ipaddress.ip_network(config.service_cidr)
    labels = {"component": "apiserver", "provider": "kubernetes"}
    metadata = {"name": "kubernetes", "namespace": "default"}
    service: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**metadata, "labels": labels},
        "spec": {
            "clusterIP": str(network.network_address + 1),
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": config.advertise_port}],
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
    }
    mirrored = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    ports = [{"name": "https", "port": config.advertise_port, "protocol": "TCP"}]
    endpoints: Object = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {**metadata, "labels": mirrored},
        "subsets": [{"addresses": [{"ip": config.advertise_address}], "ports": ports}],
    }
    family = "IPv6" if ":" in config.advertise_address else "IPv4"
    endpoint_slice: Object = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**metadata, "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": family,
        "endpoints": [{"addresses": [config.advertise_address], "conditions": {"ready": True}}],
        "ports": ports,
    }
    if ipaddress.ip_address(config.advertise_address).is_loopback:
        return [service]  # Endpoints cannot hold a loopback address: nobody in the cluster could use it
    return [service, endpoints, endpoint_slice]


async def ensure(server: ApiServer, obj: Object) -> None:
    """Creates it, unless it is there; what is there is mended, where it is the server's to mend."""
    group, _, version = obj["apiVersion"].rpartition("/")
    kind = find_gvk(group, version, obj["kind"])
    assert kind is not None, obj["kind"]
    meta = obj["metadata"]
    namespace = meta.get("namespace", "")
    obj = server.resources.ready(kind, {**obj, "metadata": dict(meta)})
    existing = server.storage.get(kind, namespace, meta["name"])
    if existing is not None:
        if not _for_another_role(existing.object, obj):
            await _reconcile(server, kind, existing.object, obj)
            return
        op = server.registry.operation(kind, DELETE, APISERVER, namespace, meta["name"])
        await server.registry.delete(op, DeleteOptions())
    op = server.registry.operation(
        kind, CREATE, APISERVER, namespace, meta["name"], field_manager=_writer(kind)
    )
    try:
        await server.registry.create(op, obj)
    except ApiError as error:
        if error.reason != "AlreadyExists":  # another server of the same store was faster
            raise


def _for_another_role(existing: Object, wanted: Object) -> bool:
    """A default binding whose roleRef somebody has changed: that cannot be updated."""
    return (
        "roleRef" in wanted
        and _role_of(existing["roleRef"]) != _role_of(wanted["roleRef"])
        and not protected(existing)
    )


def _role_of(reference: Object) -> tuple[str, str, str]:
    return reference.get("apiGroup", ""), reference.get("kind", ""), reference.get("name", "")


async def _reconcile(server: ApiServer, kind: Kind, existing: Object, wanted: Object) -> None:
    mend = {RBAC_GROUP: reconciled, FLOW_CONTROL: revised}.get(kind.group, _moved)
    if mend(existing, wanted) is None:
        return
    meta = existing["metadata"]
    op = server.registry.operation(
        kind, UPDATE, APISERVER, meta.get("namespace", ""), meta["name"], field_manager=_writer(kind)
    )

    async def change(old: Object) -> Object:
        return shallow(mend(old, wanted) or old)

    await server.registry.update(op, change)


def _writer(kind: Kind) -> str:
    return PRODUCER if kind.group == FLOW_CONTROL else ""


async def _drop_old_defaults(server: ApiServer) -> None:
    """Flow schemas and priority levels that another version of the server had made and kept."""
    for resource, wanted in (
        ("flowschemas", flow_schemas()),
        ("prioritylevelconfigurations", priority_levels()),
    ):
        kind = kind_of_resource(f"{resource}.{FLOW_CONTROL}")
        names = {obj["metadata"]["name"] for obj in wanted}
        for obj in server.storage.list(kind):
            name = obj["metadata"]["name"]
            if name not in names and told(obj):
                op = server.registry.operation(kind, DELETE, APISERVER, "", name)
                await server.registry.delete(op, DeleteOptions())


def _moved(existing: Object, wanted: Object) -> Object | None:
    """The `kubernetes` service and its endpoints, where the server has another port or address than they say; None: they are right."""
    if wanted["kind"] == "Service":
        changed = {**existing, "spec": {**existing["spec"], "ports": wanted["spec"]["ports"]}}
    elif wanted["kind"] in ("Endpoints", "EndpointSlice"):
        changed = {**existing, **{f: wanted[f] for f in ("subsets", "endpoints", "ports") if f in wanted}}
    else:
        return None
    return None if changed == existing else changed


async def expire_events(server: ApiServer) -> None:
    """Events live for an hour (`--event-ttl`). For ever; cancelled at the server's end."""
    kind = kind_of_resource("events")
    while True:
        await server.clock.sleep(EXPIRY_EVERY_S)
        oldest = server.clock.now() - server.config.event_ttl_s
        for entry in list(server.cache.entries(kind.prefix)):
            meta = entry.object["metadata"]
            written = max(
                parse_timestamp(text)
                for text in (
                    meta["creationTimestamp"],
                    entry.object.get("lastTimestamp"),
                    (entry.object.get("series") or {}).get("lastObservedTime"),
                )
                if text
            )
            if written < oldest:
                op = server.registry.operation(kind, DELETE, APISERVER, meta["namespace"], meta["name"])
                try:
                    await server.registry.delete(op, DeleteOptions())
                except ApiError as error:
                    if error.code not in (404, 409):
                        raise


async def forget_history(server: ApiServer) -> None:
    """Keeps the last five minutes, as kube-apiserver has etcd do: who pages through a list for longer goes on with what is there now."""
    marks: deque[int] = deque(maxlen=int(HISTORY_S / COMPACT_EVERY_S))
    while True:
        marks.append(server.cache.revision)
        await server.clock.sleep(COMPACT_EVERY_S)
        if len(marks) == marks.maxlen:
            await server.storage.store.compact(marks[0] + 1)
