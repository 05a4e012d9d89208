"""What a simulated cluster has written: every change of every object, in order, comparable byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from ..base.clock import VirtualClock
from ..store.interface import Event
from ..store.memory import MemoryStore


@dataclass(frozen=True, slots=True)
class Change:
    """`value` None: the key was deleted. `at`: seconds since the simulation began."""

    revision: int
    at: float
    key: str
    value: bytes | None

    def line(self) -> bytes:
        return b"%d %.6f %s %s\n" % (self.revision, self.at, self.key.encode(), self.value or b"-")


class History:
    """A sequence of changes. Two of them are equal if they are so to the byte."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def __len__(self) -> int:
        return len(self.changes)

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and self.changes == other.changes

    def dump(self) -> bytes:
        return b"".join(change.line() for change in self.changes)

    def digest(self) -> str:
        """SHA-256 of `dump`, in hex."""
        digest = hashlib.sha256()
        for change in self.changes:
            digest.update(change.line())
        return digest.hexdigest()

    def of(self, prefix: str) -> list[Change]:
        """The changes below a key: `/registry/core/pods/`."""
        return [change for change in self.changes if change.key.startswith(prefix)]

    def first_difference(self, other: History) -> tuple[Change | None, Change | None] | None:
        """The first changes that differ (None where one history has ended); None if all are equal."""
        for mine, theirs in zip(self.changes, other.changes, strict=False):
            if mine != theirs:
                return mine, theirs
        if len(self) == len(other):
            return None
        shorter = min(len(self), len(other))
        return (
            self.changes[shorter] if len(self) > shorter else None,
            other.changes[shorter] if len(other) > shorter else None,
        )


class RecordingStore(MemoryStore):
    """A memory store that keeps the history of what was committed."""

    def __init__(self, clock: VirtualClock):
        super().__init__()
        self._clock = clock
        self.history = History()
        self.listen(self._record)

    def _record(self, events: list[Event]) -> None:
        at = self._clock.monotonic()
        for event in events:
            record = event.record
            value = None if event.deleted else record.value
            self.history.changes.append(Change(record.mod_revision, at, record.key, value))
