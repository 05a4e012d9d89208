"""A pod's line: READY, STATUS, RESTARTS. The status is a story told by containers, in this order: the phase or its reason,
then init containers that are not done, then the last container that waits or has ended, then deletion."""

from __future__ import annotations

from typing import Any

from ..base.clock import parse_timestamp
from .duration import age, human_duration
from .object import Object, condition_of

POD_COLUMNS = "Name, Ready, Status, Restarts, Age, *IP, *Node, *Nominated Node, *Readiness Gates"
NODE_UNREACHABLE = "NodeLost"
_SUCCEEDED = [
    {
        "type": "Completed",
        "status": "True",
        "reason": "Succeeded",
        "message": "The pod has completed successfully.",
    }
]
_FAILED = [{"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}]


def pod_conditions(pod: Object) -> list[Object] | None:
    return {"Succeeded": _SUCCEEDED, "Failed": _FAILED}.get((pod.get("status") or {}).get("phase", ""))


def pod_row(pod: Object, now: float) -> list[Any]:
    spec, status, metadata = pod["spec"], pod.get("status") or {}, pod["metadata"]
    reason, ready, restarts, last = pod_status(pod)
    sidecars = sum(c.get("restartPolicy") == "Always" for c in spec.get("initContainers") or ())
    total = len(spec.get("containers") or ()) + sidecars
    shown = f"{restarts} ({human_duration(now - last)} ago)" if restarts and last else str(restarts)
    ips = status.get("podIPs") or ()
    gates = spec.get("readinessGates") or ()
    opened = sum((condition_of(pod, gate["conditionType"]) or {}).get("status") == "True" for gate in gates)
    return [
        metadata.get("name") or "",
        f"{ready}/{total}",
        reason,
        shown,
        age(metadata.get("creationTimestamp"), now),
        (ips[0].get("ip") if ips else "") or "<none>",
        spec.get("nodeName") or "<none>",
        status.get("nominatedNodeName") or "<none>",
        f"{opened}/{len(gates)}" if gates else "<none>",
    ]


def pod_status(pod: Object) -> tuple[str, int, int, float]:
    """(STATUS, containers that are ready, restarts, when the last restart was: 0 for unknown)."""
    spec, status = pod["spec"], pod.get("status") or {}
    reason = status.get("phase") or ""
    if status.get("reason"):
        reason = status["reason"]
    scheduled = condition_of(pod, "PodScheduled")
    if scheduled and scheduled.get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    sidecars = {c["name"] for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}
    ready = restarts = sidecar_restarts = 0
    last = sidecar_last = 0.0
    initializing = False
    statuses = status.get("initContainerStatuses") or ()
    for index, container in enumerate(statuses):
        state = container.get("state") or {}
        ended, waiting = state.get("terminated"), state.get("waiting")
        restarts += container.get("restartCount") or 0
        last = max(last, _finished(container))
        is_sidecar = container["name"] in sidecars
        if is_sidecar:
            sidecar_restarts += container.get("restartCount") or 0
            sidecar_last = max(sidecar_last, _finished(container))
        if ended and ended.get("exitCode", 0) == 0:
            continue
        if is_sidecar and container.get("started"):
            if container.get("ready"):
                ready += 1
            continue
        if ended:
            reason = "Init:" + _end(ended)
        elif waiting and waiting.get("reason") not in (None, "", "PodInitializing"):
            reason = "Init:" + waiting["reason"]
        else:
            reason = f"Init:{index}/{len(spec.get('initContainers') or ())}"
        initializing = True
        break
    if not initializing or _initialized(pod):
        restarts, last = sidecar_restarts, sidecar_last
        running, error = False, ""
        for container in reversed(status.get("containerStatuses") or []):
            state = container.get("state") or {}
            ended, waiting = state.get("terminated"), state.get("waiting")
            restarts += container.get("restartCount") or 0
            last = max(last, _finished(container))
            if waiting and waiting.get("reason"):
                reason = waiting["reason"]
            elif ended:
                reason = _end(ended)
                if ended.get("exitCode"):
                    error = reason
            elif container.get("ready") and state.get("running") is not None:
                running = True
                ready += 1
        if reason == "Completed":
            if running and (condition_of(pod, "Ready") or {}).get("status") == "True":
                reason = "Running"
            else:
                reason = error or ("NotReady" if running else reason)
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == NODE_UNREACHABLE:
            reason = "Unknown"
        elif status.get("phase") not in ("Succeeded", "Failed"):
            reason = "Terminating"
    return reason, ready, restarts, last


def _initialized(pod: Object) -> bool:
    condition = condition_of(pod, "Initialized")
    return bool(condition and condition["status"] == "True")


def _end(ended: Object) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _finished(container: Object) -> float:
    ended = (container.get("lastState") or {}).get("terminated") or {}
    return parse_timestamp(ended["finishedAt"]) if ended.get("finishedAt") else 0.0
