"""`pilothouse port-forward`: local ports, each connection a pair of SPDY streams in one WebSocket tunnel."""

from __future__ import annotations

import asyncio

import click

from ..api.object import Object, get, name_of, namespace_of
from ..apiserver.spdy import Client, Data, Event, Reset
from .errors import Failure
from .pods import object_of, pods_of
from .streams import CHUNK, WebSocket
from .targets import path
from .verb import Call, many, span, verb

PROTOCOL = "SPDY/3.1+portforward.k8s.io"


@verb(
    "port-forward",
    many("--address", split=True, help="Where to listen (default localhost)."),
    span("--pod-running-timeout", default="1m0s"),
    help="Forward local ports to a pod: `port-forward POD 8080:80`, `port-forward svc/web :http`.",
)
async def command(call: Call) -> None:
    if len(call.words) < 2:
        raise call.usage("TYPE/NAME and list of ports are required for port-forward")
    obj = await object_of(call, call.words[0])
    pod = (await pods_of(call, obj, "cannot attach to", call.options.pod_running_timeout))[0]
    ports = [_pair(word, obj, pod) for word in call.words[1:]]
    phase = get(pod, "status.phase")
    if phase != "Running":
        raise Failure(f"unable to forward port because pod is not running. Current status={phase}")
    where = path(await call.connection.kind("pods"), namespace_of(pod), name_of(pod), "portforward")
    try:
        tunnel = Tunnel(await WebSocket.open(call.client.transport, where, PROTOCOL))
    except Failure as error:
        raise Failure(f"error upgrading connection: {error.message}")
    servers = []
    try:
        for local, remote in ports:
            servers += await _listen(call.options.address or ["localhost"], local, remote, tunnel)
        await tunnel.run()
    finally:
        for server in servers:
            server.close()
        tunnel.close()
    raise Failure("lost connection to pod")


def _pair(word: str, obj: Object, pod: Object) -> tuple[int, int]:
    """(local, remote) of `8080:80`, `:http`, `80`. A service's port stands for its target in the pod."""
    local, colon, remote = word.rpartition(":")
    number = _remote(remote, obj, pod)
    local = local if colon else remote
    if local.isdigit() and int(local) > 65535:
        why = f'strconv.ParseUint: parsing "{local}": value out of range'
        raise Failure(f"error parsing local port '{local}': {why}")
    if not colon:
        return (int(remote) if remote.isdigit() else number), number
    if local and not local.isdigit():
        raise Failure(
            f"error parsing local port '{local}': strconv.ParseUint: parsing \"{local}\": invalid syntax"
        )
    return int(local or 0), number


def _remote(port: str, obj: Object, pod: Object) -> int:
    if obj["kind"] != "Service":
        return int(port) if port.isdigit() else _named(port, pod)
    for each in obj["spec"].get("ports") or ():
        if port in (str(each["port"]), each.get("name")):
            if obj["spec"].get("clusterIP") == "None" and str(each.get("targetPort", "")).isdigit():
                return int(each["targetPort"]) or int(each["port"])
            target = each.get("targetPort") or each["port"]
            return target if isinstance(target, int) else _named(target, pod)
    raise Failure(f"Service {name_of(obj)} does not have a service port {port}")


def _named(name: str, pod: Object) -> int:
    for container in (*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]):
        for port in container.get("ports") or ():
            if port.get("name") == name:
                return int(port["containerPort"])
    raise Failure(f"Pod '{name_of(pod)}' does not have a named port '{name}'")


async def _listen(addresses: list[str], local: int, remote: int, tunnel: Tunnel) -> list[asyncio.Server]:
    servers = []
    hosts = [
        host for each in addresses for host in (("127.0.0.1", "::1") if each == "localhost" else (each,))
    ]
    problems = []
    for host in hosts:

        async def handle(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int = local
        ) -> None:
            click.echo(f"Handling connection for {port or writer.get_extra_info('sockname')[1]}")
            await tunnel.carry(reader, writer, remote)

        try:
            server = await asyncio.start_server(handle, host, local)
        except OSError as error:
            problems.append(str(error))
            continue
        servers.append(server)
        local = server.sockets[0].getsockname()[
            1
        ]  # a port that was left to chance is the same on all addresses
        shown = f"[{host}]" if ":" in host else host
        click.echo(f"Forwarding from {shown}:{local} -> {remote}")
    if not servers:
        raise Failure(
            f"unable to listen on any of the requested ports: [{{{local} {remote}}}]: {'; '.join(problems)}"
        )
    return servers


class Tunnel:
    """SPDY in a WebSocket: an error stream and a data stream for each connection."""

    def __init__(self, socket: WebSocket):
        self._socket, self._spdy = socket, Client()
        self._writers: dict[int, asyncio.StreamWriter] = {}
        self._errors: dict[int, int] = {}  # error stream -> port
        self._ended: dict[int, asyncio.Event] = {}
        self._next = 0
        self._sending = (
            asyncio.Lock()
        )  # header blocks share one compressor: frames leave in the order they were made

    async def run(self) -> None:
        """Until the pod's end is gone."""
        async for message in self._socket.messages():
            for event in self._spdy.receive(message):
                await self._take(event)
            if answer := self._spdy.take_outgoing():
                await self._socket.send(answer)

    async def _take(self, event: Event) -> None:
        if isinstance(event, Data):
            if event.stream in self._errors and event.data:
                message = event.data.decode(errors="replace")
                port = self._errors[event.stream]
                click.echo(f"error: an error occurred forwarding {port} -> {port}: {message}", err=True)
            writer = self._writers.get(event.stream)
            if writer is not None and event.data:
                writer.write(event.data)
                await writer.drain()
            if event.fin:
                self._end(event.stream)
        elif isinstance(event, Reset):
            self._end(event.stream)

    def _end(self, stream: int) -> None:
        if stream in self._ended:
            self._ended[stream].set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        """One local connection, from its first byte to its last."""
        async with self._sending:
            headers = {"port": str(port), "requestid": str(self._next)}
            self._next += 1
            error, opening = self._spdy.open({"streamtype": "error", **headers}, fin=True)
            await self._socket.send(opening)
            stream, opening = self._spdy.open({"streamtype": "data", **headers})
            await self._socket.send(opening)
        self._errors[error], self._writers[stream] = port, writer
        ended = self._ended[stream] = asyncio.Event()
        upload = asyncio.create_task(self._upload(reader, stream))
        try:
            await ended.wait()
        finally:
            upload.cancel()
            writer.close()
            for table in (self._writers, self._ended):
                table.pop(stream, None)

    async def _upload(self, reader: asyncio.StreamReader, stream: int) -> None:
        while data := await reader.read(CHUNK):
            await self._socket.send(self._spdy.send(stream, data))
        await self._socket.send(self._spdy.send(stream, b"", fin=True))

    def close(self) -> None:
        self._socket.close()
