"""`pilothouse apply`: client-side apply as kubectl does it, or server-side with --server-side."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import click

from ..api.errors import ApiError
from ..api.kinds import Kind
from ..api.object import Object, annotations_of, name_of, namespace_of
from ..api.schema import has_schema, schema_of
from ..api.threeway import three_way_patch
from . import printing
from .connection import Connection, Target, connection_options, run
from .targets import documents, path

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MISSING = (
    "Warning: resource {0} is missing the {1} annotation which is required by kubectl apply. kubectl apply should "
    "only be used on resources created declaratively by either kubectl create --save-config or kubectl apply. "
    "The missing annotation will be patched automatically."
)


@click.command("apply")
@click.option("-f", "--filename", "files", multiple=True, required=True, help="Files, folders, URLs, or - .")
@click.option("-R", "--recursive", is_flag=True)
@click.option("--dry-run", type=click.Choice(["none", "client", "server"]), default="none")
@click.option("--server-side", is_flag=True, help="Let the server merge.")
@click.option("--force-conflicts", is_flag=True)
@click.option("--field-manager", default="")
@click.option("--validate", default="true")
@click.option("-o", "--output", default="")
@connection_options
def command(files: tuple[str, ...], recursive: bool, target: Target, **options: Any) -> None:
    """Apply manifests: make the cluster's objects what the files say."""

    async def main(connection: Connection) -> int:
        failed = 0
        shown: list[Object] = []
        for where, obj in documents(files, recursive):
            try:
                result, verb = await apply(connection, obj, **options)
            except ApiError as error:
                failed = 1
                click.echo(_error(error, where, obj), err=True)
                continue
            kind = await connection.kind_of_object(obj["apiVersion"], obj["kind"])
            suffix = {"client": " (dry run)", "server": " (server dry run)"}.get(options["dry_run"], "")
            if options["output"] in ("yaml", "json"):
                shown.append(printing.without_managed_fields(result))
            elif options["output"] == "name":
                click.echo(printing.resource_name(kind, name_of(result)))
            else:
                click.echo(f"{printing.resource_name(kind, name_of(result))} {verb}{suffix}")
        if shown:
            whole: Object = (
                shown[0] if len(shown) == 1 else {"apiVersion": "v1", "kind": "List", "items": shown}
            )
            click.echo(
                (printing.to_yaml if options["output"] == "yaml" else printing.to_json)(whole), nl=False
            )
        return failed

    if code := run(main, target):
        raise click.exceptions.Exit(code)


def _error(error: ApiError, where: str, obj: Object) -> str:
    reason = f" ({error.reason})" if error.reason else ""
    if error.code in (400, 422):
        return f'Error from server{reason}: error when applying "{where}": {error.message}'
    return f"Error from server{reason}: {error.message}"


async def apply(connection: Connection, obj: Object, **options: Any) -> tuple[Object, str]:
    """(the object as it is now, created | configured | unchanged | serverside-applied)."""
    kind = await connection.kind_of_object(obj["apiVersion"], obj["kind"])
    namespace = namespace_of(obj) or connection.namespace
    if not name_of(obj):
        raise click.ClickException("error: from " + obj["kind"] + ": cannot use generate name with apply")
    where = path(kind, namespace, name_of(obj))
    query = {"fieldManager": options.get("field_manager") or "kubectl-client-side-apply"}
    if options.get("dry_run") == "server":
        query["dryRun"] = "All"
    query["fieldValidation"] = {"true": "Strict", "false": "Ignore", "warn": "Warn", "ignore": "Ignore"}.get(
        str(options.get("validate", "true")).lower(), "Strict"
    )
    client = connection.client
    if options.get("server_side"):
        query["fieldManager"] = options.get("field_manager") or "kubectl"
        query["force"] = "true" if options.get("force_conflicts") else "false"
        content_type = "application/apply-patch+yaml"
        result = await client.call("PATCH", f"{where}?{urlencode(query)}", obj, content_type=content_type)
        return result, "serverside-applied"
    modified = _with_last_applied(obj)
    try:
        current = await client.call("GET", where)
    except ApiError as error:
        if error.code != 404:
            raise
        if options.get("dry_run") == "client":
            return modified, "created"
        collection = path(kind, namespace)
        return await client.call("POST", f"{collection}?{urlencode(query)}", modified), "created"
    last = annotations_of(current).get(LAST_APPLIED)
    if last is None:
        click.echo(MISSING.format(printing.resource_name(kind, name_of(obj)), LAST_APPLIED), err=True)
    patch = three_way_patch(json.loads(last or "{}"), modified, current, _type(kind))
    if not patch:
        return current, "unchanged"
    if options.get("dry_run") == "client":
        return modified, "configured"
    content_type = f"application/{'merge' if kind.custom else 'strategic-merge'}-patch+json"
    result = await client.call("PATCH", f"{where}?{urlencode(query)}", patch, content_type=content_type)
    same = result["metadata"].get("resourceVersion") == current["metadata"].get("resourceVersion")
    return result, "unchanged" if same else "configured"


def _type(kind: Kind) -> Any:
    if kind.custom or not has_schema(kind.group, kind.version, kind.kind):
        return None
    return schema_of(kind.group, kind.version, kind.kind)


def _with_last_applied(obj: Object) -> Object:
    """The object with its own text in the annotation, as kubectl writes it."""
    metadata = dict(obj.get("metadata") or {})
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != LAST_APPLIED}
    plain = {**obj, "metadata": {**metadata, "annotations": annotations}}
    text = json.dumps(plain, separators=(",", ":"), sort_keys=True, ensure_ascii=False) + "\n"
    return {**obj, "metadata": {**metadata, "annotations": {**annotations, LAST_APPLIED: text}}}
