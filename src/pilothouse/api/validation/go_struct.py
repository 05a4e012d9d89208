"""Values inside messages as Kubernetes' internal types show themselves.

Those have no JSON names: a field goes by its Go name, in the struct's order (which mostly is that of the protobuf numbers), and is there when it
is empty. Types of meta/v1 (label selectors, times) are the same inside and outside.
"""

from __future__ import annotations

import copy
import re
from typing import Any

import orjson

from ..fielderrors import InOrder
from ..object import Object
from ..schema import Field, Type, complete, type_of

_FIRST_WORD = re.compile(r"[a-z]+")
_INITIALISMS = set(
    "api aws cel cidr csi dns fc fs gce gmsa grpc http id ip iqn iscsi nfs os pd rbd se tcp tls tty uid url".split()
)
_CONTAINER = (
    "name image command args workingDir ports envFrom env resources resizePolicy restartPolicy restartPolicyRules volumeMounts volumeDevices "
    "livenessProbe readinessProbe startupProbe lifecycle terminationMessagePath terminationMessagePolicy imagePullPolicy securityContext "
    "stdin stdinOnce tty"
).split()
_ORDERS = {  # where it is not that of the numbers
    "core.v1.Container": _CONTAINER,
    "core.v1.EphemeralContainer": [*_CONTAINER, "targetContainerName"],
    "core.v1.PodSpec": (
        "volumes initContainers containers ephemeralContainers restartPolicy terminationGracePeriodSeconds activeDeadlineSeconds dnsPolicy "
        "nodeSelector serviceAccountName automountServiceAccountToken nodeName securityContext imagePullSecrets hostname subdomain "
        "setHostnameAsFQDN affinity schedulerName tolerations hostAliases priorityClassName priority preemptionPolicy dnsConfig readinessGates "
        "runtimeClassName overhead enableServiceLinks topologySpreadConstraints os schedulingGates resourceClaims resources hostnameOverride"
    ).split(),
    "core.v1.PodSecurityContext": (
        "seLinuxOptions windowsOptions runAsUser runAsGroup runAsNonRoot supplementalGroups supplementalGroupsPolicy fsGroup "
        "fsGroupChangePolicy sysctls seccompProfile appArmorProfile seLinuxChangePolicy"
    ).split(),
    "core.v1.SecurityContext": (
        "capabilities privileged seLinuxOptions windowsOptions runAsUser runAsGroup runAsNonRoot readOnlyRootFilesystem "
        "allowPrivilegeEscalation procMount seccompProfile appArmorProfile"
    ).split(),
    "autoscaling.v2.HPAScalingRules": "stabilizationWindowSeconds selectPolicy policies tolerance".split(),
    "core.v1.Volume": (
        "name hostPath emptyDir gcePersistentDisk awsElasticBlockStore gitRepo secret nfs iscsi glusterfs persistentVolumeClaim rbd quobyte "
        "flexVolume cinder cephfs flocker downwardAPI fc azureFile configMap vsphereVolume azureDisk photonPersistentDisk projected "
        "portworxVolume scaleIO storageos csi ephemeral image"
    ).split(),
    "core.v1.PersistentVolumeClaimSpec": (
        "accessModes selector resources volumeName storageClassName volumeMode dataSource dataSourceRef volumeAttributesClassName"
    ).split(),
    "meta.v1.OwnerReference": "apiVersion kind name uid controller blockOwnerDeletion".split(),
    "core.v1.VolumeMount": "name readOnly recursiveReadOnly mountPath subPath mountPropagation subPathExpr".split(),
}
_OF_SECURITY_CONTEXT = ("HostNetwork", "HostPID", "HostIPC", "ShareProcessNamespace", "HostUsers")
_VALUES = {
    "apps.v1.RollingUpdateDaemonSet",
    "apps.v1.RollingUpdateDeployment",
}  # which have no pointers inside
_ODD_NAMES = {
    "cephfs": "CephFS",
    "diskURI": "DataDiskURI",
    "gid": "GID",
    "pdID": "PdID",
    "sslEnabled": "SSLEnabled",
    "storageos": "StorageOS",
    "wwids": "WWIDs",
}
_ZERO = {"string": "", "int32": 0, "int64": 0, "bool": False, "number": 0, "Quantity": "0", "IntOrString": 0}


