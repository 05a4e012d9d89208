"""What every store promises (store/interface.py), checked on each of them, and against a model."""

import asyncio
import os
import resource
import signal
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilothouse.store.interface import Compacted, Condition, Conflict, Put, StoreError
from pilothouse.store.journal import SIZE
from pilothouse.store.memory import MemoryStore
from pilothouse.store.sqlite import SqliteStore


@pytest.fixture(params=["memory", "sqlite"])
async def store(request, tmp_path):
    store = MemoryStore() if request.param == "memory" else await SqliteStore.open(tmp_path / "store.db")
    yield store
    await store.close()


async def test_a_new_key_has_its_creation_and_modification_revision(store):
    revision = await store.transact([Condition("/a", 0)], [Put("/a", b"1")])
    record = await store.get("/a")
    assert (record.value, record.create_revision, record.mod_revision) == (b"1", revision, revision)
    second = await store.transact([Condition("/a", revision)], [Put("/a", b"2")])
    record = await store.get("/a")
    assert (record.value, record.create_revision, record.mod_revision) == (b"2", revision, second)
    assert second == revision + 1 == store.revision


async def test_a_condition_that_does_not_hold_changes_nothing_and_says_what_is_there(store):
    revision = await store.transact([], [Put("/a", b"1")])
    with pytest.raises(Conflict) as refused:
        await store.transact([Condition("/a", 0)], [Put("/a", b"2"), Put("/b", b"2")])
    assert (refused.value.record.value, refused.value.record.mod_revision) == (b"1", revision)
    with pytest.raises(Conflict) as refused:
        await store.transact([Condition("/none", 7)], [Put("/b", b"2")])
    assert refused.value.record is None
    assert await store.get("/b") is None
    assert store.revision == revision


async def test_of_many_writers_with_one_condition_exactly_one_wins(store):
    async def write(number):
        try:
            await store.transact([Condition("/a", 0)], [Put("/a", b"%d" % number)])
            return True
        except Conflict as refused:
            assert refused.record is not None
            return False

    won = await asyncio.gather(*[write(number) for number in range(50)])
    assert sum(won) == 1
    assert (await store.get("/a")).value == b"%d" % won.index(True)


async def test_all_changes_of_a_transaction_share_one_revision(store):
    await store.transact([], [Put("/old", b"x")])
    revision = await store.transact([], [Put("/a", b"1"), Put("/b", b"1")], ["/old", "/never-was"])
    assert [r.mod_revision for r in (await store.range("/")).records] == [revision, revision]
    assert await store.transact([], [], ["/never-was"]) == revision


async def test_a_range_is_sorted_and_can_be_cut_and_taken_up_again(store):
    for name in ("c", "a", "b", "ab"):
        await store.transact([], [Put(f"/x/{name}", name.encode())])
    await store.transact([], [Put("/y/z", b"")])
    page = await store.range("/x/", limit=3)
    assert [r.key for r in page.records] == ["/x/a", "/x/ab", "/x/b"]
    assert page.more
    rest = await store.range("/x/", start=page.records[-1].key + "\0", limit=3)
    assert [r.key for r in rest.records] == ["/x/c"]
    assert not rest.more


async def test_the_past_can_be_read_until_it_is_compacted(store):
    first = await store.transact([], [Put("/a", b"1"), Put("/b", b"1")])
    await store.transact([], [Put("/a", b"2")])
    await store.transact([], [Put("/c", b"3")], ["/b"])
    then = await store.range("/", revision=first)
    assert [(r.key, r.value) for r in then.records] == [("/a", b"1"), ("/b", b"1")]
    assert then.revision == first
    await store.compact(store.revision)
    with pytest.raises(Compacted):
        await store.range("/", revision=first)
    with pytest.raises(StoreError):
        await store.range("/", revision=store.revision + 1)


async def test_a_watch_sees_every_change_below_its_prefix_in_order(store):
    start = store.revision
    seen = []

    async def watch():
        async for batch in store.watch("/x/", start):
            seen.extend(batch)
            if len(seen) == 4:
                return

    await store.transact([], [Put("/x/a", b"1"), Put("/y/a", b"1")])
    task = asyncio.create_task(watch())
    await store.transact([], [Put("/x/a", b"2")])
    await store.transact([], [Put("/x/b", b"1")], ["/x/a"])
    async with asyncio.timeout(10):
        await task
    shown = [(e.deleted, e.record.key, e.record.value, e.previous and e.previous.value) for e in seen]
    assert shown[:2] == [(False, "/x/a", b"1", None), (False, "/x/a", b"2", b"1")]
    assert sorted(shown[2:]) == [(False, "/x/b", b"1", None), (True, "/x/a", b"2", b"2")]
    assert [e.record.mod_revision for e in seen] == [start + 1, start + 2, start + 3, start + 3]


async def test_a_watch_from_a_forgotten_revision_says_so(store):
    start = store.revision
    await store.transact([], [Put("/a", b"1")])
    await store.compact(store.revision + 1)
    with pytest.raises(Compacted):
        async for _ in store.watch("/", start - 1):
            pass


async def test_ephemeral_values_are_seen_like_others(store):
    start = store.revision
    revision = await store.transact([], [Put("/lease", b"1", ephemeral=True)])
    assert revision == start + 1
    assert (await store.get("/lease")).value == b"1"
    await store.transact([Condition("/lease", revision)], [Put("/lease", b"2", ephemeral=True)])
    assert [r.value for r in (await store.range("/")).records] == [b"2"]
    with pytest.raises(Conflict):
        await store.transact([Condition("/lease", 0)], [Put("/lease", b"3", ephemeral=True)])
    await store.transact([], [], ["/lease"])
    assert await store.get("/lease") is None


