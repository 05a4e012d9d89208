"""`pilothouse apply`: client-side apply as kubectl does it, or server-side with --server-side; `apply view-last-applied`."""

from __future__ import annotations

import json
from typing import Any

import click

from ..api.errors import ApiError
from ..api.kinds import Kind
from ..api.object import Object, annotations_of, is_deleting, name_of, namespace_of, uid_of
from ..api.schema import Type, has_schema, schema_of
from ..api.threeway import three_way_patch
from ..client.http import PATCH_TYPES, delete_options, with_query
from . import printing
from .change import Change
from .delete import until_gone
from .errors import Failure, Failures, while_doing
from .jsonpath import go_json
from .targets import Finder, Info, documents, info_of, items_of
from .timing import log_line
from .verb import DRY_RUN_NOTE, FILES, SELECTOR, WRITE, Call, dry_run_of, flag, many, number, text, verb

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MISSING = (
    "Warning: resource {0} is missing the {1} annotation which is required by kubectl apply. kubectl apply should "
    "only be used on resources created declaratively by either kubectl create --save-config or kubectl apply. "
    "The missing annotation will be patched automatically."
)
CONFLICT = """
Please review the fields above--they currently have other managers. Here
are the ways you can resolve this warning:
* If you intend to manage all of these fields, please re-run the apply
  command with the `--force-conflicts` flag.
* If you do not intend to manage all of the fields, please edit your
  manifest to remove references to the fields that should keep their
  current managers.
* You may co-own fields by updating your manifest to match the existing
  value; in this case, you'll become the manager if the other manager(s)
  stop managing the field (remove it from their configuration).
See https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts"""
DEPRECATED = (
    "Deprecated: kubectl apply will no longer prune non-namespaced resources by default when used with the --namespace "
    "flag in a future release. To preserve the current behaviour, list the resources you want to target explicitly in "
    "the --prune-allowlist flag."
)
PRUNED = (  # kinds that --prune looks at, unless --prune-allowlist names others
    "v1/ConfigMap v1/Endpoints v1/Namespace v1/PersistentVolumeClaim v1/PersistentVolume v1/Pod "
    "v1/ReplicationController v1/Secret v1/Service batch/v1/Job batch/v1/CronJob networking.k8s.io/v1/Ingress "
    "apps/v1/DaemonSet apps/v1/Deployment apps/v1/ReplicaSet apps/v1/StatefulSet"
).split()


VALIDATE = text("--validate", default="strict", bare="strict", help="strict, warn or ignore unknown fields.")


@verb(
    "apply",
    *FILES,
    *SELECTOR,
    *WRITE,
    VALIDATE,
    flag("--server-side", help="Let the server merge."),
    flag("--force-conflicts", help="Take over fields of other managers."),
    flag("--force"),
    number("--grace-period", default=-1),
    flag("--openapi-patch", default=True),
    flag("--overwrite", default=True),
    flag("--prune", help="Delete what was applied before and is in no file any more."),
    many("--prune-allowlist", split=True),
    flag("--all", help="With --prune: everything that was applied."),
    text("--subresource"),
    flag("--wait"),
    help="Make the cluster's objects what the files say.",
)
async def command(call: Call) -> None:
    options = call.options
    if call.words:
        raise Failure(
            f"Unexpected args: [{' '.join(call.words)}]\nSee '{call.path} -h' for help and examples"
        )
    if not options.filename:
        raise Failure("must specify one of -f and -k")
    if options.force_conflicts and not options.server_side:
        raise Failure("--force-conflicts only works with --server-side")
    if options.server_side and options.force:
        raise Failure("--force cannot be used with --server-side")
    if options.server_side and dry_run_of(options) == "client":
        raise Failure(
            "--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)"
        )
    if options.prune and options.selector and options.all:
        raise Failure("cannot set --all and --selector at the same time")
    for word in options.prune_allowlist:
        if word.count("/") != 2:
            raise Failure(f"invalid GroupVersionKind format: {word}, please follow <group/version/kind>")
    if options.prune and not (options.selector or options.all):
        raise Failure(
            "all resources selected for prune without explicitly passing --all. To prune all resources, pass the --all flag. If you did not mean to prune all resources, specify a label selector"
        )
    applier = Applier(call)
    errors: list[Exception] = []
    found = []
    for source, obj in documents(options.filename, options.recursive):
        try:
            found.append(await info_of(call.connection, obj, source))
        except Failure as error:
            errors.append(error)
    if options.selector:
        from ..api.selectors import compile_labels

        chosen = compile_labels(options.selector)
        found = [info for info in found if chosen(info.obj["metadata"].get("labels") or {})]
    if not found and not errors:
        raise Failure("no objects passed to apply")
    printer = printing.printer(options)
    shown: list[Object] = []
    for info in found:
        try:
            result, done = await applier.one(info)
        except (ApiError, Failure) as error:
            errors.append(error)
            continue
        if printer:
            shown.append(result)
        else:
            click.echo(f"{info.shown} {done}{DRY_RUN_NOTE[applier.dry_run]}")
    if printer and shown:
        whole = {"apiVersion": "v1", "items": shown, "kind": "List", "metadata": {}}
        each = printer.name not in printing.PLAIN
        for obj in shown if each or len(shown) == 1 else [whole]:
            click.echo(printer.show(obj), nl=False)
    if errors:
        raise Failures(errors)
    if options.prune:
        await applier.prune(found)


