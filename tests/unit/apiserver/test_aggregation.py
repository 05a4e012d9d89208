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


async def listen(tmp_path, port=0):
    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split()[1].partition("?")[0]
        lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        user = {"path": path, "user": lines.get("X-Remote-User")}
        body = json.dumps(RESOURCES if path == "/apis/things.example.com/v1" else user).encode()
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


async def ask(server: ApiServer, path: str, accept: str = "application/json") -> tuple[int, dict]:
    request = Request("GET", path, "", {"authorization": "Bearer t", "accept": accept}, peer="127.0.0.1:9")
    answer = server.handle(request)
    answer = answer if isinstance(answer, Response) else await answer
    return answer.status, json.loads(answer.body)


async def available(client: LocalClient, status: str) -> dict:
    async with asyncio.timeout(10):
        while True:
            held = await client.get(SERVICES, "", "v1.things.example.com")
            conditions = (held.get("status") or {}).get("conditions") or []
            if conditions and conditions[0]["status"] == status:
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
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    item = (await ask(server, "/apis", accept))[1]["items"][-1]
    (resource,) = item["versions"][0]["resources"]
    assert resource["shortNames"] == ["th"] and resource["subresources"][0]["subresource"] == "status"


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
    status, body = await ask(server, "/apis/things.example.com/v1/things")
    assert (status, body["message"]) == (503, "service unavailable")


async def test_each_version_of_ours_has_one_too(server):
    async with asyncio.timeout(10):
        while True:
            held = {s["metadata"]["name"]: s for s in (await LocalClient(server, ADMIN).list(SERVICES)).items}
            if "v1.apps" in held and "v1." in held and "status" in held["v1.apps"]:
                break
            await asyncio.sleep(0.01)
    assert held["v1.apps"]["status"]["conditions"][0]["reason"] == "Local"
