"""`pilothouse get`"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import click
import orjson

from ..api.errors import ApiError
from ..api.object import Object, get, name_of
from ..client.http import lines, raise_for_status
from ..client.transport import Response
from . import printing
from .connection import Connection, Target, connection_options, run
from .targets import Ask, documents, parse, path

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
CHUNK_SIZE = 500


@click.command("get")
@click.argument("words", nargs=-1)
@click.option("-f", "--filename", "files", multiple=True, help="Files that name the resources.")
@click.option("-R", "--recursive", is_flag=True)
@click.option("-A", "--all-namespaces", is_flag=True, help="In all namespaces.")
@click.option("-l", "--selector", default="", help="Labels to match.")
@click.option("--field-selector", default="", help="Fields to match.")
@click.option("-o", "--output", default="", help="wide, yaml, json, name, jsonpath=…, custom-columns=….")
@click.option("-w", "--watch", is_flag=True, help="Go on with what changes.")
@click.option("--watch-only", is_flag=True, help="Only what changes.")
@click.option("--sort-by", default="", help="A jsonpath to sort by.")
@click.option("--no-headers", is_flag=True)
@click.option("--show-labels", is_flag=True)
@click.option("--show-kind", is_flag=True)
@click.option("--show-managed-fields", is_flag=True)
@click.option("-L", "--label-columns", multiple=True)
@click.option("--ignore-not-found", is_flag=True)
@click.option("--subresource", default="")
@connection_options
def command(words: tuple[str, ...], target: Target, **options: Any) -> None:
    """Display one or many resources: `get pods`, `get pod NAME`, `get deploy,svc`, `get all`."""

    async def main(connection: Connection) -> int:
        return await Getter(connection, options).run(words)

    if code := run(main, target):
        raise click.exceptions.Exit(code)


class Getter:
    def __init__(self, connection: Connection, options: dict[str, Any]):
        self._connection, self._options = connection, options
        self._client = connection.client
        self._namespace = "" if options["all_namespaces"] else connection.namespace
        self.output = options["output"]

    async def run(self, words: tuple[str, ...]) -> int:
        asks = await self._asks(words)
        if self._options["watch"] or self._options["watch_only"]:
            return await self._watch(asks)
        if self.output in ("", "wide"):
            return await self._tables(
                asks, "all" in words[:1] or len({ask.kind.resource for ask in asks}) > 1
            )
        return await self._objects(asks, any(ask.name == "" for ask in asks) or len(asks) > 1)

    async def _asks(self, words: tuple[str, ...]) -> list[Ask]:
        if not self._options["files"]:
            return await parse(self._connection, words)
        asks = []
        for _, obj in documents(self._options["files"], self._options["recursive"]):
            asks.append(
                Ask(await self._connection.kind_of_object(obj["apiVersion"], obj["kind"]), name_of(obj))
            )
        return asks

    def _query(self, **more: Any) -> str:
        query = {
            "labelSelector": self._options["selector"],
            "fieldSelector": self._options["field_selector"],
            **more,
        }
        used = {key: value for key, value in query.items() if value}
        return "?" + urlencode(used) if used else ""

    async def _fetch(self, ask: Ask, accept: str) -> Object:
        """A Table, an object or a list; a long list in pages."""
        where = path(ask.kind, self._namespace, ask.name, self._options["subresource"])
        whole: Object | None = None
        token = ""
        while True:
            query = (
                "" if ask.name else self._query(limit=CHUNK_SIZE, **({"continue": token} if token else {}))
            )
            response = await self._client.transport.request("GET", where + query, headers={"accept": accept})
            raise_for_status(response)
            page: Object = orjson.loads(response.body)
            if whole is None:
                whole = page
            else:
                for key in ("rows", "items"):
                    if page.get(key):
                        whole[key] = [*(whole.get(key) or ()), *page[key]]
            token = (page.get("metadata") or {}).get("continue") or ""
            if ask.name or not token:
                return whole

    async def _tables(self, asks: list[Ask], several: bool) -> int:
        blocks: list[list[printing.Row]] = []
        failures: list[ApiError] = []
        last_kind = None
        for ask in asks:
            try:
                table = await self._fetch(ask, TABLE)
            except ApiError as error:
                if not (error.code == 404 and self._options["ignore_not_found"]):
                    failures.append(error)
                continue
            if self._options["sort_by"]:
                table["rows"] = self._sorted(table.get("rows") or [], lambda row: row.get("object") or {})
            same = last_kind == ask.kind.resource
            prefix = ""
            if several or self._options["show_kind"]:
                prefix = printing.resource_name(ask.kind, "")
            rows = printing.table_rows(
                table,
                wide=self.output == "wide",
                headers=not self._options["no_headers"] and not same,
                namespaces=bool(self._options["all_namespaces"]) and ask.kind.namespaced,
                prefix=prefix,
                show_labels=self._options["show_labels"],
                label_columns=[c for part in self._options["label_columns"] for c in part.split(",")],
            )
            if not table.get("rows"):
                continue
            if same and blocks:
                blocks[-1] += rows
            else:
                blocks.append(rows)
            last_kind = ask.kind.resource
        if blocks:
            click.echo("\n".join(printing.align(rows) for rows in blocks), nl=False)
        elif not failures and not self._options["ignore_not_found"]:
            where = (
                f" in {self._namespace} namespace"
                if self._namespace and any(a.kind.namespaced for a in asks)
                else ""
            )
            click.echo(f"No resources found{where}" + ("." if where else ""), err=True)
        return _report(failures)

    def _sorted(self, items: list[Any], key: Any) -> list[Any]:
        text = self._options["sort_by"].strip().strip("{}")
        found = printing._Path(text if text.startswith((".", "[")) else "." + text)

        def value(item: Any) -> tuple[int, Any]:
            values = found.find(key(item), key(item))
            if not values or values[0] is None:
                return (0, "")
            return (1, values[0]) if isinstance(values[0], int | float) else (2, str(values[0]))

        return sorted(items, key=value)

    async def _objects(self, asks: list[Ask], as_list: bool) -> int:
        items: list[Object] = []
        failures: list[ApiError] = []
        for ask in asks:
            try:
                found = await self._fetch(ask, "application/json")
            except ApiError as error:
                if not (error.code == 404 and self._options["ignore_not_found"]):
                    failures.append(error)
                continue
            if ask.name:
                items.append(found)
            else:
                kind = {"apiVersion": ask.kind.api_version, "kind": ask.kind.kind}
                items += [{**kind, **item} for item in found.get("items") or ()]
        if self._options["sort_by"]:
            items = self._sorted(items, lambda item: item)
        if not self._options["show_managed_fields"]:
            items = [printing.without_managed_fields(item) for item in items]
        if items or as_list:
            kinds = {(k.kind.api_version, k.kind.kind): k.kind for k in asks}
            click.echo(self._render(items, as_list, kinds), nl=False)
        return _report(failures)

    def _render(self, items: list[Object], as_list: bool, kinds: dict[Any, Any]) -> str:
        name, _, argument = self.output.partition("=")
        whole: Any = (
            {"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}}
            if as_list
            else items[0]
        )
        if name == "yaml":
            return printing.to_yaml(whole)
        if name == "json":
            return printing.to_json(whole)
        if name == "name":
            return "".join(
                printing.resource_name(kinds[item["apiVersion"], item["kind"]], name_of(item)) + "\n"
                for item in items
            )
        if name in ("jsonpath", "jsonpath-as-json"):
            return printing.jsonpath(argument, whole)
        if name == "custom-columns":
            return printing.custom_columns(argument, items, not self._options["no_headers"])
        raise click.ClickException(
            f'unable to match a printer suitable for the output format "{self.output}", '
            "allowed formats are: custom-columns,json,jsonpath,name,wide,yaml"
        )

    async def _watch(self, asks: list[Ask]) -> int:
        if len({ask.kind.resource for ask in asks}) > 1:
            raise click.ClickException("you may only specify a single resource type")
        ask = asks[0]
        version = "0"
        headers = not self._options["no_headers"]
        widths: list[int] = []
        if ask.name:
            self._options["field_selector"] = f"metadata.name={ask.name}"
        everything = Ask(ask.kind)
        first = await self._fetch(everything, TABLE)
        version = get(first, "metadata.resourceVersion", "0")
        if not self._options["watch_only"]:
            headers = self._print_table(first, ask, headers, widths) and False
        query = self._query(watch="true", resourceVersion=version, allowWatchBookmarks="true")
        where = path(ask.kind, self._namespace) + query
        async with self._client.transport.stream("GET", where, headers={"accept": TABLE}) as (
            status,
            answered,
            pieces,
        ):
            if status >= 400:
                raise_for_status(Response(status, answered, b"".join([piece async for piece in pieces])))
            async for line in lines(pieces):
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    raise click.ClickException(event["object"].get("message", "watch failed"))
                if event["type"] != "BOOKMARK":
                    headers = self._print_table(event["object"], ask, headers, widths) and False
        return 0

    def _print_table(self, table: Object, ask: Ask, headers: bool, widths: list[int]) -> bool:
        rows = printing.table_rows(
            table,
            wide=self.output == "wide",
            headers=headers,
            namespaces=bool(self._options["all_namespaces"]) and ask.kind.namespaced,
            show_labels=self._options["show_labels"],
        )
        for row in rows:
            for index, cell in enumerate(row):
                if index >= len(widths):
                    widths.append(0)
                widths[index] = max(widths[index], len(cell))
        for row in rows:
            cells = [
                cell.ljust(width + printing.PADDING) for cell, width in zip(row[:-1], widths, strict=False)
            ]
            click.echo("".join(cells) + row[-1])
        return bool(rows)


def _report(failures: list[ApiError]) -> int:
    for error in failures:
        reason = f" ({error.reason})" if error.reason else ""
        click.echo(f"Error from server{reason}: {error.message}", err=True)
    return 1 if failures else 0
