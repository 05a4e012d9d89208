"""`pilothouse rollout`: status, history, undo, restart, pause, resume of deployments, stateful sets and daemon sets."""

from __future__ import annotations

import asyncio

import click
import orjson

from ..api.object import Object, annotations_of, condition_of, get, name_of
from ..base.clock import RealClock, timestamp
from ..client.http import lines, raise_for_status, with_query
from ..client.transport import Response
from . import printing
from .apply import LAST_APPLIED
from .change import Change
from .describe_pods import template as write_template
from .describe_writer import Writer
from .errors import Failure
from .tabs import tabbed
from .targets import Finder, Info, path
from .timing import duration
from .verb import FILES, OUTPUT, SELECTOR, WRITE, Call, family, flag, number, program, span, text, verb
from .workloads import HASH, REVISION, controller_revisions, replica_sets, revision_of, without_hash

MANAGER = "kubectl-rollout"
CAUSE = "kubernetes.io/change-cause"
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
KEPT = (  # annotations of a deployment that a rollback leaves alone
    LAST_APPLIED,
    REVISION,
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
)
APPLIED = (
    "Warning: resource {0} was previously managed with 'kubectl apply'. Rolling back will not update the {1} annotation, "
    "which may cause unexpected behavior on future 'kubectl apply' operations. Consider using 'kubectl apply' with your "
    "previous configuration file instead."
)
command = family("rollout", "Manage the rollout of a workload.")


async def _targets(call: Call) -> tuple[Finder, list[Info]]:
    if not call.words and not call.options.filename:
        raise Failure("required resource not specified")
    finder = Finder(call)
    found = await finder.run(everything=True)
    if not found and not finder.errors:
        click.echo(f"No resources found in {call.namespace} namespace.", err=True)
    return finder, found


def _group_kind(info: Info) -> str:
    return info.kind.kind + (f".{info.kind.group}" if info.kind.group else "")


def _named(info: Info) -> str:
    """`deployments.apps "web"`"""
    return f'{info.kind.resource} "{info.name}"'


# -- status ----------------------------------------------------------------------------------------------------


@command.subcommand
@verb(
    "status",
    *FILES,
    *SELECTOR,
    flag("-w", "--watch", default=True, help="Until it is done."),
    span("--timeout", default="0s", help="How long to wait."),
    number("--revision", default=0, help="Of this revision, else fail."),
    help="Show how a rollout goes, until it is done.",
)
async def status(call: Call) -> None:
    if call.options.revision < 0:
        raise Failure(f"revision must be a positive integer: {call.options.revision}")
    finder, found = await _targets(call)
    finder.end()
    for info in found:
        if info.kind.kind not in STATUS:
            raise Failure(f"no status viewer has been implemented for {info.kind.kind}")
        limit = duration(call.options.timeout)
        try:
            async with asyncio.timeout(limit or None):
                await _follow(call, info)
        except TimeoutError:
            raise Failure("timed out waiting for the condition")


async def _follow(call: Call, info: Info) -> None:
    obj = info.obj
    message, done = _progress(info, obj, call.options.revision)
    click.echo(message)
    if done or not call.options.watch:
        return
    version = obj["metadata"]["resourceVersion"]
    while True:
        query = {"watch": "true", "resourceVersion": version, "fieldSelector": f"metadata.name={info.name}"}
        where = with_query(path(info.kind, info.namespace), query)
        accept = {"accept": "application/json"}
        async with call.client.transport.stream("GET", where, headers=accept) as (code, headers, pieces):
            if code >= 400:
                raise_for_status(Response(code, headers, b"".join([piece async for piece in pieces])))
            async for line in lines(pieces):
                event = orjson.loads(line)
                if event["type"] == "DELETED":
                    raise Failure("object has been deleted")
                if event["type"] == "ERROR":
                    break
                version = event["object"]["metadata"]["resourceVersion"]
                message, done = _progress(info, event["object"], call.options.revision)
                click.echo(message)
                if done:
                    return
        version = (await call.client.call("GET", info.path))["metadata"][
            "resourceVersion"
        ]  # the watch has ended


