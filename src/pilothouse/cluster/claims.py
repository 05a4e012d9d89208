"""Who has which name and which network on this machine: a claim for each cluster with containers, made by `up`, kept until `delete`.

Namespaces, sockets and interfaces are called after a cluster's name and network index alone, so two users (or two values of
PILOTHOUSE_HOME) must not have the same. A claim is the cluster's configuration in <run root>/<name>/cluster.json.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from .config import ClusterConfig, ConfigError
from .paths import ClusterPaths, run_root

Teardown = Callable[[ClusterConfig, ClusterPaths], Coroutine[None, None, None]]


@contextmanager
def machine_lock() -> Iterator[None]:
    """One at a time decides on names, ports and networks. The lock is on the directory: no file is left."""
    while True:
        run_root().mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(run_root(), os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                same = os.fstat(descriptor).st_ino == run_root().stat().st_ino
            except FileNotFoundError:  # the last cluster was just deleted, and the directory with it
                same = False
            if same:
                try:
                    yield
                finally:
                    with contextlib.suppress(OSError):  # clusters are there
                        run_root().rmdir()
                return
        finally:
            os.close(descriptor)


def claims() -> dict[str, ClusterConfig]:
    """All claims by name, with `data_dir` set; one whose data was deleted by hand is none."""
    found = {}
    for file in run_root().glob("*/cluster.json"):
        with contextlib.suppress(FileNotFoundError, ConfigError):
            config = ClusterConfig.load(file)
            if Path(config.data_dir, "cluster.json").exists():
                found[config.name] = config
    return found


def network_index(config: ClusterConfig, others: set[int]) -> int:
    """The cluster's own, or a free one. `others`: of the user's other clusters. Raises ConfigError."""
    from ..network.shell import CommandFailed
    from ..network.wiring import free_index

    taken = {claim.network_index: name for name, claim in claims().items() if name != config.name}
    if config.network_index < 0:
        try:
            return asyncio.run(free_index(config.name, others | set(taken)))
        except CommandFailed as error:
            raise ConfigError(str(error)) from error
    if owner := taken.get(config.network_index):
        raise ConfigError(
            f"the addresses of cluster {config.name!r} now belong to cluster {owner!r}; delete one of the two"
        )
    return config.network_index


def claim(config: ClusterConfig, paths: ClusterPaths, teardown: Teardown) -> None:
    """Raises ConfigError when the name belongs to another directory; what one that was deleted by hand left goes first."""
    file = paths.run / "cluster.json"
    with contextlib.suppress(FileNotFoundError):
        other = ClusterConfig.load(file)
        if other.data_dir != str(paths.data):
            if config.name in claims():
                raise ConfigError(
                    f"there is a cluster {config.name!r} on this machine, with its data in {other.data_dir}; "
                    "choose another name"
                )
            asyncio.run(teardown(other, ClusterPaths(config.name, Path(other.data_dir))))
    paths.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace(config, data_dir=str(paths.data)).save(file)
