"""The workqueue: keys that want a turn, each at most once, each with at most one worker.

The semantics of client-go's: a key that is added while it is being processed gets one more turn afterwards; failures
come back with exponential delay (5 ms to 1,000 s), and all of them together at most 10 a second after a burst of 100.
It is bounded by the number of objects: a key is never in it twice.
"""

from __future__ import annotations

import asyncio
from collections import deque

from ..base.clock import Clock

DELAYS_S = 0.005, 1000.0  # after the first failure, at most
_RETRIES_BURST, _RETRIES_PER_S = 100, 10.0


class WorkQueue:
    def __init__(self, clock: Clock, delays_s: tuple[float, float] = DELAYS_S):
        self._clock, self._delays_s = clock, delays_s
        self._ready: deque[str] = deque()
        self._wanted: set[str] = set()
        self._processing: set[str] = set()
        self._timers: dict[str, tuple[float, asyncio.TimerHandle]] = {}
        self._failures: dict[str, int] = {}
        self._tokens, self._tokens_at = float(_RETRIES_BURST), clock.monotonic()
        self._getters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def is_idle(self) -> bool:
        return not self._ready and not self._processing

    def add(self, key: str) -> None:
        if key in self._wanted:
            return
        self._wanted.add(key)
        if key not in self._processing:
            self._push(key)

    def add_after(self, key: str, delay_s: float) -> None:
        """The earlier of two delays wins."""
        if delay_s <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + delay_s
        timer = self._timers.get(key)
        if timer is not None:
            if timer[0] <= due:
                return
            timer[1].cancel()
        handle = asyncio.get_running_loop().call_later(delay_s, self._due, key)
        self._timers[key] = (due, handle)

    def add_rate_limited(self, key: str) -> None:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        first_s, max_s = self._delays_s
        delay_s = min(first_s * 2 ** min(failures, 30), max_s)
        self.add_after(key, max(delay_s, self._reserve()))

    def forget(self, key: str) -> None:
        """It went well: the next failure starts from the shortest delay."""
        self._failures.pop(key, None)

    def failures(self, key: str) -> int:
        return self._failures.get(key, 0)

    async def get(self) -> str:
        while not self._ready:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._getters.append(future)
            try:
                await future
            except asyncio.CancelledError:
                if future in self._getters:
                    self._getters.remove(future)
                elif self._ready:
                    self._wake_one()  # the key that woke us goes to another
                raise
        key = self._ready.popleft()
        self._wanted.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: str) -> None:
        self._processing.discard(key)
        if key in self._wanted:
            self._push(key)

    def _push(self, key: str) -> None:
        self._ready.append(key)
        self._wake_one()

    def _wake_one(self) -> None:
        while self._getters:
            future = self._getters.popleft()
            if not future.done():
                future.set_result(None)
                return

    def _due(self, key: str) -> None:
        del self._timers[key]
        self.add(key)

    def _reserve(self) -> float:
        """Takes one token; how long until it is really there."""
        now = self._clock.monotonic()
        self._tokens = min(_RETRIES_BURST, self._tokens + (now - self._tokens_at) * _RETRIES_PER_S)
        self._tokens_at = now
        self._tokens -= 1
        return max(0.0, -self._tokens / _RETRIES_PER_S)
