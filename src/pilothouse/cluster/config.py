"""What a cluster was asked to be: the arguments of `up`, kept in its data directory as `cluster.json`."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

CONFIG_VERSION = 1
COMPONENTS = ("controllers", "scheduler", "network", "dns", "loadbalancer")
# what can run containers → its module below pilothouse.cluster (see engines.py), imported when a cluster has it
ENGINE_MODULES = {"containerd": "engine_containerd", "simulated": "engine_simulated"}
ENGINES = ("auto", *ENGINE_MODULES)
STORES = ("sqlite", "memory")
NODES_MAX = 100
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?")


class ConfigError(Exception):
    """What was asked for cannot be; the message says why and what can."""


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    name: str = "default"
    nodes: int = 1  # workers; 0 is a bare control plane, for nodes that something else registers
    engine: str = "auto"
    store: str = "sqlite"
    port: int = 0  # 0: any that is free, kept over restarts
    host: str = "127.0.0.1"
    data_dir: str = ""
    kubeconfig: str = ""
    disable: tuple[str, ...] = ()
    network_index: int = -1  # -1: no network of its own (no containers)
    seed: str = ""  # of the cluster's Random; "": from the operating system
    service_cidr: str = "10.96.0.0/16"
    insecure_registries: tuple[
        str, ...
    ] = ()  # HOST:PORT speaks plain HTTP; https://HOST:PORT is not verified

    def check(self) -> None:
        """Raises ConfigError."""
        if not NAME.fullmatch(self.name):
            raise ConfigError(
                f"{self.name!r} is no name for a cluster: use lower-case letters, digits and '-', at most 32, "
                "beginning and ending with a letter or digit"
            )
        if not 0 <= self.nodes <= NODES_MAX:
            raise ConfigError(f"--nodes must be 0 to {NODES_MAX}, not {self.nodes}")
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"--port must be 0 (one that is free) to 65535, not {self.port}")
        if not _is_address(self.host):
            raise ConfigError(f"--host must be an IP address of this machine, not {self.host!r}")
        if self.engine not in ENGINES:
            raise ConfigError(f"--engine must be one of {', '.join(ENGINES)}, not {self.engine!r}")
        if self.store not in STORES:
            raise ConfigError(f"--store must be one of {', '.join(STORES)}, not {self.store!r}")
        for component in self.disable:
            if component not in COMPONENTS:
                raise ConfigError(f"--disable knows {', '.join(COMPONENTS)}, not {component!r}")

    @property
    def server(self) -> str:
        """The API server's URL, as clients on this machine reach it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"https://[{host}]:{self.port}" if ":" in host else f"https://{host}:{self.port}"

    def save(self, path: Path) -> None:
        document = {"version": CONFIG_VERSION, **dataclasses.asdict(self)}
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(document, indent=1) + "\n")
        os.replace(temporary, path)

    @classmethod
    def load(cls, path: Path) -> ClusterConfig:
        """Raises ConfigError for one that is damaged or that a newer version made; FileNotFoundError where there is none."""
        try:
            document = json.loads(path.read_text())
            version = int(document.pop("version", 0))
        except (ValueError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"{path} is damaged ({error}): restore it, or delete the cluster with `pilothouse delete`"
            ) from error
        if version > CONFIG_VERSION:
            raise ConfigError(
                f"{path.parent} was made by a newer Pilothouse (format {version}; this one knows {CONFIG_VERSION}): "
                "upgrade Pilothouse, or delete the cluster"
            )
        known = {f.name for f in dataclasses.fields(cls)}
        for name in ("disable", "insecure_registries"):
            document[name] = tuple(document.get(name) or ())
        return cls(**{key: value for key, value in document.items() if key in known})


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