def _progress(info: Info, obj: Object, revision: int) -> tuple[str, bool]:
    return STATUS[info.kind.kind](obj, revision)


def _deployment(obj: Object, revision: int) -> tuple[str, bool]:
    name, state = name_of(obj), obj.get("status") or {}
    if revision and revision != revision_of(obj):
        raise Failure(
            f"desired revision ({revision}) is different from the running revision ({revision_of(obj)})"
        )
    if obj["metadata"].get("generation", 0) > state.get("observedGeneration", 0):
        return "Waiting for deployment spec update to be observed...", False
    progressing = condition_of(obj, "Progressing")
    if progressing and progressing.get("reason") == "ProgressDeadlineExceeded":
        raise Failure(f'deployment "{name}" exceeded its progress deadline')
    wanted, updated = obj["spec"].get("replicas", 1), state.get("updatedReplicas", 0)
    total, available = state.get("replicas", 0), state.get("availableReplicas", 0)
    start = f'Waiting for deployment "{name}" rollout to finish: '
    if updated < wanted:
        return f"{start}{updated} out of {wanted} new replicas have been updated...", False
    if total > updated:
        return f"{start}{total - updated} old replicas are pending termination...", False
    if available < updated:
        return f"{start}{available} of {updated} updated replicas are available...", False
    return f'deployment "{name}" successfully rolled out', True


def _daemon_set(obj: Object, revision: int) -> tuple[str, bool]:
    name, state = name_of(obj), obj.get("status") or {}
    if get(obj, "spec.updateStrategy.type") != "RollingUpdate":
        raise Failure("rollout status is only available for RollingUpdate strategy type")
    if obj["metadata"].get("generation", 0) > state.get("observedGeneration", 0):
        return "Waiting for daemon set spec update to be observed...", False
    wanted = state.get("desiredNumberScheduled", 0)
    updated, available = state.get("updatedNumberScheduled", 0), state.get("numberAvailable", 0)
    start = f'Waiting for daemon set "{name}" rollout to finish: '
    if updated < wanted:
        return f"{start}{updated} out of {wanted} new pods have been updated...", False
    if available < wanted:
        return f"{start}{available} of {wanted} updated pods are available...", False
    return f'daemon set "{name}" successfully rolled out', True


def _stateful_set(obj: Object, revision: int) -> tuple[str, bool]:
    spec, state = obj["spec"], obj.get("status") or {}
    if get(spec, "updateStrategy.type") != "RollingUpdate":
        raise Failure("rollout status is only available for RollingUpdate strategy type")
    observed = state.get("observedGeneration", 0)
    if not observed or obj["metadata"].get("generation", 0) > observed:
        return "Waiting for statefulset spec update to be observed...", False
    wanted, ready, updated = (
        spec.get("replicas", 1),
        state.get("readyReplicas", 0),
        state.get("updatedReplicas", 0),
    )
    if ready < wanted:
        return f"Waiting for {wanted - ready} pods to be ready...", False
    rolling = get(spec, "updateStrategy.rollingUpdate")
    if rolling is not None:
        partition = rolling.get("partition")
        if partition is not None and updated < wanted - partition:
            of = wanted - partition
            return (
                f"Waiting for partitioned roll out to finish: {updated} out of {of} new pods have been updated...",
                False,
            )
        return f"partitioned roll out complete: {updated} new pods have been updated...", True
    if state.get("updateRevision") != state.get("currentRevision"):
        revision_name = state.get("updateRevision")
        return (
            f"waiting for statefulset rolling update to complete {updated} pods at revision {revision_name}...",
            False,
        )
    at = f"{state.get('currentReplicas', 0)} pods at revision {state.get('currentRevision')}"
    return f"statefulset rolling update complete {at}...", True


STATUS = {"Deployment": _deployment, "DaemonSet": _daemon_set, "StatefulSet": _stateful_set}


