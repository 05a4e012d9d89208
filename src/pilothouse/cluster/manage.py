"""What `pilothouse up`, `stop`, `delete`, `list` and `status` do: from outside, to the cluster's daemon and its data.

A running cluster is one process, the daemon (`daemon.py`), which holds a lock on its pid file as long as it lives;
everything here works too when it was killed: what it left behind is found by name and taken away.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from ..base.clock import Clock
from . import kubeconfig
from .claims import claim, machine_lock, network_index
from .config import ClusterConfig, ConfigError
from .engines import engine_module
from .paths import ClusterPaths, root

Progress = Callable[[str], None]
STOP_TIMEOUT_S = 60.0
STOP_GRACE_S = 10.0  # for containers that listen to SIGTERM
LOG_TAIL_LINES = 15
LOG_BYTES_MAX = 16 * 1024 * 1024  # a longer log is put aside at the next start


class ClusterError(Exception):
    """What was asked cannot be done; the message says why, and what to do next."""


def clusters() -> list[ClusterPaths]:
    """All clusters of this user that have a data directory where data directories are by default."""
    directory = root() / "clusters"
    if not directory.is_dir():
        return []
    found = [
        ClusterPaths(entry.name, _real(entry)) for entry in sorted(directory.iterdir()) if entry.is_dir()
    ]
    try:
        return [paths for paths in found if paths.config.exists()]
    except PermissionError as error:
        raise ClusterError(
            f"{error.filename} is not yours: say it as whoever said `pilothouse up` (`sudo -E pilothouse …`)"
        ) from error


def _real(entry: Path) -> Path:
    """A cluster with a --data-dir of its own is a link in the usual place."""
    return entry.resolve() if entry.is_symlink() else entry


def find(name: str) -> ClusterPaths:
    """Raises ClusterError when there is no such cluster."""
    for paths in clusters():
        if paths.name == name:
            return paths
    known = ", ".join(paths.name for paths in clusters()) or "none"
    raise ClusterError(f"there is no cluster {name!r} (there is: {known}); `pilothouse up {name}` makes one")


def chosen() -> str:
    """The cluster that the kubeconfig's current context names, else the default one."""
    current = str(kubeconfig.read(kubeconfig.default_path()).get("current-context") or "")
    prefix = kubeconfig.context_name("")
    return current.removeprefix(prefix) if current.startswith(prefix) else "default"


