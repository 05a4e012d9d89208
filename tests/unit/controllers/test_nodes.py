"""Nodes that fall silent, and what becomes of their pods."""

from __future__ import annotations

from typing import Any

from pilothouse.base.clock import timestamp_micro

NAMES = ["node-lifecycle", "taint-eviction", "pod-garbage-collector"]
UNREACHABLE, NOT_READY = "node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready"


def condition(status: str, type: str = "Ready") -> dict[str, Any]:
    return {"type": type, "status": status, "lastTransitionTime": "2026-01-01T00:00:00Z"}


async def node(w: Any, name: str, *conditions: dict[str, Any]) -> None:
    conditions = conditions or (condition("True"),)
    taint = {"key": NOT_READY, "effect": "NoSchedule"}
    await w.apply("nodes", name, spec={"taints": [taint]}, status={"conditions": list(conditions)})


async def beat(w: Any, name: str) -> None:
    spec = {"holderIdentity": name, "renewTime": timestamp_micro(w.clock.now())}
    if w.get("leases.coordination.k8s.io", name, "kube-node-lease"):
        await w.change("leases.coordination.k8s.io", name, {"spec": spec}, "kube-node-lease")
    else:
        await w.apply("leases.coordination.k8s.io", name, "kube-node-lease", spec=spec)


async def pod(w: Any, name: str, on: str, *tolerations: dict[str, Any]) -> None:
    await w.apply("pods", name, spec={"nodeName": on, "containers": [], "tolerations": list(tolerations)})
    await w.set_pod(name)


def tolerates(key: str, seconds: int | None = None) -> dict[str, Any]:
    made = {"key": key, "operator": "Exists", "effect": "NoExecute"}
    return made if seconds is None else {**made, "tolerationSeconds": seconds}


def taints(w: Any, name: str) -> list[tuple[str, str]]:
    return sorted((t["key"], t["effect"]) for t in w.get("nodes", name)["spec"].get("taints", []))


def test_a_ready_node_loses_the_taint_it_was_born_with(run):
    async def story(w):
        await node(w, "a")
        await w.settle()
        assert taints(w, "a") == []
        assert w.events("RegisteredNode") == [
            ("RegisteredNode", "Node a event: Registered Node a in Controller")
        ]

    run(story, NAMES)


def test_the_old_names_of_a_nodes_labels_follow_the_new_ones(run):
    async def story(w):
        await node(w, "a")
        labels = {
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "arm64",
            "beta.kubernetes.io/arch": "arm",
        }
        await w.change("nodes", "a", {"metadata": {"labels": labels}})
        await w.settle()
        assert w.get("nodes", "a")["metadata"]["labels"] == {
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "arm64",
            "beta.kubernetes.io/os": "linux",
            "beta.kubernetes.io/arch": "arm64",
        }
        assert taints(w, "a") == []

    run(story, NAMES)


def test_pressures_and_cordons_become_taints_and_go_again(run):
    async def story(w):
        await node(w, "a", condition("True"), condition("True", "DiskPressure"))
        await w.change("nodes", "a", {"spec": {"unschedulable": True}})
        await w.settle()
        assert taints(w, "a") == [
            ("node.kubernetes.io/disk-pressure", "NoSchedule"),
            ("node.kubernetes.io/unschedulable", "NoSchedule"),
        ]
        await w.change(
            "nodes", "a", {"spec": {"unschedulable": None}, "status": {"conditions": [condition("True")]}}
        )
        await w.settle()
        assert taints(w, "a") == []

    run(story, NAMES)


