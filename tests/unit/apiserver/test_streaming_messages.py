"""WebSocket messages arrive whole, however the network cuts them."""

import asyncio

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage

from pilothouse.apiserver.streaming import Messages


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
