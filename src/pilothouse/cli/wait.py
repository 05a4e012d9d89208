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
from .verb import ALL_NAMESPACES, FIELD_SELECTOR, FILES, OUTPUT, SELECTOR, Call, flag, many, span, verb

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
    many("--for", help="delete, create, condition=NAME[=VALUE], jsonpath='{PATH}'[=VALUE]."),
    span("--timeout", default="30s", help="How long; 0 looks once, less than 0 is a week."),
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
    conditions = [_condition(text_) for text_ in wanted]
    if "create" in conditions:
        await _until_created(call, clock, deadline)
    finder = Finder(call)
    found = await finder.run(load=True)
    if "delete" in conditions:
        finder.errors = [e for e in finder.errors if not (isinstance(e, ApiError) and e.code == 404)]
    elif not found and not finder.errors:
        raise Failure("no matching resources found")
    finder.end()
    late: list[Exception] = []
    for info in found:
        try:
            for condition in conditions:
                if condition == "delete":
                    await _until_gone(call, info, clock, deadline)
                elif not isinstance(condition, str):
                    await _until_holds(call, info, condition, clock, deadline)
                shown = printer.show(info.obj) if printer else f"{info.shown} condition met\n"
                click.echo(shown, nl=False)
        except (ApiError, Failure) as error:
            late.append(error)
    if late:
        raise Failures(late)


def _condition(text_: str) -> Condition | str:
    """`delete`, `create`, or what has to hold. Raises Failure."""
    if text_.lower() in ("delete", "create"):
        return text_.lower()
    kind, equals, rest = text_.partition("=")
    if equals and kind == "condition":
        name, _, value = rest.partition("=")
        return _has_condition(name, value or "true")
    if equals and kind == "jsonpath":
        return _has_value(rest)
    raise Failure(f'unrecognized condition: "{text_}"')


def _late(info: Info) -> Failure:
    return Failure(f"timed out waiting for the condition on {info.kind.plural}/{info.name}")


async def _until_created(call: Call, clock: Clock, deadline: float) -> None:
    if not call.words or call.options.selector or call.options.all:
        return
    for ask in await parse(call.connection, call.words):
        if not ask.name:
            raise Failure("resource(s) were provided, but no name was specified")
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
