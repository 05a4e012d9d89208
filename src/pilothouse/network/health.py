"""`healthCheckNodePort`: on every node, an HTTP answer that says whether it has ready endpoints of a service.

A load balancer outside sends a service with `externalTrafficPolicy: Local` only to the nodes that answer 200. The socket is opened inside the node's
network namespace, and served from here.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from ..api.object import Object, name_of, namespace_of

log = logging.getLogger(__name__)
REQUEST_TIMEOUT_S = 5.0
CLONE_NEWNET = 0x40000000


@dataclass(frozen=True, slots=True)
class Health:
    namespace: str
    name: str
    endpoints: int

    def response(self) -> bytes:
        """As kube-proxy writes it."""
        service = {"namespace": self.namespace, "name": self.name}
        answer = {"service": service, "localEndpoints": self.endpoints, "serviceProxyHealthy": True}
        body = json.dumps(answer, indent="\t").encode()
        status = "200 OK" if self.endpoints else "503 Service Unavailable"
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n"
            f"X-Load-Balancing-Endpoint-Weight: {self.endpoints}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + body


def wanted(
    services: Iterable[Object], slices_of: dict[tuple[str, str], list[Object]], node: str
) -> dict[int, Health]:
    """What each health check port should say on this node."""
    found = {}
    for service in services:
        spec, key = service.get("spec") or {}, (namespace_of(service), name_of(service))
        if port := spec.get("healthCheckNodePort"):
            local = {
                endpoint["addresses"][0]
                for slice_ in slices_of.get(key, [])
                for endpoint in slice_.get("endpoints") or ()
                if endpoint.get("nodeName") == node
                and (endpoint.get("conditions") or {}).get("ready") is not False
            }
            found[port] = Health(*key, len(local))
    return found


class HealthPorts:
    """Keeps the ports of one node open and their answers current."""

    def __init__(self, netns: str):
        self._netns = netns
        self._answers: dict[int, Health] = {}
        self._servers: dict[int, asyncio.Server] = {}

    async def update(self, answers: dict[int, Health]) -> None:
        self._answers = answers
        for port in set(self._servers) - set(answers):
            self._servers.pop(port).close()
        for port in set(answers) - set(self._servers):
            try:
                listener = await asyncio.to_thread(listener_in, self._netns, port)
            except OSError as error:
                log.warning("health check port %s of %s: %s", port, self._netns, error)
                continue

            async def serve(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int = port
            ) -> None:
                await self._serve(port, reader, writer)

            self._servers[port] = await asyncio.start_server(serve, sock=listener)

    async def close(self) -> None:
        await self.update({})

    async def _serve(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(
            OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
        ):
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answers.get(port, Health("", "", 0)).response())
                await writer.drain()
        writer.close()


def listener_in(netns: str, port: int) -> socket.socket:
    """A listening socket in a network namespace, which only this thread enters, and leaves again. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(descriptor: int) -> None:
        if libc.setns(descriptor, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"entering {netns}: {os.strerror(ctypes.get_errno())}")

    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(f"/run/netns/{netns}", os.O_RDONLY)
        try:
            enter(there)
        finally:
            os.close(there)
        try:
            listener = socket.create_server(("0.0.0.0", port))
        finally:
            enter(own)
    finally:
        os.close(own)
    listener.setblocking(False)
    return listener
