"""A pod's resize must be of a kind that its node knows (KEP-5328), and fit the node at all; whether there is room now is for the node to say
(KEP-1287)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...api.errors import Cause, forbidden
from ...api.object import Object, get
from ...api.qos import pod_requests
from ...api.quantity import Quantity
from . import Environment, Plugin

if TYPE_CHECKING:
    from ..registry.operation import Operation


class PodResize(Plugin):
    """NodeDeclaredFeatureValidator and PodResizeValidator: of an update, all that the first looks at may change by a resize alone."""

    name = "PodResize"
    resources = frozenset({"pods"})

    def validate(self, op: Operation, env: Environment) -> None:
        if op.verb != "UPDATE" or op.subresource != "resize" or op.object is None or op.old is None:
            return
        spec, before = op.object["spec"], op.old["spec"]
        if not spec.get("nodeName") or spec == before:
            return
        node = env.lister.get("nodes", "", spec["nodeName"])
        if node is None:
            raise forbidden("pods", "", op.name, f'node "{spec["nodeName"]}" not found')
        known = get(node, "status.declaredFeatures", [])
        lacking = [feature for feature in _needed(spec, before) if feature not in known]
        if lacking:
            why = f'pod update requires features {", ".join(lacking)} which are not available on node "{spec["nodeName"]}"'
            raise forbidden("pods", "", op.name, why)
        system = get(node, "metadata.labels", {}).get("kubernetes.io/os", "linux")
        if system != "linux":
            why = f'pod resize is only supported on linux nodes, node "{spec["nodeName"]}" is "{system}"'
            _refuse(op, why, "UnsupportedPlatform")
        missing = list(_missing(pod_requests(op.object), get(node, "status.allocatable", {})))
        if missing:
            _refuse(
                op, f"node didn't have enough allocatable resources: {'; '.join(missing)}", "NodeCapacity"
            )


def _needed(spec: Object, before: Object) -> Iterator[str]:
    if spec.get("resources") != before.get("resources"):
        yield "InPlacePodLevelResourcesVerticalScaling"
    pairs = zip(spec.get("initContainers") or (), before.get("initContainers") or (), strict=True)
    if any(c.get("resources") != b.get("resources") for c, b in pairs if b.get("restartPolicy") != "Always"):
        yield "InPlacePodVerticalScalingInitContainers"


def _missing(asked: dict[str, str], allocatable: dict[str, str]) -> Iterator[str]:
    for name in ("cpu", "memory"):
        wanted, room = (Quantity.of(of.get(name, "0")) for of in (asked, allocatable))
        if wanted.number > room.number:
            wanted_shown, room_shown = (
                q.milli_value() if name == "cpu" else q.value() for q in (wanted, room)
            )
            yield f"{name}, requested: {wanted_shown}, allocatable: {room_shown}"


def _refuse(op: Operation, why: str, reason: str) -> None:
    error = forbidden("pods", "", op.name, why)
    error.causes = [Cause(reason, "", "")]
    raise error
