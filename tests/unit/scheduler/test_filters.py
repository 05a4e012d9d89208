"""Why a pod may not go to a node: one table for all plugins that look at nodes and pods."""

from __future__ import annotations

from typing import Any

import pytest

from .builders import affinity, decide, near, node, pod

NO_EXECUTE = {"key": "k", "value": "v", "effect": "NoExecute"}
NO_SCHEDULE = {"key": "k", "value": "v", "effect": "NoSchedule"}
HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
WEB = {"app": "web"}


def wants(*expressions: dict[str, Any], fields: Any = ()) -> dict[str, Any]:
    term = {"matchExpressions": list(expressions), "matchFields": list(fields)}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}


def spread(key: str = ZONE, skew: int = 1, **more: Any) -> list[dict[str, Any]]:
    constraint = {"topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": "DoNotSchedule"}
    return [{**constraint, "labelSelector": {"matchLabels": WEB}, **more}]


TAINT = "node(s) had untolerated taint(s)"
SELECTOR = "node(s) didn't match Pod's node affinity/selector"
PORTS = "node(s) didn't have free ports for the requested pod ports"
NEAR = "node(s) didn't match pod affinity rules"
FAR = "node(s) didn't match pod anti-affinity rules"
EXISTING = "node(s) didn't satisfy existing pods anti-affinity rules"
SKEW = "node(s) didn't match pod topology spread constraints"
WITHOUT = f"{SKEW} (missing required label)"
FEATURES = "node(s) didn't match Pod's required features"
RESTARTS = [{"action": "RestartAllContainers"}]
http = {"hostPort": 80, "containerPort": 80}


