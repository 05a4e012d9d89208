"""The kinds of storage.k8s.io: classes, CSI drivers and nodes, attachments, capacities."""

from __future__ import annotations

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from . import metadata, resources
from .metadata import immutable, not_negative, qualified_name, same
from .persistent_volumes import volume_spec
from .validator import kind
from .volume_sources import csi_driver_name

_PARAMETERS_MAX, _PARAMETERS_SIZE_MAX, _ATTACH_METADATA_SIZE_MAX = 512, 256 << 10, 256 << 10
_ERROR_SIZE_MAX = 1024
_TOKEN_SECONDS_MIN, _TOKEN_SECONDS_MAX = 600, 1 << 32
_NODE_ID_LENGTH_MAX = 256
_FIELD_TYPES = {
    "provisioner": "s",
    "parameters": "{}s",
    "nodeTopology": "meta.v1.LabelSelector",
    "storageClassName": "s",
}


def _provisioner(errors: FieldErrors, value: str, path: str) -> None:
    if not value:
        errors.required(path)
    else:
        errors.messages(path, value.lower(), qualified_name(value.lower()))


def _parameters(errors: FieldErrors, parameters: dict[str, str], *, allow_empty: bool) -> None:
    if len(parameters) > _PARAMETERS_MAX:
        errors.too_long("parameters", _PARAMETERS_MAX)
        return
    for key in parameters:
        if not key:
            errors.invalid("parameters", key, "field can not be empty.")
    if sum(len(k) + len(v) for k, v in parameters.items()) > _PARAMETERS_SIZE_MAX:
        errors.too_long("parameters", _PARAMETERS_SIZE_MAX)
    if not parameters and not allow_empty:
        errors.required("parameters", "must contain at least one key/value pair")


# -- StorageClass, VolumeAttributesClass -------------------------------------------------------------------------------


def _storage_class(errors: FieldErrors, obj: Object, old: Object | None) -> None:
    _provisioner(errors, obj.get("provisioner") or "", "provisioner")
    _parameters(errors, obj.get("parameters") or {}, allow_empty=True)
    policy, mode = obj.get("reclaimPolicy"), obj.get("volumeBindingMode")
    if policy and policy not in ("Delete", "Retain"):
        errors.not_supported("reclaimPolicy", policy, ("Delete", "Retain"))
    if mode is None:
        errors.required("volumeBindingMode")
    elif mode not in ("Immediate", "WaitForFirstConsumer"):
        errors.not_supported("volumeBindingMode", mode, ("Immediate", "WaitForFirstConsumer"))
    _topologies(errors, obj.get("allowedTopologies") or [], "allowedTopologies")


def _topologies(errors: FieldErrors, terms: list[Object], path: str) -> None:
    seen_terms: list[dict[str, set[str]]] = [
        {} for _ in terms
    ]  # as in Kubernetes: an empty term is never the first
    for index, term in enumerate(terms):
        found: dict[str, set[str]] = {}
        for number, expression in enumerate(term.get("matchLabelExpressions") or ()):
            at = f"{path}[{index}].matchLabelExpressions[{number}]"
            key, values = expression.get("key") or "", expression.get("values") or []
            if not values:
                errors.required(f"{at}.values")
            for position, value in enumerate(values):
                if value in values[:position]:
                    errors.duplicate(f"{at}.values[{position}]", value)
            errors.messages(f"{at}.key", key, qualified_name(key))
            if key in found:
                errors.duplicate(f"{at}.key", key)
            found[key] = set(values)
        for _ in range(seen_terms.count(found)):
            errors.duplicate(f"{path}[{index}].matchLabelExpressions", "")
        seen_terms.append(found)


def _storage_class_change(errors: FieldErrors, new: Object, old: Object) -> None:
    for field in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"):
        immutable(errors, new.get(field), old.get(field), field, type_=_FIELD_TYPES.get(field, ""))


def _attributes_class(errors: FieldErrors, obj: Object, old: Object | None) -> None:
    _provisioner(errors, obj.get("driverName") or "", "driverName")
    _parameters(errors, obj.get("parameters") or {}, allow_empty=False)


