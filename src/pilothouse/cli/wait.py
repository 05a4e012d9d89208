"""`pilothouse wait`: until objects meet a condition, have a value, exist, or are gone."""

from __future__ import annotations

from collections.abc import Callable

import click

from ..api.errors import ApiError
from ..api.object import Object, get, uid_of
from ..base.clock import Clock, RealClock
from . import printing
from .errors import Failure, Failures
from .jsonpath import go_text, relaxed
from .targets import Finder, Info, parse
from .timing import duration
from .verb import ALL_NAMESPACES, FIELD_SELECTOR, FILES, OUTPUT, SELECTOR, Call, flag, text, verb

POLL_S = 0.1
WEEK_S = 168 * 3600.0
Condition = Callable[[Object], bool]


@verb(
    "wait",
    *FILES,
    *SELECTOR,
    *FIELD_SELECTOR,
    *ALL_NAMESPACES,
    *OUTPUT,
    text("--for", help="delete, create, condition=NAME[=VALUE], jsonpath='{PATH}'[=VALUE]."),
    text("--timeout", default="30s", help="How long; 0 looks once, less than 0 is a week."),
    flag("--all", help="All objects of the type."),
    help="Wait for a condition: `wait --for=condition=Ready pod/web`, `wait --for=delete pod/web`.",
)
async def command(call: Call) -> None:
    wanted, options = getattr(call.options, "for"), call.options
    clock = RealClock()
    limit = duration(options.timeout)
    deadline = clock.monotonic() + (WEEK_S if limit < 0 else limit)
    printer = printing.printer(options)
    if not wanted:
        raise Failure("unrecognized condition: []")
    kind, _, rest = wanted.partition("=")
    kind = kind.lower()
    if kind == "create":
        await _until_created(call, clock, deadline)
    condition: Condition | None = None
    if kind == "condition":
        name, _, value = rest.partition("=")
        condition = _has_condition(name, value or "true")
    elif kind == "jsonpath":
        condition = _has_value(rest)
    elif kind not in ("create", "delete"):
        raise Failure(f'unrecognized condition: "{wanted}"')
    finder = Finder(call)
    found = await finder.run(load=True)
    if kind == "delete":
        finder.errors = [e for e in finder.errors if not (isinstance(e, ApiError) and e.code == 404)]
    elif not found and not finder.errors:
        raise Failure("no matching resources found")
    finder.end()
    late: list[Exception] = []
    for info in found:
        try:
            if kind == "delete":
                await _until_gone(call, info, clock, deadline)
            elif condition is not None:
                await _until_holds(call, info, condition, clock, deadline)
        except (ApiError, Failure) as error:
            late.append(error)
            continue
        click.echo(printer.show(info.obj), nl=False) if printer else click.echo(f"{info.shown} condition met")
    if late:
        raise Failures(late)


def _late(info: Info) -> Failure:
    return Failure(f"timed out waiting for the condition on {info.kind.plural}/{info.name}")


async def _until_created(call: Call, clock: Clock, deadline: float) -> None:
    if not call.words or call.options.selector or call.options.all:
        return
    for ask in await parse(call.connection, call.words):
        while True:
            finder = Finder(call)
            await finder.run([f"{ask.kind.resource}/{ask.name}"])
            if not finder.errors:
                break
            if not (isinstance(finder.errors[0], ApiError) and finder.errors[0].code == 404):
                finder.end()
            if clock.monotonic() >= deadline:
                raise Failure("timed out waiting for the condition")
            await clock.sleep(POLL_S)


async def _until_gone(call: Call, info: Info, clock: Clock, deadline: float) -> None:
    while True:
        try:
            now = await call.client.call("GET", info.path)
        except ApiError as error:
            if error.code == 404:
                return
            raise
        if uid_of(now) != uid_of(info.obj):
            return
        if clock.monotonic() >= deadline:
            raise _late(info)
        await clock.sleep(POLL_S)


async def _until_holds(call: Call, info: Info, condition: Condition, clock: Clock, deadline: float) -> None:
    while not condition(info.obj):
        if clock.monotonic() >= deadline:
            if not duration(call.options.timeout):
                raise Failure(f"condition not met for {info.kind.plural}/{info.name}")
            raise _late(info)
        await clock.sleep(POLL_S)
        try:
            info.obj = await call.client.call("GET", info.path)
        except ApiError as error:
            if error.code != 404:
                raise
            raise Failure(f'{info.kind.resource} "{info.name}" not found')


def _has_condition(name: str, value: str) -> Condition:
    def holds(obj: Object) -> bool:
        for each in get(obj, "status.conditions") or ():
            if each.get("type", "").lower() != name.lower():
                continue
            generation = obj["metadata"].get("generation", 0)
            observed = each.get("observedGeneration", get(obj, "status.observedGeneration"))
            if observed is not None and observed < generation:
                return False  # what it says is of an older spec
            return bool(str(each.get("status", "")).lower() == value.lower())
        return False

    return holds


def _has_value(spec: str) -> Condition:
    parts = [
        part.replace("\0", "==") for part in spec.replace("==", "\0").split("=")
    ]  # a filter's == is no split
    if len(parts) > 2:
        shown = "--for=jsonpath='{.status.readyReplicas}'"
        raise Failure(f"jsonpath wait format must be {shown}=3 or {shown}")
    found, wanted = relaxed(parts[0]), parts[1].strip("'\"") if len(parts) > 1 else None
    if wanted == "":
        raise Failure(
            "jsonpath wait has to have a value after equal sign, like --for=jsonpath='{.status.readyReplicas}'=3"
        )
    if not parts[0]:
        raise Failure("jsonpath expression cannot be empty")

    def holds(obj: Object) -> bool:
        try:
            groups = found.find(obj)
        except LookupError as error:
            raise Failure(error.args[0])
        if not groups or not groups[0]:
            return False
        if len(groups) > 1 or len(groups[0]) > 1:
            what = "list" if len(groups) > 1 else "value"
            raise Failure(f"given jsonpath expression matches more than one {what}")
        value = groups[0][0]
        if wanted is not None and isinstance(value, (dict, list)):
            raise Failure("jsonpath leads to a nested object or list which is not supported")
        return wanted is None or go_text(value).strip() == wanted.strip()

    return holds
