"""Looks at one pod in the engine: its sandboxes, its containers, and what those that ended had to say.

Details of a container cost a call each, and change only with its state: they are asked for once a state.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from ..api.object import Object
from ..runtime.interface import ContainerStatus, EngineError
from .container_config import TERMINATION_PATH, TERMINATION_POLICY
from .context import NodeContext
from .environment import ConfigError, container_named
from .logs import last_lines
from .observed import Observed, PodMemory
from .resources import memory_bytes

MESSAGE_BYTES = 4096
SIGKILLED = 137
OOM_HEARD_S = (0.05, 0.2)  # how long, in steps, the news of an OOM kill may be behind that of the end


class PodObserver:
    def __init__(self, node: NodeContext, uid: str, memory: PodMemory):
        self._node, self._uid, self._memory = node, uid, memory
        self._known: dict[str, ContainerStatus] = {}

    async def look(self, pod: Object) -> Observed:
        """What is now. Raises EngineError."""
        engine, found = self._node.engine, Observed()
        found.sandboxes = await engine.pod_sandboxes(self._uid)
        self._node.uid_of_sandbox.update({sandbox.id: self._uid for sandbox in found.sandboxes})
        for sandbox in found.sandboxes:
            for listed in await engine.containers(sandbox.id):
                status = await self._details(pod, listed)
                if status is not None:
                    found.containers.setdefault(status.name, []).append(status)
        for group in found.containers.values():
            group.sort(key=lambda c: (c.attempt, c.created_at), reverse=True)
        ids = {c.id for group in found.containers.values() for c in group}
        self._known = {id_: status for id_, status in self._known.items() if id_ in ids}
        return found

    async def _details(self, pod: Object, listed: ContainerStatus) -> ContainerStatus | None:
        known = self._known.get(listed.id)
        if known is not None and known.state == listed.state:
            return known
        try:
            status = await self._node.engine.container_status(listed.id)
            if status.state == "EXITED" and self._node.clock.now() - status.finished_at < 1:
                status = await self._with_reason(pod, status)
        except EngineError as error:
            if error.code == "NOT_FOUND":  # removed since it was listed
                return None
            raise
        self._known[status.id] = status
        if status.state == "EXITED" and status.id not in self._memory.messages:
            if message := await self._termination_message(status):
                self._memory.messages[status.id] = message
        return status

    async def _with_reason(self, pod: Object, status: ContainerStatus) -> ContainerStatus:
        """An engine may hear that a container ended before it hears that its memory was the reason."""
        for pause_s in OOM_HEARD_S if self._node.config.files and _memory_limit(pod, status.name) else ():
            if status.exit_code != SIGKILLED or status.reason == "OOMKilled":
                break
            await self._node.clock.sleep(pause_s)
            status = await self._node.engine.container_status(status.id)
        return status

    async def _termination_message(self, status: ContainerStatus) -> str:
        if not self._node.config.files:
            return status.message
        where = status.annotations.get(TERMINATION_PATH)
        path = next((m.host_path for m in status.mounts if m.container_path == where), "")
        fallback = status.annotations.get(TERMINATION_POLICY) == "FallbackToLogsOnError" and status.exit_code
        return await asyncio.to_thread(_read_message, path, status.log_path if fallback else "")


def _memory_limit(pod: Object, name: str) -> int:
    """What a container is kept to; 0: nothing."""
    try:
        own = container_named(pod, name).get("resources") or {}
    except ConfigError:
        return 0
    return memory_bytes(own, "limits") or memory_bytes(pod["spec"].get("resources") or {}, "limits")


def _read_message(path: str, log_path: str) -> str:
    """The last of what it wrote to its termination log, else of its log."""
    text = b""
    if path:
        try:
            with Path(path).open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - MESSAGE_BYTES))
                text = file.read()
        except FileNotFoundError:
            pass
    if not text and log_path:
        return last_lines(Path(log_path))
    return text.decode("utf-8", "replace")
