"""Pods, and the pod templates of everything that makes pods."""

from __future__ import annotations

import functools
import re
from typing import Any

from ..object import Object
from .common import put, put_text, quantities, quantity, spec, sub

MODE = 420  # 0644
DEFAULT_TOKEN_EXPIRATION_S = 3600


def default_pod(pod: Object) -> None:
    own = spec(pod)
    _drop_old_annotations(pod)
    if status := pod.get("status"):
        pod["status"] = _with_addresses(status)
    default_pod_spec(own)
    for container in _containers(own):
        _requests_from_limits(container)
    resources = own.get("resources")
    if isinstance(resources, dict):
        quantities(resources, "limits", "requests")
        _pod_level_requests(own, resources)
    grace = own.get("terminationGracePeriodSeconds")
    if isinstance(grace, int) and grace < 0:  # so read, of pods alone
        own["terminationGracePeriodSeconds"] = 1
    put(own, enableServiceLinks=True)
    if own.get("hostNetwork"):
        _host_ports(own)


def default_pod_template_object(obj: Object) -> None:
    default_template(obj)


def default_template(owner: Object) -> None:
    """`owner["template"]`: the same defaults as a pod's, but for what only a pod gets."""
    template = sub(owner, "template")
    sub(template, "metadata")
    _drop_old_annotations(template)
    default_pod_spec(spec(template))


_OLD_ANNOTATIONS = tuple(
    f"pod.{stage}.kubernetes.io/init-container{what}"
    for stage in ("beta", "alpha")
    for what in ("s", "-statuses")
)


def _drop_old_annotations(holder: Object) -> None:
    """Init containers were annotations once; nobody reads them any more."""
    noted = (holder.get("metadata") or {}).get("annotations") or {}
    for key in _OLD_ANNOTATIONS if noted else ():
        noted.pop(key, None)


def _containers(own: Object) -> list[Object]:
    return [c for key in ("initContainers", "containers") for c in own.get(key) or () if isinstance(c, dict)]


def _requests_from_limits(container: Object) -> None:
    resources = container.get("resources")
    if isinstance(resources, dict) and resources.get("limits"):
        requests = sub(resources, "requests")
        for name, value in resources["limits"].items():
            requests.setdefault(name, value)


def _pod_level_requests(own: Object, resources: Object) -> None:
    """KEP-2837: where the pod has a limit, and no request of its own: its containers' sum if they ask, else the limit."""
    limits, requests = dict(resources.get("limits") or {}), dict(resources.get("requests") or {})
    if not limits and not requests:
        return
    from ..qos import containers_limits, containers_requests

    for name, value in containers_limits(own).items():
        if name.startswith("hugepages-") and name not in requests:
            limits.setdefault(name, value)
    if limits:
        resources["limits"] = limits
        for name, value in containers_requests(own).items():
            if name in ("cpu", "memory"):
                requests.setdefault(name, value)
        for name, value in limits.items():
            if name in ("cpu", "memory") or name.startswith("hugepages-"):
                requests.setdefault(name, value)
    if requests:
        resources["requests"] = requests


def _host_ports(own: Object) -> None:
    for container in _containers(own):
        for port in container.get("ports") or ():
            if not port.get("hostPort"):
                port["hostPort"] = port.get("containerPort")


def default_pod_spec(own: Object) -> None:
    put_text(own, restartPolicy="Always", dnsPolicy="ClusterFirst", schedulerName="default-scheduler")
    put(own, terminationGracePeriodSeconds=30, securityContext={})
    account = own.get("serviceAccountName") or own.get("serviceAccount")
    if account:
        own["serviceAccountName"] = own["serviceAccount"] = account
    own.pop("schedulingGroup", None)  # behind a gate that is off (GenericWorkload)
    for key in ("initContainers", "containers", "ephemeralContainers"):
        for container in own.get(key) or ():
            default_container(container)
    for volume in own.get("volumes") or ():
        default_volume(volume)
    quantities(own, "overhead")


