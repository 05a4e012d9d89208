"""PersistentVolumes and the claims on them."""

from __future__ import annotations

import posixpath

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from ..quantity import Quantity
from . import go_diff, metadata, resources, volume_sources
from .go_struct import as_go
from .metadata import immutable, qualified_name, same
from .node_selectors import node_selector
from .validator import Validator, against_old

_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_VOLUME_MODES = ("Block", "Filesystem")
_RECLAIM = ("Delete", "Recycle", "Retain")
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
_MOUNT_OPTIONS = "volume.beta.kubernetes.io/mount-options"
_WITH_MOUNT_OPTIONS = (
    "gcePersistentDisk awsElasticBlockStore glusterfs nfs rbd quobyte iscsi cinder cephfs azureFile vsphereVolume azureDisk "
    "photonPersistentDisk"
).split()
_RESIZE_STATES = (
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
)
_GA_LABELS = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
}


def _access_modes(errors: FieldErrors, modes: list[str], path: str) -> None:
    for mode in modes:
        if mode not in _MODES:
            errors.not_supported(path, mode, _MODES)
    if "ReadWriteOncePod" in modes and any(m in _MODES and m != "ReadWriteOncePod" for m in modes):
        errors.forbidden(path, "may not use ReadWriteOncePod with other access modes")


# -- PersistentVolume --------------------------------------------------------------------------------------------------


def create_volume(errors: FieldErrors, volume: Object) -> None:
    _volume(errors, volume)
    if _MOUNT_OPTIONS in (volume["metadata"].get("annotations") or ()):
        if not any(source in (volume.get("spec") or ()) for source in _WITH_MOUNT_OPTIONS):
            why = "may not specify mount options for this volume type"
            errors.forbidden(f"metadata.annotations.{_MOUNT_OPTIONS}", why)


def _volume(errors: FieldErrors, volume: Object) -> None:
    metadata.created(errors, volume["metadata"], namespaced=False)
    volume_spec(errors, volume.get("spec") or {}, "spec", volume["metadata"].get("name") or "")


def volume_spec(errors: FieldErrors, spec: Object, path: str, name: str, *, inline: bool = False) -> None:
    """`inline`: inside a VolumeAttachment."""
    inline_only = "may not be specified in the context of inline volumes"
    if inline:
        for field in ("claimRef", "capacity"):
            if spec.get(field):
                errors.forbidden(f"{path}.{field}", inline_only)
        if spec.get("csi") is None:
            errors.required(f"{path}.csi", "has to be specified in the context of inline volumes")
    if not spec.get("accessModes"):
        errors.required(f"{path}.accessModes")
    _access_modes(errors, spec.get("accessModes") or [], f"{path}.accessModes")
    if not inline:
        _capacity(errors, spec.get("capacity"), f"{path}.capacity")
    policy = spec.get("persistentVolumeReclaimPolicy")
    if policy and inline and policy != "Retain":
        why = "may only be Retain in the context of inline volumes"
        errors.forbidden(f"{path}.persistentVolumeReclaimPolicy", why)
    elif policy and not inline and policy not in _RECLAIM:
        errors.not_supported(f"{path}.persistentVolumeReclaimPolicy", policy, _RECLAIM)
    affinity = spec.get("nodeAffinity")
    if affinity is not None:
        if inline:
            errors.forbidden(f"{path}.nodeAffinity", inline_only)
        elif affinity.get("required") is None:
            errors.required(f"{path}.nodeAffinity.required", "must specify required node constraints")
        else:
            node_selector(errors, affinity["required"], f"{path}.nodeAffinity.required")
    volume_sources.one_source(errors, spec, path, name, volume_sources.PERSISTENT, ("flexVolume",))
    if affinity is None and next((f for f in volume_sources.PERSISTENT if f in spec), "") == "local":
        errors.required(f"{path}.nodeAffinity", "Local volume requires node affinity")
    host_path = (spec.get("hostPath") or {}).get("path")
    if host_path and posixpath.normpath(host_path) in ("/", "//") and policy == "Recycle":
        why = "may not be 'recycle' for a hostPath mount of '/'"
        errors.forbidden(f"{path}.persistentVolumeReclaimPolicy", why)
    _class_and_mode(errors, spec, path, inline)


def _capacity(errors: FieldErrors, capacity: Object | None, path: str) -> None:
    if not capacity:
        errors.required(path)
    if not capacity or set(capacity) != {"storage"}:
        errors.not_supported(path, capacity or None, ("storage",))
    for resource, value in (capacity or {}).items():
        _basic(errors, value, f"{path}[{resource}]")
        resources.positive(errors, value, f"{path}[{resource}]")


def _basic(errors: FieldErrors, value: object, path: str) -> None:
    number = Quantity.of(value).value()
    if number < 0:
        errors.invalid(path, number, "must be a valid resource quantity")


