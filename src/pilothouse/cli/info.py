"""`pilothouse cluster-info`"""

from __future__ import annotations

import click

from ..api.object import labels_of, name_of
from .targets import items_of
from .verb import Call, program, verb


@verb("cluster-info", help="Print the address of the control plane.")
async def command(call: Call) -> None:
    server = call.client.transport.server
    kind = await call.connection.kind("services")
    found = await items_of(
        call.connection, kind, "kube-system", labelSelector="kubernetes.io/cluster-service=true"
    )
    click.echo(f"Kubernetes control plane is running at {server}")
    for each in found:
        name = labels_of(each).get("kubernetes.io/name") or name_of(each)
        port = (each["spec"].get("ports") or [{}])[0].get("name") or ""
        where = f"/api/v1/namespaces/kube-system/services/{name_of(each)}{':' + port if port else ''}/proxy"
        click.echo(f"{name} is running at {server}{where}")
    click.echo(f"\nTo further debug and diagnose cluster problems, use '{program()} cluster-info dump'.")