def as_go(type_: Type | str, value: Any) -> Any:
    """`type_`: of the schema, or its name there (`policy.v1.PodDisruptionBudgetSpec`)."""
    if isinstance(type_, str):
        type_ = type_of(type_)
    if value is None:
        return value
    if type_.name.startswith("meta."):  # the same inside as outside
        return complete(type_, copy.deepcopy(value))
    if type_.kind == "list":
        return [as_go(type_.element, one) for one in value] or None
    if type_.kind == "map":
        return {key: as_go(type_.element, value[key]) for key in sorted(value)} or None
    if type_.kind != "struct":
        return value
    made = InOrder()
    for field in in_order(type_):
        if field.name == "metadata":  # embedded: its members are the struct's own
            meta = value.get("metadata") or {}
            made |= {f.name: meta[f.name] for f in in_order(field.type) if f.name in meta}
        else:
            made[_go_name(field.name)] = _member(field, value.get(field.name), type_.name in _VALUES)
    return _as_internal_pod_spec(made) if type_.name == "core.v1.PodSpec" else made


def _as_internal_pod_spec(made: InOrder) -> InOrder:
    """What a pod shares with its host is inside the internal security context, and the account has one name."""
    del made["ServiceAccount"]
    moved = InOrder({name: made.pop(name) for name in _OF_SECURITY_CONTEXT})
    made["SecurityContext"] = InOrder(
        moved | (made["SecurityContext"] or as_go("core.v1.PodSecurityContext", {}))
    )
    return made


def in_order(type_: Type) -> list[Field]:
    fields = sorted(type_.fields.values(), key=lambda f: [int(n) for n in f.number.split(".")])
    order = _ORDERS.get(type_.name)
    if order is not None:  # what it does not name comes last
        fields.sort(key=lambda f: order.index(f.name) if f.name in order else len(order))
    return fields


def _member(field: Field, value: Any, no_pointer: bool) -> Any:
    if value is None and (no_pointer or field.presence != "k"):
        return as_go(field.type, {}) if field.type.kind == "struct" else _ZERO.get(field.type.kind)
    return as_go(field.type, value)


def _go_name(name: str) -> str:
    if name in _ODD_NAMES:
        return _ODD_NAMES[name]
    first = _FIRST_WORD.match(name)
    if first and first[0] in _INITIALISMS:
        return first[0].upper() + name[first.end() :]
    return name[:1].upper() + name[1:]


_POD_SPEC = (
    "volumes initContainers containers ephemeralContainers restartPolicy terminationGracePeriodSeconds activeDeadlineSeconds dnsPolicy "
    "nodeSelector serviceAccountName serviceAccount automountServiceAccountToken nodeName hostNetwork hostPID hostIPC "
    "shareProcessNamespace securityContext imagePullSecrets hostname subdomain affinity schedulerName tolerations hostAliases "
    "priorityClassName priority dnsConfig readinessGates runtimeClassName enableServiceLinks preemptionPolicy overhead "
    "topologySpreadConstraints setHostnameAsFQDN os hostUsers schedulingGates resourceClaims resources hostnameOverride"
).split()


def as_patched(type_: Type | None, value: Any, touched: Any) -> Any:
    """`value` as Go's JSON patches leave it: in the order of the structs, but by name where the patch has been. `touched`: the patch, if it
    is a merge patch; of a list of operations, the paths."""
    if isinstance(touched, list):
        touched = _paths(touched)
    if isinstance(value, list):
        element = type_.element if type_ is not None and type_.kind == "list" else None
        steps = touched if isinstance(touched, dict) else {}
        return [as_patched(element, one, steps.get(str(index))) for index, one in enumerate(value)]
    if not isinstance(value, dict):
        return value
    fields = type_.fields if type_ is not None and type_.kind == "struct" else {}
    names = sorted(value)
    if not isinstance(touched, dict):
        touched = {}
        if type_ is not None and fields:
            known = (
                _POD_SPEC if type_.name == "core.v1.PodSpec" else [field.name for field in in_order(type_)]
            )
            names = [name for name in known if name in value] + [name for name in names if name not in fields]
    element = type_.element if type_ is not None and type_.kind == "map" else None
    return {
        name: orjson.loads(orjson.dumps(value[name], option=orjson.OPT_SORT_KEYS))
        if isinstance(touched.get(name), list)  # of a merge patch, which replaces it
        else as_patched(fields[name].type if name in fields else element, value[name], touched.get(name))
        for name in names
    }


def _paths(operations: list[Any]) -> Object:
    found: Object = {}
    for operation in operations:
        inside = found
        for token in str(operation.get("path") or "").split("/")[1:-1]:
            inside = inside.setdefault(token.replace("~1", "/").replace("~0", "~"), {})
    return found
