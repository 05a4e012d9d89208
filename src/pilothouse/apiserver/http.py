"""An HTTP/1.1 server on asyncio: the one piece of plumbing that we own. It knows nothing of Kubernetes.

Why not a framework: raw upgrades (exec and port-forward tunnel bytes untouched), client certificates, and half the cost.
One `Connection` (an asyncio.Protocol, on httptools' parser) serves its requests strictly one after the other. A handler may
answer at once (a plain `Response`) or later (an awaitable): what a cache answers never costs a task.

Everything is bounded: the head, the body, how many requests a client may send ahead, how long it may take or be silent, and what
waits to be written (a stream's next chunk is asked for only when the socket has room).
"""

from __future__ import annotations

import asyncio
import gzip
import http
import logging
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import httptools

from .request import Request, Response, Source, chunk

log = logging.getLogger(__name__)

Handler = Callable[[Request], Response | Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Limits:
    head_bytes: int = 256 << 10
    body_bytes: int = 3 << 20  # MaxRequestBodyBytes of a generic API server
    pipelined: int = 32
    head_s: float = 32.0  # ReadHeaderTimeout of a generic API server
    body_s: float = 60.0
    idle_s: float = 180.0
    write_stall_s: float = 120.0
    linger_s: float = 1.0
    write_buffer_bytes: int = 256 << 10
    upgraded_buffer_bytes: int = 256 << 10
    gzip_from_bytes: int = 128 << 10  # as Kubernetes: smaller answers are not worth the time
    connections: int = 20_000


STATUS_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in http.HTTPStatus}


def _status_line(status: int) -> bytes:
    return STATUS_LINES.get(status) or f"HTTP/1.1 {status} Status\r\n".encode()


@lru_cache(maxsize=1024)
def _key(name: bytes) -> str:
    """Of a header: clients send the same few."""
    return name.decode("latin-1").lower()


@lru_cache(maxsize=1024)
def _line(name: str, value: str) -> bytes:
    return f"{name}: {value}\r\n".encode("utf-8", "replace")


