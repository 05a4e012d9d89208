"""Whole clusters with real containers: start, first pod, pods in parallel, what an idle one costs. Needs root and containerd."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .measure import Client, cpu_s, environment, memory_mb
from .table import Figure

NAME = "bench"
PODS = "/api/v1/namespaces/default/pods"
IDLE_S = 30
PILOTHOUSE = [sys.executable, "-m", "pilothouse.cli.main"]
IMAGES = Path(__file__).parents[1] / "examples" / "images" / "build.py"


def cluster() -> Iterator[Figure]:
    if os.geteuid() != 0:
        print("<!-- cluster: needs root -->")
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"PILOTHOUSE_HOME": f"{folder}/home", "KUBECONFIG": f"{folder}/kubeconfig"}
        images = Path(os.path.expanduser("~/.cache/pilothouse/images"))
        subprocess.run(
            [sys.executable, str(IMAGES), "--output", str(images)], check=True, stdout=subprocess.DEVNULL
        )
        # the image comes with a first start, so that the measured one begins with it, as with any stopped cluster
        _pilothouse("up", NAME)
        try:
            _pilothouse("image", "load", str(images / "busybox.tar"), "--cluster", NAME)
            _pilothouse("stop", NAME)
            yield from _measured()
        finally:
            _pilothouse("delete", NAME)


def _measured() -> Iterator[Figure]:
    started = time.perf_counter()
    _pilothouse("up", NAME)
    up_s = time.perf_counter() - started
    status = _pilothouse("status", NAME)
    pid, port = (int(re.search(pattern, status)[1]) for pattern in (r"pid (\d+)", r"127.0.0.1:(\d+)"))  # type: ignore[index]
    client = Client(port, _pilothouse("token", NAME).strip())
    _run(client, "first")
    first_s = time.perf_counter() - started
    yield Figure("`up` returns, one node Ready", up_s, "s", None, "kind 21 s, k3d 13 s")
    yield Figure(
        "cluster ready, first pod running (image present)", first_s, "s", 3.0, "kind 21 s, k3d 13 s, + pod"
    )
    times = sorted(_run(client, f"single-{i}") for i in range(5))
    yield Figure("pod: create → Running, image present", times[2], "s", 0.3, "0.60 s")
    yield Figure(
        "the same, 8 in parallel: the slowest",
        max(_in_parallel(client, 8)),
        "s",
        0.8,
        "2.0 s",
    )
    for pod in json.loads(client("GET", PODS))["items"]:
        client("DELETE", f"{PODS}/{pod['metadata']['name']}?gracePeriodSeconds=0")
    _wait(client, lambda: not json.loads(client("GET", PODS))["items"])
    time.sleep(5)
    before = cpu_s(pid)
    time.sleep(IDLE_S)
    share = (cpu_s(pid) - before) / IDLE_S * 100
    yield Figure("idle: memory, control plane and node agent", memory_mb(pid), "MB", 120, "504 MB + 90 MB")
    yield Figure("idle: CPU, control plane and one node", share, "% of a core", 0.5, "3–6 %")
    client.close()


def _pilothouse(*arguments: str) -> str:
    done = subprocess.run([*PILOTHOUSE, *arguments], capture_output=True, text=True, env=environment())
    if done.returncode:
        raise RuntimeError(f"pilothouse {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _run(client: Client, name: str) -> float:
    """Seconds from the request until the API says Running, as a watch hears it."""
    container = {"name": "c", "image": "busybox:1", "command": ["sleep", "1000"]}
    pod = {
        "metadata": {"name": name},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    started = time.perf_counter()
    client("POST", PODS, {"apiVersion": "v1", "kind": "Pod", **pod})
    query = f"watch=1&resourceVersion=0&fieldSelector=metadata.name%3D{name}"
    for event in client.watch(f"{PODS}?{query}"):
        if event["object"].get("status", {}).get("phase") == "Running":
            return time.perf_counter() - started
    raise RuntimeError(f"the watch of {name} ended")


def _in_parallel(client: Client, count: int) -> list[float]:
    times: list[float] = []

    def one(index: int) -> None:
        own = client.another()
        times.append(_run(own, f"parallel-{index}"))
        own.close()

    threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def _wait(client: Client, condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("it did not come to pass")
        time.sleep(0.1)
