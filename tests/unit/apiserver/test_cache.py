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
