"""Between the values of `interface` and CRI's messages: pure, both ways."""

from __future__ import annotations

from typing import Any

from . import cri
from .cri import message
from .interface import (
    ContainerConfig,
    ContainerStats,
    ContainerStatus,
    Image,
    Mount,
    PodSandboxConfig,
    PodSandboxStatus,
    Resources,
    SecurityContext,
)

NS_PER_S = 1_000_000_000


def sandbox_config(config: PodSandboxConfig) -> Any:
    """CRI's PodSandboxConfig."""
    dns = config.dns
    return message(
        "PodSandboxConfig",
        metadata=message(
            "PodSandboxMetadata",
            name=config.name,
            uid=config.uid,
            namespace=config.namespace,
            attempt=config.attempt,
        ),
        hostname=config.hostname,
        log_directory=config.log_directory,
        dns_config=dns
        and message("DNSConfig", servers=dns.servers, searches=dns.searches, options=dns.options),
        port_mappings=[
            message(
                "PortMapping",
                protocol=cri.PROTOCOLS[port.protocol],
                container_port=port.container_port,
                host_port=port.host_port,
                host_ip=port.host_ip,
            )
            for port in config.port_mappings
        ],
        labels=config.labels,
        annotations=config.annotations,
        linux=message(
            "LinuxPodSandboxConfig",
            cgroup_parent=config.cgroup_parent,
            sysctls=config.sysctls,
            security_context=message("LinuxSandboxSecurityContext", **_common_security(config.security)),
        ),
    )


def container_config(config: ContainerConfig) -> Any:
    """CRI's ContainerConfig."""
    security = config.security
    return message(
        "ContainerConfig",
        metadata=message("ContainerMetadata", name=config.name, attempt=config.attempt),
        image=message("ImageSpec", image=config.image, user_specified_image=config.image_spec),
        command=config.command,
        args=config.args,
        working_dir=config.working_dir,
        envs=[message("KeyValue", key=key, value=value.encode()) for key, value in config.env],
        mounts=[
            message(
                "Mount",
                container_path=mount.container_path,
                host_path=mount.host_path,
                readonly=mount.readonly,
                propagation=cri.PROPAGATIONS[mount.propagation],
            )
            for mount in config.mounts
        ],
        labels=config.labels,
        annotations=config.annotations,
        log_path=config.log_path,
        stdin=config.stdin,
        stdin_once=config.stdin_once,
        tty=config.tty,
        stop_signal=cri.SIGNALS[config.stop_signal],
        linux=message(
            "LinuxContainerConfig",
            resources=resources(config.resources),
            security_context=message(
                "LinuxContainerSecurityContext",
                **_common_security(security),
                run_as_username=security.run_as_username,
                no_new_privs=security.no_new_privs,
                masked_paths=security.masked_paths,
                readonly_paths=security.readonly_paths,
                capabilities=message(
                    "Capability",
                    add_capabilities=security.add_capabilities,
                    drop_capabilities=security.drop_capabilities,
                ),
            ),
        ),
    )


def resources(wanted: Resources) -> Any:
    """CRI's LinuxContainerResources."""
    return message(
        "LinuxContainerResources",
        cpu_period=wanted.cpu_period,
        cpu_quota=wanted.cpu_quota,
        cpu_shares=wanted.cpu_shares,
        memory_limit_in_bytes=wanted.memory_limit_bytes,
        oom_score_adj=wanted.oom_score_adj,
        unified=wanted.unified,
    )


def _common_security(security: SecurityContext) -> dict[str, Any]:
    """The fields that a sandbox's and a container's security context share."""
    pid = cri.NAMESPACE_POD if security.share_pid else cri.NAMESPACE_CONTAINER
    if security.pid_of:
        pid = cri.NAMESPACE_TARGET
    return {
        "namespace_options": message(
            "NamespaceOption",
            network=cri.NAMESPACE_NODE if security.host_network else cri.NAMESPACE_POD,
            pid=cri.NAMESPACE_NODE if security.host_pid else pid,
            ipc=cri.NAMESPACE_NODE if security.host_ipc else cri.NAMESPACE_POD,
            target_id=security.pid_of,
        ),
        "run_as_user": _int64(security.run_as_user),
        "run_as_group": _int64(security.run_as_group),
        "readonly_rootfs": security.readonly_rootfs,
        "supplemental_groups": security.supplemental_groups,
        "supplemental_groups_policy": cri.SUPPLEMENTAL_GROUPS_POLICIES[security.supplemental_groups_policy],
        "privileged": security.privileged,
        "seccomp": _seccomp(security.seccomp),
    }


