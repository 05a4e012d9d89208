"""Starts, adopts and stops a node's private containerd, and cleans up behind it.

It runs in a session of its own, so that it and the containers survive the death of our server, which adopts it again
by its pid file. `stop` leaves no process, mount, network namespace or cgroup of this instance; `remove` no file either.
Shims are found by the socket on their command line, containers as their descendants: nothing is ended by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .containerd_config import ContainerdConfig, files
from .interface import EngineError

if TYPE_CHECKING:
    from ..base.clock import Clock

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0
LOG_BYTES_MAX = 8 * 1024 * 1024  # an older log is cut when containerd starts
SEARCH_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/local/sbin"))
CNI_BIN_DIRS = ("/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni")
CNI_PLUGINS = ("bridge", "host-local", "loopback")
CNI_RESULTS = Path("/var/lib/cni/results")  # libcni's cache, a constant of containerd's go-cni
PROGRAMS = {  # program → Debian's package
    "containerd": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
}
CAP_SYS_RESOURCE = 24
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8


def program(name: str) -> str | None:
    return shutil.which(name, path=SEARCH_PATH)


def cni_bin_dir() -> str | None:
    """Where all the CNI plugins that we use are."""
    found = (d for d in CNI_BIN_DIRS if all(os.access(f"{d}/{plugin}", os.X_OK) for plugin in CNI_PLUGINS))
    return next(found, None)


def engine_missing() -> str:
    """ "" where this machine can run containers, else what is missing and what to do about it."""
    if sys.platform != "linux":
        return f"containers need Linux, this is {sys.platform}"
    packages = {package for name, package in PROGRAMS.items() if program(name) is None}
    if cni_bin_dir() is None:
        packages.add("containernetworking-plugins")
    if packages:
        wanted = " ".join(sorted(packages))
        return f"some programs are missing; install them: apt-get install --no-install-recommends {wanted}"
    if os.geteuid() != 0:
        return "it needs root for network namespaces and mounts; run it with sudo"
    return ""


def oom_score_adj_restricted() -> bool:
    """Whether lowering oom_score_adj fails here (no CAP_SYS_RESOURCE): containerd must then not try."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return not int(line.split()[1], 16) >> CAP_SYS_RESOURCE & 1
    return True


def overlay_works(directory: Path) -> bool:
    """Tries an overlay mount below this directory: some file systems cannot carry one."""
    with tempfile.TemporaryDirectory(dir=directory, prefix=".overlay-") as scratch:
        for name in ("lower", "upper", "work", "merged"):
            os.mkdir(f"{scratch}/{name}")
        options = f"lowerdir={scratch}/lower,upperdir={scratch}/upper,workdir={scratch}/work"
        libc = ctypes.CDLL(None, use_errno=True)
        target = f"{scratch}/merged".encode()
        if libc.mount(b"overlay", target, b"overlay", 0, options.encode()) != 0:
            return False
        libc.umount2(target, _MNT_DETACH)
        return True


def fitted(config: ContainerdConfig) -> ContainerdConfig:
    """The same configuration with what this machine decides: plugins' directory, snapshotter, oom_score_adj."""
    config.root.mkdir(parents=True, exist_ok=True)
    return replace(
        config,
        cni_bin_dir=cni_bin_dir() or config.cni_bin_dir,
        snapshotter="overlayfs" if overlay_works(config.root) else "native",
        restrict_oom_score_adj=oom_score_adj_restricted(),
    )


