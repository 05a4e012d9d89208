"""`pilothouse set`: image, env, resources, serviceaccount, selector of objects that are there."""

from __future__ import annotations

import base64
import fnmatch
import re
import sys
from collections.abc import Callable
from typing import Any

import click

from ..api.errors import ApiError
from ..api.object import Object, get
from .change import Change
from .create_objects import selector_object
from .errors import Failure
from .targets import NOTHING_GIVEN, Finder, Info, path
from .verb import FILES, SELECTOR, WRITE, Call, family, flag, many, text, verb

command = family("set", "Set images, environment, resources of workloads.")
ALL = (flag("--all", help="All objects of the type."), flag("--local"))
CONTAINERS = (text("-c", "--containers", default="*", help="Names of containers, with * for any."),)
TEMPLATES = {  # where a kind has its pod spec
    "Pod": ("spec",),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
    **dict.fromkeys(
        ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "ReplicationController"),
        ("spec", "template", "spec"),
    ),
}
MANAGER = "kubectl-set"
LOCAL = """you must specify resources by --filename when --local is set.
Example resource specifications include:
   '-f rsrc.yaml'
   '--filename=rsrc.json'"""
ENV_NAME = (
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not "
    "start with a digit (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used for validation is "
    "'[-._a-zA-Z][-._a-zA-Z0-9]*')"
)
Maker = Callable[[Info, Object], Object]
"""(object, its pod spec) -> the patch of the pod spec; {} when nothing changes."""


async def _update(
    call: Call, words: list[str], make: Maker, done: str, failed: str, problems: list[str] | None = None
) -> None:
    """Patches the pod spec of every object that is meant. `problems`: what `make` notes while it goes on."""
    options = call.options
    if options.local and not options.filename:
        raise Failure(LOCAL)
    finder, change = Finder(call), Change(call, MANAGER)
    for info in await finder.run(words, load=not options.local):
        with finder.trying():
            where = TEMPLATES.get(info.kind.kind)
            if where is None:
                why = f"the object is not a pod or does not have a pod template: *{info.kind.version}.{info.kind.kind}"
                raise Failure(f"error: {info.kind.plural}/{info.name} {why}")
            spec = get(info.obj, ".".join(where)) or {}
            patch: Object = make(info, spec)
            for field in [field for field in ("containers", "initContainers") if field in patch]:
                patch[f"$setElementOrder/{field}"] = [{"name": each["name"]} for each in spec[field]]
            if patch:
                for key in reversed(where):
                    patch = {key: patch}
                try:
                    after = change.locally(info, patch) if options.local else await change.patch(info, patch)
                except ApiError as error:
                    raise Failure(f"failed to patch {failed} {error.message}")
                change.say(info.shown, after, done)
    finder.errors += [Failure(f"error: {problem}") for problem in problems or ()]
    finder.end()


