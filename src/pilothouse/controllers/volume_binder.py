"""Binds claims to volumes, both ways: the volume names the claim first, then the claim names the volume.

Whatever a crash leaves half done, the next turn completes, since each of the four writes is made only where it is missing.
Which volume: the smallest that fits (class, modes, selector, size, and the node's reach when the scheduler has chosen one).
A claim of a class with a provisioner is annotated for it, and waits.

Keys: `claim/<namespace>/<name>` and `volume/<name>`.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..api.node_selector import selector_matches
from ..api.object import (
    Object,
    annotations_of,
    get,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    split_key,
    uid_of,
)
from ..api.quantity import Quantity
from ..client.informer import IndexFunction
from . import pods as podlib
from .common import matches, with_metadata, with_status
from .plan import NOTHING, Action, Controller, Delete, Event, Plan, Source, Update, View
from .volume_protection import claims_of

CLAIMS, VOLUMES, CLASSES = "persistentvolumeclaims", "persistentvolumes", "storageclasses.storage.k8s.io"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONER = "volume.kubernetes.io/storage-provisioner"
_PROVISIONER_BETA = "volume.beta.kubernetes.io/storage-provisioner"
_RESYNC_S = 15.0  # a claim that waits is looked at again, and told of again
_ATTRIBUTES = "volumeAttributesClassName"
_IN_TREE = "kubernetes.io/"
_MIGRATED = ("aws-ebs", "gce-pd", "cinder", "azure-disk", "azure-file", "vsphere-volume", "portworx-volume")
# the plugins of kube-controller-manager, by their field of a volume's spec; only host-path could delete what is on one
_PLUGINS = ("hostPath", "nfs", "local")


class PersistentVolumeBinder(Controller):
    name = "persistentvolume-binder"
    component = "persistentvolume-controller"
    account = "persistent-volume-binder"
    extra_resources = ("nodes",)

    @property
    def sources(self) -> Mapping[str, Source]:
        return {CLAIMS: _of_claim, VOLUMES: _of_volume, CLASSES: _of_class}

    @property
    def indexes(self) -> Mapping[str, Mapping[str, IndexFunction]]:
        return {
            VOLUMES: {"claim": _by_claim},
            CLAIMS: {"pending of class": _by_pending_class},
            "pods": {"claim": claims_of},
        }

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        kind, _, rest = key.partition("/")
        if kind == "volume":
            volume = view.of(VOLUMES).get("", rest)
            return _sync_volume(volume, view) if volume is not None else NOTHING
        claim = view.of(CLAIMS).get(*split_key(rest))
        if claim is None:
            return NOTHING
        if BIND_COMPLETED in annotations_of(claim):
            return _sync_bound(claim, view)
        return _sync_unbound(claim, view)


# -- who is woken ------------------------------------------------------------------------------------------------------


def _of_claim(old: Object | None, new: Object | None, view: View) -> list[str]:
    claim = new or old or {}
    key = f"{namespace_of(claim)}/{name_of(claim)}"
    keys = [f"claim/{key}"]
    keys += [f"volume/{name_of(v)}" for v in view.of(VOLUMES).by_index("claim", key)]
    if volume_name := get(claim, "spec.volumeName"):
        keys.append(f"volume/{volume_name}")
    return keys


def _of_volume(old: Object | None, new: Object | None, view: View) -> list[str]:
    volume = new or old or {}
    return [f"volume/{name_of(volume)}", *(f"claim/{key}" for key in _by_claim(volume))]


def _of_class(old: Object | None, new: Object | None, view: View) -> list[str]:
    pending = view.of(CLAIMS).by_index("pending of class", name_of(new or old or {}) or "none")
    return [f"claim/{namespace_of(c)}/{name_of(c)}" for c in pending]


def _by_claim(volume: Object) -> list[str]:
    reference = get(volume, "spec.claimRef")
    return [f"{reference.get('namespace')}/{reference.get('name')}"] if reference else []


def _by_pending_class(claim: Object) -> list[str]:
    bound = BIND_COMPLETED in annotations_of(claim)
    return [] if bound else [get(claim, "spec.storageClassName", "") or "none"]


# -- claims ------------------------------------------------------------------------------------------------------------


def _sync_bound(claim: Object, view: View) -> Plan:
    volume_name = get(claim, "spec.volumeName")
    volume = view.of(VOLUMES).get("", volume_name) if volume_name else None
    if volume is None:
        what = "has lost its PersistentVolume" if volume_name else "has lost reference to PersistentVolume"
        return _lost(claim, "ClaimLost", f"Bound claim {what}. Data on the volume is lost!")
    reference = get(volume, "spec.claimRef")
    if not reference or _refers_to(reference, claim):
        return Plan(_bind(volume, claim))
    message = "Two claims are bound to the same volume, this one is bound incorrectly"
    return _lost(claim, "ClaimMisbound", message)


def _lost(claim: Object, reason: str, message: str) -> Plan:
    if get(claim, "status.phase") == "Lost":
        return NOTHING
    return Plan([*_unbound(claim, "Lost"), Event(claim, "Warning", reason, message)])


def _sync_unbound(claim: Object, view: View) -> Plan:
    volume_name = get(claim, "spec.volumeName")
    if volume_name:
        volume = view.of(VOLUMES).get("", volume_name)
        if volume is not None and not is_deleting(claim):
            reference = get(volume, "spec.claimRef")
            if not reference and (why := _mismatch(volume, claim)):
                message = f'Cannot bind to requested volume "{volume_name}": {why}'
                return Plan([Event(claim, "Warning", "VolumeMismatch", message), *_unbound(claim)], _RESYNC_S)
            if not reference or _refers_to(reference, claim):
                return Plan(_bind(volume, claim))
            if BOUND_BY_CONTROLLER not in annotations_of(claim):
                message = f'volume "{volume_name}" already bound to a different claim.'
                return Plan([*_unbound(claim), Event(claim, "Warning", "FailedBinding", message)], _RESYNC_S)
        return Plan(_unbound(claim), _RESYNC_S)
    if is_deleting(claim):
        return NOTHING
    class_name = get(claim, "spec.storageClassName", "")
    storage_class = view.of(CLASSES).get("", class_name) if class_name else None
    node_name = annotations_of(claim).get(SELECTED_NODE)
    waits = get(storage_class, "volumeBindingMode") == "WaitForFirstConsumer" and not node_name
    volume = _best_volume(claim, view, node_name, waits)
    if volume is not None:
        return Plan(_bind(volume, claim))
    if waits:
        return Plan([*_unbound(claim), _waiting(claim, view)], _RESYNC_S)
    if not class_name:
        message = "no persistent volumes available for this claim and no storage class is set"
        return Plan([*_unbound(claim), Event(claim, "Normal", "FailedBinding", message)], _RESYNC_S)
    return Plan([*_provision(claim, class_name, storage_class), *_unbound(claim)], _RESYNC_S)


def _waiting(claim: Object, view: View) -> Event:
    pods = view.of("pods").by_index("claim", f"{namespace_of(claim)}/{name_of(claim)}")
    unscheduled = [name_of(p) for p in pods if not p["spec"].get("nodeName") and not podlib.is_terminal(p)]
    if unscheduled:
        which = f"pod{'s' if len(unscheduled) > 1 else ''} {','.join(unscheduled)}"
        message = f"waiting for {which} to be scheduled"
        return Event(claim, "Normal", "WaitForPodScheduled", message)
    message = "waiting for first consumer to be created before binding"
    return Event(claim, "Normal", "WaitForFirstConsumer", message)


def _provision(claim: Object, class_name: str, storage_class: Object | None) -> list[Action]:
    """Our part is to tell a provisioner that it is wanted."""
    if storage_class is None:
        message = f'storageclass.storage.k8s.io "{class_name}" not found'
        return [Event(claim, "Warning", "ProvisioningFailed", message)]
    provisioner = storage_class.get("provisioner", "")
    if provisioner.startswith(_IN_TREE) and provisioner.removeprefix(_IN_TREE) not in _MIGRATED:
        message = f"no volume plugin matched name: {provisioner}"
        return [Event(claim, "Warning", "ProvisioningFailed", message)]
    actions: list[Action] = []
    annotations = annotations_of(claim)
    if annotations.get(PROVISIONER) != provisioner or annotations.get(_PROVISIONER_BETA) != provisioner:
        wanted = {PROVISIONER: provisioner, _PROVISIONER_BETA: provisioner}
        actions.append(Update(CLAIMS, with_metadata(claim, annotations={**annotations, **wanted})))
    message = (
        f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system "
        "administrator. If volume creation is delayed, please verify that the provisioner is running and correctly "
        "registered."
    )
    return [*actions, Event(claim, "Normal", "ExternalProvisioning", message)]


def _best_volume(claim: Object, view: View, node_name: str | None, waits: bool) -> Object | None:
    node = view.of("nodes").get("", node_name) if node_name else None
    wanted = Quantity.of(get(claim, "spec.resources.requests.storage", "0")).number
    fitting = []
    for volume in view.of(VOLUMES).list():
        if is_deleting(volume) or Quantity.of(get(volume, "spec.capacity.storage", "0")).number < wanted:
            continue
        reference = get(volume, "spec.claimRef")
        if reference:  # made for a claim: only ever for that one, and before all others
            if _refers_to(reference, claim) and _same_mode(volume, claim) and _allows(volume, claim):
                return volume
            continue
        if waits or not _suits(volume, claim) or (node is not None and not _reaches(volume, node)):
            continue
        fitting.append(volume)

    def closest(volume: Object) -> tuple[object, ...]:
        """First the fewest modes that the claim did not ask for, then the smallest."""
        modes = len(get(volume, "spec.accessModes", []))
        return modes, Quantity.of(volume["spec"]["capacity"]["storage"]).number, name_of(volume)

    return min(fitting, key=closest, default=None)


def _same(volume: Object, claim: Object, field: str, default: str = "") -> bool:
    return bool(get(volume, f"spec.{field}", default) == get(claim, f"spec.{field}", default))


def _same_mode(volume: Object, claim: Object) -> bool:
    return _same(volume, claim, "volumeMode", "Filesystem") and _same(volume, claim, _ATTRIBUTES)


def _allows(volume: Object, claim: Object) -> bool:
    return set(get(claim, "spec.accessModes", [])) <= set(get(volume, "spec.accessModes", []))


def _suits(volume: Object, claim: Object) -> bool:
    selector = get(claim, "spec.selector")
    return (
        get(volume, "status.phase") == "Available"
        and _same_mode(volume, claim)
        and _same(volume, claim, "storageClassName")
        and _allows(volume, claim)
        and (selector is None or matches(selector, labels_of(volume)))
    )


def _mismatch(volume: Object, claim: Object) -> str:
    """Why a claim cannot have the volume that it names."""
    have, wanted = (
        get(volume, "spec.capacity.storage", "0"),
        get(claim, "spec.resources.requests.storage", "0"),
    )
    if is_deleting(volume):
        return f'the volume is marked for deletion "{name_of(volume)}"'
    if Quantity.of(have).number < Quantity.of(wanted).number:
        return "requested PV is too small"
    if not _same(volume, claim, "storageClassName"):
        return "storageClassName does not match"
    if not _same(volume, claim, _ATTRIBUTES):
        return "volumeAttributesClassName does not match"
    if not _same(volume, claim, "volumeMode", "Filesystem"):
        return "incompatible volumeMode"
    return "" if _allows(volume, claim) else "incompatible accessMode"


def _reaches(volume: Object, node: Object) -> bool:
    required = get(volume, "spec.nodeAffinity.required")
    return required is None or selector_matches(required, name_of(node), labels_of(node))


def _refers_to(reference: Object, claim: Object) -> bool:
    """A reference without a uid was written by a person, before the claim existed."""
    return (
        reference.get("name") == name_of(claim)
        and reference.get("namespace") == namespace_of(claim)
        and reference.get("uid", "") in ("", uid_of(claim))
    )


# -- the four writes ---------------------------------------------------------------------------------------------------


def _bind(volume: Object, claim: Object) -> list[Action]:
    """The statuses in a turn of their own: each write starts from the object as the one before has left it."""
    actions: list[Action] = []
    reference = get(volume, "spec.claimRef")
    if not reference or reference.get("uid") != uid_of(claim):
        fresh = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": namespace_of(claim),
            "name": name_of(claim),
            "uid": uid_of(claim),
            "resourceVersion": claim["metadata"].get("resourceVersion", ""),
        }
        changed = {**volume, "spec": {**volume["spec"], "claimRef": {**(reference or {}), **fresh}}}
        if not reference:
            changed = with_metadata(
                changed, annotations={**annotations_of(volume), BOUND_BY_CONTROLLER: "yes"}
            )
        actions.append(Update(VOLUMES, changed))
    annotations = dict(annotations_of(claim))
    if get(claim, "spec.volumeName") != name_of(volume):
        annotations[BOUND_BY_CONTROLLER] = "yes"
    annotations[BIND_COMPLETED] = "yes"
    if annotations != annotations_of(claim):
        changed = with_metadata(claim, annotations=annotations)
        changed["spec"] = {**claim["spec"], "volumeName": name_of(volume)}
        actions.append(Update(CLAIMS, changed))
    if actions:
        return actions
    if get(volume, "status.phase") != "Bound":
        actions.append(_phase(volume, "Bound"))
    status = {
        "phase": "Bound",
        "accessModes": get(volume, "spec.accessModes", []),
        "capacity": get(claim, "status.capacity") or get(volume, "spec.capacity", {}),
    }
    return [*actions, *_claim_status(claim, status)]


def _claim_status(claim: Object, status: Object) -> list[Action]:
    current = claim.get("status") or {}
    if all(current.get(k) == v for k, v in status.items()):
        return []
    return [_status(CLAIMS, claim, {**current, **status})]


def _unbound(claim: Object, phase: str = "Pending") -> list[Action]:
    """What it has of a volume is forgotten."""
    current = claim.get("status") or {}
    status = {k: v for k, v in current.items() if k not in ("accessModes", "capacity")} | {"phase": phase}
    return [] if status == current else [_status(CLAIMS, claim, status)]


def _phase(volume: Object, phase: str, message: str = "") -> Action:
    status = {k: v for k, v in (volume.get("status") or {}).items() if k != "message"} | {"phase": phase}
    return _status(VOLUMES, volume, status | ({"message": message} if message else {}))


def _status(resource: str, obj: Object, status: Object) -> Action:
    return Update(resource, with_status(obj, status), "status", ignore=("NotFound",))


# -- volumes -----------------------------------------------------------------------------------------------------------


def _sync_volume(volume: Object, view: View) -> Plan:
    reference = get(volume, "spec.claimRef")
    phase = get(volume, "status.phase", "")
    if not reference or not reference.get("uid"):
        return Plan([_phase(volume, "Available")]) if phase != "Available" else NOTHING
    claim = view.of(CLAIMS).get(reference.get("namespace", ""), reference["name"])
    if claim is None or uid_of(claim) != reference["uid"]:
        return _release(volume)
    volume_name = get(claim, "spec.volumeName")
    if volume_name == name_of(volume):
        return Plan([_phase(volume, "Bound")]) if phase != "Bound" else NOTHING
    if not volume_name:
        # its claim's own turn finishes the binding, if it can
        return NOTHING if _same(volume, claim, "volumeMode", "Filesystem") else Plan(_misfits(volume, claim))
    if PROVISIONED_BY in annotations_of(volume) and _reclaim_policy(volume) == "Delete":
        return _release(volume)
    spec = dict(volume["spec"])
    if BOUND_BY_CONTROLLER not in annotations_of(volume):  # a person wants it for a claim of that name
        spec["claimRef"] = {k: v for k, v in reference.items() if k != "uid"}
        return Plan([Update(VOLUMES, {**volume, "spec": spec})])
    annotations = {k: v for k, v in annotations_of(volume).items() if k != BOUND_BY_CONTROLLER}
    del spec["claimRef"]
    return Plan([Update(VOLUMES, {**with_metadata(volume, annotations=annotations), "spec": spec})])


def _misfits(volume: Object, claim: Object) -> list[Action]:
    about_volume = f'Cannot bind PersistentVolume to requested PersistentVolumeClaim "{name_of(claim)}" due to incompatible volumeMode.'
    about_claim = f'Cannot bind PersistentVolume "{name_of(volume)}" to requested PersistentVolumeClaim due to incompatible volumeMode.'
    return [
        Event(volume, "Warning", "VolumeMismatch", about_volume),
        Event(claim, "Warning", "VolumeMismatch", about_claim),
    ]


def _reclaim_policy(volume: Object) -> str:
    return str(get(volume, "spec.persistentVolumeReclaimPolicy", "Retain"))


def _release(volume: Object) -> Plan:
    """Its claim is gone. What is to be deleted is deleted by who provisioned it; of the rest, only host paths below /tmp
    could ever be, and that nobody can is told."""
    phase = get(volume, "status.phase")
    if phase not in ("Released", "Failed"):
        return Plan([_phase(volume, "Released")])
    if _reclaim_policy(volume) != "Delete" or phase == "Failed" or is_deleting(volume):
        return NOTHING
    spec, name = volume["spec"], name_of(volume)
    if PROVISIONED_BY in annotations_of(volume) or "csi" in spec:
        return NOTHING
    path = get(spec, "hostPath.path", "")
    if path.startswith("/tmp/") and len(path) > len("/tmp/"):
        return Plan([Delete(VOLUMES, "", name, uid_of(volume))])
    why = f"host_path deleter only supports /tmp/.+ but received provided {path}"
    if not path:
        what = "no deletable volume plugin" if any(p in spec for p in _PLUGINS) else "no volume plugin"
        why = f'error getting deleter volume plugin for volume "{name}": {what} matched'
    return Plan([_phase(volume, "Failed", why), Event(volume, "Warning", "VolumeFailedDelete", why)])
