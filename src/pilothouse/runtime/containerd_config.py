"""The configuration of one node's private containerd: pure, from a few facts to `config.toml`.

A node is a network namespace with its own containerd in it. Everything that this containerd writes lies below two
directories (`root`, which outlives a reboot of the machine, and `state`, which need not), so that removing a node
is removing two directories; two things that containerd puts elsewhere are known to `containerd_process.stop`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

PAUSE_IMAGE = "docker.io/library/pilothouse-pause:1"
LOG_LINE_BYTES_MAX = 16384  # containerd's default; kubelet's log readers expect it

# Plugins that a node has no use for: each costs start time or memory, or writes outside of our directories.
DISABLED_PLUGINS = (
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.internal.v1.opt",
    "io.containerd.internal.v1.restart",
    "io.containerd.internal.v1.tracing",
    "io.containerd.tracing.processor.v1.otlp",
)


@dataclass(frozen=True, slots=True)
class ContainerdConfig:
    """`streaming_address` is the node's own address, where exec, attach and port-forward are served: the host must
    reach it. Its URLs carry a single-use token that containerd makes, valid for a minute."""

    root: Path  # images, snapshots, metadata
    state: Path  # sockets, bundles, mounts; a short path: a socket's has 107 bytes
    netns: str = ""  # name of the network namespace that it runs in ("": the host's)
    streaming_address: str = "127.0.0.1"
    cni_bin_dir: str = "/opt/cni/bin"
    snapshotter: str = "overlayfs"  # or native, which copies
    pause_image: str = PAUSE_IMAGE
    restrict_oom_score_adj: bool = False  # where nobody may lower oom_score_adj (no CAP_SYS_RESOURCE)
    insecure_registries: tuple[
        str, ...
    ] = ()  # HOST:PORT speaks plain HTTP; https://HOST:PORT is not verified
    ipam_dir: Path | None = None  # where the CNI configuration lets host-local keep addresses

    @property
    def socket(self) -> Path:
        return self.state / "containerd.sock"

    @property
    def config_file(self) -> Path:
        return self.root / "config.toml"

    @property
    def cni_conf_dir(self) -> Path:
        return self.root / "cni"

    @property
    def certs_dir(self) -> Path:
        return self.root / "certs.d"

    @property
    def log_file(self) -> Path:
        return self.root / "containerd.log"

    @property
    def pid_file(self) -> Path:
        return self.state / "containerd.pid"


def config_toml(config: ContainerdConfig) -> str:
    """The text of config.toml (version 2, which containerd 1.6 and 2.x read)."""
    q = json.dumps  # a JSON string is a TOML basic string
    disabled = list(DISABLED_PLUGINS)
    if config.snapshotter != "native":
        disabled.append("io.containerd.snapshotter.v1.native")
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = {q(str(config.root / "data"))}
state = {q(str(config.state / "run"))}
disabled_plugins = {q(disabled)}

[grpc]
address = {q(str(config.socket))}

[ttrpc]
address = {q(str(config.socket) + ".ttrpc")}

[debug]
level = "warn"

[{cri}]
sandbox_image = {q(config.pause_image)}
stream_server_address = {q(config.streaming_address)}
stream_server_port = "0"
max_container_log_line_size = {LOG_LINE_BYTES_MAX}
disable_apparmor = true
restrict_oom_score_adj = {q(config.restrict_oom_score_adj)}
netns_mounts_under_state_dir = true
enable_unprivileged_ports = true
enable_unprivileged_icmp = true
tolerate_missing_hugetlb_controller = true

[{cri}.cni]
bin_dir = {q(config.cni_bin_dir)}
conf_dir = {q(str(config.cni_conf_dir))}

[{cri}.registry]
config_path = {q(str(config.certs_dir))}

[{cri}.containerd]
snapshotter = {q(config.snapshotter)}
default_runtime_name = "runc"

[{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[{cri}.containerd.runtimes.runc.options]
SystemdCgroup = false
Root = {q(str(config.state / "runc"))}
"""


def hosts_toml(registry: str) -> str:
    """certs.d/HOST:PORT/hosts.toml for a registry without TLS ("HOST:PORT"), or with a certificate that nobody vouches
    for ("https://HOST:PORT")."""
    url = registry if "://" in registry else f"http://{registry}"
    return f"""\
server = "{url}"

[host."{url}"]
capabilities = ["pull", "resolve"]
skip_verify = true
"""


def files(config: ContainerdConfig, cni_conflist: dict[str, object] | None) -> dict[Path, str]:
    """Every file that must be there before containerd starts."""
    written = {config.config_file: config_toml(config)}
    if cni_conflist is not None:
        written[config.cni_conf_dir / "10-pilothouse.conflist"] = json.dumps(cni_conflist, indent=2) + "\n"
    for registry in config.insecure_registries:
        written[config.certs_dir / registry.rpartition("/")[2] / "hosts.toml"] = hosts_toml(registry)
    return written
