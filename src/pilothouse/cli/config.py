"""`pilothouse config`: shows and changes the kubeconfig; contexts above all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..cluster import kubeconfig
from . import printing
from .errors import Failure, Failures
from .tabs import table
from .verb import Call, family, flag, text, verb

command = family("config", "Show and change the kubeconfig.")
Object = dict[str, Any]


def _file(call: Call) -> Path:
    return (
        Path(call.connection.target.kubeconfig)
        if call.connection.target.kubeconfig
        else kubeconfig.default_path()
    )


def _entry(config: Object, section: str, name: str) -> Object | None:
    return next((each for each in config.get(section) or () if each.get("name") == name), None)


@command.subcommand
@verb("current-context", help="Print the context in use.")
async def current_context(call: Call) -> None:
    name = call.connection.config.get("current-context")
    if not name:
        raise Failure("current-context is not set")
    click.echo(name)


@verb("use-context", help="Choose a context.")
async def use_context(call: Call) -> None:
    if len(call.words) != 1:
        raise Failure(f"Unexpected args: [{' '.join(call.words)}]")
    name = call.words[0]
    if _entry(call.connection.config, "contexts", name) is None:
        raise Failure(f'no context exists with the name: "{name}"')
    with kubeconfig.changing(_file(call)) as config:
        config["current-context"] = name
    click.echo(f'Switched to context "{name}".')


command.subcommand(use_context, "use")


@command.subcommand
@verb("get-contexts", text("-o", "--output", help="name."), flag("--no-headers"), help="List the contexts.")
async def get_contexts(call: Call) -> None:
    config = call.connection.config
    rows = [["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"]] if not call.options.no_headers else []
    missing: list[Exception] = []
    wanted = call.words or sorted(each["name"] for each in config.get("contexts") or ())
    for name in wanted:
        entry = _entry(config, "contexts", name)
        if entry is None:
            missing.append(Failure(f"context {name} not found"))
            continue
        context = entry.get("context") or {}
        if call.options.output == "name":
            click.echo(name)
        mark = "*" if name == config.get("current-context") else ""
        rows.append([mark, name, *(context.get(key) or "" for key in ("cluster", "user", "namespace"))])
    if call.options.output != "name":
        click.echo(table(rows), nl=False)
    if missing:
        raise Failures(missing)


def _listing(section: str) -> None:
    @command.subcommand
    @verb(f"get-{section}", help=f"List the {section}.")
    async def names(call: Call) -> None:
        found = sorted(each["name"] for each in call.connection.config.get(section) or ())
        click.echo("\n".join(["NAME", *found]))


def _deleting(one: str) -> None:
    @command.subcommand
    @verb(f"delete-{one}", help=f"Remove a {one} from the kubeconfig.")
    async def delete(call: Call) -> None:
        if len(call.words) != 1:
            raise call.usage(f"{one} to delete is required")
        name, file = call.words[0], _file(call)
        with kubeconfig.changing(file) as config:
            if _entry(config, f"{one}s", name) is None:
                raise Failure(f"cannot delete {one} {name}, not in {file}")
            config[f"{one}s"] = [each for each in config[f"{one}s"] if each["name"] != name]
            if one == "context" and config.get("current-context") == name:
                what = "this removed your active context"
                click.echo(
                    f'warning: {what}, use "kubectl config use-context" to select a different one', err=True
                )
        click.echo(f"deleted {one} {name} from {file}")


for each_ in ("clusters", "users"):
    _listing(each_)
for each_ in ("cluster", "context", "user"):
    _deleting(each_)


@command.subcommand
@verb("rename-context", help="Give a context another name.")
async def rename_context(call: Call) -> None:
    if len(call.words) != 2:
        raise Failure(f"Unexpected args: [{' '.join(call.words)}]")
    (old, new), file = call.words, _file(call)
    with kubeconfig.changing(file) as config:
        entry = _entry(config, "contexts", old)
        if entry is None:
            raise Failure(f'cannot rename the context "{old}", it\'s not in {file}')
        if _entry(config, "contexts", new):
            raise Failure(f'cannot rename the context "{old}", the context "{new}" already exists in {file}')
        entry["name"] = new
        if config.get("current-context") == old:
            config["current-context"] = new
    click.echo(f'Context "{old}" renamed to "{new}".')


def _setting(name: str, section: str, key: str, flags: tuple[str, ...]) -> None:
    """`set-cluster` and `set-credentials`: fields of an entry, which is made if it is not there."""

    @command.subcommand
    @verb(
        name,
        *(flag(f"--{each}") if each.startswith("insecure") else text(f"--{each}") for each in flags),
        help=f"Change or make a {key}.",
    )
    async def change(call: Call) -> None:
        options, target = call.options, call.one_name()
        if name == "set-credentials" and options.token and options.username:
            raise Failure(
                "you cannot specify more than one authentication method at the same time: --token, --username/--password"
            )
        with kubeconfig.changing(_file(call)) as config:
            entry = _entry(config, section, target)
            if entry is None:
                entry = {"name": target, key: {}}
                config[section] = [*(config.get(section) or []), entry]
            entry[key] = dict(entry.get(key) or {})
            for each in flags:
                if options.given(each.replace("-", "_")):
                    entry[key][each] = getattr(options, each.replace("-", "_"))
        click.echo(f'{key.capitalize()} "{target}" set.')


_setting(
    "set-cluster",
    "clusters",
    "cluster",
    ("server", "certificate-authority", "insecure-skip-tls-verify", "tls-server-name", "proxy-url"),
)
_setting(
    "set-credentials",
    "users",
    "user",
    ("token", "username", "password", "client-certificate", "client-key"),
)


@command.subcommand
@verb(
    "view",
    flag("--raw", help="With its secrets."),
    flag("--minify", help="Only the context in use."),
    flag("--flatten"),
    text("-o", "--output", default="yaml", help="yaml, json, jsonpath=…"),
    help="Print the kubeconfig, without its secrets.",
)
async def view(call: Call) -> None:
    config = call.connection.config
    shown: Object = {"apiVersion": "v1", "kind": "Config", "preferences": {}}
    shown |= {section: config.get(section) or None for section in ("clusters", "contexts", "users")}
    shown["current-context"] = config.get("current-context") or ""
    if call.options.minify:
        context = call.connection.context
        name = call.connection.target.context or shown["current-context"]
        for section, wanted in (
            ("contexts", name),
            ("clusters", context.get("cluster")),
            ("users", context.get("user")),
        ):
            shown[section] = [each for each in shown[section] or () if each["name"] == wanted]
    del shown["preferences"]
    if not (call.options.raw or call.options.flatten):
        for section, key in (("clusters", "cluster"), ("users", "user")):
            shown[section] = [_hidden(each, key) for each in shown[section] or ()] or None
    click.echo(printing.Printer(call.options.output).show(shown), nl=False)


def _hidden(entry: Object, key: str) -> Object:
    secret = {}
    for name in entry.get(key) or {}:
        if name.endswith("-data"):
            secret[name] = "DATA+OMITTED"
        elif name in ("token", "password"):
            secret[name] = "REDACTED"
    return {**entry, key: {**(entry.get(key) or {}), **secret}}


@command.subcommand
@verb(
    "set-context",
    flag("--current", help="The context in use."),
    text("--namespace", "-n", help="Its namespace."),
    text("--cluster", help="Its cluster, by the name in the kubeconfig."),
    text("--user", help="Its user."),
    help="Change or make a context.",
)
async def set_context(call: Call) -> None:
    options = call.options
    name = call.connection.config.get("current-context") if options.current else call.one_name()
    if not name:
        raise Failure("no current context is set")
    with kubeconfig.changing(_file(call)) as config:
        entry = _entry(config, "contexts", name)
        made = entry is None
        if entry is None:
            entry = {"name": name, "context": {}}
            config["contexts"] = [*(config.get("contexts") or []), entry]
        context = entry.setdefault("context", {})
        context |= {
            key: getattr(options, key) for key in ("namespace", "cluster", "user") if getattr(options, key)
        }
    click.echo(f'Context "{name}" {"created" if made else "modified"}.')
