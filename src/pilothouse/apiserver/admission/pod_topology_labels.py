"""PodTopologyLabels: a pod that is put on a node is labelled with the node's zone and region (KEP-4742)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..authentication import Lister
from . import Environment, Plugin

if TYPE_CHECKING:
    from ..registry.operation import Operation

KEYS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


def topology(lister: Lister, node: str) -> dict[str, str]:
    labels = ((lister.get("nodes", "", node) or {}).get("metadata") or {}).get("labels") or {}
    return {key: labels[key] for key in KEYS if key in labels}


class PodTopologyLabels(Plugin):
    """Of pods that are made on their node; a binding asks `topology` itself."""

    name = "PodTopologyLabels"
    resources = frozenset({"pods"})

    def admit(self, op: Operation, env: Environment) -> None:
        if op.verb != "CREATE" or op.subresource:
            return
        assert op.object is not None
        node = (op.object.get("spec") or {}).get("nodeName")
        found = topology(env.lister, node) if node else {}
        if found:
            meta = op.object["metadata"]
            op.object["metadata"] = {**meta, "labels": {**(meta.get("labels") or {}), **found}}
