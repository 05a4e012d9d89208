"""The disk's side of the store: whatever moment a crash chooses, what was committed is there, and nothing else."""

import os
import sqlite3

import pytest

from pilothouse.store.database import Database
from pilothouse.store.journal import SIZE


@pytest.fixture
def path(tmp_path):
    return tmp_path / "db"


def crash(database):
    """As the kernel does it: files are closed, and nothing else happens."""
    database._journal.close()
    database._connection.close()


def content(database):
    return {key: record.value for key, record in database.scan("/").items()}


def test_a_crash_before_the_checkpoint_loses_nothing(path):
    database = Database(path)
    database.commit({"/a": (b"1", 2, 2), "/b": (b"1", 2, 2)}, 500)
    database.commit({"/a": (b"2", 2, 3), "/b": None}, 0)
    crash(database)
    database = Database(path)
    assert (content(database), database.reserved) == ({"/a": b"2"}, 500)
    assert database.revisions() == [("/a", 2, 3)]
    database.close()


@pytest.mark.parametrize("cut", [1, 20, 40])
def test_a_torn_record_is_the_end(path, cut):
    database = Database(path)
    database.commit({"/a": (b"1", 2, 2)}, 0)
    end = database._journal.offset
    database.commit({"/b": (b"22222222", 3, 3)}, 0)
    torn, length = database._journal.offset, os.path.getsize(f"{path}.journal")
    crash(database)
    with open(f"{path}.journal", "r+b") as file:
        file.seek(torn - cut)
        file.write(bytes(cut))
    assert end < torn < length
    database = Database(path)
    assert content(database) == {"/a": b"1"}
    database.commit({"/c": (b"3", 3, 3)}, 0)
    crash(database)
    assert content(Database(path)) == {"/a": b"1", "/c": b"3"}


def test_what_an_earlier_epoch_has_left_in_the_journal_does_not_come_back(path):
    database = Database(path)
    for number in range(20):
        database.commit({f"/old/{number}": (b"x" * 100, number, number)}, 0)
    database.checkpoint()
    database.commit({f"/old/{number}": None for number in range(20)}, 0)
    database.checkpoint()
    crash(database)  # the journal still holds the first commits
    database = Database(path)
    assert content(database) == {}
    database.commit({"/new": (b"1", 30, 30)}, 0)
    crash(database)
    assert content(Database(path)) == {"/new": b"1"}


def test_a_checkpoint_that_finds_no_room_is_made_later(path, monkeypatch):
    database = Database(path)
    (pages,) = database._connection.execute("PRAGMA page_count").fetchone()
    database._connection.execute(f"PRAGMA max_page_count = {pages}")  # SQLITE_FULL, as a full disk gives
    revision = 1
    while not database.due:
        revision += 1
        database.commit({f"/{revision}": (b"x" * 400_000, revision, revision)}, 0)
    database.checkpoint()
    assert not database.due and database._journal.offset >= SIZE
    assert len(content(database)) == revision - 1
    crash(database)
    with monkeypatch.context() as full:  # a start that finds no room either
        full.setattr(Database, "checkpoint", lambda self: None)
        database = Database(path)
    assert len(database.revisions()) == revision - 1
    assert database.revisions() == sorted(
        (key, r.create_revision, r.mod_revision) for key, r in database.scan("/").items()
    )
    crash(database)
    database = Database(path)  # without the limit
    assert len(content(database)) == revision - 1 and database._journal.offset == 0
    database.close()


def test_a_record_that_was_refused_does_not_come_back(path, monkeypatch):
    database = Database(path)
    database.commit({"/a": (b"1", 2, 2)}, 0)

    pwrite, calls = os.pwrite, []

    def failing(descriptor, data, offset):
        """The bytes are there, but whether they are on the disk nobody knows."""
        calls.append(pwrite(descriptor, data, offset))
        if len(calls) == 1:
            raise OSError(5, "Input/output error")
        return calls[-1]

    with monkeypatch.context() as broken, pytest.raises(OSError, match="Input/output"):
        broken.setattr(os, "pwrite", failing)
        database.commit({"/b": (b"1", 3, 3)}, 0)
    assert content(database) == {"/a": b"1"}
    crash(database)
    assert content(Database(path)) == {"/a": b"1"}


def test_a_store_from_before_the_journal_goes_on(path):
    old = sqlite3.connect(path)
    old.execute(
        "CREATE TABLE records (key TEXT PRIMARY KEY, value BLOB NOT NULL, create_revision INTEGER, mod_revision INTEGER)"
    )
    old.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL)")
    old.execute("INSERT INTO meta VALUES ('reserved', 77)")
    old.execute("INSERT INTO records VALUES ('/a', ?, 5, 6)", (b"1",))
    old.execute("PRAGMA user_version = 1")
    old.commit()
    old.close()
    database = Database(path)
    assert (content(database), database.reserved) == ({"/a": b"1"}, 77)
    database.commit({"/a": (b"2", 5, 7)}, 0)
    crash(database)
    assert content(Database(path)) == {"/a": b"2"}
