"""`pilothouse scale`"""

from __future__ import annotations

from ..api.object import get
from ..base.clock import RealClock
from .change import Change
from .errors import Failure
from .targets import Finder, Info
from .timing import duration
from .verb import DRY_RUN, FILES, OUTPUT, SELECTOR, Call, flag, number, span, text, verb


@verb(
    "scale",
    *FILES,
    *SELECTOR,
    *OUTPUT,
    *DRY_RUN,
    number("--replicas", needed=True, help="How many."),
    number("--current-replicas", default=-1, help="Only if it is so many now."),
    text("--resource-version", help="Only if it is at this version."),
    span("--timeout", default="0s", help="Wait until it has as many, so long."),
    flag("--all", help="All of the type."),
    help="Set a new size: `scale deployment/web --replicas=3`.",
)
async def command(call: Call) -> None:
    options, wanted = call.options, call.options.replicas
    if wanted < 0:
        raise Failure("The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0")
    if options.current_replicas < -1:
        raise Failure("The --current-replicas must specify an integer of -1 or greater")
    finder, change = Finder(call), Change(call, "kubectl-scale")
    found = await finder.run()
    if len(found) > 1 and options.resource_version:
        raise Failure("cannot use --resource-version with multiple resources")
    if not found and not finder.errors:
        raise Failure("no objects passed to scale")
    for info in found:
        with finder.trying():
            if options.current_replicas >= 0 or options.resource_version:
                await _check(call, info)
            patch = {"spec": {"replicas": wanted}}
            await change.patch(info, patch, "merge", "scale")
            change.say(info.shown, change.locally(info, patch, "merge"), "scaled")
            if limit := duration(options.timeout):
                await _until(call, info, wanted, limit)
    finder.end()


async def _check(call: Call, info: Info) -> None:
    """Raises Failure unless the size and the version are those that were expected."""
    options, scale = call.options, await call.client.call("GET", f"{info.path}/scale")
    now, version = get(scale, "spec.replicas", 0), scale["metadata"].get("resourceVersion")
    if options.current_replicas >= 0 and now != options.current_replicas:
        raise Failure(f"Expected replicas to be {options.current_replicas}, was {now}")
    if options.resource_version and version != options.resource_version:
        raise Failure(f"Expected resource version to be {options.resource_version}, was {version}")


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
