"""Informers: each actor's local copy of the resources it cares for, kept true by list and watch.

One `Informer` per (resource, field selector) is shared by all actors of a process: one watch, one copy of each object.
A relist happens only when the server says that our place in the history is gone (410 Expired); a broken watch is
taken up again where it ended, and bookmarks move that place along while nothing happens.

Objects are shared and read-only. In tests `Informers(..., detect_mutations=True)` catches whoever writes to one.
The rule that makes actors simple: handlers are called synchronously, after the cache and its indexes have changed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Protocol

import orjson

from ..api.errors import ApiError
from ..api.object import Object, controller_of
from ..base.clock import Clock
from ..base.random import Random
from .interface import Client, WatchEvent

log = logging.getLogger(__name__)

Key = tuple[str, str]  # (namespace, name); the namespace is "" for cluster-scoped objects
Handler = Callable[[Object | None, Object | None], None]
Keys = list[Key]
Objects = list[Object]
IndexFunction = Callable[[Object], Iterable[str]]

# client-go's reflector: 800 ms, doubled up to 30 s, plus up to as much again in jitter
_BACKOFF_FIRST_S, _BACKOFF_MAX_S, _BACKOFF_JITTER = 0.8, 30.0, 1.0


class Lister(Protocol):
    """What a reader sees of one resource."""

    def get(self, namespace: str, name: str) -> Object | None: ...
    def list(self, namespace: str = "", selector: Callable[[Object], bool] | None = None) -> Objects: ...
    def by_index(self, name: str, value: str) -> Objects: ...


class Cache:
    """Objects of one resource by key, by namespace, and by any index that was asked for. No I/O."""

    def __init__(self) -> None:
        self._objects: dict[Key, Object] = {}
        self._namespaces: dict[str, dict[Key, Object]] = {}
        self._functions: dict[str, IndexFunction] = {}
        self._indexes: dict[str, dict[str, dict[Key, Object]]] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def keys(self) -> Keys:
        return [*self._objects]

    def get(self, namespace: str, name: str) -> Object | None:
        return self._objects.get((namespace, name))

    def list(self, namespace: str = "", selector: Callable[[Object], bool] | None = None) -> Objects:
        """All objects, or those of one namespace; `selector` is any predicate on objects."""
        objects = self._namespaces.get(namespace, {}) if namespace else self._objects
        return [o for o in objects.values() if selector is None or selector(o)]

    def by_index(self, name: str, value: str) -> Objects:
        return [*self._indexes[name].get(value, {}).values()]

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Idempotent by name: two actors that ask for the same index share it."""
        if name in self._functions:
            assert self._functions[name].__code__ is function.__code__, f"two indexes are called {name!r}"
            return
        self._functions[name] = function
        self._indexes[name] = {}
        for key, obj in self._objects.items():
            self._add_to(name, key, obj)

    def put(self, obj: Object) -> Object | None:
        """The object that was there before."""
        metadata = obj["metadata"]
        key = (metadata.get("namespace") or "", metadata["name"])
        old = self._objects.get(key)
        if old is not None:
            self._forget(key, old)
        self._objects[key] = obj
        if key[0]:
            self._namespaces.setdefault(key[0], {})[key] = obj
        for name in self._functions:
            self._add_to(name, key, obj)
        return old

    def remove(self, key: Key) -> Object | None:
        old = self._objects.pop(key, None)
        if old is None:
            return None
        self._forget(key, old)
        in_namespace = self._namespaces.get(key[0])
        if in_namespace is not None:
            in_namespace.pop(key, None)
            if not in_namespace:
                del self._namespaces[key[0]]
        return old

    def _add_to(self, name: str, key: Key, obj: Object) -> None:
        for value in self._functions[name](obj):
            self._indexes[name].setdefault(value, {})[key] = obj

    def _forget(self, key: Key, old: Object) -> None:
        for name, function in self._functions.items():
            index = self._indexes[name]
            for value in function(old):
                bucket = index.get(value)
                if bucket is not None:
                    bucket.pop(key, None)
                    if not bucket:
                        del index[value]


def by_controller(obj: Object) -> list[str]:
    """An index: the uid of the controller that owns it; "" for none, so that orphans of a namespace are found too."""
    reference = controller_of(obj)
    return [reference["uid"]] if reference else [f"orphans/{obj['metadata'].get('namespace') or ''}"]


