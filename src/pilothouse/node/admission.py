"""Whether a node takes a pod that was bound to it: what it cannot enforce, room, affinity, taints, ports. Pure; the words are kubelet's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..api.node_selector import node_matches
from ..api.object import Object, labels_of, name_of
from ..api.qos import pod_requests
from ..api.quantity import Quantity
from ..api.tolerations import tolerates
from .observed import Waiting

SAFE_SYSCTLS = frozenset(
    "kernel.shm_rmid_forced net.ipv4.ip_local_port_range net.ipv4.tcp_syncookies net.ipv4.ping_group_range "
    "net.ipv4.ip_unprivileged_port_start net.ipv4.ip_local_reserved_ports net.ipv4.tcp_keepalive_time "
    "net.ipv4.tcp_fin_timeout net.ipv4.tcp_keepalive_intvl net.ipv4.tcp_keepalive_probes net.ipv4.tcp_rmem "
    "net.ipv4.tcp_wmem".split()
)


def admit(
    pod: Object,
    others: Iterable[Object],
    node: Object,
    allocatable: Mapping[str, str],
    *,
    simulated: bool = False,
) -> Waiting | None:
    """None, or why not. `others`: the pods that the node runs. A simulated engine enforces nothing, and refuses nothing for it."""
    others = list(others)
    return (
        _sysctls(pod)
        or (None if simulated else _unenforceable(pod))
        or room_for(pod, others, allocatable)
        or _affinity(pod, name_of(node), labels_of(node))
        or _ports(pod, others)
        or _taints(pod, node)
        or (None if simulated else _app_armor(pod))
    )


def _unenforceable(pod: Object) -> Waiting | None:
    """What neither our containerd nor the machine's kernel can be counted on for: a pod must not believe itself protected."""
    spec = pod["spec"]
    if (spec.get("securityContext") or {}).get("supplementalGroupsPolicy") == "Strict":
        reason = "SupplementalGroupsPolicyNotSupported"
        return Waiting(reason, "SupplementalGroupsPolicy=Strict is not supported in this node")
    if labels_of(pod).get("kubernetes.io/os", "linux") != "linux":
        message = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"
        return Waiting("PodOSSelectorNodeLabelDoesNotMatch", message)
    if (spec.get("os") or {}).get("name") not in (None, "linux"):
        return Waiting("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    return None


def _app_armor(pod: Object) -> Waiting | None:
    parts = [pod["spec"], *(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
    profiles = [(part.get("securityContext") or {}).get("appArmorProfile") or {} for part in parts]
    if all(profile.get("type", "Unconfined") == "Unconfined" for profile in profiles):
        return None
    return Waiting("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")


def _taints(pod: Object, node: Object) -> Waiting | None:
    """Only NoExecute concerns a node: the others are the scheduler's."""
    for taint in node["spec"].get("taints") or ():
        if taint["effect"] == "NoExecute" and not tolerates(pod["spec"].get("tolerations") or (), taint):
            message = "Predicate TaintToleration failed: node(s) had untolerated taint(s)"
            return Waiting("TaintToleration", message)
    return None


def _sysctls(pod: Object) -> Waiting | None:
    spec = pod["spec"]
    for sysctl in (spec.get("securityContext") or {}).get("sysctls") or ():
        name = sysctl["name"].replace("/", ".")
        shared = ("Net" if spec.get("hostNetwork") else "") if name.startswith("net.") else "IPC"
        if name not in SAFE_SYSCTLS:
            return Waiting("SysctlForbidden", f'forbidden sysctl: "{name}" not allowlisted')
        if shared == "Net" or (shared == "IPC" and spec.get("hostIPC")):
            message = f'forbidden sysctl: "{name}" not allowed with host {shared} enabled'
            return Waiting("SysctlForbidden", message)
    return None


def _number(resource: str, value: str) -> int:
    quantity = Quantity.of(value)
    return quantity.milli_value() if resource == "cpu" else quantity.value()


def room_for(pod: Object, others: list[Object], allocatable: Mapping[str, str]) -> Waiting | None:
    """None, or OutOf…."""
    count = int(allocatable.get("pods", "110"))
    if len(others) + 1 > count:
        return _no_room("pods", 1, len(others), count)
    used: dict[str, int] = {}
    for other in others:
        for resource, value in pod_requests(other).items():
            used[resource] = used.get(resource, 0) + _number(resource, value)
    for resource, value in pod_requests(pod).items():
        if "/" in resource and resource not in allocatable:
            continue  # an extended resource that nobody here manages
        wanted = _number(resource, value)
        room = _number(resource, allocatable.get(resource, "0"))
        if wanted and wanted + used.get(resource, 0) > room:
            return _no_room(resource, wanted, used.get(resource, 0), room)
    return None


def _no_room(resource: str, wanted: int, used: int, room: int) -> Waiting:
    message = (
        f"Node didn't have enough resource: {resource}, requested: {wanted}, used: {used}, capacity: {room}"
    )
    return Waiting(f"OutOf{resource}", message)


def _affinity(pod: Object, name: str, labels: Mapping[str, str]) -> Waiting | None:
    if node_matches(pod["spec"], name, labels):
        return None
    message = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
    return Waiting("NodeAffinity", message)


def host_ports(pod: Object) -> set[tuple[str, int, str]]:
    return {
        (port.get("hostIP") or "0.0.0.0", port["hostPort"], port.get("protocol") or "TCP")
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or ()
        if port.get("hostPort")
    }


def _ports(pod: Object, others: list[Object]) -> Waiting | None:
    wanted = host_ports(pod)
    if not wanted:
        return None
    for other in others:
        for ip, port, protocol in host_ports(other):
            for mine, my_port, my_protocol in wanted:
                same = mine == ip or "0.0.0.0" in (mine, ip)
                if same and (port, protocol) == (my_port, my_protocol):
                    message = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
                    return Waiting("NodePorts", message)
    return None
