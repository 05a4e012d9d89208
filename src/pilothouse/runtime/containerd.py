"""The production engine: containerd, spoken to in CRI v1 over gRPC on its unix socket.

What happens to containers is learnt from containerd's own event service, because CRI of containerd 1.6 has none
(`containerd_events`). Streams (exec, attach, port-forward) are opened here but flow elsewhere: CRI answers with a URL.
"""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import cri, cri_messages
from .cri import message
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

if TYPE_CHECKING:
    from ..base.clock import Clock

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # a child of ours only runs another program

REQUEST_TIMEOUT_S = 120.0  # kubelet's runtimeRequestTimeout
MESSAGE_BYTES_MAX = 16 * 1024 * 1024  # as kubelet and containerd have it
KNOWN_MAX = 20_000  # sandboxes and containers whose relation is remembered
_CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.default_authority", "localhost"),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),  # a node's connection is its own
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


class ContainerdEngine:
    """`Engine` over the containerd that listens on `socket_path`. Connects when first used, and again when it must."""

    def __init__(self, socket_path: str, clock: Clock, snapshotter: str = "overlayfs"):
        self.socket_path, self.clock, self.snapshotter = socket_path, clock, snapshotter
        self._channel: Any = None
        self._methods: dict[str, Any] = {}
        self._sandbox_of: dict[str, str] = {}  # container → sandbox, and sandbox → itself
        self._ips: dict[str, tuple[str, ...]] = {}  # of ready sandboxes: they never change

    # -- the wire

    def channel(self) -> Any:
        if self._channel is None:
            import grpc

            self._channel = grpc.aio.insecure_channel(f"unix:{self.socket_path}", options=_CHANNEL_OPTIONS)
        return self._channel

    async def call(self, method: str, timeout_s: float | None = REQUEST_TIMEOUT_S, **fields: Any) -> Any:
        """One CRI call: `method` names it, `fields` are its request's. Raises EngineError."""
        import grpc

        bound = self._methods.get(method)
        if bound is None:
            classes = cri.message_classes()
            bound = self._methods[method] = self.channel().unary_unary(
                cri.METHODS[method],
                request_serializer=classes[f"{method}Request"].SerializeToString,
                response_deserializer=classes[f"{method}Response"].FromString,
            )
        try:
            return await bound(message(f"{method}Request", **fields), timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise engine_error(error) from None

    async def call_if_there(self, method: str, **fields: Any) -> None:
        """Like `call`, for ending what may have gone already: that is success."""
        try:
            await self.call(method, **fields)
        except EngineError as error:
            if error.code != "NOT_FOUND":
                raise

    async def close(self) -> None:
        if self._channel is not None:
            channel, self._channel = self._channel, None
            self._methods.clear()
            await channel.close()

    # -- the engine itself

    async def version(self) -> tuple[str, str]:
        answer = await self.call("Version", timeout_s=10.0)
        return answer.runtime_name, answer.runtime_version.lstrip("v").split("~")[0]

    async def ready(self) -> tuple[str, str]:
        answer = await self.call("Status", timeout_s=10.0)
        for condition in answer.status.conditions:
            if not condition.status:
                return condition.reason or condition.type, condition.message
        return "", ""

    # -- sandboxes

    async def run_pod_sandbox(self, config: PodSandboxConfig) -> str:
        answer = await self.call(
            "RunPodSandbox",
            timeout_s=2 * REQUEST_TIMEOUT_S,
            config=cri_messages.sandbox_config(config),
            runtime_handler=config.runtime_handler,
        )
        self._know(answer.pod_sandbox_id, answer.pod_sandbox_id)
        return str(answer.pod_sandbox_id)

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        await self.call_if_there("StopPodSandbox", pod_sandbox_id=sandbox_id)
        self._ips.pop(sandbox_id, None)

    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        await self.call_if_there("RemovePodSandbox", pod_sandbox_id=sandbox_id)
        self._forget(sandbox_id)

    async def pod_sandboxes(self, uid: str = "") -> list[PodSandboxStatus]:
        wanted = {"io.kubernetes.pod.uid": uid} if uid else {}
        answer = await self.call("ListPodSandbox", filter=message("PodSandboxFilter", label_selector=wanted))
        found = []
        for item in answer.items:
            self._know(item.id, item.id)
            ips: tuple[str, ...] = ()
            if item.state == cri.SANDBOX_READY:
                ips = await self._sandbox_ips(item.id)
            found.append(cri_messages.pod_sandbox_status(item, ips))
        return found

    async def _sandbox_ips(self, sandbox_id: str) -> tuple[str, ...]:
        ips = self._ips.get(sandbox_id)
        if ips is None:
            try:
                answer = await self.call("PodSandboxStatus", pod_sandbox_id=sandbox_id)
            except EngineError as error:
                if error.code == "NOT_FOUND":  # removed since it was listed
                    return ()
                raise
            ips = cri_messages.sandbox_ips(answer.status)
            if ips and len(self._ips) < KNOWN_MAX:
                self._ips[sandbox_id] = ips
        return ips

    # -- containers

    async def create_container(
        self, sandbox_id: str, config: ContainerConfig, sandbox: PodSandboxConfig
    ) -> str:
        answer = await self.call(
            "CreateContainer",
            pod_sandbox_id=sandbox_id,
            config=cri_messages.container_config(config),
            sandbox_config=cri_messages.sandbox_config(sandbox),
        )
        self._know(answer.container_id, sandbox_id)
        return str(answer.container_id)

    async def start_container(self, container_id: str) -> None:
        await self.call("StartContainer", container_id=container_id)

    async def stop_container(self, container_id: str, timeout_s: int) -> None:
        await self.call_if_there(
            "StopContainer",
            timeout_s=timeout_s + REQUEST_TIMEOUT_S,
            container_id=container_id,
            timeout=timeout_s,
        )

    async def remove_container(self, container_id: str) -> None:
        await self.call_if_there("RemoveContainer", container_id=container_id)
        self._forget(container_id)

    async def containers(self, sandbox_id: str = "") -> list[ContainerStatus]:
        wanted = message("ContainerFilter", pod_sandbox_id=sandbox_id)
        answer = await self.call("ListContainers", filter=wanted)
        for item in answer.containers:
            self._know(item.id, item.pod_sandbox_id)
        return [cri_messages.listed_container(item) for item in answer.containers]

    async def container_status(self, container_id: str) -> ContainerStatus:
        answer = await self.call("ContainerStatus", container_id=container_id)
        return cri_messages.container_status(answer.status, await self.sandbox_of(container_id))

    async def update_container_resources(self, container_id: str, resources: Resources) -> None:
        wanted = cri_messages.resources(resources)
        await self.call("UpdateContainerResources", container_id=container_id, linux=wanted)

    async def container_stats(self) -> list[ContainerStats]:
        answer = await self.call("ListContainerStats")
        running = (
            stats for stats in answer.stats if stats.cpu.timestamp
        )  # one that has ended has no figures
        return [cri_messages.container_stats(stats) for stats in running]

    async def reopen_container_log(self, container_id: str) -> None:
        await self.call("ReopenContainerLog", container_id=container_id)

    # -- processes in containers

    async def exec_sync(self, container_id: str, command: list[str], timeout_s: float) -> ExecResult:
        answer = await self.call(
            "ExecSync",
            timeout_s=timeout_s + 10.0
            if timeout_s > 0
            else None,  # containerd keeps the time; this is the net below
            container_id=container_id,
            cmd=command,
            timeout=math.ceil(timeout_s),
        )
        return ExecResult(answer.exit_code, answer.stdout, answer.stderr)

    async def exec(
        self, container_id: str, command: list[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str:
        wanted = {"stdin": stdin, "stdout": stdout, "stderr": stderr and not tty, "tty": tty}
        return str((await self.call("Exec", container_id=container_id, cmd=command, **wanted)).url)

    async def attach(self, container_id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str:
        wanted = {"stdin": stdin, "stdout": stdout, "stderr": stderr and not tty, "tty": tty}
        return str((await self.call("Attach", container_id=container_id, **wanted)).url)

    async def port_forward(self, sandbox_id: str) -> str:
        return str((await self.call("PortForward", pod_sandbox_id=sandbox_id)).url)

    # -- images

    async def pull_image(self, image: str, auth: dict[str, str] | None = None) -> str:
        answer = await self.call(
            "PullImage",
            timeout_s=None,  # containerd gives up by itself when nothing moves
            image=message("ImageSpec", image=image),
            auth=message("AuthConfig", **auth) if auth else None,
        )
        return str(answer.image_ref)

    async def image_status(self, image: str) -> Image | None:
        answer = await self.call("ImageStatus", image=message("ImageSpec", image=image))
        return cri_messages.image(answer.image) if answer.HasField("image") else None

    async def images(self) -> list[Image]:
        return [cri_messages.image(item) for item in (await self.call("ListImages")).images]

    async def remove_image(self, image: str) -> None:
        await self.call_if_there("RemoveImage", image=message("ImageSpec", image=image))

    async def mount_image(self, image: str, path: Path) -> None:
        """By containerd's own means: CRI has image mounts only since 2.1. It forgets about the mount after a day, which then goes on as it is."""
        from .images import ctr

        await ctr(self, "images", "mount", "--snapshotter", self.snapshotter, image, str(path))

    async def image_filesystem(self) -> tuple[int, int]:
        answer = await self.call("ImageFsInfo")
        filesystems = answer.image_filesystems
        return (
            sum(usage.used_bytes.value for usage in filesystems),
            sum(usage.inodes_used.value for usage in filesystems),
        )

    # -- events

    def events(self) -> AsyncIterator[EngineEvent]:
        from .containerd_events import engine_events

        return engine_events(self)

    async def sandbox_of(self, container_id: str) -> str:
        """The sandbox that a container is in (a sandbox is in itself); "" when the engine knows neither."""
        if known := self._sandbox_of.get(container_id):
            return known
        answer = await self.call("ListContainers", filter=message("ContainerFilter", id=container_id))
        for item in answer.containers:
            self._know(item.id, item.pod_sandbox_id)
        if container_id not in self._sandbox_of:
            answer = await self.call("ListPodSandbox", filter=message("PodSandboxFilter", id=container_id))
            for item in answer.items:
                self._know(item.id, item.id)
        return self._sandbox_of.get(container_id, "")

    def forget(self, container_id: str) -> str:
        """The sandbox of something that was just deleted, if it was known; it is not afterwards."""
        return self._sandbox_of.pop(container_id, "")

    def _know(self, container_id: str, sandbox_id: str) -> None:
        if len(self._sandbox_of) >= KNOWN_MAX:  # only a help: what is missing is asked for again
            self._sandbox_of.clear()
        self._sandbox_of[container_id] = sandbox_id

    def _forget(self, container_id: str) -> None:
        self._ips.pop(container_id, None)


def engine_error(error: Any) -> EngineError:
    """A gRPC failure as EngineError: the status by its name, the words as containerd said them."""
    return EngineError(error.code().name, error.details() or "")
