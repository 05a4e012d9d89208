"""How pods end: grace, hooks, the order of sidecars, deadlines."""

from __future__ import annotations

from pilothouse.runtime.interface import PodSandboxConfig

from .conftest import NodeLab, on_node, pod

DEAF = '{"stop_s": null}'


def sidecar(name: str) -> dict[str, object]:
    return {"name": name, "image": "busybox:1", "restartPolicy": "Always"}


def test_a_hook_uses_up_the_grace():
    async def story(lab: NodeLab) -> None:
        hook = {"lifecycle": {"preStop": {"exec": {"command": ["sleep", "3"]}}}}
        await lab.create(pod(script=DEAF, container=hook))
        await lab.wait(1)
        await lab.client.delete("pods", "default", "web")
        await lab.wait(4.9)
        assert await lab.pods() == ["web"]
        await lab.wait(0.2)
        assert await lab.pods() == []

    on_node(story)


def test_a_pod_that_ends_before_it_began_has_failed_but_was_only_not_ready():
    async def story(lab: NodeLab) -> None:
        body = pod(container={"image": "absent:1", "imagePullPolicy": "Never"})
        body["metadata"]["finalizers"] = ["example.com/hold"]
        await lab.create(body)
        await lab.wait(1)
        await lab.client.delete("pods", "default", "web")
        await lab.wait(6)
        status = await lab.status()
        ready = next(c for c in status["conditions"] if c["type"] == "Ready")
        ended = status["containerStatuses"][0]["state"]["terminated"]
        assert (status["phase"], ready["reason"]) == ("Failed", "ContainersNotReady")
        assert (ended["reason"], ended["exitCode"]) == ("ContainerStatusUnknown", 137)

    on_node(story)


def test_a_second_delete_shortens_the_grace():
    async def story(lab: NodeLab) -> None:
        await lab.create(pod(script=DEAF, terminationGracePeriodSeconds=600))
        await lab.wait(1)
        await lab.client.delete("pods", "default", "web")
        await lab.wait(10)
        await lab.client.delete("pods", "default", "web", grace_period_s=3)
        await lab.wait(3.1)
        assert await lab.pods() == []

    on_node(story)


def test_a_pod_that_is_ending_shows_that_the_node_knows():
    async def story(lab: NodeLab) -> None:
        await lab.create(pod(script=DEAF, terminationGracePeriodSeconds=60))
        await lab.wait(1)
        await lab.client.delete("pods", "default", "web")
        await lab.wait(1)
        ending = await lab.client.get("pods", "default", "web")
        assert ending["status"]["observedGeneration"] == ending["metadata"]["generation"] == 2
        assert ending["status"]["phase"] == "Running"

    on_node(story)


def test_a_pod_that_ends_before_anybody_looks_has_had_an_address():
    async def story(lab: NodeLab) -> None:
        start = lab.engine.start_container

        async def start_and_end(container_id: str) -> None:
            await start(container_id)
            await lab.clock.sleep(0.5)

        lab.engine.start_container = start_and_end  # type: ignore[method-assign]
        await lab.create(pod(script='{"duration_s": 0.1}', restartPolicy="Never"))
        await lab.wait(3)
        status = await lab.status()
        assert status["phase"] == "Succeeded"
        assert status["podIP"]

    on_node(story)


def test_sidecars_end_last_and_in_reverse():
    async def story(lab: NodeLab) -> None:
        body = pod(script='{"stop_s": 2}', initContainers=[sidecar("s1"), sidecar("s2")])
        body["metadata"]["annotations"]["simulated.pilothouse.io/s2"] = '{"stop_s": 1}'
        await lab.create(body)
        await lab.wait(1)
        ended: list[str] = []
        stop = lab.engine.stop_container

        async def stop_and_note(container_id: str, timeout_s: int) -> None:
            await stop(container_id, timeout_s)
            ended.append((await lab.engine.container_status(container_id)).name)

        lab.engine.stop_container = stop_and_note  # type: ignore[method-assign]
        await lab.client.delete("pods", "default", "web")
        await lab.wait(4)
        assert ended == ["c", "s2", "s1"]
        assert await lab.pods() == []

    on_node(story)


def test_a_pod_that_never_began_can_go():
    async def story(lab: NodeLab) -> None:
        await lab.create(pod(container={"image": "registry.invalid/x:1"}))
        await lab.wait(3)
        await lab.client.delete("pods", "default", "web")
        await lab.wait(1)
        assert await lab.pods() == []

    on_node(story)


def test_a_finalizer_holds_the_object_but_not_the_containers():
    async def story(lab: NodeLab) -> None:
        body = pod()
        body["metadata"]["finalizers"] = ["example.com/hold"]
        await lab.create(body)
        await lab.wait(1)
        await lab.client.delete("pods", "default", "web")
        await lab.wait(3)
        status = await lab.status()
        assert status["phase"] == "Succeeded"
        assert "terminated" in status["containerStatuses"][0]["state"]
        await lab.client.patch("pods", "default", "web", {"metadata": {"finalizers": None}})
        await lab.wait(1)
        assert await lab.engine.pod_sandboxes() == []

    on_node(story)


def test_a_deadline_ends_the_pod_on_the_second():
    async def story(lab: NodeLab) -> None:
        await lab.create(pod(activeDeadlineSeconds=30))
        await lab.wait(29)
        assert (await lab.status())["phase"] == "Running"
        await lab.wait(2)
        status = await lab.status()
        assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")
        reasons = [reason for reason, _ in await lab.events()]
        assert reasons[-2:] == ["DeadlineExceeded", "Killing"]

    on_node(story)


def test_a_sandbox_that_is_being_made_is_not_forgotten():
    async def story(lab: NodeLab) -> None:
        make = lab.engine.run_pod_sandbox

        async def make_slowly(config: PodSandboxConfig) -> str:
            await lab.wait(0.5)
            return await make(config)

        lab.engine.run_pod_sandbox = make_slowly  # type: ignore[method-assign]
        await lab.create(pod())
        await lab.wait(0.2)
        await lab.client.delete("pods", "default", "web", grace_period_s=0)
        await lab.wait(1)
        assert await lab.engine.pod_sandboxes() == []
        await lab.create(pod())
        await lab.wait(0.2)
        await lab.client.delete("pods", "default", "web")
        await lab.stop()  # in the middle of it
        await lab.start()
        await lab.wait(1)
        assert (await lab.pods(), await lab.engine.pod_sandboxes()) == ([], [])

    on_node(story)
