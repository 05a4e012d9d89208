"""A pod's status, pure: from the pod, what the engine tells, and what the node remembers (kubelet's status generation)."""

from __future__ import annotations

from typing import Any

from ..api.object import Object, condition_of
from ..api.qos import pod_limits, pod_requests, qos_class
from ..base.clock import timestamp
from ..runtime.interface import ContainerStatus
from .eviction import EVICTED
from .observed import Observed, PodMemory, Waiting
from .sync import is_sidecar, policy_of, restarts

DISRUPTION = "DisruptionTarget"
RESIZE_PENDING = "PodResizePending"
OWN_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")


def pod_status(
    pod: Object,
    observed: Observed,
    memory: PodMemory,
    host_ip: str,
    now: float,
    *,
    engine: str = "containerd",
    stopped: bool = False,
) -> Object:
    """The whole new status. `stopped`: every container has ended and none will start (the pod is being deleted)."""
    spec, old = pod["spec"], pod.get("status") or {}
    inits = [
        _container(c, pod, observed, memory, engine, init=True, stopped=stopped)
        for c in spec.get("initContainers") or ()
    ]
    mains = [
        _container(c, pod, observed, memory, engine, init=False, stopped=stopped) for c in spec["containers"]
    ]
    ephemerals = [
        _container(c, pod, observed, memory, engine, init=False, stopped=stopped, ephemeral=True)
        for c in spec.get("ephemeralContainers") or ()
    ]
    initialized = _is_initialized(spec, inits, observed)
    if not initialized:
        for status in mains:
            if "waiting" in status["state"] and status["state"]["waiting"]["reason"] == "ContainerCreating":
                if spec.get("initContainers"):
                    status["state"] = {"waiting": {"reason": "PodInitializing"}}
    if stopped:
        _never_seen(inits, mains)
    phase = _phase(spec, inits, mains, memory, initialized, stopped, old.get("phase") or "Pending")
    sidecars = [pair for pair in zip(spec.get("initContainers") or (), inits) if is_sidecar(pair[0])]
    for container, status in [*sidecars, *zip(spec["containers"], mains)]:
        _readiness(container, status, memory, phase)
    made: Object = {
        key: old[key]
        for key in ("resourceClaimStatuses", "extendedResourceClaimStatus", "resize", "nominatedNodeName")
        if key in old
    }
    made["observedGeneration"] = pod["metadata"].get("generation") or 1
    made["phase"] = phase
    failed = memory.failed
    if failed is not None:
        made["reason"], made["message"] = failed.reason, failed.message
    made["conditions"] = conditions(
        pod, observed, initialized, inits, mains, phase, now, memory.resize, failed
    )
    made["hostIP"] = host_ip
    made["hostIPs"] = [{"ip": host_ip}]
    sandbox = observed.sandbox
    addresses = list((sandbox.ips if sandbox is not None else ()) or memory.addresses)
    if spec.get("hostNetwork") and sandbox is not None:
        addresses = [host_ip]
    if not addresses and old.get("podIPs"):
        addresses = [entry["ip"] for entry in old["podIPs"]]
    if addresses:
        made["podIP"] = addresses[0]
        made["podIPs"] = [{"ip": address} for address in addresses]
    started = old.get("startTime") or timestamp(memory.started_at or now)
    made["startTime"] = started
    if inits:
        made["initContainerStatuses"] = inits
    made["containerStatuses"] = sorted(mains, key=lambda s: s["name"])
    if ephemerals:
        made["ephemeralContainerStatuses"] = sorted(ephemerals, key=lambda s: s["name"])
    made["qosClass"] = old.get("qosClass") or qos_class(pod)
    requests, limits = pod_requests(pod), pod_limits(pod)
    made["resources"] = {key: value for key, value in (("limits", limits), ("requests", requests)) if value}
    if requests:
        made["allocatedResources"] = requests
    return made


# -- containers ----------------------------------------------------------------------------------------


