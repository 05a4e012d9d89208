"""CRI v1 on the wire: its messages as protobuf classes, built when first used from a table of field numbers.

The table holds facts of k8s.io/cri-api (runtime.v1) and of containerd's event service, and only those that we use:
protobuf skips fields that it does not know. A field is `name type number`; enumerations travel as int32.
"""

from __future__ import annotations

import functools
from typing import Any

# s string, y bytes, b bool, i32, i64, u32, u64, m map<string, string>, else a message; a leading * repeats it.
_CRI = {
    "VersionRequest": "version s 1",
    "VersionResponse": "version s 1, runtime_name s 2, runtime_version s 3, runtime_api_version s 4",
    "StatusRequest": "verbose b 1",
    "StatusResponse": "status RuntimeStatus 1",
    "RuntimeStatus": "conditions *RuntimeCondition 1",
    "RuntimeCondition": "type s 1, status b 2, reason s 3, message s 4",
    "Int64Value": "value i64 1",
    "UInt64Value": "value u64 1",
    "KeyValue": "key s 1, value y 2",
    # sandboxes
    "DNSConfig": "servers *s 1, searches *s 2, options *s 3",
    "PortMapping": "protocol i32 1, container_port i32 2, host_port i32 3, host_ip s 4",
    "NamespaceOption": "network i32 1, pid i32 2, ipc i32 3, target_id s 4",
    "SecurityProfile": "profile_type i32 1, localhost_ref s 2",
    "LinuxSandboxSecurityContext": "namespace_options NamespaceOption 1, run_as_user Int64Value 3, readonly_rootfs b 4, "
    "supplemental_groups *i64 5, privileged b 6, run_as_group Int64Value 8, seccomp SecurityProfile 9, "
    "supplemental_groups_policy i32 11",
    "LinuxPodSandboxConfig": "cgroup_parent s 1, security_context LinuxSandboxSecurityContext 2, sysctls m 3",
    "PodSandboxMetadata": "name s 1, uid s 2, namespace s 3, attempt u32 4",
    "PodSandboxConfig": "metadata PodSandboxMetadata 1, hostname s 2, log_directory s 3, dns_config DNSConfig 4, "
    "port_mappings *PortMapping 5, labels m 6, annotations m 7, linux LinuxPodSandboxConfig 8",
    "RunPodSandboxRequest": "config PodSandboxConfig 1, runtime_handler s 2",
    "RunPodSandboxResponse": "pod_sandbox_id s 1",
    "StopPodSandboxRequest": "pod_sandbox_id s 1",
    "StopPodSandboxResponse": "",
    "RemovePodSandboxRequest": "pod_sandbox_id s 1",
    "RemovePodSandboxResponse": "",
    "PodSandboxStatusRequest": "pod_sandbox_id s 1, verbose b 2",
    "PodSandboxStatusResponse": "status PodSandboxStatus 1",
    "PodSandboxStatus": "id s 1, metadata PodSandboxMetadata 2, state i32 3, created_at i64 4, "
    "network PodSandboxNetworkStatus 5, labels m 7, annotations m 8",
    "PodSandboxNetworkStatus": "ip s 1, additional_ips *PodIP 2",
    "PodIP": "ip s 1",
    "PodSandboxFilter": "id s 1, label_selector m 3",
    "ListPodSandboxRequest": "filter PodSandboxFilter 1",
    "ListPodSandboxResponse": "items *PodSandbox 1",
    "PodSandbox": "id s 1, metadata PodSandboxMetadata 2, state i32 3, created_at i64 4, labels m 5, annotations m 6",
    # containers
    "Mount": "container_path s 1, host_path s 2, readonly b 3, propagation i32 5, recursive_read_only b 8",
    "LinuxContainerResources": "cpu_period i64 1, cpu_quota i64 2, cpu_shares i64 3, memory_limit_in_bytes i64 4, "
    "oom_score_adj i64 5, unified m 9",
    "Capability": "add_capabilities *s 1, drop_capabilities *s 2",
    "LinuxContainerSecurityContext": "capabilities Capability 1, privileged b 2, namespace_options NamespaceOption 3, "
    "run_as_user Int64Value 5, run_as_username s 6, readonly_rootfs b 7, supplemental_groups *i64 8, no_new_privs b 11, "
    "run_as_group Int64Value 12, masked_paths *s 13, readonly_paths *s 14, seccomp SecurityProfile 15, "
    "supplemental_groups_policy i32 17",
    "LinuxContainerConfig": "resources LinuxContainerResources 1, security_context LinuxContainerSecurityContext 2",
    "ContainerMetadata": "name s 1, attempt u32 2",
    "ContainerConfig": "metadata ContainerMetadata 1, image ImageSpec 2, command *s 3, args *s 4, working_dir s 5, "
    "envs *KeyValue 6, mounts *Mount 7, labels m 9, annotations m 10, log_path s 11, stdin b 12, stdin_once b 13, "
    "tty b 14, linux LinuxContainerConfig 15, stop_signal i32 18",
    "CreateContainerRequest": "pod_sandbox_id s 1, config ContainerConfig 2, sandbox_config PodSandboxConfig 3",
    "CreateContainerResponse": "container_id s 1",
    "StartContainerRequest": "container_id s 1",
    "StartContainerResponse": "",
    "StopContainerRequest": "container_id s 1, timeout i64 2",
    "StopContainerResponse": "",
    "RemoveContainerRequest": "container_id s 1",
    "RemoveContainerResponse": "",
    "ContainerFilter": "id s 1, pod_sandbox_id s 3",
    "ListContainersRequest": "filter ContainerFilter 1",
    "ListContainersResponse": "containers *Container 1",
    "Container": "id s 1, pod_sandbox_id s 2, metadata ContainerMetadata 3, image ImageSpec 4, image_ref s 5, state i32 6, "
    "created_at i64 7, labels m 8, annotations m 9, image_id s 10",
    "ContainerStatusRequest": "container_id s 1, verbose b 2",
    "ContainerStatusResponse": "status ContainerStatus 1, info m 2",
    "ContainerStatus": "id s 1, metadata ContainerMetadata 2, state i32 3, created_at i64 4, started_at i64 5, "
    "finished_at i64 6, exit_code i32 7, image ImageSpec 8, image_ref s 9, reason s 10, message s 11, labels m 12, "
    "annotations m 13, mounts *Mount 14, log_path s 15, image_id s 17, user ContainerUser 18",
    "ContainerUser": "linux LinuxContainerUser 1",
    "LinuxContainerUser": "uid i64 1, gid i64 2, supplemental_groups *i64 3",
    "UpdateContainerResourcesRequest": "container_id s 1, linux LinuxContainerResources 2",
    "UpdateContainerResourcesResponse": "",
    "ReopenContainerLogRequest": "container_id s 1",
    "ReopenContainerLogResponse": "",
    "ListContainerStatsRequest": "",
    "ListContainerStatsResponse": "stats *ContainerStats 1",
    "ContainerStats": "attributes ContainerAttributes 1, cpu CpuUsage 2, memory MemoryUsage 3, "
    "writable_layer FilesystemUsage 4",
    "ContainerAttributes": "id s 1",
    "CpuUsage": "timestamp i64 1, usage_core_nano_seconds UInt64Value 2",
    "MemoryUsage": "timestamp i64 1, working_set_bytes UInt64Value 2, usage_bytes UInt64Value 4, rss_bytes UInt64Value 5",
    # streaming
    "ExecSyncRequest": "container_id s 1, cmd *s 2, timeout i64 3",
    "ExecSyncResponse": "stdout y 1, stderr y 2, exit_code i32 3",
    "ExecRequest": "container_id s 1, cmd *s 2, tty b 3, stdin b 4, stdout b 5, stderr b 6",
    "ExecResponse": "url s 1",
    "AttachRequest": "container_id s 1, stdin b 2, tty b 3, stdout b 4, stderr b 5",
    "AttachResponse": "url s 1",
    "PortForwardRequest": "pod_sandbox_id s 1, port *i32 2",
    "PortForwardResponse": "url s 1",
    # images
    "ImageSpec": "image s 1, annotations m 2, user_specified_image s 18",
    "Image": "id s 1, repo_tags *s 2, repo_digests *s 3, size u64 4, uid Int64Value 5, username s 6",
    "ListImagesRequest": "",
    "ListImagesResponse": "images *Image 1",
    "ImageStatusRequest": "image ImageSpec 1",
    "ImageStatusResponse": "image Image 1",
    "AuthConfig": "username s 1, password s 2, auth s 3, server_address s 4, identity_token s 5, registry_token s 6",
    "PullImageRequest": "image ImageSpec 1, auth AuthConfig 2, sandbox_config PodSandboxConfig 3",
    "PullImageResponse": "image_ref s 1",
    "RemoveImageRequest": "image ImageSpec 1",
    "RemoveImageResponse": "",
    "ImageFsInfoRequest": "",
    "ImageFsInfoResponse": "image_filesystems *FilesystemUsage 1",
    "FilesystemUsage": "timestamp i64 1, used_bytes UInt64Value 3, inodes_used UInt64Value 4",
}

