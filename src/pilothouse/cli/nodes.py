"""What `cordon`, `uncordon` and `drain` share: finding nodes, and marking them."""

from __future__ import annotations

from .change import Change
from .targets import Finder, Info
from .verb import DRY_RUN, SELECTOR, Call, Verb, verb


async def find_nodes(call: Call) -> list[Info]:
    """The nodes of the arguments or of --selector. Raises Failure."""
    if not call.words and not call.options.selector:
        raise call.usage(f"USAGE: {call.path.rpartition(' ')[2]} NODE [flags]")
    if call.words and call.options.selector:
        raise call.usage("cannot specify both a node name and a --selector option")
    finder = Finder(call)
    found = await finder.run([_with_type(word) for word in call.words] if call.words else ["nodes"])
    finder.end()
    return found


def _with_type(word: str) -> str:
    return word if "/" in word else f"node/{word}"


async def mark(change: Change, info: Info, unschedulable: bool) -> None:
    """(Un)cordons a node, and says so."""
    done = "cordoned" if unschedulable else "uncordoned"
    if bool(info.obj["spec"].get("unschedulable")) == unschedulable:
        done = f"already {done}"
    else:
        await change.patch(info, {"spec": {"unschedulable": unschedulable or None}})
    change.say(info.shown, info.obj, done)


def marking(name: str, unschedulable: bool, help: str) -> Verb:
    @verb(name, *SELECTOR, *DRY_RUN, help=help)
    async def command(call: Call) -> None:
        change = Change(call, f"kubectl-{name}")
        for info in await find_nodes(call):
            await mark(change, info, unschedulable)

    return command
