"""The disk's side of the durable store: a SQLite file, and a journal of what was committed since it was last brought up to date.

A commit goes to the journal alone. Every few megabytes, and at the end, all of it goes into SQLite in one transaction (a checkpoint): the same pages are
written once for many commits. SQLite is in WAL mode with `synchronous=FULL`; the number of the journal's epoch is in it, and changes with
that transaction. To be used by one thread at a time.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from itertools import chain
from pathlib import Path

from .interface import Record, StoreError
from .journal import SIZE, Journal, Rows

log = logging.getLogger(__name__)

FORMAT = 2  # 1 had no journal
ROWS_MAX = 128  # in one statement: each that Python's sqlite3 executes costs a turn of the GIL, executemany one a row
_PUT = (
    "INSERT INTO records VALUES {} ON CONFLICT (key) DO UPDATE SET "
    "value = excluded.value, create_revision = excluded.create_revision, mod_revision = excluded.mod_revision"
)


class Database:
    """Raises sqlite3.Error, OSError, and StoreError for what a newer Pilothouse has made."""

    def __init__(self, path: Path):
        self._connection = _connect(path)
        try:
            self._journal = Journal(path.with_name(path.name + ".journal"))
        except BaseException:
            self._connection.close()
            raise
        self._dirty: Rows = {}  # in the journal, not yet in SQLite
        self._limit = SIZE
        meta = dict(self._connection.execute("SELECT name, value FROM meta"))
        self._epoch, self.reserved = int(meta["epoch"]), int(meta["reserved"])
        for rows, reserved in self._journal.replay(self._epoch):
            self._dirty |= rows
            self.reserved = max(self.reserved, reserved)
        if self._dirty or self._journal.offset:
            self.checkpoint()

    def revisions(self) -> list[tuple[str, int, int]]:
        """(key, create revision, modification revision) of all there is, at the start, in key order."""
        asked = "SELECT key, create_revision, mod_revision FROM records ORDER BY key"
        if not self._dirty:
            return self._connection.execute(asked).fetchall()
        found = {key: revisions for key, *revisions in self._connection.execute(asked)}
        for key, row in self._dirty.items():  # the disk had no room for a checkpoint
            if row is None:
                found.pop(key, None)
            else:
                found[key] = [row[1], row[2]]
        return [(key, created, modified) for key, (created, modified) in sorted(found.items())]

    def read(self, keys: list[str]) -> dict[str, Record]:
        found = {}
        for key in keys:
            row = self._dirty[key] if key in self._dirty else self._select(key)
            if row is not None:
                found[key] = Record(key, *row)
        return found

    def _select(self, key: str) -> tuple[bytes, int, int] | None:
        asked = "SELECT value, create_revision, mod_revision FROM records WHERE key = ?"
        row: tuple[bytes, int, int] | None = self._connection.execute(asked, (key,)).fetchone()
        return row

    def scan(self, prefix: str) -> dict[str, Record]:
        """In no particular order."""
        asked = "SELECT * FROM records WHERE key >= ? AND key < ?"
        found = {
            row[0]: Record(*row) for row in self._connection.execute(asked, (prefix, prefix + "\U0010ffff"))
        }
        for key, row in self._dirty.items():
            if key.startswith(prefix):
                if row is None:
                    found.pop(key, None)
                else:
                    found[key] = Record(key, *row)
        return found

    def commit(self, rows: Rows, reserved: int) -> None:
        """Durable when it returns. `reserved`: revisions up to there are taken; 0: as before."""
        self._journal.append(self._epoch, rows, reserved)
        self._dirty |= rows
        self.reserved = max(self.reserved, reserved)

    @property
    def due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return self._journal.offset >= self._limit

    def checkpoint(self) -> None:
        connection = self._connection
        puts = [(key, *row) for key, row in sorted(self._dirty.items()) if row is not None]
        gone = [(key,) for key, row in self._dirty.items() if row is None]
        try:
            connection.execute("BEGIN IMMEDIATE")
            for first in range(0, len(puts), ROWS_MAX):
                some = puts[first : first + ROWS_MAX]
                places = ", ".join(["(?, ?, ?, ?)"] * len(some))
                connection.execute(_PUT.format(places), [*chain.from_iterable(some)])
            connection.executemany("DELETE FROM records WHERE key = ?", gone)
            meta = [(self.reserved, "reserved"), (self._epoch + 1, "epoch")]
            connection.executemany("UPDATE meta SET value = ? WHERE name = ?", meta)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._limit = self._journal.offset + SIZE  # what is in the journal is safe there: later, then
            log.warning("the journal goes on: its content cannot be brought into the database: %s", error)
            return
        self._epoch += 1
        self._journal.offset, self._limit = 0, SIZE
        self._dirty.clear()

    def close(self) -> None:
        if self._dirty:
            self.checkpoint()
        self._journal.close()
        self._connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.close(descriptor)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        # the store's own lock file keeps others out, so SQLite need not lock and unlock for every commit
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA page_size = 16384")  # for a new one: a checkpoint writes many rows
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 500")  # pages: 8 MB
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > FORMAT:
            raise StoreError(
                f"{path} was made by a newer Pilothouse (format {version}; this one knows {FORMAT}): "
                "upgrade Pilothouse, or start with another data directory"
            )
        if version < FORMAT:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                # with a rowid: new values are appended to the last page, and none below 4 KB spills over
                "CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY, value BLOB NOT NULL, "
                "create_revision INTEGER NOT NULL, mod_revision INTEGER NOT NULL)"
            )
            connection.execute(
                "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL)"
            )
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('reserved', 1), ('epoch', 1)")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection
