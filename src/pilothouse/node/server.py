"""The kubelet's own HTTP endpoints, as the API server's node proxy reaches them: health, pods, configuration, figures, logs.

There is no listener: who connects to the node's address and port 10250 by the node's connector gets the other end of a pair of
sockets. Real kubelets require TLS and a token there; here the API server has authorized the request already, and it never leaves the process.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from ..api.errors import ApiError
from ..api.object import Object, name_of, namespace_of, uid_of
from ..apiserver.nodes import LogOptions
from ..base.clock import timestamp
from ..runtime.interface import ContainerStats, EngineError
from .context import NodeContext

if TYPE_CHECKING:
    from .connector import KubeletConnector
    from .worker import PodWorker

TEXT, JSON = "text/plain; charset=utf-8", "application/json"
METRICS = "text/plain; version=0.0.4; charset=utf-8"
HEAD_MAX = 64 * 1024
Answer = tuple[int, str, bytes]


class KubeletServer:
    def __init__(self, node: NodeContext, workers: Mapping[str, PodWorker], connector: KubeletConnector):
        self._node, self._workers, self._connector = node, workers, connector
        self._usage: dict[str, tuple[float, int, int]] = {}  # container → (at, CPU ns, nanocores)
        self._routes: dict[str, Callable[[], Answer]] = {
            "/healthz": lambda: (200, TEXT, b"ok"),
            "/healthz/ping": lambda: (200, TEXT, b"ok"),
            "/healthz/syncloop": lambda: (200, TEXT, b"ok"),
            "/pods": self._pods,
            "/pods/": self._pods,
            "/configz": self._configz,
        }

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to these endpoints."""
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=HEAD_MAX)
        await loop.connect_accepted_socket(lambda: asyncio.StreamReaderProtocol(reader, self._serve), ours)
        return await asyncio.open_connection(sock=theirs)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            target = urlsplit(head.split(" ", 2)[1])
            status, type_, body = await self.answer(unquote(target.path), parse_qs(target.query))
            writer.write(
                f"HTTP/1.1 {status} {'OK' if status == 200 else 'Error'}\r\nContent-Type: {type_}\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, IndexError):
            pass  # not HTTP, or gone before the answer
        finally:
            writer.close()

    async def answer(self, path: str, query: dict[str, list[str]]) -> Answer:
        """(status, content type, body)."""
        if route := self._routes.get(path):
            return route()
        if path == "/stats/summary":
            return 200, JSON, orjson.dumps(await self.summary())
        if path == "/metrics/resource":
            return 200, METRICS, (await self._resource_metrics()).encode()
        if path == "/metrics":
            return 200, METRICS, self._metrics().encode()
        parts = path.split("/")
        if len(parts) == 5 and parts[1] == "containerLogs":
            return await self._logs(parts[2], parts[3], parts[4], query)
        return 404, TEXT, b"404 page not found\n"

    # -- pods, configuration, logs

    def _pods(self) -> Answer:
        items = [worker.pod for worker in self._workers.values()]
        body = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}
        return 200, JSON, orjson.dumps(body)

    def _configz(self) -> Answer:
        config = self._node.config
        settings = {
            "kind": "KubeletConfiguration",
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "clusterDNS": [config.cluster_dns] if config.cluster_dns else [],
            "clusterDomain": config.cluster_domain,
            "containerLogMaxFiles": 5,
            "containerLogMaxSize": "10Mi",
            "evictionHard": {
                "imagefs.available": "15%",
                "imagefs.inodesFree": "5%",
                "memory.available": "100Mi",
                "nodefs.available": "10%",
                "nodefs.inodesFree": "5%",
            },
            "maxPods": config.pods_max,
            "nodeLeaseDurationSeconds": 40,
            "nodeStatusReportFrequency": "5m0s",
            "nodeStatusUpdateFrequency": "10s",
            "podPidsLimit": -1,
            "syncFrequency": "1m0s",
        }
        return 200, JSON, orjson.dumps({"kubeletconfig": settings})

    async def _logs(self, namespace: str, name: str, container: str, query: dict[str, list[str]]) -> Answer:
        pod = next(
            (
                w.pod
                for w in self._workers.values()
                if (namespace_of(w.pod), name_of(w.pod)) == (namespace, name)
            ),
            None,
        )
        if pod is None:
            return 404, TEXT, f'pod "{name}" does not exist'.encode()
        spec = pod["spec"]
        names = [
            c["name"]
            for key in ("containers", "initContainers", "ephemeralContainers")
            for c in spec.get(key) or ()
        ]
        if container not in names:
            return 404, TEXT, f'container "{container}" not found in pod "{name}"'.encode()
        tail = query.get("tailLines", [""])[0]
        options = LogOptions(
            container,
            previous=query.get("previous", [""])[0] == "true",
            timestamps=query.get("timestamps", [""])[0] == "true",
            tail_lines=int(tail) if tail.isdigit() else None,
        )
        try:
            chunks = await self._connector.logs(pod, options)
            return 200, TEXT, b"".join([chunk async for chunk in chunks])
        except ApiError as error:
            return error.code, TEXT, error.message.encode()

    # -- figures

    async def _stats(self) -> dict[str, list[tuple[str, ContainerStats, int]]]:
        """By pod's uid: (container, its figures, nanocores since the last look)."""
        try:
            figures = {stats.id: stats for stats in await self._node.engine.container_stats()}
        except EngineError:
            figures = {}
        found: dict[str, list[tuple[str, ContainerStats, int]]] = {}
        usage: dict[str, tuple[float, int, int]] = {}
        for uid, worker in self._workers.items():
            for container in worker.observed.running():
                stats = figures.get(container.id)
                if stats is None:
                    continue
                at, before, cores = self._usage.get(stats.id, (container.started_at or stats.at, 0, 0))
                if stats.at > at:
                    cores = round((stats.cpu_usage_core_ns - before) / (stats.at - at))
                usage[stats.id] = (stats.at, stats.cpu_usage_core_ns, cores)
                found.setdefault(uid, []).append((container.name, stats, cores))
        self._usage = usage
        return found

    async def summary(self) -> Object:
        """/stats/summary (k8s.io/kubelet/pkg/apis/stats/v1alpha1)."""
        found = await self._stats()
        config = self._node.config
        pods = []
        for uid, containers in found.items():
            pod = self._workers[uid].pod
            reference = {"name": name_of(pod), "namespace": namespace_of(pod), "uid": uid_of(pod)}
            shown = [
                {"name": name, "startTime": timestamp(stats.at), **_usage([(stats, cores)])}
                for name, stats, cores in containers
            ]
            pods.append(
                {
                    "podRef": reference,
                    "startTime": (pod.get("status") or {}).get("startTime"),
                    "containers": shown,
                    **_usage([(stats, cores) for _, stats, cores in containers]),
                }
            )
        everything = [(stats, cores) for group in found.values() for _, stats, cores in group]
        node: Object = {"nodeName": config.name, **_usage(everything)}
        if "memory" in node:
            used = node["memory"]["workingSetBytes"]
            node["memory"]["availableBytes"] = max(0, config.memory_bytes - used)
        return {"node": node, "pods": pods}

    async def _resource_metrics(self) -> str:
        """/metrics/resource: what metrics-server reads."""
        found = await self._stats()
        lines: dict[str, list[str]] = {}
        total_cpu = total_memory = 0.0
        for uid, containers in found.items():
            pod = self._workers[uid].pod
            labels = f'namespace="{namespace_of(pod)}",pod="{name_of(pod)}"'
            cpu = memory = 0.0
            for name, stats, _ in containers:
                own = f'container="{name}",{labels}'
                seconds = stats.cpu_usage_core_ns / 1e9
                lines.setdefault("container_cpu_usage_seconds_total", []).append(f"{{{own}}} {seconds}")
                lines.setdefault("container_memory_working_set_bytes", []).append(
                    f"{{{own}}} {stats.memory_working_set_bytes}"
                )
                cpu, memory = cpu + seconds, memory + stats.memory_working_set_bytes
            lines.setdefault("pod_cpu_usage_seconds_total", []).append(f"{{{labels}}} {cpu}")
            lines.setdefault("pod_memory_working_set_bytes", []).append(f"{{{labels}}} {memory:.0f}")
            total_cpu, total_memory = total_cpu + cpu, total_memory + memory
        lines["node_cpu_usage_seconds_total"] = [f" {total_cpu}"]
        lines["node_memory_working_set_bytes"] = [f" {total_memory:.0f}"]
        return "".join(
            f"# TYPE {name} {'counter' if name.endswith('total') else 'gauge'}\n"
            + "".join(f"{name}{line}\n" for line in group)
            for name, group in sorted(lines.items())
        )

    def _metrics(self) -> str:
        running = [worker for worker in self._workers.values() if worker.observed.ready_sandbox]
        containers = sum(len(worker.observed.running()) for worker in running)
        return (
            f"# TYPE kubelet_running_pods gauge\nkubelet_running_pods {len(running)}\n"
            f'# TYPE kubelet_running_containers gauge\nkubelet_running_containers{{container_state="running"}} {containers}\n'
        )


def _usage(figures: list[tuple[ContainerStats, int]]) -> Object:
    """`cpu` and `memory` of a summary, added up."""
    if not figures:
        return {}
    at = timestamp(max(stats.at for stats, _ in figures))
    return {
        "cpu": {
            "time": at,
            "usageNanoCores": sum(cores for _, cores in figures),
            "usageCoreNanoSeconds": sum(stats.cpu_usage_core_ns for stats, _ in figures),
        },
        "memory": {
            "time": at,
            "usageBytes": sum(stats.memory_usage_bytes for stats, _ in figures),
            "workingSetBytes": sum(stats.memory_working_set_bytes for stats, _ in figures),
            "rssBytes": sum(stats.memory_rss_bytes for stats, _ in figures),
        },
    }
