"""`describe pod`, and the pod templates of all workloads: containers, their states, environment, volumes, tolerations."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import quote

from ..api.object import Object, annotations_of, get, is_deleting, labels_of, name_of, namespace_of, uid_of
from ..api.qos import qos_class
from ..api.quantity import Quantity
from ..api.selectors import format_object
from .describe_volumes import write_claim, write_source
from .describe_writer import View, Writer, controlled_by
from .jsonpath import go_text
from .timing import rfc1123, since

MIRROR = "kubernetes.io/config.mirror"


async def pod(w: Writer, obj: Object, view: View) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    w(0, "Name", name_of(obj))
    w(0, "Namespace", namespace_of(obj))
    if "priority" in spec:
        w(0, "Priority", spec["priority"])
    for label, key in (
        ("Priority Class Name", "priorityClassName"),
        ("Runtime Class Name", "runtimeClassName"),
        ("Service Account", "serviceAccountName"),
    ):
        if spec.get(key):
            w(0, label, spec[key])
    w(0, "Node", f"{spec['nodeName']}/{status.get('hostIP') or ''}" if spec.get("nodeName") else "<none>")
    if status.get("startTime"):
        w(0, "Start Time", rfc1123(status["startTime"]))
    w.labels("Labels", labels_of(obj))
    w.annotations("Annotations", annotations_of(obj))
    if is_deleting(obj) and status.get("phase") not in ("Failed", "Succeeded"):
        w(0, "Status", f"Terminating (lasts {since(obj['metadata']['deletionTimestamp'], view.now)})")
        w(0, "Termination Grace Period", f"{obj['metadata'].get('deletionGracePeriodSeconds', 0)}s")
    else:
        w(0, "Status", status.get("phase") or "")
    for label, key in (("Reason", "reason"), ("Message", "message")):
        if status.get(key):
            w(0, label, status[key])
    _seccomp(w, 0, spec.get("securityContext"))
    w(0, "IP", status.get("podIP") or "")
    if status.get("podIPs"):
        w.line(0, "IPs:")
        for ip in status["podIPs"]:
            w(1, "IP", ip.get("ip") or "")
    else:
        w(0, "IPs", "<none>")
    controlled_by(w, obj)
    if status.get("nominatedNodeName"):
        w(0, "NominatedNodeName", status["nominatedNodeName"])
    if spec.get("resources"):
        w.line(0, "Resources:")
        _resources(w, 1, spec["resources"])
    for title, key in (
        ("Init Containers", "init"),
        ("Containers", ""),
        ("Ephemeral Containers", "ephemeral"),
    ):
        field = f"{key}Containers" if key else "containers"
        if spec.get(field) or not key:
            statuses = status.get(f"{key}ContainerStatuses" if key else "containerStatuses")
            containers(w, title, spec.get(field) or [], statuses, obj)
    conditions = status.get("conditions") or []
    if spec.get("readinessGates"):
        w.line(0, "Readiness Gates:")
        w.line(1, "Type\tStatus")
        states = {condition["type"]: condition["status"] for condition in reversed(conditions)}
        for gate in spec["readinessGates"]:
            w.line(1, f"{gate['conditionType']} \t{states.get(gate['conditionType'], '<none>')} ")
    if conditions:
        w.line(0, "Conditions:")
        w.line(1, "Type\tStatus")
        for condition in conditions:
            w.line(1, f"{condition['type']} \t{condition['status']} ")
    volumes(w, spec.get("volumes") or [])
    w(0, "QoS Class", status.get("qosClass") or qos_class(obj))
    w.labels("Node-Selectors", spec.get("nodeSelector"))
    tolerations(w, "Tolerations", spec.get("tolerations") or [])
    _spread(w, spec.get("topologySpreadConstraints") or [], "")
    mirror = annotations_of(obj).get(MIRROR)
    await view.events(w, kind="", uids=(mirror or uid_of(obj),))


def template(w: Writer, obj: Object | None) -> None:
    """The pod template of a workload."""
    w.line(0, "Pod Template:")
    if obj is None:
        w.raw("  <unset>")
        return
    metadata, spec = obj.get("metadata") or {}, obj.get("spec") or {}
    w.labels("  Labels", metadata.get("labels"))
    if metadata.get("annotations"):
        w.annotations("  Annotations", metadata["annotations"])
    if spec.get("serviceAccountName"):
        w(1, "Service Account", spec["serviceAccountName"])
    if spec.get("initContainers"):
        containers(w, "Init Containers", spec["initContainers"], None, None, "  ")
    containers(w, "Containers", spec.get("containers") or [], None, None, "  ")
    volumes(w, spec.get("volumes") or [], "  ")
    _spread(w, spec.get("topologySpreadConstraints") or [], "  ")
    if spec.get("priorityClassName"):
        w(1, "Priority Class Name", spec["priorityClassName"])
    w.labels("  Node-Selectors", spec.get("nodeSelector"))
    tolerations(w, "  Tolerations", spec.get("tolerations") or [])


def _spread(w: Writer, constraints: list[Object], space: str) -> None:
    shown = []
    for each in sorted(constraints, key=lambda each: each["topologyKey"]):
        text = (
            f"{each['topologyKey']}:{each['whenUnsatisfiable']} when max skew {each['maxSkew']} is exceeded"
        )
        if each.get("labelSelector") is not None:
            text += f" for selector {format_object(each['labelSelector'])}"
        shown.append(text)
    if shown:
        w.many(f"{space}Topology Spread Constraints", shown, space)


def tolerations(w: Writer, title: str, listed: list[Object]) -> None:
    shown = []
    for each in sorted(listed, key=lambda each: each.get("key") or ""):
        key, value, effect = each.get("key") or "", each.get("value") or "", each.get("effect") or ""
        text = key + (f"={value}" if value else "") + (f":{effect}" if effect else "")
        if each.get("operator") == "Exists" and not value:
            text += " op=Exists" if key or effect else "op=Exists"
        if each.get("tolerationSeconds") is not None:
            text += f" for {each['tolerationSeconds']}s"
        shown.append(text)
    w.many(title, shown)


def containers(
    w: Writer,
    title: str,
    listed: list[Object],
    statuses: list[Object] | None,
    owner: Object | None,
    space: str = "",
) -> None:
    states = {status["name"]: status for status in statuses or ()}
    w.line(0, f"{space}{title}:" + ("" if listed else " <none>"))
    for each in listed:
        status = states.get(each["name"])
        w.line(1, (" " if space else "") + f"{each['name']}:")
        _basics(w, each, status)
        for label, key in (("Command", "command"), ("Args", "args")):
            if each.get(key):
                w.line(2, f"{label}:")
                for word in each[key]:
                    for line in word.split("\n"):
                        w.line(3, line)
        if status is not None:
            _state(w, "State", status.get("state") or {})
            if (status.get("lastState") or {}).get("terminated"):
                _state(w, "Last State", status["lastState"])
            w(2, "Ready", "True" if status.get("ready") else "False")
            w(2, "Restart Count", status.get("restartCount", 0))
        _resources(w, 2, each.get("resources") or {})
        for label, key in (
            ("Liveness", "livenessProbe"),
            ("Readiness", "readinessProbe"),
            ("Startup", "startupProbe"),
        ):
            if each.get(key):
                w(2, label, _probe(each[key]))
        _environment(w, each, owner)
        _mounts(w, each)


def _basics(w: Writer, container: Object, status: Object | None) -> None:
    if status is not None:
        w(2, "Container ID", status.get("containerID") or "")
    w(2, "Image", container.get("image") or "")
    if status is not None:
        w(2, "Image ID", status.get("imageID") or "")
    for label, key in (("Port", "containerPort"), ("Host Port", "hostPort")):
        shown = ", ".join(
            f"{port.get(key, 0)}/{port.get('protocol', 'TCP')}"
            + (f" ({port['name']})" if port.get("name") else "")
            for port in container.get("ports") or ()
        )
        w(2, f"{label}s" if "," in shown else label, shown or "<none>")
    _seccomp(w, 2, container.get("securityContext"))


def _seccomp(w: Writer, level: int, context: Object | None) -> None:
    if profile := (context or {}).get("seccompProfile"):
        w(level, "SeccompProfile", profile["type"])
        if profile["type"] == "Localhost":
            w(level + (level > 0), "LocalhostProfile", profile.get("localhostProfile"))


def _state(w: Writer, title: str, state: Object) -> None:
    running, ended = state.get("running"), state.get("terminated")
    if running is not None:
        w(2, title, "Running")
        w(3, "Started", rfc1123(running.get("startedAt")))
    elif ended is not None:
        w(2, title, "Terminated")
        for label, key in (("Reason", "reason"), ("Message", "message")):
            if ended.get(key):
                w(3, label, ended[key])
        w(3, "Exit Code", ended.get("exitCode", 0))
        if ended.get("signal", 0) > 0:
            w(3, "Signal", ended["signal"])
        w(3, "Started", rfc1123(ended.get("startedAt")))
        w(3, "Finished", rfc1123(ended.get("finishedAt")))
    else:
        w(2, title, "Waiting")
        if reason := (state.get("waiting") or {}).get("reason"):
            w(3, "Reason", reason)


def _resources(w: Writer, level: int, resources: Object) -> None:
    for label, key in (("Limits", "limits"), ("Requests", "requests")):
        if resources.get(key):
            w.line(level, f"{label}:")
            for name, quantity in sorted(resources[key].items()):
                w(level + 1, name, quantity)


def _probe(probe: Object) -> str:
    timing = (
        f"delay={probe.get('initialDelaySeconds', 0)}s timeout={probe.get('timeoutSeconds', 0)}s "
        f"period={probe.get('periodSeconds', 0)}s #success={probe.get('successThreshold', 0)} "
        f"#failure={probe.get('failureThreshold', 0)}"
    )
    if (exec_ := probe.get("exec")) is not None:
        return f"exec {go_text(exec_.get('command') or [])} {timing}"
    if http := probe.get("httpGet"):
        host, port = http.get("host") or "", str(http.get("port", ""))
        host = f"[{host}]" if ":" in host else host
        path = quote(http.get("path") or "", safe="/$&+,:;=@!'()*~")
        slash = "" if not path or path.startswith("/") else "/"
        return f"http-get {(http.get('scheme') or '').lower()}://{host}:{port}{slash}{path} {timing}"
    if tcp := probe.get("tcpSocket"):
        return f"tcp-socket {tcp.get('host') or ''}:{tcp.get('port', '')} {timing}"
    if grpc := probe.get("grpc"):
        return f"grpc <pod>:{grpc.get('port', 0)} {grpc.get('service') or ''} {timing}"
    return f"unknown {timing}"


def _environment(w: Writer, container: Object, owner: Object | None) -> None:
    if container.get("envFrom"):
        w.line(2, "Environment Variables from:")
        for each in container["envFrom"]:
            kind, source = (
                ("ConfigMap", each["configMapRef"])
                if each.get("configMapRef")
                else ("Secret", each.get("secretRef") or {})
            )
            prefix = f" with prefix '{each['prefix']}'" if each.get("prefix") else ""
            optional = go_text(bool(source.get("optional")))
            w.line(3, f"{source.get('name') or ''}\t{kind}{prefix}\tOptional: {optional}")
    w.line(2, "Environment:" + ("" if container.get("env") else "\t<none>"))
    for each in container.get("env") or ():
        name, source = each["name"], each.get("valueFrom")
        if not source:
            for index, line in enumerate((each.get("value") or "").split("\n")):
                w.line(3, f"{name}:\t{line}" if index == 0 else f"\t{line}")
        elif field := source.get("fieldRef"):
            value = _field(owner, field["fieldPath"]) if owner else ""
            w(3, name, f"{value} ({field.get('apiVersion') or 'v1'}:{field['fieldPath']})")
        elif field := source.get("resourceFieldRef"):
            value = _resource_field(container, field)
            if value == "0" and field["resource"] in ("limits.cpu", "limits.memory"):
                value = "node allocatable"
            w(3, name, f"{value} ({field['resource']})")
        else:
            secret = source.get("secretKeyRef")
            key = secret or source.get("configMapKeyRef") or {}
            what = "in secret" if secret else "of config map"
            optional = go_text(bool(key.get("optional")))
            w(
                3,
                name,
                f"<set to the key '{key.get('key')}' {what} '{key.get('name') or ''}'>\tOptional: {optional}",
            )


def _field(owner: Object, path: str) -> str:
    """What kubectl itself can tell of a field."""
    return str(get(owner, path, "")) if path in ("metadata.name", "metadata.namespace") else ""


def _resource_field(container: Object, field: Object) -> str:
    side, _, name = field["resource"].partition(".")
    amount = Quantity.of(((container.get("resources") or {}).get(side) or {}).get(name, "0"))
    divisor = Quantity.of(field.get("divisor") or "0")
    divisor = divisor if divisor.number else Quantity.of("1")
    return str(math.ceil(amount.number / divisor.number))


def _mounts(w: Writer, container: Object) -> None:
    mounts = container.get("volumeMounts") or []
    w.line(2, "Mounts:" + ("" if mounts else "\t<none>"))
    for mount in sorted(mounts, key=lambda mount: mount["mountPath"]):
        flags = "ro" if mount.get("readOnly") else "rw"
        if mount.get("subPath"):
            flags += f',path="{mount["subPath"]}"'
        w.line(3, f"{mount['mountPath']} from {mount['name']} ({flags})")
    if container.get("volumeDevices"):
        w.line(2, "Devices:" + ("" if mounts else "\t<none>"))
        for device in sorted(container["volumeDevices"], key=lambda device: device["devicePath"]):
            w.line(3, f"{device['devicePath']} from {device['name']}")


def volumes(w: Writer, listed: list[Object], space: str = "") -> None:
    w.line(0, f"{space}Volumes:" + ("" if listed else "\t<none>"))
    for volume in listed:
        w.line(1, (" " if space else "") + f"{volume['name']}:")
        if projected := volume.get("projected"):
            w(2, "Type", "Projected (a volume that contains injected data from multiple sources)")
            for source in projected.get("sources") or ():
                _projection(w, source)
        elif downward := volume.get("downwardAPI"):
            w(2, "Type", "DownwardAPI (a volume populated by information about the pod)")
            w.line(2, "Items:")
            for item in downward.get("items") or ():
                what: Any = (item.get("fieldRef") or {}).get("fieldPath") or (
                    item.get("resourceFieldRef") or {}
                ).get("resource")
                w.line(3, f"{what} -> {item['path']}")
        elif ephemeral := volume.get("ephemeral"):
            about = "an inline specification for a volume that gets created and deleted with the pod"
            w(2, "Type", f"EphemeralVolume ({about})")
            if claim := ephemeral.get("volumeClaimTemplate"):
                write_claim(w.nested(2), claim, whole=False)
        else:
            write_source(w, volume)


def _projection(w: Writer, source: Object) -> None:
    for label, key in (("SecretName", "secret"), ("ConfigMapName", "configMap")):
        if each := source.get(key):
            w(2, label, each.get("name") or "")
            w(2, "Optional", bool(each.get("optional")))
    if source.get("downwardAPI") is not None:
        w(2, "DownwardAPI", True)
    if token := source.get("serviceAccountToken"):
        w(2, "TokenExpirationSeconds", token.get("expirationSeconds"))