class Connection(asyncio.Protocol):
    """One client. States: reading a request, serving it (`_task` or at once), or handed over (`_raw`)."""

    def __init__(self, server: HttpServer):
        self._server, self._limits, self._loop = server, server.limits, server.loop
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[tuple[Request, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._raw: Raw | None = None
        self._source: Source | None = None
        self._source_keeps_alive = True
        self._room: asyncio.Future[None] | None = None
        self._closing = False
        self._reading_paused = False
        self._peer = ""
        self._certificate = b""
        self._expires_at = 0.0
        self._begin()

    def _begin(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._body_size = 0
        self._too_large = False
        self._head_size = 0
        self._in_head = True
        self._refused = 0  # the status with which this request is turned down before its end

    # -- from the transport ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]
        self._transport.set_write_buffer_limits(high=self._limits.write_buffer_bytes)
        peer = transport.get_extra_info("peername")
        self._peer = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else ""
        ssl_object = transport.get_extra_info("ssl_object")
        if ssl_object is not None:
            self._certificate = ssl_object.getpeercert(True) or b""
        self._expires_at = self._loop.time() + self._limits.head_s
        if not self._server.admit(self):
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._raw is not None:
            self._raw.feed(data)
            return
        if self._closing:
            return
        if self._in_head:
            if self._head_size == 0:
                self._expires_at = self._loop.time() + self._limits.head_s
            self._head_size += len(data)
            # a body that arrives in the same segment does not count, hence the check on what one read brings
            if self._head_size > self._limits.head_bytes + 65536:
                self._refuse(431)
                return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            self._raw = Raw(self._transport, self._limits.upgraded_buffer_bytes, self._drained)
            if rest:
                self._raw.feed(rest)
        except httptools.HttpParserError:
            self._refuse(400)
            return
        if self._refused and not self._closing:
            self._refuse(self._refused)

    def eof_received(self) -> bool:
        """Whether the connection stays: to answer first, where the client has shut down only its half (TLS knows no halves)."""
        if self._raw is not None:
            self._raw.feed_eof()
        wanted = self._raw is not None or (self._task is not None and not self._closing)
        return wanted and self._transport.get_extra_info("ssl_object") is None

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._server.forget(self)
        self.resume_writing()
        if self._raw is not None:
            self._raw.feed_eof()
        if self._source is not None:
            self._source.stop()
            self._source = None
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        if self._room is None:
            self._room = self._loop.create_future()
            self._expires_at = self._loop.time() + self._limits.write_stall_s

    def resume_writing(self) -> None:
        if self._room is not None:
            if not self._room.done():
                self._room.set_result(None)
            self._room = None
            self._expires_at = 0.0
        if self._source is not None and not self._closing:
            self._source.resume()

    async def _drained(self) -> None:
        while self._room is not None:
            await asyncio.shield(self._room)
        if self._closing:
            raise ConnectionResetError("the client is gone")

    # -- from the parser ---------------------------------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key = _key(name)
        text = value.decode("latin-1")
        if key in self._headers:
            text = f"{self._headers[key]}, {text}"
        self._headers[key] = text

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._expires_at = self._loop.time() + self._limits.body_s
        length = self._headers.get("content-length", "")
        if length.isdigit() and int(length) > self._limits.body_bytes:
            self._too_large = True
            if int(length) > 16 * self._limits.body_bytes:
                self._refused = 413
        if (
            self._headers.get("expect", "").lower() == "100-continue"
            and not self._refused
            and not self._queue
            and self._task is None
        ):
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        if self._body_size > self._limits.body_bytes:
            self._too_large = True  # read on to its end and drop it, or the client never sees the answer
            self._body.clear()
            if self._body_size > 16 * self._limits.body_bytes:
                self._refused = 413
        elif not self._too_large:
            self._body.append(body)

    def on_message_complete(self) -> None:
        path, _, query = self._url.partition(b"?")
        if not path.startswith(b"/"):  # absolute-form (RFC 9112, 3.2.2), or authority
            path = b"/" + path.split(b"://", 1)[-1].partition(b"/")[2]
        text = path.decode("latin-1")
        request = Request(
            method=self._parser.get_method().decode("ascii"),
            path=unquote(text) if "%" in text else text,
            query=query.decode("latin-1"),
            headers=self._headers,
            body=self._body[0] if len(self._body) == 1 else b"".join(self._body),
            peer_certificate=self._certificate,
            peer=self._peer,
            body_too_large=self._too_large,
        )
        keep_alive = self._parser.should_keep_alive() and not self._parser.should_upgrade()
        refused = self._refused
        self._begin()
        self._expires_at = 0.0
        if refused:
            self._refuse(refused)
            return
        self._queue.append((request, keep_alive))
        if len(self._queue) > self._limits.pipelined and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        if self._task is None and self._source is None:
            self._serve_next()

    def _refuse(self, status: int) -> None:
        """Turns a request down that cannot be read, and the connection with it."""
        self._closing = True
        self._server.bad_requests += 1
        phrase = http.HTTPStatus(status).phrase
        text = f"{status} {phrase}".encode() if status != 413 else b"http: request body too large"
        self._transport.write(
            _status_line(status)
            + b"Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
            % (len(text), text)
        )
        # A close with unread bytes would be a reset, and the client might never see the answer: read on for a while, and drop it.
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._expires_at = self._loop.time() + self._limits.linger_s

    # -- serving -----------------------------------------------------------------------------------------------

    def _serve_next(self) -> None:
        """Answers the requests that wait, until one takes time: its task goes on from there."""
        while self._queue and not self._closing:
            request, keep_alive = self._queue.popleft()
            answer = self._server.handler(request)
            if isinstance(answer, Response) and answer.source is not None and request.method != "HEAD":
                self._start_source(answer, answer.source, keep_alive)
                return
            if isinstance(answer, Response) and answer.stream is None and answer.upgrade is None:
                if self._room is None and not self._wants_gzip(request, answer):
                    self._write_whole(request, answer, keep_alive)
                    continue
            self._task = self._loop.create_task(self._serve(request, answer, keep_alive))
            return
        if self._reading_paused and not self._closing:
            self._reading_paused = False
            self._transport.resume_reading()
        if not self._closing:
            self._expires_at = self._loop.time() + (
                self._limits.idle_s if not self._head_size else self._limits.head_s
            )

    async def _serve(
        self, request: Request, answer: Response | Awaitable[Response], keep_alive: bool
    ) -> None:
        try:
            response = answer if isinstance(answer, Response) else await answer
            if response.upgrade is not None:
                await self._hand_over(response)
                return
            if response.source is not None and request.method != "HEAD":
                self._start_source(response, response.source, keep_alive)
                return
            if response.stream is not None:
                await self._write_stream(request, response, keep_alive)
            else:
                if len(response.body) > self._limits.gzip_from_bytes and self._wants_gzip(request, response):
                    await self._compress(response)
                self._write_whole(request, response, keep_alive)
                if self._room is not None:
                    await self._drained()
        except ConnectionResetError:
            self._transport.abort()
        except asyncio.CancelledError:
            self._transport.abort()
            raise
        except Exception:
            log.exception("answering %s %s", request.method, request.path)
            self._transport.abort()
        finally:
            self._task = None
        self._serve_next()

    def _wants_gzip(self, request: Request, response: Response) -> bool:
        return len(response.body) > self._limits.gzip_from_bytes and "gzip" in request.headers.get(
            "accept-encoding", ""
        )

    async def _compress(self, response: Response) -> None:
        body = response.body
        response.body = await self._loop.run_in_executor(None, lambda: gzip.compress(body, 1, mtime=0))
        response.headers.append(("Content-Encoding", "gzip"))
        response.headers.append(("Vary", "Accept-Encoding"))

    def _head(self, response: Response, keep_alive: bool) -> bytes:
        lines = [STATUS_LINES.get(response.status) or _status_line(response.status)]
        if response.content_type:
            lines.append(_line("Content-Type", response.content_type))
        for name, value in response.headers:
            lines.append(_line(name, value))
        if not keep_alive:
            lines.append(b"Connection: close\r\n")
        return b"".join(lines)

    def _write_whole(self, request: Request, response: Response, keep_alive: bool) -> None:
        keep_alive = keep_alive and not self._server.stopping
        head = self._head(response, keep_alive)
        body = response.body
        if response.status not in (204, 304):
            head += b"Content-Length: %d\r\n\r\n" % len(body)
        else:
            head += b"\r\n"
        if request.method == "HEAD":
            body = b""
        if len(body) > 65536:
            self._transport.write(head)
            self._transport.write(body)
        else:
            self._transport.write(head + body)
        if not keep_alive:
            self._closing = True
            self._transport.close()

    async def _write_stream(self, request: Request, response: Response, keep_alive: bool) -> None:
        stream = response.stream
        assert stream is not None
        head = self._head(response, keep_alive)
        self._transport.write(head + b"Transfer-Encoding: chunked\r\n\r\n")
        try:
            if request.method != "HEAD":
                async for data in stream:
                    if data:
                        self._transport.write(chunk(data))
                    if self._room is not None or self._closing:
                        await self._drained()
        finally:
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()
        self._transport.write(b"0\r\n\r\n")
        await self._drained()
        if not keep_alive or self._server.stopping:
            self._closing = True
            self._transport.close()

    def _start_source(self, response: Response, source: Source, keep_alive: bool) -> None:
        self._source, self._source_keeps_alive = source, keep_alive
        self._transport.write(self._head(response, keep_alive) + b"Transfer-Encoding: chunked\r\n\r\n")
        source.start(self)

    def push(self, chunk: bytes) -> bool:
        if not self._closing:
            self._transport.write(chunk)
        return self._room is None

    def finish(self) -> None:
        source, self._source = self._source, None
        if source is None or self._closing:
            return
        source.stop()
        self._transport.write(b"0\r\n\r\n")
        if not self._source_keeps_alive or self._server.stopping:
            self._closing = True
            self._transport.close()
        else:
            self._loop.call_soon(self._serve_next)

    async def _hand_over(self, response: Response) -> None:
        """After the 101: whatever bytes come or go belong to the handler."""
        if self._raw is None:  # the client did not ask for an upgrade in a way that the parser recognizes
            self._raw = Raw(self._transport, self._limits.upgraded_buffer_bytes, self._drained)
        assert response.upgrade is not None
        response.content_type = ""
        self._transport.write(self._head(response, True) + b"\r\n")
        try:
            await response.upgrade(self._raw)
        finally:
            self._closing = True
            self._transport.close()

    # -- from the server ---------------------------------------------------------------------------------------

    def check_time(self, now: float) -> None:
        if self._expires_at and now > self._expires_at and self._raw is None:
            self._closing = True
            self._transport.abort()

    @property
    def busy(self) -> bool:
        return self._task is not None

    def shut(self) -> None:
        if self._source is not None:
            self.finish()
        elif self._task is not None:
            self._task.cancel()
        elif not self._closing:
            self._closing = True
            self._transport.close()


class Raw:
    """The bytes of an upgraded connection (`request.RawConnection`)."""

    def __init__(self, transport: asyncio.Transport, limit: int, drained: Callable[[], Awaitable[None]]):
        self._transport, self._limit, self._drained = transport, limit, drained
        self._buffer = bytearray()
        self._eof = False
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None

    def feed(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > self._limit and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def feed_eof(self) -> None:
        self._eof = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def read(self) -> bytes:
        while not self._buffer:
            if self._eof:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        data = bytes(self._buffer)
        self._buffer.clear()
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        if self._transport.is_closing():
            raise ConnectionResetError("the client is gone")
        self._transport.write(data)
        await self._drained()

    def close(self) -> None:
        self._transport.close()


class HttpServer:
    """Listens, and keeps the connections. `start` … `stop`; `address` in between."""

    def __init__(self, handler: Handler, *, limits: Limits = Limits()):
        self.handler, self.limits = handler, limits
        self.loop: asyncio.AbstractEventLoop = None  # type: ignore[assignment]
        self.stopping = False
        self.bad_requests = 0
        self._servers: list[asyncio.base_events.Server] = []
        self._connections: set[Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> tuple[str, int]:
        """Listens; may be called for several addresses. Returns the address, with the port that was free for 0."""
        self.loop = asyncio.get_running_loop()
        server: Any = await self.loop.create_server(
            lambda: Connection(self), host, port, ssl=tls, backlog=1024, reuse_address=True
        )
        self._servers.append(server)
        if self._sweeper is None:
            self._sweep()
        address = server.sockets[0].getsockname()
        return address[0], address[1]

    async def stop(self, grace_s: float = 5.0) -> None:
        """Takes no more connections; what is being answered may finish, streams end, then everything is closed."""
        self.stopping = True
        for server in self._servers:
            server.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        tasks = []
        for connection in list(self._connections):
            task = connection._task
            connection.shut()
            if task is not None:
                tasks.append(task)
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
        for connection in list(self._connections):
            connection._transport.abort()
        for server in self._servers:
            try:
                await asyncio.wait_for(server.wait_closed(), grace_s)
            except TimeoutError:
                log.warning("a listener did not close in %s s", grace_s)
        self._servers.clear()

    def admit(self, connection: Connection) -> bool:
        if len(self._connections) >= self.limits.connections:
            return False
        self._connections.add(connection)
        return True

    def forget(self, connection: Connection) -> None:
        self._connections.discard(connection)

    @property
    def connections(self) -> int:
        return len(self._connections)

    def _sweep(self) -> None:
        """One timer for all connections: a deadline is a number that is compared, not a timer to set and cancel."""
        now = self.loop.time()
        for connection in list(self._connections):
            connection.check_time(now)
        self._sweeper = self.loop.call_later(2.0, self._sweep)


def server_tls(certificate: str, key: str, client_ca: str = "") -> ssl.SSLContext:
    """The server's TLS: paths of PEM files. With `client_ca`, a client may show a certificate, and must not show a bad one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context
