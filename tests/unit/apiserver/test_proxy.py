"""The proxy subresources: an HTTP server behind a pod, as clients of the API see it."""

from __future__ import annotations

import asyncio

import pytest

from pilothouse.apiserver.config import ADMIN, ApiConfig
from pilothouse.apiserver.request import Request, Response
from pilothouse.apiserver.server import ApiServer
from pilothouse.base.clock import RealClock
from pilothouse.base.random import Random
from pilothouse.client.local import LocalClient
from pilothouse.store.memory import MemoryStore


class Loopback:
    """A node whose every address is this machine."""

    async def connect(self, host, port):
        return await asyncio.open_connection("127.0.0.1", port)


@pytest.fixture
async def backend():
    """Answers with what it was asked; /stream sends two chunks, the second when the event is set."""
    go_on = asyncio.Event()

    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split()[1]
        if path.startswith("/stream"):
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
            await go_on.wait()
            writer.write(b"3\r\ntwo\r\n0\r\n\r\n")
        elif path.startswith("/script"):
            writer.write(b"HTTP/1.0 200 OK\r\nX-Own: yes\n\nhello")
        elif path.startswith("/upgrade"):
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello"
            )
            writer.write(b"<" + await reader.read(100) + b">")
        else:
            body = f"{path} {'authorization' in head.lower()}".encode()
            writer.write(
                b"HTTP/1.1 418 Teapot\r\nX-Own: yes\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.go_on = go_on
    yield server
    server.close()


@pytest.fixture
async def ask(backend):
    server = ApiServer(MemoryStore(), RealClock(), Random(7), ApiConfig(tokens={"t": ADMIN}))
    await server.start()
    server.nodes.register("n", Loopback())
    client = LocalClient(server, ADMIN)
    await client.create("serviceaccounts", {"metadata": {"name": "default", "namespace": "default"}})
    spec = {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}
    await client.create("pods", {"metadata": {"name": "p", "namespace": "default"}, "spec": spec})
    status = {"status": {"podIP": "10.9.9.9", "podIPs": [{"ip": "10.9.9.9"}]}}
    await client.patch("pods", "default", "p", status, type="strategic", subresource="status")
    port = backend.sockets[0].getsockname()[1]

    async def ask(path: str, **headers: str) -> Response:
        where = f"/api/v1/namespaces/default/pods/p:{port}/proxy{path}"
        path, _, query = where.partition("?")
        request = Request("GET", path, query, {"authorization": "Bearer t", **headers}, peer="127.0.0.1:9")
        answer = server.handle(request)
        return answer if isinstance(answer, Response) else await answer

    yield ask
    await server.stop()


async def test_status_headers_and_body_come_through_and_the_token_does_not_go_out(ask):
    answer = await ask("/a/b?c=d")
    assert (answer.status, answer.body) == (418, b"/a/b?c=d False")
    assert ("X-Own", "yes") in answer.headers


async def test_the_path_goes_out_escaped(ask):
    assert (await ask("/a b\r\nX: é?c=%20d")).body == b"/a%20b%0D%0AX:%20%C3%A9?c=%20d False"


async def test_a_script_may_end_its_lines_without_a_return(ask):
    answer = await ask("/script")
    assert (answer.status, ("X-Own", "yes") in answer.headers) == (200, True)
    assert b"".join([chunk async for chunk in answer.stream]) == b"hello"


async def test_a_long_answer_is_streamed(ask, backend):
    answer = await ask("/stream")
    chunks = answer.stream
    assert await anext(chunks) == b"one"
    backend.go_on.set()
    assert [chunk async for chunk in chunks] == [b"two"]


async def test_an_upgrade_becomes_a_tunnel(ask):
    answer = await ask("/upgrade", upgrade="echo", connection="Upgrade")
    assert answer.status == 101
    sent, got = [b"ping", b""], []

    class Raw:
        async def read(self):
            if sent[0] == b"":
                await asyncio.Event().wait()
            return sent.pop(0)

        async def write(self, data):
            got.append(data)

        def close(self):
            pass

    await answer.upgrade(Raw())
    assert b"".join(got) == b"hello<ping>"