def _class_and_mode(errors: FieldErrors, spec: Object, path: str, inline: bool) -> None:
    class_name, mode = spec.get("storageClassName"), spec.get("volumeMode")
    if class_name and inline:
        why = "may not be specified in the context of inline volumes"
        errors.forbidden(f"{path}.storageClassName", why)
    elif class_name:
        errors.messages(f"{path}.storageClassName", class_name, names.dns1123_subdomain(class_name))
    if mode is not None and inline and mode != "Filesystem":
        why = "may not specify volumeMode other than Filesystem in the context of inline volumes"
        errors.forbidden(f"{path}.volumeMode", why)
    elif mode is not None and not inline and mode not in _VOLUME_MODES:
        errors.not_supported(f"{path}.volumeMode", mode, _VOLUME_MODES)
    attributes = spec.get("volumeAttributesClassName")
    if attributes is not None:
        at = f"{path}.volumeAttributesClassName"
        if not attributes:
            errors.required(at, "an empty string is disallowed")
        else:
            errors.messages(at, attributes, names.dns1123_subdomain(attributes))
        if spec.get("csi") is None:
            why = "has to be specified when using volumeAttributesClassName"
            errors.required(f"{path}.csi", why)


def update_volume(errors: FieldErrors, new: Object, old: Object, subresource: str) -> None:
    if subresource == "status":
        against_old(errors, new, old)
        return
    create_volume(errors, new)
    if errors:  # as in Kubernetes: by the strategy, and by the check of the update
        _volume(errors, new)
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    sources = {f: spec[f] for f in volume_sources.PERSISTENT if f in spec}
    old_sources = {f: before[f] for f in volume_sources.PERSISTENT if f in before}
    expand = "controllerExpandSecretRef"
    if (sources.get("csi") or {}).get(expand) and old_sources.get("csi") and expand not in old_sources["csi"]:
        sources["csi"] = {f: v for f, v in sources["csi"].items() if f != expand}
    if not same(sources, old_sources):
        difference = go_diff.of_volume_sources(old_sources, sources)
        why = f"spec.persistentvolumesource is immutable after creation\n{difference}"
        errors.forbidden("spec.persistentvolumesource", why)
    immutable(errors, spec.get("volumeMode"), before.get("volumeMode"), "volumeMode")
    affinity, old_affinity = spec.get("nodeAffinity"), before.get("nodeAffinity")
    if old_affinity is not None and not same(affinity, _with_ga_labels(old_affinity, affinity)):
        why = "field is immutable, except for updating from beta label to GA"
        errors.invalid("nodeAffinity", as_go("core.v1.VolumeNodeAffinity", affinity), why)
    if before.get("volumeAttributesClassName") is not None and spec.get("volumeAttributesClassName") is None:
        errors.forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden")


def _with_ga_labels(old: Object, new: Object | None) -> Object:
    """The old affinity, with the keys that the new one has moved from their beta name."""
    terms = (old.get("required") or {}).get("nodeSelectorTerms") or []
    new_terms = ((new or {}).get("required") or {}).get("nodeSelectorTerms") or []
    moved = []
    for index, term in enumerate(terms):
        found = dict(term)
        for field in ("matchExpressions", "matchFields"):
            theirs = (new_terms[index].get(field) or []) if index < len(new_terms) else []
            found[field] = [
                {**r, "key": theirs[i]["key"]}
                if i < len(theirs) and _GA_LABELS.get(r.get("key", ""), "") == theirs[i].get("key")
                else r
                for i, r in enumerate(term.get(field) or ())
            ]
        moved.append(found)
    return {**old, "required": {**(old.get("required") or {}), "nodeSelectorTerms": moved}}


# -- PersistentVolumeClaim ---------------------------------------------------------------------------------------------


def create_claim(errors: FieldErrors, claim: Object) -> None:
    metadata.created(errors, claim["metadata"])
    claim_spec(errors, claim.get("spec") or {}, "spec")


def claim_spec(errors: FieldErrors, spec: Object, path: str) -> None:
    if not spec.get("accessModes"):
        errors.required(f"{path}.accessModes", "at least 1 access mode is required")
    metadata.label_selector(errors, spec.get("selector"), f"{path}.selector")
    _access_modes(errors, spec.get("accessModes") or [], f"{path}.accessModes")
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    at = f"{path}.resources[storage]"
    if size is None:
        errors.required(at)
    else:
        resources.positive(errors, size, at)
    if spec.get("storageClassName"):
        name = spec["storageClassName"]
        errors.messages(f"{path}.storageClassName", name, names.dns1123_subdomain(name))
    if spec.get("volumeMode") is not None and spec["volumeMode"] not in _VOLUME_MODES:
        errors.not_supported(f"{path}.volumeMode", spec["volumeMode"], _VOLUME_MODES)
    _data_sources(errors, spec, path)
    if spec.get("volumeAttributesClassName"):
        name = spec["volumeAttributesClassName"]
        errors.messages(f"{path}.volumeAttributesClassName", name, names.dns1123_subdomain(name))


