"""Protobuf bodies: what real clients sent, every special type, and bytes that no client would send."""

from __future__ import annotations

import base64
import random
import struct

import pytest

from pilothouse.api.decode import decode, decode_options
from pilothouse.api.errors import ApiError
from pilothouse.api.kinds import Kind, kind_of_resource
from pilothouse.api.object import Object

PROTOBUF = "application/vnd.kubernetes.protobuf"

# kubectl 1.36.3: create deployment web --image=nginx --replicas=2 --port=80
DEPLOYMENT_BODY = base64.b64decode(
    "azhzAAoVCgdhcHBzL3YxEgpEZXBsb3ltZW50ErgBCh8KA3dlYhIAGgAiACoAMgA4AEIAWgoKA2FwcBIDd2ViEoYBCAISDAoKCgNh"
    "cHASA3dlYhpsChwKABIAGgAiACoAMgA4AEIAWgoKA2FwcBIDd2ViEkwSLgoFbmdpbngSBW5naW54KgAyCgoAEAAYUCIAKgBCAGoA"
    "cgCAAQCIAQCQAQCiAQAaADIAQgBKAFIAWABgAGgAggEAigEAmgEAwgEAIgIKACgAOAAaDAgAEAAYACAAKAA4ABoAIgA="
)
# kubectl 1.36.3: create pdb p --selector=app=x --min-available=50%
BUDGET_BODY = base64.b64decode(
    "azhzAAogCglwb2xpY3kvdjESE1BvZERpc3J1cHRpb25CdWRnZXQSOAoRCgFwEgAaACIAKgAyADgAQgASFwoJCAEQABoDNTAlEgoK"
    "CAoDYXBwEgF4GgoIABgAIAAoADAAGgAiAA=="
)


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def data(field: int, value: bytes | str) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(raw)) + raw


def envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    return b"k8s\x00" + data(1, data(1, api_version) + data(2, kind)) + data(2, raw)


def decoded(resource: str, raw: bytes) -> Object:
    kind = kind_of_resource(resource)
    obj, warnings = decode(envelope(kind.api_version, kind.kind, raw), PROTOBUF, kind, "Strict")
    assert warnings == []
    return obj


def test_what_kubectl_creates() -> None:
    deployment, _ = decode(DEPLOYMENT_BODY, PROTOBUF, kind_of_resource("deployments.apps"), "Strict")
    container = {"name": "nginx", "image": "nginx", "ports": [{"containerPort": 80}], "resources": {}}
    assert deployment == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}},
        },
        "status": {},
    }
    budget, _ = decode(BUDGET_BODY, PROTOBUF, kind_of_resource("poddisruptionbudgets.policy"), "Strict")
    assert budget["spec"] == {"minAvailable": "50%", "selector": {"matchLabels": {"app": "x"}}}


