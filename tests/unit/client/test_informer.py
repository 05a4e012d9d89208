"""A local copy that stays true, whatever happens to the watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pilothouse.api.errors import expired
from pilothouse.base.clock import VirtualClock, run_virtual
from pilothouse.base.random import Random
from pilothouse.client.informer import Cache, Informers, by_controller, by_owner
from pilothouse.client.interface import ObjectList, WatchEvent


def obj(
    name: str, version: int = 1, namespace: str = "default", uid: str = "", **labels: str
) -> dict[str, Any]:
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": uid or name,
        "labels": labels,
        "resourceVersion": str(version),
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


class Server:
    """Lists what it has; watches are a script: events, and exceptions to raise."""

    def __init__(self, *items: dict[str, Any], version: int = 1):
        self.items, self.version = list(items), version
        self.lists = 0
        self.watched_from: list[str] = []
        self.script: asyncio.Queue[Any] = asyncio.Queue()

    async def list(self, resource: str, **options: Any) -> ObjectList:
        self.lists += 1
        return ObjectList(list(self.items), str(self.version))

    async def watch(
        self, resource: str, *, resource_version: str, **options: Any
    ) -> AsyncIterator[WatchEvent]:
        self.watched_from.append(resource_version)
        while True:
            step = await self.script.get()
            if step is None:
                return
            if isinstance(step, Exception):
                raise step
            yield step


def follow(story: Any, *items: dict[str, Any], detect: bool = True) -> None:
    clock = VirtualClock()

    async def main() -> None:
        server = Server(*items)
        informers = Informers(server, clock, Random(1), detect_mutations=detect)
        pods, seen = informers.of("pods"), []
        pods.add_handler(
            lambda old, new: seen.append((old and old["metadata"]["name"], new and new["metadata"]["name"]))
        )
        async with informers:
            await pods.synced()
            await story(server, pods, seen, clock)

    run_virtual(main(), clock)


def names(pods: Any) -> list[str]:
    return sorted(o["metadata"]["name"] for o in pods.list())


def test_the_first_list_then_what_happens():
    async def story(server, pods, seen, clock):
        assert seen == [(None, "a")]
        for event in (
            WatchEvent("ADDED", obj("b", 2)),
            WatchEvent("MODIFIED", obj("a", 3)),
            WatchEvent("DELETED", obj("b", 4)),
            WatchEvent("BOOKMARK", obj("", 9)),
        ):
            server.script.put_nowait(event)
        await clock.sleep(1)
        assert seen == [(None, "a"), (None, "b"), ("a", "a"), ("b", None)]
        assert (names(pods), pods.resource_version) == (["a"], 9)

    follow(story, obj("a"))


def test_a_broken_watch_is_taken_up_where_it_ended():
    async def story(server, pods, seen, clock):
        server.script.put_nowait(WatchEvent("ADDED", obj("b", 7)))
        server.script.put_nowait(ConnectionResetError())
        server.script.put_nowait(None)  # ended in good order
        await clock.sleep(10)
        assert server.watched_from == ["1", "7", "7"]
        assert server.lists == 1

    follow(story, obj("a"))


def test_when_our_place_is_gone_the_list_is_compared():
    async def story(server, pods, seen, clock):
        server.items = [obj("a", 5), obj("b", 1), obj("d", 6)]
        server.version = 6
        server.script.put_nowait(expired("too old"))
        await clock.sleep(10)
        assert names(pods) == ["a", "b", "d"]
        assert seen[3:] == [("a", "a"), (None, "d"), ("c", None)], "b is as it was, c has gone meanwhile"

    follow(story, obj("a"), obj("b"), obj("c"))


def test_a_namesake_is_another_object():
    async def story(server, pods, seen, clock):
        server.items = [obj("a", 5, uid="new")]
        server.script.put_nowait(expired("too old"))
        await clock.sleep(10)
        assert seen == [(None, "a"), ("a", None), (None, "a")]

    follow(story, obj("a", uid="old"))


def test_a_handler_that_leaves_hears_no_more():
    async def story(server, pods, seen, clock):
        heard: list[Any] = []
        leave = pods.add_handler(lambda old, new: heard.append(new))
        assert len(heard) == 1, "what is there already"
        leave()
        server.script.put_nowait(WatchEvent("ADDED", obj("b", 2)))
        await clock.sleep(1)
        assert (len(heard), len(seen)) == (1, 2)

    follow(story, obj("a"))


def test_whoever_writes_to_a_shared_object_is_caught():
    async def story(server, pods, seen, clock):
        pods.get("default", "a")["metadata"]["labels"]["x"] = "y"
        with pytest.raises(AssertionError, match="somebody wrote to the shared pods"):
            pods.replace([obj("b")], "2")

    follow(story, obj("a"))


def test_an_informer_whose_handler_failed_goes_on_when_its_supervisor_asks_again():
    clock = VirtualClock()

    async def main() -> None:
        server = Server(obj("a"))
        informers = Informers(server, clock, Random(1))
        pods, seen = informers.of("pods"), []

        def handler(old: Any, new: Any) -> None:
            if new is None:
                raise ValueError("a defect")
            seen.append(new["metadata"]["name"])

        pods.add_handler(handler)
        async with informers:
            kept = asyncio.create_task(informers.keep())
            await clock.sleep(1)
            server.script.put_nowait(WatchEvent("DELETED", obj("a", 2)))
            with pytest.raises(ValueError, match="a defect"):
                await kept
            kept = asyncio.create_task(informers.keep())
            server.script.put_nowait(WatchEvent("ADDED", obj("b", 3)))
            await clock.sleep(1)
            assert seen == ["a", "b"] and names(pods) == ["b"] and not kept.done()
            kept.cancel()

    run_virtual(main(), clock)


def test_indexes_follow_the_objects():
    cache = Cache()
    cache.put(obj("a", app="web"))
    cache.add_index("app", lambda o: [o["metadata"]["labels"]["app"]])
    cache.put(obj("b", app="web"))
    cache.put(obj("a", app="db"))
    assert [o["metadata"]["name"] for o in cache.by_index("app", "web")] == ["b"]
    cache.remove(("default", "b"))
    assert cache.by_index("app", "web") == []
    assert [o["metadata"]["name"] for o in cache.list("default")] == ["a"]
    assert cache.list("other") == []


def test_owners_and_orphans_are_found():
    owned = obj("a")
    owned["metadata"]["ownerReferences"] = [{"uid": "x"}, {"uid": "y", "controller": True}]
    assert (by_owner(owned), by_controller(owned)) == (["x", "y"], ["y"])
    assert by_controller(obj("b")) == ["orphans/default"]
