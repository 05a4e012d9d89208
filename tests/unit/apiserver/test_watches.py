"""Watches as a client reads them: initial events, bookmarks, other forms, versions of the past and of the future."""

import asyncio

import orjson
import pytest

from pilothouse.apiserver import watches
from pilothouse.apiserver.config import ADMIN, ApiConfig
from pilothouse.apiserver.request import Request
from pilothouse.apiserver.routes import parse_query, request_info
from pilothouse.apiserver.server import ApiServer
from pilothouse.base.clock import VirtualClock
from pilothouse.base.random import Random
from pilothouse.client.local import LocalClient
from pilothouse.store.memory import MemoryStore

PATH = "/api/v1/namespaces/default/configmaps"
LIST = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"


class Reader:
    """The client's end of one watch."""

    def __init__(self):
        self.events, self.ended = [], False

    def push(self, chunk):
        data = chunk.partition(b"\r\n")[2].removesuffix(b"\r\n")
        self.events += [orjson.loads(line) for line in data.splitlines()]
        return True

    def finish(self):
        self.ended = True

    def types(self):
        return [(e["type"], e["object"]["metadata"].get("name")) for e in self.events]


@pytest.fixture
async def server():
    server = ApiServer(MemoryStore(), VirtualClock(), Random(1), ApiConfig())
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def client(server):
    return LocalClient(server, ADMIN)


async def answer(server, query, accept="application/json"):
    request = Request("GET", PATH, query, {"accept": accept})
    request.parameters, request.user = parse_query(query), ADMIN
    request.info = request_info("GET", PATH, request.parameters)
    found = server.dispatch(request, request.info)
    return found if not asyncio.iscoroutine(found) else await found


async def watch(server, query="", accept="application/json"):
    response = await answer(server, f"watch=true&{query}", accept)
    reader = Reader()
    response.source.start(reader)
    return reader


async def create(client, name, **labels):
    obj = {"metadata": {"name": name, "namespace": "default", "labels": labels}}
    return await client.create("configmaps", obj)


async def told():
    """Until the watches have heard."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_a_watch_list_is_what_there_is_then_the_mark_of_its_end_then_what_happens(server, client):
    made = await create(client, "a")
    reader = await watch(server, LIST)
    assert reader.types() == [("ADDED", "a"), ("BOOKMARK", None)]
    mark = reader.events[1]["object"]
    assert mark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(mark["metadata"]["resourceVersion"]) >= int(made["metadata"]["resourceVersion"])
    assert mark["kind"] == "ConfigMap"
    await create(client, "b")
    await told()
    assert reader.types()[2:] == [("ADDED", "b")]


async def test_initial_events_can_be_declined(server, client):
    await create(client, "a")
    reader = await watch(server, LIST.replace("true&res", "false&res", 1))
    assert reader.types() == []


async def test_a_watch_from_the_future_waits_for_it_and_gives_up(server, client, monkeypatch):
    monkeypatch.setattr(watches, "FRESH_WITHIN_S", 0.05)
    future = server.cache.revision + 5
    reader = await asyncio.wait_for(watch(server, f"{LIST}&resourceVersion={future}"), 10)
    (event,) = reader.events
    assert (event["type"], event["object"]["code"]) == ("ERROR", 504)
    assert event["object"]["message"].startswith("Timeout: Too large resource version")


async def test_a_watch_from_a_version_that_is_forgotten_is_told_so(server, client):
    first = await create(client, "a")
    await create(client, "b")
    await create(client, "c")
    server.cache.compact(server.cache.revision)
    reader = await watch(server, f"resourceVersion={first['metadata']['resourceVersion']}")
    [event] = reader.events
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
    assert event["object"]["message"].startswith("too old resource version: ")
    assert reader.ended


async def test_a_watch_from_an_old_version_goes_on_from_there(server, client):
    first = await create(client, "a")
    await create(client, "b")
    await client.delete("configmaps", "default", "a")
    reader = await watch(server, f"resourceVersion={first['metadata']['resourceVersion']}")
    assert reader.types() == [("ADDED", "b"), ("DELETED", "a")]


async def test_what_enters_a_selection_is_added_and_what_leaves_it_deleted(server, client):
    made = await create(client, "a", tier="x")
    reader = await watch(server, "labelSelector=tier%3Dx")
    changed = {**made, "metadata": {**made["metadata"], "labels": {"tier": "y"}}}
    await client.update("configmaps", changed)
    await told()
    assert reader.types() == [("ADDED", "a"), ("DELETED", "a")]
    assert reader.events[1]["object"]["metadata"]["labels"] == {"tier": "x"}


async def test_metadata_only(server, client):
    await create(client, "a")
    reader = await watch(server, LIST, PARTIAL)
    assert [e["object"]["kind"] for e in reader.events] == ["PartialObjectMetadata"] * 2
    assert reader.events[1]["object"]["metadata"]["annotations"]


async def test_tables_have_their_columns_in_the_first_event_only(server, client):
    await create(client, "a")
    await create(client, "b")
    reader = await watch(server, LIST, TABLE)
    assert [e["object"]["kind"] for e in reader.events] == ["Table"] * 3
    assert [bool(e["object"]["columnDefinitions"]) for e in reader.events] == [True, False, False]
    assert [row["cells"][0] for e in reader.events[:2] for row in e["object"]["rows"]] == ["a", "b"]
    (row,) = reader.events[2]["object"]["rows"]
    assert row["cells"] == ["", 0, "<unknown>"]
    assert row["object"]["metadata"]["annotations"]


async def test_bookmarks_come_only_to_those_who_asked(server, client, monkeypatch):
    monkeypatch.setattr(watches, "BOOKMARK_EVERY_S", 0.01)
    asking, other = await watch(server, "allowWatchBookmarks=true"), await watch(server)
    while not asking.events:
        await asyncio.sleep(0.01)
    assert asking.events[0]["type"] == "BOOKMARK"
    assert other.events == []


async def test_a_bookmark_comes_before_the_end(server, monkeypatch):
    monkeypatch.setattr(watches, "BOOKMARK_BEFORE_END_S", 0.95)
    reader = await watch(
        server,
        "allowWatchBookmarks=true&sendInitialEvents=false&resourceVersionMatch=NotOlderThan&timeoutSeconds=1",
    )
    while not reader.ended:
        await asyncio.sleep(0.05)
    assert [event["type"] for event in reader.events] == ["BOOKMARK"]


async def test_a_watch_ends_when_its_time_is_over(server):
    reader = await watch(server, "timeoutSeconds=1")
    while not reader.ended:
        await asyncio.sleep(0.05)
