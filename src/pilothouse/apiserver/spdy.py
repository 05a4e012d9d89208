"""SPDY/3.1 frames, sans I/O: as much as a client of the engine's streaming server needs (exec, attach).

Streams are opened by us only, with odd numbers. Header blocks are zlib with a dictionary that the draft fixes, one context a direction for the whole
connection. There is no flow control: the servers we speak to (moby/spdystream) neither send nor heed WINDOW_UPDATE.
The rules: https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FIN = 0x01
VERSION = 3
FRAME_BYTES_MAX = 1 << 24

# Section 2.6.10.1 of the draft: words, each after its length in four bytes, then plain text.
_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow authorization "
    "cache-control connection content-base content-encoding content-language content-length content-location content-md5 "
    "content-range content-type date etag expect expires from host if-match if-modified-since if-none-match if-range "
    "if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer "
    "retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status"
).split() + ["200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin"]
_TEXT = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found"
    "500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 "
    "Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,"
    "text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(struct.pack(">I", len(word)) + word.encode() for word in _WORDS) + _TEXT.encode()
DICTIONARY_ADLER32 = 0xE3C6A7C2


class SpdyError(Exception):
    """The peer breaks the protocol."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The peer has accepted a stream."""

    stream: int
    headers: dict[str, str]
    fin: bool


@dataclass(frozen=True, slots=True)
class Data:
    stream: int
    data: bytes
    fin: bool


@dataclass(frozen=True, slots=True)
class Reset:
    stream: int
    status: int


@dataclass(frozen=True, slots=True)
class GoAway:
    last_stream: int


Event = Reply | Data | Reset | GoAway


class Client:
    """`open`, `send` give bytes for the wire; `receive` takes bytes and gives events. Answers to pings wait in `take_outgoing`."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(9, zdict=DICTIONARY)
        self._decompressor = zlib.decompressobj(zdict=DICTIONARY)
        self._next_stream = 1
        self._buffer = bytearray()
        self._outgoing = bytearray()

    def open(self, headers: dict[str, str], *, fin: bool = False) -> tuple[int, bytes]:
        stream = self._next_stream
        self._next_stream += 2
        body = struct.pack(">IIBB", stream, 0, 0, 0) + self._pack(headers)
        return stream, _control(SYN_STREAM, FIN if fin else 0, body)

    def send(self, stream: int, data: bytes, *, fin: bool = False) -> bytes:
        assert len(data) < FRAME_BYTES_MAX
        return struct.pack(">II", stream, (FIN if fin else 0) << 24 | len(data)) + data

    def take_outgoing(self) -> bytes:
        data = bytes(self._outgoing)
        self._outgoing.clear()
        return data

    def receive(self, data: bytes) -> list[Event]:
        self._buffer += data
        events: list[Event] = []
        offset = 0
        while len(self._buffer) - offset >= 8:
            first, second = struct.unpack_from(">II", self._buffer, offset)
            flags, length = second >> 24, second & 0xFFFFFF
            if len(self._buffer) - offset < 8 + length:
                break
            body = bytes(self._buffer[offset + 8 : offset + 8 + length])
            offset += 8 + length
            if first & 0x80000000:
                event = self._control_frame(first, flags, body)
                if event is not None:
                    events.append(event)
            else:
                events.append(Data(first, body, bool(flags & FIN)))
        del self._buffer[:offset]
        return events

    def _control_frame(self, first: int, flags: int, body: bytes) -> Event | None:
        version, kind = first >> 16 & 0x7FFF, first & 0xFFFF
        if version != VERSION:
            raise SpdyError(f"version {version}")
        try:
            if kind in (SYN_REPLY, HEADERS):
                (stream,) = struct.unpack_from(">I", body)
                headers = self._unpack(body[4:])
                return Reply(stream & 0x7FFFFFFF, headers, bool(flags & FIN)) if kind == SYN_REPLY else None
            if (
                kind == SYN_STREAM
            ):  # servers of exec open none; its headers count for the context all the same
                self._unpack(body[10:])
                return None
            if kind == RST_STREAM:
                stream, status = struct.unpack_from(">II", body)
                return Reset(stream & 0x7FFFFFFF, status)
            if kind == PING:
                (number,) = struct.unpack_from(">I", body)
                if number % 2 == 0:  # the server's own
                    self._outgoing += _control(PING, 0, body[:4])
                return None
            if kind == GOAWAY:
                return GoAway(struct.unpack_from(">I", body)[0])
        except (struct.error, zlib.error) as error:
            raise SpdyError(str(error)) from None
        return None

    def _pack(self, headers: dict[str, str]) -> bytes:
        block = struct.pack(">I", len(headers))
        for name, value in headers.items():
            for text in (name.lower(), value):
                encoded = text.encode()
                block += struct.pack(">I", len(encoded)) + encoded
        return self._compressor.compress(block) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def _unpack(self, data: bytes) -> dict[str, str]:
        block = self._decompressor.decompress(data, 1 << 20)
        (count,) = struct.unpack_from(">I", block)
        offset = 4
        headers: dict[str, str] = {}
        for _ in range(count):
            texts = []
            for _ in range(2):
                (length,) = struct.unpack_from(">I", block, offset)
                texts.append(block[offset + 4 : offset + 4 + length].decode("utf-8", "replace"))
                offset += 4 + length
            headers[texts[0]] = texts[1].replace("\0", ", ")
        return headers


def _control(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack(">II", 0x80000000 | VERSION << 16 | kind, flags << 24 | len(body)) + body
