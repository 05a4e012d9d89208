"""HTTP/1.1 to an API server: connections kept and used again, answers whole or in pieces, upgrades.

The protocol is h11's; this file owns the sockets. Errors of the connection are OSError; what the server says
is for the caller to judge.
"""

from __future__ import annotations

import asyncio
import ssl
import urllib.parse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import h11

IDLE_MAX = 16  # connections kept
READ_SIZE = 256 * 1024
CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader, self.writer = reader, writer
        self.protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)

    def send(self, event: h11.Event) -> None:
        data = self.protocol.send(event)
        if data:
            self.writer.write(data)

    async def receive(self) -> h11.Event | type[h11.PAUSED]:
        while True:
            event = self.protocol.next_event()
            if event is h11.NEED_DATA:
                data = await self.reader.read(READ_SIZE)
                self.protocol.receive_data(data)
                continue
            return event  # type: ignore[return-value]

    def reusable(self) -> bool:
        if self.protocol.our_state is h11.DONE and self.protocol.their_state is h11.DONE:
            self.protocol.start_next_cycle()
            return not self.reader.at_eof()
        return False


class Transport:
    """One server. `headers` go with every request (authorization, user agent)."""

    def __init__(self, server: str, tls: ssl.SSLContext | None = None, headers: dict[str, str] | None = None):
        parsed = urllib.parse.urlsplit(server)
        self.server = server.rstrip("/")
        self.host = parsed.hostname or "127.0.0.1"
        self.port = parsed.port or (443 if parsed.scheme == "https" else 80)
        self._prefix = parsed.path.rstrip("/")
        self._tls = tls if parsed.scheme == "https" else None
        host = f"[{self.host}]" if ":" in self.host else self.host
        self._headers = {"host": f"{host}:{self.port}", "user-agent": "pilothouse", **(headers or {})}
        self._idle: list[_Connection] = []

    async def _connect(self) -> _Connection:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(self.host, self.port, ssl=self._tls, limit=1 << 20)
        return _Connection(reader, writer)

    async def _start(
        self, connection: _Connection, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> h11.Response | h11.InformationalResponse:
        everything = {**self._headers, **headers}
        if body or method in ("POST", "PUT", "PATCH"):
            everything["content-length"] = str(len(body))
        # several values of one name stand below each other, as in the answers of `_headers`
        split = [(name, value) for name, values in everything.items() for value in values.split("\n")]
        connection.send(h11.Request(method=method, target=self._prefix + target, headers=split))
        if body:
            connection.send(h11.Data(data=body))
        connection.send(h11.EndOfMessage())
        await connection.writer.drain()
        while True:
            event = await connection.receive()
            if isinstance(event, h11.Response):
                return event
            if isinstance(event, h11.InformationalResponse):
                if event.status_code == 101:
                    return event
                continue
            raise ConnectionResetError("the server closed the connection")

    @asynccontextmanager
    async def stream(
        self, method: str, target: str, *, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> AsyncIterator[tuple[int, dict[str, str], AsyncIterator[bytes]]]:
        """(status, headers, pieces of the body as they come). A connection that went stale is replaced once."""
        connection, fresh = (self._idle.pop(), False) if self._idle else (await self._connect(), True)
        done = False
        try:
            try:
                response = await self._start(connection, method, target, headers or {}, body)
            except (OSError, h11.ProtocolError) as error:
                connection.writer.close()
                if fresh:
                    raise _as_os_error(error)
                connection = await self._connect()
                response = await self._start(connection, method, target, headers or {}, body)

            async def pieces() -> AsyncIterator[bytes]:
                nonlocal done
                while True:
                    try:
                        event = await connection.receive()
                    except h11.ProtocolError as error:
                        raise _as_os_error(error)
                    if isinstance(event, h11.Data):
                        yield bytes(event.data)
                    elif isinstance(event, h11.EndOfMessage):
                        done = True
                        return
                    else:
                        raise ConnectionResetError(
                            "the server closed the connection in the middle of an answer"
                        )

            yield response.status_code, _headers(response), pieces()
        finally:
            if done and connection.reusable() and len(self._idle) < IDLE_MAX:
                self._idle.append(connection)
            else:
                connection.writer.close()

    async def request(
        self, method: str, target: str, *, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Response:
        async with self.stream(method, target, headers=headers, body=body) as (status, answered, pieces):
            parts = [piece async for piece in pieces]
        return Response(status, answered, b"".join(parts))

    async def upgrade(
        self, target: str, *, headers: dict[str, str], method: str = "GET"
    ) -> tuple[Response, asyncio.StreamReader | None, asyncio.StreamWriter | None, bytes]:
        """Asks for another protocol: (answer, reader, writer, bytes that came early), streams None when refused."""
        connection = await self._connect()
        try:
            response = await self._start(connection, method, target, headers, b"")
            if response.status_code == 101:
                early = connection.protocol.trailing_data[0]
                return Response(101, _headers(response), b""), connection.reader, connection.writer, early
            parts = []
            while isinstance(event := await connection.receive(), h11.Data):
                parts.append(bytes(event.data))
        except BaseException:
            connection.writer.close()
            raise
        connection.writer.close()
        return Response(response.status_code, _headers(response), b"".join(parts)), None, None, b""

    async def close(self) -> None:
        while self._idle:
            self._idle.pop().writer.close()


def _headers(response: h11.Response | h11.InformationalResponse) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw_name, raw_value in response.headers:
        name, value = raw_name.decode().lower(), raw_value.decode("latin-1")
        found[name] = f"{found[name]}\n{value}" if name in found else value
    return found


def _as_os_error(error: Exception) -> OSError:
    return error if isinstance(error, OSError) else ConnectionResetError(str(error))