# containerd's own event service (containerd.services.events.v1) and the events (containerd.events) that we read.
_CONTAINERD = {
    "SubscribeRequest": "filters *s 1",
    "Envelope": "namespace s 2, topic s 3, event Any 4",
    "Any": "type_url s 1, value y 2",
    "TaskStart": "container_id s 1, pid u32 2",
    "TaskExit": "container_id s 1, id s 2, pid u32 3, exit_status u32 4",
    "ContainerDelete": "id s 1",
}

_METHODS = {
    "RuntimeService": "Version Status RunPodSandbox StopPodSandbox RemovePodSandbox PodSandboxStatus ListPodSandbox "
    "CreateContainer StartContainer StopContainer RemoveContainer ListContainers ContainerStatus "
    "UpdateContainerResources ReopenContainerLog ListContainerStats ExecSync Exec Attach PortForward",
    "ImageService": "ListImages ImageStatus PullImage RemoveImage ImageFsInfo",
}
METHODS = {
    name: f"/runtime.v1.{service}/{name}" for service, names in _METHODS.items() for name in names.split()
}
SUBSCRIBE = "/containerd.services.events.v1.Events/Subscribe"

# Enumerations.
PROTOCOLS = {"TCP": 0, "UDP": 1, "SCTP": 2}
PROPAGATIONS = {"PRIVATE": 0, "HOST_TO_CONTAINER": 1, "BIDIRECTIONAL": 2}
NAMESPACE_POD, NAMESPACE_CONTAINER, NAMESPACE_NODE, NAMESPACE_TARGET = 0, 1, 2, 3
SECCOMP_RUNTIME_DEFAULT, SECCOMP_UNCONFINED, SECCOMP_LOCALHOST = 0, 1, 2
SUPPLEMENTAL_GROUPS_POLICIES = {"Merge": 0, "Strict": 1}
CONTAINER_STATES = ("CREATED", "RUNNING", "EXITED", "UNKNOWN")
SANDBOX_READY = 0
_SIGNALS = (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP "
    "TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN "
    + " ".join(f"RTMINPLUS{n}" for n in range(1, 16))
    + "".join(f" RTMAXMINUS{n}" for n in range(14, 0, -1))
    + " RTMAX"
)
SIGNALS = {"": 0} | {f"SIG{name}": number for number, name in enumerate(_SIGNALS.split(), start=1)}

