"""What happens in a containerd, as a stream of `EngineEvent`s, from its event service.

CRI's own view of a container follows the same events, so it may lag behind ours by a moment: who hears "it ended" and asks
at once could be told that it runs. So a start or an end is passed on only when CRI shows it: on a machine that is busy
this takes seconds. For a container that never gets there, it is passed on all the same after half a minute.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from . import cri
from .cri import message
from .interface import EngineError, EngineEvent

if TYPE_CHECKING:
    from .containerd import ContainerdEngine

QUEUE_MAX = 4096  # events not yet taken by the listener; then the subscription waits
SETTLE_STEPS_S = (0.0, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, *[0.5] * 60)

# topic → (message, its field with the container's id, type of our event)
TOPICS = {
    "/tasks/start": ("TaskStart", "container_id", "STARTED"),
    "/tasks/exit": ("TaskExit", "container_id", "STOPPED"),
    "/containers/delete": ("ContainerDelete", "id", "DELETED"),
}


async def engine_events(engine: ContainerdEngine) -> AsyncIterator[EngineEvent]:
    """See `Engine.events`."""
    queue: asyncio.Queue[EngineEvent | BaseException] = asyncio.Queue(QUEUE_MAX)
    reader = asyncio.create_task(_read(engine, queue), name="containerd events")
    try:
        while True:
            item = await queue.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)


async def _read(engine: ContainerdEngine, queue: asyncio.Queue[EngineEvent | BaseException]) -> None:
    """Reads the subscription to its end, which goes into the queue as an error."""
    import grpc

    classes = cri.message_classes()
    subscribe = engine.channel().unary_stream(
        cri.SUBSCRIBE,
        request_serializer=classes["SubscribeRequest"].SerializeToString,
        response_deserializer=classes["Envelope"].FromString,
    )
    filters = [f'namespace=="k8s.io",topic=="{topic}"' for topic in TOPICS]
    last: dict[str, asyncio.Task[None]] = {}  # by container: its events stay in order
    try:
        async for envelope in subscribe(message("SubscribeRequest", filters=filters)):
            if (parsed := parse(envelope)) is None:
                continue
            container_id, kind = parsed
            task = asyncio.create_task(_pass_on(engine, container_id, kind, last.get(container_id), queue))
            last[container_id] = task
            task.add_done_callback(functools.partial(_forget, last, container_id))
        failure: BaseException = EngineError("UNAVAILABLE", "the event stream of containerd ended")
    except grpc.aio.AioRpcError as error:
        failure = EngineError(error.code().name, error.details() or "")
    except asyncio.CancelledError:
        for task in list(last.values()):
            task.cancel()
        await asyncio.gather(*last.values(), return_exceptions=True)
        raise
    await asyncio.gather(*last.values(), return_exceptions=True)
    await queue.put(failure)


def _forget(last: dict[str, asyncio.Task[None]], container_id: str, done: asyncio.Task[None]) -> None:
    if last.get(container_id) is done:
        del last[container_id]


def parse(envelope: Any) -> tuple[str, str] | None:
    """(container or sandbox id, type of event), or None for what does not matter (processes of exec)."""
    if (row := TOPICS.get(envelope.topic)) is None:
        return None
    name, id_field, kind = row
    event = cri.message_classes()[name].FromString(envelope.event.value)
    if name == "TaskExit" and event.id != event.container_id:
        return None
    return getattr(event, id_field), kind


async def _pass_on(
    engine: ContainerdEngine,
    container_id: str,
    kind: str,
    previous: asyncio.Task[None] | None,
    queue: asyncio.Queue[EngineEvent | BaseException],
) -> None:
    if previous is not None:
        await asyncio.wait([previous])
    try:
        if kind == "DELETED":
            sandbox_id = engine.forget(container_id)
        else:
            sandbox_id = await engine.sandbox_of(container_id)
            if sandbox_id:
                await _settle(engine, container_id, container_id == sandbox_id, kind)
    except EngineError as error:  # the subscription fails for the same reason, and says so
        if error.code not in ("UNAVAILABLE", "NOT_FOUND"):
            await queue.put(error)
        return
    if sandbox_id:
        await queue.put(EngineEvent(sandbox_id, "" if container_id == sandbox_id else container_id, kind))


async def _settle(engine: ContainerdEngine, container_id: str, is_sandbox: bool, kind: str) -> None:
    """Waits until CRI shows what the event said, or long enough."""
    for pause_s in SETTLE_STEPS_S:
        if pause_s:
            await engine.clock.sleep(pause_s)
        if is_sandbox:
            answer = await engine.call("ListPodSandbox", filter=message("PodSandboxFilter", id=container_id))
            stale = kind == "STOPPED" and any(item.state == cri.SANDBOX_READY for item in answer.items)
        else:
            answer = await engine.call("ListContainers", filter=message("ContainerFilter", id=container_id))
            before = "CREATED" if kind == "STARTED" else "RUNNING"
            stale = any(cri.CONTAINER_STATES[item.state] == before for item in answer.containers)
        if not stale:
            return
