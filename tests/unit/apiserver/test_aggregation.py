"""API aggregation: somebody else's group, served as if it were ours, while it can be reached."""

from __future__ import annotations

import asyncio
import json

import pytest

from pilothouse.apiserver.__main__ import self_signed
from pilothouse.apiserver.config import ADMIN
from pilothouse.apiserver.http import server_tls
from pilothouse.apiserver.request import Request, Response
from pilothouse.apiserver.server import ApiServer
from pilothouse.client.local import LocalClient

SERVICES = "apiservices.apiregistration.k8s.io"
RESOURCES = {
    "kind": "APIResourceList",
    "groupVersion": "things.example.com/v1",
    "resources": [
        {
            "name": "things",
            "singularName": "thing",
            "namespaced": True,
            "kind": "Thing",
            "verbs": ["get", "list"],
            "shortNames": ["th"],
        },
        {"name": "things/status", "singularName": "", "namespaced": True, "kind": "Thing", "verbs": ["get"]},
    ],
}


GROUP_PATH = "apis/things.example.com/v1"
THING = {"type": "object", "properties": {"meta": {"$ref": "#/definitions/io.k8s.api.core.v1.Pod"}}}
ANSWERS = {
    f"/{GROUP_PATH}": RESOURCES,
    "/openapi/v3": {"paths": {GROUP_PATH: {"serverRelativeURL": f"/openapi/v3/{GROUP_PATH}?hash=1"}}},
    "/openapi/v2": {
        "swagger": "2.0",
        "paths": {
            f"/{GROUP_PATH}/things": {"get": {"schema": {"$ref": "#/definitions/Thing"}}},
            "/apis/others/v1/": {"get": {"schema": {"$ref": "#/definitions/Other"}}},
        },
        "definitions": {
            "Thing": THING,
            "Other": {"type": "string"},
            "io.k8s.api.core.v1.Pod": {"type": "string"},
        },
    },
}
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


async def listen(tmp_path, port=0):
    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split()[1].partition("?")[0]
        lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        user = {"path": path, "user": lines.get("X-Remote-User")}
        body = json.dumps(ANSWERS.get(path, user)).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % len(body) + body)
        await writer.drain()
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", port, ssl=server_tls(*self_signed(tmp_path)))


@pytest.fixture
async def extension(tmp_path):
    server = await listen(tmp_path)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def respond(server: ApiServer, path: str, accept: str = "application/json") -> Response:
    request = Request("GET", path, "", {"authorization": "Bearer t", "accept": accept}, peer="127.0.0.1:9")
    answer = server.handle(request)
    return answer if isinstance(answer, Response) else await answer


async def ask(server: ApiServer, path: str, accept: str = "application/json") -> tuple[int, dict]:
    answer = await respond(server, path, accept)
    return answer.status, json.loads(answer.body)


async def available(client: LocalClient, status: str) -> dict:
    async with asyncio.timeout(10):
        while True:
            held = await client.get(SERVICES, "", "v1.things.example.com")
            conditions = (held.get("status") or {}).get("conditions") or []
            if conditions and conditions[0]["status"] == status:
                await asyncio.sleep(0.01)  # who listens to the store hears of it a turn later
                return conditions[0]
            await asyncio.sleep(0.01)


def api_service(port: int) -> dict:
    spec = {
        "group": "things.example.com",
        "version": "v1",
        "groupPriorityMinimum": 100,
        "versionPriority": 10,
        "insecureSkipTLSVerify": True,
        "service": {"namespace": "default", "name": "ext", "port": port},
    }
    return {"metadata": {"name": "v1.things.example.com"}, "spec": spec}


async def test_its_requests_are_handed_on_with_who_asks(server, extension):
    client = LocalClient(server, ADMIN)
    spec = {"type": "ExternalName", "externalName": "localhost"}
    await client.create("services", {"metadata": {"name": "ext", "namespace": "default"}, "spec": spec})
    await client.create(SERVICES, api_service(extension))
    assert (await available(client, "True"))["reason"] == "Passed"
    path = "/apis/things.example.com/v1/namespaces/default/things/a"
    assert await ask(server, path) == (200, {"path": path, "user": "kubernetes-admin"})
    groups = (await ask(server, "/apis"))[1]["groups"]
    assert "things.example.com" in [group["name"] for group in groups]
    item = (await ask(server, "/apis", AGGREGATED))[1]["items"][-1]
    (resource,) = item["versions"][0]["resources"]
    assert resource["shortNames"] == ["th"] and resource["subresources"][0]["subresource"] == "status"
    # its documents are in ours: of v3 by reference, of v2 what its own paths use, under names that are free
    paths = (await ask(server, "/openapi/v3"))[1]["paths"]
    assert paths[GROUP_PATH]["serverRelativeURL"].endswith("hash=1") and "api/v1" in paths
    assert (await ask(server, f"/openapi/v3/{GROUP_PATH}"))[1]["path"] == f"/openapi/v3/{GROUP_PATH}"
    v2 = (await ask(server, "/openapi/v2"))[1]
    assert f"/{GROUP_PATH}/things" in v2["paths"] and "/apis/others/v1/" not in v2["paths"]
    reference = v2["definitions"]["Thing"]["properties"]["meta"]["$ref"].removeprefix("#/definitions/")
    assert v2["definitions"][reference] == {"type": "string"}
    assert v2["definitions"]["io.k8s.api.core.v1.Pod"]["type"] == "object"
    assert "Other" not in v2["definitions"]


