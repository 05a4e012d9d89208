"""`pilothouse status`"""

from __future__ import annotations

import asyncio

import click

from ..base.clock import RealClock
from ..cluster import manage
from ..cluster.config import ClusterConfig
from ..network.topology import ClusterNetwork
from .connection import Connection, Target

MEGABYTE = 1024 * 1024


@click.command("status")
@click.argument("name", default="")
def command(name: str) -> None:
    """Show the cluster NAME: versions, nodes, addresses, memory, CPU."""
    from importlib.metadata import version

    from ..cluster.usage import started_at, usage

    paths = manage.find(name or manage.chosen())
    config, pid, clock = ClusterConfig.load(paths.config), manage.daemon_pid(paths), RealClock()
    if pid:
        state = f"running for {_duration(clock.now() - started_at(pid))} (pid {pid})"
    else:
        state = f"stopped; `pilothouse up {paths.name}` starts it"
    facts = [
        ("Cluster", paths.name),
        ("State", state),
        ("Pilothouse", version("pilothouse")),
        ("Engine", config.engine),
        ("Store", config.store),
        ("Server", config.server),
        ("Data", str(paths.data)),
    ]
    if config.engine == "containerd":
        network = ClusterNetwork(config.network_index, config.name, config.service_cidr)
        facts += [
            ("Host", f"{network.host_address} as pods see it"),
            ("Pods", network.pod_cidr),
            ("Services", config.service_cidr),
            ("Load balancers", " to ".join(network.load_balancer_pool)),
        ]
    if not pid:
        _print(facts)
        return

    async def ask() -> list[tuple[str, ...]]:
        async with Connection(Target(cluster=paths.name)) as connection:
            server = await connection.client.call("GET", "/version")
            pods = (await connection.client.list("pods")).items
            nodes = (await connection.client.list("nodes")).items
        facts.insert(3, ("Kubernetes", server["gitVersion"]))
        rows: list[tuple[str, ...]] = [("NODE", "STATUS", "ADDRESS", "PODS", "RUNTIME")]
        for node in nodes:
            conditions = {c["type"]: c["status"] for c in node["status"].get("conditions") or ()}
            addresses = {a["type"]: a["address"] for a in node["status"].get("addresses") or ()}
            node_name = node["metadata"]["name"]
            ready = "Ready" if conditions.get("Ready") == "True" else "NotReady"
            running = sum(pod["spec"].get("nodeName") == node_name for pod in pods)
            runtime = node["status"].get("nodeInfo", {}).get("containerRuntimeVersion", "")
            rows.append((node_name, ready, addresses.get("InternalIP", ""), str(running), runtime))
        return rows

    nodes = asyncio.run(ask())
    _print(facts)
    if len(nodes) > 1:
        click.echo()
        manage.print_table(nodes, click.echo)
    rows = [("PROCESSES", "COUNT", "MEMORY", "CPU")]
    for row in usage(paths, config, clock):
        cpu = f"{row.cpu_percent:.1f} %"
        rows.append((row.what, str(row.processes), f"{row.memory_bytes / MEGABYTE:.0f} MiB", cpu))
    click.echo()
    manage.print_table(rows, click.echo)


def _print(facts: list[tuple[str, str]]) -> None:
    for label, value in facts:
        click.echo(f"{label + ':':<16}{value}")


def _duration(seconds: float) -> str:
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min" if minutes else f"{seconds:.0f} s"
