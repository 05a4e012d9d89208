"""Probes: the pure state, and what they do to a pod."""

from __future__ import annotations

import pytest

from pilothouse.node.probes import ProbeState

from .conftest import NodeLab, on_node, pod


@pytest.mark.parametrize(
    ("answers", "results"),
    [
        ("FFF", [True, True, False]),
        ("FFSFF", [True] * 5),
        ("FFFSS", [True, True, False, False, True]),
    ],
)
def test_a_result_changes_after_its_threshold(answers: str, results: list[bool]):
    state = ProbeState({"failureThreshold": 3, "successThreshold": 2}, True)
    found = []
    for answer in answers:
        state.saw(answer == "S")
        found.append(state.result)
    assert found == results


def probed(kind: str, script: str = "", **probe: int) -> dict[str, object]:
    return pod(script=script, container={f"{kind}Probe": {"httpGet": {"port": 80}, **probe}})


def test_readiness_follows_the_probe():
    async def story(lab: NodeLab) -> None:
        script = '{"ready_after_s": 7, "ready_until_s": 40}'
        await lab.create(probed("readiness", script, periodSeconds=5, failureThreshold=2))
        ready = {}
        for second in range(60):
            status = await lab.status()
            if status.get("containerStatuses"):
                ready[second] = status["containerStatuses"][0]["ready"]
            await lab.wait(1)
        assert [second for second, is_ready in ready.items() if is_ready] == [*range(11, 46)]
        events = await lab.events()
        assert ("Unhealthy", "Readiness probe failed: the simulated container does not answer") in events

    on_node(story)


def test_a_container_that_fails_its_liveness_probe_is_restarted():
    async def story(lab: NodeLab) -> None:
        await lab.create(probed("liveness", '{"ready_until_s": 25}', periodSeconds=10, failureThreshold=3))
        await lab.wait(52)  # fails at 30, 40 and 50 s
        assert (await lab.container())["restartCount"] == 1
        assert ("Killing", "Container c failed liveness probe, will be restarted") in await lab.events()

    on_node(story)


def test_the_restart_of_what_was_killed_is_counted_against_the_instance_before():
    async def story(lab: NodeLab) -> None:
        script = '{"ready_until_s": 0, "stop_exit_code": 143}'
        await lab.create(
            probed("liveness", script, periodSeconds=4, initialDelaySeconds=4, failureThreshold=1)
        )
        restarts, states = [], set()
        for second in range(60):
            container = (await lab.status()).get("containerStatuses", [{"restartCount": 0, "state": {}}])[0]
            states |= {(state, bool(what.get("reason"))) for state, what in container["state"].items()}
            if container["restartCount"] > len(restarts):
                restarts.append(second)
            await lab.wait(1)
        # the first two at once; the third ends only 4 s after the second, and so waits for 10 s
        assert [b - a for a, b in zip([0, *restarts], restarts)][:3] == [5, 4, 14]
        assert "terminated" not in {state for state, _ in states}  # nobody sees it end

    on_node(story)


def test_a_liveness_probe_ends_one_container_or_the_whole_pod():
    async def story(lab: NodeLab) -> None:
        dead = {**probed("liveness", periodSeconds=1, failureThreshold=1)["spec"]["containers"][0]}  # type: ignore[index]
        for name, more in (("alone", []), ("beside", [{"name": "d", "image": "busybox:1"}])):
            body = pod(name, '{"ready_until_s": 0}', restartPolicy="Never")
            body["spec"]["containers"] = [dead, *more]
            await lab.create(body)
        await lab.wait(8)
        assert ("Killing", "Stopping container c") in await lab.events("alone")
        assert ("Killing", "Container c failed liveness probe") in await lab.events("beside")
        phases = [(await lab.status(name))["phase"] for name in ("alone", "beside")]
        assert phases == ["Succeeded", "Running"]

    on_node(story)


def test_other_probes_wait_for_the_startup_probe():
    async def story(lab: NodeLab) -> None:
        body = probed("startup", '{"ready_after_s": 20}', periodSeconds=5, failureThreshold=30)
        body["spec"]["containers"][0]["livenessProbe"] = {  # type: ignore[index]
            "httpGet": {"port": 80},
            "periodSeconds": 1,
            "failureThreshold": 1,
        }
        await lab.create(body)
        await lab.wait(19)
        assert (await lab.container())["started"] is False
        await lab.wait(3)
        container = await lab.container()
        assert (container["started"], container["ready"], container["restartCount"]) == (True, True, 0)

    on_node(story)


def test_exec_probes_run_out_of_time():
    async def story(lab: NodeLab) -> None:
        probe = {"exec": {"command": ["sleep", "5"]}, "timeoutSeconds": 1}
        await lab.create(pod(container={"readinessProbe": probe}))
        await lab.wait(3)
        message = 'Readiness probe failed: command timed out: "sleep 5" timed out after 1s'
        assert ("Unhealthy", message) in await lab.events()

    on_node(story)
