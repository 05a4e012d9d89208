"""exec, attach and port-forward: between a client (SPDY or WebSocket) and the engine's streaming server (SPDY).

SPDY client              bytes as they are, once both ends have agreed to upgrade
WebSocket, *.channel…    we are the engine's SPDY client, and translate channel by channel (KEP-4006)
WebSocket, SPDY tunnel   port-forward of kubectl ≥ 1.31: the messages' payload is SPDY, as it is
WebSocket, *.binary…     a log, as it comes, in messages; what the client says is not listened to
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from ..api.errors import ApiError, bad_request
from ..api.object import Object
from . import spdy
from .nodes import NodeConnector, StreamOptions
from .request import RawConnection, Request, Response

WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
TUNNEL = "SPDY/3.1+portforward.k8s.io"
CHANNEL_PROTOCOLS = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
    "",
)
READER_PROTOCOLS = ("binary.k8s.io", "base64.binary.k8s.io")
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
HEAD_MAX = 64 << 10
CHUNK = 64 << 10


class Upstream:
    """A connection to the engine's streaming server, after its 101."""

    def __init__(self, reader: Any, writer: Any, headers: list[tuple[str, str]], rest: bytes):
        self.reader, self.writer, self.headers, self._rest = reader, writer, headers, rest

    async def read(self) -> bytes:
        if self._rest:
            rest, self._rest = self._rest, b""
            return rest
        data: bytes = await self.reader.read(CHUNK)
        return data

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def close(self) -> None:
        self.writer.close()


async def tunnel(
    request: Request, connector: NodeConnector, pod: Object, kind: str, options: StreamOptions
) -> Response:
    """The 101 that starts the session, or the engine's refusal."""
    upgrade = request.headers.get("upgrade", "").lower()
    if "upgrade" not in request.headers.get("connection", "").lower() or not upgrade:
        raise bad_request("Upgrade request required")
    if upgrade == "websocket":
        offered = _offered(request)
        if kind == "portforward":
            if TUNNEL not in offered:
                raise bad_request(
                    f"unable to upgrade: unable to negotiate protocol: client supports {offered}, server accepts [{TUNNEL}]"
                )
            upstream = await dial(connector, pod, kind, options, ["portforward.k8s.io"])
            return _websocket(request, TUNNEL, lambda raw: _tunnel_messages(raw, upstream), upstream)
        protocol = _negotiated(offered, CHANNEL_PROTOCOLS)
        upstream = await dial(connector, pod, kind, options, ["v4.channel.k8s.io"])
        return _websocket(
            request, protocol, lambda raw: Bridge(raw, upstream, options, protocol).run(), upstream
        )
    if not upgrade.startswith("spdy/3.1"):
        raise bad_request(f"unable to upgrade: missing upgrade headers in request: {upgrade}")
    wanted = [p.strip() for p in request.headers.get("x-stream-protocol-version", "").split(",") if p.strip()]
    upstream = await dial(connector, pod, kind, options, wanted)

    async def pump(raw: RawConnection) -> None:
        await _race(_copy(raw.read, upstream.write), _copy(upstream.read, raw.write), close=[raw, upstream])

    return Response(101, upstream.headers, upgrade=pump, content_type="")


async def dial(
    connector: NodeConnector, pod: Object, kind: str, options: StreamOptions, protocols: list[str]
) -> Upstream:
    """Connects to the engine and upgrades to SPDY. Raises what the engine answers instead."""
    url = urlsplit(await connector.stream_url(pod, kind, options))
    host, port = url.hostname or "127.0.0.1", url.port or 80
    reader: Any
    writer: Any
    reader, writer = await connector.connect(host, port)
    target = url.path + (f"?{url.query}" if url.query else "")
    lines = [
        f"POST {target} HTTP/1.1",
        f"Host: {host}:{port}",
        "Connection: Upgrade",
        "Upgrade: SPDY/3.1",
        "Content-Length: 0",
    ]
    lines += [f"X-Stream-Protocol-Version: {protocol}" for protocol in protocols]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    await writer.drain()
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = await reader.read(CHUNK)
        if not chunk or len(data) > HEAD_MAX:
            writer.close()
            raise ApiError(
                500, "InternalError", "Internal error occurred: error dialing backend: unexpected EOF"
            )
        data += chunk
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *fields = head.decode("latin-1").split("\r\n")
    status = int(first.split(" ")[1])
    headers = [(name.strip(), value.strip()) for name, _, value in (field.partition(":") for field in fields)]
    if status != 101:
        writer.close()
        message = rest.decode("utf-8", "replace").strip()
        raise ApiError(
            status if status >= 400 else 500,
            "InternalError",
            f"Internal error occurred: unable to upgrade connection: {message}",
        )
    kept = [(n, v) for n, v in headers if n.lower() in ("upgrade", "connection", "x-stream-protocol-version")]
    return Upstream(reader, writer, kept, rest)