def test_inlined_messages_and_maps_of_quantities() -> None:
    host_path = data(1, "v") + data(2, data(1, data(1, "/tmp") + data(2, "Directory")))
    limits = data(1, data(1, "cpu") + data(2, data(1, "1500m")))
    container = (
        data(1, "c") + data(8, limits) + data(10, data(1, data(2, data(2, number(1, 0) + number(2, 80)))))
    )
    pod = decoded("pods", data(2, data(1, host_path) + data(2, container)))
    assert pod["spec"]["volumes"] == [{"name": "v", "hostPath": {"path": "/tmp", "type": "Directory"}}]
    assert pod["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "1500m"}}
    assert pod["spec"]["containers"][0]["livenessProbe"]["httpGet"]["port"] == 80


def test_times() -> None:
    lease = decoded(
        "leases.coordination.k8s.io",
        data(1, data(8, number(1, 1_700_000_000)))
        + data(2, number(2, 15) + data(4, number(1, 1_700_000_000) + number(2, 123_456_000))),
    )
    assert lease["metadata"]["creationTimestamp"] == "2023-11-14T22:13:20Z"
    assert lease["spec"] == {"leaseDurationSeconds": 15, "renewTime": "2023-11-14T22:13:20.123456Z"}
    assert "creationTimestamp" not in decoded("configmaps", data(1, data(8, b"")))["metadata"]


def test_bytes_negative_numbers_raw_json_and_wrapped_lists() -> None:
    secret = decoded("secrets", data(2, data(1, "k") + data(2, b"\x00\xff")))
    assert secret["data"] == {"k": "AP8="}
    priority = decoded("priorityclasses.scheduling.k8s.io", number(2, -5))
    assert priority["value"] == -5
    revision = decoded("controllerrevisions.apps", data(2, data(1, b'{"a":[1]}')) + number(3, 7))
    assert (revision["data"], revision["revision"]) == ({"a": [1]}, 7)
    extra = data(1, "scopes") + data(2, data(1, "x") + data(1, "y"))
    review = decoded("subjectaccessreviews.authorization.k8s.io", data(2, data(5, extra)))
    assert review["spec"]["extra"] == {"scopes": ["x", "y"]}


def test_schemas_of_custom_resources() -> None:
    allows = data(30, number(1, 0))
    items = data(24, data(1, data(5, "string")))
    default = data(8, data(1, b'"x"'))
    maximum = varint(9 << 3 | 1) + struct.pack("<d", 1.5)
    props = data(5, "object") + allows + items + default + maximum + number(38, 1)
    version = data(1, "v1") + data(4, data(1, props))
    crd = decoded("customresourcedefinitions.apiextensions.k8s.io", data(2, data(7, version)))
    assert crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] == {
        "type": "object",
        "additionalProperties": False,
        "items": {"type": "string"},
        "default": "x",
        "maximum": 1.5,
        "x-kubernetes-preserve-unknown-fields": True,
    }


def test_delete_options() -> None:
    raw = envelope("v1", "DeleteOptions", number(1, 0) + data(4, "Foreground"))
    options = decode_options(raw, PROTOBUF)
    assert (options["gracePeriodSeconds"], options["propagationPolicy"]) == (0, "Foreground")


def test_another_kind_is_refused_as_in_json() -> None:
    with pytest.raises(ApiError, match="unknown conversion"):
        decode(envelope("v1", "Secret", b""), PROTOBUF, kind_of_resource("configmaps"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"k8s\x00\xff",
        b"k8s\x00" + data(2, b"\x0a\xff"),
        b"k8s\x00" + data(2, b"\x0a\x02\xff\xfe"),
        envelope("v1", "ConfigMap", data(1, number(1, 5))),
        envelope("v1", "ConfigMap", b"\x0b"),
    ],
)
def test_malformed_bytes_are_400(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        decode(body, PROTOBUF, kind_of_resource("configmaps"))
    assert caught.value.code == 400


def test_deep_and_wide_messages_are_refused() -> None:
    props = b""
    for _ in range(300):
        props = data(28, props)
    kind = kind_of_resource("customresourcedefinitions.apiextensions.k8s.io")
    crd = data(2, data(7, data(4, data(1, props))))
    with pytest.raises(ApiError, match="max depth"):
        decode(envelope(kind.api_version, kind.kind, crd), PROTOBUF, kind)
    pod = data(2, data(2, b"") * 600_000)
    with pytest.raises(ApiError, match="too many values"):
        decode(envelope("v1", "Pod", pod), PROTOBUF, kind_of_resource("pods"))


@pytest.mark.parametrize("body", [DEPLOYMENT_BODY, BUDGET_BODY])
def test_damaged_bodies_decode_or_are_400(body: bytes) -> None:
    kind = kind_of_resource("deployments.apps")
    source = random.Random(1)
    for _ in range(2000):
        damaged = bytearray(body)
        for _ in range(source.randint(1, 4)):
            damaged[source.randrange(4, len(damaged))] = source.randrange(256)
        try:
            decode(bytes(damaged[: source.randint(4, len(damaged))]), PROTOBUF, kind)
        except ApiError as error:
            assert error.code == 400


def test_custom_resources_have_no_protobuf() -> None:
    kind = Kind("example.com", "v1", "Widget", "widgets", "widget", custom=True)
    with pytest.raises(ApiError) as caught:
        decode(b"k8s\x00", PROTOBUF, kind)
    assert caught.value.code == 415
