"""Runs `ip` and `nft`, the two system programs that the network needs: the only place that does."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterable

SEARCH_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


class CommandFailed(Exception):
    """A system program refused; the message is its own."""


async def run(*command: str, stdin: str = "", check: bool = True, timeout_s: float = 30.0) -> str:
    """Runs a program to its end and returns its standard output. Raises CommandFailed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await process.communicate(stdin.encode() or None)
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    if check and process.returncode:
        raise CommandFailed(
            f"{' '.join(command)}: {err.decode(errors='replace').strip() or process.returncode}"
        )
    return out.decode(errors="replace")


async def ip(commands: Iterable[tuple[str, str]]) -> None:
    """Runs `ip` commands in order, one process for each run of commands in the same namespace ("": the host's)."""
    for namespace, group in itertools.groupby(commands, key=lambda command: command[0]):
        where = ["-n", namespace] if namespace else []
        await run("ip", *where, "-batch", "-", stdin="\n".join(command for _, command in group) + "\n")


async def nft(namespace: str, script: str) -> None:
    """Applies a ruleset as one transaction in a network namespace ("": the host's)."""
    inside = ["ip", "netns", "exec", namespace] if namespace else []
    await run(*inside, "nft", "-f", "-", stdin=script)


async def sysctl(namespace: str, values: dict[str, str]) -> None:
    """Sets kernel parameters of a network namespace (through /proc: the `sysctl` program may be missing)."""
    inside = ["ip", "netns", "exec", namespace] if namespace else []
    script = "\n".join(f"echo {value} > /proc/sys/{key.replace('.', '/')}" for key, value in values.items())
    await run(*inside, "sh", "-ec", script)


async def namespaces() -> set[str]:
    return {line.split()[0] for line in (await run("ip", "netns", "list")).splitlines() if line.strip()}
