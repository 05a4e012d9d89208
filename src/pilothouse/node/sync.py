"""The heart of the node, pure: `sync(pod, observed, memory, now)` says what should be done next for one pod.

It is called again and again, whatever woke the worker, and always starts from what is. The order of its questions is
that of kubelet's `computePodActions`: has the sandbox to be made, which init container comes next, which containers
have to be started, restarted, killed. Back-off is a wait that it asks for, not a failure.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..api.object import Object, name_of, namespace_of, uid_of
from ..runtime.interface import ContainerStatus
from .observed import Backoff, Observed, PodMemory, Waiting


@dataclass(frozen=True, slots=True)
class Start:
    """Start the next instance of a container. `kind`: init, sidecar, container or ephemeral."""

    name: str
    attempt: int
    kind: str
    ended_at: float | None = None  # when the one before ended: counts for the back-off


@dataclass(frozen=True, slots=True)
class Kill:
    """Stop a running container; `message` is what the Killing event says."""

    container: ContainerStatus
    message: str
    reason: str = ""  # startup or liveness: which probe's grace period counts


@dataclass(slots=True)
class Decision:
    create_sandbox: bool = False
    attempt: int = 0  # of the sandbox
    kill_pod: bool = (
        False  # everything that runs, and the sandbox: it is to be made anew, or the pod has ended
    )
    starts: list[Start] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    waiting: dict[str, Waiting] = field(default_factory=dict)  # containers in back-off
    wake_in_s: float | None = None
    ended: bool = False  # all containers have ended for good
    restart_all: bool = False  # all containers are removed, and begin anew (KEP-5532)

    def wake(self, seconds: float) -> None:
        self.wake_in_s = seconds if self.wake_in_s is None else min(self.wake_in_s, seconds)


def is_sidecar(container: Object) -> bool:
    """An init container that runs on beside the others (KEP-753)."""
    return container.get("restartPolicy") == "Always"


HASH = "io.kubernetes.container.hash"  # annotation of a container in the engine


def container_hash(container: Object) -> str:
    """What, when it changes, makes another container of it: its name and image."""
    return f"{container['name']}@{container.get('image') or ''}"


def backoff_key(container: Object) -> str:
    """What, when it changes, makes a container's back-off begin anew."""
    return f"{container_hash(container)} {container.get('resources') or ''}"


def full_name(pod: Object) -> str:
    """As events and waiting messages name a pod."""
    return f"{name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})"


def sync(pod: Object, observed: Observed, memory: PodMemory, now: float) -> Decision:
    """What to do next for a pod that is not being deleted."""
    spec = pod["spec"]
    decision = Decision()
    deadline = _deadline(pod, memory, now, decision)
    if deadline or memory.failed is not None:
        decision.kill_pod = decision.ended = True
        return decision
    memory.restarting_all = bool(observed.containers) and (
        memory.restarting_all or _restarts_all(spec, observed)
    )
    decision.restart_all = memory.restarting_all
    if decision.restart_all:
        return decision
    if _has_ended(spec, observed, memory):
        decision.kill_pod = decision.ended = True
        return decision
    sandbox = observed.sandbox
    if sandbox is None or not sandbox.ready:
        if sandbox is not None and spec.get("restartPolicy") == "Never" and observed.containers:
            decision.kill_pod = decision.ended = True  # nothing of it would be started again
            return decision
        decision.create_sandbox = True
        decision.attempt = sandbox.attempt + 1 if sandbox else 0
        decision.kill_pod = sandbox is not None
        if sandbox is not None:
            return decision
    _containers(pod, observed, memory, now, decision)
    for container in spec.get("ephemeralContainers") or ():
        if observed.newest(container["name"]) is None and sandbox is not None:
            decision.starts.append(Start(container["name"], 0, "ephemeral"))
    return decision


