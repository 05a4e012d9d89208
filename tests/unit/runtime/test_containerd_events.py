"""News of an end is passed on when the engine's own view shows it, however late that is."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from pilothouse.base.clock import VirtualClock, run_virtual
from pilothouse.runtime import cri
from pilothouse.runtime.containerd_events import _pass_on


class LateEngine:
    """CRI says of the container that it runs, until `ends_at`."""

    def __init__(self, clock: VirtualClock, ends_at: float):
        self.clock, self.ends_at = clock, ends_at

    async def sandbox_of(self, container_id: str) -> str:
        return "sandbox"

    async def call(self, method: str, **fields: Any) -> Any:
        running = self.clock.monotonic() < self.ends_at
        shown = "RUNNING" if running else "EXITED"
        state = cri.CONTAINER_STATES.index(shown)
        return SimpleNamespace(containers=[SimpleNamespace(state=state)])


def test_an_end_that_cri_shows_late_is_not_told_early():
    clock = VirtualClock()

    async def main() -> None:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        start = clock.monotonic()
        engine: Any = LateEngine(clock, start + 5)
        await _pass_on(engine, "c", "STOPPED", None, queue)
        assert 5 <= clock.monotonic() - start < 6
        assert queue.get_nowait().type == "STOPPED"

    run_virtual(main(), clock)
