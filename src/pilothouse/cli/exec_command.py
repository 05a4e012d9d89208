"""`pilothouse exec`"""

from __future__ import annotations

import contextlib
import sys

import click

from ..api.object import Object, get, name_of, namespace_of
from .errors import Failure
from .pods import container_of, running_pod
from .streams import ExitCode, raw_terminal, session, standard_input, to_stderr, to_stdout
from .targets import path
from .verb import FILES, Call, flag, span, text, verb


@verb(
    "exec",
    *FILES[:1],
    text("-c", "--container", help="The container."),
    flag("-i", "--stdin", help="Pass standard input on."),
    flag("-t", "--tty", help="Standard input is a terminal."),
    flag("-q", "--quiet", help="Only what the command prints."),
    span("--pod-running-timeout", default="1m0s"),
    help="Execute a command in a container: `exec POD -- date`, `exec -it deployment/web -- sh`.",
)
async def command(call: Call) -> int | None:
    options = call.options
    if call.after is None and len(call.words) > 1:
        raise call.usage("exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead")
    if not call.words:
        raise Failure("pod, type/name or --filename must be specified")
    if not call.after:
        raise Failure("you must specify at least one command for the container")
    pod = await running_pod(call, call.words[0], "cannot exec into", options.pod_running_timeout)
    phase = get(pod, "status.phase")
    if phase in ("Succeeded", "Failed"):
        raise Failure(f"cannot exec into a container in a completed pod; current phase is {phase}")
    container = container_of(pod, options.container, quiet=options.quiet)
    tty = options.tty and terminal(options.stdin, options.quiet)
    return await run_session(call, pod, "exec", container["name"], call.after, options.stdin, tty)


def terminal(stdin: bool, quiet: bool) -> bool:
    """Whether -t can be had."""
    if not stdin:
        return False
    if sys.stdin.isatty():
        return True
    if not quiet:
        click.echo("Unable to use a TTY - input is not a terminal or the right kind of file", err=True)
    return False


async def run_session(
    call: Call, pod: Object, kind: str, container: str, words: list[str] | None, stdin: bool, tty: bool
) -> int | None:
    """exec or attach, with this process's standard streams; the code that the command ended with."""
    where = path(await call.connection.kind("pods"), namespace_of(pod), name_of(pod), kind)
    with raw_terminal() if tty else contextlib.nullcontext():
        try:
            await session(
                call.client.transport,
                where,
                container=container,
                command=words,
                stdin=standard_input if stdin else None,
                stdout=to_stdout,
                stderr=None if tty else to_stderr,
                tty=tty,
            )
        except ExitCode as ended:
            click.echo(str(ended) + ("\r" if tty else ""), err=True)
            return ended.code
    return None
