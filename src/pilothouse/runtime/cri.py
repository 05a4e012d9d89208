"""CRI v1 on the wire: the messages that we use, as a table of field numbers from which protobuf classes are made.

Facts from k8s.io/cri-api (runtime/v1/api.proto) and containerd's events API. `M.Name(...)` is the class of a message;
a message is made when it is first asked for. Enums are whole numbers here: the wire form is the same.
"""

from __future__ import annotations

from typing import Any

CRI_PACKAGE = "runtime.v1"
SANDBOX_READY = 0
NAMESPACE_POD, NAMESPACE_CONTAINER, NAMESPACE_NODE, NAMESPACE_TARGET = 0, 1, 2, 3
CONTAINER_STATES = ("CREATED", "RUNNING", "EXITED", "UNKNOWN")
PROPAGATION = {"PRIVATE": 0, "HOST_TO_CONTAINER": 1, "BIDIRECTIONAL": 2}
PROTOCOL = {"TCP": 0, "UDP": 1, "SCTP": 2}
SECCOMP = {"RuntimeDefault": 0, "Unconfined": 1, "Localhost": 2}
GROUPS_POLICY = {"Merge": 0, "Strict": 1}

# message: "field=number type" …; types: s string, b bool, i int64, n int32, u uint64, U uint32, y bytes, E enum,
# m map<string,string>, or a message's name; `*` before a type: repeated.
TABLE = {
    "Empty": "",
    "VersionRequest": "version=1 s",
    "VersionResponse": "version=1 s, runtime_name=2 s, runtime_version=3 s, runtime_api_version=4 s",
    "StatusRequest": "verbose=1 b",
    "StatusResponse": "status=1 RuntimeStatus, info=2 m",
    "RuntimeStatus": "conditions=1 *RuntimeCondition",
    "RuntimeCondition": "type=1 s, status=2 b, reason=3 s, message=4 s",
    "DNSConfig": "servers=1 *s, searches=2 *s, options=3 *s",
    "PortMapping": "protocol=1 E, container_port=2 n, host_port=3 n, host_ip=4 s",
    "Mount": "container_path=1 s, host_path=2 s, readonly=3 b, selinux_relabel=4 b, propagation=5 E",
    "NamespaceOption": "network=1 E, pid=2 E, ipc=3 E, target_id=4 s",
    "Int64Value": "value=1 i",
    "UInt64Value": "value=1 u",
    "SecurityProfile": "profile_type=1 E, localhost_ref=2 s",
    "LinuxSandboxSecurityContext": "namespace_options=1 NamespaceOption, run_as_user=3 Int64Value, "
    "run_as_group=8 Int64Value, readonly_rootfs=4 b, supplemental_groups=5 *i, supplemental_groups_policy=11 E, "
    "privileged=6 b, seccomp=9 SecurityProfile, apparmor=10 SecurityProfile",
    "LinuxPodSandboxConfig": "cgroup_parent=1 s, security_context=2 LinuxSandboxSecurityContext, sysctls=3 m",
    "PodSandboxMetadata": "name=1 s, uid=2 s, namespace=3 s, attempt=4 U",
    "PodSandboxConfig": "metadata=1 PodSandboxMetadata, hostname=2 s, log_directory=3 s, dns_config=4 DNSConfig, "
    "port_mappings=5 *PortMapping, labels=6 m, annotations=7 m, linux=8 LinuxPodSandboxConfig",
    "RunPodSandboxRequest": "config=1 PodSandboxConfig, runtime_handler=2 s",
    "RunPodSandboxResponse": "pod_sandbox_id=1 s",
    "PodSandboxId": "pod_sandbox_id=1 s",  # of the requests that have nothing else
    "PodSandboxStatusRequest": "pod_sandbox_id=1 s, verbose=2 b",
    "PodIP": "ip=1 s",
    "PodSandboxNetworkStatus": "ip=1 s, additional_ips=2 *PodIP",
    "PodSandboxStatus": "id=1 s, metadata=2 PodSandboxMetadata, state=3 E, created_at=4 i, "
    "network=5 PodSandboxNetworkStatus, labels=7 m, annotations=8 m, runtime_handler=9 s",
    "PodSandboxStatusResponse": "status=1 PodSandboxStatus, info=2 m",
    "PodSandboxFilter": "id=1 s, label_selector=3 m",
    "ListPodSandboxRequest": "filter=1 PodSandboxFilter",
    "PodSandbox": "id=1 s, metadata=2 PodSandboxMetadata, state=3 E, created_at=4 i, labels=5 m, annotations=6 m",
    "ListPodSandboxResponse": "items=1 *PodSandbox",
    "ImageSpec": "image=1 s, annotations=2 m, user_specified_image=18 s, runtime_handler=19 s",
    "KeyValue": "key=1 s, value=2 y",
    "LinuxContainerResources": "cpu_period=1 i, cpu_quota=2 i, cpu_shares=3 i, memory_limit_in_bytes=4 i, "
    "oom_score_adj=5 i, cpuset_cpus=6 s, cpuset_mems=7 s, unified=9 m, memory_swap_limit_in_bytes=10 i",
    "Capability": "add_capabilities=1 *s, drop_capabilities=2 *s",
    "LinuxContainerSecurityContext": "capabilities=1 Capability, privileged=2 b, namespace_options=3 NamespaceOption, "
    "run_as_user=5 Int64Value, run_as_group=12 Int64Value, run_as_username=6 s, readonly_rootfs=7 b, "
    "supplemental_groups=8 *i, supplemental_groups_policy=17 E, no_new_privs=11 b, masked_paths=13 *s, "
    "readonly_paths=14 *s, seccomp=15 SecurityProfile, apparmor=16 SecurityProfile",
    "LinuxContainerConfig": "resources=1 LinuxContainerResources, security_context=2 LinuxContainerSecurityContext",
    "LinuxContainerUser": "uid=1 i, gid=2 i, supplemental_groups=3 *i",
    "ContainerUser": "linux=1 LinuxContainerUser",
    "ContainerMetadata": "name=1 s, attempt=2 U",
    "ContainerConfig": "metadata=1 ContainerMetadata, image=2 ImageSpec, command=3 *s, args=4 *s, working_dir=5 s, "
    "envs=6 *KeyValue, mounts=7 *Mount, labels=9 m, annotations=10 m, log_path=11 s, stdin=12 b, stdin_once=13 b, "
    "tty=14 b, linux=15 LinuxContainerConfig",
    "CreateContainerRequest": "pod_sandbox_id=1 s, config=2 ContainerConfig, sandbox_config=3 PodSandboxConfig",
    "CreateContainerResponse": "container_id=1 s",
    "ContainerId": "container_id=1 s",
    "StopContainerRequest": "container_id=1 s, timeout=2 i",
    "ContainerFilter": "id=1 s, pod_sandbox_id=3 s, label_selector=4 m",
    "ListContainersRequest": "filter=1 ContainerFilter",
    "Container": "id=1 s, pod_sandbox_id=2 s, metadata=3 ContainerMetadata, image=4 ImageSpec, image_ref=5 s, "
    "state=6 E, created_at=7 i, labels=8 m, annotations=9 m, image_id=10 s",
    "ListContainersResponse": "containers=1 *Container",
    "ContainerStatusRequest": "container_id=1 s, verbose=2 b",
    "ContainerStatus": "id=1 s, metadata=2 ContainerMetadata, state=3 E, created_at=4 i, started_at=5 i, "
    "finished_at=6 i, exit_code=7 n, image=8 ImageSpec, image_ref=9 s, reason=10 s, message=11 s, labels=12 m, "
    "annotations=13 m, mounts=14 *Mount, log_path=15 s, image_id=17 s, user=18 ContainerUser",
    "ContainerStatusResponse": "status=1 ContainerStatus, info=2 m",
    "UpdateContainerResourcesRequest": "container_id=1 s, linux=2 LinuxContainerResources, annotations=4 m",
    "ExecSyncRequest": "container_id=1 s, cmd=2 *s, timeout=3 i",
    "ExecSyncResponse": "stdout=1 y, stderr=2 y, exit_code=3 n",
    "ExecRequest": "container_id=1 s, cmd=2 *s, tty=3 b, stdin=4 b, stdout=5 b, stderr=6 b",
    "AttachRequest": "container_id=1 s, stdin=2 b, tty=3 b, stdout=4 b, stderr=5 b",
    "PortForwardRequest": "pod_sandbox_id=1 s, port=2 *n",
    "UrlResponse": "url=1 s",
    "ImageFilter": "image=1 ImageSpec",
    "ListImagesRequest": "filter=1 ImageFilter",
    "Image": "id=1 s, repo_tags=2 *s, repo_digests=3 *s, size=4 u, uid=5 Int64Value, username=6 s, spec=7 ImageSpec, "
    "pinned=8 b",
    "ListImagesResponse": "images=1 *Image",
    "ImageRequest": "image=1 ImageSpec",
    "ImageStatusResponse": "image=1 Image, info=2 m",
    "AuthConfig": "username=1 s, password=2 s, auth=3 s, server_address=4 s, identity_token=5 s, registry_token=6 s",
    "PullImageRequest": "image=1 ImageSpec, auth=2 AuthConfig, sandbox_config=3 PodSandboxConfig",
    "PullImageResponse": "image_ref=1 s",
    "FilesystemUsage": "timestamp=1 i, used_bytes=3 UInt64Value, inodes_used=4 UInt64Value",
    "ImageFsInfoResponse": "image_filesystems=1 *FilesystemUsage",
    "ContainerStatsFilter": "id=1 s, pod_sandbox_id=2 s",
    "ListContainerStatsRequest": "filter=1 ContainerStatsFilter",
    "ContainerAttributes": "id=1 s, metadata=2 ContainerMetadata, labels=3 m, annotations=4 m",
    "CpuUsage": "timestamp=1 i, usage_core_nano_seconds=2 UInt64Value, usage_nano_cores=3 UInt64Value",
    "MemoryUsage": "timestamp=1 i, working_set_bytes=2 UInt64Value, available_bytes=3 UInt64Value, "
    "usage_bytes=4 UInt64Value, rss_bytes=5 UInt64Value",
    "ContainerStats": "attributes=1 ContainerAttributes, cpu=2 CpuUsage, memory=3 MemoryUsage, "
    "writable_layer=4 FilesystemUsage",
    "ListContainerStatsResponse": "stats=1 *ContainerStats",
    # containerd.services.events.v1
    "SubscribeRequest": "filters=1 *s",
    "Timestamp": "seconds=1 i, nanos=2 n",
    "Any": "type_url=1 s, value=2 y",
    "Envelope": "timestamp=1 Timestamp, namespace=2 s, topic=3 s, event=4 Any",
    "TaskEvent": "container_id=1 s",  # TaskStart, TaskExit, TaskOOM, TaskDelete begin with it
    "ContainerEvent": "id=1 s",  # ContainerCreate, ContainerDelete
}

