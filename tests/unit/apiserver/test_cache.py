"""What the cache keeps of the past is bounded by number and by size."""

from __future__ import annotations

import pytest

from pilothouse.apiserver import cache as module
from pilothouse.apiserver.cache import Cache
from pilothouse.store.interface import Compacted, Condition, Put
from pilothouse.store.memory import MemoryStore

KEY = "/registry/core/configmaps/default/big"


async def test_versions_of_a_large_object_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(module, "RING_BYTES_MAX", 40_000)
    monkeypatch.setattr(module, "PARSED_BYTES_MAX", 20_000)
    store = MemoryStore()
    cache = Cache(store)
    await cache.start()
    revision = 0
    for _ in range(100):
        value = b'{"kind":"ConfigMap","metadata":{"name":"big"},"data":"%b"}' % (b"x" * 1000)
        revision = await store.transact([Condition(KEY, revision)], [Put(KEY, value)])
    ring = cache.ring(KEY)
    kept = ring.after(ring.start)
    assert 15 <= len(kept) < 40 and kept[-1].revision == revision
    assert sum(change.entry._object is not None for change in kept) < 20
    assert kept[0].entry.object["data"] == "x" * 1000, "parsed again"
    with pytest.raises(Compacted):
        ring.after(1)
    await cache.stop()


async def test_watches_at_many_places_do_not_fill_the_memory_with_what_they_might_share():
    store = MemoryStore()
    cache = Cache(store)
    await cache.start()
    first = store.revision
    for number in range(200):
        value = b'{"kind":"ConfigMap","metadata":{"name":"c%d"},"data":"%b"}' % (number, b"x" * 1000)
        await store.transact([], [Put(f"/registry/core/configmaps/default/c{number}", value)])
    ring, prefix = cache.ring(KEY), "/registry/core/configmaps/default/"
    for behind in range(200, 0, -1):
        chunk = ring.chunk_after(first + 200 - behind, prefix)
        assert chunk.count(b'"type":"ADDED"') == behind
    assert 0 < len(ring._chunks) <= module.CHUNKS_MAX
    assert sum(map(len, ring._chunks.values())) <= module.CHUNKS_MAX * module.CHUNK_BYTES_MAX
    await cache.stop()
