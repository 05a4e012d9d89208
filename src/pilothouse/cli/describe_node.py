"""`describe node`: its conditions, resources, and what its pods ask of it."""

from __future__ import annotations

from ..api.errors import ApiError
from ..api.object import Object, annotations_of, labels_of, name_of, namespace_of, uid_of
from ..api.qos import pod_limits, pod_requests
from ..api.quantity import Quantity
from .describe_writer import View, Writer
from .timing import rfc1123, since

ROLE = "node-role.kubernetes.io/"
INFO = (
    ("Machine ID", "machineID"),
    ("System UUID", "systemUUID"),
    ("Boot ID", "bootID"),
    ("Kernel Version", "kernelVersion"),
    ("OS Image", "osImage"),
    ("Operating System", "operatingSystem"),
    ("Architecture", "architecture"),
    ("Container Runtime Version", "containerRuntimeVersion"),
    ("Kubelet Version", "kubeletVersion"),
)


async def node(w: Writer, obj: Object, view: View) -> None:
    spec, status, name = obj.get("spec") or {}, obj.get("status") or {}, name_of(obj)
    labels = labels_of(obj)
    roles = {key.removeprefix(ROLE) for key in labels if key.startswith(ROLE)} | {
        labels.get("kubernetes.io/role", "")
    }
    w(0, "Name", name)
    w(0, "Roles", ",".join(sorted(roles - {""})) or "<none>")
    w.labels("Labels", labels)
    w.annotations("Annotations", annotations_of(obj))
    w(0, "CreationTimestamp", rfc1123(obj["metadata"].get("creationTimestamp")))
    taints = sorted(spec.get("taints") or [], key=lambda taint: f"{taint['effect']},{taint['key']}")
    w.many("Taints", map(taint_text, taints))
    w(0, "Unschedulable", bool(spec.get("unschedulable")))
    await _lease(w, view, name)
    if status.get("conditions"):
        w.conditions(
            [
                {"lastHeartbeatTime": None, "lastTransitionTime": None, **each}
                for each in status["conditions"]
            ],
            "Type|Status|LastHeartbeatTime|LastTransitionTime|Reason|Message",
        )
    w.line(0, "Addresses:")
    for address in status.get("addresses") or ():
        w(1, address["type"], address["address"])
    for title, key in (("Capacity", "capacity"), ("Allocatable", "allocatable")):
        if status.get(key):
            w.line(0, f"{title}:")
            for resource, amount in sorted(status[key].items()):
                w(1, resource, amount)
    await _devices(w, view, name)
    w.line(0, "System Info:")
    info = status.get("nodeInfo") or {}
    for label, key in INFO:
        w(1, label, info.get(key) or "")
    for label, value in (
        ("PodCIDR", spec.get("podCIDR")),
        ("PodCIDRs", ",".join(spec.get("podCIDRs") or ())),
        ("ProviderID", spec.get("providerID")),
    ):
        if value:
            w(0, label, value)
    fields = f"spec.nodeName={name},status.phase!=Succeeded,status.phase!=Failed"
    try:
        pods = await view.list("pods", fieldSelector=fields)
    except ApiError as error:
        if error.code != 403:
            raise
        w(0, "Pods", "not authorized")
    else:
        _pods(w, pods, status, view.now)
    await view.events(w, uids=(uid_of(obj), name))


def taint_text(taint: Object) -> str:
    key, value, effect = taint.get("key") or "", taint.get("value") or "", taint.get("effect") or ""
    if not effect:
        return f"{key}={value}:" if value else key
    return f"{key}={value}:{effect}" if value else f"{key}:{effect}"


async def _lease(w: Writer, view: View, name: str) -> None:
    try:
        lease = (await view.get("leases.coordination.k8s.io", "kube-node-lease", name)).get("spec") or {}
    except ApiError as error:
        w(0, "Lease", f"Failed to get lease: {error.message}")
        return
    w.line(0, "Lease:")
    w(1, "HolderIdentity", lease.get("holderIdentity", "<unset>"))
    for label, key in (("AcquireTime", "acquireTime"), ("RenewTime", "renewTime")):
        w(1, label, rfc1123(lease[key]) if lease.get(key) else "<unset>")


async def _devices(w: Writer, view: View, name: str) -> None:
    try:
        slices = await view.list("resourceslices.resource.k8s.io", fieldSelector=f"spec.nodeName={name}")
    except (ApiError, KeyError):
        return  # a server without them, or no right to see them
    pools: dict[str, list[Object]] = {}
    for each in slices:
        pools.setdefault(f"{each['spec']['driver']}/{each['spec']['pool']['name']}", []).append(each)
    if not pools:
        return
    w.line(0, "Node-Local ResourceSlices:")
    w.heading(1, "Driver|Pool|Slices|Devices")
    for key in sorted(pools)[:10]:
        spec = pools[key][0]["spec"]
        devices = sum(len(each["spec"].get("devices") or ()) for each in pools[key])
        w.line(1, f"{spec['driver']}\t{spec['pool']['name']}\t{len(pools[key])}\t{devices}")
    if len(pools) > 10:
        w.line(1, f"...and {len(pools) - 10} more pools")


NAN = -(2**63)
"""What kubectl makes of a division by zero."""


def _pods(w: Writer, pods: list[Object], status: Object, now: float) -> None:
    room = status.get("allocatable") or status.get("capacity") or {}
    w(0, "Non-terminated Pods", f"({len(pods)} in total)")
    w.line(1, "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge")
    w.line(1, "---------\t----\t\t------------\t----------\t---------------\t-------------\t---")
    totals: dict[str, dict[str, Quantity]] = {"requests": {}, "limits": {}}
    for pod in pods:
        sides = {"requests": pod_requests(pod), "limits": pod_limits(pod)}
        for side, amounts in sides.items():
            for resource, amount in amounts.items():
                have = totals[side].get(resource)
                totals[side][resource] = have + Quantity.of(amount) if have else Quantity.of(amount)
        cells = [
            _share(sides[side].get(resource, "0"), room.get(resource), NAN)
            for resource in ("cpu", "memory")
            for side in ("requests", "limits")
        ]
        age = since(pod["metadata"].get("creationTimestamp"), now)
        w.line(1, f"{namespace_of(pod)}\t{name_of(pod)}\t\t" + "\t".join([*cells, age]))
    w.line(0, "Allocated resources:")
    w.line(1, "(Total limits may be over 100 percent, i.e., overcommitted.)")
    w.heading(1, "Resource|Requests|Limits")
    standard = ["cpu", "memory", "ephemeral-storage"]
    huge = sorted(name for name in room if name.startswith("hugepages-"))
    for resource in [*standard, *huge]:
        cells = [
            _share(str(totals[side].get(resource, "0")), room.get(resource))
            for side in ("requests", "limits")
        ]
        w.line(1, "\t".join([resource, *cells]))
    for resource in sorted(set(room) - {*standard, *huge, "pods"}):
        w.line(
            1,
            "\t".join([resource, *(str(totals[side].get(resource, "0")) for side in ("requests", "limits"))]),
        )


def _share(amount: str, room: object, of_nothing: int = 0) -> str:
    """`100m (2%)` of the node's room. `of_nothing`: what is said where there is no room."""
    whole = Quantity.of(room or "0").number
    percent = int(Quantity.of(amount).number / whole * 100) if whole else of_nothing
    return f"{amount} ({percent}%)"
