"""The scheduler's events, in the shape of events.k8s.io: with an action, and a series instead of a count (KEP-383)."""

from __future__ import annotations

from collections import OrderedDict

from ..api.errors import ApiError
from ..api.object import Object
from ..base.clock import Clock, timestamp_micro
from ..base.random import Random
from ..client.interface import Client
from ..client.recorder import EventNames, reference_to

KNOWN_MAX = 4096
SERIES_WINDOW_S = 360.0


class SchedulerEvents:
    """`await record(…)`. Best effort: a server that refuses an event does not stop scheduling."""

    def __init__(self, client: Client, name: str, clock: Clock, random: Random):
        self._client, self._name, self._clock = client, name, clock
        self._names = EventNames(clock, random)
        self._known: OrderedDict[tuple[str, ...], tuple[str, int, float]] = OrderedDict()

    async def record(self, about: Object, type_: str, reason: str, action: str, message: str) -> None:
        reference = reference_to(about)
        now = self._clock.now()
        key = (reference.get("uid", ""), type_, reason, action)
        known = self._known.get(key)
        try:
            if known and now - known[2] < SERIES_WINDOW_S:
                name, count, _ = known
                self._known[key] = (name, count + 1, now)
                series = {"count": count + 1, "lastObservedTime": timestamp_micro(now)}
                await self._client.patch("events", reference["namespace"], name, {"series": series})
                return
            name = self._names.of(reference["name"])
            await self._client.create("events", self._event(reference, name, type_, reason, action, message))
        except ApiError:
            self._known.pop(key, None)
            return
        self._known[key] = (name, 1, now)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)

    def _event(
        self, reference: Object, name: str, type_: str, reason: str, action: str, message: str
    ) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": reference["namespace"]},
            "involvedObject": reference,
            "reason": reason,
            "message": message[:1024],
            "source": {},
            "firstTimestamp": None,
            "lastTimestamp": None,
            "type": type_,
            "eventTime": timestamp_micro(self._clock.now()),
            "action": action,
            "reportingComponent": self._name,
            "reportingInstance": f"{self._name}-pilothouse",
        }
