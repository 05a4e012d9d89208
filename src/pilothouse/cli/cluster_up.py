"""`pilothouse up`"""

from __future__ import annotations

import click

from ..base.clock import RealClock
from ..cluster import manage
from ..cluster.config import COMPONENTS, ENGINES, STORES, ClusterConfig


@click.command("up")
@click.argument("name", default="default")
@click.option("--nodes", type=int, default=1, show_default=True, help="Workers; 0 is a bare control plane.")
@click.option(
    "--engine", type=click.Choice(ENGINES), default="auto", show_default=True, help="What runs containers."
)
@click.option(
    "--store", type=click.Choice(STORES), default="sqlite", show_default=True, help="What keeps the data."
)
@click.option("--data-dir", default="", metavar="DIR", help="Where the cluster's files live.")
@click.option("--port", type=int, default=0, help="Of the API server (default: one that is free).")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="The address that the API server listens on."
)
@click.option(
    "--kubeconfig", default="", metavar="FILE", help="Where the context goes (default: where kubectl looks)."
)
@click.option(
    "--disable", default="", metavar="LIST", help=f"Components to leave out: {', '.join(COMPONENTS)}."
)
@click.option(
    "--insecure-registry",
    "insecure_registries",
    multiple=True,
    metavar="HOST:PORT",
    help="A registry without TLS (https://HOST:PORT: with a certificate that nobody vouches for); may be repeated.",
)
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors.")
@click.pass_context
def command(ctx: click.Context, /, name: str, disable: str, quiet: bool, **options: object) -> None:
    """Start the cluster NAME (default: "default"), new or stopped; return when it is ready."""
    clock = RealClock()
    config = ClusterConfig(name=name, disable=tuple(filter(None, disable.split(","))), **options)  # type: ignore[arg-type]
    given = {
        option
        for option in (*options, "disable")
        if ctx.get_parameter_source(option) is click.core.ParameterSource.COMMANDLINE
    }
    started = clock.monotonic()

    def progress(text: str) -> None:
        if not quiet:
            click.echo(f"{clock.monotonic() - started:6.1f} s  {text}", err=True)

    config = manage.up(config, given, clock, progress)
    if not quiet:
        click.echo(
            f"Cluster {name!r} is ready after {clock.monotonic() - started:.1f} s, as context pilothouse-{name}: "
            "try `kubectl get nodes`"
        )
