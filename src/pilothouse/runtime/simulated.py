"""The simulated engine: containers are scripts on the clock, for fleets and for tests of everything above.

Same interface and same states as containerd; nothing runs, nothing is written to a disk. What a container does is decided by
`simulated_scripts`. The same seed and the same calls give the same ids, addresses and times.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .images import full_name
from .interface import (
    ContainerConfig,
    ContainerStats,
    ContainerStatus,
    EngineError,
    EngineEvent,
    ExecResult,
    Image,
    PodSandboxConfig,
    PodSandboxStatus,
    Resources,
)
from .simulated_scripts import Script, command_result, script_of

if TYPE_CHECKING:
    from ..base.clock import Clock
    from ..base.random import Random

Scripts = Callable[[PodSandboxConfig, ContainerConfig], Script | None]

EVENTS_MAX = 10_000  # that one listener may lag behind
OUTPUT_LINES_MAX = 1000
IMAGE_BYTES = 10_000_000
SIGKILL_CODE, OOM_CODE = 137, 137


@dataclass(slots=True)
class _Sandbox:
    status: PodSandboxStatus
    config: PodSandboxConfig
    containers: dict[str, _Container] = field(default_factory=dict)


@dataclass(slots=True)
class _Container:
    status: ContainerStatus
    config: ContainerConfig
    script: Script
    resources: Resources
    timer: asyncio.TimerHandle | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    output: deque[str] = field(default_factory=lambda: deque(maxlen=OUTPUT_LINES_MAX))


class SimulatedEngine:
    """`Engine` without containers. `scripts` may decide what a container does before annotations and commands do."""

    simulated = True  # probes over the network cannot reach these containers: ask `probe`

    def __init__(
        self,
        clock: Clock,
        random: Random,
        scripts: Scripts | None = None,
        pod_cidr: str = "10.244.0.0/24",
    ):
        self._clock, self._random, self._scripts = clock, random, scripts
        self._network = ipaddress.ip_network(pod_cidr)
        self._last_address = 1  # the bridge's own
        self._addresses: set[int] = set()
        self._sandboxes: dict[str, _Sandbox] = {}
        self._containers: dict[str, _Container] = {}
        self._images: dict[str, Image] = {}
        self._listeners: list[_Listener] = []

    # -- the engine itself

    async def version(self) -> tuple[str, str]:
        return "simulated", "1.0.0"

    async def ready(self) -> tuple[str, str]:
        return "", ""

    async def close(self) -> None:
        for container in self._containers.values():
            if container.timer is not None:
                container.timer.cancel()
        for listener in list(self._listeners):
            listener.fail(EngineError("UNAVAILABLE", "the engine was closed"))

    # -- sandboxes

    async def run_pod_sandbox(self, config: PodSandboxConfig) -> str:
        for other in self._sandboxes.values():
            if (other.config.uid, other.config.attempt) == (config.uid, config.attempt):
                raise EngineError(
                    "UNKNOWN", f"failed to reserve sandbox name {config.name!r}: it is reserved"
                )
        sandbox_id = self._random.bytes(32).hex()
        status = PodSandboxStatus(
            id=sandbox_id,
            name=config.name,
            namespace=config.namespace,
            uid=config.uid,
            attempt=config.attempt,
            ready=True,
            created_at=self._clock.now(),
            ips=() if config.security.host_network else (self._take_address(),),
            labels=dict(config.labels),
            annotations=dict(config.annotations),
        )
        self._sandboxes[sandbox_id] = _Sandbox(status, config)
        self._tell(sandbox_id, "", "STARTED")
        return sandbox_id

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        if (sandbox := self._sandboxes.get(sandbox_id)) is None:
            return  # CRI: stopping what is gone succeeds
        for container in sandbox.containers.values():
            if container.status.state == "RUNNING":
                self._end(container, SIGKILL_CODE)
        if sandbox.status.ready:
            for address in sandbox.status.ips:
                self._addresses.discard(int(ipaddress.ip_address(address)) - int(self._network[0]))
            sandbox.status = replace(sandbox.status, ready=False, ips=())
            self._tell(sandbox_id, "", "STOPPED")

    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        if (sandbox := self._sandboxes.get(sandbox_id)) is None:
            return
        await self.stop_pod_sandbox(sandbox_id)
        for container_id in list(sandbox.containers):
            await self.remove_container(container_id)
        del self._sandboxes[sandbox_id]
        self._tell(sandbox_id, "", "DELETED")

    async def pod_sandboxes(self, uid: str = "") -> list[PodSandboxStatus]:
        return [s.status for s in self._sandboxes.values() if not uid or s.config.uid == uid]

    def _take_address(self) -> str:
        """The next free one after the last, as the host-local plugin does."""
        size = self._network.num_addresses
        for step in range(1, size):
            offset = (self._last_address + step - 2) % (size - 3) + 2  # not .0, .1, nor broadcast
            if offset not in self._addresses:
                self._addresses.add(offset)
                self._last_address = offset
                return str(self._network[offset])
        raise EngineError("UNKNOWN", f"no IP addresses available in range set: {self._network}")

    # -- containers

    async def create_container(
        self, sandbox_id: str, config: ContainerConfig, sandbox: PodSandboxConfig
    ) -> str:
        if (owner := self._sandboxes.get(sandbox_id)) is None:
            raise EngineError("NOT_FOUND", f'failed to find sandbox id "{sandbox_id}": not found')
        image = await self.image_status(config.image)
        if image is None:
            raise EngineError("NOT_FOUND", f'failed to resolve image "{config.image}": not found')
        script = self._scripts(sandbox, config) if self._scripts else None
        if script is None:
            try:
                script = script_of(config.name, sandbox.annotations, (*config.command, *config.args))
            except ValueError as error:
                raise EngineError("INVALID_ARGUMENT", str(error)) from None
        container_id = self._random.bytes(32).hex()
        status = ContainerStatus(
            id=container_id,
            sandbox_id=sandbox_id,
            name=config.name,
            attempt=config.attempt,
            state="CREATED",
            created_at=self._clock.now(),
            image=image.tags[0] if image.tags else config.image,
            image_ref=image.digests[0] if image.digests else image.id,
            image_id=image.id,
            log_path=f"{sandbox.log_directory}/{config.log_path}" if config.log_path else "",
            labels=dict(config.labels),
            annotations=dict(config.annotations),
            mounts=config.mounts,
        )
        container = _Container(status, config, script, config.resources)
        self._containers[container_id] = owner.containers[container_id] = container
        return container_id

    async def start_container(self, container_id: str) -> None:
        container = self._container(container_id)
        if container.status.state != "CREATED":
            raise EngineError("UNKNOWN", f"container is in {container.status.state} state")
        script = container.script
        if script.start_delay_s:
            await self._clock.sleep(script.start_delay_s)
            if self._containers.get(container_id) is not container:
                raise EngineError("NOT_FOUND", f'container "{container_id}" was removed while it started')
        container.status = replace(container.status, state="RUNNING", started_at=self._clock.now())
        container.output.extend(script.output.splitlines())
        self._tell(container.status.sandbox_id, container_id, "STARTED")
        limit = container.resources.memory_limit_bytes
        if 0 < limit < script.memory_bytes:
            self._end_later(container, 0.0, OOM_CODE, "OOMKilled")
        elif script.duration_s is not None:
            self._end_later(container, script.duration_s, script.exit_code)

    async def stop_container(self, container_id: str, timeout_s: int) -> None:
        if (container := self._containers.get(container_id)) is None:
            return
        if container.status.state != "RUNNING":
            return
        stop_s = container.script.stop_s
        if stop_s is None or stop_s > timeout_s:
            self._end_later(container, timeout_s, SIGKILL_CODE)
        else:
            self._end_later(container, stop_s, container.script.stop_exit_code)
        await container.ended.wait()

    async def remove_container(self, container_id: str) -> None:
        if (container := self._containers.get(container_id)) is None:
            return
        if container.status.state == "RUNNING":
            self._end(container, SIGKILL_CODE)
        del self._containers[container_id]
        del self._sandboxes[container.status.sandbox_id].containers[container_id]
        self._tell(container.status.sandbox_id, container_id, "DELETED")

    async def containers(self, sandbox_id: str = "") -> list[ContainerStatus]:
        if not sandbox_id:
            return [container.status for container in self._containers.values()]
        sandbox = self._sandboxes.get(sandbox_id)
        return [container.status for container in sandbox.containers.values()] if sandbox else []

    async def container_status(self, container_id: str) -> ContainerStatus:
        return self._container(container_id).status

    async def update_container_resources(self, container_id: str, resources: Resources) -> None:
        self._container(container_id).resources = resources

    async def container_stats(self) -> list[ContainerStats]:
        now = self._clock.now()
        running = (c for c in self._containers.values() if c.status.state == "RUNNING")
        return [
            ContainerStats(
                id=c.status.id,
                at=now,
                cpu_usage_core_ns=round(c.script.cpu_cores * (now - c.status.started_at) * 1e9),
                memory_working_set_bytes=c.script.memory_bytes,
                memory_usage_bytes=c.script.memory_bytes,
                memory_rss_bytes=c.script.memory_bytes,
            )
            for c in running
        ]

    async def reopen_container_log(self, container_id: str) -> None:
        self._container(container_id)

    def _container(self, container_id: str) -> _Container:
        if (container := self._containers.get(container_id)) is None:
            raise EngineError(
                "NOT_FOUND",
                f'an error occurred when try to find container "{container_id}": not found',
            )
        return container

    def _end_later(self, container: _Container, after_s: float, exit_code: int, reason: str = "") -> None:
        """Ends it then, unless it was to end sooner by itself."""
        loop = asyncio.get_running_loop()
        if container.timer is not None:
            if container.timer.when() <= loop.time() + after_s:
                return
            container.timer.cancel()
        container.timer = loop.call_later(after_s, self._end, container, exit_code, reason)

    def _end(self, container: _Container, exit_code: int, reason: str = "") -> None:
        if container.timer is not None:
            container.timer.cancel()
            container.timer = None
        container.status = replace(
            container.status,
            state="EXITED",
            finished_at=self._clock.now(),
            exit_code=exit_code,
            reason=reason or ("Completed" if exit_code == 0 else "Error"),
            message=container.script.message,
        )
        container.ended.set()
        self._tell(container.status.sandbox_id, container.status.id, "STOPPED")

    # -- for the node, simulations and tests, beyond `Engine`

    def probe(self, container_id: str) -> bool:
        """What a probe over the network finds in this container now."""
        container = self._containers.get(container_id)
        if container is None or container.status.state != "RUNNING":
            return False
        age_s, script = self._clock.now() - container.status.started_at, container.script
        return age_s >= script.ready_after_s and (
            script.ready_until_s is None or age_s < script.ready_until_s
        )

    def output(self, container_id: str) -> list[str]:
        """The last lines that it wrote."""
        return list(self._container(container_id).output)

    def exit_container(self, container_id: str, exit_code: int, reason: str = "") -> None:
        """Its process ends now, by itself."""
        container = self._container(container_id)
        if container.status.state == "RUNNING":
            self._end(container, exit_code, reason)

    # -- processes in containers

    async def exec_sync(self, container_id: str, command: list[str], timeout_s: float) -> ExecResult:
        container = self._container(container_id)
        if container.status.state != "RUNNING":
            raise EngineError("UNKNOWN", f"container is in CONTAINER_{container.status.state} state")
        seconds, code, output = command_result(command)
        if timeout_s > 0 and (seconds is None or seconds > timeout_s):
            await self._clock.sleep(timeout_s)
            raise EngineError(
                "DEADLINE_EXCEEDED", f"failed to exec in container: timeout {timeout_s:g}s exceeded"
            )
        if seconds is None:
            await container.ended.wait()
            return ExecResult(SIGKILL_CODE, b"", b"")
        if seconds:
            await self._clock.sleep(seconds)
        if container.script.exec_exit_code is not None:
            code = container.script.exec_exit_code
        return ExecResult(code, output.encode(), b"")

    async def exec(
        self, container_id: str, command: list[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str:
        raise EngineError("UNIMPLEMENTED", "a simulated container has no streams")

    async def attach(self, container_id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str:
        raise EngineError("UNIMPLEMENTED", "a simulated container has no streams")

    async def port_forward(self, sandbox_id: str) -> str:
        raise EngineError("UNIMPLEMENTED", "a simulated container has no streams")

    # -- images: all exist, but those of a registry in .invalid (RFC 6761)

    async def pull_image(self, image: str, auth: dict[str, str] | None = None) -> str:
        name = full_name(image)
        if name.partition("/")[0].partition(":")[0].endswith(".invalid"):
            host = name.partition("/")[0]
            raise EngineError(
                "UNKNOWN",
                f'failed to pull and unpack image "{name}": failed to resolve reference "{name}": '
                f"failed to do request: dial tcp: lookup {host}: no such host",
            )
        digest = hashlib.sha256(name.encode()).hexdigest()
        image_id = "sha256:" + hashlib.sha256(digest.encode()).hexdigest()
        repository = name.partition("@")[0].rpartition(":")[0] if "@" not in name else name.partition("@")[0]
        self._images[name] = Image(
            id=image_id,
            tags=() if "@" in name else (name,),
            digests=(f"{repository}@sha256:{digest}",),
            size_bytes=IMAGE_BYTES,
        )
        return self._images[name].digests[0]

    async def image_status(self, image: str) -> Image | None:
        if found := self._images.get(full_name(image)):
            return found
        return next((i for i in self._images.values() if image == i.id or image in i.digests), None)

    async def images(self) -> list[Image]:
        return list(self._images.values())

    async def remove_image(self, image: str) -> None:
        if found := await self.image_status(image):
            self._images = {name: kept for name, kept in self._images.items() if kept.id != found.id}

    async def mount_image(self, image: str, path: Path) -> None:
        """There are no files."""

    async def image_filesystem(self) -> tuple[int, int]:
        return sum(image.size_bytes for image in self._images.values()), len(self._images)

    # -- events

    def events(self) -> AsyncIterator[EngineEvent]:
        listener = _Listener(self._listeners)
        self._listeners.append(listener)
        return listener

    def _tell(self, sandbox_id: str, container_id: str, kind: str) -> None:
        event = EngineEvent(sandbox_id, container_id, kind)
        for listener in list(self._listeners):
            listener.put(event)


class _Listener(AsyncIterator[EngineEvent]):
    """One reader of events; one that lags behind by EVENTS_MAX gets an error, and must look at everything again."""

    def __init__(self, register: list[_Listener]):
        self._register = register
        self._waiting: deque[EngineEvent] = deque()
        self._there = asyncio.Event()
        self._failure: EngineError | None = None

    def put(self, event: EngineEvent) -> None:
        if len(self._waiting) >= EVENTS_MAX:
            self.fail(EngineError("UNAVAILABLE", "the listener fell behind"))
            return
        self._waiting.append(event)
        self._there.set()

    def fail(self, failure: EngineError) -> None:
        self._failure = failure
        if self in self._register:
            self._register.remove(self)
        self._there.set()

    async def __anext__(self) -> EngineEvent:
        while not self._waiting:
            if self._failure is not None:
                raise self._failure
            self._there.clear()
            try:
                await self._there.wait()
            except asyncio.CancelledError:
                if self in self._register:
                    self._register.remove(self)
                raise
        return self._waiting.popleft()

    async def aclose(self) -> None:
        if self in self._register:
            self._register.remove(self)
