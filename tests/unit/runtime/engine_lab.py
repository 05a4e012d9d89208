"""Both engines behind one door, for the contract's tests: `lab.run(story)` gives a story an engine to act on."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from pilothouse.base.clock import RealClock, VirtualClock, run_virtual
from pilothouse.base.random import Random
from pilothouse.runtime.containerd import ContainerdEngine
from pilothouse.runtime.containerd_config import ContainerdConfig
from pilothouse.runtime.containerd_process import ContainerdProcess, engine_missing, fitted, remove_cgroups
from pilothouse.runtime.images import load_image
from pilothouse.runtime.interface import ContainerConfig, Engine, EngineError, EngineEvent, PodSandboxConfig
from pilothouse.runtime.simulated import SimulatedEngine

BUSYBOX = "docker.io/library/busybox:1"
CGROUP = f"/pilothouse-test-{os.getpid()}"
Story = Callable[[Engine], Awaitable[None]]
EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def example_images() -> ModuleType:
    """examples/images/build.py, as a module."""
    spec = importlib.util.spec_from_file_location("build_images", EXAMPLES / "images" / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def images_directory() -> Path:
    """Where the demo keeps built images too."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache) / "pilothouse" / "images"


class Lab:
    """Makes configurations that do not collide, and runs stories."""

    def __init__(self, logs: Path):
        self.logs = logs
        self._count = 0

    def sandbox(self, **fields: object) -> PodSandboxConfig:
        self._count += 1
        name = f"pod-{self._count}"
        config = PodSandboxConfig(
            name=name,
            namespace="default",
            uid=f"uid-{self._count}",
            attempt=0,
            hostname=name,
            log_directory=str(self.logs / name),
            cgroup_parent=f"{CGROUP}/{name}",
            labels={"io.kubernetes.pod.uid": f"uid-{self._count}"},
        )
        return replace(config, **fields)  # type: ignore[arg-type]

    @staticmethod
    def container(script: str = "sleep 1000", **fields: object) -> ContainerConfig:
        config = ContainerConfig(
            name="main",
            attempt=0,
            image=BUSYBOX,
            image_spec="busybox:1",
            command=("/bin/sh", "-c", script),
            log_path="main/0.log",
        )
        return replace(config, **fields)  # type: ignore[arg-type]

    def run(self, story: Story) -> None:
        raise NotImplementedError


class SimulatedLab(Lab):
    def run(self, story: Story) -> None:
        clock = VirtualClock()

        async def main() -> None:
            engine = SimulatedEngine(clock, Random(1), pod_cidr="10.251.1.0/24")
            await engine.pull_image(BUSYBOX)
            await story(engine)
            await engine.close()

        run_virtual(main(), clock)


class ContainerdLab(Lab):
    def __init__(self, logs: Path, process: ContainerdProcess):
        super().__init__(logs)
        self.process = process

    def run(self, story: Story) -> None:
        async def main() -> None:
            async with asyncio.timeout(60):
                engine = ContainerdEngine(str(self.process.config.socket), RealClock())
                try:
                    await story(engine)
                finally:
                    for sandbox in await engine.pod_sandboxes():
                        await engine.stop_pod_sandbox(sandbox.id)
                        await engine.remove_pod_sandbox(sandbox.id)
                    await engine.close()

        asyncio.run(main())


@contextmanager
def private_containerd(directory: Path, address: str = "127.0.0.1") -> Iterator[ContainerdProcess]:
    """A containerd in a network namespace of its own, with busybox in it; removed with all that ran in it."""
    if missing := engine_missing():
        pytest.skip(missing)
    name = f"pht-{os.getpid()}-{directory.name[-12:]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
    ipam = {
        "type": "host-local",
        "dataDir": str(directory / "ipam"),
        "ranges": [[{"subnet": "10.251.1.0/24"}]],
    }
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "isDefaultGateway": True, "ipam": ipam}
    conflist: dict[str, object] = {"cniVersion": "0.4.0", "name": name, "plugins": [bridge]}
    config = fitted(
        ContainerdConfig(
            root=directory / "root",
            state=Path("/run") / name,
            netns=name,
            streaming_address=address,
            ipam_dir=directory / "ipam",
        )
    )
    process = ContainerdProcess(config, RealClock(), conflist)
    try:
        archives = example_images().build(images_directory(), ["busybox"])

        async def start() -> None:
            await process.start()
            engine = ContainerdEngine(str(config.socket), RealClock(), config.snapshotter)
            for archive in archives:
                await load_image(engine, archive)
            await engine.close()

        asyncio.run(start())
        yield process
    finally:
        asyncio.run(process.remove())
        subprocess.run(["ip", "netns", "delete", name], check=True)
        remove_cgroups(CGROUP)


class Watcher:
    """Collects an engine's events from the moment it is entered; `until` waits for one."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self.seen: list[EngineEvent] = []
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Watcher:
        self._task = asyncio.create_task(self._collect(self._engine.events()))
        await asyncio.sleep(0.05)  # containerd does not confirm a subscription
        return self

    async def _collect(self, events) -> None:  # type: ignore[no-untyped-def]
        async for event in events:
            self.seen.append(event)
            self._changed.set()

    async def until(self, container_id: str, kind: str) -> None:
        async with asyncio.timeout(30):
            while not any((e.container_id, e.type) == (container_id, kind) for e in self.seen):
                self._changed.clear()
                await self._changed.wait()

    def of(self, container_id: str) -> list[str]:
        return [event.type for event in self.seen if event.container_id == container_id]

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def error_of(awaitable: Awaitable[object]) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await awaitable
    return caught.value
