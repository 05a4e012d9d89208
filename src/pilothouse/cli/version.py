"""`pilothouse version`"""

from __future__ import annotations

import click

from .. import KUBERNETES_VERSION, __version__
from . import printing
from .errors import Failure
from .verb import Call, flag, text, verb


@verb(
    "version",
    flag("--client", help="Only this program's."),
    text("-o", "--output", help="yaml or json."),
    help="Print the client's and the server's version.",
)
async def command(call: Call) -> None:
    options = call.options
    if options.output not in ("", "yaml", "json"):
        raise Failure("--output must be 'yaml' or 'json'")
    if call.words:
        raise Failure(f"extra arguments: [{' '.join(call.words)}]")
    major, minor, _ = KUBERNETES_VERSION.split(".")
    git = f"v{KUBERNETES_VERSION}+pilothouse-{__version__}"
    versions = {"clientVersion": {"major": major, "minor": minor, "gitVersion": git}}
    if not options.output:
        click.echo(f"Client Version: {git}")
    if not options.client:
        versions["serverVersion"] = await call.client.call("GET", "/version")
    if options.output:
        click.echo(
            printing.to_yaml(versions) if options.output == "yaml" else printing.to_json(versions), nl=False
        )
        return
    if "serverVersion" in versions:
        click.echo(f"Server Version: {versions['serverVersion']['gitVersion']}")
