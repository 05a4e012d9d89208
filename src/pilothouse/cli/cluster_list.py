"""`pilothouse list`"""

from __future__ import annotations

import click

from ..cluster import manage
from ..cluster.config import ClusterConfig, ConfigError


@click.command("list")
def command() -> None:
    """List the clusters of this user."""
    rows = [("NAME", "STATE", "NODES", "ENGINE", "SERVER", "DATA")]
    for paths in manage.clusters():
        try:
            config = ClusterConfig.load(paths.config)
        except ConfigError:
            rows.append((paths.name, "unknown", "", "", "", str(paths.data)))
            continue
        state = "running" if manage.daemon_pid(paths) else "stopped"
        rows.append((paths.name, state, str(config.nodes), config.engine, config.server, str(paths.data)))
    if len(rows) == 1:
        click.echo("no clusters; `pilothouse up` makes one", err=True)
        return
    manage.print_table(rows, click.echo)
