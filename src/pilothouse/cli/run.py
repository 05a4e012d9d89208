"""`pilothouse run`: one pod from flags; with -i or --attach also its terminal, with --rm also its end."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import click

from ..api.errors import ApiError
from ..api.object import Object, condition_of, get
from ..base.clock import RealClock
from ..client.http import delete_options
from ..node.images import invalid_name
from .attach import attach_to
from .create import SAVE, make
from .errors import Failure
from .targets import path
from .timing import duration
from .verb import WRITE, Call, dry_run_of, flag, many, span, text, verb


@verb(
    "run",
    *WRITE,
    *SAVE,
    text("--image", needed=True, help="The image to run."),
    text("--image-pull-policy", help="Always, IfNotPresent or Never."),
    text("--restart", default="Always", help="Always, OnFailure or Never."),
    many("--env", help="KEY=VALUE"),
    text("--port", help="The port that it listens on."),
    text("-l", "--labels", help="KEY=VALUE,…"),
    many("--annotations", help="KEY=VALUE"),
    text("--overrides", help="JSON that is merged into the pod."),
    text("--override-type", default="merge", help="merge, strategic or json."),
    flag("--command", help="What stands after -- is the command, not its arguments."),
    flag("--privileged", help="With all rights on the node."),
    flag("--expose", help="Also make a service for --port."),
    flag("-i", "--stdin", help="Pass standard input on."),
    flag("-t", "--tty", help="Standard input is a terminal."),
    flag("--attach", help="Attach when it runs."),
    flag("--leave-stdin-open"),
    flag("--rm", help="Delete the pod when the session ends."),
    flag("-q", "--quiet", help="Only what the container prints."),
    span("--pod-running-timeout", default="1m0s"),
    help="Run an image in a pod: `run web --image=nginx`, `run -it --rm shell --image=busybox -- sh`.",
)
async def command(call: Call) -> int | None:
    options = call.options
    words = [*call.words, *(call.after or [])]
    if not call.words:
        raise call.usage("NAME is required for run")
    interactive, attached = options.stdin or options.tty, options.attach or options.stdin
    if not options.image:
        raise Failure("--image is required")
    if problem := invalid_name(options.image):
        why = problem.partition(": ")[2]
        raise Failure(f'Invalid image name "{options.image}": {why}')
    if options.tty and not options.stdin:
        raise call.usage("-i/--stdin is required for containers with -t/--tty=true")
    if options.expose and not options.port:
        raise call.usage("--port must be set when exposing a service")
    if options.rm and not attached:
        raise call.usage("--rm should only be used for attached containers")
    if attached and dry_run_of(options) != "none":
        raise call.usage(
            "--dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty)"
        )
    if options.image_pull_policy not in ("", "Always", "IfNotPresent", "Never"):
        raise call.usage(f"invalid image pull policy: {options.image_pull_policy}")
    if options.restart not in ("Always", "OnFailure", "Never"):
        raise call.usage(f"invalid restart policy: {options.restart}")
    if options.override_type not in ("merge", "strategic", "json"):
        raise Failure(f"invalid override type: {options.override_type}")
    pod = overridden(_pod(call, words[0], words[1:], interactive), options.overrides, options.override_type)
    if options.expose:
        await _expose(call, words[0], pod)
        if options.output == "yaml":
            click.echo("---\n---")
    if not attached:
        await make(call, pod, "created", manager="kubectl-run")
        return None
    return await _session(call, await _quietly(call, pod))


async def _quietly(call: Call, pod: Object) -> Object:
    kind = await call.connection.kind("pods")
    return await call.client.call("POST", path(kind, call.namespace) + "?fieldManager=kubectl-run", pod)


def _pod(call: Call, name: str, args: list[str], interactive: bool) -> Object:
    options = call.options
    container: Object = {"name": name, "image": options.image, "resources": {}}
    if options.image_pull_policy:
        container["imagePullPolicy"] = options.image_pull_policy
    if args:
        container["command" if options.command else "args"] = args
    if options.env:
        bad = next((word for word in options.env if not word.partition("=")[0] or "=" not in word), None)
        if bad is not None:
            raise Failure(f"invalid env: {bad}")
        pairs = [word.split("=", 1) for word in options.env]
        container["env"] = [{"name": key, "value": value} for key, value in pairs]
    if options.port:
        container["ports"] = [{"containerPort": whole(options.port)}]
    if options.privileged:
        container["securityContext"] = {"privileged": True}
    if options.stdin:
        container["stdin"] = True
        if not options.leave_stdin_open:
            container["stdinOnce"] = True
    if options.tty:
        container["tty"] = True
    labels = labels_given(options.labels or f"run={name}")
    metadata: Object = {"name": name, "labels": labels}
    if options.annotations:
        metadata["annotations"] = dict(word.split("=", 1) for word in options.annotations)
    spec = {"containers": [container], "dnsPolicy": "ClusterFirst", "restartPolicy": options.restart}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {}}


def labels_given(text_: str) -> dict[str, str]:
    """Of `a=b,c=d`. Raises Failure."""
    words = text_.split(",")
    if bad := next((word for word in words if "=" not in word), None):
        raise Failure(f"unexpected label spec: {bad}")
    return dict(word.split("=", 1) for word in words)


def whole(text_: str) -> int:
    """A number, or a Failure as Go has it."""
    if not re.fullmatch(r"[+-]?\d+", text_):
        raise Failure(f'strconv.Atoi: parsing "{text_}": invalid syntax')
    return int(text_)


def overridden(pod: Object, text_: str, type_: str) -> Object:
    if not text_:
        return pod
    try:
        patch: Any = json.loads(text_)
    except ValueError:
        raise Failure("Invalid JSON Patch")
    from ..api import patch as patches
    from ..api.schema import schema_of

    if type_ == "json":
        return dict(patches.json_patch(pod, patch))
    if type_ == "strategic":
        return patches.strategic_merge_patch(schema_of("", "v1", pod["kind"]), pod, patch)
    return dict(patches.merge_patch(pod, patch))


async def _expose(call: Call, name: str, pod: Object) -> None:
    port = call.options.port
    spec = {
        "ports": [{"port": int(port), "protocol": "TCP", "targetPort": int(port)}],
        "selector": pod["metadata"]["labels"],
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": spec,
        "status": {"loadBalancer": {}},
    }
    await make(call, service, manager="kubectl-run")


async def _session(call: Call, pod: Object) -> int | None:
    options, clock = call.options, RealClock()
    name = pod["metadata"]["name"]
    where = path(await call.connection.kind("pods"), call.namespace, name)
    code: int | None = None
    try:
        deadline = clock.monotonic() + duration(options.pod_running_timeout, "pod-running-timeout")
        while get(pod, "status.phase") not in ("Running", "Succeeded", "Failed"):
            if clock.monotonic() > deadline:
                raise Failure("timed out waiting for the condition")
            await clock.sleep(0.2)
            pod = await call.client.call("GET", where)
        if get(pod, "status.phase") == "Running":
            container = pod["spec"]["containers"][0]
            try:
                code = await attach_to(call, pod, container, options.stdin, options.tty, options.quiet)
            except (ApiError, Failure) as error:
                why = f"couldn't attach to pod/{name}, falling back to streaming logs: {error.args[0]}"
                click.echo(f"warning: {why}", err=True)
                await _print_log(call, where)
        else:  # it was quicker than we are
            await _print_log(call, where)
        if options.restart != "Always":
            code = await _exit_code(call, where, clock)
    finally:
        if options.rm:
            await asyncio.shield(call.client.call("DELETE", where, delete_options(None, "Background")))
            click.echo(f'pod "{name}" deleted from {call.namespace} namespace')
    return code


async def _print_log(call: Call, where: str) -> None:
    target = f"{where}/log?follow=true"
    async with call.client.transport.stream("GET", target) as (status, _, pieces):
        async for piece in pieces:
            click.echo(piece if status < 400 else b"", nl=False)


async def _exit_code(call: Call, where: str, clock: RealClock) -> int:
    while True:
        try:
            pod = await call.client.call("GET", where)
        except ApiError as error:
            if error.code == 404:
                return 0
            raise
        if get(pod, "status.phase") in ("Succeeded", "Failed"):
            state = (get(pod, "status.containerStatuses") or [{}])[0].get("state") or {}
            return int((state.get("terminated") or {}).get("exitCode", 0))
        if condition_of(pod, "Ready") is None:
            return 0
        await clock.sleep(0.2)
