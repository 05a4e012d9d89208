"""Who makes room for a more important pod."""

from __future__ import annotations

from typing import Any

from .builders import Storage, affinity, decide, near, node, pod

SMALL = node("a", cpu="2")


def victims(decision: Any) -> list[str]:
    return [victim["metadata"]["name"] for victim in decision.victims]


def budget(allowed: int, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "b", "namespace": "default"},
        "spec": {"selector": {"matchLabels": labels}},
        "status": {"disruptionsAllowed": allowed},
    }


def test_a_pod_of_lower_priority_goes():
    decision = decide(pod(cpu="2", priority=10), SMALL, pods={"a": pod("x", cpu="2", priority=5)})
    assert (decision.node, decision.nominated, victims(decision)) == ("", "a", ["x"])
    assert decision.message == "0/1 nodes are available: 1 Insufficient cpu. "


def test_of_equals_that_have_not_started_the_first_to_come_goes():
    on_node = [pod("first", cpu="1"), pod("second", cpu="1")]
    assert victims(decide(pod(cpu="1", priority=5), SMALL, pods={"a": on_node})) == ["first"]


def test_nobody_goes_for_an_equal():
    decision = decide(pod(cpu="2", priority=5), SMALL, pods={"a": pod("x", cpu="2", priority=5)})
    assert victims(decision) == []
    assert decision.message.endswith(
        "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    )


def test_nobody_goes_where_that_would_not_help():
    decision = decide(pod(cpu="3", priority=5), SMALL, pods={"a": pod("x", cpu="2")})
    assert decision.message.endswith("1 Preemption is not helpful for scheduling.")


def test_a_polite_pod_waits():
    decision = decide(
        pod(cpu="2", priority=5, preemptionPolicy="Never"), SMALL, pods={"a": pod("x", cpu="2")}
    )
    assert decision.message.endswith("preemption: not eligible due to preemptionPolicy=Never.")


def test_a_pod_waits_for_those_that_are_going_for_it():
    going = pod("x", cpu="2", deleted=True)
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
    going["status"]["conditions"] = [condition]
    decision = decide(pod(cpu="2", priority=5, nominated="a"), SMALL, pods={"a": going})
    assert decision.message.endswith(
        "preemption: not eligible due to a terminating pod on the nominated node."
    )
    assert decision.nominated is None  # it stays as it is
    condition["reason"] = "DeletionByTaintManager"
    assert decide(pod(cpu="2", priority=5, nominated="a"), SMALL, pods={"a": going}).nominated == "a"


def test_where_it_is_not_enough_that_all_go_is_told_what_is_missing_still():
    there = {"a": [pod("x", cpu="1", priority=1), pod("y", cpu="1", priority=9)]}
    decision = decide(pod(cpu="2", priority=5, nominated="a"), SMALL, pods=there)
    assert decision.message.endswith("preemption: 0/1 nodes are available: 1 Insufficient cpu.")
    assert decision.nominated == ""  # no longer


def test_a_pod_goes_where_room_was_made_for_it():
    nodes = [node("a", cpu="8"), node("b", cpu="2")]
    assert decide(pod(cpu="1"), *nodes).node == "a"
    assert decide(pod(cpu="1", nominated="b"), *nodes).node == "b"


def test_no_more_go_than_must_and_the_least_important_first():
    there = [
        pod("x", cpu="1", priority=3),
        pod("y", cpu="500m", priority=1),
        pod("z", cpu="500m", priority=2),
    ]
    decision = decide(pod(cpu="500m", priority=10), SMALL, pods={"a": there})
    assert victims(decision) == ["y"]


def test_among_equals_the_youngest_goes():
    there = [
        pod("old", cpu="1", started="2026-01-01T00:00:00Z"),
        pod("new", cpu="1", started="2026-01-02T00:00:00Z"),
    ]
    assert victims(decide(pod(cpu="1", priority=10), SMALL, pods={"a": there})) == ["new"]


def test_what_a_budget_guards_is_spared_if_another_will_do():
    there = [pod("x", cpu="1", priority=1, labels={"app": "db"}), pod("y", cpu="1", priority=2)]
    view = Storage(budgets=[budget(0, app="db")])
    assert victims(decide(pod(cpu="1", priority=10), SMALL, pods={"a": there}, view=view)) == ["y"]


def test_the_cheapest_node_is_chosen():
    nodes = [node(name, cpu="1") for name in "abcd"]
    there = {
        "a": pod("a", cpu="1", priority=1, labels={"app": "db"}),  # breaks a budget
        "b": pod("b", cpu="1", priority=3),
        "c": [pod("c1", cpu="500m", priority=2), pod("c2", cpu="500m", priority=2)],
        "d": pod("d", cpu="1", priority=2),
    }
    view = Storage(budgets=[budget(0, app="db")])
    assert decide(pod(cpu="1", priority=10), *nodes, pods=there, view=view).nominated == "d"
    del there["d"]
    nodes.pop()
    assert decide(pod(cpu="1", priority=10), *nodes, pods=there, view=view).nominated == "c"


def test_of_equal_nodes_the_one_with_the_younger_pods_is_chosen():
    nodes = [node("a", cpu="1"), node("b", cpu="1")]
    there = {
        "a": pod("x", cpu="1", started="2026-01-01T00:00:00Z"),
        "b": pod("y", cpu="1", started="2026-01-02T00:00:00Z"),
    }
    assert decide(pod(cpu="1", priority=10), *nodes, pods=there).nominated == "b"


def test_a_pod_that_keeps_others_away_goes_too():
    there = {"a": pod("x", affinity=affinity("podAntiAffinity", near("kubernetes.io/hostname")))}
    decision = decide(pod(labels={"app": "web"}, priority=5), SMALL, pods=there)
    assert victims(decision) == ["x"]
