"""`pilothouse stop`"""

from __future__ import annotations

import click

from ..base.clock import RealClock
from ..cluster import manage


@click.command("stop")
@click.argument("name", default="default")
def command(name: str) -> None:
    """Stop the cluster NAME: its containers end, its state stays; `up NAME` brings it back."""
    manage.stop(manage.find(name), RealClock(), lambda text: click.echo(text, err=True))
    click.echo(f"Cluster {name!r} is stopped; `pilothouse up {name}` brings it back")