class ContainerdProcess:
    """One private containerd. `cni_conflist` is the content of its CNI configuration."""

    def __init__(self, config: ContainerdConfig, clock: Clock, cni_conflist: dict[str, object] | None = None):
        self.config, self.clock, self.cni_conflist = config, clock, cni_conflist
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running containerd, 0 when it does not run."""
        if self._process is not None:
            if self._process.poll() is None:
                return self._process.pid
            self._process = None
        with contextlib.suppress(OSError, ValueError):
            pid = int(self.config.pid_file.read_text())
            if str(self.config.config_file) in _command_line(pid):
                return pid
        return 0

    async def start(self) -> bool:
        """Starts it, or adopts the one that runs (then False). Returns when it answers. Raises EngineError."""
        adopted = self.pid != 0
        if not adopted:
            await asyncio.to_thread(self._launch)
        deadline = self.clock.monotonic() + START_TIMEOUT_S
        while not await self._answers():
            if not self.pid:
                raise EngineError("UNAVAILABLE", f"containerd ended while starting:\n{self._log_tail()}")
            if self.clock.monotonic() > deadline:
                raise EngineError("UNAVAILABLE", f"containerd does not answer; see {self.config.log_file}")
            await self.clock.sleep(0.02)
        await self._load_pause()
        return not adopted

    async def _load_pause(self) -> None:
        """Every sandbox's first process comes from an image; ours is made here, so that no registry is asked."""
        from .containerd import ContainerdEngine
        from .images import load_image, pause_image

        engine = ContainerdEngine(str(self.config.socket), self.clock, self.config.snapshotter)
        try:
            if await engine.image_status(self.config.pause_image) is None:
                archive = self.config.state / "pause.tar"
                archive.write_bytes(pause_image(self.config.pause_image))
                await load_image(engine, archive)
                archive.unlink()
        finally:
            await engine.close()

    def _launch(self) -> None:
        config = self.config
        for path, text in files(config, self.cni_conflist).items():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.write_text(text)
        config.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        config.socket.unlink(missing_ok=True)
        containerd = program("containerd")
        if containerd is None:
            raise EngineError("UNAVAILABLE", engine_missing())
        command = [containerd, "--config", str(config.config_file)]
        if config.netns:
            command = [program("nsenter") or "nsenter", f"--net=/run/netns/{config.netns}", *command]
        if config.log_file.exists() and config.log_file.stat().st_size > LOG_BYTES_MAX:
            config.log_file.unlink()
        with open(config.log_file, "ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                env={"PATH": SEARCH_PATH, "GOGC": "50"} | _proxies(),
            )
        config.pid_file.write_text(str(self._process.pid))

    async def _answers(self) -> bool:
        """Whether CRI is served."""
        if not self.config.socket.exists():
            return False
        from .containerd import ContainerdEngine

        engine = ContainerdEngine(str(self.config.socket), self.clock)
        try:
            await engine.version()
        except EngineError as error:
            if error.code == "UNIMPLEMENTED":  # containerd serves, but could not load its CRI plugin
                raise EngineError(error.code, f"containerd has no CRI:\n{self._log_tail()}") from None
            return False
        finally:
            await engine.close()
        return True

    def _log_tail(self) -> str:
        with contextlib.suppress(OSError):
            return "\n".join(self.config.log_file.read_text(errors="replace").splitlines()[-5:])
        return ""

    async def ended(self) -> None:
        """Returns once the containerd that runs has ended."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:  # it runs no more, or (pid 0) never did
            return
        loop, gone = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(descriptor, gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    async def kill(self) -> None:
        """Ends containerd alone, at once; its containers run on (a crash, as a test or a restart wants it)."""
        if pid := self.pid:
            await self._end([pid], signal.SIGKILL)
        self.config.pid_file.unlink(missing_ok=True)

    async def stop(self, grace_s: float = 0.0) -> None:
        """Ends containerd and all that ran in it; what it knew (images, dead containers) stays in `root`.

        Containers get SIGTERM, and those that listen to it so much time.
        """
        containerd = self.pid
        if containerd:
            await self._end([containerd], signal.SIGKILL)  # first, so that nothing is started any more
        cgroups: set[str] = set()
        deadline = self.clock.monotonic() + STOP_TIMEOUT_S
        while shims := await asyncio.to_thread(shims_of, str(self.config.socket)):
            inside = await asyncio.to_thread(descendants, shims)
            cgroups.update(await asyncio.to_thread(cgroups_of, inside))
            if grace_s > 0:
                await self._ask_to_end([pid for pid in inside if listens_as_init(pid)], grace_s)
                grace_s, deadline = 0.0, deadline + grace_s
            await self._end(inside, signal.SIGKILL)
            await self._end(shims, signal.SIGKILL)
            if self.clock.monotonic() > deadline:
                raise EngineError("UNAVAILABLE", f"these processes do not end: {shims}")
        await asyncio.to_thread(self._clean, cgroups)

    async def remove(self) -> None:
        """`stop`, and every file of it."""
        await self.stop()
        await asyncio.to_thread(shutil.rmtree, self.config.root, True)

    def _clean(self, cgroups: set[str]) -> None:
        config = self.config
        for address in config.state.glob("run/io.containerd.runtime.v2.task/*/*/address"):
            with contextlib.suppress(OSError):
                os.unlink(address.read_text().strip().removeprefix("unix://"))
        sandboxes = [path.name for path in config.state.glob("run/io.containerd.grpc.v1.cri/sandboxes/*")]
        for sandbox_id in sandboxes:
            for result in CNI_RESULTS.glob(f"*-{sandbox_id}-*"):
                result.unlink(missing_ok=True)
        unmount_below((config.state, config.root))
        for path in sorted(cgroups, key=len, reverse=True):
            with contextlib.suppress(OSError):  # shared with somebody who still runs, or gone
                os.rmdir(path)
        shutil.rmtree(config.state, ignore_errors=True)
        if config.ipam_dir is not None:
            shutil.rmtree(config.ipam_dir, ignore_errors=True)

    async def _ask_to_end(self, pids: list[int], grace_s: float) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = self.clock.monotonic() + grace_s
        while any(map(self._alive, pids)) and self.clock.monotonic() < deadline:
            await self.clock.sleep(0.02)

    async def _end(self, pids: Iterable[int], number: int) -> None:
        """Signals these processes and waits until each is gone."""
        waiting = list(pids)
        for pid in waiting:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = self.clock.monotonic() + STOP_TIMEOUT_S
        while waiting := [pid for pid in waiting if self._alive(pid)]:
            if self.clock.monotonic() > deadline:
                raise EngineError("UNAVAILABLE", f"these processes do not end: {waiting}")
            await self.clock.sleep(0.005)

    def _alive(self, pid: int) -> bool:
        if self._process is not None and self._process.pid == pid:
            return self._process.poll() is None
        return _state(pid) not in ("", "Z", "X")


def remove_cgroups(parent: str) -> None:
    """Removes an empty tree of cgroups (`/pilothouse-demo`, say) from every hierarchy."""
    for root in _cgroup_roots():
        base = Path(root + "/" + parent.strip("/"))
        for directory, _, _ in os.walk(base, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)


def shims_of(socket: str) -> list[int]:
    """Pids of the shims that serve the containerd on this socket."""
    wanted = ["-address", socket]

    def serves(arguments: list[str]) -> bool:
        return "containerd-shim" in arguments[0] and any(
            arguments[i : i + 2] == wanted for i in range(len(arguments))
        )

    return [pid for pid in _pids() if serves(_arguments(pid)) and _state(pid) not in ("", "Z", "X")]


def descendants(roots: Iterable[int]) -> list[int]:
    """All processes below these, youngest generation last; a shim adopts the orphans of its containers."""
    children: dict[int, list[int]] = {}
    for pid in _pids():
        with contextlib.suppress(OSError, IndexError, ValueError):
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(pid)
    found, level = [], list(roots)
    while level:
        level = [child for pid in level for child in children.get(pid, ())]
        found += level
    return found


def listens_as_init(pid: int) -> bool:
    """Whether it is the first process of its PID namespace, and has a handler for SIGTERM."""
    facts = {}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            facts[name] = value.split()
    caught = int((facts.get("SigCgt") or ["0"])[0], 16)
    return facts.get("NSpid", [""])[-1] == "1" and bool(caught >> (signal.SIGTERM - 1) & 1)


def cgroups_of(pids: Iterable[int]) -> set[str]:
    """Directories of the cgroups that these processes are in, for those that a container engine made."""
    own = set(_cgroup_paths("self"))
    return {path for pid in pids for path in _cgroup_paths(str(pid)) if path not in own}


def _cgroup_paths(pid: str) -> list[str]:
    found = []
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            name = controllers.removeprefix("name=")
            for root in (f"/sys/fs/cgroup/{name}", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
                if path != "/" and os.path.isdir(root + path):
                    found.append(root + path)
                    break
    return found


def _cgroup_roots() -> list[str]:
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in mounts if line.partition(" - ")[2].startswith("cgroup")]


def unmount_below(directories: Iterable[Path]) -> None:
    """Takes away every mount below these directories, the innermost first."""
    prefixes = tuple(f"{directory}/" for directory in directories)
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    libc = ctypes.CDLL(None, use_errno=True)
    for point in reversed(points):
        path = point.encode().decode("unicode_escape")  # mountinfo writes a blank as \040
        if path.startswith(prefixes):
            libc.umount2(path.encode(), _MNT_DETACH | _UMOUNT_NOFOLLOW)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return [""]


def _command_line(pid: int) -> str:
    return " ".join(_arguments(pid)) if _state(pid) not in ("", "Z", "X") else ""


def _state(pid: int) -> str:
    """One letter of proc(5), "" for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def _proxies() -> dict[str, str]:
    """The environment's proxies, for pulls from registries."""
    names = ("http_proxy", "https_proxy", "no_proxy")
    return {name: value for name, value in os.environ.items() if name.lower() in names}
