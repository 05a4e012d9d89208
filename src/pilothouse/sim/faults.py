"""Bad luck from a seed: writes that fail, answers that are lost, watches that break or lag.

`FaultyClient` stands between a component and the API. What it does is what a network and a restarting server do to real
components: nothing here breaks a promise of the API, so a component that is level-based ends in the same state as without.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from ..api.errors import ApiError, expired, internal_error
from ..base.clock import Clock
from ..base.random import Random
from ..client.interface import Client, WatchEvent


@dataclass(slots=True)
class Faults:
    """How likely what is, each time it could happen. `calm()` ends them all."""

    refuse: float = 0.0  # a write fails and is not made
    lose_answer: float = 0.0  # a write is made, and its answer is lost
    break_watch: float = 0.0  # a watch ends before an event
    expire_watch: float = 0.0  # a watch has to list again
    lag_max_s: float = 0.0  # an event comes up to so much later, and with it the whole cache
    crash_every_s: float = (
        0.0  # on average some component dies, wherever it is; it is started again soon after
    )

    def calm(self) -> None:
        self.refuse = self.lose_answer = self.break_watch = self.expire_watch = 0.0
        self.lag_max_s = self.crash_every_s = 0.0


class FaultyClient:
    """`client.interface.Client` with faults; reads never fail, since nothing depends on them but time."""

    def __init__(self, client: Client, faults: Faults, clock: Clock, random: Random):
        self._client, self._faults, self._clock, self._random = client, faults, clock, random
        self.get, self.list = client.get, client.list
        self.create = self._faulty(client.create)
        self.update = self._faulty(client.update)
        self.patch = self._faulty(client.patch)
        self.delete = self._faulty(client.delete)
        self.delete_collection = self._faulty(client.delete_collection)

    def _strikes(self, chance: float) -> bool:
        return chance > 0 and self._random.uniform(0, 1) < chance

    def _faulty(self, write: Callable[..., Awaitable[Any]]) -> Any:
        async def call(*args: Any, **options: Any) -> Any:
            if self._strikes(self._faults.refuse):
                raise internal_error("a simulated fault: not written")
            answer = await write(*args, **options)
            if self._strikes(self._faults.lose_answer):
                raise ApiError(504, "Timeout", "a simulated fault: written, but the answer is lost")
            return answer

        return call

    async def watch(
        self,
        resource: str,
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent]:
        events = self._client.watch(
            resource,
            namespace,
            resource_version=resource_version,
            label_selector=label_selector,
            field_selector=field_selector,
        )
        async for event in events:
            if self._strikes(self._faults.expire_watch):
                raise expired("a simulated fault: too old resource version")
            if self._strikes(self._faults.break_watch):
                raise ConnectionResetError("a simulated fault: the watch broke")
            if self._faults.lag_max_s:
                await self._clock.sleep(self._random.uniform(0, self._faults.lag_max_s))
            yield event
