"""Pods' statuses on their way to the API server: the newest of each pod, written by a few tasks, so that no worker waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from ..api.errors import ApiError
from ..api.object import Object, name_of, namespace_of, uid_of
from ..base.clock import Clock
from ..client.interface import Client

log = logging.getLogger(__name__)

WRITERS = 4
RETRY_S = 1.0
_MERGED = {"conditions": "type", "podIPs": "ip", "hostIPs": "ip"}


@dataclass(slots=True)
class _Entry:
    pod: Object
    status: Object
    written: Object | None = None
    version: int = 0  # of the pod as the server had it after our last write
    queued: bool = False
    writing: bool = False
    done: asyncio.Event = field(default_factory=asyncio.Event)


class StatusWriter:
    def __init__(self, client: Client, clock: Clock):
        self._client, self._clock = client, clock
        self._entries: dict[str, _Entry] = {}
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self.wrote: Callable[[Object], None] = lambda pod: (
            None
        )  # called with the pod as the server has it now

    def set(self, pod: Object, status: Object) -> None:
        uid = uid_of(pod)
        entry = self._entries.get(uid)
        if entry is None:
            entry = self._entries[uid] = _Entry(pod, status, written=pod.get("status") or {})
        entry.pod, entry.status = pod, status
        if entry.written and int(pod["metadata"].get("resourceVersion") or 0) >= entry.version:
            entry.written = _as_shown(entry.written, pod.get("status") or {})
        if entry.status == entry.written:
            entry.done.set()
            return
        entry.done.clear()
        if not entry.queued:
            entry.queued = True
            self._queue.put_nowait(uid)

    def get(self, uid: str) -> Object | None:
        entry = self._entries.get(uid)
        return entry.status if entry else None

    async def flushed(self, uid: str) -> None:
        """Returns when the newest status is with the server, or its pod has gone."""
        entry = self._entries.get(uid)
        if entry is not None:
            await entry.done.wait()

    def forget(self, uid: str) -> None:
        if entry := self._entries.pop(uid, None):
            entry.done.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(WRITERS):
                group.create_task(self._write_all())

    async def _write_all(self) -> None:
        while True:
            uid = await self._queue.get()
            entry = self._entries.get(uid)
            if entry is None:
                continue
            if entry.writing:  # by another writer: after it
                self._queue.put_nowait(uid)
                await self._clock.sleep(0.01)
                continue
            entry.queued, entry.writing = False, True
            try:
                await self._write(uid, entry)
            finally:
                entry.writing = False

    async def _write(self, uid: str, entry: _Entry) -> None:
        pod, status = entry.pod, entry.status
        patch = status_patch(pod.get("status") or {}, entry.written or {}, status)
        try:
            if patch:
                answer = await self._client.patch(
                    "pods",
                    namespace_of(pod),
                    name_of(pod),
                    {"metadata": {"uid": uid}, "status": patch},
                    type="strategic",
                    subresource="status",
                    field_manager="kubelet",
                )
                entry.version = int(answer["metadata"].get("resourceVersion") or 0)
                self.wrote(answer)
        except ApiError as error:
            if error.code not in (404, 409):  # gone, or another pod of that name
                log.warning("status of pod %s/%s: %s", namespace_of(pod), name_of(pod), error)
            if error.code >= 500 or error.code == 429:
                await self._retry(uid, entry)
            else:
                entry.done.set()
            return
        except OSError as error:
            log.warning("status of pod %s/%s: %s", namespace_of(pod), name_of(pod), error)
            await self._retry(uid, entry)
            return
        entry.written = status
        if entry.status == status:
            entry.done.set()

    async def _retry(self, uid: str, entry: _Entry) -> None:
        await self._clock.sleep(RETRY_S)
        if not entry.queued and self._entries.get(uid) is entry:
            entry.queued = True
            self._queue.put_nowait(uid)


def _as_shown(written: Object, server: Object) -> Object:
    """What we wrote, with the conditions that others have changed since (the node controller, while we were not heard) as they are now."""
    shown = {condition["type"]: condition for condition in server.get("conditions") or ()}
    conditions = written.get("conditions") or []
    if all(shown.get(c["type"], {}).get("status") == c["status"] for c in conditions):
        return written
    kept = [
        c if (now := shown[c["type"]])["status"] == c["status"] else now
        for c in conditions
        if c["type"] in shown
    ]
    return {**written, "conditions": kept}


def status_patch(server: Object, written: Object, wanted: Object) -> Object:
    """A strategic merge patch from what was written to what is wanted: others' conditions stay as they are."""
    patch: Object = {}
    for key in {**written, **wanted}:
        before, after = written.get(key), wanted.get(key)
        if before == after:
            continue
        merged = _MERGED.get(key)
        if merged is None or after is None or before is None:
            patch[key] = after
            continue
        old, new = {item[merged]: item for item in before}, {item[merged]: item for item in after}
        changed: list[Object] = []
        for name, item in new.items():
            if old.get(name) != item:
                gone = {field: None for field in old.get(name, {}) if field not in item}
                changed.append({**item, **gone})
        changed += [{"$patch": "delete", merged: name} for name in old if name not in new]
        if changed:
            patch[key] = changed
            patch[f"$setElementOrder/{key}"] = [{merged: name} for name in new]
    return patch
