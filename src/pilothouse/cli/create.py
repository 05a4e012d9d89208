"""`pilothouse create`: from files, or one kind from flags (`create deployment web --image=nginx`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import click

from ..api.errors import ApiError
from ..api.object import Object
from ..client.http import with_query
from . import printing
from .apply import VALIDATE, with_last_applied, write_query
from .errors import Failure, while_doing
from .targets import Finder, info_of
from .verb import DRY_RUN_NOTE, FILES, SELECTOR, WRITE, Call, Flag, Verb, dry_run_of, family, flag, text, verb

SAVE = (VALIDATE, lambda: flag("--save-config", help="Remember the manifest for a later apply."))
Builder = Callable[[Call, str], Any]
"""(call, NAME) -> the object, or an awaitable of it."""


@verb(
    "create",
    *FILES,
    *SELECTOR,
    *WRITE,
    *SAVE,
    lambda: text("--raw"),
    help="Create resources: `create -f FILE`, `create deployment NAME --image=IMAGE`.",
)
async def command(call: Call) -> None:
    options = call.options
    if not options.filename:
        if call.words:
            raise call.usage(f"Unexpected args: [{' '.join(call.words)}]")
        raise Failure("must specify one of -f and -k")
    printer, query, dry_run = (
        printing.printer(options),
        write_query(options, "kubectl-create"),
        dry_run_of(options),
    )
    finder = Finder(call)
    found = await finder.run([], load=False)
    if not found and not finder.errors:
        raise Failure("no objects passed to create")
    for info in found:
        obj = with_last_applied(info.obj) if options.save_config else info.obj
        try:
            if dry_run != "client":
                where = info.path.rpartition("/")[0] if info.name else info.path
                obj = await call.client.call("POST", with_query(where, query), obj)
        except ApiError as error:
            finder.errors.append(while_doing("creating", info.source, error))
            continue
        said = printing.resource_name(obj, obj["metadata"].get("name") or "")
        click.echo(printer.show(obj), nl=False) if printer else click.echo(
            f"{said} created{DRY_RUN_NOTE[dry_run]}"
        )
    finder.end()


async def make(
    call: Call, obj: Object, done: str = "created", failed: str = "", manager: str = "kubectl-create"
) -> Object:
    """Creates an object that flags describe, and says so. `failed`: what stands before the error's message."""
    options = call.options
    printer, dry_run = printing.printer(options), dry_run_of(options)
    query = write_query(options, manager)
    if options.save_config:
        obj = with_last_applied(obj)
    if dry_run == "client":
        kind = await call.connection.kind_of_object(obj["apiVersion"], obj["kind"])
        if kind.namespaced and call.connection.target.namespace:
            obj["metadata"]["namespace"] = call.namespace
    else:
        info = await info_of(call.connection, obj, "")
        try:
            obj = await call.client.call("POST", with_query(info.path.rpartition("/")[0], query), info.obj)
        except ApiError as error:
            if not failed:
                raise
            raise Failure(f"{failed}{error.message}")
    if printer:
        click.echo(printer.show(obj), nl=False)
    else:
        click.echo(f"{printing.resource_name(obj)} {done}{DRY_RUN_NOTE[dry_run]}")
    return obj


def creates(
    name: str,
    *aliases: str,
    flags: tuple[Callable[[], Flag], ...] = (),
    help: str,
    failed: str = "",
    under: Verb | None = None,
) -> Callable[[Builder], Builder]:
    """Registers `create NAME`: the decorated function builds the object from the flags."""

    def decorate(build: Builder) -> Builder:
        async def body(call: Call) -> None:
            obj = build(call, call.one_name())
            if isinstance(obj, Awaitable):
                obj = await obj
            await make(call, obj, failed=failed)

        (under or command).subcommand(Verb(name, body, (*flags, *WRITE, *SAVE), help), *aliases)
        return build

    return decorate


def group_of(name: str, *aliases: str, help: str) -> Verb:
    return command.subcommand(family(name, help), *aliases)


from . import create_config, create_objects, create_rbac  # noqa: E402, F401  they register themselves above
