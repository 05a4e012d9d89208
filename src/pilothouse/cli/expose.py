"""`pilothouse expose`: a Service for a workload, a pod or another service."""

from __future__ import annotations

from ..api.object import Object, get, labels_of
from .create import SAVE, make
from .errors import Failure
from .run import labels_given, overridden, whole
from .targets import Finder, Info
from .verb import FILES, SELECTOR, WRITE, Call, text, verb


@verb(
    "expose",
    *FILES,
    *SELECTOR[1:],
    *WRITE,
    *SAVE,
    text("--port", help="The service's port."),
    text("--target-port", help="The pods' port, by number or name."),
    text("--protocol", help="TCP, UDP or SCTP."),
    text("--name", help="Of the service."),
    text("--type", help="ClusterIP, NodePort, LoadBalancer or ExternalName."),
    text("--selector", help="Labels of the pods."),
    text("-l", "--labels", help="Labels of the service."),
    text("--external-ip", help="An address that it also answers at."),
    text("--load-balancer-ip"),
    text("--cluster-ip", help='Its address inside the cluster, or "None".'),
    text("--session-affinity", help="None or ClientIP."),
    text("--overrides"),
    text("--override-type", default="merge"),
    help="Make a service: `expose deployment web --port=80 --target-port=8080`.",
)
async def command(call: Call) -> None:
    finder = Finder(call, selector="")
    for info in await finder.run():
        service = _service(call, info)
        await make(
            call,
            overridden(service, call.options.overrides, call.options.override_type),
            "exposed",
            manager="kubectl-expose",
        )
    finder.end()


EXPOSED = ("Pod", "Service", "ReplicationController", "ReplicaSet", "Deployment")


def _service(call: Call, info: Info) -> Object:
    options, obj, kind = call.options, info.obj, info.kind.kind
    if kind not in EXPOSED:
        raise Failure(f"cannot expose a {kind}" + (f".{info.kind.group}" if info.kind.group else ""))
    spec: Object = {"selector": _selector(options.selector, obj, kind)}
    spec["ports"] = _ports(options, obj, kind)
    for option, field in (
        ("type", "type"),
        ("load_balancer_ip", "loadBalancerIP"),
        ("cluster_ip", "clusterIP"),
        ("session_affinity", "sessionAffinity"),
    ):
        if getattr(options, option):
            spec[field] = getattr(options, option)
    if options.external_ip:
        spec["externalIPs"] = [options.external_ip]
    labels = labels_given(options.labels) if options.labels else labels_of(obj)
    if options.session_affinity not in ("", "None", "ClientIP"):
        raise Failure(f"unknown session affinity: {options.session_affinity}")
    metadata: Object = {"name": options.name or info.name[:63], "namespace": info.namespace}
    if labels:
        metadata["labels"] = dict(labels)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": spec,
        "status": {"loadBalancer": {}},
    }


def _selector(given: str, obj: Object, kind: str) -> dict[str, str]:
    if given:
        return dict(word.split("=", 1) for word in given.split(","))
    start = "couldn't retrieve selectors via --selector flag or introspection: "
    if kind == "Pod":
        if not labels_of(obj):
            raise Failure(f"{start}the pod has no labels and cannot be exposed")
        return dict(labels_of(obj))
    selector = obj["spec"].get("selector")
    if kind in ("ReplicaSet", "Deployment"):
        if (selector or {}).get("matchExpressions"):
            raise Failure(
                f'{start}couldn\'t convert expressions - "{selector["matchExpressions"]}" to map-based selector format'
            )
        selector = (selector or {}).get("matchLabels")
    if not selector:
        raise Failure(f"{start}no pod selector defined for this object type")
    return dict(selector)


def _ports(options: object, obj: Object, kind: str) -> list[Object]:
    given, target, protocol = (getattr(options, name) for name in ("port", "target_port", "protocol"))
    found = _found_ports(obj, kind)
    numbers = given.split(",") if given else [port for port, _ in found]
    if not numbers:
        raise Failure("couldn't find port via --port flag or introspection")
    protocols = dict(found)
    ports: list[Object] = []
    for index, number in enumerate(numbers, 1):
        port: Object = {"port": whole(number), "protocol": protocol or protocols.get(number) or "TCP"}
        to = target or number
        port["targetPort"] = int(to) if to.isdigit() else to
        if len(numbers) > 1:
            port["name"] = f"port-{index}"
        ports.append(port)
    return ports


def _found_ports(obj: Object, kind: str) -> list[tuple[str, str]]:
    """(port, protocol) that the object itself tells."""
    if kind == "Service":
        return [(str(port["port"]), port.get("protocol") or "TCP") for port in obj["spec"].get("ports") or ()]
    spec = obj["spec"] if kind == "Pod" else get(obj, "spec.template.spec") or {}
    return [
        (str(port["containerPort"]), port.get("protocol") or "TCP")
        for container in spec.get("containers") or ()
        for port in container.get("ports") or ()
    ]
