"""What has been committed since the last checkpoint: a file that is only appended to, so that a commit is one write, which is on the disk
when it returns (O_DSYNC: each system call on its own would cost a turn of the GIL more).

A record is a header (epoch, length, CRC-32) and its rows. Each checkpoint begins a new epoch at the beginning of the file, over what is there: a record
of another epoch, or one that is torn, is the end. So nothing has to be cut off, and the blocks of the file are there before they are needed.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

Row = tuple[bytes, int, int]  # value, create revision, modification revision
Rows = dict[str, Row | None]  # None: the key is gone

SIZE = 4 << 20  # bytes between two checkpoints, about
_HEADER = struct.Struct("<QIIQ")  # epoch, length, CRC-32 of what follows, revisions reserved (0: as before)
_ROW = struct.Struct("<iiQQ")  # lengths of key and value (-1: gone), revisions


class Journal:
    def __init__(self, path: Path):
        self.offset = 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DSYNC, 0o600)
        try:
            if os.fstat(self._file).st_size < SIZE:
                self._lay_out(path.parent)
        except BaseException:
            os.close(self._file)
            raise

    def _lay_out(self, folder: Path) -> None:
        """Blocks that have been written once need no change of the file system's own data again."""
        end = os.fstat(self._file).st_size
        os.pwrite(self._file, bytes(SIZE - end), end)
        os.fsync(self._file)
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def replay(self, epoch: int) -> Iterator[tuple[Rows, int]]:
        """(rows, revisions reserved) of each commit of this epoch; the next one goes after them."""
        while len(header := os.pread(self._file, _HEADER.size, self.offset)) == _HEADER.size:
            written_in, length, checksum, reserved = _HEADER.unpack(header)
            if written_in != epoch:
                return
            body = os.pread(self._file, length, self.offset + _HEADER.size)
            if len(body) != length or _checksum(epoch, reserved, body) != checksum:
                return
            yield _decode(body), reserved
            self.offset += _HEADER.size + length

    def append(self, epoch: int, rows: Rows, reserved: int) -> None:
        """Returns once it is on the disk. Raises OSError; then it is not, and the next one takes its place."""
        body = _encode(rows)
        data = _HEADER.pack(epoch, len(body), _checksum(epoch, reserved, body), reserved) + body
        try:
            written = 0
            while written < len(data):
                count = os.pwrite(self._file, data[written:] if written else data, self.offset + written)
                if not count:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                written += count
        except OSError:
            os.pwrite(self._file, bytes(_HEADER.size), self.offset)  # what was refused must not come back
            raise
        self.offset += len(data)

    def close(self) -> None:
        os.close(self._file)


def _checksum(epoch: int, reserved: int, body: bytes) -> int:
    return zlib.crc32(body, epoch & 0xFFFFFFFF) ^ (reserved & 0xFFFFFFFF)


def _encode(rows: Rows) -> bytes:
    parts = []
    for key, row in rows.items():
        name = key.encode()
        value, created, modified = row if row is not None else (b"", 0, 0)
        parts += [_ROW.pack(len(name), -1 if row is None else len(value), created, modified), name, value]
    return b"".join(parts)


def _decode(body: bytes) -> Rows:
    rows: Rows = {}
    at = 0
    while at < len(body):
        name, length, created, modified = _ROW.unpack_from(body, at)
        at += _ROW.size
        key = body[at : at + name].decode()
        at += name
        rows[key] = None if length < 0 else (body[at : at + length], created, modified)
        at += max(length, 0)
    return rows
