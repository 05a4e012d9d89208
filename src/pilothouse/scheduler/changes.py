"""Which plugins' rejections a change in the cluster may cure: a pod that nothing of it concerns stays where it is. Pure."""

from __future__ import annotations

from ..api.object import Object, is_deleting, labels_of

Helps = set[str] | None  # names of plugins; None: anybody's rejection; empty: nobody's

POD_CAME: Helps = {"InterPodAffinity", "PodTopologySpread"}
POD_GONE: Helps = {
    "NodeResourcesFit",
    "NodePorts",
    "InterPodAffinity",
    "PodTopologySpread",
    "VolumeRestrictions",
    "NodeVolumeLimits",
}
STORAGE: Helps = {"VolumeBinding", "VolumeRestrictions", "VolumeZone", "NodeVolumeLimits"}
NAMESPACE: Helps = {"InterPodAffinity"}
_PLACE = {"NodeAffinity", "PodTopologySpread", "InterPodAffinity", "VolumeBinding", "VolumeZone"}


def of_node(old: Object | None, new: Object | None) -> Helps:
    """A node came, changed or went. Heartbeats help nobody."""
    if new is None:
        return {"PodTopologySpread"}  # its domain may have been the emptiest
    if old is None:
        return None
    helps: set[str] = set()
    before, after = old.get("spec") or {}, new.get("spec") or {}
    if bool(before.get("unschedulable")) != bool(after.get("unschedulable")):
        helps |= {"NodeUnschedulable"}
    if (before.get("taints") or []) != (after.get("taints") or []):
        helps |= {"TaintToleration", "NodeUnschedulable", "PodTopologySpread"}
    if labels_of(old) != labels_of(new):
        helps |= _PLACE
    was, now = old.get("status") or {}, new.get("status") or {}
    if was.get("allocatable") != now.get("allocatable"):
        helps |= {"NodeResourcesFit"}
    if was.get("declaredFeatures") != now.get("declaredFeatures"):
        helps |= {"NodeDeclaredFeatures"}
    return helps


def node_matters(old: Object | None, new: Object) -> bool:
    """Whether the snapshot has to take it in."""
    if old is None or of_node(old, new) != set():
        return True
    before, after = old.get("status") or {}, new.get("status") or {}
    return before.get("images") != after.get("images")


def of_pod(old: Object | None, new: Object) -> Helps:
    """A pod on a node came or changed."""
    if old is None or not old["spec"].get("nodeName"):
        return POD_CAME
    helps: set[str] = set()
    if labels_of(old) != labels_of(new):
        helps |= {"InterPodAffinity", "PodTopologySpread"}
    if is_deleting(old) != is_deleting(new):  # it no longer counts where pods are spread
        helps |= {"PodTopologySpread"}
    if old["spec"] != new["spec"] or _resources(old) != _resources(new):
        helps |= {"NodeResourcesFit"}
    return helps


def pod_matters(old: Object | None, new: Object) -> bool:
    return old is None or not old["spec"].get("nodeName") or of_pod(old, new) != set()


def _resources(pod: Object) -> list[object]:
    """What its containers were really given, which a resize changes."""
    status = pod.get("status") or {}
    return [
        (container.get("name"), container.get("resources"), container.get("allocatedResources"))
        for container in status.get("containerStatuses") or ()
    ]
