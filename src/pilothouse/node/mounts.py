"""Mounts by system calls: a pod has one for each volume that must not touch the disk, so no process is started for them."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

MNT_DETACH = 2


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, path: Path) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))


def mount_tmpfs(path: Path, size_bytes: int | None = None) -> None:
    """Idempotent."""
    path.mkdir(parents=True, exist_ok=True)
    if os.path.ismount(path):
        return
    options = "mode=1777" + (f",size={size_bytes}" if size_bytes else "")
    _check(_libc().mount(b"tmpfs", os.fsencode(path), b"tmpfs", ctypes.c_ulong(0), options.encode()), path)


def is_mounted(path: Path) -> bool:
    """Also for a bind mount within one filesystem, which `os.path.ismount` does not see."""
    name = os.path.realpath(path).replace(" ", "\\040")
    return any(line.split()[4] == name for line in Path("/proc/self/mountinfo").read_text().splitlines())


def unmount(path: Path) -> None:
    """Also when something still uses it."""
    if is_mounted(path):
        _check(_libc().umount2(os.fsencode(path), MNT_DETACH), path)
