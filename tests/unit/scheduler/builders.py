"""Nodes, pods and a view of storage, in one line each."""

from __future__ import annotations

from typing import Any

from pilothouse.scheduler.framework import Cycle, Decision, Framework
from pilothouse.scheduler.plugins import default_plugins
from pilothouse.scheduler.snapshot import PodInfo, Snapshot

Object = dict[str, Any]


def node(
    name: str, *, taints: Any = (), unschedulable: bool = False, images: Any = (), **options: Any
) -> Object:
    """`node("a", zone="z1", cpu="2")`: `labels` beside hostname and zone."""
    allocatable = {
        "cpu": options.pop("cpu", "4"),
        "memory": options.pop("memory", "8Gi"),
        "pods": options.pop("pods", "110"),
        **options.pop("more", {}),
    }
    labels = {"kubernetes.io/hostname": name, **options.pop("labels", {})}
    if zone := options.pop("zone", ""):
        labels["topology.kubernetes.io/zone"] = zone
    features = options.pop("features", [])
    assert not options, options
    images = [{"names": [image], "sizeBytes": size} for image, size in images]
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": list(taints), "unschedulable": unschedulable},
        "status": {"allocatable": allocatable, "images": images, "declaredFeatures": features},
    }


def pod(
    name: str = "p", *, cpu: str = "", memory: str = "", ports: Any = (), image: str = "i", **spec: Any
) -> Object:
    """`metadata` parts by their names: labels, namespace, owner, deleted, started; all else goes to the spec."""
    labels, namespace = spec.pop("labels", {}), spec.pop("namespace", "default")
    metadata: Object = {
        "name": name,
        "namespace": namespace,
        "uid": spec.pop("uid", f"uid-{name}"),
        "labels": labels,
    }
    if spec.pop("deleted", False):
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    status: Object = {"startTime": started} if (started := spec.pop("started", "")) else {}
    if nominated := spec.pop("nominated", ""):
        status["nominatedNodeName"] = nominated
    rules = spec.pop("rules", [])
    requests = {
        **({"cpu": cpu} if cpu else {}),
        **({"memory": memory} if memory else {}),
        **spec.pop("requests", {}),
    }
    container = {"name": "c", "image": image, "resources": {"requests": requests}, "ports": list(ports)}
    if rules:
        container["restartPolicyRules"] = rules
    return {"metadata": metadata, "spec": {"containers": [container], **spec}, "status": status}


def affinity(which: str, *terms: Object) -> Object:
    return {which: {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}


def preferring(which: str, weight: int, term: Object) -> Object:
    return {
        which: {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": weight, "podAffinityTerm": term}]
        }
    }


def near(key: str, **term: Any) -> Object:
    labels = term.pop("labels", {"app": "web"})
    return {"topologyKey": key, "labelSelector": {"matchLabels": labels}, **term}


def claim(name: str, class_name: str = "wait", size: str = "1Gi", **options: Any) -> Object:
    metadata: Object = {"name": name, "namespace": "default", "uid": f"uid-{name}", "annotations": {}}
    if volume := options.pop("volume", ""):
        metadata["annotations"]["pv.kubernetes.io/bind-completed"] = "yes"
    metadata["annotations"].update(options.pop("annotations", {}))
    if owner := options.pop("owner", ""):
        metadata["ownerReferences"] = [{"uid": owner, "controller": True}]
    spec = {
        "storageClassName": class_name,
        "accessModes": options.pop("modes", ["ReadWriteOnce"]),
        "resources": {"requests": {"storage": size}},
        **({"volumeName": volume} if volume else {}),
    }
    return {"metadata": metadata, "spec": spec, "status": options}


def volume(name: str, class_name: str = "wait", size: str = "1Gi", *, on: str = "", **options: Any) -> Object:
    spec: Object = {
        "storageClassName": class_name,
        "capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce", "ReadWriteOncePod"],
    }
    if on:
        term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [on]}]}
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [term]}}
    labels = options.pop("labels", {})
    return {"metadata": {"name": name, "uid": f"uid-{name}", "labels": labels}, "spec": {**spec, **options}}


def mounting(*claims: str) -> list[Object]:
    return [{"name": f"v{n}", "persistentVolumeClaim": {"claimName": c}} for n, c in enumerate(claims)]


class Storage:
    """`View` on plain lists."""

    def __init__(
        self, *objects: Object, classes: Any = (), budgets: Any = (), csi_nodes: Any = (), selectors: Any = ()
    ):
        self._claims = {o["metadata"]["name"]: o for o in objects if "resources" in o["spec"]}
        self._volumes = {o["metadata"]["name"]: o for o in objects if "capacity" in o["spec"]}
        self._classes = {c["metadata"]["name"]: c for c in classes}
        self._csi_nodes = {n["metadata"]["name"]: n for n in csi_nodes}
        self._budgets, self._selectors = list(budgets), list(selectors)
        self.reserved: dict[str, str] = {}
        self.drivers: dict[str, Object] = {}
        self.reported: list[Object] = []

    def claim(self, namespace: str, name: str) -> Object | None:
        return self._claims.get(name)

    def volume(self, name: str) -> Object | None:
        return self._volumes.get(name)

    def storage_class(self, name: str) -> Object | None:
        return self._classes.get(name)

    def csi_node(self, name: str) -> Object | None:
        return self._csi_nodes.get(name)

    def csi_driver(self, name: str) -> Object | None:
        return self.drivers.get(name)

    def capacities(self, class_name: str) -> list[Object]:
        return self.reported

    def budgets(self) -> list[Object]:
        return self._budgets

    def selectors_for(self, pod: Object) -> list[Object]:
        return self._selectors

    def volumes_for(self, claim: Object) -> list[Object]:
        wanted = claim["spec"]["storageClassName"]
        return [v for v in self._volumes.values() if v["spec"]["storageClassName"] == wanted]


def snapshot(*nodes: Object, pods: dict[str, Any] | None = None) -> Snapshot:
    """`pods`: node name → pods on it."""
    made = Snapshot()
    for each in nodes:
        made.set_node(each)
    for name, there in (pods or {}).items():
        for each in there if isinstance(there, list) else [there]:
            made.add_pod(each, name)
    return made


def decide(new: Object, *nodes: Object, pods: dict[str, Any] | None = None, view: Any = None) -> Decision:
    """Where the default profile puts the pod, the first of the best."""
    cycle = Cycle(new, PodInfo.of(new), snapshot(*nodes, pods=pods), view or Storage())
    return Framework(default_plugins()).schedule(cycle, lambda names: names[0])
