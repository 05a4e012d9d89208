"""`pilothouse cp`: files to and from containers, as a tar that the container's own `tar` packs or unpacks."""

from __future__ import annotations

import posixpath
import re
import tarfile
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

import click

from ..api.object import Object, name_of, namespace_of
from .errors import Failure
from .pods import container_of
from .streams import CHUNK, ExitCode, session, to_stderr
from .targets import path
from .verb import Call, flag, number, text, verb


@verb(
    "cp",
    text("-c", "--container", help="The container."),
    flag("--no-preserve", help="Without owners and modes."),
    number("--retries", default=0),
    help="Copy files: `cp FILE POD:PATH`, `cp NAMESPACE/POD:PATH FILE`.",
)
async def command(call: Call) -> int | None:
    if len(call.words) != 2:
        raise Failure("source and destination are required")
    (source_pod, source), (target_pod, target) = map(_parsed, call.words)
    if source_pod and target_pod:
        raise Failure("one of src or dest must be a local file specification")
    if not source or not target:
        raise Failure("filepath can not be empty")
    if not source_pod and not target_pod:
        raise Failure("one of src or dest must be a remote file specification")
    if target_pod and not Path(source).exists():
        raise Failure(f"{source} doesn't exist in local filesystem")
    namespace, _, name = (source_pod or target_pod).rpartition("/")
    where = path(await call.connection.kind("pods"), namespace or call.namespace, name)
    pod = await call.client.call("GET", where)
    try:
        if target_pod:
            await _upload(call, pod, Path(source), target)
        else:
            await _download(call, pod, source, Path(target))
    except ExitCode as ended:
        click.echo(str(ended), err=True)
        return ended.code
    return None


def _parsed(word: str) -> tuple[str, str]:
    """(pod, path); no pod for a local path."""
    pod, colon, file = word.partition(":")
    if not colon or pod.startswith((".", "/")):
        return "", word
    if not re.fullmatch(r"([^/]+/)?[^/]+", pod):
        raise Failure("filespec must match the canonical format: [[namespace/]pod:]file/path")
    return pod, file


async def _run(
    call: Call, pod: Object, words: list[str], into: IO[bytes] | None, source: IO[bytes] | None = None
) -> None:
    async def feed() -> AsyncIterator[bytes]:
        while source is not None and (data := source.read(CHUNK)):
            yield data

    await session(
        call.client.transport,
        path(await call.connection.kind("pods"), namespace_of(pod), name_of(pod), "exec"),
        container=container_of(pod, call.options.container)["name"],
        command=words,
        stdin=feed if source is not None else None,
        stdout=lambda data: None if into is None else _write(into, data),
        stderr=to_stderr if into or source else lambda data: None,
    )


def _write(file: IO[bytes], data: bytes) -> None:
    file.write(data)


async def _upload(call: Call, pod: Object, source: Path, target: str) -> None:
    try:
        await _run(call, pod, ["test", "-d", target], None)
        target = posixpath.join(target, source.resolve().name)
    except (ExitCode, Failure):
        pass  # no folder: the target is the file's own new name
    folder, base = posixpath.split(target.rstrip("/"))
    with tempfile.TemporaryFile() as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
            archive.add(source, arcname=base)
        packed.seek(0)
        keep = ["--no-same-permissions", "--no-same-owner"] if call.options.no_preserve else []
        await _run(call, pod, ["tar", *keep, "-xmf", "-", *(["-C", folder] if folder else [])], None, packed)


async def _download(call: Call, pod: Object, source: str, target: Path) -> None:
    with tempfile.TemporaryFile() as packed:
        await _run(call, pod, ["tar", "cf", "-", source], packed)
        packed.seek(0)
        prefix = posixpath.normpath(source.lstrip("/"))
        if target.is_dir():
            target = target / posixpath.basename(prefix)
        with tarfile.open(fileobj=packed) as archive:
            for member in archive:
                inside = posixpath.relpath(posixpath.normpath(member.name.lstrip("/")), prefix)
                if inside.startswith(".."):
                    click.echo(
                        f'warning: file "{member.name}" is outside target destination, skipping', err=True
                    )
                elif member.issym() or member.islnk():
                    click.echo(f'warning: skipping symlink: "{member.name}" -> "{member.linkname}"', err=True)
                elif member.isdir():
                    (target / inside).mkdir(parents=True, exist_ok=True)
                elif (content := archive.extractfile(member)) is not None:
                    file = target if inside == "." else target / inside
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(content.read())
                    file.chmod(member.mode & 0o777)