def test_a_silent_node_becomes_unknown_and_its_pods_go_when_their_patience_ends(run):
    async def story(w):
        for name in ("a", "b"):
            await node(w, name)
            await beat(w, name)
        await pod(w, "short", "a", tolerates(UNREACHABLE, 30), tolerates(NOT_READY, 30))
        await pod(w, "patient", "a", tolerates(UNREACHABLE))
        for _ in range(4):
            await w.settle(10)
            await beat(w, "a")
            await beat(w, "b")
        for _ in range(4):
            await w.settle(10)
            await beat(w, "b")
        assert taints(w, "a") == []
        for _ in range(2):
            await w.settle(10)
            await beat(w, "b")
        ready = w.get("nodes", "a")["status"]["conditions"][0]
        assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown")
        assert taints(w, "a") == [(UNREACHABLE, "NoExecute"), (UNREACHABLE, "NoSchedule")]
        assert taints(w, "b") == []
        assert w.get("pods", "short")["status"]["conditions"][0]["status"] == "False"
        assert ("NodeNotReady", "Node a status is now: NodeNotReady") in w.events()
        for _ in range(4):
            await w.settle(10)
            await beat(w, "b")
        assert "deletionTimestamp" in w.get("pods", "short")["metadata"]
        assert "deletionTimestamp" not in w.get("pods", "patient")["metadata"]
        assert w.events("TaintManagerEviction") == [
            ("TaintManagerEviction", "Marking for deletion Pod default/short")
        ]

    run(story, NAMES)


def test_nodes_that_fall_together_are_emptied_one_after_the_other(run):
    async def story(w):
        for name in "abcdef":
            await node(w, name)
        await w.settle()
        for name in "abc":
            await w.api.patch("nodes", "", name, {"status": {"conditions": [condition("False")]}})
        emptied = []
        for _ in range(4):
            await w.settle(2)
            emptied.append("".join(n for n in "abcdef" if (NOT_READY, "NoExecute") in taints(w, n)))
            assert all((NOT_READY, "NoSchedule") in taints(w, n) for n in "abc")
            await w.settle(8)
        assert [len(names) for names in emptied] == [1, 2, 3, 3]

    run(story, NAMES)


def test_when_every_node_is_silent_nobody_is_evicted(run):
    async def story(w):
        await node(w, "a")
        await beat(w, "a")
        await pod(w, "p", "a")
        await w.settle(120)
        assert taints(w, "a") == [(UNREACHABLE, "NoSchedule")]
        assert "deletionTimestamp" not in w.get("pods", "p")["metadata"]

    run(story, NAMES)


def test_an_untolerated_taint_evicts_at_once(run):
    async def story(w):
        await node(w, "a")
        await pod(w, "plain", "a")
        await pod(w, "tough", "a", tolerates("sick"))
        await w.change("nodes", "a", {"spec": {"taints": [{"key": "sick", "effect": "NoExecute"}]}})
        await w.settle()
        plain = w.get("pods", "plain")
        assert "deletionTimestamp" in plain["metadata"]
        assert plain["status"]["conditions"][0]["reason"] == "DeletionByTaintManager"
        assert "deletionTimestamp" not in w.get("pods", "tough")["metadata"]

    run(story, NAMES)


def test_pods_of_a_vanished_node_fail_and_go(run):
    async def story(w):
        await node(w, "a")
        await pod(w, "p", "a")
        await w.settle()
        await w.api.delete("nodes", "", "a")
        await w.settle(30)
        assert w.get("pods", "p")
        await w.settle(60)
        assert w.get("pods", "p") is None

    run(story, NAMES)


def test_of_too_many_finished_pods_the_evicted_go_first_then_the_oldest(run):
    async def story(w):
        for name, phase, reason in (
            ("older", "Succeeded", ""),
            ("failed", "Failed", ""),
            ("evicted", "Failed", "Evicted"),
            ("runs", "Running", ""),
        ):
            await w.apply("pods", name, spec={"nodeName": "a", "containers": []})
            await w.set_pod(name, phase, reason=reason)
            await w.settle(1)
        await w.apply("nodes", "a")
        await w.apply("namespaces", "default")
        await w.settle(25)
        assert [p["metadata"]["name"] for p in w.all("pods")] == ["failed", "runs"]

    run(story, ["pod-garbage-collector"], terminated_pod_threshold=1)
