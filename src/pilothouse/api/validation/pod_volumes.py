"""Volumes of a pod, and how its containers mount them."""

from __future__ import annotations

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from ..quantity import Quantity
from . import metadata
from .field_refs import VOLUME_FIELDS, field_ref, resource_ref
from .persistent_volumes import claim_spec
from .volume_sources import (
    PERSISTENT,
    PULL_POLICIES,
    Check,
    cinder,
    csi,
    descending,
    file_mode,
    git_repo,
    iscsi,
    key_to_path,
    local_path,
    no_backsteps,
    one_source,
    required,
    storage_os,
)

Volumes = dict[str, Object]
"""The volumes that are right, by name: what mounts may refer to."""

TOKEN_SECONDS_MIN, TOKEN_SECONDS_MAX = 600, 1 << 32


def volumes(
    errors: FieldErrors, listed: list[Object], path: str, pod_name: str = "", *, is_pod: bool = False
) -> Volumes:
    """`pod_name`: "" in templates."""
    table = _POD_SOURCES if is_pod else _TEMPLATE_SOURCES
    right: Volumes = {}
    created = {f"{pod_name}-{v.get('name')}" for v in listed if "ephemeral" in v} if pod_name else ()
    for index, volume in enumerate(listed):
        at, name, before = f"{path}[{index}]", volume.get("name") or "", len(errors)
        one_source(errors, volume, at, name, table)
        if pod_name and name and "ephemeral" in volume:
            for message in names.dns1123_subdomain(f"{pod_name}-{name}"):
                errors.invalid(f"{at}.name", name, f'PVC name "{pod_name}-{name}": {message}')
        if not name:
            errors.required(f"{at}.name")
        else:
            errors.messages(f"{at}.name", name, names.dns1123_label(name))
        if name in right:
            errors.duplicate(f"{at}.name", name)
        if len(errors) == before:
            right[name] = volume
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim and claim in created:
            why = "must not reference a PVC that gets created for an ephemeral volume"
            errors.invalid(f"{at}.persistentVolumeClaim.claimName", claim, why)
    return right


# -- sources -----------------------------------------------------------------------------------------------------------


def _empty_dir(errors: FieldErrors, source: Object, path: str, name: str) -> None:
    if source.get("sizeLimit") is not None and Quantity.of(source["sizeLimit"]).number < 0:
        errors.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _from_keys(name_field: str) -> Check:
    """secret, configMap."""

    def check(errors: FieldErrors, source: Object, path: str, name: str) -> None:
        if not source.get(name_field):
            errors.required(f"{path}.{name_field}")
        file_mode(errors, source.get("defaultMode"), f"{path}.defaultMode")
        for index, item in enumerate(source.get("items") or ()):
            key_to_path(errors, item, f"{path}.items[{index}]")

    return check


def _downward_file(errors: FieldErrors, file: Object, path: str) -> None:
    if not file.get("path"):
        errors.required(f"{path}.path")
    local_path(errors, file.get("path") or "", f"{path}.path")
    if file.get("fieldRef") is not None:
        field_ref(errors, file["fieldRef"], f"{path}.fieldRef", VOLUME_FIELDS)
        if file.get("resourceFieldRef") is not None:
            why = "fieldRef and resourceFieldRef can not be specified simultaneously"
            errors.invalid(path, "resource", why)
    elif file.get("resourceFieldRef") is not None:
        resource_ref(errors, file["resourceFieldRef"], f"{path}.resourceFieldRef", in_volume=True)
    else:
        errors.required(path, "one of fieldRef and resourceFieldRef is required")
    file_mode(errors, file.get("mode"), f"{path}.mode")


def _downward(errors: FieldErrors, source: Object, path: str, name: str) -> None:
    file_mode(errors, source.get("defaultMode"), f"{path}.defaultMode")
    for file in source.get("items") or ():
        _downward_file(errors, file, path)


