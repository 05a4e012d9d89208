"""`pilothouse logs`: of containers; with --cluster NAME and nothing else, of that cluster's own components."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import click

from ..api.errors import ApiError
from ..api.object import Object, annotations_of, name_of, namespace_of
from ..base.clock import RealClock
from ..client.http import raise_for_status, with_query
from ..client.transport import Response
from .errors import Failure
from .pods import DEFAULT_CONTAINER, LISTS, container_of, not_found_in, object_of, pods_of
from .targets import items_of, path
from .timing import duration
from .verb import SELECTOR, Call, flag, number, span, text, verb

USAGE = "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument for the logs command"
SELECTED_TAIL = 10


@verb(
    "logs",
    *SELECTOR,
    flag("-f", "--follow", help="Go on with what comes."),
    flag("-p", "--previous", help="Of the container before the last restart."),
    text("-c", "--container", help="The container."),
    flag("--all-containers", help="Of all containers."),
    flag("--all-pods", help="Of all pods of a workload."),
    flag("--timestamps", help="When, before each line."),
    flag("--prefix", help="Which pod and container, before each line."),
    span("--since", default="0s", help="Only what is younger than 5s, 2m, 3h."),
    text("--since-time", help="Only what came after a time (RFC 3339)."),
    number("--tail", default=-1, help="The last lines."),
    number("--limit-bytes", default=0, help="At most so many bytes."),
    flag("--ignore-errors", help="Go on past errors."),
    number("--max-log-requests", default=5, help="Containers to follow at once."),
    span("--pod-running-timeout", default="20s", help="How long to wait for a pod."),
    flag("--insecure-skip-tls-verify-backend"),
    help="Print the logs of a container: `logs POD`, `logs deployment/web`, `logs -l app=web`; `logs --cluster NAME` prints the cluster's own.",
)
async def command(call: Call) -> None:
    options, words = call.options, call.words
    if not words and options.given("cluster") and not options.selector:
        await _of_cluster(options.cluster, options.follow, options.tail)
        return
    if (not words and not options.selector) or len(words) > 2:
        raise call.usage(USAGE)
    if words and options.selector:
        raise call.usage("only a selector (-l) or a POD name is allowed")
    query = _query(call)
    pods = await _pods(call)
    requests = [(pod, each) for pod in pods for each in _containers(call, pod)]
    if options.follow and len(requests) > max(options.max_log_requests, 1):
        raise Failure(
            f"you are attempting to follow {len(requests)} log streams, but maximum allowed concurrency is "
            f"{options.max_log_requests}, use --max-log-requests to increase the limit"
        )
    if options.follow and len(requests) > 1:
        async with asyncio.TaskGroup() as group:
            for pod, container in requests:
                group.create_task(_print(call, pod, container, query))
    else:
        for pod, container in requests:
            await _print(call, pod, container, query)


def _query(call: Call) -> dict[str, Any]:
    options = call.options
    since = duration(options.since, "since")
    if options.since_time and since:
        raise Failure("at most one of `sinceTime` or `sinceSeconds` may be specified")
    container = options.container or (call.words[1] if len(call.words) == 2 else "")
    if options.all_containers and container:
        raise Failure(f"--all-containers=true should not be specified with container name {container}")
    if options.container and len(call.words) == 2:
        raise Failure("only one of -c or an inline [CONTAINER] arg is allowed")
    if options.limit_bytes < 0:
        raise Failure("--limit-bytes must be greater than 0")
    if since < 0:
        raise Failure("--since must be greater than 0")
    if options.tail < -1:
        raise Failure("--tail must be greater than or equal to -1")
    tail: int | None = options.tail if options.tail != -1 else None
    if options.selector and not options.given("tail"):
        tail = SELECTED_TAIL
    query: dict[str, Any] = {
        "follow": "true" if options.follow else "",
        "previous": "true" if options.previous else "",
        "timestamps": "true" if options.timestamps else "",
        "sinceSeconds": str(round(since)) if since else "",
        "sinceTime": options.since_time,
        "tailLines": "" if tail is None else str(tail),
        "limitBytes": str(options.limit_bytes) if options.limit_bytes else "",
    }
    return query


async def _pods(call: Call) -> list[Object]:
    options = call.options
    if options.selector:
        kind = await call.connection.kind("pods")
        found = await items_of(call.connection, kind, call.namespace, labelSelector=options.selector)
        if not found:
            click.echo(f"No resources found in {call.namespace} namespace.", err=True)
        return found
    try:
        obj = await object_of(call, call.words[0])
    except ApiError as error:
        raise not_found_in(error, call.namespace) if error.code == 404 else error
    pods = await pods_of(call, obj, "cannot get the logs from", options.pod_running_timeout, logging=True)
    if len(pods) > 1 and not options.all_pods:
        click.echo(f"Found {len(pods)} pods, using pod/{name_of(pods[0])}", err=True)
    return pods if options.all_pods else pods[:1]


def _containers(call: Call, pod: Object) -> list[str]:
    options = call.options
    if options.all_containers:
        order = ("initContainers", "containers", "ephemeralContainers")
        return [each["name"] for field in order for each in pod["spec"].get(field) or ()]
    name = options.container or (call.words[1] if len(call.words) == 2 else "")
    default = annotations_of(pod).get(DEFAULT_CONTAINER)
    if (
        not name
        and default
        and not any(each["name"] == default for f in LISTS for each in pod["spec"].get(f) or ())
    ):
        click.echo(f'Default container name "{default}" not found in pod {name_of(pod)}', err=True)
        return [container_of({**pod, "metadata": {**pod["metadata"], "annotations": {}}}, "")["name"]]
    return [container_of(pod, name, quiet=options.all_pods)["name"]]


async def _print(call: Call, pod: Object, container: str, query: dict[str, Any]) -> None:
    options = call.options
    prefix = f"[pod/{name_of(pod)}/{container}] ".encode() if options.prefix or options.all_pods else b""
    kind = await call.connection.kind("pods")
    where = with_query(path(kind, namespace_of(pod), name_of(pod), "log"), {**query, "container": container})
    clock = RealClock()
    deadline = clock.monotonic() + duration(options.pod_running_timeout, "pod-running-timeout")
    while True:
        try:
            await _stream(call, where, _writer(prefix))
            return
        except ApiError as error:
            if options.ignore_errors:
                click.echo(f"error: {error.message}")
                return
            if not options.follow or clock.monotonic() >= deadline:
                raise
            click.echo(error.message, err=True)  # the container may not run yet
        await clock.sleep(1)


async def _stream(call: Call, where: str, write: Callable[[bytes], None]) -> None:
    async with call.client.transport.stream("GET", where, headers={"accept": "application/json, */*"}) as (
        status,
        headers,
        pieces,
    ):
        if status >= 400:
            raise_for_status(Response(status, headers, b"".join([piece async for piece in pieces])))
        async for piece in pieces:
            write(piece)
        write(b"")


def _writer(prefix: bytes) -> Callable[[bytes], None]:
    """Writes as it comes; with a prefix, whole lines only, so that streams do not mix within one."""
    out = sys.stdout.buffer
    rest = b""

    def plain(data: bytes) -> None:
        out.write(data)
        out.flush()

    def prefixed(data: bytes) -> None:
        nonlocal rest
        *lines, rest = (rest + data).split(b"\n")
        if not data and rest:
            lines, rest = [rest], b""
        plain(b"".join(prefix + line + b"\n" for line in lines))

    return prefixed if prefix else plain


async def _of_cluster(name: str, follow: bool, tail: int) -> None:
    """The log of a cluster's daemon, in which all its components write."""
    from ..cluster import manage

    log = manage.find(name).log
    clock = RealClock()
    with log.open("rb") as file:
        lines = file.readlines()
        sys.stdout.buffer.write(b"".join(lines if tail < 0 else lines[len(lines) - min(tail, len(lines)) :]))
        sys.stdout.buffer.flush()
        while follow:
            if data := file.read():
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
            else:
                await clock.sleep(0.2)
