"""`pilothouse patch`"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import click
import yaml

from ..api.object import name_of
from ..client.http import PATCH_TYPES
from . import printing
from .connection import Connection, Target, connection_options, run
from .targets import parse, path


@click.command("patch")
@click.argument("words", nargs=-1, required=True)
@click.option("-p", "--patch", default="", help="The patch, JSON or YAML.")
@click.option("--patch-file", default="", type=click.Path())
@click.option("--type", "type_", type=click.Choice(["json", "merge", "strategic"]), default="strategic")
@click.option("--subresource", default="")
@click.option("--dry-run", type=click.Choice(["none", "client", "server"]), default="none")
@click.option("-o", "--output", default="")
@connection_options
def command(words: tuple[str, ...], target: Target, **options: Any) -> None:
    """Update fields of a resource."""
    text = options["patch"]
    if options["patch_file"]:
        with open(options["patch_file"]) as file:
            text = file.read()
    if not text:
        raise click.ClickException(
            "must specify --patch or --patch-file containing the contents of the patch"
        )
    try:
        patch = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise click.ClickException(f"unable to parse {json.dumps(text)}: {error}") from error

    async def main(connection: Connection) -> None:
        for ask in await parse(connection, words):
            where = path(ask.kind, connection.namespace, ask.name, options["subresource"])
            before = await connection.client.call("GET", where)
            query = {"fieldManager": "kubectl-patch"}
            if options["dry_run"] == "server":
                query["dryRun"] = "All"
            content_type = PATCH_TYPES[options["type_"]]
            after = await connection.client.call(
                "PATCH", f"{where}?{urlencode(query)}", patch, content_type=content_type
            )
            if options["output"] in ("yaml", "json"):
                show = printing.to_yaml if options["output"] == "yaml" else printing.to_json
                click.echo(show(printing.without_managed_fields(after)), nl=False)
                continue
            changed = before["metadata"].get("resourceVersion") != after["metadata"].get("resourceVersion")
            note = "" if changed or options["dry_run"] == "server" else " (no change)"
            click.echo(f"{printing.resource_name(ask.kind, name_of(after))} patched{note}")

    run(main, target)
