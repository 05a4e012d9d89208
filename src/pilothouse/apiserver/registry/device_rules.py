"""What the registry does for claims and slices of devices: who may ask for what others use, what goes with an allocation, fields whose gates
are off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...api.errors import invalid
from ...api.fielderrors import FieldErrors
from ...api.kinds import kind_of_resource
from ...api.object import Object

if TYPE_CHECKING:
    from .generic import Registry
    from .operation import Operation

_ADMIN_ACCESS = "resource.kubernetes.io/admin-access"
_ADMIN_ACCESS_WHY = (
    f"admin access to devices requires the `{_ADMIN_ACCESS}: true` label on the containing namespace"
)


def check_admin_access(registry: Registry, op: Operation) -> None:
    """A claim, or a template of claims, may ask for devices that others use, or get them, only where the namespace says so (KEP-5018)."""
    new = op.object
    assert new is not None
    if op.subresource == "status":
        path, asked, was = "status.allocation.devices.results", _results(new), _results(op.old)
    elif op.old is not None:
        return  # what is asked for is immutable
    else:
        spec = new["spec"] if op.kind.kind == "ResourceClaim" else new["spec"]["spec"]
        requests = (spec.get("devices") or {}).get("requests") or ()
        path, asked, was = "spec.devices.requests", [r.get("exactly") or {} for r in requests], []
    first = next((index for index, each in enumerate(asked) if each.get("adminAccess")), None)
    if first is None or any(each.get("adminAccess") for each in was):
        return
    namespace = registry.storage.get(kind_of_resource("namespaces"), "", op.namespace)
    labels = namespace.object["metadata"].get("labels") or {} if namespace else {}
    if labels.get(_ADMIN_ACCESS) != "true":
        causes = FieldErrors()
        causes.forbidden(f"{path}[{first}].adminAccess", _ADMIN_ACCESS_WHY)
        raise invalid(op.kind.kind, op.kind.group, op.name, causes)


def _results(claim: Object | None) -> list[Object]:
    allocation = ((claim or {}).get("status") or {}).get("allocation") or {}
    return (allocation.get("devices") or {}).get("results") or []


def _ids(devices: list[Object]) -> set[tuple[str, ...]]:
    return {tuple(device.get(f) or "" for f in ("driver", "pool", "device", "shareID")) for device in devices}


def claim_prepare_update(registry: Registry, op: Operation) -> None:
    """The status of a device goes when the claim loses it."""
    assert op.object is not None
    status = op.object.get("status") or {}
    if op.subresource == "status" and status.get("devices"):
        gone = _ids(_results(op.old)) - _ids(_results(op.object))
        kept = [device for device in status["devices"] if not _ids([device]) & gone]
        op.object["status"] = {k: v for k, v in status.items() if k != "devices"} | (
            {"devices": kept} if kept else {}
        )


_LISTS = ("bools", "ints", "strings", "versions")


def slice_prepare(registry: Registry, op: Operation) -> None:
    """A taint tells since when; lists as attributes and shares of a node's resources are behind gates that are off (DRAListTypeAttributes,
    DRANodeAllocatableResources)."""
    assert op.object is not None
    spec, now = op.object.get("spec") or {}, registry.now()
    if spec.get("devices"):
        op.object["spec"] = {**spec, "devices": [_device(device, now) for device in spec["devices"]]}


def _device(device: Object, now: str) -> Object:
    device = {field: value for field, value in device.items() if field != "nodeAllocatableResourceMappings"}
    if device.get("taints"):
        device["taints"] = [
            taint if taint.get("timeAdded") else {**taint, "timeAdded": now} for taint in device["taints"]
        ]
    if device.get("attributes"):
        device["attributes"] = {
            name: {field: value for field, value in attribute.items() if field not in _LISTS}
            for name, attribute in device["attributes"].items()
        }
    return device
