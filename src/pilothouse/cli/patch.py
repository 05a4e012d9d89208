"""`pilothouse patch`"""

from __future__ import annotations

import json

import click

from ..api.errors import ApiError
from ..client.http import PATCH_TYPES, with_query
from . import printing
from .errors import Failure
from .targets import Finder, Info, yaml_documents
from .verb import FILES, WRITE, Call, dry_run_of, flag, text, verb


@verb(
    "patch",
    *FILES,
    *WRITE,
    lambda: text("-p", "--patch", help="The patch, JSON or YAML."),
    lambda: text("--patch-file", help="A file with the patch."),
    lambda: text("--type", default="strategic", help="json, merge or strategic."),
    lambda: text("--subresource", help="status, scale or resize."),
    lambda: flag("--local"),
    help='Update fields of a resource: `patch deployment web -p \'{"spec":{"replicas":2}}\'`.',
)
async def command(call: Call) -> None:
    options = call.options
    if options.type not in ("json", "merge", "strategic"):
        raise Failure(f'--type must be one of [json merge strategic], not "{options.type}"')
    if bool(options.patch) == bool(options.patch_file):
        if options.patch:
            raise Failure("cannot specify --patch and --patch-file together")
        raise Failure("must specify --patch or --patch-file containing the contents of the patch")
    source = options.patch
    if options.patch_file:
        with open(options.patch_file) as file:
            source = file.read()
    patch: object = source.encode()  # JSON goes as it is
    if not source.lstrip().startswith("{"):
        try:
            patch = next(iter(yaml_documents(source, "patch")), None)
        except Failure as error:
            raise Failure(
                f"unable to parse {json.dumps(source)}: {error.message.rpartition('YAML to JSON: ')[2]}"
            )
    finder, printer, dry_run = Finder(call), printing.printer(options), dry_run_of(options)
    for info in await finder.run(load=not options.filename):
        try:
            await _one(call, info, patch, printer, dry_run)
        except ApiError as error:
            finder.errors.append(error)
    finder.end()


async def _one(call: Call, info: Info, patch: object, printer: printing.Printer | None, dry_run: str) -> None:
    options = call.options
    where = info.path + (f"/{options.subresource}" if options.subresource else "")
    before = await call.client.call("GET", where)
    query = {
        "fieldManager": options.field_manager or "kubectl-patch",
        "dryRun": "All" if dry_run != "none" else "",
    }
    kind = "merge" if options.type == "strategic" and info.kind.custom else options.type
    after = await call.client.call("PATCH", with_query(where, query), patch, content_type=PATCH_TYPES[kind])
    if printer:
        click.echo(printer.show(after), nl=False)
        return
    version = [obj["metadata"].get("resourceVersion") for obj in (before, after)]
    unchanged = version[0] == version[1] if dry_run == "none" else before == after
    click.echo(f"{printing.resource_name(after)} patched{' (no change)' if unchanged else ''}")
