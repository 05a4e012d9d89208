"""WebSocket messages arrive whole, however the network cuts them; logs come in messages to who asks so."""

import asyncio

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, TextMessage

from pilothouse.apiserver.request import Request
from pilothouse.apiserver.streaming import Messages, as_messages, plain_error


class Raw:
    def __init__(self, chunks):
        self._chunks = list(chunks)

    async def read(self):
        return self._chunks.pop(0) if self._chunks else b""

    async def write(self, data):
        raise AssertionError("nothing to answer")


@pytest.mark.parametrize("size", [1, 7, 100, 1000, 5000])
def test_a_message_cut_behind_another_is_not_lost(size):
    client = Connection(ConnectionType.CLIENT)
    sent = [bytes([0]) + bytes([number]) * 700 for number in range(9)]
    wire = b"".join(client.send(BytesMessage(data=message)) for message in sent)
    messages = Messages(Raw(wire[start : start + size] for start in range(0, len(wire), size)))

    async def all_of_them():
        got = []
        while received := await messages.receive():
            got += received
        return got

    assert asyncio.run(all_of_them()) == sent


class Client:
    """A peer that only listens."""

    def __init__(self):
        self.wire, self._gone = b"", asyncio.Event()

    async def read(self):
        await self._gone.wait()
        return b""

    async def write(self, data):
        self.wire += data

    def close(self):
        self._gone.set()

    def events(self):
        connection = Connection(ConnectionType.CLIENT)
        connection.receive_data(self.wire)
        return list(connection.events())


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [("", b"alive\n"), ("binary.k8s.io", b"alive\n"), ("base64.binary.k8s.io", "YWxpdmUK")],
)
def test_a_log_over_websocket_is_messages_in_the_form_that_was_agreed_on(protocol, expected):
    async def chunks():
        yield b"alive\n"

    headers = {"sec-websocket-key": "a", "sec-websocket-protocol": protocol}
    request = Request("GET", "/", {}, headers)

    async def answer():
        response, client = as_messages(request, chunks()), Client()
        await response.upgrade(client)
        return response, client

    response, client = asyncio.run(answer())
    assert response.status == 101
    assert dict(response.headers).get("Sec-WebSocket-Protocol", "") == protocol
    message, end = client.events()
    assert isinstance(message, TextMessage if protocol.startswith("base64") else BytesMessage)
    assert message.data == expected
    assert isinstance(end, CloseConnection)


def test_before_v4_a_command_that_succeeds_says_nothing_on_the_error_channel():
    assert plain_error(b'{"metadata":{},"status":"Success"}') == b""
    failure = (
        b'{"status":"Failure","reason":"NonZeroExitCode","message":"command terminated with exit code 3"}'
    )
    assert plain_error(failure) == b"command terminated with exit code 3"
    assert plain_error(b"not a Status") == b"not a Status"
