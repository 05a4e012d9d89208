"""`describe` of volumes, claims and storage classes; and the sources of volumes, one row a type."""

from __future__ import annotations

from typing import Any

from ..api.object import Object, annotations_of, get, is_deleting, labels_of, name_of, namespace_of
from .describe_writer import View, Writer, format_labels
from .jsonpath import go_text
from .timing import rfc1123, since

CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
DEFAULT_ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}

# field | type as shown | rows LABEL=key: with ! a bool, with # a number, with ? a pointer and what it shows when it is none
SOURCES = {
    field: (type_, rows.split())
    for field, type_, rows in (
        line.split(" | ")
        for line in """\
hostPath | HostPath (bare host directory volume) | Path=path HostPathType=type?none
emptyDir | EmptyDir (a temporary directory that shares a pod's lifetime) | Medium=medium SizeLimit=sizeLimit?unset
gcePersistentDisk | GCEPersistentDisk (a Persistent Disk resource in Google Compute Engine) | PDName=pdName FSType=fsType Partition=partition# ReadOnly=readOnly!
awsElasticBlockStore | AWSElasticBlockStore (a Persistent Disk resource in AWS) | VolumeID=volumeID FSType=fsType Partition=partition# ReadOnly=readOnly!
gitRepo | GitRepo (a volume that is pulled from git when the pod is created) | Repository=repository Revision=revision
secret | Secret (a volume populated by a Secret) | SecretName=secretName Optional=optional!
configMap | ConfigMap (a volume populated by a ConfigMap) | Name=name Optional=optional!
nfs | NFS (an NFS mount that lasts the lifetime of a pod) | Server=server Path=path ReadOnly=readOnly!
iscsi | ISCSI (an ISCSI Disk resource that is attached to a kubelet's host machine and then exposed to the pod) | TargetPortal=targetPortal IQN=iqn Lun=lun# ISCSIInterface=iscsiInterface FSType=fsType ReadOnly=readOnly! Portals=portals DiscoveryCHAPAuth=chapAuthDiscovery! SessionCHAPAuth=chapAuthSession! SecretRef=secretRef? InitiatorName=initiatorName?none
glusterfs | Glusterfs (a Glusterfs mount on the host that shares a pod's lifetime) | EndpointsName=endpoints Path=path ReadOnly=readOnly!
persistentVolumeClaim | PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace) | ClaimName=claimName ReadOnly=readOnly!
rbd | RBD (a Rados Block Device mount on the host that shares a pod's lifetime) | CephMonitors=monitors RBDImage=image FSType=fsType RBDPool=pool RadosUser=user Keyring=keyring SecretRef=secretRef? ReadOnly=readOnly!
quobyte | Quobyte (a Quobyte mount on the host that shares a pod's lifetime) | Registry=registry Volume=volume ReadOnly=readOnly!
azureDisk | AzureDisk (an Azure Data Disk mount on the host and bind mount to the pod) | DiskName=diskName DiskURI=diskURI Kind=kind FSType=fsType CachingMode=cachingMode ReadOnly=readOnly!
vsphereVolume | vSphereVolume (a Persistent Disk resource in vSphere) | VolumePath=volumePath FSType=fsType StoragePolicyName=storagePolicyName
cinder | Cinder (a Persistent Disk resource in OpenStack) | VolumeID=volumeID FSType=fsType ReadOnly=readOnly! SecretRef=secretRef?
photonPersistentDisk | PhotonPersistentDisk (a Persistent Disk resource in photon platform) | PdID=pdID FSType=fsType
scaleIO | ScaleIO (a persistent volume backed by a block device in ScaleIO) | Gateway=gateway System=system Protection_Domain=protectionDomain Storage_Pool=storagePool Storage_Mode=storageMode VolumeName=volumeName FSType=fsType ReadOnly=readOnly!
storageos | StorageOS (a StorageOS Persistent Disk resource) | VolumeName=volumeName VolumeNamespace=volumeNamespace FSType=fsType ReadOnly=readOnly!
portworxVolume | PortworxVolume (a Portworx Volume resource) | VolumeID=volumeID
cephfs | CephFS (a CephFS mount on the host that shares a pod's lifetime) | Monitors=monitors Path=path User=user SecretFile=secretFile SecretRef=secretRef? ReadOnly=readOnly!
fc | FC (a Fibre Channel disk) | TargetWWNs=targetWWNs, LUN=lun?none FSType=fsType ReadOnly=readOnly!
azureFile | AzureFile (an Azure File Service mount on the host and bind mount to the pod) | SecretName=secretName ShareName=shareName ReadOnly=readOnly!
flexVolume | FlexVolume (a generic volume resource that is provisioned/attached using an exec based plugin) | Driver=driver FSType=fsType SecretRef=secretRef? ReadOnly=readOnly! Options=options
flocker | Flocker (a Flocker volume mounted by the Flocker agent) | DatasetName=datasetName DatasetUUID=datasetUUID
local | LocalVolume (a persistent volume backed by local storage on a node) | Path=path
csi | CSI (a Container Storage Interface (CSI) volume source) | Driver=driver FSType=fsType ReadOnly=readOnly!
image | Image (a container image or OCI artifact) | Reference=reference PullPolicy=pullPolicy
""".splitlines()
    )
}