_SCALARS = {"i64": 3, "u64": 4, "i32": 5, "b": 8, "s": 9, "y": 12, "u32": 13}  # FieldDescriptorProto.Type
_TYPE_MESSAGE, _LABEL_OPTIONAL, _LABEL_REPEATED = 11, 1, 3


@functools.cache
def message_classes() -> dict[str, Any]:
    """Every message of the tables by its name, as a protobuf class."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    pool = descriptor_pool.DescriptorPool()
    classes: dict[str, Any] = {}
    for package, table in (("runtime.v1", _CRI), ("containerd", _CONTAINERD)):
        file = descriptor_pb2.FileDescriptorProto(
            name=f"pilothouse/{package}.proto", package=package, syntax="proto3"
        )
        for name, fields in table.items():
            _add_message(file.message_type.add(name=name), package, fields)
        pool.Add(file)
        for name in table:
            classes[name] = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
    return classes


def _add_message(message: Any, package: str, fields: str) -> None:
    for row in filter(None, fields.split(", ")):
        name, kind, number = row.split()
        repeated = kind[0] == "*" or kind == "m"
        field = message.field.add(
            name=name, number=int(number), label=_LABEL_REPEATED if repeated else _LABEL_OPTIONAL
        )
        kind = kind.lstrip("*")
        if kind == "m":  # a map is a repeated message of key and value
            entry_name = "".join(part.capitalize() for part in name.split("_")) + "Entry"
            entry = message.nested_type.add(name=entry_name)
            entry.field.add(name="key", number=1, label=_LABEL_OPTIONAL, type=_SCALARS["s"])
            entry.field.add(name="value", number=2, label=_LABEL_OPTIONAL, type=_SCALARS["s"])
            entry.options.map_entry = True
            field.type = _TYPE_MESSAGE
            field.type_name = f".{package}.{message.name}.{entry_name}"
        elif kind in _SCALARS:
            field.type = _SCALARS[kind]
        else:
            field.type = _TYPE_MESSAGE
            field.type_name = f".{package}.{kind}"


def message(name: str, /, **fields: Any) -> Any:
    """A message of this name. A field given as None stays unset."""
    return message_classes()[name](**{key: value for key, value in fields.items() if value is not None})
