"""The API server alone: start, GET, CREATE, PATCH, LIST, watch."""

from __future__ import annotations

import selectors
import socket
import ssl
import statistics
import time
from collections.abc import Iterator

from .measure import TOKEN, Client, Server, in_parallel, memory_mb, server, serving
from .table import Figure

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"


def config_map(name: str) -> dict[str, object]:
    """1 KiB on the wire."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"app": "bench"}},
        "data": {"value": "x" * 900},
    }


def pod(name: str, node: str = "") -> dict[str, object]:
    """A small pod of a workload: 2.8 KB once stored, with its managedFields."""
    labels = {"app": "web", "pod-template-hash": "5d8f7c"}
    container = {
        "name": "app",
        "image": "registry.example.com/team/app:1.2.3",
        "ports": [{"containerPort": 8080}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 10},
    }
    spec = {"containers": [container]}
    if node:
        spec["nodeName"] = node
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def floor() -> Iterator[Figure]:
    """How fast this machine is, since they differ by a factor of two: what no work of ours can go below."""
    begin = time.process_time()
    total = 0
    for i in range(5_000_000):
        total += i
    spent = time.process_time() - begin
    yield Figure("Python itself: a million additions in a loop", spent / 5 * 1e3, "ms", None, "")
    with serving("bench.floor") as running:
        client = running.client()

        def get(n: int) -> None:
            for _ in range(n):
                client("GET", "/")

        get(300)
        cpu = running.cpu_of(lambda: get(5000)) / 5000 * 1e6
        yield Figure("an answer that is there, over TLS: the floor of every request", cpu, "µs", None, "")
        client.close()


def start() -> Iterator[Figure]:
    times = []
    for _ in range(5):
        with server() as running:
            times.append(running.ready_s)
    yield Figure("API ready after start", statistics.median(times), "s", 1.0, "3.4 s")


def requests() -> Iterator[Figure]:
    with server() as running:
        client = running.client()
        client("POST", CONFIG_MAPS, config_map("one"))

        def get(n: int) -> None:
            for _ in range(n):
                client("GET", f"{CONFIG_MAPS}/one")

        get(300)
        yield Figure(
            "GET 1 KiB, CPU a request", running.cpu_of(lambda: get(5000)) / 5000 * 1e6, "µs", 90, "872 µs"
        )

        def create(index: int, own: Client, count: int) -> None:
            for i in range(count):
                own("POST", CONFIG_MAPS, config_map(f"c-{count}-{index}-{i}"))

        create(999, client, 100)
        cpu = running.cpu_of(lambda: create(0, client, 1500))
        yield Figure("CREATE 1 KiB, durable, 1 client, CPU a request", cpu / 1500 * 1e6, "µs", None, "")
        cpu = running.cpu_of(lambda: in_parallel(16, lambda i, c: create(i, c, 500), running.port))
        yield Figure(
            "CREATE 1 KiB, durable, 16 clients, CPU a request", cpu / 8000 * 1e6, "µs", 250, "1,498 µs"
        )

        def patch(n: int) -> None:
            for i in range(n):
                body = {"data": {"count": str(i)}}
                client("PATCH", f"{CONFIG_MAPS}/one", body, "application/merge-patch+json")

        patch(100)
        cpu = running.cpu_of(lambda: patch(1500))
        yield Figure("PATCH (merge), durable, 1 client, CPU a request", cpu / 1500 * 1e6, "µs", None, "")

        def patch_own(index: int, own: Client) -> None:
            for i in range(500):
                body = {"data": {"count": str(i)}}
                own("PATCH", f"{CONFIG_MAPS}/c-500-{index}-0", body, "application/merge-patch+json")

        cpu = running.cpu_of(lambda: in_parallel(16, patch_own, running.port))
        work = "PATCH (merge), durable, 16 clients, CPU a request"
        yield Figure(work, cpu / 8000 * 1e6, "µs", 400, "3,880 µs")
        client.close()


def lists() -> Iterator[Figure]:
    with server() as running:
        client = running.client()
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        client("POST", "/api/v1/namespaces/default/serviceaccounts", account)  # no controller does

        def create(index: int, own: Client) -> None:
            for i in range(1250):
                own("POST", PODS, pod(f"web-{index}-{i:05}"))

        cpu = running.cpu_of(lambda: in_parallel(4, create, running.port))
        yield Figure(
            "CREATE a pod of 2.8 KB, durable, 4 clients, CPU a request", cpu / 5000 * 1e6, "µs", None, ""
        )
        yield Figure("memory after 5,000 pods (API server)", memory_mb(running.pid), "MB", 250, "1,058 MB")
        size = len(client("GET", PODS))

        def cost(path: str, times: int) -> float:
            client("GET", path)
            return running.cpu_of(lambda: [client("GET", path) for _ in range(times)]) / times * 1e3

        yield Figure(f"LIST 5,000 pods ({size / 1e6:.0f} MB), CPU", cost(PODS, 20), "ms", 30, "486 ms")
        yield Figure(
            "LIST 5,000 pods, limit=500 (first page), CPU", cost(f"{PODS}?limit=500", 100), "ms", None, ""
        )
        selector = f"{PODS}?labelSelector=app%3Dnone"
        yield Figure(
            "LIST with a label selector that matches none of 5,000", cost(selector, 100), "ms", 3, "256 ms"
        )
        client.close()


def fan_out(watchers: int = 1000, changes: int = 1000) -> Iterator[Figure]:
    """Watchers that are read by one thread with a selector; the delay counts until the client has the bytes."""
    with server() as running:
        context = ssl._create_unverified_context()
        selector = selectors.DefaultSelector()
        connections = [_watch(running, context) for _ in range(watchers)]
        for connection in connections:
            selector.register(connection, selectors.EVENT_READ)
        writer = running.client()
        _drain(selector, watchers, None)
        delays: list[float] = []

        def work() -> None:
            for i in range(changes):
                sent = time.perf_counter()
                writer("POST", CONFIG_MAPS, config_map(f"w-{i}"))
                delays.extend(_drain(selector, watchers, sent))

        cpu = running.cpu_of(work)
        per_event = cpu / changes / watchers * 1e6
        yield Figure(
            f"watch fan-out, {watchers:,} watchers, {changes:,} changes: CPU an event",
            per_event,
            "µs",
            15,
            "32.5 µs",
        )
        p99 = sorted(delays)[int(len(delays) * 0.99)] * 1e3
        yield Figure(
            f"watch fan-out, {watchers:,} watchers, {changes:,} changes: p99 delay", p99, "ms", 60, "142 ms"
        )
        for connection in connections:
            connection.close()
        writer.close()


def _watch(running: Server, context: ssl.SSLContext) -> ssl.SSLSocket:
    raw = socket.create_connection(("127.0.0.1", running.port))
    connection = context.wrap_socket(raw)
    path = f"{CONFIG_MAPS}?watch=1&resourceVersion=0"
    head = f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    connection.sendall(head.encode())
    connection.setblocking(False)
    return connection


def _drain(selector: selectors.BaseSelector, watchers: int, since: float | None) -> list[float]:
    """Reads until each watcher has got something (the head and the first event, or one event)."""
    seen: set[int] = set()
    delays = []
    while len(seen) < watchers:
        ready = selector.select(30)
        if not ready:
            raise RuntimeError(f"only {len(seen)} of {watchers} watchers heard of it")
        for key, _ in ready:
            connection: ssl.SSLSocket = key.fileobj  # type: ignore[assignment]
            try:
                while connection.recv(65536):
                    if key.fd not in seen:
                        seen.add(key.fd)
                        delays.append(time.perf_counter() - (since or 0))
            except ssl.SSLWantReadError:
                pass
    return delays
