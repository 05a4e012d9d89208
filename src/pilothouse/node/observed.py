"""What is, as the engine tells it: the sandboxes and containers of one pod, and what the node remembers of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..api.object import Object
from ..runtime.interface import ContainerStatus, PodSandboxStatus

BACKOFF_FIRST_S, BACKOFF_MAX_S = 10.0, 300.0


@dataclass(slots=True)
class Backoff:
    """client-go's flowcontrol.Backoff for one container: 10 s, doubled to 5 min, forgotten after twice that."""

    seconds: float = 0.0
    updated: float = 0.0

    def remaining_s(self, since: float, now: float) -> float:
        """How long a restart must still wait, counted from when the container ended."""
        return 0.0 if self._forgotten(since) else max(0.0, since + self.seconds - now)

    def next(self, since: float, now: float) -> None:
        """`since`: when what is tried again ended."""
        if not self.seconds or self._forgotten(since):
            self.seconds = BACKOFF_FIRST_S
        else:
            self.seconds = min(self.seconds * 2, BACKOFF_MAX_S)
        self.updated = now

    def _forgotten(self, since: float) -> bool:
        """It ran for long before it ended."""
        return since - self.updated > 2 * BACKOFF_MAX_S


@dataclass(slots=True)
class Waiting:
    """Why a container does not run, or why its pod has failed."""

    reason: str
    message: str = ""
    disrupts: bool = False  # of a pod: the node ended it for its own sake (condition DisruptionTarget)


@dataclass(slots=True)
class PodMemory:
    """What the node itself knows of a pod, beside the engine: lost when the node's process ends, and then learnt anew."""

    backoff: dict[str, Backoff] = field(default_factory=dict)
    waiting: dict[str, Waiting] = field(default_factory=dict)  # containers that could not be started, by name
    ready: dict[str, bool] = field(default_factory=dict)  # readiness probes' results
    started: dict[str, bool] = field(default_factory=dict)  # startup probes' results
    unhealthy: dict[str, str] = field(
        default_factory=dict
    )  # container id -> "liveness" or "startup" that failed
    hooked: set[str] = field(default_factory=set)  # ids whose postStart is under way
    messages: dict[str, str] = field(default_factory=dict)  # termination messages by container id
    started_at: float = 0.0
    addresses: tuple[str, ...] = ()  # of the last sandbox that was ready: the status keeps them to the end
    failed: Waiting | None = None  # the pod as a whole: DeadlineExceeded, Evicted, …
    killed: set[str] = field(default_factory=set)  # ids that the node ended to start them anew
    restarting_all: bool = False  # a container's end asked for it, and not all have been removed yet
    removed: set[str] = field(default_factory=set)  # with it: containers that have not begun anew yet
    attempts: dict[str, int] = field(default_factory=dict)  # of containers that the engine lost: the next one
    resize: Waiting | None = None  # Deferred: what is wanted has not been granted
    resizing: Waiting | None = None  # Error: what was granted is not what runs
    actuated: dict[str, Object] = field(
        default_factory=dict
    )  # by container: what runs, where it is not what was granted


@dataclass(slots=True)
class Observed:
    """`containers`: by name, the newest first."""

    sandboxes: list[PodSandboxStatus] = field(default_factory=list)
    containers: dict[str, list[ContainerStatus]] = field(default_factory=dict)

    @property
    def sandbox(self) -> PodSandboxStatus | None:
        """The newest."""
        return max(self.sandboxes, key=lambda s: (s.attempt, s.created_at), default=None)

    @property
    def ready_sandbox(self) -> PodSandboxStatus | None:
        newest = self.sandbox
        return newest if newest is not None and newest.ready else None

    def newest(self, name: str) -> ContainerStatus | None:
        found = self.containers.get(name)
        return found[0] if found else None

    def current(self, name: str) -> ContainerStatus | None:
        """The newest, if it is in the pod's newest sandbox."""
        newest, sandbox = self.newest(name), self.sandbox
        return (
            newest if newest is not None and sandbox is not None and newest.sandbox_id == sandbox.id else None
        )

    def running(self) -> list[ContainerStatus]:
        return [c for group in self.containers.values() for c in group if c.state == "RUNNING"]

    def picture(self) -> set[tuple[str, object]]:
        """What was seen, in a form that can be compared."""
        found: set[tuple[str, object]] = {(sandbox.id, sandbox.ready) for sandbox in self.sandboxes}
        return found | {(c.id, c.state) for group in self.containers.values() for c in group}
