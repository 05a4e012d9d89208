"""A pod's status, pure: from the pod, what the engine tells, and what the node remembers (kubelet's status generation)."""

from __future__ import annotations

from typing import Any

from ..api.object import Object, condition_of, is_deleting
from ..api.qos import pod_limits, pod_requests, qos_class
from ..base.clock import timestamp
from ..runtime.interface import ContainerStatus
from .observed import Observed, PodMemory
from .sync import could_restart_all, is_sidecar, restarts

DISRUPTION = "DisruptionTarget"
RESIZE_PENDING, RESIZING = "PodResizePending", "PodResizeInProgress"
ALL_RESTARTING = "AllContainersRestarting"
OWN_CONDITIONS = (
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    ALL_RESTARTING,
    RESIZE_PENDING,
    RESIZING,
)
MESSAGES_BYTES = 12 * 1024  # of all containers of a pod together
RESTARTING_ALL = "RestartingAllContainers"
RESTARTING_MESSAGE = "The container is removed because RestartAllContainers in place"
_LOST_RUNNING = (
    "The container could not be located when the pod was deleted.  The container used to be Running"
)
_UNKNOWN_END: Object = {
    "exitCode": 137,
    "reason": "ContainerStatusUnknown",
    "message": "The container could not be located when the pod was terminated",
    "startedAt": None,
    "finishedAt": None,
}


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
    began = any(observed.current(container["name"]) for container in spec["containers"])
    phase = _phase(spec, inits, mains, memory, began, stopped, old.get("phase") or "Pending")
    for container, status in zip(spec.get("initContainers") or (), inits):
        _readiness(container, status, memory, is_sidecar(container))
    for container, status in zip(spec["containers"], mains):
        _readiness(container, status, memory, True)
    made: Object = {
        key: old[key]
        for key in ("resourceClaimStatuses", "extendedResourceClaimStatus", "resize", "nominatedNodeName")
        if key in old
    }
    made["observedGeneration"] = pod["metadata"].get("generation") or 1
    made["phase"] = "Failed" if stopped and phase == "Pending" else phase  # its conditions tell what it was
    failed = memory.failed
    if failed is not None:
        made["reason"], made["message"] = failed.reason, failed.message
    elif phase == old.get("phase"):
        made |= {key: old[key] for key in ("reason", "message") if old.get(key)}
    made["conditions"] = conditions(pod, observed, inits, mains, phase, now, memory)
    if stopped:
        _never_seen(inits, mains)
    made["hostIP"] = host_ip
    made["hostIPs"] = [{"ip": host_ip}]
    sandbox = observed.sandbox
    addresses = list((sandbox.ips if sandbox is not None else ()) or memory.addresses)
    if spec.get("hostNetwork"):
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
    _cut_messages([*inits, *mains, *ephemerals])
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
    previous = _previous_status(pod, name) or {}
    default = {
        "waiting": {"reason": "PodInitializing" if pod["spec"].get("initContainers") else "ContainerCreating"}
    }
    shown: Object = {
        "name": name,
        "state": default,
        "lastState": previous.get("lastState") or {},
        "ready": False,
        "restartCount": max(newest.attempt if newest is not None else 0, previous.get("restartCount", 0)),
        "image": container.get("image") or "",
        "imageID": "",
    }
    if newest is not None:
        shown["image"] = newest.image or shown["image"]
        shown["imageID"] = newest.image_ref
        shown["containerID"] = f"{engine}://{newest.id}"
        if newest.id not in memory.hooked:
            shown["state"] = state_of(newest, memory, engine) or default
        if len(instances) > 1:
            shown["lastState"] = state_of(instances[1], memory, engine)
    else:
        _vanished(shown, previous, pod, name in memory.removed)
    waiting = memory.waiting.get(name)
    if (
        waiting is not None
        and not stopped
        and not is_deleting(pod)
        and _will_start(pod["spec"], container, newest, init)
    ):
        if "terminated" in shown["state"]:
            shown["lastState"] = shown["state"]
        shown["state"] = {"waiting": {"reason": waiting.reason}}
        if waiting.message:
            shown["state"]["waiting"]["message"] = waiting.message
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
        shown["resources"] = memory.actuated.get(name, resources) if newest.state == "RUNNING" else resources
        if newest.user is not None:
            uid, gid, groups = newest.user
            shown["user"] = {"linux": {"uid": uid, "gid": gid, "supplementalGroups": list(groups)}}
    if mounts := _volume_mounts(container):
        shown["volumeMounts"] = mounts
    return shown


def _will_start(spec: Object, container: Object, newest: ContainerStatus | None, init: bool) -> bool:
    """Also a sidecar that ended well is shown as ended while it waits for its turn."""
    if newest is None or newest.state == "EXITED":
        return newest is None or (
            not (init and newest.exit_code == 0) and restarts(spec, container, newest.exit_code)
        )
    return newest.state != "RUNNING"


def _vanished(shown: Object, previous: Object, pod: Object, removed: bool) -> None:
    """The engine has nothing of a container: what was said of it last still counts."""
    state = previous.get("state") or {}
    if removed and state and "waiting" not in state:
        why = {"reason": RESTARTING_ALL, "message": RESTARTING_MESSAGE}
        shown["state"] = {"waiting": why}
        shown["lastState"] = {"terminated": {**_UNKNOWN_END, **why}}
        shown["restartCount"] += 1
    elif "terminated" in state:
        shown.update(previous)
    elif "running" in state and not shown["lastState"]:
        shown["lastState"] = {"terminated": {**_UNKNOWN_END, "message": _LOST_RUNNING}}
        shown["restartCount"] += not is_deleting(pod)


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
            status["state"] = {"terminated": dict(_UNKNOWN_END)}