async def test_groups_come_by_their_priority_and_versions_by_theirs(server):
    client = LocalClient(server, ADMIN)
    for name, priority in (
        ("v1.early", 20_000),
        ("v1beta1.early", 20_000),
        ("v2.early", 19_000),
        ("v1.b", 3000),
    ):
        version, group = name.split(".")
        made = api_service(443)
        made["metadata"]["name"] = f"{name}.example.com"
        made["spec"] |= {
            "group": f"{group}.example.com",
            "version": version,
            "groupPriorityMinimum": priority,
        }
        await client.create(SERVICES, made)
    groups = (await ask(server, "/apis"))[1]["groups"]
    assert [one["version"] for one in groups[0]["versions"]] == ["v2", "v1", "v1beta1"]
    assert [groups[0]["name"], groups[-1]["name"]] == ["early.example.com", "b.example.com"]
    items = (await ask(server, "/apis", AGGREGATED))[1]["items"]
    names = [item["metadata"]["name"] for item in items]
    assert names == [group["name"] for group in groups]


async def test_one_that_does_not_listen_yet_is_asked_again_soon(server, tmp_path):
    client = LocalClient(server, ADMIN)
    first = await listen(tmp_path)
    port = first.sockets[0].getsockname()[1]
    first.close()
    await first.wait_closed()
    spec = {"type": "ExternalName", "externalName": "localhost"}
    await client.create("services", {"metadata": {"name": "ext", "namespace": "default"}, "spec": spec})
    await client.create(SERVICES, api_service(port))
    assert (await available(client, "False"))["reason"] == "FailedDiscoveryCheck"
    late = await listen(tmp_path, port)
    assert (await available(client, "True"))["reason"] == "Passed"
    late.close()


async def test_one_whose_service_is_absent_says_so_and_answers_503(server):
    client = LocalClient(server, ADMIN)
    await client.create(SERVICES, api_service(443))
    condition = await available(client, "False")
    assert condition["reason"] == "ServiceNotFound"
    assert condition["message"] == 'service/ext in "default" is not present'
    answer = await respond(server, "/apis/things.example.com/v1/things")
    assert (answer.status, answer.body) == (503, b"service unavailable\n")
    assert (await ask(server, "/apis/things.example.com"))[1]["preferredVersion"]["version"] == "v1"
    (stale,) = (await ask(server, "/apis", AGGREGATED))[1]["items"][-1]["versions"]
    assert stale == {"version": "v1", "freshness": "Stale"}


@pytest.mark.parametrize(
    ("spec", "slices", "reason", "message"),
    [
        ({"ports": [{"port": 80}]}, [], "ServicePortError", "is not listening on port 443"),
        ({"ports": [{"port": 443}]}, [], "EndpointsNotFound", "cannot find endpointslices for {}"),
        (
            {"ports": [{"port": 443, "name": "https"}]},
            [{"ports": [{"name": "http", "port": 443}], "endpoints": [{"addresses": ["10.0.0.1"]}]}],
            "MissingEndpoints",
            'endpointslices for {} have no addresses with port name "https"',
        ),
        (
            {"ports": [{"port": 443}], "clusterIP": "None"},
            [{"ports": [{"name": "", "port": 443}], "endpoints": [{"addresses": ["10.0.0.1"]}]}],
            "FailedDiscoveryCheck",
            'cannot route to service with ClusterIP "None"',
        ),
    ],
)
async def test_what_its_service_lacks_is_said(server, spec, slices, reason, message):
    client = LocalClient(server, ADMIN)
    meta = {"name": "ext", "namespace": "default"}
    await client.create("services", {"metadata": meta, "spec": spec})
    for one in slices:
        labels = {"kubernetes.io/service-name": "ext"}
        one = {"metadata": {**meta, "labels": labels}, "addressType": "IPv4", **one}
        await client.create("endpointslices.discovery.k8s.io", one)
    await client.create(SERVICES, api_service(443))
    condition = await available(client, "False")
    assert condition["reason"] == reason
    assert condition["message"].endswith(message.format('service/ext in "default"'))


async def test_one_that_we_serve_ourselves_again_is_local(server):
    client = LocalClient(server, ADMIN)
    await client.create(SERVICES, api_service(443))
    await available(client, "False")
    local = {"spec": {"service": None, "insecureSkipTLSVerify": None}}
    await client.patch(SERVICES, "", "v1.things.example.com", local)
    assert (await available(client, "True"))["reason"] == "Local"


async def test_each_version_of_ours_has_one_too(server):
    async with asyncio.timeout(10):
        while True:
            held = {s["metadata"]["name"]: s for s in (await LocalClient(server, ADMIN).list(SERVICES)).items}
            if "v1.apps" in held and "v1." in held and "status" in held["v1.apps"]:
                break
            await asyncio.sleep(0.01)
    assert held["v1.apps"]["status"]["conditions"][0]["reason"] == "Local"