# -- history and undo ------------------------------------------------------------------------------------------


@command.subcommand
@verb(
    "history",
    *FILES,
    *SELECTOR,
    *OUTPUT,
    number("--revision", default=0, help="This revision in detail."),
    help="Show the revisions of a workload.",
)
async def history(call: Call) -> None:
    wanted = call.options.revision
    if wanted < 0:
        raise Failure(f"revision must be a positive integer: {wanted}")
    finder, found = await _targets(call)
    printer = printing.printer(call.options)
    for info in found:
        revisions = await _revisions(call, info)
        if wanted and wanted not in revisions:
            raise Failure("unable to find the specified revision")
        if printer:
            for number_ in [wanted] if wanted else sorted(revisions):
                click.echo(printer.show(revisions[number_]), nl=False)
        elif wanted:
            click.echo(
                f"{info.shown} with revision #{wanted}\n{_written(_template_of(revisions[wanted], cause=True))}"
            )
        elif not revisions:
            click.echo(f"{info.shown} \nNo rollout history found.")
        else:
            rows = [
                f"{n}\t{annotations_of(revisions[n]).get(CAUSE) or '<none>'}\n" for n in sorted(revisions)
            ]
            click.echo(f"{info.shown} \n" + tabbed("REVISION\tCHANGE-CAUSE\n" + "".join(rows)))
    finder.end()


async def _revisions(call: Call, info: Info) -> dict[int, Object]:
    """number: the ReplicaSet or ControllerRevision of it."""
    if info.kind.kind == "Deployment":
        return {
            revision_of(each): each
            for each in await replica_sets(call.connection, info.obj)
            if revision_of(each)
        }
    if info.kind.kind in ("StatefulSet", "DaemonSet"):
        return {each["revision"]: each for each in await controller_revisions(call.connection, info.obj)}
    raise Failure(f'no history viewer has been implemented for "{_group_kind(info)}"')


def _template_of(revision: Object, cause: bool = False) -> Object:
    if "data" in revision:
        return {key: value for key, value in revision["data"]["spec"]["template"].items() if key != "$patch"}
    template: Object = revision["spec"]["template"]
    why = annotations_of(revision).get(CAUSE)
    if cause and why:
        metadata = template.get("metadata") or {}
        annotations = {**(metadata.get("annotations") or {}), CAUSE: why}
        template = {**template, "metadata": {**metadata, "annotations": annotations}}
    return template


def _written(template: Object) -> str:
    """As `describe` writes it, but with its tabs."""
    writer = Writer()
    write_template(writer, template)
    return "".join(writer._parts)


@command.subcommand
@verb(
    "undo",
    *FILES,
    *SELECTOR,
    *WRITE,
    number("--to-revision", default=0, help="Which one (0: the one before)."),
    help="Go back to an earlier revision.",
)
async def undo(call: Call) -> None:
    finder, found = await _targets(call)
    change = Change(call, MANAGER)
    for info in found:
        with finder.trying():
            if info.kind.kind not in STATUS:
                raise Failure(f'no rollbacker has been implemented for "{_group_kind(info)}"')
            undo_one = _undo_deployment if info.kind.kind == "Deployment" else _undo_revision
            obj, done = await undo_one(call, info, change)
            if LAST_APPLIED in annotations_of(info.obj):
                click.echo(APPLIED.format(f"{info.kind.plural}/{info.name}", LAST_APPLIED), err=True)
            change.say(info.shown, obj, done)
    finder.end()


