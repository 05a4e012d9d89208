"""The registry's view of what is kept: reads from the cache, writes to the store, by kind, namespace and name.

A write returns once the cache has seen it, so whoever writes reads its own write.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from ...api.kinds import Kind, kind_of_resource
from ...api.object import Object
from ...store.interface import Condition, Conflict, Put, Store
from ..cache import Cache, Entry
from ..encryption import Encryption

__all__ = ["Entry", "Storage"]


class Storage:
    def __init__(self, store: Store, cache: Cache, encryption: Encryption | None = None):
        self.store, self.cache, self.encryption = store, cache, encryption

    def key(self, kind: Kind, namespace: str, name: str) -> str:
        return f"{kind.prefix}{namespace}/{name}" if kind.namespaced else f"{kind.prefix}{name}"

    def get(self, kind: Kind, namespace: str, name: str) -> Entry | None:
        prefix = kind.prefix
        return self.cache.find(
            prefix, f"{prefix}{namespace}/{name}" if kind.namespaced else f"{prefix}{name}"
        )

    def list(self, kind: Kind, namespace: str = "") -> list[Object]:
        """Parsed objects, read-only, in key order."""
        prefix = f"{kind.prefix}{namespace}/" if namespace else kind.prefix
        return [entry.object for entry in self.cache.entries(prefix)]

    def encode(self, kind: Kind, obj: Object) -> bytes:
        """The bytes that the store keeps: kind, apiVersion and metadata first, without the resourceVersion (the record's revision)."""
        meta = dict(obj["metadata"])
        meta.pop("resourceVersion", None)
        stored = {"kind": "", "apiVersion": "", "metadata": {}, **obj}  # for their order
        stored["kind"], stored["apiVersion"], stored["metadata"] = kind.kind, kind.api_version, meta
        data = orjson.dumps(stored)
        if self.encryption is not None:
            key = self.key(kind, meta.get("namespace", ""), meta["name"])
            data = self.encryption.seal(kind.resource, key, data)
        self.cache.give(data, stored)
        return data

    async def seal_stale(self) -> None:
        """Writes anew what is not sealed as it would be now: the end of a key's rotation."""
        encryption = self.encryption
        if encryption is None:
            return
        for resource in encryption.resources():
            if "*" in resource:
                continue  # on their next write
            for record in (await self.store.range(kind_of_resource(resource).storage.prefix)).records:
                if encryption.stale(resource, record.value):
                    value = encryption.seal(resource, record.key, encryption.open(record.key, record.value))
                    await self.store.transact(
                        [Condition(record.key, record.mod_revision)], [Put(record.key, value)]
                    )

    async def commit(
        self, conditions: Sequence[Condition], puts: Sequence[Put], deletes: Sequence[str]
    ) -> int:
        """Raises Conflict, once the cache has seen what it is about: who tries again, tries on what is there."""
        try:
            revision = await self.store.transact(conditions, puts, deletes)
        except Conflict:
            await self.cache.wait_for(self.store.revision)
            raise
        if revision > self.cache.revision:
            await self.cache.wait_for(revision)
        return revision


class CacheLister:
    """`authentication.Lister` over the cache."""

    def __init__(self, storage: Storage):
        self._storage = storage

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        entry = self._storage.get(kind_of_resource(resource).storage, namespace, name)
        return None if entry is None else entry.object

    def list(self, resource: str, namespace: str = "") -> list[Object]:
        return self._storage.list(kind_of_resource(resource).storage, namespace)

    def version(self, resource: str) -> int:
        return self._storage.cache.version(kind_of_resource(resource).storage.prefix)
