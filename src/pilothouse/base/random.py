"""Randomness, as everything in Pilothouse takes it: from a seeded `Random` that it was given.

Every actor forks its own stream by name, so that what one draws does not move what another gets: that keeps
a simulation's history stable when an unrelated actor changes.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")
_UUID_MASK, _UUID_VERSION = ~(0xC000 << 48 | 0xF000 << 64), 0x8000 << 48 | 4 << 76

# k8s.io/apimachinery/pkg/util/rand: no vowels and no 0, 1, 3, so that no words and no look-alikes come out
SAFE_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class Random:
    """A seeded source. `Random.from_os()` is seeded by the operating system, for real clusters."""

    def __init__(self, seed: int | str):
        self.seed = seed
        self._random = random.Random(seed)

    @classmethod
    def from_os(cls) -> Random:
        return cls(int.from_bytes(os.urandom(16)))

    def fork(self, name: str) -> Random:
        """An independent stream; the same (seed, name) gives the same stream."""
        return Random(f"{self.seed}/{name}")

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def below(self, limit: int) -> int:
        """A whole number from 0 to limit - 1."""
        return self._random.randrange(limit)

    def choice(self, items: Sequence[T]) -> T:
        return items[self._random.randrange(len(items))]

    def shuffle(self, items: list[Any]) -> None:
        self._random.shuffle(items)

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def jitter(self, base: float, factor: float) -> float:
        """`wait.Jitter`: between base and base * (1 + factor)."""
        return base * (1.0 + self._random.random() * factor)

    def uid(self) -> str:
        """A UUID of version 4 (RFC 9562), as text; `uuid.UUID` takes three times as long."""
        bits = self._random.getrandbits(128) & _UUID_MASK | _UUID_VERSION
        digits = f"{bits:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def suffix(self, length: int = 5) -> str:
        """What `generateName` and pod names end in."""
        return "".join(self._random.choices(SAFE_ALPHABET, k=length))


def secret_bytes(count: int) -> bytes:
    """Key material: always from the operating system, never from a seed."""
    return os.urandom(count)
