"""What every engine must do: one suite, played on the simulated engine and on a real containerd."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from engine_lab import BUSYBOX, ContainerdLab, Lab, SimulatedLab, Watcher, error_of, private_containerd

from pilothouse.runtime.interface import Engine, SecurityContext


@pytest.fixture(
    scope="module", params=["simulated", pytest.param("containerd", marks=pytest.mark.containers)]
)
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    directory = tmp_path_factory.mktemp("lab")
    if request.param == "simulated":
        yield SimulatedLab(directory / "logs")
        return
    with private_containerd(directory) as process:
        yield ContainerdLab(directory / "logs", process)


def test_an_engine_says_who_it_is_and_that_it_is_ready(lab: Lab) -> None:
    async def story(engine: Engine) -> None:
        name, version = await engine.version()
        assert name in ("containerd", "simulated")
        assert version[0].isdigit()
        assert await engine.ready() == ("", "")

    lab.run(story)


def test_a_sandbox_has_an_address_of_its_own_until_it_is_stopped(lab: Lab) -> None:
    async def story(engine: Engine) -> None:
        configs = [lab.sandbox(), lab.sandbox()]
        ids = [await engine.run_pod_sandbox(config) for config in configs]
        found = {sandbox.id: sandbox for sandbox in await engine.pod_sandboxes()}
        addresses = [found[sandbox_id].ips[0] for sandbox_id in ids]
        assert len(set(addresses)) == 2
        assert all(ipaddress.ip_address(a) in ipaddress.ip_network("10.251.1.0/24") for a in addresses)
        assert [found[sandbox_id].ready for sandbox_id in ids] == [True, True]
        [one] = await engine.pod_sandboxes(configs[0].uid)
        assert (one.id, one.name, one.namespace, one.attempt) == (ids[0], configs[0].name, "default", 0)

        await engine.stop_pod_sandbox(ids[0])
        [one] = await engine.pod_sandboxes(configs[0].uid)
        assert not one.ready
        await engine.remove_pod_sandbox(ids[0])
        assert await engine.pod_sandboxes(configs[0].uid) == []
        await engine.remove_pod_sandbox(ids[1])  # without a stop before
        assert await engine.pod_sandboxes() == []

    lab.run(story)


def test_a_sandbox_on_the_hosts_network_has_no_address(lab: Lab) -> None:
    async def story(engine: Engine) -> None:
        config = lab.sandbox(hostname="", security=SecurityContext(host_network=True))  # the host's own
        await engine.run_pod_sandbox(config)
        [sandbox] = await engine.pod_sandboxes(config.uid)
        assert (sandbox.ready, sandbox.ips) == (True, ())

    lab.run(story)


@pytest.mark.parametrize(("script", "code", "reason"), [("exit 3", 3, "Error"), ("exit 0", 0, "Completed")])
def test_a_container_that_ends_shows_how_once_its_event_is_there(
    lab: Lab, script: str, code: int, reason: str
) -> None:
    async def story(engine: Engine) -> None:
        sandbox = lab.sandbox()
        sandbox_id = await engine.run_pod_sandbox(sandbox)
        config = lab.container(f"sleep 0.1; {script}", labels={"app": "a"})
        async with Watcher(engine) as events:
            container_id = await engine.create_container(sandbox_id, config, sandbox)
            created = await engine.container_status(container_id)
            assert (created.state, created.sandbox_id, created.started_at) == ("CREATED", sandbox_id, 0)
            await engine.start_container(container_id)
            running = await engine.container_status(container_id)
            assert (running.state, running.finished_at) == ("RUNNING", 0)
            await events.until(container_id, "STOPPED")
            ended = await engine.container_status(container_id)  # at once: the event says that it shows
            assert (ended.state, ended.exit_code, ended.reason) == ("EXITED", code, reason)
            assert ended.created_at <= ended.started_at <= ended.finished_at
            assert ended.labels == {"app": "a"}
            assert ended.image == BUSYBOX
            assert ended.log_path == f"{sandbox.log_directory}/main/0.log"
            await engine.remove_container(container_id)
            await events.until(container_id, "DELETED")
            assert events.of(container_id) == ["STARTED", "STOPPED", "DELETED"]
            assert all(event.sandbox_id == sandbox_id for event in events.seen if event.container_id)

    lab.run(story)


def test_a_first_process_that_ignores_sigterm_is_killed_after_its_grace(lab: Lab) -> None:
    async def story(engine: Engine) -> None:
        sandbox = lab.sandbox()
        sandbox_id = await engine.run_pod_sandbox(sandbox)
        container_id = await engine.create_container(sandbox_id, lab.container("sleep 1000"), sandbox)
        await engine.start_container(container_id)
        await engine.stop_container(container_id, 1)
        ended = await engine.container_status(container_id)
        assert (ended.state, ended.exit_code, ended.reason) == ("EXITED", 137, "Error")
        assert 0.9 <= ended.finished_at - ended.started_at < 5

    lab.run(story)


def test_stopping_a_sandbox_ends_its_containers(lab: Lab) -> None:
    async def story(engine: Engine) -> None:
        sandbox = lab.sandbox()
        sandbox_id = await engine.run_pod_sandbox(sandbox)
        container_id = await engine.create_container(sandbox_id, lab.container(), sandbox)
        await engine.start_container(container_id)
        async with Watcher(engine) as events:
            await engine.stop_pod_sandbox(sandbox_id)
            await events.until(container_id, "STOPPED")
            await events.until("", "STOPPED")
        [listed] = await engine.containers(sandbox_id)
        assert (listed.id, listed.state, listed.name) == (container_id, "EXITED", "main")

    lab.run(story)


def test_a_command_in_a_container_answers_with_its_code_and_output(lab: Lab) -> None:
    async def story(engine: Engine) -> None:
        sandbox = lab.sandbox()
        sandbox_id = await engine.run_pod_sandbox(sandbox)
        container_id = await engine.create_container(sandbox_id, lab.container(), sandbox)
        await engine.start_container(container_id)
        answer = await engine.exec_sync(container_id, ["/bin/sh", "-c", "echo hello; exit 4"], 10)
        assert (answer.exit_code, answer.stdout, answer.stderr) == (4, b"hello\n", b"")
        assert (await engine.exec_sync(container_id, ["true"], 10)).exit_code == 0
        late = await error_of(engine.exec_sync(container_id, ["sleep", "100"], 1))
        assert late.code == "DEADLINE_EXCEEDED"

    lab.run(story)


def test_a_running_container_has_figures_and_an_ended_one_has_none(lab: Lab) -> None:
    async def story(engine: Engine) -> None:
        sandbox = lab.sandbox()
        sandbox_id = await engine.run_pod_sandbox(sandbox)
        container_id = await engine.create_container(sandbox_id, lab.container(), sandbox)
        await engine.start_container(container_id)
        [stats] = await engine.container_stats()
        assert stats.id == container_id
        assert stats.memory_working_set_bytes > 0
        await engine.stop_container(container_id, 0)
        assert await engine.container_stats() == []

    lab.run(story)


def test_what_is_not_there_is_not_found_and_ending_it_succeeds(lab: Lab) -> None:
    async def story(engine: Engine) -> None:
        gone = "0" * 64
        for question in (
            engine.container_status(gone),
            engine.start_container(gone),
            engine.exec_sync(gone, ["true"], 1),
            engine.create_container(gone, lab.container(), lab.sandbox()),
        ):
            assert (await error_of(question)).code == "NOT_FOUND"
        await engine.stop_container(gone, 1)
        await engine.remove_container(gone)
        await engine.stop_pod_sandbox(gone)
        await engine.remove_pod_sandbox(gone)
        await engine.remove_image("docker.io/library/absent:1")
        assert await engine.containers(gone) == []

    lab.run(story)


def test_images_are_found_by_any_of_their_names(lab: Lab) -> None:
    async def story(engine: Engine) -> None:
        image = await engine.image_status(BUSYBOX)
        assert image is not None
        assert image.tags == (BUSYBOX,)
        assert image.size_bytes > 0
        for name in ("busybox:1", image.id):
            assert (await engine.image_status(name)) == image
        assert image.id in [i.id for i in await engine.images()]
        assert await engine.image_status("docker.io/library/absent:1") is None

    lab.run(story)


def test_an_image_that_cannot_be_had_is_an_error_that_names_it(lab: Lab) -> None:
    async def story(engine: Engine) -> None:
        error = await error_of(engine.pull_image("registry.invalid/team/app:1"))
        assert 'failed to pull and unpack image "registry.invalid/team/app:1"' in error.message

    lab.run(story)


def test_a_container_of_an_absent_image_is_refused(lab: Lab) -> None:
    async def story(engine: Engine) -> None:
        sandbox = lab.sandbox()
        sandbox_id = await engine.run_pod_sandbox(sandbox)
        config = lab.container(image="docker.io/library/absent:1")
        assert (await error_of(engine.create_container(sandbox_id, config, sandbox))).code == "NOT_FOUND"

    lab.run(story)
