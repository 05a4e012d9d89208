"""One interface, in process and over the wire: the same story on both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pilothouse.api.errors import ApiError
from pilothouse.apiserver.config import ADMIN, ApiConfig
from pilothouse.apiserver.request import User
from pilothouse.apiserver.server import ApiServer
from pilothouse.base.clock import RealClock
from pilothouse.base.random import Random
from pilothouse.client.http import HttpClient
from pilothouse.client.interface import Client
from pilothouse.client.local import LocalClient
from pilothouse.client.transport import Transport
from pilothouse.store.memory import MemoryStore

CM = "configmaps"


@pytest.fixture(params=["local", "http"])
async def client(request: Any) -> AsyncIterator[Client]:
    config = ApiConfig(tokens={"T": ADMIN, "nobody": User("nobody", ("system:authenticated",))})
    server = ApiServer(MemoryStore(), RealClock(), Random(1), config)
    await server.start()
    if request.param == "local":
        yield LocalClient(server, ADMIN)
    else:
        host, port = await server.serve("127.0.0.1", 0)
        transport = Transport(f"http://{host}:{port}", headers={"authorization": "Bearer T"})
        yield HttpClient(transport)
        await transport.close()
    await server.stop()


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default", "labels": {"of": name[0]}}, "data": data}


async def refusal(awaitable: Any) -> tuple[int, str]:
    with pytest.raises(ApiError) as caught:
        await awaitable
    return caught.value.code, caught.value.reason


async def test_objects_come_and_go(client):
    made = await client.create(CM, config_map("a", k="v"))
    assert made["metadata"]["uid"]
    assert (await client.get(CM, "default", "a"))["data"] == {"k": "v"}
    assert await refusal(client.create(CM, config_map("a"))) == (409, "AlreadyExists")
    await client.delete(CM, "default", "a", uid=made["metadata"]["uid"])
    assert await refusal(client.get(CM, "default", "a")) == (404, "NotFound")
    assert await refusal(client.delete(CM, "default", "a")) == (404, "NotFound")


async def test_an_update_needs_the_newest_version(client):
    made = await client.create(CM, config_map("a", k="1"))
    newer = await client.update(CM, {**made, "data": {"k": "2"}})
    assert newer["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    assert await refusal(client.update(CM, {**made, "data": {"k": "3"}})) == (409, "Conflict")


async def test_every_kind_of_patch(client):
    await client.create(CM, config_map("a", k="1", gone="x"))
    merged = await client.patch(CM, "default", "a", {"data": {"gone": None, "m": "2"}})
    assert merged["data"] == {"k": "1", "m": "2"}
    replaced = await client.patch(
        CM, "default", "a", [{"op": "replace", "path": "/data/k", "value": "9"}], type="json"
    )
    assert replaced["data"]["k"] == "9"
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "u"}
    await client.patch(CM, "default", "a", {"metadata": {"ownerReferences": [owner]}}, type="strategic")
    drop = {"metadata": {"ownerReferences": [{"$patch": "delete", "uid": "u"}]}}
    dropped = await client.patch(CM, "default", "a", drop, type="strategic")
    assert not dropped["metadata"].get("ownerReferences")
    wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "mine"}}
    assert await refusal(client.patch(CM, "default", "a", wanted, type="apply", field_manager="me")) == (
        409,
        "Conflict",
    )
    applied = await client.patch(CM, "default", "a", wanted, type="apply", field_manager="me", force=True)
    assert applied["data"]["k"] == "mine"


async def test_lists_are_selected_and_cut(client):
    for name in ("a1", "a2", "b1"):
        await client.create(CM, config_map(name))
    chosen = await client.list(CM, "default", label_selector="of=a")
    assert [o["metadata"]["name"] for o in chosen.items] == ["a1", "a2"]
    by_field = await client.list(CM, field_selector="metadata.name=b1")
    assert [o["metadata"]["name"] for o in by_field.items] == ["b1"]
    first = await client.list(CM, "default", limit=2)
    rest = await client.list(CM, "default", limit=2, continue_token=first.continue_token)
    names = [o["metadata"]["name"] for o in (*first.items, *rest.items)]
    assert (names, rest.continue_token) == (["a1", "a2", "b1"], "")
    assert first.resource_version == rest.resource_version
    await client.delete_collection(CM, "default", label_selector="of=a")
    left = await client.list(CM, "default", label_selector="of in (a,b)")
    assert [o["metadata"]["name"] for o in left.items] == ["b1"]


async def test_a_dry_run_leaves_nothing(client):
    made = await client.create(CM, config_map("a"), dry_run=True)
    assert made["metadata"]["name"] == "a"
    assert await refusal(client.get(CM, "default", "a")) == (404, "NotFound")


async def test_subresources(client):
    deployment = {
        "metadata": {"name": "d", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        },
    }
    made = await client.create("deployments.apps", deployment)
    told = await client.update("deployments.apps", {**made, "status": {"replicas": 3}}, subresource="status")
    assert told["status"]["replicas"] == 3
    scale = await client.get("deployments.apps", "default", "d", subresource="scale")
    assert (scale["kind"], scale["spec"]["replicas"]) == ("Scale", 1)
    await client.patch("deployments.apps", "default", "d", {"spec": {"replicas": 4}}, subresource="scale")
    assert (await client.get("deployments.apps", "default", "d"))["spec"]["replicas"] == 4
    account = {"metadata": {"name": "robot", "namespace": "default"}}
    await client.create("serviceaccounts", account)
    request = {"spec": {"audiences": ["x"]}}
    token = await client.create(
        "serviceaccounts", request, namespace="default", name="robot", subresource="token"
    )
    assert token["status"]["token"].count(".") == 2


async def test_a_watch_goes_on_from_a_version(client):
    start = (await client.list(CM)).resource_version
    made = await client.create(CM, config_map("a", k="1"))
    await client.patch(CM, "default", "a", {"data": {"k": "2"}})
    await client.create(CM, config_map("b"))
    await client.delete(CM, "default", "a")
    seen: list[tuple[str, str]] = []

    async def follow() -> None:
        async for event in client.watch(
            CM, "default", resource_version=start, field_selector="metadata.name=a"
        ):
            if event.type != "BOOKMARK":
                seen.append((event.type, event.object["data"]["k"]))
            if event.type == "DELETED":
                assert event.object["metadata"]["uid"] == made["metadata"]["uid"]
                return

    await asyncio.wait_for(follow(), 10)
    assert seen == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")]


async def test_what_is_wrong_with_an_object_is_named(client):
    service = {"metadata": {"name": "s", "namespace": "default"}, "spec": {"ports": [{"port": 99999}]}}
    with pytest.raises(ApiError) as caught:
        await client.create("services", service)
    assert (caught.value.code, caught.value.reason) == (422, "Invalid")
    assert [cause.field for cause in caught.value.causes] == [
        "spec.ports[0].port",
        "spec.ports[0].targetPort",
    ]
