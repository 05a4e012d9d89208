"""What a volume may be made of: one check for each source, for pods' volumes and for PersistentVolumes.

`check(errors, source, path, name)`; `name` is the volume's. Where a PersistentVolume's source differs, its check has `persistent` in its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object

FILE_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_PARTITION = "must be between 1 and 255, inclusive"
_HOST_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*):[^:\[\]]*")
_ISCSI = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9-.]+)(:[^,;*&$|\s]+)$"),
    "eui": re.compile(r"^eui.[A-Za-z0-9]{16}$"),
    "naa": re.compile(r"^naa.[A-Za-z0-9]{32}$"),
}
_HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
PULL_POLICIES = ("Always", "IfNotPresent", "Never")

Check = Callable[[FieldErrors, Object, str, str], None]


# -- paths and modes ---------------------------------------------------------------------------------------------------


def no_backsteps(errors: FieldErrors, value: str, path: str) -> None:
    if ".." in value and ".." in value.split("/"):
        errors.invalid(path, value, "must not contain '..'")


def descending(errors: FieldErrors, value: str, path: str) -> None:
    """A path that stays below where it starts."""
    if value.startswith("/"):
        errors.invalid(path, value, "must be a relative path")
    no_backsteps(errors, value, path)


def local_path(errors: FieldErrors, value: str, path: str) -> None:
    descending(errors, value, path)
    if value.startswith("..") and not value.startswith("../"):
        errors.invalid(path, value, "must not start with '..'")


def file_mode(errors: FieldErrors, mode: int | None, path: str) -> None:
    if mode is not None and not 0 <= mode <= 0o777:
        errors.invalid(path, mode, FILE_MODE)


def key_to_path(errors: FieldErrors, item: Object, path: str) -> None:
    _required(errors, item, path, "key", "path")
    local_path(errors, item.get("path") or "", f"{path}.path")
    file_mode(errors, item.get("mode"), f"{path}.mode")


# -- sources -----------------------------------------------------------------------------------------------------------


def _required(errors: FieldErrors, source: Object, path: str, *fields: str) -> None:
    for field in fields:
        if not source.get(field):
            errors.required(f"{path}.{field}")


def required(*fields: str) -> Check:
    return lambda errors, source, path, name: _required(errors, source, path, *fields)


def host_path(errors: FieldErrors, source: Object, path: str, name: str) -> None:
    if not source.get("path"):
        errors.required(f"{path}.path")
        return
    no_backsteps(errors, source["path"], f"{path}.path")
    if source.get("type") is not None and source["type"] not in _HOST_PATH_TYPES:
        errors.not_supported(f"{path}.type", source["type"], _HOST_PATH_TYPES)


def local(errors: FieldErrors, source: Object, path: str, name: str) -> None:
    if not source.get("path"):
        errors.required(f"{path}.path")
    else:
        no_backsteps(errors, source["path"], f"{path}.path")


def git_repo(errors: FieldErrors, source: Object, path: str, name: str) -> None:
    _required(errors, source, path, "repository")
    descending(errors, source.get("directory") or "", f"{path}.directory")


def _disk(id_field: str) -> Check:
    def check(errors: FieldErrors, source: Object, path: str, name: str) -> None:
        _required(errors, source, path, id_field)
        if not 0 <= (source.get("partition") or 0) <= 255:
            errors.invalid(f"{path}.partition", source["partition"], _PARTITION)

    return check


gce_disk, aws_disk = _disk("pdName"), _disk("volumeID")


def nfs(errors: FieldErrors, source: Object, path: str, name: str) -> None:
    _required(errors, source, path, "server", "path")
    if not (source.get("path") or "").startswith("/"):
        errors.invalid(f"{path}.path", source.get("path") or "", "must be an absolute path")


def _iscsi_name(errors: FieldErrors, value: str, path: str, hint: str) -> None:
    pattern = _ISCSI.get(value[:3])
    if pattern is None:
        errors.invalid(path, value, f"must be valid format{hint}")
    elif not pattern.search(value):
        errors.invalid(path, value, "must be valid format")


def _iscsi(errors: FieldErrors, source: Object, path: str, hint: str, length_field: str, name: str) -> None:
    portal = source.get("targetPortal") or ""
    _required(errors, source, path, "targetPortal")
    too_long = source.get("initiatorName") is not None and len(f"{name}:{portal}") > 64
    why = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified."
    if too_long and length_field == "targetportal":
        errors.invalid(f"{path}.targetportal", portal, why)
    _required(errors, source, path, "iqn")
    if source.get("iqn"):
        _iscsi_name(errors, source["iqn"], f"{path}.iqn", hint)
    lun = source.get("lun") or 0
    errors.messages(f"{path}.lun", lun, names.in_range(lun, 0, 255))
    secret = source.get("secretRef")
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and secret is None:
        errors.required(f"{path}.secretRef")
    if length_field == "targetportal" and secret is not None and not secret.get("name"):
        errors.required(f"{path}.secretRef.name")
    if source.get("initiatorName") is not None:
        _iscsi_name(errors, source["initiatorName"], f"{path}.initiatorname", hint)
    if too_long and length_field == "name":
        errors.invalid(f"{path.rpartition('.')[0]}.name", name, why)


def iscsi(errors: FieldErrors, source: Object, path: str, name: str) -> None:
    _iscsi(errors, source, path, " starting with iqn, eui, or naa", "name", name)


def persistent_iscsi(errors: FieldErrors, source: Object, path: str, name: str) -> None:
    _iscsi(errors, source, path, "", "targetportal", name)


def fibre_channel(errors: FieldErrors, source: Object, path: str, name: str) -> None:
    targets, ids = source.get("targetWWNs"), source.get("wwids")
    if not targets and not ids:
        errors.required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both")
    if targets and ids:
        errors.invalid(
            f"{path}.targetWWNs", targets, "targetWWNs and wwids can not be specified simultaneously"
        )
    if targets:
        lun = source.get("lun")
        if lun is None:
            errors.required(f"{path}.lun", "lun is required if targetWWNs is specified")
        else:
            errors.messages(f"{path}.lun", lun, names.in_range(lun, 0, 255))


def persistent_glusterfs(errors: FieldErrors, source: Object, path: str, name: str) -> None:
    _required(errors, source, path, "endpoints", "path")
    namespace = source.get("endpointsNamespace")
    if namespace == "":
        why = "if the endpointnamespace is set, it must be a valid namespace name"
        errors.invalid(f"{path}.endpointsNamespace", "", why)
    elif namespace is not None:
        errors.messages(f"{path}.endpointsNamespace", namespace, names.dns1123_label(namespace))


def flocker(errors: FieldErrors, source: Object, path: str, name: str) -> None:
    dataset, uuid = source.get("datasetName") or "", source.get("datasetUUID")
    if not dataset and not uuid:
        errors.required(path, "one of datasetName and datasetUUID is required")
    if dataset and uuid:
        errors.invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously")
    if "/" in dataset:
        errors.invalid(f"{path}.datasetName", dataset, "must not contain '/'")


def quobyte(errors: FieldErrors, source: Object, path: str, name: str) -> None:
    registry = source.get("registry") or ""
    pairs = "must be a host:port pair or multiple pairs separated by commas"
    if not registry:
        errors.required(f"{path}.registry", pairs)
    elif len(source.get("tenant") or "") >= 65:
        errors.required(f"{path}.tenant", "must be a UUID and may not exceed a length of 64 characters")
    else:
        for pair in registry.split(","):
            if not _HOST_PORT.fullmatch(pair):
                errors.invalid(f"{path}.registry", registry, pairs)
    _required(errors, source, path, "volume")


def _secret_reference(*fields: str) -> Check:
    def check(errors: FieldErrors, source: Object, path: str, name: str) -> None:
        if source.get("secretRef") is not None:
            _required(errors, source["secretRef"], f"{path}.secretRef", *fields)

    return check


_named, _named_with_namespace = _secret_reference("name"), _secret_reference("name", "namespace")


def _cinder(secret: Check) -> Check:
    def check(errors: FieldErrors, source: Object, path: str, name: str) -> None:
        _required(errors, source, path, "volumeID")
        secret(errors, source, path, name)

    return check


cinder, persistent_cinder = _cinder(_named), _cinder(_named_with_namespace)


def _storage_os(secret: Check) -> Check:
    def check(errors: FieldErrors, source: Object, path: str, name: str) -> None:
        _required(errors, source, path, "volumeName")
        for field in ("volumeName", "volumeNamespace"):
            if source.get(field):
                errors.messages(f"{path}.{field}", source[field], names.dns1123_label(source[field]))
        secret(errors, source, path, name)

    return check


storage_os, persistent_storage_os = _storage_os(_named), _storage_os(_named_with_namespace)


def flex_volume(errors: FieldErrors, source: Object, path: str, name: str) -> None:
    _required(errors, source, path, "driver")
    for key in source.get("options") or ():
        if f".{key.partition('/')[0].lower()}".endswith((".kubernetes.io", ".k8s.io")):
            errors.invalid(f"{path}.options[{key}]", key, "kubernetes.io and k8s.io namespaces are reserved")


def persistent_azure_file(errors: FieldErrors, source: Object, path: str, name: str) -> None:
    _required(errors, source, path, "secretName", "shareName")
    if source.get("secretNamespace") == "":
        errors.required(f"{path}.secretNamespace")


def azure_disk(errors: FieldErrors, source: Object, path: str, name: str) -> None:
    _required(errors, source, path, "diskName", "diskURI")
    kind, uri = source.get("kind"), source.get("diskURI") or ""
    caching = ("None", "ReadOnly", "ReadWrite")
    if source.get("cachingMode") is not None and source["cachingMode"] not in caching:
        errors.not_supported(f"{path}.cachingMode", source["cachingMode"], caching)
    kinds = ("Dedicated", "Managed", "Shared")
    if kind is not None and kind not in kinds:
        errors.not_supported(f"{path}.kind", kind, kinds)
    managed = (
        "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
    )
    blob = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        errors.not_supported(f"{path}.diskURI", uri, (managed,))
    if kind is not None and kind != "Managed" and not uri.startswith("https://"):
        errors.not_supported(f"{path}.diskURI", uri, (blob,))


def csi_driver_name(errors: FieldErrors, driver: str, path: str) -> None:
    if not driver:
        errors.required(path)
        return
    if len(driver) > 63:
        errors.too_long(path, 63)
    errors.messages(path, driver, names.dns1123_subdomain(driver.lower()))


def csi(errors: FieldErrors, source: Object, path: str, name: str) -> None:
    csi_driver_name(errors, source.get("driver") or "", f"{path}.driver")
    reference = source.get("nodePublishSecretRef")
    if reference is not None:
        if not reference.get("name"):
            errors.required(f"{path}.nodePublishSecretRef.name")
        else:
            errors.messages(f"{path}.name", reference["name"], names.dns1123_subdomain(reference["name"]))


def persistent_csi(errors: FieldErrors, source: Object, path: str, name: str) -> None:
    csi_driver_name(errors, source.get("driver") or "", f"{path}.driver")
    _required(errors, source, path, "volumeHandle")
    for field in (
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ):
        reference = source.get(field)
        if reference is not None:
            for part, rule in (("name", names.dns1123_subdomain), ("namespace", names.dns1123_label)):
                if not reference.get(part):
                    errors.required(f"{path}.{field}.{part}")
                else:
                    errors.messages(f"{path}.{field}.{part}", reference[part], rule(reference[part]))


PERSISTENT: dict[str, tuple[str, Check]] = {
    "hostPath": ("hostPath", host_path),
    "gcePersistentDisk": ("persistentDisk", gce_disk),
    "awsElasticBlockStore": ("awsElasticBlockStore", aws_disk),
    "glusterfs": ("glusterfs", persistent_glusterfs),
    "flocker": ("flocker", flocker),
    "nfs": ("nfs", nfs),
    "rbd": ("rbd", required("monitors", "image")),
    "quobyte": ("quobyte", quobyte),
    "cephfs": ("cephfs", required("monitors")),
    "iscsi": ("iscsi", persistent_iscsi),
    "cinder": ("cinder", persistent_cinder),
    "fc": ("fc", fibre_channel),
    "flexVolume": ("flexVolume", flex_volume),
    "azureFile": ("azureFile", persistent_azure_file),
    "vsphereVolume": ("vsphereVolume", required("volumePath")),
    "photonPersistentDisk": ("photonPersistentDisk", required("pdID")),
    "portworxVolume": ("portworxVolume", required("volumeID")),
    "azureDisk": ("azureDisk", azure_disk),
    "scaleIO": ("scaleIO", required("gateway", "system", "volumeName")),
    "local": ("local", local),
    "storageos": ("storageos", persistent_storage_os),
    "csi": ("csi", persistent_csi),
}
"""Of a PersistentVolume, in the order in which they are looked at: (the path of what is wrong, the check)."""

FORBIDDEN_NAMES = {"cephfs": "cephFS", "downwardAPI": "downwarAPI"}
"""What Kubernetes calls a source that is one too many, where it is not its name."""


def one_source(
    errors: FieldErrors,
    holder: Object,
    path: str,
    name: str,
    table: dict[str, tuple[str, Check]],
    always: tuple[str, ...] = (),
) -> None:
    """Exactly one of the table's sources, and that one right. `always`: sources that do not count as one too many."""
    given = [field for field in holder if field in table]
    if not given:
        errors.required(path, "must specify a volume type")
        return
    if len(given) > 1:
        given = [field for field in table if field in given]
    for index, field in enumerate(given):
        if index and field not in always:
            errors.forbidden(
                f"{path}.{FORBIDDEN_NAMES.get(field, field)}", "may not specify more than 1 volume type"
            )
        else:
            at, check = table[field]
            check(errors, holder[field], f"{path}.{at}", name)
