"""What a node asks of a container engine: CRI v1 in Python (k8s.io/cri-api runtime.v1), and nothing more.

`containerd.ContainerdEngine` speaks CRI over gRPC; `simulated.SimulatedEngine` plays scripts on the clock.
Names and states are CRI's. Times are seconds since the epoch (0: never). Errors are `EngineError`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class EngineError(Exception):
    """The engine refused. `code` is the gRPC status name (NOT_FOUND, UNAVAILABLE, …); `message` is the engine's own."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True, slots=True)
class PortMapping:
    container_port: int
    host_port: int
    protocol: str = "TCP"
    host_ip: str = ""


@dataclass(frozen=True, slots=True)
class SecurityContext:
    """Of a sandbox or a container: CRI's LinuxSandboxSecurityContext and LinuxContainerSecurityContext in one."""

    run_as_user: int | None = None
    run_as_username: str = ""
    run_as_group: int | None = None
    supplemental_groups: tuple[int, ...] = ()
    supplemental_groups_policy: str = "Merge"  # or Strict
    privileged: bool = False
    readonly_rootfs: bool = False
    no_new_privs: bool = False
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    seccomp: str = "Unconfined"  # RuntimeDefault, Unconfined, or Localhost:<path>
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    share_pid: bool = False  # one PID namespace for the pod (shareProcessNamespace)
    pid_of: str = ""  # the container whose PID namespace is entered (an ephemeral container's target)


@dataclass(frozen=True, slots=True)
class DnsConfig:
    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PodSandboxConfig:
    name: str
    namespace: str
    uid: str
    attempt: int
    hostname: str
    log_directory: str
    dns: DnsConfig | None = None
    port_mappings: tuple[PortMapping, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    cgroup_parent: str = ""
    sysctls: dict[str, str] = field(default_factory=dict)
    security: SecurityContext = SecurityContext()
    runtime_handler: str = ""


@dataclass(frozen=True, slots=True)
class Mount:
    container_path: str
    host_path: str
    readonly: bool = False
    propagation: str = "PRIVATE"  # PRIVATE, HOST_TO_CONTAINER, BIDIRECTIONAL


@dataclass(frozen=True, slots=True)
class Resources:
    """CRI's LinuxContainerResources; 0 is "not set"."""

    cpu_period: int = 0  # µs
    cpu_quota: int = 0  # µs a period
    cpu_shares: int = 0
    memory_limit_bytes: int = 0
    oom_score_adj: int = 0
    unified: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    name: str
    attempt: int
    image: str  # the image's id or reference, as ImageStatus gave it
    image_spec: str  # what the user wrote
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    env: tuple[tuple[str, str], ...] = ()
    mounts: tuple[Mount, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    log_path: str = ""  # relative to the sandbox's log_directory
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    resources: Resources = Resources()
    security: SecurityContext = SecurityContext()
    stop_signal: str = ""


@dataclass(frozen=True, slots=True)
class PodSandboxStatus:
    id: str
    name: str
    namespace: str
    uid: str
    attempt: int
    ready: bool
    created_at: float
    ips: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    id: str
    sandbox_id: str
    name: str
    attempt: int
    state: str  # CREATED, RUNNING, EXITED, UNKNOWN
    created_at: float = 0.0
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    reason: str = ""  # Completed, Error, OOMKilled, StartError, ContainerCannotRun
    message: str = ""
    image: str = ""  # what the user wrote
    image_ref: str = ""  # name@sha256:…, or sha256:…
    image_id: str = ""
    log_path: str = ""  # absolute
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    user: tuple[int, int, tuple[int, ...]] | None = (
        None  # uid, gid, supplemental groups, where the engine tells
    )


@dataclass(frozen=True, slots=True)
class Image:
    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    size_bytes: int
    user: str = ""  # what the image says it runs as: "", "1000" or "name"
    uid: int | None = None


@dataclass(frozen=True, slots=True)
class ContainerStats:
    id: str
    at: float
    cpu_usage_core_ns: int
    memory_working_set_bytes: int
    memory_usage_bytes: int = 0
    memory_rss_bytes: int = 0
    writable_layer_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ExecResult:
    exit_code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """Something changed in this sandbox: look again. `container_id` is "" for the sandbox itself.

    When it arrives, the engine's status shows it already. What a caller makes (CREATED) is not told: it knows.
    """

    sandbox_id: str
    container_id: str
    type: str  # STARTED, STOPPED, DELETED


class Engine(Protocol):
    async def version(self) -> tuple[str, str]:
        """(name, version): ("containerd", "1.6.20")."""

    async def ready(self) -> tuple[str, str]:
        """("", "") or (reason, message) of what is not ready (runtime or network)."""

    async def run_pod_sandbox(self, config: PodSandboxConfig) -> str:
        """Returns its id, with its network up."""

    # Stopping and removing what has gone already succeeds, of sandboxes, containers and images.

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        """Ends its containers too, at once; gives its addresses back."""

    async def remove_pod_sandbox(self, sandbox_id: str) -> None: ...

    async def pod_sandboxes(self, uid: str = "") -> list[PodSandboxStatus]:
        """All, or those of one pod, with their addresses."""

    async def create_container(
        self, sandbox_id: str, config: ContainerConfig, sandbox: PodSandboxConfig
    ) -> str: ...
    async def start_container(self, container_id: str) -> None: ...
    async def stop_container(self, container_id: str, timeout_s: int) -> None:
        """SIGTERM (or the image's stop signal), and SIGKILL after `timeout_s`; returns when it has ended."""

    async def remove_container(self, container_id: str) -> None: ...
    async def containers(self, sandbox_id: str = "") -> list[ContainerStatus]:
        """All, or those of one sandbox; without exit codes, times and mounts where that needs a call each."""

    async def container_status(self, container_id: str) -> ContainerStatus: ...
    async def update_container_resources(self, container_id: str, resources: Resources) -> None: ...
    async def container_stats(self) -> list[ContainerStats]: ...
    async def reopen_container_log(self, container_id: str) -> None: ...
    async def exec_sync(self, container_id: str, command: list[str], timeout_s: float) -> ExecResult:
        """Raises EngineError DEADLINE_EXCEEDED when it takes longer."""

    async def exec(
        self, container_id: str, command: list[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str:
        """A URL on the engine's streaming server (SPDY/3.1 or WebSocket), to be used once."""

    async def attach(
        self, container_id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str: ...
    async def port_forward(self, sandbox_id: str) -> str: ...

    async def pull_image(self, image: str, auth: dict[str, str] | None = None) -> str:
        """Returns the image's reference. Raises EngineError."""

    async def image_status(self, image: str) -> Image | None: ...
    async def images(self) -> list[Image]: ...
    async def remove_image(self, image: str) -> None: ...
    async def mount_image(self, image: str, path: Path) -> None:
        """An image's files at `path`, read only, until it is unmounted."""

    async def image_filesystem(self) -> tuple[int, int]:
        """(used bytes, used inodes)."""

    def events(self) -> AsyncIterator[EngineEvent]:
        """What happens in the engine, from now on; ends or raises EngineError when the connection is lost."""

    async def close(self) -> None: ...
