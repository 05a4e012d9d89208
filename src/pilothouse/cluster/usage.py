"""What a cluster's processes use: memory and CPU, from /proc."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..base.clock import Clock
from ..runtime.containerd_process import descendants, shims_of
from .config import ClusterConfig
from .engine_containerd import containerd_of
from .manage import daemon_pid
from .paths import ClusterPaths

SAMPLE_S = 0.5


@dataclass(frozen=True, slots=True)
class Usage:
    what: str
    processes: int
    memory_bytes: int
    cpu_percent: float  # of one core


def usage(paths: ClusterPaths, config: ClusterConfig, clock: Clock) -> list[Usage]:
    """One row for the control plane, two for each node: its engine, and what runs in its containers."""
    from ..network.topology import ClusterNetwork

    groups = {"control plane": [pid] if (pid := daemon_pid(paths)) else []}
    for ordinal in range(1, config.nodes + 1) if config.engine == "containerd" else ():
        node = ClusterNetwork(config.network_index, config.name).node(ordinal)
        process = containerd_of(config, paths, node, clock)
        shims = shims_of(str(process.config.socket))
        groups[f"{node.name} engine"] = [*filter(None, [process.pid]), *shims]
        groups[f"{node.name} containers"] = descendants(shims)
    before = {what: _cpu_s(pids) for what, pids in groups.items()}
    began = clock.monotonic()
    asyncio.run(clock.sleep(SAMPLE_S))
    elapsed_s = clock.monotonic() - began
    return [
        Usage(
            what, len(pids), sum(map(_memory, pids)), 100 * max(0.0, _cpu_s(pids) - before[what]) / elapsed_s
        )
        for what, pids in groups.items()
    ]


def started_at(pid: int) -> float:
    """Seconds since the epoch."""
    boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    return int(boot.split()[1]) + int(_stat(pid)[19]) / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """Fields of proc(5)'s stat, from the third."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _cpu_s(pids: Iterable[int]) -> float:
    ticks = 0
    for pid in pids:
        try:
            fields = _stat(pid)
            ticks += int(fields[11]) + int(fields[12])
        except OSError:  # it has ended
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> int:
    """Its proportional share, where that can be read: pages that processes share are counted once."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
