"""Container images without a registry: builds OCI image archives, and loads them into a containerd.

An archive is an OCI image layout in a tar, as `ctr images import` and `docker load` take it. The same files give the same
digests everywhere: entries are sorted, and owners, times and modes come from the caller alone. Layers are not
compressed: they are read once, from a local disk, and unpacking is what takes the time.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import platform
import struct
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .interface import EngineError

if TYPE_CHECKING:
    from .containerd import ContainerdEngine

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
EPOCH = "1970-01-01T00:00:00Z"
CTR_TIMEOUT_S = 300.0
SEEN_TIMEOUT_S = 10.0  # until CRI shows what was imported


@dataclass(frozen=True, slots=True)
class File:
    """One entry of a layer: a directory (`data` None, no link), a file, a symbolic link or a hard link."""

    path: str  # without a leading /
    data: bytes | None = None
    mode: int = 0o755
    link: str = ""  # a symbolic link's target
    hard_link: str = ""  # the path of an entry of the same layer
    uid: int = 0
    gid: int = 0


def layer(entries: Iterable[File]) -> bytes:
    """The layer's tar. Parents that are missing are made, with mode 0755."""
    by_path = {entry.path.strip("/"): entry for entry in entries}
    for path in list(by_path):
        for parent in Path(path).parents:
            if str(parent) != ".":
                by_path.setdefault(str(parent), File(str(parent)))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        # hard links after everything else: their targets must be there
        for path, entry in sorted(by_path.items(), key=lambda item: (bool(item[1].hard_link), item[0])):
            info = tarfile.TarInfo(path)
            info.mode, info.uid, info.gid = entry.mode, entry.uid, entry.gid
            if entry.link:
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
            elif entry.hard_link:
                info.type, info.linkname = tarfile.LNKTYPE, entry.hard_link.strip("/")
            elif entry.data is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(entry.data)
            tar.addfile(info, io.BytesIO(entry.data) if entry.data is not None else None)
    return out.getvalue()


def image_archive(
    tags: Sequence[str], layers: Sequence[bytes], config: dict[str, Any], architecture: str = ""
) -> bytes:
    """The archive. `config` is the OCI image config's own `config` (Env, Cmd, Entrypoint, User, …).

    `tags` are full names: docker.io/library/busybox:1.
    """
    blobs: dict[str, bytes] = {}

    def add(content: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    described = [add(content, LAYER_TYPE) for content in layers]
    image = {
        "architecture": architecture or machine_architecture(),
        "os": "linux",
        "created": EPOCH,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [item["digest"] for item in described]},
        "history": [{"created": EPOCH, "created_by": "pilothouse"} for _ in described],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": add(_json(image), CONFIG_TYPE),
        "layers": described,
    }
    described_manifest = add(_json(manifest), MANIFEST_TYPE)
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "manifests": [
            described_manifest
            | {
                "annotations": {
                    "io.containerd.image.name": tag,
                    "org.opencontainers.image.ref.name": tag.rpartition(":")[2],
                }
            }
            for tag in tags
        ],
    }
    entries = [File(path, content, 0o644) for path, content in blobs.items()]
    entries.append(File("oci-layout", _json({"imageLayoutVersion": "1.0.0"}), 0o644))
    entries.append(File("index.json", _json(index), 0o644))
    return layer(entries)


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def machine_architecture() -> str:
    """This machine, as Go and OCI call it."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def archive_tags(archive: Path) -> list[str]:
    """The names in an image archive: of an OCI layout, or of `docker save`. Raises ValueError."""
    try:
        with tarfile.open(archive) as tar:
            names = set(tar.getnames())
            if "index.json" in names:
                manifests = json.load(_member(tar, "index.json"))["manifests"]
                found = [m.get("annotations", {}).get("io.containerd.image.name", "") for m in manifests]
                if any(found):
                    return [tag for tag in found if tag]
            if "manifest.json" in names:
                saved = json.load(_member(tar, "manifest.json"))
                return [full_name(tag) for item in saved for tag in item.get("RepoTags") or ()]
            return []
    except (OSError, tarfile.TarError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{archive} is not an image archive: {error}") from None


def _member(tar: tarfile.TarFile, name: str) -> Any:
    file = tar.extractfile(name)
    assert file is not None, name
    return file


def full_name(image: str) -> str:
    """An image's name as containerd keeps it: nginx → docker.io/library/nginx:latest (distribution/reference)."""
    name, at, digest = image.partition("@")
    first, slash, _ = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        name = f"docker.io/{name}" if slash else f"docker.io/library/{name}"
    if not at and ":" not in name.rpartition("/")[2]:
        name += ":latest"
    return name + at + digest


