"""What takes long for large bodies happens beside the loop, so that one client's megabytes are not everybody's wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

JSON_BYTES_MAX, YAML_BYTES_MAX = (
    256 * 1024,
    16 * 1024,
)  # what the loop itself decodes, in some ten milliseconds
T = TypeVar("T")


async def decoded(body: bytes, content_type: str, function: Callable[..., T], *arguments: object) -> T:
    """`function(*arguments)`, which decodes the body."""
    limit = YAML_BYTES_MAX if "yaml" in content_type else JSON_BYTES_MAX
    if len(body) <= limit:
        return function(*arguments)
    return await asyncio.to_thread(function, *arguments)
