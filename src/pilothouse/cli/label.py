"""`pilothouse label`, and what `annotate` shares with it."""

from __future__ import annotations

from typing import Any

import click

from ..api.object import Object, name_of, namespace_of
from . import printing
from .connection import Connection, Target, connection_options, run
from .targets import Ask, parse, path


def metadata_command(name: str, field: str, done: str) -> click.Command:
    """`label` and `annotate` differ in the field that they change, and in a word."""

    @click.command(name)
    @click.argument("words", nargs=-1, required=True)
    @click.option("--overwrite", is_flag=True)
    @click.option("--all", "everything", is_flag=True)
    @click.option("-l", "--selector", default="")
    @click.option("--list", "listing", is_flag=True)
    @click.option("-A", "--all-namespaces", is_flag=True)
    @connection_options
    def command(words: tuple[str, ...], target: Target, **options: Any) -> None:
        resources = tuple(word for word in words if not _is_change(word))
        changes: dict[str, str | None] = {}
        for word in words[len(resources) :]:
            key, equals, value = word.partition("=")
            changes[key if equals else key.removesuffix("-")] = value if equals else None
        if not changes and not options["listing"]:
            raise click.ClickException(f"at least one {field[:-1]} update is required")

        async def main(connection: Connection) -> int:
            return await _change(connection, resources, changes, field, done, options)

        if code := run(main, target):
            raise click.exceptions.Exit(code)

    command.help = f"Update the {field} of resources: `{name} pod web key=value other-`."
    return command


def _is_change(word: str) -> bool:
    return "=" in word or word.endswith("-")


async def _change(
    connection: Connection,
    words: tuple[str, ...],
    changes: dict[str, str | None],
    field: str,
    done: str,
    options: dict[str, Any],
) -> int:
    failed = 0
    for ask, obj in await _objects(connection, words, options):
        name = printing.resource_name(ask.kind, name_of(obj))
        have: dict[str, str] = obj["metadata"].get(field) or {}
        if options["listing"]:
            for key, value in sorted(have.items()):
                click.echo(f"{key}={value}")
            continue
        taken = [
            key for key, value in changes.items() if value is not None and key in have and have[key] != value
        ]
        if taken and not options["overwrite"]:
            for key in taken:
                message = f"'{key}' already has a value ({have[key]}), and --overwrite is false"
                click.echo(f"error: {message}", err=True)
            failed = 1
            continue
        for key, value in changes.items():
            if value is None and key not in have:
                click.echo(f'{field[:-1]} "{key}" not found.', err=True)
        update = {key: value for key, value in changes.items() if have.get(key) != value}
        removed = bool(update) and all(value is None for value in update.values())
        if update:
            where = path(ask.kind, namespace_of(obj), name_of(obj))
            patch = {"metadata": {field: update}}
            await connection.client.call("PATCH", where, patch, content_type="application/merge-patch+json")
        if field == "labels":
            verb = "unlabeled" if removed else done if update else f"not {done}"
        else:
            verb = done
        click.echo(f"{name} {verb}")
    return failed


async def _objects(
    connection: Connection, words: tuple[str, ...], options: dict[str, Any]
) -> list[tuple[Ask, Object]]:
    found: list[tuple[Ask, Object]] = []
    for ask in await parse(connection, words):
        if ask.name:
            found.append(
                (ask, await connection.client.call("GET", path(ask.kind, connection.namespace, ask.name)))
            )
        elif options["everything"] or options["selector"]:
            from ..client.http import with_query

            where = path(ask.kind, "" if options["all_namespaces"] else connection.namespace)
            listed = await connection.client.call(
                "GET", with_query(where, {"labelSelector": options["selector"]})
            )
            found += [(ask, item) for item in listed.get("items") or ()]
        else:
            raise click.ClickException("resource(s) were provided, but no name was specified")
    return found


command = metadata_command("label", "labels", "labeled")
