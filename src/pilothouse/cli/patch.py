"""`pilothouse patch`"""

from __future__ import annotations

import json
from pathlib import Path

from ..api.errors import ApiError
from ..client.http import PATCH_TYPES, with_query
from .change import Change
from .errors import Failure
from .printing import resource_name
from .targets import Finder, yaml_documents
from .verb import FILES, WRITE, Call, flag, text, verb


@verb(
    "patch",
    *FILES,
    *WRITE,
    text("-p", "--patch", help="The patch, JSON or YAML."),
    text("--patch-file", help="A file with the patch."),
    text("--type", default="strategic", help="json, merge or strategic."),
    text("--subresource", help="status, scale or resize."),
    flag("--local"),
    help='Update fields of a resource: `patch deployment web -p \'{"spec":{"replicas":2}}\'`.',
)
async def command(call: Call) -> None:
    options = call.options
    if options.type not in ("json", "merge", "strategic"):
        raise Failure(f'--type must be one of [json merge strategic], not "{options.type}"')
    if options.local and call.words:
        raise Failure("cannot specify --local and server resources")
    if bool(options.patch) == bool(options.patch_file):
        if options.patch:
            raise Failure("cannot specify --patch and --patch-file together")
        raise Failure("must specify --patch or --patch-file containing the contents of the patch")
    source = options.patch
    if options.patch_file:
        try:
            source = Path(options.patch_file).read_text()
        except OSError as error:
            why = (error.strerror or "").lower()
            raise Failure(f"unable to read patch file: open {options.patch_file}: {why}")
    patch: object = source.encode()  # JSON goes as it is
    if not source.lstrip().startswith("{"):
        try:
            patch = next(iter(yaml_documents(source, "patch")), None)
        except Failure as error:
            raise Failure(
                f"unable to parse {json.dumps(source)}: {error.message.rpartition('YAML to JSON: ')[2]}"
            )
    finder, change = Finder(call), Change(call, "kubectl-patch")
    change.query["dryRun"] = "All" if change.dry_run != "none" else ""  # the client cannot merge by itself
    for info in await finder.run(load=not options.filename):
        with finder.trying():
            where = info.path + (f"/{options.subresource}" if options.subresource else "")
            before = await call.client.call("GET", where)
            kind = PATCH_TYPES[options.type]
            try:
                after = await call.client.call(
                    "PATCH", with_query(where, change.query), patch, content_type=kind
                )
            except ApiError as error:
                if error.code != 415:
                    raise
                what = f"{info.kind.api_version}, Kind={info.kind.kind}"
                raise Failure(f"{kind} is not supported by {what}: {error.message}")
            same = before == after
            if change.dry_run == "none":
                same = before["metadata"].get("resourceVersion") == after["metadata"].get("resourceVersion")
            same = same and not options.filename  # there kubectl compares with the file
            change.say(resource_name(after), after, "patched" + " (no change)" * same, note=False)
    finder.end()