def _int64(value: int | None) -> Any:
    return None if value is None else message("Int64Value", value=value)


def _seccomp(profile: str) -> Any:
    if profile.startswith("Localhost:"):
        path = profile.removeprefix("Localhost:")
        return message("SecurityProfile", profile_type=cri.SECCOMP_LOCALHOST, localhost_ref=path)
    types = {"RuntimeDefault": cri.SECCOMP_RUNTIME_DEFAULT, "Unconfined": cri.SECCOMP_UNCONFINED}
    return message("SecurityProfile", profile_type=types[profile])


def pod_sandbox_status(item: Any, ips: tuple[str, ...]) -> PodSandboxStatus:
    """From a PodSandbox of a list, or a PodSandboxStatus: they share these fields."""
    return PodSandboxStatus(
        id=item.id,
        name=item.metadata.name,
        namespace=item.metadata.namespace,
        uid=item.metadata.uid,
        attempt=item.metadata.attempt,
        ready=item.state == cri.SANDBOX_READY,
        created_at=item.created_at / NS_PER_S,
        ips=ips,
        labels=dict(item.labels),
        annotations=dict(item.annotations),
    )


def sandbox_ips(status: Any) -> tuple[str, ...]:
    """All addresses in a PodSandboxStatus, the primary one first."""
    network = status.network
    return tuple(ip for ip in (network.ip, *(extra.ip for extra in network.additional_ips)) if ip)


def listed_container(item: Any) -> ContainerStatus:
    """From a Container of a list: no times but its creation, no exit code."""
    return ContainerStatus(
        id=item.id,
        sandbox_id=item.pod_sandbox_id,
        name=item.metadata.name,
        attempt=item.metadata.attempt,
        state=cri.CONTAINER_STATES[item.state],
        created_at=item.created_at / NS_PER_S,
        image=item.image.user_specified_image or item.image.image,
        image_ref=item.image_ref,
        image_id=item.image_id or item.image_ref,
        labels=dict(item.labels),
        annotations=dict(item.annotations),
    )


def container_status(status: Any, sandbox_id: str) -> ContainerStatus:
    """From CRI's ContainerStatus, which does not name the sandbox."""
    propagations = {number: name for name, number in cri.PROPAGATIONS.items()}
    user = status.user.linux if status.HasField("user") and status.user.HasField("linux") else None
    return ContainerStatus(
        id=status.id,
        sandbox_id=sandbox_id,
        name=status.metadata.name,
        attempt=status.metadata.attempt,
        state=cri.CONTAINER_STATES[status.state],
        created_at=status.created_at / NS_PER_S,
        started_at=status.started_at / NS_PER_S,
        finished_at=status.finished_at / NS_PER_S,
        exit_code=status.exit_code,
        reason=status.reason,
        message=status.message,
        image=status.image.image,
        image_ref=status.image_ref,
        image_id=status.image_id or status.image_ref,
        log_path=status.log_path,
        labels=dict(status.labels),
        annotations=dict(status.annotations),
        mounts=tuple(
            Mount(
                container_path=mount.container_path,
                host_path=mount.host_path,
                readonly=mount.readonly,
                propagation=propagations[mount.propagation],
            )
            for mount in status.mounts
        ),
        user=None if user is None else (user.uid, user.gid, tuple(user.supplemental_groups)),
    )


def container_stats(stats: Any) -> ContainerStats:
    """From CRI's ContainerStats."""
    return ContainerStats(
        id=stats.attributes.id,
        at=stats.cpu.timestamp / NS_PER_S,
        cpu_usage_core_ns=stats.cpu.usage_core_nano_seconds.value,
        memory_working_set_bytes=stats.memory.working_set_bytes.value,
        memory_usage_bytes=stats.memory.usage_bytes.value,
        memory_rss_bytes=stats.memory.rss_bytes.value,
        writable_layer_bytes=stats.writable_layer.used_bytes.value,
    )


def image(item: Any) -> Image:
    """From CRI's Image."""
    return Image(
        id=item.id,
        tags=tuple(item.repo_tags),
        digests=tuple(item.repo_digests),
        size_bytes=item.size,
        user=item.username,
        uid=item.uid.value if item.HasField("uid") else None,
    )
