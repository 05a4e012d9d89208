"""`pilothouse events`: in the order of time, for one object or all, and as they come."""

from __future__ import annotations

import click
import orjson

from ..api.object import Object, get
from ..base.clock import RealClock
from ..client.http import lines, with_query
from . import printing
from .errors import Failure
from .tabs import table
from .targets import items_of, parse, path
from .timing import since
from .verb import ALL_NAMESPACES, OUTPUT, Call, flag, many, number, text, verb


@verb(
    "events",
    *ALL_NAMESPACES,
    *OUTPUT,
    text("--for", help="TYPE/NAME of the object."),
    many("--types", split=True, help="Normal, Warning."),
    flag("-w", "--watch", help="Go on with what comes."),
    flag("--no-headers"),
    number("--chunk-size", default=500),
    help="List events.",
)
async def command(call: Call) -> None:
    options = call.options
    wrong = next((each for each in options.types if each.lower() not in ("normal", "warning")), None)
    if wrong is not None:
        raise Failure("valid --types are Normal or Warning")
    query = {}
    if about := getattr(options, "for"):
        try:
            asks = await parse(call.connection, [about]) if "/" in about else []
        except Failure as error:
            raise Failure(error.message, plain=True)
        if len(asks) != 1:
            raise Failure("--for must be in resource/name form")
        about_kind = asks[0].kind
        query["fieldSelector"] = (
            f"involvedObject.kind={about_kind.kind},involvedObject.apiVersion={about_kind.api_version},"
            f"involvedObject.name={asks[0].name}"
        )
    kind = await call.connection.kind("events")
    namespace = "" if options.all_namespaces else call.namespace
    printer = printing.printer(options)
    wanted = {each.lower() for each in options.types}
    found = [e for e in await items_of(call.connection, kind, namespace, **query) if _is(e, wanted)]
    found.sort(key=_when)
    now = RealClock().now()
    if printer:
        listed = {"apiVersion": "v1", "kind": "EventList", "metadata": {}, "items": found}
        click.echo(printer.show(listed), nl=False)
    elif found:
        rows = [] if options.no_headers else [_head(options.all_namespaces)]
        click.echo(table(rows + [_row(event, now, options.all_namespaces) for event in found]), nl=False)
    elif not options.watch:
        click.echo(
            "No events found." if options.all_namespaces else f"No events found in {namespace} namespace.",
            err=True,
        )
    if options.watch:
        await _follow(call, path(kind, namespace), query, wanted, printer)


async def _follow(
    call: Call, where: str, query: dict[str, str], wanted: set[str], printer: printing.Printer | None
) -> None:
    everywhere = call.options.all_namespaces
    version = (await call.client.call("GET", with_query(where, {"limit": 1})))["metadata"]["resourceVersion"]
    target = with_query(where, {**query, "watch": "true", "resourceVersion": version})
    async with call.client.transport.stream("GET", target, headers={"accept": "application/json"}) as (
        _,
        _,
        pieces,
    ):
        async for line in lines(pieces):
            event = orjson.loads(line)
            if event["type"] in ("ADDED", "MODIFIED") and _is(event["object"], wanted):
                row = [_row(event["object"], RealClock().now(), everywhere)]
                click.echo(printer.show(event["object"]) if printer else table(row), nl=False)


def _is(event: Object, wanted: set[str]) -> bool:
    return not wanted or (event.get("type") or "").lower() in wanted


def _when(event: Object) -> str:
    return str(
        get(event, "series.lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or ""
    )


def _head(everywhere: bool) -> list[str]:
    return ["NAMESPACE"] * everywhere + ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]


def _row(event: Object, now: float, everywhere: bool) -> list[str]:
    first = since(event.get("eventTime") or event.get("firstTimestamp"), now)
    age = first
    if series := event.get("series"):
        age = f"{since(series.get('lastObservedTime'), now)} (x{series.get('count', 0)} over {first})"
    elif (event.get("count") or 0) > 1:
        age = f"{since(event.get('lastTimestamp'), now)} (x{event['count']} over {first})"
    about = event.get("involvedObject") or {}
    cells = [
        age,
        event.get("type") or "",
        event.get("reason") or "",
        f"{about.get('kind')}/{about.get('name')}",
    ]
    space = [event["metadata"].get("namespace") or ""] if everywhere else []
    return [*space, *cells, (event.get("message") or "").strip()]
