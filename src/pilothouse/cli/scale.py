"""`pilothouse scale`"""

from __future__ import annotations

import click

from ..api.errors import ApiError
from ..api.object import Object, get
from ..base.clock import RealClock
from ..client.http import PATCH_TYPES, with_query
from . import printing
from .errors import Failure
from .targets import Finder, Info
from .timing import duration
from .verb import DRY_RUN_NOTE, FILES, OUTPUT, SELECTOR, Call, dry_run_of, flag, number, text, verb


@verb(
    "scale",
    *FILES,
    *SELECTOR,
    *OUTPUT,
    lambda: text("--dry-run", default="none", bare="unchanged", help="none, client or server."),
    lambda: number("--replicas", needed=True, help="How many."),
    lambda: number("--current-replicas", default=-1, help="Only if it is so many now."),
    lambda: text("--resource-version", help="Only if it is at this version."),
    lambda: text("--timeout", default="0s", help="Wait until it has as many, so long."),
    lambda: flag("--all", help="All of the type."),
    help="Set a new size: `scale deployment/web --replicas=3`.",
)
async def command(call: Call) -> None:
    options, wanted = call.options, call.options.replicas
    if wanted < 0:
        raise Failure("The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0")
    dry_run, printer, finder = dry_run_of(options), printing.printer(options), Finder(call)
    found = await finder.run()
    finder.end()
    if len(found) > 1 and options.resource_version:
        raise Failure("cannot use --resource-version with multiple resources")
    if not found:
        raise Failure("no objects passed to scale")
    for info in found:
        try:
            if dry_run != "client":
                await _scale(call, info, wanted, "All" if dry_run == "server" else "")
        except (ApiError, Failure) as error:
            finder.errors.append(error)
            continue
        click.echo(printer.show(info.obj), nl=False) if printer else click.echo(
            f"{info.shown} scaled{DRY_RUN_NOTE[dry_run]}"
        )
        if limit := duration(options.timeout):
            await _until(call, info, wanted, limit)
    finder.end()


async def _scale(call: Call, info: Info, wanted: int, dry_run: str) -> Object:
    options, where = call.options, f"{info.path}/scale"
    query = {"fieldManager": "kubectl-scale", "dryRun": dry_run}
    if options.current_replicas < 0 and not options.resource_version:
        patch = {"spec": {"replicas": wanted}}
        return await call.client.call(
            "PATCH", with_query(where, query), patch, content_type=PATCH_TYPES["merge"]
        )
    scale: Object = await call.client.call("GET", where)
    now = get(scale, "spec.replicas", 0)
    if options.current_replicas >= 0 and now != options.current_replicas:
        raise Failure(f"Expected replicas to be {options.current_replicas}, was {now}")
    version = scale["metadata"].get("resourceVersion")
    if options.resource_version and version != options.resource_version:
        raise Failure(f"Expected resource version to be {options.resource_version}, was {version}")
    scale["spec"] = {**(scale.get("spec") or {}), "replicas": wanted}
    return await call.client.call("PUT", with_query(where, query), scale)


async def _until(call: Call, info: Info, wanted: int, limit: float) -> None:
    clock = RealClock()
    deadline = clock.monotonic() + limit
    while True:
        scale = await call.client.call("GET", f"{info.path}/scale")
        if get(scale, "status.replicas", 0) == wanted == get(scale, "spec.replicas", 0):
            return
        if clock.monotonic() > deadline:
            raise Failure("timed out waiting for the condition")
        await clock.sleep(0.2)
