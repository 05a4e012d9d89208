"""`pilothouse image load` and `pilothouse image ls`"""

from __future__ import annotations

from pathlib import Path

import click

from ..base.clock import RealClock
from ..cluster import manage

CLUSTER = click.option("--cluster", default="", metavar="NAME", help="Of which cluster.")


@click.group("image")
def command() -> None:
    """Load images into a cluster, or list them."""


@command.command("load")
@click.argument("archives", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE.tar...")
@CLUSTER
def load(archives: tuple[Path, ...], cluster: str) -> None:
    """Load image archives (OCI layouts, or what `docker save` writes) into every node."""
    from ..cluster import images

    images.load(manage.find(cluster or manage.chosen()), archives, RealClock(), click.echo)


@command.command("ls")
@CLUSTER
def ls(cluster: str) -> None:
    """List the images, and the nodes that have them."""
    from ..cluster import images

    rows = [("IMAGE", "ID", "SIZE", "NODES")]
    for image, nodes in images.images(manage.find(cluster or manage.chosen()), RealClock()):
        for name in image.tags or image.digests or ("<none>",):
            identity = image.id.removeprefix("sha256:")[:12]
            rows.append((name, identity, f"{image.size_bytes / 1e6:.1f} MB", ",".join(nodes)))
    manage.print_table(rows, click.echo)
