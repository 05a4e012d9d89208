"""A pod's resize must fit its node at all; whether there is room now is for the node to say (KEP-1287)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...api.errors import forbidden
from ...api.object import get
from ...api.qos import pod_requests
from ...api.quantity import Quantity
from . import Environment, Plugin

if TYPE_CHECKING:
    from ..registry.operation import Operation


class PodResize(Plugin):
    name = "PodResize"
    resources = frozenset({"pods"})

    def validate(self, op: Operation, env: Environment) -> None:
        if op.verb != "UPDATE" or op.subresource != "resize" or op.object is None:
            return
        node = env.lister.get("nodes", "", get(op.object, "spec.nodeName", ""))
        allocatable = get(node or {}, "status.allocatable", {})
        asked = pod_requests(op.object)
        for name in ("cpu", "memory"):
            if name in asked and name in allocatable:
                wanted, room = Quantity.of(asked[name]), Quantity.of(allocatable[name])
                if wanted.number > room.number:
                    numbers = [q.milli_value() if name == "cpu" else q.value() for q in (wanted, room)]
                    why = f"node didn't have enough allocatable resources: {name}, requested: {numbers[0]}, allocatable: {numbers[1]}"
                    raise forbidden("pods", "", op.name, why)