def _attributes_class_change(errors: FieldErrors, new: Object, old: Object) -> None:
    for field in ("driverName", "parameters"):
        if not same(new.get(field), old.get(field), _FIELD_TYPES.get(field, "")):
            errors.forbidden(field, f"updates to {field} are forbidden.")


# -- CSIDriver, CSINode ------------------------------------------------------------------------------------------------


def _driver(errors: FieldErrors, obj: Object, old: Object | None) -> None:
    spec = obj.get("spec") or {}
    for field in ("attachRequired", "podInfoOnMount", "storageCapacity"):
        if spec.get(field) is None:
            errors.required(f"spec.{'attachedRequired' if field == 'attachRequired' else field}")
    policies = ("File", "None", "ReadWriteOnceWithFSType")
    policy = spec.get("fsGroupPolicy")
    if policy is not None and policy not in policies:
        errors.not_supported("spec.fsGroupPolicy", policy, policies)
    audiences: set[str] = set()
    for index, request in enumerate(spec.get("tokenRequests") or ()):
        at, audience, seconds = (
            f"spec.tokenRequests[{index}]",
            request.get("audience") or "",
            request.get("expirationSeconds"),
        )
        if audience in audiences:
            errors.duplicate(f"{at}.audience", audience)
            continue
        audiences.add(audience)
        if seconds is not None and seconds < _TOKEN_SECONDS_MIN:
            why = "may not specify a duration less than 10 minutes"
            errors.invalid(f"{at}.expirationSeconds", seconds, why)
        if seconds is not None and seconds > _TOKEN_SECONDS_MAX:
            why = "may not specify a duration larger than 2^32 seconds"
            errors.invalid(f"{at}.expirationSeconds", seconds, why)
    for mode in spec.get("volumeLifecycleModes") or ():
        if mode not in ("Persistent", "Ephemeral"):
            errors.not_supported("spec.volumeLifecycleModes", mode, ("Persistent", "Ephemeral"))
    if spec.get("seLinuxMount") is None:
        errors.required("spec.seLinuxMount")
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < 10:
        why = "must be greater than or equal to 10 seconds"
        errors.invalid("spec.nodeAllocatableUpdatePeriodSeconds", period, why)
    in_secrets = spec.get("serviceAccountTokenInSecrets")
    if in_secrets is not None and not spec.get("tokenRequests"):
        why = "serviceAccountTokenInSecrets is set but no tokenRequests are specified"
        errors.invalid("spec.serviceAccountTokenInSecrets", in_secrets, why)


def _driver_change(errors: FieldErrors, new: Object, old: Object) -> None:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    immutable(errors, spec.get("attachRequired"), before.get("attachRequired"), "spec.attachedRequired")
    modes = "volumeLifecycleModes"
    immutable(errors, spec.get(modes), before.get(modes), f"spec.{modes}")


def _csi_node(errors: FieldErrors, obj: Object, old: Object | None) -> None:
    seen: set[str] = set()
    for index, driver in enumerate((obj.get("spec") or {}).get("drivers") or ()):
        _node_driver(errors, driver, f"spec.drivers[{index}]", seen)


def _node_driver(errors: FieldErrors, driver: Object, path: str, seen: set[str]) -> None:
    name, node_id = driver.get("name") or "", driver.get("nodeID") or ""
    csi_driver_name(errors, name, f"{path}.name")
    if not node_id:
        errors.required(f"{path}.nodeID")
    if len(node_id) > _NODE_ID_LENGTH_MAX:
        errors.invalid(f"{path}.nodeID", node_id, f"must be {_NODE_ID_LENGTH_MAX} characters or less")
    count = (driver.get("allocatable") or {}).get("count")
    not_negative(errors, count, f"{path}.allocatable.count")
    if name in seen:
        errors.duplicate(f"{path}.name", name)
    seen.add(name)
    keys: set[str] = set()
    for key in driver.get("topologyKeys") or ():
        if not key:
            errors.required(path)
        if key in keys:
            errors.duplicate(path, key)
        keys.add(key)
        errors.messages(path, key, qualified_name(key))