def _container(
    container: Object,
    pod: Object,
    observed: Observed,
    memory: PodMemory,
    engine: str,
    *,
    init: bool,
    stopped: bool,
    ephemeral: bool = False,
) -> Object:
    name = container["name"]
    instances = observed.containers.get(name) or []
    newest = instances[0] if instances else None
    previous = _previous_status(pod, name)
    shown: Object = {
        "name": name,
        "state": {},
        "lastState": {},
        "ready": False,
        "restartCount": newest.attempt if newest is not None else (previous or {}).get("restartCount", 0),
        "image": container.get("image") or "",
        "imageID": "",
    }
    if newest is not None:
        shown["image"] = newest.image or shown["image"]
        shown["imageID"] = newest.image_ref
        shown["containerID"] = f"{engine}://{newest.id}"
        shown["state"] = state_of(newest, memory, engine)
        if len(instances) > 1:
            shown["lastState"] = state_of(instances[1], memory, engine)
        elif previous and previous.get("lastState"):
            shown["lastState"] = previous["lastState"]
    waiting = memory.waiting.get(name)
    if newest is None or newest.state in ("EXITED", "CREATED", "UNKNOWN"):
        if newest is None:
            if (stopped or init) and previous is not None and previous.get("state", {}).get("terminated"):
                return dict(previous)
            shown["state"] = {"waiting": {"reason": "PodInitializing" if init else "ContainerCreating"}}
        if waiting is not None and not stopped and _will_start(pod["spec"], container, newest, init):
            if newest is not None:
                shown["lastState"] = state_of(newest, memory, engine)
            shown["state"] = {"waiting": {"reason": waiting.reason}}
            if waiting.message:
                shown["state"]["waiting"]["message"] = waiting.message
    elif newest.id in memory.hooked:
        shown["state"] = {"waiting": {"reason": "ContainerCreating" if not init else "PodInitializing"}}
    running = newest is not None and newest.state == "RUNNING" and newest.id not in memory.hooked
    shown["started"] = running and (not container.get("startupProbe") or memory.started.get(name, False))
    if ephemeral:
        shown.pop("started")
        if newest is not None:
            shown["resources"] = {}
    if newest is not None and not ephemeral:
        resources = container.get("resources") or {}
        if resources.get("requests"):
            shown["allocatedResources"] = resources["requests"]
        shown["resources"] = resources
        if newest.user is not None:
            uid, gid, groups = newest.user
            shown["user"] = {"linux": {"uid": uid, "gid": gid, "supplementalGroups": list(groups)}}
    if mounts := _volume_mounts(container):
        shown["volumeMounts"] = mounts
    return shown


def _will_start(spec: Object, container: Object, newest: ContainerStatus | None, init: bool) -> bool:
    if init and newest is not None and newest.state == "EXITED" and newest.exit_code == 0:
        return is_sidecar(container)
    return newest is None or newest.state != "EXITED" or restarts(spec, container, newest.exit_code)


def _never_seen(inits: list[Object], mains: list[Object]) -> None:
    """A pod has ended: what must have begun and cannot be found is told so (status_manager's TerminatePod)."""
    begun = [s for s in mains if "waiting" not in s["state"] or s["lastState"].get("terminated")]
    last = inits[-1] if inits else None
    initialized = last is None or begun or (last["state"].get("terminated") or {}).get("exitCode") == 0
    waiting = 0
    while waiting < len(inits) - 1 and "waiting" in inits[-1 - waiting]["state"]:
        waiting += 1
    for status in [*(mains if initialized else ()), *inits[: len(inits) - waiting]]:
        if "terminated" not in status["state"]:
            status["state"] = {
                "terminated": {
                    "exitCode": 137,
                    "reason": "ContainerStatusUnknown",
                    "message": "The container could not be located when the pod was terminated",
                    "startedAt": None,
                    "finishedAt": None,
                }
            }


def _volume_mounts(container: Object) -> list[Object]:
    found = []
    for mount in container.get("volumeMounts") or ():
        shown = {"name": mount["name"], "mountPath": mount["mountPath"]}
        if mount.get("readOnly"):
            shown["readOnly"] = True
            shown["recursiveReadOnly"] = "Disabled"
        found.append(shown)
    return found


