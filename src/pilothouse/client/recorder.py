"""EventRecorder: what an actor tells people, as core/v1 Events.

Like client-go's correlator: the same event again raises `count` of the one that exists; many events that differ only
in their message become one "(combined from similar events)"; and an object that talks too much is cut off by a
token bucket (25, then one per 5 minutes). Events are best effort: they wait in a bounded queue, one background task
writes them, and what does not fit is dropped and counted, so an actor never waits for its own voice.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

from ..api.errors import ApiError
from ..api.object import Object
from ..base.clock import Clock, timestamp
from ..base.random import Random
from .interface import Client

log = logging.getLogger(__name__)

# client-go, tools/record/events_cache.go
_CACHE_MAX = 4096
_SPAM_BURST, _SPAM_QPS = 25, 1.0 / 300.0
_SIMILAR_MAX, _SIMILAR_WINDOW_S = 10, 600.0
_COMBINED = "(combined from similar events): "
_QUEUE_MAX = 1000
_TRIES_MAX, _RETRY_S = 12, 10.0
_ALREADY_PAST = {400, 403, 404, 409, 422}  # the server will not take it, however often it is asked


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


@dataclass(slots=True)
class _Similar:
    messages: set[str] = field(default_factory=set)
    last: float = 0.0


@dataclass(slots=True)
class _Known:
    name: str
    count: int
    first: str


class EventNames:
    """Names of events about an object: they sort as the events came, and chance keeps components apart."""

    def __init__(self, clock: Clock, random: Random):
        self._clock, self._random = clock, random
        self._last_ns = 0

    def of(self, name: str) -> str:
        now_ns = int(self._clock.now() * 1e9) >> 20 << 20  # chance has the part below a millisecond
        self._last_ns = max(now_ns | self._random.below(1 << 20), self._last_ns + 1)
        return f"{name}.{self._last_ns:016x}"


class EventRecorder:
    """One per component. `event` may be called from anywhere on the loop; `run()` (or start/stop) writes."""

    def __init__(self, client: Client, component: str, clock: Clock, random: Random, *, host: str = ""):
        self._client, self.component, self._host = client, component, host
        self._clock, self._random = clock, random
        self._queue: deque[tuple[Object, tuple[str, ...]]] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._buckets: OrderedDict[tuple[str, ...], _Bucket] = OrderedDict()
        self._similar: OrderedDict[tuple[str, ...], _Similar] = OrderedDict()
        self._known: OrderedDict[tuple[str, ...], _Known] = OrderedDict()
        self._names = EventNames(clock, random)
        self.dropped = 0

    def event(
        self,
        about: Object,
        type: str,
        reason: str,
        message: str,
        *,
        annotations: dict[str, str] | None = None,
        field_path: str = "",
    ) -> None:
        """`about` is an object or an ObjectReference; `type` is Normal or Warning."""
        reference = reference_to(about)
        if field_path:
            reference["fieldPath"] = field_path
        event = self._new_event(reference, type, reason, message)
        if annotations:
            event["metadata"]["annotations"] = annotations
        key = self._aggregate(event)
        if self._is_spam(event) or len(self._queue) >= _QUEUE_MAX:
            self.dropped += 1
            return
        self._queue.append((event, key))
        self._wake.set()

    async def run(self) -> None:
        """Writes what is queued, until cancelled."""
        while True:
            await self._wake.wait()
            while self._queue:
                event, key = self._queue.popleft()
                await self._write_until_taken(event, key)
            self._wake.clear()

    async def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self.run(), name=f"events of {self.component}")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def flush(self) -> None:
        """Writes what is queued now: for a component that is about to end."""
        while self._queue:
            event, key = self._queue.popleft()
            await self._write(event, key)

    # -- correlation -------------------------------------------------------------------------------------------

    def _new_event(self, reference: Object, type: str, reason: str, message: str) -> Object:
        now = timestamp(self._clock.now())
        source = {"component": self.component}
        if self._host:
            source["host"] = self._host
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": self._names.of(reference.get("name", "")),
                "namespace": reference.get("namespace") or "default",
            },
            "involvedObject": reference,
            "reason": reason,
            "message": message[:1024],
            "source": source,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": type,
            "eventTime": None,
            "reportingComponent": self.component,
            "reportingInstance": self._host,
        }

    def _aggregate(self, event: Object) -> tuple[str, ...]:
        """The key under which this event is counted; rewrites it when too many similar ones came."""
        involved = event["involvedObject"]
        group = (
            self.component,
            self._host,
            *(str(involved.get(k, "")) for k in ("kind", "namespace", "name", "uid", "apiVersion")),
            event["type"],
            event["reason"],
        )
        now = self._clock.now()
        similar = _touch(self._similar, group, _Similar)
        if now - similar.last > _SIMILAR_WINDOW_S:
            similar.messages.clear()
        similar.last = now
        full = (*group, str(involved.get("fieldPath", "")), event["message"])
        if len(similar.messages) < _SIMILAR_MAX:
            similar.messages.add(event["message"])
        if len(similar.messages) < _SIMILAR_MAX:
            return full
        event["message"] = (_COMBINED + event["message"])[:1024]
        return group

    def _is_spam(self, event: Object) -> bool:
        involved = event["involvedObject"]
        # with the container: 1.36 was seen to tell 27 events about the containers of one new pod
        fields = ("kind", "namespace", "name", "uid", "fieldPath")
        source = (self.component, *(str(involved.get(k, "")) for k in fields))
        now = self._clock.monotonic()
        bucket = _touch(self._buckets, source, lambda: _Bucket(_SPAM_BURST, now))
        bucket.tokens = min(_SPAM_BURST, bucket.tokens + (now - bucket.at) * _SPAM_QPS)
        bucket.at = now
        if bucket.tokens < 1:
            return True
        bucket.tokens -= 1
        return False

    # -- writing -----------------------------------------------------------------------------------------------

    async def _write_until_taken(self, event: Object, key: tuple[str, ...]) -> None:
        for _ in range(_TRIES_MAX):
            try:
                await self._write(event, key)
                return
            except ApiError as error:
                if error.code in _ALREADY_PAST:
                    log.debug("event %s not taken: %s", event["reason"], error)
                    return
            except OSError as error:
                log.debug("event %s not sent: %s", event["reason"], error)
            await self._clock.sleep(_RETRY_S)
        self.dropped += 1

    async def _write(self, event: Object, key: tuple[str, ...]) -> None:
        namespace = event["metadata"]["namespace"]
        known = self._known.get(key)
        if known is not None:
            patch = {
                "count": known.count + 1,
                "lastTimestamp": event["lastTimestamp"],
                "message": event["message"],
            }
            try:
                await self._client.patch("events", namespace, known.name, patch, type="merge")
            except ApiError as error:
                if error.code != 404:
                    raise
                del self._known[key]  # it aged out on the server: tell it anew
            else:
                known.count += 1
                self._known.move_to_end(key)
                return
        await self._client.create("events", event, namespace=namespace)
        self._known[key] = _Known(event["metadata"]["name"], 1, event["firstTimestamp"])
        if len(self._known) > _CACHE_MAX:
            self._known.popitem(last=False)


def reference_to(obj: Object) -> Object:
    """The ObjectReference of an object; a reference is returned as it is."""
    if "metadata" not in obj:
        return dict(obj)
    metadata = obj["metadata"]
    reference = {
        "kind": obj.get("kind", ""),
        "namespace": metadata.get("namespace", ""),
        "name": metadata.get("name", ""),
        "uid": metadata.get("uid", ""),
        "apiVersion": obj.get("apiVersion", ""),
        "resourceVersion": metadata.get("resourceVersion", ""),
    }
    return {k: v for k, v in reference.items() if v}


def _touch(cache: OrderedDict[tuple[str, ...], Any], key: tuple[str, ...], make: Any) -> Any:
    """An LRU of `_CACHE_MAX`."""
    value = cache.get(key)
    if value is None:
        value = cache[key] = make()
        if len(cache) > _CACHE_MAX:
            cache.popitem(last=False)
    else:
        cache.move_to_end(key)
    return value