def _deadline(pod: Object, memory: PodMemory, now: float, decision: Decision) -> bool:
    seconds = pod["spec"].get("activeDeadlineSeconds")
    if seconds is None or not memory.started_at:
        return False
    left = memory.started_at + seconds - now
    if left <= 0:
        message = "Pod was active on the node longer than the specified deadline"
        memory.failed = Waiting("DeadlineExceeded", message)
        return True
    decision.wake(left)
    return False


def restarts(spec: Object, container: Object, exit_code: int) -> bool:
    """Whether a container that ended so is started again: its own rules come first (KEP-5307)."""
    if _rule(container, exit_code):
        return True
    policy = policy_of(spec, container)
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def _rule(container: Object, exit_code: int) -> str:
    """The action of the first rule that an exit code falls under: Restart or RestartAllContainers."""
    for rule in container.get("restartPolicyRules") or ():
        codes = rule.get("exitCodes") or {}
        if (exit_code in (codes.get("values") or ())) is (codes.get("operator") == "In"):
            return str(rule.get("action") or "")
    return ""


def _restarts_all(spec: Object, observed: Observed) -> bool:
    """Whether a container ended so that all have to begin anew."""
    for container in [*(spec.get("initContainers") or ()), *spec["containers"]]:
        status = observed.newest(container["name"])
        if status is not None and status.state == "EXITED":
            if _rule(container, status.exit_code) == "RestartAllContainers":
                return True
    return False


def could_restart_all(spec: Object) -> bool:
    return any(
        rule.get("action") == "RestartAllContainers"
        for container in [*(spec.get("initContainers") or ()), *spec["containers"]]
        for rule in container.get("restartPolicyRules") or ()
    )


def policy_of(spec: Object, container: Object) -> str:
    """A container's own restart policy (KEP-5307), else its pod's."""
    return container.get("restartPolicy") or spec.get("restartPolicy") or "Always"


def _has_ended(spec: Object, observed: Observed, memory: PodMemory) -> bool:
    """All containers ran and will not run again, or an init container failed for good."""
    for container in spec.get("initContainers") or ():
        if is_sidecar(container):
            continue
        status = observed.newest(container["name"])
        if status is None or status.state != "EXITED":
            break
        if status.exit_code != 0:
            return not restarts(spec, container, status.exit_code) and not _any_main(spec, observed)
    for container in spec.get("containers") or ():
        status = observed.newest(container["name"])
        if status is None or status.state in ("RUNNING", "CREATED"):
            return False
        if (
            status.state == "UNKNOWN"
            or status.id in memory.killed
            or restarts(spec, container, status.exit_code)
        ):
            return False
    return True


def _any_main(spec: Object, observed: Observed, *states: str) -> bool:
    """Whether one of the containers is there, in one of these states if any are given."""
    found = (observed.current(container["name"]) for container in spec.get("containers") or ())
    return any(status is not None and (not states or status.state in states) for status in found)


def _containers(pod: Object, observed: Observed, memory: PodMemory, now: float, decision: Decision) -> None:
    """Init containers one after the other, then the others; a sidecar lets the next one begin once it has started.

    Only the last one that has begun holds the next ones up: a sidecar that ends later is started again meanwhile.
    """
    spec = pod["spec"]
    inits = spec.get("initContainers") or ()
    begun = [index for index, container in enumerate(inits) if observed.current(container["name"])]
    last = len(inits) if _any_main(spec, observed, "CREATED", "RUNNING") else max(begun, default=-1)
    for index, container in enumerate(inits):
        name = container["name"]
        status = observed.newest(name)
        if is_sidecar(container):
            _keep_running(pod, container, "sidecar", observed, memory, now, decision)
            running = status is not None and status.state == "RUNNING"
            if index >= last and not (running and _has_started(container, memory)):
                return
        elif index > last:
            attempt = status.attempt + 1 if status else memory.attempts.get(name, 0)
            decision.starts.append(Start(name, attempt, "init"))
            return
        elif index == last and status is not None:
            if status.state == "CREATED":
                decision.starts.append(Start(name, status.attempt + 1, "init"))
            elif status.state == "UNKNOWN" or (
                status.exit_code and restarts(spec, container, status.exit_code)
            ):
                _restart(pod, container, "init", observed, memory, now, decision)
            if status.state != "EXITED" or status.exit_code:
                return
    for container in spec.get("containers") or ():
        _keep_running(pod, container, "container", observed, memory, now, decision)
    if decision.kills and not _goes_on(spec, observed, memory, decision):
        decision.kill_pod = decision.ended = True


