"""`pilothouse create`: from files, or one kind from flags (`create deployment web --image=nginx`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ..api.errors import ApiError
from ..api.object import Object
from ..client.http import with_query
from .apply import VALIDATE, with_last_applied
from .change import Change
from .errors import Failure, while_doing
from .printing import resource_name
from .targets import Finder, info_of
from .verb import FILES, SELECTOR, WRITE, Call, Flag, Verb, family, flag, text, verb

SAVE = (VALIDATE, flag("--save-config", help="Remember the manifest for a later apply."))
Builder = Callable[[Call, str], Any]
"""(call, NAME) -> the object, or an awaitable of it."""


@verb(
    "create",
    *FILES,
    *SELECTOR,
    *WRITE,
    *SAVE,
    text("--raw"),
    help="Create resources: `create -f FILE`, `create deployment NAME --image=IMAGE`.",
)
async def command(call: Call) -> None:
    options = call.options
    if not options.filename:
        if call.words[:1] == ["cluster"]:  # as with kind and k3d
            raise Failure("`pilothouse up [NAME]` makes a cluster")
        if call.words:
            raise call.usage(f"Unexpected args: [{' '.join(call.words)}]")
        raise Failure("must specify one of -f and -k")
    if call.words:
        raise call.usage(f"Unexpected args: [{' '.join(call.words)}]")
    if options.raw and len(options.filename) != 1:
        raise Failure("--raw can only use a single local file or stdin")
    finder, change = Finder(call), Change(call, "kubectl-create")
    found = await finder.run([], load=False)
    if not found and not finder.errors:
        raise Failure("no objects passed to create")
    for info in found:
        obj = with_last_applied(info.obj) if options.save_config else info.obj
        try:
            if change.dry_run != "client":
                obj = await call.client.call("POST", with_query(info.collection, change.writing), obj)
        except ApiError as error:
            finder.errors.append(while_doing("creating", info.source, error))
            continue
        change.say(resource_name(obj), obj, "created")
    finder.end()


async def make(
    call: Call, obj: Object, done: str = "created", failed: str = "", manager: str = "kubectl-create"
) -> Object:
    """Creates an object that flags describe, and says so. `failed`: what stands before the error's message."""
    change = Change(call, manager)
    if call.options.save_config:
        obj = with_last_applied(obj)
    kind = await call.connection.kind_of_object(obj["apiVersion"], obj["kind"])
    if change.dry_run != "client":
        info = await info_of(call.connection, obj, "")
        try:
            obj = await call.client.call("POST", with_query(info.collection, change.writing), info.obj)
        except ApiError as error:
            raise Failure(f"{failed}{error.message}") if failed else error
    elif kind.namespaced and call.connection.target.namespace:
        obj["metadata"]["namespace"] = call.namespace
    change.say(resource_name(obj), obj, done)
    return obj


def creates(
    name: str,
    *aliases: str,
    flags: tuple[Flag, ...] = (),
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
