"""`pilothouse drain`: cordons a node and evicts its pods, those that may go."""

from __future__ import annotations

import asyncio

import click

from ..api.errors import ApiError
from ..api.kinds import kind_of_resource
from ..api.object import Object, annotations_of, controller_of, get, name_of, namespace_of, uid_of
from ..api.selectors import parse_labels
from ..base.clock import RealClock
from ..client.http import delete_options, with_query
from .change import Change
from .errors import Failure, Failures
from .nodes import find_nodes, mark
from .targets import Info, items_of, path
from .timing import duration
from .verb import DRY_RUN, DRY_RUN_NOTE, SELECTOR, Call, flag, number, span, text, verb

RETRY_S = 5
PODS = kind_of_resource("pods")
DAEMON_SETS = kind_of_resource("daemonsets.apps")
MIRROR = "kubernetes.io/config.mirror"
# why a pod stands in the way: (error, warning when the flag is given)
REASONS = {
    "daemon": (
        "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)",
        "ignoring DaemonSet-managed Pods",
    ),
    "local": (
        "cannot delete Pods with local storage (use --delete-emptydir-data to override)",
        "deleting Pods with local storage",
    ),
    "bare": (
        "cannot delete Pods that declare no controller (use --force to override)",
        "deleting Pods that declare no controller",
    ),
}


@verb(
    "drain",
    *SELECTOR,
    *DRY_RUN,
    flag("--force", help="Also pods without a controller."),
    flag("--ignore-daemonsets", help="Leave pods of daemon sets."),
    flag("--delete-emptydir-data", help="Also pods whose emptyDir data is lost then."),
    flag("--disable-eviction", help="Delete, past all disruption budgets."),
    number("--grace-period", default=-1, help="Seconds that a pod may take to end."),
    span("--timeout", default="0s", help="How long to wait."),
    text("--pod-selector", help="Only pods with these labels."),
    number("--skip-wait-for-delete-timeout", default=0),
    number("--chunk-size", default=500),
    help="Move the pods off a node: `drain NODE --ignore-daemonsets`.",
)
async def command(call: Call) -> int | None:
    change = Change(call, "kubectl-drain")
    dry_run = change.dry_run
    if call.options.pod_selector:
        try:
            parse_labels(call.options.pod_selector)
        except ValueError:
            raise Failure("--pod-selector=<pod_selector> must be a valid label selector")
    found = await find_nodes(call)
    for info in found:
        await mark(change, info, True)
    failed: dict[str, list[str]] = {}
    for info in found:
        try:
            await _drain(call, info, dry_run)
        except (ApiError, Failure, Failures) as error:
            several = error.errors if isinstance(error, Failures) else [error]
            failed[info.name] = listed = [str(each) for each in several]
            why = listed[0] if len(listed) == 1 else f"[{', '.join(listed)}]"
            why += ", continuing command..."
            click.echo(f'error: unable to drain node "{info.name}" due to error: {why}', err=True)
            continue
        click.echo(f"node/{info.name} drained{DRY_RUN_NOTE[dry_run]}")
    if failed:
        pending = "".join(f" {name}\n" for name in failed)
        reasons = "\n".join(each for listed in failed.values() for each in listed)
        click.echo(f"There are pending nodes to be drained:\n{pending}{reasons}", err=True)
        return 1
    return None


async def _drain(call: Call, node: Info, dry_run: str) -> None:
    selector = {"labelSelector": call.options.pod_selector, "fieldSelector": f"spec.nodeName={node.name}"}
    pods = await items_of(call.connection, PODS, "", **selector)
    going: list[Object] = []
    errors: dict[str, list[str]] = {}
    warnings: dict[str, list[str]] = {}
    for pod in pods:
        goes, error, warning = _judged(call, pod, await _lost(call, pod))
        name = f"{namespace_of(pod)}/{name_of(pod)}"
        if error:
            errors.setdefault(error, []).append(name)
        if warning:
            warnings.setdefault(warning, []).append(name)
        if goes:
            going.append(pod)
    if errors:
        raise Failures([Failure(each) for each in _listed(errors)])
    if warnings:
        click.echo(f"Warning: {'; '.join(_listed(warnings))}", err=True)
    limit = duration(call.options.timeout)
    try:
        async with asyncio.timeout(limit or None):
            await asyncio.gather(*(_move(call, pod, dry_run) for pod in going))
    except TimeoutError:
        raise Failure("global timeout reached: " + call.options.timeout)


