"""An index over a kind's objects that catches up with their changes when it is asked: nothing is done for what nobody asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api.kinds import kind_of_resource
from ..api.object import Object
from ..store.interface import Compacted

if TYPE_CHECKING:
    from .cache import Cache


class Follower:
    """Refined by `add`, `drop` and `clear`; `catch_up` calls them, and says whether there was anything."""

    def __init__(self, cache: Cache, resource: str):
        self._cache, self._prefix = cache, kind_of_resource(resource).prefix
        self._seen = -1

    def add(self, key: str, obj: Object) -> None:
        """A new object, or an old one after `drop`."""
        raise NotImplementedError

    def drop(self, key: str) -> None:
        """What was added under this key, if anything."""
        raise NotImplementedError

    def clear(self) -> None:
        raise NotImplementedError

    def catch_up(self) -> bool:
        collection = self._cache.collection(self._prefix)
        if self._seen == collection.version:
            return False
        try:
            if self._seen < 0:
                raise Compacted(0)
            changes = collection.after(self._seen)
        except Compacted:  # the first time, or too far behind
            self.clear()
            for entry in collection.entries(self._prefix):
                self.add(entry.key, entry.object)
        else:
            for change in changes:
                self.drop(change.entry.key)
                if not change.deleted:
                    self.add(change.entry.key, change.entry.object)
        self._seen = collection.version
        return True
