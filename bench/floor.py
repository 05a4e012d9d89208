"""What this machine takes for an answer that costs nothing: our HTTP server over TLS with a body that is there. The rest of a figure is ours."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import uvloop

from pilothouse.apiserver.__main__ import self_signed
from pilothouse.apiserver.http import HttpServer, server_tls
from pilothouse.apiserver.request import Response

BODY = b"x" * 1300


async def main() -> None:
    server = HttpServer(lambda _: Response(200, [], BODY))
    with tempfile.TemporaryDirectory() as folder:
        _, port = await server.start("127.0.0.1", 0, server_tls(*self_signed(Path(folder))))
    print(f"serving on https://127.0.0.1:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