def by_owner(obj: Object) -> list[str]:
    """An index: the uids of all owners."""
    return [reference["uid"] for reference in obj["metadata"].get("ownerReferences") or ()]


class Informer(Cache):
    """A cache that follows the server."""

    def __init__(
        self,
        resource: str,
        client: Client,
        clock: Clock,
        random: Random,
        *,
        field_selector: str = "",
        detect_mutations: bool = False,
    ):
        super().__init__()
        self.resource, self.field_selector = resource, field_selector
        self._client, self._clock, self._random = client, clock, random
        self._handlers: list[Handler] = []
        self._observers: list[Callable[[], None]] = []
        self._synced = asyncio.Event()
        self._version = ""
        self._originals: dict[Key, bytes] | None = {} if detect_mutations else None
        self.relists = 0

    @property
    def has_synced(self) -> bool:
        return self._synced.is_set()

    @property
    def resource_version(self) -> int:
        """How far this cache has followed: everything up to this revision is in it."""
        return int(self._version or 0)

    async def synced(self) -> None:
        """Returns when the first list is in the cache."""
        await self._synced.wait()

    def add_handler(self, handler: Handler) -> Callable[[], None]:
        """`handler(old, new)`: old is None for an addition, new is None for a deletion.

        Objects that are there already are added at once. What is returned takes the handler away again: for actors that
        end before their informers do.
        """
        self._handlers.append(handler)
        for obj in self.list():
            handler(None, obj)
        return lambda: self._handlers.remove(handler)

    def add_observer(self, observer: Callable[[], None]) -> Callable[[], None]:
        """Called after each step of `resource_version`, bookmarks too. Taken away by what is returned."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    async def run(self) -> None:
        """Follows the server until cancelled."""
        backoff_s = _BACKOFF_FIRST_S
        while True:
            try:
                if not self._version:
                    await self._relist()
                    backoff_s = _BACKOFF_FIRST_S
                async for event in self._client.watch(
                    self.resource, resource_version=self._version, field_selector=self.field_selector
                ):
                    self._apply(event)
                    backoff_s = _BACKOFF_FIRST_S
                continue_in_s = 0.0  # the server ended the watch in good order: go on from the same place
            except ApiError as error:
                if error.code == 410:
                    self._version = ""
                elif error.code != 404:  # a resource that comes and goes with its definition
                    log.warning("watch of %s: %s", self.resource, error)
                continue_in_s = self._random.jitter(backoff_s, _BACKOFF_JITTER)
                backoff_s = min(backoff_s * 2, _BACKOFF_MAX_S)
            except (OSError, EOFError, TimeoutError) as error:  # the connection, not the answer
                log.warning("watch of %s: %s", self.resource, error)
                continue_in_s = self._random.jitter(backoff_s, _BACKOFF_JITTER)
                backoff_s = min(backoff_s * 2, _BACKOFF_MAX_S)
            await self._clock.sleep(continue_in_s)

    async def _relist(self) -> None:
        found = await self._client.list(self.resource, field_selector=self.field_selector)
        self.relists += 1
        self.replace(found.items, found.resource_version)

    def replace(self, items: Objects, version: str) -> None:
        """Takes a whole list: what is no longer in it is deleted."""
        gone = set(self.keys())
        for obj in items:
            metadata = obj["metadata"]
            key = (metadata.get("namespace") or "", metadata["name"])
            gone.discard(key)
            old = self.get(*key)
            if old is not None and old["metadata"].get("uid") != metadata.get("uid"):
                self._delete(key)  # deleted and made again while we did not look
            elif (
                old is not None
                and old["metadata"].get("resourceVersion") == metadata.get("resourceVersion")
                and old["metadata"].get("resourceVersion")
            ):
                continue
            self._put(self._typed(obj))
        for key in sorted(gone):
            self._delete(key)
        self._version = version
        self._synced.set()
        self._observe()

    def _apply(self, event: WatchEvent) -> None:
        metadata = event.object["metadata"]
        if event.type == "DELETED":
            self._delete((metadata.get("namespace") or "", metadata["name"]))
        elif event.type != "BOOKMARK":
            self._put(self._typed(event.object))
        self._version = metadata.get("resourceVersion") or self._version
        self._observe()

    def _put(self, obj: Object) -> None:
        self._check_unchanged()
        old = self.put(obj)
        if self._originals is not None:
            metadata = obj["metadata"]
            self._originals[(metadata.get("namespace") or "", metadata["name"])] = orjson.dumps(obj)
        self._notify(old, obj)

    def _delete(self, key: Key) -> None:
        self._check_unchanged()
        old = self.remove(key)
        if old is not None:
            if self._originals is not None:
                self._originals.pop(key, None)
            self._notify(old, None)

    def _notify(self, old: Object | None, new: Object | None) -> None:
        for handler in [*self._handlers]:
            handler(old, new)

    def _observe(self) -> None:
        for observer in [*self._observers]:
            observer()

    def _typed(self, obj: Object) -> Object:
        """Items of a list may come without their kind; here each object has it."""
        if "kind" in obj and "apiVersion" in obj:
            return obj
        from ..api.kinds import kind_of_resource

        kind = kind_of_resource(self.resource)
        return {"apiVersion": kind.api_version, "kind": kind.kind, **obj}

    def _check_unchanged(self) -> None:
        if self._originals is None:
            return
        for key, original in self._originals.items():
            obj = self.get(*key)
            if obj is not None and orjson.dumps(obj) != original:
                raise AssertionError(
                    f"somebody wrote to the shared {self.resource} {key}: was {original.decode()}, is {obj}"
                )


class Informers:
    """The shared informers of one process (or one identity). `async with`, or `run()`, or `start`/`stop`, follows the server."""

    def __init__(self, client: Client, clock: Clock, random: Random, *, detect_mutations: bool = False):
        self._client, self._clock, self._random = client, clock, random
        self._detect_mutations = detect_mutations
        self._informers: dict[tuple[str, str], Informer] = {}
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] | None = None

    def of(self, resource: str, field_selector: str = "") -> Informer:
        """The shared informer of a resource; it begins to follow as soon as these informers run."""
        key = (resource, field_selector)
        informer = self._informers.get(key)
        if informer is None:
            informer = self._informers[key] = Informer(
                resource,
                self._client,
                self._clock,
                self._random.fork(f"informer/{resource}/{field_selector}"),
                field_selector=field_selector,
                detect_mutations=self._detect_mutations,
            )
            if self._failed is not None:
                self._follow(key)
        return informer

    def has(self, resource: str, field_selector: str = "") -> bool:
        return (resource, field_selector) in self._informers

    def forget(self, resource: str) -> None:
        """Stops following a resource (its definition is gone); its objects count as deleted."""
        for key in [k for k in self._informers if k[0] == resource]:
            informer = self._informers.pop(key)
            task = self._tasks.pop(key, None)
            if task is not None:
                task.cancel()
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)
            informer.replace([], "0")

    async def synced(self) -> None:
        """Returns when every informer asked for so far has its first list."""
        for informer in list(self._informers.values()):
            await informer.synced()

    async def start(self) -> None:
        self._failed = asyncio.get_running_loop().create_future()
        for key in list(self._informers):
            self._follow(key)

    async def stop(self) -> None:
        tasks, self._tasks = [*self._tasks.values(), *self._ending], {}
        if self._failed is not None:
            self._failed.cancel()
        self._failed = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def run(self) -> None:
        """Follows the server until cancelled; raises what any informer raised (a defect, not an ApiError)."""
        await self.start()
        assert self._failed is not None
        try:
            await self._failed
        finally:
            await self.stop()

    async def keep(self) -> None:
        """After `start`, for a supervisor: raises what an informer raised; called again, it lets that one go on."""
        for key, task in [*self._tasks.items()]:
            if task.done():
                self._follow(key)
        self._failed = asyncio.get_running_loop().create_future()
        await self._failed

    async def __aenter__(self) -> Informers:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    def _follow(self, key: tuple[str, str]) -> None:
        task = asyncio.get_running_loop().create_task(self._informers[key].run(), name=f"informer {key[0]}")
        self._tasks[key] = task
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        log.error("%s failed", task.get_name(), exc_info=error)
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)