def write_source(w: Writer, volume: Object, *, persistent: bool = False) -> None:
    """Where a volume's data comes from."""
    field = next((key for key in SOURCES if volume.get(key) is not None), "")
    if not field:
        w.line(1, "<unknown>")
        return
    type_, rows = SOURCES[field]
    source = volume[field]
    w(2, "Type", type_)
    if field == "csi" and persistent:
        rows = [*rows[:2], "VolumeHandle=volumeHandle", *rows[2:]]
    for row in rows:
        label, _, key = row.replace("_", " ").partition("=")
        colon = "" if label == "ISCSIInterface" else ":"  # as kubectl has it
        w.line(2, f"{label}{colon}\t{go_text(_value(source, key))}")
    if field == "csi":
        lines = [f"{key}={value}" for key, value in sorted((source.get("volumeAttributes") or {}).items())]
        if not lines:
            w.line(2, "VolumeAttributes:\t<none>")
        for index, line in enumerate(lines):
            line = line[:140] + "..." if len(line) > 140 else line
            w.raw(f"    VolumeAttributes:\t    {line}\n" if index == 0 else f"        \t    {line}\n")


def _value(source: Object, key: str) -> Any:
    name, _, absent = key.partition("?")
    if name.endswith("!"):
        return bool(source.get(name[:-1]))
    if name.endswith("#"):
        return source.get(name[:-1], 0)
    if name.endswith(","):
        return ", ".join(source.get(name[:-1]) or [])
    value = source.get(name)
    if name == "secretRef":
        reference: Object = value or {}
        kind = "SecretReference" if "namespace" in reference else "LocalObjectReference"
        fields = "".join(
            f"{key.capitalize()}:{reference[key]}," for key in ("name", "namespace") if key in reference
        )
        return f"&{kind}{{{fields}}}" if reference else "nil"
    if "?" in key and (value is None or (name == "sizeLimit" and value == "0")):
        return f"<{absent or 'nil'}>"
    if name in ("monitors", "portals"):
        return value or []
    if name == "options":
        return value or {}
    return "" if value is None else value


async def claim(w: Writer, obj: Object, view: View) -> None:
    write_claim(w, obj, whole=True, now=view.now)
    pods = await view.list("pods", namespace_of(obj))
    owners = {
        owner["uid"] for owner in obj["metadata"].get("ownerReferences") or () if owner["kind"] == "Pod"
    }
    users = [
        name_of(pod)
        for pod in pods
        if pod["metadata"]["uid"] in owners
        or any(
            get(v, "persistentVolumeClaim.claimName") == name_of(obj)
            for v in pod["spec"].get("volumes") or ()
        )
    ]
    w.many("Used By", sorted(users))
    conditions = get(obj, "status.conditions") or []
    if conditions:
        w.line(0, "Conditions:")
        w.line(1, "Type\tStatus\tLastProbeTime\tLastTransitionTime\tReason\tMessage")
        w.line(1, "----\t------\t-----------------\t------------------\t------\t-------")
        for each in conditions:
            times = " \t".join(rfc1123(each.get(key)) for key in ("lastProbeTime", "lastTransitionTime"))
            w.line(
                1,
                f"{each['type']} \t{each['status']} \t{times} \t{each.get('reason') or ''} \t{each.get('message') or ''}",
            )
    await view.events(w)