class Applier:
    def __init__(self, call: Call):
        options = call.options
        self._connection, self._options = call.connection, options
        change = Change(call, "kubectl" if options.server_side else "kubectl-client-side-apply")
        self.dry_run, self._query, self._change = change.dry_run, change.writing, change
        self._uids: set[str] = set()

    async def one(self, info: Info) -> tuple[Object, str]:
        """(the object as it is now, created | configured | unchanged | serverside-applied)."""
        if not info.name and info.obj["metadata"].get("generateName"):
            raise Failure(f"from {info.obj['metadata']['generateName']}: cannot use generate name with apply")
        result, done = await (
            self._server_side(info) if self._options.server_side else self._client_side(info)
        )
        if uid := (result.get("metadata") or {}).get("uid"):
            self._uids.add(uid)
        if is_deleting(result):
            message = "Detected changes to resource %s which is currently being deleted."
            click.echo(f"Warning: {message % info.name}", err=True)
        return result, done

    async def _server_side(self, info: Info) -> tuple[Object, str]:
        query = {**self._query, "force": "true" if self._options.force_conflicts else "false"}
        where = with_query(info.path + _sub(self._options), query)
        try:
            result = await self._patch(where, info.obj, "apply")
            last = annotations_of(result).get(LAST_APPLIED)
            if query["fieldManager"] == "kubectl" and last and self.dry_run == "none":
                result = await self._take_over(info, result, last, where)
        except ApiError as error:
            if error.code != 409:
                raise
            raise Failure(error.message + CONFLICT)
        return result, "serverside-applied"

    async def _take_over(self, info: Info, obj: Object, last: str, where: str) -> Object:
        """What client-side apply managed goes over to server-side apply; its annotation gets a manager of its own."""
        managers = obj["metadata"].get("managedFields") or []
        if not any(entry["operation"] == "Apply" and _owns_annotation(entry) for entry in managers):
            metadata: Object = {"name": name_of(obj), "annotations": {LAST_APPLIED: last}}
            if namespace_of(obj):
                metadata["namespace"] = namespace_of(obj)
            just = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata}
            obj = await self._patch(
                with_query(info.path, {"fieldManager": "kubectl-last-applied"}), just, "apply"
            )
            managers = obj["metadata"].get("managedFields") or []
        old = [entry for entry in managers if _is_client_side(entry)]
        if not old:
            return obj
        own = next((e for e in managers if e["manager"] == "kubectl" and e["operation"] == "Apply"), None)
        fields: Object = own["fieldsV1"] if own else {}
        for entry in old:
            fields = _union(fields, entry.get("fieldsV1") or {})
        fields = _without_annotation(fields)
        first = {**(own or old[0]), "manager": "kubectl", "operation": "Apply", "fieldsV1": fields}
        rest = [entry for entry in managers if entry is not own and not _is_client_side(entry)]
        patch = [
            {"op": "replace", "path": "/metadata/managedFields", "value": [first, *rest]},
            {
                "op": "replace",
                "path": "/metadata/resourceVersion",
                "value": obj["metadata"]["resourceVersion"],
            },
        ]
        await self._patch(with_query(info.path, {"fieldManager": "kubectl"}), patch, "json")
        return await self._patch(where, info.obj, "apply")

    async def _patch(self, where: str, patch: Any, type_: str) -> Object:
        return await self._connection.client.call("PATCH", where, patch, content_type=PATCH_TYPES[type_])

    async def _client_side(self, info: Info) -> tuple[Object, str]:
        modified = with_last_applied(info.obj)
        try:
            if not info.name:
                raise Failure("resource name may not be empty")
            current = await self._connection.client.call("GET", info.path)
        except (ApiError, Failure) as error:
            if isinstance(error, ApiError) and error.code == 404:
                return await self._create(info, modified), "created"
            what = f"retrieving current configuration of:\n{described(info)}\nfrom server for:"
            if isinstance(error, ApiError):
                raise while_doing(what, info.source, error)
            raise Failure(f'error when {what} "{info.source}": {error.message}')
        last = annotations_of(current).get(LAST_APPLIED)
        if last is None:
            click.echo(MISSING.format(f"{info.kind.plural}/{info.name}", LAST_APPLIED), err=True)
        schema = patch_schema(info.kind)
        patch = three_way_patch(json.loads(last or "{}"), modified, current, schema)
        if not patch:
            return current, "unchanged"
        if self.dry_run == "client":
            now = Info(info.kind, info.namespace, info.name, current)
            return self._change.locally(now, patch), "configured"
        where = with_query(info.path + _sub(self._options), self._query)
        try:
            return await self._patch(where, patch, "merge" if schema is None else "strategic"), "configured"
        except ApiError as error:
            if self._options.force and error.reason in ("Conflict", "Invalid"):
                return await self._anew(info, modified, current), "configured"
            what = f"applying patch:\n{go_json(patch)}\nto:\n{described(info)}\nfor:"
            raise while_doing(what, info.source, error)

    async def _anew(self, info: Info, modified: Object, current: Object) -> Object:
        """--force: what cannot be patched is deleted and made again; when that fails, what was there is."""
        grace, client = self._options.grace_period, self._connection.client
        await client.call("DELETE", info.path, delete_options(grace if grace >= 0 else None, "Background"))
        info.obj = current
        await until_gone(client, [info], "0s")
        try:
            return await client.call(
                "POST", with_query(info.collection, self._query), _without_nulls(modified)
            )
        except ApiError:
            metadata = {k: v for k, v in current["metadata"].items() if k not in ("resourceVersion", "uid")}
            await client.call("POST", info.collection, {**current, "metadata": metadata})
            raise

    async def _create(self, info: Info, modified: Object) -> Object:
        if self.dry_run == "client":
            return modified
        where = with_query(info.path.rpartition("/")[0], self._query)
        try:
            return await self._connection.client.call("POST", where, _without_nulls(modified))
        except ApiError as error:
            raise while_doing("creating", info.source, error)

    async def prune(self, applied: list[Info]) -> None:
        """Deletes what was applied once, is of the kinds looked at, and was not applied now."""
        namespaces = sorted(
            {info.namespace for info in applied if info.namespace} or {self._connection.namespace}
        )
        if not self._options.prune_allowlist:
            click.echo(log_line("prune.go:71", DEPRECATED), err=True)
        kinds = []
        for word in self._options.prune_allowlist or PRUNED:
            group_version, _, name = word.rpartition("/")
            kinds.append(await self._connection.kind_of_object(group_version.removeprefix("core/"), name))
        asked = [(namespace, kind) for namespace in namespaces for kind in kinds if kind.namespaced]
        asked += [("", kind) for kind in kinds if not kind.namespaced]
        for namespace, kind in asked:
            for obj in await items_of(
                self._connection, kind, namespace, labelSelector=self._options.selector
            ):
                if LAST_APPLIED not in annotations_of(obj) or uid_of(obj) in self._uids or is_deleting(obj):
                    continue
                info = Info(kind, namespace, name_of(obj), obj)
                if self.dry_run != "client":
                    body = delete_options(propagation="Background", dry_run=self.dry_run == "server")
                    await self._connection.client.call("DELETE", info.path, body)
                click.echo(f"{info.shown} pruned{DRY_RUN_NOTE[self.dry_run]}")