async def _undo_deployment(call: Call, info: Info, change: Change) -> tuple[Object, str]:
    wanted, obj = call.options.to_revision, info.obj
    sets = sorted(await replica_sets(call.connection, obj), key=revision_of)
    if wanted:
        target = next((each for each in sets if revision_of(each) == wanted), None)
        if target is None:
            raise Failure(f"unable to find specified revision {wanted} in history")
    elif len(sets) < 2:
        raise Failure(f'no rollout history found for deployment "{info.name}"')
    else:
        target = sets[-2]
    template = target["spec"]["template"]
    if change.dry_run == "client":
        return obj, _written(template)
    if obj["spec"].get("paused"):
        hint = f"cannot rollback a paused deployment; resume it first with '{program()} rollout resume' and try again"
        raise Failure(hint)
    if without_hash(template) == without_hash(obj["spec"]["template"]):
        return obj, f"skipped rollback (current template already matches revision {wanted})"
    annotations = {key: value for key, value in annotations_of(obj).items() if key in KEPT}
    annotations |= {key: value for key, value in annotations_of(target).items() if key not in KEPT}
    labels = {key: value for key, value in (get(template, "metadata.labels") or {}).items() if key != HASH}
    template = {**template, "metadata": {**template.get("metadata", {}), "labels": labels}}
    patch = [
        {"op": "replace", "path": "/spec/template", "value": template},
        {"op": "replace", "path": "/metadata/annotations", "value": annotations},
    ]
    return await change.patch(info, patch, "json"), "rolled back"


async def _undo_revision(call: Call, info: Info, change: Change) -> tuple[Object, str]:
    wanted = call.options.to_revision
    revisions = await controller_revisions(call.connection, info.obj)
    if wanted:
        target = next((each for each in revisions if each["revision"] == wanted), None)
        if target is None:
            raise Failure(f"unable to find specified revision {wanted} in history")
    elif len(revisions) < 2:
        raise Failure("no last revision to roll back to")
    else:
        target = revisions[-2]
    if change.dry_run == "client":
        return info.obj, f"will roll back to {_written(_template_of(target))}"
    if target is revisions[-1]:
        return info.obj, f"skipped rollback (current template already matches revision {wanted})"
    return await change.patch(info, target["data"]), "rolled back"


# -- restart, pause, resume ------------------------------------------------------------------------------------


@command.subcommand
@verb(
    "restart",
    *FILES,
    *SELECTOR,
    *OUTPUT,
    text("--field-manager"),
    help="Replace all pods, one after the other.",
)
async def restart(call: Call) -> None:
    finder, found = await _targets(call)
    change = Change(call, MANAGER)
    for info in found:
        with finder.trying():
            if info.kind.kind not in STATUS:
                raise Failure(f"error: {_named(info)} restarting is not supported")
            if info.obj["spec"].get("paused"):
                raise Failure(
                    f"error: {_named(info)} can't restart paused deployment (run rollout resume first)"
                )
            now = timestamp(RealClock().now())
            if get(info.obj, "spec.template.metadata.annotations", {}).get(RESTARTED_AT) == now:
                raise Failure(
                    f"error: {_named(info)} if restart has already been triggered within the past second, please wait before "
                    "attempting to trigger another"
                )
            patch = {"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: now}}}}}
            change.say(info.shown, await change.patch(info, patch), "restarted")
    finder.end()


async def _set_paused(call: Call, paused: bool) -> None:
    finder, found = await _targets(call)
    change = Change(call, MANAGER)
    for info in found:
        with finder.trying():
            if info.kind.kind != "Deployment":
                raise Failure(f"error: {_named(info)} {'pausing' if paused else 'resuming'} is not supported")
            if bool(info.obj["spec"].get("paused")) == paused:
                raise Failure(f"error: {_named(info)} is {'already' if paused else 'not'} paused")
            obj = await change.patch(info, {"spec": {"paused": paused or None}})
            change.say(info.shown, obj, "paused" if paused else "resumed")
    finder.end()


_PAUSE_FLAGS = (*FILES, *SELECTOR, *OUTPUT, text("--field-manager"))


@command.subcommand
@verb("pause", *_PAUSE_FLAGS, help="Changes of the template wait until `rollout resume`.")
async def pause(call: Call) -> None:
    await _set_paused(call, True)


@command.subcommand
@verb("resume", *_PAUSE_FLAGS, help="Roll out what has changed since `rollout pause`.")
async def resume(call: Call) -> None:
    await _set_paused(call, False)
