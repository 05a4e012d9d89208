"""What reads and watches are served from: every record as the bytes that clients get, and the recent changes of each kind.

The store tells it of every change, in revision order. The stored value has no resourceVersion (it is the record's revision):
it is spliced into the bytes once, here. Then a GET is a look-up, a LIST a join of bytes, a selector a look at labels
that were extracted once, and a watch event's bytes are built once for all watchers of the same shape.

One `Collection` a kind: its entries in key order, and a ring of its recent changes (of pods, one more for each node that
is watched). A watcher is a cursor into the
ring; one that does not keep up finds its place gone (`Compacted`, 410 for the client) and holds nobody back.
Parsed objects are shared, read-only, and kept for the few thousand entries that were used last.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import orjson

from ..api.managed_fields import shared
from ..api.object import Object
from ..store.interface import Compacted, Event, Record, Store
from ..store.log import surplus
from .request import chunk

ROOT = "/registry/"
RING_MAX, RING_BYTES_MAX = 4_096, 32 << 20  # changes a kind
PARSED_MAX, PARSED_BYTES_MAX = 8_192, 32 << 20  # objects that are kept parsed
GIVEN_MAX = 4_096
CHUNKS_MAX, CHUNK_BYTES_MAX = 16, 64 << 10  # of a ring: old places in it, and many changes, are nobody else's
_METADATA, _UID = b'"metadata":{', b'"uid":"'
_UID_LENGTH = len(_UID) + 36 + 1
_NO_LABELS: dict[str, str] = {}


def splice(value: bytes, revision: int) -> bytes:
    """The stored bytes with the resourceVersion in them, where Kubernetes writes it: after the uid."""
    at = value.index(_METADATA) + len(_METADATA)
    uid = value.find(_UID, at)  # what stands before it are names, which have no quotes in them
    if uid >= 0:
        end = uid + _UID_LENGTH
        return b'%b,"resourceVersion":"%d"%b' % (value[:end], revision, value[end:])
    comma = b"" if value[at : at + 1] == b"}" else b","
    return b'%b"resourceVersion":"%d"%b%b' % (value[:at], revision, comma, value[at:])


def with_version(obj: Object, revision: int) -> Object:
    """As `splice` of what it was encoded to would be parsed."""
    meta: Object = {}
    for field, value in obj["metadata"].items():
        meta[field] = value
        if field == "uid":
            meta["resourceVersion"] = str(revision)
    meta.setdefault("resourceVersion", str(revision))
    return {**obj, "metadata": meta}


class Entry:
    """One object at one revision. `bytes` is what a GET answers."""

    __slots__ = ("_cache", "_object", "bytes", "key", "labels", "revision")

    def __init__(self, cache: Cache, key: str, revision: int, data: bytes, obj: Object):
        self._cache, self.key, self.revision, self.bytes = cache, key, revision, data
        self.labels: dict[str, str] = obj["metadata"].get("labels") or _NO_LABELS
        self._object: Object | None = obj

    @property
    def object(self) -> Object:
        """Parsed, shared, read-only."""
        if self._object is None:
            self._object = self._cache.parse(self.bytes)
            self._cache.parsed(self)
        return self._object

    def drop_object(self) -> None:
        self._object = None

    @property
    def item_bytes(self) -> bytes:
        """As it stands in a list: without kind and apiVersion, which come first."""
        return b"{" + self.bytes[self.bytes.index(_METADATA) :]


class Change:
    """One event of the ring. `entry`: the new state; for a deletion the last one, with the deletion's revision."""

    __slots__ = ("_lines", "deleted", "entry", "previous")

    def __init__(self, deleted: bool, entry: Entry, previous: Entry | None):
        self.deleted, self.entry, self.previous = deleted, entry, previous
        self._lines: dict[str, bytes] = {}

    @property
    def revision(self) -> int:
        return self.entry.revision

    @property
    def type(self) -> str:
        return "DELETED" if self.deleted else "ADDED" if self.previous is None else "MODIFIED"

    def line(self, type_: str) -> bytes:
        """The watch event as it goes over the wire; the same bytes for every watcher. When an object leaves a selection
        (DELETED without being deleted), it is the old object at the new version."""
        line = self._lines.get(type_)
        if line is None:
            data = self.entry.bytes
            if type_ == "DELETED" and not self.deleted and self.previous is not None:
                data = orjson.dumps(left(self.previous, self.revision))
            line = self._lines[type_] = b'{"type":"%b","object":%b}\n' % (type_.encode(), data)
        return line