def _projected(errors: FieldErrors, source: Object, path: str, name: str) -> None:
    file_mode(errors, source.get("defaultMode"), f"{path}.defaultMode")
    paths: set[str] = set()

    def once(file_path: str | None, shown: str | None) -> None:
        if file_path and file_path in paths:
            errors.invalid(path, shown or "", "conflicting duplicate paths")
        elif file_path:
            paths.add(file_path)

    for index, part in enumerate(source.get("sources") or ()):
        at = f"{path}.sources[{index}]"
        for kind in ("secret", "configMap"):
            keys = part.get(kind)
            if keys is None:
                continue
            if not keys.get("name"):
                errors.required(f"{at}.{kind}.name")
            for number, item in enumerate(keys.get("items") or ()):
                key_to_path(errors, item, f"{at}.{kind}.items[{number}]")
                once(item.get("path"), keys.get("name"))
        for file in (part.get("downwardAPI") or {}).get("items") or ():
            _downward_file(errors, file, f"{at}.downwardAPI")
            once(file.get("path"), file.get("path"))
        token = part.get("serviceAccountToken")
        if token is not None:
            _token(errors, token, f"{at}.serviceAccountToken", path)
        if len(part) > 1 and sum(part.get(k) is not None for k in _PROJECTIONS) > 1:
            errors.forbidden(at, "may not specify more than 1 volume type per source")


_PROJECTIONS = ("secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate")  # fmt: skip


def _token(errors: FieldErrors, token: Object, path: str, volume_path: str) -> None:
    seconds = token.get("expirationSeconds") or 0
    if seconds < TOKEN_SECONDS_MIN:
        errors.invalid(
            f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"
        )
    if seconds > TOKEN_SECONDS_MAX:
        why = "may not specify a duration larger than 2^32 seconds"
        errors.invalid(f"{path}.expirationSeconds", seconds, why)
    if not token.get("path"):
        errors.required(f"{volume_path}.path")
    else:
        local_path(errors, token["path"], f"{volume_path}.path")


def _ephemeral(errors: FieldErrors, source: Object, path: str, name: str) -> None:
    template = source.get("volumeClaimTemplate")
    if template is None:
        errors.required(f"{path}.volumeClaimTemplate")
        return
    path = f"{path}.volumeClaimTemplate"
    meta = template.get("metadata") or {}
    metadata.annotations(errors, meta.get("annotations"), f"{path}.metadata.annotations")
    metadata.labels(errors, meta.get("labels"), f"{path}.metadata.labels")
    for field in _META_FIELDS:
        if meta.get(field):
            errors.forbidden(f"{path}.metadata.{field}", "cannot be set")
    claim_spec(errors, template.get("spec") or {}, f"{path}.spec")


_META_FIELDS = (
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "ownerReferences",
    "finalizers",
    "managedFields",
)


def _image_in_template(errors: FieldErrors, source: Object, path: str, name: str) -> None:
    errors.choice(f"{path}.pullPolicy", source.get("pullPolicy"), PULL_POLICIES)


def _image(errors: FieldErrors, source: Object, path: str, name: str) -> None:
    if not source.get("reference"):
        errors.required(f"{path}.reference")
    _image_in_template(errors, source, path, name)


_OWN: dict[str, Check] = {
    "emptyDir": _empty_dir,
    "gitRepo": git_repo,
    "secret": _from_keys("secretName"),
    "iscsi": iscsi,
    "glusterfs": required("endpoints", "path"),
    "persistentVolumeClaim": required("claimName"),
    "cinder": cinder,
    "downwardAPI": _downward,
    "configMap": _from_keys("name"),
    "azureFile": required("secretName", "shareName"),
    "storageos": storage_os,
    "projected": _projected,
    "csi": csi,
    "ephemeral": _ephemeral,
    "image": _image,
}
_ORDER = (
    "emptyDir hostPath gitRepo gcePersistentDisk awsElasticBlockStore secret nfs iscsi glusterfs flocker persistentVolumeClaim rbd cinder "
    "cephfs quobyte downwardAPI fc flexVolume configMap azureFile vsphereVolume photonPersistentDisk portworxVolume azureDisk storageos "
    "projected scaleIO csi ephemeral image"
)
_POD_SOURCES = {n: (n, _OWN[n]) if n in _OWN else PERSISTENT[n] for n in _ORDER.split()}
_TEMPLATE_SOURCES = _POD_SOURCES | {"image": ("image", _image_in_template)}


# -- mounts ------------------------------------------------------------------------------------------------------------