def _previous_status(pod: Object, name: str) -> Object | None:
    status = pod.get("status") or {}
    for key in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        for shown in status.get(key) or ():
            if shown["name"] == name:
                return dict(shown)
    return None


def state_of(status: ContainerStatus, memory: PodMemory, engine: str) -> Object:
    """`running`, `terminated` or `waiting`."""
    if status.state == "RUNNING":
        return {"running": {"startedAt": timestamp(status.started_at)}}
    if status.state != "EXITED":
        return {"waiting": {"reason": "ContainerCreating"}}
    ended: dict[str, Any] = {"exitCode": status.exit_code}
    ended["reason"] = status.reason or ("Completed" if status.exit_code == 0 else "Error")
    message = memory.messages.get(status.id) or (
        status.message if ended["reason"] not in ("Completed", "Error") else ""
    )
    if message:
        ended["message"] = message
    ended["startedAt"] = timestamp(status.started_at)
    ended["finishedAt"] = timestamp(status.finished_at)
    ended["containerID"] = f"{engine}://{status.id}"
    return {"terminated": ended}


def _readiness(container: Object, shown: Object, memory: PodMemory, phase: str) -> None:
    state = shown["state"]
    if "running" in state:
        if not shown.get("started", True):
            shown["ready"] = False
        elif container.get("readinessProbe"):
            shown["ready"] = memory.ready.get(container["name"], False)
        else:
            shown["ready"] = True


# -- phase and conditions ------------------------------------------------------------------------------


def _is_initialized(spec: Object, inits: list[Object], observed: Observed) -> bool:
    if any(observed.newest(container["name"]) for container in spec["containers"]):
        done = True
    else:
        done = True
        for container, status in zip(spec.get("initContainers") or (), inits):
            ended = status["state"].get("terminated")
            if is_sidecar(container):
                if not status.get("started"):
                    done = False
            elif not ended or ended["exitCode"] != 0:
                done = False
    for container, status in zip(spec.get("initContainers") or (), inits):
        ended = status["state"].get("terminated")
        if not is_sidecar(container) and ended and ended["exitCode"] == 0:
            status["ready"] = True
    return done


def _phase(
    spec: Object,
    inits: list[Object],
    mains: list[Object],
    memory: PodMemory,
    initialized: bool,
    stopped: bool,
    old: str,
) -> str:
    if memory.failed is not None:
        return "Failed"
    if old in ("Succeeded", "Failed"):
        return old
    if not initialized:
        for container, status in zip(spec.get("initContainers") or (), inits):
            ended = status["state"].get("terminated")
            if ended and ended["exitCode"] != 0 and not is_sidecar(container):
                if policy_of(spec, container) == "Never" or stopped:
                    return "Failed"
        if not stopped:
            return "Pending"
    running = waiting = unknown = succeeded = failed = 0
    restartable = False
    for container, status in zip(spec["containers"], mains):
        state, last = status["state"], status["lastState"]
        if "running" in state:
            running += 1
        elif ended := state.get("terminated"):
            if ended["exitCode"] == 0:
                succeeded += 1
            else:
                failed += 1
            restartable |= restarts(spec, container, ended["exitCode"])
        elif "waiting" in state:
            if last.get("terminated"):
                failed += 1
                restartable = True
            else:
                waiting += 1
        else:
            unknown += 1
    if waiting and not stopped:
        return "Pending"
    if running and not stopped:
        return "Running"
    if restartable and not stopped:
        return "Running"
    return "Failed" if failed or stopped and waiting else "Succeeded"


