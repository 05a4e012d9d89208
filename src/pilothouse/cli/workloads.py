"""The revisions behind workloads: a deployment's replica sets, the ControllerRevisions of the others."""

from __future__ import annotations

from typing import Any

from ..api.kinds import kind_of_resource
from ..api.object import Object, annotations_of, controller_of, namespace_of, uid_of
from ..api.selectors import to_string
from .connection import Connection
from .targets import items_of

REVISION = "deployment.kubernetes.io/revision"
HASH = "pod-template-hash"


async def replica_sets(connection: Connection, deployment: Object) -> list[Object]:
    """Those that the deployment controls, the oldest first."""
    kind = kind_of_resource("replicasets.apps")
    selector = to_string(deployment["spec"]["selector"])
    found = await items_of(connection, kind, namespace_of(deployment), labelSelector=selector)
    own = [each for each in found if (owner := controller_of(each)) and owner["uid"] == uid_of(deployment)]
    return sorted(own, key=lambda each: each["metadata"].get("creationTimestamp") or "")


async def new_and_old(connection: Connection, deployment: Object) -> tuple[Object | None, list[Object]]:
    """(the replica set of the deployment's present template, the others)."""
    sets = await replica_sets(connection, deployment)
    wanted = without_hash(deployment["spec"]["template"])
    new = next((each for each in sets if without_hash(each["spec"]["template"]) == wanted), None)
    return new, [each for each in sets if each is not new]


def without_hash(template: Object) -> Object:
    metadata: dict[str, Any] = dict(template.get("metadata") or {})
    metadata.pop("creationTimestamp", None)
    if "labels" in metadata:
        metadata["labels"] = {key: value for key, value in metadata["labels"].items() if key != HASH}
    return {**template, "metadata": metadata}


def revision_of(obj: Object) -> int:
    """Of a replica set; 0 when it says none."""
    text = annotations_of(obj).get(REVISION) or "0"
    return int(text) if text.isdigit() else 0


async def controller_revisions(connection: Connection, owner: Object) -> list[Object]:
    """Of a stateful set or a daemon set, by number."""
    kind = kind_of_resource("controllerrevisions.apps")
    selector = to_string(owner["spec"]["selector"])
    found = await items_of(connection, kind, namespace_of(owner), labelSelector=selector)
    own = [each for each in found if (by := controller_of(each)) and by["uid"] == uid_of(owner)]
    return sorted(own, key=lambda each: each["revision"])
