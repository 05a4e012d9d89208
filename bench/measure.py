"""How it is measured: a server process of its own, its CPU from /proc, and small blocking clients on loopback.

CPU a request (user and system, of the server's process alone) hardly depends on what else the machine does; wall time does, so it is shown only where
it is the point (start, latency).
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
TOKEN = "bench"
START_TIMEOUT_S = 60.0


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def memory_mb(pid: int) -> float:
    """Resident memory (RSS)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


class Client:
    """One keep-alive connection."""

    def __init__(self, port: int, token: str = TOKEN):
        self._port, self._token = port, token
        context = ssl._create_unverified_context()
        self._connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=120)
        self._headers = {"Authorization": f"Bearer {token}"}

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        *,
        accept: str = "",
        headers: dict[str, str] | None = None,
    ) -> bytes:
        headers = {**self._headers, **(headers or {})}
        data = None
        if accept:
            headers["Accept"] = accept
        if body is not None:
            # without blanks, as Go's clients write it
            data = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
            headers["Content-Type"] = content_type
        self._connection.request(method, path, data, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
        return content

    def another(self) -> Client:
        return Client(self._port, self._token)

    def watch(self, path: str) -> Iterator[dict[str, Any]]:
        """The events, on a connection of its own."""
        client = self.another()
        client._connection.request("GET", path, None, client._headers)
        try:
            for line in client._connection.getresponse():
                yield json.loads(line)
        finally:
            client.close()

    def close(self) -> None:
        self._connection.close()


class Server:
    """`python -m pilothouse.apiserver` with the durable store."""

    def __init__(self, process: subprocess.Popen[str], port: int, ready_s: float):
        self.process, self.port, self.ready_s = process, port, ready_s

    @property
    def pid(self) -> int:
        return self.process.pid

    def client(self) -> Client:
        return Client(self.port)

    def cpu_of(self, work: Callable[[], object]) -> float:
        """Seconds of CPU that the server spends while `work` runs."""
        before = cpu_s(self.pid)
        work()
        return cpu_s(self.pid) - before


def environment() -> dict[str, str]:
    """As a user's: bytecode is kept between starts."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@contextmanager
def server(store: str = "sqlite") -> Iterator[Server]:
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        where = f"sqlite:{folder}/store.db" if store == "sqlite" else "memory"
        with serving("pilothouse.apiserver", "--port", "0", "--token", TOKEN, "--store", where) as running:
            yield running


@contextmanager
def serving(module: str, *arguments: str) -> Iterator[Server]:
    """A module that prints its address in its first line, until the end of the block."""
    started = time.perf_counter()
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().rsplit(":", 1)[1])
        client = Client(port)
        client("GET", "/readyz")
        ready_s = time.perf_counter() - started
        client.close()
        yield Server(process, port, ready_s)
    finally:
        process.terminate()
        process.wait(30)


def in_parallel(clients: int, each: Callable[[int, Client], None], port: int) -> None:
    """Runs `each(i, client)` on as many threads, and returns when all have ended."""
    errors: list[BaseException] = []

    def run(index: int) -> None:
        client = Client(port)
        try:
            each(index, client)
        except BaseException as error:
            errors.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
