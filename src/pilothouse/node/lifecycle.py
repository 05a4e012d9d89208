"""A container from its image to postStart, and from preStop to its end: the steps of kubelet's startContainer and killContainer."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable
from pathlib import Path

from ..api.object import Object
from ..runtime.images import full_name
from ..runtime.interface import ContainerStatus, EngineError
from .container_config import container_config, sandbox_config
from .context import NodeContext, field_path, to_its_end
from .environment import ConfigError, container_named
from .handlers import run_hook
from .images import ImageError
from .mounts import is_mounted
from .observed import PodMemory
from .sync import Start, is_sidecar

GRACE_MIN_S = 2  # even a container without grace may end by itself
RETRY_S = 10.0  # kubelet's backOffPeriod
SHOW_S = 2.0  # a failed pull is looked at again so soon, and is then a back-off


class StartError(Exception):
    """The container does not run; `reason` and `message` are what it waits for, `retry_s` when to try again."""

    def __init__(self, reason: str, message: str, retry_s: float = RETRY_S):
        super().__init__(message)
        self.reason, self.message, self.retry_s = reason, message, retry_s


async def start_container(
    node: NodeContext,
    pod: Object,
    memory: PodMemory,
    start: Start,
    sandbox: tuple[str, int],
    addresses: list[str],
    volumes: dict[str, str],
    target: ContainerStatus | None = None,
) -> None:
    """`sandbox`: its id and attempt; `target`: whose processes an ephemeral container sees. Raises StartError."""
    container = container_named(pod, start.name)
    path = field_path(pod, start.name)

    def tell(type_: str, reason: str, message: str) -> None:
        node.event(pod, type_, reason, message, path)

    try:
        await _mount_images(node, pod, container, volumes)
        image = await node.images.ensure(pod, container, tell)
    except ImageError as error:
        tell("Warning", "Failed", f"Error: {error.reason}")
        retry_s = SHOW_S if error.reason == "ErrImagePull" else error.retry_s
        raise StartError(error.reason, error.message, retry_s)
    try:
        if target is None and (wanted := container.get("targetContainerName")):
            raise ConfigError(f"unable to find target container {wanted}")
        pid_of = target.id if target is not None else ""
        config = await container_config(
            pod, container, start.attempt, image, addresses, volumes, node, pid_of
        )
    except ConfigError as error:
        tell("Warning", "Failed", f"Error: {error}")
        raise StartError("CreateContainerConfigError", str(error))
    try:
        container_id = await to_its_end(
            node.engine.create_container(sandbox[0], config, sandbox_config(pod, sandbox[1], node))
        )
    except EngineError as error:
        tell("Warning", "Failed", f"Error: {error.message}")
        raise StartError("CreateContainerError", error.message)
    tell("Normal", "Created", "Container created")
    has_hook = bool((container.get("lifecycle") or {}).get("postStart")) and start.kind != "ephemeral"
    if has_hook:
        memory.hooked.add(container_id)
    memory.ready.pop(start.name, None)
    memory.started.pop(start.name, None)
    try:
        try:
            await to_its_end(node.engine.start_container(container_id))
        except EngineError as error:
            tell("Warning", "Failed", f"Error: {error.message}")
            raise StartError("RunContainerError", error.message, 0.0)
        tell("Normal", "Started", "Container started")
        memory.waiting.pop(start.name, None)
        if has_hook:
            await _post_start(node, pod, container, container_id, addresses)
    finally:
        memory.hooked.discard(container_id)


async def _mount_images(node: NodeContext, pod: Object, container: Object, volumes: dict[str, str]) -> None:
    """The image volumes of a container (KEP-4639). Raises ImageError and StartError."""
    sources = {
        volume["name"]: volume["image"] for volume in pod["spec"].get("volumes") or () if "image" in volume
    }
    for name in {mount["name"] for mount in container.get("volumeMounts") or ()} & sources.keys():
        path, reference = Path(volumes[name]), sources[name].get("reference") or ""
        if is_mounted(path):
            continue
        wanted = {"image": reference, "imagePullPolicy": sources[name].get("pullPolicy")}
        await node.images.ensure(pod, wanted, functools.partial(node.event, pod))
        try:
            await node.engine.mount_image(full_name(reference), path)
        except EngineError as error:
            node.event(
                pod, "Warning", "Failed", f"Error: {error.message}", field_path(pod, container["name"])
            )
            raise StartError("CreateContainerError", error.message)


async def _post_start(
    node: NodeContext, pod: Object, container: Object, container_id: str, addresses: list[str]
) -> None:
    hook, path = container["lifecycle"]["postStart"], field_path(pod, container["name"])
    if await run_hook(node, hook, pod, container, container_id, (addresses or [""])[0]):
        return
    node.event(pod, "Warning", "FailedPostStartHook", "PostStartHook failed", path)
    node.event(pod, "Normal", "Killing", "FailedPostStartHook", path)
    await _stop(node, pod, container, container_id, addresses, _grace_s(pod), None)
    raise StartError("PostStartHookError", "PostStartHook failed", 0.0)


def _grace_s(pod: Object, container: Object | None = None, probe: str = "") -> float:
    """The pod's, or that of the probe that failed."""
    own = (
        ((container or {}).get(f"{probe}Probe") or {}).get("terminationGracePeriodSeconds") if probe else None
    )
    if own is None:
        own = pod["spec"].get("terminationGracePeriodSeconds")
    return float(30 if own is None else own)


