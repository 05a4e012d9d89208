"""The recent events of a store, in revision order: what watches read. Bounded, shared by all watchers.

A watcher is a cursor (a revision) into this one list; it holds nothing of its own, so a thousand of them cost a
thousand numbers, and one that does not keep up finds its place gone (`Compacted`) and harms nobody.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Iterable
from itertools import accumulate

from .interface import Compacted, Event

EVENTS_MAX = 10_000
BYTES_MAX = 64 << 20  # of values: ten thousand versions of a large object would fill the machine's memory


class EventLog:
    """`start`: the revision after which everything is here."""

    def __init__(self, start: int, events_max: int = EVENTS_MAX):
        self.start = start
        self._events_max = events_max
        self._events: list[Event] = []
        self._bytes = 0
        self._changed: asyncio.Future[None] | None = None
        self._closed = False
        self._listeners: list[Callable[[list[Event]], None]] = []

    def append(self, events: list[Event]) -> None:
        self._events += events
        self._bytes += sum([len(event.record.value) for event in events])
        if len(self._events) > self._events_max + self._events_max // 4:  # cut seldom: a cut moves the list
            self._cut(len(self._events) - self._events_max)
        if self._bytes > BYTES_MAX:
            self._cut(surplus(map(_size, self._events), self._bytes - BYTES_MAX // 2))
        if self._changed is not None:
            self._notify()

    def listen(self, listener: Callable[[list[Event]], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def tell(self, events: list[Event]) -> None:
        """After `append`, and after the writers have been answered: they go on only once this has returned."""
        for listener in self._listeners:
            listener(events)

    def forget_before(self, revision: int) -> None:
        """Drops what happened before `revision`."""
        self._cut(bisect_right(self._events, revision - 1, key=_revision))
        self.start = max(self.start, revision - 1)

    def _cut(self, count: int) -> None:
        if count:
            self.start = self._events[count - 1].record.mod_revision
            self._bytes -= sum(map(_size, self._events[:count]))
            del self._events[:count]

    def after(self, revision: int) -> list[Event]:
        """Everything newer than `revision`. Raises Compacted when some of it is gone."""
        if revision < self.start:
            raise Compacted(self.start + 1)
        return self._events[bisect_right(self._events, revision, key=_revision) :]

    async def follow(self, prefix: str, revision: int) -> AsyncIterator[list[Event]]:
        """Batches of events below `prefix`, newer than `revision`, until closed."""
        while not self._closed:
            events = self.after(revision)
            if events:
                revision = events[-1].record.mod_revision
                if wanted := [event for event in events if event.record.key.startswith(prefix)]:
                    yield wanted
                continue
            if self._changed is None:
                self._changed = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._changed)

    def close(self) -> None:
        self._closed = True
        self._notify()

    def _notify(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)
        self._changed = None


def _revision(event: Event) -> int:
    return event.record.mod_revision


def _size(event: Event) -> int:
    return len(event.record.value)


def surplus(sizes: Iterable[int], excess: int) -> int:
    """How many of the first have to go for `excess` bytes."""
    return next((count for count, total in enumerate(accumulate(sizes), 1) if total >= excess), 0)