def print_table(rows: Sequence[Sequence[str]], say: Callable[[str], object]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def daemon_pid(paths: ClusterPaths) -> int:
    """The pid of the running daemon; 0 when none runs. A stale file does not count: the lock does."""
    try:
        with paths.pid.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return 0
            except BlockingIOError:
                return int(file.read().strip() or 0)
    except (FileNotFoundError, ValueError):
        return 0


@contextmanager
def _alone(paths: ClusterPaths) -> Iterator[None]:
    """One command at a time starts, stops or deletes a cluster."""
    try:
        descriptor = os.open(paths.data, os.O_RDONLY)
    except FileNotFoundError:
        raise ClusterError(f"cluster {paths.name!r} has just been deleted") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ClusterError(
                f"another command starts, stops or deletes cluster {paths.name!r} just now; "
                "try again when it has ended"
            ) from None
        yield
    finally:
        os.close(descriptor)


def up(config: ClusterConfig, given: set[str], clock: Clock, progress: Progress) -> ClusterConfig:
    """Starts a cluster, new or stopped, and returns when it is ready. `given`: the options that were said explicitly;
    for a cluster that exists, the others stay as they were."""
    config.check()
    if config.data_dir:
        config = replace(config, data_dir=os.path.abspath(config.data_dir))
    paths = ClusterPaths.of(config.name, config.data_dir)
    link = root() / "clusters" / config.name
    with ExitStack() as alone:
        with machine_lock():
            if link.is_symlink() and not link.exists():  # its --data-dir was deleted by hand
                link.unlink()
            if link.exists():
                if config.data_dir and _real(link) != paths.data.resolve():
                    raise ClusterError(
                        f"there is a cluster {config.name!r} already, with its data in {_real(link)}; choose another name"
                    )
                paths = ClusterPaths(config.name, _real(link))
            before = _before(config, paths)
            if before is not None:
                config = _changed(before, replace(before, **{name: getattr(config, name) for name in given}))
            target = Path(config.kubeconfig) if config.kubeconfig else kubeconfig.default_path()
            kubeconfig.read(target)  # one that cannot be read is said before anything is made
            config = _settle(config, paths)
            if engine_module(config.engine).REAL:
                claim(config, paths, lambda other, its: teardown(other, its, progress))
            paths.data.mkdir(parents=True, exist_ok=True, mode=0o700)
            alone.enter_context(_alone(paths))
            if config.data_dir and not link.exists():
                link.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                link.symlink_to(paths.data.resolve())
            try:
                config.save(paths.config)
            except OSError as error:
                if before is None:
                    _remove_files(paths)
                raise ClusterError(f"cannot write {paths.config}: {error.strerror}") from error
            # containers that a killed daemon left, and that shall go on whatever happens now
            ran = any(paths.run.glob("*/containerd.pid"))
        try:
            _start_daemon(config, paths, clock, progress)
            config = ClusterConfig.load(paths.config)
            kubeconfig.add(target, kubeconfig_of(paths, config))
        except BaseException:
            _end_daemon(paths, clock, lambda _: None)
            if before is None:  # nothing is left of a cluster that never was
                remove(paths, progress=lambda _: None)
            elif not ran:
                asyncio.run(teardown(config, paths, lambda _: None))
            raise
    return config


def _before(config: ClusterConfig, paths: ClusterPaths) -> ClusterConfig | None:
    """What the cluster was told when it last started; None for a new one. Raises ClusterError where it cannot start."""
    if not paths.config.exists():
        if paths.data.exists() and not paths.data.is_dir():
            raise ClusterError(f"{paths.data} is no directory; choose one that is empty or not there")
        if paths.data.is_dir() and any(paths.data.iterdir()):  # `delete` would delete it all
            raise ClusterError(
                f"{paths.data} holds other files; choose a directory that is empty or not there"
            )
        return None
    before = ClusterConfig.load(paths.config)
    if before.name != config.name:
        raise ClusterError(f"{paths.data} is the directory of another cluster, {before.name!r}")
    if pid := daemon_pid(paths):
        raise ClusterError(
            f"cluster {config.name!r} is already running (pid {pid}); "
            f"`pilothouse status {config.name}` shows it, `pilothouse stop {config.name}` stops it"
        )
    return before


def _changed(before: ClusterConfig, config: ClusterConfig) -> ClusterConfig:
    """Raises where it cannot become what was asked: its containers and its data would be left behind."""
    config.check()
    if config.engine == "auto":
        config = replace(config, engine=before.engine)
    for option, matters in (("engine", before.nodes), ("store", True)):
        was = getattr(before, option)
        if matters and getattr(config, option) != was:
            raise ClusterError(
                f"cluster {config.name!r} was made with --{option} {was} and keeps it; choose another name, "
                f"or `pilothouse delete {config.name}` first"
            )
    return config


def _settle(config: ClusterConfig, paths: ClusterPaths) -> ClusterConfig:
    """Decides what `auto` and 0 leave open, or says why it cannot be."""
    engine = config.engine
    if engine == "auto":
        engine = "containerd" if config.nodes else "simulated"
    module = engine_module(engine)
    if config.nodes and (missing := module.missing()):
        raise ClusterError(
            f"this machine cannot run containers: {missing}\n"
            "`--engine simulated` starts a cluster whose containers are simulated; "
            "`--nodes 0` one without nodes"
        )
    index = config.network_index
    if module.REAL:
        found = [_known(other) for other in clusters() if other.data != paths.data]
        index = network_index(config, {other.network_index for other in found if other is not None})
    return replace(config, engine=engine, network_index=index)


def _start_daemon(config: ClusterConfig, paths: ClusterPaths, clock: Clock, progress: Progress) -> None:
    """Runs the daemon in the background, and returns once it says that it is ready."""
    read, write = os.pipe()
    if paths.log.exists() and paths.log.stat().st_size > LOG_BYTES_MAX:
        paths.log.replace(paths.log.with_suffix(".log.1"))
    log = os.open(paths.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    process = subprocess.Popen(
        [sys.executable, "-m", "pilothouse.cluster.daemon", str(paths.data), str(write)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=[write],
        start_new_session=True,
        cwd="/",
    )
    os.close(write)
    os.close(log)
    ready = False
    try:
        with os.fdopen(read) as pipe:
            for line in pipe:
                message = json.loads(line)
                if message.get("ready"):
                    ready = True
                    break
                if error := message.get("error"):
                    raise ClusterError(error)
                progress(message["progress"])
    except BaseException:
        _end(process)
        raise
    if not ready:
        code = process.wait()
        tail = "\n".join(paths.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
        raise ClusterError(f"the cluster did not start (exit code {code}); the end of {paths.log}:\n{tail}")


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def kubeconfig_of(paths: ClusterPaths, config: ClusterConfig) -> dict[str, object]:
    """A whole kubeconfig for the cluster's admin."""
    from ..base.clock import RealClock
    from .pki import Pki

    pki = Pki(paths.pki, RealClock())
    return kubeconfig.document(
        config.name, config.server, pki.base64("ca.crt"), pki.base64("admin.crt"), pki.base64("admin.key")
    )


def stop(paths: ClusterPaths, clock: Clock, progress: Progress) -> None:
    """Ends the daemon, then the containers and the network; the data stays."""
    config = ClusterConfig.load(paths.config)
    with _alone(paths):
        _end_daemon(paths, clock, progress)
        asyncio.run(teardown(config, paths, progress, STOP_GRACE_S))


def _end_daemon(paths: ClusterPaths, clock: Clock, progress: Progress) -> None:
    pid = daemon_pid(paths)
    if not pid:
        return
    progress("stopping the control plane")
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    asyncio.run(_wait_for_end(paths, pid, clock))


async def _wait_for_end(paths: ClusterPaths, pid: int, clock: Clock) -> None:
    deadline = clock.monotonic() + STOP_TIMEOUT_S
    while daemon_pid(paths):
        if clock.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            deadline += STOP_TIMEOUT_S
        await clock.sleep(0.02)


async def teardown(
    config: ClusterConfig, paths: ClusterPaths, progress: Progress, grace_s: float = 0.0
) -> None:
    """Containers, engines, namespaces, interfaces, rules: all that a cluster has on the host beside its files."""
    if not engine_module(config.engine).REAL or config.network_index < 0:
        return
    from ..network.shell import CommandFailed
    from ..runtime.interface import EngineError
    from . import nodes

    try:
        await nodes.teardown(config, paths, progress, grace_s)
    except (EngineError, CommandFailed) as error:
        raise ClusterError(f"not all of cluster {config.name!r} could be taken down: {error}") from error


def remove(paths: ClusterPaths, progress: Progress) -> None:
    """Takes away all that is left of a cluster whose daemon has ended: engines, network, files, kubeconfig entries."""
    config = _known(paths)
    if config is not None:
        asyncio.run(teardown(config, paths, progress))
    progress("removing files")
    target = Path(config.kubeconfig) if config and config.kubeconfig else kubeconfig.default_path()
    with contextlib.suppress(kubeconfig.KubeconfigError):
        kubeconfig.remove(target, paths.name)
    _remove_files(paths)
    with machine_lock():
        for directory in (root() / "clusters", root()):
            with contextlib.suppress(OSError):  # other clusters live there
                directory.rmdir()


def _known(paths: ClusterPaths) -> ClusterConfig | None:
    """Its configuration, or what its claim says where that is damaged."""
    for file in (paths.config, paths.run / "cluster.json"):
        with contextlib.suppress(FileNotFoundError, ConfigError):
            return ClusterConfig.load(file)
    return None


def _remove_files(paths: ClusterPaths) -> None:
    # the configuration goes last: as long as it is there, `delete` can be called again
    others = [path for path in paths.data.glob("*") if path != paths.config]
    for path in (*others, paths.run, paths.data):
        if path.is_dir() and not path.is_symlink():
            try:
                shutil.rmtree(path)
            except OSError as error:
                if not (os.path.ismount(path) and error.filename == str(path)):  # a file system stays
                    raise ClusterError(f"not everything could be removed: {error}") from error
        else:
            path.unlink(missing_ok=True)
    link = root() / "clusters" / paths.name
    if link.is_symlink():
        link.unlink()


def delete(paths: ClusterPaths, clock: Clock, progress: Progress) -> None:
    """Leaves nothing of the cluster."""
    with _alone(paths):
        _end_daemon(paths, clock, progress)
        remove(paths, progress)
