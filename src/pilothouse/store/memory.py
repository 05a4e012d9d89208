"""The store that forgets everything when it ends: for tests, simulations, clusters of a minute."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import AsyncIterator, Callable, Generator, Sequence

from .interface import Compacted, Condition, Conflict, Event, Put, Range, Record, StoreError
from .log import EVENTS_MAX, EventLog


class MemoryStore:
    """`Store` in two dicts and a list. Nothing here waits, so a transaction is one step of the loop."""

    def __init__(self, events_max: int = EVENTS_MAX):
        self._records: dict[str, Record] = {}
        self._keys: list[str] = []  # sorted
        self._revision = 1  # etcd's first
        self._log = EventLog(self._revision, events_max)
        self._closed = False

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def compacted_revision(self) -> int:
        return self._log.start

    async def get(self, key: str) -> Record | None:
        return self._records.get(key)

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Range:
        if revision > self._revision:
            raise StoreError(f"revision {revision} is in the future (now {self._revision})")
        records = self._now(prefix) if revision in (0, self._revision) else self._then(prefix, revision)
        found = [record for record in records if record.key >= start]
        more = bool(limit) and len(found) > limit
        return Range(found[:limit] if limit else found, revision or self._revision, more)

    def _now(self, prefix: str) -> list[Record]:
        first = bisect_left(self._keys, prefix)
        found = []
        for index in range(first, len(self._keys)):
            if not self._keys[index].startswith(prefix):
                break
            found.append(self._records[self._keys[index]])
        return found

    def _then(self, prefix: str, revision: int) -> list[Record]:
        """As it was: what happened since, undone."""
        if revision < self._log.start:
            raise Compacted(self._log.start + 1)
        records = {record.key: record for record in self._now(prefix)}
        for event in reversed(self._log.after(revision)):
            if event.record.key.startswith(prefix):
                if event.previous is None:
                    records.pop(event.record.key, None)
                else:
                    records[event.record.key] = event.previous
        return [records[key] for key in sorted(records)]

    async def transact(
        self, conditions: Sequence[Condition], puts: Sequence[Put] = (), deletes: Sequence[str] = ()
    ) -> int:
        if self._closed:
            raise StoreError("the store is closed")
        for condition in conditions:
            record = self._records.get(condition.key)
            if (record.mod_revision if record else 0) != condition.mod_revision:
                raise Conflict(condition.key, record)
        revision = self._revision + 1
        events = []
        for put in puts:
            previous = self._records.get(put.key)
            created = previous.create_revision if previous else revision
            record = Record(put.key, put.value, created, revision)
            if previous is None:
                insort(self._keys, put.key)
            self._records[put.key] = record
            events.append(Event(False, record, previous))
        for key in deletes:
            previous = self._records.pop(key, None)
            if previous is not None:
                del self._keys[bisect_left(self._keys, key)]
                gone = Record(key, previous.value, previous.create_revision, revision)
                events.append(Event(True, gone, previous))
        if events:
            self._revision = revision
            self._log.append(events)
            self._log.tell(events)
            revision = self._revision
            await _Turn()
            return revision
        return self._revision

    def watch(self, prefix: str, from_revision: int) -> AsyncIterator[list[Event]]:
        return self._log.follow(prefix, from_revision)

    def listen(self, listener: Callable[[list[Event]], None]) -> Callable[[], None]:
        return self._log.listen(listener)

    async def compact(self, revision: int) -> None:
        self._log.forget_before(revision)

    async def close(self) -> None:
        self._closed = True
        self._log.close()


class _Turn:
    """Lets others have a turn: who writes a lot to a store that never waits must not keep the loop."""

    def __await__(self) -> Generator[None, None, None]:
        yield
