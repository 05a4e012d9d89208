"""Time that moves only when nobody has anything left to do."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.base.clock import VirtualClock, parse_timestamp, run_virtual, timestamp, timestamp_micro


def test_a_day_passes_at_once_and_in_order():
    clock, seen = VirtualClock(), []

    async def wait(seconds: float) -> None:
        await clock.sleep(seconds)
        seen.append((seconds, clock.monotonic()))

    async def main() -> None:
        await asyncio.gather(*(wait(seconds) for seconds in (86400, 1, 0, 3600)))

    run_virtual(main(), clock)
    assert seen == [(0, 0), (1, 1), (3600, 3600), (86400, 86400)]
    assert timestamp(clock.now()) == "2026-01-02T00:00:00Z"


def test_timers_and_timeouts_of_asyncio_are_on_the_same_time():
    clock = VirtualClock()

    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await clock.sleep(60)
        return clock.monotonic()

    assert run_virtual(main(), clock) == pytest.approx(30)


def test_time_stands_still_while_there_is_something_to_do():
    clock = VirtualClock()

    async def main() -> float:
        for _ in range(1000):
            await asyncio.sleep(0)
        return clock.monotonic()

    assert run_virtual(main(), clock) == 0


def test_a_wait_without_end_is_an_error_and_does_not_hang():
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="deadlock"):
        run_virtual(main(), VirtualClock())


@given(st.integers(0, 4102444800))
def test_timestamps_come_back(seconds):
    assert parse_timestamp(timestamp(seconds)) == seconds
    assert parse_timestamp(timestamp_micro(seconds + 0.25)) == seconds + 0.25


def test_actors_that_keep_each_other_busy_do_not_hold_time_still():
    clock = VirtualClock()

    async def main() -> None:
        news = asyncio.get_running_loop().create_task(clock.sleep(1))
        while not news.done():
            await asyncio.sleep(0)

    run_virtual(main(), clock)
    assert clock.monotonic() == pytest.approx(1, abs=0.01)
