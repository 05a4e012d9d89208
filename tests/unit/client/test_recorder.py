"""Events as people see them: counted, joined when they are too many alike, dropped when they are spam."""

from __future__ import annotations

import asyncio
from typing import Any

from pilothouse.api.errors import forbidden, internal_error, not_found
from pilothouse.base.clock import VirtualClock, run_virtual
from pilothouse.base.random import Random
from pilothouse.client.recorder import EventRecorder

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "ns", "uid": "u"}}


class Events:
    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.errors: list[Exception] = []

    async def create(self, resource: str, event: dict[str, Any], **options: Any) -> dict[str, Any]:
        if self.errors:
            raise self.errors.pop(0)
        self.kept[event["metadata"]["name"]] = event
        return event

    async def patch(
        self, resource: str, namespace: str, name: str, patch: dict[str, Any], **options: Any
    ) -> Any:
        if name not in self.kept:
            raise not_found("events", "", name)
        self.kept[name].update(patch)
        return self.kept[name]

    def shown(self) -> list[tuple[str, int]]:
        return [(event["message"], event["count"]) for event in self.kept.values()]


def recording(story: Any) -> None:
    clock = VirtualClock()

    async def main() -> None:
        events = Events()
        recorder = EventRecorder(events, "test", clock, Random(1))
        task = asyncio.get_running_loop().create_task(recorder.run())
        await story(events, recorder, clock)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run_virtual(main(), clock)


def test_the_same_again_is_counted():
    async def story(events, recorder, clock):
        for _ in range(3):
            recorder.event(POD, "Normal", "Pulled", "Container image pulled")
            await clock.sleep(1)
        assert events.shown() == [("Container image pulled", 3)]
        (event,) = events.kept.values()
        assert (event["firstTimestamp"], event["lastTimestamp"]) == (
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:02Z",
        )
        assert event["involvedObject"]["uid"] == "u"
        assert event["source"] == {"component": "test"}

    recording(story)


def test_many_alike_are_joined():
    async def story(events, recorder, clock):
        for number in range(12):
            recorder.event(POD, "Warning", "Failed", f"reason {number}")
            await clock.sleep(1)
        assert len(events.kept) == 10
        message, count = events.shown()[-1]
        assert message.startswith("(combined from similar events): reason 1")
        assert count == 3

    recording(story)


def test_spam_about_one_object_is_dropped():
    async def story(events, recorder, clock):
        for number in range(40):
            recorder.event(POD, "Normal", f"Reason{number}", "m")
        await clock.sleep(1)
        assert (len(events.kept), recorder.dropped) == (25, 15)

    recording(story)


def test_an_event_that_aged_out_is_told_anew():
    async def story(events, recorder, clock):
        recorder.event(POD, "Normal", "Pulled", "m")
        await clock.sleep(1)
        events.kept.clear()
        recorder.event(POD, "Normal", "Pulled", "m")
        await clock.sleep(1)
        assert events.shown() == [("m", 1)]

    recording(story)


def test_a_server_that_is_away_gets_it_later_and_one_that_refuses_does_not():
    async def story(events, recorder, clock):
        events.errors = [internal_error("away"), ConnectionResetError()]
        recorder.event(POD, "Normal", "One", "m")
        await clock.sleep(60)
        assert len(events.kept) == 1
        events.errors = [forbidden("events", "", "", "namespace is being terminated")]
        recorder.event(POD, "Normal", "Two", "m")
        await clock.sleep(60)
        assert len(events.kept) == 1

    recording(story)