def _data_sources(errors: FieldErrors, spec: Object, path: str) -> None:
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None:
        _data_source(errors, source, f"{path}.dataSource")
    if reference is not None:
        _data_source(errors, reference, f"{path}.dataSourceRef")
    if source is None or reference is None:
        return
    if any(not same(source.get(f), reference.get(f)) for f in ("apiGroup", "kind", "name")):
        errors.invalid(path, {}, "must match dataSourceRef")


def _data_source(errors: FieldErrors, source: Object, path: str) -> None:
    for field in ("name", "kind"):
        if not source.get(field):
            errors.required(f"{path}.{field}")
    kind, group = source.get("kind") or "", source.get("apiGroup") or ""
    if not group and kind != "PersistentVolumeClaim":
        errors.invalid(path, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup")
    if group:
        errors.messages(f"{path}.apiGroup", group, names.dns1123_subdomain(group))


def update_claim(errors: FieldErrors, new: Object, old: Object, subresource: str) -> None:
    if subresource == "status":
        against_old(errors, new, old)
        _claim_status(errors, new.get("status") or {})
        return
    against_old(errors, new, old)
    create_claim(errors, new)
    spec, before = dict(new.get("spec") or {}), dict(old.get("spec") or {})
    if not before.get("volumeName"):
        before["volumeName"] = spec.get("volumeName")
    _storage_class_change(errors, new, old, spec, before)
    new_size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    old_size = ((before.get("resources") or {}).get("requests") or {}).get("storage")
    if (new.get("status") or {}).get("phase") == "Bound":
        part = spec.get("resources") or {}
        if part.get("requests"):
            spec["resources"] = {**part, "requests": {**part["requests"], "storage": old_size}}
        spec["volumeAttributesClassName"] = before.get("volumeAttributesClassName")
    if not same(spec, before):
        why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        errors.forbidden("spec", f"{why}\n{go_diff.of_claim_spec(before, spec)}")
    capacity = ((old.get("status") or {}).get("capacity") or {}).get("storage") or "0"
    size = Quantity.of(new_size or "0").number
    if size < Quantity.of(old_size or "0").number and size <= Quantity.of(capacity).number:
        errors.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")
    new_spec, old_spec = new.get("spec") or {}, old.get("spec") or {}
    immutable(errors, new_spec.get("volumeMode"), old_spec.get("volumeMode"), "volumeMode")
    name = new_spec.get("volumeAttributesClassName")
    current = (old.get("status") or {}).get("currentVolumeAttributesClassName")
    if not name and name != old_spec.get("volumeAttributesClassName") and current is not None:
        what = "nil" if name is None else "empty string"
        why = f"update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil"
        errors.forbidden("spec.volumeAttributesClassName", why)


def _storage_class_change(
    errors: FieldErrors, new: Object, old: Object, spec: Object, before: Object
) -> None:
    """The class may be set once, or move from the beta annotation to the field: then the two specs are made alike."""
    noted = (new["metadata"].get("annotations") or {}).get(_BETA_CLASS)
    was_noted = (old["metadata"].get("annotations") or {}).get(_BETA_CLASS)
    name, was = spec.get("storageClassName"), before.get("storageClassName")
    moved = was_noted is not None and was is None and name == was_noted and noted in (None, was_noted)
    if moved:
        spec["storageClassName"] = None
        return
    if (noted or "") != (was_noted or ""):
        at = f"metadata.annotations.{_BETA_CLASS}"
        errors.invalid(at, noted or "", metadata.IMMUTABLE)
    if name is not None and was is None and was_noted in (None, name):
        spec["storageClassName"] = None


def _claim_status(errors: FieldErrors, status: Object) -> None:
    for resource, value in (status.get("capacity") or {}).items():
        _basic(errors, value, f"status.capacity[{resource}]")
    path = "status.allocatedResourceStatuses"
    for resource, state in (status.get("allocatedResourceStatuses") or {}).items():
        _claim_resource(errors, resource, path)
        if state not in _RESIZE_STATES:
            errors.not_supported(path, resource, frozenset(_RESIZE_STATES))
    for resource, value in (status.get("allocatedResources") or {}).items():
        before = len(errors)
        _claim_resource(errors, resource, "status.allocatedResources")
        if len(errors) == before:
            _basic(errors, value, f"status.allocatedResources[{resource}]")


def _claim_resource(errors: FieldErrors, resource: str, path: str) -> None:
    problems = qualified_name(resource)
    errors.messages(path, resource, problems)
    if not problems and resources.is_native(resource) and resource != "storage":
        errors.not_supported(path, resource, ("storage",))


VOLUME, CLAIM = Validator(create_volume, update_volume), Validator(create_claim, update_claim)
