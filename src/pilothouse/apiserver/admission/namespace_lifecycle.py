"""NamespaceLifecycle: nothing is made in a namespace that is absent or terminating; some namespaces cannot be deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...api.errors import Cause, forbidden, not_found
from ...api.kinds import kind_of_resource
from . import Environment, Plugin

if TYPE_CHECKING:
    from ..registry.operation import Operation

NAMESPACES = kind_of_resource("namespaces")
IMMORTAL = frozenset({"default", "kube-system", "kube-public"})


class NamespaceLifecycle(Plugin):
    name = "NamespaceLifecycle"

    def admit(self, op: Operation, env: Environment) -> None:
        if op.verb == "DELETE":
            if op.resource == "namespaces" and op.name in IMMORTAL:
                raise forbidden("namespaces", "", op.shown_name, "this namespace may not be deleted")
            return
        if not op.kind.namespaced or not op.namespace or op.verb == "CONNECT":
            return
        entry = env.storage.get(NAMESPACES, "", op.namespace)
        if entry is None:
            raise not_found("namespaces", "", op.namespace)
        namespace = entry.object
        if op.verb == "CREATE" and (
            namespace["metadata"].get("deletionTimestamp")
            or (namespace.get("status") or {}).get("phase") == "Terminating"
        ):
            why = f"unable to create new content in namespace {op.namespace} because it is being terminated"
            error = forbidden(op.kind.plural, op.kind.group, op.shown_name, why)
            cause = Cause(
                "NamespaceTerminating", f"namespace {op.namespace} is being terminated", "metadata.namespace"
            )
            error.causes = [cause]
            raise error
