"""`pilothouse token`"""

from __future__ import annotations

import click

from ..cluster import manage


@click.command("token")
@click.argument("name", default="default")
def command(name: str) -> None:
    """Print a bearer token of the admin of the cluster NAME."""
    click.echo((manage.find(name).pki / "admin.token").read_text().strip())
