"""NodeDeclaredFeatures: what not every kubelet can do goes only to nodes that say they can (KEP-5328)."""

from __future__ import annotations

from ..framework import Cycle, Plugin, Rejection
from ..snapshot import NodeInfo

REASON = "node(s) didn't match Pod's required features"
RESTART_ALL = "RestartAllContainersOnContainerExits"


class NodeDeclaredFeatures(Plugin):
    name = "NodeDeclaredFeatures"
    local = True

    def pre_filter(self, cycle: Cycle) -> Rejection | None:
        spec = cycle.pod["spec"]
        containers = (*spec["containers"], *(spec.get("initContainers") or ()))
        rules = (rule for container in containers for rule in container.get("restartPolicyRules") or ())
        if not any(rule.get("action") == "RestartAllContainers" for rule in rules):
            cycle.skip(self)
        return None

    def filter(self, cycle: Cycle, node: NodeInfo) -> Rejection | None:
        if RESTART_ALL in ((node.node.get("status") or {}).get("declaredFeatures") or ()):
            return None
        return Rejection(self.name, (REASON,), resolvable=False)
