"""What the scheduler knows of nodes and the pods on them: kept up to date by informers, asked by plugins.

Quantities are whole numbers: CPU in millicores, everything else in units (bytes, pieces). A pod that was given
a node but whose binding is still under way is *assumed*: it counts, and is forgotten if the binding fails.

What makes thousands of nodes bearable: every node carries a `generation`, a number that no two states of any node
share, so that what a plugin found out about a node can be kept until that node changes; and `counts` keeps, for the
selectors that spreading and affinity ask for again and again, how many pods of each node match.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

import orjson

from ..api.object import Object, labels_of, name_of, namespace_of, uid_of
from ..api.qos import pod_requests
from ..api.quantity import Quantity

# What a container without requests counts as when nodes are compared (schedutil.DefaultMilliCPURequest and …MemoryRequest)
DEFAULT_CPU_MILLI, DEFAULT_MEMORY_BYTES = 100, 200 * 1024 * 1024
COUNTERS_MAX = 64  # selectors whose counts are kept
ZONE = "topology.kubernetes.io/zone"
_generations = itertools.count(1)


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
            *_nonzero(pod, requests),
            ports,
            spec.get("priority") or 0,
        )

    def signature(self) -> bytes:
        """Equal for pods that a node, looked at by itself, cannot tell apart: those of one template."""
        spec = self.pod["spec"]
        affinity = (spec.get("affinity") or {}).get("nodeAffinity")
        images = [c.get("image") for c in (*(spec.get("initContainers") or ()), *spec["containers"])]
        wants = (self.requests, self.cpu_nonzero_milli, self.memory_nonzero_bytes, self.ports, images)
        where = (spec.get("nodeSelector"), affinity, spec.get("tolerations"), spec.get("nodeName"))
        return orjson.dumps((wants, where))


def _nonzero(pod: Object, requests: dict[str, int]) -> tuple[int, int]:
    """CPU and memory of the pod as if every container had asked for some."""
    spec = pod["spec"]
    if len(spec["containers"]) == 1 and not spec.get("initContainers"):
        cpu, memory = requests.get("cpu", 0), requests.get("memory", 0)
        return cpu or DEFAULT_CPU_MILLI, memory or DEFAULT_MEMORY_BYTES
    asking = {
        part: [_asking(container) for container in spec.get(part) or ()]
        for part in ("containers", "initContainers")
    }
    of_all = pod_requests({**pod, "spec": {**spec, **asking}})
    return amount("cpu", of_all["cpu"]), amount("memory", of_all["memory"])


def _asking(container: Object) -> Object:
    resources = container.get("resources") or {}
    default = {"cpu": f"{DEFAULT_CPU_MILLI}m", "memory": str(DEFAULT_MEMORY_BYTES)}
    return {
        **container,
        "resources": {**resources, "requests": {**default, **(resources.get("requests") or {})}},
    }


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
    images: dict[str, int] = field(default_factory=dict)  # size by name
    pods: dict[str, PodInfo] = field(default_factory=dict)  # by uid
    requested: dict[str, int] = field(default_factory=dict)
    cpu_nonzero_milli: int = 0
    memory_nonzero_bytes: int = 0
    generation: int = field(default_factory=lambda: next(_generations))

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
            {
                name: image.get("sizeBytes") or 0
                for image in status.get("images") or ()
                for name in image.get("names") or ()
            },
        )

    def add(self, info: PodInfo) -> None:
        if info.key in self.pods:
            self.remove(info.key)
        self.pods[info.key] = info
        self._count(info, 1)

    def remove(self, uid: str) -> None:
        if info := self.pods.pop(uid, None):
            self._count(info, -1)

    def _count(self, info: PodInfo, sign: int) -> None:
        for name, value in info.requests.items():
            self.requested[name] = self.requested.get(name, 0) + sign * value
        self.cpu_nonzero_milli += sign * info.cpu_nonzero_milli
        self.memory_nonzero_bytes += sign * info.memory_nonzero_bytes
        self.generation = next(_generations)

    def changed(self, *, without: Iterable[str] = (), plus: Iterable[PodInfo] = ()) -> NodeInfo:
        """This node as it would be with some pods gone and others there: for preemption."""
        gone = set(without)
        copy = NodeInfo(
            self.node, self.name, self.labels, self.taints, self.unschedulable, self.allocatable, self.images
        )
        for info in (*(i for uid, i in self.pods.items() if uid not in gone), *plus):
            copy.add(info)
        return copy


@dataclass(slots=True)
class _Counter:
    """How many pods match, by node and, for the labels that were asked for, by their values."""

    matches: Callable[[Object], bool]
    by_node: dict[str, int] = field(default_factory=dict)
    by_label: dict[str, dict[str, int]] = field(default_factory=dict)

    def count(self, node: str, labels: dict[str, str], pod: Object, sign: int) -> None:
        if self.matches(pod):
            self.by_node[node] = self.by_node.get(node, 0) + sign
            for label, counts in self.by_label.items():
                if (value := labels.get(label)) is not None:
                    counts[value] = counts.get(value, 0) + sign


class Snapshot:
    """All nodes, by name; and the pods on them."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeInfo] = {}
        self.namespaces: dict[str, dict[str, str]] = {}  # labels by namespace, for namespaceSelector
        self.affine: dict[str, tuple[PodInfo, str]] = {}  # pods with affinity to pods, and their node, by uid
        self.softly_tainted = 0  # nodes with a PreferNoSchedule taint
        self._ordered: list[NodeInfo] | None = None
        self._homeless: dict[str, dict[str, PodInfo]] = {}  # pods of a node that is not known (yet)
        self._node_of: dict[str, str] = {}
        self._counters: OrderedDict[Hashable, _Counter] = OrderedDict()
        self._nodes_with: dict[str, int] = {}  # how many nodes have an image, by its name

    # -- keeping it up to date

    def set_node(self, node: Object) -> None:
        info = NodeInfo.of(node)
        old = self.nodes.get(info.name)
        for pod in (old.pods if old else self._homeless.pop(info.name, {})).values():
            info.add(pod)
        self._count_node(old, -1)
        self._count_node(info, 1)
        self.nodes[info.name] = info
        if old is None or old.labels != info.labels:
            self._places_changed()
        else:
            self._ordered = None

    def remove_node(self, name: str) -> None:
        info = self.nodes.pop(name, None)
        if info is None:
            return
        self._count_node(info, -1)
        self._places_changed()
        if info.pods:
            self._homeless[name] = info.pods

    def _places_changed(self) -> None:
        self._ordered = None
        for counter in self._counters.values():
            counter.by_label.clear()

    def _count_node(self, info: NodeInfo | None, sign: int) -> None:
        if info is None:
            return
        for image in info.images:
            self._nodes_with[image] = self._nodes_with.get(image, 0) + sign
        self.softly_tainted += sign * any(t.get("effect") == "PreferNoSchedule" for t in info.taints)

    def add_pod(self, pod: Object, node: str) -> None:
        """A pod that is bound, or assumed to be."""
        self.remove_pod(uid_of(pod))
        info = PodInfo.of(pod)
        self._node_of[info.key] = node
        if node in self.nodes:
            self.nodes[node].add(info)
        else:
            self._homeless.setdefault(node, {})[info.key] = info
        affinity = pod["spec"].get("affinity") or {}
        if affinity.get("podAffinity") or affinity.get("podAntiAffinity"):
            self.affine[info.key] = (info, node)
        labels = self.nodes[node].labels if node in self.nodes else {}
        for counter in self._counters.values():
            counter.count(node, labels, pod, 1)

    def remove_pod(self, uid: str) -> None:
        node = self._node_of.pop(uid, None)
        if node is None:
            return
        self.affine.pop(uid, None)
        info = (self.nodes[node].pods if node in self.nodes else self._homeless.get(node, {})).get(uid)
        if info is not None:
            labels = self.nodes[node].labels if node in self.nodes else {}
            for counter in self._counters.values():
                counter.count(node, labels, info.pod, -1)
        if node in self.nodes:
            self.nodes[node].remove(uid)
        elif node in self._homeless:
            self._homeless[node].pop(uid, None)
            if not self._homeless[node]:
                del self._homeless[node]

    def set_namespace(self, name: str, labels: dict[str, str] | None) -> None:
        """None: it is gone. Counts by namespaceSelector begin anew."""
        if self.namespaces.get(name) != labels:
            self._counters.clear()
        if labels is None:
            self.namespaces.pop(name, None)
        else:
            self.namespaces[name] = labels

    # -- questions

    def ordered(self) -> list[NodeInfo]:
        """The nodes, zone by zone in turn: the first of them, however few, are of different zones."""
        if self._ordered is None:
            zones: dict[str, list[NodeInfo]] = {}
            for name in sorted(self.nodes):
                zones.setdefault(self.nodes[name].labels.get(ZONE, ""), []).append(self.nodes[name])
            rows = itertools.zip_longest(*(zones[zone] for zone in sorted(zones)))
            self._ordered = [info for row in rows for info in row if info is not None]
        return self._ordered

    def knows(self, uid: str) -> bool:
        return uid in self._node_of

    def namespace_labels(self, pod: Object) -> dict[str, str]:
        return self.namespaces.get(namespace_of(pod), {})

    def nodes_with(self, image: str) -> int:
        return self._nodes_with.get(image, 0)

    def affine_pods(self) -> list[tuple[PodInfo, NodeInfo]]:
        """The pods that care which other pods are near, and their nodes."""
        return [(info, self.nodes[node]) for info, node in self.affine.values() if node in self.nodes]

    def counts(self, key: Hashable, matches: Callable[[Object], bool]) -> dict[str, int]:
        """How many pods of each node match. `key` stands for the predicate: equal keys, equal predicates."""
        return self._counter(key, matches).by_node

    def counts_by(self, label: str, key: Hashable, matches: Callable[[Object], bool]) -> dict[str, int]:
        """The same by the value of a label of their nodes."""
        counter = self._counter(key, matches)
        counts = counter.by_label.get(label)
        if counts is None:
            counts = counter.by_label[label] = sums_by(label, counter.by_node, self.nodes)
        return counts

    def _counter(self, key: Hashable, matches: Callable[[Object], bool]) -> _Counter:
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = _Counter(matches)
            for node in self.nodes.values():
                for info in node.pods.values():
                    counter.count(node.name, node.labels, info.pod, 1)
            for name, pods in self._homeless.items():
                for info in pods.values():
                    counter.count(name, {}, info.pod, 1)
            if len(self._counters) > COUNTERS_MAX:
                self._counters.popitem(last=False)
        else:
            self._counters.move_to_end(key)
        return counter

    def imagined(self, *changed: NodeInfo) -> Snapshot:
        """As this one, but with these nodes in another state."""
        return _Imagined(self, {info.name: info for info in changed})


