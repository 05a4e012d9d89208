"""`pilothouse delete`: a cluster by its name, or resources as kubectl deletes them."""

from __future__ import annotations

import asyncio
import sys

import click

from ..api.errors import ApiError
from ..api.object import Object, uid_of
from ..base.clock import RealClock
from ..client.http import HttpClient, delete_options, raise_for_status
from .errors import Failure, Failures, while_doing
from .targets import Finder, Info
from .timing import duration
from .verb import (
    ALL_NAMESPACES,
    DRY_RUN,
    DRY_RUN_NOTE,
    FIELD_SELECTOR,
    FILES,
    SELECTOR,
    Call,
    dry_run_of,
    flag,
    number,
    span,
    text,
    verb,
)

FORCED = (
    "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. "
    "The resource may continue to run on the cluster indefinitely."
)
CASCADE = {
    "background": "Background",
    "foreground": "Foreground",
    "orphan": "Orphan",
    "true": "Background",
    "false": "Orphan",
}


@verb(
    "delete",
    *FILES,
    *SELECTOR,
    *FIELD_SELECTOR,
    *ALL_NAMESPACES,
    *DRY_RUN,
    flag("--all", help="All objects of the type."),
    number("--grace-period", default=-1, help="Seconds that a pod may take to end."),
    flag("--now", help="A grace period of 1 second."),
    flag("--force", help="At once, without waiting for containers to end."),
    flag("--wait", default=True, help="Return when they are gone."),
    span("--timeout", default="0s", help="How long to wait."),
    text("--cascade", default="background", bare="background", help="background, foreground or orphan."),
    flag("--ignore-not-found", help="Absent objects are no error."),
    text("-o", "--output", help="name, for short output."),
    text("--raw"),
    flag("-i", "--interactive", help="Ask before."),
    help="Delete a cluster (`delete NAME`), or resources (`delete pod NAME`, `delete -f FILE`).",
)
async def command(call: Call) -> int | None:
    options = call.options
    if await _names_a_cluster(call):
        await asyncio.to_thread(_delete_cluster, call.words[0])  # it runs a loop of its own
        return None
    if options.given("raw"):
        response = await call.client.transport.request("DELETE", options.raw)
        raise_for_status(response)
        click.echo(response.body, nl=False)
        return None
    if options.all and options.selector:
        raise Failure("setting 'all' parameter but found a non empty selector. ")
    if options.all and not call.words and not options.filename:
        raise Failure("at least one resource must be specified to use a selector")
    if options.all and (len(call.words) > 1 or any("/" in word for word in call.words)):
        raise Failure("name cannot be provided when a selector is specified")
    if options.output not in ("", "name"):
        raise Failure(f"unexpected -o output mode: {options.output}. We only support '-o name'")
    dry_run = dry_run_of(options)
    grace = _grace(call)
    cascade = CASCADE.get(options.cascade)
    if cascade is None:
        raise Failure(
            f'invalid cascade value ({options.cascade}). Must be "background", "foreground", or "orphan"'
        )
    if options.cascade in ("true", "false"):
        why = "is deprecated (boolean value) and can be replaced with"
        click.echo(f"warning: --cascade={options.cascade} {why} --cascade={cascade.lower()}.", err=True)
    finder = Finder(call)
    load = bool(options.interactive)
    found = await finder.run(load=load)
    ignore = options.ignore_not_found or options.selector or options.field_selector or options.all
    if options.interactive and not _agreed(found):
        return 0
    gone: list[Info] = []
    answer: Object
    body = delete_options(grace, cascade, dry_run=dry_run == "server")
    if call.connection.target.namespace and any(not info.kind.namespaced for info in found):
        click.echo(
            "Warning: deleting cluster-scoped resources, not scoped to the provided namespace", err=True
        )
    for info in found:
        try:
            answer = {} if dry_run == "client" else await call.client.call("DELETE", info.path, body)
        except ApiError as error:
            if not (error.code == 404 and ignore):
                finder.errors.append(while_doing("deleting", info.source, error))
            continue
        info.obj = answer or info.obj
        gone.append(info)
        click.echo(_said(call, info, grace, dry_run))
    if options.wait and dry_run == "none":
        await until_gone(call.client, gone, options.timeout)
    if not found and not finder.errors:
        click.echo("No resources found")
    finder.end()
    return None


async def _names_a_cluster(call: Call) -> bool:
    """One bare word that no selector or flag makes a resource type of, and that no kind is called."""
    options = call.options
    if len(call.words) != 1 or options.filename or "/" in call.words[0] or "," in call.words[0]:
        return False
    if options.all or options.selector or options.field_selector or options.given("raw"):
        return False
    from ..api.kinds import KINDS
    from ..cluster import manage
    from .connection import find_kind

    word = call.words[0]
    if (
        find_kind(KINDS, word) is not None
    ):  # then it must be a cluster of that odd name, or kubectl's usual mistake
        return any(paths.name == word for paths in manage.clusters())
    return True


def _delete_cluster(name: str) -> None:
    from ..cluster import manage

    manage.delete(manage.find(name), RealClock(), lambda text: click.echo(text, err=True))
    click.echo(f"Cluster {name!r} is deleted")


def _grace(call: Call) -> int | None:
    options = call.options
    grace = options.grace_period
    if options.now:
        if grace != -1:
            raise Failure("--now and --grace-period cannot be specified together")
        grace = 1
    if grace == 0 and not options.force:
        grace = 1  # kubectl: 0 needs --force, and would not wait
    if options.force:
        if grace < 0:
            grace = 0
        elif grace > 0:
            raise Failure("--force and --grace-period greater than 0 cannot be specified together")
        click.echo(FORCED, err=True)
    return grace if grace >= 0 else None


def _agreed(found: list[Info]) -> bool:
    click.echo(f"You are about to delete the following {len(found)} resource(s):")
    for info in found:
        click.echo(info.shown)
    click.echo("Do you want to continue? (y/N): ", nl=False)
    if sys.stdin.readline().strip() in ("y", "Y"):
        return True
    click.echo("deletion is cancelled")
    return False


def _said(call: Call, info: Info, grace: int | None, dry_run: str) -> str:
    if call.options.output == "name":
        return info.shown
    type_ = info.shown.partition("/")[0]
    how = "force deleted" if grace == 0 else "deleted"
    inside = f" from {info.namespace} namespace" if info.kind.namespaced else ""
    return f'{type_} "{info.name}" {how}{inside}{DRY_RUN_NOTE[dry_run]}'


async def until_gone(client: HttpClient, gone: list[Info], timeout: str) -> None:
    clock = RealClock()
    limit = duration(timeout)
    deadline = clock.monotonic() + limit if limit else None
    late: list[Exception] = []
    for info in gone:
        obj = info.obj
        details = obj.get("details") or {}
        uid = details.get("uid") or (obj.get("metadata") or {}).get("uid") or ""
        while True:
            try:
                now = await client.call("GET", info.path)
            except ApiError as error:
                if error.code in (404, 403, 405):
                    break
                raise
            if uid and uid_of(now) != uid:
                break
            if deadline is not None and clock.monotonic() >= deadline:
                late.append(Failure(f"timed out waiting for the condition on {info.kind.plural}/{info.name}"))
                break
            await clock.sleep(0.1)
    if late:
        raise Failures(late)
