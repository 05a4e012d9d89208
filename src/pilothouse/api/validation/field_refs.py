"""References of the downward API: to a field of the pod, to a resource of a container."""

from __future__ import annotations

import re

from ..fielderrors import FieldErrors
from ..object import Object
from ..quantity import Quantity
from .metadata import qualified_name

ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
VOLUME_FIELDS = (
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
)
_KNOWN = {*ENV_FIELDS, *VOLUME_FIELDS, "spec.schedulerName", "spec.restartPolicy", "status.phase"}
_OLD_NAME = {"spec.host": "spec.nodeName"}
_SUBSCRIPTED = re.compile(r"(.+?)\['(.*)'\]", re.DOTALL)
_RESOURCES = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_BYTES = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_DIVISORS = {"memory": "memory", "ephemeral-storage": "local ephemeral storage"}


def field_ref(errors: FieldErrors, ref: Object, path: str, allowed: tuple[str, ...]) -> None:
    label = ref.get("fieldPath") or ""
    if not ref.get("apiVersion"):
        errors.required(f"{path}.apiVersion")
        return
    if not label:
        errors.required(f"{path}.fieldPath")
        return
    problem, label = "", _OLD_NAME.get(label, label)
    match = _SUBSCRIPTED.fullmatch(label)
    if ref["apiVersion"] != "v1":
        problem = f"unsupported pod version: {ref['apiVersion']}"
    elif match and match[1] not in ("metadata.annotations", "metadata.labels"):
        problem = f"field label does not support subscript: {label}"
    elif not match and label not in _KNOWN:
        problem = f"field label not supported: {label}"
    if problem:
        errors.invalid(f"{path}.fieldPath", label, f"error converting fieldPath: {problem}")
    elif match:
        key = match[2].lower() if match[1] == "metadata.annotations" else match[2]
        errors.messages(path, key, qualified_name(key))
    elif label not in allowed:
        errors.not_supported(f"{path}.fieldPath", label, allowed)


def resource_ref(errors: FieldErrors, ref: Object, path: str, *, in_volume: bool = False) -> None:
    resource = ref.get("resource") or ""
    if in_volume and not ref.get("containerName"):
        errors.required(f"{path}.containerName")
    elif not resource:
        errors.required(f"{path}.resource")
    elif resource not in _RESOURCES and not resource.startswith(("limits.hugepages-", "requests.hugepages-")):
        errors.not_supported(f"{path}.resource", resource, _RESOURCES)
    divisor = str(ref.get("divisor") or "0")
    if not Quantity.of(divisor).number:
        return
    name = resource.partition(".")[2]
    if name == "cpu":
        if divisor not in ("1m", "1"):
            why = "only divisor's values 1m and 1 are supported with the cpu resource"
            errors.invalid(f"{path}.divisor", resource, why)
    elif name in _DIVISORS or name.startswith("hugepages-"):
        if divisor not in _BYTES:
            what = _DIVISORS.get(name, "hugepages")
            errors.invalid(
                f"{path}.divisor",
                resource,
                f"only divisor's values {', '.join(_BYTES)} are supported with the {what} resource",
            )