# method: (request, response), of runtime.v1.RuntimeService
RUNTIME_METHODS = {
    "Version": ("VersionRequest", "VersionResponse"),
    "Status": ("StatusRequest", "StatusResponse"),
    "RunPodSandbox": ("RunPodSandboxRequest", "RunPodSandboxResponse"),
    "StopPodSandbox": ("PodSandboxId", "Empty"),
    "RemovePodSandbox": ("PodSandboxId", "Empty"),
    "PodSandboxStatus": ("PodSandboxStatusRequest", "PodSandboxStatusResponse"),
    "ListPodSandbox": ("ListPodSandboxRequest", "ListPodSandboxResponse"),
    "CreateContainer": ("CreateContainerRequest", "CreateContainerResponse"),
    "StartContainer": ("ContainerId", "Empty"),
    "StopContainer": ("StopContainerRequest", "Empty"),
    "RemoveContainer": ("ContainerId", "Empty"),
    "ListContainers": ("ListContainersRequest", "ListContainersResponse"),
    "ContainerStatus": ("ContainerStatusRequest", "ContainerStatusResponse"),
    "UpdateContainerResources": ("UpdateContainerResourcesRequest", "Empty"),
    "ReopenContainerLog": ("ContainerId", "Empty"),
    "ExecSync": ("ExecSyncRequest", "ExecSyncResponse"),
    "Exec": ("ExecRequest", "UrlResponse"),
    "Attach": ("AttachRequest", "UrlResponse"),
    "PortForward": ("PortForwardRequest", "UrlResponse"),
    "ListContainerStats": ("ListContainerStatsRequest", "ListContainerStatsResponse"),
}
IMAGE_METHODS = {
    "ListImages": ("ListImagesRequest", "ListImagesResponse"),
    "ImageStatus": ("ImageRequest", "ImageStatusResponse"),
    "PullImage": ("PullImageRequest", "PullImageResponse"),
    "RemoveImage": ("ImageRequest", "Empty"),
    "ImageFsInfo": ("Empty", "ImageFsInfoResponse"),
}


