"""What the engine is told to make: the sandbox of a pod, and each container in it. Files beside them are written here too."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from ..api.object import Object, annotations_of, labels_of, name_of, namespace_of, uid_of
from ..runtime.interface import ContainerConfig, Image, Mount, PodSandboxConfig, PortMapping
from .context import NodeContext
from .environment import ConfigError, environment, expand, limits_by_default
from .names import SandboxError, dns_config, hosts_file, sandbox_hostname
from .resources import cgroup_parent, container_resources
from .security import container_security, sandbox_security
from .sync import HASH, container_hash, is_sidecar
from .volumes import is_readonly

PROPAGATIONS = {
    "None": "PRIVATE",
    "HostToContainer": "HOST_TO_CONTAINER",
    "Bidirectional": "BIDIRECTIONAL",
}
TERMINATION_PATH = "io.kubernetes.container.terminationMessagePath"
TERMINATION_POLICY = "io.kubernetes.container.terminationMessagePolicy"
HOSTS_PATH = "/etc/hosts"


def pod_labels(pod: Object) -> dict[str, str]:
    return {
        "io.kubernetes.pod.name": name_of(pod),
        "io.kubernetes.pod.namespace": namespace_of(pod),
        "io.kubernetes.pod.uid": uid_of(pod),
    }


def sandbox_config(pod: Object, attempt: int, node: NodeContext, handler: str = "") -> PodSandboxConfig:
    """Raises names.SandboxError."""
    spec, config = pod["spec"], node.config
    if spec.get("hostUsers") is False and config.files:
        raise SandboxError("can't set `spec.hostUsers: false`, runtime does not support user namespaces")
    host_network = bool(spec.get("hostNetwork"))
    ports = [
        PortMapping(
            port["containerPort"], port["hostPort"], port.get("protocol") or "TCP", port.get("hostIP") or ""
        )
        for container in [*spec["containers"], *filter(is_sidecar, spec.get("initContainers") or ())]
        for port in container.get("ports") or ()
        if port.get("hostPort") and not host_network
    ]
    return PodSandboxConfig(
        name=name_of(pod),
        namespace=namespace_of(pod),
        uid=uid_of(pod),
        attempt=attempt,
        hostname=sandbox_hostname(pod, config),
        log_directory=str(config.pod_logs(namespace_of(pod), name_of(pod), uid_of(pod))),
        dns=dns_config(pod, config, node.dns)[0],
        port_mappings=tuple(ports),
        labels={**labels_of(pod), **pod_labels(pod)},
        annotations=dict(annotations_of(pod)),
        cgroup_parent=cgroup_parent(pod, config),
        sysctls={s["name"]: s["value"] for s in (spec.get("securityContext") or {}).get("sysctls") or ()},
        security=sandbox_security(pod),
        runtime_handler=handler,
    )


async def container_config(
    pod: Object,
    container: Object,
    attempt: int,
    image: Image,
    addresses: list[str],
    volumes: dict[str, str],
    node: NodeContext,
    pid_of: str = "",
) -> ContainerConfig:
    """Raises ConfigError."""
    name, config = container["name"], node.config
    shown = _with_addresses(pod, addresses, config.address)
    security = container_security(pod, container, image, pid_of)
    kubernetes = node.services.get("default", "kubernetes")
    services = [*node.services.list(namespace_of(pod)), *([kubernetes] if kubernetes else ())]
    env = await environment(
        shown, container, node.sources, services, limits_by_default(pod, node.allocatable), volumes
    )
    values = dict(env)
    mounts = _mounts(pod, container, volumes, values, node)
    if config.files:
        mounts += await asyncio.to_thread(_own_files, pod, container, addresses, node, node.random.suffix(8))
    termination = _termination_path(container)
    lifecycle = container.get("lifecycle") or {}
    return ContainerConfig(
        name=name,
        attempt=attempt,
        image=image.id,
        image_spec=container.get("image") or "",
        command=tuple(expand(word, values) for word in container.get("command") or ()),
        args=tuple(expand(word, values) for word in container.get("args") or ()),
        working_dir=container.get("workingDir") or "",
        env=tuple(env),
        mounts=tuple(mounts),
        labels={**pod_labels(pod), "io.kubernetes.container.name": name},
        annotations={
            HASH: container_hash(container),
            "io.kubernetes.container.restartCount": str(attempt),
            TERMINATION_PATH: termination,
            TERMINATION_POLICY: container.get("terminationMessagePolicy") or "File",
        },
        log_path=f"{name}/{attempt}.log",
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        tty=bool(container.get("tty")),
        resources=container_resources(pod, container, config),
        security=security,
        stop_signal=lifecycle.get("stopSignal") or "",
    )


def _with_addresses(pod: Object, addresses: list[str], host: str) -> Object:
    """The pod as its environment shows it: its address may not be in its status yet."""
    status = dict(pod.get("status") or {})
    status.update(hostIP=host, hostIPs=[{"ip": host}])
    if addresses:
        status.update(podIP=addresses[0], podIPs=[{"ip": address} for address in addresses])
    return {**pod, "status": status}


def _mounts(
    pod: Object, container: Object, volumes: dict[str, str], values: dict[str, str], node: NodeContext
) -> list[Mount]:
    mounts = []
    sources = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
    for mount in container.get("volumeMounts") or ():
        path = volumes.get(mount["name"])
        if path is None:
            continue
        sub_path = mount.get("subPath") or ""
        if mount.get("subPathExpr"):
            sub_path = _expand_strictly(mount["subPathExpr"], values)
        if sub_path:
            place = f'volumeMount "{mount["name"]}" of container "{container["name"]}"'
            path = node.volumes.sub_path(path, sub_path, place)
        if mount.get("recursiveReadOnly") == "Enabled" and node.config.files:
            why = f'volume "{mount["name"]}" requested recursive read-only mode, but it is not supported by the runtime'
            raise ConfigError(f"failed to resolve recursive read-only mode: {why}")
        propagation = PROPAGATIONS[mount.get("mountPropagation") or "None"]
        where = mount["mountPath"]
        where = where if where.startswith("/") else "/" + where
        readonly = bool(mount.get("readOnly")) or is_readonly(sources[mount["name"]])
        mounts.append(Mount(where, path, readonly, propagation))
    return mounts


def _expand_strictly(text: str, values: dict[str, str]) -> str:
    """As `expand`, but what is not known, or empty, is an error."""
    missing: set[str] = set()

    class Values(dict[str, str]):
        def __contains__(self, name: object) -> bool:
            if not self.get(str(name)):
                missing.add(str(name))
            return dict.__contains__(self, name)

    result = expand(text, Values(values))
    if missing:
        raise ConfigError(f"missing value for {', '.join(sorted(missing))}")
    return result


def _termination_path(container: Object) -> str:
    return "/" + (container.get("terminationMessagePath") or "/dev/termination-log").lstrip("/")


def _own_files(
    pod: Object, container: Object, addresses: list[str], node: NodeContext, suffix: str
) -> list[Mount]:
    """The hosts file, the termination log, and the directory of the logs."""
    config, name = node.config, container["name"]
    directory = config.pod_dir(uid_of(pod))
    mounts = []
    at = {mount["mountPath"].rstrip("/") for mount in container.get("volumeMounts") or ()}
    if HOSTS_PATH not in at and (addresses or pod["spec"].get("hostNetwork")):
        hosts = directory / "etc-hosts"
        directory.mkdir(parents=True, exist_ok=True)
        node_hosts = Path(HOSTS_PATH).read_text() if pod["spec"].get("hostNetwork") else ""
        text = hosts_file(pod, addresses, config.cluster_domain, node_hosts)
        if not hosts.exists() or hosts.read_text() != text:
            hosts.write_text(text)
            os.chmod(hosts, 0o644)
        mounts.append(Mount(HOSTS_PATH, str(hosts)))
    log = directory / "containers" / name / suffix
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch()
    os.chmod(log, 0o666)
    mounts.append(Mount(_termination_path(container), str(log)))
    logs = config.pod_logs(namespace_of(pod), name_of(pod), uid_of(pod)) / name
    logs.mkdir(parents=True, exist_ok=True)
    return mounts
