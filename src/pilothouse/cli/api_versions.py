"""`pilothouse api-versions`"""

from __future__ import annotations

import click

from .verb import Call, verb


@verb("api-versions", help="Print the API versions that the server knows.")
async def command(call: Call) -> None:
    if call.words:
        raise call.usage(f"unexpected arguments: [{' '.join(call.words)}]")
    core = (await call.client.call("GET", "/api")).get("versions") or []
    groups = (await call.client.call("GET", "/apis")).get("groups") or []
    for version in sorted([*core, *(each["groupVersion"] for group in groups for each in group["versions"])]):
        click.echo(version)
