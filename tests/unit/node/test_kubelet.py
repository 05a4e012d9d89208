"""Pods on a node with a simulated engine: what a user sees of them, second by second."""

from __future__ import annotations

from .conftest import NodeLab, on_node, pod


def test_a_node_registers_and_is_ready():
    async def story(lab: NodeLab) -> None:
        node = await lab.client.get("nodes", "", "node-1")
        ready = node["status"]["conditions"][-1]
        assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "True", "KubeletReady")
        assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "node-1"
        await lab.wait(25)
        lease = await lab.client.get("leases.coordination.k8s.io", "kube-node-lease", "node-1")
        assert lease["spec"]["renewTime"] == "2026-01-01T00:00:20.000000Z"

    on_node(story)


def test_what_others_say_of_a_node_is_heard_at_the_next_heartbeat():
    async def story(lab: NodeLab) -> None:
        async def tell(**status: object) -> None:
            await lab.client.patch(
                "nodes", "", "node-1", {"status": status}, type="strategic", subresource="status"
            )
            await lab.wait(11)

        async def status() -> dict[str, object]:
            return (await lab.client.get("nodes", "", "node-1"))["status"]

        own = await status()
        await tell(capacity={"example.com/gpu": "2"})
        for key in ("capacity", "allocatable"):  # a resource that no kubelet knows can be used
            assert (await status())[key] == {**own[key], "example.com/gpu": "2"}
        await tell(capacity={"example.com/gpu": None})
        for key in ("capacity", "allocatable"):
            assert (await status())[key] == own[key]
        await tell(conditions=[{"type": "Ready", "status": "Unknown"}])  # it was taken for lost
        assert (await status())["conditions"][-1]["reason"] == "KubeletReady"
        await tell(conditions=[{"type": "KernelDeadlock", "status": "False"}])
        before = await lab.client.get("nodes", "", "node-1")
        await lab.wait(20)
        assert await lab.client.get("nodes", "", "node-1") == before  # and is nothing to answer to

    on_node(story)


def test_a_node_tells_that_it_was_cordoned():
    async def story(lab: NodeLab) -> None:
        for unschedulable in (True, False):
            await lab.client.patch("nodes", "", "node-1", {"spec": {"unschedulable": unschedulable}})
            await lab.wait(11)
        told = [reason for reason, _ in await lab.events("node-1")]
        assert told[-2:] == ["NodeNotSchedulable", "NodeSchedulable"]

    on_node(story)


def test_a_node_under_pressure_says_so_and_takes_no_more():
    async def story(lab: NodeLab) -> None:
        seen = []
        for pressures in ({"MemoryPressure"}, set()):
            lab.kubelet.node.pressures = pressures
            await lab.create(pod(f"web-{len(pressures)}"))
            await lab.wait(11)
            node = await lab.client.get("nodes", "", "node-1")
            condition = next(c for c in node["status"]["conditions"] if c["type"] == "MemoryPressure")
            seen.append((condition["status"], condition["reason"]))
        assert seen == [("True", "KubeletHasInsufficientMemory"), ("False", "KubeletHasSufficientMemory")]
        told = [reason for reason, _ in await lab.events("node-1")]
        assert told[-2:] == ["NodeHasInsufficientMemory", "NodeHasSufficientMemory"]
        status = await lab.status("web-1")
        why = "Pod was rejected: The node had condition: [MemoryPressure]. "
        assert (status["reason"], status["message"]) == ("Evicted", why)
        assert (await lab.status("web-0"))["phase"] == "Running"

    on_node(story)


def test_a_pod_runs_and_says_so():
    async def story(lab: NodeLab) -> None:
        await lab.create(pod())
        await lab.wait(1)
        status = await lab.status()
        assert status["phase"] == "Running"
        assert {c["type"]: c["status"] for c in status["conditions"]} == {
            "PodReadyToStartContainers": "True",
            "Initialized": "True",
            "Ready": "True",
            "ContainersReady": "True",
            "PodScheduled": "True",
        }
        assert [reason for reason, _ in await lab.events()] == ["Pulling", "Pulled", "Created", "Started"]

    on_node(story)


def test_a_pod_that_completes_has_succeeded():
    async def story(lab: NodeLab) -> None:
        await lab.create(pod(script='{"duration_s": 3}', restartPolicy="Never"))
        await lab.wait(5)
        status = await lab.status()
        assert status["phase"] == "Succeeded"
        assert (await lab.container())["state"]["terminated"]["reason"] == "Completed"
        assert [s.ready for s in await lab.engine.pod_sandboxes()] == [False]

    on_node(story)


def test_a_crash_loop_backs_off_exactly():
    async def story(lab: NodeLab) -> None:
        await lab.create(pod(script='{"duration_s": 1, "exit_code": 5}'))
        restarts = []
        for second in range(120):
            count = (await lab.status()).get("containerStatuses", [{"restartCount": 0}])[0]["restartCount"]
            if count > len(restarts):
                restarts.append(second)
            await lab.wait(1)
        # at once; then each run of 1 s is followed by 10, 20, 40 s
        gaps = [b - a for a, b in zip(restarts, restarts[1:])]
        assert gaps == [11, 21, 41]
        state = (await lab.container())["state"]["waiting"]
        assert state["reason"] == "CrashLoopBackOff"
        assert state["message"].startswith("back-off 1m20s restarting failed container=c pod=web_default(")

    on_node(story)


def test_a_deleted_pod_ends_within_its_grace():
    async def story(lab: NodeLab) -> None:
        await lab.create(pod(script='{"stop_s": null}'))
        await lab.wait(1)
        await lab.client.delete("pods", "default", "web")
        await lab.wait(4)
        assert (await lab.pod())["metadata"]["deletionGracePeriodSeconds"] == 5
        await lab.wait(2)
        assert await lab.pods() == []
        assert await lab.engine.pod_sandboxes() == []
        assert ("Killing", "Stopping container c") in await lab.events()

    on_node(story)
