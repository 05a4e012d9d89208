"""What probes ask over the network, against servers on the loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pilothouse.node.handlers import Outcome, grpc_check, http_get, port_of, tcp_connect

ANSWERS = {
    "/ok": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine",
    "/absent": b"HTTP/1.1 404 Not Found\r\n\r\n",
    "/here": b"HTTP/1.1 302 Found\r\nLocation: /ok\r\n\r\n",
    "/away": b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\n\r\n",
    "/odd": b"hello\r\n\r\n",
}


def serving(story: Callable[[int], Awaitable[None]]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ")[1]
        if path == "/slow":
            await asyncio.sleep(5)
        if path == "/headers":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + head.encode())
        else:
            writer.write(ANSWERS.get(path, b""))
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            await story(server.sockets[0].getsockname()[1])

    asyncio.run(main())


async def get(path: str, port: int, timeout_s: float = 1.0, **action: object) -> Outcome:
    return await http_get(asyncio.open_connection, {"path": path, **action}, "127.0.0.1", port, timeout_s)


def test_an_http_probe_says_what_it_saw():
    async def story(port: int) -> None:
        url = f'Get "http://127.0.0.1:{port}'
        assert await get("/ok", port) == Outcome(True, "fine")
        assert await get("here", port) == Outcome(True, "fine")
        assert await get("/absent", port) == Outcome(False, "HTTP probe failed with statuscode: 404")
        assert (await get("/away", port)).warning
        slow = await get("/slow", port, 0.05)
        assert slow.output == (
            f'{url}/slow": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
        )
        assert (await get("/nothing", port)).output == f'{url}/nothing": EOF'
        assert "malformed HTTP response" in (await get("/odd", port)).output

    serving(story)


def test_its_headers_can_be_set():
    async def story(port: int) -> None:
        headers = [{"name": "host", "value": "h.example"}, {"name": "X-A", "value": "b"}]
        seen = (await get("/headers", port, httpHeaders=headers)).output
        assert "Host: h.example\r\n" in seen and "X-A: b\r\n" in seen
        assert "User-Agent: kube-probe/1.36\r\n" in seen

    serving(story)


def test_a_port_where_nobody_listens():
    async def story() -> None:
        refused = "dial tcp 127.0.0.1:9: connect: connection refused"
        assert await tcp_connect(asyncio.open_connection, "127.0.0.1", 9, 1.0) == Outcome(False, refused)
        assert (await get("/", 9)).output == f'Get "http://127.0.0.1:9/": {refused}'
        late = 'timeout: failed to connect service "127.0.0.1:9" within 1s: context deadline exceeded'
        assert await grpc_check("127.0.0.1", 9, "", 1.0) == Outcome(False, late)

    asyncio.run(story())


def test_a_grpc_probe_reads_the_health_service():
    import grpc

    async def check(request: bytes, context: object) -> bytes:
        return b"\x08\x01" if request == b"" else b"\x08\x02"

    async def story() -> None:
        server = grpc.aio.server()
        method = grpc.unary_unary_rpc_method_handler(check)
        service = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method})
        server.add_generic_rpc_handlers((service,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        assert await grpc_check("127.0.0.1", port, "", 1.0) == Outcome(True, "service healthy")
        words = 'service unhealthy (responded with "NOT_SERVING")'
        assert await grpc_check("127.0.0.1", port, "other", 1.0) == Outcome(False, words)
        await server.stop(0)

    asyncio.run(story())


def test_ports_have_names():
    container = {"ports": [{"name": "web", "containerPort": 8080}]}
    assert (port_of(container, "web"), port_of(container, 80), port_of(container, "81")) == (8080, 80, 81)
    with pytest.raises(ValueError, match='strconv.Atoi: parsing "nope": invalid syntax'):
        port_of(container, "nope")