def write_claim(w: Writer, obj: Object, *, whole: bool, now: float = 0) -> None:
    """`whole`: a claim; else the template of one."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    if whole:
        w(0, "Name", name_of(obj))
        w(0, "Namespace", namespace_of(obj))
    w(0, "StorageClass", storage_class_of(obj))
    if whole:
        deleted = obj["metadata"].get("deletionTimestamp")
        w(0, "Status", f"Terminating (lasts {since(deleted, now)})" if deleted else status.get("phase") or "")
    w(0, "Volume", spec.get("volumeName") or "")
    w.labels("Labels", labels_of(obj))
    w.annotations("Annotations", annotations_of(obj))
    if whole:
        w(0, "Finalizers", obj["metadata"].get("finalizers") or [])
    bound = bool(spec.get("volumeName"))
    w(0, "Capacity", get(status, "capacity.storage", "0") if bound else "")
    w(0, "Access Modes", modes(status.get("accessModes")) if bound else "")
    if spec.get("volumeMode"):
        w(0, "VolumeMode", spec["volumeMode"])
    if source := spec.get("dataSource"):
        w.line(0, "DataSource:")
        if source.get("apiGroup") is not None:
            w(1, "APIGroup", source["apiGroup"])
        w(1, "Kind", source.get("kind"))
        w(1, "Name", source.get("name"))


def storage_class_of(obj: Object) -> str:
    beta = annotations_of(obj).get(CLASS_ANNOTATION)
    return beta if beta is not None else get(obj, "spec.storageClassName") or ""


def modes(listed: list[str] | None) -> str:
    return ",".join(short for mode, short in MODES.items() if mode in (listed or ()))


async def persistent_volume(w: Writer, obj: Object, view: View) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    w.head(obj, namespace=False)
    w(0, "Finalizers", obj["metadata"].get("finalizers") or [])
    w(0, "StorageClass", storage_class_of(obj))
    deleted = obj["metadata"].get("deletionTimestamp")
    w(
        0,
        "Status",
        f"Terminating (lasts {since(deleted, view.now)})" if is_deleting(obj) else status.get("phase") or "",
    )
    reference = spec.get("claimRef")
    w(0, "Claim", f"{reference.get('namespace') or ''}/{reference.get('name') or ''}" if reference else "")
    w(0, "Reclaim Policy", spec.get("persistentVolumeReclaimPolicy") or "")
    w(0, "Access Modes", modes(spec.get("accessModes")))
    if spec.get("volumeMode"):
        w(0, "VolumeMode", spec["volumeMode"])
    w(0, "Capacity", get(spec, "capacity.storage", "0"))
    _affinity(w, get(spec, "nodeAffinity.required"))
    w(0, "Message", status.get("message") or "")
    w.line(0, "Source:")
    write_source(w, spec, persistent=True)
    await view.events(w)


def _affinity(w: Writer, required: Object | None) -> None:
    if not required:
        w(0, "Node Affinity", "<none>")
        return
    w(0, "Node Affinity")
    terms = required.get("nodeSelectorTerms") or []
    w(1, "Required Terms", "" if terms else "<none>")
    for index, term in enumerate(terms):
        _requirements(w, 2, f"Term {index}", term.get("matchExpressions") or [])


def _requirements(w: Writer, level: int, title: str, needs: list[Object]) -> None:
    lines = []
    for need in needs:
        values = f" [{', '.join(need['values'])}]" if need.get("values") else ""
        lines.append(f"{need['key']} {(need.get('operator') or 'in').lower()}{values}")
    for index, line in enumerate(lines or ["<none>"]):
        w.line(level, f"{title}:\t{line}" if index == 0 else f"\t{line}")


async def storage_class(w: Writer, obj: Object, view: View) -> None:
    annotations = annotations_of(obj)
    w(0, "Name", name_of(obj))
    w(
        0,
        "IsDefaultClass",
        "Yes" if any(annotations.get(key) == "true" for key in DEFAULT_ANNOTATIONS) else "No",
    )
    w(0, "Annotations", format_labels(annotations))
    w(0, "Provisioner", obj.get("provisioner") or "")
    w(0, "Parameters", format_labels(obj.get("parameters")))
    expansion = obj.get("allowVolumeExpansion")
    w(0, "AllowVolumeExpansion", "<unset>" if expansion is None else str(expansion))
    options = obj.get("mountOptions") or []
    w.line(0, "MountOptions:" + ("" if options else "\t<none>"))
    for option in options:
        w.line(1, option)
    for label, key in (("ReclaimPolicy", "reclaimPolicy"), ("VolumeBindingMode", "volumeBindingMode")):
        if obj.get(key):
            w(0, label, obj[key])
    if (topologies := obj.get("allowedTopologies")) is not None:
        w(0, "AllowedTopologies", "" if topologies else "<none>")
        for index, term in enumerate(topologies):
            _requirements(w, 1, f"Term {index}", term.get("matchLabelExpressions") or [])
    await view.events(w)


async def attributes_class(w: Writer, obj: Object, view: View) -> None:
    w(0, "Name", name_of(obj))
    w(0, "Annotations", format_labels(annotations_of(obj)))
    w(0, "DriverName", obj.get("driverName") or "")
    w(0, "Parameters", format_labels(obj.get("parameters")))
    await view.events(w)


async def csi_node(w: Writer, obj: Object, view: View) -> None:
    w.head(obj, namespace=False)
    w(0, "CreationTimestamp", rfc1123(obj["metadata"].get("creationTimestamp")))
    w.line(0, "Spec:")
    if (drivers := get(obj, "spec.drivers")) is not None:
        w.line(1, "Drivers:")
        for driver in drivers:
            w.line(2, f"{driver['name']}:")
            w(3, "Node ID", driver.get("nodeID") or "")
            if (count := get(driver, "allocatable.count")) is not None:
                w.line(3, "Allocatables:")
                w(4, "Count", count)
            if driver.get("topologyKeys") is not None:
                w(3, "Topology Keys", driver["topologyKeys"])
    await view.events(w)
