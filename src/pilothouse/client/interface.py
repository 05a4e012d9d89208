"""The one interface through which controllers, scheduler, nodes, network and CLI see the cluster.

A resource is named as kubectl names it in full: `pods`, `deployments.apps`, `endpointslices.discovery.k8s.io`
(the storage version is meant). Objects that come out are shared and READ-ONLY: whoever wants to change one
copies what it changes. Errors are `api.errors.ApiError`, whichever way the request went.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

from ..api.object import Object

PATCH_TYPES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


@dataclass(frozen=True, slots=True)
class ObjectList:
    items: list[Object]
    resource_version: str
    continue_token: str = ""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """`type`: ADDED, MODIFIED, DELETED or BOOKMARK. An ERROR is raised as ApiError instead (410: list again)."""

    type: str
    object: Object


class Client(Protocol):
    async def get(self, resource: str, namespace: str, name: str, *, subresource: str = "") -> Object:
        """`namespace` is "" for cluster-scoped resources."""

    async def list(
        self,
        resource: str,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
    ) -> ObjectList:
        """`namespace` "" is all of them. `resource_version` "0" may be answered from a cache."""

    async def create(
        self,
        resource: str,
        obj: Object,
        *,
        namespace: str = "",
        name: str = "",
        subresource: str = "",
        field_manager: str = "",
        dry_run: bool = False,
    ) -> Object:
        """`namespace` defaults to the object's. With a `subresource` (binding, eviction, token), `name` is the parent's."""

    async def update(
        self,
        resource: str,
        obj: Object,
        *,
        subresource: str = "",
        field_manager: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Conflicts (409) when the object has a resourceVersion that is no longer current."""

    async def patch(
        self,
        resource: str,
        namespace: str,
        name: str,
        patch: Any,
        *,
        type: str = "merge",
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> Object:
        """`type`: json, merge, strategic or apply."""

    async def delete(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        grace_period_s: int | None = None,
        propagation: str = "",
        uid: str = "",
        resource_version: str = "",
        dry_run: bool = False,
    ) -> Object: ...

    async def delete_collection(
        self,
        resource: str,
        namespace: str,
        *,
        label_selector: str = "",
        field_selector: str = "",
        grace_period_s: int | None = None,
        propagation: str = "",
    ) -> None: ...

    def watch(
        self,
        resource: str,
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        """Events after `resource_version`, with bookmarks, until closed. Raises ApiError (410 Expired: list again)."""


def delete_options(
    grace_period_s: int | None = None,
    propagation: str = "",
    uid: str = "",
    resource_version: str = "",
    dry_run: bool = False,
) -> Object:
    """The DeleteOptions that these mean."""
    options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
    if grace_period_s is not None:
        options["gracePeriodSeconds"] = grace_period_s
    if propagation:
        options["propagationPolicy"] = propagation
    if uid or resource_version:
        options["preconditions"] = {
            key: value for key, value in (("uid", uid), ("resourceVersion", resource_version)) if value
        }
    if dry_run:
        options["dryRun"] = ["All"]
    return options
