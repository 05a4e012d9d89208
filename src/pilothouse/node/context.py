"""What the parts of one node share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..api.object import Object
from ..base.clock import Clock
from ..base.random import Random
from ..client.informer import Lister
from ..client.interface import Client
from ..client.recorder import EventRecorder
from ..runtime.interface import DnsConfig, Engine
from .config import NodeConfig
from .images import ImagePuller
from .observed import Waiting
from .sources import ApiSources
from .statuses import StatusWriter
from .volumes import VolumeManager

T = TypeVar("T")
Dial = Callable[[str, int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


async def _takes_all(pod: Object) -> Waiting | None:
    return None


@dataclass(slots=True)
class NodeContext:
    config: NodeConfig
    engine: Engine
    client: Client
    clock: Clock
    random: Random
    recorder: EventRecorder
    statuses: StatusWriter
    sources: ApiSources
    volumes: VolumeManager
    images: ImagePuller
    services: Lister
    dial: Dial
    engine_name: str = "containerd"
    allocatable: dict[str, str] = field(default_factory=dict)
    dns: DnsConfig = DnsConfig()
    uid_of_sandbox: dict[str, str] = field(default_factory=dict)
    pressures: set[str] = field(default_factory=set)  # conditions: MemoryPressure, DiskPressure
    admit: Callable[[Object], Awaitable[Waiting | None]] = _takes_all
    others: Callable[[str], list[Object]] = lambda uid: []  # the pods that take room here, but for that one

    def event(self, pod: Object, type_: str, reason: str, message: str, container: str = "") -> None:
        """`container`: the field path of the container that it is about."""
        self.recorder.event(pod, type_, reason, message, field_path=container)

    def node_event(self, reason: str, message: str, type_: str = "Normal") -> None:
        name = self.config.name
        self.recorder.event({"kind": "Node", "name": name, "uid": name}, type_, reason, message)


async def to_its_end(call: Coroutine[Any, Any, T]) -> T:
    """Whoever is cancelled meanwhile ends only afterwards: what an engine has half made, nobody would find again."""
    task, cancelled = asyncio.ensure_future(call), False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        task.exception()  # nobody is left to hear of it
        raise asyncio.CancelledError
    return task.result()


def field_path(pod: Object, name: str) -> str:
    """`spec.containers{name}`, as events name a container."""
    for key in ("containers", "initContainers", "ephemeralContainers"):
        if any(container["name"] == name for container in pod["spec"].get(key) or ()):
            return f"spec.{key}{{{name}}}"
    return ""