def _cut_messages(statuses: list[Object]) -> None:
    """The termination messages of a pod share 12 KiB."""
    most = MESSAGES_BYTES // max(len(statuses), 1)
    for status in statuses:
        for key in ("state", "lastState"):
            ended = status[key].get("terminated") or {}
            text = (ended.get("message") or "").encode()
            if len(text) > most:
                status[key] = {"terminated": {**ended, "message": text[:most].decode("utf-8", "replace")}}


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
    """`running` or `terminated`; {}: neither."""
    if status.state == "RUNNING":
        return {"running": {"startedAt": timestamp(status.started_at)}}
    if status.state != "EXITED":
        return {}
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


def _readiness(container: Object, shown: Object, memory: PodMemory, runs_on: bool) -> None:
    state = shown["state"]
    if not runs_on:
        shown["ready"] = (state.get("terminated") or {}).get("exitCode") == 0
    elif "running" in state and shown.get("started", True):
        shown["ready"] = not container.get("readinessProbe") or memory.ready.get(container["name"], False)


# -- phase and conditions ------------------------------------------------------------------------------


def _phase(
    spec: Object,
    inits: list[Object],
    mains: list[Object],
    memory: PodMemory,
    began: bool,
    stopped: bool,
    old: str,
) -> str:
    """`began`: a main container has been started in the pod's present sandbox."""
    if memory.failed is not None:
        return "Failed"
    if old in ("Succeeded", "Failed"):
        return old
    initializing = waiting = running = 0
    for container, status in zip(spec.get("initContainers") or (), inits):
        state, ended = status["state"], _end_of(status)
        if is_sidecar(container):
            running += "running" in state
            waiting += not ended and "waiting" in state
            initializing += not began and "running" in state and not status["started"]
        elif ended is None:
            initializing += 1
        elif ended["exitCode"] != 0 and not _again(spec, container, ended):
            return "Failed"
    again, codes = False, []
    for container, status in zip(spec["containers"], mains):
        if "running" in status["state"]:
            running += 1
        elif ended := _end_of(status):
            again |= _again(spec, container, ended)
            codes.append(ended["exitCode"] if "terminated" in status["state"] else 1)
        else:
            waiting += 1
    if not (initializing or waiting):
        if running or (again and not stopped):
            return "Running"
        if codes:
            return "Failed" if any(codes) else "Succeeded"
    return "Pending"


def _end_of(status: Object) -> Object | None:
    """How a container ended that does not run."""
    state = status["state"]
    ended: Object | None = state.get("terminated") or (
        status["lastState"].get("terminated") if "waiting" in state else None
    )
    return ended


def _again(spec: Object, container: Object, ended: Object) -> bool:
    return restarts(spec, container, ended["exitCode"]) or ended.get("reason") == RESTARTING_ALL


def conditions(
    pod: Object,
    observed: Observed,
    inits: list[Object],
    mains: list[Object],
    phase: str,
    now: float,
    memory: PodMemory,
) -> list[Object]:
    """What others have set, then the node's own."""
    spec = pod["spec"]
    ended = phase in ("Succeeded", "Failed")
    old = {condition["type"]: condition for condition in (pod.get("status") or {}).get("conditions") or ()}
    made = [_condition("PodReadyToStartContainers", observed.ready_sandbox is not None and not ended, "", "")]
    pairs = [*zip(spec.get("initContainers") or (), inits)]
    sidecars = [s for c, s in pairs if is_sidecar(c)]
    unready = [s["name"] for c, s in pairs if not _init_done(c, s)]
    begun = any("waiting" not in s["state"] for s in mains)
    before = (old.get("Initialized") or {}).get("status") == "True"  # no container takes that back
    if phase == "Succeeded":
        made.append(_condition("Initialized", True, "PodCompleted", ""))
    elif begun or before or not unready:
        made.append(_condition("Initialized", True, "", ""))
    else:
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
    failed = memory.failed
    if failed is not None and failed.disrupts:
        made.insert(0, _condition(DISRUPTION, True, "TerminationByKubelet", failed.message))
    for type_, why in ((RESIZING, memory.resizing), (RESIZE_PENDING, memory.resize)):
        if why is not None:
            made.insert(0, _condition(type_, True, why.reason, why.message))
    made.append(old.pop("PodScheduled", None) or _condition("PodScheduled", True, "", ""))
    generation = pod["metadata"].get("generation") or 1
    made = [{**condition, "observedGeneration": generation} for condition in made]
    if could_restart_all(spec):
        made.append(_restarting_all(memory, phase))
    for condition in made:
        known = old.get(condition["type"]) or condition
        same = known["status"] == condition["status"] and "lastTransitionTime" in known
        condition["lastTransitionTime"] = known["lastTransitionTime"] if same else timestamp(now)
        if condition["type"] in (RESIZE_PENDING, RESIZING):
            condition["lastProbeTime"] = condition["lastTransitionTime"]
    shown = {*OWN_CONDITIONS, *(c["type"] for c in made)}
    return [*(c for type_, c in old.items() if type_ not in shown), *made]


def _restarting_all(memory: PodMemory, phase: str) -> Object:
    if phase in ("Succeeded", "Failed"):
        return _condition(ALL_RESTARTING, False, "PodCompleted" if phase == "Succeeded" else "PodFailed", "")
    if memory.restarting_all:
        message = "container exited with restart policy rule"
        return _condition(ALL_RESTARTING, True, "RestartAllContainersStarted", message)
    return _condition(ALL_RESTARTING, False, "", "")


def _init_done(container: Object, status: Object) -> bool:
    ended = status["state"].get("terminated")
    return bool(status.get("started")) if is_sidecar(container) else bool(ended and ended["exitCode"] == 0)


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