async def ctr(engine: ContainerdEngine, *arguments: str) -> None:
    """Runs containerd's own client, for what CRI cannot do. Raises EngineError."""
    from .containerd_process import engine_missing, program

    client = program("ctr")
    if client is None:
        raise EngineError("UNAVAILABLE", engine_missing())
    process = await asyncio.create_subprocess_exec(
        *(client, "--address", engine.socket_path, "--namespace", "k8s.io", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(CTR_TIMEOUT_S):
            _, err = await process.communicate()
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    if process.returncode:
        raise EngineError("UNKNOWN", f"{arguments[-1]}: {err.decode(errors='replace').strip()}")


async def load_image(engine: ContainerdEngine, archive: Path) -> list[str]:
    """Imports an archive into the engine's containerd; returns the names, once CRI shows them."""
    tags = await asyncio.to_thread(archive_tags, archive)
    if not tags:
        raise ValueError(f"{archive} names no image: save it by its name (docker save nginx:latest)")
    await ctr(engine, "images", "import", "--snapshotter", engine.snapshotter, str(archive))
    deadline = engine.clock.monotonic() + SEEN_TIMEOUT_S
    for tag in tags:
        while await engine.image_status(tag) is None:
            if engine.clock.monotonic() > deadline:
                raise EngineError("DEADLINE_EXCEEDED", f"{tag} was imported, but the engine does not show it")
            await engine.clock.sleep(0.01)
    return tags


# -- pause

_BASE = 0x400000  # where the program is mapped
_HEADERS = 64 + 56  # ELF header, one program header
_SIGCHLD, _SIG_IGN, _SIGSET_BYTES = 17, 1, 8


def pause_program(architecture: str) -> bytes:
    """A static ELF program that does nothing, for ever: sigaction(SIGCHLD, SIG_IGN), then waits in a loop.

    Ignoring SIGCHLD makes the kernel reap: as PID 1 of a shared PID namespace, it inherits other containers' orphans.
    """
    code, machine = {"amd64": (_pause_amd64, 62), "arm64": (_pause_arm64, 183)}[architecture]
    size = _HEADERS + len(code(0))
    action = _BASE + size  # struct kernel_sigaction: handler, flags, (restorer,) mask
    content = code(action) + struct.pack("<4Q", _SIG_IGN, 0, 0, 0)
    total = _HEADERS + len(content)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01".ljust(16, b"\0"),  # 64 bits, little endian, version 1
        *(2, machine, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0),
    )
    read_execute, page = 5, 0x10000
    segment = struct.pack("<IIQQQQQQ", 1, read_execute, 0, _BASE, _BASE, total, total, page)
    return header + segment + content


def _pause_amd64(action: int) -> bytes:
    return b"".join(
        [
            b"\xb8" + struct.pack("<I", 13),  # mov eax, rt_sigaction
            b"\xbf" + struct.pack("<I", _SIGCHLD),  # mov edi, SIGCHLD
            b"\xbe" + struct.pack("<I", action),  # mov esi, action
            b"\x31\xd2",  # xor edx, edx
            b"\x41\xba" + struct.pack("<I", _SIGSET_BYTES),  # mov r10d, 8
            b"\x0f\x05",  # syscall
            b"\xb8" + struct.pack("<I", 34),  # again: mov eax, pause
            b"\x0f\x05",  # syscall
            b"\xeb\xf7",  # jmp again
        ]
    )


def _pause_arm64(action: int) -> bytes:
    def movz(register: int, value: int) -> int:
        return 0xD2800000 | value << 5 | register

    def movk_16(register: int, value: int) -> int:  # bits 16 to 31
        return 0xF2A00000 | value << 5 | register

    svc = 0xD4000001
    setup = [movz(8, 134), movz(0, _SIGCHLD), movz(1, action & 0xFFFF), movk_16(1, action >> 16)]
    setup += [movz(2, 0), movz(3, _SIGSET_BYTES), svc]  # rt_sigaction
    loop = [
        movz(8, 73),
        *(movz(register, 0) for register in range(5)),
        svc,
    ]  # ppoll of nothing, without an end
    back = 0x14000000 | (-len(loop) & 0x3FFFFFF)  # b loop
    return struct.pack(f"<{len(setup) + len(loop) + 1}I", *setup, *loop, back)


def pause_image(tag: str, architecture: str = "") -> bytes:
    """The archive of the image that every sandbox starts from."""
    architecture = architecture or machine_architecture()
    content = layer([File("pause", pause_program(architecture), 0o755)])
    return image_archive([tag], [content], {"Entrypoint": ["/pause"], "User": "65535:65535"}, architecture)
