"""What `cordon`, `uncordon` and `drain` share: finding nodes, and marking them."""

from __future__ import annotations

import click

from ..client.http import PATCH_TYPES, with_query
from .targets import Finder, Info
from .verb import DRY_RUN, DRY_RUN_NOTE, SELECTOR, Call, Verb, dry_run_of, verb

PATCH = PATCH_TYPES["strategic"]


async def find_nodes(call: Call) -> list[Info]:
    """The nodes of the arguments or of --selector. Raises Failure."""
    if not call.words and not call.options.selector:
        raise call.usage(f"USAGE: {call.path.rpartition(' ')[2]} NODE [flags]")
    finder = Finder(call)
    found = await finder.run([_with_type(word) for word in call.words] if call.words else ["nodes"])
    finder.end()
    return found


def _with_type(word: str) -> str:
    return word if "/" in word else f"node/{word}"


async def mark(call: Call, info: Info, unschedulable: bool, dry_run: str) -> None:
    """(Un)cordons a node, and says so."""
    done = "cordoned" if unschedulable else "uncordoned"
    note = DRY_RUN_NOTE[dry_run]
    if bool(info.obj["spec"].get("unschedulable")) == unschedulable:
        click.echo(f"node/{info.name} already {done}{note}")
        return
    if dry_run != "client":
        where = with_query(info.path, {"dryRun": "All" if dry_run == "server" else ""})
        patch = {"spec": {"unschedulable": unschedulable or None}}
        await call.client.call("PATCH", where, patch, content_type=PATCH)
    click.echo(f"node/{info.name} {done}{note}")


def marking(name: str, unschedulable: bool, help: str) -> Verb:
    @verb(name, *SELECTOR, *DRY_RUN, help=help)
    async def command(call: Call) -> None:
        dry_run = dry_run_of(call.options)
        for info in await find_nodes(call):
            await mark(call, info, unschedulable, dry_run)

    return command
