"""Volumes, claims, the kinds of storage.k8s.io, nodes and namespaces."""

from __future__ import annotations

from typing import Any

import pytest

from .checking import fields, of_create, of_update


def claim(phase: str = "Pending", size: str = "2Gi", **spec: Any) -> dict[str, Any]:
    own = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec}
    return {"spec": own, "status": {"phase": phase, "capacity": {"storage": "1Gi"}}}


def volume(**spec: Any) -> dict[str, Any]:
    own = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/a"}}
    return {"spec": own | spec}


def test_claims() -> None:
    assert of_create("persistentvolumeclaims", claim()) == []
    assert of_create("persistentvolumeclaims", {"spec": {}}) == [
        ("spec.accessModes", "Required value: at least 1 access mode is required"),
        ("spec.resources[storage]", "Required value"),
    ]


def test_a_bound_claim_may_grow_and_shrink_to_what_it_has() -> None:
    old = claim("Bound", "3Gi")
    assert of_update("persistentvolumeclaims", claim("Bound", "4Gi"), old) == []
    assert of_update("persistentvolumeclaims", claim("Bound", "2Gi"), old) == []
    assert fields(of_update("persistentvolumeclaims", claim("Bound", "1Gi"), old)) == [
        "spec.resources.requests.storage"
    ]
    assert fields(of_update("persistentvolumeclaims", claim(size="4Gi"), claim(size="3Gi"))) == ["spec"]


def test_the_class_of_a_claim_may_be_set_once() -> None:
    assert of_update("persistentvolumeclaims", claim(storageClassName="a"), claim()) == []
    changed = of_update("persistentvolumeclaims", claim(storageClassName="b"), claim(storageClassName="a"))
    assert fields(changed) == ["spec"]


def test_volumes_have_one_source_for_good() -> None:
    assert of_create("persistentvolumes", volume()) == []
    assert fields(of_create("persistentvolumes", volume(nfs={"server": "s", "path": "/"}))) == ["spec.nfs"]
    assert fields(of_create("persistentvolumes", volume(local={"path": "/"}))) == ["spec.local"]
    changed = of_update("persistentvolumes", volume(hostPath={"path": "/b"}), volume())
    assert fields(changed) == ["spec.persistentvolumesource"]
    grown = of_update("persistentvolumes", volume(capacity={"storage": "2Gi"}), volume())
    assert grown == []


def test_a_volumes_affinity_may_only_move_from_beta_labels() -> None:
    def on(key: str) -> dict[str, Any]:
        term = {"matchExpressions": [{"key": key, "operator": "In", "values": ["a"]}]}
        return volume(nodeAffinity={"required": {"nodeSelectorTerms": [term]}})

    beta = on("failure-domain.beta.kubernetes.io/zone")
    assert of_update("persistentvolumes", on("topology.kubernetes.io/zone"), beta) == []
    assert fields(of_update("persistentvolumes", on("other"), beta)) == ["nodeAffinity"]


def test_classes_do_not_change() -> None:
    old = {"provisioner": "p", "parameters": {"a": "b"}}
    assert fields(of_update("storageclasses.storage.k8s.io", old | {"provisioner": "q"}, old)) == [
        "provisioner"
    ]
    assert of_update("storageclasses.storage.k8s.io", old | {"allowVolumeExpansion": True}, old) == []


@pytest.mark.parametrize(
    ("resource", "body", "wrong"),
    [
        ("storageclasses", {"provisioner": "p", "volumeBindingMode": ""}, ["volumeBindingMode"]),
        (
            "storageclasses",
            {"provisioner": "p", "allowedTopologies": [{}, {}]},
            ["allowedTopologies[0].matchLabelExpressions"] * 2
            + ["allowedTopologies[1].matchLabelExpressions"] * 3,
        ),
        (
            "csidrivers",
            {"spec": {"serviceAccountTokenInSecrets": True}},
            ["spec.serviceAccountTokenInSecrets"],
        ),
        (
            "csidrivers",
            {"spec": {"tokenRequests": [{"audience": "a"}, {"audience": "a", "expirationSeconds": 1}]}},
            ["spec.tokenRequests[1].audience"],
        ),
        (
            "csistoragecapacities",
            {"storageClassName": "c", "capacity": "-1", "maximumVolumeSize": "-1"},
            ["capacity"],
        ),
    ],
)
def test_new_kinds_of_storage(resource: str, body: dict[str, Any], wrong: list[str]) -> None:
    assert fields(of_create(f"{resource}.storage.k8s.io", body)) == wrong


