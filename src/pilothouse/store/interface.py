"""The narrow waist between the API server and whatever keeps its data.

Keys are text like `/registry/pods/default/web-1` ; values are opaque bytes. One revision counter for the
whole store: it is Kubernetes' `resourceVersion`. A transaction that changes something takes exactly one
new revision, and all its puts and deletes carry it.

Promises that every implementation keeps, and that `tests/unit/store/contract.py` checks:
- a transaction is all or nothing, and `transact` returns only after it is durable (except `ephemeral` puts);
- revisions only grow; watchers see every event once, in revision order, with no gap, or `Compacted`;
- a slow watcher never holds back a writer: it loses its place and gets `Compacted`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


class StoreError(Exception):
    """The store cannot answer (disk full, closed, a data directory of a newer version)."""


class Compacted(StoreError):
    """The revision asked for is older than what is kept: list again. `revision` is the oldest kept."""

    def __init__(self, revision: int):
        super().__init__(f"compacted up to revision {revision}")
        self.revision = revision


class Conflict(StoreError):
    """A condition did not hold; nothing was changed. `record` is what is there (None: the key is absent)."""

    def __init__(self, key: str, record: Record | None):
        super().__init__(f"condition failed on {key}")
        self.key, self.record = key, record


@dataclass(slots=True)
class Record:
    key: str
    value: bytes
    create_revision: int
    mod_revision: int


@dataclass(slots=True)
class Condition:
    """`mod_revision` of `key` must be this; 0 means that the key must be absent."""

    key: str
    mod_revision: int


@dataclass(slots=True)
class Put:
    key: str
    value: bytes
    ephemeral: bool = False  # may be lost in a crash: node heartbeats. Never mixed with a durable one.


@dataclass(slots=True)
class Event:
    """One change. For a delete, `record` is the last value, with `mod_revision` the deletion's revision."""

    deleted: bool
    record: Record
    previous: Record | None  # what was there before; None for a creation


@dataclass(frozen=True, slots=True)
class Range:
    records: list[Record]  # in key order
    revision: int  # of the store when it was read, or the revision asked for
    more: bool  # the limit cut it


class Store(Protocol):
    @property
    def revision(self) -> int:
        """The newest revision that is durable."""

    @property
    def compacted_revision(self) -> int:
        """Nothing older than this can be read or watched."""

    async def get(self, key: str) -> Record | None: ...

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Range:
        """Records whose key begins with `prefix` and is >= `start`, as of `revision` (0: now). Raises Compacted."""

    async def transact(
        self, conditions: Sequence[Condition], puts: Sequence[Put] = (), deletes: Sequence[str] = ()
    ) -> int:
        """Commits, and returns the new revision. Raises Conflict for the first condition that does not hold.

        A delete of an absent key is nothing; a transaction that changes nothing returns the current revision.
        """

    def watch(self, prefix: str, from_revision: int) -> AsyncIterator[list[Event]]:
        """Batches of events with a revision > `from_revision`, for ever. Raises Compacted. Closing the iterator ends it."""

    def listen(self, listener: Callable[[list[Event]], None]) -> Callable[[], None]:
        """Calls it with each batch of events, in order, before any writer of the batch goes on: for the one reader that sits in the same
        process and must not lag. Returns how to end it."""

    async def compact(self, revision: int) -> None:
        """Forgets all history before `revision`; current values stay."""

    async def close(self) -> None: ...