class Messages:
    """`Messages().RunPodSandboxRequest(...)`: protobuf classes, all made at once when the first is asked for."""

    def __init__(self) -> None:
        self._classes: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if not self._classes:
            self._classes = _build()
        try:
            return self._classes[name]
        except KeyError:
            raise AttributeError(name) from None


M = Messages()


def _build() -> dict[str, Any]:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field_type = descriptor_pb2.FieldDescriptorProto
    scalars = {
        "s": field_type.TYPE_STRING,
        "b": field_type.TYPE_BOOL,
        "i": field_type.TYPE_INT64,
        "n": field_type.TYPE_INT32,
        "E": field_type.TYPE_INT32,
        "u": field_type.TYPE_UINT64,
        "U": field_type.TYPE_UINT32,
        "y": field_type.TYPE_BYTES,
    }
    file = descriptor_pb2.FileDescriptorProto(name="pilothouse/cri.proto", package="ph", syntax="proto3")
    for name, fields in TABLE.items():
        message = file.message_type.add(name=name)
        for text in filter(None, fields.split(", ")):
            left, type_ = text.split(" ")
            field_name, number = left.split("=")
            field = message.field.add(name=field_name, number=int(number), label=field_type.LABEL_OPTIONAL)
            if type_.startswith("*"):
                field.label, type_ = field_type.LABEL_REPEATED, type_[1:]
            if type_ == "m":
                entry_name = "".join(part.title() for part in field_name.split("_")) + "Entry"
                entry = message.nested_type.add(name=entry_name)
                entry.options.map_entry = True
                for index, key in enumerate(("key", "value"), 1):
                    entry.field.add(
                        name=key, number=index, label=field_type.LABEL_OPTIONAL, type=field_type.TYPE_STRING
                    )
                field.label, field.type = field_type.LABEL_REPEATED, field_type.TYPE_MESSAGE
                field.type_name = f".ph.{name}.{entry_name}"
            elif type_ in scalars:
                field.type = scalars[type_]
            else:
                field.type, field.type_name = field_type.TYPE_MESSAGE, f".ph.{type_}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"ph.{name}")) for name in TABLE}