def _goes_on(spec: Object, observed: Observed, memory: PodMemory, decision: Decision) -> bool:
    """Whether a container (sidecars do not count) runs on or is started after what is to be killed."""
    ending = {kill.container.id for kill in decision.kills} - memory.killed
    coming = {start.name for start in decision.starts} | decision.waiting.keys()
    for container in spec["containers"]:
        status = observed.newest(container["name"])
        if container["name"] in coming or (status and status.state == "RUNNING" and status.id not in ending):
            return True
    return False


def _has_started(container: Object, memory: PodMemory) -> bool:
    return not container.get("startupProbe") or memory.started.get(container["name"], False)


def _keep_running(
    pod: Object,
    container: Object,
    kind: str,
    observed: Observed,
    memory: PodMemory,
    now: float,
    decision: Decision,
) -> None:
    name = container["name"]
    status = observed.newest(name)
    if status is None:
        waiting, backoff = memory.waiting.get(name), memory.backoff.get(backoff_key(container))
        if backoff is not None and waiting is not None and waiting.reason == "CrashLoopBackOff":
            if (left := backoff.remaining_s(backoff.updated, now)) > 0:
                decision.wake(left)
                return
        decision.starts.append(Start(name, memory.attempts.get(name, 0), kind))
        return
    if status.state == "RUNNING":
        what = "Init container" if kind == "sidecar" else "Container"
        if status.annotations.get(HASH, container_hash(container)) != container_hash(container):
            message, reason, again = f"{what} {name} definition changed", "", True
        elif reason := memory.unhealthy.get(status.id, ""):
            message = f"{what} {name} failed {reason} probe"
            again = policy_of(pod["spec"], container) != "Never"
        else:
            return
        if again:
            memory.killed.add(status.id)
            message += "" if kind == "sidecar" else ", will be restarted"
        decision.kills.append(Kill(status, message, reason))
        return
    if (
        kind == "container"
        and status.state == "EXITED"
        and status.id not in memory.killed
        and not restarts(pod["spec"], container, status.exit_code)
    ):
        return
    _restart(pod, container, kind, observed, memory, now, decision)


def _restart(
    pod: Object,
    container: Object,
    kind: str,
    observed: Observed,
    memory: PodMemory,
    now: float,
    decision: Decision,
) -> None:
    """The next instance: at once the first time, then after 10 s, 20 s, …

    What the node killed to start it anew follows at once, unless the instance before that has only just ended.
    """
    name = container["name"]
    status, *older = observed.containers[name]
    ended: ContainerStatus | None = status
    if status.id in memory.killed:
        memory.killed.discard(status.id)
        ended = next((c for c in older if c.state == "EXITED"), None)
    if ended is None:
        decision.starts.append(Start(name, status.attempt + 1, kind))
        return
    backoff = memory.backoff.setdefault(backoff_key(container), Backoff())
    since = ended.finished_at or ended.created_at
    left = backoff.remaining_s(since, now)
    if left > 0:
        seconds = _go_duration(backoff.seconds)
        message = f"back-off {seconds} restarting failed container={name} pod={full_name(pod)}"
        decision.waiting[name] = Waiting("CrashLoopBackOff", message)
        decision.wake(left)
        return
    decision.starts.append(Start(name, status.attempt + 1, kind, ended_at=since))


def _go_duration(seconds: float) -> str:
    """10s, 1m20s, 5m0s."""
    whole = int(seconds)
    return f"{whole // 60}m{whole % 60}s" if whole >= 60 else f"{whole}s"