async def test_a_slow_watcher_loses_its_place_and_holds_nobody_back(tmp_path):
    store = MemoryStore(events_max=10)
    watch = store.watch("/", store.revision)
    await store.transact([], [Put("/a", b"0")])
    assert (await anext(watch))[0].record.value == b"0"
    for number in range(100):
        await store.transact([], [Put("/a", b"%d" % number)])
    with pytest.raises(Compacted):
        await anext(watch)


KEYS = st.sampled_from(["/a", "/b", "/ab", "/c/d"])
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "delete", "condition", "ephemeral"]), KEYS, st.binary(max_size=3)),
    max_size=30,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, kind=st.sampled_from(["memory", "sqlite"]))
def test_a_store_is_a_dict_with_revisions(steps, kind, tmp_path_factory):
    async def play():
        path = tmp_path_factory.mktemp("store") / "db"
        store = MemoryStore() if kind == "memory" else await SqliteStore.open(path)
        model, history, revision = {}, [], store.revision
        try:
            for step, key, value in steps:
                before = dict(model)
                if step == "delete":
                    model.pop(key, None)
                    expected = revision + (before != model)
                    assert await store.transact([], [], [key]) == expected
                elif step == "condition":
                    there = model.get(key, (b"", 0))[1]
                    model[key] = (value, revision + 1)
                    expected = await store.transact([Condition(key, there)], [Put(key, value)])
                    with pytest.raises(Conflict):
                        await store.transact([Condition(key, there)], [Put(key, b"never")])
                else:
                    model[key] = (value, revision + 1)
                    expected = await store.transact([], [Put(key, value, ephemeral=step == "ephemeral")])
                revision = expected
                history.append((revision, dict(model)))
                records = (await store.range("/")).records
                assert {r.key: (r.value, r.mod_revision) for r in records} == model
            for at, then in history:
                records = (await store.range("/", revision=at)).records
                assert {r.key: (r.value, r.mod_revision) for r in records} == then
        finally:
            await store.close()

    asyncio.run(play())


async def test_what_was_written_is_there_after_a_restart_and_revisions_go_on(tmp_path):
    store = await SqliteStore.open(tmp_path / "db")
    revision = await store.transact([], [Put("/a", b"1"), Put("/b", b"1")])
    await store.transact([], [Put("/lease", b"1", ephemeral=True)])
    await store.transact([], [], ["/b"])
    newest = store.revision
    await store.close()
    again = await SqliteStore.open(tmp_path / "db")
    assert [(r.key, r.value, r.mod_revision) for r in (await again.range("/")).records] == [
        ("/a", b"1", revision)
    ]
    assert again.revision >= newest
    with pytest.raises(Compacted):
        await again.range("/", revision=revision)
    await again.close()


async def test_a_second_process_is_refused(tmp_path):
    store = await SqliteStore.open(tmp_path / "db")
    with pytest.raises(StoreError, match="in use by another process"):
        await SqliteStore.open(tmp_path / "db")
    await store.close()


async def test_a_newer_format_is_refused_with_what_to_do(tmp_path):
    import sqlite3

    connection = sqlite3.connect(tmp_path / "db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match=r"newer Pilothouse.*upgrade"):
        await SqliteStore.open(tmp_path / "db")


async def test_a_full_disk_refuses_the_write_and_the_store_goes_on_when_there_is_room(tmp_path):
    store = await SqliteStore.open(tmp_path / "db")
    await store.transact([], [Put("/a", b"1")])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    big = b"x" * (SIZE + 100_000)  # more than the journal has room for already
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE + 50_000, limits[1]))  # no file may grow beyond
    try:
        with pytest.raises(StoreError, match="nothing was changed"):
            await store.transact([], [Put("/big", big)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert await store.get("/big") is None
    await store.transact([], [Put("/b", b"2")])
    await store.transact([], [Put("/big", big)])
    await store.close()
    store = await SqliteStore.open(tmp_path / "db")
    assert [(r.key, len(r.value)) for r in (await store.range("/")).records] == [
        ("/a", 1),
        ("/b", 1),
        ("/big", len(big)),
    ]
    await store.close()


WRITER = """
import asyncio, sys
from pilothouse.store.interface import Put
from pilothouse.store.sqlite import SqliteStore

async def main():
    store = await SqliteStore.open(sys.argv[1])
    async def write(worker):
        for number in range(100_000):
            await store.transact([], [Put(f"/{worker}/{number:06}", b"x" * 200)])
            print(worker, number, flush=True)
    await asyncio.gather(*[write(worker) for worker in range(16)])

asyncio.run(main())
"""


async def test_a_kill_in_the_middle_of_load_loses_nothing_that_was_acknowledged(tmp_path):
    path = tmp_path / "db"
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    acknowledged = [process.stdout.readline() for _ in range(500)]
    os.kill(process.pid, signal.SIGKILL)
    acknowledged += process.stdout.read().splitlines(keepends=True)
    process.wait()
    written = [line.split() for line in acknowledged if line.endswith("\n")]
    assert len(written) >= 500
    store = await SqliteStore.open(path)
    there = {record.key for record in (await store.range("/")).records}
    lost = [line for line in written if f"/{line[0]}/{int(line[1]):06}" not in there]
    assert lost == []
    await store.close()
