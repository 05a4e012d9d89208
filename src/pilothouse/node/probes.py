"""Probes: a pure state per (container, kind), and a task for each that asks in time.

A task lives as long as its container's instance. What changes a result is told to the worker, which looks at its pod again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from ..api.object import Object
from ..runtime.interface import ContainerStatus
from .context import NodeContext, field_path
from .handlers import Outcome, run_probe
from .observed import PodMemory

KINDS = ("startup", "readiness", "liveness")


@dataclass(slots=True)
class ProbeState:
    """The result changes after as many equal answers in a row as its threshold says."""

    probe: Object
    result: bool | None  # what counts now; None: not known yet
    last: bool | None = None
    run: int = 0

    def saw(self, ok: bool) -> bool:
        """Takes an answer; whether the result has changed."""
        self.run = self.run + 1 if ok is self.last else 1
        self.last = ok
        threshold = self.probe.get("successThreshold" if ok else "failureThreshold") or (1 if ok else 3)
        if self.run < threshold or self.result is ok:
            return False
        self.result = ok
        return True


def initial_result(kind: str) -> bool | None:
    return {"startup": None, "readiness": False, "liveness": True}[kind]


@dataclass(slots=True)
class Prober:
    """The probes of one pod."""

    node: NodeContext
    memory: PodMemory
    wake: Callable[[], None]
    pod: Object = field(default_factory=dict)
    address: str = ""
    _tasks: dict[tuple[str, str], asyncio.Task[None]] = field(default_factory=dict)

    def reconcile(self, pod: Object, address: str, running: dict[str, ContainerStatus], ending: bool) -> None:
        """Has the right tasks run: those of containers that run; of a pod that ends only readiness."""
        self.pod, self.address = pod, address
        wanted: dict[tuple[str, str], tuple[Object, ContainerStatus, str]] = {}
        for container in [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]:
            status = running.get(container["name"])
            if status is None or status.id in self.memory.hooked:
                continue
            for kind in KINDS:
                if not container.get(f"{kind}Probe") or (ending and kind != "readiness"):
                    continue
                if kind == "startup" and self.memory.started.get(container["name"]):
                    continue
                if (
                    kind != "startup"
                    and container.get("startupProbe")
                    and not self.memory.started.get(container["name"])
                ):
                    continue
                if kind == "liveness" and status.id in self.memory.unhealthy:
                    continue
                wanted[status.id, kind] = (container, status, kind)
        for key in [key for key in self._tasks if key not in wanted]:
            self._tasks.pop(key).cancel()
        for key, (container, status, kind) in wanted.items():
            if key not in self._tasks:
                self._tasks[key] = asyncio.get_running_loop().create_task(
                    self._probe(container, status, kind), name=f"{kind} of {container['name']}"
                )

    async def stop(self) -> None:
        tasks, self._tasks = [*self._tasks.values()], {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _probe(self, container: Object, status: ContainerStatus, kind: str) -> None:
        probe, clock = container[f"{kind}Probe"], self.node.clock
        state = ProbeState(probe, initial_result(kind))
        if kind == "readiness" and self.memory.ready.get(container["name"]):
            state.result = True  # adopted: it stays ready until it is asked
        period_s = float(probe.get("periodSeconds") or 10)
        first = (status.started_at or clock.now()) + (probe.get("initialDelaySeconds") or 0)
        delay_s = first - clock.now()
        if delay_s < 0:  # the node's process was started anew: not all probes at once
            delay_s = self.node.random.uniform(0, min(period_s, 1.0)) if -delay_s > period_s else 0.0
        at = clock.monotonic() + delay_s
        while True:
            await clock.sleep(at - clock.monotonic())
            outcome = await self._ask(probe, container, status)
            self._tell(container, kind, outcome)
            if outcome.ok is not None and state.saw(outcome.ok):
                self._count(container, status, kind, outcome.ok)
                self.wake()
                if kind == "startup" or (kind == "liveness" and not outcome.ok):
                    return
            at = max(at + period_s, clock.monotonic())

    async def _ask(self, probe: Object, container: Object, status: ContainerStatus) -> Outcome:
        """kubelet asks three times when it cannot find out."""
        outcome = Outcome(None)
        for _ in range(3):
            timeout_s = float(probe.get("timeoutSeconds") or 1)
            outcome = await run_probe(self.node, probe, container, status.id, self.address, timeout_s)
            if outcome.ok is not None:
                break
        return outcome

    def _tell(self, container: Object, kind: str, outcome: Outcome) -> None:
        what, path = kind.capitalize(), field_path(self.pod, container["name"])
        if outcome.ok is None:
            message = f"{what} probe errored and resulted in unknown state: {outcome.output}"
            self.node.event(self.pod, "Warning", "Unhealthy", message, path)
        elif not outcome.ok:
            self.node.event(self.pod, "Warning", "Unhealthy", f"{what} probe failed: {outcome.output}", path)
        elif outcome.warning:
            message = f"{what} probe warning: {outcome.output}"
            self.node.event(self.pod, "Warning", "ProbeWarning", message, path)

    def _count(self, container: Object, status: ContainerStatus, kind: str, ok: bool) -> None:
        name = container["name"]
        if kind == "readiness":
            self.memory.ready[name] = ok
        elif kind == "startup" and ok:
            self.memory.started[name] = True
        elif not ok:
            self.memory.unhealthy[status.id] = kind