def default_container(container: Object) -> None:
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = _pull_policy(container.get("image") or "")
    put_text(container, terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File")
    put(container, resources={})
    for port in container.get("ports") or ():
        put_text(port, protocol="TCP")
    resources = container["resources"]
    if isinstance(resources, dict):
        quantities(resources, "limits", "requests")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if isinstance(container.get(probe), dict):
            _probe(container[probe])
    lifecycle = container.get("lifecycle")
    if isinstance(lifecycle, dict):
        if lifecycle.pop("stopSignal", None) and not lifecycle:  # ContainerStopSignals is off
            del container["lifecycle"]
        for hook in ("postStart", "preStop"):
            if isinstance(lifecycle.get(hook), dict):
                _http_get(lifecycle[hook].get("httpGet"))
    for variable in container.get("env") or ():
        source = variable.get("valueFrom")
        if isinstance(source, dict):
            _value_source(source)


def _value_source(source: Object) -> None:
    if isinstance(source.get("fieldRef"), dict):
        put_text(source["fieldRef"], apiVersion="v1")
    reference = source.get("resourceFieldRef")
    if isinstance(reference, dict):
        reference["divisor"] = quantity(reference.get("divisor") or "0")


_LABEL, _PART = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?", r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?!{'[a-f0-9]' * 64}$)(?:(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?/)?{_PART}(?:/{_PART})*"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?P<digest>@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?",
    re.ASCII,
)


@functools.lru_cache(maxsize=4096)
def _pull_policy(image: str) -> str:
    """Always for `:latest` and for no tag; a digest is as good as a tag, and what is no reference as one that is not `latest`."""
    read = _IMAGE.fullmatch(image)
    latest = read is not None and (read["tag"] == "latest" or not (read["tag"] or read["digest"]))
    return "Always" if latest else "IfNotPresent"


def _probe(probe: Object) -> None:
    for key, value in (
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ):
        if not probe.get(key):
            probe[key] = value
    _http_get(probe.get("httpGet"))
    if isinstance(probe.get("grpc"), dict):
        put(probe["grpc"], service="")


def _http_get(action: Any) -> None:
    if isinstance(action, dict):
        put_text(action, path="/", scheme="HTTP")


def default_volume(volume: Object) -> None:
    if not any(key != "name" and value is not None for key, value in volume.items()):
        volume["emptyDir"] = {}
    if isinstance(volume.get("emptyDir"), dict) and volume["emptyDir"].get("sizeLimit") is not None:
        volume["emptyDir"]["sizeLimit"] = quantity(volume["emptyDir"]["sizeLimit"])
    for key in ("secret", "configMap"):
        if isinstance(volume.get(key), dict):
            put(volume[key], defaultMode=MODE)
    if isinstance(volume.get("downwardAPI"), dict):
        put(volume["downwardAPI"], defaultMode=MODE)
        _downward_items(volume["downwardAPI"])
    if isinstance(volume.get("hostPath"), dict):
        put(volume["hostPath"], type="")
    if isinstance(volume.get("projected"), dict):
        put(volume["projected"], defaultMode=MODE)
        for source in volume["projected"].get("sources") or ():
            for off in ("clusterTrustBundle", "podCertificate"):  # their gates are
                source.pop(off, None)
            if isinstance(source.get("downwardAPI"), dict):
                _downward_items(source["downwardAPI"])
            if isinstance(source.get("serviceAccountToken"), dict):
                put(source["serviceAccountToken"], expirationSeconds=DEFAULT_TOKEN_EXPIRATION_S)
    if isinstance(volume.get("image"), dict):
        put_text(volume["image"], pullPolicy=_pull_policy(volume["image"].get("reference") or ""))
    ephemeral = volume.get("ephemeral")
    if isinstance(ephemeral, dict):
        template = ephemeral.get("volumeClaimTemplate")
        if isinstance(template, dict):
            put(spec(template), volumeMode="Filesystem")
            if isinstance(template["spec"].get("resources"), dict):
                quantities(template["spec"]["resources"], "limits", "requests")
    default_volume_source(volume)


def default_volume_source(volume: Object) -> None:
    """What pods' volumes and persistent volumes have in common."""
    if isinstance(volume.get("iscsi"), dict):
        put_text(volume["iscsi"], iscsiInterface="default")
    if isinstance(volume.get("rbd"), dict):
        put_text(volume["rbd"], pool="rbd", user="admin", keyring="/etc/ceph/keyring")
    if isinstance(volume.get("azureDisk"), dict):
        put(volume["azureDisk"], cachingMode="ReadWrite", kind="Shared", fsType="ext4", readOnly=False)
    if isinstance(volume.get("scaleIO"), dict):
        put_text(volume["scaleIO"], storageMode="ThinProvisioned", fsType="xfs")


def _downward_items(source: Object) -> None:
    for item in source.get("items") or ():
        _value_source(item)


def _with_addresses(status: Object) -> Object:
    """`podIP` and the first of `podIPs` are one field with two names (KEP-563)."""
    address, addresses = status.get("podIP"), status.get("podIPs")
    if address and (not addresses or addresses[0].get("ip") != address):
        return {**status, "podIPs": [{"ip": address}]}
    if addresses and not address:
        return {**status, "podIP": addresses[0].get("ip", "")}
    return status
