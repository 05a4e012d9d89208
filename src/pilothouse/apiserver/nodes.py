"""How the API server reaches a node: the one interface between it and the kubelet (`node/`).

In Kubernetes the API server dials the kubelet's own HTTPS port. Here a node registers a `NodeConnector` for its name
(`NodeConnectors.register`), in process or over whatever wire the agent has, and the API server asks it for three things:

- `logs`: the bytes of a container's log, as `kubectl logs` prints them. The connector applies the options (tail, since,
  limitBytes, timestamps, previous, follow) itself; the iterator ends when the log does, and is closed when the client
  leaves. A container that is not there, or has not started, is an ApiError(400, "BadRequest", …) in the kubelet's
  words, raised before the first chunk.
- `stream_url`: for exec, attach and port-forward, the URL of the engine's streaming server for this one session (what
  CRI's Exec, Attach and PortForward answer). `streaming.py` then tunnels the client to it: bytes as they are for a
  SPDY client, translated for a WebSocket client. A node knows nothing of WebSockets.
- `connect`: a connection to an address that its network reaches, for proxied requests.

A node that is not registered is a pod whose node is unreachable: `NodeConnectors.of` raises what Kubernetes answers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

from ..api.errors import ApiError
from ..api.object import Object


@dataclass(frozen=True, slots=True)
class LogOptions:
    """The query of GET pods/<name>/log (`PodLogOptions`)."""

    container: str
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    since_seconds: int | None = None
    since_time: str = ""
    tail_lines: int | None = None
    limit_bytes: int | None = None
    stream: str = "All"  # All, Stdout or Stderr


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """The query of exec, attach (`PodExecOptions`, `PodAttachOptions`) and portforward."""

    container: str = ""
    command: list[str] = field(default_factory=list)
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False
    ports: list[int] = field(default_factory=list)


class NodeConnector(Protocol):
    """What a node does for the API server. `pod` is the whole pod, read-only."""

    async def logs(self, pod: Object, options: LogOptions) -> AsyncIterator[bytes]:
        """Awaited: errors come now. Iterated: the log's bytes."""
        ...

    async def stream_url(self, pod: Object, kind: str, options: StreamOptions) -> str:
        """`kind` is exec, attach or portforward. An http:// URL that speaks SPDY/3.1 after an upgrade."""
        ...

    async def connect(self, host: str, port: int) -> tuple[object, object]:
        """(asyncio.StreamReader, asyncio.StreamWriter) to an address that the node's network reaches: for the engine's
        streaming server, and for the proxy subresources of pods, services and nodes."""
        ...


class NodeConnectors:
    """The nodes that can be reached now, by name."""

    def __init__(self) -> None:
        self._connectors: dict[str, NodeConnector] = {}

    def register(self, node: str, connector: NodeConnector) -> None:
        self._connectors[node] = connector

    def unregister(self, node: str) -> None:
        self._connectors.pop(node, None)

    def knows(self, node: str) -> bool:
        return node in self._connectors

    def any(self, preferred: str = "") -> NodeConnector | None:
        """Some node: cluster IPs and pod IPs are reachable from every one of them."""
        if preferred in self._connectors:
            return self._connectors[preferred]
        return next(iter(self._connectors.values()), None)

    def of(self, node: str) -> NodeConnector:
        connector = self._connectors.get(node)
        if connector is None:
            why = f'Get "https://{node}:10250/": dial tcp: lookup {node}: no such host'
            raise ApiError(500, "", why, details=False)
        return connector
