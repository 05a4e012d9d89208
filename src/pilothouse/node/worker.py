"""The worker of one pod: looks at what is, asks `sync` what to do, does it, and looks again.

It is woken by a change of the pod, by the engine, by a probe's result, or by the time that `sync` asked for; whatever woke it, it
starts from what the engine shows. One step runs at a time. A step is broken off when the pod has to end (or to end sooner), as kubelet cancels
a sync that is under way; what it left half done is seen by the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from pathlib import Path

from ..api.errors import ApiError
from ..api.object import Object, condition_of, is_deleting, name_of, namespace_of, uid_of
from ..base.clock import parse_timestamp
from ..runtime.containerd_process import remove_cgroups
from ..runtime.interface import ContainerStatus, EngineError
from . import resize
from .container_config import sandbox_config
from .context import NodeContext, field_path, to_its_end
from .environment import container_named
from .eviction import EVICTED, GRACE_S
from .images import rpc_error
from .lifecycle import RETRY_S, StartError, TerminationOrder, kill_container, start_container
from .names import SandboxError, dns_config
from .observed import Observed, PodMemory, Waiting
from .observer import PodObserver
from .probes import Prober
from .resources import cgroup_parent, container_resources, limit_pod
from .status import ALL_RESTARTING, OWN_CONDITIONS, pod_status, rejected_status
from .sync import Decision, backoff_key, full_name, sync
from .volumes import volumes_used

log = logging.getLogger(__name__)

SHOW_S = 1.0  # after a container has begun to wait, the status that says so is written
MOUNT_FIRST_S, MOUNT_MAX_S = 0.5, 122.0  # between tries, doubled
REFRESH_S = 60.0  # of files from ConfigMaps, Secrets and tokens (kubelet's syncFrequency)
DEAD_MAX = 1  # instances of a container that are kept when they have ended
_LIVE_VOLUMES = ("configMap", "secret", "downwardAPI", "projected")


class PodWorker:
    def __init__(self, node: NodeContext, pod: Object):
        self.node, self.pod, self.uid = node, pod, uid_of(pod)
        self.memory, self.observed = PodMemory(), Observed()
        self.prober = Prober(node, self.memory, self.wake)
        self.gone = False  # its object has been deleted
        self.ended = False  # nothing of it runs, and nothing will
        self._release_at = 0.0  # when the API server is told (again) that the pod may go
        self._rejected: Waiting | None = None
        status = pod.get("status") or {}
        self._admitted = status.get("phase", "Pending") != "Pending" or bool(status.get("containerStatuses"))
        self._cleaned = False
        self._woken = asyncio.Event()
        self._step: asyncio.Task[float | None] | None = None
        self._interrupted = False
        self._status: Object | None = None
        self._observer = PodObserver(node, self.uid, self.memory)
        self._mounted: dict[str, str] | None = None
        self._mount_retry_s, self._mount_at, self._refresh_at = MOUNT_FIRST_S, 0.0, 0.0
        self._retry_at: dict[str, float] = {}  # containers that could not be started
        self.allocated = self._actuated = resize.allocated_before(pod)
        self._resize_told: int | None = None
        self._adopt()

    def _adopt(self) -> None:
        """What a node's earlier process has written down about this pod still holds (1.35: ready stays ready)."""
        status = self.pod.get("status") or {}
        memory = self.memory
        memory.started_at = parse_timestamp(status["startTime"]) if status.get("startTime") else 0.0
        memory.restarting_all = (condition_of(self.pod, ALL_RESTARTING) or {}).get("status") == "True"
        for key in ("initContainerStatuses", "containerStatuses"):
            for shown in status.get(key) or ():
                state, last = shown.get("state") or {}, shown.get("lastState") or {}
                if "running" in state:
                    memory.ready[shown["name"]] = bool(shown.get("ready"))
                    memory.started[shown["name"]] = bool(shown.get("started"))
                memory.attempts[shown["name"]] = shown["restartCount"] + ("waiting" not in state)
                waiting = state.get("waiting") or {}
                if waiting.get("reason") == "CrashLoopBackOff":
                    memory.waiting[shown["name"]] = Waiting(waiting["reason"], waiting.get("message") or "")
                for was in (state, last):
                    if (ended := was.get("terminated")) and ended.get("message"):
                        memory.messages[ended.get("containerID", "").rpartition("//")[2]] = ended["message"]

    @property
    def allocated_pod(self) -> Object:
        """The pod with the resources that it has been granted."""
        return resize.with_allocated(self.pod, self.allocated)

    @property
    def is_active(self) -> bool:
        """Whether it takes room on the node."""
        return self._admitted and not self.ended and not self.gone

    # -- what wakes it

    def wake(self) -> None:
        self._woken.set()

    def update(self, pod: Object) -> None:
        """A newer version of the pod."""
        before, self.pod = self.pod, pod
        if _visible(pod) != _visible(before):
            self._refresh_at = 0.0  # files may show what has changed
            self._retry_at.clear()
        if is_deleting(pod) and (not is_deleting(before) or _grace_s(pod) < _grace_s(before)):
            self._release_at = 0.0
            self._interrupt()
        self.wake()

    def evict(self, why: Waiting) -> None:
        """The node ends the pod, at once and for good."""
        if self.memory.failed is None and not self.ended:
            self.memory.failed = why
            self._event("Warning", why.reason, why.message)
            self.wake()

    def remove(self) -> None:
        """The pod's object has gone."""
        if not self.gone:
            self.gone = True
            if not self.ended:
                self._interrupt()
        self.wake()

    def _interrupt(self) -> None:
        if self._step is not None and not self._step.done() and not self._interrupted:
            self._interrupted = True
            self._step.cancel()

    # -- the loop

    async def run(self) -> None:
        """Until the pod and all that it left has gone; cancelled, it leaves everything running."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._woken.clear()
                self._interrupted = False
                self._step = loop.create_task(self._guarded_step(), name=f"pod {full_name(self.pod)}")
                try:
                    delay_s = await self._step
                except asyncio.CancelledError:
                    me = asyncio.current_task()
                    if not self._interrupted or (me is not None and me.cancelling()):
                        raise
                    continue
                if self._cleaned:
                    return
                try:
                    async with asyncio.timeout(delay_s):
                        await self._woken.wait()
                except TimeoutError:
                    pass
        finally:
            await self.prober.stop()

    async def _guarded_step(self) -> float | None:
        try:
            return await self._do_step()
        except EngineError as error:
            log.warning("pod %s: %s", full_name(self.pod), error)
            return RETRY_S if error.code != "UNAVAILABLE" else 1.0
        except (ApiError, OSError) as error:
            log.warning("pod %s: %s", full_name(self.pod), error)
            return RETRY_S

    async def _do_step(self) -> float | None:
        if self.gone:
            return await self._clean_up()
        if self._rejected is not None:
            return await self._reject(self._rejected)
        if is_deleting(self.pod):
            return await self._terminate()
        if not self._admitted:
            self._rejected = await self.node.admit(self.pod)
            self._admitted = self._rejected is None
            return 0.0
        if self.ended:
            return None
        await self._observe()
        self._keep_time()
        await self._resize()
        now = self.node.clock.now()
        anew = any(
            group[0].id in self.memory.killed
            for group in self.observed.containers.values()
            if group[0].state == "EXITED"
        )
        decision = sync(self.pod, self.observed, self.memory, now)
        if decision.ended:
            return await self._end()
        self._probe(ending=False)
        if not anew:  # else what was killed is followed before anybody is told
            self._publish()
        return await self._act(decision)

    def _keep_time(self) -> None:
        if not self.memory.started_at:
            self.memory.started_at = self.node.clock.now()

    async def _resize(self) -> None:
        """Grants what the spec wants now, where there is room for it, and has the engine follow."""
        node, memory, pod, wanted = self.node, self.memory, self.pod, resize.wanted(self.pod)
        if self.allocated.keys() != wanted.keys():
            self.allocated = self._actuated = wanted
        before, memory.resize = memory.resize, None
        if self.allocated != wanted:
            memory.resize = resize.refused(pod, node.others(self.uid), node.allocatable)
            if (why := memory.resize) is None:
                self.allocated = wanted
                self._event("Normal", "ResizeStarted", resize.message("started", pod))
            elif before is None or self._resize_told != pod["metadata"].get("generation"):
                self._resize_told = pod["metadata"].get("generation")
                self._event("Warning", f"Resize{why.reason}", resize.message(why.reason, pod, why.message))
        if self._actuated != self.allocated and (problem := await self._actuate()):
            if memory.resizing is None or memory.resizing.message != problem:
                self._event("Warning", "ResizeError", resize.message("error", self.allocated_pod, problem))
            memory.resizing = Waiting("Error", problem)
        memory.actuated = self._actuated if self._actuated != self.allocated else {}

    async def _actuate(self) -> str:
        """Has running containers keep to what has been granted; what stands in the way, or ""."""
        node, before, after = self.node, resize.with_allocated(self.pod, self._actuated), self.allocated_pod
        running = {name: c for c in resize.resizable(after) if (name := c["name"]) in self._running()}
        usage = {s.id: s.memory_usage_bytes for s in await node.engine.container_stats()}
        used = {name: usage.get(self._running()[name].id, 0) for name in running}
        if problem := resize.too_low(before, after, used):
            return problem
        with contextlib.suppress(
            OSError
        ):  # what grows has room now; what shrinks does so once its containers have
            await self._limit()
        for name, container in running.items():
            status = self._running()[name]
            if resize.needs_restart(container, self._actuated[name], self.allocated[name]):
                self.memory.killed.add(status.id)
                message = f"Container {name} resize requires restart"
                await kill_container(node, after, status, self._addresses, message)
                await self._observe()
                continue
            resources = container_resources(after, container, node.config)
            if resources != container_resources(before, container_named(before, name), node.config):
                try:
                    await node.engine.update_container_resources(status.id, resources)
                except EngineError as error:
                    return rpc_error(error)
        try:
            await self._limit()
        except OSError as error:
            return str(error)
        self._actuated, self.memory.resizing = self.allocated, None
        self._event("Normal", "ResizeCompleted", resize.message("completed", after))
        return ""

    async def _limit(self) -> None:
        if self.node.config.files and self.allocated_pod["spec"].get("resources"):
            await asyncio.to_thread(limit_pod, self.allocated_pod, self.node.config)

    def _running(self) -> dict[str, ContainerStatus]:
        return {container.name: container for container in self.observed.running()}

    # -- looking

    async def _observe(self) -> None:
        before = self.observed.containers
        self.observed = await self._observer.look(self.allocated_pod)
        if sandbox := self.observed.ready_sandbox:
            self.memory.addresses = sandbox.ips
        self.memory.removed -= self.observed.containers.keys()
        lost = before.keys() - self.observed.containers.keys()
        self.memory.attempts |= {name: before[name][0].attempt + 1 for name in lost}

    @property
    def _addresses(self) -> list[str]:
        if self.pod["spec"].get("hostNetwork"):
            return [self.node.config.address]
        sandbox = self.observed.sandbox
        return list(sandbox.ips) if sandbox is not None else []

    def _probe(self, *, ending: bool) -> None:
        sandbox = self.observed.ready_sandbox
        running = self._running() if sandbox else {}
        self.prober.reconcile(self.pod, (self._addresses or [""])[0], running, ending)

    # -- telling

    def _publish(self, *, stopped: bool = False) -> None:
        now, node = self.node.clock.now(), self.node
        base = dict(self.pod.get("status") or {})
        if (
            self._status is not None
        ):  # what we wrote last, which the informer may not show yet; others' conditions as they are
            own = [c for c in self._status["conditions"] if c["type"] in OWN_CONDITIONS]
            others = [c for c in base.get("conditions") or () if c["type"] not in OWN_CONDITIONS]
            base = {**base, **self._status, "conditions": own + others}
        pod = {**self.allocated_pod, "status": base}
        status = pod_status(
            pod,
            self.observed,
            self.memory,
            node.config.address,
            now,
            engine=node.engine_name,
            stopped=stopped,
        )
        self._status = status
        node.statuses.set(self.pod, status)

    def _event(self, type_: str, reason: str, message: str, container: str = "") -> None:
        path = field_path(self.pod, container) if container else ""
        self.node.event(self.pod, type_, reason, message, path)

    async def _reject(self, why: Waiting) -> float | None:
        message = f"Pod was rejected: {why.message}"
        status = rejected_status(self.pod, why.reason, message, self.node.clock.now())
        if not self.ended:
            self._event("Warning", why.reason, why.message)
            self.node.statuses.set(self.pod, status)
            self.ended = True
        if is_deleting(self.pod):
            return await self._release()
        return None

    # -- doing

    async def _act(self, decision: Decision) -> float | None:
        memory = self.memory
        if decision.restart_all:
            await self._restart_all()
            return 0.0
        for name, waiting in decision.waiting.items():
            status = self.observed.newest(name)
            if status is not None:
                message = f"Back-off restarting failed container {name} in pod {full_name(self.pod)}"
                self._event("Warning", "BackOff", message, name)
            if memory.waiting.get(name) != waiting:
                memory.waiting[name] = waiting
                decision.wake(SHOW_S)
        if decision.kill_pod:
            self._event("Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
            await self._kill_all(None)
        elif decision.kills:
            await asyncio.gather(
                *(
                    kill_container(
                        self.node, self.pod, kill.container, self._addresses, kill.message, probe=kill.reason
                    )
                    for kill in decision.kills
                )
            )
            return 0.0
        now = self.node.clock.monotonic()
        for start in decision.starts:
            if (left := self._retry_at.get(start.name, 0.0) - now) > 0:
                decision.wake(left)
        decision.starts = [s for s in decision.starts if self._retry_at.get(s.name, 0.0) <= now]
        if (decision.create_sandbox or decision.starts) and not await self._mount():
            return self._mount_at - self.node.clock.monotonic()
        if decision.create_sandbox and (retry_s := await self._create_sandbox(decision.attempt)) is not None:
            return retry_s
        if decision.kill_pod:
            return 0.0
        if decision.starts:
            return await self._start(decision)
        await self._prune()
        if self._has_live_volumes():
            left = self._refresh_at - self.node.clock.monotonic()
            if left <= 0:
                await self._mount(refresh=True)
                left = max(self._refresh_at, self._mount_at) - self.node.clock.monotonic()
            decision.wake(left)
        if memory.resize is not None or memory.resizing is not None:
            decision.wake(RETRY_S)
        return decision.wake_in_s

    async def _start(self, decision: Decision) -> float | None:
        sandbox = self.observed.ready_sandbox
        assert sandbox is not None and self._mounted is not None
        retry_s: float | None = None
        await self._check_pull_secrets()
        ephemeral_first = sorted(decision.starts, key=lambda start: start.kind != "ephemeral")
        for start in ephemeral_first:
            if start.ended_at is not None:
                key = backoff_key(container_named(self.allocated_pod, start.name))
                self.memory.backoff[key].next(start.ended_at, self.node.clock.now())
            try:
                await start_container(
                    self.node,
                    self.allocated_pod,
                    self.memory,
                    start,
                    (sandbox.id, sandbox.attempt),
                    self._addresses,
                    self._mounted,
                    self._target(start.name) if start.kind == "ephemeral" else None,
                )
            except StartError as error:
                self.memory.waiting[start.name] = Waiting(error.reason, error.message)
                self._retry_at[start.name] = self.node.clock.monotonic() + error.retry_s
                retry_s = error.retry_s if retry_s is None else min(retry_s, error.retry_s)
        if retry_s is None:
            return 0.0
        await self._observe()
        self._probe(ending=False)
        self._publish()
        return retry_s if decision.wake_in_s is None else min(retry_s, decision.wake_in_s)

    async def _check_pull_secrets(self) -> None:
        names = [reference.get("name") or "" for reference in self.pod["spec"].get("imagePullSecrets") or ()]
        get, namespace = self.node.sources.secret, namespace_of(self.pod)
        if missing := [name for name in names if name and await get(namespace, name) is None]:
            message = f"Unable to retrieve some image pull secrets ({', '.join(missing)}); attempting to pull the image may not succeed."
            self._event("Warning", "FailedToRetrieveImagePullSecret", message)

    def _target(self, name: str) -> ContainerStatus | None:
        """The container that an ephemeral one looks into."""
        return self.observed.newest(container_named(self.pod, name).get("targetContainerName") or "")

    async def _create_sandbox(self, attempt: int) -> float | None:
        """None when it is there; else when to try again."""
        try:
            handler = await self.node.sources.runtime_handler(self.pod)
            config = sandbox_config(self.pod, attempt, self.node, handler)
            for omitted in dns_config(self.pod, self.node.config, self.node.dns)[1]:
                self._event("Warning", "DNSConfigForming", omitted)
            if self.node.config.files:
                await asyncio.to_thread(Path(config.log_directory).mkdir, parents=True, exist_ok=True)
            await to_its_end(self.node.engine.run_pod_sandbox(config))
            with contextlib.suppress(OSError):
                await self._limit()
        except (LookupError, SandboxError) as error:
            self._event("Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            return RETRY_S
        except EngineError as error:
            message = f"Failed to create pod sandbox: {rpc_error(error)}"
            self._event("Warning", "FailedCreatePodSandBox", message)
            return RETRY_S
        await self._observe()
        return None

    async def _mount(self, *, refresh: bool = False) -> bool:
        """Whether the volumes are there; a failure is told and tried again later."""
        now = self.node.clock.monotonic()
        if self._mounted is not None and not refresh and volumes_used(self.pod) <= self._mounted.keys():
            return True
        if now < self._mount_at:
            return self._mounted is not None
        try:
            paths, problems = await self.node.volumes.set_up(self.allocated_pod, self.node.allocatable)
        except ApiError as error:
            problems = [str(error)]
        for problem in problems:
            self._event("Warning", "FailedMount", problem)
        if problems:
            self._mount_at = now + self._mount_retry_s
            self._mount_retry_s = min(self._mount_retry_s * 2, MOUNT_MAX_S)
            return False
        self._mounted, self._mount_retry_s, self._mount_at = paths, MOUNT_FIRST_S, 0.0
        self._refresh_at = now + self.node.random.jitter(REFRESH_S, 0.5)
        return True

    def _has_live_volumes(self) -> bool:
        return self.node.config.files and any(
            key in volume for volume in self.pod["spec"].get("volumes") or () for key in _LIVE_VOLUMES
        )

    async def _prune(self) -> None:
        """Instances that ended long ago, and sandboxes that others have followed, go."""
        sandbox, engine = self.observed.sandbox, self.node.engine
        for group in self.observed.containers.values():
            dead = [c for c in group if c.state == "EXITED"]
            for container in dead[DEAD_MAX:]:
                await engine.remove_container(container.id)
        for old in self.observed.sandboxes:
            if sandbox is not None and old.id != sandbox.id and not old.ready:
                if not any(c.sandbox_id == old.id for g in self.observed.containers.values() for c in g):
                    await engine.remove_pod_sandbox(old.id)

    async def _restart_all(self) -> None:
        """All containers are removed and begin anew in the same sandbox, from the first init container on (KEP-5532)."""
        engine, running = self.node.engine, self.observed.running()
        await asyncio.gather(
            *(kill_container(self.node, self.pod, c, [], "killing", grace_s=0.0) for c in running)
        )
        groups = self.observed.containers
        self.memory.removed |= groups.keys()
        ran = {c.id for c in running}
        for container in sorted(
            (c for group in groups.values() for c in group), key=lambda c: c.id not in ran
        ):
            await engine.remove_container(container.id)  # those whose end asked for it last
        self._retry_at.clear()

    # -- ending

    async def _kill_all(self, grace_s: float | None) -> None:
        """All containers at once, but in their order; then the sandbox and its network."""
        running = self.observed.running()
        order = TerminationOrder(self.pod, {c.name for c in running})
        await asyncio.gather(
            *(
                kill_container(self.node, self.pod, c, self._addresses, grace_s=grace_s, order=order)
                for c in running
            )
        )
        for sandbox in self.observed.sandboxes:
            if sandbox.ready:
                await self.node.engine.stop_pod_sandbox(sandbox.id)

    async def _end(self) -> float | None:
        """The pod has ended by itself, or its time is over."""
        failed = self.memory.failed
        if failed is not None and failed.reason == "DeadlineExceeded":
            self._event("Normal", failed.reason, failed.message)
        await self._kill_all(GRACE_S if failed is not None and failed.reason == EVICTED else None)
        await self._observe()
        self._probe(ending=True)
        self._publish(stopped=True)
        await self.node.volumes.tear_down(self.uid)
        self.ended = True
        return None

    async def _terminate(self) -> float | None:
        """The pod is being deleted: everything ends within its grace, then the API server may forget it."""
        if not self.ended:
            await self._observe()
            self._probe(ending=True)
            if self._status is not None:
                self._publish()  # the node has seen the deletion: observedGeneration says so
            await self._kill_all(_grace_s(self.pod))
            await self._observe()
            self._probe(ending=True)
            if self.observed.sandboxes or self._status is not None:
                self._publish(stopped=True)
            await self.node.volumes.tear_down(self.uid)
            self.ended = True
        return await self._release()

    async def _release(self) -> float | None:
        """Tells the API server that the pod may go, from time to time: a finalizer may hold it for long."""
        if (left := self._release_at - self.node.clock.monotonic()) > 0:
            return left
        await self.node.statuses.flushed(self.uid)
        try:
            await self.node.client.delete(
                "pods", namespace_of(self.pod), name_of(self.pod), grace_period_s=0, uid=self.uid
            )
        except ApiError as error:
            if error.code not in (404, 409):
                raise
        self._release_at = self.node.clock.monotonic() + RETRY_S
        return RETRY_S

    async def _clean_up(self) -> float | None:
        """The object has gone: so does everything else."""
        if not self.ended:
            await self._observe()
            self._probe(ending=True)
            await self._kill_all(_grace_s(self.pod))
            self.ended = True
        engine = self.node.engine
        for sandbox in await engine.pod_sandboxes(self.uid):
            await engine.stop_pod_sandbox(sandbox.id)
            await engine.remove_pod_sandbox(sandbox.id)
        await self.node.volumes.tear_down(self.uid)
        if self.node.config.files:
            logs = self.node.config.pod_logs(namespace_of(self.pod), name_of(self.pod), self.uid)
            await asyncio.to_thread(shutil.rmtree, logs, True)
        if cgroup := cgroup_parent(self.pod, self.node.config):
            await asyncio.to_thread(remove_cgroups, cgroup)
        known = self.node.uid_of_sandbox
        for sandbox_id in [id_ for id_, uid in known.items() if uid == self.uid]:
            del known[sandbox_id]
        self.node.statuses.forget(self.uid)
        self.node.images.forget(self.uid)
        self.node.sources.forget(self.uid)
        self._cleaned = True
        return None


def _visible(pod: Object) -> tuple[object, object, object]:
    metadata = pod["metadata"]
    return metadata.get("labels"), metadata.get("annotations"), metadata.get("generation")


def _grace_s(pod: Object) -> float:
    seconds = pod["metadata"].get("deletionGracePeriodSeconds")
    if seconds is None:
        seconds = pod["spec"].get("terminationGracePeriodSeconds")
    return float(30 if seconds is None else seconds)