def _split(words: list[str], is_change: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    first = next((index for index, word in enumerate(words) if is_change(word)), len(words))
    return words[:first], words[first:]


# -- image -----------------------------------------------------------------------------------------------------


@command.subcommand
@verb(
    "image",
    *FILES,
    *SELECTOR,
    *WRITE,
    *ALL,
    help="Set images: `set image deployment/web nginx=nginx:1.27`, `*=` for all.",
)
async def image(call: Call) -> None:
    resources, pairs = _split(call.words, lambda word: "=" in word)
    if not resources and not call.options.filename:
        raise Failure(NOTHING_GIVEN)
    if not pairs:
        raise Failure("at least one image update is required")
    images = dict(pair.split("=", 1) for pair in pairs)
    problems: list[str] = []

    def change(info: Info, spec: Object) -> Object:
        patch: Object = {}
        for name, wanted in images.items():
            found = False
            for field in ("initContainers", "containers"):
                for container in spec.get(field) or ():
                    if container["name"] == name or name == "*":
                        found = True
                        if container.get("image") != wanted:
                            patch.setdefault(field, []).append({"name": container["name"], "image": wanted})
            if not found and name != "*":
                problems.append(f'unable to find container named "{name}"')
        return patch

    await _update(call, resources, change, "image updated", "image update to pod template:", problems)


# -- env -------------------------------------------------------------------------------------------------------


@command.subcommand
@verb(
    "env",
    *FILES,
    *SELECTOR,
    *WRITE,
    *ALL,
    *CONTAINERS,
    many("-e", "--env", help="KEY=VALUE"),
    text("--from", help="secret/NAME or configmap/NAME to take variables from."),
    text("--prefix", help="Before the names of those."),
    many("--keys", split=True, help="Only these keys."),
    flag("--list", help="Show the environment."),
    flag("--resolve", help="With the values of references."),
    flag("--overwrite", default=True, help="Also variables that are there."),
    help="Set the environment: `set env deployment/web A=1 B-`.",
)
async def env(call: Call) -> None:
    options = call.options
    resources, words = _split(call.words, lambda word: "=" in word[1:] or word.endswith("-"))
    if not resources and not options.filename:
        raise Failure("one or more resources must be specified as <resource> <name> or <resource>/<name>")
    stray = next((word for word in words if "=" not in word and not word.endswith("-")), None)
    if stray is not None:
        raise Failure(f"all resources must be specified before environment changes: {' '.join(call.words)}")
    added, removed = _variables([*options.env, *words])
    added += await _from(call)
    lines: list[tuple[str, str, Object]] = []

    def change(info: Info, spec: Object) -> Object:
        patch: Object = {}
        chosen = [
            (field, container)
            for field in ("containers", "initContainers")
            for container in spec.get(field) or ()
            if fnmatch.fnmatchcase(container["name"], options.containers)
        ]
        if not chosen:
            name = f"{info.kind.kind}/{info.name}"
            click.echo(
                f'Warning: {name} does not have any containers matching "{options.containers}"', err=True
            )
        for field, container in chosen:
            before = container.get("env") or []
            after, changes = _changed(
                f"{info.kind.plural}/{info.name}", before, added, removed, options.overwrite
            )
            lines.append(
                (info.namespace, f"# {info.kind.kind} {info.name}, container {container['name']}", {})
            )
            lines.extend((info.namespace, _shown(each), each) for each in after)
            if changes:
                order = [{"name": each["name"]} for each in after]
                change_ = {"name": container["name"], "env": changes, "$setElementOrder/env": order}
                patch.setdefault(field, []).append(change_)
        return {} if options.list else patch

    await _update(call, resources, change, "env updated", "env update to pod template:")
    if options.list:
        for namespace, line, each in lines:
            click.echo((options.resolve and await _resolved(call, namespace, each)) or line)


def _variables(words: list[str]) -> tuple[list[Object], list[str]]:
    added: list[Object] = []
    removed: list[str] = []
    for word in words:
        if word == "-":
            for line in sys.stdin.read().splitlines():
                key, equals, value = line.partition("#")[0].partition("=")
                if equals:
                    added.append({"name": key, "value": value})
            continue
        key, equals, value = word.partition("=")
        if equals:
            if not re.fullmatch(r"[^=\s0-9][^=\s]*", key):
                raise Failure(f'"{key}" is not a valid key name: {ENV_NAME}')
            added.append({"name": key, "value": value})
        else:
            removed.append(word.removesuffix("-"))
    if {each["name"] for each in added} & set(removed):
        raise Failure("can not both modify and remove the same environment variable in the same command")
    return added, removed


async def _from(call: Call) -> list[Object]:
    """Variables that refer to every (or each named) key of a Secret or ConfigMap."""
    source, keys = getattr(call.options, "from"), call.options.keys
    if not source:
        return []
    finder = Finder(call, selector="", filename=())
    found = await finder.run([source])
    finder.end()
    made = []
    for info in found:
        fields = {"Secret": "secretKeyRef", "ConfigMap": "configMapKeyRef"}
        if info.kind.kind not in fields:
            raise Failure("unsupported resource specified in --from")
        for key in sorted(info.obj.get("data") or {}):
            if keys and key not in keys:
                continue
            name = re.sub(r"[^A-Z0-9_]", "_", key.upper())
            if name != key:
                click.echo(f"Warning: key {key} transferred to {name}", err=True)
            reference = {fields[info.kind.kind]: {"name": info.name, "key": key}}
            made.append({"name": call.options.prefix + name, "valueFrom": reference})
    return made


def _changed(
    named: str, before: list[Object], added: list[Object], removed: list[str], overwrite: bool
) -> tuple[list[Object], list[Object]]:
    """(the environment afterwards, the strategic patch that makes it)."""
    have = {each["name"]: each for each in before}
    if not overwrite:
        for each in added:
            if each["name"] in have:
                value = have[each["name"]].get("value", "")
                raise Failure(
                    f"error: {named} '{each['name']}' already has a value ({value}), and --overwrite is false"
                )
    after = {name: each for name, each in have.items() if name not in removed}
    changes: list[Object] = []
    for each in added:
        old = after.get(each["name"])
        after[each["name"]] = each
        if old != each:
            gone = {key: None for key in old or {} if key not in each}
            changes.append({**each, **gone})
    changes += [{"$patch": "delete", "name": name} for name in removed if name in have]
    return list(after.values()), changes


async def _resolved(call: Call, namespace: str, each: Object) -> str:
    """`NAME=value` of a variable that refers to a key; "" for others. Raises ApiError."""
    for field, what in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
        if reference := (each.get("valueFrom") or {}).get(field):
            where = path(await call.connection.kind(what), namespace, reference["name"])
            value = ((await call.client.call("GET", where)).get("data") or {}).get(reference["key"], "")
            shown = base64.b64decode(value).decode(errors="replace") if what == "secrets" else value
            return f"{each['name']}={shown}"
    return ""


def _shown(each: Object) -> str:
    source = each.get("valueFrom")
    if not source:
        return f"{each['name']}={each.get('value', '')}"
    for field, what in (("configMapKeyRef", "configmap"), ("secretKeyRef", "secret")):
        if reference := source.get(field):
            return f"# {each['name']} from {what} {reference['name']}, key {reference['key']}"
    if field := source.get("fieldRef"):
        return f"# {each['name']} from field path {field['fieldPath']}"
    resource = source.get("resourceFieldRef") or {}
    container = f"{resource['containerName']}/" if resource.get("containerName") else ""
    return f"# {each['name']} from resource field {container}{resource.get('resource')}"


# -- resources, serviceaccount, selector -----------------------------------------------------------------------


@command.subcommand
@verb(
    "resources",
    *FILES,
    *SELECTOR,
    *WRITE,
    *ALL,
    *CONTAINERS,
    text("--limits", help="cpu=200m,memory=64Mi"),
    text("--requests", help="cpu=100m"),
    help="Set requests and limits.",
)
async def resources(call: Call) -> None:
    options = call.options
    if not call.words and not options.filename:
        raise Failure(NOTHING_GIVEN)
    problems: list[str] = []
    if not options.limits and not options.requests:
        raise Failure("you must specify an update to requests or limits (in the form of --requests/--limits)")
    wanted = {
        key: _quantities(value)
        for key, value in (("limits", options.limits), ("requests", options.requests))
        if value
    }

    def change(info: Info, spec: Object) -> Object:
        patch: Object = {}
        found = False
        for field in ("containers", "initContainers"):
            for container in spec.get(field) or ():
                if not fnmatch.fnmatchcase(container["name"], options.containers):
                    continue
                found = True
                have = container.get("resources") or {}
                if any(
                    (have.get(side) or {}).get(k) != v
                    for side, each in wanted.items()
                    for k, v in each.items()
                ):
                    patch.setdefault(field, []).append({"name": container["name"], "resources": wanted})
        if not found:
            problems.append(f"unable to find container named {options.containers}")
        return patch

    failed = "resources update to pod template"
    await _update(call, call.words, change, "resource requirements updated", failed, problems)


def _quantities(text_: str) -> dict[str, Any]:
    from ..api.quantity import QuantityError, canonical

    found = {}
    for word in text_.split(","):
        key, equals, value = word.partition("=")
        if not equals or "=" in value:
            raise Failure(f"Invalid argument syntax {word}, expected <resource>=<value>")
        try:
            found[key] = canonical(value)
        except QuantityError as error:
            raise Failure(str(error))
    return found


@verb(
    "serviceaccount",
    *FILES,
    *WRITE,
    *ALL,
    help="Set the service account: `set serviceaccount deployment/web reader`.",
)
async def serviceaccount(call: Call) -> None:
    if not call.words:
        raise Failure("serviceaccount is required")
    *resources_, name = call.words
    if not resources_ and not call.options.filename:
        raise Failure("resource(s) to update must be specified")

    def change(info: Info, spec: Object) -> Object:
        return {"serviceAccountName": name}

    await _update(call, resources_, change, "serviceaccount updated", "ServiceAccountName")


command.subcommand(serviceaccount, "sa")


@command.subcommand
@verb(
    "selector",
    *FILES,
    *WRITE,
    *ALL,
    text("--resource-version"),
    help="Set the labels that a service selects: `set selector service/web app=web`.",
)
async def selector(call: Call) -> None:
    options = call.options
    if not call.words:
        raise Failure("one selector is required")
    *words, expression = call.words
    parsed = selector_object(expression)
    if odd := parsed.get("matchExpressions"):
        shown = " ".join(
            f"{{{each['key']} {each['operator']} [{' '.join(each.get('values') or ())}]}}" for each in odd
        )
        raise Failure(f"match expression [{shown}] not supported on this object")
    wanted = parsed.get("matchLabels") or {}
    finder, change = Finder(call), Change(call, MANAGER)
    for info in await finder.run(words):
        if info.kind.kind != "Service":
            raise Failure("setting a selector is only supported for Services")
        old = get(info.obj, "spec.selector") or {}
        patch: Object = {"spec": {"selector": {**dict.fromkeys(set(old) - set(wanted)), **wanted}}}
        if options.resource_version:
            patch["metadata"] = {"resourceVersion": options.resource_version}
        change.say(info.shown, await change.patch(info, patch), "selector updated")
    finder.end()


@command.subcommand
@verb(
    "subject",
    *FILES,
    *SELECTOR,
    *WRITE,
    *ALL,
    many("--user", split=True, help="Users to add."),
    many("--group", split=True, help="Groups to add."),
    many("--serviceaccount", split=True, help="NAMESPACE:NAME of service accounts to add."),
    help="Add subjects to role bindings: `set subject rolebinding NAME --user=ann`.",
)
async def subject(call: Call) -> None:
    options = call.options
    finder, change = Finder(call), Change(call, MANAGER)
    found = await finder.run()
    finder.end()
    if not options.user and not options.group and not options.serviceaccount:
        raise Failure("you must specify at least one value of user, group or serviceaccount")
    wanted = [
        {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
        for kind, names in (("User", options.user), ("Group", options.group))
        for name in sorted(set(names))
    ]
    for word in sorted(set(options.serviceaccount)):
        namespace, colon, name = word.partition(":")
        if not name or ":" in name:
            raise Failure("serviceaccount must be <namespace>:<name>")
        wanted.append({"kind": "ServiceAccount", "name": name, "namespace": namespace or call.namespace})
    for info in found:
        with finder.trying():
            if info.kind.kind not in ("RoleBinding", "ClusterRoleBinding"):
                why = "setting subjects is only supported for RoleBinding/ClusterRoleBinding"
                raise Failure(f"error: {info.kind.plural}/{info.name} {why}")
            have = info.obj.get("subjects") or []
            if added := [each for each in wanted if each not in have]:
                after = await change.patch(info, {"subjects": [*have, *added]})
                change.say(info.shown, after, "subjects updated")
    finder.end()
