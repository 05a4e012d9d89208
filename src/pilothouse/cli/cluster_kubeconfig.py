"""`pilothouse kubeconfig`"""

from __future__ import annotations

import click

from ..cluster import kubeconfig, manage
from ..cluster.config import ClusterConfig


@click.command("kubeconfig")
@click.argument("name", default="default")
def command(name: str) -> None:
    """Print a kubeconfig for the cluster NAME."""
    paths = manage.find(name)
    config = ClusterConfig.load(paths.config)
    click.echo(kubeconfig.dump(manage.kubeconfig_of(paths, config)), nl=False)
