"""Where a cluster's files live: one place that knows the layout of the data directory.

<root>/clusters/<name>/            0700; $PILOTHOUSE_HOME, else $XDG_DATA_HOME/pilothouse
    cluster.json                   what was asked for, and the network index
    pki/                           CA, certificates, keys
    store.db, store.db.journal     the API's data (SQLite, and what was committed since its last checkpoint)
    daemon.log, daemon.pid
    audit-policy.yaml, audit.log   what is told of writes, and the log of them
    authentication.yaml            whose tokens are believed beside ours (OpenID Connect); optional
    token-webhook.yaml             whom to ask about tokens that nobody here knows; optional
    nodes/<node>/                  containerd's root, pods' volumes and logs, CNI state
    volumes/                       local-path persistent volumes
/run/pilothouse/<name>/<node>/     sockets and containerd's state (short paths: a socket's has 107 bytes)
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


def root() -> Path:
    """The directory of all clusters of this user."""
    if home := os.environ.get("PILOTHOUSE_HOME"):
        return Path(home).absolute()
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return Path(data) / "pilothouse"


def run_root() -> Path:
    """Sockets and state that a reboot may lose."""
    if os.geteuid() == 0:
        return Path("/run/pilothouse")
    if directory := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(directory) / "pilothouse"
    return Path(f"/tmp/pilothouse-{os.geteuid()}")


@dataclass(frozen=True, slots=True)
class ClusterPaths:
    name: str
    data: Path

    @classmethod
    def of(cls, name: str, data_dir: str = "") -> ClusterPaths:
        return cls(name, Path(data_dir) if data_dir else root() / "clusters" / name)

    @property
    def config(self) -> Path:
        return self.data / "cluster.json"

    @property
    def pki(self) -> Path:
        return self.data / "pki"

    @property
    def store(self) -> Path:
        return self.data / "store.db"

    @property
    def log(self) -> Path:
        return self.data / "daemon.log"

    @property
    def pid(self) -> Path:
        return self.data / "daemon.pid"

    @property
    def authentication(self) -> Path:
        return self.data / "authentication.yaml"

    @property
    def token_webhook(self) -> Path:
        return self.data / "token-webhook.yaml"

    @property
    def audit_policy(self) -> Path:
        return self.data / "audit-policy.yaml"

    @property
    def audit_log(self) -> Path:
        return self.data / "audit.log"

    @property
    def volumes(self) -> Path:
        return self.data / "volumes"

    @property
    def run(self) -> Path:
        return run_root() / self.name

    def node(self, node: str) -> Path:
        return self.data / "nodes" / node

    def node_run(self, node: str) -> Path:
        return self.run / node