def patch_schema(kind: Kind) -> Type | None:
    """What a strategic merge patch needs to know; None for custom resources, which get a merge patch."""
    typed = not kind.custom and has_schema(kind.group, kind.version, kind.kind)
    return schema_of(kind.group, kind.version, kind.kind) if typed else None


def _sub(options: Any) -> str:
    return f"/{options.subresource}" if options.subresource else ""


def described(info: Info) -> str:
    """An object as error messages name it in full."""
    kind = info.kind
    return (
        f'Resource: "{kind.group}/{kind.version}, Resource={kind.plural}", '
        f'GroupVersionKind: "{kind.group}/{kind.version}, Kind={kind.kind}"\n'
        f'Name: "{info.name}", Namespace: "{info.namespace}"'
    )


def with_last_applied(obj: Object) -> Object:
    """The object with its own text in the annotation, as kubectl writes it."""
    metadata = dict(obj.get("metadata") or {})
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != LAST_APPLIED}
    plain = {**obj, "metadata": {**metadata, "annotations": annotations}}
    return {
        **obj,
        "metadata": {**metadata, "annotations": {**annotations, LAST_APPLIED: go_json(plain) + "\n"}},
    }


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _is_client_side(entry: Object) -> bool:
    return entry["manager"] in ("kubectl", "kubectl-client-side-apply") and entry["operation"] == "Update"


