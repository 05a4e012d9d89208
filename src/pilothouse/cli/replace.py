"""`pilothouse replace`: whole objects in the place of those that are there."""

from __future__ import annotations

import click

from ..api.errors import ApiError
from ..client.http import delete_options, with_query
from .apply import VALIDATE, with_last_applied
from .change import Change
from .delete import until_gone
from .errors import Failure, while_doing
from .targets import Finder, Info
from .verb import FILES, WRITE, Call, dry_run_of, flag, number, span, text, verb


@verb(
    "replace",
    *FILES,
    *WRITE,
    VALIDATE,
    flag("--save-config", help="Remember the manifest for a later apply."),
    flag("--force", help="Delete and make anew."),
    number("--grace-period", default=-1),
    text("--cascade", default="background", bare="background"),
    flag("--wait"),
    span("--timeout", default="0s"),
    text("--subresource"),
    help="Replace objects by those in files.",
)
async def command(call: Call) -> None:
    options = call.options
    if not options.filename:
        raise Failure("must specify one of -f and -k")
    if not options.force:
        for name in ("grace_period", "timeout"):
            if options.given(name):
                raise Failure(f"--{name.replace('_', '-')} must have --force specified")
    elif options.given("dry_run") and dry_run_of(options) != "none":
        raise Failure("--dry-run can not be used when --force is set")
    if options.cascade not in ("background", "foreground", "orphan"):
        raise Failure(
            f'invalid cascade value ({options.cascade}). Must be "background", "foreground", or "orphan"'
        )
    finder, change = Finder(call), Change(call, "kubectl-replace")
    found = await finder.run([], load=False)
    if not found and not finder.errors:
        raise Failure("no objects passed to replace")
    for info in found:
        obj = with_last_applied(info.obj) if options.save_config else info.obj
        try:
            if options.force:
                await _remove(call, info)
                obj = await call.client.call("POST", with_query(info.collection, change.writing), obj)
            elif change.dry_run != "client":
                where = info.path + (f"/{options.subresource}" if options.subresource else "")
                obj = await _put(call, where, obj, change.writing)
        except ApiError as error:
            if not info.name:
                why = f'error when replacing "{info.source}": resource name may not be empty'
                finder.errors.append(Failure(why))
                continue
            finder.errors.append(while_doing("replacing", info.source, error))
            continue
        change.say(info.shown, obj, "replaced")
    finder.end()


async def _remove(call: Call, info: Info) -> None:
    try:
        await call.client.call("DELETE", info.path, delete_options(0, "Background"))
    except ApiError as error:
        if error.code != 404:
            raise
        return
    inside = f" from {info.namespace} namespace" if info.namespace else ""
    click.echo(f'{info.shown.partition("/")[0]} "{info.name}" deleted{inside}')
    await until_gone(call.client, [info], call.options.timeout)


async def _put(call: Call, where: str, obj: dict, query: dict[str, str]) -> dict:  # type: ignore[type-arg]
    """Without a resourceVersion of its own, the object gets that of what it replaces: last one wins."""
    if not obj["metadata"].get("resourceVersion"):
        try:
            current = await call.client.call("GET", where)
            version = current["metadata"]["resourceVersion"]
            obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": version}}
        except ApiError as error:
            if error.code != 404:
                raise
    return await call.client.call("PUT", with_query(where, query), obj)
