"""`pilothouse api-resources`: what the server's discovery says."""

from __future__ import annotations

from typing import Any

import click
import orjson

from ..client.http import raise_for_status
from . import printing
from .errors import Failure
from .tabs import table
from .verb import Call, flag, many, text, verb

DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@verb(
    "api-resources",
    text("--api-group", help="Of this group."),
    flag("--namespaced", default=True, help="Only those in namespaces, or (false) only those that are not."),
    many("--verbs", split=True, help="Only those with these verbs."),
    many("--categories", split=True, help="Only those of these categories."),
    text("-o", "--output", help="name or wide."),
    text("--sort-by", help="name or kind."),
    flag("--no-headers"),
    flag("--cached"),
    help="Print the resources that the server knows.",
)
async def command(call: Call) -> None:
    options = call.options
    if call.words:
        raise call.usage(f"unexpected arguments: [{' '.join(call.words)}]")
    formats = ["json", "kyaml", "name", "wide", "yaml"]
    printer = printing.Printer(options.output, formats=formats) if options.output else None
    if options.sort_by not in ("", "name", "kind"):
        raise Failure("--sort-by accepts only name or kind")
    rows = []
    for group, version, each in await discovered(call):
        if options.given("api_group") and group != options.api_group:
            continue
        namespaced = each["scope"] == "Namespaced"
        if options.given("namespaced") and namespaced != options.namespaced:
            continue
        if set(options.verbs) - set(each["verbs"]) or set(options.categories) - set(
            each.get("categories") or ()
        ):
            continue
        rows.append((group, version, namespaced, each))
    order = {"name": lambda row: row[3]["resource"], "kind": lambda row: row[3]["responseKind"]["kind"]}
    rows.sort(key=lambda row: (order.get(options.sort_by, lambda r: r[0])(row), row[3]["resource"]))
    if printer and options.output in printing.PLAIN:
        listed = [_described(*row) for row in rows]
        whole = {"apiVersion": "v1", "kind": "APIResourceList", "groupVersion": "", "resources": listed}
        click.echo(printer.show(whole), nl=False)
        return
    if options.output == "name":
        for group, _, _, each in rows:
            click.echo(f"{each['resource']}.{group}" if group else each["resource"])
        return
    wide = options.output == "wide"
    shown = (
        []
        if options.no_headers
        else [["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"] + ["VERBS", "CATEGORIES"] * wide]
    )
    for group, version, namespaced, each in rows:
        cells = [
            each["resource"],
            ",".join(each.get("shortNames") or ()),
            f"{group}/{version}" if group else version,
            str(namespaced).lower(),
            each["responseKind"]["kind"],
        ]
        if wide:
            cells += [",".join(each["verbs"]), ",".join(each.get("categories") or ())]
        shown.append(cells)
    click.echo(table(shown), nl=False)


def _described(group: str, version: str, namespaced: bool, each: dict[str, Any]) -> dict[str, Any]:
    """As the v1 discovery has it, with the group and the version of its own."""
    shown = {
        "group": group,
        "version": version,
        "kind": each["responseKind"]["kind"],
        "name": each["resource"],
    }
    shown |= {key: each.get(key) for key in ("shortNames", "categories")}
    shown["singularName"] = each.get("singularResource")
    found = {key: value for key, value in shown.items() if value}
    return {**found, "namespaced": namespaced, "verbs": each["verbs"]}


async def discovered(call: Call) -> list[tuple[str, str, dict[str, Any]]]:
    """(group, version, resource) of every resource, in the version that the server prefers."""
    found = []
    for where in ("/api", "/apis"):
        response = await call.client.transport.request("GET", where, headers={"accept": DISCOVERY})
        raise_for_status(response)
        for group in orjson.loads(response.body).get("items") or ():
            name, seen = group["metadata"].get("name") or "", set()
            for version in group["versions"]:
                for each in version.get("resources") or ():
                    if each.get("verbs") and each["resource"] not in seen:
                        seen.add(each["resource"])
                        found.append((name, version["version"], each))
    return found
