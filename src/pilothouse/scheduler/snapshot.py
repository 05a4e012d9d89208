"""What the scheduler knows of nodes and the pods on them: kept up to date by informers, asked by plugins.

Quantities are whole numbers: CPU in millicores, everything else in units (bytes, pieces). A pod that was given
a node but whose binding is still under way is *assumed*: it counts, and is forgotten if the binding fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..api.object import Object, labels_of, name_of, namespace_of, uid_of
from ..api.qos import pod_requests
from ..api.quantity import Quantity

# What a pod without requests counts as when nodes are compared (schedutil.DefaultMilliCPURequest and …MemoryRequest)
DEFAULT_CPU_MILLI, DEFAULT_MEMORY_BYTES = 100, 200 * 1024 * 1024


def amount(resource: str, quantity: object) -> int:
    """The whole number that a quantity stands for, rounded up."""
    parsed = Quantity.parse(str(quantity))
    return parsed.milli_value() if resource == "cpu" else parsed.value()


@dataclass(slots=True)
class PodInfo:
    """A pod with what plugins ask of it, worked out once."""

    pod: Object
    requests: dict[str, int]
    cpu_nonzero_milli: int
    memory_nonzero_bytes: int
    ports: tuple[tuple[str, str, int], ...]  # (host IP, protocol, port)
    priority: int

    @property
    def key(self) -> str:
        return uid_of(self.pod)

    @classmethod
    def of(cls, pod: Object) -> PodInfo:
        requests = {name: amount(name, value) for name, value in pod_requests(pod).items()}
        spec = pod["spec"]
        ports = tuple(
            (port.get("hostIP") or "0.0.0.0", port.get("protocol", "TCP"), port["hostPort"])
            for container in [*spec["containers"], *_sidecars(spec)]
            for port in container.get("ports") or ()
            if port.get("hostPort")
        )
        return cls(
            pod,
            {name: value for name, value in requests.items() if value},
            requests.get("cpu", 0) or DEFAULT_CPU_MILLI,
            requests.get("memory", 0) or DEFAULT_MEMORY_BYTES,
            ports,
            spec.get("priority") or 0,
        )


def _sidecars(spec: Object) -> list[Object]:
    return [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]


@dataclass(slots=True)
class NodeInfo:
    """A node with the sum of its pods."""

    node: Object
    name: str
    labels: dict[str, str]
    taints: list[Object]
    unschedulable: bool
    allocatable: dict[str, int]
    pods: dict[str, PodInfo] = field(default_factory=dict)  # by uid
    requested: dict[str, int] = field(default_factory=dict)
    cpu_nonzero_milli: int = 0
    memory_nonzero_bytes: int = 0

    @classmethod
    def of(cls, node: Object) -> NodeInfo:
        spec, status = node.get("spec") or {}, node.get("status") or {}
        allocatable = status.get("allocatable") or {}
        return cls(
            node,
            name_of(node),
            labels_of(node),
            spec.get("taints") or [],
            bool(spec.get("unschedulable")),
            {name: amount(name, value) for name, value in allocatable.items()},
        )

    def add(self, info: PodInfo) -> None:
        if info.key in self.pods:
            self.remove(info.key)
        self.pods[info.key] = info
        for name, value in info.requests.items():
            self.requested[name] = self.requested.get(name, 0) + value
        self.cpu_nonzero_milli += info.cpu_nonzero_milli
        self.memory_nonzero_bytes += info.memory_nonzero_bytes

    def remove(self, uid: str) -> None:
        info = self.pods.pop(uid, None)
        if info is None:
            return
        for name, value in info.requests.items():
            self.requested[name] -= value
        self.cpu_nonzero_milli -= info.cpu_nonzero_milli
        self.memory_nonzero_bytes -= info.memory_nonzero_bytes

    def without(self, uids: set[str]) -> NodeInfo:
        """This node as it would be with some pods gone: for preemption."""
        copy = NodeInfo(self.node, self.name, self.labels, self.taints, self.unschedulable, self.allocatable)
        for uid, info in self.pods.items():
            if uid not in uids:
                copy.add(info)
        return copy


class Snapshot:
    """All nodes, by name, in the order of their names."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeInfo] = {}
        self._homeless: dict[str, dict[str, PodInfo]] = {}  # pods of a node that is not known (yet)
        self._node_of: dict[str, str] = {}
        self.namespaces: dict[str, dict[str, str]] = {}  # labels by namespace, for namespaceSelector

    def set_node(self, node: Object) -> None:
        info = NodeInfo.of(node)
        old = self.nodes.get(info.name)
        for pod in (old.pods if old else self._homeless.pop(info.name, {})).values():
            info.add(pod)
        if old is None:
            self.nodes[info.name] = info
            self.nodes = dict(sorted(self.nodes.items()))
        else:
            self.nodes[info.name] = info

    def remove_node(self, name: str) -> None:
        info = self.nodes.pop(name, None)
        if info and info.pods:
            self._homeless[name] = info.pods

    def add_pod(self, pod: Object, node: str) -> None:
        """A pod that is bound, or assumed to be."""
        self.remove_pod(uid_of(pod))
        info = PodInfo.of(pod)
        self._node_of[info.key] = node
        if node in self.nodes:
            self.nodes[node].add(info)
        else:
            self._homeless.setdefault(node, {})[info.key] = info

    def remove_pod(self, uid: str) -> None:
        node = self._node_of.pop(uid, None)
        if node is None:
            return
        if node in self.nodes:
            self.nodes[node].remove(uid)
        else:
            homeless = self._homeless.get(node, {})
            homeless.pop(uid, None)
            if not homeless:
                self._homeless.pop(node, None)

    def knows(self, uid: str) -> bool:
        return uid in self._node_of

    def pods(self) -> list[tuple[PodInfo, NodeInfo]]:
        return [(pod, node) for node in self.nodes.values() for pod in node.pods.values()]

    def namespace_labels(self, pod: Object) -> dict[str, str]:
        return self.namespaces.get(namespace_of(pod), {})