class _Imagined(Snapshot):
    """A snapshot that differs from another in a few nodes."""

    def __init__(self, base: Snapshot, changed: dict[str, NodeInfo]):
        self._base, self._changed = base, changed
        self.nodes = {**base.nodes, **changed}
        self._ordered = None
        self.namespaces, self.softly_tainted = base.namespaces, base.softly_tainted

    def nodes_with(self, image: str) -> int:
        return self._base.nodes_with(image)

    def affine_pods(self) -> list[tuple[PodInfo, NodeInfo]]:
        unchanged = [(i, n) for i, n in self._base.affine_pods() if n.name not in self._changed]
        return unchanged + [(i, n) for n in self._changed.values() for i in n.pods.values()]

    def counts(self, key: Hashable, matches: Callable[[Object], bool]) -> dict[str, int]:
        counts = dict(self._base.counts(key, matches))
        for node in self._changed.values():
            counts[node.name] = sum(matches(info.pod) for info in node.pods.values())
        return counts

    def counts_by(self, label: str, key: Hashable, matches: Callable[[Object], bool]) -> dict[str, int]:
        return sums_by(label, self.counts(key, matches), self.nodes)


def sums_by(label: str, by_node: dict[str, int], nodes: dict[str, NodeInfo]) -> dict[str, int]:
    """Counts by node, added up by the value of a label."""
    sums: dict[str, int] = {}
    for name, count in by_node.items():
        node = nodes.get(name)
        value = node.labels.get(label) if node else None
        if count and value is not None:
            sums[value] = sums.get(value, 0) + count
    return sums