async def _copy(read: Callable[[], Awaitable[bytes]], write: Callable[[bytes], Awaitable[None]]) -> None:
    while data := await read():
        await write(data)


async def _race(*work: Any, close: list[Any]) -> None:
    """Until one of them ends; then all end."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, (ConnectionError, EOFError)):
                raise result
        for one in close:
            one.close()


# -- WebSocket -------------------------------------------------------------------------------------------------


def _offered(request: Request) -> list[str]:
    """The subprotocols that a client offers, without the one that is its token."""
    names = [name.strip() for name in request.headers.get("sec-websocket-protocol", "").split(",")]
    return [name for name in names if name and not name.startswith("base64url.bearer.authorization.k8s.io.")]


def _negotiated(offered: list[str], ours: tuple[str, ...]) -> str:
    """The first of ours that is offered; none where none is."""
    protocol = next((name for name in ours if name in offered), None) if offered else ""
    if protocol is None:
        raise bad_request(
            f"unable to upgrade: unable to negotiate protocol: client supports {offered}, server accepts {list(ours)}"
        )
    return protocol


def as_messages(request: Request, chunks: AsyncGenerator[bytes, None]) -> Response:
    """What is streamed to others, to a client that wants a WebSocket."""
    protocol = _negotiated(_offered(request), READER_PROTOCOLS)
    coded = protocol.startswith("base64.")

    async def run(raw: RawConnection) -> None:
        messages = Messages(raw)

        async def up() -> None:
            async for chunk in chunks:
                await messages.send(base64.b64encode(chunk) if coded else chunk, text=coded)
            await messages.close()

        async def down() -> None:
            while await messages.receive():
                pass

        try:
            await _race(up(), down(), close=[raw])
        finally:
            await chunks.aclose()

    return _websocket(request, protocol, run)


def _websocket(
    request: Request,
    protocol: str,
    run: Callable[[RawConnection], Awaitable[None]],
    upstream: Upstream | None = None,
) -> Response:
    key = request.headers.get("sec-websocket-key", "")
    if not key:
        if upstream is not None:
            upstream.close()
        raise bad_request("websocket: 'Sec-WebSocket-Key' header is missing or blank")
    accept = base64.b64encode(hashlib.sha1(key.encode() + WEBSOCKET_GUID).digest()).decode()
    headers = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)]
    if protocol:
        headers.append(("Sec-WebSocket-Protocol", protocol))
    return Response(101, headers, upgrade=run, content_type="")


class Messages:
    """Whole WebSocket messages over a raw connection."""

    def __init__(self, raw: RawConnection):
        from wsproto.connection import Connection, ConnectionType

        self._raw = raw
        self._connection = Connection(ConnectionType.SERVER)
        self._parts: list[Any] = []  # of a message that has not come whole
        self._closed = False

    async def receive(self) -> list[bytes | str]:
        """The next messages; an empty list at the end."""
        from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

        messages: list[bytes | str] = []
        while not messages:
            data = await self._raw.read()
            self._connection.receive_data(data or None)
            for event in self._connection.events():
                if isinstance(event, (BytesMessage, TextMessage)):
                    self._parts.append(event.data if isinstance(event, TextMessage) else bytes(event.data))
                    if event.message_finished:
                        messages.append(
                            b"".join(self._parts) if isinstance(event, BytesMessage) else "".join(self._parts)
                        )
                        self._parts = []
                elif isinstance(event, Ping):
                    await self._raw.write(self._connection.send(event.response()))
                elif isinstance(event, CloseConnection):
                    if not self._closed and data:  # a peer that is simply gone gets no answer
                        await self._raw.write(self._connection.send(event.response()))
                    self._closed = True
                    return messages
            if not data:
                return messages
        return messages

    async def send(self, data: bytes, text: bool = False) -> None:
        from wsproto.events import BytesMessage, TextMessage

        message = TextMessage(data=data.decode()) if text else BytesMessage(data=data)
        await self._raw.write(self._connection.send(message))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        from wsproto.events import CloseConnection

        if not self._closed:
            self._closed = True
            await self._raw.write(self._connection.send(CloseConnection(code=code, reason=reason or None)))


async def _tunnel_messages(raw: RawConnection, upstream: Upstream) -> None:
    messages = Messages(raw)

    async def down() -> None:
        while received := await messages.receive():
            for message in received:
                await upstream.write(message if isinstance(message, bytes) else message.encode())

    async def up() -> None:
        while data := await upstream.read():
            await messages.send(data)
        await messages.close()

    await _race(down(), up(), close=[raw, upstream])


class Bridge:
    """One exec or attach session: channels of WebSocket messages on one side, SPDY streams on the other."""

    def __init__(self, raw: RawConnection, upstream: Upstream, options: StreamOptions, protocol: str):
        self._raw, self._upstream, self._options = raw, upstream, options
        self._messages = Messages(raw)
        self._base64 = "base64" in protocol
        self._can_close = protocol.startswith("v5.")
        self._plain_errors = not protocol.startswith(("v4.", "v5."))
        self._client = spdy.Client()
        self._streams: dict[int, int] = {}  # channel -> SPDY stream
        self._channels: dict[int, int] = {}
        self._open: set[int] = set()  # channels from the engine that have not ended

    async def run(self) -> None:
        await self._open_streams()
        await _race(self._down(), self._up(), close=[self._raw, self._upstream])

    async def _open_streams(self) -> None:
        """In the order that remotecommand's clients have: error first, resize last."""
        o = self._options
        wanted = [(ERROR, "error")]
        wanted += [(STDIN, "stdin")] if o.stdin else []
        wanted += [(STDOUT, "stdout")] if o.stdout else []
        wanted += [(STDERR, "stderr")] if o.stderr and not o.tty else []
        wanted += [(RESIZE, "resize")] if o.tty else []
        out = b""
        for channel, name in wanted:
            stream, data = self._client.open({"streamtype": name})
            out += data
            self._streams[channel], self._channels[stream] = stream, channel
            if channel in (ERROR, STDOUT, STDERR):
                self._open.add(channel)
        await self._upstream.write(out)

    async def _down(self) -> None:
        """From the client to the container."""
        while received := await self._messages.receive():
            for message in received:
                await self._deliver(message)

    async def _deliver(self, message: bytes | str) -> None:
        if self._base64:
            text = message if isinstance(message, str) else message.decode()
            if not text:
                return
            channel, data = int(text[0]), base64.b64decode(text[1:])
        else:
            raw = message if isinstance(message, bytes) else message.encode()
            if not raw:
                return
            channel, data = raw[0], raw[1:]
        if channel == CLOSE and self._can_close:
            stream = self._streams.get(data[0]) if data else None
            if stream is not None:
                await self._upstream.write(self._client.send(stream, b"", fin=True))
            return
        stream = self._streams.get(channel)
        if stream is not None and channel in (STDIN, RESIZE) and data:
            await self._upstream.write(self._client.send(stream, data))

    async def _up(self) -> None:
        """From the container to the client, until every stream has ended."""
        while self._open:
            data = await self._upstream.read()
            if not data:
                break
            for event in self._client.receive(data):
                await self._show(event)
            outgoing = self._client.take_outgoing()
            if outgoing:
                await self._upstream.write(outgoing)
        await self._messages.close()

    async def _show(self, event: spdy.Event) -> None:
        if isinstance(event, spdy.GoAway):
            return
        channel = self._channels.get(event.stream)
        if channel is None:
            return
        data = event.data if isinstance(event, spdy.Data) else b""
        if channel == ERROR and self._plain_errors:
            data = plain_error(data)
        if data and channel in (STDOUT, STDERR, ERROR):
            if self._base64:
                await self._messages.send(str(channel).encode() + base64.b64encode(data), text=True)
            else:
                await self._messages.send(bytes([channel]) + data)
        if isinstance(event, spdy.Reset) or (isinstance(event, (spdy.Data, spdy.Reply)) and event.fin):
            self._open.discard(channel)


def plain_error(status: bytes) -> bytes:
    """How a command ended, for protocols before v4: nothing when it succeeded, else what the Status says."""
    try:
        shown = json.loads(status)
    except ValueError:
        return status
    return b"" if shown.get("status") == "Success" else str(shown.get("message", "")).encode()