def _listed(groups: dict[str, list[str]]) -> list[str]:
    return [f"{why}: {', '.join(sorted(names))}" for why, names in groups.items()]


async def _lost(call: Call, pod: Object) -> str:
    """What the server says when the daemon set that a pod is of is not there any more."""
    owner = controller_of(pod)
    if owner and owner["kind"] == "DaemonSet" and get(pod, "status.phase") not in ("Succeeded", "Failed"):
        try:
            await call.client.call("GET", path(DAEMON_SETS, namespace_of(pod), owner["name"]))
        except ApiError as error:
            return error.message
    return ""


def _judged(call: Call, pod: Object, lost: str) -> tuple[bool, str, str]:
    """(whether the pod goes, why it must not, what to say when it does or stays): the last reason is the one that is said."""
    options, owner = call.options, controller_of(pod)
    ended = get(pod, "status.phase") in ("Succeeded", "Failed")
    if lost and not options.force:
        return False, f"cannot delete {lost}", ""
    if owner and owner["kind"] == "DaemonSet" and not ended and not lost:
        error, warning = REASONS["daemon"]
        return (False, "", warning) if options.ignore_daemonsets else (False, error, "")
    if MIRROR in annotations_of(pod):
        return False, "", ""
    local = any("emptyDir" in volume for volume in pod["spec"].get("volumes") or ())
    said = ""
    for reason, applies, allowed in (
        ("local", local, options.delete_emptydir_data),
        ("bare", owner is None, options.force),
    ):
        said = ""
        if applies and not ended:
            error, said = REASONS[reason]
            if not allowed:
                return False, error, ""
    return True, "", said


async def _move(call: Call, pod: Object, dry_run: str) -> None:
    options, clock = call.options, RealClock()
    name, namespace = name_of(pod), namespace_of(pod)
    doing, done = ("deleting", "deleted") if options.disable_eviction else ("evicting", "evicted")
    if not options.disable_eviction or dry_run != "none":
        click.echo(f"{doing} pod {namespace}/{name}{DRY_RUN_NOTE[dry_run]}")
    if dry_run == "client":
        return
    where = path(PODS, namespace, name)
    body = delete_options(
        options.grace_period if options.grace_period >= 0 else None, dry_run=dry_run == "server"
    )
    while True:
        try:
            if options.disable_eviction:
                await call.client.call("DELETE", where, body)
            else:
                metadata = {"name": name, "namespace": namespace}
                eviction = {
                    "apiVersion": "policy/v1",
                    "kind": "Eviction",
                    "metadata": metadata,
                    "deleteOptions": body,
                }
                target = with_query(f"{where}/eviction", {"dryRun": "All" if dry_run == "server" else ""})
                await call.client.call("POST", target, eviction)
            break
        except ApiError as error:
            if error.code == 404:
                break
            if error.code != 429:
                raise Failure(f'error when {doing} pods/"{name}" -n "{namespace}": {error.message}')
            why = f'error when {doing} pods/"{name}" -n "{namespace}" (will retry after {RETRY_S}s): {error.message}'
            click.echo(why, err=True)
            await clock.sleep(RETRY_S)
    if dry_run == "server":
        return
    while True:
        try:
            if uid_of(await call.client.call("GET", where)) != uid_of(pod):
                break
        except ApiError as error:
            if error.code != 404:
                raise
            break
        await clock.sleep(0.2)
    click.echo(f"pod/{name} {done}")
