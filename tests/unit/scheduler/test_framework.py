"""Many nodes: only some are looked at, and what is known of a node is kept while it stays as it is."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.scheduler import changes
from pilothouse.scheduler.framework import Cycle, Framework, enough
from pilothouse.scheduler.plugins import default_plugins
from pilothouse.scheduler.snapshot import PodInfo, Snapshot

from .builders import Storage, affinity, near, node, pod, preferring, snapshot

WEB = {"app": "web"}
SPREAD = [
    {
        "topologyKey": "topology.kubernetes.io/zone",
        "maxSkew": 1,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": WEB},
    }
]
KINDS = (
    {"cpu": "500m"},
    {"cpu": "1", "labels": WEB},
    {"memory": "2Gi", "priority": 1},
    {"ports": [{"hostPort": 80}]},
    {"nodeSelector": {"topology.kubernetes.io/zone": "z1"}},
    {"labels": WEB, "topologySpreadConstraints": SPREAD},
    {"labels": WEB, "affinity": affinity("podAntiAffinity", near("kubernetes.io/hostname"))},
    {"affinity": preferring("podAffinity", 3, near("topology.kubernetes.io/zone"))},
)
STEPS = st.lists(st.tuples(st.sampled_from(range(len(KINDS))), st.integers(0, 20)), max_size=40)


def nodes() -> Snapshot:
    return snapshot(*(node(f"n{n}", cpu="4", zone=f"z{n % 2}") for n in range(4)))


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_what_is_kept_from_earlier_pods_changes_no_decision(steps):
    """`steps`: the kind of a new pod, and which of the running ones ends before it comes."""
    known, remembering, running = nodes(), Framework(default_plugins()), []
    view = Storage(selectors=[{"matchLabels": WEB}])
    for number, (kind, ending) in enumerate(steps):
        if running and ending < len(running):
            known.remove_pod(running.pop(ending))
        new = pod(f"p{number}", **KINDS[kind])
        kept = remembering.schedule(Cycle(new, PodInfo.of(new), known, view), min)
        fresh_snapshot = nodes()
        for name, info in known.nodes.items():
            for there in info.pods.values():
                fresh_snapshot.add_pod(there.pod, name)
        fresh = Framework(default_plugins()).schedule(Cycle(new, PodInfo.of(new), fresh_snapshot, view), min)
        assert (kept.node, kept.message, kept.scores) == (fresh.node, fresh.message, fresh.scores)
        if kept.node:
            known.add_pod(new, kept.node)
            running.append(new["metadata"]["uid"])


def test_of_many_nodes_only_so_many_are_compared():
    assert [enough(count) for count in (1, 100, 101, 250, 1000, 5000, 10000)] == [
        1,
        100,
        100,
        120,
        420,
        500,
        500,
    ]


def test_each_look_begins_where_the_last_ended():
    framework, looked = Framework(default_plugins()), []
    many = snapshot(*(node(f"n{n:03}") for n in range(300)))
    for number in range(3):
        new = pod(f"p{number}")
        decision = framework.schedule(Cycle(new, PodInfo.of(new), many, Storage()), min)
        looked.append(min(decision.scores))
    assert looked == ["n000", "n144", "n000"]  # 144 at a time; the third goes over the end


def test_nodes_are_taken_from_the_zones_in_turn():
    made = snapshot(node("a", zone="z1"), node("b", zone="z1"), node("c", zone="z2"), node("d"))
    assert [info.name for info in made.ordered()] == ["d", "a", "c", "b"]
    made.remove_node("a")
    assert [info.name for info in made.ordered()] == ["d", "b", "c"]


def test_pods_may_come_before_their_node_and_stay_when_it_goes():
    made = Snapshot()
    made.add_pod(pod("x", cpu="1"), "a")
    assert made.counts("all", lambda pod: True) == {"a": 1}
    made.set_node(node("a"))
    assert made.nodes["a"].requested["cpu"] == 1000
    made.remove_node("a")
    made.set_node(node("a"))
    assert list(made.nodes["a"].pods) == ["uid-x"]
    made.remove_pod("uid-x")
    assert made.counts("all", lambda pod: True) == {"a": 0}
    assert made.nodes["a"].requested["cpu"] == 0


def test_what_a_change_of_a_node_may_cure():
    old = node("a")
    assert changes.of_node(None, old) is None
    assert changes.of_node(old, None) == {"PodTopologySpread"}
    assert changes.of_node(old, node("a")) == set()
    assert changes.of_node(old, node("a", unschedulable=True)) == {"NodeUnschedulable"}
    assert changes.of_node(old, node("a", cpu="9")) == {"NodeResourcesFit"}
    assert changes.of_node(old, node("a", features=["f"])) == {"NodeDeclaredFeatures"}
    assert "NodeAffinity" in (changes.of_node(old, node("a", labels={"x": "y"})) or set())
    assert "TaintToleration" in (changes.of_node(old, node("a", taints=[{"key": "k"}])) or set())


def test_what_a_change_of_a_pod_may_cure():
    there = pod("x", nodeName="a", cpu="1")
    assert changes.of_pod(None, there) == changes.POD_CAME
    assert changes.of_pod(there, pod("x", nodeName="a", cpu="1", started="t")) == set()
    assert changes.of_pod(there, pod("x", nodeName="a", cpu="500m")) == {"NodeResourcesFit"}
    assert changes.of_pod(there, pod("x", nodeName="a", cpu="1", deleted=True)) == {"PodTopologySpread"}
