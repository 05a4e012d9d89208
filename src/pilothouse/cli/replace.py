"""`pilothouse replace`: whole objects in the place of those that are there."""

from __future__ import annotations

import click

from ..api.errors import ApiError
from ..client.http import delete_options, with_query
from . import printing
from .apply import VALIDATE, with_last_applied, write_query
from .delete import until_gone
from .errors import Failure, while_doing
from .targets import Finder
from .verb import DRY_RUN_NOTE, FILES, WRITE, Call, dry_run_of, flag, number, text, verb


@verb(
    "replace",
    *FILES,
    *WRITE,
    VALIDATE,
    lambda: flag("--save-config", help="Remember the manifest for a later apply."),
    lambda: flag("--force", help="Delete and make anew."),
    lambda: number("--grace-period", default=-1),
    lambda: text("--cascade", default="background", bare="background"),
    lambda: flag("--wait"),
    lambda: text("--timeout", default="0s"),
    lambda: text("--subresource"),
    help="Replace objects by those in files.",
)
async def command(call: Call) -> None:
    options = call.options
    if not options.filename:
        raise Failure("must specify one of -f and -k")
    printer, query, dry_run = (
        printing.printer(options),
        write_query(options, "kubectl-replace"),
        dry_run_of(options),
    )
    finder = Finder(call)
    found = await finder.run([], load=False)
    if not found and not finder.errors:
        raise Failure("no objects passed to replace")
    for info in found:
        obj = with_last_applied(info.obj) if options.save_config else info.obj
        try:
            if options.force:
                try:
                    await call.client.call("DELETE", info.path, delete_options(0, "Background"))
                    inside = f" from {info.namespace} namespace" if info.namespace else ""
                    click.echo(f'{info.shown.partition("/")[0]} "{info.name}" deleted{inside}')
                    await until_gone(call, [info], options.timeout)
                except ApiError as error:
                    if error.code != 404:
                        raise
                result = await call.client.call("POST", with_query(info.path.rpartition("/")[0], query), obj)
            elif dry_run == "client":
                result = obj
            else:
                result = await _put(
                    call, info.path + (f"/{options.subresource}" if options.subresource else ""), obj, query
                )
        except ApiError as error:
            finder.errors.append(while_doing("replacing", info.source, error))
            continue
        if printer:
            click.echo(printer.show(result), nl=False)
        else:
            click.echo(f"{info.shown} replaced{DRY_RUN_NOTE[dry_run]}")
    finder.end()


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