def left(previous: Entry, revision: int) -> Object:
    """The old object with the version of the change that took it out of a selection."""
    obj = previous.object
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(revision)}}


class Ring:
    """The recent changes of some objects, and who waits for more of them."""

    def __init__(self, start: int, changes: list[Change] | None = None):
        self._ring: list[Change] = changes or []
        self._bytes = sum(map(_size, self._ring))
        self.start = start  # every change after this revision is in the ring
        self.version = self._ring[-1].revision if self._ring else start  # of the newest change
        self._changed: asyncio.Future[None] | None = None
        self._listeners: dict[Callable[[], None], None] = {}
        self._notifying = False
        self._chunks: dict[tuple[int, str], bytes] = {}  # until the next change

    def chunk_after(self, revision: int, prefix: str) -> bytes:
        """All changes below `prefix` newer than `revision`, as a watch of all of them is told: the same bytes for a thousand watches.
        b"": there are none. Raises Compacted."""
        data = self._chunks.get((revision, prefix))
        if data is None:
            changes = [change for change in self.after(revision) if change.entry.key.startswith(prefix)]
            data = chunk(b"".join([change.line(change.type) for change in changes])) if changes else b""
            if len(data) <= CHUNK_BYTES_MAX and len(self._chunks) < CHUNKS_MAX:
                self._chunks[revision, prefix] = data
        return data

    def after(self, revision: int) -> list[Change]:
        """The changes newer than `revision`. Raises Compacted when some are gone."""
        if revision < self.start:
            raise Compacted(self.start)
        if revision >= self.version:
            return []
        return self._ring[bisect_right(self._ring, revision, key=_revision) :]

    async def changed(self, revision: int) -> None:
        """Returns when something newer than `revision` happened here."""
        while self.version <= revision:
            if self._changed is None:
                self._changed = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._changed)

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Calls it soon after each batch of changes: how thousands of watches wait without a task each."""
        self._listeners[listener] = None

    def unsubscribe(self, listener: Callable[[], None]) -> None:
        self._listeners.pop(listener, None)

    def _notify(self) -> None:
        self._notifying = False
        for listener in list(self._listeners):
            listener()

    def append(self, change: Change) -> None:
        self._ring.append(change)
        self.version = change.entry.revision
        if self._chunks:
            self._chunks.clear()
        self._bytes += len(change.entry.bytes)
        if len(self._ring) > RING_MAX + RING_MAX // 4:
            self._cut(len(self._ring) - RING_MAX)
        if self._bytes > RING_BYTES_MAX:
            self._cut(surplus(map(_size, self._ring), self._bytes - RING_BYTES_MAX // 2))
        if self._changed is not None:
            if not self._changed.done():
                self._changed.set_result(None)
            self._changed = None
        if self._listeners and not self._notifying:
            self._notifying = True
            asyncio.get_running_loop().call_soon(self._notify)

    def _cut(self, count: int) -> None:
        if count:
            self.start = self._ring[count - 1].revision
            self._bytes -= sum(map(_size, self._ring[:count]))
            del self._ring[:count]

    def forget_before(self, revision: int) -> None:
        self._cut(bisect_right(self._ring, revision - 1, key=_revision))
        self.start = max(self.start, revision - 1)


class Collection(Ring):
    """All entries of one kind, and what happened to them lately."""

    def __init__(self, start: int):
        super().__init__(start)
        self.by_key: dict[str, Entry] = {}
        self._keys: list[str] = []  # in order, without those in `_new`
        self._new: dict[str, None] = {}
        self._all: list[Entry] | None = None  # the whole list, until the next change
        self._of_nodes: dict[str, Ring] = {}

    def __len__(self) -> int:
        return len(self.by_key)

    def get(self, key: str) -> Entry | None:
        return self.by_key.get(key)

    def entries(self, prefix: str, start: str = "") -> list[Entry]:
        """Those whose key begins with `prefix` and is >= `start`, in key order. Not to be changed by the caller."""
        if self._new:
            self._in_order()
        if self._all is None:
            self._all = [self.by_key[key] for key in self._keys]
        first = bisect_left(self._keys, max(prefix, start))
        last = bisect_left(self._keys, prefix + "\U0010ffff", first)
        return self._all if (first, last) == (0, len(self._all)) else self._all[first:last]

    def _in_order(self) -> None:
        """Only when somebody asks: to insert each key at its place would move half the list."""
        self._keys += self._new
        self._keys.sort()
        self._new.clear()

    def of_node(self, node: str) -> Ring:
        """The changes of pods that are on a node, or were: so that a kubelet is not woken by the pods of all others."""
        ring = self._of_nodes.get(node)
        if ring is None:
            mine = [change for change in self._ring if node in _nodes(change)]
            ring = self._of_nodes[node] = Ring(self.start, mine)
        return ring

    def load(self, entry: Entry) -> None:
        """At the start: what the store holds, in key order."""
        self.by_key[entry.key] = entry
        self._keys.append(entry.key)

    def apply(self, change: Change) -> None:
        key = change.entry.key
        if change.deleted:
            del self.by_key[key]
            if key in self._new:
                del self._new[key]
            else:
                del self._keys[bisect_left(self._keys, key)]
        else:
            if change.previous is None:
                self._new[key] = None
            self.by_key[key] = change.entry
        self._all = None
        self.append(change)
        if self._of_nodes:
            for node in _nodes(change):
                if (ring := self._of_nodes.get(node)) is not None:
                    ring.append(change)

    def forget_before(self, revision: int) -> None:
        super().forget_before(revision)
        for ring in self._of_nodes.values():
            ring.forget_before(revision)


def _nodes(change: Change) -> set[str]:
    """Of a pod, now and before."""
    entries = (change.entry,) if change.previous is None else (change.entry, change.previous)
    return {(entry.object.get("spec") or {}).get("nodeName") or "" for entry in entries}


def _revision(change: Change) -> int:
    return change.revision


def _size(change: Change) -> int:
    return len(change.entry.bytes)


@dataclass(slots=True)
class _Waiter:
    revision: int
    future: asyncio.Future[None]


class Cache:
    """`await start()` loads what there is and follows the store, until `stop()`."""

    def __init__(self, store: Store, unseal: Callable[[str, bytes], bytes] | None = None):
        """`unseal(key, value)`: for values that are encrypted at rest."""
        self._store, self._unseal = store, unseal
        self._collections: dict[str, Collection] = {}
        self._parsed: OrderedDict[int, Entry] = OrderedDict()
        self._parsed_bytes = 0
        self._given: dict[int, tuple[bytes, Object]] = {}
        self._waiters: list[_Waiter] = []
        self._stop: Callable[[], None] | None = None
        self.revision = 0
        self._loaded = 0  # every change after this has passed through `apply`

    async def start(self) -> None:
        early: list[Event] = []
        stop = self._store.listen(early.extend)
        held = await self._store.range(ROOT)
        self.revision = self._loaded = held.revision
        for record in held.records:
            self.collection(record.key).load(self.entry_of(record))
        stop()
        self._stop = self._store.listen(self.apply)
        self.apply([event for event in early if event.record.mod_revision > held.revision])

    async def stop(self) -> None:
        if self._stop is not None:
            self._stop()
            self._stop = None

    def apply(self, events: list[Event]) -> None:
        """A batch of the store's changes, in order."""
        for event in events:
            record = event.record
            self.revision = record.mod_revision
            if not record.key.startswith(ROOT):
                continue  # what the registry keeps for itself
            collection = self.collection(record.key)
            given = self._given.pop(id(record.value), None)
            entry = self.entry_of(record, None if given is None else given[1])
            previous = collection.by_key.get(record.key)
            if event.deleted and previous is None:
                continue
            collection.apply(Change(event.deleted, entry, previous))
        if self._waiters:
            still = []
            for waiter in self._waiters:
                if waiter.revision > self.revision:
                    still.append(waiter)
                elif not waiter.future.done():
                    waiter.future.set_result(None)
            self._waiters = still

    async def wait_for(self, revision: int) -> None:
        """Returns when everything up to `revision` is here: a writer reads its own write."""
        if revision <= self.revision:
            return
        waiter = _Waiter(revision, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        await waiter.future

    def collection(self, key: str) -> Collection:
        """Of a key, or of a prefix that names the kind."""
        prefix = key[: key.index("/", key.index("/", len(ROOT)) + 1) + 1]
        collection = self._collections.get(prefix)
        if collection is None:
            collection = self._collections[prefix] = Collection(self._loaded)
        return collection

    def find(self, prefix: str, key: str) -> Entry | None:
        """As `get`, where the kind's prefix is at hand: most of what a request looks up."""
        collection = self._collections.get(prefix)
        return None if collection is None else collection.by_key.get(key)

    def get(self, key: str) -> Entry | None:
        return self.collection(key).get(key)

    def entries(self, prefix: str, start: str = "") -> list[Entry]:
        return self.collection(prefix).entries(prefix, start)

    def ring(self, prefix: str, node: str = "") -> Ring:
        """Where the changes below a prefix are to be found; `node`: only those of its pods are asked for."""
        collection = self.collection(prefix)
        return collection.of_node(node) if node else collection

    async def watch(self, prefix: str, from_revision: int, node: str = "") -> AsyncIterator[list[Change]]:
        """Batches of changes below `prefix`; an empty one says that nothing for this watch has happened up to now.

        Raises Compacted when the watcher has fallen out of the ring.
        """
        collection = self.ring(prefix, node)
        whole = prefix.count("/") == 4
        seen = from_revision
        while True:
            changes = collection.after(seen)
            if changes:
                seen = changes[-1].revision
            yield changes if whole else [c for c in changes if c.entry.key.startswith(prefix)]
            await collection.changed(seen)

    def version(self, prefix: str) -> int:
        """The revision of the newest change below a kind's prefix."""
        return self.collection(prefix).version

    def give(self, value: bytes, obj: Object) -> None:
        """What a value that is about to be committed was encoded from, and nobody will change: it need not be parsed."""
        if len(self._given) >= GIVEN_MAX:  # never committed
            self._given.clear()
        self._given[id(value)] = value, obj

    def entry_of(self, record: Record, given: Object | None = None) -> Entry:
        value = record.value if self._unseal is None else self._unseal(record.key, record.value)
        data = splice(value, record.mod_revision)
        obj = self.parse(data) if given is None else with_version(given, record.mod_revision)
        entry = Entry(self, record.key, record.mod_revision, data, obj)
        self.parsed(entry)
        return entry

    def parse(self, data: bytes) -> Object:
        obj: Object = orjson.loads(data)
        for entry in obj["metadata"].get("managedFields") or ():
            if "fieldsV1" in entry:
                entry["fieldsV1"] = shared(entry["fieldsV1"])
        return obj

    def parsed(self, entry: Entry) -> None:
        """Keeps the parsed objects bounded: the oldest is parsed again when somebody asks."""
        self._parsed[id(entry)] = entry
        self._parsed_bytes += len(entry.bytes)
        while len(self._parsed) > PARSED_MAX or self._parsed_bytes > PARSED_BYTES_MAX:
            _, oldest = self._parsed.popitem(last=False)
            oldest.drop_object()
            self._parsed_bytes -= len(oldest.bytes)

    def compact(self, revision: int) -> None:
        for collection in self._collections.values():
            collection.forget_before(revision)
