"""What a node is told at its start."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class NodeConfig:
    name: str
    address: str
    root: Path  # pods' volumes and logs live below it; unused where `files` is False
    pod_cidr: str = ""
    cluster_dns: str = ""
    cluster_domain: str = "cluster.local"
    pods_max: int = 110
    cpu_milli: int = 4000
    memory_bytes: int = 8 * 1024**3
    ephemeral_storage_bytes: int = 100 * 1024**3
    hugepages: bool = True
    cgroup_root: str = ""  # cgroup that all pods of this node live below ("": none is set)
    engine_version: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    files: bool = True  # False: a simulated engine, for which no file is written
    resolv_conf: str = "/etc/resolv.conf"
    volumes_root: Path = Path("/nonexistent")  # of local-path persistent volumes
    kernel_version: str = ""
    os_image: str = ""
    machine_id: str = ""
    boot_id: str = ""

    @property
    def pods_dir(self) -> Path:
        return self.root / "pods"

    @property
    def logs_dir(self) -> Path:
        return self.root / "logs"

    def pod_dir(self, uid: str) -> Path:
        return self.pods_dir / uid

    def pod_logs(self, namespace: str, name: str, uid: str) -> Path:
        return self.logs_dir / f"{namespace}_{name}_{uid}"