def test_errors_of_an_attachment_are_short_and_coded_upwards() -> None:
    spec = {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "v"}}
    bad = {
        "spec": spec,
        "status": {"attached": False, "attachError": {"message": "x" * 1025, "errorCode": -1}},
    }
    causes = of_update("volumeattachments.storage.k8s.io", bad, {"spec": spec}, "status")
    assert fields(causes) == ["status.attachError.message", "status.attachError.errorCode"]


def test_drivers_of_a_node_come_and_go_but_do_not_change() -> None:
    def node(*ids: str) -> dict[str, Any]:
        return {"spec": {"drivers": [{"name": f"d{i}", "nodeID": id_} for i, id_ in enumerate(ids)]}}

    assert of_update("csinodes.storage.k8s.io", node("a", "b"), node("a")) == []
    assert fields(of_update("csinodes.storage.k8s.io", node("b"), node("a"))) == ["spec.drivers"]


def test_taints_are_unique_and_addresses_of_pods_stay() -> None:
    twice = {"spec": {"taints": [{"key": "a", "effect": "NoExecute"}, {"key": "a", "effect": "NoExecute"}]}}
    assert of_create("nodes", twice) == [
        (
            "metadata.taints[1]",
            'Duplicate value: {"Key":"a","Value":"","Effect":"NoExecute","TimeAdded":null}: '
            "taints must be unique by key and effect pair",
        )
    ]
    old = {"spec": {"podCIDRs": ["10.0.0.0/24"]}}
    assert fields(of_update("nodes", {"spec": {"podCIDRs": ["10.0.1.0/24"]}}, old)) == ["spec.podCIDRs"]


def test_a_namespace_is_terminating_when_it_is_deleted() -> None:
    terminating = {"status": {"phase": "Terminating"}}
    assert fields(of_update("namespaces", terminating, {}, "status")) == ["status.Phase"]
    assert fields(of_update("namespaces", {"spec": {"finalizers": ["x"]}}, {}, "finalize")) == ["spec.finalizers[0]"]  # fmt: skip


@pytest.mark.parametrize(
    ("resource", "new", "old", "field", "message"),
    [
        ("nodes", {"status": {"allocatable": {"cpu": "-1"}}}, {}, "status.allocatable.cpu", 'Invalid value: "-1": must be greater than or equal to 0'),
        (
            "persistentvolumeclaims",
            claim() | {"status": {"allocatedResourceStatuses": {"storage": "Odd"}}},
            claim(),
            "status.allocatedResourceStatuses",
            'Unsupported value: "storage": supported values: "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending"',
        ),
    ],
)  # fmt: skip
def test_what_a_status_may_not_say(
    resource: str, new: dict[str, Any], old: dict[str, Any], field: str, message: str
) -> None:
    assert of_update(resource, new, old, "status") == [(field, message)]


def test_what_would_change_is_shown() -> None:
    (_, why), *_ = of_update("persistentvolumes", volume(hostPath={"path": "/b"}), volume())
    assert '-  "Path": "/a",\n+  "Path": "/b",' in why
    (_, why), *_ = of_update("persistentvolumeclaims", claim(volumeMode="Block"), claim())
    assert '- "VolumeMode": "Filesystem",\n+ "VolumeMode": "Block",' in why


def test_ranges_of_nodes_have_no_bits_beyond_their_prefix() -> None:
    assert fields(of_create("nodes", {"spec": {"podCIDRs": ["10.0.0.1/24"]}})) == ["spec.podCIDRs[0]"]
