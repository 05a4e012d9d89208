"""Container logs in CRI's format (`<time> <stream> <P|F> <text>`): read with the options of `kubectl logs`, and rotated."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..apiserver.nodes import LogOptions
from ..base.clock import Clock, parse_timestamp

CHUNK_BYTES = 64 * 1024
FOLLOW_S = 0.2  # how often a log that is followed is looked at
ROTATE_BYTES, ROTATED_MAX = 10 * 1024 * 1024, 5  # kubelet's containerLogMaxSize and -Files
FALLBACK_LINES, FALLBACK_BYTES = 80, 2048


@dataclass(frozen=True, slots=True)
class Line:
    at: str
    stream: str
    partial: bool
    text: bytes  # with its newline, unless it is partial


def parse_line(raw: bytes) -> Line | None:
    parts = raw.rstrip(b"\n").split(b" ", 3)
    if len(parts) < 3:
        return None
    tags = parts[2].split(b":")
    text = parts[3] if len(parts) > 3 else b""
    partial = tags[0] == b"P"
    return Line(
        parts[0].decode("latin-1"), parts[1].decode("latin-1"), partial, text if partial else text + b"\n"
    )


def _since(options: LogOptions, now: float) -> float | None:
    if options.since_time:
        return parse_timestamp(options.since_time)
    return now - options.since_seconds if options.since_seconds is not None else None


def _time_of(text: str) -> float:
    """Of RFC 3339 with nanoseconds, of which Python takes six digits."""
    head, dot, rest = text.partition(".")
    if dot:
        digits = len(rest) - len(rest.lstrip("0123456789"))
        text = f"{head}.{rest[:6] if digits > 6 else rest[:digits]}{rest[digits:]}"
    return parse_timestamp(text)


class Selection:
    """Which lines are shown, and how; a limit of bytes ends it."""

    def __init__(self, options: LogOptions, now: float):
        self._options, self._since = options, _since(options, now)
        self._left = options.limit_bytes
        self._inside = False  # a line whose first part has been written: no timestamp again
        self.done = False

    def show(self, line: Line) -> bytes:
        options = self._options
        if options.stream not in ("All", "", None) and options.stream.lower() != line.stream:
            return b""
        if self._since is not None and _time_of(line.at) < self._since:
            return b""
        text = line.text
        if options.timestamps and not self._inside:
            text = line.at.encode() + b" " + text
        self._inside = line.partial
        if self._left is not None:
            text = text[: self._left]
            self._left -= len(text)
            self.done = self._left <= 0
        return text


def tail_offset(path: Path, lines: int) -> int:
    """Where the last `lines` lines of a file begin, read from its end. (Like kubelet it counts the file's own lines.)"""
    position = path.stat().st_size
    if lines <= 0:
        return position
    left = lines + 1  # the newline before the first of them
    with path.open("rb") as file:
        while position > 0:
            step = min(CHUNK_BYTES, position)
            position -= step
            file.seek(position)
            block = file.read(step)
            at = len(block)
            while left and (at := block.rfind(b"\n", 0, at)) >= 0:
                left -= 1
            if not left:
                return position + at + 1
    return 0


def lines_from(path: Path, offset: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(offset)
        yield from file


async def read_log(
    path: Path,
    options: LogOptions,
    selection: Selection,
    clock: Clock,
    running: Callable[[], Awaitable[bool]],
) -> AsyncIterator[bytes]:
    """The log's bytes; with `follow`, until the container has ended and all it wrote has been given."""
    offset = tail_offset(path, options.tail_lines) if options.tail_lines is not None else 0
    file = path.open("rb")
    try:
        file.seek(offset)
        rest = b""
        while True:
            ended = not options.follow or not await running()
            while chunk := file.read(CHUNK_BYTES):
                *whole, rest = (rest + chunk).split(b"\n")
                out = []
                for raw in whole:
                    if (line := parse_line(raw)) is not None:
                        out.append(selection.show(line))
                        if selection.done:
                            break
                if text := b"".join(out):
                    yield text
                if selection.done:
                    return
            if ended:
                return
            await clock.sleep(FOLLOW_S)
            if _was_rotated(file.fileno(), path):
                file.close()
                file, rest = path.open("rb"), b""
    finally:
        file.close()


def _was_rotated(descriptor: int, path: Path) -> bool:
    try:
        return os.fstat(descriptor).st_ino != path.stat().st_ino
    except FileNotFoundError:
        return False


def last_lines(path: Path) -> str:
    """For a termination message: the last 80 lines or 2,048 bytes."""
    if not path.exists():
        return ""
    lines = [line for raw in lines_from(path, tail_offset(path, FALLBACK_LINES)) if (line := parse_line(raw))]
    return b"".join(line.text for line in lines)[-FALLBACK_BYTES:].decode("utf-8", "replace")


def rotate(path: Path, stamp: str) -> bool:
    """Moves a log that has grown too big out of the way (`<attempt>.log.<time>`); whether the engine must reopen it."""
    try:
        if path.stat().st_size < ROTATE_BYTES:
            return False
    except FileNotFoundError:
        return False
    path.rename(path.with_name(f"{path.name}.{stamp}"))
    rotated = sorted(path.parent.glob(f"{path.name}.*"))
    for old in rotated[: -(ROTATED_MAX - 1)]:
        old.unlink()
    return True
