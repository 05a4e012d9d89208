"""From a pod's and a container's securityContext to what the engine is told, with kubelet's checks."""

from __future__ import annotations

from typing import Any

from ..api.object import Object
from ..runtime.interface import Image, SecurityContext
from .environment import ConfigError
from .sync import full_name

# k8s.io/kubernetes/pkg/securitycontext
MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def _effective(pod: Object, container: Object | None, key: str) -> Any:
    """The container's own setting, else the pod's."""
    if container is not None:
        value = (container.get("securityContext") or {}).get(key)
        if value is not None:
            return value
    return (pod["spec"].get("securityContext") or {}).get(key)


def _groups(pod: Object) -> tuple[int, ...]:
    context = pod["spec"].get("securityContext") or {}
    groups = list(context.get("supplementalGroups") or ())
    if context.get("fsGroup") is not None:
        groups.insert(0, context["fsGroup"])
    return tuple(dict.fromkeys(groups))


def _seccomp(pod: Object, container: Object | None) -> str:
    profile = _effective(pod, container, "seccompProfile") or {}
    type_ = profile.get("type") or "Unconfined"
    return f"Localhost:{profile.get('localhostProfile', '')}" if type_ == "Localhost" else type_


def sandbox_security(pod: Object) -> SecurityContext:
    spec = pod["spec"]
    context = spec.get("securityContext") or {}
    privileged = any(
        (c.get("securityContext") or {}).get("privileged")
        for c in [*spec["containers"], *(spec.get("initContainers") or ())]
    )
    return SecurityContext(
        run_as_user=context.get("runAsUser"),
        run_as_group=context.get("runAsGroup") if context.get("runAsUser") is not None else None,
        supplemental_groups=_groups(pod),
        supplemental_groups_policy=context.get("supplementalGroupsPolicy") or "Merge",
        privileged=privileged,
        seccomp="RuntimeDefault" if not privileged else "Unconfined",
        **_namespaces(spec),
    )


def _namespaces(spec: Object) -> dict[str, Any]:
    return {
        "host_network": bool(spec.get("hostNetwork")),
        "host_pid": bool(spec.get("hostPID")),
        "host_ipc": bool(spec.get("hostIPC")),
        "share_pid": bool(spec.get("shareProcessNamespace")),
    }


def container_security(
    pod: Object, container: Object, image: Image | None, pid_of: str = ""
) -> SecurityContext:
    """`pid_of`: the id of an ephemeral container's target. Raises ConfigError where runAsNonRoot is not kept."""
    own = container.get("securityContext") or {}
    user, group = _effective(pod, container, "runAsUser"), _effective(pod, container, "runAsGroup")
    username = ""
    if user is None and image is not None:
        if image.uid is not None:
            user = image.uid
        else:
            username = image.user
    _check_non_root(pod, container, image)
    if user is None and not username and group is not None:
        user = 0
    capabilities = own.get("capabilities") or {}
    privileged = bool(own.get("privileged"))
    unmasked = privileged or own.get("procMount") == "Unmasked"
    return SecurityContext(
        run_as_user=user,
        run_as_username=username if user is None else "",
        run_as_group=group if (user is not None or username) else None,
        supplemental_groups=_groups(pod),
        supplemental_groups_policy=(pod["spec"].get("securityContext") or {}).get("supplementalGroupsPolicy")
        or "Merge",
        privileged=privileged,
        readonly_rootfs=bool(own.get("readOnlyRootFilesystem")),
        no_new_privs=own.get("allowPrivilegeEscalation") is False,
        add_capabilities=tuple(_bare(c) for c in capabilities.get("add") or ()),
        drop_capabilities=tuple(_bare(c) for c in capabilities.get("drop") or ()),
        masked_paths=() if unmasked else MASKED_PATHS,
        readonly_paths=() if unmasked else READONLY_PATHS,
        seccomp="Unconfined" if privileged else _seccomp(pod, container),
        pid_of=pid_of,
        **_namespaces(pod["spec"]),
    )


def _bare(capability: str) -> str:
    return capability.removeprefix("CAP_")


def _check_non_root(pod: Object, container: Object, image: Image | None) -> None:
    if not _effective(pod, container, "runAsNonRoot"):
        return
    where = f'(pod: "{full_name(pod)}", container: {container["name"]})'
    user = _effective(pod, container, "runAsUser")
    if user is not None:
        if user == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
        return
    if image is None:
        return
    if image.uid == 0 or (image.uid is None and not image.user):
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
    if image.uid is None and image.user and not image.user.isdigit():
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({image.user}), cannot verify user is non-root {where}"
        )