def _csi_node_change(errors: FieldErrors, new: Object, old: Object) -> None:
    """Drivers come and go; one that stays is as it was."""
    now = {d.get("name"): d for d in (new.get("spec") or {}).get("drivers") or ()}
    for driver in (old.get("spec") or {}).get("drivers") or ():
        name = driver.get("name")
        if name in now:
            masked, before = ({**d, "allocatable": None} for d in (now[name], driver))
            immutable(errors, masked, before, "spec.drivers", type_="storage.v1.CSINodeDriver")


# -- VolumeAttachment, CSIStorageCapacity ------------------------------------------------------------------------------


def _attachment(errors: FieldErrors, obj: Object, old: Object | None) -> None:
    spec = obj.get("spec") or {}
    source = spec.get("source") or {}
    inline, volume = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    csi_driver_name(errors, spec.get("attacher") or "", "spec.attacher")
    one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    if inline is None and volume is None:
        errors.required("spec.source", one)
    elif inline is not None and volume is not None:
        errors.forbidden("spec.source", one)
    elif volume is not None:
        if not volume:
            errors.required("spec.source.persistentVolumeName", "must specify non empty persistentVolumeName")
    else:
        volume_spec(errors, inline or {}, "spec.source.inlineVolumeSpec", "", inline=True)
    node = spec.get("nodeName") or ""
    errors.messages("spec.nodeName", node, names.dns1123_subdomain(node))
    _attachment_status(errors, obj, obj)
    if volume is not None:
        errors.messages("spec.source.persistentVolumeName", volume, names.dns1123_subdomain(volume))


def _attachment_status(errors: FieldErrors, new: Object, old: Object) -> None:
    status = new.get("status") or {}
    noted = status.get("attachmentMetadata") or {}
    if sum(len(k) + len(v) for k, v in noted.items()) > _ATTACH_METADATA_SIZE_MAX:
        errors.too_long("status.attachmentMetadata", _ATTACH_METADATA_SIZE_MAX)
    for field in ("attachError", "detachError"):
        error = status.get(field) or {}
        if len((error.get("message") or "").encode()) > _ERROR_SIZE_MAX:
            errors.too_long(f"status.{field}.message", _ATTACH_METADATA_SIZE_MAX)
        if (error.get("errorCode") or 0) < 0:
            why = "must be between 0 and 2147483647, inclusive"
            errors.invalid(f"status.{field}.errorCode", error["errorCode"], why)


def _attachment_change(errors: FieldErrors, new: Object, old: Object) -> None:
    immutable(errors, new.get("spec"), old.get("spec"), "spec", type_="storage.v1.VolumeAttachmentSpec")


def _capacity(errors: FieldErrors, obj: Object, old: Object | None) -> None:
    found = FieldErrors()
    metadata.label_selector(found, (old or {}).get("nodeTopology"), "")
    metadata.label_selector(errors, obj.get("nodeTopology"), "nodeTopology", any_value=bool(found))
    name = obj.get("storageClassName") or ""
    errors.messages("storageClassName", name, names.dns1123_subdomain(name))
    if obj.get("capacity") is not None:
        resources.amount(errors, "", obj["capacity"], "capacity")


def _capacity_change(errors: FieldErrors, new: Object, old: Object) -> None:
    for field in ("nodeTopology", "storageClassName"):
        immutable(errors, new.get(field), old.get(field), field, type_=_FIELD_TYPES.get(field, ""))


STORAGE_CLASS = kind(_storage_class, "cbux", cluster=True, change=_storage_class_change)
ATTRIBUTES_CLASS = kind(_attributes_class, "uxcb", cluster=True, change=_attributes_class_change)
DRIVER = kind(_driver, "ubx", cluster=True, change=_driver_change)
NODE = kind(_csi_node, "cbx", cluster=True, change=_csi_node_change)
ATTACHMENT = kind(_attachment, "cbx", cluster=True, change=_attachment_change, status=_attachment_status)
CAPACITY = kind(_capacity, "cbux", change=_capacity_change)
