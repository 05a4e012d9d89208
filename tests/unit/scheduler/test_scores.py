"""Which node is best where several would do."""

from __future__ import annotations

from typing import Any

import pytest

from pilothouse.scheduler.framework import Cycle, Framework, normalize_highest
from pilothouse.scheduler.plugins.image_locality import MEGABYTE, ImageLocality, normalized
from pilothouse.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from pilothouse.scheduler.plugins.node_affinity import NodeAffinity
from pilothouse.scheduler.plugins.node_resources import NodeResourcesBalancedAllocation, NodeResourcesFit
from pilothouse.scheduler.plugins.pod_topology_spread import PodTopologySpread
from pilothouse.scheduler.plugins.taint_toleration import TaintToleration
from pilothouse.scheduler.snapshot import PodInfo

from .builders import Storage, affinity, decide, near, node, pod, preferring, snapshot

HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
WEB = {"app": "web"}
SOFT = {"key": "k", "value": "v", "effect": "PreferNoSchedule"}


def prefers(weight: int, key: str, value: str) -> dict[str, Any]:
    preference = {"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}
    return {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": weight, "preference": preference}]}


def soft_spread(key: str) -> list[dict[str, Any]]:
    rule = {"topologyKey": key, "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"}
    return [{**rule, "labelSelector": {"matchLabels": WEB}}]


# plugin, what it is about, the pod, the nodes, pods on them, the score of each node (None: it does not score)
CASES: list[tuple[Any, str, Any, list[Any], dict[str, Any], dict[str, float] | None]] = [
    (
        NodeResourcesFit(),
        "least allocated, the mean of CPU and memory",
        pod(cpu="1", memory="2Gi"),
        [node("a", cpu="4", memory="8Gi"), node("b", cpu="2", memory="4Gi")],
        {},
        {"a": 75, "b": 50},
    ),
    (
        NodeResourcesFit(),
        "pods without requests count a little",
        pod(),
        [node("a", cpu="1", memory="2000Mi"), node("b", cpu="1", memory="2000Mi")],
        {"b": pod("x")},
        {"a": 90, "b": 80},
    ),
    (
        NodeResourcesBalancedAllocation(),
        "even use of both",
        pod(cpu="2", memory="4Gi"),
        [node("a", cpu="4", memory="8Gi"), node("b", cpu="4", memory="16Gi")],
        {},
        {"a": 100, "b": 87},
    ),
    (NodeResourcesBalancedAllocation(), "nothing to balance", pod(), [node("a"), node("b")], {}, None),
    (TaintToleration(), "soft taints", pod(), [node("a", taints=[SOFT]), node("b")], {}, {"a": 0, "b": 100}),
    (TaintToleration(), "no soft taints", pod(), [node("a"), node("b")], {}, None),
    (
        NodeAffinity(),
        "weights of what is met, the best is 100",
        pod(affinity={"nodeAffinity": prefers(5, "disk", "ssd")}),
        [node("a", labels={"disk": "ssd"}), node("b")],
        {},
        {"a": 100, "b": 0},
    ),
    (NodeAffinity(), "no preference", pod(), [node("a"), node("b")], {}, None),
    (
        InterPodAffinity(),
        "near is better",
        pod(affinity=preferring("podAffinity", 10, near(HOST))),
        [node("a"), node("b")],
        {"a": pod("x", labels=WEB)},
        {"a": 100, "b": 0},
    ),
    (
        InterPodAffinity(),
        "far is better",
        pod(affinity=preferring("podAntiAffinity", 10, near(HOST))),
        [node("a"), node("b")],
        {"a": pod("x", labels=WEB)},
        {"a": 0, "b": 100},
    ),
    (
        InterPodAffinity(),
        "those who need us attract us",
        pod(labels=WEB),
        [node("a"), node("b")],
        {"a": pod("x", affinity=affinity("podAffinity", near(HOST)))},
        {"a": 100, "b": 0},
    ),
    (InterPodAffinity(), "nobody cares", pod(), [node("a"), node("b")], {"a": pod("x")}, None),
    (
        PodTopologySpread(),
        "fewer of the kind is better",
        pod(labels=WEB, topologySpreadConstraints=soft_spread(HOST)),
        [node("a"), node("b"), node("c")],
        {"a": [pod("x", labels=WEB), pod("y", labels=WEB)], "b": pod("z", labels=WEB)},
        {"a": 0, "b": 33, "c": 100},
    ),
    (
        PodTopologySpread(),
        "a node without the label is the worst",
        pod(labels=WEB, topologySpreadConstraints=soft_spread(ZONE)),
        [node("a", zone="z1"), node("b", zone="z2"), node("c")],
        {"a": pod("x", labels=WEB)},
        {"a": 0, "b": 100, "c": 0},
    ),
    (
        ImageLocality(),
        "a large image that one of two has",
        pod(image="big"),
        [node("a", images=[("big:latest", 1000 * MEGABYTE)]), node("b")],
        {},
        {"a": 48, "b": 0},
    ),
    (ImageLocality(), "an image that nobody has", pod(image="big"), [node("a"), node("b")], {}, None),
]


@pytest.mark.parametrize(
    ("plugin", "new", "nodes", "pods", "expected"),
    [(case[0], *case[2:]) for case in CASES],
    ids=[f"{case[0].name}: {case[1]}" for case in CASES],
)
def test_how_good_a_node_is(plugin, new, nodes, pods, expected):
    cycle = Cycle(new, PodInfo.of(new), snapshot(*nodes, pods=pods), Storage())
    infos = cycle.snapshot.ordered()
    if not plugin.pre_score(cycle, infos):
        assert expected is None
        return
    scores = plugin.normalize(cycle, plugin.scores(cycle, infos))
    assert {info.name: score for info, score in zip(infos, scores, strict=True)} == expected


def test_pods_of_a_service_or_workload_are_spread_by_default():
    view = Storage(selectors=[{"matchLabels": WEB}])
    nodes = [node("a", zone="z1"), node("b", zone="z1"), node("c", zone="z2")]
    there = {"a": pod("x", labels=WEB)}
    assert decide(pod(labels=WEB), *nodes, pods=there, view=view).node == "c"
    there["c"] = pod("y", labels=WEB)
    assert decide(pod(labels=WEB), *nodes, pods=there, view=view).node == "b"


def test_one_feasible_node_is_not_scored():
    assert decide(pod(cpu="3"), node("a", cpu="2"), node("b", cpu="4")).scores == {"b": 0.0}


def test_equally_good_nodes_are_left_to_chance():
    new = pod()
    cycle = Cycle(new, PodInfo.of(new), snapshot(node("a"), node("b"), node("c", cpu="1")), Storage())
    from pilothouse.scheduler.plugins import default_plugins

    offered: list[list[str]] = []
    Framework(default_plugins()).schedule(cycle, lambda names: offered.append(names) or names[0])
    assert offered == [["a", "b"]]


@pytest.mark.parametrize(
    ("scores", "reverse", "expected"),
    [
        ([1.0, 2.0, 3.0], False, [33.0, 66.0, 100.0]),
        ([0.0, 0.0], False, [0.0, 0.0]),
        ([0.0, 0.0], True, [100.0, 100.0]),
        ([0.0, 2.0], True, [100.0, 0.0]),
    ],
)
def test_the_highest_becomes_one_hundred(scores, reverse, expected):
    assert normalize_highest(scores, reverse) == expected


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("nginx", "nginx:latest"),
        ("nginx:1", "nginx:1"),
        ("r:5000/a", "r:5000/a:latest"),
        ("a@sha256:0", "a@sha256:0"),
    ],
)
def test_an_image_without_tag_is_the_latest(image, expected):
    assert normalized(image) == expected


def test_each_container_that_asks_for_nothing_counts_a_little():
    asks = {"name": "b", "resources": {"requests": {"cpu": "1"}}}
    info = PodInfo.of({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}, asks]}})
    assert (info.requests, info.cpu_nonzero_milli, info.memory_nonzero_bytes) == (
        {"cpu": 1000},
        1100,
        400 << 20,
    )
