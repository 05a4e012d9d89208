"""`pilothouse top`: there is no metrics API here, and it says so in kubectl's words."""

from __future__ import annotations

from .errors import Failure
from .verb import ALL_NAMESPACES, SELECTOR, Call, family, flag, text, verb

command = family("top", "Display resource (CPU/memory) usage.")


async def _usage(call: Call) -> None:
    raise Failure("Metrics API not available")


FLAGS = (*SELECTOR, *ALL_NAMESPACES, text("--sort-by"), flag("--no-headers"), flag("--containers"))
for names in (("node", "nodes", "no"), ("pod", "pods", "po")):
    command.subcommand(verb(names[0], *FLAGS, help=f"CPU and memory of {names[1]}.")(_usage), *names[1:])
