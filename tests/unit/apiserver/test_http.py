"""The HTTP server as a client on a socket sees it."""

import asyncio
import gzip

import pytest

from pilothouse.apiserver.http import HttpServer, Limits
from pilothouse.apiserver.request import Response, chunk


async def echo(request):
    return Response(
        200,
        [],
        request.method.encode() + b" " + request.path.encode() + b" " + request.body,
        content_type="text/plain",
    )


@pytest.fixture
async def serve():
    servers = []

    async def start(handler=echo, limits=Limits()):
        server = HttpServer(handler, limits=limits)
        servers.append(server)
        host, port = await server.start("127.0.0.1", 0)
        return await asyncio.open_connection(host, port)

    yield start
    for server in servers:
        await server.stop()


async def answer(reader):
    """(status, headers, body) of the next answer."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    first, *lines = head.decode().rstrip("\r\n").split("\r\n")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
    body = b""
    if headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return int(first.split()[1]), headers, body


async def test_a_connection_serves_one_request_after_the_other(serve):
    reader, writer = await serve()
    for path in ("/a", "/b%20c"):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        status, _, body = await answer(reader)
        assert status == 200
        assert body == b"GET " + path.replace("%20", " ").encode() + b" "
    writer.close()


async def test_pipelined_requests_are_answered_in_order_whoever_is_faster(serve):
    release = asyncio.Event()

    async def slow():
        await release.wait()
        return Response(200, [], b"slow")

    def handler(request):
        return slow() if request.path == "/slow" else Response(200, [], b"fast")

    reader, writer = await serve(handler)
    writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /fast HTTP/1.1\r\nHost: x\r\n\r\n")
    await writer.drain()
    release.set()
    assert (await answer(reader))[2] == b"slow"
    assert (await answer(reader))[2] == b"fast"
    writer.close()


async def test_chunked_bodies_are_put_together(serve):
    reader, writer = await serve()
    writer.write(
        b"POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    assert (await answer(reader))[2] == b"POST /p abcde"
    writer.close()


async def test_expect_100_continue_is_granted_before_the_body_comes(serve):
    reader, writer = await serve()
    writer.write(b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"ok")
    assert (await answer(reader))[2] == b"POST /p ok"
    writer.close()


async def test_a_body_that_is_too_large_is_dropped_and_the_handler_told(serve):
    def handler(request):
        return Response(413 if request.body_too_large else 200, [], b"%d" % len(request.body))

    reader, writer = await serve(handler, Limits(body_bytes=10))
    writer.write(b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n" + b"x" * 20)
    status, _, body = await answer(reader)
    assert (status, body) == (413, b"0")
    writer.write(b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok")
    assert (await answer(reader))[0] == 200
    writer.close()


async def test_a_head_without_end_is_refused(serve):
    reader, writer = await serve(limits=Limits(head_bytes=1000))
    writer.write(b"GET / HTTP/1.1\r\n" + b"X-Long: " + b"y" * 200_000)
    assert (await answer(reader))[0] == 431
    assert await reader.read() == b""


async def test_nonsense_is_400_and_the_end_of_the_connection(serve):
    reader, writer = await serve()
    writer.write(b"NONSENSE\r\n\r\n")
    assert (await answer(reader))[0] == 400
    assert await reader.read() == b""


async def test_a_stream_ends_where_its_iterator_does_and_the_connection_goes_on(serve):
    async def chunks():
        yield b"one"
        yield b"two"

    reader, writer = await serve(lambda request: Response(200, [], stream=chunks()))
    for _ in range(2):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await answer(reader))[2] == b"onetwo"
    writer.close()


@pytest.mark.parametrize("late", [False, True])
async def test_a_source_pushes_whether_its_answer_came_at_once_or_had_to_be_awaited(serve, late):
    class Two:
        def start(self, sink):
            sink.push(chunk(b"one"))
            asyncio.get_running_loop().call_soon(lambda: (sink.push(chunk(b"two")), sink.finish()))

        def stop(self):
            pass

    def at_once(request):
        return Response(200, [], source=Two())

    async def awaited(request):
        return at_once(request)

    reader, writer = await serve(awaited if late else at_once)
    for _ in range(2):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await answer(reader))[2] == b"onetwo"
    writer.close()


async def test_a_client_that_leaves_ends_its_stream(serve):
    closed = asyncio.Event()

    async def endless():
        try:
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0)
        finally:
            closed.set()

    reader, writer = await serve(lambda request: Response(200, [], stream=endless()))
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readexactly(100)
    writer.transport.abort()
    await asyncio.wait_for(closed.wait(), 5)


async def test_a_reader_that_does_not_read_stops_the_stream_not_the_memory(serve):
    made = 0

    async def endless():
        nonlocal made
        while True:
            made += 1
            yield b"x" * 65536
            await asyncio.sleep(0)

    reader, writer = await serve(lambda request: Response(200, [], stream=endless()))
    reader._transport.pause_reading()
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    before = -1
    while made != before:  # until it stands still
        before = made
        await asyncio.sleep(0.2)
    assert made < 1000
    writer.transport.abort()


async def test_large_answers_are_compressed_for_who_wants_that(serve):
    body = b"abc" * 100_000
    reader, writer = await serve(lambda request: Response(200, [], body))
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n")
    _, headers, packed = await answer(reader)
    assert headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed) == body
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await answer(reader))[2] == body
    writer.close()


async def test_after_an_upgrade_the_bytes_belong_to_the_handler(serve):
    async def shout(raw):
        while data := await raw.read():
            await raw.write(data.upper())

    def handler(request):
        return Response(101, [("Upgrade", "loud"), ("Connection", "Upgrade")], upgrade=shout, content_type="")

    reader, writer = await serve(handler)
    writer.write(
        b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: loud\r\nContent-Length: 0\r\n\r\nhello"
    )
    status, headers, _ = await answer(reader)
    assert (status, headers["upgrade"]) == (101, "loud")
    assert await asyncio.wait_for(reader.readexactly(5), 5) == b"HELLO"
    writer.write(b"more")
    assert await asyncio.wait_for(reader.readexactly(4), 5) == b"MORE"
    writer.close()


async def test_stopping_lets_what_is_being_answered_go_and_closes_the_idle(serve):
    server = HttpServer(echo)
    host, port = await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
    await answer(reader)
    await server.stop()
    assert await asyncio.wait_for(reader.read(), 5) == b""
    assert server.connections == 0
    writer.close()