def mounts(errors: FieldErrors, container: Object, known: Volumes, path: str) -> None:
    """`volumeMounts` and `volumeDevices` of one container."""
    if not container.get("volumeMounts") and not container.get("volumeDevices"):
        return
    devices = {d.get("name") or "": d.get("devicePath") or "" for d in container.get("volumeDevices") or ()}
    mounted = {m.get("name") or "": m.get("mountPath") or "" for m in container.get("volumeMounts") or ()}
    seen: set[str] = set()
    all_mounts = f"{path}.volumeMounts"
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        at, name, where = f"{all_mounts}[{index}]", mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            errors.required(f"{at}.name")
        if name not in known:
            errors.not_found(f"{at}.name", name)
        if not where:
            errors.required(f"{at}.mountPath")
        if where in seen:
            errors.invalid(f"{at}.mountPath", where, "must be unique")
        seen.add(where)
        if name in devices:
            errors.invalid(f"{at}.name", name, "must not already exist in volumeDevices")
        if devices and where in devices.values():
            errors.invalid(f"{at}.mountPath", where, "must not already exist as a path in volumeDevices")
        sub_path, expression = mount.get("subPath"), mount.get("subPathExpr")
        if sub_path:
            descending(errors, sub_path, f"{all_mounts}.subPath")
        if expression:
            if sub_path:
                why = "subPathExpr and subPath are mutually exclusive"
                errors.invalid(f"{at}.subPathExpr", expression, why)
            descending(errors, expression, f"{all_mounts}.subPathExpr")
        _propagation(errors, mount, container, all_mounts)
    if container.get("volumeDevices"):
        _devices(errors, container["volumeDevices"], mounted, known, f"{path}.volumeDevices")


def _propagation(errors: FieldErrors, mount: Object, container: Object, path: str) -> None:
    mode, recursive = mount.get("mountPropagation"), mount.get("recursiveReadOnly")
    if mode is not None:
        allowed = ("Bidirectional", "HostToContainer", "None")
        if mode not in allowed:
            errors.not_supported(f"{path}.mountPropagation", mode, allowed)
        if mode == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
            why = "Bidirectional mount propagation is available only to privileged containers"
            errors.forbidden(f"{path}.mountPropagation", why)
    if recursive in ("Enabled", "IfPossible"):
        if not mount.get("readOnly"):
            errors.forbidden(f"{path}.recursiveReadOnly", "may only be specified when readOnly is true")
        if mode not in (None, "None"):
            why = "may only be specified when mountPropagation is None or not specified"
            errors.forbidden(f"{path}.recursiveReadOnly", why)
    elif recursive not in (None, "Disabled"):
        errors.not_supported(f"{path}.recursiveReadOnly", recursive, ("Disabled", "Enabled", "IfPossible"))


def _devices(
    errors: FieldErrors, devices: list[Object], mounted: dict[str, str], known: Volumes, path: str
) -> None:
    seen_names: set[str] = set()
    seen_paths: set[str] = set()
    for index, device in enumerate(devices):
        at, name, where = f"{path}[{index}]", device.get("name") or "", device.get("devicePath") or ""
        volume = known.get(name)
        if not name:
            errors.required(f"{at}.name")
        if name in seen_names:
            errors.invalid(f"{at}.name", name, "must be unique")
        if volume is None:
            errors.not_found(f"{at}.name", name)
        elif "persistentVolumeClaim" not in volume and "ephemeral" not in volume:
            why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            errors.invalid(f"{at}.name", name, why)
        if not where:
            errors.required(f"{at}.devicePath")
        if where in seen_paths:
            errors.invalid(f"{at}.devicePath", where, "must be unique")
        backsteps = FieldErrors()
        no_backsteps(backsteps, where, "")
        if backsteps:
            errors.invalid(f"{at}.devicePath", where, "can not contain backsteps ('..')")
        else:
            seen_paths.add(where)
        if name in mounted:
            errors.invalid(f"{at}.name", name, "must not already exist in volumeMounts")
        if where in mounted.values():
            errors.invalid(f"{at}.devicePath", where, "must not already exist as a path in volumeMounts")
        if name:
            seen_names.add(name)
