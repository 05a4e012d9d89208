"""Which pod and which container a command means: `web`, `pod/web`, `deployment/web`, `job/once`, `svc/front`."""

from __future__ import annotations

from typing import Any

import click

from ..api.errors import ApiError
from ..api.kinds import kind_of_resource
from ..api.object import Object, annotations_of, condition_of, get, is_deleting, name_of
from ..api.selectors import to_string
from ..base.clock import RealClock
from .errors import Failure
from .targets import items_of, namespace_first, parse, path
from .timing import duration, seconds_of
from .verb import Call

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
LISTS = ("containers", "initContainers", "ephemeralContainers")
NEVER = 1e18


async def object_of(call: Call, word: str, default_type: str = "pods") -> Object:
    """The object of `NAME` or `TYPE/NAME`."""
    ask = (await parse(call.connection, [word if "/" in word else f"{default_type}/{word}"]))[0]
    async with namespace_first(call.connection, call.namespace):
        obj: Object = await call.client.call("GET", path(ask.kind, call.namespace, ask.name))
    return {**obj, "apiVersion": ask.kind.api_version, "kind": ask.kind.kind}


def selector_of(obj: Object, doing: str) -> str:
    """The labels of a workload's or service's pods. `doing`: for the message of kinds that have none."""
    kind, spec = obj["kind"], obj.get("spec") or {}
    if kind in ("ReplicaSet", "StatefulSet", "DaemonSet", "Deployment", "Job"):
        return to_string(spec.get("selector") or {})
    if kind in ("ReplicationController", "Service"):
        if not spec.get("selector"):
            raise Failure(f"invalid service '{name_of(obj)}': Service is defined without a selector")
        return ",".join(f"{key}={value}" for key, value in sorted(spec["selector"].items()))
    type_ = f"*{obj['apiVersion'].rpartition('/')[2]}.{kind}"
    raise Failure(f"{doing} {type_}: selector for {type_} not implemented")


async def pods_of(
    call: Call, obj: Object, doing: str, timeout: str, *, logging: bool = False
) -> list[Object]:
    """A pod by itself; else the pods behind a workload, the most useful first. Waits until there is one."""
    if obj["kind"] == "Pod":
        return [obj]
    selector = selector_of(obj, doing)
    clock = RealClock()
    deadline = clock.monotonic() + duration(timeout, "pod-running-timeout")
    namespace = obj["metadata"].get("namespace") or ""
    while True:
        pods = await items_of(call.connection, kind_of_resource("pods"), namespace, labelSelector=selector)
        if pods:
            return sorted(pods, key=lambda pod: _rank(pod, logging))
        if clock.monotonic() >= deadline:
            raise Failure("timed out waiting for the condition")
        await clock.sleep(0.2)


def _rank(pod: Object, logging: bool) -> tuple[Any, ...]:
    """Least first: bound, running, ready, ready for long. For logs those that restarted most come first, else last."""
    phases = {"Running": 0, "Unknown": 1, "Pending": 2}
    ready = condition_of(pod, "Ready")
    is_ready = bool(ready and ready["status"] == "True")
    since = (seconds_of(ready.get("lastTransitionTime")) or NEVER) if ready and is_ready else NEVER
    restarts = max(
        (each.get("restartCount", 0) for each in get(pod, "status.containerStatuses") or ()), default=0
    )
    created = seconds_of(pod["metadata"].get("creationTimestamp")) or 0
    phase = get(pod, "status.phase")
    return (
        not pod["spec"].get("nodeName"),
        phases.get(phase, 0 if logging else 3),
        not is_ready,
        not logging and is_deleting(pod),
        since,
        -restarts if logging else restarts,
        created,
    )


def container_names(pod: Object) -> str:
    """All of a pod's, as messages list them."""
    spec = pod["spec"]
    names = [each["name"] for each in spec.get("containers") or ()]
    names += [f"{each['name']} (ephem)" for each in spec.get("ephemeralContainers") or ()]
    names += [f"{each['name']} (init)" for each in spec.get("initContainers") or ()]
    return ", ".join(names)


def container_of(pod: Object, name: str, *, quiet: bool = False) -> Object:
    """The container of that name; without one the default, which is said when there was a choice. Raises Failure."""
    spec = pod["spec"]
    name = name or annotations_of(pod).get(DEFAULT_CONTAINER) or ""
    if name:
        for field in LISTS:
            for each in spec.get(field) or ():
                if each["name"] == name:
                    return dict(each)
        raise Failure(f"container {name} is not valid for pod {name_of(pod)} out of: {container_names(pod)}")
    first: Object = spec["containers"][0]
    if not quiet and sum(len(spec.get(field) or ()) for field in LISTS) > 1:
        click.echo(f'Defaulted container "{first["name"]}" out of: {container_names(pod)}', err=True)
    return first


async def running_pod(call: Call, word: str, doing: str, timeout: str) -> Object:
    obj = await object_of(call, word)
    return (await pods_of(call, obj, doing, timeout))[0]


def not_found_in(error: ApiError, namespace: str) -> Failure:
    """`logs` has its own words for an absent pod."""
    return Failure(f'error from server (NotFound): {error.message} in namespace "{namespace}"')
