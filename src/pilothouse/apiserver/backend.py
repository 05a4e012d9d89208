"""An HTTP request handed on to somebody else's server: what the proxy subresources and the aggregator have in common.

The answer streams: its head is awaited, its body passes through in chunks as it comes (a watch of an aggregated API never ends). An upgrade
(WebSocket, SPDY) becomes a tunnel.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httptools

from ..api.errors import ApiError
from .request import RawConnection, Request, Response

if TYPE_CHECKING:
    from .server import ApiServer

HOP_BY_HOP = frozenset(
    "connection keep-alive proxy-connection te trailer transfer-encoding upgrade content-length".split()
)
CHUNK = 65536
HEAD_MAX = 1 << 20
CONNECT_TIMEOUT_S = 10.0


async def whole(answer: Response, limit: int) -> bytes:
    """The body of what a backend has answered. Raises ValueError beyond `limit`."""
    body = answer.body
    if answer.stream is not None:
        async for chunk in answer.stream:
            body += chunk
            if len(body) > limit:
                raise ValueError("the answer is too large")
    return body


def plain_error(status: int, text: str) -> Response:
    """Go's `http.Error`."""
    headers = [("X-Content-Type-Options", "nosniff")]
    return Response(status, headers, f"{text}\n".encode(), content_type="text/plain; charset=utf-8")


def unavailable(message: str) -> ApiError:
    return ApiError(503, "ServiceUnavailable", message, details=False)


async def dial(
    server: ApiServer,
    host: str,
    port: int,
    tls: ssl.SSLContext | None = None,
    *,
    server_name: str = "",
    direct: bool = False,
    node: str = "",
) -> tuple[Any, Any]:
    """(reader, writer), through the network of a node, `node` if it is there; `direct`: from here, where there is none. Raises 503."""
    connector = server.nodes.any(node)
    if connector is None:
        if direct:
            return await dial_directly(host, port, tls, server_name=server_name)
        raise unavailable(f"error trying to reach service: dial tcp {host}:{port}: connect: no route to host")
    return await _dial(connector.connect, host, port, tls, server_name)


async def dial_directly(
    host: str, port: int, tls: ssl.SSLContext | None = None, *, server_name: str = ""
) -> tuple[Any, Any]:
    return await _dial(asyncio.open_connection, host, port, tls, server_name)


async def _dial(
    connect: Callable[[str, int], Awaitable[Any]],
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    server_name: str,
) -> tuple[Any, Any]:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await connect(host, port)
            if tls is not None:
                await writer.start_tls(tls, server_hostname=server_name or host)
    except (OSError, TimeoutError) as error:
        raise unavailable(f"error trying to reach service: dial tcp {host}:{port}: {_why(error)}") from None
    return reader, writer


def _why(error: OSError) -> str:
    if error.errno and not isinstance(error, ssl.SSLError):
        return f"connect: {os.strerror(error.errno).lower()}"
    return str(error) or "i/o timeout"


def target_of(path: str, query: str) -> str:
    """A decoded path as Go writes it on the request line: what was escaped (a space, a line's end) is so again."""
    return quote(path, safe="/$&+,:;=@~") + (f"?{query}" if query else "")


class _Head:
    """httptools' callbacks for one response: its head, and the body so far."""

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []
        self.body: list[bytes] = []
        self.complete = self.done = self.may_stay = False
        self.parser = httptools.HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        self.complete = True

    def on_body(self, data: bytes) -> None:
        self.body.append(data)

    def on_message_complete(self) -> None:
        self.done, self.may_stay = True, self.parser.should_keep_alive()

    def take(self) -> bytes:
        data = b"".join(self.body)
        self.body.clear()
        return data


async def exchange(
    request: Request,
    reader: Any,
    writer: Any,
    host: str,
    target: str,
    headers: Iterable[tuple[str, str]] = (),
    *,
    keep: bool = False,
) -> Response:
    """`headers`: in place of the client's own of the same name. Closes the connection when the answer is through, unless the backend
    lets us `keep` it."""
    upgrade = request.headers.get("upgrade", "")
    try:
        writer.write(_head_of(request, host, target, list(headers), upgrade, keep) + request.body)
        await writer.drain()
        head = _Head()
        parser = head.parser
        parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)  # as Go is: scripts end lines so
        size = 0
        while not head.complete:
            data = await reader.read(CHUNK)
            size += len(data)
            if not data or size > HEAD_MAX:
                raise unavailable("error trying to reach service: EOF")
            try:
                parser.feed_data(data)
            except httptools.HttpParserUpgrade as switched:
                return _tunnelled(head, reader, writer, data[switched.args[0] :])
        status = parser.get_status_code()
        if status == 101:
            return _tunnelled(head, reader, writer, head.take())
    except httptools.HttpParserError as error:
        writer.close()
        raise unavailable(f"error trying to reach service: malformed HTTP response: {error}") from None
    except BaseException:
        writer.close()
        raise
    kept = [(n, v) for n, v in head.headers if n.lower() not in HOP_BY_HOP and n.lower() != "content-type"]
    content_type = next((v for n, v in head.headers if n.lower() == "content-type"), "")
    if head.done or request.method == "HEAD":
        if not (keep and head.may_stay):
            writer.close()
        return Response(status, kept, head.take(), content_type=content_type)
    return Response(status, kept, stream=_body(head, reader, writer, keep), content_type=content_type)


def _head_of(
    request: Request, host: str, target: str, headers: list[tuple[str, str]], upgrade: str, keep: bool
) -> bytes:
    replaced = {name.lower() for name, _ in headers} | {"host", "authorization"}
    lines = [f"{request.method} {target} HTTP/1.1", f"Host: {host}"]
    if upgrade:
        lines += ["Connection: Upgrade", f"Upgrade: {upgrade}"]
    else:
        lines += [f"Connection: {'keep-alive' if keep else 'close'}", f"Content-Length: {len(request.body)}"]
    for name, value in request.headers.items():
        if name not in HOP_BY_HOP and name not in replaced:
            lines.append(f"{name}: {value}")
    lines += [f"{name}: {value}" for name, value in headers]
    lines.append(f"X-Forwarded-For: {request.peer.rpartition(':')[0]}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


async def _body(head: _Head, reader: Any, writer: Any, keep: bool) -> AsyncIterator[bytes]:
    try:
        while True:
            if head.body:
                yield head.take()
            if head.done:
                return
            data = await reader.read(CHUNK)
            if not data:  # without a length, the end of the connection is the end of the body
                return
            head.parser.feed_data(data)
    finally:
        if not (keep and head.may_stay):
            writer.close()


def _tunnelled(head: _Head, reader: Any, writer: Any, rest: bytes) -> Response:
    async def pump(raw: RawConnection) -> None:
        async def up() -> None:
            while data := await raw.read():
                writer.write(data)
                await writer.drain()

        async def down() -> None:
            if rest:
                await raw.write(rest)
            while data := await reader.read(CHUNK):
                await raw.write(data)

        tasks = [asyncio.ensure_future(up()), asyncio.ensure_future(down())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            writer.close()
            raw.close()

    return Response(101, head.headers, upgrade=pump, content_type="")