class TerminationOrder:
    """Sidecars end after the containers, and in the reverse of the order that they began in (KEP-753)."""

    def __init__(self, pod: Object, running: Iterable[str]):
        running = set(running)
        sidecars = [
            c["name"]
            for c in pod["spec"].get("initContainers") or ()
            if is_sidecar(c) and c["name"] in running
        ]
        self._ended = {name: asyncio.Event() for name in running}
        mains = [c["name"] for c in pod["spec"]["containers"] if c["name"] in running]
        self._before = {name: [*mains, *sidecars[position + 1 :]] for position, name in enumerate(sidecars)}

    async def turn(self, name: str) -> None:
        for other in self._before.get(name, ()):
            await self._ended[other].wait()

    def ended(self, name: str) -> None:
        self._ended[name].set()


async def kill_container(
    node: NodeContext,
    pod: Object,
    status: ContainerStatus,
    addresses: list[str],
    message: str = "",
    *,
    probe: str = "",
    grace_s: float | None = None,
    order: TerminationOrder | None = None,
) -> None:
    """preStop, its turn, SIGTERM, and SIGKILL when its grace is over."""
    name = status.name
    try:
        try:
            container = container_named(pod, name)
        except ConfigError:  # no longer in the pod's spec
            container = {"name": name}
        message = message or f"Stopping container {name}"
        node.event(pod, "Normal", "Killing", message, field_path(pod, name))
        if grace_s is None:
            grace_s = _grace_s(pod, container, probe)
        await _stop(node, pod, container, status.id, addresses, grace_s, order)
    finally:
        if order is not None:
            order.ended(name)


async def _stop(
    node: NodeContext,
    pod: Object,
    container: Object,
    container_id: str,
    addresses: list[str],
    grace_s: float,
    order: TerminationOrder | None,
) -> None:
    clock, left_s = node.clock, grace_s
    hook = (container.get("lifecycle") or {}).get("preStop")
    if hook and left_s > 0:
        began = clock.monotonic()
        try:
            async with asyncio.timeout(left_s):
                well = await run_hook(node, hook, pod, container, container_id, (addresses or [""])[0])
        except TimeoutError:
            well = (
                "exec" not in hook
            )  # a command ends with its container; the others are no longer waited for
        if not well:
            path = field_path(pod, container["name"])
            node.event(pod, "Warning", "FailedPreStopHook", "PreStopHook failed", path)
        left_s -= int(clock.monotonic() - began)
    if order is not None and left_s > 0:
        began = clock.monotonic()
        try:
            async with asyncio.timeout(left_s):
                await order.turn(container["name"])
        except TimeoutError:
            pass  # the others take too long: it ends all the same
        left_s -= int(clock.monotonic() - began)
    await node.engine.stop_container(container_id, max(int(left_s), GRACE_MIN_S))
