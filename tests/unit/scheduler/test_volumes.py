"""Pods go where their volumes are, or can be made."""

from __future__ import annotations

from typing import Any

import pytest

from pilothouse.scheduler.framework import Cycle
from pilothouse.scheduler.plugins.volume_binding import VolumeBinding
from pilothouse.scheduler.snapshot import PodInfo

from .builders import Storage, claim, decide, mounting, node, pod, snapshot, volume

WAIT = {"metadata": {"name": "wait"}, "provisioner": "kubernetes.io/no-provisioner"}
WAIT["volumeBindingMode"] = "WaitForFirstConsumer"
MADE = {**WAIT, "metadata": {"name": "made"}, "provisioner": "example.com/disk"}
NOW = {"metadata": {"name": "now"}, "provisioner": "example.com/disk", "volumeBindingMode": "Immediate"}
SSD = {"allowedTopologies": [{"matchLabelExpressions": [{"key": "disk", "values": ["ssd"]}]}]}
ZONE = "topology.kubernetes.io/zone"
NOTHING = "node(s) didn't find available persistent volumes to bind"
IN_USE = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod"
TEMPLATE = [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]


# what it is about, storage, the pod's volumes, where it goes, else the reason
CASES: list[tuple[str, Storage, Any, str]] = [
    ("a claim that is not there", Storage(), mounting("c"), 'persistentvolumeclaim "c" not found'),
    (
        "a claim that is going",
        Storage({**claim("c"), "metadata": {**claim("c")["metadata"], "deletionTimestamp": "t"}}),
        mounting("c"),
        'persistentvolumeclaim "c" is being deleted',
    ),
    (
        "a claim that lost its volume",
        Storage(claim("c", volume="v", phase="Lost")),
        mounting("c"),
        'persistentvolumeclaim "c" bound to non-existent persistentvolume "v"',
    ),
    (
        "a claim that binds at once, and has not",
        Storage(claim("c", "now"), classes=[NOW]),
        mounting("c"),
        "pod has unbound immediate PersistentVolumeClaims",
    ),
    (
        "a claim without a class",
        Storage(claim("c", "")),
        mounting("c"),
        "pod has unbound immediate PersistentVolumeClaims",
    ),
    ("a bound claim", Storage(claim("c", volume="v"), volume("v", on="b")), mounting("c"), "b"),
    (
        "bound to what is gone",
        Storage(claim("c", volume="v")),
        mounting("c"),
        "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
    ),
    (
        "bound to what is elsewhere",
        Storage(claim("c", volume="v"), volume("v", on="z")),
        mounting("c"),
        "node(s) didn't match PersistentVolume's node affinity",
    ),
    ("a free volume on a node", Storage(claim("c"), volume("v", on="b"), classes=[WAIT]), mounting("c"), "b"),
    ("no free volume", Storage(claim("c"), classes=[WAIT]), mounting("c"), NOTHING),
    (
        "a volume kept for the claim is elsewhere",
        Storage(
            claim("c"),
            volume("kept", on="z", claimRef={"namespace": "default", "name": "c"}),
            volume("v", on="b"),
            classes=[WAIT],
        ),
        mounting("c"),
        NOTHING,
    ),
    (
        "one volume for two claims",
        Storage(claim("c"), claim("d"), volume("v", on="b"), classes=[WAIT]),
        mounting("c", "d"),
        NOTHING,
    ),
    ("one can be made anywhere", Storage(claim("c", "made"), classes=[MADE]), mounting("c"), "a"),
    ("one can be made on ssd", Storage(claim("c", "made"), classes=[{**MADE, **SSD}]), mounting("c"), "b"),
    (
        "one is being made",
        Storage(claim("c", "made", annotations={"volume.kubernetes.io/selected-node": "b"}), classes=[MADE]),
        mounting("c"),
        "b",
    ),
    (
        "an ephemeral claim, not yet there",
        Storage(),
        TEMPLATE,
        'waiting for ephemeral volume controller to create the persistentvolumeclaim "p-v"',
    ),
    ("an ephemeral claim", Storage(claim("p-v", "made", owner="uid-p"), classes=[MADE]), TEMPLATE, "a"),
    (
        "an ephemeral claim of somebody else",
        Storage(claim("p-v", "made", owner="other"), classes=[MADE]),
        TEMPLATE,
        "PVC default/p-v was not created for pod default/p (pod is not owner)",
    ),
    (
        "a zone",
        Storage(claim("c", volume="v"), volume("v", labels={ZONE: "z2"})),
        mounting("c"),
        "b",
    ),
    (
        "several zones",
        Storage(claim("c", volume="v"), volume("v", labels={ZONE: "z0__z2"})),
        mounting("c"),
        "b",
    ),
    (
        "another zone",
        Storage(claim("c", volume="v"), volume("v", labels={ZONE: "z9"})),
        mounting("c"),
        "node(s) had no available volume zone",
    ),
]


