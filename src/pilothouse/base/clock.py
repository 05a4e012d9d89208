"""Time, as everything in Pilothouse takes it: from a `Clock` that it was given.

`RealClock` is the wall. `VirtualClock` stands still while anybody has something left to do, and then jumps
straight to the next timer, so that a day of CronJobs takes seconds and always ends the same way. The jump
is made by `VirtualEventLoop`: asyncio's own timers (`call_later`, `asyncio.timeout`) run on the same time.
"""

from __future__ import annotations

import asyncio
import datetime
import functools
import selectors
import time
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """Where time comes from. `now` may jump (NTP, a user's hand); `monotonic` never goes back."""

    def now(self) -> float:
        """Seconds since the epoch, UTC: for timestamps that people and objects see."""

    def monotonic(self) -> float:
        """Seconds since some fixed point: for durations, back-off, deadlines."""

    async def sleep(self, seconds: float) -> None:
        """Returns after `seconds`; at once (but yielding) for 0 or less."""


class RealClock:
    """The machine's time."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class VirtualClock:
    """Time that moves only when it is moved: by `VirtualEventLoop`, or by a test's `advance`.

    `start` is in seconds since the epoch; the default is 2026-01-01T00:00:00Z.
    """

    def __init__(self, start: float = 1767225600.0):
        self._start = start
        self._elapsed = 0.0

    def now(self) -> float:
        return self._start + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Moves time forward by hand: for tests of pure code, which has no loop to do it."""
        assert seconds >= 0, "time does not go back"
        self._elapsed += seconds

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))  # the loop's time is this clock's: see VirtualEventLoop


BUSY_MAX, BUSY_STEP_S = 2_000, 0.001


class _JumpingSelector(selectors.SelectSelector):
    """Asks for I/O without waiting; where asyncio would have waited, time jumps instead.

    Work takes no time, so two actors that keep each other busy could hold it still for ever (one that waits for news which is
    a second away, say): after so many rounds without a pause, time passes all the same, a little with each round.
    """

    def __init__(self, clock: VirtualClock):
        super().__init__()
        self._clock = clock
        self._busy = 0  # rounds since the last jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            self._busy += 1
            if self._busy > BUSY_MAX:
                self._clock.advance(BUSY_STEP_S)
            return ready
        self._busy = 0
        if timeout is None:
            raise RuntimeError("virtual time: everybody waits and no timer is set (a deadlock)")
        self._clock.advance(timeout)
        return ready


class VirtualEventLoop(asyncio.SelectorEventLoop):
    """An asyncio loop on a `VirtualClock`: no wait takes any real time. Threads and sockets have no place in it."""

    def __init__(self, clock: VirtualClock):
        super().__init__(_JumpingSelector(clock))
        self.clock = clock
        self._clock_resolution = 1e-6  # so that a jump reaches its timer

    def time(self) -> float:
        return self.clock.monotonic()


def run_virtual(main: Coroutine[Any, Any, T], clock: VirtualClock) -> T:
    """Like `asyncio.run`, in virtual time."""
    with asyncio.Runner(loop_factory=lambda: VirtualEventLoop(clock)) as runner:
        return runner.run(main)


def timestamp(seconds: float) -> str:
    """`metav1.Time`: RFC 3339, whole seconds, UTC. `timestamp(0)` is "1970-01-01T00:00:00Z"."""
    return _of_second(int(seconds))


@functools.lru_cache(maxsize=64)  # everything that is written in one second bears the same
def _of_second(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def timestamp_micro(seconds: float) -> str:
    """`metav1.MicroTime`: RFC 3339 with six digits of fraction, as Leases and Events have it."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_timestamp(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time. Raises ValueError."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
