"""Resources of a container as the engine takes them, and where its pod's cgroup is: QoS class, CPU shares and quota, OOM score."""

from __future__ import annotations

from pathlib import Path

from ..api.object import Object, uid_of
from ..api.qos import containers_requests, qos_class
from ..api.quantity import Quantity
from ..runtime.interface import Resources
from .config import NodeConfig

CPU_PERIOD_US = 100_000
SHARES_MIN, SHARES_MAX, QUOTA_MIN_US = 2, 262_144, 1000
# kubelet's qos/policy.go
OOM_GUARANTEED, OOM_BEST_EFFORT = -997, 1000
PRIORITY_CRITICAL = 2_000_000_000


def milli_cpu(resources: Object, which: str) -> int:
    return Quantity.of((resources.get(which) or {}).get("cpu") or "0").milli_value()


def memory_bytes(resources: Object, which: str) -> int:
    return Quantity.of((resources.get(which) or {}).get("memory") or "0").value()


def limit_pod(pod: Object, config: NodeConfig) -> None:
    """Has the pod's cgroup, which its first sandbox has made, keep to the limits of the pod as a whole."""
    whole, parent = pod["spec"].get("resources") or {}, cgroup_parent(pod, config)
    memory, milli = memory_bytes(whole, "limits"), milli_cpu(whole, "limits")
    quota = milli * CPU_PERIOD_US // 1000
    for path, value in (
        (f"memory{parent}/memory.limit_in_bytes", str(memory)),  # cgroup v1 …
        (f"cpu{parent}/cpu.cfs_quota_us", str(quota)),
        (f"{parent}/memory.max", str(memory)),  # … and v2
        (f"{parent}/cpu.max", f"{quota} {CPU_PERIOD_US}"),
    ):
        file = Path(f"/sys/fs/cgroup/{path}")
        if parent and (memory if "memory" in path else quota) and file.exists():
            file.write_text(value)


def container_resources(pod: Object, container: Object, config: NodeConfig) -> Resources:
    """A limit of the pod as a whole is kept by each of its containers too where they have none of their own."""
    own = container.get("resources") or {}
    whole = pod["spec"].get("resources") or {}
    limit_milli = milli_cpu(own, "limits") or milli_cpu(whole, "limits")
    request_milli = milli_cpu(own, "requests") if "cpu" in (own.get("requests") or {}) else limit_milli
    return Resources(
        cpu_period=CPU_PERIOD_US,
        cpu_quota=max(limit_milli * CPU_PERIOD_US // 1000, QUOTA_MIN_US) if limit_milli else 0,
        cpu_shares=min(max(request_milli * 1024 // 1000, SHARES_MIN), SHARES_MAX),
        memory_limit_bytes=memory_bytes(own, "limits") or memory_bytes(whole, "limits"),
        oom_score_adj=oom_score_adj(pod, container, config.memory_bytes),
    )


def oom_score_adj(pod: Object, container: Object, capacity_bytes: int) -> int:
    """The less memory a container has asked for, the sooner it is killed when there is none left."""
    spec, qos = pod["spec"], qos_class(pod)
    critical = (spec.get("priority") or 0) >= PRIORITY_CRITICAL
    if qos == "Guaranteed" or (critical and spec.get("priorityClassName") == "system-node-critical"):
        return OOM_GUARANTEED
    if qos == "BestEffort":
        return OOM_BEST_EFFORT
    requested = memory_bytes(container.get("resources") or {}, "requests")
    if container.get("restartPolicy") == "Always" and container in (spec.get("initContainers") or ()):
        # a sidecar is not killed before the containers that it serves
        mains = [memory_bytes(main.get("resources") or {}, "requests") for main in spec["containers"]]
        requested = max(requested, min(mains))
    if whole := memory_bytes(spec.get("resources") or {}, "requests"):  # what is left of it, in equal shares
        together = Quantity.of(containers_requests(spec).get("memory") or "0").value()
        requested += (whole - together) // len([*spec["containers"], *(spec.get("initContainers") or ())])
    score = 1000 - 1000 * requested // max(capacity_bytes, 1)
    return min(max(score, 1000 + OOM_GUARANTEED), OOM_BEST_EFFORT - 1)


def cgroup_parent(pod: Object, config: NodeConfig) -> str:
    if not config.cgroup_root:
        return ""
    qos = qos_class(pod)
    between = "" if qos == "Guaranteed" else f"/{qos.lower()}"
    return f"{config.cgroup_root.rstrip('/')}{between}/pod{uid_of(pod)}"
