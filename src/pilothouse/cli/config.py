"""`pilothouse config`: shows and changes the kubeconfig; contexts above all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..cluster import kubeconfig
from . import printing
from .errors import Failure
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


@command.subcommand
@verb("use-context", help="Choose a context.")
async def use_context(call: Call) -> None:
    name = call.one_name()
    if _entry(call.connection.config, "contexts", name) is None:
        raise Failure(f'no context exists with the name: "{name}"')
    with kubeconfig.changing(_file(call)) as config:
        config["current-context"] = name
    click.echo(f'Switched to context "{name}".')


@command.subcommand
@verb("get-contexts", text("-o", "--output", help="name."), flag("--no-headers"), help="List the contexts.")
async def get_contexts(call: Call) -> None:
    config = call.connection.config
    rows = [["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"]] if not call.options.no_headers else []
    wanted = call.words or sorted(each["name"] for each in config.get("contexts") or ())
    for name in wanted:
        entry = _entry(config, "contexts", name)
        if entry is None:
            raise Failure(f"context {name} not found")
        context = entry.get("context") or {}
        if call.options.output == "name":
            click.echo(name)
        mark = "*" if name == config.get("current-context") else ""
        rows.append([mark, name, *(context.get(key) or "" for key in ("cluster", "user", "namespace"))])
    if call.options.output != "name":
        click.echo(table(rows), nl=False)


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
    shown |= {section: config.get(section) or [] for section in ("clusters", "contexts", "users")}
    shown["current-context"] = config.get("current-context") or ""
    if call.options.minify:
        context = call.connection.context
        name = call.connection.target.context or shown["current-context"]
        for section, wanted in (
            ("contexts", name),
            ("clusters", context.get("cluster")),
            ("users", context.get("user")),
        ):
            shown[section] = [each for each in shown[section] if each["name"] == wanted]
    del shown["preferences"]
    if not (call.options.raw or call.options.flatten):
        shown["clusters"] = [_hidden(each, "cluster") for each in shown["clusters"]]
        shown["users"] = [_hidden(each, "user") for each in shown["users"]]
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
