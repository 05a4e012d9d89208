"""The in-process client: the API server's own stages after authentication, without sockets and without encoding.

An actor that has one is a user like any other: authorized, through admission, defaults and validation. Objects come out as the cache has them,
shared and read-only; what goes in is copied, since the server completes it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson

from ..api.errors import ApiError, from_status
from ..api.kinds import Kind
from ..api.object import Object, namespace_of
from ..apiserver.options import ListOptions
from ..apiserver.reads import select_async
from ..apiserver.request import Request, Response, User
from ..apiserver.routes import RequestInfo
from ..apiserver.selection import selection_of
from ..apiserver.server import ApiServer
from ..apiserver.watches import Watch, too_old
from ..store.interface import Compacted
from .interface import PATCH_TYPES, ObjectList, WatchEvent, delete_options


class LocalClient:
    """`client.interface.Client` on a server in this process."""

    def __init__(self, server: ApiServer, user: User):
        self._server, self.user = server, user

    def _request(
        self,
        kind: Kind,
        verb: str,
        namespace: str,
        name: str,
        subresource: str = "",
        parameters: dict[str, list[str]] | None = None,
    ) -> tuple[Request, RequestInfo]:
        if kind.resource == "namespaces" and name:
            namespace = name
        elif not kind.namespaced:
            namespace = ""
        info = RequestInfo("", verb, kind.group, kind.version, kind.plural, subresource, namespace, name)
        request = Request("", "", "", {})
        request.info, request.user, request.parameters = info, self.user, parameters or {}
        self._server.authorize(request, info)
        return request, info

    async def _perform(self, request: Request, info: RequestInfo) -> Object:
        answer = self._server.dispatch(request, info)
        response = answer if isinstance(answer, Response) else await answer
        value = response.value if response.value is not None else orjson.loads(response.body)
        if response.status >= 400:
            raise from_status(value)
        return value

    async def get(self, resource: str, namespace: str, name: str, *, subresource: str = "") -> Object:
        kind = self._server.kind_of_resource(resource)
        request, info = self._request(kind, "get", namespace, name, subresource)
        if not subresource or subresource == "status":
            entry = self._server.storage.get(kind, info.namespace, name)
            if entry is not None and kind.is_storage_version:
                return entry.object
        return await self._perform(request, info)

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
        kind = self._server.kind_of_resource(resource)
        request, _ = self._request(kind, "list", namespace, "", parameters=_selecting(field_selector))
        options = ListOptions(label_selector, field_selector, limit, continue_token, resource_version)
        found = await select_async(self._server.resources, request, kind, options)
        return ObjectList(
            [entry.object for entry in found.entries], str(found.revision), found.continue_token
        )

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
        kind = self._server.kind_of_resource(resource)
        parameters = _parameters(field_manager, dry_run)
        request, info = self._request(
            kind, "create", namespace or namespace_of(obj), name, subresource, parameters
        )
        request.object = _own(obj)
        return await self._perform(request, info)

    async def update(
        self,
        resource: str,
        obj: Object,
        *,
        subresource: str = "",
        field_manager: str = "",
        dry_run: bool = False,
    ) -> Object:
        kind = self._server.kind_of_resource(resource)
        parameters = _parameters(field_manager, dry_run)
        name = obj["metadata"].get("name") or ""
        request, info = self._request(kind, "update", namespace_of(obj), name, subresource, parameters)
        request.object = _own(obj)
        return await self._perform(request, info)

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
        kind = self._server.kind_of_resource(resource)
        parameters = _parameters(field_manager, dry_run)
        if force:
            parameters["force"] = ["true"]
        request, info = self._request(kind, "patch", namespace, name, subresource, parameters)
        request.headers["content-type"] = PATCH_TYPES[type]
        request.object = _own(patch)
        return await self._perform(request, info)

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
    ) -> Object:
        kind = self._server.kind_of_resource(resource)
        request, info = self._request(kind, "delete", namespace, name)
        request.object = delete_options(grace_period_s, propagation, uid, resource_version, dry_run)
        return await self._perform(request, info)

    async def delete_collection(
        self,
        resource: str,
        namespace: str,
        *,
        label_selector: str = "",
        field_selector: str = "",
        grace_period_s: int | None = None,
        propagation: str = "",
    ) -> None:
        kind = self._server.kind_of_resource(resource)
        parameters: dict[str, list[str]] = {}
        if label_selector:
            parameters["labelSelector"] = [label_selector]
        if field_selector:
            parameters["fieldSelector"] = [field_selector]
        request, info = self._request(kind, "deletecollection", namespace, "", parameters=parameters)
        request.object = delete_options(grace_period_s, propagation)
        await self._perform(request, info)

    async def watch(
        self,
        resource: str,
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        kind = self._server.kind_of_resource(resource)
        self._request(kind, "watch", namespace, "", parameters=_selecting(field_selector))
        options = ListOptions(label_selector, field_selector)
        selection = selection_of(kind, options)
        start = int(resource_version or 0)
        watch = Watch(self._server.resources, kind, namespace, selection, options, start)
        try:
            async for batch in watch.events():
                for event in batch:
                    yield WatchEvent(event.type, event.object())
        except Compacted as gone:
            raise too_old(start, gone.revision) from None


def _own(value: Any) -> Any:
    """A copy that the server may complete and keep: the caller's may share parts with the cache, or go on living."""
    return orjson.loads(orjson.dumps(value))


def _selecting(field_selector: str) -> dict[str, list[str]] | None:
    """What authorization looks at: a kubelet may list just the pods on its node."""
    return {"fieldSelector": [field_selector]} if field_selector else None


def _parameters(field_manager: str, dry_run: bool) -> dict[str, list[str]]:
    parameters: dict[str, list[str]] = {}
    if field_manager:
        parameters["fieldManager"] = [field_manager]
    if dry_run:
        parameters["dryRun"] = ["All"]
    return parameters


__all__ = ["ApiError", "LocalClient"]
