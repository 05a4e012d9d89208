"""A node whose process, engine or sandboxes end and come back: pods are adopted, not started anew."""

from __future__ import annotations

from .conftest import NodeLab, on_node, pod

PROBED = {"readinessProbe": {"httpGet": {"port": 80}, "periodSeconds": 5}}


def test_a_new_process_adopts_what_runs():
    async def story(lab: NodeLab) -> None:
        await lab.create(pod(container=PROBED))
        await lab.wait(2)
        before = await lab.status()
        await lab.stop()
        await lab.wait(300)
        await lab.start()
        await lab.wait(30)
        after = await lab.status()
        assert after == before  # the same container, and ready all the time
        assert [reason for reason, _ in await lab.events()] == ["Pulling", "Pulled", "Created", "Started"]

    on_node(story)


def test_what_ended_meanwhile_is_restarted():
    async def story(lab: NodeLab) -> None:
        await lab.create(pod(script='{"duration_s": 60}'))
        await lab.wait(2)
        await lab.stop()
        await lab.wait(100)
        await lab.start()
        await lab.wait(2)
        container = await lab.container()
        assert container["restartCount"] == 1
        assert container["lastState"]["terminated"]["finishedAt"] == "2026-01-01T00:01:00Z"

    on_node(story)


def test_pods_deleted_meanwhile_leave_nothing():
    async def story(lab: NodeLab) -> None:
        await lab.create(pod("gone"))
        await lab.create(pod("going"))
        await lab.wait(2)
        await lab.stop()
        await lab.client.delete("pods", "default", "gone", grace_period_s=0)
        await lab.client.delete("pods", "default", "going")
        await lab.start()
        await lab.wait(5)
        assert await lab.pods() == []
        assert await lab.engine.pod_sandboxes() == []

    on_node(story)


def test_a_pod_whose_sandbox_died_gets_another_and_runs_its_init_containers_again():
    async def story(lab: NodeLab) -> None:
        init = {"name": "i", "image": "busybox:1", "command": ["true"]}
        await lab.create(pod(initContainers=[init]))
        await lab.wait(2)
        await lab.engine.stop_pod_sandbox((await lab.engine.pod_sandboxes())[0].id)
        await lab.wait(2)
        status = await lab.status()
        assert status["phase"] == "Running"
        assert status["initContainerStatuses"][0]["restartCount"] == 1
        assert status["containerStatuses"][0]["restartCount"] == 1
        assert status["podIP"] == (await lab.engine.pod_sandboxes())[-1].ips[0]
        assert "SandboxChanged" in [reason for reason, _ in await lab.events()]

    on_node(story)


def test_a_lost_event_is_made_up_for_by_the_slow_listing():
    async def story(lab: NodeLab) -> None:
        await lab.create(pod())
        await lab.wait(2)
        lab.engine._listeners.clear()  # the stream is broken, and nobody says so
        lab.engine.exit_container((await lab.engine.containers())[0].id, 1)
        await lab.wait(61)
        assert (await lab.container())["restartCount"] == 1

    on_node(story)


def test_a_container_that_the_engine_lost_is_told_of_and_counted():
    async def story(lab: NodeLab) -> None:
        await lab.create(pod())
        await lab.wait(2)
        await lab.engine.remove_container((await lab.engine.containers())[0].id)
        await lab.wait(61)
        container = await lab.container()
        assert (container["restartCount"], "running" in container["state"]) == (1, True)
        assert container["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"
        assert (await lab.engine.containers())[0].attempt == 1

    on_node(story)