@pytest.mark.parametrize(("view", "volumes", "outcome"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_where_a_pod_with_volumes_goes(view, volumes, outcome):
    nodes = [node("a", zone="z1"), node("b", zone="z2", labels={"disk": "ssd"})]
    decision = decide(pod(volumes=volumes), *nodes, view=view)
    if outcome in ("a", "b"):
        assert decision.node == outcome
    else:
        assert decision.node == ""
        assert outcome in decision.message


def test_a_node_may_be_wrong_for_more_than_one_reason():
    view = Storage(claim("c", volume="v"), volume("v", on="b"), claim("d"), classes=[WAIT])
    message = decide(pod(volumes=mounting("c", "d")), node("a"), view=view).message
    reasons = f"1 {NOTHING}, 1 node(s) didn't match PersistentVolume's node affinity"
    assert message.startswith(f"0/1 nodes are available: {reasons}. ")


def test_what_must_be_written_before_the_pod_is_bound():
    plugin = VolumeBinding()
    new = pod(volumes=mounting("c", "d"))
    view = Storage(claim("c"), claim("d", "made"), volume("v", on="b"), classes=[WAIT, MADE])
    cycle = Cycle(new, PodInfo.of(new), snapshot(node("a"), node("b")), view)
    assert plugin.pre_filter(cycle) is None
    assert plugin.filter(cycle, cycle.snapshot.nodes["b"]) is None
    placement = plugin.placement(cycle, "b")
    names = [(c["metadata"]["name"], v["metadata"]["name"]) for c, v in placement.bindings]
    assert names == [("c", "v")]
    assert [c["metadata"]["name"] for c in placement.provisions] == ["d"]


def test_a_driver_that_reports_its_capacity_must_have_enough():
    view = Storage(claim("c", "made", size="5Gi"), classes=[MADE])
    view.drivers["example.com/disk"] = {"spec": {"storageCapacity": True}}
    reason = "node(s) did not have enough free storage"
    assert reason in decide(pod(volumes=mounting("c")), node("a"), view=view).message
    topology = {"matchLabels": {"kubernetes.io/hostname": "a"}}
    view.reported = [{"nodeTopology": topology, "capacity": "4Gi"}]
    assert reason in decide(pod(volumes=mounting("c")), node("a"), view=view).message
    view.reported = [{"nodeTopology": topology, "capacity": "6Gi"}]
    assert decide(pod(volumes=mounting("c")), node("a"), node("b"), view=view).node == "a"


def test_a_claim_for_one_pod_is_used_by_one_pod():
    view = Storage(claim("c", volume="v", modes=["ReadWriteOncePod"]), volume("v"))
    there = {"a": pod("x", volumes=mounting("c"))}
    decision = decide(pod(volumes=mounting("c")), node("a"), node("b"), pods=there, view=view)
    assert f"2 {IN_USE}" in decision.message
    assert decide(pod(volumes=mounting("c"), priority=1), node("a"), pods=there, view=view).nominated == "a"


@pytest.mark.parametrize(
    ("source", "mine", "theirs", "clash"),
    [
        ("iscsi", {"iqn": "q"}, {"iqn": "q"}, True),
        ("iscsi", {"iqn": "q", "readOnly": True}, {"iqn": "q", "readOnly": True}, False),
        ("iscsi", {"iqn": "q"}, {"iqn": "r"}, False),
        (
            "awsElasticBlockStore",
            {"volumeID": "v", "readOnly": True},
            {"volumeID": "v", "readOnly": True},
            True,
        ),
        ("rbd", {"monitors": ["m"], "image": "i"}, {"monitors": ["n"], "image": "i"}, False),
        ("rbd", {"monitors": ["m", "n"], "image": "i"}, {"monitors": ["n"], "image": "i"}, True),
    ],
)
def test_a_disk_is_mounted_for_writing_once(source, mine, theirs, clash):
    new, there = pod(volumes=[{"name": "v", source: mine}]), pod("x", volumes=[{"name": "v", source: theirs}])
    decision = decide(new, node("a"), pods={"a": there})
    assert decision.node == ("" if clash else "a")
    assert ("1 node(s) had no available disk" in decision.message) is clash


def test_a_node_attaches_as_many_volumes_as_its_driver_can():
    def disk(name: str) -> Any:
        return volume(name, csi={"driver": "example.com/disk", "volumeHandle": name})

    limit = {
        "metadata": {"name": "a"},
        "spec": {"drivers": [{"name": "example.com/disk", "allocatable": {"count": 1}}]},
    }
    view = Storage(claim("c", volume="v"), disk("v"), claim("d", volume="w"), disk("w"), csi_nodes=[limit])
    there = {"a": pod("x", volumes=mounting("c"))}
    full = decide(pod(volumes=mounting("d")), node("a"), pods=there, view=view)
    assert "1 node(s) exceed max volume count" in full.message
    assert decide(pod(volumes=mounting("c")), node("a"), pods=there, view=view).node == "a"
    assert decide(pod(volumes=mounting("d")), node("a"), node("b"), pods=there, view=view).node == "b"