def conditions(
    pod: Object,
    observed: Observed,
    initialized: bool,
    inits: list[Object],
    mains: list[Object],
    phase: str,
    now: float,
    resize: Waiting | None = None,
    failed: Waiting | None = None,
) -> list[Object]:
    """What others have set, then the node's own."""
    spec = pod["spec"]
    ready_sandbox = observed.ready_sandbox is not None
    ended = phase in ("Succeeded", "Failed")
    made = [_condition("PodReadyToStartContainers", ready_sandbox and not ended, "", "")]
    sidecars = [s for c, s in zip(spec.get("initContainers") or (), inits) if is_sidecar(c)]
    if phase == "Succeeded":
        made.append(_condition("Initialized", True, "PodCompleted", ""))
    elif initialized:
        made.append(_condition("Initialized", True, "", ""))
    else:
        pairs = zip(spec.get("initContainers") or (), inits)
        unready = [s["name"] for c, s in pairs if not _init_done(c, s)]
        message = f"containers with incomplete status: [{' '.join(unready)}]"
        made.append(_condition("Initialized", False, "ContainersNotInitialized", message))
    unready = [s["name"] for s in [*sidecars, *mains] if not s["ready"]]
    if ended:
        reason = "PodCompleted" if phase == "Succeeded" else "PodFailed"
        made += [_condition(type_, False, reason, "") for type_ in ("Ready", "ContainersReady")]
    elif unready:
        message = f"containers with unready status: [{' '.join(unready)}]"
        made += [
            _condition(type_, False, "ContainersNotReady", message) for type_ in ("Ready", "ContainersReady")
        ]
    else:
        gate = _gate(pod)
        made.append(_condition("Ready", not gate, "ReadinessGatesNotReady" if gate else "", gate))
        made.append(_condition("ContainersReady", True, "", ""))
    old = {condition["type"]: condition for condition in (pod.get("status") or {}).get("conditions") or ()}
    generation = pod["metadata"].get("generation") or 1
    if failed is not None and failed.reason == EVICTED:
        made.insert(0, _condition(DISRUPTION, True, "TerminationByKubelet", failed.message))
    if resize is not None:
        made.insert(0, _condition(RESIZE_PENDING, True, resize.reason, resize.message))
    result: list[Object] = []
    for condition in made:
        before = old.get(condition["type"])
        same = before is not None and before["status"] == condition["status"]
        condition["lastTransitionTime"] = before["lastTransitionTime"] if same else timestamp(now)  # type: ignore[index]
        condition["observedGeneration"] = generation
        result.append(condition)
    scheduled = old.pop("PodScheduled", None) or {
        **_condition("PodScheduled", True, "", ""),
        "lastTransitionTime": timestamp(now),
    }
    others = [
        c
        for type_, c in old.items()
        if type_ not in {*OWN_CONDITIONS, RESIZE_PENDING, *(c["type"] for c in made)}
    ]
    return [*others, *result, {**scheduled, "observedGeneration": generation}]


def _init_done(container: Object, status: Object) -> bool:
    ended = status["state"].get("terminated")
    return bool(is_sidecar(container) and status.get("started")) or bool(ended and ended["exitCode"] == 0)


def _condition(type_: str, true: bool, reason: str, message: str) -> Object:
    condition: Object = {"type": type_, "status": "True" if true else "False", "lastProbeTime": None}
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition


def _gate(pod: Object) -> str:
    """What the Ready condition says of readiness gates that are closed."""
    messages = []
    for gate in pod["spec"].get("readinessGates") or ():
        type_ = gate["conditionType"]
        condition = condition_of(pod, type_)
        if condition is None:
            messages.append(f'corresponding condition of pod readiness gate "{type_}" does not exist.')
        elif condition["status"] != "True":
            messages.append(
                f'the status of pod readiness gate "{type_}" is not "True", but {condition["status"]}'
            )
    return ", ".join(messages)


def rejected_status(pod: Object, reason: str, message: str, now: float) -> Object:
    """Of a pod that the node does not take: neither conditions nor container statuses."""
    old = pod.get("status") or {}
    return {
        "phase": "Failed",
        "reason": reason,
        "message": message,
        "startTime": timestamp(now),
        "qosClass": old.get("qosClass") or qos_class(pod),
        "observedGeneration": pod["metadata"].get("generation") or 1,
    }
