"""What has changed in a pod, as Kubernetes adds it to the message: a diff of the internal types, written as JSON."""

from __future__ import annotations

import difflib
import json
from typing import Any

from ..object import Object
from .go_struct import as_go

_LINES_MAX = 5000  # comparing more would take too long for a message
_ESCAPED = {ord(c): f"\\u{ord(c):04x}" for c in "<>&"}


def of_container(old: Object, new: Object) -> str:
    return _difference(*(as_go("core.v1.EphemeralContainer", container) for container in (old, new)))


def of_pod_spec(old: Object, new: Object) -> str:
    return _difference(*(as_go("core.v1.PodSpec", spec) for spec in (old, new)))


def of_claim_spec(old: Object, new: Object) -> str:
    return _difference(*(as_go("core.v1.PersistentVolumeClaimSpec", spec) for spec in (old, new)))


_SOURCES = (
    "GCEPersistentDisk AWSElasticBlockStore HostPath Glusterfs NFS RBD Quobyte ISCSI FlexVolume Cinder CephFS FC Flocker AzureFile "
    "VsphereVolume AzureDisk PhotonPersistentDisk PortworxVolume ScaleIO Local StorageOS CSI"
).split()


def of_volume_sources(old: Object, new: Object) -> str:
    """Of PersistentVolumes."""
    before, after = (as_go("core.v1.PersistentVolumeSpec", sources) for sources in (old, new))
    return _difference(*({name: spec[name] for name in _SOURCES} for spec in (before, after)))


def _difference(old: Object, new: Object) -> str:
    before, after = (_lines(value) for value in (old, new))
    if len(before) + len(after) > _LINES_MAX:
        return ""
    return "".join(list(difflib.unified_diff(before, after))[2:])  # without the names of the files


def _lines(value: Any) -> list[str]:
    text = json.dumps(value, indent=1, ensure_ascii=False).translate(_ESCAPED)
    return [f"{line}\n" for line in text.split("\n")]
