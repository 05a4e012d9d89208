"""The durable store: SQLite and a journal (database.py), with group commit.

One thread writes. While it commits, new transactions gather; then their conditions are judged in order (on the loop,
against an index of revisions in memory) and all that hold are committed as one. A caller's answer leaves only after
its commit. So durability costs one fdatasync a group, however many wait.

The database holds current values only; recent history is in memory (`log.EventLog`), and whoever comes with a revision
from before a restart lists again (410), as after an etcd compaction. *Ephemeral* values (heartbeats) never reach the
disk, but take revisions: so that no revision is given out twice after a crash, a block of them is reserved ahead.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .database import Database
from .interface import Compacted, Condition, Conflict, Event, Put, Range, Record, StoreError
from .log import EVENTS_MAX, EventLog

RESERVED_AHEAD = 100_000  # revisions; a block is used up by ephemeral writes in hours
GROUP_MAX = 1_000  # transactions in one commit
PENDING_MAX = 20_000  # more are refused: the disk does not keep up


@dataclass(slots=True)
class _Transaction:
    conditions: Sequence[Condition]
    puts: Sequence[Put]
    deletes: Sequence[str]
    done: asyncio.Future[int]


@dataclass(slots=True)
class _Versions:
    """What the index knows of a key; `value` only of an ephemeral one."""

    created: int
    modified: int
    value: bytes | None = None


@dataclass(slots=True)
class _Group:
    """What one commit writes, and what is told afterwards."""

    revision: int
    rows: dict[str, tuple[bytes, int, int] | None]  # None: delete
    changes: list[tuple[bool, Record, _Versions | None]]
    answers: list[tuple[asyncio.Future[int], int]]
    replaced: list[str] = field(default_factory=list)  # keys whose value on the disk this commit replaces
    reserve: int = 0


class SqliteStore:
    """`await SqliteStore.open(path)`."""

    def __init__(self, database: Database, lock: int, events_max: int):
        self._database, self._lock = database, lock
        self._index: dict[str, _Versions] = {}
        self._ephemeral: set[str] = set()  # keys whose value is in memory alone
        self._pending: list[_Transaction] = []
        self._busy = False
        self._gathering = False
        self._closed = False
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        for key, created, modified in database.revisions():
            self._index[key] = _Versions(created, modified)
        newest = max((versions.modified for versions in self._index.values()), default=1)
        self._revision = max(newest, database.reserved, 1)
        self._reserved = self._revision
        self._log = EventLog(self._revision, events_max)
        self._thread.start()

    @classmethod
    async def open(cls, path: str | Path, *, events_max: int = EVENTS_MAX) -> SqliteStore:
        """Raises StoreError: in use by another process, made by a newer version, not a database, disk full."""
        path = Path(path)
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreError(f"{path} is in use by another process") from None
            try:
                return cls(Database(path), lock, events_max)
            except (sqlite3.Error, OSError) as error:
                raise StoreError(f"cannot open {path}: {error}") from error
        except BaseException:
            os.close(lock)
            raise

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def compacted_revision(self) -> int:
        return self._log.start

    async def get(self, key: str) -> Record | None:
        versions = self._index.get(key)
        if versions is None:
            return None
        if versions.value is not None:
            return Record(key, versions.value, versions.created, versions.modified)
        found = await self._in_thread(lambda: self._database.read([key]))
        return found.get(key)

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Range:
        if revision > self._revision:
            raise StoreError(f"revision {revision} is in the future (now {self._revision})")
        if revision and revision < self._log.start:
            raise Compacted(self._log.start + 1)

        def settle(records: dict[str, Record]) -> Range:
            """On the loop, at the very revision that the thread has read: later commits come after it in line."""
            for key in self._ephemeral:
                if key.startswith(prefix) and (versions := self._index[key]).value is not None:
                    records[key] = Record(key, versions.value, versions.created, versions.modified)
            wanted = revision or self._revision
            for event in reversed(self._log.after(wanted) if wanted < self._revision else []):
                if event.record.key.startswith(prefix):
                    if event.previous is None:
                        records.pop(event.record.key, None)
                    else:
                        records[event.record.key] = event.previous
            found = [records[key] for key in sorted(records) if key >= start]
            more = bool(limit) and len(found) > limit
            return Range(found[:limit] if limit else found, wanted, more)

        return await self._in_thread(lambda: self._database.scan(prefix), settle)

    async def transact(
        self, conditions: Sequence[Condition], puts: Sequence[Put] = (), deletes: Sequence[str] = ()
    ) -> int:
        if self._closed:
            raise StoreError("the store is closed")
        if len(self._pending) >= PENDING_MAX:
            raise StoreError("too many writes wait for the disk")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()
        self._pending.append(_Transaction(conditions, puts, deletes, done))
        if not self._busy and not self._gathering:
            self._gathering = True
            loop.call_soon(self._gathered)  # who has his turn of the loop with this one shares its fsync
        return await done

    def _gathered(self) -> None:
        self._gathering = False
        self._commit_pending()

    # -- group commit ----------------------------------------------------------------------------------

    def _commit_pending(self) -> None:
        """Judges what waits, and hands what holds to the thread. Runs on the loop."""
        while self._pending and not self._busy:
            batch, self._pending = self._pending[:GROUP_MAX], self._pending[GROUP_MAX:]
            group = self._judge(batch)
            if not group.changes:
                for done, revision in group.answers:
                    if not done.done():
                        done.set_result(revision)
                continue
            if group.revision >= self._reserved:
                group.reserve = group.revision + RESERVED_AHEAD
            group.replaced = [key for key in group.rows if key in self._index]
            if not group.rows and not group.reserve:
                self._apply(group, {})  # heartbeats only: nothing for the disk
                continue
            self._busy = True
            loop = asyncio.get_running_loop()
            self._work.put(lambda group=group, loop=loop: self._write(group, loop))  # type: ignore[misc]

    def _judge(self, batch: list[_Transaction]) -> _Group:
        group = _Group(self._revision, {}, [], [])
        overlay: dict[str, _Versions | None] = {}

        def now(key: str) -> _Versions | None:
            return overlay[key] if key in overlay else self._index.get(key)

        for transaction in batch:
            if transaction.done.cancelled():
                continue
            failed = None
            for condition in transaction.conditions:
                key = condition.key
                versions = overlay[key] if key in overlay else self._index.get(key)
                if (versions.modified if versions else 0) != condition.mod_revision:
                    failed = condition.key
                    break
            if failed is not None:
                self._refuse(transaction, failed, now(failed), group)
                continue
            revision = group.revision + 1
            changed = False
            for put in transaction.puts:
                before = overlay[put.key] if put.key in overlay else self._index.get(put.key)
                # what is on the disk stays there, or a restart would bring an old value back
                ephemeral = put.ephemeral and (before is None or before.value is not None)
                versions = _Versions(
                    before.created if before else revision, revision, put.value if ephemeral else None
                )
                overlay[put.key] = versions
                record = Record(put.key, put.value, versions.created, revision)
                group.changes.append((False, record, before))
                if not ephemeral:
                    group.rows[put.key] = (put.value, versions.created, revision)
                changed = True
            for key in transaction.deletes:
                before = now(key)
                if before is not None:
                    overlay[key] = None
                    group.changes.append((True, Record(key, b"", before.created, revision), before))
                    if before.value is None:
                        group.rows[key] = None
                    changed = True
            if changed:
                group.revision = revision
            group.answers.append((transaction.done, group.revision))
        return group

    def _refuse(self, transaction: _Transaction, key: str, versions: _Versions | None, group: _Group) -> None:
        """A Conflict says what is there; the value may have to come from this group or from the disk."""
        if versions is None:
            transaction.done.set_exception(Conflict(key, None))
            return
        value = versions.value
        if value is None and (row := group.rows.get(key)) is not None:
            value = row[0]
        if value is not None:
            record = Record(key, value, versions.created, versions.modified)
            transaction.done.set_exception(Conflict(key, record))
            return
        loop = asyncio.get_running_loop()

        def read() -> None:
            record = self._database.read([key]).get(key)

            def tell() -> None:
                if not transaction.done.done():
                    transaction.done.set_exception(Conflict(key, record))

            loop.call_soon_threadsafe(tell)

        self._work.put(read)

    def _write(self, group: _Group, loop: asyncio.AbstractEventLoop) -> None:
        """The commit. Runs in the thread."""
        error: Exception | None = None
        before: dict[str, Record] = {}
        try:
            before = self._database.read(group.replaced)
            self._database.commit(group.rows, group.reserve)
        except (sqlite3.Error, OSError) as failure:
            error = failure
        loop.call_soon_threadsafe(self._written, group, before, error)
        if self._database.due:
            self._database.checkpoint()

    def _written(self, group: _Group, before: dict[str, Record], error: Exception | None) -> None:
        self._busy = False
        if error is not None:
            for done, _ in group.answers:
                if not done.done():
                    done.set_exception(StoreError(f"the write failed, and nothing was changed: {error}"))
        else:
            if group.reserve:
                self._reserved = group.reserve
            self._apply(group, before)
        if self._pending and not self._gathering:
            self._gathering = True
            asyncio.get_running_loop().call_soon(self._gathered)

    def _apply(self, group: _Group, before: dict[str, Record]) -> None:
        """Makes a commit visible: index, log, answers."""
        values = {key: record.value for key, record in before.items()}
        events = []
        for deleted, record, versions in group.changes:
            key = record.key
            previous = None
            if versions is not None:
                value = versions.value if versions.value is not None else values.get(key, b"")
                previous = Record(key, value, versions.created, versions.modified)
            if deleted:
                assert previous is not None
                record = Record(key, previous.value, record.create_revision, record.mod_revision)
                del self._index[key]
                self._ephemeral.discard(key)
            else:
                values[key] = record.value
                ephemeral = key not in group.rows
                if ephemeral:
                    self._ephemeral.add(key)
                elif self._ephemeral:
                    self._ephemeral.discard(key)
                self._index[key] = _Versions(
                    record.create_revision, record.mod_revision, record.value if ephemeral else None
                )
            events.append(Event(deleted, record, previous))
        self._revision = group.revision
        self._log.append(events)
        for done, revision in group.answers:
            if not done.done():
                done.set_result(revision)
        self._log.tell(events)

    # -- the rest --------------------------------------------------------------------------------------

    def watch(self, prefix: str, from_revision: int) -> AsyncIterator[list[Event]]:
        return self._log.follow(prefix, from_revision)

    def listen(self, listener: Callable[[list[Event]], None]) -> Callable[[], None]:
        return self._log.listen(listener)

    async def compact(self, revision: int) -> None:
        self._log.forget_before(revision)

    async def close(self) -> None:
        """Commits what waits, then closes."""
        if self._closed:
            return
        self._closed = True
        await self._in_thread(lambda: None)
        while self._busy or self._pending:
            await self._in_thread(lambda: None)
        self._work.put(None)
        await asyncio.to_thread(self._thread.join)
        self._log.close()
        self._database.close()
        os.close(self._lock)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    async def _in_thread(self, read: Callable[[], Any], settle: Callable[[Any], Any] | None = None) -> Any:
        """A read, in the one thread that has the connection, after the writes that were handed to it before.

        `settle` turns what was read into the result, on the loop, before any later commit shows.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def finish(result: Any, error: Exception | None) -> None:
            if done.done():
                return
            try:
                if error is not None:
                    raise error
                done.set_result(settle(result) if settle else result)
            except StoreError as failure:
                done.set_exception(failure)

        def work() -> None:
            try:
                result, error = read(), None
            except (sqlite3.Error, OSError) as failure:
                result, error = None, StoreError(str(failure))
            loop.call_soon_threadsafe(finish, result, error)

        self._work.put(work)
        return await done
