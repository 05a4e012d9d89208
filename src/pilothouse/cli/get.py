"""`pilothouse get`"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable
from typing import Any

import click
import orjson

from ..api.errors import ApiError
from ..api.object import Object, get, name_of
from ..base.clock import RealClock
from ..client.http import lines, raise_for_status, with_query
from ..client.transport import Response
from . import printing
from .errors import Failure, Failures
from .jsonpath import go_json, go_type, relaxed
from .tabs import escaped
from .tabs import table as laid_out
from .targets import Ask, Undecodable, documents, fetch, info_of, namespace_first, parse, path
from .verb import (
    ALL_NAMESPACES,
    FIELD_SELECTOR,
    FILES,
    OUTPUT,
    SELECTOR,
    Call,
    flag,
    many,
    number,
    program,
    text,
    verb,
)

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@verb(
    "get",
    *FILES,
    *ALL_NAMESPACES,
    *SELECTOR,
    *FIELD_SELECTOR,
    text("-o", "--output", help="wide, yaml, json, name, custom-columns=…, jsonpath=…, go-template=…"),
    *OUTPUT[1:],
    flag("-w", "--watch", help="Go on with what changes."),
    flag("--watch-only", help="Only what changes."),
    flag("--output-watch-events", help="Name each change: ADDED, MODIFIED, DELETED."),
    text("--sort-by", help="A JSONPath to sort by."),
    flag("--no-headers", help="Rows only."),
    flag("--show-labels", help="A column with all labels."),
    flag("--show-kind", help="The kind before each name."),
    many("-L", "--label-columns", split=True, help="Labels to show as columns."),
    flag("--ignore-not-found", help="Absent objects are no error."),
    text("--subresource", help="status, scale or resize."),
    text("--raw", help="A path to get as it is."),
    number("--chunk-size", default=500, help="Items a request."),
    flag("--server-print", default=True),
    flag("--allow-missing-template-keys", default=True),
    help="Display one or many resources: `get pods`, `get pod NAME`, `get deploy,svc`, `get all`.",
)
async def command(call: Call) -> None:
    if call.options.raw:
        await _raw(call)
    else:
        await Getter(call).run()


async def _raw(call: Call) -> None:
    options = call.options
    if call.words:
        raise Failure("arguments may not be passed when --raw is specified")
    if options.watch or options.watch_only or options.selector:
        raise Failure(
            "--raw may not be specified with other flags that filter the server request or alter the output"
        )
    if options.output:
        raise Failure("--raw and --output are mutually exclusive")
    if not options.raw.startswith("/"):
        raise Failure(f'--raw must be a valid URL path: parse "{options.raw}": invalid URI for request')
    response = await call.client.transport.request(
        "GET", call.options.raw, headers={"accept": "application/json, */*"}
    )
    raise_for_status(response)
    click.echo(response.body, nl=False)


class Getter:
    def __init__(self, call: Call):
        self._call, self._options, self._connection = call, call.options, call.connection
        self._namespace = "" if call.options.all_namespaces else call.namespace
        self._errors: list[Exception] = []
        output = call.options.output or ("go-template" if call.options.template else "")
        self._wide = output == "wide"
        self._printer = None
        if output and not self._wide:
            self._printer = printing.Printer(
                output,
                call.options.template,
                call.options.show_managed_fields,
                printing.GET_FORMATS,
                not call.options.no_headers,
                call.options.allow_missing_template_keys,
            )
            if call.options.show_labels:
                raise Failure(f"--show-labels option cannot be used with {output} printer")
            if call.options.label_columns and output.startswith("custom-columns"):
                raise Failure(f"--label-columns option cannot be used with {output} printer")
        watches = call.options.watch or call.options.watch_only
        if call.options.output_watch_events and not watches:
            raise Failure("--output-watch-events option can only be used with --watch or --watch-only")
        if watches and call.options.sort_by:
            which = "--watch requested, --sort-by will be ignored for watch events received"
            if not call.options.watch:
                which = "--watch-only requested, --sort-by will be ignored"
            click.echo(f"warning: {which}", err=True)

    async def run(self) -> None:
        asks = await self._asks()
        if self._options.watch or self._options.watch_only:
            limit = self._connection.target.request_timeout_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit or None):
                    await self._watch(asks)
            return
        if self._printer is None:
            await self._tables(asks)
        else:
            await self._objects(asks, self._printer)
        if self._errors:
            raise Failures(self._errors)

    async def _asks(self) -> list[Ask]:
        words, files = self._call.words, self._options.filename
        if files:
            if words:
                raise Failure(
                    "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well"
                )
            try:
                infos = [
                    await info_of(self._connection, obj, source)
                    for source, obj in documents(files, self._options.recursive)
                ]
            except Undecodable as error:
                raise Failure(error.message, plain=True)
            return [Ask(info.kind, info.name, info.namespace) for info in infos]
        if not words:
            hint = f'Use "{program()} api-resources" for a complete list of supported resources.'
            click.echo(f"You must specify the type of resource to get. {hint}\n", err=True)
            raise self._call.usage(
                f'Required resource not specified.\nUse "{program()} explain <resource>" for a detailed description of '
                f"that resource (e.g. {program()} explain pods)."
            )
        asks = await parse(self._connection, words)
        if any(ask.name for ask in asks):
            if self._options.selector or self._options.field_selector:
                raise Failure("name cannot be provided when a selector is specified")
            if self._options.all_namespaces and any(ask.kind.namespaced for ask in asks):
                raise Failure("a resource cannot be retrieved by name across all namespaces")
        return asks

    async def _fetch(self, ask: Ask, accept: str) -> Object:
        """A Table, an object or a list; a long list in pages."""
        namespace = self._namespace if ask.namespace is None else ask.namespace
        where = path(ask.kind, namespace, ask.name, self._options.subresource)
        if ask.name:
            headers = {"accept": accept}
            async with namespace_first(self._connection, namespace if ask.kind.namespaced else ""):
                response = await self._connection.client.transport.request("GET", where, headers=headers)
                raise_for_status(response)
            found: Object = orjson.loads(response.body)
            return found
        chunk = 0 if self._options.sort_by else self._options.chunk_size
        return await fetch(self._connection, ask.kind, self._namespace, self._selectors(), accept, chunk)

    def _selectors(self) -> dict[str, Any]:
        query = {"labelSelector": self._options.selector, "fieldSelector": self._options.field_selector}
        return query | {"includeObject": "Object" if self._options.sort_by and self._printer is None else ""}

    async def _each(self, asks: list[Ask], accept: str) -> list[tuple[Ask, Object]]:
        found = []
        for ask in asks:
            try:
                found.append((ask, await self._fetch(ask, accept)))
            except ApiError as error:
                if not (error.code == 404 and self._options.ignore_not_found):
                    self._errors.append(error)
        return found

    async def _tables(self, asks: list[Ask]) -> None:
        found = await self._each(asks, TABLE if self._options.server_print else "application/json")
        if not self._options.server_print:
            found = [(ask, _name_and_age(ask, obj)) for ask, obj in found]
        several = len({ask.kind.resource for ask, _ in found}) > 1
        if self._options.sort_by:
            self._sort_tables([table for _, table in found])
        blocks: list[list[printing.Row]] = []
        last = None
        for ask, table in found:
            if not table.get("rows"):
                continue
            same = last == ask.kind.resource
            rows = printing.table_rows(
                table,
                wide=self._wide,
                headers=not self._options.no_headers and not same,
                namespaces=bool(self._options.all_namespaces) and ask.kind.namespaced,
                prefix=_prefix(ask) if several or self._options.show_kind else "",
                show_labels=self._options.show_labels,
                label_columns=self._options.label_columns,
            )
            if same:
                blocks[-1] += rows
            else:
                blocks.append(rows)
            last = ask.kind.resource
        between = "" if self._options.no_headers else "\n"
        click.echo(between.join(laid_out(rows) for rows in blocks), nl=False)
        if not blocks and not self._errors and not self._options.ignore_not_found:
            inside = self._namespace and any(ask.kind.namespaced for ask in asks)
            click.echo(
                f"No resources found in {self._namespace} namespace." if inside else "No resources found",
                err=True,
            )

    def _sort_tables(self, tables: list[Object]) -> None:
        if len(tables) > 1:  # what kubectl then sorts by are the tables themselves
            self._sorted(tables)
        for table in tables:
            if len(rows := table.get("rows") or []) < 2:
                continue
            try:
                table["rows"] = self._sorted(rows, lambda row: row["object"])
            except LookupError:
                table["rows"] = []  # as if there were none: kubectl does not look at the printer's error

    def _sorted(self, items: list[Any], object_of: Callable[[Any], Object] = lambda item: item) -> list[Any]:
        """In the order that --sort-by asks for. Raises Failure, and LookupError where no item has the field."""
        try:
            path = relaxed(self._options.sort_by)
        except Failure as error:
            raise _Unsorted(error.message)
        groups = [path.find(object_of(item)) for item in items]
        if items and not any(group and group[0] for group in groups):
            field = self._options.sort_by.removeprefix("{").removesuffix("}").removeprefix(".")
            raise _Unsorted(f'couldn\'t find any field with path "{{.{field}}}" in the list of objects')
        values = [group[0][0] if group and group[0] else _ABSENT for group in groups]
        order = list(range(len(items)))
        if len(order) > 12:  # Go's sort is another one then
            by_value = functools.cmp_to_key(lambda a, b: _less(b, a) - _less(a, b))
            order.sort(key=lambda index: by_value(values[index]))
            return [items[index] for index in order]
        for start in range(1, len(order)):
            at = start
            while at and _less(values[order[at]], values[order[at - 1]]):
                order[at - 1], order[at] = order[at], order[at - 1]
                at -= 1
        return [items[index] for index in order]

    async def _objects(self, asks: list[Ask], printer: printing.Printer) -> None:
        items: list[Object] = []
        single = len(asks) == 1 and asks[0].name
        for ask, found in await self._each(asks, "application/json"):
            if ask.name:
                items.append(found)
            else:
                typed = {"apiVersion": ask.kind.api_version, "kind": ask.kind.kind}
                items += [{**typed, **item} for item in found.get("items") or ()]
        if self._options.sort_by:
            items = self._sorted(items)
        if single and not items:
            return
        if self._errors and not items:
            return
        if single:
            click.echo(printer.show(items[0]), nl=False)
            return
        whole = {"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}}
        click.echo(printer.show(whole), nl=False)

    async def _watch(self, asks: list[Ask]) -> None:
        if len({ask.kind.resource for ask in asks}) > 1:
            raise Failure("you may only specify a single resource type")
        if len(asks) > 1:
            await (self._tables(asks) if self._printer is None else self._objects(asks, self._printer))
            raise Failure("you may only watch a single resource or type of resource at a time")
        ask = asks[0]
        query = self._selectors()
        if ask.name:
            query["fieldSelector"] = f"metadata.name={ask.name}"
        accept = "application/json" if self._printer else TABLE
        show = _Watched(self, ask)
        if ask.name:
            await self._fetch(ask, accept)  # an absent one is an error
        first = await fetch(
            self._connection, ask.kind, self._namespace, query, accept, self._options.chunk_size
        )
        if not self._options.watch_only:
            show.first(first)
        version = get(first, "metadata.resourceVersion", "0")
        query |= {"watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true"}
        where = with_query(path(ask.kind, self._namespace), query)
        async with self._connection.client.transport.stream("GET", where, headers={"accept": accept}) as (
            status,
            answered,
            pieces,
        ):
            if status >= 400:
                raise_for_status(Response(status, answered, b"".join([piece async for piece in pieces])))
            async for line in lines(pieces):
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    raise Failure(event["object"].get("message", "watch failed"))
                if event["type"] != "BOOKMARK":
                    show.event(event["type"], event["object"])


class _Watched:
    """Prints what a watch brings; a column grows with the cells that come."""

    def __init__(self, getter: Getter, ask: Ask):
        self._getter, self._ask = getter, ask
        self._options, self._printer, self._wide = getter._options, getter._printer, getter._wide
        self._headers = not self._options.no_headers
        self._events = bool(self._options.output_watch_events)
        self._widths: list[int] = [len("MODIFIED") + 3] if self._events and not self._printer else []
        self._columns: list[Object] = []

    def first(self, found: Object) -> None:
        if self._printer is None:
            self._rows(found, "ADDED")
            return
        typed = {"apiVersion": self._ask.kind.api_version, "kind": self._ask.kind.kind}
        self._objects([{**typed, **item} for item in found.get("items") or ()], "ADDED")

    def event(self, type_: str, obj: Object) -> None:
        if self._printer is None:
            self._rows(obj, type_)
        else:
            self._objects([obj], type_)

    def _objects(self, objects: list[Object], type_: str) -> None:
        assert self._printer is not None
        name = self._printer.name
        if self._events and name == "json":
            for obj in objects:
                click.echo(f'{{"type":"{type_}","object":{go_json(obj)}}}')
            return
        if self._events and name != "name":
            objects = [{"type": type_, "object": obj} for obj in objects]
        if name.startswith("custom-columns"):
            self._lay([row for obj in objects for row in self._printer.rows(obj)])
        else:
            click.echo("".join(map(self._printer.show, objects)), nl=False)

    def _rows(self, found: Object, type_: str) -> None:
        self._columns = found.get("columnDefinitions") or self._columns  # only the first event has them
        found = {**found, "columnDefinitions": self._columns}
        rows = printing.table_rows(
            found,
            wide=self._wide,
            headers=self._headers,
            namespaces=bool(self._options.all_namespaces) and self._ask.kind.namespaced,
            prefix=_prefix(self._ask) if self._options.show_kind else "",
            show_labels=self._options.show_labels,
            label_columns=self._options.label_columns,
        )
        if self._events:
            rows = [["EVENT" if self._headers and i == 0 else type_, *row] for i, row in enumerate(rows)]
        if not (found.get("rows") or self._widths):
            return
        self._lay(rows)
        self._headers = self._headers and not rows

    def _lay(self, rows: list[printing.Row]) -> None:
        """Prints rows in columns that only grow."""
        for row in rows:
            self._widths += [6] * (len(row) - len(self._widths))
            for index, cell in enumerate(row):
                self._widths[index] = max(self._widths[index], len(cell) + 3)
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row[:-1], self._widths, strict=False)]
            click.echo(escaped("".join(cells) + row[-1]))


def _prefix(ask: Ask) -> str:
    kind = ask.kind.kind.lower()
    return f"{kind}.{ask.kind.group}/" if ask.kind.group else f"{kind}/"


def _name_and_age(ask: Ask, found: Object) -> Object:
    """The table that kubectl makes of objects by itself (--server-print=false)."""
    from .timing import since

    now = RealClock().now()
    columns = [{"name": "Name"}, {"name": "Age"}]
    items = [found] if ask.name else found.get("items") or []
    rows = [
        {"cells": [name_of(item), since(get(item, "metadata.creationTimestamp"), now)], "object": item}
        for item in items
    ]
    return {"columnDefinitions": columns, "rows": rows}


class _Unsorted(Failure, LookupError):
    """What --sort-by says does not fit the objects."""


_ABSENT = object()


def _less(a: Any, b: Any) -> bool:
    """kubectl's order: the absent first, numbers and quantities by size, text by its letters. Raises Failure."""
    if a is _ABSENT or b is _ABSENT:
        return a is _ABSENT
    if a is None or b is None:
        return a is None and b is not None
    if type(a) not in (str, int, float) or type(a) is not type(b):
        raise Failure(f"Field is an unsortable type: {go_type(a)}")
    if isinstance(a, str):
        from ..api.quantity import Quantity

        try:
            return Quantity.parse(a).number < Quantity.parse(b).number
        except ValueError:
            pass
    return bool(a < b)