def _owns_annotation(entry: Object) -> bool:
    metadata = (entry.get("fieldsV1") or {}).get("f:metadata") or {}
    return f"f:{LAST_APPLIED}" in (metadata.get("f:annotations") or {})


def _union(a: Object, b: Object) -> Object:
    return {key: _union(a.get(key) or {}, b.get(key) or {}) for key in {**a, **b}}


def _without_annotation(fields: Object) -> Object:
    annotations = (fields.get("f:metadata") or {}).get("f:annotations")
    if not annotations:
        return fields
    rest = {key: value for key, value in annotations.items() if key != f"f:{LAST_APPLIED}"}
    return {**fields, "f:metadata": {**fields["f:metadata"], "f:annotations": rest}}


@verb(
    "view-last-applied",
    *FILES,
    *SELECTOR,
    flag("--all"),
    text("-o", "--output", default="yaml", help="yaml or json."),
    help="Show what was applied last.",
)
async def view_last_applied(call: Call) -> None:
    finder = Finder(call)
    for info in await finder.run(everything=True):
        last = annotations_of(info.obj).get(LAST_APPLIED)
        if last is None:
            if len(call.words) == 1 and "/" not in call.words[0]:
                continue  # of all that there are, those that were applied
            raise Failure(f"no last-applied-configuration annotation found on resource: {info.name}")
        value = json.loads(last)
        if call.options.output not in ("yaml", "json"):
            raise call.usage(
                f"Unexpected -o output mode: {call.options.output}, the flag 'output' must be one of yaml|json"
            )
        click.echo(
            printing.to_yaml(value) if call.options.output == "yaml" else printing.to_json(value), nl=False
        )
    finder.errors = finder.errors[:1]  # kubectl stops there
    finder.end()


command.subcommand(view_last_applied)


@command.subcommand
@verb(
    "set-last-applied",
    *FILES,
    *WRITE,
    flag("--create-annotation", help="Also where there was none."),
    help="Remember a manifest as what was applied last.",
)
async def set_last_applied(call: Call) -> None:
    finder, change = Finder(call), Change(call, "kubectl")
    found = await finder.run([], load=False)
    finder.end()
    changes = []
    for info in found:
        text_ = go_json(info.obj) + "\n"
        info.obj = await call.client.call("GET", info.path)
        last = annotations_of(info.obj).get(LAST_APPLIED)
        if last is None and not call.options.create_annotation:
            raise Failure(
                f"no last-applied-configuration annotation found on resource: {info.name}, to create the annotation, run "
                "the command with --create-annotation"
            )
        if last == text_:
            click.echo(f"set-last-applied {info.name}: no changes required.")
        else:
            changes.append((info, {"metadata": {"annotations": {LAST_APPLIED: text_}}}))
    for info, patch in changes:
        change.say(info.shown, await change.patch(info, patch, "merge"), "configured")
