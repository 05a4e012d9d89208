"""`pilothouse attach`"""

from __future__ import annotations

import click

from ..api.object import Object, get
from .errors import Failure
from .exec_command import run_session, terminal
from .pods import container_of, object_of, pods_of
from .verb import Call, flag, span, text, verb

RECORDED = (
    "All commands and output from this session will be recorded in container logs, including credentials and sensitive "
    "information passed through the command prompt.\nIf you don't see a command prompt, try pressing enter."
)


@verb(
    "attach",
    text("-c", "--container", help="The container."),
    flag("-i", "--stdin", help="Pass standard input on."),
    flag("-t", "--tty", help="Standard input is a terminal."),
    flag("-q", "--quiet", help="Only what the container prints."),
    text("--detach-keys"),
    span("--pod-running-timeout", default="1m0s"),
    help="Attach to a process that runs in a container: `attach POD -it`.",
)
async def command(call: Call) -> int | None:
    words, options = call.words, call.options
    if not words:
        raise Failure("at least 1 argument is required for attach")
    if len(words) > 2:
        listed = " ".join(words)
        raise Failure(
            f"expected POD, TYPE/NAME, or TYPE NAME, (at most 2 arguments) saw {len(words)}: [{listed}]"
        )
    obj = await object_of(call, words[0] if len(words) == 1 else "/".join(words))
    pod = (await pods_of(call, obj, "cannot attach to", options.pod_running_timeout))[0]
    phase = get(pod, "status.phase")
    if phase in ("Succeeded", "Failed"):
        raise Failure(f"cannot attach a container in a completed pod; current phase is {phase}")
    try:
        container = container_of(pod, options.container, quiet=options.quiet)
    except Failure as error:
        raise Failure(f"cannot attach to the container: {error.message}")
    return await attach_to(call, pod, container, options.stdin, options.tty, options.quiet)


async def attach_to(
    call: Call, pod: Object, container: Object, stdin: bool, tty: bool, quiet: bool
) -> int | None:
    if tty and not container.get("tty"):
        tty = False
        if not quiet:
            name = container["name"]
            click.echo(f"error: Unable to use a TTY - container {name} did not allocate one", err=True)
    elif container.get("tty"):
        tty = True
    tty = tty and terminal(stdin, quiet)
    if not quiet:
        click.echo(RECORDED, err=True)
    return await run_session(call, pod, "attach", container["name"], None, stdin, tty)
