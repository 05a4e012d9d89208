"""`pilothouse diff`: what `apply` would change, by a dry run on the server and the `diff` program."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

from ..api.errors import ApiError
from ..api.object import Object, annotations_of
from ..api.threeway import three_way_patch
from ..base.random import Random
from ..client.http import PATCH_TYPES, with_query
from . import printing
from .apply import LAST_APPLIED, patch_schema
from .errors import Failure, Failures, message_of
from .targets import Info, documents, info_of
from .verb import FILES, SELECTOR, Call, flag, number, text, verb

MASK = "***"


@verb(
    "diff",
    *FILES,
    *SELECTOR,
    flag("--server-side", help="As --server-side of apply."),
    flag("--force-conflicts"),
    flag("--show-managed-fields"),
    text("--field-manager"),
    number("--concurrency", default=1),
    help="Show what `apply` would change; the exit code is 1 when something would.",
)
async def command(call: Call) -> int:
    options = call.options
    if not options.filename:
        raise Failure("must specify one of -f and -k", 2)
    if call.words:
        raise Failure(call.usage(f"Unexpected args: [{' '.join(call.words)}]").message, 2)
    with ExitStack() as folders:
        live, merged = (_folder(name, folders) for name in ("LIVE", "MERGED"))
        try:
            for source, obj in documents(options.filename, options.recursive):
                info = await info_of(call.connection, obj, source)
                for side, found in zip((live, merged), await _both(call, info), strict=True):
                    if found is not None:
                        group = f"{info.kind.group}." if info.kind.group else ""
                        name = f"{group}{info.kind.version}.{info.kind.kind}.{info.namespace}.{info.name}"
                        Path(side, name).write_text(printing.to_yaml(found))
        except (ApiError, Failure) as error:
            raise Failure(message_of(error), 2, plain=True)
        except Failures as error:
            error.code = 2
            raise
        words = os.environ.get("KUBECTL_EXTERNAL_DIFF", "diff -u -N").split()
        return subprocess.run([*words, live, merged], check=False).returncode


def _folder(name: str, folders: ExitStack) -> str:
    """A temporary folder with digits behind its name, as Go's are."""
    where = f"{tempfile.gettempdir()}/{name}-{Random.from_os().below(10**10)}"
    os.mkdir(where, 0o700)
    folders.callback(shutil.rmtree, where)
    return where


async def _both(call: Call, info: Info) -> tuple[Object | None, Object]:
    """(as it is, as it would be)."""
    options = call.options
    live: Object | None = None
    try:
        live = await call.client.call("GET", info.path)
    except ApiError as error:
        if error.code != 404:
            raise
    manager = options.field_manager or ("kubectl" if options.server_side else "kubectl-client-side-apply")
    query = {"dryRun": "All", "fieldManager": manager}
    if options.server_side:
        query["force"] = "true" if options.force_conflicts else ""
        merged = await call.client.call(
            "PATCH", with_query(info.path, query), info.obj, content_type=PATCH_TYPES["apply"]
        )
    elif live is None:
        merged = await call.client.call("POST", with_query(info.path.rpartition("/")[0], query), info.obj)
    else:
        last = json.loads(annotations_of(live).get(LAST_APPLIED) or "{}")
        schema = patch_schema(info.kind)
        patch = three_way_patch(last, info.obj, live, schema)
        type_ = "merge" if schema is None else "strategic"
        merged = live
        if patch:
            where = with_query(info.path, query)
            merged = await call.client.call("PATCH", where, patch, content_type=PATCH_TYPES[type_])
    if not options.show_managed_fields:
        merged, live = printing.without_managed_fields(merged), live and printing.without_managed_fields(live)
    return _masked(live, merged) if info.kind.kind == "Secret" else (live, merged)


def _masked(live: Object | None, merged: Object) -> tuple[Object | None, Object]:
    """Secrets show that they differ, never what they are."""
    before, after = (live or {}).get("data") or {}, merged.get("data") or {}

    def hidden(data: Object, note: str) -> Object:
        return {
            key: MASK
            if key not in before or key not in after or before[key] == after[key]
            else f"{MASK} ({note})"
            for key in data
        }

    shown = live and {**live, "data": hidden(before, "before")}
    return shown, {**merged, "data": hidden(after, "after")}
