"""What a pod's status is with the server is what the kubelet says, whoever wrote to it in between."""

from __future__ import annotations

import asyncio
from typing import Any

from pilothouse.base.clock import VirtualClock, run_virtual
from pilothouse.node.statuses import StatusWriter


def pod(version: int, ready: str) -> dict[str, Any]:
    metadata = {"name": "p", "namespace": "default", "uid": "u", "resourceVersion": str(version)}
    return {"metadata": metadata, "status": {"conditions": [{"type": "Ready", "status": ready}]}}


def test_a_condition_that_somebody_else_changed_is_put_right_and_an_old_view_is_not_taken_for_that():
    clock, patches = VirtualClock(), []

    class Server:
        async def patch(self, *args: Any, **options: Any) -> dict[str, Any]:
            patches.append(args[3]["status"]["conditions"])
            return pod(10 + len(patches), "True")

    async def main() -> None:
        writer = StatusWriter(Server(), clock)
        task = asyncio.get_running_loop().create_task(writer.run())
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        writer.set(pod(1, "False"), ready)
        await clock.sleep(1)
        assert len(patches) == 1
        writer.set(pod(1, "False"), ready)  # the informer lags: this is from before our write
        writer.set(pod(11, "True"), ready)
        await clock.sleep(1)
        assert len(patches) == 1
        writer.set(pod(12, "False"), ready)  # the node controller took us for dead
        await clock.sleep(1)
        assert patches[1:] == [[{"type": "Ready", "status": "True"}]]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run_virtual(main(), clock)
