"""Sessions with containers over WebSocket: exec and attach (`v5.channel.k8s.io`), and the tunnel of port-forward.

A message's first byte is its channel: 0 stdin, 1 stdout, 2 stderr, 3 the final Status, 4 the terminal's size; 255 closes
one. https://kep.k8s.io/4006
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import orjson
from wsproto.connection import Connection as Protocol
from wsproto.connection import ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from ..client.transport import Transport
from .errors import Failure

STDIN, STDOUT, STDERR, STATUS, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
CHUNK = 32 << 10


class WebSocket:
    """Whole messages, both ways."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, early: bytes):
        self._reader, self._writer, self._early = reader, writer, early
        self._protocol = Protocol(ConnectionType.CLIENT)

    @classmethod
    async def open(cls, transport: Transport, target: str, protocol: str) -> WebSocket:
        """Raises Failure with what the server says instead."""
        headers = {
            "connection": "Upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": base64.b64encode(b"pilothouse-cli--").decode(),
            "sec-websocket-protocol": protocol,
        }
        response, reader, writer, early = await transport.upgrade(target, headers=headers)
        if response.status == 403:  # who may not get may still create: that is what kubectl's SPDY asks for
            response, reader, writer, early = await transport.upgrade(target, headers=headers, method="POST")
        if reader is None or writer is None:
            why = response.body.decode(errors="replace").strip()
            if why.startswith("{"):
                why = orjson.loads(response.body).get("message") or why
            raise Failure(f"unable to upgrade connection: {why}")
        return cls(reader, writer, early)

    async def send(self, data: bytes) -> None:
        self._writer.write(self._protocol.send(BytesMessage(data=data)))
        await self._writer.drain()

    async def messages(self) -> AsyncIterator[bytes]:
        """Until the other side closes."""
        parts: list[bytes] = []
        data = self._early
        while True:
            if data:
                self._protocol.receive_data(data)
            for event in self._protocol.events():
                if isinstance(event, (BytesMessage, TextMessage)):
                    parts.append(event.data.encode() if isinstance(event, TextMessage) else bytes(event.data))
                    if event.message_finished:
                        yield b"".join(parts)
                        parts = []
                elif isinstance(event, Ping):
                    self._writer.write(self._protocol.send(event.response()))
                elif isinstance(event, CloseConnection):
                    return
            data = await self._reader.read(CHUNK)
            if not data:
                return

    def close(self) -> None:
        self._writer.close()


class ExitCode(Exception):
    """The command ended with another code than 0."""

    def __init__(self, code: int):
        super().__init__(f"command terminated with exit code {code}")
        self.code = code


async def session(
    transport: Transport,
    where: str,
    *,
    container: str,
    command: list[str] | None = None,
    stdin: Callable[[], AsyncIterator[bytes]] | None = None,
    stdout: Callable[[bytes], None],
    stderr: Callable[[bytes], None] | None,
    tty: bool = False,
) -> None:
    """One exec (with `command`) or attach, from its start to its end. Raises ExitCode, Failure."""
    query: list[tuple[str, str]] = [("command", word) for word in command or ()]
    query += [("container", container), ("stdin", str(stdin is not None).lower()), ("stdout", "true")]
    query += [("stderr", str(stderr is not None).lower()), ("tty", str(tty).lower())]
    socket = await WebSocket.open(transport, f"{where}?{urlencode(query)}", "v5.channel.k8s.io")
    ended: dict[str, Any] | None = None
    tasks = [asyncio.create_task(_feed(socket, stdin))] if stdin else []
    if tty:
        tasks.append(asyncio.create_task(_sizes(socket)))
    try:
        async for message in socket.messages():
            channel, data = (message[0], message[1:]) if message else (STATUS, b"")
            if channel == STDOUT:
                stdout(data)
            elif channel == STDERR and stderr is not None:
                stderr(data)
            elif channel == STATUS and data:
                ended = orjson.loads(data)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        socket.close()
    _judge(ended)


def _judge(status: dict[str, Any] | None) -> None:
    if status is None or status.get("status") == "Success":
        return
    if status.get("reason") == "NonZeroExitCode":
        for cause in (status.get("details") or {}).get("causes") or ():
            if cause.get("reason") == "ExitCode":
                raise ExitCode(int(cause["message"]))
    raise Failure(status.get("message") or "error stream protocol error: unknown error")


async def _feed(socket: WebSocket, source: Callable[[], AsyncIterator[bytes]]) -> None:
    async for data in source():
        await socket.send(bytes([STDIN]) + data)
    await socket.send(bytes([CLOSE, STDIN]))


async def standard_input() -> AsyncIterator[bytes]:
    """What comes on file descriptor 0, be it a terminal, a pipe or a file; a thread reads, since files cannot be polled."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue(maxsize=4)

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody wants more
            while True:
                data = os.read(0, CHUNK)
                asyncio.run_coroutine_threadsafe(queue.put(data), loop).result()
                if not data:
                    return

    threading.Thread(target=read, daemon=True).start()
    while data := await queue.get():
        yield data


@contextlib.contextmanager
def raw_terminal() -> Iterator[None]:
    """Every key goes to the container, ^C too."""
    import termios
    import tty

    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


async def _sizes(socket: WebSocket) -> None:
    """Tells the container the terminal's size, now and when it changes."""
    changed = asyncio.Event()
    changed.set()
    asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, changed.set)
    while True:
        await changed.wait()
        changed.clear()
        with contextlib.suppress(OSError):  # no terminal to measure
            size = os.get_terminal_size(0)
            await socket.send(bytes([RESIZE]) + orjson.dumps({"Width": size.columns, "Height": size.lines}))


def to_stdout(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def to_stderr(data: bytes) -> None:
    sys.stderr.buffer.write(data)
    sys.stderr.buffer.flush()
