"""`pilothouse delete`: a cluster by its name, or resources as kubectl deletes them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import click

from ..api.errors import ApiError
from ..api.kinds import Kind
from ..api.object import name_of, namespace_of, uid_of
from ..base.clock import RealClock
from ..client.http import delete_options
from . import printing
from .connection import Connection, Target, connection_options, run
from .targets import documents, parse, path


@click.command("delete")
@click.argument("words", nargs=-1)
@click.option("-f", "--filename", "files", multiple=True, help="Files that name the resources.")
@click.option("-R", "--recursive", is_flag=True)
@click.option("-l", "--selector", default="")
@click.option("--field-selector", default="")
@click.option("--all", "everything", is_flag=True)
@click.option("-A", "--all-namespaces", is_flag=True)
@click.option("--grace-period", type=int, default=-1)
@click.option("--now", is_flag=True, help="A grace period of 1 second.")
@click.option("--force", is_flag=True)
@click.option("--wait", default="", help="true or false: return when they are gone.")
@click.option("--cascade", default="background")
@click.option("--ignore-not-found", is_flag=True)
@click.option("--dry-run", type=click.Choice(["none", "client", "server"]), default="none")
@click.option("-o", "--output", default="")
@click.option("--timeout", default="0s")
@connection_options
def command(words: tuple[str, ...], files: tuple[str, ...], target: Target, **options: Any) -> None:
    """Delete a cluster (`delete NAME`), or resources (`delete pod NAME`, `delete -f FILE`)."""
    if _names_a_cluster(words, files, options):
        _delete_cluster(words[0])
        return

    async def main(connection: Connection) -> int:
        return await _delete(connection, words, files, options)

    if code := run(main, target):
        raise click.exceptions.Exit(code)


def _names_a_cluster(words: tuple[str, ...], files: tuple[str, ...], options: dict[str, Any]) -> bool:
    """One bare word that no selector or flag makes a resource type of."""
    if len(words) != 1 or files or "/" in words[0] or options["everything"]:
        return False
    return not (options["selector"] or options["field_selector"])


def _delete_cluster(name: str) -> None:
    from ..cluster import manage

    manage.delete(manage.find(name), RealClock(), lambda text: click.echo(text, err=True))
    click.echo(f"Cluster {name!r} is deleted")


async def _delete(
    connection: Connection, words: tuple[str, ...], files: tuple[str, ...], options: dict[str, Any]
) -> int:
    found: list[tuple[Kind, str, str, str]] = []  # kind, namespace, name, uid
    failed = 0
    client = connection.client
    if files:
        for _, obj in documents(files, options["recursive"]):
            kind = await connection.kind_of_object(obj["apiVersion"], obj["kind"])
            found.append((kind, namespace_of(obj) or connection.namespace, name_of(obj), ""))
    else:
        asks = await parse(connection, words)
        if not any(ask.name for ask in asks) and not (
            options["everything"] or options["selector"] or options["field_selector"]
        ):
            raise click.ClickException("resource(s) were provided, but no name was specified")
        namespace = "" if options["all_namespaces"] else connection.namespace
        for ask in asks:
            if ask.name:
                found.append((ask.kind, connection.namespace, ask.name, ""))
                continue
            query = {"labelSelector": options["selector"], "fieldSelector": options["field_selector"]}
            listed = await client.call("GET", f"{path(ask.kind, namespace)}?{urlencode(query)}")
            found += [(ask.kind, namespace_of(o), name_of(o), uid_of(o)) for o in listed.get("items") or ()]
        if not found:
            click.echo("No resources found", err=True)
            return 0
    grace = 1 if options["now"] else options["grace_period"]
    if options["force"]:
        click.echo(
            "Warning: Immediate deletion does not wait for confirmation that the running resource has been "
            "terminated. The resource may continue to run on the cluster indefinitely.",
            err=True,
        )
        grace = max(0, options["grace_period"]) if options["grace_period"] >= 0 else 0
    propagation = {"background": "Background", "foreground": "Foreground", "orphan": "Orphan"}.get(
        options["cascade"]
    )
    if propagation is None:
        raise click.ClickException('--cascade must be "background", "foreground" or "orphan"')
    body = delete_options(grace if grace >= 0 else None, propagation, dry_run=options["dry_run"] == "server")
    gone: list[tuple[Kind, str, str, str]] = []
    for kind, namespace, name, uid in found:
        try:
            if options["dry_run"] != "client":
                answer = await client.call("DELETE", path(kind, namespace, name), body)
                uid = (
                    uid
                    or (answer.get("details") or {}).get("uid")
                    or (answer.get("metadata") or {}).get("uid")
                    or ""
                )
        except ApiError as error:
            if not (error.code == 404 and options["ignore_not_found"]):
                failed = 1
                click.echo(f"Error from server ({error.reason}): {error.message}", err=True)
            continue
        short = printing.resource_name(kind, name)
        if options["output"] == "name":
            click.echo(short)
        else:
            type_ = f"{kind.singular}.{kind.group}" if kind.group else kind.singular
            suffix = {"client": " (dry run)", "server": " (server dry run)"}.get(options["dry_run"], "")
            inside = f" from {namespace} namespace" if kind.namespaced else ""
            how = " force deleted" if options["force"] else " deleted"
            click.echo(f'{type_} "{name}"{how}{inside}{suffix}')
        gone.append((kind, namespace, name, uid))
    if options["wait"] != "false" and options["dry_run"] == "none":
        for kind, namespace, name, uid in gone:
            await _until_gone(connection, kind, namespace, name, uid)
    return failed


async def _until_gone(connection: Connection, kind: Kind, namespace: str, name: str, uid: str) -> None:
    clock = RealClock()
    while True:
        try:
            obj = await connection.client.call("GET", path(kind, namespace, name))
        except ApiError as error:
            if error.code == 404:
                return
            raise
        if uid and uid_of(obj) != uid:
            return
        await clock.sleep(0.1)
