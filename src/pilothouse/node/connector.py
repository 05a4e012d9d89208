"""What the API server asks of a node: logs, the engine's streams, connections (see apiserver/nodes.py)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from ..api.errors import ApiError
from ..api.object import Object, name_of, namespace_of, uid_of
from ..apiserver.nodes import LogOptions, StreamOptions
from ..runtime.interface import ContainerStatus, EngineError
from .context import NodeContext
from .logs import Selection, read_log
from .node_status import KUBELET_PORT
from .server import KubeletServer
from .worker import PodWorker

_STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
_WAITING = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


def _bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message, details=False)


def _internal(message: str) -> ApiError:
    return ApiError(500, "InternalError", message, details=False)


def log_container_id(pod: Object, status: Object, container: str, previous: bool) -> str:
    """Whose log is meant (kubelet's validateContainerLogStatus). Raises ApiError."""
    shown = next((s for key in _STATUSES for s in status.get(key) or () if s["name"] == container), None)
    quoted = f'container "{container}" in pod "{name_of(pod)}"'
    if shown is None:
        raise _bad_request(f"{quoted} is not available")
    state, last = shown.get("state") or {}, (shown.get("lastState") or {}).get("terminated") or {}
    ended = state.get("terminated")
    if previous:
        if not last.get("containerID"):
            raise _bad_request(
                f'previous terminated container "{container}" in pod "{name_of(pod)}" not found'
            )
        found = last["containerID"]
    elif "running" in state:
        found = shown["containerID"]
    elif ended or last:
        found = (ended or {}).get("containerID") or last.get("containerID")
        if not found:
            raise _bad_request(f"{quoted} is terminated")
    else:
        reason = (state.get("waiting") or {}).get("reason") or "ContainerCreating"
        raise _bad_request(f"{quoted} is waiting to start: {_WAITING.get(reason, reason)}")
    return str(found).rpartition("//")[2]


class KubeletConnector:
    """`apiserver.nodes.NodeConnector` of one node. `status_of`: the newest status of a pod, which the API may not have yet."""

    def __init__(
        self,
        node: NodeContext,
        workers: Mapping[str, PodWorker],
        status_of: Callable[[str], Object | None],
    ):
        self._node, self._status_of = node, status_of
        self.server = KubeletServer(node, workers, self)

    async def logs(self, pod: Object, options: LogOptions) -> AsyncIterator[bytes]:
        try:
            selection = Selection(options, self._node.clock.now())
        except ValueError:
            raise _bad_request(f'parsing time "{options.since_time}": it is not RFC 3339') from None
        status = self._status_of(uid_of(pod)) or pod.get("status") or {}
        container_id = log_container_id(pod, status, options.container, options.previous)
        engine = self._node.engine
        try:
            found = await engine.container_status(container_id)
        except EngineError:
            return _text(f"unable to retrieve container logs for {self._node.engine_name}://{container_id}")
        if not self._node.config.files:
            output: list[str] = getattr(engine, "output", lambda _: [])(container_id)
            lines = output[-options.tail_lines :] if options.tail_lines else output
            return _text("".join(f"{line}\n" for line in lines))
        path = Path(found.log_path)
        if not path.exists():
            return _text("")

        async def running() -> bool:
            try:
                return (await engine.container_status(container_id)).state in ("RUNNING", "CREATED")
            except EngineError as error:
                return error.code == "UNAVAILABLE"

        return read_log(path, options, selection, self._node.clock, running)

    async def stream_url(self, pod: Object, kind: str, options: StreamOptions) -> str:
        engine = self._node.engine
        try:
            if kind == "portforward":
                sandboxes = [s for s in await engine.pod_sandboxes(uid_of(pod)) if s.ready]
                if not sandboxes:
                    raise _internal(f'pod not found ("{name_of(pod)}_{namespace_of(pod)}")')
                return await engine.port_forward(sandboxes[0].id)
            container = await self._container(pod, options.container)
            if container is None and kind == "exec":
                raise _internal(f'container not found ("{options.container}")')
            if container is None:
                where = f"{name_of(pod)}_{namespace_of(pod)}"
                raise _internal(f"container {options.container} not found in pod {where}")
            if kind == "exec":
                return await engine.exec(
                    container.id,
                    options.command,
                    stdin=options.stdin,
                    stdout=options.stdout,
                    stderr=options.stderr,
                    tty=options.tty,
                )
            return await engine.attach(
                container.id,
                stdin=options.stdin,
                stdout=options.stdout,
                stderr=options.stderr,
                tty=options.tty,
            )
        except EngineError as error:
            raise _internal(error.message) from None

    async def _container(self, pod: Object, name: str) -> ContainerStatus | None:
        """The instance that runs."""
        engine = self._node.engine
        found = [
            container
            for sandbox in await engine.pod_sandboxes(uid_of(pod))
            for container in await engine.containers(sandbox.id)
            if container.name == name and container.state == "RUNNING"
        ]
        return max(found, key=lambda container: (container.attempt, container.created_at), default=None)

    async def connect(self, host: str, port: int) -> tuple[object, object]:
        if (host, port) == (self._node.config.address, KUBELET_PORT):
            return await self.server.connect()
        return await self._node.dial(host, port)


async def _text(text: str) -> AsyncIterator[bytes]:
    if text:
        yield text.encode()