# what it is about, the pod, the node, pods on it, the reason (or "" when it fits)
CASES: list[tuple[str, Any, Any, list[Any], str]] = [
    ("an empty node takes any pod", pod(), node("a"), [], ""),
    ("cordoned", pod(), node("a", unschedulable=True), [], "node(s) were unschedulable"),
    (
        "cordoned, and tolerated",
        pod(tolerations=[{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]),
        node("a", unschedulable=True),
        [],
        "",
    ),
    (
        "another node by name",
        pod(nodeName="b"),
        node("a"),
        [],
        "node(s) didn't match the requested node name",
    ),
    ("a taint", pod(), node("a", taints=[NO_SCHEDULE]), [], TAINT),
    ("a taint that evicts", pod(), node("a", taints=[NO_EXECUTE]), [], TAINT),
    (
        "a preference is no obstacle",
        pod(),
        node("a", taints=[{**NO_SCHEDULE, "effect": "PreferNoSchedule"}]),
        [],
        "",
    ),
    ("tolerated", pod(tolerations=[{"key": "k", "value": "v"}]), node("a", taints=[NO_SCHEDULE]), [], ""),
    (
        "another value",
        pod(tolerations=[{"key": "k", "value": "w"}]),
        node("a", taints=[NO_SCHEDULE]),
        [],
        TAINT,
    ),
    (
        "another effect",
        pod(tolerations=[{"key": "k", "operator": "Exists", "effect": "NoExecute"}]),
        node("a", taints=[NO_SCHEDULE]),
        [],
        TAINT,
    ),
    (
        "everything tolerated",
        pod(tolerations=[{"operator": "Exists"}]),
        node("a", taints=[NO_SCHEDULE]),
        [],
        "",
    ),
    ("a node selector", pod(nodeSelector={"disk": "ssd"}), node("a", labels={"disk": "ssd"}), [], ""),
    ("another label", pod(nodeSelector={"disk": "ssd"}), node("a", labels={"disk": "hdd"}), [], SELECTOR),
    (
        "affinity: a number",
        pod(affinity=wants({"key": "cores", "operator": "Gt", "values": ["4"]})),
        node("a", labels={"cores": "8"}),
        [],
        "",
    ),
    (
        "affinity: not in",
        pod(affinity=wants({"key": "disk", "operator": "NotIn", "values": ["hdd"]})),
        node("a", labels={"disk": "hdd"}),
        [],
        SELECTOR,
    ),
    ("affinity: an empty term", pod(affinity=wants()), node("a"), [], SELECTOR),
    (
        "affinity: another node by its field",
        pod(affinity=wants(fields=[{"key": "metadata.name", "operator": "In", "values": ["b"]}])),
        node("a"),
        [],
        "node(s) didn't satisfy plugin(s) [NodeAffinity]",
    ),
    ("a host port", pod(ports=[http]), node("a"), [pod("x", ports=[http])], PORTS),
    (
        "of another protocol",
        pod(ports=[http]),
        node("a"),
        [pod("x", ports=[{**http, "protocol": "UDP"}])],
        "",
    ),
    (
        "of other addresses",
        pod(ports=[{**http, "hostIP": "127.0.0.1"}]),
        node("a"),
        [pod("x", ports=[{**http, "hostIP": "127.0.0.2"}])],
        "",
    ),
    (
        "of all addresses",
        pod(ports=[{**http, "hostIP": "127.0.0.1"}]),
        node("a"),
        [pod("x", ports=[http])],
        PORTS,
    ),
    ("room", pod(cpu="1"), node("a", cpu="2"), [pod("x", cpu="1")], ""),
    ("no CPU", pod(cpu="1500m"), node("a", cpu="2"), [pod("x", cpu="1")], "Insufficient cpu"),
    ("wants none of what is short", pod(cpu="0"), node("a", cpu="1"), [pod("x", cpu="2")], ""),
    ("too large", pod(memory="9Gi"), node("a"), [], "Insufficient memory"),
    ("no such device", pod(requests={"example.com/gpu": "1"}), node("a"), [], "Insufficient example.com/gpu"),
    ("full", pod(), node("a", pods="1"), [pod("x")], "Too many pods"),
    ("affinity: nobody there", pod(affinity=affinity("podAffinity", near(HOST))), node("a"), [], NEAR),
    (
        "affinity: there",
        pod(affinity=affinity("podAffinity", near(HOST))),
        node("a"),
        [pod("x", labels=WEB)],
        "",
    ),
    (
        "affinity: the first of its kind",
        pod(labels=WEB, affinity=affinity("podAffinity", near(HOST))),
        node("a"),
        [],
        "",
    ),
    (
        "affinity: in another namespace",
        pod(affinity=affinity("podAffinity", near(HOST))),
        node("a"),
        [pod("x", labels=WEB, namespace="other")],
        NEAR,
    ),
    (
        "affinity: in a namespace that is named",
        pod(affinity=affinity("podAffinity", near(HOST, namespaces=["other"]))),
        node("a"),
        [pod("x", labels=WEB, namespace="other")],
        "",
    ),
    (
        "affinity: in any namespace",
        pod(affinity=affinity("podAffinity", near(HOST, namespaceSelector={}))),
        node("a"),
        [pod("x", labels=WEB, namespace="other")],
        "",
    ),
    (
        "affinity: a node without the label",
        pod(labels=WEB, affinity=affinity("podAffinity", near(ZONE))),
        node("a"),
        [],
        NEAR,
    ),
    (
        "anti-affinity",
        pod(affinity=affinity("podAntiAffinity", near(HOST))),
        node("a"),
        [pod("x", labels=WEB)],
        FAR,
    ),
    (
        "anti-affinity of those that are there",
        pod(labels=WEB),
        node("a"),
        [pod("x", affinity=affinity("podAntiAffinity", near(HOST)))],
        EXISTING,
    ),
    ("spreading: no zone", pod(labels=WEB, topologySpreadConstraints=spread()), node("a"), [], WITHOUT),
    ("spreading: one zone", pod(labels=WEB, topologySpreadConstraints=spread()), node("a", zone="z"), [], ""),
    (
        "spreading: too few zones",
        pod(labels=WEB, topologySpreadConstraints=spread(minDomains=2)),
        node("a", zone="z"),
        [pod("x", labels=WEB)],
        SKEW,
    ),
    (
        "spreading: who is going does not count",
        pod(labels=WEB, topologySpreadConstraints=spread(minDomains=2)),
        node("a", zone="z"),
        [pod("x", labels=WEB, deleted=True)],
        "",
    ),
    ("features: unknown to the node", pod(rules=RESTARTS), node("a"), [], FEATURES),
    (
        "features: declared",
        pod(rules=RESTARTS),
        node("a", features=["RestartAllContainersOnContainerExits"]),
        [],
        "",
    ),
]


@pytest.mark.parametrize(
    ("new", "there", "pods", "reason"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_a_node_says_why_it_cannot_take_a_pod(new, there, pods, reason):
    name = there["metadata"]["name"]
    decision = decide(new, there, pods={name: pods})
    assert decision.node == ("" if reason else name)
    if reason:
        assert decision.rejections[name].reasons == (reason,)
        assert decision.message.startswith(
            f"0/1 nodes are available: 1 {reason}. no new claims to deallocate, preemption:"
        )


def test_spreading_goes_where_there_are_fewest():
    new = pod(labels=WEB, topologySpreadConstraints=spread())
    nodes = [node("a", zone="z1"), node("b", zone="z1"), node("c", zone="z2")]
    decision = decide(new, *nodes, pods={"a": pod("x", labels=WEB)})
    assert decision.node == "c"
    assert {n: r.reasons for n, r in decision.rejections.items()} == {"a": (SKEW,), "b": (SKEW,)}


def test_spreading_leaves_out_nodes_that_the_pod_could_not_use():
    only = {"nodeSelector": {"disk": "ssd"}}
    nodes = [node("a", zone="z1", labels={"disk": "ssd"}), node("b", zone="z2")]
    there = {"a": pod("x", labels=WEB)}
    assert decide(pod(labels=WEB, topologySpreadConstraints=spread(), **only), *nodes, pods=there).node == "a"
    ignoring = spread(nodeAffinityPolicy="Ignore")
    assert decide(pod(labels=WEB, topologySpreadConstraints=ignoring, **only), *nodes, pods=there).node == ""


def test_all_terms_of_an_affinity_must_be_met_by_one_pod():
    both = affinity("podAffinity", near(HOST), near(HOST, labels={"tier": "x"}))
    split = [pod("x", labels=WEB), pod("y", labels={"tier": "x"})]
    assert decide(pod(affinity=both), node("a"), pods={"a": split}).node == ""
    assert (
        decide(pod(affinity=both), node("a"), pods={"a": pod("x", labels={**WEB, "tier": "x"})}).node == "a"
    )


def test_the_message_counts_nodes_by_reason():
    nodes = [
        node("a", cpu="1"),
        node("b", cpu="1"),
        node("c", taints=[NO_SCHEDULE]),
        node("d", unschedulable=True),
    ]
    assert decide(pod(cpu="2"), *nodes).message == (
        "0/4 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, 2 Insufficient cpu. "
        "no new claims to deallocate, preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling."
    )


def test_a_cluster_without_nodes_says_so():
    assert decide(pod()).message == "no nodes available to schedule pods"
