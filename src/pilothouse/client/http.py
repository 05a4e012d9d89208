"""`Client` over the wire: for the CLI, for agents on other machines, for tests of what a remote actor sees."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from ..api.errors import ApiError, from_status
from ..api.kinds import Kind, kind_of_resource
from ..api.object import Object, namespace_of
from .interface import PATCH_TYPES, ObjectList, WatchEvent, delete_options
from .transport import Response, Transport


def path_of(kind: Kind, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """`/apis/apps/v1/namespaces/default/deployments/web/scale`"""
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    inside = f"/namespaces/{quote(namespace)}" if kind.namespaced and namespace else ""
    path = f"{root}{inside}/{kind.plural}"
    if name:
        path += f"/{quote(name)}"
    return f"{path}/{subresource}" if subresource else path


def with_query(path: str, query: dict[str, Any]) -> str:
    used = {key: value for key, value in query.items() if value not in ("", None, 0, False)}
    return f"{path}?{urlencode(used)}" if used else path


def raise_for_status(response: Response) -> None:
    """Raises the ApiError that an answer holds; one that is not a Status becomes one as client-go would make it."""
    if response.status < 400:
        return
    try:
        status = orjson.loads(response.body)
        if status.get("kind") == "Status":
            raise from_status(status)
    except (orjson.JSONDecodeError, AttributeError):
        pass
    reason, message = _BARE.get(response.status, ("", ""))
    text = response.body.decode(errors="replace").strip() or "unknown"
    if not message and response.status >= 500:
        reason, message = (
            "InternalError",
            f'an error on the server ("{text}") has prevented the request from succeeding',
        )
    raise ApiError(response.status, reason, message or text)


_BARE = {  # what client-go makes of an answer that is no Status
    401: ("Unauthorized", "the server has asked for the client to provide credentials"),
    404: ("NotFound", "the server could not find the requested resource"),
    405: ("MethodNotAllowed", "the server does not allow this method on the requested resource"),
    406: ("NotAcceptable", "the server was unable to respond with a content type that the client supports"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: (
        "Timeout",
        "the server was unable to return a response in the time allotted, but may still be processing the request",
    ),
}


class HttpClient:
    """`client.interface.Client` over a `Transport`."""

    def __init__(self, transport: Transport):
        self.transport = transport

    async def call(
        self, method: str, target: str, body: Any = None, *, content_type: str = "application/json"
    ) -> Object:
        """One request with JSON in and out. Raises ApiError."""
        data = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
        headers = {"accept": "application/json"}
        if data:
            headers["content-type"] = content_type
        response = await self.transport.request(method, target, headers=headers, body=data)
        raise_for_status(response)
        return orjson.loads(response.body) if response.body else {}

    async def get(self, resource: str, namespace: str, name: str, *, subresource: str = "") -> Object:
        return await self.call("GET", path_of(kind_of_resource(resource), namespace, name, subresource))

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
        query = {
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "limit": limit,
            "continue": continue_token,
            "resourceVersion": resource_version,
        }
        found = await self.call("GET", with_query(path_of(kind_of_resource(resource), namespace), query))
        metadata = found.get("metadata") or {}
        return ObjectList(
            found.get("items") or [], metadata.get("resourceVersion", ""), metadata.get("continue", "")
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
        path = path_of(kind_of_resource(resource), namespace or namespace_of(obj), name, subresource)
        return await self.call("POST", with_query(path, _write_query(field_manager, dry_run)), obj)

    async def update(
        self,
        resource: str,
        obj: Object,
        *,
        subresource: str = "",
        field_manager: str = "",
        dry_run: bool = False,
    ) -> Object:
        path = path_of(kind_of_resource(resource), namespace_of(obj), obj["metadata"]["name"], subresource)
        return await self.call("PUT", with_query(path, _write_query(field_manager, dry_run)), obj)

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
        path = path_of(kind_of_resource(resource), namespace, name, subresource)
        query = {**_write_query(field_manager, dry_run), "force": "true" if force else ""}
        return await self.call("PATCH", with_query(path, query), patch, content_type=PATCH_TYPES[type])

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
        path = path_of(kind_of_resource(resource), namespace, name)
        options = delete_options(grace_period_s, propagation, uid, resource_version, dry_run)
        return await self.call("DELETE", path, options)

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
        query = {"labelSelector": label_selector, "fieldSelector": field_selector}
        path = with_query(path_of(kind_of_resource(resource), namespace), query)
        await self.call("DELETE", path, delete_options(grace_period_s, propagation))

    async def watch(
        self,
        resource: str,
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
        }
        target = with_query(path_of(kind_of_resource(resource), namespace), query)
        headers = {"accept": "application/json"}
        async with self.transport.stream("GET", target, headers=headers) as (status, answered, pieces):
            if status >= 400:
                raise_for_status(Response(status, answered, b"".join([piece async for piece in pieces])))
            async for line in lines(pieces):
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    raise from_status(event["object"])
                yield WatchEvent(event["type"], event["object"])


async def lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Cuts a stream into its lines, without the line ends; empty ones are dropped."""
    rest = b""
    async for piece in pieces:
        rest += piece
        *whole, rest = rest.split(b"\n")
        for line in whole:
            if line:
                yield line
    if rest:
        yield rest


def _write_query(field_manager: str, dry_run: bool) -> dict[str, Any]:
    return {"fieldManager": field_manager, "dryRun": "All" if dry_run else ""}


__all__ = [
    "PATCH_TYPES",
    "HttpClient",
    "delete_options",
    "lines",
    "path_of",
    "raise_for_status",
    "with_query",
]
