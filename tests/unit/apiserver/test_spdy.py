"""The SPDY codec: against the draft's dictionary, and against itself from the other end."""

import struct
import zlib

from pilothouse.apiserver import spdy


class Peer:
    """A server's end, as much of it as the tests need."""

    def __init__(self):
        self.inflate = zlib.decompressobj(zdict=spdy.DICTIONARY)
        self.deflate = zlib.compressobj(9, zdict=spdy.DICTIONARY)

    def headers_of(self, frame):
        block = self.inflate.decompress(frame[18:])
        count, offset, found = struct.unpack_from(">I", block)[0], 4, []
        for _ in range(count * 2):
            length = struct.unpack_from(">I", block, offset)[0]
            found.append(block[offset + 4 : offset + 4 + length].decode())
            offset += 4 + length
        return dict(zip(found[::2], found[1::2], strict=True))

    def reply(self, stream):
        packed = self.deflate.compress(struct.pack(">I", 0)) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        return struct.pack(">III", 0x80030002, len(packed) + 4, stream) + packed


def test_the_dictionary_is_the_one_of_the_draft():
    assert len(spdy.DICTIONARY) == 1423
    assert zlib.adler32(spdy.DICTIONARY) == spdy.DICTIONARY_ADLER32


def test_streams_of_a_client_have_odd_numbers_and_lower_case_headers():
    client, peer = spdy.Client(), Peer()
    first, frame = client.open({"streamType": "error"})
    second, other = client.open({"streamType": "stdout"})
    assert (first, second) == (1, 3)
    assert peer.headers_of(frame) == {"streamtype": "error"}
    assert peer.headers_of(other) == {"streamtype": "stdout"}  # one compression context for both


def test_frames_are_found_however_they_are_cut():
    client, peer = spdy.Client(), Peer()
    stream, _ = client.open({"a": "b"})
    data = peer.reply(stream) + struct.pack(">II", stream, 5) + b"hello" + struct.pack(">II", stream, 1 << 24)
    events = [event for byte in data for event in client.receive(bytes([byte]))]
    assert events == [spdy.Reply(1, {}, False), spdy.Data(1, b"hello", False), spdy.Data(1, b"", True)]


def test_pings_of_the_server_are_answered_and_ours_are_not():
    client = spdy.Client()
    client.receive(struct.pack(">III", 0x80030006, 4, 2))
    assert client.take_outgoing() == struct.pack(">III", 0x80030006, 4, 2)
    client.receive(struct.pack(">III", 0x80030006, 4, 1))
    assert client.take_outgoing() == b""


def test_a_sent_frame_carries_its_end():
    assert spdy.Client().send(3, b"x", fin=True) == struct.pack(">II", 3, 1 << 24 | 1) + b"x"
